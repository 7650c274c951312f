/* attr_table.h - the inside of the attribute table that the UPDATE decoder shares.
 *
 * The decoder keeps two things there: scratch space for parts that it must rewrite, and the raw
 * bytes of the last attributes with the values that they became, because most UPDATEs in a row
 * carry the same ones. */
#pragma once

#include "bgp/aspath.h"
#include "bgp/attr.h"
#include "bgp/attr_index.h"

enum {
	/* Longest attribute block that is remembered raw; longer ones are decoded each time. */
	BGP_RAW_MAX = 512,
	/* One MP_REACH splits the rest into two pieces; a key has its head besides. */
	BGP_RAW_PIECES_MAX = 4,
};

/* The last well-formed attributes: if the next UPDATE has the same bytes, the values are known. */
struct bgp_raw_cache {
	struct bgp_wire wire; /* read under these rules */
	bool classic, mp;     /* had prefixes in the NLRI field, in MP_REACH */
	size_t len;	      /* 0: empty */
	uint8_t bytes[BGP_RAW_MAX];
	struct bgp_attrs *attrs[2]; /* for the NLRI field, for MP_REACH; counted */
};

struct bgp_attr_table {
	struct bgp_attr_index index;
	size_t bytes; /* of the values */
	uint64_t seed;
	struct bgp_raw_cache last;
	struct {
		uint8_t path[BGP_PATH_MAX], as4[BGP_PATH_MAX], merged[BGP_PATH_MAX];
		uint8_t large[BGP_MSG_MAX_EXT];
		uint8_t unknown[BGP_MSG_MAX_EXT];
	} scratch;
};
