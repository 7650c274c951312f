/* program.h - the frame of both programs: environment and stdin in, verb, stdout and status out. */
#pragma once

#include "cni-plugin/conf.h"

typedef int (*verb_fn)(const struct env *env, const struct conf *c, char **out,
		       struct cni_error *f);

struct program {
	const char *about; /* for a call without CNI_COMMAND */
	verb_fn add, del, check, status, gc;
	void (*add_undo)(const struct env *env, const struct conf *c); /* may be NULL */
};

/* main() of a CNI plugin; returns the exit status. */
int program_run(const struct program *p);
