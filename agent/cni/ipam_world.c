/* ipam_world.c - IPPools and IPReservations as the allocator wants them
 *
 * WHY    Built once for each change of a pool, not once for each ADD.
 * TESTS  tests/unit/agent/cni/ipam_world.c */
#include "agent/cni/ipam_world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/log.h"
#include "lib/json.h"
#include "lib/vec.h"
#include "model/selector.h"

#define KINDS	     "/calico/resources/v3/projectcalico.org/"
#define POOLS	     KINDS "ippools/"
#define RESERVATIONS KINDS "ipreservations/"
#define NODES	     KINDS "nodes/"

enum {
	POOLS_MAX = 1024,     /* a cluster has a handful */
	RESERVED_MAX = 16384, /* looked at one by one for each address */
};

struct ipam_picture {
	VEC(struct ipam_pool) pools;
	VEC(struct prefix) reserved;
	struct ipam_world world;
	json_t *labels; /* of the node, while building */
};

/* ---- one pool ---- */

static int decode_uses(const json_t *root, unsigned *uses, struct err *e)
{
	static const struct {
		const char *name;
		enum ipam_use use;
	} names[] = { { "Workload", IPAM_USE_WORKLOAD },
		      { "Tunnel", IPAM_USE_TUNNEL },
		      { "LoadBalancer", IPAM_USE_LOAD_BALANCER } };
	json_t *list = NULL, *v;
	size_t i;

	if (js_list(root, "spec.allowedUses", &list, e) < 0)
		return -EINVAL;
	*uses = json_array_size(list) ? 0 : IPAM_USE_WORKLOAD | IPAM_USE_TUNNEL;
	json_array_foreach (list, i, v)
		for (size_t k = 0; k < ARRAY_SIZE(names); k++)
			if (str_eq(json_string_value(v), names[k].name))
				*uses |= names[k].use;
	return 0;
}

/* status.conditions: kube-controllers say whether the pool may be used. */
static bool not_allocatable(const json_t *root)
{
	json_t *list = NULL, *v;
	size_t i;

	if (js_list(root, "status.conditions", &list, NULL) != 1)
		return false;
	json_array_foreach (list, i, v)
		if (str_eq(json_string_value(json_object_get(v, "type")), "Allocatable") &&
		    str_eq(json_string_value(json_object_get(v, "status")), "False"))
			return true;
	return false;
}

static int decode_shape(const json_t *root, struct ipam_pool *p, struct err *e)
{
	const char *cidr = NULL;
	int64_t size = 0;
	bool v4;

	if (js_need(js_str(root, "spec.cidr", &cidr, e), "spec.cidr", e) < 0)
		return -EINVAL;
	if (!prefix_parse_strict(cidr, &p->cidr))
		return err_set(e, -EINVAL, "spec.cidr \"%.64s\": must be a CIDR without host bits",
			       cidr);
	v4 = p->cidr.addr.family == IP_V4;
	size = v4 ? 26 : 122;
	if (js_int(root, "spec.blockSize", 0, 128, &size, e) < 0)
		return -EINVAL;
	if (!size)
		size = v4 ? 26 : 122;
	if (size < (v4 ? 20 : 116) || size > (v4 ? 32 : 128) || size < p->cidr.len)
		return err_set(e, -ERANGE,
			       "spec.blockSize %d: must be %s and not below the length of %s",
			       (int)size, v4 ? "20..32" : "116..128", cidr);
	p->block_len = (uint8_t)size;
	return 0;
}

/* Does it pick what carries these labels? */
static int selects(const char *text, const json_t *labels, const char *path, bool *out,
		   struct err *e)
{
	struct selector *s;
	int rc;

	*out = true;
	if (!*text)
		return 0;
	rc = selector_parse(text, &s, e);
	if (rc < 0)
		return err_wrap(e, "%s", path);
	*out = selector_match_json(s, labels);
	selector_free(s);
	return 0;
}

int ipam_pool_decode(const char *text, const json_t *node_labels, struct ipam_pool *out,
		     struct err *e)
{
	const char *name = NULL, *node_sel = "", *ns_sel = "", *mode = "", *deleted = NULL;
	CLEANUP(js_freep) json_t *root = NULL;
	struct ipam_pool p = { 0 };
	int rc = js_parse(text, strlen(text), &root, e);

