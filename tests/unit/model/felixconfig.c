/* felixconfig.c - layers of FelixConfiguration field by field, and FELIX_* variables */
#include "model/felixlayers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void add(struct felixconfig *c, const char *text, struct str *wrong)
{
	struct err e = { 0 };
	json_t *v = NULL;

	if (js_parse(text, strlen(text), &v, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	felixconfig_add(c, v, "FelixConfiguration t", wrong);
	json_decref(v);
}

static void a_bad_field_costs_itself(void **state)
{
	static const char *const bad[] = {
		"\"logActionRateLimit\":\"often\"",
		"\"logActionRateLimit\":\"0/minute\"",
		"\"logActionRateLimit\":\"10/week\"",
		"\"iptablesMarkMask\":15",
		"\"iptablesMarkMask\":\"0xff\"",
		"\"iptablesMarkMask\":4294967296",
		"\"defaultEndpointToHostAction\":\"Maybe\"",
		"\"failsafeInboundHostPorts\":[{\"port\":70000}]",
		"\"failsafeInboundHostPorts\":[{\"protocol\":\"icmp\",\"port\":1}]",
		"\"failsafeOutboundHostPorts\":[{\"port\":1,\"net\":\"here\"}]",
		"\"failsafeOutboundHostPorts\":7",
		"\"logPrefix\":\"a\\\"b\"",
		"\"iptablesRefreshInterval\":90",
		"\"iptablesRefreshInterval\":\"48h\"",
		"\"serviceLoopPrevention\":true",
		"\"maxIpsetSize\":0",
		"\"interfacePrefix\":\"\"",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(freep)
		char *text = xasprintf(
			"{%s,\"iptablesFilterDenyAction\":\"REJECT\",\"unknown\":[]}", bad[i]);
		size_t name = strcspn(bad[i] + 1, "\"");
		struct felixconfig c;
		struct str wrong = { 0 };

		felixconfig_init(&c);
		add(&c, text, &wrong);
		assert_true(str_starts(str_text(&wrong), "FelixConfiguration t: spec."));
		assert_int_equal(strncmp(str_text(&wrong) + 27, bad[i] + 1, name), 0);
		assert_int_equal(c.filter_deny, 1);
		assert_true(c.mark_mask == 0xffff0000);
		assert_int_equal(c.failsafe_in.n + c.failsafe_out.n, 0);
		felixconfig_done(&c);
		str_done(&wrong);
	}
}

static void layers_replace_whole_fields(void **state)
{
	struct felixconfig c;
	struct str wrong = { 0 };

	felixconfig_init(&c);
	assert_false(c.has_failsafe_in || c.has_endpoint_to_host);
	add(&c,
	    "{\"failsafeInboundHostPorts\":[{\"protocol\":\"UDP\",\"port\":53,\"net\":\"10.0.0.0/"
	    "8\"},"
	    "{\"protocol\":\"tcp\",\"port\":22}],\"logPrefix\":\"a\",\"workloadSourceSpoofing\":"
	    "\"any\"}",
	    &wrong);
	assert_int_equal(c.failsafe_in.n, 2);
	assert_int_equal(c.failsafe_in.p[0].net.len, 8);
	add(&c, "{\"failsafeInboundHostPorts\":[],\"logPrefix\":null}", &wrong);
	assert_int_equal(c.failsafe_in.n, 0);
	assert_true(c.has_failsafe_in);
	assert_string_equal(c.log_prefix, "a");
	assert_int_equal(c.source_spoofing, 1);
	felixconfig_add(&c, NULL, "x", &wrong);
	assert_string_equal(str_text(&wrong), "");
	felixconfig_done(&c);
}

static void a_list_is_bounded(void **state)
{
	struct str text = { 0 }, wrong = { 0 };
	struct felixconfig c;

	str_add(&text, "{\"failsafeInboundHostPorts\":[{\"port\":1}");
	for (int i = 0; i < FELIX_FAILSAFES_MAX; i++)
		str_add(&text, ",{\"port\":2}");
	str_add(&text, "]}");
	felixconfig_init(&c);
	add(&c, str_text(&text), &wrong);
	assert_non_null(strstr(str_text(&wrong), "at most 256"));
	assert_int_equal(c.failsafe_in.n, 0);
	felixconfig_done(&c);
	str_done(&text);
	str_done(&wrong);
}

static const struct {
	const char *name, *value;
	int rc;
} variables[] = {
	{ "DEFAULTENDPOINTTOHOSTACTION", "ACCEPT", 0 },
	{ "DefaultEndpointToHostAction", "Return", 0 },
	{ "IPTABLESMARKMASK", "0xff000000", 0 },
	{ "IPTABLESMARKMASK", "0x1", -EINVAL },
	{ "IPTABLESREFRESHINTERVAL", "60", 0 },
	{ "IPTABLESREFRESHINTERVAL", "soon", -EINVAL },
	{ "IPV6SUPPORT", "False", 0 },
	{ "DISABLECONNTRACKINVALIDCHECK", "1", 0 },
	{ "DISABLECONNTRACKINVALIDCHECK", "maybe", -EINVAL },
	{ "FAILSAFEINBOUNDHOSTPORTS", "none", 0 },
	{ "FAILSAFEINBOUNDHOSTPORTS", "tcp:22, udp:10.0.0.0/8:53,tcp:[fd00::/8]:179,443", 0 },
	{ "FAILSAFEINBOUNDHOSTPORTS", "tcp:", -EINVAL },
	{ "FAILSAFEINBOUNDHOSTPORTS", "sctp:22", -EINVAL },
	{ "FAILSAFEINBOUNDHOSTPORTS", "tcp:22x", -EINVAL },
	{ "FAILSAFEINBOUNDHOSTPORTS", "::::", -EINVAL },
	{ "IPINIPMTU", "1480", 0 },
	{ "LOGACTIONRATELIMIT", "none", 0 },
	{ "NOSUCHTHING", "1", -ENOENT },
	{ "", "1", -ENOENT },
};

static void variables_as_calico_reads_them(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		struct felixconfig c;
		struct err e = { 0 };
		int rc;

		felixconfig_init(&c);
		rc = felixconfig_set(&c, variables[i].name, variables[i].value, &e);
		if (rc != variables[i].rc)
			fail_msg("%s=%s: %d %s", variables[i].name, variables[i].value, rc, e.msg);
		assert_int_equal(rc == -EINVAL, e.code != 0);
		felixconfig_done(&c);
	}
}

static void what_variables_mean(void **state)
{
	struct felixconfig c;

	felixconfig_init(&c);
	assert_int_equal(felixconfig_set(&c, "FailsafeInboundHostPorts",
					 "tcp:22,udp:10.0.0.0/8:53,tcp:[fd00::/8]:179,443", NULL),
			 0);
	assert_int_equal(c.failsafe_in.n, 4);
	assert_string_equal(c.failsafe_in.p[1].protocol, "udp");
	assert_int_equal(c.failsafe_in.p[1].net.len, 8);
	assert_int_equal(c.failsafe_in.p[2].net.addr.family, IP_V6);
	assert_int_equal(c.failsafe_in.p[3].port, 443);
	assert_int_equal(felixconfig_set(&c, "iptablesrefreshinterval", "60", NULL), 0);
	assert_true(c.rules_refresh_ms == 60000);
	assert_int_equal(felixconfig_set(&c, "iptablesmarkmask", "0xff000000", NULL), 0);
	assert_true(c.mark_mask == 0xff000000);
	assert_int_equal(felixconfig_set(&c, "ipinipmtu", "1480", NULL), 0);
	assert_int_equal(c.ipip_mtu, 1480);
	felixconfig_done(&c);
}

/* ---- which objects are for a node ---- */

static void put(struct object_vec *v, const char *name, const char *spec)
{
	struct object o = object_new(kind_find("FelixConfiguration"), NULL, name);
	json_t *json = NULL;

	assert_int_equal(js_parse(spec, strlen(spec), &json, NULL), 0);
	js_set(o.json, "spec", json);
	vec_push(v, o);
}

static const struct {
	const char *node, *labels, *prefix;
	int vxlan_port;
} layer_rows[] = {
	{ "n1", NULL, "all", 1 },
	{ "n2", NULL, "own", 1 },
	{ "n1", "{\"rack\":\"7\"}", "racks", 2 },
	{ "n1", "{\"rack\":\"7\",\"disk\":\"\"}", "racks", 3 },
	{ "n2", "{\"rack\":\"7\"}", "own", 2 },
	{ "", NULL, "all", 1 },
};

static void layers_are_a_nodes(void **state)
{
	struct object_vec v = { 0 };
	const char *bad = "FelixConfiguration wrong: spec.nodeSelector: ";

	/* In no order: their names say it. */
	put(&v, "node.n2", "{\"logPrefix\":\"own\"}");
	put(&v, "racks",
	    "{\"nodeSelector\":\"rack == '7'\",\"logPrefix\":\"racks\",\"vxlanPort\":2}");
	put(&v, "none", "{\"logPrefix\":\"none\"}");
	put(&v, "disks", "{\"nodeSelector\":\"has(disk)\",\"logPrefix\":\"d\",\"vxlanPort\":9}");
	put(&v, "wrong", "{\"nodeSelector\":\"rack ==\",\"logPrefix\":\"wrong\"}");
	put(&v, "tapes", "{\"nodeSelector\":\"has(disk)\",\"vxlanPort\":3}");
	put(&v, "default", "{\"logPrefix\":\"all\",\"vxlanPort\":1,\"bpfEnabled\":7}");
	for (size_t i = 0; i < ARRAY_SIZE(layer_rows); i++) {
		const char *text = layer_rows[i].labels;
		struct str wrong = { 0 };
		struct felixconfig c;
		json_t *labels = NULL;

		if (text)
			assert_int_equal(js_parse(text, strlen(text), &labels, NULL), 0);
		felixlayers_read(&v, layer_rows[i].node, labels, &c, &wrong);
		assert_string_equal(c.log_prefix, layer_rows[i].prefix);
		assert_int_equal(c.vxlan_port, layer_rows[i].vxlan_port);
		assert_int_equal(c.route_protocol, 80);
		assert_true(str_starts(str_text(&wrong), bad));
		assert_int_equal(strchr(str_text(&wrong), '\n')[1], '\0');
		felixconfig_done(&c);
		str_done(&wrong);
		json_decref(labels);
	}
	objects_done(&v);
	assert_true(felixlayers_concern("default", "a") && felixlayers_concern("racks", "a"));
	assert_true(felixlayers_concern("node.a", "a"));
	assert_false(felixlayers_concern("node.ab", "a") || felixlayers_concern("node.", "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_field_costs_itself),
		cmocka_unit_test(layers_replace_whole_fields),
		cmocka_unit_test(a_list_is_bounded),
		cmocka_unit_test(variables_as_calico_reads_them),
		cmocka_unit_test(what_variables_mean),
		cmocka_unit_test(layers_are_a_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
