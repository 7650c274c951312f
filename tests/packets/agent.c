/* agent.c - what is asked of a running agent, over its ctl.sock */
#include "tests/packets/agent.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/json.h"

enum {
	SETTLE_MS = 120000,
	ASK_MS = 2, /* between two questions: the agent has better things to do */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct agent_wait agent_wait(const char *run_dir, int64_t rev)
{
	return (struct agent_wait) { .run_dir = run_dir, .rev = rev, .fd = -1 };
}

void agent_wait_done(struct agent_wait *w)
{
	closep(&w->fd);
	str_done(&w->text);
}

static void give_up(struct agent_wait *w)
{
	closep(&w->fd);
	w->fd = -1;
}

static int ask(struct agent_wait *w)
{
	static const char question[] = "{\"cmd\":\"status\"}\n";
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (now_ms() < w->asked_ms + ASK_MS)
		return 0;
	snprintf(to.sun_path, sizeof(to.sun_path), "%s/ctl.sock", w->run_dir);
	str_cut(&w->text, 0);
	w->asked_ms = now_ms();
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* It may have been killed, and comes back. */
	if (connect(w->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    send(w->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		give_up(w);
	return 0;
}

static int judge_answer(struct agent_wait *w, struct err *e)
{
	CLEANUP(js_freep) json_t *status = NULL;
	int64_t at = 0;
	bool in_force = false;
	int rc = js_parse(str_text(&w->text), w->text.len, &status, e);

	if (rc < 0)
		return err_wrap(e, "%s/ctl.sock", w->run_dir);
	js_int(status, "datastore.revision", 0, INT64_MAX, &at, NULL);
	js_bool(status, "policy.inForce", &in_force, NULL);
	w->done = at >= w->rev && in_force;
	return w->done;
}

int agent_wait_step(struct agent_wait *w, struct err *e)
{
	char chunk[8192];
	ssize_t n;

	if (w->done)
		return 1;
	if (w->fd < 0)
		return ask(w);
	while ((n = read(w->fd, chunk, sizeof(chunk))) > 0)
		str_addn(&w->text, chunk, (size_t)n);
	if (n < 0 && errno == EAGAIN)
		return 0;
	give_up(w);
	return w->text.len && n == 0 ? judge_answer(w, e) : 0;
}

int agent_settle(const char *run_dir, int64_t rev, struct err *e)
{
	struct agent_wait w = agent_wait(run_dir, rev);
	int64_t end = now_ms() + SETTLE_MS;
	int rc;

	while ((rc = agent_wait_step(&w, e)) == 0 && now_ms() < end) {
		struct pollfd p = { .fd = w.fd, .events = POLLIN };

		poll(&p, 1, ASK_MS);
	}
	agent_wait_done(&w);
	if (rc == 0)
		err_set(e, -ETIMEDOUT, "%s: revision %lld is not enforced after %d ms", run_dir,
			(long long)rev, SETTLE_MS);
	return rc > 0 ? 0 : e->code;
}
