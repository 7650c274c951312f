/* fib_others.h - the kernel's routes that are not ours, for a next hop that a route of ours covers.
 *
 * WHY    A router that announces the racks' networks covers the other nodes' addresses with routes of
 *        ours, and the kernel answers a question with those. A next hop must not be resolved by what
 *        it is to resolve; but a static or a default route behind them leads there all the same. */
#pragma once

#include "dataplane/netlink.h"
#include "dataplane/route.h"

struct fib_others;

/* nl must outlive it. protocol: ours. */
struct fib_others *fib_others_new(struct nl_sock *nl, uint8_t protocol);
void fib_others_free(struct fib_others *o);

/* The most specific route of others in the main table that covers a: its first next hop and metric.
 * False: there is none, or it leads nowhere. Lists the routes anew when generation is another than
 * the last time (route_counts' others). */
bool fib_others_find(struct fib_others *o, uint64_t generation, const struct addr *a,
		     struct route_nh *nh, uint32_t *metric);
