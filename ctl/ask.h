/* ask.h - questions to the agent of this node, over RUN_DIR/ctl.sock; the protocol is in
 * agent/ctl_server.h. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

struct ctl;

/* question is consumed. 0 and the answer, which has "ok": true and is the caller's; or a negative
 * errno with words when there is no agent, or when it refuses. */
int agent_ask(const struct ctl *c, json_t *question, json_t **answer, struct err *e);
/* {"cmd": NAME} */
json_t *agent_question(const char *cmd);

/* Text of a member, "" when it is absent or no text; and a number, 0. */
const char *answer_text(const json_t *o, const char *name);
long long answer_number(const json_t *o, const char *name);
/* "2026-08-01T10:00:00Z" as "10:00:00" when that is less than a day ago, else as "2026-08-01".
 * Heap. */
char *answer_since(const json_t *o, const char *name);
