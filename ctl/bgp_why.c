/* bgp_why.c - margayctl bgp why: why a prefix is told to a peer, or is not */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

enum { OPT_TO };

static const char *verdict_words(const json_t *o)
{
	const char *v = answer_text(o, "verdict");

	return strcmp(v, "told") == 0	 ? "is told"
	       : strcmp(v, "waits") == 0 ? "is about to be told otherwise"
					 : "is not told";
}

static void print_form(const json_t *as)
{
	if (!as)
		return;
	printf("As: next hop %s, AS path \"%s\"", answer_text(as, "nextHop"),
	       answer_text(as, "asPath"));
	if (json_object_get(as, "localPref"))
		printf(", LOCAL_PREF %lld", answer_number(as, "localPref"));
	if (*answer_text(as, "communities"))
		printf(", communities %s", answer_text(as, "communities"));
	puts("");
}

/* All questions with their answers. */
static void print_steps(const char *prefix, const json_t *o)
{
	struct table t = { .n_cols = 2 };
	const json_t *steps = json_object_get(o, "steps");
	size_t i;
	json_t *s;

	printf("%s %s to %s (%s): %s.\n", prefix, verdict_words(o), answer_text(o, "address"),
	       answer_text(o, "peer"), answer_text(o, "text"));
	print_form(json_object_get(o, "as"));
	if (json_object_get(o, "service"))
		printf("Not announced from here for %s.\n", answer_text(o, "service"));
	json_array_foreach (steps, i, s) {
		table_add(&t, xasprintf("  %s", answer_text(s, "question")));
		table_add(&t, xstrdup(answer_text(s, "answer")));
	}
	table_print(&t);
	table_done(&t);
}

static void print_all(const json_t *list)
{
	static const char *const head[] = { "PEER ADDRESS", "PEER", "VERDICT", "WHY" };
	struct table t = { 0 };
	size_t i;
	json_t *o;

	table_head(&t, head, ARRAY_SIZE(head));
	json_array_foreach (list, i, o) {
		table_add(&t, xstrdup(answer_text(o, "address")));
		table_add(&t, xstrdup(answer_text(o, "peer")));
		table_add(&t, xstrdup(answer_text(o, "verdict")));
		table_add(&t, xstrdup(answer_text(o, "text")));
	}
	table_print(&t);
	table_done(&t);
}

int cmd_bgp_why(struct ctl *c, const struct args *a)
{
	json_t *q, *o, *list;
	struct err e = { 0 };
	size_t i;
	json_t *one;

	if (a->n_words != 1)
		return ctl_error("bgp why: one prefix, such as 10.0.0.0/26, and --to PEER");
	q = agent_question("why");
	js_set_str(q, "prefix", a->word[0]);
	js_set_str(q, "to", a->opt[OPT_TO]);
	if (agent_ask(c, q, &o, &e) < 0)
		return ctl_error("%s", e.msg);
	json_object_del(o, "ok");
	list = json_object_get(o, "why");
	if (c->output == CTL_JSON || c->output == CTL_YAML) {
		ctl_print(c, o);
	} else if (!a->opt[OPT_TO]) {
		print_all(list);
	} else {
		json_array_foreach (list, i, one)
			print_steps(a->word[0], one);
	}
	json_decref(o);
	return CTL_OK;
}
