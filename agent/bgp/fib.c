/* fib.c - what BGP chose, as routes for the kernel
 * SHAPE  A next hop on a link becomes `via NEXTHOP dev LINK onlink`. Another one is looked up in
 *        the kernel: the gateway of the route that covers it is the gateway here too. Claims of the
 *        present speaker have source 0, adopted ones source 1; the first makes the second go.
 *        Where that route is BGP's, the next one behind it that is not ours (fib_others.h).
 *        In IPIP pools each next hop apart is plain or `via NEXTHOP dev tunl0 onlink` (encap.h).
 * DIFFERS: Calico's BIRD installs an `unreachable` route for an unresolved next hop, and loses its
 *        tunnel on ECMP. Here an unresolved next hop is left out, every hop is onlink.
 * TESTS  tests/netns/test_bgp.py, test_restart.py, test_next_hops.py */
#include "agent/bgp/fib.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/agent.h"
#include "agent/bgp/bgp_knobs.h"
#include "agent/bgp/fib_others.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/overlay/overlay.h"
#include "agent/routes.h"
#include "dataplane/netlink.h"
#include "dataplane/route_msg.h"

enum {
	SOURCE_BGP,
	SOURCE_ADOPTED,
	SOURCE_GATEWAY, /* reachableBy */
	/* Remembered next hops: one for each node of the largest cluster, thrice. Above it all are
	 * forgotten, and what is not remembered is not looked at again when roads change. */
	HOPS_MAX = 16384,
};

/* How a next hop is reached, as of the last look. */
struct hop {
	struct addr addr; /* the key */
	struct bgp_resolution res;
	struct route_nh nh;
	bool pod; /* of this node: no tunnel leads there */
	UT_hash_handle hh;
};

struct adopted {
	struct prefix dst; /* BGP speaks of prefixes, whatever the metric was */
	struct route_key key;
	struct route_spec spec; /* with nh, until it is claimed */
	struct route_nh *nh;
	UT_hash_handle hh;
};

struct fib {
	struct agent *agent;
	struct nl_sock nl;
	struct fib_others *others;
	struct hop *hops;
	VEC(struct fib_gateway) gateways;
	char *ignored; /* interfaces; NULL: none */
	struct adopted *adopted;
	size_t n_adopted;
};

/* ---- next hops ---- */

/* The route that covers addr, as the kernel's answer. */
struct lookup {
	struct hop *hop;
	const struct fib *fib;
	bool bgp; /* it is BGP's: no answer */
};

static void take_nexthop(struct hop *h, const struct nlattr *const tb[])
{
	h->nh.gw = nl_attr_addr(tb[RTA_GATEWAY]);
	h->nh.ifindex = nl_attr_u32(tb[RTA_OIF]);
	h->res.metric = nl_attr_u32(tb[RTA_PRIORITY]);
}

/* Of several the first: BGP's ECMP is over next hops, not over the ways to one of them. */
static bool take_multipath(struct hop *h, const struct nlattr *mp)
{
	const struct rtnexthop *first = nl_attr_data(mp);
	const struct nlattr *tb[RTA_MAX + 1];

	if (nl_attr_len(mp) < sizeof(*first) || first->rtnh_len < sizeof(*first) ||
	    first->rtnh_len > nl_attr_len(mp))
		return false;
	nl_attrs_in(first + 1, first->rtnh_len - sizeof(*first), tb, RTA_MAX);
	h->nh.gw = nl_attr_addr(tb[RTA_GATEWAY]);
	h->nh.ifindex = (uint32_t)first->rtnh_ifindex;
	return true;
}

static bool is_bgps(const struct fib *f, const struct nlmsghdr *msg)
{
	const struct route_table *rt = routes_table(f->agent->routes);
	struct route_msg r;

	return route_msg_parse(msg, &r) &&
	       (route_has_claim(rt, ROUTE_CLASS_NOENCAP, SOURCE_BGP, &r.key) ||
		route_has_claim(rt, ROUTE_CLASS_NOENCAP, SOURCE_ADOPTED, &r.key));
}

static void take_route(void *arg, const struct nlmsghdr *msg)
{
	struct lookup *l = arg;
	struct hop *h = l->hop;
	const struct rtmsg *rt = nl_body(msg, sizeof(*rt));
	const struct nlattr *tb[RTA_MAX + 1];

	if (msg->nlmsg_type != RTM_NEWROUTE || !rt || rt->rtm_type != RTN_UNICAST)
		return;
	if (rt->rtm_protocol == l->fib->agent->cfg->route_protocol) {
		l->bgp = is_bgps(l->fib, msg);
		return;
	}
	nl_attrs(msg, sizeof(*rt), tb, RTA_MAX);
	take_nexthop(h, tb);
	if (tb[RTA_MULTIPATH] && !take_multipath(h, tb[RTA_MULTIPATH]))
		return;
	h->res.reachable = h->nh.ifindex != 0;
}

