/* kinds.c - every row of every kind, and the rules that tables cannot say */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/bgpconfig.h"
#include "model/bgppeer.h"
#include "model/clusterinfo.h"
#include "model/felixconfig.h"
#include "model/ippool.h"
#include "model/ipreservation.h"
#include "model/node.h"
#include "model/object.h"
#include "model/profile.h"
#include "model/wep.h"
#include "tests/unit/parse.h"

/* A valid spec of each kind, with the name that goes with it. Cases differ from it in one thing. */
static const struct {
	const char *kind, *name, *spec;
} base[] = {
	{ "BGPConfiguration", "default", "{}" },
	{ "BGPPeer", "a", "{\"peerIP\":\"10.0.0.1\",\"asNumber\":64512}" },
	{ "BGPFilter", "a", "{}" },
	{ "BlockAffinity", "a", "{\"cidr\":\"10.0.0.0/26\",\"node\":\"n\"}" },
	{ "ClusterInformation", "default", "{}" },
	{ "EndpointSlice", "a", "{}" },
	{ "FelixConfiguration", "default", "{}" },
	{ "GlobalNetworkPolicy", "a", "{}" },
	{ "GlobalNetworkSet", "a", "{}" },
	{ "HostEndpoint", "a", "{\"node\":\"n\",\"interfaceName\":\"eth0\"}" },
	{ "IPAMConfiguration", "default", "{}" },
	{ "IPPool", "a", "{\"cidr\":\"10.0.0.0/16\"}" },
	{ "IPReservation", "a", "{}" },
	{ "NetworkPolicy", "a", "{}" },
	{ "NetworkSet", "a", "{}" },
	{ "Node", "a", "{}" },
	{ "Profile", "a", "{}" },
	{ "Service", "a", "{}" },
	{ "StagedGlobalNetworkPolicy", "a", "{}" },
	{ "StagedKubernetesNetworkPolicy", "a", "{}" },
	{ "StagedNetworkPolicy", "a", "{}" },
	{ "Tier", "a", "{}" },
	{ "WorkloadEndpoint", "n-k8s-p-eth0",
	  "{\"orchestrator\":\"k8s\",\"node\":\"n\",\"pod\":\"p\",\"endpoint\":\"eth0\"}" },
};

static struct object make(const struct kind *kind, const char *name, json_t *spec)
{
	struct object o = object_new(kind, "default", name);

	js_set(o.json, "spec", spec);
	return o;
}

static json_t *base_spec(const struct kind *kind, const char **name)
{
	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		if (!strcmp(base[i].kind, kind->name)) {
			*name = base[i].name;
			return parse(base[i].spec);
		}
	}
	fail_msg("%s has no valid object here", kind->name);
	return NULL;
}

static int check_with(const struct kind *kind, const char *field, json_t *value, struct err *e)
{
	const char *name = NULL;
	json_t *spec = base_spec(kind, &name);
	struct object o;
	int rc;

	if (field)
		js_set(spec, field, value);
	o = make(kind, name, spec);
	rc = object_check(&o, e);
	object_done(&o);
	return rc;
}

static void valid_as_they_are(void **state)
{
	const struct kind *kind;
	struct err e = { 0 };

	for (size_t i = 0; (kind = kind_at(i)); i++)
		if (check_with(kind, NULL, NULL, &e) < 0)
			fail_msg("%s: %s", kind->name, e.msg);
}

/* The message begins with the path and says more than that. */
static void expect_refusal(const struct kind *kind, const char *field, json_t *value)
{
	CLEANUP(freep) char *path = xasprintf("spec.%s", field), *text = js_dump(value);
	struct err e = { 0 };

	if (check_with(kind, field, value, &e) == 0)
		fail_msg("%s: %s: %s is accepted", kind->name, field, text);
	if (!str_starts(e.msg, path))
		fail_msg("%s: %s: %s: \"%s\"", kind->name, field, text, e.msg);
}

static void each_row_refuses_what_is_wrong(void **state)
{
	const struct kind *kind;

	for (size_t i = 0; (kind = kind_at(i)); i++) {
		for (size_t j = 0; j < kind->spec->n; j++) {
			const struct field *f = &kind->spec->row[j];

			assert_non_null(f->doc);
			assert_int_equal(f->doc[strlen(f->doc) - 1], '.');
			if (f->type == FIELD_TYPE_JSON)
				continue;
			expect_refusal(kind, f->name, json_real(1.5));
			if (f->type != FIELD_TYPE_STRING)
				expect_refusal(kind, f->name, json_string("n0nsense w0rd"));
			expect_refusal(kind, f->name, parse("[[]]"));
			if (f->type != FIELD_TYPE_MAP)
				expect_refusal(kind, f->name, parse("{\"x\":1}"));
			else
				expect_refusal(kind, f->name, parse("{\"x\":1}"));
			if (f->type == FIELD_TYPE_INT && f->max) {
				expect_refusal(kind, f->name, json_integer(f->max + 1));
				expect_refusal(kind, f->name, json_integer(f->min - 1));
				expect_refusal(kind, f->name, json_integer(INT64_MAX));
			}
		}
	}
}

static void unknown_fields_are_refused(void **state)
{
	const struct kind *kind;

	for (size_t i = 0; (kind = kind_at(i)); i++)
		if (!kind->spec->open)
			expect_refusal(kind, "futureField", json_true());
}

