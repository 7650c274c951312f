/* slot.c - the block at hand, and the allocator's settings */
#include <errno.h>
#include <string.h>

#include "ipam/machine.h"

void ipam_slot_clear(struct ipam_op *op)
{
	block_free(op->block);
	op->block = NULL;
	op->block_rev = 0;
}

enum ipam_state ipam_slot_get(struct ipam_op *op, const struct prefix *cidr, bool fresh,
			      ipam_step_fn *next)
{
	return ipam_get(op, ipamkey_block(cidr), fresh, next);
}

int ipam_slot_read(struct ipam_op *op, const struct prefix *cidr, const struct store_res *in)
{
	char text[PREFIX_STR_MAX], inside[PREFIX_STR_MAX];

	ipam_slot_clear(op);
	if (in->status == STORE_NOT_FOUND || in->n == 0)
		return 0;
	if (block_decode(in->kv[0].value, strlen(in->kv[0].value), &op->block, &op->err) < 0)
		return err_wrap(&op->err, "block %s is broken and left alone",
				prefix_format(cidr, text));
	if (!prefix_eq(&op->block->cidr, cidr)) {
		prefix_format(&op->block->cidr, inside);
		ipam_slot_clear(op);
		return err_set(&op->err, -EINVAL,
			       "block %s is broken and left alone: its cidr says %s",
			       prefix_format(cidr, text), inside);
	}
	op->block_rev = in->kv[0].rev;
	block_collect(op->block, op->now_ns, op->config.cooldown_s);
	return 0;
}

static enum ipam_state write_as(struct ipam_op *op, enum store_verb verb, ipam_step_fn *next)
{
	struct store_req req = { .verb = verb,
				 .key = ipamkey_block(&op->block->cidr),
				 .value = verb == STORE_DELETE ? NULL : block_encode(op->block),
				 .rev = op->block_rev };

	return ipam_ask(op, req, next);
}

enum ipam_state ipam_slot_create(struct ipam_op *op, ipam_step_fn *next)
{
	op->block_rev = 0;
	return write_as(op, STORE_CREATE, next);
}

enum ipam_state ipam_slot_update(struct ipam_op *op, ipam_step_fn *next)
{
	return write_as(op, STORE_UPDATE, next);
}

enum ipam_state ipam_slot_delete(struct ipam_op *op, ipam_step_fn *next)
{
	return write_as(op, STORE_DELETE, next);
}

enum ipam_state ipam_slot_bump(struct ipam_op *op, ipam_step_fn *next)
{
	/* Nobody's, and what cooled down in it was the last: this is the chance to see it off. */
	if (!op->block->affinity && block_is_empty(op->block))
		return ipam_slot_delete(op, next);
	block_next_write(op->block);
	return ipam_slot_update(op, next);
}

static enum ipam_state on_config(struct ipam_op *op, const struct store_res *in)
{
	ipamconfig_done(&op->config);
	op->config = ipamconfig_default();
	if (in->status == STORE_OK && in->n &&
	    ipamconfig_decode(in->kv[0].value, strlen(in->kv[0].value), &op->config, &op->err) <
		    0) {
		err_wrap(&op->err, "IPAM settings (%s)", IPAMKEY_CONFIG);
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	}
	return op->config_then(op, 0);
}

enum ipam_state ipam_config(struct ipam_op *op, ipam_then_fn *then)
{
	op->config_then = then;
	return ipam_get(op, xstrdup(IPAMKEY_CONFIG), false, on_config);
}
