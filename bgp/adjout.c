/* adjout.c - what is told to peers: groups, their members, and exports computed once per group
 *
 * TESTS  tests/unit/bgp/adjout.c: twin of a plain per-peer table, slow and fast members, refresh */
#include "bgp/adjout_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PREFETCH_GROUPS = 4 };

void bgp_adjout_init(struct bgp_adjout *ao, struct bgp_rib *rib, const struct bgp_policy *policy)
{
	*ao = (struct bgp_adjout) { .rib = rib, .policy = policy };
}

void bgp_adjout_done(struct bgp_adjout *ao)
{
	assert(ao->groups.n == 0);
	vec_done(&ao->groups);
	vec_done(&ao->held);
}

/* ---- who needs a net ---- */

void bgp_adjout_hold(struct bgp_adjout *ao, uint32_t net, bool before, bool now)
{
	if (before == now)
		return;
	while (ao->held.n <= net)
		vec_push(&ao->held, 0);
	ao->held.p[net] = (uint16_t)(ao->held.p[net] + (now ? 1 : -1));
}

bool bgp_adjout_holds(const struct bgp_adjout *ao, uint32_t net)
{
	return net < ao->held.n && ao->held.p[net];
}

/* ---- groups ---- */

static struct bgp_group *group_find(const struct bgp_adjout *ao, const struct bgp_target *target)
{
	for (size_t i = 0; i < ao->groups.n; i++) {
		if (memcmp(&ao->groups.p[i]->target, target, sizeof(*target)) == 0)
			return ao->groups.p[i];
	}
	return NULL;
}

static struct bgp_group *group_new(struct bgp_adjout *ao, const struct bgp_target *target)
{
	struct bgp_group *g = xcalloc(1, sizeof(*g));

	g->target = *target;
	g->stride = 1;
	g->base = g->head = 1;
	g->free_route = BGP_NET_NONE;
	vec_push(&ao->groups, g);
	ao->n_add_path += target->add_path;
	return g;
}

static void chunk_free(struct bgp_adjout *ao, struct bgp_group_chunk *c, uint32_t first,
		       bool add_path)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < BGP_NETS_PER_CHUNK; i++) {
		if (!add_path)
			bgp_adjout_hold(ao, first + i, bgp_group_needs(c, i), false);
		bgp_attrs_unref(ao->rib->attrs, c->out[i]);
	}
	free(c->told);
	free(c->key);
	free(c);
}

static void cache_drop(struct bgp_attr_table *t, struct bgp_export_cache *e)
{
	bgp_attrs_unref(t, e->in);
	bgp_attrs_unref(t, e->out);
	*e = (struct bgp_export_cache) { 0 };
}

static void group_free(struct bgp_adjout *ao, struct bgp_group *g)
{
	struct bgp_attr_table *t = ao->rib->attrs;
	size_t at = 0;

	for (unsigned i = 0; i < BGP_EXPORT_CACHE; i++)
		cache_drop(t, &g->cache[i]);
	for (uint32_t i = 0; i < g->chunks.n; i++)
		chunk_free(ao, g->chunks.p[i], i * BGP_NETS_PER_CHUNK, g->target.add_path);
	for (uint32_t i = 0; i < g->heads.n; i++)
		bgp_adjout_hold(ao, i, bgp_group_has_net(g, i), false);
	vec_done(&g->chunks);
	vec_done(&g->heads);
	vec_done(&g->members);
	free(g->log);
	while (ao->groups.p[at] != g)
		at++;
	vec_remove(&ao->groups, at);
	ao->n_add_path -= g->target.add_path;
	free(g);
}

struct bgp_group_chunk *bgp_group_chunk_get(struct bgp_group *g, uint32_t route)
{
	uint32_t i = route / BGP_NETS_PER_CHUNK;
	struct bgp_group_chunk *c;

