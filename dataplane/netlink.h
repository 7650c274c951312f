/* netlink.h - rtnetlink sockets: batches of requests, dumps, events.
 *
 * A request socket sends a whole batch in one sendmsg(2). Only the last message asks for an ACK;
 * the kernel reports failures of the others by their sequence number, so a batch costs one round
 * trip however long it is. Waits are bounded (NL_WAIT_MS). An event socket is read without
 * blocking from the caller's loop; -ENOBUFS says that events were lost and a dump is due. */
#pragma once

#include "dataplane/nlmsg.h"
#include "lib/err.h"

enum {
	NL_WAIT_MS = 10000,	/* for one reply of the kernel */
	NL_BATCH_BYTES = 65536, /* a batch is sent when it is this long; below the send buffer */
	NL_RCVBUF = 8 << 20,	/* 8 MiB: about 10 000 route events between two loop turns */
};

struct nl_sock {
	int fd; /* -1: closed */
	uint32_t seq;
	uint32_t port; /* our address: events that we caused ourselves carry it */
	uint8_t *rx;   /* receive buffer, allocated at first use */
};

/* A blocking request socket in the caller's network namespace. */
int nl_open(struct nl_sock *s, struct err *e);
/* A non-blocking event socket for RTNLGRP_* groups, ended by 0. */
int nl_open_events(struct nl_sock *s, const unsigned *groups, struct err *e);
void nl_close(struct nl_sock *s);
/* Let the kernel drop, before delivery, route events (RTM_NEWROUTE, RTM_DELROUTE) that the socket
 * with this port caused: a million own writes then cost no reading. */
int nl_ignore_routes_from(struct nl_sock *events, uint32_t port, struct err *e);

/* One failed message of a batch: which one (0...), the negative errno, and the kernel's words or
 * "" when it has none. */
typedef void (*nl_fail_fn)(void *arg, unsigned index, int code, const char *text);

/* Send all messages of b in one go and wait for the outcome; b is cleared. Failures of single
 * messages go to fail, in order. Returns 0 when the kernel has answered for all, -ENOBUFS when
 * answers were lost, another negative errno when nothing can be said. */
int nl_batch(struct nl_sock *s, struct nl_buf *b, nl_fail_fn fail, void *arg, struct err *e);
/* The same where any failure ends the matter: the first one is returned and put into e. The
 * messages behind it were tried as well. */
int nl_run(struct nl_sock *s, struct nl_buf *b, struct err *e);

typedef void (*nl_msg_fn)(void *arg, const struct nlmsghdr *h);
/* The open message of b as a dump request: each reply to fn. -EINTR: the table changed meanwhile,
 * the caller starts again with a clean slate. */
int nl_dump(struct nl_sock *s, struct nl_buf *b, nl_msg_fn fn, void *arg, struct err *e);
/* The open message of b as a request with one reply, given to fn. Negative errno of the kernel. */
int nl_ask(struct nl_sock *s, struct nl_buf *b, nl_msg_fn fn, void *arg, struct err *e);

/* Give what has arrived to fn, at most max datagrams. 0: drained; 1: perhaps more; -ENOBUFS:
 * events were lost. */
int nl_read_events(struct nl_sock *s, unsigned max, nl_msg_fn fn, void *arg);
