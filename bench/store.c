/* store.c - what a request to the embedded datastore costs, beside bare SQLite
 *
 * One request at a time, each waiting for the answer of the one before, as IPAM does inside a CNI
 * ADD: p50 and p99 in microseconds. The bare loop writes the same bytes with one prepared statement
 * in WAL mode, which is the least that one durable-enough write can cost.
 *	build/bench/store [DIRECTORY] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <sqlite3.h>

#include "datastore/ds.h"

enum { KEYS = 1000, ROUNDS = 5000, VALUE = 2000, DURABLE_ROUNDS = 200 };

static double sample[ROUNDS];
static size_t n_samples;
static char value[VALUE + 1];

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double report(const char *what, double base)
{
	double p50;

	qsort(sample, n_samples, sizeof(sample[0]), by_size);
	p50 = sample[n_samples / 2];
	printf("%-34s %8.1f %8.1f us", what, p50, sample[n_samples * 99 / 100]);
	if (base > 0)
		printf("   %5.2f x bare", p50 / base);
	printf("\n");
	n_samples = 0;
	return p50;
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench/store: %s\n", what);
	exit(1);
}

static double bare(const char *dir)
{
	char *path CLEANUP(freep) = xasprintf("%s/bare.db", dir);
	sqlite3_stmt *st;
	sqlite3 *db;

	check(sqlite3_open(path, &db) == SQLITE_OK, "open");
	check(sqlite3_exec(db,
			   "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			   "CREATE TABLE t(k TEXT PRIMARY KEY, v TEXT)",
			   NULL, NULL, NULL) == SQLITE_OK,
	      "set up");
	check(sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO t VALUES(?1, ?2)", -1, &st, NULL) ==
		      SQLITE_OK,
	      "prepare");
	for (int i = 0; i < ROUNDS; i++) {
		char key[64];
		double start = now_us();

		snprintf(key, sizeof(key), "/calico/bench/key-%d", i % KEYS);
		sqlite3_bind_text(st, 1, key, -1, SQLITE_TRANSIENT);
		sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
		check(sqlite3_step(st) == SQLITE_DONE, "write");
		sqlite3_reset(st);
		sample[n_samples++] = now_us() - start;
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
	return report("bare SQLite, upsert", 0);
}

static int64_t timed(struct ds *ds, struct store_req req)
{
	double start = now_us();
	struct store_res res = ds_call(ds, req);
	int64_t rev = res.rev;

	sample[n_samples++] = now_us() - start;
	check(res.status == STORE_OK, res.msg);
	store_res_done(&res);
	return rev;
}

static const char *key_of(int i)
{
	static char key[64];

	snprintf(key, sizeof(key), "/calico/bench/key-%d", i % KEYS);
	return key;
}

struct echo {
	struct event_base *base;
	double told;
};

static void told(void *arg, const struct ds_event *ev)
{
	struct echo *e = arg;

	e->told = now_us();
	if (ev->type == DS_PUT)
		event_base_loopbreak(e->base);
}

/* From the submission of a write to the event at a watch of another connection, which learns of it
 * as another process does. */
static void watch_latency(struct ds *ds, const char *spec, double base_us)
{
	struct echo e = { .base = event_base_new() };
	struct ds *other;
	struct err err;

	check(ds_open(&other, e.base, spec, 0, &err) == 0, err.msg);
	ds_watch(other, "/calico/bench/watched", 1, told, &e);
	while (e.told <= 0)
		event_base_loop(e.base, EVLOOP_ONCE);
	for (int i = 0; i < 1000; i++) {
		struct store_res res;
		double start = now_us();

		res = ds_call(ds, store_update("/calico/bench/watched", value, 0));
		store_res_done(&res);
		event_base_dispatch(e.base);
		sample[n_samples++] = e.told - start;
	}
	report("write to another's watch", base_us);
	ds_close(other);
	event_base_free(e.base);
}

static void store(struct event_base *base, const char *spec, double base_us)
{
	static int64_t rev[KEYS];
	struct err e;
	struct ds *ds;

	check(ds_open(&ds, base, spec, DS_CREATE, &e) == 0, e.msg);
	watch_latency(ds, spec, base_us);
	for (int i = 0; i < KEYS; i++)
		rev[i] = timed(ds, store_create(key_of(i), value));
	report("CREATE", base_us);
	for (int i = 0; i < ROUNDS; i++)
		rev[i % KEYS] = timed(ds, store_update(key_of(i), value, rev[i % KEYS]));
	report("UPDATE if unchanged", base_us);
	for (int i = 0; i < ROUNDS; i++)
		timed(ds, store_get(key_of(i)));
	report("GET", base_us);
	for (int i = 0; i < 100; i++)
		timed(ds, store_list("/calico/bench/"));
	report("LIST of 1000", 0);
	for (int i = 0; i < KEYS; i++)
		timed(ds, store_delete(key_of(i), rev[i]));
	report("DELETE if unchanged", base_us);
	ds_close(ds);
	check(ds_open(&ds, base, spec, DS_DURABLE, &e) == 0, e.msg);
	for (int i = 0; i < DURABLE_ROUNDS; i++)
		timed(ds, store_update(key_of(i), value, 0));
	report("UPDATE, on the disk (DS_DURABLE)", 0);
	ds_close(ds);
}

int main(int argc, char **argv)
{
	char *dir = xasprintf("%s/margay-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	struct event_base *base = event_base_new();
	char *spec, *cmd;

	check(mkdtemp(dir) != NULL, "cannot make a directory to work in");
	memset(value, 'v', VALUE);
	spec = xasprintf("sqlite:%s/margay.db", dir);
	printf("%-34s %8s %8s\n", "values of 2000 bytes", "p50", "p99");
	store(base, spec, bare(dir));
	cmd = xasprintf("rm -rf %s", dir);
	check(system(cmd) == 0, cmd);
	event_base_free(base);
	free(cmd);
	free(spec);
	free(dir);
	return 0;
}
