/* policy_show.c - margayctl policy show: what applies to a pod of this node, in order, and how many
 * packets met each rule
 * TESTS  tests/netns/test_policy_explain.py */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/policy_words.h"

/* One direction of the answer, being printed. */
struct view {
	struct table t;
	const char *direction; /* "ingress" */
	bool classes;	       /* a host endpoint: policies are looked at in several places */
};

/* "12", or "-" where the kernel has no such rule. */
static char *number_text(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return v ? xasprintf("%lld", (long long)json_integer_value(v)) : xstrdup("-");
}

static void add_row(struct view *v, const json_t *tier, const char *whose, char *rule,
		    const json_t *counts, const char *what)
{
	table_add(&v->t, xstrdup(tier ? answer_text(tier, "tier") : ""));
	if (v->classes)
		table_add(&v->t, xstrdup(tier ? answer_text(tier, "applies") : ""));
	table_add(&v->t, xstrdup(whose));
	table_add(&v->t, rule);
	table_add(&v->t, number_text(counts, "packets"));
	table_add(&v->t, number_text(counts, "bytes"));
	table_add(&v->t, xstrdup(what));
}

static void add_rule(struct view *v, const json_t *tier, const char *whose, size_t i,
		     const json_t *rule)
{
	const json_t *definition = json_object_get(rule, "definition");
	struct str words = { 0 };

	if (definition)
		rule_words(definition, &words);
	else
		str_add(&words, answer_text(rule, "action"));
	add_row(v, tier, whose, xasprintf("%s[%zu]", v->direction, i), rule, str_text(&words));
	str_done(&words);
}

/* o: a policy or profile. False when it says nothing about this direction. */
static bool add_rules(struct view *v, const json_t *tier, const char *whose, const json_t *o)
{
	const json_t *rules = json_object_get(o, v->direction), *rule;
	bool unreadable = json_is_true(json_object_get(o, "unreadable"));
	size_t i;

	if (!rules)
		return false;
	json_array_foreach (rules, i, rule) {
		if (unreadable)
			add_row(v, tier, whose, xstrdup(""), rule,
				"Deny: it cannot be read, or does not exist");
		else
			add_rule(v, tier, whose, i, rule);
	}
	if (!i)
		add_row(v, tier, whose, xstrdup("(no rules)"), NULL, "");
	return true;
}

static void add_tier(struct view *v, const json_t *tier)
{
	CLEANUP(freep) char *end = xasprintf("%sEnd", v->direction);
	const json_t *p;
	bool any = false;
	size_t i;

	json_array_foreach (json_object_get(tier, "policies"), i, p) {
		const char *ns = answer_text(p, "namespace");
		CLEANUP(freep)
		char *whose = xasprintf("%s %s%s%s", answer_text(p, "kind"), ns, *ns ? "/" : "",
					answer_text(p, "name"));

		any |= add_rules(v, tier, whose, p);
	}
	if (any)
		add_row(v, tier, "(end of tier)", xstrdup(""), json_object_get(tier, end),
			answer_text(tier, "end"));
}

static void print_direction(const json_t *o, const char *direction, const char *title)
{
	static const char *const with[] = { "TIER",    "APPLIES", "POLICY", "RULE",
					    "PACKETS", "BYTES",	  "WHAT" };
	static const char *const without[] = {
		"TIER", "POLICY", "RULE", "PACKETS", "BYTES", "WHAT"
	};
	CLEANUP(freep) char *end = xasprintf("%sEnd", direction);
	struct view v = { .direction = direction };
	const json_t *tiers = json_object_get(o, "tiers"), *item;
	size_t i;

	json_array_foreach (tiers, i, item)
		v.classes |= *answer_text(item, "applies") != '\0';
	table_head(&v.t, v.classes ? with : without,
		   v.classes ? ARRAY_SIZE(with) : ARRAY_SIZE(without));
	json_array_foreach (tiers, i, item)
		add_tier(&v, item);
	json_array_foreach (json_object_get(o, "profileRules"), i, item) {
		CLEANUP(freep) char *whose = xasprintf("Profile %s", answer_text(item, "name"));

		add_rules(&v, NULL, whose, item);
	}
	add_row(&v, NULL, "(end)", xstrdup(""), json_object_get(o, end), "Deny");
	printf("\n%s\n", title);
	table_print(&v.t);
	table_done(&v.t);
}

/* What might apply as well, were it right. */
static void print_troubles(const json_t *list)
{
	const json_t *v;
	size_t i;

	if (json_array_size(list))
		puts("\nNot right, and so left out or closed, here or elsewhere:");
	json_array_foreach (list, i, v)
		printf("  - %s\n", json_string_value(v));
}

static void print(const json_t *o)
{
	const char *why = answer_text(o, "countersWhy");
	const json_t *net;
	size_t i;

	printf("%s, interface %s", answer_text(o, "endpoint"), answer_text(o, "interface"));
	json_array_foreach (json_object_get(o, "addresses"), i, net)
		printf(", %s", json_string_value(net));
	putchar('\n');
	print_direction(o, "ingress", "Ingress");
	print_direction(o, "egress", "Egress");
	if (*why)
		printf("\nThe kernel's counters could not be read: %s\n", why);
	else if (json_is_true(json_object_get(o, "sharedEnds")))
		puts("\nRules count the packets of all endpoints of this node that the policy "
		     "selects, ends\nthose of all pods to which the same applies, since they were "
		     "last written.");
	else
		puts("\nRules count the packets of all endpoints of this node that the policy "
		     "selects, since the rules were last written.");
	print_troubles(json_object_get(o, "troubles"));
}

int cmd_policy_show(struct ctl *c, const struct args *a)
{
	json_t *q, *answer = NULL;
	struct err e = { 0 };

	if (a->n_words != 1)
		return ctl_error(
			"must be NAMESPACE/POD, a host endpoint, an interface or an address");
	q = agent_question("policy");
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
