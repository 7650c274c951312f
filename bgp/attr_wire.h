/* attr_wire.h - path attributes from and to the bytes of an UPDATE.
 *
 * Attributes are rows of a table in attr_rows.c: type, name, the flags they must have, their length,
 * what an error in them leads to (RFC 7606 7), and functions to read and to write the value. Adding
 * one is a row, those functions, its vectors in tests/unit/bgp/update.c.
 * SPEC   RFC 4271 4.3, 5, 6.3; 4456 8; 4760 3, 4; 6793; 7606; 7607; 8092; 8950 */
#pragma once

#include "bgp/attr.h"
#include "bgp/limits.h"

enum bgp_attr_flag {
	BGP_FLAG_OPTIONAL = 0x80,
	BGP_FLAG_TRANSITIVE = 0x40,
	BGP_FLAG_PARTIAL = 0x20,
	BGP_FLAG_EXTENDED = 0x10,
};

/* The hardest thing found wrong in a message so far. */
struct bgp_finding {
	enum bgp_verdict verdict;
	uint8_t subcode;     /* of UPDATE Message Error, should it come to a reset */
	const uint8_t *data; /* for that NOTIFICATION; borrowed */
	size_t len;
	char *text; /* BGP_TEXT_MAX bytes */
};

/* Note one more; a milder one than before changes nothing. data is quoted behind the text. */
void bgp_finding_add(struct bgp_finding *f, enum bgp_verdict verdict, uint8_t subcode,
		     const uint8_t *data, size_t len, const char *fmt, ...) PRINTF(6, 7);

/* MP_REACH_NLRI or MP_UNREACH_NLRI, its NLRI not yet looked at. */
struct bgp_mp {
	bool there; /* and of a negotiated family */
	enum bgp_af af;
	struct addr next_hop, next_hop_ll;
	const uint8_t *attr; /* all of it, for the NOTIFICATION */
	size_t attr_len;
	const uint8_t *nlri;
	size_t nlri_len;
};

struct bgp_attrs_parse {
	struct bgp_attrs_draft draft; /* next_hop is that of NEXT_HOP; borrows from the input and
				       * the table's scratch space: until the next decode */
	struct bgp_mp reach, unreach;
	unsigned others; /* attributes besides MP_UNREACH_NLRI */
	struct bgp_finding found;
};

/* Decode an UPDATE's path attributes. has_nlri: there are prefixes in the NLRI field. text: of
 * BGP_TEXT_MAX bytes, written when out->found.verdict is not BGP_OK. Total. */
void bgp_attrs_decode(struct bgp_attr_table *t, const struct bgp_wire *wire, const uint8_t *p,
		      size_t len, bool has_nlri, char *text, struct bgp_attrs_parse *out);

/* Write all but MP_REACH_NLRI, ascending. with_next_hop: NEXT_HOP too; the offset from w->start of
 * its 4 bytes is returned (0 without). */
size_t bgp_attrs_encode(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire,
			bool with_next_hop);

/* "AS_PATH"; NULL for a type that is not in the table. */
const char *bgp_attr_name(uint8_t type);
