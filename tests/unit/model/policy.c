/* policy.c - policies, tiers, network sets, host endpoints: what is refused and where, and how a policy
 * is stored */
#include "model/policy.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/object.h"
#include "model/tier.h"
#include "tests/unit/parse.h"

static struct object make(const char *kind, const char *name, const char *spec)
{
	struct object o = object_new(kind_find(kind), "default", name);

	js_set(o.json, "spec", parse(spec));
	return o;
}

/* error NULL: it is right; else what the message begins with. */
static void expect(const char *kind, const char *name, const char *spec, const char *error)
{
	struct object o = make(kind, name, spec);
	struct err e = { 0 };
	int rc = object_check(&o, &e);

	if ((rc < 0) != (error != NULL) || (error && !str_starts(e.msg, error)))
		fail_msg("%s %s: \"%s\", must be \"%s\"", kind, spec, e.msg,
			 error ? error : "fine");
	object_done(&o);
}

/* One ingress rule, Allow and what is given. */
static const struct {
	const char *rule, *error;
} rules[] = {
	{ "", NULL },
	{ "\"protocol\":\"TCP\"", NULL },
	{ "\"protocol\":\"tcp\"", NULL },
	{ "\"protocol\":6", NULL },
	{ "\"protocol\":\"6\"", NULL },
	{ "\"protocol\":255", NULL },
	{ "\"protocol\":0", "spec.ingress[0].protocol: must be TCP" },
	{ "\"protocol\":256", "spec.ingress[0].protocol" },
	{ "\"protocol\":\"TPC\"", "spec.ingress[0].protocol" },
	{ "\"protocol\":[]", "spec.ingress[0].protocol" },
	{ "\"notProtocol\":\"x\"", "spec.ingress[0].notProtocol" },
	{ "\"ipVersion\":4", NULL },
	{ "\"ipVersion\":5", "spec.ingress[0].ipVersion: must be 4 or 6" },
	{ "\"protocol\":\"ICMP\",\"icmp\":{\"type\":8,\"code\":0}", NULL },
	{ "\"protocol\":1,\"icmp\":{\"type\":8}", NULL },
	{ "\"protocol\":\"ICMP\",\"icmp\":{\"type\":255}", "spec.ingress[0].icmp.type" },
	{ "\"protocol\":\"ICMP\",\"icmp\":{\"code\":1}", "spec.ingress[0].icmp.code: needs" },
	{ "\"icmp\":{\"type\":8}", "spec.ingress[0].icmp: protocol" },
	{ "\"notICMP\":{\"type\":8}", NULL },
	{ "\"protocol\":\"TCP\",\"notICMP\":{\"type\":8}", "spec.ingress[0].notICMP" },
	{ "\"protocol\":\"ICMP\",\"ipVersion\":6", "spec.ingress[0].protocol: ICMP" },
	{ "\"source\":{\"nets\":[\"10.0.0.0/8\"]}", NULL },
	{ "\"source\":{\"nets\":[\"10.0.0.1/8\"]}", "spec.ingress[0].source.nets[0]" },
	{ "\"source\":{\"nets\":[\"10.0.0.1\"]}", "spec.ingress[0].source.nets[0]" },
	{ "\"source\":{\"nets\":[\"10.0.0.0/8\",\"fd00::/8\"]}", "spec.ingress[0].source.nets" },
	{ "\"source\":{\"nets\":[\"10.0.0.0/8\"]},\"destination\":{\"notNets\":[\"fd00::/8\"]}",
	  "spec.ingress[0].destination.notNets: a rule is for IPv4 or" },
	{ "\"ipVersion\":6,\"source\":{\"nets\":[\"10.0.0.0/8\"]}", "spec.ingress[0].source.nets" },
	{ "\"source\":{\"notNets\":[\"0.0.0.0/0\"]}", "spec.ingress[0].source.notNets: a range" },
	{ "\"source\":{\"nets\":[\"0.0.0.0/0\"]}", NULL },
	{ "\"source\":{\"selector\":\"a ==\"}", "spec.ingress[0].source.selector: selector" },
	{ "\"source\":{\"selector\":\"global()\"}", "spec.ingress[0].source.selector" },
	{ "\"source\":{\"namespaceSelector\":\"global()\"}", NULL },
	{ "\"source\":{\"namespaceSelector\":\"global() || has(a)\"}",
	  "spec.ingress[0].source.namespaceSelector" },
	{ "\"source\":{\"serviceAccounts\":{\"names\":[\"a\"],\"selector\":\"has(\"}}",
	  "spec.ingress[0].source.serviceAccounts.selector" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[1,\"2:3\",\"web\",\"9p\"]}", NULL },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[0]}",
	  "spec.ingress[0].source.ports: entry 0" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[1,65536]}",
	  "spec.ingress[0].source.ports: entry 1" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[\"3:2\"]}", "spec.ingress[0].source.ports" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[\"1:\"]}", "spec.ingress[0].source.ports" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":[\"a b\"]}", "spec.ingress[0].source.ports" },
	{ "\"protocol\":\"TCP\",\"source\":{\"ports\":\"1\"}", "spec.ingress[0].source.ports" },
	{ "\"source\":{\"ports\":[1]}", "spec.ingress[0].source.ports: numbers" },
	{ "\"source\":{\"ports\":[\"web\"]}", NULL },
	{ "\"protocol\":\"ICMP\",\"source\":{\"ports\":[\"web\"]}",
	  "spec.ingress[0].source.ports" },
	{ "\"protocol\":\"UDPLite\",\"source\":{\"ports\":[1]}", "spec.ingress[0].source.ports" },
	{ "\"source\":{\"services\":{\"name\":\"s\"}}", NULL },
	{ "\"source\":{\"services\":{}}", "spec.ingress[0].source.services.name" },
	{ "\"destination\":{\"services\":{\"name\":\"s\"}}",
	  "spec.ingress[0].destination.services: only" },
	{ "\"source\":{\"services\":{\"name\":\"s\"},\"selector\":\"has(a)\"}",
	  "spec.ingress[0].source.services: cannot" },
	{ "\"http\":{\"methods\":[\"GET\"],\"paths\":[{\"exact\":\"/a\"}]}", NULL },
	{ "\"http\":{\"methods\":[\"GET\",\"GET\"]}", "spec.ingress[0].http.methods" },
	{ "\"http\":{\"paths\":[{\"exact\":\"/a\",\"prefix\":\"/b\"}]}",
	  "spec.ingress[0].http.paths" },
	{ "\"http\":{\"paths\":[{\"prefix\":\"a\"}]}", "spec.ingress[0].http.paths" },
	{ "\"http\":{\"paths\":[{\"prefix\":\"/a?b\"}]}", "spec.ingress[0].http.paths" },
	{ "\"protocol\":\"UDP\",\"http\":{\"methods\":[\"GET\"]}", "spec.ingress[0].http" },
	{ "\"souce\":{}", "spec.ingress[0].souce: unknown field; did you mean \"source\"" },
	{ "\"metadata\":{\"annotations\":{\"a\":\"b\"}}", NULL },
};

