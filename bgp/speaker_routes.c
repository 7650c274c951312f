/* speaker_routes.c - UPDATEs into the tables, and from dirty prefixes to best paths
 *
 * SHAPE  An UPDATE only changes paths and makes nets dirty. bgp_speaker_decide takes dirty nets,
 *        and for each: usable paths -> decide -> flags, next hops for the FIB, export per group. */
#include "bgp/speaker_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- UPDATEs in ---- */

enum { AHEAD = 32 };

/* The next routes of a range, AHEAD at most, with what the RIB will look at on its way into the cache:
 * waiting for memory one by one would be half of the work. */
static unsigned take_some(const struct bgp_rib *rib, struct bgp_nlri_range *range,
			  struct bgp_nlri out[static AHEAD], enum bgp_rib_step last)
{
	unsigned n = 0;

	while (n < AHEAD && bgp_nlri_next(range, &out[n]))
		bgp_rib_prefetch(rib, &out[n++].prefix, BGP_RIB_STEP_SLOT);
	if (n == 1)
		return n;
	for (enum bgp_rib_step step = BGP_RIB_STEP_NET; step <= last; step++)
		for (unsigned i = 0; i < n; i++)
			bgp_rib_prefetch(rib, &out[i].prefix, step);
	return n;
}

static void withdraw_range(struct bgp_peer *p, struct bgp_nlri_range range)
{
	struct bgp_rib *rib = &p->sp->rib[range.af];
	struct bgp_nlri route[AHEAD];
	unsigned n;

	while ((n = take_some(rib, &range, route, BGP_RIB_STEP_INTERNED))) {
		for (unsigned i = 0; i < n; i++)
			bgp_rib_withdraw(rib, &route[i].prefix, p->source, route[i].path_id);
	}
}

uint32_t bgp_peer_prefix_limit(const struct bgp_peer *p)
{
	return p->config.prefix_limit ? p->config.prefix_limit : BGP_PREFIX_LIMIT_DEFAULT;
}

/* RFC 4486 4: Cease/1 carries the family and the limit. */
static void over_limit(struct bgp_peer *p, enum bgp_af af)
{
	const struct bgp_af_info *info = bgp_af_info(af);
	uint8_t data[7];
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];
	uint32_t restart = p->config.prefix_limit_restart_s;

	if (!restart)
		restart = BGP_PREFIX_LIMIT_RESTART_S;
	if (restart > BGP_PREFIX_LIMIT_RESTART_MAX_S)
		restart = BGP_PREFIX_LIMIT_RESTART_MAX_S;
	put_u16(data, info->afi);
	data[2] = info->safi;
	put_u32(data + 3, bgp_peer_prefix_limit(p));
	n = bgp_notification(BGP_ERR_CEASE, BGP_CEASE_MAX_PREFIXES, data, sizeof(data));
	snprintf(
		why, sizeof(why),
		"more than %u %s prefixes: raise the peer's prefix limit or have it announce less; "
		"trying again in %u s",
		bgp_peer_prefix_limit(p), info->name, restart);
	bgp_session_fail_for(p->session, restart * 1000);
	bgp_session_fail(p->session, &n, why, p->sp->now);
}

/* RFC 4271 6.3: what can be no route is ignored, the rest of the message is not. In a kernel it would
 * catch what is meant for this host, or for groups. */
static bool is_martian(const struct prefix *p)
{
	uint8_t first = p->addr.b[0];

	if (p->addr.family == IP_V4)
		return (p->len >= 8 && (first == 0 || first == 127)) ||
		       (p->len >= 4 && first >> 4 == 14) ||
		       (p->len == 32 && addr_to_v4(&p->addr) == UINT32_MAX);
	return (p->len >= 8 && first == 0xff) || (p->len >= 10 && addr_is_link_local(&p->addr)) ||
	       (p->len == 128 && (addr_is_loopback(&p->addr) || addr_is_zero(&p->addr)));
}

static void not_taken(struct bgp_peer *p, const struct prefix *prefix, const char *why)
{
	char text[PREFIX_STR_MAX];

	bgp_speaker_log(p->sp, p, BGP_LEVEL_WARN, "%s was not taken: %s",
			prefix_format(prefix, text), why);
}

/* False: the session must end. */
static bool announce_one(struct bgp_peer *p, enum bgp_af af, const struct bgp_nlri *n,
			 struct bgp_attrs *attrs)
{
	struct bgp_rib *rib = &p->sp->rib[af];
	struct bgp_attrs *in;
	enum bgp_rib_change c;

