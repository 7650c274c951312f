/* conf.c - environment and network configuration: what is taken and what is refused, with which
 * code and which words */
#include "cni-plugin/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/str.h"

/* ---- environment: rows differ from a good ADD in one variable ---- */

struct variable {
	const char *name, *value;
};

static const struct variable good[] = {
	{ "CNI_COMMAND", "ADD" },	 { "CNI_CONTAINERID", "abc-1.2_x" },
	{ "CNI_NETNS", "/run/netns/x" }, { "CNI_IFNAME", "eth0" },
	{ "CNI_PATH", "/opt/cni/bin" },
};

static struct variable change;

static char *fake_getenv(const char *name)
{
	static char copy[8][512];
	static unsigned turn;
	const char *value = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (str_eq(name, good[i].name))
			value = good[i].value;
	if (change.name && str_eq(name, change.name))
		value = change.value;
	if (!value)
		return NULL;
	turn = (turn + 1) % 8;
	str_copy(copy[turn], sizeof(copy[turn]), value);
	return copy[turn];
}

static const char id201[] =
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static const struct {
	const char *what;
	struct variable change;
	const char *complaint; /* part of the message; NULL: good */
} env_rows[] = {
	{ "nothing changed", { 0 }, NULL },
	{ "no netns for ADD", { "CNI_NETNS", NULL }, "needs CNI_NETNS" },
	{ "empty container ID", { "CNI_CONTAINERID", "" }, "needs CNI_CONTAINERID" },
	{ "no path", { "CNI_PATH", NULL }, "needs CNI_PATH" },
	{ "ID with a slash", { "CNI_CONTAINERID", "a/b" }, "CNI_CONTAINERID" },
	{ "ID that begins with a dot", { "CNI_CONTAINERID", ".ab" }, "CNI_CONTAINERID" },
	{ "ID with a new line", { "CNI_CONTAINERID", "a\nb" }, "CNI_CONTAINERID" },
	{ "ID too long for a file name", { "CNI_CONTAINERID", id201 }, "may be 200" },
	{ "interface of 15 characters", { "CNI_IFNAME", "abcdefghijklmno" }, NULL },
	{ "interface of 16 characters", { "CNI_IFNAME", "abcdefghijklmnop" }, "longer than 15" },
	{ "interface .", { "CNI_IFNAME", "." }, "not an interface name" },
	{ "interface ..", { "CNI_IFNAME", ".." }, "not an interface name" },
	{ "interface with a slash", { "CNI_IFNAME", "a/b" }, "must not hold" },
	{ "interface with a colon", { "CNI_IFNAME", "a:b" }, "must not hold" },
	{ "interface with a blank", { "CNI_IFNAME", "a b" }, "must not hold" },
	{ "unknown verb", { "CNI_COMMAND", "add" }, "must be ADD" },
	{ "DEL", { "CNI_COMMAND", "DEL" }, NULL },
	{ "args", { "CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=a;X=" }, NULL },
	{ "args with a final semicolon", { "CNI_ARGS", "A=b;" }, NULL },
	{ "args without a value", { "CNI_ARGS", "A=b;C" }, "\"C\" is not KEY=VALUE" },
	{ "args without a key", { "CNI_ARGS", "=b" }, "is not KEY=VALUE" },
};

static void test_environment(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(env_rows); i++) {
		struct cni_error f = { 0 };
		struct env env;
		int rc;

		change = env_rows[i].change;
		rc = env_read(&env, fake_getenv, &f);
		if ((rc < 0) != (env_rows[i].complaint != NULL))
			fail_msg("%s: %s", env_rows[i].what, f.msg);
		if (rc < 0 && (!strstr(f.msg, env_rows[i].complaint) || f.code != CNI_BAD_ENV))
			fail_msg("%s: %d %s", env_rows[i].what, f.code, f.msg);
	}
}

static char *no_environment(const char *name)
{
	return NULL;
}

static char *version_only(const char *name)
{
	static char version[] = "VERSION";

	return str_eq(name, "CNI_COMMAND") ? version : NULL;
}

static void test_verbs_that_need_nothing(void **state)
{
	struct cni_error f = { 0 };
	struct env env;

	assert_int_equal(env_read(&env, no_environment, &f), 0);
	assert_int_equal(env.verb, VERB_NONE);
	assert_int_equal(env_read(&env, version_only, &f), 0);
	assert_int_equal(env.verb, VERB_VERSION);
}

/* ---- configuration: rows add members to a small good one ---- */

static const struct {
	const char *what, *members;
	int code; /* 0: good */
	const char *complaint;
} conf_rows[] = {
	{ "nothing added", "", 0, NULL },
	{ "unknown keys of a runtime", ",\"runtimeConfig\":{\"x\":1},\"zzz\":[]", 0, NULL },
	{ "mtu", ",\"mtu\":1450", 0, NULL },
	{ "mtu as text", ",\"mtu\":\"1450\"", 7, "mtu: must be a" },
	{ "mtu below nothing", ",\"mtu\":-1", 7, "mtu: " },
	{ "mtu above what a link can", ",\"mtu\":65536", 7, "mtu: " },
	{ "num_queues below 1 is 1", ",\"num_queues\":-3", 0, NULL },
	{ "num_queues as text", ",\"num_queues\":\"2\"", 7, "num_queues" },
	{ "socket", ",\"agent_socket\":\"/a/b\"", 0, NULL },
	{ "socket as a number", ",\"agent_socket\":7", 7, "agent_socket: must be a string" },
	{ "relative socket", ",\"agent_socket\":\"a/b\"", 7, "absolute path" },
	{ "empty state_dir", ",\"state_dir\":\"\"", 7, "state_dir" },
	{ "ipam as text", ",\"ipam\":\"host-local\"", 7, "ipam: must be an object" },
	{ "ipam.type with a slash", ",\"ipam\":{\"type\":\"../sh\"}", 7, "ipam.type" },
	{ "empty ipam.type", ",\"ipam\":{\"type\":\"\"}", 7, "ipam.type" },
	{ "another IPAM plugin", ",\"ipam\":{\"type\":\"host-local\"}", 0, NULL },
	{ "forwarding as text", ",\"container_settings\":{\"allow_ip_forwarding\":\"true\"}", 7,
	  "container_settings.allow_ip_forwarding: must be" },
	{ "settings as a list", ",\"container_settings\":[]", 7, "container_settings" },
	{ "prevResult as text", ",\"prevResult\":\"x\"", 7, "prevResult" },
	{ "a key twice", ",\"mtu\":1,\"mtu\":2", 6, "duplicate" },
	{ "text behind the end", "} x {", 6, "" },
};

