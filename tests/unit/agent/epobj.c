/* WorkloadEndpoints: names, golden JSON, hostile JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/cni/epobj.h"
#include "model/wall.h"

static struct cni_call call_of(const char *ns, const char *pod, const char *id)
{
	return (struct cni_call) { .k8s = *pod,
				   .pod_namespace = ns,
				   .pod_name = pod,
				   .container_id = id,
				   .ifname = "eth0",
				   .network = "k8s-pod-network" };
}

static void host_interface_names(void **state)
{
	static const struct {
		const char *ns, *pod, *id, *prefix, *want;
	} rows[] = {
		{ "default", "pod", "x", "cali", "cali9381c30abed" },
		{ "default", "pod1", "x", "cali", "calice0906292e2" },
		{ "default", "pod2", "x", "cali", "calibd2348b4f67" },
		{ "default", "", "0123456789abcdef", "cali", "cali0123456789a" },
		{ "default", "", "ab", "cali", "caliab" },
		{ "default", "pod", "x", "tap", "tap9381c30abed" },
		{ "default", "pod", "x", "toolong", "tool9381c30abed" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cni_call c = call_of(rows[i].ns, rows[i].pod, rows[i].id);
		char got[WEP_IFNAME_MAX];

		epobj_host_ifname(rows[i].prefix, &c, got);
		assert_string_equal(got, rows[i].want);
	}
}

static void keys(void **state)
{
	struct cni_call c = call_of("default", "web-0", "id");
	CLEANUP(freep) char *key = epobj_key(&c, "edge-7");
	CLEANUP(freep) char *siblings = epobj_key_siblings(&c, "edge-7");

	assert_string_equal(key, WEP_KEYS "default/edge--7-k8s-web--0-eth0");
	assert_string_equal(siblings, WEP_KEYS "default/edge--7-k8s-web--0-");
	assert_true(epobj_is_sibling(siblings, key));
	c = call_of("default", "web", "id");
	CLEANUP(freep) char *shorter = epobj_key_siblings(&c, "edge-7");
	assert_true(str_starts(key, shorter));
	assert_false(epobj_is_sibling(shorter, key));
	c = call_of("default", "", "a-b");
	CLEANUP(freep) char *plain = epobj_key(&c, "n");
	assert_string_equal(plain, WEP_KEYS "default/n-cni-a--b-eth0");
}

#define GOLDEN                                                                                  \
	"{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{" \
	"\"name\":\"edge--7-k8s-web--0-eth0\",\"namespace\":\"default\",\"uid\":\"u-1\","       \
	"\"creationTimestamp\":\"2026-08-01T10:00:00Z\",\"labels\":{"                           \
	"\"projectcalico.org/namespace\":\"default\",\"projectcalico.org/"                      \
	"orchestrator\":\"k8s\"}},"                                                             \
	"\"spec\":{\"orchestrator\":\"k8s\",\"node\":\"edge-7\",\"containerID\":\"9f31aa\","    \
	"\"pod\":\"web-0\",\"serviceAccountName\":\"default\","                                  \
	"\"endpoint\":\"eth0\",\"ipNetworks\":[\"10.20.0.67/32\",\"fd00::67/" \
	"128\"],"                                                                               \
	"\"profiles\":[\"kns.default\",\"ksa.default.default\"],"                               \
	"\"interfaceName\":\"cali0123\",\"mac\":\"02:00:00:00:00:01\"}}"

static struct epobj_new baseline(struct cni_call *c, struct prefix nets[2])
{
	int64_t now = 0;

	*c = call_of("default", "web-0", "9f31aa");
	c->policy_k8s = true;
	c->service_account = "default";
	assert_true(prefix_parse("10.20.0.67/26", &nets[0]));
	assert_true(prefix_parse("fd00::67/122", &nets[1]));
	assert_true(wall_parse("2026-08-01T10:00:00Z", &now));
	return (struct epobj_new) { .call = c,
				    .node = "edge-7",
				    .host_ifname = "cali0123",
				    .mac = "02:00:00:00:00:01",
				    .nets = nets,
				    .n_nets = 2,
				    .uid = "u-1",
				    .now_ns = now };
}

static void golden(void **state)
{
	struct prefix nets[2];
	struct cni_call c;
	struct epobj_new w = baseline(&c, nets);
	CLEANUP(freep) char *json = epobj_encode(&w);

	assert_string_equal(json, GOLDEN);
}

static void decode_gives_back(void **state)
{
	struct err e = { 0 };
	struct epobj w;
	char buf[PREFIX_STR_MAX];

	assert_int_equal(epobj_decode(&w, GOLDEN, &e), 0);
	assert_string_equal(w.node, "edge-7");
	assert_string_equal(w.container_id, "9f31aa");
	assert_string_equal(w.ifname, "cali0123");
	assert_int_equal(w.n_nets, 2);
	assert_string_equal(prefix_format(&w.nets[0], buf), "10.20.0.67/32");
	assert_true(w.has_mac && w.mac[0] == 2 && w.mac[5] == 1);
	epobj_done(&w);
}

/* The same container again: what others wrote stays. Another container: only the identity does. */
static void replacing(void **state)
{
	const char *old = "{\"metadata\":{\"uid\":\"old\",\"creationTimestamp\":\"t\","
			  "\"annotations\":{\"a\":\"b\"}},"
			  "\"spec\":{\"containerID\":\"9f31aa\",\"ports\":[1],\"future\":7}}";
	const char *other = "{\"metadata\":{\"uid\":\"old\"},\"spec\":{\"containerID\":\"dead\","
			    "\"ports\":[1]}}";
	struct prefix nets[2];
	struct cni_call c;
	struct epobj_new w = baseline(&c, nets);

	w.old = old;
	CLEANUP(freep) char *same = epobj_encode(&w);
	assert_non_null(strstr(same, "\"uid\":\"old\""));
	assert_non_null(strstr(same, "\"future\":7"));
	assert_non_null(strstr(same, "\"annotations\""));
	w.old = other;
	CLEANUP(freep) char *fresh = epobj_encode(&w);
	assert_non_null(strstr(fresh, "\"uid\":\"old\""));
	assert_null(strstr(fresh, "ports"));
	w.old = "garbage";
	CLEANUP(freep) char *anyway = epobj_encode(&w);
	assert_string_equal(anyway, GOLDEN);
}

