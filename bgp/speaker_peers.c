/* speaker_peers.c - the configured sessions: the difference between the last set and the next
 *
 * WHY    The owner declares the whole set each time. What did not change is not touched; what a
 *        running session cannot take resets that session alone, with Cease/6. */
#include "bgp/speaker_int.h"

#include <stdlib.h>
#include <string.h>

asn_t bgp_peer_local_as(const struct bgp_peer *p)
{
	return p->config.local_as ? p->config.local_as : p->sp->global.local_as;
}

struct bgp_session_config bgp_peer_session_config(const struct bgp_peer *p)
{
	const struct bgp_speaker *sp = p->sp;

	return (struct bgp_session_config) {
		.local_as = bgp_peer_local_as(p),
		.remote_as = p->config.remote_as,
		.router_id = sp->global.router_id,
		.families = p->config.families,
		.passive = p->config.passive,
		/* filter.c judges the first AS, so that `routes` can show such a path and why */
		.first_as_check = false,
		.hold_s = p->config.hold_s,
		.keepalive_s = p->config.keepalive_s,
		.connect_retry_ms = p->config.connect_retry_ms,
		.gr_restart_s = p->config.gr_restart_s,
		.restarting = !sp->converged,
		.enhanced_refresh = p->config.enhanced_refresh,
		.extended_message = p->config.extended_message,
		.long_lived_aware = p->config.long_lived,
		.long_lived_s = p->config.long_lived ? p->config.long_lived_s : 0,
		.refuse_as_sets = !p->config.accept_as_sets,
		.role = p->config.role,
		.role_strict = p->config.role_strict,
		.ext_next_hop = p->config.ext_next_hop ? 1u << BGP_AF_IPV4_UNICAST : 0,
		.add_path_rx = p->config.add_path ? p->config.families : 0,
		.add_path_tx = p->config.add_path ? p->config.families : 0,
		.forwarding = sp->global.restarting,
	};
}

static int key_cmp(const struct bgp_peer_config *a, const struct bgp_peer_config *b)
{
	int c = addr_cmp(&a->addr, &b->addr);

	if (c || a->ifindex == b->ifindex)
		return c ? c : (int)a->port - (int)b->port;
	return a->ifindex < b->ifindex ? -1 : 1;
}

static bool id_in_use(const struct bgp_speaker *sp, uint16_t id)
{
	for (size_t i = 0; i < sp->peers.n; i++) {
		if (sp->peers.p[i]->id == id)
			return true;
	}
	for (size_t i = 0; i < sp->leaving.n; i++) {
		if (sp->leaving.p[i]->id == id)
			return true;
	}
	for (size_t i = 0; i < sp->dying.n; i++) {
		if (sp->dying.p[i]->peer_id == id)
			return true;
	}
	return false;
}

static uint16_t id_take(struct bgp_speaker *sp)
{
	/* The numbers go round, so that one is rarely met again; 16 bits, far more than peers. */
	do {
		sp->next_peer_id = sp->next_peer_id == UINT16_MAX ? 1 : sp->next_peer_id + 1;
	} while (id_in_use(sp, sp->next_peer_id));
	return sp->next_peer_id;
}

static struct bgp_peer *peer_new(struct bgp_speaker *sp, const struct bgp_peer_config *config)
{
	struct bgp_peer *p = xcalloc(1, sizeof(*p));
	struct bgp_session_config sc;

	p->sp = sp;
	p->config = *config;
	p->id = id_take(sp);
	p->chain = bgp_speaker_chain(sp, config->filters);
	p->log.since = sp->now;
	sc = bgp_peer_session_config(p);
	sp->seed = sp->seed * 1664525u + 1013904223u;
	p->session = bgp_session_new(sp->shared, &sc, &bgp_peer_ops, p, sp->seed ^ p->id);
	return p;
}

void bgp_peer_free(struct bgp_peer *p)
{
	struct bgp_speaker *sp = p->sp;

	for (size_t i = 0; i < sp->awake.n; i++) {
		if (sp->awake.p[i] == p)
			vec_remove_fast(&sp->awake, i--);
	}
	for (size_t i = 0; i < sp->conns.n; i++) {
		if (sp->conns.p[i].peer == p)
			vec_remove(&sp->conns, i--);
	}
	vec_foreach (&sp->dying, src) {
		if ((*src)->peer == p)
			(*src)->peer = NULL;
	}
	bgp_session_free(p->session);
	bgp_speaker_chain_unref(sp, p->chain);
	free(p);
}

/* Its last words may still be on their way: a socket that lingers is known until it is closed. */
static bool has_conn(const struct bgp_speaker *sp, const struct bgp_peer *p)
{
	for (size_t i = 0; i < sp->conns.n; i++) {
		if (sp->conns.p[i].peer == p)
			return true;
	}
	return false;
}

void bgp_speaker_bury(struct bgp_speaker *sp)
{
	for (size_t i = 0; i < sp->leaving.n; i++) {
		struct bgp_peer *p = sp->leaving.p[i];

		if (has_conn(sp, p))
			continue;
		vec_remove_fast(&sp->leaving, i--);
		bgp_peer_free(p);
	}
}

static void peer_remove(struct bgp_peer *p)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_DECONFIGURED, NULL);

	p->leaving = true;
	bgp_session_stop(p->session, &n, "no longer configured", p->sp->now);
	bgp_peer_drop_routes(p);
	vec_push(&p->sp->leaving, p);
}

