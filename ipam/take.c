/* take.c - addresses out of one block
 *
 *	look at the block --> count what the handle will hold --> write the block --> done
 *	     ^   (cached at first)                                    | conflict
 *	     +-- fresh -----------------------------------------------+
 *
 * WHY   after a conflict the write may have happened all the same, its answer lost: what the handle
 *	 holds by then is ours. And the handle is written again before the block, even when its
 *count is right: whoever made us lose may be about to correct the handle, and must lose in turn.
 * SPEC  data model 3.4, 3.5 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in);

static enum ipam_state read_block(struct ipam_op *op, bool fresh)
{
	return ipam_slot_get(op, &op->take.cidr, fresh, on_block);
}

static enum ipam_state left(struct ipam_op *op, int outcome)
{
	if (op->take.outcome == TAKE_NOT_OURS || op->take.outcome == TAKE_GONE)
		ipam_slot_clear(op);
	return op->take.then(op, op->take.outcome);
}

/* Done with this block. If the handle was written for it, it must say what came of it. */
static enum ipam_state leave(struct ipam_op *op, int outcome)
{
	struct ipam_take *t = &op->take;

	t->outcome = outcome;
	if (!t->counted || outcome == TAKE_BROKEN)
		return left(op, 0);
	return ipam_count_settle(op, &t->cidr, left);
}

/* Addresses that our handle holds here and that are not among the results yet. */
static unsigned add_held(struct ipam_op *op)
{
	struct ipam_take *t = &op->take;
	unsigned n = 0;

	for (unsigned i = 0; i < op->block->size; i++) {
		const struct block_attr *a = block_attr_of(op->block, i);

		if (a && str_eq(a->handle, op->handle_id) && op->want[t->family] > 0 &&
		    ipam_add_addr(op, op->block, i, false)) {
			op->want[t->family]--;
			n++;
		}
	}
	return n;
}

static enum ipam_state on_written(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_take *t = &op->take;

	if (in->status != STORE_OK)
		return read_block(op, true);
	op->block_rev = in->rev;
	for (unsigned i = 0; i < t->n; i++)
		if (ipam_add_addr(op, op->block, t->ords[i], false))
			op->want[t->family]--;
	return leave(op, TAKE_DONE);
}

static enum ipam_state on_counted(struct ipam_op *op, int outcome)
{
	struct ipam_take *t = &op->take;
	uint64_t seq;

	if (outcome == COUNT_EXISTED)
		return t->then(op, TAKE_EXISTED);
	t->counted = true;
	seq = block_next_write(op->block);
	if (op->ip.family) {
		block_ord(op->block, &op->ip, &t->ords[0]);
		block_take(op->block, t->ords[0], op->attr_json, seq);
	} else {
		block_take_next(op->block, t->n, op->world.reserved, op->world.n_reserved,
				op->attr_json, seq, t->ords);
	}
	return ipam_slot_update(op, on_written);
}

static enum ipam_state take_n(struct ipam_op *op, unsigned n)
{
	struct ipam_take *t = &op->take;
	unsigned held = block_held_by(op->block, op->handle_id, NULL);

	t->n = n;
	if (!ipam_prefixes_has(&op->as.counted, &t->cidr))
		vec_push(&op->as.counted, t->cidr);
	return ipam_count_raise(op, &t->cidr, held + n, on_counted);
}

static enum ipam_state ip_taken(struct ipam_op *op, const struct block_attr *a)
{
	char text[ADDR_STR_MAX];

	addr_format(&op->ip, text);
	if (!a->handle)
		return ipam_giveup(op, IPAM_FAIL_TAKEN, -EEXIST,
				   "address %s was released a moment ago and cools down for "
				   "ipCooldownSeconds %u: try again later",
				   text, op->config.cooldown_s);
	return ipam_giveup(op, IPAM_FAIL_TAKEN, -EEXIST,
			   "address %s is already assigned, to handle %s", text, a->handle);
}

/* assign_ip: this address of the block, if it is free and may be taken. */
static enum ipam_state look_for_ip(struct ipam_op *op)
{
	const struct block_attr *a;
	char ip[ADDR_STR_MAX], cidr[PREFIX_STR_MAX];
	unsigned ord = 0;

	block_ord(op->block, &op->ip, &ord);
	a = block_attr_of(op->block, ord);
	if (a && str_eq(a->handle, op->handle_id)) {
		if (ipam_add_addr(op, op->block, ord, !op->take.counted))
			op->want[op->take.family]--;
		return leave(op, TAKE_DONE);
	}
	if (a)
		return ip_taken(op, a);
	if (op->config.strict_affinity && !block_owned_by(op->block, op->owner))
		return ipam_giveup(op, IPAM_FAIL_STRICT, -EACCES,
				   "address %s lies in block %s of %s, not of host %s: strict "
				   "affinity forbids it",
				   addr_format(&op->ip, ip), prefix_format(&op->take.cidr, cidr),
				   op->block->affinity ? op->block->affinity : "nobody", op->host);
	return take_n(op, 1);
}

static enum ipam_state look(struct ipam_op *op, bool sure);

static enum ipam_state on_bumped(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return read_block(op, true);
	op->block_rev = in->rev;
	op->take.bumped = true;
	return look(op, true);
}

/* The block says that this ADD is a repeated one. The handle says where else it holds something. */
static enum ipam_state on_handle(struct ipam_op *op, int ignored)
{
	if (op->count.h)
		return op->take.then(op, TAKE_EXISTED);
	op->count.adopt = false;
	return look(op, true);
}

/* sure: the block is not from a cache. */
static enum ipam_state look(struct ipam_op *op, bool sure)
{
	struct ipam_take *t = &op->take;
	unsigned n;

	if (!op->block)
		return sure ? leave(op, TAKE_GONE) : read_block(op, true);
	if (!sure && (block_held_by(op->block, op->handle_id, NULL) ||
		      (t->own_only && !block_owned_by(op->block, op->owner))))
		return read_block(op, true);
	if (op->count.adopt && block_held_by(op->block, op->handle_id, NULL))
		return ipam_count_read(op, true, on_handle);
	/* Held since before: a release of it may be on its way, and must fail. */
	if (!t->counted && !t->bumped && block_held_by(op->block, op->handle_id, NULL))
		return ipam_slot_bump(op, on_bumped);
	if (op->ip.family)
		return look_for_ip(op);
	add_held(op);
	if (t->own_only && !block_owned_by(op->block, op->owner))
		return leave(op, TAKE_NOT_OURS);
	n = block_available(op->block, op->world.reserved, op->world.n_reserved);
	if (n > op->want[t->family])
		n = op->want[t->family];
	return n ? take_n(op, n) : leave(op, TAKE_DONE);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in)
{
	if (ipam_slot_read(op, &op->take.cidr, in) < 0) {
		if (!op->as.broken)
			op->as.broken = xstrdup(op->err.msg);
		return leave(op, TAKE_BROKEN);
	}
	return look(op, op->asked_fresh);
}

enum ipam_state ipam_take(struct ipam_op *op, const struct prefix *cidr, bool own_only, bool have,
			  ipam_then_fn *then)
{
	struct ipam_take *t = &op->take;

	t->cidr = *cidr;
	t->family = cidr->addr.family == IP_V6;
	t->own_only = own_only;
	t->counted = t->bumped = false;
	t->then = then;
	ipam_count_for(op, op->handle_id);
	return have ? look(op, true) : read_block(op, false);
}
