/* agent.h - what is asked of a running agent. */
#pragma once

#include "lib/err.h"
#include "lib/str.h"

/* "Does your kernel enforce what the store said at revision rev?", asked until it does. */
struct agent_wait {
	const char *run_dir;
	int64_t rev, asked_ms;
	int fd; /* -1: no question is out */
	struct str text;
	bool done;
};

struct agent_wait agent_wait(const char *run_dir, int64_t rev);
void agent_wait_done(struct agent_wait *w);
/* Go on without waiting. 1: it does. 0: not yet. -errno. */
int agent_wait_step(struct agent_wait *w, struct err *e);
/* The same with waiting; -ETIMEDOUT. */
int agent_settle(const char *run_dir, int64_t rev, struct err *e);
