/* ipam/machine.h - what the operations share; for ipam/ only.
 *
 * An operation is a chain of short functions. Each ends by asking the store something and naming
 * the function that gets the answer (`return ipam_ask(op, store_get(key), on_answer)`), or by going
 * on to another one, or by IPAM_DONE, or by ipam_giveup. Procedures used by several operations take
 * a `then` that is called with their outcome:
 *
 *	claim	   affinity pending, block created, affinity confirmed
 *	unclaim	   affinity pendingDeletion, block deleted or let go, affinity deleted
 *	count	   write how many addresses the handle holds in a block
 *	take	   addresses out of one block: count, then the block
 *	drop	   addresses back into one block: the block, then count
 *
 * Each procedure has its variables in struct ipam_op; none runs twice at once in an operation.
 *
 * Two rules make lost answers and crashes harmless:
 *  1. Counts are SET to what the block will hold, never added to. Doing it again changes nothing.
 *  2. A write whose answer was lost counts as a conflict: read again, and see what is there. Before
 *     concluding that an allocation is NOT there although the handle says so, bump the block, so
 *     that a write still on its way fails. Whoever loses against such a bump writes the handle
 *     again before the block, so that a correction of the handle made meanwhile fails as well. */
#pragma once

#include "ipam/op.h"
#include "lib/vec.h"
#include "model/affinity.h"
#include "model/block.h"
#include "model/handle.h"
#include "model/ipamconfig.h"
#include "model/ipamkey.h"

enum {
	IPAM_TRIES_MAX = 100,	  /* conflicts in one piece of work: as Calico */
	IPAM_UNAVAILABLE_MAX = 6, /* in a row; with the pauses about 1.3 s */
	IPAM_WANT_MAX = 1024,	  /* addresses in one request */
	IPAM_BLOCKS_DEFAULT = 20, /* per host, family and pools, when nothing else is configured */
};

#define VEC_BODY(type)         \
	{                      \
		type *p;       \
		size_t n, cap; \
	}

/* An empty block of another host may be taken over when it was claimed this long ago. */
#define IPAM_RECLAIM_AGE_NS (60 * INT64_C(1000000000))

typedef enum ipam_state ipam_step_fn(struct ipam_op *op, const struct store_res *in);
typedef enum ipam_state ipam_then_fn(struct ipam_op *op, int outcome);

/* One of the host's affinities, as listed. */
struct ipam_aff {
	struct prefix cidr;
	char *owner;
	enum affinity_state state;
	int64_t rev;
};

/* The block at hand: as read or written last. */
struct ipam_slot {
	struct block *b; /* NULL: none, or not there */
	int64_t rev;
};

struct ipam_affs VEC_BODY(struct ipam_aff);
struct ipam_prefixes VEC_BODY(struct prefix);
struct ipam_texts VEC_BODY(char *);

/* The variables of each procedure. */
struct ipam_count {
	char *id;	  /* the handle at hand */
	struct handle *h; /* NULL: it does not exist */
	int64_t rev;
	bool known; /* h and rev are what was read or written last */
	bool sure;  /* and that was not from a cache */
	struct prefix cidr;
	unsigned n;
	bool adopt; /* the handle is expected not to exist: tell when it does */
	ipam_then_fn *then;
};

struct ipam_claim {
	char *owner;
	struct prefix cidr;
	struct affinity aff;
	int64_t rev;
	ipam_then_fn *then;
};

struct ipam_unclaim {
	char *owner;
	struct prefix cidr;
	struct affinity aff;
	int64_t rev;	   /* of the affinity; 0: there is none */
	uint64_t want_seq; /* only while the block has this number; 0: whichever */
	bool even_used;
	ipam_then_fn *then;
};

struct ipam_take {
	struct prefix cidr;
	unsigned family; /* index into want */
	bool own_only;	 /* only while the block is the owner's */
	bool counted;	 /* the handle was written for this block */
	bool bumped;	 /* the block was written, to keep what is held */
	unsigned n, ords[IPAM_WANT_MAX];
	int outcome;
	ipam_then_fn *then;
};

/* Which ordinals of the block at hand are to go? Writes them to ords (block size), returns how
 * many; *unsure when something expected is not there, which a cache may be wrong about. */
typedef unsigned ipam_pick_fn(struct ipam_op *op, const struct block *b, unsigned *ords,
			      bool *unsure);

struct ipam_drop {
	struct prefix cidr;
	ipam_pick_fn *pick;
	unsigned *ords, n;	   /* in the write under way, */
	struct ipam_addr *addrs;   /* and what they are */
	struct ipam_texts handles; /* whose counts change */
	size_t at;
	ipam_then_fn *then;
};

