/* route.c - kernel routes: claims, configuration, and what callers ask
 * SHAPE  The winning claim of a key is the want of the delta; losers wait in a side map that is
 *empty unless two sources really want the same key.
 *
 *	route.c        claims -> delta.want          route_value.c  interned specs
 *	route_sync.c   kernel -> delta.have          route_apply.c  delta -> kernel
 *	route_links.c  links come and go             route_gateway.c  169.254.1.1
 *	route_msg.c    bytes
 */
#include <assert.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/route_table.h"

bool route_is_workload(const struct route_table *rt, const char *ifname)
{
	static const char *const fallback[] = { "cali", NULL };
	const char *const *prefixes = rt->cfg.workload ? rt->cfg.workload : fallback;

	for (; *prefixes; prefixes++)
		if (**prefixes && str_starts(ifname, *prefixes))
			return true;
	return false;
}

struct route_table *route_table_new(const struct route_config *cfg, struct link_table *links,
				    struct err *e)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0 };
	struct route_table *rt = xcalloc(1, sizeof(*rt));

	rt->cfg = *cfg;
	rt->cfg.protocol = cfg->protocol ? cfg->protocol : ROUTE_PROTO_MARGAY;
	rt->cfg.table = cfg->table ? cfg->table : ROUTE_TABLE_MAIN;
	rt->cfg.thread_from = cfg->thread_from ? cfg->thread_from : ROUTE_FLIGHT_MIN;
	rt->tables[rt->n_tables++] = rt->cfg.table;
	rt->links = links;
	rt->requests.fd = rt->events.fd = -1;
	rt->retry_ms = rt->grace_ms = rt->fight_ms = UINT64_MAX;
	rt->link_generation = 1;
	delta_init(&rt->delta, &route_delta_type, rt, (uint32_t)(uintptr_t)rt);
	if (nl_open(&rt->requests, e) < 0 || nl_open_events(&rt->events, groups, e) < 0 ||
	    nl_ignore_routes_from(&rt->events, rt->requests.port, e) < 0 ||
	    route_resync(rt, e) < 0) {
		route_table_free(rt);
		return NULL;
	}
	rt->counts.resyncs = 0;
	link_table_watch(links, route_on_link, rt);
	route_gateway_update(rt);
	return rt;
}

void route_table_free(struct route_table *rt)
{
	struct route_losers *l, *tmp;

	if (!rt)
		return;
	route_flight_land(rt);
	link_table_unwatch(rt->links, route_on_link, rt);
	HASH_ITER (hh, rt->losers, l, tmp) {
		vec_foreach (&l->claims, c)
			route_value_unref(rt, c->value);
		vec_done(&l->claims);
		HASH_DEL(rt->losers, l);
		free(l);
	}
	delta_done(&rt->delta);
	nl_close(&rt->requests);
	nl_close(&rt->events);
	nl_buf_done(&rt->batch.out);
	route_flight_done(rt);
	vec_done(&rt->ages);
	free(rt);
}

/* ---- claims ---- */

static uint32_t tag_of(enum route_class cls, uint32_t source)
{
	return (uint32_t)cls << 24 | source;
}

static uint32_t first_ifindex(struct route_table *rt, struct route_value *v)
{
	struct route_value *r = route_value_resolve(rt, v);

	return r && r->body.n_nh ? r->nh[0].ifindex : 0;
}

/* Does a new claim beat the one in force? Between equals the later one is the newer pod. */
static bool beats(struct route_table *rt, const struct route_claim *c, uint32_t tag,
		  struct route_value *held)
{
	enum route_class cls = (enum route_class)(tag >> 24);

	if (c->cls != cls)
		return c->cls < cls;
	return first_ifindex(rt, c->value) >= first_ifindex(rt, held);
}

static struct route_losers *find_losers(const struct route_table *rt, const struct route_key *key)
{
	struct route_losers *l;

	HASH_FIND(hh, rt->losers, key, sizeof(*key), l);
	return l;
}

/* Takes over the value's reference. */
static void add_loser(struct route_table *rt, const struct route_key *key, struct route_claim c)
{
	struct route_losers *l = find_losers(rt, key);

	if (!l) {
		l = xcalloc(1, sizeof(*l));
		l->key = *key;
		HASH_ADD(hh, rt->losers, key, sizeof(l->key), l);
	}
	vec_push(&l->claims, c);
}

