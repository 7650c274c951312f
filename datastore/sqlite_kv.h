/* sqlite_kv.h - what a request means inside one transaction of the embedded database.
 *
 *	kv_begin(&t, conn, true);
 *	kv_apply(&t, &req, &res);	any number: each has its own verdict
 *	kv_commit(&t);			until then nothing has happened, and no answer may go out
 *
 * Functions return an SQLite code: SQLITE_OK, or what kept the machinery from working, after which
 * only kv_abort is allowed. A verdict on a request ("conflict") is in its result instead. */
#pragma once

#include "datastore/sqlite_conn.h"

enum {
	KV_HISTORY = 4096, /* revisions a watch may lie behind; more than a node's agent
			    * misses in a restart */
	KV_HISTORY_BYTES =
		64 << 20,      /* the same in bytes, so that big values do not fill the disk */
	KV_COMPACT_EVERY = 16, /* writes; compaction costs about as much as those it removes */
};

struct kv_txn {
	struct sqlite_conn *c;
	bool write;
	int64_t rev;	   /* the store's newest revision, own writes included */
	int64_t start_rev; /* the same when the transaction began */
	int64_t total;	   /* bytes ever written */
	int64_t compacted; /* changes up to here are not all known any more */
};

/* A read transaction sees one state of the store however long it lasts. */
int kv_begin(struct kv_txn *t, struct sqlite_conn *c, bool write);
/* Carry out one request. On success *res is the answer, the caller's to release. */
int kv_apply(struct kv_txn *t, const struct store_req *req, struct store_res *res);
/* Also forgets old history now and then. */
int kv_commit(struct kv_txn *t);
/* Take everything back; harmless when nothing is open. */
void kv_abort(struct kv_txn *t);

/* Called for each change in order; false stops. key and value are borrowed, value NULL: deleted. */
typedef bool kv_change_fn(void *arg, int64_t rev, const char *key, const char *value);
/* Up to max changes after revision `after`; *n says how many there were. */
int kv_changes(struct kv_txn *t, int64_t after, int max, kv_change_fn *fn, void *arg, int *n);
