/* overlay_blocks.c - the routes of other nodes' blocks
 *
 *	plan        claim
 *	ROUTE       the road, in the class of its kind
 *	WAIT        what there was stays, copied if it was BGP's; nothing was: a blackhole, for what
 *	            belongs into a tunnel must not leave this node in the open
 *	NOT_OURS    none; but the old one stays until BGP has its own, at most 30 s
 *
 * TESTS  tests/unit/agent/overlay_roads.c, tests/netns/test_encap.py, test_encap_faults.py */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/overlay/overlay_int.h"
#include "dataplane/link.h"
#include "model/affinity.h"
#include "model/ipamkey.h"

enum {
	/* Sources of claims; BGP's are 0 and 1 (fib.c), in the class without encapsulation. */
	SOURCE_BLOCK = 2,
	SOURCE_VTEP = 3,
	SOURCE_BGP = 0,
};

static struct route_key key_of(const struct prefix *dst)
{
	struct route_key key;

	memset(&key, 0, sizeof(key));
	key.dst = *dst;
	return key;
}

/* ---- one claim ---- */

static void claim(struct overlay *o, struct overlay_block *b, enum route_class cls,
		  const struct route_spec *s)
{
	struct route_table *rt = routes_table(o->agent->routes);
	struct route_key key = key_of(&b->cidr);
	char text[PREFIX_STR_MAX];
	struct err e = { 0 };

	if (route_desire(rt, cls, SOURCE_BLOCK, &key, s, &e) < 0) {
		log_from("overlay", LOG_LEVEL_WARN, "overlay", "no route for a block",
			 "block=%s why=%s", prefix_format(&b->cidr, text), e.msg);
		return;
	}
	/* The new one is there: now the old one may go. */
	if (b->claimed && b->cls != cls)
		route_forget(rt, b->cls, SOURCE_BLOCK, &key);
	b->claimed = true;
	b->cls = cls;
	b->blackhole = s->type == ROUTE_BLACKHOLE;
	b->handover_ms = 0;
}

static void unclaim(struct overlay *o, struct overlay_block *b)
{
	struct route_key key = key_of(&b->cidr);

	if (b->claimed)
		route_forget(routes_table(o->agent->routes), b->cls, SOURCE_BLOCK, &key);
	b->claimed = b->blackhole = false;
	b->handover_ms = 0;
}

static enum route_class class_of(const struct encap_plan *p)
{
	switch (p->pool_how) {
	case ENCAP_VXLAN:
		return p->how == ENCAP_PLAIN ? ROUTE_CLASS_VXLAN_SAME_SUBNET : ROUTE_CLASS_VXLAN;
	case ENCAP_IPIP:
		return p->how == ENCAP_PLAIN ? ROUTE_CLASS_IPIP_SAME_SUBNET : ROUTE_CLASS_IPIP;
	case ENCAP_PLAIN:
	case ENCAP_HOW_MAX_:
		break;
	}
	return ROUTE_CLASS_NOENCAP;
}

static enum tunnel_kind tunnel_of(enum encap_how how, const struct addr *a)
{
	if (how == ENCAP_IPIP)
		return TUNNEL_IPIP;
	return a->family == IP_V6 ? TUNNEL_VXLAN_V6 : TUNNEL_VXLAN;
}

/* ---- verdicts ---- */

static void take_road(struct overlay *o, struct overlay_block *b, const struct encap_plan *p)
{
	struct route_nh nh = { .gw = p->gw, .onlink = true };
	struct route_spec s = { .n_nh = 1, .nh = &nh, .mtu = p->mtu };
	const struct encap_node *self = &o->world.self;
	const struct link *parent;

	if (p->how != ENCAP_PLAIN) {
		str_copy(nh.ifname, sizeof(nh.ifname), tunnel_name(tunnel_of(p->how, &p->gw)));
	} else {
		parent = link_by_addr(o->agent->links, &self->side[p->gw.family == IP_V6].node.addr,
				      NULL);
		if (!parent) {
			b->waits = "no interface holds this node's address";
			return;
		}
		str_copy(nh.ifname, sizeof(nh.ifname), parent->name);
	}
	claim(o, b, class_of(p), &s);
}