	while (g->chunks.n <= i)
		vec_push(&g->chunks, NULL);
	if (!g->chunks.p[i]) {
		c = xcalloc(1, sizeof(*c));
		c->told = xcalloc(BGP_NETS_PER_CHUNK, g->stride);
		if (g->target.add_path)
			c->key = xcalloc(BGP_NETS_PER_CHUNK, sizeof(*c->key));
		g->chunks.p[i] = c;
	}
	return g->chunks.p[i];
}

/* ---- members ---- */

static void stride_grow(struct bgp_group *g, uint32_t stride)
{
	vec_foreach (&g->chunks, c) {
		uint8_t *told;

		if (!*c)
			continue;
		told = xcalloc(BGP_NETS_PER_CHUNK, stride);
		for (size_t i = 0; i < BGP_NETS_PER_CHUNK; i++)
			memcpy(told + i * stride, (*c)->told + i * g->stride, g->stride);
		free((*c)->told);
		(*c)->told = told;
	}
	g->stride = stride;
}

static uint32_t bit_take(struct bgp_group *g, struct bgp_member *m)
{
	uint32_t bit = 0;

	while (bit < g->members.n && g->members.p[bit])
		bit++;
	if (bit == g->members.n)
		vec_push(&g->members, m);
	else
		g->members.p[bit] = m;
	if (bit / 8 >= g->stride)
		stride_grow(g, g->stride * 2);
	return bit;
}

static void column_clear(struct bgp_group *g, uint32_t bit)
{
	vec_foreach (&g->chunks, c) {
		uint8_t *at = *c ? (*c)->told + bit / 8 : NULL;

		for (unsigned i = 0; at && i < BGP_NETS_PER_CHUNK; i++, at += g->stride)
			*at &= (uint8_t) ~(1u << bit % 8);
	}
}

void bgp_adjout_join(struct bgp_adjout *ao, struct bgp_member *m, const struct bgp_target *target,
		     uint16_t peer_id, bool end_of_rib)
{
	struct bgp_group *g = group_find(ao, target);

	assert(!m->group);
	if (!g)
		g = group_new(ao, target);
	m->group = g;
	m->peer_id = peer_id;
	m->bit = bit_take(g, m);
	m->cursor = g->head;
	m->dump = 0;
	m->dump_all = false;
	m->asleep = false;
	m->end_of_rib_due = end_of_rib;
	m->sent = 0;
	g->n_members++;
	ao->wake(ao->arg, m);
}

void bgp_adjout_leave(struct bgp_adjout *ao, struct bgp_member *m)
{
	struct bgp_group *g = m->group;

	if (!g)
		return;
	g->members.p[m->bit] = NULL;
	g->n_members--;
	g->n_asleep -= m->asleep;
	m->group = NULL;
	m->sent = 0;
	bgp_group_trim(ao, g);
	if (g->n_members)
		column_clear(g, m->bit);
	else
		group_free(ao, g);
}

static void member_wake(struct bgp_adjout *ao, struct bgp_member *m)
{
	if (!m->asleep)
		return;
	m->asleep = false;
	m->group->n_asleep--;
	ao->wake(ao->arg, m);
}

static void group_wake(struct bgp_adjout *ao, struct bgp_group *g)
{
	if (!g->n_asleep)
		return;
	vec_foreach (&g->members, m) {
		if (*m)
			member_wake(ao, *m);
	}
}

void bgp_adjout_refresh(struct bgp_adjout *ao, struct bgp_member *m, bool enhanced)
{
	if (!m->group)
		return;
	if (enhanced && (m->end_of_rib_due || m->refreshing)) {
		m->refresh_due = true;
		return;
	}
	m->dump = 0;
	m->dump_all = true;
	m->refreshing = m->begin_due = enhanced;
	member_wake(ao, m);
}

void bgp_adjout_unhold(struct bgp_adjout *ao)
{
	ao->hold_end_of_rib = false;
	for (size_t i = 0; i < ao->groups.n; i++) {
		vec_foreach (&ao->groups.p[i]->members, m) {
			if (*m && (*m)->end_of_rib_due)
				member_wake(ao, *m);
		}
	}
}

