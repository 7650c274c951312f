/* bgp_net.c - many BGP speakers and a bad network between them, on virtual time */
#include "bgp_net.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum net_what {
	NET_ARRIVE, /* a dialled connection reaches the other end */
	NET_ANSWER, /* the dialler learns what came of it */
	NET_BYTES,
	NET_CLOSED,   /* the other end has closed */
	NET_WRITABLE, /* a socket that was full has room again */
};

struct net_event {
	int64_t at;
	uint64_t order; /* of events at the same time */
	enum net_what what;
	uint64_t conn; /* number of the struct net_conn */
	unsigned side; /* who is told */
};

/* Bytes under way to one side. */
struct net_pipe {
	uint8_t *p;
	size_t n, cap;
	int64_t last; /* arrivals keep their order */
};

struct net_conn {
	uint64_t number;
	bool refused;
	struct {
		unsigned node;
		uint64_t id;   /* as the speaker there knows it; 0: not or no longer */
		bool open;     /* the owner has a socket */
		struct net_pipe in;
	} end[2]; /* 0 dialled */
};

uint32_t net_random(struct net *net, uint32_t below)
{
	net->random = net->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(net->random >> 33) % below;
}

void net_init(struct net *net, uint64_t seed)
{
	memset(net, 0, sizeof(*net));
	net->now = 1000;
	net->random = seed * 2654435761u + 1;
	for (unsigned i = 0; i < NET_NODES_MAX; i++) {
		net->node[i].net = net;
		net->node[i].index = i;
		net->node[i].deadline = INT64_MAX;
	}
}

static void conn_free(struct net_conn *c)
{
	free(c->end[0].in.p);
	free(c->end[1].in.p);
}

void net_done(struct net *net)
{
	for (unsigned i = 0; i < net->n_nodes; i++)
		bgp_speaker_free(net->node[i].sp);
	for (size_t i = 0; i < net->n_conns; i++)
		conn_free(&net->conns[i]);
	free(net->conns);
	free(net->events);
}

/* ---- events ---- */

static bool sooner(const struct net_event *a, const struct net_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void post(struct net *net, int64_t at, enum net_what what, uint64_t conn, unsigned side)
{
	static uint64_t order;
	size_t i;

	if (net->n_events == net->cap_events) {
		net->cap_events = net->cap_events ? net->cap_events * 2 : 64;
		net->events = xreallocarray(net->events, net->cap_events, sizeof(*net->events));
	}
	i = net->n_events++;
	net->events[i] = (struct net_event){ at, order++, what, conn, side };
	while (i && sooner(&net->events[i], &net->events[(i - 1) / 2])) {
		struct net_event t = net->events[i];

		net->events[i] = net->events[(i - 1) / 2];
		net->events[(i - 1) / 2] = t;
		i = (i - 1) / 2;
	}
}

static struct net_event take_event(struct net *net)
{
	struct net_event top = net->events[0], t;
	size_t i = 0, least;

	net->events[0] = net->events[--net->n_events];
	for (;;) {
		least = i;
		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < net->n_events; c++)
			least = sooner(&net->events[c], &net->events[least]) ? c : least;
		if (least == i)
			return top;
		t = net->events[i];
		net->events[i] = net->events[least];
		net->events[least] = t;
		i = least;
	}
}

static int64_t latency(struct net *net)
{
	return net->calm ? 1 + net_random(net, 3) : 1 + net_random(net, 60);
}

/* ---- connections ---- */

static struct net_conn *conn_by_number(struct net *net, uint64_t number)
{
	for (size_t i = 0; i < net->n_conns; i++) {
		if (net->conns[i].number == number)
			return &net->conns[i];
	}
	return NULL;
}

static struct net_conn *conn_by_id(struct net_node *node, uint64_t id, unsigned *side)
{
	struct net *net = node->net;

	for (size_t i = 0; i < net->n_conns; i++) {
		for (*side = 0; *side < 2; ++*side) {
			if (net->conns[i].end[*side].node == node->index &&
			    net->conns[i].end[*side].id == id)
				return &net->conns[i];
		}
	}
	return NULL;
}

static struct net_node *node_by_addr(struct net *net, const struct addr *a)
{
	for (unsigned i = 0; i < net->n_nodes; i++) {
		if (addr_eq(&net->node[i].addr, a))
			return &net->node[i];
	}
	return NULL;
}

