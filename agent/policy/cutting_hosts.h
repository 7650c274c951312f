/* cutting_hosts.h - which host endpoints of this node a tracked flow meets.
 *
 * A flow does not say by which interfaces it goes; the way to its other end does, as the kernel has it
 * now. Where several ways lead there, past different host endpoints, nobody can say. */
#pragma once

#include "policy/calc.h"
#include "policy/explain_path.h"

struct cutting_hosts;
struct link_table;

struct cutting_hosts *cutting_hosts_new(const struct link_table *links);
void cutting_hosts_free(struct cutting_hosts *h);
void cutting_hosts_take(struct cutting_hosts *h, const struct calc_effects *fx);
bool cutting_hosts_any(const struct cutting_hosts *h);
/* The ways are looked for anew. */
void cutting_hosts_forget_ways(struct cutting_hosts *h);
/* Set uplink and every of this node's end of a way to or from peer, which is elsewhere; NULL: here.
 * False: it cannot be said. */
bool cutting_hosts_find(struct cutting_hosts *h, const struct addr *peer, struct explain_end *end);
