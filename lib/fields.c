/* fields.c - walk a field table: init, apply, complete, encode, done
 *
 * SHAPE  Values are reached by offset; lists by struct any_vec, whose layout every VEC() has. It is
 *        copied in and out with memcpy, because the compiler may assume that a VEC's typed pointer
 *        and our void pointer are different objects.
 * TESTS  tests/unit/lib/fields.c */
#include "lib/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/field_value.h"

enum { PATH_STEP_MAX = 128 };

struct any_vec {
	void *p;
	size_t n, cap;
};

_Static_assert(sizeof(struct any_vec) == sizeof(struct field_strings), "VEC() has another layout");

static void *at(const struct field *f, void *s)
{
	return (char *)s + f->at;
}

static const void *at_const(const struct field *f, const void *s)
{
	return (const char *)s + f->at;
}

static bool is_scalar(enum field_type type)
{
	return type <= FIELD_TYPE_DURATION || type == FIELD_TYPE_JSON;
}

static void set_has(const struct field *f, void *s, bool given)
{
	if (f->has)
		memcpy((char *)s + f->has - 1, &given, sizeof(given));
}

static bool get_has(const struct field *f, const void *s)
{
	bool given;

	memcpy(&given, (const char *)s + f->has - 1, sizeof(given));
	return given;
}

static struct any_vec vec_load(const void *from)
{
	struct any_vec v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static void drop_list(const struct field *f, void *value)
{
	struct any_vec v = vec_load(value);
	enum field_type base;
	size_t size;

	if (f->type == FIELD_TYPE_OBJECTS) {
		for (size_t i = 0; i < v.n; i++)
			fields_done(f->sub, (char *)v.p + i * f->sub->size);
	} else if (f->type == FIELD_TYPE_MAP) {
		struct field_pair *pair = v.p;

		for (size_t i = 0; i < v.n; i++) {
			free(pair[i].key);
			free(pair[i].value);
		}
	} else if (field_list_of(f->type, &base, &size)) {
		for (size_t i = 0; i < v.n; i++)
			field_value_drop(base, (char *)v.p + i * size);
	}
	free(v.p);
	memset(value, 0, sizeof(v));
}

static void drop(const struct field *f, void *s)
{
	if (is_scalar(f->type))
		field_value_drop(f->type, at(f, s));
	else if (f->type == FIELD_TYPE_OBJECT)
		fields_done(f->sub, at(f, s));
	else
		drop_list(f, at(f, s));
}

void fields_done(const struct fields *t, void *s)
{
	for (size_t i = 0; i < t->n; i++)
		drop(&t->row[i], s);
	memset(s, 0, t->size);
}

static int apply_one(const struct field *f, const json_t *v, enum fields_mode mode, void *s,
		     struct err *e);

/* A default that its own row refuses is a mistake of the table: seen by the first test. */
static void init_one(const struct field *f, void *s)
{
	struct err e = { 0 };
	json_t *v;

	if (f->type == FIELD_TYPE_OBJECT)
		fields_init(f->sub, at(f, s));
	if (!f->def)
		return;
	v = field_value_text(f, f->def);
	if (apply_one(f, v, FIELDS_STRICT, s, &e) < 0) {
		fprintf(stderr, "level=error msg=\"bad default in a field table\" why=\"%s\"\n",
			e.msg);
		abort();
	}
	json_decref(v);
	set_has(f, s, false);
}

void fields_init(const struct fields *t, void *out)
{
	memset(out, 0, t->size);
	for (size_t i = 0; i < t->n; i++)
		init_one(&t->row[i], out);
}

static int apply_scalar(const struct field *f, const json_t *v, void *s, struct err *e)
{
	struct field_place place = { f, -1, e };
	union {
		char *string;
		json_t *json;
		struct addr addr;
		struct prefix cidr;
		int64_t n;
		bool b;
		int i;
		unsigned u;
		uint32_t asn;
	} tmp;
	static const size_t size[FIELD_TYPE_MAX_] = {
		[FIELD_TYPE_STRING] = sizeof(char *),	 [FIELD_TYPE_BOOL] = sizeof(bool),
		[FIELD_TYPE_INT] = sizeof(int),		 [FIELD_TYPE_INT64] = sizeof(int64_t),
		[FIELD_TYPE_ENUM] = sizeof(int),	 [FIELD_TYPE_SET] = sizeof(unsigned),
		[FIELD_TYPE_ADDR] = sizeof(struct addr), [FIELD_TYPE_CIDR] = sizeof(struct prefix),
		[FIELD_TYPE_ASN] = sizeof(uint32_t),	 [FIELD_TYPE_DURATION] = sizeof(int64_t),
		[FIELD_TYPE_JSON] = sizeof(json_t *),
	};
	int rc = field_value_get(&place, f->type, v, &tmp);

	if (rc < 0)
		return rc;
	drop(f, s);
	memcpy(at(f, s), &tmp, size[f->type]);
	return 0;
}

static int apply_map(const struct field *f, const json_t *v, void *s, struct err *e)
{
	struct field_map map = { 0 };
	const char *key;
	json_t *item;

	/* jansson's iterators want a plain pointer, and change nothing. */
	json_object_foreach ((json_t *)(uintptr_t)v, key, item) {
		if (!json_is_string(item)) {
			drop_list(f, &map);
			return err_set(e, -EINVAL, "%s.%.80s: must be a string, is %s%s", f->name,
				       key, js_type_name(item),
				       json_is_object(item) || json_is_array(item)
					       ? ""
					       : ": put it in quotes");
		}
		vec_push(&map,
			 (struct field_pair) { xstrdup(key), xstrdup(json_string_value(item)) });
	}
	drop(f, s);
	memcpy(at(f, s), &map, sizeof(map));
	return 0;
}

/* One element of a list of objects: defaults, then what is there, then what must be there. */
static int apply_element(const struct field *f, const json_t *v, enum fields_mode mode, size_t i,
			 void *out, struct err *e)
{
	int rc;

	if (!json_is_object(v)) {
		struct field_place place = { f, (ssize_t)i, e };

		memset(out, 0, f->sub->size);
		return field_mismatch(&place, FIELD_TYPE_OBJECT, v);
	}
	rc = fields_decode(f->sub, v, mode, out, e);
	if (rc < 0)
		js_err_under(e, "%s[%zu]", f->name, i);
	return rc;
}

static int apply_list(const struct field *f, const json_t *v, enum fields_mode mode, void *s,
		      struct err *e)
{
	struct any_vec list = { 0 };
	enum field_type base = FIELD_TYPE_OBJECT;
	size_t size = f->sub ? f->sub->size : 0, i;
	struct field_place place = { f, 0, e };
	json_t *item;
	int rc = 0;

