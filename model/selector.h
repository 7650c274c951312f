/* selector.h - Calico's label selectors: parse, compare, evaluate.
 *
 *	selector_parse("role in {'db', 'cache'} && !has(retired)", &s, &e);
 *	if (selector_match(s, label_of, pod)) ...
 *	text = selector_text(s);	role in {"cache", "db"} && ... in the one form that serves as
 *identity selector_free(s);
 *
 * Grammar: precedence !, &&, ||; parentheses group; has(l), all(), global();
 * l == "v", !=, contains, starts with, ends with, in {"v", ...}, not in {...}. Blank text is all().
*/
#pragma once

#include <jansson.h>

#include "lib/err.h"

enum {
	SELECTOR_LEN_MAX = 65536, /* bytes: several fields combined into one, with their prefixes */
	SELECTOR_DEPTH_MAX = 64, /* nested parentheses: bounds the stack of parser and evaluation */
	SELECTOR_LABEL_MAX = 512, /* bytes of a label's name */
	/* What combining may add: parentheses, the prefix of a label. */
	SELECTOR_DEPTH_MORE = 8,
	SELECTOR_LABEL_MORE = 8,
};

enum selector_op {
	SELECTOR_ALL,
	SELECTOR_GLOBAL, /* true like ALL; rewriting a policy gives it its meaning */
	SELECTOR_HAS,
	SELECTOR_EQ,
	SELECTOR_NE,
	SELECTOR_CONTAINS,
	SELECTOR_STARTS,
	SELECTOR_ENDS,
	SELECTOR_IN,
	SELECTOR_NOT_IN,
	SELECTOR_NOT, /* one kid */
	SELECTOR_AND, /* two kids or more */
	SELECTOR_OR,
};

/* A node of the tree; the root is the selector. Open, because policy rewrites and indexes it. */
struct selector {
	enum selector_op op;
	char *label;   /* HAS to NOT_IN */
	char **values; /* EQ to ENDS: one. IN, NOT_IN: sorted by bytes, each once */
	size_t n_values;
	struct selector **kids;
	size_t n_kids;
};

/* -EINVAL with the column (from 1, in bytes) and what would be right there. */
int selector_parse(const char *text, struct selector **out, struct err *e);
/* The same for what was combined out of texts that selector_parse takes. */
int selector_parse_combined(const char *text, struct selector **out, struct err *e);
void selector_free(struct selector *s);

/* The value of a label, NULL when it is absent. */
typedef const char *selector_label_fn(void *arg, const char *key);
bool selector_match(const struct selector *s, selector_label_fn *label, void *arg);
/* The same over a JSON object of strings; NULL is no labels. */
bool selector_match_json(const struct selector *s, const json_t *labels);

/* Normal form, the caller's: two selectors mean the same to Calico when these are equal. Parsing it
 * gives it again. */
char *selector_text(const struct selector *s);
