/* open.c - OPEN messages: each capability, each refusal, and what two of them agree on */
#include "bgp/open.h"

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "tests/unit/bgp/wire.h"

#define HEAD "04 fde9 00f0 0a000002 " /* AS 65001, hold 240, 10.0.0.2 */

static const struct {
	const char *name, *bytes;
	int subcode; /* -1: good */
	const char *words;
} refusals[] = {
	{ "no parameters", HEAD "00", -1, "" },
	{ "all capabilities",
	  HEAD "18 02 16 01 04 0001 00 01 02 00 41 04 0000fde9 40 06 0078 0001 01 80", -1, "" },
	{ "each in its own parameter", HEAD "10 02 06 01 04 0001 00 01 02 06 41 04 0000fde9", -1,
	  "" },
	{ "an unknown one", HEAD "06 02 04 c8 02 abcd", -1, "" },
	{ "RFC 9072", HEAD "ff ff 0009 02 0006 01 04 0001 00 01", -1, "" },
	{ "RFC 9072 with another first length", HEAD "01 ff 0009 02 0006 01 04 0001 00 01", -1,
	  "" },
	{ "RFC 9072, empty", HEAD "ff ff 0000", -1, "" },
	{ "hold time 0", "04 fde9 0000 0a000002 00", -1, "" },
	{ "hold time 3", "04 fde9 0003 0a000002 00", -1, "" },
	{ "router ID above 224", "04 fde9 00f0 e0000001 00", -1, "" },

	{ "version 3", "03 fde9 00f0 0a000002 00", 1, "version 3, must be 4" },
	{ "AS 0", "04 0000 00f0 0a000002 00", 2, "AS 0" },
	{ "AS 0 in the capability", HEAD "08 02 06 41 04 00000000", 2, "AS 0" },
	{ "hold time 1", "04 fde9 0001 0a000002 00", 6, "hold time 1 s, must be 0 or at least 3" },
	{ "hold time 2", "04 fde9 0002 0a000002 00", 6, "hold time 2 s" },
	{ "router ID 0", "04 fde9 00f0 00000000 00", 3, "router ID 0.0.0.0" },
	{ "parameter 1, authentication", HEAD "03 01 01 00", 4, "optional parameter 1, must be 2" },
	{ "parameters longer than the message", HEAD "08", 0, "do not fill the message" },
	{ "parameters shorter than the message", HEAD "00 00", 0, "do not fill the message" },
	{ "a parameter over the end", HEAD "02 02 06", 0,
	  "optional parameter 2 goes over the end" },
	{ "a parameter's length missing", HEAD "01 02", 0, "goes over the end" },
	{ "a capability over the end", HEAD "04 02 02 41 04", 0, "capability 65 (4-octet-as)" },
	{ "AS4 of 2 bytes", HEAD "06 02 04 41 02 fde9", 0, "capability 65" },
	{ "AS4 of 5 bytes", HEAD "09 02 07 41 05 0000fde900", 0, "capability 65" },
	{ "multiprotocol of 3 bytes", HEAD "07 02 05 01 03 000100", 0,
	  "capability 1 (multiprotocol)" },
	{ "graceful restart of 1 byte", HEAD "05 02 03 40 01 00", 0, "capability 64" },
	{ "graceful restart, family cut", HEAD "08 02 06 40 04 0078 0001", 0, "capability 64" },
	{ "add-path, cut", HEAD "07 02 05 45 03 000101", 0, "capability 69" },
	{ "extended next hop, cut", HEAD "07 02 05 05 03 000100", 0, "capability 5 " },
	{ "a SAFI of one byte in extended next hop", HEAD "09 02 07 05 05 0001 01 0002", 0,
	  "capability 5 " },
	{ "role without value", HEAD "04 02 02 09 00", 0, "capability 9 (role)" },
	{ "role of 2 bytes", HEAD "06 02 04 09 02 0000", 0, "capability 9 (role)" },
	{ "long-lived, cut", HEAD "0a 02 08 47 06 0001 01 80 0000", 0, "capability 71" },
	{ "long-lived, empty", HEAD "04 02 02 47 00", -1, "" },
	{ "enhanced refresh and extended message with a value", HEAD "08 02 06 46 01 00 06 01 00",
	  -1, "" },
	{ "RFC 9072, longer than the message", HEAD "ff ff 0009 02", 0, "do not fill" },
};

