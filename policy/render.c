/* render.c - rules of policies as iptables rules
 *
 * SHAPE  A rule that decides is two: (match) sets a mark, (mark) acts. Lists of ports that do not fit
 *        into one match are blocks before it:
 *
 *             scratch0 = scratch1 = 0
 *             each alternative of source ports	     scratch0 = 1
 *             each alternative of destination ports scratch1 = 1	(scratch0 if there is but one block)
 *             scratch1 clear:			     scratch0 = 0
 *             each of many negated named ports	     scratch0 = 0
 *             rest of the match, scratch0 set:	     verdict's mark
 *
 *        There are at most two blocks that set bits, and each bit is cleared before it is used:
 *        lists of ranges are sets (rule.h).
 * TESTS  tests/unit/policy/render.c; tests/unit/policy/worlds.c runs packets through the text */
#include "policy/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

enum {
	MULTIPORT_SLOTS = 15,
	LOG_PREFIX_MAX = 27,
	/* Negated sets of named ports in one rule: iptables-restore takes lines of 255 words. */
	NEGATED_SETS_MAX = 2,
};

const char *table_name(enum table_id t)
{
	static const char *const names[] = { "raw", "mangle", "nat", "filter" };

	return names[t];
}

bool render_marks(uint32_t mask, struct render_marks *out)
{
	uint32_t bit[5];
	size_t n = 0;

	for (int i = 0; i < 32 && n < ARRAY_SIZE(bit); i++)
		if (mask & 1u << i)
			bit[n++] = 1u << i;
	if (n < ARRAY_SIZE(bit))
		return false;
	*out = (struct render_marks) { bit[0], bit[1], bit[2], bit[3], bit[4] };
	return true;
}

struct render_config render_config_default(enum ip_family family)
{
	static const char *const prefix[] = { "cali" };
	static const struct failsafe in[] = {
		{ .proto = 6, .port = 22 },   { .proto = 17, .port = 68 },
		{ .proto = 6, .port = 179 },  { .proto = 6, .port = 2379 },
		{ .proto = 6, .port = 2380 }, { .proto = 6, .port = 5473 },
		{ .proto = 6, .port = 6443 }, { .proto = 6, .port = 6666 },
		{ .proto = 6, .port = 6667 },
	};
	static const struct failsafe out[] = {
		{ .proto = 17, .port = 53 },  { .proto = 17, .port = 67 },
		{ .proto = 6, .port = 179 },  { .proto = 6, .port = 2379 },
		{ .proto = 6, .port = 2380 }, { .proto = 6, .port = 5473 },
		{ .proto = 6, .port = 6443 }, { .proto = 6, .port = 6666 },
		{ .proto = 6, .port = 6667 },
	};
	struct render_config cfg = {
		.family = family,
		.filter_allow = "ACCEPT",
		.mangle_allow = "ACCEPT",
		.filter_deny = "DROP",
		.to_host = "DROP",
		.prefix = prefix,
		.n_prefix = ARRAY_SIZE(prefix),
		.vxlan_port = 4789,
		.failsafe_in = in,
		.n_failsafe_in = ARRAY_SIZE(in),
		.failsafe_out = out,
		.n_failsafe_out = ARRAY_SIZE(out),
		.log_burst = 5,
		.service_deny = "DROP",
	};

	render_marks(0xffff0000, &cfg.mark);
	return cfg;
}

struct chain_name render_policy_chain_of(const char *id_text, bool ingress)
{
	return chain_name(ingress ? CHAIN_POLICY_IN : CHAIN_POLICY_OUT, id_text);
}

struct chain_name render_policy_chain(const struct policy *p, bool ingress)
{
	struct policy_id id = policy_id(p);
	CLEANUP(freep) char *text = policy_id_text(&id);

	return render_policy_chain_of(text, ingress);
}

struct chain_name render_profile_chain(const char *name, bool ingress)
{
	return chain_name(ingress ? CHAIN_PROFILE_IN : CHAIN_PROFILE_OUT, name);
}

/* ---- matches ---- */

static void add_sep(struct str *m)
{
	if (m->len)
		str_addc(m, ' ');
}

static void add_proto(struct str *m, const struct proto_spec *p, bool negated)
{
	if (!p->set)
		return;
	add_sep(m);
	str_add(m, negated ? "! " : "");
	if (p->name)
		str_addf(m, "-p %s", p->name);
	else
		str_addf(m, "-p %u", p->number);
}

