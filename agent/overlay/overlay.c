/* overlay.c - the roads to other nodes' pods: reading, devices, peers
 * SHAPE  Whatever changes marks what it touches and arms one turn, which goes this way:
 *
 *	  settings, pools, own node -> the world of encap.h; does it differ?
 *	    -> devices wanted, made; what the kernel cannot make
 *	      -> peers of nodes that changed (all, when the world did), written
 *	        -> blocks of these nodes: claims on the route table
 *
 *        So the entries of a peer are there before the first packet takes a route to it.
 * TESTS  tests/netns/test_encap.py; under tests/uml/run.sh with IPIP */
#include "agent/overlay/overlay.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/overlay/overlay_int.h"
#include "agent/bgp/peering.h"
#include "agent/cni/pod_mtu.h"
#include "dataplane/link.h"
#include "model/bgpconfig.h"
#include "model/ippool.h"
#include "model/ipamkey.h"
#include "model/key.h"

enum {
	PEER_BUDGET = 4096, /* entries in one turn: some 15 ms */
	HANDOVER_MS = 100,  /* between two looks whether BGP has taken over */
	RETRY_MS = 1000,    /* after the netlink socket failed */
	LINKS_MAX = 4096,   /* looked at for the MTU */
};

static const enum tunnel_kind kind_of[ENCAP_HOW_MAX_][ENCAP_SIDES] = {
	[ENCAP_IPIP] = { TUNNEL_IPIP, TUNNEL_IPIP },
	[ENCAP_VXLAN] = { TUNNEL_VXLAN, TUNNEL_VXLAN_V6 },
};

static void arm(struct event *ev, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	evtimer_add(ev, &tv);
}

static void changed(struct overlay *o)
{
	if (cache_synced(o->agent->cache) && !event_pending(o->turn, EV_TIMEOUT, NULL))
		arm(o->turn, 0);
}

/* ---- the world ---- */

static bool has_node_address(const struct overlay *o, const struct link *l)
{
	const struct encap_node *self = &o->world.self;

	for (size_t i = 0; i < l->addrs.n; i++)
		for (unsigned k = 0; k < ENCAP_SIDES; k++)
			if (addr_eq(&l->addrs.p[i].addr, &self->side[k].node.addr))
				return true;
	return false;
}

/* A node whose address is on lo is reached over links without one (unnumbered peering): those of the
 * machine, or a veth that is no pod's. */
static bool may_carry(const struct overlay *o, const struct link *l)
{
	return !l->loopback && (!l->kind[0] || str_eq(l->kind, "veth") || str_eq(l->kind, "bond")) &&
	       !str_starts(l->name, o->agent->cfg->interface_prefix);
}

static bool address_is_on_lo(const struct overlay *o)
{
	for (const struct link *l = link_next(o->agent->links, NULL); l;
	     l = link_next(o->agent->links, l))
		if (l->loopback && has_node_address(o, l))
			return true;
	return false;
}

/* any: count also those that are down. */
static uint32_t mtu_of_links(const struct overlay *o, const char *pattern, bool any, struct err *e)
{
	static struct encap_link list[LINKS_MAX];
	bool on_lo = address_is_on_lo(o);
	uint32_t mtu = 0;
	size_t n = 0;

	for (const struct link *l = link_next(o->agent->links, NULL); l && n < LINKS_MAX;
	     l = link_next(o->agent->links, l)) {
		bool has = on_lo ? may_carry(o, l) : has_node_address(o, l);

		/* Pods come by the thousand, and are what is to be sized. */
		if (str_starts(l->name, o->agent->cfg->interface_prefix))
			continue;
		list[n++] = (struct encap_link) { l->name, l->mtu, any || l->running, has };
	}
	(void)encap_host_mtu(list, n, pattern, &mtu, e);
	return mtu;
}

/* A cable that is pulled changes no size: what was known before holds until it is back. */
static uint32_t host_mtu(struct overlay *o, uint32_t before)
{
	const char *patterns[] = { o->config.mtu_pattern, NULL };
	struct err e = { 0 };
	uint32_t mtu, any;

	for (size_t i = patterns[0] ? 0 : 1; i < ARRAY_SIZE(patterns); i++) {
		mtu = mtu_of_links(o, patterns[i], false, &e);
		if (mtu)
			return mtu;
		any = mtu_of_links(o, patterns[i], true, NULL);
		if (any)
			return before ? before : any;
		if (!patterns[i])
			break;
		if (!e.msg[0])
			err_set(&e, -ENODEV, "mtuIfacePattern \"%.64s\" matches no interface",
				patterns[i]);
		str_addf(&o->remarks, "%s; taking the interface of the node's address\n", e.msg);
	}
	return before;
}

