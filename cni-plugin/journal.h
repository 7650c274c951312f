/* journal.h - DELs that no agent was there to hear: files that the agent replays. */
#pragma once

#include <jansson.h>

#include "cni-plugin/env.h"

/* Leave the request as STATE_DIR/cni-journal/CONTAINERID-IFNAME.json, whole or not at all, and on
 * disk before this returns. */
int journal_add(const char *state_dir, const struct env *env, const json_t *request,
		struct cni_error *f);
