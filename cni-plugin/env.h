/* env.h - what the runtime says in the environment, checked. Pure. */
#pragma once

#include "lib/cni_error.h"

enum verb {
	VERB_NONE, /* CNI_COMMAND is absent: say what this program is */
	VERB_ADD,
	VERB_DEL,
	VERB_CHECK,
	VERB_STATUS,
	VERB_GC,
	VERB_VERSION,
};

/* Texts are "" where absent, and borrowed from the environment. */
struct env {
	enum verb verb;
	const char *verb_name;
	const char *container_id, *netns, *ifname, *args, *path;
	bool netns_override; /* the plugin's own namespace may be the pod's */
};

/* get is getenv(3) or a test's. -1 with code 4 and all missing names in one message. */
int env_read(struct env *env, char *(*get)(const char *name), struct cni_error *f);

/* The alphabet of container IDs and network names: a letter or digit, then also "_.-". */
bool env_is_id(const char *s);
