/* bgp_knobs.h - what Calico's BGPPeer and BGPConfiguration have no field for, as annotations. Pure.
 *
 * WHY    An unknown field is refused by calicoctl and by the API server; an annotation is kept, and
 *        means nothing to Calico's own nodes.
 *
 *	margay.io/bfd: 50ms*3			BFD, RFC 5880: interval, times multiplier
 *	margay.io/bfd: 50ms/100ms*5 multihop	sending/receiving; two words for the way there
 *	margay.io/bfd: on | off			300ms*3; or not, against the default
 *	margay.io/holdTime: 9s			proposed hold time; 0 or 3 s to 65535 s
 *	margay.io/prefixLimit: 1000		Cease/1 above it, per family
 *	margay.io/prefixLimitRestart: 5m	try again that long after the limit was hit
 *	margay.io/exportOwnBlocksOnly: true	tell no routes of others
 *	margay.io/longLivedGracefulRestart: 1h	RFC 9494: have our routes kept that long, and keep the
 *						peer's for as long as it says
 *	margay.io/interface: eth1,swp*		BGPPeer: whoever is on these links (bgp_world.h)
 *	margay.io/remoteAS: external		of such a neighbour: external, internal or a number
 *	margay.io/role: customer strict		RFC 9234: what we are to an eBGP peer: provider, customer,
 *						peer, route-server, route-server-client; strict: it
 *						must say its own
 *	margay.io/enforceFirstAS: false		take paths that do not begin with the peer's AS
 *	margay.io/acceptASSets: true		against RFC 9774: take paths with an AS_SET
 *
 * On BGPConfiguration `default` those before `interface` are for the node-to-node mesh. */
#pragma once

#include "bgp/bfd.h"
#include "bgp/types.h"
#include "lib/err.h"

/* How far away a neighbour is, for BFD. AUTO: one hop if its address is on a link of ours. */
enum bgp_bfd_way {
	BGP_BFD_AUTO,
	BGP_BFD_SINGLE_HOP,
	BGP_BFD_MULTIHOP,
};

struct bgp_bfd_knob {
	bool on;
	enum bgp_bfd_way way;
	struct bfd_config timers;
};

struct bgp_knobs {
	struct bgp_bfd_knob bfd;
	bool has_hold;
	uint16_t hold_s;
	uint32_t prefix_limit;			       /* 0: the built-in one */
	uint32_t prefix_limit_restart_s, long_lived_s; /* 0: not given */
	bool own_only;
	bool any_first_as, accept_as_sets;
	enum bgp_role role; /* ours */
	bool role_strict;
	char *interfaces; /* owned; NULL: not unnumbered */
	bool internal;	  /* remoteAS: ours; else */
	asn_t remote_as;  /* that one; 0: any but ours */
};

/* The value of an annotation by its name, borrowed; NULL: not there. */
typedef const char *bgp_knob_fn(const void *arg, const char *name);

/* Read them all. *out is set to what is not said, too. -EINVAL names the annotation. */
int bgp_knobs_read(bgp_knob_fn *get, const void *arg, struct bgp_knobs *out, struct err *e);
void bgp_knobs_done(struct bgp_knobs *k);

/* Is this interface one of a list of names and patterns ("eth1,swp*")? */
bool bgp_knobs_has_interface(const char *list, const char *ifname);
