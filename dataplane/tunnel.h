/* tunnel.h - tunnel devices and what hangs on them (addresses, forwarding entries, neighbours):
 * what should be there against what is there.
 *
 *	struct tunnels *t = tunnels_new(&e);
 *	tunnel_want(t, TUNNEL_VXLAN, &spec);
 *	tunnel_peer_want(t, TUNNEL_VXLAN, &peer, &e);
 *	tunnels_ready(t);		all that is wanted is known: other entries may go
 *	tunnels_leftovers(t);		and devices of an earlier life that nobody wanted since
 *	tunnels_apply(t, now_ms, 0, &e);
 *	... loop: when tunnels_fd(t) is readable: tunnels_read(t, &e), then tunnels_apply
 *	... at tunnels_due(t): tunnels_apply
 *
 * A device that is right is adopted as it is, with its entries; what somebody else changes is put
 * back. Routes through a tunnel are the route table's (route.h): by the device's name, so they wait
 * for it.
 *
 * One more kind of tunnel is a value of enum tunnel_kind and a row in tunnel.c. */
#pragma once

#include "lib/addr.h"
#include "lib/err.h"

enum tunnel_kind {
	TUNNEL_IPIP,	 /* tunl0: the kernel's device that every namespace has, addressed by us */
	TUNNEL_VXLAN,	 /* vxlan.calico */
	TUNNEL_VXLAN_V6, /* vxlan-v6.calico */
	TUNNEL_MAX_,
};

enum {
	TUNNEL_PEERS_MAX = 1 << 16, /* nodes of a cluster; Kubernetes is tested to 5 000 */
};

struct tunnel_spec {
	struct addr addr; /* of the device, as a /32 or /128; IP_NONE: none yet */
	uint32_t mtu;
	/* VXLAN */
	uint32_t vni;
	uint16_t port;
	uint32_t parent;   /* index of the interface that holds local */
	struct addr local; /* outer source */
	uint8_t mac[6];
};

/* Another node at the other end. What is sent to vtep goes to mac, what is for mac goes to host. */
struct tunnel_peer {
	struct addr vtep; /* the other device's address */
	uint8_t mac[6];
	struct addr host;
};

enum tunnel_state {
	TUNNEL_OFF,	  /* not wanted */
	TUNNEL_PENDING,	  /* the next apply works on it */
	TUNNEL_UP,	  /* as wanted */
	TUNNEL_NO_KERNEL, /* the kernel does not know this type of device */
	TUNNEL_FAILED,	  /* see text; tried again */
};

struct tunnel_status {
	enum tunnel_state state;
	bool usable;	/* the device is there and up, so routes through it work */
	uint32_t index; /* of the device; 0: none */
	char text[160]; /* why it failed: one sentence, with the remedy where there is one */
};

struct tunnels;

/* In the current network namespace. NULL on failure. */
struct tunnels *tunnels_new(struct err *e);
void tunnels_free(struct tunnels *t); /* leaves the kernel as it is */

/* "tunl0", "vxlan.calico"; "ipip", "vxlan": the module that the kernel needs. */
const char *tunnel_name(enum tunnel_kind k);
const char *tunnel_module(enum tunnel_kind k);

void tunnel_want(struct tunnels *t, enum tunnel_kind k, const struct tunnel_spec *s);
/* Not wanted any more: a VXLAN device goes, tunl0 loses its addresses. Peers are forgotten. */
void tunnel_unwant(struct tunnels *t, enum tunnel_kind k);
/* Keyed by vtep; asking again replaces. 1: another peer had the vtep or the mac, and has it no
 * more. -EINVAL, -ENOSPC with a sentence. */
int tunnel_peer_want(struct tunnels *t, enum tunnel_kind k, const struct tunnel_peer *p,
		     struct err *e);
/* Forget exactly this peer; when another one has taken its vtep or mac over, that one stays. */
void tunnel_peer_forget(struct tunnels *t, enum tunnel_kind k, const struct tunnel_peer *p);
/* Before this call apply removes no entry. */
void tunnels_ready(struct tunnels *t);
/* Before this call apply leaves devices alone that were never wanted. */
void tunnels_leftovers(struct tunnels *t);

/* Bring the kernel nearer to what is wanted, with at most budget writes of peers (0: all). now_ms
 * is monotonic. 1: work is left that could be done at once; 0: none; -errno when the socket failed.
 * What goes wrong with one device is in its status. */
int tunnels_apply(struct tunnels *t, uint64_t now_ms, unsigned budget, struct err *e);
/* Is there anything that tunnels_apply could do now? */
bool tunnels_dirty(const struct tunnels *t);
uint64_t tunnels_due(const struct tunnels *t); /* UINT64_MAX: never */
int tunnels_fd(const struct tunnels *t);
/* Take in events; then call tunnels_apply. 1: events were lost, all will be looked at again. */
int tunnels_read(struct tunnels *t, struct err *e);
/* Look at everything again with the next apply. */
void tunnels_resync(struct tunnels *t);

const struct tunnel_status *tunnel_status(const struct tunnels *t, enum tunnel_kind k);

struct tunnel_counts {
	uint32_t peers;	  /* wanted */
	uint32_t waiting; /* entries for a device that is not there */
	uint32_t failed;  /* entries that the kernel refused */
	uint64_t written; /* device changes and entries, since the start */
	uint64_t removed;
	uint64_t recreated; /* devices that were taken away to be made anew */
};
struct tunnel_counts tunnel_counts(const struct tunnels *t);
