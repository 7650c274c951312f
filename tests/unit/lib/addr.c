/* addr.c - addresses and prefixes: text, order, containment, arithmetic, at their edges */
#include "lib/addr.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <setjmp.h>
#include <cmocka.h>

static struct addr A(const char *s)
{
	struct addr a;

	assert_true(addr_parse(s, &a));
	return a;
}

static struct prefix P(const char *s)
{
	struct prefix p;

	assert_true(prefix_parse(s, &p));
	return p;
}

static void text_and_back(void **state)
{
	static const char *const same[] = { "0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "::1",
					    "fe80::1", "2001:db8::ff", "::ffff:10.0.0.1" };
	static const char *const bad[] = { "", "10", "10.0.0", "10.0.0.256", "10.0.0.1 ", " 10.0.0.1",
					   "10.0.0.01", "1.2.3.4.5", ":::", "g::", "10.0.0.1/32", "::1%lo" };
	char buf[ADDR_STR_MAX];
	struct addr a = { .family = 77 };

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		a = A(same[i]);
		assert_string_equal(addr_format(&a, buf), same[i]);
	}
	a.family = 77;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(addr_parse(bad[i], &a));
		assert_int_equal(a.family, 77);
	}
	a = (struct addr){ 0 };
	assert_string_equal(addr_format(&a, buf), "none");
}

static void prefix_text_and_back(void **state)
{
	static const char *const same[] = { "0.0.0.0/0", "10.0.0.0/8", "10.0.0.7/8", "10.0.0.1/32",
					    "::/0", "fd00::/122", "::1/128" };
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1",
					   "10.0.0.0/8x", "10.0.0.0/08", "10.0.0.0/ 8", "/8", "10.0.0.0//8",
					   "10.0.0.0/4294967304" };
	char buf[PREFIX_STR_MAX];
	struct prefix p = { .len = 99 };

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		p = P(same[i]);
		assert_string_equal(prefix_format(&p, buf), same[i]);
	}
	p.len = 99;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(prefix_parse(bad[i], &p));
		assert_int_equal(p.len, 99);
	}
	assert_false(prefix_parse_strict("10.0.0.7/8", &p));
	assert_true(prefix_parse_strict("10.0.0.0/8", &p));
	assert_true(prefix_parse_or_addr("10.0.0.1", &p));
	assert_int_equal(p.len, 32);
	assert_true(prefix_parse_or_addr("fd00::1", &p));
	assert_int_equal(p.len, 128);
	assert_false(prefix_parse_or_addr("pod", &p));
}

static void masks_at_every_length(void **state)
{
	struct addr ones = A("255.255.255.255"), ones6 = A("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

	for (unsigned len = 0; len <= 32; len++) {
		struct prefix p = prefix_of(&ones, len);
		uint32_t want = len ? ~(uint32_t)0 << (32 - len) : 0;

		assert_int_equal(addr_to_v4(&p.addr), want);
		assert_int_equal(p.len, len);
		assert_false(prefix_has_host_bits(&p));
		assert_true(prefix_contains(&p, &ones));
	}
	for (unsigned len = 0; len <= 128; len++) {
		struct prefix p = prefix_of(&ones6, len);
		unsigned bits = 0;

		for (unsigned i = 0; i < 16; i++)
			bits += (unsigned)__builtin_popcount(p.addr.b[i]);
		assert_int_equal(bits, len);
	}
	assert_int_equal(prefix_of(&ones, 99).len, 32);
}

static void containment(void **state)
{
	struct prefix all = P("0.0.0.0/0"), ten = P("10.0.0.0/8"), block = P("10.9.8.192/26"),
		      next = P("10.9.9.0/26"), host = P("10.9.8.255/32"), six = P("::/0");
	struct addr in = A("10.9.8.200"), out = A("10.9.9.0"), six_a = A("::1");

	assert_true(prefix_contains(&block, &in));
	assert_false(prefix_contains(&block, &out));
	assert_true(prefix_contains(&all, &out));
	assert_false(prefix_contains(&all, &six_a));
	assert_true(prefix_contains(&six, &six_a));
	assert_true(prefix_covers(&ten, &block));
	assert_false(prefix_covers(&block, &ten));
	assert_true(prefix_covers(&block, &block));
	assert_true(prefix_covers(&block, &host));
	assert_false(prefix_covers(&six, &ten));
	assert_true(prefix_overlaps(&block, &ten));
	assert_true(prefix_overlaps(&ten, &block));
	assert_false(prefix_overlaps(&block, &next));
}

static void order_is_total(void **state)
{
	static const char *const sorted[] = { "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/9", "10.0.0.1/8",
					      "192.168.0.0/16", "::/0", "::/1", "fe80::/10" };

	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
			struct prefix a = P(sorted[i]), b = P(sorted[j]);
			int c = prefix_cmp(&a, &b);

			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
			assert_int_equal(prefix_eq(&a, &b), i == j);
			if (i == j)
				assert_int_equal(prefix_hash(&a), prefix_hash(&b));
		}
	}
}

