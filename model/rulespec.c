/* rulespec.c - rules of policies and profiles: table, and how fields go together
 * TESTS  tests/unit/model/policy.c */
#include "model/rulespec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/key.h"
#include "model/selector.h"
#include "model/validate.h"

static const char *const action_words[] = { "Allow", "Deny", "Log", "Pass", NULL };

enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58, PROTO_SCTP = 132 };

static const struct {
	const char *name, *written;
	uint8_t number;
} protocols[] = {
	{ "tcp", "TCP", PROTO_TCP },	{ "udp", "UDP", PROTO_UDP },
	{ "icmp", "ICMP", PROTO_ICMP }, { "icmpv6", "ICMPv6", PROTO_ICMPV6 },
	{ "sctp", "SCTP", PROTO_SCTP }, { "udplite", "UDPLite", 136 },
};

bool proto_spec_name(const char *text, struct proto_spec *out)
{
	uint64_t n;

	*out = (struct proto_spec) { 0 };
	if (!text)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (strcasecmp(text, protocols[i].name))
			continue;
		*out = (struct proto_spec) { true, protocols[i].number, protocols[i].name };
		return true;
	}
	if (!parse_u64(text, 255, &n) || !n)
		return false;
	*out = (struct proto_spec) { true, (uint8_t)n, NULL };
	return true;
}

int proto_spec_parse(const json_t *json, struct proto_spec *out, struct err *e)
{
	json_int_t n = json_integer_value(json);

	*out = (struct proto_spec) { 0 };
	if (!json || json_is_null(json))
		return 0;
	if (json_is_integer(json) && n >= 1 && n <= 255) {
		*out = (struct proto_spec) { true, (uint8_t)n, NULL };
		return 0;
	}
	if (json_is_string(json) && proto_spec_name(json_string_value(json), out))
		return 0;
	return err_set(e, -EINVAL,
		       "must be TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255");
}

void proto_spec_fill(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	for (size_t i = 0; text && i < ARRAY_SIZE(protocols); i++) {
		if (strcasecmp(text, protocols[i].name))
			continue;
		if (strcmp(text, protocols[i].written))
			js_set_str(object, name, protocols[i].written);
		return;
	}
}

void rule_specs_fill(json_t *spec)
{
	static const char *const lists[] = { "ingress", "egress" };
	json_t *rule;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		json_array_foreach (json_object_get(spec, lists[i]), j, rule) {
			proto_spec_fill(rule, "protocol");
			proto_spec_fill(rule, "notProtocol");
		}
	}
}

static int protocol_field_check(const void *value, struct err *e)
{
	struct proto_spec spec;

	return proto_spec_parse(*(json_t *const *)value, &spec, e);
}

bool proto_has_ports(uint8_t number)
{
	return number == PROTO_TCP || number == PROTO_UDP || number == PROTO_SCTP;
}

bool prefix_is_all(const struct prefix *p)
{
	return p->len == 0;
}

static bool parse_port(const char *text, size_t len, uint16_t *out)
{
	CLEANUP(freep) char *digits = xstrndup(text, len);
	uint64_t n;

	if (!parse_u64(digits, UINT16_MAX, &n))
		return false;
	*out = (uint16_t)n;
	return true;
}

/* A name begins with a letter or holds one: letters, digits, '-', '_' and '.'. */
static bool is_port_name(const char *text)
{
	size_t n =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n && n <= 128 && !text[n] && strspn(text, "0123456789") < n;
}

static bool port_from_text(const char *text, struct port_spec *out)
{
	const char *colon = strchr(text, ':');
	struct port_spec port = { 0 };

	if (is_port_name(text)) {
		port.name = xstrdup(text);
		*out = port;
		return true;
	}
	if (!parse_port(text, colon ? (size_t)(colon - text) : strlen(text), &port.first))
		return false;
	port.last = port.first;
	if (colon && !parse_port(colon + 1, strlen(colon + 1), &port.last))
		return false;
	if (!port.first || port.first > port.last)
		return false;
	*out = port;
	return true;
}

