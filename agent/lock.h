/* lock.h - one agent per directory. */
#pragma once

#include "lib/err.h"

/* Make the directory (and those above it) and take DIR/lock, which then holds our process id. The
 * kernel gives the lock back when the process ends, however it ends. Returns the descriptor to keep
 * open, or -EBUSY saying which process has it. */
int lock_dir(const char *dir, struct err *e);
/* Was there a DIR/name already? Makes it when there was not. */
bool lock_marked(const char *dir, const char *name);
