/* resources.c - stories of commands about resources */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "ctl/ipam_run.h"
#include "datastore/ds.h"
#include "model/ipamkey.h"
#include "model/key.h"
#include "tests/unit/ctl/story.h"

#define POOL(name, spec)                                                                          \
	"apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: " name "}\nspec: " spec \
	"\n"
#define OBJECT(kind, name, spec)                                                   \
	"apiVersion: projectcalico.org/v3\nkind: " kind "\nmetadata: {name: " name \
	"}\nspec: " spec "\n"

static void a_pool_lives(void **state)
{
	static const struct story_step steps[] = {
		{ "get pools", NULL, 1, "", "there is no database" },
		{ "delete pool a", NULL, 1, "", "there is no database" },
		{ "replace", POOL("a", "{cidr: 10.20.0.0/16}"), 1, "", "there is no database" },
		{ "apply --skip-empty", "", 0, NULL, "" },
		{ "delete pool a", NULL, 1, "", "IPPool a: does not exist" },
		{ "get pools", NULL, 0, "NAME   CIDR   SELECTOR\n", "" },
		{ "create",
		  POOL("a", "{cidr: 10.20.0.0/16}") "---\n" POOL("b", "{cidr: 10.21.0.0/16}"), 0,
		  "Successfully created 2 'IPPool' resource(s)\n", "" },
		{ "get pools", NULL, 0,
		  "NAME   CIDR           SELECTOR\n"
		  "a      10.20.0.0/16   all()\n"
		  "b      10.21.0.0/16   all()\n",
		  "" },
		{ "create", POOL("a", "{cidr: 10.20.0.0/16}"), 1, "",
		  "IPPool a: exists already\nmargayctl: failed to create any 'IPPool' resources" },
		{ "create --skip-exists", POOL("a", "{cidr: 10.20.0.0/16}"), 0,
		  "Skipped 1 'IPPool'", "" },
		{ "apply", POOL("a", "{cidr: 10.20.0.0/16, natOutgoing: yes}"), 0,
		  "Successfully applied 1 'IPPool' resource(s)\n", "" },
		{ "get pool a -o yaml", NULL, 0, "natOutgoing: true\n", "" },
		{ "get pool a -o yaml", NULL, 0, "blockSize: 26\n", "" },
		{ "get pool a --export -o json", NULL, 0,
		  "\"metadata\": {\n    \"name\": \"a\"\n  },", "" },
		{ "get pools -o yaml", NULL, 0, "\nkind: IPPoolList\n", "" },
		{ "get", POOL("b", "{cidr: 10.0.0.0/8}"), 0, "b      10.21.0.0/16", "" },
		{ "get pool a nope b", NULL, 1, "b      10.21.0.0/16",
		  "IPPool nope: does not exist" },
		{ "replace", POOL("c", "{cidr: 10.22.0.0/16}"), 1, "", "IPPool c: does not exist" },
		{ "replace", POOL("a", "{cidr: 10.22.0.0/16}"), 1, "",
		  "IPPool a: spec.cidr: cannot be changed, is 10.20.0.0/16" },
		{ "apply", POOL("c", "{cidr: 10.20.128.0/24}"), 1, "",
		  "spec.cidr: IPPool c (10.20.128.0/24) overlaps IPPool a (10.20.0.0/16)" },
		{ "apply",
		  POOL("c", "{cidr: 10.20.0.0/16}") "---\n" POOL("d", "{cidr: 10.23.0.0/16}"), 1,
		  "", "Partial success: applied 1 out of 2 'IPPool' resources" },
		{ "apply",
		  POOL("e", "{cidr: 10.24.0.0/16}") "---\n" POOL("f", "{cdir: 10.25.0.0/16}"), 1,
		  "",
		  "spec.cdir: unknown field; did you mean \"cidr\"?\n"
		  "margayctl: 1 document(s) with mistakes: nothing was done" },
		{ "get pool e", NULL, 1, "", "IPPool e: does not exist" },
		{ "validate", POOL("e", "{cidr: 10.24.0.0/16}"), 0,
		  "Successfully validated 1 'IPPool'", "" },
		{ "delete pool a b d", NULL, 0, "Successfully deleted 3 'IPPool' resource(s)", "" },
		{ "delete pool a", NULL, 1, "", "IPPool a: does not exist" },
		{ "delete -s pool a", NULL, 0, "Skipped 1 'IPPool'", "" },
		{ "get pools", NULL, 0, "NAME   CIDR   SELECTOR\n", "" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void kinds_and_namespaces(void **state)
{
	static const struct story_step steps[] = {
		{ "apply",
		  OBJECT("BGPPeer", "tor", "{peerIP: 10.0.0.1, asNumber: 65001}") "---\n" OBJECT(
			  "BGPConfiguration", "default", "{asNumber: 64999}"),
		  0, "Successfully applied 2 resource(s)\n", "" },
		{ "get bgppeers", NULL, 0,
		  "NAME   PEERIP     NODE       ASN\ntor    10.0.0.1   (global)   65001\n", "" },
		{ "apply", OBJECT("Node", "edge-7", "{bgp: {ipv4Address: 10.0.0.7/24}}"), 0, NULL,
		  "" },
		{ "get nodes -o wide", NULL, 0,
		  "NAME     ASN       IPV4          IPV6\nedge-7   (64999)   10.0.0.7/24   \n",
		  "" },
		{ "apply -n web",
		  OBJECT("WorkloadEndpoint", "edge--7-k8s-p-eth0",
			 "{node: edge-7, orchestrator: k8s, pod: p, endpoint: eth0, ipNetworks: "
			 "[10.20.0.1/32]}"),
		  0, NULL, "" },
		{ "get wep", NULL, 0, "WORKLOAD   NODE   NETWORKS   INTERFACE\n", "" },
		{ "get wep -n web", NULL, 0, "web         p          edge-7   10.20.0.1/32   \n",
		  "" },
		{ "get wep -A -o yaml", NULL, 0,
		  "projectcalico.org/namespace: web\n      projectcalico.org/orchestrator: k8s\n",
		  "" },
		{ "get profiles", NULL, 0, "projectcalico-default-allow\n", "" },
		{ "delete profile projectcalico-default-allow", NULL, 1, "", "built in" },
		{ "apply", OBJECT("ClusterInformation", "default", "{}"), 1, "",
		  "kind ClusterInformation cannot be written" },
		{ "get pols", NULL, 1, "", "\"pols\": no such kind of resource" },
		{ "get", NULL, 1, "", "what to get is missing" },
		{ "delete pool", NULL, 1, "", "what to delete is missing" },
		{ "apply", "", 1, "", "no resources in it" },
		{ "apply --skip-empty", "", 0, "Successfully applied 0 resource(s)", "" },
		{ "apply -f /nowhere", NULL, 1, "", "/nowhere: No such file" },
		{ "apply", NULL, 1, "", "-f FILE is missing" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void revisions(void **state)
{
	CLEANUP(freep) char *out = NULL, *err = NULL, *stale = NULL;
	const char *rev;

	assert_int_equal(story_run("apply", POOL("r", "{cidr: 10.30.0.0/16}"), &out, &err), 0);
	freep(&out);
	freep(&err);
	assert_int_equal(story_run("get pool r -o yaml", NULL, &out, &err), 0);
	rev = strstr(out, "resourceVersion: \"");
	assert_non_null(rev);
	stale = xstrdup(out);
	freep(&out);
	freep(&err);
	/* What get printed can be applied as it is; a second time it is old. */
	assert_int_equal(story_run("apply", stale, &out, &err), 0);
	freep(&out);
	freep(&err);
	assert_int_equal(story_run("apply", stale, &out, &err), 1);
	assert_non_null(strstr(err, "metadata.resourceVersion: is "));
	freep(&out);
	freep(&err);
	assert_int_equal(story_run("create", stale, &out, &err), 1);
	assert_non_null(strstr(err, "metadata.resourceVersion: a new object has none"));
}

/* The value behind a key; NULL when it is not there. */
static char *stored(const char *key)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };
	struct store_res res;
	struct err e = { 0 };
	char *value = NULL;

	if (ctl_open(&c, CTL_READ, &e) < 0)
		fail_msg("%s", e.msg);
	if (ctl_call(&c, store_get(key), "x", &res, &e) == 0) {
		value = xstrdup(res.kv[0].value);
		store_res_done(&res);
	}
	ctl_close(&c);
	return value;
}

static size_t stored_under(const char *prefix)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };
	struct store_res res;
	size_t n = 0;

	assert_int_equal(ctl_open(&c, CTL_READ, NULL), 0);
	assert_int_equal(ctl_call(&c, store_list(prefix), "x", &res, NULL), 0);
	n = res.n;
	store_res_done(&res);
	ctl_close(&c);
	return n;
}

static void what_ipam_reads_is_what_was_set(void **state)
{
	CLEANUP(freep) char *value = NULL;
	static const struct story_step set[] = {
		{ "apply",
		  OBJECT("IPAMConfiguration", "default",
			 "{strictAffinity: true, maxBlocksPerHost: 4}"),
		  0, NULL, "" },
		{ "get ipamconfig", NULL, 0, "default   true", "" },
	};
	static const struct story_step unset[] = { { "delete ipamconfig default", NULL, 0, NULL, "" } };

	story_play(set, ARRAY_SIZE(set));
	value = stored(IPAMKEY_CONFIG);
	assert_non_null(value);
	assert_non_null(strstr(value, "\"strict_affinity\":true"));
	assert_non_null(strstr(value, "\"maxBlocksPerHost\":4"));
	story_play(unset, ARRAY_SIZE(unset));
	freep(&value);
	value = stored(IPAMKEY_CONFIG);
	assert_null(value);
}

/* One address of the only pool for a handle, as the agent of host would take it. */
static char *assign(const char *host, const char *handle)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };
	struct ipam_assign req = {
		.host = host, .handle = handle, .use = IPAM_USE_WORKLOAD, .want_v4 = 1
	};
	struct ipam_facts facts;
	const struct ipam_addr *got;
	char text[ADDR_STR_MAX];
	struct ipam_op *op;
	struct err e = { 0 };
	size_t n;

	assert_int_equal(ctl_open(&c, CTL_WRITE, &e), 0);
	assert_int_equal(ipam_facts_read(&c, &facts, &e), 0);
	req.world = facts.world;
	op = ipam_assign_op(&req);
	if (ipam_run(&c, op, &e) < 0)
		fail_msg("%s", e.msg);
	got = ipam_op_addrs(op, &n);
	assert_int_equal(n, 1);
	addr_format(&got[0].addr, text);
	ipam_op_free(op);
	ipam_facts_done(&facts);
	ctl_close(&c);
	return xstrdup(text);
}

