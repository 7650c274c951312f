/* clock.h - the wall clock, for what is written into objects. */
#pragma once

#include "lib/base.h"

/* Nanoseconds since 1970. */
int64_t clock_wall_ns(void);
