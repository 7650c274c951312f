/* cni_job.h - one CNI call at work: what its operation may do with it.
 *
 *	static void op_status(struct cni_job *j)
 *	{
 *		struct cni_error f;
 *		if (cni_ready(j->agent, &f) < 0)
 *			cni_job_fail(j, &f);
 *		else
 *			cni_job_ok(j, NULL);
 *	}
 *
 * A job ends with exactly one cni_job_ok or cni_job_fail, now or later from the loop; the pointer
 *is dead after that. The peer may go away at any time: then `on_gone` is called if it is set, and
 * answers go nowhere; the job still ends the same way. */
#pragma once

#include <event2/event.h>

#include "agent/agent.h"
#include "agent/cni/cni_config.h"
#include "agent/cni/epobj.h"

struct cni_conn;
struct cni_server;

struct cni_job {
	struct cni_job *next, *prev; /* all jobs of the server */
	struct agent *agent;
	struct cni_server *server;
	struct cni_conn *conn; /* NULL: the peer has gone, or the journal's */
	struct cni_call call;
	char *line; /* the request as it came, for the journal */
	char *who;  /* "pod default/web-0", for messages */
	/* A further line of the peer (READY, ABORT); NULL: none is expected, a line ends the call.
	 */
	void (*on_line)(struct cni_job *j, const char *line, size_t len);
	void (*on_gone)(struct cni_job *j);
	void (*on_done)(void *arg, const struct cni_error *f); /* the journal's */
	void *arg;
	void *op; /* the operation's own state, and what frees it when the job ends; may be NULL */
	void (*op_free)(struct cni_job *j);
};

/* The last reply: {"ok":true} and the members of extra (consumed, may be NULL). */
void cni_job_ok(struct cni_job *j, json_t *extra);
void cni_job_fail(struct cni_job *j, const struct cni_error *f);
/* A reply after which the peer speaks again, to on_line, within timeout_s; else on_gone. */
void cni_job_say(struct cni_job *j, json_t *reply, unsigned timeout_s);
/* The job of an op ("ADD") on this container and interface other than `not`; NULL when there is
 * none. */
struct cni_job *cni_job_find(struct cni_server *s, const char *op, const char *container_id,
			     const char *ifname, const struct cni_job * not );

/* Is the datastore in reach, in sync and not locked? Otherwise -1 and code 11 with words. */
int cni_ready(const struct agent *a, struct cni_error *f);
/* The failure of a store request or of an ipam operation, in CNI's codes. */
struct store_res;
int cni_store_fail(struct cni_error *f, const struct store_res *res, const char *what);

/* The operations; each takes a job. */
void cni_op_add(struct cni_job *j);
void cni_op_del(struct cni_job *j);
void cni_op_check(struct cni_job *j);
void cni_op_status(struct cni_job *j);
void cni_op_gc(struct cni_job *j);
void cni_op_ipam_add(struct cni_job *j);
void cni_op_ipam_del(struct cni_job *j);
void cni_op_ipam_check(struct cni_job *j);

/* The request that undoes an ADD: its DEL, with no more of the configuration than that needs.
 * Caller frees. */
char *cni_del_line(const struct cni_call *c);

/* Requests for later, and the undoing of ADDs under way (journal.h). */
struct journal *cni_journal(const struct cni_server *s);
struct journal *cni_adding(const struct cni_server *s);
/* cni_server_broken's word. */
const char *cni_why_broken(const struct cni_server *s);

/* A running ADD of this very attachment is to be undone: its DEL has come. */
void cni_add_cancel(struct cni_job *j, const char *why);
