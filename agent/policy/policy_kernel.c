/* policy_kernel.c - the policy calculation's effects as sets and chains of the drivers
 * SHAPE  calc_effects -> sets: ipset_want, _add, _del; -> tables (policy/tables.h), one for each
 *        family, whose changes are chains with hashes -> ipt_chain. The drivers know the order in
 *        which the kernel must see it. */
#include "agent/policy/policy_kernel.h"

#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/policy/cluster_sets.h"
#include "agent/policy/policy_settings.h"
#include "dataplane/filter.h"
#include "dataplane/link.h"
#include "policy/tables.h"

enum { FAMILIES = 2 };

struct side {
	enum ip_family family;
	struct render_config cfg;
	struct tables *tables;
	struct ipsets *sets;
	struct ipt *rules;
};

struct policy_kernel {
	const struct policy_settings *set;
	struct cluster_sets *net;
	struct side side[FAMILIES];
	unsigned n;
	char trouble[256];
};

static const enum ipt_table ipt_tables[TABLE_COUNT] = {
	[TABLE_RAW] = IPT_RAW,
	[TABLE_MANGLE] = IPT_MANGLE,
	[TABLE_NAT] = IPT_NAT,
	[TABLE_FILTER] = IPT_FILTER,
};

/* A driver refuses only what can never be right: that is a fault of ours, and must be seen. */
static void refused(struct policy_kernel *k, const char *what, const struct err *e)
{
	if (!*k->trouble)
		log_error("policy", "cannot be stated to the kernel", "what=%s why=%s", what,
			  e->msg);
	snprintf(k->trouble, sizeof(k->trouble), "%.100s: %.140s", what, e->msg);
}

/* ---- sets ---- */

static enum ipset_type set_type(const struct setdef *d)
{
	return setdef_has_ports(d) ? IPSET_IP_PORT : IPSET_NET;
}

static struct ipset_member ipset_of(const struct member *m)
{
	return (struct ipset_member) { .net = m->net, .proto = m->proto, .port = m->port };
}

static void add_members(struct policy_kernel *k, struct side *s, const char *name,
			const struct member_vec *list)
{
	struct err e = { 0 };

	for (size_t i = 0; i < list->n; i++) {
		struct ipset_member one = ipset_of(&list->p[i]);

		if (one.net.addr.family == s->family && ipset_add(s->sets, name, &one, &e) < 0)
			refused(k, name, &e);
	}
}

static void del_members(struct side *s, const char *name, const struct member_vec *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct ipset_member one = ipset_of(&list->p[i]);

		if (one.net.addr.family == s->family)
			ipset_del(s->sets, name, &one);
	}
}

static void take_sets(struct policy_kernel *k, struct side *s, const struct calc_effects *fx)
{
	struct err e = { 0 };

	for (size_t i = 0; i < fx->sets.n; i++) {
		const struct calc_set *set = &fx->sets.p[i];
		struct set_name name = set_name(s->family, set->def->id);

		if (set->created && ipset_want(s->sets, name.text, set_type(set->def),
					       k->set->max_set_size, &e) < 0) {
			refused(k, name.text, &e);
			continue;
		}
		add_members(k, s, name.text, &set->added);
		del_members(s, name.text, &set->gone);
	}
	for (size_t i = 0; i < fx->sets_gone.n; i++)
		ipset_forget(s->sets, set_name(s->family, fx->sets_gone.p[i]->id).text);
}

/* ---- chains ---- */

/* Rules with their hashes as the driver takes them; free() it. */
static struct ipt_rule *ipt_rules(const struct chain *c, const struct rule_hash *hash)
{
	struct ipt_rule *rules = c->n ? xcalloc(c->n, sizeof(*rules)) : NULL;

	for (size_t i = 0; i < c->n; i++) {
		memcpy(rules[i].hash, hash[i].text, sizeof(rules[i].hash));
		rules[i].text = c->p[i].text;
	}
	return rules;
}

