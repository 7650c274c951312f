/* yaml.c - libyaml's events to JSON trees with a mark for every value
 *
 * SHAPE  One recursive descent over events, as deep as JS_DEPTH_MAX. Beside each JSON value grows a
 *        struct yml_mark: jansson shares true, false and null, so a value cannot be its own key.
 * WHY    An alias is a deep copy: trees stay trees, and the count of values that bounds a document
 *        bounds its aliases ("billion laughs") as well.
 * TESTS  tests/unit/lib/yaml.c, tests/fuzz/manifest.c */
#include "lib/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
	ANCHORS_MAX = 1000,
	DIRECTIVES_MAX = 100, /* %TAG lines: libyaml compares each with all before it */
};

struct anchor {
	char *name;
	json_t *value; /* own reference */
};

struct builder {
	yaml_parser_t parser;
	const char *file;
	struct err *e;
	size_t n_values; /* in this document, aliases expanded */
	VEC(struct anchor) anchors;
};

static void mark_done(struct yml_mark *m)
{
	vec_foreach (&m->child, c)
		mark_done(c);
	vec_done(&m->child);
	free(m->key);
}

static void doc_done(struct yml_doc *doc)
{
	json_decref(doc->value);
	mark_done(&doc->mark);
}

void yml_docs_done(struct yml_docs *docs)
{
	vec_foreach (docs, doc)
		doc_done(doc);
	vec_done(docs);
}

/* All failures go through here: the message, then "FILE:LINE: " in front of it. */
static int fail_at(struct builder *b, size_t line, int code)
{
	if (!b->e)
		return code;
	b->e->code = code;
	return err_wrap(b->e, "%s:%zu", b->file, line + 1);
}

static int fail(struct builder *b, const yaml_event_t *ev, int code, const char *text)
{
	err_set(b->e, code, "%s", text);
	return fail_at(b, ev->start_mark.line, code);
}

static int parser_failed(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	size_t line = p->problem_mark.line;
	const char *why = p->problem ? p->problem : "is not YAML";

	if (p->error == YAML_READER_ERROR) /* has an offset, no line */
		err_set(b->e, -EINVAL, "byte %zu: %s", p->problem_offset, why);
	else if (p->context)
		err_set(b->e, -EINVAL, "column %zu: %s %s", p->problem_mark.column + 1, why,
			p->context);
	else
		err_set(b->e, -EINVAL, "column %zu: %s", p->problem_mark.column + 1, why);
	return fail_at(b, line, -EINVAL);
}

static int next(struct builder *b, yaml_event_t *ev)
{
	return yaml_parser_parse(&b->parser, ev) ? 0 : parser_failed(b);
}

static int count(struct builder *b, const yaml_event_t *ev, size_t n)
{
	b->n_values += n;
	if (b->n_values <= JS_VALUES_MAX)
		return 0;
	return fail(
		b, ev, -E2BIG,
		"the document has too many values (aliases count in full): the limit is 262144");
}

static struct anchor *anchor_find(struct builder *b, const char *name)
{
	vec_foreach (&b->anchors, a)
		if (!strcmp(a->name, name))
			return a;
	return NULL;
}

static int anchor_add(struct builder *b, const yaml_event_t *ev, const yaml_char_t *name, json_t *v)
{
	const char *text = (const char *)name;
	struct anchor *a;

	if (!text)
		return 0;
	a = anchor_find(b, text);
	if (a) { /* the latest definition counts */
		json_decref(a->value);
		a->value = json_incref(v);
		return 0;
	}
	if (b->anchors.n >= ANCHORS_MAX)
		return fail(b, ev, -E2BIG, "more than 1000 anchors");
	vec_push(&b->anchors, (struct anchor) { xstrdup(text), json_incref(v) });
	return 0;
}

static void anchors_clear(struct builder *b)
{
	vec_foreach (&b->anchors, a) {
		free(a->name);
		json_decref(a->value);
	}
	vec_clear(&b->anchors);
}

/* Number of values in a tree; stops counting at the limit. */
static size_t tree_size(json_t *v, size_t limit)
{
	size_t n = 1, i;
	const char *key;
	json_t *item;

	if (json_is_object(v)) {
		json_object_foreach (v, key, item)
			if (n < limit)
				n += tree_size(item, limit - n);
	} else {
		json_array_foreach (v, i, item)
			if (n < limit)
				n += tree_size(item, limit - n);
	}
	return n;
}

