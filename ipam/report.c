/* report.c - use of pools and blocks, holders and borrowers of addresses
 * SPEC  data model 3.10, 4.3
 * TESTS tests/unit/ipam/report.c */
#include "ipam/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/pool.h"
#include "model/ipamkey.h"

void ipam_blocks_add(struct ipam_blocks *all, const struct store_res *list, int64_t now_ns,
		     unsigned cooldown_s)
{
	struct err e;

	for (size_t i = 0; i < list->n; i++) {
		const struct store_kv *kv = &list->kv[i];
		struct prefix cidr;
		struct block *b = NULL;

		if (!ipamkey_parse_block(kv->key, &cidr))
			continue;
		if (block_decode(kv->value, strlen(kv->value), &b, &e) < 0 ||
		    (!prefix_eq(&b->cidr, &cidr) &&
		     err_set(&e, -EINVAL, "its cidr is another one") < 0)) {
			struct ipam_problem bad = { .kind = PROBLEM_INVALID };

			bad.text = xasprintf("block %s: %s", kv->key, e.msg);
			vec_push(&all->problem, bad);
			block_free(b);
			continue;
		}
		block_collect(b, now_ns, cooldown_s);
		vec_push(&all->block, b);
	}
}

void ipam_blocks_done(struct ipam_blocks *all)
{
	vec_foreach (&all->block, it)
		block_free(*it);
	vec_done(&all->block);
	vec_foreach (&all->problem, it) {
		free(it->text);
		free(it->handle);
	}
	vec_done(&all->problem);
}

static double size_of(const struct prefix *p)
{
	unsigned bits = addr_bits((enum ip_family)p->addr.family) - p->len;
	double n = 1;

	while (bits-- > 0)
		n *= 2;
	return n;
}

/* Addresses of p inside of reservations. Of two that overlap the larger one counts. */
static double reserved_in(const struct ipam_world *w, const struct prefix *p)
{
	double n = 0;

	for (size_t i = 0; i < w->n_reserved; i++) {
		const struct prefix *r = &w->reserved[i];
		bool covered = false;

		for (size_t k = 0; k < w->n_reserved; k++)
			covered = covered || (k != i && prefix_covers(&w->reserved[k], r) &&
					      (!prefix_eq(&w->reserved[k], r) || k < i));
		if (prefix_covers(r, p))
			return size_of(p);
		if (!covered && prefix_covers(p, r))
			n += size_of(r);
	}
	return n;
}

static bool is_reserved(const struct ipam_world *w, const struct addr *a)
{
	for (size_t i = 0; i < w->n_reserved; i++)
		if (prefix_contains(&w->reserved[i], a))
			return true;
	return false;
}

/* Addresses in use that a reservation covers as well count as used. */
static unsigned used_and_reserved(const struct ipam_world *w, const struct block *b)
{
	unsigned n = 0;

	for (unsigned i = 0; w->n_reserved && i < b->size; i++) {
		struct addr a = block_addr(b, i);

		n += block_attr_of(b, i) && is_reserved(w, &a);
	}
	return n;
}

static void finish(struct ipam_usage *u)
{
	u->free = u->total - u->used - u->reserved;
}

static struct ipam_usage block_usage(const struct ipam_world *w, const struct block *b)
{
	struct ipam_usage u = { .cidr = b->cidr, .owner = b->affinity, .total = b->size };

	u.used = b->size - b->n_free;
	u.reserved = reserved_in(w, &b->cidr) - used_and_reserved(w, b);
	finish(&u);
	return u;
}

static int by_cidr(const void *a, const void *b)
{
	const struct ipam_usage *x = a, *y = b;

	return prefix_cmp(&x->cidr, &y->cidr);
}

static void sort_from(struct ipam_usages *out, size_t from)
{
	if (out->n - from > 1)
		qsort(out->p + from, out->n - from, sizeof(*out->p), by_cidr);
}

/* The pool's row, or without a pool the row of all homeless blocks of a family, and their blocks.
 */
static void add_pool(const struct ipam_world *w, const struct ipam_blocks *all,
		     const struct ipam_pool *pool, enum ip_family family, bool with_blocks,
		     struct ipam_usages *out)
{
	struct ipam_usage row = { .is_pool = true };
	size_t at = out->n, n = 0;

