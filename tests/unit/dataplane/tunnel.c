/* tunnel.c - tunnel devices and their entries, against this kernel and ip(8)
 * SHAPE  The VXLAN tests run on any kernel; those of tunl0 assert what is right on the kernel at
 *        hand: with ipip the device, without it the words (tests/uml/run.sh has a kernel with it).
 */
#include "dataplane/tunnel.h"

#include <errno.h>
#include <net/if.h>

#include "tests/unit/dataplane/netns.h"

static struct tunnels *t;

static int setup(void **state)
{
	struct err e = { 0 };

	ns_fresh();
	sh("ip link add up0 type bridge && ip addr add 192.168.61.11/24 dev up0 && ip link set up0 "
	   "up");
	t = tunnels_new(&e);
	if (!t)
		fail_msg("%s", e.msg);
	return 0;
}

static int teardown(void **state)
{
	tunnels_free(t);
	t = NULL;
	return 0;
}

static struct addr ip(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, &a));
	return a;
}

static struct tunnel_spec vxlan(void)
{
	return (struct tunnel_spec) {
		.addr = ip("10.0.1.1"),
		.mtu = 1450,
		.vni = 4096,
		.port = 4789,
		.parent = if_nametoindex("up0"),
		.local = ip("192.168.61.11"),
		.mac = { 0x66, 1, 2, 3, 4, 5 },
	};
}

static struct tunnel_peer peer(unsigned n)
{
	return (struct tunnel_peer) {
		.vtep = addr_v4(0x0a000000u + (n << 8)),
		.mac = { 0x66, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n },
		.host = addr_v4(0xc0a83d00u + 20 + n),
	};
}

static void want(const struct tunnel_spec *s)
{
	tunnel_want(t, TUNNEL_VXLAN, s);
}

static void want_peer(unsigned n)
{
	struct tunnel_peer p = peer(n);

	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &p, NULL), 0);
}

/* Until nothing is left to do now. */
static void apply_at(uint64_t ms)
{
	struct err e = { 0 };
	int rc;

	do {
		if (tunnels_read(t, &e) < 0 || (rc = tunnels_apply(t, ms, 0, &e)) < 0)
			fail_msg("%s", e.msg);
	} while (rc == 1);
}

static void apply(void)
{
	apply_at(now_ms());
}

static uint64_t writes(void)
{
	struct tunnel_counts c = tunnel_counts(t);

	return c.written + c.removed;
}

static void assert_status(enum tunnel_kind k, enum tunnel_state state)
{
	const struct tunnel_status *s = tunnel_status(t, k);

	if (s->state != state)
		fail_msg("%s: state %d, not %d: %s", tunnel_name(k), s->state, state, s->text);
}

static void assert_has(const char *cmd, const char *what)
{
	const char *said = out_of(cmd);

	if (!strstr(said, what))
		fail_msg("%s: no \"%s\" in: %s", cmd, what, said);
}

static void assert_lacks(const char *cmd, const char *what)
{
	const char *said = out_of(cmd);

	if (strstr(said, what))
		fail_msg("%s: \"%s\" in: %s", cmd, what, said);
}

static const char show[] = "ip -d link show dev vxlan.calico 2>&1";
static const char fdb[] = "bridge fdb show dev vxlan.calico";
static const char arp[] = "ip neigh show dev vxlan.calico nud permanent";

/* ---- VXLAN ---- */

static void makes_the_device(void **state)
{
	struct tunnel_spec s = vxlan();

	want(&s);
	want_peer(1);
	want_peer(2);
	apply();
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	assert_true(tunnel_status(t, TUNNEL_VXLAN)->usable);
	assert_has(show,
		   "vxlan id 4096 local 192.168.61.11 dev up0 srcport 0 0 dstport 4789 nolearning");
	assert_has(show, "mtu 1450");
	assert_has(show, "link/ether 66:01:02:03:04:05");
	assert_has(show, "UP");
	assert_has("ip addr show dev vxlan.calico", "inet 10.0.1.1/32 scope global vxlan.calico");
	assert_has(fdb, "66:00:00:00:00:01 dst 192.168.61.21 self permanent");
	assert_has(fdb, "66:00:00:00:00:02 dst 192.168.61.22 self permanent");
	assert_has(arp, "10.0.1.0 lladdr 66:00:00:00:00:01 PERMANENT");
	assert_int_equal(tunnel_counts(t).peers, 2);
}

