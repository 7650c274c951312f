/* selector.c - model/selector: what parses to what, what is refused where, what matches */
#include "model/selector.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	const char *text, *normal;
} forms[] = {
	/* blank */
	{ "", "all()" },
	{ " \t ", "all()" },
	/* each operator */
	{ "a=='b'", "a == \"b\"" },
	{ "a == \"b\"", "a == \"b\"" },
	{ "a!='b'", "a != \"b\"" },
	{ "a contains 'b'", "a contains \"b\"" },
	{ "a contains'b'", "a contains \"b\"" },
	{ "a starts with 'b'", "a starts with \"b\"" },
	{ "a startswith 'b'", "a starts with \"b\"" },
	{ "a starts \t with'b'", "a starts with \"b\"" },
	{ "a ends with 'b'", "a ends with \"b\"" },
	{ "a endswith'b'", "a ends with \"b\"" },
	{ "a in {'b'}", "a in {\"b\"}" },
	{ "a in{'b'}", "a in {\"b\"}" },
	{ "a not in {'b'}", "a not in {\"b\"}" },
	{ "a notin{'b'}", "a not in {\"b\"}" },
	{ "has(a)", "has(a)" },
	{ "has( \ta )", "has(a)" },
	{ "all()", "all()" },
	{ "all( )", "all()" },
	{ "global()", "global()" },
	{ "\t a\t==\t'b' ", "a == \"b\"" },
	/* sets: sorted, each once, trailing comma */
	{ "a in {'c', 'a','b' ,'a'}", "a in {\"a\", \"b\", \"c\"}" },
	{ "a in {'b','B','\xc3\xa4','-'}", "a in {\"-\", \"B\", \"b\", \"\xc3\xa4\"}" },
	{ "a in {'b',}", "a in {\"b\"}" },
	{ "a in {}", "a in {}" },
	{ "a not in { }", "a not in {}" },
	{ "a in {''}", "a in {\"\"}" },
	/* strings: no escapes, either quote */
	{ "a == ''", "a == \"\"" },
	{ "a == 'x\"y'", "a == 'x\"y'" },
	{ "a == \"x'y\"", "a == \"x'y\"" },
	{ "a == 'x\\'", "a == \"x\\\"" },
	{ "a == 'x\ny'", "a == \"x\ny\"" },
	{ "a in {'x\"y', \"z\"}", "a in {'x\"y', \"z\"}" },
	/* precedence and grouping */
	{ "!a == 'b'", "!a == \"b\"" },
	{ "!(a == 'b')", "!a == \"b\"" },
	{ "! a=='b' && has(c)", "(!a == \"b\" && has(c))" },
	{ "has(a) && has(b) || has(c)", "((has(a) && has(b)) || has(c))" },
	{ "has(a) || has(b) && has(c)", "(has(a) || (has(b) && has(c)))" },
	{ "(has(a) || has(b)) && has(c)", "((has(a) || has(b)) && has(c))" },
	{ "has(a)&&has(b)&&has(c)", "(has(a) && has(b) && has(c))" },
	{ "(has(a) && has(b)) && has(c)", "((has(a) && has(b)) && has(c))" },
	{ "((has(a)))", "has(a)" },
	{ "((has(a) || has(b)))", "(has(a) || has(b))" },
	{ "!(has(a)&&has(b))", "!(has(a) && has(b))" },
	/* negation by parity, through parentheses too */
	{ "!!has(a)", "has(a)" },
	{ "! ! !has(a)", "!has(a)" },
	{ "!(!has(a))", "has(a)" },
	{ "!!(!(has(a)))", "!has(a)" },
	{ "!all()", "!all()" },
	/* words are operators only after a label, and labels otherwise */
	{ "in in {\"x\"}", "in in {\"x\"}" },
	{ "contains contains \"x\"", "contains contains \"x\"" },
	{ "has == 'x'", "has == \"x\"" },
	{ "all == 'x'", "all == \"x\"" },
	{ "global != 'x'", "global != \"x\"" },
	{ "not not in {'x'}", "not not in {\"x\"}" },
	{ "has(has)", "has(has)" },
	{ "has(in) && starts starts with 'x'", "(has(in) && starts starts with \"x\")" },
	/* labels */
	{ "0 == '1'", "0 == \"1\"" },
	{ "has(.a)", "has(.a)" },
	{ "has(/)", "has(/)" },
	{ "-x- == 'y'", "-x- == \"y\"" },
	{ "projectcalico.org/namespace == 'ns'", "projectcalico.org/namespace == \"ns\"" },
};

