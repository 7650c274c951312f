/* bgp.c - many speakers under faults reach the tables that they reach without
 *
 * SHAPE  Each round builds a topology, lets a random script of faults run against it (broken
 *        connections, partitions, killed and restarted nodes, blocks that come and go, unreachable
 *        next hops), heals everything and waits. Then a second network with the same final
 *        configuration, which never saw a fault, must have the same tables at every node; and every
 *        node's kernel, as told change by change, must be what its table says. Many rounds with few
 *        nodes, and one of each topology with fifty; and fifty that come up in whatever order, some of
 *        them as after a restart, have the same tables each time.
 * RUN    BGP_SIM_NODES=50 BGP_SIM_ROUNDS=10 BGP_SIM_SEED=7 test-sim-bgp; test-sim-bgp fifty */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bgp/why.h"
#include "bgp_net.h"
#include "lib/str.h"

enum topology {
	TOPO_MESH, /* full mesh of iBGP, eBGP to one ToR from each node */
	TOPO_RR,   /* two reflectors of one cluster, eBGP to one ToR from four nodes */
	TOPO_EBGP, /* every node an AS of its own, a ring with chords */
	TOPO_MAX_,
};

static const char *const topology_name[TOPO_MAX_] = { "mesh and ToR", "reflectors and ToR",
						      "eBGP ring" };

static unsigned env_number(const char *name, unsigned otherwise)
{
	const char *s = getenv(name);
	uint64_t v;

	return s && parse_u64(s, UINT32_MAX, &v) ? (unsigned)v : otherwise;
}

/* ---- topologies ---- */

/* Some nodes of this round speak ADD-PATH and other extras. */
static bool rich;

static struct bgp_peer_config *add_peer(struct net_node *node, const struct net_node *to)
{
	struct bgp_peer_config *p = &node->peers[node->n_peers++];
	char text[ADDR_STR_MAX];

	assert_true(node->n_peers <= NET_PEERS_MAX);
	*p = (struct bgp_peer_config){
		.addr = to->addr,
		.port = 179,
		.remote_as = to->global.local_as,
		.source = node->addr,
		.families = 1u << BGP_AF_IPV4_UNICAST | 1u << BGP_AF_IPV6_UNICAST,
		.hold_s = 30,
		.gr_restart_s = 20,
		.add_path = rich && node->index % 3,
		.enhanced_refresh = rich && node->index % 2,
		.extended_message = rich && node->index % 5,
		.long_lived = rich && node->index % 4,
		.long_lived_s = 3600,
	};
	snprintf(p->name, sizeof(p->name), "Mesh_%s", addr_format(&to->addr, text));
	return p;
}

static void add_session(struct net *net, unsigned a, unsigned b)
{
	add_peer(&net->node[a], &net->node[b]);
	add_peer(&net->node[b], &net->node[a]);
}

/* Calico's rule: passive when the text of the peer's address sorts after ours. */
static void make_passive_by_text(struct net *net)
{
	for (unsigned i = 0; i < net->n_nodes; i++) {
		char mine[ADDR_STR_MAX], theirs[ADDR_STR_MAX];
		struct net_node *node = &net->node[i];

		addr_format(&node->addr, mine);
		for (size_t k = 0; k < node->n_peers; k++)
			node->peers[k].passive =
				strcmp(addr_format(&node->peers[k].addr, theirs), mine) > 0;
	}
}

static void build_mesh(struct net *net)
{
	unsigned tor = net->n_nodes - 1;

	net->node[tor].global.local_as = 65001;
	for (unsigned a = 0; a < net->n_nodes; a++) {
		for (unsigned b = a + 1; b < net->n_nodes; b++)
			add_session(net, a, b);
	}
	make_passive_by_text(net);
}

