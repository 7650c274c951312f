/* log.h - one line per event to stderr, as logfmt or JSON.
 *
 *	log_info("bgp", "session is up", "peer=%s as=%u", addr_format(&a, buf), as);
 *	time=2026-05-04T10:00:00.123Z level=info mod=bgp peer=10.0.0.2 as=64512 msg="session is up"
 *
 * The fields are a printf format that the compiler checks: words "key=%s" (or %d %u %ld %lu %lld
 * %llu %zu and PRI* of <inttypes.h>), separated by one blank. Values are quoted where they need it
 * and cut at LOG_VALUE_MAX; the message is a fixed, unique text, easy to grep.
 *
 * error: someone must act. warn: handled, and msg says what is done instead. info: state changes
 * that an operator wants in a timeline. debug: for us. Never log stdin of a CNI call, tokens, MD5
 * keys.
 *
 * What a remote party can trigger goes through log_from(): at most LOG_BURST lines per source, then
 * one a second; the next line that passes carries suppressed=N. */
#pragma once

#include "lib/base.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX_,
};

enum log_format {
	LOG_FORMAT_LOGFMT,
	LOG_FORMAT_JSON,
};

enum {
	LOG_VALUE_MAX =
		512,	/* bytes of one value: enough for a path or a sentence, not for a page */
	LOG_BURST = 10, /* lines that one source may cause at once */
	LOG_SOURCES_MAX = 256, /* remembered; with more the oldest is forgotten */
};

void log_setup(enum log_level max, enum log_format format);
void log_set_level(enum log_level max);
enum log_level log_get_level(void);
/* Another level for lines of these modules ("bgp", "fib"; NULL behind the last; borrowed for good),
 * until log_set_level sets one for all. mods NULL: the same level for all. */
void log_set_level_of(const char *const *mods, enum log_level max);
/* Is a line of that module written? */
bool log_wants(const char *mod, enum log_level level);
const char *log_level_name(enum log_level level);
/* "error", "warn", "warning", "info", "debug" in any case. */
bool log_level_parse(const char *s, enum log_level *out);

#define log_error(mod, msg, ...) log_write(LOG_LEVEL_ERROR, (mod), (msg), " " __VA_ARGS__)
#define log_warn(mod, msg, ...)	 log_write(LOG_LEVEL_WARN, (mod), (msg), " " __VA_ARGS__)
#define log_info(mod, msg, ...)	 log_write(LOG_LEVEL_INFO, (mod), (msg), " " __VA_ARGS__)
#define log_debug(mod, msg, ...) log_write(LOG_LEVEL_DEBUG, (mod), (msg), " " __VA_ARGS__)

/* A line caused by `source` (an address, a client's name): limited in rate. */
#define log_from(source, level, mod, msg, ...) \
	log_write_from((source), (level), (mod), (msg), " " __VA_ARGS__)

void log_write(enum log_level level, const char *mod, const char *msg, const char *fields, ...)
	PRINTF(4, 5);
void log_write_from(const char *source, enum log_level level, const char *mod, const char *msg,
		    const char *fields, ...) PRINTF(5, 6);

/* What stands in a line besides its fields. */
struct log_head {
	const char *time; /* NULL: no such field */
	enum log_level level;
	const char *mod, *msg;
	unsigned suppressed; /* 0: no such field */
};

/* The line without its newline, for tests and for log_write. */
struct str;
void log_line(struct str *out, enum log_format format, const struct log_head *head,
	      const char *fields, va_list ap) PRINTF(4, 0);
/* May a line from source pass at this time? If so, *suppressed says how many did not since. */
bool log_pass(const char *source, int64_t now_ms, unsigned *suppressed);
