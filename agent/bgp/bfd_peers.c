/* bfd_peers.c - BFD with the BGP neighbours that want it
 * SHAPE  bgp/bfd.c says what happens; here are its sockets, its clock and who a packet is for. One
 *        timer per session; one socket to receive per family and port, made when it is needed.
 * LATE   When this process was late itself, packets of the neighbour wait in the socket: they are read
 *        before its silence is believed.
 * SPEC   RFC 5880 6.8.6 (whose packet), 5881 5 (TTL 255), 5882 4.2
 * TESTS  tests/netns/test_bfd.py; the state machine tests/unit/bgp/bfd.c */
#include "agent/bgp/bfd_peers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/agent.h"

enum {
	READ_MAX = 512, /* packets taken in one turn: a flood does not hold up the loop */
	RETRY_S = 5,	/* a socket that could not be made */
};

enum { ONE_HOP, MULTIHOP, WAYS };

/* Which session: compared as bytes, so zeroed before it is filled. */
struct key {
	struct addr peer;
	uint32_t ifindex;
};

struct peer {
	struct bfd_peers *b;
	struct bfd_want want;
	struct bfd_session session;
	int fd; /* -1: could not be made */
	struct event *timer;
	int64_t since_ms;
	uint64_t dropped;
	bool wanted;
	struct key key;
	UT_hash_handle hh;	/* by session.my_disc */
	UT_hash_handle by_path; /* by key */
};

struct bfd_peers {
	struct event_base *base;
	pthread_mutex_t *lock;
	bfd_report_fn *fn;
	void *arg;
	struct peer *peers, *paths; /* the same ones */
	struct {
		int fd; /* -1: not open */
		struct event *ev;
	} in[WAYS][2];
	struct event *retry;
	char trouble[256];
};

static int64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static uint32_t random_u32(void)
{
	uint32_t n;

	return getrandom(&n, sizeof(n), GRND_NONBLOCK) == sizeof(n) ? n : (uint32_t)now_us();
}

static struct key key_of(const struct addr *peer, uint32_t ifindex)
{
	struct key k;

	memset(&k, 0, sizeof(k));
	k.peer = *peer;
	k.ifindex = ifindex;
	return k;
}

/* ---- one session ---- */

static void arm(struct peer *p)
{
	int64_t at = bfd_deadline(&p->session), now = now_us(), in;
	struct timeval tv;

	if (at == INT64_MAX) {
		evtimer_del(p->timer);
		return;
	}
	in = at > now ? at - now : 0;
	tv = (struct timeval) { .tv_sec = in / 1000000, .tv_usec = in % 1000000 };
	evtimer_add(p->timer, &tv);
}

static void speak(struct peer *p)
{
	uint8_t out[BFD_PACKET_LEN];

	while (bfd_transmit(&p->session, out, now_us()))
		if (p->fd >= 0)
			bfd_socket_send(p->fd, out, sizeof(out));
}

/* After anything that happened to a session. */
static void settle(struct peer *p, enum bfd_event event)
{
	struct bfd_report r = { .kind = BFD_REPORT_EVENT,
				.path = p->want.path,
				.event = event,
				.diag = (uint8_t)p->session.diag,
				.remote_diag = (uint8_t)p->session.remote_diag };

	speak(p);
	arm(p);
	if (event == BFD_EVENT_NONE)
		return;
	p->since_ms = agent_now_ms();
	p->b->fn(p->b->arg, &r);
}

/* ---- packets ---- */

static void drop(struct bfd_peers *b, struct peer *p, const struct bfd_datagram *d, const char *why)
{
	struct bfd_report r = { .kind = BFD_REPORT_DROP,
				.path = { .peer = d->from, .ifindex = d->ifindex },
				.known = p != NULL };

	if (p)
		p->dropped++;
	str_copy(r.text, sizeof(r.text), why);
	b->fn(b->arg, &r);
}

static struct peer *by_disc(const struct bfd_peers *b, uint32_t disc)
{
	struct peer *p;

	HASH_FIND(hh, b->peers, &disc, sizeof(disc), p);
	return p;
}

static struct peer *by_path(const struct bfd_peers *b, const struct addr *peer, uint32_t ifindex)
{
	struct key k = key_of(peer, ifindex);
	struct peer *p;

	HASH_FIND(by_path, b->paths, &k, sizeof(k), p);
	return p;
}

