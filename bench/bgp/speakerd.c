/* speakerd.c - margay's speaker on real sockets, without datastore and kernel routes: what is measured
 * beside the other daemons, which run without their kernel parts as well
 *
 * Peers are 10.99.0.10 upwards in AS 65010 upwards, as load.c plays them.
 * RUN    bench-bgp-speakerd ADDRESS PEERS */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bgp/speaker.h"

enum { FIRST_HOST = 10, FIRST_AS = 65010, EVENTS = 64, BUDGET = 16384, READ = 65536 };

static int ep;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void watch(int op, int fd, bool write)
{
	struct epoll_event e = { .events = EPOLLIN | (write ? EPOLLOUT : 0), .data.fd = fd };

	epoll_ctl(ep, op, fd, &e);
}

/* A connection is called by its descriptor. */
static void write_all(struct bgp_speaker *sp, int fd)
{
	const void *p;
	size_t len;
	ssize_t n;

	while ((p = bgp_speaker_output(sp, (uint64_t)fd, &len, now_ms()))) {
		n = write(fd, p, len);
		if (n < 0) {
			watch(EPOLL_CTL_MOD, fd, errno == EAGAIN);
			return;
		}
		bgp_speaker_written(sp, (uint64_t)fd, (size_t)n, now_ms());
	}
	watch(EPOLL_CTL_MOD, fd, false);
}

static void accept_one(struct bgp_speaker *sp, int listener, const struct addr *local)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd = accept4(listener, (struct sockaddr *)&a, &len, SOCK_NONBLOCK | SOCK_CLOEXEC),
	    one = 1;
	struct addr remote;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	remote = addr_v4(ntohl(a.sin_addr.s_addr));
	watch(EPOLL_CTL_ADD, fd, false);
	if (!bgp_speaker_accept(sp, (uint64_t)fd, &remote, ntohs(a.sin_port), local, now_ms()))
		close(fd);
}

static void read_some(struct bgp_speaker *sp, int fd)
{
	static uint8_t buf[READ];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n > 0) {
		bgp_speaker_received(sp, (uint64_t)fd, buf, (size_t)n, now_ms());
	} else if (n == 0 || errno != EAGAIN) {
		bgp_speaker_closed(sp, (uint64_t)fd, "closed", now_ms());
		close(fd);
	}
}

static void effects(struct bgp_speaker *sp)
{
	struct bgp_fib_change change;
	struct bgp_effect e;

	while (bgp_speaker_next_effect(sp, &e)) {
		if (e.type == BGP_EFFECT_WRITE)
			write_all(sp, (int)e.conn);
		else if (e.type == BGP_EFFECT_CLOSE && !e.linger)
			close((int)e.conn);
		else if (e.type == BGP_EFFECT_LOG && e.level <= BGP_LEVEL_WARN)
			fprintf(stderr, "%s: %s\n", e.peer ? e.peer->name : "", e.text);
	}
	while (bgp_speaker_next_fib_change(sp, &change))
		;
}

static struct bgp_speaker *make(const struct addr *local, unsigned n)
{
	struct bgp_global g = { .local_as = 64512,
				.router_id = addr_to_v4(local),
				.local_v4 = *local,
				.max_paths = 1 };
	struct bgp_pool pool = { .cidr = { .addr = addr_v4(0), .len = 0 } };
	struct bgp_peer_config *p = calloc(n, sizeof(*p));
	struct bgp_speaker *sp = bgp_speaker_new(&g, 1);

	for (unsigned i = 0; i < n; i++) {
		p[i] = (struct bgp_peer_config) {
			.addr = addr_v4((addr_to_v4(local) & 0xffff0000u) + FIRST_HOST + i),
			.port = 179,
			.remote_as = FIRST_AS + i,
			.families = 1,
			.passive = true,
			.hold_s = 240
		};
		snprintf(p[i].name, sizeof(p[i].name), "peer%u", i);
	}
	bgp_speaker_set_pools(sp, &pool, 1, now_ms());
	bgp_speaker_set_peers(sp, p, n, now_ms());
	free(p);
	return sp;
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(179) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct epoll_event events[EVENTS];
	struct bgp_speaker *sp;
	struct addr local;
	bool more = false;

	if (argc < 3 || !addr_parse(argv[1], &local))
		return 2;
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	a.sin_addr.s_addr = htonl(addr_to_v4(&local));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 512) < 0) {
		perror("listen");
		return 1;
	}
	sp = make(&local, (unsigned)atoi(argv[2]));
	watch(EPOLL_CTL_ADD, listener, false);
	for (;;) {
		int64_t at = bgp_speaker_deadline(sp), left = at - now_ms();
		int n = epoll_wait(ep, events, EVENTS,
				   more		 ? 0
				   : left < 0	 ? 0
				   : left > 1000 ? 1000
						 : (int)left);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == listener)
				accept_one(sp, fd, &local);
			else if (events[i].events & EPOLLOUT)
				write_all(sp, fd);
			else
				read_some(sp, fd);
		}
		bgp_speaker_tick(sp, now_ms());
		more = bgp_speaker_run(sp, BUDGET, now_ms());
		effects(sp);
	}
}
