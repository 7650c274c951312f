/* block.c - IPAM blocks: order of the free list, sharing, numbers, and what is refused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/block.h"
#include "model/wall.h"

#define NOW (INT64_C(1785578400) * NS_PER_S) /* 2026-08-01T10:00:00Z */

/* The data model's own example. */
static const char golden[] =
	"{\"cidr\":\"10.20.0.64/30\",\"affinity\":\"host:edge-7\","
	"\"affinity_claim_time\":\"2026-08-01T10:00:00Z\","
	"\"allocations\":[0,null,null,1],\"unallocated\":[1,2],"
	"\"attributes\":[{\"handle_id\":\"ipip-tunnel-addr-edge-7\",\"secondary\":{\"node\":\"edge-"
	"7\","
	"\"type\":\"ipipTunnelAddress\"}},{\"handle_id\":\"k8s-pod-network.9f31aa\",\"secondary\":"
	"{\"namespace\":\"default\",\"node\":\"edge-7\",\"pod\":\"web-0\","
	"\"timestamp\":\"2026-08-01 10:00:04.5 +0000 UTC\"}}],"
	"\"sequenceNumber\":1785578400000000042,"
	"\"sequenceNumberForAllocation\":{\"0\":1785578400000000040,\"3\":1785578400000000041},"
	"\"deleted\":false}";

static struct block *decode(const char *text)
{
	struct block *b = NULL;
	struct err e = { 0 };

	if (block_decode(text, strlen(text), &b, &e) < 0)
		fail_msg("%s: %s", text, e.msg);
	return b;
}

static struct block *fresh(const char *cidr)
{
	struct prefix p;

	assert_true(prefix_parse_strict(cidr, &p));
	return block_new(&p, "host:edge-7", NOW);
}

static void check(const struct block *b)
{
	struct err e = { 0 };

	if (block_check(b, &e) < 0)
		fail_msg("%s", e.msg);
}

static void expect_text(const struct block *b, const char *want)
{
	CLEANUP(freep) char *text = block_encode(b);

	assert_string_equal(text, want);
}

static void golden_reads_and_writes_the_same(void **state)
{
	CLEANUP(block_freep) struct block *b = decode(golden);
	CLEANUP(freep) char *pod = block_attr_get(block_attr_of(b, 3), "pod");

	assert_int_equal(b->size, 4);
	assert_string_equal(b->affinity, "host:edge-7");
	assert_true(block_owned_by(b, "host:edge-7"));
	assert_false(block_owned_by(b, "host:edge"));
	assert_true(block_claimed_ns(b) == NOW);
	assert_true(b->seq == UINT64_C(1785578400000000042));
	assert_true(b->seq_of[3] == UINT64_C(1785578400000000041));
	assert_int_equal(b->n_free, 2);
	assert_string_equal(pod, "web-0");
	assert_null(block_attr_of(b, 1));
	assert_null(block_attr_of(b, 4));
	expect_text(b, golden);
}

static void members_unknown_here_survive(void **state)
{
	CLEANUP(block_freep)
	struct block *b = decode(
		" { \"future\" : {\"a\":[1,2.5e3,\"\\u00e9\"]} ,\"cidr\":\"10.0.0.0/31\","
		"\"affinity\":null,\"allocations\":[0,null],\"unallocated\":[1],"
		"\"attributes\":[{\"handle_id\":\"h\",\"alternateOwnerAttrs\":{\"vm\":\"x\"}}],"
		"\"sequenceNumber\":18446744073709551615,\"more\":true,\"deleted\":false} ");

	assert_null(b->affinity);
	assert_true(b->seq == UINT64_MAX);
	expect_text(b, "{\"cidr\":\"10.0.0.0/31\",\"affinity\":null,\"allocations\":[0,null],"
		       "\"unallocated\":[1],\"attributes\":[{\"handle_id\":\"h\","
		       "\"alternateOwnerAttrs\":{\"vm\":\"x\"}}],"
		       "\"sequenceNumber\":18446744073709551615,\"sequenceNumberForAllocation\":{},"
		       "\"deleted\":false,\"future\":{\"a\":[1,2.5e3,\"\\u00e9\"]},\"more\":true}");
}

