/* ipamconfig.h - the allocator's settings, /calico/ipam/v2/config.
 *
 * The etcd object mixes spellings (strict_affinity, auto_allocate_blocks, but maxBlocksPerHost);
 * the kinds IPAMConfiguration and IPAMConfig use camel case throughout. Both are read, the one
 * asked for is written. Members that are zero are left out when written: an object {} means that no
 * blocks are allocated automatically, which is not what an absent object means. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

enum {
	IPAMCONFIG_COOLDOWN_MAX = 1200, /* seconds */
	IPAMCONFIG_BLOCKS_MAX = INT32_MAX,
};

struct ipamconfig {
	bool strict_affinity;
	bool auto_allocate_blocks;
	bool vm_persistence_off;      /* kubeVirtVMAddressPersistence is "Disabled" */
	unsigned max_blocks_per_host; /* 0: the default */
	unsigned cooldown_s;
	json_t *rest; /* the whole object as read; NULL: new */
};

/* What holds when there is no object. */
struct ipamconfig ipamconfig_default(void);
/* Total: reads what is there, even a combination that ipamconfig_check refuses. */
int ipamconfig_decode(const char *text, size_t len, struct ipamconfig *out, struct err *e);
/* May a person set this? No blocks and no borrowing, or a limit without strict affinity, may not
 * be. */
int ipamconfig_check(const struct ipamconfig *c, struct err *e);
/* The allocator's spelling, for /calico/ipam/v2/config; the kinds' spelling. Caller frees. */
char *ipamconfig_encode(const struct ipamconfig *c);
char *ipamconfig_encode_kind(const struct ipamconfig *c);
void ipamconfig_done(struct ipamconfig *c);
