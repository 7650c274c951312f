/* route.c - the route table against a real kernel, in a namespace of its own; ip(8) is the other
 * hand */
#include "dataplane/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "dataplane/netlink.h"
#include "dataplane/route_msg.h"
#include "tests/unit/dataplane/netns.h"

struct fixture {
	struct link_table *links;
	struct route_table *rt;
	uint64_t now; /* virtual, in ms */
	int reports;
	int last_code;
	char last_text[256];
	unsigned thread_from;
};

static struct fixture fx;

static void on_report(void *arg, const struct route_key *key, int code, const char *text)
{
	fx.reports++;
	fx.last_code = code;
	str_copy(fx.last_text, sizeof(fx.last_text), text);
}

static void start(const struct route_config *more)
{
	struct route_config cfg = more ? *more : (struct route_config) { 0 };
	struct err e = { 0 };

	cfg.report = on_report;
	cfg.thread_from = fx.thread_from;
	fx = (struct fixture) { .now = 1000000, .thread_from = fx.thread_from };
	fx.links = link_table_new(&e);
	assert_non_null(fx.links);
	fx.rt = route_table_new(&cfg, fx.links, &e);
	if (!fx.rt)
		fail_msg("%s", e.msg);
}

static void stop(void)
{
	route_table_free(fx.rt);
	link_table_free(fx.links);
}

static void restart(const struct route_config *more)
{
	stop();
	start(more);
}

/* Two uplinks with subnets, and a pod's veth. */
static int setup(void **state)
{
	ns_fresh();
	sh("ip link add eth0 type veth peer name p-eth0 && ip link set p-eth0 up && ip addr add "
	   "192.168.61.11/24 dev eth0 && "
	   "ip link set eth0 up");
	sh("ip link add eth1 type veth peer name p-eth1 && ip link set p-eth1 up && ip addr add "
	   "192.168.62.11/24 dev eth1 && "
	   "ip link set eth1 up");
	sh("ip link add cali1 type veth peer name p-cali1 && ip link set p-cali1 up && ip link set "
	   "cali1 up");
	fx.thread_from = 0;
	start(NULL);
	return 0;
}

static int teardown(void **state)
{
	stop();
	return 0;
}

static struct route_key key_of(const char *prefix)
{
	struct route_key key = { 0 };

	assert_true(prefix_parse_strict(prefix, &key.dst));
	return key;
}

static struct route_nh via(const char *gw, const char *ifname)
{
	struct route_nh nh = { .onlink = gw != NULL };

	if (gw)
		assert_true(addr_parse(gw, &nh.gw));
	str_copy(nh.ifname, sizeof(nh.ifname), ifname);
	return nh;
}

static void want(const char *prefix, const struct route_nh *nh, unsigned n)
{
	struct route_key key = key_of(prefix);
	struct route_spec spec = { .n_nh = n, .nh = nh };
	struct err e = { 0 };

	if (!n)
		spec.type = ROUTE_BLACKHOLE;
	if (route_desire(fx.rt, n ? ROUTE_CLASS_NOENCAP : ROUTE_CLASS_BLACKHOLE, 0, &key, &spec,
			 &e) < 0)
		fail_msg("%s", e.msg);
}

static void want_via(const char *prefix, const char *gw, const char *ifname)
{
	struct route_nh nh = via(gw, ifname);

	want(prefix, &nh, 1);
}

static void unwant(const char *prefix)
{
	struct route_key key = key_of(prefix);

	route_forget(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key);
	route_forget(fx.rt, ROUTE_CLASS_BLACKHOLE, 0, &key);
}

/* One turn of the agent's loop. */
static void turn(void)
{
	struct err e = { 0 };

	if (link_table_read(fx.links, &e) < 0 || route_table_read(fx.rt, &e) < 0)
		fail_msg("%s", e.msg);
	fx.now += 100;
	for (int i = 0; i < 10; i++) {
		int rc = route_apply(fx.rt, fx.now, 0, &e);

		if (rc < 0)
			fail_msg("%s", e.msg);
		if (rc == 0)
			return;
	}
	fail_msg("route_apply finds no end");
}

static void expect(const char *cmd, const char *text)
{
	assert_string_equal(out_of(cmd), text);
}

static enum route_state state_of(const char *prefix)
{
	struct route_key key = key_of(prefix);

	return route_state(fx.rt, &key);
}

/* Count route events in the namespace while something happens. */
static struct nl_sock monitor;

static void watch(void)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0 };

	assert_int_equal(nl_open_events(&monitor, groups, NULL), 0);
}

static void count_event(void *arg, const struct nlmsghdr *h)
{
	struct route_msg r;

	/* The kernel's own (fe80::/64, some time after a link is up) are not meant. */
	if (route_msg_parse(h, &r) && r.protocol == ROUTE_PROTO_MARGAY)
		++*(int *)arg;
}

