/* why.c - why one prefix is told to one peer, or is not
 *
 * SHAPE  session -> family -> paths -> decision -> for the best path, or with ADD-PATH for each usable
 *        one: sender, rules, next hop, form, size -> what the peer has been told
 * TESTS  tests/unit/bgp/why.c; tests/sim/bgp.c: after convergence everybody has been told what `why`
 *        says it shall have */
#include "bgp/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bgp/speaker_int.h"

/* One question at work. */
struct asking {
	struct bgp_speaker *sp;
	struct bgp_peer *p;
	enum bgp_af af;
	struct prefix prefix;
	uint32_t net;
	bool differs; /* what the peer has is not what it shall have */
	bool decided; /* out->text is the last word */
	struct bgp_why *out;
};

static void step(struct bgp_why *w, const char *question, const char *fmt, ...) PRINTF(3, 4);

static void step(struct bgp_why *w, const char *question, const char *fmt, ...)
{
	struct bgp_why_step s;
	va_list ap;

	str_copy(s.question, sizeof(s.question), question);
	va_start(ap, fmt);
	vsnprintf(s.answer, sizeof(s.answer), fmt, ap);
	va_end(ap);
	vec_push(&w->steps, s);
}

static void decide(struct asking *q, bool told, const char *rule, const char *fmt, ...)
	PRINTF(4, 5);

/* The first path that may be told has the last word; else the first that may not. */
static void decide(struct asking *q, bool told, const char *rule, const char *fmt, ...)
{
	va_list ap;

	if (q->out->rule && (q->decided || !told))
		return;
	q->decided = told;
	q->out->verdict = told ? BGP_WHY_TOLD : BGP_WHY_NOT_TOLD;
	q->out->rule = rule;
	va_start(ap, fmt);
	vsnprintf(q->out->text, sizeof(q->out->text), fmt, ap);
	va_end(ap);
}

const char *bgp_why_verdict_name(enum bgp_why_verdict v)
{
	static const char *const names[] = {
		[BGP_WHY_TOLD] = "told",
		[BGP_WHY_NOT_TOLD] = "not-told",
		[BGP_WHY_WAITS] = "waits",
	};

	return names[v];
}

static const char *source_name(const struct bgp_source *src)
{
	const struct bgp_peer *p = src->peer;

	return !src->index ? "this node" : p ? p->config.name : "a peer that is gone";
}

/* ---- the peer ---- */

static bool ask_session(struct asking *q)
{
	const struct bgp_session_info *info = bgp_session_info(q->p->session);
	const char *state = bgp_state_name(info->state);

	if (q->p->source) {
		step(q->out, "is the session up?", "yes");
		return true;
	}
	step(q->out, "is the session up?", "no: %s%s%.100s", state, info->last_error[0] ? ", " : "",
	     info->last_error);
	decide(q, false, "session", "the session is not up: %s%s%.200s", state,
	       info->last_error[0] ? ", " : "", info->last_error);
	return false;
}

static bool ask_family(struct asking *q)
{
	const char *name = bgp_af_info(q->af)->name;
	char question[64];

	snprintf(question, sizeof(question), "does the session speak %s?", name);
	if (q->p->member[q->af].group) {
		step(q->out, question, "yes");
		return true;
	}
	step(q->out, question, "no");
	decide(q, false, "family", "%s was not agreed upon with this peer", name);
	return false;
}

/* ---- the paths ---- */

/* A prefix around this one, for who asked about an address. */
static bool find_cover(const struct asking *q, struct prefix *cover)
{
	for (unsigned len = q->prefix.len; len-- > 0;) {
		struct prefix wide = { .addr = q->prefix.addr, .len = (uint8_t)len };
		uint32_t net;

		wide = prefix_mask(&wide);
		net = bgp_rib_find(&q->sp->rib[q->af], &wide);
		if (net != BGP_NET_NONE &&
		    !(bgp_rib_net(&q->sp->rib[q->af], net)->flags & BGP_NET_EMPTY)) {
			*cover = wide;
			return true;
		}
	}
	return false;
}

static void no_path(struct asking *q)
{
	char text[PREFIX_STR_MAX], more[PREFIX_STR_MAX + 48] = "";
	struct prefix cover;

	prefix_format(&q->prefix, text);
	if (find_cover(q, &cover)) {
		char wide[PREFIX_STR_MAX];

		snprintf(more, sizeof(more), "; the nearest around it is %s",
			 prefix_format(&cover, wide));
	}
	step(q->out, "is there a path?", "no%s", more);
	decide(q, false, "no-path", "no path to %s is known%s", text, more);
}

