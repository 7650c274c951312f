/* node.h - Node: addresses and AS number of a machine. */
#pragma once

#include "lib/fields.h"

struct object;

struct node_bgp {
	uint32_t as_number; /* 0: the cluster's */
	struct prefix ipv4,
		ipv6; /* address with its network; /32, /128 when only an address was given */
	struct addr ipip_tunnel;
	struct addr cluster_id; /* of a route reflector; IP_NONE: is none */
};

struct node_orch_ref {
	char *node_name, *orchestrator;
};

struct node_address {
	char *address, *type;
};

struct node_interface {
	char *name;
	struct field_strings addresses;
};

struct node_wireguard {
	struct addr ipv4, ipv6;
};

struct node {
	char *name;
	struct node_bgp bgp;
	bool has_bgp;
	struct addr vxlan_tunnel_v4, vxlan_tunnel_v6;
	char *vxlan_mac_v4, *vxlan_mac_v6;
	VEC(struct node_orch_ref) orch_refs;
	VEC(struct node_address) addresses;
	VEC(struct node_interface) interfaces;
	struct node_wireguard wireguard;
	bool has_wireguard;
};

extern const struct fields node_fields, node_status_fields;

/* From an object of kind Node; lenient. node_done frees. */
int node_decode(const struct object *o, struct node *out, struct err *e);
void node_done(struct node *n);
/* Of the kind's row. */
int node_check(const struct object *o, const void *spec, struct err *e);
