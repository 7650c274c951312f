/* bgpconfig.c - BGPConfiguration: table, rules, and how a node's object lies over the cluster's
 * TESTS  tests/unit/model/kinds.c */
#include "model/bgpconfig.h"

#include <errno.h>
#include <string.h>

#include "model/object.h"
#include "model/validate.h"

static const char *const enabled_words[] = { "Enabled", "Disabled", NULL };
static const char *const bind_words[] = { "None", "NodeIP", NULL };
const char *const program_routes_words[] = { "Disabled", "Enabled", "EnabledIPIPOnly",
					     "EnabledNoEncapOnly", NULL };

static const struct field secret_ref_rows[] = {
	FIELD_STRING(struct secret_ref, name, "name", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Name of the secret."),
	FIELD_STRING(struct secret_ref, key, "key", .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY,
		     .doc = "Key in the secret."),
};
static const struct fields secret_ref_fields =
	FIELDS("secretKeyRef", struct secret_ref, secret_ref_rows);

static const struct field secret_from_rows[] = {
	FIELD_OBJECT(struct secret_from, ref, secret_ref_fields, "secretKeyRef",
		     FIELD_HAS(struct secret_from, has_ref), .flags = FIELD_REQUIRED,
		     .doc = "Where the password is kept."),
};
const struct fields secret_from_fields = FIELDS("password", struct secret_from, secret_from_rows);

static const struct field range_rows[] = {
	FIELD_CIDR(struct bgp_service_range, cidr, "cidr", .flags = FIELD_REQUIRED | FIELD_ADDR_TOO,
		   .doc = "Range of service addresses."),
};
static const struct fields range_fields = FIELDS("range", struct bgp_service_range, range_rows);

static const struct field community_rows[] = {
	FIELD_STRING(struct bgp_community_name, name, "name",
		     .flags = FIELD_REQUIRED | FIELD_NOT_EMPTY, .doc = "Name to use below."),
	FIELD_STRING(struct bgp_community_name, value, "value", .flags = FIELD_REQUIRED,
		     .check = community_field_check, .doc = "Community, AA:NN or AA:NN:MM."),
};
static const struct fields community_fields =
	FIELDS("community", struct bgp_community_name, community_rows);

static const struct field advertisement_rows[] = {
	FIELD_CIDR(struct bgp_advertisement, cidr, "cidr", .flags = FIELD_REQUIRED,
		   .doc = "Routes inside of this range."),
	FIELD_STRINGS(struct bgp_advertisement, communities, "communities",
		      .doc = "Communities to put on them, by name or value."),
};
static const struct fields advertisement_fields =
	FIELDS("advertisement", struct bgp_advertisement, advertisement_rows);

#define PRIORITY .min = 1, .max = 2147483646, .def = "1024"

static const struct field rows[] = {
	FIELD_STRING(struct bgpconfig, log_severity, "logSeverityScreen", .def = "Info",
		     .check = severity_field_check, .doc = "Least severity that is logged."),
	FIELD_BOOL(struct bgpconfig, mesh_enabled, "nodeToNodeMeshEnabled", .def = "true",
		   FIELD_HAS(struct bgpconfig, has_mesh),
		   .doc = "Every node peers with every other node."),
	FIELD_ASN(struct bgpconfig, as_number, "asNumber", .def = "64512",
		  FIELD_HAS(struct bgpconfig, has_as_number), .doc = "AS number of the nodes."),
	FIELD_INT(struct bgpconfig, listen_port, "listenPort", .min = 1, .max = 65535, .def = "179",
		  FIELD_HAS(struct bgpconfig, has_listen_port), .doc = "TCP port of BGP."),
	FIELD_OBJECTS(struct bgpconfig, cluster_ips, range_fields, "serviceClusterIPs",
		      .doc = "Ranges of cluster addresses to announce."),
	FIELD_OBJECTS(struct bgpconfig, external_ips, range_fields, "serviceExternalIPs",
		      .doc = "Ranges of external addresses to announce."),
	FIELD_OBJECTS(struct bgpconfig, load_balancer_ips, range_fields, "serviceLoadBalancerIPs",
		      .doc = "Ranges of load balancer addresses to announce."),
	FIELD_ENUM(struct bgpconfig, lb_aggregation, "serviceLoadBalancerAggregation",
		   .words = enabled_words, .def = "Enabled",
		   .doc = "Announce load balancer ranges whole instead of single addresses."),
	FIELD_OBJECTS(struct bgpconfig, communities, community_fields, "communities",
		      .doc = "Names of communities."),
	FIELD_OBJECTS(struct bgpconfig, advertisements, advertisement_fields,
		      "prefixAdvertisements", FIELD_HAS(struct bgpconfig, has_advertisements),
		      .doc = "Communities by range."),
	FIELD_OBJECT(struct bgpconfig, mesh_password, secret_from_fields, "nodeMeshPassword",
		     FIELD_HAS(struct bgpconfig, has_mesh_password),
		     .doc = "TCP MD5 password of the mesh."),
	FIELD_DURATION(struct bgpconfig, mesh_restart_ms, "nodeMeshMaxRestartTime",
		       FIELD_HAS(struct bgpconfig, has_mesh_restart), .min = 0, .max = 4095000,
		       .doc = "Time that mesh peers keep routes while a node restarts."),
	FIELD_ENUM(struct bgpconfig, bind_mode, "bindMode", .words = bind_words, .def = "None",
		   .doc = "Listen on all addresses, or on the node's only."),
	FIELD_STRINGS(struct bgpconfig, ignored_interfaces, "ignoredInterfaces",
		      .doc = "Patterns of interfaces whose networks are not announced."),
	FIELD_ADDR(struct bgpconfig, local_workload_v4, "localWorkloadPeeringIPV4", .family = IP_V4,
		   .doc = "Address at which pods of this node can peer."),
	FIELD_ADDR(struct bgpconfig, local_workload_v6, "localWorkloadPeeringIPV6", .family = IP_V6,
		   .doc = "The same for IPv6."),
	FIELD_ENUM(struct bgpconfig, program_routes, "programClusterRoutes",
		   .words = program_routes_words, .def = "EnabledNoEncapOnly",
		   .doc = "Which pools' routes the BGP side puts into the kernel; complements "
			  "FelixConfiguration."),
	FIELD_INT(struct bgpconfig, priority_v4, "ipv4NormalRoutePriority", PRIORITY,
		  .doc = "Metric of IPv4 routes in the kernel."),
	FIELD_INT(struct bgpconfig, priority_v6, "ipv6NormalRoutePriority", PRIORITY,
		  .doc = "Metric of IPv6 routes in the kernel."),
};
const struct fields bgpconfig_fields = FIELDS("spec", struct bgpconfig, rows);

/* What a node's object may change, each as a whole. */
static const char *const per_node[] = { "logSeverityScreen", "listenPort", "prefixAdvertisements" };

static bool is_per_node(const char *name, const json_t *spec)
{
	/* the names go with who uses them */
	if (strcmp(name, "communities") == 0)
		return json_object_get(spec, "prefixAdvertisements") != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(per_node); i++)
		if (strcmp(name, per_node[i]) == 0)
			return true;
	return false;
}

