/* fib_others.c - the kernel's routes that are not ours, by prefix
 * COST   one dump of the main table when somebody else's route has changed since the last question;
 *        without a next hop below a route of ours, none at all.
 * TESTS  tests/netns/test_next_hops.py */
#include "agent/bgp/fib_others.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "agent/log.h"
#include "dataplane/route_msg.h"
#include "lib/trie.h"

enum {
	DUMP_TRIES = 3,	      /* that a busy kernel interrupts */
	OTHERS_MAX = 1 << 20, /* a full table of another daemon's; what is beyond is not seen */
};

struct other {
	uint32_t metric;
	struct route_nh nh; /* no interface: the route leads nowhere */
};

struct fib_others {
	struct nl_sock *nl;
	uint8_t protocol;
	struct trie routes;
	uint64_t generation;
	bool listed;
};

static bool drop(void *arg, const struct prefix *p, void *value)
{
	free(value);
	return true;
}

static void forget(struct fib_others *o)
{
	trie_walk(&o->routes, NULL, drop, NULL);
	trie_done(&o->routes);
	trie_init(&o->routes);
}

/* Of several with one prefix the kernel takes the one with the lowest metric. */
static void on_route(void *arg, const struct nlmsghdr *h)
{
	struct fib_others *o = arg;
	struct route_msg r;
	struct other *there, *new;

	if (h->nlmsg_type != RTM_NEWROUTE || !route_msg_parse(h, &r) ||
	    r.key.table != ROUTE_TABLE_MAIN || r.protocol == o->protocol)
		return;
	there = trie_find(&o->routes, &r.key.dst);
	if (there ? there->metric <= r.key.metric : o->routes.count >= OTHERS_MAX)
		return;
	new = there ? there : xcalloc(1, sizeof(*new));
	*new = (struct other) { .metric = r.key.metric };
	if (r.type == ROUTE_UNICAST && r.n_nh)
		new->nh = r.nh[0];
	if (!there)
		trie_add(&o->routes, &r.key.dst, new);
}

static int list_family(struct fib_others *o, enum ip_family family)
{
	struct nl_buf b = { 0 };
	struct err e = { 0 };
	int rc;

	route_msg_put_dump(&b, family, ROUTE_TABLE_MAIN, 0);
	rc = nl_dump(o->nl, &b, on_route, o, &e);
	nl_buf_done(&b);
	/* a kernel without IPv6 */
	if (rc < 0 && rc != -EINTR && rc != -ENOENT && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP)
		log_warn("fib", "cannot list the kernel's routes", "why=%s", e.msg);
	return rc;
}

static void list(struct fib_others *o)
{
	int rc = -EINTR;

	for (unsigned i = 0; i < DUMP_TRIES && rc == -EINTR; i++) {
		forget(o);
		rc = list_family(o, IP_V4);
		if (rc != -EINTR)
			rc = list_family(o, IP_V6);
	}
	o->listed = rc != -EINTR;
}

bool fib_others_find(struct fib_others *o, uint64_t generation, const struct addr *a,
		     struct route_nh *nh, uint32_t *metric)
{
	struct prefix p = prefix_of(a, addr_bits((enum ip_family)a->family));
	const struct other *found;

	if (!o->listed || o->generation != generation)
		list(o);
	o->generation = generation;
	found = trie_lpm(&o->routes, &p, NULL);
	if (!found || !found->nh.ifindex)
		return false;
	*nh = found->nh;
	*metric = found->metric;
	return true;
}

struct fib_others *fib_others_new(struct nl_sock *nl, uint8_t protocol)
{
	struct fib_others *o = xcalloc(1, sizeof(*o));

	o->nl = nl;
	o->protocol = protocol;
	return o;
}

void fib_others_free(struct fib_others *o)
{
	if (!o)
		return;
	forget(o);
	trie_done(&o->routes);
	free(o);
}
