/* uuid.h - names for new objects. */
#pragma once

#include "lib/base.h"

enum { UUID_STR_MAX = 37 };

/* A random one (RFC 9562, version 4). Returns out. */
char *uuid_random(char out[static UUID_STR_MAX]);