struct ipam_assigning {
	unsigned family; /* 0: IPv4, 1: IPv6 */
	size_t *pool;	 /* indices that qualify, by name */
	size_t n_pool;
	struct ipam_affs aff;
	size_t at;
	unsigned n_blocks;	     /* that the host has in these pools */
	struct store_res all;	     /* every block of the family */
	struct ipam_prefixes blocks; /* their cidrs, sorted */
	bool listed_fresh;
	size_t pool_at;	 /* candidates: which pool, */
	uint32_t walked; /* how far into it */
	size_t reclaim_at;
	struct ipam_prefixes stray; /* blocks of ours without affinity */
	struct ipam_prefixes tried;
	struct ipam_prefixes borrow;  /* blocks in the order in which to borrow from them */
	struct ipam_prefixes counted; /* blocks for which the handle was written: to undo */
	struct prefix candidate;
	char *broken; /* a block that could not be used, and why */
	enum ipam_fail short_fail, why_fail;
	char *why;
	unsigned limit;
	ipam_then_fn *listed_then;
};

struct ipam_releasing {
	VEC(struct ipam_proof) proof; /* handles owned */
	struct ipam_prefixes blocks;
	size_t at;
	size_t skip; /* entries of the handle that cannot be dealt with */
	unsigned rounds;
	struct err first; /* what went wrong first */
	char *network;
	struct ipam_texts live; /* sorted */
	int64_t grace_ns, cutoff_ns;
	unsigned family;
	bool homeless[2]; /* there are addresses outside of every pool */
};

struct ipam_held {
	char *id;
	struct prefix cidr;
	unsigned n;
};

struct ipam_mending {
	struct ipam_affs aff;
	struct ipam_prefixes owned;   /* blocks that say they are the owner's */
	struct ipam_prefixes foreign; /* blocks of other owners, sorted */
	VEC(struct ipam_held) held;   /* what blocks say, sorted */
	struct ipam_texts handles;    /* to be looked at */
	struct store_res handle_list;
	struct ipam_prefixes entries; /* of the handle at hand */
	size_t at, entry_at;
	unsigned stage;
	bool dirty;
	unsigned n_left[2];
	struct prefix pool;
	bool any_host, unselected, even_used, want_handles, all_handles;
	unsigned keep;
	ipam_then_fn *next_item;
};

struct ipam_op {
	/* the request */
	struct ipam_world world;
	char *host, *owner; /* owner: "host:NAME" or "virtual:load-balancer" */
	char *handle_id, *attr_json;
	unsigned use;
	struct ipam_names asked[2];
	unsigned wanted[2], want[2]; /* IPv4, IPv6: in all, and still to get */
	unsigned max_blocks;
	bool all_or_nothing, own_only;
	struct addr ip; /* assign_ip: this one */

	/* the driver */
	ipam_step_fn *start, *next;
	struct store_req *out;
	int64_t now_ns;
	enum store_verb verb;
	char *reading;	  /* the key of the read in flight: to ask again */
	bool asked_fresh; /* the last read was not to be answered by a cache */
	bool fresh;	  /* there was a conflict: caches are behind */
	unsigned tries, unavailable, pause_ms;

	/* results */
	struct err err;
	enum ipam_fail fail;
	ipam_then_fn *on_fail; /* undo, or go on with the next item */
	bool undoing;
	VEC(struct ipam_addr) addr;
	struct ipam_tally tally;
	char *shortage;

	struct ipamconfig config;
	ipam_then_fn *config_then;

	/* the block at hand: as read or written last; NULL: it is not there */
	struct block *block;
	int64_t block_rev;

	struct ipam_count count;
	VEC(struct ipam_count) others; /* handles that were at hand before */
	struct ipam_claim claim;
	struct ipam_unclaim unclaim;
	struct ipam_take take;
	struct ipam_drop drop;
	struct ipam_assigning as;
	struct ipam_releasing re;
	struct ipam_mending mend;
};

/* op.c: the driver */
struct ipam_op *ipam_op_new(const struct ipam_world *world, const char *host, ipam_step_fn *start);
/* Consumes req; the answer goes to next. Reads may be answered by a cache until there is a
 * conflict. */
enum ipam_state ipam_ask(struct ipam_op *op, struct store_req req, ipam_step_fn *next);
/* GET or LIST of a key on the heap, which is consumed. fresh: not from a cache. */
enum ipam_state ipam_get(struct ipam_op *op, char *key, bool fresh, ipam_step_fn *next);
enum ipam_state ipam_list(struct ipam_op *op, char *prefix, bool fresh, ipam_step_fn *next);
/* The operation cannot go on: on_fail, then IPAM_FAILED. */
enum ipam_state ipam_giveup(struct ipam_op *op, enum ipam_fail fail, int code, const char *fmt, ...)
	PRINTF(4, 5);
