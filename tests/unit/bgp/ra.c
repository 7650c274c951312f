/* ra.c - router advertisements and solicitations: what is written reads the same; what RFC 4861 6.1 says is
 * to be ignored is, for the right reason; no length is too short to be safe */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bgp/ra.h"
#include "wire.h"

#define ADVERT	"86 00 0000 40 00 0708 00000000 00000000"
#define SOLICIT "85 00 0000 00000000"
#define MAC	"01 01 020304050607"

static struct addr address(const char *s)
{
	struct addr a = { 0 };

	assert_true(addr_parse(s, &a));
	return a;
}

static void decoding(void **state)
{
	static const struct {
		const char *bytes;
		int hops;
		const char *from, *why; /* why NULL: good */
		bool mac;
		unsigned lifetime;
	} rows[] = {
		{ ADVERT, 255, "fe80::1", NULL, false, 1800 },
		{ ADVERT MAC, 255, "fe80::1", NULL, true, 1800 },
		{ ADVERT "05 01 0000 000005dc" MAC, 255, "fe80::1", NULL, true, 1800 },
		{ ADVERT
		  "03 04 40c0 00015180 00003840 00000000 20010db8 00000000 00000000 00000000",
		  255, "fe80::1", NULL, false, 1800 },
		/* a link-layer address of another size is another medium's */
		{ ADVERT "01 02 0203040506070809 0a0b0c0d0e0f", 255, "fe80::1", NULL, false, 1800 },
		{ SOLICIT, 255, "fe80::1", NULL, false, 0 },
		{ SOLICIT MAC, 255, "fe80::1", NULL, true, 0 },
		{ SOLICIT, 255, "::", NULL, false, 0 },
		{ ADVERT, 254, "fe80::1", "hop limit", false, 0 },
		{ ADVERT, -1, "fe80::1", "hop limit", false, 0 },
		{ SOLICIT, 1, "fe80::1", "hop limit", false, 0 },
		{ ADVERT, 255, "2001:db8::1", "link-local", false, 0 },
		{ ADVERT, 255, "::", "link-local", false, 0 },
		{ SOLICIT, 255, "2001:db8::1", "link-local", false, 0 },
		{ "86 01 0000 40 00 0708 00000000 00000000", 255, "fe80::1", "code", false, 0 },
		{ "86 00 0000 40 00 0708 00000000 000000", 255, "fe80::1", "shorter", false, 0 },
		{ "85 00 0000 000000", 255, "fe80::1", "shorter", false, 0 },
		{ "", 255, "fe80::1", "hop limit is not|shorter|neither", false, 0 },
		{ "87 00 0000 00000000", 255, "fe80::1", "neither", false, 0 },
		{ ADVERT "01 00", 255, "fe80::1", "length 0", false, 0 },
		{ ADVERT "01 00 020304050607", 255, "fe80::1", "length 0", false, 0 },
		{ ADVERT MAC "05 00 0000 00000000", 255, "fe80::1", "length 0", false, 0 },
		{ ADVERT "01 02 020304050607", 255, "fe80::1", "longer", false, 0 },
		{ ADVERT "01 ff 020304050607", 255, "fe80::1", "longer", false, 0 },
		{ ADVERT "01", 255, "fe80::1", "longer", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes b = hex(rows[i].bytes);
		uint8_t *p = exact(b.b, b.n);
		struct addr from = address(rows[i].from);
		const char *why = "";
		struct ra out;
		bool ok = ra_decode(p, b.n, rows[i].hops, &from, &out, &why);

		if (ok != !rows[i].why || (!ok && b.n && !strstr(why, rows[i].why)))
			fail_msg("row %zu: %d %s", i, ok, why);
		if (ok) {
			assert_int_equal(out.has_mac, rows[i].mac);
			assert_int_equal(out.lifetime_s, rows[i].lifetime);
		}
		free(p);
	}
}

static void what_is_written_reads_the_same(void **state)
{
	static const uint8_t types[] = { RA_TYPE_ADVERT, RA_TYPE_SOLICIT };
	struct addr from = address("fe80::1");

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct ra a = { .type = types[i / 2],
				.has_mac = i & 1,
				.mac = { 2, 3, 4, 5, 6, (uint8_t)i } },
			  b;
		uint8_t bytes[RA_MAX_LEN];
		const char *why = "";
		size_t n = ra_encode(&a, bytes);

		if (!ra_decode(bytes, n, 255, &from, &b, &why))
			fail_msg("%s", why);
		assert_int_equal(a.type, b.type);
		assert_int_equal(a.has_mac, b.has_mac);
		assert_int_equal(b.lifetime_s, 0);
		if (a.has_mac)
			assert_memory_equal(a.mac, b.mac, 6);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),
		cmocka_unit_test(what_is_written_reads_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
