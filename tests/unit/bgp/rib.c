/* rib.c - the prefix table against a plain array: paths, sweeps, counts, the dirty queue */
#include "bgp/rib.h"

#include "make.h"

enum { SOURCES = 6, PREFIXES = 60, ATTRS = 5 };

struct world {
	struct bgp_attr_table *t;
	struct bgp_sources sources;
	struct bgp_rib rib;
	struct bgp_attrs *attrs[ATTRS];
	struct bgp_source *src[SOURCES];
	bool v6;
};

static struct prefix nth(const struct world *w, unsigned i)
{
	struct addr a = w->v6 ? make_addr("fd00::") : make_addr("10.0.0.0");

	a.b[2] = (uint8_t)(i / 2);
	return prefix_of(&a, i % 2 ? 26 : 24);
}

static void begin(struct world *w, bool v6)
{
	*w = (struct world) { .t = bgp_attr_table_new(), .v6 = v6 };
	bgp_sources_init(&w->sources);
	bgp_rib_init(&w->rib, v6 ? BGP_AF_IPV6_UNICAST : BGP_AF_IPV4_UNICAST, w->t, &w->sources,
		     42);
	for (unsigned i = 0; i < ATTRS; i++)
		w->attrs[i] = make_attrs(w->t, &(struct make) { .path = { 1 + i } });
	for (unsigned i = 0; i < SOURCES; i++) {
		w->src[i] = bgp_source_new(&w->sources);
		w->src[i]->peer_id = (uint16_t)(i + 1);
	}
}

static void end(struct world *w)
{
	bgp_rib_done(&w->rib);
	for (unsigned i = 0; i < ATTRS; i++)
		bgp_attrs_unref(w->t, w->attrs[i]);
	bgp_sources_done(&w->sources);
	bgp_attr_table_free(w->t); /* asserts that no reference is left */
}

static unsigned n_paths(const struct world *w, uint32_t net)
{
	struct bgp_path one;
	unsigned n;

	bgp_net_paths(bgp_rib_net(&w->rib, net), &one, &n);
	return n;
}

static void drain_dirty(struct world *w)
{
	uint32_t net;

	while ((net = bgp_rib_next_dirty(&w->rib)) != BGP_NET_NONE) {
		if (n_paths(w, net) == 0)
			bgp_rib_net_free(&w->rib, net);
	}
}

static void a_path_comes_changes_and_goes(void **state)
{
	struct world w;
	struct prefix p;
	uint32_t net;

	(void)state;
	begin(&w, false);
	p = nth(&w, 0);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]), BGP_RIB_NEW);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]), BGP_RIB_SAME);
	net = bgp_rib_next_dirty(&w.rib);
	assert_int_equal(net, bgp_rib_find(&w.rib, &p));
	assert_int_equal(bgp_rib_next_dirty(&w.rib), BGP_NET_NONE);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]), BGP_RIB_SAME);
	assert_int_equal(bgp_rib_next_dirty(&w.rib), BGP_NET_NONE); /* nothing changed */
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[1]), BGP_RIB_CHANGED);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[2]), BGP_RIB_CHANGED);
	assert_int_equal(w.rib.dirty_count, 1); /* once, however often it changed */
	assert_false(bgp_rib_withdraw(&w.rib, &p, w.src[1], 0));
	assert_false(bgp_rib_withdraw(&w.rib, &p, w.src[0], 7));
	assert_true(bgp_rib_withdraw(&w.rib, &p, w.src[0], 0));
	assert_false(bgp_rib_withdraw(&w.rib, &p, w.src[0], 0));
	assert_int_equal(w.src[0]->af[0].paths, 0);
	drain_dirty(&w);
	assert_int_equal(w.rib.count, 0);
	assert_int_equal(bgp_rib_bytes(&w.rib), 0); /* the last one gives the memory back */
	end(&w);
}

static void paths_by_id_of_one_peer(void **state)
{
	struct world w;
	struct prefix p;

	(void)state;
	begin(&w, false);
	p = nth(&w, 1);
	for (uint32_t id = 1; id <= 4; id++)
		assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], id, w.attrs[0]),
				 BGP_RIB_NEW);
	assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &p)), 4);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 2, w.attrs[1]), BGP_RIB_CHANGED);
	for (uint32_t id = 1; id <= 4; id++)
		assert_true(bgp_rib_withdraw(&w.rib, &p, w.src[0], id));
	assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &p)), 0);
	end(&w);
}

