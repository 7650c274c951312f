/* route_links.c - links come, go and lose addresses, and routes with them
 * WHY    The kernel removes IPv4 routes without a word when their link goes down, when the link's
 * last address goes, or when their preferred source goes. What it took is written again as soon as
 *        it can be.
 * COST   A link event looks at the distinct specs (peers and pods), then only at the keys that want
 *        one which names the link. */
#include "dataplane/route_table.h"

/* What the kernel had under a key may be gone, whole or in part. certain: it is. */
static void doubt_key(struct route_table *rt, uint32_t id, bool certain)
{
	const struct route_value *have = delta_have_of(&rt->delta, id);
	struct route_value *unknown;

	if (!have)
		return;
	if (certain || have->body.foreign) {
		delta_seen_id(&rt->delta, id, NULL);
		return;
	}
	unknown = route_value_unknown(rt, have->body.protocol);
	delta_seen_id(&rt->delta, id, unknown);
	route_value_unref(rt, unknown);
}

/* The same for all keys that want v: a route of one hop goes with its link, one of many lives on
 * with the others. */
static void doubt(struct route_table *rt, struct route_value *v, bool link_lost)
{
	const struct route_value *before = v->resolved; /* changes on the way; only compared */
	bool certain = link_lost && before && before->body.n_nh == 1;
	uint32_t next;

	for (uint32_t id = v->first; id != DELTA_NONE; id = next) {
		next = delta_next_alike(&rt->delta, id);
		doubt_key(rt, id, certain && delta_have_of(&rt->delta, id) == before);
	}
}

static void touch(struct route_table *rt, struct route_value *v)
{
	uint32_t next;

	v->waiting = false;
	for (uint32_t id = v->first; id != DELTA_NONE; id = next) {
		next = delta_next_alike(&rt->delta, id);
		delta_touch(&rt->delta, id);
	}
}

struct value_list {
	struct route_value **p;
	size_t n, cap;
};

/* The wanted specs that name the link (or have the preferred source), each with a reference: what
 * follows may free any spec. */
static struct value_list gather(struct route_table *rt, const struct link *l,
				const struct addr *src)
{
	struct value_list list = { 0 };
	struct route_value *v, *tmp;

	HASH_ITER (hh, rt->values, v, tmp) {
		if (v->first == DELTA_NONE ||
		    !(l ? route_value_uses(v, l) : addr_eq(&v->body.src, src)))
			continue;
		v->refs++;
		vec_push(&list, v);
	}
	return list;
}

static void release(struct route_table *rt, struct value_list *list)
{
	vec_foreach (list, v)
		route_value_unref(rt, *v);
	vec_done(list);
}

/* Routes of others under keys that we want go with their link as silently as ours. If one is still
 * there, writing ours finds out. */
static void doubt_others(struct route_table *rt, const struct link *l, enum delta_list list)
{
	uint32_t next, id = delta_next_on(&rt->delta, list, DELTA_NONE);

	for (; id != DELTA_NONE; id = next) {
		const struct route_value *have = delta_have_of(&rt->delta, id);

		next = delta_next_on(&rt->delta, list, id);
		if (have && route_value_uses(have, l))
			doubt_key(rt, id, have->body.n_nh == 1);
	}
}

/* They get judged again. lost: the link cannot carry routes now. */
static void revise(struct route_table *rt, const struct link *l, bool lost)
{
	struct value_list list;

	/* Route events from before the loss lie on the other socket; read after it they would make
	 * us believe in what is gone. */
	if (lost)
		(void)route_drain_events(rt);
	list = gather(rt, l, NULL);
	vec_foreach (&list, it) {
		struct route_value *v = *it, *before = v->resolved;

		if (lost)
			doubt(rt, v, true);
		if (lost || v->waiting || route_value_resolve(rt, v) != before)
			touch(rt, v);
	}
	release(rt, &list);
	if (!lost)
		return;
	doubt_others(rt, l, DELTA_SET);
	doubt_others(rt, l, DELTA_HELD);
}