static int watched(void)
{
	int n = 0;

	assert_int_equal(nl_read_events(&monitor, 100000, count_event, &n), 0);
	nl_close(&monitor);
	return n;
}

/* ---- */

static void test_routes_of_every_kind(void **state)
{
	struct route_nh pod = via(NULL, "cali1"),
			two[2] = { via("192.168.61.12", "eth0"), via("192.168.62.12", "eth1") };
	struct route_key key = key_of("172.31.239.216/32"), m = key_of("172.31.4.0/26");
	struct route_spec spec = {
		.protocol = ROUTE_PROTO_BOOT, .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &pod
	};
	struct route_spec more = { .n_nh = 1, .nh = &two[0], .mtu = 1400 };
	struct err e = { 0 };

	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	want("172.31.239.192/26", NULL, 0);
	want("172.31.3.0/26", two, 2);
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key, &spec, &e), 0);
	m.metric = 77;
	addr_parse("192.168.61.11", &more.src);
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &m, &more, &e), 0);
	turn();
	expect("ip route show table main scope global proto 80",
	       "172.31.3.0/26|\tnexthop via 192.168.61.12 dev eth0 weight 1 onlink|"
	       "\tnexthop via 192.168.62.12 dev eth1 weight 1 onlink|"
	       "172.31.4.0/26 via 192.168.61.12 dev eth0 src 192.168.61.11 metric 77 onlink "
	       "mtu 1400|"
	       "172.31.89.192/26 via 192.168.61.12 dev eth0 onlink|"
	       "blackhole 172.31.239.192/26|");
	expect("ip route show 172.31.239.216", "172.31.239.216 dev cali1 scope link|");
	assert_int_equal(state_of("172.31.89.192/26"), ROUTE_IN_KERNEL);
	assert_int_equal(route_counts(fx.rt).installed, 5);
}

static void test_ipv6_routes(void **state)
{
	struct route_nh two[2] = { via("fe80::12", "eth0"), via("fe80::13", "eth1") };

	want("fd00:1::/122", two, 1);
	want("fd00:2::/122", two, 2);
	want("fd00:3::/122", NULL, 0);
	turn();
	expect("ip -6 route show proto 80",
	       "fd00:1::/122 via fe80::12 dev eth0 metric 1024 onlink pref medium|"
	       "fd00:2::/122 metric 1024 pref medium|"
	       "\tnexthop via fe80::12 dev eth0 weight 1 onlink|"
	       "\tnexthop via fe80::13 dev eth1 weight 1 onlink|"
	       "blackhole fd00:3::/122 dev lo metric 1024 pref medium|");
	want("fd00:2::/122", &two[1], 1);
	unwant("fd00:3::/122");
	unwant("fd00:1::/122");
	route_table_ready(fx.rt);
	turn();
	expect("ip -6 route show proto 80",
	       "fd00:2::/122 via fe80::13 dev eth1 metric 1024 onlink pref medium|");
	want("fd00:2::/122", two, 2);
	turn();
	unwant("fd00:2::/122");
	turn();
	expect("ip -6 route show proto 80", "");
}

static void test_v4_by_way_of_v6(void **state)
{
	want_via("172.31.7.0/26", "fe80::7", "eth0");
	turn();
	expect("ip route show proto 80", "172.31.7.0/26 via inet6 fe80::7 dev eth0 onlink|");
	watch();
	restart(NULL);
	want_via("172.31.7.0/26", "fe80::7", "eth0");
	route_table_ready(fx.rt);
	turn();
	assert_int_equal(watched(), 0);
}

static void test_restart_writes_nothing(void **state)
{
	struct route_nh two[2] = { via("192.168.62.12", "eth1"), via("192.168.61.12", "eth0") };

	for (int pass = 0; pass < 2; pass++) {
		if (pass) {
			watch();
			restart(NULL);
		}
		want_via("172.31.89.192/26", "192.168.61.12", "eth0");
		want("172.31.239.192/26", NULL, 0);
		want("172.31.3.0/26", two, 2);
		want("fd00:3::/122", two, 0);
		want_via("fd00:4::/122", "fe80::12", "eth0");
		route_table_ready(fx.rt);
		turn();
	}
	assert_int_equal(watched(), 0);
	assert_int_equal(route_counts(fx.rt).written, 0);
	assert_int_equal(route_counts(fx.rt).removed, 0);
	assert_int_equal(route_counts(fx.rt).installed, 5);
}

