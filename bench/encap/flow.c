/* flow.c - how much comes through: a sender and a receiver, TCP or UDP, for bench/encap/run.py
 *
 *	bench-flow take tcp|udp ADDRESS PORT			prints "ready", then "BYTES PACKETS SECONDS"
 *	bench-flow give tcp|udp ADDRESS PORT SECONDS [SIZE]	SIZE: payload of a datagram
 *
 * One flow, as fast as it goes. The receiver counts, from the first byte to the last; of UDP what
 * arrives until nothing has come for half a second. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BLOCK = 128 << 10, /* of TCP, a write */
	BURST = 32,	   /* datagrams in a system call */
	DATAGRAM_MAX = 65507,
	SILENCE_MS = 500,
	PATIENCE_MS = 20000, /* until the first byte */
};

static void die(const char *what)
{
	fprintf(stderr, "bench-flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_in address(const char *text, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)strtoul(port, NULL, 10)) };

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
		errno = EINVAL;
		die(text);
	}
	return a;
}

static bool wait_for(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* ---- take ---- */

struct count {
	uint64_t bytes, packets;
	double first, last;
};

static void counted(struct count *c, uint64_t bytes, uint64_t packets)
{
	c->last = now();
	if (!c->packets)
		c->first = c->last;
	c->bytes += bytes;
	c->packets += packets;
}

static void take_tcp(int fd, struct count *c)
{
	static char buf[BLOCK];
	int conn = wait_for(fd, PATIENCE_MS) ? accept(fd, NULL, NULL) : -1;
	ssize_t n;

	if (conn < 0)
		die("accept");
	while ((n = read(conn, buf, sizeof(buf))) > 0)
		counted(c, (uint64_t)n, 1);
	close(conn);
}

static void take_udp(int fd, struct count *c)
{
	static char buf[BURST][2048];
	struct iovec iov[BURST];
	struct mmsghdr msg[BURST] = { 0 };

	for (int i = 0; i < BURST; i++) {
		iov[i] = (struct iovec) { buf[i], sizeof(buf[i]) };
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	while (wait_for(fd, c->packets ? SILENCE_MS : PATIENCE_MS)) {
		int n = recvmmsg(fd, msg, BURST, MSG_DONTWAIT, NULL);
		uint64_t bytes = 0;

		for (int i = 0; i < n; i++)
			bytes += msg[i].msg_len;
		if (n > 0)
			counted(c, bytes, (uint64_t)n);
	}
}

static int take(bool tcp, const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0), one = 1, room = 4 << 20;
	struct count c = { 0 };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!tcp)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
	    (tcp && listen(fd, 1) < 0))
		die("listen");
	puts("ready");
	fflush(stdout);
	if (tcp)
		take_tcp(fd, &c);
	else
		take_udp(fd, &c);
	printf("%llu %llu %.6f\n", (unsigned long long)c.bytes, (unsigned long long)c.packets,
	       c.last - c.first);
	close(fd);
	return 0;
}

/* ---- give ---- */

static void give_tcp(int fd, double until)
{
	static char buf[BLOCK];

	while (now() < until)
		if (write(fd, buf, sizeof(buf)) < 0)
			die("write");
}

static void give_udp(int fd, double until, size_t size)
{
	static char buf[DATAGRAM_MAX];
	struct iovec iov = { buf, size };
	struct mmsghdr msg[BURST] = { 0 };

	for (int i = 0; i < BURST; i++) {
		msg[i].msg_hdr.msg_iov = &iov;
		msg[i].msg_hdr.msg_iovlen = 1;
	}
	/* A queue that is full is what is measured. */
	while (now() < until)
		if (sendmmsg(fd, msg, BURST, 0) < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
			die("send");
}

static int give(bool tcp, const struct sockaddr_in *to, double seconds, size_t size)
{
	int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		die("connect");
	if (tcp)
		give_tcp(fd, now() + seconds);
	else
		give_udp(fd, now() + seconds, size);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a;
	bool tcp;

	if (argc < 5 || (strcmp(argv[2], "tcp") && strcmp(argv[2], "udp")))
		goto usage;
	tcp = !strcmp(argv[2], "tcp");
	a = address(argv[3], argv[4]);
	if (!strcmp(argv[1], "take") && argc == 5)
		return take(tcp, &a);
	if (!strcmp(argv[1], "give") && (argc == 6 || argc == 7)) {
		size_t size = argc == 7 ? strtoul(argv[6], NULL, 10) : 1;

		if (size && size <= DATAGRAM_MAX)
			return give(tcp, &a, strtod(argv[5], NULL), size);
	}
usage:
	fprintf(stderr, "usage: bench-flow take tcp|udp ADDRESS PORT\n"
			"       bench-flow give tcp|udp ADDRESS PORT SECONDS [SIZE]\n");
	return 2;
}
