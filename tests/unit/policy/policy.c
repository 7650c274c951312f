/* policy.c - policies ready for use: selectors combined, rules compiled, what cannot be read denies */
#include "policy/policy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "model/object.h"
#include "model/profile.h"
#include "model/selector.h"
#include "policy/input.h"
#include "tests/unit/parse.h"

static struct object make(const char *kind, const char *name, const char *spec)
{
	struct object o = object_new(kind_find(kind), "n", name);

	js_set(o.json, "spec", parse(spec));
	return o;
}

static struct policy *compile(const char *kind, const char *spec, int *rc)
{
	struct object o = make(kind, "a", spec);
	struct policy *p;
	struct err e = { 0 };

	*rc = policy_from_object(&o, &p, &e);
	if (*rc < 0)
		assert_true(str_starts(e.msg, kind));
	object_done(&o);
	return p;
}

#define IN_N "projectcalico.org/namespace == \"n\""

/* Whom a policy selects. */
static const struct {
	const char *kind, *spec, *selector;
} selections[] = {
	{ "NetworkPolicy", "{}", IN_N },
	{ "NetworkPolicy", "{\"selector\":\"a=='b'\"}", "(a == \"b\" && " IN_N ")" },
	{ "NetworkPolicy", "{\"selector\":\"has(a)||has(b)\"}",
	  "((has(a) || has(b)) && " IN_N ")" },
	{ "NetworkPolicy", "{\"serviceAccountSelector\":\"has(x)\"}", "(" IN_N " && has(pcsa.x))" },
	{ "NetworkPolicy", "{\"selector\":\"all()\",\"serviceAccountSelector\":\"all()\"}",
	  "((all() && " IN_N ") && all())" },
	{ "GlobalNetworkPolicy", "{}", "all()" },
	{ "GlobalNetworkPolicy", "{\"selector\":\"has(a)\"}", "has(a)" },
	{ "GlobalNetworkPolicy", "{\"namespaceSelector\":\"all()\"}",
	  "has(projectcalico.org/namespace)" },
	{ "GlobalNetworkPolicy", "{\"selector\":\"all()\",\"namespaceSelector\":\"a == 'all()'\"}",
	  "(has(projectcalico.org/namespace) && pcns.a == \"all()\")" },
	{ "GlobalNetworkPolicy", "{\"selector\":\"all()\",\"serviceAccountSelector\":\"all()\"}",
	  "(has(projectcalico.org/serviceaccount) && has(projectcalico.org/serviceaccount))" },
};

static void each_selection(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(selections); i++) {
		int rc;
		struct policy *p = compile(selections[i].kind, selections[i].spec, &rc);

		assert_int_equal(rc, 0);
		assert_string_equal(p->selector, selections[i].selector);
		policy_free(p);
	}
}

/* The set of a side, by the selector that it must be. NULL: none. */
static const struct {
	const char *kind, *side, *in, *not_in;
} sides[] = {
	{ "NetworkPolicy", "{}", NULL, NULL },
	{ "NetworkPolicy", "{\"selector\":\"has(a)\"}", "(" IN_N ") && (has(a))", NULL },
	{ "NetworkPolicy", "{\"notSelector\":\"has(a)\"}", "(" IN_N ") && (!(has(a)))", NULL },
	{ "NetworkPolicy", "{\"namespaceSelector\":\"has(a)\"}", "has(pcns.a)", NULL },
	{ "NetworkPolicy", "{\"namespaceSelector\":\"global()\",\"selector\":\"has(a)\"}",
	  "(!has(projectcalico.org/namespace)) && (has(a))", NULL },
	{ "NetworkPolicy", "{\"namespaceSelector\":\"all()\"}", "has(projectcalico.org/namespace)",
	  NULL },
	{ "NetworkPolicy",
	  "{\"serviceAccounts\":{\"names\":[\"x\",\"y\"],\"selector\":\"has(b)\"}}",
	  "(" IN_N ") && ((has(pcsa.b)) && (projectcalico.org/serviceaccount in {'x', 'y'}))",
	  NULL },
	{ "NetworkPolicy", "{\"nets\":[\"10.0.0.0/8\"]}", NULL, NULL },
	{ "GlobalNetworkPolicy", "{\"selector\":\"all()\"}", "all()", NULL },
	{ "GlobalNetworkPolicy", "{\"notSelector\":\"has(a)\"}", NULL, "has(a)" },
	{ "GlobalNetworkPolicy", "{\"selector\":\"has(b)\",\"notSelector\":\"has(a)\"}",
	  "(has(b)) && (!(has(a)))", NULL },
	{ "GlobalNetworkPolicy", "{\"serviceAccounts\":{}}", NULL, NULL },
};

