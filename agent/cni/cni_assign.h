/* cni_assign.h - addresses for one call: from the pools, by number, or as a delegate gave them. */
#pragma once

#include "agent/cni/cni_job.h"
#include "agent/cni/cni_server.h"
#include "ipam/op.h"

struct cni_assigned {
	struct prefix nets[WEP_NETS_MAX]; /* address with its block's mask */
	uint64_t seq[WEP_NETS_MAX];	  /* proof */
	bool had[WEP_NETS_MAX];		  /* the container held it before this call */
	unsigned n;
	bool held;   /* it held any: what it held is not given back by a failure */
	bool unsure; /* an operation failed and may have taken something */
	char *handle;
	/* Set by the caller: what the container's endpoint has already, by an earlier ADD. */
	struct prefix before[WEP_NETS_MAX];
	unsigned n_before;
	/* while it runs */
	struct cni_job *job;
	struct addr wanted[2]; /* by number, one after the other */
	unsigned n_wanted, at;
	cni_done_fn *done;
	void *arg;
};

/* Take the addresses that the job's call asks for. done may be called at once; with a failure
 * nothing is taken, except what cni_assigned_release would give back. */
void cni_assign(struct cni_assigned *got, struct cni_job *j, cni_done_fn *done, void *arg);
/* The operation that gives back what this call took; NULL when there is nothing. */
struct ipam_op *cni_assigned_release(const struct cni_assigned *got, struct cni_job *j);
void cni_assigned_done(struct cni_assigned *got);

/* The failure of an operation in CNI's codes, with what a person can do. */
int cni_ipam_fail(struct cni_error *f, enum ipam_fail fail, const char *msg);
