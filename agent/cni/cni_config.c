/* cni_config.c - what one CNI call asks for
 *
 * SHAPE  request -> identity (op, containerID, ifname), CNI_ARGS, configuration. Each reader below
 *        looks at one part and fails with the key and what would be right.
 * WHY    DEL, CHECK and GC are given the configuration of the ADD, which may be older than this
 *        program: they read the name of the network and no more.
 * TESTS  tests/unit/agent/cni/cni_config.c */
#include "agent/cni/cni_config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/json.h"

/* CNI 1.1: first an alphanumeric character, then these. */
static bool cni_word_ok(const char *s, size_t max)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return n > 0 && n <= max && !s[n] && isalnum((unsigned char)s[0]);
}

static bool cni_ifname_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 1 || n > 15 || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == '/' || s[i] == ':' || s[i] == 0x7f)
			return false;
	return true;
}

static bool call_is(const struct cni_call *c, const char *op)
{
	return !strcmp(c->op, op);
}

/* Verbs about one attachment; the others are about the node. */
static bool call_has_container(const struct cni_call *c)
{
	return !call_is(c, "STATUS") && !call_is(c, "GC") && !call_is(c, "IPAM_STATUS") &&
	       !call_is(c, "IPAM_GC");
}

static bool call_is_add(const struct cni_call *c)
{
	return call_is(c, "ADD") || call_is(c, "IPAM_ADD");
}

static bool call_is_ipam(const struct cni_call *c)
{
	return str_starts(c->op, "IPAM_");
}

static int bad_config(struct cni_error *f, const struct err *e)
{
	return cni_fail(f, CNI_BAD_CONFIG, "network configuration: %s", e->msg);
}

/* ---- identity ---- */

static int read_identity(struct cni_call *c, struct cni_error *f)
{
	struct err e = { 0 };

	c->op = c->container_id = c->netns = c->ifname = "";
	if (js_need(js_str(c->root, "op", &c->op, &e), "op", &e) < 0 ||
	    js_str(c->root, "containerID", &c->container_id, &e) < 0 ||
	    js_str(c->root, "netns", &c->netns, &e) < 0 ||
	    js_str(c->root, "ifname", &c->ifname, &e) < 0)
		return cni_fail(f, CNI_DECODE, "request: %s", e.msg);
	if (!call_has_container(c))
		return 0;
	if (!cni_word_ok(c->container_id, CNI_ID_MAX))
		return cni_fail(
			f, CNI_BAD_ENV,
			"CNI_CONTAINERID \"%.64s\": must begin with a letter or digit, go on "
			"with these or _ . -, and have 1 to %d characters",
			c->container_id, CNI_ID_MAX);
	if (!cni_ifname_ok(c->ifname))
		return cni_fail(
			f, CNI_BAD_ENV,
			"CNI_IFNAME \"%.32s\": must be an interface name of 1 to 15 characters "
			"without / : and blanks",
			c->ifname);
	return 0;
}

/* ---- CNI_ARGS ---- */

static bool truthy(const char *s)
{
	return !strcasecmp(s, "1") || !strcasecmp(s, "true");
}

/* One address asked for by number; "a.b.c.d/24" as host-local's users write it is taken too. */
static int want_addr(struct cni_call *c, const char *text, const char *where, struct cni_error *f)
{
	struct prefix p;
	struct addr *slot;

	if (!prefix_parse_or_addr(text, &p))
		return cni_fail(f, CNI_BAD_CONFIG, "%s \"%.64s\": must be an IP address", where,
				text);
	slot = p.addr.family == IP_V4 ? &c->ip_v4 : &c->ip_v6;
	if (slot->family != IP_NONE && !addr_eq(slot, &p.addr))
		return cni_fail(f, CNI_BAD_CONFIG,
				"%s \"%.64s\": a second address of the same family; one of each is "
				"possible",
				where, text);
	*slot = p.addr;
	return 0;
}

/* Keys that kubelet, Multus and the specification send; any other is refused unless told to ignore.
 */
