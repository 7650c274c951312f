/* felix.c - which FelixConfiguration holds here, as objects come and go */
#include "agent/felix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/cache.h"
#include "agent/config.h"
#include "model/key.h"
#include "tests/unit/agent/box.h"

struct world {
	struct box *box;
	struct agent_config cfg;
	struct agent agent;
	unsigned told;
};

static void on_told(void *arg)
{
	struct world *w = arg;

	w->told++;
}

/* A part with this environment; cfg says mark mask and deny action, unless has_ is false. */
static void begin(struct world *w, struct box *b, char *const *env)
{
	w->box = b;
	w->cfg.node = xstrdup("n1");
	w->cfg.mark_mask = xstrdup("0xf8000000");
	w->cfg.endpoint_to_host = 1;
	w->agent = (struct agent) { .base = b->base, .cfg = &w->cfg };
	w->agent.cache = cache_new(b->base, b->ds, NULL, NULL);
	w->agent.felix = felix_new(&w->agent, env);
	felix_watch(w->agent.felix, on_told, w);
}

static void end(struct world *w)
{
	felix_free(w->agent.felix);
	cache_free(w->agent.cache);
	free(w->cfg.node);
	free(w->cfg.mark_mask);
}

static void put(struct world *w, const char *name, const char *spec)
{
	CLEANUP(freep) char *key = xasprintf(KEY_RESOURCES "felixconfigurations/%s", name);
	CLEANUP(freep)
	char *text = xasprintf(
		"{\"kind\":\"FelixConfiguration\",\"apiVersion\":\"projectcalico.org/v3\","
		"\"metadata\":{\"name\":\"%s\"},\"spec\":%s}",
		name, spec);
	unsigned before = w->told;

	box_put(w->box, key, text);
	box_run_to(w->box, &w->told, before + 1);
}

static const struct felixconfig *now(const struct world *w)
{
	return felix_config(w->agent.felix);
}

static void layers_come_and_go(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, NULL);
	assert_int_equal(now(&w)->endpoint_to_host, FELIX_TO_HOST_RETURN);
	put(&w, "default", "{\"logPrefix\":\"all\",\"defaultEndpointToHostAction\":\"Drop\"}");
	assert_string_equal(now(&w)->log_prefix, "all");
	assert_int_equal(now(&w)->endpoint_to_host, FELIX_TO_HOST_DROP);
	put(&w, "node.n1", "{\"logPrefix\":\"own\"}");
	assert_string_equal(now(&w)->log_prefix, "own");
	box_put(w.box, KEY_RESOURCES "felixconfigurations/racks",
		"{\"kind\":\"FelixConfiguration\",\"metadata\":{\"name\":\"racks\"},\"spec\":{"
		"\"nodeSelector\":\"rack == '7'\",\"logPrefix\":\"rack\",\"maxIpsetSize\":7}}");
	box_put(w.box, KEY_RESOURCES "felixconfigurations/node.n2",
		"{\"kind\":\"FelixConfiguration\",\"metadata\":{\"name\":\"node.n2\"},\"spec\":{"
		"\"maxIpsetSize\":8}}");
	box_put(w.box, KEY_RESOURCES "nodes/n1",
		"{\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"labels\":{\"rack\":\"7\"}},"
		"\"spec\":{}}");
	while (now(&w)->max_set_size != 7)
		box_run_to(w.box, &w.told, w.told + 1);
	assert_string_equal(now(&w)->log_prefix, "own");
	box_delete(w.box, KEY_RESOURCES "felixconfigurations/node.n1");
	box_run_to(w.box, &w.told, w.told + 1);
	assert_string_equal(now(&w)->log_prefix, "rack");
	end(&w);
}

