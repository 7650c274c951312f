/* filter.c - which paths may be used, which may be told to whom and in what form, which may forward
 *
 * SPEC   RFC 4271 5.1, 9.1.2; 1997; 4456 8, 10; 5065 is not spoken. Calico: BGP export filter
 *        order.
 * TESTS  tests/unit/bgp/filter.c: the matrix of sources and targets, each rule */
#include "bgp/filter.h"

#include <string.h>

#include "bgp/aspath.h"

enum {
	COMMUNITY_NO_EXPORT = (int)0xffffff01,
	COMMUNITY_NO_ADVERTISE = (int)0xffffff02,
	COMMUNITY_NO_EXPORT_SUBCONFED = (int)0xffffff03,
	LOCAL_PREF_DEFAULT = 100,
};

static const char *const texts[BGP_REASON_MAX_] = {
	[BGP_REASON_OK] = "accepted",
	[BGP_REASON_OWN_BLOCK] = "a block of this node",
	[BGP_REASON_IN_POOL] = "inside an enabled pool",
	[BGP_REASON_SESSION_GONE] = "its session has ended",
	[BGP_REASON_NO_NEXT_HOP] = "it has no next hop",
	[BGP_REASON_NEXT_HOP_OWN] = "its next hop is this node",
	[BGP_REASON_NEXT_HOP_UNREACHABLE] = "its next hop is unreachable",
	[BGP_REASON_PATH_TOO_LONG] = "its AS_PATH is too long",
	[BGP_REASON_OWN_AS] = "our own AS is in its path",
	[BGP_REASON_FIRST_AS] = "its path does not begin with the peer's AS",
	[BGP_REASON_OWN_ORIGINATOR] = "its ORIGINATOR_ID is ours",
	[BGP_REASON_OWN_CLUSTER] = "our own cluster is in its CLUSTER_LIST",
	[BGP_REASON_NO_ADVERTISE] = "it carries NO_ADVERTISE",
	[BGP_REASON_NO_EXPORT] = "it carries NO_EXPORT and the peer is eBGP",
	[BGP_REASON_NOT_REFLECTED] = "learned by iBGP, and neither end is our reflector client",
	[BGP_REASON_EXPORT_DISABLED] = "inside a pool with disableBGPExport",
	[BGP_REASON_INSIDE_OWN_BLOCK] = "covered by a block of this node",
	[BGP_REASON_OUTSIDE_POOLS] = "outside every enabled pool",
	[BGP_REASON_TO_SENDER] = "the best path came from this peer",
	[BGP_REASON_NO_OWN_NEXT_HOP] = "this node has no address of that family",
	[BGP_REASON_TOO_BIG] = "its attributes do not fit into a message",
	[BGP_REASON_MADE_HERE] = "made here",
	[BGP_REASON_VXLAN] = "inside a VXLAN pool, which is routed another way",
};

const char *bgp_reason_text(enum bgp_reason reason)
{
	return texts[reason];
}

/* ---- the node's own knowledge ---- */

void bgp_policy_done(struct bgp_policy *pol)
{
	trie_done(&pol->pools);
	trie_done(&pol->blocks);
	vec_done(&pol->pool);
}

static bool pool_eq(const struct bgp_pool *a, const struct bgp_pool *b)
{
	return prefix_eq(&a->cidr, &b->cidr) && a->disable_export == b->disable_export &&
	       a->vxlan == b->vxlan;
}

bool bgp_policy_set_pools(struct bgp_policy *pol, const struct bgp_pool *pools, size_t n)
{
	bool same = pol->pool.n == n;

	for (size_t i = 0; i < n && same; i++)
		same = pool_eq(&pol->pool.p[i], &pools[i]);
	if (same)
		return false;
	trie_done(&pol->pools);
	vec_clear(&pol->pool);
	vec_reserve(&pol->pool, n);
	for (size_t i = 0; i < n; i++) {
		vec_push(&pol->pool, pools[i]);
		trie_add(&pol->pools, &pools[i].cidr, &pol->pool.p[i]);
	}
	return true;
}

static const struct bgp_pool *pool_of(const struct bgp_policy *pol, const struct prefix *p)
{
	return trie_lpm(&pol->pools, p, NULL);
}

/* ---- import ---- */

static bool is_own_addr(const struct bgp_policy *pol, const struct addr *a)
{
	return (pol->local_v4.family && addr_eq(a, &pol->local_v4)) ||
	       (pol->local_v6.family && addr_eq(a, &pol->local_v6));
}

/* RFC 4271 9.1.2: a path with our own AS in it is a loop, unless the peer is allowed to show it. An
 * AS that this session alone uses (localASNumber) counts as ours too. */
