/* labels.h - which selectors match which things that have labels, kept up to date from both sides.
 *
 * An item has labels of its own and parents whose labels it inherits: its own win, then those of the
 * parent named first. Items and selectors come, change and go in any order; what starts or stops to
 * match is appended to a list of changes.
 *
 *	ix = labels_new(intern);
 *	sel = labels_selector_add(ix, parsed, user, &changes);
 *	item = labels_item_add(ix, user);
 *	labels_item_set(ix, item, own, n, parents, n_parents, &changes);
 *	labels_parent_set(ix, "kns.web", labels, n, &changes);	    its children are tried again
 *
 * COST   An item: the selectors that its labels make candidates. A selector: the items that have the
 *        rarest label that it demands. */
#pragma once

#include "lib/vec.h"
#include "policy/intern.h"

struct labels;
struct selector;

struct label {
	const char *key, *value;
};

struct label_change {
	uint32_t item, sel;
	bool on;
};

struct label_changes {
	struct label_change *p;
	size_t n, cap;
};

/* The strings are shared among several of these; in outlives them. */
struct labels *labels_new(struct intern *in);
void labels_free(struct labels *ix);

/* Numbers are from 1 and are used again after a removal. */
uint32_t labels_item_add(struct labels *ix, void *user);
/* No key may be there twice. Parents need not exist. */
void labels_item_set(struct labels *ix, uint32_t item, const struct label *own, size_t n,
		     const char *const *parents, size_t n_parents, struct label_changes *out);
/* All that it matched stops to match it. */
void labels_item_del(struct labels *ix, uint32_t item, struct label_changes *out);

uint32_t labels_selector_add(struct labels *ix, const struct selector *s, void *user,
			     struct label_changes *out);
void labels_selector_del(struct labels *ix, uint32_t sel, struct label_changes *out);

/* n 0: it has no labels, or is gone. */
void labels_parent_set(struct labels *ix, const char *name, const struct label *own, size_t n,
		       struct label_changes *out);

/* What the caller gave; of a removed one until the next is added, to carry out its changes. */
void *labels_item_user(const struct labels *ix, uint32_t item);
void *labels_selector_user(const struct labels *ix, uint32_t sel);
/* The i-th selector that matches an item; 0 behind the last. In no order. */
uint32_t labels_item_match(const struct labels *ix, uint32_t item, size_t i);
/* The i-th item that a selector matches; 0 behind the last. */
uint32_t labels_selector_match(const struct labels *ix, uint32_t sel, size_t i);
/* How often a selector was tried on an item, for tests and metrics. */
uint64_t labels_evals(const struct labels *ix);
