/* policy_answer.c - what margayctl policy explain answers, as an object
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_question.h"

#include <string.h>

#include "ctl/policy_view.h"
#include "ctl/policy_words.h"

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

static const json_t *rule_json(const struct policy_question *q, const struct explain_step *s,
			       bool ingress)
{
	const struct object *o = s->policy ? policy_world_policy(&q->world, s->policy)
				 : s->profile
					 ? policy_world_find(&q->world, "Profile", NULL, s->profile)
					 : NULL;
	const json_t *list = o ? js_at(o->json, ingress ? "spec.ingress" : "spec.egress") : NULL;

	return json_array_get(list, s->index);
}

static void set_rule(const struct policy_question *q, const struct explain_step *s, bool ingress,
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

static json_t *step_json(const struct policy_question *q, const struct explain_step *s,
			 bool ingress)
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

static json_t *stage_json(const struct policy_question *q, const struct explain_stage *s)
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

/* Each node's agent goes by what is set for it. On one node both ends have the same. */
static void read_views(struct policy_question *q, struct policy_view view[2])
{
	struct policy_end *end[2] = { &q->from, &q->to };
	bool one = q->from.at.node && q->to.at.node && !strcmp(q->from.at.node, q->to.at.node);

	for (int i = 0; i < 2; i++) {
		bool of_host = end[i]->at.place == EXPLAIN_HOST ||
			       (one && end[!i]->at.place == EXPLAIN_HOST);

		policy_view_read(q->ctl, &q->world, i && one ? NULL : end[i]->at.node, of_host,
				 (enum ip_family)q->packet.src.family, &view[i], q->notes);
		end[i]->at.cfg = &view[i && one ? 0 : i].render;
	}
}

json_t *policy_answer(struct policy_question *q)
{
	struct policy_view view[2];
	struct calc *c = policy_world_calc(&q->world, &q->from, &q->to, q->notes);
	json_t *o = json_object(), *stages = json_array();
	struct explain_path path;

	read_views(q, view);
	explain_path(c, &q->from.at, &q->to.at, &q->packet, &path);
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
	policy_view_done(&view[0]);
	policy_view_done(&view[1]);
	calc_free(c);
	return o;
}
