/* sqlite_faults.c - the embedded store while something is wrong around it: locked, full, removed,
 * replaced; and that neither log nor history grows without bound. Mounts in a namespace of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "datastore/ds.h"
#include "lib/vec.h"

static char dir[] = "/tmp/margay-faults-XXXXXX";

struct box {
	struct event_base *base;
	struct ds *ds;
	char *path, *spec;
};

static int box_open(void **state)
{
	static int count;
	struct box *b = xcalloc(1, sizeof(*b));
	struct err e = { 0 };

	b->base = event_base_new();
	b->path = xasprintf("%s/%d.db", dir, count++);
	b->spec = xasprintf("sqlite:%s", b->path);
	if (ds_open(&b->ds, b->base, b->spec, DS_CREATE, &e) < 0)
		fail_msg("%s", e.msg);
	*state = b;
	return 0;
}

static int box_close(void **state)
{
	struct box *b = *state;

	ds_close(b->ds);
	event_base_free(b->base);
	free(b->path);
	free(b->spec);
	free(b);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* One request; its message stays in a static buffer. */
static enum store_status ask(struct box *b, struct store_req req, const char **msg)
{
	static char buf[sizeof(((struct store_res *)0)->msg)];
	struct store_res res = ds_call(b->ds, req);
	enum store_status status = res.status;

	snprintf(buf, sizeof(buf), "%s", res.msg);
	if (msg)
		*msg = buf;
	store_res_done(&res);
	return status;
}

static enum store_status put(struct box *b, const char *key, const char *value)
{
	return ask(b, store_update(key, value, 0), NULL);
}

/* Answers arrive here; told[] counts the events of a watch. */
struct heard {
	enum store_status status;
	int answers, good;
	size_t told[DS_LOST + 1];
	char msg[256];
};

static void answered(void *arg, struct store_res *res)
{
	struct heard *h = arg;

	h->status = res->status;
	h->answers++;
	h->good += res->status == STORE_OK;
	snprintf(h->msg, sizeof(h->msg), "%s", res->msg);
}

static void told(void *arg, const struct ds_event *ev)
{
	struct heard *h = arg;

	h->told[ev->type]++;
	if (ev->msg)
		snprintf(h->msg, sizeof(h->msg), "%s", ev->msg);
}

