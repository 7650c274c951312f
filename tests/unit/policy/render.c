/* render.c - rules as text, the tree of dispatch, and who sits on which interface */
#include "policy/render.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json.h"
#include "lib/str.h"
#include "model/object.h"
#include "policy/tables.h"

static struct policy *compile(const char *rule)
{
	CLEANUP(freep) char *spec = xasprintf("{\"ingress\":[{%s}]}", rule);
	struct object o = object_new(kind_find("GlobalNetworkPolicy"), NULL, "a");
	struct policy *p;
	struct err e = { 0 };
	json_t *json;

	if (js_parse(spec, strlen(spec), &json, &e) < 0)
		fail_msg("%s", e.msg);
	js_set(o.json, "spec", json);
	if (policy_from_object(&o, &p, &e) < 0)
		fail_msg("%s", e.msg);
	object_done(&o);
	return p;
}

/* The first set of a kind in the rule, as it is called in the kernel. */
struct names {
	struct set_name name[12];
	size_t n;
	enum ip_family family;
};

static void add_name(void *arg, struct setdef *def)
{
	struct names *names = arg;

	names->name[names->n++] = set_name(names->family, def->id);
}

/* "@0", "@1" in a text stand for the names of the rule's sets, in the order of rules_each_set. */
static char *with_names(const char *text, const struct names *names)
{
	struct str s = { 0 };

	for (; *text; text++) {
		if (*text == '@')
			str_add(&s, names->name[*++text - '0'].text);
		else
			str_addc(&s, *text);
	}
	return str_take(&s);
}

#define FIRST	  "-m comment --comment \"GlobalNetworkPolicy a ingress\" "
#define ACCEPT	  " --jump MARK --set-mark 0x10000/0x10000"
#define DENY_MARK "--jump MARK --set-mark 0x40000/0x40000"
#define DENY	  "-m mark --mark 0x40000/0x40000 --jump DROP"

