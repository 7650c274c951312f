/* endpoints.c - the workloads of this node in its kernel
 *
 * SHAPE  endpoint = key + decoded WorkloadEndpoint + the claims it has in the route table. Changes
 * of the picture, link events and CNI calls all end in endpoint_set_up or endpoint_claim. WHY The
 * route table waits for interfaces by itself (a claim names its interface), so a veth that goes and
 * comes needs only its sysctls again. INVARIANTS  an endpoint's claims carry its own number: two
 * endpoints on one address do not undo each other, the newer interface wins. */
#include "agent/cni/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "agent/felix.h"
#include "agent/log.h"
#include "agent/policy/policing.h"
#include "agent/cni/flows.h"
#include "agent/routes.h"
#include "dataplane/netlink.h"
#include "dataplane/sysctl.h"
#include "dataplane/veth.h"
#include "dataplane/workload.h"

struct endpoint {
	char *key;
	struct epobj w;
	uint32_t id;	       /* number of its claims */
	int64_t missing_since; /* ms; 0: the interface is there */
	bool reported;
	UT_hash_handle hh;
};

struct endpoints {
	struct agent *agent;
	struct endpoint *all;
	struct event *check; /* for missing interfaces */
	struct nl_sock nl;
	struct flows *flows;
	uint32_t next_id;
	bool claimed;
};

/* ---- routes ---- */

static struct route_key net_key(const struct prefix *net)
{
	return (struct route_key) { .dst = *net };
}

static void endpoint_claim(struct endpoints *eps, struct endpoint *ep)
{
	struct route_table *rt = routes_table(eps->agent->routes);
	struct route_nh nh = { 0 };
	/* Protocol boot and no metric: what `ip route add` and Calico's plugin make, and what every
	 * tool around Calico expects to see. */
	struct route_spec spec = {
		.protocol = ROUTE_PROTO_BOOT, .scope = ROUTE_SCOPE_LINK, .n_nh = 1, .nh = &nh
	};

	if (!*ep->w.ifname)
		return;
	str_copy(nh.ifname, sizeof(nh.ifname), ep->w.ifname);
	for (unsigned i = 0; i < ep->w.n_nets; i++) {
		struct route_key key = net_key(&ep->w.nets[i]);
		struct err e = { 0 };

		flows_settle(eps->flows, &key.dst.addr);
		spec.scope = key.dst.addr.family == IP_V4 ? ROUTE_SCOPE_LINK : ROUTE_SCOPE_GLOBAL;
		if (route_desire(rt, ROUTE_CLASS_WORKLOAD, ep->id, &key, &spec, &e) < 0)
			log_warn("endpoints", "route of a workload cannot be, it is left out",
				 "key=%s why=%s", ep->key, e.msg);
	}
	routes_changed(eps->agent->routes);
}

static void endpoint_unclaim(struct endpoints *eps, struct endpoint *ep)
{
	for (unsigned i = 0; i < ep->w.n_nets; i++) {
		struct route_key key = net_key(&ep->w.nets[i]);

		route_forget(routes_table(eps->agent->routes), ROUTE_CLASS_WORKLOAD, ep->id, &key);
	}
	routes_changed(eps->agent->routes);
}

static bool epobj_has(const struct epobj *w, const struct addr *a)
{
	for (unsigned i = 0; w && i < w->n_nets; i++)
		if (addr_eq(&w->nets[i].addr, a))
			return true;
	return false;
}

/* Flows of addresses that this container has no more. now NULL: it is gone. */
static void endpoint_forget_flows(struct endpoints *eps, const struct endpoint *ep,
				  const struct epobj *now)
{
	if (now && strcmp(now->container_id, ep->w.container_id) != 0)
		now = NULL;
	for (unsigned i = 0; i < ep->w.n_nets; i++)
		if (!epobj_has(now, &ep->w.nets[i].addr))
			flows_forget(eps->flows, &ep->w.nets[i].addr);
}

/* ---- the host end ---- */

static struct workload_if endpoint_if(const struct endpoints *eps, const struct endpoint *ep)
{
	const struct felix *felix = eps->agent->felix;
	struct workload_if w = {
		.ifname = ep->w.ifname,
		/* Which sources those are is looked at by the rules. */
		.any_source = ep->w.any_source && policing_on(eps->agent->policing) &&
			      felix_config(felix)->source_spoofing,
	};

