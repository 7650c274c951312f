/* attr_wire.c - path attributes from and to the bytes of an UPDATE
 *
 * SHAPE  bgp_attrs_decode walks the attributes once. What is common (flags, length, repetition,
 *        who may send it) is checked from the row; row->decode sees only a value of a valid length.
 *        Each error becomes a finding; the hardest one is the verdict. Nothing is allocated: parts
 *        borrow from the message, or from the table's scratch space when they had to be rewritten.
 * ERRORS RFC 7606: per row; treat-as-withdraw where that says nothing else.
 * SPEC   RFC 4271 5, 6.3; 4456 8; 4760 3; 6793 4.2.3, 6; 7606 3, 4, 7; 7607; 8092
 * TESTS  tests/unit/bgp/update.c */
#include "bgp/attr_wire.h"

#include <stdio.h>
#include <string.h>

#include "bgp/attr_rows.h"
#include "bgp/attr_table.h"
#include "bgp/notify.h"

void bgp_finding_add(struct bgp_finding *f, enum bgp_verdict verdict, uint8_t subcode,
		     const uint8_t *data, size_t len, const char *fmt, ...)
{
	va_list ap;
	size_t at;

	if (verdict <= f->verdict)
		return;
	f->verdict = verdict;
	f->subcode = subcode;
	f->data = data;
	f->len = len;
	va_start(ap, fmt);
	vsnprintf(f->text, BGP_TEXT_MAX, fmt, ap);
	va_end(ap);
	if (!len)
		return;
	at = strlen(f->text);
	snprintf(f->text + at, BGP_TEXT_MAX - at, " (bytes ");
	bgp_quote_hex(f->text, BGP_TEXT_MAX - 1, data, len);
	at = strlen(f->text);
	snprintf(f->text + at, BGP_TEXT_MAX - at, ")");
}

/* ---- decode: what is common ---- */

static void complain(struct bgp_attr_parse *p, const struct bgp_attr_row *row,
		     enum bgp_verdict verdict, uint8_t subcode, const char *why)
{
	bgp_finding_add(&p->out->found, verdict, subcode, p->attr, p->attr_len, "%s: %s", row->name,
			why);
}

/* RFC 7606 3 g: twice an MP attribute ends the session, of all others the first counts. */
static bool is_repeated(struct bgp_attr_parse *p, uint8_t type)
{
	bool mp = type == BGP_ATTR_MP_REACH_NLRI || type == BGP_ATTR_MP_UNREACH_NLRI;
	const char *known = bgp_attr_name(type);
	char name[32];

	if (!(p->seen[type / 64] >> type % 64 & 1)) {
		p->seen[type / 64] |= 1ull << type % 64;
		return false;
	}
	snprintf(name, sizeof(name), "attribute %u", type);
	if (mp)
		bgp_finding_add(&p->out->found, BGP_SESSION_RESET, BGP_UPDATE_MALFORMED, NULL, 0,
				"%s stands twice in one UPDATE", known);
	else
		bgp_finding_add(&p->out->found, BGP_ATTR_DISCARD, 0, p->attr, p->attr_len,
				"%s stands twice in one UPDATE: the first one counts",
				known ? known : name);
	return true;
}

/* From a peer that should not send it: RFC 7606 7.5, 7.9, 7.10; RFC 6793 4.1 */
static bool is_ignored(struct bgp_attr_parse *p, const struct bgp_attr_row *row, uint8_t type)
{
	if (row->ibgp_only && p->wire->ebgp) {
		complain(p, row, BGP_ATTR_DISCARD, 0, "from an eBGP peer: ignored");
		return true;
	}
	return (type == BGP_ATTR_AS4_PATH || type == BGP_ATTR_AS4_AGGREGATOR) && p->wire->as4;
}

static bool length_ok(struct bgp_attr_parse *p, const struct bgp_attr_row *row, size_t n)
{
	char why[64];

	if (row->len ? n == row->len : n % row->unit == 0 && (n || row->may_be_empty))
		return true;
	if (row->len)
		snprintf(why, sizeof(why), "length %zu, must be %u", n, row->len);
	else
		snprintf(why, sizeof(why), "length %zu, must be a multiple of %u, not 0", n,
			 row->unit);
	/* RFC 4760 7: whatever is wrong with MP_*, it is an Optional Attribute Error. */
	complain(p, row, row->on_error,
		 row->on_error == BGP_SESSION_RESET ? row->subcode : BGP_UPDATE_BAD_ATTR_LENGTH,
		 why);
	return false;
}

