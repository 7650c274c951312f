/* bgp_listen.c - where BGP peers reach us
 * SHAPE  Wanted against actual: address and port of each family; the MD5 key of each peer. A
 *        listener whose address or port changed is made anew with all keys. */
#include "agent/bgp/bgp_listen.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/bgp/bgp_keys.h"
#include "agent/bgp/bgp_socket.h"
#include "agent/log.h"

enum {
	RETRY_S = 5,	 /* a port that was taken */
	ACCEPT_MAX = 64, /* connections taken in one turn of the loop */
	FAMILIES = 2,
};

struct listener {
	struct bgp_listen *l;
	enum ip_family family;
	bool wanted;
	struct addr addr;
	uint16_t port;
	int fd; /* -1: none */
	struct event *ev;
	struct bgp_keys want, keys; /* what is to be, as the kernel has them */
	char trouble[256];
};

struct bgp_listen {
	struct event_base *base;
	bgp_accept_fn *fn;
	void *arg;
	struct event *retry;
	struct listener of[FAMILIES];
	bool security; /* some peer wants TTL security */
};

static void close_listener(struct listener *s)
{
	if (s->ev)
		event_free(s->ev);
	s->ev = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	vec_clear(&s->keys);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *s = arg;

	for (unsigned i = 0; i < ACCEPT_MAX && s->fd == fd; i++) {
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct addr from;
		uint16_t port;
		int conn = accept4(fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (conn < 0)
			return;
		if (!addr_from_sockaddr((struct sockaddr *)&ss, &from, &port)) {
			close(conn);
			continue;
		}
		s->l->fn(s->l->arg, conn, &from, bgp_socket_link(&ss, &from), port);
	}
}

static const struct bgp_key *key_of(const struct bgp_keys *keys, const struct prefix *from)
{
	for (size_t i = 0; i < keys->n; i++)
		if (prefix_eq(&keys->p[i].from, from))
			return &keys->p[i];
	return NULL;
}

static void set_key(struct listener *s, const struct prefix *from, const char *password)
{
	struct err e = { 0 };
	char text[PREFIX_STR_MAX];

	if (bgp_socket_listen_key(s->fd, from, password, &e) < 0)
		log_from("md5", LOG_LEVEL_ERROR, "bgp", "a peer with a password cannot dial us",
			 "peer=%s why=%s", prefix_format(from, text), e.msg);
}

/* Bring the kernel's keys of this listener to what is wanted: the new ones first, so that nobody is
 * without one in between. */
static void sync_keys(struct listener *s)
{
	for (size_t i = 0; i < s->want.n; i++) {
		const struct bgp_key *old = key_of(&s->keys, &s->want.p[i].from);

		if (!old || strcmp(old->password, s->want.p[i].password) != 0)
			set_key(s, &s->want.p[i].from, s->want.p[i].password);
	}
	for (size_t i = 0; i < s->keys.n; i++)
		if (!key_of(&s->want, &s->keys.p[i].from))
			set_key(s, &s->keys.p[i].from, "");
	vec_clear(&s->keys);
	for (size_t i = 0; i < s->want.n; i++)
		vec_push(&s->keys, s->want.p[i]);
	bgp_socket_listen_ttl(s->fd, s->family, s->l->security);
}

static void open_listener(struct listener *s)
{
	struct err e = { 0 };

	s->fd = bgp_socket_listen(&s->addr, s->port, &e);
	/* A kernel without IPv6 needs no listener for it. */
	if (s->fd == -EAFNOSUPPORT && s->family == IP_V6) {
		s->wanted = false;
		s->fd = -1;
		return;
	}
	if (s->fd < 0) {
		const struct timeval tv = { .tv_sec = RETRY_S };

		if (strcmp(s->trouble, e.msg) != 0)
			log_error("bgp", "cannot listen for peers; trying again", "why=%s in_s=%d",
				  e.msg, RETRY_S);
		str_copy(s->trouble, sizeof(s->trouble), e.msg);
		s->fd = -1;
		evtimer_add(s->l->retry, &tv);
		return;
	}
	if (s->trouble[0])
		log_info("bgp", "listening for peers again", "port=%u", s->port);
	s->trouble[0] = '\0';
	s->ev = event_new(s->l->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
	assert(s->ev);
	event_add(s->ev, NULL);
}

static void sync_listener(struct listener *s)
{
	if (!s->wanted) {
		close_listener(s);
		s->trouble[0] = '\0';
		return;
	}
	if (s->fd < 0)
		open_listener(s);
	if (s->fd >= 0)
		sync_keys(s);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct bgp_listen *l = arg;

	for (unsigned i = 0; i < FAMILIES; i++)
		sync_listener(&l->of[i]);
}

struct bgp_listen *bgp_listen_new(struct event_base *base, bgp_accept_fn *fn, void *arg)
{
	struct bgp_listen *l = xcalloc(1, sizeof(*l));

	l->base = base;
	l->fn = fn;
	l->arg = arg;
	l->retry = evtimer_new(base, on_retry, l);
	assert(l->retry);
	for (unsigned i = 0; i < FAMILIES; i++)
		l->of[i] = (struct listener) { .l = l, .family = i ? IP_V6 : IP_V4, .fd = -1 };
	return l;
}

void bgp_listen_free(struct bgp_listen *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < FAMILIES; i++) {
		close_listener(&l->of[i]);
		bgp_keys_done(&l->of[i].keys);
		bgp_keys_done(&l->of[i].want);
	}
	event_free(l->retry);
	free(l);
}

static void want_listener(struct listener *s, bool wanted, const struct addr *addr, uint16_t port)
{
	if (s->fd >= 0 && (!wanted || s->port != port || !addr_eq(&s->addr, addr)))
		close_listener(s);
	s->wanted = wanted;
	s->addr = *addr;
	s->port = port;
}

static void want_keys(struct listener *s, const struct bgp_peer_configs *peers)
{
	struct bgp_keys all = { 0 };

	for (size_t i = 0; i < peers->n; i++) {
		const struct bgp_peer_config *p = &peers->p[i];
		struct bgp_key key = { .from = prefix_of(&p->addr, addr_bits(s->family)) };

		if (p->addr.family != s->family)
			continue;
		str_copy(key.password, sizeof(key.password), p->password);
		vec_push(&all, key);
	}
	vec_clear(&s->want);
	bgp_keys_cover(&all, &s->want);
	bgp_keys_done(&all);
}

void bgp_listen_set(struct bgp_listen *l, const struct bgp_global *only, uint16_t port,
		    const struct bgp_peer_configs *peers)
{
	bool any[FAMILIES] = { false, peers->on_links };

	l->security = false;
	for (size_t i = 0; i < peers->n; i++) {
		const struct bgp_peer_config *p = &peers->p[i];

		any[p->addr.family == IP_V6] = true;
		l->security = l->security || p->ttl_security;
	}
	for (unsigned i = 0; i < FAMILIES; i++) {
		struct listener *s = &l->of[i];
		struct addr addr = { .family = i ? IP_V6 : IP_V4 };

		/* who dials a link-local address does not dial the node's */
		if (only && !(i && peers->on_links))
			addr = i ? only->local_v6 : only->local_v4;
		want_listener(s, any[i] && addr.family != IP_NONE, &addr, port);
		want_keys(s, peers);
		sync_listener(s);
	}
}

const char *bgp_listen_trouble(const struct bgp_listen *l)
{
	for (unsigned i = 0; i < FAMILIES; i++)
		if (l->of[i].trouble[0])
			return l->of[i].trouble;
	return NULL;
}
