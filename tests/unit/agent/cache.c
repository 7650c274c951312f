/* cache.c - the picture against the embedded store: what is told, when, and in which order */
#include "box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cache.h"
#include "agent/log.h"
#include "agent/scopes.h"
#include "lib/str.h"

/* What a subscriber was told, as text: "+key=value " "-key " "synced " */
struct heard {
	struct str text;
	unsigned n, synced;
};

static void on_change(void *arg, const struct store_kv *kv)
{
	struct heard *h = arg;

	h->n++;
	if (!kv) {
		h->synced++;
		str_add(&h->text, "synced ");
	} else if (kv->value) {
		str_addf(&h->text, "+%s=%s ", kv->key + strlen("/calico/"), kv->value);
	} else {
		str_addf(&h->text, "-%s ", kv->key + strlen("/calico/"));
	}
}

static void expect(struct heard *h, const char *want)
{
	assert_string_equal(str_text(&h->text), want);
	str_cut(&h->text, 0);
	h->n = 0;
}

static bool count_one(void *arg, const struct store_kv *kv)
{
	++*(unsigned *)arg;
	return true;
}

static unsigned count(const struct cache *c, const char *prefix)
{
	unsigned n = 0;

	cache_each(c, prefix, count_one, &n);
	return n;
}

static void first_picture_then_changes(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 }, elsewhere = { 0 };

	box_put(b, "/calico/a/1", "\"x\"");
	box_put(b, "/calico/a/2", "\"y\"");
	box_put(b, "/margay/1", "\"not ours\"");
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/a/", on_change, &h);
	cache_subscribe(c, "/calico/b/", on_change, &elsewhere);
	assert_false(cache_synced(c));
	box_run_to(b, &h.synced, 1);
	expect(&h, "+a/1=\"x\" +a/2=\"y\" synced ");
	expect(&elsewhere, "synced ");
	assert_true(cache_synced(c));
	assert_null(cache_lost(c));
	assert_int_equal(cache_count(c), 2);
	assert_null(cache_get(c, "/margay/1"));

	box_put(b, "/calico/a/1", "\"x2\"");
	box_delete(b, "/calico/a/2");
	box_put(b, "/calico/a/0", "\"z\"");
	box_run_to(b, &h.n, 3);
	expect(&h, "+a/1=\"x2\" -a/2 +a/0=\"z\" ");
	assert_string_equal(cache_get(c, "/calico/a/1")->value, "\"x2\"");
	assert_null(cache_get(c, "/calico/a/2"));
	assert_int_equal(count(c, "/calico/a/"), 2);
	expect(&elsewhere, "");
	str_done(&h.text);
	str_done(&elsewhere.text);
	cache_free(c);
}

static void late_subscriber_is_told_what_is_there(void **state)
{
	struct box *b = *state;
	struct heard first = { 0 }, late = { 0 };

	box_put(b, "/calico/a/1", "\"x\"");
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &first);
	box_run_to(b, &first.synced, 1);
	cache_subscribe(c, "/calico/a/", on_change, &late);
	expect(&late, "+a/1=\"x\" synced ");
	str_done(&first.text);
	str_done(&late.text);
	cache_free(c);
}

static struct store_res written(int64_t rev)
{
	return (struct store_res) { .status = STORE_OK, .rev = rev };
}

/* An own write is in the picture at once; when the watch brings it, nobody is told again. */
static void own_writes_are_not_told_twice(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	expect(&h, "synced ");

	int64_t rev = box_put(b, "/calico/k", "\"v\"");
	struct store_req req = store_create("/calico/k", "\"v\"");
	struct store_res res = written(rev);

	cache_wrote(c, &req, &res);
	store_req_done(&req);
	expect(&h, "+k=\"v\" ");
	box_put(b, "/calico/mark", "1");
	box_run_to(b, &h.n, 1);
	expect(&h, "+mark=1 ");
	str_done(&h.text);
	cache_free(c);
}

