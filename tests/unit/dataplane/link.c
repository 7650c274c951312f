/* link.c - the table of links and addresses against a real kernel */
#include "dataplane/link.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/unit/dataplane/netns.h"

static struct link_table *table;
static char story[4096]; /* events as words */

static void on_event(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	static const char *const names[] = {
		"new", "changed", "gone", "addr", "noaddr", "relisted"
	};
	char text[PREFIX_STR_MAX];
	size_t len = strlen(story);

	snprintf(story + len, sizeof(story) - len, "%s%s%s%s;", names[ev], l ? " " : "",
		 l ? l->name : "", "");
	if (addr) {
		len = strlen(story) - 1;
		snprintf(story + len, sizeof(story) - len, " %s;", prefix_format(addr, text));
	}
}

static int setup(void **state)
{
	struct err e = { 0 };

	ns_fresh();
	sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
	sh("ip link add eth0 address 02:00:00:00:00:01 type veth peer name far0");
	sh("ip addr add 10.0.0.1/24 dev eth0 && ip link set far0 up && ip link set eth0 up");
	/* The kernel tells of a carrier some time after it is there. */
	for (int i = 0; i < 2000 && !str_eq(out_of("ip -br link | grep -c ' UP '"), "2|"); i++)
		;
	table = link_table_new(&e);
	if (!table)
		fail_msg("%s", e.msg);
	link_table_watch(table, on_event, NULL);
	story[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	link_table_free(table);
	return 0;
}

static const char *told(void)
{
	static char copy[sizeof(story)];
	struct err e = { 0 };

	if (link_table_read(table, &e) < 0)
		fail_msg("%s", e.msg);
	memcpy(copy, story, sizeof(copy));
	story[0] = 0;
	return copy;
}

static void test_first_listing(void **state)
{
	const struct link *l = link_by_name(table, "eth0");
	struct addr a = addr_v4(0x0a000001), near = addr_v4(0x0a000077), far = addr_v4(0x0b000001);
	struct prefix p;

	assert_non_null(l);
	assert_true(l->up && l->running && l->has_mac && !l->loopback);
	assert_int_equal(l->mac[5], 1);
	assert_string_equal(l->kind, "veth");
	assert_int_equal(l->mtu, 1500);
	assert_int_equal(l->peer, link_by_name(table, "far0")->index);
	assert_int_equal(l->addrs.n, 1);
	assert_ptr_equal(link_by_index(table, l->index), l);
	assert_ptr_equal(link_by_addr(table, &a, &p), l);
	assert_int_equal(p.len, 24);
	assert_null(link_by_addr(table, &near, NULL));
	assert_ptr_equal(link_by_subnet(table, &near, &p), l);
	assert_null(link_by_subnet(table, &far, NULL));
	assert_true(link_by_name(table, "lo")->loopback);
	assert_null(link_by_name(table, "nope"));
	assert_string_equal(told(), "");
}

static void test_in_order_of_index(void **state)
{
	uint32_t last = 0;
	int n = 0;

	for (const struct link *l = NULL; (l = link_next(table, l)); n++) {
		assert_true(l->index > last);
		last = l->index;
	}
	assert_int_equal(n, 3);
}

static void test_changes_are_told(void **state)
{
	sh("ip link add br0 type bridge");
	assert_string_equal(told(), "new br0;");
	sh("ip link set eth0 mtu 1400");
	assert_string_equal(told(), "changed eth0;");
	assert_int_equal(link_by_name(table, "eth0")->mtu, 1400);
	sh("ip addr add 10.0.5.1/16 dev eth0");
	assert_string_equal(told(), "addr eth0 10.0.5.1/16;");
	sh("ip addr del 10.0.5.1/16 dev eth0");
	assert_string_equal(told(), "noaddr eth0 10.0.5.1/16;");
	sh("ip link set eth0 address 02:00:00:00:00:99");
	assert_string_equal(told(), "changed eth0;");
	sh("ip link set eth0 alias nothing-we-care-about");
	assert_string_equal(told(), "");
	sh("ip link del br0");
	assert_string_equal(told(), "gone br0;");
}

/* Read events until the link runs or not; the kernel takes up to a second over it. */
static bool running_is(bool expect)
{
	struct pollfd pfd = { .fd = link_table_fd(table), .events = POLLIN };

	while (link_by_name(table, "eth0")->running != expect) {
		if (poll(&pfd, 1, 30000) != 1)
			return false;
		(void)told();
	}
	return true;
}

static void test_carrier(void **state)
{
	sh("ip link set far0 down");
	assert_true(running_is(false));
	assert_true(link_by_name(table, "eth0")->up);
	sh("ip link set far0 up");
	assert_true(running_is(true));
	sh("ip link set eth0 down");
	assert_true(running_is(false));
	assert_false(link_by_name(table, "eth0")->up);
}

static void test_rename_is_gone_and_new(void **state)
{
	sh("ip link set eth0 down && ip link set eth0 name wan0");
	assert_non_null(strstr(told(), "gone eth0;new wan0;"));
	assert_null(link_by_name(table, "eth0"));
	assert_int_equal(link_by_name(table, "wan0")->addrs.n, 1);
}

static void test_moved_away(void **state)
{
	const char *text;

	sh("ip link del eth0");
	text = told();
	assert_non_null(strstr(text, "noaddr eth0 10.0.0.1/24;"));
	assert_non_null(strstr(text, "gone eth0;"));
	assert_non_null(strstr(text, "gone far0;"));
	assert_null(link_by_name(table, "far0"));
}

static void test_lost_events_are_made_up_for(void **state)
{
	int tiny = 2048;
	const char *text;

	assert_int_equal(
		setsockopt(link_table_fd(table), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
	sh("ip link add ghost0 type bridge && ip link del ghost0");
	sh("for i in 1 2 3 4 5 6 7 8 9; do ip link add br$i type bridge; done");
	sh("ip addr del 10.0.0.1/24 dev eth0; ip addr add 10.7.0.1/24 dev eth0; ip link del br5");
	assert_int_equal(link_table_read(table, NULL), 1);
	text = told();
	assert_non_null(strstr(text, "new br9;"));
	assert_non_null(strstr(text, "noaddr eth0 10.0.0.1/24;"));
	assert_non_null(strstr(text, "addr eth0 10.7.0.1/24;"));
	assert_non_null(strstr(text, "relisted;"));
	assert_null(link_by_name(table, "ghost0"));
	assert_null(link_by_name(table, "br5"));
}

static void test_relist_without_a_change_tells_nothing(void **state)
{
	assert_int_equal(link_table_relist(table, NULL), 0);
	assert_string_equal(told(), "relisted;");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_first_listing),
		T(test_in_order_of_index),
		T(test_changes_are_told),
		T(test_carrier),
		T(test_rename_is_gone_and_new),
		T(test_moved_away),
		T(test_lost_events_are_made_up_for),
		T(test_relist_without_a_change_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