	field_list_of(f->type, &base, &size);
	list.cap = json_array_size(v);
	if (list.cap)
		list.p = xcalloc(list.cap, size);
	json_array_foreach (v, i, item) {
		void *to = (char *)list.p + i * size;

		place.index = (ssize_t)i;
		rc = f->sub ? apply_element(f, item, mode, i, to, e)
			    : field_value_get(&place, base, item, to);
		if (rc < 0)
			break;
		list.n++;
	}
	if (rc < 0) {
		drop_list(f, &list);
		return rc;
	}
	drop(f, s);
	memcpy(at(f, s), &list, sizeof(list));
	return 0;
}

static int apply_container(const struct field *f, const json_t *v, enum fields_mode mode, void *s,
			   struct err *e)
{
	bool list = f->type != FIELD_TYPE_OBJECT && f->type != FIELD_TYPE_MAP;
	int rc;

	if (list ? !json_is_array(v) : !json_is_object(v))
		return err_set(e, -EINVAL, "%s: must be %s, is %s", f->name,
			       list ? "a list" : "an object", js_type_name(v));
	if (list && !json_array_size(v) && f->flags & FIELD_NOT_EMPTY)
		return err_set(e, -EINVAL, "%s: must not be empty", f->name);
	if (list)
		return apply_list(f, v, mode, s, e);
	if (f->type == FIELD_TYPE_MAP)
		return apply_map(f, v, s, e);
	rc = fields_apply(f->sub, v, mode, at(f, s), e);
	return rc < 0 ? js_err_under(e, "%s", f->name) : rc;
}

static int apply_one(const struct field *f, const json_t *v, enum fields_mode mode, void *s,
		     struct err *e)
{
	int rc = is_scalar(f->type) ? apply_scalar(f, v, s, e) : apply_container(f, v, mode, s, e);

	if (rc == 0)
		set_has(f, s, true);
	return rc;
}

static const struct field *row_named(const struct fields *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->row[i].name, name))
			return &t->row[i];
	return NULL;
}

/* The rows' names, then the kept ones. */
static const char *known_name(const void *arg, size_t i)
{
	const struct fields *t = arg;

	return i < t->n ? t->row[i].name : t->kept[i - t->n];
}

static size_t n_known(const struct fields *t)
{
	size_t n = 0;

	while (t->kept && t->kept[n])
		n++;
	return t->n + n;
}

/* Is a name without a row fine where a person typed it? */
static bool may_keep(const struct fields *t, const char *name)
{
	for (size_t i = t->n; i < n_known(t); i++)
		if (!strcmp(known_name(t, i), name))
			return true;
	return t->open && !word_nearest(name, known_name, t, n_known(t));
}

