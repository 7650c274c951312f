/* cluster_sets.c - sets of nodes and pools
 * SHAPE  Members are counted (policy/members.h), so two nodes with one address, or a node that is in
 *        externalNodesList too, are no special case. Which rules name them: cluster_rules.c.
 * DIFFERS: the set of VXLAN holds all other nodes, not only those that have told their device's
 *        address: a node that turns to VXLAN is heard at once.
 * TESTS  tests/unit/agent/cluster_sets.c, tests/netns/test_nat.py */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/policy/cluster_impl.h"
#include "dataplane/ipset.h"
#include "dataplane/link.h"
#include "dataplane/tunnel.h"
#include "model/ippool.h"
#include "model/key.h"
#include "model/node.h"
#include "model/object.h"

enum { POOLS_MAX = 1024 }; /* a cluster has a handful */

static const char *const set_ids[NET_SETS] = {
	[NET_HOSTS] = SET_HOSTS,
	[NET_VXLAN] = SET_VXLAN,
	[NET_ALL_POOLS] = SET_ALL_POOLS,
	[NET_MASQ_POOLS] = SET_MASQ_POOLS,
};

/* ---- members ---- */

/* True when it is news. */
static bool count(struct cluster_sets *cs, enum net_set which, const struct prefix *net, bool in)
{
	struct members *m = &cs->set[cluster_side((enum ip_family)net->addr.family)][which];
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
	tell(cs, cluster_rules_read(cs));
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
		tell(cs, own && cluster_rules_read(cs));
}

/* Only the tunnels' own devices count. */
static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct cluster_sets *cs = arg;
	bool ours = !l;

	for (unsigned k = 0; l && k < TUNNEL_MAX_; k++)
		ours |= strcmp(l->name, tunnel_name((enum tunnel_kind)k)) == 0;
	if (ours && cs->complete)
		tell(cs, cluster_rules_read(cs));
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
	if (cs->again)
		event_free(cs->again);
	HASH_ITER (hh, cs->nodes, n, next)
		node_free(cs, n);
	for (unsigned i = 0; i < ENCAP_SIDES; i++)
		for (unsigned k = 0; k < NET_SETS; k++)
			members_done(&cs->set[i][k]);
	vec_done(&cs->pools);
	vec_done(&cs->externals);
	free(cs);
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
	unsigned side = cluster_side(family);

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
	unsigned side = cluster_side(family);

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
