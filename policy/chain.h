/* chain.h - iptables chains as data: rules as text, and the hashes that tell whether a rule is ours.
 *
 * A rule is what stands behind "-A CHAIN HASH " in the form that Calico's agent uses: comments,
 * matches, action. Each rule's hash covers all rules before it, so one look at a listing says from
 * where on a chain is different. */
#pragma once

#include "lib/vec.h"
#include "policy/names.h"

enum { RULE_HASH_LEN = 16 };

struct rule_hash {
	char text[RULE_HASH_LEN + 1];
};

struct chain_rule {
	char *text;
	char *target; /* chain of ours that it jumps or goes to; NULL */
	bool is_return;
};

struct chain {
	struct chain_name name;
	struct chain_rule *p;
	size_t n, cap;
};

struct chains {
	struct chain *p;
	size_t n, cap;
};

/* Append a rule. comment, match: NULL or "" for none. action: "--jump X", "--goto X"; NULL: none. */
void chain_add(struct chain *c, const char *comment, const char *match, const char *action);
/* The same with several comments. */
void chain_add_noted(struct chain *c, const char *const *comment, size_t n, const char *match,
		     const char *action);
/* Put one more comment behind those of the first rule; a chain without rules gets one that says only
 * that. */
void chain_describe(struct chain *c, const char *comment);
/* Rules at the end that only return do nothing. */
void chain_drop_returns(struct chain *c);
bool chain_eq(const struct chain *a, const struct chain *b);
void chain_done(struct chain *c);

/* Append an empty chain of this name; borrowed until the next one is appended. */
struct chain *chains_new(struct chains *v, const struct chain_name *name);
void chains_done(struct chains *v);

/* The hashes of all rules, the caller's: [c->n]. NULL when there are no rules. */
struct rule_hash *chain_hashes(const struct chain *c);
/* Of rules that are put into one of the kernel's own chains; append: at its end. */
struct rule_hash *hook_hashes(const struct chain *c, bool append);
/* A line for iptables-restore: -A NAME -m comment --comment "cali:HASH" ... Heap. */
char *chain_line(const struct chain *c, size_t i, const struct rule_hash *hash);
