/* policy.c - what newer RFCs want of imports and exports, seen at played peers: graceful shutdown (8326),
 * long-lived stale routes (9494), roles (9234), IPv6 next hops for IPv4 (8950), no AS_SETs (9774); prefixes that can be no route (4271 6.3) */
#include "played.h"

static bool count_usable(void *arg, const struct bgp_path_info *p)
{
	*(unsigned *)arg += p->usable;
	return true;
}

static unsigned paths(struct played_world *w, const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	unsigned n = 0;

	bgp_speaker_each_path(w->sp, &p, count_usable, &n);
	return n;
}

static void announce_with(struct played_world *w, struct played *p, const char *prefix,
			  uint32_t community)
{
	struct bgp_attrs_draft d = { 0 };
	uint8_t bytes[4];

	put_u32(bytes, community);
	d.part[BGP_PART_COMMUNITIES].p = bytes;
	d.part[BGP_PART_COMMUNITIES].len = 4;
	played_announce_as(w, p, prefix, &d);
}

/* ---- RFC 8326 ---- */

static void draining(void **state)
{
	struct prefix block = make_prefix("10.9.0.0/26");
	struct played_world w;
	struct played *ebgp, *ibgp;

	(void)state;
	played_begin(&w);
	ebgp = played_add(&w, 65001);
	ibgp = played_add(&w, 64512);
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_settle(&w);
	w.global.draining = true;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	assert_int_equal(ebgp->announced, 2);
	assert_int_equal(ebgp->last_len[BGP_PART_COMMUNITIES], 4);
	assert_int_equal(ibgp->last.local_pref, 0);
	/* after the AS_PATH, which is empty on iBGP */
	assert_memory_equal(ibgp->last_bytes, "\xff\xff\0\0", 4);
	w.global.draining = false;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	assert_int_equal(ibgp->last.local_pref, 100);
	assert_int_equal(ebgp->last_len[BGP_PART_COMMUNITIES], 0);
	assert_int_equal(played_status(&w, ebgp).flaps, 0);
	played_end(&w);
}

/* Withdrawn while the sessions stay; then the end, which keeps nothing (RFC 8538); and back. */
static void drained_and_back(void **state)
{
	struct prefix block = make_prefix("10.9.0.0/26");
	struct played_world w;
	struct played *a, *b;

	(void)state;
	played_begin(&w);
	a = played_add(&w, 65001);
	b = played_add(&w, 65002);
	a->config->gr_restart_s = 120;
	a->caps.gr.present = a->caps.gr.notification = true;
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_announce(&w, b, "10.1.0.0/24");
	assert_int_equal(a->announced, 2);
	w.global.draining = w.global.muted = true;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	assert_int_equal(a->withdrawn, 2);
	assert_int_equal(b->withdrawn, 1);
	/* nor anything new; it still hears and forwards */
	played_announce(&w, b, "10.2.0.0/24");
	assert_int_equal(a->announced, 2);
	assert_int_equal(w.fib.n, 1);
	assert_int_equal(played_status(&w, a).flaps, 0);
	bgp_speaker_stop(w.sp, false, "new disk", w.now);
	bgp_speaker_stop(w.sp, false, "said once", w.now);
	played_settle(&w);
	assert_int_equal(a->notification.code, BGP_ERR_CEASE);
	assert_int_equal(a->notification.subcode, BGP_CEASE_HARD_RESET);
	assert_memory_equal(a->notification.data, "\6\2\10new disk", 11);
	/* b has not agreed to RFC 8538 */
	assert_int_equal(b->notification.subcode, BGP_CEASE_SHUTDOWN);
	assert_int_equal(played_status(&w, a).state, BGP_STATE_IDLE);
	assert_false(bgp_speaker_accept(w.sp, 999, &a->addr, 4000, &w.global.local_v4, w.now));
	w.global.draining = w.global.muted = false;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	bgp_speaker_start(w.sp, w.now);
	bgp_speaker_start(w.sp, w.now);
	bgp_speaker_closed(w.sp, a->conn, "closed", w.now);
	bgp_speaker_closed(w.sp, b->conn, "closed", w.now);
	played_settle(&w);
	played_connect(&w, a);
	assert_int_equal(played_status(&w, a).state, BGP_STATE_ESTABLISHED);
	assert_int_equal(a->announced, 3);
	played_end(&w);
}