static void the_crd_spelling(void **state)
{
	CLEANUP(block_freep)
	struct block *b =
		decode("{\"cidr\":\"fd00::/127\",\"affinityClaimTime\":\"2026-08-01T10:00:00Z\","
		       "\"allocations\":[null,null],\"unallocated\":[0,1],"
		       "\"attributes\":[],\"strictAffinity\":false}");
	CLEANUP(freep) char *text = block_encode_crd(b);

	assert_string_equal(text, "{\"cidr\":\"fd00::/127\",\"affinity\":null,"
				  "\"affinityClaimTime\":\"2026-08-01T10:00:00Z\","
				  "\"allocations\":[null,null],\"unallocated\":[0,1],"
				  "\"attributes\":[],\"sequenceNumber\":0,"
				  "\"sequenceNumberForAllocation\":{},\"deleted\":false,"
				  "\"strictAffinity\":false}");
}

static void a_fresh_block_may_have_null_lists(void **state)
{
	CLEANUP(block_freep)
	struct block *b =
		decode("{\"cidr\":\"10.0.0.0/32\",\"allocations\":[null],"
		       "\"unallocated\":[0],\"attributes\":null,"
		       "\"sequenceNumberForAllocation\":null,\"hostAffinity\":\"old-1\"}");

	assert_int_equal(b->n_attr, 0);
	assert_string_equal(b->affinity, "host:old-1");
	assert_true(block_is_empty(b));
}

static void a_new_block_is_ascending_and_claimed(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/30");

	check(b);
	expect_text(b, "{\"cidr\":\"10.0.0.0/30\",\"affinity\":\"host:edge-7\","
		       "\"affinity_claim_time\":\"2026-08-01T10:00:00Z\","
		       "\"allocations\":[null,null,null,null],\"unallocated\":[0,1,2,3],"
		       "\"attributes\":[],\"sequenceNumber\":1785578400000000000,"
		       "\"sequenceNumberForAllocation\":{},\"deleted\":false}");
}

static void oldest_free_first_released_last(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/30");
	unsigned ords[4];

	assert_int_equal(block_take_next(b, 2, NULL, 0, "{\"handle_id\":\"a\"}", 7, ords), 2);
	assert_int_equal(ords[0], 0);
	assert_int_equal(ords[1], 1);
	block_release(b, 0, NOW);
	assert_int_equal(block_collect(b, NOW, 0), 1);
	check(b);
	assert_int_equal(block_take_next(b, 9, NULL, 0, "{\"handle_id\":\"b\"}", 8, ords), 3);
	assert_int_equal(ords[0], 2);
	assert_int_equal(ords[1], 3);
	assert_int_equal(ords[2], 0);
	check(b);
	assert_int_equal(block_take_next(b, 1, NULL, 0, "{\"handle_id\":\"c\"}", 9, ords), 0);
}

static void reserved_addresses_are_passed_over(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/29");
	struct prefix r[2];
	unsigned ords[8];

	assert_true(prefix_parse("10.0.0.0/31", &r[0]) && prefix_parse("10.0.0.3/32", &r[1]));
	assert_int_equal(block_available(b, r, 2), 5);
	assert_int_equal(block_take_next(b, 2, r, 2, "{\"handle_id\":\"a\"}", 1, ords), 2);
	assert_int_equal(ords[0], 2);
	assert_int_equal(ords[1], 4);
	assert_int_equal(b->free[0], 0);
	check(b);
}

