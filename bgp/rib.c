/* rib.c - the prefixes of one family and the paths to each
 *
 * SHAPE  slots[] (open addressing, linear probing) -> net index -> net, in chunks that never move,
 *        so growing copies only slots[]. Eight bits of the hash stand beside each index: a probe
 *        touches a net only when they match.
 *
 *		slots: [tag|index] ...   chunks: [net net net ...1024] [...]
 *		net:   one path in place (attrs, source, flags)
 *		       or -> list { n, cap, path path path }
 *
 * INVARIANTS  a net is in slots[] unless FREE; it is in at most one of dirty queue and free list;
 *        source counts equal what a walk over all nets would count.
 * COST   announce, withdraw: one slot, one net; with many paths linear in their number.
 * SECURITY  the hash is seeded, so nobody can choose prefixes that collide. */
#include "bgp/rib.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct bgp_path_list {
	uint32_t n, cap;
	struct bgp_path p[];
};

enum {
	INDEX_BITS = 24,
	INDEX_MASK = (1 << INDEX_BITS) - 1,
	SLOTS_MIN = 64,
	IDLE_MIN = 1024,
};

void bgp_rib_init(struct bgp_rib *rib, enum bgp_af af, struct bgp_attr_table *attrs,
		  struct bgp_sources *sources, uint64_t seed)
{
	size_t key = af == BGP_AF_IPV4_UNICAST ? 4 : 16;
	size_t size = offsetof(struct bgp_net, key) + key, align = _Alignof(struct bgp_net);

	*rib = (struct bgp_rib) {
		.af = af,
		.attrs = attrs,
		.sources = sources,
		.seed = seed,
		.key_size = (uint8_t)key,
		.stride = (uint32_t)((size + align - 1) / align * align),
		.free_head = BGP_NET_NONE,
		.dirty_head = BGP_NET_NONE,
		.dirty_tail = BGP_NET_NONE,
	};
}

/* ---- the index ---- */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static uint64_t key_hash(const struct bgp_rib *rib, const uint8_t *key, unsigned len)
{
	uint64_t a = 0, b = 0;

	if (rib->key_size == 4) {
		memcpy(&a, key, 4);
		return mix((a | (uint64_t)len << 32) ^ rib->seed);
	}
	memcpy(&a, key, 8);
	memcpy(&b, key + 8, 8);
	return mix(mix(mix(a ^ rib->seed) ^ b) + len);
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 56) << INDEX_BITS;
}

/* The slot of this prefix, or the one where it would go. */
static uint32_t slot_find(const struct bgp_rib *rib, const uint8_t *key, unsigned len,
			  uint64_t hash)
{
	uint32_t at = (uint32_t)hash & rib->slots_mask, tag = tag_of(hash);

	for (;; at = (at + 1) & rib->slots_mask) {
		uint32_t slot = rib->slots[at];
		const struct bgp_net *net;

		if (!slot)
			return at;
		if ((slot & ~(uint32_t)INDEX_MASK) != tag)
			continue;
		net = bgp_rib_net(rib, (slot & INDEX_MASK) - 1);
		if (net->len == len && memcmp(net->key, key, rib->key_size) == 0)
			return at;
	}
}

static void index_insert(struct bgp_rib *rib, uint32_t index)
{
	const struct bgp_net *net = bgp_rib_net(rib, index);
	uint64_t hash = key_hash(rib, net->key, net->len);
	uint32_t at = (uint32_t)hash & rib->slots_mask;

	while (rib->slots[at])
		at = (at + 1) & rib->slots_mask;
	rib->slots[at] = tag_of(hash) | (index + 1);
}

/* A new index of this size. Nets that are free can have any prefix from now on. */
static void index_rebuild(struct bgp_rib *rib, uint32_t size)
{
	free(rib->slots);
	rib->slots = xcalloc(size, sizeof(*rib->slots));
	rib->slots_mask = size - 1;
	rib->idle = 0;
	rib->free_head = BGP_NET_NONE;
	for (uint32_t i = rib->n_nets; i-- > 0;) {
		struct bgp_net *net = bgp_rib_net(rib, i);

		if (net->flags & BGP_NET_FREE) {
			net->link = rib->free_head;
			rib->free_head = i;
		} else {
			index_insert(rib, i);
		}
	}
}

