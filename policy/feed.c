/* feed.c - stored objects as events of the calculation
 * TESTS  tests/unit/policy/explain.c, tests/unit/agent/policy_feed.c */
#include "policy/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/key.h"
#include "model/object.h"
#include "policy/input.h"
#include "policy/k8s.h"

struct policy *feed_policy(const struct object *o, struct err *e)
{
	struct policy *p = NULL;

	if (o->ns && str_starts(o->name, K8S_POLICY_PREFIX))
		policy_from_k8s(o, o->name + strlen(K8S_POLICY_PREFIX), &p, e);
	else
		policy_from_object(o, &p, e);
	return p;
}

struct object feed_unreadable(const struct key *k)
{
	struct object o = object_new(k->kind, k->ns, k->name);

	js_set(o.json, "spec", json_array());
	return o;
}

char *feed_policy_name(const struct policy *p)
{
	return xasprintf("%s%s", p->kind == POLICY_KUBERNETES ? K8S_POLICY_PREFIX : "", p->name);
}

const char *feed_policy_kind(const struct policy *p)
{
	return p->ns ? "NetworkPolicy" : "GlobalNetworkPolicy";
}

void feed_say_kept(struct err *e)
{
	struct err why = *e;

	err_set(e, why.code,
		"%.250s; nor can be read where it is: what was in force of it stays until this "
		"agent "
		"ends, then its interface is open",
		why.msg);
}

/* ---- one function for each kind: put, gone ---- */

static bool step(struct calc *c, const struct calc_event *ev)
{
	calc_step(c, ev);
	return true;
}

static bool policy_put(struct calc *c, const struct object *o, struct err *e)
{
	struct policy *p = feed_policy(o, e);

	return p && step(c, &(struct calc_event) { .kind = CALC_POLICY, .of.policy = p });
}

static bool profile_put(struct calc *c, const struct object *o, struct err *e)
{
	struct calc_event ev = { .kind = CALC_PROFILE };

	profile_from_object(o, &ev.of.profile, e);
	return step(c, &ev);
}

static bool profile_gone(struct calc *c, const struct key *k)
{
	return step(c, &(struct calc_event) { .kind = CALC_PROFILE_GONE, .of.name = k->name });
}

static bool tier_put(struct calc *c, const struct object *o, struct err *e)
{
	struct tier_state t = { .name = o->name };

	tier_read(o, &t.order, &t.action);
	return step(c, &(struct calc_event) { .kind = CALC_TIER, .of.tier = &t });
}

static bool tier_gone(struct calc *c, const struct key *k)
{
	return step(c, &(struct calc_event) { .kind = CALC_TIER_GONE, .of.name = k->name });
}

/* "namespace/name" or "name": how the calculation calls endpoints and slices. Heap. */
static char *id_of(const char *ns, const char *name)
{
	return ns ? xasprintf("%s/%s", ns, name) : xstrdup(name);
}

static bool endpoint_gone(struct calc *c, const struct key *k, enum endpoint_kind kind)
{
	CLEANUP(freep) char *id = id_of(k->ns, k->name);
	struct endpoint ep = { .kind = kind, .id = id };

	return step(c, &(struct calc_event) { .kind = CALC_ENDPOINT_GONE, .of.endpoint = &ep });
}

static bool workload_gone(struct calc *c, const struct key *k)
{
	return endpoint_gone(c, k, ENDPOINT_WORKLOAD);
}

static bool host_gone(struct calc *c, const struct key *k)
{
	return endpoint_gone(c, k, ENDPOINT_HOST);
}

static bool nets_gone(struct calc *c, const struct key *k)
{
	return endpoint_gone(c, k, ENDPOINT_NETS);
}

/* A pod of which nothing can be used is not there, and so is cut off. A host endpoint that does not even
 * say where it is would leave its interface open: what was known of it stays. */
static bool endpoint_put(struct calc *c, const struct object *o, struct err *e)
{
	CLEANUP(freep) char *id = id_of(o->ns, o->name);
	struct endpoint gone = { .kind = ENDPOINT_WORKLOAD, .id = id };
	struct err why;

	if (feed_endpoint_on(c, o, NULL, e))
		return true;
	if (!strcmp(o->kind->name, "HostEndpoint")) {
		feed_say_kept(e);
		return false;
	}
	why = *e;
	err_set(e, why.code, "%.300s; until it can be read, this pod is cut off", why.msg);
	return step(c, &(struct calc_event) { .kind = CALC_ENDPOINT_GONE, .of.endpoint = &gone });
}

static bool slice_is_gone(struct calc *c, const char *ns, const char *name)
{
	CLEANUP(freep) char *id = id_of(ns, name);

	return step(c, &(struct calc_event) { .kind = CALC_SLICE_GONE, .of.name = id });
}

static bool slice_gone(struct calc *c, const struct key *k)
{
	return slice_is_gone(c, k->ns, k->name);
}

/* A slice of no service, or one that cannot be read, is nobody's. */
static bool slice_put(struct calc *c, const struct object *o, struct err *e)
{
	struct slice_input in;
	struct err why = { 0 };
	int rc = slice_from_object(o, &in, &why);

	if (rc < 0) {
		if (rc != -ENOENT)
			*e = why;
		return slice_is_gone(c, o->ns, o->name);
	}
	step(c, &(struct calc_event) { .kind = CALC_SLICE, .of.slice = &in.s });
	slice_input_done(&in);
	return true;
}

static const struct feed_kind {
	const char *kind;
	bool (*put)(struct calc *c, const struct object *o, struct err *e);
	bool (*gone)(struct calc *c, const struct key *k); /* NULL: a policy */
} kinds[] = {
	{ "WorkloadEndpoint", endpoint_put, workload_gone },
	{ "HostEndpoint", endpoint_put, host_gone },
	{ "NetworkSet", endpoint_put, nets_gone },
	{ "GlobalNetworkSet", endpoint_put, nets_gone },
	{ "NetworkPolicy", policy_put, NULL },
	{ "GlobalNetworkPolicy", policy_put, NULL },
	{ "Profile", profile_put, profile_gone },
	{ "Tier", tier_put, tier_gone },
	{ "EndpointSlice", slice_put, slice_gone },
};

static const struct feed_kind *find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].kind, kind))
			return &kinds[i];
	return NULL;
}

bool feed_takes(const char *kind)
{
	return find(kind);
}

bool feed_object(struct calc *c, const struct object *o, struct err *e)
{
	const struct feed_kind *k = find(o->kind->name);

	return k && k->put(c, o, e);
}

bool feed_gone(struct calc *c, const struct key *k)
{
	const struct feed_kind *row = find(k->kind->name);

	return row && row->gone && row->gone(c, k);
}

bool feed_is_policy(const char *kind)
{
	const struct feed_kind *k = find(kind);

	return k && !k->gone;
}

bool feed_endpoint_on(struct calc *c, const struct object *o, const char *node, struct err *e)
{
	struct endpoint_input in;

	if (endpoint_from_object(o, &in, e) < 0 && !in.e.id)
		return false;
	if (node)
		in.e.node = node;
	calc_step(c, &(struct calc_event) { .kind = CALC_ENDPOINT, .of.endpoint = &in.e });
	endpoint_input_done(&in);
	return true;
}