static void normal_forms(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct selector *s, *back;
		struct err e = { 0 };
		char *text, *again;

		if (selector_parse(forms[i].text, &s, &e) < 0)
			fail_msg("%s: %s", forms[i].text, e.msg);
		text = selector_text(s);
		assert_string_equal(text, forms[i].normal);
		assert_int_equal(selector_parse(text, &back, &e), 0);
		again = selector_text(back);
		assert_string_equal(again, text);
		free(text);
		free(again);
		selector_free(s);
		selector_free(back);
	}
}

static const struct {
	const char *text;
	unsigned column; /* 0: the message names none */
	const char *must;
} refused[] = {
	{ "a = 'b'", 3, "==, !=" },
	{ "has(a) & has(b)", 8, "'&&', '||' or the end" },
	{ "has(a) | has(b)", 8, "'&&', '||' or the end" },
	{ "has(a) &&", 10, "a label" },
	{ "has(a) && && has(b)", 11, "a label" },
	{ "|| has(a)", 1, "a label" },
	{ "a", 2, "==, !=" },
	{ "a && has(b)", 3, "==, !=" },
	{ "a == b", 6, "quoted" },
	{ "'a' == 'b'", 1, "a label" },
	{ "a == 'b", 6, "ends with '" },
	{ "a == \"b'", 6, "ends with \"" },
	{ "a in {'b", 7, "ends with '" },
	{ "(has(a)", 8, "')'" },
	{ "has(a))", 7, "'&&', '||' or the end" },
	{ "((has(a))", 10, "')'" },
	{ "()", 2, "a label" },
	{ "has()", 5, "a label" },
	{ "has('a')", 5, "a label" },
	{ "has(a", 6, "')'" },
	{ "has (a)", 5, "==, !=" },
	{ "all ()", 5, "==, !=" },
	{ "all(a)", 5, "')'" },
	{ "has(a) has(b)", 8, "'&&', '||' or the end" },
	{ "a == 'b' 'c'", 10, "'&&', '||' or the end" },
	{ "a in {,}", 7, "quoted" },
	{ "a in {'b' 'c'}", 11, "',' or '}'" },
	{ "a in {'b',,}", 11, "quoted" },
	{ "a in {b}", 7, "quoted" },
	{ "a in 'b'", 6, "a set" },
	{ "a notin\"x\"", 8, "a set" },
	{ "a not {'b'}", 3, "==, !=" },
	{ "a inx {'b'}", 3, "==, !=" },
	{ "a in-x {'b'}", 3, "==, !=" },
	{ "a containsx 'b'", 3, "==, !=" },
	{ "a starts 'b'", 3, "==, !=" },
	{ "a IN {'b'}", 3, "==, !=" },
	{ "a == 'b'\n", 9, "'&&', '||' or the end" },
	{ "\na == 'b'", 1, "a label" },
	{ "a ==\n'b'", 5, "quoted" },
	{ "!", 2, "a label" },
	{ "has(a) !has(b)", 8, "'&&', '||' or the end" },
	{ "a !", 3, "==, !=" },
	{ "a$b == 'c'", 2, "==, !=" },
	{ "\xc3\xa4 == 'c'", 1, "a label" },
	{ "a == 'b' && (has(c) || )", 24, "a label" },
};

static void refused_with_column(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct selector *s = NULL;
		struct err e = { 0 };
		char column[32];

		if (selector_parse(refused[i].text, &s, &e) != -EINVAL)
			fail_msg("'%s' was accepted", refused[i].text);
		assert_null(s);
		snprintf(column, sizeof(column), "column %u", refused[i].column);
		if (!strstr(e.msg, column) || !strstr(e.msg, refused[i].must))
			fail_msg("'%s': \"%s\" says not \"%s\" and \"%s\"", refused[i].text, e.msg,
				 column, refused[i].must);
		assert_null(strchr(e.msg, '\n'));
	}
}

/* n times piece, between head and tail. */
static char *repeat(const char *head, const char *piece, size_t n, const char *tail)
{
	size_t h = strlen(head), p = strlen(piece), t = strlen(tail);
	char *s = xmalloc(h + n * p + t + 1);

	memcpy(s, head, h);
	for (size_t i = 0; i < n; i++)
		memcpy(s + h + i * p, piece, p);
	memcpy(s + h + n * p, tail, t + 1);
	return s;
}

static int parse_repeated(const char *head, const char *piece, size_t n, const char *tail,
			  const char *tail2, size_t n2)
{
	char *end = repeat(tail, tail2, n2, ""), *text = repeat(head, piece, n, end);
	struct selector *s = NULL;
	struct err e = { 0 };
	int rc = selector_parse(text, &s, &e);

	assert_true(rc == 0 || (!s && e.msg[0]));
	selector_free(s);
	free(text);
	free(end);
	return rc;
}

