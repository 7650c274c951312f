/* update.c - UPDATE messages decoded whole, before anything is acted upon
 *
 * WIRE   [withdrawn length: 2] [withdrawn] [attributes length: 2] [attributes] [NLRI]
 * SHAPE  frame -> attributes (from the raw cache, or attr_wire.c) -> every prefix field walked ->
 *        verdict -> ranges and interned attributes.
 *        The raw cache: UPDATEs in a row mostly carry the same attributes, and comparing their bytes
 *        is several times cheaper than reading them. The key is everything but prefixes.
 * COST   with a cache hit: one pass over the attribute headers, one memcmp, one byte per prefix.
 * ERRORS BGP_SESSION_RESET only where prefixes cannot be found or trusted (RFC 7606 3, 5).
 * SPEC   RFC 4271 4.3, 6.3; 4724 2; 4760; 7606
 * TESTS  tests/unit/bgp/update.c */
#include "bgp/update.h"

#include <string.h>

#include "bgp/attr_table.h"
#include "bgp/attr_wire.h"
#include "bgp/notify.h"

/* The four fields of prefixes; not there: len 0. */
struct fields {
	const uint8_t *withdrawn, *attrs, *nlri;
	size_t withdrawn_len, attrs_len, nlri_len;
};

/* Finds the fields; false when their lengths go over the end (RFC 4271 6.3: 3/1). */
static bool find_fields(const uint8_t *body, size_t len, struct fields *f)
{
	struct rd r = rd_init(body, len);

	f->withdrawn_len = rd_u16(&r);
	f->withdrawn = rd_bytes(&r, f->withdrawn_len);
	f->attrs_len = rd_u16(&r);
	f->attrs = rd_bytes(&r, f->attrs_len);
	f->nlri_len = rd_left(&r);
	f->nlri = rd_bytes(&r, f->nlri_len);
	return !r.bad;
}

/* ---- the raw cache ---- */

struct piece {
	const uint8_t *p;
	size_t len;
};

struct raw_key {
	struct piece piece[BGP_RAW_PIECES_MAX];
	unsigned n;
	size_t len;
	struct bgp_mp reach, unreach;
};

static void key_add(struct raw_key *k, const uint8_t *p, const uint8_t *end)
{
	if (p == end)
		return;
	if (k->n < BGP_RAW_PIECES_MAX)
		k->piece[k->n] = (struct piece) { p, (size_t)(end - p) };
	k->n++;
	k->len += (size_t)(end - p);
}

/* The head of an MP attribute's value belongs to the key, its prefixes are set apart. */
static bool key_mp(struct raw_key *k, struct bgp_mp *mp, const uint8_t *attr, const uint8_t *v,
		   const uint8_t *end, bool reach)
{
	size_t n = (size_t)(end - v), head = 3;

	if (mp->there || n < 3 || (reach && n < 5))
		return false;
	if (reach)
		head = 5 + (size_t)v[3];
	if (n < head)
		return false;
	*mp = (struct bgp_mp) {
		.there = true,
		.af = bgp_af_find((uint16_t)(v[0] << 8 | v[1]), v[2]),
		.attr = attr,
		.attr_len = (size_t)(end - attr),
		.nlri = v + head,
		.nlri_len = n - head,
	};
	/* Flags and type, without the length that the prefixes make; then AFI to reserved octet. */
	key_add(k, attr, attr + 2);
	key_add(k, v, v + head);
	return mp->af != BGP_AF_MAX_;
}

/* Take the attributes apart; false when they are odd in any way: the full decoder says how. */
static bool key_scan(struct raw_key *k, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len, *from = p;

	*k = (struct raw_key) { 0 };
	while (p < end) {
		size_t head = p[0] & BGP_FLAG_EXTENDED ? 4 : 3, n;
		uint8_t type;

		if ((size_t)(end - p) < head)
			return false;
		type = p[1];
		n = head == 4 ? (size_t)(p[2] << 8 | p[3]) : p[2];
		if ((size_t)(end - p) < head + n)
			return false;
		if (type == BGP_ATTR_MP_REACH_NLRI || type == BGP_ATTR_MP_UNREACH_NLRI) {
			bool reach = type == BGP_ATTR_MP_REACH_NLRI;

			key_add(k, from, p);
			if (!key_mp(k, reach ? &k->reach : &k->unreach, p, p + head, p + head + n,
				    reach))
				return false;
			from = p + head + n;
		}
		p += head + n;
	}
	key_add(k, from, end);
	return k->n <= BGP_RAW_PIECES_MAX && k->len <= BGP_RAW_MAX;
}

static bool wire_reads_same(const struct bgp_wire *a, const struct bgp_wire *b)
{
	return a->ebgp == b->ebgp && a->as4 == b->as4 && a->first_as_check == b->first_as_check &&
	       a->refuse_as_sets == b->refuse_as_sets && a->remote_as == b->remote_as &&
	       a->families == b->families && a->ext_next_hop == b->ext_next_hop;
}

