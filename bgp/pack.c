/* pack.c - UPDATE messages filled with prefixes
 *
 * SHAPE  An attribute block is made once per attribute set and update group; a message is then the
 *        header, the block and as many prefixes as fit.
 *
 *        classic  header | 0 | len | block with NEXT_HOP | prefixes ...
 *        MP       header | 0 | len | MP_REACH_NLRI { next hop, prefixes ... } | block
 *        withdraw header | len | prefixes ... | 0           or MP_UNREACH_NLRI { prefixes ... }
 *
 *        MP attributes come first (RFC 7606 5.1), so the block is appended at the end; room for it
 *        is kept free.
 * SPEC   RFC 4271 4.3; 2545; 4724 2; 4760; 7606 5.1; 8950
 * TESTS  tests/unit/bgp/pack.c */
#include <assert.h>
#include <string.h>

#include "bgp/attr_wire.h"
#include "bgp/update.h"

enum {
	/* Behind the header: two length fields. */
	UPDATE_FIXED = BGP_HEADER_LEN + 4,
	/* flags, type, extended length, AFI, SAFI */
	MP_HEAD = 4 + 3,
	/* length of next hop, next hop and link-local, reserved octet */
	MP_NEXT_HOP_MAX = 1 + 32 + 1,
};

/* ---- attribute blocks ---- */

bool bgp_attr_block_init(struct bgp_attr_block *b, const struct bgp_wire *wire, enum bgp_af af,
			 const struct bgp_attrs *attrs)
{
	bool v4 = bgp_af_info(af)->family == IP_V4;
	size_t fixed = UPDATE_FIXED + BGP_NLRI_LEN_MAX;
	struct wr w;

	assert(attrs->v.next_hop.family != IP_NONE);
	b->af = af;
	b->mp = !v4 || attrs->v.next_hop.family == IP_V6;
	b->next_hop = attrs->v.next_hop;
	b->next_hop_ll = attrs->v.next_hop_ll;
	if (b->mp)
		fixed += MP_HEAD + MP_NEXT_HOP_MAX;
	w = wr_init(b->bytes, (wire->msg_max ? wire->msg_max : BGP_MSG_MAX) - fixed);
	b->next_hop_at = (uint16_t)bgp_attrs_encode(&w, attrs, wire, !b->mp);
	b->len = (uint16_t)wr_len(&w);
	return !w.bad;
}

void bgp_attr_block_set_next_hop(struct bgp_attr_block *b, const struct addr *next_hop,
				 const struct addr *ll)
{
	assert(next_hop->family == b->next_hop.family);
	b->next_hop = *next_hop;
	b->next_hop_ll = ll ? *ll : (struct addr) { 0 };
	if (!b->mp)
		memcpy(b->bytes + b->next_hop_at, next_hop->b, 4);
}

/* ---- messages ---- */

static uint8_t *header_put(uint8_t *p)
{
	memset(p, 0xff, BGP_MARKER_LEN);
	p[18] = BGP_MSG_UPDATE;
	return p + BGP_HEADER_LEN;
}

static uint8_t *mp_head_put(uint8_t *p, uint8_t type, enum bgp_af af)
{
	p[0] = BGP_FLAG_OPTIONAL | BGP_FLAG_EXTENDED;
	p[1] = type;
	put_u16(p + 4, bgp_af_info(af)->afi);
	p[6] = bgp_af_info(af)->safi;
	return p + MP_HEAD;
}

static uint8_t *mp_next_hop_put(uint8_t *p, const struct bgp_attr_block *b)
{
	size_t n = b->next_hop.family == IP_V4 ? 4 : 16;
	bool ll = n == 16 && b->next_hop_ll.family == IP_V6;

	*p++ = (uint8_t)(ll ? 32 : n);
	memcpy(p, b->next_hop.b, n);
	p += n;
	if (ll) {
		memcpy(p, b->next_hop_ll.b, 16);
		p += 16;
	}
	*p++ = 0;
	return p;
}

