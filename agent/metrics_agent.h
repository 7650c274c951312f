/* metrics_agent.h - the numbers of parts that have no source of their own: the process, the
 * datastore's picture, policy, routes, pods. */
#pragma once

#include "agent/agent.h"

void metrics_agent_sources(struct agent *a);
