/* speaker_stale.c - what a lost peer leaves behind, and for how long
 *
 * SHAPE  Each session that ended gracefully leaves a source with paths, and a deadline in each
 *        family:
 *
 *		Established --lost--> stale --restart time is over--> long-lived --its time is over--> gone
 *				       \__________ back, End-of-RIB _______/___________________________/
 *
 *        Without a time of RFC 9494 for the family, stale paths go when the restart time is over.
 *        To be long-lived is one bit of the source: decision and export look at it, so that nothing
 *        has to be walked but the nets that are decided again.
 * SPEC   RFC 4724 4.2; 9494 4.2, 4.3, 4.7
 * TESTS  tests/unit/bgp/long_lived.c, speaker.c, tests/netns/test_restart.py */
#include <string.h>

#include "bgp/speaker_int.h"

/* This session's, or an earlier one's, paths are to go, in the given families. */
static void source_kill(struct bgp_speaker *sp, struct bgp_source *src, uint32_t families)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (families >> af & 1)
			bgp_rib_source_state(&sp->rib[af], src, BGP_SOURCE_DEAD);
	}
}

static bool source_is_dead(const struct bgp_source *src)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (src->af[af].state != BGP_SOURCE_DEAD)
			return false;
	}
	return true;
}

/* Entry i of the stale ones: its paths in these families are to go. True: so does the entry. */
static bool stale_drop(struct bgp_peer *p, unsigned i, uint32_t families)
{
	struct bgp_source *src = p->stale[i].src;

	source_kill(p->sp, src, families);
	if (!source_is_dead(src))
		return false;
	vec_push(&p->sp->dying, src);
	p->n_stale--;
	memmove(&p->stale[i], &p->stale[i + 1], (p->n_stale - i) * sizeof(p->stale[0]));
	return true;
}

void bgp_peer_drop_stale(struct bgp_peer *p, uint32_t families)
{
	for (unsigned i = 0; i < p->n_stale;)
		i += !stale_drop(p, i, families);
}

/* RFC 4724 4.2, 9494 4.2: what it did not keep forwarding for goes at once, the rest at
 * End-of-RIB. */
void bgp_peer_stale_is_back(struct bgp_peer *p, uint32_t families)
{
	uint32_t kept = p->gr_families & p->gr_forwarding & families,
		 ll_kept = p->ll_families & p->ll_forwarding & families;

	for (unsigned i = 0; i < p->n_stale;) {
		uint32_t drop = 0;

		for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
			bool ll = p->stale[i].src->af[af].long_lived;

			drop |= ~(ll ? ll_kept : kept) & 1u << af;
		}
		i += !stale_drop(p, i, drop);
	}
}

/* RFC 9494 4.2: from now on everybody shall see that they are old, and prefer anything else. */
static void begin_long_lived(struct bgp_peer *p, struct bgp_stale *s, enum bgp_af af)
{
	s->src->af[af].long_lived = true;
	s->until[af] += (int64_t)p->ll_time_s[af] * 1000;
	bgp_speaker_redo(p->sp);
	bgp_speaker_log(p->sp, p, BGP_LEVEL_WARN,
			"did not come back in time: its %u %s routes are kept as a last resort for "
			"up to %u s (LLGR)",
			s->src->af[af].paths, bgp_af_info(af)->name, p->ll_time_s[af]);
}

static int64_t deadline(const struct bgp_peer *p, const struct bgp_stale *s, unsigned af)
{
	if (s->src->af[af].state != BGP_SOURCE_STALE)
		return INT64_MAX;
	/* the longer time goes on until End-of-RIB; the shorter one was for its coming back */
	return p->source && !s->src->af[af].long_lived ? p->stale_up_until : s->until[af];
}

/* Which families of an entry have been kept long enough. */
static uint32_t expired(struct bgp_peer *p, struct bgp_stale *s, int64_t now_ms)
{
	uint32_t drop = 0;

	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		bool longer = !p->source && !s->src->af[af].long_lived &&
			      p->ll_families >> af & 1 && p->ll_time_s[af];

		if (now_ms >= deadline(p, s, af) && longer)
			begin_long_lived(p, s, (enum bgp_af)af);
		if (now_ms >= deadline(p, s, af))
			drop |= 1u << af;
	}
	return drop;
}

void bgp_peer_expire_stale(struct bgp_peer *p, int64_t now_ms)
{
	for (unsigned i = 0; i < p->n_stale;) {
		uint32_t drop = expired(p, &p->stale[i], now_ms);

		i += !drop || !stale_drop(p, i, drop);
	}
}

int64_t bgp_peer_stale_until(const struct bgp_peer *p)
{
	int64_t at = INT64_MAX;

	for (unsigned i = 0; i < p->n_stale; i++) {
		for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
			int64_t until = deadline(p, &p->stale[i], af);

			at = until < at ? until : at;
		}
	}
	return at;
}

void bgp_peer_stale_add(struct bgp_peer *p, struct bgp_source *src, int64_t until)
{
	struct bgp_stale *s = &p->stale[p->n_stale++];

	s->src = src;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		s->until[af] = until;
}

/* What it was telling anew when it was lost (RFC 7313) had no deadline of its own. */
static void refreshed_in_vain(struct bgp_peer *p, int64_t until)
{
	for (unsigned i = 0; i < p->n_stale; i++) {
		for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
			if (p->stale[i].until[af] == INT64_MAX)
				p->stale[i].until[af] = until;
		}
	}
}

/* What stale sources keep counts as the peer's: who comes back each time with other prefixes shall not
 * have a limit for each of its sessions. The oldest go. */
static void keep_to_limit(struct bgp_peer *p, enum bgp_af af)
{
	uint64_t kept = 0;

	for (unsigned i = p->n_stale; i-- > 0;) {
		const struct bgp_source *src = p->stale[i].src;

		if (src->af[af].state != BGP_SOURCE_STALE)
			continue;
		kept += src->af[af].paths;
		if (kept > bgp_peer_prefix_limit(p))
			stale_drop(p, i, 1u << af);
	}
}

/* DIFFERS: RFC 4724 4.2 drops what was stale already when the session is lost again. Then a peer that
 * dies twice, the second time before it has told its routes, punches a hole into forwarding that it
 * still does. Here older ones keep the time that they got when they became stale. */
void bgp_peer_retire(struct bgp_peer *p, uint32_t keep)
{
	struct bgp_source *src = TAKE(p->source);
	int64_t until = p->sp->now + (int64_t)p->gr_time_s * 1000;

	bgp_peer_drop_stale(p, ~keep);
	if (!src)
		return;
	refreshed_in_vain(p, until);
	if (p->n_stale == BGP_STALE_SOURCES_MAX)
		stale_drop(p, 0, UINT32_MAX);
	bgp_peer_stale_add(p, src, until);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		bool stale = keep >> af & 1 && src->af[af].paths;

		bgp_rib_source_state(&p->sp->rib[af], src,
				     stale ? BGP_SOURCE_STALE : BGP_SOURCE_DEAD);
		/* RFC 9494 4.2: only in the capability for the long time: the short one is none */
		if (!(p->gr_families >> af & 1))
			p->stale[p->n_stale - 1].until[af] = p->sp->now;
	}
	stale_drop(p, p->n_stale - 1, 0); /* when nothing is kept */
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		keep_to_limit(p, (enum bgp_af)af);
}
