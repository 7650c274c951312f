/* conformance_watch.c - what every datastore's watch must tell */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

static int64_t store_rev(struct box *b)
{
	return must(b, store_get(key_of(b, "no such key")), STORE_NOT_FOUND);
}

static void tells_changes_in_order(void **state)
{
	struct box *b = *state;
	int64_t from = store_rev(b), r[4];
	struct seen s;

	r[0] = must(b, store_create(key_of(b, "a"), "1"), STORE_OK);
	r[1] = must(b, store_update(key_of(b, "a"), "2", r[0]), STORE_OK);
	seen_watch(&s, b, b->prefix, from);
	loop_until(b, is_synced, &s);
	r[2] = must(b, store_delete(key_of(b, "a"), r[1]), STORE_OK);
	r[3] = must(b, store_create(key_of(b, "b"), "3"), STORE_OK);
	while (s.changes < 4)
		assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
	assert_int_equal(s.ev.n, 5);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(s.ev.p[i].type, DS_PUT);
		assert_int_equal(s.ev.p[i].rev, r[i]);
		assert_string_equal(s.ev.p[i].key, key_of(b, "a"));
	}
	assert_string_equal(s.ev.p[1].value, "2");
	assert_int_equal(s.ev.p[2].type, DS_SYNCED);
	assert_true(s.ev.p[2].rev >= r[1]);
	assert_int_equal(s.ev.p[3].type, DS_DELETE);
	assert_int_equal(s.ev.p[3].rev, r[2]);
	assert_string_equal(s.ev.p[3].key, key_of(b, "a"));
	assert_null(s.ev.p[3].value);
	assert_int_equal(s.ev.p[4].type, DS_PUT);
	assert_int_equal(s.ev.p[4].rev, r[3]);
	seen_done(&s);
}

static void tells_only_its_prefix(void **state)
{
	struct box *b = *state;
	int64_t from = store_rev(b);
	struct seen s;
	char prefix[128];

	snprintf(prefix, sizeof(prefix), "%s", key_of(b, "a/b"));
	seen_watch(&s, b, prefix, from);
	must(b, store_create(key_of(b, "a/b"), "1"), STORE_OK);
	must(b, store_create(key_of(b, "a/bc"), "1"), STORE_OK);
	must(b, store_create(key_of(b, "a/"), "1"), STORE_OK);
	must(b, store_create(key_of(b, "a/c"), "1"), STORE_OK);
	must(b, store_create(key_of(b, "A/B"), "1"), STORE_OK);
	must(b, store_create(key_of(b, "a/b/%"), "1"), STORE_OK);
	while (s.changes < 3)
		assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
	must(b, store_create(key_of(b, "z"), "1"), STORE_OK);
	assert_int_equal(s.changes, 3);
	seen_done(&s);
}

static void drop(struct store_res res)
{
	store_res_done(&res);
}

/* Some creates, updates and deletes that depend on seed only. */
static void history(struct box *b, int n, unsigned seed)
{
	for (int i = 0; i < n; i++) {
		char name[16], value[16];

		seed = seed * 1103515245 + 12345;
		snprintf(name, sizeof(name), "k%u", (seed >> 16) % 7);
		snprintf(value, sizeof(value), "%d", i);
		if ((seed >> 24) % 4)
			must(b, store_update(key_of(b, name), value, 0), STORE_OK);
		else
			drop(ds_call(b->ds, store_delete(key_of(b, name), 0)));
	}
}

static void from_every_revision_of_a_history(void **state)
{
	struct box *b = *state;
	int64_t from = store_rev(b), to;
	struct seen all;

	history(b, 60, 7);
	to = store_rev(b);
	seen_watch(&all, b, b->prefix, from);
	loop_until(b, is_synced, &all);
	assert_true(all.changes > 40);
	for (int64_t r = from; r <= to; r++) {
		struct seen part;

		seen_watch(&part, b, b->prefix, r);
		loop_until(b, is_synced, &part);
		assert_int_equal(part.synced, 1);
		assert_seen_suffix(&all, &part, r);
		seen_done(&part);
	}
	seen_done(&all);
}

enum { RACE_WRITES = 300 };

struct race {
	struct box *b;
	struct seen all;
	struct seen part[RACE_WRITES];
	int64_t from[RACE_WRITES];
	size_t n;
};

/* At each change that is told, one more watch begins just there. */
static void race_cb(void *arg, const struct ds_event *ev)
{
	struct race *r = arg;

	seen_cb(&r->all, ev);
	if ((ev->type == DS_PUT || ev->type == DS_DELETE) && r->n < RACE_WRITES) {
		r->from[r->n] = ev->kv.rev;
		seen_watch(&r->part[r->n], r->b, r->b->prefix, ev->kv.rev);
		r->n++;
	}
}

static bool race_over(void *arg)
{
	struct race *r = arg;

	if (r->all.changes < RACE_WRITES)
		return false;
	for (size_t i = 0; i < r->n; i++)
		if (r->part[i].changes + i + 1 < RACE_WRITES)
			return false;
	return true;
}

