/* bfd_socket.c - UDP sockets as BFD wants them
 * WHY    A socket for each session that only sends: its source port must be the session's own (RFC
 *        5881 4), and bound to the link it cannot leave by another one when that link is gone.
 *        Packets come in on one socket per family and port, since a neighbour sends to the
 *        well-known port. */
#include "agent/bgp/bfd_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TOS_CS6 = 0xc0,
	PRIORITY = 6,		 /* TC_PRIO_INTERACTIVE: before bulk in the queue of the link */
	RECEIVE_BYTES = 1 << 20, /* packets of thousands of neighbours while we do something else */
	PORT_TRIES = 64,
	PORTS = 65536 - BFD_SOURCE_PORT_MIN,
};

static int fail(int fd, const char *what, struct err *e)
{
	int code = -errno;

	if (fd >= 0)
		close(fd);
	return err_set(e, code, "%s: %s", what, strerror(-code));
}

static int new_socket(enum ip_family family)
{
	return socket(family == IP_V6 ? AF_INET6 : AF_INET,
		      SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
}

static bool set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* ---- receiving ---- */

int bfd_socket_listen(enum ip_family family, uint16_t port, struct err *e)
{
	struct addr any = { .family = (uint8_t)family };
	struct sockaddr_storage ss;
	unsigned len = addr_to_sockaddr(&any, port, &ss);
	int fd = new_socket(family);
	bool v6 = family == IP_V6;

	if (fd < 0)
		return fail(fd, "cannot make a socket", e);
	if ((v6 && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) ||
	    !(v6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
		 : set_int(fd, IPPROTO_IP, IP_RECVTTL, 1)) ||
	    !(v6 ? set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
		 : set_int(fd, IPPROTO_IP, IP_PKTINFO, 1)))
		return fail(fd, "cannot ask for the TTL", e);
	if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES))
		set_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
	if (bind(fd, (struct sockaddr *)&ss, len) < 0) {
		fail(fd, "cannot listen", e);
		return err_wrap(e, "BFD port %u", port);
	}
	return fd;
}

static void take_control(const struct cmsghdr *c, struct bfd_datagram *out)
{
	struct in6_pktinfo six;
	struct in_pktinfo four;

	if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
	    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
		memcpy(&out->ttl, CMSG_DATA(c), sizeof(out->ttl));
	} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
		memcpy(&four, CMSG_DATA(c), sizeof(four));
		out->ifindex = (uint32_t)four.ipi_ifindex;
	} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&six, CMSG_DATA(c), sizeof(six));
		out->ifindex = six.ipi6_ifindex;
	}
}

bool bfd_socket_receive(int fd, struct bfd_datagram *out)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control;
	struct sockaddr_storage from;
	struct iovec iov = { .iov_base = out->bytes, .iov_len = sizeof(out->bytes) };
	struct msghdr msg = { .msg_name = &from,
			      .msg_namelen = sizeof(from),
			      .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_TRUNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return false;
	out->from = (struct addr) { .family = IP_NONE };
	out->ifindex = 0;
	out->ttl = -1;
	out->len = (size_t)n;
	addr_from_sockaddr((struct sockaddr *)&from, &out->from, NULL);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		take_control(c, out);
	return true;
}

/* ---- sending ---- */

static unsigned to_sockaddr(const struct addr *a, uint16_t port, uint32_t ifindex,
			    struct sockaddr_storage *ss)
{
	unsigned len = addr_to_sockaddr(a, port, ss);

	if (a->family == IP_V6 && addr_is_link_local(a))
		((struct sockaddr_in6 *)ss)->sin6_scope_id = ifindex;
	return len;
}

static int bind_port(int fd, const struct bfd_path *path, uint32_t random, struct err *e)
{
	struct addr any = { .family = path->peer.family };
	const struct addr *from = path->source.family ? &path->source : &any;
	struct sockaddr_storage ss;

	for (unsigned i = 0; i < PORT_TRIES; i++) {
		uint16_t port = (uint16_t)(BFD_SOURCE_PORT_MIN + (random + i * 7919u) % PORTS);
		unsigned len = to_sockaddr(from, port, path->ifindex, &ss);

		if (bind(fd, (struct sockaddr *)&ss, len) == 0)
			return 0;
		if (errno != EADDRINUSE)
			break;
	}
	return err_set(e, -errno, "cannot bind a source port: %s", strerror(errno));
}

static bool set_options(int fd, const struct bfd_path *path)
{
	bool v6 = path->peer.family == IP_V6;

	/* these two only help */
	set_int(fd, SOL_SOCKET, SO_PRIORITY, PRIORITY);
	if (v6)
		set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, TOS_CS6);
	else
		set_int(fd, IPPROTO_IP, IP_TOS, TOS_CS6);
	if (path->ifindex && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, path->ifname,
					(socklen_t)strlen(path->ifname) + 1) < 0)
		return false;
	return v6 ? set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, BFD_TTL)
		  : set_int(fd, IPPROTO_IP, IP_TTL, BFD_TTL);
}

int bfd_socket_open(const struct bfd_path *path, uint32_t random, struct err *e)
{
	uint16_t port = path->ifindex ? BFD_PORT : BFD_PORT_MULTIHOP;
	struct sockaddr_storage to;
	unsigned len = to_sockaddr(&path->peer, port, path->ifindex, &to);
	int fd = new_socket((enum ip_family)path->peer.family), rc;

	if (fd < 0)
		return fail(fd, "cannot make a socket", e);
	if (!set_options(fd, path))
		return fail(fd, "cannot set its link and TTL", e);
	rc = bind_port(fd, path, random, e);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	if (connect(fd, (struct sockaddr *)&to, len) < 0)
		return fail(fd, "cannot reach the neighbour", e);
	return fd;
}

void bfd_socket_send(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

	/* An ICMP error of an earlier packet is told once instead of sending this one. */
	if (n < 0 && errno == ECONNREFUSED && send(fd, bytes, len, MSG_NOSIGNAL) < 0)
		return;
}