static int read_arg(struct cni_call *c, const char *key, const char *value, bool *unknown,
		    struct cni_error *f)
{
	static const char *const passed_over[] = { "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID",
						   "IgnoreUnknown" };

	if (!strcmp(key, "K8S_POD_NAMESPACE")) {
		c->pod_namespace = value;
		return 0;
	}
	if (!strcmp(key, "K8S_POD_NAME")) {
		c->pod_name = value;
		return 0;
	}
	if (!strcmp(key, "IP") && call_is_add(c))
		return want_addr(c, value, "CNI_ARGS IP", f);
	if (!strcmp(key, "MAC") && call_is_add(c)) {
		c->mac = value;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(passed_over); i++)
		if (!strcmp(key, passed_over[i]))
			return 0;
	if (call_is_add(c) && strcmp(key, "IP") != 0 && strcmp(key, "MAC") != 0)
		*unknown = true;
	return 0;
}

static int read_args(struct cni_call *c, struct cni_error *f)
{
	const char *text = "", *odd = NULL;
	struct err e = { 0 };
	bool ignore = false;
	char *save = NULL;

	c->pod_namespace = c->pod_name = "";
	if (js_str(c->root, "args", &text, &e) < 0)
		return cni_fail(f, CNI_DECODE, "request: %s", e.msg);
	c->args = xstrdup(text);
	for (char *w = strtok_r(c->args, ";", &save); w; w = strtok_r(NULL, ";", &save)) {
		char *value = strchr(w, '=');
		bool unknown = false;

		if (!value)
			return cni_fail(f, CNI_BAD_ENV,
					"CNI_ARGS \"%.64s\": must be KEY=VALUE;KEY=VALUE", w);
		*value++ = 0;
		if (!strcmp(w, "IgnoreUnknown"))
			ignore = truthy(value);
		if (read_arg(c, w, value, &unknown, f) < 0)
			return -1;
		if (unknown)
			odd = w;
	}
	if (odd && !ignore)
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_ARGS: unknown key \"%.64s\"; known are K8S_POD_NAMESPACE, "
				"K8S_POD_NAME, "
				"IP, MAC; IgnoreUnknown=1 passes over others",
				odd);
	return 0;
}

/* Kubernetes' names; they become part of a key in the datastore. */
static bool k8s_name_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-");

	return n > 0 && n <= 253 && !s[n] && isalnum((unsigned char)s[0]) &&
	       isalnum((unsigned char)s[n - 1]);
}

static int read_pod(struct cni_call *c, struct cni_error *f)
{
	if (!*c->pod_namespace || !*c->pod_name) {
		c->pod_namespace = "default";
		c->pod_name = "";
		return 0;
	}
	if (!k8s_name_ok(c->pod_namespace) || strchr(c->pod_namespace, '.'))
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_ARGS K8S_POD_NAMESPACE \"%.64s\": must be lower-case letters, "
				"digits and -",
				c->pod_namespace);
	if (!k8s_name_ok(c->pod_name))
		return cni_fail(f, CNI_BAD_ENV,
				"CNI_ARGS K8S_POD_NAME \"%.64s\": must be lower-case letters, "
				"digits, - and .",
				c->pod_name);
	c->k8s = true;
	return 0;
}

/* ---- configuration ---- */

static int read_network(struct cni_call *c, struct cni_error *f)
{
	struct err e = { 0 };

	c->network = c->cni_version = "";
	if (js_need(js_obj(c->root, "config", &c->config, &e), "config", &e) < 0)
		return cni_fail(f, CNI_DECODE, "request: %s", e.msg);
	if (js_str(c->config, "cniVersion", &c->cni_version, &e) < 0 ||
	    js_need(js_str(c->config, "name", &c->network, &e), "name", &e) < 0)
		return bad_config(f, &e);
	if (!cni_word_ok(c->network, CNI_NETWORK_MAX))
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: name \"%.64s\": must begin with a letter "
				"or digit, go "
				"on with these or _ . -, and have 1 to %d characters",
				c->network, CNI_NETWORK_MAX);
	return 0;
}

