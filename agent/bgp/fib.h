/* fib.h - what BGP chose, as routes for the kernel; and what the kernel says of a next hop.
 *
 * WHY    A restart must not lose a packet: the routes that the last life learned from its peers are
 *        adopted at the start (claimed as they are) and each is given up only when BGP says
 *        something about its prefix, or when all peers have had their say (fib_release_adopted). */
#pragma once

#include "bgp/speaker.h"
#include "dataplane/route.h"

struct agent;
struct fib;

/* Adopts at once what the kernel has from an earlier life. */
struct fib *fib_new(struct agent *a, struct err *e);
void fib_free(struct fib *f);

enum { FIB_TOGETHER = ROUTE_PREFETCH_MAX };
/* Carry changes of the speaker's into claims, FIB_TOGETHER at most. */
void fib_changes(struct fib *f, const struct bgp_fib_change *c, unsigned n);
/* Every peer had its chance: adopted routes that nobody told again may go. */
void fib_release_adopted(struct fib *f);
/* Routes adopted at the start, and those of them that still wait. */
size_t fib_adopted(const struct fib *f);
size_t fib_waiting(const struct fib *f);

/* Peers that are reached by a gateway (reachableBy), the whole set: a route to each of them, and what
 * they announce goes the same way. A pod: behind its interface, which has its route. Copied. */
struct fib_gateway {
	struct addr peer, gateway;
	char pod[16]; /* its interface; "": by the gateway */
};
void fib_set_gateways(struct fib *f, const struct fib_gateway *g, size_t n);

/* Interfaces whose networks are no way to a next hop: names and patterns with commas; NULL: none.
 * Copied. */
void fib_set_ignored(struct fib *f, const char *list);

/* The speaker's question (bgp_resolve_fn; arg is the fib). Next hops resolve through links and
 * through kernel routes of others, also a default route, never through a BGP route. */
struct bgp_resolution fib_resolve(void *arg, const struct addr *next_hop);
/* Links or routes changed, or may have: look at all next hops again. True when an answer differs,
 * so that the speaker must ask again and tell its routes again. */
bool fib_recheck(struct fib *f);
