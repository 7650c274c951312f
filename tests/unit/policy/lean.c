/* lean.c - the frame that need not be Calico's: what is in it, and when it is it */
#include "policy/render_lean.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"
#include "policy/tables.h"

static struct render_config lean(enum ip_family family)
{
	struct render_config cfg = render_config_default(family);

	cfg.share_endpoints = true;
	return cfg;
}

/* "CHAIN: rule; rule. " of a table, in the order of rendering. */
static char *rendered(const struct render_config *cfg, enum table_id table)
{
	struct chains out = { 0 };
	struct str s = { 0 };

	render_static(cfg, table, &out);
	vec_foreach (&out, c) {
		str_addf(&s, "%s:", c->name.text);
		for (size_t i = 0; i < c->n; i++)
			str_addf(&s, "%s %s", i ? ";" : "", c->p[i].text);
		str_add(&s, ". ");
	}
	chains_done(&out);
	return str_take(&s);
}

static void expect(const struct render_config *cfg, enum table_id table, const char *want)
{
	CLEANUP(freep) char *got = rendered(cfg, table);

	assert_string_equal(got, want);
}

/* "TABLE CHAIN " of each hook; with + behind those at the end. */
static void expect_hooks(const struct render_config *cfg, const char *want)
{
	struct hooks hooks = { 0 };
	struct str s = { 0 };

	render_hooks(cfg, &hooks);
	vec_foreach (&hooks, h)
		str_addf(&s, "%s %s%s ", table_name(h->table), h->rules.name.text,
			 h->append ? "+" : "");
	assert_string_equal(str_text(&s), want);
	str_done(&s);
	hooks_done(&hooks);
}

#define RPF "--in-interface cali+ -m rpfilter --invert --validmark --jump DROP"
#define WAYS                                                                \
	"cali-FORWARD: --in-interface cali+ --jump cali-from-wl-dispatch; " \
	"--out-interface cali+ --jump cali-to-wl-dispatch"
#define HOST                                                                                \
	"cali-wl-to-host: --jump cali-from-wl-dispatch; -m comment --comment \"Configured " \
	"DefaultEndpointToHostAction\" --jump DROP. "

static void no_tunnel(void **state)
{
	struct render_config cfg = lean(IP_V4);

	expect(&cfg, TABLE_RAW, "cali-PREROUTING: " RPF ". ");
	expect(&cfg, TABLE_MANGLE, "");
	expect(&cfg, TABLE_NAT, "");
	expect(&cfg, TABLE_FILTER,
	       "cali-INPUT: --in-interface cali+ --goto cali-wl-to-host. " HOST WAYS ". ");
	expect_hooks(&cfg, "raw PREROUTING filter INPUT filter FORWARD filter FORWARD+ ");
	cfg.allow_spoofing = true;
	expect(&cfg, TABLE_RAW,
	       "cali-PREROUTING: --in-interface cali+ --jump cali-rpf-skip; " RPF ". ");
	cfg.nat.masquerade = true;
	expect_hooks(&cfg, "raw PREROUTING nat POSTROUTING+ filter INPUT filter FORWARD "
			   "filter FORWARD+ ");
}

static void tunnels(void **state)
{
	struct render_config cfg = lean(IP_V4);

	cfg.vxlan = cfg.ipip = true;
	expect(&cfg, TABLE_RAW,
	       "cali-PREROUTING: -p udp --dport 4789 --jump NOTRACK; " RPF
	       ". cali-OUTPUT: -p udp --dport 4789 --jump NOTRACK. ");
	expect(&cfg, TABLE_FILTER,
	       "cali-INPUT: -p udp --dport 4789 -m set --match-set cali40all-vxlan-net src --jump "
	       "ACCEPT; -m comment --comment \"Drop IPv4 VXLAN packets from non-allowed hosts\" "
	       "-p udp --dport 4789 --jump DROP; -p 4 -m set --match-set cali40all-hosts-net src "
	       "--jump ACCEPT; -m comment --comment \"Drop IPIP packets from non-Calico hosts\" -p "
	       "4 --jump DROP; --in-interface cali+ --goto cali-wl-to-host. " HOST WAYS ". ");
	expect_hooks(&cfg, "raw PREROUTING raw OUTPUT nat POSTROUTING+ filter INPUT "
			   "filter FORWARD filter FORWARD+ ");
}

