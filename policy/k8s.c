/* k8s.c - Kubernetes' own objects in Calico's form
 *
 * SHAPE  rule x peers x protocols -> Allow rules, each with one peer and one protocol at most.
 * INVARIANT  A list that was there and of which nothing could be converted makes no rule: only an
 *        absent or empty list means "any".
 * SPEC   networking.k8s.io/v1 NetworkPolicy
 * TESTS  tests/unit/policy/k8s.c */
#include "policy/k8s.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/vec.h"
#include "model/object.h"
#include "model/policy.h"
#include "policy/combine.h"

enum {
	K8S_POLICY_ORDER = 1000,
	EXCEPTS_MAX = 4096, /* of one block: each is in every set that the rule becomes */
};

#define K8S_TERM LABEL_ORCHESTRATOR " == 'k8s'"

struct port_list {
	VEC(struct port_spec) ranges;
	VEC(const char *) names;
	bool all; /* every port */
};

enum { PROTO_COUNT = 3 };
static const char *const proto_names[PROTO_COUNT] = { "TCP", "UDP", "SCTP" };

struct conversion {
	struct str *left_out;
	const char *direction;
	size_t rule;
	bool ingress;
};

static void leave_out(const struct conversion *c, const char *what)
{
	if (c->left_out)
		str_addf(c->left_out, "%s[%zu]: %s\n", c->direction, c->rule, what);
}

static bool is_label(const char *key)
{
	size_t n =
		strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-");

	return n && n <= 500 && !key[n];
}

/* A value in quotes; false when none can hold it. */
static bool add_value(struct str *s, const char *value)
{
	char quote = strchr(value, '\'') ? '"' : '\'';

	if (strchr(value, quote))
		return false;
	str_addf(s, "%c%s%c", quote, value, quote);
	return true;
}

static void add_and(struct str *s)
{
	if (s->len)
		str_add(s, " && ");
}