static void equal_owners_share_an_entry(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/30");

	assert_true(block_take(b, 2,
			       "{\"handle_id\":\"a\",\"secondary\":{\"x\":\"1\",\"y\":\"2\"}}", 1));
	assert_true(block_take(
		b, 0, "{\"secondary\":{\"y\":\"2\", \"x\":\"1\"},\"handle_id\":\"a\"}", 1));
	assert_int_equal(b->n_attr, 1);
	assert_int_equal(b->attr[0].n_refs, 2);
	assert_true(block_take(b, 1, "{\"handle_id\":\"a\",\"secondary\":{\"x\":\"2\"}}", 1));
	assert_int_equal(b->n_attr, 2);
	assert_false(block_take(b, 1, "{\"handle_id\":\"b\"}", 1));
	check(b);
}

static void indices_move_down_when_an_entry_goes(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/30");
	unsigned held[4];

	block_take(b, 0, "{\"handle_id\":\"a\"}", 1);
	block_take(b, 1, "{\"handle_id\":\"b\"}", 2);
	block_take(b, 2, "{\"handle_id\":\"c\"}", 3);
	block_release(b, 0, NOW);
	block_collect(b, NOW, 0);
	check(b);
	assert_int_equal(b->n_attr, 2);
	assert_int_equal(block_held_by(b, "c", held), 1);
	assert_int_equal(held[0], 2);
	assert_string_equal(block_attr_of(b, 1)->handle, "b");
	assert_true(b->seq_of[0] == 0);
	assert_int_equal(block_held_by(b, "a", NULL), 0);
}

static void cooling_addresses_wait_their_time(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/31");
	CLEANUP(block_freep) struct block *again = NULL;
	CLEANUP(freep) char *text = NULL;
	unsigned ord;

	block_take_next(b, 1, NULL, 0, "{\"handle_id\":\"a\"}", 5, &ord);
	block_release(b, 0, NOW);
	check(b);
	assert_int_equal(block_held_by(b, "a", NULL), 0);
	assert_false(block_is_empty(b));
	assert_int_equal(block_collect(b, NOW + 59 * NS_PER_S, 60), 0);
	text = block_encode(b);
	assert_non_null(strstr(text, "\"attributes\":[{\"releasedAt\":\"2026-08-01T10:00:00Z\"}]"));
	again = decode(text);
	assert_int_equal(block_collect(again, NOW + 60 * NS_PER_S, 60), 1);
	check(again);
	assert_true(block_is_empty(again));
	assert_int_equal(again->free[1], 0);
	assert_int_equal(block_collect(b, NOW, 0), 1);
}

static void numbers_count_on_with_every_write(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/31");
	uint64_t seq = block_next_write(b);
	unsigned ord;

	assert_true(seq == (uint64_t)NOW && b->seq == seq + 1);
	block_take_next(b, 1, NULL, 0, "{\"handle_id\":\"a\"}", seq, &ord);
	assert_true(b->seq_of[ord] == seq);
}

static void a_windows_reservation_leaves_a_block_empty(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("10.0.0.0/30");

	block_take(b, 0, "{\"handle_id\":\"Windows-Reserved-IPAM-Handle\"}", 1);
	assert_true(block_is_empty(b));
	block_take(b, 1, "{\"handle_id\":\"a\"}", 1);
	assert_false(block_is_empty(b));
}

static void owner_attributes_are_sorted_and_quoted(void **state)
{
	json_t *owner = json_pack("{s:s, s:s}", "pod", "a\"b", "node", "n");
	CLEANUP(freep) char *text = block_attr_json("h", owner);

	json_decref(owner);
	assert_string_equal(
		text, "{\"handle_id\":\"h\",\"secondary\":{\"node\":\"n\",\"pod\":\"a\\\"b\"}}");
}

