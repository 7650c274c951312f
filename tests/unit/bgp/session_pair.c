/* session_pair.c - two sessions against each other over a network that delays as it likes
 *
 * Both dial at the same time, again and again with other delays: whatever the order, they end up
 * Established on one and the same connection, soon, and stay there. */
#include "tests/unit/bgp/session_world.h"

enum { LINKS = 64, QUEUE = 64 };

/* One TCP connection: each direction delivers whole writes in order, each after its own delay. */
struct pipe {
	struct {
		int64_t at;
		struct bytes b;
		bool fin;
	} q[QUEUE];
	unsigned head, tail;
	int64_t last_at;
};

struct link {
	bool used, open;
	int64_t syn_at; /* when the SYN arrives; 0: has */
	int64_t ack_at; /* when the dialler learns; 0: has */
	unsigned dialler;
	uint64_t id[2]; /* the end's name of it; 0: closed there */
	struct pipe to[2];
};

struct node {
	struct bgp_session *s;
	struct pair *pair;
	unsigned index;
	uint64_t next_id;
	unsigned ups, downs;
};

struct pair {
	struct bgp_attr_table *attrs;
	struct bgp_shared *shared;
	struct node node[2];
	struct link link[LINKS];
	unsigned links;
	uint32_t seed;
	int64_t now;
	int64_t delay_max;
};

static uint32_t rnd(struct pair *p, uint32_t below)
{
	p->seed = p->seed * 1664525 + 1013904223;
	return (p->seed >> 8) % below;
}

static int64_t later(struct pair *p)
{
	return p->now + 1 + rnd(p, (uint32_t)p->delay_max);
}

static struct link *link_of(struct pair *p, unsigned end, uint64_t id)
{
	for (unsigned i = 0; i < p->links; i++)
		if (p->link[i].id[end] == id)
			return &p->link[i];
	return NULL;
}

static void push(struct pair *p, struct pipe *to, const struct bytes *b)
{
	int64_t at = later(p);

	if (at < to->last_at)
		at = to->last_at;
	to->last_at = at;
	assert_true(to->tail < QUEUE);
	to->q[to->tail].at = at;
	to->q[to->tail].fin = !b;
	if (b)
		to->q[to->tail].b = *b;
	to->tail++;
}

static uint64_t p_connect(void *arg)
{
	struct node *n = arg;
	struct link *l = &n->pair->link[n->pair->links++];

	assert_true(n->pair->links < LINKS);
	memset(l, 0, sizeof(*l));
	l->used = true;
	l->dialler = n->index;
	l->id[n->index] = ++n->next_id;
	l->syn_at = later(n->pair);
	return l->id[n->index];
}

static void flush(struct node *n, uint64_t id)
{
	struct link *l = link_of(n->pair, n->index, id);
	struct bytes b = { .n = 0 };
	const void *p;
	size_t len;

	if (!l || !l->open)
		return;
	while ((p = bgp_session_output(n->s, id, &len, n->pair->now))) {
		memcpy(b.b + b.n, p, len);
		b.n += len;
		bgp_session_written(n->s, id, len, n->pair->now);
	}
	if (b.n)
		push(n->pair, &l->to[!n->index], &b);
}

static void p_close(void *arg, uint64_t conn, bool linger)
{
	struct node *n = arg;
	struct link *l = link_of(n->pair, n->index, conn);

	if (!l)
		return;
	if (linger)
		flush(n, conn);
	if (l->open)
		push(n->pair, &l->to[!n->index], NULL);
	l->id[n->index] = 0;
}

static void p_nothing(void *arg, uint64_t conn)
{
}

static void p_state(void *arg, enum bgp_state from, enum bgp_state to, const char *why)
{
}

static void p_log(void *arg, enum bgp_level level, const char *text)
{
}

static void p_up(void *arg)
{
	((struct node *)arg)->ups++;
}

static void p_down(void *arg, const struct bgp_down *why)
{
	((struct node *)arg)->downs++;
}

static void p_update(void *arg, const struct bgp_update *u)
{
}

static void p_refresh(void *arg, enum bgp_af af, uint8_t subtype)
{
}

static size_t p_bulk(void *arg, uint8_t *buf, size_t size)
{
	return 0;
}

static const struct bgp_session_ops pair_ops = {
	.connect = p_connect,
	.close = p_close,
	.write = p_nothing,
	.state = p_state,
	.log = p_log,
	.up = p_up,
	.down = p_down,
	.update = p_update,
	.refresh = p_refresh,
	.bulk = p_bulk,
};

static void flush_all(struct pair *p)
{
	for (unsigned i = 0; i < p->links; i++)
		for (unsigned end = 0; end < 2; end++)
			if (p->link[i].open && p->link[i].id[end])
				flush(&p->node[end], p->link[i].id[end]);
}

