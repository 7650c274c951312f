/* policing_wait.c - who waits until the kernel enforces what was fed
 * TESTS  tests/unit/agent/policing.c, tests/netns/test_policy.py */
#include <stdlib.h>

#include "agent/policy/policing_impl.h"

enum {
	POLL_MS = 20, /* while somebody waits and leftovers are being removed */
};

static void wait_free(struct policing_wait *w)
{
	w->prev->next = w->next;
	w->next->prev = w->prev;
	free(w->interface);
	free(w);
}

static void wait_end(struct policing_wait *w, const char *why)
{
	policing_fn *fn = w->fn;
	void *arg = w->arg;

	wait_free(w);
	fn(arg, why);
}

static bool answered(const struct policing *p, const struct policing_wait *w)
{
	if (!p->on)
		return true;
	return p->kernel && !p->restate && p->stated >= w->seq && filter_enforced(p->filter) &&
	       (!w->interface || policy_kernel_has_pod(p->kernel, w->interface));
}

/* fn may start or stop other waits: begin again after each. */
void policing_answer_waits(struct policing *p)
{
	struct policing_wait *w = p->waits.next;

	while (w != &p->waits) {
		if (answered(p, w)) {
			wait_end(w, NULL);
			w = p->waits.next;
		} else {
			w = w->next;
		}
	}
}

bool policing_has_waits(const struct policing *p)
{
	return p->waits.next != &p->waits;
}

static const char *why_not(const struct policing *p)
{
	if (*p->broken)
		return p->broken;
	if (p->griefs)
		return p->griefs->text;
	return "iptables did not come to its end in time";
}

static void poll_soon(struct policing *p)
{
	static const struct timeval later = { .tv_usec = POLL_MS * 1000 };

	if (!evtimer_pending(p->patience, NULL))
		evtimer_add(p->patience, &later);
}

void policing_on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct policing *p = arg;
	int64_t now = agent_now_ms();
	struct policing_wait *w;

	policing_answer_waits(p);
	w = p->waits.next;
	while (w != &p->waits) {
		if (now >= w->until_ms || *p->broken) {
			wait_end(w, why_not(p));
			w = p->waits.next;
		} else {
			w = w->next;
		}
	}
	if (policing_has_waits(p))
		poll_soon(p);
}

struct policing_wait *policing_wait(struct policing *p, const char *interface, policing_fn *fn,
				    void *arg)
{
	struct policing_wait *w = xcalloc(1, sizeof(*w));

	w->p = p;
	w->interface = interface ? xstrdup(interface) : NULL;
	w->seq = p->fed;
	w->until_ms = agent_now_ms() + POLICING_WAIT_S * 1000;
	w->fn = fn;
	w->arg = arg;
	w->prev = p->waits.prev;
	w->next = &p->waits;
	w->prev->next = w;
	w->next->prev = w;
	policing_turn_soon(p);
	poll_soon(p);
	return w;
}

void policing_wait_stop(struct policing_wait *w)
{
	if (w)
		wait_free(w);
}

void policing_waits_done(struct policing *p)
{
	while (policing_has_waits(p))
		wait_free(p->waits.next);
}
