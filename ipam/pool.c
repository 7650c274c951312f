/* pool.c - which pools may serve a request, and in which order their blocks are tried
 * SPEC  data model 3.1, 3.2.4. Calico seeds a Go generator with the hash; any start will do, as
 *	 long as hosts spread over the pool: only the conditional write decides who gets a block.
 * TESTS tests/unit/ipam/pool.c */
#include "ipam/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/ippool.h"

_Static_assert((int)IPPOOL_WORKLOAD == IPAM_USE_WORKLOAD && (int)IPPOOL_TUNNEL == IPAM_USE_TUNNEL &&
		       (int)IPPOOL_LOAD_BALANCER == IPAM_USE_LOAD_BALANCER,
	       "one set of bits");

struct ipam_pool pool_from(const struct ippool *p, bool selects_node, bool selects_namespace)
{
	return (struct ipam_pool) { .name = p->name,
				    .cidr = p->cidr,
				    .block_len = (uint8_t)p->block_size,
				    .disabled = p->disabled || p->deleting || p->not_allocatable,
				    .manual = p->assignment == IPPOOL_MANUAL,
				    .uses = p->allowed_uses,
				    .selects_node = selects_node,
				    .selects_namespace = selects_namespace };
}

uint32_t fnv1(const char *text)
{
	uint32_t h = 2166136261u;

	for (; *text; text++) {
		h *= 16777619u;
		h ^= (uint8_t)*text;
	}
	return h;
}

uint32_t pool_start(uint32_t seed, uint32_t n)
{
	uint64_t x = seed + UINT64_C(0x9e3779b97f4a7c15);

	/* splitmix64: the low bits of FNV alone are alike for names that differ in the last digit.
	 */
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return (uint32_t)(x % n);
}

uint32_t pool_n_blocks(const struct ipam_pool *pool)
{
	unsigned bits;

	if (pool->block_len < pool->cidr.len)
		return 0;
	bits = (unsigned)pool->block_len - pool->cidr.len;
	return bits >= 32 ? UINT32_MAX : (uint32_t)1 << bits;
}

struct prefix pool_block_at(const struct ipam_pool *pool, uint32_t i)
{
	unsigned host_bits = addr_bits((enum ip_family)pool->cidr.addr.family) - pool->block_len;
	struct addr a = addr_add(&pool->cidr.addr, (uint64_t)i << host_bits);

	return prefix_of(&a, pool->block_len);
}

struct prefix pool_block(const struct ipam_pool *pool, const struct addr *a)
{
	return prefix_of(a, pool->block_len);
}

const struct ipam_pool *pool_of(const struct ipam_world *world, const struct addr *a, bool usable)
{
	for (size_t i = 0; i < world->n_pool; i++)
		if (prefix_contains(&world->pool[i].cidr, a) &&
		    !(usable && world->pool[i].disabled))
			return &world->pool[i];
	return NULL;
}

bool reserved_wholly(const struct ipam_world *world, const struct prefix *p)
{
	for (size_t i = 0; i < world->n_reserved; i++)
		if (prefix_covers(&world->reserved[i], p))
			return true;
	return false;
}

static bool asked_for(const struct ipam_pool *pool, const char *text)
{
	struct prefix p;

	return strcmp(pool->name, text) == 0 ||
	       (prefix_parse(text, &p) && prefix_eq(&p, &pool->cidr));
}

static const struct ipam_pool *find_asked(const struct ipam_world *w, const char *text)
{
	for (size_t i = 0; i < w->n_pool; i++)
		if (asked_for(&w->pool[i], text))
			return &w->pool[i];
	return NULL;
}

static int check_asked(const struct pool_query *q, struct err *e)
{
	for (size_t i = 0; i < q->asked.n; i++) {
		const struct ipam_pool *pool = find_asked(q->world, q->asked.p[i]);

		if (!pool)
			return err_set(e, -ENOENT, "IPPool %s, asked for, does not exist",
				       q->asked.p[i]);
		if (pool->disabled)
			return err_set(e, -ENOENT, "IPPool %s, asked for, is disabled", pool->name);
		if (pool->cidr.addr.family != q->family)
			return err_set(e, -EINVAL,
				       "IPPool %s, asked for as an IPv%d pool, is IPv%d",
				       pool->name, (int)q->family, pool->cidr.addr.family);
	}
	return 0;
}

/* Why a pool does not serve; NULL: it does. */
static const char *refusal(const struct pool_query *q, const struct ipam_pool *pool)
{
	bool asked = q->asked.n == 0;

	if (pool->disabled)
		return "disabled";
	for (size_t i = 0; i < q->asked.n; i++)
		asked = asked || asked_for(pool, q->asked.p[i]);
	if (!asked)
		return "not asked for";
	if (q->asked.n == 0 && pool->manual)
		return "assignmentMode Manual";
	if (q->asked.n == 0 && !pool->selects_node)
		return "nodeSelector does not select the node";
	if (q->asked.n == 0 && !pool->selects_namespace)
		return "namespaceSelector does not select the namespace";
	if (!(pool->uses & q->use))
		return "allowedUses";
	return NULL;
}

/* "web (disabled), db (nodeSelector does not select the node)" */
static int none_left(const struct pool_query *q, struct err *e)
{
	struct str s = { 0 };
	unsigned n = 0;
	int rc;

	for (size_t i = 0; i < q->world->n_pool && n < 6; i++) {
		const struct ipam_pool *pool = &q->world->pool[i];

		if (pool->cidr.addr.family == q->family)
			str_addf(&s, "%s%s (%s)", n++ ? ", " : "", pool->name, refusal(q, pool));
	}
	if (n == 0)
		rc = err_set(e, -ENOENT,
			     "there is no IPv%d pool: create an IPPool with an IPv%d cidr",
			     (int)q->family, (int)q->family);
	else
		rc = err_set(e, -ENOENT, "no qualified IPv%d pool for host %s: %s", (int)q->family,
			     q->host, str_text(&s));
	str_done(&s);
	return rc;
}

static void sort_by_name(const struct ipam_world *w, size_t *index, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i; k > 0; k--) {
			size_t above = index[k - 1];

			if (strcmp(w->pool[above].name, w->pool[index[k]].name) <= 0)
				break;
			index[k - 1] = index[k];
			index[k] = above;
		}
}

ssize_t pool_choose(const struct pool_query *q, size_t *out, struct err *e)
{
	size_t n = 0;
	int rc = check_asked(q, e);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < q->world->n_pool; i++)
		if (q->world->pool[i].cidr.addr.family == q->family &&
		    !refusal(q, &q->world->pool[i]))
			out[n++] = i;
	if (n == 0)
		return none_left(q, e);
	sort_by_name(q->world, out, n);
	return (ssize_t)n;
}
