/* sqlite_conn.c - one connection to the embedded database
 *
 * WHY   The file holds the cluster: whatever is not plainly margay's database is reported and left
 *       alone. So the 100-byte header is looked at before SQLite may touch the file, and until
 *       everything has been checked SQLite may not even fold the write-ahead log into it.
 * SHAPE log  every write: revision, key, value (NULL: deleted). The value of a key lives here once,
 *            and a watch is a walk over it.
 *       kv   key -> revision of the row in log that is its present value.
 *       meta one row: the revision up to which log holds present values only.
 *       log.total is the number of bytes ever written up to and including this row, so that
 *       history can be bounded by bytes without adding up (sqlite_kv.c).
 * NOTE  Never open(2) and close(2) the database beside SQLite: closing any descriptor of a file
 *       drops all POSIX locks that this process holds on it. The header is read through SQLite's
 *       own file layer, which knows.
 * SPEC  https://www.sqlite.org/fileformat2.html 1.3 (header) */
#include "datastore/sqlite_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datastore/ds.h"

enum {
	APP_ID = 0x6d726779, /* "mrgy", at offset 68 of the header */
	FORMAT = 1,	     /* the user version, at offset 60 */
	HEADER_SIZE = 100,
	OPEN_WAIT_MS = 2000, /* for another process that is making the database */
};

static const char *const sql[SQL_MAX_] = {
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	/* The first write gets revision 2: nobody can take the empty store's revision for "none".
	 */
	[SQL_STATE] = "SELECT ifnull((SELECT max(rev) FROM log), 1),"
		      " ifnull((SELECT total FROM log ORDER BY rev DESC LIMIT 1), 0),"
		      " compacted FROM meta",
	[SQL_GET] = "SELECT kv.rev, log.value FROM kv JOIN log ON log.rev = kv.rev"
		    " WHERE kv.key = ?1",
	[SQL_LIST] = "SELECT kv.key, kv.rev, log.value FROM kv CROSS JOIN log ON log.rev = kv.rev"
		     " WHERE kv.key >= ?1 ORDER BY kv.key",
	[SQL_CURRENT] = "SELECT rev FROM kv WHERE key = ?1",
	[SQL_LOG_ADD] = "INSERT INTO log(rev, total, key, value) VALUES(?1, ?2, ?3, ?4)",
	[SQL_LOG_DELETE] = "DELETE FROM log WHERE rev = ?1",
	[SQL_KV_PUT] = "INSERT INTO kv(key, rev) VALUES(?1, ?2)"
		       " ON CONFLICT(key) DO UPDATE SET rev = excluded.rev",
	[SQL_KV_DELETE] = "DELETE FROM kv WHERE key = ?1",
	[SQL_CHANGES] = "SELECT rev, key, value FROM log WHERE rev > ?1 ORDER BY rev LIMIT ?2",
	[SQL_TOTALS] = "SELECT rev, total FROM log WHERE rev > ?1 ORDER BY rev LIMIT ?2",
	[SQL_FORGET] = "DELETE FROM log WHERE rev > ?1 AND rev <= ?2 AND NOT EXISTS"
		       " (SELECT 1 FROM kv WHERE kv.key = log.key AND kv.rev = log.rev)",
	[SQL_COMPACTED] = "UPDATE meta SET compacted = ?1",
};

static const char schema[] =
	"CREATE TABLE kv(key TEXT PRIMARY KEY, rev INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE log(rev INTEGER PRIMARY KEY, total INTEGER NOT NULL, key TEXT NOT NULL,"
	" value TEXT);"
	"CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), compacted INTEGER NOT NULL);"
	"INSERT INTO meta VALUES(1, 0);"
	"PRAGMA application_id = 0x6d726779;"
	"PRAGMA user_version = 1;";

static int words(struct sqlite_conn *c, const char *path, struct err *e)
{
	return err_set(e, -EIO, "%s: %s", path, c->db ? sqlite3_errmsg(c->db) : "out of memory");
}

