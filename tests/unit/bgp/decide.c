/* decide.c - every step of the decision process, and that the order of arrival does not matter */
#include "bgp/decide.h"

#include "make.h"

struct path {
	struct make attrs;
	bool local, ibgp;
	uint32_t router_id;
	const char *addr; /* of the peer; NULL: 10.0.0.1 */
	uint32_t path_id, cost;
};

enum { PATHS_MAX = 8 };

struct world {
	struct bgp_attr_table *t;
	struct bgp_source src[PATHS_MAX];
	struct bgp_candidate c[PATHS_MAX];
	unsigned n;
};

static void world_begin(struct world *w)
{
	*w = (struct world) { .t = bgp_attr_table_new() };
}

static void world_add(struct world *w, const struct path *p)
{
	struct bgp_source *src = &w->src[w->n];

	*src = (struct bgp_source) {
		.index = p->local ? 0 : (uint16_t)(w->n + 1),
		.peer_id = p->local ? 0 : 1,
		.ebgp = !p->ibgp && !p->local,
		.router_id = p->router_id,
		.addr = make_addr(p->addr ? p->addr : "10.0.0.1"),
	};
	w->c[w->n] = (struct bgp_candidate) { .attrs = make_attrs(w->t, &p->attrs),
					      .source = src,
					      .path_id = p->path_id,
					      .igp_cost = p->cost,
					      .tag = w->n };
	w->c[w->n].long_stale = w->c[w->n].attrs->marks & BGP_MARK_LLGR_STALE;
	w->n++;
}

static void attrs_drop(struct bgp_attr_table *t, const struct bgp_attrs *a)
{
	struct bgp_attrs *own;

	memcpy(&own, &a, sizeof(own));
	bgp_attrs_unref(t, own);
}

static void world_end(struct world *w)
{
	for (unsigned i = 0; i < w->n; i++)
		attrs_drop(w->t, w->c[i].attrs);
	bgp_attr_table_free(w->t);
}

