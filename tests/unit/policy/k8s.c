/* k8s.c - Kubernetes' objects in Calico's form; what cannot be converted is left out and never "any" */
#include "policy/k8s.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "model/object.h"
#include "tests/unit/parse.h"

#define TERM "projectcalico.org/orchestrator == 'k8s'"

/* spec, and what comes of it; left: how many lines say what was left out. */
static const struct {
	const char *spec, *want;
	int left;
} policies[] = {
	{ "{\"podSelector\":{}}",
	  "{\"selector\":\"" TERM "\",\"types\":[\"Ingress\"],\"ingress\":[],\"egress\":[]}", 0 },
	{ "{}", "{\"selector\":\"" TERM "\",\"types\":[\"Ingress\"]}", 0 },
	{ "{\"egress\":[]}", "{\"types\":[\"Ingress\"]}", 0 },
	{ "{\"egress\":[{}]}",
	  "{\"types\":[\"Ingress\",\"Egress\"],\"egress\":[{\"action\":\"Allow\"}]}", 0 },
	{ "{\"policyTypes\":[\"Egress\"],\"ingress\":[{}]}", "{\"types\":[\"Egress\"]}", 0 },
	{ "{\"podSelector\":{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"}}}",
	  "{\"selector\":\"" TERM " && a == '1' && b == '2'\"}", 0 },
	{ "{\"podSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":"
	  "[\"x\",\"\"]},{\"key\":\"b\",\"operator\":\"NotIn\",\"values\":[\"y\"]},{\"key\":\"c\","
	  "\"operator\":\"Exists\"},{\"key\":\"d\",\"operator\":\"DoesNotExist\"}]}}",
	  "{\"selector\":\"" TERM " && a in {'x', ''} && b not in {'y'} && has(c) && !has(d)\"}",
	  0 },
	/* rules */
	{ "{\"ingress\":[{}]}", "{\"ingress\":[{\"action\":\"Allow\"}]}", 0 },
	{ "{\"ingress\":[{\"from\":[],\"ports\":[]}]}", "{\"ingress\":[{\"action\":\"Allow\"}]}",
	  0 },
	{ "{\"ingress\":[{\"ports\":[{}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"TCP\"}]}", 0 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":80},{\"port\":81},{\"port\":90,\"endPort\":99},"
	  "{\"port\":\"web\"},{\"protocol\":\"UDP\",\"port\":53},{\"protocol\":\"SCTP\"}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"TCP\",\"destination\":{\"ports\":"
	  "[\"80:81\",\"90:99\",\"web\"]}},{\"action\":\"Allow\",\"protocol\":\"UDP\","
	  "\"destination\":"
	  "{\"ports\":[53]}},{\"action\":\"Allow\",\"protocol\":\"SCTP\"}]}",
	  0 },
	{ "{\"egress\":[{\"to\":[{\"podSelector\":{}}],\"ports\":[{\"port\":80}]}]}",
	  "{\"egress\":[{\"action\":\"Allow\",\"protocol\":\"TCP\",\"destination\":{\"selector\":"
	  "\"" TERM "\",\"ports\":[80]}}]}",
	  0 },
	/* peers */
	{ "{\"ingress\":[{\"from\":[{\"namespaceSelector\":{}}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":\"" TERM
	  "\",\"namespaceSelector\":\"all()\"}}]}",
	  0 },
	{ "{\"ingress\":[{\"from\":[{\"namespaceSelector\":{\"matchLabels\":{\"a\":\"b\"}},"
	  "\"podSelector\":{\"matchLabels\":{\"c\":\"d\"}}}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":\"" TERM
	  " && c == 'd'\",\"namespaceSelector\":\"a == 'b'\"}}]}",
	  0 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":null,\"namespaceSelector\":{}}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":\"" TERM
	  "\",\"namespaceSelector\":\"all()\"}}]}",
	  0 },
	{ "{\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.1.2.3/8\",\"except\":[\"10.1.0.9/"
	  "16\"]"
	  "}}]}]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"nets\":[\"10.0.0.0/8\"],\"notNets\":"
	  "[\"10.1.0.0/16\"]}}]}",
	  0 },
	/* what cannot be converted */
	{ "{\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0/8\"}}]}]}", "{\"ingress\":[]}",
	  1 },
	{ "{\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\",\"except\":[\"x\"]}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\",\"except\":"
	  "[\"10.0.0.0/8\"]}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"::/0\"},\"podSelector\":{}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{\"a\":\"x' || all() || a == "
	  "'\\\"\"}}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{\"a) || all() || has(b\":"
	  "\"x\"}}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{\"a\":1}}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":{\"matchExpressions\":[{\"key\":\"a\","
	  "\"operator\":\"Like\"}]}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":[{\"podSelector\":{\"matchExpressions\":[{\"key\":\"a\","
	  "\"operator\":\"In\",\"values\":[]}]}}]}]}",
	  "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"from\":\"all\"}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":7}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"protocol\":\"GRE\"}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"protocol\":\"tcp\",\"port\":1}]}]}", "{\"ingress\":[]}",
	  1 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":0}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":\"80\"}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":\"web\",\"endPort\":9}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":9,\"endPort\":8}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"endPort\":8}]}]}", "{\"ingress\":[]}", 1 },
	{ "{\"ingress\":[{\"ports\":[{\"port\":0},{\"port\":1}]},7]}",
	  "{\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"TCP\",\"destination\":{\"ports\":[1]}"
	  "}]}",
	  2 },
	{ "{\"ingress\":{}}", "{\"ingress\":[]}", 1 },
};

static int count_lines(const char *s)
{
	int n = 0;

	while ((s = strchr(s, '\n'))) {
		n++;
		s++;
	}
	return n;
}

/* Every member of want is in spec, and equal. */
static void expect(const char *spec_text, const json_t *spec, const char *want_text)
{
	json_t *want = parse(want_text), *v;
	const char *key;

	json_object_foreach (want, key, v) {
		CLEANUP(freep) char *a = js_dump(json_object_get(spec, key)), *b = js_dump(v);

		if (!json_equal(v, json_object_get(spec, key)))
			fail_msg("%s: %s is %s, must be %s", spec_text, key, a, b);
	}
	json_decref(want);
}

static void each_policy(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
		json_t *json = parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"n\"}}");
		struct str left = { 0 };
		struct object o;
		struct err e = { 0 };

		js_set(json, "spec", parse(policies[i].spec));
		if (k8s_policy(json, &o, &left, &e) < 0)
			fail_msg("%s: %s", policies[i].spec, e.msg);
		assert_string_equal(o.name, "knp.default.web");
		assert_string_equal(o.ns, "n");
		expect(policies[i].spec, object_spec_json(&o), policies[i].want);
		expect(policies[i].spec, object_spec_json(&o),
		       "{\"tier\":\"default\",\"order\":1000}");
		if (count_lines(str_text(&left)) != policies[i].left)
			fail_msg("%s: left out: %s", policies[i].spec, str_text(&left));
		if (object_check(&o, &e) < 0)
			fail_msg("%s: %s", policies[i].spec, e.msg);
		object_done(&o);
		str_done(&left);
		json_decref(json);
	}
}