/* Everything that can be said without SQLite. *empty: there is a file of no bytes, maybe just made
 * here. 0600: what is in it is for root, whatever the umask. */
static int file_look(const char *path, unsigned flags, bool *empty, struct err *e)
{
	bool create = (flags & DS_CREATE) && !(flags & DS_READONLY);
	struct stat st;

	if (create) {
		int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);

		if (fd < 0 && errno != EEXIST)
			return err_set(e, -errno, "%s: cannot create the database: %s%s", path,
				       strerror(errno),
				       errno == ENOENT
					       ? "; make its directory, or give another path"
					       : "");
		if (fd >= 0)
			close(fd);
	}
	if (stat(path, &st) < 0)
		return errno == ENOENT ? err_set(e, -ENOENT,
						 "%s: there is no database; margayd makes it when "
						 "it starts",
						 path)
				       : err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "%s: is a directory, must be a database file", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: must be a plain file", path);
	if (faccessat(AT_FDCWD, path, R_OK | (flags & DS_READONLY ? 0 : W_OK), AT_EACCESS) < 0)
		return err_set(e, -errno, "%s: cannot %s it: %s", path,
			       flags & DS_READONLY ? "read" : "read and write", strerror(errno));
	*empty = !st.st_size;
	if (*empty && !create)
		return err_set(
			e, -ENOENT,
			"%s: is an empty file; margayd makes a database of it when it starts",
			path);
	return 0;
}

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Through SQLite's file layer: see NOTE on top. SQLite fills what is missing with zeros. */
static int header_read(const char *path, unsigned char buf[static HEADER_SIZE])
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	sqlite3_file *f = xcalloc(1, (size_t)vfs->szOsFile);
	const char *name = sqlite3_create_filename(path, "", "", 0, NULL);
	int rc = SQLITE_NOMEM;

	if (name)
		rc = vfs->xOpen(vfs, name, f, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY, NULL);
	if (rc == SQLITE_OK)
		rc = f->pMethods->xRead(f, buf, HEADER_SIZE, 0);
	if (f->pMethods)
		f->pMethods->xClose(f);
	sqlite3_free_filename(name);
	free(f);
	return rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc;
}

static int header_check(const char *path, struct err *e)
{
	unsigned char h[HEADER_SIZE] = { 0 };
	int rc = header_read(path, h);

	if (rc != SQLITE_OK)
		return err_set(e, -EIO, "%s: cannot read it: %s", path, sqlite3_errstr(rc));
	if (memcmp(h, "SQLite format 3", 16))
		return err_set(e, -EIO,
			       "%s: file is not a database (no SQLite header): damaged, or not "
			       "margay's; it is left as it is, move it away or restore a copy",
			       path);
	if (be32(h + 68) != APP_ID)
		return err_set(e, -EIO,
			       "%s: an SQLite database of another program (application id 0x%08x, "
			       "margay's is 0x%08x); it is left as it is",
			       path, be32(h + 68), (unsigned)APP_ID);
	if (be32(h + 60) != FORMAT)
		return err_set(e, -EIO, "%s: database format %u, this margay knows format %d", path,
			       be32(h + 60), FORMAT);
	return 0;
}

/* The first column of the first row, for statements that run once. */
static int pragma_text(struct sqlite_conn *c, const char *text, char **out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db, text, -1, &st, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		*out = xstrdup((const char *)sqlite3_column_text(st, 0));
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc & 0xff;
}

static int pragma_int(struct sqlite_conn *c, const char *text, int64_t *out)
{
	char *s CLEANUP(freep) = NULL;
	int rc = pragma_text(c, text, &s);

	if (rc == SQLITE_OK)
		*out = s ? strtoll(s, NULL, 10) : 0;
	return rc;
}

/* Everything in one transaction in rollback-journal mode, so that the header in the file itself
 * says whose it is from the first moment. Several processes may come here at once: the lock
 * decides. */
