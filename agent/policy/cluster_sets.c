/* cluster_sets.c - sets of nodes and pools, and which rules of NAT and tunnels there are
 * SHAPE  Members are counted (policy/members.h), so two nodes with one address, or a node that is in
 *        externalNodesList too, are no special case. All that rules depend on is one struct for
 *        each family, made anew when settings, pools, the own node or a tunnel's device change, and
 *        compared as bytes.
 * DIFFERS: the set of VXLAN holds all other nodes, not only those that have told their device's
 *        address: a node that turns to VXLAN is heard at once.
 * TESTS  tests/unit/agent/cluster_sets.c, tests/netns/test_nat.py */
#include "agent/policy/cluster_sets.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/overlay/encap.h"
#include "dataplane/exec.h"
#include "dataplane/ipset.h"
#include "dataplane/link.h"
#include "dataplane/tunnel.h"
#include "model/felixconfig.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/node.h"
#include "model/object.h"
#include "policy/members.h"
#include "policy/render.h"

enum { POOLS_MAX = 1024 }; /* a cluster has a handful */

enum net_set {
	NET_HOSTS,
	NET_VXLAN,
	NET_ALL_POOLS,
	NET_MASQ_POOLS,
	NET_SETS,
};

static const char *const set_ids[NET_SETS] = {
	[NET_HOSTS] = SET_HOSTS,
	[NET_VXLAN] = SET_VXLAN,
	[NET_ALL_POOLS] = SET_ALL_POOLS,
	[NET_MASQ_POOLS] = SET_MASQ_POOLS,
};

static const enum ip_family families[ENCAP_SIDES] = { [ENCAP_V4] = IP_V4, [ENCAP_V6] = IP_V6 };

struct cluster_node {
	UT_hash_handle hh;
	char *name;
	struct addr addr[ENCAP_SIDES];
};

/* What the rules of one family depend on; compared as bytes. */
struct net_rules {
	bool ipip, vxlan;	    /* the device is wanted, or there */
	bool ipip_addr, vxlan_addr; /* and has an address */
	uint16_t port;
	struct render_nat nat; /* but for the text */
	char interface[FELIX_NAT_INTERFACE_MAX + 1];
};

struct pool_row {
	struct prefix cidr;
	int ipip, vxlan;
	bool masquerade, for_pods;
};

struct cluster_sets {
	struct agent *agent;
	void (*changed)(void *arg, bool rules);
	void *arg;
	struct cluster_node *nodes;
	struct members set[ENCAP_SIDES][NET_SETS];
	struct net_rules rules[ENCAP_SIDES];
	VEC(struct pool_row) pools;
	VEC(struct prefix) externals;
	struct addr ipip, vtep[ENCAP_SIDES]; /* of this node's own devices */
	bool complete;			     /* there was a picture */
	bool probed, random_fully;
};

static unsigned side_of(const struct addr *a)
{
	return a->family == IP_V6 ? ENCAP_V6 : ENCAP_V4;
}

/* ---- members ---- */

/* True when it is news. */
static bool count(struct cluster_sets *cs, enum net_set which, const struct prefix *net, bool in)
{
	struct members *m = &cs->set[side_of(&net->addr)][which];
	struct member one = { .net = *net };

	return in ? members_add(m, &one) : members_del(m, &one);
}

static void count_node(struct cluster_sets *cs, const struct addr *a, bool own, bool in)
{
	struct prefix net = { .addr = *a, .len = (uint8_t)addr_bits(a->family) };

	if (a->family == IP_NONE)
		return;
	count(cs, NET_HOSTS, &net, in);
	if (!own)
		count(cs, NET_VXLAN, &net, in);
}

static void count_pools(struct cluster_sets *cs, bool in)
{
	vec_foreach (&cs->pools, p) {
		if (p->for_pods)
			count(cs, NET_ALL_POOLS, &p->cidr, in);
		if (p->masquerade)
			count(cs, NET_MASQ_POOLS, &p->cidr, in);
	}
}

static void count_externals(struct cluster_sets *cs, bool in)
{
	vec_foreach (&cs->externals, net) {
		count(cs, NET_HOSTS, net, in);
		count(cs, NET_VXLAN, net, in);
	}
}

/* ---- settings and pools ---- */

