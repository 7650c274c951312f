/* felixconfig.h - FelixConfiguration: the fields that this agent obeys, of some two hundred. The
 * others are kept as they are, and a person may write them. */
#pragma once

#include "lib/fields.h"

struct object;

struct felixconfig {
	char *interface_prefix; /* comma list */
	char *status_path_prefix;
	int route_protocol;
	bool remove_external_routes;
	struct addr route_source, route_source_v6;
	int program_routes; /* enum program_routes of bgpconfig.h */
	int ip_forwarding;  /* 0: Enabled, 1: Disabled */
	char *mtu_pattern;
	bool has_mtu_pattern;		     /* given, not by default */
	int ipip_mtu, vxlan_mtu;	     /* 0: automatic */
	bool ipip_enabled, has_ipip_enabled; /* not given: as the pools need it */
	bool vxlan_enabled, has_vxlan_enabled;
	int vxlan_vni, vxlan_port;
	int64_t route_refresh_ms;
	int floating_ips;     /* 0: Disabled, 1: Enabled */
	int endpoint_to_host; /* 0: Drop, 1: Return, 2: Accept */
	int health_port, metrics_port;
	int priority_v4, priority_v6, elevated_v4, elevated_v6;
	json_t *route_table_ranges;
	char *node_selector;
	char *log_severity;
};

extern const struct fields felixconfig_fields;

/* Defaults, then the object "default", then others that apply, then "node.NAME": the caller gives
 * them in this order; n may be 0. felixconfig_done frees. */
int felixconfig_decode(const struct object *const *layers, size_t n, struct felixconfig *out,
		       struct err *e);
void felixconfig_done(struct felixconfig *c);