static void remove_loser(struct route_table *rt, struct route_losers *l, size_t i)
{
	vec_remove(&l->claims, i);
	if (l->claims.n)
		return;
	HASH_DEL(rt->losers, l);
	vec_done(&l->claims);
	free(l);
}

static void drop_loser(struct route_table *rt, const struct route_key *key, enum route_class cls,
		       uint32_t source)
{
	struct route_losers *l = find_losers(rt, key);

	for (size_t i = 0; l && i < l->claims.n; i++)
		if (l->claims.p[i].cls == cls && l->claims.p[i].source == source) {
			route_value_unref(rt, l->claims.p[i].value);
			remove_loser(rt, l, i);
			return;
		}
}

/* The best of those that lost, with its reference; false when there is none. */
static bool take_best_loser(struct route_table *rt, const struct route_key *key,
			    struct route_claim *out)
{
	struct route_losers *l = find_losers(rt, key);
	size_t best = 0;

	if (!l)
		return false;
	for (size_t i = 1; i < l->claims.n; i++) {
		const struct route_claim *b = &l->claims.p[best];

		if (beats(rt, &l->claims.p[i], tag_of(b->cls, b->source), b->value))
			best = i;
	}
	*out = l->claims.p[best];
	remove_loser(rt, l, best);
	return true;
}

/* A foreign route that we kept in mind only because its key was wanted. */
static void forget_foreign(struct route_table *rt, uint32_t id)
{
	const struct route_value *have = delta_have_of(&rt->delta, id);
	bool ours = *delta_mark(&rt->delta, id) & MARK_OURS;

	if (have && !ours && have->body.protocol != rt->cfg.protocol &&
	    !delta_want_of(&rt->delta, id))
		delta_seen_id(&rt->delta, id, NULL);
}

static bool is_table_known(struct route_table *rt, uint32_t table)
{
	for (unsigned i = 0; i < rt->n_tables; i++)
		if (rt->tables[i] == table)
			return true;
	if (rt->n_tables == ROUTE_TABLES_MAX)
		return false;
	rt->tables[rt->n_tables++] = table;
	rt->resync = true;
	return true;
}

static int check_hop(const struct route_nh *nh, const struct route_key *key, struct err *e)
{
	if (!nh->ifindex && !nh->ifname[0])
		return err_set(e, -EINVAL, "a next hop needs an interface");
	if (nh->gw.family == IP_V4 && key->dst.addr.family == IP_V6)
		return err_set(e, -EINVAL, "an IPv6 route cannot go by way of an IPv4 gateway");
	if (nh->weight > 256)
		return err_set(e, -EINVAL, "weight %u: must be 1..256", nh->weight);
	return 0;
}

static int check(struct route_table *rt, struct route_key *key, const struct route_spec *s,
		 uint32_t source, struct err *e)
{
	bool unicast = s->type == 0 || s->type == ROUTE_UNICAST;

	if (!key->dst.addr.family || key->dst.len > addr_bits((enum ip_family)key->dst.addr.family))
		return err_set(e, -EINVAL, "no prefix");
	if (prefix_has_host_bits(&key->dst))
		return err_set(e, -EINVAL, "the prefix has host bits");
	if (source >= ROUTE_SOURCE_MAX)
		return err_set(e, -EINVAL, "source %u: must be below %d", source, ROUTE_SOURCE_MAX);
	if (unicast ? !s->n_nh || s->n_nh > ROUTE_NH_MAX : s->type != ROUTE_BLACKHOLE || s->n_nh)
		return err_set(e, -EINVAL,
			       "%u next hops: a unicast route needs 1..%d, a blackhole none",
			       s->n_nh, ROUTE_NH_MAX);
	for (unsigned i = 0; i < s->n_nh; i++)
		if (check_hop(&s->nh[i], key, e) < 0)
			return -EINVAL;
	if (!is_table_known(rt, key->table))
		return err_set(e, -EINVAL, "table %u: more than %d tables", key->table,
			       ROUTE_TABLES_MAX);
	return 0;
}