static void build_rr(struct net *net)
{
	unsigned tor = net->n_nodes - 1;

	net->node[tor].global.local_as = 65001;
	net->node[0].global.cluster_id = net->node[1].global.cluster_id = 0x01010101;
	add_peer(&net->node[0], &net->node[1])->rr_same_cluster = true;
	add_peer(&net->node[1], &net->node[0])->rr_same_cluster = true;
	for (unsigned i = 2; i < tor; i++) {
		for (unsigned rr = 0; rr < 2; rr++) {
			add_peer(&net->node[rr], &net->node[i])->rr_client = true;
			add_peer(&net->node[i], &net->node[rr]);
		}
	}
	for (unsigned i = 2; i < 6 && i < tor; i++)
		add_session(net, i, tor);
}

static void build_ebgp(struct net *net)
{
	for (unsigned i = 0; i < net->n_nodes; i++)
		net->node[i].global.local_as = 65000 + i;
	for (unsigned i = 0; i < net->n_nodes; i++)
		add_session(net, i, (i + 1) % net->n_nodes);
	for (unsigned i = 0; i + 5 < net->n_nodes; i += 3)
		add_session(net, i, i + 5);
}

/* fd61::NODE, fd00:NODE:BLOCK:: */
static struct addr v6_addr(uint8_t second, unsigned node, unsigned block)
{
	struct addr a = { .family = IP_V6, .b = { 0xfd, second, 0, (uint8_t)node } };

	a.b[5] = (uint8_t)block;
	return a;
}

/* A block of the node's own, or one that several announce; some are IPv6. */
static struct prefix block_of(unsigned node, unsigned i)
{
	struct addr a6 = v6_addr(0, node, i);
	struct addr a = addr_v4(i < NET_BLOCKS_MAX ? 0x0a000000 + node * 0x10000 + i * 64 :
						     0x0affff00 + (i - NET_BLOCKS_MAX) * 64);

	return i % 4 == 1 ? prefix_of(&a6, 122) : prefix_of(&a, 26);
}

static void build(struct net *net, enum topology topo, unsigned n, uint64_t seed)
{
	net_init(net, seed);
	net->n_nodes = n;
	for (unsigned i = 0; i < n; i++) {
		struct net_node *node = &net->node[i];

		node->addr = addr_v4(0xc0a83d00 + i + 9); /* texts do not sort as numbers */
		node->global = (struct bgp_global){
			.local_as = 64512,
			.router_id = addr_to_v4(&node->addr),
			.local_v4 = node->addr,
			.local_v6 = v6_addr(0x61, i + 1, 0),
			.max_paths = 4,
		};
		node->blocks[node->n_blocks++] = block_of(i, 0);
		node->blocks[node->n_blocks++] = block_of(i, 1);
		node->blocks[node->n_blocks++] = block_of(i, NET_BLOCKS_MAX + i % 3);
	}
	if (topo == TOPO_MESH)
		build_mesh(net);
	else if (topo == TOPO_RR)
		build_rr(net);
	else
		build_ebgp(net);
}

/* ---- faults ---- */

static void toggle_block(struct net *net, unsigned n)
{
	struct net_node *node = &net->node[n];
	struct prefix p = block_of(n, net_random(net, NET_BLOCKS_MAX + 3));
	size_t i = 0;

	while (i < node->n_blocks && !prefix_eq(&node->blocks[i], &p))
		i++;
	if (i < node->n_blocks)
		node->blocks[i] = node->blocks[--node->n_blocks];
	else if (node->n_blocks < NET_BLOCKS_MAX)
		node->blocks[node->n_blocks++] = p;
	net_blocks_changed(node);
}

static void partition(struct net *net)
{
	uint64_t left = (uint64_t)net_random(net, UINT32_MAX) << 32 | net_random(net, UINT32_MAX);

	for (unsigned a = 0; a < net->n_nodes; a++) {
		for (unsigned b = 0; b < net->n_nodes; b++)
			net->cut[a][b] = (left >> a & 1) != (left >> b & 1);
	}
}

