/* ipam_world.h - IPPools and IPReservations as the allocator wants them. */
#pragma once

#include "ipam/op.h"

struct cache;
struct ipam_picture;

struct ipam_picture *ipam_picture_new(void);
void ipam_picture_free(struct ipam_picture *p);
/* Read pools, reservations and the node's labels anew. Pools that cannot be read are left out, with
 * a line in the log. */
void ipam_picture_build(struct ipam_picture *p, const struct cache *c, const char *node);
/* Borrowed until the next build. */
const struct ipam_world *ipam_picture_world(const struct ipam_picture *p);

/* One pool of stored text; its name is heap memory, the caller frees. node_labels is an object of
 * texts or NULL. */
int ipam_pool_decode(const char *text, const json_t *node_labels, struct ipam_pool *out,
		     struct err *e);
