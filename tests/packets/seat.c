/* seat.c - where packets are sent and seen */
#include "tests/packets/seat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr.h"

enum { BUFFER = 4 << 20 };

static const uint8_t host_mac[6] = { 0xee, 0xee, 0xee, 0xee, 0xee, 0xee };

static int failed(const struct seat *s, const char *what, struct err *e)
{
	return err_set(e, -errno, "%s: %s: %s", s->name, what, strerror(errno));
}

static void add_in(struct seat *s, int fd)
{
	int size = BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	s->in[s->n_in++] = fd;
}

static int open_pod(struct seat *s, struct err *e)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = (int)if_nametoindex("eth0") };
	int fd, on = 1;

	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	if (fd < 0)
		return failed(s, "packet socket", e);
	add_in(s, fd);
	s->out[0] = s->out[1] = fd;
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		return failed(s, "packet socket on eth0", e);
	return 0;
}

static int open_raw(struct seat *s, int family, struct err *e)
{
	static const int protos[2][SEAT_PROTOS] = { { 6, 17, 132, 1, 47 }, { 6, 17, 132, 58, 47 } };
	int type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, v6 = family == AF_INET6, on = 1;

	for (int i = 0; i < SEAT_PROTOS; i++) {
		int fd = socket(family, type, protos[v6][i]);

		if (fd < 0)
			return failed(s, "raw socket", e);
		add_in(s, fd);
	}
	s->out[v6] = socket(family, type, IPPROTO_RAW);
	if (s->out[v6] < 0)
		return failed(s, "raw socket to send", e);
	if (v6 && setsockopt(s->out[v6], IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)) < 0)
		return failed(s, "IPV6_HDRINCL", e);
	return 0;
}

static int open_host(struct seat *s, struct err *e)
{
	int rc = open_raw(s, AF_INET, e);

	if (rc == 0)
		rc = open_raw(s, AF_INET6, e);
	s->flush = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (rc == 0 && s->flush < 0)
		rc = failed(s, "netlink socket", e);
	return rc;
}

int seat_open(struct seat *s, struct err *e)
{
	CLEANUP(closep) int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	CLEANUP(closep) int there = open(s->netns, O_RDONLY | O_CLOEXEC);
	int rc;

	s->flush = s->out[0] = s->out[1] = -1;
	s->n_in = 0;
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		return failed(s, s->netns, e);
	rc = s->host ? open_host(s, e) : open_pod(s, e);
	if (setns(home, CLONE_NEWNET) < 0)
		return failed(s, "back to the own namespace", e);
	return rc;
}

void seat_close(struct seat *s)
{
	for (int i = 0; i < s->n_in; i++)
		closep(&s->in[i]);
	for (int i = 0; s->host && i < 2; i++)
		closep(&s->out[i]);
	closep(&s->flush);
	s->n_in = 0;
}

static int send_frame(const struct seat *s, bool v6, const void *packet, size_t n)
{
	uint8_t frame[14 + FRAME_MAX];
	unsigned type = v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP;

	memcpy(frame, host_mac, 6);
	memset(frame + 6, 2, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
	memcpy(frame + 14, packet, n);
	return send(s->out[0], frame, 14 + n, 0) < 0 ? -errno : 0;
}

int seat_send(const struct seat *s, const struct addr *to, const void *packet, size_t n)
{
	bool v6 = to->family == IP_V6;
	struct sockaddr_storage ss;
	socklen_t len;

	if (!s->host)
		return send_frame(s, v6, packet, n);
	len = addr_to_sockaddr(to, 0, &ss);
	return sendto(s->out[v6], packet, n, 0, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

int seat_flush(const struct seat *s, struct err *e)
{
	struct {
		struct nlmsghdr h;
		struct nfgenmsg g;
	} ask = { .h = { .nlmsg_len = sizeof(ask),
			 .nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		  .g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0 } };
	char said[512];

	if (send(s->flush, &ask, sizeof(ask), 0) < 0 || recv(s->flush, said, sizeof(said), 0) < 0)
		return failed(s, "flush of conntrack", e);
	return 0;
}
