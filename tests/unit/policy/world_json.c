/* world_json.c - a world as manifests */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/str.h"
#include "lib/vec.h"
#include "tests/unit/policy/world.h"

static void sel_text(struct str *s, const struct jsel *x)
{
	static const char *const words[] = { [JS_EQ] = "==",
					     [JS_NE] = "!=",
					     [JS_IN] = "in",
					     [JS_NOT_IN] = "not in",
					     [JS_CONTAINS] = "contains",
					     [JS_STARTS] = "starts with",
					     [JS_ENDS] = "ends with" };

	switch (x->op) {
	case JS_ALL:
	case JS_GLOBAL:
		str_add(s, x->op == JS_ALL ? "all()" : "global()");
		return;
	case JS_HAS:
		str_addf(s, "has(%s)", x->key);
		return;
	case JS_NOT:
		str_add(s, "!(");
		sel_text(s, x->a);
		str_add(s, ")");
		return;
	case JS_AND:
	case JS_OR:
		str_add(s, "(");
		sel_text(s, x->a);
		str_add(s, x->op == JS_AND ? ") && (" : ") || (");
		sel_text(s, x->b);
		str_add(s, ")");
		return;
	case JS_IN:
	case JS_NOT_IN:
		str_addf(s, "%s %s {", x->key, words[x->op]);
		for (int i = 0; i < x->n_value; i++)
			str_addf(s, "%s'%s'", i ? "," : "", x->value[i]);
		str_add(s, "}");
		return;
	case JS_EQ:
	case JS_NE:
	case JS_CONTAINS:
	case JS_STARTS:
	case JS_ENDS:
		break;
	}
	str_addf(s, "%s %s '%s'", x->key, words[x->op], x->value[0]);
}

static void set_sel(json_t *o, const char *name, const struct jsel *x)
{
	struct str s = { 0 };

	if (!x)
		return;
	sel_text(&s, x);
	js_set_str(o, name, str_text(&s));
	str_done(&s);
}

static json_t *nets_json(const struct prefix *p, int n)
{
	json_t *list = json_array();
	char text[PREFIX_STR_MAX];

	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_string(prefix_format(&p[i], text)));
	return list;
}

static json_t *ports_json(const struct jport *p, int n)
{
	json_t *list = json_array();
	char text[32];

	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u:%u", p[i].first, p[i].last);
		json_array_append_new(list, p[i].name[0]	      ? json_string(p[i].name)
					    : p[i].first == p[i].last ? json_integer(p[i].first)
								      : json_string(text));
	}
	return list;
}

static json_t *labels_json(const struct jlabels *l)
{
	json_t *o = json_object();

	for (int i = 0; i < l->n; i++)
		js_set_str(o, l->p[i].key, l->p[i].value);
	return o;
}

static json_t *service_json(int i, bool own_namespace)
{
	json_t *o = json_object();
	CLEANUP(freep) char *name = xasprintf("svc%d", i);

	js_set_str(o, "name", name);
	if (!own_namespace)
		js_set_str(o, "namespace", "n0");
	return o;
}

static json_t *side_json(const struct jside *s, int ns)
{
	json_t *o = json_object(), *sa = json_object();

	set_sel(o, "selector", s->sel);
	set_sel(o, "notSelector", s->not_sel);
	set_sel(o, "namespaceSelector", s->ns_sel);
	set_sel(sa, "selector", s->sa_sel);
	if (s->sa_name[0])
		js_set(sa, "names", json_pack("[s]", s->sa_name));
	js_set(o, "serviceAccounts", sa);
	if (s->n_net)
		js_set(o, "nets", nets_json(s->net, s->n_net));
	if (s->n_not_net)
		js_set(o, "notNets", nets_json(s->not_net, s->n_not_net));
	if (s->n_port)
		js_set(o, "ports", ports_json(s->port, s->n_port));
	if (s->n_not_port)
		js_set(o, "notPorts", ports_json(s->not_port, s->n_not_port));
	if (s->service >= 0)
		js_set(o, "services", service_json(s->service, ns == 0));
	return o;
}

static json_t *proto_json(int proto)
{
	switch (proto) {
	case 1:
		return json_string("ICMP");
	case 6:
		return json_string("TCP");
	case 17:
		return json_string("UDP");
	case 58:
		return json_string("ICMPv6");
	case 132:
		return json_string("SCTP");
	default:
		return json_integer(proto);
	}
}

static json_t *icmp_json(int type, int code)
{
	json_t *o = json_object();

	js_set_int(o, "type", type);
	if (code >= 0)
		js_set_int(o, "code", code);
	return o;
}

