/* netns.h - a network namespace of its own for a test, and the ip(8) command as an independent hand
 * and eye. */
#pragma once

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base.h"

/* A fresh namespace with lo up. The old one goes when nothing uses it any more. */
UNUSED static void ns_fresh(void)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(system("ip link set lo up"), 0);
}

/* Run a shell command that must succeed. */
UNUSED static void sh(const char *fmt, ...) PRINTF(1, 2);
UNUSED static void sh(const char *fmt, ...)
{
	va_list ap;
	char cmd[1024];

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("command failed: %s", cmd);
}

/* What a command prints, lines joined by '|', blanks at the ends of lines removed. */
UNUSED static const char *out_of(const char *cmd)
{
	static char text[65536];
	FILE *f = popen(cmd, "r");
	size_t n = 0;
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF && n < sizeof(text) - 1) {
		if (c == '\n') {
			while (n && text[n - 1] == ' ')
				n--;
			c = '|';
		}
		text[n++] = (char)c;
	}
	text[n] = 0;
	pclose(f);
	return text;
}

UNUSED static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}
