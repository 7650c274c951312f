/* bgp_world.c - what of the stored objects peering sees, and what it says of broken ones */
#include "box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_world.h"
#include "agent/cache.h"
#include "agent/log.h"
#include "model/service.h"

#define V3 "/calico/resources/v3/projectcalico.org/"

static void put(struct box *b, const char *plural, const char *kind, const char *name,
		const char *more)
{
	CLEANUP(freep) char *key = xasprintf(V3 "%s/%s", plural, name);
	CLEANUP(freep)
	char *value = xasprintf("{\"kind\":\"%s\",\"apiVersion\":"
				"\"projectcalico.org/v3\",\"metadata\":{\"name\":"
				"\"%s\",\"labels\":{\"rack\":\"7\"}},\"spec\":{%s}}",
				kind, name, more);

	box_put(b, key, value);
}

static void on_change(void *arg, const struct store_kv *kv)
{
	*(bool *)arg = *(bool *)arg || !kv;
}

static struct cache *picture(struct box *b)
{
	bool synced = false;
	struct cache *c = cache_new(b->base, b->ds, NULL, NULL);

	cache_subscribe(c, "/calico/", on_change, &synced);
	box_run(b, &synced);
	return c;
}

static void everything(void **state)
{
	struct box *b = *state;
	struct bgp_world w = { 0 };
	struct str remarks = { 0 };

	put(b, "nodes", "Node", "a",
	    "\"bgp\":{\"ipv4Address\":\"10.0.0.1/24\",\"asNumber\":64999}");
	put(b, "nodes", "Node", "b",
	    "\"bgp\":{\"ipv4Address\":\"10.0.0.2/24\",\"ipv6Address\":\"fd00::2/64\","
	    "\"routeReflectorClusterID\":\"0.0.0.9\"}");
	put(b, "nodes", "Node", "c", "");
	put(b, "bgpconfigurations", "BGPConfiguration", "default",
	    "\"nodeToNodeMeshEnabled\":false,\"asNumber\":65000,\"listenPort\":1790,\"bindMode\":"
	    "\"NodeIP\"");
	put(b, "bgpconfigurations", "BGPConfiguration", "node.b", "\"listenPort\":1791");
	put(b, "bgppeers", "BGPPeer", "p",
	    "\"nodeSelector\":\"rack == '7'\",\"peerIP\":\"10.0.0.254:1179\",\"asNumber\":65001,"
	    "\"maxRestartTime\":\"30s\",\"keepaliveTime\":\"7s\",\"numAllowedLocalASNumbers\":2,"
	    "\"ttlSecurity\":1,\"reversePeering\":\"Manual\",\"sourceAddress\":\"None\","
	    "\"nextHopMode\":\"Keep\","
	    "\"password\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}");
	put(b, "ippools", "IPPool", "x", "\"cidr\":\"10.1.0.0/16\",\"disableBGPExport\":true");
	put(b, "ippools", "IPPool", "y", "\"cidr\":\"10.2.0.0/16\",\"disabled\":true");
	put(b, "ippools", "IPPool", "z", "\"cidr\":\"10.3.0.0/16\",\"vxlanMode\":\"Always\"");
	struct cache *c = picture(b);

	bgp_world_read(c, "b", &w, &remarks);
	assert_string_equal(str_text(&remarks), "");
	assert_int_equal(w.nodes.n, 3);
	assert_int_equal(bgp_world_as(&w, &w.nodes.p[0]), 64999);
	assert_int_equal(bgp_world_as(&w, &w.nodes.p[1]), 65000);
	assert_int_equal(w.nodes.p[0].v4.len, 24);
	assert_int_equal(w.nodes.p[0].listen_port, 1790);
	assert_int_equal(w.nodes.p[1].listen_port, 1791);
	assert_int_equal(w.nodes.p[1].cluster_id, 9);
	assert_int_equal(w.nodes.p[1].v6.addr.family, IP_V6);
	assert_int_equal(w.nodes.p[2].v4.addr.family, IP_NONE);
	assert_string_equal(json_string_value(json_object_get(w.nodes.p[2].labels, "rack")), "7");
	assert_false(w.defaults.mesh);
	assert_true(w.defaults.bind_node_ip);
	assert_int_equal(w.defaults.listen_port, 1791);
	assert_int_equal(w.peers.n, 1);
	const struct bgp_peer_spec *p = &w.peers.p[0];

	assert_non_null(p->node_selector);
	assert_int_equal(p->port, 1179);
	assert_int_equal(p->as, 65001);
	assert_int_equal(p->restart_s, 30);
	assert_int_equal(p->keepalive_s, 7);
	assert_int_equal(p->allowed_local_as, 2);
	assert_int_equal(p->ttl_security, 1);
	assert_true(p->reverse_manual && p->source_none);
	assert_int_equal(p->next_hop_mode, 2);
	assert_string_equal(p->secret_name, "s");
	assert_string_equal(p->secret_key, "k");
	assert_int_equal(w.pools.n, 2);
	assert_true(w.pools.p[0].disable_export && w.pools.p[1].vxlan);
	assert_non_null(bgp_world_node(&w, "c"));
	assert_null(bgp_world_node(&w, "d"));
	bgp_world_done(&w);
	str_done(&remarks);
	cache_free(c);
}