/* ---- exports ---- */

void bgp_adjout_policy_changed(struct bgp_adjout *ao)
{
	for (size_t i = 0; i < ao->groups.n; i++) {
		for (unsigned k = 0; k < BGP_EXPORT_CACHE; k++)
			cache_drop(ao->rib->attrs, &ao->groups.p[i]->cache[k]);
	}
}

/* The attributes for the wire, borrowed from the cache: neighbouring prefixes mostly share them. */
static struct bgp_attrs *export_cached(const struct bgp_adjout *ao, struct bgp_group *g,
				       const struct bgp_source *src, struct bgp_attrs *in,
				       const struct bgp_export_plan *plan)
{
	struct bgp_export_cache *e = &g->cache[in->hash % BGP_EXPORT_CACHE];

	if (e->in != in || e->serial != src->serial || e->plan.rule != plan->rule ||
	    e->plan.advert != plan->advert) {
		struct bgp_attrs *out =
			bgp_export_attrs(ao->rib->attrs, ao->policy, &g->target, src, in, plan);

		cache_drop(ao->rib->attrs, e);
		*e = (struct bgp_export_cache) {
			.serial = src->serial, .plan = *plan, .in = bgp_attrs_ref(in), .out = out
		};
	}
	return e->out;
}

/* What g's members shall have of this path; NULL: nothing. */
static struct bgp_attrs *compute(const struct bgp_adjout *ao, struct bgp_group *g,
				 const struct prefix *p, const struct bgp_path *path)
{
	const struct bgp_source *src = bgp_source_at(ao->rib->sources, path->source);
	struct bgp_export_plan plan = { 0 };

	if (!bgp_reason_accepts(
		    bgp_export_check(ao->policy, &g->target, p, src, path->attrs, &plan)))
		return NULL;
	return export_cached(ao, g, src, path->attrs, &plan);
}

enum store {
	STORE_SAME,
	STORE_FROM,  /* same attributes, from another peer */
	STORE_ATTRS, /* other attributes */
};

static enum store store(struct bgp_adjout *ao, struct bgp_group *g, uint32_t route,
			struct bgp_attrs *out, uint16_t from)
{
	struct bgp_group_chunk *c = out ? bgp_group_chunk_get(g, route) : bgp_group_chunk(g, route);
	uint32_t i = route % BGP_NETS_PER_CHUNK;

	if (!c)
		return STORE_SAME;
	if (c->out[i] == out) {
		bool same = c->from[i] == from;

		c->from[i] = from;
		return same ? STORE_SAME : STORE_FROM;
	}
	if (!g->target.add_path)
		bgp_adjout_hold(ao, route, bgp_group_needs(c, i), out || c->pos[i]);
	/* it will be in the log, or was there, as a withdrawal */
	if (!out)
		g->unheard++;
	else if (!c->out[i] && c->pos[i])
		g->unheard--;
	if (out)
		bgp_attrs_ref(out);
	bgp_attrs_unref(ao->rib->attrs, c->out[i]);
	c->out[i] = out;
	c->from[i] = from;
	return STORE_ATTRS;
}

static uint16_t peer_of(const struct bgp_adjout *ao, const struct bgp_path *path)
{
	return bgp_source_at(ao->rib->sources, path->source)->peer_id;
}

/* A group of best paths. True when the members have something to hear. */
static bool update_best(struct bgp_adjout *ao, struct bgp_group *g, uint32_t net,
			const struct bgp_path *best, bool filling)
{
	struct prefix p = bgp_net_prefix(ao->rib, bgp_rib_net(ao->rib, net));
	struct bgp_attrs *out = best ? compute(ao, g, &p, best) : NULL;
	enum store s = store(ao, g, net, out, out ? peer_of(ao, best) : 0);

	/* what a fill adds is what every dump has still before it */
	if (s == STORE_SAME || filling)
		return false;
	bgp_group_push(ao, g, bgp_group_chunk(g, net), net, s == STORE_FROM);
	return true;
}

