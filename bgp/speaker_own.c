/* speaker_own.c - what the node itself knows: its blocks, pools and services
 *
 * SHAPE  Three lists of prefixes are announced from here, each for a cause of its own; a prefix goes
 *        when its last cause does. A change that also decides about other routes (what lies inside a
 *        block or a range of services) has every net decided again.
 * TESTS  tests/unit/bgp/speaker.c, services.c */
#include "bgp/speaker_int.h"

#include <stdlib.h>
#include <string.h>

static int prefix_order(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static bool own_has(const struct bgp_own_list *l, const struct prefix *key)
{
	return l->n && bsearch(key, l->p, l->n, sizeof(*l->p), prefix_order);
}

/* Host bits cleared, sorted, each once. */
static struct bgp_own_list own_list(const struct prefix *in, size_t n)
{
	struct bgp_own_list l = { 0 };

	vec_reserve(&l, n);
	for (size_t i = 0; i < n; i++)
		l.p[i] = prefix_mask(&in[i]);
	if (n)
		qsort(l.p, n, sizeof(*l.p), prefix_order);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !prefix_eq(&l.p[i], &l.p[l.n - 1]))
			l.p[l.n++] = l.p[i];
	}
	return l;
}

static struct bgp_rib *rib_of(struct bgp_speaker *sp, const struct prefix *p)
{
	return &sp->rib[bgp_af_of((enum ip_family)p->addr.family)];
}

static bool has_other_cause(const struct bgp_speaker *sp, enum bgp_own cause,
			    const struct prefix *p)
{
	for (unsigned i = 0; i < BGP_OWN_MAX_; i++)
		if (i != cause && own_has(&sp->own[i], p))
			return true;
	return false;
}

static bool is_one_address(const struct prefix *p)
{
	return p->len == addr_bits((enum ip_family)p->addr.family);
}

/* What a change of a list was about. */
struct own_change {
	bool any;
	bool ranges; /* of them, some that others' routes may lie inside of */
};

static void note_change(struct own_change *c, const struct prefix *p)
{
	c->any = true;
	c->ranges |= !is_one_address(p);
}

/* Announce what is new, withdraw what is no longer; consumes now. */
static struct own_change own_set(struct bgp_speaker *sp, enum bgp_own cause,
				 struct bgp_own_list now)
{
	struct bgp_source *here = bgp_source_at(&sp->sources, 0);
	struct bgp_own_list *old = &sp->own[cause];
	struct own_change change = { 0 };

	for (size_t i = 0; i < old->n; i++) {
		if (own_has(&now, &old->p[i]))
			continue;
		note_change(&change, &old->p[i]);
		if (!has_other_cause(sp, cause, &old->p[i]))
			bgp_rib_withdraw(rib_of(sp, &old->p[i]), &old->p[i], here, 0);
	}
	for (size_t i = 0; i < now.n; i++) {
		if (!own_has(old, &now.p[i]))
			note_change(&change, &now.p[i]);
		bgp_rib_announce(rib_of(sp, &now.p[i]), &now.p[i], here, 0, sp->local_attrs);
	}
	vec_done(old);
	*old = now;
	return change;
}

void bgp_speaker_set_blocks(struct bgp_speaker *sp, const struct prefix *blocks, size_t n,
			    int64_t now_ms)
{
	const struct bgp_own_list *list = &sp->own[BGP_OWN_BLOCKS];

	bgp_speaker_enter(sp, now_ms);
	if (own_set(sp, BGP_OWN_BLOCKS, own_list(blocks, n)).any) {
		trie_done(&sp->policy.blocks);
		for (size_t i = 0; i < list->n; i++)
			trie_add(&sp->policy.blocks, &list->p[i], sp);
		bgp_speaker_redo(sp); /* more specifics inside may pass now, or no longer */
	}
	bgp_speaker_leave(sp);
}

void bgp_speaker_set_local_routes(struct bgp_speaker *sp, const struct prefix *routes, size_t n,
				  int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	own_set(sp, BGP_OWN_LOCALS, own_list(routes, n));
	bgp_speaker_leave(sp);
}

void bgp_speaker_set_pools(struct bgp_speaker *sp, const struct bgp_pool *pools, size_t n,
			   int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	if (bgp_policy_set_pools(&sp->policy, pools, n))
		bgp_speaker_redo(sp);
	bgp_speaker_leave(sp);
}

void bgp_speaker_set_services(struct bgp_speaker *sp, const struct bgp_services *s, int64_t now_ms)
{
	struct own_change change;
	VEC(struct prefix) all = { 0 };

	for (size_t i = 0; i < s->n_routes; i++)
		vec_push(&all, s->route[i].prefix);
	bgp_speaker_enter(sp, now_ms);
	change = own_set(sp, BGP_OWN_SERVICES, own_list(all.p, all.n));
	vec_done(&all);
	/* a service comes or goes: what else is decided about it is decided with its own address */
	if (bgp_policy_set_services(&sp->policy, s) || change.ranges)
		bgp_speaker_redo(sp);
	bgp_speaker_leave(sp);
}