static void reap(struct net *net)
{
	for (size_t i = 0; i < net->n_conns; i++) {
		struct net_conn *c = &net->conns[i];

		if (c->end[0].open || c->end[1].open)
			continue;
		conn_free(c);
		*c = net->conns[--net->n_conns];
		i--;
	}
}

/* This end's socket is gone; the other end hears of it, if anything passes. */
static void end_close(struct net *net, struct net_conn *c, unsigned side)
{
	if (!c->end[side].open)
		return;
	c->end[side].open = false;
	c->end[side].id = 0;
	if (c->end[!side].in.last < net->now)
		c->end[!side].in.last = net->now;
	c->end[!side].in.last += latency(net);
	post(net, c->end[!side].in.last, NET_CLOSED, c->number, !side);
}

static void dial(struct net_node *node, uint64_t id, const struct bgp_peer_config *peer)
{
	struct net *net = node->net;
	struct net_node *to = node_by_addr(net, &peer->addr);
	struct net_conn *c;

	assert(to);
	if (net->n_conns == net->cap_conns) {
		net->cap_conns = net->cap_conns ? net->cap_conns * 2 : 16;
		net->conns = xreallocarray(net->conns, net->cap_conns, sizeof(*net->conns));
	}
	c = &net->conns[net->n_conns++];
	memset(c, 0, sizeof(*c));
	c->number = ++net->next_conn;
	c->end[0].node = node->index;
	c->end[0].id = id;
	c->end[0].open = true;
	c->end[1].node = to->index;
	if (net->cut[node->index][to->index] || net->cut[to->index][node->index])
		return; /* the SYN is lost: the session must give up by itself */
	post(net, net->now + latency(net), NET_ARRIVE, c->number, 1);
}

/* Some of what this end has to say is taken, and arrives in pieces. */
static void send_some(struct net_node *node, struct net_conn *c, unsigned side)
{
	struct net *net = node->net;
	uint64_t id = c->end[side].id, number = c->number;

	for (;;) {
		size_t len;
		const uint8_t *p;
		struct net_pipe *in;

		if (!net->calm && net_random(net, 20) == 0) {
			post(net, net->now + net_random(net, 500), NET_WRITABLE, number, side);
			return;
		}
		p = bgp_speaker_output(node->sp, id, &len, net->now);
		if (!p)
			return;
		len = net->calm ? len : 1 + net_random(net, (uint32_t)len);
		c = conn_by_number(net, number);
		in = &c->end[!side].in;
		net->bytes += len;
		in->p = xrealloc(in->p, in->n + len);
		memcpy(in->p + in->n, p, len);
		in->n += len;
		if (in->last < net->now)
			in->last = net->now;
		in->last += net_random(net, net->calm ? 2 : 20);
		post(net, in->last + latency(net), NET_BYTES, number, !side);
		bgp_speaker_written(node->sp, id, len, net->now);
	}
}

/* ---- nodes ---- */

static struct bgp_resolution resolve(void *arg, const struct addr *hop)
{
	const struct net_node *node = arg, *to = NULL;

	for (unsigned i = 0; i < node->net->n_nodes && !to; i++) {
		const struct net_node *n = &node->net->node[i];

		if (addr_eq(&n->addr, hop) || addr_eq(&n->global.local_v6, hop))
			to = n;
	}
	return (struct bgp_resolution){ .reachable = to && !node->blind[to->index],
					.connected = true };
}

static void fib_set(struct net_node *node, const struct bgp_fib_change *c)
{
	size_t i = 0;

	while (i < node->n_fib && !prefix_eq(&node->fib[i].prefix, &c->prefix))
		i++;
	if (c->n == 0) {
		assert(i < node->n_fib); /* gone twice, or never told */
		node->fib[i] = node->fib[--node->n_fib];
		return;
	}
	assert(i < NET_FIB_MAX && c->n <= ARRAY_SIZE(node->fib[i].hop));
	if (i == node->n_fib)
		node->n_fib++;
	node->fib[i].prefix = c->prefix;
	node->fib[i].n = c->n;
	memcpy(node->fib[i].hop, c->next_hop, c->n * sizeof(c->next_hop[0]));
}

