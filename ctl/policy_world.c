/* policy_world.c - everything that policy is made of, as the datastore has it
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_world.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/policy_ends.h"
#include "model/key.h"
#include "policy/feed.h"

/* A node that nobody can have: what is asked about is "there". */
#define HERE " "

/* Policies that are not even objects: agents have something in their place. */
static int stand_in(struct ctl *c, const struct kind *kind, struct object_vec *out, struct err *e)
{
	CLEANUP(freep) char *prefix = key_prefix(kind, NULL);
	struct store_res res;
	int rc = ctl_call(c, store_list(prefix), kind->plural, &res, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < res.n; i++) {
		const struct store_kv *kv = &res.kv[i];
		struct object o;
		struct key k;

		if (object_decode(kv->key, kv->value, kv->rev, &o, NULL) == 0) {
			object_done(&o);
		} else if (key_parse(kv->key, &k)) {
			vec_push(out, feed_unreadable(&k));
			key_done(&k);
		}
	}
	store_res_done(&res);
	return 0;
}

static int load_kind(struct ctl *c, const struct kind *kind, struct policy_world *w, struct err *e)
{
	size_t broken = w->n_broken;
	int rc = ctl_list(c, kind, NULL, &w->objects, &w->n_broken, e);

	if (rc == 0 && w->n_broken > broken && feed_is_policy(kind->name))
		rc = stand_in(c, kind, &w->objects, e);
	return rc;
}

int policy_world_load(struct ctl *c, struct policy_world *w, struct err *e)
{
	static const char *const kinds[] = {
		"WorkloadEndpoint",
		"HostEndpoint",
		"NetworkSet",
		"GlobalNetworkSet",
		"NetworkPolicy",
		"GlobalNetworkPolicy",
		"Profile",
		"Tier",
		"Node",
		"IPPool",
		"FelixConfiguration",
		"EndpointSlice",
	};
	int rc = ctl_open(c, CTL_READ, e);

	*w = (struct policy_world) { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && rc == 0; i++) {
		const struct kind *kind = kind_find(kinds[i]);

		if (kind)
			rc = load_kind(c, kind, w, e);
	}
	if (rc < 0)
		policy_world_done(w);
	return rc;
}

void policy_world_done(struct policy_world *w)
{
	objects_done(&w->objects);
}

const struct object *policy_world_next(const struct policy_world *w, const char *kind,
				       const struct object *after)
{
	const struct object *end = w->objects.p + w->objects.n;

	for (const struct object *o = after ? after + 1 : w->objects.p; o && o < end; o++)
		if (!strcmp(o->kind->name, kind))
			return o;
	return NULL;
}

const struct object *policy_world_find(const struct policy_world *w, const char *kind,
				       const char *ns, const char *name)
{
	for (const struct object *o = NULL; (o = policy_world_next(w, kind, o));)
		if (!strcmp(o->name, name) && str_eq(o->ns, ns))
			return o;
	return NULL;
}

const char *policy_world_text(const struct object *o, const char *path)
{
	const char *s = json_string_value(js_at(o->json, path));

	return s ? s : "";
}

struct prefix policy_world_node_net(const struct policy_world *w, const char *node,
				    enum ip_family family)
{
	const struct object *o = policy_world_find(w, "Node", NULL, node);
	struct prefix p;

	if (o &&
	    prefix_parse_or_addr(policy_world_text(o, family == IP_V6 ? "spec.bgp.ipv6Address"
								      : "spec.bgp.ipv4Address"),
				 &p) &&
	    p.addr.family == family)
		return p;
	return (struct prefix) { 0 };
}

const struct object *policy_world_policy(const struct policy_world *w, const struct policy *p)
{
	CLEANUP(freep) char *name = feed_policy_name(p);

	return policy_world_find(w, feed_policy_kind(p), p->ns, name);
}

/* ---- calculation ---- */

static bool is_local(const struct object *o, const struct policy_end *from,
		     const struct policy_end *to)
{
	const char *node;

	if (!strcmp(o->kind->name, "WorkloadEndpoint"))
		return o == from->object || o == to->object;
	node = json_string_value(js_at(o->json, "spec.node"));
	return node && (str_eq(node, from->at.node) || str_eq(node, to->at.node));
}

struct calc *policy_world_calc(const struct policy_world *w, const struct policy_end *from,
			       const struct policy_end *to, json_t *notes)
{
	struct calc *c = calc_new(HERE, 1);

	for (size_t i = 0; i < w->objects.n; i++) {
		const struct object *o = &w->objects.p[i];
		bool endpoint = !strcmp(o->kind->name, "WorkloadEndpoint") ||
				!strcmp(o->kind->name, "HostEndpoint");
		struct err e = { 0 };

		if (endpoint && is_local(o, from, to))
			feed_endpoint_on(c, o, HERE, &e);
		else
			feed_object(c, o, &e);
		if (e.code)
			json_array_append_new(notes, js_text(e.msg));
	}
	calc_flush(c);
	return c;
}
