/* cutting.h - flows that a narrowed policy denies come to their end (cutDeniedFlows).
 *
 * WHY    Policy looks at a flow's first packet. Calico lets what it once allowed go on for ever; who
 *        shuts a pod because it is broken into wants its flows gone.
 * SHAPE  Each change of what applies marks; once the kernel enforces it, all tracked flows of this
 *        node's pods and host endpoints are asked whether their first packet would be denied now, some
 *        hundred a turn of the loop, and those are removed. What the host itself sends to its pods is
 *        left alone, and so is what it forwards between others. */
#pragma once

#include "dataplane/conntrack.h"
#include "policy/calc.h"

struct cutting;
struct event_base;
struct link_table;
struct render_config;

struct cutting_config {
	struct event_base *base;
	struct calc *calc;
	const struct link_table *links;
	/* What rules of this family are made by; NULL: there are none. */
	const struct render_config *(*render)(void *arg, enum ip_family family);
	/* Is the calculation flushed? It is asked only then. */
	bool (*flushed)(void *arg);
	/* Something changed while a pass was under way: call cutting_enforced when that is so. */
	void (*rested)(void *arg);
	void *arg;
};

/* NULL when the kernel's flows cannot be had: e says why. */
struct cutting *cutting_new(const struct cutting_config *cfg, struct err *e);
void cutting_free(struct cutting *c);
/* What a flush of the calculation told. */
void cutting_take(struct cutting *c, const struct calc_effects *fx);
/* Does something that was taken wait for cutting_enforced, now? */
bool cutting_is_due(const struct cutting *c);
/* All that was taken is enforced by the kernel. */
void cutting_enforced(struct cutting *c, bool v6);
/* Flows cut since the start. */
uint64_t cutting_count(const struct cutting *c);

/* Would the first packet of a flow be denied by what applies on this node? For tests. */
bool cutting_denies(struct cutting *c, const struct flow *f);