static int parse(struct conf *c, const char *text, enum verb verb, struct cni_error *f)
{
	struct env env = { .verb = verb, .verb_name = "VERB" };

	return conf_parse(c, text, strlen(text), &env, f);
}

static void test_configuration(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(conf_rows); i++) {
		CLEANUP(freep)
		char *text = xasprintf("{\"cniVersion\":\"1.0.0\",\"name\":\"net\","
				       "\"type\":\"margay\"%s}",
				       conf_rows[i].members);
		struct cni_error f = { 0 };
		struct conf c;
		int rc = parse(&c, text, VERB_ADD, &f);

		if ((rc < 0 ? f.code : 0) != conf_rows[i].code)
			fail_msg("%s: %d %s", conf_rows[i].what, f.code, f.msg);
		if (rc < 0 && !strstr(f.msg, conf_rows[i].complaint))
			fail_msg("%s: %s", conf_rows[i].what, f.msg);
		conf_done(&c);
	}
}

static void test_defaults(void **state)
{
	struct cni_error f = { 0 };
	struct conf c;

	assert_int_equal(parse(&c, "{\"cniVersion\":\"0.3.1\",\"name\":\"n\"}", VERB_ADD, &f), 0);
	assert_string_equal(c.agent_socket, "/run/margay/cni.sock");
	assert_string_equal(c.state_dir, "/var/lib/margay");
	assert_string_equal(c.ipam_type, "margay-ipam");
	assert_false(c.delegated || c.ip_forward);
	assert_true(conf_version_from(&c, "0.3.0") && !conf_version_from(&c, "0.4.0"));
	conf_done(&c);
}

static void test_names_and_versions(void **state)
{
	static const struct {
		const char *text;
		enum verb verb;
		int code;
	} rows[] = {
		{ "{\"cniVersion\":\"0.3.0\",\"name\":\"n\"}", VERB_ADD, 0 },
		{ "{\"cniVersion\":\"0.4.0\",\"name\":\"n\"}", VERB_DEL, 0 },
		{ "{\"cniVersion\":\"1.1.0\",\"name\":\"n\"}", VERB_STATUS, 0 },
		{ "{\"cniVersion\":\"0.2.0\",\"name\":\"n\"}", VERB_ADD, 1 },
		{ "{\"cniVersion\":\"1.2.0\",\"name\":\"n\"}", VERB_ADD, 1 },
		{ "{\"cniVersion\":1,\"name\":\"n\"}", VERB_ADD, 7 },
		{ "{\"name\":\"n\"}", VERB_ADD, 1 },
		{ "{\"cniVersion\":\"1.0.0\"}", VERB_ADD, 7 },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"\"}", VERB_ADD, 7 },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"a b\"}", VERB_ADD, 7 },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\"}", VERB_STATUS, 1 },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\"}", VERB_GC, 1 },
		{ "{\"cniVersion\":\"0.3.1\",\"name\":\"n\",\"prevResult\":{}}", VERB_CHECK, 1 },
		{ "{\"cniVersion\":\"0.4.0\",\"name\":\"n\",\"prevResult\":{}}", VERB_CHECK, 0 },
		{ "{\"cniVersion\":\"0.4.0\",\"name\":\"n\"}", VERB_CHECK, 7 },
		{ "", VERB_ADD, 6 },
		{ "[]", VERB_ADD, 6 },
		{ "7", VERB_ADD, 6 },
		{ "{\"cniVersion\":\"1.0.0\",\"name\":\"n\"", VERB_ADD, 6 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cni_error f = { 0 };
		struct conf c;
		int rc = parse(&c, rows[i].text, rows[i].verb, &f);

		if ((rc < 0 ? f.code : 0) != rows[i].code)
			fail_msg("%s: %d %s", rows[i].text, f.code, f.msg);
		conf_done(&c);
	}
}

static void test_too_long(void **state)
{
	struct env env = { .verb = VERB_ADD };
	struct str s = { 0 };
	struct cni_error f = { 0 };
	struct conf c;

	str_add(&s, "{\"cniVersion\":\"1.0.0\",\"name\":\"n\",\"x\":\"");
	while (s.len < CONF_SIZE_MAX)
		str_addc(&s, 'x');
	str_add(&s, "\"}");
	assert_int_equal(conf_parse(&c, s.p, s.len, &env, &f), -1);
	assert_int_equal(f.code, CNI_DECODE);
	assert_non_null(strstr(f.msg, "longer than"));
	conf_done(&c);
	str_done(&s);
}

static void test_version_text(void **state)
{
	CLEANUP(freep) char *text = conf_versions_json();

	assert_string_equal(text,
			    "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\","
			    "\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_verbs_that_need_nothing),
		cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_names_and_versions),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_version_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
