/* filter.c - import, export and forwarding rules: the matrix of sources and targets, each rule */
#include "bgp/filter.h"

#include "make.h"

enum { OWN_ID = 0x0a000001, CLUSTER = 0x07070707 };

#define NO_EXPORT    0xffffff01u
#define NO_ADVERTISE 0xffffff02u
#define SUBCONFED    0xffffff03u
#define PLAIN	     { .origin = 0 }

struct world {
	struct bgp_attr_table *t;
	struct bgp_policy pol;
};

static void begin(struct world *w)
{
	static const struct {
		const char *cidr;
		bool disable, vxlan;
	} pools[] = { { "10.0.0.0/8", false, false },
		      { "172.31.0.0/16", true, false },
		      { "192.168.0.0/16", false, true },
		      { "fd00::/16", false, false } };
	struct bgp_pool pool[ARRAY_SIZE(pools)];
	struct prefix block = make_prefix("10.1.0.0/26");

	*w = (struct world){ .t = bgp_attr_table_new() };
	w->pol.local_as = 64512;
	w->pol.router_id = OWN_ID;
	w->pol.cluster_id = CLUSTER;
	w->pol.local_v4 = make_addr("10.99.0.1");
	w->pol.local_v6 = make_addr("fd99::1");
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		pool[i] = (struct bgp_pool){ make_prefix(pools[i].cidr), pools[i].disable,
					     pools[i].vxlan };
	bgp_policy_set_pools(&w->pol, pool, ARRAY_SIZE(pool));
	trie_add(&w->pol.blocks, &block, w);
}

static void end(struct world *w)
{
	bgp_policy_done(&w->pol);
	bgp_attr_table_free(w->t);
}

/* ---- import ---- */

static const struct {
	const char *name;
	struct make attrs;
	bool ibgp;
	uint8_t allowed;
	asn_t session_as; /* 0: the global one */
	enum bgp_reason want;
} imports[] = {
	{ "a plain eBGP path", { .path = { 65001 } }, false, 0, 0, BGP_REASON_OK },
	{ "a plain iBGP path", { .path = { 0 } }, true, 0, 0, BGP_REASON_OK },
	{ "no next hop", { .path = { 65001 }, .next_hop = "" }, false, 0, 0,
	  BGP_REASON_NO_NEXT_HOP },
	{ "next hop 0.0.0.0", { .path = { 65001 }, .next_hop = "0.0.0.0" }, false, 0, 0,
	  BGP_REASON_NO_NEXT_HOP },
	{ "next hop is ours", { .path = { 65001 }, .next_hop = "10.99.0.1" }, false, 0, 0,
	  BGP_REASON_NEXT_HOP_OWN },
	{ "next hop is ours, IPv6", { .path = { 65001 }, .next_hop = "fd99::1" }, false, 0, 0,
	  BGP_REASON_NEXT_HOP_OWN },
	{ "next hop is our end of the session", { .path = { 65001 }, .next_hop = "10.98.0.1" },
	  false, 0, 0, BGP_REASON_NEXT_HOP_OWN },
	{ "our AS in the path", { .path = { 65001, 64512 } }, false, 0, 0, BGP_REASON_OWN_AS },
	{ "our AS once, allowed once", { .path = { 65001, 64512 } }, false, 1, 0, BGP_REASON_OK },
	{ "our AS twice, allowed once", { .path = { 65001, 64512, 64512 } }, false, 1, 0,
	  BGP_REASON_OWN_AS },
	{ "our AS in an iBGP path", { .path = { 65001, 64512 } }, true, 0, 0, BGP_REASON_OWN_AS },
	{ "the session's own AS", { .path = { 65001, 64600 } }, false, 0, 64600,
	  BGP_REASON_OWN_AS },
	{ "the global AS on a session with its own", { .path = { 65001, 64512 } }, false, 0, 64600,
	  BGP_REASON_OWN_AS },
	{ "another first AS", { .path = { 65002, 65001 } }, false, 0, 0, BGP_REASON_FIRST_AS },
	{ "an empty path over eBGP", { .path = { 0 } }, false, 0, 0, BGP_REASON_FIRST_AS },
	{ "our ORIGINATOR_ID", { .originator = OWN_ID }, true, 0, 0, BGP_REASON_OWN_ORIGINATOR },
	{ "another ORIGINATOR_ID", { .originator = 9 }, true, 0, 0, BGP_REASON_OK },
	{ "our cluster", { .originator = 9, .clusters = { 1, CLUSTER } }, true, 0, 0,
	  BGP_REASON_OWN_CLUSTER },
};

