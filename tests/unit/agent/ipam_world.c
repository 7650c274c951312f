/* IPPools as the allocator wants them: defaults, what disables, what is not valid. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/cni/ipam_world.h"
#include "lib/json.h"

#define POOL(spec) "{\"metadata\":{\"name\":\"p\"},\"spec\":{" spec "}}"

static struct ipam_pool good(const char *text, const char *labels)
{
	CLEANUP(js_freep) json_t *l = labels ? json_loads(labels, 0, NULL) : NULL;
	struct ipam_pool p;
	struct err e = { 0 };

	if (ipam_pool_decode(text, l, &p, &e) < 0)
		fail_msg("%s", e.msg);
	free((char *)(uintptr_t)p.name);
	p.name = NULL;
	return p;
}

static void defaults(void **state)
{
	struct ipam_pool p = good(POOL("\"cidr\":\"10.0.0.0/16\""), NULL);

	assert_int_equal(p.block_len, 26);
	assert_false(p.disabled || p.manual);
	assert_true(p.selects_node && p.selects_namespace);
	assert_int_equal(p.uses, IPAM_USE_WORKLOAD | IPAM_USE_TUNNEL);
	p = good(POOL("\"cidr\":\"fd00::/64\""), NULL);
	assert_int_equal(p.block_len, 122);
	p = good(POOL("\"cidr\":\"10.0.0.0/16\",\"blockSize\":0"), NULL);
	assert_int_equal(p.block_len, 26);
}

static void what_disables(void **state)
{
	assert_true(good(POOL("\"cidr\":\"10.0.0.0/16\",\"disabled\":true"), NULL).disabled);
	assert_true(good("{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"t\"},\"spec\":{"
			 "\"cidr\":"
			 "\"10.0.0.0/16\"}}",
			 NULL)
			    .disabled);
	assert_true(good("{\"metadata\":{\"name\":\"p\"},\"spec\":{\"cidr\":\"10.0.0.0/"
			 "16\"},\"status\":{"
			 "\"conditions\":[{\"type\":\"Allocatable\",\"status\":\"False\"}]}}",
			 NULL)
			    .disabled);
	assert_false(good("{\"metadata\":{\"name\":\"p\"},\"spec\":{\"cidr\":\"10.0.0.0/"
			  "16\"},\"status\":{"
			  "\"conditions\":[{\"type\":\"Allocatable\",\"status\":\"True\"}]}}",
			  NULL)
			     .disabled);
}

static void selectors_and_uses(void **state)
{
	const char *text = POOL("\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"rack == 'a'\"");

	assert_false(good(text, NULL).selects_node);
	assert_true(good(text, "{\"rack\":\"a\"}").selects_node);
	assert_false(good(text, "{\"rack\":\"b\"}").selects_node);
	assert_false(good(POOL("\"cidr\":\"10.0.0.0/16\",\"namespaceSelector\":\"has(x)\""), NULL)
			     .selects_namespace);
	assert_true(good(POOL("\"cidr\":\"10.0.0.0/16\",\"namespaceSelector\":\"!has(x)\""), NULL)
			    .selects_namespace);
	assert_int_equal(
		good(POOL("\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\"]"), NULL)
			.uses,
		IPAM_USE_LOAD_BALANCER);
	assert_true(
		good(POOL("\"cidr\":\"10.0.0.0/16\",\"assignmentMode\":\"Manual\""), NULL).manual);
}

static void not_valid(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{}",
		POOL(""),
		POOL("\"cidr\":7"),
		POOL("\"cidr\":\"10.0.0.1/16\""),
		POOL("\"cidr\":\"10.0.0.0\""),
		POOL("\"cidr\":\"10.0.0.0/16\",\"blockSize\":8"),
		POOL("\"cidr\":\"10.0.0.0/28\""),
		POOL("\"cidr\":\"10.0.0.0/16\",\"blockSize\":\"26\""),
		POOL("\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"a =\""),
		POOL("\"cidr\":\"10.0.0.0/16\",\"disabled\":\"no\""),
		"{\"spec\":{\"cidr\":\"10.0.0.0/16\"}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ipam_pool p;
		struct err e = { 0 };

		if (ipam_pool_decode(bad[i], NULL, &p, &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_true(e.msg[0] != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(what_disables),
		cmocka_unit_test(selectors_and_uses),
		cmocka_unit_test(not_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