/* Calico writes these as strings; a plain true or false can only mean the same. */
static int read_flag(const json_t *ipam, const char *key, bool *out, struct cni_error *f)
{
	const json_t *v = json_object_get(ipam, key);

	if (!v || json_is_null(v))
		return 0;
	if (json_is_boolean(v)) {
		*out = json_is_true(v);
		return 0;
	}
	if (json_is_string(v) && !strcasecmp(json_string_value(v), "true")) {
		*out = true;
		return 0;
	}
	if (json_is_string(v) && !strcasecmp(json_string_value(v), "false")) {
		*out = false;
		return 0;
	}
	return cni_fail(f, CNI_BAD_CONFIG,
			"network configuration: ipam.%s: must be \"true\" or \"false\", is %s", key,
			json_is_string(v) ? "another text" : js_type_name(v));
}

static int read_pools(const json_t *ipam, const char *key, const char **pools, unsigned *n,
		      struct cni_error *f)
{
	struct err e = { 0 };
	json_t *list = NULL, *v;
	size_t i;

	if (js_list(ipam, key, &list, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "network configuration: ipam.%s", e.msg);
	if (json_array_size(list) > CNI_POOLS_MAX)
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: ipam.%s: %zu entries, at most %d are possible", key,
			json_array_size(list), CNI_POOLS_MAX);
	json_array_foreach (list, i, v) {
		const char *s = json_string_value(v);

		if (!s || !*s)
			return cni_fail(f, CNI_BAD_CONFIG,
					"network configuration: ipam.%s[%zu]: must be the name or "
					"CIDR of an "
					"IPPool, is %s",
					key, i, s ? "empty" : js_type_name(v));
		pools[(*n)++] = s;
	}
	return 0;
}

/* args.cni.ips and runtimeConfig.ips: the conventions besides CNI_ARGS IP=. */
static int read_ips(struct cni_call *c, const char *path, struct cni_error *f)
{
	struct err e = { 0 };
	json_t *list = NULL, *v;
	size_t i;

	if (js_list(c->config, path, &list, &e) < 0)
		return bad_config(f, &e);
	json_array_foreach (list, i, v) {
		if (!json_is_string(v))
			return cni_fail(
				f, CNI_BAD_CONFIG,
				"network configuration: %s[%zu]: must be an IP address, is %s",
				path, i, js_type_name(v));
		if (want_addr(c, json_string_value(v), path, f) < 0)
			return -1;
	}
	return 0;
}

static int read_our_ipam(struct cni_call *c, const json_t *ipam, struct cni_error *f)
{
	c->want_v4 = true;
	if (read_flag(ipam, "assign_ipv4", &c->want_v4, f) < 0 ||
	    read_flag(ipam, "assign_ipv6", &c->want_v6, f) < 0 ||
	    read_pools(ipam, "ipv4_pools", c->pools_v4, &c->n_pools_v4, f) < 0 ||
	    read_pools(ipam, "ipv6_pools", c->pools_v6, &c->n_pools_v6, f) < 0 ||
	    read_ips(c, "args.cni.ips", f) < 0 || read_ips(c, "runtimeConfig.ips", f) < 0)
		return -1;
	if (json_object_get(ipam, "subnet") || json_object_get(ipam, "ranges"))
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: ipam.subnet and ipam.ranges belong to host-local; "
			"margay-ipam gives addresses from IPPools: name them in ipam.ipv4_pools, "
			"or "
			"leave it away for any pool that suits the node");
	if (!c->want_v4 && !c->want_v6 && !c->ip_v4.family && !c->ip_v6.family)
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: ipam.assign_ipv4 and assign_ipv6 are both "
				"false; one "
				"must be \"true\"");
	return 0;
}

static bool is_our_type(const char *type)
{
	return !strcmp(type, "margay-ipam") || !strcmp(type, "calico-ipam");
}