	if (rc < 0)
		return rc;
	if (js_need(js_str(root, "metadata.name", &name, e), "metadata.name", e) < 0 ||
	    js_str(root, "metadata.deletionTimestamp", &deleted, e) < 0 ||
	    js_str(root, "spec.nodeSelector", &node_sel, e) < 0 ||
	    js_str(root, "spec.namespaceSelector", &ns_sel, e) < 0 ||
	    js_str(root, "spec.assignmentMode", &mode, e) < 0 ||
	    js_bool(root, "spec.disabled", &p.disabled, e) < 0)
		return -EINVAL;
	rc = decode_shape(root, &p, e);
	if (!rc)
		rc = decode_uses(root, &p.uses, e);
	if (!rc)
		rc = selects(node_sel, node_labels, "spec.nodeSelector", &p.selects_node, e);
	/* No namespace is read without a Kubernetes API: its labels are an empty set. */
	if (!rc)
		rc = selects(ns_sel, NULL, "spec.namespaceSelector", &p.selects_namespace, e);
	if (rc < 0)
		return rc;
	p.name = xstrdup(name);
	p.disabled = p.disabled || deleted || not_allocatable(root);
	p.manual = !strcmp(mode, "Manual");
	*out = p;
	return 0;
}

/* ---- all ---- */

static void clear(struct ipam_picture *p)
{
	vec_foreach (&p->pools, pool)
		free((char *)(uintptr_t)pool->name);
	vec_clear(&p->pools);
	vec_clear(&p->reserved);
}

static bool add_pool(void *arg, const struct store_kv *kv)
{
	struct ipam_picture *p = arg;
	struct ipam_pool pool;
	struct err e = { 0 };

	if (ipam_pool_decode(kv->value, p->labels, &pool, &e) < 0)
		log_warn("ipam", "pool is not valid, it is not used", "key=%s why=%s", kv->key,
			 e.msg);
	else
		vec_push(&p->pools, pool);
	return p->pools.n < POOLS_MAX;
}

static bool add_reservation(void *arg, const struct store_kv *kv)
{
	struct ipam_picture *p = arg;
	CLEANUP(js_freep) json_t *root = NULL;
	json_t *list = NULL, *v;
	struct prefix net;
	size_t i;

	if (js_parse(kv->value, strlen(kv->value), &root, NULL) < 0 ||
	    js_list(root, "spec.reservedCIDRs", &list, NULL) != 1)
		return true;
	/* Bad entries are passed over, as Calico does. */
	json_array_foreach (list, i, v)
		if (json_is_string(v) && prefix_parse_or_addr(json_string_value(v), &net) &&
		    p->reserved.n < RESERVED_MAX)
			vec_push(&p->reserved, prefix_mask(&net));
	return p->reserved.n < RESERVED_MAX;
}

struct ipam_picture *ipam_picture_new(void)
{
	return xcalloc(1, sizeof(struct ipam_picture));
}

void ipam_picture_free(struct ipam_picture *p)
{
	if (!p)
		return;
	clear(p);
	vec_done(&p->pools);
	vec_done(&p->reserved);
	free(p);
}

void ipam_picture_build(struct ipam_picture *p, const struct cache *c, const char *node)
{
	CLEANUP(freep) char *key = xasprintf(NODES "%s", node);
	CLEANUP(js_freep) json_t *root = NULL;
	const struct store_kv *kv = cache_get(c, key);

	clear(p);
	p->labels = NULL;
	if (kv && js_parse(kv->value, strlen(kv->value), &root, NULL) == 0)
		js_obj(root, "metadata.labels", &p->labels, NULL);
	cache_each(c, POOLS, add_pool, p);
	cache_each(c, RESERVATIONS, add_reservation, p);
	p->labels = NULL;
	p->world = (struct ipam_world) { .pool = p->pools.p,
					 .n_pool = p->pools.n,
					 .reserved = p->reserved.p,
					 .n_reserved = p->reserved.n };
}

const struct ipam_world *ipam_picture_world(const struct ipam_picture *p)
{
	return &p->world;
}
