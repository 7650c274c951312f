/* count.c - how many addresses a handle holds in a block
 * WHY   the count is written before the block when addresses are taken and after it when they go,
 *	 so a crash leaves a handle that claims too much, never addresses that no handle leads to.
 *	 It is set, not added to: a lost answer or a second try cannot make it wrong.
 *	 DIFFERS: it is right also when fewer addresses were obtained than wanted.
 * SHAPE raise (take):	 CREATE at once, or UPDATE at the known revision; conflict: read, again
 *	 settle (drop):	 UPDATE or DELETE at the revision read before the block was written
 *			     conflict: read handle, read block; if they differ bump the block,
 *			     write the handle at the revision read; conflict: again
 *	 Lowering needs that order. An ADD of the same handle may stand between its two writes: the
 *	 block written after the handle was read makes it fail, it writes the handle again, and that
 *	 makes us fail. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state raise_go(struct ipam_op *op);
static enum ipam_state agree(struct ipam_op *op);

/* ---- the handle at hand ---- */

void ipam_count_for(struct ipam_op *op, const char *handle_id)
{
	struct ipam_count *c = &op->count;

	if (c->id && strcmp(c->id, handle_id) == 0)
		return;
	if (c->id)
		vec_push(&op->others, *c);
	for (size_t i = 0; i < op->others.n; i++)
		if (strcmp(op->others.p[i].id, handle_id) == 0) {
			*c = op->others.p[i];
			vec_remove_fast(&op->others, i);
			return;
		}
	*c = (struct ipam_count) { .id = xstrdup(handle_id), .adopt = c->adopt };
}

static int read_handle(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_count *c = &op->count;

	handle_free(c->h);
	c->h = NULL;
	c->rev = 0;
	c->known = true;
	c->sure = op->asked_fresh;
	if (in->status == STORE_NOT_FOUND || in->n == 0)
		return 0;
	c->rev = in->kv[0].rev;
	if (handle_decode(in->kv[0].value, strlen(in->kv[0].value), &c->h, &op->err) < 0)
		return err_wrap(&op->err, "handle %s is broken and left alone", c->id);
	return 0;
}

static enum ipam_state on_just_read(struct ipam_op *op, const struct store_res *in)
{
	if (read_handle(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	return op->count.then(op, COUNT_OK);
}

enum ipam_state ipam_count_read(struct ipam_op *op, bool fresh, ipam_then_fn *then)
{
	op->count.then = then;
	return ipam_get(op, ipamkey_handle(op->count.id), fresh, on_just_read);
}

/* Write h where it was read: create, update, or delete when nothing is left in it. */
static enum ipam_state write_handle(struct ipam_op *op, ipam_step_fn *next)
{
	struct ipam_count *c = &op->count;
	struct store_req req = { .key = ipamkey_handle(c->id), .rev = c->rev };

	req.verb = !c->rev ? STORE_CREATE : c->h->n_entry ? STORE_UPDATE : STORE_DELETE;
	if (req.verb != STORE_DELETE)
		req.value = handle_encode(c->h);
	return ipam_ask(op, req, next);
}

/* Take the answer to write_handle. False: it was not written. */
static bool written(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_count *c = &op->count;
	bool was_delete = c->h->n_entry == 0;

	c->known = c->sure =
		in->status == STORE_OK || (was_delete && in->status == STORE_NOT_FOUND);
	c->rev = c->known && !was_delete ? in->rev : 0;
	if (c->known && !was_delete)
		return true;
	handle_free(c->h);
	c->h = NULL;
	return c->known;
}

/* ---- raise ---- */

static enum ipam_state on_existing(struct ipam_op *op, const struct store_res *in)
{
	if (read_handle(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (op->count.h && op->count.adopt)
		return op->count.then(op, COUNT_EXISTED);
	return raise_go(op);
}

static enum ipam_state on_raised(struct ipam_op *op, const struct store_res *in)
{
	if (written(op, in))
		return op->count.then(op, COUNT_OK);
	return ipam_get(op, ipamkey_handle(op->count.id), true, on_existing);
}

static enum ipam_state raise_go(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;

	/* At first it is expected not to be there: that saves reading it. */
	if (!c->known && !c->adopt)
		return ipam_get(op, ipamkey_handle(c->id), false, on_existing);
	if (!c->h)
		c->h = handle_new();
	handle_set(c->h, &c->cidr, c->n);
	return write_handle(op, on_raised);
}

enum ipam_state ipam_count_raise(struct ipam_op *op, const struct prefix *cidr, unsigned n,
				 ipam_then_fn *then)
{
	op->count.cidr = *cidr;
	op->count.n = n;
	op->count.then = then;
	return raise_go(op);
}

/* ---- settle ---- */

static unsigned held(const struct ipam_op *op)
{
	return op->block ? block_held_by(op->block, op->count.id, NULL) : 0;
}

static bool differs(const struct ipam_op *op)
{
	const struct ipam_count *c = &op->count;

	return (c->h ? handle_count(c->h, &c->cidr) : 0) != held(op) || (c->h && !c->h->n_entry);
}

static enum ipam_state on_settled(struct ipam_op *op, const struct store_res *in)
{
	return written(op, in) ? op->count.then(op, COUNT_OK) : agree(op);
}

static enum ipam_state settle_write(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;

	if (!c->h)
		c->h = handle_new();
	handle_set(c->h, &c->cidr, held(op));
	return write_handle(op, on_settled);
}

static enum ipam_state on_agree_block(struct ipam_op *op, const struct store_res *in);

static enum ipam_state on_agree_bumped(struct ipam_op *op, const struct store_res *in)
{
	if (in->status != STORE_OK)
		return ipam_slot_get(op, &op->count.cidr, true, on_agree_block);
	op->block_rev = in->rev;
	return settle_write(op);
}

static enum ipam_state on_agree_block(struct ipam_op *op, const struct store_res *in)
{
	if (ipam_slot_read(op, &op->count.cidr, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (!differs(op))
		return op->count.then(op, COUNT_OK);
	return op->block ? ipam_slot_bump(op, on_agree_bumped) : settle_write(op);
}

static enum ipam_state on_agree_handle(struct ipam_op *op, const struct store_res *in)
{
	if (read_handle(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	return ipam_slot_get(op, &op->count.cidr, true, on_agree_block);
}

static enum ipam_state agree(struct ipam_op *op)
{
	return ipam_get(op, ipamkey_handle(op->count.id), true, on_agree_handle);
}

enum ipam_state ipam_count_settle(struct ipam_op *op, const struct prefix *cidr, ipam_then_fn *then)
{
	struct ipam_count *c = &op->count;

	c->cidr = *cidr;
	c->then = then;
	if (!c->known)
		return agree(op);
	if (differs(op))
		return settle_write(op);
	return c->sure ? then(op, COUNT_OK) : agree(op);
}
