/* overlay_int.h - inside of the overlay; only overlay*.c include this. */
#pragma once

#include <uthash.h>

#include "agent/overlay/overlay.h"
#include "agent/routes.h"
#include "agent/overlay/tunnel_addr.h"
#include "dataplane/link.h"
#include "datastore/ds.h"
#include "lib/vec.h"

enum {
	OVERLAY_BLOCKS_MAX = 1 << 18, /* affinities of a cluster: 5 000 nodes x 50 blocks */
	OVERLAY_HANDOVER_S = 30,      /* for BGP to tell a block that needs no tunnel any more */
};

/* A block of another node. */
struct overlay_block {
	struct prefix cidr;
	struct overlay_node *node;
	struct overlay_block *next; /* of the same node */
	/* Our claim for it, when there is one. */
	bool claimed, blackhole;
	enum route_class cls;
	int64_t handover_ms; /* 0, or until when BGP may take over */
	const char *waits;   /* why it has no road; NULL: it has */
	UT_hash_handle hh;
};

struct overlay_node {
	char *name;
	bool known; /* has a Node resource; else only blocks */
	bool dirty;
	struct encap_node encap;
	struct overlay_block *blocks;
	struct tunnel_peer peer[ENCAP_SIDES]; /* as given to the tunnels; host IP_NONE: not */
	struct prefix vtep[ENCAP_SIDES];      /* routes to tunnel addresses outside of its blocks */
	UT_hash_handle hh;
};

/* What is read as a whole whenever it changes. */
struct overlay_config {
	VEC(struct encap_pool) pools;
	VEC(char *) names;	   /* of the pools */
	struct encap_settings set; /* without host_mtu */
	char *mtu_pattern;	   /* NULL: the interface of the node's address counts */
	uint32_t vni;
	uint16_t port;
};

/* The interface that holds this node's address, in one family. */
struct overlay_parent {
	uint32_t index; /* 0: none does */
	char name[LINK_NAME_MAX];
	bool loopback;
};

struct overlay {
	struct agent *agent;
	struct tunnels *tunnels;
	struct tunnel_addrs *addrs;
	struct pod_mtu *pod_mtu;
	struct overlay_config config;
	struct encap_world world;
	struct encap_devices devices;
	struct overlay_parent parent[ENCAP_SIDES];
	char broken[ENCAP_HOW_MAX_][ENCAP_SIDES][192];
	struct str remarks;
	struct overlay_node *nodes; /* without this one */
	struct overlay_block *blocks;
	struct overlay_host_block *hosts; /* blocks with guests: overlay_borrow.c */
	struct event *turn, *tunnel_ev, *due, *handover, *linger, *leftovers;
	int64_t linger_ms[TUNNEL_MAX_]; /* 0, or until when an unwanted device stays */
	unsigned last_mtu;		/* of pods, as far as known; 0: not */
	bool config_dirty, all_dirty, planned;
	bool contested;	  /* two nodes have told the same tunnel address or MAC once */
	unsigned waiting; /* blocks without a road */
};

/* ---- overlay_read.c ---- */
void overlay_config_read(const struct agent *a, struct overlay_config *out, struct str *remarks);
void overlay_config_done(struct overlay_config *cfg);
/* False when there is nothing to read. */
bool overlay_read_node(const struct store_kv *kv, struct encap_node *out);

/* ---- overlay_blocks.c ---- */
struct overlay_node *overlay_node_get(struct overlay *o, const char *name);
void overlay_node_drop_unused(struct overlay *o, struct overlay_node *n);
void overlay_on_affinity(struct overlay *o, const struct store_kv *kv);
/* This node holds the block or address now; holds it no longer, unless another one does by now. */
void overlay_set_holder(struct overlay *o, const struct prefix *cidr, const char *node);
void overlay_drop_holder(struct overlay *o, const struct prefix *cidr, const char *node);
/* Claim what should be claimed for a node's blocks and its tunnel address. */
void overlay_plan_node(struct overlay *o, struct overlay_node *n);
/* Give to BGP what BGP has taken; true while something still waits. */
bool overlay_hand_over(struct overlay *o);
void overlay_blocks_done(struct overlay *o);

/* ---- overlay_borrow.c ---- */
void overlay_on_block(struct overlay *o, const struct store_kv *kv);
void overlay_borrow_done(struct overlay *o);
