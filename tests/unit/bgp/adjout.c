/* adjout.c - update groups against a plain table per peer: every member ends with what it shall
 * have, is told nothing twice, and hears a withdrawal only of what it was told */
#include "bgp/adjout_group.h"

#include "make.h"

enum { MEMBERS = 12, PREFIXES = 40, ATTRS = 4, SOURCES = 5, EVERY_PATH = 9 /* from this ear on */ };

/* What one played peer was told. */
struct ear {
	struct bgp_member m;
	bool joined, awake;
	struct bgp_attrs *has[PREFIXES]; /* NULL: nothing; only compared */
	/* of one that takes several paths: what it has, by prefix and path id */
	struct {
		unsigned prefix;
		uint32_t id;
		struct bgp_attrs *attrs;
	} path[PREFIXES * SOURCES * 3];
	unsigned n_paths, refresh_begins, refresh_ends;
	unsigned end_of_ribs, announced, withdrawn;
};

struct world {
	struct bgp_attr_table *t;
	struct bgp_sources sources;
	struct bgp_rib rib;
	struct bgp_policy policy;
	struct bgp_adjout ao;
	struct bgp_attrs *attrs[ATTRS];
	struct bgp_source *src[SOURCES];
	struct ear ear[MEMBERS];
	struct bgp_batch batch;
	bool lax; /* a log that is overtaken may repeat what was there before it */
};

static struct prefix nth(unsigned i)
{
	struct addr a = addr_v4(0x0a000000 + i * 64);

	return prefix_of(&a, 26);
}

static unsigned number_of(const struct world *w, uint32_t net)
{
	struct prefix p = bgp_net_prefix(&w->rib, bgp_rib_net(&w->rib, net));
	uint64_t i;

	assert_true(addr_offset(&(struct addr) { IP_V4, { 10 } }, &p.addr, PREFIXES * 64, &i));
	return (unsigned)i / 64;
}

static void on_wake(void *arg, struct bgp_member *m)
{
	(void)arg;
	((struct ear *)m->owner)->awake = true;
}

static void net_release(struct world *w, uint32_t net)
{
	struct bgp_path one;
	unsigned n;

	bgp_net_paths(bgp_rib_net(&w->rib, net), &one, &n);
	if (n || (bgp_rib_net(&w->rib, net)->flags & BGP_NET_DIRTY) ||
	    bgp_adjout_holds(&w->ao, net))
		return;
	bgp_rib_net_free(&w->rib, net);
}

static void on_released(void *arg, struct bgp_adjout *ao, uint32_t net)
{
	(void)ao;
	net_release(arg, net);
}

