/* release.c - addresses go back, blocks go back, what is broken is mended, what is dead collected
 */
#include "tests/unit/ipam/help.h"

static void one(struct bench *t, const char *config)
{
	*t = bench_new();
	bench_pool(t, "one", "10.0.0.0/30", 30);
	if (config)
		mem_put(&t->m, IPAMKEY_CONFIG, config);
}

#define BLOCK	 "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30"
#define AFFINITY "/calico/ipam/v2/host/alpha/ipv4/block/10.0.0.0-30"
#define HANDLE	 "/calico/ipam/v2/handle/"

static struct ipam_tally release(struct bench *t, const char *ip, const char *handle, uint64_t seq)
{
	struct ipam_proof proof = { .handle = handle, .seq = seq };
	struct ipam_release req = {
		.world = t->world, .host = "alpha", .proof = &proof, .n_proof = 1
	};
	struct ipam_op *op;
	struct ipam_tally tally;

	assert_true(addr_parse(ip, &proof.addr));
	op = ipam_release_op(&req);
	if (bench_run(t, op) != IPAM_DONE)
		fail_msg("%s", t->e.msg);
	tally = ipam_op_tally(op);
	ipam_op_free(op);
	return tally;
}

static void only_with_proof(void **state)
{
	struct bench t;
	struct ipam_tally n;

	one(&t, NULL);
	bench_add(&t, "alpha", "a");
	n = release(&t, "10.0.0.0", "b", 0);
	assert_true(n.released == 0 && n.mismatched == 1);
	n = release(&t, "10.0.0.0", "a", 5);
	assert_true(n.released == 0 && n.mismatched == 1);
	n = release(&t, "10.0.0.1", NULL, 0);
	assert_true(n.released == 0 && n.not_held == 1);
	n = release(&t, "10.0.0.0", "a", (uint64_t)NOW);
	assert_true(n.released == 1 && n.mismatched == 0 && n.not_held == 0);
	assert_string_equal(bench_value(&t, HANDLE "a"), "");
	n = release(&t, "10.0.0.0", NULL, 0);
	assert_true(n.not_held == 1);
	mem_done(&t.m);
}

static void outside_of_every_pool(void **state)
{
	struct bench t;
	struct ipam_tally n;

	one(&t, NULL);
	bench_add(&t, "alpha", "a");
	t.world.n_pool = 0;
	n = release(&t, "10.7.0.0", NULL, 0);
	assert_true(n.not_held == 1);
	n = release(&t, "10.0.0.0", NULL, 0);
	assert_true(n.released == 1);
	/* And the emptied block, which no pool selects us for, goes as well. */
	assert_string_equal(bench_value(&t, BLOCK), "");
	assert_string_equal(bench_value(&t, AFFINITY), "");
	mem_done(&t.m);
}

static void a_handle_that_is_not_there(void **state)
{
	struct bench t;

	one(&t, NULL);
	assert_int_equal(bench_del(&t, "alpha", "nobody"), 0);
	assert_int_equal(t.writes, 0);
	mem_done(&t.m);
}

/* An ADD died between its two writes; the handle claims an address that it does not have. */
static void a_handle_that_claims_too_much(void **state)
{
	struct bench t;
	struct block *b;
	uint64_t seq;

	one(&t, NULL);
	bench_add(&t, "alpha", "x");
	mem_put(&t.m, HANDLE "a", "{\"block\":{\"10.0.0.0/30\":1,\"10.9.0.0/30\":1}}");
	b = bench_block(&t, "10.0.0.0/30");
	seq = b->seq;
	block_free(b);
	assert_int_equal(bench_del(&t, "alpha", "a"), 0);
	assert_string_equal(bench_value(&t, HANDLE "a"), "");
	b = bench_block(&t, "10.0.0.0/30");
	assert_true(b->seq == seq + 1); /* the write that may be on its way fails */
	assert_int_equal(block_held_by(b, "x", NULL), 1);
	block_free(b);
	mem_done(&t.m);
}

static void a_handle_with_carriage_return(void **state)
{
	struct bench t;

	one(&t, NULL);
	bench_add(&t, "alpha", "a");
	assert_int_equal(bench_del(&t, "alpha", "a\r\neth0"), 1);
	mem_done(&t.m);
}

