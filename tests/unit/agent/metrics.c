/* metrics.c - the text that Prometheus reads: grouped, escaped, bounded */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/metrics.h"

static char *scrape(metrics_fn *fn, void *arg)
{
	struct metrics *m = metrics_new();
	struct str out = { 0 };

	metrics_source(m, fn, arg);
	metrics_scrape(m, &out);
	metrics_free(m);
	return str_take(&out);
}

#define NOTHING_DROPPED                                                                       \
	"# HELP margay_metrics_dropped_series Series of this scrape that were left out: too " \
	"many, or not well-formed.\n# TYPE margay_metrics_dropped_series gauge\n"             \
	"margay_metrics_dropped_series 0\n"

static void add_mixed(void *arg, struct metrics *m)
{
	metrics_add(m, "z_total", "Last.", METRIC_COUNTER, METRIC_LABELS({ "a", "1" }), 5);
	metrics_add(m, "b", "Between.", METRIC_GAUGE, NULL, -1.5);
	metrics_add(m, "z_total", "Last.", METRIC_COUNTER,
		    METRIC_LABELS({ "a", "2" }, { "b", NULL }), 18446744073709551615.0);
}

static void families_stand_together(void **state)
{
	CLEANUP(freep) char *text = scrape(add_mixed, NULL);

	assert_string_equal(text, "# HELP b Between.\n# TYPE b gauge\nb -1.5\n" NOTHING_DROPPED
				  "# HELP z_total Last.\n# TYPE z_total counter\n"
				  "z_total{a=\"1\"} 5\n"
				  "z_total{a=\"2\",b=\"\"} 1.8446744073709552e+19\n");
}

static void add_value(void *arg, struct metrics *m)
{
	metrics_add(m, "x", "A \\ and\na line.", METRIC_GAUGE, METRIC_LABELS({ "l", arg }), 1);
}

static void labels_are_escaped(void **state)
{
	static const struct {
		const char *value, *written;
	} rows[] = {
		{ "plain", "plain" },		{ "q\"q", "q\\\"q" },
		{ "b\\b", "b\\\\b" },		{ "n\nn", "n\\nn" },
		{ "\x01\x7f", "??" },		{ "\xff\xc3\xa4", "???" },
		{ "}{,=# HELP", "}{,=# HELP" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *value = xstrdup(rows[i].value);
		CLEANUP(freep) char *text = scrape(add_value, value);
		CLEANUP(freep) char *want = xasprintf("\nx{l=\"%s\"} 1\n", rows[i].written);

		assert_non_null(strstr(text, want));
		assert_non_null(strstr(text, "# HELP x A \\\\ and\\na line.\n"));
	}
}

static void add_numbers(void *arg, struct metrics *m)
{
	static const double values[] = { 0, 1, 1e15, 123456789012345.0, 0.1, 1.0 / 3, -2 };
	char label[8];

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		snprintf(label, sizeof(label), "%zu", i);
		metrics_add(m, "n", "N.", METRIC_GAUGE, METRIC_LABELS({ "i", label }), values[i]);
	}
	metrics_add(m, "n", "N.", METRIC_GAUGE, METRIC_LABELS({ "i", "nan" }), (double)NAN);
	metrics_add(m, "n", "N.", METRIC_GAUGE, METRIC_LABELS({ "i", "inf" }), -(double)INFINITY);
}

