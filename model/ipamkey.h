/* ipamkey.h - the etcd keys of IPAM's objects, built and read.
 *
 * An owner is what a block's affinity says: "host:edge-7" or "virtual:load-balancer". Built keys
 * are heap strings, the caller frees. */
#pragma once

#include "lib/addr.h"

#define IPAMKEY_CONFIG	      "/calico/ipam/v2/config"
#define IPAMKEY_BLOCKS	      "/calico/ipam/v2/assignment/"
#define IPAMKEY_HANDLES	      "/calico/ipam/v2/handle/"
#define IPAMKEY_HOSTS	      "/calico/ipam/v2/host/"
#define IPAMKEY_VIRTUAL	      "/calico/ipam/v2/virtual/"
#define IPAMKEY_OWNER_HOST    "host:"
#define IPAMKEY_OWNER_VIRTUAL "virtual:"

/* ".../assignment/ipv4/block/10.20.0.64-26"; and what all blocks of a family begin with. */
char *ipamkey_block(const struct prefix *cidr);
char *ipamkey_blocks(enum ip_family family);
/* ".../host/edge-7/ipv4/block/10.20.0.64-26"; and what all of one owner and family begin with. */
char *ipamkey_affinity(const char *owner, const struct prefix *cidr);
char *ipamkey_affinities(const char *owner, enum ip_family family);
char *ipamkey_handle(const char *id);

/* The other way. False, outputs untouched, for any other key. owner is a heap string. */
bool ipamkey_parse_block(const char *key, struct prefix *cidr);
bool ipamkey_parse_affinity(const char *key, char **owner, struct prefix *cidr);
/* The handle's id, inside key; NULL for any other key. */
const char *ipamkey_parse_handle(const char *key);

/* May this text stand in a key: not empty, no slash, no control character, at most 253 bytes? */
bool ipamkey_element_ok(const char *text);
