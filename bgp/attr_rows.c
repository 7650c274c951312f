/* attr_rows.c - the table of path attributes, with a function to read and to write each value
 *
 * SHAPE  decode sees a value of a valid length and says in words what is wrong with it; encode
 *        writes the value only. An attribute that is a list kept as it came has neither: its part
 *        says it all.
 * SPEC   RFC 4271 5, 6.3; 4456 8; 4760 3, 4; 6793; 7606 7; 7607; 8092; 8950; 9774
 * TESTS  tests/unit/bgp/update.c */
#include "bgp/attr_rows.h"

#include <string.h>

#include "bgp/attr_table.h"
#include "bgp/notify.h"

uint32_t bgp_u32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- decode: one function per attribute that is more than a list ---- */

static const char *origin_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	if (v[0] > BGP_ORIGIN_INCOMPLETE)
		return "value must be 0 to 2";
	p->out->draft.v.origin = v[0];
	return NULL;
}

static const char *as_path_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	const char *why = bgp_path_check(v, n, p->wire->as4 ? 4 : 2, &p->path);
	struct bgp_attrs_draft *d = &p->out->draft;

	if (why)
		return why;
	if (p->path.has_as0)
		return "AS 0 stands in it"; /* RFC 7607 2 */
	/* RFC 5065 5.3: no confederation is configured here, so an external peer is outside. */
	if (p->wire->ebgp && p->path.has_confed)
		return "confederation segments from an external peer";
	if (p->wire->refuse_as_sets && p->path.has_set)
		return "AS_SET, which RFC 9774 has withdrawn";
	if (!p->wire->as4) {
		n = bgp_path_widen(v, n, p->t->scratch.path);
		v = p->t->scratch.path;
		if (!n && p->path.len)
			return "longer than this speaker keeps";
	} else if (n > BGP_PATH_MAX) {
		return "longer than this speaker keeps";
	}
	d->part[BGP_PART_AS_PATH].p = v;
	d->part[BGP_PART_AS_PATH].len = (uint16_t)n;
	return NULL;
}

bool bgp_is_host(const struct addr *a)
{
	return !addr_is_zero(a) && !addr_is_multicast(a) && !addr_is_loopback(a) &&
	       !(a->family == IP_V4 && a->b[0] >= 240);
}

static const char *next_hop_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	p->out->draft.v.next_hop = addr_from_bytes(v, n);
	return NULL;
}

static const char *med_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	p->out->draft.v.med = bgp_u32_at(v);
	return NULL;
}

static const char *local_pref_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	p->out->draft.v.local_pref = bgp_u32_at(v);
	return NULL;
}

static const char *atomic_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	return n ? "length must be 0" : NULL;
}

static const char *aggregator_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	unsigned as_size = p->wire->as4 ? 4 : 2;
	asn_t as;

	if (n != as_size + 4)
		return as_size == 4 ? "length must be 8" : "length must be 6";
	as = as_size == 4 ? bgp_u32_at(v) : (asn_t)(v[0] << 8 | v[1]);
	if (!as)
		return "AS 0 stands in it"; /* RFC 7607 2 */
	p->out->draft.v.aggregator_as = as;
	p->out->draft.v.aggregator_id = bgp_u32_at(v + as_size);
	return NULL;
}

static const char *originator_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	p->out->draft.v.originator_id = bgp_u32_at(v);
	return NULL;
}

static const char *as4_path_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	struct bgp_path_facts facts;
	const char *why = bgp_path_check(v, n, 4, &facts);

	if (why)
		return why;
	if (facts.has_as0)
		return "AS 0 stands in it";
	p->as4_path = v;
	p->as4_path_len = (uint16_t)n;
	return NULL;
}

static const char *as4_aggregator_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	if (!bgp_u32_at(v))
		return "AS 0 stands in it";
	p->as4_aggregator = true;
	p->as4_aggregator_as = bgp_u32_at(v);
	p->as4_aggregator_id = bgp_u32_at(v + 4);
	return NULL;
}