static void test_leftovers_go_only_when_ready(void **state)
{
	sh("ip route add 172.31.5.0/26 via 192.168.61.12 proto 80");
	sh("ip route add 172.31.6.0/26 via 192.168.61.12 proto static");
	sh("ip route add default via 192.168.61.1");
	restart(NULL);
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	turn();
	assert_int_equal(state_of("172.31.5.0/26"), ROUTE_LEAVING);
	expect("ip route show 172.31.5.0/26", "172.31.5.0/26 via 192.168.61.12 dev eth0 proto 80|");
	route_table_ready(fx.rt);
	turn();
	expect("ip route show | grep -v 'proto kernel'",
	       "default via 192.168.61.1 dev eth0|"
	       "172.31.6.0/26 via 192.168.61.12 dev eth0 proto static|"
	       "172.31.89.192/26 via 192.168.61.12 dev eth0 proto 80 onlink|");
}

static void test_foreign_removal_is_repaired(void **state)
{
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	want("172.31.239.192/26", NULL, 0);
	turn();
	sh("ip route del 172.31.89.192/26");
	sh("ip route del blackhole 172.31.239.192/26");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 192.168.61.12 dev eth0 onlink|"
					 "blackhole 172.31.239.192/26|");
	assert_int_equal(route_counts(fx.rt).foreign, 2);
	assert_int_equal(route_counts(fx.rt).resyncs, 0);
}

static void test_foreign_change_is_repaired(void **state)
{
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	turn();
	sh("ip route replace 172.31.89.192/26 via 192.168.62.99 proto static");
	turn();
	expect("ip route show 172.31.89.192/26",
	       "172.31.89.192/26 via 192.168.61.12 dev eth0 proto 80 onlink|");
	assert_int_equal(route_counts(fx.rt).foreign, 1);
}

static void test_foreign_route_is_not_overwritten(void **state)
{
	sh("ip route add 172.31.89.192/26 via 192.168.62.99 proto static");
	for (int pass = 0; pass < 2; pass++) {
		/* Once with the foreign route seen by the first dump, once found on the way. */
		if (pass)
			restart(NULL);
		route_table_ready(fx.rt);
		want_via("172.31.89.192/26", "192.168.61.12", "eth0");
		turn();
		turn();
		assert_int_equal(state_of("172.31.89.192/26"), ROUTE_CONFLICT);
		assert_int_equal(fx.reports, 1);
		assert_int_equal(fx.last_code, -EEXIST);
		expect("ip route show 172.31.89.192/26",
		       "172.31.89.192/26 via 192.168.62.99 dev eth1 proto static|");
	}
	unwant("172.31.89.192/26");
	turn();
	expect("ip route show 172.31.89.192/26",
	       "172.31.89.192/26 via 192.168.62.99 dev eth1 proto static|");
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	turn();
	sh("ip route del 172.31.89.192/26");
	turn();
	expect("ip route show 172.31.89.192/26",
	       "172.31.89.192/26 via 192.168.61.12 dev eth0 proto 80 onlink|");
	assert_int_equal(fx.last_code, 0);
}

static void test_birds_route_is_taken_over(void **state)
{
	sh("ip route add 172.31.89.192/26 via 192.168.61.12 proto bird");
	sh("ip route add 172.31.90.192/26 via 192.168.61.12 proto bird");
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	route_table_ready(fx.rt);
	turn();
	expect("ip route show | grep 172.31",
	       "172.31.89.192/26 via 192.168.61.12 dev eth0 proto 80 onlink|"
	       "172.31.90.192/26 via 192.168.61.12 dev eth0 proto bird|");
}

