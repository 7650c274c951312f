/* policy.c - Kubernetes' policies and Calico's, from JSON to chains
 *
 * Properties: what is converted is a policy that a strict reader accepts; a policy that cannot be read
 * in full denies; every rule's words fit into one line; all of it is taken away again. */
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "model/object.h"
#include "policy/calc.h"
#include "policy/k8s.h"
#include "policy/tables.h"

enum { WORDS_MAX = 240 }; /* iptables-restore takes 255, and some are in front */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A comment is one word. */
static unsigned count_words(const char *text)
{
	bool quoted = false;
	unsigned n = 1;

	for (; *text; text++) {
		quoted = quoted != (*text == '"');
		n += *text == ' ' && !quoted;
	}
	return n;
}

static void check_words(void *arg, enum table_id table, const struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (strchr(c->p[i].text, '\n') || count_words(c->p[i].text) > WORDS_MAX)
			abort();
}

static void feed_pod(struct calc *c)
{
	static const struct label labels[] = { { "projectcalico.org/namespace", "default" },
					       { "projectcalico.org/orchestrator", "k8s" },
					       { "a", "b" } };
	struct endpoint e = { .kind = ENDPOINT_WORKLOAD,
			      .id = "default/p",
			      .label = labels,
			      .n_label = ARRAY_SIZE(labels),
			      .node = "n",
			      .interface = "cali1" };

	calc_step(c, &(struct calc_event) { .kind = CALC_ENDPOINT, .of.endpoint = &e });
}

/* Consumes p. */
static void run_policy(struct policy *p)
{
	static const enum ip_family families[] = { IP_V4, IP_V6 };
	struct calc *c = calc_new("n", 1);
	struct policy_id id = { p->kind, xstrdup(p->ns), xstrdup(p->name) };
	const struct calc_effects *fx;

	if (p->closed && (p->in.n != 1 || p->in.p[0].action != RULE_DENY))
		abort();
	feed_pod(c);
	calc_step(c, &(struct calc_event) { .kind = CALC_POLICY, .of.policy = p });
	fx = calc_flush(c);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct render_config cfg = render_config_default(families[i]);
		struct tables *t = tables_new(&cfg);

		tables_take(t, fx);
		tables_each(t, check_words, NULL);
		tables_free(t);
	}
	calc_step(c, &(struct calc_event) { .kind = CALC_POLICY_GONE, .of.policy_id = id });
	calc_flush(c);
	if (calc_stats(c).sets)
		abort();
	calc_free(c);
	free((char *)(uintptr_t)id.ns);
	free((char *)(uintptr_t)id.name);
}

static void run_object(const struct object *o)
{
	struct policy *p;
	struct err e;
	int rc = policy_from_object(o, &p, &e);

	if (rc < 0 && p && !p->closed)
		abort();
	if (p)
		run_policy(p);
}

/* The same JSON as the spec of each. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const kinds[] = { "NetworkPolicy", "GlobalNetworkPolicy" };
	struct err e;
	struct object o;
	json_t *spec, *k8s;

	if (js_parse(data, len, &spec, &e) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		o = object_new(kind_find(kinds[i]), "default", "x");
		js_set(o.json, "spec", json_incref(spec));
		run_object(&o);
		object_done(&o);
	}
	k8s = json_pack("{s:{s:s},s:O}", "metadata", "name", "x", "spec", spec);
	if (k8s_policy(k8s, &o, NULL, &e) == 0) {
		if (object_check(&o, &e) < 0)
			abort();
		run_object(&o);
		object_done(&o);
	}
	json_decref(k8s);
	json_decref(spec);
	return 0;
}