static void decode_known(struct bgp_attr_parse *p, const struct bgp_attr_row *row, uint8_t flags,
			 uint8_t type, const uint8_t *v, size_t n)
{
	struct bgp_attrs_draft *d = &p->out->draft;
	const char *why = NULL;
	char text[64];

	if (is_ignored(p, row, type))
		return;
	/* RFC 7606 3 c: wrong flags are an error of this attribute; its value is still read, since
	 * prefixes may be in it. */
	if ((flags ^ row->flags) & (BGP_FLAG_OPTIONAL | BGP_FLAG_TRANSITIVE)) {
		snprintf(text, sizeof(text), "flags %02x, must be %02x", flags & 0xc0, row->flags);
		complain(p, row, BGP_TREAT_AS_WITHDRAW, BGP_UPDATE_BAD_FLAGS, text);
	}
	if (!length_ok(p, row, n))
		return;
	if (row->decode) {
		why = row->decode(p, v, n);
	} else {
		d->part[row->part].p = v;
		d->part[row->part].len = (uint16_t)n;
	}
	if (why)
		complain(p, row, row->on_error, row->subcode, why);
	else
		d->v.present |= 1ull << type;
}

/* Keep a foreign attribute for others: Partial set, ascending by type. */
static void keep_unknown(struct bgp_attr_parse *p, uint8_t flags, uint8_t type, const uint8_t *v,
			 size_t n)
{
	struct bgp_attrs_draft *d = &p->out->draft;
	uint8_t *buf = p->t->scratch.unknown;
	size_t len = d->part[BGP_PART_UNKNOWN].len, at = 0, head = n > 255 ? 4 : 3;

	while (at < len && buf[at + 1] < type)
		at += buf[at] & BGP_FLAG_EXTENDED ? 4u + (size_t)(buf[at + 2] << 8 | buf[at + 3])
						  : 3u + buf[at + 2];
	memmove(buf + at + head + n, buf + at, len - at);
	buf[at] = BGP_FLAG_OPTIONAL | BGP_FLAG_TRANSITIVE | BGP_FLAG_PARTIAL;
	buf[at + 1] = type;
	if (n > 255) {
		buf[at] |= BGP_FLAG_EXTENDED;
		put_u16(buf + at + 2, (uint16_t)n);
	} else {
		buf[at + 2] = (uint8_t)n;
	}
	if (n)
		memcpy(buf + at + head, v, n);
	d->part[BGP_PART_UNKNOWN].p = buf;
	d->part[BGP_PART_UNKNOWN].len = (uint16_t)(len + head + n);
}

static void decode_unknown(struct bgp_attr_parse *p, uint8_t flags, uint8_t type, const uint8_t *v,
			   size_t n)
{
	/* RFC 4271 6.3, 9: an unknown one that is not optional is an error that stays hard. */
	if (!(flags & BGP_FLAG_OPTIONAL))
		bgp_finding_add(&p->out->found, BGP_SESSION_RESET, BGP_UPDATE_UNKNOWN_WELL_KNOWN,
				p->attr, p->attr_len,
				"attribute %u claims to be well-known, but is not known", type);
	else if (flags & BGP_FLAG_TRANSITIVE)
		keep_unknown(p, flags, type, v, n);
}

/* One attribute from r; false when its header or value goes over the end. */
static bool decode_one(struct bgp_attr_parse *p, struct rd *r)
{
	const uint8_t *start = r->p, *v;
	uint8_t flags = rd_u8(r), type = rd_u8(r);
	size_t n = flags & BGP_FLAG_EXTENDED ? rd_u16(r) : rd_u8(r);
	const struct bgp_attr_row *row = bgp_attr_row(type);

	v = rd_bytes(r, n);
	if (r->bad)
		return false;
	p->attr = start;
	p->attr_len = (size_t)(r->p - start);
	if (type != BGP_ATTR_MP_UNREACH_NLRI)
		p->out->others++;
	if (is_repeated(p, type))
		return true;
	if (row)
		decode_known(p, row, flags, type, v, n);
	else
		decode_unknown(p, flags, type, v, n);
	return true;
}