/* An own deletion stays, though an older PUT of the same key comes round afterwards. */
static void own_deletion_is_not_undone_by_an_older_event(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	expect(&h, "synced ");
	/* Both happen in the store before the loop turns, so the watch is behind. */
	struct store_res put = ds_call(b->other, store_create("/calico/k", "\"v\""));
	struct store_res del = { 0 };
	struct store_req req = store_delete("/calico/k", 0);

	if (!cache_get(c, "/calico/k")) {
		struct store_res later = written(put.rev + 1);

		cache_wrote(c, &req, &later);
		del = ds_call(b->other, store_delete("/calico/k", 0));
		assert_int_equal(del.rev, put.rev + 1);
	} else {
		/* The loop was faster: then the order is the plain one. */
		del = ds_call(b->other, store_delete("/calico/k", 0));
		cache_wrote(c, &req, &del);
	}
	box_put(b, "/calico/mark", "1");
	while (!strstr(str_text(&h.text), "+mark=1"))
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_null(cache_get(c, "/calico/k"));
	assert_int_equal(cache_count(c), 1);
	assert_null(strstr(str_text(&h.text), "-k +k"));
	store_req_done(&req);
	store_res_done(&put);
	store_res_done(&del);
	str_done(&h.text);
	cache_free(c);
}

static void failed_writes_change_nothing(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);
	struct store_req req = store_create("/calico/k", "\"v\"");
	struct store_res res = { .status = STORE_CONFLICT, .rev = 99 };

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	cache_wrote(c, &req, &res);
	assert_int_equal(cache_count(c), 0);
	store_req_done(&req);
	str_done(&h.text);
	cache_free(c);
}

static bool keep_b(void *arg, const struct store_kv *kv)
{
	return strstr(kv->value, "mine") != NULL;
}

static const struct cache_scope some[] = {
	{ "/calico/s/all/", NULL, false },
	{ "/calico/s/", keep_b, false },
	{ NULL, NULL, false },
};

static bool can(const struct cache *c, struct store_req req)
{
	bool yes = cache_can_answer(c, &req);

	store_req_done(&req);
	return yes;
}

static void scopes_leave_out_and_say_so(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };

	box_put(b, "/calico/s/1", "\"mine\"");
	box_put(b, "/calico/s/2", "\"theirs\"");
	box_put(b, "/calico/s/all/3", "\"theirs\"");
	struct cache *c = cache_new(b->base, b->ds, some, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	assert_false(can(c, store_get("/calico/s/1"))); /* not in sync */
	box_run_to(b, &h.synced, 1);
	expect(&h, "+s/1=\"mine\" +s/all/3=\"theirs\" synced ");
	/* What it stops wanting is gone for subscribers; what it begins to want comes. */
	box_put(b, "/calico/s/1", "\"theirs now\"");
	box_put(b, "/calico/s/2", "\"mine now\"");
	box_run_to(b, &h.n, 2);
	expect(&h, "-s/1 +s/2=\"mine now\" ");

	assert_true(can(c, store_get("/calico/s/2")));
	assert_false(can(c, store_get("/calico/s/1")));
	assert_true(can(c, store_get("/calico/s/all/9")));
	assert_true(can(c, store_get("/calico/other")));
	assert_true(can(c, store_list("/calico/s/all/")));
	assert_false(can(c, store_list("/calico/s/")));
	assert_false(can(c, store_list("/calico/s/x")));
	assert_false(can(c, store_list("/calico/")));
	assert_true(can(c, store_list("/calico/t/")));
	assert_false(can(c, store_get("/margay/x")));
	assert_false(can(c, store_delete("/calico/other", 0)));
	struct store_req fresh = store_get("/calico/other");

	fresh.fresh = true;
	assert_false(can(c, fresh));
	str_done(&h.text);
	cache_free(c);
}

static const struct cache_scope told[] = {
	{ "/calico/s/", keep_b, true },
	{ NULL, NULL, false },
};

