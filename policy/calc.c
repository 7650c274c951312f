/* calc.c - from what the datastore holds to what one node must enforce
 *
 * SHAPE  A step puts an event into the two indexes and marks what it touched; a flush looks at the
 *        marks: policies that came into or went out of use hold or let go their sets, sets tell the
 *        difference of their members, endpoints are put in order again and told when that differs.
 * COST   calc.h; a policy that selects nothing here costs its storage.
 * TESTS  tests/unit/policy/worlds.c against an independent judge */
#include "policy/calc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/profile.h"
#include "policy/calc_impl.h"

/* ---- effects ---- */

static void effects_clear(struct calc_effects *fx)
{
	vec_foreach (&fx->sets, s) {
		vec_done(&s->added);
		vec_done(&s->gone);
	}
	vec_foreach (&fx->endpoints, ep)
		calc_tiers_done(ep->tiers);
	vec_foreach (&fx->endpoints_gone, gone)
		free(gone->id);
	vec_foreach (&fx->policies_gone, text)
		free(*text);
	vec_foreach (&fx->profiles_gone, name)
		free(*name);
	vec_foreach (&fx->sets_gone, def)
		setdef_unref(*def);
	vec_clear(&fx->sets);
	vec_clear(&fx->policies);
	vec_clear(&fx->profiles);
	vec_clear(&fx->endpoints);
	vec_clear(&fx->endpoints_gone);
	vec_clear(&fx->policies_gone);
	vec_clear(&fx->profiles_gone);
	vec_clear(&fx->sets_gone);
}

static void effects_done(struct calc_effects *fx)
{
	effects_clear(fx);
	vec_done(&fx->sets);
	vec_done(&fx->policies);
	vec_done(&fx->profiles);
	vec_done(&fx->endpoints);
	vec_done(&fx->endpoints_gone);
	vec_done(&fx->policies_gone);
	vec_done(&fx->profiles_gone);
	vec_done(&fx->sets_gone);
}

/* ---- marks ---- */

static void mark_pol(struct calc *c, struct pol *pol)
{
	if (pol->dirty)
		return;
	pol->dirty = true;
	vec_push(&c->dirty_pols, pol);
}

static void mark_prof(struct calc *c, struct prof *prof)
{
	if (prof->dirty)
		return;
	prof->dirty = true;
	vec_push(&c->dirty_profs, prof);
}

/* Carry out c->changes of the `local` index. */
static void apply_local(struct calc *c)
{
	vec_foreach (&c->changes, change) {
		struct ep *ep = labels_item_user(c->local, change->item);
		struct pol *pol = labels_selector_user(c->local, change->sel);

		if (!calc_applies(pol->p, ep))
			continue;
		pol->n_here += change->on ? 1 : (size_t)-1;
		mark_pol(c, pol);
		calc_mark_ep(c, ep);
	}
	vec_clear(&c->changes);
}

/* ---- policies ---- */

static struct pol *pol_find(struct calc *c, const char *key)
{
	struct pol *pol;

	HASH_FIND_STR(c->pols, key, pol);
	return pol;
}

static void pol_select(struct calc *c, struct pol *pol)
{
	pol->sel = labels_selector_add(c->local, pol->p->parsed, pol, &c->changes);
	apply_local(c);
}

static void pol_deselect(struct calc *c, struct pol *pol)
{
	if (pol->sel)
		labels_selector_del(c->local, pol->sel, &c->changes);
	apply_local(c);
	pol->sel = 0;
}

static void mark_selected(struct calc *c, const struct pol *pol)
{
	uint32_t item;

	for (size_t i = 0; (item = labels_selector_match(c->local, pol->sel, i)); i++)
		calc_mark_ep(c, labels_item_user(c->local, item));
}

static bool same_selection(const struct policy *a, const struct policy *b)
{
	return a->untracked == b->untracked && a->pre_dnat == b->pre_dnat &&
	       !strcmp(a->selector, b->selector);
}