static void effect(struct net_node *node, const struct bgp_effect *e)
{
	struct net *net = node->net;
	struct net_conn *c;
	unsigned side;

	switch (e->type) {
	case BGP_EFFECT_CONNECT:
		dial(node, e->conn, e->peer);
		return;
	case BGP_EFFECT_WRITE:
		c = conn_by_id(node, e->conn, &side);
		if (c)
			send_some(node, c, side);
		return;
	case BGP_EFFECT_CLOSE:
		c = conn_by_id(node, e->conn, &side);
		if (!c)
			return;
		if (e->linger) {
			send_some(node, c, side);
			bgp_speaker_closed(node->sp, e->conn, "closed here", net->now);
			c = conn_by_id(node, e->conn, &side);
		}
		if (c)
			end_close(net, c, side);
		return;
	case BGP_EFFECT_STATE:
	case BGP_EFFECT_LOG:
		return;
	}
}

/* What an owner does after each input: effects, some deferred work, the kernel. */
void net_settle(struct net_node *node)
{
	struct bgp_fib_change change;
	struct bgp_effect e;
	bool more = true;

	while (node->sp && more) {
		while (bgp_speaker_next_effect(node->sp, &e))
			effect(node, &e);
		more = bgp_speaker_run(node->sp, 1 + net_random(node->net, 50), node->net->now);
		while (bgp_speaker_next_fib_change(node->sp, &change))
			fib_set(node, &change);
		if (bgp_speaker_next_effect(node->sp, &e)) {
			effect(node, &e);
			more = true;
		}
	}
	node->deadline = node->sp ? bgp_speaker_deadline(node->sp) : INT64_MAX;
}

void net_start(struct net_node *node, bool restarting)
{
	struct bgp_pool pools[2] = { 0 };

	prefix_parse_strict("10.0.0.0/8", &pools[0].cidr);
	prefix_parse_strict("fd00::/8", &pools[1].cidr);
	node->global.restarting = restarting;
	node->n_fib = 0;
	node->sp = bgp_speaker_new(&node->global, net_random(node->net, UINT32_MAX));
	bgp_speaker_set_resolver(node->sp, resolve, node);
	bgp_speaker_set_pools(node->sp, pools, 2, node->net->now);
	bgp_speaker_set_blocks(node->sp, node->blocks, node->n_blocks, node->net->now);
	bgp_speaker_set_peers(node->sp, node->peers, node->n_peers, node->net->now);
	net_settle(node);
}

void net_kill(struct net_node *node)
{
	struct net *net = node->net;

	bgp_speaker_free(node->sp);
	node->sp = NULL;
	node->deadline = INT64_MAX;
	for (size_t i = 0; i < net->n_conns; i++) {
		for (unsigned side = 0; side < 2; side++) {
			if (net->conns[i].end[side].node == node->index)
				end_close(net, &net->conns[i], side);
		}
	}
}

void net_blocks_changed(struct net_node *node)
{
	if (!node->sp)
		return;
	bgp_speaker_set_blocks(node->sp, node->blocks, node->n_blocks, node->net->now);
	net_settle(node);
}

void net_next_hops_changed(struct net_node *node)
{
	if (!node->sp)
		return;
	bgp_speaker_next_hops_changed(node->sp, node->net->now);
	net_settle(node);
}

/* This end's socket fails now. */
static void end_fail(struct net *net, struct net_conn *c, unsigned side)
{
	struct net_node *node = &net->node[c->end[side].node];
	uint64_t id = c->end[side].id;

	c->end[side].open = false;
	c->end[side].id = 0;
	c->end[side].in.n = 0;
	if (!id || !node->sp)
		return;
	bgp_speaker_closed(node->sp, id, "broken", net->now);
	net_settle(node);
}

void net_break(struct net *net, unsigned a, unsigned b)
{
	for (size_t i = 0; i < net->n_conns; i++) {
		struct net_conn *c = &net->conns[i];

		if (!((c->end[0].node == a && c->end[1].node == b) ||
		      (c->end[0].node == b && c->end[1].node == a)) ||
		    !c->end[1].open)
			continue;
		/* the other end hears of it later, and loses what is under way */
		post(net, net->now + 1 + net_random(net, 2000), NET_CLOSED, c->number, 1);
		c->end[1].in.n = 0;
		end_fail(net, c, 0);
		return;
	}
}

/* TCP sends again what got lost: a partition delays bytes and the news that the other end is
 * gone. */
