/* bfd_peers.h - BFD with the BGP neighbours that want it: sessions, their sockets and timers.
 *
 * WHY    A broken path ends the BGP session in three lost packets instead of a hold time.
 * SHAPE  The owner (bfd_thread.h) declares the whole set of neighbours; what is equal stays
 *        untouched, new timers go by poll sequence. A session that never came up says nothing: a
 *        neighbour without BFD keeps its BGP session. No log, no globals: what happened is
 *        reported. */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "agent/bgp/bfd_socket.h"

struct bfd_peers;
struct event_base;

/* One session; the key is the peer and the ifindex of path, 0 for several hops. */
struct bfd_want {
	struct bfd_path path;
	struct bfd_config timers;
};

enum bfd_report_kind {
	BFD_REPORT_EVENT,   /* a session came up or went down */
	BFD_REPORT_DROP,    /* a packet was not taken, and text says why */
	BFD_REPORT_TROUBLE, /* a socket could not be made; it is tried again */
};

struct bfd_report {
	enum bfd_report_kind kind;
	struct bfd_path path; /* DROP: peer is where it came from */
	bool known;	      /* DROP: from a neighbour of ours */
	/* DOWN: the path broke; ADMIN_DOWN: the neighbour switched BFD off, which says nothing of the
	 * path (RFC 5882 4.2); UP */
	enum bfd_event event;
	uint8_t diag, remote_diag;
	char text[160];
};

/* The callee may not call back in. */
typedef void bfd_report_fn(void *arg, const struct bfd_report *r);

/* lock: held whenever the base calls in here. The other calls are made with it held. */
struct bfd_peers *bfd_peers_new(struct event_base *base, pthread_mutex_t *lock, bfd_report_fn *fn,
				void *arg);
/* Neighbours are told AdminDown: that we go is no news about the path (RFC 5882 4.2). */
void bfd_peers_free(struct bfd_peers *b);
void bfd_peers_set(struct bfd_peers *b, const struct bfd_want *want, size_t n);

struct bfd_peer_status {
	struct bfd_path path;
	struct bfd_session session;
	uint32_t tx_us; /* in use: between two packets of ours, at most */
	int64_t since_ms;
	uint64_t dropped; /* packets of this neighbour that were not taken */
};
/* False: there is no session with it. */
bool bfd_peers_status(const struct bfd_peers *b, const struct addr *peer, uint32_t ifindex,
		      struct bfd_peer_status *out);
/* As JSON: states, timers, counts. New reference. */
json_t *bfd_show(const struct bfd_peer_status *st);
/* Why there is none where there should be one; "" when all is well. */
const char *bfd_peers_trouble(const struct bfd_peers *b);
