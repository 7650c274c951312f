/* birdctl.h - BIRD's control protocol, as far as Calico's tools speak it: DIR/bird.ctl and DIR/bird6.ctl.
 *
 * WHY    `calicoctl node status`, calico-node's CalicoNodeStatus reporter and its health checks ask BIRD
 *        on a socket. Where the configuration names a directory (birdSocketDir, /var/run/calico for
 *        theirs) this agent answers there in BIRD's place. Off unless named: while nodes are moved one
 *        by one, the sockets may still be a real BIRD's.
 * SHAPE  A greeting, then for each line with a question, lines with a code of four digits: `-` behind it
 *        when more follow, a blank instead of code and `-` when the code is that of the line before.
 *
 *		0001 BIRD v... ready.
 *		show protocols
 *		2002-name     proto    table    state  since       info
 *		1002-Mesh_10_0_0_2 BGP master up 10:12:33 Established
 *		 Global_10_0_0_1 BGP master start 10:12:30 Connect
 *		0000
 *
 *        Understood: show status, show protocols [all [NAME]], show route, restrict, quit; whatever
 *        would change something is denied. */
#pragma once

#include "bgp/speaker.h"
#include "lib/str.h"

struct agent;
struct birdctl;

enum {
	BIRDCTL_LINE_MAX = 1024,     /* bytes of a question */
	BIRDCTL_CONNS_MAX = 16,	     /* on each socket; the oldest makes room */
	BIRDCTL_IDLE_S = 60,	     /* birdc is a program that people leave open */
	BIRDCTL_ROUTES_MAX = 100000, /* in one answer, some 9 MB */
};

/* What answers are made of. */
struct birdctl_facts {
	struct bgp_speaker *speaker; /* NULL: it has not begun */
	enum ip_family family;	     /* which of both sockets */
	uint32_t router_id;
	int64_t now_ms, wall_ms; /* of the same moment */
	int64_t started_ms;	 /* as now_ms */
	bool converged;
	bgp_resolve_fn *resolve; /* for the interface of a next hop */
	void *arg;
};

/* "0001 BIRD ... ready.\n" */
void birdctl_greet(struct str *out);
/* The answer to one line without its end; any bytes. False: the connection ends. */
bool birdctl_answer(const struct birdctl_facts *f, const char *line, struct str *out);

/* NULL when the configuration names no directory, or when the sockets cannot be had, which is logged. */
struct birdctl *birdctl_new(struct agent *a);
void birdctl_free(struct birdctl *b);
