/* json.c - JSON text to jansson trees and back
 *
 * WHY    jansson is strict and exact when told to be, but bounds neither memory nor (usefully)
 *        depth: `[[],[],...` becomes fifty times its size. A scan over the bytes counts brackets
 *        and commas first, so what jansson sees is known to be small enough.
 * COST   one extra pass over the text, no allocation.
 * TESTS  tests/unit/lib/json.c, tests/fuzz/json.c */
#include "lib/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_STEP_MAX = 128 };

/* jansson reports a lack of memory as an error that nobody would check: let it abort instead. */
__attribute__((constructor)) static void use_our_allocator(void)
{
	json_set_alloc_funcs(xmalloc, free);
}

/* A walk over the raw bytes; strings are skipped, what is malformed is left for jansson to name. */
struct scan {
	const char *p, *end, *line_start;
	size_t line, depth, containers, commas;
};

static void scan_string(struct scan *s)
{
	for (s->p++; s->p < s->end && *s->p != '"'; s->p++)
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
}

static int scan_fail(const struct scan *s, struct err *e, const char *what, int limit)
{
	return err_set(e, -E2BIG, "line %zu, column %zu: %s %d", s->line,
		       (size_t)(s->p - s->line_start) + 1, what, limit);
}

static int scan_check(const struct scan *s, struct err *e)
{
	if (s->depth > JS_DEPTH_MAX)
		return scan_fail(s, e, "nested deeper than", JS_DEPTH_MAX);
	if (s->containers > JS_CONTAINERS_MAX)
		return scan_fail(s, e, "more objects and lists than", JS_CONTAINERS_MAX);
	if (s->commas > JS_VALUES_MAX)
		return scan_fail(s, e, "more values than", JS_VALUES_MAX);
	return 0;
}

static int check_limits(const char *bytes, size_t len, struct err *e)
{
	struct scan s = { bytes, bytes + len, bytes, 1, 0, 0, 0 };

	for (; s.p < s.end; s.p++) {
		switch (*s.p) {
		case '"':
			scan_string(&s);
			break;
		case '\n':
			s.line++;
			s.line_start = s.p + 1;
			break;
		case '{':
		case '[':
			s.depth++;
			s.containers++;
			break;
		case '}':
		case ']':
			s.depth -= s.depth > 0;
			break;
		case ',':
			s.commas++;
			break;
		}
		if (scan_check(&s, e) < 0)
			return -E2BIG;
	}
	return 0;
}

int js_parse(const void *bytes, size_t len, json_t **out, struct err *e)
{
	json_error_t why;
	json_t *root;

	if (len > JS_SIZE_MAX)
		return err_set(e, -E2BIG, "%zu bytes of JSON: more than the limit of %d", len,
			       JS_SIZE_MAX);
	if (check_limits(bytes, len, e) < 0)
		return -E2BIG;
	root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &why);
	if (!root)
		return err_set(e, -EINVAL, "line %d, column %d: %s", why.line > 0 ? why.line : 1,
			       why.column, why.text);
	*out = root;
	return 0;
}

static bool has_real(json_t *v)
{
	const char *key;
	json_t *item;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_REAL:
		return true;
	case JSON_OBJECT:
		json_object_foreach (v, key, item)
			if (has_real(item))
				return true;
		return false;
	case JSON_ARRAY:
		json_array_foreach (v, i, item)
			if (has_real(item))
				return true;
		return false;
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		break;
	}
	return false;
}

/* jansson has one precision for a whole tree: take the least that loses nothing. 17 always does. */
static char *dump(const json_t *value, size_t flags)
{
	/* jansson's iterators want a plain pointer, and change nothing. */
	bool real = has_real((json_t *)(uintptr_t)value);

	flags |= JSON_ENCODE_ANY;
	for (size_t digits = 15; real && digits < 17; digits++) {
		char *text = json_dumps(value, flags | JSON_REAL_PRECISION(digits));
		json_t *back = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
		bool same = back && json_equal(back, value);

		json_decref(back);
		if (same)
			return text;
		free(text);
	}
	return json_dumps(value, flags);
}

char *js_dump(const json_t *value)
{
	return dump(value, JSON_COMPACT);
}

char *js_dump_pretty(const json_t *value)
{
	return dump(value, JSON_INDENT(2));
}

const char *js_type_name(const json_t *value)
{
	if (!value)
		return "absent";
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "unknown";
}