/* usable ones are in sp->cand; the best first. */
static bool ask_paths(struct asking *q, unsigned *usable)
{
	struct bgp_speaker *sp = q->sp;
	const struct bgp_net *net = bgp_rib_net(&sp->rib[q->af], q->net);
	unsigned n = 0, max = sp->global.max_paths;
	const struct bgp_path *path;
	enum bgp_reason *why;
	struct bgp_path one;

	path = bgp_net_paths(net, &one, &n);
	if (!n) {
		no_path(q);
		return false;
	}
	step(q->out, "is there a path?", "%u", n);
	why = xcalloc(n, sizeof(*why));
	*usable = bgp_speaker_candidates(sp, q->af, net, why);
	for (unsigned i = 0; i < n; i++) {
		const struct bgp_source *src = bgp_source_at(&sp->sources, path[i].source);

		if (why[i] == BGP_REASON_OK)
			continue;
		step(q->out, "can it be used?", "no, the one from %s: %s", source_name(src),
		     bgp_reason_text(why[i]));
		if (!*usable)
			decide(q, false, bgp_reason_name(why[i]),
			       "the path from %s cannot be used: %s", source_name(src),
			       bgp_reason_text(why[i]));
	}
	free(why);
	bgp_decide(sp->cand.p, *usable, max > BGP_MULTIPATH_MAX ? BGP_MULTIPATH_MAX : max);
	bgp_decide_explain(sp->cand.p, *usable);
	return *usable > 0;
}

static const struct bgp_target *target_of(const struct asking *q)
{
	return bgp_adjout_target(&q->p->member[q->af]);
}

static void tell_decision(struct asking *q, unsigned usable)
{
	const struct bgp_candidate *c = q->sp->cand.p;
	bool every = target_of(q)->add_path;

	step(q->out, "which is the best?", "from %s%s", source_name(c[0].source),
	     usable == 1 ? ", the only one" : "");
	for (unsigned i = 1; i < usable; i++)
		step(q->out, "why not another?", "from %s: %s%s", source_name(c[i].source),
		     bgp_step_text(c[i].lost_at), every ? "; told beside it (ADD-PATH)" : "");
}

/* ---- the rules ---- */

/* "rule 2 of BGPFilter tor rejects it" */
static void reason_words(const struct bgp_rule *rule, enum bgp_reason reason, char *out,
			 size_t size)
{
	bool by_filter = reason == BGP_REASON_FILTER_ACCEPTS || reason == BGP_REASON_FILTER_REJECTS;

	if (by_filter && rule && rule->filter[0])
		snprintf(out, size, "rule %u of BGPFilter %s %s it", rule->number, rule->filter,
			 rule->accept ? "accepts" : "rejects");
	else
		str_copy(out, size, bgp_reason_text(reason));
}

/* What exactly it is inside of. */
static void trace_words(const struct bgp_export_trace *t, const struct prefix *p,
			enum bgp_reason reason, char *out, size_t size)
{
	char text[PREFIX_STR_MAX];

	reason_words(t->rule, reason, out, size);
	if ((reason == BGP_REASON_IN_POOL || reason == BGP_REASON_EXPORT_DISABLED) && t->pool)
		snprintf(out + strlen(out), size - strlen(out), ": %s",
			 prefix_format(&t->pool->cidr, text));
	if ((reason == BGP_REASON_INSIDE_OWN_BLOCK || reason == BGP_REASON_ELEVATED) && t->in_block)
		snprintf(out + strlen(out), size - strlen(out), ": %s",
			 prefix_format(&t->block, text));
	if (reason == BGP_REASON_SERVICE && t->service && prefix_eq(&t->service->prefix, p))
		str_copy(out, size, t->service->why);
	else if (reason == BGP_REASON_SERVICE && t->service)
		snprintf(out, size, "inside %s: %s", prefix_format(&t->service->prefix, text),
			 t->service->why);
}

static void tell_rules(struct asking *q, const struct bgp_export_trace *t, const char *last)
{
	for (unsigned i = 0; i + 1 < t->n; i++)
		step(q->out, t->asked[i], "no");
	step(q->out, t->asked[t->n - 1], "yes: %s", last);
}

static void tell_next_hop(struct asking *q, const struct bgp_candidate *c)
{
	const struct bgp_target *to = target_of(q);
	bool self = bgp_export_wants_self(to, c->source, c->attrs);
	const struct addr *nh = self ? &to->self : &c->attrs->v.next_hop;
	char text[ADDR_STR_MAX] = "none";

	if (nh->family != IP_NONE)
		addr_format(nh, text);
	step(q->out, "with which next hop?", "%s, %s", text, self ? "our own" : "as it came");
}

/* May this path be told? *attrs: in what form, a reference; NULL: it cannot be made. */
static bool ask_rules(struct asking *q, const struct bgp_candidate *c, struct bgp_attrs **attrs)
{
	const struct bgp_target *to = target_of(q);
	struct bgp_export_plan plan = { 0 };
	struct bgp_export_trace trace;
	enum bgp_reason reason;
	char words[240], last[240];

	reason = bgp_export_explain(&q->sp->policy, to, &q->prefix, c->source, c->attrs, &plan,
				    &trace);
	trace_words(&trace, &q->prefix, reason, words, sizeof(words));
	trace_words(&trace, &q->prefix, trace.reason, last, sizeof(last));
	tell_rules(q, &trace, last);
	if (trace.rule && (trace.reason == BGP_REASON_FILTER_ACCEPTS ||
			   trace.reason == BGP_REASON_FILTER_REJECTS)) {
		str_copy(q->out->filter, sizeof(q->out->filter), trace.rule->filter);
		q->out->rule_number = trace.rule->number;
	}
	if (bgp_reason_accepts(trace.reason))
		tell_next_hop(q, c);
	decide(q, bgp_reason_accepts(reason), bgp_reason_name(reason), "%s", words);
	if (!bgp_reason_accepts(reason))
		return false;
	*attrs = bgp_export_attrs(q->sp->attrs, &q->sp->policy, to, c->source, c->attrs, &plan);
	return true;
}

