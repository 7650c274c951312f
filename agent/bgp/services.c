/* services.c - which addresses of Kubernetes' services this node announces
 * SHAPE  Kept: of a service its addresses and what kind each is; of a slice whether it has ready
 *        endpoints, here or anywhere, summed up by service and family. The answer is made anew as a
 *        whole: ten thousand services are a few milliseconds, and two that share an address need no
 *        counting.
 * TESTS  tests/unit/agent/services.c, tests/netns/test_services.py */
#include "agent/bgp/services.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "bgp/speaker.h"
#include "lib/str.h"
#include "model/endpointslice.h"
#include "model/service.h"

enum addr_kind {
	ADDR_CLUSTER,
	ADDR_EXTERNAL,
	ADDR_BALANCER,
};

struct address {
	struct addr addr;
	enum addr_kind kind;
};

struct known_service {
	char *key;
	bool local, cluster; /* externalTrafficPolicy; neither: it has none */
	bool balancer;	     /* type LoadBalancer */
	struct addr wanted;  /* loadBalancerIP; IP_NONE: none */
	VEC(struct address) addrs;
	UT_hash_handle hh;
};

/* Endpoints of a service, whether that is known or not: how many slices have some. */
struct endpoints {
	char *key;
	unsigned slices, ready[BGP_AF_MAX_], here[BGP_AF_MAX_];
	UT_hash_handle hh;
};

struct known_slice {
	char *key;
	struct endpoints *of;
	enum bgp_af af;
	bool ready, here;
	UT_hash_handle hh;
};

struct services {
	char *node;
	struct known_service *services;
	struct known_slice *slices;
	struct endpoints *endpoints;
};

void service_ranges_done(struct service_ranges *r)
{
	vec_done(&r->cluster);
	vec_done(&r->external);
	vec_done(&r->balancer);
}

/* ---- what is known ---- */

struct services *services_new(const char *node)
{
	struct services *s = xcalloc(1, sizeof(*s));

	s->node = xstrdup(node);
	return s;
}

void services_drop(struct services *s, const char *key)
{
	struct known_service *k;

	HASH_FIND_STR(s->services, key, k);
	if (!k)
		return;
	HASH_DEL(s->services, k);
	vec_done(&k->addrs);
	free(k->key);
	free(k);
}

static void add_address(struct known_service *k, const char *text, enum addr_kind kind)
{
	struct address a = { .kind = kind };

	if (text && addr_parse(text, &a.addr) && k->addrs.n < SERVICE_ADDRESSES_MAX)
		vec_push(&k->addrs, a);
}

/* The first is the one that counts: without it the service is headless. */
static const char *first_cluster_ip(const struct service *svc)
{
	if (svc->cluster_ip && *svc->cluster_ip)
		return svc->cluster_ip;
	return svc->cluster_ips.n ? svc->cluster_ips.p[0] : NULL;
}

static bool has_addresses(const struct service *svc)
{
	const char *ip = first_cluster_ip(svc);
	struct addr a;

	return svc->type != SERVICE_EXTERNAL_NAME && ip && addr_parse(ip, &a);
}

static void add_addresses(struct known_service *k, const struct service *svc,
			  const struct service_status *status)
{
	if (svc->cluster_ips.n)
		for (size_t i = 0; i < svc->cluster_ips.n; i++)
			add_address(k, svc->cluster_ips.p[i], ADDR_CLUSTER);
	else
		add_address(k, svc->cluster_ip, ADDR_CLUSTER);
	for (size_t i = 0; i < svc->external_ips.n; i++)
		add_address(k, svc->external_ips.p[i], ADDR_EXTERNAL);
	for (size_t i = 0; i < status->balancer.ingress.n; i++)
		add_address(k, status->balancer.ingress.p[i].ip, ADDR_BALANCER);
	if (svc->load_balancer_ip)
		addr_parse(svc->load_balancer_ip, &k->wanted);
}

/* Kubernetes writes Cluster into what has ports on nodes or external addresses, and leaves it out of
 * all else. */
