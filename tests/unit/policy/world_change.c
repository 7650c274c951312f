/* world_change.c - copies of worlds, and worlds that change by one object */
#include <stdio.h>
#include <string.h>

#include "tests/unit/policy/world.h"
#include "tests/unit/policy/world_parts.h"

enum { ROOM = 300 }; /* selectors of some policies */

/* ---- copies ---- */

struct move {
	const struct jworld *from;
	struct jworld *to;
};

static void move_sel(const struct move *m, struct jsel **s)
{
	if (*s)
		*s = &m->to->node[*s - m->from->node];
}

static void move_side(const struct move *m, struct jside *s)
{
	move_sel(m, &s->sel);
	move_sel(m, &s->not_sel);
	move_sel(m, &s->ns_sel);
	move_sel(m, &s->sa_sel);
}

static void move_rules(const struct move *m, struct jrule *r, int n)
{
	for (int i = 0; i < n; i++) {
		move_side(m, &r[i].src);
		move_side(m, &r[i].dst);
	}
}

void world_copy(struct jworld *to, const struct jworld *from)
{
	struct move m = { from, to };

	*to = *from;
	for (int i = 0; i < to->n_node; i++) {
		move_sel(&m, &to->node[i].a);
		move_sel(&m, &to->node[i].b);
	}
	for (int i = 0; i < J_POLICIES; i++) {
		struct jpolicy *p = &to->policy[i];

		move_sel(&m, &p->sel);
		move_sel(&m, &p->ns_sel);
		move_sel(&m, &p->sa_sel);
		move_rules(&m, p->rule_in, J_RULES);
		move_rules(&m, p->rule_out, J_RULES);
	}
	for (int i = 0; i < J_PROFILES; i++) {
		move_rules(&m, to->profile[i].in, 2);
		move_rules(&m, to->profile[i].out, 2);
	}
}

/* ---- changes ---- */

static void touch(struct world_change *c, const struct jendpoint *e)
{
	for (int i = 0; i < e->n_net; i++)
		c->net[c->n_net++] = e->net[i];
}

static bool is_plain(const struct jpolicy *p)
{
	return !p->untracked && !p->pre_dnat;
}

/* It is stored under the same key. */
static bool is_heir(const struct jpolicy *old, const struct jpolicy *new)
{
	return is_plain(new) && (!old->exists || !new->exists || old->kind == new->kind);
}

static void change_policy(struct rng *r, struct jworld *w, struct world_change *c)
{
	int i = rng_below(r, J_POLICIES);
	struct jpolicy old;

	while (!is_plain(&w->policy[i]))
		i = (i + 1) % J_POLICIES;
	old = w->policy[i];
	do
		world_random_policy(r, w, i);
	while (!is_heir(&old, &w->policy[i]) && w->n_node < J_NODES - ROOM / 2);
	if (!is_heir(&old, &w->policy[i]))
		w->policy[i] = old;
	if (old.exists)
		w->policy[i].ns = old.ns;
	snprintf(c->what, sizeof(c->what), "policy %s", old.name);
}

static void change_tier(struct rng *r, struct jworld *w, struct world_change *c)
{
	struct jtier *t = &w->tier[rng_below(r, J_TIERS)];

	t->exists = !rng_one_in(r, 3);
	t->order = rng_below(r, 3) * 1000000;
	t->pass = rng_one_in(r, 2);
	snprintf(c->what, sizeof(c->what), "tier %s", t->name);
}

static void change_pod(struct rng *r, struct jworld *w, struct world_change *c)
{
	struct jendpoint *e = &w->pod[rng_below(r, J_PODS)];

	world_random_labels(r, &e->labels, true);
	touch(c, e);
	snprintf(c->what, sizeof(c->what), "labels of pod %s", e->name);
}

static void change_set(struct rng *r, struct jworld *w, struct world_change *c)
{
	int i = rng_below(r, J_NETSETS);
	struct jendpoint *e = &w->set[i], old = *e;

	touch(c, e);
	world_random_set(r, w, i);
	e->ns = old.ns;
	touch(c, e);
	snprintf(c->what, sizeof(c->what), "network set %s", e->name);
}

static void change_namespace(struct rng *r, struct jworld *w, struct world_change *c)
{
	int ns = rng_below(r, J_NAMESPACES);

	w->ns[ns].exists = !rng_one_in(r, 3);
	world_random_labels(r, &w->ns[ns].labels, false);
	for (int i = 0; i < J_PODS; i++)
		if (w->pod[i].ns == ns)
			touch(c, &w->pod[i]);
	for (int i = 0; i < J_NETSETS; i++)
		if (w->set[i].ns == ns)
			touch(c, &w->set[i]);
	snprintf(c->what, sizeof(c->what), "namespace n%d", ns);
}

static void touch_service(struct world_change *c, const struct jservice *s)
{
	for (int i = 0; i < s->n_addr; i++)
		c->net[c->n_net++] = s->addr[i];
}

static void change_service(struct rng *r, struct jworld *w, struct world_change *c)
{
	int i = rng_below(r, J_SERVICES);

	touch_service(c, &w->service[i]);
	world_random_service(r, &w->service[i]);
	touch_service(c, &w->service[i]);
	snprintf(c->what, sizeof(c->what), "service svc%d", i);
}

bool world_change(struct rng *r, struct jworld *w, struct world_change *out)
{
	static void (*const changes[])(struct rng *, struct jworld *, struct world_change *) = {
		change_policy, change_policy, change_policy,	change_policy, change_tier,
		change_pod,    change_set,    change_namespace, change_service
	};

	memset(out, 0, sizeof(*out));
	if (w->n_node > J_NODES - ROOM)
		return false;
	changes[rng_below(r, (int)(sizeof(changes) / sizeof(changes[0])))](r, w, out);
	return true;
}