/* ---- the message ---- */

static bool ask_size(struct asking *q, const struct bgp_attrs *attrs)
{
	const struct bgp_negotiated *neg = bgp_session_negotiated(q->p->session);
	bool fits = attrs && bgp_attr_block_init(q->sp->block, &neg->wire, q->af, attrs);

	step(q->out, "does it fit into a message?", fits ? "yes" : "no: %u bytes are the most",
	     neg->wire.msg_max);
	if (fits)
		return true;
	/* what the rules said of this path counts no more */
	q->out->rule = q->decided ? NULL : q->out->rule;
	q->decided = false;
	decide(q, false, bgp_reason_name(BGP_REASON_TOO_BIG), "%s",
	       bgp_reason_text(BGP_REASON_TOO_BIG));
	return false;
}

/* What was told of this path so far, beside what it shall be; consumes attrs. */
static void compare(struct asking *q, const struct bgp_candidate *c, struct bgp_attrs *attrs)
{
	const struct bgp_attrs *now;
	bool told;

	now = bgp_adjout_told(&q->p->member[q->af], q->net, c->source->peer_id, c->path_id, &told);
	if (attrs ? !told || now != attrs : told)
		q->differs = true;
	step(q->out, "has the peer been told?", "%s%s", told ? "yes" : "no",
	     attrs && told && now == attrs ? ""
	     : !attrs && !told		   ? ", and it shall not be"
					   : ", that is under way");
	if (attrs && !q->out->attrs)
		q->out->attrs = attrs;
	else
		bgp_attrs_unref(q->sp->attrs, attrs);
}

static void ask_path(struct asking *q, const struct bgp_candidate *c)
{
	struct bgp_attrs *attrs = NULL;

	if (target_of(q)->add_path)
		step(q->out, "and of this path:", "from %s", source_name(c->source));
	if (c->source->peer_id == q->p->id) {
		step(q->out, "did it come from this peer?", "yes: never back to the sender");
		decide(q, false, bgp_reason_name(BGP_REASON_TO_SENDER), "%s",
		       bgp_reason_text(BGP_REASON_TO_SENDER));
	} else {
		step(q->out, "did it come from this peer?", "no");
		if (ask_rules(q, c, &attrs) && !ask_size(q, attrs)) {
			bgp_attrs_unref(q->sp->attrs, attrs);
			attrs = NULL;
		}
	}
	compare(q, c, attrs);
}

/* Nothing may be told; was something? */
static void compare_nothing(struct asking *q)
{
	bool told = false;

	if (q->net != BGP_NET_NONE && q->p->member[q->af].group)
		told = bgp_adjout_any_told(&q->p->member[q->af], q->net);
	if (told)
		q->differs = true;
	if (told)
		step(q->out, "has the peer been told?", "yes, the withdrawal is under way");
}

static void ask(struct asking *q)
{
	unsigned usable = 0, n;

	if (!ask_session(q) || !ask_family(q))
		return;
	q->net = bgp_rib_find(&q->sp->rib[q->af], &q->prefix);
	if (q->net == BGP_NET_NONE) {
		no_path(q);
		return;
	}
	if (!ask_paths(q, &usable)) {
		compare_nothing(q);
		return;
	}
	tell_decision(q, usable);
	n = target_of(q)->add_path ? usable : 1;
	for (unsigned i = 0; i < n; i++)
		ask_path(q, &q->sp->cand.p[i]);
}

bool bgp_speaker_why(struct bgp_speaker *sp, const struct prefix *prefix, size_t peer,
		     struct bgp_why *out)
{
	struct asking q = { .sp = sp, .prefix = prefix_mask(prefix), .out = out };

	q.af = bgp_af_of((enum ip_family)prefix->addr.family);
	if (peer >= sp->peers.n || q.af == BGP_AF_MAX_)
		return false;
	q.p = sp->peers.p[peer];
	*out = (struct bgp_why) { .peer = &q.p->config, .sp = sp, .verdict = BGP_WHY_NOT_TOLD };
	sp->run++;
	ask(&q);
	if (q.differs)
		out->verdict = BGP_WHY_WAITS;
	return true;
}

void bgp_why_done(struct bgp_why *w)
{
	if (w->sp)
		bgp_attrs_unref(w->sp->attrs, w->attrs);
	vec_done(&w->steps);
	*w = (struct bgp_why) { 0 };
}
