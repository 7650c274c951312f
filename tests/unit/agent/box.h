/* box.h - a loop and an embedded datastore in a directory of its own, for tests of the agent's
 * parts. */
#pragma once

#include <event2/event.h>

#include "datastore/ds.h"

struct box {
	struct event_base *base;
	struct ds *ds;	  /* the one that is tested through */
	struct ds *other; /* another process's hand on the same store */
	char dir[64];
	char spec[128];
};

int box_open(void **state);
int box_close(void **state);
/* Turn the loop until *until is true; fails the test after a minute. */
void box_run(struct box *b, const bool *until);
/* The same for a number to reach n. */
void box_run_to(struct box *b, const unsigned *count, unsigned n);
/* Turn the loop as long as it has anything to do at once. */
void box_settle(struct box *b);
/* Write through `other`; returns the revision. */
int64_t box_put(struct box *b, const char *key, const char *value);
void box_delete(struct box *b, const char *key);
/* The stored text, heap; NULL when there is none. */
char *box_get(struct box *b, const char *key);