static int unknown_field(const struct fields *t, const char *name, struct err *e)
{
	const char *near = word_nearest(name, known_name, t, n_known(t));
	struct str s = { 0 };
	int rc;

	if (near) {
		str_addf(&s, "did you mean \"%s\"?", near);
	} else {
		str_add(&s, "there are ");
		for (size_t i = 0; i < t->n; i++)
			str_addf(&s, "%s%s", i ? ", " : "", t->row[i].name);
	}
	rc = err_set(e, -EINVAL, "%.80s: unknown field; %s", name, str_text(&s));
	str_done(&s);
	return rc;
}

int fields_apply(const struct fields *t, const json_t *obj, enum fields_mode mode, void *out,
		 struct err *e)
{
	const char *key;
	json_t *v;
	int rc;

	if (!json_is_object(obj))
		return err_set(e, -EINVAL, "%s: must be an object, is %s", t->what,
			       js_type_name(obj));
	/* jansson's iterators want a plain pointer, and change nothing. */
	json_object_foreach ((json_t *)(uintptr_t)obj, key, v) {
		const struct field *f = row_named(t, key);

		if (!f && mode == FIELDS_STRICT && !may_keep(t, key))
			return unknown_field(t, key, e);
		if (!f || json_is_null(v))
			continue;
		if ((rc = apply_one(f, v, mode, out, e)) < 0)
			return rc;
	}
	return 0;
}

static bool unset(const struct field *f, const void *s)
{
	if (f->has)
		return !get_has(f, s);
	if (is_scalar(f->type))
		return field_value_unset(f->type, at_const(f, s));
	return f->type != FIELD_TYPE_OBJECT && vec_load(at_const(f, s)).n == 0;
}

int fields_complete(const struct fields *t, const void *s, struct err *e)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];

		if (f->flags & FIELD_REQUIRED && unset(f, s))
			return err_set(e, -EINVAL, "%s: is missing", f->name);
		/* An object that was not given misses nothing. */
		if (f->type != FIELD_TYPE_OBJECT || (f->has && !get_has(f, s)))
			continue;
		if (fields_complete(f->sub, at_const(f, s), e) < 0)
			return js_err_under(e, "%s", f->name);
	}
	return 0;
}

int fields_decode(const struct fields *t, const json_t *obj, enum fields_mode mode, void *out,
		  struct err *e)
{
	int rc;

	fields_init(t, out);
	rc = fields_apply(t, obj, mode, out, e);
	if (rc == 0)
		rc = fields_complete(t, out, e);
	if (rc < 0)
		fields_done(t, out);
	return rc;
}

/* The table and the last name of a dotted path, or NULL. *s follows to the nested struct. */
static const struct field *resolve(const struct fields *t, const char *path, void **s)
{
	char step[PATH_STEP_MAX];
	const struct field *f;
	size_t n = strcspn(path, ".");

	if (n >= sizeof(step))
		return NULL;
	memcpy(step, path, n);
	step[n] = '\0';
	f = row_named(t, step);
	if (!f || !path[n])
		return f;
	if (f->type != FIELD_TYPE_OBJECT)
		return NULL;
	if (*s)
		*s = at(f, *s);
	return resolve(f->sub, path + n + 1, s);
}

const struct field *fields_find(const struct fields *t, const char *path)
{
	void *nowhere = NULL;

	return resolve(t, path, &nowhere);
}

/* Objects on the way were given, too. */
static void mark_given(const struct fields *t, const char *path, void *s)
{
	const char *dot = strchr(path, '.');
	char step[PATH_STEP_MAX];
	const struct field *f;

	if (!dot)
		return;
	memcpy(step, path, (size_t)(dot - path));
	step[dot - path] = '\0';
	f = row_named(t, step);
	set_has(f, s, true);
	mark_given(f->sub, dot + 1, at(f, s));
}

int fields_set(const struct fields *t, const char *path, const char *text, void *out, struct err *e)
{
	void *s = out;
	const struct field *f = resolve(t, path, &s);
	const char *dot = strrchr(path, '.');
	json_t *v;
	int rc;

	if (!f) {
		unknown_field(t, path, e);
		return e ? (e->code = -ENOENT) : -ENOENT;
	}
	v = field_value_text(f, text);
	rc = apply_one(f, v, FIELDS_STRICT, s, e);
	json_decref(v);
	if (rc == 0)
		mark_given(t, path, out);
	else if (dot)
		js_err_under(e, "%.*s", (int)(dot - path), path);
	return rc;
}

