/* tables_seats.c - which endpoint sits on which interface, and the way there
 *
 * A pod's endpoint names its interface. A host endpoint names one, or is found by its addresses, or
 * is "*", which all interfaces without one of their own share.
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/tables_impl.h"

#include <stdlib.h>
#include <string.h>

#include "model/hostendpoint.h"

#define ANY_SEAT "any-interface-at-all"

enum { PODS, HOST };

/* ---- endpoints ---- */

static void made_drop(struct made_vec *v)
{
	for (size_t i = 0; i < v->n; i++)
		tables_body_unref(v->p[i].body);
	vec_done(v);
}

/* The chain of the endpoint is the last that was rendered, groups are before it. */
static void make(struct tables *t, const struct calc_endpoint *ep, enum render_endpoint_kind kind,
		 bool ingress, enum table_id table, struct made_vec *out)
{
	struct chains chains = { 0 };

	render_endpoint(&t->cfg, ep, "", kind, ingress, table, &chains);
	for (size_t i = 0; i < chains.n; i++) {
		bool group = i + 1 < chains.n;
		bool named = group || (kind == RENDER_WORKLOAD && t->cfg.share_endpoints);
		struct body *b = named ? tables_body_share(t, table, &chains.p[i])
				       : tables_body_new(&chains.p[i]);

		vec_push(out, (struct made) { table, kind, ingress, named, group, b });
	}
	chains_done(&chains);
}

static void make_host(struct tables *t, const struct calc_endpoint *ep, struct made_vec *out)
{
	for (int in = 0; in < 2; in++) {
		make(t, ep, RENDER_HOST, in, TABLE_FILTER, out);
		make(t, ep, RENDER_HOST_FORWARD, in, TABLE_FILTER, out);
		if (ep->tiers[CLASS_UNTRACKED].n)
			make(t, ep, RENDER_HOST_RAW, in, TABLE_RAW, out);
	}
	make(t, ep, RENDER_HOST, false, TABLE_MANGLE, out);
	if (ep->tiers[CLASS_PRE_DNAT].n)
		make(t, ep, RENDER_HOST_PREDNAT, true, TABLE_MANGLE, out);
}

static char *owner_key(enum endpoint_kind kind, const char *id)
{
	return xasprintf("%c%s", kind == ENDPOINT_HOST ? 'h' : 'w', id);
}

static struct owner *owner_find(struct tables *t, enum endpoint_kind kind, const char *id)
{
	CLEANUP(freep) char *key = owner_key(kind, id);
	struct owner *o;

	HASH_FIND_STR(t->owners, key, o);
	return o;
}

static void owner_set_addrs(struct owner *o, const struct calc_endpoint *ep)
{
	free(o->addr);
	o->n_addr = ep->n_net;
	o->addr = xcalloc(ep->n_net + 1, sizeof(*o->addr));
	for (size_t i = 0; i < ep->n_net; i++)
		o->addr[i] = ep->net[i].addr;
}

/* Whoever shows this owner's chains must show them anew. */
static void leave_seats(struct tables *t, const struct owner *o)
{
	int side = o->kind == ENDPOINT_HOST ? HOST : PODS;

	for (struct seat *s = t->seats[side]; s; s = s->hh.next)
		if (s->owner == o)
			s->owner = NULL;
	t->seats_dirty[side] = true;
}

void tables_owner_set(struct tables *t, const struct calc_endpoint *ep)
{
	struct owner *o = owner_find(t, ep->kind, ep->id);

	if (!o) {
		o = xcalloc(1, sizeof(*o));
		o->key = owner_key(ep->kind, ep->id);
		o->kind = ep->kind;
		HASH_ADD_KEYPTR(hh, t->owners, o->key, strlen(o->key), o);
		t->n_hosts += o->kind == ENDPOINT_HOST;
	}
	free(o->interface);
	o->interface = xstrdup(ep->interface);
	owner_set_addrs(o, ep);
	tables_owner_spoof(t, o, ep);
	leave_seats(t, o);
	made_drop(&o->made);
	if (ep->kind == ENDPOINT_HOST) {
		make_host(t, ep, &o->made);
	} else {
		make(t, ep, RENDER_WORKLOAD, true, TABLE_FILTER, &o->made);
		make(t, ep, RENDER_WORKLOAD, false, TABLE_FILTER, &o->made);
	}
}

