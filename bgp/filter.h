/* filter.h - which paths may be used, which may be told to whom and in what form, which may
 * forward.
 *
 * WHY    Calico's rules, in Calico's order (DIFFERS: marks where not). Each answer is a named
 *        reason, so that "why is this prefix not at that peer?" has one.
 * SHAPE  Three lists of rules; in each the first rule that applies decides. All are pure functions
 *        of the policy, the path and the prefix. */
#pragma once

#include "bgp/bgpfilter.h"
#include "bgp/rib.h"
#include "bgp/speaker.h"
#include "lib/trie.h"

enum bgp_reason {
	/* accepting */
	BGP_REASON_OK,
	BGP_REASON_OWN_BLOCK,
	BGP_REASON_SERVICE,
	BGP_REASON_SERVICE_RANGE,
	BGP_REASON_IN_POOL,
	BGP_REASON_ELEVATED,
	BGP_REASON_FILTER_ACCEPTS,
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
	BGP_REASON_LEAKED,
	BGP_REASON_NO_LLGR,
	/* a path is not told */
	BGP_REASON_NO_ADVERTISE,
	BGP_REASON_NO_EXPORT,
	BGP_REASON_NOT_REFLECTED,
	BGP_REASON_LLGR_UNAWARE,
	BGP_REASON_ONLY_TO_CUSTOMER,
	BGP_REASON_NOT_OWN,
	BGP_REASON_FILTER_REJECTS,
	BGP_REASON_EXPORT_DISABLED,
	BGP_REASON_INSIDE_OWN_BLOCK,
	BGP_REASON_SERVED_ELSEWHERE,
	BGP_REASON_OUTSIDE_POOLS,
	BGP_REASON_TO_SENDER,
	BGP_REASON_NO_OWN_NEXT_HOP,
	BGP_REASON_NEXT_HOP_FAMILY,
	BGP_REASON_TOO_BIG,
	BGP_REASON_MUTED,
	/* a path does not forward */
	BGP_REASON_MADE_HERE,
	BGP_REASON_VXLAN,
	BGP_REASON_SERVED_HERE,
	BGP_REASON_MAX_,
};

const char *bgp_reason_text(enum bgp_reason reason); /* "our own AS is in the path" */
const char *bgp_reason_name(enum bgp_reason reason); /* "own-as" */

/* Communities for what lies in cidr, in wire form: those of all entries around it, too. */
struct bgp_advert_set {
	struct prefix cidr;
	VEC(uint8_t) communities, large;
};

/* What is announced for services. */
struct bgp_policy_service {
	struct prefix prefix;
	char *why; /* owned */
};

/* What the rules know of this node. */
struct bgp_policy {
	asn_t local_as;
	uint32_t router_id, cluster_id; /* cluster_id 0: no reflector */
	struct addr local_v4, local_v6;
	bool draining; /* RFC 8326: what is told goes with GRACEFUL_SHUTDOWN */
	bool muted;    /* nothing is told at all */
	/* Calico's route priority of what is made here: LOCAL_PREF is BGP_PRIORITY_BASE less that; 0:
	 * 100, as before there were priorities */
	uint32_t normal_priority[BGP_AF_MAX_];
	struct trie pools;   /* -> struct bgp_pool in pool[] */
	struct trie blocks;  /* -> anything */
	struct trie adverts; /* -> struct bgp_advert_set in advert[] */
	struct trie services;  /* -> struct bgp_policy_service in service[] */
	struct trie reflected; /* ranges of services, for reflectors -> anything */
	struct trie no_kernel; /* ranges of services -> anything */
	VEC(struct bgp_pool) pool;
	VEC(struct bgp_policy_service) service;
	VEC(struct bgp_served_range) range;
	VEC(struct bgp_advert_set) advert;
	/* By which interface does one get to this next hop? NULL: unknown. For filters that ask. */
	const char *(*interface_of)(void *arg, const struct bgp_source *src,
				    const struct bgp_attrs *attrs);
	void *arg;
};

void bgp_policy_done(struct bgp_policy *pol);
/* True when that is a change. */
bool bgp_policy_set_pools(struct bgp_policy *pol, const struct bgp_pool *pools, size_t n);

/* True when ranges changed, about which more is decided than the announced prefixes themselves. */
bool bgp_policy_set_services(struct bgp_policy *pol, const struct bgp_services *s);

/* True when that is a change. */
bool bgp_policy_set_adverts(struct bgp_policy *pol, const struct bgp_advert *adverts, size_t n);

/* Import: may a path from src with these attributes be used, by all that does not depend on the
 * reachability of its next hop? Not asked for paths made here. */
enum bgp_reason bgp_import_check(const struct bgp_policy *pol, const struct bgp_source *src,
				 const struct bgp_attrs *attrs);

