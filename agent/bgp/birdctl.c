/* birdctl.c - DIR/bird.ctl and DIR/bird6.ctl
 * INVARIANTS  a client that asks but does not read gets no second answer before it has the first. */
#include "agent/bgp/birdctl.h"

#include <assert.h>
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

#include "agent/agent.h"
#include "agent/bgp/fib.h"
#include "agent/bgp/peering.h"
#include "agent/clock.h"
#include "agent/config.h"
#include "agent/log.h"

struct client {
	struct client *prev, *next; /* oldest first */
	struct door *door;
	struct bufferevent *bev;
	bool leaving;
};

/* One of both sockets. */
struct door {
	struct birdctl *b;
	enum ip_family family;
	char *path;
	int fd;
	struct event *ev;
	struct client *clients;
	unsigned n_clients;
};

struct birdctl {
	struct agent *agent;
	struct door door[2];
};

static void client_free(struct client *c)
{
	DL_DELETE(c->door->clients, c);
	c->door->n_clients--;
	bufferevent_free(c->bev);
	free(c);
}

static struct birdctl_facts facts_of(const struct door *d)
{
	const struct agent *a = d->b->agent;
	struct bgp_speaker *sp = peering_speaker(a->peering);

	return (struct birdctl_facts) {
		.speaker = sp,
		.family = d->family,
		.router_id = sp ? bgp_speaker_global(sp)->router_id : 0,
		.now_ms = agent_now_ms(),
		.wall_ms = clock_wall_ns() / 1000000,
		.started_ms = a->started_ms,
		.converged = peering_converged(a->peering),
		.resolve = fib_resolve,
		.arg = a->fib,
	};
}

/* Questions one after the other, until there is something to be read by the client. */
static void serve(struct client *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev), *out = bufferevent_get_output(c->bev);
	struct birdctl_facts f = facts_of(c->door);
	char *line;

	while (!c->leaving && !evbuffer_get_length(out) &&
	       (line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF))) {
		struct str answer = { 0 };

		c->leaving = !birdctl_answer(&f, line, &answer);
		bufferevent_write(c->bev, str_text(&answer), answer.len);
		str_done(&answer);
		free(line);
	}
	if (evbuffer_get_length(in) >= BIRDCTL_LINE_MAX && !evbuffer_get_length(out))
		c->leaving = true;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct client *c = arg;

	serve(c);
	if (c->leaving && !evbuffer_get_length(bufferevent_get_output(bev)))
		client_free(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	on_read(bev, arg);
}

/* An end of the other side, an error, or nothing for too long. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *c = arg;

	(void)bev;
	(void)what;
	client_free(c);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval idle = { .tv_sec = BIRDCTL_IDLE_S };
	struct door *d = arg;
	struct str hello = { 0 };
	struct client *c;
	int sock = accept4((int)fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)what;
	if (sock < 0)
		return;
	if (d->n_clients >= BIRDCTL_CONNS_MAX)
		client_free(d->clients);
	c = xcalloc(1, sizeof(*c));
	c->door = d;
	c->bev = bufferevent_socket_new(d->b->agent->base, sock, BEV_OPT_CLOSE_ON_FREE);
	assert(c->bev);
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 2 * BIRDCTL_LINE_MAX);
	bufferevent_set_timeouts(c->bev, &idle, &idle);
	DL_APPEND(d->clients, c);
	d->n_clients++;
	birdctl_greet(&hello);
	bufferevent_write(c->bev, str_text(&hello), hello.len);
	str_done(&hello);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

/* Does somebody answer at this socket already? A real BIRD must not be pushed aside. */
static bool is_taken(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool taken = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;

	if (fd >= 0)
		close(fd);
	return taken;
}

static int listen_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, rc;

	if (!str_copy(sun.sun_path, sizeof(sun.sun_path), path))
		return -ENAMETOOLONG;
	if (is_taken(&sun))
		return -EADDRINUSE;
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || chmod(path, 0660) < 0 ||
	    listen(fd, 64) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void door_open(struct birdctl *b, struct door *d, enum ip_family family, const char *name)
{
	d->b = b;
	d->family = family;
	d->path = xasprintf("%s/%s", b->agent->cfg->bird_socket_dir, name);
	d->fd = listen_at(d->path);
	if (d->fd < 0) {
		log_error("bgp",
			  "cannot answer in BIRD's place; calicoctl node status sees nothing",
			  "socket=%s why=%s", d->path,
			  d->fd == -EADDRINUSE ? "somebody answers there, is BIRD still running?"
					       : strerror(-d->fd));
		return;
	}
	d->ev = event_new(b->agent->base, d->fd, EV_READ | EV_PERSIST, on_client, d);
	assert(d->ev);
	event_add(d->ev, NULL);
}

static void door_close(struct door *d)
{
	struct client *c, *next;

	DL_FOREACH_SAFE (d->clients, c, next)
		client_free(c);
	if (d->ev) {
		event_free(d->ev);
		unlink(d->path);
		close(d->fd);
	}
	free(d->path);
}

struct birdctl *birdctl_new(struct agent *a)
{
	struct birdctl *b;

	if (!a->cfg->bird_socket_dir[0] || !a->cfg->bgp)
		return NULL;
	b = xcalloc(1, sizeof(*b));
	b->agent = a;
	mkdir(a->cfg->bird_socket_dir, 0755);
	door_open(b, &b->door[0], IP_V4, "bird.ctl");
	door_open(b, &b->door[1], IP_V6, "bird6.ctl");
	return b;
}

void birdctl_free(struct birdctl *b)
{
	if (!b)
		return;
	door_close(&b->door[0]);
	door_close(&b->door[1]);
	free(b);
}
