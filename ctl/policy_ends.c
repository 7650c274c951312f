/* policy_ends.c - who is meant by the words behind --from and --to
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/hostendpoint.h"
#include "model/ippool.h"
#include "model/node.h"
#include "model/wep.h"

enum { NAMES_SHOWN = 8 };

static const char *text_at(const struct object *o, const char *path)
{
	const char *s = json_string_value(js_at(o->json, path));

	return s ? s : "";
}

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

/* A node's address with its network; family IP_NONE: none. */
static struct prefix node_net(const struct object *o, enum ip_family family)
{
	struct prefix p;

	if (o &&
	    prefix_parse_or_addr(
		    text_at(o, family == IP_V6 ? "spec.bgp.ipv6Address" : "spec.bgp.ipv4Address"),
		    &p) &&
	    p.addr.family == family)
		return p;
	return (struct prefix) { 0 };
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
		if (prefix_parse_or_addr(text_at(o, paths[i]), &p) && addr_eq(&p.addr, a))
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
	return !strcmp(text_at(o, "spec.interfaceName"), HEP_ANY_INTERFACE);
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

		if (strcmp(text_at(o, "spec.node"), node))
			continue;
		if (is_any(o))
			any = lower(any, o);
		else if (list_has(expected, a))
			sure = lower(sure, o);
		else if (*text_at(o, "spec.interfaceName") && !json_array_size(expected))
			maybe = lower(maybe, o);
	}
	sure = sure ? sure : maybe;
	at->uplink = sure ? sure->name : NULL;
	at->every = any ? any->name : NULL;
}

/* ---- finding ---- */

static const char *pod_of(const struct object *o)
{
	const char *pod = text_at(o, "spec.pod");

	return *pod ? pod : text_at(o, "spec.workload");
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
	out->at.node = text_at(o, "spec.node");
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
		out->addr = node_net(policy_world_find(w, "Node", NULL, node), family).addr;
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
		set_host(w, text_at(o, "spec.node"), o, family, out);
	} else if ((o = node_with(w, a))) {
		set_host(w, o->name, o, family, out);
	} else {
		out->at.place = EXPLAIN_OUTSIDE;
		out->name = xstrdup(who);
	}
	out->addr = *a;
}

/* ---- words for who is not there ---- */

struct names {
	char **p;
	size_t n, cap;
};

static const char *name_at(const void *arg, size_t i)
{
	return ((const struct names *)arg)->p[i];
}

static void names_add(struct names *v, char *name)
{
	for (size_t i = 0; i < v->n; i++) {
		if (!strcmp(v->p[i], name)) {
			free(name);
			return;
		}
	}
	vec_push(v, name);
}

static void names_done(struct names *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->p[i]);
	vec_done(v);
}

static char *names_text(const struct names *v)
{
	struct str s = { 0 };

	for (size_t i = 0; i < v->n && i < NAMES_SHOWN; i++)
		str_addf(&s, "%s%s", i ? ", " : "", v->p[i]);
	if (v->n > NAMES_SHOWN)
		str_addf(&s, " and %zu more", v->n - NAMES_SHOWN);
	return str_take(&s);
}

static int say_names(const char *who, const char *no, const struct names *near_from,
		     const struct names *list, const char *listed, struct err *e)
{
	const char *near = word_nearest(who, name_at, near_from, near_from->n);
	CLEANUP(freep) char *text = names_text(list);

	if (near)
		return err_set(e, -ENOENT, "%.80s: %s; did you mean %s?", who, no, near);
	return err_set(e, -ENOENT, "%.80s: %s%s%s%s", who, no, list->n ? "; " : "",
		       list->n ? listed : "", text);
}

static int no_pod(const struct policy_world *w, const char *who, struct err *e)
{
	size_t n = strcspn(who, "/");
	struct names pods = { 0 }, here = { 0 }, spaces = { 0 };
	int rc;

	for (const struct object *o = NULL; (o = policy_world_next(w, "WorkloadEndpoint", o));) {
		names_add(&pods, xasprintf("%s/%s", o->ns, pod_of(o)));
		names_add(&spaces, xstrdup(o->ns));
		if (strlen(o->ns) == n && !strncmp(o->ns, who, n))
			names_add(&here, xstrdup(pod_of(o)));
	}
	rc = here.n ? say_names(who, "no such pod", &pods, &here, "in this namespace are ", e)
		    : say_names(who, "no such pod", &pods, &spaces, "there are pods in ", e);
	names_done(&pods);
	names_done(&here);
	names_done(&spaces);
	return rc;
}