static void owner_free(struct tables *t, struct owner *o)
{
	HASH_DEL(t->owners, o);
	t->n_hosts -= o->kind == ENDPOINT_HOST;
	made_drop(&o->made);
	free(o->key);
	free(o->interface);
	free(o->addr);
	free(o->spoof);
	free(o);
}

void tables_owner_gone(struct tables *t, enum endpoint_kind kind, const char *id)
{
	struct owner *o = owner_find(t, kind, id);

	if (!o)
		return;
	t->spoof_dirty |= o->n_spoof != 0;
	leave_seats(t, o);
	owner_free(t, o);
}

/* ---- interfaces of the host ---- */

static void ifaces_done(struct tables *t)
{
	vec_foreach (&t->ifaces, i) {
		free(i->name);
		free(i->addr);
	}
	vec_clear(&t->ifaces);
}

void tables_interfaces(struct tables *t, const struct host_interface *list, size_t n)
{
	ifaces_done(t);
	for (size_t i = 0; i < n; i++)
		vec_push(&t->ifaces,
			 (struct iface) {
				 xstrdup(list[i].name),
				 xmemdup(list[i].addr, list[i].n_addr * sizeof(*list[i].addr)),
				 list[i].n_addr });
	t->seats_dirty[HOST] = true;
	tables_seat(t);
}

static bool has_addr(const struct owner *o, const struct iface *i)
{
	for (size_t a = 0; a < o->n_addr; a++)
		for (size_t b = 0; b < i->n_addr; b++)
			if (addr_eq(&o->addr[a], &i->addr[b]))
				return true;
	return false;
}

static bool is_for(const struct owner *o, const struct iface *i)
{
	if (o->interface && *o->interface)
		return !strcmp(o->interface, i->name);
	return has_addr(o, i);
}

/* ---- seats ---- */

static struct seat *seat_get(struct tables *t, int side, const char *name)
{
	struct seat *s;

	HASH_FIND_STR(t->seats[side], name, s);
	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	HASH_ADD_KEYPTR(hh, t->seats[side], s->name, strlen(s->name), s);
	return s;
}

/* The chains of an owner under an interface's name. */
static void sit(struct tables *t, struct seat *s, const struct owner *o)
{
	struct made_vec made = { 0 };

	for (size_t i = 0; i < o->made.n; i++) {
		struct made m = o->made.p[i];
		struct chain copy = { .name = m.body->c.name };

		if (m.named) {
			m.body->refs++;
			vec_push(&made, m);
			continue;
		}
		copy.name = render_endpoint_chain(s->name, m.kind, m.ingress);
		for (size_t r = 0; r < m.body->c.n; r++) {
			const struct chain_rule *rule = &m.body->c.p[r];

			vec_push(&copy,
				 (struct chain_rule) { xstrdup(rule->text), xstrdup(rule->target),
						       rule->is_return });
		}
		m.body = tables_body_new(&copy);
		vec_push(&made, m);
	}
	s->owner = o;
	tables_install(t, &s->made, &made);
}

struct claim {
	const char *seat;
	const struct owner *owner;
	struct seat *at; /* once they sit */
};

struct claims {
	struct claim *p;
	size_t n, cap;
};

static void claim(struct claims *v, const char *seat, const struct owner *o)
{
	for (size_t i = 0; i < v->n; i++) {
		if (strcmp(v->p[i].seat, seat))
			continue;
		if (strcmp(o->key, v->p[i].owner->key) < 0)
			v->p[i].owner = o;
		return;
	}
	vec_push(v, (struct claim) { seat, o, NULL });
}

static int by_seat(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int rc = strcmp(x->seat, y->seat);

	return rc ? rc : strcmp(x->owner->key, y->owner->key);
}

/* One claim for each interface: the first by id. */
static void settle_pods(const struct tables *t, struct claims *v)
{
	size_t n = 0;

	for (const struct owner *o = t->owners; o; o = o->hh.next)
		if (o->kind == ENDPOINT_WORKLOAD && o->interface && *o->interface)
			vec_push(v, (struct claim) { o->interface, o, NULL });
	if (v->n)
		qsort(v->p, v->n, sizeof(*v->p), by_seat);
	for (size_t i = 0; i < v->n; i++)
		if (!n || strcmp(v->p[n - 1].seat, v->p[i].seat))
			v->p[n++] = v->p[i];
	v->n = n;
}