static void a_draining_neighbour_is_left(void **state)
{
	struct played_world w;
	struct played *a, *b, *ibgp;

	(void)state;
	played_begin(&w);
	a = played_add(&w, 65001);
	b = played_add(&w, 65002);
	ibgp = played_add(&w, 64512);
	played_start(&w);
	played_announce(&w, a, "10.1.0.0/24");
	assert_true(addr_eq(&w.fib.next_hop[0], &a->addr));
	announce_with(&w, a, "10.1.0.0/24", BGP_COMMUNITY_GRACEFUL_SHUTDOWN);
	/* better than nothing; and inside of the AS it is worth 0 */
	assert_true(addr_eq(&w.fib.next_hop[0], &a->addr));
	assert_int_equal(ibgp->last.local_pref, 0);
	played_announce(&w, b, "10.1.0.0/24");
	assert_int_equal(w.fib.n, 1);
	assert_true(addr_eq(&w.fib.next_hop[0], &b->addr));
	assert_int_equal(ibgp->last.local_pref, 100);
	played_end(&w);
}

/* ---- RFC 9494 ---- */

static void stale_routes_only_to_who_knows(void **state)
{
	struct played_world w;
	struct played *from, *aware, *unaware;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	aware = played_add(&w, 65002);
	unaware = played_add(&w, 65003);
	aware->caps.llgr.present = aware->config->long_lived = true;
	unaware->config->long_lived = true;
	played_start(&w);
	announce_with(&w, from, "10.1.0.0/24", BGP_COMMUNITY_LLGR_STALE);
	assert_int_equal(aware->announced, 1);
	assert_int_equal(unaware->announced, 0);
	/* it becomes stale: taken back from who does not know */
	played_announce(&w, from, "10.2.0.0/24");
	assert_int_equal(unaware->announced, 1);
	announce_with(&w, from, "10.2.0.0/24", BGP_COMMUNITY_LLGR_STALE);
	assert_int_equal(unaware->withdrawn, 1);
	assert_int_equal(aware->withdrawn, 0);
	played_end(&w);
}

/* ---- RFC 9234 ---- */

