/* services.c - routes of services: announced, passed on, kept out of the kernel, explained */
#include "bgp/filter.h"
#include "bgp/why.h"
#include "played.h"

static struct played_world w;

static void set(const struct bgp_service_route *route, size_t n_routes,
		const struct bgp_served_range *range, size_t n_ranges)
{
	struct bgp_services s = { route, n_routes, range, n_ranges };

	bgp_speaker_set_services(w.sp, &s, w.now);
	played_settle(&w);
}

/* Without a pool: nothing but services lets anything out. */
static void start(void)
{
	played_start(&w);
	bgp_speaker_set_pools(w.sp, NULL, 0, w.now);
	played_settle(&w);
}

static struct bgp_service_route route(const char *prefix, const char *why)
{
	return (struct bgp_service_route) { make_prefix(prefix), why };
}

static struct bgp_served_range range(const char *cidr, bool reflect, bool no_kernel)
{
	return (struct bgp_served_range) { make_prefix(cidr), reflect, no_kernel };
}

static void why_is(size_t peer, const char *prefix, const char *rule, const char *text)
{
	struct prefix p = make_prefix(prefix);
	struct bgp_why why;

	assert_true(bgp_speaker_why(w.sp, &p, peer, &why));
	if (!why.rule || strcmp(why.rule, rule) != 0 || !strstr(why.text, text))
		fail_msg("%s: %s: %s; must be %s: ...%s...", prefix, why.rule, why.text, rule,
			 text);
	bgp_why_done(&why);
}

static void come_and_go(void **state)
{
	struct bgp_service_route two[] = { route("10.96.0.0/12", "serviceClusterIPs"),
					   route("10.96.0.7/32", "service default/web") };
	struct prefix block = make_prefix("10.96.0.7/32");
	struct played *to;

	(void)state;
	played_begin(&w);
	to = played_add(&w, 65001);
	start();
	set(two, 2, NULL, 0);
	assert_int_equal(to->announced, 2);
	why_is(0, "10.96.0.7/32", "service", "service default/web");
	why_is(0, "10.96.0.0/12", "service", "serviceClusterIPs");
	/* the same once more: not a word */
	set(two, 2, NULL, 0);
	assert_int_equal(to->announced, 2);
	set(two, 1, NULL, 0);
	assert_int_equal(to->withdrawn, 1);
	why_is(0, "10.96.0.7/32", "no-path", "10.96.0.0/12");
	/* two causes for one prefix: it goes with the last */
	set(two, 2, NULL, 0);
	bgp_speaker_set_local_routes(w.sp, &block, 1, w.now);
	set(two, 1, NULL, 0);
	assert_int_equal(to->withdrawn, 1);
	bgp_speaker_set_local_routes(w.sp, NULL, 0, w.now);
	played_settle(&w);
	assert_int_equal(to->withdrawn, 2);
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	set(two, 2, NULL, 0);
	bgp_speaker_set_blocks(w.sp, NULL, 0, w.now);
	played_settle(&w);
	assert_int_equal(to->withdrawn, 2);
	set(NULL, 0, NULL, 0);
	assert_int_equal(to->withdrawn, 4);
	played_end(&w);
}

static void others_inside_may_pass(void **state)
{
	struct bgp_service_route whole = route("203.0.113.0/24", "serviceExternalIPs");
	struct played *from, *to;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	start();
	played_announce(&w, from, "203.0.113.9/32");
	why_is(1, "203.0.113.9/32", "outside-pools", "");
	assert_int_equal(to->announced, 0);
	set(&whole, 1, NULL, 0);
	why_is(1, "203.0.113.9/32", "service", "inside 203.0.113.0/24: serviceExternalIPs");
	assert_int_equal(to->announced, 2);
	set(NULL, 0, NULL, 0);
	assert_int_equal(to->withdrawn, 2);
	played_end(&w);
}

/* What the kernel does not get must not draw packets here. */
static void services_of_others_stay_with_them(void **state)
{
	struct bgp_service_route whole = route("203.0.113.0/24", "serviceExternalIPs");
	struct bgp_served_range kept = range("203.0.113.0/24", true, true);
	struct played *from, *to, *keeps;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 64512);
	to = played_add(&w, 65002);
	keeps = played_add(&w, 65003);
	keeps->config->next_hop_mode = BGP_NEXT_HOP_KEEP;
	start();
	set(&whole, 1, &kept, 1);
	played_announce(&w, from, "203.0.113.9/32");
	why_is(1, "203.0.113.9/32", "served-elsewhere", "");
	why_is(2, "203.0.113.9/32", "service", "");
	why_is(1, "203.0.113.0/24", "service", "");
	assert_int_equal(to->announced, 1);
	assert_int_equal(keeps->announced, 2);
	played_end(&w);
}

