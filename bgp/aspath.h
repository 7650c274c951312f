/* aspath.h - AS_PATH in wire form: checked, widened, merged, counted, printed.
 *
 * WIRE   segments: [type: 1] [count: 1] [count AS numbers of 2 or 4 bytes]
 * All but bgp_path_check and bgp_path_widen want 4-octet numbers and a checked path.
 * SPEC   RFC 4271 4.3 b, 9.1.2.2 a; 5065; 6793 4.2.3; 7606 7.2; 7607 */
#pragma once

#include "bgp/types.h"
#include "lib/str.h"

enum bgp_segment {
	BGP_SEGMENT_SET = 1,
	BGP_SEGMENT_SEQUENCE = 2,
	BGP_SEGMENT_CONFED_SEQUENCE = 3,
	BGP_SEGMENT_CONFED_SET = 4,
};

enum {
	/* Longest path kept, in bytes with 4-octet numbers: 4095 AS numbers, far above what a
	 * 4096-byte message can hold in 2-octet form (2035). */
	BGP_PATH_MAX = 16384,
};

/* What bgp_path_check found in passing. */
struct bgp_path_facts {
	bool has_set, has_confed, has_as0;
	asn_t first_as, origin_as; /* as in struct bgp_attrs */
	uint16_t len;		   /* RFC 4271 9.1.2.2 a */
};

/* NULL when well-formed, else what is wrong. as_size: 2 or 4. */
const char *bgp_path_check(const uint8_t *p, size_t len, unsigned as_size,
			   struct bgp_path_facts *facts);
/* Rewrite 2-octet numbers as 4-octet ones into out, of BGP_PATH_MAX bytes; the new length, 0 when
 * it does not fit. */
size_t bgp_path_widen(const uint8_t *p, size_t len, uint8_t *out);
/* RFC 6793 4.2.3: what AS4_PATH knows put in the place of AS_TRANS. Both checked and 4-octet. out
 * is of BGP_PATH_MAX bytes; the new length, 0 when AS4_PATH is of no use (keep the path). */
size_t bgp_path_merge(const uint8_t *path, size_t len, const uint8_t *as4, size_t as4_len,
		      uint8_t *out);
/* The path with `as` n times in front, into out; the new length, 0 when size is too small. */
size_t bgp_path_prepend(const uint8_t *p, size_t len, asn_t as, unsigned n, uint8_t *out,
			size_t size);
/* Write it with numbers of 2 octets, AS_TRANS for what does not fit: for an old speaker. True when
 * one did not fit, so that AS4_PATH is needed. out needs len bytes; *out_len is set. */
bool bgp_path_narrow(const uint8_t *p, size_t len, uint8_t *out, size_t *out_len);
/* How often `as` stands in it. */
unsigned bgp_path_count(const uint8_t *p, size_t len, asn_t as);
/* "65001 65002 {65003,65004} (65005)" */
void bgp_path_text(const uint8_t *p, size_t len, struct str *out);