static void import_rules(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(imports); i++) {
		struct bgp_source src = {
			.index = 1,
			.ebgp = !imports[i].ibgp,
			.remote_as = imports[i].ibgp ? 64512 : 65001,
			.local_as = imports[i].session_as ? imports[i].session_as : 64512,
			.allowed_local_as = imports[i].allowed,
			.local = make_addr("10.98.0.1"),
		};
		struct bgp_attrs *a = make_attrs(w.t, &imports[i].attrs);
		enum bgp_reason got = bgp_import_check(&w.pol, &src, a);

		if (got != imports[i].want)
			fail_msg("%s: %s", imports[i].name, bgp_reason_text(got));
		/* a route server's paths begin with anybody's AS, but with one */
		src.any_first_as = true;
		got = bgp_import_check(&w.pol, &src, a);
		if (got != (imports[i].want == BGP_REASON_FIRST_AS && imports[i].attrs.path[0]
				    ? BGP_REASON_OK
				    : imports[i].want))
			fail_msg("%s, any AS first: %s", imports[i].name, bgp_reason_text(got));
		bgp_attrs_unref(w.t, a);
	}
	end(&w);
}

/* ---- export: who tells whom ---- */

enum who { LOCAL, EBGP, IBGP, CLIENT, WHO_MAX_ };

static struct bgp_source source_of(enum who who)
{
	return (struct bgp_source){ .index = who != LOCAL,
				    .ebgp = who == EBGP,
				    .rr_client = who == CLIENT,
				    .router_id = 0x09090909 };
}

static struct bgp_target target_of(enum who who)
{
	return (struct bgp_target){ .ebgp = who == EBGP,
				    .rr_client = who == CLIENT,
				    .local_as = 64512,
				    .self = make_addr("10.98.0.1") };
}

static void the_matrix_of_sources_and_targets(void **state)
{
	/* RFC 4456 6; without a cluster ID nothing is reflected */
	static const bool tells[WHO_MAX_][WHO_MAX_] = {
		[LOCAL] = { [EBGP] = true, [IBGP] = true, [CLIENT] = true },
		[EBGP] = { [EBGP] = true, [IBGP] = true, [CLIENT] = true },
		[IBGP] = { [EBGP] = true, [IBGP] = false, [CLIENT] = true },
		[CLIENT] = { [EBGP] = true, [IBGP] = true, [CLIENT] = true },
	};
	struct prefix p = make_prefix("10.2.0.0/26");
	struct bgp_attrs *a;
	struct world w;

	(void)state;
	begin(&w);
	a = make_attrs(w.t, &(struct make){ .path = { 65001 } });
	for (unsigned rr = 0; rr < 2; rr++) {
		w.pol.cluster_id = rr ? CLUSTER : 0;
		for (int from = LOCAL; from < WHO_MAX_; from++) {
			for (int to = EBGP; to < WHO_MAX_; to++) {
				struct bgp_source src = source_of((enum who)from);
				struct bgp_target t = target_of((enum who)to);
				bool ibgp_both = from >= IBGP && to >= IBGP;
				bool want = tells[from][to] && (rr || !ibgp_both);
				enum bgp_reason got = bgp_export_check(&w.pol, &t, &p, &src, a, NULL);

				if (bgp_reason_accepts(got) != want)
					fail_msg("reflector %u, from %d to %d: %s", rr, from, to,
						 bgp_reason_text(got));
			}
		}
	}
	bgp_attrs_unref(w.t, a);
	end(&w);
}

/* ---- export: which prefixes ---- */

