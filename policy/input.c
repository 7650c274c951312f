/* input.c - objects of the model as what the calculation reads
 * TESTS  tests/unit/policy/policy.c */
#include "policy/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/endpointslice.h"
#include "model/hostendpoint.h"
#include "model/networkset.h"
#include "model/object.h"
#include "model/validate.h"
#include "model/wep.h"
#include "policy/combine.h"
#include "policy/k8s.h"

enum { SPOOF_MAX = 64 }; /* of one pod: each is a rule that every packet of pods meets */

static const char *keep(struct endpoint_input *in, char *text)
{
	vec_push(&in->heap, text);
	return text;
}

/* Set a label, in the place of one that is there. */
static void set_label(struct endpoint_input *in, const char *key, const char *value)
{
	vec_foreach (&in->labels, l) {
		if (!strcmp(l->key, key)) {
			l->value = value;
			return;
		}
	}
	vec_push(&in->labels, (struct label) { key, value });
}

/* own: labels that come from elsewhere are not the object's to choose. */
static void read_labels(struct endpoint_input *in, const struct object *o, bool own)
{
	json_t *labels = js_at(o->json, "metadata.labels"), *v;
	const char *key;

	json_object_foreach (labels, key, v) {
		if (!json_is_string(v))
			continue;
		if (!own && (str_starts(key, LABEL_NS_PREFIX) || str_starts(key, LABEL_SA_PREFIX)))
			continue;
		vec_push(&in->labels, (struct label) { keep(in, xstrdup(key)),
						       keep(in, xstrdup(json_string_value(v))) });
	}
}

static void read_profiles(struct endpoint_input *in, const struct field_strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		vec_push(&in->profiles, keep(in, xstrdup(list->p[i])));
}

static void read_port(struct endpoint_input *in, const char *name, const json_t *protocol, int port)
{
	struct proto_spec proto;

	if (!name || !*name || port < 1 || proto_spec_parse(protocol, &proto, NULL) < 0)
		return;
	if (!proto.set)
		proto_spec_name("tcp", &proto);
	if (proto_has_ports(proto.number))
		vec_push(&in->ports, (struct endpoint_port) { keep(in, xstrdup(name)), proto.number,
							      (uint16_t)port });
}

static void seal(struct endpoint_input *in, enum endpoint_kind kind, const struct object *o)
{
	in->e.kind = kind;
	in->e.id =
		o->ns ? keep(in, xasprintf("%s/%s", o->ns, o->name)) : keep(in, xstrdup(o->name));
	in->e.label = in->labels.p;
	in->e.n_label = in->labels.n;
	in->e.profile = in->profiles.p;
	in->e.n_profile = in->profiles.n;
	in->e.net = in->nets.p;
	in->e.n_net = in->nets.n;
	in->e.spoof = in->spoof.p;
	in->e.n_spoof = in->spoof.n;
	in->e.port = in->ports.p;
	in->e.n_port = in->ports.n;
}

static int from_workload(const struct object *o, struct endpoint_input *in, struct err *e)
{
	struct wep w;
	int rc = wep_decode(o, &w, e);

	if (rc < 0)
		return rc;
	read_labels(in, o, false);
	set_label(in, LABEL_NAMESPACE, keep(in, xstrdup(o->ns)));
	set_label(in, LABEL_ORCHESTRATOR, keep(in, xstrdup(w.orchestrator)));
	if (w.service_account && *w.service_account)
		set_label(in, LABEL_ACCOUNT, keep(in, xstrdup(w.service_account)));
	read_profiles(in, &w.profiles);
	for (size_t i = 0; i < w.networks.n; i++)
		vec_push(&in->nets, w.networks.p[i]);
	for (size_t i = 0; i < w.ports.n; i++)
		read_port(in, w.ports.p[i].name, w.ports.p[i].protocol, w.ports.p[i].port);
	for (size_t i = 0; i < w.allow_spoofed.n && i < SPOOF_MAX; i++)
		vec_push(&in->spoof, prefix_mask(&w.allow_spoofed.p[i]));
	in->e.node = keep(in, xstrdup(w.node));
	in->e.interface = keep(in, xstrdup(w.interface));
	wep_done(&w);
	seal(in, ENDPOINT_WORKLOAD, o);
	return 0;
}

/* ---- host endpoints ---- */

