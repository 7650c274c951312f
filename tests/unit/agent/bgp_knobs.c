/* bgp_knobs.c - annotations of BGPPeer: what each value means, and what is refused in which words */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/bgp/bgp_knobs.h"

struct note {
	const char *name, *value;
};

static const char *get(const void *arg, const char *name)
{
	const struct note *n = arg;

	return strcmp(n->name, name) == 0 ? n->value : NULL;
}

static void bfd_values(void **state)
{
	static const struct {
		const char *text;
		bool on;
		enum bgp_bfd_way way;
		uint32_t tx, rx;
		uint8_t mult;
	} rows[] = {
		{ "50ms*3", true, BGP_BFD_AUTO, 50000, 50000, 3 },
		{ "50ms/100ms*5", true, BGP_BFD_AUTO, 50000, 100000, 5 },
		{ "10ms*255", true, BGP_BFD_AUTO, 10000, 10000, 255 },
		{ "1m*1", true, BGP_BFD_AUTO, 60000000, 60000000, 1 },
		{ "1s", true, BGP_BFD_AUTO, 1000000, 1000000, 3 },
		{ "on", true, BGP_BFD_AUTO, 300000, 300000, 3 },
		{ "", true, BGP_BFD_AUTO, 300000, 300000, 3 },
		{ "off", false, BGP_BFD_AUTO, 300000, 300000, 3 },
		{ "multihop", true, BGP_BFD_MULTIHOP, 300000, 300000, 3 },
		{ "  50ms*3   singlehop ", true, BGP_BFD_SINGLE_HOP, 50000, 50000, 3 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct note n = { "margay.io/bfd", rows[i].text };
		struct bgp_knobs k;
		struct err e = { 0 };

		if (bgp_knobs_read(get, &n, &k, &e) < 0)
			fail_msg("%s: %s", rows[i].text, e.msg);
		assert_int_equal(k.bfd.on, rows[i].on);
		assert_int_equal(k.bfd.way, rows[i].way);
		assert_int_equal(k.bfd.timers.min_tx_us, rows[i].tx);
		assert_int_equal(k.bfd.timers.min_rx_us, rows[i].rx);
		assert_int_equal(k.bfd.timers.mult, rows[i].mult);
		bgp_knobs_done(&k);
	}
}

static void refused(void **state)
{
	static const struct {
		struct note n;
		const char *words;
	} rows[] = {
		{ { "margay.io/bfd", "9ms*3" }, "10ms to 60s" },
		{ { "margay.io/bfd", "61s*3" }, "10ms to 60s" },
		{ { "margay.io/bfd", "50ms*0" }, "times 1 to 255" },
		{ { "margay.io/bfd", "50ms*256" }, "times 1 to 255" },
		{ { "margay.io/bfd", "50ms*" }, "\"50ms*\"" },
		{ { "margay.io/bfd", "*3" }, "\"*3\"" },
		{ { "margay.io/bfd", "50ms*3 fast" }, "\"fast\"" },
		{ { "margay.io/bfd", "50ms/*3" }, "must be on, off" },
		{ { "margay.io/bfd", "-50ms*3" }, "must be on, off" },
		{ { "margay.io/bfd",
		    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		  "a word of 72 bytes" },
		{ { "margay.io/holdTime", "2s" }, "from 3s" },
		{ { "margay.io/holdTime", "3500ms" }, "whole seconds" },
		{ { "margay.io/holdTime", "65536s" }, "65535s" },
		{ { "margay.io/holdTime", "long" }, "\"long\"" },
		{ { "margay.io/prefixLimit", "0" }, "from 1" },
		{ { "margay.io/prefixLimit", "-1" }, "from 1" },
		{ { "margay.io/prefixLimit", "4294967296" }, "from 1" },
		{ { "margay.io/prefixLimitRestart", "0" }, "from 1s" },
		{ { "margay.io/exportOwnBlocksOnly", "yes" }, "true or false" },
		{ { "margay.io/longLivedGracefulRestart", "16777216s" }, "16777215s" },
		{ { "margay.io/interface", "" }, "names of interfaces" },
		{ { "margay.io/interface", "eth0, eth1" }, "names of interfaces" },
		{ { "margay.io/interface", "../x" }, "names of interfaces" },
		{ { "margay.io/remoteAS", "0" }, "external, internal" },
		{ { "margay.io/remoteAS", "65001x" }, "external, internal" },
		{ { "margay.io/role", "" }, "provider, customer" },
		{ { "margay.io/role", "none" }, "provider, customer" },
		{ { "margay.io/role", "strict" }, "provider, customer" },
		{ { "margay.io/role", "customer loose" }, "provider, customer" },
		{ { "margay.io/role", "Customer" }, "provider, customer" },
		{ { "margay.io/enforceFirstAS", "no" }, "true or false" },
		{ { "margay.io/acceptASSets", "" }, "true or false" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct bgp_knobs k;
		struct err e = { 0 };

		if (bgp_knobs_read(get, &rows[i].n, &k, &e) == 0 || !strstr(e.msg, rows[i].words) ||
		    !strstr(e.msg, rows[i].n.name))
			fail_msg("%s: %s: \"%s\"", rows[i].n.name, rows[i].n.value, e.msg);
	}
}

static void others(void **state)
{
	struct note n = { "margay.io/holdTime", "9" };
	struct bgp_knobs k;

	(void)state;
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.has_hold && k.hold_s == 9 && !k.bfd.on && !k.interfaces && !k.own_only);
	n = (struct note) { "margay.io/holdTime", "0" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.has_hold && k.hold_s == 0);
	n = (struct note) { "margay.io/remoteAS", "internal" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.internal && !k.remote_as);
	n = (struct note) { "margay.io/remoteAS", "4200000000" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(!k.internal && k.remote_as == 4200000000);
	n = (struct note) { "margay.io/prefixLimitRestart", "5m" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_int_equal(k.prefix_limit_restart_s, 300);
	n = (struct note) { "margay.io/exportOwnBlocksOnly", "true" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.own_only);
	n = (struct note) { "margay.io/enforceFirstAS", "false" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.any_first_as && !k.accept_as_sets && k.role == BGP_ROLE_NONE);
	n = (struct note) { "margay.io/enforceFirstAS", "true" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_false(k.any_first_as);
	n = (struct note) { "margay.io/acceptASSets", "true" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.accept_as_sets);
	n = (struct note) { "margay.io/role", "route-server-client strict" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.role == BGP_ROLE_RS_CLIENT && k.role_strict);
	n = (struct note) { "margay.io/role", "route-server" };
	assert_int_equal(bgp_knobs_read(get, &n, &k, NULL), 0);
	assert_true(k.role == BGP_ROLE_RS && !k.role_strict);
}

static void interfaces(void **state)
{
	static const struct {
		const char *list, *name;
		bool has;
	} rows[] = {
		{ "eth1", "eth1", true },	{ "eth1", "eth10", false },
		{ "eth1,swp*", "swp12", true }, { "eth1,swp*", "eth1", true },
		{ "eth[12]", "eth2", true },	{ ",,eth1,", "eth1", true },
		{ ",,", "eth1", false },	{ "*", "anything", true },
		{ "eth1,swp*", "lo", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (bgp_knobs_has_interface(rows[i].list, rows[i].name) != rows[i].has)
			fail_msg("%s in %s", rows[i].name, rows[i].list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bfd_values),
		cmocka_unit_test(refused),
		cmocka_unit_test(others),
		cmocka_unit_test(interfaces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
