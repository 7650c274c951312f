/* hostendpoint.c - HostEndpoint: table and rules
 * TESTS  tests/unit/model/policy.c */
#include "model/hostendpoint.h"

#include <errno.h>
#include <string.h>

#include "model/object.h"
#include "model/rulespec.h"
#include "model/validate.h"

enum { HEP_PORT_NAME_MAX = 128 };

static int interface_field_check(const void *text, struct err *e)
{
	const char *s = text;

	return !*s || !strcmp(s, HEP_ANY_INTERFACE) ? 0 : ifname_field_check(text, e);
}

static int protocol_field_check(const void *value, struct err *e)
{
	struct proto_spec proto;
	int rc = proto_spec_parse(*(json_t *const *)value, &proto, e);

	if (rc == 0 && proto.set && !proto_has_ports(proto.number))
		return err_set(e, -EINVAL, "must be TCP, UDP or SCTP");
	return rc;
}

static int port_name_field_check(const void *text, struct err *e)
{
	const char *s = text;
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	if (n && n <= HEP_PORT_NAME_MAX && !s[n])
		return 0;
	return err_set(e, -EINVAL,
		       "must be 1 to %d letters, digits, '_', '.' and '-', is \"%.60s\"",
		       HEP_PORT_NAME_MAX, s);
}

static const struct field port_rows[] = {
	FIELD_STRING(struct hep_port, name, "name", .flags = FIELD_REQUIRED,
		     .check = port_name_field_check, .doc = "Name that policies can use."),
	FIELD_JSON(struct hep_port, protocol, "protocol", .check = protocol_field_check,
		   .doc = "Protocol by name or number."),
	FIELD_INT(struct hep_port, port, "port", .min = 1, .max = 65535, .flags = FIELD_REQUIRED,
		  .doc = "Port of the node."),
};
static const struct fields port_fields = FIELDS("port", struct hep_port, port_rows);

static const struct field rows[] = {
	FIELD_STRING(struct hostendpoint, node, "node", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Node that it is on."),
	FIELD_STRING(struct hostendpoint, interface, "interfaceName",
		     .check = interface_field_check,
		     .doc = "Interface of the node, or * for every one."),
	FIELD_ADDRS(struct hostendpoint, expected, "expectedIPs", .doc = "Its addresses."),
	FIELD_STRINGS(struct hostendpoint, profiles, "profiles",
		      .doc = "Profiles in effect, in order."),
	FIELD_OBJECTS(struct hostendpoint, ports, port_fields, "ports", .doc = "Named ports."),
};
const struct fields hostendpoint_fields = FIELDS("spec", struct hostendpoint, rows);

int hostendpoint_check(const struct object *o, const void *spec, struct err *e)
{
	const struct hostendpoint *h = spec;

	if (!(h->interface && *h->interface) && !h->expected.n)
		return err_set(e, -EINVAL,
			       "spec.interfaceName: is missing: give an interface, or expectedIPs "
			       "to find it by");
	return 0;
}

void hostendpoint_fill(json_t *spec)
{
	json_t *port;
	size_t i;

	json_array_foreach (json_object_get(spec, "ports"), i, port)
		proto_spec_fill(port, "protocol");
}

int hostendpoint_decode(const struct object *o, struct hostendpoint *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc == 0 && (rc = hostendpoint_check(o, out, e)) < 0)
		fields_done(&hostendpoint_fields, out);
	return rc < 0 ? err_wrap(e, "HostEndpoint %s", o->name) : 0;
}
