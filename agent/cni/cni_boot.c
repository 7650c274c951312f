/* cni_boot.c - before the first ADD is answered
 *
 * WHY    An address must not be given out while the note of its release waits in the journal of its
 *        last owner, and an ADD that the agent's end cut in half holds one that nobody uses. */
#include "agent/cni/cni_boot.h"

#include <stdlib.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/cni/ipam_runner.h"
#include "agent/log.h"
#include "agent/owner.h"

enum { REPAIR_AGAIN_S = 60, OWNER_POLL_MS = 20 };

struct cni_boot {
	struct agent *agent;
	struct cni_server *server;
	struct journal *journal, *adding;
	struct event *again, *owned;
	void (*done)(void *arg);
	void *arg;
	bool begun;
};

static void on_replayed(void *arg)
{
	struct cni_boot *b = arg;

	log_info("cni", "ready to answer", "run_dir=%s", b->agent->cfg->run_dir);
	b->done(b->arg);
}

static void on_undone(void *arg)
{
	struct cni_boot *b = arg;

	journal_start(b->journal, on_replayed);
}

static void repair(struct cni_boot *b, ipam_done_fn *done)
{
	const struct ipam_repair req = { .world = *ipam_runner_world(b->agent->ipam),
					 .host = b->agent->cfg->node,
					 .handles = true };

	ipam_runner_submit(b->agent->ipam, ipam_repair_op(&req), done, b);
}

static void note_repair(struct cni_boot *b, struct ipam_op *op, enum ipam_fail fail,
			const struct err *e)
{
	const struct timeval tv = { .tv_sec = REPAIR_AGAIN_S };
	struct ipam_tally n = ipam_op_tally(op);

	if (n.blocks || n.affinities || n.handles)
		log_info("ipam", "mended what an earlier life left",
			 "blocks=%u affinities=%u handles=%u", n.blocks, n.affinities, n.handles);
	if (fail == IPAM_FAIL_NONE)
		return;
	log_warn("ipam", "addresses could not be checked, it is tried again in a minute", "why=%s",
		 e->msg);
	evtimer_add(b->again, &tv);
}

static void on_repaired_again(void *arg, struct ipam_op *op, enum ipam_fail fail,
			      const struct err *e)
{
	note_repair(arg, op, fail, e);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	repair(arg, on_repaired_again);
}

static void on_repaired(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct cni_boot *b = arg;

	note_repair(b, op, fail, e);
	journal_start(b->adding, on_undone);
}

/* Nothing is written before this agent is known to be the only one of its name. */
static void begin(struct cni_boot *b)
{
	const struct timeval soon = { .tv_usec = OWNER_POLL_MS * 1000 };

	if (b->agent->owner && owner_waiting(b->agent->owner))
		evtimer_add(b->owned, &soon);
	else
		repair(b, on_repaired);
}

static void on_owned(evutil_socket_t fd, short what, void *arg)
{
	begin(arg);
}

static void on_picture(void *arg, const struct store_kv *kv)
{
	struct cni_boot *b = arg;

	if (kv || b->begun)
		return;
	b->begun = true;
	begin(b);
}

static void run(void *arg, const char *line, size_t len, cni_done_fn *done, void *done_arg)
{
	struct cni_boot *b = arg;

	cni_server_run(b->server, line, len, done, done_arg);
}

int cni_boot_new(struct cni_boot **out, struct cni_server *s, struct agent *a,
		 void (*done)(void *arg), void *arg, struct err *e)
{
	CLEANUP(freep) char *later = xasprintf("%s/cni-journal", a->cfg->state_dir);
	CLEANUP(freep) char *adding = xasprintf("%s/cni-adding", a->cfg->state_dir);
	struct cni_boot *b = xcalloc(1, sizeof(*b));
	int rc;

	*b = (struct cni_boot) { .agent = a, .server = s, .done = done, .arg = arg };
	b->again = evtimer_new(a->base, on_again, b);
	b->owned = evtimer_new(a->base, on_owned, b);
	rc = journal_new(&b->journal, a->base, later, true, run, b, e);
	if (!rc)
		rc = journal_new(&b->adding, a->base, adding, false, run, b, e);
	if (rc < 0) {
		cni_boot_free(b);
		return rc;
	}
	cache_subscribe(a->cache, "/calico/resources/v3/projectcalico.org/clusterinformations/",
			on_picture, b);
	*out = b;
	return 0;
}

void cni_boot_free(struct cni_boot *b)
{
	if (!b)
		return;
	journal_free(b->journal);
	journal_free(b->adding);
	event_free(b->again);
	event_free(b->owned);
	free(b);
}

struct journal *cni_boot_journal(const struct cni_boot *b)
{
	return b->journal;
}

struct journal *cni_boot_adding(const struct cni_boot *b)
{
	return b->adding;
}
