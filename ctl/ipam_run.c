/* ipam_run.c - carry an IPAM operation out, for commands */
#include "ctl/ipam_run.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "datastore/ds.h"
#include "lib/fields.h"
#include "model/ippool.h"
#include "model/ipreservation.h"

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int ipam_run(struct ctl *c, struct ipam_op *op, struct err *e)
{
	struct store_res res = { 0 };
	struct store_req req = { 0 };
	bool answered = false;
	enum ipam_state state;

	while ((state = ipam_step(op, answered ? &res : NULL, now_ns(), &req, e)) == IPAM_WAIT) {
		unsigned pause = ipam_op_pause_ms(op);

		if (answered)
			store_res_done(&res);
		if (pause)
			usleep(pause * 1000);
		res = ds_call(c->ds, req);
		answered = true;
	}
	if (answered)
		store_res_done(&res);
	return state == IPAM_DONE ? 0 : -EIO;
}

static int read_pools(struct ctl *c, struct ipam_facts *f, struct err *e)
{
	struct object_vec pools = { 0 };
	int rc = ctl_list(c, kind_find("IPPool"), NULL, &pools, NULL, e);

	vec_foreach (&pools, o) {
		struct ippool p;

		if (ippool_decode(o, &p, NULL) < 0)
			continue;
		vec_push(&f->name, xstrdup(p.name));
		vec_push(&f->pool,
			 (struct ipam_pool) {
				 .name = f->name.p[f->name.n - 1],
				 .cidr = p.cidr,
				 .block_len = (uint8_t)p.block_size,
				 .disabled = p.disabled || p.deleting || p.not_allocatable,
				 .manual = p.assignment == IPPOOL_MANUAL,
				 .uses = p.allowed_uses,
				 .selects_node = true,
				 .selects_namespace = true,
			 });
		ippool_done(&p);
	}
	objects_done(&pools);
	return rc;
}

static int read_reservations(struct ctl *c, struct ipam_facts *f, struct err *e)
{
	struct object_vec list = { 0 };
	struct field_cidrs ranges = { 0 };
	int rc = ctl_list(c, kind_find("IPReservation"), NULL, &list, NULL, e);

	vec_foreach (&list, o)
		ipreservation_ranges(o, &ranges, NULL);
	vec_foreach (&ranges, p)
		vec_push(&f->reserved, *p);
	vec_done(&ranges);
	objects_done(&list);
	return rc;
}

int ipam_facts_read(struct ctl *c, struct ipam_facts *f, struct err *e)
{
	int rc;

	*f = (struct ipam_facts) { 0 };
	rc = read_pools(c, f, e);
	if (rc == 0)
		rc = read_reservations(c, f, e);
	if (rc < 0) {
		ipam_facts_done(f);
		return rc;
	}
	f->world = (struct ipam_world) { f->pool.p, f->pool.n, f->reserved.p, f->reserved.n };
	return 0;
}

void ipam_facts_done(struct ipam_facts *f)
{
	vec_foreach (&f->name, name)
		free(*name);
	vec_done(&f->name);
	vec_done(&f->pool);
	vec_done(&f->reserved);
}
