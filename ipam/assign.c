/* assign.c - addresses for a handle, from wherever they may come
 *
 *	for each family: the pools that qualify, the host's affinities, then until there is enough
 *	  own	     the host's blocks in these pools, mending affinities on the way
 *	  claim	     a block that nobody has                      (needs autoAllocateBlocks,
 *	  reclaim    an empty block of another host               below the host's limit)
 *	  borrow     any block with room                          (not when affinity is strict)
 *
 * The second half, from `claim` on, is in assign_more.c.
 * COST  with everything cached, two writes: the handle is created, the block written
 * SPEC  data model 3.1, 3.2 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/assign_more.h"
#include "ipam/pool.h"

static enum ipam_state own_next(struct ipam_op *op);
static enum ipam_state family_next(struct ipam_op *op, int ignored);

static unsigned n_limit(const struct ipam_op *op)
{
	unsigned limit = op->config.max_blocks_per_host;

	if (op->max_blocks && (!limit || op->max_blocks < limit))
		limit = op->max_blocks;
	return limit ? limit : IPAM_BLOCKS_DEFAULT;
}

static enum ipam_state finish(struct ipam_op *op)
{
	if (op->shortage && op->addr.n == 0)
		return ipam_giveup(op, op->as.short_fail, -ENOSPC, "%s", op->shortage);
	return IPAM_DONE;
}

static enum ipam_state short_for_sure(struct ipam_op *op, enum ipam_fail fail, const char *why)
{
	unsigned f = op->as.family;
	struct err e = { 0 };

	err_set(&e, -ENOSPC, "assigned %u of %u IPv%d addresses: %s%s%s",
		op->wanted[f] - op->want[f], op->wanted[f], f ? 6 : 4, why,
		op->as.broken ? "; besides, " : "", op->as.broken ? op->as.broken : "");
	if (!op->shortage) {
		op->shortage = xstrdup(e.msg);
		op->as.short_fail = fail;
	}
	if (op->all_or_nothing)
		return ipam_giveup(op, fail, -ENOSPC, "%s", e.msg);
	op->as.family++;
	return family_next(op, 0);
}

static enum ipam_state short_after_read(struct ipam_op *op, int ignored)
{
	if (op->count.h)
		return assign_adopt(op);
	op->count.adopt = false;
	return short_for_sure(op, op->as.why_fail, op->as.why);
}

enum ipam_state assign_short(struct ipam_op *op, enum ipam_fail fail, const char *why)
{
	if (!op->count.adopt)
		return short_for_sure(op, fail, why);
	/* Nothing was written yet, so nobody looked: a repeated ADD has its addresses already. */
	free(op->as.why);
	op->as.why = xstrdup(why);
	op->as.why_fail = fail;
	ipam_count_for(op, op->handle_id);
	return ipam_count_read(op, true, short_after_read);
}

enum ipam_state assign_family_done(struct ipam_op *op)
{
	op->as.family++;
	return family_next(op, 0);
}

bool assign_in_pools(const struct ipam_op *op, const struct prefix *cidr)
{
	for (size_t i = 0; i < op->as.n_pool; i++)
		if (prefix_covers(&op->world.pool[op->as.pool[i]].cidr, cidr))
			return true;
	return false;
}

static bool is_wanted(const struct ipam_op *op, const struct prefix *cidr)
{
	return assign_in_pools(op, cidr) && !reserved_wholly(&op->world, cidr);
}

/* The handle exists: is this an ADD that is repeated, or one that crashed? What it holds is the
 * beginning of the result; where it claims to hold more than it does, both are put right. */
static enum ipam_state adopt_next(struct ipam_op *op, int ignored);

static enum ipam_state adopt_block(struct ipam_op *op, const struct store_res *in);

static enum ipam_state adopt_read(struct ipam_op *op)
{
	return ipam_slot_get(op, &op->as.candidate, true, adopt_block);
}

static enum ipam_state adopt_count(struct ipam_op *op)
{
	struct prefix cidr = op->as.candidate;
	unsigned held = op->block ? block_held_by(op->block, op->handle_id, NULL) : 0;

	for (unsigned i = 0; op->block && i < op->block->size; i++) {
		const struct block_attr *a = block_attr_of(op->block, i);
		unsigned f = cidr.addr.family == IP_V6;

		if (a && str_eq(a->handle, op->handle_id) &&
		    ipam_add_addr(op, op->block, i, true) && op->want[f] > 0)
			op->want[f]--;
	}
	if (held)
		op->as.at++;
	return ipam_count_settle(op, &cidr, adopt_next);
}

static enum ipam_state adopt_bumped(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return adopt_read(op);
	op->block_rev = in->rev;
	return adopt_count(op);
}

