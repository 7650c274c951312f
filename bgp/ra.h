/* ra.h - router advertisements and solicitations: who is on the other end of a link? Pure.
 *
 * WHY    A router that is peered with by interface is only known by its advertisements: their source
 *        is its link-local address. The other end wants ours for the same reason.
 * SPEC   RFC 4861 4.1, 4.2, 6.1.1, 6.1.2. Options other than the link-layer address are skipped. */
#pragma once

#include "lib/addr.h"
#include "lib/buf.h"

enum {
	RA_TYPE_SOLICIT = 133,
	RA_TYPE_ADVERT = 134,
	RA_HOP_LIMIT = 255, /* with less it was forwarded: it is from another link */
	RA_MAX_LEN = 24,    /* longest that is written here */
};

struct ra {
	uint8_t type;	       /* RA_TYPE_* */
	uint8_t cur_hop_limit; /* advert: for hosts; 0: not said */
	uint8_t flags;
	uint16_t lifetime_s; /* advert: as a default router; 0: it is none */
	bool has_mac;
	uint8_t mac[6]; /* the sender's */
};

/* p: an ICMPv6 message whose checksum is right; hop_limit and from are those of its packet. Total.
 * False: to be ignored, and *why says why. */
bool ra_decode(const uint8_t *p, size_t len, int hop_limit, const struct addr *from, struct ra *out,
	       const char **why);
/* The length; the checksum is left 0, for the kernel. */
size_t ra_encode(const struct ra *ra, uint8_t out[static RA_MAX_LEN]);