static void decoding(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct bytes b = hex(refusals[i].bytes);
		uint8_t *p = exact(b.b, b.n);
		struct bgp_notification n = { 0 };
		char text[BGP_TEXT_MAX] = "";
		struct bgp_open o;
		bool ok = bgp_open_decode(p, b.n, &o, &n, text);

		if (ok != (refusals[i].subcode < 0) || !strstr(text, refusals[i].words))
			fail_msg("%s: %d, \"%s\"", refusals[i].name, ok, text);
		if (!ok) {
			assert_int_equal(n.code, BGP_ERR_OPEN);
			if (n.subcode != refusals[i].subcode)
				fail_msg("%s: subcode %u", refusals[i].name, n.subcode);
		}
		free(p);
	}
}

static void version_names_ours(void **state)
{
	struct bytes b = hex("05 fde9 00f0 0a000002 00");
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_open o;

	assert_false(bgp_open_decode(b.b, b.n, &o, &n, text));
	assert_int_equal(n.len, 2);
	assert_memory_equal(n.data, "\0\4", 2);
}

static void cuts_and_flips_are_survived(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct bytes b = hex(refusals[i].bytes);
		struct bgp_notification n;
		char text[BGP_TEXT_MAX];
		struct bgp_open o;

		for (size_t len = 0; len <= b.n; len++) {
			uint8_t *p = exact(b.b, len);

			bgp_open_decode(p, len, &o, &n, text);
			free(p);
		}
		for (size_t bit = 0; bit < b.n * 8; bit++) {
			uint8_t *p = exact(b.b, b.n);

			p[bit / 8] ^= (uint8_t)(1u << bit % 8);
			bgp_open_decode(p, b.n, &o, &n, text);
			free(p);
		}
	}
}

static struct bgp_open decode(const char *bytes)
{
	struct bytes b = hex(bytes);
	struct bgp_notification n;
	char text[BGP_TEXT_MAX];
	struct bgp_open o;

	if (!bgp_open_decode(b.b, b.n, &o, &n, text))
		fail_msg("%s", text);
	return o;
}

static void capabilities(void **state)
{
	struct bgp_open o =
		decode("04 5ba0 00f0 0a000002 32 02 30 "
		       "01 04 0001 00 01 | 01 04 0002 00 01 | 01 04 0019 00 41 | 02 00 | "
		       "41 04 00010000 | 40 0e c078 0001 01 80 0002 01 00 0019 41 80 | "
		       "49 02 abcd | 02 00");

	assert_int_equal(o.as2, 23456);
	assert_int_equal(o.as, 65536);
	assert_true(o.caps.mp);
	assert_int_equal(o.caps.families, 1u << BGP_AF_IPV4_UNICAST | 1u << BGP_AF_IPV6_UNICAST);
	assert_true(o.caps.refresh);
	assert_true(o.caps.as4);
	assert_true(o.caps.gr.present);
	assert_true(o.caps.gr.restarting);
	assert_true(o.caps.gr.notification);
	assert_int_equal(o.caps.gr.time_s, 120);
	assert_int_equal(o.caps.gr.families, 1u << BGP_AF_IPV4_UNICAST | 1u << BGP_AF_IPV6_UNICAST);
	assert_int_equal(o.caps.gr.forwarding, 1u << BGP_AF_IPV4_UNICAST);
	assert_int_equal(o.caps.n_seen, 5);
	assert_memory_equal(o.caps.seen, "\1\2\x41\x40\x49", 5);
	assert_string_equal(bgp_cap_name(73), "hostname");
	assert_null(bgp_cap_name(200));
}

