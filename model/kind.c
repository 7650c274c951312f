/* kind.c - the table of kinds
 * TESTS  tests/unit/model/kinds.c walks every row */
#include "model/kind.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "model/bgpconfig.h"
#include "model/bgpfilter.h"
#include "model/bgppeer.h"
#include "model/clusterinfo.h"
#include "model/endpointslice.h"
#include "model/felixconfig.h"
#include "model/hostendpoint.h"
#include "model/ipamkinds.h"
#include "model/ippool.h"
#include "model/ipreservation.h"
#include "model/networkset.h"
#include "model/node.h"
#include "model/object.h"
#include "model/policy.h"
#include "model/profile.h"
#include "model/service.h"
#include "model/tier.h"
#include "model/wep.h"

#define NAMES(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}
#define COLUMNS(...)            \
	(const struct column[]) \
	{                       \
		__VA_ARGS__,    \
		{               \
			0       \
		}               \
	}
#define NAME_COLUMN                                  \
	{                                            \
		"NAME", "metadata.name", "", NULL, 0 \
	}

static char *peer_node(const struct object *o, const struct column_ctx *ctx)
{
	const char *text = NULL;

	if (js_str(o->json, "spec.node", &text, NULL) > 0 ||
	    js_str(o->json, "spec.nodeSelector", &text, NULL) > 0)
		return xstrdup(text);
	return xstrdup("(global)");
}

static char *slice_service(const struct object *o, const struct column_ctx *ctx)
{
	const char *name = object_label(o, SLICE_SERVICE_LABEL);

	return xstrdup(name ? name : "");
}

static char *service_ingress_text(const struct object *o, const struct column_ctx *ctx)
{
	json_t *list = js_at(o->json, "status.loadBalancer.ingress"), *one;
	struct str s = { 0 };
	size_t i;

	json_array_foreach (list, i, one) {
		const char *ip = json_string_value(json_object_get(one, "ip"));

		str_addf(&s, "%s%s", s.len ? "," : "", ip ? ip : "");
	}
	return str_take(&s);
}

/* The node's own AS number, or the inherited one in brackets. */
static char *node_asn(const struct object *o, const struct column_ctx *ctx)
{
	static const struct column own = { "ASN", "spec.bgp.asNumber", "", NULL, 0 };

	if (js_at(o->json, "spec.bgp.asNumber"))
		return object_column(o, &own, ctx);
	return ctx->as_number ? xasprintf("(%u)", ctx->as_number) : xstrdup("");
}

static char *wep_workload(const struct object *o, const struct column_ctx *ctx)
{
	static const char *const paths[] = { "spec.pod", "spec.workload", "spec.containerID" };
	const char *text = "";

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (js_str(o->json, paths[i], &text, NULL) > 0 && *text)
			break;
	return xstrdup(text);
}

static char *wep_nats(const struct object *o, const struct column_ctx *ctx)
{
	json_t *list = js_at(o->json, "spec.ipNATs"), *nat;
	struct str s = { 0 };
	size_t i;

	json_array_foreach (list, i, nat) {
		const char *in = json_string_value(json_object_get(nat, "internalIP"));
		const char *out = json_string_value(json_object_get(nat, "externalIP"));

		str_addf(&s, "%s%s->%s", i ? "," : "", out ? out : "?", in ? in : "?");
	}
	return str_take(&s);
}

enum { LONG_LIST = 80 };

static const struct column name_only[] = { NAME_COLUMN, { 0 } };

static const struct column bgpconfig_columns[] = {
	NAME_COLUMN,
	{ "LOGSEVERITY", "spec.logSeverityScreen", "", NULL, 0 },
	{ "MESHENABLED", "spec.nodeToNodeMeshEnabled", "-", NULL, 0 },
	{ "ASNUMBER", "spec.asNumber", "-", NULL, 0 },
	{ 0 },
};

