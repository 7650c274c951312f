/* cluster_impl.h - inside of cluster_sets.h; for cluster_*.c only. */
#pragma once

#include <uthash.h>

#include "agent/overlay/encap.h"
#include "agent/policy/cluster_sets.h"
#include "model/felixconfig.h"
#include "policy/members.h"
#include "policy/render.h"

enum net_set {
	NET_HOSTS,
	NET_VXLAN,
	NET_ALL_POOLS,
	NET_MASQ_POOLS,
	NET_SETS,
};

struct cluster_node {
	UT_hash_handle hh;
	char *name;
	struct addr addr[ENCAP_SIDES];
};

/* What the rules of one family depend on; compared as bytes. */
struct net_rules {
	bool ipip, vxlan;	    /* the device is wanted, or there */
	bool ipip_addr, vxlan_addr; /* and has an address */
	bool tracked;		    /* without policy: others have connections tracked */
	uint16_t port;
	struct render_nat nat; /* but for the text */
	char interface[FELIX_NAT_INTERFACE_MAX + 1];
};

struct pool_row {
	struct prefix cidr;
	int ipip, vxlan;
	bool masquerade, for_pods;
};

struct cluster_sets {
	struct agent *agent;
	void (*changed)(void *arg, bool rules);
	void *arg;
	struct cluster_node *nodes;
	struct members set[ENCAP_SIDES][NET_SETS];
	struct net_rules rules[ENCAP_SIDES];
	VEC(struct pool_row) pools;
	VEC(struct prefix) externals;
	struct addr ipip, vtep[ENCAP_SIDES]; /* of this node's own devices */
	bool complete;			     /* there was a picture */
	bool probed, random_fully;
	bool tracked;	     /* see cluster_rules.c */
	struct event *again; /* to look whether they are by now */
};

static inline unsigned cluster_side(enum ip_family family)
{
	return family == IP_V6 ? ENCAP_V6 : ENCAP_V4;
}

/* cluster_rules.c: what nodes, pools and settings are now, as rules. True when they differ. */
bool cluster_rules_read(struct cluster_sets *cs);
