/* delegate.c - another plugin of CNI_PATH, run for its addresses
 * SPEC  CNI 1.1 section 4, "Plugin Delegation": same environment and stdin, only CNI_COMMAND may
 *       differ; stderr is ours. */
#include "cni-plugin/delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cni-plugin/io.h"
#include "lib/json.h"

/* The program in the directories of CNI_PATH; caller frees. NULL: none. */
static char *find(const char *name, const char *path)
{
	while (*path) {
		size_t len = strcspn(path, ":");
		CLEANUP(freep) char *full = xasprintf("%.*s/%s", (int)len, path, name);

		if (len && access(full, X_OK) == 0)
			return TAKE(full);
		path += len;
		path += *path == ':';
	}
	return NULL;
}

/* The configuration as a file to read: a pipe would need somebody to fill it. */
static int stdin_file(const struct conf *c)
{
	CLEANUP(freep) char *text = js_dump(c->root);
	int fd = memfd_create("cni-config", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		closep(&fd);
	return fd;
}

static _Noreturn void child(const char *program, const char *verb, int in, int out)
{
	char *const argv[] = { strdup(program), NULL };

	io_restore_signals();
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    setenv("CNI_COMMAND", verb, 1) < 0)
		_exit(126);
	execv(program, argv);
	_exit(127);
}

/* Start it; -1, or the reading end of its stdout. */
static int start(const char *program, const char *verb, const struct conf *c, pid_t *pid)
{
	CLEANUP(closep) int in = stdin_file(c);
	int pipes[2];

	if (in < 0 || pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	*pid = fork();
	if (*pid == 0)
		child(program, verb, in, pipes[1]);
	close(pipes[1]);
	if (*pid < 0)
		closep(&pipes[0]);
	return *pid < 0 ? -1 : pipes[0];
}

static int failed(const char *type, const char *verb, const json_t *said, int status,
		  struct cni_error *f)
{
	int64_t code = CNI_INTERNAL;
	const char *msg = "", *details = "";

	(void)js_int(said, "code", 1, INT32_MAX, &code, NULL);
	(void)js_str(said, "msg", &msg, NULL);
	(void)js_str(said, "details", &details, NULL);
	if (*msg)
		cni_fail(f, (int)code, "IPAM plugin %s: %s: %s", type, verb, msg);
	else if (WIFSIGNALED(status))
		cni_fail(f, (int)code, "IPAM plugin %s: %s: ended by signal %d", type, verb,
			 WTERMSIG(status));
	else
		cni_fail(f, (int)code, "IPAM plugin %s: %s: exit status %d without a reason", type,
			 verb, WEXITSTATUS(status));
	return cni_remedy(f, "%s", details);
}

/* All it prints, then its exit status. When it takes too long it is killed. */
static int collect(pid_t pid, int fd, uint64_t deadline_ms, struct str *out, int *status)
{
	int rc = io_read_all(fd, DELEGATE_OUT_MAX, deadline_ms, out);

	if (rc < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	return rc;
}

static int judge(const char *verb, const struct conf *c, const struct str *text, int status,
		 json_t **out, struct cni_error *f)
{
	CLEANUP(js_freep) json_t *said = NULL;
	struct err e = { 0 };
	bool blank = strspn(str_text(text), " \t\r\n") == text->len;
	int rc = blank ? 0 : js_parse(text->p, text->len, &said, &e);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return failed(c->ipam_type, verb, said, status, f);
	if (!out)
		return 0;
	if (rc < 0 || (said && !json_is_object(said)))
		return cni_fail(f, CNI_DECODE, "IPAM plugin %s: %s: printed no valid result: %s",
				c->ipam_type, verb, e.msg);
	*out = TAKE(said);
	return 0;
}

int delegate_run(const char *verb, const struct conf *c, const struct env *env,
		 uint64_t deadline_ms, json_t **out, struct cni_error *f)
{
	CLEANUP(freep) char *program = find(c->ipam_type, env->path);
	CLEANUP(closep) int fd = -1;
	uint64_t limit = io_now_ms() + DELEGATE_MS;
	struct str text = { 0 };
	int status = 0, rc;
	pid_t pid = -1;

	if (!program) {
		cni_fail(f, CNI_BAD_CONFIG,
			 "network configuration: ipam.type \"%.64s\": no such program "
			 "in CNI_PATH",
			 c->ipam_type);
		return cni_remedy(f, "CNI_PATH is %.512s", env->path);
	}
	fd = start(program, verb, c, &pid);
	if (fd < 0)
		return cni_fail(f, CNI_IO, "starting %s: %s", program, strerror(errno));
	rc = collect(pid, fd, limit < deadline_ms ? limit : deadline_ms, &text, &status);
	if (rc < 0)
		rc = cni_fail(f, CNI_AGAIN, "IPAM plugin %s: %s: %s", c->ipam_type, verb,
			      rc == -ETIMEDOUT ? "took too long and was ended"
			      : rc == -EFBIG   ? "printed too much"
					       : strerror(-rc));
	else
		rc = judge(verb, c, &text, status, out, f);
	str_done(&text);
	return rc;
}
