/* profiles.c - the profiles that a pod's endpoint names */
#include "agent/policy/profiles.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/clock.h"
#include "agent/cni/cni_job.h"
#include "agent/config.h"
#include "agent/cni/epobj.h"
#include "agent/cni/ipam_runner.h"
#include "agent/cni/uuid.h"
#include "lib/json.h"
#include "model/object.h"
#include "model/wall.h"
#include "policy/k8s.h"

enum { PROFILES_MAX = 2 };

struct making {
	struct agent *agent;
	struct store_req req[PROFILES_MAX];
	unsigned n, next;
	profiles_fn *fn;
	void *arg;
};

/* {"metadata": {"name": NAME, "namespace": NS, "labels": {...}}} */
static json_t *manifest(const char *name, const char *ns, const char *label)
{
	json_t *root = json_object(), *meta = json_object(), *labels = json_object();

	js_set_str(meta, "name", name);
	js_set_str(meta, "namespace", ns);
	if (label)
		js_set_str(labels, label, name);
	js_set(meta, "labels", labels);
	js_set(root, "metadata", meta);
	return root;
}

static char *stored_text(struct object *o)
{
	char uid[UUID_STR_MAX], now[WALL_STR_MAX];
	json_t *meta = json_object_get(o->json, "metadata");

	if (!json_object_get(meta, "uid"))
		js_set_str(meta, "uid", uuid_random(uid));
	if (!json_object_get(meta, "creationTimestamp"))
		js_set_str(meta, "creationTimestamp", wall_rfc3339(clock_wall_ns(), now));
	return object_encode(o);
}

static void add(struct making *m, const char *key, const char *text)
{
	if (!cache_get(m->agent->cache, key))
		m->req[m->n++] = store_create(key, text);
}

static void add_object(struct making *m, int rc, struct object *o)
{
	if (rc < 0)
		return;
	CLEANUP(freep) char *key = object_key(o);
	CLEANUP(freep) char *text = stored_text(o);

	add(m, key, text);
	object_done(o);
}

static void add_kubernetes(struct making *m, const struct cni_call *c)
{
	CLEANUP(js_freep)
	json_t *ns = manifest(c->pod_namespace, NULL, "kubernetes.io/metadata.name");
	CLEANUP(js_freep) json_t *account = manifest(c->service_account, c->pod_namespace, NULL);
	struct object o;

	/* There the store makes them of namespaces and accounts, and takes no others. */
	if (str_starts(m->agent->cfg->datastore, "kubernetes"))
		return;
	add_object(m, k8s_namespace(ns, &o, NULL), &o);
	add_object(m, k8s_account(account, &o, NULL), &o);
}

/* Calico's plugin makes the profile of a network once. */
static void add_network(struct making *m, const struct cni_call *c)
{
	CLEANUP(freep) char *key = epobj_profile_key(c);
	char uid[UUID_STR_MAX];
	CLEANUP(freep) char *text = epobj_profile_encode(c, uuid_random(uid), clock_wall_ns());

	add(m, key, text);
}

static void end(struct making *m, const struct cni_error *why)
{
	profiles_fn *fn = m->fn;
	void *arg = m->arg;

	while (m->next < m->n)
		store_req_done(&m->req[m->next++]);
	free(m);
	fn(arg, why);
}

static void next(struct making *m);

static void on_made(void *arg, struct store_res *res)
{
	struct making *m = arg;
	struct cni_error f;

	if (res->status == STORE_OK || res->status == STORE_EXISTS) {
		next(m);
		return;
	}
	cni_store_fail(&f, res, "Profile");
	end(m, &f);
}

static void next(struct making *m)
{
	if (m->next < m->n)
		store_write(m->agent, m->req[m->next++], on_made, m);
	else
		end(m, NULL);
}

void profiles_ensure(struct agent *a, const struct cni_call *call, profiles_fn *fn, void *arg)
{
	struct making *m = xcalloc(1, sizeof(*m));

	m->agent = a;
	m->fn = fn;
	m->arg = arg;
	if (call->k8s)
		add_kubernetes(m, call);
	else
		add_network(m, call);
	next(m);
}
