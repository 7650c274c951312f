/* calc_policies.c - policies and profiles of the calculation: whom they are about, whether any of it
 * is here
 * TESTS  tests/unit/policy/worlds.c */
#include <stdlib.h>
#include <string.h>

#include "policy/calc_impl.h"

/* ---- marks ---- */

static void mark_pol(struct calc *c, struct pol *pol)
{
	if (pol->dirty)
		return;
	pol->dirty = true;
	vec_push(&c->dirty_pols, pol);
}

void calc_mark_prof(struct calc *c, struct prof *prof)
{
	if (prof->dirty)
		return;
	prof->dirty = true;
	vec_push(&c->dirty_profs, prof);
}

void calc_apply_local(struct calc *c)
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

static struct pol *pol_find(const struct calc *c, const char *key)
{
	struct pol *pol;

	HASH_FIND_STR(c->pols, key, pol);
	return pol;
}

static void pol_select(struct calc *c, struct pol *pol)
{
	pol->sel = labels_selector_add(c->local, pol->p->parsed, pol, &c->changes);
	calc_apply_local(c);
}

static void pol_deselect(struct calc *c, struct pol *pol)
{
	if (pol->sel)
		labels_selector_del(c->local, pol->sel, &c->changes);
	calc_apply_local(c);
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

void calc_policy_step(struct calc *c, struct policy *p)
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

void calc_policy_gone(struct calc *c, const struct policy_id *id)
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

struct prof *calc_prof_get(struct calc *c, const char *name)
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
	calc_apply_local(c);
	free(list);
}

void calc_profile_step(struct calc *c, const char *name, struct profile_rules *rules)
{
	struct prof *prof = calc_prof_get(c, name);

	set_parent(c, name, rules ? &rules->labels : NULL);
	profile_rules_free(prof->rules);
	prof->rules = rules;
	prof->changed = true;
	calc_mark_prof(c, prof);
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

/* ---- all of them ---- */

void calc_flush_policies(struct calc *c)
{
	for (size_t i = 0; i < c->dirty_pols.n; i++)
		flush_pol(c, c->dirty_pols.p[i]);
	vec_clear(&c->dirty_pols);
	for (size_t i = 0; i < c->dirty_profs.n; i++)
		flush_prof(c, c->dirty_profs.p[i]);
	vec_clear(&c->dirty_profs);
}

void calc_restate_policies(struct calc *c)
{
	for (struct pol *pol = c->pols; pol; pol = pol->hh.next) {
		pol->told = false;
		mark_pol(c, pol);
	}
	for (struct prof *prof = c->profs; prof; prof = prof->hh.next) {
		prof->told = false;
		calc_mark_prof(c, prof);
	}
}

void calc_free_policies(struct calc *c)
{
	struct pol *pol, *next_pol;
	struct prof *prof, *next_prof;

	HASH_ITER (hh, c->pols, pol, next_pol) {
		pol_deselect(c, pol);
		pol_free(c, pol);
	}
	HASH_ITER (hh, c->profs, prof, next_prof)
		prof_free(c, prof);
}

const struct policy *calc_policy(const struct calc *c, const struct policy_id *id)
{
	CLEANUP(freep) char *key = policy_id_text(id);
	const struct pol *pol = pol_find(c, key);

	return pol ? pol->p : NULL;
}

const struct profile_rules *calc_profile(const struct calc *c, const char *name)
{
	struct prof *prof;

	HASH_FIND_STR(c->profs, name, prof);
	return prof ? prof->rules : NULL;
}
