/* assign_more.c - the host's own blocks are full: claim, reclaim, borrow
 * WHY   one listing of all blocks serves all three. A cached one may be old; that costs a conflict,
 *	 and before anything is said to be full the store itself is asked.
 * SPEC  data model 3.2.3 to 3.2.5 */
#include "ipam/assign_more.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/pool.h"
#include "lib/str.h"

static enum ipam_state claim_next(struct ipam_op *op);
static enum ipam_state borrow_next(struct ipam_op *op);
static enum ipam_state new_claimed(struct ipam_op *op, int outcome);

void assign_more_reset(struct ipam_op *op)
{
	struct ipam_assigning *as = &op->as;

	store_res_done(&as->all);
	vec_clear(&as->blocks);
	vec_clear(&as->tried);
	vec_clear(&as->borrow);
	vec_clear(&as->stray);
	as->listed_fresh = false;
	as->pool_at = as->reclaim_at = 0;
	as->walked = 0;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static bool exists(const struct ipam_assigning *as, const struct prefix *p)
{
	return as->blocks.n && bsearch(p, as->blocks.p, as->blocks.n, sizeof(*p), by_prefix);
}

/* The block of a listing's entry; NULL when it is broken: it is not ours to touch. */
static struct block *listed_block(const struct ipam_op *op, const struct store_kv *kv)
{
	struct block *b = NULL;

	if (block_decode(kv->value, strlen(kv->value), &b, NULL) < 0)
		return NULL;
	block_collect(b, op->now_ns, op->config.cooldown_s);
	return b;
}

static bool in_affinities(const struct ipam_op *op, const struct prefix *cidr)
{
	const struct ipam_affs *affs = &op->as.aff;

	for (size_t i = 0; i < affs->n; i++)
		if (prefix_eq(&affs->p[i].cidr, cidr))
			return true;
	return false;
}

/* Is this a block of ours with room that we have no affinity for? */
static bool is_stray(const struct ipam_op *op, const struct store_kv *kv, const struct prefix *cidr)
{
	CLEANUP(block_freep) struct block *b = NULL;

	if (!strstr(kv->value, op->owner) || in_affinities(op, cidr) ||
	    !assign_in_pools(op, cidr) || reserved_wholly(&op->world, cidr))
		return false;
	b = listed_block(op, kv);
	return b && block_owned_by(b, op->owner) && b->n_free > 0;
}

static enum ipam_state on_all(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_assigning *as = &op->as;
	struct prefix p;

	store_res_done(&as->all);
	as->all = store_res_copy(in);
	vec_clear(&as->blocks);
	vec_clear(&as->stray);
	for (size_t i = 0; i < in->n; i++) {
		if (!ipamkey_parse_block(in->kv[i].key, &p))
			continue;
		vec_push(&as->blocks, p);
		if (is_stray(op, &in->kv[i], &p))
			vec_push(&as->stray, p);
	}
	if (as->blocks.n)
		qsort(as->blocks.p, as->blocks.n, sizeof(*as->blocks.p), by_prefix);
	as->listed_fresh = op->asked_fresh;
	as->pool_at = as->reclaim_at = 0;
	as->walked = 0;
	return as->listed_then(op, 0);
}

static enum ipam_state list_all(struct ipam_op *op, bool fresh, ipam_then_fn *then)
{
	op->as.listed_then = then;
	return ipam_list(op, ipamkey_blocks(op->as.family ? IP_V6 : IP_V4), fresh, on_all);
}

/* What the host sees when it is told that there is nothing left. */
struct situation {
	unsigned blocks, free, own;
};

static struct situation situation(const struct ipam_op *op)
{
	struct situation s = { 0 };

	for (size_t i = 0; i < op->as.all.n; i++) {
		CLEANUP(block_freep) struct block *b = listed_block(op, &op->as.all.kv[i]);

		if (!b || !assign_in_pools(op, &b->cidr))
			continue;
		s.blocks++;
		s.own += block_owned_by(b, op->owner);
		s.free += block_available(b, op->world.reserved, op->world.n_reserved);
	}
	return s;
}

static char *pool_names(const struct ipam_op *op)
{
	struct str s = { 0 };
	char cidr[PREFIX_STR_MAX];

	for (size_t i = 0; i < op->as.n_pool && i < 4; i++) {
		const struct ipam_pool *pool = &op->world.pool[op->as.pool[i]];

		str_addf(&s, "%s%s (%s)", i ? ", " : "", pool->name,
			 prefix_format(&pool->cidr, cidr));
	}
	if (op->as.n_pool > 4)
		str_addf(&s, " and %zu more", op->as.n_pool - 4);
	return str_take(&s);
}

static enum ipam_state out_of_addresses(struct ipam_op *op)
{
	CLEANUP(freep) char *names = pool_names(op);
	CLEANUP(freep) char *why = NULL;
	struct situation s = situation(op);
	bool strict = (op->config.strict_affinity || op->own_only) && s.free > 0;

	if (!op->config.auto_allocate_blocks)
		why = xasprintf(
			"the %u blocks of host %s in IPPool %s are full, and "
			"autoAllocateBlocks is false: set it to true, or give the host a block",
			s.own, op->host, names);
	else if (strict)
		why = xasprintf(
			"no free block for host %s in IPPool %s: it has %u of %u blocks, %u "
			"addresses are free in the others, and %s: add an IPPool%s",
			op->host, names, s.own, s.blocks, s.free,
			op->own_only ? "an address of this kind is never borrowed"
				     : "strict affinity forbids to use them",
			op->own_only ? "" : " or set strictAffinity to false");
	else
		why = xasprintf(
			"IPPool %s is exhausted for host %s: none of its %u blocks (%u of this "
			"host) has a free address: add an IPPool",
			names, op->host, s.blocks, s.own);
	return assign_short(op, strict ? IPAM_FAIL_STRICT : IPAM_FAIL_EXHAUSTED, why);
}

static enum ipam_state at_limit(struct ipam_op *op)
{
	CLEANUP(freep) char *names = pool_names(op);
	CLEANUP(freep)
	char *why = xasprintf("host %s has %u blocks in IPPool %s, and its limit is %u: raise "
			      "maxBlocksPerHost",
			      op->host, op->as.n_blocks, names, op->as.limit);

	return assign_short(op, IPAM_FAIL_BLOCK_LIMIT, why);
}

/* ---- borrow ---- */

struct borrow_order {
	uint32_t place;
	struct prefix cidr;
};

static int by_place(const void *a, const void *b)
{
	const struct borrow_order *x = a, *y = b;

	return x->place < y->place ? -1 : x->place > y->place;
}

static uint32_t seed_of(const struct ipam_op *op, const struct ipam_pool *pool)
{
	/* One-address blocks all look alike: hosts would queue at the same one. */
	if (pool->block_len == addr_bits((enum ip_family)pool->cidr.addr.family))
		return (uint32_t)(op->now_ns >> 10);
	return fnv1(op->owner + strcspn(op->owner, ":") + 1);
}

/* How far from the host's start a block lies in its pool. */
static uint32_t place_of(const struct ipam_op *op, const struct ipam_pool *pool,
			 const struct prefix *cidr)
{
	uint32_t n = pool_n_blocks(pool), start = pool_start(seed_of(op, pool), n);
	unsigned host_bits = addr_bits((enum ip_family)pool->cidr.addr.family) - pool->block_len;
	uint64_t off = 0;

	addr_offset(&pool->cidr.addr, &cidr->addr, UINT64_MAX, &off);
	off = (off >> host_bits) % n;
	return (uint32_t)((off + n - start) % n);
}

static void borrow_from_pool(struct ipam_op *op, const struct ipam_pool *pool)
{
	struct ipam_assigning *as = &op->as;
	VEC(struct borrow_order) order = { 0 };

	for (size_t i = 0; i < as->all.n; i++) {
		CLEANUP(block_freep) struct block *b = listed_block(op, &as->all.kv[i]);
		struct borrow_order o;

		if (!b || !prefix_covers(&pool->cidr, &b->cidr) ||
		    !block_available(b, op->world.reserved, op->world.n_reserved))
			continue;
		o = (struct borrow_order) { place_of(op, pool, &b->cidr), b->cidr };
		vec_push(&order, o);
	}
	if (order.n)
		qsort(order.p, order.n, sizeof(*order.p), by_place);
	vec_foreach (&order, it)
		vec_push(&as->borrow, it->cidr);
	vec_done(&order);
}

static enum ipam_state borrowed(struct ipam_op *op, int outcome)
{
	if (outcome == TAKE_EXISTED)
		return assign_adopt(op);
	op->as.at++;
	return op->want[op->as.family] ? borrow_next(op) : assign_family_done(op);
}

static enum ipam_state borrow_next(struct ipam_op *op)
{
	op->tries = 0;
	if (op->as.at == op->as.borrow.n)
		return out_of_addresses(op);
	return ipam_take(op, &op->as.borrow.p[op->as.at], false, false, borrowed);
}

static enum ipam_state borrow(struct ipam_op *op, int ignored)
{
	struct ipam_assigning *as = &op->as;

	if (op->config.strict_affinity || op->own_only)
		return out_of_addresses(op);
	vec_clear(&as->borrow);
	as->at = 0;
	for (size_t i = 0; i < as->n_pool; i++)
		borrow_from_pool(op, &op->world.pool[as->pool[i]]);
	return borrow_next(op);
}

/* ---- reclaim ---- */

static enum ipam_state reclaim_next(struct ipam_op *op, int ignored);

static enum ipam_state reclaimed(struct ipam_op *op, int outcome)
{
	if (outcome != UNCLAIM_OK)
		return reclaim_next(op, 0);
	return ipam_claim(op, op->owner, &op->as.candidate, new_claimed);
}

/* An empty block that nobody owns: what cooled down in it is over. */
static enum ipam_state on_ownerless(struct ipam_op *op, const struct store_res *in)
{
	ipam_slot_clear(op);
	return reclaimed(op, in->status == STORE_CONFLICT ? UNCLAIM_BUSY : UNCLAIM_OK);
}

/* "host:NAME" or "virtual:NAME", which can stand in a key? */
static bool owner_ok(const char *owner)
{
	const char *colon = strchr(owner, ':');

	return colon && ipamkey_element_ok(colon + 1) &&
	       (str_starts(owner, IPAMKEY_OWNER_HOST) || str_starts(owner, IPAMKEY_OWNER_VIRTUAL));
}

static bool may_reclaim(const struct ipam_op *op, const struct block *b)
{
	return assign_in_pools(op, &b->cidr) && !ipam_prefixes_has(&op->as.tried, &b->cidr) &&
	       !reserved_wholly(&op->world, &b->cidr) && block_is_empty(b) &&
	       !block_owned_by(b, op->owner) && (!b->affinity || owner_ok(b->affinity)) &&
	       block_claimed_ns(b) <= op->now_ns - IPAM_RECLAIM_AGE_NS;
}

static enum ipam_state reclaim_block(struct ipam_op *op, struct block *b, int64_t rev)
{
	vec_push(&op->as.tried, b->cidr);
	op->as.candidate = b->cidr;
	if (b->affinity) {
		enum ipam_state state =
			ipam_unclaim(op, b->affinity, &b->cidr, b->seq, false, reclaimed);

		block_free(b);
		return state;
	}
	ipam_slot_clear(op);
	op->block = b;
	op->block_rev = rev;
	return ipam_slot_delete(op, on_ownerless);
}

static enum ipam_state reclaim_next(struct ipam_op *op, int ignored)
{
	struct ipam_assigning *as = &op->as;

	op->tries = 0;
	while (as->reclaim_at < as->all.n) {
		const struct store_kv *kv = &as->all.kv[as->reclaim_at++];
		struct block *b = listed_block(op, kv);

		if (b && may_reclaim(op, b))
			return reclaim_block(op, b, kv->rev);
		block_free(b);
	}
	return borrow(op, 0);
}

/* ---- claim ---- */

/* The next block in the host's order that nobody has. */
static bool candidate(struct ipam_op *op, struct prefix *out)
{
	struct ipam_assigning *as = &op->as;

	for (; as->pool_at < as->n_pool; as->pool_at++, as->walked = 0) {
		const struct ipam_pool *pool = &op->world.pool[as->pool[as->pool_at]];
		uint32_t n = pool_n_blocks(pool), start = n ? pool_start(seed_of(op, pool), n) : 0;

		while (as->walked < n) {
			uint64_t i = ((uint64_t)start + as->walked++) % n;

			*out = pool_block_at(pool, (uint32_t)i);
			if (!exists(as, out) && !ipam_prefixes_has(&as->tried, out) &&
			    !reserved_wholly(&op->world, out))
				return true;
		}
	}
	return false;
}

/* A block that says it is ours, of which there is no affinity: a crash, or an old listing. */
static bool own_stray(struct ipam_op *op, struct prefix *out)
{
	vec_foreach (&op->as.stray, it)
		if (!ipam_prefixes_has(&op->as.tried, it)) {
			*out = *it;
			return true;
		}
	return false;
}

static enum ipam_state new_taken(struct ipam_op *op, int outcome)
{
	if (outcome == TAKE_EXISTED)
		return assign_adopt(op);
	return op->want[op->as.family] ? claim_next(op) : assign_family_done(op);
}

static enum ipam_state new_claimed(struct ipam_op *op, int outcome)
{
	if (outcome != CLAIM_OK)
		return claim_next(op);
	op->as.n_blocks++;
	return ipam_take(op, &op->as.candidate, true, true, new_taken);
}

static enum ipam_state claim_again(struct ipam_op *op, int ignored)
{
	return claim_next(op);
}

static enum ipam_state claim_next(struct ipam_op *op)
{
	struct ipam_assigning *as = &op->as;

	op->tries = 0;
	if (as->n_blocks >= as->limit)
		return at_limit(op);
	if (own_stray(op, &as->candidate) || candidate(op, &as->candidate)) {
		vec_push(&as->tried, as->candidate);
		return ipam_claim(op, op->owner, &as->candidate, new_claimed);
	}
	if (!as->listed_fresh)
		return list_all(op, true, claim_again);
	return reclaim_next(op, 0);
}

/* ---- tidy: blocks of ours in pools that do not select us any more ---- */

static enum ipam_state tidy_next(struct ipam_op *op, int ignored)
{
	struct ipam_assigning *as = &op->as;

	while (as->at < as->aff.n && !ipam_unselected(op, &as->aff.p[as->at].cidr))
		as->at++;
	if (as->at < as->aff.n)
		return ipam_unclaim(op, op->owner, &as->aff.p[as->at++].cidr, 0, false, tidy_next);
	return list_all(op, false, claim_again);
}

enum ipam_state assign_more(struct ipam_op *op, unsigned limit)
{
	op->as.limit = limit;
	if (!op->config.auto_allocate_blocks)
		return list_all(op, true, borrow);
	if (op->as.n_blocks >= limit)
		return at_limit(op);
	op->as.at = 0;
	return tidy_next(op, 0);
}
