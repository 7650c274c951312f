/* config.c - the layers and their order, Calico's variables, and errors that teach */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/config.h"

enum { WORDS_MAX = 16 };

/* A case's input: file text (NULL: none), environment and options as "a b c". */
struct input {
	const char *file, *env, *options;
};

struct outcome {
	int rc;
	struct agent_config c;
	enum config_action action;
	struct str remarks;
	struct err e;
};

static char file[] = "/tmp/margay-config-XXXXXX";

static size_t split(char *text, char **out)
{
	size_t n = 0;

	for (char *w; (w = strsep(&text, " ")) && n < WORDS_MAX;)
		if (*w)
			out[n++] = w;
	out[n] = NULL;
	return n;
}

static void load(const struct input *in, struct outcome *o)
{
	CLEANUP(freep) char *env = xstrdup(in->env ? in->env : "");
	CLEANUP(freep)
	char *opts = xasprintf("margayd -c %s %s", in->file ? file : "/dev/null",
			       in->options ? in->options : "");
	char *argv[WORDS_MAX + 1], *envp[WORDS_MAX + 1];
	size_t argc = split(opts, argv);

	split(env, envp);
	memset(o, 0, sizeof(*o));
	if (in->file) {
		FILE *f = fopen(file, "w");

		assert_non_null(f);
		fputs(in->file, f);
		fclose(f);
	}
	o->rc = config_load(&o->c, (int)argc, argv, envp, &o->action, &o->remarks, &o->e);
}

static void done(struct outcome *o)
{
	if (o->rc == 0)
		config_done(&o->c);
	str_done(&o->remarks);
}

static void ok(const struct input *in, struct outcome *o)
{
	load(in, o);
	if (o->rc < 0)
		fail_msg("%s", o->e.msg);
}

static void defaults(void **state)
{
	struct outcome o;

	ok(&(struct input) { .options = "--node n1" }, &o);
	assert_string_equal(o.c.node, "n1");
	assert_string_equal(o.c.datastore, "sqlite:/var/lib/margay/margay.db");
	assert_string_equal(o.c.run_dir, "/run/margay");
	assert_string_equal(o.c.ip, "");
	assert_string_equal(o.c.ip6, "none");
	assert_string_equal(o.c.interface_prefix, "cali");
	assert_int_equal(o.c.route_protocol, 80);
	assert_int_equal(o.c.health_port, 9099);
	assert_int_equal(o.c.log_level, LOG_LEVEL_INFO);
	assert_int_equal(o.c.pool_v4.block_size, 26);
	assert_true(o.c.pool_v4.nat_outgoing);
	assert_true(o.c.bgp && o.c.health && o.c.ip_forward && o.c.remove_external_routes);
	assert_false(o.c.no_default_pools);
	assert_int_equal(o.c.as, 0);
	done(&o);
}

/* Each layer beats the one before. */
static void layers(void **state)
{
	struct outcome o;

	ok(&(struct input) { "healthPort: 1001\nnode: f\n", NULL, NULL }, &o);
	assert_int_equal(o.c.health_port, 1001);
	done(&o);
	ok(&(struct input) { "healthPort: 1001\nnode: f\n", "FELIX_HEALTHPORT=1002", NULL }, &o);
	assert_int_equal(o.c.health_port, 1002);
	done(&o);
	ok(&(struct input) { "healthPort: 1001\nnode: f\n",
			     "FELIX_HEALTHPORT=1002 MARGAY_HEALTH_PORT=1003", NULL },
	   &o);
	assert_int_equal(o.c.health_port, 1003);
	done(&o);
	ok(&(struct input) { "healthPort: 1001\nnode: f\n",
			     "FELIX_HEALTHPORT=1002 MARGAY_HEALTH_PORT=1003",
			     "--health-port=1004" },
	   &o);
	assert_int_equal(o.c.health_port, 1004);
	assert_string_equal(o.c.node, "f");
	done(&o);
}

static void nested_keys(void **state)
{
	struct outcome o;

	ok(&(struct input) { "node: a\ndefaultPoolV4:\n  cidr: 10.1.0.0/16\n  blockSize: 28\n",
			     "MARGAY_DEFAULT_POOL_V4_BLOCK_SIZE=27",
			     "--default-pool-v4-nat-outgoing=false --no-default-pools" },
	   &o);
	assert_int_equal(o.c.pool_v4.cidr.len, 16);
	assert_int_equal(o.c.pool_v4.block_size, 27);
	assert_false(o.c.pool_v4.nat_outgoing);
	assert_true(o.c.no_default_pools); /* a switch needs no value */
	done(&o);
}

