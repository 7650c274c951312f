/* cache.c - the agent's picture of the datastore
 * SHAPE  A sorted array of pointers to entries. An own write enters before the watch tells it
 *        (cache_wrote); the entry's revision makes the later event a no-op. An own deletion stays
 *        as a tombstone (value NULL) until the watch has passed it, or an older PUT still on its
 *        way would bring the key back for a moment.
 * COST   Insertion moves pointers: 160 KB at 20 000 keys, some 10 us.
 * INVARIANTS  what a replaced entry held stays readable until the next event of the watch, so that
 *        borrowed pointers live as long as cache.h promises.
 * TESTS  tests/unit/agent/cache.c, against the embedded store */
#include "agent/cache.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/log.h"
#include "lib/vec.h"

#define ROOT "/calico/"

enum {
	RETRY_MIN_MS = 200, /* between two tries to list */
	RETRY_MAX_MS = 10000,
};

/* The value of a key that is remembered and not held (cache_scope.told). */
static char unheld[] = "";

struct subscriber {
	const char *prefix;
	cache_changed_fn *fn;
	void *arg;
};

struct kv_vec {
	struct store_kv **p;
	size_t n, cap;
};

struct cache {
	struct ds *ds;
	const struct cache_scope *scopes;
	void *keep_arg;
	struct kv_vec kvs;  /* sorted by key; value NULL: a tombstone; or unheld */
	struct kv_vec dead; /* replaced, perhaps still borrowed */
	size_t n_tombs, n_unheld;
	struct ds_watch *watch;
	struct event *retry;
	unsigned retry_ms;
	int64_t rev;
	bool synced, is_lost;
	char lost[256];
	struct subscriber subs[CACHE_SUBSCRIBERS_MAX];
	size_t n_subs;
};

/* ---- entries ---- */

static struct store_kv *kv_new(const char *key, const char *value, int64_t rev)
{
	struct store_kv *kv = xmalloc(sizeof(*kv));

	*kv = (struct store_kv) { xstrdup(key), value == unheld ? unheld : xstrdup(value), rev };
	return kv;
}

static bool held(const struct store_kv *kv)
{
	return kv->value && kv->value != unheld;
}

static void kv_free(struct store_kv *kv)
{
	free(kv->key);
	if (kv->value != unheld)
		free(kv->value);
	free(kv);
}

static void bury(struct cache *c, struct store_kv *kv)
{
	vec_push(&c->dead, kv);
}

static void bury_done(struct cache *c)
{
	vec_foreach (&c->dead, kv)
		kv_free(*kv);
	vec_clear(&c->dead);
}

