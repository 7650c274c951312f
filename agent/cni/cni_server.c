/* cni_server.c - the CNI socket: accept, dispatch, hold, answer
 *
 *	accept -> cni_conn -> line -> cni_call_decode -> job -> (held until the agent is ready) ->
 *op job -> reply -> conn closes
 *
 * WHY    Jobs outlive their connection: an address that was taken must be given back even when the
 *        plugin was killed meanwhile.
 * TESTS  tests/unit/agent/cni/cni_server.c */
#include "agent/cni/cni_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utlist.h>

#include "agent/cache.h"
#include "agent/cni/cni_boot.h"
#include "agent/cni/cni_conn.h"
#include "agent/config.h"
#include "agent/log.h"
#include "lib/json.h"

/* A plugin that has connected; it has a job from its first line on. */
struct cni_peer {
	struct cni_peer *next, *prev;
	struct cni_server *server;
	struct cni_conn *conn;
	struct cni_job *job;
};

struct cni_held {
	struct cni_held *next, *prev;
	struct cni_job *job;
	struct event *timer;
};

struct cni_server {
	struct agent *agent;
	struct event *accepting;
	int fd;
	char *path;
	struct cni_peer *peers;
	unsigned n_peers;
	struct cni_job *jobs;
	struct cni_held *held;
	struct cni_boot *boot;
	bool open;
	char *broken;
};

struct op {
	const char *name;
	void (*run)(struct cni_job *j);
	bool at_once; /* answers although the datastore has not been read yet */
};

static const struct op ops[] = {
	{ "ADD", cni_op_add, false },
	{ "DEL", cni_op_del, false },
	{ "CHECK", cni_op_check, false },
	{ "STATUS", cni_op_status, true },
	{ "GC", cni_op_gc, false },
	{ "IPAM_ADD", cni_op_ipam_add, false },
	{ "IPAM_DEL", cni_op_ipam_del, false },
	{ "IPAM_CHECK", cni_op_ipam_check, false },
	{ "IPAM_STATUS", cni_op_status, true },
	{ "IPAM_GC", cni_op_gc, false },
};

static const struct op *op_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		if (!strcmp(ops[i].name, name))
			return &ops[i];
	return NULL;
}

/* ---- answers ---- */

static char *fail_text(const struct cni_error *f)
{
	CLEANUP(js_freep) json_t *o = json_object();

	js_set_bool(o, "ok", false);
	js_set_int(o, "code", (int64_t)f->code);
	js_set_str(o, "msg", f->msg);
	js_set_str(o, "details", f->details);
	return js_dump(o);
}

static char *ok_text(json_t *extra)
{
	CLEANUP(js_freep) json_t *o = json_object();

	js_set_bool(o, "ok", true);
	if (extra)
		json_object_update(o, extra);
	json_decref(extra);
	return js_dump(o);
}

static void held_free(struct cni_server *s, struct cni_held *h)
{
	DL_DELETE(s->held, h);
	event_free(h->timer);
	free(h);
}

static void job_free(struct cni_job *j)
{
	struct cni_held *h, *tmp;

	DL_FOREACH_SAFE (j->server->held, h, tmp)
		if (h->job == j)
			held_free(j->server, h);
	DL_DELETE(j->server->jobs, j);
	if (j->op_free)
		j->op_free(j);
	cni_call_done(&j->call);
	free(j->line);
	free(j->who);
	free(j);
}

/* The last answer goes out; what is left of the job is its connection, draining. */
static void job_end(struct cni_job *j, const char *text, const struct cni_error *f)
{
	struct cni_conn *conn = j->conn;

	if (j->on_done)
		j->on_done(j->arg, f);
	if (conn)
		cni_conn_send(conn, text);
	job_free(j);
	if (conn)
		cni_conn_finish(conn);
}

static struct cni_peer *peer_of(struct cni_job *j)
{
	struct cni_peer *p;

	DL_FOREACH (j->server->peers, p)
		if (p->job == j)
			return p;
	return NULL;
}

void cni_job_ok(struct cni_job *j, json_t *extra)
{
	CLEANUP(freep) char *text = ok_text(extra);
	struct cni_peer *p = peer_of(j);

	log_debug("cni", "call done", "op=%s who=%s container=%s", j->call.op, j->who,
		  j->call.container_id);
	if (p)
		p->job = NULL;
	job_end(j, text, NULL);
}

void cni_job_fail(struct cni_job *j, const struct cni_error *f)
{
	CLEANUP(freep) char *text = fail_text(f);
	struct cni_peer *p = peer_of(j);

	log_from("cni", LOG_LEVEL_WARN, "cni", "call failed, the runtime is told so",
		 "op=%s who=%s container=%s code=%d why=%s", j->call.op, j->who,
		 j->call.container_id, (int)f->code, f->msg);
	if (p)
		p->job = NULL;
	job_end(j, text, f);
}