static void read_self(struct overlay *o)
{
	CLEANUP(freep) char *key = xasprintf(KEY_RESOURCES "nodes/%s", o->agent->cfg->node);

	overlay_read_node(cache_get(o->agent->cache, key), &o->world.self);
}

/* Routes and devices name it, so another one is another world though the address is the same. */
static void read_parents(struct overlay *o)
{
	memset(o->parent, 0, sizeof(o->parent));
	for (unsigned i = 0; i < ENCAP_SIDES; i++) {
		const struct addr *a = &o->world.self.side[i].node.addr;
		const struct link *l = a->family ? link_by_addr(o->agent->links, a, NULL) : NULL;

		if (!l)
			continue;
		o->parent[i].index = l->index;
		o->parent[i].loopback = l->loopback;
		str_copy(o->parent[i].name, sizeof(o->parent[i].name), l->name);
	}
}

static bool same_pools(const struct overlay_config *a, const struct overlay_config *b)
{
	for (size_t i = 0; i < a->pools.n && i < b->pools.n; i++) {
		const struct encap_pool *p = &a->pools.p[i], *q = &b->pools.p[i];

		if (!prefix_eq(&p->cidr, &q->cidr) || p->ipip != q->ipip || p->vxlan != q->vxlan)
			return false;
	}
	return a->pools.n == b->pools.n;
}

/* Read it anew. True when anything that a block's road depends on differs. */
static bool read_world(struct overlay *o)
{
	struct overlay_config old = o->config;
	struct encap_world before = o->world;
	struct overlay_parent parent[ENCAP_SIDES];
	bool same;

	memcpy(parent, o->parent, sizeof(parent));
	str_cut(&o->remarks, 0);
	overlay_config_read(o->agent, &o->config, &o->remarks);
	read_self(o);
	read_parents(o);
	o->world.set = o->config.set;
	o->world.set.host_mtu = host_mtu(o, before.set.host_mtu);
	o->world.pool = o->config.pools.p;
	o->world.n_pool = o->config.pools.n;
	same = same_pools(&old, &o->config) && old.vni == o->config.vni &&
	       old.port == o->config.port &&
	       memcmp(&before.set, &o->world.set, sizeof(before.set)) == 0 &&
	       memcmp(&before.self, &o->world.self, sizeof(before.self)) == 0 &&
	       memcmp(parent, o->parent, sizeof(parent)) == 0;
	overlay_config_done(&old);
	return !same;
}

/* ---- devices ---- */

static bool pool_asks(const struct encap_pool *p, enum encap_how how, unsigned side)
{
	return encap_of_pool(p) == how && (p->cidr.addr.family == IP_V6) == (side == ENCAP_V6);
}

/* The pools that need a kind of tunnel. */
static void tell_addresses(struct overlay *o, enum encap_how how, unsigned side, bool wanted)
{
	VEC(struct prefix) pools = { 0 };

	for (size_t i = 0; wanted && i < o->config.pools.n; i++)
		if (pool_asks(&o->config.pools.p[i], how, side))
			vec_push(&pools, o->config.pools.p[i].cidr);
	tunnel_addrs_set(o->addrs, kind_of[how][side], pools.p, pools.n);
	vec_done(&pools);
}

static bool fill_vxlan(const struct overlay *o, unsigned side, struct tunnel_spec *s)
{
	const struct encap_side *self = &o->world.self.side[side];
	const struct overlay_parent *parent = &o->parent[side];

	if (!parent->index)
		return false;
	*s = (struct tunnel_spec) {
		.addr = self->vtep,
		.mtu = o->devices.vxlan_mtu[side],
		.vni = o->config.vni,
		.port = o->config.port,
		/* Bound to lo it would send into lo. */
		.parent = parent->loopback ? 0 : parent->index,
		.local = self->node.addr,
	};
	memcpy(s->mac, self->mac, sizeof(s->mac));
	return true;
}

/* Nobody needs it: it stays a while for who has not heard of it yet. */
static void let_go(struct overlay *o, enum tunnel_kind k)
{
	int64_t now = agent_now_ms();

	if (tunnel_status(o->tunnels, k)->state == TUNNEL_OFF)
		return;
	if (!o->linger_ms[k]) {
		o->linger_ms[k] = now + TUNNEL_LINGER_S * 1000;
	} else if (now >= o->linger_ms[k]) {
		o->linger_ms[k] = 0;
		tunnel_unwant(o->tunnels, k);
		o->all_dirty = true; /* its peers are forgotten */
		return;
	}
	/* Also when it is looked at too early: no other clock is set. */
	arm(o->linger, o->linger_ms[k] - now);
}

