/* nexthop.h - what the owner said about each next hop, remembered until it says that it changed. */
#pragma once

#include "bgp/limits.h"
#include "bgp/rib.h"
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

/* Where a path of this source leads. A peer that is spoken to on a link (unnumbered) means next hops
 * on that link: its link-local address, with the link's number in the bytes 4 to 7, which are zero
 * in a link-local address as it is written (RFC 4291 2.5.6), so that it is a key like any other. A
 * link-local address of any other source is on no link that we know: IP_NONE. */
struct addr bgp_hop_of(const struct bgp_source *src, const struct bgp_attrs *a);
/* The number of the link, 0: it is none of those; and the address as it is written. */
uint32_t bgp_hop_link(const struct addr *hop, struct addr *plain);

void bgp_next_hops_done(struct bgp_next_hops *nh);
/* Asks the resolver for an address not seen yet. */
struct bgp_resolution bgp_next_hops_get(struct bgp_next_hops *nh, const struct addr *a);
/* By which interface one gets there; NULL: unknown. Valid until the next call. */
const char *bgp_next_hops_interface(struct bgp_next_hops *nh, const struct addr *a);
/* Ask again about all; true when an answer differs from the one remembered. */
bool bgp_next_hops_refresh(struct bgp_next_hops *nh);