/* Behind BGP's route there may be one of others. */
static void ask_others(struct fib *f, struct hop *h)
{
	uint64_t generation = route_counts(routes_table(f->agent->routes)).others;

	h->res.reachable = fib_others_find(f->others, generation, &h->addr, &h->nh, &h->res.metric);
}

static void ask_kernel(struct fib *f, struct hop *h)
{
	struct rtmsg rt = {
		.rtm_family = nl_family((enum ip_family)h->addr.family),
		.rtm_dst_len = (uint8_t)addr_bits((enum ip_family)h->addr.family),
		.rtm_flags = RTM_F_FIB_MATCH,
	};
	struct lookup l = { h, f, false };
	struct nl_buf b = { 0 };
	struct err e;

	nl_msg(&b, RTM_GETROUTE, 0, &rt, sizeof(rt));
	nl_add_addr(&b, RTA_DST, &h->addr);
	/* No route is an answer: unreachable. */
	if (nl_ask(&f->nl, &b, take_route, &l, &e) < 0)
		h->res.reachable = false;
	nl_buf_done(&b);
	if (l.bgp)
		ask_others(f, h);
	/* A route out of a device without a gateway: the next hop is a neighbour after all. */
	if (h->nh.gw.family == IP_NONE)
		h->nh.gw = h->addr;
	h->nh.onlink = true;
}

/* The way's interface by its name, for filters that ask and for status. */
static void name_interface(const struct fib *f, struct hop *h)
{
	const struct link *l = h->nh.ifindex ? link_by_index(f->agent->links, h->nh.ifindex) : NULL;

	if (l)
		str_copy(h->res.ifname, sizeof(h->res.ifname), l->name);
}

/* The gateway of a peer, else the address itself. */
static const struct addr *by_way_of(const struct fib *f, const struct addr *a)
{
	for (size_t i = 0; i < f->gateways.n; i++)
		if (addr_eq(&f->gateways.p[i].peer, a) && !f->gateways.p[i].pod[0])
			return &f->gateways.p[i].gateway;
	return a;
}

static bool resolve_pod(const struct fib *f, struct hop *h)
{
	const struct link *l = NULL;

	h->pod = false;
	for (size_t i = 0; i < f->gateways.n && !h->pod; i++) {
		const struct fib_gateway *g = &f->gateways.p[i];

		h->pod = g->pod[0] && addr_eq(&g->peer, &h->addr);
		l = h->pod ? link_by_name(f->agent->links, g->pod) : NULL;
	}
	if (!l || !l->up)
		return h->pod;
	h->res = (struct bgp_resolution) { .reachable = true, .connected = true };
	h->nh = (struct route_nh) { .gw = h->addr, .ifindex = l->index, .onlink = true };
	name_interface(f, h);
	return true;
}

/* SPEC  Calico's ignoredInterfaces. DIFFERS: a next hop on such a network does not resolve, where
 * BIRD would go on to a default route that the kernel does not use for it. */
static bool is_ignored(const struct fib *f, const struct hop *h)
{
	return f->ignored && h->res.ifname[0] &&
	       bgp_knobs_has_interface(f->ignored, h->res.ifname) &&
	       (h->res.connected || addr_eq(&h->nh.gw, &h->addr));
}

static void resolve_any(struct fib *f, struct hop *h)
{
	const struct addr *to = by_way_of(f, &h->addr);
	const struct link *l = link_by_subnet(f->agent->links, to, NULL);

	if (link_by_addr(f->agent->links, &h->addr, NULL))
		return; /* our own address: not a way to anywhere */
	if (!l || !l->up) {
		ask_kernel(f, h);
		name_interface(f, h);
		return;
	}
	h->res = (struct bgp_resolution) { .reachable = true, .connected = to == &h->addr };
	h->nh = (struct route_nh) { .gw = *to, .ifindex = l->index, .onlink = true };
	name_interface(f, h);
}

static void resolve(struct fib *f, struct hop *h)
{
	if (resolve_pod(f, h))
		return;
	resolve_any(f, h);
	if (is_ignored(f, h))
		h->res = (struct bgp_resolution) { .reachable = false };
}

