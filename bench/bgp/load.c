/* load.c - the neutral load: peers that announce routes to a BGP daemon, and peers that hear of them
 *
 * WHY    Every daemon is measured by the same bytes and the same clock, and none of them by its own
 *        tools. Nothing of the speaker is in here but the byte cursors.
 * SHAPE  senders and receivers connect from addresses of their own, 10.99.0.10 upwards, each in an AS
 *        of its own, 65010 upwards. When all are Established and quiet, the clock starts with the first
 *        byte of an UPDATE and stops when each receiver has heard of each prefix; the same for the
 *        withdrawals. All UPDATEs are made before.
 *        Between both one more receiver connects: how long after Established does it hear its first
 *        route, and how long until it has all?
 * OUT    one line of JSON: seconds of each, messages and bytes heard by the first receiver
 * RUN    bench-bgp-load TARGET SENDERS RECEIVERS ROUTES PER_UPDATE [same|share|hold]
 *        same: every sender announces all prefixes, and at last one of its own: when that is heard, all of
 *        its routes have been dealt with and not only the first sender's
 *        share: each one its part (the default)
 *        hold: no receiver; "up" is printed when all are Established, and what a line on standard
 *        input then says is done: "announce", "withdraw"; sessions stay until its end */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"

enum {
	PEERS_MAX = 1100,
	MSG_MAX = 4096,
	FIRST_HOST = 10,
	FIRST_AS = 65010,
	GIVE_UP_S = 600,
	QUIET_MS = 300,
	KEEPALIVE_S = 60, /* of a hold time of 240 */
};

struct stream {
	uint8_t *p;
	size_t n, cap, at;
};

struct peer {
	int fd;
	uint32_t addr;
	uint32_t as;
	bool up;
	double up_at, first_at; /* Established, first UPDATE; 0: not yet */
	struct stream announce, withdraw;
	struct stream *out; /* what is being sent; NULL: nothing */
	uint8_t in[1 << 18];
	size_t n_in;
	uint8_t *has; /* receivers: a byte a prefix */
	size_t count, messages, bytes;
};

static struct peer *peers[PEERS_MAX];
static unsigned n_senders, n_receivers;
static size_t n_routes; /* that a receiver shall hear */
static double last_heard;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bgp-load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- what is sent ---- */

static uint8_t *room(struct stream *s)
{
	if (s->n + MSG_MAX > s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1 << 16;
		s->p = realloc(s->p, s->cap);
		if (!s->p)
			die("memory");
	}
	return s->p + s->n;
}

static struct wr message(struct stream *s, uint8_t type)
{
	struct wr w = wr_init(room(s), MSG_MAX);

	memset(wr_skip(&w, 16), 0xff, 16);
	wr_u16(&w, 0);
	wr_u8(&w, type);
	return w;
}

static void message_end(struct stream *s, struct wr *w)
{
	put_u16(w->start + 16, (uint16_t)wr_len(w));
	s->n += wr_len(w);
}

static void put_route(struct wr *w, size_t i)
{
	uint32_t a = 0x14000000u + (uint32_t)i * 64;

	wr_u8(w, 26);
	wr_u32(w, a); /* a /26 needs its four bytes */
}

/* The second AS makes each UPDATE's attributes another set. */
static void make_announcements(struct peer *p, size_t from, size_t to, size_t per)
{
	for (size_t i = from; i < to;) {
		struct wr w = message(&p->announce, 2);
		size_t set = i / per, end = i + per < to ? i + per : to;

		wr_u16(&w, 0);
		wr_u16(&w, 4 + 3 + 14 + 7);
		wr_bytes(&w, "\x40\x01\x01\x00", 4);
		wr_bytes(&w, "\x40\x02\x0e\x02\x03", 5);
		wr_u32(&w, p->as);
		wr_u32(&w, (uint32_t)(100000 + set / 50000));
		wr_u32(&w, (uint32_t)(200000 + set % 50000));
		wr_bytes(&w, "\x40\x03\x04", 3);
		wr_u32(&w, p->addr);
		for (; i < end; i++)
			put_route(&w, i);
		message_end(&p->announce, &w);
	}
}

static void make_withdrawals(struct peer *p, size_t from, size_t to)
{
	for (size_t i = from; i < to;) {
		struct wr w = message(&p->withdraw, 2);
		size_t end = i + 800 < to ? i + 800 : to;

		wr_u16(&w, (uint16_t)((end - i) * 5));
		for (; i < end; i++)
			put_route(&w, i);
		wr_u16(&w, 0);
		message_end(&p->withdraw, &w);
	}
}

static void make_streams(struct peer *p, size_t from, size_t to, size_t per)
{
	make_announcements(p, from, to, per);
	make_withdrawals(p, from, to);
}