/* The form in which keys are kept and the kernel reports them. */
static struct route_key normal_key(const struct route_table *rt, const struct route_key *key)
{
	struct route_key k;

	memset(&k, 0, sizeof(k));
	k.dst = key->dst;
	k.table = key->table ? key->table : rt->cfg.table;
	k.metric = key->metric;
	if (k.dst.addr.family == IP_V6 && !k.metric)
		k.metric = 1024; /* IP6_RT_PRIO_USER */
	return k;
}

/* A key that is just being written must not change: it is waited for. */
static uint32_t find_landed(struct route_table *rt, const struct route_key *key)
{
	uint32_t id = delta_find(&rt->delta, key);

	if (id == DELTA_NONE || delta_list_of(&rt->delta, id) != DELTA_LISTS_)
		return id;
	route_flight_land(rt);
	return delta_find(&rt->delta, key);
}

static void claim(struct route_table *rt, const struct route_key *key, struct route_claim c)
{
	uint32_t tag = tag_of(c.cls, c.source), id = find_landed(rt, key);
	struct route_value *held = id == DELTA_NONE ? NULL : delta_want_of(&rt->delta, id);

	if (held && delta_tag(&rt->delta, id) != tag) {
		uint32_t old = delta_tag(&rt->delta, id);

		drop_loser(rt, key, c.cls, c.source);
		if (!beats(rt, &c, old, held)) {
			add_loser(rt, key, c);
			return;
		}
		held->refs++;
		add_loser(rt, key,
			  (struct route_claim) { .cls = (enum route_class)(old >> 24),
						 .source = old & (ROUTE_SOURCE_MAX - 1),
						 .value = held });
	}
	delta_want(&rt->delta, key, c.value, tag);
	route_value_unref(rt, c.value);
}

int route_desire(struct route_table *rt, enum route_class cls, uint32_t source,
		 const struct route_key *key, const struct route_spec *spec, struct err *e)
{
	struct route_key k = normal_key(rt, key);
	char text[PREFIX_STR_MAX];

	if (check(rt, &k, spec, source, e) < 0)
		return err_wrap(e, "route %s", prefix_format(&k.dst, text));
	claim(rt, &k,
	      (struct route_claim) { .cls = cls,
				     .source = source,
				     .value = route_value_intern(rt, spec, false, false) });
	return 0;
}

void route_forget(struct route_table *rt, enum route_class cls, uint32_t source,
		  const struct route_key *key)
{
	struct route_key k = normal_key(rt, key);
	uint32_t id = find_landed(rt, &k);
	struct route_claim next;

	if (id == DELTA_NONE || !delta_want_of(&rt->delta, id) ||
	    delta_tag(&rt->delta, id) != tag_of(cls, source)) {
		drop_loser(rt, &k, cls, source);
		return;
	}
	if (take_best_loser(rt, &k, &next)) {
		delta_want(&rt->delta, &k, next.value, tag_of(next.cls, next.source));
		route_value_unref(rt, next.value);
		return;
	}
	delta_unwant(&rt->delta, id);
	if (delta_find(&rt->delta, &k) != DELTA_NONE)
		forget_foreign(rt, id);
}

void route_prefetch(const struct route_table *rt, const struct route_key *keys, unsigned n)
{
	uint32_t hash[ROUTE_PREFETCH_MAX];

	assert(n <= ROUTE_PREFETCH_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct route_key k = normal_key(rt, &keys[i]);

		hash[i] = delta_hash(&rt->delta, &k);
	}
	for (unsigned step = 0; step < DELTA_STEPS; step++)
		for (unsigned i = 0; i < n; i++)
			delta_prefetch(&rt->delta, hash[i], step);
}

void route_table_ready(struct route_table *rt)
{
	rt->ready = true;
}

/* ---- questions ---- */

void route_report(struct route_table *rt, uint32_t id, int code, const char *text)
{
	if (rt->cfg.report)
		rt->cfg.report(rt->cfg.arg, delta_key(&rt->delta, id), code, text);
}

