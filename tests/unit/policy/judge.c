/* judge.c - what network policy means, said once more */
#include "tests/unit/policy/judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels that an endpoint shows ---- */

static const char *label_in(const struct jlabels *l, const char *key)
{
	for (int i = 0; i < l->n; i++)
		if (!strcmp(l->p[i].key, key))
			return l->p[i].value;
	return NULL;
}

static bool starts(const char *s, const char *with)
{
	return !strncmp(s, with, strlen(with));
}

static const char *of_namespace(const struct jworld *w, int ns, const char *key)
{
	static char name[16];

	if (ns < 0 || !w->ns[ns].exists || !starts(key, "pcns."))
		return NULL;
	if (!strcmp(key, "pcns.projectcalico.org/name")) {
		snprintf(name, sizeof(name), "n%d", ns);
		return name;
	}
	return label_in(&w->ns[ns].labels, key + 5);
}

static const char *of_account(const struct jworld *w, const struct jendpoint *e, const char *key)
{
	static char name[16];

	if (e->account < 0 || !w->ns[e->ns].account[e->account].exists || !starts(key, "pcsa."))
		return NULL;
	if (!strcmp(key, "pcsa.projectcalico.org/name")) {
		snprintf(name, sizeof(name), "a%d", e->account);
		return name;
	}
	return label_in(&w->ns[e->ns].account[e->account].labels, key + 5);
}

static const char *pod_label(const struct jworld *w, const struct jendpoint *e, const char *key)
{
	static char ns[16], account[16];

	if (!strcmp(key, "projectcalico.org/namespace")) {
		snprintf(ns, sizeof(ns), "n%d", e->ns);
		return ns;
	}
	if (!strcmp(key, "projectcalico.org/orchestrator"))
		return "k8s";
	if (!strcmp(key, "projectcalico.org/serviceaccount") && e->account >= 0) {
		snprintf(account, sizeof(account), "a%d", e->account);
		return account;
	}
	if (starts(key, "pcns."))
		return of_namespace(w, e->ns, key);
	if (starts(key, "pcsa."))
		return of_account(w, e, key);
	return label_in(&e->labels, key);
}

static const char *host_label(const struct jworld *w, const struct jendpoint *e, const char *key)
{
	const char *own = label_in(&e->labels, key);

	for (int i = 0; !own && i < J_PROFILES; i++)
		if (e->profile[i] >= 0 && e->profile[i] < J_PROFILES &&
		    w->profile[e->profile[i]].exists)
			own = label_in(&w->profile[e->profile[i]].labels, key);
	return own;
}

static const char *label(const struct jworld *w, const struct jendpoint *e, const char *key)
{
	static char ns[16];

	if (e->host)
		return host_label(w, e, key);
	if (!e->nets)
		return pod_label(w, e, key);
	if (e->ns < 0)
		return label_in(&e->labels, key);
	if (!strcmp(key, "projectcalico.org/namespace")) {
		snprintf(ns, sizeof(ns), "n%d", e->ns);
		return ns;
	}
	return starts(key, "pcns.") ? of_namespace(w, e->ns, key) : label_in(&e->labels, key);
}

/* ---- selectors ---- */

/* How a selector is read: which labels it means, and what all() and global() are. */
struct reading {
	const char *prefix;
	const char *all_has; /* label that all() demands and global() forbids; NULL: none */
};

static bool compare(const struct jsel *s, const char *v)
{
	size_t n = strlen(s->value[0]), len = v ? strlen(v) : 0;
	bool one = v && ((s->n_value > 0 && !strcmp(v, s->value[0])) ||
			 (s->n_value > 1 && !strcmp(v, s->value[1])));

	switch (s->op) {
	case JS_EQ:
	case JS_IN:
		return one;
	case JS_NE:
	case JS_NOT_IN:
		return !one;
	case JS_CONTAINS:
		return v && strstr(v, s->value[0]);
	case JS_STARTS:
		return v && !strncmp(v, s->value[0], n);
	case JS_ENDS:
		return v && len >= n && !strcmp(v + len - n, s->value[0]);
	case JS_HAS:
		return v != NULL;
	case JS_ALL:
	case JS_GLOBAL:
	case JS_NOT:
	case JS_AND:
	case JS_OR:
		break;
	}
	return false;
}

