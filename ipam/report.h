/* ipam/report.h - what a person wants to know about addresses: use of pools and blocks, who holds
 * one, who borrows, and what is wrong. Pure: from what was listed to rows; ctl/ prints them. */
#pragma once

#include <jansson.h>

#include "ipam/op.h"
#include "lib/vec.h"
#include "model/block.h"

/* Blocks as listed. A broken one is in `problem`, not in `block`. */
struct ipam_problem {
	enum ipam_problem_kind {
		PROBLEM_INVALID,	/* a block or handle that breaks its invariants */
		PROBLEM_NO_POOL,	/* in use outside of every enabled pool */
		PROBLEM_UNUSED,		/* allocated, and nothing uses it */
		PROBLEM_NOT_ALLOCATED,	/* used, and not allocated */
		PROBLEM_OWNERS,		/* used by more than one */
		PROBLEM_HANDLE_EMPTY,	/* a handle without addresses */
		PROBLEM_HANDLE_COUNT,	/* a handle whose count is not the block's */
		PROBLEM_HANDLE_MISSING, /* addresses whose handle does not exist */
		PROBLEM_AFFINITY,	/* affinity and block disagree */
		PROBLEM_MAX_,
	} kind;
	char *text;	  /* owned */
	struct addr addr; /* IP_NONE when it is not about one */
	char *handle;	  /* owned or NULL */
	uint64_t seq;
};

struct ipam_blocks {
	VEC(struct block *) block;
	VEC(struct ipam_problem) problem;
};

/* Decode a LIST of blocks and add it. What cooled down before now is free. */
void ipam_blocks_add(struct ipam_blocks *all, const struct store_res *list, int64_t now_ns,
		     unsigned cooldown_s);
void ipam_blocks_done(struct ipam_blocks *all);

/* Numbers of addresses: an IPv6 pool has more than 2^64. total = used + reserved + free. */
struct ipam_usage {
	bool is_pool;	    /* else a block of the pool above */
	const char *name;   /* of the pool; NULL: blocks outside of all pools */
	struct prefix cidr; /* 0.0.0.0/0 or ::/0 for those */
	const char *owner;  /* block: its affinity, or NULL */
	double total, used, reserved, free;
};

struct ipam_usages {
	struct ipam_usage *p;
	size_t n, cap;
};

/* One row for each pool, by CIDR; with_blocks: followed by its blocks. Names and owners are
 * borrowed. vec_done frees. */
void ipam_usage(const struct ipam_world *world, const struct ipam_blocks *all, bool with_blocks,
		struct ipam_usages *out);

/* Who holds an address? NULL: nobody. *seq as proof for a release. */
const struct block_attr *ipam_holder(const struct ipam_blocks *all, const struct addr *a,
				     uint64_t *seq);

/* An address used by another node than the block's. */
struct ipam_borrowed {
	struct addr addr;
	struct prefix block;
	char *node, *owner, *type, *what; /* owned; type "Pod", "Tunnel", ..., what "ns/pod" */
};

struct ipam_borrows {
	struct ipam_borrowed *p;
	size_t n, cap;
};

void ipam_borrowed(const struct ipam_blocks *all, struct ipam_borrows *out);
void ipam_borrows_done(struct ipam_borrows *b);

/* An address that a workload endpoint or a node's tunnel uses. */
struct ipam_user {
	struct addr addr;
	const char *who; /* "workload default/web-0", "node edge-7 tunnel" */
};

struct ipam_check {
	struct ipam_world world;
	struct ipam_blocks *blocks;
	const struct store_res *handles, *affinities; /* LISTs */
	const struct ipam_user *user;
	size_t n_user;
};

/* Add to blocks->problem whatever does not fit together. Returns the number of addresses that are
 * allocated. */
size_t ipam_check(const struct ipam_check *c);
/* "allocated and not used", ... */
const char *ipam_problem_name(enum ipam_problem_kind kind);
