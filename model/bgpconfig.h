/* bgpconfig.h - BGPConfiguration: "default" for the cluster, "node.NAME" for one node. */
#pragma once

#include "lib/fields.h"

struct object;

struct bgp_community_name {
	char *name, *value;
};

struct bgp_advertisement {
	struct prefix cidr;
	struct field_strings communities; /* names or values */
};

struct bgp_service_range {
	struct prefix cidr;
};

struct secret_ref {
	char *name, *key;
};

struct secret_from {
	struct secret_ref ref;
	bool has_ref;
};

enum bgp_lb_aggregation {
	BGP_LB_AGGREGATION_ENABLED,
	BGP_LB_AGGREGATION_DISABLED,
};

enum bgp_bind_mode {
	BGP_BIND_NONE,
	BGP_BIND_NODE_IP,
};

/* Also FelixConfiguration's. */
enum program_routes {
	PROGRAM_ROUTES_DISABLED,
	PROGRAM_ROUTES_ENABLED,
	PROGRAM_ROUTES_IPIP_ONLY,
	PROGRAM_ROUTES_NO_ENCAP_ONLY,
};

struct bgpconfig {
	char *log_severity;
	bool mesh_enabled, has_mesh;
	uint32_t as_number;
	bool has_as_number; /* given, not by default */
	int listen_port;
	bool has_listen_port;
	VEC(struct bgp_service_range) cluster_ips, external_ips, load_balancer_ips;
	int lb_aggregation; /* enum bgp_lb_aggregation */
	VEC(struct bgp_community_name) communities;
	bool has_advertisements;
	VEC(struct bgp_advertisement) advertisements;
	struct secret_from mesh_password;
	bool has_mesh_password;
	int64_t mesh_restart_ms;
	bool has_mesh_restart;
	int bind_mode; /* enum bgp_bind_mode */
	struct field_strings ignored_interfaces;
	struct addr local_workload_v4, local_workload_v6;
	int program_routes; /* enum program_routes */
	int priority_v4, priority_v6;
};

extern const struct fields bgpconfig_fields;
extern const struct fields secret_from_fields;
extern const char *const program_routes_words[];

/* The configuration of a node: defaults, then the object "default", then of "node.NAME" what such
 * an object may set (log severity, port, advertisements with their communities, each as a whole).
 * Either may be NULL. A field that is wrong is left out and named in a line of `wrong` (may be NULL);
 * the others hold: all sessions follow from this object, and one field must not end them.
 * bgpconfig_done frees. */
void bgpconfig_read(const struct object *cluster, const struct object *node, struct bgpconfig *out,
		    struct str *wrong);
void bgpconfig_done(struct bgpconfig *c);
/* Of the kind's row. */
int bgpconfig_check(const struct object *o, const void *spec, struct err *e);