static void forget_hops(struct fib *f)
{
	struct hop *h, *next;

	HASH_ITER (hh, f->hops, h, next) {
		HASH_DEL(f->hops, h);
		free(h);
	}
}

static const struct hop *hop_get(struct fib *f, const struct addr *a)
{
	struct hop *h;

	HASH_FIND(hh, f->hops, a, sizeof(*a), h);
	if (h)
		return h;
	if (HASH_COUNT(f->hops) >= HOPS_MAX)
		forget_hops(f);
	h = xcalloc(1, sizeof(*h));
	h->addr = *a;
	resolve(f, h);
	HASH_ADD(hh, f->hops, addr, sizeof(h->addr), h);
	return h;
}

struct bgp_resolution fib_resolve(void *arg, const struct addr *next_hop)
{
	return hop_get(arg, next_hop)->res;
}

static bool same_answer(const struct hop *a, const struct hop *b)
{
	return str_eq(a->res.ifname, b->res.ifname) && a->res.reachable == b->res.reachable &&
	       a->res.connected == b->res.connected && a->res.metric == b->res.metric &&
	       a->nh.ifindex == b->nh.ifindex && addr_eq(&a->nh.gw, &b->nh.gw);
}

bool fib_recheck(struct fib *f)
{
	bool differs = false;

	for (struct hop *h = f->hops; h; h = h->hh.next) {
		struct hop fresh = { .addr = h->addr };

		resolve(f, &fresh);
		differs = differs || !same_answer(h, &fresh);
		h->res = fresh.res;
		h->nh = fresh.nh;
		h->pod = fresh.pod;
	}
	return differs;
}

/* ---- adopted routes ---- */

static struct route_key key_of(const struct prefix *dst, uint32_t metric)
{
	struct route_key key;

	memset(&key, 0, sizeof(key));
	key.dst = *dst;
	key.metric = metric;
	return key;
}

static void adopted_drop(struct fib *f, struct adopted *a)
{
	route_forget(routes_table(f->agent->routes), ROUTE_CLASS_NOENCAP, SOURCE_ADOPTED, &a->key);
	HASH_DEL(f->adopted, a);
	free(a->nh);
	free(a);
}

/* Ours, with a gateway, out of no pod's interface: it came from BGP. */
static bool is_from_bgp(const struct fib *f, enum route_state state, const struct route_spec *spec)
{
	if (state != ROUTE_LEAVING || !spec || spec->n_nh == 0 ||
	    (spec->type != ROUTE_UNICAST && spec->type != 0))
		return false;
	if (spec->protocol && spec->protocol != f->agent->cfg->route_protocol)
		return false;
	for (unsigned i = 0; i < spec->n_nh; i++)
		if (spec->nh[i].gw.family == IP_NONE)
			return false;
	return true;
}

/* Claiming during the walk would change what is walked: specs are copied first. */
static void note_adopted(void *arg, const struct route_key *key, enum route_state state,
			 const struct route_spec *spec)
{
	struct fib *f = arg;
	struct adopted *a, *old;

	if (!is_from_bgp(f, state, spec))
		return;
	a = xcalloc(1, sizeof(*a));
	memcpy(&a->key, key, sizeof(a->key));
	a->spec = *spec;
	a->spec.nh = a->nh = xmemdup(spec->nh, spec->n_nh * sizeof(*spec->nh));
	a->dst = key->dst;
	HASH_FIND(hh, f->adopted, &a->dst, sizeof(a->dst), old);
	if (old) {
		free(a->nh);
		free(a);
		return;
	}
	HASH_ADD(hh, f->adopted, dst, sizeof(a->dst), a);
}

static void adopt(struct fib *f)
{
	struct route_table *rt = routes_table(f->agent->routes);
	struct adopted *a, *next;
	struct err e = { 0 };

	route_each(rt, note_adopted, f);
	HASH_ITER (hh, f->adopted, a, next) {
		int rc = route_desire(rt, ROUTE_CLASS_NOENCAP, SOURCE_ADOPTED, &a->key, &a->spec,
				      &e);

		free(TAKE(a->nh));
		a->spec.nh = NULL;
		if (rc < 0) {
			log_warn("fib", "cannot keep a route of the last life", "why=%s", e.msg);
			adopted_drop(f, a);
		}
	}
	f->n_adopted = HASH_COUNT(f->adopted);
	if (f->n_adopted)
		log_info("fib", "keeping the routes of the last life until peers have told theirs",
			 "routes=%zu", f->n_adopted);
}

