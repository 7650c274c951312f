/* ippool.c - IPPool: table and rules
 * TESTS  tests/unit/model/kinds.c */
#include "model/ippool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/object.h"
#include "model/validate.h"

static const char *const encap_words[] = { "Never", "Always", "CrossSubnet", NULL };
static const char *const use_words[] = { "Workload", "Tunnel", "LoadBalancer", NULL };
static const char *const assignment_words[] = { "Automatic", "Manual", NULL };

static const struct field rows[] = {
	FIELD_CIDR(struct ippool, cidr, "cidr", .flags = FIELD_REQUIRED,
		   .doc = "Range of the pool; cannot be changed later."),
	FIELD_INT(struct ippool, block_size, "blockSize", .min = 20, .max = 128,
		  .doc = "Prefix length of the blocks that nodes take; 26, or 122 for IPv6, when "
			 "it is left out; cannot be changed later."),
	FIELD_ENUM(struct ippool, ipip, "ipipMode", .words = encap_words, .def = "Never",
		   .flags = FIELD_FILL, .doc = "When to wrap packets between nodes in IP-in-IP."),
	FIELD_ENUM(struct ippool, vxlan, "vxlanMode", .words = encap_words, .def = "Never",
		   .flags = FIELD_FILL, .doc = "When to wrap packets between nodes in VXLAN."),
	FIELD_BOOL(struct ippool, nat_outgoing, "natOutgoing",
		   .doc = "Masquerade what pods send out of the pools."),
	FIELD_BOOL(struct ippool, disabled, "disabled", .doc = "Give out no more addresses."),
	FIELD_BOOL(struct ippool, disable_bgp_export, "disableBGPExport",
		   .doc = "Do not announce the pool's blocks over BGP."),
	FIELD_STRING(struct ippool, node_selector, "nodeSelector", .def = "all()",
		     .flags = FIELD_FILL, .check = selector_field_check,
		     .doc = "Nodes that may take blocks."),
	FIELD_STRING(struct ippool, namespace_selector, "namespaceSelector",
		     .check = selector_field_check,
		     .doc = "Namespaces whose pods may get addresses."),
	FIELD_SET(struct ippool, allowed_uses, "allowedUses", .words = use_words,
		  .def = "Workload,Tunnel", .flags = FIELD_FILL | FIELD_NOT_EMPTY,
		  .doc = "What addresses may be used for."),
	FIELD_ENUM(struct ippool, assignment, "assignmentMode", .words = assignment_words,
		   .def = "Automatic", .flags = FIELD_FILL,
		   .doc = "Whether pods that name no pool get addresses from it."),
};
const struct fields ippool_fields = FIELDS("spec", struct ippool, rows);

struct status {
	json_t *conditions;
};

static const struct field status_rows[] = {
	FIELD_JSON(struct status, conditions, "conditions",
		   .doc = "Whether it can be allocated from."),
};
const struct fields ippool_status_fields = FIELDS("status", struct status, status_rows);

int ippool_default_block_size(enum ip_family family)
{
	return family == IP_V6 ? 122 : 26;
}

/* status.conditions: [{"type":"Allocatable","status":"False",...}] */
static bool says_not_allocatable(const json_t *object)
{
	json_t *list = js_at(object, "status.conditions"), *c;
	size_t i;

	json_array_foreach (list, i, c) {
		const char *type = json_string_value(json_object_get(c, "type"));
		const char *status = json_string_value(json_object_get(c, "status"));

		if (str_eq(type, "Allocatable") && str_eq(status, "False"))
			return true;
	}
	return false;
}

int ippool_decode(const struct object *o, struct ippool *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "IPPool %s", o->name);
	if (!out->block_size)
		out->block_size = ippool_default_block_size(out->cidr.addr.family);
	out->name = xstrdup(o->name);
	out->deleting = object_meta(o, "deletionTimestamp");
	out->not_allocatable = says_not_allocatable(o->json);
	return 0;
}

void ippool_done(struct ippool *p)
{
	free(p->name);
	fields_done(&ippool_fields, p);
}

void ippool_fill(json_t *spec)
{
	const char *text = json_string_value(json_object_get(spec, "cidr"));
	struct prefix cidr;

	if (text && prefix_parse(text, &cidr) && !json_object_get(spec, "blockSize"))
		js_set_int(spec, "blockSize", ippool_default_block_size(cidr.addr.family));
}

static int check_cidr(const struct ippool *p, struct err *e)
{
	static const char *const link_local[] = { "169.254.0.0/16", "fe80::/10" };
	struct prefix net;

	for (size_t i = 0; i < ARRAY_SIZE(link_local); i++) {
		prefix_parse(link_local[i], &net);
		if (prefix_overlaps(&p->cidr, &net))
			return err_set(
				e, -EINVAL,
				"spec.cidr: overlaps %s, where addresses are link-local: take "
				"another range",
				link_local[i]);
	}
	return 0;
}

