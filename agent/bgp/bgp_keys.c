/* bgp_keys.c - which TCP MD5 keys a listener needs
 * SHAPE  Sorted addresses are a binary trie: a range of them with one password is one key at their
 *        longest common prefix, any other range is split at its first differing bit.
 * TESTS  tests/unit/agent/bgp_keys.c */
#include "agent/bgp/bgp_keys.h"

#include <stdlib.h>
#include <string.h>

static int by_address(const void *a, const void *b)
{
	return addr_cmp(&((const struct bgp_key *)a)->from.addr,
			&((const struct bgp_key *)b)->from.addr);
}

/* Two sessions with one address cannot have two keys. */
static void drop_doubles(struct bgp_keys *k)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->n; i++)
		if (!kept || !addr_eq(&k->p[kept - 1].from.addr, &k->p[i].from.addr))
			k->p[kept++] = k->p[i];
	k->n = kept;
}

static bool bit(const struct addr *a, unsigned i)
{
	return a->b[i / 8] >> (7 - i % 8) & 1;
}

/* Of sorted ones the first and the last have the least in common. */
static unsigned common_bits(const struct bgp_key *first, const struct bgp_key *last)
{
	unsigned n = 0, max = addr_bits((enum ip_family)first->from.addr.family);

	while (n < max && bit(&first->from.addr, n) == bit(&last->from.addr, n))
		n++;
	return n;
}

static bool one_password(const struct bgp_key *k, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(k[0].password, k[i].password) != 0)
			return false;
	return true;
}

static void cover(const struct bgp_key *k, size_t n, struct bgp_keys *out)
{
	unsigned common = common_bits(&k[0], &k[n - 1]);
	size_t split = 0;

	if (one_password(k, n)) {
		struct bgp_key key = k[0];

		key.from = prefix_of(&k[0].from.addr, common);
		if (key.password[0])
			vec_push(out, key);
		explicit_bzero(&key, sizeof(key));
		return;
	}
	while (!bit(&k[split].from.addr, common))
		split++;
	cover(k, split, out);
	cover(k + split, n - split, out);
}

void bgp_keys_cover(struct bgp_keys *peers, struct bgp_keys *out)
{
	if (!peers->n)
		return;
	qsort(peers->p, peers->n, sizeof(*peers->p), by_address);
	drop_doubles(peers);
	cover(peers->p, peers->n, out);
}

void bgp_keys_done(struct bgp_keys *k)
{
	if (k->p)
		explicit_bzero(k->p, k->cap * sizeof(*k->p));
	vec_done(k);
}