static void a_reflector_passes_them_on(void **state)
{
	struct bgp_served_range r[] = { range("203.0.113.0/24", true, true),
					range("10.96.0.0/12", false, true) };
	struct played *from, *to, *out;

	(void)state;
	played_begin(&w);
	w.global.cluster_id = 7;
	from = played_add(&w, 64512);
	to = played_add(&w, 64512);
	out = played_add(&w, 65001);
	from->config->rr_client = to->config->rr_client = true;
	start();
	played_announce(&w, from, "203.0.113.9/32");
	played_announce(&w, from, "10.96.0.9/32");
	why_is(1, "203.0.113.9/32", "outside-pools", "");
	set(NULL, 0, r, 2);
	why_is(1, "203.0.113.9/32", "service-range", "reflects");
	why_is(1, "10.96.0.9/32", "outside-pools", "");
	assert_int_equal(to->announced, 1);
	/* also out of the cluster, with its own next hop: there may be no other way */
	why_is(2, "203.0.113.9/32", "service-range", "reflects");
	assert_int_equal(out->announced, 1);
	set(NULL, 0, NULL, 0);
	assert_int_equal(to->withdrawn, 1);
	played_end(&w);
	/* who is no reflector passes nothing on for that */
	played_begin(&w);
	from = played_add(&w, 65001);
	to = played_add(&w, 65002);
	start();
	set(NULL, 0, r, 2);
	played_announce(&w, from, "203.0.113.9/32");
	why_is(1, "203.0.113.9/32", "served-elsewhere", "");
	assert_int_equal(to->announced, 0);
	played_end(&w);
}

/* What the kernel is told of a prefix, as of now: 0 next hops is "not there". */
static size_t in_kernel(const char *prefix)
{
	struct prefix p = make_prefix(prefix);
	struct bgp_fib_change c;
	size_t n = 0;

	bgp_speaker_retell_fib(w.sp);
	while (bgp_speaker_next_fib_change(w.sp, &c))
		if (prefix_eq(&c.prefix, &p))
			n = c.n;
	return n;
}

static void the_kernel_is_spared(void **state)
{
	struct bgp_served_range r[] = { range("10.96.0.0/12", false, true),
					range("198.51.100.0/24", true, false),
					range("10.96.5.0/24", true, false) };
	struct played *from;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	start();
	played_announce(&w, from, "10.96.0.9/32");
	played_announce(&w, from, "10.96.5.9/32");
	played_announce(&w, from, "198.51.100.9/32");
	assert_int_equal(in_kernel("10.96.0.9/32"), 1);
	set(NULL, 0, r, 3);
	assert_int_equal(in_kernel("10.96.0.9/32"), 0);
	/* one range inside of another: any that says no counts */
	assert_int_equal(in_kernel("10.96.5.9/32"), 0);
	assert_int_equal(in_kernel("198.51.100.9/32"), 1);
	set(NULL, 0, NULL, 0);
	assert_int_equal(in_kernel("10.96.0.9/32"), 1);
	played_end(&w);
}

static bool find_own(void *arg, const struct bgp_path_info *path)
{
	const char **out = arg;

	if (!path->peer)
		*out = path->made_for ? path->made_for : "";
	return true;
}

static void routes_are_named(void **state)
{
	struct bgp_service_route r[] = { route("10.96.0.7/32", "service default/web"),
					 route("10.96.0.7/32", "service default/other") };
	struct prefix p = make_prefix("10.96.0.7/32"), block = make_prefix("10.1.0.0/26");
	const char *text = NULL;
	struct played *from;

	(void)state;
	played_begin(&w);
	from = played_add(&w, 65001);
	start();
	played_announce(&w, from, "10.96.0.7/32");
	set(r, 2, NULL, 0);
	bgp_speaker_each_path(w.sp, &p, find_own, &text);
	assert_string_equal(text, "service default/web");
	bgp_speaker_set_blocks(w.sp, &block, 1, w.now);
	bgp_speaker_each_path(w.sp, &block, find_own, &text);
	assert_string_equal(text, "");
	played_end(&w);
}

static void filters_and_pools_come_first(void **state)
{
	struct bgp_service_route r[] = { route("10.96.0.7/32", "service default/web") };
	struct bgp_pool pool = { .cidr = make_prefix("10.96.0.0/16"), .disable_export = true };

	(void)state;
	played_begin(&w);
	played_add(&w, 65001);
	start();
	set(r, 1, NULL, 0);
	bgp_speaker_set_pools(w.sp, &pool, 1, w.now);
	played_settle(&w);
	why_is(0, "10.96.0.7/32", "export-disabled", "10.96.0.0/16");
	played_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(come_and_go),
		cmocka_unit_test(others_inside_may_pass),
		cmocka_unit_test(services_of_others_stay_with_them),
		cmocka_unit_test(a_reflector_passes_them_on),
		cmocka_unit_test(the_kernel_is_spared),
		cmocka_unit_test(routes_are_named),
		cmocka_unit_test(filters_and_pools_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