static void wep(struct box *b, const char *name, const char *node, const char *pod,
		const char *more)
{
	CLEANUP(freep) char *key = xasprintf(V3 "workloadendpoints/default/%s", name);
	CLEANUP(freep)
	char *value = xasprintf(
		"{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/"
		"v3\",\"metadata\":"
		"{\"name\":\"%s\",\"namespace\":\"default\",\"labels\":{\"app\":\"%s\"}},\"spec\":"
		"{\"node\":\"%s\",\"orchestrator\":\"k8s\",\"pod\":\"%s\",\"endpoint\":\"eth0\"%s}"
		"}",
		name, pod, node, pod, more);

	box_put(b, key, value);
}

/* Pods are read where a BGPPeer asks for them: this node's, an entry for each address. */
static void pods_that_peer(void **state)
{
	struct box *b = *state;
	struct bgp_world w = { 0 };
	struct str remarks = { 0 };
	struct cache *c;

	put(b, "nodes", "Node", "a", "");
	put(b, "bgpconfigurations", "BGPConfiguration", "default",
	    "\"localWorkloadPeeringIPV4\":\"169.254.77.1\",\"ignoredInterfaces\":[\"eth9\",\"sto*"
	    "\"]");
	wep(b, "a-k8s-x-eth0", "a", "x",
	    ",\"interfaceName\":\"cali1\",\"ipNetworks\":[\"10.65.0.2/32\",\"fd65::2/128\"]");
	wep(b, "a-k8s-y-eth0", "a", "y", ",\"ipNetworks\":[\"10.65.0.3/32\"]");
	wep(b, "b-k8s-z-eth0", "b", "z",
	    ",\"interfaceName\":\"cali3\",\"ipNetworks\":[\"10.65.0.4/32\"]");
	box_put(b, V3 "workloadendpoints/default/a-k8s-bad-eth0", "{");
	c = picture(b);
	bgp_world_read(c, "a", &w, &remarks);
	assert_int_equal(w.pods.n, 0);
	assert_false(w.pods_peer);
	assert_string_equal(w.defaults.ignored, "eth9,sto*");
	assert_int_equal(w.defaults.pod_side[BGP_AF_IPV4_UNICAST].family, IP_V4);
	assert_int_equal(w.defaults.pod_side[BGP_AF_IPV6_UNICAST].family, IP_NONE);
	bgp_world_done(&w);
	cache_free(c);
	put(b, "bgppeers", "BGPPeer", "p",
	    "\"localWorkloadSelector\":\"app == 'x'\",\"asNumber\":65010");
	c = picture(b);
	w = (struct bgp_world) { 0 };
	bgp_world_read(c, "a", &w, &remarks);
	assert_true(w.pods_peer);
	assert_non_null(w.peers.p[0].workload_selector);
	assert_int_equal(w.pods.n, 2);
	assert_string_equal(w.pods.p[1].ifname, "cali1");
	assert_int_equal(w.pods.p[1].addr.family, IP_V6);
	assert_string_equal(json_string_value(json_object_get(w.pods.p[0].labels, "app")), "x");
	assert_int_equal(remarks.len, 0);
	bgp_world_done(&w);
	str_done(&remarks);
	cache_free(c);
	assert_true(bgp_world_own_pod(V3 "workloadendpoints/default/a-k8s-x-eth0", "a"));
	assert_false(bgp_world_own_pod(V3 "workloadendpoints/default/a--b-k8s-x-eth0", "a"));
	assert_false(bgp_world_own_pod(V3 "workloadendpoints/default/b-k8s-x-eth0", "a"));
	assert_false(bgp_world_own_pod(V3 "nodes/a-k8s-x", "a"));
}

