/* adjout_log.c - a group's log of changed nets: one entry per net, a cursor per member
 *
 * INVARIANTS  base <= every cursor <= head; pos[net] is the place of the net's one entry that is
 *        not overtaken, 0 when it has none; live counts those entries. Entry numbers begin at 1.
 * COST   push O(1) amortised: when the ring is full and mostly overtaken entries, it is packed
 *        rather than grown, so it holds at most twice as many entries as there are nets. */
#include "bgp/adjout_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MIN = 64 };

static uint32_t *entry(const struct bgp_group *g, uint64_t at)
{
	return &g->log[at & (g->cap - 1)];
}

static bool in_log(uint32_t e)
{
	return e != BGP_LOG_OVERTAKEN;
}

static int by_cursor(const void *pa, const void *pb)
{
	const struct bgp_member *a = *(struct bgp_member *const *)pa;
	const struct bgp_member *b = *(struct bgp_member *const *)pb;

	return a->cursor < b->cursor ? -1 : a->cursor > b->cursor;
}

static struct bgp_member **members_by_cursor(const struct bgp_group *g)
{
	struct bgp_member **m = xreallocarray(NULL, g->n_members + 1, sizeof(struct bgp_member *));
	uint32_t n = 0;

	for (size_t i = 0; i < g->members.n; i++) {
		if (g->members.p[i])
			m[n++] = g->members.p[i];
	}
	qsort(m, n, sizeof(struct bgp_member *), by_cursor);
	return m;
}

/* Move entry `from` to the lower place `to` of the same or another ring. */
static void entry_move(struct bgp_group *g, uint32_t e, uint32_t *ring, uint32_t cap, uint64_t to)
{
	uint32_t net = e & ~BGP_LOG_FILL;

	ring[to & (cap - 1)] = e;
	bgp_group_chunk(g, net)->pos[net % BGP_NETS_PER_CHUNK] = (uint32_t)to;
}

/* Copy what is not overtaken into a ring of `cap`, in order; cursors follow. Numbers stay above
 * base, and pos[] keeps only their low bits, so none of those may be 0. */
static void rebuild(struct bgp_group *g, uint32_t cap)
{
	uint32_t *ring = xreallocarray(NULL, cap, sizeof(*ring));
	struct bgp_member **m = members_by_cursor(g);
	uint64_t from = g->base, to = from;
	uint32_t next = 0;

	if ((uint32_t)to + cap < (uint32_t)to || (uint32_t)to == 0)
		to = (to | UINT32_MAX) + 2; /* begin behind the wrap of the low bits */
	g->base = to;
	for (uint64_t at = from;; at++) {
		uint32_t e;

		while (next < g->n_members && m[next]->cursor == at)
			m[next++]->cursor = to;
		if (at >= g->head)
			break;
		e = *entry(g, at);
		if (in_log(e))
			entry_move(g, e, ring, cap, to++);
	}
	g->head = to;
	free(g->log);
	g->log = ring;
	g->cap = cap;
	free(m);
}

static void make_room(struct bgp_group *g)
{
	uint32_t cap = g->cap;

	if (g->head - g->base < cap && (uint32_t)g->head != 0)
		return;
	if (cap == 0 || g->live >= cap / 2)
		cap = cap ? cap * 2 : LOG_MIN;
	rebuild(g, cap);
}

void bgp_group_push(struct bgp_adjout *ao, struct bgp_group *g, struct bgp_group_chunk *c,
		    uint32_t net, bool fill)
{
	uint32_t *pos = &c->pos[net % BGP_NETS_PER_CHUNK];
	bool needed = bgp_group_needs(c, net);

	if (*pos) {
		uint32_t *old = entry(g, *pos);

		assert((*old & ~BGP_LOG_FILL) == net);
		fill &= (*old & BGP_LOG_FILL) != 0;
		*old = BGP_LOG_OVERTAKEN;
		*pos = 0;
		g->live--;
	}
	make_room(g);
	*entry(g, g->head) = net | (fill ? BGP_LOG_FILL : 0);
	*pos = (uint32_t)g->head++;
	g->live++;
	if (!g->target.add_path)
		bgp_adjout_hold(ao, net, needed, true);
}

/* A burst's memory is not kept. */
static void shrink(struct bgp_group *g)
{
	if (g->base != g->head || g->cap <= LOG_MIN)
		return;
	free(g->log);
	g->log = NULL;
	g->cap = 0;
}

/* A withdrawal that every member has heard: nobody needs the route any more. */
static void release(struct bgp_adjout *ao, struct bgp_group *g, uint32_t route)
{
	uint32_t net = bgp_group_net(g, route);

	g->unheard--;
	if (g->target.add_path)
		bgp_group_route_free(ao, g, route);
	else
		bgp_adjout_hold(ao, net, true, false);
	ao->released(ao->arg, ao, net);
}

void bgp_group_trim(struct bgp_adjout *ao, struct bgp_group *g)
{
	uint64_t low = g->head;

	vec_foreach (&g->members, m) {
		if (*m && (*m)->cursor < low)
			low = (*m)->cursor;
	}
	while (g->base < low) {
		uint32_t e = *entry(g, g->base++), net = e & ~BGP_LOG_FILL;
		struct bgp_group_chunk *c;

		if (!in_log(e))
			continue;
		c = bgp_group_chunk(g, net);
		c->pos[net % BGP_NETS_PER_CHUNK] = 0;
		g->live--;
		if (!c->out[net % BGP_NETS_PER_CHUNK])
			release(ao, g, net);
	}
	shrink(g);
}