static void what_is_not_held_can_be_told(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };

	box_put(b, "/calico/s/1", "\"mine\"");
	box_put(b, "/calico/s/2", "\"theirs\"");
	struct cache *c = cache_new(b->base, b->ds, told, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	expect(&h, "+s/1=\"mine\" +s/2=\"theirs\" synced ");
	assert_int_equal(cache_count(c), 1);
	assert_null(cache_get(c, "/calico/s/2"));
	assert_false(can(c, store_get("/calico/s/2")));
	box_put(b, "/calico/s/1", "\"theirs now\"");
	box_put(b, "/calico/s/2", "\"mine now\"");
	box_run_to(b, &h.n, 2);
	expect(&h, "+s/1=\"theirs now\" +s/2=\"mine now\" ");
	assert_null(cache_get(c, "/calico/s/1"));
	assert_non_null(cache_get(c, "/calico/s/2"));
	assert_int_equal(cache_count(c), 1);
	box_delete(b, "/calico/s/1");
	box_run_to(b, &h.n, 1);
	expect(&h, "-s/1 ");
	str_done(&h.text);
	cache_free(c);
}

static void answers_have_the_stores_form(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };

	for (unsigned i = 0; i < 9; i++) {
		char key[32];

		snprintf(key, sizeof(key), "/calico/a/%u", 8 - i);
		box_put(b, key, "1");
	}
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	struct store_req list = store_list("/calico/a/"), get = store_get("/calico/none");
	struct store_res res = cache_answer(c, &list);

	assert_int_equal(res.n, 9);
	assert_string_equal(res.kv[0].key, "/calico/a/0");
	assert_string_equal(res.kv[8].key, "/calico/a/8");
	assert_true(res.rev >= res.kv[0].rev);
	store_res_done(&res);
	res = cache_answer(c, &get);
	assert_int_equal(res.status, STORE_NOT_FOUND);
	assert_int_equal(res.n, 0);
	store_res_done(&res);
	store_req_done(&list);
	store_req_done(&get);
	str_done(&h.text);
	cache_free(c);
}

/* This node's endpoints and blocks, not those of nodes with similar names. */
static void scopes_of_a_node(void **state)
{
	static const struct {
		const char *key, *value;
		bool kept;
	} c[] = {
		{ "/calico/resources/v3/projectcalico.org/workloadendpoints/ns/"
		  "edge--7-k8s-web-eth0",
		  "{}", true },
		{ "/calico/resources/v3/projectcalico.org/workloadendpoints/ns/"
		  "edge--7--a-k8s-web-eth0",
		  "{}", false },
		{ "/calico/resources/v3/projectcalico.org/workloadendpoints/ns/edge-k8s-web-eth0",
		  "{}", false },
		{ "/calico/resources/v3/projectcalico.org/workloadendpoints/bad", "{}", false },
		{ "/calico/resources/v3/projectcalico.org/nodes/edge", "{}", true },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26",
		  "{\"affinity\": \"host:edge-7\"}", true },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.1.0-26",
		  "{\"affinity\":\"host:edge-77\"}", false },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.2.0-26", "{\"affinity\":null}",
		  false },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.3.0-26", "{}", false },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.4.0-26",
		  "{\"affinity\":\"host:a\",\"attributes\":[{\"secondary\":{\"node\":\"a\"}}]}",
		  false },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.5.0-26",
		  "{\"attributes\":[{\"secondary\":{\"node\":\"a\"}},{\"secondary\":{\"node\": "
		  "\"b\"}}],\"affinity\":\"host:a\"}",
		  true },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.6.0-26",
		  "{\"affinity\":null,\"attributes\":[{\"secondary\":{\"node\":\"a\"}}]}", true },
		{ "/calico/ipam/v2/assignment/ipv4/block/10.0.7.0-26", "{\"node\"", false },
		{ "/calico/ipam/v2/handle/x", "{}", false },
		{ "/calico/ipam/v2/config", "{}", true },
	};
	struct box *b = *state;
	struct heard h = { 0 };
	struct scopes s;

	scopes_init(&s, "edge-7");
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		box_put(b, c[i].key, c[i].value);
	struct cache *cache = cache_new(b->base, b->ds, s.row, &s);

	cache_subscribe(cache, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		if (!!cache_get(cache, c[i].key) != c[i].kept)
			fail_msg("%s %s", c[i].key, c[i].value);
	str_done(&h.text);
	cache_free(cache);
	scopes_done(&s);
}

