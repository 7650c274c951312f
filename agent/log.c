/* log.c - the one place that writes to stderr
 * SHAPE  A line is built whole and written with one write(2), so that lines of several processes on
 *        one file do not mix. Fields are taken apart at their blanks: every "key=%conversion" word
 *        is formatted by itself, then quoted as the format at hand asks.
 * INVARIANTS  no line breaks and no control characters in a line, whatever the values are.
 * TESTS  tests/unit/agent/log.c */
#include "agent/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"

/* Tokens of one source: a bucket that fills by one a second. */
struct log_source {
	char name[64]; /* cut: two sources that differ only behind 63 bytes share a bucket */
	int64_t filled_ms;
	unsigned tokens;
	unsigned suppressed;
};

static struct {
	enum log_level max;
	const char *const *mods; /* that have a level of their own; NULL: none */
	enum log_level mods_max;
	enum log_format format;
	struct log_source source[LOG_SOURCES_MAX];
	size_t n_sources;
} log_state = { .max = LOG_LEVEL_INFO };

static const char *const level_name[LOG_LEVEL_MAX_] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

void log_setup(enum log_level max, enum log_format format)
{
	log_state.max = max;
	log_state.format = format;
}

void log_set_level(enum log_level max)
{
	log_state.max = max;
	log_state.mods = NULL;
}

void log_set_level_of(const char *const *mods, enum log_level max)
{
	log_state.mods_max = max;
	log_state.mods = mods;
}

bool log_wants(const char *mod, enum log_level level)
{
	const char *const *m = log_state.mods;

	for (; m && *m; m++)
		if (strcmp(*m, mod) == 0)
			return level <= log_state.mods_max;
	return level <= log_state.max;
}

enum log_level log_get_level(void)
{
	return log_state.max;
}

const char *log_level_name(enum log_level level)
{
	return level_name[level];
}

