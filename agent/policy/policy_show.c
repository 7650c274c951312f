/* policy_show.c - what applies to each endpoint of this node
 * TESTS  tests/netns/test_policy.py */
#include "agent/policy/policy_show.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "lib/json.h"
#include "model/wep.h"
#include "policy/render.h"

struct shown {
	UT_hash_handle hh;
	char *key; /* a digit of the kind, and the id */
	json_t *what;
};

struct policy_show {
	struct shown *all;
};

static char *key_of(enum endpoint_kind kind, const char *id)
{
	return xasprintf("%d%s", (int)kind, id);
}

static void drop(struct policy_show *s, const char *key)
{
	struct shown *e;

	HASH_FIND_STR(s->all, key, e);
	if (!e)
		return;
	HASH_DEL(s->all, e);
	json_decref(e->what);
	free(e->key);
	free(e);
}

static void set_chain(json_t *o, const char *name, const struct policy *p, bool ingress)
{
	struct chain_name chain = render_policy_chain(p, ingress);

	if (ingress ? p->ingress : p->egress)
		js_set_str(o, name, chain.text);
}

static json_t *policy_json(const struct policy *p)
{
	json_t *o = json_object();

	js_set_str(o, "kind", policy_kind_name(p->kind));
	js_set_str(o, "namespace", p->ns);
	js_set_str(o, "name", p->name);
	js_set_bool(o, "unreadable", p->closed);
	set_chain(o, "ingressChain", p, true);
	set_chain(o, "egressChain", p, false);
	return o;
}

static json_t *tier_json(const struct calc_tier *t, const char *where)
{
	json_t *o = json_object(), *list = json_array();

	js_set_str(o, "tier", t->name);
	js_set_str(o, "applies", where);
	js_set_str(o, "end", t->action == TIER_PASS ? "Pass" : "Deny");
	for (size_t i = 0; i < t->n; i++)
		json_array_append_new(list, policy_json(t->policy[i]));
	js_set(o, "policies", list);
	return o;
}

static json_t *endpoint_json(const struct calc_endpoint *ep)
{
	static const char *const where[CLASS_COUNT] = { "", "forwarded", "untracked", "preDNAT" };
	json_t *o = json_object(), *tiers = json_array(), *profiles = json_array(),
	       *nets = json_array();
	char text[PREFIX_STR_MAX];

	js_set_str(o, "endpoint", ep->id);
	js_set_str(o, "interface", ep->interface);
	for (int c = 0; c < CLASS_COUNT; c++)
		for (size_t i = 0; i < ep->tiers[c].n; i++)
			json_array_append_new(tiers, tier_json(&ep->tiers[c].p[i], where[c]));
	for (size_t i = 0; i < ep->n_profile; i++)
		json_array_append_new(profiles, js_text(ep->profile[i]));
	for (size_t i = 0; i < ep->n_net; i++)
		json_array_append_new(nets, js_text(prefix_format(&ep->net[i], text)));
	js_set(o, "tiers", tiers);
	js_set(o, "profiles", profiles);
	js_set(o, "addresses", nets);
	return o;
}

struct policy_show *policy_show_new(void)
{
	return xcalloc(1, sizeof(struct policy_show));
}

void policy_show_free(struct policy_show *s)
{
	while (s && s->all)
		drop(s, s->all->key);
	free(s);
}

void policy_show_take(struct policy_show *s, const struct calc_effects *fx)
{
	for (size_t i = 0; i < fx->endpoints_gone.n; i++) {
		CLEANUP(freep)
		char *key = key_of(fx->endpoints_gone.p[i].kind, fx->endpoints_gone.p[i].id);

		drop(s, key);
	}
	for (size_t i = 0; i < fx->endpoints.n; i++) {
		const struct calc_endpoint *ep = &fx->endpoints.p[i];
		struct shown *e = xcalloc(1, sizeof(*e));

		e->key = key_of(ep->kind, ep->id);
		e->what = endpoint_json(ep);
		drop(s, e->key);
		HASH_ADD_KEYPTR(hh, s->all, e->key, strlen(e->key), e);
	}
}

/* "x/a" for "x/node1-k8s-a-eth0". */
static bool is_pod(const char *id, const char *who)
{
	const char *slash = strchr(id, '/');
	char *segment[WEP_SEGMENTS_MAX] = { 0 };
	size_t n = 0;
	bool is = false;

	if (!slash || strncmp(id, who, (size_t)(slash + 1 - id)) != 0 ||
	    !wep_name_parse(slash + 1, segment, &n))
		return false;
	is = n > 2 && !strcmp(segment[2], who + (slash + 1 - id));
	for (size_t i = 0; i < n; i++)
		free(segment[i]);
	return is;
}

static bool has_address(const json_t *what, const char *who)
{
	size_t i, n = strlen(who);
	json_t *net;

	json_array_foreach (json_object_get(what, "addresses"), i, net) {
		const char *text = json_string_value(net);

		if (str_starts(text, who) && (!text[n] || text[n] == '/'))
			return true;
	}
	return false;
}

json_t *policy_show_find(const struct policy_show *s, const char *who)
{
	for (const struct shown *e = s->all; e; e = e->hh.next) {
		const char *id = e->key + 1;
		const char *interface =
			json_string_value(json_object_get(e->what, "interface"));

		if (!strcmp(id, who) || is_pod(id, who) || (interface && !strcmp(interface, who)) ||
		    has_address(e->what, who))
			return json_deep_copy(e->what);
	}
	return NULL;
}
