/* hostendpoint.h - HostEndpoint: an interface of a node, or all of them. */
#pragma once

#include "lib/fields.h"

struct object;

struct hep_port {
	char *name;
	json_t *protocol; /* a name or a number */
	int port;
};

struct hostendpoint {
	char *node;
	char *interface; /* "*": every interface; NULL: found by expected */
	struct field_addrs expected;
	struct field_strings profiles;
	VEC(struct hep_port) ports;
};

extern const struct fields hostendpoint_fields;

#define HEP_ANY_INTERFACE "*"

/* Lenient about unknown fields; fields_done(&hostendpoint_fields, out) frees. */
int hostendpoint_decode(const struct object *o, struct hostendpoint *out, struct err *e);
/* Of the kind's row. */
void hostendpoint_fill(json_t *spec);
int hostendpoint_check(const struct object *o, const void *spec, struct err *e);
