/* health.h - GET /liveness and /readiness: 200, or 503 with a line for each reason.
 *
 * A port that is taken is logged and tried again; it is no reason to end. */
#pragma once

#include "agent/agent.h"
#include "lib/str.h"

struct health;

struct health *health_new(struct agent *a);
void health_free(struct health *h);
/* Why this node is not ready for pods, one line each, appended; nothing when it is. */
void health_not_ready(struct agent *a, struct str *out);