static enum route_state held_state(const struct route_table *rt, uint32_t id)
{
	if (!delta_want_of(&rt->delta, id))
		return ROUTE_LEAVING;
	switch ((enum route_note)delta_note(&rt->delta, id)) {
	case NOTE_WAITING:
		return ROUTE_WAITING;
	case NOTE_CONFLICT:
		return ROUTE_CONFLICT;
	case NOTE_FAILED:
		return ROUTE_FAILED;
	case NOTE_GRACE:
	case NOTE_TAKEN:
	case NOTE_FIGHT:
		break;
	}
	return ROUTE_PENDING;
}

static enum route_state state_of(const struct route_table *rt, uint32_t id)
{
	switch (delta_list_of(&rt->delta, id)) {
	case DELTA_RIGHT:
		return ROUTE_IN_KERNEL;
	case DELTA_SET:
		return ROUTE_PENDING;
	case DELTA_DEL:
		return ROUTE_LEAVING;
	case DELTA_HELD:
		return held_state(rt, id);
	case DELTA_LISTS_: /* being written */
		break;
	}
	return ROUTE_PENDING;
}

enum route_state route_state(const struct route_table *rt, const struct route_key *key)
{
	struct route_key k = normal_key(rt, key);
	uint32_t id = delta_find(&rt->delta, &k);

	return id == DELTA_NONE ? ROUTE_ABSENT : state_of(rt, id);
}

bool route_has_claim(const struct route_table *rt, enum route_class cls, uint32_t source,
		     const struct route_key *key)
{
	struct route_key k = normal_key(rt, key);
	uint32_t id = delta_find(&rt->delta, &k);
	const struct route_losers *l = find_losers(rt, &k);

	if (id != DELTA_NONE && delta_want_of(&rt->delta, id) &&
	    delta_tag(&rt->delta, id) == tag_of(cls, source))
		return true;
	for (size_t i = 0; l && i < l->claims.n; i++)
		if (l->claims.p[i].cls == cls && l->claims.p[i].source == source)
			return true;
	return false;
}

bool route_lookup(const struct route_table *rt, const struct route_key *key,
		  struct route_spec *spec, struct route_nh *nh)
{
	struct route_key k = normal_key(rt, key);
	uint32_t id = delta_find(&rt->delta, &k);
	const struct route_value *v = id == DELTA_NONE ? NULL : delta_want_of(&rt->delta, id);

	if (!v && id != DELTA_NONE)
		v = delta_have_of(&rt->delta, id);
	if (!v || v->body.type == ROUTE_UNKNOWN)
		return false;
	*spec = route_value_spec(v);
	memcpy(nh, v->nh, v->body.n_nh * sizeof(*nh));
	spec->nh = nh;
	return true;
}

const char *route_state_text(enum route_state s)
{
	static const char *const text[] = {
		[ROUTE_ABSENT] = "absent",     [ROUTE_IN_KERNEL] = "in kernel",
		[ROUTE_PENDING] = "pending",   [ROUTE_WAITING] = "waiting for link",
		[ROUTE_CONFLICT] = "conflict", [ROUTE_FAILED] = "failed",
		[ROUTE_LEAVING] = "leaving",
	};

	return (size_t)s < ARRAY_SIZE(text) ? text[s] : "?";
}

struct route_counts route_counts(const struct route_table *rt)
{
	struct route_counts c = rt->counts;

	c.desired = rt->delta.wanted;
	c.installed = rt->delta.count[DELTA_RIGHT];
	c.waiting = rt->delta.noted[NOTE_WAITING];
	c.conflicts = rt->delta.noted[NOTE_CONFLICT];
	c.failed = rt->delta.noted[NOTE_FAILED];
	return c;
}

void route_each(const struct route_table *rt, route_each_fn fn, void *arg)
{
	for (uint32_t id = delta_next(&rt->delta, DELTA_NONE); id != DELTA_NONE;
	     id = delta_next(&rt->delta, id)) {
		const struct route_value *v = delta_want_of(&rt->delta, id);
		struct route_spec s;

		if (!v)
			v = delta_have_of(&rt->delta, id);
		s = route_value_spec(v);
		fn(arg, delta_key(&rt->delta, id), state_of(rt, id), &s);
	}
}

int route_table_fd(const struct route_table *rt)
{
	return rt->events.fd;
}
