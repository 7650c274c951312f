/* route_value.c - what a route says beyond its key, interned
 * WHY    A hundred thousand prefixes of a peer share one next hop set: one object, compared by
 *        pointer. Names become indexes here, so the same want survives a link that is made anew.
 * SHAPE  A body without padding surprises (zeroed, hops sorted) is its own hash key. */
#include <stdlib.h>
#include <string.h>

#include "dataplane/route_table.h"

enum { SMALL_NH = 8 }; /* hops; most fabrics have no more */

_Static_assert(offsetof(struct route_value, nh) ==
		       offsetof(struct route_value, body) + sizeof(struct route_body),
	       "body and hops are hashed as one");

static uint32_t *head_of(void *value)
{
	return &((struct route_value *)value)->first;
}

void route_value_ref(void *ctx, void *value)
{
	((struct route_value *)value)->refs++;
}

static void drop_resolved(struct route_table *rt, struct route_value *v)
{
	struct route_value *r = v->resolved;

	v->resolved = NULL;
	if (r && r != v)
		route_value_unref(rt, r);
}

void route_value_unref(void *ctx, void *value)
{
	struct route_table *rt = ctx;
	struct route_value *v = value;

	if (--v->refs)
		return;
	HASH_DEL(rt->values, v);
	drop_resolved(rt, v);
	free(v);
}

static bool same(void *ctx, void *want, void *have)
{
	return route_value_resolve(ctx, want) == have;
}

const struct delta_type route_delta_type = {
	.key_size = sizeof(struct route_key),
	.same = same,
	.ref = route_value_ref,
	.unref = route_value_unref,
	.head = head_of,
};

static int nh_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct route_nh));
}

/* Byte-comparable form of a hop: fields set one by one into zeroed memory. */
static void copy_nh(struct route_nh *to, const struct route_nh *from)
{
	memset(to, 0, sizeof(*to));
	to->gw = from->gw;
	to->ifindex = from->ifindex;
	if (!from->ifindex)
		str_copy(to->ifname, sizeof(to->ifname), from->ifname);
	to->weight = from->weight ? from->weight : 1;
	to->onlink = from->onlink;
}

static void fill(struct route_table *rt, struct route_value *v, const struct route_spec *s)
{
	v->body.type = (uint8_t)(s->type ? s->type : ROUTE_UNICAST);
	v->body.protocol = s->protocol ? s->protocol : rt->cfg.protocol;
	v->body.scope = s->scope;
	v->body.mtu = s->mtu;
	v->body.src = s->src;
	v->body.n_nh = s->n_nh;
	for (unsigned i = 0; i < s->n_nh; i++)
		copy_nh(&v->nh[i], &s->nh[i]);
	/* The weight of an only hop means nothing, and the kernel does not keep it. */
	if (s->n_nh == 1)
		v->nh[0].weight = 1;
	if (s->n_nh > 1)
		qsort(v->nh, s->n_nh, sizeof(v->nh[0]), nh_cmp);
}

/* Kept, with no reference yet. */
static struct route_value *keep(struct route_table *rt, const struct route_value *v, size_t whole)
{
	struct route_value *kept = xmemdup(v, whole);

	kept->first = DELTA_NONE;
	kept->generation = rt->link_generation - 1;
	HASH_ADD_KEYPTR(hh, rt->values, &kept->body, kept->size, kept);
	return kept;
}

/* Mostly there is an equal one: what is looked for is made on the stack, but for very wide routes. */
struct route_value *route_value_intern(struct route_table *rt, const struct route_spec *s,
				       bool foreign, bool unusual)
{
	union {
		struct route_value v;
		uint8_t room[sizeof(struct route_value) + SMALL_NH * sizeof(struct route_nh)];
	} small;
	size_t size = sizeof(struct route_body) + s->n_nh * sizeof(struct route_nh);
	size_t whole = offsetof(struct route_value, body) + size;
	struct route_value *large = s->n_nh > SMALL_NH ? xmalloc(whole) : NULL;
	struct route_value *v = large ? large : &small.v, *old;

	memset(v, 0, whole);
	v->size = size;
	v->body.foreign = foreign;
	v->body.unusual = unusual ? ++rt->unusual : 0;
	fill(rt, v, s);
	HASH_FIND(hh, rt->values, &v->body, size, old);
	if (!old)
		old = keep(rt, v, whole);
	free(large);
	old->refs++;
	return old;
}

struct route_value *route_value_unknown(struct route_table *rt, uint8_t protocol)
{
	struct route_spec s = { .type = (enum route_type)ROUTE_UNKNOWN,
				.protocol = protocol,
				.scope = ROUTE_SCOPE_ANY };

	return route_value_intern(rt, &s, false, false);
}

static const struct link *link_of(const struct route_table *rt, const struct route_nh *nh)
{
	return nh->ifindex ? link_by_index(rt->links, nh->ifindex)
			   : link_by_name(rt->links, nh->ifname);
}

/* A reference to the resolved form, or NULL. */
static struct route_value *resolve(struct route_table *rt, struct route_value *v)
{
	struct route_nh nh[ROUTE_NH_MAX];
	struct route_spec s = route_value_spec(v);

	s.n_nh = 0;
	s.nh = nh;
	for (unsigned i = 0; i < v->body.n_nh; i++) {
		const struct link *l = link_of(rt, &v->nh[i]);

		if (!l || !l->up)
			continue;
		nh[s.n_nh] = v->nh[i];
		nh[s.n_nh++].ifindex = l->index;
	}
	if (v->body.n_nh && !s.n_nh)
		return NULL;
	return route_value_intern(rt, &s, false, false);
}

struct route_value *route_value_resolve(struct route_table *rt, struct route_value *v)
{
	struct route_value *r;

	if (v->generation == rt->link_generation)
		return v->resolved;
	r = resolve(rt, v);
	drop_resolved(rt, v);
	v->resolved = r;
	v->generation = rt->link_generation;
	if (r == v) /* a reference to itself would keep it for ever */
		v->refs--;
	return r;
}

bool route_value_uses(const struct route_value *v, const struct link *l)
{
	for (unsigned i = 0; i < v->body.n_nh; i++) {
		const struct route_nh *nh = &v->nh[i];

		if (nh->ifindex ? nh->ifindex == l->index : str_eq(nh->ifname, l->name))
			return true;
	}
	return false;
}

struct route_spec route_value_spec(const struct route_value *v)
{
	return (struct route_spec) {
		.type = (enum route_type)v->body.type,
		.protocol = v->body.protocol,
		.scope = v->body.scope,
		.mtu = v->body.mtu,
		.src = v->body.src,
		.n_nh = v->body.n_nh,
		.nh = v->nh,
	};
}
