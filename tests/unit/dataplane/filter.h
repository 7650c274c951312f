/* filter.h - the drivers' commands carried out at once, in a fresh namespace */
#pragma once

#include "dataplane/ipset.h"
#include "dataplane/iptables.h"
#include "tests/unit/dataplane/netns.h"

enum { STEPS_MAX = 200 };

/* The drivers' clock: jumps to what they wait for. */
static uint64_t clock_ms = 1000000;

/* The outcome of a command goes to a driver's _done. */
struct done_to {
	void (*done)(void *driver, uint64_t now, const struct exec_result *r);
	void *driver;
	char err[256];
	int code;
};

UNUSED static void run_done(void *arg, const struct exec_result *r)
{
	struct done_to *d = arg;

	d->code = r->code;
	str_copy(d->err, sizeof(d->err), r->err);
	d->done(d->driver, clock_ms, r);
}

UNUSED static void ipt_run_done(void *t, uint64_t now, const struct exec_result *r)
{
	ipt_done(t, now, r);
}

/* Run what the driver wants until it wants nothing now. How many commands that took. */
UNUSED static int ipt_settle(struct ipt *t)
{
	struct done_to d = { .done = ipt_run_done, .driver = t };
	struct exec_cmd cmd;
	struct err e = { 0 };
	int n = 0;

	while (n < STEPS_MAX && ipt_next(t, clock_ms, &cmd)) {
		n++;
		if (exec_run(&cmd, run_done, &d, &e) < 0)
			ipt_not_started(t, clock_ms, &e);
	}
	assert_true(n < STEPS_MAX);
	return n;
}

/* Until the driver is in step, through its back-offs, for at most so long. */
UNUSED static void ipt_settle_wait(struct ipt *t, unsigned ms)
{
	uint64_t end = clock_ms + ms;

	while (ipt_settle(t), !ipt_in_sync(t)) {
		if (ipt_due(t) > end)
			fail_msg("not in step after %u ms", ms);
		clock_ms = ipt_due(t) > clock_ms ? ipt_due(t) : clock_ms;
	}
}

#define RULE(h, t) ((struct ipt_rule) { .hash = h, .text = t })

UNUSED static void ipset_run_done(void *s, uint64_t now, const struct exec_result *r)
{
	ipset_done(s, now, r);
}

UNUSED static int ipset_settle(struct ipsets *s, enum ipset_phase phase)
{
	struct done_to d = { .done = ipset_run_done, .driver = s };
	struct exec_cmd cmd;
	struct err e = { 0 };
	int n = 0;

	while (n < STEPS_MAX && ipset_next(s, phase, clock_ms, &cmd)) {
		n++;
		if (exec_run(&cmd, run_done, &d, &e) < 0)
			ipset_not_started(s, clock_ms, &e);
	}
	assert_true(n < STEPS_MAX);
	return n;
}
