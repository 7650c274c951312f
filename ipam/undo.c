/* undo.c - an assignment that fails gives back what it took
 * WHY   the caller hears of a failure and does not come back for the addresses. Every block for
 *which the handle was written is visited: a write whose answer was lost may have been carried out,
 *	 or be on its way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipam/machine.h"

static enum ipam_state next_block(struct ipam_op *op, int outcome)
{
	if (op->as.at == op->as.counted.n) {
		vec_clear(&op->addr);
		return IPAM_FAILED;
	}
	return ipam_drop(op, &op->as.counted.p[op->as.at++], ipam_pick_handle, next_block);
}

static enum ipam_state undo_failed(struct ipam_op *op, int ignored)
{
	vec_clear(&op->addr);
	return IPAM_FAILED;
}

enum ipam_state ipam_undo(struct ipam_op *op, int ignored)
{
	op->undoing = true;
	op->on_fail = undo_failed;
	op->fresh = true;
	op->as.at = 0;
	if (op->as.counted.n)
		ipam_count_for(op, op->handle_id);
	return next_block(op, 0);
}
