/* count.c - how many addresses a handle holds in a block
 * WHY   the count is written before the block when addresses are taken and after it when they go,
 *	 so a crash leaves a handle that claims too much, never addresses that no handle leads to.
 *	 It is set, not added to: a lost answer or a second try cannot make it wrong.
 * SHAPE first write of an assignment:  CREATE --exists--> GET --> COUNT_EXISTED
 *	 all others:			GET once, then UPDATE or DELETE at the known revision */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state go(struct ipam_op *op);

void ipam_count_for(struct ipam_op *op, const char *handle_id)
{
	struct ipam_count *c = &op->count;

	if (c->id && strcmp(c->id, handle_id) == 0)
		return;
	free(c->id);
	handle_free(c->h);
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

static enum ipam_state on_read(struct ipam_op *op, const struct store_res *in)
{
	if (read_handle(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	return go(op);
}

static enum ipam_state read_again(struct ipam_op *op)
{
	return ipam_get(op, ipamkey_handle(op->count.id), true, on_read);
}

static enum ipam_state on_existing(struct ipam_op *op, const struct store_res *in)
{
	if (read_handle(op, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (op->count.h && op->count.adopt)
		return op->count.then(op, COUNT_EXISTED);
	return go(op);
}

static enum ipam_state on_created(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_count *c = &op->count;

	if (in->status != STORE_OK) {
		handle_free(c->h);
		c->h = NULL;
		c->known = false;
		return ipam_get(op, ipamkey_handle(c->id), true, on_existing);
	}
	c->rev = in->rev;
	c->known = c->sure = true;
	return c->then(op, COUNT_OK);
}

static enum ipam_state create(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;
	struct store_req req = { .verb = STORE_CREATE, .key = ipamkey_handle(c->id) };

	handle_free(c->h);
	c->h = handle_new();
	handle_set(c->h, &c->cidr, c->n);
	req.value = handle_encode(c->h);
	return ipam_ask(op, req, on_created);
}

static enum ipam_state on_written(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_count *c = &op->count;

	if (in->status != STORE_OK)
		return read_again(op);
	c->rev = in->rev;
	c->sure = true;
	return c->then(op, COUNT_OK);
}

static enum ipam_state on_deleted(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_count *c = &op->count;

	if (in->status == STORE_CONFLICT)
		return read_again(op);
	handle_free(c->h);
	c->h = NULL;
	c->rev = 0;
	c->sure = true;
	return c->then(op, COUNT_OK);
}

static enum ipam_state write_handle(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;
	struct store_req req = { .key = ipamkey_handle(c->id), .rev = c->rev };

	handle_set(c->h, &c->cidr, c->n);
	if (c->h->n_entry == 0) {
		req.verb = STORE_DELETE;
		return ipam_ask(op, req, on_deleted);
	}
	req.verb = STORE_UPDATE;
	req.value = handle_encode(c->h);
	return ipam_ask(op, req, on_written);
}

static enum ipam_state go(struct ipam_op *op)
{
	struct ipam_count *c = &op->count;
	unsigned now;

	if (!c->known && c->adopt && c->n > 0)
		return create(op);
	if (!c->known)
		return ipam_get(op, ipamkey_handle(c->id), false, on_read);
	now = c->h ? handle_count(c->h, &c->cidr) : 0;
	if (now == c->n && !(c->force && c->h)) {
		/* Nothing to do, if that is not what a cache thinks. */
		return c->sure ? c->then(op, COUNT_OK) : read_again(op);
	}
	return c->h ? write_handle(op) : create(op);
}

enum ipam_state ipam_count(struct ipam_op *op, const struct prefix *cidr, unsigned n, bool force,
			   ipam_then_fn *then)
{
	struct ipam_count *c = &op->count;

	c->cidr = *cidr;
	c->n = n;
	c->force = force;
	c->then = then;
	return go(op);
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
