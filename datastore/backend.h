/* backend.h - what a datastore backend is, and what ds.c does for all of them.
 *
 * ds.c owns the two lists that callers see: requests in the order of their submission, and watches.
 * Once in every turn of the loop in which there is something to do it calls `work`, then the
 *callers whose requests are answered, then `tell`: an answer comes before the event of the same
 *write. A backend never calls a caller: it fills in answers (ds_answer) and events (ds_watch_tell).
 *So order, "never from inside ds_submit" and closing from inside a callback are solved in one
 *place.
 *
 *	ds_submit --> pending list --> be->work --> ds_answer --> done()	by ds.c, in order
 *	ds_watch  --> watch list   --> be->tell --> ds_watch_tell --> fn()	by ds.c
 *
 * A backend embeds struct ds as its first member and is added as a row in ds.c. */
#pragma once

#include "datastore/ds.h"

struct event;

/* A request until it is answered and its caller told. */
struct ds_pending {
	struct ds_pending *prev, *next;
	struct store_req req;
	struct store_res res; /* valid when answered */
	bool answered;
	int64_t since_ms; /* when it was submitted, ds_now_ms() */
	ds_done_fn *done;
	void *arg;
};

struct ds_watch {
	struct ds_watch *prev, *next;
	struct ds *ds;
	char *prefix;
	size_t prefix_len;
	int64_t pos; /* every change up to this revision has been told or is not ours */
	bool joined; /* free for the backend: has it been taken up */
	bool synced; /* SYNCED was told since the start or since the last LOST */
	bool lost;   /* LOST was told and SYNCED not yet again */
	bool over;   /* unwatched, or GONE was told: tell nothing more */
	bool dead;   /* unwatched: free it when nobody walks the list */
	ds_watch_fn *fn;
	void *arg;
};

struct ds_backend {
	const char *scheme;
	/* Open what follows "SCHEME:" in the spec; "" when nothing does. The struct has gone
	 * through ds_init when this succeeds. */
	int (*open)(struct ds **out, struct event_base *base, const char *rest, unsigned flags,
		    struct err *e);
	/* Requests may wait: get on with them, without blocking. */
	void (*work)(struct ds *ds);
	/* Watches may be new, or news for them have come. */
	void (*tell)(struct ds *ds);
	/* Nobody will be told anything more: release what the backend holds, and ds itself. */
	void (*free)(struct ds *ds);
};

extern const struct ds_backend ds_sqlite;

struct ds {
	const struct ds_backend *be;
	struct event_base *base;
	unsigned flags;
	struct event *turn;
	struct ds_pending *pending; /* utlist, oldest first */
	struct ds_watch *watches;   /* utlist */
	unsigned depth;		    /* > 0: on the stack, so nothing may be freed */
	bool closed;
};

/* Set up the common part; with -ENOMEM when libevent has none. */
int ds_init(struct ds *ds, const struct ds_backend *be, struct event_base *base, unsigned flags,
	    struct err *e);
/* Release the common part; the struct itself is the backend's. */
void ds_done(struct ds *ds);

/* Have `work` and `tell` called in the next turn of the loop. */
void ds_wake(struct ds *ds);
/* The first request without an answer, or NULL; and the next one after p. */
struct ds_pending *ds_first(struct ds *ds);
struct ds_pending *ds_next(struct ds_pending *p);
/* Answer a request; its members are moved out of *res. The caller is told when all before are. */
void ds_answer(struct ds_pending *p, struct store_res *res);
/* The same with a status and words only. */
void ds_refuse(struct ds_pending *p, enum store_status status, const char *msg);

/* Does this watch want to hear of that key? */
bool ds_watch_wants(const struct ds_watch *w, const char *key);
/* Tell one event, unless the watch is over. Only from inside `tell`. */
void ds_watch_tell(struct ds_watch *w, const struct ds_event *ev);
/* Tell LOST, unless told already, to every watch. */
void ds_watches_lost(struct ds *ds, const char *msg);

/* A clock that only goes forward. */
int64_t ds_now_ms(void);
