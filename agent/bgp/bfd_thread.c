/* bfd_thread.c - BFD beside the loop
 * INVARIANTS  `peers` and its base are touched by the thread alone, but for reading a session under
 *        the lock; the thread holds the lock in every callback. The lock inherits priority: a
 *        real-time thread that waits for the agent does not wait for all that the agent waits
 *        for. */
#include "agent/bgp/bfd_thread.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/log.h"
#include "lib/vec.h"

enum {
	REPORTS_MAX = 8192, /* a mesh of 5 000 that goes down at once, while the loop is busy */
	DROPS_A_SECOND = 16,
	REALTIME_PRIORITY = 10, /* before all that is not real-time, behind the kernel's own */
	NICE = -15,		/* where real-time is not allowed */
};

struct bfd_thread {
	bfd_event_fn *fn;
	void *arg;
	pthread_t thread;
	bool running;
	struct event_base *base; /* the thread's */
	struct bfd_peers *peers;
	struct event *wake, *told;
	int wake_fd, told_fd; /* eventfds: to the thread, to the agent */
	pthread_mutex_t lock;
	/* under the lock */
	VEC(struct bfd_want) want;
	VEC(struct bfd_report) reports;
	bool changed, stop;
	int64_t second;
	unsigned drops;
};

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* A counter that is full is readable all the same. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void clear_fd(int fd)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0)
		return;
}

/* ---- in the thread ---- */

static bool worth_telling(struct bfd_thread *t, const struct bfd_report *r)
{
	struct timespec ts;

	if (r->kind == BFD_REPORT_DROP) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		if (ts.tv_sec != t->second) {
			t->second = ts.tv_sec;
			t->drops = 0;
		}
		if (t->drops++ >= DROPS_A_SECOND)
			return false;
	}
	return t->reports.n < REPORTS_MAX;
}

static void on_report(void *arg, const struct bfd_report *r)
{
	struct bfd_thread *t = arg;

	if (!worth_telling(t, r))
		return;
	vec_push(&t->reports, *r);
	signal_fd(t->told_fd);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct bfd_thread *t = arg;

	clear_fd(fd);
	pthread_mutex_lock(&t->lock);
	if (t->changed)
		bfd_peers_set(t->peers, t->want.p, t->want.n);
	t->changed = false;
	if (t->stop)
		event_base_loopbreak(t->base);
	pthread_mutex_unlock(&t->lock);
}

static void hurry(void)
{
	struct sched_param sp = { .sched_priority = REALTIME_PRIORITY };

	if (pthread_setschedparam(pthread_self(), SCHED_RR, &sp) == 0)
		return;
	/* of this thread alone, on Linux; where it may not, it is a thread like others */
	if (setpriority(PRIO_PROCESS, (id_t)gettid(), NICE) < 0)
		return;
}

static void *run(void *arg)
{
	struct bfd_thread *t = arg;

	hurry();
	event_base_dispatch(t->base);
	return NULL;
}

/* ---- in the agent's loop ---- */

static void say_event(const struct bfd_report *r, const char *who)
{
	switch (r->event) {
	case BFD_EVENT_NONE:
		return;
	case BFD_EVENT_UP:
		log_from(who, LOG_LEVEL_INFO, "bfd", "the path to a neighbour is watched",
			 "peer=%s way=%s", who, r->path.ifindex ? "singlehop" : "multihop");
		return;
	case BFD_EVENT_DOWN:
		log_from(who, LOG_LEVEL_WARN, "bfd", "the path to a neighbour is broken",
			 "peer=%s why=%s neighbour_says=%s", who, bfd_diag_text(r->diag),
			 bfd_diag_text(r->remote_diag));
		return;
	case BFD_EVENT_ADMIN_DOWN:
		log_from(who, LOG_LEVEL_INFO, "bfd",
			 "a neighbour switched BFD off: its path is not watched, BGP goes on",
			 "peer=%s", who);
		return;
	}
}

