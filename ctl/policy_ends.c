/* policy_ends.c - who is meant by the words behind --from and --to
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/policy_names.h"
#include "model/hostendpoint.h"
#include "model/node.h"
#include "model/wep.h"

/* ---- addresses of objects ---- */

/* The first address of a family in a list of texts; false: none. */
static bool first_addr(const json_t *list, enum ip_family family, struct addr *out)
{
	const json_t *v;
	struct prefix p;
	size_t i;

	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);

		if (text && prefix_parse_or_addr(text, &p) && p.addr.family == family) {
			*out = p.addr;
			return true;
		}
	}
	return false;
}

static bool list_has(const json_t *list, const struct addr *a)
{
	const json_t *v;
	struct prefix p;
	size_t i;

	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);

		if (text && prefix_parse_or_addr(text, &p) && prefix_contains(&p, a))
			return true;
	}
	return false;
}

static bool node_has(const struct object *o, const struct addr *a)
{
	static const char *const paths[] = { "spec.bgp.ipv4Address", "spec.bgp.ipv6Address",
					     "spec.bgp.ipv4IPIPTunnelAddr",
					     "spec.ipv4VXLANTunnelAddr",
					     "spec.ipv6VXLANTunnelAddr" };
	json_t *list = json_object_get(json_object_get(o->json, "spec"), "addresses"), *v;
	struct prefix p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(paths); i++)
		if (prefix_parse_or_addr(policy_world_text(o, paths[i]), &p) && addr_eq(&p.addr, a))
			return true;
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(json_object_get(v, "address"));

		if (text && prefix_parse_or_addr(text, &p) && addr_eq(&p.addr, a))
			return true;
	}
	return false;
}

/* ---- host endpoints of a node ---- */

static bool is_any(const struct object *o)
{
	return !strcmp(policy_world_text(o, "spec.interfaceName"), HEP_ANY_INTERFACE);
}

static const struct object *lower(const struct object *a, const struct object *b)
{
	return !a || (b && strcmp(b->name, a->name) < 0) ? b : a;
}

/* On the interface with this address: by name or by address, the lowest name wins. One that has a
 * name and no addresses may be on it: it is taken when no other is. */
static void find_host_endpoints(const struct policy_world *w, const char *node,
				const struct addr *a, struct explain_end *at)
{
	const struct object *sure = NULL, *maybe = NULL, *any = NULL;

	for (const struct object *o = NULL; (o = policy_world_next(w, "HostEndpoint", o));) {
		json_t *expected = js_at(o->json, "spec.expectedIPs");

		if (strcmp(policy_world_text(o, "spec.node"), node))
			continue;
		if (is_any(o))
			any = lower(any, o);
		else if (list_has(expected, a))
			sure = lower(sure, o);
		else if (*policy_world_text(o, "spec.interfaceName") && !json_array_size(expected))
			maybe = lower(maybe, o);
	}
	sure = sure ? sure : maybe;
	at->uplink = sure ? sure->name : NULL;
	at->every = any ? any->name : NULL;
}

/* ---- finding ---- */

static const char *pod_of(const struct object *o)
{
	const char *pod = policy_world_text(o, "spec.pod");

	return *pod ? pod : policy_world_text(o, "spec.workload");
}

static const struct object *find_pod(const struct policy_world *w, const char *who,
				     enum ip_family family)
{
	const char *slash = strchr(who, '/');
	size_t n = slash ? (size_t)(slash - who) : 0;
	const struct object *found = NULL;
	struct addr a;

	for (const struct object *o = NULL;
	     slash && (o = policy_world_next(w, "WorkloadEndpoint", o));) {
		if (strlen(o->ns) != n || strncmp(o->ns, who, n) ||
		    (strcmp(pod_of(o), slash + 1) && strcmp(o->name, slash + 1)))
			continue;
		if (first_addr(js_at(o->json, "spec.ipNetworks"), family, &a))
			return o;
		found = o;
	}
	return found;
}

