/* policy_feed.h - stored objects as events of the policy calculation.
 *
 * What cannot be read is remembered by name until it is right or gone; a policy that selects
 * readably but says nonsense denies (policy/policy.h); one of which not even that can be read leaves
 * what was known of it in force, and where nothing was (after a restart) denies for all that it can
 * be about: the pods of its namespace, or those that its other selectors select. A global policy of
 * which no selector can be read is only reported: to deny for everybody would cut the cluster off for
 * one typing error. A host endpoint stays where its place can be read (policy/input.h). */
#pragma once

#include "lib/str.h"
#include "policy/calc.h"

struct policy_feed;

/* calc is borrowed. */
struct policy_feed *policy_feed_new(struct calc *calc);
void policy_feed_free(struct policy_feed *f);

/* A stored object, new or changed; value NULL: it is gone. True when the calculation was told
 * something. Keys of other kinds are passed over. */
bool policy_feed_take(struct policy_feed *f, const char *key, const char *value);

enum { POLICY_TROUBLES_SHOWN = 20 };
/* What is wrong now, one line each, the first POLICY_TROUBLES_SHOWN. Returns how many there are. */
size_t policy_feed_troubles(const struct policy_feed *f, struct str *out);