/* Consumes p. */
static void step_policy(struct calc *c, struct policy *p)
{
	struct policy_id id = policy_id(p);
	CLEANUP(freep) char *key = policy_id_text(&id);
	struct pol *pol = pol_find(c, key);
	struct policy *old = NULL;

	if (!pol) {
		pol = xcalloc(1, sizeof(*pol));
		pol->key = TAKE(key);
		HASH_ADD_KEYPTR(hh, c->pols, pol->key, strlen(pol->key), pol);
	}
	old = pol->p;
	if (old && same_selection(old, p)) {
		pol->p = p;
		mark_selected(c, pol);
	} else {
		pol_deselect(c, pol);
		pol->p = p;
		pol_select(c, pol);
	}
	policy_free(old);
	pol->changed = true;
	mark_pol(c, pol);
}

static void step_policy_gone(struct calc *c, const struct policy_id *id)
{
	CLEANUP(freep) char *key = policy_id_text(id);
	struct pol *pol = pol_find(c, key);

	if (!pol || !pol->p)
		return;
	pol_deselect(c, pol);
	policy_free(TAKE(pol->p));
	mark_pol(c, pol);
}

static void pol_free(struct calc *c, struct pol *pol)
{
	calc_let_sets_go(c, &pol->sets);
	HASH_DEL(c->pols, pol);
	policy_free(pol->p);
	free(pol->key);
	free(pol);
}

static void flush_pol(struct calc *c, struct pol *pol)
{
	bool use = pol->p && pol->n_here;

	pol->dirty = false;
	if (use && (pol->changed || !pol->told)) {
		calc_hold_sets(c, &pol->sets, &pol->p->in, &pol->p->out);
		vec_push(&c->fx.policies, pol->p);
	}
	if (!use) {
		calc_let_sets_go(c, &pol->sets);
		if (pol->told)
			vec_push(&c->fx.policies_gone, xstrdup(pol->key));
	}
	pol->told = use;
	pol->changed = false;
	if (!pol->p)
		pol_free(c, pol);
}

/* ---- profiles ---- */

static struct prof *prof_get(struct calc *c, const char *name)
{
	struct prof *prof;

	HASH_FIND_STR(c->profs, name, prof);
	if (prof)
		return prof;
	prof = xcalloc(1, sizeof(*prof));
	prof->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, c->profs, prof->name, strlen(prof->name), prof);
	return prof;
}

static void set_parent(struct calc *c, const char *name, const struct field_map *labels)
{
	size_t n = labels ? labels->n : 0;
	struct label *list = xcalloc(n + 1, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = (struct label) { labels->p[i].key, labels->p[i].value };
	labels_parent_set(c->all, name, list, n, &c->changes);
	calc_apply_all(c);
	labels_parent_set(c->local, name, list, n, &c->changes);
	apply_local(c);
	free(list);
}

/* Consumes rules, NULL: the profile is gone. */
static void step_profile(struct calc *c, const char *name, struct profile_rules *rules)
{
	struct prof *prof = prof_get(c, name);

	set_parent(c, name, rules ? &rules->labels : NULL);
	profile_rules_free(prof->rules);
	prof->rules = rules;
	prof->changed = true;
	mark_prof(c, prof);
}

static void prof_free(struct calc *c, struct prof *prof)
{
	calc_let_sets_go(c, &prof->sets);
	HASH_DEL(c->profs, prof);
	profile_rules_free(prof->rules);
	profile_rules_free(prof->missing);
	free(prof->name);
	free(prof);
}

static const struct profile_rules *prof_rules(struct prof *prof)
{
	if (prof->rules)
		return prof->rules;
	if (!prof->missing)
		prof->missing = profile_missing(prof->name);
	return prof->missing;
}

static void flush_prof(struct calc *c, struct prof *prof)
{
	const struct profile_rules *rules = prof_rules(prof);

	prof->dirty = false;
	if (prof->n_here && (prof->changed || !prof->told)) {
		calc_hold_sets(c, &prof->sets, &rules->in, &rules->out);
		vec_push(&c->fx.profiles, rules);
	}
	if (!prof->n_here) {
		calc_let_sets_go(c, &prof->sets);
		if (prof->told)
			vec_push(&c->fx.profiles_gone, xstrdup(prof->name));
	}
	prof->told = prof->n_here;
	prof->changed = false;
	if (!prof->rules && !prof->n_here)
		prof_free(c, prof);
}

/* ---- tiers ---- */

static void mark_all_eps(struct calc *c)
{
	struct ep *ep, *next;

	if (!c->n_local)
		return;
	HASH_ITER (hh, c->eps, ep, next)
		calc_mark_ep(c, ep);
}

static void tier_set(struct calc *c, const char *name, double order, enum tier_action action)
{
	struct tier_row *t;

	HASH_FIND_STR(c->tiers, name, t);
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		t->name = xstrdup(name);
		HASH_ADD_KEYPTR(hh, c->tiers, t->name, strlen(t->name), t);
	}
	t->order = order;
	t->action = action;
	mark_all_eps(c);
}