static void step_link(struct pair *p, struct link *l)
{
	struct addr local = addr_v4(1);

	if (l->syn_at && p->now >= l->syn_at) {
		struct node *n = &p->node[!l->dialler];

		l->syn_at = 0;
		l->ack_at = later(p);
		l->open = true;
		l->id[n->index] = ++n->next_id;
		if (!bgp_session_accept(n->s, l->id[n->index], &local, p->now)) {
			l->id[n->index] = 0;
			push(p, &l->to[l->dialler], NULL);
		}
	}
	if (l->ack_at && p->now >= l->ack_at) {
		l->ack_at = 0;
		if (l->id[l->dialler])
			bgp_session_connected(p->node[l->dialler].s, l->id[l->dialler], &local,
					      p->now);
		else
			push(p, &l->to[!l->dialler], NULL);
	}
	for (unsigned end = 0; end < 2; end++) {
		struct pipe *q = &l->to[end];

		/* the dialler reads when it knows that it is connected */
		if (end == l->dialler && (l->ack_at || l->syn_at))
			continue;
		while (q->head < q->tail && q->q[q->head].at <= p->now) {
			unsigned i = q->head++;
			uint64_t id = l->id[end];

			if (!id)
				continue;
			if (q->q[i].fin) {
				l->id[end] = 0;
				bgp_session_closed(p->node[end].s, id, "closed by peer", p->now);
			} else {
				bgp_session_received(p->node[end].s, id, q->q[i].b.b, q->q[i].b.n,
						     p->now);
			}
		}
	}
}

static void run(struct pair *p, int64_t ms)
{
	for (int64_t until = p->now + ms; p->now < until; p->now++) {
		for (unsigned i = 0; i < p->links; i++)
			step_link(p, &p->link[i]);
		for (unsigned i = 0; i < 2; i++)
			if (bgp_session_deadline(p->node[i].s) <= p->now)
				bgp_session_tick(p->node[i].s, p->now);
		flush_all(p);
	}
}

static void pair_init(struct pair *p, uint32_t seed, bool passive)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->now = 1000;
	p->attrs = bgp_attr_table_new();
	p->shared = bgp_shared_new(p->attrs);
	p->delay_max = 1 + rnd(p, 100);
	for (unsigned i = 0; i < 2; i++) {
		struct bgp_session_config cfg = {
			.local_as = 64512,
			.remote_as = 64512,
			.router_id = 10 + rnd(p, 1000) * 2 + i,
			.families = V4,
			.hold_s = 9,
			.passive = passive && i,
		};

		p->node[i] = (struct node) { .pair = p, .index = i };
		p->node[i].s = bgp_session_new(p->shared, &cfg, &pair_ops, &p->node[i], seed + i);
	}
	for (unsigned i = 0; i < 2; i++) {
		bgp_session_start(p->node[i].s, p->now);
		run(p, rnd(p, 40));
	}
}

static void pair_done(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++)
		bgp_session_free(p->node[i].s);
	bgp_shared_free(p->shared);
	bgp_attr_table_free(p->attrs);
}

static void expect_one_connection(struct pair *p, uint32_t seed)
{
	const struct bgp_conn *c[2];
	struct link *l;

	for (unsigned i = 0; i < 2; i++) {
		c[i] = bgp_session_info(p->node[i].s)->conn;
		if (!c[i] || c[i]->state != BGP_STATE_ESTABLISHED)
			fail_msg("seed %u: node %u is in %s: %s", seed, i,
				 bgp_state_name(bgp_session_info(p->node[i].s)->state),
				 bgp_session_info(p->node[i].s)->last_error);
	}
	l = link_of(p, 0, c[0]->id);
	assert_non_null(l);
	assert_true(l->id[1] == c[1]->id);
}

static void both_dial(void **state)
{
	static struct pair p;
	unsigned extra = 0;

	for (uint32_t seed = 1; seed < 600; seed++) {
		unsigned ups;

		pair_init(&p, seed, seed % 4 == 0);
		run(&p, 5000);
		expect_one_connection(&p, seed);
		ups = p.node[0].ups;
		extra += ups - 1;
		run(&p, 20000);
		expect_one_connection(&p, seed);
		assert_int_equal(p.node[0].ups, ups);
		pair_done(&p);
	}
	/* To come up, go down and come up again is allowed by RFC 4271 6.8, but must be rare. */
	if (extra > 6)
		fail_msg("%u of 599 came up twice", extra);
}

/* The connection breaks under them, again and again. */
static void recovery(void **state)
{
	static struct pair p;

	for (uint32_t seed = 1; seed < 100; seed++) {
		pair_init(&p, seed, false);
		for (unsigned turn = 0; turn < 4; turn++) {
			const struct bgp_conn *c;
			struct link *l;

			run(&p, 8000);
			expect_one_connection(&p, seed);
			c = bgp_session_info(p.node[0].s)->conn;
			l = link_of(&p, 0, c->id);
			push(&p, &l->to[0], NULL);
			push(&p, &l->to[1], NULL);
			run(&p, 200);
			if (p.links > LINKS - 16)
				break;
		}
		pair_done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_dial),
		cmocka_unit_test(recovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