static void add_net(struct str *m, const struct prefix *net, bool src, bool negated)
{
	char text[PREFIX_STR_MAX];

	if (!net)
		return;
	add_sep(m);
	str_addf(m, "%s--%s %s", negated ? "! " : "", src ? "source" : "destination",
		 prefix_format(net, text));
}

static void add_set(struct str *m, enum ip_family family, const struct setdef *def, bool src,
		    bool negated)
{
	struct set_name name;

	if (!def)
		return;
	name = set_name(family, def->id);
	add_sep(m);
	str_addf(m, "-m set %s--match-set %s %s", negated ? "! " : "", name.text,
		 setdef_has_ports(def) ? (src ? "src,src" : "dst,dst") : (src ? "src" : "dst"));
}

/* As many of the ranges from *at on as one match holds; *at is moved. */
static void add_ports(struct str *m, const struct rule_ports *p, size_t *at, bool src, bool negated)
{
	int slots = MULTIPORT_SLOTS;
	const char *comma = "";

	add_sep(m);
	str_addf(m, "-m multiport %s--%s-ports ", negated ? "! " : "",
		 src ? "source" : "destination");
	for (; *at < p->n_range; (*at)++, comma = ",") {
		const struct port_range *r = &p->range[*at];
		int need = r->first == r->last ? 1 : 2;

		if (slots < need)
			return;
		slots -= need;
		str_addf(m, need == 1 ? "%s%u" : "%s%u:%u", comma, r->first, r->last);
	}
}

static size_t count_matches(const struct rule_ports *p)
{
	struct str unused = { 0 };
	size_t n = 0;

	for (size_t at = 0; at < p->n_range; n++)
		add_ports(&unused, p, &at, true, false);
	str_done(&unused);
	return n;
}

static size_t count_alternatives(const struct rule_ports *p)
{
	return count_matches(p) + p->n_named;
}

static void add_icmp(struct str *m, enum ip_family family, const struct rule_icmp *icmp,
		     bool negated)
{
	if (icmp->type < 0)
		return;
	add_sep(m);
	str_addf(m, family == IP_V6 ? "-m icmp6 %s--icmpv6-type %d" : "-m icmp %s--icmp-type %d",
		 negated ? "! " : "", icmp->type);
	if (icmp->code >= 0)
		str_addf(m, "/%d", icmp->code);
}

static char *mark_match(uint32_t value, uint32_t mask)
{
	return value ? xasprintf("-m mark --mark 0x%x/0x%x", value, mask)
		     : xasprintf("-m mark --mark 0/0x%x", mask);
}

static char *mark_set(uint32_t value, uint32_t mask)
{
	return value ? xasprintf("--jump MARK --set-mark 0x%x/0x%x", value, mask)
		     : xasprintf("--jump MARK --set-mark 0/0x%x", mask);
}

/* ---- one rule ---- */

struct renderer {
	const struct render_config *cfg;
	const struct rule *r;
	struct chain *to;
	const char *deny, *log_prefix;
	unsigned blocks; /* done so far */
	bool src_block, dst_block;
	int line; /* where the last rule's verdict is; -1: nowhere */
};

static void emit(const struct renderer *x, const char *match, const char *action)
{
	chain_add_noted(x->to, (const char *const *)x->r->notes, x->r->n_notes, match, action);
}

static void emit_mark(const struct renderer *x, const char *match, uint32_t value, uint32_t mask)
{
	CLEANUP(freep) char *action = mark_set(value, mask);

	emit(x, match, action);
}

/* Any of several matches of ports, into a bit. */
static void port_block(struct renderer *x, const struct rule_ports *p, bool src)
{
	const struct render_marks *mark = &x->cfg->mark;
	uint32_t bit = x->blocks ? mark->scratch1 : mark->scratch0;
	struct str m = { 0 };

	if (!x->blocks)
		emit_mark(x, NULL, 0, mark->scratch0 | mark->scratch1);
	for (size_t at = 0; at < p->n_range;) {
		str_cut(&m, 0);
		add_proto(&m, &x->r->proto, false);
		add_ports(&m, p, &at, src, false);
		emit_mark(x, str_text(&m), bit, bit);
	}
	for (size_t i = 0; i < p->n_named; i++) {
		str_cut(&m, 0);
		add_set(&m, x->cfg->family, p->named[i], src, false);
		emit_mark(x, str_text(&m), bit, bit);
	}
	if (x->blocks++) {
		CLEANUP(freep) char *clear = mark_match(0, mark->scratch1);

		emit_mark(x, clear, 0, mark->scratch0);
	}
	str_done(&m);
}