static void begin(struct world *w)
{
	struct bgp_pool pool = { .cidr = make_prefix("10.0.0.0/8") };

	memset(w, 0, sizeof(*w));
	w->t = bgp_attr_table_new();
	bgp_sources_init(&w->sources);
	bgp_rib_init(&w->rib, BGP_AF_IPV4_UNICAST, w->t, &w->sources, 1);
	w->policy.local_as = 64512;
	bgp_policy_set_pools(&w->policy, &pool, 1);
	bgp_adjout_init(&w->ao, &w->rib, &w->policy);
	w->ao.wake = on_wake;
	w->ao.released = on_released;
	w->ao.arg = w;
	for (unsigned i = 0; i < ATTRS; i++)
		w->attrs[i] = make_attrs(w->t, &(struct make) { .path = { 100 + i } });
	for (unsigned i = 0; i < SOURCES; i++) {
		w->src[i] = bgp_source_new(&w->sources);
		w->src[i]->ebgp = true;
		w->src[i]->peer_id = (uint16_t)(i + 1); /* the first ears' */
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		w->ear[i].m.owner = &w->ear[i];
}

static struct bgp_target target_of(unsigned i)
{
	struct bgp_target t;

	memset(&t, 0, sizeof(t));
	t.ebgp = i % 3 != 0; /* two groups */
	t.local_as = 64512;
	t.self = make_addr("10.99.0.1");
	t.add_path = i >= EVERY_PATH;
	return t;
}

static void join(struct world *w, unsigned i)
{
	struct bgp_target t = target_of(i);

	memset(w->ear[i].has, 0, sizeof(w->ear[i].has));
	w->ear[i].end_of_ribs = w->ear[i].announced = w->ear[i].withdrawn = 0;
	w->ear[i].n_paths = w->ear[i].refresh_begins = w->ear[i].refresh_ends = 0;
	w->ear[i].joined = true;
	w->ear[i].m = (struct bgp_member) { .owner = &w->ear[i] };
	bgp_adjout_join(&w->ao, &w->ear[i].m, &t, (uint16_t)(i + 1), true);
}

static void leave(struct world *w, unsigned i)
{
	w->ear[i].joined = w->ear[i].awake = false;
	bgp_adjout_leave(&w->ao, &w->ear[i].m);
}

/* What is counted is what a look at every group finds. */
static void check_held(const struct world *w)
{
	for (uint32_t net = 0; net < w->rib.n_nets + BGP_NETS_PER_CHUNK; net++) {
		bool held = false;

		for (size_t i = 0; i < w->ao.groups.n; i++) {
			const struct bgp_group *g = w->ao.groups.p[i];
			const struct bgp_group_chunk *c = bgp_group_chunk(g, net);

			held |= g->target.add_path ? bgp_group_has_net(g, net)
						   : c && bgp_group_needs(c, net);
		}
		assert_int_equal(bgp_adjout_holds(&w->ao, net), held);
	}
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (w->ear[i].joined)
			leave(w, i);
	}
	check_held(w);
	bgp_adjout_done(&w->ao);
	bgp_rib_done(&w->rib);
	bgp_policy_done(&w->policy);
	for (unsigned i = 0; i < ATTRS; i++)
		bgp_attrs_unref(w->t, w->attrs[i]);
	bgp_sources_done(&w->sources);
	bgp_attr_table_free(w->t);
}

/* In this test the best path is simply the first. */
static void decide_all(struct world *w)
{
	uint32_t net;

	while ((net = bgp_rib_next_dirty(&w->rib)) != BGP_NET_NONE) {
		struct bgp_net *n = bgp_rib_net(&w->rib, net);
		struct bgp_path one, best;
		unsigned count;

		bgp_net_paths(n, &one, &count);
		for (unsigned i = 0; i < count; i++)
			bgp_net_set_flags(&w->rib, n, i,
					  i ? BGP_PATH_USABLE : BGP_PATH_USABLE | BGP_PATH_BEST);
		bgp_adjout_update(&w->ao, net, bgp_net_best(n, &best) ? &best : NULL, true);
		net_release(w, net);
	}
}

static void announce_path(struct world *w, unsigned prefix, unsigned src, uint32_t id,
			  unsigned attrs)
{
	struct prefix p = nth(prefix);

	bgp_rib_announce(&w->rib, &p, w->src[src], id, w->attrs[attrs]);
}

static void announce(struct world *w, unsigned prefix, unsigned src, unsigned attrs)
{
	announce_path(w, prefix, src, 0, attrs);
}

static void withdraw_path(struct world *w, unsigned prefix, unsigned src, uint32_t id)
{
	struct prefix p = nth(prefix);

	bgp_rib_withdraw(&w->rib, &p, w->src[src], id);
}

static void withdraw(struct world *w, unsigned prefix, unsigned src)
{
	withdraw_path(w, prefix, src, 0);
}

static unsigned path_at(const struct ear *e, unsigned prefix, uint32_t id)
{
	unsigned i = 0;

	while (i < e->n_paths && (e->path[i].prefix != prefix || e->path[i].id != id))
		i++;
	return i;
}

