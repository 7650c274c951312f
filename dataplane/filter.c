/* filter.c - sets and rules of both families on the loop
 * WHY    The two families share nothing but the watch, so each has a lane of its own and both run
 *        at the same time. Who changed a table of iptables-legacy the kernel does not say: there a
 *        look at its size, each second and before each turn, has to do.
 *        Tools for the next turn are started when a turn is over, and wait for their input (exec.h):
 *        iptables-restore takes no lock and reads no rule before it has read a table's name.
 * SHAPE  lane_run is the only place that starts a command; it is called by filter_run, by a timer,
 *        by the end of a command and by an event of the watch. */
#include "dataplane/filter.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dataplane/iptables_info.h"
#include "dataplane/nft_watch.h"

enum {
	LANES = 2,
	SPARE_MS = 10,	/* after a turn, so that whoever waits for it is answered first */
	TOLD_MS = 20,	/* the lock that a tool has taken is given back after this, come what may */
	LOOK_MS = 1000, /* how often tables of iptables-legacy are looked at */
};

/* A command under way. */
struct run {
	struct lane *l;
	struct exec *child;
	unsigned commits; /* transactions of nft in it; 0: none, or not of interest */
	bool writes;	  /* rules */
};

/* Tools that are started before they are needed: to start and link one takes as long as half of
 * what it then does. */
enum spare {
	SPARE_RULES,
	SPARE_SETS,
	SPARES_,
};

struct lane {
	struct filter *f;
	enum ip_family family; /* IP_NONE: off */
	struct ipsets *sets;
	struct ipt *rules;
	struct apply apply;
	struct run *run;     /* NULL: none */
	struct run *leaving; /* all of it is in force, the tool has yet to end */
	struct exec_spare *spare[SPARES_];
	struct event *timer, *refill;
	uint64_t touched_at; /* by others, and not yet right again; 0: it is */
	struct filter_repairs repairs;
	struct ipt_info info; /* legacy */
	struct event *look;
};

