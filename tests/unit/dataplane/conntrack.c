/* conntrack.c - flows in a real kernel; libnetfilter_conntrack makes them and counts what is left
 */
#include "dataplane/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>

#include "tests/unit/dataplane/netns.h"

static struct conntrack *c;
static struct nfct_handle *h;

static void flow_make(enum ip_family family, const char *src, const char *dst, const char *answers,
		      uint16_t port, uint8_t proto)
{
	struct nf_conntrack *ct = nfct_new();
	struct addr s, d, r;

	assert_true(addr_parse(src, &s) && addr_parse(dst, &d) && addr_parse(answers, &r));
	nfct_set_attr_u8(ct, ATTR_L3PROTO, family == IP_V6 ? AF_INET6 : AF_INET);
	nfct_set_attr(ct, family == IP_V6 ? ATTR_IPV6_SRC : ATTR_IPV4_SRC, s.b);
	nfct_set_attr(ct, family == IP_V6 ? ATTR_IPV6_DST : ATTR_IPV4_DST, d.b);
	nfct_set_attr(ct, family == IP_V6 ? ATTR_REPL_IPV6_SRC : ATTR_REPL_IPV4_SRC, r.b);
	nfct_set_attr(ct, family == IP_V6 ? ATTR_REPL_IPV6_DST : ATTR_REPL_IPV4_DST, s.b);
	nfct_set_attr_u8(ct, ATTR_REPL_L3PROTO, family == IP_V6 ? AF_INET6 : AF_INET);
	nfct_set_attr_u8(ct, ATTR_L4PROTO, proto);
	nfct_set_attr_u8(ct, ATTR_REPL_L4PROTO, proto);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(port));
	nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(80));
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_SRC, htons(80));
	nfct_set_attr_u16(ct, ATTR_REPL_PORT_DST, htons(port));
	nfct_set_attr_u32(ct, ATTR_TIMEOUT, 300);
	nfct_set_attr_u32(ct, ATTR_MARK, port);
	if (proto == IPPROTO_TCP)
		nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	if (nfct_query(h, NFCT_Q_CREATE, ct) < 0)
		fail_msg("%s -> %s: %s", src, dst, strerror(errno));
	nfct_destroy(ct);
}

static int count_one(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *data)
{
	++*(int *)data;
	return NFCT_CB_CONTINUE;
}

static int flows(void)
{
	uint32_t any = AF_UNSPEC;
	int n = 0;

	nfct_callback_register(h, NFCT_T_ALL, count_one, &n);
	assert_int_equal(nfct_query(h, NFCT_Q_DUMP, &any), 0);
	nfct_callback_unregister(h);
	return n;
}

static struct addr ip(const char *s)
{
	struct addr a;

	assert_true(addr_parse(s, &a));
	return a;
}

static void make_some(void)
{
	flow_make(IP_V4, "10.0.0.1", "10.0.0.9", "10.0.0.9", 1000, IPPROTO_UDP);
	flow_make(IP_V4, "10.0.0.1", "10.0.0.9", "10.0.0.9", 1001, IPPROTO_TCP);
	flow_make(IP_V4, "10.0.0.2", "10.0.0.1", "10.0.0.1", 1002, IPPROTO_TCP);
	/* To a service address, which a pod answers. */
	flow_make(IP_V4, "10.0.0.2", "10.96.0.1", "10.0.0.1", 1003, IPPROTO_TCP);
	flow_make(IP_V4, "10.0.0.2", "10.0.0.9", "10.0.0.9", 1004, IPPROTO_TCP);
	flow_make(IP_V6, "fd00::1", "fd00::9", "fd00::9", 1005, IPPROTO_TCP);
	flow_make(IP_V6, "fd00::2", "fd00::9", "fd00::9", 1006, IPPROTO_UDP);
}

