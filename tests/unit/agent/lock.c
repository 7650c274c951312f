/* lock.c - one agent per directory, and the mark of an earlier one */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/lock.h"

static char top[] = "/tmp/margay-lock-XXXXXX";
static char dir[64];

static void second_is_told_who_has_it(void **state)
{
	struct err e = { 0 };
	char pid[24];
	int fd = lock_dir(dir, &e);

	assert_true(fd >= 0);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_int_equal(lock_dir(dir, &e), -EBUSY);
	assert_non_null(strstr(e.msg, pid));
	assert_non_null(strstr(e.msg, "--run-dir"));
	close(fd);
	fd = lock_dir(dir, &e);
	assert_true(fd >= 0);
	close(fd);
}

/* A killed process leaves no lock. */
static void lock_ends_with_its_process(void **state)
{
	struct err e = { 0 };
	int pipefd[2], status, fd;
	char c;

	assert_int_equal(pipe(pipefd), 0);
	pid_t child = fork();

	if (child == 0) {
		fd = lock_dir(dir, &e);
		if (write(pipefd[1], fd >= 0 ? "y" : "n", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	assert_int_equal(lock_dir(dir, &e), -EBUSY);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	fd = lock_dir(dir, &e);
	assert_true(fd >= 0);
	close(fd);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* A child that a killed agent left on its way to exec holds the lock a little longer. */
static void lock_is_waited_for_when_its_agent_is_dead(void **state)
{
	struct err e = { 0 };
	int pipefd[2], status, fd;
	pid_t child;
	char c;

	assert_int_equal(pipe(pipefd), 0);
	child = fork();
	if (child == 0) {
		fd = lock_dir(dir, &e);
		if (fd >= 0 && fork() == 0) {
			poll(NULL, 0, 200);
			_exit(0);
		}
		_exit(write(pipefd[1], fd >= 0 ? "y" : "n", 1) != 1);
	}
	waitpid(child, &status, 0);
	assert_int_equal(read(pipefd[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	fd = lock_dir(dir, &e);
	assert_true(fd >= 0);
	close(fd);
	close(pipefd[0]);
	close(pipefd[1]);
}

static void what_cannot_be_a_directory(void **state)
{
	struct err e = { 0 };

	assert_int_equal(lock_dir("", &e), -EINVAL);
	assert_int_equal(lock_dir("/dev/null/x", &e), -ENOTDIR);
	assert_non_null(strstr(e.msg, "/dev/null"));
}

static void mark_is_new_once(void **state)
{
	struct err e = { 0 };
	int fd = lock_dir(dir, &e);

	assert_false(lock_marked(dir, "mark"));
	assert_true(lock_marked(dir, "mark"));
	close(fd);
}

static int make(void **state)
{
	if (!mkdtemp(top))
		return -1;
	snprintf(dir, sizeof(dir), "%s/a/b", top);
	return 0;
}

static int drop(void **state)
{
	CLEANUP(freep) char *rm = xasprintf("rm -rf '%s'", top);

	return system(rm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(second_is_told_who_has_it),
		cmocka_unit_test(lock_ends_with_its_process),
		cmocka_unit_test(lock_is_waited_for_when_its_agent_is_dead),
		cmocka_unit_test(what_cannot_be_a_directory),
		cmocka_unit_test(mark_is_new_once),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
