/* attr_table.c - interned path attributes: equal values are one object
 *
 * WHY    A full table has far fewer attribute sets than routes. Sharing them makes a route small,
 *        equality a pointer compare, and packing by attributes a matter of lists.
 * SHAPE  Values on the heap, found through attr_index.h.
 * COST   intern: one pass over the value, one comparison, no allocation when it is known.
 * TESTS  tests/unit/bgp/attr_table.c */
#include "bgp/attr_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct bgp_attr_table *bgp_attr_table_new(void)
{
	struct bgp_attr_table *t = xcalloc(1, sizeof(*t));

	bgp_attr_index_init(&t->index);
	return t;
}

void bgp_attr_table_seed(struct bgp_attr_table *t, uint64_t seed)
{
	assert(!t->index.count);
	t->seed = seed;
}

static void cache_drop(struct bgp_attr_table *t)
{
	for (unsigned i = 0; i < ARRAY_SIZE(t->last.attrs); i++)
		bgp_attrs_unref(t, TAKE(t->last.attrs[i]));
	t->last.len = 0;
}

void bgp_attr_table_free(struct bgp_attr_table *t)
{
	if (!t)
		return;
	cache_drop(t);
	assert(!t->index.count);
	bgp_attr_index_done(&t->index);
	free(t);
}

/* Each bit of v must reach all of the result: AS numbers lie in network order, so it is the highest
 * bits of a word that differ most. */
static uint64_t mix(uint64_t h, uint64_t v)
{
	h ^= v;
	h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 29) * 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n)
{
	uint64_t word;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&word, p, 8);
		h = mix(h, word);
	}
	word = 0;
	if (n)
		memcpy(&word, p, n);
	return mix(h, word ^ (uint64_t)n << 56);
}

static uint64_t hash_addr(uint64_t h, const struct addr *a)
{
	uint64_t word[2];

	memcpy(word, a->b, sizeof(word));
	return mix(mix(h, word[0] ^ a->family), word[1]);
}

/* One value, one form: lists are there when they are not empty, and no other bit is set. */
static uint64_t present_bits(const struct bgp_attrs_draft *d)
{
	static const uint8_t list[BGP_PART_MAX_] = {
		[BGP_PART_COMMUNITIES] = BGP_ATTR_COMMUNITIES,
		[BGP_PART_EXT_COMMUNITIES] = BGP_ATTR_EXT_COMMUNITIES,
		[BGP_PART_LARGE_COMMUNITIES] = BGP_ATTR_LARGE_COMMUNITIES,
		[BGP_PART_CLUSTER_LIST] = BGP_ATTR_CLUSTER_LIST,
	};
	uint64_t present = d->v.present & BGP_ATTR_VALUE_BITS;

	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		if (!list[i])
			continue;
		present &= ~(1ull << list[i]);
		present |= (uint64_t)(d->part[i].len > 0) << list[i];
	}
	return present;
}

static uint32_t draft_hash(uint64_t seed, uint64_t present, const struct bgp_attrs_draft *d)
{
	const struct bgp_attr_values *v = &d->v;
	uint64_t h = mix(seed, present);

	h = mix(h, (uint64_t)v->med << 32 | v->local_pref);
	h = mix(h, (uint64_t)v->originator_id << 32 | v->aggregator_as);
	h = mix(h, (uint64_t)v->aggregator_id << 32 | v->origin);
	h = mix(h, v->otc);
	h = hash_addr(h, &v->next_hop);
	if (v->next_hop_ll.family)
		h = hash_addr(h, &v->next_hop_ll);
	for (unsigned i = 0; i < BGP_PART_MAX_; i++)
		if (d->part[i].len)
			h = hash_bytes(mix(h, i), d->part[i].p, d->part[i].len);
	return (uint32_t)h;
}

static bool values_eq(const struct bgp_attr_values *a, const struct bgp_attr_values *b)
{
	return a->med == b->med && a->local_pref == b->local_pref &&
	       a->originator_id == b->originator_id && a->aggregator_as == b->aggregator_as &&
	       a->aggregator_id == b->aggregator_id && a->origin == b->origin && a->otc == b->otc &&
	       addr_eq(&a->next_hop, &b->next_hop) && addr_eq(&a->next_hop_ll, &b->next_hop_ll);
}

struct wanted {
	uint64_t present;
	const struct bgp_attrs_draft *draft;
};

