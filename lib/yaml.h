/* yaml.h - YAML (and JSON) that a person wrote, as JSON trees that remember their lines.
 *
 *	struct yml_docs docs = { 0 };
 *	if (yml_parse("pool.yaml", bytes, len, &docs, e) < 0)
 *		...				"pool.yaml:4: key \"cidr\" is there twice ..."
 *	vec_foreach(&docs, doc)
 *		if (check(doc->value, e) < 0)		"spec.blockSize: must be ..."
 *			return yml_err_at(doc, e);	"pool.yaml:7: spec.blockSize: must be ..."
 *	yml_docs_done(&docs);
 *
 * Plain scalars mean what they mean to kubectl: true, yes and on are booleans (in the spellings
 * yes, Yes, YES; y and n are strings), 26, 0x1a and 0o32 are integers, 1e3 is a real, ~, null and
 * nothing at all are null; everything else is a string, and so is everything in quotes. Integers
 * are exact within 64 bits. Refused, with words: numbers with leading zeros (octal to some readers,
 * decimal to others), .inf and .nan, merge keys (<<), tags other than !!str, duplicate keys, more
 * than the limits of lib/json.h. Aliases are expanded within the same limits. */
#pragma once

#include "lib/json.h"
#include "lib/vec.h"

enum {
	YML_SIZE_MAX = JS_SIZE_MAX, /* bytes of text: manifests of thousands of objects fit */
	YML_DOCS_MAX = 10000,
};

/* Where a value begins; a tree of the shape of the value. Lines and columns count from 1. */
struct yml_mark {
	char *key; /* owned; NULL for the root and for elements of a list */
	unsigned line, col;
	VEC(struct yml_mark) child;
};

struct yml_doc {
	json_t *value; /* never NULL; any type */
	struct yml_mark mark;
	const char *file; /* as given to yml_parse: borrowed */
};

struct yml_docs {
	struct yml_doc *p;
	size_t n, cap; /* walk with vec_foreach */
};

/* Every non-empty document of len bytes. file is used in messages only and must outlive *out. 0, or
 * negative errno with "FILE:LINE: ..." in e and *out empty. *out must be zero before. */
int yml_parse(const char *file, const void *bytes, size_t len, struct yml_docs *out, struct err *e);
void yml_docs_done(struct yml_docs *docs);

/* The line of the value at a path such as "spec.list[2].name"; when there is none, of the closest
 * thing around it; 0 when the lines are unknown. */
unsigned yml_line(const struct yml_doc *doc, const char *path);
/* Put "FILE:LINE: " in front of a message that begins with "PATH: "; returns the code in e. */
int yml_err_at(const struct yml_doc *doc, struct err *e);

/* Any JSON value as block YAML that reads back as the same value: members sorted by name (as
 * kubectl and calicoctl print), strings in quotes only where they need them. Ends in a newline;
 * caller frees. */
char *yml_dump(const json_t *value);

/* What a plain scalar means: a new JSON value, or NULL with the reason in e. */
json_t *yml_plain_scalar(const char *text, struct err *e);
