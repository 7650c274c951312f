/* cutting.c - flows that a narrowed policy denies come to their end
 * SHAPE  addresses of this node's pods -> endpoint; host endpoints in cutting_hosts.h; a pass for each family (conntrack_cut), in slices.
 *        What changes during a pass makes another one, behind its enforcement.
 * COST   A flow between strangers: four looks into maps. Else what explain_path costs.
 * TESTS  tests/unit/agent/cutting.c, tests/netns/test_policy_settings.py */
#include "agent/policy/cutting.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/log.h"
#include "agent/policy/cutting_hosts.h"
#include "dataplane/link.h"
#include "policy/explain_path.h"

enum {
	SLICE = 512,   /* flows of one turn: under a millisecond */
	PAUSE_MS = 10, /* before a turn when the calculation is not flushed */
	REST_MS = 100, /* between two passes: changes come in crowds */
};

/* An address of a pod of this node. */
struct spot {
	UT_hash_handle hh;
	struct addr addr;
	struct pod *pod;
};

struct pod {
	UT_hash_handle hh;
	char *id;
	struct spot *spots;
	size_t n;
};

struct cutting {
	struct cutting_config cfg;
	struct conntrack *ct;
	struct event *turn;
	struct pod *pods;
	struct spot *spots;
	struct cutting_hosts *hosts;
	bool dirty;	       /* something changed that no pass has looked at */
	bool passing, v6;      /* a pass is under way; IPv6 is policed */
	enum ip_family family; /* of the pass */
	uint64_t before;       /* removed when it began */
};

/* ---- pods ---- */

static void pod_clear(struct cutting *c, struct pod *pod)
{
	for (size_t i = 0; i < pod->n; i++)
		HASH_DEL(c->spots, &pod->spots[i]);
	free(TAKE(pod->spots));
	pod->n = 0;
}

static void pod_free(struct cutting *c, struct pod *pod)
{
	pod_clear(c, pod);
	HASH_DEL(c->pods, pod);
	free(pod->id);
	free(pod);
}

static struct pod *pod_find(const struct cutting *c, const char *id)
{
	struct pod *pod;

	HASH_FIND_STR(c->pods, id, pod);
	return pod;
}

static struct spot *spot_find(const struct cutting *c, const struct addr *a)
{
	struct spot *s;

	HASH_FIND(hh, c->spots, a, sizeof(*a), s);
	return s;
}

static void pod_set(struct cutting *c, const struct calc_endpoint *ep)
{
	struct pod *pod = pod_find(c, ep->id);

	if (!pod) {
		pod = xcalloc(1, sizeof(*pod));
		pod->id = xstrdup(ep->id);
		HASH_ADD_KEYPTR(hh, c->pods, pod->id, strlen(pod->id), pod);
	}
	pod_clear(c, pod);
	pod->spots = xcalloc(ep->n_net + 1, sizeof(*pod->spots));
	for (size_t i = 0; i < ep->n_net; i++) {
		struct spot *s = &pod->spots[pod->n];

		/* Of two pods with one address the first counts: flows cannot be told apart. */
		if (spot_find(c, &ep->net[i].addr))
			continue;
		s->addr = ep->net[i].addr;
		s->pod = pod;
		HASH_ADD(hh, c->spots, addr, sizeof(s->addr), s);
		pod->n++;
	}
}

/* ---- one flow ---- */

/* Who is it at this end: a pod of this node, this node, or somebody else? */
static struct explain_end end_of(const struct cutting *c, const struct addr *a,
				 const struct render_config *cfg)
{
	const struct spot *s = spot_find(c, a);
	bool host = !s && link_by_addr(c->cfg.links, a, NULL);

	return (struct explain_end) { .place = s      ? EXPLAIN_POD
					       : host ? EXPLAIN_HOST
						      : EXPLAIN_OUTSIDE,
				      .node = s || host ? "here" : NULL,
				      .pod = s ? s->pod->id : NULL,
				      .cfg = cfg };
}

/* Packets of tunnels between nodes are let through before policy is asked. */
static bool is_tunnels(const struct explain_packet *p, const struct render_config *cfg)
{
	enum { IPIP = 4 };

	return p->proto == IPIP || (p->proto == PROTO_UDP && p->dst_port == cfg->vxlan_port);
}

/* By which interface the flow leaves to, or comes from, the other end; NULL: that is here as well. */
static void find_hosts(struct cutting *c, struct explain_end *end, const struct addr *peer)
{
	if (end->node && !cutting_hosts_find(c->hosts, peer, end))
		end->uplink = end->every = NULL;
}

static bool denied_on_way(const struct cutting *c, const struct explain_end *from,
			  const struct explain_end *to, const struct explain_packet *p)
{
	struct explain_path path;
	bool denied;

	explain_path(c->cfg.calc, from, to, p, &path);
	denied = path.verdict == EXPLAIN_DENY;
	explain_path_done(&path);
	return denied;
}

static struct explain_packet packet_of(const struct flow *f, const struct addr *dst, uint16_t port)
{
	return (struct explain_packet) {
		.src = f->orig.src,
		.dst = *dst,
		.proto = f->proto,
		.src_port = f->orig.sport,
		.dst_port = port,
		.icmp_type = f->icmp_type,
		.icmp_code = f->icmp_code,
	};
}

