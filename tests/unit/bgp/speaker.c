/* speaker.c - whole speakers against each other on a quiet network: configuration, limits,
 * restarts */
#include "speaker_world.h"

/* ---- sessions and configuration ---- */

static void two_nodes_exchange_blocks(void **state)
{
	struct bgp_peer_status s;

	(void)state;
	begin(2);
	start();
	s = status(0, 1);
	assert_int_equal(s.state, BGP_STATE_ESTABLISHED);
	assert_int_equal(s.remote_id, 2);
	assert_int_equal(s.hold_s, 90);
	assert_int_equal(s.families, V4);
	assert_int_equal(s.routes_received[0], 1);
	assert_int_equal(s.routes_accepted[0], 1);
	assert_int_equal(s.routes_best[0], 1);
	assert_int_equal(s.routes_sent[0], 1);
	assert_int_equal(route(0, "10.1.0.0/26")->n, 1);
	assert_true(addr_eq(&route(0, "10.1.0.0/26")->hop[0], &net.node[1].addr));
	assert_null(route(0, "10.0.0.0/26")); /* own ones are not BGP's to forward */
	assert_int_equal(bgp_speaker_prefix_count(net.node[0].sp, BGP_AF_IPV4_UNICAST), 2);
	net_done(&net);
}

static void the_same_set_again_touches_nothing(void **state)
{
	struct bgp_peer_status before, after;

	(void)state;
	begin(3);
	start();
	before = status(0, 1);
	net.node[0].peers[0].name[0] = 'P';
	net.node[0].peers[0].hold_s = 30; /* for the next session */
	set_peers(0);
	wait_ms(1000);
	after = status(0, 1);
	assert_int_equal(after.flaps, 0);
	assert_int_equal(after.since_ms, before.since_ms);
	assert_int_equal(after.hold_s, 90);
	assert_string_equal(after.config->name, "Peer");
	net_done(&net);
}

