/* object_show.c - objects for a person: as JSON with their revision, and as columns of a table */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/object.h"

json_t *object_show(const struct object *o)
{
	static const char *const first[] = { "apiVersion", "kind", "metadata", "spec", "status" };
	json_t *out = json_object(), *meta, *v;
	char rev[24];

	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		if ((v = json_object_get(o->json, first[i])))
			js_set(out, first[i], json_deep_copy(v));
	meta = json_object_get(out, "metadata");
	if (o->rev && json_is_object(meta)) {
		snprintf(rev, sizeof(rev), "%lld", (long long)o->rev);
		js_set_str(meta, "resourceVersion", rev);
	}
	return out;
}

json_t *objects_show(const struct kind *kind, const struct object_vec *v)
{
	json_t *out = json_object(), *items = json_array();
	char *name = xasprintf("%sList", kind ? kind->name : "");

	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(items, object_show(&v->p[i]));
	js_set_str(out, "apiVersion", API_VERSION);
	js_set(out, "items", items);
	js_set_str(out, "kind", name);
	js_set(out, "metadata", json_object());
	free(name);
	return out;
}

/* The value at a path, or what the column or the field's row says an absent one means. */
static json_t *value_at(const struct object *o, const char *path, const char *absent)
{
	json_t *v = js_at(o->json, path);
	const struct field *f;

	if (v)
		return json_incref(v);
	if (absent)
		return js_text(absent);
	f = str_starts(path, "spec.") ? fields_find(o->kind->spec, path + strlen("spec.")) : NULL;
	if (f && f->def)
		return js_text(f->def);
	return f && f->type == FIELD_TYPE_BOOL ? json_false() : NULL;
}

static void add_value(struct str *s, json_t *v)
{
	const char *key;
	json_t *item;
	char *text;
	size_t i, n = 0;

	if (json_is_string(v)) {
		str_add(s, json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach (v, i, item) {
			str_add(s, i ? "," : "");
			add_value(s, item);
		}
	} else if (json_is_object(v)) {
		json_object_foreach (v, key, item) {
			str_addf(s, "%s%s=", n++ ? "," : "", key);
			add_value(s, item);
		}
	} else if (v) {
		text = js_dump(v);
		str_add(s, text);
		free(text);
	}
}

/* Nothing that the store holds may move a terminal's cursor. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

char *object_column(const struct object *o, const struct column *c, const struct column_ctx *ctx)
{
	struct str s = { 0 };
	json_t *v;
	char *text;

	if (c->text) {
		text = c->text(o, ctx);
	} else {
		v = value_at(o, c->path, c->absent);
		add_value(&s, v);
		json_decref(v);
		text = str_take(&s);
	}
	if (c->max && strlen(text) > c->max)
		memcpy(text + c->max - 3, "...", 4);
	make_printable(text);
	return text;
}
