/* delta.h - what should be against what is, for any kind of thing that a driver keeps in step.
 *
 * A map from key to (want, have). The caller says what it wants and what it sees or has written;
 * the map knows at every moment which keys are to be set and which to be removed, so the work is
 * proportional to what changed and never to what there is.
 *
 *	delta_want(&d, &key, value, tag);	should be there
 *	delta_seen(&d, &key, value);		is there (a listing, an event, a write that worked)
 *	while ((id = delta_pop(&d, DELTA_SET)) != DELTA_NONE)
 *		write(delta_key(&d, id), delta_want_of(&d, id)), then delta_seen_id or delta_hold
 *
 * A listing of everything: delta_resync_begin, delta_seen for each, delta_resync_end: what was not
 * seen is not there.
 *
 * Keys are compared as bytes. Values are the caller's pointers, counted through ref and unref. Ids
 * are stable until the key is neither wanted nor there. */
#pragma once

#include "lib/base.h"

#define DELTA_NONE UINT32_MAX

enum { DELTA_NOTES = 8 };

struct delta_type {
	size_t key_size; /* a multiple of 4 */
	/* Is what we have what we want? NULL: equal pointers. Must be stable between calls that
	 * touch the key; after the answer has changed, delta_touch. */
	bool (*same)(void *ctx, void *want, void *have);
	void (*ref)(void *ctx, void *value); /* both NULL: values are not counted */
	void (*unref)(void *ctx, void *value);
	/* Where a value keeps the head of the list of keys that want it (initially DELTA_NONE).
	 * NULL: no such lists. */
	uint32_t *(*head)(void *value);
};

/* Every key is on exactly one of these. */
enum delta_list {
	DELTA_RIGHT, /* nothing to do */
	DELTA_SET,   /* wanted, and absent or different */
	DELTA_DEL,   /* there, and not wanted */
	DELTA_HELD,  /* like one of the two before, but set aside by delta_hold */
	DELTA_LISTS_,
};

struct delta_entry;

/* Of an entry: in the bucket of its hash, or among the free ones. Apart from the entries, which are ten
 * times as large, so that looking for a key mostly waits for memory once. */
struct delta_link {
	uint32_t hash, next;
};

struct delta {
	const struct delta_type *type;
	void *ctx;
	uint8_t *mem; /* entries, `stride` bytes each */
	size_t stride;
	struct delta_link *link; /* by id */
	uint32_t n, cap, free_head;
	uint32_t *bucket; /* power of two */
	uint32_t n_bucket, seed;
	uint32_t keys, wanted;
	uint32_t head[DELTA_LISTS_], tail[DELTA_LISTS_], count[DELTA_LISTS_];
	uint32_t noted[DELTA_NOTES];
	uint32_t generation;
};

/* seed spreads keys that a stranger may choose; any number. */
void delta_init(struct delta *d, const struct delta_type *type, void *ctx, uint32_t seed);
void delta_done(struct delta *d);

/* Several keys will be looked for soon: call this with the hashes of all of them for each step (0...) in
 * turn, so that their ways through memory overlap. */
enum { DELTA_STEPS = 3 };
uint32_t delta_hash(const struct delta *d, const void *key);
void delta_prefetch(const struct delta *d, uint32_t hash, unsigned step);
/* The key's id, or DELTA_NONE. */
uint32_t delta_find(const struct delta *d, const void *key);
/* tag is the caller's own word about the want. Returns the id. */
uint32_t delta_want(struct delta *d, const void *key, void *value, uint32_t tag);
/* No longer wanted. The id may be gone after this. */
void delta_unwant(struct delta *d, uint32_t id);
/* There with this value; NULL: not there. Returns the id, which may be DELTA_NONE. */
uint32_t delta_seen(struct delta *d, const void *key, void *value);
void delta_seen_id(struct delta *d, uint32_t id, void *value);
/* Judge a key again: same() may answer differently, or what held it is over. */
void delta_touch(struct delta *d, uint32_t id);

/* Take the first key of a list (DELTA_SET or DELTA_DEL) off it; it must then get delta_seen_id,
 * delta_hold or delta_touch. In the order in which keys came onto the list. */
uint32_t delta_pop(struct delta *d, enum delta_list list);
/* Set a key aside, with the reason as a note from 1 to DELTA_NOTES - 1. */
void delta_hold(struct delta *d, uint32_t id, unsigned note);
/* Back to work with all that is held for this reason. */
void delta_release(struct delta *d, unsigned note);

void delta_resync_begin(struct delta *d);
void delta_resync_end(struct delta *d);

const void *delta_key(const struct delta *d, uint32_t id);
void *delta_want_of(const struct delta *d, uint32_t id);
void *delta_have_of(const struct delta *d, uint32_t id);
uint32_t delta_tag(const struct delta *d, uint32_t id);
enum delta_list delta_list_of(const struct delta *d, uint32_t id);
unsigned delta_note(const struct delta *d, uint32_t id);
/* A byte of the caller's for each key, 0 at first. */
uint8_t *delta_mark(const struct delta *d, uint32_t id);

/* The keys of one list, in order, each by the one before: DELTA_NONE starts and ends. What happens
 * to a key may take it off the list, so ask for the next one first. */
uint32_t delta_next_on(const struct delta *d, enum delta_list list, uint32_t id);
/* All keys: start with DELTA_NONE; ends with DELTA_NONE. Changing other keys meanwhile is fine. */
uint32_t delta_next(const struct delta *d, uint32_t id);
/* The next key that wants the same value; see delta_type.head. */
uint32_t delta_next_alike(const struct delta *d, uint32_t id);
