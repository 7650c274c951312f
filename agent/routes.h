/* routes.h - the kernel's table on the loop: events in, one apply for everything that a loop turn
 * changed, and the promise that nothing is removed before all that is wanted has been claimed.
 *
 *	route_desire(routes_table(a->routes), ROUTE_CLASS_..., ...);
 *	routes_changed(a->routes);
 *	... after the first complete picture, once:
 *	routes_claimed(a->routes, ROUTES_ENDPOINTS); */
#pragma once

#include "dataplane/route.h"

struct agent;
struct routes;

/* Who has something in the table. Leftovers of an earlier life go when all of them have claimed. */
enum routes_party {
	ROUTES_BLOCKS, /* not before it is certain that no other agent runs by this node's name */
	ROUTES_ENDPOINTS,
	ROUTES_FIB, /* has taken under its protection what the kernel had from BGP */
	ROUTES_OVERLAY,
	ROUTES_PARTY_MAX_,
};

/* Lists links and routes of the current namespace. NULL on failure. */
struct routes *routes_new(struct agent *a, struct err *e);
/* Leaves the kernel as it is. */
void routes_free(struct routes *r);

struct route_table *routes_table(const struct routes *r);
/* Claims changed: apply at the end of this turn of the loop. */
void routes_changed(struct routes *r);
/* fn is called whenever nothing is left to write: all that was claimed is in the kernel, or waits for a
 * link. One at a time; NULL: nobody. */
typedef void routes_applied_fn(void *arg);
void routes_on_applied(struct routes *r, routes_applied_fn *fn, void *arg);
/* fn is called when a route of somebody else's may have changed. One at a time; NULL: nobody. */
typedef void routes_others_fn(void *arg);
void routes_on_others(struct routes *r, routes_others_fn *fn, void *arg);
/* Apply now: for who must know that a route is in the kernel before going on. 0 or -errno. */
int routes_flush(struct routes *r, struct err *e);
void routes_claimed(struct routes *r, enum routes_party who);
/* All have claimed, and what they claimed was written. */
bool routes_ready(const struct routes *r);
/* Why not, or what went wrong last; NULL when all is well. */
const char *routes_trouble(const struct routes *r);