static bool cache_hit(const struct bgp_raw_cache *c, const struct bgp_wire *wire,
		      const struct raw_key *k, bool classic, bool mp)
{
	const uint8_t *at = c->bytes;

	if (!c->len || c->len != k->len || c->classic != classic || c->mp != mp ||
	    !wire_reads_same(&c->wire, wire))
		return false;
	for (unsigned i = 0; i < k->n; i++) {
		if (memcmp(at, k->piece[i].p, k->piece[i].len) != 0)
			return false;
		at += k->piece[i].len;
	}
	return true;
}

static void cache_fill(struct bgp_attr_table *t, const struct bgp_wire *wire,
		       const struct raw_key *k, const struct bgp_update *u, bool classic, bool mp)
{
	struct bgp_raw_cache *c = &t->last;
	uint8_t *at = c->bytes;

	for (unsigned i = 0; i < ARRAY_SIZE(c->attrs); i++)
		bgp_attrs_unref(t, TAKE(c->attrs[i]));
	for (unsigned i = 0; i < u->n_announced; i++)
		c->attrs[i] = bgp_attrs_ref(u->attrs[i]);
	for (unsigned i = 0; i < k->n; i++) {
		memcpy(at, k->piece[i].p, k->piece[i].len);
		at += k->piece[i].len;
	}
	c->wire = *wire;
	c->classic = classic;
	c->mp = mp;
	c->len = k->len;
}

/* ---- prefixes ---- */

struct decode {
	struct bgp_attr_table *t;
	const struct bgp_wire *wire;
	struct bgp_update *u;
	struct bgp_finding found;
	struct fields f;
	/* what the fields hold; count 0: nothing */
	struct bgp_nlri_range withdrawn, nlri, reach, unreach;
};

static void check_range(struct decode *d, const char *name, const uint8_t *p, size_t len,
			enum bgp_af af, const struct bgp_mp *mp, struct bgp_nlri_range *out)
{
	bool add_path = d->wire->add_path_rx >> af & 1;
	size_t bad_at;

	if (bgp_nlri_check(p, len, af, add_path, out, &bad_at))
		return;
	/* RFC 7606 3 i, j: prefixes that cannot be told cannot be withdrawn either. */
	bgp_finding_add(&d->found, BGP_SESSION_RESET,
			mp ? BGP_UPDATE_BAD_OPTIONAL : BGP_UPDATE_BAD_NETWORK, p + bad_at,
			len - bad_at, "%s: a prefix of %s is too long or cut, at byte %zu of %zu",
			name, bgp_af_info(af)->name, bad_at, len);
}

static void check_prefixes(struct decode *d, const struct bgp_mp *reach,
			   const struct bgp_mp *unreach)
{
	const enum bgp_af v4 = BGP_AF_IPV4_UNICAST;

	if (d->wire->families >> v4 & 1) {
		check_range(d, "withdrawn routes", d->f.withdrawn, d->f.withdrawn_len, v4, NULL,
			    &d->withdrawn);
		check_range(d, "NLRI", d->f.nlri, d->f.nlri_len, v4, NULL, &d->nlri);
	} else if (d->f.withdrawn_len || d->f.nlri_len) {
		bgp_finding_add(&d->found, BGP_ATTR_DISCARD, 0, NULL, 0,
				"prefixes of ipv4-unicast, which was not negotiated: ignored");
	}
	if (reach->there)
		check_range(d, "MP_REACH_NLRI", reach->nlri, reach->nlri_len, reach->af, reach,
			    &d->reach);
	if (unreach->there)
		check_range(d, "MP_UNREACH_NLRI", unreach->nlri, unreach->nlri_len, unreach->af,
			    unreach, &d->unreach);
}

static void add_withdrawn(struct bgp_update *u, const struct bgp_nlri_range *r)
{
	if (r->count)
		u->withdrawn[u->n_withdrawn++] = *r;
}

static void add_announced(struct bgp_update *u, const struct bgp_nlri_range *r,
			  struct bgp_attrs *attrs)
{
	u->announced[u->n_announced] = *r;
	u->attrs[u->n_announced++] = attrs;
}

/* ---- the message ---- */

static enum bgp_verdict reset(struct decode *d)
{
	struct bgp_update *u = d->u;

	u->verdict = BGP_SESSION_RESET;
	u->n_withdrawn = 0;
	u->notification =
		bgp_notification(BGP_ERR_UPDATE, d->found.subcode, d->found.data, d->found.len);
	return u->verdict;
}

/* All is known to be well but the prefixes: the attributes are the last ones again. */
static enum bgp_verdict decode_known(struct decode *d, const struct raw_key *k)
{
	struct bgp_raw_cache *c = &d->t->last;
	struct bgp_update *u = d->u;

