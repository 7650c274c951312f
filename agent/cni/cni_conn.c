/* cni_conn.c - one connection of the CNI socket
 *
 * SHAPE  reading is always on (it is how a vanished peer is noticed); `expecting` says whether a
 * line may be handed on. The timer means: no line in time, or (finishing) no answer taken in time.
 * INVARIANTS  ops->closed is the last call and comes once; ops are called in tail position only,
 * because they may free the connection. */
#include "agent/cni/cni_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/cni/cni_server.h"
#include "lib/str.h"

enum { DRAIN_S = 10 }; /* for the peer to take the last answer */

struct cni_conn {
	struct event_base *base;
	struct event *readable, *writable, *timer;
	const struct cni_conn_ops *ops;
	void *arg;
	struct str in, out;
	int fd;
	bool expecting, finishing, ended; /* ended: nothing more comes in */
};

void cni_conn_free(struct cni_conn *c)
{
	if (!c)
		return;
	event_free(c->readable);
	event_free(c->writable);
	event_free(c->timer);
	close(c->fd);
	str_done(&c->in);
	str_done(&c->out);
	free(c);
}

static void conn_close(struct cni_conn *c)
{
	c->ops->closed(c->arg);
	cni_conn_free(c);
}

static void conn_arm(struct cni_conn *c, unsigned timeout_s)
{
	const struct timeval tv = { .tv_sec = timeout_s };

	evtimer_add(c->timer, &tv);
}

/* Stop reading: the rest is not wanted. */
static void conn_end(struct cni_conn *c)
{
	c->ended = true;
	c->expecting = false;
	event_del(c->readable);
	str_done(&c->in);
}

static void conn_bad(struct cni_conn *c, const char *why)
{
	conn_end(c);
	event_del(c->timer);
	c->ops->bad(c->arg, why);
}

/* Hand on the line that is in the buffer, if one is due. */
static void conn_dispatch(struct cni_conn *c)
{
	const char *nl = c->in.len ? memchr(c->in.p, '\n', c->in.len) : NULL;
	CLEANUP(freep) char *line = NULL;
	size_t len;

	if (!c->expecting || c->finishing)
		return;
	if (!nl) {
		if (c->in.len > CNI_LINE_MAX)
			conn_bad(c, "is longer than 256 KiB");
		return;
	}
	len = (size_t)(nl - c->in.p);
	if (len > CNI_LINE_MAX) {
		conn_bad(c, "is longer than 256 KiB");
		return;
	}
	/* Not as a string: it may hold NULs, and is len bytes long all the same. */
	line = xmemdup(c->in.p, len + 1);
	line[len] = '\0';
	str_drop(&c->in, len + 1);
	c->expecting = false;
	event_del(c->timer);
	c->ops->line(c->arg, line, len);
}

static void conn_eof(struct cni_conn *c)
{
	bool cut = c->expecting && c->in.len > 0;

	if (cut) {
		conn_bad(c, "ends in the middle");
		return;
	}
	conn_end(c);
	event_del(c->timer);
	c->ops->eof(c->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct cni_conn *c = arg;
	char buf[16384];
	ssize_t n = recv((int)fd, buf, sizeof(buf), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		conn_dispatch(c);
		return;
	}
	if (n <= 0) {
		conn_eof(c);
		return;
	}
	str_addn(&c->in, buf, (size_t)n);
	if (!c->expecting && c->in.len > CNI_LINE_MAX) {
		conn_bad(c, "is longer than 256 KiB");
		return;
	}
	conn_dispatch(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct cni_conn *c = arg;

	if (c->finishing)
		conn_close(c);
	else
		conn_bad(c, "did not come in time");
}

/* True when nothing is left to be sent. */
static bool conn_flush(struct cni_conn *c)
{
	while (c->out.len > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(c->writable, NULL);
			return false;
		}
		if (n < 0) { /* nobody reads: the job goes on and ends by itself */
			str_done(&c->out);
			break;
		}
		str_drop(&c->out, (size_t)n);
	}
	return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct cni_conn *c = arg;

	if (conn_flush(c) && c->finishing)
		conn_close(c);
}

struct cni_conn *cni_conn_new(struct event_base *base, int fd, const struct cni_conn_ops *ops,
			      void *arg, unsigned timeout_s)
{
	struct cni_conn *c = xcalloc(1, sizeof(*c));

	*c = (struct cni_conn) { .base = base, .fd = fd, .ops = ops, .arg = arg };
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	c->timer = evtimer_new(base, on_timer, c);
	event_add(c->readable, NULL);
	c->expecting = true;
	conn_arm(c, timeout_s);
	return c;
}

void cni_conn_expect(struct cni_conn *c, unsigned timeout_s)
{
	c->expecting = true;
	conn_arm(c, timeout_s);
	/* What is in the buffer already is looked at from the loop: callers are in a callback. */
	if (c->in.len > 0)
		event_active(c->readable, EV_READ, 0);
}

void cni_conn_send(struct cni_conn *c, const char *text)
{
	str_add(&c->out, text);
	str_addc(&c->out, '\n');
	conn_flush(c);
}

void cni_conn_finish(struct cni_conn *c)
{
	conn_end(c);
	c->finishing = true;
	if (!c->out.len) {
		conn_close(c);
		return;
	}
	conn_arm(c, DRAIN_S);
}
