/* bgp_show.h - the speaker's answers to an operator, as JSON. Pure. */
#pragma once

#include <jansson.h>

#include "bgp/speaker.h"
#include "lib/err.h"

/* Into o, which describes a session: capabilities of both ends, timers as they run, what ended it
 * last. */
void bgp_show_details(json_t *o, const struct bgp_peer_status *st, int64_t now_ms);

/* Into o, which describes a path: what its attributes say. */
void bgp_show_attrs(json_t *o, const struct bgp_attrs *a);

/* Why a prefix is told to a peer, or is not: an object for each session whose address or name is `to`;
 * for every session with to NULL. NULL, and e says why: no such session, no such prefix. */
json_t *bgp_show_why(struct bgp_speaker *sp, const char *prefix, const char *to, struct err *e);
