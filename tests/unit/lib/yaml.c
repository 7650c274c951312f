/* yaml.c - lib/yaml: what scalars mean, where errors are, and what is refused */
#include "lib/yaml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"

/* The first document as compact JSON; fails the test when there is none. */
static char *first_json(const char *text)
{
	struct yml_docs docs = { 0 };
	struct err e = { 0 };
	char *json;

	if (yml_parse("t.yaml", text, strlen(text), &docs, &e) < 0)
		fail_msg("%s\n-> %s", text, e.msg);
	assert_true(docs.n > 0);
	json = js_dump(docs.p[0].value);
	yml_docs_done(&docs);
	return json;
}

static void meanings(void **state)
{
	static const struct {
		const char *name, *yaml, *json;
	} rows[] = {
		{ "object", "a: 1\nb: x\n", "{\"a\":1,\"b\":\"x\"}" },
		{ "list under its key, not indented", "a:\n- 1\n- 2\n", "{\"a\":[1,2]}" },
		{ "yes and on are booleans, as for kubectl", "[yes, On, no, OFF]",
		  "[true,true,false,false]" },
		{ "y and n are strings", "[y, n, N]", "[\"y\",\"n\",\"N\"]" },
		{ "quotes make strings", "[\"yes\", '26', \"null\"]", "[\"yes\",\"26\",\"null\"]" },
		{ "!!str makes strings", "[!!str 26, !!str yes, ! 1]", "[\"26\",\"yes\",\"1\"]" },
		{ "nulls", "[null, ~, ]", "[null,null]" },
		{ "nothing behind a key", "a:\n", "{\"a\":null}" },
		{ "integers", "[26, -1, +7, 0, 0x1a, 0o32]", "[26,-1,7,0,26,26]" },
		{ "exact at 64 bits",
		  "[1785578400000000042, 9223372036854775807, -9223372036854775808]",
		  "[1785578400000000042,9223372036854775807,-9223372036854775808]" },
		{ "reals", "[1.5, .5, 1e3, -2.5E-1]", "[1.5,0.5,1000.0,-0.25]" },
		{ "addresses are strings", "[10.0.0.1, 10.0.0.0/16, fd00::1, 1:2, 64512.1.2]",
		  "[\"10.0.0.1\",\"10.0.0.0/16\",\"fd00::1\",\"1:2\",\"64512.1.2\"]" },
		{ "not quite numbers", "[1_000, 0x, 1e, -, ., e3, 0b1, 12h]",
		  "[\"1_000\",\"0x\",\"1e\",\"-\",\".\",\"e3\",\"0b1\",\"12h\"]" },
		{ "dates are strings", "2026-08-01: 2026-08-01T10:00:00Z",
		  "{\"2026-08-01\":\"2026-08-01T10:00:00Z\"}" },
		{ "block text", "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
		  "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
		{ "aliases", "a: &x {p: 1}\nb: *x\nc: *x\n",
		  "{\"a\":{\"p\":1},\"b\":{\"p\":1},\"c\":{\"p\":1}}" },
		{ "the latest anchor counts", "[&x 1, &x 2, *x]", "[1,2,2]" },
		{ "JSON", "{\"a\": [true, null, 1.5, \"\\u00e4\"]}",
		  "{\"a\":[true,null,1.5,\"\xc3\xa4\"]}" },
		{ "JSON with surrogates, which YAML has not", "{\"a\": \"\\ud83d\\ude00\"}",
		  "{\"a\":\"\xf0\x9f\x98\x80\"}" },
		{ "JSON with tabs", "{\n\t\"a\":\t1\n}\n", "{\"a\":1}" },
		{ "quoted <<", "\"<<\": 1", "{\"<<\":1}" },
		{ "byte order mark",
		  "\xef\xbb\xbf"
		  "a: 1",
		  "{\"a\":1}" },
		{ "comments, directives", "%YAML 1.1\n# x\n---\na: 1 # y\n...\n", "{\"a\":1}" },
		{ "selector", "s: all()\nt: has(x) && !has(y)\n",
		  "{\"s\":\"all()\",\"t\":\"has(x) && !has(y)\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *json = first_json(rows[i].yaml);

		if (strcmp(json, rows[i].json))
			fail_msg("%s: %s is not %s", rows[i].name, json, rows[i].json);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *name, *yaml;
		size_t len;
		const char *words;
	} rows[] = {
		{ "duplicate key", "a: 1\nb: 2\na: 3\n", 0, "t.yaml:3: key \"a\" is there twice" },
		{ "duplicate key in JSON", "{\"a\":1,\"a\":2}", 0,
		  "t.yaml:1: key \"a\" is there twice" },
		{ "leading zeros", "a:\n  mode: 0777\n", 0,
		  "t.yaml:2: 0777: a number with leading" },
		{ "too large", "a: 9223372036854775808", 0,
		  "t.yaml:1: 9223372036854775808: does not fit" },
		{ "too small", "a: -9223372036854775809", 0, "does not fit into 64 bits" },
		{ "huge", "a: 99999999999999999999999999999999999999999999999999", 0,
		  "does not fit" },
		{ "huge hexadecimal", "a: 0xfffffffffffffffff", 0, "does not fit" },
		{ "real too large", "a: 1e999", 0, "too large for a number" },
		{ "infinity", "a: .inf", 0, "JSON has no such number" },
		{ "unknown alias", "a: 1\nb: *x\n", 0, "t.yaml:2: *x: no anchor" },
		{ "alias inside of its anchor", "a: &x\n  b: *x\n", 0, "t.yaml:2: *x: no anchor" },
		{ "anchor of another document", "a: &x 1\n---\nb: *x\n", 0,
		  "t.yaml:3: *x: no anchor" },
		{ "merge key", "a: &x {p: 1}\nb:\n  <<: *x\n", 0, "t.yaml:3: merge keys" },
		{ "tag", "a: !!python/object x", 0, "tags are not understood" },
		{ "tag on an object", "!foo {a: 1}", 0, "tags are not understood" },
		{ "object as a key", "? {a: 1}\n: 2\n", 0, "a key must be" },
		{ "tab as indent", "a:\n\tb: 1\n", 0, "t.yaml:2: " },
		{ "bracket left open", "a: [1, 2\n", 0, "t.yaml:2: " },
		{ "quote left open", "a: \"x\n", 0, "t.yaml:" },
		{ "bad indent", "a: 1\n  b: 2\n", 0, "t.yaml:2: " },
		{ "NUL byte", "a: x\0y", 6, "t.yaml:1: " },
		{ "NUL by escape", "a: \"x\\0y\"", 0, "t.yaml:1: a text holds a NUL" },
		{ "NUL by escape in a key", "\"x\\0y\": 1", 0, "a text holds a NUL" },
		{ "control character", "a: \x01", 0, "control characters" },
		{ "invalid UTF-8", "a: \xff\xfe", 0, "UTF-8" },
		{ "UTF-16",
		  "\xff\xfe"
		  "a\0:\0 \0001\0",
		  10, "UTF-8" },
		{ "half a surrogate", "a: \"\\ud800\"", 0, "t.yaml:1: " },
		{ "two roots", "a: 1\n- b\n", 0, "t.yaml:2: " },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].yaml);
		CLEANUP(freep) char *exact = xmemdup(rows[i].yaml, len);
		struct yml_docs docs = { 0 };
		struct err e = { 0 };

		if (yml_parse("t.yaml", exact, len, &docs, &e) >= 0)
			fail_msg("%s: accepted", rows[i].name);
		assert_int_equal(docs.n, 0);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, e.msg, rows[i].words);
	}
}

