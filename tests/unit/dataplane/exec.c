/* exec.c - tools: what they say, how they end, what they are given */
#include "dataplane/exec.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/dataplane/netns.h"

struct end {
	int n, code;
	size_t out_len;
	unsigned ms;
	char out[256], err[5000], words[300];
	const struct exec_cmd *cmd;
};

static void on_end(void *arg, const struct exec_result *r)
{
	struct end *x = arg;

	x->n++;
	x->code = r->code;
	x->out_len = r->out_len;
	x->ms = r->ms;
	str_copy(x->out, sizeof(x->out), r->out);
	str_copy(x->err, sizeof(x->err), r->err);
	assert_int_equal(r->out[r->out_len], 0);
	if (x->cmd)
		exec_words(x->cmd, r, x->words, sizeof(x->words));
}

static struct end run(const char *script, const char *in, size_t len, unsigned timeout_ms)
{
	struct exec_cmd cmd = {
		.argv = { "sh", "-c", script }, .in = in, .in_len = len, .timeout_ms = timeout_ms
	};
	struct end x = { .cmd = &cmd };
	struct err e = { 0 };

	if (exec_run(&cmd, on_end, &x, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(x.n, 1);
	return x;
}

static void test_says(void **state)
{
	struct end x = run("echo out; echo err >&2; exit 3", NULL, 0, 0);

	assert_int_equal(x.code, 3);
	assert_string_equal(x.out, "out\n");
	assert_string_equal(x.err, "err\n");
	assert_string_equal(x.words, "sh: exit code 3: err");
	x = run("printf '\\n\\none\\n\\ntwo\\033\\n' >&2; exit 1", NULL, 0, 0);
	assert_string_equal(x.words, "sh: exit code 1: one; two?");
	x = run("true", NULL, 0, 0);
	assert_int_equal(x.code, 0);
	assert_string_equal(x.words, "sh: exit code 0");
}

static void test_is_given(void **state)
{
	enum { BIG = 5 << 20 };
	char *in = xmalloc(BIG);
	struct end x;

	memset(in, 'x', BIG);
	x = run("wc -c", in, BIG, 0);
	assert_string_equal(x.out, "5242880\n");
	x = run("cat | tr x y", in, BIG, 0);
	assert_int_equal(x.out_len, BIG);
	assert_memory_equal(x.out, "yyyy", 4);
	x = run("cat", NULL, 0, 0);
	assert_string_equal(x.out, "");
	free(in);
}

/* Nothing of ours: no descriptors, no ignored signals, no environment but what is needed. */
static void test_surroundings(void **state)
{
	int leak = fcntl(0, F_DUPFD, 57);
	sigset_t set;
	struct end x;

	assert_int_equal(leak, 57);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setenv("SECRET", "1", 1);
	x = run("[ -e /proc/$$/fd/57 ] && echo leak; grep -c 'SigIgn:.*0000$' /proc/$$/status; "
		"grep SigBlk /proc/$$/status | cut -f2; echo $LC_ALL$SECRET",
		NULL, 0, 0);
	assert_string_equal(x.out, "1\n0000000000000000\nC\n");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(leak);
}

static void test_too_long(void **state)
{
	struct end x = run("echo begun; exec sleep 60", NULL, 0, 1500);

	assert_int_equal(x.code, -ETIMEDOUT);
	assert_string_equal(x.out, "begun\n");
	assert_string_equal(x.words, "sh took too long and was stopped");
	assert_true(x.ms < 40000);
}

static void test_too_much(void **state)
{
	struct end x = run("yes 2>/dev/null", NULL, 0, 0);

	assert_int_equal(x.code, -EFBIG);
	assert_int_equal(x.out_len, EXEC_OUT_MAX);
	x = run("yes >&2", NULL, 0, 1500);
	assert_int_equal(x.code, -ETIMEDOUT);
	assert_int_equal(strlen(x.err), EXEC_ERR_MAX);
}

static void test_killed(void **state)
{
	struct end x = run("kill -9 $$", NULL, 0, 0);

	assert_int_equal(x.code, -EINTR);
	assert_string_equal(x.words, "sh was killed");
}

/* A grandchild that keeps the pipes does not keep us. */
static void test_grandchild(void **state)
{
	struct end x = run("sleep 20 & echo done", NULL, 0, 0);

	assert_int_equal(x.code, 0);
	assert_string_equal(x.out, "done\n");
	assert_true(x.ms < 15000);
}

static void test_no_such(void **state)
{
	struct exec_cmd cmd = { .argv = { "no-such-tool-at-all" } };
	struct end x = { 0 };
	struct err e = { 0 };

	assert_true(exec_run(&cmd, on_end, &x, &e) < 0);
	assert_int_equal(x.n, 0);
	assert_int_equal(e.code, -ENOENT);
	assert_string_equal(e.msg, "no-such-tool-at-all: no such program in PATH");
	cmd.argv[0] = "/etc/passwd";
	assert_true(exec_run(&cmd, on_end, &x, &e) < 0);
	assert_int_equal(x.n, 0);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_stop(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd cmd = { .argv = { "sleep", "60" } };
	struct end x = { 0 };
	int fds = open_fds();
	struct exec *child = exec_start(base, &cmd, on_end, &x, NULL);
	pid_t pid;

	assert_non_null(child);
	pid = exec_pid(child);
	assert_int_equal(kill(pid, 0), 0);
	exec_stop(child);
	assert_int_equal(kill(pid, 0), -1);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(x.n, 0);
	exec_stop(NULL);
	assert_int_equal(open_fds(), fds);
	event_base_free(base);
}

/* ---- ahead of need ---- */

static const struct exec_cmd cat = { .argv = { "cat" } };

static struct exec_cmd cat_of(const char *in)
{
	return (struct exec_cmd) { .argv = { "cat" }, .in = in, .in_len = strlen(in) };
}

static struct exec_spare *spare(const struct exec_cmd *cmd)
{
	struct err e = { 0 };
	struct exec_spare *s = exec_spare_new(cmd, &e);

	if (!s)
		fail_msg("%s", e.msg);
	return s;
}

/* It waits, is given its input, and all is as with a child that was started then. */
static void test_spare(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd cmd = cat_of("one\ntwo\n");
	int fds = open_fds();
	struct exec_spare *s = spare(&cat);
	pid_t pid = exec_spare_pid(s);
	struct exec *x;
	struct end end = { 0 };

	assert_false(exec_spare_ended(s));
	assert_true(exec_spare_fits(s, &cmd));
	x = exec_start_spare(base, s, &cmd, on_end, &end);
	assert_non_null(x);
	assert_int_equal(exec_pid(x), pid);
	event_base_dispatch(base);
	assert_int_equal(end.n, 1);
	assert_int_equal(end.code, 0);
	assert_string_equal(end.out, "one\ntwo\n");
	assert_int_equal(open_fds(), fds);
	event_base_free(base);
}

static void test_spare_fits(void **state)
{
	struct exec_cmd cmd = cat_of("one\n"), other = cat_of("one\n"), none = cat_of("");
	char *big = xmalloc(EXEC_SPARE_IN_MAX + 1);
	struct exec_spare *s = spare(&cat);

	assert_true(exec_spare_fits(s, &cmd));
	other.argv[1] = "-u";
	assert_false(exec_spare_fits(s, &other));
	other = (struct exec_cmd) { .argv = { "tac" }, .in = "x", .in_len = 1 };
	assert_false(exec_spare_fits(s, &other));
	assert_false(exec_spare_fits(s, &none));
	cmd.in = memset(big, 'x', EXEC_SPARE_IN_MAX + 1);
	cmd.in_len = EXEC_SPARE_IN_MAX;
	assert_true(exec_spare_fits(s, &cmd));
	cmd.in_len++;
	assert_false(exec_spare_fits(s, &cmd));
	exec_spare_free(s);
	exec_spare_free(NULL);
	free(big);
}

/* The longest input that it is said to take, it takes at once, even one that does not read. */
static void test_spare_takes_much(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd cmd = { .argv = { "sh", "-c", "sleep 0.2; wc -c" } };
	char *big = xmalloc(EXEC_SPARE_IN_MAX);
	struct end end = { 0 };
	struct exec_spare *s = spare(&cmd);

	cmd.in = memset(big, 'x', EXEC_SPARE_IN_MAX);
	cmd.in_len = EXEC_SPARE_IN_MAX;
	assert_non_null(exec_start_spare(base, s, &cmd, on_end, &end));
	event_base_dispatch(base);
	assert_string_equal(end.out, "1048576\n");
	free(big);
	event_base_free(base);
}

/* Told how its input begins, it is good for nothing that begins otherwise. */
static void test_spare_told(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd cmd = cat_of("one\ntwo\n"), other = cat_of("oneself\n"),
			all = cat_of("one\n");
	struct exec_spare *s = spare(&cat);
	struct end end = { 0 };

	assert_false(exec_spare_told(s));
	assert_true(exec_spare_tell(s, "one\n"));
	assert_true(exec_spare_told(s));
	assert_false(exec_spare_fits(s, &other));
	assert_false(exec_spare_fits(s, &all));
	assert_true(exec_spare_fits(s, &cmd));
	assert_non_null(exec_start_spare(base, s, &cmd, on_end, &end));
	event_base_dispatch(base);
	assert_string_equal(end.out, "one\ntwo\n");
	event_base_free(base);
}

/* Somebody has ended it: no signal for us, no callback, and the caller starts another. */
static void test_spare_ended(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd no = { .argv = { "no-such-tool-at-all" } }, cmd = cat_of("one\n");
	struct end end = { 0 };
	struct err e = { 0 };
	int fds = open_fds();
	struct exec_spare *s = spare(&cat);
	siginfo_t si;

	kill(exec_spare_pid(s), SIGKILL);
	waitid(P_PID, (id_t)exec_spare_pid(s), &si, WEXITED | WNOWAIT);
	assert_true(exec_spare_ended(s));
	assert_null(exec_start_spare(base, s, &cmd, on_end, &end));
	event_base_dispatch(base);
	assert_int_equal(end.n, 0);
	s = exec_spare_new(&no, &e);
	assert_null(s);
	assert_int_equal(e.code, -ENOENT);
	assert_int_equal(open_fds(), fds);
	event_base_free(base);
}

static void test_many_at_once(void **state)
{
	struct event_base *base = event_base_new();
	struct exec_cmd cmd = { .argv = { "echo", "x" } };
	struct end x = { 0 };
	int fds = open_fds();

	for (int i = 0; i < 20; i++)
		assert_non_null(exec_start(base, &cmd, on_end, &x, NULL));
	event_base_dispatch(base);
	assert_int_equal(x.n, 20);
	assert_int_equal(open_fds(), fds);
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says),	     cmocka_unit_test(test_is_given),
		cmocka_unit_test(test_surroundings), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_too_much),     cmocka_unit_test(test_killed),
		cmocka_unit_test(test_grandchild),   cmocka_unit_test(test_no_such),
		cmocka_unit_test(test_stop),	     cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_spare),	     cmocka_unit_test(test_spare_fits),
		cmocka_unit_test(test_spare_told),   cmocka_unit_test(test_spare_takes_much),
		cmocka_unit_test(test_spare_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
