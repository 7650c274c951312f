/* object.c - one resource: read, check, write
 *
 * SHAPE  Every object has apiVersion, kind, metadata, spec, maybe status. The outer two layers have
 *        field tables of their own (meta_fields), so an unknown field there gets the same words as
 *        one in a spec.
 * TESTS  tests/unit/model/object.c */
#include "model/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "model/policy.h"

enum { ANNOTATIONS_MAX = 256 << 10 }; /* bytes in all, as Kubernetes has it */

struct meta {
	char *name, *ns, *uid, *created, *generate, *version, *self, *deletion;
	int64_t generation, grace;
	struct field_map labels, annotations;
	json_t *owners, *finalizers, *managed;
};

static const struct field meta_rows[] = {
	FIELD_STRING(struct meta, name, "name", .doc = "Name, unique for the kind."),
	FIELD_STRING(struct meta, ns, "namespace", .doc = "Namespace, for kinds that have one."),
	FIELD_MAP(struct meta, labels, "labels", .doc = "Labels, which selectors look at."),
	FIELD_MAP(struct meta, annotations, "annotations", .doc = "Notes of programs."),
	FIELD_STRING(struct meta, uid, "uid", .doc = "Unique for all time; made at creation."),
	FIELD_STRING(struct meta, created, "creationTimestamp", .doc = "When it was created."),
	FIELD_STRING(struct meta, version, "resourceVersion",
		     .doc = "Revision it was read at: refuse to overwrite any other."),
	FIELD_STRING(struct meta, self, "selfLink", .doc = "Ignored."),
	FIELD_STRING(struct meta, generate, "generateName", .doc = "Kept."),
	FIELD_INT64(struct meta, generation, "generation", .doc = "Kept."),
	FIELD_STRING(struct meta, deletion, "deletionTimestamp", .doc = "Kept."),
	FIELD_INT64(struct meta, grace, "deletionGracePeriodSeconds", .doc = "Kept."),
	FIELD_JSON(struct meta, owners, "ownerReferences", .doc = "Kept."),
	FIELD_JSON(struct meta, finalizers, "finalizers", .doc = "Kept."),
	FIELD_JSON(struct meta, managed, "managedFields", .doc = "Kept."),
};
static const struct fields meta_fields = FIELDS("metadata", struct meta, meta_rows);

struct outer {
	char *version, *kind;
	json_t *meta, *spec, *status;
};

static const struct field outer_rows[] = {
	FIELD_STRING(struct outer, version, "apiVersion", .flags = FIELD_REQUIRED,
		     .doc = "Always " API_VERSION "."),
	FIELD_STRING(struct outer, kind, "kind", .flags = FIELD_REQUIRED, .doc = "Kind."),
	FIELD_JSON(struct outer, meta, "metadata", .flags = FIELD_REQUIRED,
		   .doc = "Name, namespace, labels."),
	FIELD_JSON(struct outer, spec, "spec", .doc = "What is wanted."),
	FIELD_JSON(struct outer, status, "status", .doc = "What programs found."),
};
static const struct fields outer_fields = FIELDS("object", struct outer, outer_rows);

void object_done(struct object *o)
{
	free(o->ns);
	free(o->name);
	free(o->stored);
	json_decref(o->json);
	*o = (struct object) { 0 };
}

void objects_done(struct object_vec *v)
{
	vec_foreach (v, o)
		object_done(o);
	vec_done(v);
}

struct object object_copy(const struct object *o)
{
	struct object copy = *o;

	copy.ns = xstrdup(o->ns);
	copy.name = xstrdup(o->name);
	copy.stored = xstrdup(o->stored);
	copy.json = json_deep_copy(o->json);
	return copy;
}

struct object object_new(const struct kind *kind, const char *ns, const char *name)
{
	json_t *json = json_object(), *meta = json_object();

	js_set_str(json, "apiVersion", API_VERSION);
	js_set_str(json, "kind", kind->name);
	js_set_str(meta, "name", name);
	if (kind->flags & KIND_NAMESPACED)
		js_set_str(meta, "namespace", ns);
	js_set(json, "metadata", meta);
	js_set(json, "spec", json_object());
	return (struct object) {
		.kind = kind,
		.ns = kind->flags & KIND_NAMESPACED ? xstrdup(ns) : NULL,
		.name = xstrdup(name),
		.json = json,
	};
}

