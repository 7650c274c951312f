/* drain.h - a node leaves the fabric without losing a packet, and comes back.
 *
 * SHAPE  begun -> announced: all routes with GRACEFUL_SHUTDOWN and LOCAL_PREF 0 (RFC 8326), so that
 *                 everybody who has another way takes it while this one still works
 *              -> withdrawn: nothing is told any more, sessions are up, forwarding goes on
 *              -> stopped:   sessions ended with a Hard Reset (RFC 8538), nobody keeps anything
 *        with a pause between two of them; `end` goes back from anywhere. STATE_DIR/drain says how far
 *        it is, so an agent that is started again goes on there. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

struct drain;
struct event_base;

enum drain_phase {
	DRAIN_NONE,
	DRAIN_ANNOUNCED,
	DRAIN_WITHDRAWN,
	DRAIN_STOPPED,
	DRAIN_PHASE_MAX_,
};

enum {
	DRAIN_PAUSE_S = 10, /* unless told otherwise: twice what a large fabric takes to converge */
	DRAIN_PAUSE_MAX_S = 3600,
};

const char *drain_phase_name(enum drain_phase phase); /* "announced"; "none" */

/* Times are of the wall clock, which goes on while the machine is down. */
struct drain_state {
	enum drain_phase phase;
	int64_t since_ms; /* in this phase */
	unsigned pause_s;
	char text[129]; /* to the peers (RFC 9003); "" */
};

/* Go on to the phase that it is time for. True: it is another one. A clock that was put back makes a
 * pause longer, at most by itself. */
bool drain_step(struct drain_state *s, int64_t wall_ms);
/* When to look again; INT64_MAX: never. */
int64_t drain_deadline(const struct drain_state *s);
/* As a file, heap; and back: -EINVAL when it is none. */
char *drain_encode(const struct drain_state *s);
int drain_decode(const char *text, struct drain_state *s, struct err *e);

/* Reads how far it was. changed: on the loop, whenever drain_phase is another one. */
typedef void drain_changed_fn(void *arg);
struct drain *drain_new(struct event_base *base, const char *state_dir, drain_changed_fn *changed,
			void *arg);
void drain_free(struct drain *d);

enum drain_phase drain_phase(const struct drain *d);
const char *drain_text(const struct drain *d);
/* Begin; of one that has begun the later pauses change. -errno when it cannot be remembered: then
 * nothing changes. */
int drain_begin(struct drain *d, unsigned pause_s, const char *text, struct err *e);
int drain_end(struct drain *d, struct err *e);
/* {"phase", "since", "pauseSeconds", "nextInSeconds", "text"} */
json_t *drain_show(const struct drain *d);