static void numbers_are_exact(void **state)
{
	CLEANUP(freep) char *text = scrape(add_numbers, NULL);
	static const char *const lines[] = {
		"n{i=\"0\"} 0\n",      "n{i=\"1\"} 1\n",
		"n{i=\"2\"} 1e+15\n",  "n{i=\"3\"} 123456789012345\n",
		"n{i=\"4\"} 0.1\n",    "n{i=\"5\"} 0.33333333333333331\n",
		"n{i=\"6\"} -2\n",     "n{i=\"nan\"} NaN\n",
		"n{i=\"inf\"} -Inf\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (!strstr(text, lines[i]))
			fail_msg("%s is not in\n%s", lines[i], text);
}

static const double bounds[] = { 0.001, 0.01, 0.1 };

static void add_histogram(void *arg, struct metrics *m)
{
	metrics_add_histogram(m, "h_seconds", "H.", METRIC_LABELS({ "k", "v" }), arg);
}

static void histograms_add_up(void **state)
{
	struct metric_histogram h = { .bound = bounds, .n = ARRAY_SIZE(bounds) };
	static const double seen[] = { 0.0005, 0.001, 0.0011, 0.05, 7 };
	CLEANUP(freep) char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		metric_observe(&h, seen[i]);
	text = scrape(add_histogram, &h);
	assert_string_equal(text, "# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
				  "h_seconds_bucket{k=\"v\",le=\"0.001\"} 2\n"
				  "h_seconds_bucket{k=\"v\",le=\"0.01\"} 3\n"
				  "h_seconds_bucket{k=\"v\",le=\"0.1\"} 4\n"
				  "h_seconds_bucket{k=\"v\",le=\"+Inf\"} 5\n"
				  "h_seconds_sum{k=\"v\"} 7.0526\n"
				  "h_seconds_count{k=\"v\"} 5\n" NOTHING_DROPPED);
}

static void add_wrong(void *arg, struct metrics *m)
{
	static const struct metric_label many[METRIC_LABELS_MAX + 2] = {
		{ "a", "" }, { "b", "" }, { "c", "" }, { "d", "" }, { "e", "" },
		{ "f", "" }, { "g", "" }, { "h", "" }, { "i", "" },
	};

	metrics_add(m, "", "No name.", METRIC_GAUGE, NULL, 1);
	metrics_add(m, "9x", "A digit.", METRIC_GAUGE, NULL, 1);
	metrics_add(m, "a b", "A blank.", METRIC_GAUGE, NULL, 1);
	metrics_add(m, "l", "A label.", METRIC_GAUGE, METRIC_LABELS({ "a-b", "" }), 1);
	metrics_add(m, "l", "A label.", METRIC_GAUGE, METRIC_LABELS({ "__a", "" }), 1);
	metrics_add(m, "l", "A label.", METRIC_GAUGE, METRIC_LABELS({ "le", "1" }), 1);
	metrics_add(m, "l", "Many labels.", METRIC_GAUGE, many, 1);
	metrics_add(m, "twice", "A type.", METRIC_GAUGE, NULL, 1);
	metrics_add(m, "twice", "Another type.", METRIC_COUNTER, NULL, 2);
}

static void what_cannot_be_is_counted(void **state)
{
	CLEANUP(freep) char *text = scrape(add_wrong, NULL);

	assert_non_null(strstr(text, "\nmargay_metrics_dropped_series 8\n"));
	assert_non_null(strstr(text, "\ntwice 1\n"));
	assert_null(strstr(text, "twice 2"));
	assert_null(strstr(text, "# HELP l "));
}

static void add_too_many(void *arg, struct metrics *m)
{
	char label[16];

	for (int i = 0; i < METRICS_SERIES_MAX + 5; i++) {
		snprintf(label, sizeof(label), "%d", i);
		metrics_add(m, "many", "Many.", METRIC_GAUGE, METRIC_LABELS({ "i", label }), i);
	}
}

static void series_are_bounded(void **state)
{
	CLEANUP(freep) char *text = scrape(add_too_many, NULL);
	size_t lines = 0;

	for (const char *p = text; (p = strstr(p, "\nmany{")); p++)
		lines++;
	assert_int_equal(lines, METRICS_SERIES_MAX);
	assert_non_null(strstr(text, "\nmargay_metrics_dropped_series 5\n"));
}

static void a_scrape_forgets_the_last(void **state)
{
	struct metrics *m = metrics_new();
	struct str one = { 0 }, two = { 0 };

	metrics_source(m, add_mixed, NULL);
	metrics_scrape(m, &one);
	metrics_scrape(m, &two);
	assert_string_equal(str_text(&one), str_text(&two));
	metrics_source(NULL, add_mixed, NULL);
	str_done(&one);
	str_done(&two);
	metrics_free(m);
	metrics_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_stand_together),   cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(numbers_are_exact),	     cmocka_unit_test(histograms_add_up),
		cmocka_unit_test(what_cannot_be_is_counted), cmocka_unit_test(series_are_bounded),
		cmocka_unit_test(a_scrape_forgets_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
