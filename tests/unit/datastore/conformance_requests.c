/* conformance_requests.c - what every datastore must answer */
#include "conformance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

static void create_only_once(void **state)
{
	struct box *b = *state;
	int64_t first = must(b, store_create(key_of(b, "a"), "1"), STORE_OK);

	assert_true(first > 0);
	must(b, store_create(key_of(b, "a"), "2"), STORE_EXISTS);
	assert_string_equal(value_of(b, key_of(b, "a")), "1");
}

static void update_by_revision(void **state)
{
	struct box *b = *state;
	int64_t r1 = must(b, store_create(key_of(b, "a"), "1"), STORE_OK);
	int64_t r2 = must(b, store_update(key_of(b, "a"), "2", r1), STORE_OK);

	assert_true(r2 > r1);
	must(b, store_update(key_of(b, "a"), "3", r1), STORE_CONFLICT);
	assert_string_equal(value_of(b, key_of(b, "a")), "2");
	must(b, store_update(key_of(b, "a"), "4", r2), STORE_OK);
	must(b, store_update(key_of(b, "missing"), "5", r2), STORE_NOT_FOUND);
	assert_string_equal(value_of(b, key_of(b, "missing")), "");
}

static void update_whatever_it_is_at(void **state)
{
	struct box *b = *state;

	must(b, store_update(key_of(b, "a"), "1", 0), STORE_OK);
	must(b, store_update(key_of(b, "a"), "2", 0), STORE_OK);
	assert_string_equal(value_of(b, key_of(b, "a")), "2");
}

static void delete_by_revision(void **state)
{
	struct box *b = *state;
	int64_t r1 = must(b, store_create(key_of(b, "a"), "1"), STORE_OK);
	int64_t r2 = must(b, store_update(key_of(b, "a"), "2", r1), STORE_OK);
	int64_t r3;

	must(b, store_delete(key_of(b, "a"), r1), STORE_CONFLICT);
	r3 = must(b, store_delete(key_of(b, "a"), r2), STORE_OK);
	assert_true(r3 > r2);
	must(b, store_delete(key_of(b, "a"), r2), STORE_NOT_FOUND);
	must(b, store_delete(key_of(b, "a"), 0), STORE_NOT_FOUND);
	must(b, store_create(key_of(b, "a"), "again"), STORE_OK);
	must(b, store_delete(key_of(b, "a"), 0), STORE_OK);
	must(b, store_get(key_of(b, "a")), STORE_NOT_FOUND);
	/* The revision of a former life does not come back. */
	must(b, store_create(key_of(b, "a"), "third"), STORE_OK);
	must(b, store_update(key_of(b, "a"), "no", r1), STORE_CONFLICT);
}

static void get_tells_two_revisions(void **state)
{
	struct box *b = *state;
	int64_t r1 = must(b, store_create(key_of(b, "a"), "1"), STORE_OK);
	int64_t r2 = must(b, store_create(key_of(b, "b"), "1"), STORE_OK);
	struct store_res res = ds_call(b->ds, store_get(key_of(b, "a")));

	assert_int_equal(res.status, STORE_OK);
	assert_int_equal(res.n, 1);
	assert_string_equal(res.kv[0].key, key_of(b, "a"));
	assert_string_equal(res.kv[0].value, "1");
	assert_int_equal(res.kv[0].rev, r1);
	assert_true(res.rev >= r2);
	store_res_done(&res);
	/* A watch can go on from "it is not there", too. */
	assert_true(must(b, store_get(key_of(b, "none")), STORE_NOT_FOUND) >= r2);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names that a pattern match, a collation or an off-by-one at the end of a range would get wrong.
 */
static const char *const odd_names[] = {
	"b",	 "b/c",	      "bc",	"b/",	"b/c/d",     "B",     "b%",    "b_",
	"bX",	 "b*",	      "b?",	"b[a]", "b-",	     "b'",    "b\"",   "b\\",
	"b\xff", "b\xff\xff", "b\xff-", "c",	"b\xc3\xa4", "b\x80", "b\x7f", "b ",
	"b\n",	 "%",	      "_",	"\xff", "a\xff",     "b%25",  "b;--",
};

static void list_is_by_prefix_and_sorted(void **state)
{
	struct box *b = *state;
	const char *sorted[ARRAY_SIZE(odd_names)];
	char prefix[80];

	memcpy(sorted, odd_names, sizeof(sorted));
	qsort(sorted, ARRAY_SIZE(sorted), sizeof(sorted[0]), by_bytes);
	for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++)
		must(b, store_create(key_of(b, odd_names[i]), odd_names[i]), STORE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++) {
		struct store_res res;
		size_t n = 0;

		snprintf(prefix, sizeof(prefix), "%s", key_of(b, odd_names[i]));
		res = ds_call(b->ds, store_list(prefix));
		assert_int_equal(res.status, STORE_OK);
		for (size_t k = 0; k < ARRAY_SIZE(sorted); k++) {
			if (!str_starts(sorted[k], odd_names[i]))
				continue;
			assert_true(n < res.n);
			assert_string_equal(res.kv[n].key, key_of(b, sorted[k]));
			assert_string_equal(res.kv[n].value, sorted[k]);
			assert_true(res.kv[n].rev > 0);
			n++;
		}
		assert_int_equal(res.n, n);
		store_res_done(&res);
	}
}

