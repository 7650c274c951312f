/* ipam_runner.c - carries the machines of ipam/ against the picture and the store
 *
 *	submit -> queue -> step -+-> answered by the picture -> step
 *	                         +-> ds_submit ... answer ----> step
 *	                         +-> pause (store busy or away) -> carried out -> step
 *	                         +-> done: told, the next one begins
 *
 * COST   A repeated ADD's operation is two writes; its reads cost no turn of the loop.
 * TESTS  tests/unit/agent/cni/cni_server.c, with the embedded store */
#include "agent/cni/ipam_runner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <utlist.h>

#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/config.h"
#include "agent/cni/ipam_world.h"

enum {
	SLOW_MS = 1000,	 /* an answer "not now" that took so long */
	SPARE_MS = 3000, /* is the answer to everything for so long */
	REFUSED_MAX = 4, /* such answers to one operation, quick or slow */
};

struct job {
	struct job *next, *prev;
	struct ipam_op *op;
	ipam_done_fn *done;
	void *arg;
	int64_t since_ms;
	bool doomed; /* was waiting when the store turned out not to answer */
};

struct ipam_runner {
	struct agent *agent;
	struct ipam_picture *picture;
	bool stale;	   /* the picture of the pools */
	struct job *queue; /* its head runs */
	unsigned n;
	bool running;
	struct err away;		  /* what the doomed are told */
	char said[256];			  /* why not, in the words of the store */
	unsigned refused;		  /* requests of the head that the store did not take now */
	int64_t asked_ms, spare_until_ms; /* the last request to the store; not before */
	struct store_req req;		  /* of the head, to be carried out */
	struct event *kick;		  /* begin, or carry out after a pause */
};

/* ---- writes that enter the picture ---- */

struct written {
	struct agent *agent;
	struct store_req req;
	ds_done_fn *done;
	void *arg;
};

static void on_written(void *arg, struct store_res *res)
{
	struct written *w = arg;

	if (res->status == STORE_OK)
		cache_wrote(w->agent->cache, &w->req, res);
	w->done(w->arg, res);
	store_req_done(&w->req);
	free(w);
}

void store_write(struct agent *a, struct store_req req, ds_done_fn *done, void *arg)
{
	struct written *w = xcalloc(1, sizeof(*w));

	*w = (struct written) { .agent = a, .done = done, .arg = arg };
	w->req = (struct store_req) { .verb = req.verb,
				      .rev = req.rev,
				      .key = xstrdup(req.key),
				      .value = xstrdup(req.value) };
	ds_submit(a->ds, req, on_written, w);
}

/* ---- one operation ---- */

static void kick_in(struct ipam_runner *r, unsigned ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	evtimer_add(r->kick, &tv);
}

/* The store does not answer, which took seconds to find out: who waited does not find out again. */
static void doom_waiting(struct ipam_runner *r, const struct err *e)
{
	struct job *j;

	r->away = *e;
	DL_FOREACH (r->queue, j)
		j->doomed = true;
}

static void head_end(struct ipam_runner *r, enum ipam_fail fail, const struct err *e)
{
	struct job *j = r->queue;

	DL_DELETE(r->queue, j);
	r->n--;
	r->running = false;
	if (fail == IPAM_FAIL_UNAVAILABLE && !j->doomed)
		doom_waiting(r, e);
	/* Begun from the loop: the one that is told may submit more. */
	if (r->queue)
		event_active(r->kick, EV_TIMEOUT, 0);
	j->done(j->arg, j->op, fail, e);
	ipam_op_free(j->op);
	free(j);
}

static void head_step(struct ipam_runner *r, const struct store_res *in);

static void on_answer(void *arg, struct store_res *res)
{
	struct ipam_runner *r = arg;
	int64_t now = agent_now_ms();

	/* A machine asks again several times, and to undo again: with a store that makes everybody
	 * wait to the end of its patience that is half a minute, and everything else waits behind.
	 */
	if (res->status == STORE_UNAVAILABLE) {
		r->refused++;
		str_copy(r->said, sizeof(r->said), res->msg);
		if (now - r->asked_ms >= SLOW_MS)
			r->spare_until_ms = now + SPARE_MS;
	}
	head_step(r, res);
}

/* Was it so slow a moment ago that it is not asked now? Or does it read and not write (a full
 * disk), which looks like progress to a machine? Then this operation has to end. */
static bool spared(const struct ipam_runner *r, struct store_res *res)
{
	if (r->refused < REFUSED_MAX && agent_now_ms() >= r->spare_until_ms)
		return false;
	*res = (struct store_res) { .status = STORE_UNAVAILABLE };
	str_copy(res->msg, sizeof(res->msg), r->said);
	return true;
}

