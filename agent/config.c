/* config.c - file, environment and options, from one table
 * SHAPE  rows -> names: "healthPort" is the file's key, --health-port, MARGAY_HEALTH_PORT; a nested
 *        "defaultPoolV4.cidr" is --default-pool-v4-cidr. Layers: defaults, file, Calico's
 *        variables, MARGAY_*, options; each may replace what the one before said.
 * TESTS  tests/unit/agent/config.c */
#include "agent/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/fields.h"
#include "lib/yaml.h"

#define ENV_PREFIX "MARGAY_"

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
	FIELD_ENUM(struct agent_config, log_level, "logLevel", .words = level_words, .def = "info",
		   .doc = "Least important lines to log."),
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
static const struct fields table = FIELDS("margayd.yaml", struct agent_config, rows);

/* ---- Calico's variables ---- */

enum calico_form {
	FORM_PLAIN,
	FORM_LOWER,   /* words in any case */
	FORM_UPPER,   /* the same, ours are upper case */
	FORM_LEVEL,   /* Calico's log levels */
	FORM_ENABLED, /* Enabled, Disabled */
	FORM_ENCAP,   /* Off is Never */
	FORM_BACKEND, /* bird: BGP on; none, vxlan: off */
	FORM_FIRST,   /* the first of a comma list */
};

static const struct calico_var {
	const char *name, *key;
	enum calico_form form;
} calico_vars[] = {
	{ "NODENAME", "node", FORM_LOWER },
	{ "IP", "ip", FORM_PLAIN },
	{ "IP6", "ip6", FORM_PLAIN },
	{ "IP_AUTODETECTION_METHOD", "ipAutodetection", FORM_PLAIN },
	{ "AS", "asNumber", FORM_PLAIN },
	{ "CALICO_ROUTER_ID", "routerId", FORM_PLAIN },
	{ "CALICO_NETWORKING_BACKEND", "bgp", FORM_BACKEND },
	{ "NO_DEFAULT_POOLS", "noDefaultPools", FORM_LOWER },
	{ "CALICO_IPV4POOL_CIDR", "defaultPoolV4.cidr", FORM_PLAIN },
	{ "CALICO_IPV4POOL_BLOCK_SIZE", "defaultPoolV4.blockSize", FORM_PLAIN },
	{ "CALICO_IPV4POOL_NODE_SELECTOR", "defaultPoolV4.nodeSelector", FORM_PLAIN },
	{ "CALICO_IPV4POOL_NAT_OUTGOING", "defaultPoolV4.natOutgoing", FORM_LOWER },
	{ "CALICO_IPV4POOL_DISABLE_BGP_EXPORT", "defaultPoolV4.disableBGPExport", FORM_LOWER },
	{ "CALICO_IPV4POOL_IPIP", "defaultPoolV4.ipipMode", FORM_ENCAP },
	{ "CALICO_IPV4POOL_VXLAN", "defaultPoolV4.vxlanMode", FORM_ENCAP },
	{ "CALICO_IPV6POOL_CIDR", "defaultPoolV6.cidr", FORM_PLAIN },
	{ "CALICO_IPV6POOL_BLOCK_SIZE", "defaultPoolV6.blockSize", FORM_PLAIN },
	{ "CALICO_IPV6POOL_NODE_SELECTOR", "defaultPoolV6.nodeSelector", FORM_PLAIN },
	{ "CALICO_IPV6POOL_NAT_OUTGOING", "defaultPoolV6.natOutgoing", FORM_LOWER },
	{ "CALICO_IPV6POOL_DISABLE_BGP_EXPORT", "defaultPoolV6.disableBGPExport", FORM_LOWER },
	{ "CALICO_IPV6POOL_VXLAN", "defaultPoolV6.vxlanMode", FORM_ENCAP },
	{ "FELIX_FELIXHOSTNAME", "node", FORM_LOWER },
	{ "FELIX_INTERFACEPREFIX", "interfacePrefix", FORM_FIRST },
	{ "FELIX_REMOVEEXTERNALROUTES", "removeExternalRoutes", FORM_LOWER },
	{ "FELIX_IPFORWARDING", "ipForwarding", FORM_ENABLED },
	{ "FELIX_IPTABLESBACKEND", "iptablesBackend", FORM_LOWER },
	{ "FELIX_IPTABLESMARKMASK", "iptablesMarkMask", FORM_PLAIN },
	{ "FELIX_DEFAULTENDPOINTTOHOSTACTION", "defaultEndpointToHostAction", FORM_UPPER },
	{ "FELIX_IPTABLESFILTERALLOWACTION", "iptablesFilterAllowAction", FORM_UPPER },
	{ "FELIX_IPTABLESMANGLEALLOWACTION", "iptablesMangleAllowAction", FORM_UPPER },
	{ "FELIX_IPTABLESFILTERDENYACTION", "iptablesFilterDenyAction", FORM_UPPER },
	{ "FELIX_CHAININSERTMODE", "chainInsertMode", FORM_LOWER },
	{ "FELIX_IPTABLESREFRESHINTERVAL", "iptablesRefreshInterval", FORM_PLAIN },
	{ "FELIX_IPSETSREFRESHINTERVAL", "ipsetsRefreshInterval", FORM_PLAIN },
	{ "FELIX_LOGSEVERITYSCREEN", "logLevel", FORM_LEVEL },
	{ "FELIX_HEALTHENABLED", "healthEnabled", FORM_LOWER },
	{ "FELIX_HEALTHHOST", "healthHost", FORM_PLAIN },
	{ "FELIX_HEALTHPORT", "healthPort", FORM_PLAIN },
	{ "FELIX_PROMETHEUSMETRICSENABLED", "metricsEnabled", FORM_LOWER },
	{ "FELIX_PROMETHEUSMETRICSHOST", "metricsHost", FORM_PLAIN },
	{ "FELIX_PROMETHEUSMETRICSPORT", "metricsPort", FORM_PLAIN },
};

