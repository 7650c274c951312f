/* config.h - what the agent was told: file, environment, options, in rising order of weight.
 *
 * One table (config_rows.c) is the list of file keys, options (`runDir` is --run-dir), MARGAY_*
 * variables (MARGAY_RUN_DIR), --help and --print-config. A second one (config_calico.c) maps the variables of a
 * calico-node pod onto it, so that such a pod's template works unchanged. */
#pragma once

#include "agent/log.h"
#include "lib/err.h"
#include "lib/fields.h"
#include "lib/str.h"

#define CONFIG_FILE_DEFAULT "/etc/margay/margayd.yaml"

/* Strings are never NULL after config_load. */
struct agent_config {
	char *node;	 /* the Node resource's name */
	char *datastore; /* as ds_open takes it */
	char *run_dir;	 /* sockets, lock */
	char *bird_socket_dir; /* answer there as BIRD does; "": do not */
	char *state_dir; /* what must outlive a restart: journal, the embedded database */

	/* addresses */
	char *ip; /* "": the Node's own, else detect; "autodetect"; "none"; ADDRESS[/LENGTH] */
	char *ip6;
	char *ip_method; /* first-found, interface=, skip-interface=, can-reach=, cidr= */
	uint32_t as;	 /* 0: not told */
	char *router_id; /* "": the IPv4 address; "hash"; dotted quad */
	bool bgp;	 /* run the speaker at all */
	struct field_cidrs cluster_ips; /* of services; in place of the BGPConfiguration's */

	/* pools made when there are none */
	bool no_default_pools;
	struct config_pool {
		struct prefix cidr; /* IP_NONE: no such pool */
		int block_size;	    /* 0: the family's default */
		char *node_selector;
		bool nat_outgoing, disable_bgp_export;
		int ipip, vxlan; /* index into Never, Always, CrossSubnet */
	} pool_v4, pool_v6;

	/* pods */
	char *interface_prefix;	     /* "cali" */
	int mtu;		     /* of pods; 0: that of the node's uplinks */
	int route_protocol;	     /* of all routes that we make */
	bool remove_external_routes; /* on pods' interfaces also routes that others made */
	int gc_grace_s;		     /* what is younger survives a CNI GC that does not list it */
	bool ip_forward;
	char *nodename_file; /* "": do not write */

	/* policy */
	bool policy;	      /* enforce it at all */
	bool network_rules;   /* else only NAT and tunnels; false: not even these */
	int iptables_backend; /* enum config_backend */
	char *mark_mask;      /* "0xffff0000" */
	int endpoint_to_host; /* index into DROP, RETURN, ACCEPT */
	int filter_allow;     /* index into ACCEPT, RETURN */
	int mangle_allow;
	int filter_deny;		     /* index into DROP, REJECT */
	int chain_insert;		     /* 0: insert, 1: append */
	int rules_refresh_s, sets_refresh_s; /* 0: never */
	int iptables_lock_s;
	bool cut_flows; /* a policy that is narrowed ends flows that it now denies */
	/* Told, not by default: then FelixConfiguration does not count. */
	bool has_iptables_backend, has_mark_mask, has_endpoint_to_host, has_filter_allow,
		has_mangle_allow, has_filter_deny, has_chain_insert, has_rules_refresh,
		has_sets_refresh;

	/* to be seen */
	int log_level;	/* enum log_level */
	bool has_log_level;
	int log_format; /* enum log_format */
	bool health;
	char *health_host;
	int health_port;
	bool metrics, has_metrics; /* has: told, see above */
	char *metrics_host;
	int metrics_port;
	bool has_metrics_host, has_metrics_port;
};

enum config_backend {
	CONFIG_BACKEND_AUTO,
	CONFIG_BACKEND_NFT,
	CONFIG_BACKEND_LEGACY,
};

/* The words of the enums above, by index. */
extern const char *const config_to_host_words[], *const config_allow_words[],
							 *const config_deny_words[];

/* What the command line asks for besides running. */
enum config_action {
	CONFIG_RUN,
	CONFIG_HELP,
	CONFIG_VERSION,
	CONFIG_PRINT,
};

/* Read the file, then environ, then the options. path: "" to use -c or the default file (which may
 * be missing). Errors say file and line, variable or option, and what would be right. Remarks that
 * do not stop us are appended to *remarks, one line each; may be NULL. */
int config_load(struct agent_config *c, int argc, char *const *argv, char *const *envp,
		enum config_action *action, struct str *remarks, struct err *e);
void config_done(struct agent_config *c);

/* --help and --print-config. */
void config_help(struct str *out);
void config_print(const struct agent_config *c, struct str *out);

/* Take over from fresh what can change while running (the log's level and format). The names of the
 * other keys that differ are appended to *need_restart. */
void config_reload(struct agent_config *c, const struct agent_config *fresh,
		   struct str *need_restart);
