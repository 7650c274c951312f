/* bgp_secrets.c - passwords in files
 * TESTS  tests/unit/agent/bgp_secrets.c, tests/netns/test_bgp_security.py */
#include "agent/bgp/bgp_secrets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct bgp_secret secret_stat(const char *path)
{
	struct bgp_secret s = { 0 };
	struct stat st;

	if (stat(path, &st) == 0) {
		s.mtime = st.st_mtim;
		s.ino = st.st_ino;
	}
	return s;
}

void bgp_secrets_forget(struct bgp_secrets *all)
{
	vec_foreach (&all->files, s)
		free(s->path);
	vec_clear(&all->files);
}

bool bgp_secrets_changed(const struct bgp_secrets *all)
{
	for (size_t i = 0; i < all->files.n; i++) {
		const struct bgp_secret *s = &all->files.p[i];
		struct bgp_secret now = secret_stat(s->path);

		if (now.ino != s->ino || now.mtime.tv_sec != s->mtime.tv_sec ||
		    now.mtime.tv_nsec != s->mtime.tv_nsec)
			return true;
	}
	return false;
}

static void secret_note(struct bgp_secrets *all, const char *path)
{
	struct bgp_secret s = secret_stat(path);

	vec_foreach (&all->files, old)
		if (strcmp(old->path, path) == 0)
			return;
	s.path = xstrdup(path);
	vec_push(&all->files, s);
}

enum { PASSWORD_MAX = 80 }; /* of TCP MD5 */

/* The first line; false when it is none, or longer than TCP takes: half of one would be a wrong one. */
static bool read_line(FILE *f, char out[static PASSWORD_MAX + 1])
{
	size_t n = fread(out, 1, PASSWORD_MAX, f), len;
	int next = n == PASSWORD_MAX ? fgetc(f) : EOF;

	out[n] = '\0';
	len = strcspn(out, "\r\n");
	if (len == PASSWORD_MAX && next != EOF && next != '\r' && next != '\n')
		len = 0;
	explicit_bzero(out + len, n - len);
	return len > 0;
}

bool bgp_secrets_read(void *arg, const char *name, const char *key, char out[static 81])
{
	struct bgp_secrets *all = arg;
	CLEANUP(freep) char *path = NULL;
	bool there;
	FILE *f;

	if (strchr(name, '/') || strchr(key, '/') || name[0] == '.' || key[0] == '.')
		return false;
	path = xasprintf("%s/secrets/%s/%s", all->state_dir, name, key);
	secret_note(all, path);
	f = fopen(path, "re");
	if (!f)
		return false;
	there = read_line(f, out);
	fclose(f);
	return there;
}