/* ---- decode: what only the whole shows ---- */

/* RFC 6793 4.2.3 */
static void merge_as4(struct bgp_attr_parse *p)
{
	struct bgp_attrs_draft *d = &p->out->draft;
	bool aggregated = d->v.present >> BGP_ATTR_AGGREGATOR & 1;
	size_t n;

	d->v.present &= ~(1ull << BGP_ATTR_AS4_PATH | 1ull << BGP_ATTR_AS4_AGGREGATOR);
	/* Somebody who does not know AS4_* has aggregated since they were written: both are stale. */
	if (aggregated && d->v.aggregator_as != BGP_AS_TRANS)
		return;
	if (aggregated && p->as4_aggregator) {
		d->v.aggregator_as = p->as4_aggregator_as;
		d->v.aggregator_id = p->as4_aggregator_id;
	}
	if (!p->as4_path || !(d->v.present >> BGP_ATTR_AS_PATH & 1))
		return;
	n = bgp_path_merge(d->part[BGP_PART_AS_PATH].p, d->part[BGP_PART_AS_PATH].len, p->as4_path,
			   p->as4_path_len, p->t->scratch.merged);
	if (!n)
		return;
	d->part[BGP_PART_AS_PATH].p = p->t->scratch.merged;
	d->part[BGP_PART_AS_PATH].len = (uint16_t)n;
}

static void check_mandatory(struct bgp_attr_parse *p, bool has_nlri)
{
	uint64_t need = 1u << BGP_ATTR_ORIGIN | 1u << BGP_ATTR_AS_PATH;

	if (!has_nlri && !p->out->reach.there)
		return;
	/* RFC 4760 3: NEXT_HOP is for the NLRI field only. */
	if (has_nlri)
		need |= 1u << BGP_ATTR_NEXT_HOP;
	for (uint8_t type = BGP_ATTR_ORIGIN; type <= BGP_ATTR_NEXT_HOP; type++)
		if (need >> type & 1 && !(p->seen[0] >> type & 1))
			/* RFC 7606 3 d */
			bgp_finding_add(&p->out->found, BGP_TREAT_AS_WITHDRAW,
					BGP_UPDATE_MISSING_WELL_KNOWN, NULL, 0,
					"%s is missing, a route must have it", bgp_attr_name(type));
}

static void check_first_as(struct bgp_attr_parse *p)
{
	const struct bgp_attrs_draft *d = &p->out->draft;
	const struct rd path = rd_init(d->part[BGP_PART_AS_PATH].p, d->part[BGP_PART_AS_PATH].len);
	asn_t first = 0;

	if (!p->wire->ebgp || !p->wire->first_as_check || !(d->v.present >> BGP_ATTR_AS_PATH & 1))
		return;
	if (rd_left(&path) >= 6 && path.p[0] == BGP_SEGMENT_SEQUENCE)
		first = bgp_u32_at(path.p + 2);
	if (first != p->wire->remote_as)
		bgp_finding_add(&p->out->found, BGP_TREAT_AS_WITHDRAW, BGP_UPDATE_BAD_AS_PATH,
				path.p, rd_left(&path),
				"AS_PATH: begins with AS %u, must begin with the peer's AS %u",
				first, p->wire->remote_as);
}

static void check_next_hop(struct bgp_attr_parse *p, bool has_nlri)
{
	const struct bgp_attr_values *v = &p->out->draft.v;

	if (has_nlri && v->present >> BGP_ATTR_NEXT_HOP & 1 && !bgp_is_host(&v->next_hop))
		bgp_finding_add(&p->out->found, BGP_TREAT_AS_WITHDRAW, BGP_UPDATE_BAD_NEXT_HOP,
				v->next_hop.b, 4, "NEXT_HOP: not the address of a host");
}

