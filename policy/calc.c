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
	calc_profile_step(c, PROFILE_DEFAULT_ALLOW, allow);
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
	struct tier_row *t, *next;

	if (!c)
		return;
	calc_free_endpoints(c);
	calc_free_policies(c);
	HASH_ITER (hh, c->tiers, t, next)
		tier_free(c, t);
	calc_free_sets(c);
	effects_done(&c->fx);
	vec_done(&c->changes);
	vec_done(&c->dirty_sets);
	vec_done(&c->dirty_pols);
	vec_done(&c->dirty_profs);
	vec_done(&c->dirty_eps);
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
		calc_policy_step(c, ev->of.policy);
		break;
	case CALC_POLICY_GONE:
		calc_policy_gone(c, &ev->of.policy_id);
		break;
	case CALC_PROFILE:
		if (strcmp(ev->of.profile->name, PROFILE_DEFAULT_ALLOW))
			calc_profile_step(c, ev->of.profile->name, ev->of.profile);
		else
			profile_rules_free(ev->of.profile);
		break;
	case CALC_PROFILE_GONE:
		if (strcmp(ev->of.name, PROFILE_DEFAULT_ALLOW))
			calc_profile_step(c, ev->of.name, NULL);
		break;
	case CALC_TIER:
		step_tier(c, ev->of.tier);
		break;
	case CALC_TIER_GONE:
		step_tier_gone(c, ev->of.name);
		break;
	case CALC_ENDPOINT:
		calc_endpoint_step(c, ev->of.endpoint);
		break;
	case CALC_ENDPOINT_GONE:
		calc_endpoint_gone(c, ev->of.endpoint);
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
	calc_flush_policies(c);
	calc_flush_eps(c);
	calc_flush_sets(c);
	return &c->fx;
}

void calc_restate(struct calc *c)
{
	effects_clear(&c->fx);
	calc_restate_policies(c);
	calc_restate_endpoints(c);
	calc_restate_sets(c);
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
