/* route_tunnel.c - routes through tunnels: onlink, their own MTU, on every next hop
 * SHAPE  A bridge stands in for tunl0 where the kernel has no ipip: to a route, a device is a
 *        device. */
#include "dataplane/route.h"

#include "tests/unit/dataplane/netns.h"

static struct link_table *links;
static struct route_table *rt;

static int setup(void **state)
{
	struct route_config cfg = { 0 };

	ns_fresh();
	sh("ip link add up0 type bridge && ip addr add 192.168.61.11/24 dev up0 && "
	   "ip link set up0 up");
	sh("ip link add tunl0 type ipip 2>/dev/null; ip link show tunl0 >/dev/null 2>&1 || "
	   "ip link add tunl0 type bridge; ip link set tunl0 up");
	sh("ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev up0 local 192.168.61.11 "
	   "nolearning && ip link set vxlan.calico up");
	links = link_table_new(NULL);
	rt = route_table_new(&cfg, links, NULL);
	assert_non_null(rt);
	route_table_ready(rt);
	return 0;
}

static int teardown(void **state)
{
	route_table_free(rt);
	link_table_free(links);
	return 0;
}

static struct route_key key_of(const char *text)
{
	struct route_key key;

	memset(&key, 0, sizeof(key));
	assert_true(prefix_parse_strict(text, &key.dst));
	return key;
}

static struct route_nh hop(const char *gw, const char *dev)
{
	struct route_nh nh = { .onlink = true };

	str_copy(nh.ifname, sizeof(nh.ifname), dev);
	assert_true(addr_parse(gw, &nh.gw));
	return nh;
}

static void desire(enum route_class cls, const char *dst, const struct route_spec *s)
{
	struct route_key key = key_of(dst);
	struct err e = { 0 };

	if (route_desire(rt, cls, 0, &key, s, &e) < 0)
		fail_msg("%s", e.msg);
}

static void apply(void)
{
	struct err e = { 0 };

	if (link_table_read(links, &e) < 0 || route_table_read(rt, &e) < 0 ||
	    route_apply(rt, now_ms(), 0, &e) < 0)
		fail_msg("%s", e.msg);
}

static void block_through_each_tunnel(void **state)
{
	static const struct {
		enum route_class cls;
		const char *dst, *gw, *dev;
		unsigned mtu;
		const char *shown;
	} rows[] = {
		{ ROUTE_CLASS_IPIP, "10.1.0.0/26", "192.168.77.12", "tunl0", 1480,
		  "10.1.0.0/26 via 192.168.77.12 dev tunl0 proto 80 onlink mtu 1480" },
		{ ROUTE_CLASS_VXLAN, "10.1.1.0/26", "10.1.1.1", "vxlan.calico", 1450,
		  "10.1.1.0/26 via 10.1.1.1 dev vxlan.calico proto 80 onlink mtu 1450" },
		{ ROUTE_CLASS_IPIP_SAME_SUBNET, "10.1.2.0/26", "192.168.61.12", "up0", 0,
		  "10.1.2.0/26 via 192.168.61.12 dev up0 proto 80 onlink" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct route_nh nh = hop(rows[i].gw, rows[i].dev);
		struct route_spec s = { .n_nh = 1, .nh = &nh, .mtu = rows[i].mtu };

		desire(rows[i].cls, rows[i].dst, &s);
	}
	apply();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strstr(out_of("ip route show"), rows[i].shown))
			fail_msg("no \"%s\" in %s", rows[i].shown, out_of("ip route show"));
}

