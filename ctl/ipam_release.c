/* ipam_release.c - margayctl ipam release: an address back into its block
 * WHY   for an address that `ipam check` found allocated and unused. What the holder is called can
 *be given as proof, so that nobody else's is released in the meantime. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/cmd.h"
#include "ctl/ipam_run.h"

enum { RELEASE_IP, RELEASE_HANDLE };

static int release_ip(struct ctl *c, const struct ipam_facts *f, const struct ipam_proof *proof,
		      const char *text, struct err *e)
{
	struct ipam_op *op = ipam_release_op(
		&(struct ipam_release) { .world = f->world, .proof = proof, .n_proof = 1 });
	int rc = ipam_run(c, op, e);
	struct ipam_tally n = ipam_op_tally(op);

	ipam_op_free(op);
	if (rc < 0)
		return rc;
	if (n.mismatched)
		return err_set(e, -EPERM,
			       "%s is held by somebody else; see margayctl ipam show "
			       "--ip=%s",
			       text, text);
	if (n.released)
		printf("Successfully released IP address %s\n", text);
	else
		printf("IP address %s is not assigned\n", text);
	return 0;
}

static int release_handle(struct ctl *c, const struct ipam_facts *f, const char *handle,
			  struct err *e)
{
	struct ipam_op *op = ipam_release_handle_op(&f->world, NULL, handle);
	int rc = ipam_run(c, op, e);
	struct ipam_tally n = ipam_op_tally(op);

	ipam_op_free(op);
	if (rc == 0)
		printf("Successfully released %u IP addresses of handle %s\n", n.released, handle);
	return rc;
}

int cmd_ipam_release(struct ctl *c, const struct args *a)
{
	struct ipam_proof proof = { .handle = a->opt[RELEASE_HANDLE] };
	const char *ip = a->opt[RELEASE_IP];
	struct ipam_facts f;
	struct err e = { 0 };
	int rc;

	if (!ip && !a->opt[RELEASE_HANDLE]) {
		ctl_error("what to release is missing: --ip=ADDRESS or --handle=ID");
		return CTL_USAGE;
	}
	if (ip && !addr_parse(ip, &proof.addr)) {
		ctl_error("--ip: must be an address like 10.0.0.1, is \"%.60s\"", ip);
		return CTL_USAGE;
	}
	if (ctl_open(c, true, &e) < 0 || ipam_facts_read(c, &f, &e) < 0)
		return ctl_error("%s", e.msg);
	rc = ip ? release_ip(c, &f, &proof, ip, &e)
		: release_handle(c, &f, a->opt[RELEASE_HANDLE], &e);
	ipam_facts_done(&f);
	return rc < 0 ? ctl_error("%s", e.msg) : CTL_OK;
}