static void flags_keep_the_counts(void **state)
{
	struct world w;
	struct prefix p;
	struct bgp_net *net;
	struct bgp_path best;

	(void)state;
	begin(&w, false);
	p = nth(&w, 2);
	bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]);
	net = bgp_rib_net(&w.rib, bgp_rib_find(&w.rib, &p));
	bgp_net_set_flags(&w.rib, net, 0, BGP_PATH_USABLE | BGP_PATH_BEST | BGP_PATH_MULTI);
	assert_int_equal(w.src[0]->af[0].usable, 1);
	assert_int_equal(w.src[0]->af[0].best, 1);
	bgp_rib_announce(&w.rib, &p, w.src[1], 0, w.attrs[1]); /* becomes a list */
	assert_true(bgp_net_best(net, &best));
	assert_int_equal(best.source, w.src[0]->index);
	bgp_net_set_flags(&w.rib, net, 1, BGP_PATH_USABLE | BGP_PATH_MULTI);
	assert_int_equal(w.src[1]->af[0].best, 1);
	bgp_rib_withdraw(&w.rib, &p, w.src[0], 0); /* in place again, with its flags */
	assert_int_equal(w.src[0]->af[0].usable, 0);
	assert_int_equal(w.src[0]->af[0].best, 0);
	assert_int_equal(w.src[1]->af[0].usable, 1);
	bgp_rib_announce(&w.rib, &p, w.src[1], 0, w.attrs[2]); /* flags are of the old path */
	assert_int_equal(w.src[1]->af[0].usable, 0);
	assert_int_equal(w.src[1]->af[0].best, 0);
	end(&w);
}

/* Who looks only at flags that change must be told when a chosen path is not what it was. */
static void a_choice_that_loses_a_member_is_touched(void **state)
{
	struct world w;
	struct prefix p;
	struct bgp_net *net;

	(void)state;
	begin(&w, false);
	p = nth(&w, 0);
	for (unsigned i = 0; i < 3; i++)
		bgp_rib_announce(&w.rib, &p, w.src[i], 0, w.attrs[i]);
	net = bgp_rib_net(&w.rib, bgp_rib_find(&w.rib, &p));
	assert_true(bgp_net_set_flags(&w.rib, net, 0, BGP_PATH_USABLE | BGP_PATH_BEST));
	assert_true(bgp_net_set_flags(&w.rib, net, 1, BGP_PATH_USABLE | BGP_PATH_MULTI));
	assert_false(bgp_net_set_flags(&w.rib, net, 2, BGP_PATH_USABLE));
	assert_false(bgp_net_untouch(net));
	bgp_rib_announce(&w.rib, &p, w.src[2], 0, w.attrs[4]);
	assert_false(bgp_net_untouch(net));
	bgp_rib_announce(&w.rib, &p, w.src[1], 0, w.attrs[4]);
	assert_true(bgp_net_untouch(net));
	assert_false(bgp_net_untouch(net));
	bgp_rib_withdraw(&w.rib, &p, w.src[0], 0);
	assert_true(bgp_net_untouch(net));
	bgp_rib_withdraw(&w.rib, &p, w.src[1], 0);
	assert_true(bgp_net_untouch(net)); /* one path only: always */
	assert_true(bgp_net_untouch(net));
	end(&w);
}

static void a_dead_source_is_swept_in_slices(void **state)
{
	struct world w;
	unsigned slices = 0;

	(void)state;
	begin(&w, false);
	for (unsigned i = 0; i < PREFIXES; i++) {
		struct prefix p = nth(&w, i);

		bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]);
		if (i % 2)
			bgp_rib_announce(&w.rib, &p, w.src[1], 0, w.attrs[1]);
	}
	drain_dirty(&w);
	assert_false(bgp_rib_sweep(&w.rib, 1000));
	bgp_rib_source_state(&w.rib, w.src[0], BGP_SOURCE_DEAD);
	while (bgp_rib_sweep(&w.rib, 7))
		slices++;
	assert_true(slices >= PREFIXES / 7 - 1);
	assert_int_equal(bgp_source_paths(w.src[0]), 0);
	assert_int_equal(w.rib.dirty_count, w.rib.count);
	drain_dirty(&w);
	assert_int_equal(w.rib.count, w.src[1]->af[0].paths);
	bgp_source_free(&w.sources, w.src[0]);
	end(&w);
}