static void cooling(void **state)
{
	struct bench t;
	struct block *b;

	one(&t, "{\"auto_allocate_blocks\":true,\"ipCooldownSeconds\":60}");
	for (int i = 0; i < 4; i++)
		bench_add(&t, "alpha", (const char *[]) { "a", "b", "c", "d" }[i]);
	bench_del(&t, "alpha", "b");
	assert_string_equal(bench_value(&t, HANDLE "b"), "");
	assert_string_equal(bench_add(&t, "alpha", "e"), "");
	bench_expect(&t, IPAM_FAIL_EXHAUSTED, "is exhausted");
	t.now_ns += 60 * NS_PER_S;
	assert_string_equal(bench_add(&t, "alpha", "e"), "10.0.0.1");
	b = bench_block(&t, "10.0.0.0/30");
	assert_int_equal(b->n_attr, 4);
	block_free(b);
	mem_done(&t.m);
}

static void a_broken_block_is_an_error(void **state)
{
	struct bench t;
	struct ipam_op *op;

	one(&t, NULL);
	bench_pool(&t, "two", "10.1.0.0/30", 30);
	bench_add(&t, "alpha", "a");
	mem_put(&t.m, HANDLE "a", "{\"block\":{\"10.1.0.0/30\":1,\"10.0.0.0/30\":1}}");
	mem_put(&t.m, "/calico/ipam/v2/assignment/ipv4/block/10.1.0.0-30", "{}");
	op = ipam_release_handle_op(&t.world, "alpha", "a");
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	bench_expect(&t, IPAM_FAIL_CORRUPT,
		     "block 10.1.0.0/30 is broken and left alone: cidr is missing");
	assert_int_equal(ipam_op_tally(op).released, 1); /* the other one */
	ipam_op_free(op);
	assert_string_equal(bench_value(&t, HANDLE "a"),
			    "{\"block\":{\"10.1.0.0/30\":1},\"deleted\":false}");
	mem_done(&t.m);
}

static void every_write_may_be_lost(void **state)
{
	for (unsigned at = 1; at <= 2; at++)
		for (int done = 0; done < 2; done++) {
			struct bench t;
			struct block *b;

			one(&t, NULL);
			bench_add(&t, "alpha", "a");
			t.fault = STORE_UNAVAILABLE;
			t.fault_at = at;
			t.fault_done = done;
			assert_int_equal(bench_del(&t, "alpha", "a"), 1);
			assert_string_equal(bench_value(&t, HANDLE "a"), "");
			b = bench_block(&t, "10.0.0.0/30");
			assert_true(block_is_empty(b));
			block_free(b);
			mem_done(&t.m);
		}
}

/* ---- handback ---- */

static struct ipam_tally handback(struct bench *t, const struct ipam_handback *req)
{
	struct ipam_op *op = ipam_handback_op(req);
	struct ipam_tally tally;

	if (bench_run(t, op) != IPAM_DONE)
		fail_msg("%s", t->e.msg);
	tally = ipam_op_tally(op);
	ipam_op_free(op);
	return tally;
}

static void empty_blocks_go_and_used_ones_stay(void **state)
{
	struct bench t;
	struct ipam_handback req;

	one(&t, NULL);
	bench_pool(&t, "two", "10.1.0.0/30", 30);
	t.pool[0].selects_node = false;
	bench_add(&t, "alpha", "b");
	t.pool[0].selects_node = true;
	t.pool[1].selects_node = false;
	bench_add(&t, "alpha", "a");
	bench_del(&t, "alpha", "b");
	req = (struct ipam_handback) { .world = t.world, .host = "alpha", .keep = 2 };
	assert_int_equal(handback(&t, &req).blocks, 0);
	req.keep = 0;
	req.unselected = true;
	assert_int_equal(handback(&t, &req).blocks, 0); /* it went with the DEL */
	req.unselected = false;
	assert_int_equal(handback(&t, &req).blocks, 0);
	assert_string_not_equal(bench_value(&t, AFFINITY), "");
	req.even_used = true;
	assert_int_equal(handback(&t, &req).blocks, 1);
	assert_string_equal(bench_value(&t, AFFINITY), "");
	assert_non_null(strstr(bench_value(&t, BLOCK), "\"affinity\":null"));
	assert_int_equal(bench_del(&t, "alpha", "a"), 1);
	assert_string_equal(bench_value(&t, BLOCK), ""); /* nobody's, and empty */
	mem_done(&t.m);
}

static void a_pool_that_goes(void **state)
{
	struct bench t;
	struct ipam_handback req = { .even_used = true };

	t = bench_new();
	bench_pool(&t, "one", "10.0.0.0/29", 30);
	bench_add(&t, "alpha", "a");
	bench_add(&t, "bravo", "b");
	req.world = t.world;
	prefix_parse("10.1.0.0/24", &req.pool);
	assert_int_equal(handback(&t, &req).blocks, 0);
	req.pool = t.pool[0].cidr;
	assert_int_equal(handback(&t, &req).blocks, 2);
	mem_done(&t.m);
}

