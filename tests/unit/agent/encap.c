/* encap.c - how packets to other nodes are carried: each mode, each pair of settings, MTUs, MACs */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "agent/overlay/encap.h"
#include "lib/base.h"
#include "model/bgpconfig.h"
#include "model/ippool.h"

static struct prefix cidr(const char *text)
{
	struct prefix p = { 0 };

	if (*text)
		assert_true(prefix_parse_or_addr(text, &p));
	return p;
}

static struct addr ip(const char *text)
{
	return cidr(text).addr;
}

static struct encap_node node(const char *addr, const char *vtep)
{
	return (struct encap_node) { .side[ENCAP_V4] = { .node = cidr(addr), .vtep = ip(vtep) } };
}

enum { NEVER = ENCAP_NEVER, ALWAYS = ENCAP_ALWAYS, CROSS = ENCAP_CROSS_SUBNET };

/* What Calico has by default since v3.33, and what it had before. */
enum {
	OFF = PROGRAM_ROUTES_DISABLED,
	ON = PROGRAM_ROUTES_ENABLED,
	IPIP = PROGRAM_ROUTES_IPIP_ONLY,
	PLAIN = PROGRAM_ROUTES_NO_ENCAP_ONLY
};

static struct encap_world world(struct encap_pool *pool, int ipip, int vxlan)
{
	struct encap_world w = { .pool = pool,
				 .n_pool = 1,
				 .self = node("192.168.61.11/24", "10.0.0.1"),
				 .set = { .felix_programs = IPIP,
					  .bgp_programs = PLAIN,
					  .ipip_on = -1,
					  .vxlan_on = -1,
					  .host_mtu = 1500 } };

	*pool = (struct encap_pool) { .cidr = cidr("10.0.0.0/16"), .ipip = ipip, .vxlan = vxlan };
	return w;
}

/* ---- a block, by mode and place ---- */

