/* wall.h - wall-clock times the way Calico's objects spell them, without a clock or a time zone. */
#pragma once

#include "lib/base.h"

#define NS_PER_S INT64_C(1000000000)

enum { WALL_STR_MAX = 48 };

/* "2026-08-01T10:00:00Z" (fraction and offset understood), or Go's default form
 * "2026-08-01 10:00:04.5 +0000 UTC", to nanoseconds since 1970. Total: false, *out untouched, for
 * anything else and for years outside 1970..2200. */
bool wall_parse(const char *text, int64_t *out_ns);
/* RFC 3339, UTC, whole seconds: what a Kubernetes time looks like. Returns buf. */
char *wall_rfc3339(int64_t ns, char buf[static WALL_STR_MAX]);
/* Go's default form in UTC, as in the attribute "timestamp" of an allocation. Returns buf. */
char *wall_gostring(int64_t ns, char buf[static WALL_STR_MAX]);