static void keep_or_block(struct overlay *o, struct overlay_block *b, const struct encap_plan *p)
{
	struct route_spec s = { .type = ROUTE_BLACKHOLE };
	struct route_nh nh[ROUTE_NH_MAX];
	struct route_key key = key_of(&b->cidr);
	struct route_spec now;

	b->waits = p->why;
	if (!p->firm) {
		if (b->claimed && !b->blackhole)
			return;
		if (route_lookup(routes_table(o->agent->routes), &key, &now, nh) && now.n_nh)
			s = now;
	}
	claim(o, b, class_of(p), &s);
}

static bool bgp_has_it(const struct overlay *o, const struct overlay_block *b)
{
	struct route_key key = key_of(&b->cidr);

	return route_has_claim(routes_table(o->agent->routes), ROUTE_CLASS_NOENCAP, SOURCE_BGP,
			       &key);
}

static void leave_to_bgp(struct overlay *o, struct overlay_block *b)
{
	bool comes = o->agent->cfg->bgp && !bgp_has_it(o, b) && !b->blackhole;

	if (!b->claimed)
		return;
	if (!comes)
		unclaim(o, b);
	else if (!b->handover_ms)
		b->handover_ms = agent_now_ms() + OVERLAY_HANDOVER_S * 1000;
}

static void plan_block(struct overlay *o, struct overlay_block *b)
{
	struct encap_plan p;

	encap_block(&o->world, &b->cidr, b->node->known ? &b->node->encap : NULL, &p);
	o->waiting -= b->waits != NULL;
	b->waits = NULL;
	switch (p.verdict) {
	case ENCAP_ROUTE:
		take_road(o, b, &p);
		break;
	case ENCAP_WAIT:
		keep_or_block(o, b, &p);
		break;
	case ENCAP_NOT_OURS:
		leave_to_bgp(o, b);
		break;
	}
	o->waiting += b->waits != NULL;
}

bool overlay_hand_over(struct overlay *o)
{
	int64_t now = agent_now_ms();
	bool more = false;

	for (struct overlay_block *b = o->blocks; b; b = b->hh.next) {
		if (!b->handover_ms)
			continue;
		if (bgp_has_it(o, b) || now >= b->handover_ms)
			unclaim(o, b);
		else
			more = true;
	}
	routes_changed(o->agent->routes);
	return more;
}

/* ---- a node's tunnel address, when it lies outside of its blocks ---- */

static bool in_blocks(const struct overlay_node *n, const struct addr *a)
{
	for (const struct overlay_block *b = n->blocks; b; b = b->next)
		if (prefix_contains(&b->cidr, a))
			return true;
	return false;
}

static void plan_vtep(struct overlay *o, struct overlay_node *n, unsigned side)
{
	struct route_table *rt = routes_table(o->agent->routes);
	const struct addr *a = &n->peer[side].vtep;
	struct prefix want = { 0 };
	struct route_nh nh = { 0 };
	struct route_spec s = { .n_nh = 1, .nh = &nh, .mtu = o->devices.vxlan_mtu[side] };
	struct route_key key;

	if (n->peer[side].host.family && !in_blocks(n, a))
		want = (struct prefix) { .addr = *a, .len = (uint8_t)addr_bits(a->family) };
	if (n->vtep[side].addr.family && !prefix_eq(&want, &n->vtep[side])) {
		key = key_of(&n->vtep[side]);
		route_forget(rt, ROUTE_CLASS_VXLAN, SOURCE_VTEP, &key);
	}
	n->vtep[side] = want;
	if (!want.addr.family)
		return;
	key = key_of(&want);
	s.scope = side == ENCAP_V4 ? ROUTE_SCOPE_LINK : 0;
	str_copy(nh.ifname, sizeof(nh.ifname), tunnel_name(tunnel_of(ENCAP_VXLAN, a)));
	route_desire(rt, ROUTE_CLASS_VXLAN, SOURCE_VTEP, &key, &s, NULL);
}

void overlay_plan_node(struct overlay *o, struct overlay_node *n)
{
	for (struct overlay_block *b = n->blocks; b; b = b->next)
		plan_block(o, b);
	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		plan_vtep(o, n, i);
}

