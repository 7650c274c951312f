/* sqlite_watch.c - tell watches what any process has written
 *
 * WHY   Processes that share the file have no channel between them but the file. inotify on the
 *       write-ahead log would fire while a commit is being written, before it can be seen: whoever
 *       looks then finds nothing and is not woken again. So each process touches the database's
 *       time stamp after its commit, and that is what the others wait for. A slow poll catches what
 *       a killed process could not touch any more and what other tools write.
 * SHAPE Watches keep a position; one walk over log from the lowest position serves them all.
 *       Looking costs one seek at the end of log, as little as asking SQLite whether the data
 *       changed at all (PRAGMA data_version), so it is not asked first.
 * TESTS tests/unit/datastore/conformance.c */
#include "datastore/sqlite_watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <utlist.h>

enum {
	CHANGES_A_TURN = 256, /* then sockets and timers get their chance */
	POLL_MS = 1000,
	POLL_ALONE_MS = 50, /* when the machine has no inotify left for us */
	REPLACED = -1,	    /* a position that no history has */
};

static void look(struct sqlite_watch *sw)
{
	sw->dirty = true;
	ds_wake(sw->ds);
}

static void notified(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096] __attribute__((aligned(8)));

	/* What happened does not matter, only that something did. */
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	look(arg);
}

static void polled(evutil_socket_t fd, short what, void *arg)
{
	look(arg);
}

void sqlite_watch_init(struct sqlite_watch *sw, struct ds *ds)
{
	*sw = (struct sqlite_watch) { .ds = ds, .inotify = -1, .wd = -1 };
}

void sqlite_watch_done(struct sqlite_watch *sw)
{
	if (sw->notify)
		event_free(sw->notify);
	if (sw->poll)
		event_free(sw->poll);
	closep(&sw->inotify);
	sqlite_watch_init(sw, sw->ds);
}

/* With the first watch: programs that only ask need none of it. */
static void start(struct sqlite_watch *sw)
{
	struct timeval every = { .tv_sec = POLL_MS / 1000 };

	sw->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (sw->inotify >= 0) {
		sw->notify =
			event_new(sw->ds->base, sw->inotify, EV_READ | EV_PERSIST, notified, sw);
		event_add(sw->notify, NULL);
	} else {
		every = (struct timeval) { .tv_usec = POLL_ALONE_MS * 1000 };
	}
	sw->poll = event_new(sw->ds->base, -1, EV_PERSIST, polled, sw);
	event_add(sw->poll, &every);
}

/* Before the first look at the file, so that no write falls between looking and listening. */
static void listen_to(struct sqlite_watch *sw, const struct sqlite_conn *c)
{
	if (!sw->poll)
		start(sw);
	if (sw->inotify >= 0 && sw->wd < 0)
		sw->wd = inotify_add_watch(sw->inotify, c->path,
					   IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
}

void sqlite_watch_poke(struct sqlite_watch *sw, const struct sqlite_conn *c)
{
	/* Both stamps: the kernel calls one of them alone a read or a write, and both IN_ATTRIB.
	 * Should it fail, the others' poll finds the change. */
	static const struct timespec now[2] = { { .tv_nsec = UTIME_NOW },
						{ .tv_nsec = UTIME_NOW } };

	utimensat(AT_FDCWD, c->path, now, 0);
	sw->dirty = true;
}

bool sqlite_watch_due(const struct sqlite_watch *sw)
{
	struct ds_watch *w;

	if (!sw->ds->watches)
		return false;
	DL_FOREACH (sw->ds->watches, w)
		if (!w->joined && !w->over)
			return true;
	return sw->dirty;
}

void sqlite_watch_replaced(struct sqlite_watch *sw)
{
	struct ds_watch *w;

	if (sw->wd >= 0)
		inotify_rm_watch(sw->inotify, sw->wd);
	sw->wd = -1;
	sw->dirty = true;
	DL_FOREACH (sw->ds->watches, w)
		w->pos = REPLACED;
}

void sqlite_watch_lost(struct sqlite_watch *sw, const char *why)
{
	sw->dirty = false;
	if (sw->ds->watches && !sw->poll)
		start(sw);
	ds_watches_lost(sw->ds, why);
}

static void gone(struct ds_watch *w, const char *why)
{
	ds_watch_tell(w, &(struct ds_event) { .type = DS_GONE, .msg = why });
}

/* Take up the watches there are; the lowest position, or -1 when there is none. Those that
 * callbacks add later wait for the next time: they may begin before what has been walked over. */
static int64_t join(struct ds *ds, const struct kv_txn *t)
{
	int64_t from = -1;
	struct ds_watch *w;
	char why[160];

	DL_FOREACH (ds->watches, w) {
		if (w->pos == REPLACED) {
			gone(w, "the database file was replaced by another");
		} else if (w->pos < t->compacted || w->pos > t->rev) {
			snprintf(why, sizeof(why),
				 "revision %lld is not in the store's history, which is %lld to "
				 "%lld",
				 (long long)w->pos, (long long)t->compacted, (long long)t->rev);
			gone(w, why);
		}
		if (w->over)
			continue;
		w->joined = true;
		if (from < 0 || w->pos < from)
			from = w->pos;
	}
	return from;
}

static bool change(void *arg, int64_t rev, const char *key, const char *value)
{
	struct ds *ds = arg;
	struct ds_event ev = { .type = value ? DS_PUT : DS_DELETE };
	char *k CLEANUP(freep) = xstrdup(key), *v CLEANUP(freep) = xstrdup(value);
	struct ds_watch *w;

	ev.kv = (struct store_kv) { .key = k, .value = v, .rev = rev };
	DL_FOREACH (ds->watches, w) {
		if (!w->joined || w->pos >= rev)
			continue;
		w->pos = rev;
		if (ds_watch_wants(w, key))
			ds_watch_tell(w, &ev);
	}
	return !ds->closed;
}

static void synced(struct ds *ds, int64_t rev)
{
	struct ds_event ev = { .type = DS_SYNCED, .kv = { .rev = rev } };
	struct ds_watch *w;

	DL_FOREACH (ds->watches, w) {
		if (!w->joined)
			continue;
		w->pos = rev;
		if (!w->synced)
			ds_watch_tell(w, &ev);
	}
}

void sqlite_watch_tell(struct sqlite_watch *sw, struct sqlite_conn *c)
{
	struct ds *ds = sw->ds;
	struct kv_txn t;
	char msg[256];
	int64_t from;
	int n = 0, rc;

	listen_to(sw, c);
	sw->dirty = false;
	rc = kv_begin(&t, c, false);
	from = rc == SQLITE_OK ? join(ds, &t) : -1;
	if (from >= 0)
		rc = kv_changes(&t, from, CHANGES_A_TURN, change, ds, &n);
	kv_abort(&t);
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) {
		sqlite_conn_explain(c, rc, msg, sizeof(msg));
		sqlite_watch_lost(sw, msg);
	} else if (n == CHANGES_A_TURN) {
		look(sw);
	} else if (rc == SQLITE_OK && !ds->closed) {
		synced(ds, t.rev);
	}
}