void net_heal(struct net *net)
{
	memset(net->cut, 0, sizeof(net->cut));
	for (size_t i = 0; i < net->n_conns; i++) {
		struct net_conn *c = &net->conns[i];

		for (unsigned side = 0; side < 2; side++) {
			if (c->end[side].in.n)
				post(net, net->now + latency(net), NET_BYTES, c->number, side);
			if (c->end[side].open && c->end[side].id && !c->end[!side].open &&
			    (side == 1 || c->end[1].in.last))
				post(net, net->now + 100 + latency(net), NET_CLOSED, c->number,
				     side);
		}
	}
}

/* ---- what happens ---- */

static void arrive(struct net *net, struct net_conn *c)
{
	struct net_node *from = &net->node[c->end[0].node], *to = &net->node[c->end[1].node];
	uint64_t number = c->number, id = number; /* the owner's name for it */
	bool taken = false;

	if (!c->end[0].open || net->cut[from->index][to->index])
		return;
	c->end[1].id = id;
	c->end[1].open = true;
	if (to->sp)
		taken = bgp_speaker_accept(to->sp, id, &from->addr, 12345, &to->addr, net->now);
	if (!taken) {
		c = conn_by_number(net, number);
		c->refused = true;
		c->end[1].id = 0;
		c->end[1].open = false;
	}
	/* before anything that is written on it */
	c->end[0].in.last = net->now + latency(net);
	post(net, c->end[0].in.last, NET_ANSWER, number, 0);
	net_settle(to);
}

static void answer(struct net *net, struct net_conn *c)
{
	struct net_node *node = &net->node[c->end[0].node];
	uint64_t id = c->end[0].id;

	if (!id || !node->sp)
		return;
	if (!c->refused) {
		bgp_speaker_connected(node->sp, id, &node->addr, net->now);
	} else {
		c->end[0].open = false;
		c->end[0].id = 0;
		bgp_speaker_connect_failed(node->sp, id, "connection refused", net->now);
	}
	net_settle(node);
}

static void deliver(struct net *net, struct net_conn *c, unsigned side)
{
	struct net_node *node = &net->node[c->end[side].node];
	struct net_pipe in = c->end[side].in;

	if (!in.n || !c->end[side].id || !node->sp ||
	    net->cut[c->end[!side].node][c->end[side].node])
		return;
	c->end[side].in = (struct net_pipe){ .last = in.last };
	bgp_speaker_received(node->sp, c->end[side].id, in.p, in.n, net->now);
	free(in.p);
	net_settle(node);
}

static void closed(struct net *net, struct net_conn *c, unsigned side)
{
	uint64_t number = c->number;

	if (!c->end[side].open || net->cut[c->end[!side].node][c->end[side].node])
		return;
	deliver(net, c, side); /* what came before */
	c = conn_by_number(net, number);
	if (c && c->end[side].open)
		end_fail(net, c, side);
}

static void happen(struct net *net, const struct net_event *e)
{
	struct net_conn *c = conn_by_number(net, e->conn);
	struct net_node *node;

	if (!c)
		return;
	switch (e->what) {
	case NET_ARRIVE:
		arrive(net, c);
		return;
	case NET_ANSWER:
		answer(net, c);
		return;
	case NET_BYTES:
		deliver(net, c, e->side);
		return;
	case NET_CLOSED:
		closed(net, c, e->side);
		return;
	case NET_WRITABLE:
		node = &net->node[c->end[e->side].node];
		if (!c->end[e->side].id || !node->sp)
			return;
		send_some(node, c, e->side);
		net_settle(node);
		return;
	}
}

static struct net_node *next_due(struct net *net)
{
	struct net_node *due = &net->node[0];

	for (unsigned i = 1; i < net->n_nodes; i++) {
		if (net->node[i].deadline < due->deadline)
			due = &net->node[i];
	}
	return due;
}

void net_run(struct net *net, int64_t until)
{
	for (;; net->steps++) {
		struct net_node *due = next_due(net);
		int64_t at = net->n_events ? net->events[0].at : INT64_MAX;

		if (at >= until && due->deadline >= until)
			break;
		if (net->steps % 64 == 0)
			reap(net);
		if (due->deadline < at) {
			int64_t was = due->deadline;

			net->now = was > net->now ? was : net->now;
			bgp_speaker_tick(due->sp, net->now);
			net_settle(due);
			assert(due->deadline > was); /* else time stands still */
		} else {
			struct net_event e = take_event(net);

			net->now = e.at > net->now ? e.at : net->now;
			happen(net, &e);
		}
	}
	net->now = until;
}
