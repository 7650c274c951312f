/* lock.c - one agent per directory
 * TESTS  tests/unit/agent/lock.c */
#include "agent/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

static int busy(int fd, const char *path, struct err *e)
{
	char pid[24] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	return err_set(
		e, -EBUSY,
		"%s: another agent (process %s) uses this directory. Stop it, or give this one "
		"a --run-dir and a --state-dir of its own",
		path, *pid ? pid : "unknown");
}

int lock_dir(const char *dir, struct err *e)
{
	CLEANUP(freep) char *path = xasprintf("%s/lock", dir);
	CLEANUP(closep) int fd = -1;
	char pid[24];
	int n;

	if (!*dir || make_dirs(dir, e) < 0)
		return *dir ? e->code : err_set(e, -EINVAL, "the directory's name is empty");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? busy(fd, path, e)
			       : err_set(e, -errno, "cannot lock %s: %s", path, strerror(errno));
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