/* The template of a calico-node pod. */
static void calico(void **state)
{
	struct outcome o;

	ok(
		&(struct input) {
			.env = "NODENAME=Edge-7 IP=autodetect AS=64600 CALICO_ROUTER_ID=hash "
			       "CALICO_IPV4POOL_CIDR=10.9.0.0/16 CALICO_IPV4POOL_IPIP=Off "
			       "CALICO_IPV4POOL_VXLAN=CrossSubnet NO_DEFAULT_POOLS=false "
			       "FELIX_LOGSEVERITYSCREEN=Warning FELIX_IPFORWARDING=Disabled "
			       "CALICO_NETWORKING_BACKEND=bird FELIX_INTERFACEPREFIX=cali,tap "
			       "FELIX_IPV6SUPPORT=false IP6= CALICO_DISABLE_FILE_LOGGING=true" },
		&o);
	assert_string_equal(o.c.node, "edge-7");
	assert_string_equal(o.c.ip, "autodetect");
	assert_string_equal(o.c.ip6, "none");
	assert_int_equal(o.c.as, 64600);
	assert_string_equal(o.c.router_id, "hash");
	assert_int_equal(o.c.pool_v4.ipip, 0);
	assert_int_equal(o.c.pool_v4.vxlan, 2);
	assert_int_equal(o.c.log_level, LOG_LEVEL_WARN);
	assert_false(o.c.ip_forward);
	assert_true(o.c.bgp);
	assert_string_equal(o.c.interface_prefix, "cali");
	done(&o);
	ok(&(struct input) { .env = "NODENAME=n CALICO_NETWORKING_BACKEND=vxlan" }, &o);
	assert_false(o.c.bgp);
	done(&o);
}

static void calico_datastores(void **state)
{
	struct outcome o;

	ok(
		&(struct input) {
			.env = "DATASTORE_TYPE=etcdv3 ETCD_ENDPOINTS=http://a:2379,http://b:2379",
			.options = "--node n" },
		&o);
	assert_string_equal(o.c.datastore, "etcd:http://a:2379,http://b:2379");
	done(&o);
	ok(&(struct input) { .env = "DATASTORE_TYPE=kubernetes KUBECONFIG=/k",
			     .options = "--node n" },
	   &o);
	assert_string_equal(o.c.datastore, "kubernetes:/k");
	done(&o);
	ok(&(struct input) { .env = "DATASTORE_TYPE=kubernetes",
			     .options = "--node n --datastore sqlite:/x" },
	   &o);
	assert_string_equal(o.c.datastore, "sqlite:/x");
	done(&o);
}