static void want_device(struct overlay *o, enum encap_how how, unsigned side, bool wanted)
{
	enum tunnel_kind k = kind_of[how][side];
	struct tunnel_spec s = { .addr = o->world.self.ipip, .mtu = o->devices.ipip_mtu };

	tell_addresses(o, how, side, wanted);
	if (!wanted) {
		let_go(o, k);
		return;
	}
	o->linger_ms[k] = 0;
	if (how == ENCAP_IPIP || fill_vxlan(o, side, &s))
		tunnel_want(o->tunnels, k, &s);
}

static void set_pod_mtu(struct overlay *o)
{
	unsigned old = o->agent->pod_mtu ? o->agent->pod_mtu : o->last_mtu, now;

	now = o->agent->pod_mtu = o->world.set.host_mtu ? o->devices.pod_mtu : 0;
	if (!now || now == old)
		return;
	if (old)
		pod_mtu_change(o->pod_mtu, old, now);
	else
		pod_mtu_remember(o->agent, now);
	o->last_mtu = now;
}

static void want_devices(struct overlay *o)
{
	o->devices = encap_devices(&o->world);
	set_pod_mtu(o);
	want_device(o, ENCAP_IPIP, ENCAP_V4, o->devices.ipip);
	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		want_device(o, ENCAP_VXLAN, i, o->devices.vxlan[i]);
}

static bool pools_want(const struct overlay *o, enum encap_how how, unsigned side)
{
	for (size_t i = 0; i < o->config.pools.n; i++)
		if (pool_asks(&o->config.pools.p[i], how, side))
			return true;
	return false;
}

/* VXLAN sends from this node's address. True when it cannot, with the reason. */
static bool is_homeless(const struct overlay *o, unsigned side, char *why, size_t size)
{
	const struct addr *a = &o->world.self.side[side].node.addr;
	char text[ADDR_STR_MAX];

	if (!o->devices.vxlan[side] || !a->family || o->parent[side].index)
		return false;
	snprintf(why, size,
		 "no interface has this node's address %s, from which %s is to send: give it to "
		 "one, or correct the Node",
		 addr_format(a, text), tunnel_name(kind_of[ENCAP_VXLAN][side]));
	return true;
}

/* Which tunnels cannot be used, and why. True when that is another answer than before. */
static bool judge(struct overlay *o, enum encap_how how, unsigned side, int on, const char *setting)
{
	enum tunnel_kind k = kind_of[how][side];
	const struct tunnel_status *s = tunnel_status(o->tunnels, k);
	char why[sizeof(o->broken[0][0])] = "";

	if (on == 0 && pools_want(o, how, side))
		snprintf(why, sizeof(why),
			 "FelixConfiguration's %s is false: set it to true, or "
			 "leave it out",
			 setting);
	else if (s->state == TUNNEL_OFF && how == ENCAP_VXLAN)
		(void)is_homeless(o, side, why, sizeof(why));
	else if (s->state != TUNNEL_OFF && !s->usable && s->text[0])
		str_copy(why, sizeof(why), s->text);
	o->world.broken[how][side] = why[0] ? o->broken[how][side] : NULL;
	if (strcmp(why, o->broken[how][side]) == 0)
		return false;
	memcpy(o->broken[how][side], why, sizeof(why));
	if (why[0])
		log_error("overlay", "a tunnel cannot be used; what belongs into it is not sent",
			  "device=%s why=%s", tunnel_name(k), why);
	else
		log_info("overlay", "the tunnel can be used now", "device=%s", tunnel_name(k));
	return true;
}

static bool judge_all(struct overlay *o)
{
	bool news = judge(o, ENCAP_IPIP, ENCAP_V4, o->world.set.ipip_on, "ipipEnabled");

	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		news |= judge(o, ENCAP_VXLAN, i, o->world.set.vxlan_on, "vxlanEnabled");
	return news;
}

/* ---- peers ---- */

