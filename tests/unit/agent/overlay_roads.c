/* overlay_roads.c - what becomes of other nodes' blocks, event by event, on a route table that only
 * remembers; and what is read of nodes and pools, whatever text is stored */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/overlay/overlay_int.h"
#include "dataplane/link.h"
#include "dataplane/route.h"
#include "model/bgpconfig.h"
#include "model/ippool.h"

/* ---- a world of stubs ---- */

struct claim {
	struct prefix dst;
	enum route_class cls;
	uint32_t source;
	char text[160];
};

static VEC(struct claim) claims;
static bool bgp_tells;
static int64_t now_ms;
static struct link parent = { .index = 2, .name = "eth1" };
static struct felixconfig settings;
static char self[] = "self";
static VEC(struct store_kv) stored;

int64_t agent_now_ms(void)
{
	return now_ms;
}

struct route_table *routes_table(const struct routes *r)
{
	return NULL;
}

void routes_changed(struct routes *r)
{
}

static size_t claim_at(enum route_class cls, uint32_t source, const struct prefix *dst)
{
	size_t i = 0;

	while (i < claims.n && !(claims.p[i].cls == cls && claims.p[i].source == source &&
				 prefix_eq(&claims.p[i].dst, dst)))
		i++;
	return i;
}

int route_desire(struct route_table *rt, enum route_class cls, uint32_t source,
		 const struct route_key *key, const struct route_spec *spec, struct err *e)
{
	size_t i = claim_at(cls, source, &key->dst);
	char gw[ADDR_STR_MAX] = "";

	if (i == claims.n)
		vec_push(&claims, (struct claim) { key->dst, cls, source, "" });
	if (spec->type == ROUTE_BLACKHOLE)
		str_copy(claims.p[i].text, sizeof(claims.p[i].text), "blackhole");
	else
		snprintf(claims.p[i].text, sizeof(claims.p[i].text), "via %s dev %s mtu %u",
			 spec->nh->gw.family ? addr_format(&spec->nh->gw, gw) : "-",
			 spec->nh->ifname, spec->mtu);
	return 0;
}

void route_forget(struct route_table *rt, enum route_class cls, uint32_t source,
		  const struct route_key *key)
{
	size_t i = claim_at(cls, source, &key->dst);

	if (i < claims.n)
		vec_remove(&claims, i);
}

bool route_lookup(const struct route_table *rt, const struct route_key *key,
		  struct route_spec *spec, struct route_nh *nh)
{
	return false;
}

bool route_has_claim(const struct route_table *rt, enum route_class cls, uint32_t source,
		     const struct route_key *key)
{
	return bgp_tells;
}

const struct link *link_by_addr(const struct link_table *t, const struct addr *a,
				struct prefix *subnet)
{
	return &parent;
}

const char *tunnel_name(enum tunnel_kind k)
{
	static const char *const names[] = { "tunl0", "vxlan.calico", "vxlan-v6.calico" };

	return names[k];
}

const struct felixconfig *felix_config(const struct felix *f)
{
	return &settings;
}

const struct store_kv *cache_get(const struct cache *c, const char *key)
{
	vec_foreach (&stored, kv)
		if (!strcmp(kv->key, key))
			return kv;
	return NULL;
}

void cache_each(const struct cache *c, const char *prefix, cache_each_fn *fn, void *arg)
{
	vec_foreach (&stored, kv)
		if (str_starts(kv->key, prefix) && !fn(arg, kv))
			return;
}

/* ---- events ---- */

static struct prefix cidr(const char *text)
{
	struct prefix p = { 0 };

	assert_true(prefix_parse_or_addr(text, &p));
	return p;
}

/* "" when there is none; all claims of a destination must be one. */
static const char *road(const char *dst)
{
	struct prefix p = cidr(dst);
	const char *text = "";

	vec_foreach (&claims, c) {
		if (!prefix_eq(&c->dst, &p))
			continue;
		assert_string_equal(text, "");
		text = c->text;
	}
	return text;
}

static void plan(struct overlay *o)
{
	struct overlay_node *n, *next;

	HASH_ITER (hh, o->nodes, n, next) {
		overlay_plan_node(o, n);
		overlay_node_drop_unused(o, n);
	}
}