static void ordinals_and_addresses(void **state)
{
	CLEANUP(block_freep) struct block *b = fresh("fd00:10::40/122");
	char buf[ADDR_STR_MAX];
	struct addr a = block_addr(b, 63);
	unsigned ord;

	assert_string_equal(addr_format(&a, buf), "fd00:10::7f");
	assert_true(block_ord(b, &a, &ord));
	assert_int_equal(ord, 63);
	a = addr_add(&a, 1);
	assert_false(block_ord(b, &a, &ord));
	assert_true(addr_parse("10.0.0.1", &a));
	assert_false(block_ord(b, &a, &ord));
}

#define HEAD "{\"cidr\":\"10.0.0.0/31\","
static const struct {
	const char *why, *text, *msg;
} broken[] = {
	{ "nothing", "", "must be an object" },
	{ "not an object", "[]", "must be an object" },
	{ "cut off", "{\"cidr\":\"10.0.0.0/31\"", "must be a comma" },
	{ "trailing", "{} x", "stands after" },
	{ "no cidr", "{\"allocations\":[],\"unallocated\":[]}", "cidr is missing" },
	{ "no allocations", HEAD "\"unallocated\":[]}", "allocations is missing" },
	{ "no unallocated", HEAD "\"allocations\":[null,null]}", "unallocated is missing" },
	{ "host bits", "{\"cidr\":\"10.0.0.1/31\",\"allocations\":[],\"unallocated\":[]}",
	  "cidr must" },
	{ "huge", "{\"cidr\":\"10.0.0.0/8\",\"allocations\":[],\"unallocated\":[]}",
	  "larger than 4096" },
	{ "short", HEAD "\"allocations\":[null],\"unallocated\":[0]}", "1 allocations: must be 2" },
	{ "index", HEAD "\"allocations\":[0,null],\"unallocated\":[1]}", "there are 0 attributes" },
	{ "negative", HEAD "\"allocations\":[-1,null],\"unallocated\":[1]}", "without sign" },
	{ "fraction", HEAD "\"allocations\":[0.0,null],\"unallocated\":[1]}", "without sign" },
	{ "unused entry",
	  HEAD "\"allocations\":[null,null],\"unallocated\":[0,1],\"attributes\":[{}]}",
	  "attributes[0] belongs to no address" },
	{ "free twice", HEAD "\"allocations\":[null,null],\"unallocated\":[1,1]}", "twice" },
	{ "free and taken",
	  HEAD "\"allocations\":[0,null],\"unallocated\":[0,1],\"attributes\":[{}]}",
	  "is allocated and stands in unallocated" },
	{ "neither", HEAD "\"allocations\":[null,null],\"unallocated\":[1]}", "neither" },
	{ "outside", HEAD "\"allocations\":[null,null],\"unallocated\":[0,2]}", "must be below 2" },
	{ "many free", HEAD "\"allocations\":[null,null],\"unallocated\":[0,1,0,1,0,1,0,1,0]}",
	  "twice" },
	{ "member twice", HEAD HEAD "}", "must be a string" },
	{ "cidr twice", HEAD "\"cidr\":\"10.0.0.0/31\"}", "stands twice" },
	{ "seq of stranger",
	  HEAD "\"allocations\":[null,null],\"unallocated\":[0,1],"
	       "\"sequenceNumberForAllocation\":{\"2\":1}}",
	  "outside of" },
	{ "seq too large",
	  HEAD "\"allocations\":[null,null],\"unallocated\":[0,1],"
	       "\"sequenceNumber\":18446744073709551616}",
	  "above 64 bits" },
	{ "seq as text",
	  HEAD "\"allocations\":[null,null],\"unallocated\":[0,1],\"sequenceNumber\":\"1\"}",
	  "whole number" },
	{ "bad time",
	  HEAD "\"allocations\":[0,null],\"unallocated\":[1],"
	       "\"attributes\":[{\"releasedAt\":\"soon\"}]}",
	  "releasedAt must be a time" },
	{ "deep", HEAD "\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	  "too deep" },
};

static void broken_blocks_are_refused_in_words(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct block *b = NULL;
		struct err e = { 0 };

		if (block_decode(broken[i].text, strlen(broken[i].text), &b, &e) == 0)
			fail_msg("%s: was accepted", broken[i].why);
		if (!strstr(e.msg, broken[i].msg))
			fail_msg("%s: \"%s\" lacks \"%s\"", broken[i].why, e.msg, broken[i].msg);
		assert_null(b);
	}
}

