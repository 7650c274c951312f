/* apply.h - one family's sets and rules in the order that leaves no gap.
 *
 *	grow sets -> write rules -> shrink sets
 *
 * A rule never refers to a set that is not there; no set loses a member that a rule in force still
 * needs. When one step fails the later ones wait, and what is in the kernel goes on enforcing.
 *
 * Pure, like the two drivers that it leads: apply_next says what to run, apply_done takes the
 * outcome. State changes at any time; it is best done while apply_stage is APPLY_IDLE, then one
 *turn carries all of them. */
#pragma once

#include "dataplane/ipset.h"
#include "dataplane/iptables.h"

enum apply_stage {
	APPLY_WAITING,	 /* something failed, or nothing may be written yet; see apply_due */
	APPLY_GROWING,	 /* a command for sets is out */
	APPLY_WRITING,	 /* one for rules */
	APPLY_SHRINKING, /* rules are in the kernel; what is left over is being removed */
	APPLY_IDLE,	 /* all is as stated */
	APPLY_STAGES_,
};

struct apply {
	struct ipsets *sets;
	struct ipt *rules;
	enum apply_stage stage;
	bool out;      /* a command is under way, */
	bool sets_out; /* it is for the sets */
	bool hold;     /* removals wait: rules that are no more in force still hold their sets */
};

void apply_init(struct apply *a, struct ipsets *sets, struct ipt *rules);
/* The next thing to run, if there is any now; sets a->stage. */
bool apply_next(struct apply *a, uint64_t now_ms, struct exec_cmd *cmd);
void apply_done(struct apply *a, uint64_t now_ms, const struct exec_result *r);
void apply_not_started(struct apply *a, uint64_t now_ms, const struct err *why);
uint64_t apply_due(const struct apply *a);
/* Are all sets and rules that were stated in the kernel? (A chain that it refused is told apart by
 * ipt_chain_right.) What is not needed any more may still be there. */
bool apply_enforced(const struct apply *a);
/* And is nothing left over? A member that a set still holds is still let in by the rules. */
bool apply_settled(const struct apply *a);
const char *apply_stage_name(enum apply_stage s);
