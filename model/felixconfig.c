/* felixconfig.c - FelixConfiguration: the rows that this agent obeys */
#include "model/felixconfig.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/bgpconfig.h"
#include "model/object.h"
#include "model/validate.h"

static const char *const on_off[] = { "Enabled", "Disabled", NULL };
static const char *const off_on[] = { "Disabled", "Enabled", NULL };
static const char *const host_words[] = { "Drop", "Return", "Accept", NULL };
static const char *const allow_words[] = { "Accept", "Return", NULL };
static const char *const deny_words[] = { "Drop", "Reject", NULL };
static const char *const insert_words[] = { "Insert", "Append", NULL };
static const char *const backend_words[] = { "Auto", "NFT", "Legacy", NULL };
static const char *const loop_words[] = { "Drop", "Reject", "Disabled", NULL };
static const char *const exclusion_words[] = { "IPPoolsOnly", "IPPoolsAndHostIPs", NULL };
static const char *const spoof_words[] = { "Disabled", "Any", NULL };

enum {
	MARK_BITS = 5, /* accept, pass, drop and two for passing */
	REFRESH_MAX_MS = 24 * 3600 * 1000,
};

static int mark_mask_check(const void *value, struct err *e)
{
	const int64_t *mask = value;

	if (__builtin_popcountll((uint64_t)*mask) >= MARK_BITS)
		return 0;
	return err_set(e, -EINVAL, "must have at least %d bits set, 0x%llx has %d", MARK_BITS,
		       (unsigned long long)*mask, __builtin_popcountll((uint64_t)*mask));
}

/* It goes into a rule of iptables, in quotes. */
static int log_prefix_check(const void *value, struct err *e)
{
	for (const char *p = value; *p; p++)
		if (*p < ' ' || *p > '~' || strchr("\"\\`$", *p))
			return err_set(e, -EINVAL,
				       "must be printable, without quotes, is \"%.60s\"",
				       (const char *)value);
	return 0;
}

/* "10/minute": as iptables' limit has it. */
static int rate_check(const void *value, struct err *e)
{
	static const char *const units[] = { "second", "minute", "hour", "day" };
	const char *text = value, *slash = strchr(text, '/');
	size_t digits = strspn(text, "0123456789");
	long n = strtol(text, NULL, 10);

	if (!*text)
		return 0;
	for (size_t i = 0; slash && i < ARRAY_SIZE(units); i++)
		if (digits && text + digits == slash && digits < 6 && n >= 1 && n <= 10000 &&
		    !strcmp(slash + 1, units[i]))
			return 0;
	return err_set(e, -EINVAL,
		       "must be N/second, N/minute, N/hour or N/day with N from 1 to 10000, is "
		       "\"%.60s\"",
		       text);
}

bool felixconfig_ports(const json_t *v, uint16_t *first, uint16_t *last)
{
	CLEANUP(freep)
	char *number =
		json_is_integer(v) ? xasprintf("%lld", (long long)json_integer_value(v)) : NULL;
	const char *text = number ? number : json_string_value(v), *colon;
	uint64_t a = 0, b = 0;

	*first = *last = 0;
	if (!v || json_is_null(v))
		return true;
	if (!text)
		return false;
	colon = strchr(text, ':');
	CLEANUP(freep) char *low = xstrndup(text, colon ? (size_t)(colon - text) : strlen(text));

	if (!parse_u64(low, UINT16_MAX, &a) ||
	    !parse_u64(colon ? colon + 1 : low, UINT16_MAX, &b) || !a || a > b)
		return false;
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return true;
}

static int ports_check(const void *value, struct err *e)
{
	json_t *const *v = value;
	uint16_t first, last;

	if (felixconfig_ports(*v, &first, &last))
		return 0;
	return err_set(e, -EINVAL, "must be a port, or \"LEAST:MOST\" with ports from 1 to 65535");
}

/* It goes into a rule of iptables, bare. "eth+" is all whose names begin with eth. */
static int interface_check(const void *value, struct err *e)
{
	const char *text = value;
	size_t n = strcspn(text, "+");

	if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		    n &&
	    n < FELIX_NAT_INTERFACE_MAX && (!text[n] || !text[n + 1]) && text[0] != '-')
		return 0;
	return err_set(e, -EINVAL,
		       "must be the name of an interface, or how names begin and \"+\", is "
		       "\"%.60s\"",
		       text);
}

