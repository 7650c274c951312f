/* policy_counters.h - rules of what applies to an endpoint, each with what the kernel counted at it.
 *
 * A chain of a policy is shared by all endpoints of this node that the policy selects, so its rules
 * count for all of them. Ends of tiers and of profiles are in the pod's own chain; with
 * iptables-legacy pods to which the same applies share that one, too ("sharedEnds"). Counted is since
 * the chain was last written. */
#pragma once

#include "agent/agent.h"
#include "lib/json.h"

struct calc;
struct filter;
struct policy_counting;
struct policy_kernel;

/* What is looked at; borrowed for the call. */
struct policy_counted {
	const struct calc *calc;
	const struct policy_kernel *kernel;
	struct filter *filter;
	struct cache *cache; /* for rules as they are written */
};

/* Put rules beside each policy and profile of `what` (as policy_show_find gives it), from the
 * calculation and, as they are written, from the picture of the datastore. */
void policy_rules_add(json_t *what, const struct policy_counted *of);

/* Read the kernel's counters beside the loop, put "packets" and "bytes" into the rules of `what`, and
 * call fn with it, from the loop: fn takes it over. Rules that the kernel does not have get none;
 * "countersWhy" says why when some could not be read. NULL, `what` still the caller's, when reading
 * cannot even begin. */
typedef void policy_counted_fn(void *arg, json_t *what);
struct policy_counting *policy_count(struct event_base *base, json_t *what,
				     const struct policy_counted *of, policy_counted_fn *fn,
				     void *arg);
/* fn will not be called. */
void policy_count_stop(struct policy_counting *c);