/* RFC 5880 6.8.6: by "your discriminator"; before the neighbour knows it, by where it came from. */
static struct peer *whose(const struct bfd_peers *b, unsigned way, const struct bfd_datagram *d,
			  const struct bfd_packet *pkt, const char **why)
{
	struct peer *p = pkt->your_disc ? by_disc(b, pkt->your_disc)
					: by_path(b, &d->from, way == ONE_HOP ? d->ifindex : 0);

	*why = NULL;
	if (!p)
		*why = pkt->your_disc ? "its discriminator is no session's"
				      : "no neighbour of ours";
	else if (!addr_eq(&p->want.path.peer, &d->from))
		*why = "it comes from another address than that session's neighbour";
	else if ((p->want.path.ifindex != 0) != (way == ONE_HOP))
		*why = "one end speaks multihop, the other not: set multihop or singlehop in "
		       "margay.io/bfd";
	else if (way == ONE_HOP && p->want.path.ifindex != d->ifindex)
		*why = "it came over another link";
	return p;
}

static void take(struct bfd_peers *b, unsigned way, const struct bfd_datagram *d)
{
	size_t len = d->len > sizeof(d->bytes) ? 0 : d->len;
	struct bfd_packet pkt;
	const char *why = "";
	struct peer *p;

	/* RFC 5881 5: it was not sent on this link */
	if (way == ONE_HOP && d->ttl != BFD_TTL) {
		drop(b, NULL, d, "its TTL is not 255: it comes from farther than one hop");
		return;
	}
	if (!bfd_packet_decode(d->bytes, len, &pkt, &why)) {
		drop(b, NULL, d, why);
		return;
	}
	p = whose(b, way, d, &pkt, &why);
	if (why) {
		drop(b, p, d, why);
		return;
	}
	settle(p, bfd_receive(&p->session, &pkt, now_us()));
}

static void drain(struct bfd_peers *b)
{
	struct bfd_datagram d;

	for (unsigned way = 0; way < WAYS; way++)
		for (unsigned i = 0; i < ARRAY_SIZE(b->in[way]); i++)
			for (unsigned n = 0; n < READ_MAX && b->in[way][i].fd >= 0 &&
					     bfd_socket_receive(b->in[way][i].fd, &d);
			     n++)
				take(b, way, &d);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct bfd_peers *b = arg;

	pthread_mutex_lock(b->lock);
	drain(b);
	pthread_mutex_unlock(b->lock);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	pthread_mutex_lock(p->b->lock);
	if (now_us() >= p->session.expires_us)
		drain(p->b);
	settle(p, bfd_tick(&p->session, now_us()));
	pthread_mutex_unlock(p->b->lock);
}

/* ---- coming and going ---- */

static void retry_later(struct bfd_peers *b, const struct bfd_path *path, const char *why)
{
	static const struct timeval tv = { .tv_sec = RETRY_S };
	struct bfd_report r = { .kind = BFD_REPORT_TROUBLE, .path = *path };

	str_copy(r.text, sizeof(r.text), why);
	if (strcmp(b->trouble, why) != 0)
		b->fn(b->arg, &r);
	str_copy(b->trouble, sizeof(b->trouble), why);
	evtimer_add(b->retry, &tv);
}

static void listen_for(struct bfd_peers *b, const struct bfd_path *path)
{
	unsigned i = path->peer.family == IP_V6, way = path->ifindex ? ONE_HOP : MULTIHOP;
	struct err e = { 0 };
	int fd;

	if (b->in[way][i].fd >= 0)
		return;
	fd = bfd_socket_listen((enum ip_family)path->peer.family,
			       way == ONE_HOP ? BFD_PORT : BFD_PORT_MULTIHOP, &e);
	if (fd < 0) {
		retry_later(b, path, e.msg);
		return;
	}
	b->in[way][i].fd = fd;
	b->in[way][i].ev = event_new(b->base, fd, EV_READ | EV_PERSIST, on_readable, b);
	assert(b->in[way][i].ev);
	event_add(b->in[way][i].ev, NULL);
}

static void open_peer(struct peer *p)
{
	struct err e = { 0 };

	listen_for(p->b, &p->want.path);
	if (p->fd >= 0)
		return;
	p->fd = bfd_socket_open(&p->want.path, random_u32(), &e);
	if (p->fd >= 0)
		return;
	p->fd = -1;
	retry_later(p->b, &p->want.path, e.msg);
}

static uint32_t new_disc(const struct bfd_peers *b)
{
	uint32_t disc;

	do {
		disc = random_u32();
	} while (!disc || by_disc(b, disc));
	return disc;
}

static void peer_new(struct bfd_peers *b, const struct bfd_want *want)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->b = b;
	p->want = *want;
	p->fd = -1;
	p->wanted = true;
	p->since_ms = agent_now_ms();
	p->timer = evtimer_new(b->base, on_timer, p);
	assert(p->timer);
	bfd_session_init(&p->session, &want->timers, new_disc(b), random_u32(), now_us());
	p->key = key_of(&want->path.peer, want->path.ifindex);
	HASH_ADD(hh, b->peers, session.my_disc, sizeof(p->session.my_disc), p);
	HASH_ADD(by_path, b->paths, key, sizeof(p->key), p);
	open_peer(p);
	settle(p, BFD_EVENT_NONE);
}