void fib_release_adopted(struct fib *f)
{
	struct adopted *a, *next;

	if (f->adopted)
		log_info("fib", "routes of the last life that no peer told again may go",
			 "routes=%zu", fib_waiting(f));
	HASH_ITER (hh, f->adopted, a, next)
		adopted_drop(f, a);
	routes_changed(f->agent->routes);
}

size_t fib_adopted(const struct fib *f)
{
	return f->n_adopted;
}

size_t fib_waiting(const struct fib *f)
{
	return HASH_COUNT(f->adopted);
}

/* ---- changes ---- */

/* Two next hops behind one gateway are one for the kernel. */
static void add_hop(struct route_spec *s, struct route_nh *nh, const struct route_nh *hop)
{
	for (unsigned k = 0; k < s->n_nh; k++)
		if (nh[k].ifindex == hop->ifindex && str_eq(nh[k].ifname, hop->ifname) &&
		    addr_eq(&nh[k].gw, &hop->gw))
			return;
	nh[s->n_nh++] = *hop;
}

/* A neighbour on a link of ours (unnumbered): no tunnel ends at a link-local address. */
static void take_link_hop(struct fib *f, const struct bgp_fib_change *c, size_t i,
			  struct route_spec *s, struct route_nh *nh)
{
	struct route_nh hop = { .gw = c->next_hop[i], .ifindex = c->ifindex[i] };

	if (overlay_bgp(f->agent->overlay, &c->prefix, &c->next_hop[i]) != ENCAP_BGP_REJECT)
		add_hop(s, nh, &hop);
}

/* One next hop by the rule of its pool. True: the route belongs into a tunnel that there is not. */
static bool take_hop(struct fib *f, const struct bgp_fib_change *c, const struct addr *next_hop,
		     struct route_spec *s, struct route_nh *nh)
{
	struct route_nh tunnel = { .gw = *next_hop, .onlink = true };
	const struct hop *h = hop_get(f, next_hop);

	if (!h->res.reachable)
		return false;
	if (h->pod) {
		add_hop(s, nh, &h->nh);
		return false;
	}
	switch (overlay_bgp(f->agent->overlay, &c->prefix, next_hop)) {
	case ENCAP_BGP_PLAIN:
		add_hop(s, nh, &h->nh);
		break;
	case ENCAP_BGP_IPIP:
		str_copy(tunnel.ifname, sizeof(tunnel.ifname), tunnel_name(TUNNEL_IPIP));
		s->mtu = overlay_ipip_mtu(f->agent->overlay);
		add_hop(s, nh, &tunnel);
		break;
	case ENCAP_BGP_WAIT:
		return true;
	case ENCAP_BGP_REJECT:
		break;
	}
	return false;
}

static void next_hops(struct fib *f, const struct bgp_fib_change *c, struct route_spec *s,
		      struct route_nh *nh)
{
	bool waits = false;

	for (size_t i = 0; i < c->n && s->n_nh < ROUTE_NH_MAX; i++)
		if (c->ifindex[i])
			take_link_hop(f, c, i, s, nh);
		else
			waits |= take_hop(f, c, &c->next_hop[i], s, nh);
	/* Not into the open: a default route would carry it out, or round in a circle. */
	if (waits && !s->n_nh)
		s->type = ROUTE_BLACKHOLE;
}

static void fib_change(struct fib *f, const struct bgp_fib_change *c)
{
	struct route_table *rt = routes_table(f->agent->routes);
	struct route_key key = key_of(&c->prefix, c->metric),
			 old = key_of(&c->prefix, c->old_metric);
	struct route_nh nh[ROUTE_NH_MAX];
	struct route_spec spec = { .type = ROUTE_UNICAST, .nh = nh };
	struct adopted *a;
	char dst[PREFIX_STR_MAX];
	struct err e = { 0 };

	next_hops(f, c, &spec, nh);
	/* Another metric is another route: the new one goes in before the old one goes. */
	if (c->old_metric != c->metric)
		route_forget(rt, ROUTE_CLASS_NOENCAP, SOURCE_BGP, &old);
	if (spec.n_nh == 0 && spec.type != ROUTE_BLACKHOLE)
		route_forget(rt, ROUTE_CLASS_NOENCAP, SOURCE_BGP, &key);
	else if (route_desire(rt, ROUTE_CLASS_NOENCAP, SOURCE_BGP, &key, &spec, &e) < 0)
		log_from("fib", LOG_LEVEL_WARN, "fib", "a route from BGP cannot go into the kernel",
			 "route=%s why=%s", prefix_format(&c->prefix, dst), e.msg);
	HASH_FIND(hh, f->adopted, &c->prefix, sizeof(c->prefix), a);
	if (a)
		adopted_drop(f, a);
}

