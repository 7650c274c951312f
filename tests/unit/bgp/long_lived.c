/* long_lived.c - what a peer that stays away leaves behind: RFC 9494 as the one who keeps */
#include "played.h"

enum { RESTART_S = 120, LONG_S = 3600 };

static struct played_world w;
static struct played *lost, *other, *aware, *unaware;

static void long_lived(struct played *p, uint32_t families, uint32_t forwarding, uint32_t time_s)
{
	p->config->gr_restart_s = RESTART_S;
	p->config->long_lived = true;
	p->config->long_lived_s = 60;
	p->caps.gr.present = true;
	p->caps.gr.time_s = RESTART_S;
	p->caps.gr.families = p->caps.gr.forwarding = 1;
	p->caps.llgr.present = true;
	p->caps.llgr.families = families;
	p->caps.llgr.forwarding = forwarding;
	p->caps.llgr.time_s[0] = time_s;
}

/* `lost` asks to be kept for LONG_S; `other` is a second way; two that listen. */
static void begin(void)
{
	played_begin(&w);
	lost = played_add(&w, 65001);
	other = played_add(&w, 65002);
	aware = played_add(&w, 65003);
	unaware = played_add(&w, 65004);
	long_lived(lost, 1, 1, LONG_S);
	aware->caps.llgr.present = aware->config->long_lived = true;
}

static void wait_s(int64_t s)
{
	w.now += s * 1000;
	played_settle(&w);
}

/* The others' hold times are not what this is about. */
static void start(void)
{
	for (unsigned i = 0; i < w.n; i++)
		w.config[i].hold_s = 0;
	played_start(&w);
}

static void lose(struct played *p)
{
	bgp_speaker_closed(w.sp, p->conn, "lost", w.now);
	p->conn = 0;
	played_settle(&w);
}

struct seen {
	unsigned paths, usable, stale, long_stale;
};

static bool see(void *arg, const struct bgp_path_info *p)
{
	struct seen *s = arg;

	s->paths++;
	s->usable += p->usable;
	s->stale += p->stale;
	s->long_stale += p->long_stale;
	return true;
}

static struct seen paths(const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	struct seen s = { 0 };

	bgp_speaker_each_path(w.sp, &p, see, &s);
	return s;
}

static void announce_with(struct played *p, const char *prefix, uint32_t community)
{
	struct bgp_attrs_draft d = { 0 };
	uint8_t bytes[4];

	put_u32(bytes, community);
	d.part[BGP_PART_COMMUNITIES].p = bytes;
	d.part[BGP_PART_COMMUNITIES].len = 4;
	played_announce_as(&w, p, prefix, &d);
}

static void end_of_rib(struct played *p)
{
	uint8_t buf[64];

	played_feed(&w, p, buf, bgp_pack_end_of_rib(BGP_AF_IPV4_UNICAST, buf, sizeof(buf)));
}

static void kept_as_a_last_resort(void **state)
{
	struct seen s;

	(void)state;
	begin();
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	assert_int_equal(unaware->announced, 1);
	lose(lost);
	wait_s(RESTART_S - 1);
	s = paths("10.1.0.0/24");
	assert_int_equal(s.stale, 1);
	assert_int_equal(s.long_stale, 0);
	assert_int_equal(unaware->withdrawn, 0);
	wait_s(1);
	s = paths("10.1.0.0/24");
	assert_int_equal(s.usable, 1);
	assert_int_equal(s.long_stale, 1);
	assert_int_equal(w.fib.n, 1);
	/* told with LLGR_STALE to who knows it, withdrawn from who does not */
	assert_int_equal(aware->announced, 2);
	assert_int_equal(aware->last_len[BGP_PART_COMMUNITIES], 4);
	assert_memory_equal(aware->last_bytes + aware->last_len[BGP_PART_AS_PATH], "\xff\xff\0\6",
			    4);
	assert_int_equal(unaware->withdrawn, 1);
	/* anything else is better, be its path as long as it will */
	{
		struct bgp_attrs_draft d = { 0 };
		static const uint8_t path[] = { 2, 3, 0, 0, 0xfd, 0xea, 0, 0, 0, 1, 0, 0, 0, 2 };

		d.part[BGP_PART_AS_PATH].p = path;
		d.part[BGP_PART_AS_PATH].len = sizeof(path);
		played_announce_as(&w, other, "10.1.0.0/24", &d);
	}
	assert_int_equal(w.fib.n, 1);
	assert_true(addr_eq(&w.fib.next_hop[0], &other->addr));
	assert_int_equal(unaware->announced, 2);
	wait_s(LONG_S - 1);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	wait_s(1);
	assert_int_equal(paths("10.1.0.0/24").paths, 1);
	assert_int_equal(bgp_speaker_deadline(w.sp) > w.now, 1);
	played_end(&w);
}