static bool is_wanted(const struct bgp_attrs *a, const void *arg)
{
	const struct wanted *w = arg;
	const struct bgp_attrs_draft *d = w->draft;
	const uint8_t *p = a->bytes;

	if (a->v.present != w->present || !values_eq(&a->v, &d->v))
		return false;
	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		if (a->len[i] != d->part[i].len)
			return false;
		if (a->len[i] && memcmp(p, d->part[i].p, a->len[i]) != 0)
			return false;
		p += a->len[i];
	}
	return true;
}

size_t bgp_attrs_bytes(const struct bgp_attrs *a)
{
	size_t n = sizeof(*a);

	for (unsigned i = 0; i < BGP_PART_MAX_; i++)
		n += a->len[i];
	return n;
}

static uint8_t marks_of(const struct bgp_attrs *a)
{
	struct rd r = bgp_attrs_part(a, BGP_PART_COMMUNITIES);
	unsigned marks = 0;

	while (rd_left(&r) >= 4) {
		uint32_t c = rd_u32(&r);

		/* all of them are in the two reserved ranges of RFC 1997 */
		if (c >> 16 != 0xffff)
			continue;
		marks |= c == BGP_COMMUNITY_GRACEFUL_SHUTDOWN ? BGP_MARK_GRACEFUL_SHUTDOWN : 0;
		marks |= c == BGP_COMMUNITY_LLGR_STALE ? BGP_MARK_LLGR_STALE : 0;
		marks |= c == BGP_COMMUNITY_NO_LLGR ? BGP_MARK_NO_LLGR : 0;
		marks |= c == BGP_COMMUNITY_NO_EXPORT ? BGP_MARK_NO_EXPORT : 0;
		marks |= c == BGP_COMMUNITY_NO_EXPORT_SUBCONFED ? BGP_MARK_NO_EXPORT : 0;
		marks |= c == BGP_COMMUNITY_NO_ADVERTISE ? BGP_MARK_NO_ADVERTISE : 0;
	}
	return (uint8_t)marks;
}

static struct bgp_attrs *attrs_new(const struct bgp_attrs_draft *d, uint64_t present, uint32_t hash)
{
	struct bgp_path_facts facts = { 0 };
	struct bgp_attrs *a;
	size_t n = 0;
	uint8_t *to;

	for (unsigned i = 0; i < BGP_PART_MAX_; i++)
		n += d->part[i].len;
	a = xmalloc(sizeof(*a) + n);
	*a = (struct bgp_attrs) { .refs = 1, .hash = hash, .v = d->v };
	a->v.present = present;
	to = a->bytes;
	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		a->len[i] = d->part[i].len;
		if (a->len[i])
			memcpy(to, d->part[i].p, a->len[i]);
		to += a->len[i];
	}
	/* Decoded paths were checked, others are of our own making. */
	assert(!bgp_path_check(a->bytes, a->len[BGP_PART_AS_PATH], 4, &facts));
	a->first_as = facts.first_as;
	a->origin_as = facts.origin_as;
	a->path_len = facts.len;
	a->marks = marks_of(a);
	return a;
}

struct bgp_attrs *bgp_attrs_intern(struct bgp_attr_table *t, const struct bgp_attrs_draft *draft)
{
	struct wanted w = { .present = present_bits(draft), .draft = draft };
	uint32_t hash = draft_hash(t->seed, w.present, draft);
	struct bgp_attrs *a = bgp_attr_index_find(&t->index, hash, is_wanted, &w);

	if (a)
		return bgp_attrs_ref(a);
	a = attrs_new(draft, w.present, hash);
	bgp_attr_index_add(&t->index, a);
	t->bytes += bgp_attrs_bytes(a);
	return a;
}

struct bgp_attrs *bgp_attrs_ref(struct bgp_attrs *a)
{
	assert(a->refs < UINT32_MAX);
	a->refs++;
	return a;
}

void bgp_attrs_unref(struct bgp_attr_table *t, struct bgp_attrs *a)
{
	if (!a || --a->refs)
		return;
	bgp_attr_index_remove(&t->index, a);
	t->bytes -= bgp_attrs_bytes(a);
	free(a);
}

void bgp_attrs_prefetch(const struct bgp_attr_table *t, const struct bgp_attrs *a)
{
	if (a->refs == 1)
		bgp_attr_index_prefetch(&t->index, a);
}

size_t bgp_attr_table_count(const struct bgp_attr_table *t)
{
	return t->index.count;
}

size_t bgp_attr_table_bytes(const struct bgp_attr_table *t)
{
	return t->bytes + bgp_attr_index_bytes(&t->index);
}
