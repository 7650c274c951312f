/* journal.h - calls that are still to be carried out: a directory of requests.
 *
 * A file CONTAINERID-IFNAME.json holds one request (a DEL) as the plugin would have sent it.
 * Entries are replayed one after the other, when the agent starts and (watched) when a new one
 * appears, and deleted when they are done. One that cannot be understood goes to bad/ with words in
 * the log; one that cannot be carried out now is tried again later.
 *
 * There are two: STATE_DIR/cni-journal, where the plugin leaves what it could not say and the agent
 * what it could not do; and STATE_DIR/cni-adding, the undoing of each ADD that is under way: what
 * is found there at the start is an ADD that the agent's end cut in half. */
#pragma once

#include "agent/cni/cni_server.h"
#include "lib/err.h"

enum {
	JOURNAL_PASS_MAX = 4096, /* entries of one pass: pods of a node, many times over */
	JOURNAL_BAD_MAX = 100,	 /* kept for a person to look at; more are deleted */
	JOURNAL_RETRY_S = 5,	 /* first pause after a failure; doubles up to a minute */
	JOURNAL_RETRY_MAX_S = 60,
};

struct journal;

/* Carries one request out, as cni_server_run does. */
typedef void journal_run_fn(void *arg, const char *line, size_t len, cni_done_fn *done,
			    void *done_arg);
/* The first pass is over: everything was tried once. */
typedef void journal_idle_fn(void *arg);

/* Makes the directory (its parent must be there). Nothing is read before journal_start. */
int journal_new(struct journal **out, struct event_base *base, const char *dir, bool watched,
		journal_run_fn *run, void *arg, struct err *e);
void journal_start(struct journal *j, journal_idle_fn *idle);
void journal_free(struct journal *j);

/* Keep a request of our own; replaces one of the same attachment. It is on the disk when this
 * returns 0. journal_note only makes sure that it outlives this process: 50 us instead of
 * milliseconds. */
int journal_keep(struct journal *j, const char *container_id, const char *ifname, const char *line,
		 struct err *e);
int journal_note(struct journal *j, const char *container_id, const char *ifname, const char *line,
		 struct err *e);
/* Forget one; none is fine. */
void journal_drop(struct journal *j, const char *container_id, const char *ifname);
/* Does one of this attachment wait? Then everything is tried again at once. */
bool journal_hurry(struct journal *j, const char *container_id, const char *ifname);
/* Entries that wait, as of the last pass. */
unsigned journal_waiting(const struct journal *j);
