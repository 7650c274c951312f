/* ipam/op.h - operations on addresses, as machines that the caller drives.
 *
 *	struct ipam_op *op = ipam_assign_op(&req);
 *	struct store_res *in = NULL;
 *	while ((state = ipam_step(op, in, now_ns, &out, &e)) == IPAM_WAIT)
 *		in = <carry out `out`, ipam_op_pause_ms(op) from now at the earliest>;
 *	... ipam_op_addrs(op, &n) ...
 *	ipam_op_free(op);
 *
 * One request is in flight per operation. Several operations of one host may run at the same time,
 * and every host runs its own: each write is conditional, so nobody gets an address twice, however
 * the steps interleave. Dropping an operation in the middle leaves at worst counts and affinities
 * that ipam_repair_op mends, and addresses that ipam_gc_op frees; never two owners of one address.
 *
 * Everything passed in a request is copied. */
#pragma once

#include <jansson.h>

#include "lib/addr.h"
#include "lib/err.h"
#include "model/store.h"

enum ipam_use {
	IPAM_USE_WORKLOAD = 1,
	IPAM_USE_TUNNEL = 2,
	IPAM_USE_LOAD_BALANCER = 4,
};

/* An IPPool, as far as the allocator cares. Selectors are evaluated by the caller: for the node and
 * for the namespace that this request is about. */
struct ipam_pool {
	const char *name;
	struct prefix cidr;
	uint8_t block_len;	/* blockSize: the prefix length of a block */
	bool disabled;		/* or being deleted, or not Allocatable */
	bool manual;		/* assignmentMode: only when asked for by name */
	unsigned uses;		/* allowedUses: enum ipam_use, or-ed */
	bool selects_node;	/* nodeSelector matches */
	bool selects_namespace; /* namespaceSelector matches */
};

/* What the allocator knows without asking. Pools in any order. */
struct ipam_world {
	const struct ipam_pool *pool;
	size_t n_pool;
	const struct prefix *reserved; /* all IPReservations */
	size_t n_reserved;
};

struct ipam_names {
	const char *const *p; /* names, or CIDRs of whole pools */
	size_t n;
};

struct ipam_assign {
	struct ipam_world world;
	const char *host;
	const char *handle;
	json_t *attrs; /* owner attributes: an object of texts, or NULL */
	enum ipam_use use;
	unsigned want_v4, want_v6;
	struct ipam_names pools_v4, pools_v6; /* empty: every pool that selects */
	unsigned max_blocks;		      /* 0: as configured */
	bool all_or_nothing; /* short of one address: give back the others and fail */
	bool own_only;	     /* from this host's blocks, whatever strictAffinity says: tunnels */
};

/* Addresses for a handle, 3.1 to 3.4 of the data model. A handle that holds some already (an ADD
 * that is repeated) gets those first. Without all_or_nothing the result may be shorter than asked,
 * ipam_op_shortage says why; getting nothing is a failure. Hot path with everything cached: handle
 * created, block written. */
struct ipam_op *ipam_assign_op(const struct ipam_assign *req);

struct ipam_assign_ip {
	struct ipam_world world;
	const char *host;
	const char *handle;
	json_t *attrs;
	unsigned use; /* enum ipam_use, 0: not checked */
	struct addr addr;
};

/* One particular address. Pool selectors, assignment mode and reservations are not asked.
 * DIFFERS: holding it already under the same handle is success, as everywhere in an ADD. */
struct ipam_op *ipam_assign_ip_op(const struct ipam_assign_ip *req);

/* An address to release, with proof of whose it is. */
struct ipam_proof {
	struct addr addr;
	const char *handle; /* NULL: whoever holds it */
	uint64_t seq;	    /* sequenceNumberForAllocation; 0: whichever */
};

struct ipam_release {
	struct ipam_world world;
	const char *host; /* this host: its emptied blocks in pools that no longer select it go */
	const struct ipam_proof *proof;
	size_t n_proof;
};

/* Addresses, each only when its proof holds. ipam_op_addrs gives what was released; the tally
 * counts what was not held or held by somebody else. */
struct ipam_op *ipam_release_op(const struct ipam_release *req);
/* All addresses of a handle, then the handle. A handle that does not exist is success with none. */
struct ipam_op *ipam_release_handle_op(const struct ipam_world *world, const char *host,
				       const char *handle);