/* NULL unless it is a text that is right for the interface of a host endpoint. */
static const char *closed_interface(const json_t *spec)
{
	const char *text = json_string_value(json_object_get(spec, "interfaceName"));

	if (!text || (strcmp(text, HEP_ANY_INTERFACE) && ifname_field_check(text, NULL) < 0))
		return NULL;
	return text;
}

static void closed_addresses(struct endpoint_input *in, const json_t *list)
{
	struct addr a;
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v)
		if (json_is_string(v) && addr_parse(json_string_value(v), &a))
			vec_push(&in->nets, prefix_of(&a, addr_bits(a.family)));
}

/* The first profile that decides, decides: where one is not there to be read, none may allow. */
static void closed_profiles(struct endpoint_input *in, const json_t *list)
{
	json_t *v;
	size_t i;

	json_array_foreach (list, i, v)
		if (!json_is_string(v))
			return;
	json_array_foreach (list, i, v)
		vec_push(&in->profiles, keep(in, xstrdup(json_string_value(v))));
}

/* What can still be read of a host endpoint that is not right. Left out, its interface would be open:
 * it stays, with its labels' policies, wherever node and interface or addresses can be read.
 * DIFFERS: Calico leaves a host endpoint out that it cannot read, and its interface is open. */
static void host_closed(const struct object *o, struct endpoint_input *in, struct err *e)
{
	const json_t *spec = json_object_get(o->json, "spec");
	const char *node = json_string_value(json_object_get(spec, "node"));
	const char *interface = closed_interface(spec);
	struct err why = *e;

	closed_addresses(in, json_object_get(spec, "expectedIPs"));
	if (!node || !*node || (!interface && !in->nets.n))
		return;
	read_labels(in, o, true);
	closed_profiles(in, json_object_get(spec, "profiles"));
	in->e.node = keep(in, xstrdup(node));
	in->e.interface = interface ? keep(in, xstrdup(interface)) : NULL;
	seal(in, ENDPOINT_HOST, o);
	err_set(e, why.code,
		"%.300s; until it can be read, it is in force without its named ports and whatever "
		"else is not right",
		why.msg);
}

static int from_host(const struct object *o, struct endpoint_input *in, struct err *e)
{
	struct hostendpoint h;
	int rc = hostendpoint_decode(o, &h, e);

	if (rc < 0) {
		host_closed(o, in, e);
		return rc;
	}
	read_labels(in, o, true);
	read_profiles(in, &h.profiles);
	for (size_t i = 0; i < h.expected.n; i++)
		vec_push(&in->nets, prefix_of(&h.expected.p[i], addr_bits(h.expected.p[i].family)));
	for (size_t i = 0; i < h.ports.n; i++)
		read_port(in, h.ports.p[i].name, h.ports.p[i].protocol, h.ports.p[i].port);
	in->e.node = keep(in, xstrdup(h.node));
	in->e.interface = h.interface && *h.interface ? keep(in, xstrdup(h.interface)) : NULL;
	fields_done(&hostendpoint_fields, &h);
	seal(in, ENDPOINT_HOST, o);
	return 0;
}

/* What can still be read of a network set that is not right. */
static void nets_closed(struct endpoint_input *in, const struct object *o, struct err *e)
{
	const json_t *list = js_at(o->json, "spec.nets"), *v;
	struct err why = *e;
	struct prefix p;
	size_t i;

	json_array_foreach (list, i, v)
		if (json_is_string(v) && prefix_parse_or_addr(json_string_value(v), &p))
			vec_push(&in->nets, prefix_mask(&p));
	err_set(e, why.code,
		"%.300s; until it can be read, it holds the %zu ranges that can be: rules that "
		"deny "
		"by it leave the others open",
		why.msg, in->nets.n);
}

static int from_nets(const struct object *o, struct endpoint_input *in, struct err *e)
{
	struct networkset set = { 0 };
	int rc = object_spec(o, FIELDS_LENIENT, &set, e);

	if (rc < 0) {
		err_wrap(e, "%s %s", o->kind->name, o->name);
		nets_closed(in, o, e);
	}
	read_labels(in, o, !o->ns);
	for (size_t i = 0; rc == 0 && i < set.nets.n; i++)
		vec_push(&in->nets, prefix_mask(&set.nets.p[i]));
	if (o->ns) {
		set_label(in, LABEL_NAMESPACE, keep(in, xstrdup(o->ns)));
		vec_push(&in->profiles, keep(in, xasprintf(K8S_NAMESPACE_PREFIX "%s", o->ns)));
	}
	if (rc == 0)
		fields_done(&networkset_fields, &set);
	seal(in, ENDPOINT_NETS, o);
	return rc;
}