/* The value in our words; caller frees. */
static char *calico_value(enum calico_form form, const char *value)
{
	static const struct {
		enum calico_form form;
		const char *from, *to;
	} words[] = {
		{ FORM_LEVEL, "warning", "warn" },
		{ FORM_LEVEL, "fatal", "error" },
		{ FORM_LEVEL, "panic", "error" },
		{ FORM_LEVEL, "none", "error" },
		{ FORM_LEVEL, "verbose", "debug" },
		{ FORM_LEVEL, "trace", "debug" },
		{ FORM_ENABLED, "enabled", "true" },
		{ FORM_ENABLED, "disabled", "false" },
		{ FORM_ENCAP, "off", "Never" },
		{ FORM_ENCAP, "never", "Never" },
		{ FORM_ENCAP, "always", "Always" },
		{ FORM_ENCAP, "cross-subnet", "CrossSubnet" },
		{ FORM_ENCAP, "crosssubnet", "CrossSubnet" },
		{ FORM_BACKEND, "bird", "true" },
		{ FORM_BACKEND, "none", "false" },
		{ FORM_BACKEND, "vxlan", "false" },
	};
	char *out;

	if (form == FORM_FIRST)
		return xstrndup(value, strcspn(value, ","));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].form == form && strcasecmp(words[i].from, value) == 0)
			return xstrdup(words[i].to);
	out = xstrdup(value);
	for (char *p = out; (form == FORM_LOWER || form == FORM_LEVEL) && *p; p++)
		*p = (char)tolower((unsigned char)*p);
	for (char *p = out; form == FORM_UPPER && *p; p++)
		*p = (char)toupper((unsigned char)*p);
	return out;
}

/* ---- names ---- */

enum { NAME_MAX_ = 64, NAMES_MAX = 64 };

/* One leaf of the table under its three names. */
struct config_name {
	char path[NAME_MAX_];	/* defaultPoolV4.cidr */
	char option[NAME_MAX_]; /* default-pool-v4-cidr */
	char var[NAME_MAX_];	/* DEFAULT_POOL_V4_CIDR, behind MARGAY_ */
	const struct field *field;
};

struct config_names {
	struct config_name name[NAMES_MAX];
	size_t n;
};

