/* agent.h - what is asked of a running agent. */
#pragma once

#include "lib/err.h"

/* Wait until this agent's kernel enforces what the store said at revision rev. */
int agent_settle(const char *run_dir, int64_t rev, struct err *e);
