/* fields.c - lib/fields: every type right and wrong, layers, encoding, words of the errors */
#include "lib/fields.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct port {
	char *name;
	int number;
};

struct tls {
	char *key;
	bool verify;
};

struct all {
	char *s;
	bool b;
	int i, e;
	int64_t big, d;
	unsigned set;
	struct addr addr;
	struct prefix cidr, node, loose;
	uint32_t asn;
	struct field_strings strings;
	struct field_addrs addrs;
	struct field_cidrs cidrs;
	struct field_map map;
	struct tls tls;
	bool has_tls, has_i;
	VEC(struct port) ports;
	json_t *raw;
};

static const char *const modes[] = { "Never", "Always", "CrossSubnet", NULL };

static int check_even(const void *value, struct err *e)
{
	int n = *(const int *)value;

	return n % 2 ? err_set(e, -EINVAL, "%d is odd: must be even", n) : 0;
}

static const struct field port_rows[] = {
	FIELD_STRING(struct port, name, "name", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Name of the port."),
	FIELD_INT(struct port, number, "number", .min = 1, .max = 65535, .def = "80",
		  .doc = "Its number."),
};
static const struct fields port_fields = FIELDS("port", struct port, port_rows);

static const struct field tls_rows[] = {
	FIELD_STRING(struct tls, key, "key", .flags = FIELD_SECRET | FIELD_REQUIRED,
		     .doc = "The key."),
	FIELD_BOOL(struct tls, verify, "verify", .def = "true", .doc = "Whether to verify."),
};
static const struct fields tls_fields = FIELDS("tls", struct tls, tls_rows);

static const struct field all_rows[] = {
	FIELD_STRING(struct all, s, "text", .def = "all()", .doc = "A text."),
	FIELD_BOOL(struct all, b, "flag", .doc = "A flag."),
	FIELD_INT(struct all, i, "count", .min = 0, .max = 32, .check = check_even,
		  FIELD_HAS(struct all, has_i), .unit = "bytes", .doc = "A count."),
	FIELD_ENUM(struct all, e, "mode", .words = modes, .def = "Never", .doc = "A mode."),
	FIELD_INT64(struct all, big, "sequence", .doc = "A sequence number."),
	FIELD_DURATION(struct all, d, "every", .def = "90s", .min = 1000, .max = 3600000,
		       .doc = "A time."),
	FIELD_SET(struct all, set, "uses", .words = modes, .def = "Never,Always", .doc = "Uses."),
	FIELD_ADDR(struct all, addr, "peer", .doc = "An address."),
	FIELD_CIDR(struct all, cidr, "cidr", .doc = "A range."),
	FIELD_CIDR(struct all, node, "node", .flags = FIELD_HOST_BITS, .family = IP_V4,
		   .doc = "An address with its network."),
	FIELD_CIDR(struct all, loose, "loose", .flags = FIELD_ADDR_TOO, .doc = "Either."),
	FIELD_ASN(struct all, asn, "asNumber", .doc = "An AS number."),
	FIELD_STRINGS(struct all, strings, "strings", .doc = "Texts."),
	FIELD_ADDRS(struct all, addrs, "addrs", .family = IP_V6, .doc = "Addresses."),
	FIELD_CIDRS(struct all, cidrs, "cidrs", .flags = FIELD_NOT_EMPTY, .doc = "Ranges."),
	FIELD_MAP(struct all, map, "map", .doc = "Labels."),
	FIELD_OBJECT(struct all, tls, tls_fields, "tls", FIELD_HAS(struct all, has_tls),
		     .doc = "TLS."),
	FIELD_OBJECTS(struct all, ports, port_fields, "ports", .doc = "Ports."),
	FIELD_JSON(struct all, raw, "raw", .doc = "Anything."),
};
static const struct fields all_fields = FIELDS("all", struct all, all_rows);

static int decode(const char *text, enum fields_mode mode, struct all *out, struct err *e)
{
	json_t *v;
	int rc = js_parse(text, strlen(text), &v, e);

	assert_int_equal(rc, 0);
	rc = fields_decode(&all_fields, v, mode, out, e);
	json_decref(v);
	return rc;
}

static void defaults(void **state)
{
	struct all a;
	struct err e = { 0 };

	assert_int_equal(decode("{}", FIELDS_STRICT, &a, &e), 0);
	assert_string_equal(a.s, "all()");
	assert_int_equal(a.e, 0);
	assert_true(a.d == 90000);
	assert_int_equal(a.set, 3);
	assert_false(a.has_i);
	assert_false(a.has_tls);
	assert_true(a.tls.verify);
	assert_null(a.raw);
	fields_done(&all_fields, &a);
	fields_done(&all_fields, &a); /* twice is fine */
}

static const char *const whole =
	"{\"text\":\"x\",\"flag\":true,\"count\":26,\"mode\":\"CrossSubnet\","
	"\"sequence\":1785578400000000042,\"every\":\"1m30.5s\",\"uses\":[\"Always\"],"
	"\"peer\":\"10.0.0.1\",\"cidr\":\"10.0.0.0/16\",\"node\":\"10.0.0.7/24\","
	"\"loose\":\"fd00::1\",\"asNumber\":4200000000,\"strings\":[\"a\",\"b\"],"
	"\"addrs\":[\"fd00::1\"],\"cidrs\":[\"10.0.0.0/8\",\"fd00::/64\"],"
	"\"map\":{\"a.b/c\":\"d\"},\"tls\":{\"key\":\"k\",\"verify\":false},"
	"\"ports\":[{\"name\":\"http\",\"number\":80},{\"name\":\"dns\",\"number\":53}],"
	"\"raw\":{\"x\":[1,null]}}";

static void every_type(void **state)
{
	struct all a;
	struct err e = { 0 };

	if (decode(whole, FIELDS_STRICT, &a, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(a.s, "x");
	assert_true(a.b);
	assert_int_equal(a.i, 26);
	assert_true(a.has_i);
	assert_int_equal(a.e, 2);
	assert_true(a.big == 1785578400000000042);
	assert_true(a.d == 90500);
	assert_int_equal(a.set, 2);
	assert_int_equal(a.addr.family, IP_V4);
	assert_int_equal(a.cidr.len, 16);
	assert_int_equal(a.node.addr.b[3], 7);
	assert_int_equal(a.loose.len, 128);
	assert_int_equal(a.asn, 4200000000u);
	assert_int_equal(a.strings.n, 2);
	assert_string_equal(a.strings.p[1], "b");
	assert_int_equal(a.addrs.n, 1);
	assert_int_equal(a.cidrs.n, 2);
	assert_string_equal(a.map.p[0].key, "a.b/c");
	assert_string_equal(a.map.p[0].value, "d");
	assert_true(a.has_tls);
	assert_string_equal(a.tls.key, "k");
	assert_false(a.tls.verify);
	assert_int_equal(a.ports.n, 2);
	assert_string_equal(a.ports.p[1].name, "dns");
	assert_int_equal(a.ports.p[1].number, 53);
	assert_true(json_is_object(a.raw));
	fields_done(&all_fields, &a);
}

static void round_trip(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"count\":0}",
		"{\"text\":\"\",\"every\":\"1h0m0s\",\"uses\":[]}",
		"{\"tls\":{\"key\":\"k\"}}",
		"{\"ports\":[{\"name\":\"x\"}],\"unknown\":{\"kept\":1785578400000000042}}",
	};
	struct err e = { 0 };

	for (size_t i = 0; i <= ARRAY_SIZE(rows); i++) {
		const char *text = i < ARRAY_SIZE(rows) ? rows[i] : whole;
		CLEANUP(js_freep) json_t *once = json_object(), *twice = NULL;
		struct all a, b;

		assert_int_equal(decode(text, FIELDS_LENIENT, &a, &e), 0);
		assert_int_equal(js_parse(text, strlen(text), &twice, &e), 0);
		fields_encode(&all_fields, &a, once);
		assert_int_equal(fields_decode(&all_fields, once, FIELDS_STRICT, &b, &e), 0);
		/* Over the original, unknown members stay. */
		fields_encode(&all_fields, &b, twice);
		json_object_del(twice, "unknown");
		if (!json_equal(once, twice)) {
			CLEANUP(freep) char *x = js_dump(once), *y = js_dump(twice);

			fail_msg("%s\n%s", x, y);
		}
		if (text == whole) {
			CLEANUP(js_freep) json_t *original = NULL;

			assert_int_equal(js_parse(text, strlen(text), &original, &e), 0);
			assert_true(json_equal(original, once));
		}
		fields_done(&all_fields, &a);
		fields_done(&all_fields, &b);
	}
}

static void unknown_members_stay(void **state)
{
	const char *text = "{\"new\":1,\"flag\":true,\"tls\":{\"key\":\"k\",\"alpn\":[1]}}";
	CLEANUP(js_freep) json_t *v = NULL;
	struct err e = { 0 };
	struct all a;

	assert_int_equal(js_parse(text, strlen(text), &v, &e), 0);
	assert_int_equal(fields_decode(&all_fields, v, FIELDS_LENIENT, &a, &e), 0);
	a.b = false;
	fields_encode(&all_fields, &a, v);
	assert_null(json_object_get(v, "flag"));
	assert_non_null(json_object_get(v, "new"));
	assert_non_null(js_at(v, "tls.alpn"));
	fields_done(&all_fields, &a);
}

static void wrong(void **state)
{
	static const struct {
		const char *name, *json, *words;
	} rows[] = {
		{ "unknown", "{\"cout\":1}", "cout: unknown field; did you mean \"count\"?" },
		{ "unknown by case", "{\"asnumber\":1}",
		  "asnumber: unknown field; did you mean \"asNumber\"?" },
		{ "unknown, nothing near", "{\"zzzzzzzz\":1}",
		  "zzzzzzzz: unknown field; there are text, flag, " },
		{ "unknown inside", "{\"tls\":{\"key\":\"k\",\"verfy\":true}}",
		  "tls.verfy: unknown field; did you mean \"verify\"?" },
		{ "unknown in a list", "{\"ports\":[{\"name\":\"x\"},{\"nam\":\"x\"}]}",
		  "ports[1].nam: unknown field; did you mean \"name\"?" },
		{ "string: number", "{\"text\":26}",
		  "text: must be a string, is 26: put it in quotes" },
		{ "string: boolean", "{\"text\":true}",
		  "text: must be a string, is true: put it in quotes" },
		{ "string: list", "{\"text\":[]}", "text: must be a string, is a list" },
		{ "bool: string", "{\"flag\":\"true\"}",
		  "flag: must be true or false, is \"true\"" },
		{ "bool: number", "{\"flag\":1}", "flag: must be true or false, is 1" },
		{ "int: string", "{\"count\":\"26\"}",
		  "count: must be a whole number from 0 to 32, is \"26\"" },
		{ "int: real", "{\"count\":1.5}",
		  "count: must be a whole number from 0 to 32, is 1.5" },
		{ "int: above", "{\"count\":34}", "from 0 to 32, is 34" },
		{ "int: below", "{\"count\":-2}", "from 0 to 32, is -2" },
		{ "int: huge", "{\"count\":9223372036854775807}", "is 9223372036854775807" },
		{ "int: its own check", "{\"count\":7}", "count: 7 is odd: must be even" },
		{ "enum: near", "{\"mode\":\"always\"}",
		  "mode: \"always\" is unknown; did you mean \"Always\"?" },
		{ "enum: far", "{\"mode\":\"xxxxxxxxxxxx\"}",
		  "mode: must be one of Never, Always, CrossSubnet, is \"xxxxxxxxxxxx\"" },
		{ "enum: number", "{\"mode\":1}",
		  "mode: must be one of Never, Always, CrossSubnet, is 1" },
		{ "set: no list", "{\"uses\":\"Never\"}", "uses: must be a list, is a string" },
		{ "set: word", "{\"uses\":[\"Never\",\"Nevr\"]}",
		  "uses[1]: \"Nevr\" is unknown; did you mean \"Never\"?" },
		{ "set: number", "{\"uses\":[7]}",
		  "uses[0]: must be any of Never, Always, CrossSubnet, is 7" },
		{ "address", "{\"peer\":\"10.0.0\"}",
		  "peer: must be an IP address, is \"10.0.0\"" },
		{ "address: number", "{\"peer\":10}", "peer: must be an IP address, is 10" },
		{ "cidr: host bits", "{\"cidr\":\"10.0.1.5/16\"}",
		  "cidr: 10.0.1.5/16 has host bits set: 10.0.0.0/16 would be right" },
		{ "cidr: host bits, IPv6", "{\"cidr\":\"fd00::1/64\"}",
		  "fd00::/64 would be right" },
		{ "cidr: address", "{\"cidr\":\"10.0.0.1\"}",
		  "cidr: must be an address range such as 10.20.0.0/24, is \"10.0.0.1\"" },
		{ "cidr: length", "{\"cidr\":\"10.0.0.0/33\"}", "cidr: must be an address range" },
		{ "cidr: family", "{\"node\":\"fd00::1/64\"}",
		  "node: must be an IPv4 address range such as 10.20.0.7/24, is \"fd00::1/64\"" },
		{ "AS 0", "{\"asNumber\":0}", "asNumber: must be an AS number" },
		{ "AS: text", "{\"asNumber\":\"x\"}", "asNumber: must be an AS number" },
		{ "AS: above", "{\"asNumber\":4294967296}", "asNumber: must be an AS number" },
		{ "AS: half above", "{\"asNumber\":\"65536.1\"}",
		  "asNumber: must be an AS number" },
		{ "duration: number", "{\"every\":90}",
		  "every: must be a duration such as \"90s\"" },
		{ "duration: no unit", "{\"every\":\"90\"}", "every: must be a duration" },
		{ "duration: range", "{\"every\":\"2h\"}", "from 1s to 1h0m0s, is \"2h\"" },
		{ "strings", "{\"strings\":[\"a\",1]}",
		  "strings[1]: must be a string, is 1: put it in quotes" },
		{ "strings: no list", "{\"strings\":\"a\"}",
		  "strings: must be a list, is a string" },
		{ "addresses", "{\"addrs\":[\"10.0.0.1\"]}",
		  "addrs[0]: must be an IPv6 address, is \"10.0.0.1\"" },
		{ "cidrs", "{\"cidrs\":[\"10.0.0.0/8\",\"10.1.1.1/8\"]}",
		  "cidrs[1]: 10.1.1.1/8 has host" },
		{ "cidrs: empty", "{\"cidrs\":[]}", "cidrs: must not be empty" },
		{ "map: list", "{\"map\":[]}", "map: must be an object, is a list" },
		{ "map: value", "{\"map\":{\"a\":true}}",
		  "map.a: must be a string, is a boolean: put it in quotes" },
		{ "object: string", "{\"tls\":\"x\"}", "tls: must be an object, is a string" },
		{ "object: misses a field", "{\"tls\":{}}", "tls.key: is missing" },
		{ "secret is not shown", "{\"tls\":{\"key\":12345}}",
		  "tls.key: must be a string, is a number" },
		{ "objects: element", "{\"ports\":[1]}", "ports[0]: must be an object, is 1" },
		{ "objects: misses a field", "{\"ports\":[{}]}", "ports[0].name: is missing" },
		{ "objects: empty name", "{\"ports\":[{\"name\":\"\"}]}",
		  "ports[0].name: must be a string that is not empty, is \"\"" },
		{ "a long value is cut",
		  "{\"flag\":"
		  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
		  "aaa..." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static const struct all zero;
		struct err e = { 0 };
		struct all a;

		if (decode(rows[i].json, FIELDS_STRICT, &a, &e) == 0)
			fail_msg("%s: accepted", rows[i].name);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, e.msg, rows[i].words);
		assert_memory_equal(&a, &zero, sizeof(a));
	}
}

static void lenient_reads_what_a_newer_writer_wrote(void **state)
{
	struct err e = { 0 };
	struct all a;

	assert_int_equal(
		decode("{\"newField\":1,\"ports\":[{\"name\":\"x\",\"new\":2}],\"text\":null}",
		       FIELDS_LENIENT, &a, &e),
		0);
	assert_string_equal(a.s, "all()");
	fields_done(&all_fields, &a);
	assert_int_equal(decode("{\"flag\":7}", FIELDS_LENIENT, &a, &e), -EINVAL);
}

static void layers(void **state)
{
	struct err e = { 0 };
	struct all a;
	json_t *v;

	fields_init(&all_fields, &a);
	assert_int_equal(js_parse("{\"text\":\"file\",\"flag\":true}", 27, &v, &e), 0);
	assert_int_equal(fields_apply(&all_fields, v, FIELDS_STRICT, &a, &e), 0);
	json_decref(v);
	assert_int_equal(fields_set(&all_fields, "text", "env", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "count", "4", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "flag", "no", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "every", "5", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "uses", "Always, CrossSubnet", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "map", "a=b,c=d", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "asNumber", "1.1", &a, &e), 0);
	assert_int_equal(fields_set(&all_fields, "tls.key", "k", &a, &e), 0);
	assert_string_equal(a.s, "env");
	assert_true(a.has_i && a.i == 4 && !a.b && a.d == 5000 && a.set == 6 && a.map.n == 2);
	assert_int_equal(a.asn, 65537);
	assert_true(a.has_tls);
	assert_string_equal(a.tls.key, "k");

	assert_int_equal(fields_set(&all_fields, "count", "x", &a, &e), -EINVAL);
	assert_string_equal(e.msg, "count: must be a whole number from 0 to 32, is \"x\"");
	assert_int_equal(fields_set(&all_fields, "tls.verify", "maybe", &a, &e), -EINVAL);
	assert_string_equal(e.msg, "tls.verify: must be true or false, is \"maybe\"");
	assert_int_equal(fields_set(&all_fields, "tex", "x", &a, &e), -ENOENT);
	assert_int_equal(fields_set(&all_fields, "text.x", "x", &a, &e), -ENOENT);
	assert_string_equal(a.s, "env");
	assert_ptr_equal(fields_find(&all_fields, "tls.verify"), &tls_rows[1]);
	assert_null(fields_find(&all_fields, "tls.x"));
	fields_done(&all_fields, &a);
}

static void filled_for_other_readers(void **state)
{
	static const struct field rows[] = {
		FIELD_ENUM(struct all, e, "mode", .words = modes, .def = "Always",
			   .flags = FIELD_FILL),
		FIELD_SET(struct all, set, "uses", .words = modes, .def = "Never",
			  .flags = FIELD_FILL),
		FIELD_STRING(struct all, s, "quiet", .def = "x"),
		FIELD_ASN(struct all, asn, "as"),
		FIELD_CIDRS(struct all, cidrs, "cidrs"),
		FIELD_CIDR(struct all, cidr, "cidr"),
		FIELD_OBJECTS(struct all, ports, port_fields, "ports", .doc = ""),
	};
	static const struct fields t = FIELDS("t", struct all, rows);
	const char *text = "{\"as\":\"1.1\",\"cidr\":\"fd00:0:0::/64\",\"cidrs\":[\"fd01:0::/64\"],"
			   "\"ports\":[{\"name\":\"x\"}],\"new\":1}";
	CLEANUP(js_freep) json_t *v = NULL;
	CLEANUP(freep) char *dump = NULL;

	assert_int_equal(js_parse(text, strlen(text), &v, NULL), 0);
	fields_fill(&t, v);
	dump = js_dump(v);
	assert_string_equal(dump, "{\"as\":65537,\"cidr\":\"fd00::/64\",\"cidrs\":[\"fd01::/64\"],"
				  "\"ports\":[{\"name\":\"x\"}],\"new\":1,\"mode\":\"Always\","
				  "\"uses\":[\"Never\"]}");
}

static void as_numbers(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint32_t asn;
	} rows[] = {
		{ "64512", true, 64512 },
		{ "0.64512", true, 64512 },
		{ "1.0", true, 65536 },
		{ "65535.65535", true, UINT32_MAX },
		{ "4294967295", true, UINT32_MAX },
		{ "4294967296", false, 0 },
		{ "", false, 0 },
		{ ".", false, 0 },
		{ "1.", false, 0 },
		{ ".1", false, 0 },
		{ "1.2.3", false, 0 },
		{ "-1", false, 0 },
		{ "1.65536", false, 0 },
		{ " 1", false, 0 },
		{ "00000000000000001.1", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t asn = 7;

		if (asn_parse(rows[i].text, &asn) != rows[i].ok)
			fail_msg("%s", rows[i].text);
		assert_int_equal(asn, rows[i].ok ? rows[i].asn : 7);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t ms;
		const char *printed;
	} rows[] = {
		{ "0", true, 0, "0s" },
		{ "90s", true, 90000, "1m30s" },
		{ "1h30m", true, 5400000, "1h30m0s" },
		{ "500ms", true, 500, "500ms" },
		{ "1.5s", true, 1500, "1.5s" },
		{ "1m0.25s", true, 60250, "1m0.25s" },
		{ "-5s", true, -5000, "-5s" },
		{ "1000us", true, 1, "1ms" },
		{ ".5s", true, 500, "500ms" },
		{ "2562047h", true, 9223369200000, "2562047h0m0s" },
		{ "90", false, 0, NULL },
		{ "", false, 0, NULL },
		{ "s", false, 0, NULL },
		{ ".s", false, 0, NULL },
		{ "1x", false, 0, NULL },
		{ "1s2", false, 0, NULL },
		{ "1d", false, 0, NULL },
		{ "-", false, 0, NULL },
		{ "9999999999999999999h", false, 0, NULL },
		{ "1e3s", false, 0, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char buf[DURATION_STR_MAX];
		int64_t ms = 7;

		if (duration_parse(rows[i].text, 0, &ms) != rows[i].ok)
			fail_msg("%s", rows[i].text);
		assert_true(ms == (rows[i].ok ? rows[i].ms : 7));
		if (rows[i].printed)
			assert_string_equal(duration_format(ms, buf), rows[i].printed);
	}
	assert_true(duration_parse("90", 1000, &(int64_t) { 0 }));
}

static void the_manual_names_every_field(void **state)
{
	struct str s = { 0 };

	fields_manual(&all_fields, &s);
	for (size_t i = 0; i < ARRAY_SIZE(all_rows); i++)
		assert_non_null(strstr(str_text(&s), all_rows[i].name));
	assert_non_null(strstr(str_text(&s), "tls.verify\ttrue\tWhether to verify."));
	assert_non_null(
		strstr(str_text(&s), "ports[].number\t80\tIts number. Must be a whole number"));
	str_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_type),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(unknown_members_stay),
		cmocka_unit_test(wrong),
		cmocka_unit_test(lenient_reads_what_a_newer_writer_wrote),
		cmocka_unit_test(layers),
		cmocka_unit_test(filled_for_other_readers),
		cmocka_unit_test(as_numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(the_manual_names_every_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
