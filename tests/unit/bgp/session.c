/* session.c - a session against every kind of peer: wrong, silent, cut, late, dialling too */
#include "tests/unit/bgp/session_world.h"

/* ---- messages where they do not belong, and wrong ones ---- */

static void wrong_messages(void **state)
{
	const struct bytes open = good_open(), ka = keepalive(), upd = update();
	const struct {
		const char *name;
		enum bgp_state in;
		struct bytes bytes;
		int code, subcode; /* -1: closed without a word */
		const char *words;
	} rows[] = {
		{ "KEEPALIVE in OpenSent", BGP_STATE_OPENSENT, ka, 5, 1,
		  "KEEPALIVE came in OpenSent, must be OPEN" },
		{ "UPDATE in OpenSent", BGP_STATE_OPENSENT, upd, 5, 1, "must be OPEN" },
		{ "ROUTE-REFRESH in OpenSent", BGP_STATE_OPENSENT,
		  message(BGP_MSG_ROUTE_REFRESH, "00010001"), 5, 1, "ROUTE-REFRESH came" },
		{ "NOTIFICATION in OpenSent", BGP_STATE_OPENSENT, message(3, "06 03"), -1, 0,
		  "received Cease/Peer De-configured" },
		{ "garbage in OpenSent", BGP_STATE_OPENSENT, hex("474554202f"), 1, 1, "not BGP" },
		{ "wrong length in OpenSent", BGP_STATE_OPENSENT,
		  hex("ffffffffffffffffffffffffffffffff 0012 01"), 1, 2, "must be 29" },
		{ "wrong type in OpenSent", BGP_STATE_OPENSENT,
		  hex("ffffffffffffffffffffffffffffffff 0013 09"), 1, 3, "message type 9" },
		{ "version 3", BGP_STATE_OPENSENT, message(1, "03 fde9 005a 0a000002 00"), 2, 1,
		  "version 3, must be 4" },
		{ "another AS", BGP_STATE_OPENSENT, peer_open(65009, 0x0a000002, 90, false), 2, 2,
		  "AS 65009, must be in AS 65001" },
		{ "hold time 2", BGP_STATE_OPENSENT, peer_open(65001, 0x0a000002, 2, false), 2, 6,
		  "hold time 2 s" },
		{ "router ID 0", BGP_STATE_OPENSENT, peer_open(65001, 0, 90, false), 2, 3,
		  "router ID 0.0.0.0" },
		{ "no family in common", BGP_STATE_OPENSENT,
		  message(1, "04 fde9 005a 0a000002 08 02 06 01 04 0002 00 01"), 2, 7,
		  "no address family in common" },
		{ "OPEN twice", BGP_STATE_OPENCONFIRM, open, 5, 2,
		  "OPEN came in OpenConfirm, must be KEEPALIVE" },
		{ "UPDATE in OpenConfirm", BGP_STATE_OPENCONFIRM, upd, 5, 2, "UPDATE came" },
		{ "NOTIFICATION in OpenConfirm", BGP_STATE_OPENCONFIRM, message(3, "0202"), -1, 0,
		  "received OPEN Message Error/Bad Peer AS" },
		{ "garbage in OpenConfirm", BGP_STATE_OPENCONFIRM, hex("00"), 1, 1, "not BGP" },
		{ "OPEN in Established", BGP_STATE_ESTABLISHED, open, 5, 3,
		  "OPEN came in Established, must be UPDATE, KEEPALIVE or ROUTE-REFRESH" },
		{ "garbage in Established", BGP_STATE_ESTABLISHED, hex("ff00"), 1, 1, "not BGP" },
		{ "UPDATE that cannot be read", BGP_STATE_ESTABLISHED, message(2, "ffff0000"), 3, 1,
		  "go over the end of the message" },
		{ "shutdown with a text", BGP_STATE_ESTABLISHED, message(3, "0602 04 6261636b"), -1,
		  0, "received Cease/Administrative Shutdown \"back\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_session_config cfg = world_config();
		const struct bgp_session_info *info;
		struct world w;
		uint64_t conn;

		world_init(&w, &cfg);
		info = bgp_session_info(w.s);
		conn = world_reach(&w, rows[i].in, true);
		world_feed(&w, conn, &rows[i].bytes);
		if (info->conn)
			fail_msg("%s: still in %s", rows[i].name, bgp_state_name(info->state));
		if (!strstr(info->last_error, rows[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, info->last_error,
				 rows[i].words);
		assert_int_equal(w.closes, 1);
		assert_true(w.closed == conn);
		assert_int_equal(w.lingers, rows[i].code > 0);
		if (rows[i].code > 0) {
			assert_non_null(strstr(info->last_error, "sent "));
			expect_notification(&w, conn, rows[i].code, rows[i].subcode, rows[i].name);
		}
		assert_int_equal(w.downs, rows[i].in == BGP_STATE_ESTABLISHED);
		assert_false(w.down.graceful);
		world_done(&w);
	}
}

static void own_router_id_on_ibgp(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes open = peer_open(64512, 0x0a000001, 90, false);
	struct world w;
	uint64_t conn;

	cfg.remote_as = 64512;
	world_init(&w, &cfg);
	conn = world_accept(&w);
	world_feed(&w, conn, &open);
	expect_notification(&w, conn, 2, 3, "own ID");
	assert_non_null(strstr(bgp_session_info(w.s)->last_error, "our own router ID 10.0.0.1"));
	world_done(&w);
}

/* ---- bytes cut anywhere ---- */

static struct bytes whole_conversation(void)
{
	struct bytes all = good_open(), ka = keepalive(), upd = update(),
		     many = message(2, "0000 0000");

	bytes_add(&all, &ka);
	bytes_add(&all, &upd);
	bytes_add(&all, &upd);
	bytes_add(&all, &many);
	bytes_add(&all, &ka);
	bytes_add(&all, &upd);
	return all;
}

static void feed_pieces(const struct bytes *all, size_t first, size_t step)
{
	struct bgp_session_config cfg = world_config();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_accept(&w);
	for (size_t at = 0; at < all->n;) {
		struct bytes piece = { .n = at ? step : first };

		if (piece.n > all->n - at)
			piece.n = all->n - at;
		memcpy(piece.b, all->b + at, piece.n);
		world_feed(&w, conn, &piece);
		at += piece.n;
	}
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	assert_int_equal(w.updates, 4);
	assert_int_equal(bgp_session_info(w.s)->msgs_in, 7);
	assert_int_equal(bgp_session_info(w.s)->bytes_in, all->n);
	world_done(&w);
}

static void any_cut(void **state)
{
	struct bytes all = whole_conversation();

	for (size_t first = 1; first <= all.n; first++)
		feed_pieces(&all, first, all.n);
	for (size_t step = 1; step < 80; step++)
		feed_pieces(&all, step, step);
}

static void nothing_is_kept_between_messages(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes ka = keepalive();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	world_feed(&w, conn, &ka);
	assert_null(bgp_session_info(w.s)->conn->rx.p);
	assert_null(bgp_session_info(w.s)->conn->control.p);
	assert_null(bgp_session_info(w.s)->conn->bulk.p);
	world_done(&w);
}

/* ---- time ---- */

/* RFC 4271 8.2.2 suggests 4 minutes. Who dials us has dialled in order to speak, and gets less. */
static void silent_peer_in_opensent(void **state)
{
	static const struct {
		bool we_dial;
		unsigned wait_s;
		const char *words;
	} rows[] = {
		{ false, 60, "no OPEN within 60 s" },
		{ true, 240, "no OPEN within 240 s" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_session_config cfg = world_config();
		struct addr local = addr_v4(1);
		struct world w;
		uint64_t conn;

		cfg.passive = !rows[i].we_dial;
		world_init(&w, &cfg);
		if (rows[i].we_dial)
			bgp_session_connected(w.s, w.last_id, &local, w.now);
		else
			world_accept(&w);
		conn = w.last_id;
		world_pull(&w, conn);
		world_run(&w, w.now + rows[i].wait_s * 1000 - 1, 0);
		assert_int_equal(world_state(&w), BGP_STATE_OPENSENT);
		world_run(&w, w.now + 1, 0);
		expect_notification(&w, conn, 4, 0, "silent");
		assert_non_null(strstr(bgp_session_info(w.s)->last_error, rows[i].words));
		world_done(&w);
	}
}

/* An OPEN that says "no hold time" does not let a peer sit in OpenConfirm forever. */
static void silent_peer_in_openconfirm(void **state)
{
	static const struct {
		bool we_dial;
		uint16_t ours_s, theirs_s;
		unsigned wait_s;
	} rows[] = {
		{ false, 90, 0, 60 },  { false, 240, 240, 60 }, { false, 240, 9, 9 },
		{ true, 240, 0, 240 }, { true, 240, 90, 90 },	{ true, 600, 65535, 240 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes open = peer_open(65001, 0x0a000002, rows[i].theirs_s, false);
		struct bgp_session_config cfg = world_config();
		struct addr local = addr_v4(1);
		char words[64];
		struct world w;
		uint64_t conn;

		cfg.passive = !rows[i].we_dial;
		cfg.hold_s = rows[i].ours_s;
		world_init(&w, &cfg);
		if (rows[i].we_dial)
			bgp_session_connected(w.s, w.last_id, &local, w.now);
		else
			world_accept(&w);
		conn = w.last_id;
		world_feed(&w, conn, &open);
		world_run(&w, w.now + rows[i].wait_s * 1000 - 1, conn);
		assert_int_equal(world_state(&w), BGP_STATE_OPENCONFIRM);
		world_run(&w, w.now + 1, 0);
		expect_notification(&w, conn, 4, 0, "silent");
		snprintf(words, sizeof(words), "no KEEPALIVE within %u s", rows[i].wait_s);
		assert_non_null(strstr(bgp_session_info(w.s)->last_error, words));
		world_done(&w);
	}
}

static void hold_time(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes upd = update(), ka = keepalive();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, true);
	assert_int_equal(bgp_session_negotiated(w.s)->hold_s, 90);
	/* UPDATE counts as a sign of life, and so does KEEPALIVE. */
	world_run(&w, w.now + 80000, conn);
	world_feed(&w, conn, &upd);
	world_run(&w, w.now + 80000, conn);
	world_feed(&w, conn, &ka);
	world_run(&w, w.now + 89999, conn);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	world_run(&w, w.now + 1, 0);
	expect_notification(&w, conn, 4, 0, "hold");
	assert_non_null(strstr(w.down.text, "nothing heard for 90 s"));
	assert_int_equal(w.down.kind, BGP_DOWN_SENT);
	assert_false(w.down.graceful);
	world_done(&w);
}

static void keepalives(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes ka = keepalive();
	struct world w;
	uint64_t conn;
	int64_t last, gap;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	last = w.now;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t before = bgp_session_info(w.s)->msgs_out;

		while (bgp_session_info(w.s)->msgs_out == before)
			world_run(&w, bgp_session_deadline(w.s), conn);
		gap = w.now - last;
		last = w.now;
		/* RFC 4271 10: 0.75 to 1.0 of 30 s */
		assert_in_range(gap, 22500, 30000);
		world_feed(&w, conn, &ka);
	}
	/* One that was not written yet is not doubled. */
	world_run(&w, w.now + 85000, 0);
	assert_int_equal(world_pull(&w, conn).n, 19);
	world_done(&w);
}

static void hold_time_zero(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes open = peer_open(65001, 2, 0, false), ka = keepalive();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_accept(&w);
	world_feed(&w, conn, &open);
	world_feed(&w, conn, &ka);
	world_pull(&w, conn);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	assert_true(bgp_session_deadline(w.s) == INT64_MAX);
	world_done(&w);
}

static void dial_backs_off(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct world w;
	int64_t base = 200;

	cfg.passive = false;
	world_init(&w, &cfg);
	/* the first one at once */
	assert_int_equal(w.dials, 1);
	assert_int_equal(world_state(&w), BGP_STATE_CONNECT);
	for (unsigned i = 0; i < 10; i++) {
		int64_t wait;

		bgp_session_connect_failed(w.s, w.last_id, "Connection refused", w.now);
		assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
		assert_string_equal(bgp_session_info(w.s)->last_error,
				    "cannot connect: Connection refused");
		wait = bgp_session_deadline(w.s) - w.now;
		assert_in_range(wait, base * 3 / 4, base);
		assert_true(bgp_session_info(w.s)->next_retry_ms == w.now + wait);
		base = base < 3200 ? base * 2 : base;
		world_run(&w, w.now + wait, 0);
		assert_int_equal(w.dials, i + 2);
	}
	/* Nobody answers at all: given up and dialled again. */
	world_run(&w, w.now + 8000, 0);
	assert_int_equal(w.dials, 12);
	assert_int_equal(w.closes, 1);
	assert_int_equal(world_state(&w), BGP_STATE_CONNECT);
	world_done(&w);
}

static void passive_never_dials(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
	assert_true(bgp_session_deadline(w.s) == INT64_MAX);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	bgp_session_closed(w.s, conn, "reset by peer", w.now);
	world_run(&w, w.now + 3600000, 0);
	assert_int_equal(w.dials, 0);
	assert_int_not_equal(world_accept(&w), 0);
	world_done(&w);
}

static void errors_lead_to_waiting(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes wrong = peer_open(65009, 2, 90, false);
	struct world w;
	int64_t base = 1000;

	world_init(&w, &cfg);
	for (unsigned i = 0; i < 8; i++) {
		uint64_t conn = world_accept(&w);
		int64_t wait;

		assert_int_not_equal(conn, 0);
		world_feed(&w, conn, &wrong);
		world_pull(&w, conn);
		bgp_session_closed(w.s, conn, "done", w.now);
		assert_int_equal(world_state(&w), BGP_STATE_IDLE);
		assert_int_equal(world_accept(&w), 0);
		wait = bgp_session_deadline(w.s) - w.now;
		assert_in_range(wait, base * 3 / 4, base);
		base = base < 32000 ? base * 2 : base;
		world_run(&w, w.now + wait, 0);
		assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
	}
	world_done(&w);
}

/* BFD says that the path is back: what waits because it was gone is done at once, each time; what the
 * session is to blame for, or the peer, is not. */
static void rest_ends_when_the_path_is_back(void **state)
{
	static const struct {
		const char *name;
		uint8_t code, subcode;
		bool theirs, ends;
	} rows[] = {
		{ "we told that BFD is down", 6, 10, false, true },
		{ "the peer told", 6, 10, true, true },
		{ "a prefix limit", 6, 1, false, false },
		{ "the peer was shut down", 6, 2, true, false },
		{ "the peer refuses us", 6, 5, true, false },
		{ "the peer says wrong AS", 2, 2, true, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_session_config cfg = world_config();
		struct bgp_notification n = { .code = rows[i].code, .subcode = rows[i].subcode };
		struct bytes open = good_open(), ka = keepalive(), told = { .n = 0 };
		struct addr local = addr_v4(1);
		struct wr wr = wr_init(told.b, sizeof(told.b));
		struct world w;
		int64_t wait;

		bgp_msg_notification(&wr, &n);
		told.n = wr_len(&wr);
		cfg.passive = false;
		world_init(&w, &cfg);
		for (unsigned round = 0; round < 4; round++) {
			unsigned dials = w.dials;
			uint64_t conn = w.last_id;

			bgp_session_connected(w.s, conn, &local, w.now);
			world_feed(&w, conn, &open);
			world_feed(&w, conn, &ka);
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
			if (rows[i].theirs)
				world_feed(&w, conn, &told);
			else
				bgp_session_fail(w.s, &n, rows[i].name, w.now);
			assert_int_equal(world_state(&w), BGP_STATE_IDLE);
			bgp_session_path_up(w.s, w.now);
			wait = bgp_session_info(w.s)->next_retry_ms - w.now;
			world_run(&w, w.now, 0);
			if (!rows[i].ends)
				world_run(&w, w.now + wait, 0);
			if (rows[i].ends ? w.dials != dials + 1 : wait < 750 << round)
				fail_msg("%s: waits %d ms", rows[i].name, (int)wait);
			assert_int_equal(w.dials, dials + 1);
		}
		world_done(&w);
	}
}

/* A dial that the broken path has swallowed, and the pause after one: begun anew. One that has only
 * begun, and one that rests for another reason beside a silent connection: left alone. */
static void dials_begin_anew_when_the_path_is_back(void **state)
{
	struct bytes wrong = peer_open(65009, 2, 90, false);
	struct bgp_session_config cfg = world_config();
	struct addr local = addr_v4(1);
	struct world w;
	uint64_t out;

	cfg.passive = false;
	world_init(&w, &cfg);
	bgp_session_path_up(w.s, w.now);
	world_run(&w, w.now + 999, 0);
	assert_int_equal(w.dials, 1);
	world_run(&w, w.now + 1, 0);
	bgp_session_path_up(w.s, w.now);
	world_run(&w, w.now, 0);
	assert_int_equal(w.dials, 2);
	bgp_session_connect_failed(w.s, w.last_id, "No route to host", w.now);
	assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
	bgp_session_path_up(w.s, w.now);
	world_run(&w, w.now, 0);
	assert_int_equal(w.dials, 3);
	out = w.last_id;
	bgp_session_connected(w.s, out, &local, w.now);
	assert_int_not_equal(world_accept(&w), 0);
	world_feed(&w, out, &wrong);
	bgp_session_path_up(w.s, w.now);
	world_run(&w, w.now + 749, 0);
	assert_int_equal(w.dials, 3);
	/* but a new configuration is a reason */
	bgp_session_retry(w.s, w.now);
	world_run(&w, w.now, 0);
	assert_int_equal(w.dials, 4);
	/* and who is stopped is not started by a path */
	bgp_session_stop(w.s, NULL, "enough", w.now);
	bgp_session_path_up(w.s, w.now);
	world_run(&w, w.now + 60000, 0);
	assert_int_equal(w.dials, 4);
	world_done(&w);
}

/* After a NOTIFICATION the peer may be short with us for a while: the reason stays in view. */
static void last_error_says_most(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes wrong = peer_open(65009, 2, 90, false);
	struct world w;
	uint64_t conn;

	cfg.passive = false;
	world_init(&w, &cfg);
	conn = world_accept(&w);
	bgp_session_connect_failed(w.s, 1, "refused", w.now);
	world_feed(&w, conn, &wrong);
	world_run(&w, w.now + 1000, 0);
	bgp_session_connect_failed(w.s, w.last_id, "refused", w.now);
	assert_non_null(strstr(bgp_session_info(w.s)->last_error, "AS 65009"));
	w.now += 300000;
	bgp_session_tick(w.s, w.now);
	bgp_session_connect_failed(w.s, w.last_id, "refused", w.now);
	assert_non_null(strstr(bgp_session_info(w.s)->last_error, "cannot connect: refused"));
	world_done(&w);
}

/* ---- the end, and what comes after ---- */

static void graceful_or_not(void **state)
{
	struct bgp_session_config cfg = world_config();

	cfg.gr_restart_s = 120;
	for (unsigned peer_gr = 0; peer_gr < 2; peer_gr++)
		for (unsigned how = 0; how < 4; how++) {
			struct bgp_notification n = bgp_cease(BGP_CEASE_SHUTDOWN, "bye");
			struct bytes cease = message(3, "0604");
			struct world w;
			uint64_t conn;

			world_init(&w, &cfg);
			conn = world_reach(&w, BGP_STATE_ESTABLISHED, peer_gr);
			assert_int_equal(bgp_session_negotiated(w.s)->graceful, peer_gr);
			if (how == 0)
				bgp_session_closed(w.s, conn, "reset by peer", w.now);
			else if (how == 1)
				world_feed(&w, conn, &cease);
			else if (how == 2)
				bgp_session_stop(w.s, &n, "shutdown", w.now);
			else
				bgp_session_stop(w.s, NULL, "restart", w.now);
			assert_int_equal(w.downs, 1);
			assert_int_equal(w.down.graceful, how == 0 && peer_gr);
			assert_int_equal(bgp_session_info(w.s)->flaps, 1);
			if (how == 2)
				expect_notification(&w, conn, 6, 2, "stop");
			if (how == 3) {
				assert_int_equal(world_pull(&w, conn).n, 0);
				assert_int_equal(w.lingers, 0);
			}
			world_done(&w);
		}
}

static void restart_flags_are_sent(void **state)
{
	for (unsigned restarting = 0; restarting < 2; restarting++) {
		struct bgp_session_config cfg = world_config();
		struct bgp_notification n;
		char text[BGP_TEXT_MAX];
		struct bgp_open o;
		struct bytes out;
		struct bgp_msg m;
		struct world w;

		cfg.gr_restart_s = 120;
		cfg.restarting = restarting;
		world_init(&w, &cfg);
		out = world_pull(&w, world_accept(&w));
		m = last_message(&out);
		assert_int_equal(m.type, BGP_MSG_OPEN);
		assert_true(bgp_open_decode(m.body, m.len, &o, &n, text));
		assert_true(o.caps.gr.present);
		assert_int_equal(o.caps.gr.restarting, restarting);
		assert_int_equal(o.caps.gr.families, V4);
		assert_int_equal(o.caps.gr.forwarding, restarting ? V4 : 0);
		assert_int_equal(o.caps.gr.time_s, 120);
		world_done(&w);
	}
}

static void last_words_linger(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes bad = hex("00");
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	world_feed(&w, conn, &bad);
	assert_int_equal(w.lingers, 1);
	/* never written: closed for good after a while, at a deadline */
	world_run(&w, w.now + 5000, 0);
	assert_int_equal(w.closes, 2);
	assert_int_equal(w.lingers, 1);
	assert_int_equal(world_pull(&w, conn).n, 0);
	world_done(&w);
}

static void handler_may_end_the_session(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes all = update(), more = update();
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	w.fail_on_update = true;
	bytes_add(&all, &more);
	world_feed(&w, conn, &all);
	assert_int_equal(w.updates, 1);
	assert_int_equal(w.downs, 1);
	expect_notification(&w, conn, 6, 1, "prefix limit");
	assert_non_null(strstr(w.down.text, "more than 1 prefix"));
	assert_int_equal(world_state(&w), BGP_STATE_IDLE);
	world_done(&w);
}

static void old_speaker_gets_no_capabilities(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes refused = message(3, "0204"), other = message(3, "0207");
	struct bytes out;
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_OPENSENT, false);
	world_feed(&w, conn, &refused);
	conn = world_accept(&w);
	assert_int_not_equal(conn, 0);
	out = world_pull(&w, conn);
	assert_int_equal(out.n, 29);
	world_done(&w);

	/* 2/7 is another matter: wait. */
	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_OPENSENT, false);
	world_feed(&w, conn, &other);
	assert_int_equal(world_state(&w), BGP_STATE_IDLE);
	world_done(&w);
}

static void configuration_changes(void **state)
{
	struct bgp_session_config cfg = world_config(), other = cfg;
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	other.hold_s = 30;
	other.connect_retry_ms = 500;
	bgp_session_configure(w.s, &other, w.now);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	other.router_id = 9;
	bgp_session_configure(w.s, &other, w.now);
	expect_notification(&w, conn, 6, 6, "router ID changed");
	assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
	other.passive = false;
	bgp_session_configure(w.s, &other, w.now);
	world_run(&w, w.now + 500, 0);
	assert_int_equal(w.dials, 1);
	world_done(&w);
}

/* ---- UPDATEs ---- */

static void bad_update_keeps_the_session(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes bad = message(2, "0000 0017 40 01 01 00 40 02 06 02 01 0000fde9 40 03 04 "
				      "0a000002 c0 08 00 18 0a0102");
	struct world w;
	uint64_t conn;
	unsigned logs;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	logs = w.logs;
	for (unsigned i = 0; i < 100; i++)
		world_feed(&w, conn, &bad);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	assert_int_equal(w.updates, 100);
	assert_int_equal(bgp_session_info(w.s)->withdrawn_by_error, 100);
	/* one line, however many */
	assert_int_equal(w.logs, logs + 1);
	assert_non_null(strstr(w.log, "treated as withdrawn: COMMUNITIES: length 0"));
	w.now += 10000;
	world_feed(&w, conn, &bad);
	assert_int_equal(w.logs, logs + 2);
	assert_non_null(strstr(w.log, "(suppressed 99)"));
	world_done(&w);
}

static void refresh_both_ways(void **state)
{
	static const struct {
		const char *name, *body;
		unsigned heard;
	} rows[] = {
		{ "IPv4", "0001 00 01", 1 },
		{ "a family not negotiated", "0002 00 01", 0 },
		{ "a family unheard of", "0019 00 41", 0 },
		{ "BoRR, not negotiated", "0001 01 01", 0 },
	};
	struct bgp_session_config cfg = world_config();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes req = message(5, rows[i].body), out;
		struct bgp_msg m;
		struct world w;
		uint64_t conn;

		world_init(&w, &cfg);
		assert_false(bgp_session_send_refresh(w.s, BGP_AF_IPV4_UNICAST, w.now));
		conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
		world_feed(&w, conn, &req);
		if (w.refreshes != rows[i].heard)
			fail_msg("%s", rows[i].name);
		assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
		assert_false(bgp_session_send_refresh(w.s, BGP_AF_IPV6_UNICAST, w.now));
		assert_true(bgp_session_send_refresh(w.s, BGP_AF_IPV4_UNICAST, w.now));
		out = world_pull(&w, conn);
		m = last_message(&out);
		assert_int_equal(m.type, BGP_MSG_ROUTE_REFRESH);
		/* a peer that does not read gets no endless queue */
		for (unsigned n = 0; n < 10000; n++)
			bgp_session_send_refresh(w.s, BGP_AF_IPV4_UNICAST, w.now);
		assert_false(bgp_session_send_refresh(w.s, BGP_AF_IPV4_UNICAST, w.now));
		assert_true(world_pull(&w, conn).n <= BGP_CONTROL_MAX);
		world_done(&w);
	}
}

/* ---- output ---- */

static void fill_bulk(struct world *w, unsigned messages)
{
	w->bulk.n = 0;
	for (unsigned i = 0; i < messages; i++) {
		struct bytes upd = update();

		bytes_add(&w->bulk, &upd);
	}
}

/* However little is written at a time: messages stay whole, a KEEPALIVE waits for one at most. */
static void control_goes_first(void **state)
{
	struct bgp_session_config cfg = world_config();

	for (size_t step = 1; step < 120; step += 3) {
		struct bytes got = { .n = 0 };
		size_t len, before = 0;
		struct bgp_msg m;
		struct world w;
		const uint8_t *p;
		uint64_t conn;

		world_init(&w, &cfg);
		conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
		fill_bulk(&w, 20);
		while ((p = bgp_session_output(w.s, conn, &len, w.now))) {
			size_t n = len < step ? len : step;

			memcpy(got.b + got.n, p, n);
			got.n += n;
			bgp_session_written(w.s, conn, n, w.now);
			if (!before && got.n > 100) {
				before = got.n;
				w.now += 29999;
				bgp_session_tick(w.s, w.now);
			}
		}
		m = last_message(&got);
		assert_int_equal(got.n, 20 * update().n + 19);
		/* where did the KEEPALIVE go? */
		for (size_t at = 0; at < got.n;
		     at += (size_t)(got.b[at + 16] << 8 | got.b[at + 17]))
			if (got.b[at + 18] == BGP_MSG_KEEPALIVE)
				assert_in_range(at, before, before + update().n);
		assert_int_equal(m.type, BGP_MSG_UPDATE);
		assert_int_equal(bgp_session_info(w.s)->updates_out, 20);
		world_done(&w);
	}
}

/* Two sessions over one shared buffer, both slow. */
static void shared_buffer_is_shared(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes got[2] = { { .n = 0 }, { .n = 0 } };
	struct world a, b, *w[2] = { &a, &b };
	uint64_t conn[2];

	world_init(&a, &cfg);
	world_init(&b, &cfg);
	bgp_session_free(b.s);
	b.s = bgp_session_new(a.shared, &cfg, &world_ops, &b, 9);
	bgp_session_start(b.s, b.now);
	for (unsigned i = 0; i < 2; i++) {
		conn[i] = world_reach(w[i], BGP_STATE_ESTABLISHED, false);
		fill_bulk(w[i], 30);
	}
	for (unsigned turn = 0; turn < 4000; turn++) {
		unsigned i = turn % 2;
		size_t len, n;
		const void *p = bgp_session_output(w[i]->s, conn[i], &len, w[i]->now);

		if (!p)
			continue;
		n = len < 7 ? len : 7;
		memcpy(got[i].b + got[i].n, p, n);
		got[i].n += n;
		bgp_session_written(w[i]->s, conn[i], n, w[i]->now);
	}
	for (unsigned i = 0; i < 2; i++) {
		last_message(&got[i]);
		assert_int_equal(got[i].n, 30 * update().n);
	}
	bgp_session_free(b.s);
	b.s = NULL;
	world_done(&b);
	world_done(&a);
}

/* RFC 9687: it sends, so it lives, but it never reads. */
static void send_hold(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes ka = keepalive();
	int64_t start;
	struct world w;
	uint64_t conn;

	world_init(&w, &cfg);
	conn = world_reach(&w, BGP_STATE_ESTABLISHED, false);
	start = w.now;
	while (w.now < start + 3600000 && world_state(&w) == BGP_STATE_ESTABLISHED) {
		world_feed(&w, conn, &ka);
		world_run(&w, w.now + 10000, 0);
	}
	assert_int_equal(w.downs, 1);
	assert_in_range(w.now - start, 480000, 480000 + 40000);
	assert_int_equal(w.down.n.code, BGP_ERR_SEND_HOLD);
	/* nothing to linger for */
	assert_int_equal(w.lingers, 0);
	world_done(&w);
}

/* ---- a second connection ---- */

static void second_connection_while_established(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes ka = keepalive();

	for (unsigned graceful = 0; graceful < 2; graceful++) {
		struct bytes open = peer_open(65001, 0x0a000002, 90, graceful);
		struct world w;
		uint64_t first, second;

		cfg.gr_restart_s = graceful ? 120 : 0;
		world_init(&w, &cfg);
		first = world_reach(&w, BGP_STATE_ESTABLISHED, graceful);
		second = world_accept(&w);
		assert_int_not_equal(second, 0);
		/* only its OPEN shows who it is */
		assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
		world_feed(&w, second, &open);
		if (!graceful) {
			expect_notification(&w, second, 6, 7, "second");
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
			assert_int_equal(w.downs, 0);
			/* the first one works as before, again and again */
			second = world_accept(&w);
			assert_int_not_equal(second, 0);
			world_feed(&w, first, &ka);
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
		} else {
			assert_int_equal(w.downs, 1);
			assert_true(w.down.graceful);
			assert_true(w.closed == first);
			assert_int_equal(w.lingers, 0);
			world_feed(&w, second, &ka);
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
			assert_int_equal(w.ups, 2);
			/* and a third time */
			first = second;
			second = world_accept(&w);
			assert_int_not_equal(second, 0);
			world_feed(&w, second, &open);
			world_feed(&w, second, &ka);
			assert_int_equal(w.ups, 3);
		}
		world_done(&w);
	}
}

static void newer_attempt_replaces_a_silent_one(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes open = good_open(), ka = keepalive();
	struct world w;
	uint64_t dead, alive;

	world_init(&w, &cfg);
	dead = world_accept(&w);
	alive = world_accept(&w);
	assert_int_not_equal(alive, 0);
	assert_true(w.closed == dead);
	world_feed(&w, alive, &open);
	assert_int_equal(world_accept(&w), 0);
	world_feed(&w, alive, &ka);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	world_done(&w);
}

/* RFC 4271 6.8: both connections have come as far as OPEN. Which one lives depends on the IDs
 * alone, not on the order; the loser gets Cease/7. */
static void collisions(void **state)
{
	static const struct {
		const char *name;
		uint32_t our_id, their_id;
		asn_t our_as, their_as;
		bool theirs_lives;
	} rows[] = {
		{ "our ID is higher", 0x0a000009, 0x0a000002, 64512, 65001, false },
		{ "their ID is higher", 0x0a000001, 0x0a000002, 64512, 65001, true },
		{ "unsigned", 0xe0000001, 0x0a000002, 64512, 65001, false },
		{ "unsigned, theirs", 0x0a000002, 0xe0000001, 64512, 65001, true },
		{ "same ID, their AS is higher", 5, 5, 64512, 65001, true },
		{ "same ID, our AS is higher", 5, 5, 65001, 64512, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (unsigned order = 0; order < 2; order++) {
			struct bgp_session_config cfg = world_config();
			struct bytes open =
				peer_open(rows[i].their_as, rows[i].their_id, 90, false);
			struct bytes ka = keepalive();
			struct addr local = addr_v4(1);
			uint64_t out, in, winner, loser;
			struct world w;

			cfg.passive = false;
			cfg.local_as = rows[i].our_as;
			cfg.remote_as = rows[i].their_as;
			cfg.router_id = rows[i].our_id;
			world_init(&w, &cfg);
			out = w.last_id;
			bgp_session_connected(w.s, out, &local, w.now);
			in = world_accept(&w);
			assert_int_not_equal(in, 0);
			winner = rows[i].theirs_lives ? in : out;
			loser = rows[i].theirs_lives ? out : in;
			world_feed(&w, order ? out : in, &open);
			assert_int_equal(world_state(&w), BGP_STATE_OPENCONFIRM);
			world_feed(&w, order ? in : out, &open);
			if (w.closed != loser)
				fail_msg("%s, order %u: the wrong one was closed", rows[i].name,
					 order);
			expect_notification(&w, loser, 6, 7, rows[i].name);
			world_feed(&w, winner, &ka);
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
			assert_int_equal(w.closes, 1);
			/* no new dial follows */
			bgp_session_closed(w.s, loser, "done", w.now);
			world_run(&w, w.now + 60000, winner);
			assert_int_equal(w.dials, 1);
			assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
			world_done(&w);
		}
}

static void dial_is_given_up_when_the_peer_is_ahead(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes open = good_open(), ka = keepalive();
	struct world w;
	uint64_t in, out;

	cfg.passive = false;
	world_init(&w, &cfg);
	out = w.last_id;
	in = world_accept(&w);
	world_feed(&w, in, &open);
	assert_true(w.closed == out);
	assert_int_equal(world_state(&w), BGP_STATE_OPENCONFIRM);
	/* if it comes to nothing, we dial again */
	bgp_session_closed(w.s, in, "reset", w.now);
	assert_int_equal(world_state(&w), BGP_STATE_ACTIVE);
	world_run(&w, w.now + 200, 0);
	assert_int_equal(w.dials, 2);
	in = world_accept(&w);
	world_feed(&w, in, &open);
	world_feed(&w, in, &ka);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	world_done(&w);
}

/* Somebody at the peer's address connects and says nothing. Our own dial goes on: RFC 4271 6.8 lets two
 * connections be until an OPEN tells who is there. */
static void silent_connection_does_not_stop_dialling(void **state)
{
	struct bgp_session_config cfg = world_config();
	struct bytes open = good_open(), ka = keepalive();
	struct addr local = addr_v4(1);
	uint64_t silent, out;
	struct world w;

	cfg.passive = false;
	world_init(&w, &cfg);
	silent = world_accept(&w);
	assert_int_not_equal(silent, 0);
	bgp_session_connect_failed(w.s, 1, "Connection refused", w.now);
	assert_int_equal(world_state(&w), BGP_STATE_OPENSENT);
	for (unsigned i = 0; i < 8; i++) {
		/* the last of the waits, and no longer */
		world_run(&w, w.now + 3200, silent);
		assert_true(w.dials >= i + 2);
		assert_true(w.closed != silent);
		bgp_session_connect_failed(w.s, w.last_id, "Connection refused", w.now);
	}
	world_run(&w, w.now + 3200, silent);
	out = w.last_id;
	bgp_session_connected(w.s, out, &local, w.now);
	world_feed(&w, out, &open);
	world_feed(&w, out, &ka);
	assert_int_equal(world_state(&w), BGP_STATE_ESTABLISHED);
	assert_true(w.closed == silent);
	expect_notification(&w, silent, 6, 7, "the silent one");
	world_done(&w);
}

/* One connection each 10 ms for a minute: one is kept, and our dials keep their pace. */
static void flood_of_connections_does_not_stop_dialling(void **state)
{
	struct bgp_session_config cfg = world_config();
	unsigned accepted = 0, closed;
	uint64_t out = 1;
	struct world w;

	cfg.passive = false;
	world_init(&w, &cfg);
	for (unsigned i = 0; i < 6000; i++) {
		assert_int_not_equal(world_accept(&w), 0);
		accepted++;
		if (out)
			bgp_session_connect_failed(w.s, out, "Connection refused", w.now);
		out = w.dials;
		world_run(&w, w.now + 10, 0);
		out = w.dials == out ? 0 : w.last_id;
	}
	closed = w.closes;
	assert_int_equal(closed, accepted - 1);
	assert_in_range(w.dials, 18, 40);
	world_done(&w);
}

/* What ended our connection will come again at once: a silent one beside it is no reason to hurry. */
static void rest_is_kept_beside_a_silent_connection(void **state)
{
	struct bytes wrong = peer_open(65009, 2, 90, false);
	struct bgp_session_config cfg = world_config();
	struct addr local = addr_v4(1);
	struct world w;
	int64_t base = 1000;

	cfg.passive = false;
	world_init(&w, &cfg);
	for (unsigned i = 0; i < 7; i++) {
		uint64_t out = w.last_id;
		int64_t wait;

		bgp_session_connected(w.s, out, &local, w.now);
		assert_int_not_equal(world_accept(&w), 0);
		world_feed(&w, out, &wrong);
		expect_notification(&w, out, 2, 2, "wrong AS");
		bgp_session_closed(w.s, out, "done", w.now);
		assert_int_equal(w.dials, i + 1);
		wait = bgp_session_info(w.s)->next_retry_ms - w.now;
		assert_in_range(wait, base * 3 / 4, base);
		base = base < 32000 ? base * 2 : base;
		/* the silent one goes: no reason either */
		bgp_session_closed(w.s, w.last_id, "reset", w.now);
		world_run(&w, w.now + wait - 1, 0);
		assert_int_equal(w.dials, i + 1);
		world_run(&w, w.now + 1, 0);
		assert_int_equal(w.dials, i + 2);
	}
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_messages),
		cmocka_unit_test(own_router_id_on_ibgp),
		cmocka_unit_test(any_cut),
		cmocka_unit_test(nothing_is_kept_between_messages),
		cmocka_unit_test(silent_peer_in_opensent),
		cmocka_unit_test(silent_peer_in_openconfirm),
		cmocka_unit_test(hold_time),
		cmocka_unit_test(keepalives),
		cmocka_unit_test(hold_time_zero),
		cmocka_unit_test(dial_backs_off),
		cmocka_unit_test(passive_never_dials),
		cmocka_unit_test(errors_lead_to_waiting),
		cmocka_unit_test(rest_ends_when_the_path_is_back),
		cmocka_unit_test(dials_begin_anew_when_the_path_is_back),
		cmocka_unit_test(last_error_says_most),
		cmocka_unit_test(graceful_or_not),
		cmocka_unit_test(restart_flags_are_sent),
		cmocka_unit_test(last_words_linger),
		cmocka_unit_test(handler_may_end_the_session),
		cmocka_unit_test(old_speaker_gets_no_capabilities),
		cmocka_unit_test(configuration_changes),
		cmocka_unit_test(bad_update_keeps_the_session),
		cmocka_unit_test(refresh_both_ways),
		cmocka_unit_test(control_goes_first),
		cmocka_unit_test(shared_buffer_is_shared),
		cmocka_unit_test(send_hold),
		cmocka_unit_test(second_connection_while_established),
		cmocka_unit_test(newer_attempt_replaces_a_silent_one),
		cmocka_unit_test(collisions),
		cmocka_unit_test(dial_is_given_up_when_the_peer_is_ahead),
		cmocka_unit_test(silent_connection_does_not_stop_dialling),
		cmocka_unit_test(flood_of_connections_does_not_stop_dialling),
		cmocka_unit_test(rest_is_kept_beside_a_silent_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
