/* assign.c - addresses for a handle: where from, how many writes, and what is said when not */
#include "tests/unit/ipam/help.h"

static void done(struct bench *t)
{
	mem_done(&t->m);
}

static void small(struct bench *t, const char *config)
{
	*t = bench_new();
	bench_pool(t, "tiny", "10.0.0.0/29", 30);
	if (config)
		mem_put(&t->m, IPAMKEY_CONFIG, config);
}

#define STRICT "{\"strict_affinity\":true,\"auto_allocate_blocks\":true}"

static void the_first_address_claims_a_block(void **state)
{
	struct bench t = bench_new();
	struct block *b;

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	assert_string_equal(bench_add(&t, "edge-7", "net.a"), "10.0.0.0");
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/host/edge-7/ipv4/block/10.0.0.0-30"),
			    "{\"state\":\"confirmed\",\"deleted\":false}");
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a"),
			    "{\"block\":{\"10.0.0.0/30\":1},\"deleted\":false}");
	b = bench_block(&t, "10.0.0.0/30");
	assert_string_equal(b->affinity, "host:edge-7");
	assert_int_equal(block_held_by(b, "net.a", NULL), 1);
	assert_true(b->seq_of[0] == (uint64_t)NOW && b->seq == (uint64_t)NOW + 1);
	block_free(b);
	done(&t);
}

/* What an ADD costs when the host has a block: the caches answer the reads. */
static void two_writes_and_nothing_fresh(void **state)
{
	struct bench t;

	small(&t, NULL);
	bench_add(&t, "edge-7", "net.a");
	assert_string_not_equal(bench_add(&t, "edge-7", "net.b"), "");
	assert_int_equal(t.writes, 2);
	assert_int_equal(t.fresh, 0);
	assert_int_equal(t.reads, 3);
	assert_int_equal(bench_del(&t, "edge-7", "net.b"), 1);
	assert_int_equal(t.writes, 2);
	assert_int_equal(t.fresh, 0);
	done(&t);
}

static void a_repeated_add_gives_the_same(void **state)
{
	struct bench t;
	char first[ADDR_STR_MAX];

	small(&t, NULL);
	str_copy(first, sizeof(first), bench_add(&t, "edge-7", "net.a"));
	bench_add(&t, "edge-7", "net.b");
	assert_string_equal(bench_add(&t, "edge-7", "net.a"), first);
	t.pool[0].selects_node = false; /* even when the pool is not for us any more */
	assert_string_equal(bench_add(&t, "edge-7", "net.a"), first);
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a")[0] ? "there" : "",
			    "there");
	done(&t);
}

static void the_queue_is_first_in_first_out(void **state)
{
	struct bench t = bench_new();

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	assert_string_equal(bench_add(&t, "h", "a"), "10.0.0.0");
	assert_string_equal(bench_add(&t, "h", "b"), "10.0.0.1");
	bench_del(&t, "h", "a");
	assert_string_equal(bench_add(&t, "h", "c"), "10.0.0.2");
	assert_string_equal(bench_add(&t, "h", "d"), "10.0.0.3");
	assert_string_equal(bench_add(&t, "h", "e"), "10.0.0.0");
	done(&t);
}

static void reservations_are_kept(void **state)
{
	struct bench t = bench_new();

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	prefix_parse("10.0.0.0/31", &t.reserved[0]);
	t.world.reserved = t.reserved;
	t.world.n_reserved = 1;
	assert_string_equal(bench_add(&t, "h", "a"), "10.0.0.2");
	assert_string_equal(bench_add(&t, "h", "b"), "10.0.0.3");
	assert_string_equal(bench_add(&t, "h", "c"), "");
	bench_expect(
		&t, IPAM_FAIL_EXHAUSTED,
		"assigned 0 of 1 IPv4 addresses: IPPool one (10.0.0.0/30) is exhausted for host "
		"h: none of its 1 blocks (1 of this host) has a free address: add an IPPool");
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/c"), "");
	done(&t);
}

static void others_blocks_are_borrowed_from(void **state)
{
	struct bench t = bench_new();
	struct block *b;

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "a");
	assert_string_equal(bench_add(&t, "bravo", "b"), "10.0.0.1");
	b = bench_block(&t, "10.0.0.0/30");
	assert_string_equal(b->affinity, "host:alpha");
	block_free(b);
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/host/bravo/ipv4/block/10.0.0.0-30"),
			    "");
	done(&t);
}

