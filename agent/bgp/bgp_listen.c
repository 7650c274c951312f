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

#include "agent/bgp/bgp_socket.h"
#include "agent/log.h"

enum {
	RETRY_S = 5,	 /* a port that was taken */
	ACCEPT_MAX = 64, /* connections taken in one turn of the loop */
	FAMILIES = 2,
};

struct key {
	struct addr from;
	char password[81];
};

struct listener {
	struct bgp_listen *l;
	enum ip_family family;
	bool wanted;
	struct addr addr;
	uint16_t port;
	int fd; /* -1: none */
	struct event *ev;
	VEC(struct key) keys; /* as the kernel has them */
	char trouble[256];
};

struct bgp_listen {
	struct event_base *base;
	bgp_accept_fn *fn;
	void *arg;
	struct event *retry;
	struct listener of[FAMILIES];
	VEC(struct key) want;
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
		s->l->fn(s->l->arg, conn, &from, port);
	}
}

static const struct key *key_of(const struct key *keys, size_t n, const struct addr *from)
{
	for (size_t i = 0; i < n; i++)
		if (addr_eq(&keys[i].from, from))
			return &keys[i];
	return NULL;
}

static void set_key(struct listener *s, const struct addr *from, const char *password)
{
	struct err e = { 0 };
	char text[ADDR_STR_MAX];

	if (bgp_socket_listen_key(s->fd, from, password, &e) < 0)
		log_from("md5", LOG_LEVEL_ERROR, "bgp", "a peer with a password cannot dial us",
			 "peer=%s why=%s", addr_format(from, text), e.msg);
}

/* Bring the kernel's keys of this listener to what is wanted. */
static void sync_keys(struct listener *s)
{
	const struct bgp_listen *l = s->l;

	for (size_t i = 0; i < s->keys.n; i++)
		if (!key_of(l->want.p, l->want.n, &s->keys.p[i].from))
			set_key(s, &s->keys.p[i].from, "");
	for (size_t i = 0; i < l->want.n; i++) {
		const struct key *old = key_of(s->keys.p, s->keys.n, &l->want.p[i].from);

		if (l->want.p[i].from.family != s->family ||
		    (old && strcmp(old->password, l->want.p[i].password) == 0))
			continue;
		set_key(s, &l->want.p[i].from, l->want.p[i].password);
	}
	vec_clear(&s->keys);
	for (size_t i = 0; i < l->want.n; i++)
		if (l->want.p[i].from.family == s->family)
			vec_push(&s->keys, l->want.p[i]);
	bgp_socket_listen_ttl(s->fd, s->family, l->security);
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
		vec_done(&l->of[i].keys);
	}
	event_free(l->retry);
	if (l->want.p)
		explicit_bzero(l->want.p, l->want.cap * sizeof(*l->want.p));
	vec_done(&l->want);
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

void bgp_listen_set(struct bgp_listen *l, const struct bgp_global *only, uint16_t port,
		    const struct bgp_peer_configs *peers)
{
	bool any[FAMILIES] = { false };

	vec_clear(&l->want);
	l->security = false;
	for (size_t i = 0; i < peers->n; i++) {
		const struct bgp_peer_config *p = &peers->p[i];
		struct key key = { .from = p->addr };

		any[p->addr.family == IP_V6] = true;
		l->security = l->security || p->ttl_security;
		str_copy(key.password, sizeof(key.password), p->password);
		if (p->password[0])
			vec_push(&l->want, key);
	}
	for (unsigned i = 0; i < FAMILIES; i++) {
		struct addr addr = { .family = i ? IP_V6 : IP_V4 };

		if (only)
			addr = i ? only->local_v6 : only->local_v4;
		want_listener(&l->of[i], any[i] && addr.family != IP_NONE, &addr, port);
		sync_listener(&l->of[i]);
	}
}

const char *bgp_listen_trouble(const struct bgp_listen *l)
{
	for (unsigned i = 0; i < FAMILIES; i++)
		if (l->of[i].trouble[0])
			return l->of[i].trouble;
	return NULL;
}
