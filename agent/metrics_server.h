/* metrics_server.h - GET /metrics where the configuration says, this program's before FelixConfiguration; live.
 *
 * A port that is taken is logged and tried again; it is no reason to end. */
#pragma once

#include "agent/agent.h"

struct metrics_server;

/* Serves a->metrics. */
struct metrics_server *metrics_server_new(struct agent *a);
void metrics_server_free(struct metrics_server *s);