static void name_fill(struct config_name *n, const char *path)
{
	char *o = n->option, *v = n->var;

	str_copy(n->path, sizeof(n->path), path);
	for (const char *p = path; *p && o < n->option + NAME_MAX_ - 2; p++) {
		if (*p == '.' ||
		    (isupper((unsigned char)*p) && p > path && !isupper((unsigned char)p[-1]))) {
			*o++ = '-';
			*v++ = '_';
		}
		if (*p == '.')
			continue;
		*o++ = (char)tolower((unsigned char)*p);
		*v++ = (char)toupper((unsigned char)*p);
	}
	*o = *v = '\0';
}

static void names_add(struct config_names *all, const struct fields *t, const char *under)
{
	for (size_t i = 0; i < t->n && all->n < NAMES_MAX; i++) {
		char path[NAME_MAX_];

		snprintf(path, sizeof(path), "%s%s%s", under, *under ? "." : "", t->row[i].name);
		if (t->row[i].type == FIELD_TYPE_OBJECT) {
			names_add(all, t->row[i].sub, path);
			continue;
		}
		name_fill(&all->name[all->n], path);
		all->name[all->n++].field = &t->row[i];
	}
}

static const char *name_option(const void *arg, size_t i)
{
	return ((const struct config_names *)arg)->name[i].option;
}

static const char *name_var(const void *arg, size_t i)
{
	return ((const struct config_names *)arg)->name[i].var;
}

static const struct config_name *find_option(const struct config_names *all, const char *s,
					     size_t len)
{
	for (size_t i = 0; i < all->n; i++)
		if (strlen(all->name[i].option) == len && strncmp(all->name[i].option, s, len) == 0)
			return &all->name[i];
	return NULL;
}

/* Set one value; the message names where it came from instead of the file's key. */
static int set_from(struct agent_config *c, const char *path, const char *value, const char *where,
		    struct err *e)
{
	struct err local;
	size_t skip = strlen(path);
	const char *text = local.msg;

	if (fields_set(&table, path, value, c, &local) >= 0)
		return 0;
	if (strncmp(text, path, skip) == 0 && strncmp(text + skip, ": ", 2) == 0)
		text += skip + 2;
	return err_set(e, local.code, "%s: %s", where, text);
}

/* ---- layers ---- */

static int read_file(const char *path, bool may_miss, struct str *out, struct err *e)
{
	char buf[4096];
	FILE *f = fopen(path, "re");
	size_t n;
	int rc = 0;

	if (!f)
		return may_miss && errno == ENOENT
			       ? 0
			       : err_set(e, -errno, "%s: cannot read the configuration: %s", path,
					 strerror(errno));
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0 && out->len <= YML_SIZE_MAX)
		str_addn(out, buf, n);
	if (ferror(f))
		rc = err_set(e, -EIO, "%s: cannot read the configuration: %s", path,
			     strerror(errno));
	fclose(f);
	return rc;
}

static int apply_doc(struct agent_config *c, const struct yml_doc *doc, struct err *e)
{
	if (json_is_null(doc->value))
		return 0;
	if (!json_is_object(doc->value))
		return err_set(e, -EINVAL, "%s: must be \"key: value\" lines, is %s", doc->file,
			       js_type_name(doc->value));
	if (fields_apply(&table, doc->value, FIELDS_STRICT, c, e) < 0)
		return yml_err_at(doc, e);
	return 0;
}

static int load_file(struct agent_config *c, const char *path, bool may_miss, struct err *e)
{
	struct yml_docs docs = { 0 };
	struct str text = { 0 };
	int rc = read_file(path, may_miss, &text, e);

	if (rc == 0)
		rc = yml_parse(path, str_text(&text), text.len, &docs, e);
	if (rc >= 0 && docs.n > 1)
		rc = err_set(e, -EINVAL, "%s: holds %zu YAML documents, must be one", path, docs.n);
	if (rc >= 0 && docs.n == 1)
		rc = apply_doc(c, &docs.p[0], e);
	yml_docs_done(&docs);
	str_done(&text);
	return rc;
}

/* The value of NAME in envp; NULL when it is unset or empty, which is how pod templates say
 * unset. */
static const char *env_get(char *const *envp, const char *name)
{
	size_t len = strlen(name);

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return (*envp)[len + 1] ? *envp + len + 1 : NULL;
	return NULL;
}

