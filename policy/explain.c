/* explain.c - which rule of which policy decides about a packet at one endpoint
 * WHY    The renderer turns rules into matches and leaves the walk to the kernel; people want to be
 *        told the walk. It is written after the meaning of rules (rule.h), not after the chains.
 * TESTS  tests/unit/policy/explain.c against the judge in random worlds */
#include "policy/explain.h"

#include <stdlib.h>
#include <string.h>

#include "policy/calc_impl.h"

/* ---- does a rule match? ---- */

/* One side of the packet. */
struct side_view {
	const struct calc *calc;
	const struct addr *addr;
	uint8_t proto;
	uint16_t port;
};

static bool in_set(const struct side_view *v, const struct setdef *def)
{
	struct set *s;

	HASH_FIND_STR(v->calc->sets, def->id, s);
	if (!s)
		return false;
	return setdef_has_ports(def) ? members_have_port(&s->members, v->addr, v->proto, v->port)
				     : members_have(&s->members, v->addr);
}

static bool in_nets(const struct prefix *nets, size_t n, const struct addr *a)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_contains(&nets[i], a))
			return true;
	return false;
}

static bool in_ports(const struct side_view *v, const struct rule_ports *p)
{
	for (size_t i = 0; i < p->n_range; i++)
		if (proto_has_ports(v->proto) && v->port >= p->range[i].first &&
		    v->port <= p->range[i].last)
			return true;
	for (size_t i = 0; i < p->n_named; i++)
		if (in_set(v, p->named[i]))
			return true;
	return false;
}

static bool side_matches(const struct side_view *v, const struct rule_side *s)
{
	if (s->n_nets && !in_nets(s->nets, s->n_nets, v->addr))
		return false;
	if (in_nets(s->not_nets, s->n_not_nets, v->addr))
		return false;
	if (s->in && !in_set(v, s->in))
		return false;
	if (s->not_in && in_set(v, s->not_in))
		return false;
	if (s->service && !in_set(v, s->service))
		return false;
	if ((s->ports.n_range || s->ports.n_named) && !in_ports(v, &s->ports))
		return false;
	return !in_ports(v, &s->not_ports);
}

static bool icmp_is(const struct rule_icmp *i, const struct explain_packet *p)
{
	return i->type == p->icmp_type && (i->code < 0 || i->code == p->icmp_code);
}

static bool proto_matches(const struct rule *r, const struct explain_packet *p)
{
	bool icmp = p->proto == (p->src.family == IP_V6 ? PROTO_ICMPV6 : PROTO_ICMP);

	if (r->proto.set && r->proto.number != p->proto)
		return false;
	if (r->not_proto.set && r->not_proto.number == p->proto)
		return false;
	if (r->icmp.type >= 0 && !(icmp && icmp_is(&r->icmp, p)))
		return false;
	return r->not_icmp.type < 0 || (icmp && !icmp_is(&r->not_icmp, p));
}

static bool rule_matches(const struct calc *c, const struct rule *r, const struct explain_packet *p)
{
	struct side_view src = { c, &p->src, p->proto, p->src_port };
	struct side_view dst = { c, &p->dst, p->proto, p->dst_port };

	return rule_in_family(r, (enum ip_family)p->src.family) && proto_matches(r, p) &&
	       side_matches(&src, &r->src) && side_matches(&dst, &r->dst);
}

/* ---- the walk ---- */

enum outcome {
	GOES_ON,
	ALLOWED,
	DENIED,
	PASSED,
};

struct walk {
	struct calc *c;
	const struct explain_packet *p;
	bool ingress;
	struct explain *out;
};

/* step says whose rules they are. */
static enum outcome walk_rules(const struct walk *w, const struct rules *rules,
			       struct explain_step step)
{
	static const enum outcome outcome[] = {
		[RULE_ALLOW] = ALLOWED, [RULE_DENY] = DENIED, [RULE_PASS] = PASSED
	};

	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->p[i];

		if (!rule_matches(w->c, r, w->p))
			continue;
		step.what = EXPLAIN_RULE;
		step.index = i;
		step.action = r->action;
		vec_push(&w->out->steps, step);
		if (r->action != RULE_LOG)
			return outcome[r->action];
	}
	step.what = EXPLAIN_NO_RULE;
	step.index = 0;
	vec_push(&w->out->steps, step);
	return GOES_ON;
}