/* Carry the head's request out. True when *res is its answer already. */
static bool carry_out(struct ipam_runner *r, struct store_res *res)
{
	struct store_req req = r->req;

	memset(&r->req, 0, sizeof(r->req));
	if (cache_can_answer(r->agent->cache, &req)) {
		*res = cache_answer(r->agent->cache, &req);
		store_req_done(&req);
		return true;
	}
	if (spared(r, res)) {
		store_req_done(&req);
		return true;
	}
	r->asked_ms = agent_now_ms();
	if (req.verb == STORE_GET || req.verb == STORE_LIST)
		ds_submit(r->agent->ds, req, on_answer, r);
	else
		store_write(r->agent, req, on_answer, r);
	return false;
}

static void head_step(struct ipam_runner *r, const struct store_res *in)
{
	struct ipam_op *op = r->queue->op;
	struct store_res res = { 0 };
	struct err e = { 0 };

	for (;;) {
		enum ipam_state st = ipam_step(op, in, clock_wall_ns(), &r->req, &e);
		unsigned pause = st == IPAM_WAIT ? ipam_op_pause_ms(op) : 0;
		bool answered;

		store_res_done(&res);
		if (st != IPAM_WAIT) {
			head_end(r, st == IPAM_DONE ? IPAM_FAIL_NONE : ipam_op_fail(op), &e);
			return;
		}
		if (pause) {
			kick_in(r, pause);
			return;
		}
		answered = carry_out(r, &res);
		if (!answered)
			return;
		in = &res;
	}
}

/* ---- the queue ---- */

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	struct ipam_runner *r = arg;
	struct store_res res = { 0 };

	if (!r->queue)
		return;
	if (r->running) { /* a pause is over */
		if (carry_out(r, &res)) {
			head_step(r, &res);
			store_res_done(&res);
		}
		return;
	}
	if (r->queue->doomed) {
		head_end(r, IPAM_FAIL_UNAVAILABLE, &r->away);
		return;
	}
	if (agent_now_ms() - r->queue->since_ms > IPAM_WAIT_S * 1000) {
		struct err e;

		err_set(&e, -EAGAIN,
			"waited %d s for other operations on addresses; try again later",
			IPAM_WAIT_S);
		head_end(r, IPAM_FAIL_BUSY, &e);
		return;
	}
	r->running = true;
	r->refused = 0;
	head_step(r, NULL);
}

void ipam_runner_submit(struct ipam_runner *r, struct ipam_op *op, ipam_done_fn *done, void *arg)
{
	struct job *j = xcalloc(1, sizeof(*j));

	*j = (struct job) { .op = op, .done = done, .arg = arg, .since_ms = agent_now_ms() };
	/* More than ever wait by rights: let it be told that it waited too long. */
	if (r->n >= IPAM_QUEUE_MAX)
		j->since_ms = INT64_MIN / 2;
	DL_APPEND(r->queue, j);
	r->n++;
	if (!r->running)
		event_active(r->kick, EV_TIMEOUT, 0);
}

unsigned ipam_runner_queued(const struct ipam_runner *r)
{
	return r->n;
}

const struct ipam_world *ipam_runner_world(struct ipam_runner *r)
{
	if (r->stale)
		ipam_picture_build(r->picture, r->agent->cache, r->agent->cfg->node);
	r->stale = false;
	return ipam_picture_world(r->picture);
}

/* ---- life ---- */

static void on_change(void *arg, const struct store_kv *kv)
{
	struct ipam_runner *r = arg;

	r->stale = true;
}

int ipam_runner_new(struct ipam_runner **out, struct agent *a, struct err *e)
{
	static const char *const seen[] = {
		"/calico/resources/v3/projectcalico.org/ippools/",
		"/calico/resources/v3/projectcalico.org/ipreservations/",
		"/calico/resources/v3/projectcalico.org/nodes/",
	};
	struct ipam_runner *r = xcalloc(1, sizeof(*r));

	r->agent = a;
	r->stale = true;
	r->picture = ipam_picture_new();
	r->kick = evtimer_new(a->base, on_kick, r);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		cache_subscribe(a->cache, seen[i], on_change, r);
	*out = r;
	return 0;
}

void ipam_runner_free(struct ipam_runner *r)
{
	struct job *j, *tmp;

	if (!r)
		return;
	DL_FOREACH_SAFE (r->queue, j, tmp) {
		ipam_op_free(j->op);
		free(j);
	}
	store_req_done(&r->req);
	event_free(r->kick);
	ipam_picture_free(r->picture);
	free(r);
}
