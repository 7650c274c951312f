/* match.c - selectors over interned labels
 *
 * SHAPE  == and in demand a label with one of some values; has and the substring operators demand the
 *        label; AND demands what any part does (values intersected), OR what all parts do (values
 *        united); negations demand nothing.
 * TESTS  tests/unit/policy/labels.c */
#include "policy/match.h"

#include <stdlib.h>
#include <string.h>

#include "model/selector.h"

struct match {
	enum selector_op op;
	uint32_t key;
	uint32_t *value; /* EQ, NE, IN, NOT_IN: sorted numbers */
	size_t n;
	char *text; /* CONTAINS, STARTS, ENDS */
	size_t text_len;
	struct match **kid;
	size_t n_kids;
};

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool is_text_op(enum selector_op op)
{
	return op == SELECTOR_CONTAINS || op == SELECTOR_STARTS || op == SELECTOR_ENDS;
}

struct match *match_new(struct intern *in, const struct selector *s)
{
	struct match *m = xcalloc(1, sizeof(*m));

	m->op = s->op;
	if (s->label)
		m->key = intern_get(in, 0, s->label);
	if (is_text_op(s->op)) {
		m->text = xstrdup(s->values[0]);
		m->text_len = strlen(m->text);
	} else if (s->n_values) {
		m->value = xcalloc(s->n_values, sizeof(*m->value));
		for (size_t i = 0; i < s->n_values; i++)
			m->value[m->n++] = intern_get(in, m->key, s->values[i]);
		qsort(m->value, m->n, sizeof(*m->value), by_number);
	}
	if (s->n_kids)
		m->kid = xcalloc(s->n_kids, sizeof(struct match *));
	for (size_t i = 0; i < s->n_kids; i++)
		m->kid[m->n_kids++] = match_new(in, s->kids[i]);
	return m;
}

void match_free(struct intern *in, struct match *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		intern_unref(in, m->value[i]);
	for (size_t i = 0; i < m->n_kids; i++)
		match_free(in, m->kid[i]);
	intern_unref(in, m->key);
	free(m->value);
	free(m->kid);
	free(m->text);
	free(m);
}

static bool is_one_of(const struct match *m, uint32_t value)
{
	if (m->n == 1)
		return m->value[0] == value;
	return m->n && bsearch(&value, m->value, m->n, sizeof(value), by_number);
}

static bool ends_with(const char *v, const struct match *m)
{
	size_t n = strlen(v);

	return n >= m->text_len && !strcmp(v + n - m->text_len, m->text);
}

static bool eval_label(const struct match *m, const struct intern *in, uint32_t value)
{
	switch (m->op) {
	case SELECTOR_HAS:
		return value;
	case SELECTOR_EQ:
	case SELECTOR_IN:
		return value && is_one_of(m, value);
	case SELECTOR_NE:
	case SELECTOR_NOT_IN:
		return !value || !is_one_of(m, value);
	case SELECTOR_CONTAINS:
		return value && strstr(intern_text(in, value), m->text);
	case SELECTOR_STARTS:
		return value && !strncmp(intern_text(in, value), m->text, m->text_len);
	case SELECTOR_ENDS:
		return value && ends_with(intern_text(in, value), m);
	case SELECTOR_ALL:
	case SELECTOR_GLOBAL:
	case SELECTOR_NOT:
	case SELECTOR_AND:
	case SELECTOR_OR:
		break;
	}
	return true;
}

bool match_eval(const struct match *m, const struct intern *in, match_label_fn *label,
		const void *arg)
{
	if (m->key)
		return eval_label(m, in, label(arg, m->key));
	if (m->op == SELECTOR_NOT)
		return !match_eval(m->kid[0], in, label, arg);
	for (size_t i = 0; i < m->n_kids; i++)
		if (match_eval(m->kid[i], in, label, arg) == (m->op == SELECTOR_OR))
			return m->op == SELECTOR_OR;
	return m->op != SELECTOR_OR;
}

/* ---- demands ---- */

void demands_done(struct demands *d)
{
	vec_foreach (d, one)
		free(one->value);
	vec_done(d);
}

static struct demand *find(const struct demands *d, uint32_t key)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->p[i].key == key)
			return &d->p[i];
	return NULL;
}

static bool holds(const struct demand *d, uint32_t value)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->value[i] == value)
			return true;
	return false;
}

static void add_value(struct demand *d, uint32_t value)
{
	if (holds(d, value))
		return;
	d->value = xreallocarray(d->value, d->n + 1, sizeof(*d->value));
	d->value[d->n++] = value;
}

static void intersect(struct demand *to, const struct demand *other)
{
	size_t n = 0;

	for (size_t i = 0; i < to->n; i++)
		if (holds(other, to->value[i]))
			to->value[n++] = to->value[i];
	to->n = n;
}

static struct demand copy_demand(const struct demand *d)
{
	struct demand copy = *d;

	copy.value = d->n ? xmemdup(d->value, d->n * sizeof(*d->value)) : NULL;
	return copy;
}

static void merge_and(struct demands *to, const struct demands *kid)
{
	for (size_t i = 0; i < kid->n; i++) {
		const struct demand *d = &kid->p[i];
		struct demand *have = find(to, d->key);

		if (!have) {
			vec_push(to, copy_demand(d));
		} else if (!have->has_values) {
			free(have->value);
			*have = copy_demand(d);
		} else if (d->has_values) {
			intersect(have, d);
		}
	}
}

static void merge_or(struct demands *to, const struct demands *kid)
{
	for (size_t i = to->n; i-- > 0;) {
		struct demand *have = &to->p[i];
		const struct demand *d = find(kid, have->key);

		if (!d) {
			free(have->value);
			vec_remove_fast(to, i);
			continue;
		}
		have->has_values = have->has_values && d->has_values;
		for (size_t j = 0; j < d->n; j++)
			add_value(have, d->value[j]);
	}
}

static struct demands list_demands(const struct match *m)
{
	struct demands out = { 0 };

	for (size_t i = 0; i < m->n_kids; i++) {
		struct demands kid = match_demands(m->kid[i]);

		if (m->op == SELECTOR_AND || !i)
			merge_and(&out, &kid);
		else
			merge_or(&out, &kid);
		demands_done(&kid);
	}
	return out;
}

struct demands match_demands(const struct match *m)
{
	struct demands out = { 0 };
	struct demand d = { .key = m->key };

	switch (m->op) {
	case SELECTOR_AND:
	case SELECTOR_OR:
		return list_demands(m);
	case SELECTOR_EQ:
	case SELECTOR_IN:
		d.has_values = true;
		for (size_t i = 0; i < m->n; i++)
			add_value(&d, m->value[i]);
		vec_push(&out, d);
		break;
	case SELECTOR_HAS:
	case SELECTOR_CONTAINS:
	case SELECTOR_STARTS:
	case SELECTOR_ENDS:
		vec_push(&out, d);
		break;
	case SELECTOR_NE:
	case SELECTOR_NOT_IN:
	case SELECTOR_NOT:
	case SELECTOR_ALL:
	case SELECTOR_GLOBAL:
		break;
	}
	return out;
}