/* What was computed for the running session would be wrong: exports, or the connection itself. */
static bool needs_reset(const struct bgp_peer_config *a, const struct bgp_peer_config *b)
{
	return a->rr_client != b->rr_client || a->rr_same_cluster != b->rr_same_cluster ||
	       a->next_hop_mode != b->next_hop_mode ||
	       a->keep_original_next_hop != b->keep_original_next_hop ||
	       a->ttl_security != b->ttl_security || !addr_eq(&a->source, &b->source) ||
	       a->local_as != b->local_as || a->remote_as != b->remote_as || a->role != b->role ||
	       a->own_only != b->own_only || strcmp(a->filters, b->filters) != 0 ||
	       a->families != b->families || a->any_first_as != b->any_first_as ||
	       a->accept_as_sets != b->accept_as_sets;
}

static void peer_change(struct bgp_peer *p, const struct bgp_peer_config *config)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_CONFIG_CHANGE, NULL);
	bool reset = needs_reset(&p->config, config);
	struct bgp_chain *old = p->chain;
	struct bgp_session_config sc;

	p->chain = bgp_speaker_chain(p->sp, config->filters);
	if (p->source && p->source->allowed_local_as != config->allowed_local_as) {
		p->source->allowed_local_as = config->allowed_local_as;
		bgp_speaker_redo(p->sp);
	}
	p->config = *config;
	if (reset && p->source)
		bgp_session_fail(p->session, &n, "its configuration changed", p->sp->now);
	bgp_speaker_chain_unref(p->sp, old);
	sc = bgp_peer_session_config(p);
	bgp_session_configure(p->session, &sc, p->sp->now);
	bgp_session_retry(p->session, p->sp->now);
}

/* Fields one by one: padding and the bytes behind a name's end do not count. */
static bool config_eq(const struct bgp_peer_config *a, const struct bgp_peer_config *b)
{
	return !needs_reset(a, b) && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->ifname, b->ifname) == 0 && a->kind == b->kind &&
	       a->passive == b->passive && a->hold_s == b->hold_s &&
	       a->keepalive_s == b->keepalive_s && a->connect_retry_ms == b->connect_retry_ms &&
	       a->allowed_local_as == b->allowed_local_as && a->gr_restart_s == b->gr_restart_s &&
	       a->prefix_limit == b->prefix_limit &&
	       a->prefix_limit_restart_s == b->prefix_limit_restart_s && a->add_path == b->add_path &&
	       a->enhanced_refresh == b->enhanced_refresh && a->ext_next_hop == b->ext_next_hop &&
	       a->role_strict == b->role_strict &&
	       a->extended_message == b->extended_message && a->long_lived == b->long_lived &&
	       a->long_lived_s == b->long_lived_s &&
	       strcmp(a->password, b->password) == 0;
}

/* The wanted set, sorted by key; of equal keys the later one in the caller's array comes later. */
static int wanted_order(const void *pa, const void *pb)
{
	const struct bgp_peer_config *a = *(const struct bgp_peer_config *const *)pa;
	const struct bgp_peer_config *b = *(const struct bgp_peer_config *const *)pb;
	int c = key_cmp(a, b);

	return c ? c : a < b ? -1 : a > b;
}

static const struct bgp_peer_config **wanted_sorted(const struct bgp_peer_config *peers, size_t *n)
{
	const struct bgp_peer_config **w = xreallocarray(NULL, *n + 1, sizeof(w[0]));
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++)
		w[i] = &peers[i];
	qsort(w, *n, sizeof(w[0]), wanted_order);
	for (size_t i = 0; i < *n; i++) {
		if (kept && key_cmp(w[kept - 1], w[i]) == 0)
			w[kept - 1] = w[i];
		else
			w[kept++] = w[i];
	}
	*n = kept;
	return w;
}

void bgp_speaker_set_peers(struct bgp_speaker *sp, const struct bgp_peer_config *peers, size_t n,
			   int64_t now_ms)
{
	const struct bgp_peer_config **want = wanted_sorted(peers, &n);
	VEC(struct bgp_peer *) next = { 0 }, fresh = { 0 };
	size_t old = 0;

	bgp_speaker_enter(sp, now_ms);
	for (size_t i = 0; i < n && next.n < BGP_PEERS_MAX; i++) {
		struct bgp_peer *p;

		while (old < sp->peers.n && key_cmp(&sp->peers.p[old]->config, want[i]) < 0)
			peer_remove(sp->peers.p[old++]);
		if (old < sp->peers.n && key_cmp(&sp->peers.p[old]->config, want[i]) == 0) {
			p = sp->peers.p[old++];
			if (!config_eq(&p->config, want[i]))
				peer_change(p, want[i]);
		} else {
			p = peer_new(sp, want[i]);
			vec_push(&fresh, p);
		}
		vec_push(&next, p);
	}
	while (old < sp->peers.n)
		peer_remove(sp->peers.p[old++]);
	free(sp->peers.p);
	sp->peers.p = next.p;
	sp->peers.n = next.n;
	sp->peers.cap = next.cap;
	vec_foreach (&fresh, p) {
		if (!sp->stopped)
			bgp_session_start((*p)->session, now_ms);
	}
	vec_done(&fresh);
	free(want);
	if (!sp->restart_until)
		sp->restart_until = now_ms + BGP_RESTART_WAIT_MS;
	bgp_speaker_check_converged(sp);
	bgp_speaker_leave(sp);
}
