/* world.c - random worlds
 * Few names, values and addresses, so that things meet. */
#include "tests/unit/policy/world.h"
#include "tests/unit/policy/world_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t rng_next(struct rng *r)
{
	r->s += 0x9e3779b97f4a7c15u;
	uint64_t z = r->s;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z ^ z >> 31);
}

int rng_below(struct rng *r, int n)
{
	return (int)(rng_next(r) % (uint32_t)n);
}

bool rng_one_in(struct rng *r, int n)
{
	return rng_below(r, n) == 0;
}

static const char *const keys[] = { "a", "b", "c" };
static const char *const values[] = { "x", "y", "xy", "" };
static const char *const port_names[] = { "http", "dns", "web" };
static const int port_protos[] = { 6, 17, 132 };
/* No failsafe ports: they are let through whatever policy says. */
static const uint16_t port_numbers[] = { 54, 80, 443, 8080 };

static const char *pick(struct rng *r, const char *const *list, size_t n)
{
	return list[rng_below(r, (int)n)];
}

#define PICK(r, list)	     pick(r, list, sizeof(list) / sizeof((list)[0]))
#define PICK_NUMBER(r, list) ((list)[rng_below(r, (int)(sizeof(list) / sizeof((list)[0])))])
#define COPY(to, text)	     snprintf(to, sizeof(to), "%s", text)

/* ---- pieces ---- */

static struct addr random_addr(struct rng *r, int family)
{
	struct addr a;
	char text[32];

	if (family == 4)
		snprintf(text, sizeof(text), rng_one_in(r, 4) ? "192.168.0.%d" : "10.0.0.%d",
			 1 + rng_below(r, 8));
	else
		snprintf(text, sizeof(text), rng_one_in(r, 4) ? "fd01::%d" : "fd00::%d",
			 1 + rng_below(r, 8));
	addr_parse(text, &a);
	return a;
}

static struct prefix random_net(struct rng *r, int family, bool all_too)
{
	static const unsigned lens[] = { 0, 1, 8, 16, 24, 29, 30, 31, 32, 32, 32 };
	struct addr a = random_addr(r, family);
	unsigned len = PICK_NUMBER(r, lens), bits = family == 4 ? 32 : 128;

	if (!len && (!all_too || rng_one_in(r, 2)))
		len = 30;
	return prefix_of(&a, len ? bits - (32 - len) : 0);
}

void world_random_labels(struct rng *r, struct jlabels *l, bool sly)
{
	l->n = 0;
	for (size_t i = 0; i < 3; i++) {
		if (rng_one_in(r, 2))
			continue;
		COPY(l->p[l->n].key, keys[i]);
		COPY(l->p[l->n++].value, PICK(r, values));
	}
	/* A pod that would be taken for another's. */
	if (sly && rng_one_in(r, 6)) {
		static const char *const bad[] = { "pcns.a",
						   "pcsa.a",
						   "pcns.projectcalico.org/name",
						   "projectcalico.org/namespace",
						   "projectcalico.org/serviceaccount",
						   "projectcalico.org/orchestrator" };

		COPY(l->p[l->n].key, PICK(r, bad));
		COPY(l->p[l->n++].value, rng_one_in(r, 2) ? "n0" : "x");
	}
}

static struct jsel *random_sel(struct rng *r, struct jworld *w, int depth)
{
	static const enum jop leaves[] = { JS_ALL,    JS_HAS,	   JS_EQ,     JS_EQ,
					   JS_EQ,     JS_NE,	   JS_IN,     JS_IN,
					   JS_NOT_IN, JS_CONTAINS, JS_STARTS, JS_ENDS };
	struct jsel *s = &w->node[w->n_node++];

