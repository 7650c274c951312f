/* pool_rules.c - pools beside other pools, and their deletion
 *
 * SHAPE  Deletion: set disabled, so that nobody takes another block; give all its blocks back
 *        (those in use stay, without an owner, until their last pod is gone); delete the pool. A
 *        crash in between leaves a disabled pool, and deleting it again goes on from there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ipam_run.h"
#include "ctl/rules.h"
#include "model/block.h"
#include "model/ipamkey.h"
#include "model/ippool.h"

enum {
	SETTLE_US = 500000, /* for nodes to see that the pool is disabled; as Calico */
};

static int check_others(struct ctl *c, const struct ippool *p, struct err *e)
{
	struct object_vec objects = { 0 };
	VEC(struct ippool) pools = { 0 };
	int rc = ctl_list(c, kind_find("IPPool"), NULL, &objects, NULL, e);

	vec_foreach (&objects, o) {
		struct ippool other;

		if (ippool_decode(o, &other, NULL) == 0)
			vec_push(&pools, other);
	}
	if (rc == 0)
		rc = ippool_check_overlap(p, pools.p, pools.n, e);
	vec_foreach (&pools, other)
		ippool_done(other);
	vec_done(&pools);
	objects_done(&objects);
	return rc;
}

/* The ranges of all blocks, and how many addresses of those inside `range` pods hold. */
static int list_blocks(struct ctl *c, const struct prefix *range, struct field_cidrs *out,
		       unsigned *in_use, struct err *e)
{
	CLEANUP(freep) char *prefix = ipamkey_blocks(range->addr.family);
	struct store_res res;
	int rc = ctl_call(c, store_list(prefix), "IPAM blocks", &res, e);

	if (rc < 0)
		return rc;
	*in_use = 0;
	for (size_t i = 0; i < res.n; i++) {
		struct block *b;
		struct prefix cidr;

		if (!ipamkey_parse_block(res.kv[i].key, &cidr))
			continue;
		vec_push(out, cidr);
		if (!prefix_covers(range, &cidr) ||
		    block_decode(res.kv[i].value, strlen(res.kv[i].value), &b, NULL) < 0)
			continue;
		*in_use += b->size - b->n_free;
		block_free(b);
	}
	store_res_done(&res);
	return 0;
}

int pool_create(struct ctl *c, struct object *o, struct err *e)
{
	struct field_cidrs blocks = { 0 };
	unsigned in_use;
	struct ippool p;
	int rc = ippool_decode(o, &p, e);

	if (rc < 0)
		return rc;
	rc = check_others(c, &p, e);
	if (rc == 0)
		rc = list_blocks(c, &p.cidr, &blocks, &in_use, e);
	if (rc == 0)
		rc = ippool_check_blocks(&p, blocks.p, blocks.n, e);
	vec_done(&blocks);
	ippool_done(&p);
	return rc;
}

int pool_update(struct ctl *c, const struct object *stored, struct object *o, struct err *e)
{
	json_t *spec = object_spec_json(o), *size = js_at(stored->json, "spec.blockSize");
	struct ippool old, new;
	int rc;

	/* Not said is not changed: the default is for new pools. */
	if (size && !json_object_get(spec, "blockSize"))
		json_object_set(spec, "blockSize", size);
	rc = ippool_decode(stored, &old, e);
	if (rc < 0)
		return rc;
	rc = ippool_decode(o, &new, e);
	if (rc == 0) {
		rc = ippool_check_update(&old, &new, e);
		ippool_done(&new);
	}
	ippool_done(&old);
	return rc;
}

static int disable(struct ctl *c, struct object *stored, int64_t *rev, struct err *e)
{
	int rc;

	if (json_is_true(js_at(stored->json, "spec.disabled")))
		return 0;
	if (*rev)
		stored->rev = *rev;
	js_set_bool(object_spec_json(stored), "disabled", true);
	rc = ctl_update(c, stored, e);
	if (rc < 0)
		return rc;
	*rev = *rev ? stored->rev : 0;
	usleep(SETTLE_US);
	return 0;
}

static int hand_back(struct ctl *c, const struct ippool *p, struct err *e)
{
	struct ipam_facts facts;
	int rc = ipam_facts_read(c, &facts, e);
	struct ipam_op *op;

	if (rc < 0)
		return rc;
	op = ipam_handback_op(&(struct ipam_handback) {
		.world = facts.world, .pool = p->cidr, .even_used = true });
	rc = ipam_run(c, op, e);
	if (rc < 0)
		err_wrap(e, "its blocks could not be given back, it stays disabled");
	ipam_op_free(op);
	ipam_facts_done(&facts);
	return rc;
}

int pool_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e)
{
	struct field_cidrs blocks = { 0 };
	unsigned in_use = 0;
	struct ippool p;
	int rc = ippool_decode(stored, &p, e);

	if (rc < 0)
		return rc;
	rc = disable(c, stored, &rev, e);
	if (rc == 0)
		rc = hand_back(c, &p, e);
	if (rc == 0)
		rc = list_blocks(c, &p.cidr, &blocks, &in_use, e);
	if (rc == 0 && in_use)
		ctl_error("IPPool %s: %u of its addresses are still in use: other nodes have no "
			  "routes "
			  "to these pods any more, make them anew",
			  p.name, in_use);
	if (rc == 0)
		rc = ctl_delete(c, stored, rev, e);
	vec_done(&blocks);
	ippool_done(&p);
	return rc;
}