static void each_mode(void **state)
{
	static const struct {
		const char *name;
		int ipip, vxlan;
		const char *owner, *vtep;
		enum encap_verdict verdict;
		enum encap_how how;
		const char *gw;
		unsigned mtu;
	} rows[] = {
		{ "IPIP Always, neighbour", ALWAYS, NEVER, "192.168.61.12/24", "", ENCAP_ROUTE,
		  ENCAP_IPIP, "192.168.61.12", 1480 },
		{ "IPIP Always, other subnet", ALWAYS, NEVER, "192.168.62.12/24", "", ENCAP_ROUTE,
		  ENCAP_IPIP, "192.168.62.12", 1480 },
		{ "IPIP CrossSubnet, neighbour", CROSS, NEVER, "192.168.61.12/24", "", ENCAP_ROUTE,
		  ENCAP_PLAIN, "192.168.61.12", 0 },
		{ "IPIP CrossSubnet, other subnet", CROSS, NEVER, "192.168.62.12/24", "",
		  ENCAP_ROUTE, ENCAP_IPIP, "192.168.62.12", 1480 },
		{ "VXLAN Always, neighbour", NEVER, ALWAYS, "192.168.61.12/24", "10.0.1.0",
		  ENCAP_ROUTE, ENCAP_VXLAN, "10.0.1.0", 1450 },
		{ "VXLAN CrossSubnet, neighbour", NEVER, CROSS, "192.168.61.12/24", "10.0.1.0",
		  ENCAP_ROUTE, ENCAP_PLAIN, "192.168.61.12", 0 },
		{ "VXLAN CrossSubnet, other subnet", NEVER, CROSS, "192.168.62.12/24", "10.0.1.0",
		  ENCAP_ROUTE, ENCAP_VXLAN, "10.0.1.0", 1450 },
		{ "VXLAN, no VTEP yet", NEVER, ALWAYS, "192.168.61.12/24", "", ENCAP_WAIT,
		  ENCAP_VXLAN, "", 0 },
		{ "VXLAN CrossSubnet, no VTEP, neighbour", NEVER, CROSS, "192.168.61.12/24", "",
		  ENCAP_ROUTE, ENCAP_PLAIN, "192.168.61.12", 0 },
		{ "IPIP, node without address", ALWAYS, NEVER, "", "", ENCAP_WAIT, ENCAP_PLAIN, "",
		  0 },
		{ "none: BGP's", NEVER, NEVER, "192.168.61.12/24", "", ENCAP_NOT_OURS, ENCAP_PLAIN,
		  "", 0 },
		/* Its mask does not count, ours does. */
		{ "the other's mask is /32", CROSS, NEVER, "192.168.61.12/32", "", ENCAP_ROUTE,
		  ENCAP_PLAIN, "192.168.61.12", 0 },
		{ "the other's mask is /16", CROSS, NEVER, "192.168.62.12/16", "", ENCAP_ROUTE,
		  ENCAP_IPIP, "192.168.62.12", 1480 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct encap_pool pool;
		struct encap_world w = world(&pool, rows[i].ipip, rows[i].vxlan);
		struct encap_node owner = node(rows[i].owner, rows[i].vtep);
		struct prefix block = cidr("10.0.1.0/26");
		struct addr gw = ip(rows[i].gw);
		struct encap_plan p;

		encap_block(&w, &block, &owner, &p);
		if (p.verdict != rows[i].verdict || p.how != rows[i].how ||
		    (p.verdict == ENCAP_ROUTE && (p.mtu != rows[i].mtu || !addr_eq(&p.gw, &gw))))
			fail_msg("%s: verdict %d how %d mtu %u (%s)", rows[i].name, p.verdict,
				 p.how, p.mtu, p.why ? p.why : "");
		assert_true((p.why != NULL) == (p.verdict == ENCAP_WAIT));
	}
}

static void own_address_without_mask_tunnels_everything(void **state)
{
	struct encap_pool pool;
	struct encap_world w = world(&pool, CROSS, NEVER);
	struct encap_node owner = node("192.168.61.12/24", "");
	struct prefix block = cidr("10.0.1.0/26");
	struct encap_plan p;

	w.self = node("192.168.61.11", "");
	encap_block(&w, &block, &owner, &p);
	assert_int_equal(p.how, ENCAP_IPIP);
	w.self = node("", "");
	encap_block(&w, &block, &owner, &p);
	assert_int_equal(p.verdict, ENCAP_WAIT);
}

static void a_kernel_without_the_module(void **state)
{
	struct encap_pool pool;
	struct encap_world w = world(&pool, CROSS, NEVER);
	struct encap_node far = node("192.168.62.12/24", ""), near = node("192.168.61.12/24", "");
	struct prefix block = cidr("10.0.1.0/26");
	struct encap_plan p;

	w.broken[ENCAP_IPIP][ENCAP_V4] = "no module ipip";
	encap_block(&w, &block, &far, &p);
	assert_int_equal(p.verdict, ENCAP_WAIT);
	assert_true(p.firm);
	assert_string_equal(p.why, "no module ipip");
	assert_int_equal(encap_bgp(&w, &block, &far.side[0].node.addr), ENCAP_BGP_WAIT);
	/* What needs no tunnel works on. */
	encap_block(&w, &block, &near, &p);
	assert_int_equal(p.verdict, ENCAP_ROUTE);
	assert_int_equal(encap_bgp(&w, &block, &near.side[0].node.addr), ENCAP_BGP_PLAIN);
}

static void one_family_without_a_device(void **state)
{
	struct encap_pool pool;
	struct encap_world w = world(&pool, NEVER, ALWAYS);
	struct encap_node far = node("192.168.62.12/24", "10.0.1.0");
	struct prefix block = cidr("10.0.1.0/26");
	struct encap_plan p;

	w.broken[ENCAP_VXLAN][ENCAP_V6] = "no IPv6 here";
	encap_block(&w, &block, &far, &p);
	assert_int_equal(p.verdict, ENCAP_ROUTE);
	w.broken[ENCAP_VXLAN][ENCAP_V4] = "no IPv4 here";
	encap_block(&w, &block, &far, &p);
	assert_int_equal(p.verdict, ENCAP_WAIT);
	assert_string_equal(p.why, "no IPv4 here");
}

static void the_smallest_pool_says_how(void **state)
{
	struct encap_pool pools[] = { { cidr("10.0.0.0/8"), ALWAYS, NEVER },
				      { cidr("10.0.0.0/16"), NEVER, ALWAYS },
				      { cidr("10.0.0.0/12"), NEVER, NEVER } };
	struct encap_world w = { .pool = pools, .n_pool = ARRAY_SIZE(pools) };
	struct prefix in = cidr("10.0.1.0/26"), mid = cidr("10.1.0.0/26"),
		      out = cidr("10.200.0.0/26");

	assert_ptr_equal(encap_pool_of(&w, &in), &pools[1]);
	assert_ptr_equal(encap_pool_of(&w, &mid), &pools[2]);
	assert_ptr_equal(encap_pool_of(&w, &out), &pools[0]);
}

static void a_node_with_our_address(void **state)
{
	struct encap_pool pool;
	struct encap_node twin = node("192.168.61.11/24", "10.0.1.0");
	struct prefix block = cidr("10.0.1.0/26");
	struct encap_plan p;

	/* A route to it would be a loop, through each tunnel and without. */
	for (int ipip = NEVER; ipip <= CROSS; ipip++)
		for (int vxlan = NEVER; vxlan <= CROSS; vxlan++) {
			struct encap_world w = world(&pool, ipip, vxlan);

			if (ipip == NEVER && vxlan == NEVER)
				continue;
			encap_block(&w, &block, &twin, &p);
			assert_int_equal(p.verdict, ENCAP_WAIT);
			assert_true(p.firm);
		}
}

static void outside_all_pools_and_unknown_owner(void **state)
{
	struct encap_pool pool;
	struct encap_world w = world(&pool, ALWAYS, NEVER);
	struct encap_node owner = node("192.168.62.12/24", "");
	struct prefix out = cidr("10.9.0.0/26"), wider = cidr("10.0.0.0/8"),
		      in = cidr("10.0.1.0/26");
	struct encap_plan p;

	encap_block(&w, &out, &owner, &p);
	assert_int_equal(p.verdict, ENCAP_NOT_OURS);
	encap_block(&w, &wider, &owner, &p);
	assert_int_equal(p.verdict, ENCAP_NOT_OURS);
	encap_block(&w, &in, NULL, &p);
	assert_int_equal(p.verdict, ENCAP_WAIT);
}

static void ipv6_has_vxlan_only(void **state)
{
	struct encap_pool pool = { .cidr = cidr("fd00:10::/48"), .vxlan = ALWAYS };
	struct encap_world w = { .pool = &pool,
				 .n_pool = 1,
				 .self.side[ENCAP_V6] = { .node = cidr("fd00::1/64") },
				 .set = { .felix_programs = IPIP,
					  .bgp_programs = PLAIN,
					  .ipip_on = -1,
					  .vxlan_on = -1,
					  .host_mtu = 1500 } };
	struct encap_node owner = { .side[ENCAP_V6] = { .node = cidr("fd00::2/64"),
							.vtep = ip("fd00:10::40") } };
	struct prefix block = cidr("fd00:10::40/122");
	struct encap_plan p;

	encap_block(&w, &block, &owner, &p);
	assert_int_equal(p.how, ENCAP_VXLAN);
	assert_int_equal(p.mtu, 1430);
	assert_false(encap_devices(&w).vxlan[ENCAP_V4]);
	assert_true(encap_devices(&w).vxlan[ENCAP_V6]);
	pool = (struct encap_pool) { .cidr = cidr("fd00:10::/48"), .ipip = ALWAYS };
	encap_block(&w, &block, &owner, &p);
	assert_int_equal(p.verdict, ENCAP_NOT_OURS);
	assert_false(encap_devices(&w).ipip);
}

/* ---- who programs ---- */

static void each_pair_of_settings(void **state)
{
	/* For an IPIP pool and one without encapsulation: is the block of a neighbour routed from
	 * its affinity, and what becomes of the same block told by BGP? */
	static const struct {
		int felix, bgp;
		bool ipip_affinity, plain_affinity;
		enum encap_bgp ipip, plain;
	} rows[] = {
		{ IPIP, PLAIN, true, false, ENCAP_BGP_IPIP, ENCAP_BGP_PLAIN }, /* since v3.33 */
		{ OFF, ON, false, false, ENCAP_BGP_IPIP, ENCAP_BGP_PLAIN },    /* before */
		{ ON, OFF, true, true, ENCAP_BGP_IPIP, ENCAP_BGP_REJECT },
		{ PLAIN, IPIP, false, true, ENCAP_BGP_IPIP, ENCAP_BGP_REJECT },
		{ ON, ON, true, true, ENCAP_BGP_IPIP, ENCAP_BGP_PLAIN },
		{ OFF, OFF, false, false, ENCAP_BGP_REJECT, ENCAP_BGP_REJECT },
		{ OFF, PLAIN, false, false, ENCAP_BGP_REJECT, ENCAP_BGP_PLAIN },
		{ OFF, IPIP, false, false, ENCAP_BGP_IPIP, ENCAP_BGP_REJECT },
	};
	struct prefix block = cidr("10.0.1.0/26");
	struct encap_node near = node("192.168.61.12/24", "10.0.1.1");
	const struct addr *hop = &near.side[ENCAP_V4].node.addr;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct encap_pool pool;
		struct encap_plan p;
		struct encap_world w = world(&pool, ALWAYS, NEVER);

		w.set.felix_programs = rows[i].felix;
		w.set.bgp_programs = rows[i].bgp;
		encap_block(&w, &block, &near, &p);
		if ((p.verdict == ENCAP_ROUTE) != rows[i].ipip_affinity)
			fail_msg("row %zu, IPIP pool, affinity: verdict %d", i, p.verdict);
		if (encap_bgp(&w, &block, hop) != rows[i].ipip)
			fail_msg("row %zu, IPIP pool, BGP: %d", i, encap_bgp(&w, &block, hop));
		pool.ipip = NEVER;
		encap_block(&w, &block, &near, &p);
		if ((p.verdict == ENCAP_ROUTE) != rows[i].plain_affinity)
			fail_msg("row %zu, plain pool, affinity: verdict %d", i, p.verdict);
		if (encap_bgp(&w, &block, hop) != rows[i].plain)
			fail_msg("row %zu, plain pool, BGP: %d", i, encap_bgp(&w, &block, hop));
		/* VXLAN is never BGP's, whatever is set. */
		pool.vxlan = ALWAYS;
		encap_block(&w, &block, &near, &p);
		assert_int_equal(p.verdict, ENCAP_ROUTE);
		assert_int_equal(p.how, ENCAP_VXLAN);
		assert_int_equal(encap_bgp(&w, &block, hop), ENCAP_BGP_REJECT);
	}
}