static int parse_built(struct str *s, struct err *e)
{
	struct yml_docs docs = { 0 };
	int rc = yml_parse("t.yaml", str_text(s), s->len, &docs, e);

	yml_docs_done(&docs);
	str_done(s);
	return rc;
}

static void bounded(void **state)
{
	struct err e = { 0 };
	struct str s = { 0 };

	for (int i = 0; i < JS_DEPTH_MAX + 1; i++)
		str_addc(&s, '[');
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_string_equal(e.msg, "t.yaml:1: nested deeper than 64 levels");

	for (int i = 0; i < 1000; i++)
		str_addf(&s, "%*sa:\n", i, "");
	assert_int_equal(parse_built(&s, &e), -E2BIG);

	/* Nine lists of nine aliases each: 9^9 values from 400 bytes. */
	str_add(&s, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 9; i++) {
		str_addf(&s, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			str_addf(&s, "*a%d,", i - 1);
		str_add(&s, "]\n");
	}
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "too many values"));

	/* The same in depth: an alias of an alias of ... */
	str_add(&s, "- &a0 [x]\n");
	for (int i = 1; i < 100; i++)
		str_addf(&s, "- &a%d [*a%d]\n", i, i - 1);
	assert_int_equal(parse_built(&s, &e), -E2BIG);

	for (int i = 0; i <= YML_DOCS_MAX; i++)
		str_add(&s, "--- 1\n");
	assert_int_equal(parse_built(&s, &e), -E2BIG);

	for (int i = 0; i < 1000; i++)
		str_addf(&s, "%%TAG !a%d! tag:x,%d:\n", i, i);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_string_equal(e.msg, "t.yaml:101: more than 100 directives");

	for (int i = 0; i <= 1000; i++)
		str_addf(&s, "- &a%d x\n", i);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
}

