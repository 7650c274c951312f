/* fib.h - sets of next hops, and the queue of prefixes whose set changed.
 *
 * WHY    Many prefixes share few sets of next hops. A set has a number, a net keeps the number of
 *        the set that it should have (bgp_net.hops), and "did forwarding change?" compares two
 *        numbers.
 * SHAPE  A net waits in the queue at most once. The queue remembers the set that the owner was told
 *        last, so a change that was taken back before it was told is never told. */
#pragma once

#include "bgp/rib.h"
#include "bgp/speaker.h"

struct bgp_hops;

struct bgp_fib {
	struct bgp_rib *rib; /* [BGP_AF_MAX_] */
	/* the sets: numbers begin at 1, 0 is the empty set */
	VEC(struct bgp_hops *) sets;
	uint32_t free_set; /* chain of unused numbers */
	uint32_t *buckets; /* by hash, chained through the sets */
	uint32_t mask, count;
	/* the queue: a ring */
	struct bgp_fib_entry *queue;
	uint32_t cap, head, n;
	/* telling everything again: where we are, per family; BGP_NET_NONE: not */
	uint32_t retell[BGP_AF_MAX_];
};

void bgp_fib_init(struct bgp_fib *fib, struct bgp_rib rib[BGP_AF_MAX_]);
void bgp_fib_done(struct bgp_fib *fib);
/* The net shall forward to these (bgp_hop_of; sorted, distinct) with this metric; n 0: to nothing.
 * Queues it if that is new. */
void bgp_fib_want(struct bgp_fib *fib, enum bgp_af af, uint32_t net, const struct addr *hops,
		  unsigned n, uint32_t metric);
enum bgp_fib_step {
	BGP_FIB_NONE,	 /* nothing waits */
	BGP_FIB_CHANGE,	 /* *out is to be told */
	BGP_FIB_SETTLED, /* the net left the queue with what was told last */
};
/* Take the next entry. *net is its index, BGP_NET_TELL is cleared: it may be free for removal
 * now. */
enum bgp_fib_step bgp_fib_next(struct bgp_fib *fib, struct bgp_fib_change *out, enum bgp_af *af,
			       uint32_t *net);
void bgp_fib_retell(struct bgp_fib *fib);
/* Nothing waits. */
bool bgp_fib_idle(const struct bgp_fib *fib);
