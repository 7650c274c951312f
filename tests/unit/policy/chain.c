/* chain.c - names and hashes against what Calico's agent was seen to write */
#include "policy/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/hash.h"
#include "policy/render.h"
#include "policy/setdef.h"

static void chain_names(void **state)
{
	static const struct {
		const char *prefix, *suffix, *name;
	} rows[] = {
		{ "cali-pi-", "knp/default/default-deny", "cali-pi-_hkektpvVyhILpLRsra1" },
		{ "cali-pi-", "np/default/allow-web-from-frontend",
		  "cali-pi-_QQCLSX1_Tpyt0962Yut" },
		{ "cali-pro-", "kns.default", "cali-pro-kns.default" },
		{ "cali-fw-", "cali1234567890a", "cali-fw-cali1234567890a" },
		/* exactly as long as allowed */
		{ "cali-pro-", "1234567890123456789", "cali-pro-1234567890123456789" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct chain_name n = chain_name(rows[i].prefix, rows[i].suffix);

		assert_string_equal(n.text, rows[i].name);
		assert_true(strlen(n.text) <= CHAIN_NAME_MAX);
	}
	/* full length, and looks like a digest: gets one */
	assert_int_equal(strlen(chain_name("cali-pro-", "_234567890123456789").text), 28);
	assert_string_not_equal(chain_name("cali-pro-", "_234567890123456789").text,
				"cali-pro-_234567890123456789");
	/* no suffix counts as "_" */
	assert_memory_equal(chain_name("x-", "").text, "x-_", 3);
	assert_int_equal(strlen(chain_name("x-", "").text), 28);
}

static void set_names(void **state)
{
	struct setdef *d = NULL, *other = NULL;
	struct err e = { 0 };
	struct set_name n;

	assert_int_equal(setdef_selector("a == 'b'", &d, &e), 0);
	assert_int_equal(setdef_selector(" a==\"b\" ", &other, &e), 0);
	assert_string_equal(d->id, other->id);
	assert_int_equal(strlen(d->id), 2 + 38);
	n = set_name(IP_V4, d->id);
	assert_int_equal(strlen(n.text), SET_NAME_MAX);
	assert_memory_equal(n.text, "cali40s:", 8);
	assert_memory_equal(set_name(IP_V6, d->id).text, "cali60s:", 8);
	setdef_unref(d);
	setdef_unref(other);
}

struct vector {
	const char *hash, *text;
};

#define AM "-m mark --mark 0x10000/0x10000"

static const struct vector raw_prerouting[] = {
	{ "DQ6LK2guiBRMyrLK", "--jump MARK --set-mark 0/0x1b0000" },
	{ "sIsu2aAqNN6K3YYn", "-p udp --dport 4789 --jump NOTRACK" },
	{ "W0qKAga6QivxLxL1", "--in-interface cali+ --jump MARK --set-mark 0x80000/0x80000" },
	{ "QOYCZUivPyJL6Dp1", "-m mark --mark 0x80000/0x80000 --jump cali-rpf-skip" },
	{ "uvipz_NmQPrGYnTB",
	  "-m mark --mark 0x80000/0x80000 -m rpfilter --invert --validmark --jump DROP" },
	{ "pj4jqF0K2OCNLmzX", "-m mark --mark 0/0x80000 --jump cali-from-host-endpoint" },
	{ "Jefg6QI5khJcHnVl", AM " --jump ACCEPT" },
};

static const struct vector mangle_postrouting[] = {
	{ "NX-7roTexQ3fGRfU", AM " --jump RETURN" },
	{ "JkYr4aB8O4_N8NBS", "--jump MARK --set-mark 0/0x1b0000" },
	{ "nO0nbHA3Or7V6l7t", "-m conntrack --ctstate DNAT --jump cali-to-host-endpoint" },
	{ "mgxNjIoKySH7TEGH",
	  "-m comment --comment \"Host endpoint policy accepted packet.\" " AM " --jump RETURN" },
};

static const struct vector nat_postrouting[] = {
	{ "Z-c7XtVd2Bq7s_hA", "--jump cali-fip-snat" },
	{ "nYKhEzDlr11Jccal", "--jump cali-nat-outgoing" },
};

static const struct vector filter_forward[] = {
	{ "W_vvds1Nw3n9QE2f", "--jump MARK --set-mark 0/0x1a0000" },
	{ "ZfgmjuiLaA8Pg0kp", "-m mark --mark 0/0x10000 --jump cali-from-hep-forward" },
	{ "tAzwBLPaV-j53OOZ", "--in-interface cali+ --jump cali-from-wl-dispatch" },
	{ "4Z0Pf0byo05NFe-P", "--out-interface cali+ --jump cali-to-wl-dispatch" },
	{ "hQ7Oc16wmUtLuneJ", "--jump cali-to-hep-forward" },
	{ "rnKNH2WxGcRQcIlD", "--jump cali-cidr-block" },
};

static const struct vector filter_input[] = {
	{ "J76FwxInZIsk7uKY",
	  "-m comment --comment \"Allow IPv4 VXLAN packets from allowed hosts\" -p 17 -m multiport "
	  "--destination-ports 4789 -m set --match-set cali40all-vxlan-net src -m addrtype "
	  "--dst-type LOCAL --jump ACCEPT" },
	{ "EDCNTTxYfggApx8C",
	  "-m comment --comment \"Drop IPv4 VXLAN packets from non-allowed hosts\" -p 17 -m "
	  "multiport --destination-ports 4789 -m addrtype --dst-type LOCAL --jump DROP" },
	{ "H03xYXARh4e8pwd4", "--in-interface cali+ --goto cali-wl-to-host" },
};

static const struct vector wl_to_host[] = {
	{ "Ee9Sbo10IpVujdIY", "--jump cali-from-wl-dispatch" },
	{ "nSZbcOoG1xPONxb8",
	  "-m comment --comment \"Configured DefaultEndpointToHostAction\" --jump ACCEPT" },
};

static const struct vector workload[] = {
	{ "f89lcpQhFJHk3qpy", "-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT" },
	{ "ktm9EUsNPPlYxgc0", "-m conntrack --ctstate INVALID --jump DROP" },
	{ "U0zmtwNN_vNtMYET", "--jump MARK --set-mark 0/0x30000" },
	{ "FkAaqUWgRaUqlQJr",
	  "-m comment --comment \"Drop VXLAN encapped packets originating in workloads\" -p 17 -m "
	  "multiport --destination-ports 4789 --jump DROP" },
	{ "egcSEs7_X9lqwuw1", "-m comment --comment \"Drop IPinIP encapped packets originating in "
			      "workloads\" -p 4 --jump DROP" },
	{ "iwHpDokyA-VSNZ4-", "-m comment --comment \"Start of tier default\" --jump MARK "
			      "--set-mark 0/0x20000" },
	{ "jIpNV1prsIRO3b3i", "-m mark --mark 0/0x20000 --jump cali-po-_hkektpvVyhILpLRsra1" },
	{ "2ugt5eJDUjmHnPYE",
	  "-m comment --comment \"Return if policy accepted\" " AM " --jump RETURN" },
	{ "iNahxc67XfI-SWx7",
	  "-m comment --comment \"End of tier default. Drop if no policies passed packet\" -m mark "
	  "--mark 0/0x20000 --jump DROP" },
	{ "5zT1eLjw9Q1_M0cO", "--jump cali-pro-kns.default" },
	{ "ocrBSEqoJsye97O5",
	  "-m comment --comment \"Return if profile accepted\" " AM " --jump RETURN" },
	{ "FT7rM9sbjk63nbp1", "--jump cali-pro-ksa.default.default" },
	{ "_T7Q5ckJi3YvfsD2",
	  "-m comment --comment \"Return if profile accepted\" " AM " --jump RETURN" },
	{ "JjO41djEnhyZEoGJ", "-m comment --comment \"Drop if no profiles matched\" --jump DROP" },
};

static const struct chain *find(const struct chains *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->p[i].name.text, name))
			return &v->p[i];
	fail_msg("no chain %s", name);
	return NULL;
}

