/* json.c - lib/json against hostile text, exact numbers, and the words of its errors */
#include "lib/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"
#include "tests/unit/parse.h"

static void refused(void **state)
{
	static const struct {
		const char *name, *text;
		size_t len; /* 0: strlen */
		const char *words;
	} rows[] = {
		{ "nothing", "", 0, "line 1" },
		{ "white space only", " \n ", 0, "line 2" },
		{ "duplicate key", "{\"a\":1,\n \"a\":2}", 0,
		  "line 2, column 4: duplicate object key" },
		{ "duplicate key by escape", "{\"a\":1,\"\\u0061\":2}", 0, "duplicate" },
		{ "two values", "{} {}", 0, "end of file expected" },
		{ "a bare scalar", "1", 0, "'[' or '{'" },
		{ "NUL byte inside", "{\"a\":\"x\0y\"}", 11, "line 1" },
		{ "NUL byte after", "{}\0", 3, "line 1" },
		{ "NUL by escape", "{\"a\":\"\\u0000\"}", 0, "line 1" },
		{ "invalid UTF-8", "{\"a\":\"\xff\"}", 0, "decode byte 0xff" },
		{ "overlong UTF-8", "{\"a\":\"\xc0\x80\"}", 0, "line 1" },
		{ "surrogate alone", "{\"a\":\"\\ud800\"}", 0, "line 1" },
		{ "integer above 64 bits", "[9223372036854775808]", 0, "too big integer" },
		{ "integer below 64 bits", "[-9223372036854775809]", 0,
		  "too big negative integer" },
		{ "real without end", "[1e999]", 0, "real number overflow" },
		{ "NaN", "[NaN]", 0, "invalid token" },
		{ "leading zero", "[01]", 0, "line 1" },
		{ "comment", "{/**/}", 0, "line 1" },
		{ "trailing comma", "[1,]", 0, "line 1" },
		{ "backslash at the end", "[\"\\", 0, "line 1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t len = rows[i].len ? rows[i].len : strlen(rows[i].text);
		/* A copy of the exact size lets the sanitizer see a read past the end. */
		char *exact = xmemdup(rows[i].text, len);
		json_t *v = NULL;
		struct err e = { 0 };

		if (js_parse(exact, len, &v, &e) >= 0 || v)
			fail_msg("%s: accepted", rows[i].name);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, e.msg, rows[i].words);
		free(exact);
	}
}

static void repeat(struct str *s, const char *text, size_t n)
{
	while (n--)
		str_add(s, text);
}

static int parse_built(struct str *s, struct err *e)
{
	json_t *v = NULL;
	int rc = js_parse(str_text(s), s->len, &v, e);

	json_decref(v);
	str_done(s);
	return rc;
}

static void bounded(void **state)
{
	struct err e = { 0 };
	struct str s = { 0 };

	repeat(&s, "[", JS_DEPTH_MAX);
	repeat(&s, "]", JS_DEPTH_MAX);
	assert_int_equal(parse_built(&s, &e), 0);

	repeat(&s, "[", JS_DEPTH_MAX + 1);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_string_equal(e.msg, "line 1, column 65: nested deeper than 64");

	repeat(&s, "[", 1000000);
	assert_int_equal(parse_built(&s, &e), -E2BIG);

	str_add(&s, "[");
	repeat(&s, "[],", JS_CONTAINERS_MAX);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "more objects and lists"));

	str_add(&s, "[");
	repeat(&s, "0,", JS_VALUES_MAX + 1);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "more values"));

	repeat(&s, " ", JS_SIZE_MAX + 1);
	assert_int_equal(parse_built(&s, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "4194304"));

	/* Brackets inside of strings do not count. */
	str_add(&s, "[\"");
	repeat(&s, "[[{\\\"", 1000);
	str_add(&s, "\"]");
	assert_int_equal(parse_built(&s, &e), 0);
}

static void every_truncation_is_an_error(void **state)
{
	const char *whole = "{\"cidr\":\"10.20.0.64/30\",\"allocations\":[0,null,1.5e3],"
			    "\"attributes\":[{\"a\\n\\u00e4\":\"\xc3\xa4\"}],\"deleted\":false}";
	json_t *v;

	for (size_t n = 0; n < strlen(whole); n++) {
		char *cut = xmemdup(whole, n ? n : 1);

		v = NULL;
		assert_true(js_parse(cut, n, &v, NULL) < 0);
		assert_null(v);
		free(cut);
	}
	v = parse(whole);
	json_decref(v);
}

static void text_round_trips(void **state)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"z\":1,\"a\":{\"m\":[true,false,null]}}",
		"[9223372036854775807,-9223372036854775808,1785578400000000042]",
		"[0.1,1.5,10.25]",
		"[0.30000000000000004]",
		"{\"\":\"\\\"\\\\\\n\\t\xc3\xa4\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(js_freep) json_t *v = parse(rows[i]);
		CLEANUP(freep) char *text = js_dump(v);

		assert_string_equal(text, rows[i]);
	}
}