void bgp_attrs_decode(struct bgp_attr_table *t, const struct bgp_wire *wire, const uint8_t *p,
		      size_t len, bool has_nlri, char *text, struct bgp_attrs_parse *out)
{
	struct bgp_attr_parse parse = { .t = t, .wire = wire, .out = out };
	struct rd r = rd_init(p, len);

	*out = (struct bgp_attrs_parse) { .found = { .text = text } };
	while (rd_left(&r)) {
		const uint8_t *at = r.p;

		if (decode_one(&parse, &r))
			continue;
		/* RFC 7606 4: the Total Attribute Length tells where the NLRI begin, so they can be
		 * withdrawn. */
		bgp_finding_add(&out->found, BGP_TREAT_AS_WITHDRAW, BGP_UPDATE_MALFORMED, at,
				(size_t)(r.end - at),
				"an attribute goes over the end of the path attributes");
		out->others++;
		break;
	}
	if (!wire->as4)
		merge_as4(&parse);
	check_mandatory(&parse, has_nlri);
	check_first_as(&parse);
	check_next_hop(&parse, has_nlri);
	out->draft.v.present &= BGP_ATTR_VALUE_BITS;
}

/* ---- encode: what is common ---- */

/* The types to write, of those in the table. */
static uint64_t types_to_write(const struct bgp_attrs *a, const struct bgp_wire *wire,
			       bool with_next_hop)
{
	uint64_t types = a->v.present;
	struct rd path = bgp_attrs_part(a, BGP_PART_AS_PATH);

	types &= BGP_ATTR_VALUE_BITS;
	/* A route made here has them too: incomplete or empty, but there. */
	types |= 1ull << BGP_ATTR_ORIGIN | 1ull << BGP_ATTR_AS_PATH;
	if (with_next_hop)
		types |= 1ull << BGP_ATTR_NEXT_HOP;
	if (wire->as4)
		return types;
	/* RFC 6793 4.2.2: for an old speaker, only if a number does not fit. */
	while (rd_left(&path)) {
		struct rd as;

		rd_u8(&path);
		as = rd_sub(&path, rd_u8(&path) * 4u);
		while (rd_left(&as))
			if (rd_u32(&as) > 0xffff)
				types |= 1ull << BGP_ATTR_AS4_PATH;
	}
	if (types >> BGP_ATTR_AGGREGATOR & 1 && a->v.aggregator_as > 0xffff)
		types |= 1ull << BGP_ATTR_AS4_AGGREGATOR;
	return types;
}

/* Write one attribute, with the length form that its value needs; the value's offset. */
static size_t encode_one(struct wr *w, const struct bgp_attr_row *row, uint8_t type,
			 const struct bgp_attrs *a, const struct bgp_wire *wire)
{
	size_t head = wr_len(w), n;
	uint8_t *at;

	wr_u8(w, row->flags);
	wr_u8(w, type);
	wr_u8(w, 0);
	if (row->encode) {
		row->encode(w, a, wire);
	} else {
		struct rd part = bgp_attrs_part(a, row->part);

		wr_bytes(w, part.p, rd_left(&part));
	}
	if (w->bad)
		return 0;
	at = w->start + head;
	n = wr_len(w) - head - 3;
	if (n <= 255) {
		at[2] = (uint8_t)n;
		return head + 3;
	}
	if (!wr_skip(w, 1))
		return 0;
	memmove(at + 4, at + 3, n);
	at[0] |= BGP_FLAG_EXTENDED;
	put_u16(at + 2, (uint16_t)n);
	return head + 4;
}

/* Copy the foreign attributes with a type below `type`. */
static void encode_unknown(struct wr *w, struct rd *unknown, unsigned type)
{
	while (rd_left(unknown) && unknown->p[1] < type) {
		const uint8_t *p = unknown->p;
		size_t n = p[0] & BGP_FLAG_EXTENDED ? 4u + (size_t)(p[2] << 8 | p[3]) : 3u + p[2];

		wr_bytes(w, rd_bytes(unknown, n), n);
	}
}

size_t bgp_attrs_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire,
			bool with_next_hop)
{
	uint64_t types = types_to_write(a, wire, with_next_hop);
	struct rd unknown = bgp_attrs_part(a, BGP_PART_UNKNOWN);
	size_t next_hop_at = 0;

	for (; types && !w->bad; types &= types - 1) {
		uint8_t type = (uint8_t)__builtin_ctzll(types);
		size_t at;

		encode_unknown(w, &unknown, type);
		at = encode_one(w, bgp_attr_row(type), type, a, wire);
		if (type == BGP_ATTR_NEXT_HOP)
			next_hop_at = at;
	}
	encode_unknown(w, &unknown, 256);
	return next_hop_at;
}