static void compare(const struct chain *c, const struct vector *want, size_t n)
{
	struct rule_hash *h = chain_hashes(c);

	assert_true(c->n >= n);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(c->p[i].text, want[i].text);
		assert_string_equal(h[i].text, want[i].hash);
	}
	free(h);
}

#define COMPARE(v, name, want) compare(find(v, name), want, ARRAY_SIZE(want))

static void recorded_frame(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct chains table[TABLE_COUNT] = { 0 };

	cfg.vxlan = true;
	cfg.to_host = "ACCEPT";
	for (enum table_id t = 0; t < TABLE_COUNT; t++)
		render_static(&cfg, t, &table[t]);
	COMPARE(&table[TABLE_RAW], "cali-PREROUTING", raw_prerouting);
	COMPARE(&table[TABLE_MANGLE], "cali-POSTROUTING", mangle_postrouting);
	COMPARE(&table[TABLE_NAT], "cali-POSTROUTING", nat_postrouting);
	COMPARE(&table[TABLE_FILTER], "cali-FORWARD", filter_forward);
	COMPARE(&table[TABLE_FILTER], "cali-INPUT", filter_input);
	COMPARE(&table[TABLE_FILTER], "cali-wl-to-host", wl_to_host);
	for (enum table_id t = 0; t < TABLE_COUNT; t++)
		chains_done(&table[t]);
}

