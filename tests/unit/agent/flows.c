/* flows.c - addresses that pods gave up lose their flows; conntrack(8) makes and counts them */
#include "agent/cni/flows.h"

#include <event2/event.h>

#include "tests/unit/dataplane/netns.h"

static struct addr ip(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, &a));
	return a;
}

static void make(const char *src, const char *dst, int port)
{
	sh("conntrack -I -s %s -d %s -p udp --sport %d --dport 80 -t 300 >/dev/null 2>&1", src, dst,
	   port);
}

static int count(const char *address)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "conntrack -L -f %s 2>/dev/null | grep -c -w %s || true",
		 strchr(address, ':') ? "ipv6" : "ipv4", address);
	return atoi(out_of(cmd));
}

static void at_the_end_of_the_turn(void **state)
{
	struct event_base *base;
	struct addr gone = ip("10.0.0.1"), six = ip("fd00::1");
	struct flows *f;

	ns_fresh();
	base = event_base_new();
	f = flows_new(base);
	make("10.0.0.1", "10.0.0.2", 1);
	make("10.0.0.2", "10.0.0.1", 2);
	make("10.0.0.2", "10.0.0.3", 3);
	make("fd00::1", "fd00::2", 4);
	flows_forget(f, &gone);
	flows_forget(f, &six);
	assert_int_equal(count("10.0.0.1"), 2);
	event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(count("10.0.0.1"), 0);
	assert_int_equal(count("fd00::1"), 0);
	assert_int_equal(count("10.0.0.3"), 1);
	flows_free(f);
	event_base_free(base);
}

static void before_somebody_else_has_the_address(void **state)
{
	struct event_base *base;
	struct addr gone = ip("10.0.0.1"), other = ip("10.0.0.9");
	struct flows *f;

	ns_fresh();
	base = event_base_new();
	f = flows_new(base);
	make("10.0.0.1", "10.0.0.2", 1);
	flows_forget(f, &gone);
	flows_settle(f, &other);
	assert_int_equal(count("10.0.0.1"), 1);
	flows_settle(f, &gone);
	assert_int_equal(count("10.0.0.1"), 0);
	/* It was done: what the next owner begins stays. */
	make("10.0.0.1", "10.0.0.2", 2);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(count("10.0.0.1"), 1);
	flows_free(f);
	event_base_free(base);
}

static void the_end_forgets_what_is_left(void **state)
{
	struct event_base *base;
	struct addr gone = ip("10.0.0.1");
	struct flows *f;

	ns_fresh();
	base = event_base_new();
	f = flows_new(base);
	make("10.0.0.1", "10.0.0.2", 1);
	flows_forget(f, &gone);
	flows_free(f);
	flows_free(NULL);
	assert_int_equal(count("10.0.0.1"), 0);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_end_of_the_turn),
		cmocka_unit_test(before_somebody_else_has_the_address),
		cmocka_unit_test(the_end_forgets_what_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
