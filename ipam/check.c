/* check.c - does what the allocator knows fit together, and with what is in use?
 * WHY   the same findings that repair and gc act upon, for a person who asks first. Users are
 *	 endpoints and tunnels; without any (none known) the two questions about them are not asked.
 * SPEC  data model 4.3
 * TESTS tests/unit/ipam/report.c */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/pool.h"
#include "ipam/report.h"
#include "model/affinity.h"
#include "model/handle.h"
#include "model/ipamkey.h"

const char *ipam_problem_name(enum ipam_problem_kind kind)
{
	static const char *const names[] = {
		[PROBLEM_INVALID] = "broken objects",
		[PROBLEM_NO_POOL] = "addresses in use outside of active pools",
		[PROBLEM_UNUSED] = "addresses allocated and not in use",
		[PROBLEM_NOT_ALLOCATED] = "addresses in use and not allocated",
		[PROBLEM_OWNERS] = "addresses with several owners",
		[PROBLEM_HANDLE_EMPTY] = "handles without addresses",
		[PROBLEM_HANDLE_COUNT] = "handles whose count is wrong",
		[PROBLEM_HANDLE_MISSING] = "addresses without handle",
		[PROBLEM_AFFINITY] = "affinities and blocks that disagree",
	};

	return kind < PROBLEM_MAX_ ? names[kind] : "?";
}

/* Consumes text. */
static struct ipam_problem *add(const struct ipam_check *c, enum ipam_problem_kind kind, char *text)
{
	struct ipam_problem p = { .kind = kind, .text = text };

	vec_push(&c->blocks->problem, p);
	return &c->blocks->problem.p[c->blocks->problem.n - 1];
}

static const struct block *find_block(const struct ipam_check *c, const struct prefix *cidr)
{
	for (size_t i = 0; i < c->blocks->block.n; i++)
		if (prefix_eq(&c->blocks->block.p[i]->cidr, cidr))
			return c->blocks->block.p[i];
	return NULL;
}

/* ---- users ---- */

static int by_addr(const void *a, const void *b)
{
	const struct ipam_user *x = a, *y = b;

	return addr_cmp(&x->addr, &y->addr);
}

static void check_user(const struct ipam_check *c, const struct ipam_user *u, size_t n)
{
	char text[ADDR_STR_MAX];
	uint64_t seq;
	const struct block_attr *a = ipam_holder(c->blocks, &u->addr, &seq);

	addr_format(&u->addr, text);
	if (n > 1)
		add(c, PROBLEM_OWNERS,
		    xasprintf("%s is used by %zu: %s, %s%s", text, n, u[0].who, u[1].who,
			      n > 2 ? ", ..." : ""))
			->addr = u->addr;
	if (!pool_of(&c->world, &u->addr, true))
		add(c, PROBLEM_NO_POOL, xasprintf("%s, %s", text, u->who))->addr = u->addr;
	if (!a || !a->handle)
		add(c, PROBLEM_NOT_ALLOCATED, xasprintf("%s, %s", text, u->who))->addr = u->addr;
}

static void check_users(const struct ipam_check *c, struct ipam_user *sorted)
{
	for (size_t i = 0; i < c->n_user;) {
		size_t n = 1;

		while (i + n < c->n_user && addr_eq(&sorted[i].addr, &sorted[i + n].addr))
			n++;
		check_user(c, &sorted[i], n);
		i += n;
	}
}

/* ---- blocks and handles ---- */

static void check_unused(const struct ipam_check *c, const struct ipam_user *sorted,
			 const struct block *b, unsigned ord)
{
	const struct block_attr *a = block_attr_of(b, ord);
	struct ipam_user key = { .addr = block_addr(b, ord) };
	char text[ADDR_STR_MAX];
	struct ipam_problem *p;

	if (bsearch(&key, sorted, c->n_user, sizeof(key), by_addr))
		return;
	p = add(c, PROBLEM_UNUSED,
		xasprintf("%s, handle %s", addr_format(&key.addr, text), a->handle));
	p->addr = key.addr;
	p->handle = xstrdup(a->handle);
	p->seq = b->seq_of[ord];
}

static size_t check_blocks(const struct ipam_check *c, const struct ipam_user *sorted)
{
	size_t n = 0;

	for (size_t i = 0; i < c->blocks->block.n; i++) {
		const struct block *b = c->blocks->block.p[i];

		for (unsigned ord = 0; ord < b->size; ord++) {
			const struct block_attr *a = block_attr_of(b, ord);

			if (!a || !a->handle)
				continue;
			n++;
			if (c->n_user)
				check_unused(c, sorted, b, ord);
		}
	}
	return n;
}

