/* route_sync.c - what the kernel has: one dump, then events
 * WHY    Re-reading a table of 100 000 routes before every write is what makes others slow. Events
 *        that our own writes cause are dropped in the kernel (nl_ignore_routes_from): what we wrote
 *        we know from the answer.
 * SHAPE  judge() decides what a route in the kernel is to us; only what may matter is remembered,
 * so a full table of somebody else's costs nothing. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "dataplane/route_table.h"

enum {
	RESYNC_TRIES = 5,     /* dumps that a busy kernel interrupts */
	EVENTS_MAX = 1 << 14, /* datagrams a call */
};

enum judgement {
	NOT_OURS,  /* never touched */
	TAKE_OVER, /* replaced where the same key is wanted */
	OURS,
};

static bool is_table_ours(const struct route_table *rt, uint32_t table)
{
	for (unsigned i = 0; i < rt->n_tables; i++)
		if (rt->tables[i] == table)
			return true;
	return false;
}

static bool is_never_ours(const struct route_msg *r)
{
	const struct addr *a = &r->key.dst.addr;

	if (r->protocol == RTPROT_KERNEL || r->protocol == RTPROT_REDIRECT ||
	    r->protocol == RTPROT_RA)
		return true;
	if (r->type == RTN_LOCAL || r->type == RTN_BROADCAST || r->type == RTN_ANYCAST ||
	    r->type == RTN_MULTICAST)
		return true;
	return addr_is_multicast(a) || (a->family == IP_V6 && addr_is_link_local(a));
}

/* An event about a link may be on its way still; route_links.c looks again when it has come. */
static void note_unknown(struct route_table *rt, uint32_t ifindex)
{
	for (unsigned i = 0; i < rt->n_unknown; i++)
		if (rt->unknown[i] == ifindex)
			return;
	if (rt->n_unknown < ROUTE_UNKNOWN_MAX)
		rt->unknown[rt->n_unknown++] = ifindex;
}

/* Are all its hops workload interfaces? */
static bool is_on_workload(struct route_table *rt, const struct route_msg *r)
{
	for (unsigned i = 0; i < r->n_nh; i++) {
		const struct link *l = link_by_index(rt->links, r->nh[i].ifindex);

		if (!l)
			note_unknown(rt, r->nh[i].ifindex);
		if (!l || !route_is_workload(rt, l->name))
			return false;
	}
	return r->n_nh > 0;
}

static enum judgement judge(struct route_table *rt, const struct route_msg *r)
{
	static const uint8_t fallback[] = { ROUTE_PROTO_BIRD, 0 };
	const uint8_t *take = rt->cfg.take_over ? rt->cfg.take_over : fallback;

	if (is_never_ours(r))
		return NOT_OURS;
	if (r->protocol == rt->cfg.protocol)
		return OURS;
	if (r->key.dst.len == 0)
		return NOT_OURS;
	if (is_on_workload(rt, r) && (!rt->cfg.keep_external || r->protocol == ROUTE_PROTO_BOOT))
		return OURS;
	for (; *take; take++)
		if (r->protocol == *take)
			return TAKE_OVER;
	return NOT_OURS;
}

static struct route_value *value_of(struct route_table *rt, const struct route_msg *r, bool foreign)
{
	struct route_spec s = {
		.type = (enum route_type)r->type,
		.protocol = r->protocol,
		.scope = r->scope,
		.mtu = r->mtu,
		.src = r->src,
		.n_nh = r->n_nh,
		.nh = r->nh,
	};

	return route_value_intern(rt, &s, foreign, r->unusual);
}

/* There is this route in the kernel. */
static void seen_route(struct route_table *rt, const struct route_msg *r)
{
	enum judgement j = judge(rt, r);
	uint32_t id = delta_find(&rt->delta, &r->key);
	bool wanted = id != DELTA_NONE && delta_want_of(&rt->delta, id);
	bool was_ours = id != DELTA_NONE && (*delta_mark(&rt->delta, id) & MARK_OURS);
	struct route_value *v;

	if (j != OURS && !wanted) {
		/* Something else lies where ours was, which nobody wants any more. */
		if (id != DELTA_NONE)
			delta_seen_id(&rt->delta, id, NULL);
		return;
	}
	v = value_of(rt, r, j == NOT_OURS && !was_ours);
	id = delta_seen(&rt->delta, &r->key, v);
	if (j == OURS)
		*delta_mark(&rt->delta, id) |= MARK_OURS;
	route_value_unref(rt, v);
}

static bool route_of(struct route_table *rt, const struct nlmsghdr *h, struct route_msg *r)
{
	return (h->nlmsg_type == RTM_NEWROUTE || h->nlmsg_type == RTM_DELROUTE) &&
	       route_msg_parse(h, r) && is_table_ours(rt, r->key.table);
}