	if (pool) {
		row.name = pool->name;
		row.cidr = pool->cidr;
		row.total = size_of(&pool->cidr);
		row.reserved = reserved_in(w, &pool->cidr);
	} else {
		row.cidr.addr.family = (uint8_t)family;
	}
	vec_push(out, row);
	for (size_t i = 0; i < all->block.n; i++) {
		const struct block *b = all->block.p[i];
		struct ipam_usage u;

		if (pool ? !prefix_covers(&pool->cidr, &b->cidr)
			 : b->cidr.addr.family != family || pool_of(w, &b->cidr.addr, false))
			continue;
		n++;
		u = block_usage(w, b);
		row.used += u.used;
		row.total += pool ? 0 : u.total;
		row.reserved += pool ? -used_and_reserved(w, b) : u.reserved;
		if (with_blocks)
			vec_push(out, u);
	}
	finish(&row);
	out->p[at] = row;
	if (!pool && n == 0)
		out->n = at;
	sort_from(out, at + 1 < out->n ? at + 1 : out->n);
}

static int by_pool(const void *a, const void *b)
{
	const struct ipam_pool *const *x = a, *const *y = b;

	return prefix_cmp(&(*x)->cidr, &(*y)->cidr);
}

void ipam_usage(const struct ipam_world *world, const struct ipam_blocks *all, bool with_blocks,
		struct ipam_usages *out)
{
	VEC(const struct ipam_pool *) pools = { 0 };

	for (size_t i = 0; i < world->n_pool; i++)
		vec_push(&pools, &world->pool[i]);
	if (pools.n)
		qsort(pools.p, pools.n, sizeof(*pools.p), by_pool);
	vec_foreach (&pools, it)
		add_pool(world, all, *it, IP_NONE, with_blocks, out);
	vec_done(&pools);
	add_pool(world, all, NULL, IP_V4, with_blocks, out);
	add_pool(world, all, NULL, IP_V6, with_blocks, out);
}

const struct block_attr *ipam_holder(const struct ipam_blocks *all, const struct addr *a,
				     uint64_t *seq)
{
	for (size_t i = 0; i < all->block.n; i++) {
		const struct block *b = all->block.p[i];
		unsigned ord;

		if (!block_ord(b, a, &ord))
			continue;
		*seq = b->seq_of[ord];
		return block_attr_of(b, ord);
	}
	return NULL;
}

static char *describe(const struct block_attr *a, char **type)
{
	char *kind = block_attr_get(a, "type"), *pod = block_attr_get(a, "pod");
	char *ns = block_attr_get(a, "namespace"), *text;

	if (kind) {
		*type = xstrdup("Tunnel");
		text = TAKE(kind);
	} else if (pod) {
		*type = xstrdup("Pod");
		text = xasprintf("%s/%s", ns ? ns : "", pod);
	} else {
		*type = xstrdup("Handle");
		text = xstrdup(a->handle);
	}
	free(kind);
	free(pod);
	free(ns);
	return text;
}

static void borrowed_in(const struct block *b, struct ipam_borrows *out)
{
	const char *owner = b->affinity && str_starts(b->affinity, IPAMKEY_OWNER_HOST)
				    ? b->affinity + strlen(IPAMKEY_OWNER_HOST)
				    : NULL;

	for (unsigned i = 0; i < b->size; i++) {
		const struct block_attr *a = block_attr_of(b, i);
		CLEANUP(freep) char *node = a && a->handle ? block_attr_get(a, "node") : NULL;
		struct ipam_borrowed row = { .addr = block_addr(b, i), .block = b->cidr };

		if (!node || str_eq(node, owner))
			continue;
		row.what = describe(a, &row.type);
		row.owner = xstrdup(owner ? owner : "");
		row.node = TAKE(node);
		vec_push(out, row);
	}
}

void ipam_borrowed(const struct ipam_blocks *all, struct ipam_borrows *out)
{
	for (size_t i = 0; i < all->block.n; i++)
		borrowed_in(all->block.p[i], out);
}

void ipam_borrows_done(struct ipam_borrows *b)
{
	vec_foreach (b, it) {
		free(it->node);
		free(it->owner);
		free(it->type);
		free(it->what);
	}
	vec_done(b);
}
