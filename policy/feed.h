/* feed.h - stored objects as events of the calculation, for who has objects and wants it to know.
 *
 * Kinds: policies, profiles, tiers, endpoints, network sets and slices of services. The agent, which has changes and
 * deletions to follow, is in agent/policy/policy_feed.h. */
#pragma once

#include "policy/calc.h"

struct object;

/* Is policy made of objects of this kind? */
bool feed_takes(const char *kind);
/* True when the calculation was told. e is set when something of the object is wrong, which may be
 * even so: what cannot be read in full denies (policy.h). */
bool feed_object(struct calc *c, const struct object *o, struct err *e);
/* The same of an endpoint or network set, as if it were on this node. */
bool feed_endpoint_on(struct calc *c, const struct object *o, const char *node, struct err *e);
