/* ra.c - router advertisements and solicitations
 *
 *	 0             1             2             3
 *	type (134)    code (0)      checksum
 *	hop limit     flags         router lifetime		advert only; solicit: 4 bytes reserved
 *	reachable time						advert only
 *	retransmission timer					advert only
 *	options: type, length in units of 8 bytes, value
 *
 * TESTS  tests/unit/bgp/ra.c, tests/fuzz/ra.c */
#include "bgp/ra.h"

#include <string.h>

enum {
	OPTION_SOURCE_LINK = 1,
	OPTION_UNIT = 8,
	MAC_LEN = 6,
};

static bool drop(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool take_options(struct rd r, struct ra *out, const char **why)
{
	while (rd_left(&r)) {
		uint8_t type = rd_u8(&r), units = rd_u8(&r);
		struct rd value;

		/* RFC 4861 4.6: a node must ignore a packet with an option of length zero */
		if (!r.bad && !units)
			return drop(why, "an option of length 0");
		value = rd_sub(&r, (size_t)units * OPTION_UNIT - 2);
		if (r.bad)
			return drop(why, "an option longer than the message");
		if (type == OPTION_SOURCE_LINK && units == 1) {
			memcpy(out->mac, rd_bytes(&value, MAC_LEN), MAC_LEN);
			out->has_mac = true;
		}
	}
	return true;
}

bool ra_decode(const uint8_t *p, size_t len, int hop_limit, const struct addr *from, struct ra *out,
	       const char **why)
{
	struct rd r = rd_init(p, len);
	uint8_t code;

	*out = (struct ra) { .type = rd_u8(&r) };
	code = rd_u8(&r);
	rd_u16(&r); /* checksum */
	if (!r.bad && out->type != RA_TYPE_ADVERT && out->type != RA_TYPE_SOLICIT)
		return drop(why, "neither an advertisement nor a solicitation");
	if (hop_limit != RA_HOP_LIMIT)
		return drop(why, "its hop limit is not 255: it comes from another link");
	if (out->type == RA_TYPE_ADVERT) {
		out->cur_hop_limit = rd_u8(&r);
		out->flags = rd_u8(&r);
		out->lifetime_s = rd_u16(&r);
		rd_u32(&r);
	}
	rd_u32(&r);
	if (r.bad)
		return drop(why, "shorter than its fixed part");
	if (code)
		return drop(why, "its code is not 0");
	/* a solicitation may come from :: while the sender has no address yet */
	if (from->family != IP_V6 ||
	    (!addr_is_link_local(from) && !(out->type == RA_TYPE_SOLICIT && addr_is_zero(from))))
		return drop(why, "its source is not link-local");
	return take_options(r, out, why);
}

size_t ra_encode(const struct ra *ra, uint8_t out[static RA_MAX_LEN])
{
	struct wr w = wr_init(out, RA_MAX_LEN);

	wr_u8(&w, ra->type);
	wr_u8(&w, 0);
	wr_u16(&w, 0);
	if (ra->type == RA_TYPE_ADVERT) {
		wr_u8(&w, ra->cur_hop_limit);
		wr_u8(&w, ra->flags);
		wr_u16(&w, ra->lifetime_s);
		wr_u32(&w, 0);
	}
	wr_u32(&w, 0);
	if (ra->has_mac) {
		wr_u8(&w, OPTION_SOURCE_LINK);
		wr_u8(&w, 1);
		wr_bytes(&w, ra->mac, MAC_LEN);
	}
	return wr_len(&w);
}