static void test_forget(void **state)
{
	struct addr a[2] = { ip("10.0.0.1"), ip("fd00::1") };
	struct err e = { 0 };

	for (int searched = 0; searched < 2; searched++) {
		make_some();
		assert_int_equal(flows(), 7);
		conntrack_let_kernel_search(c, searched);
		if (conntrack_forget(c, a, 1, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(flows(), 3);
		assert_int_equal(conntrack_forget(c, a, 2, &e), 0);
		assert_int_equal(flows(), 2);
		/* Nothing there, nothing to complain of. */
		assert_int_equal(conntrack_forget(c, a, 2, &e), 0);
		assert_int_equal(conntrack_forget(c, a, 0, &e), 0);
		assert_int_equal(flows(), 2);
		nfct_query(h, NFCT_Q_FLUSH, &(uint32_t) { AF_UNSPEC });
	}
	/* IPv6 is never asked of the kernel. */
	assert_int_equal(conntrack_removed(c), 6);
}

static void test_forget_many(void **state)
{
	struct addr a[100];
	struct err e = { 0 };

	for (int i = 0; i < 100; i++) {
		char src[32];

		snprintf(src, sizeof(src), "10.1.0.%d", i + 1);
		a[99 - i] = ip(src);
		for (uint16_t k = 0; k < 10; k++)
			flow_make(IP_V4, src, "10.9.9.9", "10.9.9.9", (uint16_t)(2000 + k),
				  IPPROTO_UDP);
	}
	make_some();
	assert_int_equal(conntrack_forget(c, a, 100, &e), 0);
	assert_int_equal(flows(), 7);
	assert_int_equal(conntrack_removed(c), 1000);
}

struct asked {
	int n, bad;
	uint16_t port;
};

static bool ask(void *arg, const struct flow *f)
{
	struct asked *a = arg;

	a->n++;
	/* Mark and port were made equal, and the destination port is 80 everywhere. */
	a->bad += f->mark != f->orig.sport || f->orig.dport != 80 || f->reply.dport != f->mark;
	a->bad += f->proto != IPPROTO_TCP && f->proto != IPPROTO_UDP;
	return f->orig.sport == a->port;
}

static void test_cut(void **state)
{
	struct asked a = { .port = 1003 };
	struct err e = { 0 };

	make_some();
	assert_int_equal(conntrack_step(c, 10, &e), 0);
	assert_int_equal(conntrack_cut(c, IP_V4, ask, &a, &e), 0);
	assert_int_equal(conntrack_cut(c, IP_V4, ask, &a, NULL), -EBUSY);
	while (conntrack_step(c, 1, &e) > 0)
		;
	assert_int_equal(e.code, 0);
	assert_int_equal(a.n, 5);
	assert_int_equal(a.bad, 0);
	assert_int_equal(flows(), 6);
	assert_int_equal(conntrack_removed(c), 1);
	assert_int_equal(conntrack_cut(c, IP_V6, ask, &a, &e), 0);
	while (conntrack_step(c, 1000, &e) > 0)
		;
	assert_int_equal(a.n, 7);
	assert_int_equal(flows(), 6);
}

static void test_a_pass_is_in_pieces(void **state)
{
	struct asked a = { .port = 7 };
	struct err e = { 0 };
	int steps = 0;

	for (int i = 0; i < 3000; i++) {
		char src[32];

		snprintf(src, sizeof(src), "10.2.%d.%d", i / 250, i % 250 + 1);
		flow_make(IP_V4, src, "10.9.9.9", "10.9.9.9", 7, IPPROTO_UDP);
	}
	assert_int_equal(conntrack_cut(c, IP_V4, ask, &a, &e), 0);
	while (conntrack_step(c, 100, &e) > 0)
		steps++;
	if (e.code)
		fail_msg("%s", e.msg);
	assert_true(steps > 5);
	assert_int_equal(conntrack_removed(c), 3000);
	assert_int_equal(flows(), 0);
}

static int setup(void **state)
{
	ns_fresh();
	/* The kernel keeps flows only where a rule looks at them; made by hand they are kept at
	 * once. */
	c = conntrack_open(NULL);
	assert_non_null(c);
	h = nfct_open(CONNTRACK, 0);
	assert_non_null(h);
	return 0;
}

static int teardown(void **state)
{
	conntrack_close(c);
	nfct_close(h);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_forget),
		T(test_forget_many),
		T(test_cut),
		T(test_a_pass_is_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
