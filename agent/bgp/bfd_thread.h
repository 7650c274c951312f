/* bfd_thread.h - BFD beside the loop: a thread of its own for what must be in time.
 *
 * WHY    The agent's loop is one thread, and this is beside it. Whoever writes routes waits for the
 *        kernel's lock on network configuration, which another pod's end can hold for a second;
 *        a datastore waits for a disk. A neighbour with 3 x 50 ms hears nothing for as long, and
 *        takes that for a broken path. Here the packets go on.
 * SHAPE  The thread has a loop, sockets and timers of its own (bfd_peers.h), and shares with the
 *        agent three things under one lock: the wanted set, reports, and the sessions for status.
 *        What happened is handed to the agent's loop ahead of all else that is ready there, and
 *        logged there. If it may, it runs with real-time priority.
 * LIMITS reports that wait: see the .c; of packets that were dropped only a few a second are told. */
#pragma once

#include "agent/bgp/bfd_peers.h"
#include "lib/str.h"

struct bfd_thread;

/* fn is called on the loop of base, for events only. */
typedef void bfd_event_fn(void *arg, const struct bfd_path *path, enum bfd_event event);

struct bfd_thread *bfd_thread_new(struct event_base *base, bfd_event_fn *fn, void *arg);
/* Ends it; neighbours are told AdminDown. */
void bfd_thread_free(struct bfd_thread *t);
/* The whole set of neighbours; copied. The thread starts with the first one. */
void bfd_thread_set(struct bfd_thread *t, const struct bfd_want *want, size_t n);
/* False: there is no session with it. */
bool bfd_thread_status(struct bfd_thread *t, const struct addr *peer, uint32_t ifindex,
		       struct bfd_peer_status *out);
/* Why there is none where there should be one, appended as a line. */
void bfd_thread_trouble(struct bfd_thread *t, struct str *out);