void cni_job_say(struct cni_job *j, json_t *reply, unsigned timeout_s)
{
	CLEANUP(freep) char *text = ok_text(reply);

	if (!j->conn)
		return;
	cni_conn_send(j->conn, text);
	cni_conn_expect(j->conn, timeout_s);
}

struct cni_job *cni_job_find(struct cni_server *s, const char *op, const char *container_id,
			     const char *ifname, const struct cni_job * not )
{
	struct cni_job *j;

	DL_FOREACH (s->jobs, j)
		if (j != not &&!strcmp(j->call.op, op) &&
		    !strcmp(j->call.container_id, container_id) && !strcmp(j->call.ifname, ifname))
			return j;
	return NULL;
}

/* ---- held until the agent is ready ---- */

static void on_held_too_long(evutil_socket_t fd, short what, void *arg)
{
	struct cni_held *h = arg;
	struct cni_job *j = h->job;
	const char *lost = j->agent->cache ? cache_lost(j->agent->cache) : NULL;
	struct cni_error f;

	held_free(j->server, h);
	/* DEL can do without: it leaves a note for later. */
	if (!strcmp(j->call.op, "DEL") || !strcmp(j->call.op, "IPAM_DEL")) {
		op_find(j->call.op)->run(j);
		return;
	}
	cni_fail(&f, CNI_AGAIN, "the agent is not ready yet: %s",
		 lost ? lost : "it has not read the datastore to the end");
	cni_job_fail(j, &f);
}

static void job_hold(struct cni_job *j)
{
	const struct timeval tv = { .tv_sec = CNI_HOLD_S };
	struct cni_held *h = xcalloc(1, sizeof(*h));

	h->job = j;
	h->timer = evtimer_new(j->agent->base, on_held_too_long, h);
	evtimer_add(h->timer, &tv);
	DL_APPEND(j->server->held, h);
}

static void on_boot_done(void *arg)
{
	struct cni_server *s = arg;

	s->open = true;
	while (s->held) {
		struct cni_job *j = s->held->job;

		held_free(s, s->held);
		op_find(j->call.op)->run(j);
	}
}

/* ---- requests ---- */

static struct cni_job *job_new(struct cni_server *s, const char *line, size_t len,
			       struct cni_error *f)
{
	struct cni_job *j;
	struct cni_call call;

	if (cni_call_decode(&call, line, len, f) < 0)
		return NULL;
	if (!op_find(call.op)) {
		cni_fail(f, CNI_DECODE,
			 "request: op \"%.32s\": must be one of ADD, DEL, CHECK, STATUS, GC "
			 "and IPAM_...",
			 call.op);
		cni_call_done(&call);
		return NULL;
	}
	j = xcalloc(1, sizeof(*j));
	*j = (struct cni_job) { .agent = s->agent, .server = s, .call = call };
	j->line = xstrndup(line, len);
	j->who = cni_call_who(&j->call);
	DL_APPEND(s->jobs, j);
	return j;
}

static void peer_line(void *arg, const char *line, size_t len)
{
	struct cni_peer *p = arg;
	struct cni_server *s = p->server;
	const struct op *op;
	struct cni_error f;

	if (p->job) {
		p->job->on_line(p->job, line, len);
		return;
	}
	p->job = job_new(s, line, len, &f);
	if (!p->job) {
		CLEANUP(freep) char *text = fail_text(&f);

		log_from("cni", LOG_LEVEL_WARN, "cni", "request refused", "code=%d why=%s",
			 (int)f.code, f.msg);
		cni_conn_send(p->conn, text);
		cni_conn_finish(p->conn);
		return;
	}
	p->job->conn = p->conn;
	op = op_find(p->job->call.op);
	if (s->open || (op->at_once && !cache_synced(s->agent->cache)))
		op->run(p->job);
	else
		job_hold(p->job);
}

/* The job goes on without anybody to answer to. */
static void peer_lose_job(struct cni_peer *p)
{
	struct cni_job *j = p->job;

	if (!j)
		return;
	p->job = NULL;
	j->conn = NULL;
	if (j->on_gone)
		j->on_gone(j);
}

static void peer_bad(void *arg, const char *why)
{
	struct cni_peer *p = arg;
	CLEANUP(freep) char *text = NULL;
	struct cni_error f;

	cni_fail(&f, CNI_DECODE, "request: the line %s; it must be one JSON object and a newline",
		 why);
	text = fail_text(&f);
	log_from("cni", LOG_LEVEL_WARN, "cni", "request refused", "why=%s", f.msg);
	peer_lose_job(p);
	cni_conn_send(p->conn, text);
	cni_conn_finish(p->conn);
}

static void peer_eof(void *arg)
{
	struct cni_peer *p = arg;

	/* Who only shut down writing still reads: calls of one line are answered. */
	if (p->job && !p->job->on_gone)
		return;
	peer_lose_job(p);
	cni_conn_finish(p->conn);
}

