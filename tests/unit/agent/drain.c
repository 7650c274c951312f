/* drain.c - how far a drain is, over pauses, restarts and clocks that jump */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "agent/bgp/drain.h"
#include "agent/clock.h"
#include "lib/base.h"

static int64_t wall_now;
static unsigned changes;

int64_t clock_wall_ns(void)
{
	return wall_now * 1000000;
}

static void changed(void *arg)
{
	(void)arg;
	changes++;
}

static void phases(void **state)
{
	struct drain_state s = { .phase = DRAIN_ANNOUNCED, .since_ms = 100000, .pause_s = 10 };

	(void)state;
	assert_false(drain_step(&s, 109999));
	assert_int_equal(drain_deadline(&s), 110000);
	assert_true(drain_step(&s, 110000));
	assert_int_equal(s.phase, DRAIN_WITHDRAWN);
	assert_int_equal(s.since_ms, 110000);
	assert_false(drain_step(&s, 119999));
	assert_true(drain_step(&s, 120000));
	assert_int_equal(s.phase, DRAIN_STOPPED);
	assert_int_equal(drain_deadline(&s), INT64_MAX);
	assert_false(drain_step(&s, 999999999));
	/* away for long: all at once */
	s = (struct drain_state) { .phase = DRAIN_ANNOUNCED, .since_ms = 5, .pause_s = 3600 };
	assert_true(drain_step(&s, 1000000000));
	assert_int_equal(s.phase, DRAIN_STOPPED);
	/* no pause */
	s = (struct drain_state) { .phase = DRAIN_ANNOUNCED, .since_ms = 5 };
	assert_true(drain_step(&s, 5));
	assert_int_equal(s.phase, DRAIN_STOPPED);
	s = (struct drain_state) { 0 };
	assert_false(drain_step(&s, 1000000000));
}

static void a_clock_put_back_does_not_wait_for_ever(void **state)
{
	struct drain_state s = { .phase = DRAIN_ANNOUNCED, .since_ms = 1000000000, .pause_s = 10 };

	(void)state;
	assert_false(drain_step(&s, 5000));
	assert_int_equal(drain_deadline(&s), 15000);
}

static void as_a_file(void **state)
{
	static const struct drain_state rows[] = {
		{ .phase = DRAIN_ANNOUNCED, .since_ms = 1, .pause_s = 0 },
		{ .phase = DRAIN_WITHDRAWN,
		  .since_ms = 1790000000000,
		  .pause_s = 3600,
		  .text = "new \"disk\"" },
		{ .phase = DRAIN_STOPPED, .since_ms = 1790000000000, .pause_s = 10 },
	};
	static const char *const bad[] = {
		"",
		"x",
		"{}",
		"[]",
		"{\"phase\":\"asleep\"}",
		"{\"phase\":3}",
		"{\"phase\":\"stopped\",\"pauseSeconds\":3601}",
		"{\"phase\":\"stopped\",\"sinceMs\":-1}",
		"{\"phase\":\"stopped\",\"text\":7}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = drain_encode(&rows[i]);
		struct drain_state s = { 0 };

		assert_int_equal(drain_decode(text, &s, NULL), 0);
		assert_int_equal(s.phase, rows[i].phase);
		assert_int_equal(s.since_ms, rows[i].since_ms);
		assert_int_equal(s.pause_s, rows[i].pause_s);
		assert_string_equal(s.text, rows[i].text);
		free(text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drain_state s = { .pause_s = 77 };
		struct err e = { 0 };

		assert_true(drain_decode(bad[i], &s, &e) < 0);
		assert_int_equal(s.pause_s, 77);
		assert_true(e.msg[0] != '\0');
	}
}

static void survives_a_restart(void **state)
{
	char dir[] = "/tmp/margay-drain-XXXXXX";
	struct event_base *base = event_base_new();
	struct drain *d;
	struct err e = { 0 };
	char *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	wall_now = 1790000000000;
	changes = 0;
	d = drain_new(base, dir, changed, NULL);
	assert_int_equal(drain_phase(d), DRAIN_NONE);
	assert_int_equal(drain_begin(d, 10, "new disk", &e), 0);
	assert_int_equal(drain_phase(d), DRAIN_ANNOUNCED);
	assert_int_equal(changes, 1);
	/* again, with another pause: it does not begin anew */
	wall_now += 4000;
	assert_int_equal(drain_begin(d, 20, "", &e), 0);
	assert_int_equal(changes, 1);
	assert_string_equal(drain_text(d), "new disk");
	drain_free(d);
	wall_now += 15999;
	d = drain_new(base, dir, changed, NULL);
	assert_int_equal(drain_phase(d), DRAIN_ANNOUNCED);
	drain_free(d);
	wall_now += 1;
	d = drain_new(base, dir, changed, NULL);
	assert_int_equal(drain_phase(d), DRAIN_WITHDRAWN);
	assert_string_equal(drain_text(d), "new disk");
	assert_int_equal(drain_end(d, &e), 0);
	assert_int_equal(drain_phase(d), DRAIN_NONE);
	drain_free(d);
	d = drain_new(base, dir, changed, NULL);
	assert_int_equal(drain_phase(d), DRAIN_NONE);
	drain_free(d);
	/* a file that is none: said in the log, the node works */
	file = xasprintf("%s/drain", dir);
	fclose(fopen(file, "w"));
	d = drain_new(base, dir, changed, NULL);
	assert_int_equal(drain_phase(d), DRAIN_NONE);
	drain_free(d);
	unlink(file);
	/* what cannot be remembered is not begun */
	assert_int_equal(rmdir(dir), 0);
	d = drain_new(base, dir, changed, NULL);
	assert_true(drain_begin(d, 10, "", &e) < 0);
	assert_non_null(strstr(e.msg, dir));
	assert_int_equal(drain_phase(d), DRAIN_NONE);
	drain_free(d);
	free(file);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases),
		cmocka_unit_test(a_clock_put_back_does_not_wait_for_ever),
		cmocka_unit_test(as_a_file),
		cmocka_unit_test(survives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
