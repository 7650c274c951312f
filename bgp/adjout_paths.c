/* adjout_paths.c - the routes of an ADD-PATH group: several to a net, each with a lasting path id
 *
 * SHAPE  heads[net] -> route -> route ... (bgp_route_key.next), in the order in which the paths came.
 *        The RIB mostly keeps that order, so that looking for a path's route begins where the last
 *        one was found. Of many, which a peer can put into any order, a table is made for one update.
 * SPEC   RFC 7911 2, 3: (prefix, path id) names a path; the id is ours to choose */
#include "bgp/adjout_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Routes of one net that are found by walking along them. */
	FEW = 64,
	/* Beyond its paths: each look at the net takes milliseconds then. */
	CROWDED = 16 * BGP_PATHS_PER_PREFIX_MAX,
};

bool bgp_group_has_net(const struct bgp_group *g, uint32_t net)
{
	return net < g->heads.n && g->heads.p[net] != BGP_NET_NONE;
}

static uint32_t index_take(struct bgp_group *g, bool *fresh)
{
	uint32_t route = g->free_route;

	*fresh = route == BGP_NET_NONE;
	if (*fresh) {
		/* a log entry has room for as many; memory ends before */
		assert(g->n_routes < BGP_LOG_FILL - 1);
		route = g->n_routes++;
		bgp_group_chunk_get(g, route);
		return route;
	}
	g->free_route = bgp_group_key(g, route)->next;
	return route;
}

static uint32_t route_new(struct bgp_adjout *ao, struct bgp_group *g, uint32_t net, uint32_t last,
			  uint16_t from, uint32_t id, bool *fresh)
{
	uint32_t route = index_take(g, fresh);

	*bgp_group_key(g, route) =
		(struct bgp_route_key) { .net = net, .next = BGP_NET_NONE, .prev = last, .id = id };
	bgp_group_chunk(g, route)->from[route % BGP_NETS_PER_CHUNK] = from;
	while (g->heads.n <= net)
		vec_push(&g->heads, BGP_NET_NONE);
	bgp_adjout_hold(ao, net, last != BGP_NET_NONE, true);
	if (last == BGP_NET_NONE)
		g->heads.p[net] = route;
	else
		bgp_group_key(g, last)->next = route;
	return route;
}

static bool route_is(const struct bgp_group *g, uint32_t route, uint16_t from, uint32_t id)
{
	return bgp_group_key(g, route)->id == id &&
	       bgp_group_chunk(g, route)->from[route % BGP_NETS_PER_CHUNK] == from;
}

uint32_t bgp_group_route_find(const struct bgp_group *g, uint32_t net, uint16_t from, uint32_t id)
{
	uint32_t at = bgp_group_has_net(g, net) ? g->heads.p[net] : BGP_NET_NONE;

	while (at != BGP_NET_NONE && !route_is(g, at, from, id))
		at = bgp_group_key(g, at)->next;
	return at;
}

/* ---- looking for many ---- */

static uint32_t slot_of(const struct bgp_route_look *look, uint16_t from, uint32_t id)
{
	/* a factor that nobody knows: ids are the peers' to choose */
	uint64_t h = ((uint64_t)from << 32 | id) * (look->seed * 0x9e3779b97f4a7c15 | 1);

	return (uint32_t)(h >> 32) & look->mask;
}

static void slot_put(const struct bgp_group *g, struct bgp_route_look *look, uint32_t route)
{
	uint16_t from = bgp_group_chunk(g, route)->from[route % BGP_NETS_PER_CHUNK];
	uint32_t at = slot_of(look, from, bgp_group_key(g, route)->id);

	while (look->slot[at] != BGP_NET_NONE)
		at = (at + 1) & look->mask;
	look->slot[at] = route;
	look->last = route;
}

struct bgp_route_look bgp_route_look(const struct bgp_adjout *ao, struct bgp_group *g, uint32_t net,
				     unsigned n)
{
	uint32_t head = bgp_group_has_net(g, net) ? g->heads.p[net] : BGP_NET_NONE;
	struct bgp_route_look look = {
		.net = net, .hint = head, .last = BGP_NET_NONE, .seed = ao->rib->seed
	};
	size_t have = 0, size = 2 * FEW;

	for (uint32_t at = head; at != BGP_NET_NONE; at = bgp_group_key(g, at)->next)
		have++;
	g->crowded |= have > n + CROWDED;
	if (have + n <= FEW)
		return look;
	while (size < 2 * (have + n))
		size *= 2;
	look.slot = xreallocarray(NULL, size, sizeof(*look.slot));
	look.mask = (uint32_t)size - 1;
	memset(look.slot, 0xff, size * sizeof(*look.slot)); /* BGP_NET_NONE */
	for (uint32_t at = head; at != BGP_NET_NONE; at = bgp_group_key(g, at)->next)
		slot_put(g, &look, at);
	return look;
}

void bgp_route_look_done(struct bgp_route_look *look)
{
	free(look->slot);
}

static uint32_t find_by_table(struct bgp_adjout *ao, struct bgp_group *g,
			      struct bgp_route_look *look, uint16_t from, uint32_t id, bool *fresh)
{
	uint32_t at = slot_of(look, from, id), route;

	for (; look->slot[at] != BGP_NET_NONE; at = (at + 1) & look->mask) {
		if (route_is(g, look->slot[at], from, id))
			return look->slot[at];
	}
	route = route_new(ao, g, look->net, look->last, from, id, fresh);
	slot_put(g, look, route);
	return route;
}

/* ---- and for few ---- */

static uint32_t find_by_hint(struct bgp_adjout *ao, struct bgp_group *g,
			     struct bgp_route_look *look, uint16_t from, uint32_t id, bool *fresh)
{
	uint32_t head = bgp_group_has_net(g, look->net) ? g->heads.p[look->net] : BGP_NET_NONE;
	uint32_t last = BGP_NET_NONE, at;

	for (at = look->hint; at != BGP_NET_NONE; last = at, at = bgp_group_key(g, at)->next) {
		if (route_is(g, at, from, id))
			break;
	}
	if (at == BGP_NET_NONE) {
		for (at = head; at != look->hint; last = at, at = bgp_group_key(g, at)->next) {
			if (route_is(g, at, from, id))
				break;
		}
		/* not there; `last` is the one before the hint, so go on to the end */
		if (at == look->hint) {
			for (; at != BGP_NET_NONE; at = bgp_group_key(g, at)->next)
				last = at;
			at = route_new(ao, g, look->net, last, from, id, fresh);
		}
	}
	look->hint = bgp_group_key(g, at)->next;
	return at;
}

uint32_t bgp_group_route(struct bgp_adjout *ao, struct bgp_group *g, struct bgp_route_look *look,
			 uint16_t from, uint32_t id, bool *fresh)
{
	*fresh = false;
	return look->slot ? find_by_table(ao, g, look, from, id, fresh)
			  : find_by_hint(ao, g, look, from, id, fresh);
}

void bgp_group_route_free(struct bgp_adjout *ao, struct bgp_group *g, uint32_t route)
{
	struct bgp_route_key *key = bgp_group_key(g, route);

	if (key->next != BGP_NET_NONE)
		bgp_group_key(g, key->next)->prev = key->prev;
	if (key->prev != BGP_NET_NONE)
		bgp_group_key(g, key->prev)->next = key->next;
	else
		g->heads.p[key->net] = key->next;
	bgp_adjout_hold(ao, key->net, true, bgp_group_has_net(g, key->net));
	key->next = g->free_route;
	g->free_route = route;
}
