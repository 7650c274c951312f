/* node_mtu.h - how large a pod's packets may be. */
#pragma once

#include "agent/agent.h"

/* As configured, else that of the interface with this node's address, else 1500. */
unsigned node_mtu(const struct agent *a);
