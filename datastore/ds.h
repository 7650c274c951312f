/* ds.h - one datastore: requests, and a watch without gaps, on the caller's event loop.
 *
 *	struct ds *ds;
 *	if (ds_open(&ds, base, "sqlite:/var/lib/margay/margay.db", DS_DURABLE, &e) < 0) ...
 *	ds_submit(ds, store_get("/calico/..."), got, arg);	answer arrives later, from the loop
 *	w = ds_watch(ds, "/calico/", res.rev, changed, arg);
 *
 * A completion is never called from inside ds_submit: only from the loop, in the order of
 *submission for one backend connection. Nothing here blocks longer than a short local transaction,
 *except ds_open, which may wait up to two seconds for another process that is making the database.
 */
#pragma once

#include "lib/err.h"
#include "model/store.h"

struct event_base;
struct ds;
struct ds_watch;

enum ds_flags {
	DS_DURABLE = 1,	 /* a write is on the disk before it is answered (what a person types) */
	DS_READONLY = 2, /* never creates or changes anything */
	DS_CREATE = 4,	 /* create the embedded database when there is none */
	DS_CHECK = 8,	 /* read an embedded database through: damage is found before a write */
};

enum {
	DS_KEY_MAX = 2048, /* bytes: two DNS names of 253 with their dashes doubled, and room */
	DS_VALUE_MAX = 1 << 20, /* bytes: what fits into etcd's default request of 1.5 MiB */
};

/* Open "sqlite:PATH", "etcd:URL[,URL...]" or "kubernetes[:KUBECONFIG]". -EINVAL for a text that is
 * none of these; -ENOTSUP for a backend that this build does not have; -EIO, -ENOENT, -EACCES with
 * words otherwise. A corrupt or foreign database is reported, never overwritten. */
int ds_open(struct ds **out, struct event_base *base, const char *spec, unsigned flags,
	    struct err *e);
/* Cancels watches and drops unanswered requests without calling them: they may have been carried
 * out or not. Allowed inside a callback of ds. NULL is fine. */
void ds_close(struct ds *ds);

/* res is borrowed for the call. To keep it: store_res_copy, or move its members out and zero *res.
 */
typedef void ds_done_fn(void *arg, struct store_res *res);
/* Consumes req. An empty or longer key or value than above is answered with STORE_ERROR. */
void ds_submit(struct ds *ds, struct store_req req, ds_done_fn *done, void *arg);
/* For programs without a loop of their own (margayctl): submit, run the loop until answered. The
 * caller releases the result with store_res_done. When something else ends the loop first (a signal
 * handler, a call from inside a callback), the answer is dropped: STORE_UNAVAILABLE says so. */
struct store_res ds_call(struct ds *ds, struct store_req req);

enum ds_event_type {
	DS_PUT,	   /* kv is the new state */
	DS_DELETE, /* kv.key, kv.rev of the deletion; kv.value NULL */
	DS_SYNCED, /* every change up to the store's present has been told; kv.rev says which */
	DS_GONE,   /* the start revision is not in the store's history: list again, watch again. The
		    * watch is over; ds_unwatch it when convenient */
	DS_LOST, /* the store cannot be reached, kv unset; the watch goes on by itself when it can,
		  * and tells DS_SYNCED once more */
};

struct ds_event {
	enum ds_event_type type;
	struct store_kv kv; /* borrowed */
	const char *msg;    /* GONE, LOST: why */
};

typedef void ds_watch_fn(void *arg, const struct ds_event *ev);
/* Tell every change after from_rev to keys that begin with prefix, each once, in the order of their
 * revisions. from_rev 0 is the beginning of history. Events come from the loop only. */
struct ds_watch *ds_watch(struct ds *ds, const char *prefix, int64_t from_rev, ds_watch_fn *fn,
			  void *arg);
/* No event comes after this; allowed inside a callback, its own too. NULL is fine. */
void ds_unwatch(struct ds_watch *w);