static void each_rule(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		CLEANUP(freep)
		char *spec = xasprintf("{\"ingress\":[{\"action\":\"Allow\"%s%s}]}",
				       *rules[i].rule ? "," : "", rules[i].rule);

		expect("NetworkPolicy", "a", spec, rules[i].error);
		if (!rules[i].error && !strstr(spec, "services"))
			expect("Profile", "a", spec, NULL);
	}
}

static const struct {
	const char *kind, *name, *spec, *error;
} objects[] = {
	{ "NetworkPolicy", "a", "{\"ingress\":[{}]}", "spec.ingress[0].action: is missing" },
	{ "NetworkPolicy", "a", "{\"egress\":[{\"action\":\"allow\"}]}", "spec.egress[0].action" },
	{ "NetworkPolicy", "a", "{\"types\":[\"Ingress\",\"Ingress\"]}", "spec.types[1]" },
	{ "NetworkPolicy", "a", "{\"types\":[\"Inside\"]}", "spec.types[0]" },
	{ "NetworkPolicy", "a", "{\"order\":\"1\"}", "spec.order: must be a number" },
	{ "NetworkPolicy", "a", "{\"order\":1.5}", NULL },
	{ "NetworkPolicy", "a", "{\"tier\":\"A\"}", "spec.tier" },
	{ "NetworkPolicy", "a", "{\"doNotTrack\":true}", "spec.doNotTrack: unknown field" },
	{ "NetworkPolicy", "t.a", "{}", NULL },
	{ "NetworkPolicy", "t.a.b", "{}", "metadata.name" },
	{ "NetworkPolicy", "knp.default.a.b", "{}", NULL },
	{ "GlobalNetworkPolicy", "a",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"serviceAccounts\":{\"names\":[\"a\","
	  "\"b'} || all() || x in {'c\"]}}}]}",
	  "spec.ingress[0].source.serviceAccounts.names[1]: " },
	{ "GlobalNetworkPolicy", "a", "{\"doNotTrack\":true}", "spec.applyOnForward" },
	{ "GlobalNetworkPolicy", "a", "{\"doNotTrack\":true,\"applyOnForward\":true}", NULL },
	{ "GlobalNetworkPolicy", "a",
	  "{\"doNotTrack\":true,\"preDNAT\":true,\"applyOnForward\":true}", "spec.preDNAT" },
	{ "GlobalNetworkPolicy", "a",
	  "{\"preDNAT\":true,\"applyOnForward\":true,\"types\":[\"Egress\"]}", "spec.preDNAT" },
	{ "GlobalNetworkPolicy", "a",
	  "{\"preDNAT\":true,\"applyOnForward\":true,\"egress\":[{\"action\":\"Deny\"}]}",
	  "spec.preDNAT" },
	{ "GlobalNetworkPolicy", "a",
	  "{\"ingress\":[{\"action\":\"Allow\",\"source\":{\"services\":{\"name\":\"s\"}}}]}",
	  "spec.ingress[0].source.services.namespace" },
	{ "GlobalNetworkPolicy", "a", "{\"egress\":[{\"action\":\"Allow\",\"http\":{}}]}",
	  "spec.egress[0].http" },
	{ "StagedNetworkPolicy", "a", "{\"stagedAction\":\"Delete\"}", NULL },
	{ "StagedKubernetesNetworkPolicy", "a", "{\"podSelector\":{},\"policyTypes\":[]}", NULL },
	{ "Tier", "a", "{\"order\":7,\"defaultAction\":\"Pass\"}", NULL },
	{ "Tier", "a.b", "{}", "metadata.name" },
	{ "Tier", "default", "{\"order\":1000000,\"defaultAction\":\"Deny\"}", NULL },
	{ "Tier", "default", "{\"order\":1}", "spec.order" },
	{ "Tier", "default", "{\"defaultAction\":\"Pass\"}", "spec.defaultAction" },
	{ "Tier", "kube-admin", "{\"order\":1000,\"defaultAction\":\"Pass\"}", NULL },
	{ "NetworkSet", "a", "{\"nets\":[\"10.0.0.1\",\"10.1.2.3/8\",\"::/0\"]}", NULL },
	{ "NetworkSet", "a", "{\"nets\":[\"10.0.0.256\"]}", "spec.nets[0]" },
	{ "HostEndpoint", "a", "{\"node\":\"n\"}", "spec.interfaceName" },
	{ "HostEndpoint", "a", "{\"node\":\"n\",\"interfaceName\":\"*\"}", NULL },
	{ "HostEndpoint", "a", "{\"node\":\"n\",\"expectedIPs\":[\"10.0.0.1\"]}", NULL },
	{ "HostEndpoint", "a", "{\"interfaceName\":\"*\"}", "spec.node" },
	{ "HostEndpoint", "a",
	  "{\"node\":\"n\",\"interfaceName\":\"*\",\"ports\":[{\"name\":\"a\",\"protocol\":"
	  "\"ICMP\","
	  "\"port\":1}]}",
	  "spec.ports[0].protocol" },
	{ "HostEndpoint", "a",
	  "{\"node\":\"n\",\"interfaceName\":\"*\",\"ports\":[{\"name\":\"\",\"port\":1}]}",
	  "spec.ports[0].name" },
	{ "Profile", "a", "{\"ingress\":[3]}", "spec.ingress[0]" },
};

