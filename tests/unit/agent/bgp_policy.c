/* bgp_policy.c - BGPFilters, communities and priorities as the speaker gets them, field by field */
#include "box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_policy.h"
#include "agent/cache.h"
#include "agent/log.h"
#include "bgp/speaker.h"

#define V3 "/calico/resources/v3/projectcalico.org/"

static void put(struct box *b, const char *plural, const char *kind, const char *name,
		const char *spec)
{
	CLEANUP(freep) char *key = xasprintf(V3 "%s/%s", plural, name);
	CLEANUP(freep)
	char *value = xasprintf("{\"kind\":\"%s\",\"apiVersion\":"
				"\"projectcalico.org/v3\",\"metadata\":{\"name\":"
				"\"%s\"},\"spec\":{%s}}",
				kind, name, spec);

	box_put(b, key, value);
}

static void on_change(void *arg, const struct store_kv *kv)
{
	*(bool *)arg = *(bool *)arg || !kv;
}

static void read_all(struct box *b, struct bgp_policy_set *out, struct str *remarks)
{
	bool synced = false;
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &synced);
	box_run(b, &synced);
	bgp_policy_read(c, "n1", out, remarks);
	cache_free(c);
}

/* A rule as text: only what it says. */
static char *show(const struct bgp_rule *r)
{
	static const char *const match[] = { "", " equal", " not-equal", " in", " not-in" };
	char p[PREFIX_STR_MAX];
	struct str s = { 0 };

	str_addf(&s, "%s#%u %s", r->filter, r->number, r->accept ? "accept" : "reject");
	if (r->match)
		str_addf(&s, "%s %s", match[r->match], prefix_format(&r->cidr, p));
	if (r->has_length)
		str_addf(&s, " %u-%u", r->min_length, r->max_length);
	if (r->remote_peers)
		str_add(&s, " remote");
	if (r->interface[0])
		str_addf(&s, " if %s", r->interface);
	if (r->only_ebgp || r->only_ibgp)
		str_add(&s, r->only_ebgp ? " ebgp" : " ibgp");
	for (unsigned i = 0; i < r->n_community; i++)
		str_addf(&s, " c%x", r->community[i]);
	for (unsigned i = 0; i < r->n_path; i++)
		str_addf(&s, " as%u", r->path[i]);
	if (r->has_priority)
		str_addf(&s, " prio %u", r->priority);
	for (unsigned i = 0; i < r->n_ops; i++) {
		const struct bgp_rule_op *op = &r->op[i];
		unsigned n = op->type == BGP_OP_PREPEND	    ? op->n
			     : op->type == BGP_OP_ADD_LARGE ? 3
							    : 1;

		str_addf(&s, " op%u", (unsigned)op->type);
		for (unsigned k = 0; k < n; k++)
			str_addf(&s, ":%x", op->value[k]);
	}
	return str_take(&s);
}

#define A    "\"action\":\"Accept\""
#define R    "\"action\":\"Reject\""
#define WALL "f#0 reject"