static void pools_and_nodes_go_with_what_is_theirs(void **state)
{
	static const struct story_step begin[] = {
		{ "delete -s pool r", NULL, 0, NULL, NULL },
		{ "apply", POOL("p", "{cidr: 10.40.0.0/24}"), 0, NULL, "" },
		{ "apply", OBJECT("Node", "n1", "{}"), 0, NULL, "" },
		{ "apply", OBJECT("BGPPeer", "of-n1", "{node: n1, peerIP: 10.0.0.1, asNumber: 1}"),
		  0, NULL, "" },
		{ "apply", OBJECT("BGPConfiguration", "node.n1", "{listenPort: 1790}"), 0, NULL,
		  "" },
	};
	static const struct story_step node[] = {
		{ "delete node n1", NULL, 0, "Successfully deleted 1 'Node'", "" },
		{ "get bgppeer of-n1", NULL, 1, NULL, "does not exist" },
		{ "get bgpconfig node.n1", NULL, 1, NULL, "does not exist" },
		{ "get wep n1-k8s-a-eth0", NULL, 1, NULL, "does not exist" },
	};
	static const struct story_step pool[] = {
		{ "create", POOL("q", "{cidr: 10.40.0.0/16}"), 1, NULL, "overlaps" },
		{ "delete pool p", NULL, 0, "Successfully deleted 1",
		  "1 of its addresses are still in use" },
		{ "create", POOL("q", "{cidr: 10.40.0.0/16, blockSize: 27}"), 1, NULL,
		  "exists in this range: blockSize must be 26" },
		{ "create", POOL("q", "{cidr: 10.40.0.0/16}"), 0, NULL, "" },
	};
	CLEANUP(freep) char *mine = NULL, *tunnel = NULL, *other = NULL, *wep = NULL;
	CLEANUP(freep) char *out = NULL, *err = NULL;

	story_play(begin, ARRAY_SIZE(begin));
	mine = assign("n1", "net.a");
	tunnel = assign("n1", "ipip-tunnel-addr-n1");
	other = assign("n2", "net.b");
	wep = xasprintf(OBJECT("WorkloadEndpoint", "n1-k8s-a-eth0",
			       "{node: n1, orchestrator: k8s, pod: a, endpoint: eth0, ipNetworks: "
			       "[%s/32]}"),
			mine);
	assert_int_equal(story_run("apply", wep, &out, &err), 0);
	assert_int_equal(stored_under(IPAMKEY_BLOCKS), 2);
	assert_int_equal(stored_under(IPAMKEY_HANDLES), 3);

	story_play(node, ARRAY_SIZE(node));
	assert_int_equal(stored_under(IPAMKEY_BLOCKS), 1);
	assert_int_equal(stored_under(IPAMKEY_HANDLES), 1);
	assert_int_equal(stored_under(IPAMKEY_HOSTS "n1/"), 0);
	assert_int_equal(stored_under(IPAMKEY_HOSTS "n2/"), 1);

	story_play(pool, ARRAY_SIZE(pool));
	assert_int_equal(stored_under(IPAMKEY_HOSTS), 0);
	assert_int_equal(stored_under(IPAMKEY_BLOCKS), 1); /* in use: stays, nobody's */
}

