/* What a CNI call asks for: each case differs from the baseline in one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/cni/cni_config.h"
#include "lib/json.h"

#define ID \
	"\"op\":\"ADD\",\"containerID\":\"9f31aa\",\"netns\":\"/run/netns/x\",\"ifname\":\"eth0\""
#define ARGS "\"args\":\"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod1\""
#define CONF(more) \
	"\"config\":{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"margay\"" more "}"
#define IPAM		 ",\"ipam\":{\"type\":\"margay-ipam\"}"
#define LINE(args, conf) "{" ID "," args "," conf "}"

static int decode(struct cni_call *c, const char *line, struct cni_error *f)
{
	return cni_call_decode(c, line, strlen(line), f);
}

static void baseline_of_kubernetes(void **state)
{
	struct cni_error f = { 0 };
	struct cni_call c;

	assert_int_equal(decode(&c, LINE(ARGS, CONF(IPAM)), &f), 0);
	assert_true(c.k8s);
	assert_string_equal(c.pod_namespace, "default");
	assert_string_equal(c.pod_name, "pod1");
	assert_string_equal(c.network, "net");
	assert_true(c.want_v4);
	assert_false(c.want_v6);
	assert_false(c.delegated);
	assert_int_equal(c.mtu, 0);
	CLEANUP(freep) char *handle = cni_call_handle(&c);
	CLEANUP(freep) char *who = cni_call_who(&c);
	assert_string_equal(handle, "net.9f31aa");
	assert_string_equal(who, "pod default/pod1");
	cni_call_done(&c);
}

static void everything_set(void **state)
{
	struct cni_error f = { 0 };
	struct cni_call c;
	const char *line = LINE(
		"\"args\":\"K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=1;IP=10.0.0.7\"",
		CONF(",\"mtu\":1450,\"num_queues\":4,\"policy\":{\"type\":\"k8s\"},"
		     "\"container_settings\":{\"allow_ip_forwarding\":true},"
		     "\"include_default_routes\":true,"
		     "\"runtimeConfig\":{\"mac\":\"02:00:00:00:00:07\",\"ips\":[\"fd00::7/64\"]},"
		     "\"args\":{\"margay\":{\"labels\":{\"app\":\"web\",\"example.org/"
		     "tier\":\"\"}}},"
		     "\"ipam\":{\"type\":\"calico-ipam\",\"assign_ipv4\":\"true\",\"assign_ipv6\":"
		     "\"TRUE\","
		     "\"ipv4_pools\":[\"a\",\"10.0.0.0/16\"],\"ipv6_pools\":[\"six\"],"
		     "\"routes\":[{\"dst\":\"10.0.0.0/8\"}]}"));

	assert_int_equal(decode(&c, line, &f), 0);
	assert_int_equal(c.mtu, 1450);
	assert_int_equal(c.num_queues, 4);
	assert_true(c.policy_k8s && c.ip_forward && c.want_v6);
	assert_string_equal(c.mac, "02:00:00:00:00:07");
	assert_int_equal(c.n_pools_v4, 2);
	assert_string_equal(c.pools_v4[1], "10.0.0.0/16");
	assert_int_equal(c.n_pools_v6, 1);
	assert_int_equal(c.ip_v4.family, IP_V4);
	assert_int_equal(c.ip_v6.family, IP_V6);
	assert_int_equal(json_object_size(c.labels), 2);
	CLEANUP(freep) char *routes = js_dump(c.routes);
	assert_string_equal(
		routes, "[{\"dst\":\"10.0.0.0/8\"},{\"dst\":\"0.0.0.0/0\"},{\"dst\":\"::/0\"}]");
	cni_call_done(&c);
}

static void without_kubernetes(void **state)
{
	static const char *const args[] = { "\"args\":\"\"", "\"x\":1",
					    "\"args\":\"K8S_POD_NAME=b\"",
					    "\"args\":\"K8S_POD_NAMESPACE=a;K8S_POD_NAME=\"" };
	struct cni_error f = { 0 };
	struct cni_call c;

	for (size_t i = 0; i < ARRAY_SIZE(args); i++) {
		CLEANUP(freep) char *line = xasprintf("{" ID ",%s," CONF(IPAM) "}", args[i]);

		assert_int_equal(decode(&c, line, &f), 0);
		assert_false(c.k8s);
		assert_string_equal(c.pod_namespace, "default");
		cni_call_done(&c);
	}
}

static void delegated(void **state)
{
	struct cni_error f = { 0 };
	struct cni_call c;

	assert_int_equal(
		decode(&c, LINE(ARGS, CONF(",\"ipam\":{\"type\":\"host-local\",\"subnet\":\"x\"}")),
		       &f),
		-1);
	assert_non_null(strstr(f.msg, "ipamResult is missing"));
	assert_int_equal(decode(&c,
				"{" ID ",\"ipamResult\":{\"ips\":[]}," CONF(
					",\"ipam\":{\"type\":\"host-local\",\"subnet\":\"x\"}") "}",
				&f),
			 0);
	assert_true(c.delegated);
	cni_call_done(&c);
}

struct refusal {
	const char *name, *line;
	enum cni_code code;
	const char *says;
};

static const struct refusal refusals[] = {
	{ "nothing", "", CNI_DECODE, "request" },
	{ "a list", "[]", CNI_DECODE, "object" },
	{ "half a line", "{\"op\":\"ADD\"", CNI_DECODE, "request" },
	{ "two keys alike", "{\"op\":\"ADD\",\"op\":\"DEL\"}", CNI_DECODE, "duplicate" },
	{ "no op", "{}", CNI_DECODE, "op" },
	{ "op of another type", "{\"op\":7}", CNI_DECODE, "op" },
	{ "no container", "{\"op\":\"DEL\",\"ifname\":\"eth0\"}", CNI_BAD_ENV, "CNI_CONTAINERID" },
	{ "container leaves the journal",
	  "{\"op\":\"DEL\",\"containerID\":\"../x\",\"ifname\":\"eth0\"}", CNI_BAD_ENV,
	  "CNI_CONTAINERID" },
	{ "interface with a slash", "{\"op\":\"DEL\",\"containerID\":\"x\",\"ifname\":\"a/b\"}",
	  CNI_BAD_ENV, "CNI_IFNAME" },
	{ "interface too long",
	  "{\"op\":\"DEL\",\"containerID\":\"x\",\"ifname\":\"abcdefghijklmnop\"}", CNI_BAD_ENV,
	  "CNI_IFNAME" },
	{ "no configuration", "{" ID "}", CNI_DECODE, "config" },
	{ "configuration is a text", "{" ID ",\"config\":\"x\"}", CNI_DECODE, "config" },
	{ "no network name", "{" ID ",\"config\":{}}", CNI_BAD_CONFIG, "name" },
	{ "bad network name", "{" ID ",\"config\":{\"name\":\"a/b\"}}", CNI_BAD_CONFIG, "name" },
	{ "no ipam", LINE(ARGS, CONF("")), CNI_BAD_CONFIG, "ipam" },
	{ "no ipam type", LINE(ARGS, CONF(",\"ipam\":{}")), CNI_BAD_CONFIG, "ipam.type" },
	{ "assign_ipv4 is a number",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"assign_ipv4\":1}")),
	  CNI_BAD_CONFIG, "ipam.assign_ipv4" },
	{ "assign_ipv4 is another word",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"assign_ipv4\":\"yes\"}")),
	  CNI_BAD_CONFIG, "must be \"true\" or \"false\"" },
	{ "no family",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"assign_ipv4\":\"false\"}")),
	  CNI_BAD_CONFIG, "both false" },
	{ "pools are a text",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"ipv4_pools\":\"a\"}")),
	  CNI_BAD_CONFIG, "ipv4_pools" },
	{ "a pool is a number",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"ipv4_pools\":[1]}")),
	  CNI_BAD_CONFIG, "ipv4_pools[0]" },
	{ "host-local's subnet",
	  LINE(ARGS, CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"subnet\":\"10.0.0.0/8\"}")),
	  CNI_BAD_CONFIG, "ipv4_pools" },
	{ "mtu too large", LINE(ARGS, CONF(IPAM ",\"mtu\":70000")), CNI_BAD_CONFIG, "mtu" },
	{ "mtu too small", LINE(ARGS, CONF(IPAM ",\"mtu\":1")), CNI_BAD_CONFIG, "mtu" },
	{ "mtu is a text", LINE(ARGS, CONF(IPAM ",\"mtu\":\"1500\"")), CNI_BAD_CONFIG, "mtu" },
	{ "policy of another kind", LINE(ARGS, CONF(IPAM ",\"policy\":{\"type\":\"mesos\"}")),
	  CNI_BAD_CONFIG, "policy.type" },
	{ "route with host bits",
	  LINE(ARGS,
	       CONF(",\"ipam\":{\"type\":\"margay-ipam\",\"routes\":[{\"dst\":\"10.0.0.1/8\"}]}")),
	  CNI_BAD_CONFIG, "routes[0].dst" },
	{ "label that is a list",
	  LINE(ARGS, CONF(IPAM ",\"args\":{\"margay\":{\"labels\":{\"a\":[]}}}")), CNI_BAD_CONFIG,
	  "labels" },
	{ "label with a blank",
	  LINE(ARGS, CONF(IPAM ",\"args\":{\"margay\":{\"labels\":{\"a b\":\"\"}}}")),
	  CNI_BAD_CONFIG, "labels" },
	{ "unknown argument", LINE("\"args\":\"FOO=1\"", CONF(IPAM)), CNI_BAD_ENV, "FOO" },
	{ "argument without value", LINE("\"args\":\"K8S_POD_NAME\"", CONF(IPAM)), CNI_BAD_ENV,
	  "KEY=VALUE" },
	{ "IP is no address", LINE("\"args\":\"IP=10.0.0\"", CONF(IPAM)), CNI_BAD_CONFIG, "IP" },
	{ "two addresses of a family",
	  LINE("\"args\":\"IP=10.0.0.1\"",
	       CONF(IPAM ",\"runtimeConfig\":{\"ips\":[\"10.0.0.2\"]}")),
	  CNI_BAD_CONFIG, "same family" },
	{ "multicast MAC", LINE("\"args\":\"MAC=01:00:00:00:00:00\"", CONF(IPAM)), CNI_BAD_CONFIG,
	  "MAC" },
	{ "pod name leaves the key",
	  LINE("\"args\":\"K8S_POD_NAMESPACE=a;K8S_POD_NAME=../b\"", CONF(IPAM)), CNI_BAD_ENV,
	  "K8S_POD_NAME" },
	{ "namespace leaves the key",
	  LINE("\"args\":\"K8S_POD_NAMESPACE=a/b;K8S_POD_NAME=b\"", CONF(IPAM)), CNI_BAD_ENV,
	  "K8S_POD_NAMESPACE" },
};

static void refused_with_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct cni_error f = { 0 };
		struct cni_call c;

		if (decode(&c, r->line, &f) == 0)
			fail_msg("%s: was taken", r->name);
		if (f.code != (int)r->code || !strstr(f.msg, r->says))
			fail_msg("%s: code %d, \"%s\"", r->name, (int)f.code, f.msg);
	}
}

/* DEL is repeated with the configuration of an older ADD: only the network's name is read. */
static void del_takes_old_configurations(void **state)
{
	struct cni_error f = { 0 };
	struct cni_call c;

	assert_int_equal(decode(&c,
				"{\"op\":\"DEL\",\"containerID\":\"x\",\"ifname\":\"eth0\","
				"\"args\":\"FOO=1;IP=x\","
				"\"config\":{\"name\":\"net\",\"mtu\":\"odd\",\"ipam\":7}}",
				&f),
			 0);
	cni_call_done(&c);
}

