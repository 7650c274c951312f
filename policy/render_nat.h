/* render_nat.h - what the network asks of the packet filter besides policy: addresses that pods are
 * seen under outside, and tunnels that carry packets of nodes only. For one family; pure.
 *
 * Text and hashes are those of Calico's agent, up to v3.32.0, whose set of all pools is called
 * all-ipam-pools; later ones say network-ip-pools. */
#pragma once

#include "policy/chain.h"

struct render_config;

/* Of struct render_config. */
struct render_nat {
	bool masquerade; /* some pool has natOutgoing */
	struct addr
		source; /* what pods are seen as; other family or IP_NONE: the interface's address */
	uint16_t port_min, port_max; /* of TCP and UDP; max 0: as the kernel likes */
	const char *interface;	     /* only what leaves by it; NULL: any */
	bool not_to_hosts;	     /* nodes see pods as they are */
	bool random_fully;	     /* the tool has --random-fully: see render_nat_random */
};

/* The names of sets, without family. */
#define SET_ALL_POOLS  "all-ipam-pools"
#define SET_MASQ_POOLS "masq-ipam-pools"
#define SET_HOSTS      "all-hosts-net"
#define SET_VXLAN      "all-vxlan-net"

/* Does this iptables ("iptables v1.8.9 (nf_tables)") know --random-fully in both actions? */
bool render_nat_random(const char *version);

/* All chains of table nat; without those that nothing is in. */
void render_nat(const struct render_config *cfg, struct chains *out);
void render_nat_lean(const struct render_config *cfg, struct chains *out);

/* Rules of cali-INPUT and cali-OUTPUT: what arrives in a tunnel comes from nodes, what leaves in one
 * goes to nodes. */
void render_tunnels_in(const struct render_config *cfg, struct chain *c);
void render_tunnels_out(const struct render_config *cfg, struct chain *c);