static void a_writer_races_the_watchers(void **state)
{
	struct race *r = xcalloc(1, sizeof(*r));
	struct ds_watch *w;
	pid_t pid;

	r->b = *state;
	w = ds_watch(r->b->ds, r->b->prefix, store_rev(r->b), race_cb, r);
	pid = child_start(NULL, "burst", r->b->prefix, "300");
	loop_until(r->b, race_over, r);
	child_wait(pid);
	for (size_t i = 0; i < r->n; i++) {
		assert_seen_suffix(&r->all, &r->part[i], r->from[i]);
		seen_done(&r->part[i]);
	}
	ds_unwatch(w);
	seen_done(&r->all);
	free(r);
}

static bool thousand(void *seen)
{
	return ((struct seen *)seen)->changes >= 1000;
}

static void another_process_is_heard(void **state)
{
	struct box *b = *state;
	struct seen s;
	pid_t pid;

	seen_watch(&s, b, b->prefix, store_rev(b));
	loop_until(b, is_synced, &s);
	pid = child_start(NULL, "burst", b->prefix, "1000");
	loop_until(b, thousand, &s);
	child_wait(pid);
	assert_int_equal(s.changes, 1000);
	assert_int_equal(s.synced, 1);
	for (size_t i = 2; i < s.ev.n; i++)
		assert_true(s.ev.p[i].rev > s.ev.p[i - 1].rev);
	seen_done(&s);
}

struct reopen {
	struct box *b;
	struct ds_watch *w[3];
	int told, close;
};

static void unwatch_all_cb(void *arg, const struct ds_event *ev)
{
	struct reopen *r = arg;

	r->told++;
	if (r->close)
		ds_close(r->b->ds);
	for (size_t i = 0; i < 3; i++)
		ds_unwatch(TAKE(r->w[i]));
}

static void unwatch_inside_a_callback(void **state)
{
	struct box *b = *state;
	struct reopen r = { .b = b };
	int64_t from = store_rev(b);
	struct seen s;

	history(b, 10, 3);
	for (size_t i = 0; i < 3; i++)
		r.w[i] = ds_watch(b->ds, b->prefix, from, unwatch_all_cb, &r);
	seen_watch(&s, b, b->prefix, from);
	loop_until(b, is_synced, &s);
	assert_int_equal(r.told, 1);
	assert_true(s.changes > 3);
	seen_done(&s);
}

static void close_inside_a_watch_callback(void **state)
{
	struct box *b = *state;
	struct reopen r = { .b = b, .close = 1 };
	int64_t from = store_rev(b);
	struct seen s;

	history(b, 10, 3);
	seen_watch(&s, b, b->prefix, from);
	for (size_t i = 0; i < 3; i++)
		r.w[i] = ds_watch(b->ds, b->prefix, from, unwatch_all_cb, &r);
	while (event_base_loop(b->base, EVLOOP_NONBLOCK) == 0)
		;
	assert_int_equal(r.told, 1);
	assert_int_equal(s.changes, 1);
	b->ds = NULL;
	s.w = NULL;
	seen_done(&s);
}

static bool is_gone(void *seen)
{
	return ((struct seen *)seen)->gone > 0;
}

/* Make the store forget its history up to rev. The embedded one does so by itself. */
static void compact(struct box *b, int64_t rev)
{
	const char *cmd = getenv("MARGAY_TEST_DS_COMPACT");
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)rev);
	if (cmd) {
		setenv("REV", text, 1);
		assert_int_equal(system(cmd), 0);
		return;
	}
	child_wait(child_start(NULL, "burst", key_of(b, "fill/"), "5000"));
}

static void compacted_history_is_gone(void **state)
{
	struct box *b = *state;
	int64_t from = store_rev(b), kept, last;
	struct seen early, live, late;
	char prefix[128];

	kept = must(b, store_create(key_of(b, "kept"), "still here"), STORE_OK);
	must(b, store_create(key_of(b, "gone"), "1"), STORE_OK);
	last = must(b, store_delete(key_of(b, "gone"), 0), STORE_OK);
	snprintf(prefix, sizeof(prefix), "%s", key_of(b, "kept"));
	seen_watch(&live, b, prefix, last);
	loop_until(b, is_synced, &live);
	compact(b, last);
	seen_watch(&early, b, b->prefix, from);
	loop_until(b, is_gone, &early);
	assert_int_equal(early.ev.n, 1);
	seen_watch(&late, b, prefix, store_rev(b));
	loop_until(b, is_synced, &late);

	/* What was not changed for long is still there, at its revision, and can be changed. */
	must(b, store_update(key_of(b, "kept"), "2", kept), STORE_OK);
	must(b, store_update(key_of(b, "kept"), "3", kept), STORE_CONFLICT);
	must(b, store_create(key_of(b, "gone"), "1"), STORE_OK);
	assert_string_equal(value_of(b, key_of(b, "kept")), "2");
	while (!late.changes)
		assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
	assert_int_equal(late.changes, 1);
	seen_done(&early);
	seen_done(&live);
	seen_done(&late);
}

static void a_revision_of_the_future_is_gone(void **state)
{
	struct box *b = *state;
	struct seen s;

	seen_watch(&s, b, b->prefix, store_rev(b) + 1000000);
	loop_until(b, is_gone, &s);
	seen_done(&s);
}

int watch_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		T(tells_changes_in_order),	     T(tells_only_its_prefix),
		T(from_every_revision_of_a_history), T(a_writer_races_the_watchers),
		T(another_process_is_heard),	     T(unwatch_inside_a_callback),
		T(close_inside_a_watch_callback),    T(compacted_history_is_gone),
		T(a_revision_of_the_future_is_gone),
	};

	return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