static void test_lost_events_lead_to_a_dump(void **state)
{
	int tiny = 2048;

	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	want_via("172.31.90.192/26", "192.168.61.12", "eth0");
	turn();
	assert_int_equal(
		setsockopt(route_table_fd(fx.rt), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
	sh("ip route del 172.31.89.192/26");
	sh("for i in $(seq 1 100); do echo route add 10.9.$i.0/24 via 192.168.61.9; done | ip -b "
	   "-");
	sh("ip route del 172.31.90.192/26");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 192.168.61.12 dev eth0 onlink|"
					 "172.31.90.192/26 via 192.168.61.12 dev eth0 onlink|");
	assert_true(route_counts(fx.rt).resyncs >= 1);
}

static void test_route_waits_for_its_link(void **state)
{
	want_via("172.31.89.192/26", "10.5.0.2", "late0");
	turn();
	assert_int_equal(state_of("172.31.89.192/26"), ROUTE_WAITING);
	sh("ip link add late0 type veth peer name p-late0 && ip link set p-late0 up");
	turn();
	assert_int_equal(state_of("172.31.89.192/26"), ROUTE_WAITING);
	sh("ip link set late0 up");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 10.5.0.2 dev late0 onlink|");
	/* The kernel drops the route without a word; so does a new link of the same name. */
	sh("ip link set late0 down && ip link set late0 up");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 10.5.0.2 dev late0 onlink|");
	sh("ip link del late0");
	turn();
	assert_int_equal(state_of("172.31.89.192/26"), ROUTE_WAITING);
	sh("ip link add late0 type veth peer name p-late0 && ip link set p-late0 up && ip link set "
	   "late0 up");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 10.5.0.2 dev late0 onlink|");
}

static void test_multipath_lives_on_with_one_link(void **state)
{
	struct route_nh two[2] = { via("192.168.61.12", "eth0"), via("192.168.62.12", "eth1") };

	want("172.31.3.0/26", two, 2);
	turn();
	sh("ip link set eth1 down");
	turn();
	expect("ip route show proto 80", "172.31.3.0/26 via 192.168.61.12 dev eth0 onlink|");
	sh("ip link set eth1 up");
	turn();
	expect("ip route show proto 80",
	       "172.31.3.0/26|\tnexthop via 192.168.61.12 dev eth0 weight 1 onlink|"
	       "\tnexthop via 192.168.62.12 dev eth1 weight 1 onlink|");
}

static void test_last_address_takes_the_routes_along(void **state)
{
	want_via("172.31.89.192/26", "192.168.61.12", "eth0");
	turn();
	sh("ip addr del 192.168.61.11/24 dev eth0");
	expect("ip route show proto 80", "");
	turn();
	expect("ip route show proto 80", "172.31.89.192/26 via 192.168.61.12 dev eth0 onlink|");
}

struct story {
	unsigned n;
	uint16_t type[8];
	uint32_t metric[8];
};

static void tell(void *arg, const struct nlmsghdr *h)
{
	struct route_msg r;
	struct story *s = arg;

	assert_true(route_msg_parse(h, &r) && s->n < 8);
	s->type[s->n] = h->nlmsg_type;
	s->metric[s->n++] = r.key.metric;
}

static void test_metric_change_adds_before_it_deletes(void **state)
{
	struct route_key slow = key_of("172.31.239.216/32"), fast = slow;
	struct route_nh pod = via(NULL, "cali1");
	struct route_spec spec = { .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &pod };
	struct story s = { 0 };

	slow.metric = 1024;
	fast.metric = 512;
	route_table_ready(fx.rt);
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &slow, &spec, NULL), 0);
	turn();
	watch();
	route_forget(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &slow);
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &fast, &spec, NULL), 0);
	turn();
	assert_int_equal(nl_read_events(&monitor, 100, tell, &s), 0);
	nl_close(&monitor);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.type[0], RTM_NEWROUTE);
	assert_int_equal(s.metric[0], 512);
	assert_int_equal(s.type[1], RTM_DELROUTE);
	assert_int_equal(s.metric[1], 1024);
}

static void test_stronger_class_wins_and_gives_back(void **state)
{
	struct route_key key = key_of("172.31.239.216/32");
	struct route_nh pod = via(NULL, "cali1"), far = via("192.168.61.12", "eth0");
	struct route_spec local = { .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &pod };
	struct route_spec remote = { .n_nh = 1, .nh = &far };
	struct err e = { 0 };

	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key, &local, &e), 0);
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &remote, &e), 0);
	turn();
	expect("ip route show proto 80", "172.31.239.216 dev cali1 scope link|");
	route_forget(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key);
	turn();
	expect("ip route show proto 80", "172.31.239.216 via 192.168.61.12 dev eth0 onlink|");
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 2, &key, &local, &e), 0);
	turn();
	expect("ip route show proto 80", "172.31.239.216 dev cali1 scope link|");
	route_forget(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key);
	route_forget(fx.rt, ROUTE_CLASS_WORKLOAD, 2, &key);
	route_table_ready(fx.rt);
	turn();
	expect("ip route show proto 80", "");
}

static void test_newer_pod_wins_the_address(void **state)
{
	struct route_key key = key_of("172.31.239.216/32");
	struct route_nh old = via(NULL, "cali1"), new = via(NULL, "cali2");
	struct route_spec spec = { .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &new };
	struct err e = { 0 };

	sh("ip link add cali2 type veth peer name p-cali2 && ip link set p-cali2 up && ip link set "
	   "cali2 up");
	turn();
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 2, &key, &spec, &e), 0);
	spec.nh = &old;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key, &spec, &e), 0);
	turn();
	expect("ip route show proto 80", "172.31.239.216 dev cali2 scope link|");
	route_forget(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key);
	turn();
	expect("ip route show proto 80", "172.31.239.216 dev cali2 scope link|");
}

