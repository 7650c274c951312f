/* services.h - which addresses of Kubernetes' services this node announces. Pure.
 *
 * SPEC  Calico's rules: ranges by every node, whole; besides them single addresses, of a service with
 *       externalTrafficPolicy Local where it has a ready endpoint, of others where nothing announces
 *       the range around them. A headless service and one of type ExternalName: never.
 *       DIFFERS: families are looked at apart, where Calico takes an endpoint of either for both; a
 *       slice that goes takes its addresses along at once, where Calico waits for the next event. A
 *       single address has no blackhole in this node's kernel, where Calico's (calico#9152, #3689)
 *       keeps the node's own processes from the service; rules against loops are policy's. */
#pragma once

#include "lib/addr.h"
#include "lib/vec.h"

struct bgp_served_range;
struct bgp_service_route;
struct endpointslice;
struct service;
struct service_status;

/* Of BGPConfiguration `default`. */
struct service_ranges {
	VEC(struct prefix) cluster, external, balancer;
	const char *cluster_by; /* who says the first; NULL: serviceClusterIPs */
	bool apart; /* serviceLoadBalancerAggregation Disabled: no range of the third, but each address */
};

void service_ranges_done(struct service_ranges *r);

/* Services and their endpoints, as far as this node cares. */
struct services;

struct services *services_new(const char *node);
void services_free(struct services *s);
/* key: "namespace/name". */
void services_put(struct services *s, const char *key, const struct service *svc,
		  const struct service_status *status);
void services_drop(struct services *s, const char *key);
/* A slice of the service with that key. False: it changes nothing about what is announced, as most
 * news of endpoints. */
bool services_put_slice(struct services *s, const char *key, const char *service,
			const struct endpointslice *slice);
void services_drop_slice(struct services *s, const char *key);

/* For the speaker (bgp/speaker.h): sorted, each prefix once; why says all of its causes, shortened. */
struct services_out {
	VEC(struct bgp_service_route) route;
	VEC(struct bgp_served_range) range;
};

/* excluded: this node is to announce none of them (but does not install those of others either). */
void services_announced(const struct services *s, const struct service_ranges *r, bool excluded,
			struct services_out *out);
void services_out_done(struct services_out *out);
/* For who asks why an address is not announced: a service that has it, and what is against it. Heap;
 * NULL: no service has it, or it is announced. */
char *services_why_not(const struct services *s, const struct service_ranges *r, bool excluded,
		       const struct prefix *p);