static void hear_path(struct world *w, struct ear *e, uint32_t route, struct bgp_attrs *attrs,
		      bool refresh)
{
	uint32_t id, net = bgp_adjout_net(&e->m, route, &id);
	unsigned n = number_of(w, net), i = path_at(e, n, id);

	assert_int_not_equal(id, 0);
	if (!attrs) {
		assert_int_not_equal(i, e->n_paths); /* only what was told */
		e->path[i] = e->path[--e->n_paths];
		e->withdrawn++;
		return;
	}
	assert_true(i < ARRAY_SIZE(e->path));
	if (i < e->n_paths && !refresh && !w->lax)
		assert_ptr_not_equal(e->path[i].attrs, attrs);
	e->path[i].prefix = n;
	e->path[i].id = id;
	e->path[i].attrs = attrs;
	e->n_paths += i == e->n_paths;
	e->announced++;
}

static void hear_paths(struct world *w, struct ear *e, bool refresh)
{
	const struct bgp_batch *b = &w->batch;

	for (unsigned i = 0; i < b->n_withdrawn; i++)
		hear_path(w, e, b->withdrawn[i], NULL, refresh);
	for (unsigned s = 0; s < b->n_sets; s++) {
		for (uint32_t i = b->set[s].first; i != UINT32_MAX; i = b->item[i].next)
			hear_path(w, e, b->item[i].route, b->set[s].attrs, refresh);
	}
}

static void hear(struct world *w, struct ear *e, bool refresh)
{
	const struct bgp_batch *b = &w->batch;

	e->end_of_ribs += b->end_of_rib;
	e->refresh_begins += b->begin_of_refresh;
	e->refresh_ends += b->end_of_refresh;
	if (e - w->ear >= EVERY_PATH) {
		hear_paths(w, e, refresh);
		return;
	}
	for (unsigned i = 0; i < b->n_withdrawn; i++) {
		unsigned n = number_of(w, b->withdrawn[i]);

		assert_non_null(e->has[n]); /* only what was told */
		e->has[n] = NULL;
		e->withdrawn++;
	}
	for (unsigned s = 0; s < b->n_sets; s++) {
		for (uint32_t i = b->set[s].first; i != UINT32_MAX; i = b->item[i].next) {
			unsigned n = number_of(w, b->item[i].route);

			if (!refresh && !w->lax)
				assert_ptr_not_equal(e->has[n], b->set[s].attrs);
			e->has[n] = b->set[s].attrs;
			e->announced++;
		}
	}
}

/* Up to `size` bytes' worth; false when there was nothing. */
static bool pull(struct world *w, unsigned i, size_t size, bool refresh)
{
	if (!bgp_adjout_pull(&w->ao, &w->ear[i].m, &w->batch, size, BGP_MSG_MAX))
		return false;
	hear(w, &w->ear[i], refresh);
	bgp_adjout_taken(&w->ao, &w->ear[i].m, &w->batch);
	return true;
}

static void settle(struct world *w)
{
	decide_all(w);
	while (bgp_adjout_fill(&w->ao, 7))
		;
	for (unsigned i = 0; i < MEMBERS; i++) {
		while (w->ear[i].joined && pull(w, i, 65536, false))
			;
	}
}

/* Has this ear exactly the exports of the best paths, but for its own? */
static void check_ear(struct world *w, unsigned i)
{
	struct ear *e = &w->ear[i];
	struct bgp_target t = target_of(i);
	uint32_t has = 0;

	for (unsigned n = 0; n < PREFIXES; n++) {
		struct prefix p = nth(n);
		uint32_t net = bgp_rib_find(&w->rib, &p);
		struct bgp_path best;
		struct bgp_attrs *want = NULL;

		if (net != BGP_NET_NONE && bgp_net_best(bgp_rib_net(&w->rib, net), &best) &&
		    bgp_source_at(&w->sources, best.source)->peer_id != i + 1)
			want = bgp_export_attrs(w->t, &w->policy, &t,
						bgp_source_at(&w->sources, best.source), best.attrs,
						NULL);
		assert_ptr_equal(e->has[n], want);
		has += want != NULL;
		bgp_attrs_unref(w->t, want);
	}
	assert_int_equal(e->m.sent, has);
}

