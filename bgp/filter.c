/* filter.c - which paths may be used, which may be told to whom and in what form, which may forward
 *
 * SPEC   RFC 4271 5.1, 9.1.2; 1997; 4456 8, 10; 5065 is not spoken. Calico: BGP export filter
 *        order.
 * TESTS  tests/unit/bgp/filter.c: the matrix of sources and targets, each rule */
#include "bgp/filter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bgp/aspath.h"

static const struct {
	const char *name, *text;
} words[BGP_REASON_MAX_] = {
	[BGP_REASON_OK] = { "ok", "accepted" },
	[BGP_REASON_OWN_BLOCK] = { "own-block", "a block of this node" },
	[BGP_REASON_SERVICE] = { "service", "announced for services" },
	[BGP_REASON_SERVICE_RANGE] = { "service-range",
				       "inside a range of service addresses, and this node "
				       "reflects" },
	[BGP_REASON_IN_POOL] = { "in-pool", "inside an enabled pool" },
	[BGP_REASON_ELEVATED] = { "elevated", "inside a block of this node, of elevated priority" },
	[BGP_REASON_FILTER_ACCEPTS] = { "filter-accepts", "a BGPFilter accepts it" },
	[BGP_REASON_SESSION_GONE] = { "session-gone", "its session has ended" },
	[BGP_REASON_NO_NEXT_HOP] = { "no-next-hop", "it has no next hop" },
	[BGP_REASON_NEXT_HOP_OWN] = { "next-hop-own", "its next hop is this node" },
	[BGP_REASON_NEXT_HOP_UNREACHABLE] = { "next-hop-unreachable",
					      "its next hop is unreachable" },
	[BGP_REASON_PATH_TOO_LONG] = { "path-too-long", "its AS_PATH is too long" },
	[BGP_REASON_OWN_AS] = { "own-as", "our own AS is in its path" },
	[BGP_REASON_FIRST_AS] = { "first-as", "its path does not begin with the peer's AS" },
	[BGP_REASON_OWN_ORIGINATOR] = { "own-originator", "its ORIGINATOR_ID is ours" },
	[BGP_REASON_OWN_CLUSTER] = { "own-cluster", "our own cluster is in its CLUSTER_LIST" },
	[BGP_REASON_LEAKED] = { "leaked", "a route leak: its OTC does not go with our role" },
	[BGP_REASON_NO_LLGR] = { "no-llgr",
				 "its session has ended, and it carries NO_LLGR: not kept longer" },
	[BGP_REASON_NO_ADVERTISE] = { "no-advertise", "it carries NO_ADVERTISE" },
	[BGP_REASON_NO_EXPORT] = { "no-export", "it carries NO_EXPORT and the peer is eBGP" },
	[BGP_REASON_NOT_REFLECTED] = { "not-reflected",
				       "learned by iBGP, and neither end is our reflector client" },
	[BGP_REASON_LLGR_UNAWARE] = { "llgr-unaware", "kept long after its session ended, and the "
						      "peer does not know that" },
	[BGP_REASON_ONLY_TO_CUSTOMER] = { "only-to-customer", "it is for customers only (OTC)" },
	[BGP_REASON_NOT_OWN] = { "not-own", "learned from another, and the peer gets only what is "
					    "made here" },
	[BGP_REASON_FILTER_REJECTS] = { "filter-rejects", "a BGPFilter rejects it" },
	[BGP_REASON_EXPORT_DISABLED] = { "export-disabled", "inside a pool with disableBGPExport" },
	[BGP_REASON_INSIDE_OWN_BLOCK] = { "inside-own-block", "covered by a block of this node" },
	[BGP_REASON_SERVED_ELSEWHERE] = { "served-elsewhere",
					  "another node's service, which from here packets would "
					  "not get to" },
	[BGP_REASON_OUTSIDE_POOLS] = { "outside-pools", "outside every enabled pool" },
	[BGP_REASON_TO_SENDER] = { "to-sender", "the best path came from this peer" },
	[BGP_REASON_NO_OWN_NEXT_HOP] = { "no-own-next-hop",
					 "this node has no address of that family" },
	[BGP_REASON_NEXT_HOP_FAMILY] = { "next-hop-family", "its next hop is IPv6, which the peer "
							    "does not take for IPv4" },
	[BGP_REASON_TOO_BIG] = { "too-big", "its attributes do not fit into a message" },
	[BGP_REASON_MUTED] = { "muted", "this node is being drained and tells nothing any more" },
	[BGP_REASON_MADE_HERE] = { "made-here", "made here" },
	[BGP_REASON_VXLAN] = { "vxlan", "inside a VXLAN pool, which is routed another way" },
	[BGP_REASON_SERVED_HERE] = { "served-here", "inside a range of service addresses, which "
						    "every node serves itself" },
};

