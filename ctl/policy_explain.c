/* policy_explain.c - margayctl policy explain: why a packet passes or not, at both ends of its way
 * TESTS  tests/netns/test_policy_explain.py */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"
#include "ctl/policy_ends.h"
#include "ctl/policy_view.h"
#include "ctl/policy_words.h"

enum {
	EXPLAIN_FROM,
	EXPLAIN_TO,
	EXPLAIN_PROTO,
	EXPLAIN_PORT,
	EXPLAIN_SOURCE_PORT,
	EXPLAIN_ICMP_TYPE,
	EXPLAIN_ICMP_CODE,
	EXPLAIN_IP_VERSION,
};

/* A port that nobody restricts: clients' come from this range. */
enum { SOURCE_PORT = 50000, PROTO_ECHO_V4 = 8, PROTO_ECHO_V6 = 128 };

/* What is asked and answered. */
struct question {
	struct ctl *ctl;
	const struct args *args;
	struct policy_world world;
	struct policy_end from, to;
	struct explain_packet packet;
	struct proto_spec proto;
	json_t *notes;
};

/* ---- the packet ---- */

static int number(const struct args *a, int opt, const char *name, uint64_t max, uint64_t *out,
		  struct err *e)
{
	if (!a->opt[opt] || parse_u64(a->opt[opt], max, out))
		return 0;
	return err_set(e, -EINVAL, "--%s: must be a number from 0 to %lu, is \"%.40s\"", name,
		       (unsigned long)max, a->opt[opt]);
}

static int read_proto(struct question *q, struct err *e)
{
	const char *text = q->args->opt[EXPLAIN_PROTO];
	json_t *v = json_string(text ? text : "tcp");
	int rc;

	if (!v)
		return err_set(e, -EINVAL, "--proto: is not valid UTF-8");
	rc = proto_spec_parse(v, &q->proto, NULL);
	json_decref(v);
	if (rc < 0 || !q->proto.set)
		return err_set(e, -EINVAL,
			       "--proto: must be tcp, udp, sctp, icmp, icmpv6, udplite or a number "
			       "from 1 to 255, is \"%.40s\"",
			       text);
	return 0;
}

/* "icmp" is what the family calls so. */
static void fit_proto(struct question *q, enum ip_family family)
{
	if (family == IP_V6 && q->proto.number == PROTO_ICMP)
		q->proto.number = PROTO_ICMPV6;
	q->packet.proto = q->proto.number;
}

static int read_port(struct question *q, struct err *e)
{
	const char *text = q->args->opt[EXPLAIN_PORT];
	uint64_t n;

	if (!proto_has_ports(q->packet.proto)) {
		if (text)
			return err_set(
				e, -EINVAL,
				"--port: protocol %u has no ports; they go with tcp, udp and "
				"sctp",
				q->packet.proto);
		return 0;
	}
	if (!text)
		return err_set(e, -EINVAL,
			       "--port is missing: the destination's, a number or a name as in its "
			       "endpoint");
	if (parse_u64(text, UINT16_MAX, &n) && n) {
		q->packet.dst_port = (uint16_t)n;
		return 0;
	}
	if (text[strspn(text, "0123456789")] == '\0')
		return err_set(e, -EINVAL, "--port: must be from 1 to 65535, is \"%.40s\"", text);
	return policy_end_port(&q->to, q->packet.proto, text, &q->packet.dst_port, e);
}

static bool is_icmp(const struct explain_packet *p)
{
	return p->proto == PROTO_ICMP || p->proto == PROTO_ICMPV6;
}

static int read_numbers(struct question *q, struct err *e)
{
	uint64_t source = SOURCE_PORT, code = 0,
		 type = q->packet.proto == PROTO_ICMPV6 ? PROTO_ECHO_V6 : PROTO_ECHO_V4;
	const struct args *a = q->args;
	int rc;

	if ((a->opt[EXPLAIN_ICMP_TYPE] || a->opt[EXPLAIN_ICMP_CODE]) && !is_icmp(&q->packet))
		return err_set(e, -EINVAL, "--icmp-type and --icmp-code go with --proto icmp only");
	if (a->opt[EXPLAIN_SOURCE_PORT] && !proto_has_ports(q->packet.proto))
		return err_set(e, -EINVAL, "--source-port: goes with tcp, udp and sctp");
	if ((rc = number(a, EXPLAIN_SOURCE_PORT, "source-port", UINT16_MAX, &source, e)) < 0 ||
	    (rc = number(a, EXPLAIN_ICMP_TYPE, "icmp-type", UINT8_MAX, &type, e)) < 0 ||
	    (rc = number(a, EXPLAIN_ICMP_CODE, "icmp-code", UINT8_MAX, &code, e)) < 0)
		return rc;
	q->packet.src_port = proto_has_ports(q->packet.proto) ? (uint16_t)source : 0;
	q->packet.icmp_type = is_icmp(&q->packet) ? (int)type : -1;
	q->packet.icmp_code = is_icmp(&q->packet) ? (int)code : -1;
	return 0;
}