static void each_object(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		expect(objects[i].kind, objects[i].name, objects[i].spec, objects[i].error);
}

static void limits(void **state)
{
	struct object o = make("NetworkPolicy", "a", "{}");
	json_t *list = json_array();
	struct err e = { 0 };

	for (int i = 0; i <= RULES_MAX; i++)
		json_array_append_new(list, parse("{\"action\":\"Deny\"}"));
	js_set(object_spec_json(&o), "ingress", list);
	assert_int_equal(object_check(&o, &e), -E2BIG);
	json_array_remove(list, 0);
	assert_int_equal(object_check(&o, &e), 0);
	object_done(&o);
}

/* Calico's nodes leave a policy out that says "tcp". */
static void protocols_as_calico_has_them(void **state)
{
	struct object o = make("GlobalNetworkPolicy", "a",
			       "{\"ingress\":[{\"action\":\"Allow\",\"protocol\":\"tcp\"}],"
			       "\"egress\":[{\"action\":\"Deny\",\"notProtocol\":\"UDPLITE\"},"
			       "{\"action\":\"Deny\",\"protocol\":\"6\"},7]}");
	json_t *egress = js_at(o.json, "spec.egress");

	object_fill(&o);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(js_at(o.json, "spec.ingress"), 0), "protocol")),
			    "TCP");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(egress, 0), "notProtocol")),
		"UDPLite");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(egress, 1), "protocol")), "6");
	object_done(&o);
	o = make("HostEndpoint", "a",
		 "{\"node\":\"n\",\"interfaceName\":\"*\",\"ports\":[{\"name\":\"a\",\"port\":1,"
		 "\"protocol\":\"sctp\"}]}");
	object_fill(&o);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(js_at(o.json, "spec.ports"), 0), "protocol")),
			    "SCTP");
	object_done(&o);
}

