/* conformance.c - the suite that every datastore must pass: common parts and main */
#include "conformance.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

static char dir[] = "/tmp/margay-ds-XXXXXX";
static char spec[256];

const char *suite_spec(void)
{
	return spec;
}

const char *suite_dir(void)
{
	return dir;
}

static struct ds *open_or_fail(struct event_base *base, unsigned flags)
{
	struct err e = { 0 };
	struct ds *ds = NULL;

	if (ds_open(&ds, base, spec, flags, &e) < 0)
		fail_msg("%s: %s", spec, e.msg);
	return ds;
}

int box_open(void **state)
{
	static int count;
	struct box *b = xcalloc(1, sizeof(*b));

	b->base = event_base_new();
	b->ds = open_or_fail(b->base, DS_CREATE);
	snprintf(b->prefix, sizeof(b->prefix), "/margay-test/%d-%d/", (int)getpid(), count++);
	*state = b;
	return 0;
}

int box_close(void **state)
{
	struct box *b = *state;

	ds_close(b->ds);
	event_base_free(b->base);
	free(b);
	return 0;
}

void box_reopen(struct box *b, unsigned flags)
{
	ds_close(b->ds);
	b->ds = open_or_fail(b->base, flags);
}

const char *key_of(const struct box *b, const char *name)
{
	static char buf[4][4096];
	static unsigned next;
	char *s = buf[next++ % 4];

	snprintf(s, sizeof(buf[0]), "%s%s", b->prefix, name);
	return s;
}

int64_t must(struct box *b, struct store_req req, enum store_status want)
{
	struct store_res res = ds_call(b->ds, req);
	int64_t rev = res.rev;

	if (res.status != want)
		fail_msg("%s, expected %s: %s", store_status_name(res.status),
			 store_status_name(want), res.msg);
	if (want != STORE_OK)
		assert_string_not_equal(res.msg, "");
	store_res_done(&res);
	return rev;
}

const char *value_of(struct box *b, const char *key)
{
	static char buf[4096];
	struct store_res res = ds_call(b->ds, store_get(key));

	snprintf(buf, sizeof(buf), "%s", res.n ? res.kv[0].value : "");
	store_res_done(&res);
	return buf;
}

void seen_cb(void *arg, const struct ds_event *ev)
{
	struct seen *s = arg;
	struct seen_event got = { .type = ev->type };

	switch (ev->type) {
	case DS_PUT:
	case DS_DELETE:
		got.key = xstrdup(ev->kv.key);
		got.value = xstrdup(ev->kv.value);
		s->changes++;
		break;
	case DS_SYNCED:
		s->synced++;
		break;
	case DS_GONE:
		assert_non_null(ev->msg);
		s->gone++;
		break;
	case DS_LOST:
		assert_non_null(ev->msg);
		s->lost++;
		break;
	}
	got.rev = ev->kv.rev;
	vec_push(&s->ev, got);
}

void seen_watch(struct seen *s, struct box *b, const char *prefix, int64_t from)
{
	*s = (struct seen) { 0 };
	s->w = ds_watch(b->ds, prefix, from, seen_cb, s);
}

void seen_done(struct seen *s)
{
	ds_unwatch(s->w);
	vec_foreach (&s->ev, it) {
		free(it->key);
		free(it->value);
	}
	vec_done(&s->ev);
	*s = (struct seen) { 0 };
}

static const struct seen_event *next_change(const struct seen *s, size_t *i)
{
	while (*i < s->ev.n && s->ev.p[*i].type != DS_PUT && s->ev.p[*i].type != DS_DELETE)
		++*i;
	return *i < s->ev.n ? &s->ev.p[(*i)++] : NULL;
}

void assert_seen_suffix(const struct seen *all, const struct seen *part, int64_t from)
{
	const struct seen_event *a, *p;
	size_t i = 0, j = 0;

	while ((a = next_change(all, &i))) {
		if (a->rev <= from)
			continue;
		p = next_change(part, &j);
		assert_non_null(p);
		assert_int_equal(p->type, a->type);
		assert_int_equal(p->rev, a->rev);
		assert_string_equal(p->key, a->key);
		assert_true(str_eq(p->value, a->value));
	}
	assert_null(next_change(part, &j));
}

static void too_long(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

void loop_until(struct box *b, cond_fn *cond, void *arg)
{
	struct timeval limit = { .tv_sec = 30 };
	bool late = false;
	struct event *ev = evtimer_new(b->base, too_long, &late);

	evtimer_add(ev, &limit);
	while (!cond(arg) && !late)
		event_base_loop(b->base, EVLOOP_ONCE);
	event_free(ev);
	if (late)
		fail_msg("did not happen within %d seconds", (int)limit.tv_sec);
}

bool is_synced(void *seen)
{
	return ((struct seen *)seen)->synced > 0;
}

pid_t child_start(int *out, const char *role, const char *a, const char *b)
{
	int fd[2] = { -1, -1 };
	pid_t pid;

	if (out)
		assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (out)
			dup2(fd[1], STDOUT_FILENO);
		execl("/proc/self/exe", "test", "--child", role, spec, a, b, (char *)NULL);
		_exit(127);
	}
	if (out) {
		close(fd[1]);
		*out = fd[0];
	}
	return pid;
}

void child_wait(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void remove_dir(void)
{
	char *cmd CLEANUP(freep) = xasprintf("rm -rf %s", dir);

	if (system(cmd) != 0)
		fprintf(stderr, "cannot remove %s\n", dir);
}

int main(int argc, char **argv)
{
	const char *given = getenv("MARGAY_TEST_DS");
	int failed;

	if (argc > 4 && !strcmp(argv[1], "--child")) {
		snprintf(spec, sizeof(spec), "%s", argv[3]);
		return child_main(argc, argv);
	}
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	if (given)
		snprintf(spec, sizeof(spec), "%s", given);
	else
		snprintf(spec, sizeof(spec), "sqlite:%s/margay.db", dir);
	failed = requests_tests() + watch_tests() + process_tests();
	remove_dir();
	return failed ? 1 : 0;
}
