/* ctl_answer.h - questions to the agent and their answers, without a socket. */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

/* The answer to one line of input; any bytes are fine. Never NULL; the caller's. */
json_t *ctl_answer(struct agent *a, const char *line, size_t len);

/* {"ok":false,"msg":...} */
json_t *ctl_refusal(const char *msg);
/* The node's state: also for the log (SIGUSR1). */
json_t *ctl_status(struct agent *a);
