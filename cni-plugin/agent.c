/* agent.c - the conversation with the node's agent
 * ERRORS  The agent is trusted for what it decides, not for form: a line too long, not JSON, or
 *         without "ok" is an error of its own, and nothing after it is read. */
#include "cni-plugin/agent.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cni-plugin/io.h"
#include "lib/json.h"

static int lost(struct agent *a, struct cni_error *f, const char *what, int code)
{
	a->lost = true;
	agent_close(a);
	cni_fail(f, CNI_AGAIN, "the margay agent at %s %s%s%s", a->path, what, code ? ": " : "",
		 code ? strerror(code) : "");
	return cni_remedy(f, "see whether margayd runs on this node; the call can be repeated");
}

int agent_open(struct agent *a, const char *path, uint64_t deadline_ms, struct cni_error *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	*a = (struct agent) { .fd = -1, .path = path, .deadline_ms = deadline_ms };
	if (!str_copy(sa.sun_path, sizeof(sa.sun_path), path))
		return cni_fail(f, CNI_BAD_CONFIG,
				"network configuration: agent_socket: is longer than "
				"%zu bytes",
				sizeof(sa.sun_path) - 1);
	/* Non-blocking: with a full queue of waiting calls connect(2) would wait without an end. */
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0)
		return cni_fail(f, CNI_IO, "unix socket: %s", strerror(errno));
	while (connect(a->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		struct pollfd none = { .fd = -1 };

		if (errno != EAGAIN || io_interrupted() || io_now_ms() >= deadline_ms)
			return lost(a, f, "does not answer", errno);
		poll(&none, 1, 20);
	}
	return 0;
}

void agent_close(struct agent *a)
{
	closep(&a->fd);
	a->fd = -1;
	str_done(&a->rx);
}

json_t *agent_request(const char *op, const struct env *env, const struct conf *c)
{
	json_t *o = json_object();

	js_set_str(o, "op", op);
	if (*env->container_id)
		js_set_str(o, "containerID", env->container_id);
	if (*env->netns)
		js_set_str(o, "netns", env->netns);
	if (*env->ifname)
		js_set_str(o, "ifname", env->ifname);
	if (*env->args)
		js_set_str(o, "args", env->args);
	js_set(o, "config", json_incref(c->root));
	return o;
}

static int send_line(struct agent *a, const json_t *request, struct cni_error *f)
{
	CLEANUP(freep) char *text = js_dump(request);
	size_t len = strlen(text);
	int rc;

	if (len >= AGENT_LINE_MAX)
		return cni_fail(f, CNI_BAD_CONFIG,
				"the request to the agent is %zu bytes long, may be "
				"%d: shorten the network configuration or CNI_ARGS",
				len, AGENT_LINE_MAX - 1);
	text[len] = '\n';
	rc = io_write_all(a->fd, text, len + 1, a->deadline_ms);
	text[len] = 0;
	if (rc == -EINTR)
		return cni_fail(f, CNI_AGAIN, "stopped by a signal");
	return rc < 0 ? lost(a, f, "went away", -rc) : 0;
}

/* Read until the buffer begins with a whole line; its length without the newline. */
static ssize_t read_line(struct agent *a, struct cni_error *f)
{
	size_t seen = 0;
	char buf[16384];

	for (;;) {
		const char *nl =
			a->rx.len > seen ? memchr(a->rx.p + seen, '\n', a->rx.len - seen) : NULL;
		ssize_t n;
		int rc;

		if (nl)
			return nl - a->rx.p;
		seen = a->rx.len;
		if (seen >= AGENT_LINE_MAX) {
			agent_close(a);
			return cni_fail(f, CNI_DECODE,
					"the margay agent at %s sent a line of more "
					"than %d bytes",
					a->path, AGENT_LINE_MAX);
		}
		rc = io_wait(a->fd, POLLIN, a->deadline_ms);
		if (rc == -EINTR)
			return cni_fail(f, CNI_AGAIN, "stopped by a signal");
		if (rc < 0)
			return lost(a, f, "does not answer", -rc);
		n = read(a->fd, buf, sizeof(buf));
		if (n == 0)
			return lost(a, f, "closed the connection without an answer", 0);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return lost(a, f, "went away", errno);
		if (n > 0)
			str_addn(&a->rx, buf, (size_t)n);
	}
}

/* What the agent said when it said no. */
static int refused(const json_t *reply, struct cni_error *f)
{
	const char *msg = "the agent refused without a reason", *details = "";
	int64_t code = CNI_INTERNAL;

	(void)js_int(reply, "code", 1, INT32_MAX, &code, NULL);
	(void)js_str(reply, "msg", &msg, NULL);
	(void)js_str(reply, "details", &details, NULL);
	cni_fail(f, (int)code, "%s", msg);
	return cni_remedy(f, "%s", details);
}

static int bad_reply(struct agent *a, struct cni_error *f, const char *why)
{
	agent_close(a);
	cni_fail(f, CNI_DECODE, "the margay agent at %s sent no valid reply", a->path);
	return cni_remedy(f, "%s", why);
}

int agent_call(struct agent *a, const json_t *request, json_t **out, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *reply = NULL;
	struct err e = { 0 };
	bool ok = false;
	ssize_t len;
	int rc;

	if (a->fd < 0)
		return lost(a, f, "went away", 0);
	if (send_line(a, request, f) < 0)
		return -1;
	len = read_line(a, f);
	if (len < 0)
		return -1;
	rc = js_parse(a->rx.p, (size_t)len, &reply, &e);
	str_drop(&a->rx, (size_t)len + 1);
	if (rc < 0)
		return bad_reply(a, f, e.msg);
	if (!json_is_object(reply) || js_need(js_bool(reply, "ok", &ok, &e), "ok", &e) < 0)
		return bad_reply(a, f, e.msg[0] ? e.msg : "not an object");
	if (!ok)
		return refused(reply, f);
	if (out)
		*out = TAKE(reply);
	return 0;
}
