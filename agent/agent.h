/* agent.h - what the parts of the agent share: one process, one thread, one loop.
 *
 * Parts know each other only through this struct and their own headers. main.c makes them in the
 * order in which they stand here and ends them in the reverse order. */
#pragma once

#include "lib/addr.h"

struct event_base;

struct agent {
	struct event_base *base;
	const struct agent_config *cfg; /* config.h */
	struct ds *ds;			/* datastore/ds.h */
	struct cache *cache;		/* cache.h: the datastore's picture */
	struct links *links;		/* dataplane/link.h: interfaces and addresses */
	struct routes *routes;		/* routes.h: what should be in the kernel's table, and applying it */
	struct node *node;		/* node.h: this node's own resource: addresses, AS, labels */
	struct blocks *blocks;		/* blocks.h: own affine blocks: blackholes, announcements */
	struct peering *peering;	/* peering.h: the BGP speaker, its sockets, its peers */
	struct endpoints *endpoints;	/* endpoints.h: local workloads: /32 routes, sysctls */
	struct ipam_runner *ipam;	/* ipam_runner.h: carries IPAM step machines against cache and store */
	struct cni_server *cni;		/* cni_server.h */
	struct ctl_server *ctl;		/* ctl_server.h */
	struct health *health;		/* health.h */
};
