/* bgp_world.h - what the datastore says about BGP: nodes, BGPPeers, BGPConfiguration, pools.
 *
 * Kept apart from what follows from it (bgp_config.h), so that the rules are tested on plain
 * structs. */
#pragma once

#include <jansson.h>

#include "agent/bgp/bgp_knobs.h"
#include "agent/bgp/services.h"
#include "agent/bgp/unnumbered.h"
#include "agent/log.h"
#include "bgp/types.h"
#include "lib/str.h"
#include "lib/vec.h"

struct cache;
struct selector;

enum { BGP_WORLD_AS = 64512 }; /* Calico's default */

/* A Node, as far as peering cares. */
struct bgp_node {
	char *name;	      /* owned, as all of it */
	json_t *labels;	      /* NULL: none */
	struct prefix v4, v6; /* with host bits; IP_NONE: none */
	asn_t as;	      /* 0: the default */
	uint32_t cluster_id;  /* host order; 0: no reflector */
	uint16_t listen_port; /* 0: not configured */
};

/* A BGPPeer. */
struct bgp_peer_spec {
	char *name;
	char *node;			/* NULL, or */
	struct selector *node_selector; /* NULL; neither: every node */
	struct addr ip;			/* with port (0: not given), or */
	uint16_t port;
	struct selector *peer_selector;		/* or */
	struct selector *workload_selector;	/* pods of the own node */
	asn_t as, local_as; /* 0: not given */
	int next_hop_mode;  /* 0 Auto, 1 Self, 2 Keep */
	bool keep_original_next_hop;
	char *secret_name, *secret_key; /* of the password; NULL: none */
	bool source_none;
	bool has_restart;
	uint16_t restart_s;   /* 0: no graceful restart */
	uint16_t keepalive_s; /* 0: not given */
	uint8_t allowed_local_as, ttl_security;
	bool reverse_manual;
	struct addr reachable_by; /* gateway to ip; IP_NONE: not given */
	struct bgp_knobs knobs;
};

/* BGPConfiguration `default`, with what node.NAME says over it for this node. */
struct bgp_defaults {
	bool mesh;
	asn_t as;
	uint16_t listen_port; /* of this node; 0: not configured */
	bool has_mesh_restart;
	uint16_t mesh_restart_s;
	char *secret_name, *secret_key; /* of the mesh's password */
	bool bind_node_ip;
	char *ignored; /* interfaces: names and patterns, with commas; NULL: none */
	struct addr pod_side[BGP_AF_MAX_]; /* where pods reach the speaker; IP_NONE: not given */
	struct bgp_knobs knobs; /* of the mesh */
	struct service_ranges services;
	enum log_level log_level; /* from logSeverityScreen */
};

/* An IPPool, as far as announcing cares. */
struct bgp_world_pool {
	struct prefix cidr;
	bool disable_export, vxlan, ipip;
};

/* One address of a pod of this node. */
struct bgp_world_pod {
	struct addr addr;
	char ifname[16];
	json_t *labels; /* owned; NULL: none */
};

struct bgp_world {
	VEC(struct unnumbered_link) links; /* with their neighbours; the owner's to fill */
	struct bgp_defaults defaults;
	VEC(struct bgp_node) nodes;	 /* by name */
	VEC(struct bgp_peer_spec) peers; /* by name */
	VEC(struct bgp_world_pool) pools;
	bool pods_peer;	  /* a BGPPeer asks for pods: only then are they read */
	VEC(struct bgp_world_pod) pods;
};

/* The node called `self`; NULL when it is not (yet) there. */
const struct bgp_node *bgp_world_node(const struct bgp_world *w, const char *self);
/* The AS that a node speaks with. */
asn_t bgp_world_as(const struct bgp_world *w, const struct bgp_node *n);
void bgp_world_done(struct bgp_world *w);
/* Has this node the label that keeps services from being announced from it? */
bool bgp_world_excluded(const struct bgp_node *n);

/* Is this the key of a WorkloadEndpoint of node `self`? */
bool bgp_world_own_pod(const char *key, const char *self);
/* Read it from the picture. What cannot be read is left out and said in *remarks, one line each. */
void bgp_world_read(const struct cache *c, const char *self, struct bgp_world *out,
		    struct str *remarks);