	memset(s, 0, sizeof(*s));
	if (w->n_node > J_NODES - 8)
		depth = 0;
	if (depth > 0 && rng_one_in(r, 2)) {
		s->op = (enum jop)(JS_NOT + rng_below(r, 3));
		s->a = random_sel(r, w, depth - 1);
		if (s->op != JS_NOT)
			s->b = random_sel(r, w, depth - 1);
		return s;
	}
	s->op = PICK_NUMBER(r, leaves);
	COPY(s->key, PICK(r, keys));
	s->n_value = s->op == JS_IN || s->op == JS_NOT_IN ? rng_below(r, 3) : 1;
	for (int i = 0; i < s->n_value; i++)
		COPY(s->value[i], PICK(r, values));
	return s;
}

static struct jsel *maybe_sel(struct rng *r, struct jworld *w, int one_in)
{
	return rng_one_in(r, one_in) ? random_sel(r, w, 2) : NULL;
}

static struct jport random_port(struct rng *r, bool numbers)
{
	struct jport p = { 0 };

	if (!numbers || rng_one_in(r, 3)) {
		COPY(p.name, PICK(r, port_names));
		return p;
	}
	p.first = p.last = PICK_NUMBER(r, port_numbers);
	if (rng_one_in(r, 3))
		p.last = (uint16_t)(p.first + rng_below(r, 400));
	return p;
}

static int random_ports(struct rng *r, struct jport *list, bool numbers)
{
	int n = rng_one_in(r, 8) ? 10 + rng_below(r, 9) : 1 + rng_below(r, 3);

	for (int i = 0; i < n; i++)
		list[i] = random_port(r, numbers);
	return n;
}

static int random_nets(struct rng *r, struct prefix *list, int family, bool all_too)
{
	int n = 1 + rng_below(r, 3);

	for (int i = 0; i < n; i++)
		list[i] = random_net(r, family, all_too);
	return n;
}

static void random_side(struct rng *r, struct jworld *w, struct jside *s, int family, int proto)
{
	bool ports = !proto || proto == 6 || proto == 17 || proto == 132;

	memset(s, 0, sizeof(*s));
	s->service = -1;
	s->sel = maybe_sel(r, w, 3);
	s->not_sel = maybe_sel(r, w, 6);
	s->ns_sel = maybe_sel(r, w, 5);
	s->sa_sel = maybe_sel(r, w, 10);
	if (s->ns_sel && rng_one_in(r, 4))
		s->ns_sel->op = JS_GLOBAL;
	if (rng_one_in(r, 10))
		snprintf(s->sa_name, sizeof(s->sa_name), "a%d", rng_below(r, J_ACCOUNTS));
	if (rng_one_in(r, 4))
		s->n_net = random_nets(r, s->net, family, true);
	if (rng_one_in(r, 5))
		s->n_not_net = random_nets(r, s->not_net, family, false);
	if (ports && rng_one_in(r, 4))
		s->n_port = random_ports(r, s->port, proto != 0);
	if (ports && rng_one_in(r, 8))
		s->n_not_port = random_ports(r, s->not_port, proto != 0);
}

/* Echo request or reply. */
static int icmp_type(struct rng *r, int family)
{
	return family == 4 ? 8 * rng_below(r, 2) : 128 + rng_below(r, 2);
}

static struct jrule random_rule(struct rng *r, struct jworld *w, bool ingress)
{
	static const int protos[] = { 0, 0, 6, 6, 17, 132, 1, 58, 47 };
	static const enum jaction actions[] = { J_ALLOW, J_ALLOW, J_ALLOW, J_DENY,
						J_DENY,	 J_PASS,  J_LOG };
	struct jrule rule = { .action = PICK_NUMBER(r, actions),
			      .icmp_type = -1,
			      .icmp_code = -1,
			      .not_icmp_type = -1,
			      .not_icmp_code = -1 };
	int family = rng_one_in(r, 3) ? 6 : 4;

