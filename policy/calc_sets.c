/* calc_sets.c - which sets are in use, and who is in them
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/calc_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- what endpoints give ---- */

struct gives *calc_gives_make(struct calc *c, const struct endpoint *e)
{
	size_t nets = sizeof(struct gives) + e->n_net * sizeof(struct prefix);
	/* Ports are aligned to 4. */
	size_t at = (nets + 3) & ~(size_t)3;
	struct gives *g = xcalloc(1, at + e->n_port * sizeof(struct gives_port));

	g->n_net = (uint32_t)e->n_net;
	g->n_port = (uint32_t)e->n_port;
	g->port = (struct gives_port *)(void *)((char *)g + at);
	for (size_t i = 0; i < e->n_net; i++)
		g->net[i] = prefix_mask(&e->net[i]);
	for (size_t i = 0; i < e->n_port; i++)
		g->port[i] = (struct gives_port) { intern_get(c->in, 0, e->port[i].name),
						   e->port[i].proto, e->port[i].port };
	return g;
}

bool calc_gives_equal(const struct gives *a, const struct gives *b)
{
	if (!a || !b || a->n_net != b->n_net || a->n_port != b->n_port)
		return false;
	for (uint32_t i = 0; i < a->n_net; i++)
		if (!prefix_eq(&a->net[i], &b->net[i]))
			return false;
	for (uint32_t i = 0; i < a->n_port; i++)
		if (a->port[i].name != b->port[i].name || a->port[i].proto != b->port[i].proto ||
		    a->port[i].port != b->port[i].port)
			return false;
	return true;
}

void calc_gives_free(struct calc *c, struct gives *g)
{
	if (!g)
		return;
	for (uint32_t i = 0; i < g->n_port; i++)
		intern_unref(c->in, g->port[i].name);
	free(g);
}

static void mark_set(struct calc *c, struct set *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	vec_push(&c->dirty_sets, s);
}

static void change_member(struct calc *c, struct set *s, const struct member *m, bool add)
{
	size_t before = s->members.count;

	if (add ? members_add(&s->members, m) : members_del(&s->members, m))
		mark_set(c, s);
	c->n_members += s->members.count - before;
}

static void give_ports(struct calc *c, struct set *s, const struct gives *g, bool add)
{
	for (uint32_t i = 0; i < g->n_port; i++) {
		const struct gives_port *p = &g->port[i];

		if (p->name != s->port_name ||
		    (s->def->proto != SETDEF_PROTO_ANY && s->def->proto != p->proto))
			continue;
		for (uint32_t j = 0; j < g->n_net; j++) {
			struct member m = { g->net[j], p->proto, p->port };

			if (m.net.len == addr_bits(m.net.addr.family))
				change_member(c, s, &m, add);
		}
	}
}

void calc_set_give(struct calc *c, struct set *s, const struct gives *g, bool add)
{
	if (s->def->kind == SETDEF_PORT) {
		give_ports(c, s, g, add);
		return;
	}
	for (uint32_t i = 0; i < g->n_net; i++) {
		struct member m = { .net = g->net[i] };

		change_member(c, s, &m, add);
	}
}

void calc_apply_all(struct calc *c)
{
	vec_foreach (&c->changes, change) {
		const struct ep *ep = labels_item_user(c->all, change->item);

		calc_set_give(c, labels_selector_user(c->all, change->sel), ep->gives, change->on);
	}
	vec_clear(&c->changes);
}

/* ---- services ---- */

static void slice_give(struct calc *c, struct set *s, const struct slice *sl, bool add)
{
	for (size_t i = 0; s && i < sl->n_addr; i++) {
		struct member m = { .net = prefix_of(&sl->addr[i], 128) };

		if (s->def->kind == SETDEF_SERVICE_ADDRS)
			change_member(c, s, &m, add);
		for (size_t j = 0; s->def->kind == SETDEF_SERVICE && j < sl->n_port; j++) {
			m.proto = sl->port[j].proto;
			m.port = sl->port[j].port;
			change_member(c, s, &m, add);
		}
	}
}

static struct service *service_get(struct calc *c, const char *name)
{
	struct service *s;

	HASH_FIND_STR(c->services, name, s);
	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, c->services, s->name, strlen(s->name), s);
	return s;
}

static void service_drop_if_unused(struct calc *c, struct service *s)
{
	if (s->slices || s->with_ports || s->addrs)
		return;
	HASH_DEL(c->services, s);
	free(s->name);
	free(s);
}

static void slice_free(struct calc *c, struct slice *sl)
{
	struct service *s = sl->service;
	struct slice **at = &s->slices;

	slice_give(c, s->with_ports, sl, false);
	slice_give(c, s->addrs, sl, false);
	while (*at != sl)
		at = &(*at)->next;
	*at = sl->next;
	HASH_DEL(c->slices, sl);
	service_drop_if_unused(c, s);
	free(sl->id);
	free(sl->addr);
	free(sl->port);
	free(sl);
}

void calc_slice_gone(struct calc *c, const char *id)
{
	struct slice *sl;

	HASH_FIND_STR(c->slices, id, sl);
	if (sl)
		slice_free(c, sl);
}

static struct slice *slice_new(const struct service_slice *in)
{
	struct slice *sl = xcalloc(1, sizeof(*sl));

