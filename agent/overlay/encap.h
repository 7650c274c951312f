/* encap.h - how packets reach the pods of other nodes: plain, in IP (IPIP) or in UDP (VXLAN).
 *
 * Pure: pools, addresses and settings in, a verdict out. overlay.c reads the one and carries the
 * other out; fib.c asks about each route from BGP.
 *
 *	struct encap_plan p;
 *	encap_block(&world, &block, &owner, &p);
 *	p.verdict ENCAP_ROUTE -> BLOCK via p.gw dev <p.how's device> onlink mtu p.mtu */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"

enum encap_how {
	ENCAP_PLAIN,
	ENCAP_IPIP,
	ENCAP_VXLAN,
	ENCAP_HOW_MAX_,
};

/* The two families, as indexes. */
enum encap_side_index {
	ENCAP_V4,
	ENCAP_V6,
	ENCAP_SIDES,
};

/* An IPPool, as far as carrying cares. */
struct encap_pool {
	struct prefix cidr;
	int ipip, vxlan; /* enum encap_mode of model/ippool.h */
};

/* One family of a node. */
struct encap_side {
	struct prefix node; /* its address, with its network; IP_NONE: none */
	struct addr vtep;   /* of its VXLAN device; IP_NONE: not (yet) */
	uint8_t mac[6];
	bool has_mac; /* it has told mac itself; else mac is as encap_mac gives it */
};

struct encap_node {
	struct encap_side side[ENCAP_SIDES];
	struct addr ipip; /* of tunl0; IP_NONE: not (yet) */
};

/* BGPConfiguration and FelixConfiguration, as far as carrying cares. */
struct encap_settings {
	int felix_programs, bgp_programs;	   /* enum program_routes of model/bgpconfig.h */
	int ipip_on, vxlan_on;			   /* -1: as the pools need it; 0, 1: told */
	uint32_t ipip_mtu, vxlan_mtu[ENCAP_SIDES]; /* 0: from host_mtu */
	uint32_t host_mtu;
};

struct encap_world {
	const struct encap_pool *pool;
	size_t n_pool;
	struct encap_node self;
	struct encap_settings set;
	/* Why a tunnel cannot be used: "the kernel has no module ipip"; NULL: it can. IPIP is of
	 * ENCAP_V4 only. */
	const char *broken[ENCAP_HOW_MAX_][ENCAP_SIDES];
};

/* ---- what the pools ask for ---- */

/* The pool that holds all of dst, the smallest such one; NULL: none does. */
const struct encap_pool *encap_pool_of(const struct encap_world *w, const struct prefix *dst);
/* What a pool is for, wherever the other node is. */
enum encap_how encap_of_pool(const struct encap_pool *pool);
/* How a block of this pool is carried to a node at `other`. CrossSubnet is plain where the other
 * node lies in this node's own subnet; the other node's mask does not count. */
enum encap_how encap_mode(const struct encap_pool *pool, const struct prefix *own,
			  const struct addr *other);
bool encap_same_subnet(const struct prefix *own, const struct addr *other);

struct encap_devices {
	bool ipip, vxlan[ENCAP_SIDES]; /* wanted */
	uint32_t ipip_mtu, vxlan_mtu[ENCAP_SIDES];
	uint32_t pod_mtu; /* the smallest of those wanted, else the host's */
};
struct encap_devices encap_devices(const struct encap_world *w);

/* ---- one block of another node ---- */

enum encap_verdict {
	ENCAP_NOT_OURS, /* BGP tells of it, or nobody shall */
	ENCAP_ROUTE,
	ENCAP_WAIT, /* cannot be carried now, and must not go another way */
};

struct encap_plan {
	enum encap_verdict verdict;
	enum encap_how how; /* PLAIN: out of the interface that holds this node's address */
	enum encap_how
		pool_how; /* what the pool is for: IPIP in CrossSubnet, though this is PLAIN */
	struct addr gw;
	uint32_t mtu;	 /* 0: the device's */
	const char *why; /* WAIT: a text that lives as long as the world */
	bool firm;	 /* WAIT: not for news that are on their way, so no old road will do */
};

/* owner NULL: the block's node is not known. */
void encap_block(const struct encap_world *w, const struct prefix *block,
		 const struct encap_node *owner, struct encap_plan *out);

/* ---- one route from BGP ---- */

enum encap_bgp {
	ENCAP_BGP_PLAIN,  /* as its next hop resolves */
	ENCAP_BGP_IPIP,	  /* via the next hop itself, dev tunl0 onlink */
	ENCAP_BGP_REJECT, /* somebody else programs it */
	ENCAP_BGP_WAIT,	  /* belongs into a tunnel that cannot be used */
};

/* For each next hop of a route apart. */
enum encap_bgp encap_bgp(const struct encap_world *w, const struct prefix *dst,
			 const struct addr *next_hop);

/* ---- numbers ---- */

struct encap_link {
	const char *name;
	uint32_t mtu;
	bool running;
	bool has_node_address;
};

/* The MTU of this node's network: the smallest of the running links that match a pattern (POSIX
 * extended), else (pattern NULL) of those that hold an address of the node. 0: there is none.
 * -EINVAL when the pattern is no pattern. */
int encap_host_mtu(const struct encap_link *link, size_t n, const char *pattern, uint32_t *out,
		   struct err *e);

/* The MAC that a node's VXLAN device has when the node tells none: 0x66 and SHA-1 of its name. */
void encap_mac(const char *node, enum encap_side_index side, uint8_t out[static 6]);
