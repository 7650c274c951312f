/* policy.h - a policy or a profile ready for use. */
#pragma once

#include "policy/rule.h"

struct object;

enum policy_kind {
	POLICY_NETWORK, /* Calico's, with a namespace */
	POLICY_GLOBAL,
	POLICY_KUBERNETES,
};

/* Full and short name of a kind: "NetworkPolicy", "np". */
const char *policy_kind_name(enum policy_kind kind);
const char *policy_kind_short(enum policy_kind kind);

/* Who it is: kind, namespace (NULL for global ones), name. */
struct policy_id {
	enum policy_kind kind;
	const char *ns, *name;
};

struct policy {
	enum policy_kind kind;
	char *ns, *name, *tier;
	double order;	/* +infinity: last */
	char *rank;	/* by which policies of one order are sorted: NAME/NAMESPACE/KIND */
	char *selector; /* normal form: which endpoints it applies to */
	struct selector *parsed;
	bool ingress, egress; /* directions it governs */
	bool untracked, pre_dnat, forward;
	struct rules in, out;
	/* It could not be read in full: every direction that it may govern is denied. */
	bool closed;
	/* closed, and one of its selectors could not be read: it denies for all that the readable ones
	 * select, and for no more than its namespace. */
	bool widened;
	/* It has conditions on HTTP, which a packet filter cannot look at. */
	bool has_http;
};

struct profile_rules {
	char *name;
	struct rules in, out;
	struct field_map labels; /* that its endpoints inherit */
	bool closed;
};

/* From an object of kind NetworkPolicy or GlobalNetworkPolicy; for the staged kinds, which are never
 * enforced, 0 and *out NULL. 0, or an error in e and
 *   - a policy that denies, where it could be read which endpoints it selects: it fails closed;
 *   - one that denies for more than it selects (widened), where that could not be read in full, but
 *     its namespace or another of its selectors;
 *   - *out NULL, where not even that could be read: a global policy without a readable selector.
 * DIFFERS: Calico leaves a policy out that it cannot read, and what it isolated is open. */
int policy_from_object(const struct object *o, struct policy **out, struct err *e);
/* From an object of kind NetworkPolicy that k8s_policy made: kind and name are Kubernetes' own. */
int policy_from_k8s(const struct object *o, const char *name, struct policy **out, struct err *e);
void policy_free(struct policy *p);
struct policy_id policy_id(const struct policy *p);
/* "np/default/web", "gnp/web": what chains are named by, and keys in maps. Heap. */
char *policy_id_text(const struct policy_id *id);
/* Order of two policies in one tier: by order, then by name. */
int policy_cmp(const struct policy *a, const struct policy *b);

/* From an object of kind Profile; never NULL: on an error it denies. */
int profile_from_object(const struct object *o, struct profile_rules **out, struct err *e);
/* A profile that endpoints name and that is not there: denies. */
struct profile_rules *profile_missing(const char *name);
void profile_rules_free(struct profile_rules *p);
