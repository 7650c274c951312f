/* explain_path.h - a packet's way from one place to another: every point at which policy looks at it.
 *
 *	pod -> its node:  (preDNAT, forward) of "*"  pod's egress  forward of the uplink
 *	a node -> pod:	  untracked, preDNAT, forward of the uplink  pod's ingress  forward of "*"
 *	a process of a node: untracked, normal of the uplink, out or in
 *
 * The calculation must hold the endpoints of both ends as its own node's (feed_endpoint_on). */
#pragma once

#include "policy/explain.h"
#include "policy/render.h"

enum explain_place {
	EXPLAIN_POD,
	EXPLAIN_HOST,	 /* a process of a node, or a pod that shares its network */
	EXPLAIN_OUTSIDE, /* not of this cluster: nobody asks there */
};

struct explain_end {
	enum explain_place place;
	const char *node;   /* NULL: outside */
	const char *pod;    /* id of its endpoint; NULL */
	const char *uplink; /* host endpoint on the interface to others; NULL: none of its own */
	const char *every;  /* host endpoint "*" of the node; NULL: none */
	/* What matters of the configuration of this node's agent: failsafe ports, tunnels' packets from
	 * pods, what becomes of packets from a pod to its node. NULL only where node is. */
	const struct render_config *cfg;
};

enum explain_point {
	EXPLAIN_AT_POLICY,   /* `why` says it */
	EXPLAIN_AT_FAILSAFE, /* a port that is open whatever policy says */
	EXPLAIN_AT_TUNNEL,   /* pods may not send tunnels' packets */
	EXPLAIN_AT_OWN_POD,  /* a node reaches its own pods always */
	EXPLAIN_AT_NEIGHBOR, /* IPv6: neighbours and routers are found before policy */
	EXPLAIN_AT_OWN_HOST, /* from a pod to its node: defaultEndpointToHostAction */
	EXPLAIN_AT_HOME,     /* from an address to itself: it never leaves */
};

struct explain_stage {
	enum explain_point point;
	const char *node;
	const char *endpoint; /* id; NULL: none is asked */
	enum endpoint_kind kind;
	enum calc_class class;
	bool ingress;
	enum explain_verdict verdict;
	struct explain why;
};

struct explain_path {
	enum explain_verdict verdict;
	/* In order. The first that denies decides; what stands behind it says how it would go on. */
	VEC(struct explain_stage) stages;
	size_t denied; /* which one that is; stages.n when none */
};

void explain_path(struct calc *c, const struct explain_end *from, const struct explain_end *to,
		  const struct explain_packet *p, struct explain_path *out);
void explain_path_done(struct explain_path *path);
