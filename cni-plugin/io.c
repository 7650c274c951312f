/* io.c - waiting with an end
 * WHY  Signals are blocked and let in only by ppoll(2), so one that comes between a check and a
 * wait is never lost, and code that changes the kernel is never cut in half. */
#include "cni-plugin/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static sigset_t mask_before;
static bool shielded;

static void on_signal(int sig)
{
	interrupted = 1;
}

void io_init(void)
{
	static const int ends[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		sigaddset(&block, ends[i]);
		sigaction(ends[i], &sa, NULL);
	}
	sigprocmask(SIG_BLOCK, &block, &mask_before);
	signal(SIGPIPE, SIG_IGN);
}

void io_shield(void)
{
	shielded = true;
}

bool io_interrupted(void)
{
	return interrupted;
}

void io_restore_signals(void)
{
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

uint64_t io_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int io_wait(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now = io_now_ms();
		uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
		struct timespec ts = { .tv_sec = (time_t)(left / 1000),
				       .tv_nsec = (long)(left % 1000) * 1000000 };
		int n;

		if (interrupted && !shielded)
			return -EINTR;
		n = ppoll(&pfd, 1, &ts, shielded ? NULL : &mask_before);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ETIMEDOUT;
	}
}

int io_read_all(int fd, size_t max, uint64_t deadline_ms, struct str *out)
{
	char buf[16384];

	for (;;) {
		int rc = io_wait(fd, POLLIN, deadline_ms);
		ssize_t n;

		if (rc < 0)
			return rc;
		n = read(fd, buf, sizeof(buf));
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0)
			str_addn(out, buf, (size_t)n);
		if (out->len > max)
			return -EFBIG;
	}
}

int io_write_all(int fd, const char *data, size_t len, uint64_t deadline_ms)
{
	while (len) {
		int rc = io_wait(fd, POLLOUT, deadline_ms);
		ssize_t n;

		if (rc < 0)
			return rc;
		n = write(fd, data, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
