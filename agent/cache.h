/* cache.h - the agent's picture of the datastore, kept up to date by one watch.
 *
 * SHAPE  Holds stored text by key, except where a scope says less, and tells subscribers every
 *        change after it is in the picture. After DS_GONE or a reconnect it lists again and tells
 *        only the difference. Decoding is the subscriber's.
 * WHY    IPAM reads, policy, peers and pools are answered from memory: an ADD costs writes only. */
#pragma once

#include "datastore/ds.h"

struct cache;
struct event_base;

/* Should the picture hold this? What it held and no longer wants is told as deleted. */
typedef bool cache_keep_fn(void *arg, const struct store_kv *kv);

/* Below `prefix` only what keep() wants is held; keep NULL: everything. The first row that fits a
 * key counts, so the narrower prefix stands first; a key that no row fits is held. */
struct cache_scope {
	const char *prefix; /* borrowed for the life of the cache */
	cache_keep_fn *keep;
	/* Subscribers are told also what is not held, and when it goes: its keys are remembered,
	 * its text is not. */
	bool told;
};

/* Starts at once to list and watch "/calico/". scopes ends with a row of NULL; NULL: hold all. */
struct cache *cache_new(struct event_base *base, struct ds *ds, const struct cache_scope *scopes,
			void *arg);
void cache_free(struct cache *c);

/* True since the first complete picture; stays true while the store is away (see cache_lost). */
bool cache_synced(const struct cache *c);
/* Why the store cannot be reached now; NULL when it can. */
const char *cache_lost(const struct cache *c);
/* Revision that the picture shows. */
int64_t cache_rev(const struct cache *c);
/* How many keys it holds. */
size_t cache_count(const struct cache *c);

/* Borrowed until the loop turns; NULL when not there (or not kept). */
const struct store_kv *cache_get(const struct cache *c, const char *key);
/* Keys that begin with prefix, sorted. fn returns false to stop; it must not write to the cache. */
typedef bool cache_each_fn(void *arg, const struct store_kv *kv);
void cache_each(const struct cache *c, const char *prefix, cache_each_fn *fn, void *arg);

/* Can the picture answer this GET or LIST in full? Not before the first sync, not when req->fresh,
 * not when a scope may have left out what is asked for: then ask the store. */
bool cache_can_answer(const struct cache *c, const struct store_req *req);
/* Answer a GET or LIST from the picture, in the store's form; the caller frees the result. */
struct store_res cache_answer(const struct cache *c, const struct store_req *req);
/* Put in what this process just wrote, so that it need not wait for the watch to come round. Older
 * revisions than the picture has are ignored, as are failed writes. */
void cache_wrote(struct cache *c, const struct store_req *req, const struct store_res *res);

/* Be told of changes below prefix. kv->value NULL: deleted. Told also for what is already there
 * and held when the cache is in sync at the time of subscribing. Called with kv NULL each time a complete
 * picture was reached. At most CACHE_SUBSCRIBERS_MAX; prefix is borrowed. */
enum { CACHE_SUBSCRIBERS_MAX = 32 };
typedef void cache_changed_fn(void *arg, const struct store_kv *kv);
void cache_subscribe(struct cache *c, const char *prefix, cache_changed_fn *fn, void *arg);
