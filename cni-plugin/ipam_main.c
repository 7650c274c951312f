/* ipam_main.c - margay-ipam, addresses from margay's pools for other main plugins */
#include <stdio.h>

#include "cni-plugin/agent.h"
#include "cni-plugin/io.h"
#include "cni-plugin/journal.h"
#include "cni-plugin/program.h"
#include "cni-plugin/result.h"
#include "lib/json.h"

static int call(const char *op, const struct env *env, const struct conf *c, json_t **reply,
		bool *lost, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = agent_request(op, env, c);
	struct agent a;
	int rc = agent_open(&a, c->agent_socket, io_now_ms() + IO_BUDGET_MS, f);

	if (rc == 0)
		rc = agent_call(&a, request, reply, f);
	if (lost)
		*lost = a.lost;
	agent_close(&a);
	return rc;
}

static int ipam_del(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *request = NULL;
	bool lost = false;
	int rc = call("IPAM_DEL", env, c, NULL, &lost, f);

	if (rc == 0 || !lost)
		return rc;
	request = agent_request("IPAM_DEL", env, c);
	return journal_add(c->state_dir, env, request, f);
}

static void ipam_undo(const struct env *env, const struct conf *c)
{
	struct cni_error f = { 0 };

	io_shield();
	if (ipam_del(env, c, NULL, &f) < 0)
		fprintf(stderr, "margay-ipam: taking back an ADD: %s\n", f.msg);
}

static int ipam_add(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *reply = NULL;
	bool lost = false;
	int rc = call("IPAM_ADD", env, c, &reply, &lost, f);

	if (rc == 0)
		*out = result_ipam_json(c, reply);
	else if (io_interrupted())
		ipam_undo(env, c);
	return rc;
}

static int ipam_check(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	return call("IPAM_CHECK", env, c, NULL, NULL, f);
}

static int ipam_status(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	bool lost = false;
	int rc = call("IPAM_STATUS", env, c, NULL, &lost, f);

	if (rc < 0 && lost)
		f->code = CNI_NOT_AVAILABLE;
	return rc;
}

static int ipam_gc(const struct env *env, const struct conf *c, char **out, struct cni_error *f)
{
	return call("IPAM_GC", env, c, NULL, NULL, f);
}

int main(void)
{
	static const struct program margay_ipam = {
		.about = "CNI IPAM plugin margay-ipam " MARGAY_VERSION
			 ": addresses from margay's pools; CNI 0.3.0 to 1.1.0",
		.add = ipam_add,
		.del = ipam_del,
		.check = ipam_check,
		.status = ipam_status,
		.gc = ipam_gc,
		.add_undo = ipam_undo,
	};

	return program_run(&margay_ipam);
}
