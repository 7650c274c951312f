/* drop.c - addresses back into one block
 *
 *	look --> read the handles --> write the block --> settle what the handles say
 *	  ^                                | conflict
 *	  +-- fresh -----------------------+
 *
 * WHY   the block goes first: when the second half is lost, handles claim too much, which repair
 *	 sees and a release by handle copes with.
 * SPEC  data model 3.6 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in);

unsigned ipam_pick_handle(struct ipam_op *op, const struct block *b, unsigned *ords, bool *unsure)
{
	unsigned all = block_held_by(b, op->handle_id, ords), n = 0;

	*unsure = all == 0 || (op->count.h && handle_count(op->count.h, &b->cidr) != all);
	for (unsigned i = 0; i < all; i++) {
		struct addr a = block_addr(b, ords[i]);
		bool keep = false;

		if (op->undoing) /* what it had before this operation it keeps */
			vec_foreach (&op->addr, it)
				keep = keep || (it->held && addr_eq(&it->addr, &a));
		if (!keep)
			ords[n++] = ords[i];
	}
	return n;
}

static enum ipam_state read_block(struct ipam_op *op, bool fresh)
{
	return ipam_slot_get(op, &op->drop.cidr, fresh, on_block);
}

/* Each handle that lost something is made to say so. */
static enum ipam_state next_count(struct ipam_op *op, int outcome)
{
	struct ipam_drop *d = &op->drop;

	if (d->at == d->handles.n)
		return d->then(op, DROP_OK);
	ipam_count_for(op, d->handles.p[d->at++]);
	return ipam_count_settle(op, &d->cidr, next_count);
}

/* The block was not written by us after they were read. */
static void forget_handles(struct ipam_op *op)
{
	vec_foreach (&op->drop.handles, it) {
		ipam_count_for(op, *it);
		op->count.known = false;
	}
}

static enum ipam_state settle_unwritten(struct ipam_op *op)
{
	forget_handles(op);
	return next_count(op, 0);
}

static void note_handle(struct ipam_drop *d, const char *id)
{
	if (!id)
		return;
	vec_foreach (&d->handles, it)
		if (strcmp(*it, id) == 0)
			return;
	vec_push(&d->handles, xstrdup(id));
}

/* What was to go in the write under way is gone: by that write, or by somebody's before it. */
static void note_released(struct ipam_op *op)
{
	struct ipam_drop *d = &op->drop;

	for (unsigned i = 0; i < d->n; i++)
		if (!op->undoing)
			vec_push(&op->addr, d->addrs[i]);
	op->tally.released += d->n;
	d->n = 0;
}

static bool still_to_go(const struct ipam_drop *d, const struct addr *a, const unsigned *ords,
			unsigned n, const struct block *b)
{
	for (unsigned i = 0; i < n; i++) {
		struct addr other = block_addr(b, ords[i]);

		if (addr_eq(a, &other))
			return true;
	}
	return false;
}

/* After a conflict: of what we tried to release, what is not to be picked any more is released. */
static void settle_lost(struct ipam_op *op, const unsigned *ords, unsigned n)
{
	struct ipam_drop *d = &op->drop;
	unsigned gone = 0;

	for (unsigned i = 0; i < d->n; i++)
		if (!op->block || !still_to_go(d, &d->addrs[i].addr, ords, n, op->block))
			d->addrs[gone++] = d->addrs[i];
	d->n = gone;
	note_released(op);
}

static enum ipam_state on_written(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK) {
		forget_handles(op);
		return read_block(op, true);
	}
	op->block_rev = in->rev;
	note_released(op);
	return next_count(op, 0);
}

static enum ipam_state on_deleted(struct ipam_op *op, const struct store_res *in)
{
	if (in->status == STORE_CONFLICT) {
		forget_handles(op);
		return read_block(op, true);
	}
	ipam_slot_clear(op);
	note_released(op);
	return next_count(op, 0);
}

static enum ipam_state write_block(struct ipam_op *op)
{
	struct block *b = op->block;

	block_next_write(b);
	for (unsigned i = 0; i < op->drop.n; i++)
		block_release(b, op->drop.ords[i], op->now_ns);
	block_collect(b, op->now_ns, op->config.cooldown_s);
	if (block_is_empty(b) && !b->affinity)
		return ipam_slot_delete(op, on_deleted);
	return ipam_slot_update(op, on_written);
}

/* Handles are read before the block is written: see count.c. */
static enum ipam_state read_handles(struct ipam_op *op, int ignored)
{
	struct ipam_drop *d = &op->drop;

	vec_foreach (&d->handles, it) {
		ipam_count_for(op, *it);
		if (!op->count.known)
			return ipam_count_read(op, false, read_handles);
	}
	return write_block(op);
}

static enum ipam_state drop_n(struct ipam_op *op, unsigned n)
{
	struct ipam_drop *d = &op->drop;
	const struct block *b = op->block;

	free(d->addrs);
	d->addrs = xcalloc(n, sizeof(*d->addrs));
	d->n = n;
	for (unsigned i = 0; i < n; i++) {
		d->addrs[i] = (struct ipam_addr) { .addr = block_addr(b, d->ords[i]),
						   .block = b->cidr,
						   .seq = b->seq_of[d->ords[i]],
						   .held = true };
		note_handle(d, block_attr_of(b, d->ords[i])->handle);
	}
	return read_handles(op, 0);
}

static enum ipam_state look(struct ipam_op *op, bool sure)
{
	struct ipam_drop *d = &op->drop;
	bool unsure = !op->block;
	unsigned n = 0;

	if (op->block) {
		free(d->ords);
		d->ords = xcalloc(op->block->size, sizeof(*d->ords));
		n = d->pick(op, op->block, d->ords, &unsure);
	}
	if (unsure && !sure)
		return read_block(op, true);
	settle_lost(op, d->ords, n);
	return n ? drop_n(op, n) : settle_unwritten(op);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in)
{
	if (ipam_slot_read(op, &op->drop.cidr, in) < 0)
		return op->drop.then(op, DROP_BROKEN);
	return look(op, op->asked_fresh);
}

enum ipam_state ipam_drop(struct ipam_op *op, const struct prefix *cidr, ipam_pick_fn *pick,
			  ipam_then_fn *then)
{
	struct ipam_drop *d = &op->drop;

	d->cidr = *cidr;
	d->pick = pick;
	d->then = then;
	d->n = 0;
	d->at = 0;
	vec_foreach (&d->handles, it)
		free(*it);
	vec_clear(&d->handles);
	if (pick == ipam_pick_handle) /* its count is set even when it holds nothing here */
		note_handle(d, op->handle_id);
	return read_block(op, false);
}