/* Index of the first entry whose key is not below `key`. */
static size_t lower_bound(const struct cache *c, const char *key)
{
	size_t lo = 0, hi = c->kvs.n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(c->kvs.p[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct store_kv *find(const struct cache *c, const char *key)
{
	size_t i = lower_bound(c, key);

	return i < c->kvs.n && strcmp(c->kvs.p[i]->key, key) == 0 ? c->kvs.p[i] : NULL;
}

static void insert_at(struct cache *c, size_t i, struct store_kv *kv)
{
	vec_push(&c->kvs, kv);
	memmove(c->kvs.p + i + 1, c->kvs.p + i, (c->kvs.n - 1 - i) * sizeof(*c->kvs.p));
	c->kvs.p[i] = kv;
}

static const struct cache_scope *scope_find(const struct cache *c, const char *key)
{
	for (const struct cache_scope *s = c->scopes; s && s->prefix; s++)
		if (str_starts(key, s->prefix))
			return s;
	return NULL;
}

static bool wanted(const struct cache *c, const struct store_kv *kv)
{
	const struct cache_scope *s = scope_find(c, kv->key);

	return !s || !s->keep || s->keep(c->keep_arg, kv);
}

/* ---- telling ---- */

static void tell(struct cache *c, const char *key, const struct store_kv *kv)
{
	for (size_t i = 0; i < c->n_subs; i++)
		if (str_starts(key, c->subs[i].prefix))
			c->subs[i].fn(c->subs[i].arg, kv);
}

static void tell_gone(struct cache *c, const char *key, int64_t rev)
{
	/* The key outlives the call even if a subscriber writes to the cache. */
	CLEANUP(freep) char *copy = xstrdup(key);
	struct store_kv kv = { .key = copy, .rev = rev };

	tell(c, copy, &kv);
}

static void tell_synced(struct cache *c)
{
	for (size_t i = 0; i < c->n_subs; i++)
		c->subs[i].fn(c->subs[i].arg, NULL);
}

/* ---- changes ---- */

/* own: this process wrote it, and the watch has not told it yet. */
static void remove_key(struct cache *c, const char *key, int64_t rev, bool own)
{
	size_t i = lower_bound(c, key);
	bool there = i < c->kvs.n && strcmp(c->kvs.p[i]->key, key) == 0, visible;

	if (!there) {
		if (own) {
			insert_at(c, i, kv_new(key, NULL, rev));
			c->n_tombs++;
		}
		return;
	}
	if (c->kvs.p[i]->rev > rev)
		return;
	visible = c->kvs.p[i]->value != NULL;
	c->n_unheld -= c->kvs.p[i]->value == unheld;
	if (own) {
		bury(c, c->kvs.p[i]);
		c->kvs.p[i] = kv_new(key, NULL, rev);
		c->n_tombs += visible;
	} else {
		bury(c, c->kvs.p[i]);
		vec_remove(&c->kvs, i);
		c->n_tombs -= !visible;
	}
	if (visible)
		tell_gone(c, key, rev);
}

static void put(struct cache *c, const struct store_kv *kv)
{
	const struct cache_scope *scope = scope_find(c, kv->key);
	bool keep = wanted(c, kv);
	struct store_kv *fresh;
	size_t i;

	if (!keep && !(scope && scope->told)) {
		remove_key(c, kv->key, kv->rev, false);
		return;
	}
	i = lower_bound(c, kv->key);
	if (i < c->kvs.n && strcmp(c->kvs.p[i]->key, kv->key) == 0) {
		if (c->kvs.p[i]->rev >= kv->rev)
			return;
		c->n_tombs -= !c->kvs.p[i]->value;
		c->n_unheld -= c->kvs.p[i]->value == unheld;
		bury(c, c->kvs.p[i]);
		c->kvs.p[i] = fresh = kv_new(kv->key, keep ? kv->value : unheld, kv->rev);
	} else {
		fresh = kv_new(kv->key, keep ? kv->value : unheld, kv->rev);
		insert_at(c, i, fresh);
	}
	c->n_unheld += !keep;
	tell(c, fresh->key, keep ? fresh : kv);
}

/* Tombstones that the watch has passed have served. */
static void drop_tombs(struct cache *c)
{
	size_t n = 0;

	if (!c->n_tombs)
		return;
	for (size_t i = 0; i < c->kvs.n; i++) {
		struct store_kv *kv = c->kvs.p[i];

		if (kv->value || kv->rev > c->rev) {
			c->kvs.p[n++] = kv;
			continue;
		}
		bury(c, kv);
		c->n_tombs--;
	}
	c->kvs.n = n;
}

/* ---- listing ---- */

/* Keys that the store no longer has, as a list to walk while subscribers change the picture. What
 * was written after the list was made (rev above it) is not missing. */
static void remove_missing(struct cache *c, const struct store_res *res)
{
	VEC(char *) gone = { 0 };
	size_t k = 0;

	for (size_t i = 0; i < c->kvs.n; i++) {
		const struct store_kv *kv = c->kvs.p[i];

		while (k < res->n && strcmp(res->kv[k].key, kv->key) < 0)
			k++;
		if (k < res->n && strcmp(res->kv[k].key, kv->key) == 0)
			continue;
		if (kv->rev <= res->rev)
			vec_push(&gone, xstrdup(kv->key));
	}
	vec_foreach (&gone, key) {
		remove_key(c, *key, res->rev, false);
		free(*key);
	}
	vec_done(&gone);
}

/* The circle list -> watch -> list needs one word in advance. */
static void watch_event(void *arg, const struct ds_event *ev);

static void retry_later(struct cache *c, const char *why)
{
	struct timeval tv = { .tv_sec = c->retry_ms / 1000,
			      .tv_usec = (long)(c->retry_ms % 1000) * 1000 };

	if (!c->is_lost)
		log_warn("cache", "cannot list the datastore, will try again", "why=%s in_ms=%u",
			 why, c->retry_ms);
	c->is_lost = true;
	str_copy(c->lost, sizeof(c->lost), why);
	event_add(c->retry, &tv);
	c->retry_ms = c->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : c->retry_ms * 2;
}

/* The store is older than the picture: it was restored from a copy, or replaced. Nothing of the
 * picture is newer than what it says. */
static void forget_revisions(struct cache *c)
{
	log_warn("cache", "the datastore has gone back; taking it as it is now");
	vec_foreach (&c->kvs, kv)
		(*kv)->rev = 0;
}

static void listed(void *arg, struct store_res *res)
{
	struct cache *c = arg;

	bury_done(c);
	if (res->status != STORE_OK) {
		retry_later(c, res->msg);
		return;
	}
	c->retry_ms = RETRY_MIN_MS;
	if (res->rev < c->rev)
		forget_revisions(c);
	c->rev = res->rev;
	if (c->is_lost)
		log_info("cache", "the datastore can be reached again", "rev=%lld",
			 (long long)res->rev);
	c->is_lost = false;
	remove_missing(c, res);
	for (size_t i = 0; i < res->n; i++)
		put(c, &res->kv[i]);
	if (!c->synced)
		log_info("cache", "the datastore's picture is complete", "keys=%zu rev=%lld",
			 cache_count(c), (long long)res->rev);
	c->synced = true;
	c->watch = ds_watch(c->ds, ROOT, res->rev, watch_event, c);
	tell_synced(c);
	store_res_done(res);
	*res = (struct store_res) { 0 };
	/* The list was the largest allocation of this process's life. */
	malloc_trim(0);
}

static void relist(struct cache *c)
{
	struct store_req req = store_list(ROOT);

	req.fresh = true;
	ds_submit(c->ds, req, listed, c);
}

static void retry_now(evutil_socket_t fd, short what, void *arg)
{
	relist(arg);
}

static void watch_event(void *arg, const struct ds_event *ev)
{
	struct cache *c = arg;

	bury_done(c);
	switch (ev->type) {
	case DS_PUT:
		c->rev = ev->kv.rev;
		put(c, &ev->kv);
		break;
	case DS_DELETE:
		c->rev = ev->kv.rev;
		remove_key(c, ev->kv.key, ev->kv.rev, false);
		break;
	case DS_SYNCED:
		if (ev->kv.rev > c->rev)
			c->rev = ev->kv.rev;
		if (c->is_lost)
			log_info("cache", "the datastore can be reached again", "rev=%lld",
				 (long long)c->rev);
		c->is_lost = false;
		drop_tombs(c);
		break;
	case DS_LOST:
		log_warn("cache", "lost the datastore; going on with the last picture", "why=%s",
			 ev->msg);
		c->is_lost = true;
		str_copy(c->lost, sizeof(c->lost), ev->msg);
		break;
	case DS_GONE:
		log_info("cache", "the watch is too far behind; listing again", "why=%s", ev->msg);
		ds_unwatch(TAKE(c->watch));
		relist(c);
		break;
	}
}

/* ---- interface ---- */

struct cache *cache_new(struct event_base *base, struct ds *ds, const struct cache_scope *scopes,
			void *arg)
{
	struct cache *c = xcalloc(1, sizeof(*c));

	c->ds = ds;
	c->scopes = scopes;
	c->keep_arg = arg;
	c->retry_ms = RETRY_MIN_MS;
	c->retry = evtimer_new(base, retry_now, c);
	assert(c->retry);
	relist(c);
	return c;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	ds_unwatch(c->watch);
	event_free(c->retry);
	bury_done(c);
	vec_foreach (&c->kvs, kv)
		kv_free(*kv);
	vec_done(&c->kvs);
	vec_done(&c->dead);
	free(c);
}

bool cache_synced(const struct cache *c)
{
	return c->synced;
}

const char *cache_lost(const struct cache *c)
{
	return c->is_lost ? c->lost : NULL;
}

int64_t cache_rev(const struct cache *c)
{
	return c->rev;
}

size_t cache_count(const struct cache *c)
{
	return c->kvs.n - c->n_tombs - c->n_unheld;
}

const struct store_kv *cache_get(const struct cache *c, const char *key)
{
	const struct store_kv *kv = find(c, key);

	return kv && held(kv) ? kv : NULL;
}

void cache_each(const struct cache *c, const char *prefix, cache_each_fn *fn, void *arg)
{
	for (size_t i = lower_bound(c, prefix); i < c->kvs.n; i++) {
		const struct store_kv *kv = c->kvs.p[i];

		if (!str_starts(kv->key, prefix))
			return;
		if (held(kv) && !fn(arg, kv))
			return;
	}
}

/* Could a key below prefix have been left out? The first row that holds the whole range decides;
 * rows in front of it that cut into the range count as well. */
static bool range_whole(const struct cache *c, const char *prefix)
{
	for (const struct cache_scope *s = c->scopes; s && s->prefix; s++) {
		if (str_starts(s->prefix, prefix) && s->keep && strcmp(s->prefix, prefix) != 0)
			return false;
		if (str_starts(prefix, s->prefix))
			return !s->keep;
	}
	return true;
}

bool cache_can_answer(const struct cache *c, const struct store_req *req)
{
	const struct cache_scope *s;

	if (!c->synced || req->fresh || !str_starts(req->key, ROOT))
		return false;
	if (req->verb == STORE_LIST)
		return range_whole(c, req->key);
	if (req->verb != STORE_GET)
		return false;
	s = scope_find(c, req->key);
	return !s || !s->keep || cache_get(c, req->key);
}

static bool add_answer(void *arg, const struct store_kv *kv)
{
	struct store_res *res = arg;

	/* Grows by doubling: powers of two are where it is full. */
	if ((res->n & (res->n - 1)) == 0)
		res->kv = xreallocarray(res->kv, res->n ? res->n * 2 : 1, sizeof(*res->kv));
	res->kv[res->n++] = (struct store_kv) { xstrdup(kv->key), xstrdup(kv->value), kv->rev };
	return true;
}

struct store_res cache_answer(const struct cache *c, const struct store_req *req)
{
	struct store_res res = { .status = STORE_OK, .rev = c->rev };
	const struct store_kv *kv;

	assert(req->verb == STORE_GET || req->verb == STORE_LIST);
	if (req->verb == STORE_LIST) {
		cache_each(c, req->key, add_answer, &res);
		return res;
	}
	kv = cache_get(c, req->key);
	if (kv) {
		add_answer(&res, kv);
		return res;
	}
	res.status = STORE_NOT_FOUND;
	snprintf(res.msg, sizeof(res.msg), "%.200s: not found", req->key);
	return res;
}

void cache_wrote(struct cache *c, const struct store_req *req, const struct store_res *res)
{
	struct store_kv kv = { .key = req->key, .value = req->value, .rev = res->rev };

	if (!c->synced || res->status != STORE_OK || !str_starts(req->key, ROOT))
		return;
	switch (req->verb) {
	case STORE_CREATE:
	case STORE_UPDATE:
		put(c, &kv);
		break;
	case STORE_DELETE:
		remove_key(c, req->key, res->rev, true);
		break;
	case STORE_GET:
	case STORE_LIST:
		break;
	}
}

static bool tell_one(void *arg, const struct store_kv *kv)
{
	const struct subscriber *s = arg;

	s->fn(s->arg, kv);
	return true;
}

void cache_subscribe(struct cache *c, const char *prefix, cache_changed_fn *fn, void *arg)
{
	struct subscriber *s = &c->subs[c->n_subs];

	assert(c->n_subs < CACHE_SUBSCRIBERS_MAX);
	c->n_subs++;
	*s = (struct subscriber) { prefix, fn, arg };
	if (!c->synced)
		return;
	cache_each(c, prefix, tell_one, s);
	fn(arg, NULL);
}