static json_t *rules_json(const struct jrule *rule, int n, int ns)
{
	static const char *const actions[] = { "Allow", "Deny", "Log", "Pass" };
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		const struct jrule *r = &rule[i];
		json_t *o = json_object();

		js_set_str(o, "action", actions[r->action]);
		if (r->version)
			js_set_int(o, "ipVersion", r->version);
		if (r->proto)
			js_set(o, "protocol", proto_json(r->proto));
		if (r->not_proto)
			js_set(o, "notProtocol", proto_json(r->not_proto));
		if (r->icmp_type >= 0)
			js_set(o, "icmp", icmp_json(r->icmp_type, r->icmp_code));
		if (r->not_icmp_type >= 0)
			js_set(o, "notICMP", icmp_json(r->not_icmp_type, r->not_icmp_code));
		js_set(o, "source", side_json(&r->src, ns));
		js_set(o, "destination", side_json(&r->dst, ns));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *object_json(const char *kind, const char *ns, const char *name, json_t *labels,
			   json_t *spec)
{
	json_t *o = json_object(), *meta = json_object();

	js_set_str(o, "apiVersion", "projectcalico.org/v3");
	js_set_str(o, "kind", kind);
	js_set_str(meta, "name", name);
	js_set_str(meta, "namespace", ns);
	if (labels)
		js_set(meta, "labels", labels);
	js_set(o, "metadata", meta);
	js_set(o, "spec", spec);
	return o;
}

static void push(struct wobjs *out, enum wobj_kind kind, json_t *json, bool broken)
{
	const char *what = json_string_value(json_object_get(json, "kind"));
	const char *ns = NULL, *name = "";

	js_str(json, "metadata.namespace", &ns, NULL);
	js_str(json, "metadata.name", &name, NULL);
	vec_push(out, (struct wobj) { kind,
				      xasprintf("%d %s %s/%s", (int)kind, what ? what : "",
						ns ? ns : "", name),
				      json, broken });
}

static json_t *types_json(bool in, bool out)
{
	json_t *list = json_array();

	if (in)
		json_array_append_new(list, json_string("Ingress"));
	if (out)
		json_array_append_new(list, json_string("Egress"));
	return list;
}

static json_t *k8s_sel_json(const struct jk8s_sel *s)
{
	static const char *const words[] = { "", "In", "NotIn", "Exists", "DoesNotExist" };
	json_t *o = json_object(), *x = json_object();

	for (int i = 0; i < s->n_label; i++)
		js_set(o, "matchLabels", json_pack("{s:s}", s->label[i].key, s->label[i].value));
	js_set_str(x, "key", s->key);
	js_set_str(x, "operator", words[s->expression]);
	if (s->expression == 1 || s->expression == 2)
		js_set(x, "values", json_pack("[s,s]", s->value[0], s->value[1]));
	if (s->expression)
		js_set(o, "matchExpressions", json_pack("[o]", x));
	else
		json_decref(x);
	return o;
}

static json_t *k8s_peers_json(const struct jk8s_rule *r)
{
	json_t *list = json_array();
	char text[PREFIX_STR_MAX];

	for (int i = 0; i < r->n_peer; i++) {
		const struct jk8s_peer *p = &r->peer[i];
		json_t *o = json_object();

		if (p->block)
			js_set(o, "ipBlock",
			       json_pack("{s:s,s:o}", "cidr", prefix_format(&p->cidr, text),
					 "except", nets_json(p->except, p->n_except)));
		if (p->pods.given && !p->block)
			js_set(o, "podSelector", k8s_sel_json(&p->pods));
		if (p->namespaces.given && !p->block)
			js_set(o, "namespaceSelector", k8s_sel_json(&p->namespaces));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *k8s_ports_json(const struct jk8s_rule *r)
{
	json_t *list = json_array();

	for (int i = 0; i < r->n_port; i++) {
		const struct jk8s_port *p = &r->port[i];
		json_t *o = json_object();

		if (p->proto)
			js_set(o, "protocol", proto_json(p->proto));
		if (p->name[0])
			js_set_str(o, "port", p->name);
		if (p->port)
			js_set_int(o, "port", p->port);
		if (p->end)
			js_set_int(o, "endPort", p->end);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *k8s_rules_json(const struct jk8s_rule *rule, int n, bool ingress)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++) {
		json_t *o = json_object();

		if (rule[i].n_peer)
			js_set(o, ingress ? "from" : "to", k8s_peers_json(&rule[i]));
		if (rule[i].n_port)
			js_set(o, "ports", k8s_ports_json(&rule[i]));
		json_array_append_new(list, o);
	}
	return list;
}

static void push_policy(const struct jpolicy *p, struct wobjs *out)
{
	char ns[16];
	json_t *spec = json_object(), *rules;

	snprintf(ns, sizeof(ns), "n%d", p->ns);
	if (p->kind == J_KNP) {
		js_set(spec, "podSelector", k8s_sel_json(&p->pods));
		if (p->in || p->out)
			js_set(spec, "policyTypes", types_json(p->in, p->out));
		js_set(spec, "ingress", k8s_rules_json(p->k8s_in, p->n_in, true));
		js_set(spec, "egress", k8s_rules_json(p->k8s_out, p->n_out, false));
		push(out, W_K8S_POLICY, object_json("KNP", ns, p->name, NULL, spec), false);
		return;
	}
	js_set_str(spec, "tier", p->tier);
	if (p->has_order)
		js_set_int(spec, "order", p->order);
	set_sel(spec, "selector", p->sel);
	set_sel(spec, "namespaceSelector", p->ns_sel);
	set_sel(spec, "serviceAccountSelector", p->sa_sel);
	if (p->in || p->out)
		js_set(spec, "types", types_json(p->in, p->out));
	rules = rules_json(p->rule_in, p->n_in, p->kind == J_GNP ? -1 : p->ns);
	if (p->broken)
		js_set_str(json_array_get(rules, 0), "action", "Perhaps");
	js_set(spec, "ingress", rules);
	js_set(spec, "egress", rules_json(p->rule_out, p->n_out, p->kind == J_GNP ? -1 : p->ns));
	if (p->untracked)
		js_set_bool(spec, "doNotTrack", true);
	if (p->pre_dnat)
		js_set_bool(spec, "preDNAT", true);
	if (p->forward)
		js_set_bool(spec, "applyOnForward", true);
	push(out, W_OBJECT,
	     object_json(p->kind == J_NP ? "NetworkPolicy" : "GlobalNetworkPolicy",
			 p->kind == J_NP ? ns : NULL, p->name, NULL, spec),
	     p->broken);
}

static json_t *endpoint_ports(const struct jendpoint *e)
{
	json_t *list = json_array();

	for (int i = 0; i < e->n_port; i++)
		json_array_append_new(list, json_pack("{s:s,s:o,s:i}", "name", e->port[i].name,
						      "protocol", proto_json(e->port[i].proto),
						      "port", e->port[i].port));
	return list;
}

static void push_pod(const struct jendpoint *e, struct wobjs *out)
{
	json_t *spec = json_object(), *profiles = json_array();
	char ns[16], text[64];
	const char *node = e->here ? "here" : "there";

	snprintf(ns, sizeof(ns), "n%d", e->ns);
	js_set_str(spec, "orchestrator", "k8s");
	js_set_str(spec, "node", node);
	js_set_str(spec, "pod", e->name);
	js_set_str(spec, "endpoint", "eth0");
	js_set_str(spec, "interfaceName", e->interface);
	js_set(spec, "ipNetworks", nets_json(e->net, e->n_net));
	js_set(spec, "ports", endpoint_ports(e));
	snprintf(text, sizeof(text), "kns.%s", ns);
	json_array_append_new(profiles, json_string(text));
	if (e->account >= 0) {
		snprintf(text, sizeof(text), "ksa.%s.a%d", ns, e->account);
		json_array_append_new(profiles, json_string(text));
		snprintf(text, sizeof(text), "a%d", e->account);
		js_set_str(spec, "serviceAccountName", text);
	}
	js_set(spec, "profiles", profiles);
	/* Not by its node: a pod that moves is the same object in these worlds. */
	snprintf(text, sizeof(text), "%s-k8s-%s-eth0", node, e->name);
	push(out, W_OBJECT,
	     object_json("WorkloadEndpoint", ns, text, labels_json(&e->labels), spec), false);
}

static void push_host(const struct jendpoint *e, struct wobjs *out)
{
	json_t *spec = json_object(), *profiles = json_array(), *ips = json_array();
	char text[64];

	js_set_str(spec, "node", e->here ? "here" : "there");
	if (e->interface[0])
		js_set_str(spec, "interfaceName", e->interface);
	for (int i = 0; i < e->n_net; i++)
		json_array_append_new(ips, json_string(addr_format(&e->net[i].addr, text)));
	js_set(spec, "expectedIPs", ips);
	js_set(spec, "ports", endpoint_ports(e));
	for (int i = 0; i < J_PROFILES; i++) {
		if (e->profile[i] < 0)
			continue;
		snprintf(text, sizeof(text), "prof%d", e->profile[i]);
		json_array_append_new(profiles, json_string(text));
	}
	js_set(spec, "profiles", profiles);
	push(out, W_OBJECT,
	     object_json("HostEndpoint", NULL, e->name, labels_json(&e->labels), spec), false);
}

static void push_set(const struct jendpoint *e, struct wobjs *out)
{
	json_t *spec = json_object();
	char ns[16];

	snprintf(ns, sizeof(ns), "n%d", e->ns);
	js_set(spec, "nets", nets_json(e->net, e->n_net));
	push(out, W_OBJECT,
	     object_json(e->ns < 0 ? "GlobalNetworkSet" : "NetworkSet", e->ns < 0 ? NULL : ns,
			 e->name, labels_json(&e->labels), spec),
	     false);
}

static void push_namespace(const struct jworld *w, int i, struct wobjs *out)
{
	char ns[16], name[16];

	snprintf(ns, sizeof(ns), "n%d", i);
	if (w->ns[i].exists)
		push(out, W_NAMESPACE,
		     object_json("Namespace", NULL, ns, labels_json(&w->ns[i].labels),
				 json_object()),
		     false);
	for (int k = 0; k < J_ACCOUNTS; k++) {
		if (!w->ns[i].account[k].exists)
			continue;
		snprintf(name, sizeof(name), "a%d", k);
		push(out, W_ACCOUNT,
		     object_json("ServiceAccount", ns, name,
				 labels_json(&w->ns[i].account[k].labels), json_object()),
		     false);
	}
}

static void push_profile(const struct jprofile *p, int i, struct wobjs *out)
{
	json_t *spec = json_object();
	char name[16];

	snprintf(name, sizeof(name), "prof%d", i);
	js_set(spec, "labelsToApply", labels_json(&p->labels));
	js_set(spec, "ingress", rules_json(p->in, p->n_in, -1));
	js_set(spec, "egress", rules_json(p->out, p->n_out, -1));
	push(out, W_OBJECT, object_json("Profile", NULL, name, NULL, spec), false);
}

static void push_tier(const struct jtier *t, struct wobjs *out)
{
	json_t *spec = json_object();

	if (t->has_order)
		js_set_int(spec, "order", t->order);
	js_set_str(spec, "defaultAction", t->pass ? "Pass" : "Deny");
	push(out, W_OBJECT, object_json("Tier", NULL, t->name, NULL, spec), false);
}

static void push_service(const struct jservice *s, int i, struct wobjs *out)
{
	char service[16], name[16], text[ADDR_STR_MAX];
	json_t *o, *labels = json_object(), *endpoints = json_array();

	snprintf(service, sizeof(service), "svc%d", i);
	snprintf(name, sizeof(name), "slice%d", i);
	js_set_str(labels, "kubernetes.io/service-name", service);
	for (int k = 0; k < s->n_addr; k++)
		json_array_append_new(endpoints, json_pack("{s:[s]}", "addresses",
							   addr_format(&s->addr[k].addr, text)));
	o = object_json("EndpointSlice", "n0", name, labels, json_object());
	js_set_str(o, "addressType",
		   s->n_addr && s->addr[0].addr.family == IP_V6 ? "IPv6" : "IPv4");
	js_set(o, "endpoints", endpoints);
	js_set(o, "ports",
	       json_pack("[{s:o,s:i}]", "protocol", proto_json(s->proto), "port", s->port));
	push(out, W_SLICE, o, false);
}

void world_objects(const struct jworld *w, struct wobjs *out)
{
	for (int i = 0; i < J_NAMESPACES; i++)
		push_namespace(w, i, out);
	for (int i = 0; i < J_PROFILES; i++)
		if (w->profile[i].exists)
			push_profile(&w->profile[i], i, out);
	for (int i = 0; i < J_TIERS; i++)
		if (w->tier[i].exists)
			push_tier(&w->tier[i], out);
	for (int i = 0; i < J_SERVICES; i++)
		if (w->service[i].exists)
			push_service(&w->service[i], i, out);
	for (int i = 0; i < J_POLICIES; i++)
		if (w->policy[i].exists)
			push_policy(&w->policy[i], out);
	for (int i = 0; i < J_PODS; i++)
		if (w->pod[i].exists)
			push_pod(&w->pod[i], out);
	for (int i = 0; i < J_HOSTS; i++)
		if (w->host[i].exists)
			push_host(&w->host[i], out);
	for (int i = 0; i < J_NETSETS; i++)
		if (w->set[i].exists)
			push_set(&w->set[i], out);
}

void wobjs_done(struct wobjs *v)
{
	vec_foreach (v, o) {
		free(o->key);
		json_decref(o->json);
	}
	vec_done(v);
}