static void only_to_customer(void **state)
{
	/* OTC of the route as it comes (0: none), our role to its sender and to the receiver; what
	 * the receiver sees: -1 nothing, 0 no OTC */
	static const struct {
		asn_t otc;
		enum bgp_role from, to;
		int64_t want;
		bool leaked;
	} rows[] = {
		{ 0, BGP_ROLE_NONE, BGP_ROLE_NONE, 0, false },
		{ 7, BGP_ROLE_NONE, BGP_ROLE_NONE, 7, false },
		{ 0, BGP_ROLE_CUSTOMER, BGP_ROLE_NONE, 65001, false },
		{ 7, BGP_ROLE_CUSTOMER, BGP_ROLE_NONE, 7, false },
		{ 0, BGP_ROLE_CUSTOMER, BGP_ROLE_PROVIDER, 65001, false },
		{ 0, BGP_ROLE_CUSTOMER, BGP_ROLE_CUSTOMER, -1, false },
		{ 0, BGP_ROLE_CUSTOMER, BGP_ROLE_PEER, -1, false },
		{ 0, BGP_ROLE_CUSTOMER, BGP_ROLE_RS_CLIENT, -1, false },
		{ 0, BGP_ROLE_PROVIDER, BGP_ROLE_CUSTOMER, 0, false },
		{ 0, BGP_ROLE_PROVIDER, BGP_ROLE_PEER, 64512, false },
		{ 0, BGP_ROLE_PROVIDER, BGP_ROLE_PROVIDER, 64512, false },
		{ 0, BGP_ROLE_PROVIDER, BGP_ROLE_RS, 64512, false },
		{ 7, BGP_ROLE_PROVIDER, BGP_ROLE_NONE, -1, true },
		{ 7, BGP_ROLE_RS, BGP_ROLE_NONE, -1, true },
		{ 65001, BGP_ROLE_PEER, BGP_ROLE_PROVIDER, 65001, false },
		{ 7, BGP_ROLE_PEER, BGP_ROLE_PROVIDER, -1, true },
		{ 0, BGP_ROLE_PEER, BGP_ROLE_PROVIDER, 65001, false },
		{ 0, BGP_ROLE_RS_CLIENT, BGP_ROLE_PEER, -1, false },
		{ 9, BGP_ROLE_NONE, BGP_ROLE_CUSTOMER, -1, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_attrs_draft d = { 0 };
		struct played_world w;
		struct played *from, *to;

		played_begin(&w);
		from = played_add(&w, 65001);
		to = played_add(&w, 65002);
		from->config->role = rows[i].from;
		to->config->role = rows[i].to;
		played_start(&w);
		if (rows[i].otc) {
			d.v.present = 1ull << BGP_ATTR_OTC;
			d.v.otc = rows[i].otc;
		}
		played_announce_as(&w, from, "10.1.0.0/24", &d);
		assert_int_equal(paths(&w, "10.1.0.0/24"), !rows[i].leaked);
		if (to->announced != (rows[i].want >= 0))
			fail_msg("row %zu: announced %u", i, to->announced);
		if (to->announced) {
			assert_int_equal(to->last.present >> BGP_ATTR_OTC & 1, rows[i].want > 0);
			assert_int_equal(to->last.otc, rows[i].want);
		}
		played_end(&w);
	}
}

/* ---- RFC 8950 ---- */

static void ipv6_next_hop_for_ipv4(void **state)
{
	struct prefix block = make_prefix("10.9.0.0/26");
	struct played_world w;
	struct played *six, *four, *ibgp;

	(void)state;
	played_begin(&w);
	w.global.cluster_id = 1;
	w.global.local_v4 = (struct addr) { 0 }; /* an IPv6 fabric with IPv4 pods */
	six = played_add(&w, 64512);
	four = played_add(&w, 65002);
	ibgp = played_add(&w, 64512);
	six->addr = six->config->addr = make_addr("fd99::2");
	six->caps.ext_next_hop = 1;
	six->config->ext_next_hop = six->config->rr_client = true;
	w.global.local_v4 = make_addr("10.99.0.1");
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_settle(&w);
	assert_int_equal(six->last.next_hop.family, IP_V6);
	assert_int_equal(four->last.next_hop.family, IP_V4);
	played_announce(&w, six, "10.1.0.0/24");
	assert_int_equal(paths(&w, "10.1.0.0/24"), 1);
	assert_int_equal(w.fib.n, 1);
	assert_true(addr_eq(&w.fib.next_hop[0], &six->addr));
	/* ours instead to eBGP; a client's next hop stays as it is, which ibgp cannot take */
	assert_int_equal(four->announced, 2);
	assert_int_equal(four->last.next_hop.family, IP_V4);
	assert_int_equal(ibgp->announced, 1);
	/* taken back by MP_UNREACH_NLRI */
	bgp_speaker_set_blocks(w.sp, NULL, 0, w.now);
	played_settle(&w);
	assert_int_equal(six->withdrawn, 1);
	played_end(&w);
}

/* Unnumbered: the session is between link-local addresses. */
static void link_local_session(void **state)
{
	struct prefix blocks[] = { make_prefix("10.9.0.0/26"), make_prefix("fd00:9::/122") };
	struct addr ll = make_addr("fe80::1");
	struct played_world w;
	struct played *p;

	(void)state;
	for (unsigned global = 0; global < 2; global++) {
		played_begin(&w);
		if (!global)
			w.global.local_v6 = (struct addr) { 0 };
		p = played_add(&w, 65001);
		p->addr = p->config->addr = make_addr("fe80::2");
		p->local = ll;
		p->caps.families = p->config->families = 3;
		p->caps.ext_next_hop = 1;
		p->config->ext_next_hop = true;
		played_start(&w);
		bgp_speaker_set_blocks(w.sp, blocks, 2, w.now);
		played_settle(&w);
		assert_int_equal(p->announced, 2);
		assert_int_equal(p->last.next_hop.family, IP_V6);
		assert_true(addr_eq(&p->last.next_hop, global ? &w.global.local_v6 : &ll));
		if (global)
			assert_true(addr_eq(&p->last.next_hop_ll, &ll));
		played_end(&w);
	}
}

/* ---- RFC 9774 ---- */

static void as_sets_are_withdrawals(void **state)
{
	static const uint8_t set[] = { 2, 1, 0, 0, 0xfd, 0xe9, 1, 2, 0, 0, 0, 7, 0, 0, 0, 8 };

	(void)state;
	for (unsigned accept = 0; accept < 2; accept++) {
		struct bgp_attrs_draft d = { 0 };
		struct played_world w;
		struct played *p;

		played_begin(&w);
		p = played_add(&w, 65001);
		p->config->accept_as_sets = accept;
		played_start(&w);
		played_announce(&w, p, "10.1.0.0/24");
		d.part[BGP_PART_AS_PATH].p = set;
		d.part[BGP_PART_AS_PATH].len = sizeof(set);
		played_announce_as(&w, p, "10.1.0.0/24", &d);
		assert_int_equal(paths(&w, "10.1.0.0/24"), accept);
		assert_int_equal(played_status(&w, p).withdrawn_by_error, !accept);
		assert_int_equal(played_status(&w, p).flaps, 0);
		played_end(&w);
	}
}

/* ---- RFC 4271 6.3 ---- */

static void what_can_be_no_route_is_ignored(void **state)
{
	static const struct {
		const char *prefix;
		bool taken;
	} rows[] = {
		{ "0.0.0.0/0", true },	    { "0.0.0.0/1", true },
		{ "128.0.0.0/1", true },    { "0.0.0.0/8", false },
		{ "0.1.2.3/32", false },    { "127.0.0.0/8", false },
		{ "127.0.0.1/32", false },  { "224.0.0.0/4", false },
		{ "239.1.2.0/24", false },  { "255.255.255.255/32", false },
		{ "126.0.0.0/8", true },    { "240.0.0.0/4", true },
		{ "169.254.9.0/24", true }, { "::/0", true },
		{ "2000::/3", true },	    { "ff00::/8", false },
		{ "ff02::/16", false },	    { "fe80::/10", false },
		{ "fe80::1/128", false },   { "::1/128", false },
		{ "::/128", false },
	};
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	p->config->families = p->caps.families = 3;
	played_start(&w);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		played_announce(&w, p, rows[i].prefix);
		if (paths(&w, rows[i].prefix) != rows[i].taken)
			fail_msg("%s: %u paths", rows[i].prefix, paths(&w, rows[i].prefix));
	}
	assert_int_equal(played_status(&w, p).state, BGP_STATE_ESTABLISHED);
	played_end(&w);
}