static void kinds_are_found(void **state)
{
	const struct kind *kind, *k;
	struct err e = { 0 };

	for (size_t i = 0; (kind = kind_at(i)); i++) {
		assert_ptr_equal(kind_find(kind->name), kind);
		assert_ptr_equal(kind_find(kind->plural), kind);
		assert_ptr_equal(kind_by_plural(kind->plural), kind);
		for (size_t j = 0; kind->aliases && kind->aliases[j]; j++)
			assert_ptr_equal(kind_find(kind->aliases[j]), kind);
		assert_non_null(kind->ps);
		assert_non_null(kind->wide);
	}
	assert_string_equal(kind_find("POOL")->name, "IPPool");
	assert_string_equal(kind_find("wep")->name, "WorkloadEndpoint");
	assert_string_equal(kind_find("no")->name, "Node");
	assert_null(kind_find(""));
	assert_null(kind_by_plural("pools"));
	assert_true(kind_get("ippols", &k, &e) < 0);
	assert_string_equal(e.msg, "\"ippols\": no such kind of resource; did you mean IPPool?");
}

static const struct {
	const char *name, *kind, *object, *spec, *words; /* words NULL: accepted */
} rules[] = {
	{ "pool: IPv6", "IPPool", "a", "{\"cidr\":\"fd00::/64\"}", NULL },
	{ "pool: IPv6 block", "IPPool", "a", "{\"cidr\":\"fd00::/64\",\"blockSize\":122}", NULL },
	{ "pool: as large as a block", "IPPool", "a", "{\"cidr\":\"10.0.0.0/26\"}", NULL },
	{ "pool: smaller than a block", "IPPool", "a", "{\"cidr\":\"10.0.0.0/27\"}",
	  "spec.blockSize: the pool 10.0.0.0/27 is smaller than one block of /26: blockSize must "
	  "be at "
	  "least 27" },
	{ "pool: small but disabled", "IPPool", "a", "{\"cidr\":\"10.0.0.0/27\",\"disabled\":true}",
	  NULL },
	{ "pool: IPv4 block too small", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"blockSize\":33}",
	  "spec.blockSize: must be from 20 to 32 for IPv4, is 33" },
	{ "pool: IPv6 block too large", "IPPool", "a", "{\"cidr\":\"fd00::/64\",\"blockSize\":64}",
	  "spec.blockSize: must be from 116 to 128 for IPv6, is 64" },
	{ "pool: host bits", "IPPool", "a", "{\"cidr\":\"10.0.1.5/16\"}",
	  "spec.cidr: 10.0.1.5/16 has host bits set: 10.0.0.0/16 would be right" },
	{ "pool: link-local", "IPPool", "a", "{\"cidr\":\"169.254.0.0/20\"}",
	  "spec.cidr: overlaps 169" },
	{ "pool: link-local, IPv6", "IPPool", "a", "{\"cidr\":\"fe80::/64\"}",
	  "spec.cidr: overlaps fe80" },
	{ "pool: around link-local", "IPPool", "a", "{\"cidr\":\"128.0.0.0/1\"}",
	  "spec.cidr: overlaps" },
	{ "pool: both tunnels", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"ipipMode\":\"Always\",\"vxlanMode\":\"CrossSubnet\"}",
	  "spec.vxlanMode: ipipMode is Always: only one" },
	{ "pool: IPv6 in IP-in-IP", "IPPool", "a",
	  "{\"cidr\":\"fd00::/64\",\"ipipMode\":\"Always\"}",
	  "spec.ipipMode: IP-in-IP carries IPv4 only" },
	{ "pool: global()", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"global()\"}",
	  "spec.nodeSelector: global() is" },
	{ "pool: no selector", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"has(\"}",
	  "spec.nodeSelector: selector ends at column 5" },
	{ "pool: the word in a value", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"x == 'global()'\"}", NULL },
	{ "pool: global() inside", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"nodeSelector\":\"has(x) && !(global() || has(y))\"}",
	  "spec.nodeSelector: global() is" },
	{ "pool: namespaces and tunnels", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"namespaceSelector\":\"all()\"}",
	  "spec.namespaceSelector: tunnels have no namespace: set allowedUses to [Workload]" },
	{ "pool: namespaces", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/"
	  "16\",\"namespaceSelector\":\"all()\",\"allowedUses\":[\"Workload\"]}",
	  NULL },
	{ "pool: no use", "IPPool", "a", "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[]}",
	  "spec.allowedUses: must not be empty" },
	{ "pool: load balancer", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\"]}", NULL },
	{ "pool: load balancer not alone", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\",\"Workload\"]}",
	  "spec.allowedUses: LoadBalancer must be alone" },
	{ "pool: load balancer by node", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/"
	  "16\",\"allowedUses\":[\"LoadBalancer\"],\"nodeSelector\":\"has(x)\"}",
	  "spec.nodeSelector: must be all()" },
	{ "pool: load balancer in a tunnel", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\"],\"vxlanMode\":\"Always\"}",
	  "spec.vxlanMode: must be Never" },
	{ "pool: load balancer not told", "IPPool", "a",
	  "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\"],\"disableBGPExport\":true}",
	  "spec.disableBGPExport: must be false" },

	{ "reservation", "IPReservation", "a",
	  "{\"reservedCIDRs\":[\"10.0.0.1\",\"10.0.0.0/28\",\"fd00::/64\"]}", NULL },
	{ "reservation: no address", "IPReservation", "a",
	  "{\"reservedCIDRs\":[\"10.0.0.1\",\"x\"]}",
	  "spec.reservedCIDRs[1]: must be an address or a range" },
	{ "reservation: host bits", "IPReservation", "a", "{\"reservedCIDRs\":[\"10.0.0.1/28\"]}",
	  "spec.reservedCIDRs[0]: 10.0.0.1/28 has host bits set: 10.0.0.0/28 would be right" },

	{ "bgp: for a node", "BGPConfiguration", "node.edge-7", "{\"listenPort\":1790}", NULL },
	{ "bgp: another name", "BGPConfiguration", "mine", "{}",
	  "metadata.name: must be \"default\"" },
	{ "bgp: name of no node", "BGPConfiguration", "node.", "{}", "metadata.name: must be" },
	{ "bgp: AS number of a node", "BGPConfiguration", "node.a", "{\"asNumber\":1}",
	  "spec.asNumber: can be set only in the object \"default\"" },
	{ "bgp: AS number in halves", "BGPConfiguration", "default", "{\"asNumber\":\"1.1\"}",
	  NULL },
	{ "bgp: password without mesh", "BGPConfiguration", "default",
	  "{\"nodeToNodeMeshEnabled\":false,\"nodeMeshPassword\":{\"secretKeyRef\":{\"name\":\"a\","
	  "\"key\":\"b\"}}}",
	  "spec.nodeMeshPassword: the mesh is off" },
	{ "bgp: password", "BGPConfiguration", "default",
	  "{\"nodeMeshPassword\":{\"secretKeyRef\":{\"name\":\"a\",\"key\":\"b\"}}}", NULL },
	{ "bgp: password without key", "BGPConfiguration", "default",
	  "{\"nodeMeshPassword\":{\"secretKeyRef\":{\"name\":\"a\"}}}",
	  "spec.nodeMeshPassword.secretKeyRef.key: is missing" },
	{ "bgp: password from nowhere", "BGPConfiguration", "default", "{\"nodeMeshPassword\":{}}",
	  "spec.nodeMeshPassword.secretKeyRef: is missing" },
	{ "bgp: restart time without mesh", "BGPConfiguration", "default",
	  "{\"nodeToNodeMeshEnabled\":false,\"nodeMeshMaxRestartTime\":\"60s\"}",
	  "spec.nodeMeshMaxRestartTime: the mesh is off" },
	{ "bgp: communities", "BGPConfiguration", "default",
	  "{\"communities\":[{\"name\":\"x\",\"value\":\"64512:7\"}],\"prefixAdvertisements\":[{"
	  "\"cidr\":\"10.0.0.0/8\",\"communities\":[\"x\",\"1:2:3\"]}]}",
	  NULL },
	{ "bgp: communities for nothing", "BGPConfiguration", "default",
	  "{\"communities\":[{\"name\":\"x\",\"value\":\"64512:7\"}]}",
	  "spec.communities: nothing uses" },
	{ "bgp: no community", "BGPConfiguration", "default",
	  "{\"communities\":[{\"name\":\"x\",\"value\":\"65536:7\"}]}",
	  "spec.communities[0].value: must be a community such as 64512:7" },
	{ "bgp: unknown community", "BGPConfiguration", "default",
	  "{\"prefixAdvertisements\":[{\"cidr\":\"10.0.0.0/8\",\"communities\":[\"y\"]}]}",
	  "spec.prefixAdvertisements[0].communities[0]: \"y\" is neither" },
	{ "bgp: everything ignored", "BGPConfiguration", "default",
	  "{\"ignoredInterfaces\":[\"a\",\"*\"]}", "spec.ignoredInterfaces[1]: \"*\"" },
	{ "bgp: severity", "BGPConfiguration", "default", "{\"logSeverityScreen\":\"Loud\"}",
	  "spec.logSeverityScreen: must be one of Trace" },

	{ "filter: everything", "BGPFilter", "a",
	  "{\"exportV4\":[{\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"In\","
	  "\"prefixLength\":{\"min\":24,\"max\":26},\"source\":\"RemotePeers\","
	  "\"interface\":\"eth*\",\"peerType\":\"eBGP\",\"communities\":{\"values\":[\"1:2\"]},"
	  "\"asPathPrefix\":[64512,\"64513\"],\"priority\":1024,\"action\":\"Accept\","
	  "\"operations\":[{\"addCommunity\":{\"value\":\"1:2:3\"}},"
	  "{\"prependASPath\":{\"prefix\":[64512]}},{\"setPriority\":{\"value\":512}}]}]}",
	  NULL },
	{ "filter: no action", "BGPFilter", "a", "{\"exportV4\":[{}]}",
	  "spec.exportV4[0].action: is missing" },
	{ "filter: cidr alone", "BGPFilter", "a",
	  "{\"importV4\":[{\"action\":\"Reject\"},{\"cidr\":\"10.0.0.0/8\",\"action\":\"Accept\"}]}",
	  "spec.importV4[1].matchOperator: is missing" },
	{ "filter: IPv6 among IPv4", "BGPFilter", "a",
	  "{\"exportV4\":[{\"cidr\":\"fd00::/8\",\"matchOperator\":\"In\",\"action\":\"Accept\"}]}",
	  "spec.exportV4[0].cidr: " },
	{ "filter: lengths turned", "BGPFilter", "a",
	  "{\"exportV4\":[{\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"In\","
	  "\"prefixLength\":{\"min\":26,\"max\":24},\"action\":\"Accept\"}]}",
	  "spec.exportV4[0].prefixLength: min is greater than max" },
	{ "filter: length of IPv6", "BGPFilter", "a",
	  "{\"exportV4\":[{\"cidr\":\"10.0.0.0/8\",\"matchOperator\":\"In\","
	  "\"prefixLength\":{\"max\":64},\"action\":\"Accept\"}]}",
	  "spec.exportV4[0].prefixLength: at most 32" },
	{ "filter: source of an import says nothing", "BGPFilter", "a",
	  "{\"importV6\":[{\"source\":\"RemotePeers\",\"action\":\"Accept\"}]}", NULL },
	{ "filter: two communities", "BGPFilter", "a",
	  "{\"exportV4\":[{\"communities\":{\"values\":[\"1:2\",\"1:3\"]},\"action\":\"Accept\"}]}",
	  "spec.exportV4[0].communities.values: must be one community" },
	{ "filter: operations of a rejected route", "BGPFilter", "a",
	  "{\"exportV4\":[{\"action\":\"Reject\",\"operations\":[{\"setPriority\":{\"value\":5}}]}]}",
	  "spec.exportV4[0].operations: only with action Accept" },
	{ "filter: two operations in one", "BGPFilter", "a",
	  "{\"exportV4\":[{\"action\":\"Accept\",\"operations\":[{\"setPriority\":{\"value\":5},"
	  "\"addCommunity\":{\"value\":\"1:2\"}}]}]}",
	  "spec.exportV4[0].operations: each is one of" },
	{ "filter: a path of nothing", "BGPFilter", "a",
	  "{\"exportV4\":[{\"asPathPrefix\":[],\"action\":\"Accept\"}]}",
	  "spec.exportV4[0].asPathPrefix: must be a list" },
	{ "peer: port", "BGPPeer", "a", "{\"peerIP\":\"10.0.0.1:1790\",\"asNumber\":1}", NULL },
	{ "peer: IPv6 and port", "BGPPeer", "a", "{\"peerIP\":\"[fd00::1]:1790\",\"asNumber\":1}",
	  NULL },
	{ "peer: port 0", "BGPPeer", "a", "{\"peerIP\":\"10.0.0.1:0\",\"asNumber\":1}",
	  "spec.peerIP: must be an address, IPV4:PORT or [IPV6]:PORT" },
	{ "peer: bracket left open", "BGPPeer", "a", "{\"peerIP\":\"[fd00::1\",\"asNumber\":1}",
	  "spec.peerIP: must be an address" },
	{ "peer: IPv4 in brackets", "BGPPeer", "a",
	  "{\"peerIP\":\"[10.0.0.1]:179\",\"asNumber\":1}", "spec.peerIP: must be an address" },
	{ "peer: node and selector", "BGPPeer", "a",
	  "{\"peerIP\":\"10.0.0.1\",\"asNumber\":1,\"node\":\"a\",\"nodeSelector\":\"all()\"}",
	  "spec.nodeSelector: node is given, too" },
	{ "peer: nobody", "BGPPeer", "a", "{\"asNumber\":1}", "spec.peerIP: is missing" },
	{ "peer: two", "BGPPeer", "a",
	  "{\"peerIP\":\"10.0.0.1\",\"asNumber\":1,\"peerSelector\":\"all()\"}",
	  "spec.peerSelector: only one of" },
	{ "peer: selector with AS", "BGPPeer", "a", "{\"asNumber\":1,\"peerSelector\":\"all()\"}",
	  "spec.asNumber: with peerSelector" },
	{ "peer: selector", "BGPPeer", "a",
	  "{\"peerSelector\":\"has(rr)\",\"nodeSelector\":\"all()\"}", NULL },
	{ "peer: no AS", "BGPPeer", "a", "{\"peerIP\":\"10.0.0.1\"}", "spec.asNumber: is missing" },
	{ "peer: pods without AS", "BGPPeer", "a", "{\"localWorkloadSelector\":\"all()\"}",
	  "spec.asNumber: is missing" },
	{ "peer: both next hop forms", "BGPPeer", "a",
	  "{\"peerIP\":\"10.0.0.1\",\"asNumber\":1,\"nextHopMode\":\"Auto\","
	  "\"keepOriginalNextHop\":true}",
	  "spec.keepOriginalNextHop: nextHopMode is given" },
	{ "peer: gateway of another family", "BGPPeer", "a",
	  "{\"peerIP\":\"10.0.0.1\",\"asNumber\":1,\"reachableBy\":\"fd00::1\"}",
	  "spec.reachableBy: must be IPv4" },
	{ "peer: gateway without address", "BGPPeer", "a",
	  "{\"peerSelector\":\"all()\",\"reachableBy\":\"10.0.0.1\"}",
	  "spec.reachableBy: only together" },

	{ "node: BGP", "Node", "a", "{\"bgp\":{\"ipv4Address\":\"10.0.0.7/24\"}}", NULL },
	{ "node: address alone", "Node", "a", "{\"bgp\":{\"ipv4Address\":\"10.0.0.7\"}}", NULL },
	{ "node: empty BGP", "Node", "a", "{\"bgp\":{}}", "spec.bgp: is empty" },
	{ "node: IPv6 as IPv4", "Node", "a", "{\"bgp\":{\"ipv4Address\":\"fd00::1/64\"}}",
	  "spec.bgp.ipv4Address: must be an IPv4 address range such as 10.20.0.7/24 or an "
	  "address" },
	{ "node: cluster id", "Node", "a", "{\"bgp\":{\"routeReflectorClusterID\":\"x\"}}",
	  "spec.bgp.routeReflectorClusterID: must be an IPv4 address" },
	{ "node: hardware address", "Node", "a", "{\"vxlanTunnelMACAddr\":\"66:55:44:33:22\"}",
	  "spec.vxlanTunnelMACAddr: must be a hardware address" },

	{ "endpoint: another name", "WorkloadEndpoint", "web",
	  "{\"orchestrator\":\"k8s\",\"node\":\"edge-7\",\"pod\":\"web-0\",\"endpoint\":\"eth0\"}",
	  "metadata.name: must be \"edge--7-k8s-web--0-eth0\", which the spec says, is \"web\"" },
	{ "endpoint: range", "WorkloadEndpoint", "n-k8s-p-eth0",
	  "{\"orchestrator\":\"k8s\",\"node\":\"n\",\"pod\":\"p\",\"endpoint\":\"eth0\","
	  "\"ipNetworks\":["
	  "\"10.0.0.0/24\"]}",
	  "spec.ipNetworks[0]: must be a /32, is a /24" },
	{ "endpoint: no pod", "WorkloadEndpoint", "n-k8s-p-eth0",
	  "{\"orchestrator\":\"k8s\",\"node\":\"n\",\"endpoint\":\"eth0\"}",
	  "spec.pod: is missing" },
	{ "endpoint: interface name", "WorkloadEndpoint", "n-k8s-p-eth0",
	  "{\"orchestrator\":\"k8s\",\"node\":\"n\",\"pod\":\"p\",\"endpoint\":\"eth0\","
	  "\"interfaceName\":\"cali0123456789ab\"}",
	  "spec.interfaceName: must be an interface name" },

	{ "profile: rules", "Profile", "a", "{\"ingress\":[{\"action\":\"Allow\"}]}", NULL },
	{ "profile: no list", "Profile", "a", "{\"egress\":{}}", "spec.egress: must be a list" },
	{ "profile: no rule", "Profile", "a", "{\"ingress\":[1]}",
	  "spec.ingress[0]: must be an object" },
	{ "profile: the built-in one", "Profile", "projectcalico-default-allow", "{}",
	  "metadata.name:" },

	{ "felix: what it knows", "FelixConfiguration", "default", "{\"healthPort\":1}", NULL },
	{ "felix: what Calico knows", "FelixConfiguration", "default", "{\"bpfEnabled\":true}",
	  NULL },
	{ "felix: what only a newer one knows", "FelixConfiguration", "default",
	  "{\"quantumTunnelMode\":\"x\"}", NULL },
	{ "felix: NAT", "FelixConfiguration", "default",
	  "{\"natOutgoingAddress\":\"192.0.2.9\",\"natPortRange\":\"1000:2000\","
	  "\"natOutgoingExclusions\":\"IPPoolsAndHostIPs\","
	  "\"iptablesNATOutgoingInterfaceFilter\":\"eth+\","
	  "\"externalNodesList\":[\"192.0.2.0/24\",\"2001:db8::1\"]}",
	  NULL },
	{ "felix: one port", "FelixConfiguration", "default", "{\"natPortRange\":1000}", NULL },
	{ "felix: ports the wrong way", "FelixConfiguration", "default",
	  "{\"natPortRange\":\"2000:1000\"}", "spec.natPortRange: must be a port" },
	{ "felix: no port", "FelixConfiguration", "default", "{\"natPortRange\":\"0:9\"}",
	  "spec.natPortRange: must be a port" },
	{ "felix: ports and more", "FelixConfiguration", "default",
	  "{\"natPortRange\":\"1:2:3\"}", "spec.natPortRange: must be a port" },
	{ "felix: an option, not an interface", "FelixConfiguration", "default",
	  "{\"iptablesNATOutgoingInterfaceFilter\":\"eth0 -j ACCEPT\"}",
	  "must be the name of an interface" },
	{ "felix: too long an interface", "FelixConfiguration", "default",
	  "{\"iptablesNATOutgoingInterfaceFilter\":\"abcdefghijklmnop\"}",
	  "must be the name of an interface" },
	{ "felix: a slip", "FelixConfiguration", "default", "{\"helthPort\":1}",
	  "spec.helthPort: unknown field; did you mean \"healthPort\"?" },
	{ "felix: a slip of another's", "FelixConfiguration", "default", "{\"bpfenabled\":1}",
	  "spec.bpfenabled: unknown field; did you mean \"bpfEnabled\"?" },

	{ "ipam: no blocks, no borrowing", "IPAMConfiguration", "default",
	  "{\"autoAllocateBlocks\":false}", "spec.autoAllocateBlocks: false needs strictAffinity" },
	{ "ipam: strict", "IPAMConfiguration", "default",
	  "{\"strictAffinity\":true,\"autoAllocateBlocks\":false,\"maxBlocksPerHost\":4}", NULL },
	{ "ipam: limit without strict", "IPAMConfiguration", "default", "{\"maxBlocksPerHost\":4}",
	  "spec.maxBlocksPerHost: needs strictAffinity" },
};