/* A path is the better one by one field; `worse` loses at that step. */
static const struct {
	const char *name;
	struct path better, worse;
	enum bgp_step step;
	unsigned multi; /* with max_paths 16 */
} rows[] = {
	{ "made here beats a higher LOCAL_PREF",
	  { .local = true },
	  { .attrs = { .has_lp = true, .lp = 500 } },
	  BGP_STEP_LOCAL,
	  1 },
	{ "higher LOCAL_PREF beats a shorter path",
	  { .attrs = { .has_lp = true, .lp = 101, .path = { 1, 2, 3 } } },
	  { .attrs = { .has_lp = true, .lp = 100, .path = { 1 } } },
	  BGP_STEP_LOCAL_PREF,
	  1 },
	{ "a path without LOCAL_PREF counts as 100",
	  { .attrs = { .path = { 1 } } },
	  { .attrs = { .has_lp = true, .lp = 99, .path = { 1 } } },
	  BGP_STEP_LOCAL_PREF,
	  1 },
	{ "LOCAL_PREF compares unsigned",
	  { .attrs = { .has_lp = true, .lp = 4000000000u } },
	  { .attrs = { .has_lp = true, .lp = 2147482623u } },
	  BGP_STEP_LOCAL_PREF,
	  1 },
	{ "shorter AS_PATH beats a better ORIGIN",
	  { .attrs = { .path = { 1 }, .origin = 2 } },
	  { .attrs = { .path = { 1, 2 } } },
	  BGP_STEP_AS_PATH,
	  1 },
	{ "ORIGIN IGP beats EGP, whatever the MED",
	  { .attrs = { .path = { 1 }, .has_med = true, .med = 9 } },
	  { .attrs = { .path = { 1 }, .origin = 1 } },
	  BGP_STEP_ORIGIN,
	  1 },
	{ "lower MED of the same neighbour beats eBGP over iBGP",
	  { .attrs = { .path = { 1 }, .has_med = true, .med = 1 }, .ibgp = true },
	  { .attrs = { .path = { 1 }, .has_med = true, .med = 2 } },
	  BGP_STEP_MED,
	  1 },
	{ "a missing MED is the lowest",
	  { .attrs = { .path = { 1 } } },
	  { .attrs = { .path = { 1 }, .has_med = true, .med = 1 } },
	  BGP_STEP_MED,
	  1 },
	{ "MEDs of different neighbours are not compared",
	  { .attrs = { .path = { 1 }, .has_med = true, .med = 9 } },
	  { .attrs = { .path = { 2 }, .has_med = true, .med = 1 }, .ibgp = true },
	  BGP_STEP_EBGP,
	  1 },
	{ "eBGP beats a nearer iBGP next hop",
	  { .attrs = { .path = { 1 } }, .cost = 50 },
	  { .attrs = { .path = { 1 } }, .ibgp = true },
	  BGP_STEP_EBGP,
	  1 },
	{ "the nearer next hop beats a lower router ID",
	  { .attrs = { .path = { 1 } }, .cost = 1, .router_id = 9 },
	  { .attrs = { .path = { 1 } }, .cost = 2, .router_id = 1 },
	  BGP_STEP_IGP_COST,
	  1 },
	{ "the lower router ID, unsigned; the load is shared",
	  { .attrs = { .path = { 1 } }, .router_id = 0x7f000001 },
	  { .attrs = { .path = { 1 }, .next_hop = "192.0.2.2" }, .router_id = 0xe0000001 },
	  BGP_STEP_ROUTER_ID,
	  2 },
	{ "another path of the same length shares the load",
	  { .attrs = { .path = { 1, 3 } }, .router_id = 1 },
	  { .attrs = { .path = { 2, 4 }, .next_hop = "192.0.2.2" }, .router_id = 2 },
	  BGP_STEP_ROUTER_ID,
	  2 },
	{ "the same next hop does not count twice",
	  { .attrs = { .path = { 1 } }, .router_id = 1 },
	  { .attrs = { .path = { 2 } }, .router_id = 2 },
	  BGP_STEP_ROUTER_ID,
	  1 },
	{ "ORIGINATOR_ID stands for the router ID",
	  { .attrs = { .originator = 5 }, .ibgp = true, .router_id = 9 },
	  { .ibgp = true, .router_id = 6 },
	  BGP_STEP_ROUTER_ID,
	  1 },
	{ "the shorter CLUSTER_LIST",
	  { .attrs = { .originator = 5, .clusters = { 1 } }, .ibgp = true, .addr = "10.0.0.9" },
	  { .attrs = { .originator = 5, .clusters = { 1, 2 } }, .ibgp = true },
	  BGP_STEP_CLUSTER_LIST,
	  1 },
	{ "the lower peer address",
	  { .addr = "10.0.0.9" },
	  { .addr = "10.0.0.10" },
	  BGP_STEP_PEER_ADDR,
	  1 },
	{ "IPv4 peers before IPv6 ones",
	  { .addr = "10.0.0.9" },
	  { .addr = "::1" },
	  BGP_STEP_PEER_ADDR,
	  1 },
	{ "LLGR_STALE is worth less than any LOCAL_PREF",
	  { .attrs = { .has_lp = true, .lp = 1 } },
	  { .attrs = { .has_lp = true, .lp = 500, .communities = { 0xffff0006 } } },
	  BGP_STEP_LLGR_STALE,
	  1 },
	{ "GRACEFUL_SHUTDOWN is LOCAL_PREF 0",
	  { .attrs = { .has_lp = true, .lp = 1, .path = { 1, 2, 3 } } },
	  { .attrs = { .has_lp = true, .lp = 500, .path = { 1 }, .communities = { 0xffff0000 } } },
	  BGP_STEP_LOCAL_PREF,
	  1 },
	{ "NO_LLGR alone says nothing",
	  { .attrs = { .has_lp = true, .lp = 2, .communities = { 0xffff0007 } } },
	  { .attrs = { .has_lp = true, .lp = 1 } },
	  BGP_STEP_LOCAL_PREF,
	  1 },
	{ "of two paths of one peer the lower next hop, not the lower id",
	  { .attrs = { .next_hop = "192.0.2.1" }, .path_id = 9 },
	  { .attrs = { .next_hop = "192.0.2.2" }, .path_id = 1 },
	  BGP_STEP_CONTENT,
	  2 },
	{ "of two paths of one peer and next hop the lower AS_PATH",
	  { .attrs = { .path = { 1, 2 } }, .path_id = 9 },
	  { .attrs = { .path = { 1, 3 } }, .path_id = 1 },
	  BGP_STEP_CONTENT,
	  1 },
	{ "the lower path id", { .path_id = 1 }, { .path_id = 2 }, BGP_STEP_PATH_ID, 1 },
};

static void each_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned turned = 0; turned < 2; turned++) {
			struct world w;
			unsigned multi;

			world_begin(&w);
			world_add(&w, turned ? &rows[i].worse : &rows[i].better);
			world_add(&w, turned ? &rows[i].better : &rows[i].worse);
			multi = bgp_decide(w.c, w.n, 16);
			bgp_decide_explain(w.c, w.n);
			if (w.c[0].tag != turned || w.c[1].lost_at != rows[i].step ||
			    multi != rows[i].multi)
				fail_msg("%s: winner %u, step %d, multi %u", rows[i].name,
					 w.c[0].tag ^ turned, w.c[1].lost_at, multi);
			assert_true(w.c[0].best && !w.c[1].best);
			assert_int_equal(w.c[0].lost_at, BGP_STEP_NONE);
			assert_int_equal(w.c[1].multipath, multi == 2);
			world_end(&w);
		}
	}
}

