/* ipamobj.c - affinity, handle, settings, keys and times of IPAM */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/affinity.h"
#include "model/handle.h"
#include "model/ipamconfig.h"
#include "model/ipamkey.h"
#include "model/wall.h"

static void affinity_states(void **state)
{
	static const struct {
		const char *text, *again;
	} rows[] = {
		{ "{\"state\":\"pending\",\"deleted\":false}",
		  "{\"state\":\"pending\",\"deleted\":false}" },
		{ "{\"state\":\"pendingDeletion\"}",
		  "{\"state\":\"pendingDeletion\",\"deleted\":false}" },
		{ "{\"state\":\"\"}", "{\"state\":\"confirmed\",\"deleted\":false}" },
		{ "{\"deleted\":\"true\",\"x\":1}",
		  "{\"deleted\":true,\"x\":1,\"state\":\"confirmed\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *again = NULL;
		struct affinity a;

		assert_int_equal(affinity_decode(rows[i].text, strlen(rows[i].text), &a, NULL), 0);
		again = affinity_encode(&a);
		assert_string_equal(again, rows[i].again);
		affinity_done(&a);
	}
}

static void affinity_refused(void **state)
{
	struct affinity a;
	struct err e;

	assert_true(affinity_decode("{\"state\":\"maybe\"}", 17, &a, &e) < 0);
	assert_non_null(strstr(e.msg, "must be pending, confirmed or pendingDeletion"));
	assert_true(affinity_decode("{\"state\":7}", 11, &a, &e) < 0);
	assert_true(affinity_decode("[]", 2, &a, &e) < 0);
	assert_true(affinity_decode("", 0, &a, &e) < 0);
}

static void handle_counts(void **state)
{
	static const char text[] = "{\"block\":{\"10.20.0.64/26\":2,\"fd00::/"
				   "122\":1},\"uid\":\"u\",\"deleted\":false}";
	CLEANUP(handle_freep) struct handle *h = NULL;
	CLEANUP(freep) char *same = NULL;
	CLEANUP(freep) char *less = NULL;
	struct prefix v4, v6;

	assert_true(prefix_parse("10.20.0.64/26", &v4) && prefix_parse("fd00::/122", &v6));
	assert_int_equal(handle_decode(text, sizeof(text) - 1, &h, NULL), 0);
	same = handle_encode(h);
	assert_string_equal(same, text);
	assert_int_equal(handle_count(h, &v4), 2);
	handle_set(h, &v4, 0);
	handle_set(h, &v6, 3);
	assert_int_equal(handle_count(h, &v4), 0);
	less = handle_encode(h);
	assert_string_equal(less, "{\"block\":{\"fd00::/122\":3},\"uid\":\"u\",\"deleted\":false}");
}

static void handle_refused(void **state)
{
	static const char *const rows[] = {
		"{\"block\":{\"10.0.0.1/26\":1}}",
		"{\"block\":{\"10.0.0.0/26\":-1}}",
		"{\"block\":{\"10.0.0.0/26\":1.5}}",
		"{\"block\":{\"10.0.0.0/26\":5000}}",
		"{\"block\":[]}",
		"{\"block\":{}",
		"7",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct handle *h = NULL;

		assert_true(handle_decode(rows[i], strlen(rows[i]), &h, NULL) < 0);
		assert_null(h);
	}
}

static void config_spellings(void **state)
{
	static const struct {
		const char *text, *snake, *camel;
	} rows[] = {
		{ "{}", "{}", "{}" },
		{ "{\"auto_allocate_blocks\":true}", "{\"auto_allocate_blocks\":true}",
		  "{\"autoAllocateBlocks\":true}" },
		{ "{\"strictAffinity\":true,\"autoAllocateBlocks\":true,\"maxBlocksPerHost\":4,"
		  "\"ipCooldownSeconds\":30,\"kubeVirtVMAddressPersistence\":\"Disabled\",\"z\":1}",
		  "{\"maxBlocksPerHost\":4,\"ipCooldownSeconds\":30,\"z\":1,"
		  "\"strict_affinity\":true,\"auto_allocate_blocks\":true,"
		  "\"kubeVirtVMAddressPersistence\":\"Disabled\"}",
		  NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *snake = NULL;
		CLEANUP(freep) char *camel = NULL;
		CLEANUP(freep) char *twice = NULL;
		struct ipamconfig c, again;
		struct err e = { 0 };

		if (ipamconfig_decode(rows[i].text, strlen(rows[i].text), &c, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.msg);
		snake = ipamconfig_encode(&c);
		camel = ipamconfig_encode_kind(&c);
		if (rows[i].camel)
			assert_string_equal(camel, rows[i].camel);
		assert_int_equal(ipamconfig_decode(snake, strlen(snake), &again, NULL), 0);
		twice = ipamconfig_encode(&again);
		assert_string_equal(snake, twice);
		assert_int_equal(again.max_blocks_per_host, c.max_blocks_per_host);
		assert_int_equal(again.cooldown_s, c.cooldown_s);
		assert_int_equal(again.strict_affinity, c.strict_affinity);
		ipamconfig_done(&c);
		ipamconfig_done(&again);
	}
}

static void config_refused(void **state)
{
	struct ipamconfig c = ipamconfig_default();
	struct err e;

	assert_int_equal(ipamconfig_check(&c, &e), 0);
	c.max_blocks_per_host = 2;
	assert_true(ipamconfig_check(&c, &e) < 0);
	assert_non_null(strstr(e.msg, "needs strictAffinity true"));
	c = (struct ipamconfig) { 0 };
	assert_true(ipamconfig_check(&c, &e) < 0);
	assert_true(ipamconfig_decode("{\"ipCooldownSeconds\":1201}", 26, &c, &e) < 0);
	assert_true(ipamconfig_decode("{\"strict_affinity\":\"yes\"}", 25, &c, &e) < 0);
	assert_true(ipamconfig_decode("{\"kubeVirtVMAddressPersistence\":\"On\"}", 37, &c, &e) < 0);
}

static void keys_there_and_back(void **state)
{
	struct prefix v4, v6, got;
	CLEANUP(freep) char *block = NULL;
	CLEANUP(freep) char *aff = NULL;
	CLEANUP(freep) char *virt = NULL;
	CLEANUP(freep) char *handle = ipamkey_handle("k8s-pod-network.9F");
	CLEANUP(freep) char *owner = NULL;

	assert_true(prefix_parse("10.20.0.64/26", &v4) && prefix_parse("fd00:1::40/122", &v6));
	block = ipamkey_block(&v4);
	aff = ipamkey_affinity("host:edge-7", &v6);
	virt = ipamkey_affinity("virtual:load-balancer", &v4);
	assert_string_equal(block, "/calico/ipam/v2/assignment/ipv4/block/10.20.0.64-26");
	assert_string_equal(aff, "/calico/ipam/v2/host/edge-7/ipv6/block/fd00:1::40-122");
	assert_string_equal(virt, "/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.20.0.64-26");
	assert_string_equal(ipamkey_parse_handle(handle), "k8s-pod-network.9F");
	assert_null(ipamkey_parse_handle(block));
	assert_true(ipamkey_parse_block(block, &got) && prefix_eq(&got, &v4));
	assert_false(ipamkey_parse_block(aff, &got));
	assert_true(ipamkey_parse_affinity(aff, &owner, &got) && prefix_eq(&got, &v6));
	assert_string_equal(owner, "host:edge-7");
	assert_false(ipamkey_parse_affinity("/calico/ipam/v2/host/edge-7", &owner, &got));
	assert_false(ipamkey_parse_affinity("/calico/ipam/v2/host//ipv4/block/10.0.0.0-26", &owner,
					    &got));
	assert_false(
		ipamkey_parse_block("/calico/ipam/v2/assignment/ipv4/block/10.20.0.65-26", &got));
	assert_false(
		ipamkey_parse_block("/calico/ipam/v2/assignment/ipv6/block/10.20.0.64-26", &got));
	assert_false(ipamkey_element_ok("a/b"));
	assert_false(ipamkey_element_ok(""));
	assert_false(ipamkey_element_ok("a\r\n"));
	assert_true(ipamkey_element_ok("node-1.example"));
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int64_t ns; /* -1: refused */
	} rows[] = {
		{ "2026-08-01T10:00:00Z", INT64_C(1785578400) * NS_PER_S },
		{ "2026-08-01T12:00:00+02:00", INT64_C(1785578400) * NS_PER_S },
		{ "2026-08-01T10:00:00.25Z", INT64_C(1785578400) * NS_PER_S + NS_PER_S / 4 },
		{ "2026-08-01 10:00:04.5 +0000 UTC",
		  INT64_C(1785578404) * NS_PER_S + NS_PER_S / 2 },
		{ "2026-08-01 10:00:00 +0000 UTC m=+1.5", INT64_C(1785578400) * NS_PER_S },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2000-02-29T00:00:00Z", INT64_C(951782400) * NS_PER_S },
		{ "", -1 },
		{ "2026-08-01", -1 },
		{ "2026-13-01T10:00:00Z", -1 },
		{ "2026-08-01T25:00:00Z", -1 },
		{ "2026-08-01T10:00:00", -1 },
		{ "2026-08-01T10:00:00.Z", -1 },
		{ "2026-08-01T10:00:00Zx", -1 },
		{ "9999-08-01T10:00:00Z", -1 },
	};
	char buf[WALL_STR_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ns = -1;

		assert_int_equal(wall_parse(rows[i].text, &ns), rows[i].ns >= 0);
		assert_true(ns == rows[i].ns);
	}
	assert_string_equal(wall_rfc3339(INT64_C(951782400) * NS_PER_S, buf),
			    "2000-02-29T00:00:00Z");
	assert_string_equal(wall_gostring(INT64_C(1785578404) * NS_PER_S + NS_PER_S / 2, buf),
			    "2026-08-01 10:00:04.5 +0000 UTC");
	for (int64_t day = 0; day < 80000; day++) {
		int64_t ns = (day * 86400 + 86399) * NS_PER_S, back = -1;

		assert_true(wall_parse(wall_rfc3339(ns, buf), &back) && back == ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(affinity_states),     cmocka_unit_test(affinity_refused),
		cmocka_unit_test(handle_counts),       cmocka_unit_test(handle_refused),
		cmocka_unit_test(config_spellings),    cmocka_unit_test(config_refused),
		cmocka_unit_test(keys_there_and_back), cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