static int protocol_check(const void *value, struct err *e)
{
	const char *text = value;

	if (!strcasecmp(text, "tcp") || !strcasecmp(text, "udp"))
		return 0;
	return err_set(e, -EINVAL, "must be tcp or udp, is \"%.60s\"", text);
}

static const struct field port_rows[] = {
	FIELD_STRING(struct felix_port, protocol, "protocol", .def = "tcp", .check = protocol_check,
		     .doc = "tcp or udp."),
	FIELD_INT(struct felix_port, port, "port", .min = 0, .max = 65535, .flags = FIELD_REQUIRED,
		  .doc = "Its number."),
	FIELD_CIDR(struct felix_port, net, "net", .flags = FIELD_HOST_BITS | FIELD_ADDR_TOO,
		   .doc = "Only for peers in this range."),
};
static const struct fields port_fields = FIELDS("port", struct felix_port, port_rows);

#define PORT	 .min = 1, .max = 65535
#define PRIORITY .min = 1, .max = 2147483646

static const struct field rows[] = {
	FIELD_STRING(struct felixconfig, interface_prefix, "interfacePrefix", .def = "cali",
		     .flags = FIELD_NOT_EMPTY,
		     .doc = "What the node's ends of pods' links begin with."),
	FIELD_STRING(struct felixconfig, status_path_prefix, "endpointStatusPathPrefix",
		     .def = "/var/run/calico", .doc = "Folder of the endpoint status files."),
	FIELD_INT(struct felixconfig, route_protocol, "deviceRouteProtocol", .min = 1, .max = 255,
		  .def = "80", .doc = "Protocol number that marks our routes in the kernel."),
	FIELD_BOOL(struct felixconfig, remove_external_routes, "removeExternalRoutes",
		   .def = "true", .doc = "Remove routes of others to pods' links."),
	FIELD_ADDR(struct felixconfig, route_source, "deviceRouteSourceAddress", .family = IP_V4,
		   .doc = "Preferred source address of pods' routes."),
	FIELD_ADDR(struct felixconfig, route_source_v6, "deviceRouteSourceAddressIPv6",
		   .family = IP_V6, .doc = "The same for IPv6."),
	FIELD_ENUM(struct felixconfig, program_routes, "programClusterRoutes",
		   .words = program_routes_words, .def = "EnabledIPIPOnly",
		   .doc = "Which pools' routes Felix puts into the kernel."),
	FIELD_ENUM(struct felixconfig, ip_forwarding, "ipForwarding", .words = on_off,
		   .def = "Enabled", .doc = "Turn on forwarding in the kernel."),
	FIELD_STRING(struct felixconfig, mtu_pattern, "mtuIfacePattern",
		     FIELD_HAS(struct felixconfig, has_mtu_pattern),
		     .def = "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)",
		     .doc = "Interfaces whose MTU counts."),
	FIELD_BOOL(struct felixconfig, ipip_enabled, "ipipEnabled",
		   FIELD_HAS(struct felixconfig, has_ipip_enabled),
		   .doc = "Have the IP-in-IP device; not given: when a pool needs it."),
	FIELD_BOOL(struct felixconfig, vxlan_enabled, "vxlanEnabled",
		   FIELD_HAS(struct felixconfig, has_vxlan_enabled),
		   .doc = "Have the VXLAN device; not given: when a pool needs it."),
	FIELD_INT(struct felixconfig, ipip_mtu, "ipipMTU", .min = 0, .max = 65535, .unit = "bytes",
		  .doc = "MTU of the IP-in-IP device; 0: automatic."),
	FIELD_INT(struct felixconfig, vxlan_mtu, "vxlanMTU", .min = 0, .max = 65535,
		  .unit = "bytes", .doc = "MTU of the VXLAN device; 0: automatic."),
	FIELD_INT(struct felixconfig, vxlan_mtu_v6, "vxlanMTUV6", .min = 0, .max = 65535,
		  .unit = "bytes", .doc = "The same over IPv6."),
	FIELD_INT(struct felixconfig, vxlan_vni, "vxlanVNI", .min = 0, .max = 16777215,
		  .def = "4096", .doc = "VXLAN network identifier."),
	FIELD_INT(struct felixconfig, vxlan_port, "vxlanPort", PORT, .def = "4789",
		  .doc = "UDP port of VXLAN."),
	FIELD_DURATION(struct felixconfig, route_refresh_ms, "routeRefreshInterval", .def = "90s",
		       .doc = "Time between two full looks at the kernel's routes; 0: never."),
	FIELD_ENUM(struct felixconfig, floating_ips, "floatingIPs", .words = off_on,
		   .def = "Disabled", .doc = "Whether pods may have floating addresses."),
	FIELD_ENUM(struct felixconfig, endpoint_to_host, "defaultEndpointToHostAction",
		   FIELD_HAS(struct felixconfig, has_endpoint_to_host), .words = host_words,
		   .def = "Drop", .flags = FIELD_ANY_CASE,
		   .doc = "What happens to packets from pods to their own node."),
	FIELD_ENUM(struct felixconfig, filter_allow, "iptablesFilterAllowAction",
		   .words = allow_words, .def = "Accept", .flags = FIELD_ANY_CASE,
		   .doc = "What becomes of allowed packets in table filter."),
	FIELD_ENUM(struct felixconfig, mangle_allow, "iptablesMangleAllowAction",
		   .words = allow_words, .def = "Accept", .flags = FIELD_ANY_CASE,
		   .doc = "The same in table mangle."),
	FIELD_ENUM(struct felixconfig, filter_deny, "iptablesFilterDenyAction", .words = deny_words,
		   .def = "Drop", .flags = FIELD_ANY_CASE,
		   .doc = "What becomes of denied packets."),
	FIELD_ENUM(struct felixconfig, chain_insert, "chainInsertMode", .words = insert_words,
		   .def = "Insert", .flags = FIELD_ANY_CASE,
		   .doc = "Before or behind the rules of others."),
	FIELD_ENUM(struct felixconfig, iptables_backend, "iptablesBackend", .words = backend_words,
		   .def = "Auto", .flags = FIELD_ANY_CASE,
		   .doc = "Which iptables holds the rules."),
	FIELD_INT64(struct felixconfig, mark_mask, "iptablesMarkMask", .min = 1, .max = UINT32_MAX,
		    .def = "4294901760", .check = mark_mask_check,
		    .doc = "Bits of a packet's mark that the rules may use."),
	FIELD_DURATION(struct felixconfig, rules_refresh_ms, "iptablesRefreshInterval",
		       .max = REFRESH_MAX_MS, .def = "180s",
		       .doc = "Time between two full looks at the kernel's rules; 0: never."),
	FIELD_DURATION(struct felixconfig, sets_refresh_ms, "ipsetsRefreshInterval",
		       .max = REFRESH_MAX_MS, .def = "90s", .doc = "The same for sets."),
	FIELD_INT(struct felixconfig, max_set_size, "maxIpsetSize", .min = 1, .max = 1 << 24,
		  .def = "1048576", .unit = "members", .doc = "Most members of a set."),
	FIELD_OBJECTS(struct felixconfig, failsafe_in, port_fields, "failsafeInboundHostPorts",
		      FIELD_HAS(struct felixconfig, has_failsafe_in),
		      .doc = "Ports of the node that no policy shuts; [] for none."),
	FIELD_OBJECTS(struct felixconfig, failsafe_out, port_fields, "failsafeOutboundHostPorts",
		      FIELD_HAS(struct felixconfig, has_failsafe_out),
		      .doc = "Ports of others that the node always reaches; [] for none."),
	FIELD_STRING(struct felixconfig, log_prefix, "logPrefix", .def = "calico-packet",
		     .check = log_prefix_check,
		     .doc = "How log lines of rules begin; %t tier, %k kind, %n name, %p both."),
	FIELD_STRING(struct felixconfig, log_rate, "logActionRateLimit", .def = "",
		     .check = rate_check,
		     .doc = "Most log lines of a rule in a time, as in 10/minute."),
	FIELD_INT(struct felixconfig, log_burst, "logActionRateLimitBurst", .min = 1, .max = 9999,
		  .def = "5", .doc = "So many lines may come before the limit holds."),
	FIELD_BOOL(struct felixconfig, accept_invalid, "disableConntrackInvalidCheck",
		   .def = "false", .doc = "Let packets pass that belong to no flow."),
	FIELD_ENUM(struct felixconfig, service_loops, "serviceLoopPrevention", .words = loop_words,
		   .def = "Drop", .flags = FIELD_ANY_CASE,
		   .doc = "What becomes of packets to service addresses that nobody takes."),
	FIELD_BOOL(struct felixconfig, vxlan_from_pods, "allowVXLANPacketsFromWorkloads",
		   .def = "false", .doc = "Let pods send VXLAN packets."),
	FIELD_BOOL(struct felixconfig, ipip_from_pods, "allowIPIPPacketsFromWorkloads",
		   .def = "false", .doc = "Let pods send IP-in-IP packets."),
	FIELD_ENUM(struct felixconfig, source_spoofing, "workloadSourceSpoofing",
		   .words = spoof_words, .def = "Disabled", .flags = FIELD_ANY_CASE,
		   .doc = "Any: pods may use the source addresses that their annotation lists."),
	FIELD_BOOL(struct felixconfig, ipv6, "ipv6Support", .def = "true",
		   .doc = "Write rules for IPv6."),
	FIELD_ADDR(struct felixconfig, nat_address, "natOutgoingAddress",
		   .doc = "What pods are seen as outside; not given: the node's address there."),
	FIELD_JSON(struct felixconfig, nat_ports, "natPortRange", .check = ports_check,
		   .doc = "Ports that pods are seen with outside, as in \"32768:65535\"."),
	FIELD_STRING(struct felixconfig, nat_interface, "iptablesNATOutgoingInterfaceFilter",
		     .check = interface_check,
		     .doc = "Addresses are translated only out of this interface."),
	FIELD_ENUM(struct felixconfig, nat_exclusions, "natOutgoingExclusions",
		   .words = exclusion_words, .def = "IPPoolsOnly", .flags = FIELD_ANY_CASE,
		   .doc = "To whom pods' own addresses are shown."),
	FIELD_CIDRS(struct felixconfig, external_nodes, "externalNodesList",
		    .flags = FIELD_HOST_BITS | FIELD_ADDR_TOO,
		    .doc = "Who may send packets in a tunnel besides the nodes."),
	FIELD_STRING(struct felixconfig, feature_override, "featureDetectOverride",
		     .doc = "What the node's tools can, as in MASQFullyRandom=false."),
	FIELD_INT(struct felixconfig, health_port, "healthPort", PORT, .def = "9099",
		  .doc = "TCP port of liveness and readiness."),
	FIELD_INT(struct felixconfig, metrics_port, "prometheusMetricsPort", PORT, .def = "9091",
		  .doc = "TCP port of the metrics."),
	FIELD_BOOL(struct felixconfig, metrics_enabled, "prometheusMetricsEnabled",
		   FIELD_HAS(struct felixconfig, has_metrics_enabled), .def = "false",
		   .doc = "Serve metrics."),
	FIELD_STRING(struct felixconfig, metrics_host, "prometheusMetricsHost", .def = "",
		     .doc = "Address for that; empty: all."),
	FIELD_INT(struct felixconfig, priority_v4, "ipv4NormalRoutePriority", PRIORITY,
		  .def = "1024", .doc = "Metric of IPv4 routes."),
	FIELD_INT(struct felixconfig, priority_v6, "ipv6NormalRoutePriority", PRIORITY,
		  .def = "1024", .doc = "Metric of IPv6 routes."),
	FIELD_INT(struct felixconfig, elevated_v4, "ipv4ElevatedRoutePriority", PRIORITY,
		  .def = "512", .doc = "Metric of IPv4 routes while a VM moves."),
	FIELD_INT(struct felixconfig, elevated_v6, "ipv6ElevatedRoutePriority", PRIORITY,
		  .def = "512", .doc = "Metric of IPv6 routes while a VM moves."),
	FIELD_JSON(struct felixconfig, route_table_ranges, "routeTableRanges",
		   .doc = "Route tables that may be used."),
	FIELD_STRING(struct felixconfig, node_selector, "nodeSelector",
		     .check = selector_field_check, .doc = "Nodes that the object is for."),
	FIELD_STRING(struct felixconfig, log_severity, "logSeverityScreen", .def = "Info",
		     .check = severity_field_check, .doc = "Least severity that is logged."),
};

