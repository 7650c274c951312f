/* policy_settings.c - settings as rules and drivers want them */
#include "agent/policy/policy_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct made {
	struct policy_settings s;
	struct str wrong;
};

/* Variables "NAME=value NAME=value" over the defaults. */
static struct made make(const char *variables, const char *services)
{
	struct made m = { 0 };
	struct felixconfig c;
	struct field_cidrs list = { 0 };
	CLEANUP(freep) char *text = xstrdup(variables), *nets = xstrdup(services);
	char *rest = text, *word;
	struct prefix p;

	felixconfig_init(&c);
	while ((word = strsep(&rest, " "))) {
		char *eq = strchr(word, '=');

		if (!eq)
			continue;
		*eq = '\0';
		assert_int_equal(felixconfig_set(&c, word, eq + 1, NULL), 0);
	}
	rest = nets;
	while ((word = strsep(&rest, " ")))
		if (prefix_parse(word, &p))
			vec_push(&list, p);
	policy_settings_read(&c, &list, "cali", &m.s, &m.wrong);
	vec_done(&list);
	felixconfig_done(&c);
	return m;
}

static void drop(struct made *m)
{
	policy_settings_done(&m->s);
	str_done(&m->wrong);
}

static void defaults_are_calicos(void **state)
{
	struct made m = make("", "");
	struct render_config r = policy_settings_render(&m.s, IP_V4);
	struct render_config d = render_config_default(IP_V4);

	assert_int_equal(r.mark.accept, d.mark.accept);
	assert_int_equal(r.n_failsafe_in, d.n_failsafe_in);
	assert_int_equal(r.n_failsafe_out, d.n_failsafe_out);
	assert_string_equal(r.filter_deny, "DROP");
	assert_int_equal(r.n_prefix, 1);
	assert_string_equal(r.prefix[0], "cali");
	assert_false(r.accept_invalid || r.allow_spoofing || r.vxlan_from_pods || r.log_rate);
	assert_int_equal(m.s.rules_refresh_ms, 180000);
	assert_true(m.s.v6);
	drop(&m);
}

static void prefixes(void **state)
{
	static const struct {
		const char *list;
		size_t n;
		bool wrong;
	} rows[] = {
		{ "cali", 1, false },
		{ "tap,cali", 2, false },
		{ "tap,,tap", 2, false },
		{ "a,b,c,d,e,f,g", 8, false },
		{ "a,b,c,d,e,f,g,h", 8, true },
		{ "tap/x,vm", 2, true },
		{ "aninterfacenamethatistoolong", 1, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(freep) char *var = xasprintf("interfaceprefix=%s", rows[i].list);
		struct made m = make(var, "");

		assert_int_equal(m.s.n_prefix, rows[i].n);
		assert_int_equal(m.wrong.len > 0, rows[i].wrong);
		assert_true(policy_settings_is_pod(&m.s, "cali123"));
		assert_false(policy_settings_is_pod(&m.s, "wlan0"));
		drop(&m);
	}
}

static void what_is_set_is_rendered(void **state)
{
	struct made m = make("iptablesfilterdenyaction=REJECT defaultendpointtohostaction=ACCEPT "
			     "iptablesfilterallowaction=RETURN failsafeinboundhostports=udp:53 "
			     "failsafeoutboundhostports=none logprefix=x logactionratelimit=1/hour "
			     "disableconntrackinvalidcheck=true iptablesmarkmask=0xff000000 "
			     "serviceloopprevention=reject workloadsourcespoofing=any "
			     "chaininsertmode=append iptablesbackend=legacy",
			     "10.96.0.0/12 fd00:10::/112");
	struct policy_settings moved = m.s;
	struct render_config r = policy_settings_render(&moved, IP_V6);

	assert_string_equal(r.filter_deny, "REJECT");
	assert_string_equal(r.to_host, "ACCEPT");
	assert_string_equal(r.filter_allow, "RETURN");
	assert_int_equal(r.n_failsafe_in, 1);
	assert_int_equal(r.failsafe_in[0].proto, 17);
	assert_int_equal(r.n_failsafe_out, 0);
	assert_string_equal(r.log_prefix, "x");
	assert_string_equal(r.log_rate, "1/hour");
	assert_true(r.accept_invalid && r.allow_spoofing);
	assert_int_equal(r.mark.accept, 0x1000000);
	assert_int_equal(r.n_service_net, 2);
	assert_string_equal(r.service_deny, "REJECT");
	assert_ptr_equal(r.prefix, moved.prefix);
	assert_int_equal(moved.backend, IPT_WISH_LEGACY);
	assert_true(moved.append);
	drop(&m);
}

/* Each setting that matters makes another text; the same settings make the same one. */
static void the_text_tells_settings_apart(void **state)
{
	static const char *const each[] = {
		"",
		"iptablesmarkmask=0xff000000",
		"iptablesfilterdenyaction=reject",
		"iptablesmangleallowaction=return",
		"defaultendpointtohostaction=accept",
		"serviceloopprevention=reject",
		"interfaceprefix=cali,tap",
		"vxlanport=4790",
		"allowvxlanpacketsfromworkloads=true",
		"allowipippacketsfromworkloads=true",
		"disableconntrackinvalidcheck=true",
		"workloadsourcespoofing=any",
		"failsafeinboundhostports=none",
		"failsafeinboundhostports=tcp:1",
		"failsafeinboundhostports=udp:1",
		"failsafeinboundhostports=udp:10.0.0.0/8:1",
		"failsafeoutboundhostports=none",
		"logprefix=x",
		"logactionratelimit=1/hour",
		"logactionratelimitburst=6",
		"iptablesbackend=nft",
		"chaininsertmode=append",
		"ipv6support=false",
		"iptablesrefreshinterval=1",
		"ipsetsrefreshinterval=1",
		"maxipsetsize=7",
	};
	struct made all[ARRAY_SIZE(each)];

	for (size_t i = 0; i < ARRAY_SIZE(each); i++) {
		struct made again = make(each[i], "10.0.0.0/8");

		all[i] = make(each[i], "10.0.0.0/8");
		assert_string_equal(all[i].s.text, again.s.text);
		drop(&again);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(all[i].s.text, all[j].s.text))
				fail_msg("%s is like %s", each[i], each[j]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(each); i++)
		drop(&all[i]);
}

static void loops_may_be_let(void **state)
{
	struct made m = make("serviceloopprevention=disabled", "10.0.0.0/8");

	assert_int_equal(policy_settings_render(&m.s, IP_V4).n_service_net, 0);
	drop(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_calicos),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(what_is_set_is_rendered),
		cmocka_unit_test(the_text_tells_settings_apart),
		cmocka_unit_test(loops_may_be_let),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