/* The peer comes back before its old paths are swept: what it says again takes their place. */
static void a_new_session_takes_the_place_of_the_old(void **state)
{
	struct world w;
	struct bgp_source *again;
	struct prefix p, q;

	(void)state;
	begin(&w, false);
	p = nth(&w, 0);
	q = nth(&w, 1);
	bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[0]);
	bgp_rib_announce(&w.rib, &q, w.src[0], 0, w.attrs[0]);
	bgp_rib_source_state(&w.rib, w.src[0], BGP_SOURCE_STALE);
	assert_false(bgp_rib_sweep(&w.rib, 1000));
	again = bgp_source_new(&w.sources);
	again->peer_id = w.src[0]->peer_id;
	again->heir = true;
	assert_int_equal(bgp_rib_announce(&w.rib, &p, again, 0, w.attrs[0]), BGP_RIB_CHANGED);
	assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &p)), 1);
	assert_int_equal(w.src[0]->af[0].paths, 1);
	bgp_rib_source_state(&w.rib, w.src[0], BGP_SOURCE_DEAD);
	while (bgp_rib_sweep(&w.rib, 1))
		;
	assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &p)), 1);
	assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &q)), 0);
	assert_int_equal(again->af[0].paths, 1);
	end(&w);
}

/* ---- against a plain array ---- */

struct twin {
	int attrs[PREFIXES][SOURCES]; /* -1: none */
};

static void check(const struct world *w, const struct twin *tw)
{
	uint32_t paths[SOURCES] = { 0 }, all = 0;

	for (unsigned i = 0; i < PREFIXES; i++) {
		struct prefix p = nth(w, i);
		uint32_t net = bgp_rib_find(&w->rib, &p);
		unsigned want = 0, n = net == BGP_NET_NONE ? 0 : n_paths(w, net);

		for (unsigned s = 0; s < SOURCES; s++) {
			if (tw->attrs[i][s] < 0)
				continue;
			want++;
			paths[s]++;
		}
		assert_int_equal(n, want);
		all += want;
	}
	assert_int_equal(w->rib.paths, all);
	for (unsigned s = 0; s < SOURCES; s++)
		assert_int_equal(w->src[s]->af[w->rib.af].paths, paths[s]);
}

static void check_net(const struct world *w, const struct twin *tw, unsigned i)
{
	struct prefix p = nth(w, i);
	uint32_t net = bgp_rib_find(&w->rib, &p);
	struct bgp_path one;
	const struct bgp_path *path;
	struct prefix back;
	unsigned n;

	if (net == BGP_NET_NONE)
		return;
	back = bgp_net_prefix(&w->rib, bgp_rib_net(&w->rib, net));
	assert_true(prefix_eq(&back, &p));
	path = bgp_net_paths(bgp_rib_net(&w->rib, net), &one, &n);
	for (unsigned k = 0; k < n; k++) {
		unsigned s = path[k].source - 1u;

		assert_ptr_equal(path[k].attrs, w->attrs[tw->attrs[i][s]]);
	}
}

static void same_as_an_array(bool v6, uint64_t seed)
{
	struct make_rng r = { seed };
	struct world w;
	struct twin tw;

	begin(&w, v6);
	memset(tw.attrs, -1, sizeof(tw.attrs));
	for (unsigned step = 0; step < 8000; step++) {
		/* phases that grow and phases that shrink, down to empty */
		unsigned i = make_random(&r, PREFIXES), s = make_random(&r, SOURCES);
		unsigned a = make_random(&r, ATTRS), grow = step / 1000 % 2 ? 2 : 8;
		struct prefix p = nth(&w, i);

		if (make_random(&r, 10) < grow) {
			bgp_rib_announce(&w.rib, &p, w.src[s], 0, w.attrs[a]);
			tw.attrs[i][s] = (int)a;
		} else {
			assert_int_equal(bgp_rib_withdraw(&w.rib, &p, w.src[s], 0),
					 tw.attrs[i][s] >= 0);
			tw.attrs[i][s] = -1;
		}
		check_net(&w, &tw, i);
		if (step % 40 == 0)
			drain_dirty(&w);
		if (step % 100 == 0)
			check(&w, &tw);
	}
	check(&w, &tw);
	end(&w);
}

static void same_as_an_array_in_both_families(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 5; seed++) {
		same_as_an_array(false, seed);
		same_as_an_array(true, seed);
	}
}

