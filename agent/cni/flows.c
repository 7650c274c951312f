/* flows.c - addresses that pods gave up lose their flows
 * WHY    Policy looks at the first packet of a flow only. A flow of the last owner that is still
 *        tracked would let its peer talk to the next one, whatever the policy of that one says.
 * SHAPE  One pass of the kernel's table for all addresses of a turn: it may be long. */
#include "agent/cni/flows.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "agent/log.h"
#include "dataplane/conntrack.h"
#include "lib/vec.h"

struct flows {
	struct conntrack *ct; /* NULL: the kernel has none */
	struct event *turn;
	VEC(struct addr) gone;
};

static void forget_all(struct flows *f)
{
	struct err e = { 0 };

	evtimer_del(f->turn);
	if (f->ct && f->gone.n && conntrack_forget(f->ct, f->gone.p, f->gone.n, &e) < 0)
		log_from("conntrack", LOG_LEVEL_WARN, "flows",
			 "flows of pods that are gone may still be tracked", "why=%s", e.msg);
	vec_clear(&f->gone);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	forget_all(arg);
}

struct flows *flows_new(struct event_base *base)
{
	struct flows *f = xcalloc(1, sizeof(*f));
	struct err e = { 0 };

	f->turn = evtimer_new(base, on_turn, f);
	assert(f->turn);
	f->ct = conntrack_open(&e);
	if (!f->ct)
		log_warn("flows", "the kernel tracks no flows that could be asked for", "why=%s",
			 e.msg);
	return f;
}

void flows_free(struct flows *f)
{
	if (!f)
		return;
	forget_all(f);
	conntrack_close(f->ct);
	event_free(f->turn);
	vec_done(&f->gone);
	free(f);
}

void flows_forget(struct flows *f, const struct addr *a)
{
	static const struct timeval now = { 0 };

	vec_push(&f->gone, *a);
	if (!evtimer_pending(f->turn, NULL))
		evtimer_add(f->turn, &now);
}

void flows_settle(struct flows *f, const struct addr *a)
{
	vec_foreach (&f->gone, g) {
		if (addr_eq(g, a)) {
			forget_all(f);
			return;
		}
	}
}