static bool is_cluster(const struct service *svc)
{
	if (svc->has_traffic)
		return svc->traffic == SERVICE_TRAFFIC_CLUSTER;
	return svc->type != SERVICE_CLUSTER_IP || svc->external_ips.n;
}

void services_put(struct services *s, const char *key, const struct service *svc,
		  const struct service_status *status)
{
	struct known_service *k;

	services_drop(s, key);
	if (!has_addresses(svc))
		return;
	k = xcalloc(1, sizeof(*k));
	k->key = xstrdup(key);
	k->local = svc->has_traffic && svc->traffic == SERVICE_TRAFFIC_LOCAL;
	k->cluster = is_cluster(svc);
	k->balancer = svc->type == SERVICE_LOAD_BALANCER;
	add_addresses(k, svc, status);
	HASH_ADD_KEYPTR(hh, s->services, k->key, strlen(k->key), k);
}

static struct endpoints *endpoints_get(struct services *s, const char *service)
{
	struct endpoints *e;

	HASH_FIND_STR(s->endpoints, service, e);
	if (e)
		return e;
	e = xcalloc(1, sizeof(*e));
	e->key = xstrdup(service);
	HASH_ADD_KEYPTR(hh, s->endpoints, e->key, strlen(e->key), e);
	return e;
}

void services_drop_slice(struct services *s, const char *key)
{
	struct known_slice *k;
	struct endpoints *e;

	HASH_FIND_STR(s->slices, key, k);
	if (!k)
		return;
	e = k->of;
	e->ready[k->af] -= k->ready;
	e->here[k->af] -= k->here;
	if (--e->slices == 0) {
		HASH_DEL(s->endpoints, e);
		free(e->key);
		free(e);
	}
	HASH_DEL(s->slices, k);
	free(k->key);
	free(k);
}

/* What a slice says, beside its key and its service. Of names in place of addresses: nothing. */
static struct known_slice slice_says(const struct services *s, const struct endpointslice *slice)
{
	struct known_slice k = { .af = BGP_AF_IPV4_UNICAST };

	if (slice->address_type == SLICE_IPV6)
		k.af = BGP_AF_IPV6_UNICAST;
	for (size_t i = 0; i < slice->endpoints.n && slice->address_type != SLICE_FQDN; i++) {
		const struct slice_endpoint *one = &slice->endpoints.p[i];

		if (!one->conditions.ready)
			continue;
		k.ready = true;
		k.here |= one->node && strcmp(one->node, s->node) == 0;
	}
	return k;
}

bool services_put_slice(struct services *s, const char *key, const char *service,
			const struct endpointslice *slice)
{
	struct known_slice says = slice_says(s, slice), *k;

	HASH_FIND_STR(s->slices, key, k);
	if (k && strcmp(k->of->key, service) == 0 && k->af == says.af && k->ready == says.ready &&
	    k->here == says.here)
		return false;
	services_drop_slice(s, key);
	k = xmemdup(&says, sizeof(says));
	k->key = xstrdup(key);
	k->of = endpoints_get(s, service);
	k->of->slices++;
	k->of->ready[k->af] += k->ready;
	k->of->here[k->af] += k->here;
	HASH_ADD_KEYPTR(hh, s->slices, k->key, strlen(k->key), k);
	return true;
}

void services_free(struct services *s)
{
	struct known_service *k, *next;
	struct known_slice *slice, *next_slice;

	if (!s)
		return;
	HASH_ITER (hh, s->services, k, next)
		services_drop(s, k->key);
	HASH_ITER (hh, s->slices, slice, next_slice)
		services_drop_slice(s, slice->key);
	free(s->node);
	free(s);
}

/* ---- what is announced ---- */

struct answer {
	const struct services *s;
	const struct service_ranges *r;
	struct services_out *out;
};

static bool is_single(const struct prefix *p)
{
	return p->len == addr_bits((enum ip_family)p->addr.family);
}

static bool is_inside(const struct prefix *ranges, size_t n, const struct addr *a, bool single)
{
	struct prefix host = prefix_of(a, addr_bits((enum ip_family)a->family));

	for (size_t i = 0; i < n; i++)
		if ((!single || is_single(&ranges[i])) && prefix_covers(&ranges[i], &host))
			return true;
	return false;
}