/* As if it were all that there is: what misses something inside must not be set halfway. */
static int take_field(const char *name, json_t *value, struct bgpconfig *out, struct err *e)
{
	CLEANUP(js_freep) json_t *one = json_object();
	struct bgpconfig alone;

	json_object_set(one, name, value);
	if (fields_decode(&bgpconfig_fields, one, FIELDS_LENIENT, &alone, e) < 0)
		return e->code;
	bgpconfig_done(&alone);
	return fields_apply(&bgpconfig_fields, one, FIELDS_LENIENT, out, e);
}

static void take_object(const struct object *o, bool node, struct bgpconfig *out, struct str *wrong)
{
	json_t *spec = object_spec_json(o), *v;
	const char *name;

	if (spec && !json_is_object(spec) && wrong)
		str_addf(wrong, "BGPConfiguration %s: spec: must be an object, is %s; left out\n",
			 o->name, js_type_name(spec));
	json_object_foreach (spec, name, v) {
		struct err e = { 0 };

		if ((node && !is_per_node(name, spec)) || !fields_find(&bgpconfig_fields, name))
			continue;
		if (take_field(name, v, out, &e) < 0 && wrong)
			str_addf(wrong, "BGPConfiguration %s: spec.%s; left out\n", o->name, e.msg);
	}
}

