/* policy_feed.c - stored objects reach the calculation, and what is wrong is named */
#include "agent/policy/policy_feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define K "/calico/resources/v3/projectcalico.org/"

struct world {
	struct calc *calc;
	struct policy_feed *feed;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	w->calc = calc_new("n1", 7);
	w->feed = policy_feed_new(w->calc);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	policy_feed_free(w->feed);
	calc_free(w->calc);
	free(w);
	return 0;
}

#define WEP(node, ip)                                                                           \
	"{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{" \
	"\"name\":\"" node                                                                      \
	"-k8s-a-eth0\",\"namespace\":\"x\"},\"spec\":{\"orchestrator\":\"k8s\","                \
	"\"node\":\"" node "\",\"pod\":\"a\",\"endpoint\":\"eth0\",\"ipNetworks\":[\"" ip       \
	"/32\"],"                                                                               \
	"\"profiles\":[\"kns.x\"],\"interfaceName\":\"cali1\"}}"
#define POLICY(action)                                                                       \
	"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{" \
	"\"name\":\"web\",\"namespace\":\"x\"},\"spec\":{\"selector\":\"all()\",\"types\":[" \
	"\"Ingress\"],\"ingress\":[{\"action\":\"" action "\"}]}}"

static void what_is_fed_counts_and_goes_by_its_key(void **state)
{
	struct world *w = *state;

	assert_true(policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0",
				     WEP("n1", "10.0.0.1")));
	assert_true(policy_feed_take(w->feed, K "workloadendpoints/x/n2-k8s-a-eth0",
				     WEP("n2", "10.0.0.2")));
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", POLICY("Allow")));
	assert_int_equal(calc_flush(w->calc)->endpoints.n, 1);
	assert_int_equal(calc_stats(w->calc).endpoints, 2);
	assert_int_equal(calc_stats(w->calc).active_policies, 1);
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", NULL));
	assert_true(policy_feed_take(w->feed, K "workloadendpoints/x/n2-k8s-a-eth0", NULL));
	calc_flush(w->calc);
	assert_int_equal(calc_stats(w->calc).endpoints, 1);
	assert_int_equal(calc_stats(w->calc).policies, 0);
}

#define RESOURCE(kind, ns, rest) \
	"{\"kind\":\"" kind      \
	"\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{\"name\":" ns rest
#define NETS(nets)                                           \
	RESOURCE("NetworkSet", "\"s\",\"namespace\":\"x\",", \
		 "\"labels\":{\"a\":\"b\"}},\"spec\":{\"nets\":" nets "}}")
#define TIER(order) \
	RESOURCE("Tier", "\"t\"}", ",\"spec\":{\"order\":" order ",\"defaultAction\":\"Pass\"}}")
#define SELECTS_NETS                                                                             \
	"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"     \
	"\"name\":\"web\",\"namespace\":\"x\"},\"spec\":{\"tier\":\"t\",\"selector\":\"all()\"," \
	"\"types\":["                                                                            \
	"\"Ingress\"],\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":\"a == "       \
	"'b'\"}}]}}"

