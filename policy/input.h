/* input.h - objects of the model as what the calculation reads.
 *
 * This is where labels that a pod must not choose are set and taken away. */
#pragma once

#include "policy/calc.h"

struct object;

/* An endpoint together with the memory it points into. */
struct endpoint_input {
	struct endpoint e;
	VEC(struct label) labels;
	VEC(const char *) profiles;
	VEC(struct prefix) nets, spoof;
	VEC(struct endpoint_port) ports;
	VEC(char *) heap;
};

/* From a WorkloadEndpoint, HostEndpoint, NetworkSet or GlobalNetworkSet. Lenient: what cannot be
 * read of labels, ports and addresses is left out. -EINVAL when it is nothing to use: then out->e.id is
 * NULL; or when it is a host endpoint that is wrong somewhere, but says where it is: then out is what
 * fails closed, with the policies of its labels, and without what cannot be read; or a network set that
 * is wrong somewhere: then out holds the ranges that can be read, and no others. */
int endpoint_from_object(const struct object *o, struct endpoint_input *out, struct err *e);
void endpoint_input_done(struct endpoint_input *in);

/* From a discovery.k8s.io/v1 EndpointSlice: its service is in its labels. */
struct slice_input {
	struct service_slice s;
	VEC(struct addr) addrs;
	VEC(struct endpoint_port) ports;
	VEC(char *) heap;
};
int slice_from_json(const json_t *json, struct slice_input *out, struct err *e);
/* The same of a stored object of kind EndpointSlice. */
int slice_from_object(const struct object *o, struct slice_input *out, struct err *e);
void slice_input_done(struct slice_input *in);
