/* rule.c - rules ready for use
 *
 * WHY    A list of ranges becomes a set when it does not fit into one iptables rule.
 * DIFFERS: Calico's agent writes one rule for each range and collects the answers in two mark bits;
 *        with three or more lists the third is forgotten, because a bit is not cleared in between,
 *        and packets are accepted that no rule allows. A set has no bits to clear, and costs one
 *        look-up for any number of ranges.
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/rule.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/combine.h"

static void ports_done(struct rule_ports *p)
{
	for (size_t i = 0; i < p->n_named; i++)
		setdef_unref(p->named[i]);
	free(p->named);
	free(p->range);
}

static void side_done(struct rule_side *s)
{
	free(s->nets);
	free(s->not_nets);
	setdef_unref(s->nets_set);
	setdef_unref(s->not_nets_set);
	setdef_unref(s->in);
	setdef_unref(s->not_in);
	setdef_unref(s->service);
	ports_done(&s->ports);
	ports_done(&s->not_ports);
}

static void rule_done(struct rule *r)
{
	side_done(&r->src);
	side_done(&r->dst);
	for (size_t i = 0; i < r->n_notes; i++)
		free(r->notes[i]);
	free(r->notes);
}

void rules_done(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		rule_done(&r->p[i]);
	free(r->p);
	*r = (struct rules) { 0 };
}

static struct rule rule_bare(enum rule_action action)
{
	return (struct rule) { .action = action, .icmp = { -1, -1 }, .not_icmp = { -1, -1 } };
}

void rules_deny_all(struct rules *out)
{
	vec_push(out, rule_bare(RULE_DENY));
}

void rules_allow_all(struct rules *out)
{
	vec_push(out, rule_bare(RULE_ALLOW));
}

/* What a rule's named ports go by: the side's selector, and the rule's protocol. */
struct port_ctx {
	const char *selector;
	uint8_t proto;
};

static int ports_compile(const json_t *json, const struct port_ctx *ctx, struct rule_ports *out,
			 struct err *e)
{
	struct port_specs specs;
	int rc = port_specs_parse(json, &specs, e);

	if (rc < 0)
		return rc;
	out->range = xcalloc(specs.n + 1, sizeof(*out->range));
	out->named = xcalloc(specs.n + 1, sizeof(struct setdef *));
	for (size_t i = 0; rc == 0 && i < specs.n; i++) {
		const struct port_spec *p = &specs.p[i];
		struct setdef *def = NULL;

		if (!p->name) {
			out->range[out->n_range++] = (struct port_range) { p->first, p->last };
			continue;
		}
		rc = setdef_port(ctx->selector ? ctx->selector : "all()", ctx->proto, p->name, &def,
				 e);
		if (rc == 0)
			out->named[out->n_named++] = def;
	}
	port_specs_done(&specs);
	return rc;
}

static struct prefix *copy_nets(const struct field_cidrs *list, size_t *n)
{
	struct prefix *nets;

	*n = list->n;
	if (!list->n)
		return NULL;
	nets = xcalloc(list->n, sizeof(*nets));
	for (size_t i = 0; i < list->n; i++)
		nets[i] = prefix_mask(&list->p[i]);
	return nets;
}

static size_t count_family(const struct prefix *nets, size_t n, enum ip_family family,
			   const struct prefix **first, bool *all)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		if (nets[i].addr.family != family)
			continue;
		if (!found++)
			*first = &nets[i];
		*all = *all || prefix_is_all(&nets[i]);
	}
	return found;
}

struct side_nets side_nets(const struct rule_side *side, enum ip_family family)
{
	struct side_nets out = { 0 };
	const struct prefix *in = NULL, *not_in = NULL;
	bool all = false, all_excluded = false;
	size_t n = count_family(side->nets, side->n_nets, family, &in, &all);
	size_t n_not =
		count_family(side->not_nets, side->n_not_nets, family, &not_in, &all_excluded);

	out.none = (side->n_nets && !n) || (side->n_not_nets && !n_not) || all_excluded;
	out.in_set = n > 1;
	out.in = n == 1 ? in : NULL;
	/* One rule has one place for a source and one for a destination, negated or not. */
	out.out_set = n_not > 1 || (n_not && out.in);
	out.out = n_not && !out.out_set ? not_in : NULL;
	return out;
}

bool rule_in_family(const struct rule *r, enum ip_family family)
{
	if (r->family && r->family != family)
		return false;
	if (r->proto.set && r->proto.number == PROTO_ICMP && family != IP_V4)
		return false;
	if (r->proto.set && r->proto.number == PROTO_ICMPV6 && family != IP_V6)
		return false;
	return !side_nets(&r->src, family).none && !side_nets(&r->dst, family).none;
}

static void make_net_sets(struct rule_side *s)
{
	struct side_nets v4 = side_nets(s, IP_V4), v6 = side_nets(s, IP_V6);

	if (v4.in_set || v6.in_set)
		s->nets_set = setdef_nets(s->nets, s->n_nets);
	if (v4.out_set || v6.out_set)
		s->not_nets_set = setdef_nets(s->not_nets, s->n_not_nets);
}

