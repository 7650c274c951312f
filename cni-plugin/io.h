/* io.h - waiting with an end: every wait of the plugin stops at a deadline or at SIGTERM. */
#pragma once

#include "lib/str.h"

enum {
	/* The kubelet gives a sandbox four minutes and one runtime request two. */
	IO_BUDGET_MS = 90000,
	/* For putting things back after the budget is gone. */
	IO_UNDO_MS = 2000,
};

/* Hold SIGTERM, SIGINT and SIGHUP back except while waiting; ignore SIGPIPE. */
void io_init(void);
/* From now on signals no longer end waits: what is being put back is put back. */
void io_shield(void);
bool io_interrupted(void);
/* The signal mask as it was before io_init, for a program that is started from here. */
void io_restore_signals(void);

uint64_t io_now_ms(void); /* monotonic */

/* Wait until fd is ready for events (POLLIN, POLLOUT). 0, -ETIMEDOUT or -EINTR. */
int io_wait(int fd, short events, uint64_t deadline_ms);
/* Append all of fd up to its end to out. -EFBIG above max bytes, -ETIMEDOUT, -EINTR, -errno. */
int io_read_all(int fd, size_t max, uint64_t deadline_ms, struct str *out);
/* Write everything. Works for sockets (no SIGPIPE) and other descriptors. */
int io_write_all(int fd, const char *data, size_t len, uint64_t deadline_ms);
