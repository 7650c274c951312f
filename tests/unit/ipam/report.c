/* report.c - use of pools, holders, borrowers, and what does not fit together */
#include "ipam/report.h"
#include "tests/unit/ipam/help.h"

static struct store_res list(struct bench *t, const char *prefix)
{
	struct store_req req = store_list(prefix);
	struct store_res r = mem_do(&t->m, &req, 0);

	store_req_done(&req);
	return r;
}

static struct ipam_blocks blocks(struct bench *t)
{
	struct ipam_blocks all = { 0 };
	struct store_res r = list(t, IPAMKEY_BLOCKS);

	ipam_blocks_add(&all, &r, t->now_ns, 0);
	store_res_done(&r);
	return all;
}

static void scene(struct bench *t)
{
	*t = bench_new();
	bench_pool(t, "b", "10.0.0.0/29", 30);
	bench_pool(t, "a", "10.1.0.0/28", 30);
	bench_pool(t, "six", "fd00::/32", 122);
	t->pool[1].selects_node = false;
	bench_add(t, "alpha", "net.1");
	bench_add(t, "alpha", "net.2");
	bench_add(t, "bravo", "net.3");
}

static void text_of(const struct ipam_usages *u, char *buf, size_t size)
{
	size_t n = 0;
	char cidr[PREFIX_STR_MAX];

	buf[0] = '\0';
	for (size_t i = 0; i < u->n; i++)
		n += (size_t)snprintf(buf + n, size - n, "%s %s %s %.5g %.5g %.5g %.5g\n",
				      u->p[i].is_pool ? (u->p[i].name ? u->p[i].name : "-") : " ",
				      prefix_format(&u->p[i].cidr, cidr),
				      u->p[i].owner ? u->p[i].owner : "", u->p[i].total,
				      u->p[i].used, u->p[i].reserved, u->p[i].free);
}

static void use_of_pools_and_blocks(void **state)
{
	struct bench t;
	struct ipam_blocks all;
	struct ipam_usages u = { 0 };
	char text[1024];

	scene(&t);
	prefix_parse("10.1.0.8/29", &t.reserved[0]);
	prefix_parse("10.1.0.12/32", &t.reserved[1]);
	prefix_parse("10.0.0.0/31", &t.reserved[2]);
	t.world.reserved = t.reserved;
	t.world.n_reserved = 3;
	all = blocks(&t);
	ipam_usage(&t.world, &all, false, &u);
	text_of(&u, text, sizeof(text));
	/* Two of the reserved 10.0.0.0/31 may be in use; then they count as used. */
	assert_non_null(strstr(text, "a 10.1.0.0/28  16 0 8 8\n"));
	assert_non_null(strstr(text, "six fd00::/32  7.9228e+28 0 0 7.9228e+28\n"));
	assert_int_equal(u.p[0].used, 3);
	assert_int_equal(u.p[0].total, 8);
	assert_true(u.p[0].used + u.p[0].reserved + u.p[0].free == 8);
	assert_int_equal(u.n, 3);
	vec_clear(&u);
	ipam_usage(&t.world, &all, true, &u);
	assert_int_equal(u.n, 5);
	assert_true(u.p[1].owner && !u.p[1].is_pool && u.p[1].total == 4);
	vec_clear(&u);
	t.world.n_pool = 0;
	ipam_usage(&t.world, &all, true, &u);
	assert_int_equal(u.n, 3);
	assert_true(u.p[0].is_pool && !u.p[0].name && u.p[0].cidr.len == 0 && u.p[0].total == 8);
	vec_done(&u);
	ipam_blocks_done(&all);
	mem_done(&t.m);
}

static void who_holds_an_address(void **state)
{
	struct bench t;
	struct ipam_blocks all;
	const struct block_attr *a;
	struct addr ip;
	uint64_t seq = 0;

	t = bench_new();
	bench_pool(&t, "b", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "net.1");
	all = blocks(&t);
	addr_parse("10.0.0.0", &ip);
	a = ipam_holder(&all, &ip, &seq);
	assert_string_equal(a->handle, "net.1");
	assert_true(seq == (uint64_t)NOW);
	addr_parse("10.0.0.1", &ip);
	assert_null(ipam_holder(&all, &ip, &seq));
	addr_parse("10.9.0.1", &ip);
	assert_null(ipam_holder(&all, &ip, &seq));
	ipam_blocks_done(&all);
	mem_done(&t.m);
}

static void borrowers(void **state)
{
	struct bench t = bench_new();
	struct ipam_blocks all;
	struct ipam_borrows b = { 0 };

	bench_pool(&t, "b", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "net.1");
	bench_add(&t, "bravo", "net.2");
	all = blocks(&t);
	ipam_borrowed(&all, &b);
	assert_int_equal(b.n, 1);
	assert_string_equal(b.p[0].node, "bravo");
	assert_string_equal(b.p[0].owner, "alpha");
	assert_string_equal(b.p[0].type, "Handle");
	assert_string_equal(b.p[0].what, "net.2");
	ipam_borrows_done(&b);
	ipam_blocks_done(&all);
	mem_done(&t.m);
}