bool log_level_parse(const char *s, enum log_level *out)
{
	if (strcasecmp(s, "warning") == 0)
		s = "warn";
	for (unsigned i = 0; i < LOG_LEVEL_MAX_; i++) {
		if (strcasecmp(s, level_name[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* ---- one line ---- */

/* Length of the UTF-8 character at s, of which `left` bytes are there; 0 when it is not valid. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0xc2 || s[0] > 0xf4 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* JSON's escapes serve logfmt as well. What is not valid UTF-8 is a peer's nonsense: '?'. */
static void add_escaped(struct str *out, const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t n = s[i] < 0x80 ? 1 : utf8_len(s + i, len - i);

		if (n == 0) {
			str_addc(out, '?');
			i++;
			continue;
		}
		if (s[i] == '"' || s[i] == '\\')
			str_addf(out, "\\%c", s[i]);
		else if (s[i] == '\n')
			str_add(out, "\\n");
		else if (s[i] < 0x20 || s[i] == 0x7f)
			str_addf(out, "\\u%04x", s[i]);
		else
			str_addn(out, text + i, n);
		i += n;
	}
}

static void add_quoted(struct str *out, const char *text)
{
	size_t len = strlen(text), cut = len > LOG_VALUE_MAX ? LOG_VALUE_MAX : len;

	str_addc(out, '"');
	add_escaped(out, text, cut);
	str_add(out, cut < len ? "...\"" : "\"");
}

static bool is_plain(const char *text)
{
	size_t n = 0;

	for (const char *s = text; *s; s++, n++)
		if (*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return false;
	return n > 0 && n <= LOG_VALUE_MAX;
}

/* bare: the value is a number. */
static void add_field(struct str *out, enum log_format format, const char *key, size_t key_len,
		      const char *value, bool bare)
{
	if (format == LOG_FORMAT_JSON) {
		str_add(out, out->len > 1 ? ",\"" : "\"");
		str_addn(out, key, key_len);
		str_add(out, "\":");
	} else {
		if (out->len > 0)
			str_addc(out, ' ');
		str_addn(out, key, key_len);
		str_addc(out, '=');
		bare = bare || is_plain(value);
	}
	if (bare)
		str_add(out, value);
	else
		add_quoted(out, value);
}

static void add_named(struct str *out, enum log_format format, const char *key, const char *value)
{
	add_field(out, format, key, strlen(key), value, false);
}

/* Format the one conversion that spec (without its %) names into buf, and take it off *ap. False:
 * a conversion that log.h does not list. */
static bool format_number(char buf[static 32], const char *spec, va_list *ap)
{
	if (strcmp(spec, "d") == 0)
		snprintf(buf, 32, "%d", va_arg(*ap, int));
	else if (strcmp(spec, "u") == 0)
		snprintf(buf, 32, "%u", va_arg(*ap, unsigned));
	else if (strcmp(spec, "ld") == 0)
		snprintf(buf, 32, "%ld", va_arg(*ap, long));
	else if (strcmp(spec, "lu") == 0)
		snprintf(buf, 32, "%lu", va_arg(*ap, unsigned long));
	else if (strcmp(spec, "zu") == 0)
		snprintf(buf, 32, "%zu", va_arg(*ap, size_t));
	else if (strcmp(spec, "lld") == 0)
		snprintf(buf, 32, "%lld", va_arg(*ap, long long));
	else if (strcmp(spec, "llu") == 0)
		snprintf(buf, 32, "%llu", va_arg(*ap, unsigned long long));
	else
		return false;
	return true;
}

static void add_fields(struct str *out, enum log_format format, const char *fields, va_list *ap)
{
	char spec[8], number[32];

	for (;;) {
		fields += strspn(fields, " ");
		size_t len = strcspn(fields, " ");
		const char *eq = memchr(fields, '=', len);

		if (!eq || eq[1] != '%')
			return;
		size_t key_len = (size_t)(eq - fields), spec_len = len - key_len - 2;

		if (spec_len >= sizeof(spec))
			return;
		memcpy(spec, eq + 2, spec_len);
		spec[spec_len] = '\0';
		if (strcmp(spec, "s") == 0) {
			const char *text = va_arg(*ap, const char *);

			add_field(out, format, fields, key_len, text ? text : "", false);
		} else if (format_number(number, spec, ap)) {
			add_field(out, format, fields, key_len, number, true);
		} else {
			return;
		}
		fields += len;
	}
}

void log_line(struct str *out, enum log_format format, const struct log_head *head,
	      const char *fields, va_list ap)
{
	char number[32];
	va_list copy;

	if (format == LOG_FORMAT_JSON)
		str_addc(out, '{');
	if (head->time)
		add_named(out, format, "time", head->time);
	add_named(out, format, "level", log_level_name(head->level));
	add_named(out, format, "mod", head->mod);
	va_copy(copy, ap);
	add_fields(out, format, fields, &copy);
	va_end(copy);
	if (head->suppressed) {
		snprintf(number, sizeof(number), "%u", head->suppressed);
		add_field(out, format, "suppressed", strlen("suppressed"), number, true);
	}
	if (format == LOG_FORMAT_JSON) {
		add_named(out, format, "msg", head->msg);
		str_addc(out, '}');
	} else {
		str_add(out, " msg=");
		add_quoted(out, head->msg);
	}
}

/* ---- rate ---- */

/* The bucket of this source; a new one takes the place of the one that was idle longest. */
static struct log_source *source_find(const char *name, int64_t now_ms)
{
	struct log_source *old = NULL;
	char key[sizeof(old->name)];

	str_copy(key, sizeof(key), name);
	for (size_t i = 0; i < log_state.n_sources; i++) {
		struct log_source *s = &log_state.source[i];

		if (strcmp(s->name, key) == 0)
			return s;
		if (!old || s->filled_ms < old->filled_ms)
			old = s;
	}
	if (log_state.n_sources < LOG_SOURCES_MAX)
		old = &log_state.source[log_state.n_sources++];
	*old = (struct log_source) { .filled_ms = now_ms, .tokens = LOG_BURST };
	memcpy(old->name, key, sizeof(key));
	return old;
}

bool log_pass(const char *source, int64_t now_ms, unsigned *suppressed)
{
	struct log_source *s = source_find(source, now_ms);
	int64_t fresh = (now_ms - s->filled_ms) / 1000;

	if (fresh > 0) {
		s->tokens = fresh >= LOG_BURST || s->tokens + (unsigned)fresh > LOG_BURST
				    ? LOG_BURST
				    : s->tokens + (unsigned)fresh;
		s->filled_ms += fresh * 1000;
	}
	if (s->tokens == 0) {
		s->suppressed++;
		return false;
	}
	s->tokens--;
	*suppressed = s->suppressed;
	s->suppressed = 0;
	return true;
}

/* ---- out ---- */

static void write_out(enum log_level level, const char *mod, const char *msg, unsigned suppressed,
		      const char *fields, va_list ap) PRINTF(5, 0);
static void write_out(enum log_level level, const char *mod, const char *msg, unsigned suppressed,
		      const char *fields, va_list ap)
{
	struct timespec now;
	struct tm tm;
	char stamp[40], when[64];
	struct str line = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(when, sizeof(when), "%s.%03ldZ", stamp, now.tv_nsec / 1000000);
	struct log_head head = {
		.time = when, .level = level, .mod = mod, .msg = msg, .suppressed = suppressed
	};

	log_line(&line, log_state.format, &head, fields, ap);
	str_addc(&line, '\n');
	/* A log that cannot be written has nowhere to be reported. */
	if (write(STDERR_FILENO, line.p, line.len) < 0)
		clearerr(stderr);
	str_done(&line);
}

void log_write(enum log_level level, const char *mod, const char *msg, const char *fields, ...)
{
	va_list ap;

	if (!log_wants(mod, level))
		return;
	va_start(ap, fields);
	write_out(level, mod, msg, 0, fields, ap);
	va_end(ap);
}

void log_write_from(const char *source, enum log_level level, const char *mod, const char *msg,
		    const char *fields, ...)
{
	struct timespec now;
	unsigned suppressed = 0;
	va_list ap;

	if (!log_wants(mod, level))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!log_pass(source, (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, &suppressed))
		return;
	va_start(ap, fields);
	write_out(level, mod, msg, suppressed, fields, ap);
	va_end(ap);
}