static void bgp_by_place(void **state)
{
	struct encap_pool pool;
	struct encap_world w = world(&pool, CROSS, NEVER);
	struct prefix in = cidr("10.0.1.0/26"), one = cidr("10.0.1.7/32"), out = cidr("0.0.0.0/0"),
		      tor = cidr("203.0.113.0/24");
	struct addr near = ip("192.168.61.12"), far = ip("192.168.62.12");

	assert_int_equal(encap_bgp(&w, &in, &near), ENCAP_BGP_PLAIN);
	assert_int_equal(encap_bgp(&w, &in, &far), ENCAP_BGP_IPIP);
	assert_int_equal(encap_bgp(&w, &one, &far), ENCAP_BGP_IPIP);
	assert_int_equal(encap_bgp(&w, &out, &far), ENCAP_BGP_PLAIN);
	assert_int_equal(encap_bgp(&w, &tor, &far), ENCAP_BGP_PLAIN);
}

/* ---- devices and sizes ---- */

static void devices_follow_pools_and_settings(void **state)
{
	static const struct {
		const char *name;
		int ipip, vxlan, ipip_on, vxlan_on;
		uint32_t host, ipip_mtu, vxlan_mtu;
		bool want_ipip, want_vxlan;
		uint32_t pod, tunl0, vx;
	} rows[] = {
		{ "nothing", NEVER, NEVER, -1, -1, 1500, 0, 0, false, false, 1500, 1480, 1450 },
		{ "IPIP", ALWAYS, NEVER, -1, -1, 1500, 0, 0, true, false, 1480, 1480, 1450 },
		{ "CrossSubnet counts", CROSS, NEVER, -1, -1, 1500, 0, 0, true, false, 1480, 1480,
		  1450 },
		{ "VXLAN", NEVER, ALWAYS, -1, -1, 1500, 0, 0, false, true, 1450, 1480, 1450 },
		{ "jumbo", NEVER, ALWAYS, -1, -1, 9000, 0, 0, false, true, 8950, 8980, 8950 },
		{ "told", NEVER, ALWAYS, -1, -1, 1500, 0, 1400, false, true, 1400, 1480, 1400 },
		{ "told for the other", NEVER, ALWAYS, -1, -1, 1500, 1300, 0, false, true, 1450,
		  1300, 1450 },
		{ "on without a pool", NEVER, NEVER, 1, 1, 1500, 0, 0, true, true, 1450, 1480,
		  1450 },
		{ "off with a pool", ALWAYS, NEVER, 0, 0, 1500, 0, 0, false, false, 1500, 1480,
		  1450 },
		{ "no interface known", ALWAYS, NEVER, -1, -1, 0, 0, 0, true, false, 1440, 1440,
		  1410 },
		{ "a host MTU below reason", NEVER, ALWAYS, -1, -1, 600, 0, 0, false, true, 1280,
		  1280, 1280 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct encap_pool pool;
		struct encap_world w = world(&pool, rows[i].ipip, rows[i].vxlan);
		struct encap_devices d;

		w.set.ipip_on = rows[i].ipip_on;
		w.set.vxlan_on = rows[i].vxlan_on;
		w.set.host_mtu = rows[i].host;
		w.set.ipip_mtu = rows[i].ipip_mtu;
		w.set.vxlan_mtu[ENCAP_V4] = rows[i].vxlan_mtu;
		d = encap_devices(&w);
		if (d.ipip != rows[i].want_ipip || d.vxlan[ENCAP_V4] != rows[i].want_vxlan ||
		    d.pod_mtu != rows[i].pod || d.ipip_mtu != rows[i].tunl0 ||
		    d.vxlan_mtu[ENCAP_V4] != rows[i].vx)
			fail_msg("%s: ipip %d vxlan %d pod %u tunl0 %u vxlan.calico %u",
				 rows[i].name, d.ipip, d.vxlan[ENCAP_V4], d.pod_mtu, d.ipip_mtu,
				 d.vxlan_mtu[ENCAP_V4]);
	}
}

static void host_mtu(void **state)
{
	static const char calico[] = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)";
	static const struct encap_link links[] = {
		{ "lo", 65536, true, false },	    { "eth0", 1500, true, false },
		{ "eth1", 9000, true, true },	    { "eth2", 1400, false, false },
		{ "cali12345", 1300, true, false }, { "enp3s0", 1490, true, false },
		{ "docker0", 1200, true, false },
	};
	static const struct {
		const char *pattern;
		uint32_t mtu;
	} rows[] = {
		{ NULL, 9000 },	    { calico, 1490 }, { "^eth", 1500 },
		{ "^eth1$", 9000 }, { "^bond", 0 },
	};
	struct err e = { 0 };
	uint32_t mtu;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(
			encap_host_mtu(links, ARRAY_SIZE(links), rows[i].pattern, &mtu, NULL), 0);
		assert_int_equal(mtu, rows[i].mtu);
	}
	assert_int_equal(encap_host_mtu(links, 7, "^(eth", &mtu, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "mtuIfacePattern \"^(eth\""));
}

