/* feed.c - stored objects as events of the calculation
 * TESTS  tests/unit/policy/explain.c */
#include "policy/feed.h"

#include <string.h>

#include "model/object.h"
#include "policy/input.h"
#include "policy/k8s.h"

static bool policy(struct calc *c, const struct object *o, struct err *e)
{
	struct calc_event ev = { .kind = CALC_POLICY };

	if (o->ns && str_starts(o->name, K8S_POLICY_PREFIX))
		policy_from_k8s(o, o->name + strlen(K8S_POLICY_PREFIX), &ev.of.policy, e);
	else
		policy_from_object(o, &ev.of.policy, e);
	if (!ev.of.policy)
		return false;
	calc_step(c, &ev);
	return true;
}

static bool profile(struct calc *c, const struct object *o, struct err *e)
{
	struct calc_event ev = { .kind = CALC_PROFILE };

	profile_from_object(o, &ev.of.profile, e);
	calc_step(c, &ev);
	return true;
}

static bool tier(struct calc *c, const struct object *o, struct err *e)
{
	struct tier_state t = { .name = o->name };

	tier_read(o, &t.order, &t.action);
	calc_step(c, &(struct calc_event) { .kind = CALC_TIER, .of.tier = &t });
	return true;
}

static bool slice(struct calc *c, const struct object *o, struct err *e)
{
	struct slice_input in;

	if (slice_from_object(o, &in, e) < 0)
		return false;
	calc_step(c, &(struct calc_event) { .kind = CALC_SLICE, .of.slice = &in.s });
	slice_input_done(&in);
	return true;
}

static bool endpoint(struct calc *c, const struct object *o, struct err *e)
{
	return feed_endpoint_on(c, o, NULL, e);
}

static const struct feed_kind {
	const char *kind;
	bool (*fn)(struct calc *c, const struct object *o, struct err *e);
} kinds[] = {
	{ "WorkloadEndpoint", endpoint }, { "HostEndpoint", endpoint },
	{ "NetworkSet", endpoint },	  { "GlobalNetworkSet", endpoint },
	{ "NetworkPolicy", policy },	  { "GlobalNetworkPolicy", policy },
	{ "Profile", profile },		  { "Tier", tier },
	{ "EndpointSlice", slice },
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

	return k && k->fn(c, o, e);
}

bool feed_endpoint_on(struct calc *c, const struct object *o, const char *node, struct err *e)
{
	struct endpoint_input in;

	if (endpoint_from_object(o, &in, e) < 0)
		return false;
	if (node)
		in.e.node = node;
	calc_step(c, &(struct calc_event) { .kind = CALC_ENDPOINT, .of.endpoint = &in.e });
	endpoint_input_done(&in);
	return true;
}