static int by_key(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool add_match_labels(struct str *s, const json_t *labels)
{
	VEC(const char *) keys = { 0 };
	const char *key;
	json_t *v;
	bool ok = !labels || json_is_null(labels) || json_is_object(labels);

	json_object_foreach ((json_t *)(uintptr_t)labels, key, v)
		vec_push(&keys, key);
	if (keys.n)
		qsort(keys.p, keys.n, sizeof(*keys.p), by_key);
	for (size_t i = 0; ok && i < keys.n; i++) {
		const char *value = json_string_value(json_object_get(labels, keys.p[i]));

		ok = value && is_label(keys.p[i]);
		if (!ok)
			break;
		add_and(s);
		str_addf(s, "%s == ", keys.p[i]);
		ok = add_value(s, value);
	}
	vec_done(&keys);
	return ok;
}

static bool add_value_set(struct str *s, const json_t *values)
{
	json_t *v;
	size_t i;

	if (!json_array_size(values))
		return false;
	str_addc(s, '{');
	json_array_foreach (values, i, v) {
		str_add(s, i ? ", " : "");
		if (!json_is_string(v) || !add_value(s, json_string_value(v)))
			return false;
	}
	str_addc(s, '}');
	return true;
}

static bool add_expression(struct str *s, const json_t *x)
{
	const char *key = json_string_value(json_object_get(x, "key"));
	const char *op = json_string_value(json_object_get(x, "operator"));
	const json_t *values = json_object_get(x, "values");

	if (!key || !op || !is_label(key))
		return false;
	add_and(s);
	if (!strcmp(op, "In") || !strcmp(op, "NotIn")) {
		str_addf(s, "%s %s ", key, *op == 'I' ? "in" : "not in");
		return add_value_set(s, values);
	}
	if (json_array_size(values))
		return false;
	if (!strcmp(op, "Exists"))
		str_addf(s, "has(%s)", key);
	else if (!strcmp(op, "DoesNotExist"))
		str_addf(s, "!has(%s)", key);
	else
		return false;
	return true;
}

/* The terms of a label selector behind what s holds; false when they cannot be read. */
static bool add_selector(struct str *s, const json_t *selector)
{
	const json_t *list = json_object_get(selector, "matchExpressions");
	json_t *x;
	size_t i;

	if (!json_is_object(selector) ||
	    !add_match_labels(s, json_object_get(selector, "matchLabels")))
		return false;
	if (list && !json_is_null(list) && !json_is_array(list))
		return false;
	json_array_foreach (list, i, x)
		if (!add_expression(s, x))
			return false;
	return true;
}

static bool given(const json_t *v)
{
	return v && !json_is_null(v);
}

/* ---- peers ---- */

/* An address range without its host bits; NULL. */
static json_t *net_text(const json_t *v, struct prefix *out)
{
	char text[PREFIX_STR_MAX];

	if (!json_is_string(v) || !prefix_parse(json_string_value(v), out))
		return NULL;
	*out = prefix_mask(out);
	return json_string(prefix_format(out, text));
}

static bool add_excepts(json_t *side, const json_t *block, const struct prefix *cidr)
{
	const json_t *list = json_object_get(block, "except");
	json_t *not_nets, *v, *text;
	struct prefix p;
	size_t i;

	if (!given(list))
		return true;
	if (!json_is_array(list) || json_array_size(list) > EXCEPTS_MAX)
		return false;
	if (!json_array_size(list))
		return true;
	not_nets = json_array();
	js_set(side, "notNets", not_nets);
	json_array_foreach (list, i, v) {
		text = net_text(v, &p);
		if (text)
			json_array_append_new(not_nets, text);
		if (!text || !prefix_covers(cidr, &p) || p.len == cidr->len)
			return false;
	}
	return true;
}

static bool block_side(json_t *side, const json_t *block)
{
	struct prefix cidr;
	json_t *text = net_text(json_object_get(block, "cidr"), &cidr), *nets;

	if (!text)
		return false;
	nets = json_array();
	json_array_append_new(nets, text);
	js_set(side, "nets", nets);
	return add_excepts(side, block, &cidr);
}

static bool selector_side(json_t *side, const json_t *pods, const json_t *namespaces)
{
	struct str s = { 0 };
	bool ok = true;

	str_add(&s, K8S_TERM);
	if (given(pods))
		ok = add_selector(&s, pods);
	js_set_str(side, "selector", str_text(&s));
	str_cut(&s, 0);
	if (ok && given(namespaces)) {
		ok = add_selector(&s, namespaces);
		js_set_str(side, "namespaceSelector", s.len ? str_text(&s) : "all()");
	}
	str_done(&s);
	return ok;
}

/* The side of a rule that a peer stands for; NULL when it cannot be read. */
static json_t *peer_side(const json_t *peer)
{
	const json_t *pods = json_object_get(peer, "podSelector");
	const json_t *namespaces = json_object_get(peer, "namespaceSelector");
	const json_t *block = json_object_get(peer, "ipBlock");
	json_t *side = json_object();
	bool ok = given(block) ? !given(pods) && !given(namespaces) && block_side(side, block)
			       : (given(pods) || given(namespaces)) &&
					 selector_side(side, pods, namespaces);

	if (ok)
		return side;
	json_decref(side);
	return NULL;
}

/* ---- ports ---- */

static int by_first(const void *a, const void *b)
{
	const struct port_spec *pa = a, *pb = b;

	return pa->first < pb->first ? -1 : pa->first > pb->first;
}

/* Sort, and join what overlaps or touches. */
static void merge_ranges(struct port_list *l)
{
	size_t n = 0;

	if (l->ranges.n)
		qsort(l->ranges.p, l->ranges.n, sizeof(*l->ranges.p), by_first);
	for (size_t i = 0; i < l->ranges.n; i++) {
		struct port_spec *p = &l->ranges.p[i], *last = n ? &l->ranges.p[n - 1] : NULL;

		if (last && p->first <= last->last + 1) {
			if (p->last > last->last)
				last->last = p->last;
		} else {
			l->ranges.p[n++] = *p;
		}
	}
	l->ranges.n = n;
}

static int proto_index(const json_t *v)
{
	if (!given(v))
		return 0;
	for (int i = 0; i < PROTO_COUNT; i++)
		if (str_eq(json_string_value(v), proto_names[i]))
			return i;
	return -1;
}

static bool add_number(struct port_list *l, const json_t *port, const json_t *end)
{
	json_int_t first = json_integer_value(port);
	json_int_t last = given(end) ? json_integer_value(end) : first;

	if (first < 1 || last < first || last > UINT16_MAX || (given(end) && !json_is_integer(end)))
		return false;
	vec_push(&l->ranges, (struct port_spec) { (uint16_t)first, (uint16_t)last, NULL });
	return true;
}

static bool add_port(struct port_list lists[static PROTO_COUNT], const json_t *item)
{
	const json_t *port = json_object_get(item, "port"), *end = json_object_get(item, "endPort");
	int proto = proto_index(json_object_get(item, "protocol"));
	const char *name = json_string_value(port);

	if (!json_is_object(item) || proto < 0)
		return false;
	if (!given(port)) {
		if (given(end))
			return false;
		lists[proto].all = true;
		return true;
	}
	if (json_is_integer(port))
		return add_number(&lists[proto], port, end);
	/* A name has a letter in it. */
	if (!name || given(end) || strlen(name) > 63 || !is_label(name) ||
	    strspn(name, "0123456789") == strlen(name))
		return false;
	vec_push(&lists[proto].names, name);
	return true;
}

static void port_list_done(struct port_list *l)
{
	vec_done(&l->ranges);
	vec_done(&l->names);
}

/* ---- rules ---- */

struct rule_maker {
	const struct conversion *c;
	json_t *rules;
	const json_t *peer; /* a side; NULL: any */
	const char *proto;  /* NULL: any */
};

static void add_rule(const struct rule_maker *m, json_t *ports)
{
	json_t *rule = json_object(), *dst = NULL;

	js_set_str(rule, "action", "Allow");
	js_set_str(rule, "protocol", m->proto);
	if (m->peer)
		js_set(rule, m->c->ingress ? "source" : "destination", json_deep_copy(m->peer));
	if (ports) {
		dst = json_object_get(rule, "destination");
		if (!dst) {
			dst = json_object();
			js_set(rule, "destination", dst);
		}
		js_set(dst, "ports", ports);
	}
	json_array_append_new(m->rules, rule);
}

static json_t *port_value(const struct port_list *l, size_t i)
{
	CLEANUP(freep) char *range = NULL;

	if (i >= l->ranges.n)
		return json_string(l->names.p[i - l->ranges.n]);
	if (l->ranges.p[i].first == l->ranges.p[i].last)
		return json_integer(l->ranges.p[i].first);
	range = xasprintf("%u:%u", l->ranges.p[i].first, l->ranges.p[i].last);
	return json_string(range);
}

/* As many rules as the ports need, a rule holds so many. */
static void add_port_rules(const struct rule_maker *m, const struct port_list *l)
{
	size_t n = l->ranges.n + l->names.n;
	json_t *ports = NULL;

	if (l->all) {
		add_rule(m, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!ports)
			ports = json_array();
		json_array_append_new(ports, port_value(l, i));
		if (json_array_size(ports) == RULE_PORTS_MAX || i + 1 == n)
			add_rule(m, TAKE(ports));
	}
}

static void add_peer_rules(struct rule_maker *m, const json_t *ports,
			   const struct port_list lists[static PROTO_COUNT])
{
	if (!json_array_size(ports)) {
		m->proto = NULL;
		add_rule(m, NULL);
		return;
	}
	for (int i = 0; i < PROTO_COUNT; i++) {
		m->proto = proto_names[i];
		add_port_rules(m, &lists[i]);
	}
}

static bool read_ports(const struct conversion *c, const json_t *ports,
		       struct port_list lists[static PROTO_COUNT])
{
	json_t *item;
	size_t i;

	if (given(ports) && !json_is_array(ports)) {
		leave_out(c, "ports must be a list: the rule is left out");
		return false;
	}
	json_array_foreach (ports, i, item)
		if (!add_port(lists, item))
			leave_out(c, "a port cannot be read and is left out");
	for (int p = 0; p < PROTO_COUNT; p++)
		merge_ranges(&lists[p]);
	return true;
}

static void convert_rule(const struct conversion *c, const json_t *rule, json_t *rules)
{
	const json_t *ports = json_object_get(rule, "ports");
	const json_t *peers = json_object_get(rule, c->ingress ? "from" : "to");
	struct port_list lists[PROTO_COUNT] = { 0 };
	struct rule_maker m = { .c = c, .rules = rules };
	json_t *peer, *side;
	size_t i;

	if (!json_is_object(rule) || (given(peers) && !json_is_array(peers))) {
		leave_out(c, "cannot be read and is left out");
		return;
	}
	if (read_ports(c, ports, lists)) {
		if (!json_array_size(peers))
			add_peer_rules(&m, ports, lists);
		json_array_foreach (peers, i, peer) {
			side = peer_side(peer);
			m.peer = side;
			if (side)
				add_peer_rules(&m, ports, lists);
			else
				leave_out(c, "a peer cannot be read and is left out");
			json_decref(side);
		}
	}
	for (int p = 0; p < PROTO_COUNT; p++)
		port_list_done(&lists[p]);
}

static void convert_rules(const json_t *spec, bool ingress, json_t *out, struct str *left_out)
{
	struct conversion c = { left_out, ingress ? "ingress" : "egress", 0, ingress };
	const json_t *list = json_object_get(spec, c.direction);
	json_t *rules = json_array(), *rule;

	if (given(list) && !json_is_array(list))
		leave_out(&c, "must be a list: all of it is left out");
	json_array_foreach (list, c.rule, rule)
		convert_rule(&c, rule, rules);
	js_set(out, c.direction, rules);
}

static bool lists_type(const json_t *types, const char *word)
{
	json_t *v;
	size_t i;

	json_array_foreach (types, i, v)
		if (str_eq(json_string_value(v), word))
			return true;
	return false;
}

static json_t *convert_types(const json_t *spec)
{
	const json_t *types = json_object_get(spec, "policyTypes");
	json_t *out = json_array();
	bool in = lists_type(types, "Ingress"), egress = lists_type(types, "Egress");

	if (!in && !egress) {
		in = true;
		egress = json_array_size(json_object_get(spec, "egress")) != 0;
	}
	if (in)
		json_array_append_new(out, json_string("Ingress"));
	if (egress)
		json_array_append_new(out, json_string("Egress"));
	return out;
}

static int read_meta(const json_t *json, const char **name, const char **ns, struct err *e)
{
	int rc = js_need(js_str(json, "metadata.name", name, e), "metadata.name", e);

	if (rc >= 0 && ns) {
		*ns = "default";
		rc = js_str(json, "metadata.namespace", ns, e);
		if (!**ns)
			*ns = "default";
	}
	return rc < 0 ? rc : 0;
}

int k8s_policy(const json_t *json, struct object *out, struct str *left_out, struct err *e)
{
	const char *name = NULL, *ns = NULL;
	const json_t *spec = json_object_get(json, "spec"), *pods;
	CLEANUP(freep) char *full = NULL;
	struct str selector = { 0 };
	json_t *to;
	int rc = read_meta(json, &name, &ns, e);

	if (rc < 0)
		return rc;
	pods = json_object_get(spec, "podSelector");
	str_add(&selector, K8S_TERM);
	if (given(pods) && !add_selector(&selector, pods)) {
		str_done(&selector);
		return err_set(e, -EINVAL,
			       "NetworkPolicy %s/%s: spec.podSelector: must have matchLabels and "
			       "matchExpressions with keys, operators and values as Kubernetes has "
			       "them",
			       ns, name);
	}
	full = xasprintf(K8S_POLICY_PREFIX "%s", name);
	*out = object_new(kind_find("NetworkPolicy"), ns, full);
	to = object_spec_json(out);
	js_set_str(to, "tier", TIER_DEFAULT);
	js_set_int(to, "order", K8S_POLICY_ORDER);
	js_set_str(to, "selector", str_text(&selector));
	js_set(to, "types", convert_types(spec));
	convert_rules(spec, true, to, left_out);
	convert_rules(spec, false, to, left_out);
	str_done(&selector);
	return 0;
}

/* Labels under a prefix, and the name. */
static json_t *prefixed_labels(const json_t *json, const char *prefix, const char *name)
{
	const json_t *labels = js_at(json, "metadata.labels");
	CLEANUP(freep) char *name_key = xasprintf("%sprojectcalico.org/name", prefix);
	json_t *out = json_object(), *v;
	const char *key;

	json_object_foreach ((json_t *)(uintptr_t)labels, key, v) {
		CLEANUP(freep) char *full = xasprintf("%s%s", prefix, key);

		js_set_str(out, full, json_string_value(v));
	}
	js_set_str(out, name_key, name);
	return out;
}

static void allow_all(json_t *spec, const char *direction)
{
	json_t *rules = json_array(), *rule = json_object();

	js_set_str(rule, "action", "Allow");
	json_array_append_new(rules, rule);
	js_set(spec, direction, rules);
}

int k8s_namespace(const json_t *json, struct object *out, struct err *e)
{
	const char *name = NULL;
	CLEANUP(freep) char *full = NULL;
	int rc = read_meta(json, &name, NULL, e);

	if (rc < 0)
		return rc;
	full = xasprintf(K8S_NAMESPACE_PREFIX "%s", name);
	*out = object_new(kind_find("Profile"), NULL, full);
	allow_all(object_spec_json(out), "ingress");
	allow_all(object_spec_json(out), "egress");
	js_set(object_spec_json(out), "labelsToApply",
	       prefixed_labels(json, LABEL_NS_PREFIX, name));
	return 0;
}

int k8s_account(const json_t *json, struct object *out, struct err *e)
{
	const char *name = NULL, *ns = NULL;
	CLEANUP(freep) char *full = NULL;
	int rc = read_meta(json, &name, &ns, e);

	if (rc < 0)
		return rc;
	full = xasprintf(K8S_ACCOUNT_PREFIX "%s.%s", ns, name);
	*out = object_new(kind_find("Profile"), NULL, full);
	js_set(object_spec_json(out), "labelsToApply",
	       prefixed_labels(json, LABEL_SA_PREFIX, name));
	return 0;
}
