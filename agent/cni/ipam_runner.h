/* ipam_runner.h - carries the machines of ipam/ against the picture and the store.
 *
 * Reads that may be old are answered from the picture, everything else goes to the store, and what
 * was written is put into the picture at once. Operations run one after the other: they all want
 * this node's block, and two at a time would only spoil each other's conditional writes. */
#pragma once

#include "agent/agent.h"
#include "datastore/ds.h"
#include "ipam/op.h"

enum {
	IPAM_QUEUE_MAX = 1024, /* operations that wait; twice the connections of the CNI socket */
	IPAM_WAIT_S = 30,      /* in the queue; kubelet gives an ADD 120 s in all */
};

struct ipam_runner;

int ipam_runner_new(struct ipam_runner **out, struct agent *a, struct err *e);
/* Drops what runs and waits without calling anybody. NULL is fine. */
void ipam_runner_free(struct ipam_runner *r);

/* Pools and reservations as of now; borrowed until the loop turns. */
const struct ipam_world *ipam_runner_world(struct ipam_runner *r);

/* fail IPAM_FAIL_NONE: done, ask op's accessors. Else e says why. op is borrowed and freed after.
 */
typedef void ipam_done_fn(void *arg, struct ipam_op *op, enum ipam_fail fail, const struct err *e);
/* Consumes op. done comes from the loop, exactly once, and never before this returns. An operation
 * that waited longer than IPAM_WAIT_S is not begun: IPAM_FAIL_BUSY. */
void ipam_runner_submit(struct ipam_runner *r, struct ipam_op *op, ipam_done_fn *done, void *arg);
unsigned ipam_runner_queued(const struct ipam_runner *r);

/* Write to the store; a write that succeeds is put into the picture before done is called. */
void store_write(struct agent *a, struct store_req req, ds_done_fn *done, void *arg);