static bool same_peer(const struct tunnel_peer *a, const struct tunnel_peer *b)
{
	return addr_eq(&a->vtep, &b->vtep) && addr_eq(&a->host, &b->host) &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/* This peer is no more: whom it had taken address or MAC from gets them back. True when there is
 * one. */
static bool give_back(struct overlay *o, const struct tunnel_peer *gone, unsigned side)
{
	bool any = false;

	for (struct overlay_node *n = o->nodes; o->contested && n; n = n->hh.next) {
		struct tunnel_peer *p = &n->peer[side];

		if (!p->host.family || (!addr_eq(&p->vtep, &gone->vtep) &&
					memcmp(p->mac, gone->mac, sizeof(p->mac)) != 0))
			continue;
		memset(p, 0, sizeof(*p));
		n->dirty = any = true;
	}
	return any;
}

/* True when other nodes have to be looked at again. */
static bool set_peer(struct overlay *o, struct overlay_node *n, unsigned side)
{
	enum tunnel_kind k = kind_of[ENCAP_VXLAN][side];
	const struct encap_side *s = &n->encap.side[side];
	const struct addr *own = &o->world.self.side[side].node.addr;
	struct tunnel_peer p = { 0 }, *old = &n->peer[side];
	/* Also while the device lingers: packets of both worlds are on their way. */
	bool off = tunnel_status(o->tunnels, k)->state == TUNNEL_OFF;
	struct tunnel_peer gone = *old;
	struct err e = { 0 };
	int rc;

	/* One that says it is this node would have packets come back here. */
	if (n->known && !off && s->node.addr.family && s->vtep.family &&
	    !addr_eq(&s->node.addr, own)) {
		p = (struct tunnel_peer) { .vtep = s->vtep, .host = s->node.addr };
		memcpy(p.mac, s->mac, sizeof(p.mac));
	}
	if (same_peer(&p, old))
		return false;
	if (gone.host.family)
		tunnel_peer_forget(o->tunnels, k, &gone);
	memset(old, 0, sizeof(*old));
	rc = p.host.family ? tunnel_peer_want(o->tunnels, k, &p, &e) : 0;
	if (rc < 0)
		log_from(n->name, LOG_LEVEL_WARN, "overlay", "a node cannot be reached by VXLAN",
			 "node=%s why=%s", n->name, e.msg);
	else if (p.host.family)
		*old = p;
	if (rc == 1) {
		o->contested = true;
		log_from(n->name, LOG_LEVEL_WARN, "overlay",
			 "two nodes say they have the same tunnel address or MAC; the later one "
			 "has it",
			 "node=%s", n->name);
	}
	return gone.host.family && give_back(o, &gone, side);
}

/* ---- the turn ---- */

/* -1: failed and armed again; 1: peers are left for the next turn; 0. */
static int apply_tunnels(struct overlay *o)
{
	struct err e = { 0 };
	int rc = tunnels_apply(o->tunnels, (uint64_t)agent_now_ms(), PEER_BUDGET, &e);
	uint64_t due = tunnels_due(o->tunnels);
	int64_t now = agent_now_ms();

	if (rc < 0) {
		log_from("tunnels", LOG_LEVEL_ERROR, "overlay",
			 "cannot write tunnels, will try again", "why=%s", e.msg);
		arm(o->turn, RETRY_MS);
		return -1;
	}
	if (due == UINT64_MAX)
		evtimer_del(o->due);
	else
		arm(o->due, (int64_t)due > now ? (int64_t)due - now : 1);
	return rc;
}

/* Every block may have another road, and every route from BGP another rule. */
static void all_changed(struct overlay *o)
{
	o->all_dirty = true;
	peering_retell(o->agent->peering);
}

static void plan_all(struct overlay *o)
{
	struct overlay_node *n, *next;

	HASH_ITER (hh, o->nodes, n, next) {
		if (!n->dirty && !o->all_dirty)
			continue;
		n->dirty = false;
		overlay_plan_node(o, n);
		overlay_node_drop_unused(o, n);
	}
	o->all_dirty = false;
}

static void first_plan(struct overlay *o)
{
	o->planned = true;
	tunnels_ready(o->tunnels);
	/* A tunnel of the last life that no pool asks for may have begun to linger just then. */
	arm(o->leftovers, TUNNEL_LINGER_S * 1000);
	routes_claimed(o->agent->routes, ROUTES_OVERLAY);
	changed(o);
}

/* False: the kernel could not be asked, the turn is armed again. */
static bool turn_devices(struct overlay *o)
{
	if (o->config_dirty) {
		o->config_dirty = false;
		if (read_world(o))
			all_changed(o);
		want_devices(o);
	}
	if (apply_tunnels(o) < 0)
		return false;
	if (judge_all(o))
		all_changed(o);
	return true;
}

/* False: not all are written yet, the turn is armed again. */
static bool turn_peers(struct overlay *o)
{
	bool more;
	int rc;

	/* Twice at most: to give back needs nothing forgotten. */
	do {
		more = false;
		for (struct overlay_node *n = o->nodes; n; n = n->hh.next)
			for (unsigned i = 0; (n->dirty || o->all_dirty) && i < ENCAP_SIDES; i++)
				more |= set_peer(o, n, i);
	} while (more);
	rc = apply_tunnels(o);
	if (rc == 1)
		changed(o);
	return rc == 0;
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;

	if (!turn_devices(o) || !turn_peers(o))
		return;
	plan_all(o);
	if (overlay_hand_over(o))
		arm(o->handover, HANDOVER_MS);
	if (!o->planned)
		first_plan(o);
}

static void on_handover(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;

	if (overlay_hand_over(o))
		arm(o->handover, HANDOVER_MS);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	changed(arg);
}

static void on_leftovers(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;

	tunnels_leftovers(o->tunnels);
	changed(o);
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;

	o->config_dirty = true;
	changed(o);
}

static void on_tunnel_events(evutil_socket_t fd, short what, void *arg)
{
	struct overlay *o = arg;
	struct err e = { 0 };
	int rc = tunnels_read(o->tunnels, &e);

	if (rc < 0)
		log_from("tunnels", LOG_LEVEL_ERROR, "overlay", "cannot read tunnel events",
			 "why=%s", e.msg);
	if (tunnels_dirty(o->tunnels))
		changed(o);
}

/* ---- what is told ---- */

static void on_config(void *arg, const struct store_kv *kv)
{
	struct overlay *o = arg;

	o->config_dirty = true;
	changed(o);
}

static void on_node(void *arg, const struct store_kv *kv)
{
	struct overlay *o = arg;
	struct overlay_node *n;
	const char *name;

	if (!kv) {
		changed(o);
		return;
	}
	name = strrchr(kv->key, '/') + 1;
	if (strcmp(name, o->agent->cfg->node) == 0) {
		on_config(o, kv);
		return;
	}
	n = overlay_node_get(o, name);
	n->known = overlay_read_node(kv, &n->encap);
	n->dirty = true;
	changed(o);
}

static void on_affinity(void *arg, const struct store_kv *kv)
{
	struct overlay *o = arg;

	if (kv)
		overlay_on_affinity(o, kv);
	changed(o);
}

static void on_block(void *arg, const struct store_kv *kv)
{
	struct overlay *o = arg;

	if (kv)
		overlay_on_block(o, kv);
	changed(o);
}

/* Pods come and go by the hundred; only what carries a node's address, or its MTU, counts. */
static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct overlay *o = arg;

	if (l && (str_starts(l->name, o->agent->cfg->interface_prefix) || l->loopback))
		return;
	o->config_dirty = true;
	changed(o);
}

