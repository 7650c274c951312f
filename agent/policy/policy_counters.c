/* policy_counters.c - rules of what applies to an endpoint, each with what the kernel counted at it
 * SHAPE  `what` names policies; their rules are put beside them, and where each rule is in the kernel
 *        (family, table, chain, hash) becomes a spot. The save tool runs beside the loop; each line
 *        that it prints is looked up among the spots.
 * TESTS  tests/netns/test_policy_explain.py */
#include "agent/policy/policy_counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "agent/cache.h"
#include "agent/policy/policy_kernel.h"
#include "dataplane/exec.h"
#include "dataplane/filter.h"
#include "model/key.h"
#include "model/kind.h"
#include "policy/feed.h"
#include "policy/tables.h"

enum {
	FAMILIES = 2,
	TIMEOUT_MS = 8000, /* who asked waits for 10 s */
};

/* One rule in the kernel, and the object that its counts go to. */
struct spot {
	UT_hash_handle hh;
	char *key;
	json_t *to;	   /* borrowed: it is inside of what */
	struct spot *also; /* the same rule counts for another object, too */
};

struct reader {
	struct policy_counting *c;
	enum ip_family family;
	struct exec_cmd cmd;
	struct exec *exec;
};

struct policy_counting {
	json_t *what;
	struct spot *spots;
	struct reader reader[FAMILIES];
	unsigned running;
	policy_counted_fn *fn;
	void *arg;
};

/* ---- rules as they are written ---- */

static json_t *stored_spec(struct cache *cache, const char *kind, const char *ns, const char *name)
{
	CLEANUP(freep) char *key = key_resource(kind_find(kind), ns, name);
	const struct store_kv *kv = cache_get(cache, key);
	json_t *o = NULL, *spec;

	if (!kv || js_parse(kv->value, strlen(kv->value), &o, NULL) < 0)
		return NULL;
	spec = json_incref(json_object_get(o, "spec"));
	json_decref(o);
	return spec;
}

