/* selector.h - label selectors in Calico's language: parsed once, matched often. Pure.
 *
 *	struct selector *s;
 *	if (selector_parse("rack == 'a' && !has(drained)", &s, e) < 0) ...	"column 6: ..."
 *	if (selector_match_json(s, labels)) ...
 *	selector_free(s);
 *
 * The grammar is in README.md. A label that is absent makes !=, not in, and !has true, everything
 * else false. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

enum {
	SELECTOR_LEN_MAX = 4096,   /* bytes; API fields take 1024, joined ones are longer */
	SELECTOR_DEPTH_MAX = 64,   /* parentheses and negations inside each other */
	SELECTOR_LABEL_MAX = 512,
};

struct selector;

/* Blank text is all(). -EINVAL with the column and what was expected. */
int selector_parse(const char *text, struct selector **out, struct err *e);
void selector_free(struct selector *s); /* NULL is fine */

/* The value of a label; NULL: there is no such label. */
typedef const char *selector_label_fn(const void *arg, const char *name);
bool selector_match(const struct selector *s, selector_label_fn *get, const void *arg);
/* labels: an object of strings, or NULL. */
bool selector_match_json(const struct selector *s, const json_t *labels);