static int create(struct sqlite_conn *c, const char *path, unsigned flags, struct err *e)
{
	int64_t id = 0, tables = 0;

	if (!(flags & DS_CREATE) || flags & DS_READONLY)
		return err_set(e, -ENOENT,
			       "%s: a database was being made here and is not complete; "
			       "margayd makes it anew when it starts",
			       path);
	if (sqlite3_exec(c->db, "BEGIN EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK ||
	    pragma_int(c, "PRAGMA application_id", &id) != SQLITE_OK ||
	    pragma_int(c, "SELECT count(*) FROM sqlite_schema", &tables) != SQLITE_OK)
		return words(c, path, e);
	if (id == APP_ID) {
		sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
		return 0;
	}
	if (id || tables)
		return err_set(e, -EIO, "%s: another program has just made its database here",
			       path);
	if (sqlite3_exec(c->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(c->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return words(c, path, e);
	return 0;
}

/* Two processes that switch at the same time would deadlock in SQLite's eyes, which answers "busy"
 * at once instead of waiting; hence the loop. */
static int wal_mode(struct sqlite_conn *c, const char *path, struct err *e)
{
	char *mode CLEANUP(freep) = NULL;
	int rc, tries = OPEN_WAIT_MS / 10;

	while ((rc = pragma_text(c, "PRAGMA journal_mode = WAL", &mode)) == SQLITE_BUSY && tries--)
		sqlite3_sleep(10);
	if (rc != SQLITE_OK)
		return words(c, path, e);
	if (!str_eq(mode, "wal"))
		return err_set(e, -EIO,
			       "%s: this file system cannot share a write-ahead log between "
			       "processes; put the database on a local disk",
			       path);
	return 0;
}

static int settings(struct sqlite_conn *c, const char *path, unsigned flags, struct err *e)
{
	const char *sync =
		flags & DS_DURABLE ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
	int rc;

	if (!(flags & DS_READONLY) && (rc = wal_mode(c, path, e)) < 0)
		return rc;
	/* The cache: IPAM blocks and endpoints of a node are some hundred kilobytes; the agent has
	 * 12 MB in all. The log file is cut back to 4 MiB when it has been folded in. */
	if (sqlite3_exec(c->db, sync, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(c->db,
			 "PRAGMA cache_size = -512; PRAGMA journal_size_limit = 4194304;"
			 "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
			 NULL, NULL, NULL) != SQLITE_OK)
		return words(c, path, e);
	return 0;
}

static int prepare(struct sqlite_conn *c, const char *path, struct err *e)
{
	for (size_t i = 0; i < SQL_MAX_; i++)
		if (sqlite3_prepare_v3(c->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->stmt[i],
				       NULL) != SQLITE_OK)
			return words(c, path, e);
	return 0;
}

/* DS_CHECK: every page, and that each key's present value is where kv says. */
static int check(struct sqlite_conn *c, const char *path, struct err *e)
{
	char *found CLEANUP(freep) = NULL;
	int64_t loose = 0;

	if (pragma_text(c, "PRAGMA quick_check(1)", &found) != SQLITE_OK)
		return words(c, path, e);
	if (!str_eq(found, "ok"))
		return err_set(
			e, -EIO,
			"%s: the database is damaged: %s; it is left as it is, restore a copy",
			path, found ? found : "?");
	if (pragma_int(c,
		       "SELECT count(*) FROM kv LEFT JOIN log ON log.rev = kv.rev"
		       " WHERE log.key IS NOT kv.key OR log.value IS NULL",
		       &loose) != SQLITE_OK)
		return words(c, path, e);
	return loose ? err_set(e, -EIO, "%s: the database is damaged: %lld keys without a value",
			       path, (long long)loose)
		     : 0;
}

/* May SQLite fold the log into the file when the last process closes it? */
static void fold_on_close(struct sqlite_conn *c, bool may)
{
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, may ? 0 : 1, (int *)NULL);
}

static int open_checked(struct sqlite_conn *c, const char *path, unsigned flags, struct err *e)
{
	int mode = flags & DS_READONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int64_t id = 0;
	int rc = sqlite3_open_v2(path, &c->db, mode | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return words(c, path, e);
	fold_on_close(c, false);
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, OPEN_WAIT_MS);
	if (pragma_int(c, "PRAGMA application_id", &id) != SQLITE_OK)
		return words(c, path, e);
	if (id != APP_ID && (rc = create(c, path, flags, e)) < 0)
		return rc;
	if ((rc = settings(c, path, flags, e)) < 0 || (rc = prepare(c, path, e)) < 0)
		return rc;
	if (flags & DS_CHECK && (rc = check(c, path, e)) < 0)
		return rc;
	fold_on_close(c, !(flags & DS_READONLY));
	return 0;
}

int sqlite_conn_open(struct sqlite_conn *c, const char *path, unsigned flags, struct err *e)
{
	struct stat st;
	bool empty;
	int rc;

	*c = (struct sqlite_conn) { 0 };
	if ((rc = file_look(path, flags, &empty, e)) < 0)
		return rc;
	if (!empty && (rc = header_check(path, e)) < 0)
		return rc;
	if ((rc = open_checked(c, path, flags, e)) < 0) {
		sqlite_conn_close(c);
		return rc;
	}
	c->path = xstrdup(sqlite3_db_filename(c->db, "main"));
	if (stat(c->path, &st) < 0) {
		rc = err_set(e, -errno, "%s: %s", path, strerror(errno));
		sqlite_conn_close(c);
		return rc;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

void sqlite_conn_close(struct sqlite_conn *c)
{
	for (size_t i = 0; i < SQL_MAX_; i++)
		sqlite3_finalize(c->stmt[i]);
	sqlite3_close(c->db);
	free(c->path);
	*c = (struct sqlite_conn) { 0 };
}

bool sqlite_conn_moved(const struct sqlite_conn *c)
{
	struct stat st;

	return stat(c->path, &st) < 0 || st.st_dev != c->dev || st.st_ino != c->ino;
}

int sqlite_conn_run(struct sqlite_conn *c, enum sqlite_sql which)
{
	int rc = sqlite3_step(c->stmt[which]);

	sqlite3_reset(c->stmt[which]);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

void sqlite_conn_reset(struct sqlite_conn *c, enum sqlite_sql which)
{
	sqlite3_reset(c->stmt[which]);
	sqlite3_clear_bindings(c->stmt[which]);
}

enum store_status sqlite_conn_explain(struct sqlite_conn *c, int rc, char *msg, size_t size)
{
	int sys = sqlite3_system_errno(c->db);

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(msg, size, "%s: another process keeps it locked; try again", c->path);
		return STORE_UNAVAILABLE;
	case SQLITE_FULL:
		snprintf(msg, size, "%s: no space left on its disk (%s)", c->path,
			 sqlite3_errstr(rc));
		return STORE_UNAVAILABLE;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		snprintf(msg, size, "%s: %s%s%s", c->path, sqlite3_errstr(rc), sys ? ": " : "",
			 sys ? strerror(sys) : "");
		return STORE_UNAVAILABLE;
	case SQLITE_NOMEM:
	case SQLITE_READONLY:
	case SQLITE_PROTOCOL:
		snprintf(msg, size, "%s: %s", c->path, sqlite3_errstr(rc));
		return STORE_UNAVAILABLE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		c->damaged = true;
		fold_on_close(c, false);
		snprintf(msg, size, "%s: the database is damaged (%s); restore a copy", c->path,
			 sqlite3_errstr(rc));
		return STORE_ERROR;
	default:
		snprintf(msg, size, "%s: %s", c->path, sqlite3_errmsg(c->db));
		return STORE_ERROR;
	}
}
