/* endpointslice.c - EndpointSlice: table and rules
 * TESTS  tests/unit/model/kinds.c, tests/unit/ctl/kube.c */
#include "model/endpointslice.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "model/object.h"

static const char *const address_types[] = { "IPv4", "IPv6", "FQDN", NULL };

static const char *const condition_others[] = { "serving", "terminating", NULL };
static const struct field condition_rows[] = {
	FIELD_BOOL(struct slice_conditions, ready, "ready", .def = "true",
		   .doc = "Whether it takes connections."),
};
static const struct fields condition_fields =
	FIELDS("conditions", struct slice_conditions, condition_rows, .kept = condition_others);

static const char *const endpoint_others[] = { "deprecatedTopology", "hints", "hostname",
					       "targetRef",	     "zone",  NULL };
static const struct field endpoint_rows[] = {
	FIELD_STRINGS(struct slice_endpoint, addresses, "addresses", .flags = FIELD_NOT_EMPTY,
		      .doc = "Addresses of one endpoint."),
	FIELD_STRING(struct slice_endpoint, node, "nodeName", .doc = "The node that it runs on."),
	FIELD_OBJECT(struct slice_endpoint, conditions, condition_fields, "conditions",
		     .doc = "How it is."),
};
static const struct fields endpoint_fields =
	FIELDS("endpoint", struct slice_endpoint, endpoint_rows, .kept = endpoint_others);

static int protocol_check(const void *value, struct err *e)
{
	const char *text = value;

	if (!strcmp(text, "TCP") || !strcmp(text, "UDP") || !strcmp(text, "SCTP"))
		return 0;
	return err_set(e, -EINVAL, "must be TCP, UDP or SCTP, is \"%.40s\"", text);
}

static const char *const port_others[] = { "appProtocol", NULL };
static const struct field port_rows[] = {
	FIELD_STRING(struct slice_port, name, "name", .def = "", .doc = "Its name in the service."),
	FIELD_STRING(struct slice_port, protocol, "protocol", .def = "TCP", .check = protocol_check,
		     .doc = "TCP, UDP or SCTP."),
	FIELD_INT(struct slice_port, port, "port", .min = 1, .max = 65535, .doc = "Its number."),
};
static const struct fields port_fields =
	FIELDS("port", struct slice_port, port_rows, .kept = port_others);

static const struct field rows[] = {
	FIELD_ENUM(struct endpointslice, address_type, "addressType", .words = address_types,
		   .def = "IPv4", .doc = "What the addresses are."),
	FIELD_OBJECTS(struct endpointslice, endpoints, endpoint_fields, "endpoints",
		      .doc = "Who serves."),
	FIELD_OBJECTS(struct endpointslice, ports, port_fields, "ports",
		      .doc = "On which ports each of them."),
};
const struct fields endpointslice_fields = FIELDS("spec", struct endpointslice, rows);

static int check_address(const struct endpointslice *s, size_t i, size_t j, struct err *e)
{
	const char *text = s->endpoints.p[i].addresses.p[j];
	struct addr a;

	if (s->address_type == SLICE_FQDN ||
	    (addr_parse(text, &a) && a.family == (s->address_type ? IP_V6 : IP_V4)))
		return 0;
	return err_set(e, -EINVAL,
		       "spec.endpoints[%zu].addresses[%zu]: must be an %s address, is "
		       "\"%.60s\"",
		       i, j, address_types[s->address_type], text);
}

int endpointslice_check(const struct object *o, const void *spec, struct err *e)
{
	const struct endpointslice *s = spec;
	int rc = 0;

	if (s->endpoints.n > SLICE_ENDPOINTS_MAX)
		return err_set(e, -EINVAL,
			       "spec.endpoints: has %zu elements, at most %d are allowed",
			       s->endpoints.n, SLICE_ENDPOINTS_MAX);
	if (s->ports.n > SLICE_PORTS_MAX)
		return err_set(e, -EINVAL, "spec.ports: has %zu elements, at most %d are allowed",
			       s->ports.n, SLICE_PORTS_MAX);
	for (size_t i = 0; i < s->endpoints.n; i++)
		for (size_t j = 0; rc == 0 && j < s->endpoints.p[i].addresses.n; j++)
			rc = check_address(s, i, j, e);
	return rc;
}