/* The net's routes that are no usable path's any more. */
static bool drop_unseen(struct bgp_adjout *ao, struct bgp_group *g, uint32_t net)
{
	uint32_t at = bgp_group_has_net(g, net) ? g->heads.p[net] : BGP_NET_NONE;
	bool news = false;

	for (; at != BGP_NET_NONE; at = bgp_group_key(g, at)->next) {
		struct bgp_route_key *key = bgp_group_key(g, at);
		struct bgp_group_chunk *c = bgp_group_chunk(g, at);
		bool seen = key->seen;

		key->seen = false;
		if (seen || store(ao, g, at, NULL, c->from[at % BGP_NETS_PER_CHUNK]) == STORE_SAME)
			continue;
		bgp_group_push(ao, g, c, at, false);
		news = true;
	}
	return news;
}

/* A group that wants every path: each usable one that may be told is a route. */
static bool update_paths(struct bgp_adjout *ao, struct bgp_group *g, uint32_t index, bool filling)
{
	const struct bgp_net *net = bgp_rib_net(ao->rib, index);
	struct prefix p = bgp_net_prefix(ao->rib, net);
	struct bgp_route_look look;
	struct bgp_path one;
	const struct bgp_path *path;
	bool news = false;
	unsigned n;

	path = bgp_net_paths(net, &one, &n);
	look = bgp_route_look(ao, g, index, n);
	for (unsigned i = 0; i < n; i++) {
		struct bgp_attrs *out;
		uint16_t from = peer_of(ao, &path[i]);
		uint32_t route;
		bool fresh;

		if (!(path[i].flags & BGP_PATH_USABLE))
			continue;
		out = compute(ao, g, &p, &path[i]);
		if (!out)
			continue;
		route = bgp_group_route(ao, g, &look, from, path[i].id, &fresh);
		bgp_group_key(g, route)->seen = true;
		if (store(ao, g, route, out, from) == STORE_SAME || (filling && fresh))
			continue;
		bgp_group_push(ao, g, bgp_group_chunk(g, route), route, false);
		news = true;
	}
	bgp_route_look_done(&look);
	return drop_unseen(ao, g, index) || news;
}

void bgp_adjout_update(struct bgp_adjout *ao, uint32_t net, const struct bgp_path *best, bool other)
{
	for (size_t i = 0; i < ao->groups.n; i++) {
		struct bgp_group *g = ao->groups.p[i];
		bool every = g->target.add_path;

		/* bgp_adjout_fill gets there */
		if (net >= g->filled || (!every && !other))
			continue;
		if (every ? update_paths(ao, g, net, false) : update_best(ao, g, net, best, false))
			group_wake(ao, g);
	}
}

void bgp_adjout_prefetch(const struct bgp_adjout *ao, uint32_t net, enum bgp_adjout_step step)
{
	size_t n = ao->groups.n < PREFETCH_GROUPS ? ao->groups.n : PREFETCH_GROUPS;

	for (size_t i = 0; i < n; i++) {
		const struct bgp_group *g = ao->groups.p[i];
		const struct bgp_group_chunk *c = bgp_group_chunk(g, net);
		struct bgp_attrs *const *out = c ? &c->out[net % BGP_NETS_PER_CHUNK] : NULL;

		if (!out || g->target.add_path)
			continue;
		if (step == BGP_ADJOUT_STEP_ROUTE)
			__builtin_prefetch(out, 1);
		else if (*out && step == BGP_ADJOUT_STEP_ATTRS)
			__builtin_prefetch(*out, 1);
		else if (*out)
			bgp_attrs_prefetch(ao->rib->attrs, *out);
	}
}

static void fill_net(struct bgp_adjout *ao, struct bgp_group *g, uint32_t index)
{
	const struct bgp_net *net = bgp_rib_net(ao->rib, index);
	struct bgp_path best;

	if (net->flags & BGP_NET_FREE)
		return;
	if (g->target.add_path)
		update_paths(ao, g, index, true);
	else if (bgp_net_best(net, &best))
		update_best(ao, g, index, &best, true);
}

