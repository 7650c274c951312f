/* key.h - the stored keys of v3 resources: kind, namespace and name, and back.
 *
 *	/calico/resources/v3/projectcalico.org/ippools/web
 *	/calico/resources/v3/projectcalico.org/workloadendpoints/default/edge--7-k8s-web--0-eth0
 *
 * Keys of IPAM's objects are in ipamkey.h. Built keys are heap strings, the caller frees. */
#pragma once

#include "lib/err.h"

struct kind;

#define KEY_RESOURCES "/calico/resources/v3/projectcalico.org/"

enum { NAME_LEN_MAX = 253 }; /* RFC 1123 subdomain, as Kubernetes has it */

/* ns is ignored for kinds without namespace. */
char *key_resource(const struct kind *kind, const char *ns, const char *name);
/* What all keys of a kind begin with; with ns, of one namespace. Ends in '/'. */
char *key_prefix(const struct kind *kind, const char *ns);

struct key {
	const struct kind *kind;
	char *ns, *name; /* owned; ns NULL for kinds without namespace */
};

/* False, *out untouched, for any key that is not a resource of a known kind. */
bool key_parse(const char *key, struct key *out);
void key_done(struct key *k);

/* Names: lower case letters, digits, '-' and '.'; labels of a name begin and end with a letter or
 * digit. -EINVAL with words. what: "metadata.name". */
int name_check(const char *what, const char *name, struct err *e);
/* A namespace or a tier: one label of at most 63. */
int label_check(const char *what, const char *name, struct err *e);
