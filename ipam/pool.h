/* ipam/pool.h - which pools may serve a request, and in which order their blocks are tried. */
#pragma once

#include "ipam/op.h"

struct ippool;

/* An IPPool as the allocator sees it. The name is borrowed. The selectors' verdicts are the
 * caller's. */
struct ipam_pool pool_from(const struct ippool *p, bool selects_node, bool selects_namespace);

/* A request's view of one family. */
struct pool_query {
	const struct ipam_world *world;
	enum ip_family family;
	enum ipam_use use;
	struct ipam_names asked; /* pools asked for; these bypass selectors and assignment mode */
	const char *host;	 /* for the error's text */
};

/* The indices into world->pool that qualify, in the order of their names, to out[world->n_pool].
 * Returns how many, or a negative errno: a pool asked for is missing or unusable, or none is left.
 */
ssize_t pool_choose(const struct pool_query *q, size_t *out, struct err *e);
/* The pool that contains a; disabled ones count only when usable is false. NULL: none. */
const struct ipam_pool *pool_of(const struct ipam_world *world, const struct addr *a, bool usable);
/* The block of this pool that contains a. */
struct prefix pool_block(const struct ipam_pool *pool, const struct addr *a);
/* Blocks in a pool, saturating at 2^32 - 1: more than anybody walks. */
uint32_t pool_n_blocks(const struct ipam_pool *pool);
/* The i-th block of a pool. */
struct prefix pool_block_at(const struct ipam_pool *pool, uint32_t i);
/* Where a host begins to look, so that hosts spread: below n (which is not 0). The order goes on
 * from there, around the end. seed is fnv1(host). */
uint32_t pool_start(uint32_t seed, uint32_t n);
/* 32-bit FNV-1: fnv1("host01") is 1611109258. */
uint32_t fnv1(const char *text);
/* Is all of p inside of reservations? */
bool reserved_wholly(const struct ipam_world *world, const struct prefix *p);