void fib_changes(struct fib *f, const struct bgp_fib_change *c, unsigned n)
{
	struct route_key keys[FIB_TOGETHER];

	if (!n)
		return;
	for (unsigned i = 0; i < n; i++)
		keys[i] = key_of(&c[i].prefix, c[i].metric);
	route_prefetch(routes_table(f->agent->routes), keys, n);
	for (unsigned i = 0; i < n; i++)
		fib_change(f, &c[i]);
	routes_changed(f->agent->routes);
}

/* ---- peers behind a gateway ---- */

static void claim_gateway(struct fib *f, const struct fib_gateway *g)
{
	struct prefix dst = prefix_of(&g->peer, addr_bits((enum ip_family)g->peer.family));
	struct route_key key = key_of(&dst, 0);
	const struct link *l = link_by_subnet(f->agent->links, &g->gateway, NULL);
	struct route_nh nh = { .gw = g->gateway };
	struct route_spec spec = { .type = ROUTE_UNICAST, .nh = &nh, .n_nh = 1 };
	char peer[ADDR_STR_MAX], gw[ADDR_STR_MAX];
	struct err e = { 0 };

	addr_format(&g->peer, peer);
	addr_format(&g->gateway, gw);
	if (!l) {
		log_from(peer, LOG_LEVEL_WARN, "fib",
			 "reachableBy must be an address on a link of this node",
			 "peer=%s reachable_by=%s", peer, gw);
		return;
	}
	nh.ifindex = l->index;
	if (route_desire(routes_table(f->agent->routes), ROUTE_CLASS_NOENCAP, SOURCE_GATEWAY, &key,
			 &spec, &e) < 0)
		log_from(peer, LOG_LEVEL_WARN, "fib", "no route to a peer by its gateway",
			 "peer=%s reachable_by=%s why=%s", peer, gw, e.msg);
}

static void drop_gateway(struct fib *f, const struct fib_gateway *g)
{
	struct prefix dst = prefix_of(&g->peer, addr_bits((enum ip_family)g->peer.family));
	struct route_key key = key_of(&dst, 0);

	route_forget(routes_table(f->agent->routes), ROUTE_CLASS_NOENCAP, SOURCE_GATEWAY, &key);
}

static bool has_gateway(const struct fib_gateway *g, size_t n, const struct fib_gateway *x)
{
	for (size_t i = 0; i < n; i++)
		if (!g[i].pod[0] && addr_eq(&g[i].peer, &x->peer))
			return true;
	return false;
}

void fib_set_gateways(struct fib *f, const struct fib_gateway *g, size_t n)
{
	if (!n && !f->gateways.n)
		return;
	vec_foreach (&f->gateways, old)
		if (!old->pod[0] && !has_gateway(g, n, old))
			drop_gateway(f, old);
	vec_clear(&f->gateways);
	for (size_t i = 0; i < n; i++) {
		vec_push(&f->gateways, g[i]);
		if (!g[i].pod[0])
			claim_gateway(f, &g[i]);
	}
	routes_changed(f->agent->routes);
}

void fib_set_ignored(struct fib *f, const char *list)
{
	free(f->ignored);
	f->ignored = list ? xstrdup(list) : NULL;
}

/* ---- life ---- */

struct fib *fib_new(struct agent *a, struct err *e)
{
	struct fib *f = xcalloc(1, sizeof(*f));

	f->agent = a;
	if (nl_open(&f->nl, e) < 0) {
		free(f);
		return NULL;
	}
	f->others = fib_others_new(&f->nl, (uint8_t)a->cfg->route_protocol);
	adopt(f);
	routes_claimed(a->routes, ROUTES_FIB);
	return f;
}

/* Leaves the claims: they end with the table, and the kernel keeps its routes. */
void fib_free(struct fib *f)
{
	struct adopted *a, *next;

	if (!f)
		return;
	forget_hops(f);
	HASH_ITER (hh, f->adopted, a, next) {
		HASH_DEL(f->adopted, a);
		free(a);
	}
	fib_others_free(f->others);
	nl_close(&f->nl);
	vec_done(&f->gateways);
	free(f->ignored);
	free(f);
}
