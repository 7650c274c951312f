/* aspath.c - AS_PATH in wire form: checked, widened, merged, counted, printed
 *
 * INVARIANT  only bgp_path_check looks at unchecked bytes; the others walk what it has passed.
 * SPEC       RFC 4271 4.3 b, 5.1.2, 9.1.2.2 a; 5065; 6793 4.2; 7606 7.2 */
#include "bgp/aspath.h"

#include <string.h>

#include "lib/buf.h"

static asn_t as_at(const uint8_t *p)
{
	return (asn_t)p[0] << 24 | (asn_t)p[1] << 16 | (asn_t)p[2] << 8 | p[3];
}

static asn_t as_sized(const uint8_t *p, unsigned as_size)
{
	return as_size == 4 ? as_at(p) : (asn_t)(p[0] << 8 | p[1]);
}

/* What one segment adds to the length of RFC 4271 9.1.2.2 a. */
static unsigned segment_weight(uint8_t type, uint8_t count)
{
	if (type == BGP_SEGMENT_SEQUENCE)
		return count;
	return type == BGP_SEGMENT_SET;
}

static void segment_facts(struct bgp_path_facts *f, const uint8_t *p, unsigned as_size,
			  bool leading)
{
	uint8_t type = p[0], count = p[1];

	f->has_set |= type == BGP_SEGMENT_SET || type == BGP_SEGMENT_CONFED_SET;
	f->has_confed |= type == BGP_SEGMENT_CONFED_SEQUENCE || type == BGP_SEGMENT_CONFED_SET;
	for (unsigned i = 0; i < count; i++)
		f->has_as0 |= as_sized(p + 2 + i * as_size, as_size) == 0;
	if (leading && type == BGP_SEGMENT_SEQUENCE)
		f->first_as = as_sized(p + 2, as_size);
	f->origin_as = as_sized(p + 2 + (count - 1u) * as_size, as_size);
	f->len = (uint16_t)(f->len + segment_weight(type, count));
}

const char *bgp_path_check(const uint8_t *p, size_t len, unsigned as_size,
			   struct bgp_path_facts *facts)
{
	struct bgp_path_facts f = { 0 };
	size_t at = 0;

	while (at < len) {
		if (len - at < 2)
			return "one byte is left behind the last segment";
		if (p[at] < BGP_SEGMENT_SET || p[at] > BGP_SEGMENT_CONFED_SET)
			return "unknown segment type, must be 1 to 4";
		if (!p[at + 1])
			return "a segment without AS numbers";
		if (len - at - 2 < (size_t)p[at + 1] * as_size)
			return "a segment goes over the end of the attribute";
		segment_facts(&f, p + at, as_size, at == 0);
		at += 2 + (size_t)p[at + 1] * as_size;
	}
	*facts = f;
	return NULL;
}

size_t bgp_path_widen(const uint8_t *p, size_t len, uint8_t *out)
{
	uint8_t *to = out;

	for (const uint8_t *end = p + len; p < end;) {
		unsigned count = p[1];

		if ((size_t)(to - out) + 2 + count * 4u > BGP_PATH_MAX)
			return 0;
		*to++ = p[0];
		*to++ = p[1];
		p += 2;
		for (unsigned i = 0; i < count; i++, p += 2, to += 4) {
			put_u16(to, 0);
			memcpy(to + 2, p, 2);
		}
	}
	return (size_t)(to - out);
}

static unsigned path_length(const uint8_t *p, size_t len)
{
	unsigned n = 0;

	for (const uint8_t *end = p + len; p < end; p += 2 + p[1] * 4)
		n += segment_weight(p[0], p[1]);
	return n;
}

/* Copy the leading segments of p that make `want` of path length; a sequence may be cut. */
static size_t path_head(const uint8_t *p, size_t len, unsigned want, uint8_t *out)
{
	uint8_t *to = out;

	for (const uint8_t *end = p + len; p < end && want; p += 2 + p[1] * 4) {
		unsigned weight = segment_weight(p[0], p[1]);
		uint8_t count = p[1];

		if (weight > want) {
			count = (uint8_t)want;
			weight = want;
		}
		to[0] = p[0];
		to[1] = count;
		memcpy(to + 2, p + 2, count * 4u);
		to += 2 + count * 4;
		want -= weight;
	}
	return (size_t)(to - out);
}