/* Takes one path with these attributes from what the ear has of a prefix. */
static void tick_off(struct ear *e, bool *ticked, unsigned prefix, const struct bgp_attrs *attrs)
{
	for (unsigned i = 0; i < e->n_paths; i++) {
		if (ticked[i] || e->path[i].prefix != prefix || e->path[i].attrs != attrs)
			continue;
		ticked[i] = true;
		return;
	}
	fail_msg("prefix %u: a path was not told", prefix);
}

/* The same of one that takes every path. */
static void check_paths(struct world *w, unsigned i)
{
	struct ear *e = &w->ear[i];
	struct bgp_target t = target_of(i);
	bool ticked[ARRAY_SIZE(e->path)] = { false };
	uint32_t wanted = 0;

	for (unsigned n = 0; n < PREFIXES; n++) {
		struct prefix p = nth(n);
		uint32_t net = bgp_rib_find(&w->rib, &p);
		struct bgp_path one;
		const struct bgp_path *path;
		unsigned paths;

		if (net == BGP_NET_NONE)
			continue;
		path = bgp_net_paths(bgp_rib_net(&w->rib, net), &one, &paths);
		for (unsigned k = 0; k < paths; k++) {
			const struct bgp_source *src = bgp_source_at(&w->sources, path[k].source);
			struct bgp_attrs *want;

			if (src->peer_id == i + 1)
				continue;
			want = bgp_export_attrs(w->t, &w->policy, &t, src, path[k].attrs, NULL);
			tick_off(e, ticked, n, want);
			bgp_attrs_unref(w->t, want);
			wanted++;
		}
	}
	assert_int_equal(e->n_paths, wanted);
	assert_int_equal(e->m.sent, wanted);
}

static void check_all(struct world *w)
{
	check_held(w);
	for (unsigned i = 0; i < MEMBERS; i++) {
		if (w->ear[i].joined && i >= EVERY_PATH)
			check_paths(w, i);
		else if (w->ear[i].joined)
			check_ear(w, i);
	}
}

/* ---- cases ---- */

static void never_back_to_the_sender(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 1);
	join(&w, 2);
	announce(&w, 0, 1, 0); /* from peer 2, which is ear 1 */
	settle(&w);
	assert_null(w.ear[1].has[0]);
	assert_non_null(w.ear[2].has[0]);
	assert_int_equal(w.ear[1].withdrawn, 0);
	/* now ear 2's path replaces it, with the same attributes: only those two are concerned */
	announce(&w, 0, 2, 0);
	withdraw(&w, 0, 1);
	settle(&w);
	assert_non_null(w.ear[1].has[0]);
	assert_null(w.ear[2].has[0]);
	assert_int_equal(w.ear[1].announced, 1);
	assert_int_equal(w.ear[2].withdrawn, 1);
	check_all(&w);
	end(&w);
}

static void a_new_best_with_equal_attributes_is_not_repeated(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 1; i < 6; i++)
		join(&w, i);
	announce(&w, 0, 1, 0);
	settle(&w);
	assert_int_equal(w.ear[5].announced, 1);
	announce(&w, 0, 2, 0);
	withdraw(&w, 0, 1);
	settle(&w);
	assert_int_equal(w.ear[5].announced, 1);
	assert_int_equal(w.ear[4].announced, 1);
	check_all(&w);
	end(&w);
}

static void what_came_and_went_unseen_is_not_told(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 7);
	settle(&w);
	announce(&w, 3, 0, 0);
	decide_all(&w);
	withdraw(&w, 3, 0);
	decide_all(&w); /* the announcement still waits */
	settle(&w);
	assert_int_equal(w.ear[7].announced, 0);
	assert_int_equal(w.ear[7].withdrawn, 0);
	assert_int_equal(w.rib.count, 0); /* and the net is free again */
	end(&w);
}

