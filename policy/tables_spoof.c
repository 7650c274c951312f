/* tables_spoof.c - pods that may send from other addresses than their own
 * SHAPE  One chain of table raw, in which packets of such a pod from such a source skip the look at
 *        the way back. Pods with allowed sources are few, so all of them are a list.
 * TESTS  tests/unit/policy/spoof.c, tests/netns/test_policy_settings.py */
#include "policy/tables_impl.h"

#include <stdlib.h>
#include <string.h>

#define SKIP_CHAIN "cali-rpf-skip"

static int by_key(const void *a, const void *b)
{
	const struct owner *const *x = a, *const *y = b;

	return strcmp((*x)->key, (*y)->key);
}

static void add_rules(const struct tables *t, const struct owner *o, struct chain *c)
{
	for (size_t i = 0; i < o->n_spoof; i++) {
		char net[PREFIX_STR_MAX];

		if (o->spoof[i].addr.family != t->cfg.family)
			continue;
		CLEANUP(freep)
		char *match = xasprintf("--in-interface %s --source %s", o->interface,
					prefix_format(&o->spoof[i], net));

		chain_add(c, NULL, match, "--jump ACCEPT");
	}
}

void tables_spoof(struct tables *t)
{
	VEC(const struct owner *) list = { 0 };
	struct made_vec made = { 0 };
	struct chain c = { .name = chain_name("", SKIP_CHAIN) };

	if (!t->spoof_dirty)
		return;
	t->spoof_dirty = false;
	for (const struct owner *o = t->owners; t->cfg.allow_spoofing && o; o = o->hh.next)
		if (o->n_spoof && o->interface && *o->interface)
			vec_push(&list, o);
	if (list.n)
		qsort(list.p, list.n, sizeof(*list.p), by_key);
	vec_foreach (&list, o)
		add_rules(t, *o, &c);
	vec_push(&made, (struct made) { .table = TABLE_RAW, .body = tables_body_new(&c) });
	tables_set_row(t, "spoof", &made);
	vec_done(&list);
}

void tables_owner_spoof(struct tables *t, struct owner *o, const struct calc_endpoint *ep)
{
	t->spoof_dirty |= o->n_spoof || ep->n_spoof;
	free(o->spoof);
	o->n_spoof = ep->n_spoof;
	o->spoof = ep->n_spoof ? xmemdup(ep->spoof, ep->n_spoof * sizeof(*ep->spoof)) : NULL;
}