static void unreadable(void **state)
{
	static const char *const texts[] = {
		"{}",
		"{\"metadata\":{}}",
		"{\"metadata\":{\"name\":7}}",
		"{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podSelector\":7}}",
		"{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podSelector\":{\"matchLabels\":[]}}}",
		"{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podSelector\":{\"matchExpressions\":{}}"
		"}}",
		"{\"metadata\":{\"name\":\"a\"},\"spec\":{\"podSelector\":{\"matchExpressions\":[7]"
		"}}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *json = parse(texts[i]);
		struct object o;
		struct err e = { 0 };

		assert_int_equal(k8s_policy(json, &o, NULL, &e), -EINVAL);
		assert_true(*e.msg);
		json_decref(json);
	}
}

/* More peers than a policy may have rules, more ports than a rule may have. */
static void many(void **state)
{
	json_t *json = parse("{\"metadata\":{\"name\":\"web\"}}"), *peers = json_array(),
	       *ports = json_array();
	struct object o;
	struct err e = { 0 };

	for (int i = 0; i < 700; i++)
		json_array_append_new(peers, parse("{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\"}}"));
	for (int i = 0; i < 120; i++)
		json_array_append_new(ports, json_pack("{s:i}", "port", 1 + 2 * i));
	js_set(json, "spec",
	       json_pack("{s:[{s:o,s:o}]}", "ingress", "from", peers, "ports", ports));
	assert_int_equal(k8s_policy(json, &o, NULL, &e), 0);
	assert_int_equal(json_array_size(js_at(o.json, "spec.ingress")), 700 * 3);
	if (object_check(&o, &e) < 0)
		fail_msg("%s", e.msg);
	object_done(&o);
	json_decref(json);
}

static void profiles(void **state)
{
	json_t *json = parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"n\",\"labels\":"
			     "{\"a\":\"b\"}}}");
	struct object o;
	struct err e = { 0 };

	assert_int_equal(k8s_namespace(json, &o, &e), 0);
	assert_string_equal(o.name, "kns.web");
	expect("namespace", object_spec_json(&o),
	       "{\"ingress\":[{\"action\":\"Allow\"}],\"egress\":[{\"action\":\"Allow\"}],"
	       "\"labelsToApply\":{\"pcns.a\":\"b\",\"pcns.projectcalico.org/name\":\"web\"}}");
	object_done(&o);
	assert_int_equal(k8s_account(json, &o, &e), 0);
	assert_string_equal(o.name, "ksa.n.web");
	expect("account", object_spec_json(&o),
	       "{\"labelsToApply\":{\"pcsa.a\":\"b\",\"pcsa.projectcalico.org/name\":\"web\"}}");
	assert_null(js_at(o.json, "spec.ingress"));
	object_done(&o);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_policy),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(many),
		cmocka_unit_test(profiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