/* ---- who holds what ---- */

struct overlay_node *overlay_node_get(struct overlay *o, const char *name)
{
	struct overlay_node *n;

	HASH_FIND_STR(o->nodes, name, n);
	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, o->nodes, n->name, strlen(n->name), n);
	return n;
}

void overlay_node_drop_unused(struct overlay *o, struct overlay_node *n)
{
	if (n->known || n->blocks || n->peer[ENCAP_V4].host.family ||
	    n->peer[ENCAP_V6].host.family || n->vtep[ENCAP_V4].addr.family ||
	    n->vtep[ENCAP_V6].addr.family)
		return;
	HASH_DEL(o->nodes, n);
	free(n->name);
	free(n);
}

static void unlink_block(struct overlay_block *b)
{
	struct overlay_block **at = &b->node->blocks;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	b->node->dirty = true;
}

static void link_block(struct overlay_block *b, struct overlay_node *n)
{
	b->node = n;
	b->next = n->blocks;
	n->blocks = b;
	n->dirty = true;
}

static void drop_block(struct overlay *o, struct overlay_block *b)
{
	unclaim(o, b);
	o->waiting -= b->waits != NULL;
	unlink_block(b);
	HASH_DEL(o->blocks, b);
	free(b);
}

static bool is_confirmed(const struct store_kv *kv)
{
	struct affinity aff;
	bool yes;

	if (!kv->value || affinity_decode(kv->value, strlen(kv->value), &aff, NULL) < 0)
		return false;
	yes = aff.state == AFFINITY_CONFIRMED && !aff.deleted;
	affinity_done(&aff);
	return yes;
}

void overlay_set_holder(struct overlay *o, const struct prefix *cidr, const char *host)
{
	struct overlay_node *n = overlay_node_get(o, host);
	struct overlay_block *b;

	HASH_FIND(hh, o->blocks, cidr, sizeof(*cidr), b);
	if (b && b->node == n)
		return;
	if (b) {
		unlink_block(b);
	} else {
		if (HASH_COUNT(o->blocks) >= OVERLAY_BLOCKS_MAX) {
			log_from("blocks", LOG_LEVEL_ERROR, "overlay",
				 "too many blocks; those that come now have no route",
				 "node=%s most=%d", host, OVERLAY_BLOCKS_MAX);
			n->dirty = true; /* it may be a node of nothing */
			return;
		}
		b = xcalloc(1, sizeof(*b));
		b->cidr = *cidr;
		HASH_ADD(hh, o->blocks, cidr, sizeof(b->cidr), b);
	}
	link_block(b, n);
}

void overlay_drop_holder(struct overlay *o, const struct prefix *cidr, const char *host)
{
	struct overlay_block *b;

	HASH_FIND(hh, o->blocks, cidr, sizeof(*cidr), b);
	/* Of two that say they hold it the later one counts; the farewell of the first is no news. */
	if (b && strcmp(b->node->name, host) == 0)
		drop_block(o, b);
}

void overlay_on_affinity(struct overlay *o, const struct store_kv *kv)
{
	CLEANUP(freep) char *owner = NULL;
	struct prefix cidr;
	const char *host;

	if (!ipamkey_parse_affinity(kv->key, &owner, &cidr) ||
	    !str_starts(owner, IPAMKEY_OWNER_HOST))
		return;
	host = owner + strlen(IPAMKEY_OWNER_HOST);
	if (strcmp(host, o->agent->cfg->node) == 0)
		return;
	if (is_confirmed(kv))
		overlay_set_holder(o, &cidr, host);
	else
		overlay_drop_holder(o, &cidr, host);
}

void overlay_blocks_done(struct overlay *o)
{
	struct overlay_block *b, *next_b;
	struct overlay_node *n, *next_n;

	HASH_ITER (hh, o->blocks, b, next_b) {
		HASH_DEL(o->blocks, b);
		free(b);
	}
	HASH_ITER (hh, o->nodes, n, next_n) {
		HASH_DEL(o->nodes, n);
		free(n->name);
		free(n);
	}
}
