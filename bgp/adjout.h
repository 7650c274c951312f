/* adjout.h - what is told to peers: exports computed once per group of equal peers, sent when
 * asked.
 *
 * WHY    In a cluster nearly all peers get the same routes. Peers with equal targets form a group;
 *        a best path's export is computed once for each group, however many peers it has.
 * SHAPE  A group keeps, by net index, the attributes that its peers shall have now (NULL: none) and
 *        one bit per peer: has it been told? Changes go into the group's log; each peer has a
 *        cursor into it. A newer change of a net takes the older one out of the log, so a slow peer
 *        gets the latest state and the log never holds a net twice. A peer that joins walks all
 *        nets once (its dump) beside the log.
 *
 *		log:	[net 7][  -  ][net 2][net 9][net 7']
 *				  ^peer A		^peer B (has told all)
 *
 *        Nothing is formatted before the peer's socket asks: bgp_adjout_pull takes what its cursor
 *        has not seen, sorted by attribute set, withdrawals apart.
 *        To peers that take several paths (RFC 7911) go all usable ones: their groups keep a route
 *        for each path of a net. A route's index, plus one, is its path id on the wire: the same as
 *        long as that peer's path is there, and free for another only when every member has heard
 *        the withdrawal.
 * INVARIANTS  a peer's bit is set exactly when the last word it got about the net was an
 *        announcement: so a withdrawal is sent only for what was announced, and nothing twice.
 * MEMORY a net in a group: 14 bytes and one bit per peer; 4 more while it waits in the log; a path
 *        in an ADD-PATH group: 34 bytes, and 4 for the net */
#pragma once

#include "bgp/filter.h"
#include "bgp/rib.h"

struct bgp_group;
struct bgp_member;

struct bgp_adjout {
	struct bgp_rib *rib;
	const struct bgp_policy *policy;
	VEC(struct bgp_group *) groups;
	unsigned n_add_path; /* of them: those that want every path */
	VEC(uint16_t) held;  /* by net: how many groups need its index */
	/* No End-of-RIB is given while set: more is to come. */
	bool hold_end_of_rib;
	/* A member that had nothing more to say now has. */
	void (*wake)(void *arg, struct bgp_member *m);
	/* No peer needs this net any more, as far as one group is concerned. */
	void (*released)(void *arg, struct bgp_adjout *ao, uint32_t net);
	void *arg;
};

/* One peer in one family. Embedded by the owner; all zero is in no group. */
struct bgp_member {
	struct bgp_group *group;
	void *owner;
	uint16_t peer_id;
	uint32_t bit;
	uint64_t cursor; /* next log entry to look at */
	uint32_t dump;	 /* next net of the running dump; BGP_NET_NONE: none runs */
	bool dump_all;	 /* a refresh: what was told is told again */
	bool asleep;	 /* the last pull had nothing more */
	/* RFC 7313: one runs, its begin is not yet said, another one is to follow */
	bool refreshing, begin_due, refresh_due;
	bool end_of_rib_due;
	uint32_t sent; /* prefixes that the peer has from us */
};

/* Wake and released must be set by then. */
void bgp_adjout_init(struct bgp_adjout *ao, struct bgp_rib *rib, const struct bgp_policy *policy);
/* Every member must have left. */
void bgp_adjout_done(struct bgp_adjout *ao);

/* Established: tell everything, then End-of-RIB if end_of_rib. */
void bgp_adjout_join(struct bgp_adjout *ao, struct bgp_member *m, const struct bgp_target *target,
		     uint16_t peer_id, bool end_of_rib);
void bgp_adjout_leave(struct bgp_adjout *ao, struct bgp_member *m);
/* RFC 2918: tell everything again, without withdrawing. enhanced: between a begin and an end (RFC
 * 7313), and not before the first End-of-RIB. */
void bgp_adjout_refresh(struct bgp_adjout *ao, struct bgp_member *m, bool enhanced);
/* hold_end_of_rib was cleared: wake those who wait for it. */
void bgp_adjout_unhold(struct bgp_adjout *ao);

