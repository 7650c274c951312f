/* render_ep.c - chains of endpoints, of groups of policies, and the way to them
 * TESTS  tests/unit/policy/render.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "policy/hash.h"
#include "policy/render.h"

enum {
	GROUP_STRIDE = 5, /* jumps in a group's chain between two looks at the verdict */
	GROUP_HASH_LEN = 20,
	SHARED_HASH_LEN = 19, /* longer than an interface's name: never the same */
};

#define ESTABLISHED "-m conntrack --ctstate RELATED,ESTABLISHED"
#define INVALID	    "-m conntrack --ctstate INVALID"

struct chain_name render_endpoint_chain(const char *interface, enum render_endpoint_kind kind,
					bool ingress)
{
	switch (kind) {
	case RENDER_WORKLOAD:
		return chain_name(ingress ? CHAIN_TO_WL : CHAIN_FROM_WL, interface);
	case RENDER_HOST_FORWARD:
		return chain_name(ingress ? CHAIN_FROM_HOST_FW : CHAIN_TO_HOST_FW, interface);
	case RENDER_HOST:
	case RENDER_HOST_RAW:
	case RENDER_HOST_PREDNAT:
		break;
	}
	return chain_name(ingress ? CHAIN_FROM_HOST : CHAIN_TO_HOST, interface);
}

/* What one endpoint chain is made with. */
struct maker {
	const struct render_config *cfg;
	const struct calc_endpoint *ep;
	enum render_endpoint_kind kind;
	bool ingress, lean;
	bool judged;		  /* a tier has set marks already */
	const char *allow, *deny; /* actions */
	char accept_set[64], pass_clear[64], accept_mark[64], accept_clear[64], both_clear[64];
	struct chain body;
	struct chains *out;
};

/* A comment for who reads the rules; each is a match of 288 bytes for the kernel to find. Those of the
 * last rules stay: counters of denied packets are found by them. */
static const char *say(const struct maker *m, const char *comment)
{
	return m->lean ? NULL : comment;
}

static bool governs(const struct policy *p, bool ingress)
{
	return ingress ? p->ingress : p->egress;
}

/* Policies of a tier in this direction. */
struct policy_list {
	const struct policy **p;
	size_t n, cap;
};

static struct policy_list governing(const struct calc_tier *t, bool ingress)
{
	struct policy_list list = { 0 };

	for (size_t i = 0; i < t->n; i++)
		if (governs(t->policy[i], ingress))
			vec_push(&list, t->policy[i]);
	return list;
}

static struct chain_name group_name(const struct policy *const *p, size_t n, bool ingress)
{
	struct str s = { 0 };
	char digest[HASH_TEXT_MAX];

	str_addf(&s, "%s\n%s\n%zu\n", p[0]->selector, ingress ? "inbound" : "outbound", n);
	for (size_t i = 0; i < n; i++)
		str_addf(&s, "{Name: %s, Namespace: %s, Kind: %s}\n", p[i]->name,
			 p[i]->ns ? p[i]->ns : "", policy_kind_name(p[i]->kind));
	hash_text(HASH_SHA3_224, str_text(&s), digest);
	str_done(&s);
	digest[GROUP_HASH_LEN] = '\0';
	return chain_name(ingress ? CHAIN_GROUP_IN : CHAIN_GROUP_OUT, digest);
}

static void render_group(const struct maker *m, const struct policy *const *p, size_t n,
			 const struct chain_name *name)
{
	uint32_t bits = m->cfg->mark.accept | m->cfg->mark.pass;
	CLEANUP(freep) char *clear = xasprintf("-m mark --mark 0/0x%x", bits);
	CLEANUP(freep) char *decided = xasprintf("-m mark ! --mark 0/0x%x", bits);
	struct chain *c = chains_new(m->out, name);

	for (size_t i = 0; i < n; i++) {
		struct chain_name policy = render_policy_chain(p[i], m->ingress);
		CLEANUP(freep) char *jump = xasprintf("--jump %s", policy.text);

		if (i && i % GROUP_STRIDE == 0)
			chain_add(c, NULL, decided, "--jump RETURN");
		chain_add(c, NULL, i % GROUP_STRIDE ? clear : NULL, jump);
	}
}

