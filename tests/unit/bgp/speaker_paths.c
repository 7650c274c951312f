/* speaker_paths.c - several paths to one prefix (RFC 7911), refreshes with begin and end (RFC 7313),
 * long messages (RFC 8654): whole speakers, and peers that are played byte by byte */
#include "speaker_world.h"

#include "bgp/msg.h"
#include "bgp/open.h"
#include "bgp/update.h"
#include "played.h"

/* ---- several paths ---- */

/* Node 0 reflects between 1, 2 (which announce the same) and 3. */
static void reflector_of_four(bool add_path)
{
	begin(4);
	for (unsigned i = 0; i < 4; i++)
		net.node[i].n_peers = 0;
	net.node[0].global.cluster_id = 1;
	net.node[0].n_blocks = 0;
	net.node[2].blocks[0] = net.node[1].blocks[0];
	net.node[3].n_blocks = 0;
	for (unsigned i = 1; i < 4; i++) {
		peer(0, i)->rr_client = true;
		peer(i, 0);
		net.node[0].peers[i - 1].add_path = add_path;
		net.node[i].peers[0].add_path = add_path;
	}
	start();
}

static void a_client_gets_every_path(void **state)
{
	(void)state;
	for (unsigned add_path = 0; add_path < 2; add_path++) {
		reflector_of_four(add_path);
		assert_int_equal(look(0, "10.1.0.0/26").paths, 2);
		assert_int_equal(look(3, "10.1.0.0/26").paths, add_path ? 2 : 1);
		assert_int_equal(route(3, "10.1.0.0/26")->n, add_path ? 2 : 1);
		assert_int_equal(status(0, 3).routes_sent[0], add_path ? 2 : 1);
		net.node[1].n_blocks = 0;
		net_blocks_changed(&net.node[1]);
		wait_ms(1000);
		assert_int_equal(look(3, "10.1.0.0/26").paths, 1);
		assert_true(addr_eq(&route(3, "10.1.0.0/26")->hop[0], &net.node[2].addr));
		net.node[2].n_blocks = 0;
		net_blocks_changed(&net.node[2]);
		wait_ms(1000);
		assert_null(route(3, "10.1.0.0/26"));
		assert_int_equal(bgp_speaker_prefix_count(net.node[0].sp, BGP_AF_IPV4_UNICAST), 0);
		net_done(&net);
	}
}

static void one_side_alone_gets_the_plain_form(void **state)
{
	(void)state;
	begin(3);
	peer(0, 1)->add_path = true;
	net.node[0].peers[0].add_path = true;
	start();
	assert_int_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_non_null(route(1, "10.0.0.0/26"));
	net_done(&net);
}

/* ---- a refresh with begin and end ---- */

static unsigned paths_of(struct played_world *w, const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	struct look l = { 0 };

	bgp_speaker_each_path(w->sp, &p, look_at, &l);
	return l.usable;
}

static void what_is_not_repeated_goes(void **state)
{
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	p->caps.enhanced_refresh = true;
	p->config->enhanced_refresh = true;
	p->config->families = p->caps.families = 3;
	played_start(&w);
	played_announce(&w, p, "10.1.0.0/26");
	played_announce(&w, p, "10.2.0.0/26");
	played_announce(&w, p, "fd00::/64");
	played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_BEGIN);
	played_announce(&w, p, "10.2.0.0/26");
	played_announce(&w, p, "10.3.0.0/26");
	/* until the end all of them are there */
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), 1);
	assert_int_equal(paths_of(&w, "10.2.0.0/26"), 1);
	assert_int_equal(paths_of(&w, "fd00::/64"), 1);
	played_refresh(&w, p, BGP_AF_IPV6_UNICAST, BGP_REFRESH_END); /* of one that never began */
	played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_END);
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), 0);
	assert_int_equal(paths_of(&w, "10.2.0.0/26"), 1);
	assert_int_equal(paths_of(&w, "10.3.0.0/26"), 1);
	assert_int_equal(paths_of(&w, "fd00::/64"), 1);
	played_end(&w);
}

static void an_end_that_never_comes(void **state)
{
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	p->caps.enhanced_refresh = p->config->enhanced_refresh = true;
	p->config->hold_s = 0;
	played_start(&w);
	played_announce(&w, p, "10.1.0.0/26");
	played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_BEGIN);
	w.now += BGP_STALE_MAX_MS - 1;
	played_settle(&w);
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), 1);
	w.now += 1;
	played_settle(&w);
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), 0);
	assert_int_equal(played_status(&w, p).state, BGP_STATE_ESTABLISHED);
	played_end(&w);
}

