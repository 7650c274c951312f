/* speaker_session.c - what a session's coming, going and asking means for the tables
 *
 * SPEC   RFC 4724 (the peer restarts), 2918, 7313 (it asks again, it says again) */
#include "bgp/speaker_int.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- sources ---- */

/* Has this peer's past paths somewhere, so that an announcement must look for them? */
static bool has_past(const struct bgp_peer *p)
{
	for (size_t i = 0; i < p->sp->dying.n; i++) {
		if (p->sp->dying.p[i]->peer_id == p->id)
			return true;
	}
	return p->n_stale > 0;
}

static struct bgp_source *source_make(struct bgp_peer *p, const struct bgp_negotiated *neg,
				      const struct addr *local)
{
	struct bgp_source *src = bgp_source_new(&p->sp->sources);

	if (!src)
		return NULL;
	src->peer = p;
	src->peer_id = p->id;
	src->heir = has_past(p);
	src->ebgp = bgp_peer_is_ebgp(p);
	/* a reflector of our own cluster is an ordinary iBGP peer */
	src->rr_client = p->config.rr_client && !p->config.rr_same_cluster && !src->ebgp;
	src->allowed_local_as = p->config.allowed_local_as;
	src->local_as = bgp_peer_local_as(p);
	src->remote_as = neg->wire.remote_as;
	src->ifindex = p->config.ifindex;
	str_copy(src->ifname, sizeof(src->ifname), p->config.ifname);
	src->role = src->ebgp ? p->config.role : BGP_ROLE_NONE;
	src->any_first_as = p->config.any_first_as;
	src->edits_path = bgp_chain_prepends(p->chain, BGP_IMPORT);
	src->router_id = neg->remote_id;
	src->addr = p->config.addr;
	src->local = *local;
	return src;
}

/* ---- exports ---- */

static void leave_groups(struct bgp_peer *p)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		bgp_adjout_leave(&p->sp->adjout[af], &p->member[af]);
}

void bgp_peer_drop_routes(struct bgp_peer *p)
{
	leave_groups(p);
	bgp_peer_retire(p, 0);
}

/* Our next hop: the session's own address, unless that is of another family or means nothing beyond
 * the link. ext: IPv6 will do for IPv4. */
static struct addr self_addr(const struct bgp_peer *p, enum bgp_af af, const struct addr *local,
			     bool ext)
{
	bool v6 = local->family == IP_V6;
	const struct addr *node_v6 = &p->sp->global.local_v6;

	if (v6 && addr_is_link_local(local) && (ext || af == BGP_AF_IPV6_UNICAST))
		return node_v6->family ? *node_v6 : *local;
	if (bgp_af_of((enum ip_family)local->family) == af || (v6 && ext))
		return *local;
	return af == BGP_AF_IPV4_UNICAST ? p->sp->global.local_v4 : p->sp->global.local_v6;
}

struct bgp_target bgp_peer_target(const struct bgp_peer *p, enum bgp_af af,
				  const struct bgp_negotiated *neg, const struct addr *local)
{
	const struct bgp_wire *wire = &neg->wire;
	struct bgp_target t;
	bool ebgp = bgp_peer_is_ebgp(p);

	memset(&t, 0, sizeof(t)); /* compared by bytes */
	t.af = af;
	t.local_as = bgp_peer_local_as(p);
	t.ebgp = ebgp;
	t.rr_client = p->config.rr_client && !p->config.rr_same_cluster && !ebgp;
	t.own_only = p->config.own_only;
	t.add_path = wire->add_path_tx >> af & 1;
	t.self_always = p->config.next_hop_mode == BGP_NEXT_HOP_SELF;
	t.keep = p->config.next_hop_mode == BGP_NEXT_HOP_KEEP ||
		 (p->config.keep_original_next_hop && ebgp);
	t.role = ebgp ? p->config.role : BGP_ROLE_NONE;
	t.ext_next_hop = wire->ext_next_hop >> af & 1;
	t.long_lived = neg->long_lived;
	t.chain = p->chain;
	t.self = self_addr(p, af, local, t.ext_next_hop);
	if (local->family == IP_V6 && addr_is_link_local(local) && t.self.family == IP_V6)
		t.self_ll = *local;
	return t;
}

static void join_groups(struct bgp_peer *p, const struct bgp_negotiated *neg,
			const struct addr *local)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		struct bgp_target t;

		if (!(neg->wire.families >> af & 1))
			continue;
		t = bgp_peer_target(p, (enum bgp_af)af, neg, local);
		p->member[af] = (struct bgp_member) { .owner = p };
		bgp_adjout_join(&p->sp->adjout[af], &p->member[af], &t, p->id, true);
	}
}