static void a_removed_peer_hears_why(void **state)
{
	struct bgp_peer_status s;

	(void)state;
	begin(3);
	start();
	net.node[0].peers[0] = net.node[0].peers[1]; /* to node 2 remains */
	net.node[0].n_peers = 1;
	set_peers(0);
	wait_ms(200);
	s = status(1, 0);
	assert_int_not_equal(s.state, BGP_STATE_ESTABLISHED);
	assert_non_null(strstr(s.last_error, "De-configured"));
	assert_null(route(0, "10.1.0.0/26"));
	assert_null(route(1, "10.0.0.0/26"));
	assert_non_null(route(0, "10.2.0.0/26"));
	assert_int_equal(status(0, 2).flaps, 0);
	wait_ms(20000);
	peer(0, 1);
	set_peers(0);
	wait_ms(60000);
	assert_non_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void a_changed_peer_alone_is_reset(void **state)
{
	(void)state;
	begin(3);
	start();
	net.node[0].peers[0].next_hop_mode = BGP_NEXT_HOP_SELF;
	set_peers(0);
	wait_ms(10000);
	assert_int_equal(status(0, 1).flaps, 1);
	assert_int_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(status(0, 2).flaps, 0);
	assert_non_null(strstr(status(1, 0).last_error, "Configuration Change"));
	net_done(&net);
}

static void another_router_id_resets_all(void **state)
{
	(void)state;
	begin(3);
	start();
	net.node[0].global.router_id = 77;
	bgp_speaker_set_global(net.node[0].sp, &net.node[0].global, net.now);
	net_settle(&net.node[0]);
	wait_ms(10000);
	assert_int_equal(status(1, 0).remote_id, 77);
	assert_int_equal(status(2, 0).remote_id, 77);
	assert_int_equal(status(1, 2).flaps, 0);
	net_done(&net);
}

static void too_many_prefixes_end_the_session(void **state)
{
	(void)state;
	begin(2);
	net.node[0].peers[0].prefix_limit = 3;
	for (unsigned i = 1; i < 5; i++)
		net.node[1].blocks[net.node[1].n_blocks++] =
			(struct prefix){ addr_v4(0x0a010000 + i * 64), 26 };
	start();
	assert_int_not_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_non_null(strstr(status(0, 1).last_error, "more than 3 ipv4-unicast prefixes"));
	assert_non_null(strstr(status(1, 0).last_error, "Maximum Number of Prefixes"));
	assert_int_equal(net.node[0].n_fib, 0);
	/* nothing is tried for a while, from either end */
	wait_ms(290 * 1000);
	assert_int_equal(status(0, 1).flaps, 1);
	assert_int_equal(status(0, 1).state, BGP_STATE_IDLE);
	net.node[0].peers[0].prefix_limit = 0;
	set_peers(0);
	wait_ms(20000);
	assert_int_equal(net.node[0].n_fib, 5);
	net_done(&net);
}

static void too_many_prefixes_rest_as_long_as_configured(void **state)
{
	(void)state;
	begin(2);
	net.node[0].peers[0].prefix_limit = 1;
	net.node[0].peers[0].prefix_limit_restart_s = 20;
	net.node[1].blocks[net.node[1].n_blocks++] = (struct prefix){ addr_v4(0x0a020000), 26 };
	start();
	assert_int_equal(status(0, 1).state, BGP_STATE_IDLE);
	assert_non_null(strstr(status(0, 1).last_error, "trying again in 20 s"));
	/* it is still too much: once each time */
	wait_ms(60 * 1000);
	assert_in_range(status(0, 1).flaps, 2, 4);
	net.node[1].n_blocks = 1;
	net_blocks_changed(&net.node[1]);
	wait_ms(22 * 1000);
	assert_int_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(net.node[0].n_fib, 1);
	net_done(&net);
}

static void a_stopped_speaker_says_why(void **state)
{
	(void)state;
	begin(2);
	start();
	bgp_speaker_stop(net.node[0].sp, false, "back at five", net.now);
	net_settle(&net.node[0]);
	wait_ms(50);
	assert_non_null(strstr(status(1, 0).last_error, "Administrative Shutdown"));
	assert_non_null(strstr(status(1, 0).last_error, "back at five"));
	assert_null(route(1, "10.0.0.0/26"));
	net_done(&net);
}

/* ---- routes ---- */

static void blocks_come_and_go(void **state)
{
	struct net_node *node = &net.node[1];

	(void)state;
	begin(2);
	start();
	node->blocks[node->n_blocks++] = make_prefix("10.77.0.0/26");
	net_blocks_changed(node);
	wait_ms(100);
	assert_non_null(route(0, "10.77.0.0/26"));
	node->n_blocks = 1;
	net_blocks_changed(node);
	wait_ms(100);
	assert_null(route(0, "10.77.0.0/26"));
	assert_int_equal(look(0, "10.77.0.0/26").paths, 0);
	assert_int_equal(bgp_speaker_prefix_count(node->sp, BGP_AF_IPV4_UNICAST), 2);
	net_done(&net);
}

static void a_workload_is_told_only_outside_own_blocks(void **state)
{
	struct prefix local[2];
	struct net_node *node = &net.node[1];

	(void)state;
	begin(2);
	start();
	local[0] = make_prefix("10.1.0.5/32");
	local[1] = make_prefix("10.0.0.9/32"); /* borrowed from node 0's block */
	bgp_speaker_set_local_routes(node->sp, local, 2, net.now);
	net_settle(node);
	wait_ms(100);
	assert_null(route(0, "10.1.0.5/32"));
	assert_non_null(route(0, "10.0.0.9/32"));
	/* the block is given up: its address is borrowed, too, now */
	node->n_blocks = 0;
	net_blocks_changed(node);
	wait_ms(100);
	assert_non_null(route(0, "10.1.0.5/32"));
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void ecmp_appears_and_disappears(void **state)
{
	(void)state;
	begin(4);
	for (unsigned i = 1; i < 4; i++)
		net.node[i].blocks[net.node[i].n_blocks++] = make_prefix("10.200.0.1/32");
	start();
	assert_int_equal(route(0, "10.200.0.1/32")->n, 3);
	assert_int_equal(look(0, "10.200.0.1/32").usable, 3);
	net.node[2].n_blocks = 1;
	net_blocks_changed(&net.node[2]);
	wait_ms(100);
	assert_int_equal(route(0, "10.200.0.1/32")->n, 2);
	net.node[0].global.max_paths = 1;
	bgp_speaker_set_global(net.node[0].sp, &net.node[0].global, net.now);
	net_settle(&net.node[0]);
	assert_int_equal(route(0, "10.200.0.1/32")->n, 1);
	assert_string_equal(look(0, "10.200.0.1/32").why, "higher router ID");
	assert_int_equal(status(0, 1).flaps, 0);
	net_done(&net);
}

static void an_unreachable_next_hop_is_not_used(void **state)
{
	(void)state;
	begin(2);
	start();
	net.node[0].blind[1] = true;
	net_next_hops_changed(&net.node[0]);
	assert_null(route(0, "10.1.0.0/26"));
	assert_string_equal(look(0, "10.1.0.0/26").why, "its next hop is unreachable");
	assert_int_equal(status(0, 1).routes_accepted[0], 0);
	assert_int_equal(status(0, 1).routes_received[0], 1);
	net.node[0].blind[1] = false;
	net_next_hops_changed(&net.node[0]);
	assert_non_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void a_vxlan_pool_is_not_forwarded(void **state)
{
	struct bgp_pool pools[2] = { { .cidr = make_prefix("10.1.0.0/16"), .vxlan = true },
				     { .cidr = make_prefix("10.2.0.0/16") } };

	(void)state;
	begin(3);
	start();
	assert_non_null(route(0, "10.1.0.0/26"));
	bgp_speaker_set_pools(net.node[0].sp, pools, 2, net.now);
	net_settle(&net.node[0]);
	assert_null(route(0, "10.1.0.0/26"));
	assert_non_null(route(0, "10.2.0.0/26"));
	assert_int_equal(status(0, 1).routes_best[0], 1);
	/* our own block is outside every pool now, and still ours */
	assert_non_null(route(1, "10.0.0.0/26"));
	net_done(&net);
}

static void the_fib_is_told_again(void **state)
{
	(void)state;
	begin(3);
	start();
	net.node[0].n_fib = 0;
	bgp_speaker_retell_fib(net.node[0].sp);
	net_settle(&net.node[0]);
	assert_int_equal(net.node[0].n_fib, 2);
	net_done(&net);
}

/* ---- graceful restart ---- */

static void with_graceful_restart(unsigned n)
{
	begin(n);
	for (unsigned a = 0; a < n; a++) {
		for (size_t k = 0; k < net.node[a].n_peers; k++)
			net.node[a].peers[k].gr_restart_s = 20;
	}
	start();
}

static void without_it_a_lost_peer_takes_its_routes_along(void **state)
{
	(void)state;
	begin(2);
	start();
	net_kill(&net.node[1]);
	wait_ms(100);
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void a_restarting_peer_keeps_its_routes(void **state)
{
	(void)state;
	with_graceful_restart(2);
	assert_true(status(0, 1).graceful);
	net_kill(&net.node[1]);
	wait_ms(5000);
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 1);
	assert_int_equal(look(0, "10.1.0.0/26").stale, 1);
	/* it comes back with another block, and kept forwarding */
	net.node[1].blocks[1] = make_prefix("10.77.0.0/26");
	net.node[1].n_blocks = 2;
	net_start(&net.node[1], true);
	wait_ms(15000);
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_non_null(route(0, "10.77.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	assert_int_equal(look(0, "10.1.0.0/26").paths, 1);
	net_done(&net);
}

/* It dies again and again, each time before it has told anything: what it forwards is kept, but not for
 * longer than its first death allows. */
static void dying_again_before_it_spoke_loses_nothing(void **state)
{
	(void)state;
	with_graceful_restart(2);
	for (unsigned i = 0; i < 12; i++) {
		net_kill(&net.node[1]);
		wait_ms(200);
		assert_non_null(route(0, "10.1.0.0/26"));
		net_start(&net.node[1], true);
		for (unsigned k = 0; k < 2000 && status(0, 1).state != BGP_STATE_ESTABLISHED; k++)
			wait_ms(1);
		assert_non_null(route(0, "10.1.0.0/26"));
	}
	wait_ms(15000);
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	assert_int_equal(look(0, "10.1.0.0/26").paths, 1);

	/* With nothing to tell any more, and never alive long enough to say so. */
	net.node[1].n_blocks = 0;
	for (unsigned i = 0; i < 40; i++) {
		net_kill(&net.node[1]);
		wait_ms(900);
		net_start(&net.node[1], true);
		for (unsigned k = 0; k < 2000 && status(0, 1).state != BGP_STATE_ESTABLISHED; k++)
			wait_ms(1);
	}
	net_kill(&net.node[1]);
	wait_ms(21000);
	assert_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	net_done(&net);
}

/* Only the connection breaks: neither side has restarted, nothing stops forwarding for a moment. */
static void a_broken_connection_loses_nothing(void **state)
{
	unsigned gone = 0;

	(void)state;
	with_graceful_restart(2);
	net_break(&net, 0, 1);
	for (unsigned i = 0; i < 10000; i++) {
		wait_ms(1);
		gone += !route(0, "10.1.0.0/26") || !route(1, "10.0.0.0/26");
	}
	assert_int_equal(gone, 0);
	assert_int_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	net_done(&net);
}

static void what_it_does_not_repeat_goes_at_its_end_of_rib(void **state)
{
	(void)state;
	with_graceful_restart(2);
	net_kill(&net.node[1]);
	wait_ms(1000);
	net.node[1].blocks[0] = make_prefix("10.77.0.0/26");
	net_start(&net.node[1], true);
	wait_ms(15000);
	assert_non_null(route(0, "10.77.0.0/26"));
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

/* A restarted node cannot know what it will tell of others before they have told it. */
static void end_of_rib_waits_until_its_sender_has_heard_all(void **state)
{
	(void)state;
	with_graceful_restart(3);
	net_kill(&net.node[1]);
	net_kill(&net.node[2]);
	wait_ms(1000);
	net.node[1].blocks[0] = make_prefix("10.77.0.0/26");
	net_start(&net.node[1], true);
	wait_ms(15000);
	assert_non_null(route(0, "10.77.0.0/26")); /* own blocks do not wait */
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 1);
	wait_ms(120000);
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void its_time_runs_out(void **state)
{
	(void)state;
	with_graceful_restart(2);
	net_kill(&net.node[1]);
	wait_ms(19000);
	assert_non_null(route(0, "10.1.0.0/26"));
	wait_ms(2000);
	assert_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	net_done(&net);
}

static void without_kept_forwarding_routes_go_at_once(void **state)
{
	(void)state;
	with_graceful_restart(2);
	net_kill(&net.node[1]);
	wait_ms(1000);
	net.node[1].n_blocks = 0;
	net_start(&net.node[1], false); /* F bit clear */
	while (status(0, 1).state != BGP_STATE_ESTABLISHED)
		wait_ms(10);
	assert_int_equal(status(0, 1).routes_stale[0], 0);
	net_settle(&net.node[0]);
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void a_shutdown_is_not_a_restart(void **state)
{
	(void)state;
	with_graceful_restart(2);
	bgp_speaker_stop(net.node[1].sp, false, "", net.now);
	net_settle(&net.node[1]);
	wait_ms(100);
	assert_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

static void stopping_for_a_restart_is_silent(void **state)
{
	(void)state;
	with_graceful_restart(2);
	bgp_speaker_stop(net.node[1].sp, true, "", net.now);
	net_settle(&net.node[1]);
	wait_ms(100);
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_int_equal(status(0, 1).routes_stale[0], 1);
	net_done(&net);
}

static void a_restarted_speaker_waits_for_its_peers(void **state)
{
	int64_t began;

	(void)state;
	with_graceful_restart(3);
	net_kill(&net.node[0]);
	net_kill(&net.node[2]); /* this one stays away */
	wait_ms(1000);
	net_start(&net.node[0], true);
	began = net.now;
	assert_false(bgp_speaker_converged(net.node[0].sp));
	wait_ms(10000);
	/* what is known is used and told at once */
	assert_non_null(route(0, "10.1.0.0/26"));
	assert_non_null(route(1, "10.0.0.0/26"));
	assert_false(bgp_speaker_converged(net.node[0].sp));
	wait_ms(began + 119000 - net.now);
	assert_false(bgp_speaker_converged(net.node[0].sp));
	wait_ms(2000);
	assert_true(bgp_speaker_converged(net.node[0].sp));
	net_done(&net);
}

static void two_restarted_speakers_do_not_wait_for_each_other(void **state)
{
	(void)state;
	with_graceful_restart(2);
	net_kill(&net.node[0]);
	net_kill(&net.node[1]);
	wait_ms(500);
	net_start(&net.node[0], true);
	net_start(&net.node[1], true);
	wait_ms(10000);
	assert_true(bgp_speaker_converged(net.node[0].sp));
	assert_true(bgp_speaker_converged(net.node[1].sp));
	net_done(&net);
}

static void a_peer_without_graceful_restart_is_not_waited_for_long(void **state)
{
	(void)state;
	begin(2);
	start();
	net_kill(&net.node[0]);
	wait_ms(500);
	net_start(&net.node[0], true);
	wait_ms(30000);
	assert_true(bgp_speaker_converged(net.node[0].sp));
	net_done(&net);
}

/* ---- hostile ---- */

/* Any bytes on a connection, and calls about connections that nobody knows. */
static void garbage_changes_nothing(void **state)
{
	struct make_rng r = { 5 };
	uint8_t noise[512];
	struct addr other = make_addr("198.51.100.1");

	(void)state;
	begin(2);
	start();
	for (uint64_t conn = 1000; conn < 1200; conn++) {
		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = i < 16 ? 0xff : (uint8_t)make_random(&r, 256);
		noise[16] = 0;
		noise[17] = (uint8_t)(19 + make_random(&r, 60));
		noise[18] = (uint8_t)(1 + make_random(&r, 5));
		if (bgp_speaker_accept(net.node[0].sp, conn, &net.node[1].addr, 1,
				       &net.node[0].addr, net.now))
			bgp_speaker_received(net.node[0].sp, conn, noise, sizeof(noise), net.now);
		net_settle(&net.node[0]);
		bgp_speaker_closed(net.node[0].sp, conn, "closed", net.now);
		net_settle(&net.node[0]);
		assert_false(bgp_speaker_accept(net.node[0].sp, conn, &other, 1,
						&net.node[0].addr, net.now));
		bgp_speaker_received(net.node[0].sp, conn + 5000, noise, 1, net.now);
		bgp_speaker_written(net.node[0].sp, conn + 5000, 1, net.now);
		bgp_speaker_closed(net.node[0].sp, conn + 5000, "?", net.now);
	}
	wait_ms(5000);
	assert_int_equal(status(0, 1).state, BGP_STATE_ESTABLISHED);
	assert_non_null(route(0, "10.1.0.0/26"));
	net_done(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_nodes_exchange_blocks),
		cmocka_unit_test(the_same_set_again_touches_nothing),
		cmocka_unit_test(a_removed_peer_hears_why),
		cmocka_unit_test(a_changed_peer_alone_is_reset),
		cmocka_unit_test(another_router_id_resets_all),
		cmocka_unit_test(too_many_prefixes_end_the_session),
		cmocka_unit_test(too_many_prefixes_rest_as_long_as_configured),
		cmocka_unit_test(a_stopped_speaker_says_why),
		cmocka_unit_test(blocks_come_and_go),
		cmocka_unit_test(a_workload_is_told_only_outside_own_blocks),
		cmocka_unit_test(ecmp_appears_and_disappears),
		cmocka_unit_test(an_unreachable_next_hop_is_not_used),
		cmocka_unit_test(a_vxlan_pool_is_not_forwarded),
		cmocka_unit_test(the_fib_is_told_again),
		cmocka_unit_test(without_it_a_lost_peer_takes_its_routes_along),
		cmocka_unit_test(a_restarting_peer_keeps_its_routes),
		cmocka_unit_test(dying_again_before_it_spoke_loses_nothing),
		cmocka_unit_test(a_broken_connection_loses_nothing),
		cmocka_unit_test(what_it_does_not_repeat_goes_at_its_end_of_rib),
		cmocka_unit_test(end_of_rib_waits_until_its_sender_has_heard_all),
		cmocka_unit_test(its_time_runs_out),
		cmocka_unit_test(without_kept_forwarding_routes_go_at_once),
		cmocka_unit_test(a_shutdown_is_not_a_restart),
		cmocka_unit_test(stopping_for_a_restart_is_silent),
		cmocka_unit_test(a_restarted_speaker_waits_for_its_peers),
		cmocka_unit_test(two_restarted_speakers_do_not_wait_for_each_other),
		cmocka_unit_test(a_peer_without_graceful_restart_is_not_waited_for_long),
		cmocka_unit_test(garbage_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
