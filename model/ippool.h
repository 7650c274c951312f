/* ippool.h - IPPool: a range of addresses for pods, cut into blocks. */
#pragma once

#include "lib/fields.h"

struct object;

enum encap_mode {
	ENCAP_NEVER,
	ENCAP_ALWAYS,
	ENCAP_CROSS_SUBNET,
};

/* Bits of allowed_uses. */
enum ippool_use {
	IPPOOL_WORKLOAD = 1,
	IPPOOL_TUNNEL = 2,
	IPPOOL_LOAD_BALANCER = 4,
};

enum ippool_assignment {
	IPPOOL_AUTOMATIC,
	IPPOOL_MANUAL, /* only for who asks for it by name */
};

struct ippool {
	char *name;
	struct prefix cidr;
	int block_size;	 /* prefix length of a block; never 0 in a decoded pool */
	int ipip, vxlan; /* enum encap_mode */
	bool nat_outgoing, disabled, disable_bgp_export;
	char *node_selector, *namespace_selector; /* namespace_selector may be NULL */
	unsigned allowed_uses;			  /* enum ippool_use */
	int assignment;				  /* enum ippool_assignment */
	bool deleting;				  /* has a deletionTimestamp */
	bool not_allocatable;			  /* a controller says so in status.conditions */
};

extern const struct fields ippool_fields, ippool_status_fields;

/* From an object of kind IPPool, with the defaults; lenient. ippool_done frees. */
int ippool_decode(const struct object *o, struct ippool *out, struct err *e);
void ippool_done(struct ippool *p);
/* 26, or 122 for IPv6. */
int ippool_default_block_size(enum ip_family family);

/* Of the kind's row: what a pool must be by itself. */
int ippool_check(const struct object *o, const void *spec, struct err *e);
void ippool_fill(json_t *spec);
/* May it be created beside the others? One of the same name is passed over. */
int ippool_check_overlap(const struct ippool *p, const struct ippool *others, size_t n,
			 struct err *e);
/* May it replace old? cidr and blockSize stay as they are. */
int ippool_check_update(const struct ippool *old, const struct ippool *now, struct err *e);
/* May it be created where these blocks exist? Those inside must be of its size. */
int ippool_check_blocks(const struct ippool *p, const struct prefix *blocks, size_t n,
			struct err *e);