static void services(void **state)
{
	struct render_config cfg = lean(IP_V4);
	struct prefix net[2];

	assert_true(prefix_parse("2001:db8::/64", &net[0]));
	assert_true(prefix_parse("10.96.0.0/12", &net[1]));
	cfg.service_net = net;
	cfg.n_service_net = 1;
	expect(&cfg, TABLE_FILTER,
	       "cali-INPUT: --in-interface cali+ --goto cali-wl-to-host. " HOST WAYS ". ");
	cfg.n_service_net = 2;
	expect(&cfg, TABLE_FILTER,
	       "cali-INPUT: --in-interface cali+ --goto cali-wl-to-host. " HOST WAYS
	       "; --jump cali-cidr-block. cali-cidr-block: --destination 10.96.0.0/12 --jump "
	       "DROP. ");
}

/* The mark counts for packets of pods only: nothing clears others'. */
static void whose_mark_counts(void **state)
{
	struct render_config cfg = lean(IP_V4);
	struct hooks hooks = { 0 };
	const struct chain *end;

	render_hooks(&cfg, &hooks);
	end = &hooks.p[hooks.n - 1].rules;
	assert_int_equal(end->n, 2);
	assert_non_null(strstr(end->p[0].text, "--in-interface cali+ -m mark --mark 0x10000/"));
	assert_non_null(strstr(end->p[1].text, "--out-interface cali+ -m mark --mark 0x10000/"));
	hooks_done(&hooks);
}

static void flush(struct tables *t)
{
	struct table_changes changes = { 0 };

	tables_flush(t, &changes);
	vec_done(&changes);
}

/* A host endpoint needs all of Calico's frame; with the last one it goes. */
static void host_endpoints(void **state)
{
	struct render_config cfg = lean(IP_V4);
	struct tables *t = tables_new(&cfg);
	struct calc_effects fx = { 0 };
	char id[] = "h";

	flush(t);
	assert_null(tables_find(t, TABLE_MANGLE, "cali-PREROUTING"));
	assert_false(tables_has_hosts(t));
	vec_push(&fx.endpoints,
		 (struct calc_endpoint) { .kind = ENDPOINT_HOST, .id = id, .interface = "eth0" });
	for (int i = 0; i < 2; i++) { /* the same once more is one */
		tables_take(t, &fx);
		flush(t);
		assert_true(tables_has_hosts(t));
		assert_non_null(tables_find(t, TABLE_MANGLE, "cali-PREROUTING"));
		assert_non_null(tables_find(t, TABLE_FILTER, "cali-OUTPUT"));
		assert_int_equal(tables_find(t, TABLE_FILTER, "cali-FORWARD")->n, 6);
	}
	vec_clear(&fx.endpoints);
	vec_push(&fx.endpoints_gone, (struct calc_gone_endpoint) { ENDPOINT_HOST, id });
	tables_take(t, &fx);
	flush(t);
	assert_false(tables_has_hosts(t));
	assert_null(tables_find(t, TABLE_MANGLE, "cali-PREROUTING"));
	assert_null(tables_find(t, TABLE_FILTER, "cali-OUTPUT"));
	assert_int_equal(tables_find(t, TABLE_FILTER, "cali-FORWARD")->n, 2);
	tables_free(t);
	vec_done(&fx.endpoints);
	vec_done(&fx.endpoints_gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_tunnel),	  cmocka_unit_test(tunnels),
		cmocka_unit_test(services),	  cmocka_unit_test(whose_mark_counts),
		cmocka_unit_test(host_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