static void say(const struct bfd_report *r)
{
	char who[ADDR_STR_MAX];

	addr_format(&r->path.peer, who);
	switch (r->kind) {
	case BFD_REPORT_EVENT:
		say_event(r, who);
		return;
	case BFD_REPORT_DROP:
		/* A stranger's address may be anything: all of them share one budget of lines. */
		log_from(r->known ? who : "bfd strangers", LOG_LEVEL_INFO, "bfd",
			 "dropped a packet", "from=%s why=%s", who, r->text);
		return;
	case BFD_REPORT_TROUBLE:
		log_from(who, LOG_LEVEL_WARN, "bfd", "cannot watch a path; trying again",
			 "peer=%s why=%s", who, r->text);
		return;
	}
}

static void on_told(evutil_socket_t fd, short what, void *arg)
{
	struct bfd_thread *t = arg;
	VEC(struct bfd_report) got = { 0 };

	clear_fd(fd);
	pthread_mutex_lock(&t->lock);
	got.p = t->reports.p;
	got.n = t->reports.n;
	got.cap = t->reports.cap;
	t->reports.p = NULL;
	t->reports.n = t->reports.cap = 0;
	pthread_mutex_unlock(&t->lock);
	vec_foreach (&got, r) {
		say(r);
		if (r->kind == BFD_REPORT_EVENT)
			t->fn(t->arg, &r->path, r->event);
	}
	vec_done(&got);
}

/* ---- life ---- */

static struct event *watch(struct event_base *base, int *fd, event_callback_fn fn, void *arg)
{
	struct event *ev;

	*fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(*fd >= 0);
	ev = event_new(base, *fd, EV_READ | EV_PERSIST, fn, arg);
	assert(ev);
	event_priority_set(ev, 0);
	event_add(ev, NULL);
	return ev;
}

static struct event_base *precise_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base;

	assert(cfg);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	assert(base);
	return base;
}

struct bfd_thread *bfd_thread_new(struct event_base *base, bfd_event_fn *fn, void *arg)
{
	struct bfd_thread *t = xcalloc(1, sizeof(*t));
	pthread_mutexattr_t attr;

	t->fn = fn;
	t->arg = arg;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&t->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	t->told = watch(base, &t->told_fd, on_told, t);
	t->base = precise_base();
	t->wake = watch(t->base, &t->wake_fd, on_wake, t);
	t->peers = bfd_peers_new(t->base, &t->lock, on_report, t);
	return t;
}

/* Signals are the agent's loop's. */
static void start(struct bfd_thread *t)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	t->running = pthread_create(&t->thread, NULL, run, t) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!t->running)
		log_from("bfd", LOG_LEVEL_ERROR, "bfd",
			 "cannot start a thread: no path is watched");
}

void bfd_thread_free(struct bfd_thread *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_mutex_unlock(&t->lock);
	signal_fd(t->wake_fd);
	if (t->running)
		pthread_join(t->thread, NULL);
	bfd_peers_free(t->peers);
	event_free(t->wake);
	event_free(t->told);
	event_base_free(t->base);
	close(t->wake_fd);
	close(t->told_fd);
	vec_done(&t->want);
	vec_done(&t->reports);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void bfd_thread_set(struct bfd_thread *t, const struct bfd_want *want, size_t n)
{
	if (!n && !t->running)
		return;
	pthread_mutex_lock(&t->lock);
	vec_clear(&t->want);
	for (size_t i = 0; i < n; i++)
		vec_push(&t->want, want[i]);
	t->changed = true;
	pthread_mutex_unlock(&t->lock);
	signal_fd(t->wake_fd);
	if (!t->running)
		start(t);
}

/* ---- questions ---- */

bool bfd_thread_status(struct bfd_thread *t, const struct addr *peer, uint32_t ifindex,
		       struct bfd_peer_status *out)
{
	bool found;

	pthread_mutex_lock(&t->lock);
	found = bfd_peers_status(t->peers, peer, ifindex, out);
	pthread_mutex_unlock(&t->lock);
	return found;
}

void bfd_thread_trouble(struct bfd_thread *t, struct str *out)
{
	pthread_mutex_lock(&t->lock);
	if (bfd_peers_trouble(t->peers)[0])
		str_addf(out, "BFD: %s\n", bfd_peers_trouble(t->peers));
	pthread_mutex_unlock(&t->lock);
}
