/* sqlite.c - the embedded datastore: one file, shared by the processes of one machine
 *
 * SHAPE Requests that are waiting at the same turn of the loop go into one transaction, reads and
 *       writes apart, so that a read never waits for the write lock. Each write has its own
 * verdict. When the machinery fails inside a batch, everything is taken back and done again one by
 * one: then only those requests fail that cannot work. TIME  The write lock is tried for about a
 * millisecond in place, because others hold it for a tenth of that; then again from timers, so that
 * a stuck process never stops this one; after BUSY_LIMIT_MS the caller hears STORE_UNAVAILABLE. The
 * write-ahead log is folded into the file when the loop has been quiet for a moment: that syncs the
 * disk, which has no place inside a CNI ADD. TESTS tests/unit/datastore/conformance.c, sqlite.c;
 * bench/store.c */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>
#include <utlist.h>

#include "datastore/sqlite_watch.h"

enum {
	BATCH_MAX = 64,	      /* requests in a transaction: some milliseconds */
	BUSY_LIMIT_MS = 2000, /* a request's patience with another process's lock */
	RETRY_FIRST_MS = 1,
	RETRY_MAX_MS = 10,
	FOLD_AT = 1000, /* pages of 4 KiB in the log: fold when quiet ... */
	FOLD_QUIET_MS = 20,
	FOLD_NOW_AT = 8000, /* ... or at once: the log must not fill the disk */
};

struct sqlite_ds {
	struct ds ds;
	char *path;
	struct sqlite_conn conn; /* .db NULL while the file is missing */
	struct sqlite_watch watch;
	struct event *retry, *fold;
	unsigned retry_ms;
	unsigned alone; /* so many requests are to be done one by one */
	int log_pages;
};

/* Sleeps 20 + 40 + ... + 640 microseconds, then leaves it to the timer. */
static int busy(void *arg, int tries)
{
	struct timespec ts = { .tv_nsec = 20000L << tries };

	if (tries > 5)
		return 0;
	nanosleep(&ts, NULL);
	return 1;
}

static int committed(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct sqlite_ds *s = arg;

	s->log_pages = pages;
	return SQLITE_OK;
}

static void timer_ms(struct event *ev, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	evtimer_add(ev, &tv);
}

static int conn_open(struct sqlite_ds *s, unsigned flags, struct err *e)
{
	int rc = sqlite_conn_open(&s->conn, s->path, flags, e);

	if (rc < 0)
		return rc;
	sqlite3_busy_handler(s->conn.db, busy, NULL);
	sqlite3_wal_hook(s->conn.db, committed, s);
	return 0;
}

/* Writing on into a file that has lost its name would be writing into nothing. A new file under the
 * old name is taken up, a missing one is not made again: whoever removed it had a reason. */
static bool conn_ready(struct sqlite_ds *s, struct err *e)
{
	if (s->conn.db && !sqlite_conn_moved(&s->conn))
		return true;
	sqlite_conn_close(&s->conn);
	if (conn_open(s, s->ds.flags & ~(unsigned)DS_CREATE, e) < 0)
		return false;
	sqlite_watch_replaced(&s->watch);
	return true;
}

static bool is_write(const struct ds_pending *p)
{
	return p->req.verb != STORE_GET && p->req.verb != STORE_LIST;
}

