/* route_msg.c - route messages: what we write is read by libnl-route, an independent hand; what we
 * read may be anything */
#include "dataplane/route_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

static struct route_key key_of(const char *prefix, uint32_t metric, uint32_t table)
{
	struct route_key key = { .metric = metric, .table = table };

	assert_true(prefix_parse_strict(prefix, &key.dst));
	return key;
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, &a));
	return a;
}

/* The message in the buffer as libnl sees it. */
static struct rtnl_route *reread(const struct nl_buf *b)
{
	struct rtnl_route *r = NULL;
	struct nlmsghdr *h = malloc(b->len);

	memcpy(h, b->p, b->len);
	assert_int_equal(h->nlmsg_len, b->len);
	assert_int_equal(rtnl_route_parse(h, &r), 0);
	free(h);
	return r;
}

static void assert_nl_addr(struct nl_addr *a, const char *text)
{
	char buf[128];

	assert_string_equal(nl_addr2str(a, buf, sizeof(buf)), text);
}

static void test_libnl_reads_a_single_hop(void **state)
{
	struct route_key key = key_of("172.31.89.192/26", 77, 1000);
	struct route_nh nh = { .gw = addr_of("192.168.61.12"), .ifindex = 9, .onlink = true };
	struct route_spec spec = { .type = ROUTE_UNICAST,
				   .protocol = 80,
				   .mtu = 1440,
				   .n_nh = 1,
				   .nh = &nh,
				   .src = addr_of("10.0.0.1") };
	struct nl_buf b = { 0 };
	struct rtnl_route *r;
	unsigned mtu = 0;

	route_msg_put(&b, &key, &spec, true);
	assert_int_equal(((struct nlmsghdr *)(void *)b.p)->nlmsg_flags,
			 NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL);
	r = reread(&b);
	assert_nl_addr(rtnl_route_get_dst(r), "172.31.89.192/26");
	assert_int_equal(rtnl_route_get_priority(r), 77);
	assert_int_equal(rtnl_route_get_table(r), 1000);
	assert_int_equal(rtnl_route_get_protocol(r), 80);
	assert_int_equal(rtnl_route_get_type(r), RTN_UNICAST);
	assert_nl_addr(rtnl_route_get_pref_src(r), "10.0.0.1");
	assert_int_equal(rtnl_route_get_metric(r, RTAX_MTU, &mtu), 0);
	assert_int_equal(mtu, 1440);
	assert_int_equal(rtnl_route_get_nnexthops(r), 1);
	assert_int_equal(rtnl_route_nh_get_ifindex(rtnl_route_nexthop_n(r, 0)), 9);
	assert_nl_addr(rtnl_route_nh_get_gateway(rtnl_route_nexthop_n(r, 0)), "192.168.61.12");
	assert_true(rtnl_route_get_flags(r) & RTNH_F_ONLINK);
	rtnl_route_put(r);
	nl_buf_done(&b);
}

static void test_libnl_reads_many_hops(void **state)
{
	struct route_key key = key_of("fd00:1::/64", 1024, 254);
	struct route_nh nh[2] = {
		{ .gw = addr_of("fe80::1"), .ifindex = 3, .onlink = true, .weight = 1 },
		{ .gw = addr_of("fe80::2"), .ifindex = 4, .onlink = true, .weight = 5 },
	};
	struct route_spec spec = { .type = ROUTE_UNICAST, .protocol = 80, .n_nh = 2, .nh = nh };
	struct nl_buf b = { 0 };
	struct rtnl_route *r;

	route_msg_put(&b, &key, &spec, false);
	r = reread(&b);
	assert_int_equal(rtnl_route_get_nnexthops(r), 2);
	for (int i = 0; i < 2; i++) {
		struct rtnl_nexthop *h = rtnl_route_nexthop_n(r, i);

		assert_int_equal(rtnl_route_nh_get_ifindex(h), 3 + i);
		assert_nl_addr(rtnl_route_nh_get_gateway(h), i ? "fe80::2" : "fe80::1");
		assert_int_equal(rtnl_route_nh_get_weight(h), i ? 4 : 0);
		assert_true(rtnl_route_nh_get_flags(h) & RTNH_F_ONLINK);
	}
	rtnl_route_put(r);
	nl_buf_done(&b);
}

