/* bgpfilter.h - BGPFilter: rules that an operator writes for what comes from a peer and what goes to
 * it.
 *
 * SHAPE  A chain is the rules of all filters of a peer, in their order, apart for each direction and
 *        family. The first rule of which every given field matches decides; it may say operations
 *        that change the route on its way. No rule matches: the built-in rules go on.
 * SPEC   Calico's BGPFilter. DIFFERS: there `prefixLength` beside Equal or NotEqual compares a prefix
 *        with a set, which no example covers. Here both must hold, each by itself. */
#pragma once

#include "bgp/attr.h"
#include "lib/vec.h"

enum {
	BGP_RULE_OPS_MAX = 10,
	BGP_RULE_PATH_MAX = 10,
	/* LOCAL_PREF = that - priority: Calico's route priority over BGP */
	BGP_PRIORITY_BASE = 2147483647,
	BGP_PRIORITY_USUAL = 1024, /* Calico's ipv4NormalRoutePriority unless told otherwise */
};

enum bgp_direction {
	BGP_IMPORT,
	BGP_EXPORT,
	BGP_DIRECTION_MAX_,
};

enum bgp_cidr_match {
	BGP_CIDR_ANY, /* none is given */
	BGP_CIDR_EQUAL,
	BGP_CIDR_NOT_EQUAL,
	BGP_CIDR_IN, /* inside of it, or it */
	BGP_CIDR_NOT_IN,
};

enum bgp_rule_op_type {
	BGP_OP_ADD_COMMUNITY,
	BGP_OP_ADD_LARGE,
	BGP_OP_PREPEND,
	BGP_OP_SET_PRIORITY,
};

struct bgp_rule_op {
	enum bgp_rule_op_type type;
	unsigned n;			   /* PREPEND: of path[] */
	uint32_t value[BGP_RULE_PATH_MAX]; /* community; three of a large one; path; priority */
};

/* Zeroed before it is filled, so that it compares by bytes. */
struct bgp_rule {
	char filter[64]; /* whose rule it is, for persons; a longer name is cut */
	uint16_t number; /* from 1 in its list */
	bool accept;
	enum bgp_cidr_match match;
	struct prefix cidr;
	bool has_length;
	uint8_t min_length, max_length;
	bool remote_peers;	   /* only what was learned by BGP; without effect on import */
	char interface[16];	   /* pattern for the outgoing interface; "": any */
	bool only_ebgp, only_ibgp; /* the peer */
	unsigned n_community; /* numbers of the one that it must carry: 0, 1, or 3 of a large one */
	uint32_t community[3];
	unsigned n_path; /* AS_PATH begins with these */
	asn_t path[BGP_RULE_PATH_MAX];
	bool has_priority;
	uint32_t priority;
	unsigned n_ops;
	struct bgp_rule_op op[BGP_RULE_OPS_MAX];
};

/* What a rule looks at. */
struct bgp_rule_route {
	const struct prefix *prefix;
	const struct bgp_attrs *attrs;
	uint32_t local_pref;
	enum bgp_direction direction;
	bool remote;	    /* learned by BGP */
	bool ebgp;	    /* the peer in question */
	const char *ifname; /* where the route leaves; NULL: unknown */
};

/* The first that matches; NULL. */
const struct bgp_rule *bgp_rules_match(const struct bgp_rule *rules, size_t n,
				       const struct bgp_rule_route *r);

/* Memory of a draft that is being edited: what its changed parts point to. */
struct bgp_edit {
	struct bgp_attrs_draft d;
	VEC(uint8_t *) owned;
};

struct bgp_edit bgp_edit_begin(const struct bgp_attrs *a);
void bgp_edit_done(struct bgp_edit *e);
/* Append members of `unit` bytes to a list, but for those in it. False: too long. */
bool bgp_edit_add(struct bgp_edit *e, enum bgp_attr_part part, const void *members, size_t n,
		  size_t unit);
bool bgp_edit_add_community(struct bgp_edit *e, uint32_t community);
/* Put `as` in front of the path. False: too long. */
bool bgp_edit_prepend(struct bgp_edit *e, asn_t as);
/* All operations of a rule, in their order. False: the result would be too long. */
bool bgp_rule_apply(const struct bgp_rule *rule, struct bgp_edit *e);

/* The rules of one peer or of many, under a name. */
struct bgp_filter_set {
	const char *name;
	const struct bgp_rule *rules[BGP_DIRECTION_MAX_][BGP_AF_MAX_];
	size_t n[BGP_DIRECTION_MAX_][BGP_AF_MAX_];
};

/* Communities for what is told of the routes inside of a prefix. */
struct bgp_advert {
	struct prefix cidr;
	const uint32_t *communities;
	size_t n_communities;
	const uint32_t *large; /* three each */
	size_t n_large;
};

struct bgp_chain {
	char *name;
	unsigned refs; /* peers */
	bool defined;
	VEC(struct bgp_rule) rules[BGP_DIRECTION_MAX_][BGP_AF_MAX_];
};

struct bgp_chain *bgp_chain_new(const char *name);
void bgp_chain_free(struct bgp_chain *c);
/* Take another content (NULL: none). Which directions differ, as a set of 1u << direction. */
unsigned bgp_chain_set(struct bgp_chain *c, const struct bgp_filter_set *set);
static inline const struct bgp_rule *bgp_chain_match(const struct bgp_chain *c, enum bgp_af af,
						     const struct bgp_rule_route *r)
{
	if (!c)
		return NULL;
	return bgp_rules_match(c->rules[r->direction][af].p, c->rules[r->direction][af].n, r);
}
/* Must somebody know by which interface routes leave? */
bool bgp_chain_wants_interface(const struct bgp_chain *c, enum bgp_direction dir, enum bgp_af af);
/* Does an operation change AS_PATHs? */
bool bgp_chain_prepends(const struct bgp_chain *c, enum bgp_direction dir);