static void settles(void **state)
{
	struct tunnel_spec s = vxlan();
	uint64_t before;

	want(&s);
	want_peer(1);
	apply();
	before = writes();
	for (int i = 0; i < 5; i++)
		apply();
	assert_int_equal(writes(), before);
	assert_int_equal(tunnels_due(t), UINT64_MAX);
}

/* A new life with the same wants writes nothing. */
static void adopts(void **state)
{
	struct tunnel_spec s = vxlan();
	uint32_t index;

	want(&s);
	want_peer(1);
	want_peer(2);
	apply();
	index = tunnel_status(t, TUNNEL_VXLAN)->index;
	tunnels_free(t);
	t = tunnels_new(NULL);
	want(&s);
	want_peer(1);
	want_peer(2);
	tunnels_ready(t);
	apply();
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	assert_int_equal(writes(), 0);
	assert_int_equal(tunnel_status(t, TUNNEL_VXLAN)->index, index);
}

static void leftovers_go_when_ready(void **state)
{
	struct tunnel_spec s = vxlan();

	want(&s);
	want_peer(1);
	want_peer(2);
	apply();
	tunnels_free(t);
	t = tunnels_new(NULL);
	want(&s);
	want_peer(2);
	apply();
	assert_has(fdb, "66:00:00:00:00:01");
	tunnels_ready(t);
	apply();
	assert_lacks(fdb, "66:00:00:00:00:01");
	assert_lacks(arp, "10.0.1.0 ");
	assert_has(fdb, "66:00:00:00:00:02");
}

static void a_leftover_device_goes_when_told(void **state)
{
	sh("ip link add vxlan.calico type vxlan id 4096 dstport 4789 dev up0 nolearning");
	apply();
	assert_has(show, "vxlan id 4096");
	tunnels_ready(t);
	apply();
	assert_has(show, "vxlan id 4096");
	tunnels_leftovers(t);
	apply();
	assert_lacks(show, "vxlan id 4096");
}

static void another_of_that_name_stays_when_unwanted(void **state)
{
	sh("ip link add vxlan.calico type bridge");
	tunnels_leftovers(t);
	apply();
	assert_has(show, "bridge");
}

/* Each row differs from what is wanted in one thing. */
static void differences_are_put_right(void **state)
{
	static const struct {
		const char *name, *cmd;
		bool anew;
	} rows[] = {
		{ "MTU", "ip link set vxlan.calico mtu 1400", false },
		{ "down", "ip link set vxlan.calico down", false },
		{ "MAC", "ip link set vxlan.calico address 66:9:9:9:9:9", false },
		{ "address gone", "ip addr del 10.0.1.1/32 dev vxlan.calico", false },
		{ "another address", "ip addr add 10.9.9.9/32 dev vxlan.calico", false },
		{ "learning", "ip link set vxlan.calico type vxlan learning", true },
		{ "device gone", "ip link del vxlan.calico", true },
		{ "other VNI",
		  "ip link del vxlan.calico; ip link add vxlan.calico type vxlan id 5 dstport 4789 "
		  "dev up0 local 192.168.61.11 nolearning",
		  true },
		{ "other port",
		  "ip link del vxlan.calico; ip link add vxlan.calico type vxlan id 4096 dstport "
		  "8472 "
		  "dev up0 local 192.168.61.11 nolearning",
		  true },
		{ "no parent",
		  "ip link del vxlan.calico; ip link add vxlan.calico type vxlan id 4096 dstport "
		  "4789 "
		  "local 192.168.61.11 nolearning",
		  true },
		{ "no local",
		  "ip link del vxlan.calico; ip link add vxlan.calico type vxlan id 4096 dstport "
		  "4789 "
		  "dev up0 nolearning",
		  true },
		{ "external",
		  "ip link del vxlan.calico; ip link add vxlan.calico type vxlan external "
		  "dstport 4789",
		  true },
		{ "no VXLAN at all",
		  "ip link del vxlan.calico; ip link add vxlan.calico type bridge", true },
		{ "neighbour gone", "ip neigh del 10.0.1.0 dev vxlan.calico", false },
		{ "neighbour not permanent",
		  "ip neigh change 10.0.1.0 lladdr 66:00:00:00:00:01 dev vxlan.calico nud stale",
		  false },
		{ "neighbour's MAC",
		  "ip neigh change 10.0.1.0 lladdr 66:7:7:7:7:7 dev vxlan.calico nud permanent",
		  false },
		{ "entry gone", "bridge fdb del 66:00:00:00:00:01 dev vxlan.calico", false },
		{ "entry elsewhere",
		  "bridge fdb replace 66:00:00:00:00:01 dev vxlan.calico dst 10.1.1.1 self "
		  "permanent",
		  false },
		{ "entry too many",
		  "bridge fdb add 66:8:8:8:8:8 dev vxlan.calico dst 10.1.1.1 self permanent",
		  false },
	};
	struct tunnel_spec s = vxlan();

	want(&s);
	want_peer(1);
	tunnels_ready(t);
	apply();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t index = tunnel_status(t, TUNNEL_VXLAN)->index;

		sh("%s", rows[i].cmd);
		apply();
		if (!strstr(out_of(show), "vxlan id 4096 local 192.168.61.11 dev up0 srcport 0 0 "
					  "dstport 4789 nolearning") ||
		    !strstr(out_of(show), "mtu 1450") || !strstr(out_of(show), ",UP") ||
		    !strstr(out_of(show), "66:01:02:03:04:05"))
			fail_msg("%s: the device is wrong: %s", rows[i].name, out_of(show));
		if (strcmp(out_of("ip -4 -o addr show dev vxlan.calico | grep -o 'inet [^ ]*'"),
			   "inet 10.0.1.1/32|") != 0)
			fail_msg("%s: addresses: %s", rows[i].name,
				 out_of("ip -4 -o addr show dev vxlan.calico"));
		if (strcmp(out_of(fdb), "66:00:00:00:00:01 dst 192.168.61.21 self permanent|") != 0)
			fail_msg("%s: entries: %s", rows[i].name, out_of(fdb));
		if (strcmp(out_of(arp), "10.0.1.0 lladdr 66:00:00:00:00:01 PERMANENT|") != 0)
			fail_msg("%s: neighbours: %s", rows[i].name, out_of(arp));
		if ((tunnel_status(t, TUNNEL_VXLAN)->index != index) != rows[i].anew)
			fail_msg("%s: the device is %sthe same", rows[i].name,
				 rows[i].anew ? "" : "not ");
		assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	}
}

