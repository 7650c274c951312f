/* adjout_group.h - the inside of a group, for adjout.c (members, exports) and adjout_pull.c */
#pragma once

#include "bgp/adjout.h"

/* Whose path an ADD-PATH group's route is: with bgp_group_chunk.from the key. */
struct bgp_route_key {
	uint32_t net;
	uint32_t next; /* route of the same net, or free one; BGP_NET_NONE: none */
	uint32_t prev; /* of the same net */
	uint32_t id;   /* RFC 7911, as it came */
	bool seen;     /* scratch of one update */
};

/* By route index. A group of best paths has one route for each net, with the same index. */
struct bgp_group_chunk {
	struct bgp_attrs *out[BGP_NETS_PER_CHUNK]; /* to tell; NULL: nothing */
	uint32_t pos[BGP_NETS_PER_CHUNK];	   /* its place in the log, low bits; 0: none */
	uint16_t from[BGP_NETS_PER_CHUNK];	   /* peer_id of the path's source */
	uint8_t *told;				   /* a bit per member: stride bytes a route */
	struct bgp_route_key *key;		   /* of an ADD-PATH group; else NULL */
};

struct bgp_export_cache {
	uint32_t serial; /* of the source */
	struct bgp_export_plan plan;
	struct bgp_attrs *in, *out; /* counted; out NULL: cannot be made */
};

/* Log entries: a route index, with a mark. */
#define BGP_LOG_OVERTAKEN UINT32_MAX
/* only those who have not been told need this: attributes are as they were */
#define BGP_LOG_FILL ((uint32_t)1 << 30)

enum { BGP_EXPORT_CACHE = 256 };

struct bgp_group {
	struct bgp_target target;
	VEC(struct bgp_group_chunk *) chunks;
	uint32_t stride; /* bytes of bits per route */
	/* ADD-PATH: routes by net (BGP_NET_NONE: none), indexes given so far, and free ones */
	VEC(uint32_t) heads;
	uint32_t n_routes, free_route;
	uint32_t filled; /* nets from here on have not been computed yet; BGP_NET_NONE: all have */
	VEC(struct bgp_member *) members; /* by bit; NULL: free */
	uint32_t n_members, n_asleep;
	uint32_t unheard; /* routes that are no more, and are kept until all members know */
	bool crowded;	  /* very many of one net */
	/* the log: a ring of net indexes; [base, head) is there */
	uint32_t *log;
	uint32_t cap, live; /* cap: a power of two; live: not overtaken */
	uint64_t base, head;
	struct bgp_export_cache cache[BGP_EXPORT_CACHE];
};

/* NULL when nothing was ever exported there. */
static inline struct bgp_group_chunk *bgp_group_chunk(const struct bgp_group *g, uint32_t route)
{
	uint32_t i = route / BGP_NETS_PER_CHUNK;

	return i < g->chunks.n ? g->chunks.p[i] : NULL;
}

/* Of a route that is there, in an ADD-PATH group. */
static inline struct bgp_route_key *bgp_group_key(const struct bgp_group *g, uint32_t route)
{
	return &g->chunks.p[route / BGP_NETS_PER_CHUNK]->key[route % BGP_NETS_PER_CHUNK];
}

static inline uint32_t bgp_group_net(const struct bgp_group *g, uint32_t route)
{
	return g->target.add_path ? bgp_group_key(g, route)->net : route;
}

static inline uint8_t *bgp_group_bits(const struct bgp_group *g, struct bgp_group_chunk *c,
				      uint32_t route)
{
	return c->told + (size_t)(route % BGP_NETS_PER_CHUNK) * g->stride;
}

/* A group needs a net's index as long as it has something to tell of it, or told it and not all members
 * have heard that this is over; with ADD-PATH, as long as it has a route of it. Counted, so that nobody
 * need ask five hundred groups when the last path of a prefix has gone. */
static inline bool bgp_group_needs(const struct bgp_group_chunk *c, uint32_t route)
{
	return c->out[route % BGP_NETS_PER_CHUNK] || c->pos[route % BGP_NETS_PER_CHUNK];
}
void bgp_adjout_hold(struct bgp_adjout *ao, uint32_t net, bool before, bool now);

/* adjout_paths.c: routes of an ADD-PATH group. Does anything need this net? */
bool bgp_group_has_net(const struct bgp_group *g, uint32_t net);
/* To look for the routes of a net's paths, of which there are n. */
struct bgp_route_look {
	uint32_t net;
	uint32_t hint;	/* where to look first; BGP_NET_NONE: at the begin */
	uint32_t last;	/* the net's last one, with a table */
	uint32_t *slot; /* of many: a table by whose they are; NULL: of few */
	uint32_t mask;
	uint64_t seed;
};
struct bgp_route_look bgp_route_look(const struct bgp_adjout *ao, struct bgp_group *g, uint32_t net,
				     unsigned n);
void bgp_route_look_done(struct bgp_route_look *look);
/* The route of this peer's path; made when it is not there. No more than n of them. */
uint32_t bgp_group_route(struct bgp_adjout *ao, struct bgp_group *g, struct bgp_route_look *look,
			 uint16_t from, uint32_t id, bool *fresh);
/* The same without making it; BGP_NET_NONE: there is none. */
uint32_t bgp_group_route_find(const struct bgp_group *g, uint32_t net, uint16_t from, uint32_t id);
/* Nobody has it or will be told of it: its index, which is the path id on the wire, may be taken
 * by another. */
void bgp_group_route_free(struct bgp_adjout *ao, struct bgp_group *g, uint32_t route);

/* adjout.c: the chunk of an index, made when it is not there. */
struct bgp_group_chunk *bgp_group_chunk_get(struct bgp_group *g, uint32_t route);

/* adjout_log.c: append, and forget what all members have seen. */
void bgp_group_push(struct bgp_adjout *ao, struct bgp_group *g, struct bgp_group_chunk *c,
		    uint32_t route, bool fill);
void bgp_group_trim(struct bgp_adjout *ao, struct bgp_group *g);