static bool selects(const struct jworld *w, const struct jsel *s, const struct reading *r,
		    const struct jendpoint *e)
{
	char key[80];

	switch (s->op) {
	case JS_ALL:
		return !r->all_has || label(w, e, r->all_has);
	case JS_GLOBAL:
		return !r->all_has || !label(w, e, r->all_has);
	case JS_NOT:
		return !selects(w, s->a, r, e);
	case JS_AND:
		return selects(w, s->a, r, e) && selects(w, s->b, r, e);
	case JS_OR:
		return selects(w, s->a, r, e) || selects(w, s->b, r, e);
	case JS_HAS:
	case JS_EQ:
	case JS_NE:
	case JS_IN:
	case JS_NOT_IN:
	case JS_CONTAINS:
	case JS_STARTS:
	case JS_ENDS:
		break;
	}
	snprintf(key, sizeof(key), "%s%s", r->prefix, s->key);
	return compare(s, label(w, e, key));
}

static const struct reading plain = { "", NULL };
static const struct reading as_ns = { "pcns.", "projectcalico.org/namespace" };
static const struct reading as_sa = { "pcsa.", NULL };

static bool is_in_namespace(const struct jworld *w, const struct jendpoint *e, int ns)
{
	char name[16];
	const char *v = label(w, e, "projectcalico.org/namespace");

	snprintf(name, sizeof(name), "n%d", ns);
	return v && !strcmp(v, name);
}

/* Does a rule's side have a positive selector, and does it hold for an endpoint? */
static bool has_positive(const struct jside *s, int ns)
{
	bool own = s->sel || s->sa_sel || s->sa_name[0] || s->ns_sel;

	return own || (ns >= 0 && s->not_sel);
}

static bool positive(const struct jworld *w, const struct jside *s, int ns,
		     const struct jendpoint *e)
{
	const char *account = label(w, e, "projectcalico.org/serviceaccount");

	if (s->ns_sel && !selects(w, s->ns_sel, &as_ns, e))
		return false;
	if (!s->ns_sel && ns >= 0 && !is_in_namespace(w, e, ns))
		return false;
	if (s->sa_sel && !selects(w, s->sa_sel, &as_sa, e))
		return false;
	if (s->sa_name[0] && !(account && !strcmp(account, s->sa_name)))
		return false;
	if (s->sel && !selects(w, s->sel, &plain, e))
		return false;
	return !s->not_sel || !selects(w, s->not_sel, &plain, e);
}

static const struct jendpoint *nth(const struct jworld *w, int i)
{
	if (i < J_PODS)
		return &w->pod[i];
	i -= J_PODS;
	if (i < J_HOSTS)
		return &w->host[i];
	i -= J_HOSTS;
	return i < J_NETSETS ? &w->set[i] : NULL;
}

static bool holds(const struct jendpoint *e, const struct addr *a)
{
	for (int i = 0; i < e->n_net; i++)
		if (prefix_contains(&e->net[i], a))
			return true;
	return false;
}

static bool selector_part(const struct jworld *w, const struct jside *s, int ns,
			  const struct addr *a)
{
	const struct jendpoint *e;

	if (has_positive(s, ns)) {
		for (int i = 0; (e = nth(w, i)); i++)
			if (e->exists && holds(e, a) && positive(w, s, ns, e))
				return true;
		return false;
	}
	for (int i = 0; s->not_sel && (e = nth(w, i)); i++)
		if (e->exists && holds(e, a) && selects(w, s->not_sel, &plain, e))
			return false;
	return true;
}

/* ---- ports, nets, services ---- */

static bool has_ports(int proto)
{
	return proto == 6 || proto == 17 || proto == 132;
}