static const char *const manifest = "apiVersion: projectcalico.org/v3\n" /* 1 */
				    "kind: IPPool\n"
				    "metadata:\n"
				    "  name: web\n"
				    "  labels:\n" /* 5 */
				    "    projectcalico.org/tier: gold\n"
				    "    projectcalico.org/tier.x: gold\n"
				    "spec:\n"
				    "  cidr: 10.0.0.0/16\n"
				    "  allowedUses:\n" /* 10 */
				    "  - Workload\n"
				    "  - name: x\n"
				    "    port: 1\n"
				    "---\n"
				    "---\n" /* 15 */
				    "kind: Other\n";

static void lines(void **state)
{
	static const struct {
		const char *path;
		unsigned line;
	} rows[] = {
		{ "", 1 },
		{ "kind", 2 },
		{ "kind: must be", 2 },
		{ "metadata.name", 4 },
		{ "metadata.labels.projectcalico.org/tier", 6 },
		{ "metadata.labels.projectcalico.org/tier.x: is bad", 7 },
		{ "spec.cidr: has host bits: 10.0.0.0/16", 9 },
		{ "spec.blockSize: is missing", 8 },
		{ "spec.allowedUses[0]", 11 },
		{ "spec.allowedUses[1].port", 13 },
		{ "spec.allowedUses[1].protocol", 12 },
		{ "spec.allowedUses[9]", 10 },
		{ "spec.allowedUses[", 11 },
		{ "spec.cidrs", 8 },
		{ "nonsense", 1 },
	};
	struct yml_docs docs = { 0 };
	struct err e = { 0 };

	assert_int_equal(yml_parse("web.yaml", manifest, strlen(manifest), &docs, &e), 0);
	assert_int_equal(docs.n, 2);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (yml_line(&docs.p[0], rows[i].path) != rows[i].line)
			fail_msg("%s: line %u", rows[i].path, yml_line(&docs.p[0], rows[i].path));
	assert_int_equal(yml_line(&docs.p[1], "kind"), 16);

	err_set(&e, -ERANGE, "spec.cidr: must be a CIDR");
	assert_int_equal(yml_err_at(&docs.p[0], &e), -ERANGE);
	assert_string_equal(e.msg, "web.yaml:9: spec.cidr: must be a CIDR");
	yml_docs_done(&docs);
}

static void every_truncation_is_total(void **state)
{
	for (size_t n = 0; n < strlen(manifest); n++) {
		CLEANUP(freep) char *cut = xmemdup(manifest, n ? n : 1);
		struct yml_docs docs = { 0 };
		struct err e = { 0 };

		if (yml_parse("t.yaml", cut, n, &docs, &e) < 0)
			assert_true(str_starts(e.msg, "t.yaml:"));
		yml_docs_done(&docs);
	}
}