static bool port_parse(const json_t *json, struct port_spec *out)
{
	json_int_t n = json_integer_value(json);

	if (json_is_string(json))
		return port_from_text(json_string_value(json), out);
	if (!json_is_integer(json) || n < 1 || n > UINT16_MAX)
		return false;
	*out = (struct port_spec) { (uint16_t)n, (uint16_t)n, NULL };
	return true;
}

void port_specs_done(struct port_specs *s)
{
	vec_foreach (s, port)
		free(port->name);
	vec_done(s);
}

int port_specs_parse(const json_t *json, struct port_specs *out, struct err *e)
{
	struct port_specs list = { 0 };
	struct port_spec port;
	json_t *item;
	size_t i;

	*out = list;
	if (!json || json_is_null(json))
		return 0;
	if (!json_is_array(json))
		return err_set(e, -EINVAL, "must be a list, is %s", js_type_name(json));
	if (json_array_size(json) > RULE_PORTS_MAX)
		return err_set(e, -E2BIG, "%zu entries: at most %d", json_array_size(json),
			       RULE_PORTS_MAX);
	json_array_foreach (json, i, item) {
		if (!port_parse(item, &port)) {
			port_specs_done(&list);
			return err_set(e, -EINVAL,
				       "entry %zu: must be a port from 1 to 65535, a range such as "
				       "\"8000:8010\" with the lower one first, or a name",
				       i);
		}
		vec_push(&list, port);
	}
	*out = list;
	return 0;
}

static int ports_field_check(const void *value, struct err *e)
{
	struct port_specs list;
	int rc = port_specs_parse(*(json_t *const *)value, &list, e);

	port_specs_done(&list);
	return rc;
}

static int version_field_check(const void *value, struct err *e)
{
	int n = *(const int *)value;

	return n == 4 || n == 6 ? 0 : err_set(e, -EINVAL, "must be 4 or 6, is %d", n);
}

static const struct field icmp_rows[] = {
	FIELD_INT(struct rule_icmp_spec, type, "type", .min = 0, .max = 254,
		  FIELD_HAS(struct rule_icmp_spec, has_type), .doc = "Type of the message."),
	FIELD_INT(struct rule_icmp_spec, code, "code", .min = 0, .max = 255,
		  FIELD_HAS(struct rule_icmp_spec, has_code), .doc = "Code; needs a type."),
};
static const struct fields icmp_fields = FIELDS("icmp", struct rule_icmp_spec, icmp_rows);

static const struct field meta_rows[] = {
	FIELD_MAP(struct rule_meta_spec, annotations, "annotations",
		  .doc = "Notes, which appear as comments of the rules."),
};
static const struct fields meta_fields = FIELDS("metadata", struct rule_meta_spec, meta_rows);

static const struct field account_rows[] = {
	FIELD_STRINGS(struct rule_accounts, names, "names", .doc = "Names of accounts."),
	FIELD_STRING(struct rule_accounts, selector, "selector",
		     .check = policy_selector_field_check, .doc = "Accounts by their labels."),
};
static const struct fields account_fields =
	FIELDS("serviceAccounts", struct rule_accounts, account_rows);

static const struct field service_rows[] = {
	FIELD_STRING(struct rule_service, name, "name", .doc = "Name of the service."),
	FIELD_STRING(struct rule_service, ns, "namespace", .doc = "Its namespace."),
};
static const struct fields service_fields = FIELDS("services", struct rule_service, service_rows);

static const struct field side_rows[] = {
	FIELD_CIDRS(struct rule_side_spec, nets, "nets", .doc = "Addresses."),
	FIELD_CIDRS(struct rule_side_spec, not_nets, "notNets", .doc = "All but these addresses."),
	FIELD_STRING(struct rule_side_spec, selector, "selector",
		     .check = policy_selector_field_check,
		     .doc = "Endpoints and network sets by label."),
	FIELD_STRING(struct rule_side_spec, not_selector, "notSelector",
		     .check = policy_selector_field_check, .doc = "All but these."),
	FIELD_STRING(struct rule_side_spec, ns_selector, "namespaceSelector",
		     .check = ns_selector_field_check,
		     .doc = "Namespaces that selector looks into; global() is outside of all."),
	FIELD_JSON(struct rule_side_spec, ports, "ports", .check = ports_field_check,
		   .doc = "Ports: numbers, ranges and names."),
	FIELD_JSON(struct rule_side_spec, not_ports, "notPorts", .check = ports_field_check,
		   .doc = "All but these ports."),
	FIELD_OBJECT(struct rule_side_spec, accounts, account_fields, "serviceAccounts",
		     .doc = "Pods by their service account."),
	FIELD_OBJECT(struct rule_side_spec, service, service_fields, "services",
		     FIELD_HAS(struct rule_side_spec, has_service),
		     .doc = "Endpoints of a Kubernetes service."),
};
static const struct fields side_fields = FIELDS("side", struct rule_side_spec, side_rows);