static void one_fault(struct net *net)
{
	unsigned a = net_random(net, net->n_nodes), b = net_random(net, net->n_nodes);
	struct net_node *node = &net->node[a];

	if (node->sp)
		bgp_speaker_send_refresh(node->sp, &net->node[b].addr, BGP_AF_IPV6_UNICAST,
					 net->now);
	switch (net_random(net, 10)) {
	case 0:
		partition(net);
		return;
	case 1:
	case 2:
		net_heal(net);
		return;
	case 3:
		if (node->sp)
			net_kill(node);
		else
			net_start(node, net_random(net, 2));
		return;
	case 4:
		if (!node->sp)
			net_start(node, net_random(net, 2));
		return;
	case 5:
	case 6:
		toggle_block(net, a);
		return;
	case 7:
		node->blind[b] = !node->blind[b] && a != b;
		net_next_hops_changed(node);
		return;
	default:
		net_break(net, a, b);
		return;
	}
}

static void heal_all(struct net *net)
{
	net_heal(net);
	for (unsigned i = 0; i < net->n_nodes; i++) {
		memset(net->node[i].blind, 0, sizeof(net->node[i].blind));
		if (!net->node[i].sp)
			net_start(&net->node[i], false);
		net_next_hops_changed(&net->node[i]);
	}
	net->calm = true;
}

/* ---- what must be true in the end ---- */

static bool path_line(void *arg, const struct bgp_path_info *p)
{
	char prefix[PREFIX_STR_MAX], peer[ADDR_STR_MAX], hop[ADDR_STR_MAX];
	struct str *s = arg;

	assert_false(p->stale);
	str_addf(s, "%s from %s via %s%s%s%s lp %u path ", prefix_format(&p->prefix, prefix),
		 p->peer ? addr_format(&p->peer->addr, peer) : "here",
		 addr_format(&p->attrs->v.next_hop, hop), p->best ? " best" : "",
		 p->multipath ? " multipath" : "", p->usable ? "" : " unusable",
		 p->attrs->v.local_pref);
	bgp_attrs_path_text(p->attrs, s);
	str_addf(s, " (%s)\n", p->why);
	return true;
}

static char *table_text(struct net_node *node)
{
	struct str s = { 0 };

	bgp_speaker_each_path(node->sp, NULL, path_line, &s);
	return str_take(&s);
}

struct fib_check {
	const struct net_node *node;
	struct prefix prefix;
	size_t n; /* next hops in the table */
	size_t routes;
};

static const struct net_route *route_of(const struct net_node *node, const struct prefix *p)
{
	for (size_t i = 0; i < node->n_fib; i++) {
		if (prefix_eq(&node->fib[i].prefix, p))
			return &node->fib[i];
	}
	return NULL;
}

/* Every path that shares the load is in the kernel; own routes never are. */
static bool check_route(void *arg, const struct bgp_path_info *p)
{
	struct fib_check *c = arg;
	const struct net_route *r = route_of(c->node, &p->prefix);
	size_t i = 0;

	if (p->best)
		c->routes += p->peer != NULL;
	if (!p->multipath || !p->peer) {
		if (p->best)
			assert_null(r);
		return true;
	}
	assert_non_null(r);
	while (i < r->n && !addr_eq(&r->hop[i], &p->attrs->v.next_hop))
		i++;
	assert_true(i < r->n);
	for (i = 1; i < r->n; i++)
		assert_true(addr_cmp(&r->hop[i - 1], &r->hop[i]) < 0);
	return true;
}

static void check_fib(struct net_node *node)
{
	struct fib_check c = { .node = node };

	bgp_speaker_each_path(node->sp, NULL, check_route, &c);
	assert_int_equal(c.routes, node->n_fib);
}

struct prefixes {
	VEC(struct prefix) list;
};

static bool collect_prefix(void *arg, const struct bgp_path_info *p)
{
	struct prefixes *all = arg;

	if (!all->list.n || !prefix_eq(&all->list.p[all->list.n - 1], &p->prefix))
		vec_push(&all->list, p->prefix);
	return true;
}