static int read_ipam(struct cni_call *c, struct cni_error *f)
{
	const char *type = NULL;
	struct err e = { 0 };
	json_t *ipam = NULL;

	if (js_need(js_obj(c->config, "ipam", &ipam, &e), "ipam", &e) < 0 ||
	    js_need(js_str(c->config, "ipam.type", &type, &e), "ipam.type", &e) < 0)
		return bad_config(f, &e);
	if (js_obj(c->root, "ipamResult", &c->ipam_result, &e) < 0)
		return cni_fail(f, CNI_DECODE, "request: %s", e.msg);
	if (is_our_type(type) || call_is_ipam(c))
		return read_our_ipam(c, ipam, f);
	c->delegated = true;
	if (!c->ipam_result)
		return cni_fail(
			f, CNI_DECODE,
			"request: ipamResult is missing: ipam.type is \"%.64s\", whose answer the "
			"plugin must pass on",
			type);
	return 0;
}

/* Custom routes go to the plugin as destinations; the gateway is always 169.254.1.1. */
static int read_routes(struct cni_call *c, struct cni_error *f)
{
	bool keep_default = false, has_default[2] = { false, false };
	struct err e = { 0 };
	json_t *list = NULL, *v;
	size_t i;

	if (js_list(c->config, "ipam.routes", &list, &e) < 0 ||
	    js_bool(c->config, "include_default_routes", &keep_default, &e) < 0)
		return bad_config(f, &e);
	if (!json_array_size(list) || c->delegated)
		return 0;
	if (json_array_size(list) > CNI_ROUTES_MAX)
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: ipam.routes: %zu entries, at most %d are possible",
			json_array_size(list), CNI_ROUTES_MAX);
	c->routes = json_array();
	json_array_foreach (list, i, v) {
		const char *dst = json_string_value(json_object_get(v, "dst"));
		json_t *one = json_object();
		struct prefix p;

		json_array_append_new(c->routes, one);
		if (!dst || !prefix_parse_strict(dst, &p))
			return cni_fail(f, CNI_BAD_CONFIG,
					"network configuration: ipam.routes[%zu].dst: must be a "
					"CIDR such as "
					"10.0.0.0/8 without host bits, is %.64s",
					i, dst ? dst : "absent");
		js_set_str(one, "dst", dst);
		if (p.len == 0)
			has_default[p.addr.family == IP_V6] = true;
	}
	for (int v6 = 0; keep_default && v6 < 2; v6++) {
		json_t *one;

		if (has_default[v6] || !(v6 ? c->want_v6 : c->want_v4))
			continue;
		one = json_object();
		js_set_str(one, "dst", v6 ? "::/0" : "0.0.0.0/0");
		json_array_append_new(c->routes, one);
	}
	return 0;
}

bool mac_parse(const char *text, uint8_t out[static 6])
{
	unsigned b[6];
	char end;

	if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6)
		return false;
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t)b[i];
	return true;
}

static bool mac_ok(const char *s)
{
	uint8_t b[6];

	return mac_parse(s, b) && !(b[0] & 1);
}

static int read_link_wishes(struct cni_call *c, struct cni_error *f)
{
	struct err e = { 0 };
	int64_t n = 0;

	if (js_int(c->config, "mtu", 0, 65535, &n, &e) < 0)
		return bad_config(f, &e);
	if (n && n < (c->want_v6 ? 1280 : 68))
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: mtu %d: must be 0 (the node's) or at least %d",
			(int)n, c->want_v6 ? 1280 : 68);
	c->mtu = (unsigned)n;
	n = 0;
	if (js_int(c->config, "num_queues", -1, 4096, &n, &e) < 0 ||
	    js_bool(c->config, "container_settings.allow_ip_forwarding", &c->ip_forward, &e) < 0 ||
	    js_str(c->config, "runtimeConfig.mac", &c->mac, &e) < 0)
		return bad_config(f, &e);
	c->num_queues = n > 0 ? (unsigned)n : 0;
	if (c->mac && !mac_ok(c->mac))
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"MAC \"%.32s\": must be six bytes in hex with colons, unicast, such as "
			"02:42:0a:00:00:05",
			c->mac);
	return 0;
}