/* Policies are called otherwise than their keys say. */
static void take_stored_name(struct object *o)
{
	char *key_name;

	if (!(o->kind->flags & KIND_POLICY))
		return;
	key_name = xstrdup(o->name);
	policy_from_stored(o->json, &o->name);
	if (str_eq(key_name, o->name))
		free(TAKE(key_name));
	o->stored = key_name;
}

int object_decode(const char *key, const char *value, int64_t rev, struct object *out,
		  struct err *e)
{
	const char *kind = NULL;
	struct key k;
	json_t *json, *meta;
	int rc;

	if (!key_parse(key, &k))
		return err_set(e, -ENOENT, "%s: is not the key of a resource known here", key);
	rc = js_parse(value, strlen(value), &json, e);
	if (rc == 0) {
		rc = js_need(js_str(json, "kind", &kind, e), "kind", e);
		if (rc >= 0 && strcmp(kind, k.kind->name))
			rc = err_set(e, -EINVAL, "kind: must be %s, is \"%.60s\"", k.kind->name,
				     kind);
		if (rc < 0)
			json_decref(json);
	}
	if (rc < 0) {
		key_done(&k);
		return err_wrap(e, "%s", key);
	}
	/* The key says the name; an object that says another one is read under its key. */
	meta = js_object_in(json, "metadata");
	json_object_del(meta, "resourceVersion");
	json_object_del(meta, "selfLink");
	js_set_str(meta, "name", k.name);
	js_set_str(meta, "namespace", k.ns);
	*out = (struct object) {
		.kind = k.kind, .ns = k.ns, .name = k.name, .rev = rev, .json = json
	};
	take_stored_name(out);
	return 0;
}

static int check_annotations(const struct field_map *map, struct err *e)
{
	size_t bytes = 0;

	for (size_t i = 0; i < map->n; i++)
		bytes += strlen(map->p[i].key) + strlen(map->p[i].value);
	if (bytes > ANNOTATIONS_MAX)
		return err_set(e, -E2BIG, "metadata.annotations: %zu bytes: at most %d", bytes,
			       ANNOTATIONS_MAX);
	return 0;
}

static int take_revision(const char *text, int64_t *rev, struct err *e)
{
	uint64_t n = 0;

	if (text && *text && !parse_u64(text, INT64_MAX, &n))
		return err_set(e, -EINVAL,
			       "metadata.resourceVersion: must be the number that get printed, is "
			       "\"%.40s\"",
			       text);
	*rev = (int64_t)n;
	return 0;
}

static int check_meta(const char *kind, bool namespaced, const struct meta *m, struct err *e)
{
	int rc = name_check("metadata.name", m->name ? m->name : "", e);

	if (rc < 0)
		return rc;
	if (m->ns && *m->ns && !namespaced)
		return err_set(e, -EINVAL,
			       "metadata.namespace: kind %s has no namespaces: leave it out", kind);
	if (m->ns && *m->ns && (rc = label_check("metadata.namespace", m->ns, e)) < 0)
		return rc;
	return check_annotations(&m->annotations, e);
}

/* On success the caller frees m with fields_done. */
static int read_meta(const json_t *json, struct meta *m, struct err *e)
{
	if (!json_is_object(json))
		return err_set(e, -EINVAL, "metadata: must be an object, is %s",
			       js_type_name(json));
	if (fields_decode(&meta_fields, json, FIELDS_STRICT, m, e) < 0)
		return js_err_under(e, "metadata");
	return 0;
}

int object_check_meta(const json_t *json, const char *kind, bool namespaced, struct err *e)
{
	struct meta m;
	int rc = read_meta(json, &m, e);

	if (rc < 0)
		return rc;
	rc = check_meta(kind, namespaced, &m, e);
	fields_done(&meta_fields, &m);
	return rc;
}

static int check_only_name(const struct kind *kind, const char *name, struct err *e)
{
	if (!kind->only_name || !strcmp(name, kind->only_name))
		return 0;
	return err_set(e, -EINVAL, "metadata.name: the only %s is \"%s\", this is \"%s\"",
		       kind->name, kind->only_name, name);
}

/* What is said under metadata, into o; and without what is not stored. */
static int take_meta(struct object *o, struct err *e)
{
	json_t *json = json_object_get(o->json, "metadata");
	struct meta m;
	int rc = read_meta(json, &m, e);

	if (rc < 0)
		return rc;
	rc = check_meta(o->kind->name, o->kind->flags & KIND_NAMESPACED, &m, e);
	if (rc == 0)
		rc = check_only_name(o->kind, m.name, e);
	if (rc == 0)
		rc = take_revision(m.version, &o->rev, e);
	if (rc == 0) {
		o->name = TAKE(m.name);
		if (o->kind->flags & KIND_NAMESPACED)
			o->ns = m.ns && *m.ns ? TAKE(m.ns) : NULL;
		json_object_del(json, "resourceVersion");
		json_object_del(json, "selfLink");
		if (!o->ns)
			json_object_del(json, "namespace");
	}
	fields_done(&meta_fields, &m);
	return rc;
}