static void broken_objects_do_not_hide_the_others(void **state)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };
	static const struct story_step steps[] = {
		{ "get ipreservations", NULL, 1, "good\n", "ipreservations/bad: line 1" },
		{ "apply", OBJECT("IPReservation", "good", "{reservedCIDRs: [10.0.0.1]}"), 0, NULL,
		  "" },
		{ "delete ipreservation bad", NULL, 0, NULL, "" },
		{ "get ipreservations -o wide", NULL, 0, "good   10.0.0.1\n", "" },
	};
	static const struct story_step before[] = {
		{ "apply", OBJECT("IPReservation", "good", "{}"), 0, NULL, "" },
	};

	story_play(before, 1);
	assert_int_equal(ctl_open(&c, CTL_WRITE, NULL), 0);
	assert_int_equal(ctl_call(&c,
				  store_create(KEY_RESOURCES "ipreservations/bad", "{\"kind\":"),
				  "x", NULL, NULL),
			 0);
	ctl_close(&c);
	story_play(steps, ARRAY_SIZE(steps));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_lives),
		cmocka_unit_test(kinds_and_namespaces),
		cmocka_unit_test(revisions),
		cmocka_unit_test(what_ipam_reads_is_what_was_set),
		cmocka_unit_test(pools_and_nodes_go_with_what_is_theirs),
		cmocka_unit_test(broken_objects_do_not_hide_the_others),
	};

	return cmocka_run_group_tests(tests, story_set_up, story_tear_down);
}