static const struct field rows[] = {
	FIELD_ENUM(struct rule_spec, action, "action", .words = action_words,
		   .flags = FIELD_REQUIRED, FIELD_HAS(struct rule_spec, has_action),
		   .doc = "What to do with packets that match."),
	FIELD_INT(struct rule_spec, ip_version, "ipVersion", .min = 4, .max = 6,
		  .check = version_field_check, .doc = "Only this version of IP."),
	FIELD_JSON(struct rule_spec, protocol, "protocol", .check = protocol_field_check,
		   .doc = "Protocol by name or number."),
	FIELD_JSON(struct rule_spec, not_protocol, "notProtocol", .check = protocol_field_check,
		   .doc = "All but this protocol."),
	FIELD_OBJECT(struct rule_spec, icmp, icmp_fields, "icmp",
		     FIELD_HAS(struct rule_spec, has_icmp), .doc = "ICMP messages."),
	FIELD_OBJECT(struct rule_spec, not_icmp, icmp_fields, "notICMP",
		     FIELD_HAS(struct rule_spec, has_not_icmp), .doc = "All but these messages."),
	FIELD_JSON(struct rule_spec, http, "http",
		   .doc = "Methods and paths, for a proxy; a packet filter cannot look at them."),
	FIELD_OBJECT(struct rule_spec, metadata, meta_fields, "metadata", .doc = "Annotations."),
	FIELD_OBJECT(struct rule_spec, source, side_fields, "source", .doc = "Where from."),
	FIELD_OBJECT(struct rule_spec, destination, side_fields, "destination", .doc = "Where to."),
};
const struct fields rule_spec_fields = FIELDS("rule", struct rule_spec, rows);

/* What a check of one side needs to know about the rule. */
struct side_ctx {
	const char *name; /* "source" */
	const struct rule_side_spec *side;
	struct proto_spec proto;
	bool ingress;
	struct rule_owner owner;
	struct err *e;
};

static bool given(const char *text)
{
	return text && *text;
}

static int check_net_list(const struct side_ctx *c, const char *field,
			  const struct field_cidrs *list, bool negated)
{
	if (list->n > RULE_NETS_MAX && !c->owner.converted)
		return err_set(c->e, -E2BIG, "%s.%s: %zu entries: at most %d", c->name, field,
			       list->n, RULE_NETS_MAX);
	for (size_t i = 0; negated && i < list->n; i++)
		if (prefix_is_all(&list->p[i]))
			return err_set(c->e, -EINVAL,
				       "%s.%s: a range of all addresses leaves nothing that could "
				       "match: take the rule out",
				       c->name, field);
	return 0;
}

static int check_port_list(const struct side_ctx *c, const char *field, const json_t *json)
{
	struct port_specs list;
	int rc = port_specs_parse(json, &list, c->e);
	bool numbers = false;

	if (rc < 0)
		return err_wrap(c->e, "%s.%s", c->name, field);
	vec_foreach (&list, port)
		numbers = numbers || !port->name;
	rc = 0;
	if (list.n && c->proto.set && !proto_has_ports(c->proto.number))
		rc = err_set(c->e, -EINVAL, "%s.%s: protocol must be TCP, UDP or SCTP", c->name,
			     field);
	else if (numbers && !c->proto.set)
		rc = err_set(c->e, -EINVAL,
			     "%s.%s: numbers of ports need a protocol: TCP, UDP or SCTP", c->name,
			     field);
	port_specs_done(&list);
	return rc;
}