static void return_accepted(struct maker *m, const char *comment)
{
	chain_add(&m->body, say(m, comment), m->accept_mark, "--jump RETURN");
}

/* As within a group: jumps while nothing is decided, and a look at the verdict now and then. Nothing
 * is at the first jump of a tier. */
static void jump_lean(struct maker *m, const char *jump, size_t nth)
{
	if (nth && nth % GROUP_STRIDE == 0)
		return_accepted(m, NULL);
	chain_add(&m->body, NULL, nth ? m->both_clear : NULL, jump);
}

/* The nth jump of a tier, to the first n policies, which have one selector. */
static void jump_to(struct maker *m, const struct policy *const *p, size_t n, size_t nth)
{
	struct chain_name name =
		n > 1 ? group_name(p, n, m->ingress) : render_policy_chain(p[0], m->ingress);
	CLEANUP(freep) char *jump = xasprintf("--jump %s", name.text);

	if (n > 1)
		render_group(m, p, n, &name);
	if (m->lean) {
		jump_lean(m, jump, nth);
		return;
	}
	chain_add(&m->body, NULL, m->pass_clear, jump);
	if (m->kind == RENDER_HOST_RAW)
		chain_add(&m->body, NULL, m->accept_mark, "--jump NOTRACK");
	return_accepted(m, "Return if policy accepted");
}

static size_t group_size(const struct policy_list *list, size_t at)
{
	size_t n = 1;

	while (at + n < list->n && !strcmp(list->p[at]->selector, list->p[at + n]->selector))
		n++;
	return n;
}

static bool drops_at_end(const struct maker *m)
{
	return m->kind == RENDER_WORKLOAD || m->kind == RENDER_HOST ||
	       m->kind == RENDER_HOST_FORWARD;
}

static void add_tier(struct maker *m, const struct calc_tier *t)
{
	struct policy_list list = governing(t, m->ingress);
	CLEANUP(freep) char *start = xasprintf("Start of tier %s", t->name);
	CLEANUP(freep)
	char *end = xasprintf("End of tier %s. Drop if no policies passed packet", t->name);
	CLEANUP(freep) char *clear = xasprintf("--jump MARK --set-mark 0/0x%x", m->cfg->mark.pass);
	size_t nth = 0;

	if (list.n) {
		if (!m->lean || m->judged)
			chain_add(&m->body, say(m, start), NULL, clear);
		m->judged = true;
		for (size_t i = 0; i < list.n; i += group_size(&list, i))
			jump_to(m, list.p + i, group_size(&list, i), nth++);
		if (m->lean)
			return_accepted(m, NULL);
		if (drops_at_end(m) && t->action != TIER_PASS)
			chain_add(&m->body, end, m->pass_clear, m->deny);
	}
	vec_done(&list);
}

static void add_conntrack(struct maker *m)
{
	if (strcmp(m->allow, "--jump ACCEPT"))
		chain_add(&m->body, NULL, ESTABLISHED, m->accept_set);
	chain_add(&m->body, NULL, ESTABLISHED, m->allow);
	if (!m->cfg->accept_invalid)
		chain_add(&m->body, NULL, INVALID, m->deny);
}

static void add_encap_drops(struct maker *m)
{
	CLEANUP(freep)
	char *vxlan = xasprintf("-p 17 -m multiport --destination-ports %u", m->cfg->vxlan_port);

	if (!m->cfg->vxlan_from_pods)
		chain_add(&m->body, say(m, "Drop VXLAN encapped packets originating in workloads"),
			  vxlan, m->deny);
	if (!m->cfg->ipip_from_pods)
		chain_add(&m->body, say(m, "Drop IPinIP encapped packets originating in workloads"),
			  "-p 4", m->deny);
}