/* ---- repair ---- */

static struct ipam_tally repair(struct bench *t)
{
	struct ipam_repair req = { .world = t->world, .host = "alpha", .handles = true };
	struct ipam_op *op = ipam_repair_op(&req);
	struct ipam_tally tally;

	bench_run(t, op);
	tally = ipam_op_tally(op);
	ipam_op_free(op);
	return tally;
}

static const struct {
	const char *name, *affinity;
	bool block, used;
	const char *want; /* the affinity afterwards */
	bool block_stays;
} states[] = {
	{ "all is well", "confirmed", true, true, "confirmed", true },
	{ "all is well, empty", "confirmed", true, false, "confirmed", true },
	{ "claim died before the block", "pending", false, false, NULL, false },
	{ "claim died after the block", "pending", true, false, "confirmed", true },
	{ "release died before the block", "pendingDeletion", true, false, NULL, false },
	{ "release died, block in use again", "pendingDeletion", true, true, "confirmed", true },
	{ "release died after the block", "pendingDeletion", false, false, NULL, false },
	{ "affinity without block", "confirmed", false, false, NULL, false },
	{ "block without affinity, in use", NULL, true, true, "confirmed", true },
	{ "block without affinity, empty", NULL, true, false, NULL, false },
};

static void halves_of_affinities(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct bench t;
		char value[64];

		one(&t, NULL);
		bench_add(&t, "alpha", "a");
		if (!states[i].used)
			bench_del(&t, "alpha", "a");
		mem_put(&t.m, AFFINITY, NULL);
		if (!states[i].block)
			mem_put(&t.m, BLOCK, NULL);
		snprintf(value, sizeof(value), "{\"state\":\"%s\"}",
			 states[i].affinity ? states[i].affinity : "");
		if (states[i].affinity)
			mem_put(&t.m, AFFINITY, value);
		repair(&t);
		if (t.e.code)
			fail_msg("%s: %s", states[i].name, t.e.msg);
		if ((mem_value(&t.m, BLOCK) != NULL) != states[i].block_stays ||
		    (states[i].want ? !strstr(bench_value(&t, AFFINITY), states[i].want)
				    : mem_value(&t.m, AFFINITY) != NULL))
			fail_msg("%s: %s %s", states[i].name, bench_value(&t, AFFINITY),
				 bench_value(&t, BLOCK));
		repair(&t);
		assert_int_equal(t.writes, 0);
		mem_done(&t.m);
	}
}

static void counts_of_handles(void **state)
{
	struct bench t;

	one(&t, NULL);
	bench_add(&t, "alpha", "a");
	bench_add(&t, "alpha", "b");
	bench_add(&t, "alpha", "c");
	mem_put(&t.m, HANDLE "a", "{\"block\":{\"10.0.0.0/30\":2},\"keep\":1}");
	mem_put(&t.m, HANDLE "b", NULL);
	mem_put(&t.m, HANDLE "dead", "{\"block\":{\"10.0.0.0/30\":1}}");
	mem_put(&t.m, HANDLE "void", "{\"block\":{}}");
	mem_put(&t.m, HANDLE "windows-reserved-ipam-handle", "{\"block\":{\"10.0.0.0/30\":4}}");
	assert_int_equal(repair(&t).handles, 4);
	assert_string_equal(bench_value(&t, HANDLE "a"),
			    "{\"block\":{\"10.0.0.0/30\":1},\"keep\":1,\"deleted\":false}");
	assert_string_equal(bench_value(&t, HANDLE "b"),
			    "{\"block\":{\"10.0.0.0/30\":1},\"deleted\":false}");
	assert_string_equal(bench_value(&t, HANDLE "dead"), "");
	assert_string_equal(bench_value(&t, HANDLE "void"), "");
	assert_string_not_equal(bench_value(&t, HANDLE "windows-reserved-ipam-handle"), "");
	assert_int_equal(repair(&t).handles, 0);
	mem_done(&t.m);
}