static const struct {
	const char *name, *prefix;
	struct make attrs;
	enum who from, to;
	enum bgp_reason want;
} exports[] = {
	{ "our block", "10.1.0.0/26", PLAIN, LOCAL, IBGP, BGP_REASON_OWN_BLOCK },
	{ "inside our block, a workload's", "10.1.0.5/32", PLAIN, LOCAL, IBGP,
	  BGP_REASON_INSIDE_OWN_BLOCK },
	{ "inside our block, from elsewhere", "10.1.0.5/32", { .path = { 65001 } }, EBGP, IBGP,
	  BGP_REASON_INSIDE_OWN_BLOCK },
	{ "a borrowed address", "10.2.0.5/32", PLAIN, LOCAL, IBGP, BGP_REASON_IN_POOL },
	{ "another node's block, to the fabric", "10.2.0.0/26", PLAIN, IBGP, EBGP,
	  BGP_REASON_IN_POOL },
	{ "the pool itself", "10.0.0.0/8", PLAIN, LOCAL, EBGP, BGP_REASON_IN_POOL },
	{ "wider than the pool", "10.0.0.0/7", PLAIN, LOCAL, EBGP, BGP_REASON_OUTSIDE_POOLS },
	{ "a default route", "0.0.0.0/0", { .path = { 65001 } }, EBGP, IBGP,
	  BGP_REASON_OUTSIDE_POOLS },
	{ "a pool that is not exported", "172.31.1.0/26", PLAIN, LOCAL, IBGP,
	  BGP_REASON_EXPORT_DISABLED },
	{ "IPv6, in a pool", "fd00:0:0:1::/64", PLAIN, LOCAL, EBGP,
	  BGP_REASON_IN_POOL },
	{ "NO_ADVERTISE", "10.2.0.0/26", { .path = { 65001 }, .communities = { NO_ADVERTISE } },
	  EBGP, IBGP, BGP_REASON_NO_ADVERTISE },
	{ "NO_EXPORT to eBGP", "10.2.0.0/26",
	  { .path = { 65001 }, .communities = { 5, NO_EXPORT } }, EBGP, EBGP,
	  BGP_REASON_NO_EXPORT },
	{ "NO_EXPORT to iBGP", "10.2.0.0/26", { .path = { 65001 }, .communities = { NO_EXPORT } },
	  EBGP, IBGP, BGP_REASON_IN_POOL },
	{ "NO_EXPORT_SUBCONFED to eBGP", "10.2.0.0/26",
	  { .path = { 65001 }, .communities = { SUBCONFED } }, EBGP, EBGP, BGP_REASON_NO_EXPORT },
};

static void export_rules(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(exports); i++) {
		struct bgp_source src = source_of(exports[i].from);
		struct bgp_target t = target_of(exports[i].to);
		struct prefix p = make_prefix(exports[i].prefix);
		struct bgp_attrs *a = make_attrs(w.t, &exports[i].attrs);
		enum bgp_reason got = bgp_export_check(&w.pol, &t, &p, &src, a, NULL);

		if (got != exports[i].want)
			fail_msg("%s: %s", exports[i].name, bgp_reason_text(got));
		bgp_attrs_unref(w.t, a);
	}
	end(&w);
}

static void without_an_own_address_nothing_of_ours_is_told(void **state)
{
	struct bgp_source src = source_of(LOCAL), learned = source_of(CLIENT);
	struct bgp_target t = target_of(IBGP);
	struct prefix p = make_prefix("10.1.0.0/26"), q = make_prefix("10.2.0.0/26");
	struct bgp_attrs *a;
	struct world w;

	(void)state;
	begin(&w);
	a = make_attrs(w.t, &(struct make){ 0 });
	t.self = (struct addr){ 0 };
	assert_int_equal(bgp_export_check(&w.pol, &t, &p, &src, a, NULL), BGP_REASON_NO_OWN_NEXT_HOP);
	/* a reflected route keeps its own */
	assert_int_equal(bgp_export_check(&w.pol, &t, &q, &learned, a, NULL), BGP_REASON_IN_POOL);
	bgp_attrs_unref(w.t, a);
	end(&w);
}

/* ---- export: in what form ---- */