static unsigned group_fill(struct bgp_adjout *ao, struct bgp_group *g, unsigned budget)
{
	if (g->filled == BGP_NET_NONE)
		return budget;
	for (; budget && g->filled < ao->rib->n_nets; budget--)
		fill_net(ao, g, g->filled++);
	if (g->filled >= ao->rib->n_nets)
		g->filled = BGP_NET_NONE;
	group_wake(ao, g);
	return budget;
}

bool bgp_adjout_fill(struct bgp_adjout *ao, unsigned budget)
{
	bool more = false;

	for (size_t i = 0; i < ao->groups.n; i++) {
		budget = group_fill(ao, ao->groups.p[i], budget);
		more |= ao->groups.p[i]->filled != BGP_NET_NONE;
	}
	return more;
}

uint32_t bgp_adjout_net(const struct bgp_member *m, uint32_t route, uint32_t *path_id)
{
	*path_id = m->group->target.add_path ? route + 1 : 0;
	return bgp_group_net(m->group, route);
}

const struct bgp_target *bgp_adjout_target(const struct bgp_member *m)
{
	return &m->group->target;
}

static bool is_told(const struct bgp_member *m, uint32_t route)
{
	const struct bgp_group *g = m->group;
	struct bgp_group_chunk *c = bgp_group_chunk(g, route);

	return c && bgp_group_bits(g, c, route)[m->bit / 8] >> m->bit % 8 & 1;
}

const struct bgp_attrs *bgp_adjout_told(const struct bgp_member *m, uint32_t net, uint16_t from,
					uint32_t id, bool *told)
{
	const struct bgp_group *g = m->group;
	uint32_t route = g->target.add_path ? bgp_group_route_find(g, net, from, id) : net;
	const struct bgp_group_chunk *c = route == BGP_NET_NONE ? NULL : bgp_group_chunk(g, route);

	*told = c && is_told(m, route);
	return c ? c->out[route % BGP_NETS_PER_CHUNK] : NULL;
}

bool bgp_adjout_any_told(const struct bgp_member *m, uint32_t net)
{
	const struct bgp_group *g = m->group;
	uint32_t at;

	if (!g->target.add_path)
		return is_told(m, net);
	at = bgp_group_has_net(g, net) ? g->heads.p[net] : BGP_NET_NONE;
	while (at != BGP_NET_NONE && !is_told(m, at))
		at = bgp_group_key(g, at)->next;
	return at != BGP_NET_NONE;
}

struct bgp_member *bgp_adjout_laggard(const struct bgp_adjout *ao, uint32_t max)
{
	struct bgp_member *last = NULL;

	for (size_t i = 0; i < ao->groups.n && !last; i++) {
		struct bgp_group *g = ao->groups.p[i];

		if (g->unheard <= max && !g->crowded)
			continue;
		g->crowded = false;
		vec_foreach (&g->members, m) {
			if (*m && (!last || (*m)->cursor < last->cursor))
				last = *m;
		}
	}
	return last;
}

size_t bgp_adjout_bytes(const struct bgp_adjout *ao)
{
	size_t bytes = ao->held.cap * sizeof(ao->held.p[0]);

	for (size_t i = 0; i < ao->groups.n; i++) {
		const struct bgp_group *g = ao->groups.p[i];

		size_t per_route = g->stride;

		per_route += g->target.add_path ? sizeof(struct bgp_route_key) : 0;
		bytes += sizeof(*g) + g->cap * sizeof(*g->log) + g->heads.n * sizeof(uint32_t);
		for (size_t c = 0; c < g->chunks.n; c++) {
			if (g->chunks.p[c])
				bytes += sizeof(*g->chunks.p[c]) + BGP_NETS_PER_CHUNK * per_route;
		}
	}
	return bytes;
}
