/* held_by.c - who holds an address, by the picture */
#include "agent/cni/held_by.h"

#include <stdlib.h>
#include <string.h>

#include "agent/cache.h"
#include "agent/cni/ipam_runner.h"
#include "ipam/pool.h"
#include "model/block.h"
#include "model/ipamkey.h"
#include "model/wall.h"

bool held_by(struct agent *a, const struct addr *addr, struct holder *out)
{
	const struct ipam_pool *pool = pool_of(ipam_runner_world(a->ipam), addr, false);
	CLEANUP(block_freep) struct block *b = NULL;
	CLEANUP(freep) char *key = NULL, *when = NULL;
	const struct block_attr *attr;
	const struct store_kv *kv;
	struct prefix cidr;
	unsigned ord;

	memset(out, 0, sizeof(*out));
	if (!pool)
		return false;
	cidr = pool_block(pool, addr);
	key = ipamkey_block(&cidr);
	kv = cache_get(a->cache, key);
	if (!kv || block_decode(kv->value, strlen(kv->value), &b, NULL) < 0 ||
	    !block_ord(b, addr, &ord))
		return false;
	attr = block_attr_of(b, ord);
	if (!attr)
		return true;
	out->handle = xstrdup(attr->handle);
	when = block_attr_get(attr, "timestamp");
	if (when)
		wall_parse(when, &out->when_ns);
	return true;
}

void holder_done(struct holder *h)
{
	free(h->handle);
	memset(h, 0, sizeof(*h));
}