/* A running agent and one that starts now do the same with what cannot be read. */
static void a_restart_makes_no_difference(void **state)
{
	static const struct {
		const char *key, *good, *bad, *says;
	} rows[] = {
		{ K "networksets/x/s", NETS("[\"10.0.0.0/8\",\"192.0.2.0/24\"]"),
		  NETS("[\"10.0.0.0/8\",\"192.0.2/24\"]"), "holds the 1 ranges" },
		{ K "networksets/x/s", NETS("[\"10.0.0.0/8\"]"), NETS("5"), "holds the 0 ranges" },
		{ K "networksets/x/s", NETS("[\"10.0.0.0/8\"]"), "{", "NetworkSet x/s" },
		{ K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"),
		  WEP("n1", "10.0.0.1111"), "this pod is cut off" },
		{ K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"), "[]",
		  "WorkloadEndpoint x/n1-k8s-a-eth0" },
		{ K "tiers/t", TIER("7"), "7", "Tier t" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *then = NULL;
		CLEANUP(freep) char *now = NULL;
		struct str s = { 0 };

		for (int fresh = 0; fresh < 2; fresh++) {
			struct world *w;

			setup((void **)&w);
			policy_feed_take(
				w->feed, K "workloadendpoints/x/n1-k8s-z-eth0",
				RESOURCE("WorkloadEndpoint",
					 "\"n1-k8s-z-eth0\",\"namespace\":\"x\"},",
					 "\"spec\":{\"orchestrator\":\"k8s\",\"node\":\"n1\","
					 "\"pod\":\"z\",\"endpoint\":\"eth0\",\"ipNetworks\":"
					 "[\"10.0.0.9/32\"],\"interfaceName\":\"cali9\"}}"));
			policy_feed_take(w->feed, K "networkpolicies/x/web", SELECTS_NETS);
			if (!fresh) {
				assert_true(policy_feed_take(w->feed, rows[i].key, rows[i].good));
				calc_flush(w->calc);
			}
			policy_feed_take(w->feed, rows[i].key, rows[i].bad);
			calc_flush(w->calc);
			*(fresh ? &now : &then) = calc_dump(w->calc);
			str_cut(&s, 0);
			assert_int_equal(policy_feed_troubles(w->feed, &s), 1);
			if (!strstr(str_text(&s), rows[i].says))
				fail_msg("row %zu: %s", i, str_text(&s));
			teardown((void **)&w);
		}
		if (strcmp(then, now) != 0)
			fail_msg("row %zu: before a restart:\n%s\nbehind it:\n%s", i, then, now);
		str_done(&s);
	}
	(void)state;
}

/* Of a global policy nobody knows whom it would cut off: it is told that it is not in force. */
static void a_global_policy_without_selector_is_told(void **state)
{
	static const char *const bad[] = { "{", RESOURCE("GlobalNetworkPolicy", "\"g\"}",
							 ",\"spec\":{\"selector\":\"a = 'b'\"}}") };
	struct world *w = *state;

	for (int known = 0; known < 2; known++) {
		if (known)
			policy_feed_take(w->feed, K "globalnetworkpolicies/g",
					 RESOURCE("GlobalNetworkPolicy", "\"g\"}",
						  ",\"spec\":{\"selector\":\"all()\"}}"));
		for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
			struct str s = { 0 };

			assert_false(
				policy_feed_take(w->feed, K "globalnetworkpolicies/g", bad[i]));
			assert_int_equal(policy_feed_troubles(w->feed, &s), 1);
			assert_true(str_starts(str_text(&s), "GlobalNetworkPolicy g: "));
			assert_null(strstr(str_text(&s) + 1, "GlobalNetworkPolicy g"));
			assert_true(!i || strstr(str_text(&s), ": spec.selector"));
			assert_non_null(
				strstr(str_text(&s), known ? "stays in force until it can be"
							   : "so it is not in force until"));
			str_done(&s);
		}
	}
}

/* One that says not even where it is would leave its interface open. */
static void an_unreadable_host_endpoint_stays(void **state)
{
	static const char *const bad[] = { "{", RESOURCE("HostEndpoint", "\"h\"}",
							 ",\"spec\":{\"node\":5}}") };
	struct world *w = *state;

	assert_true(policy_feed_take(
		w->feed, K "hostendpoints/h",
		RESOURCE("HostEndpoint", "\"h\"}",
			 ",\"spec\":{\"node\":\"n1\",\"interfaceName\":\"eth0\"}}")));
	assert_int_equal(calc_flush(w->calc)->endpoints.n, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct str s = { 0 };

		assert_false(policy_feed_take(w->feed, K "hostendpoints/h", bad[i]));
		assert_int_equal(calc_flush(w->calc)->endpoints_gone.n, 0);
		assert_int_equal(policy_feed_troubles(w->feed, &s), 1);
		assert_non_null(strstr(str_text(&s), "HostEndpoint h: "));
		assert_non_null(strstr(str_text(&s), "stays until this agent ends"));
		str_done(&s);
	}
}

#define PROFILE(action)                                                                \
	"{\"kind\":\"Profile\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{" \
	"\"name\":\"kns.x\"},\"spec\":{\"ingress\":[{\"action\":\"" action "\"}]}}"

