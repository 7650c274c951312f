/* policy_kernel.h - what the policy calculation says, stated to the packet filter's drivers. */
#pragma once

#include "policy/calc.h"

struct cluster_sets;
struct filter;
struct link_table;
struct policy_kernel;
struct policy_settings;
struct render_config;
struct tables;

struct policy_form {
	bool v6;     /* state IPv6 rules as well */
	bool bare;   /* only what the network itself needs */
	bool by_pod; /* chains of pods by interface, as Calico's; else those with equal ones share */
};

/* All are borrowed. NULL when a rule of the frame is refused. */
struct policy_kernel *policy_kernel_new(const struct policy_settings *set, struct cluster_sets *net,
					struct filter *filter, struct policy_form form, struct err *e);
void policy_kernel_free(struct policy_kernel *k);

/* State what a flush of the calculation told. Nothing is run. */
void policy_kernel_take(struct policy_kernel *k, const struct calc_effects *fx);
/* Nodes or pools did; rules: and with them which rules of NAT and tunnels there are. */
void policy_kernel_network(struct policy_kernel *k, bool rules);
/* The host's interfaces changed: host endpoints are found by their names and addresses. */
void policy_kernel_links(struct policy_kernel *k, const struct link_table *links);

/* Are the chains by which packets of this pod's interface go in the kernel as they were stated? */
bool policy_kernel_has_pod(const struct policy_kernel *k, const char *interface);
/* What is stated for a family, and by which settings; NULL: it is not. For who looks there. */
const struct tables *policy_kernel_tables(const struct policy_kernel *k, enum ip_family family);
const struct render_config *policy_kernel_render(const struct policy_kernel *k,
						 enum ip_family family);
/* What could not even be stated, last; NULL when nothing. */
const char *policy_kernel_trouble(const struct policy_kernel *k);
