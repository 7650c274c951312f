/* k8s.h - Kubernetes' own objects in Calico's form, as Calico's controllers would store them.
 *
 *	NetworkPolicy default/web   ->  NetworkPolicy default/knp.default.web, order 1000
 *	Namespace web		    ->  Profile kns.web: allows all, labels pcns.KEY
 *	ServiceAccount default/web  ->  Profile ksa.default.web: no rules, labels pcsa.KEY
 *
 * What cannot be converted is left out and said in `left_out`, one line each: a Kubernetes policy
 * only allows, so leaving a rule out fails closed. Peers and ports that cannot be read never become
 * "any". */
#pragma once

#include <jansson.h>

#include "lib/err.h"
#include "lib/str.h"

struct object;

#define K8S_POLICY_PREFIX    "knp.default."
#define K8S_NAMESPACE_PREFIX "kns."
#define K8S_ACCOUNT_PREFIX   "ksa."

/* json: a networking.k8s.io/v1 NetworkPolicy. -EINVAL when name or podSelector cannot be read. */
int k8s_policy(const json_t *json, struct object *out, struct str *left_out, struct err *e);
/* json: a v1 Namespace, a v1 ServiceAccount. */
int k8s_namespace(const json_t *json, struct object *out, struct err *e);
int k8s_account(const json_t *json, struct object *out, struct err *e);
