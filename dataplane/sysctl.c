/* sysctl.c - files under /proc/sys
 * WHY  open() decides by the caller's own network namespace, so this works in a pod after setns(2)
 *      without mounting anything. */
#include "dataplane/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* /proc/sys/net of the namespace that sysctl_pin was called in; -1: none. The whole path costs the
 * kernel some 30 us with hundreds of namespaces on the machine, a tenth of that from here. */
static int pinned = -1;

int sysctl_pin(struct err *e)
{
	if (pinned < 0)
		pinned = open("/proc/sys/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return pinned < 0 ? err_set(e, -errno, "/proc/sys/net: %s", strerror(errno)) : 0;
}

static int open_key(const char *path, int flags, struct err *e)
{
	char full[256];
	int fd;

	if (snprintf(full, sizeof(full), "/proc/sys/%s", path) >= (int)sizeof(full))
		return err_set(e, -ENAMETOOLONG, "sysctl %s: name too long", path);
	if (pinned >= 0 && str_starts(path, "net/"))
		fd = openat(pinned, path + strlen("net/"), flags | O_CLOEXEC);
	else
		fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? err_set(e, -errno, "%s: %s", full, strerror(errno)) : fd;
}

static int read_value(int fd, const char *path, char value[static SYSCTL_VALUE_MAX], struct err *e)
{
	ssize_t n = pread(fd, value, SYSCTL_VALUE_MAX - 1, 0);

	if (n < 0)
		return err_set(e, -errno, "/proc/sys/%s: %s", path, strerror(errno));
	value[n] = 0;
	value[strcspn(value, "\n")] = 0;
	return 0;
}

static int write_value(int fd, const char *path, const char *value, struct err *e)
{
	if (pwrite(fd, value, strlen(value), 0) < 0)
		return err_set(e, -errno, "/proc/sys/%s: writing %s: %s", path, value,
			       strerror(errno));
	return 0;
}

int sysctl_write(const char *path, const char *value, struct err *e)
{
	CLEANUP(closep) int fd = open_key(path, O_WRONLY, e);

	return fd < 0 ? fd : write_value(fd, path, value, e);
}

int sysctl_read(const char *path, char value[static SYSCTL_VALUE_MAX], struct err *e)
{
	CLEANUP(closep) int fd = open_key(path, O_RDONLY, e);

	return fd < 0 ? fd : read_value(fd, path, value, e);
}

int sysctl_set(const char *path, const char *value, struct err *e)
{
	CLEANUP(closep) int fd = open_key(path, O_RDWR, NULL);
	char now[SYSCTL_VALUE_MAX];

	/* Some can be written only. */
	if (fd < 0)
		return sysctl_write(path, value, e);
	if (read_value(fd, path, now, NULL) == 0 && strcmp(now, value) == 0)
		return 0;
	return write_value(fd, path, value, e);
}
