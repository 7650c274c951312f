/* spoof.c - sources that a pod may send from are rules of one chain */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/tables.h"

struct world {
	struct calc *calc;
	struct tables *t;
};

static struct world begin(enum ip_family family, bool allowed)
{
	struct render_config cfg = render_config_default(family);
	struct world w = { .calc = calc_new("n1", 1) };

	cfg.allow_spoofing = allowed;
	w.t = tables_new(&cfg);
	return w;
}

static void end(struct world *w)
{
	tables_free(w->t);
	calc_free(w->calc);
}

/* sources: "a b"; NULL: the pod is gone. */
static void pod(struct world *w, const char *id, const char *interface, const char *sources)
{
	CLEANUP(freep) char *text = sources ? xstrdup(sources) : NULL;
	VEC(struct prefix) nets = { 0 };
	struct endpoint e = {
		.kind = ENDPOINT_WORKLOAD, .id = id, .node = "n1", .interface = interface
	};
	char *rest = text, *word;
	struct prefix p;

	while (rest && (word = strsep(&rest, " ")))
		if (prefix_parse(word, &p))
			vec_push(&nets, p);
	e.spoof = nets.p;
	e.n_spoof = nets.n;
	calc_step(w->calc,
		  &(struct calc_event) { .kind = sources ? CALC_ENDPOINT : CALC_ENDPOINT_GONE,
					 .of.endpoint = &e });
	vec_done(&nets);
	tables_take(w->t, calc_flush(w->calc));
}

static void expect(const struct world *w, const char *want)
{
	const struct chain *c = tables_find(w->t, TABLE_RAW, "cali-rpf-skip");
	struct str s = { 0 };

	assert_non_null(c);
	for (size_t i = 0; i < c->n; i++)
		str_addf(&s, "%s|", c->p[i].text);
	assert_string_equal(str_text(&s), want);
	str_done(&s);
}

#define RULE(interface, net) "--in-interface " interface " --source " net " --jump ACCEPT|"

static void rules_follow_pods(void **state)
{
	struct world w = begin(IP_V4, true);

	expect(&w, "");
	pod(&w, "x/b", "cali2", "192.0.2.0/24 fd00::/64 198.51.100.7/32");
	expect(&w, RULE("cali2", "192.0.2.0/24") RULE("cali2", "198.51.100.7/32"));
	pod(&w, "x/c", "cali3", "");
	pod(&w, "x/a", "cali1", "203.0.113.0/24");
	expect(&w, RULE("cali1", "203.0.113.0/24") RULE("cali2", "192.0.2.0/24")
			   RULE("cali2", "198.51.100.7/32"));
	pod(&w, "x/b", "cali2", "");
	expect(&w, RULE("cali1", "203.0.113.0/24"));
	pod(&w, "x/a", "cali9", "203.0.113.0/24");
	expect(&w, RULE("cali9", "203.0.113.0/24"));
	pod(&w, "x/a", "cali9", NULL);
	expect(&w, "");
	end(&w);
}

static void of_one_family(void **state)
{
	struct world w = begin(IP_V6, true);

	pod(&w, "x/b", "cali2", "192.0.2.0/24 fd00::/64");
	expect(&w, RULE("cali2", "fd00::/64"));
	end(&w);
}

static void without_the_setting_there_are_none(void **state)
{
	struct world w = begin(IP_V4, false);

	pod(&w, "x/b", "cali2", "192.0.2.0/24");
	expect(&w, "");
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_follow_pods),
		cmocka_unit_test(of_one_family),
		cmocka_unit_test(without_the_setting_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
