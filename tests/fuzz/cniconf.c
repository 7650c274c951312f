/* cniconf.c - a network configuration, a prevResult and an agent's answer of any bytes: a value or
 * a fault with a code; what is taken is within its limits */
#include <stdlib.h>
#include <string.h>

#include "cni-plugin/conf.h"
#include "cni-plugin/result.h"
#include "lib/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void try_conf(const char *text, size_t len, enum verb verb)
{
	struct env env = { .verb = verb, .verb_name = "CHECK", .ifname = "eth0", .netns = "/x" };
	struct cni_error f = { 0 };
	struct expected x;
	struct conf c;

	if (conf_parse(&c, text, len, &env, &f) < 0) {
		must(f.code > 0 && f.msg[0]);
	} else {
		must(c.version && c.name && c.agent_socket[0] == '/' && c.state_dir[0] == '/');
		must(c.mtu <= CONF_MTU_MAX && c.queues <= CONF_QUEUES_MAX);
		must(*c.ipam_type && !strchr(c.ipam_type, '/'));
		if (c.prev_result && result_expect(&x, c.prev_result, &env, &f) == 0)
			must(x.n_ips <= ANSWER_IPS_MAX);
	}
	conf_done(&c);
}

static void try_answer(const char *text, size_t len)
{
	struct env env = { .ifname = "eth0", .netns = "/x" };
	struct conf c = { .version = "1.1.0" };
	struct cni_error f = { 0 };
	struct expected x;
	struct answer a;
	json_t *reply, *back;
	char *out;

	if (js_parse(text, len, &reply, NULL) < 0)
		return;
	if (answer_parse(&a, reply, &f) == 0) {
		must(a.n_ips >= 1 && a.n_ips <= ANSWER_IPS_MAX && a.n_routes <= ANSWER_ROUTES_MAX);
		must(a.host_if[0] && !strchr(a.host_if, '/') && a.queues >= 1);
		/* What ADD prints is what CHECK understands. */
		out = result_json(&c, &env, &a, a.mac, NULL);
		must(js_parse(out, strlen(out), &back, NULL) == 0);
		must(result_expect(&x, back, &env, &f) == 0 && x.n_ips == a.n_ips);
		json_decref(back);
		free(out);
	}
	json_decref(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = 0;
	try_conf(text, len, VERB_ADD);
	try_conf(text, len, VERB_CHECK);
	try_answer(text, len);
	free(text);
	return 0;
}
