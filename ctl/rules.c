/* rules.c - the table of rules around writes, and the short ones */
#include "ctl/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/ipamconfig.h"
#include "model/ipamkey.h"
#include "model/ipamkinds.h"
#include "model/tier.h"
#include "model/wep.h"

/* Selectors rely on these two: whatever a person wrote there. */
static int wep_label(struct object *o)
{
	json_t *meta = json_object_get(o->json, "metadata"), *labels;
	const char *orchestrator = NULL;

	labels = json_object_get(meta, "labels");
	if (!json_is_object(labels)) {
		labels = json_object();
		js_set(meta, "labels", labels);
	}
	js_set_str(labels, WEP_LABEL_NAMESPACE, o->ns);
	if (js_str(o->json, "spec.orchestrator", &orchestrator, NULL) > 0)
		js_set_str(labels, WEP_LABEL_ORCHESTRATOR, orchestrator);
	return 0;
}

static int wep_create(struct ctl *c, struct object *o, struct err *e)
{
	return wep_label(o);
}

static int wep_update(struct ctl *c, const struct object *stored, struct object *o, struct err *e)
{
	return wep_label(o);
}

/* The allocator reads its own object, not this kind's: write both, so that what a person set is
 * what holds. Members that the kind does not have stay. */
static int ipamconfig_written(struct ctl *c, const struct object *o, struct err *e)
{
	CLEANUP(freep) char *text = NULL;
	struct ipamconfiguration spec;
	struct ipamconfig cfg = ipamconfig_default();
	struct store_res res;
	int rc = object_spec(o, FIELDS_LENIENT, &spec, e);

	if (rc < 0)
		return rc;
	if (ctl_call(c, store_get(IPAMKEY_CONFIG), "IPAM configuration", &res, NULL) == 0) {
		const char *value = res.kv[0].value;

		if (ipamconfig_decode(value, strlen(value), &cfg, NULL) < 0)
			cfg = ipamconfig_default(); /* broken: replaced */
		store_res_done(&res);
	}
	cfg.strict_affinity = spec.strict_affinity;
	cfg.auto_allocate_blocks = spec.auto_allocate_blocks;
	cfg.max_blocks_per_host = (unsigned)spec.max_blocks_per_host;
	cfg.vm_persistence_off = spec.vm_persistence;
	cfg.cooldown_s = (unsigned)spec.cooldown_s;
	text = ipamconfig_encode(&cfg);
	ipamconfig_done(&cfg);
	fields_done(&ipamconfiguration_fields, &spec);
	return ctl_call(c, store_update(IPAMKEY_CONFIG, text, 0), "IPAM configuration", NULL, e);
}

static int ipamconfig_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e)
{
	int rc = ctl_delete(c, stored, rev, e);

	if (rc < 0)
		return rc;
	rc = ctl_call(c, store_delete(IPAMKEY_CONFIG, 0), "IPAM configuration", NULL, e);
	return rc == -ENOENT ? 0 : rc;
}

/* How many policies are of a tier; *one: the first of them, heap. */
static int count_policies(struct ctl *c, const char *tier, size_t *n, char **one, struct err *e)
{
	static const char *const kinds[] = { "NetworkPolicy", "GlobalNetworkPolicy" };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(kinds); i++) {
		struct object_vec list = { 0 };

		rc = ctl_list(c, kind_find(kinds[i]), NULL, &list, NULL, e);
		vec_foreach (&list, o) {
			if (!str_eq(json_string_value(js_at(o->json, "spec.tier")), tier))
				continue;
			if (!(*n)++)
				*one = ctl_name(o);
		}
		objects_done(&list);
	}
	return rc;
}

/* Without their tier, policies would be behind all others and deny, whatever it had passed. */
static int tier_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e)
{
	CLEANUP(freep) char *one = NULL;
	size_t n = 0;
	int rc = tier_builtin(stored->name) ? 0 : count_policies(c, stored->name, &n, &one, e);

	if (rc == 0 && n)
		rc = err_set(e, -EBUSY, "has %zu polic%s, such as %s: delete them first", n,
			     n == 1 ? "y" : "ies", one);
	return rc < 0 ? rc : ctl_delete(c, stored, rev, e);
}

static const struct rules rows[] = {
	{ "IPAMConfiguration", NULL, NULL, ipamconfig_written, ipamconfig_delete },
	{ "IPPool", pool_create, pool_update, NULL, pool_delete },
	{ "Node", NULL, NULL, NULL, node_delete },
	{ "Tier", NULL, NULL, NULL, tier_delete },
	{ "WorkloadEndpoint", wep_create, wep_update, NULL, NULL },
};

const struct rules *rules_of(const struct kind *kind)
{
	static const struct rules none = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].kind, kind->name))
			return &rows[i];
	return &none;
}
