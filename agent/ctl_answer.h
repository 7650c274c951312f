/* ctl_answer.h - questions to the agent and their answers, without a socket. */
#pragma once

#include <jansson.h>

#include "agent/agent.h"

/* For an answer that takes a while: who asks says what to call, who answers how to stop it. */
struct ctl_later {
	void (*fn)(void *arg, json_t *answer); /* takes the answer over; called from the loop */
	void *arg;
	void (*stop)(void *work); /* fn will not be called */
	void *work;		  /* NULL: nothing is under way */
};

/* The answer to one line of input; any bytes are fine. The caller's; NULL: it comes by `later`. */
json_t *ctl_answer(struct agent *a, const char *line, size_t len, struct ctl_later *later);

/* {"ok":false,"msg":...} */
json_t *ctl_refusal(const char *msg);
/* The node's state: also for the log (SIGUSR1). */
json_t *ctl_status(struct agent *a);
