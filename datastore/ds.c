/* ds.c - the part of a datastore that all backends share
 *
 * WHY   Order of answers, closing inside a callback and "never from inside ds_submit" are promises
 *       to callers; each is kept here once instead of three times.
 * SHAPE One zero-delay timer per datastore is "the turn": everything that was submitted in one turn
 *       of the loop is seen by the backend together, which lets it put writes into one
 *       transaction. A timer, because event_active() from inside a callback would run in the same
 *       turn again, and a caller that keeps submitting would starve every socket.
 * TESTS tests/unit/datastore/conformance.c */
#include "datastore/ds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>
#include <utlist.h>

#include "datastore/backend.h"

struct scheme {
	const char *name;
	bool needs_rest; /* "sqlite:" alone means nothing, "kubernetes" alone does */
	const struct ds_backend *be;
};

static const struct scheme schemes[] = {
	{ "sqlite", true, &ds_sqlite },
	{ "etcd", true, NULL },
	{ "kubernetes", false, NULL },
};

int64_t ds_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static const struct scheme *scheme_find(const char *spec, const char **rest)
{
	size_t len = strcspn(spec, ":");

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (strlen(schemes[i].name) != len || memcmp(spec, schemes[i].name, len))
			continue;
		*rest = spec[len] ? spec + len + 1 : spec + len;
		return **rest || !schemes[i].needs_rest ? &schemes[i] : NULL;
	}
	return NULL;
}

int ds_open(struct ds **out, struct event_base *base, const char *spec, unsigned flags,
	    struct err *e)
{
	const char *rest = "";
	const struct scheme *s = scheme_find(spec, &rest);

	if (!s)
		return err_set(e, -EINVAL,
			       "datastore \"%s\": must be sqlite:PATH, etcd:URL[,URL...] or "
			       "kubernetes[:KUBECONFIG]",
			       spec);
	if (!s->be)
		return err_set(e, -ENOTSUP,
			       "datastore \"%s\": this build has no %s, only sqlite:PATH", spec,
			       s->name);
	return s->be->open(out, base, rest, flags, e);
}

static void pending_free(struct ds *ds, struct ds_pending *p)
{
	DL_DELETE(ds->pending, p);
	store_req_done(&p->req);
	store_res_done(&p->res);
	free(p);
}

static void watch_free(struct ds *ds, struct ds_watch *w)
{
	DL_DELETE(ds->watches, w);
	free(w->prefix);
	free(w);
}

/* Everything that had to wait until no frame of ours is on the stack. */
static void leave(struct ds *ds)
{
	struct ds_watch *w, *next;

	if (--ds->depth)
		return;
	if (ds->closed) {
		ds->be->free(ds);
		return;
	}
	DL_FOREACH_SAFE (ds->watches, w, next)
		if (w->dead)
			watch_free(ds, w);
}

/* A caller may submit, watch or close while it is told: the head is taken off first, and looked at
 * anew each time. */
static void deliver(struct ds *ds)
{
	while (!ds->closed && ds->pending && ds->pending->answered) {
		struct ds_pending *p = ds->pending;

		DL_DELETE(ds->pending, p);
		p->done(p->arg, &p->res);
		store_req_done(&p->req);
		store_res_done(&p->res);
		free(p);
	}
}

static void turn(evutil_socket_t fd, short what, void *arg)
{
	struct ds *ds = arg;

	ds->depth++;
	ds->be->work(ds);
	deliver(ds);
	if (!ds->closed)
		ds->be->tell(ds);
	leave(ds);
}

int ds_init(struct ds *ds, const struct ds_backend *be, struct event_base *base, unsigned flags,
	    struct err *e)
{
	ds->be = be;
	ds->base = base;
	ds->flags = flags;
	ds->turn = evtimer_new(base, turn, ds);
	return ds->turn ? 0 : err_set(e, -ENOMEM, "no memory for an event");
}

void ds_done(struct ds *ds)
{
	while (ds->pending)
		pending_free(ds, ds->pending);
	while (ds->watches)
		watch_free(ds, ds->watches);
	if (ds->turn)
		event_free(ds->turn);
	ds->turn = NULL;
}

void ds_close(struct ds *ds)
{
	struct ds_watch *w;

	if (!ds || ds->closed)
		return;
	ds->closed = true;
	DL_FOREACH (ds->watches, w)
		w->over = true;
	ds->depth++;
	leave(ds);
}

void ds_wake(struct ds *ds)
{
	static const struct timeval now = { 0 };

	if (!ds->closed && !event_pending(ds->turn, EV_TIMEOUT, NULL))
		evtimer_add(ds->turn, &now);
}

struct ds_pending *ds_next(struct ds_pending *p)
{
	do
		p = p->next;
	while (p && p->answered);
	return p;
}

