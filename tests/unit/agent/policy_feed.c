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

#define WEP(node, ip)                                                                             \
	"{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"    \
	"\"name\":\"" node "-k8s-a-eth0\",\"namespace\":\"x\"},\"spec\":{\"orchestrator\":\"k8s\"," \
	"\"node\":\"" node "\",\"pod\":\"a\",\"endpoint\":\"eth0\",\"ipNetworks\":[\"" ip "/32\"],"  \
	"\"profiles\":[\"kns.x\"],\"interfaceName\":\"cali1\"}}"
#define POLICY(action)                                                                            \
	"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{"       \
	"\"name\":\"web\",\"namespace\":\"x\"},\"spec\":{\"selector\":\"all()\",\"types\":["        \
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

static void hostile_values_change_nothing(void **state)
{
	struct world *w = *state;
	static const char *const values[] = { "", "{", "[]", "null", "{\"spec\":7}", "\"x\"",
					      "{\"metadata\":[],\"spec\":{\"node\":{}}}" };
	static const char *const keys[] = { K "workloadendpoints/x/n1-k8s-a-eth0", K "tiers/t",
					    K "profiles/kns.x", K "globalnetworksets/g",
					    K "hostendpoints/h", K "globalnetworkpolicies/p" };

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
		cmocka_unit_test_setup_teardown(what_is_fed_counts_and_goes_by_its_key, setup, teardown),
		cmocka_unit_test_setup_teardown(other_keys_are_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_wrong_is_named_and_denies, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile_values_change_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
