/* speaker_output.c - UPDATEs made on the spot for a socket that can be written */
#include "bgp/speaker_int.h"

#include <string.h>

/* Messages being made: all of buf was reckoned to suffice. */
struct out {
	struct bgp_peer *peer;
	const struct bgp_wire *wire;
	enum bgp_af af;
	uint8_t *buf;
	size_t len, size;
};

static bool add(const struct out *o, struct bgp_pack *pack, uint32_t route)
{
	const struct bgp_rib *rib = &o->peer->sp->rib[o->af];
	uint32_t path_id, net = bgp_adjout_net(&o->peer->member[o->af], route, &path_id);
	struct prefix p = bgp_net_prefix(rib, bgp_rib_net(rib, net));

	return bgp_pack_add(pack, &p, path_id);
}

static void withdraw_some(struct out *o, const uint32_t *routes, unsigned n)
{
	unsigned done = 0;

	while (done < n) {
		struct bgp_pack pack;
		unsigned before = done;

		bgp_pack_withdraw(&pack, o->wire, o->af, o->buf + o->len, o->size - o->len);
		while (done < n && add(o, &pack, routes[done]))
			done++;
		o->len += bgp_pack_end(&pack);
		if (done == before)
			return; /* no room, which the reckoning rules out */
	}
}

/* Attributes that fit into no message: the peer cannot have these routes, nor keep older ones. */
static void give_up(struct out *o, const struct bgp_batch *b, const struct bgp_batch_set *set)
{
	struct bgp_peer *p = o->peer;
	unsigned n = 0;

	for (uint32_t i = set->first; i != UINT32_MAX; i = b->item[i].next) {
		uint32_t route = b->item[i].route;

		bgp_adjout_unsent(&p->member[o->af], route);
		withdraw_some(o, &route, 1);
		n++;
	}
	bgp_speaker_log(p->sp, p, BGP_LEVEL_WARN,
			"%u routes not announced: their attributes do not fit into a message", n);
}

static void announce_set(struct out *o, const struct bgp_batch *b, const struct bgp_batch_set *set)
{
	struct bgp_attr_block *block = o->peer->sp->block;
	uint32_t i = set->first;

	if (!bgp_attr_block_init(block, o->wire, o->af, set->attrs)) {
		give_up(o, b, set);
		return;
	}
	while (i != UINT32_MAX) {
		struct bgp_pack pack;
		uint32_t before = i;

		bgp_pack_announce(&pack, o->wire, block, o->buf + o->len, o->size - o->len);
		while (i != UINT32_MAX && add(o, &pack, b->item[i].route))
			i = b->item[i].next;
		o->len += bgp_pack_end(&pack);
		if (i == before)
			return;
	}
}

/* RFC 7313 3.2: the begin or the end of what a refresh repeats. */
static void write_refresh(struct out *o, enum bgp_refresh subtype)
{
	struct wr w = wr_init(o->buf + o->len, o->size - o->len);

	bgp_msg_refresh(&w, o->af, (uint8_t)subtype);
	o->len += wr_len(&w);
}

static void write_batch(struct out *o, const struct bgp_batch *b)
{
	if (b->begin_of_refresh)
		write_refresh(o, BGP_REFRESH_BEGIN);
	withdraw_some(o, b->withdrawn, b->n_withdrawn);
	for (unsigned i = 0; i < b->n_sets; i++)
		announce_set(o, b, &b->set[i]);
	if (b->end_of_rib)
		o->len += bgp_pack_end_of_rib(o->af, o->buf + o->len, o->size - o->len);
	if (b->end_of_refresh)
		write_refresh(o, BGP_REFRESH_END);
}

/* An End-of-RIB says "that was all". While decisions wait, or after our own restart peers have not
 * yet told us what we tell others, it is not. */
bool bgp_speaker_holds_end_of_rib(const struct bgp_speaker *sp, enum bgp_af af)
{
	return sp->rib[af].dirty_count > 0 || !sp->converged;
}

static void write_family(struct out *o, enum bgp_af af)
{
	struct bgp_peer *p = o->peer;
	struct bgp_speaker *sp = p->sp;

	o->af = af;
	sp->adjout[af].hold_end_of_rib = bgp_speaker_holds_end_of_rib(sp, af);
	while (bgp_adjout_pull(&sp->adjout[af], &p->member[af], sp->batch, o->size - o->len,
			       o->wire->msg_max)) {
		write_batch(o, sp->batch);
		bgp_adjout_taken(&sp->adjout[af], &p->member[af], sp->batch);
	}
}

size_t bgp_peer_bulk(struct bgp_peer *p, uint8_t *buf, size_t size)
{
	const struct bgp_negotiated *neg = bgp_session_negotiated(p->session);
	struct out o = { .peer = p, .buf = buf, .size = size };

	if (!neg || !p->source)
		return 0;
	o.wire = &neg->wire;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (p->member[af].group)
			write_family(&o, (enum bgp_af)af);
	}
	return o.len;
}
