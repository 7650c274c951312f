/* combine.h - selectors put together from the fields of policies and rules, as text. */
#pragma once

#include "model/rulespec.h"

#define LABEL_NAMESPACE	   "projectcalico.org/namespace"
#define LABEL_ORCHESTRATOR "projectcalico.org/orchestrator"
#define LABEL_ACCOUNT	   "projectcalico.org/serviceaccount"
#define LABEL_NS_PREFIX	   "pcns." /* labels that a pod has from its namespace */
#define LABEL_SA_PREFIX	   "pcsa." /* from its service account */

/* "(a) && (b)", or the one that is given; NULL when neither is. Heap. */
char *combine_and(const char *a, const char *b);

/* One side of a rule. */
struct combined {
	char *in;     /* NULL: any address */
	char *not_in; /* a lone notSelector: also addresses that nobody has; NULL: none */
};

/* ns NULL: the owner has no namespace. -EINVAL when a selector cannot be read. */
int combine_side(const struct rule_side_spec *side, const char *ns, struct combined *out,
		 struct err *e);
void combined_done(struct combined *c);

/* The endpoints that a policy applies to; any of the fields may be NULL. ns NULL: of a global
 * policy. Heap, in *out. */
int combine_policy(const char *selector, const char *ns, const char *ns_selector,
		   const char *account_selector, char **out, struct err *e);
