/* trie.h - longest-prefix match: prefix -> pointer, both families in one table.
 *
 *	struct trie t = { 0 };
 *	trie_add(&t, &pool->cidr, pool);
 *	pool = trie_lpm(&t, &route, NULL);
 *	trie_done(&t);			values are the caller's
 *
 * Host bits of a prefix given are ignored. A value is never NULL. */
#pragma once

#include "lib/addr.h"

struct trie_node;

struct trie {
	struct trie_node *root[2]; /* IPv4, IPv6 */
	size_t count;
};

/* All zero is an empty trie too. */
void trie_init(struct trie *t);
void trie_done(struct trie *t);
/* Set p's value; the one that it replaces, or NULL. */
void *trie_add(struct trie *t, const struct prefix *p, void *value);
/* The value of exactly p; NULL. */
void *trie_find(const struct trie *t, const struct prefix *p);
/* Remove exactly p; its value, or NULL when it is not there. */
void *trie_del(struct trie *t, const struct prefix *p);
/* The value of the longest prefix that covers p (p itself included), NULL when none does. match,
 * when not NULL, is set to that prefix. */
void *trie_lpm(const struct trie *t, const struct prefix *p, struct prefix *match);
/* The same for the shortest covering prefix. */
void *trie_top(const struct trie *t, const struct prefix *p, struct prefix *match);

/* Call fn for every prefix inside `under` (NULL: all) in the order of prefix_cmp; fn returns false
 * to stop. The trie must not change meanwhile. False when it was stopped. */
typedef bool trie_fn(void *arg, const struct prefix *p, void *value);
bool trie_walk(const struct trie *t, const struct prefix *under, trie_fn *fn, void *arg);
