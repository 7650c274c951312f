/* adjout.c - what is told to peers: groups, their members, and exports computed once per group
 *
 * TESTS  tests/unit/bgp/adjout.c: twin of a plain per-peer table, slow and fast members, refresh */
#include "bgp/adjout_group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void bgp_adjout_init(struct bgp_adjout *ao, struct bgp_rib *rib, const struct bgp_policy *policy)
{
	*ao = (struct bgp_adjout){ .rib = rib, .policy = policy };
}

void bgp_adjout_done(struct bgp_adjout *ao)
{
	assert(ao->groups.n == 0);
	vec_done(&ao->groups);
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
	vec_push(&ao->groups, g);
	return g;
}

static void chunk_free(struct bgp_attr_table *t, struct bgp_group_chunk *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < BGP_NETS_PER_CHUNK; i++)
		bgp_attrs_unref(t, c->out[i]);
	free(c->told);
	free(c);
}

static void cache_drop(struct bgp_attr_table *t, struct bgp_export_cache *e)
{
	bgp_attrs_unref(t, e->in);
	bgp_attrs_unref(t, e->out);
	*e = (struct bgp_export_cache){ 0 };
}

static void group_free(struct bgp_adjout *ao, struct bgp_group *g)
{
	struct bgp_attr_table *t = ao->rib->attrs;
	size_t at = 0;

	for (unsigned i = 0; i < BGP_EXPORT_CACHE; i++)
		cache_drop(t, &g->cache[i]);
	vec_foreach(&g->chunks, c)
		chunk_free(t, *c);
	vec_done(&g->chunks);
	vec_done(&g->members);
	free(g->log);
	while (ao->groups.p[at] != g)
		at++;
	vec_remove(&ao->groups, at);
	free(g);
}

static struct bgp_group_chunk *chunk_get(struct bgp_group *g, uint32_t net)
{
	uint32_t i = net / BGP_NETS_PER_CHUNK;

	while (g->chunks.n <= i)
		vec_push(&g->chunks, NULL);
	if (!g->chunks.p[i]) {
		g->chunks.p[i] = xcalloc(1, sizeof(*g->chunks.p[i]));
		g->chunks.p[i]->told = xcalloc(BGP_NETS_PER_CHUNK, g->stride);
	}
	return g->chunks.p[i];
}

/* ---- members ---- */