static void recorded_workload(void **state)
{
	static const char *const profiles[] = { "kns.default", "ksa.default.default" };
	char ns[] = "default", name[] = "default-deny", selector[] = "all()";
	struct policy p = { .kind = POLICY_KUBERNETES,
			    .ns = ns,
			    .name = name,
			    .selector = selector,
			    .ingress = true,
			    .egress = true };
	const struct policy *list[] = { &p };
	struct calc_tier tier = { "default", TIER_DENY, list, 1 };
	struct calc_endpoint ep = { .kind = ENDPOINT_WORKLOAD,
				    .profile = profiles,
				    .n_profile = 2 };
	struct render_config cfg = render_config_default(IP_V4);
	struct chains out = { 0 };

	vec_push(&ep.tiers[CLASS_NORMAL], tier);
	render_endpoint(&cfg, &ep, "cali1234567890a", RENDER_WORKLOAD, false, TABLE_FILTER, &out);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.p[0].n, ARRAY_SIZE(workload));
	COMPARE(&out, "cali-fw-cali1234567890a", workload);
	chains_done(&out);
	vec_done(&ep.tiers[CLASS_NORMAL]);
}

static void recorded_hooks(void **state)
{
	static const struct {
		const char *table, *chain;
		bool append;
		const char *hash[2];
	} rows[] = {
		{ "filter", "INPUT", false, { "Cz_u1IQiXIMmKD4c", NULL } },
		{ "filter", "FORWARD", false, { "wUHhoiAYhphO9Mso", NULL } },
		{ "filter", "OUTPUT", false, { "tVnHkvAo15HuiPy0", NULL } },
		{ "nat", "PREROUTING", false, { "6gwbT8clXdHdC1b1", NULL } },
		{ "mangle", "POSTROUTING", false, { "O3lYWMrLQYEMJtB5", NULL } },
		{ "nat", "POSTROUTING", true, { "0i8pjzKKPyA34aQD", NULL } },
		{ "filter", "FORWARD", true, { "S93hcgKJrXEqnTfs", "mp77cMpurHhyjLrM" } },
	};
	struct render_config cfg = render_config_default(IP_V4);
	struct hooks hooks = { 0 };
	size_t found = 0;

	render_hooks(&cfg, &hooks);
	assert_int_equal(hooks.n, 11);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j < hooks.n; j++) {
			const struct hook *h = &hooks.p[j];
			struct rule_hash *hash;

			if (strcmp(table_name(h->table), rows[i].table) ||
			    strcmp(h->rules.name.text, rows[i].chain) ||
			    h->append != rows[i].append)
				continue;
			hash = hook_hashes(&h->rules, h->append);
			for (size_t k = 0; k < 2 && rows[i].hash[k]; k++)
				assert_string_equal(hash[k].text, rows[i].hash[k]);
			free(hash);
			found++;
		}
	}
	assert_int_equal(found, ARRAY_SIZE(rows));
	hooks_done(&hooks);
}

