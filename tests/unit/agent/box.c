/* box.c - a loop and an embedded datastore, for tests of the agent's parts */
#include "box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ds *open_store(struct box *b)
{
	struct err e = { 0 };
	struct ds *ds = NULL;

	if (ds_open(&ds, b->base, b->spec, DS_CREATE, &e) < 0)
		fail_msg("%s", e.msg);
	return ds;
}

int box_open(void **state)
{
	struct box *b = xcalloc(1, sizeof(*b));

	str_copy(b->dir, sizeof(b->dir), "/tmp/margay-agent-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->spec, sizeof(b->spec), "sqlite:%s/margay.db", b->dir);
	b->base = event_base_new();
	b->ds = open_store(b);
	b->other = open_store(b);
	*state = b;
	return 0;
}

int box_close(void **state)
{
	struct box *b = *state;
	CLEANUP(freep) char *rm = xasprintf("rm -rf '%s'", b->dir);

	ds_close(b->ds);
	ds_close(b->other);
	event_base_free(b->base);
	if (system(rm) != 0)
		return -1;
	free(b);
	return 0;
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

static void run(struct box *b, bool (*there)(const void *), const void *arg)
{
	static const struct timeval limit = { .tv_sec = 60 };
	bool late = false;
	struct event *ev = evtimer_new(b->base, on_late, &late);

	evtimer_add(ev, &limit);
	while (!there(arg) && !late)
		event_base_loop(b->base, EVLOOP_ONCE);
	event_free(ev);
	if (!there(arg))
		fail_msg("it did not happen within a minute");
}

static bool is_true(const void *arg)
{
	return *(const bool *)arg;
}

struct goal {
	const unsigned *count;
	unsigned n;
};

static bool is_reached(const void *arg)
{
	const struct goal *g = arg;

	return *g->count >= g->n;
}

void box_run(struct box *b, const bool *until)
{
	run(b, is_true, until);
}

void box_run_to(struct box *b, const unsigned *count, unsigned n)
{
	const struct goal g = { count, n };

	run(b, is_reached, &g);
}

void box_settle(struct box *b)
{
	for (unsigned i = 0; i < 50; i++)
		event_base_loop(b->base, EVLOOP_NONBLOCK);
}

int64_t box_put(struct box *b, const char *key, const char *value)
{
	struct store_res res = ds_call(b->other, store_update(key, value, 0));
	int64_t rev = res.rev;

	if (res.status != STORE_OK)
		fail_msg("%s: %s", key, res.msg);
	store_res_done(&res);
	return rev;
}

void box_delete(struct box *b, const char *key)
{
	struct store_res res = ds_call(b->other, store_delete(key, 0));

	assert_int_equal(res.status, STORE_OK);
	store_res_done(&res);
}

char *box_get(struct box *b, const char *key)
{
	struct store_res res = ds_call(b->other, store_get(key));
	char *value = res.status == STORE_OK && res.n == 1 ? xstrdup(res.kv[0].value) : NULL;

	store_res_done(&res);
	return value;
}
