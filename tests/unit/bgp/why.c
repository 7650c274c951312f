/* why.c - why a prefix is told to a peer, or is not: every answer */
#include "bgp/why.h"

#include "bgp/bgpfilter.h"
#include "bgp/decide.h"
#include "played.h"

static struct played_world w;

static size_t index_of(const struct played *p)
{
	struct bgp_peer_status s;

	for (size_t i = 0; bgp_speaker_peer_status(w.sp, i, &s); i++) {
		if (addr_eq(&s.config->addr, &p->addr))
			return i;
	}
	fail_msg("no such peer");
	return 0;
}

/* Ask, and check the machine's word; what the steps end with must say the same. */
static struct bgp_why ask(const struct played *to, const char *prefix, enum bgp_why_verdict verdict,
			  const char *rule)
{
	struct prefix p = make_prefix(prefix);
	struct bgp_why why;

	assert_true(bgp_speaker_why(w.sp, &p, index_of(to), &why));
	if (why.verdict != verdict || !why.rule || strcmp(why.rule, rule) != 0)
		fail_msg("%s: %s (%s): %s; must be %s (%s)", prefix,
			 bgp_why_verdict_name(why.verdict), why.rule ? why.rule : "-", why.text,
			 bgp_why_verdict_name(verdict), rule);
	assert_true(why.steps.n > 0);
	assert_true(why.text[0] != '\0');
	return why;
}