/* What exports look like may have changed: forget what was computed. Updates of all nets follow. */
void bgp_adjout_policy_changed(struct bgp_adjout *ao);
/* The net was decided (best NULL: no usable path), or the policy changed. other: it is another best
 * path, or the policy is another one; if not, only groups that want every path look. */
void bgp_adjout_update(struct bgp_adjout *ao, uint32_t net, const struct bgp_path *best,
		       bool other);
/* Several nets will be updated soon: call this for all of them with each step in turn, so that their ways
 * through memory overlap, from a group's route to the attributes that it had. */
enum bgp_adjout_step {
	BGP_ADJOUT_STEP_ROUTE,
	BGP_ADJOUT_STEP_ATTRS,
	BGP_ADJOUT_STEP_INTERNED,
	BGP_ADJOUT_STEP_MAX_,
};
void bgp_adjout_prefetch(const struct bgp_adjout *ao, uint32_t net, enum bgp_adjout_step step);
/* Compute exports for groups that are new, up to `budget` nets. True: there is more. */
bool bgp_adjout_fill(struct bgp_adjout *ao, unsigned budget);
/* Does a group still need the net's index? */
bool bgp_adjout_holds(const struct bgp_adjout *ao, uint32_t net);
/* The net of a route that a pull took, and its path id on the wire. */
uint32_t bgp_adjout_net(const struct bgp_member *m, uint32_t route, uint32_t *path_id);
/* What the exports to m depend on. m is in a group. */
const struct bgp_target *bgp_adjout_target(const struct bgp_member *m);
/* What m has been told of a net, or with ADD-PATH of that peer's path with that id: attributes as the
 * group has them now, and whether m has heard of it. A withdrawal that waits: told, and NULL. */
const struct bgp_attrs *bgp_adjout_told(const struct bgp_member *m, uint32_t net, uint16_t from,
					uint32_t id, bool *told);
/* Has m been told any path of the net? */
bool bgp_adjout_any_told(const struct bgp_member *m, uint32_t net);
/* Who keeps more than max withdrawals waiting, or very many of one net; NULL: nobody. */
struct bgp_member *bgp_adjout_laggard(const struct bgp_adjout *ao, uint32_t max);
size_t bgp_adjout_bytes(const struct bgp_adjout *ao);

/* What one pull took: routes to withdraw, and sets of routes with the same attributes. */
struct bgp_batch {
	unsigned n_withdrawn, n_items, n_sets;
	bool begin_of_refresh;		 /* before all of this */
	bool end_of_refresh, end_of_rib; /* after all of this */
	bool trim;			 /* for bgp_adjout_taken */
	uint32_t withdrawn[BGP_BATCH_MAX];
	struct {
		uint32_t route;
		uint32_t next; /* of the set; UINT32_MAX at the end */
	} item[BGP_BATCH_MAX];
	struct bgp_batch_set {
		struct bgp_attrs *attrs; /* borrowed from the group until the next update */
		uint32_t first, last;
		uint32_t room;	/* bytes left in this set's current message, as reckoned */
		uint32_t frame; /* what a message of it takes without prefixes, at most */
	} set[BGP_BATCH_MAX];
	size_t bytes;			  /* what all of it takes on the wire, at most */
	uint32_t hash[2 * BGP_BATCH_MAX]; /* attrs -> set + 1 */
};

/* Take what m has not been told, as much as surely fits into size bytes in messages of
 * BGP_MSG_MAX; attributes that need a longer one get it when msg_max allows it. False: there is nothing; m is asleep until `wake`. After true the caller formats all of it, and
 * then calls bgp_adjout_taken: until then the nets in it stay. */
bool bgp_adjout_pull(struct bgp_adjout *ao, struct bgp_member *m, struct bgp_batch *b, size_t size,
		     uint32_t msg_max);
void bgp_adjout_taken(struct bgp_adjout *ao, struct bgp_member *m, const struct bgp_batch *b);
/* A route that was taken could not be sent: the peer does not have it. */
void bgp_adjout_unsent(struct bgp_member *m, uint32_t route);