static int check_block_size(const struct ippool *p, struct err *e)
{
	bool v6 = p->cidr.addr.family == IP_V6;
	int low = v6 ? 116 : 20, high = v6 ? 128 : 32;
	int size = p->block_size ? p->block_size : ippool_default_block_size(p->cidr.addr.family);
	char text[PREFIX_STR_MAX];

	if (size < low || size > high)
		return err_set(e, -ERANGE, "spec.blockSize: must be from %d to %d for IPv%d, is %d",
			       low, high, v6 ? 6 : 4, size);
	if (p->cidr.len > size && !p->disabled)
		return err_set(
			e, -EINVAL,
			"spec.blockSize: the pool %s is smaller than one block of /%d: blockSize "
			"must be at least %d",
			prefix_format(&p->cidr, text), size, p->cidr.len);
	return 0;
}

static int check_encap(const struct ippool *p, struct err *e)
{
	if (p->ipip && p->vxlan)
		return err_set(e, -EINVAL,
			       "spec.vxlanMode: ipipMode is %s: only one of the two can be on",
			       encap_words[p->ipip]);
	if (p->ipip && p->cidr.addr.family == IP_V6)
		return err_set(
			e, -EINVAL,
			"spec.ipipMode: IP-in-IP carries IPv4 only: use vxlanMode for this pool");
	return 0;
}

static int check_uses(const struct ippool *p, struct err *e)
{
	if (p->namespace_selector && p->allowed_uses & IPPOOL_TUNNEL)
		return err_set(
			e, -EINVAL,
			"spec.namespaceSelector: tunnels have no namespace: set allowedUses to "
			"[Workload]");
	if (!(p->allowed_uses & IPPOOL_LOAD_BALANCER))
		return 0;
	if (p->allowed_uses != IPPOOL_LOAD_BALANCER)
		return err_set(e, -EINVAL, "spec.allowedUses: LoadBalancer must be alone");
	if (strcmp(p->node_selector, "all()"))
		return err_set(e, -EINVAL,
			       "spec.nodeSelector: must be all() in a pool for load balancers");
	if (p->ipip || p->vxlan)
		return err_set(e, -EINVAL, "spec.%s: must be Never in a pool for load balancers",
			       p->ipip ? "ipipMode" : "vxlanMode");
	if (p->disable_bgp_export)
		return err_set(e, -EINVAL,
			       "spec.disableBGPExport: must be false in a pool for load balancers");
	return 0;
}

int ippool_check(const struct object *o, const void *spec, struct err *e)
{
	static int (*const checks[])(const struct ippool *, struct err *) = {
		check_cidr,
		check_block_size,
		check_encap,
		check_uses,
	};
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if ((rc = checks[i](spec, e)) < 0)
			return rc;
	return 0;
}

int ippool_check_overlap(const struct ippool *p, const struct ippool *others, size_t n,
			 struct err *e)
{
	char ours[PREFIX_STR_MAX], theirs[PREFIX_STR_MAX];

	for (size_t i = 0; i < n; i++) {
		const struct ippool *o = &others[i];

		if (str_eq(p->name, o->name) || !prefix_overlaps(&p->cidr, &o->cidr))
			continue;
		return err_set(
			e, -EEXIST,
			"spec.cidr: IPPool %s (%s) overlaps IPPool %s (%s): ranges of pools must "
			"be apart",
			p->name, prefix_format(&p->cidr, ours), o->name,
			prefix_format(&o->cidr, theirs));
	}
	return 0;
}

int ippool_check_update(const struct ippool *old, const struct ippool *now, struct err *e)
{
	bool was_lb = old->allowed_uses & IPPOOL_LOAD_BALANCER;
	bool is_lb = now->allowed_uses & IPPOOL_LOAD_BALANCER;
	char text[PREFIX_STR_MAX];

	if (!prefix_eq(&old->cidr, &now->cidr))
		return err_set(
			e, -EINVAL,
			"spec.cidr: cannot be changed, is %s: make a new pool, then disable and "
			"delete this one",
			prefix_format(&old->cidr, text));
	if (old->block_size != now->block_size)
		return err_set(
			e, -EINVAL,
			"spec.blockSize: cannot be changed, is %d: make a new pool, then disable "
			"and delete this one",
			old->block_size);
	if (was_lb != is_lb)
		return err_set(
			e, -EINVAL,
			"spec.allowedUses: LoadBalancer cannot be swapped with other uses: make a "
			"new pool");
	return 0;
}

int ippool_check_blocks(const struct ippool *p, const struct prefix *blocks, size_t n,
			struct err *e)
{
	char text[PREFIX_STR_MAX];

	for (size_t i = 0; i < n; i++) {
		if (blocks[i].len == p->block_size || !prefix_overlaps(&p->cidr, &blocks[i]))
			continue;
		return err_set(
			e, -EEXIST,
			"spec.blockSize: the block %s exists in this range: blockSize must be %u, "
			"or the block be released first",
			prefix_format(&blocks[i], text), blocks[i].len);
	}
	return 0;
}