static void bounds(void **state)
{
	assert_int_equal(parse_repeated("has(", "a", 512, "", ")", 1), 0);
	assert_int_equal(parse_repeated("has(", "a", 513, "", ")", 1), -EINVAL);
	assert_int_equal(parse_repeated("", "(", 64, "has(a)", ")", 64), 0);
	assert_int_equal(parse_repeated("", "(", 65, "has(a)", ")", 65), -EINVAL);
	assert_int_equal(parse_repeated("", "(", 16000, "", "", 0), -EINVAL);
	assert_int_equal(parse_repeated("", "!(", 8000, "", "", 0), -EINVAL);
	assert_int_equal(parse_repeated("", "!", 16000, "has(a)", "", 0), 0);
	/* Two levels in each pair of parentheses: the normal form has twice as many. */
	assert_int_equal(parse_repeated("", "has(b) || has(c) && (", 31, "has(a)", ")", 31), 0);
	assert_int_equal(parse_repeated("", "has(b) || has(c) && (", 33, "has(a)", ")", 33),
			 -EINVAL);
	assert_int_equal(parse_repeated("has(a)", " && has(a)", 6500, "", "", 0), 0);
	assert_int_equal(parse_repeated("has(a)", " && has(a)", 6600, "", "", 0), -EINVAL);
}

/* Labels of the one who is asked: x=v, empty="", y=w1. */
static const struct {
	const char *text;
	bool want;
} matches[] = {
	{ "", true },
	{ "all()", true },
	{ "global()", true },
	{ "!all()", false },
	{ "x == 'v'", true },
	{ "x == 'V'", false },
	{ "x == 'vv'", false },
	{ "x == ''", false },
	{ "empty == ''", true },
	{ "none == ''", false },
	{ "x != 'v'", false },
	{ "x != 'w'", true },
	{ "none != 'v'", true },
	{ "!none == 'v'", true },
	{ "!x == 'v'", false },
	{ "x in {'a', 'v'}", true },
	{ "x in {'a', 'b'}", false },
	{ "none in {'a', 'v'}", false },
	{ "x in {}", false },
	{ "none in {}", false },
	{ "x not in {'a', 'v'}", false },
	{ "x not in {'a', 'b'}", true },
	{ "none not in {'a'}", true },
	{ "x not in {}", true },
	{ "none not in {}", true },
	{ "empty in {''}", true },
	{ "none in {''}", false },
	{ "y contains '1'", true },
	{ "y contains 'w1'", true },
	{ "y contains 'w12'", false },
	{ "y contains ''", true },
	{ "empty contains ''", true },
	{ "none contains ''", false },
	{ "y starts with 'w'", true },
	{ "y starts with '1'", false },
	{ "y starts with ''", true },
	{ "none starts with ''", false },
	{ "y ends with '1'", true },
	{ "y ends with 'w1'", true },
	{ "y ends with 'w'", false },
	{ "y ends with 'ww1'", false },
	{ "none ends with ''", false },
	{ "has(x)", true },
	{ "has(empty)", true },
	{ "has(none)", false },
	{ "has(X)", false },
	{ "!has(none)", true },
	{ "has(x) && has(y)", true },
	{ "has(x) && has(none)", false },
	{ "has(none) || has(y)", true },
	{ "has(none) || has(gone)", false },
	{ "has(none) && has(gone) || has(x)", true },
	{ "has(none) && (has(gone) || has(x))", false },
	{ "!(has(x) && has(none))", true },
	{ "!(has(x) || has(none))", false },
	{ "!has(x) || x == 'v' && y != 'w'", true },
};

static const char *label_of(void *arg, const char *key)
{
	++*(unsigned *)arg;
	return !strcmp(key, "x")       ? "v"
	       : !strcmp(key, "empty") ? ""
	       : !strcmp(key, "y")     ? "w1"
				       : NULL;
}

static void evaluation(void **state)
{
	json_t *labels =
		json_pack("{s:s, s:s, s:s, s:i}", "x", "v", "empty", "", "y", "w1", "n", 1);
	unsigned asked = 0;

	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		struct selector *s;
		struct err e = { 0 };

		assert_int_equal(selector_parse(matches[i].text, &s, &e), 0);
		if (selector_match(s, label_of, &asked) != matches[i].want ||
		    selector_match_json(s, labels) != matches[i].want)
			fail_msg("%s: %s", matches[i].text,
				 matches[i].want ? "must match" : "must not match");
		selector_free(s);
	}
	assert_true(asked > 0);
	json_decref(labels);
}

static void no_labels_at_all(void **state)
{
	struct selector *s;
	struct err e;

	assert_int_equal(selector_parse("!has(a) && a != 'b'", &s, &e), 0);
	assert_true(selector_match_json(s, NULL));
	selector_free(s);
	selector_free(NULL);
	assert_int_equal(selector_parse("a", &s, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normal_forms),	    cmocka_unit_test(refused_with_column),
		cmocka_unit_test(bounds),	    cmocka_unit_test(evaluation),
		cmocka_unit_test(no_labels_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