static void mac(void **state)
{
	/* The first bytes that sha1sum(1) gives for "node1" and "node1-v6". */
	static const uint8_t v4[] = { 0x66, 0xf9, 0x37, 0xc3, 0x7e, 0x94 };
	static const uint8_t v6[] = { 0x66, 0x0f, 0x35, 0xf2, 0x60, 0xdf };
	uint8_t out[6];

	encap_mac("node1", ENCAP_V4, out);
	assert_memory_equal(out, v4, 6);
	encap_mac("node1", ENCAP_V6, out);
	assert_memory_equal(out, v6, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mode),
		cmocka_unit_test(own_address_without_mask_tunnels_everything),
		cmocka_unit_test(a_kernel_without_the_module),
		cmocka_unit_test(one_family_without_a_device),
		cmocka_unit_test(the_smallest_pool_says_how),
		cmocka_unit_test(a_node_with_our_address),
		cmocka_unit_test(outside_all_pools_and_unknown_owner),
		cmocka_unit_test(ipv6_has_vxlan_only),
		cmocka_unit_test(each_pair_of_settings),
		cmocka_unit_test(bgp_by_place),
		cmocka_unit_test(devices_follow_pools_and_settings),
		cmocka_unit_test(host_mtu),
		cmocka_unit_test(mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