static void set_pod(const struct object *o, enum ip_family family, struct policy_end *out)
{
	out->at.place = EXPLAIN_POD;
	out->at.node = policy_world_text(o, "spec.node");
	out->object = o;
	out->id = xasprintf("%s/%s", o->ns, o->name);
	out->at.pod = out->id;
	out->name = xasprintf("%s/%s", o->ns, pod_of(o));
	first_addr(js_at(o->json, "spec.ipNetworks"), family, &out->addr);
}

static void set_host(const struct policy_world *w, const char *node, const struct object *o,
		     enum ip_family family, struct policy_end *out)
{
	out->at.place = EXPLAIN_HOST;
	out->at.node = node;
	out->object = o;
	out->name = xstrdup(o->name);
	if (!first_addr(js_at(o->json, "spec.expectedIPs"), family, &out->addr))
		out->addr = policy_world_node_net(w, node, family).addr;
}

/* Whose list of addresses holds this one. */
static const struct object *holder(const struct policy_world *w, const char *kind, const char *path,
				   const struct addr *a)
{
	for (const struct object *o = NULL; (o = policy_world_next(w, kind, o));)
		if (list_has(js_at(o->json, path), a))
			return o;
	return NULL;
}

static const struct object *node_with(const struct policy_world *w, const struct addr *a)
{
	for (const struct object *o = NULL; (o = policy_world_next(w, "Node", o));)
		if (node_has(o, a))
			return o;
	return NULL;
}

static void find_address(const struct policy_world *w, const struct addr *a, const char *who,
			 struct policy_end *out)
{
	enum ip_family family = (enum ip_family)a->family;
	const struct object *o;

	if ((o = holder(w, "WorkloadEndpoint", "spec.ipNetworks", a))) {
		set_pod(o, family, out);
	} else if ((o = holder(w, "HostEndpoint", "spec.expectedIPs", a))) {
		set_host(w, policy_world_text(o, "spec.node"), o, family, out);
	} else if ((o = node_with(w, a))) {
		set_host(w, o->name, o, family, out);
	} else {
		out->at.place = EXPLAIN_OUTSIDE;
		out->name = xstrdup(who);
	}
	out->addr = *a;
}

/* ---- words for who is not there ---- */

static int no_pod(const struct policy_world *w, const char *who, struct err *e)
{
	size_t n = strcspn(who, "/");
	struct policy_names pods = { 0 }, here = { 0 }, spaces = { 0 };
	int rc;

	for (const struct object *o = NULL; (o = policy_world_next(w, "WorkloadEndpoint", o));) {
		policy_names_add(&pods, xasprintf("%s/%s", o->ns, pod_of(o)));
		policy_names_add(&spaces, xstrdup(o->ns));
		if (strlen(o->ns) == n && !strncmp(o->ns, who, n))
			policy_names_add(&here, xstrdup(pod_of(o)));
	}
	rc = here.n ? policy_names_say(who, "no such pod", &pods, &here, "in this namespace are ",
				       e)
		    : policy_names_say(who, "no such pod", &pods, &spaces, "there are pods in ", e);
	policy_names_done(&pods);
	policy_names_done(&here);
	policy_names_done(&spaces);
	return rc;
}

static int no_host(const struct policy_world *w, const char *who, struct err *e)
{
	struct policy_names all = { 0 };
	int rc;

	for (const struct object *o = NULL; (o = policy_world_next(w, "WorkloadEndpoint", o));)
		if (!strcmp(pod_of(o), who))
			return err_set(e, -ENOENT,
				       "%.80s: no node of this name; did you mean the pod %s/%s?",
				       who, o->ns, pod_of(o));
	for (const struct object *o = NULL; (o = policy_world_next(w, "Node", o));)
		policy_names_add(&all, xstrdup(o->name));
	rc = policy_names_say(
		who, "is no NAMESPACE/POD, no address, and no node or host endpoint has this name",
		&all, &all, "nodes are ", e);
	policy_names_done(&all);
	return rc;
}

