/* policy_show.c - margayctl policy show: what applies to a pod of this node, in order */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

static char *policy_name(const json_t *p)
{
	const char *ns = answer_text(p, "namespace");

	return xasprintf("%s %s%s%s%s", answer_text(p, "kind"), ns, *ns ? "/" : "",
			 answer_text(p, "name"),
			 json_is_true(json_object_get(p, "unreadable")) ? " (unreadable: denies)"
									: "");
}

static void add_row(struct table *t, const json_t *tier, const char *what, const char *in,
		    const char *out)
{
	table_add(t, xstrdup(tier ? answer_text(tier, "tier") : "(profiles)"));
	table_add(t, xstrdup(tier ? answer_text(tier, "applies") : ""));
	table_add(t, xstrdup(what));
	table_add(t, xstrdup(in));
	table_add(t, xstrdup(out));
}

static void add_tier(struct table *t, const json_t *tier)
{
	CLEANUP(freep) char *end = xasprintf("end of tier: %s", answer_text(tier, "end"));
	const json_t *p;
	size_t i;

	json_array_foreach (json_object_get(tier, "policies"), i, p) {
		CLEANUP(freep) char *name = policy_name(p);

		add_row(t, tier, name, answer_text(p, "ingressChain"),
			answer_text(p, "egressChain"));
	}
	add_row(t, tier, end, "", "");
}

static void print(const json_t *o)
{
	static const char *const head[] = { "TIER", "APPLIES", "POLICY", "INGRESS", "EGRESS" };
	struct table t = { 0 };
	const json_t *v;
	size_t i;

	printf("%s, interface %s\n", answer_text(o, "endpoint"), answer_text(o, "interface"));
	table_head(&t, head, ARRAY_SIZE(head));
	json_array_foreach (json_object_get(o, "tiers"), i, v)
		add_tier(&t, v);
	json_array_foreach (json_object_get(o, "profiles"), i, v)
		add_row(&t, NULL, json_string_value(v), "", "");
	table_print(&t);
	table_done(&t);
}

int cmd_policy_show(struct ctl *c, const struct args *a)
{
	json_t *q = agent_question("policy"), *answer = NULL;
	struct err e = { 0 };

	if (a->n_words != 1) {
		json_decref(q);
		return ctl_error("must be NAMESPACE/POD, a host endpoint, an interface or an address");
	}
	js_set_str(q, "of", a->word[0]);
	if (agent_ask(c, q, &answer, &e) < 0)
		return ctl_error("%s", e.msg);
	if (c->output == CTL_TABLE || c->output == CTL_WIDE)
		print(json_object_get(answer, "policy"));
	else
		ctl_print(c, json_object_get(answer, "policy"));
	json_decref(answer);
	return CTL_OK;
}