static int check_outer(const json_t *json, const struct kind **kind, struct err *e)
{
	struct outer outer;
	int rc;

	if (!json_is_object(json))
		return err_set(e, -EINVAL,
			       "kind: is missing: a resource is an object with apiVersion, kind, "
			       "metadata and spec, this is %s",
			       js_type_name(json));
	rc = fields_decode(&outer_fields, json, FIELDS_STRICT, &outer, e);
	if (rc < 0)
		return rc;
	rc = kind_get(outer.kind, kind, e);
	if (rc < 0)
		err_wrap(e, "kind");
	else if (strcmp(outer.kind, (*kind)->name))
		rc = err_set(e, -EINVAL, "kind: must be written %s, is \"%.60s\"", (*kind)->name,
			     outer.kind);
	else if (strcmp(outer.version, API_VERSION))
		rc = err_set(e, -EINVAL, "apiVersion: must be " API_VERSION ", is \"%.60s\"",
			     outer.version);
	else if (outer.status && !(*kind)->status)
		rc = err_set(e, -EINVAL, "status: unknown field; kind %s has none", (*kind)->name);
	fields_done(&outer_fields, &outer);
	return rc;
}

static int check_status(const struct object *o, struct err *e)
{
	json_t *v = json_object_get(o->json, "status");
	void *status;
	int rc;

	if (!v || json_is_null(v) || !o->kind->status)
		return 0;
	if (!json_is_object(v))
		return err_set(e, -EINVAL, "status: must be an object, is %s", js_type_name(v));
	status = xcalloc(1, o->kind->status->size);
	/* Others write it: what a newer one says there is no mistake of the person. */
	rc = fields_decode(o->kind->status, v, FIELDS_LENIENT, status, e);
	if (rc < 0)
		js_err_under(e, "status");
	else
		fields_done(o->kind->status, status);
	free(status);
	return rc;
}

int object_check(const struct object *o, struct err *e)
{
	void *spec = xcalloc(1, o->kind->spec->size);
	int rc = object_spec(o, FIELDS_STRICT, spec, e);

	if (rc == 0) {
		if (o->kind->check)
			rc = o->kind->check(o, spec, e);
		fields_done(o->kind->spec, spec);
	}
	free(spec);
	return rc < 0 ? rc : check_status(o, e);
}

int object_from_json(const json_t *json, struct object *out, struct err *e)
{
	struct object o = { 0 };
	int rc = check_outer(json, &o.kind, e);

	if (rc < 0)
		return rc;
	o.json = json_deep_copy(json);
	rc = take_meta(&o, e);
	if (rc == 0)
		rc = object_check(&o, e);
	if (rc < 0)
		object_done(&o);
	else
		*out = o;
	return rc;
}

/* Say in which element of the list the path is. */
static int from_item(const struct yml_doc *doc, const json_t *item, const char *list, size_t i,
		     struct object_vec *out, struct err *e)
{
	struct object o;
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "%s[%zu]", list, i);
	rc = object_from_json(item, &o, e);
	if (rc < 0) {
		js_err_under(e, "%s", path);
		return rc;
	}
	o.file = doc->file;
	o.line = yml_line(doc, path);
	vec_push(out, o);
	return 0;
}

static int from_list(const struct yml_doc *doc, const json_t *list, const char *name,
		     struct object_vec *out, struct err *e)
{
	json_t *item;
	size_t i;
	int rc;

	json_array_foreach (list, i, item)
		if ((rc = from_item(doc, item, name, i, out, e)) < 0)
			return rc;
	return 0;
}

/* "List" or "IPPoolList", and no such kind itself. */
static bool is_list(const json_t *doc)
{
	const char *kind = json_string_value(json_object_get(doc, "kind"));
	size_t n = kind ? strlen(kind) : 0;

	return n >= 4 && !strcmp(kind + n - 4, "List");
}

