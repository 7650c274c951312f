/* key.c - model/key: keys both ways, names */
#include "model/key.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/kind.h"

#define R "/calico/resources/v3/projectcalico.org/"

static void both_ways(void **state)
{
	static const struct {
		const char *kind, *ns, *name, *key;
	} rows[] = {
		{ "IPPool", NULL, "web", R "ippools/web" },
		{ "BGPConfiguration", NULL, "node.edge-7", R "bgpconfigurations/node.edge-7" },
		{ "WorkloadEndpoint", "default", "edge--7-k8s-web--0-eth0",
		  R "workloadendpoints/default/edge--7-k8s-web--0-eth0" },
		{ "Profile", NULL, "ksa.default.default", R "profiles/ksa.default.default" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct kind *kind = kind_find(rows[i].kind);
		CLEANUP(freep) char *key = key_resource(kind, rows[i].ns, rows[i].name);
		CLEANUP(freep) char *prefix = key_prefix(kind, rows[i].ns);
		struct key k;

		assert_string_equal(key, rows[i].key);
		assert_true(str_starts(key, prefix));
		assert_int_equal(prefix[strlen(prefix) - 1], '/');
		assert_true(key_parse(key, &k));
		assert_ptr_equal(k.kind, kind);
		assert_true(str_eq(k.ns, rows[i].ns));
		assert_string_equal(k.name, rows[i].name);
		key_done(&k);
	}
}

static void no_key_of_ours(void **state)
{
	static const char *const rows[] = {
		"",
		"/",
		"/calico/",
		R,
		R "ippools",
		R "ippools/",
		R "ippools/a/b",
		R "IPPools/a",
		R "nothing/a",
		R "workloadendpoints/a",
		R "workloadendpoints/a/",
		R "workloadendpoints//a",
		R "workloadendpoints/a/b/c",
		"/calico/ipam/v2/config",
		R "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		  "/x",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct key k = { 0 };

		if (key_parse(rows[i], &k))
			fail_msg("%s", rows[i]);
		assert_null(k.kind);
	}
}

static void names_of_objects(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "a", true },	   { "web-0", true },	  { "a.b.c", true }, { "0", true },
		{ "", false },	   { "A", false },	  { "a_b", false },  { "-a", false },
		{ "a-", false },   { ".a", false },	  { "a.", false },   { "a..b", false },
		{ "a.-b", false }, { "a-.b", false },	  { "a b", false },  { "a/b", false },
		{ "a\nb", false }, { "\xc3\xa4", false },
	};
	char name[NAME_LEN_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((name_check("metadata.name", rows[i].name, NULL) == 0) != rows[i].ok)
			fail_msg("%s", rows[i].name);
	memset(name, 'a', sizeof(name));
	name[NAME_LEN_MAX] = '\0';
	assert_int_equal(name_check("x", name, NULL), 0);
	name[NAME_LEN_MAX] = 'a';
	name[NAME_LEN_MAX + 1] = '\0';
	assert_true(name_check("x", name, NULL) < 0);
	assert_true(label_check("x", "a.b", NULL) < 0);
	assert_int_equal(label_check("x", "kube-system", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(no_key_of_ours),
		cmocka_unit_test(names_of_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
