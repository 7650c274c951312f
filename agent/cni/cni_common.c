/* cni_common.c - what the operations share: readiness, failures of the store, the undoing request
 */
#include "agent/cni/cni_job.h"

#include <string.h>

#include "agent/cache.h"
#include "lib/json.h"
#include "model/store.h"

#define CLUSTER_INFO "/calico/resources/v3/projectcalico.org/clusterinformations/default"

/* Locked by `datastore migrate lock` or an upgrade. DIFFERS: an object that is not there yet, or
 * does not say, is no lock. */
static bool locked(const struct cache *c)
{
	const struct store_kv *kv = cache_get(c, CLUSTER_INFO);
	CLEANUP(js_freep) json_t *root = NULL;
	bool ready = true;

	if (!kv || js_parse(kv->value, strlen(kv->value), &root, NULL) < 0)
		return false;
	return js_bool(root, "spec.datastoreReady", &ready, NULL) == 1 && !ready;
}

int cni_ready(const struct agent *a, struct cni_error *f)
{
	const char *lost = cache_lost(a->cache);

	if (lost || !cache_synced(a->cache)) {
		cni_fail(f, CNI_AGAIN, "the datastore cannot be used now: %s",
			 lost ? lost : "it has not been read to the end yet");
		return cni_remedy(f, "see whether the datastore is up; the call can be repeated");
	}
	if (locked(a->cache)) {
		cni_fail(f, CNI_AGAIN,
			 "the datastore is locked: ClusterInformation default says "
			 "datastoreReady: false");
		return cni_remedy(
			f, "a migration or upgrade locks it; calicoctl datastore migrate unlock "
			   "when that is over");
	}
	return 0;
}

int cni_store_fail(struct cni_error *f, const struct store_res *res, const char *what)
{
	int code = res->status == STORE_ERROR ? CNI_IO : CNI_AGAIN;

	return cni_fail(f, code, "%s: %s: %s", what, store_status_name(res->status), res->msg);
}

char *cni_del_line(const struct cni_call *c)
{
	CLEANUP(js_freep) json_t *o = json_object();
	const char *args = NULL, *type = NULL;
	json_t *conf = json_object(), *ipam = json_object();

	js_str(c->root, "args", &args, NULL);
	js_str(c->config, "ipam.type", &type, NULL);
	js_set_str(o, "op", "DEL");
	js_set_str(o, "containerID", c->container_id);
	js_set_str(o, "ifname", c->ifname);
	js_set_str(o, "args", args);
	js_set_str(conf, "cniVersion", c->cni_version);
	js_set_str(conf, "name", c->network);
	js_set_str(ipam, "type", type);
	js_set(conf, "ipam", ipam);
	js_set(o, "config", conf);
	return js_dump(o);
}
