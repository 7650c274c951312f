/* adjout_group.h - the inside of a group, for adjout.c (members, exports) and adjout_pull.c */
#pragma once

#include "bgp/adjout.h"

/* By net index, as the RIB's chunks. */
struct bgp_group_chunk {
	struct bgp_attrs *out[BGP_NETS_PER_CHUNK]; /* to tell; NULL: nothing */
	uint32_t pos[BGP_NETS_PER_CHUNK];	   /* its place in the log, low bits; 0: none */
	uint16_t from[BGP_NETS_PER_CHUNK];	   /* peer_id of the best path's source */
	uint8_t *told;				   /* a bit per member: stride bytes a net */
};

struct bgp_export_cache {
	uint32_t serial;	    /* of the source */
	struct bgp_attrs *in, *out; /* counted; out NULL: cannot be made */
};

/* Log entries: a net index, with a mark. */
#define BGP_LOG_OVERTAKEN UINT32_MAX
/* only those who have not been told need this: attributes are as they were */
#define BGP_LOG_FILL	  ((uint32_t)1 << 30)

enum { BGP_EXPORT_CACHE = 256 };

struct bgp_group {
	struct bgp_target target;
	VEC(struct bgp_group_chunk *) chunks;
	uint32_t stride;  /* bytes of bits per net */
	uint32_t filled;  /* nets from here on have not been computed yet; BGP_NET_NONE: all have */
	VEC(struct bgp_member *) members; /* by bit; NULL: free */
	uint32_t n_members, n_asleep;
	/* the log: a ring of net indexes; [base, head) is there */
	uint32_t *log;
	uint32_t cap, live; /* cap: a power of two; live: not overtaken */
	uint64_t base, head;
	struct bgp_export_cache cache[BGP_EXPORT_CACHE];
};

/* NULL when nothing was ever exported there. */
static inline struct bgp_group_chunk *bgp_group_chunk(const struct bgp_group *g, uint32_t net)
{
	uint32_t i = net / BGP_NETS_PER_CHUNK;

	return i < g->chunks.n ? g->chunks.p[i] : NULL;
}

static inline uint8_t *bgp_group_bits(const struct bgp_group *g, struct bgp_group_chunk *c,
				      uint32_t net)
{
	return c->told + (size_t)(net % BGP_NETS_PER_CHUNK) * g->stride;
}

/* adjout_log.c: append, and forget what all members have seen. */
void bgp_group_push(struct bgp_group *g, struct bgp_group_chunk *c, uint32_t net, bool fill);
void bgp_group_trim(struct bgp_adjout *ao, struct bgp_group *g);
