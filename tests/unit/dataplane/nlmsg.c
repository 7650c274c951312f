/* nlmsg.c - netlink messages as bytes */
#include "dataplane/nlmsg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct body {
	uint32_t a, b;
};

static void test_messages_one_after_the_other(void **state)
{
	struct nl_buf b = { 0 };
	const struct nlattr *tb[8], *in[8];
	const struct nlmsghdr *h;
	const uint8_t *p;
	size_t len, nest;

	for (uint32_t i = 0; i < 500; i++) {
		struct body body = { i, ~i };

		nl_msg(&b, 20, NLM_F_ACK, &body, sizeof(body));
		nl_add_str(&b, 1, "abc"); /* lengths that need padding and that do not */
		nl_add_u8(&b, 2, 7);
		nest = nl_nest(&b, 3 | NLA_F_NESTED);
		nl_add_u16(&b, 4, (uint16_t)i);
		nl_nest_end(&b, nest);
		nl_add_u32(&b, 5, i * 3);
	}
	assert_int_equal(b.n, 500);
	p = b.p;
	len = b.len;
	for (uint32_t i = 0; i < 500; i++) {
		const struct body *body;

		h = nl_next(&p, &len);
		assert_non_null(h);
		assert_int_equal(h->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
		body = nl_body(h, sizeof(*body));
		assert_int_equal(body->a, i);
		assert_true(nl_attrs(h, sizeof(*body), tb, 7));
		assert_string_equal(nl_attr_str(tb[1]), "abc");
		assert_int_equal(nl_attr_u8(tb[2]), 7);
		assert_int_equal(nl_attr_u32(tb[5]), i * 3);
		assert_null(tb[6]);
		assert_true(nl_nested(tb[3], in, 7));
		assert_int_equal(nl_attr_u16(in[4]), (uint16_t)i);
	}
	assert_null(nl_next(&p, &len));
	assert_int_equal(len, 0);
	nl_buf_done(&b);
}

static void test_dropping_the_open_message(void **state)
{
	struct nl_buf b = { 0 };
	struct body body = { 1, 2 };
	size_t before;

	nl_msg(&b, 20, 0, &body, sizeof(body));
	before = b.len;
	nl_msg(&b, 21, 0, &body, sizeof(body));
	nl_add_str(&b, 1, "long enough to matter");
	nl_msg_drop(&b);
	assert_int_equal(b.len, before);
	assert_int_equal(b.n, 1);
	nl_buf_done(&b);
}

static void test_absent_and_short_attributes(void **state)
{
	struct nlattr a = { .nla_len = sizeof(a) };
	struct addr none = nl_attr_addr(&a);

	assert_int_equal(nl_attr_u32(NULL), 0);
	assert_int_equal(nl_attr_u32(&a), 0);
	assert_int_equal(nl_attr_u16(&a), 0);
	assert_int_equal(nl_attr_u8(&a), 0);
	assert_null(nl_attr_str(NULL));
	assert_null(nl_attr_str(&a));
	assert_int_equal(none.family, IP_NONE);
}

static void test_impossible_lengths(void **state)
{
	static const struct {
		const char *what;
		uint16_t len;
		size_t have;
		bool good;
	} rows[] = {
		{ "an attribute of its header only", 4, 4, true },
		{ "shorter than its own header", 3, 8, false },
		{ "length 0 would never end", 0, 8, false },
		{ "longer than what there is", 12, 8, false },
		{ "three bytes left over", 8, 11, false },
		{ "padding missing at the end", 5, 5, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct nlattr *tb[2];
		uint8_t *mem = calloc(1, rows[i].have);

		memcpy(mem, &rows[i].len, 2);
		if (nl_attrs_in(mem, rows[i].have, tb, 1) != rows[i].good)
			fail_msg("%s", rows[i].what);
		free(mem);
	}
}

static void test_truncated_messages(void **state)
{
	struct body body = { 1, 2 };
	struct nl_buf b = { 0 };
	const struct nlattr *tb[2];

	nl_msg(&b, 20, 0, &body, sizeof(body));
	nl_add_u32(&b, 1, 5);
	for (size_t cut = 0; cut < b.len; cut++) {
		uint8_t *mem = malloc(cut ? cut : 1);
		const uint8_t *p = mem;
		size_t len = cut;

		memcpy(mem, b.p, cut);
		assert_null(nl_next(&p, &len));
		free(mem);
	}
	for (uint32_t lie = 0; lie < b.len; lie++) {
		const struct nlmsghdr *h = (void *)b.p;
		const uint8_t *p = b.p;
		size_t len = b.len;

		((struct nlmsghdr *)(void *)b.p)->nlmsg_len = lie;
		h = nl_next(&p, &len);
		assert_int_equal(h != NULL, lie >= sizeof(*h));
		if (h && !nl_body(h, sizeof(body)))
			assert_true(lie < sizeof(*h) + sizeof(body));
		if (h)
			(void)nl_attrs(h, sizeof(body), tb, 1);
	}
	nl_buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages_one_after_the_other),
		cmocka_unit_test(test_dropping_the_open_message),
		cmocka_unit_test(test_absent_and_short_attributes),
		cmocka_unit_test(test_impossible_lengths),
		cmocka_unit_test(test_truncated_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