/* One rule, IPv4, and its lines. */
static const struct {
	const char *rule, *lines[12];
} rules[] = {
	{ "\"action\":\"Allow\"", { FIRST "--jump MARK --set-mark 0x10000/0x10000" } },
	{ "\"action\":\"Deny\"", { FIRST DENY_MARK, DENY } },
	{ "\"action\":\"Pass\"", { FIRST "--jump MARK --set-mark 0x20000/0x20000" } },
	{ "\"action\":\"Log\"",
	  { FIRST "--jump LOG --log-prefix \"calico-packet: \" --log-level 5" } },
	{ "\"action\":\"Allow\",\"ipVersion\":6",
	  { "-m comment --comment \"GlobalNetworkPolicy a "
	    "ingress\"" } },
	{ "\"action\":\"Allow\",\"protocol\":\"TCP\",\"source\":{\"nets\":[\"10.0.0.0/"
	  "8\"],\"ports\":"
	  "[1,\"2:3\"]},\"destination\":{\"notNets\":[\"11.0.0.0/8\"],\"notPorts\":[4]}",
	  { FIRST "-p tcp --source 10.0.0.0/8 -m multiport --source-ports 1,2:3 ! --destination "
		  "11.0.0.0/8 -m multiport ! --destination-ports 4" ACCEPT } },
	{ "\"action\":\"Allow\",\"notProtocol\":17", { FIRST "! -p 17" ACCEPT } },
	{ "\"action\":\"Allow\",\"protocol\":6,\"notProtocol\":17", { FIRST "-p 6" ACCEPT } },
	{ "\"action\":\"Allow\",\"protocol\":6,\"notProtocol\":\"TCP\"",
	  { "-m comment --comment \"GlobalNetworkPolicy a ingress\"" } },
	{ "\"action\":\"Allow\",\"protocol\":\"ICMP\",\"icmp\":{\"type\":8,\"code\":0}",
	  { FIRST "-p icmp -m icmp --icmp-type 8/0" ACCEPT } },
	{ "\"action\":\"Allow\",\"notICMP\":{\"type\":8}",
	  { FIRST "-p icmp -m icmp ! --icmp-type 8" ACCEPT } },
	{ "\"action\":\"Allow\",\"source\":{\"selector\":\"has(a)\",\"notNets\":[\"10.0.0.0/8\","
	  "\"11.0.0.0/8\"]}",
	  { FIRST "-m set --match-set @1 src -m set ! --match-set @0 src" ACCEPT } },
	{ "\"action\":\"Allow\",\"source\":{\"notSelector\":\"has(a)\"}",
	  { FIRST "-m set ! --match-set @0 src" ACCEPT } },
	{ "\"action\":\"Allow\",\"source\":{\"services\":{\"name\":\"s\",\"namespace\":\"n\"}}",
	  { FIRST "-m set --match-set @0 src" ACCEPT } },
	{ "\"action\":\"Allow\",\"destination\":{\"ports\":[\"web\"]}",
	  { FIRST "-m set --match-set @0 dst,dst" ACCEPT } },
	/* What makes the other agent forget its third block: two lists of ranges, and ports by number
	 * and by name. Here it is one block, and the ranges are sets. */
	{ "\"action\":\"Allow\",\"protocol\":\"TCP\",\"source\":{\"nets\":[\"10.0.0.0/8\","
	  "\"11.0.0.0/8\"]},\"destination\":{\"nets\":[\"12.0.0.0/8\",\"13.0.0.0/8\"],\"ports\":"
	  "[80,\"web\"]}",
	  { FIRST "--jump MARK --set-mark 0/0x180000",
	    "-p tcp -m multiport --destination-ports 80 --jump MARK --set-mark 0x80000/0x80000",
	    "-m set --match-set @2 dst,dst --jump MARK --set-mark 0x80000/0x80000",
	    "-p tcp -m set --match-set @0 src -m set --match-set @1 dst -m mark --mark "
	    "0x80000/0x80000" ACCEPT } },
	/* Ports of both sides: two blocks. */
	{ "\"action\":\"Deny\",\"protocol\":\"TCP\",\"source\":{\"ports\":[1,\"a\"]},"
	  "\"destination\":"
	  "{\"ports\":[2,\"b\"]}",
	  { FIRST "--jump MARK --set-mark 0/0x180000",
	    "-p tcp -m multiport --source-ports 1 --jump MARK --set-mark 0x80000/0x80000",
	    "-m set --match-set @0 src,src --jump MARK --set-mark 0x80000/0x80000",
	    "-p tcp -m multiport --destination-ports 2 --jump MARK --set-mark 0x100000/0x100000",
	    "-m set --match-set @1 dst,dst --jump MARK --set-mark 0x100000/0x100000",
	    "-m mark --mark 0/0x100000 --jump MARK --set-mark 0/0x80000",
	    "-p tcp -m mark --mark 0x80000/0x80000 " DENY_MARK, DENY } },
	{ "\"action\":\"Allow\",\"metadata\":{\"annotations\":{\"b\":\"2\",\"a\":\"1;\\n\"}}",
	  { "-m comment --comment \"a=1__\" -m comment --comment \"b=2\" -m comment --comment "
	    "\"GlobalNetworkPolicy a ingress\" --jump MARK --set-mark 0x10000/0x10000" } },
};

static void each_rule(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct policy *p = compile(rules[i].rule);
		struct names names = { .family = IP_V4 };
		struct chains out = { 0 };
		size_t n = 0;

		rules_each_set(&p->in, add_name, &names);
		render_policy(&cfg, p, true, "DROP", &out);
		assert_string_equal(out.p[0].name.text, "cali-pi-gnp/a");
		while (n < ARRAY_SIZE(rules[i].lines) && rules[i].lines[n])
			n++;
		for (size_t k = 0; k < out.p[0].n && k < n; k++) {
			CLEANUP(freep) char *want = with_names(rules[i].lines[k], &names);

			assert_string_equal(out.p[0].p[k].text, want);
		}
		assert_int_equal(out.p[0].n, n);
		chains_done(&out);
		policy_free(p);
	}
}

static void add_list(struct str *s, const char *name, bool ports)
{
	str_addf(s, ",\"%s\":[", name);
	for (int i = 0; ports && i < 46; i++)
		str_addf(s, "\"%d:%d\",", 100 * i + 1, 100 * i + 50);
	for (int i = 0; ports && i < 4; i++)
		str_addf(s, "%s\"p%d\"", i ? "," : "", i);
	for (int i = 0; !ports && i < 256; i++)
		str_addf(s, "%s\"10.%d.0.0/16\"", i ? "," : "", i);
	str_addc(s, ']');
}

