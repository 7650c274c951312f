/* bgp_show.c - the speaker's answers to an operator, as JSON */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_show.h"
#include "lib/base.h"
#include "lib/json.h"

static const char *text_at(const json_t *o, const char *path)
{
	const char *text = "";

	assert_true(js_str(o, path, &text, NULL) >= 0);
	return text;
}

static void details(void **state)
{
	struct bgp_peer_config c = { .prefix_limit = 7, .own_only = true };
	struct bgp_peer_status st = { .config = &c, .remote_id = 1, .hold_at_ms = 9500 };
	json_t *o = json_object();
	int64_t n = 0;

	(void)state;
	st.local_caps =
		(struct bgp_caps) { .mp = true, .families = 3, .as4 = true, .as4_number = 70000 };
	st.local_caps.gr.present = true;
	st.local_caps.gr.time_s = 120;
	st.local_caps.add_path_rx = 1;
	st.remote_caps = (struct bgp_caps) { .refresh = true, .n_seen = 2, .seen = { 2, 131 } };
	st.remote_caps.role = BGP_ROLE_PROVIDER;
	st.remote_caps.llgr.present = true;
	st.remote_caps.llgr.families = 1;
	st.remote_caps.llgr.time_s[0] = 3600;
	str_copy(st.last_notification, sizeof(st.last_notification), "received Cease");
	bgp_show_details(o, &st, 9000);
	assert_int_equal(js_int(o, "capabilities.sent.4-octet-as", 0, UINT32_MAX, &n, NULL), 1);
	assert_int_equal(n, 70000);
	assert_int_equal(json_array_size(js_at(o, "capabilities.sent.multiprotocol")), 2);
	assert_int_equal(json_array_size(js_at(o, "capabilities.sent.add-path.receive")), 1);
	assert_int_equal(json_array_size(js_at(o, "capabilities.sent.add-path.send")), 0);
	assert_true(json_is_true(js_at(o, "capabilities.received.route-refresh")));
	assert_string_equal(text_at(o, "capabilities.received.role"), "provider");
	js_int(o, "capabilities.received.long-lived-graceful-restart.seconds.ipv4-unicast", 0,
	       1 << 24, &n, NULL);
	assert_int_equal(n, 3600);
	assert_string_equal(
		json_string_value(json_array_get(js_at(o, "capabilities.received.other"), 0)),
		"131");
	assert_true(json_real_value(js_at(o, "timers.holdLeft")) > 0.4);
	assert_null(js_at(o, "timers.nextTryIn"));
	assert_string_equal(text_at(o, "lastNotification"), "received Cease");
	assert_true(json_is_true(js_at(o, "exportOwnOnly")));
	json_decref(o);
}

static void why(void **state)
{
	struct bgp_global g = { .local_as = 64512, .router_id = 1, .max_paths = 1 };
	struct bgp_peer_config peers[2] = { { .name = "Mesh_10_0_0_2" },
					    { .name = "Node_10_0_0_3" } };
	struct bgp_speaker *sp = bgp_speaker_new(&g, 1);
	struct err e = { 0 };
	json_t *list;

	(void)state;
	assert_null(bgp_show_why(sp, "10.0.0.0/26", NULL, &e));
	assert_non_null(strstr(e.msg, "nobody"));
	for (unsigned i = 0; i < 2; i++) {
		peers[i].addr = addr_v4(0x0a000002 + i);
		peers[i].port = 179;
		peers[i].remote_as = 64512;
		peers[i].families = 1;
		peers[i].passive = true;
	}
	bgp_speaker_set_peers(sp, peers, 2, 1000);
	assert_null(bgp_show_why(sp, "10.0.0.0/33", NULL, &e));
	assert_non_null(strstr(e.msg, "10.0.0.0/33"));
	assert_null(bgp_show_why(sp, "10.0.0.0/26", "10.0.0.9", &e));
	assert_non_null(strstr(e.msg, "10.0.0.2, 10.0.0.3"));
	list = bgp_show_why(sp, "10.0.0.0/26", "Node_10_0_0_3", &e);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(text_at(json_array_get(list, 0), "address"), "10.0.0.3");
	assert_string_equal(text_at(json_array_get(list, 0), "rule"), "session");
	assert_string_equal(text_at(json_array_get(list, 0), "verdict"), "not-told");
	assert_true(json_array_size(js_at(json_array_get(list, 0), "steps")) > 0);
	json_decref(list);
	list = bgp_show_why(sp, "10.0.0.0/26", NULL, &e);
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	bgp_speaker_free(sp);
}

static void attributes(void **state)
{
	static const uint8_t clusters[] = { 244, 0, 0, 1, 10, 0, 0, 9 };
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_attrs_draft d = {
		.v = { .present = 1u << BGP_ATTR_ORIGIN | 1u << BGP_ATTR_MED |
				  1u << BGP_ATTR_ORIGINATOR_ID,
		       .med = 7,
		       .originator_id = 0x01020304,
		       .next_hop = addr_v4(0xc0000201) },
		.part[BGP_PART_CLUSTER_LIST] = { clusters, sizeof(clusters) },
	};
	struct bgp_attrs *a = bgp_attrs_intern(t, &d);
	json_t *o = json_object();

	(void)state;
	bgp_show_attrs(o, a);
	assert_string_equal(text_at(o, "nextHop"), "192.0.2.1");
	assert_string_equal(text_at(o, "origin"), "IGP");
	assert_string_equal(text_at(o, "originatorId"), "1.2.3.4");
	assert_int_equal(json_array_size(js_at(o, "clusterList")), 2);
	assert_string_equal(json_string_value(json_array_get(js_at(o, "clusterList"), 0)),
			    "244.0.0.1");
	assert_int_equal(json_integer_value(js_at(o, "med")), 7);
	assert_null(js_at(o, "localPref"));
	assert_null(js_at(o, "nextHopLinkLocal"));
	json_decref(o);
	bgp_attrs_unref(t, a);
	bgp_attr_table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(details), cmocka_unit_test(attributes),
					    cmocka_unit_test(why) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