static void filled(void **state)
{
	static const struct {
		const char *spec, *types;
	} rows[] = {
		{ "{}", "[\"Ingress\"]" },
		{ "{\"ingress\":[{\"action\":\"Deny\"}]}", "[\"Ingress\"]" },
		{ "{\"egress\":[{\"action\":\"Deny\"}]}", "[\"Egress\"]" },
		{ "{\"ingress\":[{\"action\":\"Deny\"}],\"egress\":[{\"action\":\"Deny\"}]}",
		  "[\"Ingress\",\"Egress\"]" },
		{ "{\"types\":[\"Egress\"]}", "[\"Egress\"]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object o = make("NetworkPolicy", "a", rows[i].spec);
		char *text;

		object_fill(&o);
		text = js_dump(js_at(o.json, "spec.types"));
		assert_string_equal(text, rows[i].types);
		free(text);
		assert_string_equal(json_string_value(js_at(o.json, "spec.tier")), "default");
		object_done(&o);
	}
}

#define NP_KEY "/calico/resources/v3/projectcalico.org/networkpolicies/default/"

static void stored_names(void **state)
{
	static const struct {
		const char *key, *meta, *tier, *name;
	} rows[] = {
		{ "web", "", "", "web" },
		{ "default.web", "", "", "web" },
		{ "default.web", "", "default", "web" },
		{ "default.web", "", "other", "default.web" },
		{ "other.web", "", "other", "other.web" },
		{ "default.web", "{\\\"name\\\":\\\"web\\\"}", "default", "web" },
		{ "default.web", "{\\\"name\\\":\\\"default.web\\\"}", "default", "default.web" },
		{ "web", "{\\\"name\\\":\\\"../x\\\"}", "", "web" },
		{ "web", "rubbish", "", "web" },
		{ "default.", "", "", "default." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *key = xasprintf(NP_KEY "%s", rows[i].key);
		CLEANUP(freep)
		char *value = xasprintf(
			"{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"NetworkPolicy\","
			"\"metadata\":{\"name\":\"%s\",\"annotations\":{\"projectcalico.org/"
			"metadata\":"
			"\"%s\"}},\"spec\":{\"tier\":\"%s\"}}",
			rows[i].key, rows[i].meta, rows[i].tier);
		struct object o, again;
		struct err e = { 0 };
		CLEANUP(freep) char *back = NULL, *text = NULL;

		assert_int_equal(object_decode(key, value, 7, &o, &e), 0);
		assert_string_equal(o.name, rows[i].name);
		assert_string_equal(object_meta(&o, "name"), rows[i].name);
		assert_null(object_annotation(&o, POLICY_NOTE_METADATA));
		/* It is written where it was read. */
		back = object_key(&o);
		assert_string_equal(back, key);
		text = object_encode(&o);
		assert_int_equal(object_decode(key, text, 8, &again, &e), 0);
		assert_string_equal(again.name, rows[i].name);
		assert_string_equal(object_label(&again, POLICY_LABEL_TIER),
				    *rows[i].tier ? rows[i].tier : "default");
		object_done(&o);
		object_done(&again);
	}
}

static void new_is_stored_by_its_name(void **state)
{
	struct object o = make("GlobalNetworkPolicy", "web", "{}");
	CLEANUP(freep) char *key = object_key(&o), *text = object_encode(&o);

	assert_string_equal(key,
			    "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/web");
	assert_non_null(
		strstr(text, "\"projectcalico.org/metadata\":\"{\\\"name\\\":\\\"web\\\"}\""));
	assert_non_null(strstr(text, "\"projectcalico.org/tier\":\"default\""));
	/* What a person sees has neither. */
	assert_null(object_annotation(&o, POLICY_NOTE_METADATA));
	object_done(&o);
}

static void orders(void **state)
{
	struct object o = make("Tier", "default", "{\"order\":3,\"defaultAction\":\"Pass\"}");
	enum tier_action action;
	double order;

	tier_read(&o, &order, &action);
	assert_true(order >= 1e6 && order <= 1e6 && action == TIER_DENY);
	object_done(&o);
	o = make("Tier", "x", "{\"order\":\"?\",\"defaultAction\":7}");
	tier_read(&o, &order, &action);
	assert_true(isinf(order) && action == TIER_DENY);
	object_done(&o);
	o = make("Tier", "x", "{\"order\":2.5,\"defaultAction\":\"Pass\"}");
	tier_read(&o, &order, &action);
	assert_true(order > 2 && order < 3 && action == TIER_PASS);
	object_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule),
		cmocka_unit_test(each_object),
		cmocka_unit_test(limits),
		cmocka_unit_test(protocols_as_calico_has_them),
		cmocka_unit_test(filled),
		cmocka_unit_test(stored_names),
		cmocka_unit_test(new_is_stored_by_its_name),
		cmocka_unit_test(orders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
