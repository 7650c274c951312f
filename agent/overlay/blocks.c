/* blocks.c - the blocks that this node holds
 * SHAPE  Affinities are read from the picture as a whole whenever one of them or a local endpoint
 *        changed: a node has a handful of blocks. Addresses of local endpoints are remembered as they
 *        come: reading hundreds of objects anew at each pod would be most of its ADD, and those of
 *        other nodes are none of our business. Changes of one loop turn are one reading.
 * SPEC   confirmed: blackhole, announced. pendingDeletion: the blackhole stays until the affinity
 *        is gone. pending: nothing. A block of one address needs no blackhole. DIFFERS: Calico goes
 *        on announcing a block in pendingDeletion. */
#include "agent/overlay/blocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <uthash.h>

#include "agent/agent.h"
#include "agent/cache.h"
#include "agent/config.h"
#include "agent/log.h"
#include "agent/bgp/peering.h"
#include "agent/routes.h"
#include "agent/cni/epobj.h"
#include "lib/vec.h"
#include "model/affinity.h"
#include "model/ipamkey.h"
#include "model/wep.h"

struct prefix_vec {
	struct prefix *p;
	size_t n, cap;
};

/* A pod of this node. */
struct holder {
	UT_hash_handle hh; /* by key */
	char *key;
	struct prefix nets[WEP_NETS_MAX];
	unsigned n;
};

struct blocks {
	struct agent *agent;
	char *own; /* how the names of this node's endpoints begin */
	struct holder *holders;
	char *prefix; /* of our affinities' keys */
	struct event *turn;
	bool started;
	struct prefix_vec confirmed, holes, borrowed;
};

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(a, b);
}

static void sort(struct prefix_vec *v)
{
	if (v->n)
		qsort(v->p, v->n, sizeof(*v->p), by_prefix);
}

static bool same(const struct prefix_vec *a, const struct prefix_vec *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n * sizeof(*a->p)) == 0);
}

static bool has(const struct prefix_vec *v, const struct prefix *p)
{
	return v->n && bsearch(p, v->p, v->n, sizeof(*v->p), by_prefix);
}

static void replace(struct prefix_vec *old, struct prefix_vec *fresh)
{
	vec_done(old);
	*old = *fresh;
}

/* ---- reading ---- */

struct reading {
	const struct blocks *b;
	struct prefix_vec confirmed, holes, borrowed;
};

static bool read_affinity(void *arg, const struct store_kv *kv)
{
	struct reading *r = arg;
	struct prefix cidr;
	struct affinity aff;
	struct err e = { 0 };
	char *owner;

	if (!ipamkey_parse_affinity(kv->key, &owner, &cidr))
		return true;
	free(owner);
	if (affinity_decode(kv->value, strlen(kv->value), &aff, &e) < 0) {
		log_from(kv->key, LOG_LEVEL_WARN, "blocks",
			 "cannot read an affinity; passing it over", "key=%s why=%s", kv->key,
			 e.msg);
		return true;
	}
	if (aff.state != AFFINITY_PENDING && cidr.len < addr_bits((enum ip_family)cidr.addr.family))
		vec_push(&r->holes, cidr);
	if (aff.state == AFFINITY_CONFIRMED && !aff.deleted)
		vec_push(&r->confirmed, cidr);
	affinity_done(&aff);
	return true;
}

static bool is_own(const struct prefix_vec *blocks, const struct addr *a)
{
	for (size_t i = 0; i < blocks->n; i++)
		if (prefix_contains(&blocks->p[i], a))
			return true;
	return false;
}

static void read_holders(struct reading *r)
{
	for (const struct holder *h = r->b->holders; h; h = h->hh.next)
		for (unsigned i = 0; i < h->n; i++)
			if (!is_own(&r->confirmed, &h->nets[i].addr))
				vec_push(&r->borrowed, h->nets[i]);
}

/* ---- pods ---- */

static void holder_drop(struct blocks *b, struct holder *h)
{
	if (!h)
		return;
	HASH_DEL(b->holders, h);
	free(h->key);
	free(h);
}

static struct holder *holder_find(const struct blocks *b, const char *key)
{
	struct holder *h;

	HASH_FIND_STR(b->holders, key, h);
	return h;
}

static struct holder *holder_get(struct blocks *b, const char *key)
{
	struct holder *h = holder_find(b, key);

	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->key = xstrdup(key);
	HASH_ADD_KEYPTR(hh, b->holders, h->key, strlen(h->key), h);
	return h;
}

/* True when the addresses of this node's pods are others now. */
static bool take_wep(struct blocks *b, const struct store_kv *kv)
{
	struct holder *h;
	struct epobj w;
	bool here;

	if (!kv->value || epobj_decode(&w, kv->value, NULL) < 0) {
		h = holder_find(b, kv->key);
		holder_drop(b, h);
		return h != NULL;
	}
	here = !strcmp(w.node, b->agent->cfg->node);
	h = here ? holder_get(b, kv->key) : holder_find(b, kv->key);
	if (here) {
		memcpy(h->nets, w.nets, sizeof(h->nets));
		h->n = w.n_nets;
	} else {
		holder_drop(b, h);
	}
	epobj_done(&w);
	return h != NULL;
}