static void test_strangers_on_a_pod_interface_go_after_the_grace(void **state)
{
	route_table_ready(fx.rt);
	turn();
	sh("ip link add cali9 type veth peer name p-cali9 && ip link set p-cali9 up && ip link set "
	   "cali9 up && "
	   "ip route add 172.31.8.8/32 dev cali9");
	turn();
	expect("ip route show dev cali9", "172.31.8.8 scope link|");
	assert_true(route_table_due(fx.rt) > fx.now && route_table_due(fx.rt) < UINT64_MAX);
	fx.now = route_table_due(fx.rt);
	turn();
	expect("ip route show dev cali9", "");
}

static void test_wanted_route_ends_the_grace(void **state)
{
	struct route_key key = key_of("172.31.8.9/32");
	struct route_nh pod = via(NULL, "cali9");
	struct route_spec spec = { .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &pod };

	route_table_ready(fx.rt);
	turn();
	sh("ip link add cali9 type veth peer name p-cali9 && ip link set p-cali9 up && ip link set "
	   "cali9 up && "
	   "ip route add 172.31.8.8/32 dev cali9");
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WORKLOAD, 1, &key, &spec, NULL), 0);
	turn();
	expect("ip route show dev cali9", "172.31.8.9 proto 80 scope link|");
}

static void test_refused_route_is_reported_and_tried_again(void **state)
{
	struct route_nh nh = via("10.77.0.1", "eth0");

	nh.onlink = false; /* no subnet of eth0: "Nexthop has invalid gateway" */
	want("172.31.9.0/26", &nh, 1);
	want_via("172.31.10.0/26", "192.168.61.12", "eth0");
	turn();
	assert_int_equal(state_of("172.31.9.0/26"), ROUTE_FAILED);
	assert_int_equal(state_of("172.31.10.0/26"), ROUTE_IN_KERNEL);
	assert_int_equal(fx.reports, 1);
	assert_non_null(strstr(fx.last_text, "172.31.9.0/26"));
	fx.now += 20000;
	turn();
	assert_int_equal(fx.reports, 1);
	sh("ip addr add 10.77.0.2/24 dev eth0");
	turn();
	assert_int_equal(state_of("172.31.9.0/26"), ROUTE_IN_KERNEL);
	assert_int_equal(fx.last_code, 0);
}

static void test_impossible_claims_are_refused(void **state)
{
	struct route_nh nh = via("192.168.61.12", "eth0"), nowhere = { 0 };
	struct route_spec spec = { .n_nh = 1, .nh = &nh };
	struct route_key key = key_of("172.31.0.0/26"), v6 = key_of("fd00::/64");
	struct err e = { 0 };

	key.dst.addr.b[3] = 1;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "host bits"));
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &v6, &spec, &e), -EINVAL);
	spec.nh = &nowhere;
	key.dst.addr.b[3] = 0;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, &e), -EINVAL);
	spec.n_nh = 0;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, &e), -EINVAL);
	spec.n_nh = 1;
	spec.type = ROUTE_BLACKHOLE;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, &e), -EINVAL);
	assert_int_equal(route_counts(fx.rt).desired, 0);
}

static void test_another_table(void **state)
{
	struct route_key key = key_of("172.31.0.0/26");
	struct route_nh nh = via("192.168.61.12", "eth0");
	struct route_spec spec = { .n_nh = 1, .nh = &nh };

	key.table = 1000;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_WIREGUARD, 0, &key, &spec, NULL), 0);
	turn();
	expect("ip route show table 1000",
	       "172.31.0.0/26 via 192.168.61.12 dev eth0 proto 80 onlink|");
	sh("ip route flush table 1000");
	turn();
	expect("ip route show table 1000",
	       "172.31.0.0/26 via 192.168.61.12 dev eth0 proto 80 onlink|");
}

static void test_ten_thousand(void **state)
{
	enum { N = 10000 };
	struct route_nh nh = via("192.168.61.12", "eth0");
	struct route_spec spec = { .n_nh = 1, .nh = &nh };

	route_table_ready(fx.rt);
	for (int pass = 0; pass < 3; pass++) {
		int heard = 0;

		watch();
		if (pass == 1)
			restart(NULL);
		for (uint32_t i = 0; i < N; i++) {
			struct route_key key = { .dst = { .addr = addr_v4(0x0a000000 + i * 64),
							  .len = 26 } };

			if (pass < 2)
				route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, NULL);
			else
				route_forget(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key);
		}
		route_table_ready(fx.rt);
		/* In pieces, so that the watcher's buffer holds what it hears. */
		for (int rc = 1; rc;) {
			rc = route_apply(fx.rt, fx.now, 1000, NULL);
			assert_true(rc >= 0);
			assert_int_equal(nl_read_events(&monitor, 100000, count_event, &heard), 0);
		}
		assert_int_equal(heard + watched(), pass == 1 ? 0 : N);
	}
	expect("ip route show proto 80", "");
}

