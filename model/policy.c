/* policy.c - policies as they are written: tables, checks, stored form
 * TESTS  tests/unit/model/policy.c */
#include "model/policy.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "model/object.h"
#include "model/validate.h"

static const char *const type_words[] = { "Ingress", "Egress", NULL };
static const char *const staged_words[] = { "Set", "Delete", "Learn", "Ignore", NULL };

static int order_field_check(const void *value, struct err *e)
{
	const json_t *v = *(json_t *const *)value;

	return json_is_number(v) && isfinite(json_number_value(v))
		       ? 0
		       : err_set(e, -EINVAL, "must be a number, is %s", js_type_name(v));
}

static int tier_field_check(const void *text, struct err *e)
{
	return *(const char *)text ? label_check("tier", text, e) : 0;
}

#define COMMON_ROWS                                                                              \
	FIELD_STRING(struct policy_spec, tier, "tier", .def = TIER_DEFAULT, .flags = FIELD_FILL, \
		     .check = tier_field_check, .doc = "Tier that it belongs to."),              \
		FIELD_JSON(struct policy_spec, order, "order", .check = order_field_check,       \
			   .doc = "Lower numbers go first; without one it goes last."),          \
		FIELD_STRING(struct policy_spec, selector, "selector",                           \
			     .check = policy_selector_field_check,                               \
			     .doc = "Endpoints it applies to."),                                 \
		FIELD_STRING(struct policy_spec, account_selector, "serviceAccountSelector",     \
			     .check = policy_selector_field_check,                               \
			     .doc = "Only pods whose service account has these labels."),        \
		FIELD_SET(struct policy_spec, types, "types", .words = type_words,               \
			  FIELD_HAS(struct policy_spec, has_types),                              \
			  .doc = "Directions it governs."),                                      \
		FIELD_OBJECTS(struct policy_spec, ingress, rule_spec_fields, "ingress",          \
			      .doc = "Rules for what comes in."),                                \
		FIELD_OBJECTS(struct policy_spec, egress, rule_spec_fields, "egress",            \
			      .doc = "Rules for what goes out."),                                \
		FIELD_STRINGS(struct policy_spec, hints, "performanceHints",                     \
			      .doc = "Hints for programs; they change no verdict.")
#define GLOBAL_ROWS                                                                            \
	FIELD_STRING(struct policy_spec, ns_selector, "namespaceSelector",                     \
		     .check = policy_selector_field_check,                                     \
		     .doc = "Only pods whose namespace has these labels."),                    \
		FIELD_BOOL(struct policy_spec, do_not_track, "doNotTrack",                     \
			   .doc = "Apply to host endpoints before connection tracking."),      \
		FIELD_BOOL(struct policy_spec, pre_dnat, "preDNAT",                            \
			   .doc = "Apply to host endpoints before addresses are translated."), \
		FIELD_BOOL(struct policy_spec, apply_on_forward, "applyOnForward",             \
			   .doc = "Apply to what is forwarded through host endpoints, too.")
#define STAGED_ROWS                                                                          \
	FIELD_ENUM(struct policy_spec, staged_action, "stagedAction", .words = staged_words, \
		   .def = "Set", .doc = "What enforcing it would do.")

static const struct field rows[] = { COMMON_ROWS };
static const struct field global_rows[] = { COMMON_ROWS, GLOBAL_ROWS };
static const struct field staged_rows[] = { COMMON_ROWS, STAGED_ROWS };
static const struct field staged_global_rows[] = { COMMON_ROWS, GLOBAL_ROWS, STAGED_ROWS };
const struct fields policy_fields = FIELDS("spec", struct policy_spec, rows);
const struct fields global_policy_fields = FIELDS("spec", struct policy_spec, global_rows);
const struct fields staged_policy_fields = FIELDS("spec", struct policy_spec, staged_rows);
const struct fields staged_global_policy_fields =
	FIELDS("spec", struct policy_spec, staged_global_rows);

struct staged_k8s {
	json_t *pod_selector, *ingress, *egress, *types;
	int staged_action;
};

