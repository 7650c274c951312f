/* story.h - stories of commands against an embedded datastore: each step is a command line, the manifest
 * that it reads, its exit status, and words that its two outputs must hold. */
#pragma once

#include "lib/base.h"
#include "lib/str.h"

struct story_step {
	const char *line, *manifest;
	int rc;
	const char *out, *err; /* must be in it; "" must be empty; NULL: anything */
};

extern char story_dir[], *story_store;

/* For cmocka's groups: a folder with a datastore, and its end. */
int story_set_up(void **state);
int story_tear_down(void **state);
void story_play(const struct story_step *steps, size_t n);
/* Returns the exit status; out and err get what was printed, heap. manifest: what "-f M" is. */
int story_run(const char *line, const char *manifest, char **out, char **err);
