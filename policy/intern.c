/* intern.c - strings as small numbers
 * SHAPE  An array of entries, and a table of their numbers with linear probing, at most half full.
 * TESTS  tests/unit/policy/labels.c */
#include "policy/intern.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fnv.h"

struct entry {
	char *text; /* NULL: free */
	uint32_t key, refs, hash;
};

struct intern {
	struct entry *entry;	    /* [0] is nothing */
	uint32_t n, cap, free_head; /* free entries are chained through `key` */
	uint32_t *bucket;
	uint32_t n_bucket, used, seed;
};

struct intern *intern_new(uint32_t seed)
{
	struct intern *in = xcalloc(1, sizeof(*in));

	in->seed = seed;
	in->cap = 64;
	in->n = 1;
	in->entry = xcalloc(in->cap, sizeof(*in->entry));
	in->n_bucket = 128;
	in->bucket = xcalloc(in->n_bucket, sizeof(*in->bucket));
	return in;
}

void intern_free(struct intern *in)
{
	if (!in)
		return;
	for (uint32_t i = 0; i < in->n; i++)
		free(in->entry[i].text);
	free(in->entry);
	free(in->bucket);
	free(in);
}

static uint32_t hash_of(const struct intern *in, uint32_t key, const char *text)
{
	uint64_t h = FNV_START ^ ((uint64_t)in->seed << 32 | key);

	h = fnv_add(h, text, strlen(text));
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return (uint32_t)(h ^ h >> 32);
}

/* The bucket that holds the text, or the empty one where it would go. */
static uint32_t place_of(const struct intern *in, uint32_t hash, uint32_t key, const char *text)
{
	uint32_t mask = in->n_bucket - 1, i = hash & mask;

	for (;; i = (i + 1) & mask) {
		const struct entry *e = &in->entry[in->bucket[i]];

		if (!in->bucket[i] || (e->hash == hash && e->key == key && !strcmp(e->text, text)))
			return i;
	}
}

static void grow_buckets(struct intern *in)
{
	uint32_t *old = in->bucket, n = in->n_bucket, mask = n * 2 - 1;

	in->n_bucket = n * 2;
	in->bucket = xcalloc(in->n_bucket, sizeof(*in->bucket));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t at;

		if (!old[i])
			continue;
		for (at = in->entry[old[i]].hash & mask; in->bucket[at]; at = (at + 1) & mask)
			;
		in->bucket[at] = old[i];
	}
	free(old);
}

static uint32_t take_entry(struct intern *in)
{
	uint32_t id = in->free_head;

	if (id) {
		in->free_head = in->entry[id].key;
		return id;
	}
	if (in->n == in->cap) {
		in->cap *= 2;
		in->entry = xreallocarray(in->entry, in->cap, sizeof(*in->entry));
	}
	return in->n++;
}

uint32_t intern_find(const struct intern *in, uint32_t key, const char *text)
{
	return in->bucket[place_of(in, hash_of(in, key, text), key, text)];
}

uint32_t intern_get(struct intern *in, uint32_t key, const char *text)
{
	uint32_t hash = hash_of(in, key, text), at = place_of(in, hash, key, text), id;

	if (in->bucket[at]) {
		in->entry[in->bucket[at]].refs++;
		return in->bucket[at];
	}
	if (++in->used * 2 > in->n_bucket) {
		grow_buckets(in);
		at = place_of(in, hash, key, text);
	}
	id = take_entry(in);
	in->entry[id] = (struct entry) { xstrdup(text), key, 1, hash };
	in->bucket[at] = id;
	if (key)
		intern_ref(in, key);
	return id;
}

uint32_t intern_ref(struct intern *in, uint32_t id)
{
	in->entry[id].refs++;
	return id;
}

/* Close the gap: whoever was pushed past it moves back. */
static void empty_bucket(struct intern *in, uint32_t at)
{
	uint32_t mask = in->n_bucket - 1, next = at;

	in->bucket[at] = 0;
	for (;;) {
		uint32_t home;

		next = (next + 1) & mask;
		if (!in->bucket[next])
			return;
		home = in->entry[in->bucket[next]].hash & mask;
		if (((next - home) & mask) < ((next - at) & mask))
			continue;
		in->bucket[at] = in->bucket[next];
		in->bucket[next] = 0;
		at = next;
	}
}

void intern_unref(struct intern *in, uint32_t id)
{
	struct entry *e = &in->entry[id];
	uint32_t key = e->key;

	if (!id || --e->refs)
		return;
	empty_bucket(in, place_of(in, e->hash, e->key, e->text));
	in->used--;
	free(e->text);
	*e = (struct entry) { NULL, in->free_head, 0, 0 };
	in->free_head = id;
	intern_unref(in, key);
}

const char *intern_text(const struct intern *in, uint32_t id)
{
	return in->entry[id].text;
}

uint32_t intern_key(const struct intern *in, uint32_t id)
{
	return in->entry[id].key;
}

uint32_t intern_limit(const struct intern *in)
{
	return in->n;
}
