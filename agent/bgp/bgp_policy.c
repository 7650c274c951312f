/* bgp_policy.c - BGPFilters and prefix advertisements, out of the datastore's picture
 *
 * SHAPE  One set of rules for each BGPPeer: the rules of its filters, one behind the other. A filter
 *        that is there and cannot be read rejects all in its place: what it was to keep back is not
 *        known.
 * SPEC   Calico: filters of a BGPPeer in their order, unknown names are skipped; communities by name or
 *        by value, the node's own list instead of the cluster's
 * TESTS  tests/unit/agent/bgp_policy.c, tests/netns/test_interop.py; the rules themselves:
 *        tests/unit/bgp/bgpfilter.c */
#include "agent/bgp/bgp_policy.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "model/bgpconfig.h"
#include "model/bgpfilter.h"
#include "model/bgppeer.h"
#include "model/key.h"
#include "model/object.h"

struct rules {
	VEC(struct bgp_rule) list[BGP_DIRECTION_MAX_][BGP_AF_MAX_];
};

struct reader {
	const struct cache *c;
	struct bgp_policy_set *out;
	struct str *remarks;
};

/* ---- filters ---- */

static void set_lengths(struct bgp_rule *to, const struct bgpfilter_rule *from)
{
	unsigned most = addr_bits(from->cidr.addr.family);
	unsigned min = from->length.has_min ? (unsigned)from->length.min : from->cidr.len;
	unsigned max = from->length.has_max ? (unsigned)from->length.max : most;

	to->has_length = true;
	to->min_length = (uint8_t)(min < from->cidr.len ? from->cidr.len : min);
	to->max_length = (uint8_t)(max > most ? most : max);
}

static void add_operation(struct bgp_rule *to, const struct bgpfilter_operation *from)
{
	struct bgp_rule_op *op = &to->op[to->n_ops];
	struct bgpfilter_community c;
	int n;

	if (to->n_ops == BGP_RULE_OPS_MAX)
		return;
	if (from->has_community && bgpfilter_community_parse(from->add_community.value, &c)) {
		op->type = c.n == 3 ? BGP_OP_ADD_LARGE : BGP_OP_ADD_COMMUNITY;
		memcpy(op->value, c.number, sizeof(c.number));
		if (c.n == 2)
			op->value[0] = c.number[0] << 16 | c.number[1], op->value[1] = 0;
	} else if (from->has_prepend) {
		n = bgpfilter_path(from->prepend.prefix, op->value, BGP_RULE_PATH_MAX);
		op->type = BGP_OP_PREPEND;
		op->n = n > 0 ? (unsigned)n : 0;
	} else if (from->has_priority) {
		op->type = BGP_OP_SET_PRIORITY;
		op->value[0] = (uint32_t)from->set_priority.value;
	} else {
		return;
	}
	to->n_ops++;
}

static void set_matches(struct bgp_rule *to, const struct bgpfilter_rule *from)
{
	struct bgpfilter_community c;
	int n;

	if (from->has_communities && from->communities.values.n &&
	    bgpfilter_community_parse(from->communities.values.p[0], &c)) {
		memcpy(to->community, c.number, sizeof(c.number));
		to->n_community = c.n == 3 ? 3 : 1;
		if (c.n == 2) {
			to->community[0] = c.number[0] << 16 | c.number[1];
			to->community[1] = 0;
		}
	}
	if (from->path_prefix) {
		n = bgpfilter_path(from->path_prefix, to->path, BGP_RULE_PATH_MAX);
		to->n_path = n > 0 ? (unsigned)n : 0;
	}
	if (from->interface)
		str_copy(to->interface, sizeof(to->interface), from->interface);
	to->remote_peers = from->has_source;
	to->only_ebgp = from->has_peer_type && from->peer_type == 0;
	to->only_ibgp = from->has_peer_type && from->peer_type == 1;
	to->has_priority = from->has_priority;
	to->priority = (uint32_t)from->priority;
}

