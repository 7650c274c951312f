/* nexthop.c - what the owner said about each next hop */
#include "bgp/nexthop.h"

#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

enum { LINK_AT = 4 }; /* bytes 4 to 7 of a link-local address */

struct addr bgp_hop_of(const struct bgp_source *src, const struct bgp_attrs *a)
{
	static const uint8_t zero[6];
	struct addr hop = src->ifindex && addr_is_link_local(&a->v.next_hop_ll) ? a->v.next_hop_ll
										: a->v.next_hop;

	if (hop.family != IP_V6 || !addr_is_link_local(&hop))
		return hop;
	if (!src->ifindex || memcmp(hop.b + 2, zero, sizeof(zero)) != 0)
		return (struct addr) { .family = IP_NONE };
	put_u32(hop.b + LINK_AT, src->ifindex);
	return hop;
}

uint32_t bgp_hop_link(const struct addr *hop, struct addr *plain)
{
	uint32_t link = 0;

	*plain = *hop;
	if (hop->family != IP_V6 || !addr_is_link_local(hop))
		return 0;
	for (unsigned i = 0; i < sizeof(link); i++)
		link = link << 8 | hop->b[LINK_AT + i];
	memset(plain->b + LINK_AT, 0, sizeof(link));
	return link;
}

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