static void test_budget_bounds_one_call(void **state)
{
	for (int i = 0; i < 50; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.8.%d.0/24", i);
		want_via(prefix, "192.168.61.12", "eth0");
	}
	assert_int_equal(route_apply(fx.rt, fx.now, 20, NULL), 1);
	assert_int_equal(route_counts(fx.rt).written, 20);
	assert_int_equal(route_apply(fx.rt, fx.now, 20, NULL), 1);
	assert_int_equal(route_apply(fx.rt, fx.now, 20, NULL), 0);
	assert_int_equal(route_counts(fx.rt).written, 50);
}

/* ---- many writes at once, which a thread makes ---- */

enum { MANY = 2000, SLICE = 4096 };

static struct route_key many_key(uint32_t i)
{
	return (struct route_key) { .dst = { .addr = addr_v4(0x0a000000 + i * 64), .len = 26 } };
}

static void claim_many(const char *gw)
{
	struct route_nh nh = via(gw, "eth0");
	struct route_spec spec = { .n_nh = 1, .nh = &nh };

	for (uint32_t i = 0; i < MANY; i++) {
		struct route_key key = many_key(i);

		assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, NULL), 0);
	}
}

static void claim_one(uint32_t i, const char *gw)
{
	struct route_key key = many_key(i);
	struct route_nh nh = via(gw, "eth0");
	struct route_spec spec = { .n_nh = 1, .nh = &nh };

	nh.onlink = false;
	assert_int_equal(route_desire(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key, &spec, NULL), 0);
}

static void forget_one(uint32_t i)
{
	struct route_key key = many_key(i);

	route_forget(fx.rt, ROUTE_CLASS_NOENCAP, 0, &key);
}

static enum route_state many_state(uint32_t i)
{
	struct route_key key = many_key(i);

	return route_state(fx.rt, &key);
}

/* Begin to write all that there is. */
static void fly(void)
{
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 1);
	assert_int_equal(route_counts(fx.rt).written + route_counts(fx.rt).removed, 0);
}

/* What is claimed is there, and nothing more of ours: a table that starts now sees the same. */
static void expect_many(unsigned n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u|", n);
	expect("ip route show proto 80 | wc -l", text);
	assert_int_equal(route_counts(fx.rt).installed, n);
}

static void test_many_routes_are_written_meanwhile(void **state)
{
	route_table_ready(fx.rt);
	claim_many("192.168.61.12");
	fly();
	assert_true(route_table_dirty(fx.rt));
	assert_int_equal(many_state(0), ROUTE_PENDING);
	assert_int_equal(many_state(MANY - 1), ROUTE_PENDING);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 0);
	assert_int_equal(route_counts(fx.rt).written, MANY);
	expect_many(MANY);
	for (uint32_t i = 0; i < MANY; i++)
		forget_one(i);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 1);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 0);
	assert_int_equal(route_counts(fx.rt).removed, MANY);
	expect_many(0);
}

static void test_claims_of_what_is_being_written_come_after_it(void **state)
{
	route_table_ready(fx.rt);
	claim_many("192.168.61.12");
	fly();
	claim_one(7, "192.168.61.13");
	assert_int_equal(route_counts(fx.rt).written, MANY);
	forget_one(8);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 0);
	expect_many(MANY - 1);
	expect("ip route show 10.0.1.192/26", "10.0.1.192/26 via 192.168.61.13 dev eth0 proto 80|");
	expect("ip route show 10.0.2.0/26", "");
}

static void test_claims_of_what_is_being_removed_come_after_it(void **state)
{
	route_table_ready(fx.rt);
	claim_many("192.168.61.12");
	turn();
	for (uint32_t i = 0; i < MANY; i++)
		forget_one(i);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 1);
	claim_one(7, "192.168.61.13");
	forget_one(8);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 0);
	expect_many(1);
	expect("ip route show 10.0.1.192/26", "10.0.1.192/26 via 192.168.61.13 dev eth0 proto 80|");
}

static void test_refusals_among_many_are_told_one_by_one(void **state)
{
	claim_many("192.168.61.12");
	claim_one(300, "10.77.0.1"); /* not on eth0's subnet */
	claim_one(MANY - 1, "10.77.0.1");
	fly();
	assert_int_equal(fx.reports, 0);
	assert_int_equal(route_apply(fx.rt, fx.now, SLICE, NULL), 0);
	assert_int_equal(fx.reports, 2);
	assert_non_null(strstr(fx.last_text, "10.1.243.192/26"));
	assert_int_equal(many_state(300), ROUTE_FAILED);
	assert_int_equal(many_state(MANY - 1), ROUTE_FAILED);
	assert_int_equal(many_state(301), ROUTE_IN_KERNEL);
	expect_many(MANY - 2);
}