/* ---- the session's callbacks ---- */

static uint64_t on_connect(void *arg)
{
	struct bgp_peer *p = arg;
	struct bgp_speaker *sp = p->sp;
	uint64_t id = (uint64_t)1 << 63 | ++sp->next_conn;

	bgp_speaker_conn_add(sp, id, p);
	bgp_speaker_effect(sp, BGP_EFFECT_CONNECT, p)->conn = id;
	return id;
}

static void on_close(void *arg, uint64_t conn, bool linger)
{
	struct bgp_peer *p = arg;
	struct bgp_effect *e = bgp_speaker_effect(p->sp, BGP_EFFECT_CLOSE, p);

	e->conn = conn;
	e->linger = linger;
	if (!linger)
		bgp_speaker_conn_forget(p->sp, conn);
}

static void on_write(void *arg, uint64_t conn)
{
	struct bgp_peer *p = arg;
	struct bgp_conn_ref *c = bgp_speaker_conn(p->sp, conn);

	if (!c || c->write_due)
		return;
	c->write_due = true;
	bgp_speaker_effect(p->sp, BGP_EFFECT_WRITE, p)->conn = conn;
}

static void on_state(void *arg, enum bgp_state from, enum bgp_state to, const char *why)
{
	struct bgp_peer *p = arg;
	struct bgp_effect *e = bgp_speaker_effect(p->sp, BGP_EFFECT_STATE, p);

	e->from = from;
	e->to = to;
	str_copy(e->text, sizeof(e->text), why ? why : "");
}

static void on_log(void *arg, enum bgp_level level, const char *text)
{
	struct bgp_peer *p = arg;

	bgp_speaker_log(p->sp, p, level, "%s", text);
}

static void take_long_lived(struct bgp_peer *p, const struct bgp_negotiated *neg,
			    const struct bgp_caps *caps)
{
	/* RFC 9494 3.2: without the other capability this one is ignored */
	bool both = neg->graceful && neg->long_lived && p->config.long_lived_s;

	p->ll_families = both ? caps->llgr.families : 0;
	p->ll_forwarding = both ? caps->llgr.forwarding : 0;
	memcpy(p->ll_time_s, caps->llgr.time_s, sizeof(p->ll_time_s));
}

static void take_graceful(struct bgp_peer *p, const struct bgp_negotiated *neg,
			  const struct bgp_conn *conn)
{
	const struct bgp_caps *caps = &conn->remote.caps;

	p->gr_restarting = caps->gr.present && caps->gr.restarting;
	p->gr_families = neg->graceful ? caps->gr.families : 0;
	p->gr_forwarding = neg->graceful ? caps->gr.forwarding : 0;
	p->gr_time_s = caps->gr.time_s;
	take_long_lived(p, neg, caps);
}

static void on_up(void *arg)
{
	struct bgp_peer *p = arg;
	struct bgp_speaker *sp = p->sp;
	const struct bgp_negotiated *neg = bgp_session_negotiated(p->session);
	const struct bgp_conn *conn = bgp_session_info(p->session)->conn;
	struct bgp_notification n;

	assert(neg && conn && !p->source);
	p->source = source_make(p, neg, &conn->local);
	if (!p->source) {
		n = bgp_cease(BGP_CEASE_RESOURCES, NULL);
		bgp_session_fail(p->session, &n, "too many sessions are being cleaned up", sp->now);
		return;
	}
	p->end_of_rib = p->refreshing = 0;
	take_graceful(p, neg, conn);
	p->settle_at = p->gr_restarting ? sp->now + BGP_SETTLE_RESTARTING_MS
		       : neg->graceful	? INT64_MAX
					: sp->now + BGP_SETTLE_MS;
	bgp_peer_stale_is_back(p, neg->wire.families);
	p->stale_up_until = sp->now + BGP_STALE_MAX_MS;
	join_groups(p, neg, &conn->local);
	bgp_speaker_check_converged(sp);
}

static void on_down(void *arg, const struct bgp_down *why)
{
	struct bgp_peer *p = arg;

	leave_groups(p);
	bgp_peer_retire(p, why->graceful ? p->gr_families | p->ll_families : 0);
	bgp_speaker_check_converged(p->sp);
}

static void on_update(void *arg, const struct bgp_update *u)
{
	struct bgp_peer *p = arg;

	if (!p->source)
		return;
	if (u->end_of_rib) {
		p->end_of_rib |= 1u << u->end_of_rib_af;
		bgp_peer_drop_stale(p, 1u << u->end_of_rib_af);
		bgp_speaker_check_converged(p->sp);
		return;
	}
	bgp_peer_update(p, u);
}