struct ipam_gc {
	struct ipam_world world;
	const char *host;
	const char *network;	 /* handles "<network>.<container>" are judged, no others */
	const char *const *live; /* [n_live] handles in use, with those of ADDs in flight */
	size_t n_live;
	int64_t grace_ns; /* younger allocations stay */
};

/* Release what this host's containers hold that live no more. Never touches handles of tunnels, of
 * virtual machines, of other networks, or allocations that name another node. */
struct ipam_op *ipam_gc_op(const struct ipam_gc *req);

struct ipam_handback {
	struct ipam_world world;
	const char *host;   /* NULL: every host's, for a pool that goes */
	struct prefix pool; /* IP_NONE: blocks of any pool */
	bool unselected;    /* only blocks that no usable pool selecting the host contains */
	bool even_used;	    /* blocks in use as well: they stay, without an owner */
	unsigned keep;	    /* leave the host so many blocks of each family */
};

/* Give blocks back: delete empty ones, end the affinity of others when even_used. */
struct ipam_op *ipam_handback_op(const struct ipam_handback *req);

struct ipam_repair {
	struct ipam_world world;
	const char *host;
	bool handles;	  /* compare handles with blocks as well: lists all handles */
	bool all_handles; /* not only those that this host's or nobody's blocks are about */
};

/* Mend what crashes left: affinities half claimed or half released, blocks without affinity and
 * the reverse, handle counts. For a host's agent at its start. Safe beside other hosts at work. */
struct ipam_op *ipam_repair_op(const struct ipam_repair *req);

enum ipam_state {
	IPAM_WAIT,   /* carry out *out and step again with the answer */
	IPAM_DONE,   /* see the accessors */
	IPAM_FAILED, /* *e says why, ipam_op_fail says what kind */
};

/* in: the answer to the last request, borrowed; NULL at first. now_ns: wall clock. *out is the
 * caller's (store_req_done). Not to be called again after DONE or FAILED. */
enum ipam_state ipam_step(struct ipam_op *op, const struct store_res *in, int64_t now_ns,
			  struct store_req *out, struct err *e);
/* Wait so long before carrying out the last request: the store was unavailable, or busy. */
unsigned ipam_op_pause_ms(const struct ipam_op *op);
void ipam_op_free(struct ipam_op *op);
void ipam_op_freep(struct ipam_op **op); /* for CLEANUP */

enum ipam_fail {
	IPAM_FAIL_NONE,
	IPAM_FAIL_REQUEST,     /* the request itself is wrong */
	IPAM_FAIL_NO_POOL,     /* no pool qualifies */
	IPAM_FAIL_EXHAUSTED,   /* pools qualify and are full */
	IPAM_FAIL_BLOCK_LIMIT, /* the host has as many blocks as it may */
	IPAM_FAIL_STRICT,      /* only other hosts' blocks have room, and affinity is strict */
	IPAM_FAIL_TAKEN,       /* that address is held by somebody else */
	IPAM_FAIL_BUSY,	       /* too many conflicts: try again */
	IPAM_FAIL_UNAVAILABLE, /* the store does not answer: try again */
	IPAM_FAIL_STORE,       /* the store refuses */
	IPAM_FAIL_CORRUPT,     /* an object in the store is broken */
};

enum ipam_fail ipam_op_fail(const struct ipam_op *op);
/* "pool exhausted", "strict affinity", ... */
const char *ipam_fail_name(enum ipam_fail fail);

struct ipam_addr {
	struct addr addr;
	struct prefix block; /* whose length is the mask that Calico reports */
	uint64_t seq;	     /* proof for ipam_release_op */
	bool held;	     /* the handle had it before this operation */
};

/* What was assigned (v4 first) or released; borrowed from op. */
const struct ipam_addr *ipam_op_addrs(const struct ipam_op *op, size_t *n);
/* DONE with fewer addresses than asked: why. NULL: all are there. */
const char *ipam_op_shortage(const struct ipam_op *op);

struct ipam_tally {
	unsigned released;   /* addresses */
	unsigned not_held;   /* proofs: nobody held the address */
	unsigned mismatched; /* proofs: somebody else holds it */
	unsigned blocks;     /* claimed, or handed back */
	unsigned affinities; /* repaired */
	unsigned handles;    /* repaired */
	unsigned failed;     /* items that could not be dealt with; the error tells the first */
};

struct ipam_tally ipam_op_tally(const struct ipam_op *op);