static void fold_now(struct sqlite_ds *s)
{
	if (s->conn.db && !s->conn.damaged)
		sqlite3_wal_checkpoint_v2(s->conn.db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	s->log_pages = 0;
}

static void fold_maybe(struct sqlite_ds *s)
{
	if (s->log_pages >= FOLD_NOW_AT)
		fold_now(s);
	else if (s->log_pages >= FOLD_AT && !event_pending(s->fold, EV_TIMEOUT, NULL))
		timer_ms(s->fold, FOLD_QUIET_MS);
}

static void fold(evutil_socket_t fd, short what, void *arg)
{
	struct sqlite_ds *s = arg;

	if (s->ds.pending)
		timer_ms(s->fold, FOLD_QUIET_MS);
	else
		fold_now(s);
}

static int batch(struct sqlite_ds *s, struct ds_pending *first, unsigned max, unsigned *n)
{
	struct store_res res[BATCH_MAX];
	struct kv_txn t;
	struct ds_pending *p = first;
	int rc = kv_begin(&t, &s->conn, is_write(first));

	for (*n = 0; rc == SQLITE_OK && p && *n < max && is_write(p) == t.write; p = ds_next(p)) {
		rc = kv_apply(&t, &p->req, &res[*n]);
		*n += rc == SQLITE_OK;
	}
	if (rc == SQLITE_OK)
		rc = kv_commit(&t);
	if (rc != SQLITE_OK)
		kv_abort(&t);
	p = first;
	for (unsigned i = 0; i < *n; i++, p = ds_next(p)) {
		if (rc == SQLITE_OK)
			ds_answer(p, &res[i]);
		else
			store_res_done(&res[i]);
	}
	if (rc == SQLITE_OK && t.rev != t.start_rev)
		sqlite_watch_poke(&s->watch, &s->conn);
	return rc;
}

static void refuse(struct sqlite_ds *s, struct ds_pending *p, int rc)
{
	char msg[sizeof(p->res.msg)];
	enum store_status status = sqlite_conn_explain(&s->conn, rc, msg, sizeof(msg));

	ds_refuse(p, status, msg);
}

static void refuse_write(struct sqlite_ds *s, struct ds_pending *p)
{
	if (s->conn.damaged)
		refuse(s, p, SQLITE_CORRUPT);
	else
		ds_refuse(p, STORE_ERROR, "this datastore was opened only for reading");
}

static void locked(struct sqlite_ds *s, int rc)
{
	int64_t now = ds_now_ms();
	struct ds_pending *p;

	while ((p = ds_first(&s->ds)) && now - p->since_ms >= BUSY_LIMIT_MS)
		refuse(s, p, rc);
	if (!p)
		return;
	timer_ms(s->retry, s->retry_ms);
	s->retry_ms = s->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->retry_ms * 2;
}

static void requests(struct sqlite_ds *s)
{
	struct ds_pending *p = ds_first(&s->ds);
	unsigned n, max = s->alone ? 1 : BATCH_MAX;
	int rc;

	if (!p || event_pending(s->retry, EV_TIMEOUT, NULL))
		return;
	if (is_write(p) && (s->ds.flags & DS_READONLY || s->conn.damaged)) {
		refuse_write(s, p);
		ds_wake(&s->ds);
		return;
	}
	rc = batch(s, p, max, &n);
	if ((rc & 0xff) == SQLITE_BUSY) {
		locked(s, rc);
		return;
	}
	s->retry_ms = RETRY_FIRST_MS;
	if (s->alone)
		s->alone--;
	if (rc != SQLITE_OK && max > 1 && (n > 1 || ds_next(p)))
		s->alone = n + 1;
	else if (rc != SQLITE_OK)
		refuse(s, p, rc);
	fold_maybe(s);
	if (ds_first(&s->ds))
		ds_wake(&s->ds);
}

static void work(struct ds *ds)
{
	struct sqlite_ds *s = CONTAINER_OF(ds, struct sqlite_ds, ds);
	struct ds_pending *p = ds_first(ds);
	struct err e = { 0 };

	if (!p)
		return;
	if (conn_ready(s, &e))
		requests(s);
	else
		for (; p; p = ds_next(p))
			ds_refuse(p, STORE_UNAVAILABLE, e.msg);
}

static void tell(struct ds *ds)
{
	struct sqlite_ds *s = CONTAINER_OF(ds, struct sqlite_ds, ds);
	struct err e = { 0 };

	if (!sqlite_watch_due(&s->watch))
		return;
	if (!conn_ready(s, &e))
		sqlite_watch_lost(&s->watch, e.msg);
	else
		sqlite_watch_tell(&s->watch, &s->conn);
}

static void retried(evutil_socket_t fd, short what, void *arg)
{
	struct sqlite_ds *s = arg;

	ds_wake(&s->ds);
}

static void sqlite_free(struct ds *ds)
{
	struct sqlite_ds *s = CONTAINER_OF(ds, struct sqlite_ds, ds);

	sqlite_watch_done(&s->watch);
	if (s->retry)
		event_free(s->retry);
	if (s->fold)
		event_free(s->fold);
	sqlite_conn_close(&s->conn);
	ds_done(ds);
	free(s->path);
	free(s);
}

static int sqlite_open(struct ds **out, struct event_base *base, const char *rest, unsigned flags,
		       struct err *e)
{
	struct sqlite_ds *s = xcalloc(1, sizeof(*s));
	int rc;

	s->path = xstrdup(rest);
	s->retry_ms = RETRY_FIRST_MS;
	sqlite_watch_init(&s->watch, &s->ds);
	s->retry = evtimer_new(base, retried, s);
	s->fold = evtimer_new(base, fold, s);
	rc = ds_init(&s->ds, &ds_sqlite, base, flags, e);
	if (rc < 0 || (rc = conn_open(s, flags, e)) < 0) {
		sqlite_free(&s->ds);
		return rc;
	}
	*out = &s->ds;
	return 0;
}

const struct ds_backend ds_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.work = work,
	.tell = tell,
	.free = sqlite_free,
};