bool cutting_denies(struct cutting *c, const struct flow *f)
{
	/* As policy sees it: behind DNAT, before SNAT; and as preDNAT policy does. */
	struct explain_packet p = packet_of(f, &f->reply.src, f->reply.sport),
			      before = packet_of(f, &f->orig.dst, f->orig.dport);
	const struct render_config *cfg = c->cfg.render(c->cfg.arg, (enum ip_family)p.src.family);
	bool hosts = cutting_hosts_any(c->hosts);
	struct explain_end from, to;

	p.before = &before;
	if (!cfg || (!hosts && !spot_find(c, &p.src) && !spot_find(c, &p.dst)))
		return false;
	from = end_of(c, &p.src, cfg);
	to = end_of(c, &p.dst, cfg);
	if ((!from.node && !to.node) || (!from.pod && !to.pod && is_tunnels(&p, cfg)))
		return false;
	if (hosts) {
		find_hosts(c, &from, to.node ? NULL : &p.dst);
		find_hosts(c, &to, from.node ? NULL : &p.src);
	}
	return denied_on_way(c, &from, &to, &p);
}

static bool on_flow(void *arg, const struct flow *f)
{
	return cutting_denies(arg, f);
}

/* ---- passes ---- */

static void turn_in(struct cutting *c, int ms)
{
	struct timeval tv = { .tv_usec = ms * 1000 };

	evtimer_add(c->turn, &tv);
}

static void pass_begin(struct cutting *c, enum ip_family family)
{
	struct err e = { 0 };

	c->family = family;
	cutting_hosts_forget_ways(c->hosts);
	c->passing = conntrack_cut(c->ct, family, on_flow, c, &e) == 0;
	if (!c->passing)
		log_from("cutting", LOG_LEVEL_WARN, "policy",
			 "flows that policy denies now could not be looked for", "why=%s", e.msg);
}

static void pass_end(struct cutting *c, int rc, const struct err *e)
{
	uint64_t cut = conntrack_removed(c->ct) - c->before;

	c->passing = false;
	if (rc < 0) {
		log_from("cutting", LOG_LEVEL_WARN, "policy",
			 "not all flows that policy denies now were looked for; trying again",
			 "why=%s", e->msg);
		c->dirty = true;
	}
	if (c->family == IP_V4 && c->v6 && rc == 0)
		pass_begin(c, IP_V6);
	else if (cut)
		log_info("policy", "flows that policy denies now were cut", "n=%llu",
			 (unsigned long long)cut);
	turn_in(c, c->passing ? 0 : REST_MS);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct cutting *c = arg;
	struct err e = { 0 };
	int rc;

	if (!c->passing) {
		if (c->dirty)
			c->cfg.rested(c->cfg.arg);
		return;
	}
	if (!c->cfg.flushed(c->cfg.arg)) {
		turn_in(c, PAUSE_MS);
		return;
	}
	rc = conntrack_step(c->ct, SLICE, &e);
	if (rc > 0)
		turn_in(c, 0);
	else
		pass_end(c, rc, &e);
}

/* REST_MS of rest after a pass, whose timer is pending then. */
bool cutting_is_due(const struct cutting *c)
{
	return c->dirty && !c->passing && !evtimer_pending(c->turn, NULL);
}

void cutting_enforced(struct cutting *c, bool v6)
{
	if (!cutting_is_due(c))
		return;
	c->dirty = false;
	c->v6 = v6;
	c->before = conntrack_removed(c->ct);
	pass_begin(c, IP_V4);
	turn_in(c, 0);
}

void cutting_take(struct cutting *c, const struct calc_effects *fx)
{
	cutting_hosts_take(c->hosts, fx);
	for (size_t i = 0; i < fx->endpoints.n; i++)
		if (fx->endpoints.p[i].kind == ENDPOINT_WORKLOAD)
			pod_set(c, &fx->endpoints.p[i]);
	for (size_t i = 0; i < fx->endpoints_gone.n; i++) {
		const struct calc_gone_endpoint *gone = &fx->endpoints_gone.p[i];
		struct pod *pod = gone->kind == ENDPOINT_WORKLOAD ? pod_find(c, gone->id) : NULL;

		if (pod)
			pod_free(c, pod);
	}
	c->dirty |= fx->endpoints.n || fx->policies.n || fx->profiles.n || fx->sets.n ||
		    fx->policies_gone.n || fx->profiles_gone.n;
}

uint64_t cutting_count(const struct cutting *c)
{
	return c ? conntrack_removed(c->ct) : 0;
}

/* ---- life ---- */

struct cutting *cutting_new(const struct cutting_config *cfg, struct err *e)
{
	struct cutting *c = xcalloc(1, sizeof(*c));

	c->cfg = *cfg;
	c->ct = conntrack_open(e);
	if (!c->ct) {
		free(c);
		return NULL;
	}
	c->hosts = cutting_hosts_new(cfg->links);
	c->turn = evtimer_new(cfg->base, on_turn, c);
	assert(c->turn);
	return c;
}

void cutting_free(struct cutting *c)
{
	struct pod *pod, *next;

	if (!c)
		return;
	HASH_ITER (hh, c->pods, pod, next)
		pod_free(c, pod);
	cutting_hosts_free(c->hosts);
	conntrack_close(c->ct);
	event_free(c->turn);
	free(c);
}