static int check_service(const struct side_ctx *c)
{
	const struct rule_side_spec *s = c->side;
	bool source = !strcmp(c->name, "source");
	bool other = given(s->selector) || given(s->not_selector) || given(s->ns_selector) ||
		     s->nets.n || s->not_nets.n || s->accounts.names.n ||
		     given(s->accounts.selector);

	if (!s->has_service)
		return 0;
	if (!given(s->service.name))
		return err_set(c->e, -EINVAL, "%s.services.name: is missing", c->name);
	if (c->owner.global && !given(s->service.ns))
		return err_set(c->e, -EINVAL,
			       "%s.services.namespace: is missing: the policy has none of its own",
			       c->name);
	if (other)
		return err_set(c->e, -EINVAL,
			       "%s.services: cannot be together with selectors, nets or accounts",
			       c->name);
	if (source != c->ingress)
		return err_set(c->e, -EINVAL,
			       "%s.services: only the source of ingress rules and the destination "
			       "of egress rules can be a service",
			       c->name);
	if (!source && (json_array_size(s->ports) || json_array_size(s->not_ports)))
		return err_set(c->e, -EINVAL,
			       "%s.services: its ports are the service's: leave ports out",
			       c->name);
	return 0;
}

/* Names go into a selector, in quotes. */
static int check_accounts(const struct side_ctx *c)
{
	const struct field_strings *names = &c->side->accounts.names;

	for (size_t i = 0; i < names->n; i++) {
		CLEANUP(freep)
		char *path = xasprintf("%s.serviceAccounts.names[%zu]", c->name, i);

		if (name_check(path, names->p[i], c->e) < 0)
			return -EINVAL;
	}
	return 0;
}

static int check_lengths(const struct side_ctx *c)
{
	const struct rule_side_spec *s = c->side;
	const struct {
		const char *name, *text;
	} fields[] = {
		{ "selector", s->selector },
		{ "notSelector", s->not_selector },
		{ "namespaceSelector", s->ns_selector },
		{ "serviceAccounts.selector", s->accounts.selector },
	};

	for (size_t i = 0; !c->owner.converted && i < ARRAY_SIZE(fields); i++)
		if (selector_length_check(fields[i].text, c->e) < 0)
			return err_wrap(c->e, "%s.%s", c->name, fields[i].name);
	return 0;
}

static int check_side(const struct side_ctx *c)
{
	const struct rule_side_spec *s = c->side;
	int rc = check_lengths(c);

	if (rc == 0)
		rc = check_accounts(c);
	if (rc == 0)
		rc = check_net_list(c, "nets", &s->nets, false);

	if (rc == 0)
		rc = check_net_list(c, "notNets", &s->not_nets, true);
	if (rc == 0)
		rc = check_port_list(c, "ports", s->ports);
	if (rc == 0)
		rc = check_port_list(c, "notPorts", s->not_ports);
	return rc < 0 ? rc : check_service(c);
}

static int check_icmp(const struct rule_spec *r, const struct proto_spec *proto, struct err *e)
{
	bool icmp = proto->set && (proto->number == PROTO_ICMP || proto->number == PROTO_ICMPV6);

	if ((r->icmp.has_code && !r->icmp.has_type) ||
	    (r->not_icmp.has_code && !r->not_icmp.has_type))
		return err_set(e, -EINVAL, "%s.code: needs a type",
			       r->icmp.has_code && !r->icmp.has_type ? "icmp" : "notICMP");
	if (r->has_icmp && !icmp)
		return err_set(e, -EINVAL, "icmp: protocol must be ICMP or ICMPv6");
	if (r->has_not_icmp && proto->set && !icmp)
		return err_set(e, -EINVAL, "notICMP: protocol must be ICMP or ICMPv6");
	return 0;
}

