/* selector.c - every operator with and without the label, precedence, and what must not parse */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/selector.h"

/* The labels of every case: rack=a1, zone="", in=x, has=y */
static const char *label(const void *arg, const char *name)
{
	static const struct {
		const char *name, *value;
	} all[] = { { "rack", "a1" }, { "zone", "" }, { "in", "x" }, { "has", "y" },
		    { "k8s.io/os-x_y", "linux" }, { "1.", "2" } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i].value;
	return NULL;
}

static void matches(void **state)
{
	static const struct {
		const char *name, *text;
		bool want;
	} c[] = {
		{ "blank is all()", "", true },
		{ "blanks only", " \t ", true },
		{ "all()", "all()", true },
		{ "global() is all()", "global( )", true },
		{ "not all()", "!all()", false },
		{ "equal", "rack == 'a1'", true },
		{ "equal to something else", "rack == \"a\"", false },
		{ "equal, absent", "none == 'a'", false },
		{ "empty value equals empty string", "zone == ''", true },
		{ "absent is not the empty string", "none == ''", false },
		{ "different", "rack != 'b'", true },
		{ "not different", "rack != 'a1'", false },
		{ "different, absent", "none != 'a'", true },
		{ "has", "has(rack)", true },
		{ "has with an empty value", "has(zone)", true },
		{ "has, absent", "has(none)", false },
		{ "blanks inside has", "has( rack )", true },
		{ "in", "rack in {'b', 'a1'}", true },
		{ "not among", "rack in {'b'}", false },
		{ "in, absent", "none in {'b'}", false },
		{ "in the empty set", "rack in {}", false },
		{ "not in the empty set", "rack not in {}", true },
		{ "trailing comma", "rack in {'a1',}", true },
		{ "not in", "rack not in {'b'}", true },
		{ "not in, but is", "rack not in {'a1'}", false },
		{ "not in, absent", "none not in {'a1'}", true },
		{ "words without blank", "rack notin{'b'}", true },
		{ "contains", "rack contains '1'", true },
		{ "contains the empty string", "rack contains ''", true },
		{ "contains, absent", "none contains ''", false },
		{ "starts with", "rack starts with 'a'", true },
		{ "startswith", "rack startswith 'b'", false },
		{ "ends with", "rack ends with '1'", true },
		{ "ends with more than it has", "rack ends with 'xa1'", false },
		{ "and binds tighter than or", "has(rack) || has(none) && has(none)", true },
		{ "parentheses", "(has(rack) || has(none)) && has(none)", false },
		{ "not of a comparison", "!rack == 'b'", true },
		{ "not twice", "!!has(rack)", true },
		{ "not three times", "! ! !has(rack)", false },
		{ "not of a group", "!(has(rack) && has(none))", true },
		{ "double negation across a group", "!(!(has(rack)))", true },
		{ "a label called in", "in in {'x'}", true },
		{ "a label called has", "has == 'y'", true },
		{ "a label with every character", "k8s.io/os-x_y == 'linux'", true },
		{ "a label that begins with a digit", "1. == '2'", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct selector *s = NULL;
		struct err e = { 0 };

		if (selector_parse(c[i].text, &s, &e) < 0)
			fail_msg("%s: %s", c[i].name, e.msg);
		if (selector_match(s, label, NULL) != c[i].want)
			fail_msg("%s: %s", c[i].name, c[i].text);
		selector_free(s);
	}
}

static void refusals(void **state)
{
	static const struct {
		const char *text, *says;
	} c[] = {
		{ "rack = 'a'", "column 6: expected ==" },
		{ "rack", "found the end" },
		{ "rack ==", "expected a string" },
		{ "rack == a", "column 9: expected a string" },
		{ "'a' == rack", "column 1: expected a label" },
		{ "rack == 'a", "closing quote" },
		{ "rack == 'a' rack == 'b'", "column 13: expected &&, || or the end" },
		{ "rack == 'a' & rack == 'b'", "&&" },
		{ "(has(rack)", "expected \")\"" },
		{ "has(rack))", "&&, || or the end" },
		{ "has()", "a label" },
		{ "rack in 'a'", "a set" },
		{ "rack in {,}", "a string" },
		{ "rack in {'a'", "\",\" or \"}\"" },
		{ "rack in {'a' 'b'}", "\",\" or \"}\"" },
		{ "has(rack)\n", "&&, || or the end" },
		{ "has(rack) &&", "a label" },
		{ "all (", "expected ==" },
		{ "rack inx {'a'}", "expected ==" },
		{ "&&", "a label" },
		{ "!", "a label" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct selector *s = NULL;
		struct err e = { 0 };

		assert_true(selector_parse(c[i].text, &s, &e) < 0);
		assert_null(s);
		if (!strstr(e.msg, c[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", c[i].text, e.msg, c[i].says);
	}
}

/* Deep nesting and long text end in an error, not in the stack. */
static void bounds(void **state)
{
	struct selector *s = NULL;
	struct err e = { 0 };
	char text[SELECTOR_LEN_MAX + 2];

	memset(text, '(', 2000);
	text[2000] = '\0';
	assert_int_equal(selector_parse(text, &s, &e), -E2BIG);
	memset(text, '!', 2000);
	assert_true(selector_parse(text, &s, &e) < 0);
	memset(text, 'a', SELECTOR_LEN_MAX + 1);
	text[SELECTOR_LEN_MAX + 1] = '\0';
	assert_int_equal(selector_parse(text, &s, &e), -E2BIG);
	text[600] = '\0';
	assert_true(selector_parse(text, &s, &e) < 0);
	assert_non_null(strstr(e.msg, "at most 512"));
	assert_null(s);
}

static void labels_of_json(void **state)
{
	json_t *labels = json_pack("{s:s, s:i}", "a", "1", "n", 5);
	struct selector *s = NULL;

	assert_int_equal(selector_parse("a == '1' && !has(n)", &s, NULL), 0);
	assert_true(selector_match_json(s, labels));
	assert_false(selector_match_json(s, NULL));
	selector_free(s);
	json_decref(labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches),
		cmocka_unit_test(refusals),
		cmocka_unit_test(bounds),
		cmocka_unit_test(labels_of_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