static void expect_set(const struct setdef *d, const char *selector)
{
	struct setdef *want = NULL;

	assert_int_equal(d == NULL, selector == NULL);
	if (!d)
		return;
	assert_int_equal(setdef_selector(selector, &want, NULL), 0);
	assert_string_equal(d->id, want->id);
	setdef_unref(want);
}

static void each_side(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		CLEANUP(freep)
		char *spec = xasprintf("{\"ingress\":[{\"action\":\"Allow\",\"source\":%s}]}",
				       sides[i].side);
		int rc;
		struct policy *p = compile(sides[i].kind, spec, &rc);

		assert_int_equal(rc, 0);
		expect_set(p->in.p[0].src.in, sides[i].in);
		expect_set(p->in.p[0].src.not_in, sides[i].not_in);
		policy_free(p);
	}
}

/* A policy that is not right denies what it may govern; where it cannot be known whom, there is
 * none. */
static const struct {
	const char *kind, *spec;
	bool none, in, out, first;
	const char *selector;
} broken[] = {
	{ "NetworkPolicy", "{\"ingress\":7}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "{\"types\":[\"Ingress\"],\"ingress\":[{\"action\":\"Maybe\"}]}", false,
	  true, false, false, IN_N },
	{ "NetworkPolicy", "{\"types\":[\"Egress\"],\"egress\":[{}]}", false, false, true, false,
	  IN_N },
	{ "NetworkPolicy", "{\"types\":[\"Egres\"]}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "{\"types\":7}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "{\"order\":\"1\"}", false, true, true, true, IN_N },
	/* In a namespace: it denies there. */
	{ "NetworkPolicy", "{\"selector\":\"a ==\"}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "{\"selector\":\"a ==\",\"types\":[\"Egress\"]}", false, false, true,
	  false, IN_N },
	{ "NetworkPolicy", "{\"selector\":7}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "{\"serviceAccountSelector\":\"(\"}", false, true, true, false, IN_N },
	{ "NetworkPolicy", "[7]", false, true, true, false, IN_N },
	/* Of a global one another selector can be left; else it is about nobody that could be told. */
	{ "GlobalNetworkPolicy", "{\"selector\":\"has(a)\",\"serviceAccountSelector\":\"(\"}",
	  false, true, true, false, "has(a)" },
	{ "GlobalNetworkPolicy", "{\"selector\":\"a ==\"}", true, false, false, false, NULL },
	{ "GlobalNetworkPolicy", "{\"namespaceSelector\":{}}", true, false, false, false, NULL },
	{ "GlobalNetworkPolicy",
	  "{\"selector\":\"has(a)\",\"ingress\":[{\"action\":\"Deny\",\"source\":{\"nets\":"
	  "[\"10.0.0.1/8\"]}}]}",
	  false, true, true, false, "has(a)" },
	{ "GlobalNetworkPolicy",
	  "{\"selector\":\"has(a)\",\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":"
	  "\"b =\"}}]}",
	  false, true, true, false, "has(a)" },
};

static void each_broken(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		int rc;
		struct policy *p = compile(broken[i].kind, broken[i].spec, &rc);

		assert_true(rc < 0);
		assert_int_equal(p == NULL, broken[i].none);
		if (!p)
			continue;
		assert_true(p->closed);
		assert_string_equal(p->selector, broken[i].selector);
		assert_int_equal(p->ingress, broken[i].in);
		assert_int_equal(p->egress, broken[i].out);
		assert_int_equal(isinf(p->order) && p->order < 0, broken[i].first);
		assert_int_equal(p->in.n, 1);
		assert_int_equal(p->in.p[0].action, RULE_DENY);
		assert_int_equal(p->out.p[0].action, RULE_DENY);
		policy_free(p);
	}
}

static char *repeat(const char *text, size_t n)
{
	struct str s = { 0 };

	while (n--)
		str_add(&s, text);
	return str_take(&s);
}

static struct policy *compile_named(const char *name, const char *spec, int *rc)
{
	struct object o = make("NetworkPolicy", name, spec);
	struct policy *p;

	*rc = policy_from_object(&o, &p, NULL);
	object_done(&o);
	return p;
}

/* What a field may be is still right when fields are put together, with their prefixes. */
static void fields_at_their_limits(void **state)
{
	CLEANUP(freep) char *open = repeat("(", SELECTOR_DEPTH_MAX);
	CLEANUP(freep) char *shut = repeat(")", SELECTOR_DEPTH_MAX);
	CLEANUP(freep) char *label = repeat("a", SELECTOR_LABEL_MAX);
	CLEANUP(freep) char *deep = xasprintf("%shas(a)%s", open, shut);
	CLEANUP(freep) char * or = repeat("all()||", 145);
	CLEANUP(freep)
	char *spec = xasprintf("{\"selector\":\"%s\",\"serviceAccountSelector\":\"has(%s)\","
			       "\"ingress\":[{\"action\":\"Allow\",\"source\":{\"selector\":\"%s\","
			       "\"notSelector\":\"%s\",\"namespaceSelector\":\"has(%s)\","
			       "\"serviceAccounts\":{\"names\":[\"a\"],\"selector\":\"%s\"}}}]}",
			       deep, label, deep, deep, label, deep);
	CLEANUP(freep)
	char *wide = xasprintf("{\"selector\":\"%sall()\",\"namespaceSelector\":\"%sall()\","
			       "\"serviceAccountSelector\":\"%sall()\"}",
			       or, or, or);
	struct policy *p;
	int rc;

	p = compile("NetworkPolicy", spec, &rc);
	assert_int_equal(rc, 0);
	assert_false(p->closed);
	policy_free(p);
	p = compile("GlobalNetworkPolicy", wide, &rc);
	assert_int_equal(rc, 0);
	policy_free(p);
}

/* A person's selector has a limit; that of a converted policy is as long as its lists were. */
static void long_selectors(void **state)
{
	CLEANUP(freep) char *many = repeat("'a', ", 400);
	CLEANUP(freep)
	char *spec = xasprintf("{\"selector\":\"a in {%s'b'}\",\"ingress\":[{\"action\":\"Allow\","
			       "\"source\":{\"selector\":\"a in {%s'b'}\"}}]}",
			       many, many);
	struct policy *p;
	int rc;

	p = compile_named("a", spec, &rc);
	assert_true(rc < 0 && p->closed);
	policy_free(p);
	p = compile_named("knp.default.a", spec, &rc);
	assert_int_equal(rc, 0);
	assert_false(p->closed);
	policy_free(p);
}

static void staged(void **state)
{
	static const char *const kinds[] = { "StagedNetworkPolicy", "StagedGlobalNetworkPolicy",
					     "StagedKubernetesNetworkPolicy" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct object o = make(kinds[i], "a", "{}");
		struct policy *p;

		assert_int_equal(policy_from_object(&o, &p, NULL), 0);
		assert_null(p);
		object_done(&o);
	}
}

static void broken_profile(void **state)
{
	struct object o = make("Profile", "a",
			       "{\"ingress\":[{\"action\":\"Allow\"}],\"egress\":[{\"action\":7}],"
			       "\"labelsToApply\":{\"a\":\"b\"}}");
	struct profile_rules *p;
	struct err e = { 0 };

	assert_true(profile_from_object(&o, &p, &e) < 0);
	assert_true(str_starts(e.msg, "Profile a: spec.egress[0].action"));
	assert_true(p->closed && p->in.n == 1 && p->in.p[0].action == RULE_DENY);
	assert_int_equal(p->labels.n, 0);
	profile_rules_free(p);
	object_done(&o);
	o = profile_default_allow();
	assert_int_equal(profile_from_object(&o, &p, &e), 0);
	assert_true(p->in.n == 1 && p->in.p[0].action == RULE_ALLOW);
	profile_rules_free(p);
	object_done(&o);
}

/* Ties in order: bytes of NAME/NAMESPACE/KIND. */
static void ranks(void **state)
{
	static const char *const names[] = { "web-2", "web.a", "web" };
	struct policy *p[ARRAY_SIZE(names)];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct object o = make("NetworkPolicy", names[i], "{\"order\":5}");

		assert_int_equal(policy_from_object(&o, &p[i], NULL), 0);
		object_done(&o);
	}
	for (size_t i = 0; i + 1 < ARRAY_SIZE(names); i++)
		assert_true(policy_cmp(p[i], p[i + 1]) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		policy_free(p[i]);
}

/* When a list of ranges is a set, and when it is written into the rule. */
static const struct {
	const char *side;
	bool in, in_set, out, out_set;
} nets[] = {
	{ "{}", false, false, false, false },
	{ "{\"nets\":[\"10.0.0.0/8\"]}", true, false, false, false },
	{ "{\"nets\":[\"10.0.0.0/8\",\"11.0.0.0/8\"]}", false, true, false, false },
	{ "{\"notNets\":[\"10.0.0.0/8\"]}", false, false, true, false },
	{ "{\"nets\":[\"10.0.0.0/8\"],\"notNets\":[\"10.1.0.0/16\"]}", true, false, false, true },
	{ "{\"nets\":[\"10.0.0.0/8\",\"11.0.0.0/8\"],\"notNets\":[\"10.1.0.0/16\"]}", false, true,
	  true, false },
	{ "{\"notNets\":[\"10.1.0.0/16\",\"10.2.0.0/16\"]}", false, false, false, true },
};

static void each_net(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(nets); i++) {
		CLEANUP(freep)
		char *spec = xasprintf("{\"ingress\":[{\"action\":\"Allow\",\"destination\":%s}]}",
				       nets[i].side);
		int rc;
		struct policy *p = compile("GlobalNetworkPolicy", spec, &rc);
		const struct rule_side *s = &p->in.p[0].dst;
		struct side_nets n = side_nets(s, IP_V4);

		assert_int_equal(n.in != NULL, nets[i].in);
		assert_int_equal(n.in_set, nets[i].in_set);
		assert_int_equal(n.out != NULL, nets[i].out);
		assert_int_equal(n.out_set, nets[i].out_set);
		assert_int_equal(s->nets_set != NULL, n.in_set);
		assert_int_equal(s->not_nets_set != NULL, n.out_set);
		assert_int_equal(rule_in_family(&p->in.p[0], IP_V6), i == 0);
		policy_free(p);
	}
}

static const char *label_of(const struct endpoint_input *in, const char *key)
{
	const char *found = NULL;

	for (size_t i = 0; i < in->e.n_label; i++) {
		if (strcmp(in->e.label[i].key, key))
			continue;
		assert_null(found); /* no key twice */
		found = in->e.label[i].value;
	}
	return found;
}

static void labels_of_pods(void **state)
{
	struct object o =
		make("WorkloadEndpoint", "x-k8s-p-eth0",
		     "{\"orchestrator\":\"k8s\",\"node\":\"x\",\"pod\":\"p\",\"endpoint\":"
		     "\"eth0\",\"serviceAccountName\":\"sa\",\"profiles\":[\"kns.n\"],"
		     "\"ipNetworks\":[\"10.0.0.1/32\"],\"interfaceName\":\"cali1\",\"ports\":"
		     "[{\"name\":\"a\",\"protocol\":\"UDP\",\"port\":1},{\"name\":\"b\","
		     "\"port\":2},{\"name\":\"c\",\"protocol\":\"GRE\",\"port\":3}]}");
	struct endpoint_input in;
	struct err e = { 0 };

	js_set(json_object_get(o.json, "metadata"), "labels",
	       parse("{\"a\":\"b\",\"pcns.x\":\"1\",\"pcsa.x\":\"1\",\"projectcalico.org/"
		     "namespace\":"
		     "\"other\",\"projectcalico.org/serviceaccount\":\"root\","
		     "\"projectcalico.org/orchestrator\":\"x\"}"));
	assert_int_equal(endpoint_from_object(&o, &in, &e), 0);
	assert_string_equal(label_of(&in, "a"), "b");
	assert_null(label_of(&in, "pcns.x"));
	assert_null(label_of(&in, "pcsa.x"));
	assert_string_equal(label_of(&in, "projectcalico.org/namespace"), "n");
	assert_string_equal(label_of(&in, "projectcalico.org/serviceaccount"), "sa");
	assert_string_equal(label_of(&in, "projectcalico.org/orchestrator"), "k8s");
	assert_int_equal(in.e.n_port, 2);
	assert_int_equal(in.e.port[0].proto, 17);
	assert_int_equal(in.e.port[1].proto, 6);
	assert_string_equal(in.e.id, "n/x-k8s-p-eth0");
	endpoint_input_done(&in);
	object_done(&o);
}

/* What is left of a host endpoint that is wrong somewhere; "-": nothing, with words. */
static char *left_of_host(const char *spec)
{
	struct object o = make("HostEndpoint", "h", spec);
	struct endpoint_input in;
	struct err e = { 0 };
	struct str t = { 0 };
	char text[PREFIX_STR_MAX];

	js_set(json_object_get(o.json, "metadata"), "labels", parse("{\"role\":\"db\"}"));
	assert_true(endpoint_from_object(&o, &in, &e) < 0);
	assert_true(e.code < 0);
	assert_non_null(strstr(e.msg, "HostEndpoint h"));
	if (!in.e.id) {
		object_done(&o);
		return xstrdup("-");
	}
	assert_string_equal(in.e.id, "h");
	assert_string_equal(label_of(&in, "role"), "db");
	assert_non_null(strstr(e.msg, "until it can be read, it is in force"));
	str_addf(&t, "%s %s", in.e.node, in.e.interface ? in.e.interface : "?");
	for (size_t i = 0; i < in.e.n_net; i++)
		str_addf(&t, " %s", prefix_format(&in.e.net[i], text));
	for (size_t i = 0; i < in.e.n_profile; i++)
		str_addf(&t, " %s", in.e.profile[i]);
	endpoint_input_done(&in);
	object_done(&o);
	return str_take(&t);
}

/* Left out, the interface would be open. */
static void a_host_endpoint_fails_closed(void **state)
{
	static const struct {
		const char *spec, *left;
	} rows[] = {
		{ "{\"node\":\"x\",\"interfaceName\":\"eth0\",\"ports\":7}", "x eth0" },
		{ "{\"node\":\"x\",\"interfaceName\":\"*\",\"profiles\":[\"a\",\"b\"],\"ports\":[7]"
		  "}",
		  "x * a b" },
		/* a profile that cannot be read could have denied before the other allows */
		{ "{\"node\":\"x\",\"interfaceName\":\"eth0\",\"profiles\":[\"a\",7]}", "x eth0" },
		{ "{\"node\":\"x\",\"interfaceName\":\"eth0\",\"profiles\":\"a\"}", "x eth0" },
		{ "{\"node\":\"x\",\"interfaceName\":\"eth0\",\"expectedIPs\":[\"10.0.0.1\",\"10.0."
		  "0\"]}",
		  "x eth0 10.0.0.1/32" },
		{ "{\"node\":\"x\",\"interfaceName\":{},\"expectedIPs\":[\"fd00::1\"]}",
		  "x ? fd00::1/128" },
		{ "{\"node\":\"x\",\"interfaceName\":\"eth0 -j "
		  "ACCEPT\",\"expectedIPs\":[\"10.0.0.1\"]}",
		  "x ? 10.0.0.1/32" },
		/* nobody can say where it is */
		{ "{\"node\":\"x\",\"interfaceName\":\"an interface of a long name\"}", "-" },
		{ "{\"node\":\"x\"}", "-" },
		{ "{\"node\":[],\"interfaceName\":\"eth0\"}", "-" },
		{ "{\"node\":\"\",\"interfaceName\":\"eth0\"}", "-" },
		{ "[]", "-" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *left = left_of_host(rows[i].spec);

		assert_string_equal(left, rows[i].left);
		free(left);
	}
}

static void labels_of_sets(void **state)
{
	struct object o = make("NetworkSet", "a", "{\"nets\":[\"10.0.0.1\",\"10.1.2.3/16\"]}");
	struct endpoint_input in;
	char text[PREFIX_STR_MAX];
	struct err e = { 0 };

	assert_int_equal(endpoint_from_object(&o, &in, &e), 0);
	assert_string_equal(label_of(&in, "projectcalico.org/namespace"), "n");
	assert_int_equal(in.e.n_profile, 1);
	assert_string_equal(in.e.profile[0], "kns.n");
	assert_string_equal(prefix_format(&in.e.net[1], text), "10.1.0.0/16");
	endpoint_input_done(&in);
	object_done(&o);
}

static void slices(void **state)
{
	json_t *json =
		parse("{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"labels\":"
		      "{\"kubernetes.io/service-name\":\"svc\"}},\"endpoints\":[{\"addresses\":"
		      "[\"10.0.0.1\",\"not.an.address\"]},{\"addresses\":[\"fd00::1\"]},{}],"
		      "\"ports\":[{\"port\":80},{\"protocol\":\"UDP\",\"port\":53},{\"name\":"
		      "\"x\"},{\"protocol\":\"GRE\",\"port\":1}]}");
	struct slice_input in;
	struct err e = { 0 };

	assert_int_equal(slice_from_json(json, &in, &e), 0);
	assert_string_equal(in.s.service, "n/svc");
	assert_int_equal(in.s.n_addr, 2);
	assert_int_equal(in.s.n_port, 2);
	slice_input_done(&in);
	json_object_del(json_object_get(json, "metadata"), "labels");
	assert_true(slice_from_json(json, &in, &e) < 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_selection),
		cmocka_unit_test(each_side),
		cmocka_unit_test(each_broken),
		cmocka_unit_test(broken_profile),
		cmocka_unit_test(fields_at_their_limits),
		cmocka_unit_test(long_selectors),
		cmocka_unit_test(staged),
		cmocka_unit_test(ranks),
		cmocka_unit_test(each_net),
		cmocka_unit_test(labels_of_pods),
		cmocka_unit_test(a_host_endpoint_fails_closed),
		cmocka_unit_test(labels_of_sets),
		cmocka_unit_test(slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