static void ecmp_keeps_the_tunnel_on_every_hop(void **state)
{
	struct route_nh nh[] = { hop("192.168.77.12", "tunl0"), hop("192.168.78.12", "tunl0") };
	struct route_spec s = { .n_nh = 2, .nh = nh, .mtu = 1480 };
	const char *said;
	uint64_t written;

	desire(ROUTE_CLASS_IPIP, "10.1.0.0/26", &s);
	apply();
	said = out_of("ip route show 10.1.0.0/26");
	assert_non_null(strstr(said, "mtu 1480"));
	assert_non_null(strstr(said, "nexthop via 192.168.77.12 dev tunl0 weight 1 onlink"));
	assert_non_null(strstr(said, "nexthop via 192.168.78.12 dev tunl0 weight 1 onlink"));
	/* What the kernel says of it is what was asked for. */
	written = route_counts(rt).written;
	assert_int_equal(route_table_resync(rt, NULL), 0);
	apply();
	assert_int_equal(route_counts(rt).written, written);
}

static void vtep_of_its_own(void **state)
{
	struct route_nh nh = { .ifname = "vxlan.calico" };
	struct route_spec s = { .n_nh = 1, .nh = &nh, .mtu = 1450, .scope = ROUTE_SCOPE_LINK };

	desire(ROUTE_CLASS_VXLAN, "10.9.9.9/32", &s);
	apply();
	assert_string_equal(out_of("ip route show 10.9.9.9"),
			    "10.9.9.9 dev vxlan.calico proto 80 scope link mtu 1450|");
}

/* A mode changes: each step is one replacement, never a removal. */
static void modes_follow_each_other(void **state)
{
	struct route_nh direct = hop("192.168.61.12", "up0"), ipip = hop("192.168.61.12", "tunl0"),
			vxlan = hop("10.1.0.1", "vxlan.calico");
	struct route_spec no = { .n_nh = 1, .nh = &direct },
			  ip = { .n_nh = 1, .nh = &ipip, .mtu = 1480 },
			  vx = { .n_nh = 1, .nh = &vxlan, .mtu = 1450 };
	struct route_key key = key_of("10.1.0.0/26");

	desire(ROUTE_CLASS_NOENCAP, "10.1.0.0/26", &no);
	apply();
	desire(ROUTE_CLASS_IPIP, "10.1.0.0/26", &ip);
	apply();
	assert_non_null(strstr(out_of("ip route show 10.1.0.0/26"), "dev tunl0"));
	desire(ROUTE_CLASS_VXLAN, "10.1.0.0/26", &vx);
	route_forget(rt, ROUTE_CLASS_IPIP, 0, &key);
	apply();
	assert_non_null(strstr(out_of("ip route show 10.1.0.0/26"), "dev vxlan.calico"));
	assert_true(route_has_claim(rt, ROUTE_CLASS_NOENCAP, 0, &key));
	assert_true(route_has_claim(rt, ROUTE_CLASS_VXLAN, 0, &key));
	assert_false(route_has_claim(rt, ROUTE_CLASS_IPIP, 0, &key));
	route_forget(rt, ROUTE_CLASS_VXLAN, 0, &key);
	apply();
	assert_string_equal(out_of("ip route show 10.1.0.0/26"),
			    "10.1.0.0/26 via 192.168.61.12 dev up0 proto 80 onlink|");
	assert_int_equal(route_counts(rt).removed, 0);
}

static void routes_wait_for_their_tunnel(void **state)
{
	struct route_nh nh = hop("10.1.0.1", "vxlan.calico");
	struct route_spec s = { .n_nh = 1, .nh = &nh, .mtu = 1450 };
	struct route_key key = key_of("10.1.0.0/26");

	sh("ip link del vxlan.calico");
	desire(ROUTE_CLASS_VXLAN, "10.1.0.0/26", &s);
	apply();
	assert_int_equal(route_state(rt, &key), ROUTE_WAITING);
	sh("ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev up0 nolearning && "
	   "ip link set vxlan.calico up");
	apply();
	assert_int_equal(route_state(rt, &key), ROUTE_IN_KERNEL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(block_through_each_tunnel),
		T(ecmp_keeps_the_tunnel_on_every_hop),
		T(vtep_of_its_own),
		T(modes_follow_each_other),
		T(routes_wait_for_their_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
