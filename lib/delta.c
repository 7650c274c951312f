/* delta.c - what should be against what is
 * SHAPE  Entries live in one array and are linked by index: a chain of their hash bucket, one of
 * the four work lists, and the list of keys that want the same value. The key follows the entry.
 * COST   Everything is O(1) but delta_resync_end and delta_release, which look at each key once;
 *        60 bytes and the key for each.
 * INVARIANTS  place() alone decides the list a key is on. A key that is neither wanted nor there
 * has no entry. TESTS  tests/unit/lib/delta.c, against a naive twin */
#include "lib/delta.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 64, LIST_NONE = DELTA_LISTS_ };

struct delta_entry {
	void *want, *have;
	uint32_t prev, next;   /* on a work list */
	uint32_t wprev, wnext; /* of the same want */
	uint32_t generation;   /* of the last listing that saw it */
	uint32_t tag;
	uint8_t list; /* enum delta_list, LIST_NONE: free or popped */
	uint8_t note, mark, used;
};

static struct delta_entry *at(const struct delta *d, uint32_t id)
{
	return (void *)(d->mem + (size_t)id * d->stride);
}

static uint8_t *key_of(const struct delta *d, uint32_t id)
{
	return (uint8_t *)(at(d, id) + 1);
}

uint32_t delta_hash(const struct delta *d, const void *key)
{
	const uint8_t *p = key;
	uint64_t h = 0x9e3779b97f4a7c15U ^ d->seed, w;
	size_t left = d->type->key_size;

	for (; left >= sizeof(w); left -= sizeof(w), p += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w ^ w >> 32) * 0xff51afd7ed558ccdU;
		h ^= h >> 32;
	}
	if (left) {
		uint32_t last;

		memcpy(&last, p, sizeof(last));
		h = (h ^ last) * 0xff51afd7ed558ccdU;
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

static uint32_t *bucket_of(const struct delta *d, uint32_t hash)
{
	return &d->bucket[hash & (d->n_bucket - 1)];
}

void delta_init(struct delta *d, const struct delta_type *type, void *ctx, uint32_t seed)
{
	assert(type->key_size % 4 == 0);
	*d = (struct delta) { .type = type, .ctx = ctx, .seed = seed, .free_head = DELTA_NONE };
	d->stride = (sizeof(struct delta_entry) + type->key_size + 7) & ~(size_t)7;
	for (int i = 0; i < DELTA_LISTS_; i++)
		d->head[i] = d->tail[i] = DELTA_NONE;
}

static void ref(struct delta *d, void *value)
{
	if (value && d->type->ref)
		d->type->ref(d->ctx, value);
}

static void unref(struct delta *d, void *value)
{
	if (value && d->type->unref)
		d->type->unref(d->ctx, value);
}

void delta_done(struct delta *d)
{
	for (uint32_t i = 0; i < d->n; i++) {
		if (!at(d, i)->used)
			continue;
		unref(d, at(d, i)->want);
		unref(d, at(d, i)->have);
	}
	free(d->mem);
	free(d->link);
	free(d->bucket);
	d->mem = NULL;
	d->link = NULL;
	d->bucket = NULL;
	d->n = d->cap = d->n_bucket = d->keys = 0;
}

/* ---- work lists ---- */

static void list_leave(struct delta *d, struct delta_entry *en)
{
	if (en->list == LIST_NONE)
		return;
	if (en->prev == DELTA_NONE)
		d->head[en->list] = en->next;
	else
		at(d, en->prev)->next = en->next;
	if (en->next == DELTA_NONE)
		d->tail[en->list] = en->prev;
	else
		at(d, en->next)->prev = en->prev;
	d->count[en->list]--;
	if (en->note)
		d->noted[en->note]--;
	en->note = 0;
	en->list = LIST_NONE;
}

static void list_enter(struct delta *d, uint32_t id, enum delta_list list)
{
	struct delta_entry *en = at(d, id);

	if (en->list == list)
		return;
	list_leave(d, en);
	en->list = (uint8_t)list;
	en->prev = d->tail[list];
	en->next = DELTA_NONE;
	if (en->prev == DELTA_NONE)
		d->head[list] = id;
	else
		at(d, en->prev)->next = id;
	d->tail[list] = id;
	d->count[list]++;
}

/* ---- entries ---- */

static void rehash(struct delta *d, uint32_t n_bucket)
{
	d->bucket = xreallocarray(d->bucket, n_bucket, sizeof(d->bucket[0]));
	d->n_bucket = n_bucket;
	memset(d->bucket, 0xff, n_bucket * sizeof(d->bucket[0]));
	for (uint32_t i = 0; i < d->n; i++) {
		uint32_t *bucket = bucket_of(d, d->link[i].hash);

		if (!at(d, i)->used)
			continue;
		d->link[i].next = *bucket;
		*bucket = i;
	}
}

static uint32_t entry_new(struct delta *d, const void *key)
{
	uint32_t id = d->free_head, hash = delta_hash(d, key), *bucket;

	if (id != DELTA_NONE) {
		d->free_head = d->link[id].next;
	} else {
		if (d->n == d->cap) {
			assert(d->cap < DELTA_NONE / 2);
			d->cap = d->cap ? d->cap + d->cap / 2 : FIRST_CAP;
			d->mem = xreallocarray(d->mem, d->cap, d->stride);
			d->link = xreallocarray(d->link, d->cap, sizeof(d->link[0]));
		}
		id = d->n++;
	}
	*at(d, id) = (struct delta_entry) { .list = LIST_NONE,
					    .wprev = DELTA_NONE,
					    .wnext = DELTA_NONE,
					    .generation = d->generation };
	if (d->keys >= d->n_bucket)
		rehash(d, d->n_bucket ? d->n_bucket * 2 : FIRST_CAP);
	memcpy(key_of(d, id), key, d->type->key_size);
	bucket = bucket_of(d, hash);
	d->link[id] = (struct delta_link) { .hash = hash, .next = *bucket };
	*bucket = id;
	at(d, id)->used = 1;
	d->keys++;
	return id;
}

static void entry_free(struct delta *d, uint32_t id)
{
	uint32_t *from = bucket_of(d, d->link[id].hash);

	while (*from != id)
		from = &d->link[*from].next;
	*from = d->link[id].next;
	list_leave(d, at(d, id));
	at(d, id)->used = 0;
	d->link[id].next = d->free_head;
	d->free_head = id;
	d->keys--;
}

void delta_prefetch(const struct delta *d, uint32_t hash, unsigned step)
{
	const uint32_t *bucket;

	if (!d->n_bucket)
		return;
	bucket = bucket_of(d, hash);
	if (step == 0)
		__builtin_prefetch(bucket, 1);
	else if (*bucket == DELTA_NONE)
		return;
	else if (step == 1)
		__builtin_prefetch(&d->link[*bucket], 1);
	else if (d->link[*bucket].hash == hash)
		__builtin_prefetch(at(d, *bucket), 1);
}

uint32_t delta_find(const struct delta *d, const void *key)
{
	uint32_t hash = delta_hash(d, key), id;

	if (!d->n_bucket)
		return DELTA_NONE;
	for (id = *bucket_of(d, hash); id != DELTA_NONE; id = d->link[id].next)
		if (d->link[id].hash == hash && memcmp(key_of(d, id), key, d->type->key_size) == 0)
			return id;
	return DELTA_NONE;
}

static bool is_right(const struct delta *d, const struct delta_entry *en)
{
	if (!en->have)
		return false;
	return d->type->same ? d->type->same(d->ctx, en->want, en->have) : en->want == en->have;
}

/* Put a key onto the list that its want and have call for; a key with neither goes. */
static void place(struct delta *d, uint32_t id)
{
	struct delta_entry *en = at(d, id);

	if (!en->want && !en->have)
		entry_free(d, id);
	else if (!en->want)
		list_enter(d, id, DELTA_DEL);
	else
		list_enter(d, id, is_right(d, en) ? DELTA_RIGHT : DELTA_SET);
}

/* ---- lists of keys with the same want ---- */

static void alike_leave(struct delta *d, struct delta_entry *en)
{
	if (!en->want || !d->type->head)
		return;
	if (en->wprev == DELTA_NONE)
		*d->type->head(en->want) = en->wnext;
	else
		at(d, en->wprev)->wnext = en->wnext;
	if (en->wnext != DELTA_NONE)
		at(d, en->wnext)->wprev = en->wprev;
	en->wprev = en->wnext = DELTA_NONE;
}

static void alike_enter(struct delta *d, uint32_t id)
{
	struct delta_entry *en = at(d, id);
	uint32_t *head;

	if (!en->want || !d->type->head)
		return;
	head = d->type->head(en->want);
	en->wnext = *head;
	if (*head != DELTA_NONE)
		at(d, *head)->wprev = id;
	*head = id;
}

static void set_want(struct delta *d, uint32_t id, void *value)
{
	struct delta_entry *en = at(d, id);
	void *old = en->want;

	if (old == value)
		return;
	alike_leave(d, en);
	ref(d, value);
	en->want = value;
	alike_enter(d, id);
	d->wanted += !old;
	d->wanted -= !value;
	unref(d, old);
}

uint32_t delta_want(struct delta *d, const void *key, void *value, uint32_t tag)
{
	uint32_t id = delta_find(d, key);

	assert(value);
	if (id == DELTA_NONE)
		id = entry_new(d, key);
	set_want(d, id, value);
	at(d, id)->tag = tag;
	place(d, id);
	return id;
}

void delta_unwant(struct delta *d, uint32_t id)
{
	set_want(d, id, NULL);
	at(d, id)->tag = 0;
	place(d, id);
}

void delta_seen_id(struct delta *d, uint32_t id, void *value)
{
	struct delta_entry *en = at(d, id);
	void *old = en->have;

	en->generation = d->generation;
	if (old != value) {
		ref(d, value);
		en->have = value;
		unref(d, old);
	}
	/* What is set aside stays so while nothing about it is new. */
	if (old != value || en->list != DELTA_HELD)
		place(d, id);
}

uint32_t delta_seen(struct delta *d, const void *key, void *value)
{
	uint32_t id = delta_find(d, key);

	if (id == DELTA_NONE) {
		if (!value)
			return DELTA_NONE;
		id = entry_new(d, key);
	}
	delta_seen_id(d, id, value);
	return at(d, id)->used ? id : DELTA_NONE;
}

void delta_touch(struct delta *d, uint32_t id)
{
	place(d, id);
}

uint32_t delta_pop(struct delta *d, enum delta_list list)
{
	uint32_t id = d->head[list];

	if (id != DELTA_NONE)
		list_leave(d, at(d, id));
	return id;
}

void delta_hold(struct delta *d, uint32_t id, unsigned note)
{
	assert(note && note < DELTA_NOTES);
	list_leave(d, at(d, id));
	list_enter(d, id, DELTA_HELD);
	at(d, id)->note = (uint8_t)note;
	d->noted[note]++;
}

void delta_release(struct delta *d, unsigned note)
{
	uint32_t next;

	for (uint32_t id = d->head[DELTA_HELD]; id != DELTA_NONE; id = next) {
		next = at(d, id)->next;
		if (at(d, id)->note == note)
			place(d, id);
	}
}

void delta_resync_begin(struct delta *d)
{
	d->generation++;
}

void delta_resync_end(struct delta *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (at(d, i)->used && at(d, i)->have && at(d, i)->generation != d->generation)
			delta_seen_id(d, i, NULL);
}

const void *delta_key(const struct delta *d, uint32_t id)
{
	return key_of(d, id);
}

void *delta_want_of(const struct delta *d, uint32_t id)
{
	return at(d, id)->want;
}

void *delta_have_of(const struct delta *d, uint32_t id)
{
	return at(d, id)->have;
}

uint32_t delta_tag(const struct delta *d, uint32_t id)
{
	return at(d, id)->tag;
}

enum delta_list delta_list_of(const struct delta *d, uint32_t id)
{
	return (enum delta_list)at(d, id)->list;
}

unsigned delta_note(const struct delta *d, uint32_t id)
{
	return at(d, id)->note;
}

uint8_t *delta_mark(const struct delta *d, uint32_t id)
{
	return &at(d, id)->mark;
}

uint32_t delta_next_on(const struct delta *d, enum delta_list list, uint32_t id)
{
	return id == DELTA_NONE ? d->head[list] : at(d, id)->next;
}

uint32_t delta_next(const struct delta *d, uint32_t id)
{
	for (id = id == DELTA_NONE ? 0 : id + 1; id < d->n; id++)
		if (at(d, id)->used)
			return id;
	return DELTA_NONE;
}

uint32_t delta_next_alike(const struct delta *d, uint32_t id)
{
	return at(d, id)->wnext;
}
