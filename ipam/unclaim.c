/* unclaim.c - a block stops being a host's
 *
 *	read affinity, read block --missing or not the owner's--> delete affinity
 *	     |
 *	affinity pendingDeletion --changed--> somebody claims it: UNCLAIM_BUSY
 *	     |
 *	empty: delete block; in use: block without owner
 *	     |  changed: look again; affinity changed as well: UNCLAIM_BUSY
 *	     |           in use now -> affinity confirmed again: UNCLAIM_USED
 *	delete affinity
 *
 * May be done by any host. A crash in between leaves pendingDeletion, which the owner's next claim
 * or repair settles.
 * SPEC data model 3.3 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state block_away(struct ipam_op *op);

static char *aff_key(const struct ipam_op *op)
{
	return ipamkey_affinity(op->unclaim.owner, &op->unclaim.cidr);
}

static int aff_read(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_unclaim *u = &op->unclaim;

	affinity_done(&u->aff);
	u->rev = 0;
	if (in->status == STORE_NOT_FOUND || in->n == 0)
		return 0;
	u->rev = in->kv[0].rev;
	if (affinity_decode(in->kv[0].value, strlen(in->kv[0].value), &u->aff, &op->err) < 0)
		return err_wrap(&op->err, "%s", in->kv[0].key);
	return 0;
}

static enum ipam_state aff_write(struct ipam_op *op, enum affinity_state state, ipam_step_fn *next)
{
	struct store_req req = { .verb = STORE_UPDATE, .key = aff_key(op), .rev = op->unclaim.rev };

	op->unclaim.aff.state = state;
	req.value = affinity_encode(&op->unclaim.aff);
	return ipam_ask(op, req, next);
}

static enum ipam_state delete_aff(struct ipam_op *op);

static enum ipam_state on_aff_again(struct ipam_op *op, const struct store_res *in)
{
	if (in->status == STORE_OK && in->n && in->kv[0].rev == op->unclaim.rev)
		return delete_aff(op); /* the answer was lost on its way there */
	return op->unclaim.then(op, UNCLAIM_OK);
}

static enum ipam_state on_aff_deleted(struct ipam_op *op, const struct store_res *in)
{
	if (in->status == STORE_CONFLICT)
		return ipam_get(op, aff_key(op), true, on_aff_again);
	return op->unclaim.then(op, UNCLAIM_OK);
}

static enum ipam_state delete_aff(struct ipam_op *op)
{
	struct store_req req = { .verb = STORE_DELETE, .rev = op->unclaim.rev };

	if (!op->unclaim.rev)
		return op->unclaim.then(op, UNCLAIM_OK);
	req.key = aff_key(op);
	return ipam_ask(op, req, on_aff_deleted);
}

static enum ipam_state on_restored(struct ipam_op *op, const struct store_res *in)
{
	return op->unclaim.then(op, UNCLAIM_USED);
}

static enum ipam_state try_again(struct ipam_op *op)
{
	struct ipam_unclaim *u = &op->unclaim;

	if (u->even_used || (block_is_empty(op->block) && !u->want_seq))
		return block_away(op);
	return u->rev ? aff_write(op, AFFINITY_CONFIRMED, on_restored) : u->then(op, UNCLAIM_USED);
}

/* Was it a pod that changed the block, or the owner who wants it after all? Asked after the block
 * was read: an owner who claims it from now on bumps the block, and our next write of it fails. */
static enum ipam_state on_still_marked(struct ipam_op *op, const struct store_res *in)
{
	int64_t mark = op->unclaim.rev;

	if (aff_read(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	return op->unclaim.rev == mark ? try_again(op) : op->unclaim.then(op, UNCLAIM_BUSY);
}

static enum ipam_state on_block_again(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_unclaim *u = &op->unclaim;

	if (ipam_slot_read(op, &u->cidr, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (!op->block || !block_owned_by(op->block, u->owner))
		return delete_aff(op);
	return u->rev ? ipam_get(op, aff_key(op), true, on_still_marked) : try_again(op);
}

static enum ipam_state on_block_away(struct ipam_op *op, const struct store_res *in)
{
	if (in->status == STORE_CONFLICT)
		return ipam_slot_get(op, &op->unclaim.cidr, true, on_block_again);
	if (in->status == STORE_OK)
		op->tally.blocks++;
	ipam_slot_clear(op);
	return delete_aff(op);
}

static enum ipam_state block_away(struct ipam_op *op)
{
	struct block *b = op->block;

	if (block_is_empty(b))
		return ipam_slot_delete(op, on_block_away);
	free(b->affinity);
	free(b->claim_time);
	b->affinity = b->claim_time = NULL;
	return ipam_slot_bump(op, on_block_away);
}

static enum ipam_state on_mark_read(struct ipam_op *op, const struct store_res *in)
{
	if (aff_read(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (op->unclaim.rev && op->unclaim.aff.state == AFFINITY_PENDING_DELETION)
		return block_away(op);
	return op->unclaim.then(op, UNCLAIM_BUSY);
}

static enum ipam_state on_marked(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return ipam_get(op, aff_key(op), true, on_mark_read);
	op->unclaim.rev = in->rev;
	return block_away(op);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_unclaim *u = &op->unclaim;

	if (ipam_slot_read(op, &u->cidr, in) < 0) {
		if (!op->as.broken)
			op->as.broken = xstrdup(op->err.msg);
		return u->then(op, UNCLAIM_USED);
	}
	if (!op->block || !block_owned_by(op->block, u->owner))
		return delete_aff(op);
	if (u->want_seq && op->block->seq != u->want_seq)
		return u->then(op, UNCLAIM_BUSY);
	if (!u->even_used && !block_is_empty(op->block))
		return u->then(op, UNCLAIM_USED);
	if (!u->rev)
		return block_away(op);
	return aff_write(op, AFFINITY_PENDING_DELETION, on_marked);
}

static enum ipam_state on_aff(struct ipam_op *op, const struct store_res *in)
{
	if (aff_read(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	return ipam_slot_get(op, &op->unclaim.cidr, true, on_block);
}

enum ipam_state ipam_unclaim(struct ipam_op *op, const char *owner, const struct prefix *cidr,
			     uint64_t want_seq, bool even_used, ipam_then_fn *then)
{
	struct ipam_unclaim *u = &op->unclaim;
	char *copy = xstrdup(owner);

	free(u->owner);
	u->owner = copy;
	u->cidr = *cidr;
	u->want_seq = want_seq;
	u->even_used = even_used;
	u->then = then;
	return ipam_get(op, aff_key(op), true, on_aff);
}
