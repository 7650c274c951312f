/* feed.h - stored objects as events of the calculation, for who has objects and wants it to know.
 *
 * Kinds: policies, profiles, tiers, endpoints, network sets and slices of services. What a changing
 * store needs besides (what was known, what is in trouble) is in agent/policy/policy_feed.h. */
#pragma once

#include "policy/calc.h"

struct key;
struct object;

/* Is policy made of objects of this kind? */
bool feed_takes(const char *kind);
/* True when the calculation was told. e is set when something of the object is wrong, which may be
 * even so: what cannot be read in full denies (policy.h, input.h). */
bool feed_object(struct calc *c, const struct object *o, struct err *e);
/* The same of an endpoint or network set, as if it were on this node. */
bool feed_endpoint_on(struct calc *c, const struct object *o, const char *node, struct err *e);
/* Of the words about a host endpoint that cannot be read: what that means. */
void feed_say_kept(struct err *e);
/* The object of this key is gone. False for a policy: its key does not say who it is. */
bool feed_gone(struct calc *c, const struct key *k);

/* Only the policy of an object of such a kind, which is the caller's; as policy_from_object says.
 * Kubernetes' policies are those with their prefix in the name. */
bool feed_is_policy(const char *kind);
struct policy *feed_policy(const struct object *o, struct err *e);
/* What stands for a stored policy that is not even an object: its key says the namespace, for which
 * it denies. Object of the caller's. */
struct object feed_unreadable(const struct key *k);
/* Name and kind of the object that a policy was made from. Heap; constant. */
char *feed_policy_name(const struct policy *p);
const char *feed_policy_kind(const struct policy *p);
