/* result.c - the result of ADD in the form of the configuration's cniVersion
 * SPEC  CNI 1.1 section 5. 0.3 and 0.4 want "version" in every ips item, 1.1 knows the MTU of an
 *       interface. No gateway: 169.254.1.1 is in no subnet of the pod, and chained plugins that
 *       would use it as a neighbour go wrong. */
#include "cni-plugin/result.h"

#include <errno.h>
#include <string.h>

#include "lib/err.h"
#include "lib/json.h"

static json_t *interfaces(const struct conf *c, const struct env *env, const struct answer *a,
			  const uint8_t mac[static 6])
{
	json_t *list = json_array(), *host = json_object(), *pod = json_object();
	char text[MAC_STR_MAX];

	js_set_str(host, "name", a->host_if);
	js_set_str(pod, "name", env->ifname);
	js_set_str(pod, "mac", mac_format(mac, text));
	if (a->mtu && conf_version_from(c, "1.1.0"))
		js_set_int(pod, "mtu", a->mtu);
	js_set_str(pod, "sandbox", env->netns);
	json_array_append_new(list, host);
	json_array_append_new(list, pod);
	return list;
}

char *result_json(const struct conf *c, const struct env *env, const struct answer *a,
		  const uint8_t mac[static 6], const json_t *dns)
{
	CLEANUP(js_freep) json_t *o = json_object();
	CLEANUP(freep) char *out = NULL;
	json_t *ips = json_array();

	for (unsigned i = 0; i < a->n_ips; i++) {
		json_t *ip = json_object();
		char text[PREFIX_STR_MAX];

		if (!conf_version_from(c, "1.0.0"))
			js_set_str(ip, "version", a->ips[i].addr.family == IP_V4 ? "4" : "6");
		js_set_str(ip, "address", prefix_format(&a->ips[i], text));
		js_set_int(ip, "interface", 1);
		json_array_append_new(ips, ip);
	}
	js_set_str(o, "cniVersion", c->version);
	js_set(o, "interfaces", interfaces(c, env, a, mac));
	js_set(o, "ips", ips);
	js_set(o, "dns", dns ? json_deep_copy(dns) : json_object());
	out = js_dump_pretty(o);
	return xasprintf("%s\n", out);
}

char *result_ipam_json(const struct conf *c, const json_t *reply)
{
	CLEANUP(js_freep) json_t *o = json_object();
	CLEANUP(freep) char *out = NULL;
	const json_t *routes = json_object_get(reply, "routes");
	json_t *ips = json_deep_copy(json_object_get(reply, "ips"));
	json_t *ip;
	size_t i;

	json_array_foreach (ips, i, ip) {
		const char *address = json_string_value(json_object_get(ip, "address"));

		if (address && !conf_version_from(c, "1.0.0"))
			js_set_str(ip, "version", strchr(address, ':') ? "6" : "4");
	}
	js_set_str(o, "cniVersion", c->version);
	js_set(o, "ips", ips ? ips : json_array());
	if (routes)
		js_set(o, "routes", json_deep_copy(routes));
	js_set(o, "dns", json_object());
	out = js_dump_pretty(o);
	return xasprintf("%s\n", out);
}

/* One interface of prevResult: ours in the pod, the host's end, or somebody else's. */
static int expect_interface(struct expected *x, const json_t *item, const struct env *env,
			    bool *found, struct err *e)
{
	const char *name = "", *sandbox = "", *mac = NULL;
	int64_t mtu = 0;

	if (js_str(item, "name", &name, e) < 0 || js_str(item, "sandbox", &sandbox, e) < 0 ||
	    js_str(item, "mac", &mac, e) < 0 || js_int(item, "mtu", 0, 65535, &mtu, e) < 0)
		return -EINVAL;
	if (!*sandbox && !x->host_if[0])
		str_copy(x->host_if, sizeof(x->host_if), name);
	if (!*sandbox || !str_eq(name, env->ifname))
		return 0;
	*found = true;
	x->mtu = (uint32_t)mtu;
	x->has_mac = mac && mac_parse(mac, x->mac);
	return 0;
}

/* Addresses of other interfaces (a chain may add some) are not ours to check. */
static int expect_ips(struct expected *x, const json_t *prev, int64_t pod_at, struct err *e)
{
	json_t *ips = NULL, *item;
	size_t i;

	if (js_list(prev, "ips", &ips, e) < 0)
		return -EINVAL;
	json_array_foreach (ips, i, item) {
		const char *address = NULL;
		int64_t at = pod_at;

		if (js_need(js_str(item, "address", &address, e), "address", e) < 0 ||
		    js_int(item, "interface", 0, INT32_MAX, &at, e) < 0)
			return js_err_under(e, "ips[%zu]", i);
		if (at != pod_at)
			continue;
		if (x->n_ips == ANSWER_IPS_MAX || !prefix_parse(address, &x->ips[x->n_ips]))
			return err_set(e, -EINVAL,
				       "ips[%zu].address: \"%.64s\" is not a prefix, or "
				       "more than %d",
				       i, address, ANSWER_IPS_MAX);
		x->n_ips++;
	}
	return 0;
}

int result_expect(struct expected *x, const json_t *prev, const struct env *env,
		  struct cni_error *f)
{
	json_t *list = NULL, *item;
	struct err e = { 0 };
	int64_t pod_at = -1;
	bool found = false;
	size_t i;

	*x = (struct expected) { 0 };
	if (js_list(prev, "interfaces", &list, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "prevResult: %s", e.msg);
	json_array_foreach (list, i, item) {
		if (expect_interface(x, item, env, &found, &e) < 0)
			return cni_fail(f, CNI_BAD_CONFIG, "prevResult: interfaces[%zu].%s", i,
					e.msg);
		if (found && pod_at < 0)
			pod_at = (int64_t)i;
	}
	if (!found)
		return cni_fail(f, CNI_BAD_CONFIG,
				"prevResult: interfaces holds no %s with a sandbox", env->ifname);
	if (expect_ips(x, prev, pod_at, &e) < 0)
		return cni_fail(f, CNI_BAD_CONFIG, "prevResult: %s", e.msg);
	return 0;
}
