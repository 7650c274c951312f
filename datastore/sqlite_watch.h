/* sqlite_watch.h - tell watches what any process has written into the embedded database. */
#pragma once

#include "datastore/backend.h"
#include "datastore/sqlite_kv.h"

struct sqlite_watch {
	struct ds *ds;
	bool dirty;  /* there may be news: look at the next turn */
	int inotify; /* -1: none, or none to be had */
	int wd;	     /* -1: the file is not watched now */
	struct event *notify, *poll;
};

void sqlite_watch_init(struct sqlite_watch *sw, struct ds *ds);
void sqlite_watch_done(struct sqlite_watch *sw);
/* Is there anything for sqlite_watch_tell to do? */
bool sqlite_watch_due(const struct sqlite_watch *sw);
/* Tell the watches what is new, some hundred changes at a time; wakes ds when there is more. */
void sqlite_watch_tell(struct sqlite_watch *sw, struct sqlite_conn *c);
/* The database cannot be read: say so once; the poll tries again. */
void sqlite_watch_lost(struct sqlite_watch *sw, const char *why);
/* The database file is another one now: every watch there is will be told that it is over. */
void sqlite_watch_replaced(struct sqlite_watch *sw);
/* After a commit: other processes look, and so do the watches here. */
void sqlite_watch_poke(struct sqlite_watch *sw, const struct sqlite_conn *c);