static enum ipam_state adopt_block(struct ipam_op *op, const struct store_res *in)
{
	if (ipam_slot_read(op, &op->as.candidate, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	/* Whatever is on its way there, an allocation or a release, fails from here on. */
	return op->block ? ipam_slot_bump(op, adopt_bumped) : adopt_count(op);
}

static enum ipam_state adopt_next(struct ipam_op *op, int ignored)
{
	if (!op->count.h || op->as.at >= op->count.h->n_entry) {
		op->as.family = 0;
		return family_next(op, 0);
	}
	op->as.candidate = op->count.h->entry[op->as.at].block;
	return adopt_read(op);
}

enum ipam_state assign_adopt(struct ipam_op *op)
{
	op->count.adopt = false;
	op->as.at = 0;
	return adopt_next(op, 0);
}

static enum ipam_state own_stale(struct ipam_op *op, int outcome)
{
	op->as.n_blocks--;
	op->as.at++;
	return own_next(op);
}

static enum ipam_state own_claimed(struct ipam_op *op, int outcome);

static enum ipam_state own_taken(struct ipam_op *op, int outcome)
{
	const struct ipam_aff *aff = &op->as.aff.p[op->as.at];

	switch (outcome) {
	case TAKE_EXISTED:
		return assign_adopt(op);
	case TAKE_GONE: /* affinity without block */
		return ipam_claim(op, op->owner, &aff->cidr, own_claimed);
	case TAKE_NOT_OURS: /* affinity that lost its block to somebody */
		return ipam_unclaim(op, op->owner, &aff->cidr, 0, false, own_stale);
	default:
		op->as.at++;
		return op->want[op->as.family] ? own_next(op) : assign_family_done(op);
	}
}

static enum ipam_state own_claimed(struct ipam_op *op, int outcome)
{
	struct prefix cidr = op->as.aff.p[op->as.at].cidr;

	if (outcome == CLAIM_OK)
		return ipam_take(op, &cidr, true, true, own_taken);
	op->as.n_blocks--;
	op->as.at++;
	return own_next(op);
}

static enum ipam_state own_next(struct ipam_op *op)
{
	struct ipam_assigning *as = &op->as;
	struct prefix cidr;

	while (as->at < as->aff.n && !is_wanted(op, &as->aff.p[as->at].cidr))
		as->at++;
	op->tries = 0;
	if (as->at == as->aff.n)
		return assign_more(op, n_limit(op));
	cidr = as->aff.p[as->at].cidr;
	if (as->aff.p[as->at].state == AFFINITY_CONFIRMED)
		return ipam_take(op, &cidr, true, false, own_taken);
	return ipam_claim(op, op->owner, &cidr, own_claimed);
}

static enum ipam_state on_affs(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_assigning *as = &op->as;

	ipam_affs_clear(&as->aff);
	if (ipam_affs_read(op, &as->aff, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	as->at = 0;
	as->n_blocks = 0;
	vec_foreach (&as->aff, it)
		as->n_blocks += assign_in_pools(op, &it->cidr);
	return own_next(op);
}

static enum ipam_state family_start(struct ipam_op *op)
{
	struct ipam_assigning *as = &op->as;
	enum ip_family family = as->family ? IP_V6 : IP_V4;
	struct pool_query q = { .world = &op->world,
				.family = family,
				.use = (enum ipam_use)op->use,
				.asked = op->asked[as->family],
				.host = op->host };
	struct err e = { 0 };
	ssize_t n;

	assign_more_reset(op);
	free(as->pool);
	as->pool = xcalloc(op->world.n_pool, sizeof(*as->pool));
	n = pool_choose(&q, as->pool, &e);
	if (n < 0)
		return assign_short(op, IPAM_FAIL_NO_POOL, e.msg);
	as->n_pool = (size_t)n;
	return ipam_list(op, ipamkey_affinities(op->owner, family), false, on_affs);
}

static enum ipam_state family_next(struct ipam_op *op, int ignored)
{
	while (op->as.family < 2 && op->want[op->as.family] == 0)
		op->as.family++;
	return op->as.family < 2 ? family_start(op) : finish(op);
}

static enum ipam_state start(struct ipam_op *op, const struct store_res *in)
{
	if (!op->host || !ipamkey_element_ok(op->host))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "host \"%s\": must be a node's name", op->host ? op->host : "");
	if (!op->handle_id || !ipamkey_element_ok(op->handle_id))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "handle \"%s\": must be a text without slash or blank",
				   op->handle_id ? op->handle_id : "");
	if (op->want[0] + op->want[1] == 0 || op->want[0] > IPAM_WANT_MAX ||
	    op->want[1] > IPAM_WANT_MAX)
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "%u IPv4 and %u IPv6 addresses: must be 1 to %d", op->want[0],
				   op->want[1], IPAM_WANT_MAX);
	return ipam_config(op, family_next);
}

static struct ipam_names names_copy(const struct ipam_names *names)
{
	char **copy = xcalloc(names->n, sizeof(*copy));

	for (size_t i = 0; i < names->n; i++)
		copy[i] = xstrdup(names->p[i]);
	return (struct ipam_names) { .p = (const char *const *)copy, .n = names->n };
}

struct ipam_op *ipam_assign_op(const struct ipam_assign *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, start);

	if (req->use == IPAM_USE_LOAD_BALANCER) {
		free(op->owner);
		op->owner = xstrdup(IPAMKEY_OWNER_VIRTUAL "load-balancer");
	}
	op->handle_id = xstrdup(req->handle);
	op->attr_json = block_attr_json(req->handle, req->attrs);
	op->use = req->use;
	op->wanted[0] = op->want[0] = req->want_v4;
	op->wanted[1] = op->want[1] = req->want_v6;
	op->asked[0] = names_copy(&req->pools_v4);
	op->asked[1] = names_copy(&req->pools_v6);
	op->max_blocks = req->max_blocks;
	op->all_or_nothing = req->all_or_nothing;
	op->own_only = req->own_only;
	op->count.adopt = true;
	op->on_fail = ipam_undo;
	return op;
}
