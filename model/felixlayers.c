/* felixlayers.c - which FelixConfiguration objects are for a node
 * TESTS  tests/unit/model/felixconfig.c, tests/unit/agent/felix.c */
#include "model/felixlayers.h"

#include <stdlib.h>
#include <string.h>

#include "model/selector.h"

#define CLUSTER	    "default"
#define NODE_PREFIX "node."

static bool is_own(const char *object, const char *node)
{
	return str_starts(object, NODE_PREFIX) && !strcmp(object + strlen(NODE_PREFIX), node);
}

bool felixlayers_concern(const char *object, const char *node)
{
	return !str_starts(object, NODE_PREFIX) || is_own(object, node);
}

static void add(const struct object *o, struct felixconfig *out, struct str *wrong)
{
	CLEANUP(freep) char *what = xasprintf("FelixConfiguration %s", o->name);

	felixconfig_add(out, object_spec_json(o), what, wrong);
}

/* Is an object for nodes like this one? One without a selector is for none. */
static bool is_selected(const struct object *o, const json_t *labels, struct str *wrong)
{
	const char *text = json_string_value(js_at(o->json, "spec.nodeSelector"));
	struct selector *s;
	struct err e = { 0 };
	bool yes;

	if (!text || !*text)
		return false;
	if (selector_parse(text, &s, &e) < 0) {
		str_addf(wrong, "FelixConfiguration %s: spec.nodeSelector: %s\n", o->name, e.msg);
		return false;
	}
	yes = selector_match_json(s, labels);
	selector_free(s);
	return yes;
}

static int by_name(const void *a, const void *b)
{
	const struct object *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void add_selected(const struct object_vec *objects, const json_t *labels,
			 struct felixconfig *out, struct str *wrong)
{
	const struct object *layer[FELIX_LAYERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < objects->n && n < FELIX_LAYERS_MAX; i++) {
		const struct object *o = &objects->p[i];

		if (strcmp(o->name, CLUSTER) && !str_starts(o->name, NODE_PREFIX) &&
		    is_selected(o, labels, wrong))
			layer[n++] = o;
	}
	if (n)
		qsort(layer, n, sizeof(layer[0]), by_name);
	for (size_t i = 0; i < n; i++)
		add(layer[i], out, wrong);
}

void felixlayers_read(const struct object_vec *objects, const char *node, const json_t *labels,
		      struct felixconfig *out, struct str *wrong)
{
	felixconfig_init(out);
	for (size_t i = 0; i < objects->n; i++)
		if (!strcmp(objects->p[i].name, CLUSTER))
			add(&objects->p[i], out, wrong);
	add_selected(objects, labels, out, wrong);
	for (size_t i = 0; i < objects->n; i++)
		if (is_own(objects->p[i].name, node))
			add(&objects->p[i], out, wrong);
}