static void what_is_written_reads_the_same(void **state)
{
	static const asn_t as[] = { 1, 65001, 65535, 65536, 4200000000 };

	for (unsigned i = 0; i < 64; i++) {
		struct bgp_open in = { .version = 4,
				       .as = as[i % ARRAY_SIZE(as)],
				       .hold_s = 90,
				       .id = 0x0a000001 + i },
				out;
		struct bgp_notification n;
		char text[BGP_TEXT_MAX];
		uint8_t buf[512];
		struct wr w = wr_init(buf, sizeof(buf));
		struct bgp_msg m;

		in.caps.families = i & 3;
		in.caps.mp = in.caps.families;
		in.caps.refresh = i & 4;
		in.caps.as4 = (i & 8) || in.as > 65535;
		in.caps.as4_number = in.caps.as4 ? in.as : 0;
		in.caps.gr.present = i & 16;
		if (in.caps.gr.present) {
			in.caps.gr.restarting = i & 32;
			in.caps.gr.time_s = (uint16_t)(i * 60);
			in.caps.gr.families = in.caps.families;
			in.caps.gr.forwarding = in.caps.families & 1;
		}
		in.caps.role = (enum bgp_role)(i % BGP_ROLE_MAX_);
		in.caps.enhanced_refresh = i & 1;
		in.caps.extended_message = i & 2;
		in.caps.add_path_rx = i >> 1 & 3;
		in.caps.add_path_tx = i >> 3 & 3;
		in.caps.ext_next_hop = i >> 4 & 1;
		in.caps.llgr.present = i & 8;
		if (in.caps.llgr.present) {
			in.caps.llgr.families = i & 3;
			in.caps.llgr.forwarding = i & 1;
			in.caps.llgr.time_s[0] = i & 1 ? 0xabcdef : 0;
			in.caps.llgr.time_s[1] = i & 2 ? 3600 : 0;
		}
		bgp_open_encode(&w, &in);
		assert_false(w.bad);
		assert_int_equal(bgp_msg_next(buf, wr_len(&w), BGP_MSG_MAX, &m, &n, text),
				 wr_len(&w));
		if (!bgp_open_decode(m.body, m.len, &out, &n, text))
			fail_msg("%u: %s", i, text);
		assert_int_equal(out.as, in.as);
		assert_int_equal(out.as2, in.as > 65535 ? 23456 : in.as);
		assert_int_equal(out.id, in.id);
		assert_int_equal(out.hold_s, in.hold_s);
		out.caps.n_seen = 0;
		memset(out.caps.seen, 0, sizeof(out.caps.seen));
		assert_int_equal(out.caps.families, in.caps.families);
		assert_int_equal(out.caps.refresh, in.caps.refresh);
		assert_int_equal(out.caps.as4_number, in.caps.as4_number);
		assert_memory_equal(&out.caps.gr, &in.caps.gr, sizeof(in.caps.gr));
		assert_memory_equal(&out.caps.llgr, &in.caps.llgr, sizeof(in.caps.llgr));
		assert_int_equal(out.caps.role, in.caps.role);
		assert_int_equal(out.caps.enhanced_refresh, in.caps.enhanced_refresh);
		assert_int_equal(out.caps.extended_message, in.caps.extended_message);
		assert_int_equal(out.caps.add_path_rx, in.caps.add_path_rx);
		assert_int_equal(out.caps.add_path_tx, in.caps.add_path_tx);
		assert_int_equal(out.caps.ext_next_hop, in.caps.ext_next_hop);
	}
}

/* As FRR 8.4 and BIRD 2 write them: several paths, long-lived, extended next hop, role. */
static void capabilities_of_today(void **state)
{
	struct bgp_open o = decode(HEAD "34 02 32 01 04 0001 00 01 | 46 00 | 06 00 | "
					"45 0c 0001 01 03 0002 01 02 0001 01 04 | 09 01 03 | "
					"05 0c 0001 0001 0002 0001 0080 0002 | "
					"47 07 0001 01 80 000e10");

	(void)state;
	assert_true(o.caps.enhanced_refresh);
	assert_true(o.caps.extended_message);
	assert_int_equal(o.caps.add_path_rx, 1);
	assert_int_equal(o.caps.add_path_tx, 3);
	assert_int_equal(o.caps.role, BGP_ROLE_CUSTOMER);
	assert_int_equal(o.caps.ext_next_hop, 1);
	assert_int_equal(o.caps.llgr.time_s[0], 3600);
	assert_int_equal(o.caps.llgr.forwarding, 1);
	o = decode(HEAD "08 02 06 09 01 03 09 01 03");
	assert_false(o.caps.role_twice);
	o = decode(HEAD "08 02 06 09 01 03 09 01 04");
	assert_true(o.caps.role_twice);
}

