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
	struct metrics *metrics;	/* metrics.h: where parts say their numbers; never NULL */
	struct ds *ds;			/* datastore/ds.h */
	struct cache *cache;		/* cache.h: the datastore's picture */
	struct felix *felix;		/* felix.h: FelixConfiguration, as it holds here */
	struct link_table *links;	/* dataplane/link.h: interfaces and addresses */
	struct routes *routes;		/* routes.h: applies what should be in the kernel's table */
	struct owner *owner;		/* owner.h: is this the only agent of this node? */
	struct self *self;		/* self.h: this node's own resource, default pools */
	struct fib *fib;		/* fib.h: BGP's choice as kernel routes */
	struct peering *peering;	/* peering.h: the BGP speaker, its sockets, its peers */
	struct blocks *blocks;		/* blocks.h: own affine blocks: blackholes, announcements */
	struct overlay *overlay;	/* overlay.h: other nodes' blocks, tunnels to them */
	struct endpoints *endpoints;	/* endpoints.h: local workloads: /32 routes, sysctls */
	struct policing *policing; /* policing.h: network policy; NULL: not enforced */
	struct ipam_runner
		*ipam; /* ipam_runner.h: carries IPAM step machines against cache and store */
	struct cni_server *cni; /* cni_server.h */
	struct ctl_server *ctl; /* ctl_server.h */
	struct health *health;	/* health.h */
	struct metrics_server *metrics_server; /* metrics_server.h */
	unsigned pod_mtu;	/* of pods, from pools and interfaces; 0: not known (yet) */
	int64_t started_ms;	/* agent_now_ms at the start */
	bool restarted;		/* an agent ran here since the machine (or namespace) came up */
	void (*stop)(struct agent *a, int status); /* end the loop; main.c */
};

/* Milliseconds of the monotonic clock. */
int64_t agent_now_ms(void);
