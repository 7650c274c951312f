/* kube.c - Kubernetes' manifests and names, and labels, by command */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"
#include "ctl/kube.h"
#include "model/key.h"
#include "tests/unit/ctl/story.h"

#define NAMESPACE(name, labels) \
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: " name ", labels: " labels "}\n"
#define ACCOUNT(name, ns) \
	"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " name ", namespace: " ns "}\n"
#define POLICY(name, meta, spec)                                                             \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " name meta \
	"}\nspec: " spec "\n"
#define SLICE(name, rest)                                                              \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " name \
	", namespace: x, labels: {kubernetes.io/service-name: web}}\n" rest "\n"

static void namespaces_and_accounts(void **state)
{
	static const struct story_step steps[] = {
		{ "apply", NAMESPACE("x", "{team: red}") "---\n" ACCOUNT("web", "x"), 0,
		  "Successfully applied 2 'Profile'", "" },
		{ "get namespace x", NULL, 0, "kns.x", "" },
		{ "get ns x -o yaml", NULL, 0, "pcns.team: red", "" },
		{ "get namespaces", NULL, 0, "kns.x", "" },
		{ "get sa web -n x", NULL, 0, "ksa.x.web", "" },
		{ "get sa web", NULL, 1, "", "ksa.default.web: does not exist" },
		{ "delete serviceaccount web -n x", NULL, 0, "Successfully deleted 1", "" },
		{ "delete namespace y", NULL, 1, "", "Profile kns.y: does not exist" },
		{ "delete namespace x", NULL, 0, "Successfully deleted 1", "" },
		{ "get namespaces", NULL, 0, "NAME\n", "" },
		{ "apply", "apiVersion: v1\nkind: Namespace\nmetadata: {labels: {}}\n", 1, "",
		  "metadata.name" },
		{ "apply", "apiVersion: v1\nkind: Namespace\nmetadata: {name: 7}\n", 1, "",
		  "metadata.name: must be a string" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void network_policies(void **state)
{
	static const struct story_step steps[] = {
		{ "apply", POLICY("web", ", namespace: x", "{podSelector: {}}"), 0,
		  "Successfully applied 1 'NetworkPolicy'", "" },
		{ "get netpol web -n x", NULL, 0, "knp.default.web", "" },
		{ "get networkpolicies.networking.k8s.io -A", NULL, 0, "knp.default.web", "" },
		{ "get netpol web", NULL, 1, "", "default/knp.default.web: does not exist" },
		{ "apply",
		  POLICY("web", ", namespace: x",
			 "{podSelector: {}, ingress: [{ports: [{port: 0}]}]}"),
		  1, "", "port" },
		{ "apply", POLICY("web", "", "{podSelector: 7}"), 1, "", "podSelector" },
		{ "apply",
		  "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  "
		  "metadata: {name: z}\n"
		  "- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: "
		  "p, namespace: z}\n"
		  "  spec: {podSelector: {}}\n",
		  0, "Successfully applied 2", "" },
		{ "apply",
		  "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  "
		  "metadata: {name: q}\n"
		  "- apiVersion: projectcalico.org/v3\n  kind: Tier\n  metadata: {name: t}\n",
		  1, "", "not both" },
		{ "get namespace q", NULL, 1, "", "does not exist" },
		{ "apply",
		  POLICY("web", ", namespace: x",
			 "\n  podSelector: {}\n  ingress:\n  - form: []"),
		  1, "", "m.yaml:7: spec.ingress[0].form: unknown field; did you mean \"from\"?" },
		{ "apply",
		  "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  "
		  "metadata: {name: q}\n"
		  "- apiVersion: v1\n  kind: Namespace\n  metadata:\n    name: q/r\n",
		  1, "", "m.yaml:10: items[1].metadata.name: " },
		{ "delete netpol p -n z", NULL, 0, "Successfully deleted 1", "" },
		{ "delete netpol web -n x", NULL, 0, "Successfully deleted 1", "" },
		{ "delete -s netpol web -n x", NULL, 0, "Skipped 1", "" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void put(const char *key, const char *text)
{
	struct ctl c = { .run_dir = story_dir, .datastore = story_store };

	assert_int_equal(ctl_open(&c, CTL_WRITE, NULL), 0);
	assert_int_equal(ctl_call(&c, store_create(key, text), "x", NULL, NULL), 0);
	ctl_close(&c);
}

#define OLDER "networkpolicies/x/default."
#define TEXT(name)                                                        \
	"{\"kind\":\"NetworkPolicy\",\"apiVersion\":\"projectcalico.org/" \
	"v3\",\"metadata\":{\"name\":\"" name "\",\"namespace\":\"x\"},\"spec\":{}}"

/* Writers of before 3.31 stored policies under their tier's name. */
static void keys_of_older_writers(void **state)
{
	static const struct story_step steps[] = {
		{ "get networkpolicy old -n x", NULL, 0, "   old", "" },
		{ "get networkpolicy default.old -n x", NULL, 0, "   old", "" },
		{ "label networkpolicy old -n x a=b", NULL, 0, "labelled", "" },
		{ "get np old -n x -o yaml", NULL, 0, "a: b", "" },
		{ "delete networkpolicy old -n x", NULL, 0, "Successfully deleted 1", "" },
		{ "get networkpolicy old -n x", NULL, 1, "",
		  "NetworkPolicy x/old: does not exist" },
		{ "delete networkpolicy broken -n x", NULL, 0, "Successfully deleted 1", "" },
		{ "get networkpolicies -n x", NULL, 0, "NAME", "" },
	};

	put(KEY_RESOURCES OLDER "old", TEXT("default.old"));
	put(KEY_RESOURCES "networkpolicies/x/broken", "{\"kind\":");
	story_play(steps, ARRAY_SIZE(steps));
}

/* Something else had written them; who repairs them at night has only the manifest. */
static void what_cannot_be_read_is_written_over(void **state)
{
	static const struct story_step steps[] = {
		{ "get namespace broken", NULL, 1, "", "profiles/kns.broken: " },
		{ "create", NAMESPACE("broken", "{}"), 1, "", "exists already" },
		{ "apply", NAMESPACE("broken", "{a: b}"), 0, "Successfully applied 1 'Profile'",
		  "" },
		{ "get namespace broken -o yaml", NULL, 0, "pcns.a: b", "" },
		{ "replace", POLICY("broken", ", namespace: x", "{podSelector: {}}"), 0, NULL,
		  "" },
		{ "get netpol broken -n x -o yaml", NULL, 0, "order: 1000", "" },
		{ "delete netpol broken -n x", NULL, 0, NULL, "" },
		{ "delete namespace broken", NULL, 0, NULL, "" },
	};

	put(KEY_RESOURCES "profiles/kns.broken", "[]");
	put(KEY_RESOURCES "networkpolicies/x/knp.default.broken", "{\"kind\":");
	story_play(steps, ARRAY_SIZE(steps));
}

static void endpoint_slices(void **state)
{
	static const struct story_step steps[] = {
		{ "apply",
		  SLICE("s", "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: "
			     "{ready: true}}]\n"
			     "ports: [{name: http, port: 80, protocol: TCP, appProtocol: http}]"),
		  0, "Successfully applied 1 'EndpointSlice'", "" },
		{ "get endpointslices -n x", NULL, 0, "s      web", "" },
		{ "get endpointslices.discovery.k8s.io s -n x -o yaml", NULL, 0, "10.0.0.1", "" },
		{ "apply", SLICE("s", "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]"), 1,
		  "", "endpoints[0].addresses[0]: must be an IPv6 address" },
		{ "apply", SLICE("s", "addressType: IPX"), 1, "", "addressType: " },
		{ "apply", SLICE("s", "ports: [{port: 70000}]"), 1, "", "ports[0].port: " },
		{ "apply", SLICE("s", "endpoint: []"), 1, "", "endpoint: unknown field" },
		{ "apply", SLICE("s", "endpoints: [{addresses: []}]"), 1, "",
		  "endpoints[0].addresses: " },
		{ "apply", SLICE("s", "addressType: FQDN\nendpoints: [{addresses: [a.example]}]"),
		  0, NULL, "" },
		{ "delete endpointslices.discovery.k8s.io s -n x", NULL, 0,
		  "Successfully deleted 1", "" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

#define SERVICE(name, rest) \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: x}\n" rest "\n"

static void services(void **state)
{
	static const struct story_step steps[] = {
		{ "apply",
		  SERVICE("web", "spec: {type: LoadBalancer, clusterIP: 10.96.0.7, clusterIPs: "
				 "[10.96.0.7], externalIPs: [192.0.2.1], externalTrafficPolicy: "
				 "Local, ports: [{port: 80}], selector: {app: web}, sessionAffinity: "
				 "None}\nstatus: {loadBalancer: {ingress: [{ip: 198.51.100.7}]}}"),
		  0, "Successfully applied 1 'Service'", "" },
		{ "get services -n x", NULL, 0, "LoadBalancer   10.96.0.7   192.0.2.1", "" },
		{ "get svc -n x -o wide", NULL, 0, "198.51.100.7", "" },
		{ "get service web -n x -o yaml", NULL, 0, "externalTrafficPolicy: Local", "" },
		{ "get service web -n x -o yaml", NULL, 0, "- ip: \"198.51.100.7\"", "" },
		{ "apply", SERVICE("n", "spec: {clusterIP: None}"), 0, NULL, "" },
		{ "apply", SERVICE("n", "spec: {clusterIPs: [None], clusterIP: None}"), 0, NULL, "" },
		{ "apply", SERVICE("n", "spec: {type: ExternalName, externalName: a.example}"), 0, NULL,
		  "" },
		{ "apply", SERVICE("b", "spec: {clusterIP: 10.96.0}"), 1, "",
		  "spec.clusterIP: must be an address, is \"10.96.0\"" },
		{ "apply", SERVICE("b", "spec: {clusterIPs: [10.96.0.7], clusterIP: 10.96.0.8}"), 1, "",
		  "spec.clusterIPs[0]: must be the same as spec.clusterIP" },
		{ "apply", SERVICE("b", "spec: {clusterIPs: [10.96.0.7, 'fd00::7', 10.96.0.8]}"), 1, "",
		  "spec.clusterIPs: has 3 elements" },
		{ "apply", SERVICE("b", "spec: {externalIPs: [192.0.2.0/24]}"), 1, "",
		  "spec.externalIPs[0]: must be an address" },
		{ "apply", SERVICE("b", "spec: {externalTrafficPolicy: local}"), 1, "",
		  "spec.externalTrafficPolicy: " },
		{ "apply", SERVICE("b", "spec: {clusterIPS: []}"), 1, "", "clusterIPS: unknown field" },
		{ "apply", SERVICE("b", "specs: {}"), 1, "", "specs: " },
		{ "apply", SERVICE("b", "spec: {}\nstatus: {loadBalancer: []}"), 1, "", "loadBalancer: " },
		{ "delete service web -n x", NULL, 0, "Successfully deleted 1", "" },
		{ "delete svc web -n x", NULL, 1, "", "does not exist" },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void labels(void **state)
{
	static const struct story_step steps[] = {
		{ "apply",
		  "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: "
		  "g}\nspec: {}\n",
		  0, NULL, "" },
		{ "label globalnetworkset g a=1 b.c/d=x-y_z", NULL, 0, "Successfully labelled",
		  "" },
		{ "get gns g -o yaml", NULL, 0, "b.c/d: x-y_z", "" },
		{ "label gns g a=2", NULL, 1, "",
		  "label a is \"1\" already; --overwrite changes it" },
		{ "label gns g a=1", NULL, 0, NULL, "" },
		{ "label gns g a=2 --overwrite", NULL, 0, NULL, "" },
		{ "get gns g -o yaml", NULL, 0, "a: \"2\"", "" },
		{ "label gns g a-", NULL, 0, NULL, "" },
		{ "label gns g b.c/d --remove", NULL, 0, NULL, "" },
		{ "get gns g -o json", NULL, 0, "\"metadata\"", "" },
		{ "label gns g gone-", NULL, 0, NULL, "" },
		{ "label gns g", NULL, 1, "", "KIND NAME KEY=VALUE" },
		{ "label gns g =x", NULL, 1, "", "a key is" },
		{ "label gns g a=b=c", NULL, 1, "", "a value is" },
		{ "label gns g a,b=c", NULL, 1, "", "a key is" },
		{ "label gns g word", NULL, 1, "", "must be KEY=VALUE" },
		{ "label gns none a=1", NULL, 1, "", "GlobalNetworkSet none: does not exist" },
		{ "label things g a=1", NULL, 1, "", "things" },
		{ "label gns g projectcalico.org/namespace=x", NULL, 1, "", NULL },
	};

	story_play(steps, ARRAY_SIZE(steps));
}

static void words_of_kinds(void **state)
{
	const struct kind *kind = NULL;
	const char *prefix = NULL;
	char *name = NULL;

	assert_true(kube_kind("NameSpaces", &kind, &prefix));
	assert_string_equal(kind->name, "Profile");
	assert_string_equal(prefix, "kns.");
	assert_false(kube_kind("pod", &kind, &prefix));
	assert_true(kube_name("sa", "x", "web", &kind, &name));
	assert_string_equal(name, "ksa.x.web");
	free(name);
	assert_false(kube_name("networkpolicy", "x", "web", &kind, &name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(namespaces_and_accounts),
		cmocka_unit_test(network_policies),
		cmocka_unit_test(keys_of_older_writers),
		cmocka_unit_test(what_cannot_be_read_is_written_over),
		cmocka_unit_test(endpoint_slices),
		cmocka_unit_test(services),
		cmocka_unit_test(labels),
		cmocka_unit_test(words_of_kinds),
	};

	return cmocka_run_group_tests(tests, story_set_up, story_tear_down);
}
