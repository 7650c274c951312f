/* sqlite_kv.c - what a request means inside one transaction of the embedded database
 *
 * SHAPE Every write appends a row to log and points kv at it. Revisions count without holes,
 * because a transaction that writes holds the only write lock from its first read on. INVARIANTS
 *       - the row of the newest revision is never removed: max(log.rev) is the store's revision;
 *       - of rows at or below meta.compacted, only present values are kept. Compaction removes the
 *         others once; whoever replaces such a present value later removes its row at once;
 *       - above meta.compacted no row is ever missing, which is what a watch relies on.
 * TESTS tests/unit/datastore/conformance.c, sqlite.c */
#include "datastore/sqlite_kv.h"

#include <stdio.h>
#include <string.h>

#include "lib/vec.h"

static void bind_text(struct kv_txn *t, enum sqlite_sql which, int at, const char *text)
{
	/* Cannot fail: the text is static for the statement's run and below SQLite's limits. */
	sqlite3_bind_text(t->c->stmt[which], at, text, -1, SQLITE_STATIC);
}

static void bind_int(struct kv_txn *t, enum sqlite_sql which, int at, int64_t v)
{
	sqlite3_bind_int64(t->c->stmt[which], at, v);
}

static int run(struct kv_txn *t, enum sqlite_sql which)
{
	int rc = sqlite_conn_run(t->c, which);

	sqlite_conn_reset(t->c, which);
	return rc;
}

int kv_begin(struct kv_txn *t, struct sqlite_conn *c, bool write)
{
	sqlite3_stmt *st = c->stmt[SQL_STATE];
	int rc;

	*t = (struct kv_txn) { .c = c, .write = write };
	rc = sqlite_conn_run(c, write ? SQL_BEGIN_WRITE : SQL_BEGIN_READ);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		t->start_rev = t->rev = sqlite3_column_int64(st, 0);
		t->total = sqlite3_column_int64(st, 1);
		t->compacted = sqlite3_column_int64(st, 2);
	}
	sqlite3_reset(st);
	/* No row: somebody emptied meta by hand. */
	return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

void kv_abort(struct kv_txn *t)
{
	/* SQLite itself may have rolled back, on a full disk for one. */
	if (t->c->db && !sqlite3_get_autocommit(t->c->db))
		sqlite_conn_run(t->c, SQL_ROLLBACK);
}

static char *column_dup(sqlite3_stmt *st, int i)
{
	const unsigned char *text = sqlite3_column_text(st, i);

	return xstrndup(text ? (const char *)text : "", (size_t)sqlite3_column_bytes(st, i));
}

static int get(struct kv_txn *t, const char *key, struct store_res *res)
{
	sqlite3_stmt *st = t->c->stmt[SQL_GET];
	int rc;

	res->rev = t->rev;
	bind_text(t, SQL_GET, 1, key);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		res->kv = xcalloc(1, sizeof(*res->kv));
		res->n = 1;
		res->kv[0] = (struct store_kv) { .key = xstrdup(key),
						 .value = column_dup(st, 1),
						 .rev = sqlite3_column_int64(st, 0) };
	} else if (rc == SQLITE_DONE) {
		res->status = STORE_NOT_FOUND;
		snprintf(res->msg, sizeof(res->msg), "%.200s does not exist", key);
	}
	sqlite_conn_reset(t->c, SQL_GET);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Keys are compared as bytes, by SQLite and by strncmp alike, so all that begin with the prefix lie
 * together from the prefix itself on: no pattern, nothing to escape. */
static int list(struct kv_txn *t, const char *prefix, struct store_res *res)
{
	sqlite3_stmt *st = t->c->stmt[SQL_LIST];
	VEC(struct store_kv) v = { 0 };
	size_t len = strlen(prefix);
	int rc;

	bind_text(t, SQL_LIST, 1, prefix);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_kv kv = { .key = column_dup(st, 0) };

		if (strncmp(kv.key, prefix, len)) {
			free(kv.key);
			rc = SQLITE_DONE;
			break;
		}
		kv.rev = sqlite3_column_int64(st, 1);
		kv.value = column_dup(st, 2);
		vec_push(&v, kv);
	}
	sqlite_conn_reset(t->c, SQL_LIST);
	res->rev = t->rev;
	res->kv = v.p;
	res->n = v.n;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The key's revision, 0 when it does not exist. */