static void put_chain(struct policy_kernel *k, struct side *s, const struct table_change *ch)
{
	CLEANUP(freep) struct rule_hash *hash = chain_hashes(ch->chain);
	CLEANUP(freep) struct ipt_rule *rules = ipt_rules(ch->chain, hash);
	struct err e = { 0 };

	if (ipt_chain(s->rules, ipt_tables[ch->table], ch->name.text, rules, ch->chain->n, &e) < 0)
		refused(k, ch->name.text, &e);
}

static void take_chains(struct policy_kernel *k, struct side *s)
{
	struct table_changes changes = { 0 };

	tables_flush(s->tables, &changes);
	vec_foreach (&changes, ch) {
		if (ch->chain)
			put_chain(k, s, ch);
		else
			ipt_chain_forget(s->rules, ipt_tables[ch->table], ch->name.text);
	}
	vec_done(&changes);
}

/* ---- interfaces ---- */

void policy_kernel_links(struct policy_kernel *k, const struct link_table *links)
{
	VEC(struct host_interface) list = { 0 };
	VEC(struct addr *) heap = { 0 };

	for (const struct link *l = NULL; (l = link_next(links, l));) {
		struct addr *addrs;

		if (policy_settings_is_pod(k->set, l->name) || l->loopback)
			continue;
		addrs = xcalloc(l->addrs.n + 1, sizeof(*addrs));
		for (size_t i = 0; i < l->addrs.n; i++)
			addrs[i] = l->addrs.p[i].addr;
		vec_push(&heap, addrs);
		vec_push(&list, (struct host_interface) { l->name, addrs, l->addrs.n });
	}
	for (unsigned i = 0; i < k->n; i++) {
		tables_interfaces(k->side[i].tables, list.p, list.n);
		take_chains(k, &k->side[i]);
	}
	vec_foreach (&heap, p)
		free(*p);
	vec_done(&heap);
	vec_done(&list);
}

/* ---- the frame ---- */

static int put_hook(struct side *s, const struct hook *h, bool append, struct err *e)
{
	CLEANUP(freep) struct rule_hash *hash = hook_hashes(&h->rules, h->append || append);
	CLEANUP(freep) struct ipt_rule *rules = ipt_rules(&h->rules, hash);

	return ipt_hook(s->rules, ipt_tables[h->table], h->rules.name.text,
			h->append ? IPT_LAST : IPT_FIRST, rules, h->rules.n, e);
}

static int put_hooks(struct side *s, bool append, struct err *e)
{
	struct hooks hooks = { 0 };
	int rc = 0;

	render_hooks(&s->cfg, &hooks);
	vec_foreach (&hooks, h) {
		if (rc == 0)
			rc = put_hook(s, h, append, e);
	}
	hooks_done(&hooks);
	return rc;
}

/* In the kernel's chains where nothing is to be called now: no rule of ours. */
static void clear_hooks(struct side *s)
{
	struct render_config all = s->cfg;
	struct hooks hooks = { 0 }, now = { 0 };

	all.bare = all.share_endpoints = false;
	render_hooks(&all, &hooks);
	render_hooks(&s->cfg, &now);
	vec_foreach (&hooks, h) {
		bool used = false;

		vec_foreach (&now, n)
			used |= n->table == h->table && n->append == h->append &&
				strcmp(n->rules.name.text, h->rules.name.text) == 0;
		if (!used)
			ipt_hook(s->rules, ipt_tables[h->table], h->rules.name.text,
				 h->append ? IPT_LAST : IPT_FIRST, NULL, 0, NULL);
	}
	hooks_done(&hooks);
	hooks_done(&now);
}

static void new_hooks(struct policy_kernel *k, struct side *s)
{
	struct err e = { 0 };

	clear_hooks(s);
	if (put_hooks(s, k->set->append, &e) < 0)
		refused(k, "hooks", &e);
}

