/* ipam_run.h - carry an IPAM operation out, for commands. */
#pragma once

#include "ctl/ctl.h"
#include "ipam/op.h"

/* Step op to its end against the datastore. 0, or negative errno with words. Does not free it. */
int ipam_run(struct ctl *c, struct ipam_op *op, struct err *e);

/* All pools and reservations, for requests. Selectors are taken to match. */
struct ipam_facts {
	struct ipam_world world; /* points into the rest */
	VEC(struct ipam_pool) pool;
	VEC(char *) name;
	VEC(struct prefix) reserved;
};
int ipam_facts_read(struct ctl *c, struct ipam_facts *out, struct err *e);
void ipam_facts_done(struct ipam_facts *f);