struct ds_pending *ds_first(struct ds *ds)
{
	return ds->pending && ds->pending->answered ? ds_next(ds->pending) : ds->pending;
}

void ds_answer(struct ds_pending *p, struct store_res *res)
{
	p->res = *res;
	*res = (struct store_res) { 0 };
	p->answered = true;
}

void ds_refuse(struct ds_pending *p, enum store_status status, const char *msg)
{
	p->res = (struct store_res) { .status = status };
	snprintf(p->res.msg, sizeof(p->res.msg), "%s", msg);
	p->answered = true;
}

/* What no backend has to look at. */
static void check_limits(struct ds_pending *p)
{
	const struct store_req *r = &p->req;
	size_t key = strlen(r->key), value = r->value ? strlen(r->value) : 0;
	bool writes = r->verb == STORE_CREATE || r->verb == STORE_UPDATE;
	char msg[sizeof(p->res.msg)];

	if (!key && r->verb != STORE_LIST)
		snprintf(msg, sizeof(msg), "the key is empty");
	else if (key > DS_KEY_MAX)
		snprintf(msg, sizeof(msg), "key %.40s...: %zu bytes, at most %d", r->key, key,
			 DS_KEY_MAX);
	else if (writes && !r->value)
		snprintf(msg, sizeof(msg), "%.150s: no value to write", r->key);
	else if (value > DS_VALUE_MAX)
		snprintf(msg, sizeof(msg), "%.150s: the value has %zu bytes, at most %d", r->key,
			 value, DS_VALUE_MAX);
	else
		return;
	ds_refuse(p, STORE_ERROR, msg);
}

static struct ds_pending *submit(struct ds *ds, struct store_req req, ds_done_fn *done, void *arg)
{
	struct ds_pending *p = xcalloc(1, sizeof(*p));

	p->req = req;
	p->done = done;
	p->arg = arg;
	p->since_ms = ds_now_ms();
	check_limits(p);
	DL_APPEND(ds->pending, p);
	ds_wake(ds);
	return p;
}

void ds_submit(struct ds *ds, struct store_req req, ds_done_fn *done, void *arg)
{
	submit(ds, req, done, arg);
}

struct call {
	bool done;
	struct store_res res;
};

static void call_done(void *arg, struct store_res *res)
{
	struct call *c = arg;

	c->res = *res;
	c->done = true;
	*res = (struct store_res) { 0 };
}

/* Takes the place of call_done when the caller's frame is gone. */
static void call_dropped(void *arg, struct store_res *res)
{
}

struct store_res ds_call(struct ds *ds, struct store_req req)
{
	struct call c = { 0 };
	struct ds_pending *p = submit(ds, req, call_done, &c);

	while (!c.done) {
		if (event_base_loop(ds->base, EVLOOP_ONCE) == 0 &&
		    !event_base_got_break(ds->base) && !event_base_got_exit(ds->base))
			continue;
		if (c.done)
			break;
		p->done = call_dropped;
		c.res.status = STORE_UNAVAILABLE;
		snprintf(c.res.msg, sizeof(c.res.msg), "interrupted before there was an answer");
		break;
	}
	return c.res;
}

struct ds_watch *ds_watch(struct ds *ds, const char *prefix, int64_t from_rev, ds_watch_fn *fn,
			  void *arg)
{
	struct ds_watch *w = xcalloc(1, sizeof(*w));

	w->ds = ds;
	w->prefix = xstrdup(prefix);
	w->prefix_len = strlen(prefix);
	w->pos = from_rev;
	w->fn = fn;
	w->arg = arg;
	DL_APPEND(ds->watches, w);
	ds_wake(ds);
	return w;
}

void ds_unwatch(struct ds_watch *w)
{
	if (!w)
		return;
	w->over = w->dead = true;
	w->ds->depth++;
	leave(w->ds);
}

bool ds_watch_wants(const struct ds_watch *w, const char *key)
{
	return !w->over && !strncmp(key, w->prefix, w->prefix_len);
}

void ds_watch_tell(struct ds_watch *w, const struct ds_event *ev)
{
	if (w->over)
		return;
	switch (ev->type) {
	case DS_PUT:
	case DS_DELETE:
		w->pos = ev->kv.rev;
		break;
	case DS_SYNCED:
		w->synced = true;
		w->lost = false;
		break;
	case DS_LOST:
		w->synced = false;
		w->lost = true;
		break;
	case DS_GONE:
		w->over = true;
		break;
	}
	w->fn(w->arg, ev);
}

void ds_watches_lost(struct ds *ds, const char *msg)
{
	struct ds_event ev = { .type = DS_LOST, .msg = msg };
	struct ds_watch *w;

	DL_FOREACH (ds->watches, w)
		if (!w->lost)
			ds_watch_tell(w, &ev);
}