/* Walk the path. 1 with *out, 0 when a step is absent or null, -EINVAL when a step is no object. */
static int walk(const json_t *v, const char *path, json_t **out, struct err *e)
{
	const char *at = path;
	json_t *found = NULL;

	for (;;) {
		size_t n = strcspn(at, ".");
		char step[PATH_STEP_MAX];

		if (!json_is_object(v) || n >= sizeof(step))
			return err_set(e, -EINVAL, "%.*s: must be an object, is %s",
				       at > path ? (int)(at - path - 1) : 1, at > path ? path : ".",
				       js_type_name(v));
		memcpy(step, at, n);
		step[n] = '\0';
		v = found = json_object_get(v, step);
		if (!found || json_is_null(found))
			return 0;
		if (!at[n])
			break;
		at += n + 1;
	}
	*out = found;
	return 1;
}

static int wrong_type(const char *path, const char *want, const json_t *is, struct err *e)
{
	return err_set(e, -EINVAL, "%s: must be %s, is %s", path, want, js_type_name(is));
}

int js_str(const json_t *root, const char *path, const char **out, struct err *e)
{
	json_t *v;
	int rc = walk(root, path, &v, e);

	if (rc <= 0)
		return rc;
	if (!json_is_string(v))
		return wrong_type(path, "a string", v, e);
	*out = json_string_value(v);
	return 1;
}

int js_bool(const json_t *root, const char *path, bool *out, struct err *e)
{
	json_t *v;
	int rc = walk(root, path, &v, e);

	if (rc <= 0)
		return rc;
	if (!json_is_boolean(v))
		return wrong_type(path, "true or false", v, e);
	*out = json_is_true(v);
	return 1;
}

int js_int(const json_t *root, const char *path, int64_t min, int64_t max, int64_t *out,
	   struct err *e)
{
	json_t *v;
	int rc = walk(root, path, &v, e);
	int64_t n;

	if (rc <= 0)
		return rc;
	if (json_is_real(v))
		return wrong_type(path, "a whole number", v, e);
	if (!json_is_integer(v))
		return wrong_type(path, "a number", v, e);
	n = json_integer_value(v);
	if (n < min || n > max)
		return err_set(e, -ERANGE, "%s: must be %lld to %lld, is %lld", path,
			       (long long)min, (long long)max, (long long)n);
	*out = n;
	return 1;
}

int js_obj(const json_t *root, const char *path, json_t **out, struct err *e)
{
	json_t *v;
	int rc = walk(root, path, &v, e);

	if (rc <= 0)
		return rc;
	if (!json_is_object(v))
		return wrong_type(path, "an object", v, e);
	*out = v;
	return 1;
}

int js_list(const json_t *root, const char *path, json_t **out, struct err *e)
{
	json_t *v;
	int rc = walk(root, path, &v, e);

	if (rc <= 0)
		return rc;
	if (!json_is_array(v))
		return wrong_type(path, "a list", v, e);
	*out = v;
	return 1;
}

json_t *js_at(const json_t *root, const char *path)
{
	json_t *v;

	return walk(root, path, &v, NULL) == 1 ? v : NULL;
}

int js_need(int rc, const char *path, struct err *e)
{
	return rc == 0 ? err_set(e, -EINVAL, "%s: is missing", path) : rc;
}

int js_err_under(struct err *e, const char *fmt, ...)
{
	char path[ERR_MSG_MAX], old[ERR_MSG_MAX];
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	memcpy(old, e->msg, sizeof(old));
	err_set(e, e->code, "%s%s%s", path, old[0] == '[' ? "" : ".", old);
	return e->code;
}

void js_set(json_t *obj, const char *key, json_t *value)
{
	json_object_set_new(obj, key, value);
}

json_t *js_text(const char *text)
{
	json_t *v = json_string(text);
	char *clean;

	if (v)
		return v;
	clean = xstrdup(text);
	for (char *p = clean; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	v = json_string(clean);
	free(clean);
	return v;
}

void js_set_str(json_t *obj, const char *key, const char *text)
{
	if (text)
		js_set(obj, key, js_text(text));
}

void js_set_int(json_t *obj, const char *key, int64_t n)
{
	js_set(obj, key, json_integer(n));
}

void js_set_bool(json_t *obj, const char *key, bool b)
{
	js_set(obj, key, json_boolean(b));
}

bool js_change_str(json_t *obj, const char *key, const char *text)
{
	if (str_eq(json_string_value(json_object_get(obj, key)), text))
		return false;
	if (text)
		js_set_str(obj, key, text);
	else
		json_object_del(obj, key);
	return true;
}

json_t *js_object_in(json_t *parent, const char *key)
{
	json_t *o = json_object_get(parent, key);

	if (json_is_object(o))
		return o;
	js_set(parent, key, json_object());
	return json_object_get(parent, key);
}

void js_freep(json_t **value)
{
	json_decref(*value);
	*value = NULL;
}
