/* nat.c - NAT and tunnel rules against what Calico's agent was seen to write, and what it does not */
#include "policy/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct want {
	const char *hash; /* NULL: any */
	const char *text;
};

enum { WANT_MAX = 8 };

static const struct chain *find(const struct chains *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->p[i].name.text, name))
			return &v->p[i];
	return NULL;
}

/* The chain holds these rules and no others. */
static void check_chain(const struct chain *c, const char *name, const struct want *want)
{
	struct rule_hash *h;
	size_t n = 0;

	if (!c)
		fail_msg("no chain %s", name);
	h = chain_hashes(c);
	for (; n < WANT_MAX && want[n].text; n++) {
		assert_true(n < c->n);
		assert_string_equal(c->p[n].text, want[n].text);
		if (want[n].hash)
			assert_string_equal(h[n].text, want[n].hash);
	}
	assert_int_equal(c->n, n);
	free(h);
}

static void check(const struct chains *v, const char *name, const struct want *want)
{
	check_chain(find(v, name), name, want);
}

/* Rules of ours at the head of one of the kernel's chains of filter; none when want is empty. */
static void check_hook(struct hooks *v, const char *name, const struct want *want)
{
	const struct chain *c = NULL;

	vec_foreach (v, h)
		if (h->table == TABLE_FILTER && !h->append && !strcmp(h->rules.name.text, name))
			c = &h->rules;
	if (want[0].text)
		check_chain(c, name, want);
	else
		assert_null(c);
}

static struct addr addr_of(const char *text)
{
	struct addr a;

	assert_true(addr_parse(text, &a));
	return a;
}

#define POOLS(f)                                                                \
	"-m set --match-set cali" f "masq-ipam-pools src -m set ! --match-set " \
	"cali" f "all-ipam-pools dst"