static void new_rules(struct policy_kernel *k, struct side *s)
{
	cluster_sets_render(k->net, s->family, &s->cfg);
	cluster_sets_state(k->net, s->family, s->sets);
	tables_frame(s->tables, &s->cfg);
	take_chains(k, s);
	new_hooks(k, s);
}

void policy_kernel_network(struct policy_kernel *k, bool rules)
{
	for (unsigned i = 0; i < k->n; i++) {
		struct side *s = &k->side[i];

		if (rules)
			new_rules(k, s);
		else
			cluster_sets_update(k->net, s->family, s->sets);
	}
}

void policy_kernel_take(struct policy_kernel *k, const struct calc_effects *fx)
{
	for (unsigned i = 0; i < k->n; i++) {
		struct side *s = &k->side[i];

		tables_take(s->tables, fx);
		take_sets(k, s, fx);
		take_chains(k, s);
		if (tables_has_hosts(s->tables) == s->cfg.hosts)
			continue;
		s->cfg.hosts = !s->cfg.hosts;
		new_hooks(k, s);
	}
}

static int side_init(struct policy_kernel *k, struct filter *f, enum ip_family family,
		     const struct policy_form *form, struct err *e)
{
	struct side *s = &k->side[k->n++];

	s->family = family;
	s->cfg = policy_settings_render(k->set, family);
	cluster_sets_render(k->net, family, &s->cfg);
	s->cfg.bare = form->bare;
	s->cfg.share_endpoints = !form->by_pod;
	s->tables = tables_new(&s->cfg);
	s->sets = filter_sets(f, family);
	s->rules = filter_rules(f, family);
	cluster_sets_state(k->net, family, s->sets);
	return put_hooks(s, k->set->append, e);
}

struct policy_kernel *policy_kernel_new(const struct policy_settings *set, struct cluster_sets *net,
					struct filter *filter, struct policy_form form,
					struct err *e)
{
	struct policy_kernel *k = xcalloc(1, sizeof(*k));
	int rc;

	k->set = set;
	k->net = net;
	rc = side_init(k, filter, IP_V4, &form, e);
	if (rc == 0 && form.v6)
		rc = side_init(k, filter, IP_V6, &form, e);
	if (rc == 0)
		return k;
	policy_kernel_free(k);
	return NULL;
}

void policy_kernel_free(struct policy_kernel *k)
{
	if (!k)
		return;
	for (unsigned i = 0; i < k->n; i++)
		tables_free(k->side[i].tables);
	free(k);
}

/* ---- looking ---- */

static bool has_way(const struct side *s, const char *interface, bool ingress)
{
	struct pod_way way;

	return tables_pod_way(s->tables, interface, ingress, &way) &&
	       ipt_chain_right(s->rules, IPT_FILTER, way.dispatch.text) &&
	       ipt_chain_right(s->rules, IPT_FILTER, way.own.text);
}

bool policy_kernel_has_pod(const struct policy_kernel *k, const char *interface)
{
	for (unsigned i = 0; i < k->n; i++)
		for (int in = 0; in < 2; in++)
			if (!has_way(&k->side[i], interface, in))
				return false;
	return true;
}

const char *policy_kernel_trouble(const struct policy_kernel *k)
{
	return *k->trouble ? k->trouble : NULL;
}

static const struct side *side_of(const struct policy_kernel *k, enum ip_family family)
{
	for (unsigned i = 0; i < k->n; i++)
		if (k->side[i].family == family)
			return &k->side[i];
	return NULL;
}

const struct tables *policy_kernel_tables(const struct policy_kernel *k, enum ip_family family)
{
	const struct side *s = side_of(k, family);

	return s ? s->tables : NULL;
}

const struct render_config *policy_kernel_render(const struct policy_kernel *k,
						 enum ip_family family)
{
	const struct side *s = side_of(k, family);

	return s ? &s->cfg : NULL;
}