static bool negated_in_block(const struct rule_ports *p)
{
	return p->n_named > NEGATED_SETS_MAX;
}

/* None of many sets, which together are too many words for one rule. */
static void negated_block(struct renderer *x, const struct rule_ports *p, bool src)
{
	const struct render_marks *mark = &x->cfg->mark;
	struct str m = { 0 };

	if (!x->blocks++)
		emit_mark(x, NULL, mark->scratch0, mark->scratch0 | mark->scratch1);
	for (size_t i = 0; i < p->n_named; i++) {
		str_cut(&m, 0);
		add_set(&m, x->cfg->family, p->named[i], src, false);
		emit_mark(x, str_text(&m), 0, mark->scratch0);
	}
	str_done(&m);
}

static void add_side(struct str *m, const struct renderer *x, bool src)
{
	const struct rule_side *s = src ? &x->r->src : &x->r->dst;
	struct side_nets nets = side_nets(s, x->cfg->family);
	size_t at = 0;

	add_net(m, nets.in, src, false);
	add_set(m, x->cfg->family, s->in, src, false);
	add_set(m, x->cfg->family, nets.in_set ? s->nets_set : NULL, src, false);
	add_set(m, x->cfg->family, s->service, src, false);
	if (src ? x->src_block : x->dst_block)
		return;
	if (s->ports.n_range)
		add_ports(m, &s->ports, &at, src, false);
	if (s->ports.n_named)
		add_set(m, x->cfg->family, s->ports.named[0], src, false);
}

static void add_side_negated(struct str *m, const struct renderer *x, bool src)
{
	const struct rule_side *s = src ? &x->r->src : &x->r->dst;
	struct side_nets nets = side_nets(s, x->cfg->family);

	add_net(m, nets.out, src, true);
	add_set(m, x->cfg->family, s->not_in, src, true);
	add_set(m, x->cfg->family, nets.out_set ? s->not_nets_set : NULL, src, true);
	for (size_t at = 0; at < s->not_ports.n_range;)
		add_ports(m, &s->not_ports, &at, src, true);
	for (size_t i = 0; !negated_in_block(&s->not_ports) && i < s->not_ports.n_named; i++)
		add_set(m, x->cfg->family, s->not_ports.named[i], src, true);
}

/* The match of an ICMP type is one of the protocol ICMP. */
static struct proto_spec proto_of(const struct renderer *x)
{
	struct proto_spec proto = x->r->proto;

	if (!proto.set && x->r->not_icmp.type >= 0)
		proto_spec_name(x->cfg->family == IP_V6 ? "icmpv6" : "icmp", &proto);
	return proto;
}

/* The match of all but the blocks; heap. */
static char *rule_match(const struct renderer *x)
{
	const struct rule *r = x->r;
	struct proto_spec proto = proto_of(x);
	struct str m = { 0 };

	add_proto(&m, &proto, false);
	add_side(&m, x, true);
	add_side(&m, x, false);
	add_icmp(&m, x->cfg->family, &r->icmp, false);
	/* iptables takes one -p; beside another protocol this one is excluded anyway. */
	if (!proto.set)
		add_proto(&m, &r->not_proto, true);
	add_side_negated(&m, x, true);
	add_side_negated(&m, x, false);
	add_icmp(&m, x->cfg->family, &r->not_icmp, true);
	if (x->blocks) {
		CLEANUP(freep) char *set = mark_match(x->cfg->mark.scratch0, x->cfg->mark.scratch0);

		add_sep(&m);
		str_add(&m, set);
	}
	return str_take(&m);
}

static void emit_log(const struct renderer *x, const char *match)
{
	struct str m = { 0 };
	CLEANUP(freep)
	char *action = xasprintf("--jump LOG --log-prefix \"%.*s: \" --log-level 5", LOG_PREFIX_MAX,
				 x->log_prefix);

	if (x->cfg->log_rate)
		str_addf(&m, "-m limit --limit %s --limit-burst %d%s", x->cfg->log_rate,
			 x->cfg->log_burst, *match ? " " : "");
	str_add(&m, match);
	emit(x, str_text(&m), action);
	str_done(&m);
}

static void emit_verdict(struct renderer *x, const char *match, uint32_t bit, const char *action)
{
	CLEANUP(freep) char *marked = mark_match(bit, bit);

	x->line = (int)x->to->n;
	emit_mark(x, match, bit, bit);
	emit(x, marked, action);
}