/* DATASTORE_TYPE and its friends make one text. */
static int load_calico_datastore(struct agent_config *c, char *const *envp, struct err *e)
{
	const char *type = env_get(envp, "DATASTORE_TYPE"), *etcd = env_get(envp, "ETCD_ENDPOINTS"),
		   *kubeconfig = env_get(envp, "KUBECONFIG");

	if (!type)
		type = env_get(envp, "FELIX_DATASTORETYPE");
	if (!type)
		return 0;
	if (strcmp(type, "kubernetes") == 0) {
		free(c->datastore);
		c->datastore = xasprintf("kubernetes%s%s", kubeconfig ? ":" : "",
					 kubeconfig ? kubeconfig : "");
		return 0;
	}
	if (strcmp(type, "etcdv3") != 0)
		return err_set(e, -EINVAL,
			       "variable DATASTORE_TYPE: must be etcdv3 or kubernetes, is \"%s\"",
			       type);
	if (!etcd)
		return err_set(
			e, -EINVAL,
			"variable ETCD_ENDPOINTS: is missing, DATASTORE_TYPE=etcdv3 needs it "
			"(http://HOST:2379[,...])");
	free(c->datastore);
	c->datastore = xasprintf("etcd:%s", etcd);
	return 0;
}

static int load_calico(struct agent_config *c, char *const *envp, struct err *e)
{
	int rc = load_calico_datastore(c, envp, e);

	for (size_t i = 0; i < ARRAY_SIZE(calico_vars) && rc >= 0; i++) {
		const struct calico_var *v = &calico_vars[i];
		const char *value = env_get(envp, v->name);
		char where[96];

		if (!value)
			continue;
		CLEANUP(freep) char *ours = calico_value(v->form, value);

		snprintf(where, sizeof(where), "variable %s", v->name);
		rc = set_from(c, v->key, ours, where, e);
	}
	return rc;
}

/* A MARGAY_ variable that is none of ours may be somebody else's (Kubernetes makes
 * MARGAY_SERVICE_HOST out of a service's name), so only what looks like a slip is worth a word. */
static void remark_unknown(const struct config_names *names, const char *var, size_t len,
			   struct str *remarks)
{
	CLEANUP(freep) char *name = xstrndup(var, len);
	bool service = strstr(name, "SERVICE_HOST") || strstr(name, "SERVICE_PORT");
	const char *near = service ? NULL : word_nearest(name, name_var, names, names->n);

	if (near && remarks)
		str_addf(remarks,
			 "variable " ENV_PREFIX "%s is not known and has no effect; did you "
			 "mean " ENV_PREFIX "%s?\n",
			 name, near);
}

static int load_env(struct agent_config *c, const struct config_names *names, char *const *envp,
		    struct str *remarks, struct err *e)
{
	for (; envp && *envp; envp++) {
		const char *var = *envp + strlen(ENV_PREFIX), *eq = strchr(*envp, '=');
		const struct config_name *n = NULL;
		char where[NAME_MAX_ + 32];

		if (!str_starts(*envp, ENV_PREFIX) || !eq || !eq[1])
			continue;
		for (size_t i = 0; i < names->n && !n; i++)
			if (strlen(names->name[i].var) == (size_t)(eq - var) &&
			    strncmp(names->name[i].var, var, (size_t)(eq - var)) == 0)
				n = &names->name[i];
		if (!n) {
			remark_unknown(names, var, (size_t)(eq - var), remarks);
			continue;
		}
		snprintf(where, sizeof(where), "variable " ENV_PREFIX "%s", n->var);
		if (set_from(c, n->path, eq + 1, where, e) < 0)
			return e ? e->code : -EINVAL;
	}
	return 0;
}

/* What the options say besides values. */
struct command_line {
	enum config_action action;
	const char *file;
};

static int option_unknown(const struct config_names *names, const char *arg, struct err *e)
{
	CLEANUP(freep) char *name = xstrndup(arg + 2, strcspn(arg + 2, "="));
	const char *near = word_nearest(name, name_option, names, names->n);

	if (near)
		return err_set(e, -EINVAL, "option --%s is not known; did you mean --%s?", name,
			       near);
	return err_set(e, -EINVAL, "option --%s is not known; margayd --help lists all", name);
}

