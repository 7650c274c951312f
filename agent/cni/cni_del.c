/* cni_del.c - DEL and IPAM_DEL: everything of a container is given back, as often as it is asked
 *
 * SHAPE  The route goes at once, then the endpoint, then the addresses. With the store away the
 * request goes into the journal and the answer is yes: a pod can always be deleted. SPEC
 * cni.md 5.1, 5.2, 7.4 */
#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/cni/cni_assign.h"
#include "agent/cni/cni_job.h"
#include "agent/config.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/ipam_runner.h"
#include "agent/cni/journal.h"
#include "agent/log.h"
#include "agent/cni/epobj_store.h"

struct del {
	struct cni_job *job;
	bool failed, legacy; /* legacy: the old handle was tried as well */
	struct cni_error why;
};

static void del_free(struct cni_job *j)
{
	free(j->op);
}

/* Not possible now: keep it. What comes out of the journal goes back there by failing. */
static void defer(struct cni_job *j, const struct cni_error *why)
{
	struct cni_error f = *why;
	struct err e = { 0 };

	if (j->on_done) {
		cni_job_fail(j, &f);
		return;
	}
	if (journal_keep(cni_journal(j->server), j->call.container_id, j->call.ifname, j->line,
			 &e) < 0) {
		cni_fail(&f, CNI_IO, "%s; and it cannot be noted for later: %s", why->msg, e.msg);
		cni_job_fail(j, &f);
		return;
	}
	log_warn("cni", "the release of a pod's address is noted in the journal for later",
		 "who=%s container=%s why=%s", j->who, j->call.container_id, why->msg);
	cni_job_ok(j, NULL);
}

static void del_end(struct del *d)
{
	struct cni_job *j = d->job;
	struct cni_error f = d->why;

	if (!d->failed) {
		log_info("cni", "detached", "who=%s container=%s", j->who, j->call.container_id);
		cni_job_ok(j, NULL);
	} else if (f.code == CNI_AGAIN) {
		defer(j, &f);
	} else {
		cni_job_fail(j, &f);
	}
}

static void release_handle(struct del *d, const char *handle);

/* Pods from before Calico had the present handles: theirs was "NAMESPACE.POD". */
static void release_legacy(struct del *d)
{
	const struct cni_call *c = &d->job->call;
	CLEANUP(freep)
	char *handle = c->k8s ? xasprintf("%s.%s", c->pod_namespace, c->pod_name)
			      : xstrdup(c->container_id);

	d->legacy = true;
	release_handle(d, handle);
}

static void on_released(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct del *d = arg;

	if (fail == IPAM_FAIL_NONE && !ipam_op_tally(op).released && !d->legacy) {
		release_legacy(d);
		return;
	}
	if (fail != IPAM_FAIL_NONE) {
		cni_ipam_fail(&d->why, fail, e->msg);
		d->failed = true;
	}
	del_end(d);
}

static void release_handle(struct del *d, const char *handle)
{
	struct agent *a = d->job->agent;

	ipam_runner_submit(a->ipam,
			   ipam_release_handle_op(ipam_runner_world(a->ipam), a->cfg->node, handle),
			   on_released, d);
}

struct other {
	const struct cni_call *call;
	const char *siblings;
	bool found;
};

static bool look_at_sibling(void *arg, const struct store_kv *kv)
{
	struct other *o = arg;
	struct epobj w;

	if (!epobj_is_sibling(o->siblings, kv->key) || epobj_decode(&w, kv->value, NULL) < 0)
		return true;
	o->found = !strcmp(w.container_id, o->call->container_id) &&
		   strcmp(w.endpoint, o->call->ifname) != 0;
	epobj_done(&w);
	return !o->found;
}

/* DEL of a second attachment, which ADD refused: the handle is that of the first, which lives. */
static bool other_attachment_lives(const struct cni_job *j)
{
	CLEANUP(freep) char *siblings = epobj_key_siblings(&j->call, j->agent->cfg->node);
	struct other o = { .call = &j->call, .siblings = siblings };

	cache_each(j->agent->cache, siblings, look_at_sibling, &o);
	return o.found;
}

static void release_addresses(struct del *d)
{
	CLEANUP(freep) char *handle = cni_call_handle(&d->job->call);

	if (cni_call_ours(&d->job->call) && !other_attachment_lives(d->job))
		release_handle(d, handle);
	else
		del_end(d);
}

static void on_epobj_removed(void *arg, const struct store_res *res)
{
	struct del *d = arg;

	if (res->status == STORE_OK || res->status == STORE_NOT_FOUND) {
		release_addresses(d);
		return;
	}
	cni_store_fail(&d->why, res, "WorkloadEndpoint");
	d->failed = true;
	del_end(d);
}

static struct del *del_new(struct cni_job *j)
{
	struct del *d = xcalloc(1, sizeof(*d));

	j->op = d;
	j->op_free = del_free;
	d->job = j;
	return d;
}

void cni_op_del(struct cni_job *j)
{
	CLEANUP(freep) char *key = epobj_key(&j->call, j->agent->cfg->node);
	struct cni_job *add =
		cni_job_find(j->server, "ADD", j->call.container_id, j->call.ifname, j);
	struct cni_error f;

	if (add)
		cni_add_cancel(add, "its DEL came while ADD was under way");
	endpoints_detach(j->agent->endpoints, key, j->call.container_id);
	if (cni_ready(j->agent, &f) < 0) {
		defer(j, &f);
		return;
	}
	epobj_remove(j->agent, key, j->call.container_id, on_epobj_removed, del_new(j));
}

void cni_op_ipam_del(struct cni_job *j)
{
	CLEANUP(freep) char *handle = cni_call_handle(&j->call);
	struct cni_error f;

	if (cni_ready(j->agent, &f) < 0)
		defer(j, &f);
	else
		release_handle(del_new(j), handle);
}
