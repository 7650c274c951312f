/* speaker_filters.c - operators' rules: who has which, and what happens when they change
 *
 * WHY    A rule on export is part of a peer's target: when it changes, everything is computed anew and
 *        only differences are sent. A rule on import is applied when a route comes, so that changed
 *        attributes cost nothing later; when it changes, the peer is asked to say everything again. */
#include <stdlib.h>
#include <string.h>

#include "bgp/speaker_int.h"

static struct bgp_chain *chain_find(const struct bgp_speaker *sp, const char *name)
{
	for (size_t i = 0; i < sp->chains.n; i++) {
		if (strcmp(sp->chains.p[i]->name, name) == 0)
			return sp->chains.p[i];
	}
	return NULL;
}

static struct bgp_chain *chain_get(struct bgp_speaker *sp, const char *name)
{
	struct bgp_chain *c = chain_find(sp, name);

	if (!c) {
		c = bgp_chain_new(name);
		vec_push(&sp->chains, c);
	}
	return c;
}

struct bgp_chain *bgp_speaker_chain(struct bgp_speaker *sp, const char *name)
{
	struct bgp_chain *c;

	if (!name[0])
		return NULL;
	c = chain_get(sp, name);
	c->refs++;
	return c;
}

static void chains_sweep(struct bgp_speaker *sp)
{
	for (size_t i = 0; i < sp->chains.n; i++) {
		struct bgp_chain *c = sp->chains.p[i];

		if (c->refs || c->defined)
			continue;
		bgp_chain_free(c);
		vec_remove_fast(&sp->chains, i--);
	}
}

void bgp_speaker_chain_unref(struct bgp_speaker *sp, struct bgp_chain *c)
{
	if (!c)
		return;
	c->refs--;
	chains_sweep(sp);
}

/* ---- import ---- */

static bool is_let_in(struct bgp_peer *p, enum bgp_af af, const struct prefix *prefix,
		      const struct bgp_attrs *attrs, const struct bgp_rule **rule)
{
	struct bgp_rule_route r = {
		.prefix = prefix,
		.attrs = attrs,
		.local_pref = bgp_effective_local_pref(&p->sp->policy, af, p->source, attrs),
		.direction = BGP_IMPORT,
		.remote = true,
		.ebgp = p->source->ebgp,
	};

	if (bgp_chain_wants_interface(p->chain, BGP_IMPORT, af))
		r.ifname = p->sp->policy.interface_of(p->sp, p->source, attrs);
	*rule = bgp_chain_match(p->chain, af, &r);
	return !*rule || (*rule)->accept;
}

/* Later it could not be told from an AS that the filter has put there. */
static bool first_as_ok(const struct bgp_source *src, const struct bgp_attrs *attrs)
{
	return !src->edits_path || !src->ebgp || bgp_first_as_ok(src, attrs);
}

struct bgp_attrs *bgp_peer_import(struct bgp_peer *p, enum bgp_af af, const struct prefix *prefix,
				  struct bgp_attrs *attrs)
{
	const struct bgp_rule *rule = NULL;
	struct bgp_attrs *out = NULL;
	struct bgp_edit e;

	if (!p->chain || !p->chain->rules[BGP_IMPORT][af].n)
		return bgp_attrs_ref(attrs);
	if (!is_let_in(p, af, prefix, attrs, &rule) || !first_as_ok(p->source, attrs)) {
		p->filtered++;
		return NULL;
	}
	if (!rule || !rule->n_ops)
		return bgp_attrs_ref(attrs);
	e = bgp_edit_begin(attrs);
	if (bgp_rule_apply(rule, &e))
		out = bgp_attrs_intern(p->sp->attrs, &e.d);
	bgp_edit_done(&e);
	p->filtered += out == NULL;
	return out;
}

/* ---- change ---- */

/* What is not let in any more goes now, whether or not the peer says it again. */
static void reject_net(struct bgp_peer *p, struct bgp_rib *rib, const struct bgp_net *net)
{
	struct prefix prefix = bgp_net_prefix(rib, net);
	const struct bgp_rule *rule;
	struct bgp_path one;
	const struct bgp_path *path;
	unsigned n;

	path = bgp_net_paths(net, &one, &n);
	for (unsigned i = n; i-- > 0;) {
		if (path[i].source != p->source->index ||
		    is_let_in(p, rib->af, &prefix, path[i].attrs, &rule))
			continue;
		bgp_rib_withdraw(rib, &prefix, p->source, path[i].id);
		p->filtered++;
		path = bgp_net_paths(net, &one, &n);
	}
}

static void reject_now(struct bgp_peer *p, enum bgp_af af)
{
	struct bgp_rib *rib = &p->sp->rib[af];

	for (uint32_t at = 0; at < rib->n_nets && p->source->af[af].paths; at++) {
		const struct bgp_net *net = bgp_rib_net(rib, at);

		if (!(net->flags & (BGP_NET_FREE | BGP_NET_EMPTY)))
			reject_net(p, rib, net);
	}
}

static void import_again(struct bgp_peer *p)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_CONFIG_CHANGE, NULL);
	const struct bgp_negotiated *neg = bgp_session_negotiated(p->session);
	bool asked = true;

	if (!p->source || !neg)
		return;
	p->source->edits_path = bgp_chain_prepends(p->chain, BGP_IMPORT);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(neg->wire.families >> af & 1))
			continue;
		reject_now(p, (enum bgp_af)af);
		asked &= bgp_session_send_refresh(p->session, (enum bgp_af)af, p->sp->now);
	}
	if (!asked)
		bgp_session_fail(p->session, &n,
				 "its import filters changed, and it cannot say its routes again",
				 p->sp->now);
}

static void chain_changed(struct bgp_speaker *sp, const struct bgp_chain *c, unsigned changed)
{
	for (size_t i = 0; i < sp->peers.n; i++) {
		if (sp->peers.p[i]->chain == c && changed & 1u << BGP_IMPORT)
			import_again(sp->peers.p[i]);
	}
}

void bgp_speaker_set_filters(struct bgp_speaker *sp, const struct bgp_filter_set *sets, size_t n,
			     int64_t now_ms)
{
	unsigned any = 0;

	bgp_speaker_enter(sp, now_ms);
	for (size_t i = 0; i < sp->chains.n; i++) {
		struct bgp_chain *c = sp->chains.p[i];
		const struct bgp_filter_set *set = NULL;
		unsigned changed;

		for (size_t k = 0; k < n && !set; k++)
			set = strcmp(sets[k].name, c->name) == 0 ? &sets[k] : NULL;
		changed = bgp_chain_set(c, set);
		any |= changed;
		if (changed)
			chain_changed(sp, c, changed);
	}
	for (size_t k = 0; k < n; k++) {
		if (!chain_find(sp, sets[k].name))
			bgp_chain_set(chain_get(sp, sets[k].name), &sets[k]);
	}
	chains_sweep(sp);
	if (any & 1u << BGP_EXPORT)
		bgp_speaker_redo(sp);
	bgp_speaker_leave(sp);
}

void bgp_speaker_set_adverts(struct bgp_speaker *sp, const struct bgp_advert *adverts, size_t n,
			     int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	/* the sets' addresses are part of what was computed: also when they are the same */
	if (bgp_policy_set_adverts(&sp->policy, adverts, n))
		bgp_speaker_redo(sp);
	else
		for (unsigned af = 0; af < BGP_AF_MAX_; af++)
			bgp_adjout_policy_changed(&sp->adjout[af]);
	bgp_speaker_leave(sp);
}