/* The most that a rule may hold still fits into lines that iptables-restore takes. */
static void the_longest_rule(void **state)
{
	static const char *const sides[] = { "source", "destination" };
	struct render_config cfg = render_config_default(IP_V4);
	struct str s = { 0 };
	struct chains out = { 0 };
	struct policy *p;

	str_add(&s, "\"action\":\"Allow\",\"protocol\":\"TCP\",\"notProtocol\":17,\"metadata\":"
		    "{\"annotations\":{");
	for (int i = 0; i < 200; i++)
		str_addf(&s, "%s\"k%d\":\"v w x y z\"", i ? "," : "", i);
	str_add(&s, "}}");
	for (int i = 0; i < 2; i++) {
		str_addf(&s, ",\"%s\":{\"selector\":\"has(a)\"", sides[i]);
		add_list(&s, "nets", false);
		add_list(&s, "notNets", false);
		add_list(&s, "ports", true);
		add_list(&s, "notPorts", true);
		str_addc(&s, '}');
	}
	p = compile(str_text(&s));
	render_policy(&cfg, p, true, "DROP", &out);
	for (size_t i = 0; i < out.p[0].n; i++) {
		bool quoted = false;
		int words = 1;

		for (const char *t = out.p[0].p[i].text; *t; t++) {
			quoted = quoted != (*t == '"');
			words += *t == ' ' && !quoted;
		}
		assert_true(words < 240);
		assert_true(strlen(out.p[0].p[i].text) < 8000);
	}
	assert_true(out.p[0].n > 10);
	chains_done(&out);
	str_done(&s);
	policy_free(p);
}

static void log_words(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct policy *p = compile("\"action\":\"Log\"");
	struct chains out = { 0 };

	cfg.log_prefix = "%t/%k/%p \"%%";
	cfg.log_rate = "10/minute";
	render_policy(&cfg, p, true, "DROP", &out);
	assert_string_equal(out.p[0].p[0].text,
			    FIRST "-m limit --limit 10/minute --limit-burst 5 --jump LOG "
				  "--log-prefix \"default/gnp/a _%%: \" --log-level 5");
	chains_done(&out);
	policy_free(p);
}

static void few_marks(void **state)
{
	struct render_marks m;

	assert_false(render_marks(0xf, &m));
	assert_false(render_marks(0, &m));
	assert_true(render_marks(0xf1000000, &m));
	assert_int_equal(m.accept, 0x01000000);
	assert_int_equal(m.scratch1, 0x80000000u);
}

/* ---- interfaces ---- */

static struct calc_effects fx;

static void add_pod(const char *id, const char *interface)
{
	vec_push(&fx.endpoints, (struct calc_endpoint) { .kind = ENDPOINT_WORKLOAD,
							 .id = id,
							 .interface = interface });
}

/* Carry out, and return what was written: "+chain " and "-chain ", sorted. */
static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *apply(struct tables *t)
{
	struct table_changes changes = { 0 };
	VEC(char *) words = { 0 };
	struct str s = { 0 };

	tables_take(t, &fx);
	tables_flush(t, &changes);
	vec_foreach (&changes, c)
		vec_push(&words, xasprintf("%c%s ", c->chain ? '+' : '-', c->name.text));
	if (words.n)
		qsort(words.p, words.n, sizeof(*words.p), by_text);
	vec_foreach (&words, word) {
		str_add(&s, *word);
		free(*word);
	}
	vec_done(&words);
	vec_done(&changes);
	vec_clear(&fx.endpoints);
	vec_clear(&fx.endpoints_gone);
	return str_take(&s);
}

static void expect_written(struct tables *t, const char *want)
{
	char *got = apply(t);

	assert_string_equal(got, want);
	free(got);
}

static void gone(const char *id)
{
	vec_push(&fx.endpoints_gone,
		 (struct calc_gone_endpoint) { ENDPOINT_WORKLOAD, xstrdup(id) });
}

#define IN  "cali-from-wl-dispatch"
#define OUT "cali-to-wl-dispatch"

static void only_the_leaf_is_written(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct tables *t = tables_new(&cfg);
	struct table_changes first = { 0 };
	char *id;

	tables_flush(t, &first);
	assert_true(first.n > 20);
	vec_done(&first);
	add_pod("a", "calia1");
	add_pod("b", "calia2");
	add_pod("c", "calib1");
	expect_written(t,
		       "+cali-from-wl-dispatch +cali-from-wl-dispatch-a +cali-fw-calia1 "
		       "+cali-fw-calia2 +cali-fw-calib1 +cali-to-wl-dispatch "
		       "+cali-to-wl-dispatch-a +cali-tw-calia1 +cali-tw-calia2 +cali-tw-calib1 ");
	/* One more on a leaf: the root stays as it is. */
	add_pod("d", "calia3");
	expect_written(t, "+cali-from-wl-dispatch-a +cali-fw-calia3 +cali-to-wl-dispatch-a "
			  "+cali-tw-calia3 ");
	add_pod("d", "calia3");
	expect_written(t, "");
	/* Without it the others share one more letter. */
	gone("c");
	id = fx.endpoints_gone.p[0].id;
	expect_written(t, "+cali-from-wl-dispatch +cali-to-wl-dispatch -cali-from-wl-dispatch-a "
			  "-cali-fw-calib1 -cali-to-wl-dispatch-a -cali-tw-calib1 ");
	free(id);
	assert_string_equal(tables_find(t, TABLE_FILTER, IN)->p[0].text,
			    "--in-interface calia1 --goto cali-fw-calia1");
	assert_string_equal(tables_find(t, TABLE_FILTER, OUT)->p[3].text,
			    "-m comment --comment \"Unknown interface\" --jump DROP");
	tables_free(t);
}

