/* bgp_conns.c - the speaker's connections
 * SHAPE  A connection is known to the speaker by its id as long as it is in `conns`, but for lingering
 *        ones, which only wait for their last bytes to be written.
 * TESTS  tests/netns/test_bgp.py, test_bgp_security.py, test_interop.py */
#include "agent/bgp/bgp_conns.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/agent.h"
#include "agent/bgp/bgp_socket.h"
#include "agent/log.h"

enum {
	READ_MAX = 65536,	/* bytes in one read, shared by all peers */
	WRITE_MAX = 1 << 20,	/* bytes to one peer before others get their turn */
	CONNECT_TIMEOUT_S = 30, /* a dial that the kernel does not decide */
	LINGER_S = 10,		/* for a peer to take our last words */
	CONNS_MAX = 16384,	/* two for each of 5 000 nodes, and some to refuse */
};

struct conn {
	uint64_t id;
	int fd;
	bool connecting, lingering;
	struct addr remote;
	uint32_t ifindex;  /* of a link-local one */
	char password[81]; /* its key */
	struct bgp_conns *cs;
	struct event *rd, *wr;
	UT_hash_handle hh;
};

struct bgp_conns {
	struct event_base *base;
	struct bgp_conns_owner owner;
	struct bgp_speaker *speaker;
	struct conn *conns;
	uint64_t next_id; /* of accepted ones; the speaker's have the highest bit set */
};

static void settle(const struct bgp_conns *cs)
{
	cs->owner.settle(cs->owner.arg);
}

static struct conn *conn_find(const struct bgp_conns *cs, uint64_t id)
{
	struct conn *c;

	HASH_FIND(hh, cs->conns, &id, sizeof(id), c);
	return c;
}

static void conn_free(struct conn *c)
{
	HASH_DEL(c->cs->conns, c);
	event_free(c->rd);
	event_free(c->wr);
	close(c->fd);
	free(c);
}

static void want_write(struct conn *c)
{
	static const struct timeval linger = { .tv_sec = LINGER_S };

	event_add(c->wr, c->lingering ? &linger : NULL);
}

/* The other end is gone, or the socket is. */
static void conn_lost(struct conn *c, const char *why)
{
	struct bgp_conns *cs = c->cs;
	uint64_t id = c->id;

	conn_free(c);
	bgp_speaker_closed(cs->speaker, id, why, agent_now_ms());
	settle(cs);
}

static void conn_decided(struct conn *c, short what)
{
	struct bgp_conns *cs = c->cs;
	uint64_t id = c->id;
	int rc = what & EV_TIMEOUT ? -ETIMEDOUT : bgp_socket_result(c->fd);
	struct addr local;

	c->connecting = false;
	if (rc < 0) {
		conn_free(c);
		bgp_speaker_connect_failed(cs->speaker, id, strerror(-rc), agent_now_ms());
	} else {
		local = bgp_socket_local(c->fd);
		event_add(c->rd, NULL);
		bgp_speaker_connected(cs->speaker, id, &local, agent_now_ms());
	}
	settle(cs);
}

/* Write what there is, up to WRITE_MAX. False: the connection is gone. */
static bool conn_flush(struct conn *c)
{
	struct bgp_conns *cs = c->cs;
	size_t total = 0, len;
	const void *bytes;

	while ((bytes = bgp_speaker_output(cs->speaker, c->id, &len, agent_now_ms()))) {
		ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			conn_lost(c, strerror(errno));
			return false;
		}
		if (n > 0) {
			bgp_speaker_written(cs->speaker, c->id, (size_t)n, agent_now_ms());
			total += (size_t)n;
		}
		if (n < 0 || total >= WRITE_MAX) {
			want_write(c);
			return true;
		}
	}
	if (c->lingering) {
		conn_lost(c, "closed here");
		return false;
	}
	return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct bgp_conns *cs = c->cs;

	if (c->connecting)
		conn_decided(c, what);
	else if (what & EV_TIMEOUT)
		conn_lost(c, "the peer does not read our last words");
	else if (conn_flush(c))
		settle(cs);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	static uint8_t buf[READ_MAX];
	struct conn *c = arg;
	struct bgp_conns *cs = c->cs;
	ssize_t n = read(c->fd, buf, sizeof(buf));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_lost(c, n == 0 ? "the peer closed the connection" : strerror(errno));
		return;
	}
	if (c->lingering)
		return;
	cs->owner.heard(cs->owner.arg);
	bgp_speaker_received(cs->speaker, c->id, buf, (size_t)n, agent_now_ms());
	settle(cs);
}