static void list_of_nothing_is_empty(void **state)
{
	struct box *b = *state;
	int64_t r = must(b, store_create(key_of(b, "x"), "1"), STORE_OK);
	struct store_res res = ds_call(b->ds, store_list(key_of(b, "nothing")));

	assert_int_equal(res.status, STORE_OK);
	assert_int_equal(res.n, 0);
	assert_true(res.rev >= r);
	store_res_done(&res);
}

static void list_of_all_has_ours(void **state)
{
	struct box *b = *state;
	struct store_res res;
	bool found = false;

	must(b, store_create(key_of(b, "x"), "1"), STORE_OK);
	res = ds_call(b->ds, store_list(""));
	assert_int_equal(res.status, STORE_OK);
	for (size_t i = 0; i < res.n; i++)
		found |= !strcmp(res.kv[i].key, key_of(b, "x"));
	assert_true(found);
	store_res_done(&res);
}

static char *text_of(size_t len)
{
	char *s = xmalloc(len + 1);

	for (size_t i = 0; i < len; i++)
		s[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	s[len] = '\0';
	return s;
}

static void big_values(void **state)
{
	struct box *b = *state;
	char *big CLEANUP(freep) = text_of(DS_VALUE_MAX);
	char *more CLEANUP(freep) = text_of(DS_VALUE_MAX + 1);
	struct store_res res;

	must(b, store_create(key_of(b, "big"), big), STORE_OK);
	must(b, store_create(key_of(b, "more"), more), STORE_ERROR);
	must(b, store_update(key_of(b, "big"), more, 0), STORE_ERROR);
	must(b, store_create(key_of(b, "empty"), ""), STORE_OK);
	res = ds_call(b->ds, store_get(key_of(b, "big")));
	assert_int_equal(res.n, 1);
	assert_string_equal(res.kv[0].value, big);
	store_res_done(&res);
	res = ds_call(b->ds, store_get(key_of(b, "empty")));
	assert_int_equal(res.n, 1);
	assert_string_equal(res.kv[0].value, "");
	store_res_done(&res);
}

static void limits_of_keys(void **state)
{
	struct box *b = *state;
	char *tail CLEANUP(freep) = text_of(DS_KEY_MAX - strlen(b->prefix) + 1);
	size_t len = strlen(tail);

	must(b, store_create("", "1"), STORE_ERROR);
	must(b, store_get(""), STORE_ERROR);
	must(b, store_create(key_of(b, tail), "1"), STORE_ERROR);
	tail[len - 1] = '\0';
	must(b, store_create(key_of(b, tail), "1"), STORE_OK);
	assert_string_equal(value_of(b, key_of(b, tail)), "1");
}

static void revisions_survive_reopening(void **state)
{
	struct box *b = *state;
	int64_t last = 0;

	for (int i = 0; i < 5; i++) {
		int64_t r = must(b, store_update(key_of(b, "a"), "1", 0), STORE_OK);

		assert_true(r > last);
		last = r;
		box_reopen(b, i % 2 ? DS_DURABLE : DS_CHECK);
	}
	must(b, store_update(key_of(b, "a"), "2", last), STORE_OK);
}

static void readonly_refuses_writes(void **state)
{
	struct box *b = *state;

	must(b, store_create(key_of(b, "a"), "1"), STORE_OK);
	box_reopen(b, DS_READONLY);
	assert_string_equal(value_of(b, key_of(b, "a")), "1");
	must(b, store_create(key_of(b, "b"), "1"), STORE_ERROR);
	must(b, store_delete(key_of(b, "a"), 0), STORE_ERROR);
	box_reopen(b, 0);
	assert_string_equal(value_of(b, key_of(b, "a")), "1");
	assert_string_equal(value_of(b, key_of(b, "b")), "");
}

struct order {
	struct box *b;
	int next;
	int64_t rev;
	bool in_submit;
	enum store_status status[16];
};

struct order_item {
	struct order *o;
	int i;
};

static void in_order(void *arg, struct store_res *res)
{
	struct order_item *it = arg;

	assert_false(it->o->in_submit);
	assert_int_equal(it->i, it->o->next++);
	assert_int_equal(res->status, it->o->status[it->i]);
	if (res->status == STORE_OK) {
		assert_true(res->rev >= it->o->rev);
		it->o->rev = res->rev;
	}
}

static bool all_ten(void *arg)
{
	return ((struct order *)arg)->next == 10;
}

static void answers_come_in_order_from_the_loop(void **state)
{
	struct box *b = *state;
	struct order o = { .b = b, .in_submit = true };
	struct order_item it[10];
	struct store_req req[10] = {
		store_create(key_of(b, "a"), "1"),
		store_create(key_of(b, "a"), "2"),
		store_get(key_of(b, "a")),
		store_get(""),
		store_get(key_of(b, "z")),
		store_update(key_of(b, "b"), "1", 0),
		store_create("", "1"),
		store_delete(key_of(b, "a"), 0),
		store_update(key_of(b, "a"), "3", 1),
		store_list(b->prefix),
	};

	o.status[1] = STORE_EXISTS;
	o.status[3] = o.status[6] = STORE_ERROR;
	o.status[4] = o.status[8] = STORE_NOT_FOUND;
	for (int i = 0; i < 10; i++) {
		it[i] = (struct order_item) { &o, i };
		ds_submit(b->ds, req[i], in_order, &it[i]);
	}
	o.in_submit = false;
	loop_until(b, all_ten, &o);
}

struct tally {
	struct ds *ds;
	int by_status[STORE_ERROR + 1];
	int n;
	int close_at; /* close the datastore inside this callback; 0: never */
	int more;     /* requests to submit from inside callbacks */
};

static void tally_cb(void *arg, struct store_res *res)
{
	struct tally *t = arg;

	t->by_status[res->status]++;
	t->n++;
	if (t->n == t->close_at)
		ds_close(t->ds);
	else if (t->more-- > 0)
		ds_submit(t->ds, store_get("/margay-test/none"), tally_cb, t);
}

static bool tally_full(void *arg)
{
	return ((struct tally *)arg)->n == 200;
}

/* Each against the one before it in the same turn: a batch must not mix them up. */
static void many_in_one_turn(void **state)
{
	struct box *b = *state;
	struct tally t = { .ds = b->ds };
	struct store_res res;
	char name[16];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "k%03d", i / 2);
		ds_submit(b->ds, store_create(key_of(b, name), "1"), tally_cb, &t);
	}
	assert_int_equal(t.n, 0);
	loop_until(b, tally_full, &t);
	assert_int_equal(t.by_status[STORE_OK], 100);
	assert_int_equal(t.by_status[STORE_EXISTS], 100);
	res = ds_call(b->ds, store_list(b->prefix));
	assert_int_equal(res.n, 100);
	for (size_t i = 1; i < res.n; i++)
		assert_true(res.kv[i].rev > res.kv[i - 1].rev);
	store_res_done(&res);
}

