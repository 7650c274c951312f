/* seat.h - where packets are sent and seen: pods and hosts, each by sockets in its own namespace.
 *
 * A pod has no addresses and no stack that would answer: what leaves and enters its interface is only
 * what is tested. A host is the node's own stack: it sends through OUTPUT and sees behind INPUT. */
#pragma once

#include <poll.h>

#include "lib/err.h"
#include "tests/packets/frame.h"

enum {
	SEAT_PROTOS = 5,
	SEAT_SOCKETS = 2 * SEAT_PROTOS,
};

struct seat {
	char name[24];	    /* "w3", "here" */
	char netns[64];	    /* path */
	char interface[16]; /* host end of a pod's veth; the node's link of a host */
	bool host;
	int node;	     /* 0, 1 */
	struct addr addr[2]; /* IPv4, IPv6 */
	int out[2], in[SEAT_SOCKETS], n_in;
	int flush; /* of a host: for its conntrack table; else -1 */
};

/* Fill the sockets; name, netns, host and addr are set. The caller's namespace is left as it was. */
int seat_open(struct seat *s, struct err *e);
void seat_close(struct seat *s);
/* Send bytes from the IP header on. -EPERM: the own host's rules refused it. */
int seat_send(const struct seat *s, const struct addr *to, const void *packet, size_t n);
/* Forget all flows of a host. */
int seat_flush(const struct seat *s, struct err *e);