static bool named_port(const struct jworld *w, const struct jside *s, int ns, const char *name,
		       const struct addr *a, int proto, uint16_t port)
{
	const struct jendpoint *e;

	for (int i = 0; (e = nth(w, i)); i++) {
		if (!e->exists || !holds(e, a) || (has_positive(s, ns) && !positive(w, s, ns, e)))
			continue;
		for (int j = 0; j < e->n_port; j++)
			if (!strcmp(e->port[j].name, name) && e->port[j].proto == proto &&
			    e->port[j].port == port)
				return true;
	}
	return false;
}

static bool in_ports(const struct jworld *w, const struct jside *s, int ns,
		     const struct jport *list, int n, const struct addr *a, int proto,
		     uint16_t port)
{
	for (int i = 0; i < n; i++) {
		if (list[i].name[0]
			    ? named_port(w, s, ns, list[i].name, a, proto, port)
			    : has_ports(proto) && port >= list[i].first && port <= list[i].last)
			return true;
	}
	return false;
}

static bool in_nets(const struct prefix *list, int n, const struct addr *a)
{
	for (int i = 0; i < n; i++)
		if (prefix_contains(&list[i], a))
			return true;
	return false;
}

static bool none_of_family(const struct prefix *list, int n, int family)
{
	for (int i = 0; i < n; i++)
		if (list[i].addr.family == family)
			return false;
	return n > 0;
}

static bool in_service(const struct jservice *s, const struct addr *a, bool ports, int proto,
		       uint16_t port)
{
	return s->exists && in_nets(s->addr, s->n_addr, a) &&
	       (!ports || (s->proto == proto && s->port == port));
}

static bool side_matches(const struct jworld *w, const struct jside *s, int ns, bool dst,
			 const struct jpacket *p)
{
	const struct addr *a = dst ? &p->dst : &p->src;
	uint16_t port = dst ? p->dport : p->sport;

	if ((s->n_net && !in_nets(s->net, s->n_net, a)) || in_nets(s->not_net, s->n_not_net, a) ||
	    none_of_family(s->not_net, s->n_not_net, a->family))
		return false;
	if (!selector_part(w, s, ns, a))
		return false;
	if (s->n_port && !in_ports(w, s, ns, s->port, s->n_port, a, p->proto, port))
		return false;
	if (in_ports(w, s, ns, s->not_port, s->n_not_port, a, p->proto, port))
		return false;
	return s->service < 0 || in_service(&w->service[s->service], a, dst, p->proto, port);
}

/* ---- rules ---- */

static bool icmp_is(int type, int code, const struct jpacket *p)
{
	return p->icmp_type == type && (code < 0 || p->icmp_code == code);
}

static bool rule_matches(const struct jworld *w, const struct jrule *r, int ns,
			 const struct jpacket *p)
{
	int version = p->src.family;
	bool icmp = p->proto == (version == 4 ? 1 : 58);

	if (r->version && r->version != version)
		return false;
	if ((r->proto == 1 && version != 4) || (r->proto == 58 && version != 6))
		return false;
	if ((r->proto && r->proto != p->proto) || (r->not_proto && r->not_proto == p->proto))
		return false;
	if (r->icmp_type >= 0 && !icmp_is(r->icmp_type, r->icmp_code, p))
		return false;
	if (r->not_icmp_type >= 0 && (!icmp || icmp_is(r->not_icmp_type, r->not_icmp_code, p)))
		return false;
	return side_matches(w, &r->src, ns, false, p) && side_matches(w, &r->dst, ns, true, p);
}

enum outcome { NO_MATCH, ALLOW, DENY, PASS };

static enum outcome walk(const struct jworld *w, const struct jrule *rule, int n, int ns,
			 const struct jpacket *p)
{
	for (int i = 0; i < n; i++) {
		if (!rule_matches(w, &rule[i], ns, p) || rule[i].action == J_LOG)
			continue;
		return rule[i].action == J_ALLOW ? ALLOW : rule[i].action == J_DENY ? DENY : PASS;
	}
	return NO_MATCH;
}

/* ---- Kubernetes' own policies, by their API's contract ---- */