const char *bgp_reason_text(enum bgp_reason reason)
{
	return words[reason].text;
}

const char *bgp_reason_name(enum bgp_reason reason)
{
	return words[reason].name;
}

/* ---- the node's own knowledge ---- */

void bgp_policy_done(struct bgp_policy *pol)
{
	trie_done(&pol->pools);
	trie_done(&pol->blocks);
	vec_done(&pol->pool);
	bgp_policy_set_services(pol, &(struct bgp_services) { 0 });
	vec_done(&pol->service);
	vec_done(&pol->range);
	bgp_policy_set_adverts(pol, NULL, 0);
	vec_done(&pol->advert);
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

/* The first word about a prefix counts. */
static void set_service_routes(struct bgp_policy *pol, const struct bgp_services *s)
{
	trie_done(&pol->services);
	vec_foreach (&pol->service, old)
		free(old->why);
	vec_clear(&pol->service);
	vec_reserve(&pol->service, s->n_routes);
	for (size_t i = 0; i < s->n_routes; i++) {
		struct bgp_policy_service one = { prefix_mask(&s->route[i].prefix),
						  xstrdup(s->route[i].why) };

		vec_push(&pol->service, one);
	}
	for (size_t i = pol->service.n; i-- > 0;)
		trie_add(&pol->services, &pol->service.p[i].prefix, &pol->service.p[i]);
}

static bool ranges_eq(const struct bgp_served_range *a, const struct bgp_served_range *b)
{
	return prefix_eq(&a->cidr, &b->cidr) && a->reflect == b->reflect &&
	       a->no_kernel == b->no_kernel;
}

bool bgp_policy_set_services(struct bgp_policy *pol, const struct bgp_services *s)
{
	bool same = pol->range.n == s->n_ranges;

	set_service_routes(pol, s);
	for (size_t i = 0; i < s->n_ranges && same; i++)
		same = ranges_eq(&pol->range.p[i], &s->range[i]);
	if (same)
		return false;
	trie_done(&pol->reflected);
	trie_done(&pol->no_kernel);
	vec_clear(&pol->range);
	for (size_t i = 0; i < s->n_ranges; i++) {
		vec_push(&pol->range, s->range[i]);
		if (s->range[i].reflect)
			trie_add(&pol->reflected, &s->range[i].cidr, pol);
		if (s->range[i].no_kernel)
			trie_add(&pol->no_kernel, &s->range[i].cidr, pol);
	}
	return true;
}

static void put_members(struct bgp_advert_set *set, const struct bgp_advert *a)
{
	uint8_t bytes[12];

	for (size_t i = 0; i < a->n_communities; i++) {
		put_u32(bytes, a->communities[i]);
		for (unsigned k = 0; k < 4; k++)
			vec_push(&set->communities, bytes[k]);
	}
	for (size_t i = 0; i < a->n_large * 3; i++) {
		put_u32(bytes, a->large[i]);
		for (unsigned k = 0; k < 4; k++)
			vec_push(&set->large, bytes[k]);
	}
}

static bool advert_sets_eq(const struct bgp_advert_set *a, const struct bgp_advert_set *b)
{
	return prefix_eq(&a->cidr, &b->cidr) && a->communities.n == b->communities.n &&
	       a->large.n == b->large.n &&
	       (!a->large.n || memcmp(a->large.p, b->large.p, a->large.n) == 0) &&
	       (!a->communities.n ||
		memcmp(a->communities.p, b->communities.p, a->communities.n) == 0);
}

bool bgp_policy_set_adverts(struct bgp_policy *pol, const struct bgp_advert *adverts, size_t n)
{
	VEC(struct bgp_advert_set) next = { 0 };
	bool same = n == pol->advert.n;

	for (size_t i = 0; i < n; i++) {
		struct bgp_advert_set set = { .cidr = prefix_mask(&adverts[i].cidr) };

		for (size_t k = 0; k < n; k++) {
			if (prefix_covers(&adverts[k].cidr, &set.cidr))
				put_members(&set, &adverts[k]);
		}
		same = same && advert_sets_eq(&set, &pol->advert.p[i]);
		vec_push(&next, set);
	}
	trie_done(&pol->adverts);
	vec_foreach (&pol->advert, old) {
		vec_done(&old->communities);
		vec_done(&old->large);
	}
	vec_done(&pol->advert);
	for (size_t i = 0; i < next.n; i++)
		vec_push(&pol->advert, next.p[i]);
	vec_done(&next);
	for (size_t i = 0; i < n; i++)
		trie_add(&pol->adverts, &pol->advert.p[i].cidr, &pol->advert.p[i]);
	return !same;
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

asn_t bgp_effective_otc(const struct bgp_source *src, const struct bgp_attrs *a)
{
	if (bgp_attrs_has(a, BGP_ATTR_OTC))
		return a->v.otc;
	if (src->role == BGP_ROLE_CUSTOMER || src->role == BGP_ROLE_PEER ||
	    src->role == BGP_ROLE_RS_CLIENT)
		return src->remote_as;
	return 0;
}

/* RFC 9234 5: what is for customers only does not come from one; what a peer was told by others it
 * does not tell on. */
static bool is_leaked(const struct bgp_source *src, const struct bgp_attrs *a)
{
	if (!bgp_attrs_has(a, BGP_ATTR_OTC))
		return false;
	if (src->role == BGP_ROLE_PROVIDER || src->role == BGP_ROLE_RS)
		return true;
	return src->role == BGP_ROLE_PEER && a->v.otc != src->remote_as;
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
	if (src->ebgp && !src->edits_path && !bgp_first_as_ok(src, a))
		return BGP_REASON_FIRST_AS;
	if (src->ebgp)
		return is_leaked(src, a) ? BGP_REASON_LEAKED : BGP_REASON_OK;
	/* RFC 4456 8 */
	if (bgp_attrs_has(a, BGP_ATTR_ORIGINATOR_ID) && a->v.originator_id == pol->router_id)
		return BGP_REASON_OWN_ORIGINATOR;
	if (pol->cluster_id && bgp_attrs_cluster_contains(a, pol->cluster_id))
		return BGP_REASON_OWN_CLUSTER;
	return BGP_REASON_OK;
}

/* ---- export ---- */

struct export
{
	const struct bgp_policy *pol;
	const struct bgp_target *to;
	const struct prefix *p;
	const struct bgp_source *src;
	const struct bgp_attrs *attrs;
	const struct bgp_pool *pool; /* that p is in; NULL */
	struct prefix block;	     /* the own block that p is in, if in_block */
	bool in_block;
	const struct bgp_rule *rule; /* of the peer's filters; NULL: none matches */
};

static bool from_ibgp(const struct export *x)
{
	return x->src->index != 0 && !x->src->ebgp;
}

static bool is_no_advertise(const struct export *x)
{
	return x->attrs->marks & BGP_MARK_NO_ADVERTISE;
}

static bool is_no_export(const struct export *x)
{
	return x->to->ebgp && (x->attrs->marks & BGP_MARK_NO_EXPORT);
}

/* RFC 9494 4.3 */
static bool is_llgr_unaware(const struct export *x)
{
	return bgp_is_long_stale(x->src, x->to->af, x->attrs) && !x->to->long_lived;
}

/* RFC 9234 5: not to providers, peers and route servers. */
static bool is_only_to_customer(const struct export *x)
{
	if (x->to->role != BGP_ROLE_CUSTOMER && x->to->role != BGP_ROLE_PEER &&
	    x->to->role != BGP_ROLE_RS_CLIENT)
		return false;
	return bgp_effective_otc(x->src, x->attrs) != 0;
}

/* RFC 4456 6: from a client to all, from a non-client to clients. */
static bool is_not_reflected(const struct export *x)
{
	if (!from_ibgp(x) || x->to->ebgp)
		return false;
	return !x->pol->cluster_id || !(x->src->rr_client || x->to->rr_client);
}

static bool filter_rejects(const struct export *x)
{
	return x->rule && !x->rule->accept;
}

static bool filter_accepts(const struct export *x)
{
	return x->rule && x->rule->accept;
}

static bool is_export_disabled(const struct export *x)
{
	return x->pool && x->pool->disable_export;
}

static bool is_own_block(const struct export *x)
{
	return x->in_block && prefix_eq(&x->block, x->p);
}

/* Calico: while a pod moves, its new node tells a /32 that must win. */
static bool is_elevated(const struct export *x)
{
	uint32_t normal = x->pol->normal_priority[x->to->af];

	return x->in_block && normal &&
	       bgp_effective_local_pref(x->pol, x->to->af, x->src, x->attrs) >
		       BGP_PRIORITY_BASE - normal;
}

static bool is_inside_own_block(const struct export *x)
{
	return x->in_block;
}

/* With our own next hop it would draw packets to a node that does not forward them: its kernel does
 * not get such routes. DIFFERS: Calico tells it on, so that of a service with externalTrafficPolicy
 * Local a router behind a mesh hears from all nodes, also from those that drop its packets. Behind a
 * reflector others may have no other way out: that one does tell it on. */
static bool is_served_elsewhere(const struct export *x)
{
	return x->src->index != 0 && !x->pol->cluster_id &&
	       trie_lpm(&x->pol->no_kernel, x->p, NULL) &&
	       bgp_export_wants_self(x->to, x->src, x->attrs);
}

static bool is_service(const struct export *x)
{
	return trie_lpm(&x->pol->services, x->p, NULL);
}

/* Services of other nodes that this reflector passes on, whether it announces them or not. */
static bool is_service_range(const struct export *x)
{
	return x->pol->cluster_id && trie_lpm(&x->pol->reflected, x->p, NULL);
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

/* The second part of a drain: all is withdrawn. */
static bool is_muted(const struct export *x)
{
	return x->pol->muted;
}

/* The operator wants no transit here: what others told goes no further. */
static bool is_not_own(const struct export *x)
{
	return x->to->own_only && x->src->index != 0;
}

/* First come the protocol's own rules, as they do in BIRD, then Calico's filter. Never back to the
 * sender is not in here: it is about one peer, and a result is shared by many (adjout.c). */
static const struct {
	bool (*applies)(const struct export *x);
	enum bgp_reason reason;
	const char *asks; /* for persons */
} export_rules[] = {
	{ is_muted, BGP_REASON_MUTED, "is this node being drained, and has said its last word?" },
	{ is_no_advertise, BGP_REASON_NO_ADVERTISE, "does it carry NO_ADVERTISE?" },
	{ is_no_export, BGP_REASON_NO_EXPORT, "does it carry NO_EXPORT, and the peer is eBGP?" },
	{ is_llgr_unaware, BGP_REASON_LLGR_UNAWARE,
	  "is it kept long, and the peer does not know LLGR_STALE?" },
	{ is_only_to_customer, BGP_REASON_ONLY_TO_CUSTOMER,
	  "is it for customers only (OTC), and the peer is none?" },
	{ is_not_reflected, BGP_REASON_NOT_REFLECTED,
	  "is it from iBGP to iBGP, and neither end a client of this reflector?" },
	{ is_not_own, BGP_REASON_NOT_OWN, "is it another's, and the peer gets our own only?" },
	{ filter_rejects, BGP_REASON_FILTER_REJECTS, "does a BGPFilter reject it?" },
	{ filter_accepts, BGP_REASON_FILTER_ACCEPTS, "does a BGPFilter accept it?" },
	{ is_export_disabled, BGP_REASON_EXPORT_DISABLED,
	  "is it inside a pool with disableBGPExport?" },
	{ is_own_block, BGP_REASON_OWN_BLOCK, "is it a block of this node?" },
	{ is_elevated, BGP_REASON_ELEVATED,
	  "is it inside a block of this node, of elevated priority?" },
	{ is_inside_own_block, BGP_REASON_INSIDE_OWN_BLOCK, "is it inside a block of this node?" },
	{ is_served_elsewhere, BGP_REASON_SERVED_ELSEWHERE,
	  "is it another node's service, and would packets come here?" },
	{ is_service, BGP_REASON_SERVICE, "is it announced from here for services?" },
	{ is_service_range, BGP_REASON_SERVICE_RANGE,
	  "is it inside a range of services, and this node a reflector?" },
	{ is_in_pool, BGP_REASON_IN_POOL, "is it inside an enabled pool?" },
	{ always, BGP_REASON_OUTSIDE_POOLS, "nothing else lets it out" },
};

uint32_t bgp_effective_local_pref(const struct bgp_policy *pol, enum bgp_af af,
				  const struct bgp_source *src, const struct bgp_attrs *a)
{
	if (a->marks & BGP_MARK_GRACEFUL_SHUTDOWN)
		return 0;
	if (bgp_attrs_has(a, BGP_ATTR_LOCAL_PREF))
		return a->v.local_pref;
	if (src->index == 0 && pol->normal_priority[af])
		return BGP_PRIORITY_BASE - pol->normal_priority[af];
	return BGP_LOCAL_PREF_DEFAULT;
}

static const struct bgp_rule *match_filters(const struct bgp_policy *pol,
					    const struct bgp_target *to, const struct prefix *p,
					    const struct bgp_source *src,
					    const struct bgp_attrs *attrs)
{
	struct bgp_rule_route r = {
		.prefix = p,
		.attrs = attrs,
		.local_pref = bgp_effective_local_pref(pol, to->af, src, attrs),
		.direction = BGP_EXPORT,
		.remote = src->index != 0,
		.ebgp = to->ebgp,
	};

	if (!to->chain)
		return NULL;
	if (r.remote && pol->interface_of &&
	    bgp_chain_wants_interface(to->chain, BGP_EXPORT, to->af))
		r.ifname = pol->interface_of(pol->arg, src, attrs);
	return bgp_chain_match(to->chain, to->af, &r);
}

/* Can the peer be given a next hop? */
static enum bgp_reason check_next_hop(const struct bgp_target *to, const struct bgp_source *src,
				      const struct bgp_attrs *attrs, enum bgp_reason accepted)
{
	bool self = bgp_export_wants_self(to, src, attrs);
	const struct addr *nh = self ? &to->self : &attrs->v.next_hop;

	if (nh->family == IP_NONE)
		return BGP_REASON_NO_OWN_NEXT_HOP;
	if (to->af == BGP_AF_IPV4_UNICAST && nh->family == IP_V6 && !to->ext_next_hop)
		return BGP_REASON_NEXT_HOP_FAMILY;
	return accepted;
}

static void trace_fill(struct bgp_export_trace *t, const struct export *x, size_t last)
{
	*t = (struct bgp_export_trace) {
		.n = (unsigned)last + 1,
		.reason = export_rules[last].reason,
		.rule = x->rule,
		.pool = x->pool,
		.in_block = x->in_block,
	};
	if (x->in_block)
		t->block = x->block;
	if (t->reason == BGP_REASON_SERVICE)
		t->service = trie_lpm(&x->pol->services, x->p, NULL);
	for (size_t i = 0; i <= last; i++)
		t->asked[i] = export_rules[i].asks;
}

enum bgp_reason bgp_export_explain(const struct bgp_policy *pol, const struct bgp_target *to,
				   const struct prefix *p, const struct bgp_source *src,
				   const struct bgp_attrs *attrs, struct bgp_export_plan *plan,
				   struct bgp_export_trace *trace)
{
	struct export x = { .pol = pol, .to = to, .p = p, .src = src, .attrs = attrs };
	enum bgp_reason reason;
	size_t i = 0;

	static_assert(ARRAY_SIZE(export_rules) == BGP_EXPORT_RULES_, "a trace has room for each");
	x.pool = pool_of(pol, p);
	x.in_block = trie_top(&pol->blocks, p, &x.block) != NULL;
	x.rule = match_filters(pol, to, p, src, attrs);
	while (!export_rules[i].applies(&x))
		i++;
	if (trace)
		trace_fill(trace, &x, i);
	reason = export_rules[i].reason;
	if (!bgp_reason_accepts(reason))
		return reason;
	if (plan) {
		plan->rule = x.rule;
		/* an accepting filter is the last word: what comes after it is not done */
		plan->advert = x.rule ? NULL : trie_lpm(&pol->adverts, p, NULL);
	}
	return check_next_hop(to, src, attrs, reason);
}

enum bgp_reason bgp_export_check(const struct bgp_policy *pol, const struct bgp_target *to,
				 const struct prefix *p, const struct bgp_source *src,
				 const struct bgp_attrs *attrs, struct bgp_export_plan *plan)
{
	return bgp_export_explain(pol, to, p, src, attrs, plan, NULL);
}

/* ---- forwarding ---- */

/* Outside all pools everything is accepted: routes of the fabric, a default route. */
enum bgp_reason bgp_fib_check(const struct bgp_policy *pol, const struct prefix *p,
			      const struct bgp_source *src)
{
	const struct bgp_pool *pool;

	if (src->index == 0)
		return BGP_REASON_MADE_HERE;
	if (trie_lpm(&pol->no_kernel, p, NULL))
		return BGP_REASON_SERVED_HERE;
	pool = pool_of(pol, p);
	return pool && pool->vxlan ? BGP_REASON_VXLAN : BGP_REASON_OK;
}