/* A label's key and value, by Kubernetes' alphabet; the rest is the selector's business. */
static bool label_ok(const char *s, size_t max, const char *extra)
{
	size_t n = strlen(s);

	if (n > max)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr(extra, s[i]))
			return false;
	return true;
}

static int read_labels(struct cni_call *c, struct cni_error *f)
{
	struct err e = { 0 };
	const char *key;
	json_t *v;

	if (js_obj(c->config, "args.margay.labels", &c->labels, &e) < 0)
		return bad_config(f, &e);
	if (json_object_size(c->labels) > CNI_LABELS_MAX)
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: args.margay.labels: %zu labels, at most %d "
				"are possible",
				json_object_size(c->labels), CNI_LABELS_MAX);
	json_object_foreach (c->labels, key, v) {
		const char *s = json_string_value(v);

		if (!*key || !label_ok(key, 317, "-_./"))
			return cni_fail(
				f, CNI_BAD_CONFIG,
				"network configuration: args.margay.labels: key \"%.80s\": must be "
				"letters, digits, - _ . and one /",
				key);
		if (!s || !label_ok(s, 63, "-_."))
			return cni_fail(f, CNI_BAD_CONFIG,
					"network configuration: args.margay.labels: \"%.80s\": the "
					"value must be "
					"a text of at most 63 letters, digits, - _ .",
					key);
	}
	return 0;
}

/* The pod's annotation, where the runtime says it: a JSON list as text. New reference; NULL: none. */
static int annotated_sources(struct cni_call *c, json_t **out, struct err *e)
{
	const json_t *notes = json_object_get(json_object_get(c->config, "runtimeConfig"),
					      "io.kubernetes.cri.pod-annotations");
	const char *text = json_string_value(
		json_object_get(notes, "cni.projectcalico.org/allowedSourcePrefixes"));

	if (!text)
		return 0;
	if (js_parse(text, strlen(text), out, e) == 0 && json_is_array(*out))
		return 0;
	json_decref(TAKE(*out));
	return err_set(e, -EINVAL,
		       "annotation cni.projectcalico.org/allowedSourcePrefixes: must be a JSON list "
		       "of ranges, as in [\"192.0.2.0/24\"], is \"%.60s\"",
		       text);
}

static int read_sources(struct cni_call *c, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *asked = NULL;
	json_t *list = NULL, *v;
	struct err e = { 0 };
	struct prefix net;
	char text[PREFIX_STR_MAX];
	size_t i;

	if (js_list(c->config, "args.margay.allowedSourcePrefixes", &list, &e) < 0)
		return bad_config(f, &e);
	asked = json_incref(list);
	if (!list && annotated_sources(c, &asked, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "%s", e.msg);
	if (json_array_size(asked) > CNI_SOURCES_MAX)
		return cni_fail(f, CNI_BAD_CONFIG,
				"allowedSourcePrefixes: %zu ranges, at most %d are possible",
				json_array_size(asked), CNI_SOURCES_MAX);
	c->source_prefixes = json_array();
	json_array_foreach (asked, i, v) {
		const char *s = json_string_value(v);

		if (s && prefix_parse_or_addr(s, &net)) {
			net = prefix_mask(&net);
			json_array_append_new(c->source_prefixes,
					      js_text(prefix_format(&net, text)));
			continue;
		}
		return cni_fail(f, CNI_BAD_CONFIG,
				"allowedSourcePrefixes[%zu]: must be a range as in 192.0.2.0/24, is "
				"\"%.60s\"",
				i, s ? s : js_type_name(v));
	}
	return 0;
}

static int read_account(struct cni_call *c, struct cni_error *f)
{
	const char *s;
	struct err e = { 0 };

	c->service_account = "default";
	if (js_str(c->config, "args.margay.serviceAccount", &c->service_account, &e) < 0)
		return bad_config(f, &e);
	s = c->service_account;
	if (*s && strlen(s) <= 253 && label_ok(s, 253, "-."))
		return 0;
	return cni_fail(f, CNI_BAD_CONFIG,
			"network configuration: args.margay.serviceAccount \"%.64s\": must be a name "
			"of letters, digits, - and .",
			s);
}

static int read_policy(struct cni_call *c, struct cni_error *f)
{
	const char *type = "";
	struct err e = { 0 };

	if (js_str(c->config, "policy.type", &type, &e) < 0)
		return bad_config(f, &e);
	if (*type && strcmp(type, "k8s") != 0)
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: policy.type \"%.32s\": must be \"k8s\" or absent",
			type);
	c->policy_k8s = *type;
	return 0;
}

