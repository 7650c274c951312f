/* bgp_secrets.h - passwords in files: STATE_DIR/secrets/NAME/KEY. */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "lib/base.h"
#include "lib/vec.h"

/* A file; changes are looked for now and then. */
struct bgp_secret {
	char *path;
	struct timespec mtime;
	ino_t ino; /* 0: there was none */
};

struct bgp_secrets {
	const char *state_dir;	      /* borrowed */
	VEC(struct bgp_secret) files; /* as they were read */
};

/* A bgp_secret_fn whose arg is a struct bgp_secrets. The file is remembered. */
bool bgp_secrets_read(void *arg, const char *name, const char *key, char out[static 81]);
/* Is one of those that were read, or were not there, another one now? */
bool bgp_secrets_changed(const struct bgp_secrets *s);
/* Begin anew; also at the end. */
void bgp_secrets_forget(struct bgp_secrets *s);
