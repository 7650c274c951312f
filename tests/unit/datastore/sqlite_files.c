/* sqlite_files.c - files that are not a sound margay database: reported, and left byte for byte */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "datastore/ds.h"

static char dir[] = "/tmp/margay-files-XXXXXX";
static struct event_base *base;

struct bytes {
	unsigned char *p;
	size_t n;
};

static struct bytes file_bytes(const char *path)
{
	struct bytes b = { .p = xmalloc(4 << 20) };
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, b.p, 4 << 20);

	assert_true(n >= 0);
	b.n = (size_t)n;
	close(fd);
	return b;
}

static void file_write(const char *path, const void *p, size_t n)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	close(fd);
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

/* A database with some hundred keys, all of it in the file itself. */
static void make_good(const char *path)
{
	char *spec CLEANUP(freep) = xasprintf("sqlite:%s", path);
	struct err e = { 0 };
	struct ds *ds;

	if (ds_open(&ds, base, spec, DS_CREATE, &e) < 0)
		fail_msg("%s", e.msg);
	for (int i = 0; i < 300; i++) {
		char key[32], value[200];
		struct store_res res;

		snprintf(key, sizeof(key), "/k/%d", i);
		snprintf(value, sizeof(value), "%0150d", i);
		res = ds_call(ds, store_create(key, value));
		assert_int_equal(res.status, STORE_OK);
		store_res_done(&res);
	}
	ds_close(ds);
}

static void sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Each makes a file that must be refused. */

static void garbage(const char *path)
{
	unsigned char buf[8192];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (unsigned char)(i * 131 + 7);
	file_write(path, buf, sizeof(buf));
}

static void short_text(const char *path)
{
	file_write(path, "hello\n", 6);
}

static void one_byte(const char *path)
{
	file_write(path, "S", 1);
}

static void zeros(const char *path)
{
	static const unsigned char buf[4096];

	file_write(path, buf, sizeof(buf));
}

static void overwritten_header(const char *path)
{
	struct bytes b;

	make_good(path);
	b = file_bytes(path);
	memset(b.p, 'x', 50);
	file_write(path, b.p, b.n);
	free(b.p);
}

static void cut(const char *path, size_t n)
{
	make_good(path);
	assert_int_equal(truncate(path, (off_t)n), 0);
}

static void cut_in_header(const char *path)
{
	cut(path, 60);
}

static void cut_after_header(const char *path)
{
	cut(path, 100);
}

static void cut_at_a_page(const char *path)
{
	cut(path, 3 * 4096);
}

static void cut_in_a_page(const char *path)
{
	cut(path, 5 * 4096 + 17);
}

