/* services.c - services, endpoints and configuration in, announced prefixes out */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/services.h"
#include "bgp/speaker.h"
#include "lib/str.h"
#include "model/endpointslice.h"
#include "model/kind.h"
#include "model/object.h"
#include "model/service.h"
#include "tests/unit/parse.h"

/* ---- words to objects ---- */

static struct object make(const char *kind, const char *spec, const char *status)
{
	struct object o = object_new(kind_find(kind), "default", "x");
	struct err e = { 0 };

	json_object_set_new(o.json, "spec", parse(spec));
	if (status)
		json_object_set_new(o.json, "status", parse(status));
	if (object_check(&o, &e) < 0)
		fail_msg("%s: %s", spec, e.msg);
	return o;
}

static void put(struct services *s, const char *key, const char *spec, const char *status)
{
	struct object o = make("Service", spec, status);
	struct service_status st;
	struct service svc;

	assert_int_equal(service_decode(&o, &svc, &st, NULL), 0);
	services_put(s, key, &svc, &st);
	service_done(&svc, &st);
	object_done(&o);
}

static void put_slice(struct services *s, const char *key, const char *service, const char *spec)
{
	struct object o = make("EndpointSlice", spec, NULL);
	struct endpointslice slice;

	assert_int_equal(object_spec(&o, FIELDS_LENIENT, &slice, NULL), 0);
	services_put_slice(s, key, service, &slice);
	fields_done(&endpointslice_fields, &slice);
	object_done(&o);
}

/* "10.96.0.0/12,fd00::/112" */
static void read_ranges(const char *text, void *vec)
{
	VEC(struct prefix) *out = vec;

	while (text && *text) {
		CLEANUP(freep) char *one = xstrndup(text, strcspn(text, ","));
		struct prefix p;

		if (!prefix_parse_or_addr(one, &p))
			fail_msg("%s", one);
		vec_push(out, p);
		text += strlen(one) + (text[strlen(one)] == ',');
	}
}

static struct service_ranges ranges(const char *cluster, const char *external, const char *balancer,
				    bool apart)
{
	struct service_ranges r = { .apart = apart };

	read_ranges(cluster, &r.cluster);
	read_ranges(external, &r.external);
	read_ranges(balancer, &r.balancer);
	return r;
}

/* Prefixes with a blank between them. */
static char *announced(const struct services *s, const struct service_ranges *r, bool excluded)
{
	struct services_out out;
	struct str text = { 0 };

	services_announced(s, r, excluded, &out);
	for (size_t i = 0; i < out.route.n; i++) {
		char p[PREFIX_STR_MAX];

		assert_true(out.route.p[i].why[0] != '\0');
		str_addf(&text, "%s%s", i ? " " : "", prefix_format(&out.route.p[i].prefix, p));
	}
	services_out_done(&out);
	return str_take(&text);
}

static void check(const struct services *s, const struct service_ranges *r, const char *what,
		  const char *want)
{
	CLEANUP(freep) char *is = announced(s, r, false);

	if (strcmp(is ? is : "", want) != 0)
		fail_msg("%s: announced \"%s\", must be \"%s\"", what, is, want);
}

/* ---- the rules ---- */

#define C	"10.96.0.0/12"
#define E	"203.0.113.0/24"
#define L	"198.51.100.0/24"
#define IP	"\"clusterIP\":\"10.96.0.7\""
#define EXT	"\"externalIPs\":[\"203.0.113.9\",\"192.0.2.9\"]"
#define LB	"\"type\":\"LoadBalancer\""
#define LOCAL	"\"externalTrafficPolicy\":\"Local\""
#define CLUSTER "\"externalTrafficPolicy\":\"Cluster\""
#define INGRESS                                                                                    \
	"{\"loadBalancer\":{\"ingress\":[{\"ip\":\"198.51.100.5\"},{\"hostname\":\"x.example\"},{" \
	"\"ip\":\"192.0.2.5\"}]}}"
#define HERE "{\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"n1\"}]}"
#define THERE                                                                                \
	"{\"endpoints\":[{\"addresses\":[\"10.0.0.2\"],\"nodeName\":\"n2\",\"conditions\":{" \
	"\"ready\":true}}]}"
#define NOT_READY                                                                            \
	"{\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"n1\",\"conditions\":{" \
	"\"ready\":false}}]}"
