/* yaml_emit.c - JSON trees as block YAML
 *
 * WHY    Not libyaml's emitter: it cannot lay out lists as kubectl does (dashes under the key, not
 *        indented), and what needs quotes must be decided by our own reader of plain scalars.
 * INVARIANTS  yml_parse(yml_dump(v)) = v for every v (fuzzed). */
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "lib/yaml.h"

/* YAML readers look no further than 1024 characters for the colon behind a key (YAML 1.2, 7.4.2). */
enum { SIMPLE_KEY_MAX = 1000 };

static void emit(struct str *s, json_t *v, size_t indent, bool in_list);

/* Strings that some YAML reader takes for a number, a boolean or a date: 60-based integers, one
 * letter booleans, separators in numbers, timestamps. */
static bool looks_typed(const char *t)
{
	const char *after_digits = t + strspn(t, "-+0123456789_.:,");

	if (!*after_digits)
		return true;
	if (strlen(t) == 1 && strchr("yYnN", *t))
		return true;
	return t[0] >= '0' && t[0] <= '9' && strspn(t, "0123456789") == 4 && t[4] == '-';
}

static bool plain_is_safe(const char *t)
{
	json_t *meaning;
	bool is_text;

	if (!*t || strchr("-?:,[]{}#&*!|>'\"%@`=<~ ", *t) || looks_typed(t))
		return false;
	for (const char *p = t; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c >= 0x7f)
			return false;
		if (*p == ':' && (p[1] == ' ' || !p[1]))
			return false;
		if (*p == ' ' && (p[1] == '#' || !p[1]))
			return false;
	}
	meaning = yml_plain_scalar(t, NULL);
	is_text = json_is_string(meaning);
	json_decref(meaning);
	return is_text;
}

/* The code point of the UTF-8 sequence at p (which jansson has checked), and its length. */
static uint32_t code_point(const char *p, size_t *len)
{
	const unsigned char *u = (const unsigned char *)p;

	*len = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	switch (*len) {
	case 1:
		return u[0];
	case 2:
		return (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3f);
	case 3:
		return (uint32_t)(u[0] & 0x0f) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3f);
	default:
		return 0x10000; /* beyond the planes with anything to escape */
	}
}

static bool needs_escape(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

static void emit_quoted(struct str *s, const char *t)
{
	size_t len;

	str_addc(s, '"');
	for (; *t; t += len) {
		uint32_t c = code_point(t, &len);

		if (c == '\n')
			str_add(s, "\\n");
		else if (c == '\t')
			str_add(s, "\\t");
		else if (c == '"' || c == '\\')
			str_addf(s, "\\%c", (char)c);
		else if (needs_escape(c))
			str_addf(s, "\\u%04x", c);
		else
			str_addn(s, t, len);
	}
	str_addc(s, '"');
}

static void emit_text(struct str *s, const char *t)
{
	if (plain_is_safe(t))
		str_add(s, t);
	else
		emit_quoted(s, t);
}

static void emit_indent(struct str *s, size_t indent)
{
	for (size_t i = 0; i < indent; i++)
		str_addc(s, ' ');
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A value behind "key:" or "-": on the same line when it is a scalar or empty. */
static bool fits_line(const json_t *v)
{
	return (!json_is_object(v) || !json_object_size(v)) &&
	       (!json_is_array(v) || !json_array_size(v));
}

/* "key", or, when it is too long for that, "? key" and a line of its own for the colon. */
static void emit_key(struct str *s, const char *key, size_t indent)
{
	struct str text = { 0 };

	emit_text(&text, key);
	if (text.len <= SIMPLE_KEY_MAX) {
		str_add(s, str_text(&text));
	} else {
		str_addf(s, "? %s\n", str_text(&text));
		emit_indent(s, indent);
	}
	str_done(&text);
}

static void emit_object(struct str *s, json_t *v, size_t indent, bool in_list)
{
	const char **keys = xcalloc(json_object_size(v), sizeof(*keys)), *key;
	size_t n = 0;
	json_t *item;

	json_object_foreach (v, key, item)
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), by_name);
	for (size_t i = 0; i < n; i++) {
		item = json_object_get(v, keys[i]);
		if (i || !in_list) /* the first member stands behind its dash */
			emit_indent(s, indent);
		emit_key(s, keys[i], indent);
		str_add(s, fits_line(item) ? ": " : ":\n");
		/* Dashes of a list stand under its key. */
		emit(s, item, json_is_array(item) ? indent : indent + 2, false);
	}
	free(keys);
}

static void emit_list(struct str *s, json_t *v, size_t indent, bool in_list)
{
	json_t *item;
	size_t i;

	json_array_foreach (v, i, item) {
		if (i || !in_list)
			emit_indent(s, indent);
		str_add(s, "- ");
		emit(s, item, indent + 2, true);
	}
}

/* in_list: the cursor stands behind "- " already. */
static void emit(struct str *s, json_t *v, size_t indent, bool in_list)
{
	char *text;

	if (json_is_object(v) && json_object_size(v)) {
		emit_object(s, v, indent, in_list);
		return;
	}
	if (json_is_array(v) && json_array_size(v)) {
		emit_list(s, v, indent, in_list);
		return;
	}
	if (json_is_string(v)) {
		emit_text(s, json_string_value(v));
	} else {
		text = js_dump(v);
		str_add(s, text);
		free(text);
	}
	str_addc(s, '\n');
}

char *yml_dump(const json_t *value)
{
	struct str s = { 0 };

	/* jansson's iterators want a plain pointer, and change nothing. */
	emit(&s, (json_t *)(uintptr_t)value, 0, false);
	return str_take(&s);
}
