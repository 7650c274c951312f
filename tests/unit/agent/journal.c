/* The journal: replay, retry, what cannot be understood, what is hostile. */
#include <errno.h>
#include <fcntl.h>
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

#include "agent/cni/journal.h"
#include "lib/str.h"

struct fixture {
	struct event_base *base;
	struct journal *j;
	char dir[64], sub[80];
	struct str ran;	   /* what was run, one line each */
	int say; /* the outcome of each */
	bool idle;
};

static void run(void *arg, const char *line, size_t len, cni_done_fn *done, void *done_arg)
{
	struct fixture *x = arg;
	struct cni_error f;

	str_addn(&x->ran, line, len);
	str_addc(&x->ran, '\n');
	cni_fail(&f, x->say, "told to fail");
	done(done_arg, x->say == CNI_OK ? NULL : &f);
}

static void on_idle(void *arg)
{
	struct fixture *x = arg;

	x->idle = true;
}

static int set_up(void **state)
{
	struct fixture *x = xcalloc(1, sizeof(*x));
	struct err e = { 0 };

	strcpy(x->dir, "/tmp/margay-journal-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->sub, sizeof(x->sub), "%s/j", x->dir);
	x->base = event_base_new();
	assert_int_equal(journal_new(&x->j, x->base, x->sub, true, run, x, &e), 0);
	*state = x;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *x = *state;
	char cmd[128];

	journal_free(x->j);
	event_base_free(x->base);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", x->dir);
	assert_int_equal(system(cmd), 0);
	str_done(&x->ran);
	free(x);
	return 0;
}

static void put(struct fixture *x, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", x->sub, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool there(struct fixture *x, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", x->sub, name);
	return access(path, F_OK) == 0;
}

static void turn_until_idle(struct fixture *x)
{
	x->idle = false;
	journal_start(x->j, on_idle);
	for (int i = 0; i < 10000 && !x->idle; i++)
		event_base_loop(x->base, EVLOOP_ONCE);
	assert_true(x->idle);
}

static void replays_in_order_and_deletes(void **state)
{
	struct fixture *x = *state;

	put(x, "b-eth0.json", "two");
	put(x, "a-eth0.json", "one");
	put(x, ".tmp", "not an entry");
	put(x, "readme.txt", "not an entry");
	turn_until_idle(x);
	assert_string_equal(str_text(&x->ran), "one\ntwo\n");
	assert_false(there(x, "a-eth0.json"));
	assert_true(there(x, "readme.txt"));
	assert_int_equal(journal_waiting(x->j), 0);
}

static void nothing_there(void **state)
{
	struct fixture *x = *state;

	turn_until_idle(x);
	assert_string_equal(str_text(&x->ran), "");
}

static void waits_while_the_store_is_away(void **state)
{
	struct fixture *x = *state;

	x->say = CNI_AGAIN;
	put(x, "a-eth0.json", "one");
	put(x, "b-eth0.json", "two");
	turn_until_idle(x);
	assert_string_equal(str_text(&x->ran), "one\n");
	assert_int_equal(journal_waiting(x->j), 2);
	assert_true(there(x, "a-eth0.json"));
	/* An ADD that meets its own old DEL asks for another try, which comes at once. */
	x->say = CNI_OK;
	assert_false(journal_hurry(x->j, "c", "eth0"));
	assert_true(journal_hurry(x->j, "a", "eth0"));
	for (int i = 0; i < 1000 && there(x, "b-eth0.json"); i++)
		event_base_loop(x->base, EVLOOP_ONCE);
	assert_string_equal(str_text(&x->ran), "one\none\ntwo\n");
}

static void puts_aside_what_cannot_be(void **state)
{
	struct fixture *x = *state;

	x->say = CNI_DECODE;
	put(x, "a-eth0.json", "garbage");
	turn_until_idle(x);
	assert_false(there(x, "a-eth0.json"));
	assert_true(there(x, "bad/a-eth0.json"));
}

static void hostile_entries(void **state)
{
	struct fixture *x = *state;
	char *big = xcalloc(1, CNI_LINE_MAX + 100), path[256];

	memset(big, 'x', CNI_LINE_MAX + 50);
	put(x, "big-eth0.json", big);
	put(x, "good-eth0.json", "good");
	snprintf(path, sizeof(path), "%s/dir-eth0.json", x->sub);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/link-eth0.json", x->sub);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof(path), "%s/fifo-eth0.json", x->sub);
	assert_int_equal(mkfifo(path, 0600), 0);
	turn_until_idle(x);
	assert_string_equal(str_text(&x->ran), "good\n");
	assert_false(there(x, "big-eth0.json"));
	assert_false(there(x, "fifo-eth0.json"));
	free(big);
}

static void what_is_bad_is_bounded(void **state)
{
	struct fixture *x = *state;
	char name[32];
	unsigned n = 0;

	x->say = CNI_BAD_CONFIG;
	for (int i = 0; i < JOURNAL_BAD_MAX + 20; i++) {
		snprintf(name, sizeof(name), "c%d-eth0.json", i);
		put(x, name, "bad");
	}
	turn_until_idle(x);
	for (int i = 0; i < JOURNAL_BAD_MAX + 20; i++) {
		snprintf(name, sizeof(name), "bad/c%d-eth0.json", i);
		n += there(x, name);
	}
	assert_int_equal(n, JOURNAL_BAD_MAX);
}

/* The plugin's come at once; our own could not be done a moment ago and wait. */
static void notices_new_entries(void **state)
{
	struct fixture *x = *state;
	struct err e = { 0 };

	turn_until_idle(x);
	put(x, "c-eth0.json", "at once");
	for (int i = 0; i < 1000 && there(x, "c-eth0.json"); i++)
		event_base_loop(x->base, EVLOOP_ONCE);
	assert_string_equal(str_text(&x->ran), "at once\n");
	assert_int_equal(journal_keep(x->j, "d", "eth0", "later", &e), 0);
	event_base_loop(x->base, EVLOOP_ONCE); /* the notice; then the timer */
	assert_string_equal(str_text(&x->ran), "at once\n");
	assert_true(there(x, "d-eth0.json"));
	assert_true(journal_hurry(x->j, "d", "eth0"));
	for (int i = 0; i < 1000 && there(x, "d-eth0.json"); i++)
		event_base_loop(x->base, EVLOOP_ONCE);
	assert_string_equal(str_text(&x->ran), "at once\nlater\n");
}

static void notes_come_and_go(void **state)
{
	struct fixture *x = *state;
	struct err e = { 0 };

	assert_int_equal(journal_note(x->j, "c", "eth0", "note", &e), 0);
	assert_true(there(x, "c-eth0.json"));
	journal_drop(x->j, "c", "eth0");
	assert_false(there(x, "c-eth0.json"));
	journal_drop(x->j, "c", "eth0");
}

static void says_why_it_cannot_keep(void **state)
{
	struct fixture *x = *state;
	struct err e = { 0 };
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", x->sub);
	assert_int_equal(system(cmd), 0);
	assert_true(journal_keep(x->j, "c", "eth0", "x", &e) < 0);
	assert_non_null(strstr(e.msg, x->sub));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replays_in_order_and_deletes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waits_while_the_store_is_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(puts_aside_what_cannot_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_bad_is_bounded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(notices_new_entries, set_up, tear_down),
		cmocka_unit_test_setup_teardown(notes_come_and_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_why_it_cannot_keep, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