#define HERE6                                                                                 \
	"{\"addressType\":\"IPv6\",\"endpoints\":[{\"addresses\":[\"fd00::1\"],\"nodeName\":" \
	"\"n1\"}]}"
#define NOWHERE "{\"endpoints\":[{\"addresses\":[\"10.0.0.1\"]}]}"
#define NAMED                                                                                   \
	"{\"addressType\":\"FQDN\",\"endpoints\":[{\"addresses\":[\"a.example\"],\"nodeName\":" \
	"\"n1\"}]}"
#define NULLS                                                                                \
	"{\"endpoints\":[{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"n1\",\"conditions\":{" \
	"\"ready\":null}}]}"

static const struct {
	const char *what;
	const char *cluster, *external, *balancer;
	bool apart;
	const char *service, *status, *slice;
	const char *want;
} rules[] = {
	{ "nothing is asked for", "", "", "", false, "{" IP "," LOCAL "," EXT "}", INGRESS, HERE,
	  "" },
	{ "ranges whole", C ",fd00:96::/108", E, L, false, NULL, NULL, NULL,
	  C " " L " " E " fd00:96::/108" },
	{ "a single cluster address is a range", "10.96.0.7/32", "", "", false, NULL, NULL, NULL,
	  "10.96.0.7/32" },
	{ "single entries of the others are not", "", "203.0.113.9", "198.51.100.5/32,fd00::5",
	  false, NULL, NULL, NULL, "" },
	{ "Cluster: the range is enough", C, E, L, false, "{" IP "," LB "," CLUSTER "," EXT "}",
	  INGRESS, HERE, C " " L " " E },
	{ "Local, ready here", C, "", "", false, "{" IP "," LOCAL "}", NULL, HERE,
	  C " 10.96.0.7/32" },
	{ "ready: null is ready", C, "", "", false, "{" IP "," LOCAL "}", NULL, NULLS,
	  C " 10.96.0.7/32" },
	{ "Local, ready elsewhere", C, "", "", false, "{" IP "," LOCAL "}", NULL, THERE, C },
	{ "Local, not ready", C, "", "", false, "{" IP "," LOCAL "}", NULL, NOT_READY, C },
	{ "Local, nobody says where", C, "", "", false, "{" IP "," LOCAL "}", NULL, NOWHERE, C },
	{ "Local, no slice", C, "", "", false, "{" IP "," LOCAL "}", NULL, NULL, C },
	{ "Local, names only", C, "", "", false, "{" IP "," LOCAL "}", NULL, NAMED, C },
	{ "no policy of a cluster service", C, "", "", false, "{" IP "}", NULL, HERE, C },
	{ "all that is allowed", C, E, L, false, "{" IP "," LB "," LOCAL "," EXT "}", INGRESS, HERE,
	  C " 10.96.0.7/32 " L " 198.51.100.5/32 " E " 203.0.113.9/32" },
	{ "cluster addresses are not asked for", "", E, "", false, "{" IP "," LOCAL "," EXT "}",
	  NULL, HERE, E " 203.0.113.9/32" },
	{ "a cluster address outside of the ranges goes too", "10.64.0.0/16", "", "", false,
	  "{" IP "," LOCAL "}", NULL, HERE, "10.64.0.0/16 10.96.0.7/32" },
	{ "headless", C, E, L, false, "{\"clusterIP\":\"None\"," LOCAL "," EXT "}", INGRESS, HERE,
	  C " " L " " E },
	{ "no cluster address yet", C, E, "", false, "{" LOCAL "," EXT "}", NULL, HERE, C " " E },
	{ "an empty one", C, E, "", false, "{\"clusterIP\":\"\"," LOCAL "," EXT "}", NULL, HERE,
	  C " " E },
	{ "clusterIPs alone", C, "", "", false, "{\"clusterIPs\":[\"10.96.0.7\"]," LOCAL "}", NULL,
	  HERE, C " 10.96.0.7/32" },
	{ "headless by clusterIPs", C, "", "", false, "{\"clusterIPs\":[\"None\"]," LOCAL "}", NULL,
	  HERE, C },
	{ "ExternalName", C, E, "", false,
	  "{\"type\":\"ExternalName\",\"externalName\":\"x\"," IP "," LOCAL "," EXT "}", NULL, HERE,
	  C " " E },
	{ "NodePort", C, "", "", false, "{\"type\":\"NodePort\"," IP "," LOCAL "}", NULL, HERE,
	  C " 10.96.0.7/32" },
	/* both families, each by its own endpoints */
	{ "two families, one with endpoints", C ",fd00:96::/108", "", "", false,
	  "{\"clusterIPs\":[\"10.96.0.7\",\"fd00:96::7\"]," LOCAL "}", NULL, HERE6,
	  C " fd00:96::/108 fd00:96::7/128" },
	{ "IPv6 alone", "fd00:96::/108", "", "", false, "{\"clusterIP\":\"fd00:96::7\"," LOCAL "}",
	  NULL, HERE6, "fd00:96::/108 fd00:96::7/128" },
	/* entries of one address: from all nodes, endpoints or not */
	{ "Cluster, single external entry", "", "203.0.113.9/32", "", false,
	  "{" IP "," CLUSTER "," EXT "}", NULL, NULL, "203.0.113.9/32" },
	{ "the policy is Cluster when nobody says", "", "203.0.113.9", "", false,
	  "{" IP "," EXT "}", NULL, NULL, "203.0.113.9/32" },
	{ "beside the range around it", "", E ",203.0.113.9", "", false, "{" IP "," EXT "}", NULL,
	  NULL, E " 203.0.113.9/32" },
	{ "with all of its addresses", C, "203.0.113.9", L, false, "{" IP "," LB "," EXT "}",
	  INGRESS, NULL, C " 10.96.0.7/32 " L " 198.51.100.5/32 203.0.113.9/32" },
	{ "Cluster, single balancer entry", "", "", "198.51.100.5", false, "{" IP "," LB "}",
	  INGRESS, NULL, "198.51.100.5/32" },
	{ "only of a LoadBalancer", "", "", "198.51.100.5", false, "{" IP ",\"type\":\"NodePort\"}",
	  INGRESS, NULL, "" },
	{ "the one that is asked for counts", C, "", "198.51.100.9", false,
	  "{" IP "," LB ",\"loadBalancerIP\":\"198.51.100.9\"}", NULL, NULL, C " 10.96.0.7/32" },
	{ "another single entry", "", "203.0.113.8", "", false, "{" IP "," EXT "}", NULL, NULL,
	  "" },
	{ "Local, single entry, not here", "", "203.0.113.9", "", false,
	  "{" IP "," LOCAL "," EXT "}", NULL, THERE, "" },
	{ "Local, single entry, here", "", "203.0.113.9", "", false, "{" IP "," LOCAL "," EXT "}",
	  NULL, HERE, "203.0.113.9/32" },
	/* serviceLoadBalancerAggregation: Disabled */
	{ "apart: no range", C, E, L, true, NULL, NULL, NULL, C " " E },
	{ "apart: Cluster with an endpoint", "", "", L, true, "{" IP "," LB "," CLUSTER "}",
	  INGRESS, THERE, "198.51.100.5/32" },
	{ "apart: none ready", "", "", L, true, "{" IP "," LB "," CLUSTER "}", INGRESS, NOT_READY,
	  "" },
	{ "apart: no endpoint", "", "", L, true, "{" IP "," LB "}", INGRESS, NULL, "" },
	{ "apart: its other addresses too", C, E, L, true, "{" IP "," LB "," EXT "}", INGRESS,
	  THERE, C " 10.96.0.7/32 198.51.100.5/32 " E " 203.0.113.9/32" },
	{ "apart: Local stays local", "", "", L, true, "{" IP "," LB "," LOCAL "}", INGRESS, THERE,
	  "" },
	{ "apart: Local, here", "", "", L, true, "{" IP "," LB "," LOCAL "}", INGRESS, HERE,
	  "198.51.100.5/32" },
	{ "apart: a service without a policy", C, "", L, true, "{" IP "}", NULL, THERE, C },
};

