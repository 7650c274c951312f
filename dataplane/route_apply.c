/* route_apply.c - bring the kernel to what is wanted, in batches
 * SHAPE  Additions and replacements first, removals last: a pod that moves from one interface or
 *        metric to another is reachable all the time. Each batch is one sendmsg (netlink.c).
 *        Of many writes a slice flies: a thread, there for as long as there are many, sends its
 *        batches one after another while the caller decides on the next ones; nine tenths of a
 *        route are the kernel's work. Nothing is locked: what flies is the thread's until it landed.
 * ERRORS Of one route: it is held with a reason, and comes back with an event, a dump or the retry
 *        timer. Of the socket: a dump is due, the call says so. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/route_table.h"

static void hold_with_report(struct route_table *rt, uint32_t id, enum route_note note, int code,
			     const char *text)
{
	struct err e = { 0 };
	char prefix[PREFIX_STR_MAX];
	const struct route_key *key = delta_key(&rt->delta, id);

	delta_hold(&rt->delta, id, note);
	if (*delta_mark(&rt->delta, id) & MARK_TOLD)
		return;
	*delta_mark(&rt->delta, id) |= MARK_TOLD;
	err_set(&e, code, "route %s metric %u: %s", prefix_format(&key->dst, prefix), key->metric,
		text);
	route_report(rt, id, code, e.msg);
}

static void hold_failed(struct route_table *rt, uint32_t id, int code, const char *text)
{
	char sentence[160];

	str_copy(sentence, sizeof(sentence), strerror(-code));
	if (*text) {
		size_t len = strlen(sentence);

		str_copy(sentence + len, sizeof(sentence) - len, ": ");
		str_copy(sentence + len + 2, sizeof(sentence) - len - 2, text);
	}
	hold_with_report(rt, id, NOTE_FAILED, code, sentence);
	if (rt->retry_ms == UINT64_MAX)
		rt->retry_ms = rt->now_ms + ROUTE_RETRY_MS;
}

static void hold_waiting(struct route_table *rt, uint32_t id)
{
	((struct route_value *)delta_want_of(&rt->delta, id))->waiting = true;
	delta_hold(&rt->delta, id, NOTE_WAITING);
}

/* Another daemon that undoes what we repair must not keep both of us busy for ever. */
static bool may_repair(struct route_table *rt)
{
	if (rt->second != rt->now_ms / 1000) {
		rt->second = rt->now_ms / 1000;
		rt->repairs = 0;
	}
	return rt->repairs++ < ROUTE_REPAIRS_MAX;
}

/* Queue the write of one key, or hold it. */
static void queue_set(struct route_table *rt, struct route_batch *b, uint32_t id)
{
	struct route_value *want = delta_want_of(&rt->delta, id);
	const struct route_value *have = delta_have_of(&rt->delta, id);
	struct route_value *r = route_value_resolve(rt, want);
	bool ours = *delta_mark(&rt->delta, id) & MARK_OURS;
	struct route_spec s;

	if (!r) {
		hold_waiting(rt, id);
		return;
	}
	if (have && have->body.foreign) {
		hold_with_report(rt, id, NOTE_CONFLICT, -EEXIST,
				 "a foreign route has this key; ours goes in when that one goes");
		return;
	}
	if (have && ours && have->body.protocol != rt->cfg.protocol &&
	    have->body.protocol != r->body.protocol && !may_repair(rt)) {
		delta_hold(&rt->delta, id, NOTE_FIGHT);
		rt->fight_ms = (rt->second + 1) * 1000;
		return;
	}
	s = route_value_spec(r);
	route_msg_put(&b->out, delta_key(&rt->delta, id), &s, !have && !ours);
	b->id[b->n++] = id;
}

static void queue_del(struct route_table *rt, struct route_batch *b, uint32_t id)
{
	const struct route_value *have = delta_have_of(&rt->delta, id);
	/* What was written here and is wanted no more needs no patience. */
	bool written = *delta_mark(&rt->delta, id) & MARK_WRITTEN;
	uint64_t grace = written ? 0 : route_link_grace(rt, have);
	struct route_spec s = route_value_spec(have);

	if (grace) {
		delta_hold(&rt->delta, id, NOTE_GRACE);
		if (grace < rt->grace_ms)
			rt->grace_ms = grace;
		return;
	}
	if (have->body.type == ROUTE_UNKNOWN)
		s.type = (enum route_type)0;
	route_msg_put_delete(&b->out, delta_key(&rt->delta, id), &s);
	b->id[b->n++] = id;
}

static void note_failure(void *arg, unsigned index, int code, const char *text)
{
	struct route_batch *b = arg;

	b->code[index] = code;
	if (!b->text[0])
		str_copy(b->text, sizeof(b->text), text);
}

