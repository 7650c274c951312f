/* encap.c - roads to many nodes: plan, peers and routes beside a bare batched-netlink loop
 *
 *	bench-encap [NODES]	in network namespaces of its own; needs root
 *
 * NODES (5000) remote nodes with two blocks each, in IPIP and in VXLAN: the plan of each block, the
 * forwarding entry and the neighbour of each node, the routes. The bare loop writes the same objects
 * in batches and does nothing else. A fresh namespace for each round, several rounds, alternating,
 * and the median of each is printed. Where the kernel has no ipip a bridge is called tunl0. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/overlay/encap.h"
#include "dataplane/netlink.h"
#include "dataplane/route.h"
#include "dataplane/route_msg.h"
#include "dataplane/tunnel_msg.h"
#include "model/bgpconfig.h"
#include "model/ippool.h"

enum { ROUNDS = 5, NODES_MAX = 65000, BLOCKS = 2, BATCH = 256 };

struct contest {
	enum encap_how how;
	uint32_t nodes, parent;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "bench-encap: %s: %s\n", what, e->msg);
	exit(1);
}

static void on_fail(void *arg, unsigned index, int code, const char *text)
{
	fprintf(stderr, "bench-encap: %s %s\n", strerror(-code), text);
	exit(1);
}

/* ---- the cluster ---- */

static struct prefix block_of(uint32_t node, uint32_t i)
{
	return (struct prefix) { .addr = addr_v4(0x20000000 + (node * BLOCKS + i) * 64),
				 .len = 26 };
}

static struct encap_node node_of(uint32_t n)
{
	struct encap_node out = { 0 };
	struct encap_side *s = &out.side[ENCAP_V4];

	s->node = (struct prefix) { .addr = addr_v4(0x0a010000 + n), .len = 16 };
	s->vtep = block_of(n, 0).addr;
	s->mac[0] = 0x66;
	s->mac[4] = (uint8_t)(n >> 8);
	s->mac[5] = (uint8_t)n;
	return out;
}

static struct tunnel_peer peer_of(const struct encap_node *n)
{
	const struct encap_side *s = &n->side[ENCAP_V4];
	struct tunnel_peer p = { .vtep = s->vtep, .host = s->node.addr };

	memcpy(p.mac, s->mac, sizeof(p.mac));
	return p;
}

static struct route_key key_of(const struct prefix *dst)
{
	struct route_key key;

	memset(&key, 0, sizeof(key));
	key.dst = *dst;
	key.table = ROUTE_TABLE_MAIN;
	return key;
}

static const char *device(const struct contest *c)
{
	return c->how == ENCAP_IPIP ? "tunl0" : "vxlan.calico";
}

/* ---- bare ---- */

static void send_batch(struct nl_sock *s, struct nl_buf *b, bool last)
{
	struct err e = { 0 };

	if ((b->n >= BATCH || (last && b->n)) && nl_batch(s, b, on_fail, NULL, &e) < 0)
		die("batch", &e);
}

static void bare_node(const struct contest *c, struct nl_buf *b, uint32_t n, uint32_t ifindex)
{
	struct encap_node node = node_of(n);
	struct tunnel_peer p = peer_of(&node);
	bool ipip = c->how == ENCAP_IPIP;
	struct route_nh nh = { .gw = ipip ? p.host : p.vtep, .ifindex = ifindex, .onlink = true };
	struct route_spec spec = { .type = ROUTE_UNICAST,
				   .protocol = 80,
				   .mtu = ipip ? 1480 : 1450,
				   .n_nh = 1,
				   .nh = &nh };
	struct tunnel_entry en = { .index = ifindex };

	memcpy(en.mac, p.mac, sizeof(en.mac));
	for (int fdb = 0; fdb < 2 && !ipip; fdb++) {
		en.fdb = fdb;
		en.addr = fdb ? p.host : p.vtep;
		tunnel_put_entry(b, &en, true);
	}
	for (uint32_t i = 0; i < BLOCKS; i++) {
		struct prefix block = block_of(n, i);
		struct route_key key = key_of(&block);

		route_msg_put(b, &key, &spec, true);
	}
}

static double bare(const struct contest *c)
{
	uint32_t ifindex = if_nametoindex(device(c));
	struct nl_buf b = { 0 };
	struct nl_sock s;
	struct err e = { 0 };
	double t = now();

	if (nl_open(&s, &e) < 0)
		die("netlink", &e);
	for (uint32_t n = 0; n < c->nodes; n++) {
		bare_node(c, &b, n, ifindex);
		send_batch(&s, &b, n + 1 == c->nodes);
	}
	nl_close(&s);
	nl_buf_done(&b);
	return now() - t;
}

/* ---- ours ---- */

static struct encap_world world_of(const struct contest *c, struct encap_pool *pool)
{
	struct encap_world w = { .pool = pool,
				 .n_pool = 1,
				 .self.side[ENCAP_V4].node = { .addr = addr_v4(0x0a00ffff),
							       .len = 24 },
				 .set = { .felix_programs = PROGRAM_ROUTES_IPIP_ONLY,
					  .bgp_programs = PROGRAM_ROUTES_NO_ENCAP_ONLY,
					  .ipip_on = -1,
					  .vxlan_on = -1,
					  .host_mtu = 1500 } };