	for (unsigned i = 0; i < ep->w.n_nets; i++)
		if (ep->w.nets[i].addr.family == IP_V6)
			w.ipv6 = true;
	/* DIFFERS: Calico's agent without IPv6 support leaves the link-local addresses of host and pod to
	 * themselves, and no policy stands between them. */
	w.no_ipv6 = !w.ipv6 && !policing_can(eps->agent->policing, IP_V6, NULL);
	return w;
}

/* The kernel forwards IPv6 only where it does for all interfaces; pods may have IPv6 on a node that
 * has no address of its own. */
static int forward_ipv6(const struct endpoints *eps, const struct workload_if *w, struct err *e)
{
	if (!w->ipv6 || !eps->agent->cfg->ip_forward)
		return 0;
	return sysctl_set("net/ipv6/conf/all/forwarding", "1", e);
}

static int endpoint_set_up(struct endpoints *eps, struct endpoint *ep, uint32_t ifindex,
			   struct err *e)
{
	struct workload_if w = endpoint_if(eps, ep);
	int rc = forward_ipv6(eps, &w, e);

	if (!rc)
		rc = workload_sysctls(&w, e);
	for (unsigned i = 0; !rc && ep->w.has_mac && i < ep->w.n_nets; i++)
		if (ep->w.nets[i].len == addr_bits(ep->w.nets[i].addr.family))
			rc = workload_neighbour(&eps->nl, ifindex, &ep->w.nets[i].addr, ep->w.mac,
						e);
	return rc;
}

/* The interface is there: bring it into shape; it is only said when that fails. */
static void endpoint_adopt(struct endpoints *eps, struct endpoint *ep)
{
	const struct link *l = *ep->w.ifname ? link_by_name(eps->agent->links, ep->w.ifname) : NULL;
	struct err e = { 0 };

	if (!l) {
		if (!ep->missing_since)
			ep->missing_since = agent_now_ms();
		return;
	}
	if (ep->reported)
		log_info("endpoints", "interface of a workload is back", "interface=%s key=%s",
			 ep->w.ifname, ep->key);
	ep->missing_since = 0;
	ep->reported = false;
	if (l->up && endpoint_set_up(eps, ep, l->index, &e) < 0)
		log_warn("endpoints",
			 "workload's interface is not as it should be, its next event tries again",
			 "interface=%s why=%s", ep->w.ifname, e.msg);
}

/* ---- the set ---- */

static struct endpoint *endpoint_find(const struct endpoints *eps, const char *key)
{
	struct endpoint *ep;

	HASH_FIND_STR(eps->all, key, ep);
	return ep;
}

static void endpoint_free(struct endpoints *eps, struct endpoint *ep)
{
	HASH_DEL(eps->all, ep);
	epobj_done(&ep->w);
	free(ep->key);
	free(ep);
}

static void endpoint_drop(struct endpoints *eps, struct endpoint *ep)
{
	endpoint_unclaim(eps, ep);
	endpoint_forget_flows(eps, ep, NULL);
	endpoint_free(eps, ep);
}

/* Consumes w. NULL when there are too many. */
static struct endpoint *endpoint_put(struct endpoints *eps, const char *key, struct epobj *w)
{
	struct endpoint *ep = endpoint_find(eps, key);

	if (ep) {
		endpoint_unclaim(eps, ep);
		endpoint_forget_flows(eps, ep, w);
		epobj_done(&ep->w);
	} else if (HASH_COUNT(eps->all) >= ENDPOINTS_MAX) {
		epobj_done(w);
		return NULL;
	} else {
		ep = xcalloc(1, sizeof(*ep));
		ep->key = xstrdup(key);
		ep->id = ++eps->next_id;
		HASH_ADD_KEYPTR(hh, eps->all, ep->key, strlen(ep->key), ep);
	}
	ep->w = *w;
	memset(w, 0, sizeof(*w));
	endpoint_claim(eps, ep);
	return ep;
}

static bool epobj_same(const struct epobj *a, const struct epobj *b)
{
	return !strcmp(a->container_id, b->container_id) && !strcmp(a->ifname, b->ifname) &&
	       a->n_nets == b->n_nets &&
	       !memcmp(a->nets, b->nets, a->n_nets * sizeof(a->nets[0])) &&
	       a->has_mac == b->has_mac && !memcmp(a->mac, b->mac, 6) &&
	       a->any_source == b->any_source;
}