static void late(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

/* Run the loop until *counter reaches want. */
static void wait_for(struct box *b, const size_t *counter, size_t want)
{
	struct timeval limit = { .tv_sec = 20 };
	bool over = false;
	struct event *ev = evtimer_new(b->base, late, &over);

	evtimer_add(ev, &limit);
	while (*counter < want && !over)
		event_base_loop(b->base, EVLOOP_ONCE);
	event_free(ev);
	if (*counter < want)
		fail_msg("only %zu of %zu events", *counter, want);
}

/* Another connection that holds the write lock. In this process: SQLite keeps them apart as it does
 * those of different processes. */
static sqlite3 *lock(struct box *b)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(b->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

struct ticks {
	int n;
	int64_t last, longest;
};

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct ticks *t = arg;
	int64_t now = now_ms();

	if (t->n++ && now - t->last > t->longest)
		t->longest = now - t->last;
	t->last = now;
}

static void a_lock_held_by_another(void **state)
{
	struct box *b = *state;
	struct timeval every = { .tv_usec = 5000 };
	struct ticks t = { 0 };
	struct event *ev = event_new(b->base, -1, EV_PERSIST, tick, &t);
	struct heard write = { 0 };
	int64_t start;
	sqlite3 *other;

	assert_int_equal(put(b, "/a", "1"), STORE_OK);
	other = lock(b);
	start = now_ms();
	event_add(ev, &every);
	assert_int_equal(ask(b, store_get("/a"), NULL), STORE_OK);
	assert_true(now_ms() - start < 1900);
	start = now_ms();
	for (int i = 0; i < 100; i++)
		ds_submit(b->ds, store_update("/a", "2", 0), answered, &write);
	while (write.answers < 100)
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_int_equal(write.status, STORE_UNAVAILABLE);
	assert_non_null(strstr(write.msg, "another process"));
	assert_true(now_ms() - start >= 2000);
	/* The loop went on meanwhile; a blocking wait would show one gap of two seconds. */
	assert_true(t.n > 5);
	assert_true(t.longest < 1900);
	event_free(ev);
	sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(other);
	assert_int_equal(put(b, "/a", "3"), STORE_OK);
}

static void unlock(evutil_socket_t fd, short what, void *arg)
{
	sqlite3_close(*(sqlite3 **)arg);
	*(sqlite3 **)arg = NULL;
}

static void a_lock_that_is_let_go(void **state)
{
	struct box *b = *state;
	struct timeval soon = { .tv_usec = 100000 };
	sqlite3 *other = lock(b);
	struct event *ev = evtimer_new(b->base, unlock, &other);

	event_add(ev, &soon);
	assert_int_equal(put(b, "/a", "1"), STORE_OK);
	assert_null(other);
	event_free(ev);
}

static void fill_disk(const char *path)
{
	static const char block[4096];
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void a_full_disk(void **state)
{
	struct box *b = *state;
	char *filler CLEANUP(freep) = xasprintf("%s/filler", dir);
	char *big CLEANUP(freep) = xmalloc(200001);
	struct heard h = { 0 }, w = { 0 };
	const char *msg;
	struct err e = { 0 };
	int written = 0;

	memset(big, 'x', 200000);
	big[200000] = '\0';
	ds_watch(b->ds, "/", 0, told, &w);
	assert_int_equal(put(b, "/sound", "1"), STORE_OK);
	fill_disk(filler);
	while (written < 1000 && put(b, "/counter", "1") == STORE_OK)
		written++;
	assert_in_range(written, 0, 999);
	assert_int_equal(ask(b, store_update("/big", big, 0), &msg), STORE_UNAVAILABLE);
	assert_non_null(strstr(msg, "no space"));
	assert_non_null(strstr(msg, b->path));
	assert_int_equal(ask(b, store_get("/sound"), NULL), STORE_OK);
	assert_int_equal(ask(b, store_get("/big"), NULL), STORE_NOT_FOUND);

	/* A small write beside a big one that cannot be: each has its own verdict. */
	assert_int_equal(truncate(filler, 700 << 10), 0);
	ds_submit(b->ds, store_update("/small", "1", 0), answered, &h);
	while (!h.answers)
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_int_equal(h.status, STORE_OK);

	assert_int_equal(unlink(filler), 0);
	assert_int_equal(put(b, "/big", big), STORE_OK);
	assert_int_equal(put(b, "/sound", "2"), STORE_OK);
	wait_for(b, &w.told[DS_PUT], (size_t)written + 4);
	assert_int_equal(w.told[DS_PUT], written + 4);
	ds_close(b->ds);
	if (ds_open(&b->ds, b->base, b->spec, DS_CHECK, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(ask(b, store_get("/big"), NULL), STORE_OK);
}

/* On a disk with little room: the one big write fails, those before and after it in the same turn
 * do not. */
static void one_too_big_for_the_disk_in_a_batch(void **state)
{
	struct box *b = *state;
	char *filler CLEANUP(freep) = xasprintf("%s/filler", dir);
	char *big CLEANUP(freep) = xmalloc(DS_VALUE_MAX + 1);
	struct heard small = { 0 }, huge = { 0 };
	struct stat st;

	memset(big, 'x', DS_VALUE_MAX);
	big[DS_VALUE_MAX] = '\0';
	fill_disk(filler);
	assert_int_equal(stat(filler, &st), 0);
	assert_int_equal(truncate(filler, st.st_size - (300 << 10)), 0);
	for (int i = 0; i < 5; i++) {
		ds_submit(b->ds, store_update("/small", "1", 0), answered, &small);
		if (i == 2)
			ds_submit(b->ds, store_create("/huge", big), answered, &huge);
	}
	while (small.answers < 5)
		event_base_loop(b->base, EVLOOP_ONCE);
	assert_int_equal(huge.status, STORE_UNAVAILABLE);
	assert_int_equal(small.good, 5);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(ask(b, store_get("/small"), NULL), STORE_OK);
	assert_int_equal(ask(b, store_get("/huge"), NULL), STORE_NOT_FOUND);
}

static void a_read_only_file_system(void **state)
{
	struct box *b = *state;
	struct ds *ds = NULL;
	struct err e = { 0 };

	assert_int_equal(put(b, "/a", "1"), STORE_OK);
	ds_close(TAKE(b->ds));
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, "size=8m"), 0);
	assert_int_equal(ds_open(&ds, b->base, b->spec, DS_CREATE, &e), -EROFS);
	assert_non_null(strstr(e.msg, b->path));
	assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, "size=8m"), 0);
	assert_int_equal(ds_open(&b->ds, b->base, b->spec, 0, &e), 0);
	assert_int_equal(ask(b, store_get("/a"), NULL), STORE_OK);
}

static void remove_db(const char *path)
{
	static const char *const tails[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		char *name CLEANUP(freep) = xasprintf("%s%s", path, tails[i]);

		unlink(name);
	}
}

