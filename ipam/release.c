/* release.c - addresses go back: by address with proof, by handle, and those of dead containers
 *
 *	addresses   grouped by block: the pool says which; outside of every pool all blocks are
 *listed handle	    its entries, one after the other, until it has none gc	    all blocks are
 *listed, what qualifies becomes addresses with full proof
 *
 * SPEC data model 3.6, 3.9 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"
#include "ipam/pool.h"
#include "model/wall.h"

static enum ipam_state block_next(struct ipam_op *op, int ignored);

static bool proof_holds(const struct ipam_proof *proof, const struct block *b, unsigned ord)
{
	const struct block_attr *a = block_attr_of(b, ord);

	return (!proof->handle || str_eq(proof->handle, a->handle)) &&
	       (!proof->seq || proof->seq == b->seq_of[ord]);
}

static bool picked(const unsigned *ords, unsigned n, unsigned ord)
{
	for (unsigned i = 0; i < n; i++)
		if (ords[i] == ord)
			return true;
	return false;
}

/* Who holds the address of a proof: NULL for nobody, or an address that cools down. */
static const struct block_attr *holder(const struct ipam_proof *proof, const struct block *b,
				       unsigned *ord)
{
	const struct block_attr *a;

	if (!b || !block_ord(b, &proof->addr, ord))
		return NULL;
	a = block_attr_of(b, *ord);
	return a && (a->handle || !a->released_ns) ? a : NULL;
}

/* From here on it is about this allocation: should the answer get lost, and the address have gone
 * to somebody else when we look again, it is not his that goes. */
static void pin(struct ipam_proof *proof, const struct block *b, unsigned ord)
{
	const struct block_attr *a = block_attr_of(b, ord);

	if (!proof->handle)
		proof->handle = xstrdup(a->handle);
	if (!proof->seq)
		proof->seq = b->seq_of[ord];
}

static unsigned pick_proofs(struct ipam_op *op, const struct block *b, unsigned *ords, bool *unsure)
{
	unsigned n = 0, ord;

	vec_foreach (&op->re.proof, it) {
		if (!prefix_contains(&op->drop.cidr, &it->addr))
			continue;
		if (!holder(it, b, &ord) || !proof_holds(it, b, ord)) {
			*unsure = true;
			continue;
		}
		pin(it, b, ord);
		if (!picked(ords, n, ord))
			ords[n++] = ord;
	}
	return n;
}

static bool was_released(const struct ipam_op *op, const struct addr *a)
{
	for (size_t i = 0; i < op->addr.n; i++)
		if (addr_eq(&op->addr.p[i].addr, a))
			return true;
	return false;
}

static void tally_block(struct ipam_op *op)
{
	unsigned ord;

	vec_foreach (&op->re.proof, it) {
		if (!prefix_contains(&op->drop.cidr, &it->addr) || was_released(op, &it->addr))
			continue;
		if (holder(it, op->block, &ord))
			op->tally.mismatched++;
		else
			op->tally.not_held++;
	}
}

/* The host's block may have emptied in a pool that does not want the host any more.
 * DIFFERS: Calico ends the affinity of a block in use as well. */
static enum ipam_state block_tidied(struct ipam_op *op, int ignored)
{
	return block_next(op, 0);
}

static bool worth_tidying(const struct ipam_op *op)
{
	return op->owner && op->block && block_owned_by(op->block, op->owner) &&
	       block_is_empty(op->block) && ipam_unselected(op, &op->block->cidr);
}

static enum ipam_state block_dropped(struct ipam_op *op, int outcome)
{
	struct ipam_releasing *re = &op->re;

	if (outcome == DROP_BROKEN) {
		op->tally.failed++;
		if (!re->first.code)
			re->first = op->err;
	} else {
		tally_block(op);
	}
	if (worth_tidying(op)) {
		struct prefix cidr = op->block->cidr;

		return ipam_unclaim(op, op->owner, &cidr, 0, false, block_tidied);
	}
	return block_next(op, 0);
}

static enum ipam_state released(struct ipam_op *op)
{
	if (op->re.first.code) {
		op->err = op->re.first;
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	}
	return IPAM_DONE;
}

static enum ipam_state block_next(struct ipam_op *op, int ignored)
{
	struct ipam_releasing *re = &op->re;

	op->tries = 0;
	if (re->at == re->blocks.n)
		return released(op);
	return ipam_drop(op, &re->blocks.p[re->at++], pick_proofs, block_dropped);
}