static int no_host(const struct policy_world *w, const char *who, struct err *e)
{
	struct names all = { 0 };
	int rc;

	for (const struct object *o = NULL; (o = policy_world_next(w, "WorkloadEndpoint", o));)
		if (!strcmp(pod_of(o), who))
			return err_set(e, -ENOENT,
				       "%.80s: no node of this name; did you mean the pod %s/%s?",
				       who, o->ns, pod_of(o));
	for (const struct object *o = NULL; (o = policy_world_next(w, "Node", o));)
		names_add(&all, xstrdup(o->name));
	rc = say_names(
		who, "is no NAMESPACE/POD, no address, and no node or host endpoint has this name",
		&all, &all, "nodes are ", e);
	names_done(&all);
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
		set_host(w, text_at(o, "spec.node"), o, family, out);
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
		struct prefix own =
			node_net(policy_world_find(w, "Node", NULL, out->at.node), family);

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

/* ---- between them ---- */

static bool find_pool(const struct policy_world *w, const struct addr *a, struct ippool *out)
{
	for (const struct object *o = NULL; (o = policy_world_next(w, "IPPool", o));) {
		if (ippool_decode(o, out, NULL) < 0)
			continue;
		if (prefix_contains(&out->cidr, a))
			return true;
		ippool_done(out);
	}
	return false;
}

static bool is_tunnelled(const struct policy_world *w, enum encap_mode mode, const char *a,
			 const char *b, enum ip_family family)
{
	struct prefix one = node_net(policy_world_find(w, "Node", NULL, a), family);
	struct prefix two = node_net(policy_world_find(w, "Node", NULL, b), family);

	if (mode != ENCAP_CROSS_SUBNET)
		return mode == ENCAP_ALWAYS;
	return !one.addr.family || !prefix_contains(&one, &two.addr);
}

static void note(json_t *notes, const char *fmt, ...) PRINTF(2, 3);
static void note(json_t *notes, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	json_array_append_new(notes, js_text(text));
	free(text);
}

static void through_tunnel(const struct policy_world *w, const struct ippool *pool,
			   struct policy_end *from, struct policy_end *to, json_t *notes)
{
	const struct object *node = policy_world_find(w, "Node", NULL, from->at.node);
	bool ipip = pool->ipip != ENCAP_NEVER;
	const char *path = ipip			      ? "spec.bgp.ipv4IPIPTunnelAddr"
			   : to->addr.family == IP_V6 ? "spec.ipv6VXLANTunnelAddr"
						      : "spec.ipv4VXLANTunnelAddr";
	struct addr a;

	note(notes,
	     "between %s and %s packets go through a tunnel (pool %s): of host endpoints only "
	     "\"*\" "
	     "sees them",
	     from->at.node, to->at.node, pool->name);
	from->at.uplink = to->at.uplink = NULL;
	if (from->at.place == EXPLAIN_HOST && node && addr_parse(text_at(node, path), &a))
		from->addr = a;
}

static void note_outside(const struct policy_world *w, const struct policy_end *end, json_t *notes)
{
	struct ippool pool;

	if (end->at.place != EXPLAIN_OUTSIDE || !find_pool(w, &end->addr, &pool))
		return;
	note(notes, "%s is in pool %s, but no pod has it now", end->name, pool.name);
	ippool_done(&pool);
}

static void note_guess(const struct policy_world *w, const struct policy_end *end, json_t *notes)
{
	const struct object *o =
		end->at.uplink ? policy_world_find(w, "HostEndpoint", NULL, end->at.uplink) : NULL;

	if (o && !json_array_size(js_at(o->json, "spec.expectedIPs")))
		note(notes, "taken to pass interface %s of %s, where host endpoint %s is",
		     text_at(o, "spec.interfaceName"), end->at.node, o->name);
}

void policy_ends_meet(const struct policy_world *w, struct policy_end *from, struct policy_end *to,
		      json_t *notes)
{
	struct ippool pool;

	note_outside(w, from, notes);
	note_outside(w, to, notes);
	if (str_eq(from->at.node, to->at.node))
		return;
	if (from->at.node && to->at.place == EXPLAIN_POD && find_pool(w, &to->addr, &pool)) {
		enum encap_mode mode =
			(enum encap_mode)(pool.ipip != ENCAP_NEVER ? pool.ipip : pool.vxlan);

		if (is_tunnelled(w, mode, from->at.node, to->at.node,
				 (enum ip_family)to->addr.family))
			through_tunnel(w, &pool, from, to, notes);
		ippool_done(&pool);
	}
	note_guess(w, from, notes);
	note_guess(w, to, notes);
}

/* ---- named ports ---- */

int policy_end_port(const struct policy_end *end, uint8_t proto, const char *name, uint16_t *port,
		    struct err *e)
{
	json_t *list = end->object ? js_at(end->object->json, "spec.ports") : NULL, *v;
	struct names names = { 0 };
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
			names_done(&names);
			*port = (uint16_t)n;
			return 0;
		}
		names_add(&names, xstrdup(text));
	}
	rc = say_names(name, "no port of this name and protocol at the destination", &names, &names,
		       "it has ", e);
	names_done(&names);
	return rc;
}