static void on_felix(void *arg)
{
	on_config(arg, NULL);
}

/* ---- interface ---- */

enum encap_bgp overlay_bgp(const struct overlay *o, const struct prefix *dst,
			   const struct addr *next_hop)
{
	return encap_bgp(&o->world, dst, next_hop);
}

uint32_t overlay_ipip_mtu(const struct overlay *o)
{
	return o->devices.ipip_mtu;
}

/* "IPPool NAME (CIDR) asks for IPIP: ..." for each pool of a kind. */
static void pool_troubles(const struct overlay *o, enum encap_how how, unsigned side,
			  struct str *out)
{
	char cidr[PREFIX_STR_MAX];

	for (size_t i = 0; i < o->config.pools.n && o->broken[how][side][0]; i++) {
		const struct encap_pool *p = &o->config.pools.p[i];

		if (pool_asks(p, how, side))
			str_addf(out, "IPPool %s (%s) asks for %s: %s\n", o->config.names.p[i],
				 prefix_format(&p->cidr, cidr),
				 how == ENCAP_VXLAN ? "VXLAN" : "IPIP", o->broken[how][side]);
	}
}

static void device_troubles(const struct overlay *o, enum encap_how how, unsigned side,
			    struct str *out)
{
	const struct tunnel_status *s = tunnel_status(o->tunnels, kind_of[how][side]);
	char why[sizeof(o->broken[0][0])];

	if (s->usable && s->text[0])
		str_addf(out, "%s\n", s->text);
	if (s->usable && how == ENCAP_VXLAN && is_homeless(o, side, why, sizeof(why)))
		str_addf(out, "%s\n", why);
}

