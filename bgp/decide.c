/* decide.c - which of n paths to one prefix is best
 *
 * SHAPE  By elimination, as RFC 4271 9.1.2.2 words it: each step removes the candidates that are
 *        worse than the best of those still in. That makes the result independent of the order of
 *        arrival even for MED, which a chain of pairwise comparisons is not: MED only compares
 *        paths of the same neighbour AS. (For any order, grouping by neighbour AS first gives the
 *        same winner.) The order is BIRD's, which nodes that we share a mesh with run:
 *
 *		1 made here, not stale	5 lowest MED		 8 lowest router ID
 *		2 highest LOCAL_PREF	6 eBGP over iBGP	 9 shortest CLUSTER_LIST
 *		3 shortest AS_PATH	7 lowest IGP cost	10 lowest peer address
 *		4 lowest ORIGIN		  (here load is shared)	11 next hop, AS_PATH, 12 id
 *
 *        There is no step for age: the answer is the same on every node and after every restart.
 *
 *        The steps are the list `steps`. Between 1 and 4, and from 6 on, eliminating step by step
 *        is the same as comparing lexicographically, so bgp_decide packs the first of them into one
 *        number for each candidate (rank) and looks for the least: with 50 paths to each of a
 *        hundred thousand prefixes, that is where the time goes. Which step it was is found out
 *        afterwards, when somebody asks.
 * COST   O(n), O(n log n) where MEDs differ; no allocation.
 * SPEC   RFC 4271 9.1.2.2; 4456 9; 5004 is not used
 * TESTS  tests/unit/bgp/decide.c: each step, and all permutations of random sets */
#include "bgp/decide.h"

#include <stdlib.h>
#include <string.h>

/* < 0: a is better */
typedef int step_cmp(const struct bgp_candidate *a, const struct bgp_candidate *b);

static int low_wins(uint32_t a, uint32_t b)
{
	return a < b ? -1 : a > b;
}

static int cmp_local(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->source->index != 0, b->source->index != 0);
}

/* RFC 9494 4.2: what is kept very long is the last choice. */
static int cmp_llgr_stale(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->long_stale, b->long_stale);
}

/* RFC 4271 5.1.5: a route that came without has the default, 100. RFC 8326 4: one that will go soon
 * is worth nothing. */
static uint32_t local_pref(const struct bgp_attrs *a)
{
	if (a->marks & BGP_MARK_GRACEFUL_SHUTDOWN)
		return 0;
	return bgp_attrs_has(a, BGP_ATTR_LOCAL_PREF) ? a->v.local_pref : 100;
}

static int cmp_local_pref(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(local_pref(b->attrs), local_pref(a->attrs));
}

static int cmp_as_path(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->attrs->path_len, b->attrs->path_len);
}

static int cmp_origin(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->attrs->v.origin, b->attrs->v.origin);
}

/* A missing MED is 0, the lowest: BIRD's default_med. */
static uint32_t med(const struct bgp_attrs *a)
{
	return bgp_attrs_has(a, BGP_ATTR_MED) ? a->v.med : 0;
}

/* Within one neighbour AS only; an empty path means our own (first_as is 0 for all of them). */
static int cmp_med(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	if (a->attrs->first_as != b->attrs->first_as)
		return 0;
	return low_wins(med(a->attrs), med(b->attrs));
}

static int cmp_ebgp(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(!a->source->ebgp, !b->source->ebgp);
}

static int cmp_igp_cost(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->igp_cost, b->igp_cost);
}

/* RFC 4456 9: ORIGINATOR_ID stands for the router ID. */
static uint32_t router_id(const struct bgp_candidate *c)
{
	return bgp_attrs_has(c->attrs, BGP_ATTR_ORIGINATOR_ID) ? c->attrs->v.originator_id
							       : c->source->router_id;
}

static int cmp_router_id(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(router_id(a), router_id(b));
}

static int cmp_cluster_list(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->attrs->len[BGP_PART_CLUSTER_LIST], b->attrs->len[BGP_PART_CLUSTER_LIST]);
}

static int cmp_peer_addr(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	int c = addr_cmp(&a->source->addr, &b->source->addr);

	/* two ports of one address: the peer's number is as stable */
	return c ? c : low_wins(a->source->peer_id, b->source->peer_id);
}

/* RFC 7911: two paths of one peer. Its ids are arbitrary, and others after a restart of it, so what
 * the paths say comes first. */
