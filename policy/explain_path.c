/* explain_path.c - every point at which policy looks at a packet on its way
 * SHAPE  A traveller goes from point to point, also behind a denial: people want to know about both
 *        ends. An allow of untracked or preDNAT policy makes later points of the same host endpoint
 *        superfluous.
 * TESTS  tests/unit/policy/explain.c */
#include "policy/explain_path.h"

#include <string.h>

struct traveller {
	struct calc *calc;
	const struct explain_packet *p;
	struct explain_path *out;
	bool accepted; /* by untracked or preDNAT policy on the way into this node */
};

static void add(struct traveller *t, struct explain_stage stage)
{
	/* Untracked and preDNAT policy that does not decide leaves it to what comes. */
	bool counts = stage.class != CLASS_UNTRACKED && stage.class != CLASS_PRE_DNAT;

	vec_push(&t->out->stages, stage);
	if (stage.verdict == EXPLAIN_DENY && t->out->verdict != EXPLAIN_DENY) {
		t->out->verdict = EXPLAIN_DENY;
		t->out->denied = t->out->stages.n - 1;
	}
	if (stage.verdict == EXPLAIN_OPEN && t->out->verdict == EXPLAIN_ALLOW && counts)
		t->out->verdict = EXPLAIN_OPEN;
}

/* ---- points ---- */

static bool in_net(const struct prefix *net, const struct addr *a)
{
	return !net->addr.family || prefix_contains(net, a);
}

/* What keeps an IPv6 link alive: groups, routers, neighbours. to_router: sent by a pod to its node,
 * which needs no advertisement from there. */
static bool is_neighbors(const struct explain_packet *p, bool to_router)
{
	if (p->proto != PROTO_ICMPV6 || p->src.family != IP_V6)
		return false;
	if (p->icmp_type == 134 || p->icmp_type == 143)
		return !to_router;
	return p->icmp_type >= 130 && p->icmp_type <= 136;
}

static bool is_failsafe(const struct traveller *t, const struct render_config *cfg, bool ingress)
{
	const struct failsafe *list = ingress ? cfg->failsafe_in : cfg->failsafe_out;
	size_t n = ingress ? cfg->n_failsafe_in : cfg->n_failsafe_out;
	const struct addr *peer = ingress ? &t->p->src : &t->p->dst;

	if (is_neighbors(t->p, false))
		return true;
	for (size_t i = 0; i < n; i++)
		if (list[i].proto == t->p->proto && list[i].port == t->p->dst_port &&
		    in_net(&list[i].net, peer))
			return true;
	return false;
}

/* Is there nothing to tell: no policy of this class, and no harm? */
static bool is_silent(const struct explain *x, enum calc_class class)
{
	if (class == CLASS_NORMAL || x->n_policies)
		return false;
	return class != CLASS_FORWARD || x->verdict == EXPLAIN_ALLOW;
}

static enum explain_verdict ask(struct traveller *t, struct explain_stage stage)
{
	const struct explain_packet *p =
		stage.class == CLASS_PRE_DNAT && t->p->before ? t->p->before : t->p;

	if (!stage.endpoint || !explain_endpoint(t->calc, stage.kind, stage.endpoint, stage.ingress,
						 stage.class, p, &stage.why))
		return EXPLAIN_OPEN;
	if (is_silent(&stage.why, stage.class)) {
		explain_done(&stage.why);
		return EXPLAIN_OPEN;
	}
	stage.verdict = stage.why.verdict;
	add(t, stage);
	return stage.verdict;
}

static void ask_pod(struct traveller *t, const struct explain_end *at, bool ingress)
{
	ask(t, (struct explain_stage) { .node = at->node,
					.endpoint = at->pod,
					.kind = ENDPOINT_WORKLOAD,
					.class = CLASS_NORMAL,
					.ingress = ingress });
}

static enum explain_verdict ask_host(struct traveller *t, const struct explain_end *at,
				     const char *id, enum calc_class class, bool ingress)
{
	struct explain_stage stage = { .node = at->node,
				       .endpoint = id,
				       .kind = ENDPOINT_HOST,
				       .class = class,
				       .ingress = ingress };

	if (!id || class == CLASS_FORWARD || !is_failsafe(t, at->cfg, ingress))
		return ask(t, stage);
	if (class == CLASS_NORMAL) {
		stage.point = EXPLAIN_AT_FAILSAFE;
		stage.verdict = EXPLAIN_ALLOW;
		add(t, stage);
	}
	return EXPLAIN_OPEN;
}

/* The host endpoint of the interface to other nodes. */
static const char *outer(const struct explain_end *at)
{
	return at->uplink ? at->uplink : at->every;
}

/* ---- parts of the way ---- */

static bool is_tunnels(const struct traveller *t, const struct render_config *cfg)
{
	return (t->p->proto == 4 && !cfg->ipip_from_pods) ||
	       (t->p->proto == PROTO_UDP && t->p->dst_port == cfg->vxlan_port &&
		!cfg->vxlan_from_pods);
}