static void endpoint_changed(struct endpoints *eps, const struct store_kv *kv)
{
	struct endpoint *ep = endpoint_find(eps, kv->key);
	struct err e = { 0 };
	struct epobj w;

	if (epobj_decode(&w, kv->value, &e) < 0) {
		log_warn("endpoints", "WorkloadEndpoint is not valid, what was known of it stays",
			 "key=%s why=%s", kv->key, e.msg);
		return;
	}
	if (strcmp(w.node, eps->agent->cfg->node) != 0) {
		epobj_done(&w);
		if (ep)
			endpoint_drop(eps, ep);
		return;
	}
	/* Our own ADD has attached it before it was stored. */
	if (ep && epobj_same(&ep->w, &w)) {
		epobj_done(&w);
		return;
	}
	ep = endpoint_put(eps, kv->key, &w);
	if (ep)
		endpoint_adopt(eps, ep);
	else
		log_error("endpoints", "too many workloads on this node, this one gets no route",
			  "key=%s limit=%d", kv->key, ENDPOINTS_MAX);
}

static void on_change(void *arg, const struct store_kv *kv)
{
	struct endpoints *eps = arg;
	struct endpoint *ep;

	if (!kv) {
		if (!eps->claimed)
			routes_claimed(eps->agent->routes, ROUTES_ENDPOINTS);
		eps->claimed = true;
		return;
	}
	if (kv->value) {
		endpoint_changed(eps, kv);
		return;
	}
	ep = endpoint_find(eps, kv->key);
	if (ep)
		endpoint_drop(eps, ep);
}

static void on_link(void *arg, enum link_event ev, const struct link *l, const struct prefix *addr)
{
	struct endpoints *eps = arg;
	struct endpoint *ep, *tmp;

	if (ev == LINK_ADDR_NEW || ev == LINK_ADDR_GONE)
		return;
	HASH_ITER (hh, eps->all, ep, tmp)
		if (!strcmp(ep->w.ifname, l->name))
			endpoint_adopt(eps, ep);
}

static void on_check(evutil_socket_t fd, short what, void *arg)
{
	struct endpoints *eps = arg;
	struct endpoint *ep, *tmp;
	int64_t now = agent_now_ms();

	HASH_ITER (hh, eps->all, ep, tmp) {
		if (!ep->missing_since || ep->reported ||
		    now - ep->missing_since < ENDPOINT_MISSING_S * 1000)
			continue;
		ep->reported = true;
		log_warn("endpoints",
			 "workload has no interface, its address stays taken until its DEL or a GC "
			 "comes",
			 "interface=%s container=%s key=%s", ep->w.ifname, ep->w.container_id,
			 ep->key);
	}
}

/* ---- life ---- */

/* Whether pods may send from other sources is such a setting. */
static void on_settings(void *arg)
{
	struct endpoints *eps = arg;

	for (struct endpoint *ep = eps->all; ep; ep = ep->hh.next)
		if (ep->w.any_source)
			endpoint_adopt(eps, ep);
}

int endpoints_new(struct endpoints **out, struct agent *a, struct err *e)
{
	const struct timeval every = { .tv_sec = ENDPOINT_MISSING_S / 2 };
	struct endpoints *eps = xcalloc(1, sizeof(*eps));
	int rc;

	eps->agent = a;
	rc = nl_open(&eps->nl, e);
	if (rc < 0) {
		free(eps);
		return rc;
	}
	eps->flows = flows_new(a->base);
	eps->check = event_new(a->base, -1, EV_PERSIST, on_check, eps);
	event_add(eps->check, &every);
	link_table_watch(a->links, on_link, eps);
	if (a->felix)
		felix_watch(a->felix, on_settings, eps);
	cache_subscribe(a->cache, WEP_KEYS, on_change, eps);
	*out = eps;
	return 0;
}

void endpoints_free(struct endpoints *eps)
{
	struct endpoint *ep, *tmp;

	if (!eps)
		return;
	HASH_ITER (hh, eps->all, ep, tmp)
		endpoint_free(eps, ep);
	event_free(eps->check);
	flows_free(eps->flows);
	nl_close(&eps->nl);
	free(eps);
}

/* ---- CNI ---- */