static void expect(const struct played *to, const char *prefix, enum bgp_why_verdict verdict,
		   const char *rule, const char *text)
{
	struct bgp_why why = ask(to, prefix, verdict, rule);

	if (text && !strstr(why.text, text))
		fail_msg("%s: \"%s\" must say \"%s\"", prefix, why.text, text);
	bgp_why_done(&why);
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

static void the_rules(void **state)
{
	struct bgp_pool pools[] = { { .cidr = make_prefix("10.0.0.0/8") },
				    { .cidr = make_prefix("10.8.0.0/16"),
				      .disable_export = true } };
	struct prefix blocks[] = { make_prefix("10.9.0.0/26") };
	struct played *from, *to, *ibgp, *ibgp2, *own;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	ibgp = played_add(&w, 64512);
	ibgp2 = played_add(&w, 64512);
	own = played_add(&w, 65005);
	own->config->own_only = true;
	played_start(&w);
	bgp_speaker_set_pools(w.sp, pools, 2, w.now);
	bgp_speaker_set_blocks(w.sp, blocks, 1, w.now);
	played_announce(&w, from, "10.1.0.0/24");
	played_announce(&w, from, "10.8.1.0/24");
	played_announce(&w, from, "10.9.0.5/32");
	played_announce(&w, from, "192.0.2.0/24");
	played_announce(&w, ibgp, "10.2.0.0/24");
	announce_with(from, "10.3.0.0/24", BGP_COMMUNITY_NO_EXPORT);
	announce_with(from, "10.4.0.0/24", BGP_COMMUNITY_NO_ADVERTISE);
	announce_with(from, "10.5.0.0/24", BGP_COMMUNITY_LLGR_STALE);
	expect(to, "10.9.0.0/26", BGP_WHY_TOLD, "own-block", "a block of this node");
	expect(to, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool", "10.0.0.0/8");
	expect(to, "10.2.0.0/24", BGP_WHY_TOLD, "in-pool", NULL);
	expect(ibgp, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool", NULL);
	expect(from, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "to-sender", NULL);
	expect(to, "10.8.1.0/24", BGP_WHY_NOT_TOLD, "export-disabled", "10.8.0.0/16");
	expect(to, "10.9.0.5/32", BGP_WHY_NOT_TOLD, "inside-own-block", "10.9.0.0/26");
	expect(to, "192.0.2.0/24", BGP_WHY_NOT_TOLD, "outside-pools", NULL);
	expect(to, "10.3.0.0/24", BGP_WHY_NOT_TOLD, "no-export", NULL);
	expect(ibgp, "10.3.0.0/24", BGP_WHY_TOLD, "in-pool", NULL);
	expect(to, "10.4.0.0/24", BGP_WHY_NOT_TOLD, "no-advertise", NULL);
	expect(to, "10.5.0.0/24", BGP_WHY_NOT_TOLD, "llgr-unaware", NULL);
	expect(ibgp2, "10.2.0.0/24", BGP_WHY_NOT_TOLD, "not-reflected", NULL);
	expect(own, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "not-own", NULL);
	expect(own, "10.9.0.0/26", BGP_WHY_TOLD, "own-block", NULL);
	assert_int_equal(own->announced, 1);
	expect(to, "10.7.0.0/24", BGP_WHY_NOT_TOLD, "no-path", "10.7.0.0/24");
	expect(to, "10.1.0.7/32", BGP_WHY_NOT_TOLD, "no-path",
	       "the nearest around it is 10.1.0.0/24");
	expect(to, "fd00::/64", BGP_WHY_NOT_TOLD, "family", "ipv6");
	w.global.muted = true;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	expect(to, "10.9.0.0/26", BGP_WHY_WAITS, "muted", "drained");
	played_settle(&w);
	expect(to, "10.9.0.0/26", BGP_WHY_NOT_TOLD, "muted", NULL);
	expect(to, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "muted", NULL);
	assert_int_equal(own->withdrawn, 1);
	w.global.muted = false;
	bgp_speaker_set_global(w.sp, &w.global, w.now);
	played_settle(&w);
	expect(to, "10.9.0.0/26", BGP_WHY_TOLD, "own-block", NULL);
	bgp_speaker_closed(w.sp, to->conn, "cut", w.now);
	played_settle(&w);
	to->conn = 0;
	expect(to, "10.9.0.0/26", BGP_WHY_NOT_TOLD, "session", "not up");
	played_end(&w);
}

static void the_filters(void **state)
{
	struct bgp_rule rules[3];
	struct bgp_filter_set set = { .name = "tor" };
	struct prefix block = make_prefix("10.9.0.0/26");
	struct played *from, *to;
	struct bgp_why why;

	(void)state;
	memset(rules, 0, sizeof(rules));
	for (unsigned i = 0; i < 3; i++) {
		str_copy(rules[i].filter, sizeof(rules[i].filter), i ? "second" : "first");
		rules[i].number = (uint16_t)(i ? i : 1);
		rules[i].match = BGP_CIDR_IN;
		rules[i].cidr = make_prefix(i == 0   ? "10.1.0.0/16"
					    : i == 1 ? "10.2.0.0/16"
						     : "198.51.100.0/24");
		rules[i].accept = i != 1;
	}
	rules[2].n_ops = 1;
	rules[2].op[0].type = BGP_OP_ADD_COMMUNITY;
	rules[2].op[0].value[0] = 0xfc000007;
	set.rules[BGP_EXPORT][0] = rules;
	set.n[BGP_EXPORT][0] = 3;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	str_copy(to->config->filters, sizeof(to->config->filters), "tor");
	played_start(&w);
	bgp_speaker_set_filters(w.sp, &set, 1, w.now);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	played_announce(&w, from, "10.1.1.0/24");
	played_announce(&w, from, "10.2.1.0/24");
	played_announce(&w, from, "198.51.100.0/24");
	expect(to, "10.1.1.0/24", BGP_WHY_TOLD, "filter-accepts",
	       "rule 1 of BGPFilter first accepts it");
	expect(to, "10.2.1.0/24", BGP_WHY_NOT_TOLD, "filter-rejects",
	       "rule 1 of BGPFilter second rejects it");
	expect(to, "10.9.0.0/26", BGP_WHY_TOLD, "own-block", NULL);
	why = ask(to, "198.51.100.0/24", BGP_WHY_TOLD, "filter-accepts");
	assert_string_equal(why.filter, "second");
	assert_int_equal(why.rule_number, 2);
	/* in what form it goes out: with the filter's community */
	assert_non_null(why.attrs);
	assert_int_equal(why.attrs->len[BGP_PART_COMMUNITIES], 4);
	bgp_why_done(&why);
	played_end(&w);
}

static struct bgp_resolution nowhere(void *arg, const struct addr *next_hop)
{
	(void)arg;
	(void)next_hop;
	return (struct bgp_resolution) { .reachable = false };
}

static void the_paths(void **state)
{
	struct played *a, *b, *to;
	struct bgp_why why;
	bool second = false;

	(void)state;
	played_begin(&w);
	a = played_add(&w, 65001);
	b = played_add(&w, 65002);
	to = played_add(&w, 65003);
	played_start(&w);
	played_announce(&w, a, "10.1.0.0/24");
	played_announce(&w, b, "10.1.0.0/24");
	why = ask(to, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool");
	vec_foreach (&why.steps, s)
		second |= strstr(s->answer, bgp_step_text(BGP_STEP_ROUTER_ID)) != NULL;
	assert_true(second);
	bgp_why_done(&why);
	/* the best came from a; b gets it, a has nothing of b's */
	expect(b, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool", NULL);
	expect(a, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "to-sender", NULL);
	bgp_speaker_set_resolver(w.sp, nowhere, NULL);
	/* not decided again yet: what will be done is not what was */
	expect(to, "10.1.0.0/24", BGP_WHY_WAITS, "next-hop-unreachable", "unreachable");
	played_settle(&w);
	expect(to, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "next-hop-unreachable", NULL);
	assert_false(bgp_speaker_why(w.sp, &(struct prefix) { 0 }, 0, &why));
	assert_false(bgp_speaker_why(w.sp, &w.fib.prefix, 99, &why));
	played_end(&w);
}

static void every_path(void **state)
{
	struct played *a, *b, *to;
	struct bgp_why why;
	unsigned of = 0;

	(void)state;
	played_begin(&w);
	a = played_add(&w, 65001);
	b = played_add(&w, 65002);
	to = played_add(&w, 65003);
	b->config->add_path = to->config->add_path = true;
	b->caps.add_path_rx = to->caps.add_path_rx = 1;
	played_start(&w);
	played_announce(&w, a, "10.1.0.0/24");
	played_announce(&w, b, "10.1.0.0/24");
	announce_with(b, "10.2.0.0/24", BGP_COMMUNITY_NO_EXPORT);
	why = ask(to, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool");
	vec_foreach (&why.steps, s)
		of += strncmp(s->question, "and of this path", 16) == 0;
	assert_int_equal(of, 2);
	bgp_why_done(&why);
	assert_int_equal(to->announced, 2);
	/* the best is its own? with ADD-PATH the other one counts */
	expect(b, "10.1.0.0/24", BGP_WHY_TOLD, "in-pool", NULL);
	expect(to, "10.2.0.0/24", BGP_WHY_NOT_TOLD, "no-export", NULL);
	bgp_speaker_closed(w.sp, a->conn, "cut", w.now);
	expect(b, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "to-sender", NULL);
	played_end(&w);
}

static void too_big(void **state)
{
	struct played *from, *to;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	from->config->extended_message = from->caps.extended_message = true;
	from->communities = 1500;
	played_start(&w);
	played_announce(&w, from, "10.1.0.0/24");
	expect(to, "10.1.0.0/24", BGP_WHY_NOT_TOLD, "too-big", "do not fit");
	assert_int_equal(to->announced, 0);
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rules), cmocka_unit_test(the_filters),
		cmocka_unit_test(the_paths), cmocka_unit_test(every_path),
		cmocka_unit_test(too_big),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
