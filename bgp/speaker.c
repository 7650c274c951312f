/* speaker.c - a whole BGP speaker: birth, identity, the deferred work, time
 *
 * WHY    One object that the agent and the simulation drive alike; see speaker.h.
 * SHAPE  Inputs change tables and make nets dirty; bgp_speaker_run works the debts off in slices:
 *
 *		UPDATE, blocks, down -> rib (dirty) -> decide -> fib queue -> next_fib_change
 *						    \-> adjout logs -> output (pull)
 * TESTS  tests/unit/bgp/speaker.c, tests/sim/bgp.c */
#include "bgp/speaker_int.h"

#include <stdlib.h>
#include <string.h>

enum {
	/* A net looked at by the sweep or by a fill costs a small part of one decision. */
	SWEEP_PER_BUDGET = 8,
};

/* ---- what the tables call back ---- */

static void on_wake(void *arg, struct bgp_member *m)
{
	struct bgp_speaker *sp = arg;
	struct bgp_peer *p = m->owner;

	if (p->wake_due)
		return;
	p->wake_due = true;
	vec_push(&sp->awake, p);
}

static void on_released(void *arg, struct bgp_adjout *ao, uint32_t net)
{
	struct bgp_speaker *sp = arg;

	bgp_speaker_net_release(sp, ao->rib->af, net);
}

void bgp_speaker_enter(struct bgp_speaker *sp, int64_t now_ms)
{
	sp->now = now_ms;
}

static void unhold(struct bgp_speaker *sp, enum bgp_af af)
{
	if (sp->adjout[af].hold_end_of_rib && !bgp_speaker_holds_end_of_rib(sp, af))
		bgp_adjout_unhold(&sp->adjout[af]);
}

/* Nobody is waited for any more: OPENs say so from now on, and End-of-RIBs may go out. */
static void converge(struct bgp_speaker *sp)
{
	sp->converged = true;
	vec_foreach (&sp->peers, p) {
		struct bgp_session_config sc = bgp_peer_session_config(*p);

		bgp_session_configure((*p)->session, &sc, sp->now);
	}
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		unhold(sp, (enum bgp_af)af);
}

/* Sessions must not be called from their own callbacks, so those who have something to say are told
 * when the call is over. */
void bgp_speaker_leave(struct bgp_speaker *sp)
{
	for (size_t i = 0; i < sp->awake.n; i++) {
		struct bgp_peer *p = sp->awake.p[i];

		p->wake_due = false;
		if (p->source)
			bgp_session_wake(p->session);
	}
	vec_clear(&sp->awake);
	if (sp->restart_done && !sp->converged)
		converge(sp);
}

/* ---- birth and identity ---- */

static struct bgp_attrs *make_local_attrs(struct bgp_attr_table *t)
{
	struct bgp_attrs_draft d = { 0 };

	d.v.present = (uint64_t)1 << BGP_ATTR_ORIGIN | (uint64_t)1 << BGP_ATTR_AS_PATH;
	d.v.origin = BGP_ORIGIN_IGP;
	return bgp_attrs_intern(t, &d);
}

static void take_global(struct bgp_speaker *sp, const struct bgp_global *g)
{
	sp->global = *g;
	sp->policy.local_as = g->local_as;
	sp->policy.router_id = g->router_id;
	sp->policy.cluster_id = g->cluster_id;
	sp->policy.local_v4 = g->local_v4;
	sp->policy.local_v6 = g->local_v6;
	sp->policy.draining = g->draining;
	sp->policy.muted = g->muted;
	memcpy(sp->policy.normal_priority, g->normal_priority, sizeof(g->normal_priority));
}

static const char *interface_of(void *arg, const struct bgp_source *src,
				const struct bgp_attrs *attrs)
{
	struct bgp_speaker *sp = arg;
	struct addr hop = bgp_hop_of(src, attrs), plain;

	if (bgp_hop_link(&hop, &plain))
		return src->ifname;
	return hop.family ? bgp_next_hops_interface(&sp->next_hops, &hop) : NULL;
}

struct bgp_speaker *bgp_speaker_new(const struct bgp_global *global, uint32_t random_seed)
{
	struct bgp_speaker *sp = xcalloc(1, sizeof(*sp));
	uint64_t seed = random_seed * 0x9e3779b97f4a7c15u;

	sp->seed = random_seed;
	sp->attrs = bgp_attr_table_new();
	bgp_attr_table_seed(sp->attrs, seed);
	sp->shared = bgp_shared_new(sp->attrs);
	bgp_sources_init(&sp->sources);
	take_global(sp, global);
	sp->policy.interface_of = interface_of;
	sp->policy.arg = sp;
	sp->converged = !global->restarting;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		struct bgp_adjout *ao = &sp->adjout[af];

