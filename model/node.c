/* node.c - Node: table and rules
 * TESTS  tests/unit/model/kinds.c */
#include "model/node.h"

#include <errno.h>
#include <stdlib.h>

#include "model/object.h"
#include "model/validate.h"

#define NODE_ADDR .flags = FIELD_HOST_BITS | FIELD_ADDR_TOO

static const struct field bgp_rows[] = {
	FIELD_ASN(struct node_bgp, as_number, "asNumber",
		  .doc = "AS number of this node instead of the cluster's."),
	FIELD_CIDR(struct node_bgp, ipv4, "ipv4Address", .family = IP_V4, NODE_ADDR,
		   .doc = "IPv4 address of the node, with its network."),
	FIELD_CIDR(struct node_bgp, ipv6, "ipv6Address", .family = IP_V6, NODE_ADDR,
		   .doc = "IPv6 address of the node, with its network."),
	FIELD_ADDR(struct node_bgp, ipip_tunnel, "ipv4IPIPTunnelAddr", .family = IP_V4,
		   .doc = "Address of the IP-in-IP tunnel device."),
	FIELD_ADDR(struct node_bgp, cluster_id, "routeReflectorClusterID", .family = IP_V4,
		   .doc = "Makes the node a route reflector of this cluster."),
};
static const struct fields bgp_fields = FIELDS("bgp", struct node_bgp, bgp_rows);

static const struct field orch_rows[] = {
	FIELD_STRING(struct node_orch_ref, node_name, "nodeName",
		     .doc = "What the orchestrator calls the node."),
	FIELD_STRING(struct node_orch_ref, orchestrator, "orchestrator",
		     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY, .doc = "Such as k8s."),
};
static const struct fields orch_fields = FIELDS("orchRef", struct node_orch_ref, orch_rows);

static const struct field address_rows[] = {
	FIELD_STRING(struct node_address, address, "address", .flags = FIELD_REQUIRED,
		     .doc = "Address, maybe with its network."),
	FIELD_STRING(struct node_address, type, "type",
		     .doc = "CalicoNodeIP, InternalIP or ExternalIP."),
};
static const struct fields address_fields = FIELDS("address", struct node_address, address_rows);

static const struct field interface_rows[] = {
	FIELD_STRING(struct node_interface, name, "name", .doc = "Interface of the node."),
	FIELD_STRINGS(struct node_interface, addresses, "addresses", .doc = "Its addresses."),
};
static const struct fields interface_fields =
	FIELDS("interface", struct node_interface, interface_rows);

static const struct field wireguard_rows[] = {
	FIELD_ADDR(struct node_wireguard, ipv4, "interfaceIPv4Address", .family = IP_V4,
		   .doc = "IPv4 address of the WireGuard device."),
	FIELD_ADDR(struct node_wireguard, ipv6, "interfaceIPv6Address", .family = IP_V6,
		   .doc = "IPv6 address of the WireGuard device."),
};
static const struct fields wireguard_fields =
	FIELDS("wireguard", struct node_wireguard, wireguard_rows);

static const struct field rows[] = {
	FIELD_OBJECT(struct node, bgp, bgp_fields, "bgp", FIELD_HAS(struct node, has_bgp),
		     .doc = "What the node needs to speak BGP."),
	FIELD_ADDR(struct node, vxlan_tunnel_v4, "ipv4VXLANTunnelAddr", .family = IP_V4,
		   .doc = "Address of the IPv4 VXLAN device."),
	FIELD_STRING(struct node, vxlan_mac_v4, "vxlanTunnelMACAddr", .check = mac_field_check,
		     .doc = "Hardware address of the IPv4 VXLAN device."),
	FIELD_ADDR(struct node, vxlan_tunnel_v6, "ipv6VXLANTunnelAddr", .family = IP_V6,
		   .doc = "Address of the IPv6 VXLAN device."),
	FIELD_STRING(struct node, vxlan_mac_v6, "vxlanTunnelMACAddrV6", .check = mac_field_check,
		     .doc = "Hardware address of the IPv6 VXLAN device."),
	FIELD_OBJECTS(struct node, orch_refs, orch_fields, "orchRefs",
		      .doc = "What orchestrators call the node."),
	FIELD_OBJECT(struct node, wireguard, wireguard_fields, "wireguard",
		     FIELD_HAS(struct node, has_wireguard), .doc = "WireGuard addresses."),
	FIELD_OBJECTS(struct node, addresses, address_fields, "addresses",
		      .doc = "All addresses by which the node is known."),
	FIELD_OBJECTS(struct node, interfaces, interface_fields, "interfaces",
		      .doc = "Interfaces of the node with their addresses."),
};
const struct fields node_fields = FIELDS("spec", struct node, rows);

struct node_status {
	char *key_v4, *key_v6;
	struct field_strings pod_cidrs;
};

static const struct field status_rows[] = {
	FIELD_STRING(struct node_status, key_v4, "wireguardPublicKey",
		     .doc = "Public key of the IPv4 WireGuard device."),
	FIELD_STRING(struct node_status, key_v6, "wireguardPublicKeyV6",
		     .doc = "Public key of the IPv6 WireGuard device."),
	FIELD_STRINGS(struct node_status, pod_cidrs, "podCIDRs",
		      .doc = "Ranges that Kubernetes gave the node."),
};
const struct fields node_status_fields = FIELDS("status", struct node_status, status_rows);

int node_decode(const struct object *o, struct node *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "Node %s", o->name);
	out->name = xstrdup(o->name);
	return 0;
}

void node_done(struct node *n)
{
	free(n->name);
	fields_done(&node_fields, n);
}

int node_check(const struct object *o, const void *spec, struct err *e)
{
	const struct node *n = spec;
	const struct node_bgp *b = &n->bgp;

	if (n->has_bgp && !b->as_number && !b->ipv4.addr.family && !b->ipv6.addr.family &&
	    !b->ipip_tunnel.family && !b->cluster_id.family)
		return err_set(
			e, -EINVAL,
			"spec.bgp: is empty: give ipv4Address or ipv6Address, or leave bgp out");
	return 0;
}