static int wish_of(const struct args *a, const struct proto_spec *proto, enum ip_family *out,
		   struct err *e)
{
	uint64_t version = 0;
	const char *text = a->opt[EXPLAIN_IP_VERSION];

	if (text && (!parse_u64(text, IP_V6, &version) || (version != IP_V4 && version != IP_V6)))
		return err_set(e, -EINVAL, "--ip-version: must be 4 or 6, is \"%.40s\"", text);
	*out = (enum ip_family)version;
	if (!version && proto->number == PROTO_ICMPV6)
		*out = IP_V6;
	return 0;
}

static int read_ends(struct question *q, struct err *e)
{
	const char *from = q->args->opt[EXPLAIN_FROM], *to = q->args->opt[EXPLAIN_TO];
	enum ip_family wish = IP_NONE, family;
	int rc = read_proto(q, e);

	if (rc == 0 && (!from || !to))
		rc = err_set(e, -EINVAL,
			     "--%s is missing: NAMESPACE/POD, an address, or the name of a node",
			     from ? "to" : "from");
	if (rc < 0 || (rc = wish_of(q->args, &q->proto, &wish, e)) < 0)
		return rc;
	family = policy_ends_family(&q->world, from, to, wish, e);
	if (!family)
		return -ENOENT;
	policy_end_find(&q->world, from, family, &q->from, e);
	policy_end_find(&q->world, to, family, &q->to, e);
	if (q->from.at.place == EXPLAIN_OUTSIDE && q->to.at.place == EXPLAIN_OUTSIDE)
		return err_set(e, -EINVAL,
			       "neither %s nor %s is a pod or node of this cluster: nobody asks "
			       "policy about such a packet",
			       q->from.name, q->to.name);
	policy_ends_meet(&q->world, &q->from, &q->to, q->notes);
	q->packet.src = q->from.addr;
	q->packet.dst = q->to.addr;
	fit_proto(q, family);
	return 0;
}

/* ---- answer as JSON ---- */

static const char *verdict_word(enum explain_verdict v)
{
	static const char *const words[] = { "Allow", "Deny", "HostRules" };

	return words[v];
}

static const char *action_word(enum rule_action a)
{
	static const char *const words[] = { "Allow", "Deny", "Log", "Pass" };

	return words[a];
}

static json_t *end_json(const struct policy_end *end)
{
	static const char *const places[] = { "pod", "node", "outside" };
	json_t *o = json_object();
	char text[ADDR_STR_MAX];

	js_set_str(o, "name", end->name);
	js_set_str(o, "is", places[end->at.place]);
	js_set_str(o, "node", end->at.node);
	js_set_str(o, "address", addr_format(&end->addr, text));
	return o;
}

static json_t *packet_json(const struct explain_packet *p)
{
	json_t *o = json_object();

	js_set_int(o, "ipVersion", p->src.family);
	js_set_int(o, "protocol", p->proto);
	if (proto_has_ports(p->proto)) {
		js_set_int(o, "sourcePort", p->src_port);
		js_set_int(o, "port", p->dst_port);
	}
	if (p->icmp_type >= 0) {
		js_set_int(o, "icmpType", p->icmp_type);
		js_set_int(o, "icmpCode", p->icmp_code);
	}
	return o;
}

static const json_t *rule_json(const struct question *q, const struct explain_step *s, bool ingress)
{
	const struct object *o = s->policy ? policy_world_policy(&q->world, s->policy)
				 : s->profile
					 ? policy_world_find(&q->world, "Profile", NULL, s->profile)
					 : NULL;
	const json_t *list = o ? js_at(o->json, ingress ? "spec.ingress" : "spec.egress") : NULL;

	return json_array_get(list, s->index);
}