static struct bgp_rule rule_of(const struct bgpfilter_rule *from)
{
	static const enum bgp_cidr_match match[] = {
		[BGPFILTER_EQUAL] = BGP_CIDR_EQUAL,
		[BGPFILTER_NOT_EQUAL] = BGP_CIDR_NOT_EQUAL,
		[BGPFILTER_IN] = BGP_CIDR_IN,
		[BGPFILTER_NOT_IN] = BGP_CIDR_NOT_IN,
	};
	struct bgp_rule to;

	memset(&to, 0, sizeof(to)); /* compared by bytes */
	to.accept = from->action == 0;
	if (from->has_match && from->cidr.addr.family) {
		to.match = match[from->match];
		to.cidr = prefix_mask(&from->cidr);
	}
	if (from->has_length && from->cidr.addr.family)
		set_lengths(&to, from);
	set_matches(&to, from);
	for (size_t i = 0; i < from->operations.n && to.accept; i++)
		add_operation(&to, &from->operations.p[i]);
	return to;
}

/* n: where it stands in its list. */
static struct bgp_rule named(const struct bgpfilter_rule *from, const char *filter, size_t n)
{
	struct bgp_rule r = rule_of(from);

	str_copy(r.filter, sizeof(r.filter), filter);
	r.number = (uint16_t)(n < UINT16_MAX ? n + 1 : UINT16_MAX);
	return r;
}

static void add_filter(struct rules *r, const struct bgpfilter *f, const char *name)
{
	for (size_t i = 0; i < f->export_v4.n; i++)
		vec_push(&r->list[BGP_EXPORT][BGP_AF_IPV4_UNICAST],
			 named(&f->export_v4.p[i], name, i));
	for (size_t i = 0; i < f->import_v4.n; i++)
		vec_push(&r->list[BGP_IMPORT][BGP_AF_IPV4_UNICAST],
			 named(&f->import_v4.p[i], name, i));
	for (size_t i = 0; i < f->export_v6.n; i++)
		vec_push(&r->list[BGP_EXPORT][BGP_AF_IPV6_UNICAST],
			 named(&f->export_v6.p[i], name, i));
	for (size_t i = 0; i < f->import_v6.n; i++)
		vec_push(&r->list[BGP_IMPORT][BGP_AF_IPV6_UNICAST],
			 named(&f->import_v6.p[i], name, i));
}

/* In the place of a filter that cannot be read. */
static void add_wall(struct rules *r, const char *name)
{
	struct bgp_rule wall;

	memset(&wall, 0, sizeof(wall)); /* compared by bytes */
	str_copy(wall.filter, sizeof(wall.filter), name);
	for (unsigned dir = 0; dir < BGP_DIRECTION_MAX_; dir++)
		for (unsigned af = 0; af < BGP_AF_MAX_; af++)
			vec_push(&r->list[dir][af], wall);
}

static void unreadable(struct reader *r, const char *key, const char *name, const struct err *e,
		       struct rules *to)
{
	CLEANUP(freep)
	char *line = xasprintf("%s: %s; what it would decide about is rejected\n", key, e->msg);

	if (!strstr(str_text(r->remarks), line))
		str_add(r->remarks, line);
	add_wall(to, name);
}

static void read_filter(struct reader *r, const char *name, struct rules *to)
{
	CLEANUP(freep) char *key = xasprintf(KEY_RESOURCES "bgpfilters/%s", name);
	const struct store_kv *kv = cache_get(r->c, key);
	struct bgpfilter f;
	struct object o;
	struct err e = { 0 };

	if (!kv)
		return;
	if (object_decode(kv->key, kv->value, kv->rev, &o, &e) < 0) {
		unreadable(r, key, name, &e, to);
		return;
	}
	if (bgpfilter_decode(&o, &f, &e) < 0) {
		unreadable(r, key, name, &e, to);
	} else {
		if (bgpfilter_check(&o, &f, &e) < 0)
			unreadable(r, key, name, &e, to);
		else
			add_filter(to, &f, name);
		bgpfilter_done(&f);
	}
	object_done(&o);
}

