/* calc_impl.h - inside of the calculation; for calc*.c only.
 *
 *	endpoints --labels--> `local` index (this node's, policies' selectors) --> policies in use
 *	    \---------------> `all` index (everybody, selectors of sets)	 --> members
 *	policies, profiles in use --> the sets that their rules name --> selectors in `all` */
#pragma once

#include <uthash.h>

#include "policy/calc.h"
#include "policy/labels.h"

struct gives_port {
	uint32_t name; /* interned */
	uint8_t proto;
	uint16_t port;
};

/* What an endpoint adds to sets that it is in. */
struct gives {
	uint32_t n_net, n_port;
	struct gives_port *port; /* behind the nets, in the same allocation */
	struct prefix net[];
};

/* What only endpoints of this node have. */
struct local {
	uint32_t item; /* in calc.local */
	char *interface;
	bool admin_down, dirty;
	char **profile;
	size_t n_profile;
	struct prefix *spoof;
	size_t n_spoof;
	char *sent; /* signature of what was last told; NULL: nothing */
};

struct ep {
	UT_hash_handle hh; /* by key: a letter of the kind, and the id */
	char *key;
	enum endpoint_kind kind;
	uint32_t item; /* in calc.all */
	struct gives *gives;
	struct local *here; /* NULL: of another node, or a network set */
};

struct set {
	UT_hash_handle hh; /* by def->id */
	struct setdef *def;
	uint32_t sel; /* in calc.all; 0: has no selector */
	uint32_t port_name;
	size_t refs;	 /* policies and profiles in use */
	uint64_t holder; /* who took it last: nobody takes it twice */
	bool told, dirty;
	struct members members;
};

struct set_refs {
	struct set **p;
	size_t n, cap;
};

struct pol {
	UT_hash_handle hh;
	char *key;	  /* policy_id_text */
	struct policy *p; /* NULL: gone, to be told */
	uint32_t sel;	  /* in calc.local */
	size_t n_here;	  /* endpoints of this node that it applies to */
	bool told, changed, dirty;
	struct set_refs sets;
};

struct prof {
	UT_hash_handle hh;
	char *name;
	struct profile_rules *rules; /* NULL: does not exist */
	struct profile_rules *missing;
	size_t n_here;
	bool told, changed, dirty;
	struct set_refs sets;
};

struct tier_row {
	UT_hash_handle hh;
	char *name;
	double order;
	enum tier_action action;
};

struct slice {
	UT_hash_handle hh;
	char *id;
	struct slice *next; /* of the same service */
	struct service *service;
	struct addr *addr;
	size_t n_addr;
	struct gives_port *port;
	size_t n_port;
};

struct service {
	UT_hash_handle hh;
	char *name;
	struct slice *slices;
	struct set *with_ports, *addrs; /* sets in use; NULL */
};

struct calc {
	char *node;
	struct intern *in;
	struct labels *all, *local;
	struct ep *eps;
	struct set *sets;
	struct pol *pols;
	struct prof *profs;
	struct tier_row *tiers;
	struct slice *slices;
	struct service *services;
	struct label_changes changes; /* scratch */
	VEC(struct set *) dirty_sets;
	VEC(struct pol *) dirty_pols;
	VEC(struct prof *) dirty_profs;
	VEC(struct ep *) dirty_eps;
	VEC(struct calc_gone_endpoint) gone_eps;
	struct calc_effects fx;
	size_t n_local, n_members;
	uint64_t n_holders;
};

/* calc_policies.c */
/* Consumes p. */
void calc_policy_step(struct calc *c, struct policy *p);
void calc_policy_gone(struct calc *c, const struct policy_id *id);
/* Consumes rules, NULL: the profile is gone. */
void calc_profile_step(struct calc *c, const char *name, struct profile_rules *rules);
/* A profile by name; one that does not exist is made. */
struct prof *calc_prof_get(struct calc *c, const char *name);
void calc_mark_prof(struct calc *c, struct prof *prof);
/* Carry out c->changes of the `local` index, and clear them. */
void calc_apply_local(struct calc *c);
/* Effects of policies and profiles; those that are gone and told are freed. */
void calc_flush_policies(struct calc *c);
void calc_restate_policies(struct calc *c);
void calc_free_policies(struct calc *c);

/* calc_endpoints.c */
void calc_endpoint_step(struct calc *c, const struct endpoint *e);
/* By kind and id. */
void calc_endpoint_gone(struct calc *c, const struct endpoint *e);
void calc_restate_endpoints(struct calc *c);
void calc_free_endpoints(struct calc *c);

/* calc_sets.c */
struct gives *calc_gives_make(struct calc *c, const struct endpoint *e);
bool calc_gives_equal(const struct gives *a, const struct gives *b);
void calc_gives_free(struct calc *c, struct gives *g);
/* Add what an endpoint gives to a set, or take it away. */
void calc_set_give(struct calc *c, struct set *s, const struct gives *g, bool add);
/* Carry out c->changes of the `all` index, and clear them. */
void calc_apply_all(struct calc *c);
/* The sets that two lists of rules name become refs; what refs held before is let go. */
void calc_hold_sets(struct calc *c, struct set_refs *refs, const struct rules *in,
		    const struct rules *out);
void calc_let_sets_go(struct calc *c, struct set_refs *refs);
void calc_slice(struct calc *c, const struct service_slice *s);
void calc_slice_gone(struct calc *c, const char *id);
/* Effects of sets; those that nobody uses go. */
void calc_flush_sets(struct calc *c);
void calc_restate_sets(struct calc *c);
void calc_free_sets(struct calc *c);

/* calc_here.c */
void calc_mark_ep(struct calc *c, struct ep *ep);
/* Is the policy anywhere on this endpoint? */
bool calc_applies(const struct policy *p, const struct ep *ep);
/* Policies of an endpoint by class and tier; the caller frees with calc_tiers_done. */
void calc_tiers_of(struct calc *c, struct ep *ep, struct calc_tiers out[static CLASS_COUNT]);
void calc_tiers_done(struct calc_tiers tiers[static CLASS_COUNT]);
void calc_flush_eps(struct calc *c);