static void test_strangers_among_many_are_respected(void **state)
{
	sh("ip route add 10.0.1.192/26 via 192.168.61.99 proto static");
	claim_many("192.168.61.12");
	fly();
	turn();
	assert_int_equal(many_state(7), ROUTE_CONFLICT);
	expect_many(MANY - 1);
}

static void test_link_lost_while_many_are_written(void **state)
{
	claim_many("192.168.61.12");
	fly();
	sh("ip link set eth0 down");
	turn();
	assert_int_equal(many_state(0), ROUTE_WAITING);
	expect_many(0);
	sh("ip link set eth0 up");
	turn();
	expect_many(MANY);
}

static void test_end_while_many_are_written(void **state)
{
	claim_many("192.168.61.12");
	fly();
	restart(NULL); /* waits for them, and finds them all */
	claim_many("192.168.61.12");
	turn();
	assert_int_equal(route_counts(fx.rt).written, 0);
	expect_many(MANY);
}

static void test_flush_while_many_are_written(void **state)
{
	claim_many("192.168.61.12");
	fly();
	want_via("172.31.0.0/26", "192.168.61.12", "eth0");
	assert_int_equal(route_apply(fx.rt, fx.now, 0, NULL), 0);
	assert_int_equal(state_of("172.31.0.0/26"), ROUTE_IN_KERNEL);
	expect_many(MANY + 1);
}

static void test_gateway_route_without_a_default_route(void **state)
{
	const struct route_config cfg = { .gateway = true };
	const char *show = "ip route show 169.254.1.1";

	restart(&cfg);
	route_table_ready(fx.rt);
	turn();
	expect(show, "169.254.1.1 dev lo proto 80 scope link|");
	sh("ip route add default via 192.168.61.1");
	turn();
	expect(show, "");
	/* Going down with its link, the default route says nothing. */
	sh("ip link set eth0 down");
	turn();
	expect(show, "169.254.1.1 dev lo proto 80 scope link|");
	sh("ip link set eth0 up && ip route add 169.254.0.0/16 dev eth0");
	turn();
	expect(show, "");
	sh("ip route del 169.254.0.0/16");
	turn();
	expect(show, "169.254.1.1 dev lo proto 80 scope link|");
	sh("ip route del 169.254.1.1");
	turn();
	expect(show, "169.254.1.1 dev lo proto 80 scope link|");
	restart(&cfg);
	sh("ip route add default via 192.168.62.1");
	route_table_ready(fx.rt);
	turn();
	expect(show, "");
}

/* ---- random worlds: claims, another hand in the table, links that come and go ---- */

enum { WORLD_KEYS = 24, WORLD_ROUNDS = 400 };

static uint64_t rng;

static unsigned draw(unsigned n)
{
	rng = rng * 6364136223846793005U + 1442695040888963407U;
	return (unsigned)(rng >> 33) % n;
}

static const char *world_prefix(unsigned k)
{
	static char text[32];

	if (k % 4 == 3)
		snprintf(text, sizeof(text), "fd00:%u::/64", k);
	else
		snprintf(text, sizeof(text), "10.%u.0.0/24", k);
	return text;
}

/* The claim number c for a key; 0 is none. Gateways do for both families where they can. */
static void world_claim(unsigned k, unsigned c)
{
	bool v6 = k % 4 == 3;
	const char *a = v6 ? "fe80::12" : "192.168.61.12", *b = v6 ? "fe80::13" : "192.168.62.12";
	struct route_nh nh[2] = { via(a, c % 2 ? "eth0" : "eth1"), via(b, "late0") };

	unwant(world_prefix(k));
	switch (c) {
	case 0:
		break;
	case 1:
	case 2:
		want(world_prefix(k), nh, 1);
		break;
	case 3:
	case 4:
		want(world_prefix(k), nh, 2);
		break;
	case 5:
		want(world_prefix(k), &nh[1], 1);
		break;
	default:
		want(world_prefix(k), NULL, 0);
		break;
	}
}

static void world_foreign(FILE *ip)
{
	const char *p = world_prefix(draw(WORLD_KEYS)), *link = draw(2) ? "eth0" : "eth1";

	switch (draw(9)) {
	case 0:
	case 1:
		fprintf(ip, "route del %s\n", p);
		break;
	case 2:
		fprintf(ip, "route replace %s dev eth0 proto static%s\n", p,
			strchr(p, ':') ? " metric 1024" : "");
		break;
	case 3:
		fprintf(ip, "route replace blackhole %s proto 80%s\n", p,
			strchr(p, ':') ? " metric 1024" : "");
		break;
	case 4:
		fprintf(ip, "link set %s down\n", link);
		break;
	case 5:
		fprintf(ip, "link set %s up\n", link);
		break;
	case 6:
		fprintf(ip, "link del late0\n");
		break;
	case 7:
		fprintf(ip, "link add late0 type veth peer name p-late0\n"
			    "link set p-late0 up\nlink set late0 up\n");
		break;
	default:
		fprintf(ip, "addr %s 192.168.61.11/24 dev eth0\n", draw(2) ? "del" : "add");
		break;
	}
}

