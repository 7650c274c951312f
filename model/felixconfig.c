/* felixconfig.c - FelixConfiguration: the rows that this agent obeys */
#include "model/felixconfig.h"

#include "model/bgpconfig.h"
#include "model/object.h"
#include "model/validate.h"

static const char *const on_off[] = { "Enabled", "Disabled", NULL };
static const char *const off_on[] = { "Disabled", "Enabled", NULL };
static const char *const host_words[] = { "Drop", "Return", "Accept", NULL };

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
	FIELD_INT(struct felixconfig, vxlan_vni, "vxlanVNI", .min = 0, .max = 16777215,
		  .def = "4096", .doc = "VXLAN network identifier."),
	FIELD_INT(struct felixconfig, vxlan_port, "vxlanPort", PORT, .def = "4789",
		  .doc = "UDP port of VXLAN."),
	FIELD_DURATION(struct felixconfig, route_refresh_ms, "routeRefreshInterval", .def = "90s",
		       .doc = "Time between two full looks at the kernel's routes; 0: never."),
	FIELD_ENUM(struct felixconfig, floating_ips, "floatingIPs", .words = off_on,
		   .def = "Disabled", .doc = "Whether pods may have floating addresses."),
	FIELD_ENUM(struct felixconfig, endpoint_to_host, "defaultEndpointToHostAction",
		   .words = host_words, .def = "Drop",
		   .doc = "What happens to packets from pods to their own node."),
	FIELD_INT(struct felixconfig, health_port, "healthPort", PORT, .def = "9099",
		  .doc = "TCP port of liveness and readiness."),
	FIELD_INT(struct felixconfig, metrics_port, "prometheusMetricsPort", PORT, .def = "9091",
		  .doc = "TCP port of the metrics."),
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
	"allowIPIPPacketsFromWorkloads", "allowVXLANPacketsFromWorkloads", "awsSrcDstCheck",
	"bpfAttachType", "bpfCTLBLogFilter", "bpfConnectTimeLoadBalancing",
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
	"chainInsertMode", "dataplaneDriver", "dataplaneWatchdogTimeout",
	"debugDisableLogDropping", "debugHost", "debugMemoryProfilePath", "debugPort",
	"debugSimulateCalcGraphHangAfter", "debugSimulateDataplaneApplyDelay",
	"debugSimulateDataplaneHangAfter", "disableConntrackInvalidCheck",
	"endpointReportingDelay", "endpointReportingEnabled", "externalNodesList",
	"failsafeInboundHostPorts", "failsafeOutboundHostPorts", "featureDetectOverride",
	"featureGates", "flowLogsCollectorDebugTrace", "flowLogsFlushInterval",
	"flowLogsGoldmaneServer", "flowLogsLocalReporter", "flowLogsPolicyEvaluationMode",
	"genericXDPEnabled", "goGCThreshold", "goMaxProcs", "goMemoryLimitMB", "healthEnabled",
	"healthHost", "healthTimeoutOverrides", "interfaceExclude", "interfaceRefreshInterval",
	"ipsetsRefreshInterval", "iptablesBackend", "iptablesFilterAllowAction",
	"iptablesFilterDenyAction", "iptablesLockFilePath", "iptablesLockProbeInterval",
	"iptablesLockTimeout", "iptablesMangleAllowAction", "iptablesMarkMask",
	"iptablesNATOutgoingInterfaceFilter", "iptablesPostWriteCheckInterval",
	"iptablesRefreshInterval", "ipv6Support", "istioAmbientMode", "istioDSCPMark",
	"kubeNodePortRanges", "liveMigrationRouteConvergenceTime", "localSubnetL2Reachability",
	"logActionRateLimit", "logActionRateLimitBurst", "logDebugFilenameRegex", "logFilePath",
	"logPrefix", "logSeverityFile", "logSeveritySys", "maxIpsetSize", "metadataAddr",
	"metadataPort", "natOutgoingAddress", "natOutgoingExclusions", "natPortRange",
	"netlinkTimeout", "nftablesFilterAllowAction", "nftablesFilterDenyAction",
	"nftablesFlowTableOffload", "nftablesMangleAllowAction", "nftablesMarkMask",
	"nftablesMode", "nftablesRefreshInterval", "openstackRegion", "policySyncPathPrefix",
	"prometheusGoMetricsEnabled", "prometheusMetricsCAFile", "prometheusMetricsCertFile",
	"prometheusMetricsClientAuth", "prometheusMetricsEnabled", "prometheusMetricsHost",
	"prometheusMetricsKeyFile", "prometheusProcessMetricsEnabled",
	"prometheusWireGuardMetricsEnabled", "reportingInterval", "reportingTTL",
	"requireMTUFile", "routeSource", "routeSyncDisabled", "routeTableRange",
	"serviceLoopPrevention", "sidecarAccelerationEnabled", "usageReportingEnabled",
	"usageReportingInitialDelay", "usageReportingInterval", "useInternalDataplaneDriver",
	"vxlanMTUV6", "windowsManageFirewallRules", "windowsNetworkName",
	"wireguardEnabled", "wireguardEnabledV6", "wireguardHostEncryptionEnabled",
	"wireguardInterfaceName", "wireguardInterfaceNameV6", "wireguardKeepAlive",
	"wireguardListeningPort", "wireguardListeningPortV6", "wireguardMTU", "wireguardMTUV6",
	"wireguardRoutingRulePriority", "wireguardThreadingEnabled", "workloadSourceSpoofing",
	"xdpEnabled", "xdpRefreshInterval", NULL
};
/* clang-format on */

const struct fields felixconfig_fields =
	FIELDS("spec", struct felixconfig, rows, .kept = others, .open = true);

int felixconfig_decode(const struct object *const *layers, size_t n, struct felixconfig *out,
		       struct err *e)
{
	fields_init(&felixconfig_fields, out);
	for (size_t i = 0; i < n; i++) {
		json_t *spec = object_spec_json(layers[i]);

		if (!spec)
			continue;
		if (fields_apply(&felixconfig_fields, spec, FIELDS_LENIENT, out, e) < 0) {
			felixconfig_done(out);
			return err_wrap(e, "FelixConfiguration %s", layers[i]->name);
		}
	}
	return 0;
}

void felixconfig_done(struct felixconfig *c)
{
	fields_done(&felixconfig_fields, c);
}