static void comes_back(void **state)
{
	(void)state;
	begin();
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	played_announce(&w, lost, "10.2.0.0/24");
	lose(lost);
	wait_s(RESTART_S + 10);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	played_connect(&w, lost);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	played_announce(&w, lost, "10.1.0.0/24");
	assert_int_equal(paths("10.1.0.0/24").paths, 1);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 0);
	assert_int_equal(aware->last_len[BGP_PART_COMMUNITIES], 0);
	assert_int_equal(paths("10.2.0.0/24").long_stale, 1);
	end_of_rib(lost);
	assert_int_equal(paths("10.2.0.0/24").paths, 0);
	played_end(&w);
}

/* RFC 9494 4.2: the time goes on while it is back but has not told everything. */
static void the_time_goes_on_until_end_of_rib(void **state)
{
	(void)state;
	begin();
	lost->caps.llgr.time_s[0] = 100;
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	lose(lost);
	wait_s(RESTART_S);
	wait_s(90);
	played_connect(&w, lost);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	wait_s(10);
	assert_int_equal(paths("10.1.0.0/24").paths, 0);
	played_end(&w);
}

/* What it says when it comes back: does it go on as before? */
static void comes_back_otherwise(void **state)
{
	static const struct {
		bool gr, llgr;
		uint32_t families, forwarding;
		bool kept;
	} rows[] = {
		{ true, true, 1, 1, true },   { true, true, 1, 0, false },
		{ true, true, 0, 0, false },  { true, false, 1, 1, false },
		{ false, true, 1, 1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		start();
		played_announce(&w, lost, "10.1.0.0/24");
		lose(lost);
		wait_s(RESTART_S + 1);
		lost->caps.gr.present = rows[i].gr;
		lost->caps.llgr.present = rows[i].llgr;
		lost->caps.llgr.families = rows[i].families;
		lost->caps.llgr.forwarding = rows[i].forwarding;
		played_connect(&w, lost);
		if (paths("10.1.0.0/24").paths != rows[i].kept)
			fail_msg("row %zu: %u paths", i, paths("10.1.0.0/24").paths);
		played_end(&w);
	}
}

static void no_llgr_goes(void **state)
{
	(void)state;
	begin();
	start();
	announce_with(lost, "10.1.0.0/24", BGP_COMMUNITY_NO_LLGR);
	played_announce(&w, lost, "10.2.0.0/24");
	lose(lost);
	assert_int_equal(paths("10.1.0.0/24").usable, 1);
	wait_s(RESTART_S);
	assert_int_equal(paths("10.1.0.0/24").usable, 0);
	assert_int_equal(aware->withdrawn, 1);
	assert_int_equal(paths("10.2.0.0/24").usable, 1);
	played_end(&w);
}

/* Neither side alone is enough. */
static void only_when_both_want(void **state)
{
	static const struct {
		bool gr, ours, present;
		uint32_t time_s;
		bool kept;
	} rows[] = {
		{ true, true, true, LONG_S, true },   { true, false, true, LONG_S, false },
		{ true, true, false, LONG_S, false }, { true, true, true, 0, false },
		{ false, true, true, LONG_S, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		begin();
		lost->caps.gr.present = rows[i].gr;
		lost->config->long_lived_s = rows[i].ours ? 60 : 0;
		lost->caps.llgr.present = rows[i].present;
		lost->caps.llgr.time_s[0] = rows[i].time_s;
		start();
		played_announce(&w, lost, "10.1.0.0/24");
		lose(lost);
		wait_s(RESTART_S);
		if (paths("10.1.0.0/24").long_stale != rows[i].kept)
			fail_msg("row %zu: %u kept", i, paths("10.1.0.0/24").long_stale);
		played_end(&w);
	}
}

/* RFC 9494 4.2: a family in its capability alone has no short time. */
static void without_the_short_time(void **state)
{
	(void)state;
	begin();
	lost->caps.gr.families = lost->caps.gr.forwarding = 0;
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	lose(lost);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	wait_s(LONG_S);
	assert_int_equal(paths("10.1.0.0/24").paths, 0);
	played_end(&w);
}

/* Two sessions in a row are lost: each has its own times. */
static void lost_twice(void **state)
{
	(void)state;
	begin();
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	lose(lost);
	wait_s(RESTART_S + 100);
	played_connect(&w, lost);
	played_announce(&w, lost, "10.2.0.0/24");
	lose(lost);
	assert_int_equal(paths("10.1.0.0/24").long_stale, 1);
	assert_int_equal(paths("10.2.0.0/24").long_stale, 0);
	assert_int_equal(paths("10.2.0.0/24").stale, 1);
	wait_s(RESTART_S);
	assert_int_equal(paths("10.2.0.0/24").long_stale, 1);
	wait_s(LONG_S - RESTART_S - 100);
	assert_int_equal(paths("10.1.0.0/24").paths, 0);
	assert_int_equal(paths("10.2.0.0/24").long_stale, 1);
	played_end(&w);
}

/* What ends for good keeps nothing, however long it was to be kept. */
static void a_hard_end_keeps_nothing(void **state)
{
	static const uint8_t hard[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0,    23,   3,	  6,	9,    6,    2 };

	(void)state;
	begin();
	lost->caps.gr.notification = true;
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	played_feed(&w, lost, hard, sizeof(hard));
	assert_int_equal(paths("10.1.0.0/24").paths, 0);
	played_end(&w);
}

/* A refresh that was cut by the session's end: the paths not repeated had no time limit. */
static void a_refresh_that_never_ends(void **state)
{
	(void)state;
	begin();
	lost->caps.enhanced_refresh = lost->config->enhanced_refresh = true;
	lost->caps.llgr.present = false;
	start();
	played_announce(&w, lost, "10.1.0.0/24");
	played_refresh(&w, lost, BGP_AF_IPV4_UNICAST, 1);
	lose(lost);
	assert_int_equal(paths("10.1.0.0/24").stale, 1);
	wait_s(RESTART_S);
	assert_int_equal(paths("10.1.0.0/24").paths, 0);
	played_end(&w);
}

/* RFC 4724 4.1: our own restart does not wait for a peer that has restarted itself. But it may only mean
 * that it was started, and tell its routes in a moment. */
static void a_peer_that_restarted_too_gets_a_moment(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++) {
		played_begin(&w);
		w.global.restarting = true;
		lost = played_add(&w, 65001);
		long_lived(lost, 1, 1, LONG_S);
		lost->caps.gr.restarting = true;
		start();
		assert_false(bgp_speaker_converged(w.sp));
		played_announce(&w, lost, "10.1.0.0/24");
		assert_false(bgp_speaker_converged(w.sp));
		if (told)
			end_of_rib(lost);
		else
			wait_s(2);
		assert_true(bgp_speaker_converged(w.sp));
		played_end(&w);
	}
}

/* Whoever comes back with other prefixes each time has one limit, not one for each session. */
static void stale_ones_count_towards_the_limit(void **state)
{
	char prefix[32];
	unsigned kept = 0;

	(void)state;
	begin();
	lost->config->prefix_limit = 10;
	start();
	for (unsigned life = 0; life < 6; life++) {
		for (unsigned i = 0; i < 6; i++) {
			snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", life, i);
			played_announce(&w, lost, prefix);
		}
		lose(lost);
		if (life < 5)
			played_connect(&w, lost);
	}
	for (unsigned life = 0; life < 6; life++) {
		for (unsigned i = 0; i < 6; i++) {
			snprintf(prefix, sizeof(prefix), "10.%u.%u.0/24", life, i);
			kept += paths(prefix).stale;
		}
	}
	/* the last life's, which are what it said last */
	assert_int_equal(kept, 6);
	assert_int_equal(paths("10.5.0.0/24").stale, 1);
	/* a loop of crashes in which it says the same loses nothing */
	for (unsigned life = 0; life < 6; life++) {
		played_connect(&w, lost);
		for (unsigned i = 0; i < 6; i++) {
			snprintf(prefix, sizeof(prefix), "10.5.%u.0/24", i);
			played_announce(&w, lost, prefix);
			if (i == 2)
				lose(lost);
			if (i == 2)
				played_connect(&w, lost);
		}
		lose(lost);
	}
	for (unsigned i = 0; i < 6; i++) {
		snprintf(prefix, sizeof(prefix), "10.5.%u.0/24", i);
		assert_int_equal(paths(prefix).stale, 1);
	}
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_as_a_last_resort),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(the_time_goes_on_until_end_of_rib),
		cmocka_unit_test(comes_back_otherwise),
		cmocka_unit_test(no_llgr_goes),
		cmocka_unit_test(only_when_both_want),
		cmocka_unit_test(without_the_short_time),
		cmocka_unit_test(lost_twice),
		cmocka_unit_test(stale_ones_count_towards_the_limit),
		cmocka_unit_test(a_hard_end_keeps_nothing),
		cmocka_unit_test(a_refresh_that_never_ends),
		cmocka_unit_test(a_peer_that_restarted_too_gets_a_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
