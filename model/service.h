/* service.h - Service: under which addresses pods serve. Kubernetes' object, kept beside Calico's own
 * kinds in a store that has no Kubernetes: BGP announces the addresses (agent/bgp/services.h).
 *
 * Stored as .../services/NAMESPACE/NAME, spec and status as in the manifest. */
#pragma once

#include "lib/fields.h"

struct object;

/* A node with this label set to "true" announces no service. */
#define SERVICE_EXCLUDE_LABEL "node.kubernetes.io/exclude-from-external-load-balancers"

enum {
	SERVICE_CLUSTER_IPS_MAX = 2,  /* Kubernetes: one of each family */
	SERVICE_ADDRESSES_MAX = 1000, /* in a list: nobody has that many */
};

enum service_type {
	SERVICE_CLUSTER_IP,
	SERVICE_NODE_PORT,
	SERVICE_LOAD_BALANCER,
	SERVICE_EXTERNAL_NAME,
};

enum service_traffic {
	SERVICE_TRAFFIC_CLUSTER,
	SERVICE_TRAFFIC_LOCAL,
};

struct service_ingress {
	char *ip; /* NULL: it is a name */
};

struct service {
	int type;	  /* enum service_type */
	char *cluster_ip; /* "None": headless; NULL: none yet */
	struct field_strings cluster_ips, external_ips;
	char *load_balancer_ip; /* asked for; which it has is in the status */
	int traffic;		/* enum service_traffic: externalTrafficPolicy */
	bool has_traffic;
};

struct service_balancer {
	VEC(struct service_ingress) ingress;
};

struct service_status {
	struct service_balancer balancer;
};

extern const struct fields service_fields, service_status_fields;

/* Lenient; a status that cannot be read counts as an empty one. service_done frees. */
int service_decode(const struct object *o, struct service *out, struct service_status *status,
		   struct err *e);
void service_done(struct service *s, struct service_status *status);
/* Of the kind's row. */
int service_check(const struct object *o, const void *spec, struct err *e);
