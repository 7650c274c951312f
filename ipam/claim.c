/* claim.c - a block becomes a host's
 *
 *	create affinity (pending) --exists--> read --> write pending
 *	     |                                             |
 *	create block <-------------------------------------+
 *	     |  exists: ours -> bump it, so that somebody who is about to release it fails
 *	     |          another's -> delete our affinity: CLAIM_TAKEN
 *	confirm affinity
 *	     |  changed: confirmed by another operation of this host -> fine
 *	     |           pending, by one as well -> confirm that one
 *	     |           on its way out, or gone -> from the start
 *	CLAIM_OK, the block at hand
 *
 * SPEC data model 3.3 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state start(struct ipam_op *op);
static enum ipam_state confirm(struct ipam_op *op);

static char *aff_key(const struct ipam_op *op)
{
	return ipamkey_affinity(op->claim.owner, &op->claim.cidr);
}

static enum ipam_state aff_write(struct ipam_op *op, enum affinity_state state, ipam_step_fn *next)
{
	struct store_req req = { .verb = op->claim.rev ? STORE_UPDATE : STORE_CREATE,
				 .key = aff_key(op),
				 .rev = op->claim.rev };

	op->claim.aff.state = state;
	op->claim.aff.deleted = false;
	req.value = affinity_encode(&op->claim.aff);
	return ipam_ask(op, req, next);
}

static int aff_read(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_claim *c = &op->claim;

	affinity_done(&c->aff);
	c->rev = 0;
	if (in->status == STORE_NOT_FOUND || in->n == 0)
		return 0;
	c->rev = in->kv[0].rev;
	if (affinity_decode(in->kv[0].value, strlen(in->kv[0].value), &c->aff, &op->err) < 0)
		return err_wrap(&op->err, "%s", in->kv[0].key);
	return 0;
}

static enum ipam_state taken(struct ipam_op *op, const struct store_res *in)
{
	ipam_slot_clear(op);
	return op->claim.then(op, CLAIM_TAKEN);
}

static enum ipam_state on_confirm_read(struct ipam_op *op, const struct store_res *in)
{
	if (aff_read(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (op->claim.rev && op->claim.aff.state == AFFINITY_CONFIRMED)
		return op->claim.then(op, CLAIM_OK);
	if (op->claim.rev && op->claim.aff.state == AFFINITY_PENDING)
		return confirm(op);
	return start(op);
}

static enum ipam_state on_confirmed(struct ipam_op *op, const struct store_res *in)
{
	if (in->status == STORE_OK)
		return op->claim.then(op, CLAIM_OK);
	return ipam_get(op, aff_key(op), true, on_confirm_read);
}

static enum ipam_state confirm(struct ipam_op *op)
{
	return aff_write(op, AFFINITY_CONFIRMED, on_confirmed);
}

static enum ipam_state on_block_read(struct ipam_op *op, const struct store_res *in);
static enum ipam_state on_block_created(struct ipam_op *op, const struct store_res *in);

static enum ipam_state block_create(struct ipam_op *op)
{
	ipam_slot_clear(op);
	op->block = block_new(&op->claim.cidr, op->claim.owner, op->now_ns);
	return ipam_slot_create(op, on_block_created);
}

static enum ipam_state block_again(struct ipam_op *op)
{
	return ipam_slot_get(op, &op->claim.cidr, true, on_block_read);
}

static enum ipam_state on_block_created(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return block_again(op);
	op->block_rev = in->rev;
	op->tally.blocks++;
	return confirm(op);
}

static enum ipam_state on_bumped(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return block_again(op);
	op->block_rev = in->rev;
	return confirm(op);
}

static enum ipam_state on_block_read(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_claim *c = &op->claim;
	bool broken = ipam_slot_read(op, &c->cidr, in) < 0;

	if (broken && !op->as.broken)
		op->as.broken = xstrdup(op->err.msg);
	if (!broken && !op->block)
		return block_create(op);
	if (!broken && block_owned_by(op->block, c->owner))
		return ipam_slot_bump(op, on_bumped);
	return ipam_ask(
		op, (struct store_req) { .verb = STORE_DELETE, .key = aff_key(op), .rev = c->rev },
		taken);
}

static enum ipam_state on_aff_read(struct ipam_op *op, const struct store_res *in);

static enum ipam_state on_aff_pending(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return ipam_get(op, aff_key(op), true, on_aff_read);
	op->claim.rev = in->rev;
	return block_create(op);
}

static enum ipam_state on_aff_read(struct ipam_op *op, const struct store_res *in)
{
	if (aff_read(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	/* Written even when it is pending: its revision changes, which defeats a releaser. */
	return aff_write(op, AFFINITY_PENDING, on_aff_pending);
}

static enum ipam_state start(struct ipam_op *op)
{
	affinity_done(&op->claim.aff);
	op->claim.rev = 0;
	return aff_write(op, AFFINITY_PENDING, on_aff_pending);
}

enum ipam_state ipam_claim(struct ipam_op *op, const char *owner, const struct prefix *cidr,
			   ipam_then_fn *then)
{
	char *copy = xstrdup(owner);

	free(op->claim.owner);
	op->claim.owner = copy;
	op->claim.cidr = *cidr;
	op->claim.then = then;
	return start(op);
}