static int current(struct kv_txn *t, const char *key, int64_t *rev)
{
	sqlite3_stmt *st = t->c->stmt[SQL_CURRENT];
	int rc;

	bind_text(t, SQL_CURRENT, 1, key);
	rc = sqlite3_step(st);
	*rev = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite_conn_reset(t->c, SQL_CURRENT);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int log_add(struct kv_txn *t, const char *key, const char *value)
{
	int64_t total = t->total + (int64_t)(strlen(key) + (value ? strlen(value) : 0));
	int rc;

	bind_int(t, SQL_LOG_ADD, 1, t->rev + 1);
	bind_int(t, SQL_LOG_ADD, 2, total);
	bind_text(t, SQL_LOG_ADD, 3, key);
	if (value)
		bind_text(t, SQL_LOG_ADD, 4, value);
	rc = run(t, SQL_LOG_ADD);
	if (rc == SQLITE_OK) {
		t->rev++;
		t->total = total;
	}
	return rc;
}

/* Write value, or delete for NULL. old: the key's present revision, or 0. */
static int put(struct kv_txn *t, const char *key, const char *value, int64_t old)
{
	int rc = log_add(t, key, value);
	enum sqlite_sql which = value ? SQL_KV_PUT : SQL_KV_DELETE;

	if (rc != SQLITE_OK)
		return rc;
	bind_text(t, which, 1, key);
	if (value)
		bind_int(t, which, 2, t->rev);
	rc = run(t, which);
	if (rc != SQLITE_OK || !old || old > t->compacted)
		return rc;
	bind_int(t, SQL_LOG_DELETE, 1, old);
	return run(t, SQL_LOG_DELETE);
}

static void refuse(struct store_res *res, enum store_status status, const struct store_req *req,
		   int64_t at)
{
	const char *key = req->key;

	res->status = status;
	if (status == STORE_NOT_FOUND)
		snprintf(res->msg, sizeof(res->msg), "%.200s does not exist", key);
	else if (status == STORE_EXISTS)
		snprintf(res->msg, sizeof(res->msg), "%.190s exists, at revision %lld", key,
			 (long long)at);
	else
		snprintf(res->msg, sizeof(res->msg), "%.180s is at revision %lld, not at %lld", key,
			 (long long)at, (long long)req->rev);
}

static int write_checked(struct kv_txn *t, const struct store_req *req, struct store_res *res)
{
	int64_t at;
	int rc = current(t, req->key, &at);

	if (rc != SQLITE_OK)
		return rc;
	if (req->verb == STORE_CREATE && at)
		refuse(res, STORE_EXISTS, req, at);
	else if (req->verb != STORE_CREATE && !at && (req->rev || req->verb == STORE_DELETE))
		refuse(res, STORE_NOT_FOUND, req, at);
	else if (req->verb != STORE_CREATE && req->rev && at != req->rev)
		refuse(res, STORE_CONFLICT, req, at);
	else
		rc = put(t, req->key, req->verb == STORE_DELETE ? NULL : req->value, at);
	if (rc == SQLITE_OK && res->status == STORE_OK)
		res->rev = t->rev;
	return rc;
}

int kv_apply(struct kv_txn *t, const struct store_req *req, struct store_res *res)
{
	int rc = SQLITE_MISUSE;

	*res = (struct store_res) { .status = STORE_OK };
	switch (req->verb) {
	case STORE_GET:
		rc = get(t, req->key, res);
		break;
	case STORE_LIST:
		rc = list(t, req->key, res);
		break;
	case STORE_CREATE:
	case STORE_UPDATE:
	case STORE_DELETE:
		rc = write_checked(t, req, res);
		break;
	}
	if (rc != SQLITE_OK)
		store_res_done(res);
	return rc;
}

/* The last revision of those that are too old or too many bytes back. Both grow with the revision,
 * so the walk ends at the first row that may stay. */
static int compact_bound(struct kv_txn *t, int64_t *bound)
{
	sqlite3_stmt *st = t->c->stmt[SQL_TOTALS];
	int rc;

	*bound = t->compacted;
	bind_int(t, SQL_TOTALS, 1, t->compacted);
	bind_int(t, SQL_TOTALS, 2, 4 * KV_COMPACT_EVERY);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t rev = sqlite3_column_int64(st, 0);

		if (t->rev - rev < KV_HISTORY &&
		    t->total - sqlite3_column_int64(st, 1) < KV_HISTORY_BYTES)
			break;
		*bound = rev;
	}
	sqlite_conn_reset(t->c, SQL_TOTALS);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int compact(struct kv_txn *t)
{
	int64_t bound;
	int rc = compact_bound(t, &bound);

	if (rc != SQLITE_OK || bound == t->compacted)
		return rc;
	bind_int(t, SQL_FORGET, 1, t->compacted);
	bind_int(t, SQL_FORGET, 2, bound);
	if ((rc = run(t, SQL_FORGET)) != SQLITE_OK)
		return rc;
	bind_int(t, SQL_COMPACTED, 1, bound);
	return run(t, SQL_COMPACTED);
}

int kv_commit(struct kv_txn *t)
{
	int rc = SQLITE_OK;

	if (t->rev / KV_COMPACT_EVERY != t->start_rev / KV_COMPACT_EVERY)
		rc = compact(t);
	return rc == SQLITE_OK ? sqlite_conn_run(t->c, SQL_COMMIT) : rc;
}

int kv_changes(struct kv_txn *t, int64_t after, int max, kv_change_fn *fn, void *arg, int *n)
{
	sqlite3_stmt *st = t->c->stmt[SQL_CHANGES];
	int rc;

	*n = 0;
	bind_int(t, SQL_CHANGES, 1, after);
	bind_int(t, SQL_CHANGES, 2, max);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const unsigned char *key = sqlite3_column_text(st, 1);
		const unsigned char *value = sqlite3_column_text(st, 2);

		++*n;
		if (!fn(arg, sqlite3_column_int64(st, 0), (const char *)key, (const char *)value))
			break;
	}
	sqlite_conn_reset(t->c, SQL_CHANGES);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}
