/* ask.c - questions to the agent of this node */
#include "ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "lib/json.h"
#include "lib/str.h"

enum {
	ANSWER_MAX = JS_SIZE_MAX,
	WAIT_S = 10, /* for an agent that is busy */
};

json_t *agent_question(const char *cmd)
{
	json_t *q = json_object();

	js_set_str(q, "cmd", cmd);
	return q;
}

static int dial(const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct timeval wait = { .tv_sec = WAIT_S };
	int fd;

	if (!str_copy(sun.sun_path, sizeof(sun.sun_path), path))
		return err_set(e, -ENAMETOOLONG, "%s: too long for a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, -errno, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	err_set(e, -errno,
		"no agent answers at %s: %s. Is margayd running? Another directory of "
		"sockets is given with --run-dir",
		path, strerror(errno));
	close(fd);
	return e ? e->code : -ECONNREFUSED;
}

static int talk(int fd, const char *line, struct str *out, struct err *e)
{
	char buf[8192];
	ssize_t n;

	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 || shutdown(fd, SHUT_WR) < 0)
		return err_set(e, -errno, "cannot ask the agent: %s", strerror(errno));
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0 && out->len <= ANSWER_MAX)
		str_addn(out, buf, (size_t)n);
	if (n < 0)
		return err_set(e, -errno, "the agent does not answer: %s", strerror(errno));
	return 0;
}

static int take_answer(const struct str *text, json_t **answer, struct err *e)
{
	json_t *o = NULL;

	if (!text->len)
		return err_set(e, -EIO, "the agent closed the connection without an answer");
	if (js_parse(text->p, text->len, &o, e) < 0)
		return err_wrap(e, "the agent's answer");
	if (!json_is_true(json_object_get(o, "ok"))) {
		err_set(e, -EINVAL, "%s", answer_text(o, "msg"));
		json_decref(o);
		return -EINVAL;
	}
	*answer = o;
	return 0;
}

int agent_ask(const struct ctl *c, json_t *question, json_t **answer, struct err *e)
{
	CLEANUP(freep) char *path = xasprintf("%s/ctl.sock", c->run_dir);
	CLEANUP(freep) char *text = js_dump(question), *line = xasprintf("%s\n", text);
	struct str out = { 0 };
	int fd = dial(path, e), rc;

	json_decref(question);
	if (fd < 0)
		return fd;
	rc = talk(fd, line, &out, e);
	close(fd);
	if (rc == 0)
		rc = take_answer(&out, answer, e);
	str_done(&out);
	return rc;
}

const char *answer_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

long long answer_number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

char *answer_since(const json_t *o, const char *name)
{
	const char *text = answer_text(o, name);
	struct tm tm = { 0 };

	if (!strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return xstrdup("");
	if (time(NULL) - timegm(&tm) < 24 * 3600)
		return xstrndup(text + 11, 8);
	return xstrndup(text, 10);
}