static bool add_pool(void *arg, const struct store_kv *kv)
{
	struct cluster_sets *cs = arg;
	struct object o;
	struct ippool p;

	/* What cannot be read is said by the allocator, which reads the same. */
	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (ippool_decode(&o, &p, NULL) >= 0) {
		/* Disabled ones too: to exempt a range is what they are used for. */
		vec_push(&cs->pools,
			 (struct pool_row) { .cidr = p.cidr,
					     .ipip = p.ipip,
					     .vxlan = p.vxlan,
					     .masquerade = p.nat_outgoing,
					     .for_pods = p.allowed_uses != IPPOOL_LOAD_BALANCER });
		ippool_done(&p);
	}
	object_done(&o);
	return cs->pools.n < POOLS_MAX;
}

static void read_pools(struct cluster_sets *cs)
{
	count_pools(cs, false);
	vec_clear(&cs->pools);
	cache_each(cs->agent->cache, KEY_RESOURCES "ippools/", add_pool, cs);
	count_pools(cs, true);
}

static void read_externals(struct cluster_sets *cs)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);

	count_externals(cs, false);
	vec_clear(&cs->externals);
	for (size_t i = 0; i < f->external_nodes.n; i++)
		vec_push(&cs->externals, prefix_mask(&f->external_nodes.p[i]));
	count_externals(cs, true);
}

/* ---- rules ---- */

static void on_version(void *arg, const struct exec_result *r)
{
	struct cluster_sets *cs = arg;

	cs->random_fully = r->code == 0 && render_nat_random(r->out);
}

/* The tool is asked once, when a rule needs to know. */
static bool knows_random(struct cluster_sets *cs)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct exec_cmd cmd = { .argv = { "iptables", "--version" } };
	int said = felixconfig_feature(f, "MASQFullyRandom");

	if (said >= 0)
		return said && felixconfig_feature(f, "SNATFullyRandom") != 0;
	if (!cs->probed)
		exec_run(&cmd, on_version, cs, NULL);
	cs->probed = true;
	return cs->random_fully;
}

static bool device_is_up(const struct cluster_sets *cs, enum tunnel_kind k)
{
	const struct link *l = link_by_name(cs->agent->links, tunnel_name(k));

	return l && l->up;
}

/* Which devices pools and settings ask for: encap.h says it of the same facts. */
static struct encap_devices wanted_devices(const struct cluster_sets *cs)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	VEC(struct encap_pool) pools = { 0 };
	struct encap_world w = { .set = { .ipip_on = f->has_ipip_enabled ? f->ipip_enabled : -1,
					  .vxlan_on =
						  f->has_vxlan_enabled ? f->vxlan_enabled : -1 } };
	struct encap_devices d;

	for (size_t i = 0; i < cs->pools.n; i++)
		vec_push(&pools, (struct encap_pool) { cs->pools.p[i].cidr, cs->pools.p[i].ipip,
						       cs->pools.p[i].vxlan });
	w.pool = pools.p;
	w.n_pool = pools.n;
	d = encap_devices(&w);
	vec_done(&pools);
	return d;
}

static bool is_masqueraded(const struct cluster_sets *cs, unsigned side)
{
	for (size_t i = 0; i < cs->pools.n; i++)
		if (cs->pools.p[i].masquerade && side_of(&cs->pools.p[i].cidr.addr) == side)
			return true;
	return false;
}

static struct render_nat nat_of(struct cluster_sets *cs, unsigned side)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct render_nat n;

	memset(&n, 0, sizeof(n));
	n.masquerade = is_masqueraded(cs, side);
	if (!n.masquerade)
		return n;
	if (f->nat_address.family == families[side])
		n.source = f->nat_address;
	felixconfig_ports(f->nat_ports, &n.port_min, &n.port_max);
	n.not_to_hosts = f->nat_exclusions == FELIX_NAT_NOT_TO_HOSTS;
	return n;
}

static struct net_rules rules_of(struct cluster_sets *cs, unsigned side)
{
	const struct felixconfig *f = felix_config(cs->agent->felix);
	struct encap_devices d = wanted_devices(cs);
	enum tunnel_kind vxlan = side == ENCAP_V6 ? TUNNEL_VXLAN_V6 : TUNNEL_VXLAN;
	struct net_rules r;

	/* A device that nobody wants any more stays a while, and so do its guards. */
	memset(&r, 0, sizeof(r));
	r.vxlan = d.vxlan[side] || device_is_up(cs, vxlan);
	r.vxlan_addr = r.vxlan && cs->vtep[side].family;
	r.ipip = side == ENCAP_V4 && (d.ipip || device_is_up(cs, TUNNEL_IPIP));
	r.ipip_addr = r.ipip && cs->ipip.family;
	r.port = (uint16_t)f->vxlan_port;
	r.nat = nat_of(cs, side);
	if (f->nat_interface)
		str_copy(r.interface, sizeof(r.interface), f->nat_interface);
	if (r.nat.masquerade || r.ipip_addr || r.vxlan_addr)
		r.nat.random_fully = knows_random(cs);
	return r;
}

