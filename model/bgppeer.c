/* bgppeer.c - BGPPeer: table and rules
 * TESTS  tests/unit/model/kinds.c */
#include "model/bgppeer.h"

#include <errno.h>
#include <stdlib.h>

#include "model/object.h"
#include "model/validate.h"

static const char *const next_hop_words[] = { "Auto", "Self", "Keep", NULL };
static const char *const source_words[] = { "UseNodeIP", "None", NULL };
static const char *const reverse_words[] = { "Auto", "Manual", NULL };

static const struct field rows[] = {
	FIELD_STRING(struct bgppeer, node, "node", .flags = FIELD_NOT_EMPTY,
		     .doc = "The node that peers; without node and nodeSelector, every node."),
	FIELD_STRING(struct bgppeer, node_selector, "nodeSelector", .check = selector_field_check,
		     .doc = "The nodes that peer."),
	FIELD_STRING(struct bgppeer, peer_ip, "peerIP", .check = endpoint_field_check,
		     .doc = "Address of the peer, with a port if it is not 179."),
	FIELD_STRING(struct bgppeer, peer_selector, "peerSelector", .check = selector_field_check,
		     .doc = "Peer with the nodes that this selects."),
	FIELD_STRING(struct bgppeer, local_workload_selector, "localWorkloadSelector",
		     .check = selector_field_check, .doc = "Peer with pods of the own node."),
	FIELD_ASN(struct bgppeer, as_number, "asNumber", .doc = "AS number of the peer."),
	FIELD_ASN(struct bgppeer, local_as_number, "localASNumber",
		  .doc = "AS number to use towards this peer instead of the node's."),
	FIELD_ENUM(struct bgppeer, next_hop_mode, "nextHopMode", .words = next_hop_words,
		   FIELD_HAS(struct bgppeer, has_next_hop_mode),
		   .doc = "Which next hop routes to this peer carry."),
	FIELD_BOOL(struct bgppeer, keep_original_next_hop, "keepOriginalNextHop",
		   .doc = "Old form of nextHopMode: Keep, for eBGP."),
	FIELD_OBJECT(struct bgppeer, password, secret_from_fields, "password",
		     FIELD_HAS(struct bgppeer, has_password), .doc = "TCP MD5 password."),
	FIELD_ENUM(struct bgppeer, source_address, "sourceAddress", .words = source_words,
		   .def = "UseNodeIP", .doc = "Address to connect from."),
	FIELD_DURATION(struct bgppeer, max_restart_ms, "maxRestartTime", .min = 0, .max = 4095000,
		       FIELD_HAS(struct bgppeer, has_max_restart),
		       .doc = "Time that the peer keeps routes while the node restarts."),
	FIELD_DURATION(struct bgppeer, keepalive_ms, "keepaliveTime", .min = 0, .max = 65535000,
		       FIELD_HAS(struct bgppeer, has_keepalive),
		       .doc = "Time between KEEPALIVE messages."),
	FIELD_INT(struct bgppeer, num_allowed_local_as, "numAllowedLocalASNumbers", .min = 0,
		  .max = 2147483647, .doc = "How often the own AS may be in a received path."),
	FIELD_INT(struct bgppeer, ttl_security, "ttlSecurity", .min = 0, .max = 255,
		  FIELD_HAS(struct bgppeer, has_ttl_security), .unit = "hops",
		  .doc = "Accept the peer only from this near (GTSM)."),
	FIELD_ADDR(struct bgppeer, reachable_by, "reachableBy",
		   .doc = "Gateway to a peer that is not on a local network."),
	FIELD_STRINGS(struct bgppeer, filters, "filters", .doc = "Names of BGPFilters, in order."),
	FIELD_ENUM(struct bgppeer, reverse_peering, "reversePeering", .words = reverse_words,
		   .def = "Auto", .doc = "Whether selected nodes peer back by themselves."),
};
const struct fields bgppeer_fields = FIELDS("spec", struct bgppeer, rows);

int bgppeer_decode(const struct object *o, struct bgppeer *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "BGPPeer %s", o->name);
	if (out->peer_ip)
		endpoint_parse(out->peer_ip, &out->peer_addr, &out->peer_port);
	out->name = xstrdup(o->name);
	return 0;
}

void bgppeer_done(struct bgppeer *p)
{
	free(p->name);
	fields_done(&bgppeer_fields, p);
}

static int check_sides(const struct bgppeer *p, struct err *e)
{
	int remote = !!p->peer_ip + !!p->peer_selector + !!p->local_workload_selector;

	if (p->node && p->node_selector)
		return err_set(e, -EINVAL,
			       "spec.nodeSelector: node is given, too: only one of the two");
	if (!remote)
		return err_set(e, -EINVAL,
			       "spec.peerIP: is missing: one of peerIP, peerSelector and "
			       "localWorkloadSelector says who the peer is");
	if (remote > 1)
		return err_set(
			e, -EINVAL,
			"spec.%s: only one of peerIP, peerSelector and localWorkloadSelector",
			p->local_workload_selector ? "localWorkloadSelector" : "peerSelector");
	if (p->peer_selector && p->as_number)
		return err_set(
			e, -EINVAL,
			"spec.asNumber: with peerSelector the AS number is that of the selected "
			"node: leave it out");
	if (!p->peer_selector && !p->as_number)
		return err_set(e, -EINVAL, "spec.asNumber: is missing: the AS number of the peer");
	return 0;
}

static int check_reachable(const struct bgppeer *p, struct err *e)
{
	struct addr addr;
	uint16_t port;

	if (!p->reachable_by.family)
		return 0;
	if (!p->peer_ip)
		return err_set(e, -EINVAL, "spec.reachableBy: only together with peerIP");
	if (endpoint_parse(p->peer_ip, &addr, &port) && addr.family != p->reachable_by.family)
		return err_set(e, -EINVAL, "spec.reachableBy: must be IPv%d, as peerIP is",
			       addr.family);
	return 0;
}

int bgppeer_check(const struct object *o, const void *spec, struct err *e)
{
	const struct bgppeer *p = spec;
	int rc = check_sides(p, e);

	if (rc < 0)
		return rc;
	if (p->has_next_hop_mode && p->keep_original_next_hop)
		return err_set(
			e, -EINVAL,
			"spec.keepOriginalNextHop: nextHopMode is given, too: leave the old form "
			"out");
	return check_reachable(p, e);
}