static void stride_grow(struct bgp_group *g, uint32_t stride)
{
	vec_foreach(&g->chunks, c) {
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
	vec_foreach(&g->chunks, c) {
		uint8_t *at = *c ? (*c)->told + bit / 8 : NULL;

		for (unsigned i = 0; at && i < BGP_NETS_PER_CHUNK; i++, at += g->stride)
			*at &= (uint8_t)~(1u << bit % 8);
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
	m->end_of_rib_at = 0;
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
	vec_foreach(&g->members, m) {
		if (*m)
			member_wake(ao, *m);
	}
}

void bgp_adjout_refresh(struct bgp_adjout *ao, struct bgp_member *m)
{
	if (!m->group)
		return;
	m->dump = 0;
	m->dump_all = true;
	member_wake(ao, m);
}

void bgp_adjout_unhold(struct bgp_adjout *ao)
{
	ao->hold_end_of_rib = false;
	for (size_t i = 0; i < ao->groups.n; i++) {
		vec_foreach(&ao->groups.p[i]->members, m) {
			if (*m && (*m)->end_of_rib_due)
				member_wake(ao, *m);
		}
	}
}

/* ---- exports ---- */

/* The attributes for the wire, borrowed from the cache: neighbouring prefixes mostly share them. */
static struct bgp_attrs *export_cached(const struct bgp_adjout *ao, struct bgp_group *g,
				       const struct bgp_source *src, struct bgp_attrs *in)
{
	struct bgp_export_cache *e = &g->cache[in->hash % BGP_EXPORT_CACHE];

	if (e->in != in || e->serial != src->serial) {
		struct bgp_attrs *out = bgp_export_attrs(ao->rib->attrs, ao->policy, &g->target,
							 src, in);

		cache_drop(ao->rib->attrs, e);
		*e = (struct bgp_export_cache){ .serial = src->serial,
						.in = bgp_attrs_ref(in),
						.out = out };
	}
	return e->out;
}

/* What g's members shall have for this net; NULL: nothing. */
static struct bgp_attrs *compute(const struct bgp_adjout *ao, struct bgp_group *g, uint32_t net,
				 const struct bgp_path *best)
{
	const struct bgp_source *src;
	struct prefix p;

	if (!best)
		return NULL;
	src = bgp_source_at(ao->rib->sources, best->source);
	p = bgp_net_prefix(ao->rib, bgp_rib_net(ao->rib, net));
	if (!bgp_reason_accepts(bgp_export_check(ao->policy, &g->target, &p, src, best->attrs)))
		return NULL;
	return export_cached(ao, g, src, best->attrs);
}

enum store {
	STORE_SAME,
	STORE_FROM,  /* same attributes, from another peer */
	STORE_ATTRS, /* other attributes */
};

static enum store store(const struct bgp_adjout *ao, struct bgp_group *g, uint32_t net,
			const struct bgp_path *best)
{
	struct bgp_attrs *out = compute(ao, g, net, best);
	struct bgp_group_chunk *c = out ? chunk_get(g, net) : bgp_group_chunk(g, net);
	uint32_t i = net % BGP_NETS_PER_CHUNK;
	uint16_t from;

	if (!c)
		return STORE_SAME;
	from = out ? bgp_source_at(ao->rib->sources, best->source)->peer_id : 0;
	if (c->out[i] == out) {
		bool same = c->from[i] == from;

		c->from[i] = from;
		return same ? STORE_SAME : STORE_FROM;
	}
	if (out)
		bgp_attrs_ref(out);
	bgp_attrs_unref(ao->rib->attrs, c->out[i]);
	c->out[i] = out;
	c->from[i] = from;
	return STORE_ATTRS;
}

void bgp_adjout_update(struct bgp_adjout *ao, uint32_t net, const struct bgp_path *best)
{
	for (size_t i = 0; i < ao->groups.n; i++) {
		struct bgp_group *g = ao->groups.p[i];
		enum store s;

		if (net >= g->filled)
			continue; /* bgp_adjout_fill gets there */
		s = store(ao, g, net, best);
		if (s == STORE_SAME)
			continue;
		bgp_group_push(g, bgp_group_chunk(g, net), net, s == STORE_FROM);
		group_wake(ao, g);
	}
}

static unsigned group_fill(struct bgp_adjout *ao, struct bgp_group *g, unsigned budget)
{
	if (g->filled == BGP_NET_NONE)
		return budget;
	for (; budget && g->filled < ao->rib->n_nets; budget--) {
		const struct bgp_net *net = bgp_rib_net(ao->rib, g->filled);
		struct bgp_path best;

		if (!(net->flags & BGP_NET_FREE) && bgp_net_best(net, &best))
			store(ao, g, g->filled, &best);
		g->filled++;
	}
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

bool bgp_adjout_holds(const struct bgp_adjout *ao, uint32_t net)
{
	for (size_t i = 0; i < ao->groups.n; i++) {
		const struct bgp_group_chunk *c = bgp_group_chunk(ao->groups.p[i], net);
		uint32_t at = net % BGP_NETS_PER_CHUNK;

		if (c && (c->out[at] || c->pos[at]))
			return true;
	}
	return false;
}

const struct bgp_attrs *bgp_adjout_told(const struct bgp_member *m, uint32_t net, bool *told)
{
	const struct bgp_group *g = m->group;
	struct bgp_group_chunk *c = g ? bgp_group_chunk(g, net) : NULL;

	*told = c && bgp_group_bits(g, c, net)[m->bit / 8] >> m->bit % 8 & 1;
	return c ? c->out[net % BGP_NETS_PER_CHUNK] : NULL;
}

size_t bgp_adjout_bytes(const struct bgp_adjout *ao)
{
	size_t bytes = 0;

	for (size_t i = 0; i < ao->groups.n; i++) {
		const struct bgp_group *g = ao->groups.p[i];

		bytes += sizeof(*g) + g->cap * sizeof(*g->log);
		for (size_t c = 0; c < g->chunks.n; c++) {
			if (g->chunks.p[c])
				bytes += sizeof(*g->chunks.p[c]) +
					 (size_t)BGP_NETS_PER_CHUNK * g->stride;
		}
	}
	return bytes;
}