static void emitted(void **state)
{
	static const struct {
		const char *json, *yaml;
	} rows[] = {
		{ "{\"spec\":{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"Workload\",\"Tunnel\"]},"
		  "\"kind\":\"IPPool\",\"metadata\":{}}",
		  "kind: IPPool\nmetadata: {}\nspec:\n  allowedUses:\n  - Workload\n  - Tunnel\n"
		  "  cidr: 10.0.0.0/16\n" },
		{ "{\"a\":[{\"x\":1,\"y\":[2,{\"z\":3}]},[4,[5]],[]]}",
		  "a:\n- x: 1\n  \"y\":\n  - 2\n  - z: 3\n- - 4\n  - - 5\n- []\n" },
		{ "[\"\",\"yes\",\"No\",\"26\",\"1e3\",\"0777\",\"~\",\"null\",\"y\",\"1:30\","
		  "\"2026-08-01\"]",
		  "- \"\"\n- \"yes\"\n- \"No\"\n- \"26\"\n- \"1e3\"\n- \"0777\"\n- \"~\"\n- "
		  "\"null\"\n"
		  "- \"y\"\n- \"1:30\"\n- \"2026-08-01\"\n" },
		{ "[\"all()\",\"a: b\",\"a #b\",\"a#b\",\"a:b\",\"-\",\"x "
		  "\",\"fd00::/64\",\"!x\",\"a:\"]",
		  "- all()\n- \"a: b\"\n- \"a #b\"\n- a#b\n- a:b\n- \"-\"\n- \"x \"\n- fd00::/64\n"
		  "- \"!x\"\n- \"a:\"\n" },
		{ "[\"a\\nb\\t\\u0001\\u007f\\u0085\\u2028\\ufeff\xc3\xa4\\\"\\\\\"]",
		  "- \"a\\nb\\t\\u0001\\u007f\\u0085\\u2028\\ufeff\xc3\xa4\\\"\\\\\"\n" },
		{ "[1.5,1785578400000000042,true,null]",
		  "- 1.5\n- 1785578400000000042\n- true\n- null\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(js_freep) json_t *v = NULL;
		CLEANUP(freep) char *yaml = NULL;
		struct yml_docs docs = { 0 };
		struct err e = { 0 };

		assert_int_equal(js_parse(rows[i].json, strlen(rows[i].json), &v, &e), 0);
		yaml = yml_dump(v);
		assert_string_equal(yaml, rows[i].yaml);
		if (yml_parse("t", yaml, strlen(yaml), &docs, &e) < 0)
			fail_msg("%s\n-> %s", yaml, e.msg);
		if (!json_equal(docs.p[0].value, v))
			fail_msg("%s is another value than %s", yaml, rows[i].json);
		yml_docs_done(&docs);
	}
}

/* Every string of two from a nasty alphabet survives being written and read, as value and key. */
static void every_string_round_trips(void **state)
{
	static const char *const parts[] = {
		"",
		" ",
		"-",
		":",
		"#",
		"0",
		"1",
		"e",
		".",
		"x",
		"\n",
		"\t",
		"'",
		"\"",
		"[",
		"{",
		"]",
		"}",
		",",
		"\\",
		"|",
		">",
		"%",
		"@",
		"`",
		"~",
		"<<",
		"=",
		"!",
		"&",
		"*",
		"?",
		"null",
		"true",
		"on",
		"\xc2\x85",
		"\xe2\x80\xa8",
		"\xc3\xa4",
		"\xf0\x9f\x98\x80",
		"\r",
		"+",
		"_",
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts) * ARRAY_SIZE(parts); i++) {
		CLEANUP(freep)
		char *text = xasprintf("%s%s", parts[i / ARRAY_SIZE(parts)],
				       parts[i % ARRAY_SIZE(parts)]);
		CLEANUP(js_freep) json_t *v = json_object();
		CLEANUP(freep) char *yaml = NULL;
		struct yml_docs docs = { 0 };
		struct err e = { 0 };

		js_set_str(v, text, text);
		yaml = yml_dump(v);
		if (yml_parse("t", yaml, strlen(yaml), &docs, &e) < 0)
			fail_msg("%s-> %s", yaml, e.msg);
		if (!json_equal(docs.p[0].value, v))
			fail_msg("%s is another value", yaml);
		yml_docs_done(&docs);
	}
}

/* Found by fuzzing: a key may not be longer than 1024 characters when it is written the plain way.
 * */
static void long_keys_round_trip(void **state)
{
	for (size_t n = 990; n < 1030; n += 3) {
		CLEANUP(freep) char *key = xcalloc(n + 1, 1), *yaml = NULL;
		CLEANUP(js_freep) json_t *v = json_object();
		json_t *list = json_array(), *below = json_object();
		struct yml_docs docs = { 0 };
		struct err e = { 0 };

		memset(key, 'k', n);
		js_set_int(below, key, 1);
		json_array_append_new(list, json_deep_copy(below));
		json_array_append_new(list, json_integer(2));
		js_set(below, "list", list);
		js_set(v, key, below);
		key[0] = '\n';
		js_set(v, key, json_deep_copy(list));
		yaml = yml_dump(v);
		if (yml_parse("t", yaml, strlen(yaml), &docs, &e) < 0)
			fail_msg("%s-> %s", yaml, e.msg);
		assert_true(json_equal(docs.p[0].value, v));
		yml_docs_done(&docs);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(meanings),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounded),
		cmocka_unit_test(lines),
		cmocka_unit_test(every_truncation_is_total),
		cmocka_unit_test(emitted),
		cmocka_unit_test(every_string_round_trips),
		cmocka_unit_test(long_keys_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
