/* rib.h - the prefixes of one family, the paths to each, and where they came from.
 *
 * SHAPE  A prefix is a struct bgp_net, named by a small index that stays the same while the prefix
 *        is there: export groups keep their own arrays by it. Paths come from sources; source 0 is
 *        this node, each other one is the life of one session. When a session ends, its source is
 *        marked dead (its paths are unusable from that moment) and a sweep takes the paths away in
 *        slices; the peer's next session has a source of its own, so the two never mix.
 *        A net whose paths changed waits in the dirty queue, once, until somebody decides it.
 * MEMORY one IPv4 prefix with one path: 24 bytes, and 8 in the index */
#pragma once

#include "bgp/attr.h"
#include "bgp/limits.h"
#include "bgp/types.h"
#include "lib/vec.h"

#define BGP_NET_NONE UINT32_MAX

enum bgp_source_state {
	BGP_SOURCE_LIVE,
	BGP_SOURCE_STALE, /* its session ended, its paths are kept: RFC 4724 */
	BGP_SOURCE_DEAD,
};

/* Where paths come from. What the decision process and the policies ask about a path's peer. */
struct bgp_source {
	uint32_t serial; /* of all sources ever, so that a new one is never taken for an old one */
	uint16_t index;
	uint16_t peer_id; /* the same over all sessions of a peer; 0: this node */
	bool heir;	  /* paths of the peer's earlier sessions may still be there */
	bool ebgp, rr_client;
	bool edits_path;    /* its import filter may put ASes in front: the first one was checked */
	bool any_first_as;  /* RFC 4271 6.3 leaves the check to us, and it is not wanted */
	enum bgp_role role; /* ours, towards it: RFC 9234 */
	uint8_t allowed_local_as;
	asn_t local_as, remote_as;
	uint32_t router_id;
	struct addr addr, local; /* the peer's end and ours */
	uint32_t ifindex;	 /* they are link-local: on this link */
	char ifname[16];
	void *peer; /* the owner's */
	struct {
		enum bgp_source_state state;
		bool long_lived;	      /* stale, and its restart time is over: RFC 9494 */
		uint32_t paths, usable, best; /* best: counts ECMP members too */
	} af[BGP_AF_MAX_];
};

struct bgp_sources {
	VEC(struct bgp_source *) all; /* NULL: free */
	uint32_t serial;
};

/* Number 0 is made here, by itself. */
void bgp_sources_init(struct bgp_sources *s);
void bgp_sources_done(struct bgp_sources *s);
/* A live source with every other field zero; NULL when there are BGP_SOURCES_MAX. */
struct bgp_source *bgp_source_new(struct bgp_sources *s);
/* Forget it; it must have no path left. */
void bgp_source_free(struct bgp_sources *s, struct bgp_source *src);
static inline struct bgp_source *bgp_source_at(const struct bgp_sources *s, uint16_t index)
{
	return s->all.p[index];
}
/* Paths in all families. */
uint32_t bgp_source_paths(const struct bgp_source *src);

enum bgp_path_flag {
	/* as the last decision found it; counted in the source */
	BGP_PATH_USABLE = 1 << 0,
	BGP_PATH_BEST = 1 << 1,
	BGP_PATH_MULTI = 1 << 2, /* shares the load with the best; the best has it too */
	BGP_PATH_FLAGS_ = 7,
};

struct bgp_path {
	struct bgp_attrs *attrs;
	uint32_t id; /* RFC 7911; 0 without */
	uint16_t source;
	uint8_t flags; /* enum bgp_path_flag */
};

enum bgp_net_flag {
	/* Without LIST the low bits are the path flags of the only path; with it: a path that was
	 * the best or shared its load has been replaced or removed since bgp_net_untouch. */
	BGP_NET_TOUCHED = 1 << 0,
	BGP_NET_LIST = 1 << 3, /* `list` instead of the path in place */
	BGP_NET_EMPTY = 1 << 4,
	BGP_NET_FREE = 1 << 5, /* not a prefix now */
	BGP_NET_DIRTY = 1 << 6,
	BGP_NET_TELL = 1 << 7, /* in the FIB's queue: bgp/fib.h */
};

struct bgp_path_list;

struct bgp_net {
	union {
		struct bgp_attrs *attrs;    /* one path, id 0 */
		struct bgp_path_list *list; /* any number */
	};
	uint32_t link; /* dirty queue, free list */
	uint32_t hops; /* the FIB's: the set of next hops wanted; 0: none */
	uint16_t source;
	uint8_t flags;
	uint8_t len;
	uint8_t key[]; /* 4 or 16 bytes */
};