	rule.proto = PICK_NUMBER(r, protos);
	if (rule.proto == 1 || rule.proto == 58)
		family = rule.proto == 1 ? 4 : 6;
	if (rng_one_in(r, 8))
		rule.version = family;
	if (rng_one_in(r, 8))
		rule.not_proto = PICK_NUMBER(r, port_protos);
	if ((rule.proto == 1 || rule.proto == 58) && rng_one_in(r, 2)) {
		rule.icmp_type = icmp_type(r, family);
		rule.icmp_code = rng_one_in(r, 3) ? 0 : -1;
	}
	if ((rule.proto == 1 || rule.proto == 58 || !rule.proto) && rng_one_in(r, 8)) {
		rule.not_icmp_type = icmp_type(r, family);
		rule.not_icmp_code = rng_one_in(r, 3) ? 0 : -1;
	}
	random_side(r, w, &rule.src, family, rule.not_icmp_type >= 0 ? 1 : rule.proto);
	random_side(r, w, &rule.dst, family, rule.not_icmp_type >= 0 ? 1 : rule.proto);
	if (rng_one_in(r, 12)) {
		struct jside *s = ingress ? &rule.src : &rule.dst;

		memset(s, 0, sizeof(*s));
		s->service = rng_below(r, J_SERVICES);
	}
	return rule;
}

/* ---- Kubernetes' policies ---- */

static void random_k8s_sel(struct rng *r, struct jk8s_sel *s, int one_in)
{
	memset(s, 0, sizeof(*s));
	s->given = rng_one_in(r, one_in);
	if (!s->given)
		return;
	if (rng_one_in(r, 2)) {
		COPY(s->label[0].key, PICK(r, keys));
		COPY(s->label[0].value, PICK(r, values));
		s->n_label = 1;
	}
	if (rng_one_in(r, 3)) {
		s->expression = 1 + rng_below(r, 4);
		COPY(s->key, PICK(r, keys));
		COPY(s->value[0], PICK(r, values));
		COPY(s->value[1], PICK(r, values));
	}
}

static void random_k8s_peer(struct rng *r, struct jk8s_peer *p)
{
	memset(p, 0, sizeof(*p));
	p->block = rng_one_in(r, 3);
	if (p->block) {
		p->cidr = random_net(r, rng_one_in(r, 3) ? 6 : 4, true);
		for (int i = 0; i < 2; i++) {
			struct prefix e = random_net(r, p->cidr.addr.family, false);

			if (prefix_covers(&p->cidr, &e) && e.len > p->cidr.len)
				p->except[p->n_except++] = e;
		}
		return;
	}
	random_k8s_sel(r, &p->pods, 2);
	random_k8s_sel(r, &p->namespaces, 2);
	if (!p->pods.given && !p->namespaces.given)
		p->pods.given = true;
}

static void random_k8s_rule(struct rng *r, struct jk8s_rule *rule)
{
	memset(rule, 0, sizeof(*rule));
	rule->n_peer = rng_below(r, 3);
	rule->n_port = rng_one_in(r, 2) ? rng_below(r, 4) : 0;
	for (int i = 0; i < rule->n_peer; i++)
		random_k8s_peer(r, &rule->peer[i]);
	for (int i = 0; i < rule->n_port; i++) {
		struct jk8s_port *p = &rule->port[i];

		p->proto = rng_one_in(r, 3) ? 0 : PICK_NUMBER(r, port_protos);
		if (rng_one_in(r, 3))
			COPY(p->name, PICK(r, port_names));
		else if (!rng_one_in(r, 4))
			p->port = PICK_NUMBER(r, port_numbers);
		if (p->port && rng_one_in(r, 3))
			p->end = p->port + rng_below(r, 400);
	}
}

/* ---- policies, endpoints ---- */

