/* conntrack.h - flows that must not outlive what allowed them.
 *
 * A removed pod's address carries no old flow (conntrack_forget); a narrowed policy may cut the
 * flows that it now denies (conntrack_cut, which asks the caller flow by flow, some flows a call).
 *
 * The kernel finds the flows of an IPv4 address itself where it can; where not, they are looked for
 * here, in one pass over the table however many the addresses. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"

enum {
	/* Up to so many addresses the kernel is asked one by one, each time a pass of its own. */
	CONNTRACK_ASK_MAX = 8,
	/* Flows of one pass; a table that grows as fast as it is read comes to an end. */
	CONNTRACK_LOOK_MAX = 4 << 20,
};

struct conntrack;

/* One direction of a flow, as its first packet or as an answer looks. */
struct flow_side {
	struct addr src, dst;
	uint16_t sport, dport; /* tcp, udp, sctp and the like; else 0 */
};

struct flow {
	struct flow_side orig, reply; /* they differ by NAT */
	uint8_t proto;
	uint8_t icmp_type, icmp_code; /* of the first packet */
	uint32_t mark;
	uint32_t status; /* IPS_* of linux/netfilter/nf_conntrack_common.h */
};

/* Sockets in the current network namespace. NULL on failure. */
struct conntrack *conntrack_open(struct err *e);
void conntrack_close(struct conntrack *c);

/* Remove every flow that one of these addresses began or answers. 0 or -errno. */
int conntrack_forget(struct conntrack *c, const struct addr *addrs, size_t n, struct err *e);

/* Remove the flows of a family for which fn says true, beginning now. One pass at a time: -EBUSY
 * while another is under way. */
typedef bool (*flow_fn)(void *arg, const struct flow *f);
int conntrack_cut(struct conntrack *c, enum ip_family family, flow_fn fn, void *arg, struct err *e);
/* Look at about so many more flows. 1: there are more; 0: the pass is over; -errno: it has
 * failed. */
int conntrack_step(struct conntrack *c, unsigned flows, struct err *e);
/* Flows removed by passes since the start; those that the kernel found itself are not counted. */
uint64_t conntrack_removed(const struct conntrack *c);
/* May the kernel be asked for an address's flows? Told false, it is not (tests). */
void conntrack_let_kernel_search(struct conntrack *c, bool may);

/* Does the kernel follow connections in this network namespace? It does for all who translate
 * addresses or look at states, whichever tool they use. */
bool conntrack_in_use(void);
