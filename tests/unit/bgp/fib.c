/* fib.c - next-hop sets, the queue of changes and the memory of next hops */
#include "bgp/fib.h"

#include "bgp/nexthop.h"
#include "make.h"

struct world {
	struct bgp_attr_table *t;
	struct bgp_sources sources;
	struct bgp_rib rib[BGP_AF_MAX_];
	struct bgp_fib fib;
	struct bgp_attrs *attrs;
	struct bgp_source *src;
};

static void begin(struct world *w)
{
	*w = (struct world){ .t = bgp_attr_table_new() };
	bgp_sources_init(&w->sources);
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		bgp_rib_init(&w->rib[af], (enum bgp_af)af, w->t, &w->sources, af);
	bgp_fib_init(&w->fib, w->rib);
	w->attrs = make_attrs(w->t, &(struct make){ .origin = 0 });
	w->src = bgp_source_new(&w->sources);
}

static void end(struct world *w)
{
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		bgp_rib_done(&w->rib[af]);
	bgp_fib_done(&w->fib);
	bgp_attrs_unref(w->t, w->attrs);
	bgp_sources_done(&w->sources);
	bgp_attr_table_free(w->t);
}

static uint32_t net_of(struct world *w, const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	struct bgp_rib *rib = &w->rib[bgp_af_of((enum ip_family)p.addr.family)];

	bgp_rib_announce(rib, &p, w->src, 0, w->attrs);
	return bgp_rib_find(rib, &p);
}

/* Up to three next hops. */
static void want(struct world *w, const char *prefix, const char *a, const char *b)
{
	struct addr hop[2];
	unsigned n = 0;
	enum bgp_af af = strchr(prefix, ':') ? BGP_AF_IPV6_UNICAST : BGP_AF_IPV4_UNICAST;

	if (a)
		hop[n++] = make_addr(a);
	if (b)
		hop[n++] = make_addr(b);
	bgp_fib_want(&w->fib, af, net_of(w, prefix), hop, n, 0);
}

/* The next change told: "prefix hop hop", "" when there is none. */
static const char *told(struct world *w)
{
	static char text[256];
	struct bgp_fib_change c;
	enum bgp_fib_step step;
	enum bgp_af af;
	uint32_t net;
	char one[PREFIX_STR_MAX];

	do {
		step = bgp_fib_next(&w->fib, &c, &af, &net);
	} while (step == BGP_FIB_SETTLED);
	text[0] = '\0';
	if (step == BGP_FIB_NONE)
		return text;
	strcpy(text, prefix_format(&c.prefix, one));
	for (size_t i = 0; i < c.n; i++) {
		strcat(text, " ");
		strcat(text, addr_format(&c.next_hop[i], one));
	}
	return text;
}

static void changes_are_told_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	want(&w, "10.0.0.0/26", "192.0.2.1", NULL);
	want(&w, "10.0.0.0/26", "192.0.2.1", NULL);
	want(&w, "fd00::/64", "fe80::1", NULL);
	assert_string_equal(told(&w), "10.0.0.0/26 192.0.2.1");
	assert_string_equal(told(&w), "fd00::/64 fe80::1");
	assert_string_equal(told(&w), "");
	want(&w, "10.0.0.0/26", "192.0.2.1", NULL); /* as it is */
	assert_string_equal(told(&w), "");
	want(&w, "10.0.0.0/26", "192.0.2.1", "192.0.2.2"); /* a second path appears */
	assert_string_equal(told(&w), "10.0.0.0/26 192.0.2.1 192.0.2.2");
	want(&w, "10.0.0.0/26", "192.0.2.2", NULL); /* the first one disappears */
	assert_string_equal(told(&w), "10.0.0.0/26 192.0.2.2");
	want(&w, "10.0.0.0/26", NULL, NULL);
	assert_string_equal(told(&w), "10.0.0.0/26");
	assert_string_equal(told(&w), "");
	assert_true(bgp_fib_idle(&w.fib));
	end(&w);
}

static void overtaken_changes_are_not_told(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	want(&w, "10.0.0.0/26", "192.0.2.1", NULL);
	want(&w, "10.0.0.0/26", "192.0.2.2", NULL);
	want(&w, "10.0.0.64/26", "192.0.2.1", NULL);
	want(&w, "10.0.0.64/26", NULL, NULL); /* came and went */
	assert_string_equal(told(&w), "10.0.0.0/26 192.0.2.2");
	assert_string_equal(told(&w), "");
	want(&w, "10.0.0.0/26", "192.0.2.9", NULL);
	want(&w, "10.0.0.0/26", "192.0.2.2", NULL); /* there and back */
	assert_string_equal(told(&w), "");
	end(&w);
}

