/* trie.c - the trie against a plain array, and its corners */
#include "lib/trie.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TWIN_MAX = 600 };

struct twin {
	size_t n;
	struct {
		struct prefix p;
		void *value;
	} row[TWIN_MAX];
};

static uint64_t rng_state;

static uint32_t rng(void)
{
	rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng_state >> 33);
}

static struct prefix pfx(const char *s)
{
	struct prefix p;

	assert_true(prefix_parse_strict(s, &p));
	return p;
}

/* Few distinct bits, so that prefixes nest and collide a lot. */
static struct prefix random_prefix(void)
{
	bool v6 = rng() % 3 == 0;
	struct addr a = { .family = v6 ? IP_V6 : IP_V4 };
	unsigned bits = addr_bits(a.family);
	unsigned len = rng() % 4 ? rng() % 10 : rng() % (bits + 1);

	for (unsigned i = 0; i < bits / 8; i++)
		a.b[i] = (uint8_t)(rng() % 4 ? (rng() & 1) * 0x80 : rng());
	return prefix_of(&a, len);
}

static size_t twin_at(const struct twin *w, const struct prefix *p)
{
	size_t i = 0;

	while (i < w->n && !prefix_eq(&w->row[i].p, p))
		i++;
	return i;
}

static void *twin_best(const struct twin *w, const struct prefix *p, bool longest)
{
	void *v = NULL;
	int best = -1;

	for (size_t i = 0; i < w->n; i++) {
		const struct prefix *q = &w->row[i].p;

		if (!prefix_covers(q, p))
			continue;
		if (best < 0 || (longest ? q->len > best : q->len < best)) {
			best = q->len;
			v = w->row[i].value;
		}
	}
	return v;
}

struct visit {
	const struct twin *w;
	const struct prefix *under;
	struct prefix last;
	size_t n;
};

static bool visit_one(void *arg, const struct prefix *p, void *value)
{
	struct visit *v = arg;
	size_t i = twin_at(v->w, p);

	assert_true(i < v->w->n);
	assert_ptr_equal(v->w->row[i].value, value);
	if (v->under)
		assert_true(prefix_covers(v->under, p));
	if (v->n++)
		assert_true(prefix_cmp(&v->last, p) < 0);
	v->last = *p;
	return true;
}

static void check_walk(const struct trie *t, const struct twin *w, const struct prefix *under)
{
	struct visit v = { .w = w, .under = under };
	size_t want = 0;

	for (size_t i = 0; i < w->n; i++)
		want += !under || prefix_covers(under, &w->row[i].p);
	assert_true(trie_walk(t, under, visit_one, &v));
	assert_int_equal(v.n, want);
}

static void one_step(struct trie *t, struct twin *w)
{
	struct prefix p = random_prefix();
	size_t i = twin_at(w, &p);
	void *value = (void *)(uintptr_t)(1 + rng()), *old = i < w->n ? w->row[i].value : NULL;

	if (rng() % 5 < 3 && (i < w->n || w->n < TWIN_MAX)) {
		assert_ptr_equal(trie_add(t, &p, value), old);
		w->row[i].p = p;
		w->row[i].value = value;
		w->n += i == w->n;
	} else {
		assert_ptr_equal(trie_del(t, &p), old);
		if (i < w->n)
			w->row[i] = w->row[--w->n];
	}
	assert_int_equal(t->count, w->n);
}

static void same_as_an_array(void **state)
{
	static struct twin w;
	struct trie t;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		trie_init(&t);
		w.n = 0;
		rng_state = round;
		for (unsigned i = 0; i < 1500; i++) {
			struct prefix p = random_prefix();
			size_t at = twin_at(&w, &p);

			one_step(&t, &w);
			at = twin_at(&w, &p);
			assert_ptr_equal(trie_find(&t, &p), at < w.n ? w.row[at].value : NULL);
			assert_ptr_equal(trie_lpm(&t, &p, NULL), twin_best(&w, &p, true));
			assert_ptr_equal(trie_top(&t, &p, NULL), twin_best(&w, &p, false));
			if (i % 50 == 0) {
				check_walk(&t, &w, NULL);
				check_walk(&t, &w, &p);
			}
		}
		while (w.n) {
			w.n--;
			assert_ptr_equal(trie_del(&t, &w.row[w.n].p), w.row[w.n].value);
		}
		assert_null(t.root[0]);
		assert_null(t.root[1]);
		trie_done(&t);
	}
}

static void longest_match_says_which(void **state)
{
	static const struct {
		const char *asked, *match;
	} rows[] = {
		{ "10.1.2.3/32", "10.1.0.0/16" }, { "10.2.0.0/16", "10.0.0.0/8" },
		{ "10.0.0.0/8", "10.0.0.0/8" },	  { "10.0.0.0/7", "0.0.0.0/0" },
		{ "0.0.0.0/0", "0.0.0.0/0" },	  { "fd00:1::1/128", "fd00:1::/32" },
		{ "fd01::/16", NULL },
	};
	struct trie t = { 0 };
	struct prefix in[] = { pfx("0.0.0.0/0"), pfx("10.0.0.0/8"), pfx("10.1.0.0/16"),
			       pfx("fd00:1::/32") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		assert_null(trie_add(&t, &in[i], &in[i]));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct prefix p = pfx(rows[i].asked), match, want;
		const struct prefix *v = trie_lpm(&t, &p, &match);

		if (!rows[i].match) {
			assert_null(v);
			continue;
		}
		want = pfx(rows[i].match);
		assert_true(prefix_eq(&match, &want));
		assert_true(prefix_eq(v, &want));
	}
	trie_done(&t);
}

static void host_bits_are_ignored(void **state)
{
	struct trie t = { 0 };
	struct prefix clean = pfx("10.0.0.0/8"), dirty, match;
	int v;

	(void)state;
	assert_true(prefix_parse("10.9.9.9/8", &dirty));
	trie_add(&t, &dirty, &v);
	assert_ptr_equal(trie_find(&t, &clean), &v);
	assert_ptr_equal(trie_lpm(&t, &clean, &match), &v);
	assert_true(prefix_eq(&match, &clean));
	assert_ptr_equal(trie_del(&t, &dirty), &v);
	assert_int_equal(t.count, 0);
	trie_done(&t);
}

static bool stop_at_second(void *arg, const struct prefix *p, void *value)
{
	(void)p;
	(void)value;
	return ++*(int *)arg < 2;
}

static void a_walk_can_be_stopped(void **state)
{
	struct trie t = { 0 };
	struct prefix a = pfx("10.0.0.0/8"), b = pfx("11.0.0.0/8"), c = pfx("fd00::/8");
	int n = 0;

	(void)state;
	trie_add(&t, &a, &a);
	trie_add(&t, &b, &b);
	trie_add(&t, &c, &c);
	assert_false(trie_walk(&t, NULL, stop_at_second, &n));
	assert_int_equal(n, 2);
	trie_done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_an_array),
		cmocka_unit_test(longest_match_says_which),
		cmocka_unit_test(host_bits_are_ignored),
		cmocka_unit_test(a_walk_can_be_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
