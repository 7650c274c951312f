/* owner.h - is this the only agent that calls itself by this node's name?
 *
 * WHY    Two agents with one name share blocks and pods in the datastore and fight over every
 *        route. A second one on the same machine is stopped by a lock (main.c); one elsewhere only
 *        shows in the datastore.
 * SHAPE  /margay/v1/agents/NODE says who runs: an instance (a random number kept in the state
 *        directory), a claim number, and a beat that is counted up. Nobody compares clocks: a
 *        newcomer that finds another instance watches whether its beat moves, at most
 *        OWNER_WAIT_MS. If it moves, the newcomer ends with words; if not, it takes over. The same
 *        instance (a restart) takes over at once. An owner that finds its record overwritten by a
 *        newer claim takes it back, and the newer one sees that at its next beat and ends.
 *        The key is outside of /calico, so that beats wake no watcher. */
#pragma once

#include "lib/err.h"

struct agent;
struct owner;

enum {
	OWNER_BEAT_MS = 10000, /* 5 000 nodes are 500 small writes a second */
	OWNER_WAIT_MS = 25000, /* two beats and time for a slow store */
};

/* ours: called once when this agent may act. A foreign owner stops the agent (a->stop). */
typedef void owner_ours_fn(void *arg);
struct owner *owner_new(struct agent *a, owner_ours_fn *ours, void *arg, struct err *e);
/* Other times, for tests. */
void owner_set_times(struct owner *o, int beat_ms, int wait_ms);
/* release: leave the record with the mark that the owner has ended, so that anybody may take over.
 * Runs the loop for a moment: the last part to be freed before the datastore. */
void owner_free(struct owner *o, bool release);
/* NULL when this agent is the owner; else what it waits for. */
const char *owner_waiting(const struct owner *o);

/* The record, for tests: JSON text and back. */
struct owner_record {
	char instance[40];
	int64_t claim, beat;
	bool ended;
	char host[256]; /* for a person: where it runs */
	int64_t pid;
};
char *owner_encode(const struct owner_record *r);
/* Total; a text that is none gives an empty instance. */
void owner_decode(const char *text, struct owner_record *r);