/* One option with a value. Returns how many words it took, or a negative errno. */
static int option_value(struct agent_config *c, const struct config_names *names, char *const *argv,
			struct err *e)
{
	const char *eq = strchr(argv[0], '=');
	size_t len = eq ? (size_t)(eq - argv[0]) - 2 : strlen(argv[0]) - 2;
	const struct config_name *n = find_option(names, argv[0] + 2, len);
	const char *value = eq ? eq + 1 : argv[1];
	char where[NAME_MAX_ + 8];
	bool is_bool;

	if (!n)
		return option_unknown(names, argv[0], e);
	is_bool = n->field->type == FIELD_TYPE_BOOL;
	if (is_bool && !eq)
		value = "true";
	if (!value)
		return err_set(e, -EINVAL, "option --%s needs a value", n->option);
	snprintf(where, sizeof(where), "--%s", n->option);
	/* c NULL: the first pass, which only looks for -c. */
	if (c && set_from(c, n->path, value, where, e) < 0)
		return e ? e->code : -EINVAL;
	return eq || is_bool ? 1 : 2;
}

static int load_options(struct agent_config *c, const struct config_names *names, int argc,
			char *const *argv, struct command_line *cl, struct err *e)
{
	for (int i = 1; i < argc;) {
		const char *a = argv[i];
		int took = 1;

		if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)
			cl->action = CONFIG_HELP;
		else if (strcmp(a, "--version") == 0 || strcmp(a, "-V") == 0)
			cl->action = CONFIG_VERSION;
		else if (strcmp(a, "--print-config") == 0)
			cl->action = CONFIG_PRINT;
		else if (str_starts(a, "--config="))
			cl->file = a + strlen("--config=");
		else if (strcmp(a, "-c") == 0 || strcmp(a, "--config") == 0) {
			if (!argv[i + 1])
				return err_set(e, -EINVAL, "option %s needs a file", a);
			cl->file = argv[i + 1];
			took = 2;
		} else if (str_starts(a, "--") && a[2])
			took = option_value(c, names, argv + i, e);
		else
			return err_set(e, -EINVAL,
				       "\"%s\" is not an option; margayd takes only options, "
				       "margayd --help lists them",
				       a);
		if (took < 0)
			return took;
		i += took;
	}
	return 0;
}

/* ---- what follows from what was said ---- */