static void strict_affinity_forbids_borrowing(void **state)
{
	struct bench t = bench_new();

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	mem_put(&t.m, IPAMKEY_CONFIG, STRICT);
	bench_add(&t, "alpha", "a");
	assert_string_equal(bench_add(&t, "bravo", "b"), "");
	bench_expect(
		&t, IPAM_FAIL_STRICT,
		"no free block for host bravo in IPPool one (10.0.0.0/30): it has 0 of 1 blocks, 3 "
		"addresses are free in the others, and strict affinity forbids to use them");
	done(&t);
}

static void a_tunnel_never_borrows(void **state)
{
	struct bench t = bench_new();
	struct ipam_assign req = { .host = "bravo",
				   .handle = "ipip-tunnel-addr-bravo",
				   .use = IPAM_USE_TUNNEL,
				   .want_v4 = 1,
				   .all_or_nothing = true,
				   .own_only = true };
	struct ipam_op *op;

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "a");
	req.world = t.world;
	op = ipam_assign_op(&req);
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	bench_expect(&t, IPAM_FAIL_STRICT,
		     "3 addresses are free in the others, and an address of this kind is never "
		     "borrowed: add an IPPool");
	ipam_op_free(op);
	done(&t);
}

static void the_block_limit_comes_before_borrowing(void **state)
{
	struct bench t;
	char handle[8];

	small(&t, "{\"strict_affinity\":true,\"auto_allocate_blocks\":true,"
		  "\"maxBlocksPerHost\":1}");
	for (int i = 0; i < 4; i++) {
		snprintf(handle, sizeof(handle), "h%d", i);
		assert_string_not_equal(bench_add(&t, "alpha", handle), "");
	}
	assert_string_equal(bench_add(&t, "alpha", "more"), "");
	bench_expect(
		&t, IPAM_FAIL_BLOCK_LIMIT,
		"host alpha has 1 blocks in IPPool tiny (10.0.0.0/29), and its limit is 1: raise "
		"maxBlocksPerHost");
	done(&t);
}

static void without_automatic_blocks(void **state)
{
	struct bench t;

	small(&t, "{\"strict_affinity\":true}");
	assert_string_equal(bench_add(&t, "alpha", "a"), "");
	bench_expect(&t, IPAM_FAIL_EXHAUSTED, "autoAllocateBlocks is false");
	done(&t);
}

static void an_old_empty_block_is_taken_over(void **state)
{
	struct bench t = bench_new();
	struct block *b;

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	mem_put(&t.m, IPAMKEY_CONFIG, STRICT);
	bench_add(&t, "alpha", "a");
	bench_del(&t, "alpha", "a");
	assert_string_equal(bench_add(&t, "bravo", "b"), ""); /* claimed a moment ago */
	t.now_ns += 61 * NS_PER_S;
	assert_string_equal(bench_add(&t, "bravo", "b"), "10.0.0.0");
	b = bench_block(&t, "10.0.0.0/30");
	assert_string_equal(b->affinity, "host:bravo");
	block_free(b);
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30"),
			    "");
	done(&t);
}

static void affinities_are_mended_on_the_way(void **state)
{
	static const char *const states[] = { "pending", "pendingDeletion", "confirmed", "" };
	static const char key[] = "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.4-30";

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct bench t;
		char value[64];

		small(&t, NULL);
		snprintf(value, sizeof(value), "{\"state\":\"%s\"}", states[i]);
		mem_put(&t.m, key, value);
		assert_string_equal(bench_add(&t, "alpha", "a"), "10.0.0.4");
		assert_string_equal(bench_value(&t, key),
				    "{\"state\":\"confirmed\",\"deleted\":false}");
		done(&t);
	}
}

static void a_lost_affinity_is_deleted(void **state)
{
	struct bench t;
	static const char key[] = "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30";
	struct prefix p;
	struct block *b;
	char *value;

	small(&t, NULL);
	prefix_parse("10.0.0.0/30", &p);
	b = block_new(&p, "host:bravo", NOW);
	value = block_encode(b);
	mem_put(&t.m, "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30", value);
	mem_put(&t.m, key, "{\"state\":\"confirmed\"}");
	assert_string_equal(bench_add(&t, "alpha", "a"), "10.0.0.4");
	assert_string_equal(bench_value(&t, key), "");
	free(value);
	block_free(b);
	done(&t);
}