void bgpconfig_read(const struct object *cluster, const struct object *node, struct bgpconfig *out,
		    struct str *wrong)
{
	fields_init(&bgpconfig_fields, out);
	if (cluster)
		take_object(cluster, false, out, wrong);
	if (node)
		take_object(node, true, out, wrong);
}

void bgpconfig_done(struct bgpconfig *c)
{
	fields_done(&bgpconfig_fields, c);
}

static int check_node_object(const struct object *o, struct err *e)
{
	static const char *const cluster_only[] = {
		"nodeToNodeMeshEnabled",  "asNumber",
		"serviceClusterIPs",	  "serviceExternalIPs",
		"serviceLoadBalancerIPs", "nodeMeshPassword",
		"nodeMeshMaxRestartTime",
	};

	if (!str_starts(o->name, "node.") || !o->name[5])
		return err_set(e, -EINVAL,
			       "metadata.name: must be \"default\" or \"node.NODENAME\", is \"%s\"",
			       o->name);
	for (size_t i = 0; i < ARRAY_SIZE(cluster_only); i++)
		if (json_object_get(object_spec_json(o), cluster_only[i]))
			return err_set(e, -EINVAL,
				       "spec.%s: can be set only in the object \"default\"",
				       cluster_only[i]);
	return 0;
}

static int check_communities(const struct bgpconfig *c, struct err *e)
{
	if (c->communities.n && !c->advertisements.n)
		return err_set(
			e, -EINVAL,
			"spec.communities: nothing uses them: prefixAdvertisements is missing");
	for (size_t i = 0; i < c->advertisements.n; i++) {
		const struct field_strings *list = &c->advertisements.p[i].communities;

		for (size_t j = 0; j < list->n; j++) {
			bool known = community_field_check(list->p[j], NULL) == 0;

			for (size_t k = 0; !known && k < c->communities.n; k++)
				known = !strcmp(c->communities.p[k].name, list->p[j]);
			if (!known)
				return err_set(
					e, -EINVAL,
					"spec.prefixAdvertisements[%zu].communities[%zu]: "
					"\"%.60s\" "
					"is neither a community such as 64512:7 nor a name in "
					"spec.communities",
					i, j, list->p[j]);
		}
	}
	return 0;
}

int bgpconfig_check(const struct object *o, const void *spec, struct err *e)
{
	const struct bgpconfig *c = spec;
	int rc;

	if (strcmp(o->name, "default") && (rc = check_node_object(o, e)) < 0)
		return rc;
	if (!c->mesh_enabled && (c->has_mesh_password || c->has_mesh_restart))
		return err_set(
			e, -EINVAL, "spec.%s: the mesh is off (nodeToNodeMeshEnabled: false)",
			c->has_mesh_password ? "nodeMeshPassword" : "nodeMeshMaxRestartTime");
	for (size_t i = 0; i < c->ignored_interfaces.n; i++)
		if (!strcmp(c->ignored_interfaces.p[i], "*"))
			return err_set(
				e, -EINVAL,
				"spec.ignoredInterfaces[%zu]: \"*\" would ignore every interface",
				i);
	return check_communities(c, e);
}
