/* bgp_net.h - many BGP speakers and a bad network between them, on virtual time.
 *
 * Connections are pairs of byte queues: what is written arrives later, in pieces cut anywhere, or
 * not at all when the link between two nodes is down. Everything is decided by one random seed. */
#pragma once

#include "bgp/speaker.h"

enum {
	NET_NODES_MAX = 64,
	NET_PEERS_MAX = 64,
	NET_BLOCKS_MAX = 16,
	NET_FIB_MAX = 1024,
};

/* What a node's owner would have in its kernel. */
struct net_route {
	struct prefix prefix;
	size_t n;
	struct addr hop[8];
};

struct net_node {
	struct net *net;
	unsigned index;
	struct bgp_speaker *sp; /* NULL: not running */
	struct bgp_global global;
	struct addr addr; /* where sessions go; global.local_v6 is a next hop as well */
	struct bgp_peer_config peers[NET_PEERS_MAX];
	size_t n_peers;
	struct prefix blocks[NET_BLOCKS_MAX];
	size_t n_blocks;
	bool blind[NET_NODES_MAX]; /* next hops that this node cannot reach */
	int64_t deadline;
	struct net_route fib[NET_FIB_MAX];
	size_t n_fib;
};

struct net {
	int64_t now;
	uint64_t random;
	bool calm; /* no loss of connections, short latency */
	struct net_node node[NET_NODES_MAX];
	unsigned n_nodes;
	bool cut[NET_NODES_MAX][NET_NODES_MAX]; /* nothing passes from a to b for now */
	struct net_event *events; /* a heap by time */
	size_t n_events, cap_events;
	struct net_conn *conns;
	size_t n_conns, cap_conns;
	uint64_t next_conn;
	uint64_t steps, bytes;
};

uint32_t net_random(struct net *net, uint32_t below);
void net_init(struct net *net, uint64_t seed);
void net_done(struct net *net);

/* A node's speaker from its configuration; restarting: its kernel routes are still there. */
void net_start(struct net_node *node, bool restarting);
/* It dies: no last word, its connections break soon after. */
void net_kill(struct net_node *node);
/* What an owner does after each input: effects, deferred work, the kernel. */
void net_settle(struct net_node *node);
/* After node->blocks or ->blind has changed. */
void net_blocks_changed(struct net_node *node);
void net_next_hops_changed(struct net_node *node);
/* Break one connection between a and b, if there is one, at both ends, at different times. */
void net_break(struct net *net, unsigned a, unsigned b);

/* Everything passes again. */
void net_heal(struct net *net);
/* Let time pass until `until`. */
void net_run(struct net *net, int64_t until);
