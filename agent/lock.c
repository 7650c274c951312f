/* lock.c - one agent per directory
 * WHY    A tool that the agent starts holds a copy of the lock between fork and exec. An agent that is
 *        killed just then leaves it there for a moment, and its next life must not fail for that.
 * TESTS  tests/unit/agent/lock.c */
#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_dirs(const char *dir, struct err *e)
{
	CLEANUP(freep) char *path = xstrdup(dir);

	for (char *p = path + 1;; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return err_set(e, -errno, "cannot make the directory %s: %s", path,
				       strerror(errno));
		*p = c;
		if (!c)
			return 0;
	}
}

enum {
	LEFT_MS = 5000, /* for a child of a dead agent to come to its exec, on a busy machine */
	POLL_MS = 10,
	PID_MAX = 24,
};

/* Who took the lock last, as it says itself; "" when it says nothing. */
static void read_pid(int fd, char pid[static PID_MAX])
{
	ssize_t n = pread(fd, pid, PID_MAX - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
}

static bool is_dead(int fd)
{
	char text[PID_MAX];
	long pid;

	read_pid(fd, text);
	pid = strtol(text, NULL, 10);
	return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int busy(int fd, const char *path, struct err *e)
{
	char pid[PID_MAX];

	read_pid(fd, pid);
	return err_set(
		e, -EBUSY,
		"%s: another agent (process %s) uses this directory. Stop it, or give this one "
		"a --run-dir and a --state-dir of its own",
		path, *pid ? pid : "unknown");
}

static int take(int fd, const char *path, struct err *e)
{
	for (unsigned ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms += POLL_MS) {
		if (errno != EWOULDBLOCK)
			return err_set(e, -errno, "cannot lock %s: %s", path, strerror(errno));
		if (ms >= LEFT_MS || !is_dead(fd))
			return busy(fd, path, e);
		poll(NULL, 0, POLL_MS);
	}
	return 0;
}

int lock_dir(const char *dir, struct err *e)
{
	CLEANUP(freep) char *path = xasprintf("%s/lock", dir);
	CLEANUP(closep) int fd = -1;
	char pid[PID_MAX];
	int n;

	if (!*dir || make_dirs(dir, e) < 0)
		return *dir ? e->code : err_set(e, -EINVAL, "the directory's name is empty");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	if (take(fd, path, e) < 0)
		return e->code;
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
		return err_set(e, -errno, "cannot write %s: %s", path, strerror(errno));
	n = fd;
	fd = -1;
	return n;
}

bool lock_marked(const char *dir, const char *name)
{
	CLEANUP(freep) char *path = xasprintf("%s/%s", dir, name);
	CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 && errno == EEXIST;
}