static void submit_inside_a_callback(void **state)
{
	struct box *b = *state;
	struct tally t = { .ds = b->ds, .more = 199 };

	ds_submit(b->ds, store_get(key_of(b, "a")), tally_cb, &t);
	loop_until(b, tally_full, &t);
	assert_int_equal(t.by_status[STORE_NOT_FOUND], 200);
}

/* Run until nothing is left to happen. */
static void loop_empty(struct box *b)
{
	while (event_base_loop(b->base, EVLOOP_NONBLOCK) == 0)
		;
}

static void close_inside_a_callback(void **state)
{
	struct box *b = *state;
	struct tally t = { .ds = b->ds, .close_at = 3 };

	for (int i = 0; i < 10; i++)
		ds_submit(b->ds, store_update(key_of(b, "a"), "1", 0), tally_cb, &t);
	ds_watch(b->ds, b->prefix, 0, NULL, NULL);
	loop_empty(b);
	assert_int_equal(t.n, 3);
	b->ds = NULL;
}

static void close_with_requests_waiting(void **state)
{
	struct box *b = *state;
	struct tally t = { .ds = b->ds };

	for (int i = 0; i < 10; i++)
		ds_submit(b->ds, store_update(key_of(b, "a"), "1", 0), tally_cb, &t);
	ds_close(b->ds);
	b->ds = NULL;
	loop_empty(b);
	assert_int_equal(t.n, 0);
	ds_close(NULL);
	ds_unwatch(NULL);
}