static void blocks_of_pools_that_deselect_us_are_given_back(void **state)
{
	struct bench t;

	small(&t, NULL);
	bench_pool(&t, "next", "10.1.0.0/30", 30);
	t.pool[1].selects_node = false;
	bench_add(&t, "alpha", "a");
	bench_del(&t, "alpha", "a");
	t.pool[0].selects_node = false;
	t.pool[1].selects_node = true;
	assert_string_equal(bench_add(&t, "alpha", "b"), "10.1.0.0");
	for (size_t i = 0; i < t.m.key.n; i++)
		assert_false(strstr(t.m.key.p[i].key, "10.0.0.") &&
			     mem_value(&t.m, t.m.key.p[i].key));
	done(&t);
}

static struct ipam_op *both(struct bench *t, bool all, unsigned v4, unsigned v6)
{
	struct ipam_assign req = { .world = t->world,
				   .host = "alpha",
				   .handle = "net.a",
				   .use = IPAM_USE_WORKLOAD,
				   .want_v4 = v4,
				   .want_v6 = v6,
				   .all_or_nothing = all };

	return ipam_assign_op(&req);
}

static void both_families_or_none(void **state)
{
	struct bench t;
	struct ipam_op *op;
	struct block *b;
	size_t n;

	small(&t, NULL);
	op = both(&t, true, 1, 1);
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	bench_expect(&t, IPAM_FAIL_NO_POOL, "there is no IPv6 pool");
	ipam_op_addrs(op, &n);
	assert_int_equal(n, 0);
	ipam_op_free(op);
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a"), "");
	for (size_t i = 0; i < t.m.key.n; i++)
		assert_null(strstr(bench_value(&t, t.m.key.p[i].key), "net.a"));
	bench_pool(&t, "six", "fd00::/122", 122);
	op = both(&t, true, 1, 1);
	assert_int_equal(bench_run(&t, op), IPAM_DONE);
	assert_int_equal(ipam_op_addrs(op, &n)[1].block.len, 122);
	assert_int_equal(n, 2);
	b = bench_block(&t, "fd00::/122");
	assert_int_equal(block_held_by(b, "net.a", NULL), 1);
	block_free(b);
	ipam_op_free(op);
	done(&t);
}

static void fewer_than_asked(void **state)
{
	struct bench t = bench_new();
	struct ipam_op *op;
	size_t n;

	bench_pool(&t, "one", "10.0.0.0/30", 30);
	bench_add(&t, "alpha", "x");
	op = both(&t, false, 5, 0);
	assert_int_equal(bench_run(&t, op), IPAM_DONE);
	ipam_op_addrs(op, &n);
	assert_int_equal(n, 3);
	assert_non_null(strstr(ipam_op_shortage(op), "assigned 3 of 5 IPv4 addresses"));
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a"),
			    "{\"block\":{\"10.0.0.0/30\":3},\"deleted\":false}");
	ipam_op_free(op);
	op = both(&t, true, 5, 0);
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	ipam_op_free(op);
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a"),
			    "{\"block\":{\"10.0.0.0/30\":3},\"deleted\":false}");
	done(&t);
}

static void pools_asked_for(void **state)
{
	static const char *const names[] = { "next" };
	struct bench t;
	struct ipam_assign req;
	struct ipam_op *op;
	char text[ADDR_STR_MAX];
	size_t n;

	small(&t, NULL);
	bench_pool(&t, "next", "10.1.0.0/30", 30);
	t.pool[1].manual = true;
	req = (struct ipam_assign) { .world = t.world,
				     .host = "alpha",
				     .handle = "net.a",
				     .use = IPAM_USE_WORKLOAD,
				     .want_v4 = 1,
				     .pools_v4 = { names, 1 } };
	op = ipam_assign_op(&req);
	assert_int_equal(bench_run(&t, op), IPAM_DONE);
	assert_string_equal(addr_format(&ipam_op_addrs(op, &n)->addr, text), "10.1.0.0");
	ipam_op_free(op);
	done(&t);
}

/* The other addresses of the handle's block are left alone, words say why. */
static void a_broken_block_is_passed_over(void **state)
{
	struct bench t;
	static const char key[] = "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30";

	small(&t, NULL);
	mem_put(&t.m, key, "{\"cidr\":\"10.0.0.0/30\"}");
	mem_put(&t.m, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30",
		"{\"state\":\"confirmed\"}");
	assert_string_equal(bench_add(&t, "alpha", "a"), "10.0.0.4");
	assert_string_equal(bench_value(&t, key), "{\"cidr\":\"10.0.0.0/30\"}");
	for (int i = 0; i < 3; i++)
		bench_add(&t, "alpha", (const char *[]) { "b", "c", "d" }[i]);
	assert_string_equal(bench_add(&t, "alpha", "e"), "");
	bench_expect(&t, IPAM_FAIL_EXHAUSTED,
		     "besides, block 10.0.0.0/30 is broken and left alone: allocations is missing");
	done(&t);
}