static void set_rule(const struct question *q, const struct explain_step *s, bool ingress,
		     json_t *out)
{
	const json_t *rule = s->unreadable ? NULL : rule_json(q, s, ingress);
	struct str words = { 0 };

	js_set_str(out, "action", action_word(s->action));
	if (s->unreadable) {
		js_set_str(out, "text",
			   s->policy ? "it cannot be read in full: denies all"
				     : "it does not exist: denies all");
		return;
	}
	js_set_int(out, "rule", (json_int_t)s->index);
	if (!rule)
		return;
	rule_words(rule, &words);
	js_set_str(out, "text", str_text(&words));
	str_done(&words);
	js_set(out, "definition", json_deep_copy(rule));
}

static json_t *step_json(const struct question *q, const struct explain_step *s, bool ingress)
{
	json_t *o = json_object();

	js_set_str(o, "tier", s->tier);
	if (s->policy) {
		js_set_str(o, "kind", policy_kind_name(s->policy->kind));
		js_set_str(o, "namespace", s->policy->ns);
		js_set_str(o, "name", s->policy->name);
	} else if (s->profile) {
		js_set_str(o, "kind", "Profile");
		js_set_str(o, "name", s->profile);
	}
	switch (s->what) {
	case EXPLAIN_RULE:
		js_set_str(o, "what", "rule");
		set_rule(q, s, ingress, o);
		break;
	case EXPLAIN_NO_RULE:
		js_set_str(o, "what", "noRuleMatched");
		break;
	case EXPLAIN_TIER_END:
		js_set_str(o, "what", "endOfTier");
		js_set_str(o, "action", action_word(s->action));
		break;
	case EXPLAIN_END:
		js_set_str(o, "what", "nothingLeft");
		break;
	case EXPLAIN_DISABLED:
		js_set_str(o, "what", "endpointDisabled");
		break;
	}
	return o;
}

static json_t *stage_json(const struct question *q, const struct explain_stage *s)
{
	static const char *const points[] = {
		[EXPLAIN_AT_POLICY] = "policy",	      [EXPLAIN_AT_FAILSAFE] = "failsafePort",
		[EXPLAIN_AT_TUNNEL] = "tunnelPacket", [EXPLAIN_AT_OWN_POD] = "hostToOwnPod",
		[EXPLAIN_AT_NEIGHBOR] = "neighbor",   [EXPLAIN_AT_OWN_HOST] = "podToOwnHost",
		[EXPLAIN_AT_HOME] = "toItself",
	};
	static const char *const classes[CLASS_COUNT] = { "normal", "applyOnForward", "doNotTrack",
							  "preDNAT" };
	json_t *o = json_object(), *steps = json_array();

	js_set_str(o, "point", points[s->point]);
	js_set_str(o, "node", s->node);
	js_set_str(o, "endpoint", s->endpoint);
	if (s->endpoint) {
		js_set_str(o, "endpointKind",
			   s->kind == ENDPOINT_HOST ? "HostEndpoint" : "WorkloadEndpoint");
		js_set_str(o, "direction", s->ingress ? "Ingress" : "Egress");
		js_set_str(o, "applies", classes[s->class]);
	}
	js_set_str(o, "verdict", verdict_word(s->verdict));
	for (size_t i = 0; i < s->why.steps.n; i++)
		json_array_append_new(steps, step_json(q, &s->why.steps.p[i], s->ingress));
	js_set(o, "steps", steps);
	return o;
}

/* ---- answer for the eye ---- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

/* "egress of x/a", "preDNAT ingress of host endpoint eth0". */
static char *where_words(const struct question *q, const json_t *stage)
{
	const char *applies = text_of(stage, "applies"), *id = text_of(stage, "endpoint");
	bool egress = !strcmp(text_of(stage, "direction"), "Egress");
	const char *name = q->from.id && !strcmp(q->from.id, id) ? q->from.name
			   : q->to.id && !strcmp(q->to.id, id)	 ? q->to.name
								 : id;

	if (!*id)
		return xasprintf("node %s", text_of(stage, "node"));
	return xasprintf("%s%s%s of %s%s", strcmp(applies, "normal") ? applies : "",
			 strcmp(applies, "normal") ? " " : "", egress ? "egress" : "ingress",
			 strcmp(text_of(stage, "endpointKind"), "HostEndpoint") ? ""
										: "host endpoint ",
			 name);
}

static char *whose_words(const json_t *step)
{
	const char *what = text_of(step, "what"), *ns = text_of(step, "namespace");

	if (!strcmp(what, "endOfTier"))
		return xstrdup("(end of tier)");
	if (!*text_of(step, "kind"))
		return xstrdup("");
	return xasprintf("%s %s%s%s", text_of(step, "kind"), ns, *ns ? "/" : "",
			 text_of(step, "name"));
}

