/* calc_endpoints.c - endpoints of the calculation: what they give to sets, and which are here
 * TESTS  tests/unit/policy/worlds.c */
#include <stdlib.h>
#include <string.h>

#include "policy/calc_impl.h"

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
		struct prof *prof = calc_prof_get(c, e->profile[i]);

		here->profile[i] = xstrdup(e->profile[i]);
		prof->n_here++;
		calc_mark_prof(c, prof);
	}
}

static void drop_profiles(struct calc *c, char **profile, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct prof *prof = calc_prof_get(c, profile[i]);

		prof->n_here--;
		calc_mark_prof(c, prof);
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
	calc_apply_local(c);
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
	calc_apply_local(c);
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

void calc_endpoint_step(struct calc *c, const struct endpoint *e)
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

void calc_endpoint_gone(struct calc *c, const struct endpoint *e)
{
	CLEANUP(freep) char *key = ep_key(e->kind, e->id);
	struct ep *ep;

	HASH_FIND_STR(c->eps, key, ep);
	if (ep)
		ep_free(c, ep);
}

void calc_restate_endpoints(struct calc *c)
{
	vec_foreach (&c->gone_eps, gone)
		free(gone->id);
	vec_clear(&c->gone_eps);
	for (struct ep *ep = c->eps; ep; ep = ep->hh.next) {
		if (!ep->here)
			continue;
		free(TAKE(ep->here->sent));
		calc_mark_ep(c, ep);
	}
}

void calc_free_endpoints(struct calc *c)
{
	struct ep *ep, *next;

	HASH_ITER (hh, c->eps, ep, next)
		ep_free(c, ep);
	vec_foreach (&c->gone_eps, gone)
		free(gone->id);
	vec_done(&c->gone_eps);
}