static struct conn *conn_new(struct bgp_conns *cs, int fd, uint64_t id,
			     const struct bgp_peer_config *peer)
{
	struct conn *c = xcalloc(1, sizeof(*c));

	c->id = id;
	c->fd = fd;
	c->remote = peer->addr;
	c->ifindex = peer->ifindex;
	str_copy(c->password, sizeof(c->password), peer->password);
	c->cs = cs;
	c->rd = event_new(cs->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->wr = event_new(cs->base, fd, EV_WRITE, on_writable, c);
	assert(c->rd && c->wr);
	HASH_ADD(hh, cs->conns, id, sizeof(c->id), c);
	return c;
}

void bgp_conns_dial(struct bgp_conns *cs, uint64_t id, const struct bgp_peer_config *peer)
{
	static const struct timeval limit = { .tv_sec = CONNECT_TIMEOUT_S };
	struct err e = { 0 };
	int fd = bgp_socket_dial(peer, &e);
	struct conn *c;

	if (fd < 0) {
		bgp_speaker_connect_failed(cs->speaker, id, e.msg, agent_now_ms());
		return;
	}
	c = conn_new(cs, fd, id, peer);
	c->connecting = true;
	event_add(c->wr, &limit);
}

void bgp_conns_close(struct bgp_conns *cs, uint64_t id, bool linger)
{
	struct conn *c = conn_find(cs, id);

	if (!c)
		return;
	if (!linger || c->connecting) {
		conn_free(c);
		return;
	}
	c->lingering = true;
	want_write(c);
}

void bgp_conns_write(struct bgp_conns *cs, uint64_t id)
{
	struct conn *c = conn_find(cs, id);

	if (c && !c->connecting)
		want_write(c);
}

void bgp_conns_accept(struct bgp_conns *cs, int fd, const struct addr *remote, uint32_t ifindex,
		      const struct bgp_peer_config *cfg)
{
	struct addr local = bgp_socket_local(fd);
	uint64_t id = cs->next_id;
	char text[ADDR_STR_MAX];
	struct err e = { 0 };
	struct conn *c;

	if (HASH_COUNT(cs->conns) >= CONNS_MAX)
		err_set(&e, -EMFILE, "there are %d connections already", CONNS_MAX);
	if (e.code || bgp_socket_accepted(fd, cfg, &e) < 0) {
		addr_format(remote, text);
		log_from(text, LOG_LEVEL_WARN, "bgp", "closed a connection", "from=%s why=%s", text,
			 e.msg);
		close(fd);
		return;
	}
	cs->next_id++;
	c = conn_new(cs, fd, id, cfg);
	if (bgp_speaker_accept_on(cs->speaker, id, remote, ifindex, &local, agent_now_ms()))
		event_add(c->rd, NULL);
	else
		conn_free(c);
	settle(cs);
}

/* ---- passwords ---- */

/* Connections take another password as they are: the peer's segments are dropped until both ends have
 * it, which TCP takes for loss. A password where there was none, or none any more, is another
 * connection. */
void bgp_conns_change_keys(struct bgp_conns *cs, const struct bgp_peer_configs *configs)
{
	struct conn *c, *next;

	HASH_ITER (hh, cs->conns, c, next) {
		const struct bgp_peer_config *cfg =
			bgp_peer_configs_find(configs, &c->remote, c->ifindex);
		char text[ADDR_STR_MAX];
		struct err e = { 0 };

		if (!cfg || c->lingering || strcmp(cfg->password, c->password) == 0)
			continue;
		if (!cfg->password[0] || !c->password[0] ||
		    bgp_socket_change_key(c->fd, &c->remote, cfg->password, &e) < 0) {
			conn_lost(c, e.code ? e.msg : "its password was set or removed");
			next = cs->conns; /* others may have gone with it */
			continue;
		}
		str_copy(c->password, sizeof(c->password), cfg->password);
		log_info("bgp", "a connection took another password", "peer=%s",
			 addr_format(&c->remote, text));
	}
}

/* ---- life ---- */

struct bgp_conns *bgp_conns_new(struct event_base *base, const struct bgp_conns_owner *owner)
{
	struct bgp_conns *cs = xcalloc(1, sizeof(*cs));

	cs->base = base;
	cs->owner = *owner;
	cs->next_id = 1;
	return cs;
}

void bgp_conns_set_speaker(struct bgp_conns *cs, struct bgp_speaker *sp)
{
	cs->speaker = sp;
}

void bgp_conns_free(struct bgp_conns *cs)
{
	struct conn *c, *next;

	HASH_ITER (hh, cs->conns, c, next)
		conn_free(c);
	free(cs);
}