/* ---- nets ---- */

static uint32_t index_take(struct bgp_rib *rib)
{
	uint32_t index = rib->free_head;

	if (index != BGP_NET_NONE) {
		rib->free_head = bgp_rib_net(rib, index)->link;
		return index;
	}
	if (rib->n_nets % BGP_NETS_PER_CHUNK == 0)
		vec_push(&rib->chunks, xmalloc((size_t)BGP_NETS_PER_CHUNK * rib->stride));
	return rib->n_nets++;
}

static void net_begin(struct bgp_rib *rib, struct bgp_net *net, const struct prefix *p)
{
	*net = (struct bgp_net) { .flags = BGP_NET_EMPTY, .len = p->len, .link = BGP_NET_NONE };
	memcpy(net->key, p->addr.b, rib->key_size);
	rib->count++;
}

/* Is there room for one more in the index? It is never filled beyond three quarters. */
static void index_grow(struct bgp_rib *rib)
{
	uint32_t size = rib->slots_mask + 1;

	if (!rib->slots)
		index_rebuild(rib, SLOTS_MIN);
	else if (rib->count + rib->idle >= size - size / 4)
		index_rebuild(rib, rib->count > size / 2 ? size * 2 : size);
	else if (rib->n_nets >= BGP_PREFIXES_MAX && rib->idle && rib->free_head == BGP_NET_NONE)
		index_rebuild(rib, size);
}

/* The net of p, made when it is not there; NULL when there are too many. p has no host bits. */
static struct bgp_net *net_get(struct bgp_rib *rib, const struct prefix *p, uint32_t *index)
{
	uint64_t hash = key_hash(rib, p->addr.b, p->len);
	struct bgp_net *net;
	uint32_t at;

	index_grow(rib);
	at = slot_find(rib, p->addr.b, p->len, hash);
	if (rib->slots[at]) {
		*index = (rib->slots[at] & INDEX_MASK) - 1;
		net = bgp_rib_net(rib, *index);
		if (!(net->flags & BGP_NET_FREE))
			return net;
		if (rib->count >= BGP_PREFIXES_MAX)
			return NULL;
		rib->idle--;
	} else {
		if (rib->count >= BGP_PREFIXES_MAX)
			return NULL;
		*index = index_take(rib);
		rib->slots[at] = tag_of(hash) | (*index + 1);
		net = bgp_rib_net(rib, *index);
	}
	net_begin(rib, net, p);
	return net;
}

void bgp_rib_prefetch(const struct bgp_rib *rib, const struct prefix *p, enum bgp_rib_step step)
{
	const struct bgp_net *net;
	const uint32_t *slot;

	if (!rib->slots)
		return;
	slot = &rib->slots[(uint32_t)key_hash(rib, p->addr.b, p->len) & rib->slots_mask];
	if (step == BGP_RIB_STEP_SLOT) {
		__builtin_prefetch(slot);
		return;
	}
	if (!*slot)
		return;
	net = bgp_rib_net(rib, (*slot & INDEX_MASK) - 1);
	if (step == BGP_RIB_STEP_NET)
		__builtin_prefetch(net, 1);
	else if (net->flags & (BGP_NET_FREE | BGP_NET_EMPTY | BGP_NET_LIST))
		return;
	else if (step == BGP_RIB_STEP_ATTRS)
		__builtin_prefetch(net->attrs, 1);
	else
		bgp_attrs_prefetch(rib->attrs, net->attrs);
}

uint32_t bgp_rib_find(const struct bgp_rib *rib, const struct prefix *p)
{
	uint32_t slot;

	if (!rib->slots)
		return BGP_NET_NONE;
	slot = rib->slots[slot_find(rib, p->addr.b, p->len, key_hash(rib, p->addr.b, p->len))];
	if (!slot || bgp_rib_net(rib, (slot & INDEX_MASK) - 1)->flags & BGP_NET_FREE)
		return BGP_NET_NONE;
	return (slot & INDEX_MASK) - 1;
}

