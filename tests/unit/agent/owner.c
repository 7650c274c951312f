/* owner.c - two agents with one node's name, a restart, a dead owner, a clone */
#include "box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/owner.h"

#define KEY "/margay/v1/agents/n1"

enum {
	BEAT_MS = 20,
	WAIT_MS = 2000, /* a busy machine may leave out many beats */
};

/* One machine: an agent with a state directory of its own. */
struct machine {
	struct agent agent; /* first: stop gets this */
	struct agent_config cfg;
	char node[8], state[128];
	struct owner *owner;
	bool ours, stopped, either;
	int status;
};

static void stop(struct agent *a, int status)
{
	struct machine *m = (struct machine *)a;

	m->stopped = m->either = true;
	m->status = status;
}

static void on_ours(void *arg)
{
	struct machine *m = arg;

	m->ours = m->either = true;
}

static void boot(struct box *b, struct machine *m, const char *state)
{
	struct err e = { 0 };

	memset(m, 0, sizeof(*m));
	str_copy(m->node, sizeof(m->node), "n1");
	snprintf(m->state, sizeof(m->state), "%s/%s", b->dir, state);
	mkdir(m->state, 0755);
	m->cfg.node = m->node;
	m->cfg.state_dir = m->state;
	m->agent.base = b->base;
	m->agent.ds = b->ds;
	m->agent.cfg = &m->cfg;
	m->agent.stop = stop;
	m->owner = owner_new(&m->agent, on_ours, m, &e);
	if (!m->owner)
		fail_msg("%s", e.msg);
	owner_set_times(m->owner, BEAT_MS, WAIT_MS);
}

/* What it has under way is answered before the store is closed. */
static void bury(struct box *b, struct machine *m)
{
	owner_free(m->owner, false);
	box_settle(b);
}

static void first_one_owns(void **state)
{
	struct box *b = *state;
	struct machine m;

	boot(b, &m, "a");
	assert_non_null(owner_waiting(m.owner));
	box_run(b, &m.either);
	assert_true(m.ours && !m.stopped);
	assert_null(owner_waiting(m.owner));
	bury(b, &m);
}

static void second_one_elsewhere_ends(void **state)
{
	struct box *b = *state;
	struct machine one, two;

	boot(b, &one, "a");
	box_run(b, &one.either);
	boot(b, &two, "b");
	box_run(b, &two.either);
	assert_true(two.stopped && !two.ours);
	assert_int_equal(two.status, 1);
	assert_false(one.stopped);
	bury(b, &two);
	bury(b, &one);
}

/* kill -9: the record stays as it was. */
static void restart_is_not_refused(void **state)
{
	struct box *b = *state;
	struct machine m;
	struct owner_record before, after;

	boot(b, &m, "a");
	box_run(b, &m.either);
	bury(b, &m);
	CLEANUP(freep) char *text = box_get(b, KEY);

	owner_decode(text, &before);
	for (unsigned i = 0; i < 5; i++) {
		boot(b, &m, "a");
		box_run(b, &m.either);
		assert_true(m.ours && !m.stopped);
		bury(b, &m);
	}
	CLEANUP(freep) char *later = box_get(b, KEY);

	owner_decode(later, &after);
	assert_string_equal(before.instance, after.instance);
	assert_int_equal(after.claim, before.claim + 5);
}

static void dead_owner_is_succeeded(void **state)
{
	struct box *b = *state;
	struct machine one, two;

	boot(b, &one, "a");
	box_run(b, &one.either);
	bury(b, &one);
	boot(b, &two, "b");
	box_settle(b);
	assert_non_null(strstr(owner_waiting(two.owner), "n1"));
	box_run(b, &two.either);
	assert_true(two.ours && !two.stopped);
	bury(b, &two);
}

static void released_record_is_taken_at_once(void **state)
{
	struct box *b = *state;
	struct machine one, two;
	int64_t before;

	boot(b, &one, "a");
	box_run(b, &one.either);
	owner_free(one.owner, true);
	before = agent_now_ms();
	boot(b, &two, "b");
	box_run(b, &two.either);
	assert_true(two.ours);
	assert_true(agent_now_ms() - before < WAIT_MS);
	bury(b, &two);
}

/* A cloned machine has the same instance number: both claim, and the newer one sees it and ends. */
static void clone_ends(void **state)
{
	struct box *b = *state;
	struct machine one, two;

	boot(b, &one, "a");
	box_run(b, &one.either);
	boot(b, &two, "a");
	box_run(b, &two.either);
	assert_true(two.ours);
	box_run(b, &two.stopped);
	assert_false(one.stopped);
	bury(b, &two);
	bury(b, &one);
}

/* Somebody deletes the record: it is written again, nobody ends. */
static void deleted_record_comes_back(void **state)
{
	struct box *b = *state;
	struct machine m;
	char *text = NULL;

	boot(b, &m, "a");
	box_run(b, &m.either);
	box_delete(b, KEY);
	for (unsigned i = 0; i < 1000 && !text; i++) {
		event_base_loop(b->base, EVLOOP_ONCE);
		text = box_get(b, KEY);
	}
	assert_non_null(text);
	assert_false(m.stopped);
	free(text);
	bury(b, &m);
}

static void any_text_is_a_record(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{}",
		"null",
		"{\"instance\":5}",
		"{\"claim\":-1,\"beat\":\"x\"}",
		"{\"instance\":\""
		"0123456789012345678901234567890123456789012345678901234567890"
		"\"}",
		"{\"beat\":9223372036854775807}",
	};
	struct owner_record r;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		owner_decode(texts[i], &r);
		CLEANUP(freep) char *again = owner_encode(&r);

		assert_non_null(again);
	}
}

static void damaged_record_is_replaced(void **state)
{
	struct box *b = *state;
	struct machine m;

	box_put(b, KEY, "\"garbage\"");
	boot(b, &m, "a");
	box_run(b, &m.either);
	assert_true(m.ours);
	bury(b, &m);
}

int main(void)
{
#define BOX(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		BOX(first_one_owns),
		BOX(second_one_elsewhere_ends),
		BOX(restart_is_not_refused),
		BOX(dead_owner_is_succeeded),
		BOX(released_record_is_taken_at_once),
		BOX(clone_ends),
		BOX(deleted_record_comes_back),
		BOX(damaged_record_is_replaced),
		cmocka_unit_test(any_text_is_a_record),
	};

	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
