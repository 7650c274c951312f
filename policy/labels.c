/* labels.c - which selectors match which things that have labels
 *
 * SHAPE  Everything is numbers: items, parents, selectors, and interned strings (see intern.h). For
 *        each interned label there is a slot:
 *
 *             slot of (key, value)   items that have it themselves, parents that have it,
 *                                    selectors that demand it
 *             slot of (key)          its values that have a slot, selectors that demand the key
 *
 *        A selector stands in the slots of one label only: the rarest that it demands; one that
 *        demands nothing stands in `unplaced` and is tried on every item. Lists are unordered; who is
 *        in one knows its position, so taking out is moving the last one into the gap.
 * TESTS  tests/unit/policy/labels.c compares it with trying everything */
#include "policy/labels_impl.h"

/* ---- lists ---- */

uint32_t label_ids_push(struct ids *v, uint32_t id)
{
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap + v->cap / 2 + 1 : 1;
		v->p = xreallocarray(v->p, v->cap, sizeof(*v->p));
	}
	v->p[v->n] = id;
	return v->n++;
}

uint32_t label_ids_drop(struct ids *v, uint32_t pos)
{
	uint32_t moved = v->p[--v->n];

	if (pos == v->n)
		return 0;
	v->p[pos] = moved;
	return moved;
}

/* ---- slots ---- */

struct slot *label_slot_find(const struct labels *ix, uint32_t id)
{
	return id < ix->cap_slot ? ix->slot[id] : NULL;
}

struct slot *label_slot_get(struct labels *ix, uint32_t id)
{
	uint32_t key = intern_key(ix->in, id);
	struct slot *s = label_slot_find(ix, id);

	if (s)
		return s;
	if (id >= ix->cap_slot) {
		uint32_t cap = intern_limit(ix->in) + intern_limit(ix->in) / 2 + 1;

		ix->slot = xreallocarray(ix->slot, cap, sizeof(struct slot *));
		memset(ix->slot + ix->cap_slot, 0, (cap - ix->cap_slot) * sizeof(struct slot *));
		ix->cap_slot = cap;
	}
	s = xcalloc(1, sizeof(*s));
	ix->slot[id] = s;
	if (key)
		s->pos = label_ids_push(&label_slot_get(ix, key)->items, id);
	return s;
}

void label_slot_drop(struct labels *ix, uint32_t id)
{
	struct slot *s = label_slot_find(ix, id);
	uint32_t key = intern_key(ix->in, id), moved;

	if (!s || s->items.n || s->parents.n || s->sels.n)
		return;
	ix->slot[id] = NULL;
	if (key) {
		moved = label_ids_drop(&label_slot_find(ix, key)->items, s->pos);
		if (moved)
			label_slot_find(ix, moved)->pos = s->pos;
		label_slot_drop(ix, key);
	}
	free(s->items.p);
	free(s->parents.p);
	free(s->sels.p);
	free(s);
}

/* ---- labels of items and parents ---- */