/* One rule in a list; want: as the speaker gets it; remark: what status says of it. */
static const struct {
	const char *list, *rule, *want, *remark;
} fields[] = {
	{ "exportV4", A, "f#1 accept", "" },
	{ "exportV4", R, "f#1 reject", "" },
	{ "exportV4", A ",\"cidr\":\"10.1.0.0/16\",\"matchOperator\":\"Equal\"",
	  "f#1 accept equal 10.1.0.0/16", "" },
	{ "exportV4", A ",\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"NotEqual\"",
	  "f#1 accept not-equal 10.0.0.0/8", "" },
	{ "importV4", R ",\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"NotIn\"",
	  "f#1 reject not-in 10.0.0.0/8", "" },
	{ "importV6", R ",\"cidr\":\"fd00::/8\",\"matchOperator\":\"In\"", "f#1 reject in fd00::/8",
	  "" },
	{ "exportV4",
	  A ",\"cidr\":\"10.0.0.0/"
	    "8\",\"matchOperator\":\"In\",\"prefixLength\":{\"min\":24,\"max\":26}",
	  "f#1 accept in 10.0.0.0/8 24-26", "" },
	{ "exportV4",
	  A ",\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"In\",\"prefixLength\":{\"max\":9}",
	  "f#1 accept in 10.0.0.0/8 8-9", "" },
	{ "exportV4",
	  A ",\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"In\",\"prefixLength\":{\"min\":3}",
	  "f#1 accept in 10.0.0.0/8 8-32", "" },
	{ "exportV6",
	  A ",\"cidr\":\"fd00::/8\",\"matchOperator\":\"In\",\"prefixLength\":{\"min\":64}",
	  "f#1 accept in fd00::/8 64-128", "" },
	{ "exportV4", A ",\"source\":\"RemotePeers\"", "f#1 accept remote", "" },
	{ "importV4", A ",\"source\":\"RemotePeers\"", "f#1 accept remote", "" },
	{ "exportV4", A ",\"interface\":\"eth*\"", "f#1 accept if eth*", "" },
	{ "exportV4", A ",\"peerType\":\"eBGP\"", "f#1 accept ebgp", "" },
	{ "exportV4", A ",\"peerType\":\"iBGP\"", "f#1 accept ibgp", "" },
	{ "importV4", A ",\"communities\":{\"values\":[\"64512:7\"]}", "f#1 accept cfc000007", "" },
	{ "importV4", A ",\"communities\":{\"values\":[\"64512:1:2\"]}", "f#1 accept cfc00 c1 c2",
	  "" },
	{ "importV4", A ",\"asPathPrefix\":[65001,65002]", "f#1 accept as65001 as65002", "" },
	{ "importV4", A ",\"priority\":512", "f#1 accept prio 512", "" },
	{ "exportV4",
	  A ",\"operations\":[{\"addCommunity\":{\"value\":\"64512:9\"}},"
	    "{\"addCommunity\":{\"value\":\"1:2:3\"}},"
	    "{\"prependASPath\":{\"prefix\":[10,11]}},{\"setPriority\":{\"value\":512}}]",
	  "f#1 accept op0:fc000009 op1:1:2:3 op2:a:b op3:200", "" },
	/* what cannot be read lets nothing through, and is named */
	{ "exportV4", A ",\"communities\":{\"values\":[\"blue\"]}", WALL, "communities.values" },
	{ "exportV4", A ",\"communities\":{\"values\":[\"1:1\",\"1:2\"]}", WALL,
	  "communities.values" },
	{ "exportV4", A ",\"asPathPrefix\":[]", WALL, "asPathPrefix" },
	{ "exportV4", A ",\"asPathPrefix\":7", WALL, "asPathPrefix" },
	{ "exportV4", A ",\"cidr\":\"10.0.0.0/8\"", WALL, "matchOperator" },
	{ "exportV4", A ",\"matchOperator\":\"In\"", WALL, "cidr" },
	{ "exportV4", A ",\"cidr\":\"10.0.0/99\",\"matchOperator\":\"In\"", WALL, "cidr" },
	{ "exportV4", A ",\"cidr\":\"10.1.2.3/16\",\"matchOperator\":\"In\"", WALL, "cidr" },
	{ "exportV4", A ",\"interface\":\"a-name-that-is-too-long\"", WALL, "interface" },
	{ "exportV4", A ",\"operations\":[{\"paintBlue\":{}}]", WALL, "operations" },
	{ "exportV4", R ",\"operations\":[{\"setPriority\":{\"value\":5}}]", WALL, "operations" },
	{ "exportV4", A ",\"prefixLength\":{\"min\":9}", WALL, "prefixLength" },
	{ "exportV4", "\"action\":\"Perhaps\"", WALL, "action" },
	{ "exportV4", "\"peerType\":\"eBGP\"", WALL, "action" },
	{ "exportV4", A ",\"matchOperator\":\"Near\",\"cidr\":\"10.0.0.0/8\"", WALL,
	  "matchOperator" },
};