/* RFC 8092 3: the receiver removes duplicates. The order stays. */
static const char *large_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	uint8_t *out = p->t->scratch.large;
	size_t kept = 0;

	for (size_t at = 0; at < n; at += 12) {
		size_t i = 0;

		while (i < kept && memcmp(out + i, v + at, 12) != 0)
			i += 12;
		if (i < kept)
			continue;
		memcpy(out + kept, v + at, 12);
		kept += 12;
	}
	p->out->draft.part[BGP_PART_LARGE_COMMUNITIES].p = kept == n ? v : out;
	p->out->draft.part[BGP_PART_LARGE_COMMUNITIES].len = (uint16_t)kept;
	return NULL;
}

/* The family of an MP attribute if it is in use here, else BGP_AF_MAX_ and a finding. */
static enum bgp_af mp_family(struct bgp_attr_parse *p, const char *name, uint16_t afi, uint8_t safi)
{
	enum bgp_af af = bgp_af_find(afi, safi);

	if (af != BGP_AF_MAX_ && p->wire->families >> af & 1)
		return af;
	bgp_finding_add(&p->out->found, BGP_ATTR_DISCARD, 0, p->attr, p->attr_len,
			"%s of AFI %u SAFI %u, which was not negotiated: ignored", name, afi, safi);
	return BGP_AF_MAX_;
}

static bool next_hop_len_ok(const struct bgp_wire *wire, enum bgp_af af, size_t n)
{
	if (bgp_af_info(af)->family == IP_V4 && !(wire->ext_next_hop >> af & 1))
		return n == 4;
	return n == 16 || n == 32 || (n == 4 && bgp_af_info(af)->family == IP_V4);
}

/* RFC 2545 3: 16 bytes global (or, unnumbered, link-local), or 32: global and link-local. */
static void mp_next_hop(struct bgp_attr_parse *p, struct bgp_mp *mp, const uint8_t *v, size_t n)
{
	mp->next_hop = addr_from_bytes(v, n == 32 ? 16 : n);
	mp->next_hop_ll = (struct addr) { 0 };
	if (n == 32) {
		struct addr second = addr_from_bytes(v + 16, 16);

		if (!addr_is_link_local(&second))
			second = (struct addr) { 0 };
		/* Some speakers on unnumbered links have no global one to send. */
		if (second.family &&
		    (addr_is_zero(&mp->next_hop) || addr_is_link_local(&mp->next_hop)))
			mp->next_hop = second;
		else
			mp->next_hop_ll = second;
	}
	if (!bgp_is_host(&mp->next_hop))
		bgp_finding_add(&p->out->found, BGP_TREAT_AS_WITHDRAW, BGP_UPDATE_BAD_OPTIONAL,
				p->attr, p->attr_len,
				"MP_REACH_NLRI: next hop is not the address of a host");
}

static const char *mp_reach_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	struct bgp_mp *mp = &p->out->reach;
	size_t nh_len;
	enum bgp_af af;

	if (n < 5)
		return "shorter than 5 bytes";
	nh_len = v[3];
	if (n < 5 + nh_len)
		return "the next hop goes over the end of the attribute";
	af = mp_family(p, "MP_REACH_NLRI", (uint16_t)(v[0] << 8 | v[1]), v[2]);
	if (af == BGP_AF_MAX_)
		return NULL;
	if (!next_hop_len_ok(p->wire, af, nh_len))
		return "the next hop's length does not fit the family";
	*mp = (struct bgp_mp) { .there = true,
				.af = af,
				.attr = p->attr,
				.attr_len = p->attr_len,
				/* The octet behind the next hop is reserved and ignored. */
				.nlri = v + 5 + nh_len,
				.nlri_len = n - 5 - nh_len };
	mp_next_hop(p, mp, v + 4, nh_len);
	return NULL;
}

