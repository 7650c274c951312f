/* endpoints.h - the workloads of this node in its kernel: host routes, sysctls, neighbours.
 *
 * SHAPE  What should be there follows from the WorkloadEndpoints of this node in the picture, and
 * from those that a CNI ADD is just attaching (not yet stored). A restart therefore adopts what is
 *        there: nothing is written that is right already. */
#pragma once

#include "agent/agent.h"
#include "agent/cni/epobj.h"
#include "lib/err.h"

enum {
	ENDPOINTS_MAX = 4096,	 /* of one node; a /20 of addresses, Kubernetes' own limit is 110 */
	ENDPOINT_MISSING_S = 60, /* an interface missing for so long is reported */
};

struct endpoints;

int endpoints_new(struct endpoints **out, struct agent *a, struct err *e);
/* Leaves the kernel as it is. NULL is fine. */
void endpoints_free(struct endpoints *eps);

/* The host end stands: set its sysctls, neighbours and routes, and return 0 only when the kernel
 * has all of it. w is copied. -EEXIST: something else of this host holds the route; else -errno. */
int endpoints_attach(struct endpoints *eps, const char *key, const struct epobj *w,
		     uint32_t ifindex, struct err *e);
/* Give the routes of an endpoint up, if it is this container's ("" is any). */
void endpoints_detach(struct endpoints *eps, const char *key, const char *container_id);
/* Remove the host interface of an endpoint whose container is gone, if it is there. */
void endpoints_unlink(struct endpoints *eps, const char *key);
/* Is the kernel still as attach left it? For CHECK: 0, or -ESTALE with what is not. */
int endpoints_verify(struct endpoints *eps, const char *key, struct err *e);

struct endpoints_counts {
	unsigned n, missing; /* known; of these without an interface */
};
struct endpoints_counts endpoints_count(const struct endpoints *eps);
