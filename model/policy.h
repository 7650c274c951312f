/* policy.h - NetworkPolicy, GlobalNetworkPolicy and the staged kinds, as they are written.
 *
 * One struct serves all of them: a field that a kind does not have is not in its table and stays
 * unset. What a policy means is policy/policy.h. */
#pragma once

#include "lib/fields.h"
#include "model/rulespec.h"

struct object;

enum {
	POLICY_TYPE_INGRESS = 1,
	POLICY_TYPE_EGRESS = 2,
};

struct policy_spec {
	char *tier;
	json_t *order; /* a number; NULL: last */
	char *selector, *ns_selector, *account_selector;
	unsigned types; /* POLICY_TYPE_x */
	bool has_types;
	struct rule_specs ingress, egress;
	bool do_not_track, pre_dnat, apply_on_forward;
	struct field_strings hints;
	int staged_action; /* kept for the staged kinds */
};

extern const struct fields policy_fields, global_policy_fields;
extern const struct fields staged_policy_fields, staged_global_policy_fields;
/* The staged Kubernetes policy is kept as it is. */
extern const struct fields staged_k8s_policy_fields;

#define POLICY_LABEL_TIER    "projectcalico.org/tier"
#define POLICY_NOTE_METADATA "projectcalico.org/metadata"
#define POLICY_NAME_PREFIX   "default."
#define TIER_DEFAULT	     "default"

/* From an object of NetworkPolicy or GlobalNetworkPolicy; lenient about fields unknown here, not
 * about values. policy_spec_done frees. */
int policy_spec_decode(const struct object *o, struct policy_spec *out, struct err *e);
void policy_spec_done(struct policy_spec *p);
/* The directions it governs: both, when it does not say (policy_fill makes new objects say it). */
unsigned policy_spec_types(const struct policy_spec *p);
/* +infinity when there is none. */
double policy_spec_order(const struct policy_spec *p);

/* Of the kinds' rows. */
int policy_check(const struct object *o, const void *spec, struct err *e);
/* tier, and types by the rules that are there. */
void policy_fill(json_t *spec);

/* How objects of these kinds are stored: the user's name in an annotation, the tier in a label.
 * Before an object is written; and after it was read, where name (owned by the caller, may be
 * replaced) comes from the annotation, or loses the prefix "default." of older writers. */
void policy_to_stored(json_t *object);
void policy_from_stored(json_t *object, char **name);
