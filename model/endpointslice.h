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

struct slice_endpoint {
	struct field_strings addresses;
};

struct slice_port {
	char *name, *protocol;
	int port; /* 0: none, or all */
};

struct endpointslice {
	int address_type; /* 0: IPv4, 1: IPv6, 2: FQDN */
	VEC(struct slice_endpoint) endpoints;
	VEC(struct slice_port) ports;
};

extern const struct fields endpointslice_fields;

/* Of the kind's row. */
int endpointslice_check(const struct object *o, const void *spec, struct err *e);