/* What else Calico knows and this agent has no use for. */
/* clang-format off */
static const char *const others[] = {
	"awsSrcDstCheck", "bpfAttachType", "bpfCTLBLogFilter", "bpfConnectTimeLoadBalancing",
	"bpfConnectTimeLoadBalancingEnabled", "bpfConntrackCleanupMode", "bpfConntrackLogLevel",
	"bpfConntrackMode", "bpfConntrackTimeouts", "bpfDSROptoutCIDRs", "bpfDataIfacePattern",
	"bpfDisableGROForIfaces", "bpfDisableUnprivileged", "bpfEnabled", "bpfEnforceRPF",
	"bpfExcludeCIDRsFromNAT", "bpfExportBufferSizeMB", "bpfExtToServiceConnmark",
	"bpfExternalServiceMode", "bpfForceTrackPacketsFromIfaces", "bpfHostConntrackBypass",
	"bpfHostNetworkedNATWithoutCTLB", "bpfJITHardening", "bpfKubeProxyEndpointSlicesEnabled",
	"bpfKubeProxyHealthzPort", "bpfKubeProxyIptablesCleanupEnabled",
	"bpfKubeProxyMinSyncPeriod", "bpfL3IfacePattern", "bpfLogFilters", "bpfLogLevel",
	"bpfMapSizeConntrack", "bpfMapSizeConntrackCleanupQueue", "bpfMapSizeConntrackScaling",
	"bpfMapSizeIPSets", "bpfMapSizeIfState", "bpfMapSizeNATAffinity", "bpfMapSizeNATBackend",
	"bpfMapSizeNATFrontend", "bpfMapSizePerCpuConntrack", "bpfMapSizeRoute", "bpfPSNATPorts",
	"bpfPolicyDebugEnabled", "bpfProfiling", "bpfRedirectToPeer", "cgroupV2Path",
	"dataplaneDriver", "dataplaneWatchdogTimeout", "debugDisableLogDropping", "debugHost",
	"debugMemoryProfilePath", "debugPort", "debugSimulateCalcGraphHangAfter",
	"debugSimulateDataplaneApplyDelay", "debugSimulateDataplaneHangAfter",
	"endpointReportingDelay", "endpointReportingEnabled",
	"featureGates", "flowLogsCollectorDebugTrace",
	"flowLogsFlushInterval", "flowLogsGoldmaneServer", "flowLogsLocalReporter",
	"flowLogsPolicyEvaluationMode", "genericXDPEnabled", "goGCThreshold", "goMaxProcs",
	"goMemoryLimitMB", "healthEnabled", "healthHost", "healthTimeoutOverrides",
	"interfaceExclude", "interfaceRefreshInterval", "iptablesLockFilePath",
	"iptablesLockProbeInterval", "iptablesLockTimeout",
	"iptablesPostWriteCheckInterval", "istioAmbientMode", "istioDSCPMark",
	"kubeNodePortRanges", "liveMigrationRouteConvergenceTime", "localSubnetL2Reachability",
	"logDebugFilenameRegex", "logFilePath", "logSeverityFile", "logSeveritySys",
	"metadataAddr", "metadataPort",
	"netlinkTimeout", "nftablesFilterAllowAction", "nftablesFilterDenyAction",
	"nftablesFlowTableOffload", "nftablesMangleAllowAction", "nftablesMarkMask",
	"nftablesMode", "nftablesRefreshInterval", "openstackRegion", "policySyncPathPrefix",
	"prometheusGoMetricsEnabled", "prometheusMetricsCAFile", "prometheusMetricsCertFile",
	"prometheusMetricsClientAuth",
	"prometheusMetricsKeyFile", "prometheusProcessMetricsEnabled",
	"prometheusWireGuardMetricsEnabled", "reportingInterval", "reportingTTL",
	"requireMTUFile", "routeSource", "routeSyncDisabled", "routeTableRange",
	"sidecarAccelerationEnabled", "usageReportingEnabled", "usageReportingInitialDelay",
	"usageReportingInterval", "useInternalDataplaneDriver",
	"windowsManageFirewallRules", "windowsNetworkName", "wireguardEnabled",
	"wireguardEnabledV6", "wireguardHostEncryptionEnabled", "wireguardInterfaceName",
	"wireguardInterfaceNameV6", "wireguardKeepAlive", "wireguardListeningPort",
	"wireguardListeningPortV6", "wireguardMTU", "wireguardMTUV6",
	"wireguardRoutingRulePriority", "wireguardThreadingEnabled", "xdpEnabled",
	"xdpRefreshInterval", NULL
};
/* clang-format on */

