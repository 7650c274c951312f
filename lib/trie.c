/* trie.c - longest-prefix match: prefix -> pointer, both families in one table
 *
 * SHAPE  A binary trie with path compression. Every node stands for a prefix; below child[b] lie
 *        the prefixes inside it whose next bit is b. A node either has a value or is a fork with
 *        two children, so n prefixes make at most 2n - 1 nodes:
 *
 *		10.0.0.0/8 -> A
 *		   `1'-> 10.128.0.0/9   fork, no value
 *			   `0'-> 10.128.0.0/16 -> B
 *			   `1'-> 10.192.0.0/10 -> C
 *
 * COST   find, add, del, lpm: at most one node per bit; a node is 32 bytes (IPv4) or 48 (IPv6).
 * TESTS  tests/unit/lib/trie.c, against a plain array */
#include "lib/trie.h"

#include <stdlib.h>
#include <string.h>

struct trie_node {
	struct trie_node *child[2];
	void *value; /* NULL: a fork */
	uint8_t len;
	uint8_t key[]; /* 4 or 16 bytes, host bits zero */
};

static unsigned key_size(enum ip_family family)
{
	return addr_bits(family) / 8;
}

static struct trie_node **root_of(struct trie *t, const struct prefix *p)
{
	return &t->root[p->addr.family == IP_V6];
}

static unsigned bit_at(const uint8_t *key, unsigned i)
{
	return key[i / 8] >> (7 - i % 8) & 1;
}

/* How many leading bits of a and b are equal, at most max. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned max)
{
	for (unsigned i = 0; i * 8 < max; i++) {
		unsigned x = a[i] ^ b[i];

		if (x) {
			unsigned n = i * 8 + (unsigned)__builtin_clz(x) - 24;

			return n < max ? n : max;
		}
	}
	return max;
}

/* Does n's prefix cover p? */
static bool node_covers(const struct trie_node *n, const struct prefix *p)
{
	return n->len <= p->len && common_bits(n->key, p->addr.b, n->len) == n->len;
}

static struct trie_node *node_new(const struct prefix *p, unsigned len, void *value)
{
	unsigned size = key_size(p->addr.family);
	struct trie_node *n = xcalloc(1, offsetof(struct trie_node, key) + size);
	struct prefix masked = prefix_of(&p->addr, len);

	memcpy(n->key, masked.addr.b, size);
	n->len = (uint8_t)len;
	n->value = value;
	return n;
}

static struct prefix node_prefix(const struct trie_node *n, enum ip_family family)
{
	struct prefix p = { .addr = { .family = (uint8_t)family }, .len = n->len };

	memcpy(p.addr.b, n->key, key_size(family));
	return p;
}

void trie_init(struct trie *t)
{
	*t = (struct trie) { 0 };
}

/* Depth is at most the number of bits of an address. */
static void node_free(struct trie_node *n)
{
	if (!n)
		return;
	node_free(n->child[0]);
	node_free(n->child[1]);
	free(n);
}

void trie_done(struct trie *t)
{
	node_free(t->root[0]);
	node_free(t->root[1]);
	trie_init(t);
}

/* The node that `new` must replace as child of its parent, when the two only share `common`
 * bits. */
static void node_fork(struct trie_node **at, const struct prefix *p, unsigned common,
		      struct trie_node *new)
{
	struct trie_node *old = *at, *fork;

	if (common == new->len) { /* new covers old */
		new->child[bit_at(old->key, common)] = old;
		*at = new;
		return;
	}
	fork = node_new(p, common, NULL);
	fork->child[bit_at(old->key, common)] = old;
	fork->child[bit_at(new->key, common)] = new;
	*at = fork;
}

void *trie_add(struct trie *t, const struct prefix *p, void *value)
{
	struct trie_node **at = root_of(t, p), *n;
	unsigned common;
	void *old;

	while ((n = *at)) {
		common = common_bits(n->key, p->addr.b, n->len < p->len ? n->len : p->len);
		if (common < n->len) {
			node_fork(at, p, common, node_new(p, p->len, value));
			t->count++;
			return NULL;
		}
		if (n->len == p->len) {
			old = n->value;
			n->value = value;
			t->count += !old;
			return old;
		}
		at = &n->child[bit_at(p->addr.b, n->len)];
	}
	*at = node_new(p, p->len, value);
	t->count++;
	return NULL;
}

static struct trie_node *node_at(const struct trie *t, const struct prefix *p)
{
	struct trie_node *n = t->root[p->addr.family == IP_V6];

	while (n && node_covers(n, p)) {
		if (n->len == p->len)
			return n;
		n = n->child[bit_at(p->addr.b, n->len)];
	}
	return NULL;
}

void *trie_find(const struct trie *t, const struct prefix *p)
{
	struct trie_node *n = node_at(t, p);

	return n ? n->value : NULL;
}

/* Take *at out when it neither has a value nor forks. True: it was a leaf, so its parent may now be
 * such a node too. */
static bool node_prune(struct trie_node **at)
{
	struct trie_node *n = *at;

	if (n->value || (n->child[0] && n->child[1]))
		return false;
	*at = n->child[0] ? n->child[0] : n->child[1];
	free(n);
	return !*at;
}

void *trie_del(struct trie *t, const struct prefix *p)
{
	struct trie_node **at = root_of(t, p), **parent = NULL, *n;
	void *value;

	while ((n = *at) && node_covers(n, p) && n->len < p->len) {
		parent = at;
		at = &n->child[bit_at(p->addr.b, n->len)];
	}
	if (!n || n->len != p->len || !node_covers(n, p) || !n->value)
		return NULL;
	value = n->value;
	n->value = NULL;
	t->count--;
	if (node_prune(at) && parent)
		node_prune(parent);
	return value;
}

static void *lookup(const struct trie *t, const struct prefix *p, struct prefix *match, bool first)
{
	const struct trie_node *n = t->root[p->addr.family == IP_V6], *hit = NULL;

	while (n && node_covers(n, p)) {
		if (n->value) {
			hit = n;
			if (first)
				break;
		}
		if (n->len == p->len)
			break;
		n = n->child[bit_at(p->addr.b, n->len)];
	}
	if (hit && match)
		*match = node_prefix(hit, p->addr.family);
	return hit ? hit->value : NULL;
}

void *trie_lpm(const struct trie *t, const struct prefix *p, struct prefix *match)
{
	return lookup(t, p, match, false);
}

void *trie_top(const struct trie *t, const struct prefix *p, struct prefix *match)
{
	return lookup(t, p, match, true);
}

static bool walk(const struct trie_node *n, enum ip_family family, trie_fn *fn, void *arg)
{
	struct prefix p;

	if (!n)
		return true;
	p = node_prefix(n, family);
	return (!n->value || fn(arg, &p, n->value)) && walk(n->child[0], family, fn, arg) &&
	       walk(n->child[1], family, fn, arg);
}

bool trie_walk(const struct trie *t, const struct prefix *under, trie_fn *fn, void *arg)
{
	const struct trie_node *n;

	if (!under)
		return walk(t->root[0], IP_V4, fn, arg) && walk(t->root[1], IP_V6, fn, arg);
	n = t->root[under->addr.family == IP_V6];
	while (n && n->len < under->len)
		n = node_covers(n, under) ? n->child[bit_at(under->addr.b, n->len)] : NULL;
	if (!n || common_bits(n->key, under->addr.b, under->len) < under->len)
		return true;
	return walk(n, under->addr.family, fn, arg);
}