	if (is_martian(&n->prefix)) {
		not_taken(p, &n->prefix, "no route can have these addresses");
		return true;
	}
	in = bgp_peer_import(p, af, &n->prefix, attrs);
	if (!in) {
		bgp_rib_withdraw(rib, &n->prefix, p->source, n->path_id);
		return true;
	}
	c = bgp_rib_announce(rib, &n->prefix, p->source, n->path_id, in);
	bgp_attrs_unref(p->sp->attrs, in);
	if (c == BGP_RIB_FULL) {
		not_taken(p, &n->prefix, "there are too many paths to it, or prefixes in all");
	} else if (c == BGP_RIB_NEW && p->source->af[af].paths > bgp_peer_prefix_limit(p)) {
		over_limit(p, af);
		return false;
	}
	return true;
}

static bool announce_range(struct bgp_peer *p, struct bgp_nlri_range range, struct bgp_attrs *attrs)
{
	const struct bgp_rib *rib = &p->sp->rib[range.af];
	struct bgp_nlri route[AHEAD];
	unsigned n;

	while ((n = take_some(rib, &range, route, BGP_RIB_STEP_NET))) {
		for (unsigned i = 0; i < n; i++) {
			if (!announce_one(p, range.af, &route[i], attrs))
				return false;
		}
	}
	return true;
}

/* What a peer puts on its prefixes has a limit, too, that real ones are far from. */
static bool is_too_much(const struct bgp_peer *p, const struct bgp_attrs *attrs)
{
	const struct bgp_speaker *sp = p->sp;
	size_t max = sp->global.attr_bytes_max ? sp->global.attr_bytes_max : BGP_ATTR_BYTES_MAX;

	return bgp_attr_table_bytes(sp->attrs) > max &&
	       bgp_attrs_bytes(attrs) > sizeof(*attrs) + BGP_ATTR_BYTES_USUAL;
}

static void leave_out(struct bgp_peer *p, const struct bgp_nlri_range *range,
		      const struct bgp_attrs *attrs)
{
	bgp_speaker_log(
		p->sp, p, BGP_LEVEL_WARN,
		"%u routes are treated as withdrawn: %zu bytes of attributes, and those of all "
		"routes have %zu already",
		range->count, bgp_attrs_bytes(attrs), bgp_attr_table_bytes(p->sp->attrs));
	withdraw_range(p, *range);
}

void bgp_peer_update(struct bgp_peer *p, const struct bgp_update *u)
{
	for (unsigned i = 0; i < u->n_withdrawn; i++)
		withdraw_range(p, u->withdrawn[i]);
	for (unsigned i = 0; i < u->n_announced; i++) {
		if (is_too_much(p, u->attrs[i]))
			leave_out(p, &u->announced[i], u->attrs[i]);
		else if (!announce_range(p, u->announced[i], u->attrs[i]))
			return;
	}
}

/* ---- which paths are usable ---- */

/* Order for the decision: on a link of ours before the metric of whatever route leads there. */
static uint32_t igp_cost(const struct bgp_resolution *res)
{
	if (res->connected)
		return 0;
	return res->metric == UINT32_MAX ? UINT32_MAX : res->metric + 1;
}

static enum bgp_reason check_attrs(struct bgp_speaker *sp, const struct bgp_source *src,
				   const struct bgp_attrs *attrs, uint32_t *cost)
{
	enum bgp_reason reason = bgp_import_check(&sp->policy, src, attrs);
	struct addr hop = bgp_hop_of(src, attrs), plain;
	struct bgp_resolution res;

	*cost = 0;
	if (reason != BGP_REASON_OK)
		return reason;
	/* on the very link of the session, which is up */
	if (bgp_hop_link(&hop, &plain))
		return BGP_REASON_OK;
	if (hop.family == IP_NONE)
		return BGP_REASON_NEXT_HOP_UNREACHABLE;
	res = bgp_next_hops_get(&sp->next_hops, &hop);
	*cost = igp_cost(&res);
	return res.reachable ? BGP_REASON_OK : BGP_REASON_NEXT_HOP_UNREACHABLE;
}