static void after_set(struct route_table *rt, const struct route_batch *b, uint32_t id, int code)
{
	struct route_value *want = delta_want_of(&rt->delta, id);

	switch (code) {
	case 0:
		if (*delta_mark(&rt->delta, id) & MARK_TOLD)
			route_report(rt, id, 0, "the route is in the kernel now");
		*delta_mark(&rt->delta, id) = MARK_OURS | MARK_WRITTEN;
		rt->counts.written++;
		delta_seen_id(&rt->delta, id, want->resolved);
		break;
	case -EEXIST:
		delta_hold(&rt->delta, id, NOTE_TAKEN);
		rt->resync = true;
		break;
	case -ENETDOWN:
	case -ENODEV:
		/* The link went down this moment; its event is on the way. */
		hold_waiting(rt, id);
		break;
	default:
		hold_failed(rt, id, code, b->text);
		break;
	}
}

static void after_del(struct route_table *rt, const struct route_batch *b, uint32_t id, int code)
{
	/* ESRCH, ENODEV: it went by itself, perhaps with its link. */
	if (code && code != -ESRCH && code != -ENODEV) {
		hold_failed(rt, id, code, b->text);
		return;
	}
	if (code == 0) {
		const struct route_value *have = delta_have_of(&rt->delta, id);
		const struct route_key *key = delta_key(&rt->delta, id);

		rt->counts.removed++;
		/* Metric 0 of IPv4 means any: without knowing more it may have hit another of ours.
		 */
		if (have->body.type == ROUTE_UNKNOWN && !key->metric)
			rt->resync = true;
	}
	delta_seen_id(&rt->delta, id, NULL);
}

/* The outcome is unknown: forget what we believed, a dump will tell. */
static void batch_lost(struct route_table *rt, const struct route_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		delta_touch(&rt->delta, b->id[i]);
	rt->resync = true;
}

static void batch_written(struct route_table *rt, enum delta_list list, const struct route_batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		(list == DELTA_SET ? after_set : after_del)(rt, b, b->id[i], b->code[i]);
}

/* One batch from a list: how many keys it took. */
static unsigned fill_batch(struct route_table *rt, struct route_batch *b, enum delta_list list,
			   unsigned limit)
{
	unsigned taken = 0;
	uint32_t id;

	nl_buf_clear(&b->out);
	b->n = 0;
	b->text[0] = '\0';
	memset(b->code, 0, sizeof(b->code));
	while (b->n < ROUTE_BATCH && taken < limit && b->out.len < NL_BATCH_BYTES / 2 &&
	       (id = delta_pop(&rt->delta, list)) != DELTA_NONE) {
		(list == DELTA_SET ? queue_set : queue_del)(rt, b, id);
		taken++;
	}
	return taken;
}

/* ---- in flight ---- */

static void fly(struct route_flight *f)
{
	while (f->done < f->n && f->rc == 0) {
		struct route_batch *b = &f->batch[f->done];

		f->rc = nl_batch(f->nl, &b->out, note_failure, b, &f->e);
		f->done += f->rc == 0;
	}
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0 && errno == EINTR)
		;
}

static void *pilot(void *arg)
{
	struct route_flight *f = arg;

	for (;;) {
		wait_for(&f->go);
		if (f->end)
			return NULL;
		fly(f);
		sem_post(&f->landed);
	}
}

/* Signals are the caller's. A thread for each flight would be simpler, but a new one starts on its
 * maker's processor and waits there for a millisecond. */
