/* cni_check.c - CHECK: is everything as ADD left it? STATUS: could an ADD succeed?
 * SPEC  cni.md 7.1, 7.2 */
#include <string.h>

#include "agent/cache.h"
#include "agent/cni/cni_job.h"
#include "agent/config.h"
#include "agent/cni/endpoints.h"
#include "agent/cni/held_by.h"
#include "lib/json.h"

static int absent(struct cni_error *f, const struct cni_job *j, const char *what)
{
	return cni_fail(f, CNI_ABSENT, "%s: %s", j->who, what);
}

/* The endpoint names this container. */
static int check_endpoint(struct cni_job *j, const char *key, struct epobj *w, struct cni_error *f)
{
	const struct store_kv *kv = cache_get(j->agent->cache, key);
	struct err e = { 0 };

	if (!kv)
		return absent(f, j, "its WorkloadEndpoint is not in the datastore");
	if (epobj_decode(w, kv->value, &e) < 0)
		return cni_fail(f, CNI_ABSENT, "%s: its WorkloadEndpoint is not valid: %s", j->who,
				e.msg);
	if (!strcmp(w->container_id, j->call.container_id))
		return 0;
	cni_fail(f, CNI_ABSENT, "%s: its WorkloadEndpoint belongs to another container, %.64s",
		 j->who, w->container_id);
	epobj_done(w);
	return -1;
}

static bool epobj_has(const struct epobj *w, const struct addr *a)
{
	for (unsigned i = 0; i < w->n_nets; i++)
		if (addr_eq(&w->nets[i].addr, a))
			return true;
	return false;
}

/* What the runtime believes: addresses on this interface, and the host's end. */
static int check_prev_ips(const struct cni_job *j, const struct epobj *w, const json_t *prev,
			  struct cni_error *f)
{
	json_t *list = NULL, *v;
	struct prefix p;
	size_t i;

	js_list(prev, "ips", &list, NULL);
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(json_object_get(v, "address"));
		json_t *on =
			json_array_get(js_at(prev, "interfaces"),
				       (size_t)json_integer_value(json_object_get(v, "interface")));

		/* Of a chain that added interfaces of its own only ours are looked at. */
		if (!str_eq(json_string_value(json_object_get(on, "name")), j->call.ifname))
			continue;
		if (!text || !prefix_parse_or_addr(text, &p) || !epobj_has(w, &p.addr))
			return cni_fail(
				f, CNI_ABSENT,
				"%s: prevResult has address %.64s, its WorkloadEndpoint has not",
				j->who, text ? text : "(none)");
	}
	return 0;
}

static int check_prev(const struct cni_job *j, const struct epobj *w, struct cni_error *f)
{
	json_t *prev = js_at(j->call.config, "prevResult"), *v;
	size_t i;

	if (!json_is_object(prev))
		return 0; /* the plugin has asked for it by the version's rule */
	if (check_prev_ips(j, w, prev, f) < 0)
		return -1;
	json_array_foreach (js_at(prev, "interfaces"), i, v)
		if (str_eq(json_string_value(json_object_get(v, "name")), w->ifname))
			return 0;
	return cni_fail(f, CNI_ABSENT, "%s: prevResult does not have host interface %s", j->who,
			w->ifname);
}

/* The addresses are still ours. */
static int check_addresses(struct cni_job *j, const struct epobj *w, struct cni_error *f)
{
	CLEANUP(freep) char *handle = cni_call_handle(&j->call);
	char buf[ADDR_STR_MAX];

	if (!cni_call_ours(&j->call))
		return 0;
	for (unsigned i = 0; i < w->n_nets; i++) {
		struct holder h;
		bool known = held_by(j->agent, &w->nets[i].addr, &h);
		bool ours = str_eq(h.handle, handle);

		holder_done(&h);
		/* A pool that was removed since: its addresses live on. */
		if (known && !ours)
			return cni_fail(f, CNI_ABSENT,
					"%s: address %s is not assigned to %s any more", j->who,
					addr_format(&w->nets[i].addr, buf), handle);
	}
	return 0;
}

void cni_op_check(struct cni_job *j)
{
	CLEANUP(freep) char *key = epobj_key(&j->call, j->agent->cfg->node);
	struct err e = { 0 };
	struct cni_error f;
	struct epobj w;
	int rc;

	if (cni_ready(j->agent, &f) < 0 || check_endpoint(j, key, &w, &f) < 0) {
		cni_job_fail(j, &f);
		return;
	}
	rc = check_prev(j, &w, &f);
	if (!rc)
		rc = check_addresses(j, &w, &f);
	if (!rc && endpoints_verify(j->agent->endpoints, key, &e) < 0)
		rc = cni_fail(&f, CNI_ABSENT, "%s: %s", j->who, e.msg);
	epobj_done(&w);
	if (rc < 0)
		cni_job_fail(j, &f);
	else
		cni_job_ok(j, NULL);
}

void cni_op_status(struct cni_job *j)
{
	const char *broken = cni_why_broken(j->server);
	struct cni_error f;

	if (broken) {
		cni_fail(&f, CNI_BROKEN, "the agent does not work: %s", broken);
		cni_job_fail(j, &f);
	} else if (cni_ready(j->agent, &f) < 0) {
		f.code = CNI_NOT_AVAILABLE;
		cni_job_fail(j, &f);
	} else {
		cni_job_ok(j, NULL);
	}
}