struct prefix bgp_net_prefix(const struct bgp_rib *rib, const struct bgp_net *net)
{
	struct prefix p = { .addr.family = rib->key_size == 4 ? IP_V4 : IP_V6, .len = net->len };

	memcpy(p.addr.b, net->key, rib->key_size);
	return p;
}

/* The last prefix has gone: give the memory back. Indexes begin anew. */
static void rib_shrink(struct bgp_rib *rib)
{
	vec_foreach (&rib->chunks, chunk)
		free(*chunk);
	vec_done(&rib->chunks);
	free(rib->slots);
	rib->slots = NULL;
	rib->slots_mask = rib->idle = 0;
	rib->n_nets = 0;
	rib->free_head = BGP_NET_NONE;
}

void bgp_rib_net_free(struct bgp_rib *rib, uint32_t index)
{
	struct bgp_net *net = bgp_rib_net(rib, index);

	assert((net->flags & ~BGP_PATH_FLAGS_) == BGP_NET_EMPTY);
	net->flags = BGP_NET_FREE;
	rib->idle++;
	if (--rib->count == 0)
		rib_shrink(rib);
	else if (rib->idle >= IDLE_MIN && rib->idle > rib->n_nets / 2)
		index_rebuild(rib, rib->slots_mask + 1);
}

/* ---- dirty queue ---- */

static void dirty_push(struct bgp_rib *rib, struct bgp_net *net, uint32_t index)
{
	if (net->flags & BGP_NET_DIRTY)
		return;
	net->flags |= BGP_NET_DIRTY;
	net->link = BGP_NET_NONE;
	if (rib->dirty_tail == BGP_NET_NONE)
		rib->dirty_head = index;
	else
		bgp_rib_net(rib, rib->dirty_tail)->link = index;
	rib->dirty_tail = index;
	rib->dirty_count++;
}

void bgp_rib_dirty(struct bgp_rib *rib, uint32_t index)
{
	dirty_push(rib, bgp_rib_net(rib, index), index);
}

uint32_t bgp_rib_next_dirty(struct bgp_rib *rib)
{
	uint32_t index = rib->dirty_head;
	struct bgp_net *net;

	if (index == BGP_NET_NONE)
		return BGP_NET_NONE;
	net = bgp_rib_net(rib, index);
	rib->dirty_head = net->link;
	if (rib->dirty_head == BGP_NET_NONE)
		rib->dirty_tail = BGP_NET_NONE;
	rib->dirty_count--;
	net->flags &= (uint8_t)~BGP_NET_DIRTY;
	return index;
}

unsigned bgp_rib_peek_dirty(const struct bgp_rib *rib, uint32_t *nets, unsigned max)
{
	unsigned n = 0;

	for (uint32_t at = rib->dirty_head; at != BGP_NET_NONE && n < max;
	     at = bgp_rib_net(rib, at)->link)
		nets[n++] = at;
	return n;
}

/* ---- paths ---- */

const struct bgp_path *bgp_net_paths(const struct bgp_net *net, struct bgp_path *one, unsigned *n)
{
	if (net->flags & BGP_NET_LIST) {
		*n = net->list->n;
		return net->list->p;
	}
	*n = !(net->flags & BGP_NET_EMPTY);
	*one = (struct bgp_path) { .attrs = net->attrs,
				   .source = net->source,
				   .flags = net->flags & BGP_PATH_FLAGS_ };
	return one;
}

/* Add what the flags say to the source's counts, or take it off (sign -1). */
static void count_flags(struct bgp_source *src, enum bgp_af af, uint8_t flags, int sign)
{
	uint32_t add = (uint32_t)sign;

	if (flags & BGP_PATH_USABLE)
		src->af[af].usable += add;
	if (flags & (BGP_PATH_BEST | BGP_PATH_MULTI))
		src->af[af].best += add;
}

