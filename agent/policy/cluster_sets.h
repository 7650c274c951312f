/* cluster_sets.h - what nodes, pools and tunnels ask of the packet filter: sets of their addresses,
 * and the rules of NAT and of tunnels (policy/render_nat.h) that there are to be.
 *
 *	cs = cluster_sets_new(agent, changed, arg)
 *	cluster_sets_render(cs, IP_V4, &cfg)	for new drivers: what the rules are made from,
 *	cluster_sets_state(cs, IP_V4, sets)	and all sets that they name;
 *	changed(arg, true)  -> both again
 *	changed(arg, false) -> cluster_sets_update(cs, IP_V4, sets)
 *
 * INVARIANTS  A set is stated with the rules that name it. Work follows the change: a node that says
 *	  what it said before is none. */
#pragma once

#include "agent/agent.h"

struct ipsets;
struct render_config;
struct cluster_sets;

/* changed is called from the loop, after the first complete picture only. Subscribe to the picture
 * behind this one, and it is complete. */
struct cluster_sets *cluster_sets_new(struct agent *a, void (*changed)(void *arg, bool rules),
				      void *arg);
void cluster_sets_free(struct cluster_sets *cs);

/* Is there any rule at all, of NAT or of a tunnel? */
bool cluster_sets_any(const struct cluster_sets *cs);
/* Does any of it concern IPv6? */
bool cluster_sets_v6(const struct cluster_sets *cs);
/* Fill the fields of this family's rules. Text is borrowed until changed says that rules differ. */
void cluster_sets_render(const struct cluster_sets *cs, enum ip_family family,
			 struct render_config *out);
/* All sets of a family, for drivers that know none yet, or rules that need others. */
void cluster_sets_state(struct cluster_sets *cs, enum ip_family family, struct ipsets *to);
/* What changed since these drivers were last told. */
void cluster_sets_update(struct cluster_sets *cs, enum ip_family family, struct ipsets *to);
