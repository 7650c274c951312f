/* labels.c - the label index against trying every selector on every item; strings and members by
 * count */
#include "policy/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/selector.h"
#include "policy/members.h"

enum { ITEMS = 24, SELS = 24, PARENTS = 4, KEYS = 4, STEPS = 3000 };

static uint64_t state_word = 7;

static unsigned below(unsigned n)
{
	state_word = state_word * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state_word >> 33) % n;
}

static const char *const keys[KEYS] = { "a", "b", "c", "projectcalico.org/namespace" };
static const char *const values[] = { "x", "y", "xy", "" };
static const char *const parents[PARENTS] = { "p0", "p1", "p2", "p3" };
static const char *const texts[] = {
	"all()",
	"has(a)",
	"!has(b)",
	"a == 'x'",
	"b != 'x'",
	"a in {'x','y'}",
	"a in {}",
	"c not in {'x'}",
	"a == 'x' && b == 'y'",
	"a == 'x' || b == 'y'",
	"a == 'x' || a == 'y'",
	"a starts with 'x'",
	"c ends with 'y' && has(a)",
	"b contains ''",
	"a == 'x' && a == 'y'",
	"(a == 'x' || has(b)) && (a == 'x' || has(c))",
	"a in {'x','y'} && a in {'y','xy'}",
	"projectcalico.org/namespace == 'x' && a == 'x'",
	"!(a == 'x' && b == 'x')",
	"has(c) && has(c)",
	"a == 'x' && has(a)",
	"has(a) || a == 'x'",
};

struct pairs {
	struct label p[KEYS];
	size_t n;
};

struct thing {
	uint32_t id;
	struct pairs own;
	const char *kin[2];
	size_t n_kin;
};

static struct {
	struct thing item[ITEMS];
	struct {
		uint32_t id;
		struct selector *s;
	} sel[SELS];
	struct pairs parent[PARENTS];
	bool on[ITEMS][SELS]; /* by the changes told */
} w;

static void random_pairs(struct pairs *p)
{
	p->n = 0;
	for (size_t k = 0; k < KEYS; k++)
		if (below(2))
			p->p[p->n++] = (struct label) { keys[k], values[below(4)] };
}

static const char *in_pairs(const struct pairs *p, const char *key)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->p[i].key, key))
			return p->p[i].value;
	return NULL;
}

static const char *shown(void *arg, const char *key)
{
	const struct thing *t = arg;
	const char *v = in_pairs(&t->own, key);

	for (size_t i = 0; !v && i < t->n_kin; i++)
		v = in_pairs(&w.parent[t->kin[i][1] - '0'], key);
	return v;
}

static void take_changes(struct labels *ix, struct label_changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		size_t item = (size_t)(uintptr_t)labels_item_user(ix, c->p[i].item);
		size_t sel = (size_t)(uintptr_t)labels_selector_user(ix, c->p[i].sel);

		assert_int_not_equal(w.on[item][sel], c->p[i].on); /* each is told once */
		w.on[item][sel] = c->p[i].on;
	}
	vec_clear(c);
}

static void check(struct labels *ix)
{
	for (size_t i = 0; i < ITEMS; i++) {
		size_t listed = 0, matched = 0;

		for (size_t s = 0; s < SELS; s++) {
			bool want = w.item[i].id && w.sel[s].id &&
				    selector_match(w.sel[s].s, shown, &w.item[i]);

			assert_int_equal(w.on[i][s], want);
			matched += want;
		}
		while (w.item[i].id && labels_item_match(ix, w.item[i].id, listed))
			listed++;
		assert_int_equal(listed, matched);
	}
}

static void change_item(struct labels *ix, size_t i, struct label_changes *c)
{
	struct thing *t = &w.item[i];

	if (t->id && !below(4)) {
		labels_item_del(ix, t->id, c);
		take_changes(ix, c);
		t->id = 0;
		return;
	}
	if (!t->id)
		t->id = labels_item_add(ix, (void *)(uintptr_t)i);
	random_pairs(&t->own);
	t->n_kin = below(3);
	for (size_t k = 0; k < t->n_kin; k++)
		t->kin[k] = parents[below(PARENTS)];
	labels_item_set(ix, t->id, t->own.p, t->own.n, t->kin, t->n_kin, c);
	take_changes(ix, c);
}

static void change_selector(struct labels *ix, size_t s, struct label_changes *c)
{
	if (w.sel[s].id) {
		labels_selector_del(ix, w.sel[s].id, c);
		take_changes(ix, c);
		selector_free(w.sel[s].s);
		w.sel[s].id = 0;
		return;
	}
	assert_int_equal(selector_parse(texts[below(ARRAY_SIZE(texts))], &w.sel[s].s, NULL), 0);
	w.sel[s].id = labels_selector_add(ix, w.sel[s].s, (void *)(uintptr_t)s, c);
	take_changes(ix, c);
}

static void change_parent(struct labels *ix, size_t p, struct label_changes *c)
{
	random_pairs(&w.parent[p]);
	if (!below(4))
		w.parent[p].n = 0;
	labels_parent_set(ix, parents[p], w.parent[p].p, w.parent[p].n, c);
	take_changes(ix, c);
}

