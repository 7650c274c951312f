/* decide.h - which of n usable paths to one prefix is best, which share its load, and by which step
 * every other one lost. */
#pragma once

#include "bgp/rib.h"

/* The steps in their order. The text of each is bgp_step_text(). */
enum bgp_step {
	BGP_STEP_NONE, /* nobody to compare with, or not out yet */
	BGP_STEP_LOCAL,
	BGP_STEP_LLGR_STALE,
	BGP_STEP_LOCAL_PREF,
	BGP_STEP_AS_PATH,
	BGP_STEP_ORIGIN,
	BGP_STEP_MED,
	BGP_STEP_EBGP,
	BGP_STEP_IGP_COST,
	/* what is still in here shares the load */
	BGP_STEP_ROUTER_ID,
	BGP_STEP_CLUSTER_LIST,
	BGP_STEP_PEER_ADDR,
	BGP_STEP_CONTENT,
	BGP_STEP_PATH_ID,
	BGP_STEP_MAX_,
};

const char *bgp_step_text(enum bgp_step step); /* "longer AS_PATH" */

struct bgp_candidate {
	const struct bgp_attrs *attrs;
	const struct bgp_source *source;
	uint32_t path_id;
	uint32_t igp_cost;
	uint32_t tag; /* the caller's, untouched */
	bool long_stale; /* RFC 9494: kept long after its session ended */
	/* results */
	bool best, multipath, lost_med;
	enum bgp_step lost_at; /* bgp_decide_explain */
	uint64_t rank;	       /* scratch */
};

/* Decide among c[0..n), all usable. Reorders c: the best comes first, then those that share the
 * load, then the rest. Returns how many share it, the best included: at most max_paths, with
 * different next hops, 1 for a path made here, 0 for n = 0. The same set of paths gives the same
 * result whatever its order. */
unsigned bgp_decide(struct bgp_candidate *c, unsigned n, unsigned max_paths);
/* After bgp_decide, for persons: set lost_at, and put c in an order that is the same whatever it
 * was before: the best, those that share its load, then who lost late before who lost early. */
void bgp_decide_explain(struct bgp_candidate *c, unsigned n);