static void ranges_of_services(void **state)
{
	struct box *b = *state;
	struct bgp_world w = { 0 };
	struct str remarks = { 0 };
	struct cache *c;

	put(b, "bgpconfigurations", "BGPConfiguration", "default",
	    "\"serviceClusterIPs\":[{\"cidr\":\"10.96.0.0/12\"}],"
	    "\"serviceExternalIPs\":[{\"cidr\":\"203.0.113.0/24\"},{\"cidr\":\"fd00:5::7/128\"}],"
	    "\"serviceLoadBalancerIPs\":[{\"cidr\":\"198.51.100.7\"}],"
	    "\"serviceLoadBalancerAggregation\":\"Disabled\",\"logSeverityScreen\":\"Debug\","
	    "\"nodeMeshMaxRestartTime\":\"0s\"");
	put(b, "bgpconfigurations", "BGPConfiguration", "node.b", "\"logSeverityScreen\":\"Error\"");
	put(b, "nodes", "Node", "a", "");
	box_put(b, V3 "nodes/x",
		"{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{\"name\":"
		"\"x\",\"labels\":{\"" SERVICE_EXCLUDE_LABEL "\":\"true\"}},\"spec\":{}}");
	c = picture(b);
	bgp_world_read(c, "b", &w, &remarks);
	assert_int_equal(w.defaults.log_level, LOG_LEVEL_WARN);
	bgp_world_done(&w);
	w = (struct bgp_world) { 0 };
	bgp_world_read(c, "a", &w, &remarks);
	assert_int_equal(remarks.len, 0);
	assert_int_equal(w.defaults.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(w.defaults.services.cluster.n, 1);
	assert_int_equal(w.defaults.services.external.n, 2);
	assert_int_equal(w.defaults.services.external.p[1].len, 128);
	assert_int_equal(w.defaults.services.balancer.p[0].len, 32);
	assert_true(w.defaults.services.apart);
	assert_false(bgp_world_excluded(bgp_world_node(&w, "a")));
	assert_true(bgp_world_excluded(bgp_world_node(&w, "x")));
	assert_true(w.defaults.mesh && w.defaults.has_mesh_restart);
	assert_int_equal(w.defaults.mesh_restart_s, 0);
	bgp_world_done(&w);
	str_done(&remarks);
	cache_free(c);
}

static void nothing_stored(void **state)
{
	struct bgp_world w = { 0 };
	struct str remarks = { 0 };
	struct cache *c = picture(*state);

	bgp_world_read(c, "a", &w, &remarks);
	assert_true(w.defaults.mesh);
	assert_int_equal(w.nodes.n + w.peers.n + w.pools.n, 0);
	bgp_world_done(&w);
	str_done(&remarks);
	cache_free(c);
}

/* One broken object costs itself, and is named. */
static void broken_objects(void **state)
{
	static const char *const keys[] = { V3 "nodes/bad", V3 "bgppeers/bad", V3 "ippools/bad",
					    V3 "bgpconfigurations/default" };
	static const char *const texts[] = {
		"{", "5", "{\"spec\":7}", "null",
		"{\"kind\":\"Node\",\"metadata\":[],\"spec\":{\"bgp\":3}}"
	};
	struct box *b = *state;

	put(b, "nodes", "Node", "good", "\"bgp\":{\"ipv4Address\":\"10.0.0.1/24\"}");
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
		struct bgp_world w = { 0 };
		struct str remarks = { 0 };

		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			box_put(b, keys[i], texts[t]);
		struct cache *c = picture(b);

		bgp_world_read(c, "good", &w, &remarks);
		assert_non_null(bgp_world_node(&w, "good"));
		assert_true(w.defaults.mesh);
		assert_non_null(strstr(str_text(&remarks), "left out"));
		bgp_world_done(&w);
		str_done(&remarks);
		cache_free(c);
	}
}

static void selector_that_cannot_be_read(void **state)
{
	struct box *b = *state;
	struct bgp_world w = { 0 };
	struct str remarks = { 0 };

	put(b, "bgppeers", "BGPPeer", "p", "\"peerSelector\":\"rack = 7\"");
	struct cache *c = picture(b);

	bgp_world_read(c, "a", &w, &remarks);
	assert_int_equal(w.peers.n, 0);
	assert_non_null(strstr(str_text(&remarks), "bgppeers/p"));
	bgp_world_done(&w);
	str_done(&remarks);
	cache_free(c);
}

int main(void)
{
#define BOX(f) cmocka_unit_test_setup_teardown(f, box_open, box_close)
	const struct CMUnitTest tests[] = {
		BOX(everything),
		BOX(pods_that_peer),
		BOX(ranges_of_services),
		BOX(nothing_stored),
		BOX(broken_objects),
		BOX(selector_that_cannot_be_read),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