static void a_newer_change_takes_the_place_of_a_waiting_one(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 7);
	settle(&w);
	for (unsigned i = 0; i < 100; i++) {
		announce(&w, 3, 0, i % ATTRS);
		decide_all(&w);
	}
	settle(&w);
	assert_int_equal(w.ear[7].announced, 1);
	check_all(&w);
	end(&w);
}

static void end_of_rib_comes_once_and_last(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < PREFIXES; i++)
		announce(&w, i, 0, i % ATTRS);
	decide_all(&w);
	w.ao.hold_end_of_rib = true;
	join(&w, 7);
	settle(&w);
	assert_int_equal(w.ear[7].announced, PREFIXES);
	assert_int_equal(w.ear[7].end_of_ribs, 0);
	w.ear[7].awake = false;
	bgp_adjout_unhold(&w.ao);
	assert_true(w.ear[7].awake);
	settle(&w);
	assert_int_equal(w.ear[7].end_of_ribs, 1);
	announce(&w, 0, 0, 1);
	settle(&w);
	assert_int_equal(w.ear[7].end_of_ribs, 1);
	/* a table that is empty has an end, too */
	join(&w, 0);
	for (unsigned i = 0; i < PREFIXES; i++)
		withdraw(&w, i, 0);
	settle(&w);
	join(&w, 8);
	settle(&w);
	assert_int_equal(w.ear[8].end_of_ribs, 1);
	end(&w);
}

static void a_refresh_repeats_without_withdrawing(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 7);
	join(&w, 8);
	for (unsigned i = 0; i < PREFIXES; i++)
		announce(&w, i, 0, i % ATTRS);
	settle(&w);
	bgp_adjout_refresh(&w.ao, &w.ear[7].m, false);
	announce(&w, 5, 0, 2); /* in the middle of it */
	decide_all(&w);
	while (pull(&w, 7, 9000, true))
		;
	assert_int_equal(w.ear[7].announced, 2 * PREFIXES + (5 % ATTRS != 2));
	assert_int_equal(w.ear[7].withdrawn, 0);
	assert_int_equal(w.ear[7].end_of_ribs, 1);
	settle(&w);
	assert_int_equal(w.ear[8].announced, PREFIXES + (5 % ATTRS != 2));
	check_all(&w);
	end(&w);
}

static void sets_are_packed(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 7);
	settle(&w);
	for (unsigned i = 0; i < PREFIXES; i++)
		announce(&w, i, 0, i % 2); /* alternating */
	decide_all(&w);
	assert_true(bgp_adjout_pull(&w.ao, &w.ear[7].m, &w.batch, 65536, BGP_MSG_MAX));
	assert_int_equal(w.batch.n_sets, 2);
	assert_int_equal(w.batch.n_items, PREFIXES);
	bgp_adjout_taken(&w.ao, &w.ear[7].m, &w.batch);
	end(&w);
}

static void a_pool_may_be_closed(void **state)
{
	static struct world w;
	struct bgp_pool pool = { .cidr = make_prefix("10.0.0.0/8"), .disable_export = true };

	(void)state;
	begin(&w);
	join(&w, 7);
	announce(&w, 0, 0, 0);
	settle(&w);
	assert_true(bgp_policy_set_pools(&w.policy, &pool, 1));
	assert_false(bgp_policy_set_pools(&w.policy, &pool, 1));
	for (uint32_t i = 0; i < w.rib.n_nets; i++)
		bgp_rib_dirty(&w.rib, i);
	settle(&w);
	assert_null(w.ear[7].has[0]);
	assert_int_equal(w.ear[7].withdrawn, 1);
	end(&w);
}