static void index_equals_brute_force(void **state)
{
	struct intern *in = intern_new(1);
	struct labels *ix = labels_new(in);
	struct label_changes c = { 0 };

	for (int i = 0; i < STEPS; i++) {
		switch (below(3)) {
		case 0:
			change_item(ix, below(ITEMS), &c);
			break;
		case 1:
			change_selector(ix, below(SELS), &c);
			break;
		case 2:
			change_parent(ix, below(PARENTS), &c);
			break;
		}
		check(ix);
	}
	for (size_t s = 0; s < SELS; s++)
		if (w.sel[s].id)
			change_selector(ix, s, &c);
	labels_free(ix);
	/* Nothing is left: every text can be given out anew from the first number on. */
	assert_int_equal(intern_find(in, 0, "a"), 0);
	assert_int_equal(intern_find(in, 0, "p0"), 0);
	vec_done(&c);
	intern_free(in);
}

static void candidates_only(void **state)
{
	struct intern *in = intern_new(1);
	struct labels *ix = labels_new(in);
	struct label_changes c = { 0 };
	struct label l = { "app", "7" };
	uint64_t before;
	uint32_t item;

	for (int i = 0; i < 1000; i++) {
		char text[64];
		struct selector *s;

		snprintf(text, sizeof(text), "app == '%d' && has(app)", i);
		assert_int_equal(selector_parse(text, &s, NULL), 0);
		labels_selector_add(ix, s, NULL, &c);
		selector_free(s);
	}
	item = labels_item_add(ix, NULL);
	before = labels_evals(ix);
	labels_item_set(ix, item, &l, 1, NULL, 0, &c);
	assert_int_equal(labels_evals(ix) - before, 1);
	assert_int_equal(c.n, 1);
	vec_done(&c);
	labels_free(ix);
	intern_free(in);
}

static void strings_are_shared(void **state)
{
	struct intern *in = intern_new(3);
	uint32_t id[2000];
	char text[16];

	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		id[i] = intern_get(in, 0, text);
		assert_int_equal(intern_get(in, 0, text), id[i]);
		intern_unref(in, id[i]);
	}
	for (uint32_t i = 0; i < 2000; i += 2)
		intern_unref(in, id[i]);
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_int_equal(intern_find(in, 0, text), i % 2 ? id[i] : 0);
	}
	/* The same value under another key is another; it keeps its key. */
	id[0] = intern_get(in, id[1], "v");
	id[2] = intern_get(in, id[3], "v");
	assert_int_not_equal(id[0], id[2]);
	intern_unref(in, id[1]);
	assert_int_equal(intern_find(in, 0, "1"), id[1]);
	intern_unref(in, id[0]);
	assert_int_equal(intern_find(in, 0, "1"), 0);
	assert_true(intern_limit(in) <= 2002);
	intern_free(in);
}

static struct member net(const char *text)
{
	struct member m = { 0 };

	assert_true(prefix_parse_or_addr(text, &m.net));
	return m;
}

/* What comes and goes between two looks, as one line. */
static void expect_taken(struct members *m, const char *want)
{
	struct member_vec added = { 0 }, gone = { 0 };
	char text[256] = "", one[MEMBER_STR_MAX];

	members_take(m, &added, &gone);
	for (size_t i = 0; i < added.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "+%s ",
			 member_format(&added.p[i], one));
	for (size_t i = 0; i < gone.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "-%s ",
			 member_format(&gone.p[i], one));
	assert_string_equal(text, want);
	vec_done(&added);
	vec_done(&gone);
}

static void members_are_counted(void **state)
{
	struct members m = { 0 };
	struct member a = net("10.0.0.1"), all = net("0.0.0.0/0"), half = net("128.0.0.0/1"), port;

	assert_true(members_add(&m, &a));
	assert_false(members_add(&m, &a));
	expect_taken(&m, "+10.0.0.1 ");
	members_del(&m, &a);
	expect_taken(&m, "");
	members_del(&m, &a);
	members_add(&m, &a);
	expect_taken(&m, ""); /* away and back is nothing */
	members_del(&m, &a);
	expect_taken(&m, "-10.0.0.1 ");
	members_del(&m, &a); /* not there: nothing */
	expect_taken(&m, "");
	members_add(&m, &all);
	members_add(&m, &half);
	expect_taken(&m, "+0.0.0.0/1 +128.0.0.0/1 ");
	members_del(&m, &all);
	expect_taken(&m, "-0.0.0.0/1 "); /* the other half is somebody's own */
	port = a;
	port.proto = 6;
	port.port = 80;
	members_add(&m, &port);
	members_add(&m, &a);
	expect_taken(&m, "+10.0.0.1,tcp:80 +10.0.0.1 ");
	assert_int_equal(m.count, 3);
	members_done(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_equals_brute_force),
		cmocka_unit_test(candidates_only),
		cmocka_unit_test(strings_are_shared),
		cmocka_unit_test(members_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