static void removed_and_replaced(void **state)
{
	struct box *b = *state, other = { 0 };
	struct heard w = { 0 }, again = { 0 };
	struct err e = { 0 };
	const char *msg;

	ds_watch(b->ds, "/", 0, told, &w);
	assert_int_equal(put(b, "/a", "1"), STORE_OK);
	wait_for(b, &w.told[DS_PUT], 1);
	remove_db(b->path);
	assert_int_equal(ask(b, store_update("/a", "2", 0), &msg), STORE_UNAVAILABLE);
	assert_non_null(strstr(msg, b->path));
	assert_int_equal(ask(b, store_get("/a"), NULL), STORE_UNAVAILABLE);
	assert_int_equal(access(b->path, F_OK), -1);
	wait_for(b, &w.told[DS_LOST], 1);

	other = *b;
	assert_int_equal(ds_open(&other.ds, b->base, b->spec, DS_CREATE, &e), 0);
	assert_int_equal(put(&other, "/new", "1"), STORE_OK);
	wait_for(b, &w.told[DS_GONE], 1);
	assert_non_null(strstr(w.msg, "replaced"));
	assert_int_equal(w.told[DS_LOST], 1);
	assert_int_equal(ask(b, store_get("/new"), NULL), STORE_OK);
	assert_int_equal(ask(b, store_get("/a"), NULL), STORE_NOT_FOUND);
	ds_watch(b->ds, "/", 0, told, &again);
	wait_for(b, &again.told[DS_SYNCED], 1);
	assert_int_equal(put(&other, "/new", "2"), STORE_OK);
	wait_for(b, &again.told[DS_PUT], 2);
	ds_close(other.ds);
}

/* inotify has a limit per user; a machine that is out of it polls. */
static void without_inotify(void **state)
{
	struct box *b = *state, other = *b;
	struct heard w = { 0 };
	struct rlimit old, few;
	struct err e;
	int next;

	assert_int_equal(put(b, "/a", "0"), STORE_OK);
	next = dup(0);
	assert_int_equal(ds_open(&other.ds, b->base, b->spec, 0, &e), 0);
	assert_int_equal(put(&other, "/a", "1"), STORE_OK);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = old;
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	ds_watch(b->ds, "/", 0, told, &w);
	wait_for(b, &w.told[DS_SYNCED], 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(put(&other, "/a", "2"), STORE_OK);
	wait_for(b, &w.told[DS_PUT], 3);
	assert_int_equal(w.told[DS_LOST], 0);
	ds_close(other.ds);
}

static off_t size_of(const char *path, const char *tail)
{
	char *name CLEANUP(freep) = xasprintf("%s%s", path, tail);
	struct stat st;

	return stat(name, &st) < 0 ? 0 : st.st_size;
}

/* Fifty megabytes written and none kept: log and file stay below the file system's forty. */
static void the_log_is_folded(void **state)
{
	struct box *b = *state;
	char value[1025];

	memset(value, 'x', 1024);
	value[1024] = '\0';
	for (int i = 0; i < 12000; i++)
		if (put(b, i % 2 ? "/a" : "/b", value) != STORE_OK)
			fail_msg("write %d", i);
	assert_true(size_of(b->path, "-wal") < 36 << 20);
	assert_true(size_of(b->path, "") < 16 << 20);
}

/* History is bounded in bytes as well as in changes. */
static void history_is_bounded_in_bytes(void **state)
{
	struct box *b = *state;
	char *big CLEANUP(freep) = xmalloc(DS_VALUE_MAX + 1);
	struct heard w = { 0 };
	struct err e;

	memset(big, 'y', DS_VALUE_MAX);
	big[DS_VALUE_MAX] = '\0';
	for (int i = 0; i < 400; i++)
		if (put(b, "/big", big) != STORE_OK)
			fail_msg("write %d", i);
	ds_watch(b->ds, "/", 1, told, &w);
	wait_for(b, &w.told[DS_GONE], 1);
	ds_close(b->ds);
	assert_int_equal(ds_open(&b->ds, b->base, b->spec, DS_CHECK, &e), 0);
	/* 64 MiB of history, and what comes until the next compaction. */
	assert_true(size_of(b->path, "") < 150 << 20);
	assert_int_equal(ask(b, store_get("/big"), NULL), STORE_OK);
}

/* Each group has a disk of its own. */
static int mounted(const char *size)
{
	char *options CLEANUP(freep) = xasprintf("size=%s", size);

	if (mount("tmpfs", dir, "tmpfs", 0, options) == 0)
		return 0;
	perror("mount a tmpfs: needs root");
	return -1;
}

static int small_disk(void **state)
{
	return mounted("8m");
}

static int big_disk(void **state)
{
	return mounted("260m");
}

static int no_disk(void **state)
{
	return umount2(dir, MNT_DETACH);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest faults[] = {
		T(a_lock_held_by_another),
		T(a_lock_that_is_let_go),
		T(a_full_disk),
		T(one_too_big_for_the_disk_in_a_batch),
		T(a_read_only_file_system),
		T(removed_and_replaced),
		T(without_inotify),
	};
	const struct CMUnitTest bounds[] = {
		T(the_log_is_folded),
		T(history_is_bounded_in_bytes),
	};
	int failed;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    !mkdtemp(dir)) {
		perror("a mount namespace: needs root");
		return 1;
	}
	failed = cmocka_run_group_tests_name("faults", faults, small_disk, no_disk);
	failed += cmocka_run_group_tests_name("bounds", bounds, big_disk, no_disk);
	rmdir(dir);
	return failed;
}