static void settle_host(const struct tables *t, struct claims *v)
{
	for (const struct owner *o = t->owners; o; o = o->hh.next) {
		if (o->kind != ENDPOINT_HOST)
			continue;
		if (str_eq(o->interface, HEP_ANY_INTERFACE)) {
			claim(v, ANY_SEAT, o);
			continue;
		}
		for (size_t i = 0; i < t->ifaces.n; i++)
			if (is_for(o, &t->ifaces.p[i]))
				claim(v, t->ifaces.p[i].name, o);
	}
	if (v->n)
		qsort(v->p, v->n, sizeof(*v->p), by_seat);
}

static bool is_claimed(const struct claims *v, const char *seat)
{
	size_t low = 0, high = v->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int rc = strcmp(v->p[mid].seat, seat);

		if (!rc)
			return true;
		if (rc < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

static void seat_free(struct tables *t, int side, struct seat *s)
{
	struct made_vec none = { 0 };

	tables_install(t, &s->made, &none);
	HASH_DEL(t->seats[side], s);
	free(s->name);
	free(s);
}

/* ---- the way there ---- */

/* One tree of dispatch. */
struct tree {
	const char *root;
	enum table_id table;
	enum render_endpoint_kind kind;
	bool in, ingress;
};

static const struct tree pod_trees[] = {
	{ "cali-from-wl-dispatch", TABLE_FILTER, RENDER_WORKLOAD, true, false },
	{ "cali-to-wl-dispatch", TABLE_FILTER, RENDER_WORKLOAD, false, true },
};

static const struct tree host_trees[] = {
	{ "cali-from-host-endpoint", TABLE_FILTER, RENDER_HOST, true, true },
	{ "cali-to-host-endpoint", TABLE_FILTER, RENDER_HOST, false, false },
	{ "cali-from-hep-forward", TABLE_FILTER, RENDER_HOST_FORWARD, true, true },
	{ "cali-to-hep-forward", TABLE_FILTER, RENDER_HOST_FORWARD, false, false },
	{ "cali-from-host-endpoint", TABLE_MANGLE, RENDER_HOST_PREDNAT, true, true },
	{ "cali-to-host-endpoint", TABLE_MANGLE, RENDER_HOST, false, false },
	{ "cali-from-host-endpoint", TABLE_RAW, RENDER_HOST_RAW, true, true },
	{ "cali-to-host-endpoint", TABLE_RAW, RENDER_HOST_RAW, false, false },
};

/* The chain that somebody on this interface has for this tree; NULL. */
static const struct body *chain_for(const struct claim *c, const struct tree *tree)
{
	const struct made_vec *v = &c->at->made;

	for (size_t i = 0; i < v->n; i++)
		if (!v->p[i].group && v->p[i].table == tree->table && v->p[i].kind == tree->kind &&
		    v->p[i].ingress == tree->ingress)
			return v->p[i].body;
	return NULL;
}

/* Packets of interfaces without an endpoint go to the one for any; not those of an interface whose
 * own endpoint merely has nothing to say here. */
static void any_end(const struct tables *t, const struct tree *tree, const struct claims *v,
		    struct chain *end)
{
	struct chain_name chain = render_endpoint_chain(ANY_SEAT, tree->kind, tree->ingress);
	CLEANUP(freep) char *action = xasprintf("--goto %s", chain.text);

	for (size_t i = 0; !strcmp(tree->root, "cali-to-host-endpoint") && i < t->cfg.n_prefix;
	     i++) {
		CLEANUP(freep) char *match = xasprintf("--out-interface %s+", t->cfg.prefix[i]);

		chain_add(end, NULL, match, "--jump RETURN");
	}
	for (size_t i = 0; i < v->n; i++) {
		CLEANUP(freep)
		char *match = xasprintf("--%s-interface %s", tree->in ? "in" : "out", v->p[i].seat);

		if (!chain_for(&v->p[i], tree))
			chain_add(end, NULL, match, "--jump RETURN");
	}
	chain_add(end, NULL, NULL, action);
}

/* Where a pod's packets go, for who asks (tables_pod_way). */
static void note_ways(struct tables *t, const struct tree *tree, const struct dispatch *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct seat *s = seat_get(t, PODS, d->row[i].interface);

		s->way[tree->ingress] = (struct pod_way) { d->row[i].by, d->row[i].chain };
	}
}

/* To state hundreds of rows only to find that none has changed takes a third of a millisecond. */
static bool is_planted(const struct tables *t, const struct tree *tree, const struct claims *v)
{
	size_t n = 0;

	if (tree->kind != RENDER_WORKLOAD || !t->planted[tree->ingress])
		return false;
	for (size_t i = 0; i < v->n; i++) {
		const struct body *b = chain_for(&v->p[i], tree);

		if (!b)
			continue;
		n++;
		if (strcmp(v->p[i].at->way[tree->ingress].own.text, b->c.name.text))
			return false;
	}
	return n == t->n_planted[tree->ingress];
}

static void plant(struct tables *t, const struct tree *tree, const struct claims *v)
{
	CLEANUP(freep) char *key = xasprintf("d%d %s", (int)tree->table, tree->root);
	VEC(struct dispatch_row) rows = { 0 };
	struct chain end = { 0 };
	struct dispatch d = { .root = tree->root, .in = tree->in, .end = &end };
	struct made_vec made = { 0 };
	struct chains chains = { 0 };

	for (size_t i = 0; i < v->n; i++) {
		const struct body *b = chain_for(&v->p[i], tree);

		if (!b)
			continue;
		if (tree->kind != RENDER_WORKLOAD && !strcmp(v->p[i].seat, ANY_SEAT))
			any_end(t, tree, v, &end);
		else
			vec_push(&rows, (struct dispatch_row) { .interface = v->p[i].seat,
								.chain = b->c.name });
	}
	if (tree->kind == RENDER_WORKLOAD)
		render_unknown_interface(&t->cfg, &end);
	d.row = rows.p;
	d.n = rows.n;
	render_dispatch(&d, &chains);
	if (tree->kind == RENDER_WORKLOAD) {
		note_ways(t, tree, &d);
		t->planted[tree->ingress] = true;
		t->n_planted[tree->ingress] = d.n;
	}
	vec_foreach (&chains, c)
		vec_push(&made, (struct made) { .table = tree->table, .body = tables_body_new(c) });
	tables_set_row(t, key, &made);
	chains_done(&chains);
	chain_done(&end);
	vec_done(&rows);
}

bool tables_pod_way(const struct tables *t, const char *interface, bool ingress,
		    struct pod_way *out)
{
	struct seat *s;

	HASH_FIND_STR(t->seats[PODS], interface, s);
	if (!s)
		return false;
	*out = s->way[ingress];
	return true;
}

static void seat_side(struct tables *t, int side)
{
	const struct tree *tree = side == PODS ? pod_trees : host_trees;
	size_t n = side == PODS ? ARRAY_SIZE(pod_trees) : ARRAY_SIZE(host_trees);
	struct claims v = { 0 };
	struct seat *s, *next;

	if (side == PODS)
		settle_pods(t, &v);
	else
		settle_host(t, &v);
	for (size_t i = 0; i < v.n; i++) {
		s = seat_get(t, side, v.p[i].seat);
		if (s->owner != v.p[i].owner)
			sit(t, s, v.p[i].owner);
		v.p[i].at = s;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_planted(t, &tree[i], &v))
			plant(t, &tree[i], &v);
	HASH_ITER (hh, t->seats[side], s, next)
		if (!is_claimed(&v, s->name))
			seat_free(t, side, s);
	vec_done(&v);
	t->seats_dirty[side] = false;
}

void tables_seat(struct tables *t)
{
	for (int side = PODS; side <= HOST; side++)
		if (t->seats_dirty[side])
			seat_side(t, side);
}

void tables_free_seats(struct tables *t)
{
	struct owner *o, *next_owner;
	struct seat *s, *next;

	for (int side = PODS; side <= HOST; side++)
		HASH_ITER (hh, t->seats[side], s, next)
			seat_free(t, side, s);
	HASH_ITER (hh, t->owners, o, next_owner)
		owner_free(t, o);
	ifaces_done(t);
	vec_done(&t->ifaces);
}
