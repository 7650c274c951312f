/* ensure.c - bring one object of the datastore to what it should be */
#include "agent/ensure.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/log.h"
#include "datastore/ds.h"

enum {
	PAUSE_MIN_MS = 100,
	PAUSE_MAX_MS = 5000,
};

struct ensure {
	struct agent *agent;
	char *key;
	ensure_change_fn *change;
	ensure_done_fn *done;
	void *arg;
	struct store_req wrote; /* what is on its way, for the cache */
	struct event *retry;
	unsigned pause_ms;
	/* The store may still answer after ensure_free: it then finds a stub that nobody wants. */
	bool asked, dead;
};

static void ask(struct ensure *en);

static void destroy(struct ensure *en)
{
	event_free(en->retry);
	store_req_done(&en->wrote);
	free(en->key);
	free(en);
}

static void finish(struct ensure *en, const char *failed)
{
	en->done(en->arg, failed);
	destroy(en);
}

static void again(struct ensure *en, const char *why)
{
	struct timeval tv = { .tv_sec = en->pause_ms / 1000,
			      .tv_usec = (long)(en->pause_ms % 1000) * 1000 };

	log_debug("store", "will try again", "key=%s why=%s", en->key, why);
	evtimer_add(en->retry, &tv);
	en->pause_ms = en->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : en->pause_ms * 2;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	ask(arg);
}

static void submit(struct ensure *en, struct store_req req, ds_done_fn *fn)
{
	en->asked = true;
	ds_submit(en->agent->ds, req, fn, en);
}

/* True when the answer is nobody's. */
static bool answered(struct ensure *en)
{
	en->asked = false;
	if (!en->dead)
		return false;
	destroy(en);
	return true;
}

static void on_written(void *arg, struct store_res *res)
{
	struct ensure *en = arg;

	if (answered(en))
		return;
	switch (res->status) {
	case STORE_OK:
		cache_wrote(en->agent->cache, &en->wrote, res);
		finish(en, NULL);
		break;
	case STORE_NOT_FOUND:
	case STORE_EXISTS:
	case STORE_CONFLICT:
		ask(en);
		break;
	case STORE_UNAVAILABLE:
		again(en, res->msg);
		break;
	case STORE_ERROR:
		finish(en, res->msg);
		break;
	}
}

static void write_change(struct ensure *en, const struct store_kv *kv)
{
	CLEANUP(freep) char *fresh = en->change(en->arg, kv ? kv->value : NULL);

	if (!fresh) {
		finish(en, NULL);
		return;
	}
	store_req_done(&en->wrote);
	en->wrote = kv ? store_update(en->key, fresh, kv->rev) : store_create(en->key, fresh);
	submit(en, kv ? store_update(en->key, fresh, kv->rev) : store_create(en->key, fresh),
	       on_written);
}

static void on_read(void *arg, struct store_res *res)
{
	struct ensure *en = arg;

	if (answered(en))
		return;
	if (res->status == STORE_OK && res->n == 1)
		write_change(en, &res->kv[0]);
	else if (res->status == STORE_NOT_FOUND)
		write_change(en, NULL);
	else if (res->status == STORE_UNAVAILABLE)
		again(en, res->msg);
	else
		finish(en, res->msg);
}

static void ask(struct ensure *en)
{
	submit(en, store_get(en->key), on_read);
}

struct ensure *ensure_new(struct agent *a, const char *key, ensure_change_fn *change,
			  ensure_done_fn *done, void *arg)
{
	struct ensure *en = xcalloc(1, sizeof(*en));

	en->agent = a;
	en->key = xstrdup(key);
	en->change = change;
	en->done = done;
	en->arg = arg;
	en->pause_ms = PAUSE_MIN_MS;
	en->retry = evtimer_new(a->base, on_retry, en);
	assert(en->retry);
	ask(en);
	return en;
}

void ensure_free(struct ensure *en)
{
	if (!en)
		return;
	event_del(en->retry);
	en->dead = true;
	if (!en->asked)
		destroy(en);
}