void world_random_policy(struct rng *r, struct jworld *w, int i)
{
	static const char *const names[] = { "p", "p-2", "p.a", "q", "q0", "web", "web-2" };
	static const char *const tiers[] = { "default", "default", "default",	 "t0",
					     "t1",	"t2",	   "kube-admin", "kube-baseline" };
	struct jpolicy *p = &w->policy[i];

	memset(p, 0, sizeof(*p));
	p->exists = !rng_one_in(r, 4);
	p->kind = (enum jkind)rng_below(r, 3);
	p->ns = rng_below(r, J_NAMESPACES);
	COPY(p->name, names[i]);
	COPY(p->tier, PICK(r, tiers));
	p->has_order = !rng_one_in(r, 4);
	p->order = rng_below(r, 3) * 500;
	p->sel = maybe_sel(r, w, 2);
	p->sa_sel = maybe_sel(r, w, 8);
	if (p->kind == J_GNP) {
		p->ns_sel = maybe_sel(r, w, 4);
		p->untracked = rng_one_in(r, 8);
		p->pre_dnat = !p->untracked && rng_one_in(r, 8);
		p->forward = p->untracked || p->pre_dnat || rng_one_in(r, 3);
	}
	p->in = rng_one_in(r, 2);
	p->out = !p->pre_dnat && rng_one_in(r, 2);
	if (p->pre_dnat)
		p->in = true;
	p->n_in = rng_below(r, J_RULES + 1);
	p->n_out = p->pre_dnat ? 0 : rng_below(r, J_RULES + 1);
	for (int k = 0; k < J_RULES; k++) {
		p->rule_in[k] = random_rule(r, w, true);
		p->rule_out[k] = random_rule(r, w, false);
		random_k8s_rule(r, &p->k8s_in[k]);
		random_k8s_rule(r, &p->k8s_out[k]);
	}
	p->broken = p->kind != J_KNP && p->n_in && rng_one_in(r, 12);
	random_k8s_sel(r, &p->pods, 1);
	if (p->kind == J_KNP) {
		COPY(p->tier, "default");
		p->has_order = true;
		p->order = 1000;
	}
}

static void random_endpoint(struct rng *r, struct jendpoint *e, int i, bool host, bool nets)
{
	memset(e, 0, sizeof(*e));
	e->exists = !rng_one_in(r, 5);
	e->host = host;
	e->nets = nets;
	snprintf(e->name, sizeof(e->name), "%s%d", host ? "h" : nets ? "s" : "w", i);
	e->ns = host || (nets && rng_one_in(r, 2)) ? -1 : rng_below(r, J_NAMESPACES);
	e->account = host || nets ? -1 : rng_below(r, J_ACCOUNTS + 1) - 1;
	e->here = !rng_one_in(r, 3);
	world_random_labels(r, &e->labels, !host && !nets);
	if (host) {
		static const char *const ifs[] = { "eth0", "eth1", "*", "" };

		COPY(e->interface, PICK(r, ifs));
	} else {
		snprintf(e->interface, sizeof(e->interface), "cali%x%d", (unsigned)i * 7 % 16, i);
	}
	if (nets)
		for (e->n_net = 0; e->n_net < 3 && !rng_one_in(r, 4); e->n_net++)
			e->net[e->n_net] = random_net(r, rng_one_in(r, 3) ? 6 : 4, true);
	for (int f = 4; !nets && f <= 6; f += 2) {
		struct addr a = random_addr(r, f);

		if (f == 4 || rng_one_in(r, 2))
			e->net[e->n_net++] = prefix_of(&a, f == 4 ? 32 : 128);
	}
	for (int k = 0; !nets && k < 2; k++) {
		if (rng_one_in(r, 2))
			continue;
		COPY(e->port[e->n_port].name, PICK(r, port_names));
		e->port[e->n_port].proto = PICK_NUMBER(r, port_protos);
		e->port[e->n_port++].port = PICK_NUMBER(r, port_numbers);
	}
	for (int k = 0; k < J_PROFILES; k++)
		e->profile[k] = host ? rng_below(r, J_PROFILES + 2) - 1 : -1;
	if (e->profile[0] == e->profile[1])
		e->profile[1] = -1;
}

