/* overlay_borrow.c - addresses that nodes hold in blocks of others, or of nobody
 * WHY    A block's route leads to the node that holds the block; a pod elsewhere that borrowed from
 *        it needs a /32. BGP tells these itself, VXLAN pools have only the blocks to go by.
 * SHAPE  For each block that the picture keeps (own ones, and those with guests: scopes.c) the list
 *        of guests; the difference to the list before goes into the overlay's blocks, where a guest
 *        is a block of one address.
 * TESTS  tests/unit/agent/overlay_roads.c, tests/netns/test_encap_faults.py */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "agent/overlay/overlay_int.h"
#include "model/block.h"
#include "model/ipamkey.h"

struct guest {
	struct prefix cidr;
	char *node;
};

struct overlay_host_block {
	struct prefix cidr;
	VEC(struct guest) guests;
	UT_hash_handle hh;
};

static const char *host_of(const struct block *b)
{
	bool host = b->affinity && str_starts(b->affinity, IPAMKEY_OWNER_HOST);

	return host ? b->affinity + strlen(IPAMKEY_OWNER_HOST) : "";
}

static void read_guests(const struct overlay *o, const struct block *b,
			struct overlay_host_block *out)
{
	for (unsigned i = 0; i < b->size; i++) {
		const struct block_attr *a = block_attr_of(b, i);
		struct guest g = { .cidr = { .addr = block_addr(b, i) } };

		if (!a || a->released_ns)
			continue;
		g.node = block_attr_get(a, "node");
		g.cidr.len = (uint8_t)addr_bits(g.cidr.addr.family);
		/* The owner's own, and this node's: they have their routes. */
		if (g.node && strcmp(g.node, host_of(b)) != 0 &&
		    strcmp(g.node, o->agent->cfg->node) != 0)
			vec_push(&out->guests, g);
		else
			free(g.node);
	}
}

static bool has(const struct overlay_host_block *h, const struct guest *g)
{
	for (size_t i = 0; i < h->guests.n; i++)
		if (prefix_eq(&h->guests.p[i].cidr, &g->cidr) &&
		    strcmp(h->guests.p[i].node, g->node) == 0)
			return true;
	return false;
}

static void clear(struct overlay_host_block *h)
{
	vec_foreach (&h->guests, g)
		free(g->node);
	vec_done(&h->guests);
}

/* From one list to the other. */
static void differ(struct overlay *o, struct overlay_host_block *old,
		   struct overlay_host_block *fresh)
{
	vec_foreach (&old->guests, g) {
		if (!has(fresh, g))
			overlay_drop_holder(o, &g->cidr, g->node);
	}
	vec_foreach (&fresh->guests, g) {
		if (!has(old, g))
			overlay_set_holder(o, &g->cidr, g->node);
	}
}

static struct overlay_host_block *host_block_get(struct overlay *o, const struct prefix *cidr)
{
	struct overlay_host_block *h;

	HASH_FIND(hh, o->hosts, cidr, sizeof(*cidr), h);
	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->cidr = *cidr;
	HASH_ADD(hh, o->hosts, cidr, sizeof(h->cidr), h);
	return h;
}

void overlay_on_block(struct overlay *o, const struct store_kv *kv)
{
	struct overlay_host_block fresh = { 0 }, *h;
	struct block *b = NULL;
	struct prefix cidr;

	if (!ipamkey_parse_block(kv->key, &cidr))
		return;
	/* What cannot be read leaves what was known; ipam check says what is broken. */
	if (kv->value && block_decode(kv->value, strlen(kv->value), &b, NULL) < 0)
		return;
	if (b)
		read_guests(o, b, &fresh);
	block_free(b);
	h = host_block_get(o, &cidr);
	differ(o, h, &fresh);
	clear(h);
	memcpy(&h->guests, &fresh.guests, sizeof(h->guests));
	if (h->guests.n)
		return;
	HASH_DEL(o->hosts, h);
	free(h);
}

void overlay_borrow_done(struct overlay *o)
{
	struct overlay_host_block *h, *next;

	HASH_ITER (hh, o->hosts, h, next) {
		HASH_DEL(o->hosts, h);
		clear(h);
		free(h);
	}
}