/* From a pod's interface to behind its egress policy. */
static void leave_pod(struct traveller *t, const struct explain_end *from)
{
	if (is_tunnels(t, from->cfg))
		add(t, (struct explain_stage) { .point = EXPLAIN_AT_TUNNEL,
						.node = from->node,
						.endpoint = from->pod,
						.verdict = EXPLAIN_DENY });
	ask_pod(t, from, false);
}

static void pre_dnat(struct traveller *t, const struct explain_end *at)
{
	t->accepted = ask_host(t, at, at->every, CLASS_PRE_DNAT, true) == EXPLAIN_ALLOW;
}

/* From a pod's interface into its node's forwarding. */
static void set_out(struct traveller *t, const struct explain_end *from)
{
	pre_dnat(t, from);
	if (!t->accepted)
		ask_host(t, from, from->every, CLASS_FORWARD, true);
	leave_pod(t, from);
}

/* From another machine to a node: up to the point where it is clear for whom it is. */
static void arrive(struct traveller *t, const struct explain_end *at)
{
	t->accepted = ask_host(t, at, outer(at), CLASS_UNTRACKED, true) == EXPLAIN_ALLOW;
	if (!t->accepted)
		t->accepted = ask_host(t, at, outer(at), CLASS_PRE_DNAT, true) == EXPLAIN_ALLOW;
}

static void enter_pod(struct traveller *t, const struct explain_end *to)
{
	ask_pod(t, to, true);
	ask_host(t, to, to->every, CLASS_FORWARD, false);
}

static void leave_host(struct traveller *t, const struct explain_end *from)
{
	if (ask_host(t, from, outer(from), CLASS_UNTRACKED, false) != EXPLAIN_ALLOW)
		ask_host(t, from, outer(from), CLASS_NORMAL, false);
}

static enum explain_verdict to_host(const struct render_config *cfg)
{
	if (!strcmp(cfg->to_host, "ACCEPT"))
		return EXPLAIN_ALLOW;
	return strcmp(cfg->to_host, "RETURN") ? EXPLAIN_DENY : EXPLAIN_OPEN;
}

static void pod_to_own_host(struct traveller *t, const struct explain_end *from)
{
	struct explain_stage stage = { .node = from->node, .verdict = EXPLAIN_ALLOW };

	pre_dnat(t, from);
	if (is_neighbors(t->p, true)) {
		stage.point = EXPLAIN_AT_NEIGHBOR;
	} else {
		leave_pod(t, from);
		stage.point = EXPLAIN_AT_OWN_HOST;
		stage.verdict = to_host(from->cfg);
	}
	add(t, stage);
}

/* Both ends on one node. */
static void stay(struct traveller *t, const struct explain_end *from, const struct explain_end *to)
{
	struct explain_stage stage = { .node = to->node,
				       .point = to->place == EXPLAIN_POD ? EXPLAIN_AT_OWN_POD
									 : EXPLAIN_AT_HOME,
				       .verdict = EXPLAIN_ALLOW };

	if (from->place == EXPLAIN_HOST) {
		add(t, stage);
	} else if (to->place == EXPLAIN_HOST) {
		pod_to_own_host(t, from);
	} else {
		set_out(t, from);
		enter_pod(t, to);
	}
}

static void cross(struct traveller *t, const struct explain_end *from, const struct explain_end *to)
{
	if (from->place == EXPLAIN_POD) {
		set_out(t, from);
		ask_host(t, from, outer(from), CLASS_FORWARD, false);
	} else if (from->place == EXPLAIN_HOST) {
		leave_host(t, from);
	}
	if (to->place == EXPLAIN_OUTSIDE)
		return;
	arrive(t, to);
	if (to->place == EXPLAIN_POD) {
		if (!t->accepted)
			ask_host(t, to, outer(to), CLASS_FORWARD, true);
		enter_pod(t, to);
	} else if (!t->accepted) {
		ask_host(t, to, outer(to), CLASS_NORMAL, true);
	}
}

void explain_path(struct calc *c, const struct explain_end *from, const struct explain_end *to,
		  const struct explain_packet *p, struct explain_path *out)
{
	struct traveller t = { .calc = c, .p = p, .out = out };

	*out = (struct explain_path) { .verdict = EXPLAIN_ALLOW };
	if (addr_eq(&p->src, &p->dst))
		add(&t, (struct explain_stage) { .point = EXPLAIN_AT_HOME,
						 .node = from->node,
						 .verdict = EXPLAIN_ALLOW });
	else if (from->node && to->node && !strcmp(from->node, to->node))
		stay(&t, from, to);
	else
		cross(&t, from, to);
	if (out->verdict != EXPLAIN_DENY)
		out->denied = out->stages.n;
}

void explain_path_done(struct explain_path *path)
{
	vec_foreach (&path->stages, stage)
		explain_done(&stage->why);
	vec_done(&path->stages);
}
