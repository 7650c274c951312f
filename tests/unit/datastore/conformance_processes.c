/* conformance_processes.c - several processes on one datastore, and one that is killed in it */
#include "conformance.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Roles of a child; they have no cmocka around them and say by their exit status how it went. */

static struct store_res ask(struct box *b, struct store_req req)
{
	struct store_res res = ds_call(b->ds, req);

	/* Busy is an honest answer under this much writing, but not a result. */
	while (res.status == STORE_UNAVAILABLE || res.status == STORE_ERROR) {
		fprintf(stderr, "child: %s\n", res.msg);
		exit(3);
	}
	return res;
}

/* n times: read the number, write it plus one, only if nobody else did meanwhile. */
static int count_up(struct box *b, const char *key, int n)
{
	while (n > 0) {
		struct store_res res = ask(b, store_get(key));
		char value[16];
		int64_t rev;

		if (res.n != 1)
			return 4;
		snprintf(value, sizeof(value), "%d", atoi(res.kv[0].value) + 1);
		rev = res.kv[0].rev;
		store_res_done(&res);
		res = ask(b, store_update(key, value, rev));
		if (res.status == STORE_OK)
			n--;
		else if (res.status != STORE_CONFLICT)
			return 5;
		store_res_done(&res);
	}
	return 0;
}

static int burst(struct box *b, const char *prefix, int n)
{
	char *key;

	for (int i = 0; i < n; i++) {
		struct store_res res;

		key = xasprintf("%s%d", prefix, i % 50);
		res = ask(b, store_update(key, "{\"some\":\"value\"}", 0));
		if (res.status != STORE_OK)
			return 4;
		store_res_done(&res);
		free(key);
	}
	return 0;
}

/* Endless: write i under one of ten keys, and say so after the answer. */
static int acknowledge(struct box *b, const char *prefix, int i)
{
	for (;; i++) {
		char *key CLEANUP(freep) = xasprintf("%s%d", prefix, i % 10);
		char *value CLEANUP(freep) = xasprintf("%d", i);
		struct store_res res = ask(b, store_update(key, value, 0));

		if (res.status != STORE_OK)
			return 4;
		store_res_done(&res);
		if (write(STDOUT_FILENO, &i, sizeof(i)) != sizeof(i))
			return 0;
	}
}

struct echo {
	struct box *b;
	char *prefix;
	int left;
};

static void wrote(void *arg, struct store_res *res)
{
	if (res->status != STORE_OK)
		exit(4);
}

/* Answer each "ping" with a "pong". */
static void echo_cb(void *arg, const struct ds_event *ev)
{
	struct echo *e = arg;
	char *key CLEANUP(freep) = xasprintf("%spong", e->prefix);

	if (ev->type == DS_GONE)
		exit(7);
	if (ev->type != DS_PUT)
		return;
	ds_submit(e->b->ds, store_update(key, ev->kv.value, 0), wrote, NULL);
	e->left--;
}

static int echo(struct box *b, char *prefix, int n)
{
	struct echo e = { .b = b, .prefix = prefix, .left = n };
	char *ping CLEANUP(freep) = xasprintf("%sping", prefix);
	char *pong CLEANUP(freep) = xasprintf("%spong", prefix);
	struct store_res res = ask(b, store_get(ping));

	ds_watch(b->ds, ping, res.rev, echo_cb, &e);
	ds_submit(b->ds, store_create(pong, "0"), wrote, NULL);
	while (e.left > 0)
		event_base_loop(b->base, EVLOOP_ONCE);
	/* The last pong is on its way; requests are carried out in order. */
	store_res_done(&res);
	res = ask(b, store_get(ping));
	store_res_done(&res);
	return 0;
}

int child_main(int argc, char **argv)
{
	struct box b = { .base = event_base_new() };
	struct err e;
	int rc = 2, n = argc > 5 ? atoi(argv[5]) : 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ds_open(&b.ds, b.base, argv[3], DS_CREATE, &e) < 0) {
		fprintf(stderr, "child: %s\n", e.msg);
		return 6;
	}
	if (!strcmp(argv[2], "count"))
		rc = count_up(&b, argv[4], n);
	else if (!strcmp(argv[2], "burst"))
		rc = burst(&b, argv[4], n);
	else if (!strcmp(argv[2], "acknowledge"))
		rc = acknowledge(&b, argv[4], n);
	else if (!strcmp(argv[2], "echo"))
		rc = echo(&b, argv[4], n);
	else if (!strcmp(argv[2], "open"))
		rc = 0;
	ds_close(b.ds);
	event_base_free(b.base);
	return rc;
}