static void affinity(struct overlay *o, const char *node, const char *block, bool there)
{
	CLEANUP(freep)
	char *key = xasprintf("/calico/ipam/v2/host/%s/ipv4/block/%s", node, block);
	struct store_kv kv = { .key = key,
			       .value = there ? (char[]) { "{\"state\":\"confirmed\"}" } : NULL };

	overlay_on_affinity(o, &kv);
	plan(o);
}

static void tell_node(struct overlay *o, const char *name, const char *addr, const char *vtep)
{
	struct overlay_node *n = overlay_node_get(o, name);

	n->encap = (struct encap_node) { 0 };
	n->known = addr != NULL;
	if (addr)
		n->encap.side[ENCAP_V4].node = cidr(addr);
	if (vtep)
		n->encap.side[ENCAP_V4].vtep = cidr(vtep).addr;
	n->peer[ENCAP_V4] = (struct tunnel_peer) { 0 };
	if (addr && vtep)
		n->peer[ENCAP_V4] =
			(struct tunnel_peer) { .vtep = cidr(vtep).addr, .host = cidr(addr).addr };
	plan(o);
}

static struct encap_pool pool;

static void set_mode(struct overlay *o, int ipip, int vxlan)
{
	pool = (struct encap_pool) { cidr("10.0.0.0/16"), ipip, vxlan };
	o->world.pool = &pool;
	o->world.n_pool = 1;
	o->devices = encap_devices(&o->world);
	plan(o);
}

static struct overlay *fresh(int ipip, int vxlan)
{
	static struct agent_config cfg;
	static struct agent agent = { .cfg = &cfg };
	struct overlay *o = xcalloc(1, sizeof(*o));

	cfg.node = self;
	cfg.bgp = true;
	o->agent = &agent;
	o->world.self.side[ENCAP_V4].node = cidr("192.168.61.11/24");
	o->world.set = (struct encap_settings) { .felix_programs = PROGRAM_ROUTES_IPIP_ONLY,
						 .bgp_programs = PROGRAM_ROUTES_NO_ENCAP_ONLY,
						 .ipip_on = -1,
						 .vxlan_on = -1,
						 .host_mtu = 1500 };
	bgp_tells = false;
	now_ms = 1000;
	set_mode(o, ipip, vxlan);
	return o;
}

static void end(struct overlay *o)
{
	overlay_borrow_done(o);
	overlay_blocks_done(o);
	free(o);
	vec_done(&claims);
}

/* ---- blocks ---- */

#define VXLAN "via 10.0.1.0 dev vxlan.calico mtu 1450"

static void a_node_comes_changes_and_goes(void **state)
{
	struct overlay *o = fresh(ENCAP_NEVER, ENCAP_ALWAYS);

	affinity(o, "b", "10.0.1.0-26", true);
	assert_string_equal(road("10.0.1.0/26"), "blackhole");
	assert_int_equal(o->waiting, 1);
	tell_node(o, "b", "192.168.62.12/24", NULL);
	assert_string_equal(road("10.0.1.0/26"), "blackhole");
	tell_node(o, "b", "192.168.62.12/24", "10.0.1.0");
	assert_string_equal(road("10.0.1.0/26"), VXLAN);
	assert_int_equal(o->waiting, 0);
	/* its tunnel's address is forgotten for a while: the old road stays */
	tell_node(o, "b", "192.168.62.12/24", NULL);
	assert_string_equal(road("10.0.1.0/26"), VXLAN);
	assert_int_equal(o->waiting, 1);
	tell_node(o, "b", "192.168.62.99/24", "10.0.1.0");
	assert_string_equal(road("10.0.1.0/26"), VXLAN);
	/* the node is gone, its block not yet: nothing leaves in the open */
	tell_node(o, "b", NULL, NULL);
	assert_string_equal(road("10.0.1.0/26"), "blackhole");
	tell_node(o, "b", "192.168.62.99/24", "10.0.1.0");
	assert_string_equal(road("10.0.1.0/26"), VXLAN);
	affinity(o, "b", "10.0.1.0-26", false);
	tell_node(o, "b", NULL, NULL);
	assert_int_equal(claims.n, 0);
	assert_int_equal(o->waiting, 0);
	assert_null(o->nodes);
	end(o);
}

