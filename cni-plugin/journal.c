/* journal.c - DELs that no agent was there to hear
 * WHY    A pod must be removable while the agent or the datastore is away. The entry is what the
 *        agent would have been sent, so replaying it is the same as hearing it.
 * SHAPE  temporary file, fsync, rename, fsync of the folder: a crash leaves the old state or the
 * new. The container ID's alphabet and the interface name's make a safe file name. */
#include "cni-plugin/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/json.h"

/* mkdir -p; 0700 because requests may hold what the configuration holds. */
static int make_dirs(char *path)
{
	for (char *p = path + 1; *p; p++)
		if (*p == '/') {
			*p = 0;
			if (mkdir(path, 0700) < 0 && errno != EEXIST)
				return -errno;
			*p = '/';
		}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_synced(int dir, const char *name, const char *text)
{
	CLEANUP(closep) int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int put(int dir, const char *name, const char *text)
{
	CLEANUP(freep) char *tmp = xasprintf(".%d.tmp", (int)getpid());
	int rc = write_synced(dir, tmp, text);

	if (rc == 0 && renameat(dir, tmp, dir, name) < 0)
		rc = -errno;
	if (rc == 0 && fsync(dir) < 0)
		rc = -errno;
	if (rc < 0)
		(void)unlinkat(dir, tmp, 0);
	return rc;
}

int journal_add(const char *state_dir, const struct env *env, const json_t *request,
		struct cni_error *f)
{
	CLEANUP(freep) char *path = xasprintf("%s/cni-journal", state_dir);
	CLEANUP(freep) char *name = xasprintf("%s-%s.json", env->container_id, env->ifname);
	CLEANUP(freep) char *text = js_dump(request);
	int rc = make_dirs(path);
	CLEANUP(closep) int dir = rc < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (rc == 0)
		rc = dir < 0 ? -errno : put(dir, name, text);
	if (rc == 0)
		return 0;
	cni_fail(f, CNI_IO, "%s/%s: %s", path, name, strerror(-rc));
	return cni_remedy(f,
			  "the agent is away and the release of the pod's addresses could not be "
			  "noted for it; the call can be repeated");
}