static const struct {
	const char *name;
	struct make in;
	enum who from, to;
	bool self_always, keep;
	struct make out; /* clusters: after ours */
} forms[] = {
	{ "our block to iBGP: own next hop, LOCAL_PREF 100",
	  { .next_hop = "" },
	  LOCAL,
	  IBGP,
	  false,
	  false,
	  { .next_hop = "10.98.0.1", .has_lp = true, .lp = 100 } },
	{ "our block to eBGP: our AS in front",
	  { .next_hop = "" },
	  LOCAL,
	  EBGP,
	  false,
	  false,
	  { .next_hop = "10.98.0.1", .path = { 64512 } } },
	{ "eBGP to iBGP: next hop and MED stay",
	  { .path = { 65001 }, .has_med = true, .med = 7 },
	  EBGP,
	  IBGP,
	  false,
	  false,
	  { .path = { 65001 }, .has_med = true, .med = 7, .has_lp = true, .lp = 100 } },
	{ "eBGP to iBGP, next hop self",
	  { .path = { 65001 } },
	  EBGP,
	  IBGP,
	  true,
	  false,
	  { .path = { 65001 }, .next_hop = "10.98.0.1", .has_lp = true, .lp = 100 } },
	{ "eBGP to eBGP: MED is for one AS, next hop is ours",
	  { .path = { 65001 }, .has_med = true, .med = 7 },
	  EBGP,
	  EBGP,
	  false,
	  false,
	  { .path = { 64512, 65001 }, .next_hop = "10.98.0.1" } },
	{ "eBGP to eBGP, next hop kept",
	  { .path = { 65001 } },
	  EBGP,
	  EBGP,
	  false,
	  true,
	  { .path = { 64512, 65001 } } },
	{ "iBGP to eBGP: LOCAL_PREF and the reflector's marks go",
	  { .has_lp = true, .lp = 2147482623, .originator = 3, .clusters = { 1, 2 } },
	  IBGP,
	  EBGP,
	  false,
	  false,
	  { .path = { 64512 }, .next_hop = "10.98.0.1" } },
	{ "reflected: originator, cluster; LOCAL_PREF and next hop stay",
	  { .has_lp = true, .lp = 2147482623 },
	  CLIENT,
	  IBGP,
	  false,
	  false,
	  { .has_lp = true, .lp = 2147482623, .originator = 0x09090909, .clusters = { CLUSTER } } },
	{ "reflected again: the originator stays, our cluster comes first",
	  { .has_lp = true, .lp = 5, .originator = 3, .clusters = { 1, 2 } },
	  IBGP,
	  CLIENT,
	  false,
	  false,
	  { .has_lp = true, .lp = 5, .originator = 3, .clusters = { CLUSTER, 1, 2 } } },
	{ "communities pass",
	  { .path = { 65001 }, .communities = { 1, 2 } },
	  EBGP,
	  EBGP,
	  false,
	  false,
	  { .path = { 64512, 65001 }, .next_hop = "10.98.0.1", .communities = { 1, 2 } } },
};

static void export_forms(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct bgp_source src = source_of(forms[i].from);
		struct bgp_target t = target_of(forms[i].to);
		struct bgp_attrs *in = make_attrs(w.t, &forms[i].in);
		struct bgp_attrs *want = make_attrs(w.t, &forms[i].out), *got;

		t.self_always = forms[i].self_always;
		t.keep = forms[i].keep;
		got = bgp_export_attrs(w.t, &w.pol, &t, &src, in, NULL);
		if (got != want)
			fail_msg("%s", forms[i].name);
		bgp_attrs_unref(w.t, in);
		bgp_attrs_unref(w.t, want);
		bgp_attrs_unref(w.t, got);
	}
	end(&w);
}

/* ---- forwarding ---- */

static void forwarding_rules(void **state)
{
	static const struct {
		const char *prefix;
		enum who from;
		enum bgp_reason want;
	} rows[] = {
		{ "10.2.0.0/26", IBGP, BGP_REASON_OK },
		{ "192.168.1.0/26", IBGP, BGP_REASON_VXLAN },
		{ "192.168.0.0/15", IBGP, BGP_REASON_OK },
		{ "172.31.1.0/26", IBGP, BGP_REASON_OK }, /* not exported, but forwarded */
		{ "0.0.0.0/0", EBGP, BGP_REASON_OK },
		{ "10.1.0.0/26", LOCAL, BGP_REASON_MADE_HERE },
	};
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_source src = source_of(rows[i].from);
		struct prefix p = make_prefix(rows[i].prefix);

		assert_int_equal(bgp_fib_check(&w.pol, &p, &src), rows[i].want);
	}
	end(&w);
}

static void every_reason_has_words(void **state)
{
	(void)state;
	for (int r = 0; r < BGP_REASON_MAX_; r++)
		assert_non_null(bgp_reason_text((enum bgp_reason)r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(import_rules),
		cmocka_unit_test(the_matrix_of_sources_and_targets),
		cmocka_unit_test(export_rules),
		cmocka_unit_test(without_an_own_address_nothing_of_ours_is_told),
		cmocka_unit_test(export_forms),
		cmocka_unit_test(forwarding_rules),
		cmocka_unit_test(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
