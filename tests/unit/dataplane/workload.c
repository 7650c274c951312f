/* workload.c - a pod's host end: sysctls, neighbour, and an answer for 169.254.1.1 without a
 * default route */
#include "dataplane/workload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "dataplane/route.h"
#include "dataplane/sysctl.h"
#include "dataplane/veth.h"
#include "tests/unit/dataplane/netns.h"

/* The pod's namespace, with the pair made as the plugin makes it. */
static int pod_ns = -1, host_ns = -1;

static void make_pair(void)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 5 };
	struct veth v = { .pod_name = "eth0",
			  .pod_index = 2,
			  .pod_mac = mac,
			  .host_name = "cali1",
			  .host_mac = veth_host_mac,
			  .host_ns = host_ns,
			  .mtu = 1450,
			  .queues = 1 };
	struct prefix gw = { .addr = veth_gateway(), .len = 32 }, all = { .addr.family = IP_V4 },
		      ip = { .addr = addr_v4(0xac1f0102), .len = 32 };
	struct nl_buf b = { 0 };
	struct nl_sock s;
	struct err e = { 0 };

	assert_int_equal(nl_open(&s, NULL), 0);
	veth_put_pair(&b, &v);
	veth_put_route(&b, 2, &gw, NULL);
	veth_put_route(&b, 2, &all, &gw.addr);
	veth_put_addr(&b, 2, &ip);
	if (nl_run(&s, &b, &e) < 0)
		fail_msg("%s", e.msg);
	nl_close(&s);
	nl_buf_done(&b);
}

static int setup(void **state)
{
	ns_fresh();
	host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	pod_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	make_pair();
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
	sh("ip link set cali1 up");
	return 0;
}

static int teardown(void **state)
{
	close(pod_ns);
	close(host_ns);
	return 0;
}

static void in_pod(const char *cmd, const char *expect)
{
	assert_int_equal(setns(pod_ns, CLONE_NEWNET), 0);
	assert_string_equal(out_of(cmd), expect);
	assert_int_equal(setns(host_ns, CLONE_NEWNET), 0);
}

static void test_the_pair(void **state)
{
	in_pod("ip -br addr show eth0 | awk '{print $1, $3}'", "eth0@if2 172.31.1.2/32|");
	in_pod("ip route", "default via 169.254.1.1 dev eth0|169.254.1.1 dev eth0 scope link|");
	in_pod("cat /sys/class/net/eth0/address 2>/dev/null | head -0; ip -o link show eth0 | "
	       "grep -o 'mtu 1450\\|02:00:00:00:00:05\\|LOWER_UP'",
	       "LOWER_UP|mtu 1450|02:00:00:00:00:05|");
	assert_string_equal(out_of("ip -o link show cali1 | "
				   "grep -o 'mtu 1450\\|ee:ee:ee:ee:ee:ee\\|LOWER_UP'"),
			    "LOWER_UP|mtu 1450|ee:ee:ee:ee:ee:ee|");
}

static void test_sysctls(void **state)
{
	struct workload_if w = { .ifname = "cali1", .ipv6 = true };
	char value[SYSCTL_VALUE_MAX];
	struct err e = { 0 };

	assert_int_equal(workload_sysctls_check(&w, &e), -ESTALE);
	assert_int_equal(workload_sysctls(&w, &e), 0);
	assert_int_equal(workload_sysctls_check(&w, &e), 0);
	assert_int_equal(sysctl_read("net/ipv4/conf/cali1/proxy_arp", value, &e), 0);
	assert_string_equal(value, "1");
	assert_int_equal(sysctl_read("net/ipv4/neigh/cali1/proxy_delay", value, &e), 0);
	assert_string_equal(value, "0");
	assert_int_equal(sysctl_write("net/ipv4/conf/cali1/forwarding", "0", &e), 0);
	assert_int_equal(workload_sysctls_check(&w, &e), -ESTALE);
	assert_non_null(strstr(e.msg, "forwarding"));
	w.any_source = true;
	assert_int_equal(workload_sysctls(&w, &e), 0);
	assert_int_equal(sysctl_read("net/ipv4/conf/cali1/rp_filter", value, &e), 0);
	assert_string_equal(value, "0");
	w.any_source = false;
	w.rp_filter = "2";
	assert_int_equal(workload_sysctls(&w, &e), 0);
	assert_int_equal(sysctl_read("net/ipv4/conf/cali1/rp_filter", value, &e), 0);
	assert_string_equal(value, "2");
	assert_int_equal(sysctl_read("net/ipv6/conf/cali1/disable_ipv6", value, &e), 0);
	assert_string_equal(value, "0");
	w.ipv6 = false;
	w.no_ipv6 = true;
	assert_int_equal(workload_sysctls(&w, &e), 0);
	assert_int_equal(sysctl_read("net/ipv6/conf/cali1/disable_ipv6", value, &e), 0);
	assert_string_equal(value, "1");
	assert_string_equal(out_of("ip -6 addr show dev cali1"), "");
}

static void test_no_such_interface(void **state)
{
	static const char *const names[] = { "cali9", "../../kernel", "", "." };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct workload_if w = { .ifname = names[i] };

		assert_true(workload_sysctls(&w, &e) < 0);
	}
}

static void test_neighbour(void **state)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 5 }, other[6] = { 2, 0, 0, 0, 0, 6 };
	struct addr pod = addr_v4(0xac1f0102);
	struct nl_sock s;

	assert_int_equal(nl_open(&s, NULL), 0);
	assert_int_equal(workload_neighbour(&s, veth_index(s.fd, "cali1"), &pod, other, NULL), 0);
	assert_int_equal(workload_neighbour(&s, veth_index(s.fd, "cali1"), &pod, mac, NULL), 0);
	assert_string_equal(out_of("ip neigh show 172.31.1.2"),
			    "172.31.1.2 dev cali1 lladdr 02:00:00:00:00:05 PERMANENT|");
	nl_close(&s);
}

/* The host has no route at all but ours: the pod must still learn its gateway's MAC. */
static void test_arp_for_the_gateway_without_a_default_route(void **state)
{
	struct route_config cfg = { .gateway = true };
	struct workload_if w = { .ifname = "cali1" };
	struct err e = { 0 };
	struct link_table *links = link_table_new(&e);
	struct route_table *rt = route_table_new(&cfg, links, &e);

	assert_int_equal(workload_sysctls(&w, &e), 0);
	assert_string_equal(out_of("ip route"), "");
	assert_int_equal(route_apply(rt, 1000, 0, &e), 0);
	assert_string_equal(out_of("ip route"), "169.254.1.1 dev lo proto 80 scope link|");
	in_pod("arping -f -c 3 -w 3 -I eth0 169.254.1.1 >/dev/null 2>&1; ping -c1 -W1 1.2.3.4 "
	       ">/dev/null 2>&1; ip neigh show 169.254.1.1 | cut -d' ' -f1-5",
	       "169.254.1.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee|");
	route_table_free(rt);
	link_table_free(links);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_the_pair),
		T(test_sysctls),
		T(test_no_such_interface),
		T(test_neighbour),
		T(test_arp_for_the_gateway_without_a_default_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
