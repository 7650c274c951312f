/* calc_here.c - what applies to the endpoints of this node, in order
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/calc_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fnv.h"
#include "lib/str.h"
#include "model/hostendpoint.h"

void calc_mark_ep(struct calc *c, struct ep *ep)
{
	if (!ep->here || ep->here->dirty)
		return;
	ep->here->dirty = true;
	vec_push(&c->dirty_eps, ep);
}

static bool is_wildcard(const struct ep *ep)
{
	return ep->kind == ENDPOINT_HOST && str_eq(ep->here->interface, HEP_ANY_INTERFACE);
}

bool calc_applies(const struct policy *p, const struct ep *ep)
{
	if (ep->kind == ENDPOINT_HOST)
		return !p->untracked || !is_wildcard(ep);
	return !p->untracked && !p->pre_dnat;
}

/* A policy with where its tier stands. */
struct ranked {
	const struct policy *p;
	double tier_order;
	enum tier_action action;
	bool missing; /* its tier does not exist: behind all that do, and denies */
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int rc;

	if (x->missing != y->missing)
		return x->missing ? 1 : -1;
	if (x->tier_order < y->tier_order || x->tier_order > y->tier_order)
		return x->tier_order < y->tier_order ? -1 : 1;
	rc = strcmp(x->p->tier, y->p->tier);
	return rc ? rc : policy_cmp(x->p, y->p);
}

static struct ranked rank(const struct calc *c, const struct policy *p)
{
	struct ranked r = { p, (double)INFINITY, TIER_DENY, true };
	struct tier_row *t;

	HASH_FIND_STR(c->tiers, p->tier, t);
	if (t)
		r = (struct ranked) { p, t->order, t->action, false };
	return r;
}

static void add_to_class(struct calc_tiers *tiers, const struct ranked *r)
{
	struct calc_tier *last = tiers->n ? &tiers->p[tiers->n - 1] : NULL;

	if (!last || strcmp(last->name, r->p->tier)) {
		vec_push(tiers, (struct calc_tier) { .name = r->p->tier, .action = r->action });
		last = &tiers->p[tiers->n - 1];
	}
	last->policy = xreallocarray(last->policy, last->n + 1, sizeof(*last->policy));
	last->policy[last->n++] = r->p;
}

void calc_tiers_of(struct calc *c, struct ep *ep, struct calc_tiers out[static CLASS_COUNT])
{
	VEC(struct ranked) list = { 0 };
	uint32_t sel;

	memset(out, 0, CLASS_COUNT * sizeof(*out));
	for (size_t i = 0; (sel = labels_item_match(c->local, ep->here->item, i)); i++) {
		const struct pol *pol = labels_selector_user(c->local, sel);

		if (calc_applies(pol->p, ep))
			vec_push(&list, rank(c, pol->p));
	}
	if (list.n)
		qsort(list.p, list.n, sizeof(*list.p), by_rank);
	vec_foreach (&list, r) {
		if (r->p->untracked) {
			add_to_class(&out[CLASS_UNTRACKED], r);
		} else if (r->p->pre_dnat) {
			add_to_class(&out[CLASS_PRE_DNAT], r);
		} else {
			add_to_class(&out[CLASS_NORMAL], r);
			if (r->p->forward && ep->kind == ENDPOINT_HOST)
				add_to_class(&out[CLASS_FORWARD], r);
		}
	}
	vec_done(&list);
}

void calc_tiers_done(struct calc_tiers tiers[static CLASS_COUNT])
{
	for (int i = 0; i < CLASS_COUNT; i++) {
		vec_foreach (&tiers[i], t)
			free(t->policy);
		vec_done(&tiers[i]);
	}
}

static uint64_t text_hash(const char *text)
{
	return fnv_add(FNV_START, text, strlen(text));
}

/* Everything that the chains of an endpoint are made of. Policies that share a selector share a
 * chain, so their selectors count too; two that hash alike would change no verdict. */
static char *signature(const struct ep *ep, const struct calc_tiers tiers[static CLASS_COUNT])
{
	const struct local *here = ep->here;
	struct str s = { 0 };

	str_addf(&s, "%s %d", here->interface ? here->interface : "-", here->admin_down);
	for (int i = 0; i < CLASS_COUNT; i++) {
		for (size_t j = 0; j < tiers[i].n; j++) {
			const struct calc_tier *t = &tiers[i].p[j];

			str_addf(&s, "\n%d %s %d", i, t->name, t->action);
			for (size_t k = 0; k < t->n; k++) {
				const struct policy *p = t->policy[k];
				struct policy_id id = policy_id(p);
				CLEANUP(freep) char *text = policy_id_text(&id);

				str_addf(&s, "\n%s %d%d %016lx", text, p->ingress, p->egress,
					 (unsigned long)text_hash(p->selector));
			}
		}
	}
	for (size_t i = 0; i < here->n_profile; i++)
		str_addf(&s, "\np %s", here->profile[i]);
	for (size_t i = 0; i < here->n_spoof; i++) {
		char text[PREFIX_STR_MAX];

		str_addf(&s, "\ns %s", prefix_format(&here->spoof[i], text));
	}
	/* A host endpoint may be found by its addresses; of a pod others want to know them. */
	for (uint32_t i = 0; i < ep->gives->n_net; i++) {
		char text[PREFIX_STR_MAX];

		str_addf(&s, "\nn %s", prefix_format(&ep->gives->net[i], text));
	}
	return str_take(&s);
}

static void flush_ep(struct calc *c, struct ep *ep)
{
	struct calc_endpoint fx = {
		.kind = ep->kind,
		.id = ep->key + 1,
		.interface = ep->here->interface,
		.admin_down = ep->here->admin_down,
		.profile = (const char *const *)ep->here->profile,
		.n_profile = ep->here->n_profile,
		.net = ep->gives->net,
		.n_net = ep->gives->n_net,
		.spoof = ep->here->spoof,
		.n_spoof = ep->here->n_spoof,
	};
	char *now;

	ep->here->dirty = false;
	calc_tiers_of(c, ep, fx.tiers);
	now = signature(ep, fx.tiers);
	if (str_eq(now, ep->here->sent)) {
		calc_tiers_done(fx.tiers);
		free(now);
		return;
	}
	free(ep->here->sent);
	ep->here->sent = now;
	vec_push(&c->fx.endpoints, fx);
}

static char kind_letter(enum endpoint_kind kind)
{
	return kind == ENDPOINT_WORKLOAD ? 'w' : kind == ENDPOINT_HOST ? 'h' : 'n';
}

void calc_flush_eps(struct calc *c)
{
	vec_foreach (&c->gone_eps, gone) {
		CLEANUP(freep) char *key = xasprintf("%c%s", kind_letter(gone->kind), gone->id);
		struct ep *ep;

		HASH_FIND_STR(c->eps, key, ep);
		if (ep && ep->here)
			free(gone->id); /* it is back */
		else
			vec_push(&c->fx.endpoints_gone, *gone);
	}
	vec_clear(&c->gone_eps);
	for (size_t i = 0; i < c->dirty_eps.n; i++)
		flush_ep(c, c->dirty_eps.p[i]);
	vec_clear(&c->dirty_eps);
}