static void many_prefixes(void **state)
{
	enum { N = 50000 };
	struct world w;
	struct addr a = make_addr("10.0.0.0");

	(void)state;
	begin(&w, false);
	for (unsigned i = 0; i < N; i++) {
		struct prefix p = { .addr = addr_add(&a, i * 64), .len = 26 };

		assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[i % ATTRS]),
				 BGP_RIB_NEW);
	}
	assert_int_equal(w.rib.count, N);
	/* 24 in the table, at most 8 / 0.375 in the index, a chunk to spare */
	assert_true(bgp_rib_bytes(&w.rib) < N * 36 + 4096 * 24);
	for (unsigned i = 0; i < N; i += 2) {
		struct prefix p = { .addr = addr_add(&a, i * 64), .len = 26 };

		assert_true(bgp_rib_withdraw(&w.rib, &p, w.src[0], 0));
	}
	drain_dirty(&w);
	assert_int_equal(w.rib.count, N / 2);
	for (unsigned i = 0; i < N; i++) {
		struct prefix p = { .addr = addr_add(&a, i * 64), .len = 26 };

		assert_int_equal(bgp_rib_find(&w.rib, &p) != BGP_NET_NONE, i % 2);
	}
	end(&w);
}

/* Prefixes that go are found no more, keep their place for a while and give it back: those that come
 * again are as new, and however many others come in turn, no more than twice the memory is held. */
static void prefixes_in_waves(void **state)
{
	enum { N = 4000, WAVES = 40 };
	struct world w;
	struct addr a = make_addr("10.0.0.0");
	struct prefix kept = make_prefix("192.0.2.0/24");

	(void)state;
	begin(&w, false);
	bgp_rib_announce(&w.rib, &kept, w.src[0], 0, w.attrs[0]);
	for (unsigned wave = 0; wave < WAVES; wave++) {
		/* every second wave has the prefixes of the one before */
		for (unsigned i = 0; i < N; i++) {
			struct prefix p = { .addr = addr_add(&a, (wave / 2 * N + i) * 64),
					    .len = 26 };

			assert_int_equal(bgp_rib_find(&w.rib, &p), BGP_NET_NONE);
			assert_int_equal(
				bgp_rib_announce(&w.rib, &p, w.src[0], 0, w.attrs[i % ATTRS]),
				BGP_RIB_NEW);
		}
		drain_dirty(&w);
		assert_int_equal(w.rib.count, N + 1);
		for (unsigned i = 0; i < N; i++) {
			struct prefix p = { .addr = addr_add(&a, (wave / 2 * N + i) * 64),
					    .len = 26 };

			assert_true(bgp_rib_withdraw(&w.rib, &p, w.src[0], 0));
		}
		drain_dirty(&w);
		assert_int_equal(w.rib.count, 1);
		assert_int_equal(n_paths(&w, bgp_rib_find(&w.rib, &kept)), 1);
	}
	assert_true(w.rib.n_nets <= 2 * (N + 1));
	end(&w);
}

/* A peer with an id for each of its paths fills its own share of a prefix, not that of others. */
static void one_peer_does_not_fill_a_prefix(void **state)
{
	struct world w;
	struct prefix p = make_prefix("192.0.2.0/24");

	(void)state;
	begin(&w, false);
	for (uint32_t id = 1; id <= BGP_PATHS_OF_PEER_MAX; id++)
		assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], id, w.attrs[0]),
				 BGP_RIB_NEW);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], UINT32_MAX, w.attrs[0]),
			 BGP_RIB_FULL);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], 1, w.attrs[1]), BGP_RIB_CHANGED);
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[1], 1, w.attrs[0]), BGP_RIB_NEW);
	assert_true(bgp_rib_withdraw(&w.rib, &p, w.src[0], 2));
	assert_int_equal(bgp_rib_announce(&w.rib, &p, w.src[0], UINT32_MAX, w.attrs[0]),
			 BGP_RIB_NEW);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prefixes_in_waves),
		cmocka_unit_test(a_path_comes_changes_and_goes),
		cmocka_unit_test(paths_by_id_of_one_peer),
		cmocka_unit_test(flags_keep_the_counts),
		cmocka_unit_test(a_choice_that_loses_a_member_is_touched),
		cmocka_unit_test(a_dead_source_is_swept_in_slices),
		cmocka_unit_test(a_new_session_takes_the_place_of_the_old),
		cmocka_unit_test(same_as_an_array_in_both_families),
		cmocka_unit_test(many_prefixes),
		cmocka_unit_test(one_peer_does_not_fill_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