static int default_node(struct agent_config *c, struct err *e)
{
	char host[256] = "";

	if (*c->node)
		return 0;
	if (gethostname(host, sizeof(host) - 1) < 0)
		return err_set(e, -errno, "node: cannot read the host's name: %s", strerror(errno));
	for (char *p = host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return set_from(c, "node", host, "the host's name, which stands in for an unset \"node\"",
			e);
}

static void derive(struct agent_config *c)
{
	if (!*c->datastore) {
		free(c->datastore);
		c->datastore = xasprintf("sqlite:%s/margay.db", c->state_dir);
	}
}

/* Members whose row has no default are NULL until set. */
static void no_nulls(struct agent_config *c)
{
	char **text[] = { &c->node,
			  &c->datastore,
			  &c->run_dir,
			  &c->state_dir,
			  &c->ip,
			  &c->ip6,
			  &c->ip_method,
			  &c->router_id,
			  &c->pool_v4.node_selector,
			  &c->pool_v6.node_selector,
			  &c->interface_prefix,
			  &c->mark_mask,
			  &c->nodename_file,
			  &c->health_host,
			  &c->metrics_host };

	for (size_t i = 0; i < ARRAY_SIZE(text); i++)
		if (!*text[i])
			*text[i] = xstrdup("");
}

int config_load(struct agent_config *c, int argc, char *const *argv, char *const *envp,
		enum config_action *action, struct str *remarks, struct err *e)
{
	struct command_line cl = { CONFIG_RUN, NULL };
	struct config_names names = { .n = 0 };
	int rc;

	names_add(&names, &table, "");
	fields_init(&table, c);
	no_nulls(c);
	rc = load_options(NULL, &names, argc, argv, &cl, e);
	if (rc >= 0 && cl.action != CONFIG_HELP && cl.action != CONFIG_VERSION) {
		rc = load_file(c, cl.file ? cl.file : CONFIG_FILE_DEFAULT, !cl.file, e);
		if (rc >= 0)
			rc = load_calico(c, envp, e);
		if (rc >= 0)
			rc = load_env(c, &names, envp, remarks, e);
		if (rc >= 0)
			rc = load_options(c, &names, argc, argv, &cl, e);
		if (rc >= 0)
			rc = fields_complete(&table, c, e);
		no_nulls(c);
		if (rc >= 0)
			rc = default_node(c, e);
		derive(c);
	}
	if (rc < 0)
		config_done(c);
	*action = cl.action;
	return rc < 0 ? rc : 0;
}

void config_done(struct agent_config *c)
{
	fields_done(&table, c);
}

/* ---- to be read ---- */

static void help_names(const struct config_name *n, struct str *out)
{
	bool first = true;

	str_addf(out, "        file: %s  environment: " ENV_PREFIX "%s", n->path, n->var);
	for (size_t i = 0; i < ARRAY_SIZE(calico_vars); i++) {
		if (strcmp(calico_vars[i].key, n->path) != 0)
			continue;
		str_addf(out, "%s%s", first ? ", Calico's " : ", ", calico_vars[i].name);
		first = false;
	}
	str_add(out, "\n");
}

void config_help(struct str *out)
{
	struct config_names names = { .n = 0 };

	names_add(&names, &table, "");
	str_add(out,
		"margayd - gives pods their addresses and carries them across hosts\n\n"
		"usage: margayd [-c FILE] [OPTION...]\n\n"
		"  -c, --config FILE\n        file of keys (YAML); default " CONFIG_FILE_DEFAULT
		"\n"
		"  --print-config\n        show what holds after file, environment and options\n"
		"  --help, --version\n\n"
		"Options go before the environment, the environment before the file.\n"
		"DATASTORE_TYPE, ETCD_ENDPOINTS and KUBECONFIG stand for --datastore.\n"
		"Every FELIX_NAME is read as that field of FelixConfiguration, over the objects of the\n"
		"datastore and below what is told here.\n\n");
	for (size_t i = 0; i < names.n; i++) {
		const struct config_name *n = &names.name[i];

		str_addf(out, "  --%s VALUE\n        %s ", n->option, n->field->doc);
		field_expects(n->field, out);
		if (n->field->def && *n->field->def)
			str_addf(out, "; default %s", n->field->def);
		str_add(out, "\n");
		help_names(n, out);
	}
	str_add(out, "\nSignals: TERM ends (routes and pods stay as they are), HUP reads the "
		     "configuration\n"
		     "again, USR1 writes the state to the log.\n");
}

static void print_rows(const struct fields *t, const json_t *obj, const char *indent,
		       struct str *out)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct field *f = &t->row[i];
		json_t *value = json_object_get(obj, f->name);

		str_addf(out, "%s# %s\n", indent, f->doc);
		if (f->type == FIELD_TYPE_OBJECT) {
			str_addf(out, "%s%s:\n", indent, f->name);
			print_rows(f->sub, value, "  ", out);
		} else if (!value) {
			str_addf(out, "%s# %s:\n", indent, f->name);
		} else {
			json_t *one = json_object();

			json_object_set(one, f->name, value);
			CLEANUP(freep) char *text = yml_dump(one);

			str_addf(out, "%s%s", indent, text);
			json_decref(one);
		}
	}
}

void config_print(const struct agent_config *c, struct str *out)
{
	json_t *obj = json_object();

	fields_encode(&table, c, obj);
	print_rows(&table, obj, "", out);
	json_decref(obj);
}

void config_reload(struct agent_config *c, const struct agent_config *fresh,
		   struct str *need_restart)
{
	json_t *old = json_object(), *new = json_object();

	c->log_level = fresh->log_level;
	c->log_format = fresh->log_format;
	fields_encode(&table, c, old);
	fields_encode(&table, fresh, new);
	for (size_t i = 0; i < table.n; i++) {
		const json_t *a = json_object_get(old, rows[i].name),
			     *b = json_object_get(new, rows[i].name);

		if (a == b || json_equal(a, b))
			continue;
		str_addf(need_restart, "%s%s", need_restart->len ? ", " : "", rows[i].name);
	}
	json_decref(old);
	json_decref(new);
}
