/* match.h - a selector over interned labels, and what every match of it must have.
 *
 * A selector that can only match where some label has one of a few values need not be tried
 * elsewhere: that is what makes placing an endpoint cost its candidates, not all selectors. */
#pragma once

#include "lib/vec.h"
#include "policy/intern.h"

struct selector;
struct match;

struct match *match_new(struct intern *in, const struct selector *s);
void match_free(struct intern *in, struct match *m);

/* The interned label (value under key) of whatever is looked at; 0: it has none of this key. */
typedef uint32_t match_label_fn(const void *arg, uint32_t key);
bool match_eval(const struct match *m, const struct intern *in, match_label_fn *label,
		const void *arg);

/* Every match has a label of this key; when has_values, one of these. */
struct demand {
	uint32_t key;
	bool has_values;
	uint32_t *value; /* [n]; none at all: nothing can match */
	size_t n;
};

struct demands {
	struct demand *p;
	size_t n, cap;
};

struct demands match_demands(const struct match *m);
void demands_done(struct demands *d);