static void add_profiles(struct maker *m)
{
	for (size_t i = 0; i < m->ep->n_profile; i++) {
		struct chain_name name = render_profile_chain(m->ep->profile[i], m->ingress);
		CLEANUP(freep) char *jump = xasprintf("--jump %s", name.text);

		chain_add(&m->body, NULL, m->lean && i ? m->accept_clear : NULL, jump);
		if (!m->lean || i + 1 == m->ep->n_profile)
			return_accepted(m, "Return if profile accepted");
	}
	chain_add(&m->body, "Drop if no profiles matched", NULL, m->deny);
}

static enum calc_class class_of(enum render_endpoint_kind kind)
{
	switch (kind) {
	case RENDER_HOST_FORWARD:
		return CLASS_FORWARD;
	case RENDER_HOST_RAW:
		return CLASS_UNTRACKED;
	case RENDER_HOST_PREDNAT:
		return CLASS_PRE_DNAT;
	case RENDER_WORKLOAD:
	case RENDER_HOST:
		break;
	}
	return CLASS_NORMAL;
}

static void make_body(struct maker *m)
{
	const struct calc_tiers *tiers = &m->ep->tiers[class_of(m->kind)];
	CLEANUP(freep)
	char *clear =
		xasprintf("--jump MARK --set-mark 0/0x%x", m->cfg->mark.accept | m->cfg->mark.pass);

	if (m->kind == RENDER_WORKLOAD && m->ep->admin_down) {
		chain_add(&m->body, "Endpoint admin disabled", NULL, m->deny);
		return;
	}
	if (m->kind != RENDER_HOST_RAW)
		add_conntrack(m);
	if (m->kind != RENDER_WORKLOAD && m->kind != RENDER_HOST_FORWARD)
		chain_add(&m->body, NULL, NULL,
			  m->ingress ? "--jump cali-failsafe-in" : "--jump cali-failsafe-out");
	chain_add(&m->body, NULL, NULL, clear);
	if (m->kind == RENDER_WORKLOAD && !m->ingress)
		add_encap_drops(m);
	for (size_t i = 0; i < tiers->n; i++)
		add_tier(m, &tiers->p[i]);
	if (m->kind == RENDER_HOST_FORWARD && !tiers->n) {
		chain_add(&m->body, "Allow forwarded traffic by default", NULL, m->accept_set);
		chain_add(&m->body, "Return for accepted forward traffic", NULL, "--jump RETURN");
	}
	if (m->kind == RENDER_WORKLOAD || m->kind == RENDER_HOST)
		add_profiles(m);
}

/* DIFFERS: Calico gives each pod two chains of its own. With iptables-legacy every change exchanges the
 * whole table, some 600 bytes and 3 us a rule; with iptables-nft the kernel walks all ways through
 * it. So pods to which the same applies share one chain named by its content, with fewer comments
 * and looks at the marks: of 250 pods' 5000 rules some hundred are left besides the dispatch, and a
 * new pod adds two. Where an agent finds Calico's chains in iptables-nft, they stay Calico's. */
static struct chain_name shared_name(const struct maker *m)
{
	struct str s = { 0 };
	char digest[HASH_TEXT_MAX];

	for (size_t i = 0; i < m->body.n; i++)
		str_addf(&s, "%s\n", m->body.p[i].text);
	hash_text(HASH_SHA224, str_text(&s), digest);
	str_done(&s);
	digest[SHARED_HASH_LEN] = '\0';
	return chain_name(m->ingress ? CHAIN_TO_WL : CHAIN_FROM_WL, digest);
}

void render_endpoint(const struct render_config *cfg, const struct calc_endpoint *ep,
		     const char *interface, enum render_endpoint_kind kind, bool ingress,
		     enum table_id table, struct chains *out)
{
	/* A packet of a host process that was sent to another address comes by in mangle, where it
	 * may not yet be accepted for good: "allow" is a return there. */
	bool host_mangle = kind == RENDER_HOST && table == TABLE_MANGLE;
	const char *allow = host_mangle		    ? "RETURN"
			    : table == TABLE_FILTER ? cfg->filter_allow
						    : cfg->mangle_allow;
	const char *deny = table == TABLE_FILTER ? cfg->filter_deny : "DROP";
	CLEANUP(freep) char *allow_action = xasprintf("--jump %s", allow);
	CLEANUP(freep) char *deny_action = xasprintf("--jump %s", deny);
	struct maker m = { .cfg = cfg, .ep = ep, .kind = kind, .ingress = ingress, .out = out };
	const struct render_marks *mark = &cfg->mark;

