/* policy_world.h - everything that policy is made of, as the datastore has it.
 *
 * For questions about any two places of the cluster, without asking an agent. */
#pragma once

#include "ctl/ctl.h"
#include "policy/explain_path.h"

struct policy_end;

struct policy_world {
	struct object_vec
		objects; /* policies, profiles, tiers, endpoints, sets, nodes, pools, ... */
	size_t n_broken; /* left out, and told */
};

int policy_world_load(struct ctl *c, struct policy_world *w, struct err *e);
void policy_world_done(struct policy_world *w);

/* The next object of a kind behind `after` (NULL: the first); NULL: none. */
const struct object *policy_world_next(const struct policy_world *w, const char *kind,
				       const struct object *after);
/* By name; ns NULL for kinds without namespace. NULL: none. */
const struct object *policy_world_find(const struct policy_world *w, const char *kind,
				       const char *ns, const char *name);
/* Text at a path of an object, "" when it is absent or no text. */
const char *policy_world_text(const struct object *o, const char *path);
/* A node's address with its network; family IP_NONE: none. */
struct prefix policy_world_node_net(const struct policy_world *w, const char *node,
				    enum ip_family family);
/* The stored object of a policy. */
const struct object *policy_world_policy(const struct policy_world *w, const struct policy *p);

/* A calculation, flushed, in which the pods at both ends and the host endpoints of their nodes are
 * local. What is wrong with policies and profiles is appended to notes. */
struct calc *policy_world_calc(const struct policy_world *w, const struct policy_end *from,
			       const struct policy_end *to, json_t *notes);