static void every_mode(void **state)
{
	static const struct {
		int ipip, vxlan;
		const char *near, *far; /* nodes in this one's subnet, and not */
	} rows[] = {
		{ ENCAP_ALWAYS, ENCAP_NEVER, "via 192.168.61.12 dev tunl0 mtu 1480",
		  "via 192.168.62.13 dev tunl0 mtu 1480" },
		{ ENCAP_CROSS_SUBNET, ENCAP_NEVER, "via 192.168.61.12 dev eth1 mtu 0",
		  "via 192.168.62.13 dev tunl0 mtu 1480" },
		{ ENCAP_NEVER, ENCAP_ALWAYS, VXLAN, "via 10.0.2.0 dev vxlan.calico mtu 1450" },
		{ ENCAP_NEVER, ENCAP_CROSS_SUBNET, "via 192.168.61.12 dev eth1 mtu 0",
		  "via 10.0.2.0 dev vxlan.calico mtu 1450" },
	};
	struct overlay *o = fresh(ENCAP_NEVER, ENCAP_ALWAYS);

	affinity(o, "near", "10.0.1.0-26", true);
	affinity(o, "far", "10.0.2.0-26", true);
	tell_node(o, "near", "192.168.61.12/24", "10.0.1.0");
	tell_node(o, "far", "192.168.62.13/24", "10.0.2.0");
	/* Each after each other. */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			set_mode(o, rows[i].ipip, rows[i].vxlan);
			set_mode(o, rows[j].ipip, rows[j].vxlan);
			assert_string_equal(road("10.0.1.0/26"), rows[j].near);
			assert_string_equal(road("10.0.2.0/26"), rows[j].far);
			assert_int_equal(claims.n, 2);
		}
	}
	end(o);
}

static void bgp_takes_over(void **state)
{
	struct overlay *o = fresh(ENCAP_NEVER, ENCAP_ALWAYS);

	affinity(o, "b", "10.0.1.0-26", true);
	tell_node(o, "b", "192.168.62.12/24", "10.0.1.0");
	set_mode(o, ENCAP_NEVER, ENCAP_NEVER);
	assert_string_equal(road("10.0.1.0/26"), VXLAN);
	assert_true(overlay_hand_over(o));
	bgp_tells = true;
	assert_false(overlay_hand_over(o));
	assert_int_equal(claims.n, 0);
	/* and if BGP never does, not for ever */
	bgp_tells = false;
	set_mode(o, ENCAP_NEVER, ENCAP_ALWAYS);
	set_mode(o, ENCAP_NEVER, ENCAP_NEVER);
	now_ms += OVERLAY_HANDOVER_S * 1000 - 1;
	assert_true(overlay_hand_over(o));
	now_ms += 1;
	assert_false(overlay_hand_over(o));
	assert_int_equal(claims.n, 0);
	end(o);
}

static void two_say_they_hold_it(void **state)
{
	struct overlay *o = fresh(ENCAP_ALWAYS, ENCAP_NEVER);

	tell_node(o, "b", "192.168.62.12/24", NULL);
	tell_node(o, "c", "192.168.62.13/24", NULL);
	affinity(o, "b", "10.0.1.0-26", true);
	affinity(o, "c", "10.0.1.0-26", true);
	assert_string_equal(road("10.0.1.0/26"), "via 192.168.62.13 dev tunl0 mtu 1480");
	/* the first one's farewell is no news */
	affinity(o, "b", "10.0.1.0-26", false);
	assert_string_equal(road("10.0.1.0/26"), "via 192.168.62.13 dev tunl0 mtu 1480");
	/* this node's own are not here */
	affinity(o, "self", "10.0.2.0-26", true);
	assert_string_equal(road("10.0.2.0/26"), "");
	affinity(o, "c", "10.0.1.0-26", false);
	assert_int_equal(claims.n, 0);
	end(o);
}

static void a_tunnel_that_cannot_be_made(void **state)
{
	struct overlay *o = fresh(ENCAP_CROSS_SUBNET, ENCAP_NEVER);

	o->world.broken[ENCAP_IPIP][ENCAP_V4] = "it has no module ipip";
	tell_node(o, "near", "192.168.61.12/24", NULL);
	tell_node(o, "far", "192.168.62.13/24", NULL);
	affinity(o, "near", "10.0.1.0-26", true);
	affinity(o, "far", "10.0.2.0-26", true);
	assert_string_equal(road("10.0.1.0/26"), "via 192.168.61.12 dev eth1 mtu 0");
	assert_string_equal(road("10.0.2.0/26"), "blackhole");
	o->world.broken[ENCAP_IPIP][ENCAP_V4] = NULL;
	plan(o);
	assert_string_equal(road("10.0.2.0/26"), "via 192.168.62.13 dev tunl0 mtu 1480");
	end(o);
}