struct filter {
	struct filter_config cfg;
	struct event_base *base;
	struct lane lane[LANES];
	struct nft_watch watch;
	struct event *watched;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void lane_run(struct lane *l);

static void on_touched(void *arg, enum ip_family family, enum ipt_table table, const char *chain)
{
	struct filter *f = arg;

	for (int i = 0; i < LANES; i++) {
		struct lane *l = &f->lane[i];

		if (l->family == IP_NONE || (family != IP_NONE && family != l->family))
			continue;
		ipt_touched(l->rules, table, chain);
		if (l->touched_at || !ipt_is_touched(l->rules))
			continue;
		l->touched_at = now_ms();
		f->watch.by.pid = 0;
		f->watch.ask = true;
	}
}

static void say_repaired(struct lane *l)
{
	struct ipt_tampered what = ipt_tampered_take(l->rules);
	const struct nft_by *by = &l->f->watch.by;
	struct filter_repair r = { .n = what.n,
				   .table = what.table,
				   .chain = what.chain,
				   .by = by->pid ? by->name : "",
				   .by_pid = by->pid };

	if (what.n && l->f->cfg.repaired)
		l->f->cfg.repaired(l->f->cfg.arg, l->family, &r);
}

static void note_repair(struct lane *l)
{
	if (!ipt_in_sync(l->rules))
		return;
	say_repaired(l);
	if (!l->touched_at)
		return;
	l->repairs.n++;
	l->repairs.last_ms = (unsigned)(now_ms() - l->touched_at);
	l->touched_at = 0;
}

static void on_done(void *arg, const struct exec_result *r)
{
	struct run *run = arg;
	struct lane *l = run->l;
	bool left = run == l->leaving;

	nft_watch_disown(&l->f->watch, exec_pid(run->child), on_touched, l->f);
	if (run->writes && !left)
		ipt_info_note(&l->info);
	if (left)
		l->leaving = NULL;
	else
		l->run = NULL;
	free(run);
	if (!left)
		apply_done(&l->apply, now_ms(), r);
	else if (r->code != 0)
		ipt_doubt(l->rules);
	lane_run(l);
}

/* The kernel has said that all transactions of the command are in force. The tool ends only when the
 * old rules are freed, about ten milliseconds later: nobody needs to wait for that. */
static void in_force(struct lane *l)
{
	static const struct exec_result done = { .out = "", .err = "" };
	struct run *run = l->run;

	if (!run || !run->commits || l->leaving ||
	    nft_watch_generations(&l->f->watch, exec_pid(run->child)) < run->commits)
		return;
	l->leaving = run;
	l->run = NULL;
	apply_done(&l->apply, now_ms(), &done);
	lane_run(l);
}

static void look(struct lane *l)
{
	if (ipt_info_differs(&l->info))
		ipt_doubt(l->rules);
}

static void timer_set(struct lane *l)
{
	uint64_t due = apply_due(&l->apply), now = now_ms(), ms = due > now ? due - now : 0;
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
			      .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	if (due == UINT64_MAX)
		event_del(l->timer);
	else
		event_add(l->timer, &tv);
}

/* ---- ahead of need ---- */

static void spare_drop(struct lane *l, enum spare i)
{
	struct exec_spare *s = TAKE(l->spare[i]);

	if (!s)
		return;
	nft_watch_disown(&l->f->watch, exec_spare_pid(s), on_touched, l->f);
	exec_spare_free(s);
}

static void spare_fill(struct lane *l, enum spare i)
{
	struct exec_cmd cmd;

	if (l->spare[i] && exec_spare_ended(l->spare[i]))
		spare_drop(l, i);
	if (l->spare[i])
		return;
	if (i == SPARE_RULES)
		ipt_restore_cmd(l->rules, &cmd);
	else
		ipset_restore_cmd(&cmd);
	/* Why it cannot be started is told when it is needed. */
	l->spare[i] = exec_spare_new(&cmd, NULL);
	if (l->spare[i])
		nft_watch_own(&l->f->watch, exec_spare_pid(l->spare[i]));
}

/* It was told to begin, and there is nothing to go on with. */
static void spare_untell(struct lane *l)
{
	if (l->spare[SPARE_RULES] && exec_spare_told(l->spare[SPARE_RULES]))
		spare_drop(l, SPARE_RULES);
}

static void on_refill(evutil_socket_t fd, short what, void *arg)
{
	struct lane *l = arg;

	spare_untell(l);
	for (int i = 0; i < SPARES_ && !l->run; i++)
		spare_fill(l, (enum spare)i);
}

static void refill_later(struct lane *l)
{
	static const struct timeval later = { .tv_usec = SPARE_MS * 1000 };

	spare_untell(l);
	if (l->apply.stage == APPLY_IDLE && !evtimer_pending(l->refill, NULL))
		event_add(l->refill, &later);
}

/* iptables-legacy locks and reads the table, which takes it a millisecond or more. */
static void lane_expect(struct lane *l)
{
	static const struct timeval patience = { .tv_usec = TOLD_MS * 1000 };
	struct exec_spare *s = l->spare[SPARE_RULES];

	if (!s || l->run || l->leaving || exec_spare_told(s) || !ipt_in_sync(l->rules))
		return;
	if (exec_spare_tell(s, "*filter\n"))
		event_add(l->refill, &patience);
	else
		spare_drop(l, SPARE_RULES);
}

static struct exec *start_spare(struct lane *l, const struct exec_cmd *cmd, struct run *run)
{
	for (int i = 0; i < SPARES_; i++) {
		struct exec *x;
		pid_t pid;

		if (!l->spare[i] || !exec_spare_fits(l->spare[i], cmd))
			continue;
		pid = exec_spare_pid(l->spare[i]);
		x = exec_start_spare(l->f->base, TAKE(l->spare[i]), cmd, on_done, run);
		if (!x)
			nft_watch_disown(&l->f->watch, pid, on_touched, l->f);
		return x;
	}
	return NULL;
}

static struct exec *start(struct lane *l, const struct exec_cmd *cmd, struct run *run,
			  struct err *e)
{
	struct exec *x = start_spare(l, cmd, run);