static void none_and_one(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	assert_int_equal(bgp_decide(w.c, 0, 16), 0);
	world_add(&w, &(struct path) { 0 });
	assert_int_equal(bgp_decide(w.c, 1, 16), 1);
	assert_true(w.c[0].best && w.c[0].multipath);
	world_end(&w);
}

static void the_limit_takes_the_first_in_order(void **state)
{
	struct world w;

	(void)state;
	world_begin(&w);
	for (unsigned i = 0; i < 6; i++) {
		char hop[32];

		snprintf(hop, sizeof(hop), "192.0.2.%u", 10 + i);
		world_add(&w,
			  &(struct path) { .attrs = { .next_hop = hop }, .router_id = 100 - i });
	}
	assert_int_equal(bgp_decide(w.c, w.n, 4), 4);
	bgp_decide_explain(w.c, w.n);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(w.c[i].tag, 5 - i);
		assert_int_equal(w.c[i].multipath, i < 4);
	}
	assert_int_equal(bgp_decide(w.c, w.n, 0), 1);
	world_end(&w);
}

/* RFC 4451 2.1 b: pairwise comparison in order of arrival would give three answers for these. */
static void med_does_not_depend_on_order(void **state)
{
	static const struct path set[] = {
		{ .attrs = { .path = { 1 }, .has_med = true, .med = 20 }, .cost = 10 },
		{ .attrs = { .path = { 2 }, .has_med = true, .med = 5 }, .cost = 15 },
		{ .attrs = { .path = { 1 }, .has_med = true, .med = 10 }, .cost = 20 },
	};
	static const unsigned order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	(void)state;
	for (unsigned o = 0; o < 6; o++) {
		struct world w;

		world_begin(&w);
		for (unsigned i = 0; i < 3; i++)
			world_add(&w, &set[order[o][i]]);
		bgp_decide(w.c, 3, 16);
		assert_int_equal(w.c[0].attrs->first_as, 2);
		world_end(&w);
	}
}

static struct path random_path(struct make_rng *r, unsigned i)
{
	static char hops[PATHS_MAX][16], addrs[PATHS_MAX][16];
	struct path p = { 0 };
	unsigned len = 1 + make_random(r, 2);

	for (unsigned k = 0; k < len; k++)
		p.attrs.path[k] = 1 + make_random(r, 3);
	p.attrs.has_lp = make_random(r, 4) == 0;
	p.attrs.lp = 99 + make_random(r, 3);
	p.attrs.has_med = make_random(r, 2);
	p.attrs.med = make_random(r, 3);
	p.attrs.origin = (uint8_t)(make_random(r, 4) == 0);
	p.ibgp = make_random(r, 2);
	p.attrs.originator = p.ibgp ? make_random(r, 3) : 0;
	p.attrs.clusters[0] = p.ibgp ? make_random(r, 3) : 0;
	p.router_id = 1 + make_random(r, 3);
	p.cost = make_random(r, 3);
	snprintf(hops[i], sizeof(hops[i]), "192.0.2.%u", 1 + make_random(r, 4));
	snprintf(addrs[i], sizeof(addrs[i]), "10.0.0.%u", i + 1);
	p.attrs.next_hop = hops[i];
	p.addr = addrs[i];
	return p;
}

/* Is a worse than b at this step? Written down anew, without a look at decide.c. */
static bool worse(const struct bgp_candidate *a, const struct bgp_candidate *b, int step)
{
	const struct bgp_attr_values *x = &a->attrs->v, *y = &b->attrs->v;
	uint32_t lp_a = bgp_attrs_has(a->attrs, BGP_ATTR_LOCAL_PREF) ? x->local_pref : 100;
	uint32_t lp_b = bgp_attrs_has(b->attrs, BGP_ATTR_LOCAL_PREF) ? y->local_pref : 100;

	switch (step) {
	case 0:
		return lp_a < lp_b;
	case 1:
		return a->attrs->path_len > b->attrs->path_len;
	case 2:
		return x->origin > y->origin;
	case 3:
		return a->attrs->first_as == b->attrs->first_as && x->med > y->med;
	case 4:
		return !a->source->ebgp && b->source->ebgp;
	case 5:
		return a->igp_cost > b->igp_cost;
	case 6:
		return (x->originator_id ? x->originator_id : a->source->router_id) >
		       (y->originator_id ? y->originator_id : b->source->router_id);
	case 7:
		return a->attrs->len[BGP_PART_CLUSTER_LIST] > b->attrs->len[BGP_PART_CLUSTER_LIST];
	default:
		return addr_cmp(&a->source->addr, &b->source->addr) > 0;
	}
}