static bool has_own_as(const struct bgp_policy *pol, const struct bgp_source *src,
		       const struct bgp_attrs *a)
{
	unsigned seen = bgp_attrs_path_count(a, src->local_as);

	if (src->local_as != pol->local_as)
		seen += bgp_attrs_path_count(a, pol->local_as);
	return seen > src->allowed_local_as;
}

enum bgp_reason bgp_import_check(const struct bgp_policy *pol, const struct bgp_source *src,
				 const struct bgp_attrs *a)
{
	if (a->v.next_hop.family == IP_NONE || addr_is_zero(&a->v.next_hop))
		return BGP_REASON_NO_NEXT_HOP;
	if (is_own_addr(pol, &a->v.next_hop) || addr_eq(&a->v.next_hop, &src->local))
		return BGP_REASON_NEXT_HOP_OWN;
	if (a->path_len > BGP_PATH_LEN_MAX)
		return BGP_REASON_PATH_TOO_LONG;
	if (a->len[BGP_PART_AS_PATH] && has_own_as(pol, src, a))
		return BGP_REASON_OWN_AS;
	if (src->ebgp)
		return a->first_as == src->remote_as ? BGP_REASON_OK : BGP_REASON_FIRST_AS;
	/* RFC 4456 8 */
	if (bgp_attrs_has(a, BGP_ATTR_ORIGINATOR_ID) && a->v.originator_id == pol->router_id)
		return BGP_REASON_OWN_ORIGINATOR;
	if (pol->cluster_id && bgp_attrs_cluster_contains(a, pol->cluster_id))
		return BGP_REASON_OWN_CLUSTER;
	return BGP_REASON_OK;
}

/* ---- export ---- */

struct export {
	const struct bgp_policy *pol;
	const struct bgp_target *to;
	const struct prefix *p;
	const struct bgp_source *src;
	const struct bgp_attrs *attrs;
	const struct bgp_pool *pool; /* that p is in; NULL */
	struct prefix block;	     /* the own block that p is in, if in_block */
	bool in_block;
};

static bool from_ibgp(const struct export *x)
{
	return x->src->index != 0 && !x->src->ebgp;
}

static bool is_no_advertise(const struct export *x)
{
	return bgp_attrs_has_community(x->attrs, (uint32_t)COMMUNITY_NO_ADVERTISE);
}

static bool is_no_export(const struct export *x)
{
	/* without confederations NO_EXPORT_SUBCONFED means the same, RFC 1997 */
	return x->to->ebgp &&
	       (bgp_attrs_has_community(x->attrs, (uint32_t)COMMUNITY_NO_EXPORT) ||
		bgp_attrs_has_community(x->attrs, (uint32_t)COMMUNITY_NO_EXPORT_SUBCONFED));
}

/* RFC 4456 6: from a client to all, from a non-client to clients. */
static bool is_not_reflected(const struct export *x)
{
	if (!from_ibgp(x) || x->to->ebgp)
		return false;
	return !x->pol->cluster_id || !(x->src->rr_client || x->to->rr_client);
}

static bool is_export_disabled(const struct export *x)
{
	return x->pool && x->pool->disable_export;
}

static bool is_own_block(const struct export *x)
{
	return x->in_block && prefix_eq(&x->block, x->p);
}

static bool is_inside_own_block(const struct export *x)
{
	return x->in_block;
}

static bool is_in_pool(const struct export *x)
{
	return x->pool;
}

static bool always(const struct export *x)
{
	(void)x;
	return true;
}

/* First come the protocol's own rules, as they do in BIRD, then Calico's filter. Never back to the
 * sender is not in here: it is about one peer, and a result is shared by many (adjout.c). */
static const struct {
	bool (*applies)(const struct export *x);
	enum bgp_reason reason;
} export_rules[] = {
	{ is_no_advertise, BGP_REASON_NO_ADVERTISE },
	{ is_no_export, BGP_REASON_NO_EXPORT },
	{ is_not_reflected, BGP_REASON_NOT_REFLECTED },
	{ is_export_disabled, BGP_REASON_EXPORT_DISABLED },
	{ is_own_block, BGP_REASON_OWN_BLOCK },
	{ is_inside_own_block, BGP_REASON_INSIDE_OWN_BLOCK },
	{ is_in_pool, BGP_REASON_IN_POOL },
	{ always, BGP_REASON_OUTSIDE_POOLS },
};

/* Does the next hop become our own address? AUTO: always to eBGP; to iBGP for what was made
 * here. */