static void add_block(struct ipam_op *op, const struct prefix *cidr)
{
	if (!ipam_prefixes_has(&op->re.blocks, cidr))
		vec_push(&op->re.blocks, *cidr);
}

/* ---- by address ---- */

static enum ipam_state find_homes(struct ipam_op *op);

static enum ipam_state on_homes(struct ipam_op *op, const struct store_res *in)
{
	struct prefix cidr;
	enum ip_family family = op->re.family ? IP_V6 : IP_V4;

	vec_foreach (&op->re.proof, it) {
		bool found = false;

		if (it->addr.family != family || pool_of(&op->world, &it->addr, false))
			continue;
		for (size_t i = 0; i < in->n && !found; i++) {
			found = ipamkey_parse_block(in->kv[i].key, &cidr) &&
				prefix_contains(&cidr, &it->addr);
			if (found)
				add_block(op, &cidr);
		}
		op->tally.not_held += !found;
	}
	op->re.homeless[op->re.family] = false;
	return find_homes(op);
}

static enum ipam_state find_homes(struct ipam_op *op)
{
	for (unsigned f = 0; f < 2; f++)
		if (op->re.homeless[f]) {
			op->re.family = f;
			return ipam_list(op, ipamkey_blocks(f ? IP_V6 : IP_V4), true, on_homes);
		}
	return block_next(op, 0);
}

static enum ipam_state on_config(struct ipam_op *op, int ignored)
{
	vec_foreach (&op->re.proof, it) {
		const struct ipam_pool *pool = pool_of(&op->world, &it->addr, false);

		if (pool) {
			struct prefix cidr = pool_block(pool, &it->addr);

			add_block(op, &cidr);
		} else {
			op->re.homeless[it->addr.family == IP_V6] = true;
		}
	}
	return find_homes(op);
}

static enum ipam_state start(struct ipam_op *op, const struct store_res *in)
{
	return ipam_config(op, on_config);
}

static void add_proof(struct ipam_op *op, const struct ipam_proof *proof)
{
	struct ipam_proof copy = *proof;

	copy.handle = xstrdup(proof->handle);
	/* "Whoever holds it" means whoever holds it now, not in some cache. */
	op->fresh = op->fresh || !proof->handle || !proof->seq;
	vec_push(&op->re.proof, copy);
}

struct ipam_op *ipam_release_op(const struct ipam_release *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, start);

	for (size_t i = 0; i < req->n_proof; i++)
		add_proof(op, &req->proof[i]);
	return op;
}

/* ---- by handle ---- */

static enum ipam_state handle_next(struct ipam_op *op, int ignored);

static enum ipam_state handle_tidied(struct ipam_op *op, int ignored)
{
	return handle_next(op, 0);
}

static enum ipam_state handle_dropped(struct ipam_op *op, int outcome)
{
	if (outcome == DROP_BROKEN) {
		op->re.skip++; /* the others first */
		op->re.first = op->err;
	} else if (worth_tidying(op)) {
		struct prefix cidr = op->block->cidr;

		return ipam_unclaim(op, op->owner, &cidr, 0, false, handle_tidied);
	}
	return handle_next(op, 0);
}

static enum ipam_state on_empty_deleted(struct ipam_op *op, const struct store_res *in)
{
	return ipam_count_read(op, true, handle_next);
}

static enum ipam_state delete_empty(struct ipam_op *op)
{
	struct store_req req = { .verb = STORE_DELETE,
				 .key = ipamkey_handle(op->handle_id),
				 .rev = op->count.rev };

	return ipam_ask(op, req, on_empty_deleted);
}

static enum ipam_state handle_next(struct ipam_op *op, int ignored)
{
	struct ipam_count *c = &op->count;

	if (c->h && c->h->n_entry > op->re.skip) {
		if (op->re.rounds++ > HANDLE_BLOCKS_MAX * 2)
			return ipam_giveup(op, IPAM_FAIL_BUSY, -EAGAIN,
					   "handle %s gets addresses as fast as they are released",
					   op->handle_id);
		return ipam_drop(op, &c->h->entry[op->re.skip].block, ipam_pick_handle,
				 handle_dropped);
	}
	if (!c->sure)
		return ipam_count_read(op, true, handle_next);
	if (c->h && c->h->n_entry == 0) /* an empty handle: nothing to release, only to delete */
		return delete_empty(op);
	return released(op);
}

static enum ipam_state on_handle_config(struct ipam_op *op, int ignored)
{
	ipam_count_for(op, op->handle_id);
	return ipam_count_read(op, false, handle_next);
}

