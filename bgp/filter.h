/* filter.h - which paths may be used, which may be told to whom and in what form, which may
 * forward.
 *
 * WHY    Calico's rules, in Calico's order (DIFFERS: marks where not). Each answer is a named
 *        reason, so that "why is this prefix not at that peer?" has one.
 * SHAPE  Three lists of rules; in each the first rule that applies decides. All are pure functions
 *        of the policy, the path and the prefix. */
#pragma once

#include "bgp/rib.h"
#include "bgp/speaker.h"
#include "lib/trie.h"

enum bgp_reason {
	/* accepting */
	BGP_REASON_OK,
	BGP_REASON_OWN_BLOCK,
	BGP_REASON_IN_POOL,
	/* a path cannot be used */
	BGP_REASON_SESSION_GONE,
	BGP_REASON_NO_NEXT_HOP,
	BGP_REASON_NEXT_HOP_OWN,
	BGP_REASON_NEXT_HOP_UNREACHABLE,
	BGP_REASON_PATH_TOO_LONG,
	BGP_REASON_OWN_AS,
	BGP_REASON_FIRST_AS,
	BGP_REASON_OWN_ORIGINATOR,
	BGP_REASON_OWN_CLUSTER,
	/* a path is not told */
	BGP_REASON_NO_ADVERTISE,
	BGP_REASON_NO_EXPORT,
	BGP_REASON_NOT_REFLECTED,
	BGP_REASON_EXPORT_DISABLED,
	BGP_REASON_INSIDE_OWN_BLOCK,
	BGP_REASON_OUTSIDE_POOLS,
	BGP_REASON_TO_SENDER,
	BGP_REASON_NO_OWN_NEXT_HOP,
	BGP_REASON_TOO_BIG,
	/* a path does not forward */
	BGP_REASON_MADE_HERE,
	BGP_REASON_VXLAN,
	BGP_REASON_MAX_,
};

const char *bgp_reason_text(enum bgp_reason reason); /* "our own AS is in the path" */

/* What the rules know of this node. */
struct bgp_policy {
	asn_t local_as;
	uint32_t router_id, cluster_id; /* cluster_id 0: no reflector */
	struct addr local_v4, local_v6;
	struct trie pools;  /* -> struct bgp_pool in pool[] */
	struct trie blocks; /* -> anything */
	VEC(struct bgp_pool) pool;
};

void bgp_policy_done(struct bgp_policy *pol);
/* True when that is a change. */
bool bgp_policy_set_pools(struct bgp_policy *pol, const struct bgp_pool *pools, size_t n);

/* Import: may a path from src with these attributes be used, by all that does not depend on the
 * reachability of its next hop? Not asked for paths made here. */
enum bgp_reason bgp_import_check(const struct bgp_policy *pol, const struct bgp_source *src,
				 const struct bgp_attrs *attrs);

/* What an export depends on, besides the path: peers with equal targets share their exports. Zeroed
 * before it is filled, so that it compares by bytes. */
struct bgp_target {
	enum bgp_af af;
	asn_t local_as;
	bool ebgp, rr_client;
	bool add_path; /* every path that may be told, not only the best: RFC 7911 */
	bool self_always; /* next hop: ours on everything */
	bool keep;	  /* next hop: as received, even to eBGP */
	struct addr self; /* our address in this family, as the session has it */
};

/* Export: may the best path, from src, be told to target? */
enum bgp_reason bgp_export_check(const struct bgp_policy *pol, const struct bgp_target *target,
				 const struct prefix *p, const struct bgp_source *src,
				 const struct bgp_attrs *attrs);
/* In what form: attributes for the wire, with a reference; NULL when they cannot be made (a path
 * that would grow too long). */
struct bgp_attrs *bgp_export_attrs(struct bgp_attr_table *t, const struct bgp_policy *pol,
				   const struct bgp_target *target, const struct bgp_source *src,
				   const struct bgp_attrs *attrs);
/* Own block, in a pool: an accepting reason? */
static inline bool bgp_reason_accepts(enum bgp_reason reason)
{
	return reason <= BGP_REASON_IN_POOL;
}

/* Does a usable best path from src for p go to the kernel? */
enum bgp_reason bgp_fib_check(const struct bgp_policy *pol, const struct prefix *p,
			      const struct bgp_source *src);
