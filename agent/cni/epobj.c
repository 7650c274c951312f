/* epobj.c - WorkloadEndpoints: names and JSON
 *
 * TESTS  tests/unit/agent/cni/epobj.c, with the host names of the acceptance view as vectors */
#include "agent/cni/epobj.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "lib/json.h"
#include "lib/str.h"
#include "model/jscur.h"
#include "model/wall.h"

enum { IFNAME_HASH_DIGITS = 11, IFNAME_PREFIX_MAX = 4 };

/* ---- names ---- */

static void hash_digits(const struct cni_call *c, char out[static IFNAME_HASH_DIGITS + 1])
{
	CLEANUP(freep) char *text = xasprintf("%s.%s", c->pod_namespace, c->pod_name);
	uint8_t sum[SHA_DIGEST_LENGTH];
	char hex[13];

	SHA1((const unsigned char *)text, strlen(text), sum);
	for (int i = 0; i < 6; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	memcpy(out, hex, IFNAME_HASH_DIGITS);
	out[IFNAME_HASH_DIGITS] = 0;
}

void epobj_host_ifname(const char *prefix, const struct cni_call *c,
		       char out[static WEP_IFNAME_MAX])
{
	char tail[IFNAME_HASH_DIGITS + 1];

	if (c->k8s)
		hash_digits(c, tail);
	else
		snprintf(tail, sizeof(tail), "%.*s", IFNAME_HASH_DIGITS, c->container_id);
	snprintf(out, WEP_IFNAME_MAX, "%.*s%s", IFNAME_PREFIX_MAX, prefix, tail);
}

/* Dashes separate the parts of a name, so inside a part they are doubled. */
static void add_part(struct str *s, const char *part)
{
	for (; *part; part++) {
		if (*part == '-')
			str_addc(s, '-');
		str_addc(s, *part);
	}
}

/* "NODE-k8s-POD-" or "NODE-cni-CONTAINERID-". */
static void add_siblings(struct str *s, const struct cni_call *c, const char *node)
{
	add_part(s, node);
	str_add(s, c->k8s ? "-k8s-" : "-cni-");
	add_part(s, c->k8s ? c->pod_name : c->container_id);
	str_addc(s, '-');
}

static char *epobj_name(const struct cni_call *c, const char *node)
{
	struct str s = { 0 };

	add_siblings(&s, c, node);
	add_part(&s, c->ifname);
	return str_take(&s);
}

char *epobj_key(const struct cni_call *c, const char *node)
{
	CLEANUP(freep) char *name = epobj_name(c, node);

	return xasprintf(WEP_KEYS "%s/%s", c->pod_namespace, name);
}

char *epobj_key_siblings(const struct cni_call *c, const char *node)
{
	struct str s = { 0 };

	str_addf(&s, WEP_KEYS "%s/", c->pod_namespace);
	add_siblings(&s, c, node);
	return str_take(&s);
}

bool epobj_is_sibling(const char *siblings, const char *key)
{
	/* A dash after the dash is the first half of a doubled one: the part goes on. */
	return str_starts(key, siblings) && key[strlen(siblings)] != '-';
}

/* ---- encode ---- */

static json_t *encode_labels(const struct cni_call *c)
{
	json_t *labels = c->labels ? json_copy(c->labels) : json_object();

	js_set_str(labels, "projectcalico.org/namespace", c->pod_namespace);
	js_set_str(labels, "projectcalico.org/orchestrator", c->k8s ? "k8s" : "cni");
	return labels;
}

static json_t *encode_meta(const struct epobj_new *w, const json_t *old)
{
	json_t *meta = json_deep_copy(js_at(old, "metadata"));
	CLEANUP(freep) char *name = epobj_name(w->call, w->node);
	char now[WALL_STR_MAX];

	if (!json_is_object(meta)) {
		json_decref(meta);
		meta = json_object();
	}
	js_set_str(meta, "name", name);
	js_set_str(meta, "namespace", w->call->pod_namespace);
	if (!json_object_get(meta, "uid"))
		js_set_str(meta, "uid", w->uid);
	if (!json_object_get(meta, "creationTimestamp"))
		js_set_str(meta, "creationTimestamp", wall_rfc3339(w->now_ns, now));
	js_set(meta, "labels", encode_labels(w->call));
	return meta;
}

static json_t *encode_profiles(const struct cni_call *c)
{
	json_t *list = json_array();

	/* DIFFERS: Calico's plugin does so only with policy.type "k8s". Without it a pod would have
	 * no labels of its namespace, and policy by namespace would pass it over. */
	if (c->k8s) {
		CLEANUP(freep) char *kns = xasprintf("kns.%s", c->pod_namespace);
		CLEANUP(freep)
		char *ksa = xasprintf("ksa.%s.%s", c->pod_namespace, c->service_account);

		json_array_append_new(list, js_text(kns));
		json_array_append_new(list, js_text(ksa));
	} else {
		json_array_append_new(list, js_text(c->network));
	}
	return list;
}

static json_t *encode_nets(const struct epobj_new *w)
{
	json_t *list = json_array();
	char buf[PREFIX_STR_MAX];

	for (unsigned i = 0; i < w->n_nets; i++) {
		struct prefix host = prefix_of(&w->nets[i].addr, 128);

		json_array_append_new(list, js_text(prefix_format(&host, buf)));
	}
	return list;
}

static void encode_spec(json_t *spec, const struct epobj_new *w)
{
	const struct cni_call *c = w->call;

	js_set_str(spec, "orchestrator", c->k8s ? "k8s" : "cni");
	js_set_str(spec, "node", w->node);
	js_set_str(spec, "containerID", c->container_id);
	if (c->k8s)
		js_set_str(spec, "pod", c->pod_name);
	if (c->k8s)
		js_set_str(spec, "serviceAccountName", c->service_account);
	js_set_str(spec, "endpoint", c->ifname);
	js_set(spec, "ipNetworks", encode_nets(w));
	js_set(spec, "profiles", encode_profiles(c));
	js_set_str(spec, "interfaceName", w->host_ifname);
	js_set_str(spec, "mac", w->mac);
	if (json_array_size(c->source_prefixes))
		json_object_set(spec, "allowSpoofedSourcePrefixes", c->source_prefixes);
}

char *epobj_encode(const struct epobj_new *w)
{
	CLEANUP(js_freep) json_t *old = NULL, *obj = json_object();
	json_t *spec = NULL;
	const char *id = NULL;

	if (w->old && js_parse(w->old, strlen(w->old), &old, NULL) < 0)
		old = NULL;
	if (js_str(old, "spec.containerID", &id, NULL) == 1 && !strcmp(id, w->call->container_id))
		spec = json_deep_copy(js_at(old, "spec"));
	if (!spec)
		spec = json_object();
	js_set_str(obj, "kind", "WorkloadEndpoint");
	js_set_str(obj, "apiVersion", "projectcalico.org/v3");
	js_set(obj, "metadata", encode_meta(w, old));
	encode_spec(spec, w);
	js_set(obj, "spec", spec);
	return js_dump(obj);
}

/* ---- decode ----
 *
 * With a cursor and not as a tree: every change of a pod has somebody look at all of them. */

/* A text, or null for none; the former value goes. */
static void take_text(struct jscur *c, char **out)
{
	if (jscur_null(c))
		return;
	free(*out);
	*out = jscur_text(c);
}

static void take_net(struct jscur *c, struct epobj *w)
{
	CLEANUP(freep) char *text = jscur_text(c);
	struct prefix *p = &w->nets[w->n_nets];

	if (!text)
		return;
	if (w->n_nets == WEP_NETS_MAX)
		jscur_fail(c, "spec.ipNetworks: more than 8 entries");
	else if (!prefix_parse_or_addr(text, p) || prefix_has_host_bits(p))
		jscur_fail(c, "spec.ipNetworks: must be addresses with /32 or /128");
	else
		w->n_nets++;
}

static void take_nets(struct jscur *c, struct epobj *w)
{
	if (jscur_null(c))
		return;
	w->n_nets = 0;
	for (jscur_open(c, '['); jscur_more(c, ']');)
		take_net(c, w);
}

static void take_spoofed(struct jscur *c, struct epobj *w)
{
	if (jscur_null(c))
		return;
	for (jscur_open(c, '['); jscur_more(c, ']');) {
		jscur_value(c);
		w->any_source = true;
	}
}

static void take_spec(struct jscur *c, struct epobj *w, char **mac)
{
	for (jscur_open(c, '{'); jscur_more(c, '}');) {
		struct jspan key = jscur_key(c);

		if (jspan_is(key, "node"))
			take_text(c, &w->node);
		else if (jspan_is(key, "containerID"))
			take_text(c, &w->container_id);
		else if (jspan_is(key, "endpoint"))
			take_text(c, &w->endpoint);
		else if (jspan_is(key, "interfaceName"))
			take_text(c, &w->ifname);
		else if (jspan_is(key, "mac"))
			take_text(c, mac);
		else if (jspan_is(key, "ipNetworks"))
			take_nets(c, w);
		else if (jspan_is(key, "allowSpoofedSourcePrefixes"))
			take_spoofed(c, w);
		else
			jscur_value(c);
	}
}

static bool host_ifname_ok(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");

	return n < WEP_IFNAME_MAX && !s[n] && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static void never_null(char **s)
{
	if (!*s)
		*s = xstrdup("");
}

static int check(struct epobj *w, const char *mac, struct err *e)
{
	if (!w->node)
		return err_set(e, -EINVAL, "spec.node: is missing");
	never_null(&w->container_id);
	never_null(&w->endpoint);
	never_null(&w->ifname);
	if (!host_ifname_ok(w->ifname))
		return err_set(e, -EINVAL,
			       "spec.interfaceName \"%.32s\": must be an interface name of 1 to 15 "
			       "characters",
			       w->ifname);
	w->has_mac = mac && mac_parse(mac, w->mac);
	return 0;
}

int epobj_decode(struct epobj *w, const char *json, struct err *e)
{
	struct jscur c = jscur_init(json, strlen(json));
	CLEANUP(freep) char *mac = NULL;
	int rc;

	memset(w, 0, sizeof(*w));
	for (jscur_open(&c, '{'); jscur_more(&c, '}');) {
		if (jspan_is(jscur_key(&c), "spec"))
			take_spec(&c, w, &mac);
		else
			jscur_value(&c);
	}
	if (!jscur_end(&c))
		rc = err_set(e, -EINVAL, "byte %zu: %s", jscur_at(&c), c.why ? c.why : "leftover");
	else
		rc = check(w, mac, e);
	if (rc < 0)
		epobj_done(w);
	return rc;
}

void epobj_done(struct epobj *w)
{
	free(w->node);
	free(w->container_id);
	free(w->endpoint);
	free(w->ifname);
	memset(w, 0, sizeof(*w));
}

/* ---- profile ---- */

char *epobj_profile_key(const struct cni_call *c)
{
	return xasprintf(PROFILE_KEYS "%s", c->network);
}

static json_t *allow_rule(const char *source_selector)
{
	json_t *rule = json_object(), *source = json_object();

	js_set_str(rule, "action", "Allow");
	js_set_str(source, "selector", source_selector);
	js_set(rule, "source", source);
	js_set(rule, "destination", json_object());
	return rule;
}

static json_t *one_rule(json_t *rule)
{
	json_t *list = json_array();

	json_array_append_new(list, rule);
	return list;
}

char *epobj_profile_encode(const struct cni_call *c, const char *uid, int64_t now_ns)
{
	CLEANUP(freep) char *same = xasprintf("has(%s)", c->network);
	CLEANUP(js_freep) json_t *obj = json_object();
	json_t *meta = json_object(), *spec = json_object(), *labels = json_object();
	char now[WALL_STR_MAX];

	js_set_str(obj, "kind", "Profile");
	js_set_str(obj, "apiVersion", "projectcalico.org/v3");
	js_set_str(meta, "name", c->network);
	js_set_str(meta, "uid", uid);
	js_set_str(meta, "creationTimestamp", wall_rfc3339(now_ns, now));
	js_set(obj, "metadata", meta);
	js_set(spec, "ingress", one_rule(allow_rule(c->k8s ? NULL : same)));
	js_set(spec, "egress", one_rule(allow_rule(NULL)));
	js_set_str(labels, c->network, "");
	js_set(spec, "labelsToApply", labels);
	js_set(obj, "spec", spec);
	return js_dump(obj);
}
