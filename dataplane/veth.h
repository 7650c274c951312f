/* veth.h - the messages that make, inspect and take away a pod's interface. The CNI plugin sends
 * them; nothing here waits or allocates beyond the buffer. */
#pragma once

#include "dataplane/nlmsg.h"

/* The name's size in the kernel, with its NUL. */
enum { VETH_NAME_MAX = 16 };

/* 169.254.1.1, which no interface holds: the host answers ARP for it. */
struct addr veth_gateway(void);
/* ee:ee:ee:ee:ee:ee, the host end's MAC of every pod. */
extern const uint8_t veth_host_mac[6];
/* The link-local address that follows from a MAC; for the one above fe80::ecee:eeff:feee:eeee. */
struct addr veth_link_local(const uint8_t mac[static 6]);

struct veth {
	const char *pod_name;
	uint32_t pod_index;	/* wanted and free: the routes of the same batch need it */
	const uint8_t *pod_mac; /* 6 bytes */
	const char *host_name;
	const uint8_t *host_mac; /* 6 bytes */
	int host_ns;		 /* descriptor of the namespace for the host end */
	uint32_t mtu;		 /* 0: the kernel's 1500 */
	uint32_t queues;
};

/* The pair, in one message: pod end in the namespace of the socket, up; host end created directly
 * in its own namespace, so that nobody there sees it under another name or MAC. It is down still:
 * veth_put_host_up. */
void veth_put_pair(struct nl_buf *b, const struct veth *v);
/* Host end up; for IPv6 with the link-local address that its MAC gives whatever the host's default
 * is. */
void veth_put_host_up(struct nl_buf *b, uint32_t index, bool v6);
/* dst through the interface, by a gateway (NULL: directly, scope link for IPv4). */
void veth_put_route(struct nl_buf *b, uint32_t index, const struct prefix *dst,
		    const struct addr *gw);
void veth_put_addr(struct nl_buf *b, uint32_t index, const struct prefix *p);
void veth_put_delete(struct nl_buf *b, uint32_t index);
/* Ask for one link by name. */
void veth_put_query(struct nl_buf *b, const char *name);

/* Interface index of a name, 0 when there is none; is an index taken? In the namespace of the
 * socket fd, by ioctl: quicker than a message. */
uint32_t veth_index(int fd, const char *name);
bool veth_index_taken(int fd, uint32_t index);
