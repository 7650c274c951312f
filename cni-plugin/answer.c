/* answer.c - what the agent decided for a pod: the reply to ADD as values */
#include "cni-plugin/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cni-plugin/env.h"
#include "dataplane/veth.h"
#include "lib/err.h"
#include "lib/json.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mac_parse(const char *text, uint8_t mac[static 6])
{
	uint8_t m[6];

	if (strlen(text) != MAC_STR_MAX - 1)
		return false;
	for (int i = 0; i < 6; i++, text += 3) {
		int hi = hex_digit(text[0]), lo = hex_digit(text[1]);

		if (hi < 0 || lo < 0 || text[2] != (i < 5 ? ':' : 0))
			return false;
		m[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(mac, m, sizeof(m));
	return true;
}

char *mac_format(const uint8_t mac[static 6], char buf[static MAC_STR_MAX])
{
	snprintf(buf, MAC_STR_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return buf;
}

/* An interface must not get a group address: the kernel refuses it with no reason. */
static int get_mac(const json_t *reply, const char *key, uint8_t mac[static 6], struct err *e)
{
	const char *text = NULL;
	int rc = js_str(reply, key, &text, e);

	if (rc <= 0)
		return rc;
	if (!mac_parse(text, mac) || (mac[0] & 1))
		return err_set(e, -EINVAL, "%s: \"%.32s\" is not the MAC address of an interface",
			       key, text);
	return 1;
}

static int get_host_if(struct answer *a, const json_t *reply, struct err *e)
{
	const char *name = NULL;
	int rc = js_need(js_str(reply, "hostInterface", &name, e), "hostInterface", e);

	if (rc < 0)
		return rc;
	if (!env_is_id(name) || !str_copy(a->host_if, sizeof(a->host_if), name))
		return err_set(e, -EINVAL, "hostInterface: \"%.32s\" is not an interface name",
			       name);
	return 0;
}

/* The texts at KEY of a list of objects, as prefixes. strict: host bits are an error. */
static int get_prefixes(const json_t *reply, const char *list, const char *key, bool strict,
			struct prefix *out, unsigned max, unsigned *n, struct err *e)
{
	json_t *items = NULL;
	size_t i;
	json_t *item;

	if (js_list(reply, list, &items, e) < 0)
		return -EINVAL;
	if (json_array_size(items) > max)
		return err_set(e, -E2BIG, "%s: has %zu items, may have %u", list,
			       json_array_size(items), max);
	json_array_foreach (items, i, item) {
		const char *text = NULL;

		if (js_need(js_str(item, key, &text, e), key, e) < 0)
			return js_err_under(e, "%s[%zu]", list, i);
		if (!(strict ? prefix_parse_strict(text, &out[i]) : prefix_parse(text, &out[i])))
			return err_set(e, -EINVAL, "%s[%zu].%s: \"%.64s\" is not a prefix", list, i,
				       key, text);
	}
	*n = (unsigned)json_array_size(items);
	return 0;
}

static int get_ips(struct answer *a, const json_t *reply, struct err *e)
{
	int rc = get_prefixes(reply, "ips", "address", false, a->ips, ANSWER_IPS_MAX, &a->n_ips, e);

	if (rc < 0)
		return rc;
	if (!a->n_ips)
		return err_set(e, -EINVAL, "ips: holds no address");
	for (unsigned i = 0; i < a->n_ips; i++) {
		struct prefix *p = &a->ips[i];

		/* Every pod is a host of its own; the subnet lives in the routes of others. */
		p->len = (uint8_t)addr_bits(p->addr.family);
		a->v4 |= p->addr.family == IP_V4;
		a->v6 |= p->addr.family == IP_V6;
	}
	return 0;
}

static int parse(struct answer *a, const json_t *reply, struct err *e)
{
	int64_t mtu = 0, queues = 1;
	int rc;

	memcpy(a->host_mac, veth_host_mac, sizeof(a->host_mac));
	if (get_host_if(a, reply, e) < 0 || get_ips(a, reply, e) < 0 ||
	    get_prefixes(reply, "routes", "dst", true, a->routes, ANSWER_ROUTES_MAX, &a->n_routes,
			 e) < 0 ||
	    js_int(reply, "mtu", 0, 65535, &mtu, e) < 0 ||
	    js_int(reply, "numQueues", 0, 4096, &queues, e) < 0 ||
	    js_bool(reply, "ipForward", &a->ip_forward, e) < 0 ||
	    get_mac(reply, "hostMac", a->host_mac, e) < 0)
		return -EINVAL;
	rc = get_mac(reply, "mac", a->mac, e);
	a->has_mac = rc > 0;
	a->mtu = (uint32_t)mtu;
	a->queues = queues ? (uint32_t)queues : 1;
	return rc < 0 ? rc : 0;
}

int answer_parse(struct answer *out, const json_t *reply, struct cni_error *f)
{
	struct answer a = { 0 };
	struct err e = { 0 };

	if (parse(&a, reply, &e) < 0) {
		cni_fail(f, CNI_DECODE, "the margay agent sent no valid reply to ADD");
		return cni_remedy(f, "%s", e.msg);
	}
	*out = a;
	return 0;
}
