/* labels_sel.c - selectors of the label index: where they stand, whom they are tried on
 * TESTS  tests/unit/policy/labels.c */
#include "policy/combine.h"
#include "policy/labels_impl.h"

static void ids_remove(struct ids *v, uint32_t id)
{
	for (uint32_t i = 0; i < v->n; i++) {
		if (v->p[i] == id) {
			label_ids_drop(v, i);
			return;
		}
	}
}

/* Items that show a label, at most. */
static uint64_t count_label(const struct labels *ix, uint32_t pair)
{
	const struct slot *s = label_slot_find(ix, pair);
	uint64_t n = s ? s->items.n : 0;

	for (uint32_t i = 0; s && i < s->parents.n; i++)
		n += ix->parent[s->parents.p[i]].children.n;
	return n;
}

static uint64_t count_demand(const struct labels *ix, const struct demand *d)
{
	const struct slot *s = label_slot_find(ix, d->key);
	uint64_t n = 0;

	if (d->has_values)
		for (size_t i = 0; i < d->n; i++)
			n += count_label(ix, d->value[i]);
	else
		for (uint32_t i = 0; s && i < s->items.n; i++)
			n += count_label(ix, s->items.p[i]);
	return n;
}

/* Of demands that are equally rare now: few values, and not what every pod has. */
static unsigned guess(const struct labels *ix, const struct demand *d)
{
	const char *key = intern_text(ix->in, d->key);

	if (!strcmp(key, LABEL_ORCHESTRATOR))
		return 4;
	if (!d->has_values)
		return 3;
	return !strcmp(key, LABEL_NAMESPACE) ? 0 : d->n == 1 ? 1 : 2;
}

static const struct demand *rarest(const struct labels *ix, const struct demands *d,
				   uint64_t *count)
{
	const struct demand *best = NULL;

	for (size_t i = 0; i < d->n; i++) {
		uint64_t n = count_demand(ix, &d->p[i]);

		if (!best || n < *count || (n == *count && guess(ix, &d->p[i]) < guess(ix, best))) {
			best = &d->p[i];
			*count = n;
		}
	}
	return best;
}

static void sel_place(struct labels *ix, uint32_t id, const struct demand *d)
{
	struct sel *s = &ix->sel[id];
	uint32_t key_only = d ? d->key : 0;
	const uint32_t *at = d && d->has_values ? d->value : &key_only;
	size_t n = d && d->has_values ? d->n : 1;

	if (!d) {
		s->unplaced = true;
		label_ids_push(&ix->unplaced, id);
		return;
	}
	s->place = xcalloc(n + 1, sizeof(*s->place));
	for (size_t i = 0; i < n; i++) {
		s->place[s->n_place++] = at[i];
		label_ids_push(&label_slot_get(ix, at[i])->sels, id);
	}
}

static void try_item(struct labels *ix, uint32_t item, uint32_t sel, struct label_changes *out)
{
	if (labels_try(ix, item, &ix->sel[sel]))
		labels_hit_add(ix, item, sel, out);
}

/* An item that shows the label itself is tried once; a child of two parents that have it, or that
 * has it itself, must not be tried again. */
static void try_holders(struct labels *ix, uint32_t pair, uint32_t sel, struct label_changes *out)
{
	const struct slot *s = label_slot_find(ix, pair);
	uint32_t key = intern_key(ix->in, pair);

	if (!s)
		return;
	for (uint32_t i = 0; i < s->items.n; i++)
		try_item(ix, s->items.p[i], sel, out);
	for (uint32_t i = 0; i < s->parents.n; i++) {
		const struct parent *p = &ix->parent[s->parents.p[i]];

		for (uint32_t j = 0; j < p->children.n; j++) {
			const struct item *it = &ix->item[p->children.p[j]];
			bool first = !label_own_find(it->own, it->n_own, key);

			/* Seen through the first of its parents that has this key. */
			for (uint32_t k = 0; first && k < it->n_kin; k++) {
				const struct parent *q = &ix->parent[it->kin[k].parent];

				if (q == p)
					break;
				first = !label_own_find(q->own, q->n_own, key);
			}
			if (first)
				try_item(ix, p->children.p[j], sel, out);
		}
	}
}

static void try_everything(struct labels *ix, uint32_t sel, struct label_changes *out)
{
	for (uint32_t i = 1; i < ix->n_item; i++)
		if (ix->item[i].used)
			try_item(ix, i, sel, out);
}

static void try_demand(struct labels *ix, const struct demand *d, uint32_t sel,
		       struct label_changes *out)
{
	const struct slot *s = label_slot_find(ix, d->key);

	if (d->has_values)
		for (size_t i = 0; i < d->n; i++)
			try_holders(ix, d->value[i], sel, out);
	else
		for (uint32_t i = 0; s && i < s->items.n; i++)
			try_holders(ix, s->items.p[i], sel, out);
}

uint32_t labels_selector_add(struct labels *ix, const struct selector *parsed, void *user,
			     struct label_changes *out)
{
	uint32_t id = TAKE_NUMBER(ix->sel, ix->n_sel, ix->cap_sel, ix->free_sel);
	struct demands all;
	const struct demand *d;
	uint64_t count = 0;

	ix->sel[id].user = user;
	ix->sel[id].match = match_new(ix->in, parsed);
	all = match_demands(ix->sel[id].match);
	d = rarest(ix, &all, &count);
	sel_place(ix, id, d);
	if (!d || count > ix->used_items)
		try_everything(ix, id, out);
	else
		try_demand(ix, d, id, out);
	demands_done(&all);
	return id;
}

static void sel_unplace(struct labels *ix, uint32_t id)
{
	struct sel *s = &ix->sel[id];

	if (s->unplaced)
		ids_remove(&ix->unplaced, id);
	for (uint32_t i = 0; i < s->n_place; i++) {
		ids_remove(&label_slot_find(ix, s->place[i])->sels, id);
		label_slot_drop(ix, s->place[i]);
	}
	free(s->place);
}

void labels_selector_del(struct labels *ix, uint32_t sel, struct label_changes *out)
{
	struct sel *s = &ix->sel[sel];

	for (uint32_t i = 0; i < s->items.n; i++) {
		struct item *it = &ix->item[s->items.p[i]];

		for (uint32_t j = 0; j < it->n_hit; j++) {
			if (it->hit[j].sel != sel)
				continue;
			it->hit[j] = it->hit[--it->n_hit];
			break;
		}
		vec_push(out, (struct label_change) { s->items.p[i], sel, false });
	}
	sel_unplace(ix, sel);
	match_free(ix->in, s->match);
	free(s->items.p);
	*s = (struct sel) { .user = s->user, .next_free = ix->free_sel };
	ix->free_sel = sel;
}