static const struct {
	const char *name;
	enum bgp_direction dir;
	enum bgp_af af;
} lists[] = {
	{ "exportV4", BGP_EXPORT, BGP_AF_IPV4_UNICAST },
	{ "importV4", BGP_IMPORT, BGP_AF_IPV4_UNICAST },
	{ "exportV6", BGP_EXPORT, BGP_AF_IPV6_UNICAST },
	{ "importV6", BGP_IMPORT, BGP_AF_IPV6_UNICAST },
};

static void check_field(const struct bgp_policy_set *got, size_t i)
{
	bool wall = strcmp(fields[i].want, WALL) == 0;

	assert_int_equal(got->filters.n, 1);
	assert_string_equal(got->filters.p[0].name, "p");
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		const struct bgp_filter_set *set = &got->filters.p[0];
		bool here = wall || strcmp(lists[l].name, fields[i].list) == 0;
		CLEANUP(freep) char *text = NULL;

		assert_int_equal(set->n[lists[l].dir][lists[l].af], here);
		if (!here)
			continue;
		text = show(&set->rules[lists[l].dir][lists[l].af][0]);
		if (strcmp(text, fields[i].want) != 0)
			fail_msg("%s: want %s, got %s", fields[i].rule, fields[i].want, text);
	}
}

static void every_field_of_a_rule(void **state)
{
	struct box *b = *state;

	put(b, "bgppeers", "BGPPeer", "p",
	    "\"peerIP\":\"10.0.0.1\",\"asNumber\":65001,\"filters\":[\"f\"]");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		CLEANUP(freep)
		char *spec = xasprintf("\"%s\":[{%s}]", fields[i].list, fields[i].rule);
		struct bgp_policy_set got;
		struct str remarks = { 0 };

		put(b, "bgpfilters", "BGPFilter", "f", spec);
		read_all(b, &got, &remarks);
		check_field(&got, i);
		if (!strstr(str_text(&remarks), fields[i].remark) ||
		    (remarks.len != 0) != (fields[i].remark[0] != '\0') ||
		    (remarks.len && !strstr(str_text(&remarks), "bgpfilters/f")))
			fail_msg("%s: remarks %s", fields[i].rule, str_text(&remarks));
		str_done(&remarks);
		bgp_policy_set_done(&got);
	}
}

/* In the order of the BGPPeer, which skips names that are not there; a broken one is a wall at its
 * place and is said once, however many name it. */
static void order_of_filters(void **state)
{
	static const char *const want[] = { "two#1 accept", "broken#0 reject", "one#1 reject",
					    "one#2 accept" };
	struct box *b = *state;
	struct bgp_policy_set got;
	struct str remarks = { 0 };

	put(b, "bgppeers", "BGPPeer", "none", "\"peerIP\":\"10.0.0.1\",\"asNumber\":65001");
	put(b, "bgppeers", "BGPPeer", "p",
	    "\"peerIP\":\"10.0.0.2\",\"asNumber\":65001,"
	    "\"filters\":[\"two\",\"absent\",\"broken\",\"one\"]");
	put(b, "bgppeers", "BGPPeer", "q",
	    "\"peerIP\":\"10.0.0.3\",\"asNumber\":65001,\"filters\":[\"broken\"]");
	put(b, "bgpfilters", "BGPFilter", "one", "\"exportV4\":[{" R "},{" A "}]");
	put(b, "bgpfilters", "BGPFilter", "two", "\"exportV4\":[{" A "}]");
	box_put(b, V3 "bgpfilters/broken", "{");
	read_all(b, &got, &remarks);
	assert_int_equal(got.filters.n, 2);
	assert_int_equal(got.filters.p[0].n[BGP_EXPORT][BGP_AF_IPV4_UNICAST], ARRAY_SIZE(want));
	assert_int_equal(got.filters.p[0].n[BGP_IMPORT][BGP_AF_IPV6_UNICAST], 1);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		CLEANUP(freep)
		char *text = show(&got.filters.p[0].rules[BGP_EXPORT][BGP_AF_IPV4_UNICAST][i]);

		assert_string_equal(text, want[i]);
	}
	assert_non_null(strstr(str_text(&remarks), "bgpfilters/broken"));
	assert_ptr_equal(strchr(str_text(&remarks), '\n') + 1, str_text(&remarks) + remarks.len);
	str_done(&remarks);
	bgp_policy_set_done(&got);
}