static const struct column name_columns[] = { NAME_COLUMN, { 0 } };

static const struct column bgppeer_columns[] = {
	NAME_COLUMN,
	{ "PEERIP", "spec.peerIP", "", NULL, 0 },
	{ "NODE", NULL, NULL, peer_node, 0 },
	{ "ASN", "spec.asNumber", "-", NULL, 0 },
	{ 0 },
};

static const struct column blockaffinity_columns[] = {
	NAME_COLUMN,
	{ "CIDR", "spec.cidr", "", NULL, 0 },
	{ "NODE", "spec.node", "", NULL, 0 },
	{ "STATE", "spec.state", NULL, NULL, 0 },
	{ 0 },
};

static const struct column clusterinfo_columns[] = {
	NAME_COLUMN,
	{ "CLUSTERGUID", "spec.clusterGUID", "", NULL, 0 },
	{ "CLUSTERTYPE", "spec.clusterType", "", NULL, 0 },
	{ "CALICOVERSION", "spec.calicoVersion", "", NULL, 0 },
	{ "DATASTOREREADY", "spec.datastoreReady", "", NULL, 0 },
	{ 0 },
};

static const struct column policy_columns[] = {
	NAME_COLUMN,
	{ "TIER", "spec.tier", "default", NULL, 0 },
	{ 0 },
};

static const struct column policy_wide_columns[] = {
	NAME_COLUMN,
	{ "TIER", "spec.tier", "default", NULL, 0 },
	{ "ORDER", "spec.order", "-", NULL, 0 },
	{ "SELECTOR", "spec.selector", "", NULL, LONG_LIST },
	{ 0 },
};

static const struct column networkset_columns[] = {
	NAME_COLUMN,
	{ "NETS", "spec.nets", "", NULL, LONG_LIST },
	{ 0 },
};

static const struct column hostendpoint_columns[] = {
	NAME_COLUMN,
	{ "NODE", "spec.node", "", NULL, 0 },
	{ 0 },
};

static const struct column hostendpoint_wide_columns[] = {
	NAME_COLUMN,
	{ "NODE", "spec.node", "", NULL, 0 },
	{ "INTERFACE", "spec.interfaceName", "", NULL, 0 },
	{ "IPS", "spec.expectedIPs", "", NULL, LONG_LIST },
	{ "PROFILES", "spec.profiles", "", NULL, 0 },
	{ 0 },
};

static const struct column tier_columns[] = {
	NAME_COLUMN,
	{ "ORDER", "spec.order", "-", NULL, 0 },
	{ "DEFAULTACTION", "spec.defaultAction", NULL, NULL, 0 },
	{ 0 },
};

static const struct column slice_columns[] = {
	NAME_COLUMN,
	{ "SERVICE", NULL, NULL, slice_service, 0 },
	{ 0 },
};

static const struct column service_columns[] = {
	NAME_COLUMN,
	{ "TYPE", "spec.type", NULL, NULL, 0 },
	{ "CLUSTERIP", "spec.clusterIP", "", NULL, 0 },
	{ "EXTERNALIPS", "spec.externalIPs", "", NULL, LONG_LIST },
	{ 0 },
};

static const struct column service_wide_columns[] = {
	NAME_COLUMN,
	{ "TYPE", "spec.type", NULL, NULL, 0 },
	{ "CLUSTERIP", "spec.clusterIP", "", NULL, 0 },
	{ "EXTERNALIPS", "spec.externalIPs", "", NULL, LONG_LIST },
	{ "LOADBALANCER", NULL, NULL, service_ingress_text, LONG_LIST },
	{ "TRAFFIC", "spec.externalTrafficPolicy", NULL, NULL, 0 },
	{ 0 },
};