static enum bgp_reason check_path(struct bgp_speaker *sp, enum bgp_af af,
				  const struct bgp_path *path, uint32_t *cost)
{
	const struct bgp_source *src = bgp_source_at(&sp->sources, path->source);
	struct bgp_memo *m = &sp->memo[(path->attrs->hash ^ src->serial) % BGP_MEMO];

	*cost = 0;
	if (src->af[af].state == BGP_SOURCE_DEAD)
		return BGP_REASON_SESSION_GONE;
	if (src->index == 0)
		return BGP_REASON_OK;
	/* RFC 9494 4.2 */
	if (src->af[af].long_lived && path->attrs->marks & BGP_MARK_NO_LLGR)
		return BGP_REASON_NO_LLGR;
	if (m->attrs != path->attrs || m->serial != src->serial || m->run != sp->run) {
		m->attrs = path->attrs;
		m->serial = src->serial;
		m->run = sp->run;
		m->reason = check_attrs(sp, src, path->attrs, &m->igp_cost);
	}
	*cost = m->igp_cost;
	return m->reason;
}

unsigned bgp_speaker_candidates(struct bgp_speaker *sp, enum bgp_af af, const struct bgp_net *net,
				enum bgp_reason *why)
{
	struct bgp_path one;
	const struct bgp_path *p;
	unsigned n, usable = 0;

	p = bgp_net_paths(net, &one, &n);
	vec_reserve(&sp->cand, n);
	for (unsigned i = 0; i < n; i++) {
		const struct bgp_source *src = bgp_source_at(&sp->sources, p[i].source);
		uint32_t cost;
		enum bgp_reason reason = check_path(sp, af, &p[i], &cost);

		if (why)
			why[i] = reason;
		if (reason != BGP_REASON_OK)
			continue;
		sp->cand.p[usable++] = (struct bgp_candidate) {
			.attrs = p[i].attrs,
			.source = src,
			.path_id = p[i].id,
			.igp_cost = cost,
			.tag = i,
			.long_stale = bgp_is_long_stale(src, af, p[i].attrs),
		};
	}
	return usable;
}

/* ---- decisions ---- */

/* Paths of one net that are as much work as another net. */
enum { PATHS_PER_BUDGET = 16 };

