/* bgp_neighbors.c - margayctl bgp neighbors: every session of this node in numbers */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/bgp_neighbor.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"

/* One number of all families together. */
static char *total(const json_t *neighbor, const char *name)
{
	const json_t *families = json_object_get(neighbor, "families");
	long long n = 0;
	const char *family;
	json_t *v;

	json_object_foreach ((json_t *)(uintptr_t)families, family, v)
		n += answer_number(v, name);
	return xasprintf("%lld", n);
}

/* What BFD says of the way there: "Up", and in how many milliseconds it would notice. */
static char *bfd(const json_t *neighbor, bool wide)
{
	const json_t *o = json_object_get(neighbor, "bfd");

	if (!o)
		return xstrdup("-");
	if (!wide || !json_object_get(o, "detectionMs"))
		return xstrdup(answer_text(o, "state"));
	return xasprintf("%s %.0fms", answer_text(o, "state"),
			 json_number_value(json_object_get(o, "detectionMs")));
}

static void add_row(struct table *t, const json_t *n, bool wide)
{
	const json_t *msgs = json_object_get(n, "messages");

	table_add(t, xstrdup(answer_text(n, "address")));
	table_add(t, xasprintf("%lld", answer_number(n, "remoteAS")));
	table_add(t, xstrdup(answer_text(n, "type")));
	table_add(t, xstrdup(answer_text(n, "state")));
	table_add(t, answer_since(n, "since"));
	table_add(t, bfd(n, wide));
	table_add(t, total(n, "received"));
	table_add(t, total(n, "best"));
	table_add(t, total(n, "sent"));
	if (wide) {
		table_add(t, total(n, "stale"));
		table_add(t, xstrdup(answer_text(n, "remoteID")));
		table_add(t, xasprintf("%lld/%lld", answer_number(n, "holdSeconds"),
				       answer_number(n, "keepaliveSeconds")));
		table_add(t, xasprintf("%lld", answer_number(msgs, "received")));
		table_add(t, xasprintf("%lld", answer_number(msgs, "sent")));
	}
	table_add(t, xasprintf("%lld", answer_number(n, "flaps")));
	table_add(t, xstrdup(answer_text(n, "lastError")));
}

static void print_table(const json_t *list, bool wide)
{
	static const char *const head[] = { "PEER ADDRESS", "AS",	"TYPE", "STATE",
					    "SINCE",	    "BFD",	"RECEIVED", "BEST", "SENT" };
	static const char *const more[] = { "STALE", "ROUTER ID", "HOLD/KEEP", "MSG IN",
					    "MSG OUT" };
	static const char *const tail[] = { "FLAPS", "LAST ERROR" };
	struct table t = { 0 };
	size_t i;
	json_t *n;

	table_head(&t, head, ARRAY_SIZE(head));
	if (wide)
		table_head(&t, more, ARRAY_SIZE(more));
	table_head(&t, tail, ARRAY_SIZE(tail));
	json_array_foreach (list, i, n)
		add_row(&t, n, wide);
	table_print(&t);
	table_done(&t);
}

/* An address may have several sessions, on different ports. */
static void print_pages(const json_t *list)
{
	size_t i;
	json_t *n;

	json_array_foreach (list, i, n) {
		if (i)
			puts("");
		bgp_neighbor_print(n);
	}
}

/* Keep only the neighbour with this address. */
static void select_one(json_t *list, const char *address)
{
	for (size_t i = json_array_size(list); i-- > 0;)
		if (strcmp(answer_text(json_array_get(list, i), "address"), address) != 0)
			json_array_remove(list, i);
}

int cmd_bgp_neighbors(struct ctl *c, const struct args *a)
{
	struct err e = { 0 };
	json_t *o, *list;
	int rc = CTL_OK;

	if (a->n_words > 1)
		return ctl_error("bgp neighbors: one address at most, \"%s\" is one too many",
				 a->word[1]);
	if (agent_ask(c, agent_question("neighbors"), &o, &e) < 0)
		return ctl_error("%s", e.msg);
	json_object_del(o, "ok");
	list = json_object_get(o, "neighbors");
	if (a->n_words == 1) {
		select_one(list, a->word[0]);
		if (json_array_size(list) == 0)
			rc = ctl_error("%s: no such neighbor", a->word[0]);
	}
	if (c->output == CTL_JSON || c->output == CTL_YAML)
		ctl_print(c, o);
	else if (rc == CTL_OK && a->n_words == 1)
		print_pages(list);
	else if (rc == CTL_OK)
		print_table(list, c->output == CTL_WIDE);
	json_decref(o);
	return rc;
}
