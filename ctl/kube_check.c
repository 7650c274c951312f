/* kube_check.c - is a manifest of Kubernetes right, to the last field?
 *
 * WHY    policy/k8s.c reads what an API server has checked, and what a newer one added. A person's
 *        file was checked by nobody: fields that are unknown are mistakes here, and say so.
 * SPEC   networking.k8s.io/v1 NetworkPolicy
 * TESTS  tests/unit/ctl/kube_check.c */
#include "ctl/kube_check.h"

#include <errno.h>
#include <string.h>

#include "lib/fields.h"
#include "model/key.h"
#include "model/object.h"

enum {
	LABEL_PREFIX_MAX = 253, /* of a label's key, before its '/' */
	LABEL_WORD_MAX = 63,	/* the key behind it; a value */
	PORT_NAME_MAX = 15,
};

/* ---- labels ---- */

/* Letters, digits, - _ . and a letter or digit at both ends. */
static bool is_label_word(const char *s)
{
	static const char alnum[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t n = strlen(s);

	if (!n || n > LABEL_WORD_MAX || !strchr(alnum, s[0]) || !strchr(alnum, s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr(alnum, s[i]) && !strchr("-_.", s[i]))
			return false;
	return true;
}

static bool is_label_key(const char *key)
{
	const char *slash = strchr(key, '/');
	CLEANUP(freep) char *prefix = slash ? xstrndup(key, (size_t)(slash - key)) : NULL;

	if (prefix && (!*prefix || strlen(prefix) > LABEL_PREFIX_MAX ||
		       strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(prefix)))
		return false;
	return is_label_word(slash ? slash + 1 : key);
}

static int check_label(const char *key, const char *value, struct err *e)
{
	if (!is_label_key(key))
		return err_set(e, -EINVAL,
			       "%.80s: a label's key is at most %d letters, digits, '-', '_' and "
			       "'.', behind a domain and '/' if there is one",
			       key, LABEL_WORD_MAX);
	if (*value && !is_label_word(value))
		return err_set(e, -EINVAL,
			       "%.80s: a label's value is at most %d letters, digits, '-', '_' and "
			       "'.', is \"%.80s\"",
			       key, LABEL_WORD_MAX, value);
	return 0;
}

static int check_labels(const struct field_map *labels, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < labels->n; i++)
		rc = check_label(labels->p[i].key, labels->p[i].value, e);
	return rc;
}

/* ---- selectors ---- */

struct expression {
	char *key;
	int op;
	bool has_op;
	struct field_strings values;
};

struct selector {
	struct field_map labels;
	VEC(struct expression) expressions;
};

static const char *const operators[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };
enum { OP_EXISTS = 2 };

static const struct field expression_rows[] = {
	FIELD_STRING(struct expression, key, "key", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Key of a label."),
	FIELD_ENUM(struct expression, op, "operator", .words = operators, .flags = FIELD_REQUIRED,
		   FIELD_HAS(struct expression, has_op), .doc = "How values are compared."),
	FIELD_STRINGS(struct expression, values, "values", .doc = "Values of In and NotIn."),
};
static const struct fields expression_fields =
	FIELDS("expression", struct expression, expression_rows);

static const struct field selector_rows[] = {
	FIELD_MAP(struct selector, labels, "matchLabels", .doc = "Labels that must be equal."),
	FIELD_OBJECTS(struct selector, expressions, expression_fields, "matchExpressions",
		      .doc = "Conditions on labels."),
};
static const struct fields selector_fields = FIELDS("selector", struct selector, selector_rows);

static int check_expression(const struct expression *x, struct err *e)
{
	if (!is_label_key(x->key))
		return err_set(e, -EINVAL, "key: \"%.80s\" is no key of a label", x->key);
	if (x->op < OP_EXISTS && !x->values.n)
		return err_set(e, -EINVAL, "values: %s needs at least one", operators[x->op]);
	if (x->op >= OP_EXISTS && x->values.n)
		return err_set(e, -EINVAL, "values: %s has none", operators[x->op]);
	for (size_t i = 0; i < x->values.n; i++)
		if (*x->values.p[i] && !is_label_word(x->values.p[i]))
			return err_set(e, -EINVAL, "values[%zu]: \"%.80s\" is no value of a label",
				       i, x->values.p[i]);
	return 0;
}

static int check_selector(const struct selector *s, struct err *e)
{
	if (check_labels(&s->labels, e) < 0)
		return js_err_under(e, "matchLabels");
	for (size_t i = 0; i < s->expressions.n; i++)
		if (check_expression(&s->expressions.p[i], e) < 0)
			return js_err_under(e, "matchExpressions[%zu]", i);
	return 0;
}

/* ---- peers ---- */

struct block {
	struct prefix cidr;
	struct field_cidrs except;
};

struct peer {
	struct selector pods, namespaces;
	struct block block;
	bool has_pods, has_namespaces, has_block;
};

static const struct field block_rows[] = {
	FIELD_CIDR(struct block, cidr, "cidr", .flags = FIELD_REQUIRED | FIELD_HOST_BITS,
		   .doc = "Addresses."),
	FIELD_CIDRS(struct block, except, "except", .flags = FIELD_HOST_BITS,
		    .doc = "Addresses of them that are not meant."),
};
static const struct fields block_fields = FIELDS("ipBlock", struct block, block_rows);

static const struct field peer_rows[] = {
	FIELD_OBJECT(struct peer, pods, selector_fields, "podSelector",
		     FIELD_HAS(struct peer, has_pods), .doc = "Pods."),
	FIELD_OBJECT(struct peer, namespaces, selector_fields, "namespaceSelector",
		     FIELD_HAS(struct peer, has_namespaces), .doc = "Namespaces of pods."),
	FIELD_OBJECT(struct peer, block, block_fields, "ipBlock", FIELD_HAS(struct peer, has_block),
		     .doc = "Addresses."),
};
static const struct fields peer_fields = FIELDS("peer", struct peer, peer_rows);

static int check_block(const struct block *b, struct err *e)
{
	for (size_t i = 0; i < b->except.n; i++)
		if (!prefix_covers(&b->cidr, &b->except.p[i]) || b->except.p[i].len == b->cidr.len)
			return err_set(e, -EINVAL, "except[%zu]: must be a part of cidr", i);
	return 0;
}

static int check_peer(const struct peer *p, struct err *e)
{
	if (p->has_block && (p->has_pods || p->has_namespaces))
		return err_set(e, -EINVAL,
			       "ipBlock: cannot be together with podSelector or namespaceSelector: "
			       "make it an element of its own");
	if (!p->has_block && !p->has_pods && !p->has_namespaces)
		return err_set(e, -EINVAL,
			       "podSelector: is missing, as are namespaceSelector and ipBlock: one "
			       "of them says who is meant");
	if (check_selector(&p->pods, e) < 0)
		return js_err_under(e, "podSelector");
	if (check_selector(&p->namespaces, e) < 0)
		return js_err_under(e, "namespaceSelector");
	return check_block(&p->block, e) < 0 ? js_err_under(e, "ipBlock") : 0;
}

/* ---- ports ---- */

struct port {
	int protocol, end;
	bool has_end;
	json_t *port;
};

/* Small letters, digits and single '-' between them, with a letter. */
static bool is_port_name(const char *s)
{
	size_t n = strlen(s);

	return n && n <= PORT_NAME_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
	       strspn(s, "0123456789-") < n && s[0] != '-' && s[n - 1] != '-' && !strstr(s, "--");
}

static int port_field_check(const void *value, struct err *e)
{
	const json_t *v = *(json_t *const *)value;
	json_int_t n = json_integer_value(v);

	if (json_is_integer(v) && n >= 1 && n <= UINT16_MAX)
		return 0;
	if (json_is_string(v) && is_port_name(json_string_value(v)))
		return 0;
	return err_set(e, -EINVAL,
		       "must be a number from 1 to 65535, not in quotes, or a name of at most %d "
		       "small letters, digits and '-'",
		       PORT_NAME_MAX);
}

static const char *const protocols[] = { "TCP", "UDP", "SCTP", NULL };
static const struct field port_rows[] = {
	FIELD_ENUM(struct port, protocol, "protocol", .words = protocols, .doc = "Protocol."),
	FIELD_JSON(struct port, port, "port", .check = port_field_check, .doc = "Number or name."),
	FIELD_INT(struct port, end, "endPort", .min = 1, .max = 65535,
		  FIELD_HAS(struct port, has_end), .doc = "Last of a range."),
};
static const struct fields port_fields = FIELDS("port", struct port, port_rows);

static int check_port(const struct port *p, struct err *e)
{
	if (p->has_end && (!json_is_integer(p->port) || json_integer_value(p->port) > p->end))
		return err_set(e, -EINVAL,
			       "endPort: needs a port that is a number and not above it");
	return 0;
}

/* ---- rules ---- */

struct rule {
	VEC(struct port) ports;
	VEC(struct peer) peers;
};

struct policy {
	struct selector pods;
	unsigned types;
	VEC(struct rule) ingress, egress;
};

static const struct field ingress_rows[] = {
	FIELD_OBJECTS(struct rule, ports, port_fields, "ports", .doc = "Ports; none: all."),
	FIELD_OBJECTS(struct rule, peers, peer_fields, "from", .doc = "Sources; none: all."),
};
static const struct fields ingress_fields = FIELDS("rule", struct rule, ingress_rows);

static const struct field egress_rows[] = {
	FIELD_OBJECTS(struct rule, ports, port_fields, "ports", .doc = "Ports; none: all."),
	FIELD_OBJECTS(struct rule, peers, peer_fields, "to", .doc = "Destinations; none: all."),
};
static const struct fields egress_fields = FIELDS("rule", struct rule, egress_rows);

static const char *const types[] = { "Ingress", "Egress", NULL };
static const struct field policy_rows[] = {
	FIELD_OBJECT(struct policy, pods, selector_fields, "podSelector",
		     .doc = "Pods that it is for."),
	FIELD_SET(struct policy, types, "policyTypes", .words = types, .doc = "Directions."),
	FIELD_OBJECTS(struct policy, ingress, ingress_fields, "ingress", .doc = "What may come."),
	FIELD_OBJECTS(struct policy, egress, egress_fields, "egress", .doc = "What may go."),
};
static const struct fields policy_fields = FIELDS("spec", struct policy, policy_rows);

static int check_rule(const struct rule *r, const char *peers, struct err *e)
{
	for (size_t i = 0; i < r->ports.n; i++)
		if (check_port(&r->ports.p[i], e) < 0)
			return js_err_under(e, "ports[%zu]", i);
	for (size_t i = 0; i < r->peers.n; i++)
		if (check_peer(&r->peers.p[i], e) < 0)
			return js_err_under(e, "%s[%zu]", peers, i);
	return 0;
}

static int check_policy(const struct policy *p, struct err *e)
{
	if (check_selector(&p->pods, e) < 0)
		return js_err_under(e, "podSelector");
	for (size_t i = 0; i < p->ingress.n; i++)
		if (check_rule(&p->ingress.p[i], "from", e) < 0)
			return js_err_under(e, "ingress[%zu]", i);
	for (size_t i = 0; i < p->egress.n; i++)
		if (check_rule(&p->egress.p[i], "to", e) < 0)
			return js_err_under(e, "egress[%zu]", i);
	return 0;
}

static int check_policy_spec(const json_t *spec, struct err *e)
{
	struct policy p;
	int rc;

	if (!spec || json_is_null(spec))
		return 0;
	if (!json_is_object(spec))
		return err_set(e, -EINVAL, "spec: must be an object, is %s", js_type_name(spec));
	rc = fields_decode(&policy_fields, spec, FIELDS_STRICT, &p, e);
	if (rc == 0) {
		rc = check_policy(&p, e);
		fields_done(&policy_fields, &p);
	}
	return rc < 0 ? js_err_under(e, "spec") : 0;
}

/* ---- documents ---- */

static const char *const policy_members[] = { "spec", "status", NULL };
static const char *const account_members[] = { "secrets", "imagePullSecrets",
					       "automountServiceAccountToken", NULL };

static const struct row {
	const char *kind;
	const char *const *members; /* beside apiVersion, kind and metadata; NULL: seen elsewhere */
	bool namespaced;
} rows[] = {
	{ "NetworkPolicy", policy_members, true },
	{ "Namespace", policy_members, false },
	{ "ServiceAccount", account_members, true },
	{ "EndpointSlice", NULL, true },
	{ "Service", NULL, true },
};

static bool is_member(const struct row *r, const char *key)
{
	static const char *const all[] = { "apiVersion", "kind", "metadata" };
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		found |= !strcmp(all[i], key);
	for (size_t i = 0; r->members && r->members[i]; i++)
		found |= !strcmp(r->members[i], key);
	return found || !r->members;
}

static int check_metadata(const struct row *r, const json_t *meta, struct err *e)
{
	const json_t *labels = json_object_get(meta, "labels");
	const char *key;
	json_t *v;
	int rc = object_check_meta(meta, r->kind, r->namespaced, e);

	if (rc == 0 && !r->namespaced)
		rc = label_check("metadata.name", json_string_value(json_object_get(meta, "name")),
				 e);
	/* jansson's iterators want a plain pointer, and change nothing. */
	json_object_foreach ((json_t *)(uintptr_t)labels, key, v)
		if (rc == 0 && check_label(key, json_string_value(v), e) < 0)
			rc = js_err_under(e, "metadata.labels");
	return rc;
}

static int check_doc(const struct row *r, const json_t *doc, struct err *e)
{
	const char *key;
	json_t *v;
	int rc;

	json_object_foreach ((json_t *)(uintptr_t)doc, key, v)
		if (!is_member(r, key))
			return err_set(e, -EINVAL,
				       "%.60s: unknown field; beside metadata there are %s, %s",
				       key, r->members[0], r->members[1]);
	rc = check_metadata(r, json_object_get(doc, "metadata"), e);
	if (rc == 0 && !strcmp(r->kind, "NetworkPolicy"))
		rc = check_policy_spec(json_object_get(doc, "spec"), e);
	return rc;
}

int kube_check(const json_t *doc, struct err *e)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));

	for (size_t i = 0; kind && i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].kind, kind))
			return check_doc(&rows[i], doc, e);
	return 0;
}