static void lines(void **state)
{
	struct chain_name name = chain_name("", "cali-x");
	struct chain c = { .name = name };
	struct rule_hash *h;
	char *line;

	chain_add(&c, "a \"b\" $(c)", "-p tcp", "--jump DROP");
	chain_add(&c, NULL, NULL, "--jump RETURN");
	chain_describe(&c, "NetworkPolicy a/b ingress");
	h = chain_hashes(&c);
	line = chain_line(&c, 0, &h[0]);
	assert_string_equal(
		line + strlen("-A cali-x -m comment --comment \"cali:xxxxxxxxxxxxxxxx\""),
		" -m comment --comment \"a _b_ __c_\" -m comment --comment "
		"\"NetworkPolicy a/b ingress\" -p tcp --jump DROP");
	free(line);
	free(h);
	chain_drop_returns(&c);
	assert_int_equal(c.n, 1);
	chain_done(&c);
	c = (struct chain) { .name = name };
	chain_describe(&c, "empty");
	assert_string_equal(c.p[0].text, "-m comment --comment \"empty\"");
	chain_done(&c);
}

static void digests(void **state)
{
	char text[HASH_TEXT_MAX];
	static const uint8_t bytes[] = { 0xfb, 0xff, 0xfe, 0x01 };

	hash_text(HASH_SHA256, "", text);
	assert_string_equal(text, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
	hash_text(HASH_SHA224, "", text);
	assert_string_equal(text, "0UoCjCo6K8lHYQK7KII0xBWisB-CjqYqxbPkLw");
	hash_text(HASH_SHA3_224, "", text);
	assert_string_equal(text, "a04DQjZn27c7bhVFTw6xq9RZf5obB44_W1prxw");
	base64url(bytes, 4, text);
	assert_string_equal(text, "-__-AQ");
	base64url(bytes, 0, text);
	assert_string_equal(text, "");
}

static size_t count_rules(const struct chain *c, const char *part)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += strstr(c->p[i].text, part) != NULL;
	return n;
}

/* Failsafe ports are of no use to a host whose neighbours are not found. */
static void failsafes_of_ipv6_find_neighbours(void **state)
{
	static const char *const names[] = { "cali-failsafe-in", "cali-failsafe-out" };
	static const enum table_id tables[] = { TABLE_RAW, TABLE_MANGLE, TABLE_FILTER };

	for (enum ip_family family = IP_V4; family <= IP_V6; family += IP_V6 - IP_V4) {
		struct render_config cfg = render_config_default(family);

		cfg.n_failsafe_in = cfg.n_failsafe_out = 0;
		for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
			struct chains out = { 0 };

			render_static(&cfg, tables[t], &out);
			for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
				const struct chain *c = find(&out, names[i]);

				assert_int_equal(c->n, family == IP_V6 ? 8 : 0);
				assert_int_equal(count_rules(c, "--icmpv6-type 13"),
						 family == IP_V6 ? 7 : 0);
			}
			chains_done(&out);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests),
		cmocka_unit_test(chain_names),
		cmocka_unit_test(set_names),
		cmocka_unit_test(recorded_frame),
		cmocka_unit_test(failsafes_of_ipv6_find_neighbours),
		cmocka_unit_test(recorded_workload),
		cmocka_unit_test(recorded_hooks),
		cmocka_unit_test(lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