/* Attributes have a limit of their own; above it usual ones are still taken. */
static void attributes_without_end(void **state)
{
	struct played_world w;
	struct played *big, *usual;
	char prefix[32];
	unsigned taken = 0;

	(void)state;
	played_begin(&w);
	big = played_add(&w, 65001);
	usual = played_add(&w, 65002);
	w.global.attr_bytes_max = 100000;
	played_start(&w);
	played_announce(&w, big, "10.200.0.0/24");
	for (unsigned i = 0; i < 100; i++) {
		big->communities = 800 + i;
		snprintf(prefix, sizeof(prefix), "10.1.%u.0/24", i);
		played_announce(&w, big, prefix);
		taken += paths(&w, prefix);
	}
	/* as taken, and as told on */
	if (taken < 10 || taken > 30)
		fail_msg("%u", taken);
	/* the path before is gone */
	played_announce(&w, big, "10.200.0.0/24");
	assert_int_equal(paths(&w, "10.200.0.0/24"), 0);
	played_announce(&w, usual, "10.201.0.0/24");
	assert_int_equal(paths(&w, "10.201.0.0/24"), 1);
	assert_int_equal(played_status(&w, big).state, BGP_STATE_ESTABLISHED);
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draining),
		cmocka_unit_test(drained_and_back),
		cmocka_unit_test(a_draining_neighbour_is_left),
		cmocka_unit_test(stale_routes_only_to_who_knows),
		cmocka_unit_test(only_to_customer),
		cmocka_unit_test(ipv6_next_hop_for_ipv4),
		cmocka_unit_test(link_local_session),
		cmocka_unit_test(as_sets_are_withdrawals),
		cmocka_unit_test(what_can_be_no_route_is_ignored),
		cmocka_unit_test(attributes_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