static void count_path(struct bgp_rib *rib, uint16_t source, uint8_t flags, int sign)
{
	struct bgp_source *src = bgp_source_at(rib->sources, source);

	count_flags(src, rib->af, flags, sign);
	src->af[rib->af].paths += (uint32_t)sign;
	rib->paths += (uint32_t)sign;
	if (src->af[rib->af].state == BGP_SOURCE_DEAD)
		rib->dead_paths += (uint32_t)sign;
}

static bool is_chosen(uint8_t flags)
{
	return flags & (BGP_PATH_BEST | BGP_PATH_MULTI);
}

/* Path with these flags is about to go: whoever depends on the choice must look again. */
static void touch(struct bgp_net *net, uint8_t flags)
{
	if (net->flags & BGP_NET_LIST && is_chosen(flags))
		net->flags |= BGP_NET_TOUCHED;
}

bool bgp_net_untouch(struct bgp_net *net)
{
	bool touched = net->flags & BGP_NET_TOUCHED;

	if (!(net->flags & BGP_NET_LIST))
		return true;
	net->flags &= (uint8_t)~BGP_NET_TOUCHED;
	return touched;
}

bool bgp_net_set_flags(const struct bgp_rib *rib, struct bgp_net *net, unsigned i, uint8_t flags)
{
	bool list = net->flags & BGP_NET_LIST;
	uint16_t source = list ? net->list->p[i].source : net->source;
	uint8_t old = list ? net->list->p[i].flags : net->flags & BGP_PATH_FLAGS_;
	struct bgp_source *src;

	if (old == flags)
		return false;
	src = bgp_source_at(rib->sources, source);
	count_flags(src, rib->af, old, -1);
	count_flags(src, rib->af, flags, 1);
	if (list)
		net->list->p[i].flags = flags;
	else
		net->flags = (uint8_t)((net->flags & ~BGP_PATH_FLAGS_) | flags);
	return ((old ^ flags) & (BGP_PATH_BEST | BGP_PATH_MULTI)) != 0;
}

bool bgp_net_best(const struct bgp_net *net, struct bgp_path *out)
{
	struct bgp_path one;
	const struct bgp_path *p;
	unsigned n;

	p = bgp_net_paths(net, &one, &n);
	for (unsigned i = 0; i < n; i++) {
		if (p[i].flags & BGP_PATH_BEST) {
			*out = p[i];
			return true;
		}
	}
	return false;
}

/* Is this path, in the eyes of an announcement by src with this id, the one to take the place
 * of? */
static bool path_is(const struct bgp_rib *rib, const struct bgp_path *path,
		    const struct bgp_source *src, uint32_t id)
{
	if (path->id != id)
		return false;
	return path->source == src->index ||
	       (src->heir && bgp_source_at(rib->sources, path->source)->peer_id == src->peer_id);
}

/* n when there is none. */
static unsigned path_find(const struct bgp_rib *rib, const struct bgp_net *net,
			  const struct bgp_source *src, uint32_t id, unsigned *n)
{
	struct bgp_path one;
	const struct bgp_path *p = bgp_net_paths(net, &one, n);
	unsigned i = 0;

	while (i < *n && !path_is(rib, &p[i], src, id))
		i++;
	return i;
}

static void net_to_list(struct bgp_net *net)
{
	struct bgp_path_list *list;
	struct bgp_path one;
	unsigned n;

	if (net->flags & BGP_NET_LIST)
		return;
	bgp_net_paths(net, &one, &n);
	/* one more than there are: a single path with an id is what most peers with ADD-PATH send */
	list = xmalloc(sizeof(*list) + (n + 1) * sizeof(list->p[0]));
	list->cap = n + 1;
	list->n = n;
	if (n)
		list->p[0] = one;
	net->list = list;
	net->flags = (uint8_t)((net->flags & ~(BGP_PATH_FLAGS_ | BGP_NET_EMPTY)) | BGP_NET_LIST);
}

