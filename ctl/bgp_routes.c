/* bgp_routes.c - margayctl bgp routes: the paths that this node's speaker knows, and why one is
 * best */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

/* "*" best, "=" used beside it, "s" kept from before the peer's restart, "l" kept even longer (RFC 9494),
 * "!" not usable. */
static char *flags(const json_t *r)
{
	bool best = json_is_true(json_object_get(r, "best"));

	return xasprintf("%s%s%s%s%s", best ? "*" : "",
			 !best && json_is_true(json_object_get(r, "multipath")) ? "=" : "",
			 json_is_true(json_object_get(r, "stale")) ? "s" : "",
			 json_is_true(json_object_get(r, "longStale")) ? "l" : "",
			 json_is_true(json_object_get(r, "usable")) ? "" : "!");
}

static char *number(const json_t *r, const char *name)
{
	const json_t *v = json_object_get(r, name);

	return v ? xasprintf("%lld", (long long)json_integer_value(v)) : xstrdup("");
}

/* Why it is not the best, or unusable; of what is made here for services, which. */
static const char *cause(const json_t *r)
{
	const char *why = answer_text(r, "why");

	return *why ? why : answer_text(r, "for");
}

static void add_row(struct table *t, const json_t *r, bool wide)
{
	table_add(t, flags(r));
	table_add(t, xstrdup(answer_text(r, "prefix")));
	table_add(t, xstrdup(answer_text(r, "nextHop")));
	table_add(t, xstrdup(answer_text(r, "peerName")));
	table_add(t, number(r, "localPref"));
	if (wide) {
		table_add(t, number(r, "med"));
		table_add(t, xstrdup(answer_text(r, "origin")));
		table_add(t, xstrdup(answer_text(r, "communities")));
	}
	table_add(t, xstrdup(answer_text(r, "asPath")));
	table_add(t, xstrdup(cause(r)));
}

static void print_table(const json_t *list, bool wide)
{
	static const char *const head[] = { "", "PREFIX", "NEXT HOP", "PEER", "PREF" };
	static const char *const more[] = { "MED", "ORIGIN", "COMMUNITIES" };
	static const char *const tail[] = { "AS PATH", "WHY" };
	struct table t = { 0 };
	size_t i;
	json_t *r;

	table_head(&t, head, ARRAY_SIZE(head));
	if (wide)
		table_head(&t, more, ARRAY_SIZE(more));
	table_head(&t, tail, ARRAY_SIZE(tail));
	json_array_foreach (list, i, r)
		add_row(&t, r, wide);
	table_print(&t);
	table_done(&t);
}

int cmd_bgp_routes(struct ctl *c, const struct args *a)
{
	json_t *q = agent_question("routes"), *o;
	struct err e = { 0 };
	int rc = CTL_OK;

	if (a->n_words > 1) {
		json_decref(q);
		return ctl_error("bgp routes: one prefix at most, \"%s\" is one too many",
				 a->word[1]);
	}
	js_set_str(q, "prefix", a->n_words ? a->word[0] : NULL);
	if (agent_ask(c, q, &o, &e) < 0)
		return ctl_error("%s", e.msg);
	json_object_del(o, "ok");
	if (a->n_words && json_array_size(json_object_get(o, "routes")) == 0)
		rc = ctl_error("%s: no path is known", a->word[0]);
	if (c->output == CTL_JSON || c->output == CTL_YAML)
		ctl_print(c, o);
	else if (rc == CTL_OK)
		print_table(json_object_get(o, "routes"), c->output == CTL_WIDE);
	if (json_is_true(json_object_get(o, "cut")))
		ctl_error("there are more routes than one answer holds; ask for a prefix");
	json_decref(o);
	return rc;
}