static void hostile(void **state)
{
	static const char *const bad[] = {
		"",
		"7",
		"{}",
		"{\"spec\":7}",
		"{\"spec\":{\"node\":7}}",
		"{\"spec\":{\"node\":\"n\",\"interfaceName\":\"../../x\"}}",
		"{\"spec\":{\"node\":\"n\",\"interfaceName\":\"aaaaaaaaaaaaaaaaa\"}}",
		"{\"spec\":{\"node\":\"n\",\"ipNetworks\":[7]}}",
		"{\"spec\":{\"node\":\"n\",\"ipNetworks\":[\"10.0.0.1/8\"]}}",
		"{\"spec\":{\"node\":\"n\",\"ipNetworks\":\"10.0.0.1\"}}",
		"{\"spec\":{\"node\":\"n\",\"ipNetworks\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1."
		"1.1.1\","
		"\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		struct epobj w;

		assert_true(epobj_decode(&w, bad[i], &e) < 0);
		assert_true(e.msg[0] != 0);
		assert_true(epobj_decode(&w, bad[i], NULL) < 0);
	}
}

static void cut_at_every_byte(void **state)
{
	for (size_t n = 0; n < strlen(GOLDEN); n++) {
		CLEANUP(freep) char *cut = xstrndup(GOLDEN, n);
		struct epobj w;

		assert_true(epobj_decode(&w, cut, NULL) < 0);
	}
}

static void members_twice_and_null(void **state)
{
	struct epobj w;

	assert_int_equal(epobj_decode(&w,
				      "{\"spec\":{\"node\":\"a\",\"node\":\"b\",\"mac\":null,"
				      "\"ipNetworks\":null,\"ipNetworks\":[\"10.0.0.1\"]},"
				      "\"spec\":{\"ipNetworks\":[\"10.0.0.2/32\"],"
				      "\"allowSpoofedSourcePrefixes\":[\"10.0.0.0/8\"]}}",
				      NULL),
			 0);
	assert_string_equal(w.node, "b");
	assert_int_equal(w.n_nets, 1);
	assert_int_equal(w.nets[0].addr.b[3], 2);
	assert_false(w.has_mac);
	assert_true(w.any_source);
	epobj_done(&w);
}

static void profile_of_a_network(void **state)
{
	struct cni_call c = call_of("default", "", "id");
	CLEANUP(freep) char *json = epobj_profile_encode(&c, "u", 0);

	assert_non_null(strstr(json, "\"selector\":\"has(k8s-pod-network)\""));
	assert_non_null(strstr(json, "\"labelsToApply\":{\"k8s-pod-network\":\"\"}"));
	c = call_of("default", "p", "id");
	CLEANUP(freep) char *pods = epobj_profile_encode(&c, "u", 0);
	assert_null(strstr(pods, "selector"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_interface_names),
		cmocka_unit_test(keys),
		cmocka_unit_test(golden),
		cmocka_unit_test(decode_gives_back),
		cmocka_unit_test(replacing),
		cmocka_unit_test(hostile),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(members_twice_and_null),
		cmocka_unit_test(profile_of_a_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