	check_prefixes(d, &k->reach, &k->unreach);
	if (d->found.verdict == BGP_SESSION_RESET)
		return reset(d);
	add_withdrawn(u, &d->withdrawn);
	add_withdrawn(u, &d->unreach);
	if (d->nlri.count)
		add_announced(u, &d->nlri, bgp_attrs_ref(c->attrs[0]));
	if (d->reach.count)
		add_announced(u, &d->reach, bgp_attrs_ref(c->attrs[d->nlri.count ? 1 : 0]));
	return u->verdict = d->found.verdict;
}

static void intern(struct decode *d, struct bgp_attrs_parse *parse)
{
	struct bgp_attrs_draft *draft = &parse->draft;

	draft->v.next_hop_ll = (struct addr) { 0 };
	if (d->nlri.count)
		add_announced(d->u, &d->nlri, bgp_attrs_intern(d->t, draft));
	if (!d->reach.count)
		return;
	draft->v.next_hop = parse->reach.next_hop;
	draft->v.next_hop_ll = parse->reach.next_hop_ll;
	add_announced(d->u, &d->reach, bgp_attrs_intern(d->t, draft));
}

static bool is_end_of_rib(const struct decode *d, const struct bgp_attrs_parse *parse)
{
	if (d->f.withdrawn_len || d->f.nlri_len || parse->others)
		return false;
	if (!d->f.attrs_len)
		return d->wire->families >> BGP_AF_IPV4_UNICAST & 1;
	return parse->unreach.there && !parse->unreach.nlri_len;
}

static enum bgp_verdict decode_full(struct decode *d)
{
	struct bgp_attrs_parse parse;
	struct bgp_update *u = d->u;

	bgp_attrs_decode(d->t, d->wire, d->f.attrs, d->f.attrs_len, d->f.nlri_len > 0, u->text,
			 &parse);
	d->found = parse.found;
	check_prefixes(d, &parse.reach, &parse.unreach);
	/* RFC 7606 5.2: without a reachable prefix the error may have hidden them. */
	if (d->found.verdict > BGP_ATTR_DISCARD && parse.others && !d->nlri.count &&
	    !d->reach.count)
		d->found.verdict = BGP_SESSION_RESET;
	if (d->found.verdict == BGP_SESSION_RESET)
		return reset(d);
	add_withdrawn(u, &d->withdrawn);
	add_withdrawn(u, &d->unreach);
	if (d->found.verdict == BGP_TREAT_AS_WITHDRAW) {
		add_withdrawn(u, &d->nlri);
		add_withdrawn(u, &d->reach);
	} else {
		intern(d, &parse);
	}
	if (is_end_of_rib(d, &parse)) {
		u->end_of_rib = true;
		u->end_of_rib_af = d->f.attrs_len ? parse.unreach.af : BGP_AF_IPV4_UNICAST;
	}
	return u->verdict = d->found.verdict;
}

enum bgp_verdict bgp_update_decode(struct bgp_attr_table *t, const struct bgp_wire *wire,
				   const uint8_t *body, size_t len, struct bgp_update *out)
{
	struct decode d = { .t = t, .wire = wire, .u = out, .found = { .text = out->text } };
	bool classic, mp, plain;
	struct raw_key key;

	out->verdict = BGP_OK;
	out->end_of_rib = false;
	out->n_withdrawn = out->n_announced = 0;
	out->text[0] = '\0';
	if (!find_fields(body, len, &d.f)) {
		bgp_finding_add(
			&d.found, BGP_SESSION_RESET, BGP_UPDATE_MALFORMED, NULL, 0,
			"the lengths of withdrawn routes (%zu) and path attributes (%zu) go over "
			"the end of the message (%zu)",
			d.f.withdrawn_len, d.f.attrs_len, len + BGP_HEADER_LEN);
		return reset(&d);
	}
	plain = d.f.attrs_len && key_scan(&key, d.f.attrs, d.f.attrs_len);
	if (!plain)
		return decode_full(&d);
	classic = d.f.nlri_len > 0;
	mp = key.reach.there && key.reach.nlri_len > 0;
	if (cache_hit(&t->last, wire, &key, classic, mp))
		return decode_known(&d, &key);
	decode_full(&d);
	/* Only what has nothing to complain about, and is worth it, is remembered. */
	if (out->verdict == BGP_OK && out->n_announced == (unsigned)classic + (unsigned)mp &&
	    out->n_announced)
		cache_fill(t, wire, &key, out, classic, mp);
	return out->verdict;
}

void bgp_update_done(struct bgp_attr_table *t, struct bgp_update *u)
{
	for (unsigned i = 0; i < u->n_announced; i++)
		bgp_attrs_unref(t, u->attrs[i]);
	u->n_announced = 0;
}