static void tier_free(struct calc *c, struct tier_row *t)
{
	HASH_DEL(c->tiers, t);
	free(t->name);
	free(t);
}

static void step_tier(struct calc *c, const struct tier_state *tier)
{
	if (!tier_builtin(tier->name))
		tier_set(c, tier->name, tier->order, tier->action);
}

static void step_tier_gone(struct calc *c, const char *name)
{
	struct tier_row *t;

	HASH_FIND_STR(c->tiers, name, t);
	if (!t || tier_builtin(name))
		return;
	tier_free(c, t);
	mark_all_eps(c);
}

/* ---- endpoints ---- */

static char *ep_key(enum endpoint_kind kind, const char *id)
{
	return xasprintf("%c%s",
			 kind == ENDPOINT_WORKLOAD ? 'w'
			 : kind == ENDPOINT_HOST   ? 'h'
						   : 'n',
			 id);
}

static void use_profiles(struct calc *c, struct local *here, const struct endpoint *e)
{
	here->n_profile = e->n_profile;
	here->profile = xcalloc(e->n_profile + 1, sizeof(char *));
	for (size_t i = 0; i < e->n_profile; i++) {
		struct prof *prof = prof_get(c, e->profile[i]);

		here->profile[i] = xstrdup(e->profile[i]);
		prof->n_here++;
		mark_prof(c, prof);
	}
}

static void drop_profiles(struct calc *c, char **profile, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct prof *prof = prof_get(c, profile[i]);

		prof->n_here--;
		mark_prof(c, prof);
		free(profile[i]);
	}
	free(profile);
}

static void leave_here(struct calc *c, struct ep *ep)
{
	struct local *here = ep->here;

	if (!here)
		return;
	labels_item_del(c->local, here->item, &c->changes);
	apply_local(c);
	drop_profiles(c, here->profile, here->n_profile);
	for (size_t i = 0; here->dirty && i < c->dirty_eps.n; i++) {
		if (c->dirty_eps.p[i] == ep) {
			vec_remove_fast(&c->dirty_eps, i);
			break;
		}
	}
	if (here->sent)
		vec_push(&c->gone_eps,
			 (struct calc_gone_endpoint) { ep->kind, xstrdup(ep->key + 1) });
	free(here->sent);
	free(here->interface);
	free(here->spoof);
	free(TAKE(ep->here));
	c->n_local--;
}

static void arrive_here(struct calc *c, struct ep *ep)
{
	ep->here = xcalloc(1, sizeof(*ep->here));
	ep->here->item = labels_item_add(c->local, ep);
	c->n_local++;
}

static void update_here(struct calc *c, struct ep *ep, const struct endpoint *e)
{
	struct local *here;
	char **profile;
	size_t n_profile;

	/* Which policies are on a host endpoint depends on its interface. */
	if (ep->here && ep->kind == ENDPOINT_HOST && !str_eq(ep->here->interface, e->interface)) {
		char *sent = TAKE(ep->here->sent);

		leave_here(c, ep);
		arrive_here(c, ep);
		ep->here->sent = sent;
	}
	if (!ep->here)
		arrive_here(c, ep);
	here = ep->here;
	profile = here->profile;
	n_profile = here->n_profile;
	use_profiles(c, here, e);
	drop_profiles(c, profile, n_profile);
	free(here->interface);
	here->interface = xstrdup(e->interface);
	here->admin_down = e->admin_down;
	free(here->spoof);
	here->n_spoof = e->n_spoof;
	here->spoof = e->n_spoof ? xmemdup(e->spoof, e->n_spoof * sizeof(*e->spoof)) : NULL;
	calc_mark_ep(c, ep);
	labels_item_set(c->local, here->item, e->label, e->n_label, e->profile, e->n_profile,
			&c->changes);
	apply_local(c);
}