	sl->id = xstrdup(in->id);
	sl->n_addr = in->n_addr;
	sl->addr = xmemdup(in->addr, in->n_addr * sizeof(*in->addr));
	sl->port = xcalloc(in->n_port + 1, sizeof(*sl->port));
	for (size_t i = 0; i < in->n_port; i++)
		if (in->port[i].port && proto_has_ports(in->port[i].proto))
			sl->port[sl->n_port++] =
				(struct gives_port) { 0, in->port[i].proto, in->port[i].port };
	return sl;
}

void calc_slice(struct calc *c, const struct service_slice *in)
{
	struct slice *sl = slice_new(in), *old;
	struct service *s = service_get(c, in->service);

	sl->service = s;
	sl->next = s->slices;
	s->slices = sl;
	slice_give(c, s->with_ports, sl, true);
	slice_give(c, s->addrs, sl, true);
	HASH_FIND_STR(c->slices, in->id, old);
	if (old)
		slice_free(c, old);
	HASH_ADD_KEYPTR(hh, c->slices, sl->id, strlen(sl->id), sl);
}

/* ---- sets in use ---- */

static void use_service(struct calc *c, struct set *s)
{
	struct service *service = service_get(c, s->def->service);

	if (s->def->kind == SETDEF_SERVICE)
		service->with_ports = s;
	else
		service->addrs = s;
	for (struct slice *sl = service->slices; sl; sl = sl->next)
		slice_give(c, s, sl, true);
}

static void use_set(struct calc *c, struct set *s)
{
	switch (s->def->kind) {
	case SETDEF_PORT:
		s->port_name = intern_get(c->in, 0, s->def->port);
		s->sel = labels_selector_add(c->all, s->def->sel, s, &c->changes);
		calc_apply_all(c);
		break;
	case SETDEF_SELECTOR:
		s->sel = labels_selector_add(c->all, s->def->sel, s, &c->changes);
		calc_apply_all(c);
		break;
	case SETDEF_SERVICE:
	case SETDEF_SERVICE_ADDRS:
		use_service(c, s);
		break;
	case SETDEF_NETS:
		for (size_t i = 0; i < s->def->n_nets; i++) {
			struct member m = { .net = s->def->nets[i] };

			change_member(c, s, &m, true);
		}
		break;
	}
}

static struct set *set_get(struct calc *c, struct setdef *def)
{
	struct set *s;

	HASH_FIND_STR(c->sets, def->id, s);
	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->def = setdef_ref(def);
	HASH_ADD_KEYPTR(hh, c->sets, s->def->id, strlen(s->def->id), s);
	mark_set(c, s);
	use_set(c, s);
	return s;
}

static void set_free(struct calc *c, struct set *s)
{
	struct service *service;

	if (s->sel) {
		labels_selector_del(c->all, s->sel, &c->changes);
		vec_clear(&c->changes);
	}
	if (s->def->service) {
		service = service_get(c, s->def->service);
		if (service->with_ports == s)
			service->with_ports = NULL;
		if (service->addrs == s)
			service->addrs = NULL;
		service_drop_if_unused(c, service);
	}
	c->n_members -= s->members.count;
	intern_unref(c->in, s->port_name);
	members_done(&s->members);
	HASH_DEL(c->sets, s);
	setdef_unref(s->def);
	free(s);
}

struct holder {
	struct calc *c;
	struct set_refs refs;
};

static void hold_one(void *arg, struct setdef *def)
{
	struct holder *h = arg;
	struct set *s = set_get(h->c, def);

	if (s->holder == h->c->n_holders)
		return;
	s->holder = h->c->n_holders;
	s->refs++;
	vec_push(&h->refs, s);
}

void calc_let_sets_go(struct calc *c, struct set_refs *refs)
{
	for (size_t i = 0; i < refs->n; i++)
		if (!--refs->p[i]->refs)
			mark_set(c, refs->p[i]);
	vec_done(refs);
}

void calc_hold_sets(struct calc *c, struct set_refs *refs, const struct rules *in,
		    const struct rules *out)
{
	struct holder h = { .c = c };

	c->n_holders++;
	rules_each_set(in, hold_one, &h);
	rules_each_set(out, hold_one, &h);
	calc_let_sets_go(c, refs);
	*refs = h.refs;
}

static void flush_set(struct calc *c, struct set *s)
{
	struct calc_set fx = { .def = s->def, .created = !s->told };

	s->dirty = false;
	if (!s->refs) {
		if (s->told)
			vec_push(&c->fx.sets_gone, setdef_ref(s->def));
		set_free(c, s);
		return;
	}
	members_take(&s->members, &fx.added, &fx.gone);
	if (fx.created || fx.added.n || fx.gone.n) {
		vec_push(&c->fx.sets, fx);
		s->told = true;
	} else {
		vec_done(&fx.added);
		vec_done(&fx.gone);
	}
}

void calc_flush_sets(struct calc *c)
{
	for (size_t i = 0; i < c->dirty_sets.n; i++)
		flush_set(c, c->dirty_sets.p[i]);
	vec_clear(&c->dirty_sets);
}

void calc_restate_sets(struct calc *c)
{
	for (struct set *s = c->sets; s; s = s->hh.next) {
		s->told = false;
		members_forget(&s->members);
		mark_set(c, s);
	}
}

void calc_free_sets(struct calc *c)
{
	struct set *s, *next_set;
	struct slice *sl, *next_slice;

	HASH_ITER (hh, c->sets, s, next_set)
		set_free(c, s);
	HASH_ITER (hh, c->slices, sl, next_slice)
		slice_free(c, sl);
}