static void add_set(struct reader *r, const struct bgppeer *p)
{
	struct bgp_filter_set set = { .name = xstrdup(p->name) };
	struct rules rules = { 0 };

	for (size_t i = 0; i < p->filters.n; i++)
		read_filter(r, p->filters.p[i], &rules);
	for (unsigned dir = 0; dir < BGP_DIRECTION_MAX_; dir++) {
		for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
			set.rules[dir][af] = rules.list[dir][af].p;
			set.n[dir][af] = rules.list[dir][af].n;
			vec_push(&r->out->owned, rules.list[dir][af].p);
		}
	}
	vec_push(&r->out->owned, (void *)(uintptr_t)set.name);
	vec_push(&r->out->filters, set);
}

/* One that cannot be read is remarked by bgp_world_read. */
static bool read_peer(void *arg, const struct store_kv *kv)
{
	struct reader *r = arg;
	struct bgppeer p;
	struct object o;

	if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) < 0)
		return true;
	if (bgppeer_decode(&o, &p, NULL) >= 0) {
		if (p.filters.n)
			add_set(r, &p);
		bgppeer_done(&p);
	}
	object_done(&o);
	return true;
}

/* ---- communities by prefix ---- */

static const char *value_of(const struct bgpconfig *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->communities.n; i++) {
		if (strcmp(cfg->communities.p[i].name, name) == 0)
			return cfg->communities.p[i].value;
	}
	return name;
}

static void add_advert(struct reader *r, const struct bgpconfig *cfg,
		       const struct bgp_advertisement *from)
{
	struct bgp_advert a = { .cidr = from->cidr };
	uint32_t *std = xcalloc(from->communities.n + 1, sizeof(*std));
	uint32_t *large = xcalloc(from->communities.n * 3 + 1, sizeof(*large));

	for (size_t i = 0; i < from->communities.n; i++) {
		struct bgpfilter_community c;

		if (!bgpfilter_community_parse(value_of(cfg, from->communities.p[i]), &c)) {
			str_addf(r->remarks,
				 "BGPConfiguration: prefixAdvertisements: there is no community "
				 "%s; left out\n",
				 from->communities.p[i]);
			continue;
		}
		if (c.n == 2)
			std[a.n_communities++] = c.number[0] << 16 | c.number[1];
		else
			memcpy(large + 3 * a.n_large++, c.number, sizeof(c.number));
	}
	a.communities = std;
	a.large = large;
	vec_push(&r->out->owned, std);
	vec_push(&r->out->owned, large);
	vec_push(&r->out->adverts, a);
}

static bool read_object(const struct cache *c, const char *key, struct object *o)
{
	const struct store_kv *kv = cache_get(c, key);

	return kv && object_decode(kv->key, kv->value, kv->rev, o, NULL) >= 0;
}

static void read_config(struct reader *r, const char *self)
{
	CLEANUP(freep) char *own = xasprintf(KEY_RESOURCES "bgpconfigurations/node.%s", self);
	struct object cluster, node;
	bool has_cluster = read_object(r->c, KEY_RESOURCES "bgpconfigurations/default", &cluster),
	     has_node = read_object(r->c, own, &node);
	struct bgpconfig cfg;

	/* what is wrong in it is remarked by bgp_world_read */
	bgpconfig_read(has_cluster ? &cluster : NULL, has_node ? &node : NULL, &cfg, NULL);
	for (size_t i = 0; i < cfg.advertisements.n; i++)
		add_advert(r, &cfg, &cfg.advertisements.p[i]);
	r->out->normal_priority[BGP_AF_IPV4_UNICAST] = (uint32_t)cfg.priority_v4;
	r->out->normal_priority[BGP_AF_IPV6_UNICAST] = (uint32_t)cfg.priority_v6;
	bgpconfig_done(&cfg);
	if (has_cluster)
		object_done(&cluster);
	if (has_node)
		object_done(&node);
}

void bgp_policy_read(const struct cache *c, const char *self, struct bgp_policy_set *out,
		     struct str *remarks)
{
	struct reader r = { .c = c, .out = out, .remarks = remarks };

	*out = (struct bgp_policy_set) { 0 };
	cache_each(c, KEY_RESOURCES "bgppeers/", read_peer, &r);
	read_config(&r, self);
}

void bgp_policy_set_done(struct bgp_policy_set *p)
{
	vec_foreach (&p->owned, it)
		free(*it);
	vec_done(&p->owned);
	vec_done(&p->filters);
	vec_done(&p->adverts);
}
