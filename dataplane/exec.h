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
	EXEC_SPARE_IN_MAX = 1 << 20, /* 1 MiB: with more to write a start more or less is nothing */
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

/* A tool that is started ahead of need: loaded, linked, waiting for its input. Nothing of it counts
 * before there is input; when we end without a word, it reads the end and ends as well. Only for tools
 * that do nothing, and hold nothing, before they have read something. */
struct exec_spare;
/* The same command without its input. NULL when it cannot be started. */
struct exec_spare *exec_spare_new(const struct exec_cmd *cmd, struct err *e);
void exec_spare_free(struct exec_spare *s);
pid_t exec_spare_pid(const struct exec_spare *s);
/* Give it the beginning of its input: it starts on that. text is borrowed for its life. False: it does
 * not take it, and is of no use any more. */
bool exec_spare_tell(struct exec_spare *s, const char *text);
bool exec_spare_told(const struct exec_spare *s);
/* Has it been started for this command, and is the input one that it can take, and goes on with what it
 * was told? */
bool exec_spare_fits(const struct exec_spare *s, const struct exec_cmd *cmd);
/* Somebody else has ended it: it is of no use any more. */
bool exec_spare_ended(const struct exec_spare *s);
/* As exec_start. s is consumed; NULL: it has just ended or does not take it all, and has done
 * nothing (exec_start is then the way). */
struct exec *exec_start_spare(struct event_base *base, struct exec_spare *s,
			      const struct exec_cmd *cmd, exec_fn fn, void *arg);

/* Run it and wait. fn as above, before it returns. -errno when it could not be started. */
int exec_run(const struct exec_cmd *cmd, exec_fn fn, void *arg, struct err *e);

/* One sentence of what went wrong: "iptables-nft-restore: exit code 4: line 3: ...". The buffer is
 * the caller's. Newlines become "; ". */
void exec_words(const struct exec_cmd *cmd, const struct exec_result *r, char *out, size_t size);
