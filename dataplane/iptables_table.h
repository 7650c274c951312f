/* iptables_table.h - inside the iptables driver: chains as values, tables, the batch under way.
 *
 * iptables.c keeps what is wanted, iptables_read.c takes in what is there, iptables_write.c makes
 * the text of one iptables-restore, iptables_run.c decides when to do which. */
#pragma once

#include <uthash.h>

#include "dataplane/iptables.h"
#include "lib/delta.h"
#include "lib/str.h"
#include "lib/vec.h"

enum {
	IPT_KEY = 32, /* a chain's name, padded with zeros */
	IPT_HOOKS = 5,
	IPT_TOUCHED_MAX = 1024, /* chains touched between two turns; more: read everything */
};

/* Reasons to set a chain aside. */
enum {
	IPT_HELD_REFUSED = 1, /* the kernel does not take its rules */
	IPT_HELD_BUSY = 2,    /* somebody refers to it, it cannot be removed */
};

struct ipt_key {
	char s[IPT_KEY];
};

/* The rules of a chain, immutable and counted. What was read has hashes only. */
struct ipt_body {
	unsigned refs;
	uint32_t n;
	bool doubt;		    /* there, with who knows what in it */
	bool placeholder;	    /* stands in for a chain that nobody stated */
	char (*hash)[IPT_HASH_LEN]; /* zeros: a rule without our comment */
	uint32_t *at;		    /* offset of each rule's text; NULL: hashes only */
	char *text;
	VEC(struct ipt_key) targets; /* chains of ours that it jumps to */
};

/* A chain that was stated or is jumped to. */
struct ipt_chain {
	struct ipt_key name;
	struct ipt_body *body; /* NULL: not stated */
	uint32_t jumps;	       /* from chains that are wanted in the kernel, and from hooks */
	bool wanted;	       /* in the kernel; its body's targets are counted */
	struct ipt_body *used; /* whose targets are counted */
	bool refused;	       /* a placeholder stands in */
	bool was_right;	       /* before the reading under way */
	uint64_t shown;	       /* how iptables-save shows `used`, as a sum; 0: not known */
	UT_hash_handle hh;
};

struct ipt_seen_rule {
	char hash[IPT_HASH_LEN]; /* zeros: somebody else's */
	char *text;		 /* ours: what follows "-A CHAIN "; else NULL */
};

/* One of the kernel's own chains. */
struct ipt_hook {
	struct ipt_body *want[2]; /* by enum ipt_where; NULL: nothing */
	VEC(struct ipt_seen_rule) seen;
	bool wrong;	/* seen is not what it should be, */
	bool lies;	/* although the comments are right */
	uint64_t shown; /* how iptables-save shows our rules in it, as a sum; 0: not known */
};

/* A rule of somebody else's that jumps to a chain of ours. */
struct ipt_stray {
	struct ipt_key chain, target;
	char *text; /* what follows "-A CHAIN " */
};

struct ipt_tab {
	struct ipt *t;
	struct ipt_chain *chains;
	struct delta d; /* key: struct ipt_key; values: struct ipt_body */
	struct ipt_hook hook[IPT_HOOKS];
	VEC(struct ipt_stray) strays;
	bool known;	 /* was read once */
	bool unreadable; /* the tool cannot show it now: native nft rules in it */
	bool blocked;	 /* and never could: nothing is written to it */
	bool told;	 /* unreadable, and that was reported */
};

enum ipt_item_kind {
	IPT_ITEM_CHAIN,
	IPT_ITEM_HOOK,
	IPT_ITEM_REMOVE,
};

/* What a stretch of lines of the batch is about. */
struct ipt_item {
	enum ipt_item_kind kind;
	enum ipt_table table;
	struct ipt_key name;
	struct ipt_body *body; /* CHAIN: written. A reference */
	unsigned first, last;  /* lines, from 1 */
};

struct ipt_touch {
	enum ipt_table table;
	struct ipt_key name;
};

enum ipt_state {
	IPT_IDLE,
	IPT_SAVING,
	IPT_RESTORING,
};

