/* bgpfilter.c - BGPFilter: table and rules
 * TESTS  tests/unit/model/kinds.c */
#include "model/bgpfilter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/object.h"
#include "model/validate.h"

static const char *const match_words[] = { "Equal", "NotEqual", "In", "NotIn", NULL };
static const char *const source_words[] = { "RemotePeers", NULL };
static const char *const peer_words[] = { "eBGP", "iBGP", NULL };
static const char *const action_words[] = { "Accept", "Reject", NULL };

#define OP struct bgpfilter_operation

static const struct field community_rows[] = {
	FIELD_STRING(struct bgpfilter_add_community, value, "value", .flags = FIELD_REQUIRED,
		     .check = community_field_check, .doc = "Community to put on."),
};
static const struct fields community_fields =
	FIELDS("addCommunity", struct bgpfilter_add_community, community_rows);

static const struct field prepend_rows[] = {
	FIELD_JSON(struct bgpfilter_prepend, prefix, "prefix", .flags = FIELD_REQUIRED,
		   .doc = "AS numbers to put in front; the result begins with them."),
};
static const struct fields prepend_fields =
	FIELDS("prependASPath", struct bgpfilter_prepend, prepend_rows);

static const struct field priority_rows[] = {
	FIELD_INT(struct bgpfilter_set_priority, value, "value", .flags = FIELD_REQUIRED, .min = 1,
		  .max = 2147483646, .doc = "Route priority to set."),
};
static const struct fields priority_fields =
	FIELDS("setPriority", struct bgpfilter_set_priority, priority_rows);

static const struct field operation_rows[] = {
	FIELD_OBJECT(OP, add_community, community_fields, "addCommunity",
		     FIELD_HAS(OP, has_community), .doc = "Put a community on."),
	FIELD_OBJECT(OP, prepend, prepend_fields, "prependASPath", FIELD_HAS(OP, has_prepend),
		     .doc = "Put AS numbers in front."),
	FIELD_OBJECT(OP, set_priority, priority_fields, "setPriority", FIELD_HAS(OP, has_priority),
		     .doc = "Set the route priority."),
};
static const struct fields operation_fields = FIELDS("operation", OP, operation_rows);

#define RULE struct bgpfilter_rule

static const struct field length_rows[] = {
	FIELD_INT(struct bgpfilter_length, min, "min", .min = 0, .max = 128,
		  FIELD_HAS(struct bgpfilter_length, has_min),
		  .doc = "Shortest prefix; that of cidr if it is not given."),
	FIELD_INT(struct bgpfilter_length, max, "max", .min = 0, .max = 128,
		  FIELD_HAS(struct bgpfilter_length, has_max),
		  .doc = "Longest prefix; that of an address if it is not given."),
};
static const struct fields length_fields =
	FIELDS("prefixLength", struct bgpfilter_length, length_rows);

static const struct field values_rows[] = {
	FIELD_STRINGS(struct bgpfilter_values, values, "values", .flags = FIELD_REQUIRED,
		      .doc = "One community that the route carries."),
};
static const struct fields values_fields =
	FIELDS("communities", struct bgpfilter_values, values_rows);

#define RULE_ROWS(family_)                                                                        \
	FIELD_CIDR(RULE, cidr, "cidr", .family = (family_),                                       \
		   .doc = "Prefix to compare with, as matchOperator says."),                      \
		FIELD_ENUM(RULE, match, "matchOperator", .words = match_words,                    \
			   FIELD_HAS(RULE, has_match), .doc = "How to compare with cidr."),       \
		FIELD_OBJECT(RULE, length, length_fields, "prefixLength",                         \
			     FIELD_HAS(RULE, has_length), .doc = "Bounds of the prefix length."), \
		FIELD_ENUM(RULE, source, "source", .words = source_words,                         \
			   FIELD_HAS(RULE, has_source), .doc = "Only routes of BGP peers."),      \
		FIELD_STRING(RULE, interface, "interface", .flags = FIELD_NOT_EMPTY,              \
			     .doc = "Pattern of the interface by which the route leaves."),       \
		FIELD_ENUM(RULE, peer_type, "peerType", .words = peer_words,                      \
			   FIELD_HAS(RULE, has_peer_type), .doc = "Only peers of this kind."),    \
		FIELD_OBJECT(RULE, communities, values_fields, "communities",                     \
			     FIELD_HAS(RULE, has_communities),                                    \
			     .doc = "Only routes with this community."),                          \
		FIELD_JSON(RULE, path_prefix, "asPathPrefix",                                     \
			   .doc = "AS numbers with which the path begins."),                      \
		FIELD_INT(RULE, priority, "priority", .min = 1, .max = 2147483646,                \
			  FIELD_HAS(RULE, has_priority), .doc = "Only this route priority."),     \
		FIELD_ENUM(RULE, action, "action", FIELD_HAS(RULE, has_action),                   \
			   .words = action_words, .flags = FIELD_REQUIRED,                        \
			   .doc = "What happens to the route."),                                  \
		FIELD_OBJECTS(RULE, operations, operation_fields, "operations",                   \
			      .doc = "Changes of an accepted route, in order.")

static const struct field v4_rows[] = { RULE_ROWS(IP_V4) };
static const struct field v6_rows[] = { RULE_ROWS(IP_V6) };
static const struct fields v4_fields = FIELDS("rule", RULE, v4_rows);
static const struct fields v6_fields = FIELDS("rule", RULE, v6_rows);