	if (x)
		return x;
	/* Told to begin with something else, it would keep the lock from this one. */
	spare_untell(l);
	x = exec_start(l->f->base, cmd, on_done, run, e);
	if (x)
		nft_watch_own(&l->f->watch, exec_pid(x));
	return x;
}

/* ---- a turn ---- */

static unsigned commits_in(const struct exec_cmd *cmd)
{
	static const char mark[] = "\nCOMMIT\n";
	const char *p = cmd->in, *end = p + cmd->in_len;
	unsigned n = 0;

	while (p < end && (p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1))) {
		n++;
		p += sizeof(mark) - 2;
	}
	return n;
}

static void run_start(struct lane *l, const struct exec_cmd *cmd)
{
	struct run *run = xcalloc(1, sizeof(*run));
	struct err e = { 0 };

	run->l = l;
	run->writes = l->apply.stage == APPLY_WRITING && cmd->in_len;
	if (run->writes && l->f->watch.fd >= 0)
		run->commits = commits_in(cmd);
	/* Before it reads: what changes meanwhile is read once more. */
	if (l->apply.stage == APPLY_WRITING && !run->writes) {
		ipt_info_note(&l->info);
		spare_untell(l);
	}
	run->child = start(l, cmd, run, &e);
	if (run->child) {
		l->run = run;
	} else {
		free(run);
		apply_not_started(&l->apply, now_ms(), &e);
	}
}

static void lane_run(struct lane *l)
{
	struct exec_cmd cmd;

	if (l->run || l->family == IP_NONE)
		return;
	look(l);
	l->apply.hold = l->leaving != NULL;
	while (!l->run && apply_next(&l->apply, now_ms(), &cmd))
		run_start(l, &cmd);
	note_repair(l);
	if (!l->run) {
		timer_set(l);
		refill_later(l);
	}
	if ((!l->run || l->apply.stage == APPLY_SHRINKING) && l->f->cfg.turn)
		l->f->cfg.turn(l->f->cfg.arg, l->family, l->apply.stage);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	lane_run(arg);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct lane *l = arg;

	if (l->run)
		return;
	look(l);
	if (!ipt_in_sync(l->rules))
		lane_run(l);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct filter *f = arg;

	nft_watch_read(&f->watch, on_touched, f);
	for (int i = 0; i < LANES; i++) {
		in_force(&f->lane[i]);
		if (f->lane[i].family != IP_NONE && !ipt_in_sync(f->lane[i].rules))
			lane_run(&f->lane[i]);
	}
}

/* ---- reports ---- */

static void rules_report(void *arg, enum ipt_table table, const char *chain, int code,
			 const char *text)
{
	struct lane *l = arg;

	if (l->f->cfg.report)
		l->f->cfg.report(l->f->cfg.arg, l->family, "chain",
				 table < IPT_TABLES_ ? ipt_table_name(table) : "", chain, code,
				 text);
}

static void sets_report(void *arg, const char *set, int code, const char *text)
{
	struct lane *l = arg;

	if (l->f->cfg.report)
		l->f->cfg.report(l->f->cfg.arg, l->family, "set", "", set, code, text);
}

/* ---- life ---- */

static void lane_init(struct filter *f, struct lane *l, enum ip_family family)
{
	static const struct timeval every = { .tv_sec = LOOK_MS / 1000 };
	const struct filter_config *cfg = &f->cfg;
	struct ipt_config rules = { .family = family,
				    .backend = cfg->backend,
				    .append = cfg->append,
				    .plain_names = cfg->plain_names,
				    .lock_s = cfg->lock_s,
				    .refresh_ms = cfg->rules_refresh_ms,
				    .report = rules_report,
				    .arg = l };
	struct ipset_config sets = { .family = family,
				     .refresh_ms = cfg->sets_refresh_ms,
				     .report = sets_report,
				     .arg = l };

	l->f = f;
	l->family = family;
	l->rules = ipt_new(&rules);
	l->sets = ipsets_new(&sets);
	l->timer = event_new(f->base, -1, 0, on_timer, l);
	l->refill = event_new(f->base, -1, 0, on_refill, l);
	apply_init(&l->apply, l->sets, l->rules);
	l->info.fd = -1;
	if (cfg->backend != IPT_LEGACY)
		return;
	ipt_info_open(&l->info, family);
	l->look = event_new(f->base, -1, EV_PERSIST, on_look, l);
	event_add(l->look, &every);
}

