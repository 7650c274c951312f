/* bgp_policy.h - what the datastore says about BGP routes themselves: BGPFilters of BGPPeers, communities
 * by prefix, the priority of own routes. (Who peers with whom: bgp_world.h, bgp_config.h.) */
#pragma once

#include "bgp/bgpfilter.h"
#include "lib/str.h"

struct cache;

struct bgp_policy_set {
	VEC(struct bgp_filter_set) filters; /* one for each BGPPeer that names filters */
	VEC(struct bgp_advert) adverts;
	uint32_t normal_priority[BGP_AF_MAX_];
	VEC(void *) owned;
};

/* What cannot be read is left out and said in *remarks, one line each. */
void bgp_policy_read(const struct cache *c, const char *self, struct bgp_policy_set *out,
		     struct str *remarks);
void bgp_policy_set_done(struct bgp_policy_set *p);