static void each_rule(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct object o =
			make(kind_find(rules[i].kind), rules[i].object, parse(rules[i].spec));
		struct err e = { 0 };
		int rc = object_check(&o, &e);

		if (rc < 0 && !rules[i].words)
			fail_msg("%s: %s", rules[i].name, e.msg);
		if (rc == 0 && rules[i].words)
			fail_msg("%s: accepted", rules[i].name);
		if (rc < 0 && !strstr(e.msg, rules[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rules[i].name, e.msg, rules[i].words);
		object_done(&o);
	}
}

static struct ippool pool(const char *name, const char *spec)
{
	struct object o = make(kind_find("IPPool"), name, parse(spec));
	struct err e = { 0 };
	struct ippool p;

	if (ippool_decode(&o, &p, &e) < 0)
		fail_msg("%s", e.msg);
	object_done(&o);
	return p;
}

static void pools_decode(void **state)
{
	struct ippool p = pool("a", "{\"cidr\":\"10.0.0.0/16\",\"futureField\":1}");

	assert_string_equal(p.name, "a");
	assert_int_equal(p.block_size, 26);
	assert_int_equal(p.allowed_uses, IPPOOL_WORKLOAD | IPPOOL_TUNNEL);
	assert_string_equal(p.node_selector, "all()");
	assert_null(p.namespace_selector);
	assert_false(p.disabled || p.nat_outgoing || p.deleting || p.not_allocatable);
	ippool_done(&p);
	p = pool("b", "{\"cidr\":\"fd00::/64\",\"vxlanMode\":\"CrossSubnet\",\"disabled\":true}");
	assert_int_equal(p.block_size, 122);
	assert_int_equal(p.vxlan, ENCAP_CROSS_SUBNET);
	assert_true(p.disabled);
	ippool_done(&p);
}

static void pools_that_may_not_be_used(void **state)
{
	struct object o = make(kind_find("IPPool"), "a", parse("{\"cidr\":\"10.0.0.0/16\"}"));
	struct ippool p;

	js_set_str(json_object_get(o.json, "metadata"), "deletionTimestamp",
		   "2026-08-01T10:00:00Z");
	js_set(o.json, "status",
	       parse("{\"conditions\":[{\"type\":\"x\",\"status\":\"False\"},{\"type\":"
		     "\"Allocatable\","
		     "\"status\":\"False\"}]}"));
	assert_int_equal(ippool_decode(&o, &p, NULL), 0);
	assert_true(p.deleting && p.not_allocatable);
	ippool_done(&p);
	object_done(&o);
}

static void pools_beside_each_other(void **state)
{
	struct ippool some[] = {
		pool("a", "{\"cidr\":\"10.0.0.0/16\"}"),
		pool("b", "{\"cidr\":\"10.1.0.0/16\",\"disabled\":true}"),
		pool("c", "{\"cidr\":\"fd00::/64\"}"),
	};
	struct ippool inside = pool("d", "{\"cidr\":\"10.1.2.0/24\"}");
	struct ippool around = pool("d", "{\"cidr\":\"10.0.0.0/8\"}");
	struct ippool apart = pool("d", "{\"cidr\":\"10.2.0.0/16\"}");
	struct ippool same = pool("a", "{\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true}");
	struct ippool moved = pool("a", "{\"cidr\":\"10.3.0.0/16\"}");
	struct ippool cut = pool("a", "{\"cidr\":\"10.0.0.0/16\",\"blockSize\":27}");
	struct ippool lb =
		pool("a", "{\"cidr\":\"10.0.0.0/16\",\"allowedUses\":[\"LoadBalancer\"]}");
	struct ippool *all[] = { &inside, &around, &apart, &same, &moved, &cut, &lb };
	struct prefix blocks[2];
	struct err e = { 0 };

	assert_int_equal(ippool_check_overlap(&inside, some, 3, &e), -EEXIST);
	assert_string_equal(e.msg,
			    "spec.cidr: IPPool d (10.1.2.0/24) overlaps IPPool b (10.1.0.0/16): "
			    "ranges of pools must be apart");
	assert_int_equal(ippool_check_overlap(&around, some, 3, &e), -EEXIST);
	assert_int_equal(ippool_check_overlap(&apart, some, 3, &e), 0);
	assert_int_equal(ippool_check_overlap(&same, some, 3, &e), 0);

	assert_int_equal(ippool_check_update(&some[0], &same, &e), 0);
	assert_int_equal(ippool_check_update(&some[0], &moved, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "spec.cidr: cannot be changed, is 10.0.0.0/16"));
	assert_int_equal(ippool_check_update(&some[0], &cut, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "spec.blockSize: cannot be changed, is 26"));
	assert_int_equal(ippool_check_update(&some[0], &lb, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "spec.allowedUses"));

	prefix_parse("10.0.4.0/26", &blocks[0]);
	prefix_parse("10.9.0.0/24", &blocks[1]); /* outside of the pool */
	assert_int_equal(ippool_check_blocks(&some[0], blocks, 2, &e), 0);
	assert_int_equal(ippool_check_blocks(&cut, blocks, 2, &e), -EEXIST);
	assert_non_null(
		strstr(e.msg, "the block 10.0.4.0/26 exists in this range: blockSize must be 26"));

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		ippool_done(&some[i]);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		ippool_done(all[i]);
}

static void reservations(void **state)
{
	struct object o =
		make(kind_find("IPReservation"), "a",
		     parse("{\"reservedCIDRs\":[\"10.0.0.1\",\"nonsense\",\"10.0.1.9/28\"]}"));
	struct field_cidrs ranges = { 0 };

	assert_int_equal(ipreservation_ranges(&o, &ranges, NULL), 0);
	assert_int_equal(ranges.n, 2);
	assert_int_equal(ranges.p[0].len, 32);
	assert_int_equal(ranges.p[1].addr.b[3], 0);
	vec_done(&ranges);
	object_done(&o);
}

static void a_node_over_the_cluster(void **state)
{
	struct object cluster =
		make(kind_find("BGPConfiguration"), "default",
		     parse("{\"asNumber\":65000,\"listenPort\":1790,\"communities\":[{"
			   "\"name\":\"x\",\"value\":\"1:1\"}],\"prefixAdvertisements\":[{"
			   "\"cidr\":\"10.0.0.0/8\",\"communities\":[\"x\"]}]}"));
	struct object node =
		make(kind_find("BGPConfiguration"), "node.a",
		     parse("{\"asNumber\":7,\"listenPort\":1791,\"prefixAdvertisements\":[{"
			   "\"cidr\":\"10.9.0.0/16\",\"communities\":[\"2:2\"]}]}"));
	struct bgpconfig c;

	bgpconfig_read(NULL, NULL, &c, NULL);
	assert_true(c.mesh_enabled && !c.has_as_number);
	assert_int_equal(c.as_number, 64512);
	assert_int_equal(c.listen_port, 179);
	assert_int_equal(c.program_routes, PROGRAM_ROUTES_NO_ENCAP_ONLY);
	bgpconfig_done(&c);

	bgpconfig_read(&cluster, &node, &c, NULL);
	assert_int_equal(c.as_number, 65000); /* not the node's to say */
	assert_true(c.has_as_number);
	assert_int_equal(c.listen_port, 1791);
	assert_int_equal(c.advertisements.n, 1);
	assert_int_equal(c.advertisements.p[0].cidr.len, 16);
	bgpconfig_done(&c);
	object_done(&cluster);
	object_done(&node);
}

/* One field that is wrong takes nothing else with it, and is named. */
static void a_wrong_field_of_a_configuration_is_left_out(void **state)
{
	struct object cluster =
		make(kind_find("BGPConfiguration"), "default",
		     parse("{\"asNumber\":65000,\"listenPort\":99999,\"bindMode\":\"Bridge\","
			   "\"nodeToNodeMeshEnabled\":false,\"nodeMeshPassword\":{\"secretKeyRef\":"
			   "{\"name\":\"x\"}},\"nodeMeshMaxRestartTime\":\"7s\"}"));
	struct object node = make(kind_find("BGPConfiguration"), "node.a",
				  parse("{\"listenPort\":\"x\",\"logSeverityScreen\":\"Debug\"}"));
	struct str wrong = { 0 };
	struct bgpconfig c;

	bgpconfig_read(&cluster, &node, &c, &wrong);
	assert_int_equal(c.as_number, 65000);
	assert_false(c.mesh_enabled);
	assert_int_equal(c.mesh_restart_ms, 7000);
	assert_int_equal(c.listen_port, 179);
	assert_false(c.has_listen_port || c.has_mesh_password);
	assert_null(c.mesh_password.ref.name);
	assert_string_equal(c.log_severity, "Debug");
	assert_non_null(strstr(str_text(&wrong),
			       "BGPConfiguration default: spec.listenPort: must be a whole number "
			       "from 1 to 65535, is 99999; left out\n"));
	assert_non_null(strstr(str_text(&wrong), "BGPConfiguration default: spec.bindMode: "));
	assert_non_null(strstr(str_text(&wrong), "spec.nodeMeshPassword.secretKeyRef.key: "));
	assert_non_null(strstr(str_text(&wrong), "BGPConfiguration node.a: spec.listenPort: "));
	str_done(&wrong);
	bgpconfig_done(&c);
	object_done(&cluster);
	object_done(&node);
}

static void peers_and_nodes_decode(void **state)
{
	struct object peer = make(kind_find("BGPPeer"), "tor",
				  parse("{\"peerIP\":\"[fd00::1]:1790\",\"asNumber\":\"1.1\","
					"\"keepaliveTime\":\"10s\",\"filters\":[\"a\",\"b\"]}"));
	struct object node =
		make(kind_find("Node"), "edge-7",
		     parse("{\"bgp\":{\"ipv4Address\":\"10.0.0.7/24\",\"asNumber\":65001}}"));
	struct bgppeer p;
	struct node n;

	assert_int_equal(bgppeer_decode(&peer, &p, NULL), 0);
	assert_int_equal(p.peer_addr.family, IP_V6);
	assert_int_equal(p.peer_port, 1790);
	assert_int_equal(p.as_number, 65537);
	assert_true(p.has_keepalive && p.keepalive_ms == 10000);
	assert_int_equal(p.filters.n, 2);
	bgppeer_done(&p);
	assert_int_equal(node_decode(&node, &n, NULL), 0);
	assert_true(n.has_bgp);
	assert_int_equal(n.bgp.as_number, 65001);
	assert_int_equal(n.bgp.ipv4.len, 24);
	assert_int_equal(n.bgp.ipv4.addr.b[3], 7);
	assert_string_equal(n.name, "edge-7");
	node_done(&n);
	object_done(&peer);
	object_done(&node);
}

static void felix_nat(void **state)
{
	static const struct {
		const char *json;
		bool ok;
		uint16_t first, last;
	} rows[] = {
		{ "{\"p\":1024}", true, 1024, 1024 },
		{ "{\"p\":\"1024\"}", true, 1024, 1024 },
		{ "{\"p\":\"1:65535\"}", true, 1, 65535 },
		{ "{}", true, 0, 0 },
		{ "{\"p\":null}", true, 0, 0 },
		{ "{\"p\":-1}", false, 0, 0 },
		{ "{\"p\":65536}", false, 0, 0 },
		{ "{\"p\":\"\"}", false, 0, 0 },
		{ "{\"p\":\":\"}", false, 0, 0 },
		{ "{\"p\":\"1:\"}", false, 0, 0 },
		{ "{\"p\":[1,2]}", false, 0, 0 },
	};
	struct felixconfig c;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(js_freep) json_t *o = parse(rows[i].json);
		uint16_t first, last;

		assert_int_equal(felixconfig_ports(json_object_get(o, "p"), &first, &last),
				 rows[i].ok);
		assert_int_equal(first, rows[i].first);
		assert_int_equal(last, rows[i].last);
	}
	felixconfig_init(&c);
	assert_int_equal(felixconfig_feature(&c, "MASQFullyRandom"), -1);
	assert_int_equal(felixconfig_set(&c, "NATPortRange", "32768:65535", &e), 0);
	assert_string_equal(json_string_value(c.nat_ports), "32768:65535");
	assert_int_equal(felixconfig_set(&c, "NATPortRange", "9:8", &e), -EINVAL);
	assert_int_equal(
		felixconfig_set(&c, "FeatureDetectOverride", "A=true, MASQFullyRandom=false", &e),
		0);
	assert_int_equal(felixconfig_feature(&c, "MASQFullyRandom"), 0);
	assert_int_equal(felixconfig_feature(&c, "A"), 1);
	assert_int_equal(felixconfig_feature(&c, "FullyRandom"), -1);
	felixconfig_done(&c);
}