struct filter *filter_new(struct event_base *base, const struct filter_config *cfg, struct err *e)
{
	struct filter *f = xcalloc(1, sizeof(*f));

	f->cfg = *cfg;
	f->base = base;
	f->watch.fd = -1;
	if (cfg->backend == IPT_NFT && nft_watch_open(&f->watch, e) < 0) {
		free(f);
		return NULL;
	}
	if (cfg->v4)
		lane_init(f, &f->lane[0], IP_V4);
	if (cfg->v6)
		lane_init(f, &f->lane[1], IP_V6);
	if (f->watch.fd >= 0) {
		f->watched = event_new(base, f->watch.fd, EV_READ | EV_PERSIST, on_watch, f);
		event_add(f->watched, NULL);
	}
	return f;
}

static void run_stop(struct run *run)
{
	if (run)
		exec_stop(run->child);
	free(run);
}

static void lane_done(struct lane *l)
{
	run_stop(l->run);
	run_stop(l->leaving);
	for (int i = 0; i < SPARES_; i++)
		exec_spare_free(l->spare[i]);
	if (l->timer)
		event_free(l->timer);
	if (l->refill)
		event_free(l->refill);
	if (l->look)
		event_free(l->look);
	if (l->family != IP_NONE)
		ipt_info_close(&l->info);
	ipt_free(l->rules);
	ipsets_free(l->sets);
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	for (int i = 0; i < LANES; i++)
		lane_done(&f->lane[i]);
	if (f->watched)
		event_free(f->watched);
	nft_watch_close(&f->watch);
	free(f);
}

static const struct lane *lane_of(const struct filter *f, enum ip_family family)
{
	return &f->lane[family == IP_V6];
}

struct ipsets *filter_sets(struct filter *f, enum ip_family family)
{
	return lane_of(f, family)->sets;
}

struct filter_repairs filter_repairs(const struct filter *f, enum ip_family family)
{
	for (int i = 0; i < LANES; i++)
		if (f->lane[i].family == family)
			return f->lane[i].repairs;
	return (struct filter_repairs) { 0 };
}

struct ipt *filter_rules(struct filter *f, enum ip_family family)
{
	return lane_of(f, family)->rules;
}

enum ipt_backend filter_backend(const struct filter *f)
{
	return f->cfg.backend;
}

void filter_ready(struct filter *f)
{
	for (int i = 0; i < LANES; i++) {
		if (f->lane[i].family == IP_NONE)
			continue;
		ipsets_ready(f->lane[i].sets);
		ipt_ready(f->lane[i].rules);
	}
}

void filter_run(struct filter *f)
{
	for (int i = 0; i < LANES; i++)
		lane_run(&f->lane[i]);
}

/* One family only: both share one lock. */
void filter_expect(struct filter *f)
{
	if (f->cfg.backend == IPT_LEGACY && f->lane[0].family != IP_NONE)
		lane_expect(&f->lane[0]);
}

bool filter_enforced(const struct filter *f)
{
	for (int i = 0; i < LANES; i++)
		if (f->lane[i].family != IP_NONE && !apply_enforced(&f->lane[i].apply))
			return false;
	return true;
}

bool filter_settled(const struct filter *f)
{
	for (int i = 0; i < LANES; i++)
		if (f->lane[i].family != IP_NONE && !apply_settled(&f->lane[i].apply))
			return false;
	return true;
}

bool filter_idle(const struct filter *f)
{
	return !f->lane[0].run && !f->lane[1].run;
}

bool filter_quiet(const struct filter *f)
{
	return filter_idle(f) && !f->lane[0].leaving && !f->lane[1].leaving;
}

void filter_doubt(struct filter *f)
{
	for (int i = 0; i < LANES; i++) {
		if (f->lane[i].family == IP_NONE)
			continue;
		ipset_doubt(f->lane[i].sets);
		ipt_doubt(f->lane[i].rules);
	}
	filter_run(f);
}