static bool k8s_matches(const struct jk8s_sel *s, const struct jlabels *l, const char *extra_key,
			const char *extra_value)
{
	const char *v;

	for (int i = 0; i < s->n_label; i++) {
		v = label_in(l, s->label[i].key);
		if (!v && extra_key && !strcmp(extra_key, s->label[i].key))
			v = extra_value;
		if (!v || strcmp(v, s->label[i].value))
			return false;
	}
	v = label_in(l, s->key);
	switch (s->expression) {
	case 1:
		return v && (!strcmp(v, s->value[0]) || !strcmp(v, s->value[1]));
	case 2:
		return !v || (strcmp(v, s->value[0]) && strcmp(v, s->value[1]));
	case 3:
		return v != NULL;
	case 4:
		return !v;
	default:
		return true;
	}
}

/* A namespace whose object is gone has no labels: it matches what asks for none. */
static bool k8s_namespace_matches(const struct jworld *w, const struct jk8s_sel *s, int ns)
{
	static const struct jlabels none;

	return k8s_matches(s, w->ns[ns].exists ? &w->ns[ns].labels : &none, NULL, NULL);
}

static bool k8s_peer(const struct jworld *w, const struct jk8s_peer *peer, int ns,
		     const struct addr *a)
{
	if (peer->block)
		return prefix_contains(&peer->cidr, a) && !in_nets(peer->except, peer->n_except, a);
	for (int i = 0; i < J_PODS; i++) {
		const struct jendpoint *e = &w->pod[i];

		if (!e->exists || !holds(e, a))
			continue;
		if (peer->namespaces.given ? !k8s_namespace_matches(w, &peer->namespaces, e->ns)
					   : e->ns != ns)
			continue;
		if (!peer->pods.given || k8s_matches(&peer->pods, &e->labels, NULL, NULL))
			return true;
	}
	return false;
}

/* Ports are those of the destination; its named ports are the pods' that the peer selects. */
static bool k8s_port(const struct jworld *w, const struct jk8s_port *port,
		     const struct jk8s_peer *to, int ns, const struct jpacket *p)
{
	int proto = port->proto ? port->proto : 6;

	if (p->proto != proto)
		return false;
	if (!port->name[0])
		return !port->port ||
		       (p->dport >= port->port && p->dport <= (port->end ? port->end : port->port));
	for (int i = 0; i < J_PODS + J_HOSTS; i++) {
		const struct jendpoint *e = nth(w, i);

		if (!e->exists || !holds(e, &p->dst))
			continue;
		if (to && !to->block &&
		    (e->host ||
		     (to->namespaces.given ? !k8s_namespace_matches(w, &to->namespaces, e->ns)
					   : e->ns != ns) ||
		     (to->pods.given && !k8s_matches(&to->pods, &e->labels, NULL, NULL))))
			continue;
		for (int j = 0; j < e->n_port; j++)
			if (!strcmp(e->port[j].name, port->name) && e->port[j].proto == proto &&
			    e->port[j].port == p->dport)
				return true;
	}
	return false;
}

static bool k8s_rule(const struct jworld *w, const struct jk8s_rule *r, int ns, bool ingress,
		     const struct jpacket *p)
{
	for (int i = 0; i < r->n_peer || (!r->n_peer && !i); i++) {
		const struct jk8s_peer *peer = r->n_peer ? &r->peer[i] : NULL;

		if (peer && !k8s_peer(w, peer, ns, ingress ? &p->src : &p->dst))
			continue;
		if (!r->n_port)
			return true;
		for (int j = 0; j < r->n_port; j++)
			if (k8s_port(w, &r->port[j], ingress ? NULL : peer, ns, p))
				return true;
	}
	return false;
}

static enum outcome k8s_walk(const struct jworld *w, const struct jpolicy *policy, bool ingress,
			     const struct jpacket *p)
{
	int n = ingress ? policy->n_in : policy->n_out;

	for (int i = 0; i < n; i++)
		if (k8s_rule(w, ingress ? &policy->k8s_in[i] : &policy->k8s_out[i], policy->ns,
			     ingress, p))
			return ALLOW;
	return NO_MATCH;
}