/* Each begin costs a look at all tables: one that comes too often is a refresh without one. */
static void begins_that_come_too_often(void **state)
{
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	p->caps.enhanced_refresh = p->config->enhanced_refresh = true;
	p->config->families = p->caps.families = 3;
	played_start(&w);
	played_announce(&w, p, "fd00::/64");
	for (unsigned i = 0; i < 2 * BGP_REFRESHES_MAX; i++) {
		if (i == BGP_REFRESHES_MAX + 4)
			w.now += BGP_REFRESH_WINDOW_MS;
		played_announce(&w, p, "10.1.0.0/26");
		played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_BEGIN);
		played_announce(&w, p, "10.2.0.0/26");
		played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_END);
		assert_int_equal(paths_of(&w, "10.1.0.0/26"),
				 i >= BGP_REFRESHES_MAX && i < BGP_REFRESHES_MAX + 4);
		assert_int_equal(paths_of(&w, "10.2.0.0/26"), 1);
		assert_int_equal(paths_of(&w, "fd00::/64"), 1);
	}
	assert_int_equal(played_status(&w, p).state, BGP_STATE_ESTABLISHED);
	played_end(&w);
}

static void our_answer_has_begin_and_end(void **state)
{
	struct played_world w;
	struct played *p;
	struct prefix block = make_prefix("10.9.0.0/26");

	(void)state;
	for (unsigned enhanced = 0; enhanced < 2; enhanced++) {
		played_begin(&w);
		p = played_add(&w, 65001);
		p->caps.enhanced_refresh = p->config->enhanced_refresh = enhanced;
		played_start(&w);
		bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
		played_settle(&w);
		p->n_types = 0;
		played_refresh(&w, p, BGP_AF_IPV4_UNICAST, BGP_REFRESH_PLEASE);
		if (enhanced) {
			assert_int_equal(p->n_types, 3);
			assert_int_equal(p->type[0], BGP_MSG_ROUTE_REFRESH);
			assert_int_equal(p->type[2], BGP_MSG_ROUTE_REFRESH);
			assert_int_equal(p->last_refresh, BGP_REFRESH_END);
		} else {
			assert_int_equal(p->n_types, 1);
		}
		assert_int_equal(p->type[enhanced], BGP_MSG_UPDATE);
		played_end(&w);
	}
}

/* ---- long messages ---- */

static void long_attributes_need_a_long_message(void **state)
{
	struct played_world w;
	struct played *from, *big, *small;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	big = played_add(&w, 65002);
	small = played_add(&w, 65003);
	from->caps.extended_message = from->config->extended_message = true;
	big->caps.extended_message = big->config->extended_message = true;
	small->caps.extended_message = true; /* we do not offer it */
	played_start(&w);
	/* 1500 communities: 6000 bytes */
	from->communities = 1500;
	played_announce(&w, from, "10.1.0.0/26");
	from->communities = 0;
	played_announce(&w, from, "10.2.0.0/26");
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), 1);
	assert_int_equal(played_status(&w, big).routes_sent[0], 2);
	assert_true(big->longest > 6000);
	assert_int_equal(played_status(&w, small).routes_sent[0], 1);
	assert_true(small->longest <= BGP_MSG_MAX);
	/* what it had goes when the new form does not fit */
	from->communities = 1500;
	played_announce(&w, from, "10.2.0.0/26");
	assert_int_equal(played_status(&w, small).routes_sent[0], 0);
	assert_int_equal(small->withdrawn,
			 2); /* the first was never told; to forget it harms not */
	/* the longest that there is */
	from->communities = 16000;
	played_announce(&w, from, "10.3.0.0/26");
	assert_int_equal(paths_of(&w, "10.3.0.0/26"), 1);
	assert_int_equal(played_status(&w, big).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(played_status(&w, big).routes_sent[0], 3);
	played_end(&w);
}

/* ---- very many paths to one prefix ---- */

enum { IDS_PER_MESSAGE = 400 };

static void put_ids(struct wr *w, const uint32_t *id, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		wr_u32(w, id[i]);
		wr_bytes(w, "\x1a\x0a\x01\x00\x00", 5); /* 10.1.0.0/26 */
	}
}

static void put_attrs(struct wr *w, const struct played *p)
{
	wr_bytes(w, "\x40\x01\x01\x00\x40\x02\x06\x02\x01", 9);
	wr_u32(w, p->as);
	wr_bytes(w, "\x40\x03\x04", 3);
	wr_bytes(w, p->addr.b, 4);
}