static void tunnel_address_elsewhere(void **state)
{
	struct overlay *o = fresh(ENCAP_NEVER, ENCAP_ALWAYS);

	tell_node(o, "b", "192.168.62.12/24", "10.0.9.9");
	assert_string_equal(road("10.0.9.9"), "via - dev vxlan.calico mtu 1450");
	/* its block covers it: one road less */
	affinity(o, "b", "10.0.9.0-26", true);
	assert_string_equal(road("10.0.9.9"), "");
	assert_string_equal(road("10.0.9.0/26"), "via 10.0.9.9 dev vxlan.calico mtu 1450");
	affinity(o, "b", "10.0.9.0-26", false);
	assert_string_equal(road("10.0.9.9"), "via - dev vxlan.calico mtu 1450");
	tell_node(o, "b", NULL, NULL);
	assert_int_equal(claims.n, 0);
	end(o);
}

/* ---- borrowed addresses ---- */

static void block(struct overlay *o, const char *json)
{
	struct store_kv kv = {
		.key = (char[]) { "/calico/ipam/v2/assignment/ipv4/block/10.0.1.0-30" },
		.value = json ? xstrdup(json) : NULL
	};

	overlay_on_block(o, &kv);
	plan(o);
	free(kv.value);
}

#define GUEST(node) "{\"handle_id\":\"h\",\"secondary\":{\"node\":\"" node "\"}}"
#define BLOCK(owner, allocations, attributes)                                                     \
	"{\"cidr\":\"10.0.1.0/30\",\"affinity\":\"host:" owner "\",\"allocations\":[" allocations \
	"],\"unallocated\":[3],\"attributes\":[" attributes "],"                                  \
	"\"deleted\":false,\"strictAffinity\":false}"

static void borrowed(void **state)
{
	struct overlay *o = fresh(ENCAP_NEVER, ENCAP_ALWAYS);

	tell_node(o, "b", "192.168.62.12/24", "10.0.8.0");
	tell_node(o, "c", "192.168.62.13/24", "10.0.9.0");
	vec_clear(&claims);
	/* of three addresses in b's block one is b's, one c's, one this node's own */
	block(o, BLOCK("b", "0,1,2,null", GUEST("b") "," GUEST("c") "," GUEST("self")));
	assert_string_equal(road("10.0.1.0"), "");
	assert_string_equal(road("10.0.1.1"), "via 10.0.9.0 dev vxlan.calico mtu 1450");
	assert_string_equal(road("10.0.1.2"), "");
	/* it goes to b, and then back */
	block(o, BLOCK("b", "0,0,0,null", GUEST("b")));
	assert_string_equal(road("10.0.1.1"), "");
	/* in a block of this node, too */
	block(o, BLOCK("self", "0,1,1,null", GUEST("c") "," GUEST("self")));
	assert_string_equal(road("10.0.1.0"), "via 10.0.9.0 dev vxlan.calico mtu 1450");
	/* what cannot be read leaves what was known */
	block(o, "{\"cidr\":\"10.0.1.0/30\",\"allocations\":7}");
	block(o, "nonsense");
	assert_string_equal(road("10.0.1.0"), "via 10.0.9.0 dev vxlan.calico mtu 1450");
	block(o, NULL);
	assert_string_equal(road("10.0.1.0"), "");
	end(o);
}

/* ---- reading ---- */

static bool read_node(const char *json, struct encap_node *out)
{
	struct store_kv kv = {
		.key = (char[]) { "/calico/resources/v3/projectcalico.org/nodes/edge-7" },
		.value = json ? xstrdup(json) : NULL
	};
	bool ok = overlay_read_node(&kv, out);

	free(kv.value);
	return ok;
}

#define NODE(spec)                                                                  \
	"{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"Node\",\"metadata\":{" \
	"\"name\":\"edge-7\"},\"spec\":" spec "}"