/* ---- policies ---- */

static bool applies_to(const struct jworld *w, const struct jpolicy *p, const struct jendpoint *e)
{
	static const struct reading ns_all = { "", "projectcalico.org/namespace" };
	static const struct reading sa_all = { "", "projectcalico.org/serviceaccount" };
	static const struct reading sa_narrow = { "pcsa.", "projectcalico.org/serviceaccount" };
	const struct reading *spec = &plain, *account = &as_sa;

	if (p->kind == J_KNP)
		return !e->host && !e->nets && e->ns == p->ns &&
		       k8s_matches(&p->pods, &e->labels, NULL, NULL);
	/* In a global policy all() means less when it looks into namespaces or accounts. */
	if (p->kind == J_GNP && p->ns_sel) {
		spec = &ns_all;
	} else if (p->kind == J_GNP && p->sa_sel) {
		spec = &sa_all;
	}
	if (p->kind == J_GNP)
		account = &sa_narrow;
	if (p->sel && !selects(w, p->sel, spec, e))
		return false;
	if (p->kind == J_NP && !is_in_namespace(w, e, p->ns))
		return false;
	if (p->kind == J_GNP && p->ns_sel && !selects(w, p->ns_sel, &as_ns, e))
		return false;
	return !p->sa_sel || selects(w, p->sa_sel, account, e);
}

static bool governs(const struct jpolicy *p, bool ingress)
{
	if (p->kind == J_KNP && !p->in && !p->out)
		return ingress || p->n_out;
	if (!p->in && !p->out)
		return true;
	return ingress ? p->in : p->out;
}

/* Policies that a class looks at. */
static bool is_of_class(const struct jpolicy *p, enum jclass class, const struct jendpoint *e)
{
	switch (class) {
	case J_UNTRACKED:
		return p->untracked && strcmp(e->interface, "*");
	case J_PREDNAT:
		return p->pre_dnat;
	case J_FORWARD:
		return !p->untracked && !p->pre_dnat && (p->forward || p->kind != J_GNP);
	case J_NORMAL:
		break;
	}
	return !p->untracked && !p->pre_dnat;
}

static const struct {
	const char *name;
	double order;
	bool pass;
} builtin[] = { { "kube-admin", 1000, true },
		{ "default", 1e6, false },
		{ "kube-baseline", 1e7, true } };

struct where {
	double order;
	bool missing, pass;
};

static struct where tier_of(const struct jworld *w, const char *name)
{
	struct where out = { 1e300, true, false };

	for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++)
		if (!strcmp(builtin[i].name, name))
			return (struct where) { builtin[i].order, false, builtin[i].pass };
	for (int i = 0; i < J_TIERS; i++)
		if (w->tier[i].exists && !strcmp(w->tier[i].name, name))
			out = (struct where) { w->tier[i].has_order ? w->tier[i].order : 1e300,
					       false, w->tier[i].pass };
	return out;
}

static int compare_policies(const struct jworld *w, const struct jpolicy *a,
			    const struct jpolicy *b)
{
	static const char *const kinds[] = { "NetworkPolicy", "GlobalNetworkPolicy",
					     "KubernetesNetworkPolicy" };
	struct where x = tier_of(w, a->tier), y = tier_of(w, b->tier);
	double oa = a->has_order ? a->order : 1e300, ob = b->has_order ? b->order : 1e300;
	char ta[64], tb[64], na[16] = "", nb[16] = "";

	if (x.missing != y.missing)
		return x.missing ? 1 : -1;
	if (x.order < y.order || x.order > y.order)
		return x.order < y.order ? -1 : 1;
	if (strcmp(a->tier, b->tier))
		return strcmp(a->tier, b->tier);
	if (oa < ob || oa > ob)
		return oa < ob ? -1 : 1;
	if (a->kind != J_GNP)
		snprintf(na, sizeof(na), "n%d", a->ns);
	if (b->kind != J_GNP)
		snprintf(nb, sizeof(nb), "n%d", b->ns);
	snprintf(ta, sizeof(ta), "%s/%s/%s", a->name, na, kinds[a->kind]);
	snprintf(tb, sizeof(tb), "%s/%s/%s", b->name, nb, kinds[b->kind]);
	return strcmp(ta, tb);
}