static void say_open(struct peer *p)
{
	struct stream s = { 0 };
	struct wr w = message(&s, 1);

	wr_u8(&w, 4);
	wr_u16(&w, (uint16_t)(p->as > 65535 ? 23456 : p->as));
	wr_u16(&w, 240);
	wr_u32(&w, p->addr);
	wr_bytes(&w, "\x10\x02\x0e\x01\x04\x00\x01\x00\x01\x02\x00\x41\x04", 13);
	wr_u32(&w, p->as);
	message_end(&s, &w);
	w = message(&s, 4);
	message_end(&s, &w);
	if (write(p->fd, s.p, s.n) != (ssize_t)s.n)
		die("OPEN");
	free(s.p);
}

static void say_keepalive(struct peer *p)
{
	struct stream s = { 0 };
	struct wr w = message(&s, 4);

	message_end(&s, &w);
	if (write(p->fd, s.p, s.n) != (ssize_t)s.n)
		die("KEEPALIVE");
	free(s.p);
}

/* ---- what is heard ---- */

static void hear_prefixes(struct peer *p, struct rd *r, bool announced)
{
	while (rd_left(r)) {
		uint8_t len = rd_u8(r);
		size_t n = (size_t)(len + 7) / 8;
		const uint8_t *b = rd_bytes(r, n);
		uint8_t a[4] = { 0 };
		size_t i;

		if (!b || n > 4)
			die("a prefix is malformed");
		memcpy(a, b, n);
		i = ((size_t)((uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 |
			      a[3]) -
		     0x14000000u) /
		    64;
		if (len != 26 || i >= n_routes || p->has[i] == announced)
			continue;
		p->has[i] = announced;
		p->count += announced ? 1 : SIZE_MAX;
	}
}

static void hear(struct peer *p, uint8_t type, const uint8_t *body, size_t len)
{
	struct rd r = rd_init(body, len), withdrawn;

	p->messages++;
	if (type == 3) {
		fprintf(stderr, "bgp-load: NOTIFICATION %u/%u\n", body[0], body[1]);
		exit(1);
	}
	if (type == 4 && !p->up) {
		p->up = true;
		p->up_at = now();
	}
	/* an End-of-RIB says nothing */
	if (type != 2 || len <= 4)
		return;
	last_heard = now();
	p->first_at = p->first_at > 0 ? p->first_at : last_heard;
	if (!p->has)
		return;
	withdrawn = rd_sub(&r, rd_u16(&r));
	rd_sub(&r, rd_u16(&r));
	hear_prefixes(p, &withdrawn, false);
	hear_prefixes(p, &r, true);
}

static void read_some(struct peer *p)
{
	ssize_t got = read(p->fd, p->in + p->n_in, sizeof(p->in) - p->n_in);
	size_t at = 0;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		die("the daemon closed");
	p->bytes += (size_t)got;
	p->n_in += (size_t)got;
	while (p->n_in - at >= 19) {
		size_t len = (size_t)(p->in[at + 16] << 8 | p->in[at + 17]);

		if (len < 19)
			die("a message is malformed");
		if (p->n_in - at < len)
			break;
		hear(p, p->in[at + 18], p->in + at + 19, len - 19);
		at += len;
	}
	memmove(p->in, p->in + at, p->n_in - at);
	p->n_in -= at;
}

static void write_some(struct peer *p)
{
	struct stream *s = p->out;
	size_t n = s->n - s->at < 1 << 16 ? s->n - s->at : 1 << 16;
	ssize_t put = write(p->fd, s->p + s->at, n);

	if (put < 0 && errno != EAGAIN)
		die("write");
	s->at += put > 0 ? (size_t)put : 0;
	if (s->at == s->n)
		p->out = NULL;
}

/* ---- phases ---- */

static void turn(int ms)
{
	static struct pollfd fds[PEERS_MAX];
	unsigned n = n_senders + n_receivers;

	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd) { .fd = peers[i]->fd,
					   .events = (short)(POLLIN |
							     (peers[i]->out ? POLLOUT : 0)) };
	if (poll(fds, n, ms) < 0)
		die("poll");
	for (unsigned i = 0; i < n; i++) {
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			read_some(peers[i]);
		if (fds[i].revents & POLLOUT)
			write_some(peers[i]);
	}
}

static bool all_up(void)
{
	for (unsigned i = 0; i < n_senders + n_receivers; i++) {
		if (!peers[i]->up)
			return false;
	}
	return true;
}

static bool all_have(size_t count)
{
	for (unsigned i = n_senders; i < n_senders + n_receivers; i++) {
		if (peers[i]->count != count)
			return false;
	}
	return true;
}

static double phase(size_t want)
{
	double begin = now();

	while (!all_have(want)) {
		turn(1000);
		if (now() - begin > GIVE_UP_S) {
			fprintf(stderr, "bgp-load: %zu of %zu after %d s\n",
				peers[n_senders]->count, want, GIVE_UP_S);
			exit(1);
		}
	}
	return now() - begin;
}

