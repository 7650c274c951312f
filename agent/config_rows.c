/* config_rows.c - every setting: its key, range, default and sentence
 * SHAPE  checks of single values, then the rows
 * TESTS  tests/unit/agent/config.c */
#include "agent/config_rows.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"

static const char *const level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const format_words[] = { "logfmt", "json", NULL };
static const char *const encap_words[] = { "Never", "Always", "CrossSubnet", NULL };
static const char *const backend_words[] = { "auto", "nft", "legacy", NULL };
static const char *const insert_words[] = { "insert", "append", NULL };
const char *const config_to_host_words[] = { "DROP", "RETURN", "ACCEPT", NULL };
const char *const config_allow_words[] = { "ACCEPT", "RETURN", NULL };
const char *const config_deny_words[] = { "DROP", "REJECT", NULL };

/* ---- checks of single values ---- */

static int check_node(const void *value, struct err *e)
{
	const char *s = value;

	if (*s == '\0')
		return 0;
	for (const char *p = s; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr("-.", *p))
			return err_set(
				e, -EINVAL,
				"must be a DNS name in lower case (a-z, 0-9, - and .), is \"%s\"",
				s);
	if (strlen(s) > 253 || !isalnum((unsigned char)*s))
		return err_set(e, -EINVAL,
			       "must begin with a letter or digit and have at most 253 characters");
	return 0;
}

static int check_ip_of(const char *s, enum ip_family family, struct err *e)
{
	struct prefix p;

	if (!*s || strcmp(s, "autodetect") == 0 || strcmp(s, "none") == 0)
		return 0;
	if (prefix_parse_or_addr(s, &p) && p.addr.family == family)
		return 0;
	return err_set(
		e, -EINVAL,
		"must be autodetect, none, or an IPv%d address with or without /LENGTH, is \"%s\"",
		family, s);
}

static int check_ip(const void *value, struct err *e)
{
	return check_ip_of(value, IP_V4, e);
}

static int check_ip6(const void *value, struct err *e)
{
	return check_ip_of(value, IP_V6, e);
}

static int check_method(const void *value, struct err *e)
{
	static const char *const with_arg[] = { "interface=", "skip-interface=", "can-reach=",
						"cidr=" };
	const char *s = value;

	if (strcmp(s, "first-found") == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(with_arg); i++)
		if (str_starts(s, with_arg[i]) && s[strlen(with_arg[i])])
			return 0;
	return err_set(e, -EINVAL,
		       "must be first-found, interface=REGEX[,...], skip-interface=REGEX[,...], "
		       "can-reach=ADDRESS or cidr=CIDR[,...], is \"%s\"",
		       s);
}

static int check_router_id(const void *value, struct err *e)
{
	const char *s = value;
	struct addr a;

	if (!*s || strcmp(s, "hash") == 0)
		return 0;
	if (addr_parse(s, &a) && a.family == IP_V4 && !addr_is_zero(&a))
		return 0;
	return err_set(e, -EINVAL, "must be \"hash\" or four numbers as in 10.0.0.1, is \"%s\"", s);
}

static int check_host(const void *value, struct err *e)
{
	const char *s = value;
	struct addr a;

	if (strcmp(s, "localhost") == 0 || addr_parse(s, &a))
		return 0;
	return err_set(e, -EINVAL, "must be an IP address or localhost, is \"%s\"", s);
}