static const struct field staged_k8s_rows[] = {
	FIELD_JSON(struct staged_k8s, pod_selector, "podSelector", .doc = "Pods it selects."),
	FIELD_JSON(struct staged_k8s, ingress, "ingress", .doc = "Rules for what comes in."),
	FIELD_JSON(struct staged_k8s, egress, "egress", .doc = "Rules for what goes out."),
	FIELD_JSON(struct staged_k8s, types, "policyTypes", .doc = "Directions it governs."),
	FIELD_ENUM(struct staged_k8s, staged_action, "stagedAction", .words = staged_words,
		   .def = "Set", .doc = "What enforcing it would do."),
};
const struct fields staged_k8s_policy_fields = FIELDS("spec", struct staged_k8s, staged_k8s_rows);

unsigned policy_spec_types(const struct policy_spec *p)
{
	return p->types ? p->types : POLICY_TYPE_INGRESS | POLICY_TYPE_EGRESS;
}

double policy_spec_order(const struct policy_spec *p)
{
	return json_is_number(p->order) ? json_number_value(p->order) : (double)INFINITY;
}

void policy_spec_done(struct policy_spec *p)
{
	fields_done(&staged_global_policy_fields, p);
}

/* "web", "tier.web", and the names that converters of other policies give. */
static int check_name(const char *name, struct err *e)
{
	static const char *const free_prefix[] = { "knp.default.", "ossg.default." };
	const char *dot = strchr(name, '.');

	for (size_t i = 0; i < ARRAY_SIZE(free_prefix); i++)
		if (str_starts(name, free_prefix[i]))
			return 0;
	if (dot && strchr(dot + 1, '.'))
		return err_set(e, -EINVAL,
			       "metadata.name: \"%.80s\": a policy's name may have one dot, behind "
			       "the name of its tier",
			       name);
	return 0;
}

static int check_flags(const struct policy_spec *p, struct err *e)
{
	if (p->do_not_track && p->pre_dnat)
		return err_set(e, -EINVAL, "spec.preDNAT: cannot be together with doNotTrack");
	if ((p->do_not_track || p->pre_dnat) && !p->apply_on_forward)
		return err_set(e, -EINVAL, "spec.applyOnForward: must be true with %s",
			       p->pre_dnat ? "preDNAT" : "doNotTrack");
	if (p->pre_dnat && (p->egress.n || (p->has_types && p->types & POLICY_TYPE_EGRESS)))
		return err_set(e, -EINVAL,
			       "spec.preDNAT: is for ingress only: take out egress rules and the "
			       "type Egress");
	return 0;
}

static int check_types(const struct object *o, struct err *e)
{
	json_t *list = js_at(o->json, "spec.types"), *a, *b;
	size_t i, j;

	json_array_foreach (list, i, a)
		json_array_foreach (list, j, b)
			if (i < j && json_equal(a, b))
				return err_set(e, -EINVAL, "spec.types[%zu]: %s is there twice", j,
					       json_string_value(b));
	return 0;
}

/* A converted Kubernetes policy has as many rules as its peers times its protocols, and selectors as
 * long as its lists; the size of an object bounds them. */
static bool is_converted(const char *name)
{
	return str_starts(name, "knp.default.");
}