/* The first slice of a new group's exports is empty: the member must still see what comes after. */
static void a_fill_in_slices_that_begins_with_nothing(void **state)
{
	static struct world w;
	struct bgp_pool pool = { .cidr = make_prefix("10.0.8.0/22") }; /* from number 32 on */

	(void)state;
	begin(&w);
	bgp_policy_set_pools(&w.policy, &pool, 1);
	for (unsigned i = 0; i < PREFIXES; i++)
		announce(&w, i, 0, 0);
	decide_all(&w);
	join(&w, 7);
	for (unsigned i = 0; i <= PREFIXES; i++) {
		bgp_adjout_fill(&w.ao, 1);
		pull(&w, 7, 65536, false);
	}
	assert_int_equal(w.ear[7].announced, PREFIXES - 32);
	assert_int_equal(w.ear[7].end_of_ribs, 1);
	end(&w);
}

/* No room for the End-of-RIB now: it is asked for again. */
static void end_of_rib_waits_for_room(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 7);
	while (bgp_adjout_fill(&w.ao, 100))
		;
	assert_false(pull(&w, 7, BGP_MSG_MAX - 1, false));
	assert_false(w.ear[7].m.asleep);
	assert_true(pull(&w, 7, BGP_MSG_MAX, false));
	assert_int_equal(w.ear[7].end_of_ribs, 1);
	end(&w);
}

/* ---- anything, in any order ---- */

static void one_random_step(struct world *w, struct make_rng *r)
{
	unsigned i = make_random(r, MEMBERS);

	switch (make_random(r, 12)) {
	case 0:
		if (w->ear[i].joined)
			leave(w, i);
		else
			join(w, i);
		return;
	case 1:
	case 2:
		decide_all(w);
		return;
	case 3:
		bgp_adjout_fill(&w->ao, make_random(r, 20));
		return;
	case 4:
	case 5:
	case 6:
		if (w->ear[i].joined)
			pull(w, i, BGP_MSG_MAX + make_random(r, 5000), false);
		return;
	case 7:
	case 8:
		withdraw_path(w, make_random(r, PREFIXES), make_random(r, SOURCES),
			      make_random(r, 3));
		return;
	default:
		announce_path(w, make_random(r, PREFIXES), make_random(r, SOURCES),
			      make_random(r, 3), make_random(r, ATTRS));
	}
}

static void random_steps_end_right(void **state)
{
	static struct world w;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct make_rng r = { seed };

		begin(&w);
		/* A -> B -> A while A's holder did not look may say A again */
		w.lax = true;
		for (unsigned step = 0; step < 3000; step++) {
			one_random_step(&w, &r);
			if (step % 500 == 499) {
				settle(&w);
				check_all(&w);
			}
		}
		end(&w);
	}
}

/* RFC 7911: every path, under an id that stays while the path does. */
static void path_ids_last(void **state)
{
	static struct world w;
	struct ear *e = &w.ear[10];
	uint32_t first, second;

	(void)state;
	begin(&w);
	join(&w, 10);
	announce_path(&w, 0, 1, 7, 0);
	announce_path(&w, 0, 2, 7, 1);
	settle(&w);
	assert_int_equal(e->n_paths, 2);
	first = e->path[0].id;
	second = e->path[1].id;
	assert_int_not_equal(first, second);
	announce_path(&w, 0, 1, 7, 2); /* the path changes, not its id */
	settle(&w);
	assert_int_equal(e->announced, 3);
	assert_int_equal(e->withdrawn, 0);
	withdraw_path(&w, 0, 1, 7);
	settle(&w);
	assert_int_equal(e->withdrawn, 1);
	assert_int_equal(path_at(e, 0, second), 0);
	/* a path of another prefix may have the id now, since all have heard the withdrawal */
	announce_path(&w, 1, 3, 0, 0);
	settle(&w);
	assert_int_equal(path_at(e, 1, first), 1);
	check_all(&w);
	end(&w);
}

