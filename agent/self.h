/* self.h - what this agent writes about its node and cluster into the datastore: the Node resource
 * with its addresses, ClusterInformation, and default pools where there are none.
 *
 * Fields that others wrote stay as they are; every write is compare-and-swap. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"
#include "lib/str.h"

struct agent;
struct self;

struct self *self_new(struct agent *a);
void self_free(struct self *s);
/* This agent is the node's only one: from now on it may write. */
void self_start(struct self *s);
/* Everything is written. */
bool self_done(const struct self *s);
/* What is not, one line each. */
void self_troubles(const struct self *s, struct str *out);

/* ---- pure, for tests ---- */

struct self_node {
	const char *name;
	bool set_v4, set_v6;   /* else what is stored stays */
	struct prefix v4, v6;  /* IP_NONE: the node has none */
	uint32_t as;	       /* 0: what is stored stays */
	const char *uid, *now; /* for a new object */
};
/* The Node's JSON with these; NULL when the stored one (NULL: none) says so already. -EINVAL for
 * stored text that is no Node, which stays as it is. */
int self_node_change(const struct self_node *n, const char *stored, char **out, struct err *e);
/* The first default range for IPv4 that overlaps none of `used`. False: all do. */
bool self_default_cidr(const struct prefix *used, size_t n, struct prefix *out);
