/* clusterinfo.c - ClusterInformation: table */
#include "model/clusterinfo.h"

#include <stdio.h>

#include "model/object.h"

static const struct field rows[] = {
	FIELD_STRING(struct clusterinfo, guid, "clusterGUID", .doc = "Identity of the cluster."),
	FIELD_STRING(struct clusterinfo, type, "clusterType", .doc = "Comma list of what it is."),
	FIELD_STRING(struct clusterinfo, version, "calicoVersion",
		     .doc = "Version that calicoctl must have; empty: any."),
	FIELD_BOOL(struct clusterinfo, ready, "datastoreReady",
		   FIELD_HAS(struct clusterinfo, has_ready),
		   .doc = "False while the data is locked for a migration."),
	FIELD_STRING(struct clusterinfo, variant, "variant", .doc = "Edition."),
};
const struct fields clusterinfo_fields = FIELDS("spec", struct clusterinfo, rows);

struct object clusterinfo_new(const uint8_t random[static 16], const char *type)
{
	struct object o = object_new(kind_find("ClusterInformation"), NULL, CLUSTERINFO_NAME);
	json_t *spec = object_spec_json(&o);
	char guid[33];

	for (size_t i = 0; i < 16; i++)
		snprintf(guid + 2 * i, 3, "%02x", random[i]);
	js_set_str(spec, "clusterGUID", guid);
	js_set_str(spec, "clusterType", type);
	js_set_str(spec, "calicoVersion", "");
	js_set_bool(spec, "datastoreReady", true);
	return o;
}

bool clusterinfo_locked(const struct object *o)
{
	return o && json_is_false(js_at(o->json, "spec.datastoreReady"));
}
