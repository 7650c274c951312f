/* tunnel_addr.c - a tunnel's address in the Node: written, changed, taken out, fields of others kept */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/overlay/tunnel_addr.h"
#include "lib/json.h"

static const uint8_t mac[6] = { 0x66, 1, 2, 3, 4, 0xab };

static struct addr ip(const char *text)
{
	struct addr a = { 0 };

	if (*text)
		assert_true(addr_parse(text, &a));
	return a;
}

#define NODE(spec)                                               \
	"{\"kind\":\"Node\",\"apiVersion\":\"projectcalico.org/" \
	"v3\",\"metadata\":{\"name\":\"n1\"},"                   \
	"\"spec\":" spec "}"

static void fields_of_the_node(void **state)
{
	static const struct {
		const char *name;
		enum tunnel_kind kind;
		const char *addr;
		bool mac;
		const char *spec, *after; /* NULL: nothing to write */
	} rows[] = {
		{ "IPIP, new", TUNNEL_IPIP, "10.0.0.1", false,
		  NODE("{\"bgp\":{\"ipv4Address\":\"1.2.3.4/24\"}}"),
		  "{\"bgp\":{\"ipv4Address\":\"1.2.3.4/"
		  "24\",\"ipv4IPIPTunnelAddr\":\"10.0.0.1\"}}" },
		{ "IPIP, there already", TUNNEL_IPIP, "10.0.0.1", false,
		  NODE("{\"bgp\":{\"ipv4IPIPTunnelAddr\":\"10.0.0.1\"}}"), NULL },
		{ "IPIP, another", TUNNEL_IPIP, "10.0.0.2", false,
		  NODE("{\"bgp\":{\"ipv4IPIPTunnelAddr\":\"10.0.0.1\"}}"),
		  "{\"bgp\":{\"ipv4IPIPTunnelAddr\":\"10.0.0.2\"}}" },
		{ "IPIP, none, was the only one", TUNNEL_IPIP, "", false,
		  NODE("{\"bgp\":{\"ipv4IPIPTunnelAddr\":\"10.0.0.1\"}}"), "{}" },
		{ "IPIP, none, nothing there", TUNNEL_IPIP, "", false, NODE("{}"), NULL },
		{ "VXLAN, new", TUNNEL_VXLAN, "10.0.0.1", true, NODE("{\"foreign\":7}"),
		  "{\"foreign\":7,\"ipv4VXLANTunnelAddr\":\"10.0.0.1\","
		  "\"vxlanTunnelMACAddr\":\"66:01:02:03:04:ab\"}" },
		{ "VXLAN, a MAC told by somebody stays", TUNNEL_VXLAN, "10.0.0.1", true,
		  NODE("{\"vxlanTunnelMACAddr\":\"66:aa:aa:aa:aa:aa\"}"),
		  "{\"vxlanTunnelMACAddr\":\"66:aa:aa:aa:aa:aa\","
		  "\"ipv4VXLANTunnelAddr\":\"10.0.0.1\"}" },
		{ "VXLAN, none: with its MAC", TUNNEL_VXLAN, "", true,
		  NODE("{\"vxlanTunnelMACAddr\":\"66:aa:aa:aa:aa:aa\","
		       "\"ipv4VXLANTunnelAddr\":\"10.0.0.1\"}"),
		  "{}" },
		{ "VXLAN over IPv6", TUNNEL_VXLAN_V6, "fd00::1", true, NODE("{}"),
		  "{\"ipv6VXLANTunnelAddr\":\"fd00::1\","
		  "\"vxlanTunnelMACAddrV6\":\"66:01:02:03:04:ab\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tunnel_addr_fields f = { .kind = rows[i].kind,
						.addr = ip(rows[i].addr),
						.mac = rows[i].mac ? mac : NULL };
		CLEANUP(js_freep) json_t *got = NULL, *want = NULL;
		CLEANUP(freep) char *out = NULL;
		struct err e = { 0 };

		if (tunnel_addr_change("n1", &f, rows[i].spec, &out, &e) < 0)
			fail_msg("%s: %s", rows[i].name, e.msg);
		if (!out != !rows[i].after)
			fail_msg("%s: %s", rows[i].name, out ? out : "nothing to write");
		if (!out)
			continue;
		assert_int_equal(js_parse(out, strlen(out), &got, NULL), 0);
		assert_int_equal(js_parse(rows[i].after, strlen(rows[i].after), &want, NULL), 0);
		if (!json_equal(json_object_get(got, "spec"), want))
			fail_msg("%s: %s", rows[i].name, out);
	}
}

static void what_is_no_node_stays(void **state)
{
	static const char *const bad[] = { "", "{", "7", "[]", "null", "{\"kind\":\"IPPool\"}" };
	struct tunnel_addr_fields f = { .kind = TUNNEL_IPIP, .addr = ip("10.0.0.1") };
	struct err e = { 0 };
	char *out;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_true(tunnel_addr_change("n1", &f, bad[i], &out, &e) < 0);
		assert_null(out);
		assert_non_null(strstr(e.msg, "the stored Node"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_the_node),
		cmocka_unit_test(what_is_no_node_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