/* True when rules differ. */
static bool read_rules(struct cluster_sets *cs)
{
	bool differ = false;

	for (unsigned i = 0; i < ENCAP_SIDES; i++) {
		struct net_rules r = rules_of(cs, i);

		differ |= memcmp(&r, &cs->rules[i], sizeof(r)) != 0;
		memcpy(&cs->rules[i], &r, sizeof(r));
	}
	return differ;
}

static void tell(struct cluster_sets *cs, bool rules)
{
	bool news = rules;

	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		for (unsigned k = 0; k < NET_SETS; k++)
			news |= cs->set[i][k].dirty.n > 0;
	if (news && cs->complete)
		cs->changed(cs->arg, rules);
}

/* Pools or settings differ. */
static void reread(struct cluster_sets *cs)
{
	if (!cache_synced(cs->agent->cache))
		return;
	read_pools(cs);
	read_externals(cs);
	tell(cs, read_rules(cs));
	cs->complete = true;
}

/* ---- what is told ---- */

static void on_pool(void *arg, const struct store_kv *kv)
{
	reread(arg);
}

static void on_felix(void *arg)
{
	reread(arg);
}

static struct cluster_node *node_get(struct cluster_sets *cs, const char *name)
{
	struct cluster_node *n;

	HASH_FIND_STR(cs->nodes, name, n);
	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, cs->nodes, n->name, strlen(n->name), n);
	return n;
}

static void node_free(struct cluster_sets *cs, struct cluster_node *n)
{
	HASH_DEL(cs->nodes, n);
	free(n->name);
	free(n);
}

/* False: what is stored cannot be read, and what was known holds. */
static bool read_node(struct cluster_sets *cs, const struct store_kv *kv, bool own,
		      struct addr addr[static ENCAP_SIDES])
{
	struct object o;
	struct node n;
	bool ok;

	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return false;
	ok = node_decode(&o, &n, NULL) >= 0;
	if (ok) {
		addr[ENCAP_V4] = n.bgp.ipv4.addr;
		addr[ENCAP_V6] = n.bgp.ipv6.addr;
		if (own) {
			cs->ipip = n.bgp.ipip_tunnel;
			cs->vtep[ENCAP_V4] = n.vxlan_tunnel_v4;
			cs->vtep[ENCAP_V6] = n.vxlan_tunnel_v6;
		}
		node_done(&n);
	}
	object_done(&o);
	return ok;
}

static void on_node(void *arg, const struct store_kv *kv)
{
	struct cluster_sets *cs = arg;
	struct addr addr[ENCAP_SIDES] = { 0 };
	const char *name = kv ? strrchr(kv->key, '/') + 1 : NULL;
	bool own = name && strcmp(name, cs->agent->cfg->node) == 0;
	struct cluster_node *n;

	if (!kv || (kv->value && !read_node(cs, kv, own, addr)))
		return;
	n = node_get(cs, name);
	for (unsigned i = 0; i < ENCAP_SIDES; i++) {
		if (addr_eq(&addr[i], &n->addr[i]))
			continue;
		/* First the new one: nobody is a stranger in between. */
		count_node(cs, &addr[i], own, true);
		count_node(cs, &n->addr[i], own, false);
		n->addr[i] = addr[i];
	}
	if (!kv->value)
		node_free(cs, n);
	if (cs->complete)
		tell(cs, own && read_rules(cs));
}

/* Only the tunnels' own devices count. */
static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct cluster_sets *cs = arg;
	bool ours = !l;

	for (unsigned k = 0; l && k < TUNNEL_MAX_; k++)
		ours |= strcmp(l->name, tunnel_name((enum tunnel_kind)k)) == 0;
	if (ours && cs->complete)
		tell(cs, read_rules(cs));
}

/* ---- interface ---- */

struct cluster_sets *cluster_sets_new(struct agent *a, void (*changed)(void *arg, bool rules),
				      void *arg)
{
	struct cluster_sets *cs = xcalloc(1, sizeof(*cs));

	cs->agent = a;
	cs->changed = changed;
	cs->arg = arg;
	link_table_watch(a->links, on_link, cs);
	cache_subscribe(a->cache, KEY_RESOURCES "nodes/", on_node, cs);
	/* The last one: at its call without an object all is known. */
	felix_watch(a->felix, on_felix, cs);
	cache_subscribe(a->cache, KEY_RESOURCES "ippools/", on_pool, cs);
	return cs;
}

