/* result.c - the agent's answer as values, and results as each CNI version wants them */
#include "cni-plugin/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/json.h"

static json_t *tree(const char *text)
{
	json_t *t = NULL;
	struct err e = { 0 };

	if (js_parse(text, strlen(text), &t, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return t;
}

static const struct env env = { .ifname = "eth0", .netns = "/run/netns/x" };

static const struct {
	const char *what, *text;
	const char *complaint; /* NULL: good */
} answers[] = {
	{ "the least", "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1/32\"}]}",
	  NULL },
	{ "all of it",
	  "{\"hostInterface\":\"cali1\",\"hostMac\":\"ee:ee:ee:ee:ee:ee\",\"mtu\":1450,"
	  "\"ips\":[{\"address\":\"10.0.0.1/26\"},{\"address\":\"fd00::1/122\"}],"
	  "\"routes\":[{\"dst\":\"10.0.0.0/8\"}],\"mac\":\"02:00:00:00:00:01\",\"ipForward\":true,"
	  "\"numQueues\":2}",
	  NULL },
	{ "no interface", "{\"ips\":[{\"address\":\"10.0.0.1/32\"}]}",
	  "hostInterface: is missing" },
	{ "a path as interface",
	  "{\"hostInterface\":\"../x\",\"ips\":[{\"address\":\"10.0.0.1/32\"}]}", "hostInterface" },
	{ "16 characters",
	  "{\"hostInterface\":\"abcdefghijklmnop\",\"ips\":[{\"address\":\"10.0.0.1/32\"}]}",
	  "hostInterface" },
	{ "no address", "{\"hostInterface\":\"cali1\",\"ips\":[]}", "ips: holds no address" },
	{ "nine addresses", "{\"hostInterface\":\"cali1\",\"ips\":[{},{},{},{},{},{},{},{},{}]}",
	  "may have 8" },
	{ "no prefix", "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1\"}]}",
	  "ips[0].address" },
	{ "route with host bits",
	  "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1/32\"}],"
	  "\"routes\":[{\"dst\":\"10.0.0.1/8\"}]}",
	  "routes[0].dst" },
	{ "group MAC",
	  "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1/32\"}],"
	  "\"mac\":\"01:00:00:00:00:00\"}",
	  "mac: " },
	{ "half a MAC",
	  "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1/32\"}],"
	  "\"mac\":\"02:00:00\"}",
	  "mac: " },
	{ "mtu too large",
	  "{\"hostInterface\":\"cali1\",\"ips\":[{\"address\":\"10.0.0.1/32\"}],\"mtu\":70000}",
	  "mtu" },
};

static void test_answers(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		CLEANUP(js_freep) json_t *t = tree(answers[i].text);
		struct cni_error f = { 0 };
		struct answer a;
		int rc = answer_parse(&a, t, &f);

		if ((rc < 0) != (answers[i].complaint != NULL) ||
		    (rc < 0 && !strstr(f.details, answers[i].complaint)))
			fail_msg("%s: %s %s", answers[i].what, f.msg, f.details);
	}
}

static void test_answer_values(void **state)
{
	CLEANUP(js_freep) json_t *t = tree(answers[1].text);
	struct cni_error f = { 0 };
	struct answer a;

	assert_int_equal(answer_parse(&a, t, &f), 0);
	assert_int_equal(a.n_ips, 2);
	assert_int_equal(a.ips[0].len, 32);
	assert_int_equal(a.ips[1].len, 128);
	assert_true(a.v4 && a.v6 && a.has_mac && a.ip_forward);
	assert_int_equal(a.mac[5], 1);
	assert_int_equal(a.queues, 2);
	assert_int_equal(a.n_routes, 1);
}

static void expect_result(const char *version, const char *text)
{
	struct conf c = { .version = version };
	struct answer a = { .host_if = "cali1", .mtu = 1450, .n_ips = 2 };
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	CLEANUP(freep) char *got = NULL, *flat = NULL;
	CLEANUP(js_freep) json_t *t = NULL;

	prefix_parse("10.0.0.1/32", &a.ips[0]);
	prefix_parse("fd00::1/128", &a.ips[1]);
	got = result_json(&c, &env, &a, mac, NULL);
	t = tree(got);
	flat = js_dump(t);
	assert_string_equal(flat, text);
}

static void test_results_by_version(void **state)
{
	expect_result(
		"0.3.1",
		"{\"cniVersion\":\"0.3.1\",\"interfaces\":[{\"name\":\"cali1\"},{\"name\":\"eth0\","
		"\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/run/netns/x\"}],"
		"\"ips\":[{\"version\":\"4\",\"address\":\"10.0.0.1/32\",\"interface\":1},"
		"{\"version\":\"6\",\"address\":\"fd00::1/128\",\"interface\":1}],\"dns\":{}}");
	expect_result(
		"1.0.0",
		"{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"cali1\"},{\"name\":\"eth0\","
		"\"mac\":\"02:00:00:00:00:01\",\"sandbox\":\"/run/netns/x\"}],"
		"\"ips\":[{\"address\":\"10.0.0.1/32\",\"interface\":1},"
		"{\"address\":\"fd00::1/128\",\"interface\":1}],\"dns\":{}}");
	expect_result(
		"1.1.0",
		"{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"cali1\"},{\"name\":\"eth0\","
		"\"mac\":\"02:00:00:00:00:01\",\"mtu\":1450,\"sandbox\":\"/run/netns/x\"}],"
		"\"ips\":[{\"address\":\"10.0.0.1/32\",\"interface\":1},"
		"{\"address\":\"fd00::1/128\",\"interface\":1}],\"dns\":{}}");
}

static void test_ipam_result(void **state)
{
	CLEANUP(js_freep)
	json_t *reply = tree("{\"ok\":true,\"ips\":[{\"address\":\"10.0.0.1/26\"}],"
			     "\"routes\":[{\"dst\":\"10.0.0.1/32\"}]}");
	struct conf old = { .version = "0.4.0" }, new = { .version = "1.1.0" };
	CLEANUP(freep) char *a = result_ipam_json(&old, reply), *b = result_ipam_json(&new, reply);

	assert_non_null(strstr(a, "\"version\": \"4\""));
	assert_null(strstr(b, "\"version\""));
	assert_non_null(strstr(b, "10.0.0.1/26"));
	assert_null(strstr(b, "interface"));
}

static void test_what_check_expects(void **state)
{
	static const struct {
		const char *text;
		const char *complaint;
	} rows[] = {
		{ "{\"interfaces\":[{\"name\":\"cali1\"},{\"name\":\"eth0\",\"mac\":\"02:00:00:00:"
		  "00:01\","
		  "\"mtu\":1450,\"sandbox\":\"/x\"},{\"name\":\"bwp1\"}],\"ips\":["
		  "{\"address\":\"10.0.0.1/32\",\"interface\":1},"
		  "{\"address\":\"10.9.9.9/32\",\"interface\":2}]}",
		  NULL },
		{ "{\"interfaces\":[{\"name\":\"cali1\"}]}", "holds no eth0" },
		{ "{}", "holds no eth0" },
		{ "{\"interfaces\":{}}", "interfaces: must be" },
		{ "{\"interfaces\":[7]}", "interfaces[0]" },
		{ "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\"}],\"ips\":[{}]}",
		  "ips[0].address: is missing" },
		{ "{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
		  "\"ips\":[{\"address\":\"hello\"}]}",
		  "ips[0].address" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(js_freep) json_t *t = tree(rows[i].text);
		struct cni_error f = { 0 };
		struct expected x;
		int rc = result_expect(&x, t, &env, &f);

		if ((rc < 0) != (rows[i].complaint != NULL) ||
		    (rc < 0 && !strstr(f.msg, rows[i].complaint)))
			fail_msg("%s: %s", rows[i].text, f.msg);
		if (rc < 0)
			continue;
		assert_string_equal(x.host_if, "cali1");
		assert_int_equal(x.n_ips, 1);
		assert_int_equal(x.mtu, 1450);
	}
}

static void test_error_text(void **state)
{
	struct cni_error f = { 0 };
	CLEANUP(freep) char *text = NULL;
	CLEANUP(js_freep) json_t *t = NULL;

	cni_fail(&f, 7, "a \"quoted\" thing\n");
	text = cni_error_json(&f, "1.0.0");
	t = tree(text);
	assert_int_equal(json_integer_value(json_object_get(t, "code")), 7);
	assert_string_equal(json_string_value(json_object_get(t, "msg")), "a \"quoted\" thing\n");
	assert_string_equal(json_string_value(json_object_get(t, "cniVersion")), "1.0.0");
	assert_null(json_object_get(t, "details"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answer_values),
		cmocka_unit_test(test_results_by_version),
		cmocka_unit_test(test_ipam_result),
		cmocka_unit_test(test_what_check_expects),
		cmocka_unit_test(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
