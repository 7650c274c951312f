/* apply.c - one family's sets and rules in the order that leaves no gap */
#include "dataplane/apply.h"

void apply_init(struct apply *a, struct ipsets *sets, struct ipt *rules)
{
	*a = (struct apply) { .sets = sets, .rules = rules };
}

static bool out(struct apply *a, enum apply_stage stage)
{
	a->stage = stage;
	a->out = true;
	a->sets_out = stage != APPLY_WRITING;
	return true;
}

bool apply_next(struct apply *a, uint64_t now, struct exec_cmd *cmd)
{
	if (a->out)
		return false;
	if (ipset_next(a->sets, IPSET_GROW, now, cmd))
		return out(a, APPLY_GROWING);
	a->stage = APPLY_WAITING;
	/* A single set that the kernel refuses does not hold up the rest; not knowing does. */
	if (ipset_stuck(a->sets, now))
		return false;
	if (ipt_next(a->rules, now, cmd))
		return out(a, APPLY_WRITING);
	if (!ipt_in_sync(a->rules))
		return false;
	if (a->hold) {
		a->stage = APPLY_SHRINKING;
		return false;
	}
	if (ipset_next(a->sets, IPSET_SHRINK, now, cmd))
		return out(a, APPLY_SHRINKING);
	a->stage = ipset_settled(a->sets, IPSET_SHRINK) && ipset_settled(a->sets, IPSET_GROW)
			   ? APPLY_IDLE
			   : APPLY_WAITING;
	return false;
}

void apply_done(struct apply *a, uint64_t now, const struct exec_result *r)
{
	a->out = false;
	if (a->sets_out)
		ipset_done(a->sets, now, r);
	else
		ipt_done(a->rules, now, r);
}

void apply_not_started(struct apply *a, uint64_t now, const struct err *why)
{
	a->out = false;
	if (a->sets_out)
		ipset_not_started(a->sets, now, why);
	else
		ipt_not_started(a->rules, now, why);
}

uint64_t apply_due(const struct apply *a)
{
	bool shrinks = ipt_in_sync(a->rules) && !a->hold;
	enum ipset_phase upto = shrinks ? IPSET_SHRINK : IPSET_GROW;
	uint64_t sets = ipset_due(a->sets, upto), rules = ipt_due(a->rules);

	if (a->out)
		return UINT64_MAX;
	/* While it is not known what sets there are, rules wait for it. */
	if (ipset_stuck(a->sets, 0))
		return sets;
	return sets < rules ? sets : rules;
}

bool apply_enforced(const struct apply *a)
{
	return ipset_settled(a->sets, IPSET_GROW) && ipt_in_sync(a->rules);
}

bool apply_settled(const struct apply *a)
{
	return !a->out && apply_enforced(a) && ipset_settled(a->sets, IPSET_SHRINK);
}

const char *apply_stage_name(enum apply_stage s)
{
	static const char *const names[APPLY_STAGES_] = { "waiting", "growing sets",
							  "writing rules", "shrinking sets",
							  "idle" };

	return s < APPLY_STAGES_ ? names[s] : "?";
}
