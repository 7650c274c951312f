/* assign_ip.c - one particular address
 * SPEC data model 3.5 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"
#include "ipam/pool.h"

static enum ipam_state on_claimed(struct ipam_op *op, int outcome);

static enum ipam_state on_taken(struct ipam_op *op, int outcome)
{
	switch (outcome) {
	case TAKE_GONE:
		return ipam_claim(op, op->owner, &op->as.candidate, on_claimed);
	case TAKE_BROKEN:
		return ipam_giveup(op, IPAM_FAIL_CORRUPT, -EINVAL, "%s", op->as.broken);
	default:
		return IPAM_DONE;
	}
}

static enum ipam_state on_claimed(struct ipam_op *op, int outcome)
{
	/* TAKEN: somebody made the block meanwhile, which is as good unless affinity is strict. */
	return ipam_take(op, &op->as.candidate, false, outcome == CLAIM_OK, on_taken);
}

static enum ipam_state on_config(struct ipam_op *op, int ignored)
{
	return ipam_take(op, &op->as.candidate, false, false, on_taken);
}

static enum ipam_state start(struct ipam_op *op, const struct store_res *in)
{
	const struct ipam_pool *pool = pool_of(&op->world, &op->ip, true);
	char text[ADDR_STR_MAX];

	addr_format(&op->ip, text);
	if (!op->host || !ipamkey_element_ok(op->host) || !op->handle_id ||
	    !ipamkey_element_ok(op->handle_id))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "host \"%s\", handle \"%s\": must be names without slash",
				   op->host ? op->host : "", op->handle_id ? op->handle_id : "");
	if (!pool)
		return ipam_giveup(op, IPAM_FAIL_NO_POOL, -ENOENT,
				   "address %s lies in no enabled IPPool", text);
	if (op->use && !(pool->uses & op->use))
		return ipam_giveup(op, IPAM_FAIL_NO_POOL, -ENOENT,
				   "address %s lies in IPPool %s, whose allowedUses exclude this",
				   text, pool->name);
	op->as.candidate = pool_block(pool, &op->ip);
	return ipam_config(op, on_config);
}

struct ipam_op *ipam_assign_ip_op(const struct ipam_assign_ip *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, start);

	op->handle_id = xstrdup(req->handle);
	op->attr_json = block_attr_json(req->handle, req->attrs);
	op->use = req->use;
	op->ip = req->addr;
	op->want[req->addr.family == IP_V6] = 1;
	op->on_fail = ipam_undo;
	return op;
}
