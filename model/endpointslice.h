/* endpointslice.h - EndpointSlice: where a service's endpoints are. Kubernetes' object, kept beside
 * Calico's own kinds in a store that has no Kubernetes: policies name services as peers.
 *
 * Stored as .../endpointslices/NAMESPACE/NAME with metadata as in the manifest and addressType,
 * endpoints and ports below spec. */
#pragma once

#include "lib/fields.h"

struct object;

#define SLICE_SERVICE_LABEL "kubernetes.io/service-name"

/* Kubernetes' own limits. */
enum {
	SLICE_ENDPOINTS_MAX = 1000,
	SLICE_PORTS_MAX = 100,
	/* Kubernetes allows 100 for each endpoint, and writes one. */
	SLICE_ADDRESSES_MAX = 2000,
};

struct slice_conditions {
	bool ready; /* also when nobody says */
};

struct slice_endpoint {
	struct field_strings addresses;
	char *node; /* that it runs on; NULL: unknown */
	struct slice_conditions conditions;
};

struct slice_port {
	char *name, *protocol;
	int port; /* 0: none, or all */
};

enum slice_address_type {
	SLICE_IPV4,
	SLICE_IPV6,
	SLICE_FQDN,
};

struct endpointslice {
	int address_type; /* enum slice_address_type */
	VEC(struct slice_endpoint) endpoints;
	VEC(struct slice_port) ports;
};

extern const struct fields endpointslice_fields;

/* Of the kind's row. */
int endpointslice_check(const struct object *o, const void *spec, struct err *e);