struct own *label_own_find(struct own *own, uint32_t n, uint32_t key)
{
	uint32_t low = 0, high = n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (own[mid].key == key)
			return &own[mid];
		if (own[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int by_key(const void *a, const void *b)
{
	const struct own *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

/* Interned, sorted, with references held; NULL when there are none. */
static struct own *own_make(struct labels *ix, const struct label *labels, size_t n)
{
	struct own *own;

	if (!n)
		return NULL;
	own = xcalloc(n, sizeof(*own));
	for (size_t i = 0; i < n; i++) {
		own[i].key = intern_get(ix->in, 0, labels[i].key);
		own[i].pair = intern_get(ix->in, own[i].key, labels[i].value);
		/* The pair keeps its key. */
		intern_unref(ix->in, own[i].key);
	}
	qsort(own, n, sizeof(*own), by_key);
	return own;
}

static bool own_equal(const struct own *a, uint32_t n_a, const struct own *b, size_t n_b)
{
	if (n_a != n_b)
		return false;
	for (uint32_t i = 0; i < n_a; i++)
		if (a[i].pair != b[i].pair)
			return false;
	return true;
}

static void own_release(struct labels *ix, struct own *own, size_t n)
{
	for (size_t i = 0; i < n; i++)
		intern_unref(ix->in, own[i].pair);
	free(own);
}

static void item_link(struct labels *ix, uint32_t id, struct own *own, uint32_t n)
{
	struct item *it = &ix->item[id];

	it->own = own;
	it->n_own = n;
	for (uint32_t i = 0; i < n; i++)
		own[i].pos = label_ids_push(&label_slot_get(ix, own[i].pair)->items, id);
}

static void item_unlink(struct labels *ix, uint32_t id)
{
	struct item *it = &ix->item[id];

	for (uint32_t i = 0; i < it->n_own; i++) {
		struct own *o = &it->own[i];
		uint32_t moved = label_ids_drop(&label_slot_find(ix, o->pair)->items, o->pos);

		if (moved) {
			struct item *other = &ix->item[moved];

			label_own_find(other->own, other->n_own, o->key)->pos = o->pos;
		}
		label_slot_drop(ix, o->pair);
	}
	own_release(ix, it->own, it->n_own);
	it->own = NULL;
	it->n_own = 0;
}

static void parent_link(struct labels *ix, uint32_t id, struct own *own, uint32_t n)
{
	struct parent *p = &ix->parent[id];

	p->own = own;
	p->n_own = n;
	for (uint32_t i = 0; i < n; i++)
		own[i].pos = label_ids_push(&label_slot_get(ix, own[i].pair)->parents, id);
}

static void parent_unlink(struct labels *ix, uint32_t id)
{
	struct parent *p = &ix->parent[id];

	for (uint32_t i = 0; i < p->n_own; i++) {
		struct own *o = &p->own[i];
		uint32_t moved = label_ids_drop(&label_slot_find(ix, o->pair)->parents, o->pos);

		if (moved) {
			struct parent *other = &ix->parent[moved];

			label_own_find(other->own, other->n_own, o->key)->pos = o->pos;
		}
		label_slot_drop(ix, o->pair);
	}
	own_release(ix, p->own, p->n_own);
	p->own = NULL;
	p->n_own = 0;
}

/* ---- parents ---- */

static uint32_t parent_find(const struct labels *ix, const char *name)
{
	uint32_t id = intern_find(ix->in, 0, name);

	return id && id < ix->cap_parent_of ? ix->parent_of[id] : 0;
}

static uint32_t parent_get(struct labels *ix, const char *name)
{
	uint32_t id = parent_find(ix, name), text;

	if (id)
		return id;
	text = intern_get(ix->in, 0, name);
	if (text >= ix->cap_parent_of) {
		uint32_t cap = intern_limit(ix->in) + intern_limit(ix->in) / 2 + 1;

		ix->parent_of = xreallocarray(ix->parent_of, cap, sizeof(*ix->parent_of));
		memset(ix->parent_of + ix->cap_parent_of, 0,
		       (cap - ix->cap_parent_of) * sizeof(*ix->parent_of));
		ix->cap_parent_of = cap;
	}
	id = TAKE_NUMBER(ix->parent, ix->n_parent, ix->cap_parent, ix->free_parent);
	ix->parent[id].name = text;
	ix->parent_of[text] = id;
	return id;
}

static void parent_drop_if_unused(struct labels *ix, uint32_t id)
{
	struct parent *p = &ix->parent[id];

	if (!p->name || p->n_own || p->children.n)
		return;
	ix->parent_of[p->name] = 0;
	intern_unref(ix->in, p->name);
	free(p->children.p);
	memset(p, 0, sizeof(*p));
	p->next_free = ix->free_parent;
	ix->free_parent = id;
}

static void kin_link(struct labels *ix, uint32_t id, const char *const *names, size_t n)
{
	struct item *it = &ix->item[id];

	it->kin = n ? xcalloc(n, sizeof(*it->kin)) : NULL;
	it->n_kin = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t parent = parent_get(ix, names[i]);
		bool twice = false;

		for (uint32_t j = 0; j < it->n_kin; j++)
			twice = twice || it->kin[j].parent == parent;
		if (twice)
			continue;
		it->kin[it->n_kin++] =
			(struct kin) { parent, label_ids_push(&ix->parent[parent].children, id) };
	}
}

static void kin_unlink(struct labels *ix, uint32_t id)
{
	struct item *it = &ix->item[id];

	for (uint32_t i = 0; i < it->n_kin; i++) {
		struct parent *p = &ix->parent[it->kin[i].parent];
		uint32_t moved = label_ids_drop(&p->children, it->kin[i].pos);

		for (uint32_t j = 0; moved && j < ix->item[moved].n_kin; j++)
			if (ix->item[moved].kin[j].parent == it->kin[i].parent)
				ix->item[moved].kin[j].pos = it->kin[i].pos;
		parent_drop_if_unused(ix, it->kin[i].parent);
	}
	free(it->kin);
	it->kin = NULL;
	it->n_kin = 0;
}

static bool kin_equal(const struct labels *ix, const struct item *it, const char *const *names,
		      size_t n)
{
	if (it->n_kin != n)
		return false;
	for (uint32_t i = 0; i < it->n_kin; i++)
		if (it->kin[i].parent != parent_find(ix, names[i]))
			return false;
	return true;
}

/* ---- trying ---- */

struct view {
	const struct labels *ix;
	const struct item *item;
};

/* The label of this key that is seen on an item. */
static uint32_t seen_label(const void *arg, uint32_t key)
{
	const struct view *v = arg;
	const struct own *o = label_own_find(v->item->own, v->item->n_own, key);

	for (uint32_t i = 0; !o && i < v->item->n_kin; i++) {
		const struct parent *p = &v->ix->parent[v->item->kin[i].parent];

		o = label_own_find(p->own, p->n_own, key);
	}
	return o ? o->pair : 0;
}

bool labels_try(struct labels *ix, uint32_t item, const struct sel *s)
{
	struct view v = { ix, &ix->item[item] };

	ix->evals++;
	return match_eval(s->match, ix->in, seen_label, &v);
}

void labels_hit_add(struct labels *ix, uint32_t item, uint32_t sel, struct label_changes *out)
{
	struct item *it = &ix->item[item];

	if (it->n_hit == it->cap_hit) {
		it->cap_hit = it->cap_hit ? it->cap_hit * 2 : 2;
		it->hit = xreallocarray(it->hit, it->cap_hit, sizeof(*it->hit));
	}
	it->hit[it->n_hit++] = (struct hit) { sel, label_ids_push(&ix->sel[sel].items, item) };
	vec_push(out, (struct label_change) { item, sel, true });
}

static void hit_moved(struct labels *ix, uint32_t item, uint32_t sel, uint32_t pos)
{
	struct item *it = &ix->item[item];

	for (uint32_t i = 0; i < it->n_hit; i++)
		if (it->hit[i].sel == sel)
			it->hit[i].pos = pos;
}

static void hit_del(struct labels *ix, uint32_t item, uint32_t i, struct label_changes *out)
{
	struct item *it = &ix->item[item];
	struct hit h = it->hit[i];
	uint32_t moved = label_ids_drop(&ix->sel[h.sel].items, h.pos);

	it->hit[i] = it->hit[--it->n_hit];
	if (moved)
		hit_moved(ix, moved, h.sel, h.pos);
	vec_push(out, (struct label_change) { item, h.sel, false });
}

static void try_list(struct labels *ix, uint32_t item, const struct ids *sels)
{
	for (uint32_t i = 0; i < sels->n; i++)
		if (labels_try(ix, item, &ix->sel[sels->p[i]]))
			label_ids_push(&ix->found, sels->p[i]);
}

static void try_label(struct labels *ix, uint32_t item, const struct own *o)
{
	const struct slot *s = label_slot_find(ix, o->pair);

	if (s)
		try_list(ix, item, &s->sels);
	s = label_slot_find(ix, o->key);
	if (s)
		try_list(ix, item, &s->sels);
}

/* Every selector that stands where the item's labels are; none twice, since a selector stands under
 * one key and an item shows one value of it. */
static void try_candidates(struct labels *ix, uint32_t item)
{
	struct item *it = &ix->item[item];
	struct view v = { ix, it };

	ix->found.n = 0;
	try_list(ix, item, &ix->unplaced);
	for (uint32_t i = 0; i < it->n_own; i++)
		try_label(ix, item, &it->own[i]);
	for (uint32_t k = 0; k < it->n_kin; k++) {
		const struct parent *p = &ix->parent[it->kin[k].parent];

		for (uint32_t i = 0; i < p->n_own; i++)
			if (seen_label(&v, p->own[i].key) == p->own[i].pair)
				try_label(ix, item, &p->own[i]);
	}
}

/* Two parents may have the same label: the selector was found under it before. */
static bool mark_new(struct labels *ix, uint32_t sel)
{
	if (ix->sel[sel].mark == ix->scan)
		return false;
	ix->sel[sel].mark = ix->scan;
	return true;
}

static void next_scan(struct labels *ix)
{
	if (++ix->scan)
		return;
	for (uint32_t i = 1; i < ix->n_sel; i++)
		ix->sel[i].mark = 0;
	ix->scan = 1;
}

static void rescan(struct labels *ix, uint32_t item, struct label_changes *out)
{
	struct item *it = &ix->item[item];
	uint32_t n = 0;

	try_candidates(ix, item);
	next_scan(ix);
	for (uint32_t i = 0; i < ix->found.n; i++)
		if (mark_new(ix, ix->found.p[i]))
			ix->found.p[n++] = ix->found.p[i];
	for (uint32_t i = it->n_hit; i-- > 0;)
		if (ix->sel[it->hit[i].sel].mark != ix->scan)
			hit_del(ix, item, i, out);
	/* What is left of the old ones is not new. */
	for (uint32_t i = 0; i < it->n_hit; i++)
		ix->sel[it->hit[i].sel].mark = 0;
	for (uint32_t i = 0; i < n; i++)
		if (ix->sel[ix->found.p[i]].mark == ix->scan)
			labels_hit_add(ix, item, ix->found.p[i], out);
}

/* ---- items ---- */

uint32_t labels_item_add(struct labels *ix, void *user)
{
	uint32_t id = TAKE_NUMBER(ix->item, ix->n_item, ix->cap_item, ix->free_item);

	ix->item[id].used = true;
	ix->item[id].user = user;
	ix->used_items++;
	return id;
}

void labels_item_set(struct labels *ix, uint32_t item, const struct label *own, size_t n,
		     const char *const *parents, size_t n_parents, struct label_changes *out)
{
	struct item *it = &ix->item[item];
	struct own *new_own = own_make(ix, own, n);

	if (own_equal(it->own, it->n_own, new_own, n)) {
		own_release(ix, new_own, n);
	} else {
		item_unlink(ix, item);
		item_link(ix, item, new_own, (uint32_t)n);
	}
	if (!kin_equal(ix, it, parents, n_parents)) {
		kin_unlink(ix, item);
		kin_link(ix, item, parents, n_parents);
	}
	rescan(ix, item, out);
}

void labels_item_del(struct labels *ix, uint32_t item, struct label_changes *out)
{
	struct item *it = &ix->item[item];

	while (it->n_hit)
		hit_del(ix, item, it->n_hit - 1, out);
	item_unlink(ix, item);
	kin_unlink(ix, item);
	free(it->hit);
	*it = (struct item) { .user = it->user, .next_free = ix->free_item };
	ix->free_item = item;
	ix->used_items--;
}

void labels_parent_set(struct labels *ix, const char *name, const struct label *own, size_t n,
		       struct label_changes *out)
{
	uint32_t id = n ? parent_get(ix, name) : parent_find(ix, name);
	struct own *new_own;
	struct ids children;

	if (!id)
		return;
	new_own = own_make(ix, own, n);
	if (own_equal(ix->parent[id].own, ix->parent[id].n_own, new_own, n)) {
		own_release(ix, new_own, n);
		return;
	}
	parent_unlink(ix, id);
	parent_link(ix, id, new_own, (uint32_t)n);
	children = ix->parent[id].children;
	for (uint32_t i = 0; i < children.n; i++)
		rescan(ix, children.p[i], out);
	parent_drop_if_unused(ix, id);
}

/* ---- the rest ---- */

struct labels *labels_new(struct intern *in)
{
	struct labels *ix = xcalloc(1, sizeof(*ix));

	ix->in = in;
	return ix;
}

void labels_free(struct labels *ix)
{
	struct label_changes changes = { 0 };

	if (!ix)
		return;
	for (uint32_t i = 1; i < ix->n_sel; i++)
		if (ix->sel[i].match)
			labels_selector_del(ix, i, &changes);
	for (uint32_t i = 1; i < ix->n_item; i++)
		if (ix->item[i].used)
			labels_item_del(ix, i, &changes);
	for (uint32_t i = 1; i < ix->n_parent; i++) {
		if (ix->parent[i].name)
			parent_unlink(ix, i);
		parent_drop_if_unused(ix, i);
	}
	vec_done(&changes);
	free(ix->item);
	free(ix->parent);
	free(ix->sel);
	free(ix->parent_of);
	free(ix->slot);
	free(ix->unplaced.p);
	free(ix->found.p);
	free(ix);
}

void *labels_item_user(const struct labels *ix, uint32_t item)
{
	return ix->item[item].user;
}

void *labels_selector_user(const struct labels *ix, uint32_t sel)
{
	return ix->sel[sel].user;
}

uint32_t labels_item_match(const struct labels *ix, uint32_t item, size_t i)
{
	return i < ix->item[item].n_hit ? ix->item[item].hit[i].sel : 0;
}

uint32_t labels_selector_match(const struct labels *ix, uint32_t sel, size_t i)
{
	return i < ix->sel[sel].items.n ? ix->sel[sel].items.p[i] : 0;
}

uint64_t labels_evals(const struct labels *ix)
{
	return ix->evals;
}