	*pool = (struct encap_pool) { .cidr = { .addr = addr_v4(0x20000000), .len = 4 } };
	*(c->how == ENCAP_IPIP ? &pool->ipip : &pool->vxlan) = ENCAP_ALWAYS;
	return w;
}

static void want_device(const struct contest *c, struct tunnels *t)
{
	struct tunnel_spec s = {
		.mtu = 1450,
		.vni = 4096,
		.port = 4789,
		.parent = c->parent,
		.local = addr_v4(0x0a00ffff),
		.mac = { 0x66, 9, 9, 9, 9, 9 },
	};

	if (c->how == ENCAP_VXLAN)
		tunnel_want(t, TUNNEL_VXLAN, &s);
}

static void plan_node(const struct contest *c, const struct encap_world *w, uint32_t n,
		      struct tunnels *t, struct route_table *rt)
{
	struct encap_node node = node_of(n);
	struct tunnel_peer peer = peer_of(&node);
	struct err e = { 0 };

	if (c->how == ENCAP_VXLAN && tunnel_peer_want(t, TUNNEL_VXLAN, &peer, &e) < 0)
		die("peer", &e);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		struct prefix block = block_of(n, i);
		struct route_key key = key_of(&block);
		struct route_nh nh = { .onlink = true };
		struct route_spec s = { .n_nh = 1, .nh = &nh };
		struct encap_plan p;

		encap_block(w, &block, &node, &p);
		nh.gw = p.gw;
		s.mtu = p.mtu;
		str_copy(nh.ifname, sizeof(nh.ifname), device(c));
		if (p.verdict != ENCAP_ROUTE ||
		    route_desire(rt, ROUTE_CLASS_IPIP, 0, &key, &s, &e) < 0)
			die("route", &e);
	}
}

static double ours(const struct contest *c)
{
	struct encap_pool pool;
	struct encap_world w = world_of(c, &pool);
	struct route_config cfg = { 0 };
	struct err e = { 0 };
	struct link_table *links = link_table_new(&e);
	struct route_table *rt = links ? route_table_new(&cfg, links, &e) : NULL;
	struct tunnels *t = tunnels_new(&e);
	double took;

	if (!rt || !t)
		die("start", &e);
	/* The bare loop's device is there too when its clock starts. */
	want_device(c, t);
	if (tunnels_apply(t, 1000, 0, &e) < 0)
		die("device", &e);
	took = now();
	for (uint32_t n = 0; n < c->nodes; n++)
		plan_node(c, &w, n, t, rt);
	if (tunnels_apply(t, 1000, 0, &e) < 0 || route_apply(rt, 1000, 0, &e) != 0)
		die("apply", &e);
	took = now() - took;
	if (route_counts(rt).installed < c->nodes * BLOCKS) {
		fprintf(stderr, "bench-encap: only %u routes went in\n",
			route_counts(rt).installed);
		exit(1);
	}
	route_table_free(rt);
	link_table_free(links);
	tunnels_free(t);
	return took;
}

/* ---- rounds ---- */

static void fresh(struct contest *c)
{
	if (unshare(CLONE_NEWNET) < 0 ||
	    system("ip link add up0 type bridge && ip addr add 10.0.255.255/8 dev up0 && "
		   "ip link set up0 up && "
		   "ip link add vxlan.calico address 66:9:9:9:9:9 mtu 1450 type vxlan id 4096 "
		   "dstport 4789 dev up0 local 10.0.255.255 nolearning && "
		   "ip link set vxlan.calico up && "
		   "{ ip link add tunl0 type ipip 2>/dev/null; ip link show tunl0 >/dev/null 2>&1 "
		   "|| "
		   "ip link add tunl0 type bridge; } && ip link set tunl0 up") != 0) {
		fprintf(stderr, "bench-encap: cannot make a network namespace: %s\n",
			strerror(errno));
		exit(1);
	}
	c->parent = if_nametoindex("up0");
}

static int by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double v[static ROUNDS])
{
	qsort(v, ROUNDS, sizeof(v[0]), by_size);
	return v[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	static const char *const names[] = { [ENCAP_IPIP] = "IPIP", [ENCAP_VXLAN] = "VXLAN" };
	uint64_t nodes = 5000;

	if (argc > 2 || (argc == 2 && !parse_u64(argv[1], NODES_MAX, &nodes)) || !nodes) {
		fprintf(stderr, "usage: bench-encap [NODES of 1..%d]\n", NODES_MAX);
		return 2;
	}
	printf("%lu nodes with %d blocks each, median of %d rounds, ms\n", (unsigned long)nodes,
	       BLOCKS, ROUNDS);
	for (unsigned how = ENCAP_IPIP; how <= ENCAP_VXLAN; how++) {
		struct contest c = { .how = (enum encap_how)how, .nodes = (uint32_t)nodes };
		double r[2][ROUNDS], m[2];

		for (int i = 0; i < ROUNDS; i++) {
			fresh(&c);
			r[0][i] = bare(&c);
			fresh(&c);
			r[1][i] = ours(&c);
		}
		m[0] = median(r[0]) * 1000;
		m[1] = median(r[1]) * 1000;
		printf("  %-6s bare netlink %8.1f   margay %8.1f   %.2f of bare\n", names[how],
		       m[0], m[1], m[1] / m[0]);
	}
	return 0;
}
