/* repair.c - mends affinities that crashes left, then hands over to repair_handles.c
 *
 *	affinity without block, or of another's block	deleted
 *	pendingDeletion, block empty			the release is finished
 *	not confirmed, block in use			claimed again, confirmed
 *	block of ours without affinity: empty		deleted
 *				        in use		affinity made, confirmed
 *	block of nobody, empty (its last address cooled)	deleted
 *
 * WHY   an agent runs this when it starts: no operation of its own is under way then, so whatever
 *	 is half done stays half done unless it is mended here. Others may be at work meanwhile, on
 *	 this host's blocks as well: every step is conditional, a conflict means that somebody else
 *	 takes care of it.
 * TESTS tests/sim/ipam.c */
#include "ipam/repair_handles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum ipam_state item_next(struct ipam_op *op);

static enum ipam_state item_failed(struct ipam_op *op, int ignored)
{
	/* A broken object or a busy one: the others are mended nevertheless. */
	if (op->fail != IPAM_FAIL_CORRUPT && op->fail != IPAM_FAIL_BUSY)
		return IPAM_FAILED;
	repair_note(op);
	op->mend.at++;
	return item_next(op);
}

static enum ipam_state item_done(struct ipam_op *op, int outcome)
{
	op->tally.affinities += outcome == 0; /* UNCLAIM_OK or CLAIM_OK */
	op->mend.at++;
	return item_next(op);
}

static enum ipam_state on_ownerless(struct ipam_op *op, const struct store_res *in)
{
	ipam_slot_clear(op);
	op->mend.at++; /* a conflict: somebody uses it, which is as good */
	return item_next(op);
}

static enum ipam_state on_block(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_aff *it = &op->mend.aff.p[op->mend.at];
	struct prefix cidr = it->cidr;

	if (ipam_slot_read(op, &cidr, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	if (!it->rev && op->block && !op->block->affinity && block_is_empty(op->block))
		return ipam_slot_delete(op, on_ownerless);
	if (!op->block || !block_owned_by(op->block, op->owner) ||
	    (it->state == AFFINITY_PENDING_DELETION && block_is_empty(op->block)) ||
	    (!it->rev && block_is_empty(op->block)))
		return ipam_unclaim(op, op->owner, &cidr, 0, false, item_done);
	if (it->rev && it->state == AFFINITY_CONFIRMED) {
		op->mend.at++;
		return item_next(op);
	}
	return ipam_claim(op, op->owner, &cidr, item_done);
}

static bool is_owned(const struct ipam_op *op, const struct prefix *cidr)
{
	return ipam_prefixes_has(&op->mend.owned, cidr);
}

static enum ipam_state item_next(struct ipam_op *op)
{
	struct ipam_mending *m = &op->mend;

	op->tries = 0;
	op->on_fail = item_failed;
	while (m->at < m->aff.n && m->aff.p[m->at].rev &&
	       m->aff.p[m->at].state == AFFINITY_CONFIRMED && is_owned(op, &m->aff.p[m->at].cidr))
		m->at++;
	if (m->at == m->aff.n)
		return repair_handles(op);
	return ipam_slot_get(op, &m->aff.p[m->at].cidr, true, on_block);
}

/* Blocks of ours that no affinity is about join the list as items with revision 0. */
static void add_strays(struct ipam_op *op)
{
	struct ipam_mending *m = &op->mend;
	size_t n = m->aff.n;

	vec_foreach (&m->owned, it) {
		struct ipam_aff stray = { .cidr = *it };
		bool known = false;

		for (size_t i = 0; i < n; i++)
			known = known || prefix_eq(&m->aff.p[i].cidr, it);
		if (!known)
			vec_push(&m->aff, stray);
	}
}

static bool is_cold(const struct ipam_op *op, struct block *b)
{
	block_collect(b, op->now_ns, op->config.cooldown_s);
	return block_is_empty(b);
}

static enum ipam_state on_blocks(struct ipam_op *op, const struct store_res *in)
{
	for (size_t i = 0; i < in->n; i++) {
		CLEANUP(block_freep) struct block *b = NULL;
		const char *value = in->kv[i].value;

		if (!strstr(value, op->owner) && !strstr(value, "\"affinity\":null"))
			continue;
		if (block_decode(value, strlen(value), &b, &op->err) < 0) {
			err_wrap(&op->err, "%s", in->kv[i].key);
			repair_note(op);
		} else if (block_owned_by(b, op->owner)) {
			vec_push(&op->mend.owned, b->cidr);
		} else if (!b->affinity && is_cold(op, b)) {
			vec_push(&op->mend.aff, (struct ipam_aff) { .cidr = b->cidr });
		}
	}
	if (op->mend.stage++ == 0)
		return ipam_list(op, ipamkey_blocks(IP_V6), true, on_blocks);
	add_strays(op);
	return item_next(op);
}

static enum ipam_state on_affs(struct ipam_op *op, const struct store_res *in)
{
	if (ipam_affs_read(op, &op->mend.aff, in) < 0)
		repair_note(op);
	if (op->mend.stage++ == 0)
		return ipam_list(op, ipamkey_affinities(op->owner, IP_V6), true, on_affs);
	op->mend.stage = 0;
	return ipam_list(op, ipamkey_blocks(IP_V4), true, on_blocks);
}

static enum ipam_state on_config(struct ipam_op *op, int ignored)
{
	return ipam_list(op, ipamkey_affinities(op->owner, IP_V4), true, on_affs);
}

static enum ipam_state start(struct ipam_op *op, const struct store_res *in)
{
	if (!op->host || !ipamkey_element_ok(op->host))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "host \"%s\": must be a node's name", op->host ? op->host : "");
	return ipam_config(op, on_config);
}

struct ipam_op *ipam_repair_op(const struct ipam_repair *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, start);

	op->mend.want_handles = req->handles;
	op->mend.all_handles = req->all_handles;
	return op;
}
