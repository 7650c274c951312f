/* config_calico.h - what the template of a calico-node pod says */
#pragma once

#include "agent/config.h"
#include "lib/err.h"
#include "lib/str.h"

/* Take IP, FELIX_*, DATASTORE_TYPE and their like out of the environment. An empty one counts as
 * unset, which is how pod templates say unset. */
int config_calico_load(struct agent_config *c, char *const *envp, struct err *e);

/* The Calico variables of a setting, for --help: ", Calico's A, B" or nothing. */
void config_calico_help(const char *path, struct str *out);
