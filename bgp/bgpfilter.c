/* bgpfilter.c - BGPFilter rules: do they match, and what they change
 *
 * TESTS  tests/unit/bgp/bgpfilter.c: each field alone, in both directions, and operations in order */
#include "bgp/bgpfilter.h"

#include <stdlib.h>
#include <string.h>

#include "bgp/aspath.h"

/* ---- matching ---- */

static bool length_ok(const struct bgp_rule *rule, uint8_t len)
{
	return !rule->has_length || (len >= rule->min_length && len <= rule->max_length);
}

/* In and NotIn read the lengths as part of the set: NotIn is all that In is not. */
static bool prefix_ok(const struct bgp_rule *rule, const struct prefix *p)
{
	bool length = length_ok(rule, p->len);

	switch (rule->match) {
	case BGP_CIDR_ANY:
		return length;
	case BGP_CIDR_EQUAL:
		return length && prefix_eq(&rule->cidr, p);
	case BGP_CIDR_NOT_EQUAL:
		return length && !prefix_eq(&rule->cidr, p);
	case BGP_CIDR_IN:
		return length && prefix_covers(&rule->cidr, p);
	case BGP_CIDR_NOT_IN:
		return !(length && prefix_covers(&rule->cidr, p));
	}
	return false;
}

/* `*` any characters, `?` one: as a shell reads it, in the few forms that interface names need. */
static bool glob(const char *pattern, const char *s)
{
	const char *star = NULL, *from = NULL;

	while (*s) {
		if (*pattern == '*') {
			star = pattern++;
			from = s;
		} else if (*pattern == '?' || *pattern == *s) {
			pattern++;
			s++;
		} else if (star) {
			pattern = star + 1;
			s = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static bool interface_ok(const struct bgp_rule *rule, const char *ifname)
{
	return !rule->interface[0] || (ifname && glob(rule->interface, ifname));
}

static bool community_ok(const struct bgp_rule *rule, const struct bgp_attrs *a)
{
	struct rd r = bgp_attrs_part(a, BGP_PART_LARGE_COMMUNITIES);

	if (!rule->n_community)
		return true;
	if (rule->n_community == 1)
		return bgp_attrs_has_community(a, rule->community[0]);
	while (rd_left(&r)) {
		uint32_t one = rd_u32(&r), two = rd_u32(&r), three = rd_u32(&r);

		if (one == rule->community[0] && two == rule->community[1] &&
		    three == rule->community[2])
			return true;
	}
	return false;
}

/* A set, whose order says nothing, ends what can be compared. */
static bool path_ok(const struct bgp_rule *rule, const struct bgp_attrs *a)
{
	struct rd r = bgp_attrs_part(a, BGP_PART_AS_PATH);
	unsigned at = 0;

	while (at < rule->n_path && rd_left(&r)) {
		uint8_t type = rd_u8(&r), count = rd_u8(&r);

		if (type != BGP_SEGMENT_SEQUENCE)
			return false;
		for (; count && at < rule->n_path; count--) {
			if (rd_u32(&r) != rule->path[at++])
				return false;
		}
	}
	return at == rule->n_path;
}

static bool peer_ok(const struct bgp_rule *rule, const struct bgp_rule_route *r)
{
	if (rule->only_ebgp && !r->ebgp)
		return false;
	if (rule->only_ibgp && r->ebgp)
		return false;
	return !rule->remote_peers || r->direction == BGP_IMPORT || r->remote;
}

static bool matches(const struct bgp_rule *rule, const struct bgp_rule_route *r)
{
	return prefix_ok(rule, r->prefix) && peer_ok(rule, r) && interface_ok(rule, r->ifname) &&
	       community_ok(rule, r->attrs) && path_ok(rule, r->attrs) &&
	       (!rule->has_priority || r->local_pref == BGP_PRIORITY_BASE - rule->priority);
}

const struct bgp_rule *bgp_rules_match(const struct bgp_rule *rules, size_t n,
				       const struct bgp_rule_route *r)
{
	for (size_t i = 0; i < n; i++) {
		if (matches(&rules[i], r))
			return &rules[i];
	}
	return NULL;
}

/* ---- editing ---- */

struct bgp_edit bgp_edit_begin(const struct bgp_attrs *a)
{
	return (struct bgp_edit) { .d = bgp_attrs_edit(a) };
}

void bgp_edit_done(struct bgp_edit *e)
{
	vec_foreach (&e->owned, p)
		free(*p);
	vec_done(&e->owned);
}

static uint8_t *own(struct bgp_edit *e, size_t size)
{
	uint8_t *p = xmalloc(size);

	vec_push(&e->owned, p);
	return p;
}

static bool list_has(const uint8_t *list, size_t len, const uint8_t *member, size_t unit)
{
	for (size_t at = 0; at + unit <= len; at += unit) {
		if (memcmp(list + at, member, unit) == 0)
			return true;
	}
	return false;
}

bool bgp_edit_add(struct bgp_edit *e, enum bgp_attr_part part, const void *members, size_t n,
		  size_t unit)
{
	size_t len = e->d.part[part].len;
	const uint8_t *in = members;
	uint8_t *out;

	if (!n)
		return true;
	if (len + n * unit > UINT16_MAX)
		return false;
	out = own(e, len + n * unit);
	if (len)
		memcpy(out, e->d.part[part].p, len);
	for (size_t i = 0; i < n; i++, in += unit) {
		if (list_has(out, len, in, unit))
			continue;
		memcpy(out + len, in, unit);
		len += unit;
	}
	e->d.part[part].p = out;
	e->d.part[part].len = (uint16_t)len;
	return true;
}

bool bgp_edit_add_community(struct bgp_edit *e, uint32_t community)
{
	uint8_t bytes[4];

	put_u32(bytes, community);
	return bgp_edit_add(e, BGP_PART_COMMUNITIES, bytes, 1, 4);
}

bool bgp_edit_prepend(struct bgp_edit *e, asn_t as)
{
	size_t size = e->d.part[BGP_PART_AS_PATH].len + 2u + 4u;

	return bgp_attrs_prepend(&e->d, as, 1, own(e, size), size);
}

static bool op_apply(const struct bgp_rule_op *op, struct bgp_edit *e)
{
	uint8_t bytes[12];

	switch (op->type) {
	case BGP_OP_ADD_COMMUNITY:
		return bgp_edit_add_community(e, op->value[0]);
	case BGP_OP_ADD_LARGE:
		for (unsigned i = 0; i < 3; i++)
			put_u32(bytes + (size_t)i * 4, op->value[i]);
		return bgp_edit_add(e, BGP_PART_LARGE_COMMUNITIES, bytes, 1, 12);
	case BGP_OP_PREPEND:
		/* the result begins in the order of the list */
		for (unsigned i = op->n; i-- > 0;) {
			if (!bgp_edit_prepend(e, op->value[i]))
				return false;
		}
		return true;
	case BGP_OP_SET_PRIORITY:
		e->d.v.present |= 1ull << BGP_ATTR_LOCAL_PREF;
		e->d.v.local_pref = BGP_PRIORITY_BASE - op->value[0];
		return true;
	}
	return true;
}

bool bgp_rule_apply(const struct bgp_rule *rule, struct bgp_edit *e)
{
	for (unsigned i = 0; i < rule->n_ops; i++) {
		if (!op_apply(&rule->op[i], e))
			return false;
	}
	return true;
}

/* ---- chains ---- */

struct bgp_chain *bgp_chain_new(const char *name)
{
	struct bgp_chain *c = xcalloc(1, sizeof(*c));

	c->name = xstrdup(name);
	return c;
}

void bgp_chain_free(struct bgp_chain *c)
{
	bgp_chain_set(c, NULL);
	free(c->name);
	free(c);
}

unsigned bgp_chain_set(struct bgp_chain *c, const struct bgp_filter_set *set)
{
	unsigned changed = 0;

	c->defined = set != NULL;
	for (unsigned i = 0; i < BGP_DIRECTION_MAX_ * BGP_AF_MAX_; i++) {
		unsigned dir = i / BGP_AF_MAX_, af = i % BGP_AF_MAX_;
		const struct bgp_rule *rules = set ? set->rules[dir][af] : NULL;
		size_t n = set ? set->n[dir][af] : 0;

		if (n == c->rules[dir][af].n &&
		    (!n || memcmp(rules, c->rules[dir][af].p, n * sizeof(*rules)) == 0))
			continue;
		changed |= 1u << dir;
		vec_done(&c->rules[dir][af]);
		for (size_t k = 0; k < n; k++)
			vec_push(&c->rules[dir][af], rules[k]);
	}
	return changed;
}

bool bgp_chain_wants_interface(const struct bgp_chain *c, enum bgp_direction dir, enum bgp_af af)
{
	for (size_t i = 0; c && i < c->rules[dir][af].n; i++) {
		if (c->rules[dir][af].p[i].interface[0])
			return true;
	}
	return false;
}

static bool rule_prepends(const struct bgp_rule *rule)
{
	for (unsigned i = 0; i < rule->n_ops; i++) {
		if (rule->op[i].type == BGP_OP_PREPEND)
			return true;
	}
	return false;
}

bool bgp_chain_prepends(const struct bgp_chain *c, enum bgp_direction dir)
{
	for (unsigned af = 0; c && af < BGP_AF_MAX_; af++) {
		for (size_t i = 0; i < c->rules[dir][af].n; i++) {
			if (rule_prepends(&c->rules[dir][af].p[i]))
				return true;
		}
	}
	return false;
}