		bgp_rib_init(&sp->rib[af], (enum bgp_af)af, sp->attrs, &sp->sources, seed + af);
		bgp_adjout_init(ao, &sp->rib[af], &sp->policy);
		ao->wake = on_wake;
		ao->released = on_released;
		ao->arg = sp;
		sp->redo[af] = BGP_NET_NONE;
	}
	bgp_fib_init(&sp->fib, sp->rib);
	sp->local_attrs = make_local_attrs(sp->attrs);
	sp->batch = xmalloc(sizeof(*sp->batch));
	sp->block = xmalloc(sizeof(*sp->block));
	return sp;
}

void bgp_speaker_free(struct bgp_speaker *sp)
{
	if (!sp)
		return;
	vec_foreach (&sp->peers, p) {
		bgp_peer_drop_routes(*p);
		bgp_peer_free(*p);
	}
	vec_foreach (&sp->leaving, p)
		bgp_peer_free(*p);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		bgp_adjout_done(&sp->adjout[af]);
		bgp_rib_done(&sp->rib[af]);
	}
	bgp_fib_done(&sp->fib);
	vec_foreach (&sp->chains, c)
		bgp_chain_free(*c);
	vec_done(&sp->chains);
	bgp_policy_done(&sp->policy);
	bgp_next_hops_done(&sp->next_hops);
	bgp_sources_done(&sp->sources);
	bgp_shared_free(sp->shared);
	bgp_attrs_unref(sp->attrs, sp->local_attrs);
	bgp_attr_table_free(sp->attrs);
	for (unsigned i = 0; i < BGP_OWN_MAX_; i++)
		vec_done(&sp->own[i]);
	vec_done(&sp->peers);
	vec_done(&sp->leaving);
	vec_done(&sp->awake);
	vec_done(&sp->dying);
	vec_done(&sp->conns);
	vec_done(&sp->cand);
	free(sp->effects.p);
	free(sp->batch);
	free(sp->block);
	free(sp);
}

/* What stands in OPENs and in exports: a session made under another identity must begin anew. */
static bool identity_eq(const struct bgp_global *a, const struct bgp_global *b)
{
	return a->local_as == b->local_as && a->router_id == b->router_id &&
	       a->cluster_id == b->cluster_id && addr_eq(&a->local_v4, &b->local_v4) &&
	       addr_eq(&a->local_v6, &b->local_v6);
}

static void reset_all(struct bgp_speaker *sp, const char *why)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_CONFIG_CHANGE, NULL);

	vec_foreach (&sp->peers, it) {
		struct bgp_session_config sc = bgp_peer_session_config(*it);

		if ((*it)->source)
			bgp_session_fail((*it)->session, &n, why, sp->now);
		bgp_session_configure((*it)->session, &sc, sp->now);
	}
}

void bgp_speaker_set_global(struct bgp_speaker *sp, const struct bgp_global *global, int64_t now_ms)
{
	bool same = identity_eq(&sp->global, global);
	bool other = sp->global.max_paths != global->max_paths ||
		     sp->global.draining != global->draining || sp->global.muted != global->muted ||
		     memcmp(sp->global.normal_priority, global->normal_priority,
			    sizeof(global->normal_priority)) != 0;

	bgp_speaker_enter(sp, now_ms);
	take_global(sp, global);
	if (!same)
		reset_all(sp, "this speaker's AS, router ID, cluster or address changed");
	if (!same || other)
		bgp_speaker_redo(sp);
	bgp_speaker_leave(sp);
}

/* ---- next hops ---- */

void bgp_speaker_set_resolver(struct bgp_speaker *sp, bgp_resolve_fn *fn, void *arg)
{
	sp->next_hops.resolve = fn;
	sp->next_hops.arg = arg;
	if (bgp_next_hops_refresh(&sp->next_hops))
		bgp_speaker_redo(sp);
}

void bgp_speaker_next_hops_changed(struct bgp_speaker *sp, int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	if (bgp_next_hops_refresh(&sp->next_hops))
		bgp_speaker_redo(sp);
	bgp_speaker_leave(sp);
}

/* ---- deferred work ---- */

void bgp_speaker_redo(struct bgp_speaker *sp)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		sp->redo[af] = sp->rib[af].count ? 0 : BGP_NET_NONE;
		bgp_adjout_policy_changed(&sp->adjout[af]);
	}
}

static void free_swept(struct bgp_speaker *sp)
{
	for (size_t i = 0; i < sp->dying.n; i++) {
		if (bgp_source_paths(sp->dying.p[i]))
			continue;
		bgp_source_free(&sp->sources, sp->dying.p[i]);
		vec_remove_fast(&sp->dying, i--);
	}
}

