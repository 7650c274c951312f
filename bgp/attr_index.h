/* attr_index.h - where the attribute table's values are, by hash
 *
 * WHY    A table of a million values is far larger than the caches. A chain from value to value costs
 *        a wait for memory for each; here a lookup waits once for a slot, and only for a value whose
 *        hash agrees in 16 bits more. Taking a value out looks at no other value.
 * SHAPE  Open addressing. A slot is a value's address with high bits of its hash in the 16 bits that
 *        no address of a process uses. It grows by moving a few slots of the old array with each
 *        insertion, so that no single UPDATE pays for a million moves. */
#pragma once

#include "lib/base.h"

struct bgp_attrs;

struct bgp_attr_slots {
	uint64_t *slot;
	size_t mask;
	size_t used; /* those that were taken out of included */
};

struct bgp_attr_index {
	struct bgp_attr_slots now, old; /* old: being emptied into now; old.slot NULL: nothing */
	size_t old_at;			/* first slot of old that may still have something */
	size_t count;
};

void bgp_attr_index_init(struct bgp_attr_index *x);
void bgp_attr_index_done(struct bgp_attr_index *x);

/* Is this the value that is looked for? Asked for those with the same hash. */
typedef bool bgp_attr_match(const struct bgp_attrs *a, const void *arg);
struct bgp_attrs *bgp_attr_index_find(const struct bgp_attr_index *x, uint32_t hash,
				      bgp_attr_match *match, const void *arg);
/* a->hash is set; no equal value is there. */
void bgp_attr_index_add(struct bgp_attr_index *x, struct bgp_attrs *a);
/* It is there. */
void bgp_attr_index_remove(struct bgp_attr_index *x, const struct bgp_attrs *a);
/* It will be removed soon. */
void bgp_attr_index_prefetch(const struct bgp_attr_index *x, const struct bgp_attrs *a);
size_t bgp_attr_index_bytes(const struct bgp_attr_index *x);
