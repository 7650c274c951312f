/* policy_view.h - what is set for a node of what matters to the way of a packet. */
#pragma once

#include "ctl/policy_world.h"
#include "policy/render_felix.h"

struct policy_view {
	struct render_config render;
	struct failsafe_vec in, out;
};

/* The node's own agent says it, where it is the one that answers here; else the datastore, which does
 * not know what that agent was told by its options and environment: notes say so where both are
 * asked of (of_host: the packet begins or ends at the node itself). node NULL: no node is involved. */
void policy_view_read(struct ctl *c, const struct policy_world *w, const char *node, bool of_host,
		      enum ip_family family, struct policy_view *out, json_t *notes);
void policy_view_done(struct policy_view *v);
