/* self.c - the Node as it is written: new, changed, with fields of others; default ranges */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/self.h"
#include "lib/json.h"

static struct prefix cidr(const char *text)
{
	struct prefix p;

	assert_true(prefix_parse_or_addr(text, &p));
	return p;
}

static json_t *changed(const struct self_node *n, const char *stored)
{
	struct err e = { 0 };
	char *text = NULL;
	json_t *o = NULL;

	if (self_node_change(n, stored, &text, &e) < 0)
		fail_msg("%s", e.msg);
	if (!text)
		return NULL;
	assert_int_equal(js_parse(text, strlen(text), &o, &e), 0);
	free(text);
	return o;
}

static const char *text_at(const json_t *o, const char *path)
{
	const char *s = NULL;

	js_str(o, path, &s, NULL);
	return s;
}

static void new_node(void **state)
{
	struct self_node n = { .name = "n1",
			       .set_v4 = true,
			       .set_v6 = true,
			       .v4 = cidr("10.0.0.1/24"),
			       .uid = "u",
			       .now = "2026-01-01T00:00:00Z" };
	json_t *o = changed(&n, NULL);

	assert_string_equal(text_at(o, "kind"), "Node");
	assert_string_equal(text_at(o, "apiVersion"), "projectcalico.org/v3");
	assert_string_equal(text_at(o, "metadata.name"), "n1");
	assert_string_equal(text_at(o, "metadata.uid"), "u");
	assert_string_equal(text_at(o, "metadata.creationTimestamp"), "2026-01-01T00:00:00Z");
	assert_string_equal(text_at(o, "spec.bgp.ipv4Address"), "10.0.0.1/24");
	assert_null(js_at(o, "spec.bgp.ipv6Address"));
	assert_null(js_at(o, "spec.bgp.asNumber"));
	json_decref(o);
}

static void node_without_any_address_has_no_bgp(void **state)
{
	struct self_node n = {
		.name = "n1", .set_v4 = true, .set_v6 = true, .uid = "u", .now = "t"
	};
	json_t *o = changed(&n, NULL);

	assert_null(js_at(o, "spec.bgp"));
	json_decref(o);
}

#define STORED                                                                             \
	"{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/"                           \
	"v3\",\"metadata\":{\"name\":\"n1\","                                              \
	"\"labels\":{\"rack\":\"7\"},\"uid\":\"old\"},\"spec\":{\"bgp\":{\"ipv4Address\":" \
	"\"10.0.0.1/24\",\"asNumber\":64999,\"fromTheFuture\":{\"a\":[1]}},\"more\":true}}"

static void what_is_right_is_not_written(void **state)
{
	struct self_node n = {
		.name = "n1", .set_v4 = true, .v4 = cidr("10.0.0.1/24"), .uid = "u", .now = "t"
	};

	assert_null(changed(&n, STORED));
	n.as = 64999;
	assert_null(changed(&n, STORED));
	n.set_v4 = false;
	n.as = 0;
	assert_null(changed(&n, STORED));
}

static void fields_of_others_stay(void **state)
{
	struct self_node n = { .name = "n1",
			       .set_v4 = true,
			       .v4 = cidr("10.0.0.2/24"),
			       .uid = "u",
			       .now = "t",
			       .as = 65000 };
	json_t *o = changed(&n, STORED);
	int64_t as = 0;

	assert_string_equal(text_at(o, "spec.bgp.ipv4Address"), "10.0.0.2/24");
	assert_int_equal(js_int(o, "spec.bgp.asNumber", 0, UINT32_MAX, &as, NULL), 1);
	assert_int_equal(as, 65000);
	assert_non_null(js_at(o, "spec.bgp.fromTheFuture.a"));
	assert_true(json_is_true(js_at(o, "spec.more")));
	assert_string_equal(text_at(o, "metadata.labels.rack"), "7");
	assert_string_equal(text_at(o, "metadata.uid"), "old");
	json_decref(o);
}

static void address_taken_away(void **state)
{
	struct self_node n = { .name = "n1", .set_v4 = true, .uid = "u", .now = "t" };
	json_t *o = changed(&n, STORED);

	assert_null(js_at(o, "spec.bgp.ipv4Address"));
	assert_non_null(js_at(o, "spec.bgp.asNumber"));
	json_decref(o);
}

static void what_is_no_node_is_left_alone(void **state)
{
	static const char *const bad[] = { "", "{", "[]", "5", "{\"kind\":\"IPPool\"}" };
	struct self_node n = {
		.name = "n1", .set_v4 = true, .v4 = cidr("10.0.0.1/24"), .uid = "u", .now = "t"
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };
		char *text = NULL;

		assert_true(self_node_change(&n, bad[i], &text, &e) < 0);
		assert_null(text);
		assert_non_null(strstr(e.msg, "the stored Node"));
	}
}

static void default_ranges(void **state)
{
	static const struct {
		const char *used[3];
		const char *want; /* NULL: none */
	} c[] = {
		{ { NULL }, "192.168.0.0/16" },
		{ { "10.0.0.1/8" }, "192.168.0.0/16" },
		{ { "192.168.61.11/24" }, "172.16.0.0/16" },
		{ { "192.168.61.11/24", "172.16.3.4/20" }, "172.17.0.0/16" },
		{ { "192.168.61.11/24", "172.16.0.1/13" }, "172.24.0.0/16" },
		{ { "192.168.0.1/16", "172.16.0.1/12" }, NULL },
		{ { "fd00::1/8" }, "192.168.0.0/16" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct prefix used[3], out;
		char text[PREFIX_STR_MAX];
		size_t n = 0;

		while (n < 3 && c[i].used[n]) {
			used[n] = cidr(c[i].used[n]);
			n++;
		}
		assert_int_equal(self_default_cidr(used, n, &out), c[i].want != NULL);
		if (c[i].want)
			assert_string_equal(prefix_format(&out, text), c[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_node),
		cmocka_unit_test(node_without_any_address_has_no_bgp),
		cmocka_unit_test(what_is_right_is_not_written),
		cmocka_unit_test(fields_of_others_stay),
		cmocka_unit_test(address_taken_away),
		cmocka_unit_test(what_is_no_node_is_left_alone),
		cmocka_unit_test(default_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