static const char *mp_unreach_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	enum bgp_af af;

	if (n < 3)
		return "shorter than 3 bytes";
	af = mp_family(p, "MP_UNREACH_NLRI", (uint16_t)(v[0] << 8 | v[1]), v[2]);
	if (af != BGP_AF_MAX_)
		p->out->unreach = (struct bgp_mp) {
			.there = true,
			.af = af,
			.attr = p->attr,
			.attr_len = p->attr_len,
			.nlri = v + 3,
			.nlri_len = n - 3,
		};
	return NULL;
}

/* RFC 9234 5: it comes from anybody, whatever the role. */
static const char *otc_decode(struct bgp_attr_parse *p, const uint8_t *v, size_t n)
{
	(void)n;
	p->out->draft.v.otc = bgp_u32_at(v);
	return NULL;
}

/* ---- encode: the value only ---- */

static void origin_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	wr_u8(w, a->v.origin);
}

static void as_path_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	size_t len = a->len[BGP_PART_AS_PATH], narrow;

	if (wire->as4) {
		wr_bytes(w, a->bytes, len);
	} else if (len <= wr_left(w)) {
		bgp_path_narrow(a->bytes, len, w->p, &narrow);
		wr_skip(w, narrow);
	} else {
		w->bad = true;
	}
}

static void next_hop_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	wr_bytes(w, a->v.next_hop.b, 4);
}

static void med_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	wr_u32(w, a->v.med);
}

static void local_pref_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	wr_u32(w, a->v.local_pref);
}

static void otc_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	(void)wire;
	wr_u32(w, a->v.otc);
}

static void atomic_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
}

static void aggregator_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	asn_t as = a->v.aggregator_as;

	if (wire->as4)
		wr_u32(w, as);
	else
		wr_u16(w, as > 0xffff ? BGP_AS_TRANS : (uint16_t)as);
	wr_u32(w, a->v.aggregator_id);
}

static void originator_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	wr_u32(w, a->v.originator_id);
}

static void as4_path_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	struct rd r = bgp_attrs_part(a, BGP_PART_AS_PATH);

	while (rd_left(&r)) {
		uint8_t type = rd_u8(&r), count = rd_u8(&r);
		const uint8_t *as = rd_bytes(&r, count * 4u);

		/* RFC 6793 3: no confederation segments in AS4_PATH. */
		if (type != BGP_SEGMENT_SET && type != BGP_SEGMENT_SEQUENCE)
			continue;
		wr_u8(w, type);
		wr_u8(w, count);
		wr_bytes(w, as, count * 4u);
	}
}

static void as4_aggregator_encode(struct wr *w, const struct bgp_attrs *a,
				  const struct bgp_wire *wire)
{
	wr_u32(w, a->v.aggregator_as);
	wr_u32(w, a->v.aggregator_id);
}

/* ---- the table ---- */

#define OPT  BGP_FLAG_OPTIONAL
#define TRAN BGP_FLAG_TRANSITIVE
#define TAW  BGP_TREAT_AS_WITHDRAW

