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
#include "lib/str.h"

enum { SETTLE_S = 30, POLL_MS = 2 };

static int read_all(int fd, struct str *out)
{
	char chunk[8192];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		str_addn(out, chunk, (size_t)n);
	return n < 0 ? -errno : 0;
}

static int ask(const char *run_dir, json_t **answer, struct err *e)
{
	static const char question[] = "{\"cmd\":\"status\"}\n";
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct str text = { 0 };
	int rc;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/ctl.sock", run_dir);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    write(fd, question, sizeof(question) - 1) < 0)
		return err_set(e, -errno, "%s: %s", to.sun_path, strerror(errno));
	rc = read_all(fd, &text);
	if (rc == 0)
		rc = js_parse(str_text(&text), text.len, answer, e);
	else
		err_set(e, rc, "%s: %s", to.sun_path, strerror(-rc));
	str_done(&text);
	return rc;
}

static bool enforces(const json_t *status, int64_t rev)
{
	int64_t at = 0;
	bool in_force = false;

	js_int(status, "datastore.revision", 0, INT64_MAX, &at, NULL);
	js_bool(status, "policy.inForce", &in_force, NULL);
	return at >= rev && in_force;
}

int agent_settle(const char *run_dir, int64_t rev, struct err *e)
{
	for (int i = 0; i < SETTLE_S * 1000 / POLL_MS; i++) {
		CLEANUP(js_freep) json_t *status = NULL;
		int rc = ask(run_dir, &status, e);

		if (rc < 0)
			return rc;
		if (enforces(status, rev))
			return 0;
		poll(NULL, 0, POLL_MS);
	}
	return err_set(e, -ETIMEDOUT, "%s: revision %lld is not enforced after %d s", run_dir,
		       (long long)rev, SETTLE_S);
}