static size_t check(struct bench *t, const struct ipam_user *user, size_t n_user,
		    struct ipam_blocks *all)
{
	struct store_res handles = list(t, IPAMKEY_HANDLES), affs = list(t, IPAMKEY_HOSTS);
	struct ipam_check c = { .world = t->world,
				.blocks = all,
				.handles = &handles,
				.affinities = &affs,
				.user = user,
				.n_user = n_user };
	size_t n;

	*all = blocks(t);
	n = ipam_check(&c);
	store_res_done(&handles);
	store_res_done(&affs);
	return n;
}

static void expect(const struct ipam_blocks *all, enum ipam_problem_kind kind, const char *part)
{
	for (size_t i = 0; i < all->problem.n; i++)
		if (all->problem.p[i].kind == kind && strstr(all->problem.p[i].text, part))
			return;
	for (size_t i = 0; i < all->problem.n; i++)
		print_error("%d %s\n", all->problem.p[i].kind, all->problem.p[i].text);
	fail_msg("no problem \"%s\" (%s)", part, ipam_problem_name(kind));
}

static void all_is_well(void **state)
{
	struct bench t;
	struct ipam_blocks all;

	scene(&t);
	assert_int_equal(check(&t, NULL, 0, &all), 3);
	assert_int_equal(all.problem.n, 0);
	ipam_blocks_done(&all);
	mem_done(&t.m);
}

static void every_kind_of_problem(void **state)
{
	struct bench t = bench_new();
	struct ipam_user user[4] = { { .who = "workload x" },
				     { .who = "workload y" },
				     { .who = "workload y" },
				     { .who = "workload z" } };
	struct ipam_blocks all;

	bench_pool(&t, "b", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "net.1");
	bench_add(&t, "alpha", "net.2");
	bench_add(&t, "alpha", "net.3");
	mem_put(&t.m, IPAMKEY_HANDLES "net.2", NULL);
	mem_put(&t.m, IPAMKEY_HANDLES "net.3", "{\"block\":{\"10.0.0.0/30\":2}}");
	mem_put(&t.m, IPAMKEY_HANDLES "net.4", "{\"block\":{\"10.0.0.0/30\":1}}");
	mem_put(&t.m, IPAMKEY_HANDLES "net.5", "5");
	mem_put(&t.m, IPAMKEY_BLOCKS "ipv4/block/10.7.0.0-30", "{\"cidr\":\"10.7.0.0/30\"}");
	mem_put(&t.m, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30",
		"{\"state\":\"pending\"}");
	mem_put(&t.m, "/calico/ipam/v2/host/bravo/ipv4/block/10.0.0.0-30",
		"{\"state\":\"confirmed\"}");
	addr_parse("10.0.0.1", &user[0].addr);
	addr_parse("10.0.0.1", &user[1].addr);
	addr_parse("10.0.0.3", &user[2].addr);
	addr_parse("10.9.0.9", &user[3].addr);
	assert_int_equal(check(&t, user, 4, &all), 3);
	expect(&all, PROBLEM_INVALID, "10.7.0.0-30: allocations is missing");
	expect(&all, PROBLEM_INVALID, "handle net.5");
	expect(&all, PROBLEM_NO_POOL, "10.9.0.9, workload z");
	expect(&all, PROBLEM_UNUSED, "10.0.0.0, handle net.1");
	expect(&all, PROBLEM_UNUSED, "10.0.0.2, handle net.3");
	expect(&all, PROBLEM_NOT_ALLOCATED, "10.0.0.3, workload y");
	expect(&all, PROBLEM_OWNERS, "10.0.0.1 is used by 2: workload x, workload y");
	expect(&all, PROBLEM_HANDLE_EMPTY, "net.4");
	expect(&all, PROBLEM_HANDLE_COUNT, "net.3 says 2 in block 10.0.0.0/30, which says 1");
	expect(&all, PROBLEM_HANDLE_MISSING, "1 in block 10.0.0.0/30 are held by net.2");
	expect(&all, PROBLEM_AFFINITY, "alpha/ipv4/block/10.0.0.0-30 is pending");
	expect(&all, PROBLEM_AFFINITY,
	       "bravo/ipv4/block/10.0.0.0-30: the block belongs to host:alpha");
	ipam_blocks_done(&all);
	mem_put(&t.m, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30", NULL);
	check(&t, NULL, 0, &all);
	expect(&all, PROBLEM_AFFINITY,
	       "block 10.0.0.0/30 belongs to host:alpha, which has no affinity");
	ipam_blocks_done(&all);
	mem_done(&t.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(use_of_pools_and_blocks),
		cmocka_unit_test(who_holds_an_address),
		cmocka_unit_test(borrowers),
		cmocka_unit_test(all_is_well),
		cmocka_unit_test(every_kind_of_problem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
