/* cni_server.h - RUN_DIR/cni.sock: where the CNI plugin asks and is answered.
 *
 * One connection a call, one JSON object a line; cni-plugin/README.md is the protocol. A call that
 * comes before the agent knows its datastore and has tidied up after its last life waits for that,
 * at most CNI_HOLD_S, and is then answered with code 11: a kubelet that finds a restarting agent
 * loses milliseconds, not a pod. */
#pragma once

#include "agent/agent.h"
#include "agent/cni/cni_job.h"
#include "lib/err.h"

enum {
	CNI_LINE_MAX = 256 << 10, /* bytes of one request: a pod's configuration has 2 to 10 KiB */
	CNI_CONNS_MAX = 256,	  /* at once; a node starts at most some hundred pods at a time */
	CNI_IDLE_S = 10,	  /* for a request to arrive whole */
	CNI_VETH_S = 60,	  /* for READY or ABORT after the first answer; a veth takes 1 ms */
	CNI_HOLD_S = 20,	  /* for the agent to get ready; kubelet waits 120 s in all */
};

struct cni_server;

/* Listens at once; -errno with words. A socket file that nobody listens on is replaced. */
int cni_server_new(struct cni_server **out, struct agent *a, struct err *e);
/* Closes everything; endpoints and half ADDs stay as they are for the next start. NULL is fine. */
void cni_server_free(struct cni_server *s);
/* STATUS: why nothing works here any more (code 51), or NULL when that is over. Copied. */
void cni_server_broken(struct cni_server *s, const char *why);

/* Connections that are open: for health and tests. */
unsigned cni_server_conns(const struct cni_server *s);

/* Of the operations: give the lines of a call that has no connection (the journal's). done is told
 * once, from the loop or at once, with the failure or NULL; it borrows it. */
typedef void cni_done_fn(void *arg, const struct cni_error *f);
void cni_server_run(struct cni_server *s, const char *line, size_t len, cni_done_fn *done,
		    void *arg);
