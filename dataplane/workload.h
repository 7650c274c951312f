/* workload.h - what the host end of a pod's veth needs besides its route. */
#pragma once

#include "dataplane/netlink.h"
#include "lib/addr.h"
#include "lib/err.h"

struct workload_if {
	const char *ifname;
	bool ipv6;	       /* set the IPv6 ones as well */
	bool no_ipv6;	       /* nobody polices IPv6 here: the link carries none */
	bool any_source;       /* the pod may use other source addresses: rp_filter 0 */
	const char *rp_filter; /* else this value; NULL: what conf/default says now */
};

/* Set the sysctls of one workload interface, in the order of the table in workload.c. The two that
 * may fail without harm (accept_ra, proxy_delay) are skipped silently. */
int workload_sysctls(const struct workload_if *w, struct err *e);
/* Are they as workload_sysctls leaves them? For CHECK and for repair: 0, -ESTALE with the name and
 * value of the first that is not, or another negative errno. */
int workload_sysctls_check(const struct workload_if *w, struct err *e);

/* A permanent neighbour entry: the pod's address at its MAC, so that no packet waits for ARP. */
int workload_neighbour(struct nl_sock *s, uint32_t ifindex, const struct addr *pod,
		       const uint8_t mac[static 6], struct err *e);
