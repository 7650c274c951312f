/* pod_peers.c - addresses at which pods of this node reach the speaker
 * WHY    A pod shall find the speaker of whatever node it is on at one address. It is on the host's
 *        end of each such pod's link, and so goes away with it.
 * SPEC   Calico: Felix does it, for localWorkloadPeeringIPV4 and IPV6
 * TESTS  tests/netns/test_pod_peers.py */
#include "agent/bgp/pod_peers.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/log.h"
#include "dataplane/link.h"
#include "dataplane/netlink.h"
#include "dataplane/tunnel_msg.h"

struct pod_peers {
	struct agent *agent;
	struct nl_sock nl; /* fd -1: not yet open */
	struct addr side[BGP_AF_MAX_];
};

static bool has_addr(const struct link *l, const struct addr *a)
{
	for (size_t i = 0; i < l->addrs.n; i++)
		if (addr_eq(&l->addrs.p[i].addr, a))
			return true;
	return false;
}

static bool is_wanted(const struct bgp_peer_configs *configs, const struct link *l,
		      const struct addr *side)
{
	for (size_t i = 0; i < configs->n; i++)
		if (strcmp(configs->extra.p[i].pod, l->name) == 0 &&
		    configs->p[i].addr.family == side->family)
			return true;
	return false;
}

static void put(struct pod_peers *pp, const struct link *l, const struct addr *a, bool add)
{
	struct prefix p = prefix_of(a, addr_bits((enum ip_family)a->family));
	struct nl_buf b = { 0 };
	struct err e = { 0 };

	if (pp->nl.fd < 0 && nl_open(&pp->nl, &e) < 0) {
		log_warn("bgp", "cannot set the address for pods that peer", "why=%s", e.msg);
		return;
	}
	tunnel_put_addr(&b, l->index, &p, add);
	if (nl_run(&pp->nl, &b, &e) < 0)
		log_warn("bgp", "cannot set the address for pods that peer", "link=%s why=%s",
			 l->name, e.msg);
	nl_buf_done(&b);
}

/* The address of one family on all links of pods; configs NULL: on none. */
static void set_side(struct pod_peers *pp, const struct bgp_peer_configs *configs,
		     const struct addr *side)
{
	const struct link *l = NULL;

	if (side->family == IP_NONE)
		return;
	while ((l = link_next(pp->agent->links, l))) {
		bool has = has_addr(l, side);
		bool want = configs && is_wanted(configs, l, side);

		if (has != want && str_starts(l->name, pp->agent->cfg->interface_prefix))
			put(pp, l, side, want);
	}
}

void pod_peers_set(struct pod_peers *pp, const struct bgp_peer_configs *configs,
		   const struct addr side[static BGP_AF_MAX_])
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!addr_eq(&pp->side[af], &side[af]))
			set_side(pp, NULL, &pp->side[af]);
		pp->side[af] = side[af];
		set_side(pp, configs, &side[af]);
	}
}

void pod_peers_check(struct pod_peers *pp, const struct bgp_peer_configs *configs)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		set_side(pp, configs, &pp->side[af]);
}

struct pod_peers *pod_peers_new(struct agent *a)
{
	struct pod_peers *pp = xcalloc(1, sizeof(*pp));

	pp->agent = a;
	pp->nl.fd = -1;
	return pp;
}

void pod_peers_free(struct pod_peers *pp)
{
	if (pp->nl.fd >= 0)
		nl_close(&pp->nl);
	free(pp);
}
