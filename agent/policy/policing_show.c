/* policing_show.c - network policy on the loop, to be seen */
#include "agent/felix.h"
#include "agent/policy/policing_impl.h"
#include "agent/policy/policy_counters.h"

static const char *backend_name(const struct policing *p)
{
	return p->choice.backend == IPT_NFT ? "nft" : "legacy";
}

void policing_not_ready(const struct policing *p, struct str *out)
{
	const char *what =
		policing_on(p) ? "policy cannot be enforced" : "NAT and tunnels have no rules";

	if (!p)
		return;
	if (*p->broken)
		str_addf(out, "%s: %s\n", what, p->broken);
	else if (!p->ever && (p->on || p->kernel))
		str_add(out, p->on ? "policy is not in the kernel yet\n"
				   : "rules of the network are not in the kernel yet\n");
	if (p->kernel && policy_kernel_trouble(p->kernel))
		str_addf(out, "policy: %s\n", policy_kernel_trouble(p->kernel));
	for (const struct grief *g = p->griefs; g; g = g->hh.next)
		str_addf(out, "policy: %s: %s\n", g->name, g->text);
}

size_t policing_troubles(const struct policing *p, struct str *out)
{
	size_t n = p ? policy_feed_troubles(p->feed, out) : 0;

	if (!p)
		return 0;
	n += felix_troubles(p->agent->felix, out);
	for (const char *c = str_text(&p->set_wrong); *c; c++)
		n += *c == '\n';
	str_add(out, str_text(&p->set_wrong));
	return n;
}

json_t *policing_of(const struct policing *p, const char *who)
{
	return p ? policy_show_find(p->show, who) : NULL;
}

struct policy_counting *policing_count(const struct policing *p, json_t *what,
				       void (*fn)(void *arg, json_t *what), void *arg)
{
	const struct policy_counted of = { p->calc, p->kernel, p->filter, p->agent->cache };

	policy_rules_add(what, &of);
	if (p->kernel)
		return policy_count(p->agent->base, what, &of, fn, arg);
	js_set_str(what, "countersWhy", "nothing is in the kernel yet");
	return NULL;
}

static json_t *family_status(const struct policing *p, enum ip_family family)
{
	struct ipt_counts rules = ipt_counts(filter_rules(p->filter, family));
	struct ipset_counts sets = ipset_counts(filter_sets(p->filter, family));
	struct filter_repairs repairs = filter_repairs(p->filter, family);
	json_t *o = json_object();

	js_set_int(o, "chains", rules.chains);
	js_set_int(o, "rules", rules.rules);
	js_set_int(o, "sets", sets.sets);
	js_set_int(o, "members", (json_int_t)sets.members);
	js_set_int(o, "restores", (json_int_t)rules.restores);
	js_set_int(o, "chainsWritten", (json_int_t)rules.written);
	js_set_int(o, "chainsRemoved", (json_int_t)rules.removed);
	js_set_int(o, "chainsTampered", (json_int_t)rules.tampered);
	js_set_int(o, "repairs", (json_int_t)repairs.n);
	js_set_int(o, "lastRepairMs", repairs.last_ms);
	js_set_int(o, "chainsRefused", rules.held);
	js_set_int(o, "setCalls", (json_int_t)sets.calls);
	js_set_int(o, "errors",
		   (json_int_t)(rules.save_errors + rules.restore_errors + sets.errors));
	return o;
}

static bool in_force(const struct policing *p)
{
	/* Settings of the revision that is shown may yet ask for other rules. */
	if (felix_pending(p->agent->felix))
		return false;
	if (!p->kernel)
		return !policing_needs_filter(p);
	return !p->restate && !p->net_dirty && p->enforced_once && p->stated == p->fed &&
	       filter_settled(p->filter);
}

json_t *policing_status(const struct policing *p)
{
	struct calc_stats s;
	json_t *o;

	if (!p)
		return NULL;
	s = calc_stats(p->calc);
	o = json_object();
	js_set_bool(o, "on", p->on);
	js_set_bool(o, "inForce", in_force(p));
	js_set_int(o, "endpoints", (json_int_t)s.endpoints);
	js_set_int(o, "localEndpoints", (json_int_t)s.local_endpoints);
	js_set_int(o, "policies", (json_int_t)s.policies);
	js_set_int(o, "activePolicies", (json_int_t)s.active_policies);
	if (p->cutting)
		js_set_int(o, "flowsCut", (json_int_t)cutting_count(p->cutting));
	if (!p->kernel)
		return o;
	js_set_str(o, "backend", backend_name(p));
	js_set_str(o, "backendWhy", p->choice.why);
	js_set(o, "ipv4", family_status(p, IP_V4));
	if (p->v6)
		js_set(o, "ipv6", family_status(p, IP_V6));
	else
		js_set_str(o, "noIPv6", p->no_v6);
	return o;
}

bool policing_parts(const struct policing *p, struct policing_parts *out)
{
	if (!p || !p->on)
		return false;
	*out = (struct policing_parts) {
		.calc = p->calc,
		.filter = p->filter,
		.backend = p->choice.backend,
		.v6 = p->v6,
		.in_force = in_force(p),
	};
	return true;
}