static json_t *encode_list(const struct field *f, const void *value)
{
	struct any_vec v = vec_load(value);
	json_t *out = f->type == FIELD_TYPE_MAP ? json_object() : json_array();
	const struct field_pair *pair = v.p;
	enum field_type base;
	size_t size;

	for (size_t i = 0; i < v.n; i++) {
		if (f->type == FIELD_TYPE_MAP) {
			js_set_str(out, pair[i].key, pair[i].value);
		} else if (f->type == FIELD_TYPE_OBJECTS) {
			json_t *item = json_object();

			fields_encode(f->sub, (char *)v.p + i * f->sub->size, item);
			json_array_append_new(out, item);
		} else if (field_list_of(f->type, &base, &size)) {
			json_array_append_new(out,
					      field_value_put(f, base, (char *)v.p + i * size));
		}
	}
	return out;
}

static void encode_object(const struct field *f, const void *s, json_t *obj)
{
	json_t *sub = json_object_get(obj, f->name);

	if (json_is_object(sub)) {
		json_incref(sub);
	} else {
		sub = json_object();
	}
	if (!f->has || get_has(f, s))
		fields_encode(f->sub, at_const(f, s), sub);
	else
		json_object_clear(sub);
	if (json_object_size(sub) || (f->has && get_has(f, s)))
		js_set(obj, f->name, sub);
	else {
		json_object_del(obj, f->name);
		json_decref(sub);
	}
}

void fields_encode(const struct fields *t, const void *s, json_t *obj)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];

		if (f->type == FIELD_TYPE_OBJECT)
			encode_object(f, s, obj);
		else if (unset(f, s) && (!f->def || f->has))
			json_object_del(obj, f->name);
		else if (is_scalar(f->type))
			js_set(obj, f->name, field_value_put(f, f->type, at_const(f, s)));
		else
			js_set(obj, f->name, encode_list(f, at_const(f, s)));
	}
}

/* The canonical form of one scalar; NULL when it is fine as it is. */
static json_t *canonical(const struct field *f, enum field_type type, const json_t *v)
{
	struct field_place place = { f, -1, NULL };
	union {
		struct addr addr;
		struct prefix cidr;
		uint32_t asn;
	} tmp;

	if (type != FIELD_TYPE_ADDR && type != FIELD_TYPE_CIDR && type != FIELD_TYPE_ASN)
		return NULL;
	if (field_value_get(&place, type, v, &tmp) < 0)
		return NULL;
	return field_value_put(f, type, &tmp);
}

static void fill_list(const struct field *f, json_t *list)
{
	enum field_type base;
	json_t *item, *better;
	size_t i, size;

	json_array_foreach (list, i, item) {
		if (f->sub)
			fields_fill(f->sub, item);
		else if (field_list_of(f->type, &base, &size) &&
			 (better = canonical(f, base, item)))
			json_array_set_new(list, i, better);
	}
}

void fields_fill(const struct fields *t, json_t *obj)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];
		json_t *v = json_object_get(obj, f->name), *better;

		if (!v || json_is_null(v)) {
			if (f->def && f->flags & FIELD_FILL)
				js_set(obj, f->name, field_value_text(f, f->def));
		} else if (f->type == FIELD_TYPE_OBJECT) {
			fields_fill(f->sub, v);
		} else if (json_is_array(v)) {
			fill_list(f, v);
		} else if ((better = canonical(f, f->type, v))) {
			js_set(obj, f->name, better);
		}
	}
}

void field_expects(const struct field *f, struct str *out)
{
	if (f->type == FIELD_TYPE_STRINGS || f->type == FIELD_TYPE_ADDRS ||
	    f->type == FIELD_TYPE_CIDRS || f->type == FIELD_TYPE_OBJECTS)
		str_add(out, "a list, each ");
	field_expects_one(f, f->type, out);
}

static void manual_under(const struct fields *t, const char *path, struct str *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];
		char *name = xasprintf("%s%s", path, f->name);

		str_addf(out, "%s\t%s\t%s", name, f->def ? f->def : "-", f->doc ? f->doc : "");
		if (f->unit)
			str_addf(out, " In %s.", f->unit);
		if (f->type != FIELD_TYPE_STRING && f->type != FIELD_TYPE_OBJECT) {
			str_add(out, " Must be ");
			field_expects(f, out);
			str_addc(out, '.');
		}
		str_addc(out, '\n');
		if (f->sub) {
			char *below =
				xasprintf("%s%s.", name, f->type == FIELD_TYPE_OBJECTS ? "[]" : "");

			manual_under(f->sub, below, out);
			free(below);
		}
		free(name);
	}
}

void fields_manual(const struct fields *t, struct str *out)
{
	manual_under(t, "", out);
}
