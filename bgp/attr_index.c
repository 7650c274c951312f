/* attr_index.c - see attr_index.h
 * TESTS  tests/unit/bgp/attr_table.c */
#include "bgp/attr_index.h"

#include <assert.h>
#include <stdlib.h>

#include "bgp/attr.h"

enum {
	SLOTS_MIN = 256,
	/* At most three quarters of an array are used, and one at least twice as large as what is
	 * alive takes over: the old one is empty long before that one is full. */
	MOVES_PER_INSERT = 4,
	ADDRESS_BITS = 48,
};

/* Something was here; what collided with it may come behind. No value lies at this address. */
#define DEAD UINT64_C(1)

static uint64_t slot_of(const struct bgp_attrs *a)
{
	return (uint64_t)(a->hash >> 16) << ADDRESS_BITS | (uintptr_t)a;
}

static struct bgp_attrs *attrs_of(uint64_t slot)
{
	return (struct bgp_attrs *)(uintptr_t)(slot & ((UINT64_C(1) << ADDRESS_BITS) - 1));
}

static bool is_used(uint64_t slot)
{
	return slot && slot != DEAD;
}

static void slots_new(struct bgp_attr_slots *s, size_t size)
{
	*s = (struct bgp_attr_slots) {
		.slot = xcalloc(size, sizeof(*s->slot)),
		.mask = size - 1,
	};
}

void bgp_attr_index_init(struct bgp_attr_index *x)
{
	*x = (struct bgp_attr_index) { 0 };
	slots_new(&x->now, SLOTS_MIN);
}

void bgp_attr_index_done(struct bgp_attr_index *x)
{
	free(x->now.slot);
	free(x->old.slot);
}

static struct bgp_attrs *slots_find(const struct bgp_attr_slots *s, uint32_t hash,
				    bgp_attr_match *match, const void *arg)
{
	if (!s->slot)
		return NULL;
	for (size_t at = hash & s->mask; s->slot[at]; at = (at + 1) & s->mask) {
		uint64_t slot = s->slot[at];
		struct bgp_attrs *a;

		if (slot >> ADDRESS_BITS != hash >> 16 || slot == DEAD)
			continue;
		a = attrs_of(slot);
		if (a->hash == hash && match(a, arg))
			return a;
	}
	return NULL;
}

struct bgp_attrs *bgp_attr_index_find(const struct bgp_attr_index *x, uint32_t hash,
				      bgp_attr_match *match, const void *arg)
{
	struct bgp_attrs *a = slots_find(&x->now, hash, match, arg);

	return a ? a : slots_find(&x->old, hash, match, arg);
}

static void slots_add(struct bgp_attr_slots *s, uint64_t slot, uint32_t hash)
{
	size_t at = hash & s->mask;

	while (is_used(s->slot[at]))
		at = (at + 1) & s->mask;
	s->used += s->slot[at] != DEAD;
	s->slot[at] = slot;
}

static void move_some(struct bgp_attr_index *x, size_t n)
{
	while (x->old.slot && n--) {
		uint64_t *slot = &x->old.slot[x->old_at];

		if (is_used(*slot)) {
			slots_add(&x->now, *slot, attrs_of(*slot)->hash);
			*slot = DEAD;
		}
		if (x->old_at++ == x->old.mask) {
			free(x->old.slot);
			x->old.slot = NULL;
		}
	}
}

static void grow(struct bgp_attr_index *x)
{
	size_t size = x->now.mask + 1;

	move_some(x, SIZE_MAX);
	x->old = x->now;
	x->old_at = 0;
	/* when few are alive, those that were taken out are what fills it */
	slots_new(&x->now, x->count > size / 3 ? size * 2 : size);
}

void bgp_attr_index_add(struct bgp_attr_index *x, struct bgp_attrs *a)
{
	assert(!((uintptr_t)a >> ADDRESS_BITS));
	if (x->now.used > x->now.mask - x->now.mask / 4)
		grow(x);
	move_some(x, MOVES_PER_INSERT);
	slots_add(&x->now, slot_of(a), a->hash);
	x->count++;
}

static bool slots_remove(struct bgp_attr_slots *s, const struct bgp_attrs *a)
{
	uint64_t slot = slot_of(a);

	if (!s->slot)
		return false;
	for (size_t at = a->hash & s->mask; s->slot[at]; at = (at + 1) & s->mask) {
		if (s->slot[at] != slot)
			continue;
		s->slot[at] = DEAD;
		/* behind the last one nobody looks */
		for (; !s->slot[(at + 1) & s->mask] && s->slot[at] == DEAD;
		     at = (at - 1) & s->mask) {
			s->slot[at] = 0;
			s->used--;
		}
		return true;
	}
	return false;
}

void bgp_attr_index_remove(struct bgp_attr_index *x, const struct bgp_attrs *a)
{
	bool there = slots_remove(&x->now, a) || slots_remove(&x->old, a);

	assert(there);
	x->count--;
}

void bgp_attr_index_prefetch(const struct bgp_attr_index *x, const struct bgp_attrs *a)
{
	__builtin_prefetch(&x->now.slot[a->hash & x->now.mask], 1);
}

size_t bgp_attr_index_bytes(const struct bgp_attr_index *x)
{
	return (x->now.mask + 1 + (x->old.slot ? x->old.mask + 1 : 0)) * sizeof(uint64_t);
}
