/* nlri.h - the prefixes of an UPDATE, read in place and written.
 *
 *	struct bgp_nlri_range it = u->announced[0];	a copy is the cursor
 *	struct bgp_nlri n;
 *	while (bgp_nlri_next(&it, &n)) ...
 *
 * WIRE   one prefix: [path id: 4, RFC 7911] [length in bits: 1] [ceil(length / 8) bytes]
 * A range that a decoder hands out was walked by bgp_nlri_check: next cannot meet an error. */
#pragma once

#include "bgp/types.h"
#include "lib/buf.h"

struct bgp_nlri {
	struct prefix prefix; /* host bits cleared */
	uint32_t path_id;     /* 0 without ADD-PATH */
};

struct bgp_nlri_range {
	const uint8_t *p, *end; /* borrowed from the message */
	enum bgp_af af;
	bool add_path;
	uint32_t count; /* prefixes in it when it was checked */
};

enum {
	/* path id, length, 16 bytes */
	BGP_NLRI_LEN_MAX = 4 + 1 + 16,
};

/* Walk [p, p + len): fill *out when every prefix is well-formed. False: *bad_at is the offset of
 * the first that is not (too long for the family, or cut by the end). RFC 7606 5.3 */
bool bgp_nlri_check(const uint8_t *p, size_t len, enum bgp_af af, bool add_path,
		    struct bgp_nlri_range *out, size_t *bad_at);
/* The next prefix; false at the end. */
bool bgp_nlri_next(struct bgp_nlri_range *it, struct bgp_nlri *out);
/* Bytes that bgp_nlri_put writes. */
size_t bgp_nlri_size(const struct prefix *p, bool add_path);
/* Write one prefix at `at`, where bgp_nlri_size bytes are free; host bits are cleared. Returns the
 * number of bytes. */
size_t bgp_nlri_put(uint8_t *at, const struct prefix *p, bool add_path, uint32_t path_id);
