/* filter.h - the kernel's packet filter on the agent's loop: sets and rules of both families, each
 * with its tools running beside the loop, and the watch over iptables-nft.
 *
 *	f = filter_new(base, &cfg, &e);
 *	ipset_want(filter_sets(f, IP_V4), ...), ipt_chain(filter_rules(f, IP_V4), ...), ...
 *	filter_ready(f);		nothing is written before this
 *	filter_run(f);			after each change: starts what can be started, returns at
 *once
 *
 * cfg.turn is called whenever a family's rules are in force and only removals are left to do
 * (APPLY_SHRINKING), and when it has come to rest: then what was stated is enforced (filter_enforced)
 * or in trouble (reported). With iptables-nft the kernel's word is taken, not the tool's end, which is
 * some ten milliseconds later. */
#pragma once

#include "dataplane/apply.h"

struct event_base;

/* What others had changed of ours, and is right again. */
struct filter_repair {
	uint64_t n; /* chains */
	enum ipt_table table;
	const char *chain; /* the first of them */
	const char *by;	   /* the program that did it; "": unknown */
	uint32_t by_pid;
};

struct filter_config {
	bool v4, v6;
	enum ipt_backend backend;
	bool plain_names;
	bool append;
	unsigned lock_s;
	unsigned rules_refresh_ms, sets_refresh_ms;
	void (*turn)(void *arg, enum ip_family family, enum apply_stage stage);
	/* As in iptables.h and ipset.h. kind: "chain" or "set"; where: its table or "". */
	void (*report)(void *arg, enum ip_family family, const char *kind, const char *where,
		       const char *name, int code, const char *text);
	void (*repaired)(void *arg, enum ip_family family, const struct filter_repair *r);
	void *arg;
};

struct filter;

struct filter *filter_new(struct event_base *base, const struct filter_config *cfg, struct err *e);
/* Leaves the kernel as it is; a tool under way is stopped. */
void filter_free(struct filter *f);

/* NULL when the family is off. */
struct ipsets *filter_sets(struct filter *f, enum ip_family family);
struct ipt *filter_rules(struct filter *f, enum ip_family family);
enum ipt_backend filter_backend(const struct filter *f);
void filter_ready(struct filter *f);
void filter_run(struct filter *f);
/* Something is about to be stated, most likely rules of the filter table, and filter_run will follow at
 * once: what can be done meanwhile by another processor is begun. */
void filter_expect(struct filter *f);
bool filter_enforced(const struct filter *f);
/* And is nothing left over that lets in more than was stated? */
bool filter_settled(const struct filter *f);
/* Is no command out, so that all that is stated now goes in one turn? */
bool filter_idle(const struct filter *f);
/* What others changed, as far as the kernel tells (iptables-nft): how often it was looked at and, where
 * it was wrong, repaired, and how long the last time took from the kernel's word to being in force. */
struct filter_repairs {
	uint64_t n;
	unsigned last_ms;
};
struct filter_repairs filter_repairs(const struct filter *f, enum ip_family family);
/* Has the last tool ended as well? */
bool filter_quiet(const struct filter *f);
/* Read everything again. */
void filter_doubt(struct filter *f);