/* What everybody has been told is what `why` says it shall have. */
static void check_why(struct net_node *node)
{
	struct prefixes all = { 0 };

	bgp_speaker_each_path(node->sp, NULL, collect_prefix, &all);
	vec_foreach (&all.list, p) {
		struct bgp_why w;

		for (size_t i = 0; bgp_speaker_why(node->sp, p, i, &w); i++) {
			if (w.verdict == BGP_WHY_WAITS || !w.rule ||
			    (w.verdict == BGP_WHY_TOLD) != !!w.attrs)
				fail_msg("node %u to peer %zu: %s, %s", node->index, i,
					 bgp_why_verdict_name(w.verdict), w.text);
			bgp_why_done(&w);
		}
	}
	vec_done(&all.list);
}

/* What one end says it sent is what the other says it has. */
static void check_sessions(struct net *net)
{
	static struct bgp_peer_status st[NET_NODES_MAX][NET_PEERS_MAX];
	size_t n[NET_NODES_MAX] = { 0 };

	for (unsigned i = 0; i < net->n_nodes; i++) {
		while (bgp_speaker_peer_status(net->node[i].sp, n[i], &st[i][n[i]]))
			n[i]++;
		assert_int_equal(n[i], net->node[i].n_peers);
		assert_true(bgp_speaker_converged(net->node[i].sp));
	}
	for (unsigned a = 0; a < net->n_nodes; a++) {
		for (size_t k = 0; k < n[a]; k++) {
			unsigned b = 0;
			size_t m = 0;

			if (st[a][k].state != BGP_STATE_ESTABLISHED)
				fail_msg("node %u: %s is %s: %s", a, st[a][k].config->name,
					 bgp_state_name(st[a][k].state), st[a][k].last_error);
			while (!addr_eq(&net->node[b].addr, &st[a][k].config->addr))
				b++;
			while (!addr_eq(&st[b][m].config->addr, &net->node[a].addr))
				m++;
			for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
				assert_int_equal(st[a][k].routes_sent[af],
						 st[b][m].routes_received[af]);
				assert_int_equal(st[a][k].routes_stale[af], 0);
			}
		}
	}
}

static void fail_at_first_difference(unsigned node, const char *got, const char *want)
{
	size_t at = 0, line = 0;

	for (; got[at] && got[at] == want[at]; at++)
		line = got[at] == '\n' ? at + 1 : line;
	fail_msg("node %u has \"%.*s\", must have \"%.*s\"", node,
		 (int)strcspn(got + line, "\n"), got + line, (int)strcspn(want + line, "\n"),
		 want + line);
}

static void same_tables(struct net *got, struct net *want)
{
	for (unsigned i = 0; i < got->n_nodes; i++) {
		char *a = table_text(&got->node[i]), *b = table_text(&want->node[i]);

		if (strcmp(a, b) != 0)
			fail_at_first_difference(i, a, b);
		assert_true(strlen(a) > 0);
		free(a);
		free(b);
		check_fib(&got->node[i]);
		check_why(&got->node[i]);
	}
}

/* ---- rounds ---- */

static void start_all(struct net *net)
{
	for (unsigned i = 0; i < net->n_nodes; i++)
		net_start(&net->node[i], false);
}

/* Nodes come up in a random order, some as after a restart, with up to a second between two. */
static void start_in_some_order(struct net *net)
{
	unsigned order[NET_NODES_MAX];

	for (unsigned i = 0; i < net->n_nodes; i++) {
		unsigned at = net_random(net, i + 1);

		order[i] = order[at];
		order[at] = i;
	}
	for (unsigned i = 0; i < net->n_nodes; i++) {
		net_start(&net->node[order[i]], net_random(net, 4) == 0);
		net_run(net, net->now + net_random(net, 1000));
	}
}