const struct fields felixconfig_fields =
	FIELDS("spec", struct felixconfig, rows, .kept = others, .open = true);

int felixconfig_feature(const struct felixconfig *c, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = c->feature_override; p && *p; p += strcspn(p, ",")) {
		p += strspn(p, ", ");
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			return str_starts(p + n + 1, "true");
	}
	return -1;
}

/* ---- layers ---- */

void felixconfig_init(struct felixconfig *out)
{
	fields_init(&felixconfig_fields, out);
}

static int add_one(struct felixconfig *c, const char *name, json_t *value, struct err *e)
{
	CLEANUP(js_freep) json_t *one = json_object();

	if (json_is_array(value) && json_array_size(value) > FELIX_FAILSAFES_MAX)
		return err_set(e, -E2BIG, "%s: has %zu elements, at most %d are read", name,
			       json_array_size(value), FELIX_FAILSAFES_MAX);
	json_object_set(one, name, value);
	return fields_apply(&felixconfig_fields, one, FIELDS_LENIENT, c, e);
}

void felixconfig_add(struct felixconfig *c, const json_t *spec, const char *what, struct str *wrong)
{
	const char *name;
	json_t *v;

	/* jansson's iterators want a plain pointer, and change nothing. */
	json_object_foreach ((json_t *)(uintptr_t)spec, name, v) {
		struct err e = { 0 };

		if (fields_find(&felixconfig_fields, name) && add_one(c, name, v, &e) < 0)
			str_addf(wrong, "%s: spec.%s\n", what, e.msg);
	}
}