void cluster_sets_free(struct cluster_sets *cs)
{
	struct cluster_node *n, *next;

	if (!cs)
		return;
	link_table_unwatch(cs->agent->links, on_link, cs);
	HASH_ITER (hh, cs->nodes, n, next)
		node_free(cs, n);
	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		for (unsigned k = 0; k < NET_SETS; k++)
			members_done(&cs->set[i][k]);
	vec_done(&cs->pools);
	vec_done(&cs->externals);
	free(cs);
}

static bool has_rules(const struct net_rules *r)
{
	return r->nat.masquerade || r->ipip || r->vxlan;
}

bool cluster_sets_any(const struct cluster_sets *cs)
{
	return has_rules(&cs->rules[ENCAP_V4]) || has_rules(&cs->rules[ENCAP_V6]);
}

bool cluster_sets_v6(const struct cluster_sets *cs)
{
	return has_rules(&cs->rules[ENCAP_V6]);
}

void cluster_sets_render(const struct cluster_sets *cs, enum ip_family family,
			 struct render_config *out)
{
	unsigned side = family == IP_V6 ? ENCAP_V6 : ENCAP_V4, n = 0;
	const struct net_rules *r = &cs->rules[side];

	out->ipip = r->ipip;
	out->vxlan = r->vxlan;
	out->vxlan_port = r->port;
	out->nat = r->nat;
	out->nat.interface = r->interface[0] ? r->interface : NULL;
	memset(out->tunnel, 0, sizeof(out->tunnel));
	if (r->ipip_addr)
		out->tunnel[n++] = tunnel_name(TUNNEL_IPIP);
	if (r->vxlan_addr)
		out->tunnel[n++] = tunnel_name(side == ENCAP_V6 ? TUNNEL_VXLAN_V6 : TUNNEL_VXLAN);
}

/* ---- to the driver ---- */

static bool is_needed(const struct net_rules *r, enum net_set which)
{
	switch (which) {
	case NET_HOSTS:
		return r->ipip || r->nat.not_to_hosts;
	case NET_VXLAN:
		return r->vxlan;
	case NET_ALL_POOLS:
	case NET_MASQ_POOLS:
		return r->nat.masquerade;
	case NET_SETS:
		break;
	}
	return false;
}

static void put(struct ipsets *to, const char *name, const struct member_vec *list, bool in)
{
	for (size_t i = 0; i < list->n; i++) {
		struct ipset_member m = { .net = list->p[i].net };
		struct err e = { 0 };

		if (!in)
			ipset_del(to, name, &m);
		else if (ipset_add(to, name, &m, &e) < 0)
			log_from(name, LOG_LEVEL_ERROR, "policy", "a set cannot hold all",
				 "set=%s why=%s", name, e.msg);
	}
}

static void forget_news(struct members *m)
{
	struct member_vec added = { 0 }, gone = { 0 };

	members_take(m, &added, &gone);
	vec_done(&added);
	vec_done(&gone);
}

void cluster_sets_state(struct cluster_sets *cs, enum ip_family family, struct ipsets *to)
{
	unsigned side = family == IP_V6 ? ENCAP_V6 : ENCAP_V4;

	for (unsigned k = 0; k < NET_SETS; k++) {
		struct set_name name = set_name(family, set_ids[k]);
		struct members *m = &cs->set[side][k];
		struct member_vec all = { 0 };
		struct err e = { 0 };

		forget_news(m);
		if (!is_needed(&cs->rules[side], (enum net_set)k)) {
			ipset_forget(to, name.text);
			continue;
		}
		if (ipset_want(to, name.text, IPSET_NET, 0, &e) < 0)
			log_error("policy", "a set is refused", "set=%s why=%s", name.text, e.msg);
		members_all(m, &all);
		put(to, name.text, &all, true);
		vec_done(&all);
	}
}

void cluster_sets_update(struct cluster_sets *cs, enum ip_family family, struct ipsets *to)
{
	unsigned side = family == IP_V6 ? ENCAP_V6 : ENCAP_V4;

	for (unsigned k = 0; k < NET_SETS; k++) {
		struct set_name name = set_name(family, set_ids[k]);
		struct member_vec added = { 0 }, gone = { 0 };

		members_take(&cs->set[side][k], &added, &gone);
		if (is_needed(&cs->rules[side], (enum net_set)k)) {
			put(to, name.text, &added, true);
			put(to, name.text, &gone, false);
		}
		vec_done(&added);
		vec_done(&gone);
	}
}