static void every_rule(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct services *s = services_new("n1");
		struct service_ranges r = ranges(rules[i].cluster, rules[i].external,
						 rules[i].balancer, rules[i].apart);
		CLEANUP(freep) char *none = NULL;

		if (rules[i].slice)
			put_slice(s, "default/web-1", "default/web", rules[i].slice);
		if (rules[i].service)
			put(s, "default/web", rules[i].service, rules[i].status);
		check(s, &r, rules[i].what, rules[i].want);
		none = announced(s, &r, true);
		if (none && *none)
			fail_msg("%s: announced though excluded: %s", rules[i].what, none);
		services_free(s);
		service_ranges_done(&r);
	}
}

static void endpoints_come_and_go(void **state)
{
	struct services *s = services_new("n1");
	struct service_ranges r = ranges(C, "", "", false);

	put(s, "default/web", "{" IP "," LOCAL "}", NULL);
	put_slice(s, "default/a", "default/web", THERE);
	check(s, &r, "elsewhere", C);
	put_slice(s, "default/b", "default/web", HERE);
	check(s, &r, "a second slice", C " 10.96.0.7/32");
	put_slice(s, "default/a", "default/web", HERE);
	services_drop_slice(s, "default/b");
	check(s, &r, "moved here", C " 10.96.0.7/32");
	services_drop_slice(s, "default/a");
	check(s, &r, "the last slice is deleted", C);
	services_drop_slice(s, "default/a");
	put_slice(s, "default/a", "default/web", HERE);
	put_slice(s, "default/a", "default/other", HERE);
	check(s, &r, "the slice is another service's", C);
	put_slice(s, "default/a", "default/web", HERE);
	put_slice(s, "default/a", "default/web", NAMED);
	check(s, &r, "names in place of addresses", C);
	put_slice(s, "other/a", "other/web", HERE);
	check(s, &r, "of another namespace", C);
	put_slice(s, "default/a", "default/web", HERE);
	services_drop(s, "default/web");
	check(s, &r, "the service is deleted", C);
	services_drop(s, "default/web");
	put(s, "default/web", "{" IP "," LOCAL "}", NULL);
	check(s, &r, "and there again", C " 10.96.0.7/32");
	put(s, "default/web", "{\"clusterIP\":\"10.96.0.8\"," LOCAL "}", NULL);
	check(s, &r, "with another address", C " 10.96.0.8/32");
	put(s, "default/web", "{\"clusterIP\":\"None\"," LOCAL "}", NULL);
	check(s, &r, "with none", C);
	services_free(s);
	service_ranges_done(&r);
}

