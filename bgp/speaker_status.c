/* speaker_status.c - what a speaker says about itself: peers, paths and reasons */
#include "bgp/speaker_int.h"

#include <stdlib.h>
#include <string.h>

const struct bgp_global *bgp_speaker_global(const struct bgp_speaker *sp)
{
	return &sp->global;
}

static int64_t running(int64_t deadline)
{
	return deadline == INT64_MAX ? 0 : deadline;
}

static void take_session(struct bgp_peer_status *out, const struct bgp_session *s)
{
	const struct bgp_session_info *info = bgp_session_info(s);

	out->state = info->state;
	out->since_ms = info->since_ms;
	out->msgs_in = info->msgs_in;
	out->msgs_out = info->msgs_out;
	out->updates_in = info->updates_in;
	out->updates_out = info->updates_out;
	out->bytes_in = info->bytes_in;
	out->bytes_out = info->bytes_out;
	out->flaps = info->flaps;
	out->withdrawn_by_error = info->withdrawn_by_error;
	str_copy(out->last_error, sizeof(out->last_error), info->last_error);
	out->last_error_ms = info->last_error_ms;
	str_copy(out->last_notification, sizeof(out->last_notification), info->last_notification);
	out->last_notification_ms = info->last_notification_ms;
	out->local_caps = bgp_session_caps(s);
	out->next_retry_ms = info->next_retry_ms;
	if (info->conn) {
		out->hold_at_ms = running(info->conn->hold_at);
		out->keepalive_at_ms = running(info->conn->keepalive_at);
	}
	if (info->conn && info->conn->state >= BGP_STATE_OPENCONFIRM) {
		out->remote_id = info->conn->remote.id;
		out->remote_caps = info->conn->remote.caps;
	}
}

static void take_negotiated(struct bgp_peer_status *out, const struct bgp_negotiated *neg)
{
	if (!neg)
		return;
	out->remote_as = neg->wire.remote_as;
	out->hold_s = neg->hold_s;
	out->keepalive_s = neg->keepalive_s;
	out->families = neg->wire.families;
	out->as4 = neg->wire.as4;
	out->refresh = neg->refresh;
	out->graceful = neg->graceful;
}

bool bgp_speaker_peer_status(const struct bgp_speaker *sp, size_t i, struct bgp_peer_status *out)
{
	const struct bgp_peer *p;

	if (i >= sp->peers.n)
		return false;
	p = sp->peers.p[i];
	*out = (struct bgp_peer_status) { .config = &p->config, .remote_as = p->config.remote_as };
	take_session(out, p->session);
	out->filtered = p->filtered;
	take_negotiated(out, bgp_session_negotiated(p->session));
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (p->source) {
			out->routes_received[af] = p->source->af[af].paths;
			out->routes_accepted[af] = p->source->af[af].usable;
			out->routes_best[af] = p->source->af[af].best;
		}
		for (unsigned k = 0; k < p->n_stale; k++) {
			if (p->stale[k].src->af[af].state == BGP_SOURCE_STALE)
				out->routes_stale[af] += p->stale[k].src->af[af].paths;
		}
		out->routes_sent[af] = p->member[af].sent;
	}
	return true;
}

size_t bgp_speaker_prefix_count(const struct bgp_speaker *sp, enum bgp_af af)
{
	return sp->rib[af].count;
}

/* ---- paths ---- */

static const struct bgp_peer_config *peer_config(const struct bgp_source *src)
{
	const struct bgp_peer *p = src->peer;

	return p ? &p->config : NULL;
}

static bool tell_usable(struct bgp_speaker *sp, enum bgp_af af, const struct prefix *prefix,
			unsigned n, bgp_path_fn *fn, void *arg)
{
	const struct bgp_policy_service *service = trie_find(&sp->policy.services, prefix);

	for (unsigned i = 0; i < n; i++) {
		const struct bgp_candidate *c = &sp->cand.p[i];
		struct bgp_path_info info = {
			.prefix = *prefix,
			.peer = peer_config(c->source),
			.attrs = c->attrs,
			.best = c->best,
			.multipath = c->multipath,
			.usable = true,
			.stale = c->source->af[af].state == BGP_SOURCE_STALE,
			.long_stale = c->long_stale,
			.why = bgp_step_text(c->lost_at),
			.made_for = service && c->source->index == 0 ? service->why : NULL,
		};

		if (!fn(arg, &info))
			return false;
	}
	return true;
}