/* Any change of any byte, and any cut, gives a block that keeps the invariants, or an error. */
static void hostile_bytes(void **state)
{
	static const char nasty[] = "\"\\{}[],:0-9enu\x00\x80\xff";
	char text[sizeof(golden)];
	size_t n = sizeof(golden) - 1;

	for (size_t at = 0; at < n; at++)
		for (size_t k = 0; k < sizeof(nasty); k++) {
			struct block *b = NULL;

			memcpy(text, golden, sizeof(text));
			text[at] = nasty[k];
			if (block_decode(text, n, &b, NULL) == 0)
				check(b);
			block_free(b);
		}
	for (size_t len = 0; len < n; len++) {
		CLEANUP(freep) char *cut = xmemdup(golden, len ? len : 1);
		struct block *b = NULL;

		assert_true(block_decode(cut, len, &b, NULL) < 0);
	}
}

/* A long life of one block against a plain array of owners and a plain queue. */
static void a_long_life(void **state)
{
	struct block *b = fresh("10.0.0.0/28");
	unsigned queue[16], n_queue = 16, owner[16] = { 0 }, rnd = 12345;

	for (unsigned i = 0; i < 16; i++)
		queue[i] = i;
	for (unsigned step = 1; step < 5000; step++) {
		char json[64];
		unsigned ord, pick;

		rnd = rnd * 1103515245 + 12345;
		pick = rnd >> 16 & 15;
		snprintf(json, sizeof(json), "{\"handle_id\":\"h%u\"}", step % 5);
		if (rnd >> 20 & 1 && n_queue) {
			assert_int_equal(block_take_next(b, 1, NULL, 0, json, step, &ord), 1);
			assert_int_equal(ord, queue[0]);
			memmove(queue, queue + 1, --n_queue * sizeof(*queue));
			owner[ord] = step % 5 + 1;
		} else if (owner[pick]) {
			block_release(b, pick, NOW);
			block_collect(b, NOW, 0);
			queue[n_queue++] = pick;
			owner[pick] = 0;
		}
		check(b);
		if (step % 50 == 0) {
			CLEANUP(freep) char *text = block_encode(b);

			block_free(b);
			b = decode(text);
		}
		for (unsigned i = 0; i < 16; i++) {
			const struct block_attr *a = block_attr_of(b, i);

			assert_int_equal(a ? a->handle[1] - '0' + 1 : 0, owner[i]);
		}
	}
	block_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_reads_and_writes_the_same),
		cmocka_unit_test(members_unknown_here_survive),
		cmocka_unit_test(the_crd_spelling),
		cmocka_unit_test(a_fresh_block_may_have_null_lists),
		cmocka_unit_test(a_new_block_is_ascending_and_claimed),
		cmocka_unit_test(oldest_free_first_released_last),
		cmocka_unit_test(reserved_addresses_are_passed_over),
		cmocka_unit_test(equal_owners_share_an_entry),
		cmocka_unit_test(indices_move_down_when_an_entry_goes),
		cmocka_unit_test(cooling_addresses_wait_their_time),
		cmocka_unit_test(numbers_count_on_with_every_write),
		cmocka_unit_test(a_windows_reservation_leaves_a_block_empty),
		cmocka_unit_test(owner_attributes_are_sorted_and_quoted),
		cmocka_unit_test(ordinals_and_addresses),
		cmocka_unit_test(broken_blocks_are_refused_in_words),
		cmocka_unit_test(hostile_bytes),
		cmocka_unit_test(a_long_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