/* Names and values, standard and large; a name that nobody gave is left out and said. node.NAME's list
 * with its names takes the place of the cluster's; a priority for each family. */
static void communities_and_priorities(void **state)
{
	struct box *b = *state;
	struct bgp_policy_set got;
	struct str remarks = { 0 };

	put(b, "bgpconfigurations", "BGPConfiguration", "default",
	    "\"communities\":[{\"name\":\"blue\",\"value\":\"64512:7\"},"
	    "{\"name\":\"big\",\"value\":\"64512:1:2\"}],"
	    "\"prefixAdvertisements\":[{\"cidr\":\"10.0.0.0/8\",\"communities\":"
	    "[\"blue\",\"big\",\"1:9\",\"red\"]},{\"cidr\":\"fd00::/"
	    "8\",\"communities\":[\"1:2:3\"]}],"
	    "\"ipv4NormalRoutePriority\":700,\"ipv6NormalRoutePriority\":800");
	read_all(b, &got, &remarks);
	assert_int_equal(got.filters.n, 0);
	assert_int_equal(got.adverts.n, 2);
	assert_int_equal(got.adverts.p[0].n_communities, 2);
	assert_int_equal(got.adverts.p[0].communities[0], 64512u << 16 | 7);
	assert_int_equal(got.adverts.p[0].communities[1], 1u << 16 | 9);
	assert_int_equal(got.adverts.p[0].n_large, 1);
	assert_int_equal(got.adverts.p[0].large[2], 2);
	assert_int_equal(got.adverts.p[1].n_large, 1);
	assert_int_equal(got.normal_priority[BGP_AF_IPV4_UNICAST], 700);
	assert_int_equal(got.normal_priority[BGP_AF_IPV6_UNICAST], 800);
	assert_non_null(strstr(str_text(&remarks), "red"));
	bgp_policy_set_done(&got);
	str_done(&remarks);

	put(b, "bgpconfigurations", "BGPConfiguration", "node.n1",
	    "\"communities\":[{\"name\":\"blue\",\"value\":\"64512:8\"}],"
	    "\"prefixAdvertisements\":[{\"cidr\":\"10.9.0.0/16\",\"communities\":[\"blue\"]}]");
	put(b, "bgpconfigurations", "BGPConfiguration", "node.n2",
	    "\"prefixAdvertisements\":[{\"cidr\":\"10.9.0.0/16\",\"communities\":[\"1:1\"]}]");
	remarks = (struct str) { 0 };
	read_all(b, &got, &remarks);
	assert_int_equal(got.adverts.n, 1);
	assert_int_equal(got.adverts.p[0].n_communities, 1);
	assert_int_equal(got.adverts.p[0].communities[0], 64512u << 16 | 8);
	assert_int_equal(got.normal_priority[BGP_AF_IPV6_UNICAST], 800);
	assert_int_equal(remarks.len, 0);
	bgp_policy_set_done(&got);
	str_done(&remarks);
}

static void nothing_stored(void **state)
{
	struct bgp_policy_set got;
	struct str remarks = { 0 };

	read_all(*state, &got, &remarks);
	assert_int_equal(got.filters.n + got.adverts.n + remarks.len, 0);
	assert_int_equal(got.normal_priority[BGP_AF_IPV4_UNICAST], 1024);
	bgp_policy_set_done(&got);
	str_done(&remarks);
}

int main(void)
{
#define BOX(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		BOX(every_field_of_a_rule),
		BOX(order_of_filters),
		BOX(communities_and_priorities),
		BOX(nothing_stored),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