static int by_peer(const void *pa, const void *pb)
{
	const struct bgp_path_info *a = pa, *b = pb;
	int c = a->peer && b->peer ? addr_cmp(&a->peer->addr, &b->peer->addr) : 0;

	return c ? c : strcmp(a->why, b->why);
}

static bool tell_unusable(const struct bgp_speaker *sp, const struct prefix *prefix,
			  const struct bgp_path *p, unsigned n, const enum bgp_reason *why,
			  bgp_path_fn *fn, void *arg)
{
	struct bgp_path_info *info = xcalloc(n, sizeof(*info));
	bool go_on = true;
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		/* paths of ended sessions are only not swept yet */
		if (why[i] == BGP_REASON_OK || why[i] == BGP_REASON_SESSION_GONE)
			continue;
		info[kept++] = (struct bgp_path_info) {
			.prefix = *prefix,
			.attrs = p[i].attrs,
			.peer = peer_config(bgp_source_at(&sp->sources, p[i].source)),
			.why = bgp_reason_text(why[i]),
		};
	}
	qsort(info, kept, sizeof(*info), by_peer);
	for (unsigned i = 0; i < kept && go_on; i++)
		go_on = fn(arg, &info[i]);
	free(info);
	return go_on;
}

static unsigned max_paths(const struct bgp_speaker *sp)
{
	return sp->global.max_paths < BGP_MULTIPATH_MAX ? sp->global.max_paths : BGP_MULTIPATH_MAX;
}

/* The paths of one net as a decision now would see them. */
static bool tell_net(struct bgp_speaker *sp, enum bgp_af af, uint32_t index, bgp_path_fn *fn,
		     void *arg)
{
	const struct bgp_net *net = bgp_rib_net(&sp->rib[af], index);
	struct prefix prefix = bgp_net_prefix(&sp->rib[af], net);
	struct bgp_path one;
	const struct bgp_path *p;
	enum bgp_reason *why;
	unsigned n, usable;
	bool go_on;

	p = bgp_net_paths(net, &one, &n);
	why = xcalloc(n, sizeof(*why));
	usable = bgp_speaker_candidates(sp, af, net, why);
	bgp_decide(sp->cand.p, usable, max_paths(sp));
	bgp_decide_explain(sp->cand.p, usable);
	go_on = tell_usable(sp, af, &prefix, usable, fn, arg) &&
		tell_unusable(sp, &prefix, p, n, why, fn, arg);
	free(why);
	return go_on;
}

static int by_prefix(const void *a, const void *b, void *arg)
{
	const struct bgp_rib *rib = arg;
	const struct bgp_net *na = bgp_rib_net(rib, *(const uint32_t *)a);
	const struct bgp_net *nb = bgp_rib_net(rib, *(const uint32_t *)b);
	int c = memcmp(na->key, nb->key, rib->key_size);

	return c ? c : (int)na->len - (int)nb->len;
}

static bool tell_family(struct bgp_speaker *sp, enum bgp_af af, bgp_path_fn *fn, void *arg)
{
	struct bgp_rib *rib = &sp->rib[af];
	uint32_t *nets = xreallocarray(NULL, rib->count + (size_t)1, sizeof(*nets)), n = 0;
	bool go_on = true;

	for (uint32_t i = 0; i < rib->n_nets; i++) {
		if (!(bgp_rib_net(rib, i)->flags & (BGP_NET_FREE | BGP_NET_EMPTY)))
			nets[n++] = i;
	}
	qsort_r(nets, n, sizeof(*nets), by_prefix, rib);
	for (uint32_t i = 0; i < n && go_on; i++)
		go_on = tell_net(sp, af, nets[i], fn, arg);
	free(nets);
	return go_on;
}

void bgp_speaker_each_path(struct bgp_speaker *sp, const struct prefix *exact, bgp_path_fn *fn,
			   void *arg)
{
	sp->run++;
	if (exact) {
		enum bgp_af af = bgp_af_of((enum ip_family)exact->addr.family);
		uint32_t net = af < BGP_AF_MAX_ ? bgp_rib_find(&sp->rib[af], exact) : BGP_NET_NONE;

		if (net != BGP_NET_NONE)
			tell_net(sp, af, net, fn, arg);
		return;
	}
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!tell_family(sp, (enum bgp_af)af, fn, arg))
			return;
	}
}
