/* pod_peers.h - addresses at which pods of this node reach the speaker (localWorkloadPeeringIPV4, IPV6):
 * on the host's ends of their links. */
#pragma once

#include "agent/bgp/bgp_config.h"

struct agent;
struct pod_peers;

struct pod_peers *pod_peers_new(struct agent *a);
/* Leaves the addresses: the next life finds them. */
void pod_peers_free(struct pod_peers *pp);
/* The links of these sessions' pods have the address of their family, other pods' links have not. */
void pod_peers_set(struct pod_peers *pp, const struct bgp_peer_configs *configs,
		   const struct addr side[static BGP_AF_MAX_]);
/* The same again: a link may have come later than its pod, or lost its addresses. */
void pod_peers_check(struct pod_peers *pp, const struct bgp_peer_configs *configs);
