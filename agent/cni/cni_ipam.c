/* cni_ipam.c - addresses for other main plugins: IPAM_ADD, IPAM_CHECK
 * SPEC  cni.md 5.2: the address carries its block's mask, the route is the address alone */
#include <stdlib.h>

#include "agent/cni/cni_assign.h"
#include "agent/cni/cni_job.h"
#include "agent/config.h"
#include "agent/cni/ipam_runner.h"
#include "agent/log.h"
#include "lib/json.h"
#include "model/ipamkey.h"

struct lease {
	struct cni_job *job;
	struct cni_assigned got;
	struct cni_error why;
	bool gone, over; /* the peer went away; the addresses are decided */
};

static void lease_free(struct cni_job *j)
{
	struct lease *l = j->op;

	cni_assigned_done(&l->got);
	free(l);
}

static json_t *answer(const struct cni_assigned *got)
{
	json_t *o = json_object(), *ips = json_array(), *routes = json_array();
	char buf[PREFIX_STR_MAX];

	for (unsigned i = 0; i < got->n; i++) {
		struct prefix host = prefix_of(&got->nets[i].addr, 128);
		json_t *ip = json_object(), *route = json_object();

		js_set_str(ip, "address", prefix_format(&got->nets[i], buf));
		js_set_str(route, "dst", prefix_format(&host, buf));
		json_array_append_new(ips, ip);
		json_array_append_new(routes, route);
	}
	js_set(o, "ips", ips);
	js_set(o, "routes", routes);
	return o;
}

static void on_released(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct lease *l = arg;
	struct cni_error why = l->why;

	if (fail != IPAM_FAIL_NONE)
		log_warn("cni", "a failed IPAM ADD leaves addresses taken until its DEL",
			 "who=%s why=%s", l->job->who, e->msg);
	cni_job_fail(l->job, &why);
}

static void on_assigned(void *arg, const struct cni_error *f)
{
	struct lease *l = arg;
	struct cni_job *j = l->job;
	struct ipam_op *op;

	l->over = true;
	if (!f && !l->gone) {
		cni_job_ok(j, answer(&l->got));
		return;
	}
	if (f)
		l->why = *f;
	else
		cni_fail(&l->why, CNI_AGAIN, "the plugin went away in the middle of ADD");
	op = cni_assigned_release(&l->got, j);
	if (op)
		ipam_runner_submit(j->agent->ipam, op, on_released, l);
	else
		cni_job_fail(j, &l->why);
}

static void on_gone(struct cni_job *j)
{
	struct lease *l = j->op;

	l->gone = true;
}

void cni_op_ipam_add(struct cni_job *j)
{
	struct lease *l = xcalloc(1, sizeof(*l));
	struct cni_error f;

	l->job = j;
	j->op = l;
	j->op_free = lease_free;
	if (cni_ready(j->agent, &f) < 0) {
		cni_job_fail(j, &f);
		return;
	}
	j->on_gone = on_gone;
	cni_assign(&l->got, j, on_assigned, l);
}

static void on_handle(void *arg, struct store_res *res)
{
	struct cni_job *j = arg;
	struct cni_error f;

	if (res->status == STORE_OK) {
		cni_job_ok(j, NULL);
		return;
	}
	if (res->status == STORE_NOT_FOUND)
		cni_fail(&f, CNI_ABSENT, "no address is held for container %s in network %s",
			 j->call.container_id, j->call.network);
	else
		cni_store_fail(&f, res, "handle");
	cni_job_fail(j, &f);
}

void cni_op_ipam_check(struct cni_job *j)
{
	CLEANUP(freep) char *handle = cni_call_handle(&j->call);
	CLEANUP(freep) char *key = ipamkey_handle(handle);
	struct cni_error f;

	if (cni_ready(j->agent, &f) < 0)
		cni_job_fail(j, &f);
	else
		ds_submit(j->agent->ds, store_get(key), on_handle, j);
}
