/* block.h - one IPAM block: a run of addresses, who holds each, and in which order the free ones
 *go.
 *
 *	ordinal      0   1   2   3		cidr 10.20.0.64/30
 *	alloc        0   -1  -1  1		index into attr[], -1: not allocated
 *	attr         [0] tunnel of edge-7   [1] k8s-pod-network.9f31aa
 *	free         1 -> 2			head is next; a released ordinal goes to the tail
 *
 * A block is a value: it is decoded, changed in memory and written back whole, under the revision
 *at which it was read. Every change to be written begins with block_next_write().
 *
 * Attributes are kept as JSON text, exactly as they were read, so what other writers put there
 * survives; so do unknown members of the block itself. */
#pragma once

#include <jansson.h>

#include "lib/addr.h"
#include "lib/err.h"

enum { BLOCK_SIZE_MAX = 4096 }; /* addresses: a /20 or a /116, the largest blockSize there is */

struct block_attr {
	char *handle;	     /* NULL: no handle */
	char *json;	     /* the whole entry: {"handle_id":...,"secondary":{...}} */
	int64_t released_ns; /* 0, or since when the address cools down */
	unsigned n_refs;     /* ordinals that point here */
};

struct block {
	struct prefix cidr;
	char *affinity;	  /* "host:edge-7", "virtual:load-balancer", or NULL */
	char *claim_time; /* text as it was, or NULL */
	unsigned size;
	int *alloc;	/* [size] */
	unsigned *free; /* [n_free] ordinals, head first */
	unsigned n_free;
	struct block_attr *attr; /* [n_attr] */
	unsigned n_attr;
	uint64_t seq;	  /* of the block; Calico seeds it with nanoseconds since 1970 */
	uint64_t *seq_of; /* [size]: seq at which each was allocated, 0: not recorded */
	bool deleted;
	char *extra; /* members unknown here: "\"key\":value,..." or NULL */
};

/* A new block, all addresses free in ascending order, held by owner, claimed now. */
struct block *block_new(const struct prefix *cidr, const char *owner, int64_t now_ns);
/* Total. 0 and a block that keeps every invariant (allocations point at attributes, each attribute
 * is pointed at, each ordinal is either allocated or free once), or -EINVAL and what is broken. */
int block_decode(const char *text, size_t len, struct block **out, struct err *e);
/* One line of JSON, caller frees. block_decode of it gives an equal block. */
char *block_encode(const struct block *b);
/* The same in the spelling of the CRD crd.projectcalico.org/v1 IPAMBlock's spec. */
char *block_encode_crd(const struct block *b);
void block_free(struct block *b);
void block_freep(struct block **b); /* for CLEANUP */

/* Is everything that block_decode promises still so? For tests and the simulation. */
int block_check(const struct block *b, struct err *e);

/* Begin a change: returns the number that this write's allocations carry, counts the block's on. */
uint64_t block_next_write(struct block *b);

/* Make an attribute entry's JSON from a handle and owner attributes (an object or NULL, borrowed).
 */
char *block_attr_json(const char *handle, json_t *secondary);
/* The owner attributes of an entry, a new reference; NULL when it has none. */
json_t *block_attr_owner(const struct block_attr *a);
/* One owner attribute ("pod", "node"), on the heap; NULL when it is not there or no text. */
char *block_attr_get(const struct block_attr *a, const char *name);

/* Allocate free ordinal ord for attr_json. False when it is not free. */
bool block_take(struct block *b, unsigned ord, const char *attr_json, uint64_t seq);
/* Allocate up to want ordinals from the head of the free list, skipping what lies in reserved;
 * writes them to ords and returns how many. */
unsigned block_take_next(struct block *b, unsigned want, const struct prefix *reserved,
			 size_t n_reserved, const char *attr_json, uint64_t seq, unsigned *ords);
/* How many a block_take_next could get. */
unsigned block_available(const struct block *b, const struct prefix *reserved, size_t n_reserved);
/* The allocated ordinal cools down from now on; block_collect frees it. */
void block_release(struct block *b, unsigned ord, int64_t now_ns);
/* Free what has cooled for cooldown_s seconds (0: all that is released). Returns how many. */
unsigned block_collect(struct block *b, int64_t now_ns, unsigned cooldown_s);

/* Nothing is allocated, except what Windows hosts reserve for themselves. */
bool block_is_empty(const struct block *b);
/* The entry that an ordinal is allocated to, NULL when it is free. */
const struct block_attr *block_attr_of(const struct block *b, unsigned ord);
/* Ordinals held by a handle; ords may be NULL or has room for b->size. */
unsigned block_held_by(const struct block *b, const char *handle, unsigned *ords);
/* The address of an ordinal, and back: false when a is outside of the block. */
struct addr block_addr(const struct block *b, unsigned ord);
bool block_ord(const struct block *b, const struct addr *a, unsigned *ord);
/* Is the block held by this owner ("host:edge-7")? */
bool block_owned_by(const struct block *b, const char *owner);
/* When it was claimed, 0 when it does not say. */
int64_t block_claimed_ns(const struct block *b);