static int cmp_content(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	size_t na = 0, nb = 0;
	int c = addr_cmp(&a->attrs->v.next_hop, &b->attrs->v.next_hop);

	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		na += a->attrs->len[i];
		nb += b->attrs->len[i];
	}
	if (!c)
		c = memcmp(a->attrs->bytes, b->attrs->bytes, na < nb ? na : nb);
	return c ? c : low_wins((uint32_t)na, (uint32_t)nb);
}

static int cmp_path_id(const struct bgp_candidate *a, const struct bgp_candidate *b)
{
	return low_wins(a->path_id, b->path_id);
}

static const struct {
	step_cmp *cmp;
	const char *text;
} steps[BGP_STEP_MAX_] = {
	[BGP_STEP_NONE] = { NULL, "" },
	[BGP_STEP_LOCAL] = { cmp_local, "not made here" },
	[BGP_STEP_LLGR_STALE] = { cmp_llgr_stale, "kept long after its session ended" },
	[BGP_STEP_LOCAL_PREF] = { cmp_local_pref, "lower LOCAL_PREF" },
	[BGP_STEP_AS_PATH] = { cmp_as_path, "longer AS_PATH" },
	[BGP_STEP_ORIGIN] = { cmp_origin, "worse ORIGIN" },
	[BGP_STEP_MED] = { cmp_med, "higher MED" },
	[BGP_STEP_EBGP] = { cmp_ebgp, "iBGP against eBGP" },
	[BGP_STEP_IGP_COST] = { cmp_igp_cost, "farther next hop" },
	[BGP_STEP_ROUTER_ID] = { cmp_router_id, "higher router ID" },
	[BGP_STEP_CLUSTER_LIST] = { cmp_cluster_list, "longer CLUSTER_LIST" },
	[BGP_STEP_PEER_ADDR] = { cmp_peer_addr, "higher peer address" },
	[BGP_STEP_CONTENT] = { cmp_content, "another path of the same peer" },
	[BGP_STEP_PATH_ID] = { cmp_path_id, "higher path id" },
};

const char *bgp_step_text(enum bgp_step step)
{
	return steps[step].text;
}

static void swap(struct bgp_candidate *a, struct bgp_candidate *b)
{
	struct bgp_candidate t = *a;

	*a = *b;
	*b = t;
}

/* Steps LOCAL to ORIGIN as one number, lower is better: 1, 1, 32, 16 and 2 bits. */
static uint64_t rank_before_med(const struct bgp_candidate *c)
{
	return (uint64_t)(c->source->index != 0) << 51 |
	       (uint64_t)c->long_stale << 50 |
	       (uint64_t)(UINT32_MAX - local_pref(c->attrs)) << 18 |
	       (uint64_t)c->attrs->path_len << 2 | (c->attrs->v.origin & 3u);
}

/* Steps EBGP and IGP_COST. */
static uint64_t rank_after_med(const struct bgp_candidate *c)
{
	return (uint64_t)!c->source->ebgp << 32 | c->igp_cost;
}

/* Move those whose rank is not the least behind the others; how many those are. */
static unsigned keep_least(struct bgp_candidate *c, unsigned n)
{
	uint64_t least = c[0].rank;
	unsigned in = 0;

	for (unsigned i = 1; i < n; i++)
		least = c[i].rank < least ? c[i].rank : least;
	for (unsigned i = 0; i < n; i++) {
		if (c[i].rank != least)
			continue;
		if (i != in)
			swap(&c[in], &c[i]);
		in++;
	}
	return in;
}

static int by_neighbour_and_med(const void *pa, const void *pb)
{
	const struct bgp_candidate *a = pa, *b = pb;
	int c = low_wins(a->attrs->first_as, b->attrs->first_as);

	return c ? c : cmp_med(a, b);
}

/* MED is no total order, so the lowest is looked for within each neighbour AS. */
static unsigned eliminate_med(struct bgp_candidate *c, unsigned n)
{
	unsigned in = 0, group = 0;
	bool differ = false;

	for (unsigned i = 1; i < n && !differ; i++)
		differ = med(c[i].attrs) != med(c[0].attrs);
	if (!differ)
		return n;
	qsort(c, n, sizeof(*c), by_neighbour_and_med);
	for (unsigned i = 0; i < n; i++) {
		bool first = i == 0 || c[i].attrs->first_as != c[group].attrs->first_as;

		/* c[group] is the lowest of its AS, kept in front already */
		if (!first && cmp_med(&c[i], &c[group]) > 0) {
			c[i].lost_med = true;
			continue;
		}
		if (i != in)
			swap(&c[in], &c[i]);
		if (first)
			group = in;
		in++;
	}
	return in;
}