static const struct kind kinds[] = {
	{
		.name = "BGPConfiguration",
		.singular = "bgpconfiguration",
		.plural = "bgpconfigurations",
		.aliases = NAMES("bgpconfig", "bgpconfigs"),
		.spec = &bgpconfig_fields,
		.check = bgpconfig_check,
		.ps = bgpconfig_columns,
		.wide = bgpconfig_columns,
	},
	{
		.name = "BGPFilter",
		.singular = "bgpfilter",
		.plural = "bgpfilters",
		.aliases = NAMES("bgpf", "bgpfs"),
		.spec = &bgpfilter_fields,
		.check = bgpfilter_check,
		.ps = name_columns,
		.wide = name_columns,
	},
	{
		.name = "BGPPeer",
		.singular = "bgppeer",
		.plural = "bgppeers",
		.aliases = NAMES("bgpp", "bgpps", "bp", "bps"),
		.spec = &bgppeer_fields,
		.check = bgppeer_check,
		.ps = bgppeer_columns,
		.wide = bgppeer_columns,
	},
	{
		.name = "BlockAffinity",
		.singular = "blockaffinity",
		.plural = "blockaffinities",
		.aliases = NAMES("affinity", "affinities"),
		.flags = KIND_READ_ONLY,
		.spec = &blockaffinity_fields,
		.ps = blockaffinity_columns,
		.wide = blockaffinity_columns,
	},
	{
		.name = "ClusterInformation",
		.singular = "clusterinformation",
		.plural = "clusterinformations",
		.aliases = NAMES("clusterinfo", "clusterinfos"),
		.flags = KIND_READ_ONLY,
		.spec = &clusterinfo_fields,
		.only_name = CLUSTERINFO_NAME,
		.ps = clusterinfo_columns,
		.wide = clusterinfo_columns,
	},
	{
		.name = "EndpointSlice",
		.singular = "endpointslice",
		.plural = "endpointslices",
		.flags = KIND_NAMESPACED,
		.spec = &endpointslice_fields,
		.check = endpointslice_check,
		.ps = slice_columns,
		.wide = slice_columns,
	},
	{
		.name = "FelixConfiguration",
		.singular = "felixconfiguration",
		.plural = "felixconfigurations",
		.aliases = NAMES("felixconfig", "felixconfigs"),
		.spec = &felixconfig_fields,
		.ps = name_only,
		.wide = name_only,
	},
	{
		.name = "GlobalNetworkPolicy",
		.singular = "globalnetworkpolicy",
		.plural = "globalnetworkpolicies",
		.aliases = NAMES("gnp", "gnps"),
		.flags = KIND_POLICY,
		.spec = &global_policy_fields,
		.check = policy_check,
		.fill = policy_fill,
		.ps = policy_columns,
		.wide = policy_wide_columns,
	},
	{
		.name = "GlobalNetworkSet",
		.singular = "globalnetworkset",
		.plural = "globalnetworksets",
		.aliases = NAMES("gns"),
		.spec = &networkset_fields,
		.check = networkset_check,
		.ps = name_only,
		.wide = networkset_columns,
	},
	{
		.name = "HostEndpoint",
		.singular = "hostendpoint",
		.plural = "hostendpoints",
		.aliases = NAMES("hep", "heps"),
		.spec = &hostendpoint_fields,
		.fill = hostendpoint_fill,
		.check = hostendpoint_check,
		.ps = hostendpoint_columns,
		.wide = hostendpoint_wide_columns,
	},
	{
		.name = "IPAMConfiguration",
		.singular = "ipamconfiguration",
		.plural = "ipamconfigurations",
		.aliases = NAMES("ipamconfig", "ipamconfigs"),
		.spec = &ipamconfiguration_fields,
		.check = ipamconfiguration_check,
		.only_name = "default",
		.ps = COLUMNS(NAME_COLUMN,
			      { "STRICTAFFINITY", "spec.strictAffinity", NULL, NULL, 0 },
			      { "AUTOALLOCATEBLOCKS", "spec.autoAllocateBlocks", NULL, NULL, 0 }),
		.wide = COLUMNS(NAME_COLUMN,
				{ "STRICTAFFINITY", "spec.strictAffinity", NULL, NULL, 0 },
				{ "AUTOALLOCATEBLOCKS", "spec.autoAllocateBlocks", NULL, NULL, 0 },
				{ "MAXBLOCKSPERHOST", "spec.maxBlocksPerHost", "0", NULL, 0 }),
	},
	{
		.name = "IPPool",
		.singular = "ippool",
		.plural = "ippools",
		.aliases = NAMES("ipp", "ipps", "pool", "pools"),
		.spec = &ippool_fields,
		.status = &ippool_status_fields,
		.check = ippool_check,
		.fill = ippool_fill,
		.ps = COLUMNS(NAME_COLUMN, { "CIDR", "spec.cidr", "", NULL, 0 },
			      { "SELECTOR", "spec.nodeSelector", NULL, NULL, 0 }),
		.wide = COLUMNS(NAME_COLUMN, { "CIDR", "spec.cidr", "", NULL, 0 },
				{ "NAT", "spec.natOutgoing", NULL, NULL, 0 },
				{ "IPIPMODE", "spec.ipipMode", NULL, NULL, 0 },
				{ "VXLANMODE", "spec.vxlanMode", NULL, NULL, 0 },
				{ "DISABLED", "spec.disabled", NULL, NULL, 0 },
				{ "DISABLEBGPEXPORT", "spec.disableBGPExport", NULL, NULL, 0 },
				{ "SELECTOR", "spec.nodeSelector", NULL, NULL, 0 },
				{ "ASSIGNMENTMODE", "spec.assignmentMode", NULL, NULL, 0 }),
	},
	{
		.name = "IPReservation",
		.singular = "ipreservation",
		.plural = "ipreservations",
		.spec = &ipreservation_fields,
		.check = ipreservation_check,
		.ps = name_only,
		.wide = COLUMNS(NAME_COLUMN,
				{ "CIDRS", "spec.reservedCIDRs", "", NULL, LONG_LIST }),
	},
	{
		.name = "NetworkPolicy",
		.singular = "networkpolicy",
		.plural = "networkpolicies",
		.aliases = NAMES("np", "nps"),
		.flags = KIND_NAMESPACED | KIND_POLICY,
		.spec = &policy_fields,
		.check = policy_check,
		.fill = policy_fill,
		.ps = policy_columns,
		.wide = policy_wide_columns,
	},
	{
		.name = "NetworkSet",
		.singular = "networkset",
		.plural = "networksets",
		.aliases = NAMES("netsets"),
		.flags = KIND_NAMESPACED,
		.spec = &networkset_fields,
		.check = networkset_check,
		.ps = name_only,
		.wide = networkset_columns,
	},
	{
		.name = "Node",
		.singular = "node",
		.plural = "nodes",
		.aliases = NAMES("no"),
		.spec = &node_fields,
		.status = &node_status_fields,
		.check = node_check,
		.ps = name_only,
		.wide = COLUMNS(NAME_COLUMN, { "ASN", NULL, NULL, node_asn, 0 },
				{ "IPV4", "spec.bgp.ipv4Address", "", NULL, 0 },
				{ "IPV6", "spec.bgp.ipv6Address", "", NULL, 0 }),
	},
	{
		.name = "Profile",
		.singular = "profile",
		.plural = "profiles",
		.aliases = NAMES("pro", "pros"),
		.spec = &profile_fields,
		.fill = rule_specs_fill,
		.check = profile_check,
		.ps = name_only,
		.wide = COLUMNS(NAME_COLUMN, { "LABELS", "spec.labelsToApply", "", NULL, 0 }),
	},
	{
		.name = "Service",
		.singular = "service",
		.plural = "services",
		.aliases = NAMES("svc"),
		.flags = KIND_NAMESPACED,
		.spec = &service_fields,
		.status = &service_status_fields,
		.check = service_check,
		.ps = service_columns,
		.wide = service_wide_columns,
	},
	{
		.name = "StagedGlobalNetworkPolicy",
		.singular = "stagedglobalnetworkpolicy",
		.plural = "stagedglobalnetworkpolicies",
		.aliases = NAMES("sgnp"),
		.flags = KIND_POLICY,
		.spec = &staged_global_policy_fields,
		.check = policy_check,
		.fill = policy_fill,
		.ps = policy_columns,
		.wide = policy_wide_columns,
	},
	{
		.name = "StagedKubernetesNetworkPolicy",
		.singular = "stagedkubernetesnetworkpolicy",
		.plural = "stagedkubernetesnetworkpolicies",
		.aliases = NAMES("sknp"),
		.flags = KIND_NAMESPACED,
		.spec = &staged_k8s_policy_fields,
		.ps = name_only,
		.wide = name_only,
	},
	{
		.name = "StagedNetworkPolicy",
		.singular = "stagednetworkpolicy",
		.plural = "stagednetworkpolicies",
		.aliases = NAMES("snp"),
		.flags = KIND_NAMESPACED | KIND_POLICY,
		.spec = &staged_policy_fields,
		.check = policy_check,
		.fill = policy_fill,
		.ps = policy_columns,
		.wide = policy_wide_columns,
	},
	{
		.name = "Tier",
		.singular = "tier",
		.plural = "tiers",
		.spec = &tier_fields,
		.check = tier_check,
		.ps = tier_columns,
		.wide = tier_columns,
	},
	{
		.name = "WorkloadEndpoint",
		.singular = "workloadendpoint",
		.plural = "workloadendpoints",
		.aliases = NAMES("wep", "weps"),
		.flags = KIND_NAMESPACED,
		.spec = &wep_fields,
		.check = wep_check,
		.ps = COLUMNS({ "WORKLOAD", NULL, NULL, wep_workload, 0 },
			      { "NODE", "spec.node", "", NULL, 0 },
			      { "NETWORKS", "spec.ipNetworks", "", NULL, 0 },
			      { "INTERFACE", "spec.interfaceName", "", NULL, 0 }),
		.wide = COLUMNS(NAME_COLUMN, { "WORKLOAD", NULL, NULL, wep_workload, 0 },
				{ "NODE", "spec.node", "", NULL, 0 },
				{ "NETWORKS", "spec.ipNetworks", "", NULL, 0 },
				{ "INTERFACE", "spec.interfaceName", "", NULL, 0 },
				{ "PROFILES", "spec.profiles", "", NULL, 0 },
				{ "NATS", NULL, NULL, wep_nats, 0 }),
	},
};

const struct kind *kind_at(size_t i)
{
	return i < ARRAY_SIZE(kinds) ? &kinds[i] : NULL;
}

static bool is_called(const struct kind *k, const char *name)
{
	if (!strcasecmp(name, k->singular) || !strcasecmp(name, k->plural))
		return true;
	for (size_t i = 0; k->aliases && k->aliases[i]; i++)
		if (!strcasecmp(name, k->aliases[i]))
			return true;
	return false;
}

const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (is_called(&kinds[i], name))
			return &kinds[i];
	return NULL;
}

static const char *kind_name(const void *arg, size_t i)
{
	return kinds[i].name;
}

int kind_get(const char *name, const struct kind **out, struct err *e)
{
	const struct kind *k = kind_find(name);
	const char *near;

	if (k) {
		*out = k;
		return 0;
	}
	near = word_nearest(name, kind_name, NULL, ARRAY_SIZE(kinds));
	return err_set(e, -EINVAL, "\"%.60s\": no such kind of resource%s%s%s", name,
		       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

const struct kind *kind_by_plural(const char *plural)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(plural, kinds[i].plural))
			return &kinds[i];
	return NULL;
}