/* The prefix and 11 characters make an interface name of at most 15. */
static int check_if_prefix(const void *value, struct err *e)
{
	const char *s = value;
	size_t n = strlen(s);

	if (n < 1 || n > 4 ||
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") < n)
		return err_set(e, -EINVAL, "must be 1 to 4 letters and digits, is \"%s\"", s);
	return 0;
}

/* Five bits are needed: accept, pass, drop and two for passing. */
static int check_mark_mask(const void *value, struct err *e)
{
	const char *s = value;
	char *end;
	unsigned long mask = strtoul(s, &end, 0);

	if (*s && !*end && mask <= UINT32_MAX && __builtin_popcountl(mask) >= 5)
		return 0;
	return err_set(e, -EINVAL,
		       "must be 32 bits in hex with at least five set, as in 0xffff0000, is \"%s\"",
		       s);
}

/* ---- the table ---- */

static const struct field pool_v4_rows[] = {
	FIELD_CIDR(struct config_pool, cidr, "cidr", .family = IP_V4,
		   .doc = "Its range; unset: 192.168.0.0/16, or the first of 172.16.0.0/16 to "
			  "172.31.0.0/16 that the node does not use itself."),
	FIELD_INT(struct config_pool, block_size, "blockSize", .min = 20, .max = 32, .def = "26",
		  .doc = "Prefix length of a node's blocks."),
	FIELD_STRING(struct config_pool, node_selector, "nodeSelector", .def = "all()",
		     .doc = "Which nodes use it."),
	FIELD_BOOL(struct config_pool, nat_outgoing, "natOutgoing", .def = "true",
		   .doc = "Hide pods behind the node's address when they leave the pools."),
	FIELD_BOOL(struct config_pool, disable_bgp_export, "disableBGPExport", .def = "false",
		   .doc = "Do not announce its routes."),
	FIELD_ENUM(struct config_pool, ipip, "ipipMode", .words = encap_words, .def = "Never",
		   .doc = "IP-in-IP between nodes."),
	FIELD_ENUM(struct config_pool, vxlan, "vxlanMode", .words = encap_words, .def = "Never",
		   .doc = "VXLAN between nodes."),
};
static const struct fields pool_v4_fields =
	FIELDS("default IPv4 pool", struct config_pool, pool_v4_rows);

static const struct field pool_v6_rows[] = {
	FIELD_CIDR(struct config_pool, cidr, "cidr", .family = IP_V6,
		   .doc = "Its range; unset: no IPv6 pool is made."),
	FIELD_INT(struct config_pool, block_size, "blockSize", .min = 116, .max = 128, .def = "122",
		  .doc = "Prefix length of a node's blocks."),
	FIELD_STRING(struct config_pool, node_selector, "nodeSelector", .def = "all()",
		     .doc = "Which nodes use it."),
	FIELD_BOOL(struct config_pool, nat_outgoing, "natOutgoing", .def = "false",
		   .doc = "Hide pods behind the node's address when they leave the pools."),
	FIELD_BOOL(struct config_pool, disable_bgp_export, "disableBGPExport", .def = "false",
		   .doc = "Do not announce its routes."),
	FIELD_ENUM(struct config_pool, vxlan, "vxlanMode", .words = encap_words, .def = "Never",
		   .doc = "VXLAN between nodes."),
};
static const struct fields pool_v6_fields =
	FIELDS("default IPv6 pool", struct config_pool, pool_v6_rows);

static const struct field rows[] = {
	FIELD_STRING(
		struct agent_config, node, "node", .def = "", .check = check_node,
		.doc = "Name of this node's Node resource; unset: the host's name in lower case."),
	FIELD_STRING(struct agent_config, datastore, "datastore", .def = "",
		     .doc = "sqlite:PATH, etcd:URL[,URL...] or kubernetes[:KUBECONFIG]; unset: "
			    "sqlite:STATEDIR/margay.db."),
	FIELD_STRING(struct agent_config, run_dir, "runDir", .def = "/run/margay",
		     .flags = FIELD_NOT_EMPTY,
		     .doc = "Sockets cni.sock and ctl.sock, and the lock."),
	FIELD_STRING(struct agent_config, state_dir, "stateDir", .def = "/var/lib/margay",
		     .flags = FIELD_NOT_EMPTY, .doc = "What outlives a restart of the machine."),
	FIELD_STRING(struct agent_config, bird_socket_dir, "birdSocketDir", .def = "",
		     .doc = "Answer calicoctl node status in BIRD's place, on bird.ctl and bird6.ctl "
			    "in this directory: /var/run/calico for Calico's tools; unset: do not."),
	FIELD_STRING(
		struct agent_config, ip, "ip", .def = "", .check = check_ip,
		.doc = "The node's IPv4 address: autodetect, none, or ADDRESS[/LENGTH]; unset: "
		       "what the Node resource says, else autodetect."),
	FIELD_STRING(struct agent_config, ip6, "ip6", .def = "none", .check = check_ip6,
		     .doc = "The same for IPv6."),
	FIELD_STRING(struct agent_config, ip_method, "ipAutodetection", .def = "first-found",
		     .check = check_method,
		     .doc = "How autodetect chooses: first-found, interface=REGEX[,...], "
			    "skip-interface=REGEX[,...], can-reach=ADDRESS or cidr=CIDR[,...]."),
	FIELD_ASN(struct agent_config, as, "asNumber",
		  .doc = "Written into the Node resource; unset: the cluster's default holds."),
	FIELD_STRING(struct agent_config, router_id, "routerId", .def = "",
		     .check = check_router_id,
		     .doc = "BGP identifier: hash (of the node's name) or four numbers; unset: the "
			    "IPv4 address."),
	FIELD_BOOL(struct agent_config, bgp, "bgp", .def = "true",
		   .doc = "Exchange routes with other nodes and routers."),
	FIELD_CIDRS(struct agent_config, cluster_ips, "advertiseClusterIPs",
		    .flags = FIELD_ADDR_TOO,
		    .doc = "Ranges of services' cluster addresses to announce; set: in place of "
			   "serviceClusterIPs of BGPConfiguration."),
	FIELD_BOOL(struct agent_config, no_default_pools, "noDefaultPools", .def = "false",
		   .doc = "Make no IP pools when there are none."),
	FIELD_OBJECT(struct agent_config, pool_v4, pool_v4_fields, "defaultPoolV4",
		     .doc = "The IPv4 pool made when there are none."),
	FIELD_OBJECT(struct agent_config, pool_v6, pool_v6_fields, "defaultPoolV6",
		     .doc = "The IPv6 pool made when there are none."),
	FIELD_STRING(struct agent_config, interface_prefix, "interfacePrefix", .def = "cali",
		     .check = check_if_prefix, .doc = "How pods' host interfaces begin."),
	FIELD_INT(struct agent_config, mtu, "mtu", .min = 0, .max = 65535, .def = "0",
		  .doc = "MTU of pods; 0: the smallest of the node's uplinks.", .unit = "bytes"),
	FIELD_INT(struct agent_config, gc_grace_s, "gcGrace", .min = 0, .max = 86400, .def = "60",
		  .unit = "s",
		  .doc = "What is younger survives a CNI GC that does not list it: its ADD may have "
			 "come after the list was made."),
	FIELD_INT(struct agent_config, route_protocol, "routeProtocol", .min = 4, .max = 255,
		  .def = "80", .doc = "Kernel protocol number that marks our routes."),
	FIELD_BOOL(struct agent_config, remove_external_routes, "removeExternalRoutes",
		   .def = "true", .doc = "Remove routes of others on pods' interfaces."),
	FIELD_BOOL(struct agent_config, ip_forward, "ipForwarding", .def = "true",
		   .doc = "Turn the kernel's IP forwarding on."),
	FIELD_STRING(struct agent_config, nodename_file, "nodenameFile", .def = "",
		     .doc = "File to write the node's name to, for Calico's own CNI plugin "
			    "(/var/lib/calico/nodename); unset: none."),
	FIELD_BOOL(struct agent_config, policy, "policy", .def = "true",
		   .doc = "Enforce network policy; false: policies are stored, and pods are as open "
			  "as the host lets them be."),
	FIELD_BOOL(struct agent_config, network_rules, "networkRules", .def = "true",
		   .doc = "With policy off, write the rules of NAT and of tunnels all the same; false: "
			  "another agent (Calico's) does it."),
	FIELD_ENUM(struct agent_config, iptables_backend, "iptablesBackend", FIELD_HAS(struct agent_config, has_iptables_backend),
		   .words = backend_words, .def = "auto",
		   .doc = "Which iptables holds the rules; auto: the one that others use here."),
	FIELD_STRING(struct agent_config, mark_mask, "iptablesMarkMask", FIELD_HAS(struct agent_config, has_mark_mask), .def = "0xffff0000",
		     .check = check_mark_mask,
		     .doc = "Bits of a packet's mark that the rules may use."),
	FIELD_ENUM(struct agent_config, endpoint_to_host, "defaultEndpointToHostAction", FIELD_HAS(struct agent_config, has_endpoint_to_host),
		   .words = config_to_host_words, .def = "RETURN",
		   .doc = "What becomes of packets from a pod to its own host that its egress "
			  "policy allows; RETURN: what the host's own rules say."),
	FIELD_ENUM(struct agent_config, filter_allow, "iptablesFilterAllowAction", FIELD_HAS(struct agent_config, has_filter_allow),
		   .words = config_allow_words, .def = "ACCEPT",
		   .doc = "What becomes of allowed packets in table filter; RETURN: the host's "
			  "rules decide."),
	FIELD_ENUM(struct agent_config, mangle_allow, "iptablesMangleAllowAction", FIELD_HAS(struct agent_config, has_mangle_allow),
		   .words = config_allow_words, .def = "ACCEPT", .doc = "The same in mangle."),
	FIELD_ENUM(struct agent_config, filter_deny, "iptablesFilterDenyAction", FIELD_HAS(struct agent_config, has_filter_deny),
		   .words = config_deny_words, .def = "DROP",
		   .doc = "What becomes of denied packets."),
	FIELD_ENUM(struct agent_config, chain_insert, "chainInsertMode", FIELD_HAS(struct agent_config, has_chain_insert), .words = insert_words,
		   .def = "insert",
		   .doc = "Before or behind the rules of others in the kernel's chains."),
	FIELD_INT(struct agent_config, rules_refresh_s, "iptablesRefreshInterval", FIELD_HAS(struct agent_config, has_rules_refresh), .min = 0,
		  .max = 86400, .def = "180", .unit = "s",
		  .doc = "Read the kernel's rules again after this time; 0: never."),
	FIELD_INT(struct agent_config, sets_refresh_s, "ipsetsRefreshInterval", FIELD_HAS(struct agent_config, has_sets_refresh), .min = 0,
		  .max = 86400, .def = "90", .unit = "s",
		  .doc = "Read the kernel's sets again after this time; 0: never."),
	FIELD_INT(struct agent_config, iptables_lock_s, "iptablesLockTimeout", .min = 1,
		  .max = 60, .def = "5", .unit = "s",
		  .doc = "How long to wait while somebody else holds the xtables lock."),
	FIELD_BOOL(struct agent_config, cut_flows, "cutDeniedFlows", .def = "false",
		   .doc = "When a policy is narrowed, end the flows that it now denies; false: they go "
			  "on to their end, as with Calico."),
	FIELD_ENUM(struct agent_config, log_level, "logLevel",
		   FIELD_HAS(struct agent_config, has_log_level), .words = level_words, .def = "info",
		   .doc = "Least important lines to log; set: whatever logSeverityScreen of "
			  "BGPConfiguration says."),
	FIELD_ENUM(struct agent_config, log_format, "logFormat", .words = format_words,
		   .def = "logfmt", .doc = "How log lines are written."),
	FIELD_BOOL(struct agent_config, health, "healthEnabled", .def = "true",
		   .doc = "Serve /liveness and /readiness over HTTP."),
	FIELD_STRING(struct agent_config, health_host, "healthHost", .def = "127.0.0.1",
		     .check = check_host, .doc = "Address for that."),
	FIELD_INT(struct agent_config, health_port, "healthPort", .min = 1, .max = 65535,
		  .def = "9099", .doc = "TCP port for that."),
	FIELD_BOOL(struct agent_config, metrics, "metricsEnabled",
		   FIELD_HAS(struct agent_config, has_metrics), .def = "true",
		   .doc = "Serve /metrics for Prometheus over HTTP."),
	FIELD_STRING(struct agent_config, metrics_host, "metricsHost",
		     FIELD_HAS(struct agent_config, has_metrics_host), .def = "127.0.0.1",
		     .check = check_host, .doc = "Address for that."),
	FIELD_INT(struct agent_config, metrics_port, "metricsPort",
		  FIELD_HAS(struct agent_config, has_metrics_port), .min = 1, .max = 65535,
		  .def = "9091", .doc = "TCP port for that."),
};
const struct fields config_table = FIELDS("margayd.yaml", struct agent_config, rows);
