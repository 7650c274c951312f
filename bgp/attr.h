/* attr.h - path attributes: decoded once, immutable, interned.
 *
 * SHAPE  A struct bgp_attrs is one allocation: fixed fields that the decision process and the export
 *        look at, then the variable parts as bytes. Two routes with the same attributes share one
 *        (hash-consed in a struct bgp_attr_table), so comparing is comparing pointers.
 *        AS_PATH is kept in its wire form with 4-octet AS numbers (AS4_PATH already merged).
 * SPEC   RFC 4271 5, 4360, 4456, 4760, 6793, 7606, 8092 */
#pragma once

#include "bgp/types.h"
#include "lib/buf.h"
#include "lib/str.h"

enum bgp_attr_type {
	BGP_ATTR_ORIGIN = 1,
	BGP_ATTR_AS_PATH = 2,
	BGP_ATTR_NEXT_HOP = 3,
	BGP_ATTR_MED = 4,
	BGP_ATTR_LOCAL_PREF = 5,
	BGP_ATTR_ATOMIC_AGGREGATE = 6,
	BGP_ATTR_AGGREGATOR = 7,
	BGP_ATTR_COMMUNITIES = 8,
	BGP_ATTR_ORIGINATOR_ID = 9,
	BGP_ATTR_CLUSTER_LIST = 10,
	BGP_ATTR_MP_REACH_NLRI = 14,
	BGP_ATTR_MP_UNREACH_NLRI = 15,
	BGP_ATTR_EXT_COMMUNITIES = 16,
	BGP_ATTR_AS4_PATH = 17,
	BGP_ATTR_AS4_AGGREGATOR = 18,
	BGP_ATTR_LARGE_COMMUNITIES = 32,
	BGP_ATTR_OTC = 35, /* Only To Customer, RFC 9234 */
};

/* Well-known communities. */
#define BGP_COMMUNITY_GRACEFUL_SHUTDOWN	  0xffff0000u /* RFC 8326 */
#define BGP_COMMUNITY_LLGR_STALE	  0xffff0006u /* RFC 9494 */
#define BGP_COMMUNITY_NO_LLGR		  0xffff0007u
#define BGP_COMMUNITY_NO_EXPORT		  0xffffff01u /* RFC 1997 */
#define BGP_COMMUNITY_NO_ADVERTISE	  0xffffff02u
#define BGP_COMMUNITY_NO_EXPORT_SUBCONFED 0xffffff03u

/* The same as bits, found once when a value is made. */
enum bgp_mark {
	BGP_MARK_GRACEFUL_SHUTDOWN = 1 << 0,
	BGP_MARK_LLGR_STALE = 1 << 1,
	BGP_MARK_NO_LLGR = 1 << 2,
	BGP_MARK_NO_EXPORT = 1 << 3, /* or NO_EXPORT_SUBCONFED: without confederations the same */
	BGP_MARK_NO_ADVERTISE = 1 << 4,
};

enum bgp_origin {
	BGP_ORIGIN_IGP,
	BGP_ORIGIN_EGP,
	BGP_ORIGIN_INCOMPLETE,
};

/* The variable parts, in the order in which they lie in `bytes`. */
enum bgp_attr_part {
	BGP_PART_AS_PATH,
	BGP_PART_COMMUNITIES,	    /* 4 bytes each, network order, as received */
	BGP_PART_EXT_COMMUNITIES,   /* 8 bytes each */
	BGP_PART_LARGE_COMMUNITIES, /* 12 bytes each */
	BGP_PART_CLUSTER_LIST,	    /* 4 bytes each */
	BGP_PART_UNKNOWN,	    /* whole attributes, ascending, Partial set */
	BGP_PART_MAX_,
};

/* Attributes that have a bit in `present`: neither the next hop nor what carries prefixes (see
 * next_hop), nor AS4_* (merged). */
#define BGP_ATTR_VALUE_BITS                                                          \
	(1ull << BGP_ATTR_ORIGIN | 1ull << BGP_ATTR_AS_PATH | 1ull << BGP_ATTR_MED | \
	 1ull << BGP_ATTR_LOCAL_PREF | 1ull << BGP_ATTR_ATOMIC_AGGREGATE |           \
	 1ull << BGP_ATTR_AGGREGATOR | 1ull << BGP_ATTR_COMMUNITIES |                \
	 1ull << BGP_ATTR_ORIGINATOR_ID | 1ull << BGP_ATTR_CLUSTER_LIST |            \
	 1ull << BGP_ATTR_EXT_COMMUNITIES | 1ull << BGP_ATTR_LARGE_COMMUNITIES |     \
	 1ull << BGP_ATTR_OTC)