/* Does a path over eBGP begin as it must: with the peer's AS, or where that is not asked for with
 * any? */
static inline bool bgp_first_as_ok(const struct bgp_source *src, const struct bgp_attrs *a)
{
	return src->any_first_as ? a->path_len > 0 : a->first_as == src->remote_as;
}

enum { BGP_LOCAL_PREF_DEFAULT = 100 };

/* What an export depends on, besides the path: peers with equal targets share their exports. Zeroed
 * before it is filled, so that it compares by bytes. */
struct bgp_target {
	enum bgp_af af;
	asn_t local_as;
	bool ebgp, rr_client;
	bool own_only;	     /* nothing but what is made here */
	bool add_path;	     /* every path that may be told, not only the best: RFC 7911 */
	bool self_always;    /* next hop: ours on everything */
	bool keep;	     /* next hop: as received, even to eBGP */
	bool ext_next_hop;   /* an IPv6 next hop is understood: RFC 8950 */
	bool long_lived;     /* it knows what LLGR_STALE means: RFC 9494 */
	enum bgp_role role;  /* ours, on eBGP: RFC 9234 */
	struct addr self;    /* our address in this family, as the session has it */
	struct addr self_ll; /* beside it, on an unnumbered link; IP_NONE: none */
	const struct bgp_chain *chain; /* filters; NULL: none */
};

/* What, besides path and target, decides about an export's form. */
struct bgp_export_plan {
	const struct bgp_rule *rule;	     /* the accepting rule of a filter; NULL: none */
	const struct bgp_advert_set *advert; /* NULL: none */
};

/* Export: may this path, from src, be told to target? plan: for bgp_export_attrs; may be NULL. */
enum bgp_reason bgp_export_check(const struct bgp_policy *pol, const struct bgp_target *target,
				 const struct prefix *p, const struct bgp_source *src,
				 const struct bgp_attrs *attrs, struct bgp_export_plan *plan);
/* What an export looked at, for a person. */
enum { BGP_EXPORT_RULES_ = 18 };
struct bgp_export_trace {
	unsigned n;		/* rules asked, in their order: the last one applied */
	enum bgp_reason reason; /* and said this; a next hop that cannot be had comes after */
	const char *asked[BGP_EXPORT_RULES_];
	const struct bgp_rule *rule; /* of the peer's filters, the one that matches; NULL: none */
	const struct bgp_pool *pool; /* that the prefix is in; NULL: none */
	bool in_block;
	struct prefix block; /* the own block that it is in */
	const struct bgp_policy_service *service; /* that it is in; NULL: none, or not asked */
};
/* bgp_export_check that says how it came to its answer. trace may be NULL. */
enum bgp_reason bgp_export_explain(const struct bgp_policy *pol, const struct bgp_target *target,
				   const struct prefix *p, const struct bgp_source *src,
				   const struct bgp_attrs *attrs, struct bgp_export_plan *plan,
				   struct bgp_export_trace *trace);
/* In what form: attributes for the wire, with a reference; NULL when they cannot be made (a path
 * that would grow too long). plan NULL: the empty one. */
struct bgp_attrs *bgp_export_attrs(struct bgp_attr_table *t, const struct bgp_policy *pol,
				   const struct bgp_target *target, const struct bgp_source *src,
				   const struct bgp_attrs *attrs,
				   const struct bgp_export_plan *plan);
/* Does the next hop become our own address? */
bool bgp_export_wants_self(const struct bgp_target *to, const struct bgp_source *src,
			   const struct bgp_attrs *a);
/* The Only To Customer AS of a path, as if it had been put on when it came; 0: none. RFC 9234 5 */
asn_t bgp_effective_otc(const struct bgp_source *src, const struct bgp_attrs *a);
/* RFC 9494: kept long after its session ended, by us or by somebody before us? */
static inline bool bgp_is_long_stale(const struct bgp_source *src, enum bgp_af af,
				     const struct bgp_attrs *a)
{
	return src->af[af].long_lived || (a->marks & BGP_MARK_LLGR_STALE);
}

/* LOCAL_PREF of a path as filters and iBGP peers shall see it. */
uint32_t bgp_effective_local_pref(const struct bgp_policy *pol, enum bgp_af af,
				  const struct bgp_source *src, const struct bgp_attrs *a);
/* Own block, in a pool: an accepting reason? */
static inline bool bgp_reason_accepts(enum bgp_reason reason)
{
	return reason <= BGP_REASON_FILTER_ACCEPTS;
}

/* Does a usable best path from src for p go to the kernel? */
enum bgp_reason bgp_fib_check(const struct bgp_policy *pol, const struct prefix *p,
			      const struct bgp_source *src);
