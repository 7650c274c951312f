/* exec.h - run a tool: text in, text out, bounded in size and time.
 *
 * The drivers (iptables, ipset) say what is to be run as data, a struct exec_cmd, and take a struct
 * exec_result; they never run anything themselves. This file is the one that does, on a libevent
 * loop (exec_start) or waiting (exec_run: tests and tools).
 *
 * The child gets an empty environment but PATH and LC_ALL=C, no descriptor of ours, default
 * signals. */
#pragma once

#include "lib/base.h"
#include "lib/err.h"

struct event_base;

enum {
	EXEC_ARGS_MAX = 10,
	EXEC_OUT_MAX = 64 << 20, /* 64 MiB: iptables-save of 300 000 rules */
	EXEC_ERR_MAX = 4096,	 /* of what it says on stderr the first is what matters */
	EXEC_TIMEOUT_MS = 30000,
};

struct exec_cmd {
	const char *argv[EXEC_ARGS_MAX + 1]; /* ended by NULL; argv[0] is looked up in PATH */
	const char *in;			     /* borrowed until exec_start or exec_run returns */
	size_t in_len;
	unsigned timeout_ms; /* 0: EXEC_TIMEOUT_MS. Then it is killed */
};

struct exec_result {
	int code;	 /* exit code 0..255, or a negative errno: it did not run to its end */
	const char *out; /* what it printed, terminated by NUL; borrowed for the call */
	size_t out_len;
	const char *err; /* the beginning of its stderr, terminated by NUL; "" when silent */
	unsigned ms;	 /* how long it ran */
};

struct exec; /* a child under way */

/* The result once, from the loop; the struct exec is gone afterwards. */
typedef void (*exec_fn)(void *arg, const struct exec_result *r);

/* Start it. NULL when it could not be started (no such tool, no memory): fn is not called. */
struct exec *exec_start(struct event_base *base, const struct exec_cmd *cmd, exec_fn fn, void *arg,
			struct err *e);
/* Kill it and forget it; fn is not called. */
void exec_stop(struct exec *x);
pid_t exec_pid(const struct exec *x);

/* Run it and wait. fn as above, before it returns. -errno when it could not be started. */
int exec_run(const struct exec_cmd *cmd, exec_fn fn, void *arg, struct err *e);

/* One sentence of what went wrong: "iptables-nft-restore: exit code 4: line 3: ...". The buffer is
 * the caller's. Newlines become "; ". */
void exec_words(const struct exec_cmd *cmd, const struct exec_result *r, char *out, size_t size);
