/* cache.h - the agent's picture of the datastore, kept up to date by one watch.
 *
 * SHAPE  Holds stored text by key (only keys that `keep` wants), tells subscribers every change after
 *        it is in the picture. After DS_GONE or a reconnect it lists again and tells only the
 *        difference. Decoding is the subscriber's.
 * WHY    IPAM reads, policy, peers and pools are answered from memory: an ADD costs writes only. */
#pragma once

#include "datastore/ds.h"

struct cache;

/* Should the picture hold this key? */
typedef bool cache_keep_fn(void *arg, const char *key);

/* Starts at once to list and watch "/calico/". */
struct cache *cache_new(struct ds *ds, cache_keep_fn *keep, void *arg);
void cache_free(struct cache *c);

/* True since the first complete picture; stays true while the store is away (see cache_lost). */
bool cache_synced(const struct cache *c);
/* Why the store cannot be reached now; NULL when it can. */
const char *cache_lost(const struct cache *c);
/* Revision that the picture shows. */
int64_t cache_rev(const struct cache *c);

/* Borrowed until the loop turns; NULL when not there (or not kept). */
const struct store_kv *cache_get(const struct cache *c, const char *key);
/* Keys that begin with prefix, sorted. fn returns false to stop. */
typedef bool cache_each_fn(void *arg, const struct store_kv *kv);
void cache_each(const struct cache *c, const char *prefix, cache_each_fn *fn, void *arg);
/* Answer a GET or LIST from the picture, in the store's form; the caller frees the result. */
struct store_res cache_answer(const struct cache *c, const struct store_req *req);
/* Put in what this process just wrote, so that it need not wait for the watch to come round. Older
 * revisions than the picture has are ignored. */
void cache_wrote(struct cache *c, const struct store_req *req, const struct store_res *res);

/* Be told of changes below prefix. kv->value NULL: deleted. Told also for what is already there
 * when the cache is in sync at the time of subscribing. synced() is called (with kv NULL) each time
 * a complete picture was reached. */
typedef void cache_changed_fn(void *arg, const struct store_kv *kv);
void cache_subscribe(struct cache *c, const char *prefix, cache_changed_fn *fn, void *arg);