static struct setdef *service_set(const struct rule_side_spec *spec, const char *ns, bool ports)
{
	const char *service_ns = spec->service.ns && *spec->service.ns ? spec->service.ns : ns;
	CLEANUP(freep)
	char *name = xasprintf("%s/%s", service_ns ? service_ns : "",
			       spec->service.name ? spec->service.name : "");

	return setdef_service(name, ports);
}

static int side_compile(const struct rule_side_spec *spec, const char *ns, uint8_t proto,
			bool with_ports, struct rule_side *out, struct err *e)
{
	struct combined c;
	struct port_ctx ctx = { .proto = proto };
	int rc = combine_side(spec, ns, &c, e);

	if (rc < 0)
		return rc;
	ctx.selector = c.in;
	out->nets = copy_nets(&spec->nets, &out->n_nets);
	out->not_nets = copy_nets(&spec->not_nets, &out->n_not_nets);
	make_net_sets(out);
	rc = ports_compile(spec->ports, &ctx, &out->ports, e);
	if (rc == 0)
		rc = ports_compile(spec->not_ports, &ctx, &out->not_ports, e);
	/* A named port's set holds only what the selector selects. */
	if (rc == 0 && c.in && (out->ports.n_range || !out->ports.n_named))
		rc = setdef_selector(c.in, &out->in, e);
	if (rc == 0 && c.not_in)
		rc = setdef_selector(c.not_in, &out->not_in, e);
	if (rc == 0 && spec->has_service)
		out->service = service_set(spec, ns, with_ports);
	combined_done(&c);
	return rc;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void copy_notes(const struct field_map *map, struct rule *out)
{
	if (!map->n)
		return;
	out->notes = xcalloc(map->n, sizeof(char *));
	for (size_t i = 0; i < map->n; i++)
		out->notes[out->n_notes++] = xasprintf("%s=%s", map->p[i].key, map->p[i].value);
	qsort(out->notes, out->n_notes, sizeof(char *), by_text);
	while (out->n_notes > RULE_NOTES_MAX)
		free(out->notes[--out->n_notes]);
}

static struct rule_icmp icmp_of(const struct rule_icmp_spec *s)
{
	return (struct rule_icmp) { s->has_type ? s->type : -1, s->has_code ? s->code : -1 };
}

static int rule_compile(const struct rule_spec *spec, const char *ns, struct rule *r, struct err *e)
{
	uint8_t proto;
	int rc;

	r->action = (enum rule_action)spec->action;
	r->family = spec->ip_version == 4 ? IP_V4 : spec->ip_version == 6 ? IP_V6 : IP_NONE;
	r->icmp = icmp_of(&spec->icmp);
	r->not_icmp = icmp_of(&spec->not_icmp);
	copy_notes(&spec->metadata.annotations, r);
	if ((rc = proto_spec_parse(spec->protocol, &r->proto, e)) < 0 ||
	    (rc = proto_spec_parse(spec->not_protocol, &r->not_proto, e)) < 0)
		return rc;
	proto = r->proto.set ? r->proto.number : SETDEF_PROTO_ANY;
	if ((rc = side_compile(&spec->source, ns, proto, false, &r->src, e)) < 0)
		return err_wrap(e, "source");
	if ((rc = side_compile(&spec->destination, ns, proto, true, &r->dst, e)) < 0)
		return err_wrap(e, "destination");
	return 0;
}

int rules_compile(const struct rule_specs *specs, bool ingress, const char *ns, struct rules *out,
		  struct err *e)
{
	for (size_t i = 0; i < specs->n; i++) {
		struct rule r = rule_bare(RULE_DENY);
		int rc = rule_compile(&specs->p[i], ns, &r, e);

		if (rc < 0) {
			rule_done(&r);
			return err_wrap(e, "%s[%zu]", ingress ? "ingress" : "egress", i);
		}
		vec_push(out, r);
	}
	return 0;
}

static void ports_each_set(const struct rule_ports *p, rule_set_fn *fn, void *arg)
{
	for (size_t i = 0; i < p->n_named; i++)
		fn(arg, p->named[i]);
}

static void side_each_set(const struct rule_side *s, rule_set_fn *fn, void *arg)
{
	struct setdef *const defs[] = { s->nets_set, s->not_nets_set, s->in, s->not_in,
					s->service };

	for (size_t i = 0; i < ARRAY_SIZE(defs); i++)
		if (defs[i])
			fn(arg, defs[i]);
	ports_each_set(&s->ports, fn, arg);
	ports_each_set(&s->not_ports, fn, arg);
}

void rules_each_set(const struct rules *r, rule_set_fn *fn, void *arg)
{
	for (size_t i = 0; i < r->n; i++) {
		side_each_set(&r->p[i].src, fn, arg);
		side_each_set(&r->p[i].dst, fn, arg);
	}
}
