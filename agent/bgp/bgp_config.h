/* bgp_config.h - from nodes, BGPConfiguration and BGPPeers to the list of sessions. Pure.
 *
 * SPEC  Calico's rules: mesh with passive side by text, BGPPeers forward (global, then for nodes),
 *       then reverse; the first that names an address and port wins. DIFFERS: a BGPPeer to a node's
 *       address takes the place of the mesh session instead of fighting with it. */
#pragma once

#include "agent/bgp/bgp_world.h"
#include "bgp/speaker.h"
#include "lib/str.h"

enum {
	BGP_CONFIG_HOLD_S = 240, /* BIRD's */
	BGP_CONFIG_RESTART_S = 120,
};

/* What the sockets need beside what the speaker knows: for peer i of the list. */
struct bgp_peer_extra {
	struct bgp_bfd_knob bfd;
	struct addr reachable_by; /* IP_NONE: by what routes there are */
	char pod[16];		  /* the peer is the pod behind this interface; "": it is none */
};

struct bgp_peer_configs {
	struct bgp_peer_config *p;
	size_t n, cap;
	VEC(struct bgp_peer_extra) extra;
	bool on_links; /* neighbours are looked for on links, known ones or not (yet) */
};

void bgp_peer_configs_clear(struct bgp_peer_configs *c);
/* Who has this address (on this link; 0: it is on no particular one); NULL: nobody. */
const struct bgp_peer_config *bgp_peer_configs_find(const struct bgp_peer_configs *c,
						    const struct addr *a, uint32_t ifindex);
/* Passwords are wiped. */
void bgp_peer_configs_done(struct bgp_peer_configs *c);

/* A secret's text into out; false when there is none. */
typedef bool bgp_secret_fn(void *arg, const char *name, const char *key, char out[static 81]);

/* Is this node on the local side of the BGPPeer? */
bool bgp_config_is_for(const struct bgp_peer_spec *p, const struct bgp_node *n);
/* Sessions of `self`, appended. What had to be left out is said in *remarks, one line each. */
void bgp_config_peers(const struct bgp_world *w, const char *self, bgp_secret_fn *secret, void *arg,
		      struct bgp_peer_configs *out, struct str *remarks);
/* "": the IPv4 address; "hash": of the node's name; else four numbers. 0 when there is none. */
uint32_t bgp_config_router_id(const char *how, const struct bgp_node *self);