static void arithmetic(void **state)
{
	struct addr a = A("10.0.0.255"), b = addr_add(&a, 1), top = A("255.255.255.255"), far = A("::1");
	struct prefix v6 = P("fd00::/64"), v4 = P("10.0.0.0/26"), all6 = P("::/0");
	char buf[ADDR_STR_MAX];
	uint64_t n = 7;

	assert_string_equal(addr_format(&b, buf), "10.0.1.0");
	b = addr_add(&top, 1);
	assert_string_equal(addr_format(&b, buf), "0.0.0.0");
	b = addr_add(&v6.addr, UINT64_C(0x100000001));
	assert_string_equal(addr_format(&b, buf), "fd00::1:0:1");
	b = addr_add(&v6.addr, UINT64_MAX);
	assert_string_equal(addr_format(&b, buf), "fd00::ffff:ffff:ffff:ffff");

	b = addr_add(&v4.addr, 63);
	assert_true(addr_offset(&v4.addr, &b, 64, &n));
	assert_int_equal(n, 63);
	b = addr_add(&v4.addr, 64);
	assert_false(addr_offset(&v4.addr, &b, 64, &n));
	assert_false(addr_offset(&b, &v4.addr, 64, &n));
	assert_false(addr_offset(&v4.addr, &far, UINT64_MAX, &n));
	far = A("ff00::");
	assert_false(addr_offset(&all6.addr, &far, UINT64_MAX, &n));
	assert_int_equal(n, 63);
	assert_int_equal(prefix_size(&v4), 64);
	assert_true(prefix_size(&v6) == UINT64_MAX);
}

static void kinds(void **state)
{
	struct { const char *s; bool zero, loop, multi, local; } t[] = {
		{ "0.0.0.0", true, false, false, false },   { "::", true, false, false, false },
		{ "127.0.0.1", false, true, false, false }, { "::1", false, true, false, false },
		{ "224.0.0.1", false, false, true, false }, { "239.255.255.255", false, false, true, false },
		{ "240.0.0.1", false, false, false, false }, { "ff02::1", false, false, true, false },
		{ "169.254.1.1", false, false, false, true }, { "fe80::1", false, false, false, true },
		{ "febf::1", false, false, false, true },   { "fec0::1", false, false, false, false },
		{ "10.0.0.1", false, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addr a = A(t[i].s);

		assert_int_equal(addr_is_zero(&a), t[i].zero);
		assert_int_equal(addr_is_loopback(&a), t[i].loop);
		assert_int_equal(addr_is_multicast(&a), t[i].multi);
		assert_int_equal(addr_is_link_local(&a), t[i].local);
	}
}

static void sockaddrs(void **state)
{
	static const char *const text[] = { "10.1.2.3", "fd00::7" };
	struct sockaddr_storage ss;
	struct addr a, b;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		a = A(text[i]);
		assert_true(addr_to_sockaddr(&a, 179, &ss) > 0);
		assert_true(addr_from_sockaddr((void *)&ss, &b, &port));
		assert_true(addr_eq(&a, &b));
		assert_int_equal(port, 179);
	}
	a = A("::ffff:10.0.0.1");
	addr_to_sockaddr(&a, 1, &ss);
	assert_true(addr_from_sockaddr((void *)&ss, &b, NULL));
	assert_int_equal(b.family, IP_V4);
	a = (struct addr){ 0 };
	assert_int_equal(addr_to_sockaddr(&a, 1, &ss), 0);
	ss.ss_family = AF_UNIX;
	assert_false(addr_from_sockaddr((void *)&ss, &b, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),	 cmocka_unit_test(prefix_text_and_back),
		cmocka_unit_test(masks_at_every_length), cmocka_unit_test(containment),
		cmocka_unit_test(order_is_total),	 cmocka_unit_test(arithmetic),
		cmocka_unit_test(kinds),		 cmocka_unit_test(sockaddrs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
