/* clusterinfo.h - ClusterInformation: what cluster this is, and whether its data may be changed. */
#pragma once

#include "lib/fields.h"

struct object;

struct clusterinfo {
	char *guid, *type, *version, *variant;
	bool ready, has_ready;
};

extern const struct fields clusterinfo_fields;

#define CLUSTERINFO_NAME "default"

/* A new object: guid of 32 hexadecimal digits from 16 random bytes, ready, version left empty (a
 * version would lock out every calicoctl of another one). */
struct object clusterinfo_new(const uint8_t random[static 16], const char *type);
/* Does it say that the data is locked (datastoreReady: false)? No object: not locked. */
bool clusterinfo_locked(const struct object *o);
