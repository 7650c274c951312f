/* service_feed.c - the datastore's Services and EndpointSlices, for what is announced of them
 * WHY    Endpoints change all the time: each object is decoded when it changes, never all of them.
 * TESTS  tests/netns/test_services.py; services.c has the rules */
#include "agent/bgp/service_feed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "model/endpointslice.h"
#include "model/key.h"
#include "model/object.h"
#include "model/service.h"

#define SERVICES KEY_RESOURCES "services/"
#define SLICES	 KEY_RESOURCES "endpointslices/"

/* A lone change is told at once, in a stream of them no more often than that: each answer is made anew
 * as a whole. */
enum { PACE_MS = 200 };

/* An object that cannot be read. */
struct broken {
	char *key, *why;
	UT_hash_handle hh;
};

struct service_feed {
	struct services *services;
	struct broken *broken;
	struct event *soon;
	int64_t told_ms; /* when fn was called last */
	service_feed_fn *fn;
	void *arg;
};

static void mend(struct service_feed *f, const char *key)
{
	struct broken *b;

	HASH_FIND_STR(f->broken, key, b);
	if (!b)
		return;
	HASH_DEL(f->broken, b);
	free(b->key);
	free(b->why);
	free(b);
}

static void note_broken(struct service_feed *f, const char *key, const struct err *e)
{
	struct broken *b = xcalloc(1, sizeof(*b));

	b->key = xstrdup(key);
	b->why = xstrdup(e->msg);
	HASH_ADD_KEYPTR(hh, f->broken, b->key, strlen(b->key), b);
}

/* 1: a change that matters; 0: none; negative: it cannot be read. */
static int put_service(struct service_feed *f, const struct object *o, const char *id,
		       struct err *e)
{
	struct service_status status;
	struct service svc;
	int rc = service_decode(o, &svc, &status, e);

	if (rc < 0)
		return rc;
	services_put(f->services, id, &svc, &status);
	service_done(&svc, &status);
	return 1;
}

/* A slice of no service is nobody's. */
static int put_slice(struct service_feed *f, const struct object *o, const char *id, struct err *e)
{
	const char *name = object_label(o, SLICE_SERVICE_LABEL);
	CLEANUP(freep) char *service = xasprintf("%s/%s", o->ns ? o->ns : "", name ? name : "");
	struct endpointslice slice;
	int rc = object_spec(o, FIELDS_LENIENT, &slice, e);

	if (rc < 0)
		return rc;
	rc = 1;
	if (name)
		rc = services_put_slice(f->services, id, service, &slice);
	else
		services_drop_slice(f->services, id);
	fields_done(&endpointslice_fields, &slice);
	return rc;
}

/* What SERVICES or SLICES keys have in common. */
struct feed_kind {
	const char *prefix;
	int (*put)(struct service_feed *f, const struct object *o, const char *id, struct err *e);
	void (*drop)(struct services *s, const char *id);
};

static const struct feed_kind service_kind = { SERVICES, put_service, services_drop };
static const struct feed_kind slice_kind = { SLICES, put_slice, services_drop_slice };

/* True when another answer is possible. */
static bool take(struct service_feed *f, const struct feed_kind *kind, const struct store_kv *kv)
{
	const char *id = kv->key + strlen(kind->prefix);
	struct object o;
	struct err e = { 0 };
	int rc;

	mend(f, kv->key);
	if (!kv->value) {
		kind->drop(f->services, id);
		return true;
	}
	rc = object_decode(kv->key, kv->value, kv->rev, &o, &e);
	if (rc >= 0) {
		rc = kind->put(f, &o, id, &e);
		object_done(&o);
	}
	/* of what is broken nothing is known any more: it announces nothing */
	if (rc < 0) {
		kind->drop(f->services, id);
		note_broken(f, kv->key, &e);
	}
	return rc != 0;
}

static void changed(struct service_feed *f, const struct feed_kind *kind, const struct store_kv *kv)
{
	int64_t wait = f->told_ms + PACE_MS - agent_now_ms();
	struct timeval when = { .tv_usec = wait > 0 ? wait * 1000 : 0 };

	if (kv && !take(f, kind, kv))
		return;
	if (!event_pending(f->soon, EV_TIMEOUT, NULL))
		evtimer_add(f->soon, &when);
}

static void service_changed(void *arg, const struct store_kv *kv)
{
	changed(arg, &service_kind, kv);
}

static void slice_changed(void *arg, const struct store_kv *kv)
{
	changed(arg, &slice_kind, kv);
}

static void on_soon(evutil_socket_t fd, short what, void *arg)
{
	struct service_feed *f = arg;

	f->told_ms = agent_now_ms();
	f->fn(f->arg);
}

struct service_feed *service_feed_new(struct agent *a, service_feed_fn *fn, void *arg)
{
	struct service_feed *f = xcalloc(1, sizeof(*f));

	f->services = services_new(a->cfg->node);
	f->fn = fn;
	f->arg = arg;
	f->soon = evtimer_new(a->base, on_soon, f);
	assert(f->soon);
	cache_subscribe(a->cache, SERVICES, service_changed, f);
	cache_subscribe(a->cache, SLICES, slice_changed, f);
	return f;
}

void service_feed_free(struct service_feed *f)
{
	struct broken *b, *next;

	if (!f)
		return;
	HASH_ITER (hh, f->broken, b, next)
		mend(f, b->key);
	services_free(f->services);
	event_free(f->soon);
	free(f);
}

const struct services *service_feed_services(const struct service_feed *f)
{
	return f->services;
}

void service_feed_troubles(const struct service_feed *f, struct str *out)
{
	for (const struct broken *b = f->broken; b; b = b->hh.next)
		str_addf(out, "%s: %s; left out\n", b->key, b->why);
}
