/* conntrack.h - flows that must not outlive what allowed them.
 *
 * A removed pod's address carries no old flow (conntrack_forget), and a narrowed policy may cut the
 * flows that it now denies (conntrack_cut, which asks the caller flow by flow). */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"

enum {
	/* Flows looked at before conntrack_cut gives up for this time: twice the usual table. */
	CONNTRACK_LOOK_MAX = 1 << 20,
	/* Flows cut in one go; the caller comes back for more. */
	CONNTRACK_CUT_MAX = 65536,
	/* Addresses forgotten in one pass over the table. */
	CONNTRACK_ADDRS_MAX = 4096,
};

struct conntrack;

/* One direction of a flow as its first packet (orig) or an answer (reply) looks. */
struct flow_side {
	struct addr src, dst;
	uint16_t sport, dport; /* tcp, udp, sctp; else 0 */
};

struct flow {
	struct flow_side orig, reply; /* they differ by NAT */
	uint8_t proto;
	uint8_t icmp_type, icmp_code;
	uint32_t mark;
	uint32_t id;
	bool assured;
};

/* A socket in the current network namespace. NULL on failure. */
struct conntrack *conntrack_open(struct err *e);
void conntrack_close(struct conntrack *c);

/* Remove every flow that one of these addresses began or answers. Returns how many were removed,
 * or -errno. */
int conntrack_forget(struct conntrack *c, const struct addr *addrs, size_t n, struct err *e);

/* Remove the flows of a family for which fn says true. Returns how many, or -errno; -E2BIG: there
 * are more than CONNTRACK_LOOK_MAX flows or CONNTRACK_CUT_MAX to cut, call again. */
typedef bool (*flow_fn)(void *arg, const struct flow *f);
int conntrack_cut(struct conntrack *c, enum ip_family family, flow_fn fn, void *arg, struct err *e);