static bool tree_deeper(json_t *v, size_t depth)
{
	const char *key;
	json_t *item;
	size_t i;

	if (!json_is_object(v) && !json_is_array(v))
		return false;
	if (!depth)
		return true;
	json_object_foreach (v, key, item)
		if (tree_deeper(item, depth - 1))
			return true;
	json_array_foreach (v, i, item)
		if (tree_deeper(item, depth - 1))
			return true;
	return false;
}

static int build_alias(struct builder *b, const yaml_event_t *ev, size_t depth, json_t **out)
{
	const struct anchor *a = anchor_find(b, (const char *)ev->data.alias.anchor);

	if (!a) {
		err_set(b->e, -EINVAL, "*%.60s: no anchor of this name before it",
			(const char *)ev->data.alias.anchor);
		return fail_at(b, ev->start_mark.line, -EINVAL);
	}
	if (count(b, ev, tree_size(a->value, JS_VALUES_MAX + 1)) < 0)
		return -E2BIG;
	if (tree_deeper(a->value, JS_DEPTH_MAX - depth))
		return fail(b, ev, -E2BIG, "nested deeper than 64 levels");
	*out = json_deep_copy(a->value);
	return 0;
}

static bool tag_is_string(const yaml_char_t *tag)
{
	return tag && (!strcmp((const char *)tag, YAML_STR_TAG) || !strcmp((const char *)tag, "!"));
}

static int check_tag(struct builder *b, const yaml_event_t *ev, const yaml_char_t *tag,
		     const char *allowed)
{
	if (!tag || !strcmp((const char *)tag, allowed) || !strcmp((const char *)tag, "!"))
		return 0;
	err_set(b->e, -EINVAL, "tag %.80s: tags are not understood here, except !!str",
		(const char *)tag);
	return fail_at(b, ev->start_mark.line, -EINVAL);
}

/* libyaml has checked the UTF-8; what is left is an escaped NUL. */
static int check_text(struct builder *b, const yaml_event_t *ev)
{
	if (!memchr(ev->data.scalar.value, '\0', ev->data.scalar.length))
		return 0;
	return fail(b, ev, -EINVAL, "a text holds a NUL character");
}

static int build_scalar(struct builder *b, const yaml_event_t *ev, json_t **out)
{
	const char *text = (const char *)ev->data.scalar.value;
	bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;

	if (check_tag(b, ev, ev->data.scalar.tag, YAML_STR_TAG) < 0 || check_text(b, ev) < 0)
		return -EINVAL;
	if (!plain || tag_is_string(ev->data.scalar.tag))
		*out = js_text(text);
	else
		*out = yml_plain_scalar(text, b->e);
	if (!*out)
		return fail_at(b, ev->start_mark.line, -EINVAL);
	return anchor_add(b, ev, ev->data.scalar.anchor, *out);
}

static int build(struct builder *b, yaml_event_t *ev, size_t depth, json_t **out,
		 struct yml_mark *mark);

static int build_list(struct builder *b, size_t depth, json_t *list, struct yml_mark *mark)
{
	for (;;) {
		struct yml_mark m = { 0 };
		json_t *item = NULL;
		yaml_event_t ev;
		bool end;
		int rc;

		if ((rc = next(b, &ev)) < 0)
			return rc;
		end = ev.type == YAML_SEQUENCE_END_EVENT;
		rc = end ? 0 : build(b, &ev, depth, &item, &m);
		yaml_event_delete(&ev);
		if (end)
			return 0;
		if (rc < 0) {
			mark_done(&m);
			return rc;
		}
		json_array_append_new(list, item);
		vec_push(&mark->child, m);
	}
}

