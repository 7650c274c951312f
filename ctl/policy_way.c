/* policy_way.c - what is between the two ends of a packet's way
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_way.h"

#include <stdlib.h>
#include <string.h>

#include "model/ippool.h"

static bool find_pool(const struct policy_world *w, const struct addr *a, struct ippool *out)
{
	for (const struct object *o = NULL; (o = policy_world_next(w, "IPPool", o));) {
		if (ippool_decode(o, out, NULL) < 0)
			continue;
		if (prefix_contains(&out->cidr, a))
			return true;
		ippool_done(out);
	}
	return false;
}

static bool is_tunnelled(const struct policy_world *w, enum encap_mode mode, const char *a,
			 const char *b, enum ip_family family)
{
	struct prefix one = policy_world_node_net(w, a, family);
	struct prefix two = policy_world_node_net(w, b, family);

	if (mode != ENCAP_CROSS_SUBNET)
		return mode == ENCAP_ALWAYS;
	return !one.addr.family || !prefix_contains(&one, &two.addr);
}

static void note(json_t *notes, const char *fmt, ...) PRINTF(2, 3);
static void note(json_t *notes, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	json_array_append_new(notes, js_text(text));
	free(text);
}

static void through_tunnel(const struct policy_world *w, const struct ippool *pool,
			   struct policy_end *from, struct policy_end *to, json_t *notes)
{
	const struct object *node = policy_world_find(w, "Node", NULL, from->at.node);
	bool ipip = pool->ipip != ENCAP_NEVER;
	const char *path = ipip			      ? "spec.bgp.ipv4IPIPTunnelAddr"
			   : to->addr.family == IP_V6 ? "spec.ipv6VXLANTunnelAddr"
						      : "spec.ipv4VXLANTunnelAddr";
	struct addr a;

	note(notes,
	     "between %s and %s packets go through a tunnel (pool %s): of host endpoints only "
	     "\"*\" "
	     "sees them",
	     from->at.node, to->at.node, pool->name);
	from->at.uplink = to->at.uplink = NULL;
	if (from->at.place == EXPLAIN_HOST && node && addr_parse(policy_world_text(node, path), &a))
		from->addr = a;
}

static void note_outside(const struct policy_world *w, const struct policy_end *end, json_t *notes)
{
	struct ippool pool;

	if (end->at.place != EXPLAIN_OUTSIDE || !find_pool(w, &end->addr, &pool))
		return;
	note(notes, "%s is in pool %s, but no pod has it now", end->name, pool.name);
	ippool_done(&pool);
}

static void note_guess(const struct policy_world *w, const struct policy_end *end, json_t *notes)
{
	const struct object *o =
		end->at.uplink ? policy_world_find(w, "HostEndpoint", NULL, end->at.uplink) : NULL;

	if (o && !json_array_size(js_at(o->json, "spec.expectedIPs")))
		note(notes, "taken to pass interface %s of %s, where host endpoint %s is",
		     policy_world_text(o, "spec.interfaceName"), end->at.node, o->name);
}

void policy_way_between(const struct policy_world *w, struct policy_end *from,
			struct policy_end *to, json_t *notes)
{
	struct ippool pool;

	note_outside(w, from, notes);
	note_outside(w, to, notes);
	if (str_eq(from->at.node, to->at.node))
		return;
	if (from->at.node && to->at.place == EXPLAIN_POD && find_pool(w, &to->addr, &pool)) {
		enum encap_mode mode =
			(enum encap_mode)(pool.ipip != ENCAP_NEVER ? pool.ipip : pool.vxlan);

		if (is_tunnelled(w, mode, from->at.node, to->at.node,
				 (enum ip_family)to->addr.family))
			through_tunnel(w, &pool, from, to, notes);
		ippool_done(&pool);
	}
	note_guess(w, from, notes);
	note_guess(w, to, notes);
}