/* ---- carrying out ---- */

static void set_hole(const struct blocks *b, const struct prefix *p, bool want)
{
	struct route_table *rt = routes_table(b->agent->routes);
	struct route_key key;
	struct route_spec spec = { .type = ROUTE_BLACKHOLE };
	struct err e = { 0 };
	char text[PREFIX_STR_MAX];

	memset(&key, 0, sizeof(key));
	key.dst = *p;
	if (!want)
		route_forget(rt, ROUTE_CLASS_BLACKHOLE, 0, &key);
	else if (route_desire(rt, ROUTE_CLASS_BLACKHOLE, 0, &key, &spec, &e) < 0)
		log_error("blocks", "no blackhole for a block", "block=%s why=%s",
			  prefix_format(p, text), e.msg);
}

static void log_change(const struct prefix_vec *old, const struct prefix_vec *fresh)
{
	char text[PREFIX_STR_MAX];

	for (size_t i = 0; i < fresh->n; i++)
		if (!has(old, &fresh->p[i]))
			log_info("blocks", "this node has a block more", "block=%s",
				 prefix_format(&fresh->p[i], text));
	for (size_t i = 0; i < old->n; i++)
		if (!has(fresh, &old->p[i]))
			log_info("blocks", "this node has a block less", "block=%s",
				 prefix_format(&old->p[i], text));
}

static void apply_holes(struct blocks *b, struct prefix_vec *fresh)
{
	for (size_t i = 0; i < fresh->n; i++)
		if (!has(&b->holes, &fresh->p[i]))
			set_hole(b, &fresh->p[i], true);
	for (size_t i = 0; i < b->holes.n; i++)
		if (!has(fresh, &b->holes.p[i]))
			set_hole(b, &b->holes.p[i], false);
	replace(&b->holes, fresh);
	routes_changed(b->agent->routes);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct blocks *b = arg;
	struct reading r = { .b = b };

	cache_each(b->agent->cache, b->prefix, read_affinity, &r);
	read_holders(&r);
	sort(&r.confirmed);
	sort(&r.holes);
	sort(&r.borrowed);
	apply_holes(b, &r.holes);
	if (!same(&b->confirmed, &r.confirmed)) {
		log_change(&b->confirmed, &r.confirmed);
		peering_set_blocks(b->agent->peering, r.confirmed.p, r.confirmed.n);
	}
	replace(&b->confirmed, &r.confirmed);
	if (!same(&b->borrowed, &r.borrowed))
		peering_set_local_routes(b->agent->peering, r.borrowed.p, r.borrowed.n);
	replace(&b->borrowed, &r.borrowed);
	routes_claimed(b->agent->routes, ROUTES_BLOCKS);
}

static void turn_soon(struct blocks *b)
{
	static const struct timeval now = { 0 };

	if (b->started && cache_synced(b->agent->cache) &&
	    !event_pending(b->turn, EV_TIMEOUT, NULL))
		evtimer_add(b->turn, &now);
}

static void on_affinity(void *arg, const struct store_kv *kv)
{
	turn_soon(arg);
}

static void on_wep(void *arg, const struct store_kv *kv)
{
	struct blocks *b = arg;
	size_t n = strlen(b->own);
	const char *name;

	if (!kv) {
		turn_soon(b);
		return;
	}
	name = strrchr(kv->key, '/') + 1;
	if (!strncmp(name, b->own, n) && name[n] != '-' && take_wep(b, kv))
		turn_soon(b);
}

void blocks_start(struct blocks *b)
{
	b->started = true;
	turn_soon(b);
}

struct blocks *blocks_new(struct agent *a)
{
	struct blocks *b = xcalloc(1, sizeof(*b));

	b->agent = a;
	b->prefix = xasprintf(IPAMKEY_HOSTS "%s/", a->cfg->node);
	b->own = wep_name_prefix(a->cfg->node, NULL);
	b->turn = evtimer_new(a->base, on_turn, b);
	assert(b->turn);
	cache_subscribe(a->cache, b->prefix, on_affinity, b);
	cache_subscribe(a->cache, WEP_KEYS, on_wep, b);
	return b;
}

void blocks_free(struct blocks *b)
{
	if (!b)
		return;
	event_free(b->turn);
	while (b->holders)
		holder_drop(b, b->holders);
	vec_done(&b->confirmed);
	vec_done(&b->holes);
	vec_done(&b->borrowed);
	free(b->prefix);
	free(b->own);
	free(b);
}

const struct prefix *blocks_confirmed(const struct blocks *b, size_t *n)
{
	*n = b->confirmed.n;
	return b->confirmed.p;
}

size_t blocks_borrowed(const struct blocks *b)
{
	return b->borrowed.n;
}