static int check_key(struct builder *b, const yaml_event_t *ev, const json_t *obj)
{
	const char *key = (const char *)ev->data.scalar.value;

	if (ev->type != YAML_SCALAR_EVENT)
		return fail(b, ev, -EINVAL, "a key must be a plain word or a text in quotes");
	if (check_text(b, ev) < 0)
		return -EINVAL;
	if (!strcmp(key, "<<") && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return fail(b, ev, -EINVAL,
			    "merge keys (<<) are not understood: write the fields out");
	if (json_object_get(obj, key)) {
		err_set(b->e, -EINVAL, "key \"%.80s\" is there twice in one object", key);
		return fail_at(b, ev->start_mark.line, -EINVAL);
	}
	return 0;
}

/* One member: ev holds the key. A member's mark is its key's place, which is what a person looks
 * for. */
static int build_member(struct builder *b, yaml_event_t *ev, size_t depth, json_t *obj,
			struct yml_mark *mark)
{
	struct yml_mark m = { 0 };
	yaml_event_t value_ev;
	json_t *value = NULL;
	int rc = check_key(b, ev, obj);

	if (rc < 0 || (rc = next(b, &value_ev)) < 0)
		return rc;
	m.key = xstrdup((const char *)ev->data.scalar.value);
	rc = build(b, &value_ev, depth, &value, &m);
	yaml_event_delete(&value_ev);
	if (rc < 0) {
		mark_done(&m);
		return rc;
	}
	m.line = (unsigned)ev->start_mark.line + 1;
	m.col = (unsigned)ev->start_mark.column + 1;
	json_object_set_new(obj, m.key, value);
	vec_push(&mark->child, m);
	return 0;
}

static int build_object(struct builder *b, size_t depth, json_t *obj, struct yml_mark *mark)
{
	for (;;) {
		yaml_event_t ev;
		bool end;
		int rc;

		if ((rc = next(b, &ev)) < 0)
			return rc;
		end = ev.type == YAML_MAPPING_END_EVENT;
		rc = end ? 0 : build_member(b, &ev, depth, obj, mark);
		yaml_event_delete(&ev);
		if (end || rc < 0)
			return rc;
	}
}

static int build_container(struct builder *b, const yaml_event_t *ev, size_t depth, json_t **out,
			   struct yml_mark *mark)
{
	bool list = ev->type == YAML_SEQUENCE_START_EVENT;
	const yaml_char_t *anchor =
		list ? ev->data.sequence_start.anchor : ev->data.mapping_start.anchor;
	json_t *v;
	int rc;

	if (depth >= JS_DEPTH_MAX)
		return fail(b, ev, -E2BIG, "nested deeper than 64 levels");
	rc = check_tag(b, ev, list ? ev->data.sequence_start.tag : ev->data.mapping_start.tag,
		       list ? YAML_SEQ_TAG : YAML_MAP_TAG);
	if (rc < 0)
		return rc;
	v = list ? json_array() : json_object();
	rc = list ? build_list(b, depth + 1, v, mark) : build_object(b, depth + 1, v, mark);
	if (rc == 0)
		rc = anchor_add(b, ev, anchor, v);
	if (rc < 0)
		json_decref(v);
	else
		*out = v;
	return rc;
}

static int build(struct builder *b, yaml_event_t *ev, size_t depth, json_t **out,
		 struct yml_mark *mark)
{
	int rc;

	mark->line = (unsigned)ev->start_mark.line + 1;
	mark->col = (unsigned)ev->start_mark.column + 1;
	if (ev->type == YAML_ALIAS_EVENT)
		return build_alias(b, ev, depth, out);
	if ((rc = count(b, ev, 1)) < 0)
		return rc;
	if (ev->type != YAML_SCALAR_EVENT)
		return build_container(b, ev, depth, out, mark);
	rc = build_scalar(b, ev, out);
	if (rc < 0) {
		json_decref(*out);
		*out = NULL;
	}
	return rc;
}

/* The events between DOCUMENT-START and DOCUMENT-END. */
static int build_doc(struct builder *b, struct yml_docs *docs)
{
	struct yml_doc doc = { .file = b->file };
	yaml_event_t ev;
	int rc = next(b, &ev);

	if (rc < 0)
		return rc;
	b->n_values = 0;
	rc = build(b, &ev, 0, &doc.value, &doc.mark);
	if (rc == 0 && docs->n >= YML_DOCS_MAX)
		rc = fail(b, &ev, -E2BIG, "more than 10000 documents in one file");
	yaml_event_delete(&ev);
	anchors_clear(b);
	if (rc < 0 || json_is_null(doc.value))
		doc_done(&doc);
	else
		vec_push(docs, doc);
	return rc;
}

static int build_all(struct builder *b, struct yml_docs *docs)
{
	for (;;) {
		yaml_event_type_t type;
		yaml_event_t ev;
		int rc = next(b, &ev);

		if (rc < 0)
			return rc;
		type = ev.type;
		yaml_event_delete(&ev);
		if (type == YAML_STREAM_END_EVENT)
			return 0;
		if (type == YAML_DOCUMENT_START_EVENT && (rc = build_doc(b, docs)) < 0)
			return rc;
	}
}

static int check_directives(const char *file, const char *bytes, size_t len, struct err *e)
{
	const char *p = bytes, *end = bytes + len;
	size_t line = 1, n = 0;

	for (; p < end; p++, line++) {
		n += *p == '%';
		if (n > DIRECTIVES_MAX)
			return err_set(e, -E2BIG, "%s:%zu: more than %d directives", file, line,
				       DIRECTIVES_MAX);
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			break;
	}
	return 0;
}

static int parse_yaml(const char *file, const void *bytes, size_t len, struct yml_docs *out,
		      struct err *e)
{
	struct builder b = { .file = file, .e = e };
	int rc;

	if (!yaml_parser_initialize(&b.parser))
		abort();				     /* only for want of memory */
	if (len >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3)) { /* some editors begin with a mark */
		bytes = (const char *)bytes + 3;
		len -= 3;
	}
	yaml_parser_set_input_string(&b.parser, bytes, len);
	/* Without this, two bytes that look like a byte order mark make it UTF-16. */
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	rc = build_all(&b, out);
	if (rc < 0)
		yml_docs_done(out);
	anchors_clear(&b);
	vec_done(&b.anchors);
	yaml_parser_delete(&b.parser);
	return rc;
}

