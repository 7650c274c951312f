/* bgp_secrets.c - passwords in files */
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

bool bgp_secrets_read(void *arg, const char *name, const char *key, char out[static 81])
{
	struct bgp_secrets *all = arg;
	CLEANUP(freep) char *path = NULL;
	FILE *f;
	size_t n;

	if (strchr(name, '/') || strchr(key, '/') || name[0] == '.' || key[0] == '.')
		return false;
	path = xasprintf("%s/secrets/%s/%s", all->state_dir, name, key);
	secret_note(all, path);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(out, 1, 80, f);
	fclose(f);
	out[n] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return out[0] != '\0';
}