static const struct field rows[] = {
	FIELD_OBJECTS(struct bgpfilter, export_v4, v4_fields, "exportV4",
		      .doc = "Rules for IPv4 routes to the peer."),
	FIELD_OBJECTS(struct bgpfilter, import_v4, v4_fields, "importV4",
		      .doc = "Rules for IPv4 routes from the peer."),
	FIELD_OBJECTS(struct bgpfilter, export_v6, v6_fields, "exportV6",
		      .doc = "Rules for IPv6 routes to the peer."),
	FIELD_OBJECTS(struct bgpfilter, import_v6, v6_fields, "importV6",
		      .doc = "Rules for IPv6 routes from the peer."),
};
const struct fields bgpfilter_fields = FIELDS("spec", struct bgpfilter, rows);

int bgpfilter_decode(const struct object *o, struct bgpfilter *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "BGPFilter %s", o->name);
	out->name = xstrdup(o->name);
	return 0;
}

void bgpfilter_done(struct bgpfilter *f)
{
	free(f->name);
	fields_done(&bgpfilter_fields, f);
}

bool bgpfilter_community_parse(const char *text, struct bgpfilter_community *out)
{
	struct bgpfilter_community c = { 0 };

	if (community_field_check(text, NULL) < 0)
		return false;
	for (const char *p = text; p && c.n < 3; p = strchr(p, ':'), p = p ? p + 1 : NULL)
		c.number[c.n++] = (uint32_t)strtoul(p, NULL, 10);
	*out = c;
	return true;
}

static bool read_asn(const json_t *v, uint32_t *out)
{
	json_int_t n = json_integer_value(v);

	if (json_is_string(v))
		return asn_parse(json_string_value(v), out);
	if (!json_is_integer(v) || n < 0 || n > UINT32_MAX)
		return false;
	*out = (uint32_t)n;
	return true;
}

int bgpfilter_path(const json_t *list, uint32_t *out, unsigned max)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > max)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!read_asn(json_array_get(list, i), &out[i]))
			return -EINVAL;
	}
	return (int)n;
}

/* ---- what tables cannot say ---- */

struct at {
	const char *list;
	size_t rule;
	struct err *e;
};

static int wrong(const struct at *at, const char *field, const char *why)
{
	return err_set(at->e, -EINVAL, "spec.%s[%zu].%s: %s", at->list, at->rule, field, why);
}

static int check_operation(const struct at *at, const struct bgpfilter_operation *op)
{
	uint32_t path[BGPFILTER_PATH_MAX];

	if (op->has_community + op->has_prepend + op->has_priority != 1)
		return wrong(at, "operations",
			     "each is one of addCommunity, prependASPath and setPriority");
	if (op->has_prepend && bgpfilter_path(op->prepend.prefix, path, BGPFILTER_PATH_MAX) < 1)
		return wrong(at, "operations",
			     "prependASPath.prefix must be a list of 1 to 10 AS numbers");
	return 0;
}

static int check_operations(const struct at *at, const struct bgpfilter_rule *r)
{
	if (r->operations.n && r->action != 0)
		return wrong(at, "operations", "only with action Accept");
	if (r->operations.n > BGPFILTER_OPERATIONS_MAX)
		return wrong(at, "operations", "at most 10");
	for (size_t i = 0; i < r->operations.n; i++) {
		int rc = check_operation(at, &r->operations.p[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_lengths(const struct at *at, const struct bgpfilter_rule *r, bool v4)
{
	int most = v4 ? 32 : 128;

	if (!r->has_length)
		return 0;
	if (!r->cidr.addr.family)
		return wrong(at, "prefixLength", "only together with cidr");
	if ((r->length.has_min && r->length.min > most) ||
	    (r->length.has_max && r->length.max > most))
		return wrong(at, "prefixLength", v4 ? "at most 32 for IPv4" : "at most 128");
	if (r->length.has_min && r->length.has_max && r->length.min > r->length.max)
		return wrong(at, "prefixLength", "min is greater than max");
	return 0;
}

static int check_rule(const struct at *at, const struct bgpfilter_rule *r, bool v4)
{
	struct bgpfilter_community c;
	uint32_t path[BGPFILTER_PATH_MAX];
	int rc;

	if ((r->cidr.addr.family != IP_NONE) != r->has_match)
		return wrong(at, r->has_match ? "cidr" : "matchOperator",
			     "is missing: cidr and matchOperator go together");
	if (r->interface && strlen(r->interface) > 15)
		return wrong(at, "interface", "at most 15 characters");
	if (r->has_communities && (r->communities.values.n != 1 ||
				   !bgpfilter_community_parse(r->communities.values.p[0], &c)))
		return wrong(at, "communities.values",
			     "must be one community such as 64512:7 or 64512:1:2");
	if (r->path_prefix && bgpfilter_path(r->path_prefix, path, BGPFILTER_PATH_MAX) < 1)
		return wrong(at, "asPathPrefix", "must be a list of 1 to 10 AS numbers");
	rc = check_lengths(at, r, v4);
	return rc < 0 ? rc : check_operations(at, r);
}

int bgpfilter_check(const struct object *o, const void *spec, struct err *e)
{
	const struct bgpfilter *f = spec;
	const struct {
		const char *name;
		const struct bgpfilter_rule *p;
		size_t n;
		bool v4;
	} lists[] = {
		{ "exportV4", f->export_v4.p, f->export_v4.n, true },
		{ "importV4", f->import_v4.p, f->import_v4.n, true },
		{ "exportV6", f->export_v6.p, f->export_v6.n, false },
		{ "importV6", f->import_v6.p, f->import_v6.n, false },
	};

	(void)o;
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < lists[l].n; i++) {
			struct at at = { lists[l].name, i, e };
			int rc = check_rule(&at, &lists[l].p[i], lists[l].v4);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}
