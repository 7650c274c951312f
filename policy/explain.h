/* explain.h - which rule of which policy decides about a packet at one endpoint, and what came before.
 *
 * The calculation knows what applies and who is in which set; this walks through it for one packet,
 * as the kernel walks through the chains made of it. Call calc_flush first: sets are there then.
 *
 * All pointers are borrowed from the calculation until its next step. */
#pragma once

#include "policy/calc.h"

struct explain_packet {
	struct addr src, dst;
	uint8_t proto;
	uint16_t src_port, dst_port;
	int icmp_type, icmp_code; /* of ICMP and ICMPv6 */
	/* As it was before its destination was translated, for whoever looks there; NULL: the same. */
	const struct explain_packet *before;
};

enum explain_verdict {
	EXPLAIN_ALLOW,
	EXPLAIN_DENY,
	EXPLAIN_OPEN, /* policy says neither: the host's own rules decide */
};

enum explain_what {
	EXPLAIN_RULE,	  /* this rule of a policy or profile matched */
	EXPLAIN_NO_RULE,  /* no rule of this policy or profile matched */
	EXPLAIN_TIER_END, /* policies of the tier apply, and none decided */
	EXPLAIN_END,	  /* nothing is left that could decide */
	EXPLAIN_DISABLED, /* the endpoint is turned off */
};

/* One thing that was looked at, in order; the last one decides. */
struct explain_step {
	enum explain_what what;
	const char *tier;	     /* NULL: of a profile, or of nothing */
	const struct policy *policy; /* NULL: see profile */
	const char *profile;	     /* NULL: see policy */
	bool unreadable;	     /* it cannot be read, or does not exist: it denies all */
	size_t index;		     /* EXPLAIN_RULE: from 0, in the direction's list */
	enum rule_action action;     /* EXPLAIN_RULE: of the rule. TIER_END: deny or pass */
};

struct explain {
	enum explain_verdict verdict;
	VEC(struct explain_step) steps;
	size_t n_policies; /* that apply in this class and govern this direction */
};

/* How a packet fares at a workload or host endpoint of the calculation's own node. ingress: to a
 * pod, into a host. False, *out untouched, when there is no such endpoint. */
bool explain_endpoint(struct calc *c, enum endpoint_kind kind, const char *id, bool ingress,
		      enum calc_class class, const struct explain_packet *p, struct explain *out);
void explain_done(struct explain *e);
