/* route_apply.c - bring the kernel to what is wanted, in batches
 * SHAPE  Additions and replacements first, removals last: a pod that moves from one interface or
 *        metric to another is reachable all the time. Each batch is one sendmsg (netlink.c).
 * ERRORS Of one route: it is held with a reason, and comes back with an event, a dump or the retry
 *        timer. Of the socket: a dump is due, the call says so. */
#include <errno.h>
#include <string.h>

#include "dataplane/route_table.h"

struct batch {
	struct route_table *rt;
	unsigned n;
	uint32_t id[ROUTE_BATCH];
	int code[ROUTE_BATCH];
	char text[96]; /* the kernel's words on the first failure */
};

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
static void queue_set(struct batch *b, uint32_t id)
{
	struct route_table *rt = b->rt;
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
	route_msg_put(&rt->out, delta_key(&rt->delta, id), &s, !have && !ours);
	b->id[b->n++] = id;
}

static void queue_del(struct batch *b, uint32_t id)
{
	struct route_table *rt = b->rt;
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
	route_msg_put_delete(&rt->out, delta_key(&rt->delta, id), &s);
	b->id[b->n++] = id;
}

static void note_failure(void *arg, unsigned index, int code, const char *text)
{
	struct batch *b = arg;

	b->code[index] = code;
	if (!b->text[0])
		str_copy(b->text, sizeof(b->text), text);
}

static void after_set(struct batch *b, uint32_t id, int code)
{
	struct route_table *rt = b->rt;
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

static void after_del(struct batch *b, uint32_t id, int code)
{
	struct route_table *rt = b->rt;

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
static void batch_lost(struct batch *b)
{
	for (unsigned i = 0; i < b->n; i++)
		delta_touch(&b->rt->delta, b->id[i]);
	b->rt->resync = true;
}

/* One batch from a list: how many keys it took, or -errno. */
static int run_batch(struct route_table *rt, enum delta_list list, unsigned limit, struct err *e)
{
	struct batch b = { .rt = rt };
	unsigned taken = 0;
	uint32_t id;
	int rc;

	while (b.n < ROUTE_BATCH && taken < limit && rt->out.len < NL_BATCH_BYTES / 2 &&
	       (id = delta_pop(&rt->delta, list)) != DELTA_NONE) {
		(list == DELTA_SET ? queue_set : queue_del)(&b, id);
		taken++;
	}
	rc = nl_batch(&rt->requests, &rt->out, note_failure, &b, e);
	if (rc < 0) {
		batch_lost(&b);
		return err_wrap(e, "writing routes");
	}
	for (unsigned i = 0; i < b.n; i++)
		(list == DELTA_SET ? after_set : after_del)(&b, b.id[i], b.code[i]);
	return (int)taken;
}

static void wake(struct route_table *rt, uint64_t *due, enum route_note note)
{
	if (rt->now_ms < *due)
		return;
	*due = UINT64_MAX;
	delta_release(&rt->delta, note);
}

/* Until a list is empty or the budget is spent. */
static int run_list(struct route_table *rt, enum delta_list list, unsigned *budget, struct err *e)
{
	while (rt->delta.count[list] && *budget) {
		int n = run_batch(rt, list, *budget, e);

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
	return route_table_dirty(rt);
}

bool route_table_dirty(const struct route_table *rt)
{
	return rt->resync || rt->gateway_stale || rt->delta.count[DELTA_SET] ||
	       (rt->ready && rt->delta.count[DELTA_DEL]);
}

uint64_t route_table_due(const struct route_table *rt)
{
	uint64_t due = rt->retry_ms;

	if (rt->grace_ms < due)
		due = rt->grace_ms;
	return rt->fight_ms < due ? rt->fight_ms : due;
}