static void errors(void **state)
{
	static const struct {
		const char *name;
		struct input in;
		const char *says[3];
	} c[] = {
		{ "unknown key, with its line and the right one",
		  { "node: a\nhelthPort: 1\n", NULL, NULL },
		  { ":2: ", "helthPort", "healthPort" } },
		{ "wrong type",
		  { "node: a\n\nhealthPort: x\n", NULL, NULL },
		  { ":3: ", "healthPort", "from 1 to 65535" } },
		{ "out of range", { "healthPort: 70000\n", NULL, NULL }, { ":1: ", "65535", "" } },
		{ "nested",
		  { "defaultPoolV4:\n  blockSize: 19\n", NULL, NULL },
		  { ":2: ", "defaultPoolV4.blockSize", "20 to 32" } },
		{ "a list instead of keys", { "- a\n", NULL, NULL }, { "must be", "a list", "" } },
		{ "no YAML at all", { "node: [\n", NULL, NULL }, { "margay-config", ":", "" } },
		{ "two documents",
		  { "node: a\n---\nnode: b\n", NULL, NULL },
		  { "2 YAML", "", "" } },
		{ "a key twice", { "node: a\nnode: b\n", NULL, NULL }, { ":2", "node", "" } },
		{ "host bits in the pool",
		  { "defaultPoolV4: {cidr: 10.0.0.1/16}\n", NULL, NULL },
		  { "cidr", "10.0.0.0/16", "" } },
		{ "a variable",
		  { NULL, "MARGAY_HEALTH_PORT=x", NULL },
		  { "variable MARGAY_HEALTH_PORT: must be", "\"x\"", "" } },
		{ "one of Calico's",
		  { NULL, "FELIX_HEALTHPORT=x", NULL },
		  { "variable FELIX_HEALTHPORT: must be", "", "" } },
		{ "an option",
		  { NULL, NULL, "--health-port=x" },
		  { "--health-port: must be", "", "" } },
		{ "an unknown option",
		  { NULL, NULL, "--helth-port=1" },
		  { "--helth-port", "did you mean --health-port", "" } },
		{ "an option far from all", { NULL, NULL, "--zzzzzz" }, { "--help", "", "" } },
		{ "an option without its value",
		  { NULL, NULL, "--node" },
		  { "--node needs", "", "" } },
		{ "a word that is no option", { NULL, NULL, "start" }, { "\"start\"", "", "" } },
		{ "no file after -c", { NULL, NULL, "-c" }, { "-c needs a file", "", "" } },
		{ "a file that is not there",
		  { NULL, NULL, "-c /nonexistent" },
		  { "/nonexistent", "No such file", "" } },
		{ "node in capitals", { NULL, NULL, "--node=Edge" }, { "lower case", "Edge", "" } },
		{ "IPv6 for ip", { NULL, NULL, "--ip=fd00::1" }, { "IPv4", "autodetect", "" } },
		{ "router id zero",
		  { NULL, NULL, "--router-id=0.0.0.0" },
		  { "hash", "10.0.0.1", "" } },
		{ "autodetection",
		  { NULL, NULL, "--ip-autodetection=best" },
		  { "can-reach=", "\"best\"", "" } },
		{ "prefix of interfaces",
		  { NULL, NULL, "--interface-prefix=workload" },
		  { "1 to 4", "workload", "" } },
		{ "log level",
		  { NULL, NULL, "--log-level=loud" },
		  { "error, warn, info, debug", "", "" } },
		{ "datastore type",
		  { NULL, "DATASTORE_TYPE=mysql", NULL },
		  { "etcdv3", "mysql", "" } },
		{ "etcd without endpoints",
		  { NULL, "DATASTORE_TYPE=etcdv3", NULL },
		  { "ETCD_ENDPOINTS", "is missing", "" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct outcome o;

		load(&c[i].in, &o);
		if (o.rc >= 0)
			fail_msg("%s: was accepted", c[i].name);
		for (size_t k = 0; k < 3; k++)
			if (!strstr(o.e.msg, c[i].says[k]))
				fail_msg("%s: \"%s\" does not say \"%s\"", c[i].name, o.e.msg,
					 c[i].says[k]);
		done(&o);
	}
}

static void remarks(void **state)
{
	struct outcome o;

	ok(&(struct input) { .env = "MARGAY_HELTH_PORT=1 MARGAY_SERVICE_HOST=x",
			     .options = "--node n" },
	   &o);
	assert_non_null(strstr(str_text(&o.remarks), "MARGAY_HEALTH_PORT"));
	assert_null(strstr(str_text(&o.remarks), "SERVICE_HOST"));
	done(&o);
}

static void actions(void **state)
{
	struct outcome o;

	ok(&(struct input) { .options = "--version" }, &o);
	assert_int_equal(o.action, CONFIG_VERSION);
	done(&o);
	ok(&(struct input) { .options = "--node n --print-config" }, &o);
	assert_int_equal(o.action, CONFIG_PRINT);
	done(&o);
}

/* What --print-config prints is a configuration file that says the same. */
static void printed_config_reads_back(void **state)
{
	struct outcome o, again;
	struct str text = { 0 }, twice = { 0 };

	ok(
		&(struct input) {
			.options = "--node n1 --as-number 64513 --default-pool-v4-cidr=10.0.0.0/8 "
				   "--ip 10.0.0.1/24 --log-format json" },
		&o);
	config_print(&o.c, &text);
	ok(&(struct input) { .file = str_text(&text) }, &again);
	config_print(&again.c, &twice);
	assert_string_equal(str_text(&text), str_text(&twice));
	assert_int_equal(again.c.as, 64513);
	assert_int_equal(again.c.pool_v4.cidr.len, 8);
	done(&again);
	done(&o);
	str_done(&text);
	str_done(&twice);
}

static void help_names_everything(void **state)
{
	struct str s = { 0 };

	config_help(&s);
	assert_non_null(strstr(str_text(&s), "--default-pool-v4-cidr"));
	assert_non_null(strstr(str_text(&s), "MARGAY_RUN_DIR"));
	assert_non_null(strstr(str_text(&s), "CALICO_IPV4POOL_CIDR"));
	assert_non_null(strstr(str_text(&s), "--run-dir"));
	str_done(&s);
}

static void reload(void **state)
{
	struct outcome a, b;
	struct str need = { 0 };

	ok(&(struct input) { "node: a\n", NULL, NULL }, &a);
	ok(&(struct input) { "node: a\nlogLevel: debug\nhealthPort: 1\nrunDir: /x\n", NULL, NULL },
	   &b);
	config_reload(&a.c, &b.c, &need);
	assert_int_equal(a.c.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(a.c.health_port, 9099);
	assert_non_null(strstr(str_text(&need), "healthPort"));
	assert_non_null(strstr(str_text(&need), "runDir"));
	assert_null(strstr(str_text(&need), "logLevel"));
	str_done(&need);
	done(&a);
	done(&b);
}

static int make_file(void **state)
{
	int fd = mkstemp(file);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int remove_file(void **state)
{
	return unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(layers),
		cmocka_unit_test(nested_keys),
		cmocka_unit_test(calico),
		cmocka_unit_test(calico_datastores),
		cmocka_unit_test(errors),
		cmocka_unit_test(remarks),
		cmocka_unit_test(actions),
		cmocka_unit_test(printed_config_reads_back),
		cmocka_unit_test(help_names_everything),
		cmocka_unit_test(reload),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