static bool wants_self(const struct bgp_target *to, const struct bgp_source *src,
		       const struct bgp_attrs *a)
{
	if (src->index == 0 || a->v.next_hop.family == IP_NONE || to->self_always)
		return true;
	return to->ebgp && !to->keep;
}

enum bgp_reason bgp_export_check(const struct bgp_policy *pol, const struct bgp_target *to,
				 const struct prefix *p, const struct bgp_source *src,
				 const struct bgp_attrs *attrs)
{
	struct export x = { .pol = pol, .to = to, .p = p, .src = src, .attrs = attrs };
	enum bgp_reason reason;
	size_t i = 0;

	x.pool = pool_of(pol, p);
	x.in_block = trie_top(&pol->blocks, p, &x.block) != NULL;
	while (!export_rules[i].applies(&x))
		i++;
	reason = export_rules[i].reason;
	if (bgp_reason_accepts(reason) && to->self.family == IP_NONE &&
	    wants_self(to, src, attrs))
		return BGP_REASON_NO_OWN_NEXT_HOP;
	return reason;
}

static void attr_set(struct bgp_attrs_draft *d, enum bgp_attr_type type)
{
	d->v.present |= (uint64_t)1 << type;
}

static void attr_clear(struct bgp_attrs_draft *d, enum bgp_attr_type type)
{
	d->v.present &= ~((uint64_t)1 << type);
}

/* RFC 4271 5.1.4, 5.1.5: MED and LOCAL_PREF are for one AS; so are the reflector's marks. */
static void strip_for_ebgp(struct bgp_attrs_draft *d)
{
	attr_clear(d, BGP_ATTR_MED);
	attr_clear(d, BGP_ATTR_LOCAL_PREF);
	attr_clear(d, BGP_ATTR_ORIGINATOR_ID);
	attr_clear(d, BGP_ATTR_CLUSTER_LIST);
	d->v.med = d->v.local_pref = d->v.originator_id = 0;
	d->part[BGP_PART_CLUSTER_LIST].len = 0;
}

/* RFC 4456 8: who brought it in, and that it went through us. */
static bool mark_reflected(struct bgp_attrs_draft *d, const struct bgp_policy *pol,
			   const struct bgp_source *src, uint8_t *scratch, size_t size)
{
	size_t old = d->part[BGP_PART_CLUSTER_LIST].len;

	if (old + 4 > size)
		return false;
	if (!(d->v.present >> BGP_ATTR_ORIGINATOR_ID & 1)) {
		attr_set(d, BGP_ATTR_ORIGINATOR_ID);
		d->v.originator_id = src->router_id;
	}
	attr_set(d, BGP_ATTR_CLUSTER_LIST);
	put_u32(scratch, pol->cluster_id);
	if (old)
		memcpy(scratch + 4, d->part[BGP_PART_CLUSTER_LIST].p, old);
	d->part[BGP_PART_CLUSTER_LIST].p = scratch;
	d->part[BGP_PART_CLUSTER_LIST].len = (uint16_t)(old + 4);
	return true;
}

struct bgp_attrs *bgp_export_attrs(struct bgp_attr_table *t, const struct bgp_policy *pol,
				   const struct bgp_target *to, const struct bgp_source *src,
				   const struct bgp_attrs *attrs)
{
	struct bgp_attrs_draft d = bgp_attrs_edit(attrs);
	uint8_t scratch[BGP_MSG_MAX];
	bool fits = true;

	if (wants_self(to, src, attrs)) {
		d.v.next_hop = to->self;
		d.v.next_hop_ll = (struct addr){ 0 };
	}
	if (to->ebgp) {
		strip_for_ebgp(&d);
		fits = bgp_attrs_prepend(&d, to->local_as, 1, scratch, sizeof(scratch));
	} else {
		if (!(d.v.present >> BGP_ATTR_LOCAL_PREF & 1)) {
			attr_set(&d, BGP_ATTR_LOCAL_PREF);
			d.v.local_pref = LOCAL_PREF_DEFAULT;
		}
		if (src->index != 0 && !src->ebgp)
			fits = mark_reflected(&d, pol, src, scratch, sizeof(scratch));
	}
	return fits ? bgp_attrs_intern(t, &d) : NULL;
}

/* ---- forwarding ---- */

/* Outside all pools everything is accepted: routes of the fabric, a default route. */
enum bgp_reason bgp_fib_check(const struct bgp_policy *pol, const struct prefix *p,
			      const struct bgp_source *src)
{
	const struct bgp_pool *pool;

	if (src->index == 0)
		return BGP_REASON_MADE_HERE;
	pool = pool_of(pol, p);
	return pool && pool->vxlan ? BGP_REASON_VXLAN : BGP_REASON_OK;
}
