/* calc.h - from what the datastore holds to what one node must enforce, by the change.
 *
 *	c = calc_new("edge-7", seed);
 *	calc_step(c, &event);			any number, in any order
 *	fx = calc_flush(c);			what is different now; borrowed until the next step
 *
 * Nothing is to be written before the store was read in full: flush only then.
 *
 * To be carried out in this order, which never leaves a rule without its set, nor opens a gap:
 *   1. sets:		create what is new, add `added`, (not yet remove)
 *   2. one rewrite of the chains of policies, profiles, endpoints and those that are gone
 *   3. sets:		remove `gone` members, destroy sets that are gone
 *
 * The state after a flush depends on what there is, not on the order in which it came. */
#pragma once

#include "model/tier.h"
#include "policy/labels.h"
#include "policy/members.h"
#include "policy/policy.h"

struct calc;

struct endpoint_port {
	const char *name;
	uint8_t proto;
	uint16_t port;
};

enum endpoint_kind {
	ENDPOINT_WORKLOAD,
	ENDPOINT_HOST,
	ENDPOINT_NETS, /* a network set: a peer only */
};

/* What an endpoint or network set is, for an event; everything is copied. */
struct endpoint {
	enum endpoint_kind kind;
	const char *id;		   /* "namespace/name" or "name", unique for its kind */
	const struct label *label; /* no key twice */
	size_t n_label;
	const char *const *profile; /* in order of precedence */
	size_t n_profile;
	const struct prefix *net;
	size_t n_net;
	const struct endpoint_port *port;
	size_t n_port;
	const char *node;      /* NULL: nowhere */
	const char *interface; /* of a workload; of a host endpoint "*", a name, or NULL */
	const struct prefix *spoof; /* sources besides its own that a workload may send from */
	size_t n_spoof;
	bool admin_down;
};

/* A part of a service: its addresses, each with every one of the ports. */
struct service_slice {
	const char *id;	     /* "namespace/name" of the slice */
	const char *service; /* "namespace/name" */
	const struct addr *addr;
	size_t n_addr;
	const struct endpoint_port *port; /* names do not matter */
	size_t n_port;
};

struct tier_state {
	const char *name;
	double order;
	enum tier_action action;
};

enum calc_event_kind {
	CALC_POLICY, /* consumed */
	CALC_POLICY_GONE,
	CALC_PROFILE, /* consumed */
	CALC_PROFILE_GONE,
	CALC_TIER,
	CALC_TIER_GONE,
	CALC_ENDPOINT,
	CALC_ENDPOINT_GONE,
	CALC_SLICE,
	CALC_SLICE_GONE,
};

struct calc_event {
	enum calc_event_kind kind;
	union {
		struct policy *policy;
		struct policy_id policy_id;
		struct profile_rules *profile;
		const char *name; /* of a profile, tier or slice that is gone */
		const struct tier_state *tier;
		const struct endpoint *endpoint; /* GONE: only kind and id matter */
		const struct service_slice *slice;
	} of;
};

/* A set that is there: new, or with other members. */
struct calc_set {
	const struct setdef *def;
	bool created;
	struct member_vec added, gone;
};

/* Policies of one tier that select an endpoint, in order. */
struct calc_tier {
	const char *name;
	enum tier_action action;
	const struct policy **policy;
	size_t n;
};

struct calc_tiers {
	struct calc_tier *p;
	size_t n, cap;
};

/* Where on an endpoint policies apply; a workload has only CLASS_NORMAL. */
enum calc_class {
	CLASS_NORMAL,
	CLASS_FORWARD,
	CLASS_UNTRACKED,
	CLASS_PRE_DNAT,
	CLASS_COUNT,
};

struct calc_endpoint {
	enum endpoint_kind kind;
	const char *id, *interface;
	bool admin_down;
	struct calc_tiers tiers[CLASS_COUNT];
	const char *const *profile; /* rules of a profile come as effects of their own */
	size_t n_profile;
	const struct prefix *net;
	size_t n_net;
	const struct prefix *spoof; /* only of a workload */
	size_t n_spoof;
};

struct calc_gone_endpoint {
	enum endpoint_kind kind;
	char *id;
};

struct calc_effects {
	VEC(struct calc_set) sets;
	VEC(const struct policy *) policies;	    /* came into use, or other than before */
	VEC(const struct profile_rules *) profiles; /* the same */
	VEC(struct calc_endpoint) endpoints;	    /* new, or with other policies */
	VEC(struct calc_gone_endpoint) endpoints_gone;
	VEC(char *) policies_gone; /* policy_id_text of those no longer in use */
	VEC(char *) profiles_gone; /* names */
	VEC(struct setdef *) sets_gone;
};

struct calc_stats {
	size_t endpoints, local_endpoints, policies, active_policies, sets, members;
	uint64_t evals;
};

/* node: endpoints there are enforced. seed spreads keys in tables; any number. */
struct calc *calc_new(const char *node, uint32_t seed);
void calc_free(struct calc *c);
void calc_step(struct calc *c, const struct calc_event *ev);
const struct calc_effects *calc_flush(struct calc *c);
/* The next flush tells all that there is as new, and nothing as gone: for somebody who knows nothing
 * yet. */
void calc_restate(struct calc *c);
struct calc_stats calc_stats(const struct calc *c);
/* A policy or profile that it holds, until its next step; NULL. */
const struct policy *calc_policy(const struct calc *c, const struct policy_id *id);
const struct profile_rules *calc_profile(const struct calc *c, const char *name);

/* The whole state as text, for tests and for people: sets with members, endpoints with policies. */
char *calc_dump(const struct calc *c);