static void foreign(const char *path)
{
	sql(path, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
}

static void foreign_with_log(const char *path)
{
	sql(path, "PRAGMA journal_mode = WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1)");
}

static void foreign_with_id(const char *path)
{
	sql(path, "PRAGMA application_id = 1196444487; CREATE TABLE kv(key)");
}

static void newer_format(const char *path)
{
	make_good(path);
	sql(path, "PRAGMA user_version = 2; PRAGMA wal_checkpoint(TRUNCATE)");
}

static void without_its_tables(const char *path)
{
	make_good(path);
	sql(path, "DROP TABLE log");
}

static void a_directory(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void a_fifo(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

static const struct {
	const char *name;
	void (*make)(const char *path);
	int rc;
	const char *says;
} refused[] = {
	{ "garbage", garbage, -EIO, "not a database" },
	{ "short-text", short_text, -EIO, "not a database" },
	{ "one-byte", one_byte, -EIO, "not a database" },
	{ "zeros", zeros, -EIO, "not a database" },
	{ "overwritten-header", overwritten_header, -EIO, "not a database" },
	{ "cut-in-header", cut_in_header, -EIO, "application id" },
	{ "cut-after-header", cut_after_header, -EIO, "" },
	{ "cut-at-a-page", cut_at_a_page, -EIO, "malformed" },
	{ "cut-in-a-page", cut_in_a_page, -EIO, "malformed" },
	{ "foreign", foreign, -EIO, "another program" },
	{ "foreign-with-log", foreign_with_log, -EIO, "another program" },
	{ "foreign-with-id", foreign_with_id, -EIO, "another program" },
	{ "newer-format", newer_format, -EIO, "format 2" },
	{ "without-its-tables", without_its_tables, -EIO, "no such table" },
	{ "a-directory", a_directory, -EISDIR, "directory" },
	{ "a-fifo", a_fifo, -EINVAL, "plain file" },
};

static const unsigned flag_sets[] = {
	0, DS_CREATE, DS_READONLY, DS_DURABLE, DS_CREATE | DS_CHECK, DS_READONLY | DS_CREATE
};

static void refuse_one(const char *path, int rc, const char *says, unsigned flags)
{
	char *spec CLEANUP(freep) = xasprintf("sqlite:%s", path);
	struct err e = { 0 };
	struct ds *ds = NULL;
	int got = ds_open(&ds, base, spec, flags, &e);

	assert_null(ds);
	if (got != rc || !strstr(e.msg, path) || !strstr(e.msg, says))
		fail_msg("flags %u: %d \"%s\", expected %d with \"%s\"", flags, got, e.msg, rc,
			 says);
}

static void refused_and_left_alone(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		char *path CLEANUP(freep) = in_dir(refused[i].name);
		struct bytes before = { 0 }, after;
		struct stat st;

		refused[i].make(path);
		assert_int_equal(stat(path, &st), 0);
		if (S_ISREG(st.st_mode))
			before = file_bytes(path);
		for (size_t f = 0; f < ARRAY_SIZE(flag_sets); f++)
			refuse_one(path, refused[i].rc, refused[i].says, flag_sets[f]);
		if (!S_ISREG(st.st_mode))
			continue;
		after = file_bytes(path);
		if (before.n != after.n || memcmp(before.p, after.p, before.n))
			fail_msg("%s was changed", path);
		free(before.p);
		free(after.p);
	}
}

/* Damage in the middle is found by reading it all, when that is asked for. */
static void damage_in_the_middle(void **state)
{
	char *path CLEANUP(freep) = in_dir("middle");
	struct bytes b, after;
	unsigned found = 0;

	make_good(path);
	b = file_bytes(path);
	for (size_t page = 1; page < b.n / 4096; page++) {
		unsigned char kept[4096];

		memcpy(kept, b.p + page * 4096, sizeof(kept));
		memset(b.p + page * 4096, 0xa5, sizeof(kept));
		file_write(path, b.p, b.n);
		refuse_one(path, -EIO, "", DS_CHECK);
		after = file_bytes(path);
		assert_int_equal(after.n, b.n);
		assert_memory_equal(after.p, b.p, b.n);
		free(after.p);
		memcpy(b.p + page * 4096, kept, sizeof(kept));
		found++;
	}
	assert_true(found > 5);
	free(b.p);
}

static enum store_status ask(struct ds *ds, struct store_req req)
{
	struct store_res res = ds_call(ds, req);
	enum store_status status = res.status;

	assert_true(status == STORE_OK || strstr(res.msg, "damaged"));
	store_res_done(&res);
	return status;
}

/* Damage that is met in use ends all writing; what can be read is read. */
static void damage_met_in_use(void **state)
{
	char *path CLEANUP(freep) = in_dir("in-use");
	char *spec CLEANUP(freep) = xasprintf("sqlite:%s", path);
	struct bytes b, after;
	struct ds *ds;
	struct err e;
	int good = 0, bad = 0;

	make_good(path);
	b = file_bytes(path);
	memset(b.p + 8 * 4096, 0xa5, 4096);
	file_write(path, b.p, b.n);
	assert_int_equal(ds_open(&ds, base, spec, 0, &e), 0);
	for (int i = 0; i < 300; i++) {
		char key[32];

		snprintf(key, sizeof(key), "/k/%d", i);
		switch (ask(ds, store_get(key))) {
		case STORE_OK:
			good++;
			break;
		case STORE_ERROR:
			bad++;
			break;
		default:
			fail();
		}
	}
	assert_true(good > 100 && bad > 0);
	assert_int_equal(ask(ds, store_update("/k/1", "2", 0)), STORE_ERROR);
	assert_int_equal(ask(ds, store_create("/new", "2")), STORE_ERROR);
	ds_close(ds);
	after = file_bytes(path);
	assert_int_equal(after.n, b.n);
	assert_memory_equal(after.p, b.p, b.n);
	free(b.p);
	free(after.p);
}

static void nothing_there(void **state)
{
	char *path CLEANUP(freep) = in_dir("none"), *deep CLEANUP(freep) = in_dir("no/such/dir");
	char *empty CLEANUP(freep) = in_dir("empty"), *spec CLEANUP(freep) = NULL;
	struct stat st;
	struct err e;
	struct ds *ds;

	refuse_one(path, -ENOENT, "no database", 0);
	refuse_one(path, -ENOENT, "no database", DS_READONLY | DS_CREATE);
	assert_int_equal(stat(path, &st), -1);
	refuse_one(deep, -ENOENT, "cannot create", DS_CREATE);
	refuse_one(deep, -ENOENT, "no database", 0);

	file_write(empty, "", 0);
	refuse_one(empty, -ENOENT, "empty", 0);
	refuse_one(empty, -ENOENT, "empty", DS_READONLY | DS_CREATE);
	assert_int_equal(stat(empty, &st), 0);
	assert_int_equal(st.st_size, 0);
	spec = xasprintf("sqlite:%s", empty);
	assert_int_equal(ds_open(&ds, base, spec, DS_CREATE, &e), 0);
	ds_close(ds);
	assert_int_equal(stat(empty, &st), 0);
	assert_true(st.st_size > 0);
}

static void only_the_owner_may_read(void **state)
{
	char *path CLEANUP(freep) = in_dir("mode");
	struct stat st;
	mode_t old = umask(0);

	make_good(path);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static int as_nobody(const char *path, unsigned flags, int want)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		char *spec = xasprintf("sqlite:%s", path);
		struct event_base *b = event_base_new();
		struct ds *ds;
		struct err e = { 0 };

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		_exit(ds_open(&ds, b, spec, flags, &e) == want && strstr(e.msg, path) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void not_ours_to_read(void **state)
{
	char *path CLEANUP(freep) = in_dir("unreadable");
	struct bytes before, after;

	make_good(path);
	before = file_bytes(path);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(as_nobody(path, 0, -EACCES), 0);
	assert_int_equal(as_nobody(path, DS_READONLY, -EACCES), 0);
	assert_int_equal(as_nobody(path, DS_CREATE, -EACCES), 0);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(as_nobody(path, 0, -EACCES), 0);
	after = file_bytes(path);
	assert_int_equal(before.n, after.n);
	assert_memory_equal(before.p, after.p, before.n);
	free(before.p);
	free(after.p);
}

static void other_stores_are_absent(void **state)
{
	static const char *const specs[] = { "etcd:http://127.0.0.1:2379", "kubernetes",
					     "kubernetes:/root/.kube/config" };

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct ds *ds = NULL;
		struct err e = { 0 };

		assert_int_equal(ds_open(&ds, base, specs[i], 0, &e), -ENOTSUP);
		assert_non_null(strstr(e.msg, "this build has no"));
	}
}

/* Many processes start on a machine without a database: one makes it, all work with it. */
static void made_by_several_at_once(void **state)
{
	enum { N = 6 };

	for (int round = 0; round < 5; round++) {
		char *spec CLEANUP(freep) = xasprintf("sqlite:%s/race%d", dir, round);
		pid_t pid[N];
		struct store_res res;
		struct ds *ds;
		struct err e;

		for (int i = 0; i < N; i++) {
			char number[16];

			snprintf(number, sizeof(number), "%d", i);
			pid[i] = fork();
			if (!pid[i]) {
				execl("/proc/self/exe", "test", "--child", spec, number,
				      (char *)NULL);
				_exit(127);
			}
		}
		for (int i = 0; i < N; i++) {
			int status;

			waitpid(pid[i], &status, 0);
			assert_int_equal(status, 0);
		}
		assert_int_equal(ds_open(&ds, base, spec, DS_CHECK, &e), 0);
		res = ds_call(ds, store_list("/child/"));
		assert_int_equal(res.n, N);
		store_res_done(&res);
		ds_close(ds);
	}
}

static int child(const char *spec, const char *number)
{
	char key[32];
	struct store_res res;
	struct ds *ds;
	struct err e;

	snprintf(key, sizeof(key), "/child/%s", number);
	if (ds_open(&ds, base, spec, DS_CREATE, &e) < 0) {
		fprintf(stderr, "child: %s\n", e.msg);
		return 3;
	}
	res = ds_call(ds, store_create(key, "1"));
	if (res.status != STORE_OK)
		fprintf(stderr, "child: %s\n", res.msg);
	ds_close(ds);
	return res.status == STORE_OK ? 0 : 4;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_and_left_alone),
		cmocka_unit_test(damage_in_the_middle),
		cmocka_unit_test(damage_met_in_use),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(only_the_owner_may_read),
		cmocka_unit_test(not_ours_to_read),
		cmocka_unit_test(other_stores_are_absent),
		cmocka_unit_test(made_by_several_at_once),
	};
	char *cmd;
	int failed;

	base = event_base_new();
	if (argc == 4)
		return child(argv[2], argv[3]);
	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	cmd = xasprintf("rm -rf %s", dir);
	failed += system(cmd) != 0;
	free(cmd);
	event_base_free(base);
	return failed;
}
