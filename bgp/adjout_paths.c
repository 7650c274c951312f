/* adjout_paths.c - the routes of an ADD-PATH group: several to a net, each with a lasting path id
 *
 * SHAPE  heads[net] -> route -> route ... (bgp_route_key.next), in the order in which the paths came.
 *        The RIB mostly keeps that order, so that looking for a path's route begins where the last
 *        one was found.
 * SPEC   RFC 7911 2, 3: (prefix, path id) names a path; the id is ours to choose */
#include "bgp/adjout_group.h"

#include <assert.h>

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
		(struct bgp_route_key) { .net = net, .next = BGP_NET_NONE, .id = id };
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

uint32_t bgp_group_route(struct bgp_adjout *ao, struct bgp_group *g, uint32_t net, uint16_t from,
			 uint32_t id, uint32_t *hint, bool *fresh)
{
	uint32_t head = bgp_group_has_net(g, net) ? g->heads.p[net] : BGP_NET_NONE;
	uint32_t last = BGP_NET_NONE, at;

	*fresh = false;
	for (at = *hint; at != BGP_NET_NONE; last = at, at = bgp_group_key(g, at)->next) {
		if (route_is(g, at, from, id))
			break;
	}
	if (at == BGP_NET_NONE) {
		for (at = head; at != *hint; last = at, at = bgp_group_key(g, at)->next) {
			if (route_is(g, at, from, id))
				break;
		}
		/* not there; `last` is the one before the hint, so go on to the end */
		if (at == *hint) {
			for (; at != BGP_NET_NONE; at = bgp_group_key(g, at)->next)
				last = at;
			at = route_new(ao, g, net, last, from, id, fresh);
		}
	}
	*hint = bgp_group_key(g, at)->next;
	return at;
}

void bgp_group_route_free(struct bgp_adjout *ao, struct bgp_group *g, uint32_t route)
{
	struct bgp_route_key *key = bgp_group_key(g, route);
	uint32_t *at = &g->heads.p[key->net];

	while (*at != route)
		at = &bgp_group_key(g, *at)->next;
	*at = key->next;
	bgp_adjout_hold(ao, key->net, true, bgp_group_has_net(g, key->net));
	key->next = g->free_route;
	g->free_route = route;
}