static void everything_is_told_again(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	want(&w, "10.0.0.0/26", "192.0.2.1", NULL);
	want(&w, "10.0.0.64/26", "192.0.2.1", NULL);
	want(&w, "fd00::/64", "fe80::1", NULL);
	while (told(&w)[0])
		;
	want(&w, "10.0.0.64/26", "192.0.2.9", NULL);
	want(&w, "10.0.0.64/26", "192.0.2.1", NULL); /* back, but the owner has lost track */
	want(&w, "10.0.0.128/26", "192.0.2.1", NULL);
	assert_string_equal(told(&w), "10.0.0.128/26 192.0.2.1");
	want(&w, "10.0.0.128/26", NULL, NULL); /* what is gone must be told, too */
	bgp_fib_retell(&w.fib);
	assert_false(bgp_fib_idle(&w.fib));
	assert_string_equal(told(&w), "10.0.0.128/26");
	assert_string_equal(told(&w), "10.0.0.0/26 192.0.2.1");
	assert_string_equal(told(&w), "10.0.0.64/26 192.0.2.1");
	assert_string_equal(told(&w), "fd00::/64 fe80::1");
	assert_string_equal(told(&w), "");
	assert_true(bgp_fib_idle(&w.fib));
	end(&w);
}

/* Each prefix its own next hop, many times over: numbers are used again, nothing leaks. */
static void many_sets_come_and_go(void **state)
{
	enum { N = 3000 };
	struct world w;

	(void)state;
	begin(&w);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N; i++) {
			struct prefix p = prefix_of(&(struct addr){ IP_V4, { 10 } }, 8);
			struct addr hop = addr_v4(0xc0000000 + round * N + i);

			p.addr = addr_add(&p.addr, i * 64);
			p.len = 26;
			bgp_rib_announce(&w.rib[0], &p, w.src, 0, w.attrs);
			bgp_fib_want(&w.fib, BGP_AF_IPV4_UNICAST, bgp_rib_find(&w.rib[0], &p),
				     &hop, 1, 0);
		}
		while (told(&w)[0])
			;
		assert_int_equal(w.fib.count, N);
		assert_true(w.fib.sets.n <= 2 * N + 1);
	}
	end(&w);
}

/* ---- next hops ---- */

struct answers {
	unsigned asked;
	bool down;
};

static struct bgp_resolution answer(void *arg, const struct addr *hop)
{
	struct answers *a = arg;

	a->asked++;
	return (struct bgp_resolution){ .reachable = !a->down || hop->b[3] % 2, .metric = 5 };
}

static void next_hops_are_asked_once(void **state)
{
	struct answers a = { 0 };
	struct bgp_next_hops nh = { .resolve = answer, .arg = &a };

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 500; i++) {
			struct addr hop = addr_v4(0xc0000200 + i);

			assert_true(bgp_next_hops_get(&nh, &hop).reachable);
		}
	}
	assert_int_equal(a.asked, 500);
	assert_false(bgp_next_hops_refresh(&nh));
	assert_int_equal(a.asked, 1000);
	a.down = true;
	assert_true(bgp_next_hops_refresh(&nh));
	assert_false(bgp_next_hops_get(&nh, &(struct addr){ IP_V4, { 192, 0, 2, 2 } }).reachable);
	assert_true(bgp_next_hops_get(&nh, &(struct addr){ IP_V4, { 192, 0, 2, 3 } }).reachable);
	bgp_next_hops_done(&nh);
}

static void next_hops_do_not_grow_without_bound(void **state)
{
	struct answers a = { 0 };
	struct bgp_next_hops nh = { .resolve = answer, .arg = &a };

	(void)state;
	for (uint32_t i = 0; i < 3 * BGP_NEXT_HOPS_MAX; i++) {
		struct addr hop = addr_v4(0x01000000 + i);

		bgp_next_hops_get(&nh, &hop);
		assert_true(nh.count <= BGP_NEXT_HOPS_MAX);
	}
	bgp_next_hops_done(&nh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_are_told_once),
		cmocka_unit_test(overtaken_changes_are_not_told),
		cmocka_unit_test(everything_is_told_again),
		cmocka_unit_test(many_sets_come_and_go),
		cmocka_unit_test(next_hops_are_asked_once),
		cmocka_unit_test(next_hops_do_not_grow_without_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