	m.lean = cfg->share_endpoints && kind == RENDER_WORKLOAD;
	m.allow = allow_action;
	m.deny = deny_action;
	snprintf(m.accept_set, sizeof(m.accept_set), "--jump MARK --set-mark 0x%x/0x%x",
		 mark->accept, mark->accept);
	snprintf(m.pass_clear, sizeof(m.pass_clear), "-m mark --mark 0/0x%x", mark->pass);
	snprintf(m.accept_mark, sizeof(m.accept_mark), "-m mark --mark 0x%x/0x%x", mark->accept,
		 mark->accept);
	snprintf(m.accept_clear, sizeof(m.accept_clear), "-m mark --mark 0/0x%x", mark->accept);
	snprintf(m.both_clear, sizeof(m.both_clear), "-m mark --mark 0/0x%x",
		 mark->accept | mark->pass);
	make_body(&m);
	m.body.name = m.lean ? shared_name(&m) : render_endpoint_chain(interface, kind, ingress);
	vec_push(out, m.body);
}

/* ---- dispatch ---- */

static size_t common_prefix(const struct dispatch *d)
{
	const char *first = d->n ? d->row[0].interface : "";
	const char *last = d->n ? d->row[d->n - 1].interface : "";
	size_t n = 0;

	/* They are sorted: what first and last share, all share. */
	while (first[n] && first[n] == last[n])
		n++;
	return n;
}

static void add_interface(const struct dispatch *d, struct chain *c, const char *interface,
			  const char *chain)
{
	CLEANUP(freep)
	char *match = xasprintf("--%s-interface %s", d->in ? "in" : "out", interface);
	CLEANUP(freep) char *action = xasprintf("--goto %s", chain);

	chain_add(c, NULL, match, action);
}

static void add_endpoint(const struct dispatch *d, struct chain *c, struct dispatch_row *row)
{
	add_interface(d, c, row->interface, row->chain.text);
	row->by = c->name;
}

static void add_end(const struct dispatch *d, struct chain *c)
{
	for (size_t i = 0; d->end && i < d->end->n; i++)
		vec_push(c, (struct chain_rule) { xstrdup(d->end->p[i].text),
						  xstrdup(d->end->p[i].target),
						  d->end->p[i].is_return });
}

static void add_leaf(const struct dispatch *d, struct chain *root, struct dispatch_row *row,
		     size_t n, size_t shared, struct chains *out)
{
	CLEANUP(freep) char *suffix = xasprintf("%s-%c", d->root, row->interface[shared]);
	CLEANUP(freep) char *wildcard = xasprintf("%.*s+", (int)shared + 1, row->interface);
	struct chain_name name = chain_name("", suffix);
	struct chain *leaf = chains_new(out, &name);

	for (size_t i = 0; i < n; i++)
		add_endpoint(d, leaf, &row[i]);
	add_end(d, leaf);
	add_interface(d, root, wildcard, name.text);
}

void render_dispatch(const struct dispatch *d, struct chains *out)
{
	size_t shared = common_prefix(d), n;
	struct chain root = { .name = chain_name("", d->root) };

	for (size_t at = 0; at < d->n; at += n) {
		char next = d->row[at].interface[shared];

		for (n = 1; at + n < d->n && d->row[at + n].interface[shared] == next; n++)
			;
		if (n > 1 && next)
			add_leaf(d, &root, &d->row[at], n, shared, out);
		else
			add_endpoint(d, &root, &d->row[at]);
	}
	add_end(d, &root);
	vec_push(out, root);
}

void render_unknown_interface(const struct render_config *cfg, struct chain *end)
{
	CLEANUP(freep) char *deny = xasprintf("--jump %s", cfg->filter_deny);

	chain_add(end, "Unknown interface", NULL, deny);
}
