/* manifest.c - YAML to objects, all the way to the store and back
 *
 * Properties: YAML that was read is printed and read as the same value; an object that was accepted
 * is stored, read and stored as the same text, and is accepted again when it is shown. */
#include <stdlib.h>
#include <string.h>

#include "model/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_yaml(const json_t *v)
{
	char *text = yml_dump(v);
	struct yml_docs docs = { 0 };
	struct err e;

	if (yml_parse("back", text, strlen(text), &docs, &e) < 0)
		abort();
	if (docs.n != 1 || !json_equal(docs.p[0].value, v))
		abort();
	yml_docs_done(&docs);
	free(text);
}

static void check_stored(struct object *o)
{
	static const uint8_t random[16] = { 1 };
	struct object back;
	char *key, *text, *again;
	struct err e;

	if (!o->ns && o->kind->flags & KIND_NAMESPACED)
		object_set_namespace(o, "default");
	object_fill_new(o, random, "2026-08-01T10:00:00Z");
	key = object_key(o);
	text = object_encode(o);
	if (object_decode(key, text, 1, &back, &e) < 0)
		abort();
	again = object_encode(&back);
	if (strcmp(text, again))
		abort();
	free(key);
	free(text);
	free(again);
	object_done(&back);
}

static void check_shown(const struct object *o)
{
	static const struct column_ctx ctx = { .as_number = 64512 };
	json_t *show = object_show(o);
	struct object back;
	struct err e;

	if (object_from_json(show, &back, &e) < 0)
		abort();
	object_done(&back);
	json_decref(show);
	for (const struct column *c = o->kind->wide; c->head; c++)
		free(object_column(o, c, &ctx));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct yml_docs docs = { 0 };
	struct object_vec objects = { 0 };
	struct err e;

	if (yml_parse("fuzz", data, len, &docs, &e) < 0)
		return 0;
	vec_foreach (&docs, doc) {
		check_yaml(doc->value);
		objects_from_doc(doc, &objects, &e);
	}
	vec_foreach (&objects, o) {
		check_stored(o);
		check_shown(o);
	}
	objects_done(&objects);
	yml_docs_done(&docs);
	return 0;
}
