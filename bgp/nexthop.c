/* nexthop.c - what the owner said about each next hop */
#include "bgp/nexthop.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

void bgp_next_hops_done(struct bgp_next_hops *nh)
{
	free(nh->slots);
	nh->slots = NULL;
	nh->mask = nh->count = 0;
}

static struct bgp_resolution ask(const struct bgp_next_hops *nh, const struct addr *a)
{
	if (!nh->resolve)
		return (struct bgp_resolution) { .reachable = true, .connected = true };
	return nh->resolve(nh->arg, a);
}

static struct bgp_next_hop *slot_find(const struct bgp_next_hops *nh, const struct addr *a)
{
	uint32_t at = addr_hash(a) & nh->mask;

	while (nh->slots[at].addr.family != IP_NONE && !addr_eq(&nh->slots[at].addr, a))
		at = (at + 1) & nh->mask;
	return &nh->slots[at];
}

static void grow(struct bgp_next_hops *nh)
{
	struct bgp_next_hop *old = nh->slots;
	uint32_t old_size = old ? nh->mask + 1 : 0, size = old ? old_size * 2 : SLOTS_MIN;

	nh->slots = xcalloc(size, sizeof(*nh->slots));
	nh->mask = size - 1;
	for (uint32_t i = 0; i < old_size; i++) {
		if (old[i].addr.family != IP_NONE)
			*slot_find(nh, &old[i].addr) = old[i];
	}
	free(old);
}

static struct bgp_next_hop *get(struct bgp_next_hops *nh, const struct addr *a)
{
	struct bgp_next_hop *slot;

	if (nh->count >= BGP_NEXT_HOPS_MAX)
		bgp_next_hops_done(nh);
	if (!nh->slots || nh->count > nh->mask / 2)
		grow(nh);
	slot = slot_find(nh, a);
	if (slot->addr.family == IP_NONE) {
		*slot = (struct bgp_next_hop) { .addr = *a, .res = ask(nh, a) };
		nh->count++;
	}
	return slot;
}

struct bgp_resolution bgp_next_hops_get(struct bgp_next_hops *nh, const struct addr *a)
{
	return get(nh, a)->res;
}

const char *bgp_next_hops_interface(struct bgp_next_hops *nh, const struct addr *a)
{
	const struct bgp_next_hop *slot = get(nh, a);

	return slot->res.ifname[0] ? slot->res.ifname : NULL;
}

static bool res_eq(const struct bgp_resolution *a, const struct bgp_resolution *b)
{
	return a->reachable == b->reachable && a->connected == b->connected &&
	       a->metric == b->metric && strcmp(a->ifname, b->ifname) == 0;
}

bool bgp_next_hops_refresh(struct bgp_next_hops *nh)
{
	bool changed = false;

	for (uint32_t i = 0; nh->slots && i <= nh->mask; i++) {
		struct bgp_next_hop *slot = &nh->slots[i];
		struct bgp_resolution now;

		if (slot->addr.family == IP_NONE)
			continue;
		now = ask(nh, &slot->addr);
		changed |= !res_eq(&now, &slot->res);
		slot->res = now;
	}
	return changed;
}
