/* log.c - lines in both formats, whatever is in them, and the limit per source */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "agent/log.h"
#include "lib/str.h"

static const char *line(enum log_format format, const struct log_head *head, const char *fields,
			...) PRINTF(3, 4);
static const char *line(enum log_format format, const struct log_head *head, const char *fields,
			...)
{
	static char buf[4096];
	struct str s = { 0 };
	va_list ap;

	va_start(ap, fields);
	log_line(&s, format, head, fields, ap);
	va_end(ap);
	str_copy(buf, sizeof(buf), str_text(&s));
	str_done(&s);
	return buf;
}

static const struct log_head warn = { .level = LOG_LEVEL_WARN, .mod = "bgp", .msg = "it is so" };

static void logfmt(void **state)
{
	const struct log_head full = { .time = "2026-01-02T03:04:05.006Z",
				       .level = LOG_LEVEL_ERROR,
				       .mod = "m",
				       .msg = "x",
				       .suppressed = 7 };

	assert_string_equal(line(LOG_FORMAT_LOGFMT, &warn, " "),
			    "level=warn mod=bgp msg=\"it is so\"");
	assert_string_equal(line(LOG_FORMAT_LOGFMT, &warn, " a=%s b=%s c=%s", "1", "two words", ""),
			    "level=warn mod=bgp a=1 b=\"two words\" c=\"\" msg=\"it is so\"");
	assert_string_equal(line(LOG_FORMAT_LOGFMT, &warn, " a=%s", "x=\"\\\n\t"),
			    "level=warn mod=bgp a=\"x=\\\"\\\\\\n\\u0009\" msg=\"it is so\"");
	assert_string_equal(line(LOG_FORMAT_LOGFMT, &warn,
				 " a=%d b=%u c=%ld d=%lu e=%lld f=%llu g=%zu", -1, 2u, -3l, 4ul,
				 -5ll, 6ull, (size_t)7),
			    "level=warn mod=bgp a=-1 b=2 c=-3 d=4 e=-5 f=6 g=7 msg=\"it is so\"");
	assert_string_equal(
		line(LOG_FORMAT_LOGFMT, &full, " "),
		"time=2026-01-02T03:04:05.006Z level=error mod=m suppressed=7 msg=\"x\"");
}

static void json(void **state)
{
	const struct log_head full = {
		.time = "t", .level = LOG_LEVEL_DEBUG, .mod = "m", .msg = "\"x\"", .suppressed = 7
	};

	assert_string_equal(
		line(LOG_FORMAT_JSON, &full, " a=%s n=%d", "v", -3),
		"{\"time\":\"t\",\"level\":\"debug\",\"mod\":\"m\",\"a\":\"v\",\"n\":-3,"
		"\"suppressed\":7,\"msg\":\"\\\"x\\\"\"}");
}

/* Any bytes of a peer's give one line that a JSON parser takes. */
static void hostile_values(void **state)
{
	char bytes[256];

	for (unsigned round = 0; round < 256; round++) {
		for (unsigned i = 0; i < 255; i++)
			bytes[i] = (char)(1 + (i * 7 + round * 13) % 255);
		bytes[255] = '\0';
		const char *s = line(LOG_FORMAT_JSON, &warn, " a=%s", bytes);
		json_t *v = json_loads(s, 0, NULL);

		assert_non_null(v);
		json_decref(v);
		assert_null(strchr(s, '\n'));
		assert_null(strchr(line(LOG_FORMAT_LOGFMT, &warn, " a=%s", bytes), '\n'));
	}
}

static void long_values_are_cut(void **state)
{
	char big[2000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_in_range(strlen(line(LOG_FORMAT_LOGFMT, &warn, " a=%s", big)), LOG_VALUE_MAX,
			LOG_VALUE_MAX + 100);
	assert_non_null(strstr(line(LOG_FORMAT_LOGFMT, &warn, " a=%s", big), "...\""));
}

static void a_source_is_limited(void **state)
{
	unsigned left_out = 99;

	for (unsigned i = 0; i < LOG_BURST; i++)
		assert_true(log_pass("10.0.0.1", 1000, &left_out));
	assert_int_equal(left_out, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_false(log_pass("10.0.0.1", 1500, &left_out));
	assert_true(log_pass("10.0.0.2", 1500, &left_out)); /* another one is not concerned */
	assert_true(log_pass("10.0.0.1", 2001, &left_out));
	assert_int_equal(left_out, 5);
	assert_false(log_pass("10.0.0.1", 2002, &left_out));
	/* After a pause the whole burst is back, and not more. */
	for (unsigned i = 0; i < LOG_BURST; i++)
		assert_true(log_pass("10.0.0.1", 1000000, &left_out));
	assert_false(log_pass("10.0.0.1", 1000000, &left_out));
}

static void many_sources_are_forgotten_in_turn(void **state)
{
	unsigned left_out;
	char name[32];

	for (unsigned i = 0; i < 10 * LOG_SOURCES_MAX; i++) {
		snprintf(name, sizeof(name), "source-%u", i);
		assert_true(log_pass(name, 2000000 + i, &left_out));
	}
}

static void levels(void **state)
{
	enum log_level l = LOG_LEVEL_ERROR;

	assert_true(log_level_parse("WARNING", &l));
	assert_int_equal(l, LOG_LEVEL_WARN);
	assert_true(log_level_parse("debug", &l));
	assert_int_equal(l, LOG_LEVEL_DEBUG);
	assert_false(log_level_parse("loud", &l));
	assert_int_equal(l, LOG_LEVEL_DEBUG);
}

static void some_modules_have_their_own(void **state)
{
	static const char *const mods[] = { "bgp", "fib", NULL };

	log_set_level(LOG_LEVEL_INFO);
	log_set_level_of(mods, LOG_LEVEL_DEBUG);
	assert_true(log_wants("bgp", LOG_LEVEL_DEBUG) && log_wants("fib", LOG_LEVEL_DEBUG));
	assert_true(log_wants("cni", LOG_LEVEL_INFO) && !log_wants("cni", LOG_LEVEL_DEBUG));
	log_set_level_of(mods, LOG_LEVEL_WARN);
	assert_true(!log_wants("bgp", LOG_LEVEL_INFO) && log_wants("bgp", LOG_LEVEL_WARN));
	assert_true(log_wants("cni", LOG_LEVEL_INFO));
	/* one for all */
	log_set_level(LOG_LEVEL_DEBUG);
	assert_true(log_wants("bgp", LOG_LEVEL_DEBUG) && log_wants("cni", LOG_LEVEL_DEBUG));
	log_set_level_of(mods, LOG_LEVEL_ERROR);
	log_set_level_of(NULL, LOG_LEVEL_ERROR);
	assert_true(log_wants("bgp", LOG_LEVEL_DEBUG));
	log_set_level(LOG_LEVEL_INFO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(logfmt),
		cmocka_unit_test(json),
		cmocka_unit_test(hostile_values),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(a_source_is_limited),
		cmocka_unit_test(many_sources_are_forgotten_in_turn),
		cmocka_unit_test(levels),
		cmocka_unit_test(some_modules_have_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
