/* bgp_secrets.c - passwords in files: their first line, whole or not at all; seen when they change */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/bgp/bgp_secrets.h"
#include "lib/str.h"

static char dir[] = "/tmp/margay-secrets-XXXXXX";
static char path[128];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/secrets", dir);
	if (mkdir(path, 0700) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/secrets/bgp", dir);
	if (mkdir(path, 0700) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/secrets/bgp/key", dir);
	return 0;
}

static int remove_dir(void **state)
{
	static const char *const below[] = { "/secrets/bgp/key", "/secrets/bgp", "/secrets", "" };

	(void)state;
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, below[i]);
		remove(path);
	}
	return 0;
}

static void put(const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

#define TEN    "0123456789"
#define EIGHTY TEN TEN TEN TEN TEN TEN TEN TEN

static void the_first_line_whole_or_not_at_all(void **state)
{
	static const struct {
		const char *file, *password; /* NULL: none */
	} rows[] = {
		{ "s3cret", "s3cret" },
		{ "s3cret\n", "s3cret" },
		{ "s3cret\r\nmore", "s3cret" },
		{ "", NULL },
		{ "\nx", NULL },
		{ EIGHTY, EIGHTY },
		{ EIGHTY "\n", EIGHTY },
		{ EIGHTY "\r\n", EIGHTY },
		{ EIGHTY "1", NULL },
		{ EIGHTY "1\n", NULL },
		{ EIGHTY EIGHTY EIGHTY, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bgp_secrets all = { .state_dir = dir };
		char out[81] = "";
		bool there;

		put(rows[i].file);
		there = bgp_secrets_read(&all, "bgp", "key", out);
		if (there != (rows[i].password != NULL) ||
		    strcmp(out, rows[i].password ? rows[i].password : "") != 0)
			fail_msg("row %zu: %d \"%s\"", i, there, out);
		bgp_secrets_forget(&all);
		vec_done(&all.files);
	}
}

static void names_stay_inside_the_directory(void **state)
{
	struct bgp_secrets all = { .state_dir = dir };
	char out[81] = "";

	(void)state;
	put("x");
	assert_false(bgp_secrets_read(&all, "..", "key", out));
	assert_false(bgp_secrets_read(&all, "bgp/../bgp", "key", out));
	assert_false(bgp_secrets_read(&all, "bgp", ".key", out));
	assert_false(bgp_secrets_read(&all, "bgp", "none", out));
	assert_true(bgp_secrets_read(&all, "bgp", "key", out));
	/* what was looked for and is not there is looked after, too */
	assert_int_equal(all.files.n, 2);
	bgp_secrets_forget(&all);
	vec_done(&all.files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_line_whole_or_not_at_all),
		cmocka_unit_test(names_stay_inside_the_directory),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