/* As after a restart, when nothing would be known of what it had allowed. */
static void a_profile_that_cannot_be_read_denies(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = { "", "[]", "{\"kind\":\"Tier\"}", PROFILE("Alow") };
	struct str s = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct profile_rules *p;

		assert_true(policy_feed_take(w->feed, K "profiles/kns.x", PROFILE("Allow")));
		assert_int_equal(calc_profile(w->calc, "kns.x")->in.p[0].action, RULE_ALLOW);
		assert_int_equal(policy_feed_troubles(w->feed, &s), 0);
		assert_true(policy_feed_take(w->feed, K "profiles/kns.x", bad[i]));
		p = calc_profile(w->calc, "kns.x");
		assert_true(!p || p->in.p[0].action == RULE_DENY);
		assert_int_equal(policy_feed_troubles(w->feed, &s), 1);
	}
	assert_non_null(strstr(str_text(&s), "Profile kns.x: "));
	str_done(&s);
}

static void other_keys_are_passed_over(void **state)
{
	struct world *w = *state;
	static const char *const keys[] = { K "ippools/a", K "nodes/n1", "/calico/ipam/v2/x",
					    K "networkpolicies", "" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_false(policy_feed_take(w->feed, keys[i], "{}"));
		assert_false(policy_feed_take(w->feed, keys[i], NULL));
	}
}

/* Rules that cannot be read deny and are told by name, until they are right or gone. */
static void what_is_wrong_is_named_and_denies(void **state)
{
	struct world *w = *state;
	struct str text = { 0 };

	policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"));
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", POLICY("Alow")));
	calc_flush(w->calc);
	assert_int_equal(calc_stats(w->calc).active_policies, 1);
	assert_int_equal(policy_feed_troubles(w->feed, &text), 1);
	assert_non_null(strstr(str_text(&text), "NetworkPolicy x/web: "));
	assert_non_null(strstr(str_text(&text), "action"));
	str_cut(&text, 0);
	policy_feed_take(w->feed, K "networkpolicies/x/web", POLICY("Allow"));
	assert_int_equal(policy_feed_troubles(w->feed, &text), 0);
	policy_feed_take(w->feed, K "networkpolicies/x/web", "no json");
	assert_int_equal(policy_feed_troubles(w->feed, &text), 1);
	calc_flush(w->calc);
	assert_int_equal(calc_stats(w->calc).active_policies, 1);
	policy_feed_take(w->feed, K "networkpolicies/x/web", NULL);
	assert_int_equal(policy_feed_troubles(w->feed, &text), 0);
	calc_flush(w->calc);
	assert_int_equal(calc_stats(w->calc).policies, 0);
	str_done(&text);
}

#define SELECTING(kind, where, selectors)                                                          \
	"{\"kind\":\"" kind "\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"            \
	"\"name\":\"web\"" where "},\"spec\":{" selectors ",\"types\":[\"Ingress\"],\"ingress\":[" \
	"{\"action\":\"Allow\"}]}}"

/* Tiers with policies that the pod of x has at the next flush; text of the trouble. */
static size_t policies_here(struct world *w, struct str *text)
{
	str_cut(text, 0);
	policy_feed_troubles(w->feed, text);
	calc_flush(w->calc);
	return calc_stats(w->calc).active_policies;
}

/* The selector cannot be read. What was known stays; who knows nothing denies for the namespace. */
static void an_unreadable_selector_fails_closed(void **state)
{
	static const char good[] =
		SELECTING("NetworkPolicy", ",\"namespace\":\"x\"", "\"selector\":\"has(no)\"");
	static const char bad[] =
		SELECTING("NetworkPolicy", ",\"namespace\":\"x\"", "\"selector\":\"a ==\"");
	struct world *w = *state;
	struct str text = { 0 };

	policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"));
	policy_feed_take(w->feed, K "networkpolicies/x/web", good);
	assert_int_equal(policies_here(w, &text), 0);
	assert_false(policy_feed_take(w->feed, K "networkpolicies/x/web", bad));
	assert_int_equal(policies_here(w, &text), 0);
	assert_non_null(strstr(str_text(&text), "selector"));
	policy_feed_take(w->feed, K "networkpolicies/x/web", NULL);
	/* As after a restart. */
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", bad));
	assert_int_equal(policies_here(w, &text), 1);
	assert_non_null(strstr(str_text(&text), "denies for all pods of namespace x"));
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", good));
	assert_int_equal(policies_here(w, &text), 0);
	assert_string_equal(str_text(&text), "");
	policy_feed_take(w->feed, K "networkpolicies/x/web", NULL);
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", "no json"));
	assert_int_equal(policies_here(w, &text), 1);
	assert_non_null(strstr(str_text(&text), "denies for all pods of namespace x"));
	assert_true(policy_feed_take(w->feed, K "networkpolicies/x/web", NULL));
	assert_int_equal(policies_here(w, &text), 0);
	str_done(&text);
}

