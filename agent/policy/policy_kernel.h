/* policy_kernel.h - what the policy calculation says, stated to the packet filter's drivers. */
#pragma once

#include "policy/calc.h"

struct filter;
struct link_table;
struct policy_kernel;
struct policy_settings;

/* All are borrowed. v6: state IPv6 rules as well; bare: only what the network itself needs. NULL when
 * a rule of the frame is refused. */
struct policy_kernel *policy_kernel_new(const struct policy_settings *set, struct filter *filter,
					bool v6, bool bare, struct err *e);
void policy_kernel_free(struct policy_kernel *k);

/* State what a flush of the calculation told. Nothing is run. */
void policy_kernel_take(struct policy_kernel *k, const struct calc_effects *fx);
/* The host's interfaces changed: host endpoints are found by their names and addresses. */
void policy_kernel_links(struct policy_kernel *k, const struct link_table *links);

/* Are the chains by which packets of this pod's interface go in the kernel as they were stated? */
bool policy_kernel_has_pod(const struct policy_kernel *k, const char *interface);
/* What could not even be stated, last; NULL when nothing. */
const char *policy_kernel_trouble(const struct policy_kernel *k);
