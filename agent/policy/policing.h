/* policing.h - network policy on the loop: the store's picture in, sets and rules in the kernel out.
 *
 * SHAPE  feed (policy_feed) -> calculation (policy/calc) -> drivers (policy_kernel, dataplane's
 *        filter). All that a turn of the loop changed is one batch; while a batch is being written
 *        the next one collects.
 * INVARIANTS  Nothing is written before the picture is complete. The agent's end leaves sets and
 *        rules in force; the next life reads them and writes what differs. With policy off, what an
 *        agent of this node had enforced is taken away (a file in the state directory says so);
 *        rules of others, Calico's agent included, stay.
 *
 * All functions take NULL: then nothing is enforced and nobody waits. */
#pragma once

#include "agent/agent.h"
#include "dataplane/iptables.h"
#include "lib/json.h"
#include "lib/str.h"

struct policing;
struct policing_wait;

enum { POLICING_WAIT_S = 10 }; /* of an ADD; a batch takes some 10 ms */

/* With policy off only what the network itself needs of the filter is written, and nobody waits. */
int policing_new(struct policing **out, struct agent *a, struct err *e);
/* Leaves the kernel as it is. */
void policing_free(struct policing *p);
/* Is policy enforced at all? */
bool policing_on(const struct policing *p);
/* What rules are made of has changed (marks, tunnels, NAT): make them anew and write the difference. */
void policing_restate(struct policing *p);

/* A pod's WorkloadEndpoint that is about to be stored: work on it begins at once. */
void policing_expect(struct policing *p, const char *key, const char *text);
/* It was not stored: what the picture says holds again. */
void policing_unexpect(struct policing *p, const char *key);

/* Call fn once all that was fed up to now is enforced by the kernel, for the pod on this interface
 * in particular; or with why (borrowed words) when that takes longer than POLICING_WAIT_S. Always
 * from the loop. */
typedef void policing_fn(void *arg, const char *why);
struct policing_wait *policing_wait(struct policing *p, const char *interface, policing_fn *fn,
				    void *arg);
/* fn will not be called. NULL is fine. */
void policing_wait_stop(struct policing_wait *w);

/* Can a pod with an address of this family be policed? Otherwise why not. */
bool policing_can(const struct policing *p, enum ip_family family, struct err *e);

/* Reasons to be not ready, one line each; and what is wrong with objects, which is not one. */
void policing_not_ready(const struct policing *p, struct str *out);
size_t policing_troubles(const struct policing *p, struct str *out);
/* What applies to an endpoint of this node (policy_show.h); NULL: none of this name. */
json_t *policing_of(const struct policing *p, const char *who);
/* The same with its rules and what the kernel counted at them (policy_counters.h). NULL when nothing
 * is under way: then *what is all that can be said. */
struct policy_counting *policing_count(const struct policing *p, json_t *what,
				       void (*fn)(void *arg, json_t *what), void *arg);
/* For status. */
json_t *policing_status(const struct policing *p);

/* What it works with, for who shows it; borrowed until the loop turns. */
struct policing_parts {
	const struct calc *calc;
	struct filter *filter; /* NULL before the first picture */
	enum ipt_backend backend;
	bool v6, in_force;
};
/* False when policy is off. */
bool policing_parts(const struct policing *p, struct policing_parts *out);