static int find(const struct policy_world *w, const char *who, enum ip_family family,
		struct policy_end *out, struct err *e)
{
	const struct object *o;
	struct addr a;

	if (addr_parse(who, &a)) {
		find_address(w, &a, who, out);
		return 0;
	}
	if (strchr(who, '/')) {
		o = find_pod(w, who, family);
		if (!o)
			return no_pod(w, who, e);
		set_pod(o, family, out);
		return 0;
	}
	if ((o = policy_world_find(w, "Node", NULL, who)))
		set_host(w, o->name, o, family, out);
	else if ((o = policy_world_find(w, "HostEndpoint", NULL, who)))
		set_host(w, policy_world_text(o, "spec.node"), o, family, out);
	else
		return no_host(w, who, e);
	return 0;
}

int policy_end_find(const struct policy_world *w, const char *who, enum ip_family family,
		    struct policy_end *out, struct err *e)
{
	int rc;

	*out = (struct policy_end) { 0 };
	rc = find(w, who, family, out, e);
	if (rc < 0)
		return rc;
	if (out->addr.family != family) {
		policy_end_done(out);
		return err_set(e, -ENOENT, "%.80s: has no IPv%d address that the datastore knows",
			       who, family);
	}
	if (out->at.node) {
		struct prefix own = policy_world_node_net(w, out->at.node, family);

		find_host_endpoints(w, out->at.node,
				    out->at.place == EXPLAIN_HOST ? &out->addr : &own.addr,
				    &out->at);
		if (out->object && !strcmp(out->object->kind->name, "HostEndpoint") &&
		    !is_any(out->object))
			out->at.uplink = out->object->name;
	}
	return 0;
}

void policy_end_done(struct policy_end *end)
{
	free(end->name);
	free(end->id);
	*end = (struct policy_end) { 0 };
}

enum ip_family policy_ends_family(const struct policy_world *w, const char *from, const char *to,
				  enum ip_family wish, struct err *e)
{
	static const enum ip_family both[] = { IP_V4, IP_V6 };
	struct err first = { 0 };
	struct addr literal;

	if (!wish && (addr_parse(from, &literal) || addr_parse(to, &literal)))
		wish = (enum ip_family)literal.family;

	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct policy_end a = { 0 }, b = { 0 };
		struct err why = { 0 };
		bool ok;

		if (wish && wish != both[i])
			continue;
		ok = policy_end_find(w, from, both[i], &a, &why) == 0 &&
		     policy_end_find(w, to, both[i], &b, &why) == 0;
		policy_end_done(&a);
		policy_end_done(&b);
		if (ok)
			return both[i];
		if (!first.code)
			first = why;
	}
	err_set(e, first.code, "%s", first.msg);
	return IP_NONE;
}

/* ---- named ports ---- */

int policy_end_port(const struct policy_end *end, uint8_t proto, const char *name, uint16_t *port,
		    struct err *e)
{
	json_t *list = end->object ? js_at(end->object->json, "spec.ports") : NULL, *v;
	struct policy_names names = { 0 };
	size_t i;
	int rc;

	json_array_foreach (list, i, v) {
		const char *text = json_string_value(json_object_get(v, "name"));
		json_int_t n = json_integer_value(json_object_get(v, "port"));
		struct proto_spec p = { 0 };

		if (!text || n < 1 || n > UINT16_MAX ||
		    proto_spec_parse(json_object_get(v, "protocol"), &p, NULL) < 0)
			continue;
		if (!strcmp(text, name) && (p.set ? p.number : PROTO_TCP) == proto) {
			policy_names_done(&names);
			*port = (uint16_t)n;
			return 0;
		}
		policy_names_add(&names, xstrdup(text));
	}
	rc = policy_names_say(name, "no port of this name and protocol at the destination", &names,
			      &names, "it has ", e);
	policy_names_done(&names);
	return rc;
}