/* ---- FELIX_* ---- */

const struct felix_variable felix_variables[] = { { "IPINIPENABLED", "ipipEnabled" },
						  { "IPINIPMTU", "ipipMTU" },
						  { NULL, NULL } };

static const char *field_of(const char *name)
{
	for (const struct felix_variable *v = felix_variables; v->variable; v++)
		if (!strcasecmp(v->variable, name))
			return v->field;
	for (size_t i = 0; i < felixconfig_fields.n; i++)
		if (!strcasecmp(felixconfig_fields.row[i].name, name))
			return felixconfig_fields.row[i].name;
	return NULL;
}

/* "tcp:22", "tcp:10.0.0.0/8:22", "udp:[fd00::/8]:53", "22". */
static json_t *port_of(const char *text)
{
	const char *first = strchr(text, ':'), *last = strrchr(text, ':');
	json_t *o = json_object();
	char *end;

	if (first) {
		CLEANUP(freep) char *protocol = xstrndup(text, (size_t)(first - text));

		js_set_str(o, "protocol", protocol);
	}
	if (first != last) {
		bool boxed = first[1] == '[' && last[-1] == ']';
		const char *from = first + 1 + boxed, *to = last - boxed;
		CLEANUP(freep) char *net = xstrndup(from, to > from ? (size_t)(to - from) : 0);

		js_set_str(o, "net", net);
	}
	text = last ? last + 1 : text;
	js_set_int(o, "port", strtol(text, &end, 10));
	if (!isdigit((unsigned char)*text) || *end)
		js_set_str(o, "port", text);
	return o;
}