/* JSON is YAML but for a few corners of escapes and tabs: read what libyaml refused once more. Such
 * a document has no lines. */
static bool parse_json(const char *file, const char *bytes, size_t len, struct yml_docs *out)
{
	struct yml_doc doc = { .file = file };
	size_t blank = 0;

	while (blank < len && strchr(" \t\r\n", bytes[blank]) && bytes[blank])
		blank++;
	if (blank == len || (bytes[blank] != '{' && bytes[blank] != '['))
		return false;
	if (js_parse(bytes, len, &doc.value, NULL) < 0)
		return false;
	vec_push(out, doc);
	return true;
}

int yml_parse(const char *file, const void *bytes, size_t len, struct yml_docs *out, struct err *e)
{
	int rc;

	if (len > YML_SIZE_MAX)
		return err_set(e, -E2BIG, "%s: %zu bytes: more than the limit of %d", file, len,
			       YML_SIZE_MAX);
	rc = check_directives(file, bytes, len, e);
	if (rc == 0)
		rc = parse_yaml(file, bytes, len, out, e);
	/* Limits and duplicate keys stand: JSON refuses the same. */
	if (rc == -EINVAL && parse_json(file, bytes, len, out)) {
		if (e)
			*e = (struct err) { 0 };
		return 0;
	}
	return rc;
}

/* The child of m that the next element of path names; *rest is what follows it. Keys may hold dots,
 * so the longest key that fits wins. */
static const struct yml_mark *mark_step(const struct yml_mark *m, const char *path,
					const char **rest)
{
	const struct yml_mark *best = NULL;
	size_t best_len = 0, i;
	char *end;

	if (*path == '[') {
		i = strtoul(path + 1, &end, 10);
		*rest = *end == ']' ? end + 1 : end;
		return i < m->child.n ? &m->child.p[i] : NULL;
	}
	path += *path == '.';
	for (i = 0; i < m->child.n; i++) {
		const struct yml_mark *c = &m->child.p[i];
		size_t n = c->key ? strlen(c->key) : 0;

		if (n >= best_len && c->key && !strncmp(path, c->key, n) &&
		    strchr(".[: ", path[n])) { /* also finds the end of the path */
			best = c;
			best_len = n;
		}
	}
	*rest = path + best_len;
	return best;
}

unsigned yml_line(const struct yml_doc *doc, const char *path)
{
	const struct yml_mark *m = &doc->mark, *child;
	const char *rest = path;

	while (*rest && *rest != ':' && (child = mark_step(m, rest, &rest)))
		m = child;
	return m->line;
}

int yml_err_at(const struct yml_doc *doc, struct err *e)
{
	unsigned line;

	if (!e)
		return -EINVAL;
	line = yml_line(doc, e->msg);
	return line ? err_wrap(e, "%s:%u", doc->file, line) : err_wrap(e, "%s", doc->file);
}