static int by_ties(const void *pa, const void *pb)
{
	const struct bgp_candidate *a = pa, *b = pb;
	int c = cmp_router_id(a, b);

	for (int s = BGP_STEP_ROUTER_ID + 1; s < BGP_STEP_MAX_ && !c; s++)
		c = steps[s].cmp(a, b);
	return c;
}

/* Let c[i] take its place in the sorted c[0..n); c[n] is free or worthless. */
static void insert(struct bgp_candidate *c, unsigned n, unsigned i)
{
	struct bgp_candidate new = c[i];

	if (i != n)
		c[i] = c[n];
	for (; n && by_ties(&new, &c[n - 1]) < 0; n--)
		c[n] = c[n - 1];
	c[n] = new;
}

/* A link-local next hop is another one on another link. */
static unsigned find_hop(const struct bgp_candidate *c, unsigned n, const struct bgp_candidate *of)
{
	unsigned i = 0;

	while (i < n && !(addr_eq(&c[i].attrs->v.next_hop, &of->attrs->v.next_hop) &&
			  c[i].source->ifindex == of->source->ifindex))
		i++;
	return i;
}

/* c[0..n) are equal through the IGP cost. The first `max` of them by the remaining steps, each with
 * a next hop of its own, come to the front, sorted; how many. */
static unsigned choose(struct bgp_candidate *c, unsigned n, unsigned max)
{
	unsigned in = 1;

	for (unsigned i = 1; i < n; i++) {
		unsigned same;

		if (in == max && by_ties(&c[i], &c[in - 1]) > 0)
			continue;
		same = find_hop(c, in, &c[i]);
		if (same < in && by_ties(&c[i], &c[same]) > 0)
			continue;
		if (same < in) { /* it was not the best way to this next hop */
			struct bgp_candidate worse = c[same];

			memmove(&c[same], &c[same + 1], (--in - same) * sizeof(*c));
			c[in] = worse;
		} else if (in == max) {
			in--;
		}
		insert(c, in++, i);
	}
	return in;
}

unsigned bgp_decide(struct bgp_candidate *c, unsigned n, unsigned max_paths)
{
	unsigned in = n, multi = 1;

	for (unsigned i = 0; i < n; i++) {
		c[i].best = c[i].multipath = c[i].lost_med = false;
		c[i].rank = rank_before_med(&c[i]);
	}
	if (n == 0)
		return 0;
	if (n > 1) {
		in = eliminate_med(c, keep_least(c, n));
		for (unsigned i = 0; i < in; i++)
			c[i].rank = rank_after_med(&c[i]);
		in = keep_least(c, in);
		multi = choose(c, in, max_paths && c[0].source->index ? max_paths : 1);
	}
	c[0].best = true;
	for (unsigned i = 0; i < multi; i++)
		c[i].multipath = true;
	return multi;
}

/* ---- for persons ---- */

/* The step at which c lost against the best. */
static enum bgp_step lost_at(const struct bgp_candidate *best, const struct bgp_candidate *c)
{
	int s = BGP_STEP_LOCAL;

	while (s < BGP_STEP_MED && steps[s].cmp(best, c) == 0)
		s++;
	if (s < BGP_STEP_MED || c->lost_med)
		return (enum bgp_step)s;
	for (s = BGP_STEP_EBGP; s < BGP_STEP_PATH_ID && steps[s].cmp(best, c) == 0;)
		s++;
	return (enum bgp_step)s;
}

static int for_persons(const void *pa, const void *pb)
{
	const struct bgp_candidate *a = pa, *b = pb;

	if (a->best != b->best)
		return a->best ? -1 : 1;
	if (a->multipath != b->multipath)
		return a->multipath ? -1 : 1;
	if (a->lost_at != b->lost_at)
		return a->lost_at > b->lost_at ? -1 : 1;
	return by_ties(pa, pb);
}

void bgp_decide_explain(struct bgp_candidate *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		c[i].lost_at = i ? lost_at(&c[0], &c[i]) : BGP_STEP_NONE;
	if (n > 1)
		qsort(c, n, sizeof(*c), for_persons);
}
