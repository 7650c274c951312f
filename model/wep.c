/* wep.c - WorkloadEndpoint: table, rules, and the name that is made from the spec
 *
 * SHAPE  A name is segments joined by '-'; a '-' inside of a segment is doubled, so none may begin
 *        or end with one.
 *             k8s         NODE-k8s-POD-ENDPOINT
 *             cni         NODE-cni-CONTAINER-ENDPOINT
 *             libnetwork  NODE-libnetwork-libnetwork-ENDPOINT
 *             others      NODE-ORCHESTRATOR-WORKLOAD-ENDPOINT
 * TESTS  tests/unit/model/wep.c */
#include "model/wep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/object.h"
#include "model/validate.h"

static const struct field nat_rows[] = {
	FIELD_ADDR(struct wep_nat, internal, "internalIP", .flags = FIELD_REQUIRED,
		   .doc = "Address of the pod."),
	FIELD_ADDR(struct wep_nat, external, "externalIP", .flags = FIELD_REQUIRED,
		   .doc = "Address by which it is reached."),
};
static const struct fields nat_fields = FIELDS("ipNAT", struct wep_nat, nat_rows);

static const struct field port_rows[] = {
	FIELD_STRING(struct wep_port, name, "name", .doc = "Name that policies can use."),
	FIELD_JSON(struct wep_port, protocol, "protocol", .doc = "Protocol by name or number."),
	FIELD_INT(struct wep_port, port, "port", .min = 1, .max = 65535, .doc = "Port of the pod."),
	FIELD_INT(struct wep_port, host_port, "hostPort", .min = 0, .max = 65535,
		  .doc = "Port of the node that leads to it."),
	FIELD_STRING(struct wep_port, host_ip, "hostIP", .doc = "Address of the node."),
};
static const struct fields port_fields = FIELDS("port", struct wep_port, port_rows);