static void broken_objects_are_named(void **state)
{
	struct bench t;

	small(&t, "{\"strict_affinity\":7}");
	assert_string_equal(bench_add(&t, "alpha", "a"), "");
	bench_expect(&t, IPAM_FAIL_CORRUPT,
		     "IPAM settings (/calico/ipam/v2/config): strict_affinity");
	done(&t);
	small(&t, NULL);
	mem_put(&t.m, "/calico/ipam/v2/handle/a", "nonsense");
	assert_string_equal(bench_add(&t, "alpha", "a"), "");
	bench_expect(&t, IPAM_FAIL_CORRUPT, "handle a is broken and left alone");
	done(&t);
	small(&t, NULL);
	mem_put(&t.m, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30", "{\"state\":1}");
	assert_string_equal(bench_add(&t, "alpha", "a"), "");
	bench_expect(&t, IPAM_FAIL_CORRUPT,
		     "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30: state");
	done(&t);
}

static void a_request_that_cannot_be(void **state)
{
	struct bench t;
	struct ipam_op *op;

	small(&t, NULL);
	op = both(&t, true, 0, 0);
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	bench_expect(&t, IPAM_FAIL_REQUEST, "must be 1 to 1024");
	ipam_op_free(op);
	assert_string_equal(bench_add(&t, "al/pha", "a"), "");
	bench_expect(&t, IPAM_FAIL_REQUEST, "must be a node's name");
	assert_string_equal(bench_add(&t, "alpha", "a b"), "");
	bench_expect(&t, IPAM_FAIL_REQUEST, "must be a text without slash or blank");
	done(&t);
}

/* Each write of an ADD in turn is lost, done or not; or refused. */
static void every_write_may_fail(void **state)
{
	for (unsigned at = 1; at <= 5; at++)
		for (int kind = 0; kind < 3; kind++) {
			struct bench t;

			small(&t, NULL);
			t.fault = kind == 2 ? STORE_ERROR : STORE_UNAVAILABLE;
			t.fault_done = kind == 1;
			t.fault_at = at;
			if (kind < 2) {
				assert_string_not_equal(bench_add(&t, "alpha", "net.a"), "");
				assert_non_null(
					strstr(bench_value(&t, "/calico/ipam/v2/handle/net.a"),
					       "/30\":1},"));
			} else {
				assert_string_equal(bench_add(&t, "alpha", "net.a"), "");
				bench_expect(&t, IPAM_FAIL_STORE,
					     "the datastore refuses: disk full");
				assert_string_equal(bench_value(&t, "/calico/ipam/v2/handle/net.a"),
						    "");
			}
			done(&t);
		}
}

static void a_store_that_stays_away(void **state)
{
	struct bench t;
	struct ipam_op *op;
	struct store_res away = { .status = STORE_UNAVAILABLE, .msg = "connection refused" };
	struct store_req req;
	unsigned pause = 0, steps = 0;
	enum ipam_state s;

	small(&t, NULL);
	op = both(&t, true, 1, 0);
	s = ipam_step(op, NULL, NOW, &req, &t.e);
	for (; s == IPAM_WAIT && steps < 50; steps++) {
		store_req_done(&req);
		s = ipam_step(op, &away, NOW, &req, &t.e);
		if (s == IPAM_WAIT) {
			assert_true(ipam_op_pause_ms(op) > pause);
			pause = ipam_op_pause_ms(op);
		}
	}
	assert_int_equal(s, IPAM_FAILED);
	assert_int_equal(ipam_op_fail(op), IPAM_FAIL_UNAVAILABLE);
	assert_string_equal(t.e.msg, "the datastore does not answer: connection refused");
	ipam_op_free(op);
	done(&t);
}

/* Somebody else is quicker, always. */
static void conflicts_without_end(void **state)
{
	struct bench t;
	struct store_req req;
	struct store_res r;
	struct ipam_op *op;
	enum ipam_state s;
	unsigned steps = 0;

	small(&t, NULL);
	bench_add(&t, "alpha", "x");
	op = both(&t, true, 1, 0);
	s = ipam_step(op, NULL, NOW, &req, &t.e);
	for (; s == IPAM_WAIT && steps < 5000; steps++) {
		if (req.verb == STORE_UPDATE && strstr(req.key, "/block/"))
			r = (struct store_res) { .status = STORE_CONFLICT };
		else
			r = mem_do(&t.m, &req, 0);
		store_req_done(&req);
		s = ipam_step(op, &r, NOW, &req, &t.e);
		store_res_done(&r);
	}
	assert_int_equal(s, IPAM_FAILED);
	assert_int_equal(ipam_op_fail(op), IPAM_FAIL_BUSY);
	assert_non_null(strstr(t.e.msg, "too many concurrent IPAM requests, try again"));
	ipam_op_free(op);
	done(&t);
}

static const char *add_ip(struct bench *t, const char *host, const char *handle, const char *ip,
			  unsigned use)
{
	struct ipam_assign_ip req = {
		.world = t->world, .host = host, .handle = handle, .use = use
	};
	struct ipam_op *op;
	enum ipam_state s;

	assert_true(addr_parse(ip, &req.addr));
	op = ipam_assign_ip_op(&req);
	s = bench_run(t, op);
	ipam_op_free(op);
	return s == IPAM_DONE ? "done" : "failed";
}

static void one_particular_address(void **state)
{
	struct bench t;

	small(&t, NULL);
	t.pool[0].selects_node = false; /* not asked */
	assert_string_equal(add_ip(&t, "alpha", "a", "10.0.0.6", 0), "done");
	assert_string_equal(bench_value(&t, "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.4-30"),
			    "{\"state\":\"confirmed\",\"deleted\":false}");
	assert_string_equal(add_ip(&t, "alpha", "a", "10.0.0.6", 0), "done");
	assert_string_equal(add_ip(&t, "bravo", "b", "10.0.0.5", 0), "done");
	assert_string_equal(add_ip(&t, "alpha", "b", "10.0.0.6", 0), "failed");
	bench_expect(&t, IPAM_FAIL_TAKEN, "address 10.0.0.6 is already assigned, to handle a");
	assert_string_equal(add_ip(&t, "alpha", "b", "10.9.0.6", 0), "failed");
	bench_expect(&t, IPAM_FAIL_NO_POOL, "address 10.9.0.6 lies in no enabled IPPool");
	assert_string_equal(add_ip(&t, "alpha", "b", "10.0.0.7", IPAM_USE_LOAD_BALANCER), "failed");
	bench_expect(&t, IPAM_FAIL_NO_POOL, "allowedUses");
	mem_put(&t.m, IPAMKEY_CONFIG, "{\"strict_affinity\":true,\"ipCooldownSeconds\":30}");
	assert_string_equal(add_ip(&t, "bravo", "c", "10.0.0.7", 0), "failed");
	bench_expect(&t, IPAM_FAIL_STRICT,
		     "address 10.0.0.7 lies in block 10.0.0.4/30 of host:alpha, not of host bravo");
	bench_del(&t, "alpha", "a");
	assert_string_equal(add_ip(&t, "alpha", "c", "10.0.0.6", 0), "failed");
	bench_expect(&t, IPAM_FAIL_TAKEN, "cools down for ipCooldownSeconds 30");
	t.now_ns += 31 * NS_PER_S;
	assert_string_equal(add_ip(&t, "alpha", "c", "10.0.0.6", 0), "done");
	done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_address_claims_a_block),
		cmocka_unit_test(two_writes_and_nothing_fresh),
		cmocka_unit_test(a_repeated_add_gives_the_same),
		cmocka_unit_test(the_queue_is_first_in_first_out),
		cmocka_unit_test(reservations_are_kept),
		cmocka_unit_test(others_blocks_are_borrowed_from),
		cmocka_unit_test(strict_affinity_forbids_borrowing),
		cmocka_unit_test(a_tunnel_never_borrows),
		cmocka_unit_test(the_block_limit_comes_before_borrowing),
		cmocka_unit_test(without_automatic_blocks),
		cmocka_unit_test(an_old_empty_block_is_taken_over),
		cmocka_unit_test(affinities_are_mended_on_the_way),
		cmocka_unit_test(a_lost_affinity_is_deleted),
		cmocka_unit_test(blocks_of_pools_that_deselect_us_are_given_back),
		cmocka_unit_test(both_families_or_none),
		cmocka_unit_test(fewer_than_asked),
		cmocka_unit_test(pools_asked_for),
		cmocka_unit_test(a_broken_block_is_passed_over),
		cmocka_unit_test(broken_objects_are_named),
		cmocka_unit_test(a_request_that_cannot_be),
		cmocka_unit_test(every_write_may_fail),
		cmocka_unit_test(a_store_that_stays_away),
		cmocka_unit_test(conflicts_without_end),
		cmocka_unit_test(one_particular_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