static void peer_closed(void *arg)
{
	struct cni_peer *p = arg;

	peer_lose_job(p);
	DL_DELETE(p->server->peers, p);
	p->server->n_peers--;
	free(p);
}

static const struct cni_conn_ops peer_ops = {
	.line = peer_line,
	.bad = peer_bad,
	.eof = peer_eof,
	.closed = peer_closed,
};

static void refuse(int fd)
{
	struct cni_error f;
	CLEANUP(freep) char *text = NULL;

	cni_fail(&f, CNI_AGAIN, "%d calls are being worked on already; try again later",
		 CNI_CONNS_MAX);
	text = fail_text(&f);
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)!send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	log_from("cni", LOG_LEVEL_WARN, "cni", "too many calls at once, one was sent away",
		 "limit=%d", CNI_CONNS_MAX);
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct cni_server *s = arg;
	struct cni_peer *p;
	int fd = accept4((int)lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->n_peers >= CNI_CONNS_MAX) {
		refuse(fd);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	p->server = s;
	DL_APPEND(s->peers, p);
	s->n_peers++;
	p->conn = cni_conn_new(s->agent->base, fd, &peer_ops, p, CNI_IDLE_S);
}

void cni_server_run(struct cni_server *s, const char *line, size_t len, cni_done_fn *done,
		    void *arg)
{
	struct cni_error f;
	struct cni_job *j = job_new(s, line, len, &f);

	if (!j) {
		done(arg, &f);
		return;
	}
	j->on_done = done;
	j->arg = arg;
	op_find(j->call.op)->run(j);
}

/* ---- life ---- */

static bool somebody_listens(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));

	close(fd);
	return rc == 0;
}

/* 0600 from the first moment: the mask is narrowed around bind. */
static int bind_private(int fd, const struct sockaddr_un *sun)
{
	mode_t old = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ? -errno : 0;

	umask(old);
	return rc;
}

static int server_listen(struct cni_server *s, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int rc;

	if (!str_copy(sun.sun_path, sizeof(sun.sun_path), s->path))
		return err_set(e, -ENAMETOOLONG, "%s: a socket's path has at most %zu characters",
			       s->path, sizeof(sun.sun_path) - 1);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return err_set(e, -errno, "socket: %s", strerror(errno));
	rc = bind_private(s->fd, &sun);
	if (rc == -EADDRINUSE) {
		if (somebody_listens(&sun))
			return err_set(
				e, -EADDRINUSE,
				"%s: another agent answers there; give each its own run directory",
				s->path);
		unlink(s->path); /* left by an agent that was killed */
		rc = bind_private(s->fd, &sun);
	}
	if (rc < 0)
		return err_set(e, rc, "%s: %s", s->path, strerror(-rc));
	if (listen(s->fd, CNI_CONNS_MAX) < 0)
		return err_set(e, -errno, "%s: listen: %s", s->path, strerror(errno));
	return 0;
}

int cni_server_new(struct cni_server **out, struct agent *a, struct err *e)
{
	struct cni_server *s = xcalloc(1, sizeof(*s));
	int rc;

	s->agent = a;
	s->fd = -1;
	s->path = xasprintf("%s/cni.sock", a->cfg->run_dir);
	rc = server_listen(s, e);
	if (!rc)
		rc = cni_boot_new(&s->boot, s, a, on_boot_done, s, e);
	if (rc < 0) {
		cni_server_free(s);
		return rc;
	}
	s->accepting = event_new(a->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	event_add(s->accepting, NULL);
	*out = s;
	return 0;
}

void cni_server_free(struct cni_server *s)
{
	struct cni_peer *p, *ptmp;
	struct cni_job *j, *jtmp;

	if (!s)
		return;
	DL_FOREACH_SAFE (s->peers, p, ptmp) {
		cni_conn_free(p->conn);
		free(p);
	}
	DL_FOREACH_SAFE (s->jobs, j, jtmp)
		job_free(j);
	cni_boot_free(s->boot);
	if (s->accepting)
		event_free(s->accepting);
	if (s->fd >= 0) {
		close(s->fd);
		unlink(s->path);
	}
	free(s->path);
	free(s->broken);
	free(s);
}

void cni_server_broken(struct cni_server *s, const char *why)
{
	free(s->broken);
	s->broken = xstrdup(why);
}

const char *cni_why_broken(const struct cni_server *s)
{
	return s->broken;
}

struct journal *cni_journal(const struct cni_server *s)
{
	return cni_boot_journal(s->boot);
}

struct journal *cni_adding(const struct cni_server *s)
{
	return cni_boot_adding(s->boot);
}

unsigned cni_server_conns(const struct cni_server *s)
{
	return s->n_peers;
}
