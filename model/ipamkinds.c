/* ipamkinds.c - the v3 kinds IPAMConfiguration and BlockAffinity: tables and rules */
#include "model/ipamkinds.h"

#include <errno.h>

#include "model/object.h"

static const char *const on_off[] = { "Enabled", "Disabled", NULL };
static const char *const state_words[] = { "confirmed", "pending", "pendingDeletion", NULL };

static const struct field config_rows[] = {
	FIELD_BOOL(struct ipamconfiguration, strict_affinity, "strictAffinity",
		   .doc = "Nodes take addresses from their own blocks only."),
	FIELD_BOOL(struct ipamconfiguration, auto_allocate_blocks, "autoAllocateBlocks",
		   .def = "true", .flags = FIELD_FILL,
		   .doc = "Nodes take new blocks when they need."),
	FIELD_INT(struct ipamconfiguration, max_blocks_per_host, "maxBlocksPerHost", .min = 0,
		  .max = 2147483647, .doc = "Blocks that a node may hold; 0: 20."),
	FIELD_ENUM(struct ipamconfiguration, vm_persistence, "kubeVirtVMAddressPersistence",
		   .words = on_off, .def = "Enabled",
		   .doc = "Virtual machines keep their address."),
	FIELD_INT(struct ipamconfiguration, cooldown_s, "ipCooldownSeconds", .min = 0, .max = 1200,
		  .unit = "seconds", .doc = "Time before a released address is used again."),
};
const struct fields ipamconfiguration_fields =
	FIELDS("spec", struct ipamconfiguration, config_rows);

static const struct field affinity_rows[] = {
	FIELD_CIDR(struct blockaffinity, cidr, "cidr", .flags = FIELD_REQUIRED,
		   .doc = "The block."),
	FIELD_STRING(struct blockaffinity, node, "node", .flags = FIELD_REQUIRED,
		     .doc = "The node that holds it."),
	FIELD_STRING(struct blockaffinity, type, "type", .def = "host", .doc = "host or virtual."),
	FIELD_ENUM(struct blockaffinity, state, "state", .words = state_words,
		   .doc = "How far the claim has come."),
	FIELD_JSON(struct blockaffinity, deleted, "deleted", .doc = "It is being deleted."),
};
const struct fields blockaffinity_fields = FIELDS("spec", struct blockaffinity, affinity_rows);

int ipamconfiguration_check(const struct object *o, const void *spec, struct err *e)
{
	const struct ipamconfiguration *c = spec;

	if (!c->strict_affinity && !c->auto_allocate_blocks)
		return err_set(
			e, -EINVAL,
			"spec.autoAllocateBlocks: false needs strictAffinity: true, or nodes would "
			"only borrow");
	if (c->max_blocks_per_host && !c->strict_affinity)
		return err_set(
			e, -EINVAL,
			"spec.maxBlocksPerHost: needs strictAffinity: true, or nodes borrow beyond "
			"it");
	return 0;
}