static int addr_order(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* Calico ties the two; where the node has no priority of its own, nobody asks for any.
 * DIFFERS: a route of the usual priority has no metric, where Calico's has 1024. One prefix has one
 * route of ours, so only what is meant to come before or behind routes of others needs a metric. */
static uint32_t metric_of(const struct bgp_speaker *sp, enum bgp_af af,
			  const struct bgp_candidate *best)
{
	uint32_t pref = bgp_effective_local_pref(&sp->policy, af, best->source, best->attrs),
		 metric;

	if (!sp->global.normal_priority[af])
		return 0;
	metric = pref < BGP_PRIORITY_BASE ? BGP_PRIORITY_BASE - pref : 1;
	return metric == BGP_PRIORITY_USUAL ? 0 : metric;
}

static void want_hops(struct bgp_speaker *sp, enum bgp_af af, uint32_t index,
		      const struct bgp_net *net, unsigned n)
{
	struct prefix p = bgp_net_prefix(&sp->rib[af], net);
	struct addr hop[BGP_MULTIPATH_MAX];

	if (n && bgp_fib_check(&sp->policy, &p, sp->cand.p[0].source) != BGP_REASON_OK)
		n = 0;
	for (unsigned i = 0; i < n; i++)
		hop[i] = bgp_hop_of(sp->cand.p[i].source, sp->cand.p[i].attrs);
	if (n > 1)
		qsort(hop, n, sizeof(hop[0]), addr_order);
	bgp_fib_want(&sp->fib, af, index, hop, n, n ? metric_of(sp, af, &sp->cand.p[0]) : 0);
}

/* cand[0..usable) are decided; the first `multi` share the load. True when the choice is
 * another. */
static bool set_flags(struct bgp_speaker *sp, enum bgp_af af, struct bgp_net *net, unsigned usable,
		      unsigned multi)
{
	bool changed = bgp_net_untouch(net);
	struct bgp_path one;
	unsigned n;

	bgp_net_paths(net, &one, &n);
	if (usable < n) {
		changed = true;
		for (unsigned i = 0; i < n; i++)
			bgp_net_set_flags(&sp->rib[af], net, i, 0);
	}
	for (unsigned i = 0; i < usable; i++) {
		uint8_t flags = BGP_PATH_USABLE;

		flags |= i == 0 ? BGP_PATH_BEST : 0;
		flags |= i < multi ? BGP_PATH_MULTI : 0;
		changed |= bgp_net_set_flags(&sp->rib[af], net, sp->cand.p[i].tag, flags);
	}
	return changed;
}

/* force: a policy may have changed, so the same choice may have other consequences. How much of the
 * budget it took: a net with thousands of paths is not one of many. */
static unsigned decide_net(struct bgp_speaker *sp, enum bgp_af af, uint32_t index, bool force)
{
	struct bgp_net *net = bgp_rib_net(&sp->rib[af], index);
	unsigned usable = bgp_speaker_candidates(sp, af, net, NULL), multi;
	unsigned max = sp->global.max_paths, cost;
	struct bgp_path best;
	bool other;

	cost = 1 + usable / PATHS_PER_BUDGET;
	multi = bgp_decide(sp->cand.p, usable, max > BGP_MULTIPATH_MAX ? BGP_MULTIPATH_MAX : max);
	other = set_flags(sp, af, net, usable, multi) || force;
	if (!other && !sp->adjout[af].n_add_path)
		return cost;
	if (other)
		want_hops(sp, af, index, net, multi);
	bgp_adjout_update(&sp->adjout[af], index, bgp_net_best(net, &best) ? &best : NULL, other);
	if (net->flags & BGP_NET_EMPTY)
		bgp_speaker_net_release(sp, af, index);
	return cost;
}

static unsigned less(unsigned budget, unsigned cost)
{
	return budget > cost ? budget - cost : 0;
}

void bgp_speaker_net_release(struct bgp_speaker *sp, enum bgp_af af, uint32_t index)
{
	struct bgp_net *net = bgp_rib_net(&sp->rib[af], index);

	if ((net->flags & ~BGP_PATH_FLAGS_) != BGP_NET_EMPTY || net->hops ||
	    bgp_adjout_holds(&sp->adjout[af], index))
		return;
	bgp_rib_net_free(&sp->rib[af], index);
}

/* As take_some: the next dirty nets, with what their exports will look at. */
static unsigned look_ahead(const struct bgp_speaker *sp, enum bgp_af af)
{
	uint32_t net[AHEAD];
	unsigned n = bgp_rib_peek_dirty(&sp->rib[af], net, AHEAD);

	if (n <= 1)
		return n;
	for (enum bgp_adjout_step step = 0; step < BGP_ADJOUT_STEP_MAX_; step++)
		for (unsigned i = 0; i < n; i++)
			bgp_adjout_prefetch(&sp->adjout[af], net[i], step);
	return n;
}

unsigned bgp_speaker_decide(struct bgp_speaker *sp, enum bgp_af af, unsigned budget)
{
	unsigned ahead = 0;

	while (budget) {
		uint32_t net;

		if (!ahead)
			ahead = look_ahead(sp, af);
		net = bgp_rib_next_dirty(&sp->rib[af]);
		if (net == BGP_NET_NONE)
			break;
		budget = less(budget, decide_net(sp, af, net, false));
		ahead--;
	}
	return budget;
}

unsigned bgp_speaker_redo_some(struct bgp_speaker *sp, enum bgp_af af, unsigned budget)
{
	const struct bgp_rib *rib = &sp->rib[af];

	while (budget && sp->redo[af] < rib->n_nets) {
		uint32_t net = sp->redo[af]++;
		bool there = !(bgp_rib_net(rib, net)->flags & BGP_NET_FREE);

		budget = less(budget, there ? decide_net(sp, af, net, true) : 1);
	}
	if (sp->redo[af] >= rib->n_nets)
		sp->redo[af] = BGP_NET_NONE;
	return budget;
}

/* ---- the forwarding table ---- */

bool bgp_speaker_next_fib_change(struct bgp_speaker *sp, struct bgp_fib_change *out)
{
	enum bgp_fib_step step;
	enum bgp_af af;
	uint32_t net;

	for (;;) {
		step = bgp_fib_next(&sp->fib, out, &af, &net);
		if (step == BGP_FIB_NONE)
			return false;
		if (!bgp_rib_net(&sp->rib[af], net)->hops)
			bgp_speaker_net_release(sp, af, net);
		if (step == BGP_FIB_CHANGE)
			return true;
	}
}

void bgp_speaker_retell_fib(struct bgp_speaker *sp)
{
	bgp_fib_retell(&sp->fib);
}