int endpoint_from_object(const struct object *o, struct endpoint_input *out, struct err *e)
{
	int rc;

	*out = (struct endpoint_input) { 0 };
	if (!strcmp(o->kind->name, "WorkloadEndpoint"))
		rc = from_workload(o, out, e);
	else if (!strcmp(o->kind->name, "HostEndpoint"))
		rc = from_host(o, out, e);
	else
		rc = from_nets(o, out, e);
	if (rc < 0 && !out->e.id)
		endpoint_input_done(out);
	return rc;
}

void endpoint_input_done(struct endpoint_input *in)
{
	vec_foreach (&in->heap, text)
		free(*text);
	vec_done(&in->heap);
	vec_done(&in->labels);
	vec_done(&in->profiles);
	vec_done(&in->nets);
	vec_done(&in->spoof);
	vec_done(&in->ports);
	*in = (struct endpoint_input) { 0 };
}

/* ---- slices ---- */

static void read_addresses(struct slice_input *in, const json_t *endpoints)
{
	json_t *endpoint, *text;
	struct addr a;
	size_t i, j;

	json_array_foreach (endpoints, i, endpoint)
		json_array_foreach (json_object_get(endpoint, "addresses"), j, text)
			if (in->addrs.n < SLICE_ADDRESSES_MAX && json_is_string(text) &&
			    addr_parse(json_string_value(text), &a))
				vec_push(&in->addrs, a);
}

static void read_slice_ports(struct slice_input *in, const json_t *ports)
{
	json_t *port;
	size_t i;

	json_array_foreach (ports, i, port) {
		json_int_t n = json_integer_value(json_object_get(port, "port"));
		const char *text = json_string_value(json_object_get(port, "protocol"));
		struct proto_spec proto;

		if (n < 1 || n > UINT16_MAX || !proto_spec_name(text ? text : "TCP", &proto) ||
		    !proto_has_ports(proto.number))
			continue;
		vec_push(&in->ports, (struct endpoint_port) { "", proto.number, (uint16_t)n });
	}
}

int slice_from_json(const json_t *json, struct slice_input *out, struct err *e)
{
	const char *name = NULL, *ns = "default", *service;
	char *text;
	int rc = js_need(js_str(json, "metadata.name", &name, e), "metadata.name", e);

	*out = (struct slice_input) { 0 };
	if (rc < 0 || (rc = js_str(json, "metadata.namespace", &ns, e)) < 0)
		return rc;
	service = json_string_value(
		json_object_get(js_at(json, "metadata.labels"), SLICE_SERVICE_LABEL));
	if (json_array_size(json_object_get(json, "endpoints")) > SLICE_ENDPOINTS_MAX ||
	    json_array_size(json_object_get(json, "ports")) > SLICE_PORTS_MAX)
		return err_set(e, -E2BIG, "has more than %d endpoints or %d ports",
			       SLICE_ENDPOINTS_MAX, SLICE_PORTS_MAX);
	if (!service)
		return err_set(e, -ENOENT, "metadata.labels: has no %s: the slice is no service's",
			       SLICE_SERVICE_LABEL);
	text = xasprintf("%s/%s", ns, name);
	vec_push(&out->heap, text);
	out->s.id = text;
	text = xasprintf("%s/%s", ns, service);
	vec_push(&out->heap, text);
	out->s.service = text;
	read_addresses(out, json_object_get(json, "endpoints"));
	read_slice_ports(out, json_object_get(json, "ports"));
	out->s.addr = out->addrs.p;
	out->s.n_addr = out->addrs.n;
	out->s.port = out->ports.p;
	out->s.n_port = out->ports.n;
	return 0;
}

int slice_from_object(const struct object *o, struct slice_input *out, struct err *e)
{
	json_t *spec = object_spec_json(o);
	CLEANUP(js_freep) json_t *view = json_object();

	json_object_set(view, "metadata", json_object_get(o->json, "metadata"));
	json_object_set(view, "endpoints", json_object_get(spec, "endpoints"));
	json_object_set(view, "ports", json_object_get(spec, "ports"));
	return slice_from_json(view, out, e);
}

void slice_input_done(struct slice_input *in)
{
	vec_foreach (&in->heap, text)
		free(*text);
	vec_done(&in->heap);
	vec_done(&in->addrs);
	vec_done(&in->ports);
	*in = (struct slice_input) { 0 };
}