static void nodes(void **state)
{
	uint8_t derived[6];
	struct encap_node n;

	encap_mac("edge-7", ENCAP_V4, derived);
	assert_true(
		read_node(NODE("{\"bgp\":{\"ipv4Address\":\"192.0.2.7/24\",\"ipv4IPIPTunnelAddr\":"
			       "\"10.0.0.1\"},\"ipv4VXLANTunnelAddr\":\"10.0.0.2\","
			       "\"vxlanTunnelMACAddr\":\"66:01:02:03:04:05\"}"),
			  &n));
	assert_true(
		prefix_eq(&n.side[ENCAP_V4].node, &(struct prefix) { cidr("192.0.2.7").addr, 24 }));
	assert_int_equal(n.side[ENCAP_V6].node.addr.family, IP_NONE);
	assert_true(n.side[ENCAP_V4].has_mac && n.side[ENCAP_V4].mac[5] == 5);
	assert_true(n.ipip.family == IP_V4);
	/* a MAC that is a group's is not taken; with one that is none the Node is none */
	assert_true(read_node(NODE("{\"vxlanTunnelMACAddr\":\"67:01:02:03:04:05\"}"), &n));
	assert_false(n.side[ENCAP_V4].has_mac);
	assert_memory_equal(n.side[ENCAP_V4].mac, derived, 6);
	static const char *const macs[] = { "66:01:02:03:04", "66:01:02:03:04:05:06", "zz",
					    "66:01:02:03:04:5 x" };
	for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
		CLEANUP(freep)
		char *text = xasprintf(NODE("{\"vxlanTunnelMACAddr\":\"%s\"}"), macs[i]);

		assert_false(read_node(text, &n));
	}
	assert_true(read_node(NODE("{}"), &n));
	assert_int_equal(n.side[ENCAP_V4].node.addr.family, IP_NONE);
	assert_false(read_node(NULL, &n));
	assert_false(read_node("", &n));
	assert_false(read_node("[]", &n));
	assert_false(read_node(NODE("7"), &n) && n.side[ENCAP_V4].node.addr.family);
}

static void put(const char *key, const char *value)
{
	vec_push(&stored, (struct store_kv) { .key = xstrdup(key), .value = xstrdup(value) });
}

static void pools_and_settings(void **state)
{
	static struct agent_config cfg;
	struct agent agent = { .cfg = &cfg };
	struct overlay_config c;
	struct str remarks = { 0 };

	cfg.node = self;
	felixconfig_init(&settings);
	put("/calico/resources/v3/projectcalico.org/ippools/a",
	    "{\"apiVersion\":\"projectcalico.org/"
	    "v3\",\"kind\":\"IPPool\",\"metadata\":{\"name\":\"a\"},"
	    "\"spec\":{\"cidr\":\"10.0.0.0/16\",\"vxlanMode\":\"CrossSubnet\",\"disabled\":true}}");
	put("/calico/resources/v3/projectcalico.org/ippools/b", "nonsense");
	put("/calico/resources/v3/projectcalico.org/bgpconfigurations/node.self", "{}");
	overlay_config_read(&agent, &c, &remarks);
	assert_int_equal(c.pools.n, 1);
	assert_int_equal(c.pools.p[0].vxlan, ENCAP_CROSS_SUBNET);
	assert_string_equal(c.names.p[0], "a");
	assert_int_equal(c.vni, 4096);
	assert_int_equal(c.port, 4789);
	assert_int_equal(c.set.ipip_on, -1);
	assert_null(c.mtu_pattern);
	overlay_config_done(&c);
	settings.has_vxlan_enabled = true;
	settings.vxlan_mtu_v6 = 1400;
	overlay_config_read(&agent, &c, &remarks);
	assert_int_equal(c.set.vxlan_on, 0);
	assert_int_equal(c.set.vxlan_mtu[ENCAP_V6], 1400);
	overlay_config_done(&c);
	felixconfig_done(&settings);
	vec_foreach (&stored, kv) {
		free(kv->key);
		free(kv->value);
	}
	vec_done(&stored);
	str_done(&remarks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_comes_changes_and_goes),
		cmocka_unit_test(every_mode),
		cmocka_unit_test(bgp_takes_over),
		cmocka_unit_test(two_say_they_hold_it),
		cmocka_unit_test(a_tunnel_that_cannot_be_made),
		cmocka_unit_test(tunnel_address_elsewhere),
		cmocka_unit_test(borrowed),
		cmocka_unit_test(nodes),
		cmocka_unit_test(pools_and_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
