/* attr_rows.h - the table of path attributes: what attr_wire.c knows of each of them. */
#pragma once

#include "bgp/aspath.h"
#include "bgp/attr_wire.h"

struct bgp_attr_parse {
	struct bgp_attr_table *t;
	const struct bgp_wire *wire;
	struct bgp_attrs_parse *out;
	uint64_t seen[4]; /* types so far */
	/* from an old speaker, until they are merged */
	const uint8_t *as4_path;
	uint16_t as4_path_len;
	bool as4_aggregator;
	asn_t as4_aggregator_as;
	uint32_t as4_aggregator_id;
	struct bgp_path_facts path;
	/* the attribute at hand, all of it */
	const uint8_t *attr;
	size_t attr_len;
};

struct bgp_attr_row {
	const char *name;
	uint8_t flags; /* as they must be, of Optional and Transitive */
	uint8_t len;   /* the only valid length; 0: see unit */
	uint8_t unit;  /* the length is a multiple of that, not 0 unless may_be_empty */
	bool may_be_empty;
	bool ibgp_only;	 /* from an eBGP peer it is ignored */
	uint8_t subcode; /* of UPDATE Message Error for a bad value */
	enum bgp_verdict on_error;
	enum bgp_attr_part part; /* decode and encode NULL: the value is this part as it is */
	/* NULL, or what is wrong with the value */
	const char *(*decode)(struct bgp_attr_parse *p, const uint8_t *v, size_t n);
	void (*encode)(struct wr *w, const struct bgp_attrs *a, const struct bgp_wire *wire);
};

/* NULL for a type that is not in the table. */
const struct bgp_attr_row *bgp_attr_row(uint8_t type);
/* RFC 4271 6.3: may this be a next hop, being the address of a host? */
bool bgp_is_host(const struct addr *a);
uint32_t bgp_u32_at(const uint8_t *p);
