/* sysctl.c - files under /proc/sys
 * WHY  open() decides by the caller's own network namespace, so this works in a pod after setns(2)
 *      without mounting anything. */
#include "dataplane/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_key(const char *path, int flags, struct err *e)
{
	char full[256];
	int fd;

	if (snprintf(full, sizeof(full), "/proc/sys/%s", path) >= (int)sizeof(full))
		return err_set(e, -ENAMETOOLONG, "sysctl %s: name too long", path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? err_set(e, -errno, "%s: %s", full, strerror(errno)) : fd;
}

int sysctl_write(const char *path, const char *value, struct err *e)
{
	CLEANUP(closep) int fd = open_key(path, O_WRONLY, e);

	if (fd < 0)
		return fd;
	if (write(fd, value, strlen(value)) < 0)
		return err_set(e, -errno, "/proc/sys/%s: writing %s: %s", path, value,
			       strerror(errno));
	return 0;
}

int sysctl_read(const char *path, char value[static SYSCTL_VALUE_MAX], struct err *e)
{
	CLEANUP(closep) int fd = open_key(path, O_RDONLY, e);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, value, SYSCTL_VALUE_MAX - 1);
	if (n < 0)
		return err_set(e, -errno, "/proc/sys/%s: %s", path, strerror(errno));
	value[n] = 0;
	value[strcspn(value, "\n")] = 0;
	return 0;
}

int sysctl_set(const char *path, const char *value, struct err *e)
{
	char now[SYSCTL_VALUE_MAX];

	if (sysctl_read(path, now, NULL) == 0 && strcmp(now, value) == 0)
		return 0;
	return sysctl_write(path, value, e);
}