static void another_want_changes_what_must_change(void **state)
{
	struct tunnel_spec s = vxlan();
	uint32_t index;

	want(&s);
	apply();
	index = tunnel_status(t, TUNNEL_VXLAN)->index;
	s.mtu = 1300;
	s.mac[5] = 9;
	s.addr = ip("10.0.1.7");
	want(&s);
	apply();
	assert_int_equal(tunnel_status(t, TUNNEL_VXLAN)->index, index);
	assert_has(show, "mtu 1300");
	assert_has(show, "66:01:02:03:04:09");
	assert_has("ip addr show dev vxlan.calico", "inet 10.0.1.7/32");
	assert_lacks("ip addr show dev vxlan.calico", "10.0.1.1");
	s.vni = 77;
	want(&s);
	apply();
	assert_has(show, "vxlan id 77");
	assert_int_equal(tunnel_counts(t).recreated, 1);
}

static void peers_change_and_go(void **state)
{
	struct tunnel_spec s = vxlan();
	struct tunnel_peer p = peer(1), old;

	want(&s);
	want_peer(1);
	tunnels_ready(t);
	apply();
	p.mac[1] = 0xaa;
	p.host = ip("192.168.61.99");
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &p, NULL), 1);
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &p, NULL), 0);
	apply();
	assert_string_equal(out_of(fdb), "66:aa:00:00:00:01 dst 192.168.61.99 self permanent|");
	assert_string_equal(out_of(arp), "10.0.1.0 lladdr 66:aa:00:00:00:01 PERMANENT|");
	/* A late farewell to what it was does not touch what it is. */
	old = peer(1);
	tunnel_peer_forget(t, TUNNEL_VXLAN, &old);
	apply();
	assert_string_equal(out_of(fdb), "66:aa:00:00:00:01 dst 192.168.61.99 self permanent|");
	tunnel_peer_forget(t, TUNNEL_VXLAN, &p);
	apply();
	assert_string_equal(out_of(fdb), "");
	assert_string_equal(out_of(arp), "");
	assert_int_equal(tunnel_counts(t).peers, 0);
}