static int check_lengths(const struct policy_spec *p, struct err *e)
{
	const struct {
		const char *name, *text;
	} fields[] = {
		{ "selector", p->selector },
		{ "namespaceSelector", p->ns_selector },
		{ "serviceAccountSelector", p->account_selector },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (selector_length_check(fields[i].text, e) < 0)
			return err_wrap(e, "spec.%s", fields[i].name);
	return 0;
}

static int check_count(const struct policy_spec *p, struct err *e)
{
	if (p->ingress.n > RULES_MAX || p->egress.n > RULES_MAX)
		return err_set(e, -E2BIG, "spec.%s: has %zu rules: at most %d",
			       p->ingress.n > RULES_MAX ? "ingress" : "egress",
			       p->ingress.n > RULES_MAX ? p->ingress.n : p->egress.n, RULES_MAX);
	return 0;
}

int policy_check(const struct object *o, const void *spec, struct err *e)
{
	const struct policy_spec *p = spec;
	struct rule_owner owner = { !(o->kind->flags & KIND_NAMESPACED), is_converted(o->name) };
	int rc = check_name(o->name, e);

	if (rc == 0)
		rc = check_flags(p, e);
	if (rc == 0)
		rc = check_types(o, e);
	if (rc == 0 && !owner.converted && (rc = check_lengths(p, e)) == 0)
		rc = check_count(p, e);
	if (rc < 0)
		return rc;
	if (rule_specs_check(&p->ingress, true, owner, e) < 0 ||
	    rule_specs_check(&p->egress, false, owner, e) < 0)
		return js_err_under(e, "spec");
	return 0;
}

int policy_spec_decode(const struct object *o, struct policy_spec *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc == 0 && (rc = policy_check(o, out, e)) < 0)
		policy_spec_done(out);
	return rc < 0 ? err_wrap(e, "%s %s%s%s", o->kind->name, o->ns ? o->ns : "",
				 o->ns ? "/" : "", o->name)
		      : 0;
}

void policy_fill(json_t *spec)
{
	bool in = json_array_size(json_object_get(spec, "ingress"));
	bool out = json_array_size(json_object_get(spec, "egress"));
	json_t *types;

	rule_specs_fill(spec);
	if (json_array_size(json_object_get(spec, "types")))
		return;
	types = json_array();
	if (in || !out)
		json_array_append_new(types, json_string("Ingress"));
	if (out)
		json_array_append_new(types, json_string("Egress"));
	js_set(spec, "types", types);
}

static const char *tier_of(const json_t *object)
{
	const char *tier = NULL;

	return js_str(object, "spec.tier", &tier, NULL) > 0 && *tier ? tier : TIER_DEFAULT;
}

void policy_to_stored(json_t *object)
{
	json_t *meta = js_object_in(object, "metadata"), *note = json_object(), *notes;
	CLEANUP(freep) char *text = NULL;

	js_set_str(note, "name", json_string_value(json_object_get(meta, "name")));
	text = js_dump(note);
	json_decref(note);
	js_set_str(js_object_in(meta, "labels"), POLICY_LABEL_TIER, tier_of(object));
	/* Always last, so that what was read is written as the same text. */
	notes = json_incref(js_object_in(meta, "annotations"));
	json_object_del(meta, "annotations");
	json_object_del(notes, POLICY_NOTE_METADATA);
	js_set_str(notes, POLICY_NOTE_METADATA, text);
	js_set(meta, "annotations", notes);
}

/* The user's name in the annotation; NULL when it holds none that could be one. */
static char *noted_name(const json_t *annotations)
{
	const char *text = json_string_value(json_object_get(annotations, POLICY_NOTE_METADATA));
	const char *name = NULL;
	json_t *note = NULL;
	char *copy = NULL;

	if (!text || js_parse(text, strlen(text), &note, NULL) < 0)
		return NULL;
	if (js_str(note, "name", &name, NULL) > 0 && name_check("name", name, NULL) == 0)
		copy = xstrdup(name);
	json_decref(note);
	return copy;
}

void policy_from_stored(json_t *object, char **name)
{
	json_t *meta = js_object_in(object, "metadata");
	json_t *annotations = json_object_get(meta, "annotations");
	char *noted = noted_name(annotations);

	if (!noted && !strcmp(tier_of(object), TIER_DEFAULT) &&
	    str_starts(*name, POLICY_NAME_PREFIX) && (*name)[strlen(POLICY_NAME_PREFIX)])
		noted = xstrdup(*name + strlen(POLICY_NAME_PREFIX));
	if (annotations) {
		json_object_del(annotations, POLICY_NOTE_METADATA);
		if (!json_object_size(annotations))
			json_object_del(meta, "annotations");
	}
	if (!noted)
		return;
	free(*name);
	*name = noted;
	js_set_str(meta, "name", noted);
}
