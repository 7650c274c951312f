/* policy_explain.c - margayctl policy explain: why a packet passes or not, at both ends of its way
 * TESTS  tests/netns/test_policy_explain.py */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/policy_question.h"

/* ---- answer for the eye ---- */

/* "egress of x/a", "preDNAT ingress of host endpoint eth0". */
static char *where_words(const struct policy_question *q, const json_t *stage)
{
	const char *applies = answer_text(stage, "applies"), *id = answer_text(stage, "endpoint");
	bool egress = !strcmp(answer_text(stage, "direction"), "Egress");
	const char *name = q->from.id && !strcmp(q->from.id, id) ? q->from.name
			   : q->to.id && !strcmp(q->to.id, id)	 ? q->to.name
								 : id;

	if (!*id)
		return xasprintf("node %s", answer_text(stage, "node"));
	return xasprintf(
		"%s%s%s of %s%s", strcmp(applies, "normal") ? applies : "",
		strcmp(applies, "normal") ? " " : "", egress ? "egress" : "ingress",
		strcmp(answer_text(stage, "endpointKind"), "HostEndpoint") ? "" : "host endpoint ",
		name);
}

static char *whose_words(const json_t *step)
{
	const char *what = answer_text(step, "what"), *ns = answer_text(step, "namespace");

	if (!strcmp(what, "endOfTier"))
		return xstrdup("(end of tier)");
	if (!*answer_text(step, "kind"))
		return xstrdup("");
	return xasprintf("%s %s%s%s", answer_text(step, "kind"), ns, *ns ? "/" : "",
			 answer_text(step, "name"));
}

static char *what_words(const json_t *stage, const json_t *step)
{
	const char *what = answer_text(step, "what"), *text = answer_text(step, "text");

	if (!strcmp(what, "rule"))
		return xstrdup(*text ? text : answer_text(step, "action"));
	if (!strcmp(what, "noRuleMatched"))
		return xstrdup("no rule matches");
	if (!strcmp(what, "endOfTier"))
		return xstrdup(answer_text(step, "action"));
	if (!strcmp(what, "endpointDisabled"))
		return xstrdup("Deny: the endpoint is turned off");
	if (!strcmp(answer_text(stage, "verdict"), "Deny"))
		return xstrdup("Deny: no profile allows it");
	if (!strcmp(answer_text(stage, "verdict"), "Allow"))
		return xstrdup("Allow");
	return xstrdup(strcmp(answer_text(stage, "applies"), "applyOnForward")
			       ? "no decision: what comes next decides"
			       : "no decision: the host's own rules decide");
}

static char *rule_number(const json_t *stage, const json_t *step)
{
	const json_t *n = json_object_get(step, "rule");

	if (!n)
		return xstrdup("");
	return xasprintf("%s[%lld]",
			 strcmp(answer_text(stage, "direction"), "Egress") ? "ingress" : "egress",
			 (long long)json_integer_value(n));
}

static const char *point_words(const json_t *stage)
{
	static const struct {
		const char *point, *words;
	} rows[] = {
		{ "failsafePort", "a failsafe port: open whatever policy says" },
		{ "tunnelPacket", "pods may not send tunnels' packets (VXLAN, IPIP)" },
		{ "hostToOwnPod", "a node always reaches its own pods" },
		{ "neighbor", "neighbours and routers are found before any policy" },
		{ "toItself", "from an address to itself: never policed" },
		{ "podToOwnHost", "defaultEndpointToHostAction" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].point, answer_text(stage, "point")))
			return rows[i].words;
	return "";
}

static void add_stage(const struct policy_question *q, struct table *t, const json_t *stage)
{
	const json_t *steps = json_object_get(stage, "steps"), *step;
	char *where = where_words(q, stage);
	size_t i;

	json_array_foreach (steps, i, step) {
		table_add(t, i ? xstrdup("") : xstrdup(where));
		table_add(t, xstrdup(answer_text(step, "tier")));
		table_add(t, whose_words(step));
		table_add(t, rule_number(stage, step));
		table_add(t, what_words(stage, step));
	}
	if (!json_array_size(steps)) {
		table_add(t, xstrdup(where));
		table_add(t, xstrdup(""));
		table_add(t, xstrdup(""));
		table_add(t, xstrdup(""));
		table_add(t,
			  xasprintf("%s: %s", answer_text(stage, "verdict"), point_words(stage)));
	}
	free(where);
}

static void print_packet(const struct policy_question *q)
{
	const struct explain_packet *p = &q->packet;
	char src[ADDR_STR_MAX], dst[ADDR_STR_MAX];

	addr_format(&p->src, src);
	addr_format(&p->dst, dst);
	if (q->proto.name)
		printf("%s", p->proto == PROTO_ICMPV6 ? "icmpv6" : q->proto.name);
	else
		printf("protocol %u", p->proto);
	printf(" from %s", q->from.name);
	if (strcmp(src, q->from.name))
		printf(" (%s)", src);
	printf(" to %s", q->to.name);
	if (strcmp(dst, q->to.name))
		printf(" (%s)", dst);
	if (proto_has_ports(p->proto))
		printf(" port %u", p->dst_port);
	if (p->icmp_type >= 0)
		printf(" type %d code %d", p->icmp_type, p->icmp_code);
}

static void print(const struct policy_question *q, const json_t *answer)
{
	static const char *const head[] = { "WHERE", "TIER", "POLICY", "RULE", "WHAT" };
	const char *verdict = answer_text(answer, "verdict");
	struct table t = { 0 };
	const json_t *v;
	size_t i;

	print_packet(q);
	printf(": %s", !strcmp(verdict, "Allow") ? "ALLOWED"
		       : !strcmp(verdict, "Deny")
			       ? "DENIED by "
			       : "policy allows it; the host's own rules decide");
	if (json_object_get(answer, "deniedBy")) {
		size_t at = (size_t)json_integer_value(json_object_get(answer, "deniedBy"));
		CLEANUP(freep)
		char *where = where_words(q, json_array_get(json_object_get(answer, "stages"), at));

		printf("%s", where);
	}
	putchar('\n');
	table_head(&t, head, ARRAY_SIZE(head));
	json_array_foreach (json_object_get(answer, "stages"), i, v)
		add_stage(q, &t, v);
	table_print(&t);
	table_done(&t);
	json_array_foreach (q->notes, i, v)
		printf("Note: %s.\n", json_string_value(v));
}

/* ---- command ---- */

static int ask(struct ctl *c, struct policy_question *q, struct err *e)
{
	json_t *answer;
	int rc = policy_world_load(c, &q->world, e);

	if (rc < 0 || (rc = policy_question_read(q, e)) < 0)
		return rc;
	answer = policy_answer(q);
	if (c->output == CTL_TABLE || c->output == CTL_WIDE)
		print(q, answer);
	else
		ctl_print(c, answer);
	json_decref(answer);
	return 0;
}

int cmd_policy_explain(struct ctl *c, const struct args *a)
{
	struct policy_question q = { .ctl = c, .args = a, .notes = json_array() };
	struct err e = { 0 };
	int rc;

	if (a->n_words)
		rc = err_set(&e, -EINVAL, "\"%.60s\": the ends are named by --from and --to",
			     a->word[0]);
	else
		rc = ask(c, &q, &e);
	if (rc < 0)
		ctl_error("%s", e.msg);
	policy_end_done(&q.from);
	policy_end_done(&q.to);
	policy_world_done(&q.world);
	json_decref(q.notes);
	return rc < 0 || q.world.n_broken ? CTL_FAILED : CTL_OK;
}