/* Two peers with one address, or one MAC: the later one has it, and it is said. */
static void what_another_has_is_taken_over(void **state)
{
	struct tunnel_spec s = vxlan();
	struct tunnel_peer first = peer(1), same_vtep = peer(2), same_mac = peer(3);

	want(&s);
	tunnels_ready(t);
	want_peer(1);
	same_vtep.vtep = first.vtep;
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &same_vtep, NULL), 1);
	apply();
	assert_string_equal(out_of(arp), "10.0.1.0 lladdr 66:00:00:00:00:02 PERMANENT|");
	tunnel_peer_forget(t, TUNNEL_VXLAN, &same_vtep);
	want_peer(1);
	memcpy(same_mac.mac, first.mac, sizeof(first.mac));
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &same_mac, NULL), 1);
	apply();
	assert_string_equal(out_of(fdb), "66:00:00:00:00:01 dst 192.168.61.23 self permanent|");
	tunnel_peer_forget(t, TUNNEL_VXLAN, &same_mac);
	want_peer(1);
	apply();
	assert_string_equal(out_of(fdb), "66:00:00:00:00:01 dst 192.168.61.21 self permanent|");
	assert_string_equal(out_of(arp), "10.0.1.0 lladdr 66:00:00:00:00:01 PERMANENT|");
}

static void peers_wait_for_the_device(void **state)
{
	struct tunnel_spec s = vxlan();

	want_peer(1);
	apply();
	assert_int_equal(tunnel_counts(t).waiting, 2);
	want(&s);
	apply();
	assert_int_equal(tunnel_counts(t).waiting, 0);
	assert_has(fdb, "66:00:00:00:00:01");
	tunnel_unwant(t, TUNNEL_VXLAN);
	apply();
	assert_lacks(show, "vxlan id");
	assert_int_equal(tunnel_counts(t).peers, 0);
	assert_status(TUNNEL_VXLAN, TUNNEL_OFF);
}

static void nonsense_is_refused(void **state)
{
	struct tunnel_peer p = peer(1), q = peer(1);
	struct err e = { 0 };

	p.mac[0] = 1;
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &p, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "MAC"));
	q.host = (struct addr) { 0 };
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN, &q, NULL), -EINVAL);
}

static void a_refused_mtu_is_said_and_tried_again(void **state)
{
	struct tunnel_spec s = vxlan();
	uint64_t now = now_ms();

	want(&s);
	apply_at(now);
	s.mtu = 9000; /* the parent has 1500 */
	want(&s);
	apply_at(now);
	assert_status(TUNNEL_VXLAN, TUNNEL_FAILED);
	assert_true(tunnel_status(t, TUNNEL_VXLAN)->usable);
	assert_non_null(strstr(tunnel_status(t, TUNNEL_VXLAN)->text, "9000"));
	sh("ip link set up0 mtu 9050");
	apply_at(tunnels_due(t));
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	assert_has(show, "mtu 9000");
}

/* The kernel has one device for a VNI on a port, whatever it is called. */
static void another_has_the_vni(void **state)
{
	struct tunnel_spec s = vxlan();
	uint64_t now = now_ms();

	sh("ip link add flannel.1 type vxlan id 4096 dstport 4789 dev up0 local 192.168.61.11");
	want(&s);
	apply_at(now);
	assert_status(TUNNEL_VXLAN, TUNNEL_FAILED);
	assert_false(tunnel_status(t, TUNNEL_VXLAN)->usable);
	assert_non_null(strstr(tunnel_status(t, TUNNEL_VXLAN)->text, "VNI 4096 on port 4789"));
	sh("ip link del flannel.1");
	apply_at(tunnels_due(t));
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
}

/* The parent goes and comes: the kernel takes the device with it. */
static void follows_its_parent(void **state)
{
	struct tunnel_spec s = vxlan();

	want(&s);
	want_peer(1);
	apply();
	sh("ip link del up0");
	apply();
	assert_status(TUNNEL_VXLAN, TUNNEL_FAILED);
	sh("ip link add up0 type bridge && ip addr add 192.168.61.11/24 dev up0 && ip link set up0 "
	   "up");
	s = vxlan();
	want(&s);
	apply();
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	assert_has(fdb, "66:00:00:00:00:01");
}

static void many_peers_in_slices(void **state)
{
	struct tunnel_spec s = vxlan();
	struct err e = { 0 };
	unsigned turns = 0;
	uint64_t before;

	want(&s);
	for (unsigned n = 1; n <= 2000; n++)
		want_peer(n);
	while (tunnels_apply(t, now_ms(), 500, &e) == 1)
		turns++;
	assert_int_equal(turns, 7);
	assert_string_equal(out_of("bridge fdb show dev vxlan.calico | wc -l"), "2000|");
	assert_string_equal(out_of("ip neigh show dev vxlan.calico | wc -l"), "2000|");
	before = writes();
	apply();
	assert_int_equal(writes(), before);
}

