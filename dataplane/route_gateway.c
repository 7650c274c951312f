/* route_gateway.c - 169.254.1.1 stays answerable on a host without a default route
 * WHY    Pods have 169.254.1.1 as gateway, and the host answers ARP for it by proxy_arp; the kernel
 *        does so only if it has a route to that address out of another interface. Usually that is
 *        the default route. Without one, 169.254.1.1/32 dev lo scope link does it, and that route
 * goes as soon as another covers the address. SHAPE  The kernel is asked for 169.254.1.0: every
 * prefix that covers .1 and is shorter than /32 also covers .0, so our own /32 does not hide the
 * answer. DIFFERS: Calico leaves pods of such hosts without a gateway. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "dataplane/route_table.h"

static const uint32_t gateway = 0xa9fe0101, neighbour = 0xa9fe0100;

bool route_covers_gateway(const struct route_key *key)
{
	struct addr gw = addr_v4(gateway);

	return key->dst.addr.family == IP_V4 && prefix_contains(&key->dst, &gw);
}

struct answer {
	bool unicast;
};

static void take_answer(void *arg, const struct nlmsghdr *h)
{
	struct answer *a = arg;
	struct route_msg r;

	if (h->nlmsg_type == RTM_NEWROUTE && route_msg_parse(h, &r))
		a->unicast = r.type == RTN_UNICAST;
}

/* Does the kernel have a way to it without us? */
static bool is_covered(struct route_table *rt)
{
	struct addr dst = addr_v4(neighbour);
	struct answer a = { 0 };
	struct nl_buf b = { 0 };
	int rc;

	route_msg_put_lookup(&b, &dst);
	rc = nl_ask(&rt->requests, &b, take_answer, &a, NULL);
	nl_buf_done(&b);
	return rc == 0 && a.unicast;
}

/* lo, or where that is down (a bare namespace) any other link that is no pod's. */
static uint32_t carrier(const struct route_table *rt)
{
	for (const struct link *l = NULL; (l = link_next(rt->links, l));)
		if (l->up && !route_is_workload(rt, l->name))
			return l->index; /* lo has index 1 and comes first */
	return 0;
}

void route_gateway_update(struct route_table *rt)
{
	struct route_key key = { .dst = { .addr = addr_v4(gateway), .len = 32 } };
	struct route_nh lo = { .ifindex = carrier(rt) };
	struct route_spec spec = { .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &lo };

	rt->gateway_stale = false;
	if (!rt->cfg.gateway)
		return;
	if (is_covered(rt) || !lo.ifindex)
		route_forget(rt, ROUTE_CLASS_GATEWAY, 0, &key);
	else
		(void)route_desire(rt, ROUTE_CLASS_GATEWAY, 0, &key, &spec, NULL);
}