static enum outcome walk_policy(const struct jworld *w, const struct jpolicy *p, bool ingress,
				const struct jpacket *pkt)
{
	if (p->broken)
		return DENY;
	if (p->kind == J_KNP)
		return k8s_walk(w, p, ingress, pkt);
	return walk(w, ingress ? p->rule_in : p->rule_out, ingress ? p->n_in : p->n_out,
		    p->kind == J_GNP ? -1 : p->ns, pkt);
}

static enum jverdict walk_profiles(const struct jworld *w, const struct jendpoint *e, bool ingress,
				   const struct jpacket *p)
{
	if (!e->host) /* kns. allows, ksa. has no rules and is behind */
		return w->ns[e->ns].exists ? J_ACCEPTED : J_DROPPED;
	for (int i = 0; i < J_PROFILES; i++) {
		const struct jprofile *profile;
		enum outcome o;

		if (e->profile[i] < 0)
			continue;
		if (e->profile[i] == J_PROFILES || !w->profile[e->profile[i]].exists)
			return J_DROPPED;
		profile = &w->profile[e->profile[i]];
		o = walk(w, ingress ? profile->in : profile->out,
			 ingress ? profile->n_in : profile->n_out, -1, p);
		if (o == ALLOW || o == DENY)
			return o == ALLOW ? J_ACCEPTED : J_DROPPED;
	}
	return J_DROPPED;
}

/* All policies that select the endpoint in this class, sorted. */
static int collect(const struct jworld *w, const struct jendpoint *e, enum jclass class,
		   const struct jpolicy *out[J_POLICIES])
{
	int n = 0;

	for (int i = 0; i < J_POLICIES; i++) {
		const struct jpolicy *p = &w->policy[i];
		int at;

		if (!p->exists || !is_of_class(p, class, e) || !applies_to(w, p, e))
			continue;
		for (at = n++; at && compare_policies(w, p, out[at - 1]) < 0; at--)
			out[at] = out[at - 1];
		out[at] = p;
	}
	return n;
}

enum jverdict judge(const struct jworld *w, const struct jendpoint *e, bool ingress,
		    enum jclass class, const struct jpacket *p)
{
	const struct jpolicy *list[J_POLICIES];
	int n = collect(w, e, class, list);

	if (class == J_FORWARD && !n)
		return J_ACCEPTED;
	for (int i = 0; i < n;) {
		bool any = false, passed = false;
		int first = i;

		for (; i < n && !strcmp(list[i]->tier, list[first]->tier); i++) {
			enum outcome o;

			if (!governs(list[i], ingress) || passed)
				continue;
			any = true;
			o = walk_policy(w, list[i], ingress, p);
			if (o == ALLOW || o == DENY)
				return o == ALLOW ? J_ACCEPTED : J_DROPPED;
			passed = o == PASS;
		}
		if (any && !passed && (class == J_NORMAL || class == J_FORWARD) &&
		    !tier_of(w, list[first]->tier).pass)
			return J_DROPPED;
	}
	return class == J_NORMAL ? walk_profiles(w, e, ingress, p) : J_UNDECIDED;
}

const struct jendpoint *judge_host(const struct jworld *w, const char *interface,
				   const struct addr *addrs, int n)
{
	const struct jendpoint *best = NULL, *any = NULL;

	for (int i = 0; i < J_HOSTS; i++) {
		const struct jendpoint *e = &w->host[i];
		bool fits = !strcmp(e->interface, interface);

		if (!e->exists || !e->here)
			continue;
		for (int a = 0; !e->interface[0] && a < n; a++)
			fits = fits || holds(e, &addrs[a]);
		if (fits && (!best || strcmp(e->name, best->name) < 0))
			best = e;
		if (!strcmp(e->interface, "*") && (!any || strcmp(e->name, any->name) < 0))
			any = e;
	}
	return best ? best : any;
}
