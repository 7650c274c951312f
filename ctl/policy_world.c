/* policy_world.c - everything that policy is made of, as the datastore has it
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_world.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/policy_ends.h"
#include "model/felixconfig.h"
#include "policy/feed.h"
#include "policy/k8s.h"

/* A node that nobody can have: what is asked about is "there". */
#define HERE " "

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
			rc = ctl_list(c, kind, NULL, &w->objects, &w->n_broken, e);
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

const struct object *policy_world_policy(const struct policy_world *w, const struct policy *p)
{
	CLEANUP(freep)
	char *name =
		xasprintf("%s%s", p->kind == POLICY_KUBERNETES ? K8S_POLICY_PREFIX : "", p->name);

	return policy_world_find(w, p->ns ? "NetworkPolicy" : "GlobalNetworkPolicy", p->ns, name);
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

/* ---- settings ---- */

static struct failsafe failsafe_of(const struct felix_port *p)
{
	return (struct failsafe) { .proto = strcasecmp(p->protocol, "udp") ? PROTO_TCP : PROTO_UDP,
				   .port = (uint16_t)p->port,
				   .net = prefix_mask(&p->net) };
}

static void view_failsafes(const struct felixconfig *f, struct policy_view *v)
{
	struct render_config *r = &v->render;

	for (size_t i = 0; i < f->failsafe_in.n; i++)
		vec_push(&v->in, failsafe_of(&f->failsafe_in.p[i]));
	for (size_t i = 0; i < f->failsafe_out.n; i++)
		vec_push(&v->out, failsafe_of(&f->failsafe_out.p[i]));
	if (f->has_failsafe_in) {
		r->failsafe_in = v->in.p;
		r->n_failsafe_in = v->in.n;
	}
	if (f->has_failsafe_out) {
		r->failsafe_out = v->out.p;
		r->n_failsafe_out = v->out.n;
	}
}

static void view_felix(const struct felixconfig *f, struct policy_view *v)
{
	static const char *const words[] = { [FELIX_TO_HOST_DROP] = "DROP",
					     [FELIX_TO_HOST_RETURN] = "RETURN",
					     [FELIX_TO_HOST_ACCEPT] = "ACCEPT" };

	if (f->has_endpoint_to_host)
		v->render.to_host = words[f->endpoint_to_host];
	v->render.vxlan_port = (uint16_t)f->vxlan_port;
	v->render.vxlan_from_pods = f->vxlan_from_pods;
	v->render.ipip_from_pods = f->ipip_from_pods;
	view_failsafes(f, v);
}

void policy_view_read(const struct policy_world *w, const char *node, enum ip_family family,
		      struct policy_view *out, json_t *notes)
{
	CLEANUP(freep) char *own = xasprintf("node.%s", node ? node : "");
	const struct object *layers[2], *o;
	struct felixconfig f;
	struct err e = { 0 };
	size_t n = 0;

	*out = (struct policy_view) { .render = render_config_default(family) };
	/* What agents do that are not told otherwise. */
	out->render.to_host = "RETURN";
	if ((o = policy_world_find(w, "FelixConfiguration", NULL, "default")))
		layers[n++] = o;
	if ((o = policy_world_find(w, "FelixConfiguration", NULL, own)))
		layers[n++] = o;
	if (felixconfig_decode(layers, n, &f, &e) < 0) {
		json_array_append_new(notes, js_text(e.msg));
		return;
	}
	view_felix(&f, out);
	felixconfig_done(&f);
}

void policy_view_done(struct policy_view *v)
{
	vec_done(&v->in);
	vec_done(&v->out);
}