static int from_doc(const struct yml_doc *doc, struct object_vec *out, struct err *e)
{
	struct object o;
	json_t *items = NULL;
	int rc;

	if (json_is_array(doc->value))
		return from_list(doc, doc->value, "", out, e);
	if (is_list(doc->value)) {
		rc = js_need(js_list(doc->value, "items", &items, e), "items", e);
		return rc < 0 ? rc : from_list(doc, items, "items", out, e);
	}
	rc = object_from_json(doc->value, &o, e);
	if (rc < 0)
		return rc;
	o.file = doc->file;
	o.line = yml_line(doc, "");
	vec_push(out, o);
	return 0;
}

int objects_from_doc(const struct yml_doc *doc, struct object_vec *out, struct err *e)
{
	size_t before = out->n;
	int rc = from_doc(doc, out, e);

	if (rc == 0)
		return 0;
	while (out->n > before)
		object_done(&out->p[--out->n]);
	return yml_err_at(doc, e);
}

void object_fill(struct object *o)
{
	json_t *spec = js_object_in(o->json, "spec");

	if (o->kind->fill)
		o->kind->fill(spec);
	fields_fill(o->kind->spec, spec);
}

/* Version 4, variant 1 (RFC 9562 5.4). */
static void format_uid(const uint8_t r[static 16], char out[static 37])
{
	uint8_t b[16];
	size_t at = 0;

	memcpy(b, r, sizeof(b));
	b[6] = (uint8_t)(0x40 | (b[6] & 0x0f));
	b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		snprintf(out + at, 3, "%02x", b[i]);
		at += 2;
	}
}

void object_fill_new(struct object *o, const uint8_t random[static 16], const char *now)
{
	json_t *meta = js_object_in(o->json, "metadata");
	char uid[37];

	format_uid(random, uid);
	if (!object_meta(o, "uid"))
		js_set_str(meta, "uid", uid);
	if (!object_meta(o, "creationTimestamp"))
		js_set_str(meta, "creationTimestamp", now);
	object_fill(o);
}

void object_keep_identity(struct object *o, const struct object *stored)
{
	static const char *const kept[] = { "uid", "creationTimestamp" };
	json_t *meta = js_object_in(o->json, "metadata"), *status;

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		js_set_str(meta, kept[i], object_meta(stored, kept[i]));
	free(o->stored);
	o->stored = xstrdup(stored->stored);
	status = json_object_get(stored->json, "status");
	if (status && !json_object_get(o->json, "status"))
		js_set(o->json, "status", json_deep_copy(status));
}

void object_set_namespace(struct object *o, const char *ns)
{
	free(o->ns);
	o->ns = xstrdup(ns);
	js_set_str(js_object_in(o->json, "metadata"), "namespace", ns);
}

char *object_key(const struct object *o)
{
	return key_resource(o->kind, o->ns, o->stored ? o->stored : o->name);
}

char *object_encode(const struct object *o)
{
	json_t *copy;
	char *text;

	if (!(o->kind->flags & KIND_POLICY))
		return js_dump(o->json);
	copy = json_deep_copy(o->json);
	policy_to_stored(copy);
	text = js_dump(copy);
	json_decref(copy);
	return text;
}

json_t *object_spec_json(const struct object *o)
{
	json_t *spec = json_object_get(o->json, "spec");

	return json_is_null(spec) ? NULL : spec;
}

int object_spec(const struct object *o, enum fields_mode mode, void *out, struct err *e)
{
	json_t *spec = object_spec_json(o), *empty = spec ? NULL : json_object();
	int rc;

	if (spec && !json_is_object(spec))
		return err_set(e, -EINVAL, "spec: must be an object, is %s", js_type_name(spec));
	rc = fields_decode(o->kind->spec, spec ? spec : empty, mode, out, e);
	json_decref(empty);
	return rc < 0 ? js_err_under(e, "spec") : rc;
}

void object_set_spec(struct object *o, const void *spec)
{
	fields_encode(o->kind->spec, spec, js_object_in(o->json, "spec"));
}

static const char *meta_entry(const struct object *o, const char *map, const char *name)
{
	json_t *meta = json_object_get(o->json, "metadata");

	return json_string_value(json_object_get(json_object_get(meta, map), name));
}

const char *object_label(const struct object *o, const char *name)
{
	return meta_entry(o, "labels", name);
}

const char *object_annotation(const struct object *o, const char *name)
{
	return meta_entry(o, "annotations", name);
}

const char *object_meta(const struct object *o, const char *field)
{
	json_t *meta = json_object_get(o->json, "metadata");

	return json_string_value(json_object_get(meta, field));
}