/* In all sets that it is in, what it gives now takes the place of what it gave. */
static void replace_gives(struct calc *c, struct ep *ep, struct gives *now)
{
	uint32_t sel;

	for (size_t i = 0; (sel = labels_item_match(c->all, ep->item, i)); i++) {
		struct set *s = labels_selector_user(c->all, sel);

		calc_set_give(c, s, now, true);
		calc_set_give(c, s, ep->gives, false);
	}
	calc_gives_free(c, ep->gives);
	ep->gives = now;
	calc_mark_ep(c, ep);
}

static struct ep *ep_get(struct calc *c, const struct endpoint *e)
{
	char *key = ep_key(e->kind, e->id);
	struct ep *ep;

	HASH_FIND_STR(c->eps, key, ep);
	if (ep) {
		free(key);
		return ep;
	}
	ep = xcalloc(1, sizeof(*ep));
	ep->key = key;
	ep->kind = e->kind;
	ep->item = labels_item_add(c->all, ep);
	HASH_ADD_KEYPTR(hh, c->eps, ep->key, strlen(ep->key), ep);
	return ep;
}

static void step_endpoint(struct calc *c, const struct endpoint *e)
{
	struct ep *ep = ep_get(c, e);
	struct gives *now = calc_gives_make(c, e);

	if (calc_gives_equal(ep->gives, now))
		calc_gives_free(c, now);
	else
		replace_gives(c, ep, now);
	labels_item_set(c->all, ep->item, e->label, e->n_label, e->profile, e->n_profile,
			&c->changes);
	calc_apply_all(c);
	if (e->kind != ENDPOINT_NETS && str_eq(e->node, c->node))
		update_here(c, ep, e);
	else
		leave_here(c, ep);
}

static void ep_free(struct calc *c, struct ep *ep)
{
	leave_here(c, ep);
	labels_item_del(c->all, ep->item, &c->changes);
	calc_apply_all(c);
	calc_gives_free(c, ep->gives);
	HASH_DEL(c->eps, ep);
	free(ep->key);
	free(ep);
}

static void step_endpoint_gone(struct calc *c, const struct endpoint *e)
{
	CLEANUP(freep) char *key = ep_key(e->kind, e->id);
	struct ep *ep;

	HASH_FIND_STR(c->eps, key, ep);
	if (ep)
		ep_free(c, ep);
}

/* ---- all of it ---- */

static void add_builtins(struct calc *c)
{
	struct profile_rules *allow = xcalloc(1, sizeof(*allow));
	const struct tier_builtin *t;

	for (size_t i = 0; (t = tier_builtin_at(i)); i++)
		tier_set(c, t->name, t->order, t->action);
	allow->name = xstrdup(PROFILE_DEFAULT_ALLOW);
	rules_allow_all(&allow->in);
	rules_allow_all(&allow->out);
	step_profile(c, PROFILE_DEFAULT_ALLOW, allow);
}

struct calc *calc_new(const char *node, uint32_t seed)
{
	struct calc *c = xcalloc(1, sizeof(*c));

	c->node = xstrdup(node);
	c->in = intern_new(seed);
	c->all = labels_new(c->in);
	c->local = labels_new(c->in);
	add_builtins(c);
	return c;
}

void calc_free(struct calc *c)
{
	struct ep *ep, *next_ep;
	struct pol *pol, *next_pol;
	struct prof *prof, *next_prof;
	struct tier_row *t, *next_tier;

	if (!c)
		return;
	HASH_ITER (hh, c->eps, ep, next_ep)
		ep_free(c, ep);
	HASH_ITER (hh, c->pols, pol, next_pol) {
		pol_deselect(c, pol);
		pol_free(c, pol);
	}
	HASH_ITER (hh, c->profs, prof, next_prof)
		prof_free(c, prof);
	HASH_ITER (hh, c->tiers, t, next_tier)
		tier_free(c, t);
	vec_foreach (&c->gone_eps, gone)
		free(gone->id);
	calc_free_sets(c);
	effects_done(&c->fx);
	vec_done(&c->changes);
	vec_done(&c->dirty_sets);
	vec_done(&c->dirty_pols);
	vec_done(&c->dirty_profs);
	vec_done(&c->dirty_eps);
	vec_done(&c->gone_eps);
	labels_free(c->all);
	labels_free(c->local);
	intern_free(c->in);
	free(c->node);
	free(c);
}

