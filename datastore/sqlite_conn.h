/* sqlite_conn.h - one connection to the embedded database: find, check, create, prepare, explain.
 */
#pragma once

#include <sqlite3.h>

#include "lib/err.h"
#include "model/store.h"

/* Statements that are prepared once for the life of the connection. */
enum sqlite_sql {
	SQL_BEGIN_READ,
	SQL_BEGIN_WRITE,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_STATE,	/* -> rev, total, compacted */
	SQL_GET,	/* key -> rev, value */
	SQL_LIST,	/* from key -> key, rev, value; to the end of the table */
	SQL_CURRENT,	/* key -> rev */
	SQL_LOG_ADD,	/* rev, total, key, value or NULL */
	SQL_LOG_DELETE, /* rev */
	SQL_KV_PUT,	/* key, rev */
	SQL_KV_DELETE,	/* key */
	SQL_CHANGES,	/* after rev, limit -> rev, key, value or NULL */
	SQL_TOTALS,	/* after rev, limit -> rev, total */
	SQL_FORGET,	/* after rev, up to rev */
	SQL_COMPACTED,	/* rev */
	SQL_MAX_,
};

struct sqlite_conn {
	sqlite3 *db;  /* NULL: not open */
	char *path;   /* absolute, links resolved */
	uint64_t dev; /* which file that was when it was opened */
	uint64_t ino;
	bool damaged; /* found out while in use: write nothing more */
	sqlite3_stmt *stmt[SQL_MAX_];
};

/* Open by enum ds_flags. Blocks up to two seconds while another process makes the database.
 * -ENOENT, -EACCES, -EISDIR, -EIO with words that name the path. A file that is damaged or not
 * margay's is left as it is, byte for byte. */
int sqlite_conn_open(struct sqlite_conn *c, const char *path, unsigned flags, struct err *e);
void sqlite_conn_close(struct sqlite_conn *c);
/* Is the path no longer the file that was opened? */
bool sqlite_conn_moved(const struct sqlite_conn *c);

/* Run a prepared statement without result rows; its bindings are kept. An SQLite code. */
int sqlite_conn_run(struct sqlite_conn *c, enum sqlite_sql which);
/* Forget a statement's position and bindings. */
void sqlite_conn_reset(struct sqlite_conn *c, enum sqlite_sql which);

/* What SQLite said about rc, for a person, and what that means for the request. */
enum store_status sqlite_conn_explain(struct sqlite_conn *c, int rc, char *msg, size_t size);
