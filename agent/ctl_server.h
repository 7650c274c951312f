/* ctl_server.h - RUN_DIR/ctl.sock: what margayctl asks the agent.
 *
 * One JSON object a line, one line back, then the connection ends:
 *
 *	{"cmd":"status"}	node, datastore, blocks, sessions, routes, whether ready and why not
 *	{"cmd":"neighbors"}	every BGP session in detail
 *	{"cmd":"routes","prefix":"10.0.0.0/26"}	paths of one prefix; without it, of all
 *				(at most CTL_ROUTES_MAX)
 *	{"cmd":"why","prefix":"10.0.0.0/26","to":"192.168.1.1"}	why that peer is told the prefix, or
 *				is not; without "to": every peer
 *	{"cmd":"drain","pauseSeconds":10,"text":"new disk"}	leave the fabric; both may be missing
 *	{"cmd":"undrain"}	and come back
 *	{"cmd":"drained"}	how far that is
 *	{"cmd":"version"}
 *	{"cmd":"log","level":"debug"}
 *
 * An answer is {"ok":true,...} or {"ok":false,"msg":"what was wrong and what would be right"}. */
#pragma once

#include "agent/agent.h"
#include "lib/err.h"

enum {
	CTL_LINE_MAX = 4096,	/* bytes of a question */
	CTL_CONNS_MAX = 32,	/* at once; the oldest silent one makes room */
	CTL_IDLE_S = 10,	/* for a question to arrive and its answer to be read */
	CTL_ROUTES_MAX = 10000, /* paths in one answer, some 3 MB */
};

struct ctl_server;

struct ctl_server *ctl_server_new(struct agent *a, struct err *e);
void ctl_server_free(struct ctl_server *s);