static char *what_words(const json_t *stage, const json_t *step)
{
	const char *what = text_of(step, "what"), *text = text_of(step, "text");

	if (!strcmp(what, "rule"))
		return xstrdup(*text ? text : text_of(step, "action"));
	if (!strcmp(what, "noRuleMatched"))
		return xstrdup("no rule matches");
	if (!strcmp(what, "endOfTier"))
		return xstrdup(text_of(step, "action"));
	if (!strcmp(what, "endpointDisabled"))
		return xstrdup("Deny: the endpoint is turned off");
	if (!strcmp(text_of(stage, "verdict"), "Deny"))
		return xstrdup("Deny: no profile allows it");
	if (!strcmp(text_of(stage, "verdict"), "Allow"))
		return xstrdup("Allow");
	return xstrdup(strcmp(text_of(stage, "applies"), "applyOnForward")
			       ? "no decision: what comes next decides"
			       : "no decision: the host's own rules decide");
}

static char *rule_number(const json_t *stage, const json_t *step)
{
	const json_t *n = json_object_get(step, "rule");

	if (!n)
		return xstrdup("");
	return xasprintf("%s[%lld]",
			 strcmp(text_of(stage, "direction"), "Egress") ? "ingress" : "egress",
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
		if (!strcmp(rows[i].point, text_of(stage, "point")))
			return rows[i].words;
	return "";
}

static void add_stage(const struct question *q, struct table *t, const json_t *stage)
{
	const json_t *steps = json_object_get(stage, "steps"), *step;
	char *where = where_words(q, stage);
	size_t i;

	json_array_foreach (steps, i, step) {
		table_add(t, i ? xstrdup("") : xstrdup(where));
		table_add(t, xstrdup(text_of(step, "tier")));
		table_add(t, whose_words(step));
		table_add(t, rule_number(stage, step));
		table_add(t, what_words(stage, step));
	}
	if (!json_array_size(steps)) {
		table_add(t, xstrdup(where));
		table_add(t, xstrdup(""));
		table_add(t, xstrdup(""));
		table_add(t, xstrdup(""));
		table_add(t, xasprintf("%s: %s", text_of(stage, "verdict"), point_words(stage)));
	}
	free(where);
}

static void print_packet(const struct question *q)
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

static void print(const struct question *q, const json_t *answer)
{
	static const char *const head[] = { "WHERE", "TIER", "POLICY", "RULE", "WHAT" };
	const char *verdict = text_of(answer, "verdict");
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

static json_t *answer_of(struct question *q)
{
	const struct policy_end *at = q->to.at.node ? &q->to : &q->from;
	struct policy_view view;
	struct calc *c = policy_world_calc(&q->world, &q->from, &q->to, q->notes);
	json_t *o = json_object(), *stages = json_array();
	struct explain_path path;

	policy_view_read(q->ctl, &q->world, at->at.node, at->at.place == EXPLAIN_HOST,
			 (enum ip_family)q->packet.src.family, &view, q->notes);
	explain_path(c, &view.render, &q->from.at, &q->to.at, &q->packet, &path);
	js_set(o, "from", end_json(&q->from));
	js_set(o, "to", end_json(&q->to));
	js_set(o, "packet", packet_json(&q->packet));
	js_set_str(o, "verdict", verdict_word(path.verdict));
	vec_foreach (&path.stages, s)
		json_array_append_new(stages, stage_json(q, s));
	js_set(o, "stages", stages);
	if (path.verdict == EXPLAIN_DENY)
		js_set_int(o, "deniedBy", (json_int_t)path.denied);
	js_set(o, "notes", json_incref(q->notes));
	explain_path_done(&path);
	policy_view_done(&view);
	calc_free(c);
	return o;
}

static int ask(struct ctl *c, struct question *q, struct err *e)
{
	json_t *answer;
	int rc = policy_world_load(c, &q->world, e);

	if (rc < 0 || (rc = read_ends(q, e)) < 0 || (rc = read_port(q, e)) < 0 ||
	    (rc = read_numbers(q, e)) < 0)
		return rc;
	answer = answer_of(q);
	if (c->output == CTL_TABLE || c->output == CTL_WIDE)
		print(q, answer);
	else
		ctl_print(c, answer);
	json_decref(answer);
	return 0;
}

int cmd_policy_explain(struct ctl *c, const struct args *a)
{
	struct question q = { .ctl = c, .args = a, .notes = json_array() };
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
