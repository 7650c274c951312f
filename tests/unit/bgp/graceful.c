/* graceful.c - which ends of a session keep its routes, and what the peer is told: RFC 4724, 8538 */
#include "session_world.h"

static uint64_t reach(struct world *w, bool n_bit)
{
	struct bgp_session_config cfg = world_config();
	struct bgp_open o = { .version = 4, .as = 65001, .hold_s = 90, .id = 0x0a000002 };
	struct bytes open = { .n = 0 }, ka = keepalive();
	struct wr wr = wr_init(open.b, sizeof(open.b));
	uint64_t conn;

	cfg.gr_restart_s = 120;
	o.caps.families = V4;
	o.caps.as4 = true;
	o.caps.as4_number = 65001;
	o.caps.gr.present = true;
	o.caps.gr.notification = n_bit;
	o.caps.gr.time_s = 120;
	o.caps.gr.families = V4;
	bgp_open_encode(&wr, &o);
	open.n = wr_len(&wr);
	world_init(w, &cfg);
	conn = world_accept(w);
	world_feed(w, conn, &open);
	world_feed(w, conn, &ka);
	world_pull(w, conn);
	assert_int_equal(world_state(w), BGP_STATE_ESTABLISHED);
	assert_int_equal(bgp_session_negotiated(w->s)->graceful_notification, n_bit);
	return conn;
}

static void what_the_peer_says(void **state)
{
	static const struct {
		const char *body;
		bool graceful;
	} rows[] = {
		{ "0602", true },
		{ "0603", true },
		{ "0604", true },
		{ "0601 0001 01 00000001", true },
		{ "060a", true },
		{ "0400", true },
		{ "0301", true },
		{ "0800", true },
		{ "0609", false },
		{ "0609 06 02", false },
		{ "0609 06 02 03 627965", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		struct bytes n = message(BGP_MSG_NOTIFICATION, rows[i / 2].body);
		struct world w;
		uint64_t conn = reach(&w, i & 1);

		world_feed(&w, conn, &n);
		assert_int_equal(w.downs, 1);
		if (w.down.graceful != (rows[i / 2].graceful && (i & 1)))
			fail_msg("%s: graceful %d", rows[i / 2].body, w.down.graceful);
		world_done(&w);
	}
}

/* RFC 8538 5.2: what ends for good goes out as Hard Reset, the real reason inside. */
static void what_we_say(void **state)
{
	static const struct {
		uint8_t subcode;
		bool hard;
	} rows[] = {
		{ BGP_CEASE_MAX_PREFIXES, true },   { BGP_CEASE_SHUTDOWN, true },
		{ BGP_CEASE_DECONFIGURED, true },   { BGP_CEASE_RESET, false },
		{ BGP_CEASE_CONFIG_CHANGE, false }, { BGP_CEASE_RESOURCES, false },
		{ BGP_CEASE_BFD_DOWN, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		uint8_t subcode = rows[i / 2].subcode;
		struct bgp_notification n = bgp_cease(subcode, "bye"), heard;
		bool hard = rows[i / 2].hard && (i & 1);
		struct bytes out;
		struct bgp_msg m;
		struct world w;
		uint64_t conn = reach(&w, i & 1);

		bgp_session_fail(w.s, &n, "test", w.now);
		out = world_pull(&w, conn);
		m = last_message(&out);
		assert_int_equal(m.type, BGP_MSG_NOTIFICATION);
		heard = bgp_notification_decode(m.body, m.len);
		assert_int_equal(heard.subcode, hard ? BGP_CEASE_HARD_RESET : subcode);
		heard = bgp_notification_inner(&heard);
		assert_int_equal(heard.subcode, subcode);
		assert_int_equal(heard.len, n.len);
		assert_memory_equal(heard.data, n.data, n.len);
		assert_int_equal(w.down.graceful, !hard && (i & 1));
		world_done(&w);
	}
}

static void hold_time_expires(void **state)
{
	(void)state;
	for (unsigned n_bit = 0; n_bit < 2; n_bit++) {
		struct world w;
		uint64_t conn = reach(&w, n_bit);

		world_run(&w, w.now + 90000, conn);
		assert_int_equal(w.downs, 1);
		assert_int_equal(w.down.graceful, n_bit);
		assert_non_null(strstr(bgp_session_info(w.s)->last_error, "Hold Timer Expired"));
		world_done(&w);
	}
}

/* RFC 9003: a long text survives the wrapping as far as there is room, and is never over-read. */
static void long_shutdown_text(void **state)
{
	char text[400], words[BGP_TEXT_MAX];
	struct bgp_notification n, hard, inner;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	n = bgp_cease(BGP_CEASE_SHUTDOWN, text);
	assert_int_equal(n.len, 255);
	hard = bgp_hard_reset(&n);
	assert_int_equal(hard.len, 255);
	inner = bgp_notification_inner(&hard);
	assert_int_equal(inner.len, 253);
	bgp_notification_text(&hard, words, sizeof(words));
	assert_non_null(strstr(words, "Cease/Hard Reset for Cease/Administrative Shutdown \"xxx"));
}

/* The reason stays in view while the peer refuses connections, whatever the NOTIFICATION was. */
static void last_error_keeps_the_notification(void **state)
{
	static const char *const bodies[] = { "0602 05 6c61746572", "0604", "0607",
					      "0609 0602",	    "0400", "0301" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct bytes n = message(BGP_MSG_NOTIFICATION, bodies[i]);
		const struct bgp_session_info *info;
		struct bgp_session_config cfg = world_config();
		struct world w;
		uint64_t conn;
		bool collision = i == 2;

		cfg.passive = false;
		world_init(&w, &cfg);
		conn = world_reach(&w, BGP_STATE_ESTABLISHED, true);
		world_feed(&w, conn, &n);
		world_run(&w, w.now + 2000, 0);
		bgp_session_connect_failed(w.s, w.last_id, "refused", w.now);
		info = bgp_session_info(w.s);
		if (!!strstr(info->last_error, "received") == collision)
			fail_msg("%s: \"%s\"", bodies[i], info->last_error);
		assert_int_equal(!!strstr(info->last_notification, "received"), !collision);
		w.now += 600000;
		bgp_session_tick(w.s, w.now);
		bgp_session_connect_failed(w.s, w.last_id, "refused", w.now);
		assert_non_null(strstr(info->last_error, "cannot connect: refused"));
		assert_int_equal(!!strstr(info->last_notification, "received"), !collision);
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_peer_says),
		cmocka_unit_test(what_we_say),
		cmocka_unit_test(hold_time_expires),
		cmocka_unit_test(long_shutdown_text),
		cmocka_unit_test(last_error_keeps_the_notification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