static void on_dumped(void *arg, const struct nlmsghdr *h)
{
	struct route_msg r;

	if (route_of(arg, h, &r))
		seen_route(arg, &r);
}

static void gone_route(struct route_table *rt, const struct route_msg *r)
{
	uint32_t id = delta_find(&rt->delta, &r->key);
	const struct route_value *have = id == DELTA_NONE ? NULL : delta_have_of(&rt->delta, id);

	struct route_value *rest;

	/* With several routes under one key (append) the other one may be ours. */
	if (!have || (have->body.protocol != r->protocol && !have->body.foreign))
		return;
	if (r->n_nh >= have->body.n_nh) {
		delta_seen_id(&rt->delta, id, NULL);
		return;
	}
	/* IPv6 tells of one hop that went, and is silent on those that stay. */
	rest = route_value_unknown(rt, r->protocol);
	delta_seen_id(&rt->delta, id, rest);
	route_value_unref(rt, rest);
}

/* Not one of those that come with each interface and lead nowhere else. */
static bool leads_on(const struct route_msg *r)
{
	const struct addr *a = &r->key.dst.addr;

	return !addr_is_multicast(a) && !(a->family == IP_V6 && addr_is_link_local(a));
}

static void on_event(void *arg, const struct nlmsghdr *h)
{
	struct route_table *rt = arg;
	struct route_msg r;
	uint32_t id;
	bool right;

	if (!route_of(rt, h, &r))
		return;
	if (rt->cfg.gateway && route_covers_gateway(&r.key))
		rt->gateway_stale = true;
	rt->counts.others += r.protocol != rt->cfg.protocol && leads_on(&r);
	id = delta_find(&rt->delta, &r.key);
	right = id != DELTA_NONE && delta_list_of(&rt->delta, id) == DELTA_RIGHT;
	if (h->nlmsg_type == RTM_NEWROUTE)
		seen_route(rt, &r);
	else
		gone_route(rt, &r);
	id = delta_find(&rt->delta, &r.key);
	if (right && id != DELTA_NONE && delta_list_of(&rt->delta, id) != DELTA_RIGHT)
		rt->counts.foreign++;
}

static int dump_one(struct route_table *rt, enum ip_family family, uint32_t table, uint32_t oif,
		    struct err *e)
{
	struct nl_buf b = { 0 };
	int rc;

	route_msg_put_dump(&b, family, table, oif);
	rc = nl_dump(&rt->requests, &b, on_dumped, rt, e);
	nl_buf_done(&b);
	/* A table that nobody has put anything into; or a kernel without IPv6. */
	return rc == -ENOENT || rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP ? 0 : rc;
}

static int dump_all(struct route_table *rt, uint32_t oif, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < rt->n_tables && rc == 0; i++) {
		rc = dump_one(rt, IP_V4, rt->tables[i], oif, e);
		if (rc == 0)
			rc = dump_one(rt, IP_V6, rt->tables[i], oif, e);
	}
	return rc;
}

int route_resync(struct route_table *rt, struct err *e)
{
	int rc = -EINTR;

	route_flight_land(rt);
	rt->n_unknown = 0;
	for (int i = 0; i < RESYNC_TRIES && rc == -EINTR; i++) {
		delta_resync_begin(&rt->delta);
		rc = dump_all(rt, 0, e);
	}
	if (rc < 0) {
		rt->resync = true;
		return err_wrap(e, "listing routes");
	}
	delta_resync_end(&rt->delta);
	rt->resync = false;
	rt->counts.resyncs++;
	rt->counts.others++;
	rt->gateway_stale = true;
	/* Whoever held a key is known now, or gone. */
	delta_release(&rt->delta, NOTE_TAKEN);
	return 0;
}

int route_dump_link(struct route_table *rt, uint32_t ifindex, struct err *e)
{
	return dump_all(rt, ifindex, e);
}

int route_drain_events(struct route_table *rt)
{
	int rc;

	route_flight_land(rt);
	rc = nl_read_events(&rt->events, EVENTS_MAX, on_event, rt);

	if (rc == -ENOBUFS)
		rt->resync = true;
	return rc;
}

int route_table_resync(struct route_table *rt, struct err *e)
{
	return route_resync(rt, e);
}

int route_table_read(struct route_table *rt, struct err *e)
{
	int rc = route_drain_events(rt);

	if (rc == -ENOBUFS) {
		rc = route_resync(rt, e);
		return rc < 0 ? rc : 1;
	}
	return rc < 0 ? err_set(e, rc, "route events: %s", strerror(-rc)) : 0;
}
