/* nexthop.h - what the owner said about each next hop, remembered until it says that it changed. */
#pragma once

#include "bgp/limits.h"
#include "bgp/speaker.h"

struct bgp_next_hop {
	struct addr addr; /* IP_NONE: an empty slot */
	struct bgp_resolution res;
};

/* Open addressing by address. All zero, with a resolver, is empty. */
struct bgp_next_hops {
	bgp_resolve_fn *resolve; /* NULL: everything is reachable and connected */
	void *arg;
	struct bgp_next_hop *slots;
	uint32_t mask, count;
};

void bgp_next_hops_done(struct bgp_next_hops *nh);
/* Asks the resolver for an address not seen yet. */
struct bgp_resolution bgp_next_hops_get(struct bgp_next_hops *nh, const struct addr *a);
/* By which interface one gets there; NULL: unknown. Valid until the next call. */
const char *bgp_next_hops_interface(struct bgp_next_hops *nh, const struct addr *a);
/* Ask again about all; true when an answer differs from the one remembered. */
bool bgp_next_hops_refresh(struct bgp_next_hops *nh);
