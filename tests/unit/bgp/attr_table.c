/* attr_table.c - interning: equal is one, different is two, nothing is left over */
#include "bgp/attr_table.h"

#include "tests/unit/bgp/make.h"
#include "tests/unit/bgp/wire.h"

static struct bgp_attrs_draft draft(uint32_t med, const uint8_t *communities, uint16_t len)
{
	struct bgp_attrs_draft d = { .part[BGP_PART_COMMUNITIES] = { communities, len } };

	d.v.present = 1ull << BGP_ATTR_MED;
	d.v.med = med;
	return d;
}

static void equal_is_one(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	uint8_t one[4] = { 1, 2, 3, 4 }, same[4] = { 1, 2, 3, 4 };
	struct bgp_attrs_draft d = draft(7, one, 4), e = draft(7, same, 4);
	struct bgp_attrs *a = bgp_attrs_intern(t, &d), *b;

	/* the bits of lists follow from the lists, those without meaning are nothing */
	e.v.present |= 1ull << BGP_ATTR_COMMUNITIES | 1ull << BGP_ATTR_NEXT_HOP |
		       1ull << BGP_ATTR_LARGE_COMMUNITIES;
	b = bgp_attrs_intern(t, &e);
	assert_ptr_equal(a, b);
	assert_int_equal(a->refs, 2);
	assert_true(bgp_attrs_has(a, BGP_ATTR_COMMUNITIES));
	assert_false(bgp_attrs_has(a, BGP_ATTR_LARGE_COMMUNITIES));
	e = bgp_attrs_edit(a);
	b = bgp_attrs_intern(t, &e);
	assert_ptr_equal(a, b);
	assert_int_equal(bgp_attr_table_count(t), 1);
	for (unsigned i = 0; i < 3; i++)
		bgp_attrs_unref(t, a);
	assert_int_equal(bgp_attr_table_count(t), 0);
	bgp_attr_table_free(t);
}

static void each_field_counts(void **state)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	uint8_t bytes[12] = { 2, 1, 0, 0, 0, 9, 7, 7, 7, 7, 7, 7 };
	struct bgp_attrs_draft d[20] = { 0 };
	struct bgp_attrs *a[20];

	d[1].v.med = 1;
	d[2].v.local_pref = 1;
	d[3].v.originator_id = 1;
	d[4].v.aggregator_as = 1;
	d[5].v.aggregator_id = 1;
	d[6].v.origin = 1;
	d[7].v.next_hop = addr_v4(1);
	d[8].v.next_hop_ll = addr_v4(1);
	d[9].v.present = 1ull << BGP_ATTR_MED;
	d[10].v.present = 1ull << BGP_ATTR_ATOMIC_AGGREGATE;
	for (unsigned i = 0; i < BGP_PART_MAX_; i++) {
		d[11 + i].part[i].p = bytes;
		d[11 + i].part[i].len = i == BGP_PART_AS_PATH ? 6 : 12;
	}
	d[17].part[BGP_PART_COMMUNITIES].p = bytes;
	d[17].part[BGP_PART_COMMUNITIES].len = 4;
	d[18].v.next_hop = addr_v4(2);
	d[19].part[BGP_PART_COMMUNITIES].p = bytes + 4;
	d[19].part[BGP_PART_COMMUNITIES].len = 4;
	for (unsigned i = 0; i < 20; i++)
		a[i] = bgp_attrs_intern(t, &d[i]);
	assert_int_equal(bgp_attr_table_count(t), 20);
	for (unsigned i = 0; i < 20; i++) {
		struct bgp_attrs *again = bgp_attrs_intern(t, &d[i]);

		assert_ptr_equal(again, a[i]);
		bgp_attrs_unref(t, again);
		bgp_attrs_unref(t, a[i]);
	}
	bgp_attr_table_free(t);
}

/* Grows and shrinks in any order, against a plain array. */
static void many_come_and_go(void **state)
{
	enum { N = 20000 };
	static struct bgp_attrs *held[N];
	struct bgp_attr_table *t = bgp_attr_table_new();
	uint32_t seed = 5;
	size_t live = 0;

	bgp_attr_table_seed(t, 0x1234567890abcdef);
	for (unsigned turn = 0; turn < 200000; turn++) {
		uint32_t i = (seed = seed * 1664525 + 1013904223) >> 8;
		struct bgp_attrs_draft d = draft(i %= N, NULL, 0);

		if (held[i]) {
			struct bgp_attrs *again = bgp_attrs_intern(t, &d);

			assert_ptr_equal(again, held[i]);
			bgp_attrs_unref(t, again);
		}
		if (held[i] && turn % 3 == 0) {
			bgp_attrs_unref(t, held[i]);
			held[i] = NULL;
			live--;
		} else if (!held[i]) {
			held[i] = bgp_attrs_intern(t, &d);
			assert_int_equal(held[i]->v.med, i);
			live++;
		}
		if (turn % 1000 == 0)
			assert_int_equal(bgp_attr_table_count(t), live);
	}
	assert_true(bgp_attr_table_bytes(t) > live * sizeof(struct bgp_attrs));
	for (unsigned i = 0; i < N; i++)
		if (held[i])
			bgp_attrs_unref(t, held[i]);
	assert_int_equal(bgp_attr_table_count(t), 0);
	bgp_attr_table_free(t);
}

/* Sets that differ in one AS number, wherever it stands in the path, do not share a bucket. */
static void hashes_differ(void **state)
{
	static uint8_t seen[1 << 16];

	(void)state;
	for (unsigned length = 1; length <= 6; length++) {
		for (unsigned at = 0; at < length; at++) {
			struct bgp_attr_table *t = bgp_attr_table_new();
			unsigned same = 0;

			memset(seen, 0, sizeof(seen));
			for (unsigned i = 0; i < 4096; i++) {
				struct make m = { 0 };
				struct bgp_attrs *a;

				for (unsigned k = 0; k < length; k++)
					m.path[k] = 65001 + k;
				m.path[at] = 200000 + i;
				a = make_attrs(t, &m);
				same += seen[a->hash % sizeof(seen)];
				seen[a->hash % sizeof(seen)] = 1;
				bgp_attrs_unref(t, a);
			}
			/* 4096 at random into 65536: 126 meet another one */
			if (same > 200)
				fail_msg("%u of 4096 paths of %u, differing at %u, meet", same,
					 length, at);
			bgp_attr_table_free(t);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_is_one),
		cmocka_unit_test(each_field_counts),
		cmocka_unit_test(many_come_and_go),
		cmocka_unit_test(hashes_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