void overlay_troubles(const struct overlay *o, struct str *out)
{
	str_add(out, str_text(&o->remarks));
	for (unsigned how = ENCAP_IPIP; how < ENCAP_HOW_MAX_; how++)
		for (unsigned i = 0; i < (how == ENCAP_IPIP ? 1 : ENCAP_SIDES); i++) {
			pool_troubles(o, (enum encap_how)how, i, out);
			device_troubles(o, (enum encap_how)how, i, out);
		}
	tunnel_addrs_troubles(o->addrs, out);
}

json_t *overlay_status(const struct overlay *o)
{
	static const char *const states[] = { "off", "pending", "up", "no module", "failed" };
	struct tunnel_counts c = tunnel_counts(o->tunnels);
	json_t *out = json_object(), *devices = json_array();

	for (unsigned k = 0; k < TUNNEL_MAX_; k++) {
		const struct tunnel_status *s = tunnel_status(o->tunnels, (enum tunnel_kind)k);
		json_t *d;

		if (s->state == TUNNEL_OFF)
			continue;
		d = json_object();
		js_set_str(d, "device", tunnel_name((enum tunnel_kind)k));
		js_set_str(d, "state", states[s->state]);
		if (s->text[0])
			js_set_str(d, "why", s->text);
		json_array_append_new(devices, d);
	}
	js_set(out, "devices", devices);
	js_set_int(out, "peers", c.peers);
	js_set_int(out, "blocks", HASH_COUNT(o->blocks));
	js_set_int(out, "waiting", o->waiting);
	js_set_int(out, "podMTU", o->devices.pod_mtu);
	return out;
}

void overlay_start(struct overlay *o)
{
	tunnel_addrs_start(o->addrs);
}

static struct event *timer(struct overlay *o, event_callback_fn fn)
{
	struct event *ev = evtimer_new(o->agent->base, fn, o);

	assert(ev);
	return ev;
}

static void subscribe(struct overlay *o)
{
	struct cache *c = o->agent->cache;

	cache_subscribe(c, KEY_RESOURCES "nodes/", on_node, o);
	cache_subscribe(c, KEY_RESOURCES "ippools/", on_config, o);
	cache_subscribe(c, KEY_RESOURCES "bgpconfigurations/", on_config, o);
	cache_subscribe(c, IPAMKEY_HOSTS, on_affinity, o);
	cache_subscribe(c, IPAMKEY_BLOCKS, on_block, o);
	felix_watch(o->agent->felix, on_felix, o);
	link_table_watch(o->agent->links, on_link, o);
}

struct overlay *overlay_new(struct agent *a, struct err *e)
{
	struct overlay *o = xcalloc(1, sizeof(*o));

	o->agent = a;
	o->tunnels = tunnels_new(e);
	if (!o->tunnels) {
		free(o);
		return NULL;
	}
	o->addrs = tunnel_addrs_new(a);
	o->pod_mtu = pod_mtu_new(a);
	o->last_mtu = pod_mtu_last(a);
	o->config_dirty = o->all_dirty = true;
	/* Until the pools are known nothing is rejected and nothing tunnelled. */
	o->world.set.felix_programs = PROGRAM_ROUTES_IPIP_ONLY;
	o->world.set.bgp_programs = PROGRAM_ROUTES_NO_ENCAP_ONLY;
	o->turn = timer(o, on_turn);
	o->due = timer(o, on_due);
	o->handover = timer(o, on_handover);
	o->linger = timer(o, on_linger);
	o->leftovers = timer(o, on_leftovers);
	o->tunnel_ev = event_new(a->base, tunnels_fd(o->tunnels), EV_READ | EV_PERSIST,
				 on_tunnel_events, o);
	assert(o->tunnel_ev);
	event_add(o->tunnel_ev, NULL);
	subscribe(o);
	return o;
}

void overlay_free(struct overlay *o)
{
	if (!o)
		return;
	link_table_unwatch(o->agent->links, on_link, o);
	event_free(o->turn);
	event_free(o->due);
	event_free(o->handover);
	event_free(o->linger);
	event_free(o->leftovers);
	event_free(o->tunnel_ev);
	tunnel_addrs_free(o->addrs);
	pod_mtu_free(o->pod_mtu);
	tunnels_free(o->tunnels);
	overlay_borrow_done(o);
	overlay_blocks_done(o);
	overlay_config_done(&o->config);
	str_done(&o->remarks);
	free(o);
}
