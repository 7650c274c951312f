/* scopes.h - which of the datastore this node keeps in memory: all of what is small and concerns
 * everybody, of pods and blocks only its own. */
#pragma once

#include "agent/cache.h"

struct scopes {
	struct cache_scope row[4];
	char *node; /* name, and how its endpoints' names begin */
	char *wep_prefix;
};

void scopes_init(struct scopes *s, const char *node);
void scopes_done(struct scopes *s);