/* The same with op->err as it was set. */
enum ipam_state ipam_giveup_err(struct ipam_op *op, enum ipam_fail fail);
/* Note an address of the block at hand as a result; false when it is one already. */
bool ipam_add_addr(struct ipam_op *op, const struct block *b, unsigned ord, bool held);
/* Is the block in no usable pool that selects the host? */
bool ipam_unselected(const struct ipam_op *op, const struct prefix *cidr);
bool ipam_prefixes_has(const struct ipam_prefixes *set, const struct prefix *p);
void ipam_affs_clear(struct ipam_affs *affs);
/* Add what a LIST of affinities says. -EINVAL with op->err set for a broken one. */
int ipam_affs_read(struct ipam_op *op, struct ipam_affs *affs, const struct store_res *in);

/* config.c: reads the settings, then goes on. */
enum ipam_state ipam_config(struct ipam_op *op, ipam_then_fn *then);

/* slot.c: the block at hand */
void ipam_slot_clear(struct ipam_op *op);
enum ipam_state ipam_slot_get(struct ipam_op *op, const struct prefix *cidr, bool fresh,
			      ipam_step_fn *next);
/* Take a GET's answer: 0, also when there is none; -EINVAL with op->err set for a broken one. What
 * has cooled down is free afterwards. */
int ipam_slot_read(struct ipam_op *op, const struct prefix *cidr, const struct store_res *in);
/* Write or delete the block at hand where it was read. */
enum ipam_state ipam_slot_create(struct ipam_op *op, ipam_step_fn *next);
enum ipam_state ipam_slot_update(struct ipam_op *op, ipam_step_fn *next);
enum ipam_state ipam_slot_delete(struct ipam_op *op, ipam_step_fn *next);
/* Write it with nothing changed but its number and revision. */
enum ipam_state ipam_slot_bump(struct ipam_op *op, ipam_step_fn *next);

/* count.c */
enum { COUNT_OK, COUNT_EXISTED };
/* Choose the handle at hand. */
void ipam_count_for(struct ipam_op *op, const char *handle_id);
/* Read it, unless it is known well enough. */
enum ipam_state ipam_count_read(struct ipam_op *op, bool fresh, ipam_then_fn *then);
/* Before a block is written: what it will hold there. Writes even when it says so already. */
enum ipam_state ipam_count_raise(struct ipam_op *op, const struct prefix *cidr, unsigned n,
				 ipam_then_fn *then);
/* After a block, now at hand, was written: what it does hold; it goes when that is nothing. The
 * block must have been written after the handle was read; else make it unknown first. */
enum ipam_state ipam_count_settle(struct ipam_op *op, const struct prefix *cidr,
				  ipam_then_fn *then);

/* claim.c: afterwards the block is at hand. CLAIM_TAKEN: it is somebody else's. */
enum { CLAIM_OK, CLAIM_TAKEN };
enum ipam_state ipam_claim(struct ipam_op *op, const char *owner, const struct prefix *cidr,
			   ipam_then_fn *then);

/* unclaim.c. UNCLAIM_USED: not empty. UNCLAIM_BUSY: somebody changes it now. */
enum { UNCLAIM_OK, UNCLAIM_USED, UNCLAIM_BUSY };
enum ipam_state ipam_unclaim(struct ipam_op *op, const char *owner, const struct prefix *cidr,
			     uint64_t want_seq, bool even_used, ipam_then_fn *then);

/* take.c: as many of want as the block has. have: the block is at hand, not from a cache. */
enum {
	TAKE_DONE,     /* want is lower, if there was room */
	TAKE_GONE,     /* there is no such block */
	TAKE_NOT_OURS, /* own_only, and it has another owner */
	TAKE_EXISTED,  /* the handle existed before */
	TAKE_BROKEN,   /* see as.broken */
};
enum ipam_state ipam_take(struct ipam_op *op, const struct prefix *cidr, bool own_only, bool have,
			  ipam_then_fn *then);

/* drop.c: what pick says leaves a block, and the handles' counts follow. DROP_BROKEN: op->err. */
enum { DROP_OK, DROP_BROKEN };
enum ipam_state ipam_drop(struct ipam_op *op, const struct prefix *cidr, ipam_pick_fn *pick,
			  ipam_then_fn *then);
/* What handle_id holds, but for addresses that it held before this operation. */
unsigned ipam_pick_handle(struct ipam_op *op, const struct block *b, unsigned *ords, bool *unsure);

/* undo.c: for assigning operations, give back and fail. */
enum ipam_state ipam_undo(struct ipam_op *op, int ignored);
