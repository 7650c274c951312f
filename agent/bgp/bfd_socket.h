/* bfd_socket.h - UDP sockets as BFD wants them.
 *
 * SPEC  RFC 5881 4, 5 (port 3784, TTL 255, a source port of its own per session), RFC 5883 5 (4784).
 *       All sockets are non-blocking. */
#pragma once

#include "bgp/bfd.h"
#include "lib/addr.h"
#include "lib/err.h"

enum { BFD_TTL = 255 };

/* One end of one session. */
struct bfd_path {
	struct addr peer, source; /* source IP_NONE: the kernel chooses */
	uint32_t ifindex;	  /* one hop: the link that the peer is on; 0: multihop */
	char ifname[16];
};

/* What came. len may be more than bytes has room for: then it is too long to be BFD. */
struct bfd_datagram {
	struct addr from;
	uint32_t ifindex; /* on which it came; 0: the kernel did not say */
	int ttl;	  /* -1: the kernel did not say */
	size_t len;
	uint8_t bytes[64];
};

/* Where all neighbours' packets come in: all addresses of a family. The descriptor, or a negative
 * errno with words. */
int bfd_socket_listen(enum ip_family family, uint16_t port, struct err *e);
/* False: nothing more to read now. */
bool bfd_socket_receive(int fd, struct bfd_datagram *out);
/* To send from: bound to the source, one hop also to the link, and to a free port from
 * BFD_SOURCE_PORT_MIN on; random spreads them. */
int bfd_socket_open(const struct bfd_path *path, uint32_t random, struct err *e);
/* What cannot be sent is lost, as on a broken link. */
void bfd_socket_send(int fd, const uint8_t *bytes, size_t len);