static void told_values_and_variables_win(void **state)
{
	static char *const env[] = { "FELIX_LOGPREFIX=env",
				     "FELIX_NOSUCH=1",
				     "FELIX_LOGACTIONRATELIMITBURST=many",
				     "OTHER=1",
				     "FELIX_MAXIPSETSIZE=",
				     NULL };
	struct world w = { .cfg = { .has_mark_mask = true } };
	struct str wrong = { 0 };

	begin(&w, *state, env);
	put(&w, "default",
	    "{\"logPrefix\":\"all\",\"iptablesMarkMask\":4278190080,\"maxIpsetSize\":9}");
	assert_string_equal(now(&w)->log_prefix, "env");
	assert_true(now(&w)->mark_mask == 0xf8000000);
	assert_int_equal(now(&w)->max_set_size, 9);
	assert_int_equal(felix_troubles(w.agent.felix, &wrong), 1);
	assert_non_null(strstr(str_text(&wrong), "FELIX_LOGACTIONRATELIMITBURST"));
	str_done(&wrong);
	end(&w);
}

static void troubles_are_named_and_end(void **state)
{
	struct world w = { 0 };
	struct str wrong = { 0 };

	begin(&w, *state, NULL);
	put(&w, "default", "{\"logPrefix\":\"a\",\"iptablesFilterDenyAction\":\"Shut\"}");
	assert_int_equal(felix_troubles(w.agent.felix, &wrong), 1);
	assert_non_null(strstr(str_text(&wrong),
			       "FelixConfiguration default: spec.iptablesFilterDenyAction"));
	put(&w, "default", "{\"logPrefix\":\"b\"}");
	str_cut(&wrong, 0);
	assert_int_equal(felix_troubles(w.agent.felix, &wrong), 0);
	box_put(w.box, KEY_RESOURCES "felixconfigurations/odd",
		"{\"kind\":\"FelixConfiguration\",\"metadata\":{\"name\":\"odd\"},\"spec\":{"
		"\"nodeSelector\":\"((\"}}");
	box_put(w.box, KEY_RESOURCES "felixconfigurations/node.n1", "no json");
	put(&w, "default", "{\"logPrefix\":\"c\"}");
	assert_int_equal(felix_troubles(w.agent.felix, &wrong), 2);
	assert_string_equal(now(&w)->log_prefix, "c");
	str_done(&wrong);
	end(&w);
}

static void services_of_bgp(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, NULL);
	assert_int_equal(felix_services(w.agent.felix)->n, 0);
	box_put(w.box, KEY_RESOURCES "bgpconfigurations/default",
		"{\"kind\":\"BGPConfiguration\",\"metadata\":{\"name\":\"default\"},\"spec\":{"
		"\"serviceClusterIPs\":[{\"cidr\":\"10.96.0.0/"
		"12\"}],\"serviceExternalIPs\":[{\"cidr\":"
		"\"10.96.0.0/12\"},{\"cidr\":\"10.1.0.0/16\"}]}}");
	box_run_to(w.box, &w.told, w.told + 1);
	assert_int_equal(felix_services(w.agent.felix)->n, 2);
	end(&w);
}

/* What changes nothing that holds is not told. */
static void only_differences_are_told(void **state)
{
	struct world w = { 0 };
	unsigned before;

	begin(&w, *state, NULL);
	put(&w, "default", "{\"logPrefix\":\"a\"}");
	before = w.told;
	box_put(w.box, KEY_RESOURCES "felixconfigurations/node.n2",
		"{\"kind\":\"FelixConfiguration\",\"metadata\":{\"name\":\"node.n2\"},\"spec\":{"
		"\"logPrefix\":\"b\"}}");
	put(&w, "default", "{\"logPrefix\":\"c\"}");
	assert_int_equal(w.told, before + 1);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(layers_come_and_go, box_open, box_close),
		cmocka_unit_test_setup_teardown(told_values_and_variables_win, box_open, box_close),
		cmocka_unit_test_setup_teardown(troubles_are_named_and_end, box_open, box_close),
		cmocka_unit_test_setup_teardown(services_of_bgp, box_open, box_close),
		cmocka_unit_test_setup_teardown(only_differences_are_told, box_open, box_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