static void what_is_broken_is_reported_and_the_rest_mended(void **state)
{
	struct bench t;

	one(&t, NULL);
	bench_add(&t, "alpha", "a");
	mem_put(&t.m, HANDLE "a", "{\"block\":{\"10.0.0.0/30\":2}}");
	mem_put(&t.m, HANDLE "bad", "[]");
	mem_put(&t.m, "/calico/ipam/v2/assignment/ipv4/block/10.5.0.0-30",
		"{\"affinity\":\"host:alpha\"}");
	assert_int_equal(repair(&t).failed, 2);
	bench_expect(&t, IPAM_FAIL_CORRUPT,
		     "/calico/ipam/v2/assignment/ipv4/block/10.5.0.0-30: cidr is missing");
	assert_string_equal(bench_value(&t, HANDLE "a"),
			    "{\"block\":{\"10.0.0.0/30\":1},\"deleted\":false}");
	mem_done(&t.m);
}

/* ---- gc ---- */

static const struct {
	const char *name, *handle, *attrs;
	bool goes;
} allocations[] = {
	{ "dead", "net.dead",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", true },
	{ "alive", "net.live",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", false },
	{ "young", "net.new",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:59:50 +0000 UTC\"}", false },
	{ "of another node", "net.b",
	  "{\"node\":\"bravo\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", false },
	{ "of another network", "bridge.x",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", false },
	{ "a name that only begins alike", "network.x",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", false },
	{ "a virtual machine", "net.vmi.ns.vm",
	  "{\"node\":\"alpha\",\"timestamp\":\"2026-08-01 09:00:00 +0000 UTC\"}", false },
	{ "a tunnel", "net.tunnel",
	  "{\"node\":\"alpha\",\"type\":\"ipipTunnelAddress\",\"timestamp\":\"2026-08-01 09:00:00 "
	  "+0000 UTC\"}",
	  false },
	{ "without a time", "net.when", "{\"node\":\"alpha\"}", false },
	{ "without attributes", "net.bare", NULL, false },
};

static void only_the_dead_of_this_node_go(void **state)
{
	static const char *const live[] = { "net.zzz", "net.live" };
	struct bench t = bench_new();
	struct ipam_gc req = { .host = "alpha",
			       .network = "net",
			       .live = live,
			       .n_live = 2,
			       .grace_ns = 60 * NS_PER_S };
	struct ipam_op *op;
	struct block *b;

	bench_pool(&t, "one", "10.0.0.0/28", 28);
	for (size_t i = 0; i < ARRAY_SIZE(allocations); i++) {
		json_t *attrs =
			allocations[i].attrs ? json_loads(allocations[i].attrs, 0, NULL) : NULL;
		struct ipam_assign a = { .world = t.world,
					 .host = "alpha",
					 .attrs = attrs,
					 .handle = allocations[i].handle,
					 .want_v4 = 1,
					 .use = IPAM_USE_WORKLOAD };

		op = ipam_assign_op(&a);
		assert_int_equal(bench_run(&t, op), IPAM_DONE);
		ipam_op_free(op);
		json_decref(attrs);
	}
	req.world = t.world;
	op = ipam_gc_op(&req);
	assert_int_equal(bench_run(&t, op), IPAM_DONE);
	assert_int_equal(ipam_op_tally(op).released, 1);
	ipam_op_free(op);
	b = bench_block(&t, "10.0.0.0/28");
	for (size_t i = 0; i < ARRAY_SIZE(allocations); i++)
		if ((block_held_by(b, allocations[i].handle, NULL) == 0) != allocations[i].goes)
			fail_msg("%s: %s", allocations[i].name,
				 allocations[i].goes ? "stays" : "went");
	block_free(b);
	req.network = "";
	op = ipam_gc_op(&req);
	assert_int_equal(bench_run(&t, op), IPAM_FAILED);
	bench_expect(&t, IPAM_FAIL_REQUEST, "others' addresses are not ours to release");
	ipam_op_free(op);
	mem_done(&t.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_with_proof),
		cmocka_unit_test(outside_of_every_pool),
		cmocka_unit_test(a_handle_that_is_not_there),
		cmocka_unit_test(a_handle_that_claims_too_much),
		cmocka_unit_test(a_handle_with_carriage_return),
		cmocka_unit_test(cooling),
		cmocka_unit_test(a_broken_block_is_an_error),
		cmocka_unit_test(every_write_may_be_lost),
		cmocka_unit_test(empty_blocks_go_and_used_ones_stay),
		cmocka_unit_test(a_pool_that_goes),
		cmocka_unit_test(halves_of_affinities),
		cmocka_unit_test(counts_of_handles),
		cmocka_unit_test(what_is_broken_is_reported_and_the_rest_mended),
		cmocka_unit_test(only_the_dead_of_this_node_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
