/* routes.c - the kernel's table on the loop
 * SHAPE  Three reasons to apply: claims changed (a zero timer, so that one turn's claims are one
 *        batch), the kernel said something (link or route events), the table's own due time. Writes
 *        are sliced, so that a hundred thousand routes do not starve the BGP sockets. */
#include "agent/routes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"

enum {
	APPLY_BUDGET = 4096, /* writes in one slice: some 15 ms */
	RETRY_MS = 1000,     /* after the netlink socket failed */
};

struct routes {
	struct agent *agent;
	struct route_table *table;
	struct event *turn, *due, *link_ev, *route_ev;
	const char *workload[2];
	unsigned claimed; /* set of enum routes_party */
	bool settled;	  /* the first apply after all had claimed is through */
	char trouble[256];
	routes_applied_fn *applied;
	void *applied_arg;
	routes_others_fn *others;
	void *others_arg;
};

static void apply(struct routes *r);

static void report(void *arg, const struct route_key *key, int code, const char *text)
{
	char dst[PREFIX_STR_MAX];

	prefix_format(&key->dst, dst);
	/* one source for all: one BGP peer can say a hundred thousand that the kernel refuses */
	if (code)
		log_from("refused routes", LOG_LEVEL_WARN, "routes", "a route is not in the kernel",
			 "route=%s why=%s", dst, text);
	else
		log_from("refused routes", LOG_LEVEL_INFO, "routes",
			 "the route is in the kernel now", "route=%s", dst);
}

static void arm(struct event *ev, int64_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

	evtimer_add(ev, &tv);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	apply(arg);
}

static void on_links(evutil_socket_t fd, short what, void *arg)
{
	struct routes *r = arg;
	struct err e = { 0 };
	int rc = link_table_read(r->agent->links, &e);

	if (rc < 0)
		log_from("links", LOG_LEVEL_ERROR, "routes", "cannot read link events", "why=%s",
			 e.msg);
	else if (rc == 1)
		log_info("routes", "link events were lost; listed the links again");
	routes_changed(r);
}

static void on_routes(evutil_socket_t fd, short what, void *arg)
{
	struct routes *r = arg;
	uint64_t others = route_counts(r->table).others;
	struct err e = { 0 };
	int rc = route_table_read(r->table, &e);

	if (rc < 0)
		log_from("routes", LOG_LEVEL_ERROR, "routes", "cannot read route events", "why=%s",
			 e.msg);
	else if (rc == 1)
		log_info("routes", "route events were lost; listed the routes again");
	if (route_table_dirty(r->table))
		routes_changed(r);
	if (r->others && others != route_counts(r->table).others)
		r->others(r->others_arg);
}

/* One slice. 1: more could be done at once. */
static int apply_slice(struct routes *r, unsigned budget, struct err *e)
{
	int rc = route_apply(r->table, (uint64_t)agent_now_ms(), budget, e);

	if (rc < 0) {
		str_copy(r->trouble, sizeof(r->trouble), e->msg);
		log_from("apply", LOG_LEVEL_ERROR, "routes", "cannot write routes, will try again",
			 "why=%s", e->msg);
		return rc;
	}
	r->trouble[0] = '\0';
	if (rc == 0 && !r->settled && r->claimed == (1u << ROUTES_PARTY_MAX_) - 1)
		r->settled = true;
	if (rc == 0 && r->applied)
		r->applied(r->applied_arg);
	return rc;
}

static void apply(struct routes *r)
{
	struct err e = { 0 };
	int rc = apply_slice(r, APPLY_BUDGET, &e);
	uint64_t due = route_table_due(r->table);
	int64_t now = agent_now_ms();

	if (rc < 0) {
		arm(r->turn, RETRY_MS);
		return;
	}
	if (rc == 1)
		routes_changed(r);
	if (due == UINT64_MAX)
		evtimer_del(r->due);
	else
		arm(r->due, (int64_t)due > now ? (int64_t)due - now : 1);
}

static struct event *watch_fd(struct routes *r, int fd, event_callback_fn fn)
{
	struct event *ev = event_new(r->agent->base, fd, EV_READ | EV_PERSIST, fn, r);

	assert(ev);
	event_add(ev, NULL);
	return ev;
}

struct routes *routes_new(struct agent *a, struct err *e)
{
	struct routes *r = xcalloc(1, sizeof(*r));
	struct route_config cfg = {
		.protocol = (uint8_t)a->cfg->route_protocol,
		.workload = r->workload,
		.keep_external = !a->cfg->remove_external_routes,
		.gateway = true,
		.report = report,
		.arg = r,
	};

	r->agent = a;
	r->workload[0] = a->cfg->interface_prefix;
	a->links = link_table_new(e);
	if (a->links)
		r->table = route_table_new(&cfg, a->links, e);
	if (!r->table) {
		link_table_free(TAKE(a->links));
		free(r);
		return NULL;
	}
	r->turn = evtimer_new(a->base, on_turn, r);
	r->due = evtimer_new(a->base, on_turn, r);
	r->link_ev = watch_fd(r, link_table_fd(a->links), on_links);
	r->route_ev = watch_fd(r, route_table_fd(r->table), on_routes);
	routes_changed(r);
	return r;
}

void routes_free(struct routes *r)
{
	if (!r)
		return;
	event_free(r->turn);
	event_free(r->due);
	event_free(r->link_ev);
	event_free(r->route_ev);
	route_table_free(r->table);
	link_table_free(TAKE(r->agent->links));
	free(r);
}

struct route_table *routes_table(const struct routes *r)
{
	return r->table;
}

void routes_changed(struct routes *r)
{
	static const struct timeval now = { 0 };

	if (!event_pending(r->turn, EV_TIMEOUT, NULL))
		evtimer_add(r->turn, &now);
}

void routes_on_applied(struct routes *r, routes_applied_fn *fn, void *arg)
{
	r->applied = fn;
	r->applied_arg = arg;
}

void routes_on_others(struct routes *r, routes_others_fn *fn, void *arg)
{
	r->others = fn;
	r->others_arg = arg;
}

int routes_flush(struct routes *r, struct err *e)
{
	int rc;

	do
		rc = apply_slice(r, 0, e);
	while (rc == 1);
	return rc;
}

void routes_claimed(struct routes *r, enum routes_party who)
{
	unsigned before = r->claimed;

	r->claimed |= 1u << who;
	if (before == r->claimed)
		return;
	if (r->claimed == (1u << ROUTES_PARTY_MAX_) - 1) {
		log_info("routes", "all that is wanted is known; what is left over may go");
		route_table_ready(r->table);
	}
	routes_changed(r);
}

bool routes_ready(const struct routes *r)
{
	return r->settled;
}

const char *routes_trouble(const struct routes *r)
{
	return r->trouble[0] ? r->trouble : NULL;
}