/* The neighbour hears AdminDown, so that it does not take our going for a broken path. */
static void peer_free(struct peer *p)
{
	bfd_session_admin(&p->session, true, now_us());
	speak(p);
	HASH_DEL(p->b->peers, p);
	HASH_DELETE(by_path, p->b->paths, p);
	event_free(p->timer);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

static void peer_change(struct peer *p, const struct bfd_want *want)
{
	struct bfd_config *have = &p->want.timers;
	bool moved = !addr_eq(&p->want.path.source, &want->path.source) ||
		     strcmp(p->want.path.ifname, want->path.ifname) != 0,
	     timers = have->min_tx_us != want->timers.min_tx_us ||
		      have->min_rx_us != want->timers.min_rx_us || have->mult != want->timers.mult;

	p->wanted = true;
	p->want = *want;
	if (timers)
		bfd_session_configure(&p->session, &want->timers, now_us());
	if (moved && p->fd >= 0) {
		close(p->fd);
		p->fd = -1;
	}
	if (moved)
		open_peer(p);
	if (moved || timers)
		settle(p, BFD_EVENT_NONE);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct bfd_peers *b = arg;

	pthread_mutex_lock(b->lock);
	b->trouble[0] = '\0';
	for (struct peer *p = b->peers; p; p = p->hh.next)
		open_peer(p);
	pthread_mutex_unlock(b->lock);
}

struct bfd_peers *bfd_peers_new(struct event_base *base, pthread_mutex_t *lock, bfd_report_fn *fn,
				void *arg)
{
	struct bfd_peers *b = xcalloc(1, sizeof(*b));

	b->base = base;
	b->lock = lock;
	b->fn = fn;
	b->arg = arg;
	for (unsigned way = 0; way < WAYS; way++)
		b->in[way][0].fd = b->in[way][1].fd = -1;
	b->retry = evtimer_new(base, on_retry, b);
	assert(b->retry);
	return b;
}

static void stop_listening(struct bfd_peers *b)
{
	for (unsigned way = 0; way < WAYS; way++) {
		for (unsigned i = 0; i < ARRAY_SIZE(b->in[way]); i++) {
			if (b->in[way][i].fd < 0)
				continue;
			event_free(b->in[way][i].ev);
			close(b->in[way][i].fd);
			b->in[way][i].fd = -1;
		}
	}
}

void bfd_peers_free(struct bfd_peers *b)
{
	struct peer *p, *next;

	if (!b)
		return;
	HASH_ITER (hh, b->peers, p, next)
		peer_free(p);
	stop_listening(b);
	event_free(b->retry);
	free(b);
}

/* It was up over a link that its neighbour is no longer on: that path is broken. */
static void give_up(struct peer *p, const struct bfd_want *want, size_t n)
{
	struct bfd_report r = { .kind = BFD_REPORT_EVENT,
				.path = p->want.path,
				.event = BFD_EVENT_DOWN };
	struct bfd_peers *b = p->b;
	bool lost = false;

	if (p->session.state == BFD_UP)
		for (size_t i = 0; i < n && !lost; i++)
			lost = addr_eq(&want[i].path.peer, &r.path.peer);
	peer_free(p);
	if (lost)
		b->fn(b->arg, &r);
}

void bfd_peers_set(struct bfd_peers *b, const struct bfd_want *want, size_t n)
{
	struct peer *p, *next;

	for (p = b->peers; p; p = p->hh.next)
		p->wanted = false;
	for (size_t i = 0; i < n; i++) {
		p = by_path(b, &want[i].path.peer, want[i].path.ifindex);
		if (p)
			peer_change(p, &want[i]);
		else
			peer_new(b, &want[i]);
	}
	HASH_ITER (hh, b->peers, p, next)
		if (!p->wanted)
			give_up(p, want, n);
	if (!b->peers)
		stop_listening(b);
}

/* ---- questions ---- */

bool bfd_peers_status(const struct bfd_peers *b, const struct addr *peer, uint32_t ifindex,
		      struct bfd_peer_status *out)
{
	const struct peer *p = by_path(b, peer, ifindex);
	const struct bfd_session *s;

	if (!p)
		return false;
	s = &p->session;
	*out = (struct bfd_peer_status) {
		.path = p->want.path,
		.session = *s,
		.tx_us = s->tx_us > s->remote_min_rx_us ? s->tx_us : s->remote_min_rx_us,
		.since_ms = p->since_ms,
		.dropped = p->dropped,
	};
	return true;
}

const char *bfd_peers_trouble(const struct bfd_peers *b)
{
	return b->trouble;
}
