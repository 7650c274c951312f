/* iptables.h - the chains of one address family: what should be against what is.
 *
 * Callers state chains by table and name, and the rules that go into the kernel's own chains. The
 * driver reads the kernel once (iptables-save), writes what differs in one iptables-restore
 * --noflush for all four tables, and reads again only when it is told that somebody else changed
 * something (ipt_touched, see nft_watch.h), when a write failed, or at the refresh interval.
 *
 * It is a state machine without processes: ipt_next says what to run, ipt_done takes the outcome.
 *
 *	struct ipt *t = ipt_new(&cfg);
 *	ipt_chain(t, IPT_FILTER, "cali-FORWARD", rules, n);
 *	ipt_hook(t, IPT_FILTER, "FORWARD", IPT_FIRST, &jump, 1);
 *	ipt_ready(t);
 *	while (ipt_next(t, now, &cmd))
 *		run it, ipt_done(t, now, &result);
 *
 * A rule is its hash (16 characters) and its text: what comes after "-A CHAIN" and the hash's
 * comment. The kernel's rules are compared by hash, and by how they were shown when they were
 * read the last time: a changed rule that keeps its comment is seen when the kernel tells of the change
 * (iptables-nft), else once it was read after it was written.
 *
 * Only chains that a hook reaches, directly or through others, are in the kernel; so the same
 *policy chain may be stated for every table and costs nothing where nothing jumps to it. A chain
 *that is jumped to and not stated is put in the kernel as a single DROP (empty in nat) and
 *reported.
 *
 * Chains with our prefixes that are not wanted are removed. Nothing else is ever touched. */
#pragma once

#include "dataplane/exec.h"
#include "lib/addr.h"

enum ipt_backend {
	IPT_NFT,
	IPT_LEGACY,
};

enum ipt_table {
	IPT_RAW,
	IPT_MANGLE,
	IPT_NAT,
	IPT_FILTER,
	IPT_TABLES_,
};

enum {
	IPT_HASH_LEN = 16,
	IPT_NAME_MAX = 28,	      /* characters of a chain's name; the kernel takes no more */
	IPT_CHAIN_RULES_MAX = 100000, /* one restore of more takes seconds */
};

struct ipt_rule {
	char hash[IPT_HASH_LEN + 1];
	const char *text; /* "-m mark --mark 0x10000/0x10000 --jump ACCEPT"; no line breaks */
};

enum ipt_where {
	IPT_FIRST, /* above everybody's rules; with cfg.append behind them */
	IPT_LAST,  /* always behind */
};

struct ipt_config {
	enum ip_family family;
	enum ipt_backend backend;
	bool append;	     /* ChainInsertMode=append */
	bool plain_names;    /* the tools are iptables-save, not iptables-nft-save */
	unsigned lock_s;     /* how long the tool may wait for the xtables lock; 0: 5 s */
	unsigned refresh_ms; /* read the kernel again after this; 0: never */
	/* Something goes wrong (code < 0) or right again (0) with a chain, or (chain "") with all.
	 * The same trouble is told once. May be NULL. */
	void (*report)(void *arg, enum ipt_table table, const char *chain, int code,
		       const char *text);
	void *arg;
};

struct ipt_counts {
	uint32_t chains, rules;	     /* of ours in the kernel */
	uint64_t saves, save_errors; /* iptables-save */
	uint64_t restores, restore_errors;
	uint64_t lines;	   /* given to iptables-restore */
	uint64_t written;  /* chains written, hooks included */
	uint64_t removed;  /* chains removed */
	uint64_t tampered; /* chains that somebody else changed */
	uint32_t held;	   /* chains that the kernel refused */
};

struct ipt;

struct ipt *ipt_new(const struct ipt_config *cfg);
void ipt_free(struct ipt *t); /* leaves the kernel as it is */

/* State a chain, or state it anew. Rules are copied. -EINVAL with a sentence when a name, a hash or
 * a text can never be right (a line break, a name without our prefix, too long). */
int ipt_chain(struct ipt *t, enum ipt_table table, const char *name, const struct ipt_rule *rules,
	      size_t n, struct err *e);
void ipt_chain_forget(struct ipt *t, enum ipt_table table, const char *name);
/* The rules of ours in a kernel chain ("INPUT"); n = 0: none. */
int ipt_hook(struct ipt *t, enum ipt_table table, const char *chain, enum ipt_where where,
	     const struct ipt_rule *rules, size_t n, struct err *e);
/* Everything wanted at start has been stated. Before this nothing at all is written. */
void ipt_ready(struct ipt *t);

/* The next thing to run now, if there is any; cmd is valid until ipt_done, which must follow. */
bool ipt_next(struct ipt *t, uint64_t now_ms, struct exec_cmd *cmd);
void ipt_done(struct ipt *t, uint64_t now_ms, const struct exec_result *r);
/* It could not even be started. */
void ipt_not_started(struct ipt *t, uint64_t now_ms, const struct err *why);
/* The command, without its input, that ipt_next gives for writing: to have one ready (exec_spare_new). */
void ipt_restore_cmd(const struct ipt *t, struct exec_cmd *cmd);
/* When to ask ipt_next again although nothing happened; UINT64_MAX: never. */
uint64_t ipt_due(const struct ipt *t);
/* Is the kernel as it should be, as far as we know? */
bool ipt_in_sync(const struct ipt *t);

/* Is this chain in the kernel exactly as stated? False for one that the kernel refused, and for
 * one that nothing jumps to. */
bool ipt_chain_right(const struct ipt *t, enum ipt_table table, const char *name);

/* Somebody else changed this chain; chain NULL: any chain of the table. Our own chains are written
 * again without reading; for the kernel's chains the tables are read. Chains of others cost
 * nothing. */
void ipt_touched(struct ipt *t, enum ipt_table table, const char *chain);
/* Is there a touch that was not looked at yet? */
bool ipt_is_touched(const struct ipt *t);
/* Read everything again (SIGUSR2, lost events). */
void ipt_doubt(struct ipt *t);

struct ipt_counts ipt_counts(const struct ipt *t);
/* What others changed of ours, since this was asked the last time. */
struct ipt_tampered {
	uint64_t n; /* chains */
	enum ipt_table table;
	char chain[32]; /* the first of them */
};
struct ipt_tampered ipt_tampered_take(struct ipt *t);
/* Of ours in one table of the kernel, as far as we know. */
struct ipt_size {
	uint32_t chains, rules;
};
struct ipt_size ipt_size(const struct ipt *t, enum ipt_table table);

/* Packets that met each rule of ours: run ipt_counters_cmd beside the driver and give its output to
 * ipt_counters_read. -EINVAL: not the output of iptables-save. */
struct ipt_counter {
	enum ipt_table table;
	char chain[IPT_NAME_MAX + 4];
	char hash[IPT_HASH_LEN + 1];
	uint64_t packets, bytes;
};
typedef void (*ipt_counter_fn)(void *arg, const struct ipt_counter *c);
void ipt_counters_cmd(const struct ipt *t, struct exec_cmd *cmd);
int ipt_counters_read(const char *out, size_t len, ipt_counter_fn fn, void *arg, struct err *e);

const char *ipt_table_name(enum ipt_table table);
/* By name; IPT_TABLES_ when it is none of the four. */
enum ipt_table ipt_table_of(const char *name);
/* Does a name begin with one of our prefixes? */
bool ipt_name_is_ours(const char *chain);