/* Start with `tail` bytes kept free behind the prefixes; false when not even one would fit. */
static bool begin(struct bgp_pack *p, const struct bgp_wire *wire, enum bgp_af af, void *buf,
		  size_t size, size_t head, size_t tail)
{
	size_t max = wire->msg_max ? wire->msg_max : BGP_MSG_MAX;

	*p = (struct bgp_pack) { .buf = buf,
				 .p = buf,
				 .limit = buf,
				 .af = af,
				 .add_path = wire->add_path_tx >> af & 1 };
	if (size < max)
		max = size;
	if (max < head + tail)
		return false;
	p->p = header_put(buf);
	p->limit = p->buf + max - tail;
	return true;
}

void bgp_pack_announce(struct bgp_pack *p, const struct bgp_wire *wire,
		       const struct bgp_attr_block *block, void *buf, size_t size)
{
	size_t head = UPDATE_FIXED + (block->mp ? MP_HEAD + MP_NEXT_HOP_MAX : block->len);

	if (!begin(p, wire, block->af, buf, size, head, block->mp ? block->len : 0))
		return;
	p->block = block;
	p->mp = block->mp;
	put_u16(p->p, 0);
	p->p += 4;
	if (block->mp) {
		p->p = mp_next_hop_put(mp_head_put(p->p, BGP_ATTR_MP_REACH_NLRI, p->af), block);
	} else {
		put_u16(p->p - 2, block->len);
		memcpy(p->p, block->bytes, block->len);
		p->p += block->len;
	}
}

void bgp_pack_withdraw(struct bgp_pack *p, const struct bgp_wire *wire, enum bgp_af af, void *buf,
		       size_t size)
{
	/* RFC 8950: what may be announced by MP_REACH_NLRI goes by MP_UNREACH_NLRI. */
	bool mp = bgp_af_info(af)->family != IP_V4 || wire->ext_next_hop >> af & 1;

	/* Classic: the prefixes stand before the attributes' length. */
	if (!begin(p, wire, af, buf, size, UPDATE_FIXED + (mp ? MP_HEAD : 0), mp ? 0 : 2))
		return;
	p->mp = mp;
	put_u16(p->p, 0);
	p->p += 2;
	if (mp)
		p->p = mp_head_put(p->p + 2, BGP_ATTR_MP_UNREACH_NLRI, af);
}

bool bgp_pack_add(struct bgp_pack *p, const struct prefix *prefix, uint32_t path_id)
{
	assert(prefix->addr.family == bgp_af_info(p->af)->family);
	if ((size_t)(p->limit - p->p) < bgp_nlri_size(prefix, p->add_path))
		return false;
	p->p += bgp_nlri_put(p->p, prefix, p->add_path, path_id);
	p->count++;
	return true;
}

/* Set the lengths of the MP attribute, which began behind the two length fields, and of all. */
static void mp_end(struct bgp_pack *p)
{
	uint8_t *attrs = p->buf + UPDATE_FIXED;

	put_u16(attrs + 2, (uint16_t)(p->p - attrs - 4));
	if (p->block) {
		memcpy(p->p, p->block->bytes, p->block->len);
		p->p += p->block->len;
	}
	put_u16(attrs - 2, (uint16_t)(p->p - attrs));
}

static size_t finish(struct bgp_pack *p)
{
	size_t len;

	if (p->mp) {
		mp_end(p);
	} else if (!p->block) {
		uint8_t *withdrawn = p->buf + BGP_HEADER_LEN + 2;

		put_u16(withdrawn - 2, (uint16_t)(p->p - withdrawn));
		put_u16(p->p, 0);
		p->p += 2;
	}
	len = (size_t)(p->p - p->buf);
	put_u16(p->buf + BGP_MARKER_LEN, (uint16_t)len);
	return len;
}

size_t bgp_pack_end(struct bgp_pack *p)
{
	return p->count ? finish(p) : 0;
}

size_t bgp_pack_end_of_rib(enum bgp_af af, void *buf, size_t size)
{
	const struct bgp_wire wire = { .msg_max = BGP_MSG_MAX };
	struct bgp_pack p;

	bgp_pack_withdraw(&p, &wire, af, buf, size);
	/* RFC 4724 2: no prefix, that is the message. */
	return p.limit > p.buf ? finish(&p) : 0;
}