static void path_append(struct bgp_net *net, const struct bgp_path *path)
{
	struct bgp_path_list *list;

	if ((net->flags & BGP_NET_EMPTY) && path->id == 0) {
		net->attrs = path->attrs;
		net->source = path->source;
		net->flags &= (uint8_t)~BGP_NET_EMPTY;
		return;
	}
	net_to_list(net);
	list = net->list;
	if (list->n == list->cap) {
		/* a quarter more: with 50 paths to each of 100 k prefixes the slack counts */
		list->cap += list->cap < 8 ? 2 : list->cap / 4;
		list = xrealloc(list, sizeof(*list) + list->cap * sizeof(list->p[0]));
		net->list = list;
	}
	list->p[list->n++] = *path;
}

static void path_replace(struct bgp_net *net, unsigned i, const struct bgp_path *path)
{
	if (net->flags & BGP_NET_LIST) {
		net->list->p[i] = *path;
		return;
	}
	net->attrs = path->attrs;
	net->source = path->source;
	net->flags &= (uint8_t)~BGP_PATH_FLAGS_;
}

/* Only a crowded net is counted: path_find has just walked over it as well. */
static bool no_room(const struct bgp_rib *rib, const struct bgp_net *net,
		    const struct bgp_source *src)
{
	struct bgp_path one;
	unsigned n, own = 0;
	const struct bgp_path *p = bgp_net_paths(net, &one, &n);

	if (n < BGP_PATHS_OF_PEER_MAX)
		return false;
	for (unsigned i = 0; i < n; i++)
		own += bgp_source_at(rib->sources, p[i].source)->peer_id == src->peer_id;
	return n >= BGP_PATHS_PER_PREFIX_MAX || own >= BGP_PATHS_OF_PEER_MAX;
}

enum bgp_rib_change bgp_rib_announce(struct bgp_rib *rib, const struct prefix *p,
				     struct bgp_source *src, uint32_t id, struct bgp_attrs *attrs)
{
	struct bgp_path new = { .attrs = attrs, .id = id, .source = src->index }, one, old;
	struct bgp_net *net;
	uint32_t index;
	unsigned i, n;

	net = net_get(rib, p, &index);
	if (!net)
		return BGP_RIB_FULL;
	i = path_find(rib, net, src, id, &n);
	if (i == n) {
		if (no_room(rib, net, src))
			return BGP_RIB_FULL;
		path_append(net, &new);
		bgp_attrs_ref(attrs);
		count_path(rib, src->index, 0, 1);
		dirty_push(rib, net, index);
		return BGP_RIB_NEW;
	}
	old = bgp_net_paths(net, &one, &n)[i];
	if (old.attrs == attrs && old.source == src->index)
		return BGP_RIB_SAME;
	bgp_attrs_ref(attrs);
	count_path(rib, old.source, old.flags, -1);
	touch(net, old.flags);
	path_replace(net, i, &new);
	count_path(rib, src->index, 0, 1);
	bgp_attrs_unref(rib->attrs, old.attrs);
	dirty_push(rib, net, index);
	return BGP_RIB_CHANGED;
}

/* One path that can live in place does. */
static void list_settle(struct bgp_net *net)
{
	struct bgp_path_list *list = net->list;

	if (list->n > 1 || (list->n == 1 && list->p[0].id != 0))
		return;
	net->flags &= (uint8_t) ~(BGP_NET_LIST | BGP_PATH_FLAGS_);
	if (list->n == 1) {
		net->attrs = list->p[0].attrs;
		net->source = list->p[0].source;
		net->flags |= list->p[0].flags;
	} else {
		net->attrs = NULL;
		net->flags |= BGP_NET_EMPTY;
	}
	free(list);
}

/* Take path i out; the caller marks the net dirty. */
static void path_remove(struct bgp_rib *rib, struct bgp_net *net, unsigned i)
{
	struct bgp_path one;
	unsigned n;
	struct bgp_path old = bgp_net_paths(net, &one, &n)[i];

	count_path(rib, old.source, old.flags, -1);
	touch(net, old.flags);
	if (net->flags & BGP_NET_LIST) {
		net->list->p[i] = net->list->p[--net->list->n];
		list_settle(net);
	} else {
		net->attrs = NULL;
		net->flags = (uint8_t)((net->flags & ~BGP_PATH_FLAGS_) | BGP_NET_EMPTY);
	}
	bgp_attrs_unref(rib->attrs, old.attrs);
}