static void test_libnl_reads_a_blackhole(void **state)
{
	struct route_key key = key_of("172.31.0.0/26", 0, 254);
	struct route_spec spec = { .type = ROUTE_BLACKHOLE, .protocol = 80 };
	struct nl_buf b = { 0 };
	struct rtnl_route *r;

	route_msg_put(&b, &key, &spec, false);
	r = reread(&b);
	assert_int_equal(rtnl_route_get_type(r), RTN_BLACKHOLE);
	assert_int_equal(rtnl_route_get_nnexthops(r), 0);
	rtnl_route_put(r);
	nl_buf_done(&b);
}

static void parse_back(const struct route_key *key, const struct route_spec *spec,
		       struct route_msg *m)
{
	struct nl_buf b = { 0 };

	route_msg_put(&b, key, spec, false);
	assert_true(route_msg_parse((void *)b.p, m));
	nl_buf_done(&b);
	assert_memory_equal(&m->key, key, sizeof(*key));
	assert_int_equal(m->type, spec->type);
	assert_int_equal(m->protocol, spec->protocol);
	assert_int_equal(m->scope, spec->scope);
	assert_int_equal(m->mtu, spec->mtu);
	assert_true(addr_eq(&m->src, &spec->src));
	assert_int_equal(m->n_nh, spec->n_nh);
	assert_false(m->unusual);
	for (unsigned i = 0; i < m->n_nh; i++) {
		assert_true(addr_eq(&m->nh[i].gw, &spec->nh[i].gw));
		assert_int_equal(m->nh[i].ifindex, spec->nh[i].ifindex);
		assert_int_equal(m->nh[i].onlink, spec->nh[i].onlink);
		assert_int_equal(m->nh[i].weight, spec->nh[i].weight);
	}
}

static void test_what_is_written_reads_back(void **state)
{
	struct route_nh nh[ROUTE_NH_MAX] = { 0 };
	struct route_key v4 = key_of("10.1.2.0/24", 5, 70000), v6 = key_of("fd00::/8", 9, 254),
			 all = key_of("0.0.0.0/0", 0, 254);
	struct route_spec spec = { .type = ROUTE_UNICAST, .protocol = 3, .scope = 253, .nh = nh };
	struct route_msg m;

	for (unsigned i = 0; i < ROUTE_NH_MAX; i++)
		nh[i] = (struct route_nh) { .gw = addr_of(i % 3 ? "10.0.0.1" : "fe80::1"),
					    .ifindex = i + 1,
					    .onlink = i % 2,
					    .weight = (uint16_t)(i * 4 + 1) };
	for (spec.n_nh = 2; spec.n_nh <= ROUTE_NH_MAX; spec.n_nh++)
		parse_back(&v4, &spec, &m);
	spec.n_nh = 1;
	parse_back(&all, &spec, &m);
	spec.scope = 0;
	spec.mtu = 9000;
	spec.src = addr_of("fd00::1");
	parse_back(&v6, &spec, &m);
	spec = (struct route_spec) { .type = ROUTE_BLACKHOLE, .protocol = 80 };
	parse_back(&v4, &spec, &m);
}

static void test_more_hops_than_we_keep_is_unusual(void **state)
{
	struct route_nh nh[ROUTE_NH_MAX + 1] = { 0 };
	struct route_key key = key_of("10.1.2.0/24", 5, 254);
	struct route_spec spec = { .type = ROUTE_UNICAST, .n_nh = ROUTE_NH_MAX + 1, .nh = nh };
	struct nl_buf b = { 0 };
	struct route_msg m;

	route_msg_put(&b, &key, &spec, false);
	assert_true(route_msg_parse((void *)b.p, &m));
	assert_true(m.unusual);
	assert_int_equal(m.n_nh, ROUTE_NH_MAX);
	nl_buf_done(&b);
}

