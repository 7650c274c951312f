/* handback.c - a host, or a pool, gives its blocks back
 * SPEC data model 3.1.4, 3.6 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ipam/machine.h"

/* Which listings, one after the other. */
enum stage { STAGE_V4, STAGE_V6, STAGE_HOSTS, STAGE_VIRTUAL, STAGE_END };

static enum ipam_state stage_start(struct ipam_op *op);
static enum ipam_state item_next(struct ipam_op *op, int ignored);

static enum ipam_state item_done(struct ipam_op *op, int outcome)
{
	struct ipam_mending *m = &op->mend;

	if (outcome == UNCLAIM_OK)
		m->n_left[m->aff.p[m->at].cidr.addr.family == IP_V6]--;
	m->at++;
	return item_next(op, 0);
}

static bool is_wanted(const struct ipam_op *op, const struct ipam_aff *aff)
{
	const struct ipam_mending *m = &op->mend;

	if (m->pool.addr.family && !prefix_covers(&m->pool, &aff->cidr))
		return false;
	if (m->unselected && !ipam_unselected(op, &aff->cidr))
		return false;
	return m->any_host || m->n_left[aff->cidr.addr.family == IP_V6] > m->keep;
}

static enum ipam_state item_next(struct ipam_op *op, int ignored)
{
	struct ipam_mending *m = &op->mend;

	op->tries = 0;
	while (m->at < m->aff.n && !is_wanted(op, &m->aff.p[m->at]))
		m->at++;
	if (m->at < m->aff.n)
		return ipam_unclaim(op, m->aff.p[m->at].owner, &m->aff.p[m->at].cidr, 0,
				    m->even_used, item_done);
	m->stage++;
	return stage_start(op);
}

static enum ipam_state on_listed(struct ipam_op *op, const struct store_res *in)
{
	struct ipam_mending *m = &op->mend;

	ipam_affs_clear(&m->aff);
	if (ipam_affs_read(op, &m->aff, in) < 0)
		return ipam_giveup_err(op, IPAM_FAIL_CORRUPT);
	m->n_left[0] = m->n_left[1] = 0;
	vec_foreach (&m->aff, it)
		m->n_left[it->cidr.addr.family == IP_V6]++;
	m->at = 0;
	return item_next(op, 0);
}

static enum ipam_state end(struct ipam_op *op)
{
	if (op->as.broken)
		return ipam_giveup(op, IPAM_FAIL_CORRUPT, -EINVAL, "%s", op->as.broken);
	return IPAM_DONE;
}

static enum ipam_state stage_start(struct ipam_op *op)
{
	struct ipam_mending *m = &op->mend;

	switch ((enum stage)m->stage) {
	case STAGE_V4:
		return ipam_list(op, ipamkey_affinities(op->owner, IP_V4), false, on_listed);
	case STAGE_V6:
		return ipam_list(op, ipamkey_affinities(op->owner, IP_V6), false, on_listed);
	case STAGE_HOSTS:
		if (m->any_host)
			return ipam_list(op, xstrdup(IPAMKEY_HOSTS), false, on_listed);
		return end(op);
	case STAGE_VIRTUAL:
		return ipam_list(op, xstrdup(IPAMKEY_VIRTUAL), false, on_listed);
	case STAGE_END:
		break;
	}
	return end(op);
}

static enum ipam_state on_config(struct ipam_op *op, int ignored)
{
	op->mend.stage = op->mend.any_host ? STAGE_HOSTS : STAGE_V4;
	return stage_start(op);
}

static enum ipam_state start(struct ipam_op *op, const struct store_res *in)
{
	if (op->host && !ipamkey_element_ok(op->host))
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "host \"%s\": must be a node's name", op->host);
	if (!op->host && !op->mend.pool.addr.family)
		return ipam_giveup(op, IPAM_FAIL_REQUEST, -EINVAL,
				   "neither host nor pool: whose blocks?");
	return ipam_config(op, on_config);
}

struct ipam_op *ipam_handback_op(const struct ipam_handback *req)
{
	struct ipam_op *op = ipam_op_new(&req->world, req->host, start);

	op->mend.pool = req->pool;
	op->mend.any_host = !req->host;
	op->mend.unselected = req->unselected;
	op->mend.even_used = req->even_used;
	op->mend.keep = req->keep;
	return op;
}