static void ipv6_has_a_device_of_its_own(void **state)
{
	struct tunnel_spec s = vxlan();
	struct tunnel_peer p = { .vtep = ip("fd00:1::1"),
				 .mac = { 0x66, 0, 0, 0, 6, 1 },
				 .host = ip("fd00::2") };

	sh("ip addr add fd00::1/64 dev up0 nodad");
	want(&s);
	s.local = ip("fd00::1");
	s.addr = ip("fd00:1::ff");
	s.mtu = 1430;
	tunnel_want(t, TUNNEL_VXLAN_V6, &s);
	assert_int_equal(tunnel_peer_want(t, TUNNEL_VXLAN_V6, &p, NULL), 0);
	tunnels_ready(t);
	apply();
	assert_status(TUNNEL_VXLAN, TUNNEL_UP);
	assert_status(TUNNEL_VXLAN_V6, TUNNEL_UP);
	assert_has("ip -6 addr show dev vxlan-v6.calico", "inet6 fd00:1::ff/128 scope global");
	assert_has("ip -6 neigh show dev vxlan-v6.calico", "fd00:1::1 lladdr 66:00:00:00:06:01");
	assert_has("bridge fdb show dev vxlan-v6.calico",
		   "66:00:00:00:06:01 dst fd00::2 self permanent");
	apply();
	assert_int_equal(tunnel_counts(t).recreated, 0);
}

/* ---- tunl0 ---- */

static bool kernel_has_ipip(void)
{
	bool has = strstr(out_of("ip link add tunl0 type ipip 2>&1; ip link show tunl0 2>&1"),
			  "link/ipip") != NULL;

	return has;
}

static void tunl0(void **state)
{
	struct tunnel_spec s = { .addr = ip("10.0.1.3"), .mtu = 1480 };
	bool has = kernel_has_ipip();
	uint64_t before;

	tunnel_want(t, TUNNEL_IPIP, &s);
	apply();
	if (!has) {
		assert_status(TUNNEL_IPIP, TUNNEL_NO_KERNEL);
		assert_false(tunnel_status(t, TUNNEL_IPIP)->usable);
		assert_non_null(strstr(tunnel_status(t, TUNNEL_IPIP)->text, "no module ipip"));
		assert_non_null(strstr(tunnel_status(t, TUNNEL_IPIP)->text, "modprobe ipip"));
		assert_true(tunnels_due(t) > now_ms() && tunnels_due(t) <= now_ms() + 10000);
		return;
	}
	assert_status(TUNNEL_IPIP, TUNNEL_UP);
	assert_has("ip -d link show tunl0", "mtu 1480");
	assert_has("ip -d link show tunl0", "ipip any remote any local any");
	assert_string_equal(out_of("ip -4 -o addr show dev tunl0 | grep -o 'inet [^ ]*'"),
			    "inet 10.0.1.3/32|");
	before = writes();
	apply();
	assert_int_equal(writes(), before);
	sh("ip addr flush dev tunl0; ip addr add 10.9.9.9/32 dev tunl0; ip link set tunl0 mtu 1400 "
	   "down");
	apply();
	assert_has("ip link show tunl0", "mtu 1480");
	assert_has("ip link show tunl0", ",UP");
	assert_string_equal(out_of("ip -4 -o addr show dev tunl0 | grep -o 'inet [^ ]*'"),
			    "inet 10.0.1.3/32|");
	sh("ip addr add 10.8.8.1/30 dev tunl0");
	tunnel_unwant(t, TUNNEL_IPIP);
	apply();
	/* Not ours by its form: an operator's own use of tunl0. */
	assert_string_equal(out_of("ip -4 -o addr show dev tunl0 | grep -o 'inet [^ ]*'"),
			    "inet 10.8.8.1/30|");
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(makes_the_device),
		T(settles),
		T(adopts),
		T(leftovers_go_when_ready),
		T(a_leftover_device_goes_when_told),
		T(another_of_that_name_stays_when_unwanted),
		T(differences_are_put_right),
		T(another_want_changes_what_must_change),
		T(peers_change_and_go),
		T(what_another_has_is_taken_over),
		T(another_has_the_vni),
		T(peers_wait_for_the_device),
		T(nonsense_is_refused),
		T(a_refused_mtu_is_said_and_tried_again),
		T(follows_its_parent),
		T(many_peers_in_slices),
		T(ipv6_has_a_device_of_its_own),
		T(tunl0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