/* The fields of fixed size. */
struct bgp_attr_values {
	/* bit (1 << enum bgp_attr_type) for each of BGP_ATTR_VALUE_BITS there; those of the lists
	 * follow from their length when a draft is interned */
	uint64_t present;
	uint32_t med;
	uint32_t local_pref;
	uint32_t originator_id;
	asn_t aggregator_as;
	uint32_t aggregator_id;
	asn_t otc;
	uint8_t origin;
	struct addr next_hop;	 /* of NEXT_HOP or MP_REACH; IP_NONE for routes made here */
	struct addr next_hop_ll; /* link-local beside a global one, RFC 2545; else IP_NONE */
};

struct bgp_attrs {
	/* of the table, not part of the value */
	uint32_t refs;
	uint32_t hash;
	/* the value */
	struct bgp_attr_values v;
	/* computed from AS_PATH by bgp_attrs_intern */
	asn_t first_as;	 /* neighbour AS: first of the leading AS_SEQUENCE, 0 when empty or a set */
	asn_t origin_as; /* last AS of the path, 0 when empty */
	uint8_t marks;	 /* set of enum bgp_mark */
	uint16_t path_len; /* RFC 4271 9.1.2.2 a: a set counts one, confederation segments none */
	uint16_t len[BGP_PART_MAX_];
	uint8_t bytes[]; /* the parts, one behind the other */
};

static inline bool bgp_attrs_has(const struct bgp_attrs *a, enum bgp_attr_type type)
{
	return a->v.present >> type & 1;
}

/* The bytes of one part, borrowed. */
struct rd bgp_attrs_part(const struct bgp_attrs *a, enum bgp_attr_part part);
bool bgp_attrs_path_contains(const struct bgp_attrs *a, asn_t as);
unsigned bgp_attrs_path_count(const struct bgp_attrs *a, asn_t as);
bool bgp_attrs_cluster_contains(const struct bgp_attrs *a, uint32_t cluster_id);
bool bgp_attrs_has_community(const struct bgp_attrs *a, uint32_t community);
/* "65001 65002 {65003}": for a person. */
void bgp_attrs_path_text(const struct bgp_attrs *a, struct str *out);
void bgp_attrs_communities_text(const struct bgp_attrs *a, struct str *out);

/* A value under construction; parts are copied by bgp_attrs_intern. Also what the decoder fills. */
struct bgp_attrs_draft {
	struct bgp_attr_values v;
	struct {
		const uint8_t *p;
		uint16_t len;
	} part[BGP_PART_MAX_];
};

/* A draft that borrows everything from a: change a part or two, intern the result. */
struct bgp_attrs_draft bgp_attrs_edit(const struct bgp_attrs *a);
/* Put `as` n times (1..255) in front of the draft's path. The new path is written to scratch, which
 * must live as long as the draft: path length + 2 + 4 n bytes. False, nothing changed: no room. */
bool bgp_attrs_prepend(struct bgp_attrs_draft *d, asn_t as, unsigned n, uint8_t *scratch,
		       size_t size);

struct bgp_attr_table;
struct bgp_attr_table *bgp_attr_table_new(void);
/* A secret for the hash, so that no peer can aim at one bucket. Before the first value. */
void bgp_attr_table_seed(struct bgp_attr_table *t, uint64_t seed);
/* Every value must have been unreferenced before (asserted; the decoder's own memory is given
 * back). */
void bgp_attr_table_free(struct bgp_attr_table *t);
/* The one shared value equal to the draft, with one more reference. */
struct bgp_attrs *bgp_attrs_intern(struct bgp_attr_table *t, const struct bgp_attrs_draft *draft);
struct bgp_attrs *bgp_attrs_ref(struct bgp_attrs *a);
void bgp_attrs_unref(struct bgp_attr_table *t, struct bgp_attrs *a);
/* This reference will be given back soon: have what that looks at on its way into the cache. */
void bgp_attrs_prefetch(const struct bgp_attr_table *t, const struct bgp_attrs *a);
size_t bgp_attr_table_count(const struct bgp_attr_table *t);
size_t bgp_attr_table_bytes(const struct bgp_attr_table *t);
size_t bgp_attrs_bytes(const struct bgp_attrs *a);