static enum ipam_state handle_start(struct ipam_op *op, const struct store_res *in)
{
	if (!op->handle_id || !ipamkey_element_ok(op->handle_id))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "handle \"%s\": must be a text without slash or blank",
				   op->handle_id ? op->handle_id : "");
	return ipam_config(op, on_handle_config);
}

struct ipam_op *ipam_release_handle_op(const struct ipam_world *world, const char *host,
				       const char *handle)
{
	struct ipam_op *op = ipam_op_new(world, host, handle_start);

	/* host-local wrote "ID\r\nIFNAME"; some handles were made of that. */
	op->handle_id = handle ? xstrndup(handle, strcspn(handle, "\r\n")) : NULL;
	return op;
}

/* ---- gc ---- */

static int by_text(const void *a, const void *b)
{
	char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static bool is_live(const struct ipam_op *op, const char *handle)
{
	char *key = (char *)(uintptr_t)handle;

	return op->re.live.n &&
	       bsearch(&key, op->re.live.p, op->re.live.n, sizeof(key), by_text) != NULL;
}

/* "<network>.<container>", and not "<network>.vmi.<namespace>.<vm>". */
static bool is_container(const struct ipam_op *op, const char *handle)
{
	size_t n = strlen(op->re.network);

	return strncmp(handle, op->re.network, n) == 0 && handle[n] == '.' &&
	       !str_starts(handle + n + 1, "vmi.");
}

/* Without a time the allocation may be a second old: it stays. */
static bool is_old(const struct ipam_op *op, const struct block_attr *a)
{
	CLEANUP(freep) char *when = block_attr_get(a, "timestamp");
	int64_t ns;

	return when && wall_parse(when, &ns) && ns <= op->re.cutoff_ns;
}

static bool is_garbage(const struct ipam_op *op, const struct block_attr *a)
{
	CLEANUP(freep) char *node = NULL;
	CLEANUP(freep) char *type = NULL;

	if (!a->handle || !is_container(op, a->handle) || is_live(op, a->handle))
		return false;
	node = block_attr_get(a, "node");
	type = block_attr_get(a, "type"); /* tunnels have one */
	return node && strcmp(node, op->host) == 0 && !type && is_old(op, a);
}

static void gc_block(struct ipam_op *op, const struct block *b)
{
	for (unsigned i = 0; i < b->size; i++) {
		const struct block_attr *a = block_attr_of(b, i);
		struct ipam_proof proof = { .addr = block_addr(b, i), .seq = b->seq_of[i] };

		if (!a || !is_garbage(op, a))
			continue;
		proof.handle = a->handle;
		add_proof(op, &proof);
		add_block(op, &b->cidr);
	}
}

static enum ipam_state on_gc_blocks(struct ipam_op *op, const struct store_res *in)
{
	for (size_t i = 0; i < in->n; i++) {
		CLEANUP(block_freep) struct block *b = NULL;

		/* The node's name stands in every allocation of the node. */
		if (!strstr(in->kv[i].value, op->host) ||
		    block_decode(in->kv[i].value, strlen(in->kv[i].value), &b, NULL) < 0)
			continue;
		gc_block(op, b);
	}
	if (op->re.family++ == 0)
		return ipam_list(op, ipamkey_blocks(IP_V6), false, on_gc_blocks);
	return block_next(op, 0);
}

static enum ipam_state on_gc_config(struct ipam_op *op, int ignored)
{
	return ipam_list(op, ipamkey_blocks(IP_V4), false, on_gc_blocks);
}

static enum ipam_state gc_start(struct ipam_op *op, const struct store_res *in)
{
	if (!op->host || !ipamkey_element_ok(op->host) || !op->re.network || !*op->re.network)
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "host and network must be given: others' addresses are not ours "
				   "to release");
	/* From the start: an ADD that begins while we list is not in `live`. */
	op->re.cutoff_ns = op->now_ns - op->re.grace_ns;
	return ipam_config(op, on_gc_config);
}

struct ipam_op *ipam_gc_op(const struct ipam_gc *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, gc_start);

	op->re.network = xstrdup(req->network);
	op->re.grace_ns = req->grace_ns;
	for (size_t i = 0; i < req->n_live; i++)
		vec_push(&op->re.live, xstrdup(req->live[i]));
	if (op->re.live.n)
		qsort(op->re.live.p, op->re.live.n, sizeof(*op->re.live.p), by_text);
	return op;
}