/* p announces, or withdraws, paths with these ids. */
static void say(struct played_world *w, struct played *p, const uint32_t *id, unsigned n,
		bool announce)
{
	for (unsigned at = 0; at < n; at += IDS_PER_MESSAGE) {
		unsigned some = n - at < IDS_PER_MESSAGE ? n - at : IDS_PER_MESSAGE;
		uint8_t buf[BGP_MSG_MAX];
		struct wr wr = wr_init(buf, sizeof(buf));
		size_t begin = bgp_msg_begin(&wr, BGP_MSG_UPDATE);

		wr_u16(&wr, (uint16_t)(announce ? 0 : some * 9));
		if (!announce)
			put_ids(&wr, id + at, some);
		wr_u16(&wr, announce ? 9 + 4 + 3 + 4 : 0);
		if (announce) {
			put_attrs(&wr, p);
			put_ids(&wr, id + at, some);
		}
		bgp_msg_end(&wr, begin);
		assert_false(wr.bad);
		bgp_speaker_received(w->sp, p->conn, buf, wr_len(&wr), w->now);
	}
	played_settle(w);
}

/* One that has several paths to tell, and one that takes them. */
static struct played *with_paths(struct played_world *w, asn_t as, bool tells)
{
	struct played *p = played_add(w, as);

	p->config->add_path = true;
	p->caps.add_path_tx = tells;
	p->caps.add_path_rx = !tells;
	return p;
}

static void many_paths_in_any_order(void **state)
{
	enum { N = 3000, HALF = N / 2 };
	static uint32_t id[N];
	struct played_world w;
	struct played *from, *to;
	uint32_t random = 1;

	(void)state;
	played_begin(&w);
	from = with_paths(&w, 65001, true);
	to = with_paths(&w, 65002, false);
	played_start(&w);
	for (uint32_t i = 0; i < N; i++)
		id[i] = i;
	say(&w, from, id, N, true);
	assert_int_equal(paths_of(&w, "10.1.0.0/26"), N);
	assert_int_equal(to->announced, N);
	for (unsigned round = 1; round <= 5; round++) {
		for (uint32_t i = N - 1; i > 0; i--) {
			uint32_t at = (random = random * 1664525 + 1013904223) % (i + 1),
				 was = id[i];

			id[i] = id[at];
			id[at] = was;
		}
		say(&w, from, id, HALF, false);
		assert_int_equal(played_status(&w, to).routes_sent[0], N - HALF);
		assert_int_equal(to->withdrawn, round * HALF);
		/* the second half of them is told again, but nothing is new of it */
		say(&w, from, id, N, true);
		assert_int_equal(played_status(&w, to).routes_sent[0], N);
		assert_int_equal(to->announced, N + round * HALF);
	}
	say(&w, from, id, N, false);
	assert_int_equal(played_status(&w, to).routes_sent[0], 0);
	assert_int_equal(bgp_speaker_prefix_count(w.sp, BGP_AF_IPV4_UNICAST), 0);
	played_end(&w);
}

/* Paths come and go, each with an id that was not there before. As long as somebody has not heard that
 * they have gone, their indexes are kept: he has not all the time in the world. */
static void withdrawals_that_nobody_reads(void **state)
{
	enum { N = 300, ROUNDS = 10 };
	struct played_world w;
	struct played *from, *to, *deaf;
	uint32_t id[N];

	(void)state;
	played_begin(&w);
	w.global.unheard_max = 1000;
	from = with_paths(&w, 65001, true);
	to = with_paths(&w, 65002, false);
	deaf = with_paths(&w, 65003, false);
	played_start(&w);
	deaf->deaf = true;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < N; i++)
			id[i] = round * N + i;
		say(&w, from, id, N, true);
		say(&w, from, id, N, false);
		assert_int_equal(played_status(&w, deaf).state == BGP_STATE_ESTABLISHED,
				 (round + 1) * N <= w.global.unheard_max);
	}
	assert_non_null(strstr(played_status(&w, deaf).last_error, "Out of Resources"));
	assert_int_equal(to->announced, ROUNDS * N);
	assert_int_equal(to->withdrawn, ROUNDS * N);
	assert_int_equal(played_status(&w, to).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(played_status(&w, from).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(bgp_speaker_prefix_count(w.sp, BGP_AF_IPV4_UNICAST), 0);
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_gets_every_path),
		cmocka_unit_test(one_side_alone_gets_the_plain_form),
		cmocka_unit_test(what_is_not_repeated_goes),
		cmocka_unit_test(an_end_that_never_comes),
		cmocka_unit_test(begins_that_come_too_often),
		cmocka_unit_test(our_answer_has_begin_and_end),
		cmocka_unit_test(long_attributes_need_a_long_message),
		cmocka_unit_test(many_paths_in_any_order),
		cmocka_unit_test(withdrawals_that_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
