/* files.c - manifests from files, folders and stdin */
#include "ctl/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/kube.h"

enum { FOLDERS_MAX = 32 }; /* deep: a link to a folder above would never end */

static int fd_read(int fd, const char *path, struct str *out, struct err *e)
{
	char bytes[16384];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		str_addn(out, bytes, (size_t)n);
		if (out->len > YML_SIZE_MAX)
			return err_set(e, -EFBIG, "%s: longer than %d bytes", path, YML_SIZE_MAX);
	}
	return n < 0 ? err_set(e, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int file_read(const char *path, struct str *out, struct err *e)
{
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	return fd_read(fd, path, out, e);
}

/* Everything that is wrong is worth telling at once: go on behind a bad document. */
static void read_docs(struct manifests *m, const char *name, const struct str *bytes)
{
	struct yml_docs docs = { 0 };
	struct err e = { 0 };

	if (yml_parse(name, str_text(bytes), bytes->len, &docs, &e) < 0) {
		ctl_error("%s", e.msg);
		m->n_bad++;
	}
	vec_foreach (&docs, doc) {
		if ((kube_is(doc->value) ? kube_objects(doc, &m->object, &e)
					 : objects_from_doc(doc, &m->object, &e)) < 0) {
			ctl_error("%s", e.msg);
			m->n_bad++;
		}
	}
	yml_docs_done(&docs);
}

static int read_one(struct manifests *m, const char *path, struct err *e)
{
	bool in = !strcmp(path, "-");
	struct str bytes = { 0 };
	int rc = in ? fd_read(STDIN_FILENO, "stdin", &bytes, e) : file_read(path, &bytes, e);

	if (rc == 0) {
		vec_push(&m->name, xstrdup(in ? "stdin" : path));
		read_docs(m, m->name.p[m->name.n - 1], &bytes);
	}
	str_done(&bytes);
	return rc;
}

static bool is_manifest(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int read_path(struct manifests *m, const char *path, bool recursive, int depth,
		     struct err *e);

static int read_folder(struct manifests *m, const char *path, bool recursive, int depth,
		       struct err *e)
{
	struct dirent **entry;
	int n = scandir(path, &entry, NULL, alphasort), rc = 0;

	if (n < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = entry[i]->d_name;
		CLEANUP(freep) char *child = xasprintf("%s/%s", path, name);
		struct stat st;
		bool folder = stat(child, &st) == 0 && S_ISDIR(st.st_mode);

		if (rc == 0 && name[0] != '.' && (folder ? recursive : is_manifest(name)))
			rc = read_path(m, child, recursive, depth + 1, e);
		free(entry[i]);
	}
	free(entry);
	return rc;
}

static int read_path(struct manifests *m, const char *path, bool recursive, int depth,
		     struct err *e)
{
	struct stat st;

	if (depth > FOLDERS_MAX)
		return err_set(e, -ELOOP, "%s: folders deeper than %d", path, FOLDERS_MAX);
	if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return read_folder(m, path, recursive, depth, e);
	return read_one(m, path, e);
}

int manifests_read(const char *path, bool recursive, struct manifests *out, struct err *e)
{
	return read_path(out, path, recursive, 0, e);
}

void manifests_done(struct manifests *m)
{
	objects_done(&m->object);
	vec_foreach (&m->name, name)
		free(*name);
	vec_done(&m->name);
}
