/* ipamkinds.h - the v3 kinds IPAMConfiguration and BlockAffinity.
 *
 * In etcd (and sqlite) these are not what the allocator reads: that is ipamconfig.h and affinity.h
 * under IPAM's own keys. In Kubernetes each pair is one object. */
#pragma once

#include "lib/fields.h"

struct object;

struct ipamconfiguration {
	bool strict_affinity, auto_allocate_blocks;
	int max_blocks_per_host;
	int vm_persistence; /* 0: Enabled, 1: Disabled */
	int cooldown_s;
};

struct blockaffinity {
	struct prefix cidr;
	char *node, *type;
	int state;	 /* 0: confirmed, 1: pending, 2: pendingDeletion */
	json_t *deleted; /* a boolean, or a text in the old CRD */
};

extern const struct fields ipamconfiguration_fields, blockaffinity_fields;

/* Of the kind's row. */
int ipamconfiguration_check(const struct object *o, const void *spec, struct err *e);