static json_t *ports_of(const char *text)
{
	json_t *list = json_array();

	while (*text && strcasecmp(text, "none") != 0) {
		size_t n = strcspn(text, ",");
		CLEANUP(freep) char *one = xstrndup(text, n);

		json_array_append_new(list, port_of(one + strspn(one, " ")));
		text += n + (text[n] == ',');
	}
	return list;
}

int felixconfig_set(struct felixconfig *c, const char *name, const char *value, struct err *e)
{
	const char *field = field_of(name);
	const struct field *row = field ? fields_find(&felixconfig_fields, field) : NULL;
	char number[24];

	if (!row)
		return -ENOENT;
	if (row->type == FIELD_TYPE_OBJECTS) {
		CLEANUP(js_freep) json_t *list = ports_of(value);

		return add_one(c, field, list, e);
	}
	if (row->type == FIELD_TYPE_INT64 && str_starts(value, "0x"))
		value = (snprintf(number, sizeof(number), "%llu", strtoull(value, NULL, 16)),
			 number);
	else if (row->type == FIELD_TYPE_STRING && !strcasecmp(value, "none"))
		value = "";
	return fields_set(&felixconfig_fields, field, value, c, e);
}

void felixconfig_done(struct felixconfig *c)
{
	fields_done(&felixconfig_fields, c);
}