/* May it be announced at all? Of cluster addresses all, as soon as any are: Calico's rule. */
static bool is_allowed(const struct service_ranges *r, const struct address *a)
{
	switch (a->kind) {
	case ADDR_CLUSTER:
		return r->cluster.n > 0;
	case ADDR_EXTERNAL:
		return is_inside(r->external.p, r->external.n, &a->addr, false);
	case ADDR_BALANCER:
		return is_inside(r->balancer.p, r->balancer.n, &a->addr, false);
	}
	return false;
}

/* Is one of its addresses given by itself in the configuration, so that no range announces it? Its
 * field; NULL: none is. */
static const char *single_field(const struct answer *q, const struct known_service *k)
{
	const struct service_ranges *r = q->r;

	if (k->balancer && k->wanted.family &&
	    is_inside(r->balancer.p, r->balancer.n, &k->wanted, true))
		return "serviceLoadBalancerIPs";
	for (size_t i = 0; i < k->addrs.n; i++) {
		const struct address *a = &k->addrs.p[i];

		if (k->balancer && a->kind == ADDR_BALANCER &&
		    is_inside(r->balancer.p, r->balancer.n, &a->addr, true))
			return "serviceLoadBalancerIPs";
		if (a->kind == ADDR_EXTERNAL &&
		    is_inside(r->external.p, r->external.n, &a->addr, true))
			return "serviceExternalIPs";
	}
	return NULL;
}

static void add_route(struct answer *q, const struct prefix *p, char *why)
{
	vec_push(&q->out->route, (struct bgp_service_route) { *p, why });
}

static void add_service_route(struct answer *q, const struct known_service *k, const struct addr *a,
			      const char *policy, const char *cause)
{
	struct prefix p = prefix_of(a, addr_bits((enum ip_family)a->family));

	add_route(q, &p,
		  xasprintf("service %s, externalTrafficPolicy %s, %s", k->key, policy, cause));
}

static void answer_service(struct answer *q, const struct known_service *k)
{
	const char *single = k->cluster ? single_field(q, k) : NULL;
	CLEANUP(freep)
	char *entry = single ? xasprintf("an address of its own in %s", single) : NULL;
	const struct endpoints *e;

	HASH_FIND_STR(q->s->endpoints, k->key, e);
	for (size_t i = 0; i < k->addrs.n; i++) {
		const struct address *a = &k->addrs.p[i];
		enum bgp_af af = bgp_af_of((enum ip_family)a->addr.family);

		if (!is_allowed(q->r, a))
			continue;
		if (k->local && e && e->here[af])
			add_service_route(q, k, &a->addr, "Local", "a ready endpoint here");
		else if (single)
			add_service_route(q, k, &a->addr, "Cluster", entry);
		else if (k->cluster && q->r->apart && e && e->ready[af])
			add_service_route(q, k, &a->addr, "Cluster",
					  "a ready endpoint, serviceLoadBalancerAggregation "
					  "Disabled");
	}
}

/* Whole ranges. except: entries of one address are for services to announce. */
static void answer_ranges(struct answer *q, const struct prefix *p, size_t n, const char *by,
			  bool except)
{
	for (size_t i = 0; i < n; i++)
		if (!except || !is_single(&p[i]))
			add_route(q, &p[i], xstrdup(by));
}

static void add_served(struct services_out *out, const struct prefix *p, bool reflect,
		       bool no_kernel)
{
	vec_push(&out->range, (struct bgp_served_range) { *p, reflect, no_kernel });
}

/* Also where nothing is announced: who gets there sends on by the node's own rules. */
static void answer_served(const struct service_ranges *r, struct services_out *out)
{
	for (size_t i = 0; i < r->cluster.n; i++)
		add_served(out, &r->cluster.p[i], false, true);
	for (size_t i = 0; i < r->external.n; i++)
		add_served(out, &r->external.p[i], true, !is_single(&r->external.p[i]));
	for (size_t i = 0; i < r->balancer.n; i++)
		add_served(out, &r->balancer.p[i], true,
			   !r->apart && !is_single(&r->balancer.p[i]));
}