static int routes_there(struct endpoints *eps, const struct endpoint *ep, struct err *e)
{
	const struct route_table *rt = routes_table(eps->agent->routes);
	char buf[PREFIX_STR_MAX];

	for (unsigned i = 0; i < ep->w.n_nets; i++) {
		struct route_key key = net_key(&ep->w.nets[i]);
		enum route_state st = route_state(rt, &key);

		if (st == ROUTE_IN_KERNEL)
			continue;
		prefix_format(&key.dst, buf);
		if (st == ROUTE_CONFLICT)
			return err_set(e, -EEXIST,
				       "route %s exists for another interface than %s and is not "
				       "ours; remove it "
				       "(ip route del %s)",
				       buf, ep->w.ifname, buf);
		return err_set(e, -EAGAIN, "route %s dev %s is not in the kernel: %s", buf,
			       ep->w.ifname, route_state_text(st));
	}
	return 0;
}

static struct epobj epobj_dup(const struct epobj *w)
{
	struct epobj d = *w;

	d.node = xstrdup(w->node);
	d.container_id = xstrdup(w->container_id);
	d.endpoint = xstrdup(w->endpoint);
	d.ifname = xstrdup(w->ifname);
	return d;
}

static int attach(struct endpoints *eps, struct endpoint *ep, uint32_t ifindex, struct err *e)
{
	int rc = endpoint_set_up(eps, ep, ifindex, e);

	if (!rc)
		rc = routes_flush(eps->agent->routes, e);
	if (!rc)
		rc = routes_there(eps, ep, e);
	return rc;
}

int endpoints_attach(struct endpoints *eps, const char *key, const struct epobj *w,
		     uint32_t ifindex, struct err *e)
{
	struct epobj copy = epobj_dup(w);
	struct endpoint *ep;
	const struct link *l;
	int rc;

	/* The plugin made the link before it spoke: its event waits in our socket by now. */
	rc = link_table_read(eps->agent->links, e);
	l = link_by_name(eps->agent->links, w->ifname);
	if (rc < 0 || !l || l->index != ifindex) {
		epobj_done(&copy);
		return rc < 0 ? rc
			      : err_set(e, -ENODEV, "host interface %s with index %u is not there",
					w->ifname, ifindex);
	}
	ep = endpoint_put(eps, key, &copy);
	if (!ep)
		return err_set(e, -ENOSPC, "%d workloads on this node already", ENDPOINTS_MAX);
	ep->missing_since = 0;
	rc = attach(eps, ep, ifindex, e);
	if (rc < 0)
		endpoint_drop(eps, ep);
	return rc;
}

void endpoints_detach(struct endpoints *eps, const char *key, const char *container_id)
{
	struct endpoint *ep = endpoint_find(eps, key);

	if (ep && (!*container_id || !strcmp(ep->w.container_id, container_id)))
		endpoint_drop(eps, ep);
}

void endpoints_unlink(struct endpoints *eps, const char *key)
{
	struct endpoint *ep = endpoint_find(eps, key);
	const struct link *l =
		ep && *ep->w.ifname ? link_by_name(eps->agent->links, ep->w.ifname) : NULL;
	struct nl_buf b = { 0 };
	struct err e = { 0 };

	/* Only what looks like the host end of a pod, whatever the object says. */
	if (!l || strcmp(l->kind, "veth") != 0 ||
	    !str_starts(l->name, eps->agent->cfg->interface_prefix))
		return;
	veth_put_delete(&b, l->index);
	if (nl_run(&eps->nl, &b, &e) < 0)
		log_warn("endpoints", "interface of a workload that is gone cannot be removed",
			 "interface=%s why=%s", l->name, e.msg);
	nl_buf_done(&b);
}

int endpoints_verify(struct endpoints *eps, const char *key, struct err *e)
{
	struct endpoint *ep = endpoint_find(eps, key);
	struct workload_if w;
	const struct link *l;
	int rc;

	if (!ep)
		return err_set(e, -ESTALE, "no WorkloadEndpoint is known");
	rc = link_table_read(eps->agent->links, e);
	if (rc < 0)
		return rc;
	l = link_by_name(eps->agent->links, ep->w.ifname);
	if (!l)
		return err_set(e, -ESTALE, "host interface %s is not there", ep->w.ifname);
	if (!l->up)
		return err_set(e, -ESTALE, "host interface %s is down", ep->w.ifname);
	w = endpoint_if(eps, ep);
	rc = workload_sysctls_check(&w, e);
	return rc ? rc : routes_there(eps, ep, e);
}

struct endpoints_counts endpoints_count(const struct endpoints *eps)
{
	struct endpoints_counts n = { 0 };
	struct endpoint *ep, *tmp;

	HASH_ITER (hh, eps->all, ep, tmp) {
		n.n++;
		n.missing += ep->missing_since != 0;
	}
	return n;
}
