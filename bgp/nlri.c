/* nlri.c - the prefixes of an UPDATE, read in place and written
 *
 * COST   check: one byte looked at per prefix; next: one copy of at most 16 bytes.
 * SPEC   RFC 4271 4.3; 4760 5; 7606 5.3; 7911 3
 * TESTS  tests/unit/bgp/pack.c, update.c */
#include "bgp/nlri.h"

#include <string.h>

bool bgp_nlri_check(const uint8_t *p, size_t len, enum bgp_af af, bool add_path,
		    struct bgp_nlri_range *out, size_t *bad_at)
{
	unsigned bits_max = addr_bits(bgp_af_info(af)->family);
	size_t head = add_path ? 4 : 0, at = 0;
	uint32_t count = 0;

	while (at < len) {
		unsigned bits;

		if (len - at <= head)
			break;
		bits = p[at + head];
		if (bits > bits_max || len - at - head - 1 < (bits + 7) / 8)
			break;
		at += head + 1 + (bits + 7) / 8;
		count++;
	}
	if (at < len) {
		*bad_at = at;
		return false;
	}
	*out = (struct bgp_nlri_range) {
		.p = p,
		.end = p + len,
		.af = af,
		.add_path = add_path,
		.count = count,
	};
	return true;
}

bool bgp_nlri_next(struct bgp_nlri_range *it, struct bgp_nlri *out)
{
	const uint8_t *p = it->p;
	struct prefix prefix = { 0 };
	uint32_t path_id = 0;
	unsigned n;

	if (p >= it->end)
		return false;
	if (it->add_path) {
		path_id = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
		p += 4;
	}
	prefix.len = *p++;
	n = (prefix.len + 7u) / 8;
	prefix.addr.family = it->af == BGP_AF_IPV4_UNICAST ? IP_V4 : IP_V6;
	for (unsigned i = 0; i < n; i++)
		prefix.addr.b[i] = p[i];
	/* RFC 4271 4.3: the value of the trailing bits is irrelevant. */
	if (prefix.len & 7)
		prefix.addr.b[n - 1] &= (uint8_t)(0xff << (8 - (prefix.len & 7)));
	it->p = p + n;
	out->prefix = prefix;
	out->path_id = path_id;
	return true;
}

size_t bgp_nlri_size(const struct prefix *p, bool add_path)
{
	return (add_path ? 4u : 0u) + 1u + (p->len + 7u) / 8;
}

size_t bgp_nlri_put(uint8_t *at, const struct prefix *p, bool add_path, uint32_t path_id)
{
	uint8_t *to = at;
	size_t n = (p->len + 7u) / 8;

	if (add_path) {
		put_u32(to, path_id);
		to += 4;
	}
	*to++ = p->len;
	memcpy(to, p->addr.b, n);
	if (p->len & 7)
		to[n - 1] &= (uint8_t)(0xff << (8 - (p->len & 7)));
	return (size_t)(to - at) + n;
}