/* RFC 4271 9.1.2.2 to the letter: at each step drop who is worse than somebody still in. Mutually
 * worse is nobody, so all are compared with all. */
static unsigned drop(const struct bgp_candidate **in, unsigned n, int step)
{
	const struct bgp_candidate *out[PATHS_MAX];
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		bool lost = false;

		for (unsigned k = 0; k < n && !lost; k++)
			lost = worse(in[i], in[k], step);
		if (!lost)
			out[kept++] = in[i];
	}
	memcpy(in, out, kept * sizeof(out[0]));
	return kept;
}

static void check_by_steps(const struct world *w, unsigned multi, unsigned max)
{
	const struct bgp_candidate *in[PATHS_MAX], *left[PATHS_MAX];
	unsigned n = w->n, hops = 0;

	for (unsigned i = 0; i < n; i++)
		in[i] = &w->c[i];
	for (int step = 0; step < 6; step++)
		n = drop(in, n, step);
	/* take the best by the other steps, again and again, and leave out next hops seen */
	while (n && hops < max) {
		unsigned k = n, seen = 0;

		memcpy(left, in, sizeof(left));
		for (int step = 6; step < 9; step++)
			k = drop(left, k, step);
		assert_int_equal(k, 1);
		for (unsigned i = 0; i < n; i++) {
			if (in[i] == left[0])
				in[i] = in[--n];
		}
		for (unsigned i = 0; i < hops; i++)
			seen += addr_eq(&w->c[i].attrs->v.next_hop, &left[0]->attrs->v.next_hop);
		if (seen)
			continue;
		assert_ptr_equal(left[0], &w->c[hops]);
		hops++;
	}
	assert_int_equal(multi, hops);
}

/* What came out, by the paths' peers: the same whatever went in first. */
static void outcome(struct world *w, unsigned multi, char *out, size_t size)
{
	size_t len = (size_t)snprintf(out, size, "%u;", multi);
	char text[ADDR_STR_MAX];

	for (unsigned m = 0; m < multi; m++)
		len += (size_t)snprintf(out + len, size - len, "%s,",
					addr_format(&w->c[m].source->addr, text));
	bgp_decide_explain(w->c, w->n);
	for (unsigned peer = 1; peer <= w->n; peer++) {
		for (unsigned i = 0; i < w->n; i++) {
			if (w->c[i].source->addr.b[3] == peer)
				len += (size_t)snprintf(out + len, size - len, " %u:%d%d", peer,
							w->c[i].lost_at, w->c[i].multipath);
		}
	}
}

/* Heap's algorithm: the next permutation. */
static bool permute(struct bgp_candidate *c, unsigned n, unsigned *count)
{
	for (unsigned i = 0; i < n; i++) {
		if (count[i] < i) {
			unsigned j = i % 2 ? count[i] : 0;
			struct bgp_candidate t = c[j];

			c[j] = c[i];
			c[i] = t;
			count[i]++;
			return true;
		}
		count[i] = 0;
	}
	return false;
}

static void the_order_of_arrival_does_not_matter(void **state)
{
	struct make_rng r = { 1 };

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		unsigned n = 2 + make_random(&r, 4), count[PATHS_MAX] = { 0 }, multi;
		struct bgp_candidate in[PATHS_MAX];
		char first[512], now[512];
		struct world w;

		world_begin(&w);
		for (unsigned i = 0; i < n; i++) {
			struct path p = random_path(&r, i);

			world_add(&w, &p);
		}
		memcpy(in, w.c, sizeof(in));
		multi = bgp_decide(w.c, n, 3);
		check_by_steps(&w, multi, 3);
		outcome(&w, multi, first, sizeof(first));
		while (permute(in, n, count)) {
			memcpy(w.c, in, sizeof(in));
			outcome(&w, bgp_decide(w.c, n, 3), now, sizeof(now));
			assert_string_equal(now, first);
		}
		world_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_step),
		cmocka_unit_test(none_and_one),
		cmocka_unit_test(the_limit_takes_the_first_in_order),
		cmocka_unit_test(med_does_not_depend_on_order),
		cmocka_unit_test(the_order_of_arrival_does_not_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