static void attachments(void **state)
{
	struct cni_error f = { 0 };
	struct cni_call c;
	json_t *list;

	assert_int_equal(
		decode(&c,
		       "{\"op\":\"GC\",\"config\":{\"name\":\"net\",\"cni.dev/valid-attachments\":"
		       "[{\"containerID\":\"a\",\"ifname\":\"eth0\"}]}}",
		       &f),
		0);
	assert_int_equal(cni_call_attachments(&c, &list, &f), 0);
	assert_true(cni_attachments_have(list, "a"));
	assert_false(cni_attachments_have(list, "b"));
	cni_call_done(&c);
	assert_int_equal(decode(&c, "{\"op\":\"GC\",\"config\":{\"name\":\"net\"}}", &f), 0);
	assert_int_equal(cni_call_attachments(&c, &list, &f), -1);
	assert_int_equal(f.code, CNI_BAD_CONFIG);
	cni_call_done(&c);
}

/* Every prefix of a good line is refused and leaves nothing behind (the sanitizer watches). */
static void cut_at_every_byte(void **state)
{
	const char *line =
		LINE(ARGS, CONF(IPAM ",\"args\":{\"margay\":{\"labels\":{\"a\":\"b\"}}}"));
	struct cni_error f;
	struct cni_call c;

	for (size_t n = 0; n < strlen(line); n++)
		assert_int_equal(cni_call_decode(&c, line, n, &f), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(baseline_of_kubernetes),
		cmocka_unit_test(everything_set),
		cmocka_unit_test(without_kubernetes),
		cmocka_unit_test(delegated),
		cmocka_unit_test(refused_with_words),
		cmocka_unit_test(del_takes_old_configurations),
		cmocka_unit_test(attachments),
		cmocka_unit_test(cut_at_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
