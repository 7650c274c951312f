/* cni_conn.h - one connection of the CNI socket: lines in, lines out, patience in between.
 *
 * The peer is not trusted to send whole lines, short lines, or anything: what arrives is kept only
 * up to CNI_LINE_MAX, a line is expected only within a time, an answer must be taken within a time.
 */
#pragma once

#include <event2/event.h>

#include "lib/base.h"

struct cni_conn;

struct cni_conn_ops {
	/* A line arrived while one was expected; borrowed, without its newline. */
	void (*line)(void *arg, const char *line, size_t len);
	/* No line will come: too long, cut off, or not in time. The connection can still be
	 * written. */
	void (*bad)(void *arg, const char *why);
	/* The peer closed its side while no line was expected or before it began one. It may still
	 * read (it has only shut down writing), so answers are tried. */
	void (*eof)(void *arg);
	/* The connection is over and about to be freed: forget it. Always the last call. */
	void (*closed)(void *arg);
};

/* Takes fd over; expects a line within timeout_s. */
struct cni_conn *cni_conn_new(struct event_base *base, int fd, const struct cni_conn_ops *ops,
			      void *arg, unsigned timeout_s);
/* Expect one more line. */
void cni_conn_expect(struct cni_conn *c, unsigned timeout_s);
/* Send text and a newline; what the socket does not take at once goes later. */
void cni_conn_send(struct cni_conn *c, const char *text);
/* Close once everything is sent; ops->closed comes from the loop or at once. */
void cni_conn_finish(struct cni_conn *c);
/* Now, without ops->closed. NULL is fine. */
void cni_conn_free(struct cni_conn *c);
