/* ctl_server.c - RUN_DIR/ctl.sock
 * INVARIANTS  a client can hold one of CTL_CONNS_MAX places for CTL_IDLE_S at most, and less when
 *        others want in: the oldest that has not asked anything makes room.
 * TESTS  tests/unit/agent/ctl.c */
#include "agent/ctl_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <utlist.h>

#include "agent/config.h"
#include "agent/ctl_answer.h"
#include "agent/log.h"
#include "lib/json.h"

struct ctl_conn {
	struct ctl_conn *prev, *next; /* oldest first */
	struct ctl_server *server;
	struct bufferevent *bev;
	bool answered;
	struct ctl_later later; /* work: the answer is being made */
};

struct ctl_server {
	struct agent *agent;
	char *path;
	int fd;
	struct event *ev;
	struct ctl_conn *conns;
	unsigned n_conns;
};

static void conn_free(struct ctl_conn *c)
{
	DL_DELETE(c->server->conns, c);
	c->server->n_conns--;
	if (c->later.work)
		c->later.stop(c->later.work);
	bufferevent_free(c->bev);
	free(c);
}

static void reply(struct ctl_conn *c, json_t *answer)
{
	CLEANUP(freep) char *text = js_dump(answer);

	json_decref(answer);
	c->answered = true;
	bufferevent_disable(c->bev, EV_READ);
	bufferevent_write(c->bev, text, strlen(text));
	bufferevent_write(c->bev, "\n", 1);
}

static void on_later(void *arg, json_t *answer)
{
	reply(arg, answer);
}

static void ask(struct ctl_conn *c, const char *line, size_t len)
{
	json_t *answer;

	c->later = (struct ctl_later) { .fn = on_later, .arg = c };
	answer = ctl_answer(c->server->agent, line, len, &c->later);
	if (answer)
		reply(c, answer);
	else
		bufferevent_disable(c->bev, EV_READ);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct ctl_conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len;
	char *line;

	if (c->answered || c->later.work)
		return;
	line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
	if (line)
		ask(c, line, len);
	else if (evbuffer_get_length(in) >= CTL_LINE_MAX)
		reply(c,
		      ctl_refusal("the question is longer than 4096 bytes, or has no end of line"));
	free(line);
}

/* The answer is out. */
static void on_written(struct bufferevent *bev, void *arg)
{
	struct ctl_conn *c = arg;

	if (c->answered)
		conn_free(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct ctl_conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t left = evbuffer_get_length(in);

	/* A question whose last line has no newline, from somebody who has said all. */
	if (what & BEV_EVENT_EOF && !c->answered && !c->later.work && left) {
		ask(c, (char *)evbuffer_pullup(in, -1), left);
		return;
	}
	if (!(what & BEV_EVENT_EOF) || !(c->answered || c->later.work))
		conn_free(c);
}

static void make_room(struct ctl_server *s)
{
	struct ctl_conn *c;

	DL_FOREACH (s->conns, c)
		if (!c->answered && !c->later.work)
			break;
	conn_free(c ? c : s->conns);
}

static void add_conn(struct ctl_server *s, int fd)
{
	static const struct timeval idle = { .tv_sec = CTL_IDLE_S };
	struct ctl_conn *c;

	if (s->n_conns >= CTL_CONNS_MAX)
		make_room(s);
	c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->bev = bufferevent_socket_new(s->agent->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		close(fd);
		free(c);
		return;
	}
	DL_APPEND(s->conns, c);
	s->n_conns++;
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CTL_LINE_MAX);
	bufferevent_set_timeouts(c->bev, &idle, &idle);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (conn >= 0)
		add_conn(arg, conn);
}

static int listen_on(const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, code;
	mode_t old;

	if (!str_copy(sun.sun_path, sizeof(sun.sun_path), path))
		return err_set(
			e, -ENAMETOOLONG,
			"%s: a socket's path has at most %zu characters; choose a shorter runDir",
			path, sizeof(sun.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "%s: cannot make a socket: %s", path, strerror(errno));
	/* The run directory's lock says that nobody else listens here. */
	unlink(path);
	old = umask(0177);
	code = bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 64) < 0 ? -errno
											: 0;
	umask(old);
	if (code < 0) {
		close(fd);
		return err_set(e, code, "%s: cannot listen: %s", path, strerror(-code));
	}
	return fd;
}

struct ctl_server *ctl_server_new(struct agent *a, struct err *e)
{
	struct ctl_server *s = xcalloc(1, sizeof(*s));

	s->agent = a;
	s->path = xasprintf("%s/ctl.sock", a->cfg->run_dir);
	s->fd = listen_on(s->path, e);
	if (s->fd < 0) {
		free(s->path);
		free(s);
		return NULL;
	}
	s->ev = event_new(a->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->ev, NULL);
	return s;
}

void ctl_server_free(struct ctl_server *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s->conns);
	event_free(s->ev);
	close(s->fd);
	unlink(s->path);
	free(s->path);
	free(s);
}