static void shortest_reals(void **state)
{
	CLEANUP(js_freep) json_t *v = parse("{\"order\":10.1}");
	CLEANUP(freep) char *text = js_dump_pretty(v);

	assert_string_equal(text, "{\n  \"order\": 10.1\n}");
}

static const char *const object = "{\"spec\":{\"name\":\"x\",\"n\":26,\"big\":1785578400000000042,"
				  "\"on\":true,\"half\":1.5,\"none\":null,\"list\":[1],\"o\":{}}}";

static void getters_find(void **state)
{
	CLEANUP(js_freep) json_t *v = parse(object);
	struct err e = { 0 };
	const char *s = NULL;
	int64_t n = 0;
	bool b = false;
	json_t *j = NULL;

	assert_int_equal(js_str(v, "spec.name", &s, &e), 1);
	assert_string_equal(s, "x");
	assert_int_equal(js_int(v, "spec.big", 0, INT64_MAX, &n, &e), 1);
	assert_true(n == 1785578400000000042);
	assert_int_equal(js_bool(v, "spec.on", &b, &e), 1);
	assert_true(b);
	assert_int_equal(js_list(v, "spec.list", &j, &e), 1);
	assert_int_equal(js_obj(v, "spec.o", &j, &e), 1);
	assert_non_null(js_at(v, "spec.half"));
	assert_null(js_at(v, "spec.absent"));

	n = 7;
	assert_int_equal(js_int(v, "spec.absent", 0, 9, &n, &e), 0);
	assert_int_equal(js_int(v, "spec.none", 0, 9, &n, &e), 0);
	assert_int_equal(js_int(v, "nowhere.at.all", 0, 9, &n, &e), 0);
	assert_true(n == 7);
}

static void getters_refuse_with_words(void **state)
{
	CLEANUP(js_freep) json_t *v = parse(object);
	struct err e = { 0 };
	const char *s = "kept";
	int64_t n = 7;
	bool b;
	json_t *j;

	assert_int_equal(js_str(v, "spec.n", &s, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.n: must be a string, is a number");
	assert_string_equal(s, "kept");
	assert_int_equal(js_int(v, "spec.name", 0, 9, &n, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.name: must be a number, is a string");
	assert_int_equal(js_int(v, "spec.half", 0, 9, &n, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.half: must be a whole number, is a number");
	assert_int_equal(js_int(v, "spec.n", 0, 9, &n, &e), -ERANGE);
	assert_string_equal(e.msg, "spec.n: must be 0 to 9, is 26");
	assert_true(n == 7);
	assert_int_equal(js_bool(v, "spec.list", &b, &e), -EINVAL);
	assert_int_equal(js_obj(v, "spec.on", &j, &e), -EINVAL);
	assert_int_equal(js_list(v, "spec.o", &j, &e), -EINVAL);
	assert_int_equal(js_str(v, "spec.n.deeper", &s, &e), -EINVAL);
	assert_string_equal(e.msg, "spec.n: must be an object, is a number");
	assert_int_equal(js_need(js_str(v, "spec.zone", &s, &e), "spec.zone", &e), -EINVAL);
	assert_string_equal(e.msg, "spec.zone: is missing");
	assert_int_equal(js_err_under(&e, "items[%d]", 3), -EINVAL);
	assert_string_equal(e.msg, "items[3].spec.zone: is missing");
}

static void setters_survive_any_bytes(void **state)
{
	CLEANUP(js_freep) json_t *v = json_object();
	CLEANUP(freep) char *text = NULL;

	js_set_str(v, "bad", "a\xff\xfe");
	js_set_str(v, "none", NULL);
	js_set_int(v, "n", INT64_MIN);
	js_set_bool(v, "b", true);
	text = js_dump(v);
	assert_string_equal(text, "{\"bad\":\"a??\",\"n\":-9223372036854775808,\"b\":true}");
}

static void changing_a_member_says_whether_it_did(void **state)
{
	json_t *o = json_object(), *inner;

	assert_true(js_change_str(o, "a", "one"));
	assert_false(js_change_str(o, "a", "one"));
	assert_true(js_change_str(o, "a", "two"));
	assert_string_equal(json_string_value(json_object_get(o, "a")), "two");
	assert_true(js_change_str(o, "a", NULL));
	assert_false(js_change_str(o, "a", NULL));
	assert_null(json_object_get(o, "a"));

	inner = js_object_in(o, "spec");
	js_set_int(inner, "n", 7);
	assert_ptr_equal(js_object_in(o, "spec"), inner);
	json_object_set_new(o, "spec", json_integer(1));
	assert_int_equal(json_object_size(js_object_in(o, "spec")), 0);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changing_a_member_says_whether_it_did),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounded),
		cmocka_unit_test(every_truncation_is_an_error),
		cmocka_unit_test(text_round_trips),
		cmocka_unit_test(shortest_reals),
		cmocka_unit_test(getters_find),
		cmocka_unit_test(getters_refuse_with_words),
		cmocka_unit_test(setters_survive_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