static void revise_source(struct route_table *rt, const struct addr *src)
{
	struct value_list list = gather(rt, NULL, src);

	vec_foreach (&list, v)
		doubt(rt, *v, false);
	release(rt, &list);
}

static bool has_v4(const struct link *l)
{
	for (size_t i = 0; i < l->addrs.n; i++)
		if (l->addrs.p[i].addr.family == IP_V4)
			return true;
	return false;
}

static void forget_age(struct route_table *rt, uint32_t ifindex)
{
	for (size_t i = 0; i < rt->ages.n; i++)
		if (rt->ages.p[i].ifindex == ifindex) {
			vec_remove_fast(&rt->ages, i);
			return;
		}
}

/* Routes may have been seen before we knew what their interface is. */
static void look_again(struct route_table *rt, uint32_t ifindex)
{
	for (unsigned i = 0; i < rt->n_unknown; i++)
		if (rt->unknown[i] == ifindex) {
			rt->unknown[i] = rt->unknown[--rt->n_unknown];
			if (route_dump_link(rt, ifindex, NULL) < 0)
				rt->resync = true;
			return;
		}
	if (rt->n_unknown == ROUTE_UNKNOWN_MAX)
		rt->resync = true;
}

static void link_new(struct route_table *rt, const struct link *l)
{
	if (route_is_workload(rt, l->name))
		vec_push(&rt->ages,
			 (struct link_age) { .ifindex = l->index, .since_ms = rt->now_ms });
	look_again(rt, l->index);
	revise(rt, l, false);
}

void route_on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct route_table *rt = arg;

	route_flight_land(rt);
	rt->link_generation++;
	if (rt->cfg.gateway)
		rt->gateway_stale = true;
	switch (ev) {
	case LINK_NEW:
		link_new(rt, l);
		break;
	case LINK_CHANGED:
		revise(rt, l, !l->up);
		break;
	case LINK_GONE:
		forget_age(rt, l->index);
		revise(rt, l, true);
		break;
	case LINK_ADDR_NEW:
		/* "Network is unreachable" may be over. */
		delta_release(&rt->delta, NOTE_FAILED);
		break;
	case LINK_ADDR_GONE:
		revise_source(rt, &addr->addr);
		if (addr->addr.family == IP_V4 && !has_v4(l))
			revise(rt, l, true);
		break;
	case LINK_RELISTED:
		rt->resync = true;
		break;
	}
}

/* The clock runs from the first apply after the interface came; those older than the grace time
 * need no remembering. */
void route_links_scan(struct route_table *rt)
{
	vec_foreach (&rt->ages, a) {
		if (a->since_ms == UINT64_MAX)
			a->since_ms = rt->now_ms;
	}
	for (size_t i = rt->ages.n; i-- > 0;)
		if (rt->ages.p[i].since_ms + ROUTE_GRACE_MS <= rt->now_ms)
			vec_remove_fast(&rt->ages, i);
}

/* Does anybody want a route on this interface? Then all of its routes are known. */
static bool has_wanted(struct route_table *rt, const struct link *l)
{
	struct route_value *v, *tmp;

	HASH_ITER (hh, rt->values, v, tmp) {
		if (v->first != DELTA_NONE && route_value_uses(v, l))
			return true;
	}
	return false;
}

/* Until when an unexpected route must stay because its interface is new and its workload may be on
 * the way; 0: it may go. */
uint64_t route_link_grace(struct route_table *rt, const struct route_value *have)
{
	const struct link *l =
		have->body.n_nh ? link_by_index(rt->links, have->nh[0].ifindex) : NULL;

	if (!l || have->body.protocol == rt->cfg.protocol || !route_is_workload(rt, l->name))
		return 0;
	vec_foreach (&rt->ages, a) {
		if (a->ifindex == l->index && a->since_ms + ROUTE_GRACE_MS > rt->now_ms &&
		    !has_wanted(rt, l))
			return a->since_ms + ROUTE_GRACE_MS;
	}
	return 0;
}
