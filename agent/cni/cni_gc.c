/* cni_gc.c - GC and IPAM_GC: what the runtime does not know any more goes
 *
 * SHAPE  stale endpoints -> their interfaces, routes, objects -> the addresses that are left
 * WHY    "Stale" needs three things: this node, this network (its handle holds the address, or the
 *        endpoint has its profile), and an age: an ADD may have ended after the runtime made its
 *        list. Tunnels, other networks and virtual machines have other handles.
 * SPEC  cni.md 7.3 */
#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/cni/cni_assign.h"
#include "agent/cni/cni_job.h"
#include "agent/config.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/held_by.h"
#include "agent/cni/ipam_runner.h"
#include "agent/log.h"
#include "agent/cni/epobj_store.h"
#include "lib/json.h"
#include "lib/vec.h"

struct stale {
	char *key, *id;
};

struct gc {
	struct cni_job *job;
	json_t *valid; /* borrowed from the job's call */
	VEC(struct stale) stale;
	VEC(char *) live; /* handles */
	size_t at;
	unsigned failed;
	struct cni_error why; /* the first failure */
};

static int64_t grace_ns(const struct gc *g)
{
	return (int64_t)g->job->agent->cfg->gc_grace_s * 1000000000;
}

static void gc_free(struct cni_job *j)
{
	struct gc *g = j->op;

	vec_foreach (&g->stale, s) {
		free(s->key);
		free(s->id);
	}
	vec_foreach (&g->live, h)
		free(*h);
	vec_done(&g->stale);
	vec_done(&g->live);
	free(g);
}

/* Best effort: everything is tried, the first failure is told at the end. */
static void gc_end(struct gc *g)
{
	struct cni_job *j = g->job;
	struct cni_error f = g->why;

	if (g->failed)
		cni_job_fail(j, &f);
	else
		cni_job_ok(j, NULL);
}

static void on_addresses(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e)
{
	struct gc *g = arg;
	struct ipam_tally n = ipam_op_tally(op);

	if (n.released)
		log_info("cni", "addresses of containers that are gone were freed",
			 "network=%s addresses=%u", g->job->call.network, n.released);
	if (fail != IPAM_FAIL_NONE && !g->failed++)
		cni_ipam_fail(&g->why, fail, e->msg);
	gc_end(g);
}

static void gc_addresses(struct gc *g)
{
	struct agent *a = g->job->agent;
	const struct ipam_gc req = { .world = *ipam_runner_world(a->ipam),
				     .host = a->cfg->node,
				     .network = g->job->call.network,
				     .live = (const char *const *)g->live.p,
				     .n_live = g->live.n,
				     .grace_ns = grace_ns(g) };

	ipam_runner_submit(a->ipam, ipam_gc_op(&req), on_addresses, g);
}

static void gc_next(struct gc *g);

static void on_removed(void *arg, const struct store_res *res)
{
	struct gc *g = arg;

	if (res->status != STORE_OK && res->status != STORE_NOT_FOUND && !g->failed++)
		cni_store_fail(&g->why, res, "WorkloadEndpoint");
	g->at++;
	gc_next(g);
}

static void gc_next(struct gc *g)
{
	struct agent *a = g->job->agent;
	const struct stale *s;

	if (g->at >= g->stale.n) {
		gc_addresses(g);
		return;
	}
	s = &g->stale.p[g->at];
	log_info("cni", "workload of a container that is gone is removed", "container=%s key=%s",
		 s->id, s->key);
	endpoints_unlink(a->endpoints, s->key);
	endpoints_detach(a->endpoints, s->key, s->id);
	epobj_remove(a, s->key, s->id, on_removed, g);
}

/* ---- what is stale ---- */

static bool in_flight(const struct cni_job *j, const char *container_id, const char *endpoint)
{
	return cni_job_find(j->server, "ADD", container_id, endpoint, NULL) != NULL;
}

static bool has_profile(const char *json, const char *name)
{
	CLEANUP(js_freep) json_t *root = NULL;
	json_t *list = NULL, *v;
	size_t i;

	if (js_parse(json, strlen(json), &root, NULL) < 0 ||
	    js_list(root, "spec.profiles", &list, NULL) != 1)
		return false;
	json_array_foreach (list, i, v)
		if (str_eq(json_string_value(v), name))
			return true;
	return false;
}

/* Of this network, and old enough? */
static bool is_ours(struct gc *g, const struct epobj *w, const char *json)
{
	const struct cni_call *c = &g->job->call;
	CLEANUP(freep) char *handle = xasprintf("%s.%s", c->network, w->container_id);
	int64_t now = clock_wall_ns();

	for (unsigned i = 0; i < w->n_nets; i++) {
		struct holder h;
		bool ours =
			held_by(g->job->agent, &w->nets[i].addr, &h) && str_eq(h.handle, handle);
		int64_t when = h.when_ns;

		holder_done(&h);
		if (ours)
			return now - when > grace_ns(g);
	}
	/* No address of ours: a delegate's, or freed already. */
	return has_profile(json, c->network);
}

static bool look_at(void *arg, const struct store_kv *kv)
{
	struct gc *g = arg;
	struct cni_job *j = g->job;
	struct epobj w;

	if (epobj_decode(&w, kv->value, NULL) < 0)
		return true;
	if (!strcmp(w.node, j->agent->cfg->node) && *w.container_id &&
	    !cni_attachments_have(g->valid, w.container_id) &&
	    !in_flight(j, w.container_id, w.endpoint) && is_ours(g, &w, kv->value))
		vec_push(&g->stale,
			 (struct stale) { .key = xstrdup(kv->key), .id = xstrdup(w.container_id) });
	epobj_done(&w);
	return true;
}

static void list_live(struct gc *g)
{
	json_t *v;
	size_t i;

	json_array_foreach (g->valid, i, v)
		vec_push(&g->live, xasprintf("%s.%s", g->job->call.network,
					     json_string_value(json_object_get(v, "containerID"))));
}

void cni_op_gc(struct cni_job *j)
{
	struct gc *g = xcalloc(1, sizeof(*g));
	struct cni_error f;

	j->op = g;
	j->op_free = gc_free;
	g->job = j;
	if (cni_ready(j->agent, &f) < 0 || cni_call_attachments(&j->call, &g->valid, &f) < 0) {
		cni_job_fail(j, &f);
		return;
	}
	list_live(g);
	if (!strcmp(j->call.op, "GC"))
		cache_each(j->agent->cache, WEP_KEYS, look_at, g);
	gc_next(g);
}