/* DIFFERS: RFC 7313 4 sets no limit to how often a refresh may begin. Here what comes too often is one
 * without a begin: what it does not repeat stays. */
static bool refreshes_too_often(struct bgp_peer *p)
{
	if (p->sp->now - p->refreshes.since >= BGP_REFRESH_WINDOW_MS) {
		p->refreshes.since = p->sp->now;
		p->refreshes.n = 0;
	}
	return p->refreshes.n++ >= BGP_REFRESHES_MAX;
}

/* RFC 7313 4: it tells this family anew. What it does not repeat by the end is gone. The paths
 * become those of a stale source, as after a restart; new ones take their place one by one. */
static void refresh_begins(struct bgp_peer *p, enum bgp_af af)
{
	struct bgp_source *old = p->source, *new;

	/* after its restart End-of-RIB does the same; one at a time */
	if (p->n_stale || !old->af[af].paths || refreshes_too_often(p))
		return;
	new = source_make(p, bgp_session_negotiated(p->session), &old->local);
	if (!new)
		return;
	new->heir = true;
	for (unsigned i = 0; i < BGP_AF_MAX_; i++) {
		if (i != af)
			bgp_rib_move(&p->sp->rib[i], old, new);
		bgp_rib_source_state(&p->sp->rib[i], old,
				     i == af ? BGP_SOURCE_STALE : BGP_SOURCE_DEAD);
	}
	p->source = new;
	bgp_peer_stale_add(p, old, INT64_MAX);
	p->refreshing |= 1u << af;
	p->stale_up_until = p->sp->now + BGP_STALE_MAX_MS;
}

static void on_refresh(void *arg, enum bgp_af af, uint8_t subtype)
{
	struct bgp_peer *p = arg;
	const struct bgp_negotiated *neg = bgp_session_negotiated(p->session);

	if (!p->source || !neg)
		return;
	switch ((enum bgp_refresh)subtype) {
	case BGP_REFRESH_PLEASE:
		bgp_adjout_refresh(&p->sp->adjout[af], &p->member[af], neg->enhanced_refresh);
		return;
	case BGP_REFRESH_BEGIN:
		refresh_begins(p, af);
		return;
	case BGP_REFRESH_END:
		if (p->refreshing >> af & 1)
			bgp_peer_drop_stale(p, 1u << af);
		p->refreshing &= ~(1u << af);
		return;
	}
}

static size_t on_bulk(void *arg, uint8_t *buf, size_t size)
{
	return bgp_peer_bulk(arg, buf, size);
}

const struct bgp_session_ops bgp_peer_ops = {
	.connect = on_connect,
	.close = on_close,
	.write = on_write,
	.state = on_state,
	.log = on_log,
	.up = on_up,
	.down = on_down,
	.update = on_update,
	.refresh = on_refresh,
	.bulk = on_bulk,
};

unsigned bgp_speaker_send_refresh(struct bgp_speaker *sp, const struct addr *peer, enum bgp_af af,
				  int64_t now_ms)
{
	unsigned asked = 0;

	bgp_speaker_enter(sp, now_ms);
	for (size_t i = 0; i < sp->peers.n; i++) {
		if (addr_eq(&sp->peers.p[i]->config.addr, peer))
			asked += bgp_session_send_refresh(sp->peers.p[i]->session, af, now_ms);
	}
	bgp_speaker_leave(sp);
	return asked;
}

static bool is_on_path(const struct bgp_peer *p, const struct addr *peer, uint32_t ifindex)
{
	return addr_eq(&p->config.addr, peer) &&
	       (!p->config.ifindex || p->config.ifindex == ifindex);
}

unsigned bgp_speaker_bfd_down(struct bgp_speaker *sp, const struct addr *peer, uint32_t ifindex,
			      int64_t now_ms)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_BFD_DOWN, NULL);
	unsigned ended = 0;

	bgp_speaker_enter(sp, now_ms);
	for (size_t i = 0; i < sp->peers.n; i++) {
		struct bgp_peer *p = sp->peers.p[i];

		if (!p->source || !is_on_path(p, peer, ifindex))
			continue;
		bgp_session_fail(p->session, &n, "BFD hears nothing from the peer", now_ms);
		ended++;
	}
	bgp_speaker_leave(sp);
	return ended;
}

void bgp_speaker_bfd_up(struct bgp_speaker *sp, const struct addr *peer, uint32_t ifindex,
			int64_t now_ms)
{
	bgp_speaker_enter(sp, now_ms);
	for (size_t i = 0; i < sp->peers.n; i++) {
		struct bgp_peer *p = sp->peers.p[i];

		if (is_on_path(p, peer, ifindex))
			bgp_session_path_up(p->session, now_ms);
	}
	bgp_speaker_leave(sp);
}
