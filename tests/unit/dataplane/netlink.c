/* netlink.c - batches and dumps against a real kernel */
#include "dataplane/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "dataplane/route_msg.h"
#include "tests/unit/dataplane/netns.h"

static struct nl_sock sock;

static int setup(void **state)
{
	ns_fresh();
	return nl_open(&sock, NULL);
}

static int teardown(void **state)
{
	nl_close(&sock);
	return 0;
}

static void put_blackhole(struct nl_buf *b, uint32_t net)
{
	struct route_key key = { .dst = { .addr = addr_v4(net), .len = 26 }, .table = 254 };
	struct route_spec spec = { .type = ROUTE_BLACKHOLE, .protocol = 80 };

	route_msg_put(b, &key, &spec, true);
}

struct failures {
	unsigned n, index[16];
	int code[16];
};

static void on_fail(void *arg, unsigned index, int code, const char *text)
{
	struct failures *f = arg;

	assert_true(f->n < 16);
	f->index[f->n] = index;
	f->code[f->n++] = code;
}

static void test_failures_are_told_by_number(void **state)
{
	struct failures f = { 0 };
	struct nl_buf b = { 0 };

	for (uint32_t i = 0; i < 300; i++)
		put_blackhole(&b, 0x0a000000 + (i == 7 ? 3 : i == 299 ? 0 : i) * 64);
	assert_int_equal(nl_batch(&sock, &b, on_fail, &f, NULL), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.index[0], 7);
	assert_int_equal(f.code[0], -EEXIST);
	assert_int_equal(f.index[1], 299);
	assert_string_equal(out_of("ip route | wc -l"), "298|");
	nl_buf_done(&b);
}

static void test_empty_batch(void **state)
{
	struct nl_buf b = { 0 };

	assert_int_equal(nl_batch(&sock, &b, on_fail, NULL, NULL), 0);
}

static void test_the_kernels_words(void **state)
{
	struct route_key key = { .dst = { .addr = addr_v4(0x0a000000), .len = 26 }, .table = 254 };
	struct route_nh nh = { .gw = addr_v4(0x0b000001), .ifindex = 1 };
	struct route_spec spec = { .type = ROUTE_UNICAST, .n_nh = 1, .nh = &nh };
	struct nl_buf b = { 0 };
	struct err e = { 0 };

	route_msg_put(&b, &key, &spec, true);
	assert_true(nl_run(&sock, &b, &e) < 0);
	assert_non_null(strstr(e.msg, "invalid gateway"));
	nl_buf_done(&b);
}

static void count(void *arg, const struct nlmsghdr *h)
{
	++*(int *)arg;
}

static void test_dump_of_many_datagrams(void **state)
{
	struct failures f = { 0 };
	struct nl_buf b = { 0 };
	int n = 0;

	for (uint32_t i = 0; i < 5000; i++) {
		put_blackhole(&b, 0x0a000000 + i * 64);
		if (b.n == 256 || i == 4999)
			assert_int_equal(nl_batch(&sock, &b, on_fail, &f, NULL), 0);
	}
	route_msg_put_dump(&b, IP_V4, 254, 0);
	assert_int_equal(nl_dump(&sock, &b, count, &n, NULL), 0);
	assert_int_equal(n, 5000);
	/* The kernel filters: another table is empty. */
	n = 0;
	route_msg_put_dump(&b, IP_V4, 253, 0);
	assert_true(nl_dump(&sock, &b, count, &n, NULL) <= 0);
	assert_int_equal(n, 0);
	nl_buf_done(&b);
}

static void test_own_events_are_filtered(void **state)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, 0 };
	struct failures f = { 0 };
	struct nl_buf b = { 0 };
	struct nl_sock ev;
	int n = 0;

	assert_int_equal(nl_open_events(&ev, groups, NULL), 0);
	assert_int_equal(nl_ignore_routes_from(&ev, sock.port, NULL), 0);
	put_blackhole(&b, 0x0a000000);
	assert_int_equal(nl_batch(&sock, &b, on_fail, &f, NULL), 0);
	assert_int_equal(nl_read_events(&ev, 100, count, &n), 0);
	assert_int_equal(n, 0);
	sh("ip route del blackhole 10.0.0.0/26");
	assert_int_equal(nl_read_events(&ev, 100, count, &n), 0);
	assert_int_equal(n, 1);
	nl_close(&ev);
	nl_buf_done(&b);
}

static void test_lost_events(void **state)
{
	static const unsigned groups[] = { RTNLGRP_IPV4_ROUTE, 0 };
	struct failures f = { 0 };
	struct nl_buf b = { 0 };
	struct nl_sock ev;
	int n = 0, tiny = 2048;

	assert_int_equal(nl_open_events(&ev, groups, NULL), 0);
	setsockopt(ev.fd, SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny));
	for (uint32_t i = 0; i < 200; i++)
		put_blackhole(&b, 0x0a000000 + i * 64);
	assert_int_equal(nl_batch(&sock, &b, on_fail, &f, NULL), 0);
	assert_int_equal(nl_read_events(&ev, 1000, count, &n), -ENOBUFS);
	/* Old events are gone with the lost ones. */
	assert_int_equal(nl_read_events(&ev, 1000, count, &n), 0);
	assert_int_equal(n, 0);
	nl_close(&ev);
	nl_buf_done(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_failures_are_told_by_number), T(test_empty_batch),
		T(test_the_kernels_words),	     T(test_dump_of_many_datagrams),
		T(test_own_events_are_filtered),     T(test_lost_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