static void test_other_metrics_are_unusual(void **state)
{
	struct rtmsg rt = { .rtm_family = AF_INET, .rtm_dst_len = 24, .rtm_table = 254 };
	struct addr dst = addr_of("10.0.0.0");
	struct nl_buf b = { 0 };
	struct route_msg m;
	size_t nest;

	nl_msg(&b, RTM_NEWROUTE, 0, &rt, sizeof(rt));
	nl_add_addr(&b, RTA_DST, &dst);
	nest = nl_nest(&b, RTA_METRICS);
	nl_add_u32(&b, RTAX_ADVMSS, 1000);
	nl_nest_end(&b, nest);
	assert_true(route_msg_parse((void *)b.p, &m));
	assert_true(m.unusual);
	nl_buf_done(&b);
}

static void test_a_delete_names_protocol_and_hop(void **state)
{
	struct route_key key = key_of("10.1.2.0/24", 0, 254);
	struct route_nh nh = { .gw = addr_of("10.0.0.1"), .ifindex = 4 };
	struct route_spec spec = { .type = ROUTE_UNICAST, .protocol = 80, .n_nh = 1, .nh = &nh };
	struct nl_buf b = { 0 };
	struct route_msg m;

	route_msg_put_delete(&b, &key, &spec);
	assert_int_equal(((struct nlmsghdr *)(void *)b.p)->nlmsg_type, RTM_DELROUTE);
	assert_true(route_msg_parse((void *)b.p, &m));
	assert_int_equal(m.protocol, 80);
	assert_int_equal(m.nh[0].ifindex, 4);
	assert_true(addr_eq(&m.nh[0].gw, &nh.gw));
	nl_buf_done(&b);
}

/* Any bytes: no crash, no read outside (the sanitizers look), and never a key out of range. */
static void test_hostile_bytes(void **state)
{
	struct route_nh nh[3] = { { .gw = addr_of("10.0.0.1"), .ifindex = 1 },
				  { .gw = addr_of("fe80::1"), .ifindex = 2 },
				  { .ifindex = 3 } };
	struct route_key key = key_of("10.1.2.0/24", 5, 254);
	struct route_spec spec = { .type = ROUTE_UNICAST, .mtu = 1, .n_nh = 3, .nh = nh };
	struct nl_buf b = { 0 };
	struct route_msg m;
	uint64_t x = 12345;

	route_msg_put(&b, &key, &spec, false);
	for (int round = 0; round < 100000; round++) {
		uint8_t *copy = malloc(b.len);

		memcpy(copy, b.p, b.len);
		for (int i = 0; i < 1 + round % 4; i++) {
			x = x * 6364136223846793005U + 1442695040888963407U;
			copy[16 + (x >> 33) % (b.len - 16)] = (uint8_t)(x >> 20);
		}
		if (route_msg_parse((void *)copy, &m)) {
			assert_true(m.key.dst.len <=
				    addr_bits((enum ip_family)m.key.dst.addr.family));
			assert_true(m.n_nh <= ROUTE_NH_MAX);
		}
		free(copy);
	}
	for (uint32_t len = 16; len < b.len; len++) {
		uint8_t *copy = malloc(len);

		memcpy(copy, b.p, len);
		((struct nlmsghdr *)(void *)copy)->nlmsg_len = len;
		(void)route_msg_parse((void *)copy, &m);
		free(copy);
	}
	nl_buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libnl_reads_a_single_hop),
		cmocka_unit_test(test_libnl_reads_many_hops),
		cmocka_unit_test(test_libnl_reads_a_blackhole),
		cmocka_unit_test(test_what_is_written_reads_back),
		cmocka_unit_test(test_more_hops_than_we_keep_is_unusual),
		cmocka_unit_test(test_other_metrics_are_unusual),
		cmocka_unit_test(test_a_delete_names_protocol_and_hop),
		cmocka_unit_test(test_hostile_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