/* The database is replaced by another, whose revisions begin anew: only the difference is told, and
 * what the old one had at higher revisions does not stay. */
static void another_store_in_its_place(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };
	struct err e = { 0 };
	CLEANUP(freep) char *rm = xasprintf("rm -f '%s'/margay.db*", b->dir);

	for (unsigned i = 0; i < 20; i++)
		box_put(b, "/calico/a/1", "\"often\"");
	box_put(b, "/calico/a/2", "\"old\"");
	box_put(b, "/calico/a/3", "\"old\"");
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	str_cut(&h.text, 0);
	ds_close(b->other);
	assert_int_equal(system(rm), 0);
	assert_int_equal(ds_open(&b->other, b->base, b->spec, DS_CREATE, &e), 0);
	box_put(b, "/calico/a/2", "\"new\"");
	box_run_to(b, &h.synced, 2);
	while (cache_count(c) != 1)
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_string_equal(cache_get(c, "/calico/a/2")->value, "\"new\"");
	assert_non_null(strstr(str_text(&h.text), "-a/1"));
	assert_non_null(strstr(str_text(&h.text), "-a/3"));
	assert_true(cache_synced(c));
	/* And it goes on. */
	box_put(b, "/calico/a/9", "1");
	while (!cache_get(c, "/calico/a/9"))
		event_base_loop(b->base, EVLOOP_ONCE);
	str_done(&h.text);
	cache_free(c);
}

/* Thousands of random changes, some of them told by ourselves: in the end the picture is the
 * store. */
static void picture_equals_store(void **state)
{
	struct box *b = *state;
	struct heard h = { 0 };
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);
	unsigned seed = 1;

	cache_subscribe(c, "/calico/", on_change, &h);
	box_run_to(b, &h.synced, 1);
	for (unsigned i = 0; i < 2000; i++) {
		char key[32], value[32];

		seed = seed * 1103515245 + 12345;
		snprintf(key, sizeof(key), "/calico/r/%u", seed >> 16 & 31);
		snprintf(value, sizeof(value), "%u", i);
		struct store_req req =
			seed >> 24 & 3 ? store_update(key, value, 0) : store_delete(key, 0);
		struct store_req copy =
			seed >> 24 & 3 ? store_update(key, value, 0) : store_delete(key, 0);
		struct store_res res = ds_call(b->other, copy);

		if (seed >> 20 & 1)
			cache_wrote(c, &req, &res);
		store_req_done(&req);
		store_res_done(&res);
	}
	box_put(b, "/calico/mark", "1");
	while (!cache_get(c, "/calico/mark"))
		event_base_loop(b->base, EVLOOP_ONCE);
	struct store_res all = ds_call(b->other, store_list("/calico/"));

	assert_int_equal(all.n, cache_count(c));
	for (size_t i = 0; i < all.n; i++) {
		const struct store_kv *kv = cache_get(c, all.kv[i].key);

		assert_non_null(kv);
		assert_string_equal(kv->value, all.kv[i].value);
		assert_int_equal(kv->rev, all.kv[i].rev);
	}
	store_res_done(&all);
	str_done(&h.text);
	cache_free(c);
}

int main(void)
{
#define BOX(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		BOX(first_picture_then_changes),
		BOX(late_subscriber_is_told_what_is_there),
		BOX(own_writes_are_not_told_twice),
		BOX(own_deletion_is_not_undone_by_an_older_event),
		BOX(failed_writes_change_nothing),
		BOX(scopes_leave_out_and_say_so),
		BOX(what_is_not_held_can_be_told),
		BOX(answers_have_the_stores_form),
		BOX(scopes_of_a_node),
		BOX(another_store_in_its_place),
		BOX(picture_equals_store),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