/* Class: in untracked and preDNAT policy the end of a tier decides nothing. */
static enum outcome walk_tier(const struct walk *w, const struct calc_tier *t, bool end_counts)
{
	enum outcome o = GOES_ON;
	size_t governing = 0;

	for (size_t i = 0; i < t->n && o == GOES_ON; i++) {
		const struct policy *p = t->policy[i];

		if (!(w->ingress ? p->ingress : p->egress))
			continue;
		governing++;
		o = walk_rules(w, w->ingress ? &p->in : &p->out,
			       (struct explain_step) {
				       .tier = t->name, .policy = p, .unreadable = p->closed });
	}
	w->out->n_policies += governing;
	if (o != GOES_ON || !governing || !end_counts)
		return o;
	vec_push(
		&w->out->steps,
		(struct explain_step) { .what = EXPLAIN_TIER_END,
					.tier = t->name,
					.action = t->action == TIER_PASS ? RULE_PASS : RULE_DENY });
	return t->action == TIER_PASS ? PASSED : DENIED;
}

static enum outcome walk_profile(const struct walk *w, const char *name)
{
	struct profile_rules *missing = NULL;
	const struct profile_rules *rules;
	struct prof *prof;
	enum outcome o;

	HASH_FIND_STR(w->c->profs, name, prof);
	rules = prof ? prof->rules : NULL;
	if (!rules)
		rules = missing = profile_missing(name);
	o = walk_rules(w, w->ingress ? &rules->in : &rules->out,
		       (struct explain_step) { .profile = name, .unreadable = rules->closed });
	profile_rules_free(missing);
	return o;
}

/* What stands behind the last tier. */
static enum outcome walk_rest(const struct walk *w, const struct local *here, enum calc_class class)
{
	enum outcome o;

	for (size_t i = 0; class == CLASS_NORMAL && i < here->n_profile; i++) {
		o = walk_profile(w, here->profile[i]);
		if (o == ALLOWED || o == DENIED)
			return o;
	}
	vec_push(&w->out->steps, (struct explain_step) { .what = EXPLAIN_END });
	return class == CLASS_NORMAL ? DENIED : GOES_ON;
}

static enum outcome walk_endpoint(const struct walk *w, struct ep *ep, enum calc_class class)
{
	struct calc_tiers tiers[CLASS_COUNT];
	bool end_counts = class == CLASS_NORMAL || class == CLASS_FORWARD, none;
	enum outcome o = GOES_ON;

	if (ep->kind == ENDPOINT_WORKLOAD && ep->here->admin_down) {
		vec_push(&w->out->steps, (struct explain_step) { .what = EXPLAIN_DISABLED });
		return DENIED;
	}
	calc_tiers_of(w->c, ep, tiers);
	none = !tiers[class].n;
	for (size_t i = 0; i < tiers[class].n && o != ALLOWED && o != DENIED; i++)
		o = walk_tier(w, &tiers[class].p[i], end_counts);
	calc_tiers_done(tiers);
	if (o == ALLOWED || o == DENIED)
		return o;
	o = walk_rest(w, ep->here, class);
	/* Packets that a host forwards are free as long as nothing is said about them at all. */
	return class == CLASS_FORWARD && none ? ALLOWED : o;
}

static struct ep *ep_find(const struct calc *c, enum endpoint_kind kind, const char *id)
{
	CLEANUP(freep)
	char *key = xasprintf("%c%s", kind == ENDPOINT_WORKLOAD ? 'w' : 'h', id);
	struct ep *ep;

	HASH_FIND_STR(c->eps, key, ep);
	return ep && ep->here ? ep : NULL;
}

bool explain_endpoint(struct calc *c, enum endpoint_kind kind, const char *id, bool ingress,
		      enum calc_class class, const struct explain_packet *p, struct explain *out)
{
	struct ep *ep = ep_find(c, kind, id);
	struct walk w = { c, p, ingress, out };
	enum outcome o;

	if (!ep)
		return false;
	*out = (struct explain) { 0 };
	o = walk_endpoint(&w, ep, class);
	out->verdict = o == ALLOWED ? EXPLAIN_ALLOW : o == DENIED ? EXPLAIN_DENY : EXPLAIN_OPEN;
	return true;
}

void explain_done(struct explain *e)
{
	vec_done(&e->steps);
}
