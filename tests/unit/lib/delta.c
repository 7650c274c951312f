/* delta.c - the desired-against-actual map against a twin that is too simple to be wrong */
#include "lib/delta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { KEYS = 97, VALUES = 5, STEPS = 200000 };

struct value {
	uint32_t first;
	int refs;
};

struct twin {
	int want[KEYS], have[KEYS]; /* value number + 1; 0: none */
	uint32_t tag[KEYS];
	bool held[KEYS];
	bool seen[KEYS]; /* in the present listing */
};

static struct value values[VALUES];

static void count(void *ctx, void *v)
{
	((struct value *)v)->refs++;
}

static void uncount(void *ctx, void *v)
{
	assert_true(((struct value *)v)->refs-- > 0);
}

static uint32_t *head(void *v)
{
	return &((struct value *)v)->first;
}

static const struct delta_type type = {
	.key_size = sizeof(uint32_t),
	.ref = count,
	.unref = uncount,
	.head = head,
};

static uint64_t rng = 88172645463325252U;

static unsigned draw(unsigned n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned)(rng % n);
}

static enum delta_list twin_list(const struct twin *t, uint32_t k)
{
	if (t->held[k])
		return DELTA_HELD;
	if (!t->want[k])
		return DELTA_DEL;
	return t->want[k] == t->have[k] ? DELTA_RIGHT : DELTA_SET;
}

static int number_of(const void *v)
{
	return v ? (int)((const struct value *)v - values) + 1 : 0;
}

static void compare(const struct delta *d, const struct twin *t)
{
	uint32_t n[DELTA_LISTS_] = { 0 }, keys = 0, wanted = 0;
	int refs[VALUES] = { 0 };

	for (uint32_t k = 0; k < KEYS; k++) {
		uint32_t id;

		/* which changes nothing, whatever is there */
		for (unsigned step = 0; step < DELTA_STEPS; step++)
			delta_prefetch(d, delta_hash(d, &k), step);
		id = delta_find(d, &k);

		assert_int_equal(id != DELTA_NONE, t->want[k] || t->have[k]);
		if (id == DELTA_NONE)
			continue;
		keys++;
		wanted += t->want[k] != 0;
		assert_memory_equal(delta_key(d, id), &k, sizeof(k));
		assert_int_equal(number_of(delta_want_of(d, id)), t->want[k]);
		assert_int_equal(number_of(delta_have_of(d, id)), t->have[k]);
		assert_int_equal(delta_list_of(d, id), twin_list(t, k));
		if (t->want[k])
			assert_int_equal(delta_tag(d, id), t->tag[k]);
		n[twin_list(t, k)]++;
		if (t->want[k])
			refs[t->want[k] - 1]++;
		if (t->have[k])
			refs[t->have[k] - 1]++;
	}
	assert_int_equal(d->keys, keys);
	assert_int_equal(d->wanted, wanted);
	for (int i = 0; i < DELTA_LISTS_; i++)
		assert_int_equal(d->count[i], n[i]);
	for (int i = 0; i < VALUES; i++)
		assert_int_equal(values[i].refs, refs[i]);
}

static void compare_alike(const struct delta *d, const struct twin *t)
{
	for (int v = 0; v < VALUES; v++) {
		unsigned expect = 0, found = 0;

		for (uint32_t k = 0; k < KEYS; k++)
			expect += t->want[k] == v + 1;
		for (uint32_t id = values[v].first; id != DELTA_NONE;
		     id = delta_next_alike(d, id)) {
			assert_ptr_equal(delta_want_of(d, id), &values[v]);
			found++;
		}
		assert_int_equal(found, expect);
	}
}

static void set_have(struct twin *t, uint32_t k, int v)
{
	if (t->have[k] != v || !(t->want[k] || v))
		t->held[k] = false;
	t->have[k] = v;
	t->seen[k] = true;
}

static void pop_one(struct delta *d, struct twin *t, enum delta_list list)
{
	uint32_t id = delta_pop(d, list), k;

	if (id == DELTA_NONE) {
		assert_int_equal(d->count[list], 0);
		return;
	}
	memcpy(&k, delta_key(d, id), sizeof(k));
	assert_int_equal(twin_list(t, k), list);
	switch (draw(3)) {
	case 0:
		delta_hold(d, id, 1 + draw(2));
		t->held[k] = true;
		break;
	case 1:
		delta_touch(d, id);
		break;
	default:
		set_have(t, k, t->want[k]);
		delta_seen_id(d, id, delta_want_of(d, id));
		break;
	}
}