static void a_global_policy_denies_for_what_can_be_read(void **state)
{
	struct world *w = *state;
	struct str text = { 0 };

	policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"));
	assert_false(
		policy_feed_take(w->feed, K "globalnetworkpolicies/web",
				 SELECTING("GlobalNetworkPolicy", "", "\"selector\":\"a ==\"")));
	assert_int_equal(policies_here(w, &text), 0);
	assert_non_null(strstr(str_text(&text), "GlobalNetworkPolicy web"));
	assert_true(policy_feed_take(w->feed, K "globalnetworkpolicies/web",
				     SELECTING("GlobalNetworkPolicy", "",
					       "\"selector\":\"projectcalico.org/namespace == "
					       "'x'\",\"serviceAccountSelector\":\"(\"")));
	assert_int_equal(policies_here(w, &text), 1);
	assert_non_null(strstr(str_text(&text), "that its other selectors select"));
	str_done(&text);
}

#define HOST(spec)                                                                         \
	"{\"kind\":\"HostEndpoint\",\"apiVersion\":\"projectcalico.org/"                   \
	"v3\",\"metadata\":{\"name\":"                                                     \
	"\"h\",\"labels\":{\"role\":\"db\"}},\"spec\":{\"node\":\"n1\",\"interfaceName\":" \
	"\"eth0\"" spec "}}"

/* Its interface would be open; and it is the same whether an agent knew it or has just begun. */
static void a_host_endpoint_that_is_wrong_stays(void **state)
{
	struct world *w = *state;
	struct str text = { 0 };
	const char *key = K "hostendpoints/h";

	policy_feed_take(w->feed, K "globalnetworkpolicies/web",
			 SELECTING("GlobalNetworkPolicy", "", "\"selector\":\"role == 'db'\""));
	assert_true(policy_feed_take(w->feed, key, HOST(",\"ports\":[{\"port\":\"x\"}]")));
	assert_int_equal(policies_here(w, &text), 1);
	assert_non_null(strstr(str_text(&text), "HostEndpoint h"));
	assert_int_equal(calc_stats(w->calc).local_endpoints, 1);
	assert_true(policy_feed_take(w->feed, key, HOST("")));
	assert_int_equal(policies_here(w, &text), 1);
	assert_string_equal(str_text(&text), "");
	assert_true(policy_feed_take(w->feed, key, NULL));
	assert_int_equal(policies_here(w, &text), 0);
	str_done(&text);
}

#define SLICE(service, endpoints)                                                                \
	"{\"kind\":\"EndpointSlice\",\"apiVersion\":\"projectcalico.org/"                        \
	"v3\",\"metadata\":{\"name\":"                                                           \
	"\"s\",\"namespace\":\"x\",\"labels\":{" service "}},\"spec\":{\"endpoints\":" endpoints \
	",\"ports\":[{\"port\":80}]}}"
#define OF_WEB "\"kubernetes.io/service-name\":\"web\""
#define SERVED "[{\"addresses\":[\"10.0.0.9\"]}]"

/* Members of the service's set, which a policy of the pod asks for. */
static void slices_are_members_of_services(void **state)
{
	struct world *w = *state;
	struct str text = { 0 };
	const char *key = K "endpointslices/x/s";

	policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"));
	policy_feed_take(
		w->feed, K "networkpolicies/x/out",
		"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"
		"\"name\":\"out\",\"namespace\":\"x\"},\"spec\":{\"types\":[\"Egress\"],\"egress\":"
		"[{"
		"\"action\":\"Allow\",\"destination\":{\"services\":{\"name\":\"web\"}}}]}}");
	policies_here(w, &text);
	assert_int_equal(calc_stats(w->calc).members, 0);
	assert_true(policy_feed_take(w->feed, key, SLICE(OF_WEB, SERVED)));
	assert_int_equal(calc_stats(w->calc).members, 1);
	policy_feed_take(w->feed, key, SLICE("", SERVED));
	assert_int_equal(calc_stats(w->calc).members, 0);
	policy_feed_take(w->feed, key, SLICE(OF_WEB, SERVED));
	policy_feed_take(w->feed, key, SLICE(OF_WEB, "7"));
	assert_int_equal(calc_stats(w->calc).members, 0);
	policy_feed_take(w->feed, key, SLICE(OF_WEB, SERVED));
	assert_true(policy_feed_take(w->feed, key, NULL));
	assert_int_equal(calc_stats(w->calc).members, 0);
	assert_int_equal(policy_feed_troubles(w->feed, &text), 0);
	str_done(&text);
}

