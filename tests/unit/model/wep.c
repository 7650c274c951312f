/* wep.c - model/wep: names that are made from the spec, and taken apart again */
#include "model/wep.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void names(void **state)
{
	static const struct {
		const char *node, *orch, *pod, *container, *workload, *endpoint, *name;
	} rows[] = {
		{ "edge-7", "k8s", "web-0", NULL, NULL, "eth0", "edge--7-k8s-web--0-eth0" },
		{ "n", "k8s", "p", "ignored", "ignored", "eth0", "n-k8s-p-eth0" },
		{ "a--b", "k8s", "p", NULL, NULL, "eth0", "a----b-k8s-p-eth0" },
		{ "n.example.com", "cni", NULL, "9f31aa", NULL, "eth1",
		  "n.example.com-cni-9f31aa-eth1" },
		{ "n-1", "libnetwork", NULL, NULL, NULL, "ep-2",
		  "n--1-libnetwork-libnetwork-ep--2" },
		{ "n", "open-stack", NULL, NULL, "vm-1", "tap0", "n-open--stack-vm--1-tap0" },
		{ "n", "k8s", NULL, NULL, NULL, "eth0", NULL },
		{ "n", "k8s", "", NULL, NULL, "eth0", NULL },
		{ "n", "cni", "p", NULL, NULL, "eth0", NULL },
		{ "-n", "k8s", "p", NULL, NULL, "eth0", NULL },
		{ "n", "k8s", "p-", NULL, NULL, "eth0", NULL },
		{ "n", "k8s", "p", NULL, NULL, "-", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text[6] = { xstrdup(rows[i].orch),     xstrdup(rows[i].node),
				  xstrdup(rows[i].pod),	     xstrdup(rows[i].container),
				  xstrdup(rows[i].workload), xstrdup(rows[i].endpoint) };
		struct wep w = { .orchestrator = text[0],
				 .node = text[1],
				 .pod = text[2],
				 .container_id = text[3],
				 .workload = text[4],
				 .endpoint = text[5] };
		struct err e = { 0 };
		CLEANUP(freep) char *name = wep_name(&w, &e);

		if (!str_eq(name, rows[i].name))
			fail_msg("%zu: %s, not %s", i, name ? name : e.msg, rows[i].name);
		if (!name)
			assert_true(str_starts(e.msg, "spec."));
		for (size_t j = 0; j < ARRAY_SIZE(text); j++)
			free(text[j]);
	}
}

static void taken_apart(void **state)
{
	static const struct {
		const char *name;
		size_t n;
		const char *segment[WEP_SEGMENTS_MAX];
	} rows[] = {
		{ "edge--7-k8s-web--0-eth0", 4, { "edge-7", "k8s", "web-0", "eth0" } },
		{ "a----b-k8s-p-eth0", 4, { "a--b", "k8s", "p", "eth0" } },
		{ "n-k8s", 2, { "n", "k8s" } },
		{ "n", 1, { "n" } },
		{ "", 0, { NULL } },
		{ "-", 0, { NULL } },
		{ "n-", 0, { NULL } },
		{ "n--", 0, { NULL } },
		{ "n---k8s", 0, { NULL } },
		{ "-n-k8s", 0, { NULL } },
		{ "a-b-c-d-e", 0, { NULL } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *segment[WEP_SEGMENTS_MAX];
		size_t n = 0;
		bool ok = wep_name_parse(rows[i].name, segment, &n);

		if (ok != (rows[i].n > 0) || (ok && n != rows[i].n))
			fail_msg("%s: %zu segments", rows[i].name, n);
		for (size_t j = 0; ok && j < n; j++) {
			assert_string_equal(segment[j], rows[i].segment[j]);
			free(segment[j]);
		}
	}
}

static void prefixes(void **state)
{
	CLEANUP(freep) char *node = wep_name_prefix("edge-7", NULL);
	CLEANUP(freep) char *pod = wep_name_prefix("edge-7", "web-0");

	assert_string_equal(node, "edge--7-");
	assert_string_equal(pod, "edge--7-k8s-web--0-");
	/* The prefix of node "edge" finds no endpoint of "edge-7"'s by itself: the caller must see.
	 * */
	assert_true(str_starts("edge--7-k8s-web--0-eth0", node));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(taken_apart),
		cmocka_unit_test(prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