/* Who does not read makes us keep what others have long withdrawn. */
static bool drop_laggard(struct bgp_speaker *sp, enum bgp_af af)
{
	uint32_t max = sp->global.unheard_max ? sp->global.unheard_max : BGP_UNHEARD_MAX;
	const struct bgp_member *m = bgp_adjout_laggard(&sp->adjout[af], max);
	struct bgp_notification n = bgp_cease(BGP_CEASE_RESOURCES, NULL);

	if (!m)
		return false;
	bgp_session_fail(((struct bgp_peer *)m->owner)->session, &n,
			 "too many withdrawals wait for this peer to read", sp->now);
	return true;
}

static bool run_family(struct bgp_speaker *sp, enum bgp_af af, unsigned budget)
{
	bool more = bgp_rib_sweep(&sp->rib[af], budget * SWEEP_PER_BUDGET);
	unsigned left = bgp_speaker_decide(sp, af, budget);

	left = bgp_speaker_redo_some(sp, af, left);
	more |= bgp_adjout_fill(&sp->adjout[af], budget);
	more |= drop_laggard(sp, af);
	unhold(sp, af);
	return more || left == 0 || sp->rib[af].dirty_count || sp->redo[af] != BGP_NET_NONE;
}

bool bgp_speaker_run(struct bgp_speaker *sp, unsigned budget, int64_t now_ms)
{
	bool more = false;

	bgp_speaker_enter(sp, now_ms);
	/* attributes may have gone and their address may be another's now; policies may differ */
	sp->run++;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		more |= run_family(sp, (enum bgp_af)af, budget ? budget : 1);
	free_swept(sp);
	bgp_speaker_leave(sp);
	return more;
}

/* ---- our own restart: RFC 4724 4.1 ---- */

static bool peer_is_over(const struct bgp_peer *p)
{
	const struct bgp_negotiated *neg;

	if (p->over || p->sp->now >= p->sp->restart_until)
		return true;
	neg = p->source ? bgp_session_negotiated(p->session) : NULL;
	if (!neg)
		return false;
	return p->sp->now >= p->settle_at ||
	       (p->end_of_rib & neg->wire.families) == neg->wire.families;
}

void bgp_speaker_check_converged(struct bgp_speaker *sp)
{
	bool all = true;

	if (sp->converged || !sp->restart_until)
		return;
	vec_foreach (&sp->peers, p) {
		(*p)->over = peer_is_over(*p);
		all &= (*p)->over;
	}
	sp->restart_done = all;
}

/* Not before the owner has been told all that came of it. */
bool bgp_speaker_converged(const struct bgp_speaker *sp)
{
	bool idle = bgp_fib_idle(&sp->fib);

	if (!sp->global.restarting)
		return true;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		idle &= !sp->rib[af].dirty_count && sp->redo[af] == BGP_NET_NONE;
	return sp->converged && idle;
}

/* ---- time ---- */

void bgp_speaker_tick(struct bgp_speaker *sp, int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	vec_foreach (&sp->peers, p) {
		bgp_session_tick((*p)->session, now_ms);
		bgp_peer_expire_stale(*p, now_ms);
	}
	vec_foreach (&sp->leaving, p)
		bgp_session_tick((*p)->session, now_ms);
	bgp_speaker_check_converged(sp);
	bgp_speaker_leave(sp);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t bgp_speaker_deadline(const struct bgp_speaker *sp)
{
	int64_t at = INT64_MAX;

	for (size_t i = 0; i < sp->peers.n; i++) {
		const struct bgp_peer *p = sp->peers.p[i];

		at = earlier(at, bgp_session_deadline(p->session));
		at = earlier(at, bgp_peer_stale_until(p));
		if (!sp->converged && p->source && !p->over)
			at = earlier(at, p->settle_at);
	}
	for (size_t i = 0; i < sp->leaving.n; i++)
		at = earlier(at, bgp_session_deadline(sp->leaving.p[i]->session));
	if (!sp->converged && sp->restart_until)
		at = earlier(at, sp->restart_until);
	return at;
}

void bgp_speaker_start(struct bgp_speaker *sp, int64_t now_ms)
{
	if (!sp->stopped)
		return;
	bgp_speaker_enter(sp, now_ms);
	sp->stopped = false;
	vec_foreach (&sp->peers, p)
		bgp_session_start((*p)->session, now_ms);
	bgp_speaker_leave(sp);
}

void bgp_speaker_stop(struct bgp_speaker *sp, bool restart, const char *text, int64_t now_ms)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_SHUTDOWN, text);

	if (sp->stopped)
		return;
	bgp_speaker_enter(sp, now_ms);
	sp->stopped = true;
	vec_foreach (&sp->peers, p)
		bgp_session_stop((*p)->session, restart ? NULL : &n, "this speaker stops", now_ms);
	bgp_speaker_leave(sp);
}