static void listing(struct delta *d, struct twin *t)
{
	memset(t->seen, 0, sizeof(t->seen));
	delta_resync_begin(d);
	for (uint32_t i = 0; i < KEYS / 2; i++) {
		uint32_t k = draw(KEYS);
		int v = (int)draw(VALUES);

		delta_seen(d, &k, &values[v]);
		set_have(t, k, v + 1);
	}
	delta_resync_end(d);
	for (uint32_t k = 0; k < KEYS; k++)
		if (!t->seen[k] && t->have[k])
			set_have(t, k, 0);
}

static void one_step(struct delta *d, struct twin *t)
{
	uint32_t k = draw(KEYS), id = delta_find(d, &k);
	int v = (int)draw(VALUES);

	switch (draw(10)) {
	case 0:
	case 1:
	case 2:
		t->tag[k] = draw(1000);
		delta_want(d, &k, &values[v], t->tag[k]);
		t->want[k] = v + 1;
		t->held[k] = false;
		break;
	case 3:
		if (id == DELTA_NONE)
			break;
		delta_unwant(d, id);
		t->want[k] = 0;
		t->held[k] = false;
		break;
	case 4:
		delta_seen(d, &k, &values[v]);
		set_have(t, k, v + 1);
		break;
	case 5:
		delta_seen(d, &k, NULL);
		if (id != DELTA_NONE)
			set_have(t, k, 0);
		break;
	case 6:
	case 7:
		pop_one(d, t, DELTA_SET);
		break;
	case 8:
		pop_one(d, t, DELTA_DEL);
		break;
	default:
		if (draw(50) == 0) {
			listing(d, t);
		} else if (draw(10) == 0) {
			delta_release(d, 1);
			delta_release(d, 2);
			memset(t->held, 0, sizeof(t->held));
		}
		break;
	}
}

static void test_random_against_twin(void **state)
{
	struct twin t = { 0 };
	struct delta d;

	for (int i = 0; i < VALUES; i++)
		values[i] = (struct value) { .first = DELTA_NONE };
	delta_init(&d, &type, NULL, 1);
	for (int i = 0; i < STEPS; i++) {
		one_step(&d, &t);
		if (i % 7 == 0)
			compare(&d, &t);
		if (i % 101 == 0)
			compare_alike(&d, &t);
	}
	delta_done(&d);
	for (int i = 0; i < VALUES; i++)
		assert_int_equal(values[i].refs, 0);
}

static void test_applying_reaches_what_is_wanted(void **state)
{
	static const struct delta_type plain = { .key_size = sizeof(uint64_t) };
	enum { N = 5000 };
	struct delta d;
	uint32_t id;
	int here, there;

	delta_init(&d, &plain, NULL, 7);
	for (uint64_t k = 0; k < N; k++) {
		if (k % 2)
			delta_want(&d, &k, &here, 0);
		if (k % 3 == 0)
			delta_seen(&d, &k, k % 9 ? (void *)&here : &there);
	}
	while ((id = delta_pop(&d, DELTA_SET)) != DELTA_NONE)
		delta_seen_id(&d, id, delta_want_of(&d, id));
	while ((id = delta_pop(&d, DELTA_DEL)) != DELTA_NONE)
		delta_seen_id(&d, id, NULL);
	assert_int_equal(d.keys, N / 2);
	assert_int_equal(d.count[DELTA_RIGHT], N / 2);
	for (uint64_t k = 0; k < N; k++)
		assert_int_equal(delta_find(&d, &k) != DELTA_NONE, k % 2);
	delta_done(&d);
}

static void test_held_key_returns_with_news_only(void **state)
{
	static const struct delta_type plain = { .key_size = sizeof(uint32_t) };
	uint32_t k = 4, id;
	struct delta d;
	int a, b;

	delta_init(&d, &plain, NULL, 0);
	id = delta_want(&d, &k, &a, 9);
	assert_int_equal(delta_pop(&d, DELTA_SET), id);
	delta_hold(&d, id, 3);
	assert_int_equal(delta_note(&d, id), 3);
	assert_int_equal(d.noted[3], 1);
	delta_seen(&d, &k, NULL);
	assert_int_equal(delta_list_of(&d, id), DELTA_HELD);
	delta_seen(&d, &k, &b);
	assert_int_equal(delta_list_of(&d, id), DELTA_SET);
	assert_int_equal(d.noted[3], 0);
	delta_seen(&d, &k, &a);
	assert_int_equal(delta_list_of(&d, id), DELTA_RIGHT);
	delta_unwant(&d, id);
	assert_int_equal(delta_pop(&d, DELTA_DEL), id);
	delta_seen_id(&d, id, NULL);
	assert_int_equal(delta_find(&d, &k), DELTA_NONE);
	delta_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_against_twin),
		cmocka_unit_test(test_applying_reaches_what_is_wanted),
		cmocka_unit_test(test_held_key_returns_with_news_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