void world_random_set(struct rng *r, struct jworld *w, int i)
{
	random_endpoint(r, &w->set[i], i, false, true);
}

static void random_profile(struct rng *r, struct jworld *w, struct jprofile *p)
{
	p->exists = !rng_one_in(r, 4);
	world_random_labels(r, &p->labels, false);
	p->n_in = rng_below(r, 3);
	p->n_out = rng_below(r, 3);
	for (int k = 0; k < 2; k++) {
		p->in[k] = random_rule(r, w, true);
		p->out[k] = random_rule(r, w, false);
	}
}

void world_random_service(struct rng *r, struct jservice *s)
{
	int family = rng_one_in(r, 3) ? 6 : 4;

	s->exists = !rng_one_in(r, 4);
	s->proto = PICK_NUMBER(r, port_protos);
	s->port = PICK_NUMBER(r, port_numbers);
	s->n_addr = rng_below(r, 3);
	for (int i = 0; i < s->n_addr; i++) {
		struct addr a = random_addr(r, family);

		s->addr[i] = prefix_of(&a, 128);
	}
}

void world_random(struct rng *r, struct jworld *w)
{
	memset(w, 0, sizeof(*w));
	for (int i = 0; i < J_NAMESPACES; i++) {
		w->ns[i].exists = !rng_one_in(r, 6);
		world_random_labels(r, &w->ns[i].labels, false);
		for (int k = 0; k < J_ACCOUNTS; k++) {
			w->ns[i].account[k].exists = !rng_one_in(r, 4);
			world_random_labels(r, &w->ns[i].account[k].labels, false);
		}
	}
	for (int i = 0; i < J_PODS; i++)
		random_endpoint(r, &w->pod[i], i, false, false);
	for (int i = 0; i < J_HOSTS; i++)
		random_endpoint(r, &w->host[i], i, true, false);
	for (int i = 0; i < J_NETSETS; i++)
		world_random_set(r, w, i);
	for (int i = 0; i < J_TIERS; i++) {
		snprintf(w->tier[i].name, sizeof(w->tier[i].name), "t%d", i);
		w->tier[i].exists = !rng_one_in(r, 3);
		w->tier[i].has_order = !rng_one_in(r, 4);
		w->tier[i].order = rng_below(r, 3) * 1000000;
		w->tier[i].pass = rng_one_in(r, 2);
	}
	for (int i = 0; i < J_POLICIES; i++)
		world_random_policy(r, w, i);
	for (int i = 0; i < J_PROFILES; i++)
		random_profile(r, w, &w->profile[i]);
	for (int i = 0; i < J_SERVICES; i++)
		world_random_service(r, &w->service[i]);
}

static struct addr known_addr(struct rng *r, const struct jworld *w, int family)
{
	const struct jendpoint *e = &w->pod[rng_below(r, J_PODS)];

	for (int i = 0; i < e->n_net && !rng_one_in(r, 3); i++)
		if (e->net[i].addr.family == family)
			return e->net[i].addr;
	return random_addr(r, family);
}

struct jpacket packet_random(struct rng *r, const struct jworld *w)
{
	static const int protos[] = { 6, 6, 6, 17, 17, 132, 1, 47 };
	int family = rng_one_in(r, 3) ? 6 : 4;
	struct jpacket p = { .src = known_addr(r, w, family),
			     .dst = known_addr(r, w, family),
			     .proto = PICK_NUMBER(r, protos),
			     .icmp_type = -1,
			     .icmp_code = -1 };

	if (p.proto == 1) {
		p.proto = family == 4 ? 1 : 58;
		p.icmp_type = icmp_type(r, family);
		p.icmp_code = rng_below(r, 2);
	}
	p.sport = PICK_NUMBER(r, port_numbers);
	p.dport = (uint16_t)(PICK_NUMBER(r, port_numbers) + (rng_one_in(r, 4) ? 100 : 0));
	return p;
}
