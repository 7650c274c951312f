/* object.c - model/object: stored objects and manifests, read, checked, written, shown */
#include "model/object.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define R "/calico/resources/v3/projectcalico.org/"

static int read_manifest(const char *text, struct object_vec *out, struct err *e)
{
	struct yml_docs docs = { 0 };
	int rc = yml_parse("m.yaml", text, strlen(text), &docs, e);

	vec_foreach (&docs, doc)
		if (rc == 0)
			rc = objects_from_doc(doc, out, e);
	yml_docs_done(&docs);
	return rc;
}

static struct object one(const char *text)
{
	struct object_vec v = { 0 };
	struct err e = { 0 };
	struct object o;

	if (read_manifest(text, &v, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(v.n, 1);
	o = v.p[0];
	vec_done(&v);
	return o;
}

/* What etcd holds in a cluster of Calico's, with fields that are unknown here at three places. */
static const char *const stored[][2] = {
	{ R "ippools/default-ipv4-ippool",
	  "{\"kind\":\"IPPool\",\"apiVersion\":\"projectcalico.org/v3\",\"metadata\":{\"name\":"
	  "\"default-ipv4-ippool\",\"uid\":\"6a1f0a0a-9c1d-4c0f-8e1c-1f6a2f5b0c11\","
	  "\"creationTimestamp\":\"2026-08-01T10:00:00Z\",\"futureMeta\":{\"a\":[1]}},\"spec\":{"
	  "\"cidr\":\"192.168.0.0/16\",\"vxlanMode\":\"Never\",\"ipipMode\":\"Always\","
	  "\"natOutgoing\":true,\"blockSize\":26,\"nodeSelector\":\"all()\",\"allowedUses\":["
	  "\"Workload\",\"Tunnel\"],\"futureSpec\":1785578400000000042}}" },
	{ R "nodes/edge-7",
	  "{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/"
	  "v3\",\"metadata\":{\"name\":\"edge-7\","
	  "\"labels\":{\"kubernetes.io/os\":\"linux\"}},\"spec\":{\"bgp\":{\"ipv4Address\":"
	  "\"10.0.0.7/"
	  "24\",\"ipv4IPIPTunnelAddr\":\"10.20.0.64\"},\"orchRefs\":[{\"nodeName\":\"edge-7\","
	  "\"orchestrator\":\"k8s\"}],\"addresses\":[{\"address\":\"10.0.0.7/24\",\"type\":"
	  "\"CalicoNodeIP\"}]},\"status\":{\"podCIDRs\":[\"10.244.0.0/24\"],\"future\":true}}" },
	{ R "workloadendpoints/default/edge--7-k8s-web--0-eth0",
	  "{\"kind\":\"WorkloadEndpoint\",\"apiVersion\":\"projectcalico.org/"
	  "v3\",\"metadata\":{\"name\":"
	  "\"edge--7-k8s-web--0-eth0\",\"namespace\":\"default\",\"labels\":{\"app\":\"web\"}},"
	  "\"spec\":{"
	  "\"orchestrator\":\"k8s\",\"node\":\"edge-7\",\"containerID\":\"9f31aa\",\"pod\":\"web-"
	  "0\","
	  "\"endpoint\":\"eth0\",\"ipNetworks\":[\"10.20.0.67/32\"],\"profiles\":[\"kns.default\"],"
	  "\"interfaceName\":\"cali0123456789a\",\"ports\":[{\"name\":\"http\",\"protocol\":"
	  "\"TCP\","
	  "\"port\":80,\"hostPort\":0,\"hostIP\":\"\"}]}}" },
};

static void stored_round_trip(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		struct err e = { 0 };
		struct object o;
		CLEANUP(freep) char *text = NULL, *key = NULL;
		void *spec;

		if (object_decode(stored[i][0], stored[i][1], 42, &o, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(o.rev, 42);
		text = object_encode(&o);
		assert_string_equal(text, stored[i][1]);
		key = object_key(&o);
		assert_string_equal(key, stored[i][0]);
		/* Reading the spec as a struct and writing it back loses nothing either. */
		spec = xcalloc(1, o.kind->spec->size);
		if (object_spec(&o, FIELDS_LENIENT, spec, &e) < 0)
			fail_msg("%s", e.msg);
		object_set_spec(&o, spec);
		if (i == 0)
			assert_int_equal(json_integer_value(js_at(o.json, "spec.futureSpec")),
					 1785578400000000042);
		fields_done(o.kind->spec, spec);
		free(spec);
		object_done(&o);
	}
}

static void stored_refused(void **state)
{
	static const struct {
		const char *name, *key, *value, *words;
		int rc;
	} rows[] = {
		{ "foreign key", "/calico/ipam/v2/config", "{}", "not the key of a resource",
		  -ENOENT },
		{ "broken", R "ippools/a", "{", "ippools/a: line 1", -EINVAL },
		{ "empty", R "ippools/a", "", "line 1", -EINVAL },
		{ "list", R "ippools/a", "[]", "must be an object", -EINVAL },
		{ "no kind", R "ippools/a", "{}", "kind: is missing", -EINVAL },
		{ "kind of another type", R "ippools/a", "{\"kind\":7}", "kind: must be a string",
		  -EINVAL },
		{ "another kind", R "ippools/a", "{\"kind\":\"Node\"}", "kind: must be IPPool",
		  -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object o = { 0 };
		struct err e = { 0 };

		assert_int_equal(object_decode(rows[i].key, rows[i].value, 1, &o, &e), rows[i].rc);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: %s", rows[i].name, e.msg);
		assert_null(o.json);
	}
}

static void stored_cut_anywhere(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		for (size_t n = 0; n < strlen(stored[i][1]); n++) {
			CLEANUP(freep) char *cut = xstrndup(stored[i][1], n);
			struct object o;

			assert_true(object_decode(stored[i][0], cut, 1, &o, NULL) < 0);
		}
	}
}

#define HEAD "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: web\n"

static void manifest_becomes_an_object(void **state)
{
	struct object o = one(HEAD "  resourceVersion: \"17\"\n  selfLink: x\n  namespace: \"\"\n"
				   "spec:\n  cidr: 10.0.0.0/16\n");
	static const uint8_t random[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	CLEANUP(freep) char *text = NULL;

	assert_string_equal(o.kind->name, "IPPool");
	assert_string_equal(o.name, "web");
	assert_null(o.ns);
	assert_int_equal(o.rev, 17);
	assert_int_equal(o.line, 1);
	object_fill_new(&o, random, "2026-08-01T10:00:00Z");
	text = object_encode(&o);
	assert_string_equal(
		text,
		"{\"apiVersion\":\"projectcalico.org/"
		"v3\",\"kind\":\"IPPool\",\"metadata\":{\"name\":"
		"\"web\",\"uid\":\"ffffffff-ffff-4fff-bfff-ffffffffffff\",\"creationTimestamp\":"
		"\"2026-08-01T10:00:00Z\"},\"spec\":{\"cidr\":\"10.0.0.0/16\",\"blockSize\":26,"
		"\"ipipMode\":\"Never\",\"vxlanMode\":\"Never\",\"nodeSelector\":\"all()\","
		"\"allowedUses\":[\"Workload\",\"Tunnel\"],\"assignmentMode\":\"Automatic\"}}");
	object_done(&o);
}

static void lists_expand(void **state)
{
	static const char *const rows[] = {
		"apiVersion: projectcalico.org/v3\nkind: IPPoolList\nmetadata: {}\nitems:\n"
		"- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: a}\n"
		"  spec: {cidr: 10.0.0.0/16}\n"
		"- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: b}\n"
		"  spec: {cidr: 10.1.0.0/16}\n",
		"- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: a}\n"
		"  spec: {cidr: 10.0.0.0/16}\n"
		"- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: b}\n"
		"  spec: {cidr: 10.1.0.0/16}\n",
		"{\"kind\":\"List\",\"items\":[{\"apiVersion\":\"projectcalico.org/"
		"v3\",\"kind\":\"IPPool\","
		"\"metadata\":{\"name\":\"a\"},\"spec\":{\"cidr\":\"10.0.0.0/"
		"16\"}},{\"apiVersion\":"
		"\"projectcalico.org/"
		"v3\",\"kind\":\"IPPool\",\"metadata\":{\"name\":\"b\"},\"spec\":{"
		"\"cidr\":\"10.1.0.0/16\"}}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object_vec v = { 0 };
		struct err e = { 0 };

		if (read_manifest(rows[i], &v, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(v.n, 2);
		assert_string_equal(v.p[1].name, "b");
		if (i == 0)
			assert_int_equal(v.p[1].line, 9);
		objects_done(&v);
	}
}

static void manifest_refused(void **state)
{
	static const struct {
		const char *name, *text, *words;
	} rows[] = {
		{ "a word", "hello\n",
		  "m.yaml:1: kind: is missing: a resource is an object with apiVersion, kind, "
		  "metadata and "
		  "spec, this is a string" },
		{ "no kind", "apiVersion: projectcalico.org/v3\nmetadata: {name: a}\n",
		  "m.yaml:1: kind: is missing" },
		{ "no apiVersion", "kind: IPPool\nmetadata: {name: a}\n",
		  "m.yaml:1: apiVersion: is missing" },
		{ "no metadata", "apiVersion: projectcalico.org/v3\nkind: IPPool\n",
		  "m.yaml:1: metadata: is missing" },
		{ "another API", "apiVersion: v1\nkind: IPPool\nmetadata: {name: a}\n",
		  "m.yaml:1: apiVersion: must be projectcalico.org/v3, is \"v1\"" },
		{ "unknown kind",
		  "apiVersion: projectcalico.org/v3\nkind: IPool\nmetadata: {name: a}\n",
		  "m.yaml:2: kind: \"IPool\": no such kind of resource; did you mean IPPool?" },
		{ "alias as kind",
		  "apiVersion: projectcalico.org/v3\nkind: ippool\nmetadata: {name: a}\n",
		  "m.yaml:2: kind: must be written IPPool, is \"ippool\"" },
		{ "unknown at the top", HEAD "specs: {}\n",
		  "m.yaml:5: specs: unknown field; did you mean \"spec\"?" },
		{ "unknown in metadata", HEAD "  label: {}\nspec: {cidr: 10.0.0.0/16}\n",
		  "m.yaml:5: metadata.label: unknown field; did you mean \"labels\"?" },
		{ "unknown in spec", HEAD "spec:\n  cidr: 10.0.0.0/16\n  blocksize: 26\n",
		  "m.yaml:7: spec.blocksize: unknown field; did you mean \"blockSize\"?" },
		{ "wrong type", HEAD "spec:\n  cidr: 10.0.0.0/16\n  blockSize: \"26\"\n",
		  "m.yaml:7: spec.blockSize: must be a whole number from 20 to 128, is \"26\"" },
		{ "metadata of another type",
		  "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: web\n",
		  "m.yaml:3: metadata: must be an object, is a string" },
		{ "spec of another type", HEAD "spec: []\n",
		  "m.yaml:5: spec: must be an object, is a list" },
		{ "no spec", HEAD, "spec.cidr: is missing" },
		{ "name with capitals",
		  "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: Web\n",
		  "m.yaml:4: metadata.name: \"Web\": must be lower case" },
		{ "no name", "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {}\n",
		  "m.yaml:3: metadata.name: is missing" },
		{ "namespace where none belongs", HEAD "  namespace: default\n",
		  "m.yaml:5: metadata.namespace: kind IPPool has no namespaces: leave it out" },
		{ "label that is a boolean", HEAD "  labels:\n    app: on\n",
		  "m.yaml:6: metadata.labels.app: must be a string, is a boolean: put it in "
		  "quotes" },
		{ "resourceVersion", HEAD "  resourceVersion: abc\n",
		  "m.yaml:5: metadata.resourceVersion: must be the number that get printed" },
		{ "status of a kind without",
		  "apiVersion: projectcalico.org/v3\nkind: BGPPeer\n"
		  "metadata: {name: a}\nspec: {peerIP: 10.0.0.1, asNumber: 1}\nstatus: {}\n",
		  "m.yaml:5: status: unknown field; kind BGPPeer has none" },
		{ "second in a list",
		  "kind: List\nitems:\n- apiVersion: projectcalico.org/v3\n"
		  "  kind: IPPool\n  metadata: {name: a}\n  spec: {cidr: 10.0.0.0/16}\n"
		  "- apiVersion: projectcalico.org/v3\n  kind: IPPool\n  metadata: {name: b}\n"
		  "  spec:\n    cidr: 10.1.0.1/16\n",
		  "m.yaml:11: items[1].spec.cidr: 10.1.0.1/16 has host bits set: 10.1.0.0/16 would "
		  "be" },
		{ "list without items", "kind: List\n", "m.yaml:1: items: is missing" },
		{ "list of words", "- a\n",
		  "m.yaml:1: [0].kind: is missing: a resource is an object" },
		{ "cluster information of another name",
		  "apiVersion: projectcalico.org/v3\n"
		  "kind: ClusterInformation\nmetadata: {name: mine}\n",
		  "metadata.name: the only ClusterInformation is \"default\", this is \"mine\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct object_vec v = { 0 };
		struct err e = { 0 };

		if (read_manifest(rows[i].text, &v, &e) == 0)
			fail_msg("%s: accepted", rows[i].name);
		if (!strstr(e.msg, rows[i].words))
			fail_msg("%s: \"%s\" lacks \"%s\"", rows[i].name, e.msg, rows[i].words);
		assert_int_equal(v.n, 0);
		objects_done(&v);
	}
}

static void identity_is_kept(void **state)
{
	struct object old, new = one(HEAD "spec:\n  cidr: 192.168.0.0/16\n");
	struct err e = { 0 };

	assert_int_equal(object_decode(stored[0][0], stored[0][1], 9, &old, &e), 0);
	object_keep_identity(&new, &old);
	assert_string_equal(object_meta(&new, "uid"), object_meta(&old, "uid"));
	assert_string_equal(object_meta(&new, "creationTimestamp"), "2026-08-01T10:00:00Z");
	object_done(&old);
	object_done(&new);
}

static void the_golden_yaml(void **state)
{
	struct object o;
	struct err e = { 0 };
	CLEANUP(js_freep) json_t *show = NULL, *list = NULL;
	CLEANUP(freep) char *yaml = NULL, *list_yaml = NULL;
	struct object_vec v = { &o, 1, 1 };

	assert_int_equal(object_decode(stored[0][0], stored[0][1], 4711, &o, &e), 0);
	show = object_show(&o);
	yaml = yml_dump(show);
	assert_string_equal(yaml, "apiVersion: projectcalico.org/v3\n"
				  "kind: IPPool\n"
				  "metadata:\n"
				  "  creationTimestamp: \"2026-08-01T10:00:00Z\"\n"
				  "  futureMeta:\n"
				  "    a:\n"
				  "    - 1\n"
				  "  name: default-ipv4-ippool\n"
				  "  resourceVersion: \"4711\"\n"
				  "  uid: 6a1f0a0a-9c1d-4c0f-8e1c-1f6a2f5b0c11\n"
				  "spec:\n"
				  "  allowedUses:\n"
				  "  - Workload\n"
				  "  - Tunnel\n"
				  "  blockSize: 26\n"
				  "  cidr: 192.168.0.0/16\n"
				  "  futureSpec: 1785578400000000042\n"
				  "  ipipMode: Always\n"
				  "  natOutgoing: true\n"
				  "  nodeSelector: all()\n"
				  "  vxlanMode: Never\n");
	list = objects_show(o.kind, &v);
	list_yaml = yml_dump(list);
	assert_true(str_starts(list_yaml, "apiVersion: projectcalico.org/v3\nitems:\n"
					  "- apiVersion: projectcalico.org/v3\n  kind: IPPool\n"));
	assert_non_null(strstr(list_yaml, "\nkind: IPPoolList\n"));
	object_done(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stored_round_trip),   cmocka_unit_test(stored_refused),
		cmocka_unit_test(stored_cut_anywhere), cmocka_unit_test(manifest_becomes_an_object),
		cmocka_unit_test(lists_expand),	       cmocka_unit_test(manifest_refused),
		cmocka_unit_test(identity_is_kept),    cmocka_unit_test(the_golden_yaml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