static void why_not(void **state)
{
	static const struct {
		const char *addr, *cluster, *external, *balancer;
		bool apart, excluded;
		const char *service, *slice, *want;
	} rows[] = {
		{ "10.96.0.7", C, "", "", false, false, "{" IP "," LOCAL "}", THERE,
		  "service default/web: externalTrafficPolicy Local, no ready endpoint here" },
		{ "10.96.0.7", C, "", "", false, false, "{" IP "," LOCAL "}", NULL,
		  "no ready endpoint here" },
		{ "10.96.0.7", C, "", "", false, false, "{" IP "," LOCAL "}", HERE, NULL },
		{ "10.96.0.7", C, "", "", false, true, "{" IP "," LOCAL "}", HERE, "excludes it" },
		{ "10.96.0.7", "", E, "", false, false, "{" IP "," LOCAL "}", HERE,
		  "no serviceClusterIPs are asked for" },
		{ "10.96.0.7", C, "", "", false, false, "{" IP "}", HERE,
		  "no externalTrafficPolicy" },
		{ "10.96.0.7", C, "", "", false, false, "{" IP "," CLUSTER "}", HERE,
		  "its range alone is announced" },
		{ "10.96.0.7", C, "", "", true, false, "{" IP "," CLUSTER "}", NULL,
		  "no ready endpoint anywhere" },
		{ "10.96.0.7", C, "", "", true, false, "{" IP "," CLUSTER "}", THERE, NULL },
		{ "192.0.2.9", "", E, "", false, false, "{" IP "," LOCAL "," EXT "}", HERE,
		  "outside of serviceExternalIPs" },
		{ "203.0.113.9", "", "203.0.113.9", "", false, false, "{" IP "," EXT "}", NULL,
		  NULL },
		{ "10.96.0.8", C, "", "", false, false, "{" IP "," LOCAL "}", THERE, NULL },
		{ "10.96.0.0/12", C, "", "", false, false, "{" IP "," LOCAL "}", THERE, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct services *s = services_new("n1");
		struct service_ranges r =
			ranges(rows[i].cluster, rows[i].external, rows[i].balancer, rows[i].apart);
		CLEANUP(freep) char *text = NULL;
		struct prefix p;

		assert_true(prefix_parse_or_addr(rows[i].addr, &p));
		put(s, "default/web", rows[i].service, INGRESS);
		if (rows[i].slice)
			put_slice(s, "default/a", "default/web", rows[i].slice);
		text = services_why_not(s, &r, rows[i].excluded, &p);
		if (!text != !rows[i].want || (text && !strstr(text, rows[i].want)))
			fail_msg("row %zu: \"%s\", must be \"%s\"", i, text, rows[i].want);
		services_free(s);
		service_ranges_done(&r);
	}
}

static bool news(struct services *s, const char *spec)
{
	struct object o = make("EndpointSlice", spec, NULL);
	struct endpointslice slice;
	bool out;

	assert_int_equal(object_spec(&o, FIELDS_LENIENT, &slice, NULL), 0);
	out = services_put_slice(s, "default/a", "default/web", &slice);
	fields_done(&endpointslice_fields, &slice);
	object_done(&o);
	return out;
}

static void most_news_are_none(void **state)
{
	struct services *s = services_new("n1");

	assert_true(news(s, THERE));
	assert_false(news(s, THERE));
	assert_false(news(s, NOWHERE));
	assert_true(news(s, HERE));
	assert_true(news(s, NOT_READY));
	assert_false(news(s, NAMED));
	assert_true(news(s, HERE6));
	services_free(s);
}

static void two_share_an_address(void **state)
{
	struct services *s = services_new("n1");
	struct service_ranges r = ranges("", "203.0.113.9", "", false);
	struct services_out out;

	put(s, "default/b", "{" IP "," EXT "}", NULL);
	put(s, "default/a", "{\"clusterIP\":\"10.96.0.8\"," EXT "}", NULL);
	check(s, &r, "both", "203.0.113.9/32");
	services_announced(s, &r, false, &out);
	assert_string_equal(
		out.route.p[0].why,
		"service default/a, externalTrafficPolicy Cluster, an address of its own "
		"in serviceExternalIPs; and 1 more");
	services_out_done(&out);
	services_drop(s, "default/a");
	check(s, &r, "one of them", "203.0.113.9/32");
	services_drop(s, "default/b");
	check(s, &r, "none", "");
	services_free(s);
	service_ranges_done(&r);
}

static void reasons(void **state)
{
	struct services *s = services_new("n1");
	struct service_ranges r = ranges(C, "", "", false);
	struct services_out out;

	put(s, "default/web", "{" IP "," LOCAL "}", NULL);
	put_slice(s, "default/a", "default/web", HERE);
	services_announced(s, &r, false, &out);
	assert_string_equal(out.route.p[0].why, "serviceClusterIPs of BGPConfiguration default");
	assert_string_equal(out.route.p[1].why,
			    "service default/web, externalTrafficPolicy Local, a "
			    "ready endpoint here");
	services_out_done(&out);
	r.cluster_by = "somebody else";
	services_announced(s, &r, false, &out);
	assert_string_equal(out.route.p[0].why, "somebody else");
	services_out_done(&out);
	services_free(s);
	service_ranges_done(&r);
}

static void check_served(const struct services_out *out, const char *cidr, bool reflect,
			 bool no_kernel)
{
	for (size_t i = 0; i < out->range.n; i++) {
		char text[PREFIX_STR_MAX];

		if (strcmp(prefix_format(&out->range.p[i].cidr, text), cidr) != 0)
			continue;
		assert_int_equal(out->range.p[i].reflect, reflect);
		assert_int_equal(out->range.p[i].no_kernel, no_kernel);
		return;
	}
	fail_msg("%s is not there", cidr);
}

/* On excluded nodes, too. */
static void what_is_served(void **state)
{
	struct services *s = services_new("n1");
	struct service_ranges r = ranges(C, E ",203.0.113.9", L ",192.0.2.1", false);
	struct services_out out;

	services_announced(s, &r, true, &out);
	assert_int_equal(out.route.n, 0);
	assert_int_equal(out.range.n, 5);
	check_served(&out, C, false, true);
	check_served(&out, E, true, true);
	check_served(&out, "203.0.113.9/32", true, false);
	check_served(&out, L, true, true);
	check_served(&out, "192.0.2.1/32", true, false);
	services_out_done(&out);
	r.apart = true;
	services_announced(s, &r, false, &out);
	check_served(&out, L, true, false);
	services_out_done(&out);
	services_free(s);
	service_ranges_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_rule),
		cmocka_unit_test(endpoints_come_and_go),
		cmocka_unit_test(most_news_are_none),
		cmocka_unit_test(two_share_an_address),
		cmocka_unit_test(reasons),
		cmocka_unit_test(why_not),
		cmocka_unit_test(what_is_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