struct keep {
	struct box *b;
	struct store_res res;
	bool done;
};

static void keep_cb(void *arg, struct store_res *res)
{
	struct keep *k = arg;

	k->res = *res;
	*res = (struct store_res) { 0 };
	k->done = true;
}

static bool is_kept(void *arg)
{
	return ((struct keep *)arg)->done;
}

static void an_answer_can_be_kept(void **state)
{
	struct box *b = *state;
	struct keep k = { .b = b };

	must(b, store_create(key_of(b, "a"), "kept"), STORE_OK);
	ds_submit(b->ds, store_get(key_of(b, "a")), keep_cb, &k);
	loop_until(b, is_kept, &k);
	must(b, store_update(key_of(b, "a"), "other", 0), STORE_OK);
	assert_string_equal(k.res.kv[0].value, "kept");
	store_res_done(&k.res);
}

static void call_cb(void *arg, struct store_res *res)
{
	struct keep *k = arg;

	k->res = ds_call(k->b->ds, store_get(key_of(k->b, "a")));
	k->done = true;
}

static void quiet(int severity, const char *msg)
{
}

static void a_call_inside_a_callback_is_refused(void **state)
{
	struct box *b = *state;
	struct keep k = { .b = b };

	event_set_log_callback(quiet);
	ds_submit(b->ds, store_get(key_of(b, "a")), call_cb, &k);
	loop_until(b, is_kept, &k);
	event_set_log_callback(NULL);
	assert_int_equal(k.res.status, STORE_UNAVAILABLE);
	assert_string_not_equal(k.res.msg, "");
	assert_string_equal(value_of(b, key_of(b, "a")), "");
}

static void unknown_specs(void **state)
{
	struct box *b = *state;
	static const struct {
		const char *spec;
		int rc;
	} cases[] = {
		{ "", -EINVAL },	   { "sqlite", -EINVAL },    { "sqlite:", -EINVAL },
		{ "sqlit:/x", -EINVAL },   { "/tmp/x.db", -EINVAL }, { "etcd:", -EINVAL },
		{ "sqlite3:/x", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ds *ds = NULL;
		struct err e = { 0 };

		assert_int_equal(ds_open(&ds, b->base, cases[i].spec, DS_CREATE, &e), cases[i].rc);
		assert_null(ds);
		assert_non_null(strstr(e.msg, "sqlite:PATH"));
	}
}

int requests_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		T(create_only_once),
		T(update_by_revision),
		T(update_whatever_it_is_at),
		T(delete_by_revision),
		T(get_tells_two_revisions),
		T(list_is_by_prefix_and_sorted),
		T(list_of_nothing_is_empty),
		T(list_of_all_has_ours),
		T(big_values),
		T(limits_of_keys),
		T(revisions_survive_reopening),
		T(readonly_refuses_writes),
		T(answers_come_in_order_from_the_loop),
		T(many_in_one_turn),
		T(submit_inside_a_callback),
		T(close_inside_a_callback),
		T(close_with_requests_waiting),
		T(an_answer_can_be_kept),
		T(a_call_inside_a_callback_is_refused),
		T(unknown_specs),
	};

	return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