/* RFC 9234 4.2 */
static void roles(void **state)
{
	static const struct {
		enum bgp_role ours, theirs;
		bool strict, twice, good;
	} rows[] = {
		{ BGP_ROLE_NONE, BGP_ROLE_PEER, false, false, true },
		{ BGP_ROLE_NONE, BGP_ROLE_MAX_, false, true, true },
		{ BGP_ROLE_PEER, BGP_ROLE_NONE, false, false, true },
		{ BGP_ROLE_PEER, BGP_ROLE_NONE, true, false, false },
		{ BGP_ROLE_PEER, BGP_ROLE_PEER, true, false, true },
		{ BGP_ROLE_PEER, BGP_ROLE_CUSTOMER, false, false, false },
		{ BGP_ROLE_PEER, BGP_ROLE_PEER, false, true, false },
		{ BGP_ROLE_CUSTOMER, BGP_ROLE_PROVIDER, false, false, true },
		{ BGP_ROLE_PROVIDER, BGP_ROLE_CUSTOMER, false, false, true },
		{ BGP_ROLE_CUSTOMER, BGP_ROLE_CUSTOMER, false, false, false },
		{ BGP_ROLE_RS, BGP_ROLE_RS_CLIENT, false, false, true },
		{ BGP_ROLE_RS_CLIENT, BGP_ROLE_RS, false, false, true },
		{ BGP_ROLE_RS, BGP_ROLE_RS, false, false, false },
		{ BGP_ROLE_CUSTOMER, BGP_ROLE_MAX_, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_open o = { .as = 65001, .id = 1 };
		struct bgp_expect expect = { .local_as = 64512,
					     .remote_as = 65001,
					     .local_id = 2,
					     .role = rows[i].ours,
					     .role_strict = rows[i].strict };
		struct bgp_notification n = { 0 };
		char text[BGP_TEXT_MAX] = "";

		o.caps.role = rows[i].theirs;
		o.caps.role_twice = rows[i].twice;
		if (bgp_open_check(&o, &expect, &n, text) != rows[i].good)
			fail_msg("row %zu: %s", i, text);
		assert_int_equal(n.subcode, rows[i].good ? 0 : BGP_OPEN_BAD_ROLE);
		/* a role says nothing inside of one AS */
		o.as = expect.remote_as = expect.local_as;
		assert_true(bgp_open_check(&o, &expect, &n, text));
	}
}

/* What one side sends the other must want to receive. */
static void several_paths_are_agreed_each_way(void **state)
{
	for (unsigned i = 0; i < 16; i++) {
		struct bgp_open a = { .as = 1 }, b = { .as = 1 };
		struct bgp_negotiated neg;

		a.caps.families = b.caps.families = 1;
		a.caps.add_path_rx = i & 1;
		a.caps.add_path_tx = i >> 1 & 1;
		b.caps.add_path_rx = i >> 2 & 1;
		b.caps.add_path_tx = i >> 3 & 1;
		a.caps.extended_message = i & 1;
		b.caps.extended_message = i & 2;
		a.caps.ext_next_hop = i & 1 ? 3 : 0;
		b.caps.ext_next_hop = i & 4 ? 3 : 0;
		neg = bgp_negotiate(&a, &b, 0);
		assert_int_equal(neg.wire.add_path_rx, (i & 1) && (i & 8));
		assert_int_equal(neg.wire.add_path_tx, (i & 2) && (i & 4));
		assert_int_equal(neg.wire.msg_max, (i & 3) == 3 ? 65535 : 4096);
		assert_int_equal(neg.wire.ext_next_hop, (i & 5) == 5 ? 1 : 0);
	}
}

static void the_right_peer(void **state)
{
	static const struct {
		const char *name;
		asn_t as;
		uint32_t id;
		struct bgp_expect expect;
		int subcode;
		const char *words;
	} rows[] = {
		{ "eBGP",
		  65001,
		  1,
		  { .local_as = 64512, .remote_as = 65001, .local_id = 1 },
		  -1,
		  "" },
		{ "iBGP",
		  64512,
		  2,
		  { .local_as = 64512, .remote_as = 64512, .local_id = 1 },
		  -1,
		  "" },
		{ "another AS",
		  65002,
		  1,
		  { .local_as = 64512, .remote_as = 65001, .local_id = 1 },
		  2,
		  "the peer is in AS 65002, must be in AS 65001" },
		{ "AS_TRANS is not the AS",
		  23456,
		  1,
		  { .local_as = 64512, .remote_as = 65536, .local_id = 1 },
		  2,
		  "23456" },
		{ "our ID on iBGP",
		  64512,
		  0x0a000001,
		  { .local_as = 64512, .remote_as = 64512, .local_id = 0x0a000001 },
		  3,
		  "our own router ID 10.0.0.1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_open o = { .as = rows[i].as, .id = rows[i].id };
		struct bgp_notification n;
		char text[BGP_TEXT_MAX] = "";
		bool ok = bgp_open_check(&o, &rows[i].expect, &n, text);

		if (ok != (rows[i].subcode < 0) || !strstr(text, rows[i].words))
			fail_msg("%s: %d \"%s\"", rows[i].name, ok, text);
		if (!ok)
			assert_int_equal(n.subcode, rows[i].subcode);
	}
}

static void agreement(void **state)
{
	const char *rich = "04 5ba0 00f0 0a000002 18 02 16 01 04 0001 00 01 02 00 41 04 00010000 "
			   "40 06 0078 0001 01 80";
	struct bgp_open local = decode(rich), remote = decode(rich), plain = decode(HEAD "00");
	struct bgp_negotiated neg;

	local.as = 64512;
	neg = bgp_negotiate(&local, &remote, 0);
	assert_int_equal(neg.hold_s, 240);
	assert_int_equal(neg.keepalive_s, 80);
	assert_true(neg.refresh);
	assert_true(neg.graceful);
	assert_true(neg.wire.ebgp);
	assert_true(neg.wire.as4);
	assert_int_equal(neg.wire.families, 1u << BGP_AF_IPV4_UNICAST);
	assert_int_equal(neg.wire.remote_as, 65536);

	/* RFC 4760 8: nothing said is IPv4 unicast */
	neg = bgp_negotiate(&local, &plain, 0);
	assert_false(neg.refresh);
	assert_false(neg.graceful);
	assert_false(neg.wire.as4);
	assert_int_equal(neg.wire.families, 1u << BGP_AF_IPV4_UNICAST);

	remote.caps.families = 1u << BGP_AF_IPV6_UNICAST;
	neg = bgp_negotiate(&local, &remote, 0);
	assert_int_equal(neg.wire.families, 0);

	remote.as = 64512;
	remote.hold_s = 9;
	neg = bgp_negotiate(&local, &remote, 1);
	assert_false(neg.wire.ebgp);
	assert_int_equal(neg.hold_s, 9);
	assert_int_equal(neg.keepalive_s, 1);
	neg = bgp_negotiate(&local, &remote, 5);
	assert_int_equal(neg.keepalive_s, 3);
	remote.hold_s = 0;
	neg = bgp_negotiate(&local, &remote, 5);
	assert_int_equal(neg.hold_s, 0);
	assert_int_equal(neg.keepalive_s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),
		cmocka_unit_test(version_names_ours),
		cmocka_unit_test(cuts_and_flips_are_survived),
		cmocka_unit_test(capabilities),
		cmocka_unit_test(what_is_written_reads_the_same),
		cmocka_unit_test(capabilities_of_today),
		cmocka_unit_test(roles),
		cmocka_unit_test(several_paths_are_agreed_each_way),
		cmocka_unit_test(the_right_peer),
		cmocka_unit_test(agreement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