void calc_step(struct calc *c, const struct calc_event *ev)
{
	effects_clear(&c->fx);
	switch (ev->kind) {
	case CALC_POLICY:
		step_policy(c, ev->of.policy);
		break;
	case CALC_POLICY_GONE:
		step_policy_gone(c, &ev->of.policy_id);
		break;
	case CALC_PROFILE:
		if (strcmp(ev->of.profile->name, PROFILE_DEFAULT_ALLOW))
			step_profile(c, ev->of.profile->name, ev->of.profile);
		else
			profile_rules_free(ev->of.profile);
		break;
	case CALC_PROFILE_GONE:
		if (strcmp(ev->of.name, PROFILE_DEFAULT_ALLOW))
			step_profile(c, ev->of.name, NULL);
		break;
	case CALC_TIER:
		step_tier(c, ev->of.tier);
		break;
	case CALC_TIER_GONE:
		step_tier_gone(c, ev->of.name);
		break;
	case CALC_ENDPOINT:
		step_endpoint(c, ev->of.endpoint);
		break;
	case CALC_ENDPOINT_GONE:
		step_endpoint_gone(c, ev->of.endpoint);
		break;
	case CALC_SLICE:
		calc_slice(c, ev->of.slice);
		break;
	case CALC_SLICE_GONE:
		calc_slice_gone(c, ev->of.name);
		break;
	}
}

const struct calc_effects *calc_flush(struct calc *c)
{
	effects_clear(&c->fx);
	for (size_t i = 0; i < c->dirty_pols.n; i++)
		flush_pol(c, c->dirty_pols.p[i]);
	vec_clear(&c->dirty_pols);
	for (size_t i = 0; i < c->dirty_profs.n; i++)
		flush_prof(c, c->dirty_profs.p[i]);
	vec_clear(&c->dirty_profs);
	calc_flush_eps(c);
	calc_flush_sets(c);
	return &c->fx;
}

void calc_restate(struct calc *c)
{
	struct pol *pol;
	struct prof *prof;
	struct ep *ep;

	effects_clear(&c->fx);
	for (pol = c->pols; pol; pol = pol->hh.next) {
		pol->told = false;
		mark_pol(c, pol);
	}
	for (prof = c->profs; prof; prof = prof->hh.next) {
		prof->told = false;
		mark_prof(c, prof);
	}
	vec_foreach (&c->gone_eps, gone)
		free(gone->id);
	vec_clear(&c->gone_eps);
	for (ep = c->eps; ep; ep = ep->hh.next) {
		if (!ep->here)
			continue;
		free(TAKE(ep->here->sent));
		calc_mark_ep(c, ep);
	}
	calc_restate_sets(c);
}

const struct policy *calc_policy(const struct calc *c, const struct policy_id *id)
{
	CLEANUP(freep) char *key = policy_id_text(id);
	struct pol *pol;

	HASH_FIND_STR(c->pols, key, pol);
	return pol ? pol->p : NULL;
}

const struct profile_rules *calc_profile(const struct calc *c, const char *name)
{
	struct prof *prof;

	HASH_FIND_STR(c->profs, name, prof);
	return prof ? prof->rules : NULL;
}

struct calc_stats calc_stats(const struct calc *c)
{
	struct calc_stats s = {
		.endpoints = HASH_COUNT(c->eps),
		.local_endpoints = c->n_local,
		.policies = HASH_COUNT(c->pols),
		.sets = HASH_COUNT(c->sets),
		.members = c->n_members,
		.evals = labels_evals(c->all) + labels_evals(c->local),
	};
	const struct pol *pol;

	for (pol = c->pols; pol; pol = pol->hh.next)
		s.active_policies += pol->told;
	return s;
}
