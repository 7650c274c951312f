/* iptables_sweep.c - remove what an agent has left in the other backend
 * SHAPE  The driver, with nothing wanted, for one family after the other. */
#include "dataplane/iptables_sweep.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TRIES = 5, /* commands that may fail */
	FAMILIES = 2,
};

struct ipt_sweep {
	struct ipt_sweep_config cfg;
	struct event_base *base;
	struct ipt *rules[FAMILIES];
	int at, failures;
	struct exec *child;
	struct event *begin;
	unsigned removed;
};

static void sweep_run(struct ipt_sweep *s);

static void over(struct ipt_sweep *s, int code, const char *text)
{
	s->cfg.done(s->cfg.arg, s->removed, code, text);
}

static void on_done(void *arg, const struct exec_result *r)
{
	struct ipt_sweep *s = arg;

	s->child = NULL;
	s->failures += r->code != 0;
	ipt_done(s->rules[s->at], 0, r);
	sweep_run(s);
}

/* Time stands still for these drivers: what would have to wait is not tried again. */
static void sweep_run(struct ipt_sweep *s)
{
	struct exec_cmd cmd;
	struct err e = { 0 };

	for (; s->at < FAMILIES; s->at++) {
		struct ipt *t = s->rules[s->at];

		if (!t)
			continue;
		if (s->failures < TRIES && ipt_next(t, (uint64_t)s->failures * 100, &cmd)) {
			s->child = exec_start(s->base, &cmd, on_done, s, &e);
			if (!s->child)
				over(s, e.code, e.msg);
			return;
		}
		s->removed += (unsigned)ipt_counts(t).removed;
		if (!ipt_in_sync(t)) {
			over(s, -EIO, "chains of ours are left in the other iptables");
			return;
		}
	}
	over(s, 0, "");
}

static void on_begin(evutil_socket_t fd, short what, void *arg)
{
	sweep_run(arg);
}

static bool has_tables(enum ip_family family)
{
	FILE *f = fopen(
		family == IP_V6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", "re");
	bool some = f && fgetc(f) != EOF;

	if (f)
		fclose(f);
	return some;
}

struct ipt_sweep *ipt_sweep_start(struct event_base *base, const struct ipt_sweep_config *cfg)
{
	static const enum ip_family families[FAMILIES] = { IP_V4, IP_V6 };
	struct ipt_sweep *s = xcalloc(1, sizeof(*s));
	bool some = false;

	s->cfg = *cfg;
	s->base = base;
	for (int i = 0; i < FAMILIES; i++) {
		struct ipt_config rules = { .family = families[i], .backend = cfg->backend };

		if (!(families[i] == IP_V6 ? cfg->v6 : cfg->v4))
			continue;
		if (cfg->backend == IPT_LEGACY && !has_tables(families[i]))
			continue;
		s->rules[i] = ipt_new(&rules);
		ipt_ready(s->rules[i]);
		some = true;
	}
	if (!some) {
		ipt_sweep_free(s);
		return NULL;
	}
	/* From the loop: done must not be called before the caller has s. */
	s->begin = event_new(base, -1, 0, on_begin, s);
	event_active(s->begin, EV_TIMEOUT, 0);
	return s;
}

void ipt_sweep_free(struct ipt_sweep *s)
{
	if (!s)
		return;
	exec_stop(s->child);
	if (s->begin)
		event_free(s->begin);
	for (int i = 0; i < FAMILIES; i++)
		ipt_free(s->rules[i]);
	free(s);
}