static const struct bgp_attr_row rows[] = {
	[BGP_ATTR_ORIGIN] = { "ORIGIN", TRAN, .len = 1, .subcode = BGP_UPDATE_BAD_ORIGIN,
			      .on_error = TAW, .decode = origin_decode, .encode = origin_encode },
	[BGP_ATTR_AS_PATH] = { "AS_PATH", TRAN, .unit = 1, .may_be_empty = true,
			       .subcode = BGP_UPDATE_BAD_AS_PATH, .on_error = TAW,
			       .decode = as_path_decode, .encode = as_path_encode },
	[BGP_ATTR_NEXT_HOP] = { "NEXT_HOP", TRAN, .len = 4, .subcode = BGP_UPDATE_BAD_NEXT_HOP,
				.on_error = TAW, .decode = next_hop_decode,
				.encode = next_hop_encode },
	[BGP_ATTR_MED] = { "MULTI_EXIT_DISC", OPT, .len = 4, .subcode = BGP_UPDATE_BAD_OPTIONAL,
			   .on_error = TAW, .decode = med_decode, .encode = med_encode },
	[BGP_ATTR_LOCAL_PREF] = { "LOCAL_PREF", TRAN, .len = 4, .ibgp_only = true, .on_error = TAW,
				  .decode = local_pref_decode, .encode = local_pref_encode },
	[BGP_ATTR_ATOMIC_AGGREGATE] = { "ATOMIC_AGGREGATE", TRAN, .unit = 1, .may_be_empty = true,
					.subcode = BGP_UPDATE_BAD_ATTR_LENGTH,
					.on_error = BGP_ATTR_DISCARD, .decode = atomic_decode,
					.encode = atomic_encode },
	[BGP_ATTR_AGGREGATOR] = { "AGGREGATOR", OPT | TRAN, .unit = 1,
				  .subcode = BGP_UPDATE_BAD_OPTIONAL, .on_error = BGP_ATTR_DISCARD,
				  .decode = aggregator_decode, .encode = aggregator_encode },
	[BGP_ATTR_COMMUNITIES] = { "COMMUNITIES", OPT | TRAN, .unit = 4, .on_error = TAW,
				   .part = BGP_PART_COMMUNITIES },
	[BGP_ATTR_ORIGINATOR_ID] = { "ORIGINATOR_ID", OPT, .len = 4, .ibgp_only = true,
				     .on_error = TAW, .decode = originator_decode,
				     .encode = originator_encode },
	[BGP_ATTR_CLUSTER_LIST] = { "CLUSTER_LIST", OPT, .unit = 4, .ibgp_only = true,
				    .on_error = TAW, .part = BGP_PART_CLUSTER_LIST },
	[BGP_ATTR_MP_REACH_NLRI] = { "MP_REACH_NLRI", OPT, .unit = 1,
				     .subcode = BGP_UPDATE_BAD_OPTIONAL,
				     .on_error = BGP_SESSION_RESET, .decode = mp_reach_decode },
	[BGP_ATTR_MP_UNREACH_NLRI] = { "MP_UNREACH_NLRI", OPT, .unit = 1,
				       .subcode = BGP_UPDATE_BAD_OPTIONAL,
				       .on_error = BGP_SESSION_RESET, .decode = mp_unreach_decode },
	[BGP_ATTR_EXT_COMMUNITIES] = { "EXTENDED COMMUNITIES", OPT | TRAN, .unit = 8,
				       .on_error = TAW, .part = BGP_PART_EXT_COMMUNITIES },
	[BGP_ATTR_AS4_PATH] = { "AS4_PATH", OPT | TRAN, .unit = 1,
				.subcode = BGP_UPDATE_BAD_OPTIONAL, .on_error = BGP_ATTR_DISCARD,
				.decode = as4_path_decode, .encode = as4_path_encode },
	[BGP_ATTR_AS4_AGGREGATOR] = { "AS4_AGGREGATOR", OPT | TRAN, .len = 8,
				      .subcode = BGP_UPDATE_BAD_OPTIONAL,
				      .on_error = BGP_ATTR_DISCARD, .decode = as4_aggregator_decode,
				      .encode = as4_aggregator_encode },
	[BGP_ATTR_LARGE_COMMUNITIES] = { "LARGE_COMMUNITY", OPT | TRAN, .unit = 12, .on_error = TAW,
					 .part = BGP_PART_LARGE_COMMUNITIES,
					 .decode = large_decode },
	[BGP_ATTR_OTC] = { "OTC", OPT | TRAN, .len = 4, .on_error = TAW, .decode = otc_decode,
			   .encode = otc_encode },
};

#undef OPT
#undef TRAN
#undef TAW

_Static_assert(ARRAY_SIZE(rows) <= 64, "struct bgp_attr_values.present has a bit for each");

const struct bgp_attr_row *bgp_attr_row(uint8_t type)
{
	return type < ARRAY_SIZE(rows) && rows[type].name ? &rows[type] : NULL;
}

const char *bgp_attr_name(uint8_t type)
{
	const struct bgp_attr_row *row = bgp_attr_row(type);

	return row ? row->name : NULL;
}