static void counters_add_up(void **state)
{
	struct box *b = *state;
	char key[128];
	pid_t pid[3];

	snprintf(key, sizeof(key), "%s", key_of(b, "counter"));
	must(b, store_create(key, "0"), STORE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = child_start(NULL, "count", key, "300");
	for (size_t i = 0; i < ARRAY_SIZE(pid); i++)
		child_wait(pid[i]);
	assert_string_equal(value_of(b, key), "900");
}

/* Read acknowledgements, kill the writer in the middle, read what else it had said. */
static int kill_after(pid_t pid, int fd, int acks)
{
	int last = -1, i, status;

	while (read(fd, &i, sizeof(i)) == sizeof(i)) {
		last = i;
		if (--acks == 0)
			kill(pid, SIGKILL);
	}
	close(fd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return last;
}

static void a_killed_writer_leaves_all_it_said(void **state)
{
	struct box *b = *state;
	struct seen s;
	int next = 0;

	for (int round = 0; round < 25; round++) {
		char from[16];
		int fd, last;
		pid_t pid;

		snprintf(from, sizeof(from), "%d", next);
		/* Sometimes the writer is alone with the store, sometimes not. */
		if (round % 2)
			ds_close(TAKE(b->ds));
		pid = child_start(&fd, "acknowledge", b->prefix, from);
		last = kill_after(pid, fd, 1 + round * 7 % 40);
		assert_true(last >= next);
		box_reopen(b, DS_CHECK);
		for (int i = last; i > last - 10 && i >= 0; i--) {
			char name[16];
			int got;

			snprintf(name, sizeof(name), "%d", i % 10);
			got = atoi(value_of(b, key_of(b, name)));
			/* The write after the last acknowledged one may be there as well. */
			assert_true(got == i || (i == last - 9 && got == last + 1));
		}
		next = last + 1;
	}
	seen_watch(&s, b, b->prefix, 0);
	while (!s.synced && !s.gone)
		assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
	seen_done(&s);
}

static bool heard(void *arg)
{
	struct seen *s = arg;

	return s->changes >= 20;
}

static void a_watcher_hears_what_a_killed_writer_said(void **state)
{
	struct box *b = *state;

	for (int round = 0; round < 5; round++) {
		int64_t from = must(b, store_get(key_of(b, "none")), STORE_NOT_FOUND);
		struct seen s;
		int fd, last;
		pid_t pid;

		seen_watch(&s, b, b->prefix, from);
		pid = child_start(&fd, "acknowledge", b->prefix, "0");
		loop_until(b, heard, &s);
		last = kill_after(pid, fd, 1);
		while (s.changes < (size_t)last + 1)
			assert_int_equal(event_base_loop(b->base, EVLOOP_ONCE), 0);
		assert_true(s.changes <= (size_t)last + 2);
		seen_done(&s);
	}
}

enum { PINGS = 50 };

struct pongs {
	struct seen seen;
	size_t want;
};

static bool ponged(void *arg)
{
	struct pongs *p = arg;

	return p->seen.changes == p->want;
}

/* Each way is noticed at once; a store that is only asked once a second takes a minute. */
static void ping_pong_is_quick(void **state)
{
	struct box *b = *state;
	int64_t start = now_ms();
	struct pongs p = { .want = 1 };
	char ping[128], pong[128], text[16];
	pid_t pid;

	snprintf(ping, sizeof(ping), "%s", key_of(b, "ping"));
	snprintf(pong, sizeof(pong), "%s", key_of(b, "pong"));
	seen_watch(&p.seen, b, pong, must(b, store_get(ping), STORE_NOT_FOUND));
	snprintf(text, sizeof(text), "%d", PINGS);
	pid = child_start(NULL, "echo", b->prefix, text);
	loop_until(b, ponged, &p);
	for (; p.want <= PINGS;) {
		snprintf(text, sizeof(text), "%zu", p.want++);
		must(b, store_update(ping, text, 0), STORE_OK);
		loop_until(b, ponged, &p);
		assert_string_equal(p.seen.ev.p[p.seen.ev.n - 1].value, text);
	}
	child_wait(pid);
	assert_true(now_ms() - start < 30000);
	seen_done(&p.seen);
}

int process_tests(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		T(counters_add_up),
		T(ping_pong_is_quick),
		T(a_killed_writer_leaves_all_it_said),
		T(a_watcher_hears_what_a_killed_writer_said),
	};

	return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