static void sharing_tables(struct tables **t, struct render_config *cfg)
{
	struct table_changes first = { 0 };

	*cfg = render_config_default(IP_V4);
	cfg->share_endpoints = true;
	*t = tables_new(cfg);
	tables_flush(*t, &first);
	vec_done(&first);
}

static void pods_of_one_kind_share_chains(void **state)
{
	struct render_config cfg;
	struct pod_way a, b;
	struct tables *t;
	char *id, *words;

	sharing_tables(&t, &cfg);
	add_pod("a", "calia1");
	words = apply(t);
	assert_non_null(strstr(words, "+cali-tw-"));
	assert_null(strstr(words, "cali-tw-calia1"));
	free(words);
	assert_true(tables_pod_way(t, "calia1", true, &a));
	assert_false(tables_pod_way(t, "calia2", true, &b));
	/* One more of them is two rules. */
	add_pod("b", "calia2");
	expect_written(t, "+cali-from-wl-dispatch +cali-to-wl-dispatch ");
	assert_true(tables_pod_way(t, "calia2", true, &b));
	assert_string_equal(a.own.text, b.own.text);
	assert_string_equal(b.dispatch.text, OUT);
	assert_true(tables_pod_way(t, "calia2", false, &b));
	assert_string_equal(b.dispatch.text, IN);
	assert_non_null(tables_find(t, TABLE_FILTER, b.own.text));
	/* One to which something else applies has its own, and the others keep theirs. */
	add_pod("b", "calia2");
	fx.endpoints.p[0].admin_down = true;
	free(apply(t));
	assert_true(tables_pod_way(t, "calia2", true, &b));
	assert_string_not_equal(a.own.text, b.own.text);
	assert_int_equal(tables_find(t, TABLE_FILTER, b.own.text)->n, 1);
	assert_true(tables_find(t, TABLE_FILTER, a.own.text)->n > 1);
	/* The last one takes them along. */
	gone("b");
	id = fx.endpoints_gone.p[0].id;
	free(apply(t));
	free(id);
	assert_null(tables_find(t, TABLE_FILTER, b.own.text));
	assert_non_null(tables_find(t, TABLE_FILTER, a.own.text));
	tables_free(t);
	vec_done(&fx.endpoints);
	vec_done(&fx.endpoints_gone);
}

static void two_claim_one_interface(void **state)
{
	struct render_config cfg = render_config_default(IP_V4);
	struct tables *t = tables_new(&cfg);
	struct table_changes first = { 0 };
	char *id;

	tables_flush(t, &first);
	vec_done(&first);
	add_pod("b", "cali1");
	free(apply(t));
	/* The lower id takes the place; it is down, so that its chain can be told. */
	add_pod("a", "cali1");
	fx.endpoints.p[0].admin_down = true;
	expect_written(t, "+cali-fw-cali1 +cali-tw-cali1 ");
	assert_int_equal(tables_find(t, TABLE_FILTER, "cali-fw-cali1")->n, 1);
	gone("a");
	id = fx.endpoints_gone.p[0].id;
	expect_written(t, "+cali-fw-cali1 +cali-tw-cali1 ");
	free(id);
	assert_true(tables_find(t, TABLE_FILTER, "cali-fw-cali1")->n > 1);
	tables_free(t);
	vec_done(&fx.endpoints);
	vec_done(&fx.endpoints_gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule),
		cmocka_unit_test(the_longest_rule),
		cmocka_unit_test(log_words),
		cmocka_unit_test(few_marks),
		cmocka_unit_test(only_the_leaf_is_written),
		cmocka_unit_test(two_claim_one_interface),
		cmocka_unit_test(pods_of_one_kind_share_chains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
