/* felixconfig.h - FelixConfiguration: the fields that this agent obeys, of some two hundred. The
 * others are kept as they are, and a person may write them. */
#pragma once

#include "lib/fields.h"

/* A port of the host that no policy shuts. */
struct felix_port {
	char *protocol; /* "tcp", "udp" in any case */
	int port;
	struct prefix net; /* IP_NONE: of any peer */
};

enum felix_to_host {
	FELIX_TO_HOST_DROP,
	FELIX_TO_HOST_RETURN,
	FELIX_TO_HOST_ACCEPT,
};

enum felix_loops {
	FELIX_LOOPS_DROP,
	FELIX_LOOPS_REJECT,
	FELIX_LOOPS_DISABLED,
};

enum felix_nat_exclusions {
	FELIX_NAT_NOT_TO_POOLS,
	FELIX_NAT_NOT_TO_HOSTS, /* and not to nodes either */
};

enum { FELIX_NAT_INTERFACE_MAX = 16 }; /* a name of 15 characters and "+" */
enum felix_backend {
	FELIX_BACKEND_AUTO,
	FELIX_BACKEND_NFT,
	FELIX_BACKEND_LEGACY,
};

enum { FELIX_FAILSAFES_MAX = 256 }; /* each is a rule of its own, in three tables */

struct felixconfig {
	char *interface_prefix; /* comma list */
	char *status_path_prefix;
	int route_protocol;
	bool remove_external_routes;
	struct addr route_source, route_source_v6;
	int program_routes; /* enum program_routes of bgpconfig.h */
	int ip_forwarding;  /* 0: Enabled, 1: Disabled */
	char *mtu_pattern;
	bool has_mtu_pattern;	 /* given, not by default */
	int ipip_mtu, vxlan_mtu; /* 0: automatic */
	int vxlan_mtu_v6;
	bool ipip_enabled, has_ipip_enabled; /* not given: as the pools need it */
	bool vxlan_enabled, has_vxlan_enabled;
	int vxlan_vni, vxlan_port;
	int64_t route_refresh_ms;
	int floating_ips; /* 0: Disabled, 1: Enabled */
	int health_port, metrics_port;
	bool metrics_enabled, has_metrics_enabled;
	char *metrics_host; /* empty: all addresses */
	int priority_v4, priority_v6, elevated_v4, elevated_v6;
	json_t *route_table_ranges;

	/* the packet filter */
	int endpoint_to_host; /* enum felix_to_host */
	bool has_endpoint_to_host;
	int filter_allow, mangle_allow; /* 0: Accept, 1: Return */
	int filter_deny;		/* 0: Drop, 1: Reject */
	int chain_insert;		/* 0: Insert, 1: Append */
	int iptables_backend;		/* enum felix_backend */
	int64_t mark_mask;
	int64_t rules_refresh_ms, sets_refresh_ms; /* 0: never */
	int max_set_size;
	VEC(struct felix_port) failsafe_in, failsafe_out;
	bool has_failsafe_in, has_failsafe_out; /* given, also as an empty list */
	char *log_prefix;
	char *log_rate; /* "10/minute"; empty: no limit */
	int log_burst;
	bool accept_invalid;
	int service_loops; /* enum felix_loops */
	bool vxlan_from_pods, ipip_from_pods;
	int source_spoofing; /* 0: Disabled, 1: Any */
	bool ipv6;

	/* NAT of pods, and tunnels */
	struct addr nat_address;
	json_t *nat_ports; /* as felixconfig_ports reads it */
	char *nat_interface;
	int nat_exclusions; /* enum felix_nat_exclusions */
	struct field_cidrs external_nodes;
	char *feature_override;
	char *node_selector;
	char *log_severity;
};

extern const struct fields felixconfig_fields;
/* Names that FELIX_* variables have and fields have not: { "IPINIPMTU", "ipipMTU" }, ... up to a row of
 * NULL. In capital letters. */
struct felix_variable {
	const char *variable, *field;
};
extern const struct felix_variable felix_variables[];

/* 1000, "1000" or "1000:2000"; NULL is 0 to 0. */
bool felixconfig_ports(const json_t *v, uint16_t *first, uint16_t *last);
/* Does featureDetectOverride ("A=true,B=false") say of a feature whether it is there? -1: it does not. */
int felixconfig_feature(const struct felixconfig *c, const char *name);

/* Defaults. felixconfig_done frees. */
void felixconfig_init(struct felixconfig *out);
/* One layer more, field by field: what is wrong with one is appended to wrong, a line each behind
 * what ("FelixConfiguration default"), and the others count. spec NULL is an empty layer. */
void felixconfig_add(struct felixconfig *c, const json_t *spec, const char *what,
		     struct str *wrong);
/* The same with one variable FELIX_NAME: name in any case, value as Calico's agent reads it ("none"
 * is nothing). -ENOENT: no field of this agent has this name; -EINVAL with words. */
int felixconfig_set(struct felixconfig *c, const char *name, const char *value, struct err *e);
void felixconfig_done(struct felixconfig *c);