static void add_rules(json_t *to, const char *name, const struct rules *rules, const json_t *spec)
{
	static const char *const actions[] = { "Allow", "Deny", "Log", "Pass" };
	json_t *list = json_array();

	for (size_t i = 0; i < rules->n; i++) {
		json_t *o = json_object(), *rule = json_array_get(json_object_get(spec, name), i);

		js_set_str(o, "action", actions[rules->p[i].action]);
		if (rule)
			js_set(o, "definition", json_deep_copy(rule));
		json_array_append_new(list, o);
	}
	js_set(to, name, list);
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

/* The policy that an object of `what` names; NULL: it went away meanwhile. */
static const struct policy *policy_of(const struct policy_counted *of, const json_t *o)
{
	const char *kind = text_of(o, "kind");

	for (int k = POLICY_NETWORK; k <= POLICY_KUBERNETES; k++) {
		struct policy_id id = { (enum policy_kind)k, text_of(o, "namespace"),
					text_of(o, "name") };

		if (kind && id.name && !strcmp(policy_kind_name(id.kind), kind))
			return calc_policy(of->calc, &id);
	}
	return NULL;
}

static void add_policy(json_t *o, const struct policy_counted *of)
{
	const struct policy *p = policy_of(of, o);
	CLEANUP(freep) char *name = NULL;
	json_t *spec;

	if (!p)
		return;
	name = feed_policy_name(p);
	/* What denies because it cannot be read has not the rules that are written. */
	spec = p->closed ? NULL : stored_spec(of->cache, feed_policy_kind(p), p->ns, name);
	if (p->ingress)
		add_rules(o, "ingress", &p->in, spec);
	if (p->egress)
		add_rules(o, "egress", &p->out, spec);
	json_decref(spec);
}

static json_t *profile_json(const char *name, const struct policy_counted *of)
{
	const struct profile_rules *rules = calc_profile(of->calc, name);
	struct profile_rules *missing = rules ? NULL : profile_missing(name);
	json_t *o = json_object(), *spec = rules && !rules->closed
						   ? stored_spec(of->cache, "Profile", NULL, name)
						   : NULL;

	rules = rules ? rules : missing;
	js_set_str(o, "name", name);
	js_set_bool(o, "unreadable", rules->closed);
	add_rules(o, "ingress", &rules->in, spec);
	add_rules(o, "egress", &rules->out, spec);
	profile_rules_free(missing);
	json_decref(spec);
	return o;
}

void policy_rules_add(json_t *what, const struct policy_counted *of)
{
	json_t *tier, *policy, *profile, *profiles = json_array();
	size_t i, j;

	json_array_foreach (json_object_get(what, "tiers"), i, tier)
		json_array_foreach (json_object_get(tier, "policies"), j, policy)
			add_policy(policy, of);
	json_array_foreach (json_object_get(what, "profiles"), i, profile)
		json_array_append_new(profiles, profile_json(json_string_value(profile), of));
	js_set(what, "profileRules", profiles);
}

/* ---- spots ---- */

static char *spot_key(enum ip_family family, enum ipt_table table, const char *chain,
		      const char *hash)
{
	return xasprintf("%d %d %s %s", family, table, chain, hash);
}

static void add_spot(struct policy_counting *c, char *key, json_t *to)
{
	struct spot *s = xcalloc(1, sizeof(*s)), *old;

	HASH_FIND_STR(c->spots, key, old);
	s->key = key;
	s->to = to;
	if (old) {
		s->also = old->also;
		old->also = s;
	} else {
		HASH_ADD_KEYPTR(hh, c->spots, s->key, strlen(s->key), s);
	}
}

static void spots_done(struct policy_counting *c)
{
	struct spot *s, *next, *also;

	HASH_ITER (hh, c->spots, s, next) {
		HASH_DEL(c->spots, s);
		for (; s; s = also) {
			also = s->also;
			free(s->key);
			free(s);
		}
	}
}

/* In which table policies of a class are looked at. */
static enum table_id table_of(const json_t *tier)
{
	const char *applies = text_of(tier, "applies");

	if (applies && !strcmp(applies, "untracked"))
		return TABLE_RAW;
	return applies && !strcmp(applies, "preDNAT") ? TABLE_MANGLE : TABLE_FILTER;
}

/* Of one family. */
struct looker {
	struct policy_counting *c;
	enum ip_family family;
	const struct tables *tables;
	const struct render_config *render;
};

static enum ipt_table ipt_of(enum table_id table)
{
	return ipt_table_of(table_name(table));
}

static void look_at_rules(const struct looker *l, enum table_id table, const char *chain_name,
			  const struct rules *rules, const json_t *list)
{
	const struct chain *chain = tables_find(l->tables, table, chain_name);
	CLEANUP(freep) struct rule_hash *hash = chain ? chain_hashes(chain) : NULL;
	CLEANUP(freep) int *line = xcalloc(rules->n + 1, sizeof(*line));

	if (!hash)
		return;
	render_lines(l->render, rules, line);
	for (size_t i = 0; i < rules->n && i < json_array_size(list); i++)
		if (line[i] >= 0 && (size_t)line[i] < chain->n)
			add_spot(l->c,
				 spot_key(l->family, ipt_of(table), chain_name, hash[line[i]].text),
				 json_array_get(list, i));
}

static void look_at_policy(const struct looker *l, const struct policy_counted *of,
			   const json_t *tier, const json_t *o)
{
	const struct policy *p = policy_of(of, o);

	if (!p)
		return;
	look_at_rules(l, table_of(tier), render_policy_chain(p, true).text, &p->in,
		      json_object_get(o, "ingress"));
	look_at_rules(l, table_of(tier), render_policy_chain(p, false).text, &p->out,
		      json_object_get(o, "egress"));
}

static void look_at_profile(const struct looker *l, const struct policy_counted *of,
			    const json_t *o)
{
	const char *name = text_of(o, "name");
	const struct profile_rules *p = calc_profile(of->calc, name);

	if (!p)
		return;
	look_at_rules(l, TABLE_FILTER, render_profile_chain(name, true).text, &p->in,
		      json_object_get(o, "ingress"));
	look_at_rules(l, TABLE_FILTER, render_profile_chain(name, false).text, &p->out,
		      json_object_get(o, "egress"));
}

/* The rule of a pod's own chain that has these words in its comment. */
static void look_at_end(const struct looker *l, const char *interface, bool ingress,
			const char *words, json_t *to)
{
	CLEANUP(freep) struct rule_hash *hash = NULL;
	const struct chain *chain;
	struct pod_way way;

	if (!interface || !tables_pod_way(l->tables, interface, ingress, &way))
		return;
	chain = tables_find(l->tables, TABLE_FILTER, way.own.text);
	hash = chain ? chain_hashes(chain) : NULL;
	for (size_t i = 0; hash && i < chain->n; i++)
		if (strstr(chain->p[i].text, words))
			add_spot(l->c, spot_key(l->family, IPT_FILTER, way.own.text, hash[i].text),
				 to);
}

static void look_at_ends(const struct looker *l, json_t *o, const char *words)
{
	const char *interface = text_of(l->c->what, "interface");

	look_at_end(l, interface, true, words, js_object_in(o, "ingressEnd"));
	look_at_end(l, interface, false, words, js_object_in(o, "egressEnd"));
}

static void look(const struct looker *l, const struct policy_counted *of)
{
	json_t *tier, *o;
	size_t i, j;

	json_array_foreach (json_object_get(l->c->what, "tiers"), i, tier) {
		CLEANUP(freep)
		char *words = xasprintf("\"End of tier %s. ", text_of(tier, "tier"));

		json_array_foreach (json_object_get(tier, "policies"), j, o)
			look_at_policy(l, of, tier, o);
		look_at_ends(l, tier, words);
	}
	json_array_foreach (json_object_get(l->c->what, "profileRules"), i, o)
		look_at_profile(l, of, o);
	look_at_ends(l, l->c->what, "\"Drop if no profiles matched\"");
}

/* ---- counts ---- */

static void count(void *arg, const struct ipt_counter *n)
{
	const struct reader *r = arg;
	CLEANUP(freep) char *key = spot_key(r->family, n->table, n->chain, n->hash);
	struct spot *s;

	HASH_FIND_STR(r->c->spots, key, s);
	for (; s; s = s->also) {
		json_int_t packets = json_integer_value(json_object_get(s->to, "packets"));
		json_int_t bytes = json_integer_value(json_object_get(s->to, "bytes"));

		js_set_int(s->to, "packets", packets + (json_int_t)n->packets);
		js_set_int(s->to, "bytes", bytes + (json_int_t)n->bytes);
	}
}

static void counting_free(struct policy_counting *c)
{
	spots_done(c);
	json_decref(c->what);
	free(c);
}

static void end(struct policy_counting *c)
{
	policy_counted_fn *fn = c->fn;
	void *arg = c->arg;
	json_t *what = json_incref(c->what);

	counting_free(c);
	fn(arg, what);
}

static void on_read(void *arg, const struct exec_result *res)
{
	struct reader *r = arg;
	struct policy_counting *c = r->c;
	struct err e = { 0 };
	char words[256];

	r->exec = NULL;
	if (res->code) {
		exec_words(&r->cmd, res, words, sizeof(words));
		js_set_str(c->what, "countersWhy", words);
	} else if (ipt_counters_read(res->out, res->out_len, count, r, &e) < 0) {
		js_set_str(c->what, "countersWhy", e.msg);
	}
	if (!--c->running)
		end(c);
}

static void start(struct event_base *base, struct policy_counting *c,
		  const struct policy_counted *of, enum ip_family family)
{
	struct reader *r = &c->reader[family == IP_V6];
	struct looker l = { c, family, policy_kernel_tables(of->kernel, family),
			    policy_kernel_render(of->kernel, family) };
	struct err e = { 0 };

	if (!l.tables)
		return;
	look(&l, of);
	js_set_bool(c->what, "sharedEnds", l.render->share_endpoints);
	r->c = c;
	r->family = family;
	ipt_counters_cmd(filter_rules(of->filter, family), &r->cmd);
	r->cmd.timeout_ms = TIMEOUT_MS;
	r->exec = exec_start(base, &r->cmd, on_read, r, &e);
	if (r->exec)
		c->running++;
	else
		js_set_str(c->what, "countersWhy", e.msg);
}

struct policy_counting *policy_count(struct event_base *base, json_t *what,
				     const struct policy_counted *of, policy_counted_fn *fn,
				     void *arg)
{
	struct policy_counting *c = xcalloc(1, sizeof(*c));

	c->what = what;
	c->fn = fn;
	c->arg = arg;
	start(base, c, of, IP_V4);
	start(base, c, of, IP_V6);
	if (c->running)
		return c;
	spots_done(c);
	free(c);
	return NULL;
}

void policy_count_stop(struct policy_counting *c)
{
	if (!c)
		return;
	for (int i = 0; i < FAMILIES; i++)
		exec_stop(c->reader[i].exec);
	counting_free(c);
}