static const struct field rows[] = {
	FIELD_STRING(struct wep, orchestrator, "orchestrator",
		     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY, .doc = "k8s, cni, libnetwork, ..."),
	FIELD_STRING(struct wep, workload, "workload", .doc = "What other orchestrators call it."),
	FIELD_STRING(struct wep, node, "node", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Node that it is on."),
	FIELD_STRING(struct wep, container_id, "containerID", .doc = "Container."),
	FIELD_STRING(struct wep, pod, "pod", .doc = "Pod, for k8s."),
	FIELD_STRING(struct wep, endpoint, "endpoint", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Interface inside of the pod."),
	FIELD_STRING(struct wep, service_account, "serviceAccountName", .doc = "Service account."),
	FIELD_CIDRS(struct wep, networks, "ipNetworks", .doc = "Addresses as /32 and /128."),
	FIELD_OBJECTS(struct wep, nats, nat_fields, "ipNATs", .doc = "Floating addresses."),
	FIELD_ADDR(struct wep, gateway_v4, "ipv4Gateway", .family = IP_V4, .doc = "Gateway."),
	FIELD_ADDR(struct wep, gateway_v6, "ipv6Gateway", .family = IP_V6, .doc = "Gateway."),
	FIELD_STRINGS(struct wep, profiles, "profiles", .doc = "Profiles in effect, in order."),
	FIELD_STRING(struct wep, interface, "interfaceName", .check = ifname_field_check,
		     .doc = "Interface on the node."),
	FIELD_STRING(struct wep, mac, "mac", .check = mac_field_check,
		     .doc = "Hardware address inside of the pod."),
	FIELD_OBJECTS(struct wep, ports, port_fields, "ports", .doc = "Named ports."),
	FIELD_CIDRS(struct wep, allow_spoofed, "allowSpoofedSourcePrefixes",
		    .doc = "Other source addresses that it may use."),
	FIELD_JSON(struct wep, qos, "qosControls", .doc = "Limits of bandwidth and connections."),
};
const struct fields wep_fields = FIELDS("spec", struct wep, rows);

int wep_decode(const struct object *o, struct wep *out, struct err *e)
{
	int rc = object_spec(o, FIELDS_LENIENT, out, e);

	if (rc < 0)
		return err_wrap(e, "WorkloadEndpoint %s/%s", o->ns ? o->ns : "", o->name);
	out->name = xstrdup(o->name);
	out->ns = xstrdup(o->ns);
	return 0;
}

void wep_done(struct wep *w)
{
	free(w->name);
	free(w->ns);
	fields_done(&wep_fields, w);
}

static void add_segment(struct str *s, const char *text)
{
	if (s->len)
		str_addc(s, '-');
	for (; *text; text++)
		str_add(s, *text == '-' ? "--" : (char[]) { *text, '\0' });
}

/* "pod" or whichever field names the workload, and its value. */
static const char *workload_of(const struct wep *w, const char **value)
{
	if (!strcmp(w->orchestrator, "k8s")) {
		*value = w->pod;
		return "pod";
	}
	if (!strcmp(w->orchestrator, "cni")) {
		*value = w->container_id;
		return "containerID";
	}
	if (!strcmp(w->orchestrator, "libnetwork")) {
		*value = "libnetwork";
		return "workload";
	}
	*value = w->workload;
	return "workload";
}

static int check_segment(const char *field, const char *text, struct err *e)
{
	if (!text || !*text)
		return err_set(e, -EINVAL, "spec.%s: is missing: the name is made of it", field);
	if (*text == '-' || text[strlen(text) - 1] == '-')
		return err_set(e, -EINVAL, "spec.%s: \"%.80s\": must not begin or end with '-'",
			       field, text);
	return 0;
}

char *wep_name(const struct wep *w, struct err *e)
{
	const char *workload, *field = workload_of(w, &workload);
	struct str s = { 0 };

	if (check_segment("node", w->node, e) < 0 ||
	    check_segment("orchestrator", w->orchestrator, e) < 0 ||
	    check_segment(field, workload, e) < 0 || check_segment("endpoint", w->endpoint, e) < 0)
		return NULL;
	add_segment(&s, w->node);
	add_segment(&s, w->orchestrator);
	add_segment(&s, workload);
	add_segment(&s, w->endpoint);
	return str_take(&s);
}

char *wep_name_prefix(const char *node, const char *pod)
{
	struct str s = { 0 };

	add_segment(&s, node);
	if (pod) {
		add_segment(&s, "k8s");
		add_segment(&s, pod);
	}
	str_addc(&s, '-');
	return str_take(&s);
}

/* The end of the segment at s: a '-' that is not one of a pair, or the end. */
static const char *segment_end(const char *s)
{
	while (*s && (*s != '-' || s[1] == '-'))
		s += *s == '-' ? 2 : 1;
	return s;
}

static char *segment_text(const char *s, const char *end)
{
	struct str out = { 0 };

	while (s < end) {
		str_addc(&out, *s);
		s += *s == '-' ? 2 : 1;
	}
	return str_take(&out);
}

bool wep_name_parse(const char *name, char *segment[WEP_SEGMENTS_MAX], size_t *n)
{
	size_t found = 0;

	for (const char *s = name;; s++) {
		const char *end = segment_end(s);

		if (end == s || *s == '-' || end[-1] == '-' || found == WEP_SEGMENTS_MAX)
			break;
		segment[found++] = segment_text(s, end);
		s = end;
		if (!*s) {
			*n = found;
			return true;
		}
	}
	while (found)
		free(segment[--found]);
	return false;
}

int wep_check(const struct object *o, const void *spec, struct err *e)
{
	const struct wep *w = spec;
	CLEANUP(freep) char *name = wep_name(w, e);

	if (!name)
		return -EINVAL;
	if (strcmp(name, o->name))
		return err_set(e, -EINVAL,
			       "metadata.name: must be \"%s\", which the spec says, is \"%s\"",
			       name, o->name);
	for (size_t i = 0; i < w->networks.n; i++) {
		const struct prefix *p = &w->networks.p[i];
		unsigned bits = addr_bits(p->addr.family);

		if (p->len != bits)
			return err_set(e, -EINVAL, "spec.ipNetworks[%zu]: must be a /%u, is a /%u",
				       i, bits, p->len);
	}
	return 0;
}
