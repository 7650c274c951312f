/* object.h - one resource: what it is called, its revision, and its whole JSON.
 *
 * The JSON is the object: typed structs (struct ippool, ...) are views decoded from it, and what a
 * newer writer put there stays there when it is written back.
 *
 *	from a store:	 object_decode(kv.key, kv.value, kv.rev, &o, e)
 *	from a manifest: objects_from_doc(doc, &vec, e)	    strict, validated, errors with lines
 *	to a store:	 object_key(&o), object_encode(&o)   for create: object_fill_new first
 *	to a person:	 object_show(&o) -> json -> yml_dump or js_dump_pretty
 *	as a struct:	 object_spec(&o, FIELDS_LENIENT, &spec, e), or ippool_decode and friends */
#pragma once

#include "lib/yaml.h"
#include "model/kind.h"

struct object {
	const struct kind *kind;
	char *ns;	  /* owned; NULL for kinds without namespace */
	char *name;	  /* owned */
	char *stored;	  /* owned; name that its key has, where it is not this one; NULL: the same */
	int64_t rev;	  /* at which it was read; from a manifest: its resourceVersion; 0: none */
	json_t *json;	  /* own reference; metadata has neither resourceVersion nor selfLink */
	const char *file; /* of a manifest: as given to yml_parse, borrowed; else NULL */
	unsigned line;	  /* where the object begins in it */
};

struct object_vec {
	struct object *p;
	size_t n, cap;
};

/* A stored value. Lenient: only what makes it an object of its key's kind is looked at. -ENOENT for
 * a key that is no resource of a known kind. */
int object_decode(const char *key, const char *value, int64_t rev, struct object *out,
		  struct err *e);
/* Append the objects of a manifest's document: one, or those of a list (kind List or IPPoolList, or
 * a YAML list). Each is strict: kind, fields, values, names are checked. Errors carry file and
 * line. On failure nothing is appended. */
int objects_from_doc(const struct yml_doc *doc, struct object_vec *out, struct err *e);
/* One object from JSON, strict, checked; errors begin with the path. json is not consumed. */
int object_from_json(const json_t *json, struct object *out, struct err *e);
/* A new object made by the program: metadata with the name and an empty spec. */
struct object object_new(const struct kind *kind, const char *ns, const char *name);
void object_done(struct object *o);
void objects_done(struct object_vec *v);
struct object object_copy(const struct object *o);

/* All checks of the kind, as for a manifest. An empty namespace passes: the caller has a default.
 * */
int object_check(const struct object *o, struct err *e);
/* The metadata alone, for manifests of kinds that are none of Calico's. */
int object_check_meta(const json_t *json, const char *kind, bool namespaced, struct err *e);
/* Write the defaults that other readers of the store want to see. */
void object_fill(struct object *o);
/* uid (version 4, from 16 random bytes) and creationTimestamp ("2026-08-01T10:00:00Z"), where they
 * are missing; and object_fill. */
void object_fill_new(struct object *o, const uint8_t random[static 16], const char *now);
/* For an update of `stored` by what a person wrote: uid, creationTimestamp and, unless o has one of
 * its own, status are those of the stored object; so is the name in its key. */
void object_keep_identity(struct object *o, const struct object *stored);
void object_set_namespace(struct object *o, const char *ns);

char *object_key(const struct object *o);
/* JSON text for the store; caller frees. */
char *object_encode(const struct object *o);
/* A new reference: the object with its resourceVersion, in the order in which Calico prints. */
json_t *object_show(const struct object *o);
/* The list object around several, "IPPoolList"; kind NULL: "List". */
json_t *objects_show(const struct kind *kind, const struct object_vec *v);
/* A column's text, heap. Never NULL. */
char *object_column(const struct object *o, const struct column *c, const struct column_ctx *ctx);

json_t *object_spec_json(const struct object *o); /* borrowed; NULL when there is none */
/* The spec decoded by the kind's table into a struct of its size; an absent spec is an empty one.
 * */
int object_spec(const struct object *o, enum fields_mode mode, void *out, struct err *e);
/* Replace the known fields of the spec by those of the struct; unknown ones stay. */
void object_set_spec(struct object *o, const void *spec);
/* A label's or annotation's value, borrowed; NULL. */
const char *object_label(const struct object *o, const char *name);
const char *object_annotation(const struct object *o, const char *name);
/* metadata.FIELD when it is a string; NULL. */
const char *object_meta(const struct object *o, const char *field);