static void suffer(struct net *net, int64_t ms)
{
	int64_t until = net->now + ms;

	while (net->now < until) {
		net_run(net, net->now + 50 + net_random(net, 1500));
		one_fault(net);
	}
	heal_all(net);
	/* stale routes have a time limit of their own: longer than any */
	net_run(net, net->now + 400 * 1000);
}

static void round_of(enum topology topo, unsigned n, uint64_t seed)
{
	static struct net got, want;

	rich = seed % 2;
	build(&got, topo, n, seed);
	start_in_some_order(&got);
	suffer(&got, 60 * 1000);
	check_sessions(&got);
	build(&want, topo, n, seed + 1000000);
	want.calm = true;
	for (unsigned i = 0; i < n; i++) {
		memcpy(want.node[i].blocks, got.node[i].blocks, sizeof(want.node[i].blocks));
		want.node[i].n_blocks = got.node[i].n_blocks;
	}
	start_all(&want);
	net_run(&want, want.now + 30 * 1000);
	check_sessions(&want);
	same_tables(&got, &want);
	print_message("%s, %u nodes, seed %llu: %llu steps, %llu bytes\n", topology_name[topo], n,
		      (unsigned long long)seed, (unsigned long long)got.steps,
		      (unsigned long long)got.bytes);
	net_done(&got);
	net_done(&want);
}

static void rounds_of(enum topology topo)
{
	unsigned n = env_number("BGP_SIM_NODES", 12), rounds = env_number("BGP_SIM_ROUNDS", 40);
	unsigned seed = env_number("BGP_SIM_SEED", 1);

	assert_true(n >= 6 && n <= NET_NODES_MAX);
	for (unsigned i = 0; i < rounds; i++)
		round_of(topo, n, seed + i);
}

/* ---- fifty ---- */

enum { FIFTY = 50, ORDERS = 2 };

static void fifty_suffer(void **state)
{
	unsigned seed = env_number("BGP_SIM_SEED", 1);

	(void)state;
	for (unsigned topo = 0; topo < TOPO_MAX_; topo++)
		round_of((enum topology)topo, FIFTY, seed + topo);
}

static void any_order(enum topology topo)
{
	static struct net first, other;

	rich = true;
	build(&first, topo, FIFTY, 1);
	first.calm = true;
	start_all(&first);
	net_run(&first, first.now + 60 * 1000);
	check_sessions(&first);
	for (unsigned i = 0; i < ORDERS; i++) {
		build(&other, topo, FIFTY, 100 + i);
		start_in_some_order(&other);
		heal_all(&other);
		net_run(&other, other.now + 400 * 1000);
		check_sessions(&other);
		same_tables(&other, &first);
		net_done(&other);
	}
	net_done(&first);
}

static void fifty_in_any_order(void **state)
{
	(void)state;
	/* the mesh, by far the most work, had an order of its own in fifty_suffer */
	for (unsigned topo = TOPO_RR; topo < TOPO_MAX_; topo++)
		any_order((enum topology)topo);
}

static void a_mesh_with_a_tor(void **state)
{
	(void)state;
	rounds_of(TOPO_MESH);
}

static void reflectors_with_a_tor(void **state)
{
	(void)state;
	rounds_of(TOPO_RR);
}

static void a_ring_of_ebgp(void **state)
{
	(void)state;
	rounds_of(TOPO_EBGP);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest few[] = {
		cmocka_unit_test(a_mesh_with_a_tor),
		cmocka_unit_test(reflectors_with_a_tor),
		cmocka_unit_test(a_ring_of_ebgp),
	};
	const struct CMUnitTest fifty[] = {
		cmocka_unit_test(fifty_suffer),
		cmocka_unit_test(fifty_in_any_order),
	};

	if (argc == 2 && strcmp(argv[1], "fifty") == 0)
		return cmocka_run_group_tests(fifty, NULL, NULL);
	return cmocka_run_group_tests(few, NULL, NULL);
}
