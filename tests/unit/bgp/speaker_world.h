/* speaker_world.h - whole speakers on a quiet network, and how to look into them */
#pragma once

#include "bgp/speaker.h"

#include "make.h"
#include "tests/sim/bgp_net.h"

static struct net net;

enum { V4 = 1u << BGP_AF_IPV4_UNICAST };

UNUSED static struct bgp_peer_config *peer(unsigned a, unsigned b)
{
	struct net_node *node = &net.node[a];
	struct bgp_peer_config *p = &node->peers[node->n_peers++];

	*p = (struct bgp_peer_config) { .name = "peer",
					.addr = net.node[b].addr,
					.port = 179,
					.remote_as = net.node[b].global.local_as,
					.families = V4,
					.hold_s = 90 };
	return p;
}

/* n nodes of AS 64512 in a mesh; node i announces 10.i.0.0/26. Not started. */
UNUSED static void begin(unsigned n)
{
	net_init(&net, 1);
	net.calm = true;
	net.n_nodes = n;
	for (unsigned i = 0; i < n; i++) {
		struct net_node *node = &net.node[i];

		node->addr = addr_v4(0xc0a83d0a + i);
		node->global = (struct bgp_global) { .local_as = 64512,
						     .router_id = 1 + i,
						     .local_v4 = node->addr,
						     .max_paths = 8 };
		node->blocks[0] = (struct prefix) { addr_v4(0x0a000000 + (i << 16)), 26 };
		node->n_blocks = 1;
	}
	for (unsigned a = 0; a < n; a++) {
		for (unsigned b = 0; b < n; b++) {
			if (a != b)
				peer(a, b);
		}
	}
}

UNUSED static void start(void)
{
	for (unsigned i = 0; i < net.n_nodes; i++)
		net_start(&net.node[i], false);
	net_run(&net, net.now + 5000);
}

UNUSED static void wait_ms(int64_t ms)
{
	net_run(&net, net.now + ms);
}

UNUSED static struct bgp_peer_status status(unsigned node, unsigned to)
{
	struct bgp_peer_status s;

	for (size_t i = 0; bgp_speaker_peer_status(net.node[node].sp, i, &s); i++) {
		if (addr_eq(&s.config->addr, &net.node[to].addr))
			return s;
	}
	fail_msg("node %u has no session to %u", node, to);
	return s;
}

UNUSED static const struct net_route *route(unsigned node, const char *prefix)
{
	struct prefix p = make_prefix(prefix);

	for (size_t i = 0; i < net.node[node].n_fib; i++) {
		if (prefix_eq(&net.node[node].fib[i].prefix, &p))
			return &net.node[node].fib[i];
	}
	return NULL;
}

UNUSED static void set_peers(unsigned node)
{
	bgp_speaker_set_peers(net.node[node].sp, net.node[node].peers, net.node[node].n_peers,
			      net.now);
	net_settle(&net.node[node]);
}

struct look {
	unsigned paths, best, usable, stale;
	char why[128]; /* of the last path that is not the best */
};

UNUSED static bool look_at(void *arg, const struct bgp_path_info *p)
{
	struct look *l = arg;

	l->paths++;
	l->best += p->best;
	l->usable += p->usable;
	l->stale += p->stale;
	if (!p->best)
		str_copy(l->why, sizeof(l->why), p->why);
	return true;
}

UNUSED static struct look look(unsigned node, const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	struct look l = { 0 };

	bgp_speaker_each_path(net.node[node].sp, &p, look_at, &l);
	return l;
}