static void start_thread(struct route_flight *f)
{
	sigset_t all, before;

	f->end = false;
	sem_init(&f->go, 0, 0);
	sem_init(&f->landed, 0, 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	f->has_thread = pthread_create(&f->thread, NULL, pilot, f) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Without a thread it is written here and now. */
static void take_off(struct route_flight *f)
{
	if (!f->has_thread)
		start_thread(f);
	if (f->has_thread)
		sem_post(&f->go);
	else
		fly(f);
}

static void launch(struct route_table *rt, enum delta_list list, unsigned budget)
{
	struct route_flight *f = &rt->flight;

	if (!f->batch)
		f->batch = xcalloc(ROUTE_FLIGHT, sizeof(*f->batch));
	f->nl = &rt->requests;
	f->list = list;
	f->up = true;
	f->n = f->done = 0;
	while (f->n < ROUTE_FLIGHT && budget && rt->delta.count[list])
		budget -= fill_batch(rt, &f->batch[f->n++], list, budget);
	take_off(f);
}

void route_flight_land(struct route_table *rt)
{
	struct route_flight *f = &rt->flight;

	if (!f->up)
		return;
	if (f->has_thread)
		wait_for(&f->landed);
	f->up = false;
	for (unsigned i = 0; i < f->done; i++)
		batch_written(rt, f->list, &f->batch[i]);
	for (unsigned i = f->done; i < f->n; i++)
		batch_lost(rt, &f->batch[i]);
}

void route_flight_done(struct route_table *rt)
{
	struct route_flight *f = &rt->flight;

	if (f->has_thread) {
		f->end = true;
		sem_post(&f->go);
		pthread_join(f->thread, NULL);
		sem_destroy(&f->go);
		sem_destroy(&f->landed);
		f->has_thread = false;
	}
	for (unsigned i = 0; f->batch && i < ROUTE_FLIGHT; i++)
		nl_buf_done(&f->batch[i].out);
	free(TAKE(f->batch));
}

/* ---- apply ---- */

/* One batch, and its outcome: how many keys it took, or -errno. */
static int run_batch(struct route_table *rt, enum delta_list list, unsigned limit, struct err *e)
{
	struct route_batch *b = &rt->batch;
	unsigned taken = fill_batch(rt, b, list, limit);
	int rc = nl_batch(&rt->requests, &b->out, note_failure, b, e);

	if (rc < 0) {
		batch_lost(rt, b);
		return err_wrap(e, "writing routes");
	}
	batch_written(rt, list, b);
	return (int)taken;
}

static void wake(struct route_table *rt, uint64_t *due, enum route_note note)
{
	if (rt->now_ms < *due)
		return;
	*due = UINT64_MAX;
	delta_release(&rt->delta, note);
}

/* Until a list is empty or the budget is spent; or what it allows is in flight. */
static int run_list(struct route_table *rt, enum delta_list list, unsigned *budget, struct err *e)
{
	while (rt->delta.count[list] && *budget) {
		int n;

		if (rt->may_fly && *budget >= rt->cfg.thread_from &&
		    rt->delta.count[list] >= rt->cfg.thread_from) {
			launch(rt, list, *budget);
			*budget = 0;
			return 0;
		}
		n = run_batch(rt, list, *budget, e);
		if (n < 0)
			return n;
		*budget -= *budget == UINT32_MAX ? 0 : (unsigned)n;
	}
	return 0;
}

static int apply(struct route_table *rt, unsigned *budget, struct err *e)
{
	int rc = run_list(rt, DELTA_SET, budget, e);

	/* Somebody else's route was in the way: see who, then go on with what that allows. */
	for (int i = 0; i < 2 && rc == 0 && rt->resync; i++) {
		rc = route_resync(rt, e);
		if (rc == 0)
			rc = run_list(rt, DELTA_SET, budget, e);
	}
	if (rt->resync && rc == 0) {
		/* It comes and goes; do not dump in circles. */
		rt->resync = false;
		rt->retry_ms = rt->now_ms + ROUTE_RETRY_MS;
	}
	if (rc == 0 && rt->ready)
		rc = run_list(rt, DELTA_DEL, budget, e);
	return rc;
}

int route_apply(struct route_table *rt, uint64_t now_ms, unsigned budget, struct err *e)
{
	int rc = 0;

	rt->now_ms = now_ms;
	route_flight_land(rt);
	if (rt->flight.rc < 0) {
		rt->retry_ms = now_ms + 1000;
		rc = rt->flight.rc;
		rt->flight.rc = 0;
		return err_set(e, rc, "writing routes: %s", rt->flight.e.msg);
	}
	/* With a dump due there is trouble: one step at a time. */
	rt->may_fly = budget && !rt->resync;
	if (!budget)
		budget = UINT32_MAX;
	/* What happened before this call is older than what we write now. */
	(void)route_drain_events(rt);
	route_links_scan(rt);
	if (rt->now_ms >= rt->retry_ms)
		delta_release(&rt->delta, NOTE_TAKEN);
	wake(rt, &rt->retry_ms, NOTE_FAILED);
	wake(rt, &rt->grace_ms, NOTE_GRACE);
	wake(rt, &rt->fight_ms, NOTE_FIGHT);
	if (rt->resync)
		rc = route_resync(rt, e);
	if (rt->gateway_stale)
		route_gateway_update(rt);
	if (rc == 0)
		rc = apply(rt, &budget, e);
	if (rc < 0) {
		rt->retry_ms = now_ms + 1000;
		return rc;
	}
	if (route_table_dirty(rt))
		return 1;
	route_flight_done(rt);
	return 0;
}

bool route_table_dirty(const struct route_table *rt)
{
	return rt->flight.up || rt->resync || rt->gateway_stale || rt->delta.count[DELTA_SET] ||
	       (rt->ready && rt->delta.count[DELTA_DEL]);
}

uint64_t route_table_due(const struct route_table *rt)
{
	uint64_t due = rt->retry_ms;

	if (rt->grace_ms < due)
		due = rt->grace_ms;
	return rt->fight_ms < due ? rt->fight_ms : due;
}