static int dial(uint32_t from, uint32_t to)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(from) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die("bind");
	a.sin_addr.s_addr = htonl(to);
	a.sin_port = htons(179);
	for (int tries = 0; connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0; tries++) {
		if (tries > 200)
			die("connect");
		usleep(50000);
		close(fd);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		a.sin_addr.s_addr = htonl(from);
		a.sin_port = 0;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
			die("bind");
		a.sin_addr.s_addr = htonl(to);
		a.sin_port = htons(179);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static struct peer *join(uint32_t target, unsigned i)
{
	struct peer *p = peers[i] = calloc(1, sizeof(*p));

	if (!p)
		die("memory");
	p->addr = (target & 0xffff0000u) + FIRST_HOST + i;
	p->as = FIRST_AS + i;
	p->fd = dial(p->addr, target);
	say_open(p);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	return p;
}

static void join_receiver(uint32_t target)
{
	struct peer *p = join(target, n_senders + n_receivers);

	p->has = calloc(n_routes, 1);
	n_receivers++;
}

/* All are Established and the daemon has nothing more to say. */
static void settle(void)
{
	double begin = last_heard = now();

	while (!all_up() || now() - last_heard < QUIET_MS / 1e3) {
		turn(50);
		if (now() - begin > 120)
			die("not Established after 120 s");
	}
}

static void send_all(bool announce)
{
	for (unsigned i = 0; i < n_senders; i++)
		peers[i]->out = announce ? &peers[i]->announce : &peers[i]->withdraw;
}

/* A receiver that comes when the table is there. */
static void late_receiver(uint32_t target)
{
	struct peer *p;
	double begin;

	join_receiver(target);
	p = peers[n_senders + n_receivers - 1];
	begin = now();
	while (p->count != n_routes) {
		turn(1);
		if (now() - begin > GIVE_UP_S)
			die("a receiver that came late has not heard of all routes");
	}
	printf("\"first_s\": %.5f, \"late_s\": %.4f, ", p->first_at - p->up_at, now() - p->up_at);
}

static void measure(uint32_t target)
{
	send_all(true);
	printf("{\"announce_s\": %.4f, ", phase(n_routes));
	/* others may still be told what this one was told last */
	for (double t = now(); now() - t < 0.5 || now() - last_heard < 0.5;)
		turn(50);
	late_receiver(target);
	send_all(false);
	printf("\"withdraw_s\": %.4f, ", phase(0));
	printf("\"messages\": %zu, \"bytes\": %zu}\n", peers[n_senders]->messages,
	       peers[n_senders]->bytes);
}

/* Sessions as somebody else wants them, who says what to send. */
static void hold(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	/* no spinning: who is measured may share the core's other half */
	const int patience_ms = 5;
	double said = now();
	char line[32];

	setvbuf(stdin, NULL, _IONBF, 0);
	printf("up\n");
	fflush(stdout);
	for (;;) {
		turn(patience_ms);
		if (now() - said > KEEPALIVE_S) {
			for (unsigned i = 0; i < n_senders; i++)
				say_keepalive(peers[i]);
			said = now();
		}
		if (poll(&in, 1, 0) <= 0)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return;
		send_all(line[0] == 'a');
	}
}

int main(int argc, char **argv)
{
	const char *mode = argc > 6 ? argv[6] : "share";
	bool same = strcmp(mode, "same") == 0, holds = strcmp(mode, "hold") == 0;
	struct in_addr addr;
	unsigned receivers;
	uint32_t target;
	size_t per, routes;

	if (argc < 6 || !inet_aton(argv[1], &addr)) {
		fprintf(stderr, "usage: bgp-load TARGET SENDERS RECEIVERS ROUTES PER_UPDATE "
				"[same|share|hold]\n");
		return 2;
	}
	target = ntohl(addr.s_addr);
	n_senders = (unsigned)atoi(argv[2]);
	receivers = (unsigned)atoi(argv[3]);
	n_routes = (size_t)atol(argv[4]);
	per = (size_t)atol(argv[5]);
	if (!n_senders || (!receivers && !holds) || n_senders + receivers >= PEERS_MAX || !per ||
	    per > 700)
		return 2;
	routes = n_routes;
	n_routes += same ? n_senders : 0;
	for (unsigned i = 0; i < n_senders; i++) {
		struct peer *p = join(target, i);
		size_t share = routes / n_senders, from = same ? 0 : i * share;
		size_t to = same || i == n_senders - 1 ? routes : from + share;

		make_streams(p, from, to, per);
		if (same)
			make_streams(p, routes + i, routes + i + 1, per);
	}
	while (receivers--)
		join_receiver(target);
	settle();
	if (holds)
		hold();
	else
		measure(target);
	return 0;
}
