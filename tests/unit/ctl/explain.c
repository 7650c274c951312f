/* explain.c - policy explain says what agents do, also about what they cannot read */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "model/key.h"
#include "tests/unit/ctl/story.h"

#define SPACE(name) "apiVersion: v1\nkind: Namespace\nmetadata: {name: " name "}\n---\n"
#define POD(ns, name, node, ip)                                                            \
	"apiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\nmetadata: {name: " node \
	"-k8s-" name "-eth0, namespace: " ns "}\nspec: {orchestrator: k8s, node: " node    \
	", pod: " name ", endpoint: eth0, ipNetworks: [" ip "/32], profiles: [kns." ns     \
	"], interfaceName: cali" name "}\n---\n"

static void put(const char *key, const char *text)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };

	assert_int_equal(ctl_open(&c, CTL_WRITE, NULL), 0);
	assert_int_equal(ctl_call(&c, store_create(key, text), "x", NULL, NULL), 0);
	ctl_close(&c);
}

#define ASK "policy explain --from x/a --to y/b --proto tcp --port 80"

static void unreadable_policies_deny_their_namespace(void **state)
{
	static const struct story_step before[] = {
		{ "apply",
		  SPACE("x") SPACE("y") POD("x", "a", "n1", "10.0.0.1")
			  POD("y", "b", "n2", "10.0.0.2"),
		  0, NULL, "" },
		{ ASK, NULL, 0, "port 80: ALLOWED", "" },
	};
	static const struct story_step after[] = {
		{ ASK, NULL, 1, "port 80: DENIED by ingress of y/b",
		  "globalnetworkpolicies/default.bad: " },
		{ ASK, NULL, 1, "NetworkPolicy y/default.bad", "networkpolicies/y/default.bad: " },
		{ "delete networkpolicy default.bad -n y", NULL, 0, NULL, "" },
		{ ASK, NULL, 1, "port 80: ALLOWED", NULL },
	};

	story_play(before, ARRAY_SIZE(before));
	put(KEY_RESOURCES "networkpolicies/y/default.bad", "[]");
	put(KEY_RESOURCES "globalnetworkpolicies/default.bad", "{");
	story_play(after, ARRAY_SIZE(after));
}

#define TIER(name)                                                                         \
	"apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: " name "}\nspec: " \
									       "{}\n---\n"
#define GLOBAL(name, tier)                                                                    \
	"apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: " name \
	"}\nspec: {tier: " tier "}\n---\n"

static void a_tier_with_policies_stays(void **state)
{
	static const struct story_step steps[] = {
		{ "apply", TIER("t") TIER("empty") GLOBAL("t.a", "t") GLOBAL("t.b", "t"), 0, NULL,
		  "" },
		{ "delete tier empty", NULL, 0, NULL, "" },
		{ "delete tier t", NULL, 1, "",
		  "Tier t: has 2 policies, such as GlobalNetworkPolicy t.a: delete them first" },
		{ "delete gnp t.a", NULL, 0, NULL, "" },
		{ "delete tier t", NULL, 1, "", "has 1 policy" },
		{ "delete gnp t.b", NULL, 0, NULL, "" },
		{ "delete tier t", NULL, 0, NULL, "" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tier_with_policies_stays),
		cmocka_unit_test(unreadable_policies_deny_their_namespace),
	};

	return cmocka_run_group_tests(tests, story_set_up, story_tear_down);
}
