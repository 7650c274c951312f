/* bfd.c - BFD: packets, every step of the state machine, and two ends on a link on virtual time */
#include "bgp/bfd.h"

#include "played.h"
#include "wire.h"

/* ---- packets ---- */

#define GOOD "20 c0 03 18 00000001 00000002 0000c350 0000c350 00000000"

static void decoding(void **state)
{
	static const struct {
		const char *bytes, *why; /* why NULL: good */
	} rows[] = {
		{ GOOD, NULL },
		{ GOOD "ff", NULL }, /* padding of the link */
		{ "20 40 03 18 00000001 00000000 0000c350 0000c350 00000000", NULL },
		{ "20 c0 03 18 00000001 00000002 0000c350 0000c350 000000", "shorter" },
		{ "", "shorter" },
		{ "00 c0 03 18 00000001 00000002 0000c350 0000c350 00000000", "version" },
		{ "20 c0 03 17 00000001 00000002 0000c350 0000c350 00000000", "length" },
		{ "20 c0 03 19 00000001 00000002 0000c350 0000c350 00000000", "length" },
		{ "20 c4 03 18 00000001 00000002 0000c350 0000c350 00000000", "authenticated" },
		{ "20 c0 00 18 00000001 00000002 0000c350 0000c350 00000000", "multiplier" },
		{ "20 c1 03 18 00000001 00000002 0000c350 0000c350 00000000", "multipoint" },
		{ "20 c0 03 18 00000000 00000002 0000c350 0000c350 00000000", "my discriminator" },
		{ "20 c0 03 18 00000001 00000000 0000c350 0000c350 00000000",
		  "your discriminator" },
		{ "20 f0 03 18 00000001 00000002 0000c350 0000c350 00000000", "Poll and Final" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bytes b = hex(rows[i].bytes);
		uint8_t *p = exact(b.b, b.n), again[BFD_PACKET_LEN];
		const char *why = "";
		struct bfd_packet out;
		bool ok = bfd_packet_decode(p, b.n, &out, &why);

		if (ok != !rows[i].why || (!ok && !strstr(why, rows[i].why)))
			fail_msg("row %zu: %d %s", i, ok, why);
		if (ok) {
			bfd_packet_encode(&out, again);
			assert_memory_equal(again, p, BFD_PACKET_LEN);
		}
		free(p);
	}
}

/* ---- the state machine ---- */

static void every_step(void **state)
{
	/* RFC 5880 6.8.6: [ours][said] */
	static const enum bfd_state want[BFD_STATE_MAX_][BFD_STATE_MAX_] = {
		[BFD_ADMIN_DOWN] = { BFD_ADMIN_DOWN, BFD_ADMIN_DOWN, BFD_ADMIN_DOWN,
				     BFD_ADMIN_DOWN },
		[BFD_DOWN] = { BFD_DOWN, BFD_INIT, BFD_UP, BFD_DOWN },
		[BFD_INIT] = { BFD_DOWN, BFD_INIT, BFD_UP, BFD_UP },
		[BFD_UP] = { BFD_DOWN, BFD_DOWN, BFD_UP, BFD_UP },
	};
	const struct bfd_config config = { 50000, 50000, 3, false };

	(void)state;
	for (unsigned ours = 0; ours < BFD_STATE_MAX_; ours++) {
		for (unsigned said = 0; said < BFD_STATE_MAX_; said++) {
			struct bfd_packet p = { .mult = 3,
						.state = (enum bfd_state)said,
						.my_disc = 9,
						.your_disc = 7,
						.desired_min_tx_us = 50000,
						.required_min_rx_us = 50000 };
			struct bfd_session s;
			enum bfd_event event;

			bfd_session_init(&s, &config, 7, 1, 0);
			s.state = (enum bfd_state)ours;
			event = bfd_receive(&s, &p, 1000);
			if (s.state != want[ours][said])
				fail_msg("in %s, said %s: %s", bfd_state_name((enum bfd_state)ours),
					 bfd_state_name((enum bfd_state)said),
					 bfd_state_name(s.state));
			assert_int_equal(event == BFD_EVENT_UP,
					 ours != BFD_UP && s.state == BFD_UP);
			assert_int_equal(event == BFD_EVENT_DOWN,
					 ours == BFD_UP && said == BFD_DOWN);
			assert_int_equal(event == BFD_EVENT_ADMIN_DOWN,
					 ours == BFD_UP && said == BFD_ADMIN_DOWN);
		}
	}
}

/* ---- two ends ---- */

enum { LATENCY_US = 500, FLIGHT_MAX = 64 };

struct end {
	struct bfd_session s;
	enum bfd_event last;
	int64_t event_at, sent_at, gap_min, gap_max;
};

struct link {
	struct end end[2];
	int64_t now;
	bool cut[2]; /* what end i sends is lost */
	struct {
		int64_t at;
		unsigned to;
		uint8_t p[BFD_PACKET_LEN];
	} flight[FLIGHT_MAX];
	unsigned n;
};

static void take_event(struct link *l, struct end *e, enum bfd_event event)
{
	if (event == BFD_EVENT_NONE)
		return;
	e->last = event;
	e->event_at = l->now;
}

static void run_end(struct link *l, unsigned i)
{
	struct end *e = &l->end[i];
	uint8_t p[BFD_PACKET_LEN];

	take_event(l, e, bfd_tick(&e->s, l->now));
	while (bfd_transmit(&e->s, p, l->now)) {
		int64_t gap = l->now - e->sent_at;

		e->gap_min = gap < e->gap_min ? gap : e->gap_min;
		e->gap_max = gap > e->gap_max ? gap : e->gap_max;
		e->sent_at = l->now;
		if (l->cut[i])
			continue;
		assert_true(l->n < FLIGHT_MAX);
		l->flight[l->n].at = l->now + LATENCY_US;
		l->flight[l->n].to = !i;
		memcpy(l->flight[l->n++].p, p, sizeof(p));
	}
}

static void deliver(struct link *l)
{
	for (unsigned i = 0; i < l->n;) {
		struct end *e = &l->end[l->flight[i].to];
		struct bfd_packet p;
		const char *why;

		if (l->flight[i].at > l->now) {
			i++;
			continue;
		}
		assert_true(bfd_packet_decode(l->flight[i].p, BFD_PACKET_LEN, &p, &why));
		take_event(l, e, bfd_receive(&e->s, &p, l->now));
		memmove(&l->flight[i], &l->flight[i + 1], (--l->n - i) * sizeof(l->flight[0]));
	}
}

static void run(struct link *l, int64_t us)
{
	int64_t until = l->now + us;

	for (;;) {
		int64_t at = INT64_MAX;

		deliver(l);
		run_end(l, 0);
		run_end(l, 1);
		for (unsigned i = 0; i < 2; i++) {
			int64_t d = bfd_deadline(&l->end[i].s);

			at = d < at ? d : at;
		}
		for (unsigned i = 0; i < l->n; i++)
			at = l->flight[i].at < at ? l->flight[i].at : at;
		if (at > until)
			break;
		l->now = at > l->now ? at : l->now;
	}
	l->now = until;
}

static void begin(struct link *l, struct bfd_config a, struct bfd_config b)
{
	memset(l, 0, sizeof(*l));
	l->now = 1000000;
	bfd_session_init(&l->end[0].s, &a, 11, 5, l->now);
	bfd_session_init(&l->end[1].s, &b, 22, 6, l->now);
}

static void measure(struct link *l, int64_t us)
{
	for (unsigned i = 0; i < 2; i++) {
		l->end[i].gap_min = INT64_MAX;
		l->end[i].gap_max = 0;
	}
	run(l, us);
}

static const struct bfd_config fast = { 50000, 50000, 3, false };

static void up_and_down(void **state)
{
	struct link l;
	int64_t cut_at;

	(void)state;
	begin(&l, fast, fast);
	run(&l, 3000000);
	assert_int_equal(l.end[0].s.state, BFD_UP);
	assert_int_equal(l.end[1].s.state, BFD_UP);
	assert_int_equal(l.end[0].last, BFD_EVENT_UP);
	assert_int_equal(bfd_detection_us(&l.end[0].s), 150000);
	measure(&l, 20000000);
	assert_true(l.end[0].gap_max <= 50000);
	assert_true(l.end[0].gap_min >= 37500);
	assert_int_equal(l.end[0].s.downs, 0);
	/* one direction breaks: the one that hears nothing finds out, and tells the other */
	cut_at = l.now;
	l.cut[0] = true;
	run(&l, 151000);
	assert_int_equal(l.end[1].last, BFD_EVENT_DOWN);
	assert_int_equal(l.end[1].s.diag, BFD_DIAG_EXPIRED);
	assert_true(l.end[1].event_at - cut_at <= 150000 + LATENCY_US);
	assert_int_equal(l.end[0].last, BFD_EVENT_DOWN);
	assert_int_equal(l.end[0].s.diag, BFD_DIAG_NEIGHBOUR_DOWN);
	assert_true(l.end[0].event_at - l.end[1].event_at <= LATENCY_US);
	/* while down a packet a second is enough */
	run(&l, 3000000);
	measure(&l, 20000000);
	assert_true(l.end[1].gap_min >= 750000 - LATENCY_US);
	l.cut[0] = false;
	run(&l, 3000000);
	assert_int_equal(l.end[0].s.state, BFD_UP);
	assert_int_equal(l.end[0].s.ups, 2);
}

/* RFC 5880 6.8.4, 6.8.7: each direction at the slower of what one sends and the other takes. */
static void timers_are_negotiated(void **state)
{
	struct link l;

	(void)state;
	begin(&l, (struct bfd_config) { 50000, 300000, 3, false },
	      (struct bfd_config) { 100000, 200000, 5, false });
	run(&l, 5000000);
	assert_int_equal(l.end[0].s.state, BFD_UP);
	measure(&l, 20000000);
	assert_true(l.end[0].gap_max <= 200000 && l.end[0].gap_min >= 150000); /* b takes 200 */
	assert_true(l.end[1].gap_max <= 300000 && l.end[1].gap_min >= 225000); /* a takes 300 */
	assert_int_equal(bfd_detection_us(&l.end[0].s), 5 * 300000);
	assert_int_equal(bfd_detection_us(&l.end[1].s), 3 * 200000);
}

static void one_is_passive(void **state)
{
	struct bfd_config passive = fast;
	struct link l;

	(void)state;
	passive.passive = true;
	begin(&l, passive, passive);
	run(&l, 5000000);
	assert_int_equal(l.end[0].s.packets_out + l.end[1].s.packets_out, 0);
	begin(&l, fast, passive);
	run(&l, 3000000);
	assert_int_equal(l.end[1].s.state, BFD_UP);
}

static void timers_change_without_a_flap(void **state)
{
	struct link l;

	(void)state;
	begin(&l, fast, fast);
	run(&l, 3000000);
	for (uint32_t us = 400000; us >= 20000; us /= 2) {
		bfd_session_configure(&l.end[0].s, &(struct bfd_config) { us, us, 3, false },
				      l.now);
		run(&l, 3000000);
		assert_int_equal(l.end[0].s.state, BFD_UP);
		assert_int_equal(bfd_detection_us(&l.end[0].s), 3 * (us > 50000 ? us : 50000));
		assert_false(l.end[0].s.polling);
	}
	assert_int_equal(l.end[0].s.downs + l.end[1].s.downs, 0);
}

static void switched_off_is_not_broken(void **state)
{
	struct link l;

	(void)state;
	begin(&l, fast, fast);
	run(&l, 3000000);
	bfd_session_admin(&l.end[0].s, true, l.now);
	run(&l, 3000000);
	assert_int_equal(l.end[1].last, BFD_EVENT_ADMIN_DOWN);
	assert_int_equal(l.end[1].s.state, BFD_DOWN);
	bfd_session_admin(&l.end[0].s, false, l.now);
	run(&l, 5000000);
	assert_int_equal(l.end[1].s.state, BFD_UP);
}

static void a_restarted_neighbour(void **state)
{
	struct link l;

	(void)state;
	begin(&l, fast, fast);
	run(&l, 3000000);
	bfd_session_init(&l.end[1].s, &fast, 33, 9, l.now); /* another discriminator */
	run(&l, 5000000);
	assert_int_equal(l.end[0].s.state, BFD_UP);
	assert_int_equal(l.end[0].s.remote_disc, 33);
	assert_int_equal(l.end[0].s.downs, 1);
}

static void multiplier_one_has_less_jitter(void **state)
{
	struct bfd_config one = { 100000, 100000, 1, false };
	struct link l;

	(void)state;
	begin(&l, one, one);
	run(&l, 5000000);
	measure(&l, 60000000);
	assert_int_equal(l.end[0].s.state, BFD_UP);
	assert_int_equal(l.end[0].s.downs, 0);
	assert_true(l.end[0].gap_max <= 90000);
}

static void not_for_this_session(void **state)
{
	struct bfd_packet p = { .mult = 3, .state = BFD_DOWN, .my_disc = 9, .your_disc = 8 };
	struct bfd_session s;

	(void)state;
	bfd_session_init(&s, &fast, 7, 1, 0);
	assert_int_equal(bfd_receive(&s, &p, 1), BFD_EVENT_NONE);
	assert_int_equal(s.state, BFD_DOWN);
	assert_int_equal(s.packets_in, 0);
}

/* ---- and the BGP session ---- */

static void bfd_ends_the_session(void **state)
{
	(void)state;
	for (unsigned n_bit = 0; n_bit < 2; n_bit++) {
		struct prefix prefix = make_prefix("10.1.0.0/24");
		struct played_world w;
		struct played *p;

		played_begin(&w);
		p = played_add(&w, 65001);
		p->config->gr_restart_s = 120;
		p->caps.gr.present = true;
		p->caps.gr.notification = n_bit;
		p->caps.gr.families = p->caps.gr.forwarding = 1;
		p->caps.gr.time_s = 120;
		played_start(&w);
		played_announce(&w, p, "10.1.0.0/24");
		assert_int_equal(w.fib.n, 1);
		assert_int_equal(bgp_speaker_bfd_down(w.sp, &p->addr, 0, w.now), 1);
		played_settle(&w);
		assert_int_equal(p->notification.code, BGP_ERR_CEASE);
		assert_int_equal(p->notification.subcode,
				 n_bit ? BGP_CEASE_HARD_RESET : BGP_CEASE_BFD_DOWN);
		/* the path is gone: nothing is kept, graceful restart or not */
		assert_int_equal(w.fib.n, 0);
		assert_true(prefix_eq(&w.fib.prefix, &prefix));
		assert_non_null(strstr(played_status(&w, p).last_error, "BFD Down"));
		assert_int_equal(bgp_speaker_bfd_down(w.sp, &p->addr, 0, w.now), 0);
		played_end(&w);
	}
}

/* A link that breaks for a moment, again and again: the session is back with BFD. */
static void bfd_brings_the_session_back(void **state)
{
	struct addr other = make_addr("10.0.0.99");
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	played_start(&w);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(bgp_speaker_bfd_down(w.sp, &p->addr, 0, w.now), 1);
		played_settle(&w);
		assert_int_equal(played_status(&w, p).state, BGP_STATE_IDLE);
		bgp_speaker_bfd_up(w.sp, &other, 0, w.now);
		played_settle(&w);
		assert_int_equal(played_status(&w, p).state, BGP_STATE_IDLE);
		bgp_speaker_bfd_up(w.sp, &p->addr, 0, w.now);
		played_settle(&w);
		/* asserts that the connection is taken */
		played_connect(&w, p);
		assert_int_equal(played_status(&w, p).state, BGP_STATE_ESTABLISHED);
	}
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),
		cmocka_unit_test(every_step),
		cmocka_unit_test(up_and_down),
		cmocka_unit_test(timers_are_negotiated),
		cmocka_unit_test(one_is_passive),
		cmocka_unit_test(timers_change_without_a_flap),
		cmocka_unit_test(switched_off_is_not_broken),
		cmocka_unit_test(a_restarted_neighbour),
		cmocka_unit_test(multiplier_one_has_less_jitter),
		cmocka_unit_test(not_for_this_session),
		cmocka_unit_test(bfd_ends_the_session),
		cmocka_unit_test(bfd_brings_the_session_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