static int by_key(const void *a, const void *b)
{
	const struct store_kv *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static void check_held(const struct ipam_check *c, const struct block *b, const char *id)
{
	struct store_kv key = { .key = ipamkey_handle(id) };
	char cidr[PREFIX_STR_MAX];

	if (!c->handles->n || !bsearch(&key, c->handles->kv, c->handles->n, sizeof(key), by_key))
		add(c, PROBLEM_HANDLE_MISSING,
		    xasprintf("%u in block %s are held by %s, which does not exist",
			      block_held_by(b, id, NULL), prefix_format(&b->cidr, cidr), id));
	free(key.key);
}

static void check_handle(const struct ipam_check *c, const struct store_kv *kv)
{
	CLEANUP(handle_freep) struct handle *h = NULL;
	const char *id = ipamkey_parse_handle(kv->key);
	unsigned all = 0;
	char cidr[PREFIX_STR_MAX];
	struct err e;

	if (!id)
		return;
	if (handle_decode(kv->value, strlen(kv->value), &h, &e) < 0) {
		add(c, PROBLEM_INVALID, xasprintf("handle %s: %s", id, e.msg));
		return;
	}
	for (size_t i = 0; i < h->n_entry; i++) {
		const struct block *b = find_block(c, &h->entry[i].block);
		unsigned held = b ? block_held_by(b, id, NULL) : 0;

		all += held;
		if (held && held != h->entry[i].n)
			add(c, PROBLEM_HANDLE_COUNT,
			    xasprintf("%s says %u in block %s, which says %u", id, h->entry[i].n,
				      prefix_format(&h->entry[i].block, cidr), held));
	}
	if (all == 0)
		add(c, PROBLEM_HANDLE_EMPTY, xasprintf("%s", id));
}

static void check_handles(const struct ipam_check *c)
{
	for (size_t i = 0; i < c->handles->n; i++)
		check_handle(c, &c->handles->kv[i]);
	for (size_t i = 0; i < c->blocks->block.n; i++) {
		const struct block *b = c->blocks->block.p[i];

		for (unsigned k = 0; k < b->n_attr; k++)
			if (b->attr[k].handle)
				check_held(c, b, b->attr[k].handle);
	}
}

/* ---- affinities ---- */

static void check_affinity(const struct ipam_check *c, const struct store_kv *kv)
{
	CLEANUP(freep) char *owner = NULL;
	const struct block *b;
	struct affinity a;
	struct prefix cidr;
	struct err e;

	if (!ipamkey_parse_affinity(kv->key, &owner, &cidr))
		return;
	if (affinity_decode(kv->value, strlen(kv->value), &a, &e) < 0) {
		add(c, PROBLEM_INVALID, xasprintf("affinity %s: %s", kv->key, e.msg));
		return;
	}
	b = find_block(c, &cidr);
	if (a.state != AFFINITY_CONFIRMED)
		add(c, PROBLEM_AFFINITY,
		    xasprintf("%s is %s", kv->key, affinity_state_name(a.state)));
	else if (!b || !block_owned_by(b, owner))
		add(c, PROBLEM_AFFINITY,
		    xasprintf("%s: the block %s%s", kv->key, b ? "belongs to " : "does not exist",
			      !b	    ? ""
			      : b->affinity ? b->affinity
					    : "nobody"));
	affinity_done(&a);
}

static void check_affinities(const struct ipam_check *c)
{
	char cidr[PREFIX_STR_MAX];

	for (size_t i = 0; i < c->affinities->n; i++)
		check_affinity(c, &c->affinities->kv[i]);
	for (size_t i = 0; i < c->blocks->block.n; i++) {
		const struct block *b = c->blocks->block.p[i];
		struct store_kv key;

		if (!b->affinity)
			continue;
		key.key = ipamkey_affinity(b->affinity, &b->cidr);
		if (!c->affinities->n ||
		    !bsearch(&key, c->affinities->kv, c->affinities->n, sizeof(key), by_key))
			add(c, PROBLEM_AFFINITY,
			    xasprintf("block %s belongs to %s, which has no affinity for it",
				      prefix_format(&b->cidr, cidr), b->affinity));
		free(key.key);
	}
}

size_t ipam_check(const struct ipam_check *c)
{
	struct ipam_user *sorted = xmemdup(c->user, c->n_user * sizeof(*c->user));
	size_t n;

	if (c->n_user)
		qsort(sorted, c->n_user, sizeof(*sorted), by_addr);
	check_users(c, sorted);
	n = check_blocks(c, sorted);
	check_handles(c);
	check_affinities(c);
	free(sorted);
	return n;
}