bool bgp_rib_withdraw(struct bgp_rib *rib, const struct prefix *p, struct bgp_source *src,
		      uint32_t id)
{
	uint32_t index = bgp_rib_find(rib, p);
	struct bgp_net *net;
	unsigned i, n;

	if (index == BGP_NET_NONE)
		return false;
	net = bgp_rib_net(rib, index);
	i = path_find(rib, net, src, id, &n);
	if (i == n)
		return false;
	path_remove(rib, net, i);
	dirty_push(rib, net, index);
	return true;
}

/* ---- sweeping ---- */

void bgp_rib_source_state(struct bgp_rib *rib, struct bgp_source *src, enum bgp_source_state state)
{
	enum bgp_source_state *now = &src->af[rib->af].state;

	if (*now == BGP_SOURCE_DEAD)
		rib->dead_paths -= src->af[rib->af].paths;
	if (state == BGP_SOURCE_DEAD)
		rib->dead_paths += src->af[rib->af].paths;
	*now = state;
}

static void path_move(struct bgp_rib *rib, struct bgp_net *net, unsigned i,
		      const struct bgp_source *to)
{
	struct bgp_path one;
	unsigned n;
	struct bgp_path p = bgp_net_paths(net, &one, &n)[i];

	count_path(rib, p.source, p.flags, -1);
	if (net->flags & BGP_NET_LIST)
		net->list->p[i].source = to->index;
	else
		net->source = to->index;
	count_path(rib, to->index, p.flags, 1);
}

void bgp_rib_move(struct bgp_rib *rib, struct bgp_source *from, struct bgp_source *to)
{
	for (uint32_t at = 0; at < rib->n_nets && from->af[rib->af].paths; at++) {
		struct bgp_net *net = bgp_rib_net(rib, at);
		struct bgp_path one;
		const struct bgp_path *p;
		unsigned n;

		if (net->flags & (BGP_NET_FREE | BGP_NET_EMPTY))
			continue;
		p = bgp_net_paths(net, &one, &n);
		for (unsigned i = 0; i < n; i++) {
			if (p[i].source == from->index)
				path_move(rib, net, i, to);
		}
	}
}

static void sweep_net(struct bgp_rib *rib, struct bgp_net *net, uint32_t index)
{
	struct bgp_path one;
	const struct bgp_path *p;
	unsigned n;

	p = bgp_net_paths(net, &one, &n);
	for (unsigned i = n; i-- > 0;) {
		if (bgp_source_at(rib->sources, p[i].source)->af[rib->af].state != BGP_SOURCE_DEAD)
			continue;
		path_remove(rib, net, i);
		dirty_push(rib, net, index);
		p = bgp_net_paths(net, &one, &n);
	}
}

bool bgp_rib_sweep(struct bgp_rib *rib, unsigned budget)
{
	for (; rib->dead_paths && budget; budget--) {
		struct bgp_net *net;

		if (rib->sweep_at >= rib->n_nets)
			rib->sweep_at = 0;
		net = bgp_rib_net(rib, rib->sweep_at);
		if (!(net->flags & (BGP_NET_FREE | BGP_NET_EMPTY)))
			sweep_net(rib, net, rib->sweep_at);
		rib->sweep_at++;
	}
	return rib->dead_paths > 0;
}

void bgp_rib_done(struct bgp_rib *rib)
{
	for (uint32_t i = 0; i < rib->n_nets; i++) {
		struct bgp_net *net = bgp_rib_net(rib, i);

		if (net->flags & BGP_NET_FREE)
			continue;
		while (!(net->flags & BGP_NET_EMPTY))
			path_remove(rib, net, 0);
	}
	rib_shrink(rib);
	rib->count = 0;
}

size_t bgp_rib_bytes(const struct bgp_rib *rib)
{
	size_t slots = rib->slots ? ((size_t)rib->slots_mask + 1) * sizeof(*rib->slots) : 0;

	return slots + rib->chunks.n * BGP_NETS_PER_CHUNK * rib->stride;
}
