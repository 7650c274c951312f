/* ipset.h - the IP sets of one address family: what should be against what is.
 *
 * Like iptables.h a state machine without processes: ipset_next says what to run, ipset_done takes
 * the outcome. The kernel is read once (ipset save); afterwards only differences are written, all
 * sets in one ipset restore.
 *
 * Writing has two halves, because rules refer to sets: first sets and members that rules will need
 * (IPSET_GROW), then, after the rules are in the kernel, members and sets that no rule needs any
 * more (IPSET_SHRINK).
 *
 * A set of another type or size is built beside under a temporary name and swapped. */
#pragma once

#include "dataplane/exec.h"
#include "lib/addr.h"

enum {
	IPSET_NAME_MAX = 31,
	IPSET_MAXELEM = 1048576,
	IPSET_DESTROY_BATCH = 32, /* sets destroyed in one go: each may cost the kernel 40 ms */
	IPSET_DESTROY_WAIT_MS = 100,
};

enum ipset_type {
	IPSET_NET,     /* hash:net */
	IPSET_IP,      /* hash:ip */
	IPSET_IP_PORT, /* hash:ip,port */
};

struct ipset_member {
	struct prefix net; /* whole addresses for IPSET_IP and IPSET_IP_PORT */
	uint8_t proto;	   /* IPSET_IP_PORT: 6 tcp, 17 udp, 132 sctp, 136 udplite */
	uint16_t port;
};

enum ipset_phase {
	IPSET_GROW,
	IPSET_SHRINK,
};

struct ipset_config {
	enum ip_family family;
	unsigned refresh_ms; /* read the kernel again after this; 0: never */
	/* Something goes wrong (code < 0) or right again (0) with a set, or (set "") with all. */
	void (*report)(void *arg, const char *set, int code, const char *text);
	void *arg;
};

struct ipset_counts {
	uint32_t sets; /* wanted */
	uint64_t members;
	uint64_t calls, errors, lines;
};

struct ipsets;

struct ipsets *ipsets_new(const struct ipset_config *cfg);
void ipsets_free(struct ipsets *s); /* leaves the kernel as it is */

/* A set with this name ("cali40s:..."), without members at first. maxelem 0: IPSET_MAXELEM. Stating
 * it again changes type and size and keeps members that fit. -EINVAL for names not of ours. */
int ipset_want(struct ipsets *s, const char *name, enum ipset_type type, uint32_t maxelem,
	       struct err *e);
void ipset_forget(struct ipsets *s, const char *name);
/* Members of a wanted set; twice is once. A /0 is written as two halves, which the kernel takes.
 * -ENOENT: no such set; -EINVAL: not a member of this type and family; -ENOSPC: it is full. */
int ipset_add(struct ipsets *s, const char *name, const struct ipset_member *m, struct err *e);
void ipset_del(struct ipsets *s, const char *name, const struct ipset_member *m);
/* Everything wanted at start has been stated. Before this nothing at all is written. */
void ipsets_ready(struct ipsets *s);

/* The next thing to run for this half, if there is any; cmd is valid until ipset_done. */
bool ipset_next(struct ipsets *s, enum ipset_phase phase, uint64_t now_ms, struct exec_cmd *cmd);
void ipset_done(struct ipsets *s, uint64_t now_ms, const struct exec_result *r);
void ipset_not_started(struct ipsets *s, uint64_t now_ms, const struct err *why);
/* The command, without its input, that ipset_next gives for writing: to have one ready. */
void ipset_restore_cmd(struct exec_cmd *cmd);
/* Is there nothing left of this half that could be done? False also after failures. */
bool ipset_settled(const struct ipsets *s, enum ipset_phase phase);
/* Is it unknown what the kernel has, or must we wait after a failure? */
bool ipset_stuck(const struct ipsets *s, uint64_t now_ms);
/* When to ask ipset_next again although nothing happened: for both halves, or, while rules are not
 * in the kernel, for the first only. UINT64_MAX: never. */
uint64_t ipset_due(const struct ipsets *s, enum ipset_phase upto);
/* Read the kernel again. */
void ipset_doubt(struct ipsets *s);

struct ipset_counts ipset_counts(const struct ipsets *s);
const char *ipset_type_name(enum ipset_type t);