static void made_by_the_program(void **state)
{
	static const uint8_t random[16] = { 0xab, 1, 2 };
	struct object info = clusterinfo_new(random, "margay"), allow = profile_default_allow();
	struct err e = { 0 };

	if (object_check(&info, &e) < 0)
		fail_msg("%s", e.msg);
	assert_string_equal(json_string_value(js_at(info.json, "spec.clusterGUID")),
			    "ab010200000000000000000000000000");
	assert_false(clusterinfo_locked(&info));
	assert_false(clusterinfo_locked(NULL));
	js_set_bool(object_spec_json(&info), "datastoreReady", false);
	assert_true(clusterinfo_locked(&info));
	assert_non_null(js_at(allow.json, "spec.egress"));
	object_done(&info);
	object_done(&allow);
}

static void columns(void **state)
{
	static const struct {
		const char *kind, *name, *spec, *line; /* wide columns joined by '|' */
	} rows[] = {
		{ "IPPool", "web", "{\"cidr\":\"10.0.0.0/16\",\"natOutgoing\":true}",
		  "web|10.0.0.0/16|true|Never|Never|false|false|all()|Automatic" },
		{ "BGPPeer", "a", "{\"peerIP\":\"10.0.0.1\",\"asNumber\":1}",
		  "a|10.0.0.1|(global)|1" },
		{ "BGPPeer", "a", "{\"peerSelector\":\"all()\",\"nodeSelector\":\"has(x)\"}",
		  "a||has(x)|-" },
		{ "BGPConfiguration", "default", "{\"asNumber\":1}", "default||-|1" },
		{ "Node", "a", "{\"bgp\":{\"ipv4Address\":\"10.0.0.7/24\"}}",
		  "a|(64512)|10.0.0.7/24|" },
		{ "Node", "a", "{\"bgp\":{\"asNumber\":7}}", "a|7||" },
		{ "WorkloadEndpoint", "n-k8s-p-eth0",
		  "{\"orchestrator\":\"k8s\",\"node\":\"n\",\"pod\":\"p\",\"endpoint\":\"eth0\","
		  "\"ipNetworks\":[\"10.0.0.1/32\",\"fd00::1/128\"],\"interfaceName\":\"cali1\","
		  "\"profiles\":[\"kns.default\"],\"ipNATs\":[{\"internalIP\":\"10.0.0.1\","
		  "\"externalIP\":\"1.1.1.1\"}]}",
		  "n-k8s-p-eth0|p|n|10.0.0.1/32,fd00::1/128|cali1|kns.default|1.1.1.1->10.0.0.1" },
		{ "Profile", "a", "{\"labelsToApply\":{\"a\":\"b\",\"c\":\"d\"}}", "a|a=b,c=d" },
		{ "IPReservation", "a", "{\"reservedCIDRs\":[\"10.0.0.1\\u001b[31m\"]}",
		  "a|10.0.0.1?[31m" },
		{ "IPAMConfiguration", "default", "{\"strictAffinity\":true}",
		  "default|true|true|0" },
	};
	static const struct column_ctx ctx = { .as_number = 64512 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object o = make(kind_find(rows[i].kind), rows[i].name, parse(rows[i].spec));
		struct str line = { 0 };

		for (const struct column *c = o.kind->wide; c->head; c++) {
			CLEANUP(freep) char *text = object_column(&o, c, &ctx);

			str_addf(&line, "%s%s", c == o.kind->wide ? "" : "|", text);
		}
		assert_string_equal(str_text(&line), rows[i].line);
		str_done(&line);
		object_done(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_as_they_are),
		cmocka_unit_test(each_row_refuses_what_is_wrong),
		cmocka_unit_test(unknown_fields_are_refused),
		cmocka_unit_test(kinds_are_found),
		cmocka_unit_test(each_rule),
		cmocka_unit_test(pools_decode),
		cmocka_unit_test(pools_that_may_not_be_used),
		cmocka_unit_test(pools_beside_each_other),
		cmocka_unit_test(reservations),
		cmocka_unit_test(a_node_over_the_cluster),
		cmocka_unit_test(a_wrong_field_of_a_configuration_is_left_out),
		cmocka_unit_test(peers_and_nodes_decode),
		cmocka_unit_test(felix_nat),
		cmocka_unit_test(made_by_the_program),
		cmocka_unit_test(columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