static const uint8_t *last_segment(const uint8_t *p, size_t len)
{
	const uint8_t *last = NULL;

	for (const uint8_t *end = p + len; p < end; p += 2 + p[1] * 4)
		last = p;
	return last;
}

/* Append a segment to out; into its last sequence when that was cut in the middle to make room. */
static size_t append_segment(uint8_t *out, size_t len, const uint8_t *seg, bool join)
{
	const uint8_t *last = join ? last_segment(out, len) : NULL;
	unsigned count = seg[1];

	if (last && last[0] == BGP_SEGMENT_SEQUENCE && seg[0] == BGP_SEGMENT_SEQUENCE &&
	    last[1] + count <= 255) {
		out[last + 1 - out] = (uint8_t)(last[1] + count);
		memcpy(out + len, seg + 2, count * 4u);
		return len + count * 4u;
	}
	memcpy(out + len, seg, 2 + count * 4u);
	return len + 2 + count * 4u;
}

size_t bgp_path_merge(const uint8_t *path, size_t len, const uint8_t *as4, size_t as4_len,
		      uint8_t *out)
{
	unsigned have = path_length(path, len), known = path_length(as4, as4_len);
	bool seam = true;
	size_t n;

	/* RFC 6793 4.2.3: a longer AS4_PATH shows that somebody on the way cut the AS_PATH. */
	if (!known || known > have || len + as4_len > BGP_PATH_MAX)
		return 0;
	n = path_head(path, len, have - known, out);
	for (const uint8_t *seg = as4, *end = as4 + as4_len; seg < end; seg += 2 + seg[1] * 4) {
		/* RFC 6793 6: confederation segments do not belong here and are left out. */
		if (seg[0] != BGP_SEGMENT_SEQUENCE && seg[0] != BGP_SEGMENT_SET)
			continue;
		n = append_segment(out, n, seg, seam);
		seam = false;
	}
	return n;
}

size_t bgp_path_prepend(const uint8_t *p, size_t len, asn_t as, unsigned n, uint8_t *out,
			size_t size)
{
	unsigned old = len && p[0] == BGP_SEGMENT_SEQUENCE && p[1] + n <= 255 ? p[1] : 0;
	size_t skip = old ? 2 : 0, need = 2 + n * 4u + len - skip;

	if (!n || n > 255 || need > size)
		return 0;
	out[0] = BGP_SEGMENT_SEQUENCE;
	out[1] = (uint8_t)(old + n);
	for (unsigned i = 0; i < n; i++)
		put_u32(out + 2 + i * 4, as);
	if (len > skip)
		memcpy(out + 2 + n * 4, p + skip, len - skip);
	return need;
}

bool bgp_path_narrow(const uint8_t *p, size_t len, uint8_t *out, size_t *out_len)
{
	uint8_t *to = out;
	bool lost = false;

	for (const uint8_t *end = p + len; p < end;) {
		unsigned count = p[1];

		*to++ = p[0];
		*to++ = p[1];
		p += 2;
		for (unsigned i = 0; i < count; i++, p += 4, to += 2) {
			asn_t as = as_at(p);

			lost |= as > 0xffff;
			put_u16(to, as > 0xffff ? BGP_AS_TRANS : (uint16_t)as);
		}
	}
	*out_len = (size_t)(to - out);
	return lost;
}

unsigned bgp_path_count(const uint8_t *p, size_t len, asn_t as)
{
	unsigned n = 0;

	for (const uint8_t *end = p + len; p < end; p += 2 + p[1] * 4)
		for (unsigned i = 0; i < p[1]; i++)
			n += as_at(p + 2 + i * 4) == as;
	return n;
}

void bgp_path_text(const uint8_t *p, size_t len, struct str *out)
{
	static const char *const open[] = { "", "{", "", "(", "({" };
	static const char *const close[] = { "", "}", "", ")", "})" };

	for (const uint8_t *start = p, *end = p + len; p < end; p += 2 + p[1] * 4) {
		bool set = p[0] == BGP_SEGMENT_SET || p[0] == BGP_SEGMENT_CONFED_SET;

		str_addf(out, "%s%s", p > start ? " " : "", open[p[0]]);
		for (unsigned i = 0; i < p[1]; i++)
			str_addf(out, "%s%u", !i ? "" : set ? "," : " ", as_at(p + 2 + i * 4));
		str_add(out, close[p[0]]);
	}
}