static void render_rule(struct renderer *x)
{
	const struct render_marks *mark = &x->cfg->mark;
	struct proto_spec proto = proto_of(x);
	CLEANUP(freep) char *match = NULL;

	x->line = -1;
	if (!rule_in_family(x->r, x->cfg->family) ||
	    (proto.set && x->r->not_proto.set && proto.number == x->r->not_proto.number))
		return;
	x->blocks = 0;
	x->src_block = count_alternatives(&x->r->src.ports) > 1;
	x->dst_block = count_alternatives(&x->r->dst.ports) > 1;
	if (x->src_block)
		port_block(x, &x->r->src.ports, true);
	if (x->dst_block)
		port_block(x, &x->r->dst.ports, false);
	if (negated_in_block(&x->r->src.not_ports))
		negated_block(x, &x->r->src.not_ports, true);
	if (negated_in_block(&x->r->dst.not_ports))
		negated_block(x, &x->r->dst.not_ports, false);
	match = rule_match(x);
	switch (x->r->action) {
	case RULE_ALLOW:
		emit_verdict(x, match, mark->accept, "--jump RETURN");
		break;
	case RULE_PASS:
		emit_verdict(x, match, mark->pass, "--jump RETURN");
		break;
	case RULE_DENY:
		emit_verdict(x, match, mark->drop, x->deny);
		break;
	case RULE_LOG:
		x->line = (int)x->to->n;
		emit_log(x, match);
		break;
	}
}

/* ---- policies and profiles ---- */

/* What the words of a log prefix stand for. */
struct log_words {
	const char *tier, *kind, *name, *full;
};

static char *log_prefix(const struct render_config *cfg, const struct log_words *w)
{
	const char *p = cfg->log_prefix ? cfg->log_prefix : "calico-packet";
	struct str s = { 0 };

	for (; *p; p++) {
		const char *word = NULL;

		if (*p == '%')
			word = p[1] == 't'   ? w->tier
			       : p[1] == 'k' ? w->kind
			       : p[1] == 'n' ? w->name
			       : p[1] == 'p' ? w->full
					     : NULL;
		if (word) {
			str_add(&s, word);
			p++;
		} else {
			str_addc(&s, *p == '"' || *p == '\\' ? '_' : *p);
		}
	}
	return str_take(&s);
}

static void render_rules(const struct render_config *cfg, const struct rules *rules,
			 const char *deny, const char *prefix, struct chain *to)
{
	CLEANUP(freep) char *action = xasprintf("--jump %s", deny);
	struct renderer x = { .cfg = cfg, .to = to, .deny = action, .log_prefix = prefix };

	for (size_t i = 0; i < rules->n; i++) {
		x.r = &rules->p[i];
		render_rule(&x);
	}
	chain_drop_returns(to);
}

void render_lines(const struct render_config *cfg, const struct rules *rules, int *line)
{
	struct chain scratch = { 0 };
	struct renderer x = { .cfg = cfg, .to = &scratch, .deny = "", .log_prefix = "" };

	for (size_t i = 0; i < rules->n; i++) {
		x.r = &rules->p[i];
		render_rule(&x);
		line[i] = x.line;
	}
	chain_done(&scratch);
}

void render_policy(const struct render_config *cfg, const struct policy *p, bool ingress,
		   const char *deny, struct chains *out)
{
	struct chain_name name = render_policy_chain(p, ingress);
	struct chain *c = chains_new(out, &name);
	CLEANUP(freep)
	char *full = xasprintf("%s%s%s", p->ns ? p->ns : "", p->ns ? "/" : "", p->name);
	CLEANUP(freep)
	char *comment = xasprintf("%s %s %s", policy_kind_name(p->kind), full,
				  ingress ? "ingress" : "egress");
	struct log_words words = { p->tier, policy_kind_short(p->kind), p->name, full };
	CLEANUP(freep) char *prefix = log_prefix(cfg, &words);

	render_rules(cfg, ingress ? &p->in : &p->out, deny, prefix, c);
	chain_describe(c, comment);
}

void render_profile(const struct render_config *cfg, const struct profile_rules *p, bool ingress,
		    const char *deny, struct chains *out)
{
	struct chain_name name = render_profile_chain(p->name, ingress);
	struct chain *c = chains_new(out, &name);
	CLEANUP(freep)
	char *comment = xasprintf("Profile %s %s", p->name, ingress ? "ingress" : "egress");
	struct log_words words = { "", "pro", p->name, p->name };
	CLEANUP(freep) char *prefix = log_prefix(cfg, &words);

	render_rules(cfg, ingress ? &p->in : &p->out, deny, prefix, c);
	chain_describe(c, comment);
}
