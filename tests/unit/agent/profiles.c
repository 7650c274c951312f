/* profiles.c - profiles that a pod names are made once, where nobody else makes them */
#include "agent/policy/profiles.h"

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
	struct agent a;
	bool done, synced;
	int code;
};

static void on_change(void *arg, const struct store_kv *kv)
{
	struct world *w = arg;

	w->synced |= !kv;
}

static void begin(struct world *w, void *box, const char *datastore)
{
	w->box = box;
	w->cfg = (struct agent_config) { .datastore = xstrdup(datastore) };
	w->a = (struct agent) { .base = w->box->base, .ds = w->box->ds, .cfg = &w->cfg };
	w->a.cache = cache_new(w->a.base, w->a.ds, NULL, NULL);
	cache_subscribe(w->a.cache, KEY_RESOURCES, on_change, w);
	box_run(w->box, &w->synced);
}

static void end(struct world *w)
{
	cache_free(w->a.cache);
	free(w->cfg.datastore);
}

static void on_done(void *arg, const struct cni_error *why)
{
	struct world *w = arg;

	w->done = true;
	w->code = why ? why->code : 0;
}

static void ensure(struct world *w, const struct cni_call *call)
{
	w->done = false;
	profiles_ensure(&w->a, call, on_done, w);
	box_run(w->box, &w->done);
	assert_int_equal(w->code, 0);
}

static const struct cni_call pod = { .k8s = true,
				     .pod_namespace = "x",
				     .pod_name = "a",
				     .service_account = "web",
				     .network = "net" };

static void a_namespace_and_an_account(void **state)
{
	struct world w = { 0 };
	char *first, *again, *account;

	begin(&w, *state, "sqlite:x");
	ensure(&w, &pod);
	first = box_get(w.box, KEY_RESOURCES "profiles/kns.x");
	account = box_get(w.box, KEY_RESOURCES "profiles/ksa.x.web");
	assert_non_null(strstr(first, "\"pcns.projectcalico.org/name\":\"x\""));
	assert_non_null(strstr(first, "\"action\":\"Allow\""));
	assert_non_null(strstr(account, "\"pcsa.projectcalico.org/name\":\"web\""));
	assert_null(strstr(account, "Allow"));
	/* Once made they are the user's. */
	box_put(w.box, KEY_RESOURCES "profiles/kns.x", "{\"mine\":1}");
	ensure(&w, &pod);
	again = box_get(w.box, KEY_RESOURCES "profiles/kns.x");
	assert_string_equal(again, "{\"mine\":1}");
	free(first);
	free(account);
	free(again);
	end(&w);
}

static void a_network_without_kubernetes(void **state)
{
	const struct cni_call plain = { .pod_namespace = "default",
					.pod_name = "",
					.network = "net" };
	struct world w = { 0 };
	char *text;

	begin(&w, *state, "sqlite:x");
	ensure(&w, &plain);
	text = box_get(w.box, KEY_RESOURCES "profiles/net");
	assert_non_null(text);
	assert_null(box_get(w.box, KEY_RESOURCES "profiles/kns.default"));
	free(text);
	end(&w);
}

static void under_kubernetes_others_make_them(void **state)
{
	struct world w = { 0 };

	begin(&w, *state, "kubernetes:/etc/x");
	ensure(&w, &pod);
	assert_null(box_get(w.box, KEY_RESOURCES "profiles/kns.x"));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_namespace_and_an_account, box_open, box_close),
		cmocka_unit_test_setup_teardown(a_network_without_kubernetes, box_open, box_close),
		cmocka_unit_test_setup_teardown(under_kubernetes_others_make_them, box_open,
						box_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