static int route_order(const void *a, const void *b)
{
	const struct bgp_service_route *x = a, *y = b;
	int c = prefix_cmp(&x->prefix, &y->prefix);

	return c ? c : strcmp(x->why, y->why);
}

static void route_free(struct bgp_service_route *r)
{
	free((char *)(uintptr_t)r->why);
}

/* Several causes for one prefix are one route: the first, and how many there are. */
static void merge(struct services_out *out)
{
	size_t kept = 0;

	if (out->route.n)
		qsort(out->route.p, out->route.n, sizeof(*out->route.p), route_order);
	for (size_t i = 0, end; i < out->route.n; i = end) {
		struct bgp_service_route first = out->route.p[i];

		for (end = i + 1;
		     end < out->route.n && prefix_eq(&out->route.p[end].prefix, &first.prefix);
		     end++)
			route_free(&out->route.p[end]);
		if (end - i > 1) {
			char *more = xasprintf("%s; and %zu more", first.why, end - i - 1);

			route_free(&first);
			first.why = more;
		}
		out->route.p[kept++] = first;
	}
	out->route.n = kept;
}

void services_announced(const struct services *s, const struct service_ranges *r, bool excluded,
			struct services_out *out)
{
	struct answer q = { s, r, out };

	*out = (struct services_out) { 0 };
	answer_served(r, out);
	if (excluded)
		return;
	answer_ranges(&q, r->cluster.p, r->cluster.n,
		      r->cluster_by ? r->cluster_by
				    : "serviceClusterIPs of BGPConfiguration default",
		      false);
	answer_ranges(&q, r->external.p, r->external.n,
		      "serviceExternalIPs of BGPConfiguration default", true);
	if (!r->apart)
		answer_ranges(&q, r->balancer.p, r->balancer.n,
			      "serviceLoadBalancerIPs of BGPConfiguration default", true);
	for (const struct known_service *k = s->services; k; k = k->hh.next)
		answer_service(&q, k);
	merge(out);
}

/* NULL: nothing is against it. */
static const char *obstacle(const struct answer *q, const struct known_service *k,
			    const struct address *a, bool excluded)
{
	static const char *const not_asked_for[] = {
		[ADDR_CLUSTER] = "no serviceClusterIPs are asked for",
		[ADDR_EXTERNAL] = "outside of serviceExternalIPs",
		[ADDR_BALANCER] = "outside of serviceLoadBalancerIPs",
	};
	enum bgp_af af = bgp_af_of((enum ip_family)a->addr.family);
	const struct endpoints *e;

	HASH_FIND_STR(q->s->endpoints, k->key, e);
	if (!is_allowed(q->r, a))
		return not_asked_for[a->kind];
	if (excluded)
		return "this node's label " SERVICE_EXCLUDE_LABEL " excludes it";
	if (k->local)
		return e && e->here[af] ? NULL
					: "externalTrafficPolicy Local, no ready endpoint here";
	if (!k->cluster)
		return "it has no externalTrafficPolicy: its range alone is announced";
	if (single_field(q, k))
		return NULL;
	if (!q->r->apart)
		return "externalTrafficPolicy Cluster: its range alone is announced";
	return e && e->ready[af] ? NULL
				 : "externalTrafficPolicy Cluster, no ready endpoint anywhere";
}

char *services_why_not(const struct services *s, const struct service_ranges *r, bool excluded,
		       const struct prefix *p)
{
	struct answer q = { s, r, NULL };
	const char *why;

	for (const struct known_service *k = s->services; k && is_single(p); k = k->hh.next)
		for (size_t i = 0; i < k->addrs.n; i++)
			if (addr_eq(&k->addrs.p[i].addr, &p->addr) &&
			    (why = obstacle(&q, k, &k->addrs.p[i], excluded)))
				return xasprintf("service %s: %s", k->key, why);
	return NULL;
}

void services_out_done(struct services_out *out)
{
	for (size_t i = 0; i < out->route.n; i++)
		route_free(&out->route.p[i]);
	vec_done(&out->route);
	vec_done(&out->range);
}