static int check_versions(const struct rule_spec *r, const struct proto_spec *proto, struct err *e)
{
	const struct field_cidrs *lists[] = { &r->source.nets, &r->source.not_nets,
					      &r->destination.nets, &r->destination.not_nets };
	int version = r->ip_version;

	if (proto->set && (proto->number == PROTO_ICMP || proto->number == PROTO_ICMPV6)) {
		int implied = proto->number == PROTO_ICMP ? 4 : 6;

		if (version && version != implied)
			return err_set(e, -EINVAL,
				       "protocol: ICMP is IPv4's and ICMPv6 IPv6's, "
				       "ipVersion is %d",
				       version);
		version = implied;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t j = 0; j < lists[i]->n; j++) {
			int family = lists[i]->p[j].addr.family;

			if (version && family != version)
				return err_set(e, -EINVAL,
					       "%s.%s: a rule is for IPv4 or for IPv6: ranges of "
					       "both cannot be in one rule",
					       i < 2 ? "source" : "destination",
					       i % 2 ? "notNets" : "nets");
			version = family;
		}
	}
	return 0;
}

static int check_http_path(const json_t *path, struct err *e)
{
	const char *exact = json_string_value(json_object_get(path, "exact"));
	const char *prefix = json_string_value(json_object_get(path, "prefix"));
	const char *text = exact ? exact : prefix;

	if (!text || (exact && prefix) || json_object_size(path) != 1)
		return err_set(e, -EINVAL,
			       "http.paths: each must have exactly one of exact and prefix");
	if (*text != '/' || strpbrk(text, "?# \t"))
		return err_set(e, -EINVAL,
			       "http.paths: \"%.80s\": must begin with / and hold no ?, # or blank",
			       text);
	return 0;
}

static int check_http_methods(const json_t *methods, struct err *e)
{
	json_t *a, *b;
	size_t i, j;

	json_array_foreach (methods, i, a) {
		if (!json_is_string(a))
			return err_set(e, -EINVAL, "http.methods: must be a list of words");
		json_array_foreach (methods, j, b)
			if (i < j && json_equal(a, b))
				return err_set(e, -EINVAL, "http.methods: \"%.40s\" is there twice",
					       json_string_value(a));
	}
	return 0;
}

static int check_http(const struct rule_spec *r, const struct proto_spec *proto, bool ingress,
		      struct err *e)
{
	json_t *methods = NULL, *paths = NULL, *path;
	int rc;
	size_t i;

	if (!r->http || json_is_null(r->http))
		return 0;
	if (r->action != RULE_ALLOW || !ingress)
		return err_set(e, -EINVAL, "http: is for Allow rules of ingress only");
	if (proto->set && proto->number != PROTO_TCP)
		return err_set(e, -EINVAL, "http: protocol must be TCP");
	if ((rc = js_list(r->http, "methods", &methods, e)) < 0 ||
	    (rc = js_list(r->http, "paths", &paths, e)) < 0)
		return js_err_under(e, "http");
	if (json_array_size(methods) > RULE_HTTP_MAX || json_array_size(paths) > RULE_HTTP_MAX)
		return err_set(e, -E2BIG, "http: at most %d methods and paths", RULE_HTTP_MAX);
	json_array_foreach (paths, i, path)
		if ((rc = check_http_path(path, e)) < 0)
			return rc;
	return check_http_methods(methods, e);
}

static int check_rule(const struct rule_spec *r, bool ingress, struct rule_owner owner,
		      struct err *e)
{
	struct side_ctx c = { "source", &r->source, { 0 }, ingress, owner, e };
	struct proto_spec unused;
	int rc = proto_spec_parse(r->protocol, &c.proto, e);

	if (rc < 0)
		return err_wrap(e, "protocol");
	if ((rc = proto_spec_parse(r->not_protocol, &unused, e)) < 0)
		return err_wrap(e, "notProtocol");
	if ((rc = check_side(&c)) < 0)
		return rc;
	c.name = "destination";
	c.side = &r->destination;
	if ((rc = check_side(&c)) < 0 || (rc = check_icmp(r, &c.proto, e)) < 0 ||
	    (rc = check_versions(r, &c.proto, e)) < 0)
		return rc;
	return check_http(r, &c.proto, ingress, e);
}

int rule_specs_check(const struct rule_specs *rules, bool ingress, struct rule_owner owner,
		     struct err *e)
{
	const char *name = ingress ? "ingress" : "egress";

	for (size_t i = 0; i < rules->n; i++)
		if (check_rule(&rules->p[i], ingress, owner, e) < 0)
			return js_err_under(e, "%s[%zu]", name, i);
	return 0;
}
