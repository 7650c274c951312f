/* bgpfilter.c - BGPFilter rules: each field alone, operations; whole speakers that have them */
#include "bgp/bgpfilter.h"

#include "bgp/filter.h"
#include "played.h"

static const struct bgp_rule any = { .accept = true };

#define RULE(...)                           \
	{                                   \
		.accept = true, __VA_ARGS__ \
	}

struct row {
	const char *name;
	struct bgp_rule rule;
	const char *cidr, *prefix;
	struct make attrs;
	bool import, local, ibgp;
	const char *ifname;
	bool want;
};

#define IN	  .match = BGP_CIDR_IN
#define EQ	  .match = BGP_CIDR_EQUAL
#define NIN	  .match = BGP_CIDR_NOT_IN
#define NEQ	  .match = BGP_CIDR_NOT_EQUAL
#define LEN(a, b) .has_length = true, .min_length = (a), .max_length = (b)

static const struct row rows[] = {
	{ .name = "nothing given", .rule = RULE(.n_ops = 0), .want = true },
	{ .name = "equal",
	  .rule = RULE(EQ),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/24",
	  .want = true },
	{ .name = "equal: longer",
	  .rule = RULE(EQ),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/25" },
	{ .name = "not equal",
	  .rule = RULE(NEQ),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/25",
	  .want = true },
	{ .name = "not equal: it is",
	  .rule = RULE(NEQ),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/24" },
	{ .name = "in: itself",
	  .rule = RULE(IN),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/24",
	  .want = true },
	{ .name = "in: inside",
	  .rule = RULE(IN),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/26",
	  .want = true },
	{ .name = "in: around", .rule = RULE(IN), .cidr = "10.0.0.0/24", .prefix = "10.0.0.0/23" },
	{ .name = "in: beside", .rule = RULE(IN), .cidr = "10.0.0.0/24", .prefix = "10.0.1.0/26" },
	{ .name = "not in: inside",
	  .rule = RULE(NIN),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/26" },
	{ .name = "not in: beside",
	  .rule = RULE(NIN),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.1.0/26",
	  .want = true },
	{ .name = "in, length",
	  .rule = RULE(IN, LEN(25, 26)),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/26",
	  .want = true },
	{ .name = "in, too long",
	  .rule = RULE(IN, LEN(25, 26)),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/27" },
	{ .name = "in, too short",
	  .rule = RULE(IN, LEN(25, 26)),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.0/24" },
	{ .name = "not in, of another length",
	  .rule = RULE(NIN, LEN(25, 26)),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/27",
	  .want = true },
	{ .name = "not in, inside and of the length",
	  .rule = RULE(NIN, LEN(25, 26)),
	  .cidr = "10.0.0.0/24",
	  .prefix = "10.0.0.64/26" },
	{ .name = "length alone",
	  .rule = RULE(LEN(26, 26)),
	  .prefix = "10.0.0.64/26",
	  .want = true },
	{ .name = "IPv6",
	  .rule = RULE(IN, LEN(64, 128)),
	  .cidr = "fd00::/16",
	  .prefix = "fd00:1::/64",
	  .want = true },
	{ .name = "remote peers, local", .rule = RULE(.remote_peers = true), .local = true },
	{ .name = "remote peers, learned", .rule = RULE(.remote_peers = true), .want = true },
	{ .name = "remote peers, on import",
	  .rule = RULE(.remote_peers = true),
	  .import = true,
	  .local = true,
	  .want = true },
	{ .name = "interface", .rule = RULE(.interface = "eth*"), .ifname = "eth0", .want = true },
	{ .name = "interface, one letter", .rule = RULE(.interface = "eth?"), .ifname = "eth10" },
	{ .name = "interface, star in the middle",
	  .rule = RULE(.interface = "*.c*i"),
	  .ifname = "vxlan.cali",
	  .want = true },
	{ .name = "interface, another", .rule = RULE(.interface = "eth*"), .ifname = "ens3" },
	{ .name = "interface unknown", .rule = RULE(.interface = "*") },
	{ .name = "eBGP peer", .rule = RULE(.only_ebgp = true), .want = true },
	{ .name = "eBGP peer, iBGP", .rule = RULE(.only_ebgp = true), .ibgp = true },
	{ .name = "iBGP peer", .rule = RULE(.only_ibgp = true), .ibgp = true, .want = true },
	{ .name = "iBGP peer, eBGP", .rule = RULE(.only_ibgp = true) },
	{ .name = "community",
	  .rule = RULE(.n_community = 1, .community = { 65001u << 16 | 7 }),
	  .attrs = { .communities = { 1, 65001u << 16 | 7 } },
	  .want = true },
	{ .name = "community, none", .rule = RULE(.n_community = 1, .community = { 7 }) },
	{ .name = "large community, none",
	  .rule = RULE(.n_community = 3, .community = { 7, 8, 9 }) },
	{ .name = "path",
	  .rule = RULE(.n_path = 2, .path = { 65001, 65002 }),
	  .attrs = { .path = { 65001, 65002, 65003 } },
	  .want = true },
	{ .name = "path, whole",
	  .rule = RULE(.n_path = 1, .path = { 65001 }),
	  .attrs = { .path = { 65001 } },
	  .want = true },
	{ .name = "path, not in front",
	  .rule = RULE(.n_path = 1, .path = { 65002 }),
	  .attrs = { .path = { 65001, 65002 } } },
	{ .name = "path, too short",
	  .rule = RULE(.n_path = 2, .path = { 65001, 65002 }),
	  .attrs = { .path = { 65001 } } },
	{ .name = "priority",
	  .rule = RULE(.has_priority = true, .priority = 1024),
	  .attrs = { .has_lp = true, .lp = 2147482623 },
	  .want = true },
	{ .name = "priority, another",
	  .rule = RULE(.has_priority = true, .priority = 512),
	  .attrs = { .has_lp = true, .lp = 2147482623 } },
	{ .name = "two fields, one wrong",
	  .rule = RULE(IN, .only_ibgp = true),
	  .cidr = "10.0.0.0/8",
	  .prefix = "10.0.0.0/24" },
};

static void each_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_attr_table *t = bgp_attr_table_new();
		struct bgp_attrs *a = make_attrs(t, &rows[i].attrs);
		struct prefix p = make_prefix(rows[i].prefix ? rows[i].prefix : "10.9.0.0/16");
		struct bgp_rule rule[2] = { rows[i].rule, any };
		struct bgp_rule_route r = {
			.prefix = &p,
			.attrs = a,
			.local_pref = rows[i].attrs.has_lp ? rows[i].attrs.lp : 100,
			.direction = rows[i].import ? BGP_IMPORT : BGP_EXPORT,
			.remote = !rows[i].local,
			.ebgp = !rows[i].ibgp,
			.ifname = rows[i].ifname,
		};

		if (rows[i].cidr)
			rule[0].cidr = make_prefix(rows[i].cidr);
		if (bgp_rules_match(rule, 2, &r) != &rule[!rows[i].want])
			fail_msg("%s", rows[i].name);
		assert_null(bgp_rules_match(rule, 0, &r));
		bgp_attrs_unref(t, a);
		bgp_attr_table_free(t);
	}
}

static void operations_in_order(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_attrs *a = make_attrs(t, &(struct make) { .path = { 9 }, .communities = { 5 } });
	struct bgp_rule rule = {
		.accept = true,
		.n_ops = 5,
		.op = { { BGP_OP_ADD_COMMUNITY, 0, { 6 } },
			{ BGP_OP_ADD_COMMUNITY, 0, { 5 } }, /* is there */
			{ BGP_OP_ADD_LARGE, 0, { 1, 2, 3 } },
			{ BGP_OP_PREPEND, 2, { 7, 8 } },
			{ BGP_OP_SET_PRIORITY, 0, { 512 } } },
	};
	struct bgp_edit e = bgp_edit_begin(a);
	struct bgp_attrs *out;
	struct str text = { 0 };

	(void)state;
	assert_true(bgp_rule_apply(&rule, &e));
	out = bgp_attrs_intern(t, &e.d);
	bgp_edit_done(&e);
	bgp_attrs_path_text(out, &text);
	assert_string_equal(text.p, "7 8 9");
	str_done(&text);
	bgp_attrs_communities_text(out, &text);
	assert_string_equal(text.p, "0:5 0:6 1:2:3");
	assert_int_equal(out->v.local_pref, 2147483647 - 512);
	assert_true(bgp_attrs_has(out, BGP_ATTR_LOCAL_PREF));
	str_done(&text);
	bgp_attrs_unref(t, a);
	bgp_attrs_unref(t, out);
	bgp_attr_table_free(t);
}

/* ---- in a speaker ---- */

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

static void export_rules_take_effect_at_once(void **state)
{
	struct bgp_rule reject = { .match = BGP_CIDR_IN, .cidr = make_prefix("10.1.0.0/16") };
	struct bgp_rule accept = { .accept = true,
				   .match = BGP_CIDR_IN,
				   .cidr = make_prefix("192.168.0.0/16"),
				   .n_ops = 1,
				   .op = { { BGP_OP_ADD_COMMUNITY, 0, { 77 } } } };
	struct bgp_rule rules[] = { reject, accept };
	struct bgp_filter_set set = { .name = "f",
				      .rules[BGP_EXPORT][0] = rules,
				      .n[BGP_EXPORT][0] = 2 };
	struct played_world w;
	struct played *from, *to, *plain;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	plain = played_add(&w, 65003);
	strcpy(to->config->filters, "f");
	played_start(&w);
	played_announce(&w, from, "10.1.0.0/24");
	played_announce(&w, from, "10.2.0.0/24");
	played_announce(&w, from, "192.168.1.0/24"); /* outside of all pools */
	assert_int_equal(played_status(&w, to).routes_sent[0], 2);
	assert_int_equal(played_status(&w, plain).routes_sent[0], 2);
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	played_settle(&w);
	assert_int_equal(played_status(&w, to).routes_sent[0], 2); /* 10.2 and 192.168.1 */
	assert_int_equal(to->withdrawn, 1);
	assert_int_equal(to->announced, 3);
	assert_int_equal(to->last_len[BGP_PART_COMMUNITIES], 4);
	assert_int_equal(played_status(&w, plain).routes_sent[0], 2);
	assert_int_equal(plain->withdrawn, 0);
	/* another community: told again */
	rules[1].op[0].value[0] = 78;
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	played_settle(&w);
	assert_int_equal(to->announced, 4);
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	played_settle(&w);
	assert_int_equal(to->announced, 4);
	bgp_speaker_set_filters(w.sp, NULL, 0, w.now);
	played_settle(&w);
	assert_int_equal(played_status(&w, to).routes_sent[0], 2);
	assert_int_equal(to->withdrawn, 2);
	assert_int_equal(played_status(&w, to).flaps, 0);
	played_end(&w);
}

static void import_rules_ask_the_peer_again(void **state)
{
	struct bgp_rule rules[] = {
		{ .match = BGP_CIDR_IN, .cidr = make_prefix("10.1.0.0/16") },
		{ .accept = true,
		  .n_ops = 2,
		  .op = { { BGP_OP_PREPEND, 1, { 64999 } }, { BGP_OP_SET_PRIORITY, 0, { 500 } } } },
	};
	struct bgp_filter_set set = { .name = "f",
				      .rules[BGP_IMPORT][0] = rules,
				      .n[BGP_IMPORT][0] = 2 };
	struct played_world w;
	struct played *from, *to;
	uint8_t wrong[6] = { 2, 1, 0, 0, 0, 99 };
	struct bgp_attrs_draft d = { 0 };

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 64512);
	strcpy(from->config->filters, "f");
	played_start(&w);
	played_announce(&w, from, "10.1.0.0/24");
	played_announce(&w, from, "10.2.0.0/24");
	from->n_types = 0;
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	played_settle(&w);
	assert_int_equal(from->n_types, 1);
	assert_int_equal(from->type[0], BGP_MSG_ROUTE_REFRESH);
	/* what is rejected goes at once; the rest changes when the peer says it again */
	assert_int_equal(paths(&w, "10.1.0.0/24"), 0);
	assert_int_equal(paths(&w, "10.2.0.0/24"), 1);
	played_announce(&w, from, "10.1.0.0/24"); /* what a peer does then */
	played_announce(&w, from, "10.2.0.0/24");
	assert_int_equal(paths(&w, "10.1.0.0/24"), 0);
	assert_int_equal(paths(&w, "10.2.0.0/24"), 1);
	assert_int_equal(played_status(&w, from).filtered, 2);
	assert_int_equal(to->last.local_pref, 2147483647 - 500);
	assert_int_equal(to->last_len[BGP_PART_AS_PATH], 10);
	assert_memory_equal(to->last_bytes + 2, "\0\0\xfd\xe7\0\0\xfd\xe9", 8);
	/* a path that does not begin with the peer's AS is none, whatever a filter puts there */
	d.part[BGP_PART_AS_PATH].p = wrong;
	d.part[BGP_PART_AS_PATH].len = 6;
	played_announce_as(&w, from, "10.3.0.0/24", &d);
	assert_int_equal(paths(&w, "10.3.0.0/24"), 0);
	played_end(&w);
}

static void who_cannot_say_it_again_is_reset(void **state)
{
	struct bgp_rule rule = { .match = BGP_CIDR_IN, .cidr = make_prefix("10.1.0.0/16") };
	struct bgp_filter_set set = { .name = "f",
				      .rules[BGP_IMPORT][0] = &rule,
				      .n[BGP_IMPORT][0] = 1 };
	struct played_world w;
	struct played *from;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	from->caps.refresh = false;
	strcpy(from->config->filters, "f");
	played_start(&w);
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	played_settle(&w);
	assert_int_equal(from->notification.code, BGP_ERR_CEASE);
	assert_int_equal(from->notification.subcode, BGP_CEASE_CONFIG_CHANGE);
	played_end(&w);
}

static void communities_by_prefix(void **state)
{
	static const uint32_t inner[] = { 65001u << 16 | 1 }, outer[] = { 65001u << 16 | 2 },
			      large[] = { 1, 2, 3 };
	struct bgp_advert adverts[] = {
		{ .cidr = make_prefix("10.0.0.0/8"), .communities = outer, .n_communities = 1 },
		{ .cidr = make_prefix("10.9.0.0/16"),
		  .communities = inner,
		  .n_communities = 1,
		  .large = large,
		  .n_large = 1 },
	};
	struct prefix block = make_prefix("10.9.0.0/26");
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	p = played_add(&w, 65001);
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_settle(&w);
	assert_int_equal(p->last_len[BGP_PART_COMMUNITIES], 0);
	bgp_speaker_set_adverts(w.sp, adverts, 2, w.now);
	played_settle(&w);
	assert_int_equal(p->announced, 2);
	assert_int_equal(p->last_len[BGP_PART_COMMUNITIES], 8);
	assert_int_equal(p->last_len[BGP_PART_LARGE_COMMUNITIES], 12);
	bgp_speaker_set_adverts(w.sp, adverts, 2, w.now);
	played_settle(&w);
	assert_int_equal(p->announced, 2);
	bgp_speaker_set_adverts(w.sp, adverts, 1, w.now);
	played_settle(&w);
	assert_int_equal(p->last_len[BGP_PART_COMMUNITIES], 4);
	assert_int_equal(p->last_len[BGP_PART_LARGE_COMMUNITIES], 0);
	played_end(&w);
}

/* Calico: LOCAL_PREF is 2^31 - 1 less the priority, and a /32 of more than usual passes. */
static void priorities(void **state)
{
	struct prefix block = make_prefix("10.9.0.0/26");
	struct bgp_attrs_draft d = { .v = { .present = 1u << BGP_ATTR_LOCAL_PREF } };
	struct played_world w;
	struct played *in, *out, *ebgp;

	(void)state;
	played_begin(&w);
	w.global.normal_priority[BGP_AF_IPV4_UNICAST] = 1024;
	w.global.cluster_id = 1;
	in = played_add(&w, 64512);
	out = played_add(&w, 64512);
	ebgp = played_add(&w, 65001);
	in->config->rr_client = true;
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_settle(&w);
	assert_int_equal(out->last.local_pref, 2147482623);
	assert_false(ebgp->last.present >> BGP_ATTR_LOCAL_PREF & 1);
	d.v.local_pref = 2147482623;
	played_announce_as(&w, in, "10.9.0.1/32", &d);
	assert_int_equal(out->announced, 1);
	d.v.local_pref = 2147483647 - 512;
	played_announce_as(&w, in, "10.9.0.1/32", &d);
	assert_int_equal(out->announced, 2);
	assert_int_equal(out->last.local_pref, 2147483647 - 512);
	/* that of IPv6 is another one */
	w.global.normal_priority[BGP_AF_IPV6_UNICAST] = 7;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	assert_int_equal(out->announced, 2);
	w.global.normal_priority[BGP_AF_IPV4_UNICAST] = 0;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	assert_int_equal(out->withdrawn, 1);
	assert_int_equal(out->last.local_pref, 100);
	assert_int_equal(played_status(&w, out).flaps, 0);
	played_end(&w);
}

static void priority_of_ipv6(void **state)
{
	struct prefix block = make_prefix("fd00:9::/122");
	struct played_world w;
	struct played *p;

	(void)state;
	played_begin(&w);
	w.global.normal_priority[BGP_AF_IPV4_UNICAST] = 1024;
	w.global.normal_priority[BGP_AF_IPV6_UNICAST] = 7;
	p = played_add(&w, 64512);
	p->caps.families = 1u << BGP_AF_IPV6_UNICAST;
	p->config->families = 1u << BGP_AF_IPV6_UNICAST;
	played_start(&w);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_settle(&w);
	assert_int_equal(p->announced, 1);
	assert_int_equal(p->last.local_pref, 2147483647 - 7);
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field),
		cmocka_unit_test(operations_in_order),
		cmocka_unit_test(export_rules_take_effect_at_once),
		cmocka_unit_test(import_rules_ask_the_peer_again),
		cmocka_unit_test(who_cannot_say_it_again_is_reset),
		cmocka_unit_test(communities_by_prefix),
		cmocka_unit_test(priorities),
		cmocka_unit_test(priority_of_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