struct bgp_rib {
	enum bgp_af af;
	struct bgp_attr_table *attrs;
	struct bgp_sources *sources;
	uint64_t seed;
	uint32_t stride; /* bytes of a net */
	uint8_t key_size;
	VEC(uint8_t *) chunks;
	uint32_t n_nets; /* indexes handed out so far; those that are free now included */
	uint32_t count;	 /* prefixes */
	uint32_t paths;
	uint32_t free_head;
	uint32_t dirty_head, dirty_tail, dirty_count;
	uint32_t dead_paths, sweep_at;
	/* Open addressing: tag in the high 8 bits, net index + 1 below; 0 is empty. A net that is free
	 * stays in it with its prefix, which often comes back, until half of all nets are such. */
	uint32_t *slots;
	uint32_t slots_mask;
	uint32_t idle; /* free nets that are in it */
};

void bgp_rib_init(struct bgp_rib *rib, enum bgp_af af, struct bgp_attr_table *attrs,
		  struct bgp_sources *sources, uint64_t seed);
/* Gives all paths back; sources' counts included. */
void bgp_rib_done(struct bgp_rib *rib);

enum bgp_rib_change {
	BGP_RIB_SAME,	 /* nothing to do */
	BGP_RIB_NEW,	 /* one more path */
	BGP_RIB_CHANGED, /* took the place of this peer's last one */
	BGP_RIB_FULL,	 /* a limit of limits.h: not taken */
};
/* A path, which takes the place of the same peer's (source's or an earlier session's) with this id.
 * Takes its own reference to attrs. A change makes the net dirty. */
enum bgp_rib_change bgp_rib_announce(struct bgp_rib *rib, const struct prefix *p,
				     struct bgp_source *src, uint32_t id, struct bgp_attrs *attrs);
/* False when there was none. A path of an earlier session of the same peer counts. */
bool bgp_rib_withdraw(struct bgp_rib *rib, const struct prefix *p, struct bgp_source *src,
		      uint32_t id);

/* Change a source's state. DEAD: its paths go by bgp_rib_sweep; nets turn dirty as they do. */
void bgp_rib_source_state(struct bgp_rib *rib, struct bgp_source *src, enum bgp_source_state state);
/* Give all paths of one source to another one of the same peer, without making anything dirty. */
void bgp_rib_move(struct bgp_rib *rib, struct bgp_source *from, struct bgp_source *to);
/* Look at up to `budget` nets for paths of dead sources and remove them. True: there is more. */
bool bgp_rib_sweep(struct bgp_rib *rib, unsigned budget);

/* Queue a net for decision; nothing when it waits already. */
void bgp_rib_dirty(struct bgp_rib *rib, uint32_t net);
/* Take the next net to decide; BGP_NET_NONE when there is none. */
uint32_t bgp_rib_next_dirty(struct bgp_rib *rib);
/* Those that it will give next, at most max of them: how many. */
unsigned bgp_rib_peek_dirty(const struct bgp_rib *rib, uint32_t *nets, unsigned max);
/* Forget a prefix without paths. Nobody may hold its index: dirty queue, FIB queue, exports. */
void bgp_rib_net_free(struct bgp_rib *rib, uint32_t net);

enum { BGP_NETS_PER_CHUNK = 1024 };

/* index < n_nets */
static inline struct bgp_net *bgp_rib_net(const struct bgp_rib *rib, uint32_t index)
{
	return (struct bgp_net *)(void *)(rib->chunks.p[index / BGP_NETS_PER_CHUNK] +
					  (size_t)(index % BGP_NETS_PER_CHUNK) * rib->stride);
}
/* Several prefixes will be announced or withdrawn soon: call this for all of them with each step in turn,
 * so that their ways through memory, from slot to net to path, overlap. The last two steps are for
 * withdrawing. */
enum bgp_rib_step {
	BGP_RIB_STEP_SLOT,
	BGP_RIB_STEP_NET,
	BGP_RIB_STEP_ATTRS,
	BGP_RIB_STEP_INTERNED,
	BGP_RIB_STEP_MAX_,
};
void bgp_rib_prefetch(const struct bgp_rib *rib, const struct prefix *p, enum bgp_rib_step step);
uint32_t bgp_rib_find(const struct bgp_rib *rib, const struct prefix *p);
struct prefix bgp_net_prefix(const struct bgp_rib *rib, const struct bgp_net *net);

/* The paths of a net as an array: *one is room for the case that it is kept in place. */
const struct bgp_path *bgp_net_paths(const struct bgp_net *net, struct bgp_path *one, unsigned *n);
/* Set the flags of path i; keeps the sources' counts. True when BEST or MULTI changed. */
bool bgp_net_set_flags(const struct bgp_rib *rib, struct bgp_net *net, unsigned i, uint8_t flags);
/* May the choice of a net be another one than when it was decided last, if no flag changes? Asking
 * makes it untouched. A net without a list always may. */
bool bgp_net_untouch(struct bgp_net *net);
/* The path with BGP_PATH_BEST, copied; false when there is none. */
bool bgp_net_best(const struct bgp_net *net, struct bgp_path *out);
size_t bgp_rib_bytes(const struct bgp_rib *rib);