/* Who knows nothing yet is told all that there is, and nothing as gone. */
static void all_can_be_told_again(void **state)
{
	struct world *w = *state;
	const struct calc_effects *fx;
	size_t sets, members = 0;

	policy_feed_take(w->feed, K "workloadendpoints/x/n1-k8s-a-eth0", WEP("n1", "10.0.0.1"));
	policy_feed_take(
		w->feed, K "networkpolicies/x/web",
		SELECTING("NetworkPolicy", ",\"namespace\":\"x\"", "\"selector\":\"all()\""));
	policy_feed_take(
		w->feed, K "networkpolicies/x/from",
		"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"
		"\"name\":\"from\",\"namespace\":\"x\"},\"spec\":{\"ingress\":[{\"action\":"
		"\"Allow\",\"source\":{\"selector\":\"all()\"}}]}}");
	sets = calc_flush(w->calc)->sets.n;
	assert_true(sets > 0);
	assert_int_equal(calc_flush(w->calc)->sets.n, 0);
	calc_restate(w->calc);
	fx = calc_flush(w->calc);
	assert_int_equal(fx->endpoints.n, 1);
	assert_int_equal(fx->policies.n, 2);
	assert_int_equal(fx->profiles.n, 1);
	assert_int_equal(fx->sets.n, sets);
	for (size_t i = 0; i < fx->sets.n; i++) {
		assert_true(fx->sets.p[i].created);
		assert_int_equal(fx->sets.p[i].gone.n, 0);
		members += fx->sets.p[i].added.n;
	}
	assert_int_equal(members, calc_stats(w->calc).members);
	assert_int_equal(fx->policies_gone.n + fx->sets_gone.n + fx->endpoints_gone.n, 0);
	assert_int_equal(calc_flush(w->calc)->endpoints.n, 0);
}

static void hostile_values_change_nothing(void **state)
{
	struct world *w = *state;
	static const char *const values[] = { "",
					      "{",
					      "[]",
					      "null",
					      "{\"spec\":7}",
					      "\"x\"",
					      "{\"metadata\":[],\"spec\":{\"node\":{}}}" };
	static const char *const keys[] = { K "workloadendpoints/x/n1-k8s-a-eth0",
					    K "tiers/t",
					    K "profiles/kns.x",
					    K "globalnetworksets/g",
					    K "hostendpoints/h",
					    K "globalnetworkpolicies/p" };

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
		for (size_t v = 0; v < ARRAY_SIZE(values); v++)
			policy_feed_take(w->feed, keys[k], values[v]);
		policy_feed_take(w->feed, keys[k], NULL);
		policy_feed_take(w->feed, keys[k], NULL);
	}
	calc_flush(w->calc);
	assert_int_equal(calc_stats(w->calc).endpoints, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_fed_counts_and_goes_by_its_key, setup,
						teardown),
		cmocka_unit_test(a_restart_makes_no_difference),
		cmocka_unit_test_setup_teardown(an_unreadable_host_endpoint_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(a_global_policy_without_selector_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_profile_that_cannot_be_read_denies, setup,
						teardown),
		cmocka_unit_test_setup_teardown(other_keys_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_named_and_denies, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unreadable_selector_fails_closed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_global_policy_denies_for_what_can_be_read, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_host_endpoint_that_is_wrong_stays, setup,
						teardown),
		cmocka_unit_test_setup_teardown(slices_are_members_of_services, setup, teardown),
		cmocka_unit_test_setup_teardown(all_can_be_told_again, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_values_change_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