/* A member that does not read keeps the id from being given to another path. */
static void path_ids_wait_for_the_slowest(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	join(&w, 9);
	join(&w, 10); /* another group than 9's, 11's and 10's: iBGP */
	leave(&w, 9);
	join(&w, 11);
	announce_path(&w, 0, 1, 7, 0);
	settle(&w);
	withdraw_path(&w, 0, 1, 7);
	decide_all(&w);
	while (pull(&w, 10, 65536, false))
		;
	announce_path(&w, 1, 2, 7, 0); /* 11 has not heard of the withdrawal */
	decide_all(&w);
	while (pull(&w, 10, 65536, false))
		;
	assert_int_not_equal(w.ear[10].path[0].id, w.ear[11].path[0].id);
	settle(&w);
	check_all(&w);
	end(&w);
}

/* RFC 7313 4: begin and end around it, not before the first End-of-RIB, and again if asked again. */
static void an_enhanced_refresh_has_begin_and_end(void **state)
{
	static struct world w;

	(void)state;
	for (unsigned i = 8; i < 11; i += 2) { /* best paths; every path */
		struct ear *e = &w.ear[i];

		begin(&w);
		for (unsigned p = 0; p < PREFIXES; p++)
			announce(&w, p, 0, p % ATTRS);
		decide_all(&w);
		w.ao.hold_end_of_rib = true;
		join(&w, i);
		bgp_adjout_refresh(&w.ao, &e->m, true);
		settle(&w);
		assert_int_equal(e->announced, PREFIXES);
		assert_int_equal(e->refresh_begins, 0);
		bgp_adjout_unhold(&w.ao);
		assert_true(pull(&w, i, 65536, true));
		assert_int_equal(e->end_of_ribs, 1);
		assert_int_equal(e->refresh_begins, 0);
		assert_true(pull(&w, i, 65536, true));
		assert_int_equal(e->refresh_begins, 1);
		assert_int_equal(e->refresh_ends, 1);
		assert_int_equal(e->announced, 2 * PREFIXES);
		assert_false(pull(&w, i, 65536, true));
		bgp_adjout_refresh(&w.ao, &e->m, true);
		bgp_adjout_refresh(&w.ao, &e->m, true);
		while (pull(&w, i, BGP_MSG_MAX + 100, true))
			assert_true(e->refresh_begins - e->refresh_ends <= 1);
		assert_int_equal(e->refresh_begins, 3);
		assert_int_equal(e->refresh_ends, 3);
		assert_int_equal(e->announced, 4 * PREFIXES);
		end(&w);
	}
}

static void all_are_woken(void **state)
{
	static struct world w;

	(void)state;
	begin(&w);
	for (unsigned i = 0; i < MEMBERS; i++)
		join(&w, i);
	settle(&w);
	for (unsigned i = 0; i < MEMBERS; i++)
		w.ear[i].awake = false;
	announce(&w, 0, 0, 0);
	decide_all(&w);
	for (unsigned i = 0; i < MEMBERS; i++)
		assert_true(w.ear[i].awake);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_back_to_the_sender),
		cmocka_unit_test(a_new_best_with_equal_attributes_is_not_repeated),
		cmocka_unit_test(what_came_and_went_unseen_is_not_told),
		cmocka_unit_test(a_newer_change_takes_the_place_of_a_waiting_one),
		cmocka_unit_test(end_of_rib_comes_once_and_last),
		cmocka_unit_test(a_refresh_repeats_without_withdrawing),
		cmocka_unit_test(sets_are_packed),
		cmocka_unit_test(a_pool_may_be_closed),
		cmocka_unit_test(a_fill_in_slices_that_begins_with_nothing),
		cmocka_unit_test(end_of_rib_waits_for_room),
		cmocka_unit_test(path_ids_last),
		cmocka_unit_test(path_ids_wait_for_the_slowest),
		cmocka_unit_test(an_enhanced_refresh_has_begin_and_end),
		cmocka_unit_test(random_steps_end_right),
		cmocka_unit_test(all_are_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