struct ipt {
	struct ipt_config cfg;
	struct ipt_tab tab[IPT_TABLES_];
	struct ipt_body *drop, *empty; /* placeholders */
	struct ipt_body *unknown;      /* of a chain in doubt */

	enum ipt_state state;
	bool ready, was_read;
	bool need_read;
	uint64_t retry_at; /* nothing before this; 0: no wait */
	unsigned backoff_ms;
	uint64_t refresh_at;
	uint64_t held_at; /* when to try again what was set aside; 0: nothing is */
	unsigned held_ms;
	uint64_t calm_at; /* repairs before this are put off; see iptables_run.c */
	unsigned calm_ms;
	uint64_t last_touch;

	VEC(struct ipt_touch) touched;
	bool touched_all, touch_after;
	bool write_failed; /* since the last reading: who knows what is there */
	bool learn;	   /* read after the next write, to know how it is shown */
	uint64_t learn_at; /* the same, for iptables-legacy, in time; 0: nothing to learn */
	struct ipt_tampered tampered;

	char save_tool[32], restore_tool[32], lock_arg[24];
	struct str batch;
	unsigned lines;
	VEC(struct ipt_item) items;
	struct ipt_key blamed; /* the chain that the last failure named */
	enum ipt_table blamed_table;
	bool in_trouble; /* reported, not yet taken back */
	struct ipt_counts counts;
};

extern const char *const ipt_hook_names[IPT_HOOKS];

struct ipt_key ipt_key_of(const char *name);
struct ipt_key ipt_key_n(const char *name, size_t len);
/* Index of a kernel chain by name, -1: none. */
int ipt_hook_find(const char *name, size_t len);

struct ipt_body *ipt_body_new(const struct ipt_rule *rules, size_t n);
struct ipt_body *ipt_body_bare(const char (*hash)[IPT_HASH_LEN], size_t n);
struct ipt_body *ipt_body_ref(struct ipt_body *b);
void ipt_body_unref(struct ipt_body *b);
bool ipt_body_same(const struct ipt_body *a, const struct ipt_body *b);

/* Judge a hook anew: are its rules of ours where they should be? */
void ipt_hook_judge(struct ipt *t, struct ipt_hook *h);
void ipt_seen_clear(struct ipt_hook *h);
/* State or unstate the want of a chain in the delta, by whether anything jumps to it. */
void ipt_chain_place(struct ipt_tab *tab, struct ipt_chain *c);
struct ipt_chain *ipt_chain_find(const struct ipt_tab *tab, const struct ipt_key *name);

/* The target of a rule's text, after --jump or --goto; NULL: none. Borrowed, *len long. */
const char *ipt_target(const char *text, size_t *len);

/* Take in what iptables-save printed. -EINVAL with a sentence when it is not that; what was known
 * is unchanged then. */
int ipt_read(struct ipt *t, const char *out, size_t len, struct err *e);

/* Make the batch for all that is to be done. False: there is nothing. */
bool ipt_render(struct ipt *t);
/* It is in the kernel; or it is not, and everything goes back. */
void ipt_batch_done(struct ipt *t);
void ipt_batch_undo(struct ipt *t);
const struct ipt_item *ipt_batch_item(const struct ipt *t, unsigned line);
/* Somebody else changed a chain of ours, or our rules in one of the kernel's. */
void ipt_tampered_note(struct ipt *t, enum ipt_table table, const char *chain);
void ipt_report(struct ipt *t, enum ipt_table table, const char *chain, int code, const char *text);

/* One edit of a chain, by index, as iptables-restore takes it: for tests and for ipt_render. */
enum ipt_edit_op {
	IPT_EDIT_REPLACE, /* rule at position i by the wanted rule i */
	IPT_EDIT_APPEND,  /* the wanted rule i */
	IPT_EDIT_DELETE,  /* the rule at position i */
};

struct ipt_edit {
	enum ipt_edit_op op;
	uint32_t i; /* from 0 */
};

/* The edits that make have into want, in order. Returns how many; out has room for
 * max(have->n, want->n). */
size_t ipt_edits(const struct ipt_body *have, const struct ipt_body *want, struct ipt_edit *out);