static void outgoing(void **state)
{
	static const struct {
		const char *what;
		enum ip_family family;
		struct render_nat nat;
		const char *source;
		struct want want[WANT_MAX];
	} rows[] = {
		{ "no pool asks", IP_V4, { 0 }, NULL, { { 0 } } },
		{ "recorded, new tools",
		  IP_V4,
		  { .masquerade = true, .random_fully = true },
		  NULL,
		  { { "flqWnvo8yq4ULQLa", POOLS("40") " --jump MASQUERADE --random-fully" } } },
		{ "recorded, old tools",
		  IP_V4,
		  { .masquerade = true },
		  NULL,
		  { { "Dw4T8UWPnCLxRJiI", POOLS("40") " --jump MASQUERADE" } } },
		{ "IPv6",
		  IP_V6,
		  { .masquerade = true },
		  NULL,
		  { { NULL, POOLS("60") " --jump MASQUERADE" } } },
		{ "address",
		  IP_V4,
		  { .masquerade = true, .random_fully = true },
		  "192.0.2.9",
		  { { NULL, POOLS("40") " --jump SNAT --to-source 192.0.2.9 --random-fully" } } },
		{ "address of the other family",
		  IP_V6,
		  { .masquerade = true },
		  "192.0.2.9",
		  { { NULL, POOLS("60") " --jump MASQUERADE" } } },
		{ "interface, hosts",
		  IP_V4,
		  { .masquerade = true, .interface = "eth+", .not_to_hosts = true },
		  NULL,
		  { { NULL, POOLS("40") " -m set ! --match-set cali40all-hosts-net dst "
					"--out-interface eth+ --jump MASQUERADE" } } },
		{ "ports",
		  IP_V4,
		  { .masquerade = true, .port_min = 32768, .port_max = 65535 },
		  NULL,
		  { { NULL, POOLS("40") " -p tcp --jump MASQUERADE --to-ports 32768-65535" },
		    { NULL, POOLS("40") " -p tcp --jump RETURN" },
		    { NULL, POOLS("40") " -p udp --jump MASQUERADE --to-ports 32768-65535" },
		    { NULL, POOLS("40") " -p udp --jump RETURN" },
		    { NULL, POOLS("40") " --jump MASQUERADE" } } },
		{ "ports and address, IPv6",
		  IP_V6,
		  { .masquerade = true, .port_min = 99, .port_max = 100 },
		  "2001:db8::9",
		  { { NULL, POOLS("60") " -p tcp --jump SNAT --to-source [2001:db8::9]:99-100" },
		    { NULL, POOLS("60") " -p tcp --jump RETURN" },
		    { NULL, POOLS("60") " -p udp --jump SNAT --to-source [2001:db8::9]:99-100" },
		    { NULL, POOLS("60") " -p udp --jump RETURN" },
		    { NULL, POOLS("60") " --jump SNAT --to-source 2001:db8::9" } } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct render_config cfg = render_config_default(rows[i].family);
		struct chains out = { 0 };

		cfg.nat = rows[i].nat;
		if (rows[i].source)
			cfg.nat.source = addr_of(rows[i].source);
		render_static(&cfg, TABLE_NAT, &out);
		check(&out, "cali-nat-outgoing", rows[i].want);
		chains_done(&out);
	}
}

#define SRC "-m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL"

static void from_tunnels(void **state)
{
	static const struct want ipip[WANT_MAX] = {
		{ "Z-c7XtVd2Bq7s_hA", "--jump cali-fip-snat" },
		{ "nYKhEzDlr11Jccal", "--jump cali-nat-outgoing" },
		{ "SXWvdsbh4Mw7wOln",
		  "--out-interface tunl0 " SRC " --jump MASQUERADE --random-fully" },
	};
	static const struct want both[WANT_MAX] = {
		{ NULL, "--jump cali-fip-snat" },
		{ NULL, "--jump cali-nat-outgoing" },
		{ NULL,
		  "--out-interface tunl0 -p 17 " SRC " --jump MASQUERADE --to-ports 4790-65535" },
		{ NULL, "--out-interface tunl0 " SRC " --jump MASQUERADE" },
		{ NULL, "--out-interface vxlan.calico -p 17 " SRC
			" --jump MASQUERADE --to-ports 4790-65535" },
		{ NULL, "--out-interface vxlan.calico " SRC " --jump MASQUERADE" },
	};
	static const struct want high[WANT_MAX] = {
		{ NULL, "--jump cali-fip-snat" },
		{ NULL, "--jump cali-nat-outgoing" },
		{ NULL, "--out-interface vxlan.calico -p 17 " SRC
			" --jump MASQUERADE --to-ports 1024-49999" },
		{ NULL, "--out-interface vxlan.calico " SRC " --jump MASQUERADE" },
	};
	struct render_config cfg = render_config_default(IP_V4);
	struct chains out[3] = { 0 };

	cfg.ipip = cfg.nat.random_fully = true;
	cfg.tunnel[0] = "tunl0";
	render_static(&cfg, TABLE_NAT, &out[0]);
	check(&out[0], "cali-POSTROUTING", ipip);
	cfg.vxlan = true;
	cfg.nat.random_fully = false;
	cfg.tunnel[1] = "vxlan.calico";
	render_static(&cfg, TABLE_NAT, &out[1]);
	check(&out[1], "cali-POSTROUTING", both);
	cfg.tunnel[0] = "vxlan.calico";
	cfg.tunnel[1] = NULL;
	cfg.vxlan_port = 50000;
	render_static(&cfg, TABLE_NAT, &out[2]);
	check(&out[2], "cali-POSTROUTING", high);
	for (size_t i = 0; i < ARRAY_SIZE(out); i++)
		chains_done(&out[i]);
}

#define NOTE(text) "-m comment --comment \"" text "\" "

static void recorded_ipip(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct chains out = { 0 };
	const struct chain *c;
	struct rule_hash *h;

	cfg.ipip = true;
	render_static(&cfg, TABLE_FILTER, &out);
	c = find(&out, "cali-INPUT");
	h = chain_hashes(c);
	assert_string_equal(h[0].text, "PajejrV4aFdkZojI");
	assert_string_equal(h[1].text, "_wjq-Yrma8Ly1Svo");
	assert_string_equal(
		c->p[0].text,
		NOTE("Allow IPIP packets from Calico hosts") "-p 4 -m set --match-set "
							     "cali40all-hosts-net src -m addrtype "
							     "--dst-type LOCAL --jump ACCEPT");
	assert_string_equal(c->p[1].text,
			    NOTE("Drop IPIP packets from non-Calico hosts") "-p 4 --jump DROP");
	free(h);
	chains_done(&out);
}

/* ---- without policy ---- */

static size_t count_hooks(const struct render_config *cfg)
{
	struct hooks hooks = { 0 };
	size_t n;

	render_hooks(cfg, &hooks);
	n = hooks.n;
	hooks_done(&hooks);
	return n;
}

static size_t count_chains(const struct render_config *cfg, enum table_id table)
{
	struct chains out = { 0 };
	size_t n;

	render_static(cfg, table, &out);
	n = out.n;
	chains_done(&out);
	return n;
}

static void bare_frame(void **state)
{
	static const struct {
		enum ip_family family;
		bool masquerade, ipip, vxlan, tracked;
		size_t chains[TABLE_COUNT], hooks;
	} rows[] = {
		{ IP_V4, false, false, false, false, { 0, 0, 0, 0 }, 0 },
		{ IP_V4, false, false, false, true, { 0, 0, 0, 0 }, 0 },
		{ IP_V4, true, false, false, false, { 0, 0, 2, 0 }, 1 },
		/* Nobody tracks connections, and neither do we. */
		{ IP_V4, false, true, false, false, { 0, 0, 0, 0 }, 2 },
		{ IP_V4, false, false, true, false, { 0, 0, 0, 0 }, 2 },
		{ IP_V4, false, true, false, true, { 0, 0, 1, 0 }, 3 },
		{ IP_V4, false, false, true, true, { 2, 0, 1, 0 }, 5 },
		{ IP_V4, true, false, true, false, { 2, 0, 2, 0 }, 5 },
		{ IP_V6, false, true, false, true, { 0, 0, 0, 0 }, 0 }, /* IPIP is IPv4's */
		{ IP_V6, false, false, true, true, { 2, 0, 1, 0 }, 5 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct render_config cfg = render_config_default(rows[i].family);

		cfg.bare = true;
		cfg.nat.masquerade = rows[i].masquerade;
		cfg.ipip = rows[i].ipip;
		cfg.vxlan = rows[i].vxlan;
		cfg.tracked = rows[i].tracked;
		for (enum table_id t = 0; t < TABLE_COUNT; t++)
			assert_int_equal(count_chains(&cfg, t), rows[i].chains[t]);
		assert_int_equal(count_hooks(&cfg), rows[i].hooks);
	}
}

#define ROW(text)          \
	{                  \
		NULL, text \
	}
#define VXLAN "-p udp --dport 4789"
#define FROM_PODS(packets, of)              \
	ROW("--in-interface cali+ " packets \
	    " " NOTE("Drop " of " encapped packets originating in workloads") "--jump DROP")
#define POD_VXLAN  FROM_PODS(VXLAN, "VXLAN")
#define POD_IPIP   FROM_PODS("-p 4", "IPinIP")
#define NODE_VXLAN ROW(VXLAN " -m set --match-set cali40all-vxlan-net src --jump ACCEPT")
#define NODE_IPIP  ROW("-p 4 -m set --match-set cali40all-hosts-net src --jump ACCEPT")
#define NO_VXLAN   ROW(NOTE("Drop IPv4 VXLAN packets from non-allowed hosts") VXLAN " --jump DROP")
#define NO_IPIP	   ROW(NOTE("Drop IPIP packets from non-Calico hosts") "-p 4 --jump DROP")

/* What pods send is looked at before it is known by its source, which a pod may forge. */
static void bare_order(void **state)
{
	static const struct {
		bool ipip, vxlan, may_ipip, may_vxlan;
		struct want forward[WANT_MAX], input[WANT_MAX];
	} rows[] = {
		{ false,
		  true,
		  false,
		  false,
		  { POD_VXLAN, POD_IPIP },
		  { POD_VXLAN, NODE_VXLAN, NO_VXLAN, POD_IPIP } },
		{ true,
		  false,
		  false,
		  false,
		  { POD_VXLAN, POD_IPIP },
		  { POD_VXLAN, POD_IPIP, NODE_IPIP, NO_IPIP } },
		{ true,
		  true,
		  false,
		  true,
		  { POD_IPIP },
		  { NODE_VXLAN, NO_VXLAN, POD_IPIP, NODE_IPIP, NO_IPIP } },
		/* Pods may, strangers may not. */
		{ true, true, true, true, { { 0 } }, { NODE_VXLAN, NO_VXLAN, NODE_IPIP, NO_IPIP } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct render_config cfg = render_config_default(IP_V4);
		struct hooks out = { 0 };

		cfg.bare = true;
		cfg.ipip = rows[i].ipip;
		cfg.vxlan = rows[i].vxlan;
		cfg.ipip_from_pods = rows[i].may_ipip;
		cfg.vxlan_from_pods = rows[i].may_vxlan;
		render_hooks(&cfg, &out);
		check_hook(&out, "FORWARD", rows[i].forward);
		check_hook(&out, "INPUT", rows[i].input);
		assert_int_equal(count_chains(&cfg, TABLE_FILTER), 0);
		hooks_done(&out);
	}
}

static void versions(void **state)
{
	static const struct {
		const char *text;
		bool yes;
	} rows[] = {
		{ "iptables v1.8.9 (nf_tables)\n", true },
		{ "iptables v1.6.2", true },
		{ "iptables v2.0", true },
		{ "iptables v1.6.1\n", false },
		{ "iptables v1.4.21", false },
		{ "", false },
		{ "iptables", false },
		{ "iptables v", false },
		{ "iptables vx.y", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(render_nat_random(rows[i].text), rows[i].yes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(outgoing),	 cmocka_unit_test(from_tunnels),
		cmocka_unit_test(recorded_ipip), cmocka_unit_test(bare_frame),
		cmocka_unit_test(bare_order),	 cmocka_unit_test(versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