static int read_config(struct cni_call *c, struct cni_error *f)
{
	if (read_network(c, f) < 0)
		return -1;
	if (!call_is_add(c))
		return 0;
	if (read_ipam(c, f) < 0)
		return -1;
	if (call_is_ipam(c))
		return 0;
	return read_routes(c, f) < 0 || read_link_wishes(c, f) < 0 || read_labels(c, f) < 0 ||
			       read_account(c, f) < 0 || read_sources(c, f) < 0 ||
			       read_policy(c, f) < 0
		       ? -1
		       : 0;
}

/* ---- the whole ---- */

int cni_call_decode(struct cni_call *c, const char *line, size_t len, struct cni_error *f)
{
	struct err e = { 0 };

	memset(c, 0, sizeof(*c));
	if (js_parse(line, len, &c->root, &e) < 0)
		return cni_fail(f, CNI_DECODE, "request: %s", e.msg);
	if (!json_is_object(c->root)) {
		cni_fail(f, CNI_DECODE, "request: must be a JSON object, is %s",
			 js_type_name(c->root));
		goto bad;
	}
	if (read_identity(c, f) < 0 || read_args(c, f) < 0 || read_pod(c, f) < 0 ||
	    read_config(c, f) < 0)
		goto bad;
	return 0;
bad:
	cni_call_done(c);
	return -1;
}

void cni_call_done(struct cni_call *c)
{
	json_decref(c->root);
	json_decref(c->routes);
	json_decref(c->source_prefixes);
	free(c->args);
	memset(c, 0, sizeof(*c));
}

char *cni_call_handle(const struct cni_call *c)
{
	return xasprintf("%s.%s", c->network, c->container_id);
}

char *cni_call_who(const struct cni_call *c)
{
	return c->k8s ? xasprintf("pod %s/%s", c->pod_namespace, c->pod_name)
		      : xasprintf("container %.64s", c->container_id);
}

bool cni_call_ours(const struct cni_call *c)
{
	const char *type = NULL;

	return js_str(c->config, "ipam.type", &type, NULL) != 1 || is_our_type(type);
}

int cni_call_attachments(const struct cni_call *c, json_t **out, struct cni_error *f)
{
	json_t *list = json_object_get(c->config, "cni.dev/valid-attachments"), *v;
	size_t i;

	/* Nothing listed would mean that every pod is stale: that must be said, not left out. */
	if (!json_is_array(list))
		return cni_fail(
			f, CNI_BAD_CONFIG,
			"network configuration: cni.dev/valid-attachments: must be a list of "
			"{containerID, ifname}, is %s",
			js_type_name(list));
	if (json_array_size(list) > CNI_ATTACHMENTS_MAX)
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: cni.dev/valid-attachments: %zu entries, at "
				"most %d are "
				"possible",
				json_array_size(list), CNI_ATTACHMENTS_MAX);
	json_array_foreach (list, i, v)
		if (!json_is_string(json_object_get(v, "containerID")))
			return cni_fail(f, CNI_BAD_CONFIG,
					"network configuration: "
					"cni.dev/valid-attachments[%zu].containerID: must "
					"be a text",
					i);
	*out = list;
	return 0;
}

bool cni_attachments_have(const json_t *list, const char *container_id)
{
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v)
		if (str_eq(json_string_value(json_object_get(v, "containerID")), container_id))
			return true;
	return false;
}