static void world_round(unsigned claims[])
{
	FILE *ip = popen("ip -force -b - >/dev/null 2>&1", "w");
	unsigned n = draw(6);

	assert_non_null(ip);
	for (unsigned i = 0; i < n; i++)
		world_foreign(ip);
	pclose(ip);
	for (unsigned i = draw(6); i > 0; i--) {
		unsigned k = draw(WORLD_KEYS);

		world_claim(k, claims[k] = draw(7));
	}
	if (draw(2))
		turn();
	else if (fx.thread_from)
		assert_true(route_apply(fx.rt, fx.now, 1000, NULL) >= 0);
}

/* Everything usable, nobody else's routes: then all that is claimed must be there, and nothing more
 * of ours. A table that starts now and sees for itself must find nothing to do. */
static void world_judge(unsigned claims[], int round)
{
	sh("ip link add late0 type veth peer name p-late0 2>/dev/null; ip link set p-late0 up; "
	   "ip link set late0 up; ip link set eth0 up; ip link set eth1 up; "
	   "ip addr add 192.168.61.11/24 dev eth0 2>/dev/null; "
	   "ip route flush proto static; ip -6 route flush proto static");
	fx.now += 20000;
	turn();
	turn();
	for (unsigned k = 0; k < WORLD_KEYS; k++) {
		enum route_state st = state_of(world_prefix(k));

		if (st != (claims[k] ? ROUTE_IN_KERNEL : ROUTE_ABSENT))
			fail_msg("round %d, %s, claim %u: %s %s", round, world_prefix(k), claims[k],
				 route_state_text(st),
				 out_of("ip -d route show proto static; ip -br link"));
	}
	restart(NULL);
	for (unsigned k = 0; k < WORLD_KEYS; k++)
		world_claim(k, claims[k]);
	route_table_ready(fx.rt);
	turn();
	assert_int_equal(route_counts(fx.rt).written, 0);
	assert_int_equal(route_counts(fx.rt).removed, 0);
}

static void random_worlds(void)
{
	unsigned claims[WORLD_KEYS] = { 0 };

	rng = 20;
	route_table_ready(fx.rt);
	for (int i = 1; i <= WORLD_ROUNDS; i++) {
		world_round(claims);
		if (i % 8 == 0)
			world_judge(claims, i);
	}
}

static void test_random_worlds_converge(void **state)
{
	random_worlds();
}

/* The same where a thread makes each write, and is often under way while the world changes. */
static void test_random_worlds_converge_in_flight(void **state)
{
	fx.thread_from = 1;
	restart(NULL);
	random_worlds();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_routes_of_every_kind),
		T(test_ipv6_routes),
		T(test_v4_by_way_of_v6),
		T(test_restart_writes_nothing),
		T(test_leftovers_go_only_when_ready),
		T(test_foreign_removal_is_repaired),
		T(test_foreign_change_is_repaired),
		T(test_foreign_route_is_not_overwritten),
		T(test_birds_route_is_taken_over),
		T(test_lost_events_lead_to_a_dump),
		T(test_route_waits_for_its_link),
		T(test_multipath_lives_on_with_one_link),
		T(test_last_address_takes_the_routes_along),
		T(test_metric_change_adds_before_it_deletes),
		T(test_stronger_class_wins_and_gives_back),
		T(test_newer_pod_wins_the_address),
		T(test_strangers_on_a_pod_interface_go_after_the_grace),
		T(test_wanted_route_ends_the_grace),
		T(test_refused_route_is_reported_and_tried_again),
		T(test_impossible_claims_are_refused),
		T(test_another_table),
		T(test_ten_thousand),
		T(test_budget_bounds_one_call),
		T(test_many_routes_are_written_meanwhile),
		T(test_claims_of_what_is_being_written_come_after_it),
		T(test_claims_of_what_is_being_removed_come_after_it),
		T(test_refusals_among_many_are_told_one_by_one),
		T(test_strangers_among_many_are_respected),
		T(test_link_lost_while_many_are_written),
		T(test_end_while_many_are_written),
		T(test_flush_while_many_are_written),
		T(test_gateway_route_without_a_default_route),
		T(test_random_worlds_converge),
		T(test_random_worlds_converge_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
