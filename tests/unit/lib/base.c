/* base.c - the small words: numbers from text, cursors, growing strings and arrays, errors */
#include "lib/base.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <cmocka.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/fnv.h"
#include "lib/str.h"
#include "lib/vec.h"

static void numbers_from_text(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1e3", "18446744073709551616",
					   "99999999999999999999999" };
	uint64_t v = 42;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(parse_u64(bad[i], UINT64_MAX, &v));
		assert_int_equal(v, 42);
	}
	assert_true(parse_u64("18446744073709551615", UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_false(parse_u64("256", 255, &v));
	assert_true(parse_u64("255", 255, &v));
	assert_int_equal(v, 255);
}

static void cut_copies_stay_terminated(void **state)
{
	char d[4];

	assert_true(str_copy(d, sizeof(d), "abc"));
	assert_string_equal(d, "abc");
	assert_false(str_copy(d, sizeof(d), "abcd"));
	assert_string_equal(d, "abc");
	assert_true(str_eq(NULL, NULL));
	assert_false(str_eq(NULL, ""));
	assert_true(str_starts("cali123", "cali"));
	assert_false(str_starts("cal", "cali"));
}

static void reading_past_the_end_is_sticky(void **state)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct rd r = rd_init(in, sizeof(in)), sub;

	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16(&r), 0x0203);
	sub = rd_sub(&r, 2);
	assert_int_equal(rd_u16(&sub), 0x0405);
	assert_int_equal(rd_left(&sub), 0);
	assert_int_equal(rd_u32(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_bytes(&r, 0));
	r = rd_init(in, sizeof(in));
	sub = rd_sub(&r, 9);
	assert_true(sub.bad && r.bad);
	assert_int_equal(rd_u8(&sub), 0);
	r = rd_init(NULL, 0);
	assert_int_equal(rd_left(&r), 0);
	assert_int_equal(rd_u8(&r), 0);
}

static void writing_past_the_end_is_sticky(void **state)
{
	uint8_t out[7];
	struct wr w = wr_init(out, sizeof(out));

	wr_u8(&w, 1);
	wr_u16(&w, 0x0203);
	wr_u32(&w, 0x04050607);
	assert_false(w.bad);
	assert_int_equal(wr_len(&w), 7);
	assert_memory_equal(out, "\1\2\3\4\5\6\7", 7);
	wr_u8(&w, 9);
	assert_true(w.bad);
	assert_int_equal(wr_len(&w), 7);
	w = wr_init(out, 3);
	wr_u32(&w, 9);
	assert_true(w.bad);
	wr_u8(&w, 9);
	assert_int_equal(wr_len(&w), 0);
	assert_null(wr_skip(&w, 1));
}

static void strings_grow(void **state)
{
	struct str s = { 0 };
	char *kept;

	assert_string_equal(str_text(&s), "");
	for (int i = 0; i < 1000; i++)
		str_addf(&s, "%d,", i);
	assert_int_equal(s.len, 10 * 2 + 90 * 3 + 900 * 4);
	str_cut(&s, 4);
	assert_string_equal(str_text(&s), "0,1,");
	str_drop(&s, 2);
	assert_string_equal(str_text(&s), "1,");
	str_drop(&s, 99);
	assert_string_equal(str_text(&s), "");
	str_addn(&s, "a\0b", 3);
	assert_int_equal(s.len, 3);
	kept = str_take(&s);
	assert_memory_equal(kept, "a\0b", 4);
	free(kept);
	assert_null(s.p);
	kept = str_take(&s);
	assert_string_equal(kept, "");
	free(kept);
	str_done(&s);
}

static void arrays_grow(void **state)
{
	VEC(int) v = { 0 };
	int sum = 0;

	vec_foreach(&v, it)
		fail();
	for (int i = 0; i < 100; i++)
		vec_push(&v, i);
	vec_remove(&v, 0);
	vec_remove_fast(&v, 0);
	assert_int_equal(v.n, 98);
	assert_int_equal(v.p[0], 99);
	assert_int_equal(v.p[1], 2);
	vec_foreach(&v, it)
		sum += *it;
	assert_int_equal(sum, 4950 - 1);
	vec_done(&v);
	assert_int_equal(v.cap, 0);
}

static void errors_gather_context(void **state)
{
	struct err e = { 0 };
	char lots[2 * ERR_MSG_MAX];

	assert_int_equal(err_set(&e, -ERANGE, "blockSize %d: must be 20..32", 9), -ERANGE);
	assert_int_equal(err_wrap(&e, "IPPool %s", "web"), -ERANGE);
	assert_string_equal(e.msg, "IPPool web: blockSize 9: must be 20..32");
	assert_int_equal(err_set(NULL, -EIO, "nobody reads"), -EIO);
	assert_int_equal(err_wrap(NULL, "nobody"), -EINVAL);
	memset(lots, 'x', sizeof(lots) - 1);
	lots[sizeof(lots) - 1] = '\0';
	err_wrap(&e, "%s", lots);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
}

static void ownership_moves(void **state)
{
	CLEANUP(freep) char *a = xstrdup("one");
	CLEANUP(freep) char *b = TAKE(a);

	assert_null(a);
	assert_string_equal(b, "one");
	assert_null(xstrdup(NULL));
}

/* The values of draft-eastlake-fnv. */
static void fnv_vectors(void **state)
{
	(void)state;
	assert_true(fnv_add(FNV_START, "", 0) == 0xcbf29ce484222325u);
	assert_true(fnv_add(FNV_START, "a", 1) == 0xaf63dc4c8601ec8cu);
	assert_true(fnv_add(FNV_START, "foobar", 6) == 0x85944171f73967e8u);
	assert_true(fnv_add(fnv_add(FNV_START, "foo", 3), "bar", 3) == 0x85944171f73967e8u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fnv_vectors),
		cmocka_unit_test(numbers_from_text),
		cmocka_unit_test(cut_copies_stay_terminated),
		cmocka_unit_test(reading_past_the_end_is_sticky),
		cmocka_unit_test(writing_past_the_end_is_sticky),
		cmocka_unit_test(strings_grow),
		cmocka_unit_test(arrays_grow),
		cmocka_unit_test(errors_gather_context),
		cmocka_unit_test(ownership_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
