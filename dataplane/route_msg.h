/* route_msg.h - kernel routes as netlink messages, both ways. Pure. */
#pragma once

#include "dataplane/nlmsg.h"
#include "dataplane/route.h"

/* What one RTM_NEWROUTE or RTM_DELROUTE says. */
struct route_msg {
	struct route_key key;
	uint8_t type, protocol, scope;
	bool unusual; /* has what route_spec cannot say (encapsulation, more metrics, ...): it never
		       * equals a route of ours */
	uint32_t mtu;
	struct addr src;
	unsigned n_nh;
	struct route_nh nh[ROUTE_NH_MAX];
};

/* False for what is not an ordinary route of a table: cache entries, other families, a TOS or a
 * source prefix (which are keys of their own), nonsense. */
bool route_msg_parse(const struct nlmsghdr *h, struct route_msg *out);

/* Append RTM_NEWROUTE. Next hops by index; excl: fail where the key is taken, else replace. */
void route_msg_put(struct nl_buf *b, const struct route_key *key, const struct route_spec *spec,
		   bool excl);
/* Append RTM_DELROUTE for the route that has exactly this spec: never a neighbour with another
 * protocol or next hop that happens to have a similar key. */
void route_msg_put_delete(struct nl_buf *b, const struct route_key *key,
			  const struct route_spec *spec);
/* Append a dump request for a table, through one interface (0: all). */
void route_msg_put_dump(struct nl_buf *b, enum ip_family family, uint32_t table, uint32_t oif);
/* Append a lookup: the route that the kernel would use for dst. */
void route_msg_put_lookup(struct nl_buf *b, const struct addr *dst);
