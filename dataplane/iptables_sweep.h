/* iptables_sweep.h - remove what an agent has left in the other backend.
 *
 * A node whose kubelet changed from legacy to nft has our chains twice, and the old ones would go on
 * dropping. Once at the start, behind the first complete turn, so that no moment is without rules. */
#pragma once

#include "dataplane/iptables.h"

struct event_base;
struct ipt_sweep;

struct ipt_sweep_config {
	enum ipt_backend backend; /* to be swept: not the one in use */
	bool v4, v6;
	/* removed: chains. code 0; or a negative errno, and what it was; it is not tried again. */
	void (*done)(void *arg, unsigned removed, int code, const char *text);
	void *arg;
};

/* Begins from the loop. Legacy tables that the kernel does not have are not made. NULL: there is nothing to
 * look at, done is not called. Free it in or after done. */
struct ipt_sweep *ipt_sweep_start(struct event_base *base, const struct ipt_sweep_config *cfg);
void ipt_sweep_free(struct ipt_sweep *s);
