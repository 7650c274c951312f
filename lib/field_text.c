/* field_text.c - the text forms of AS numbers and durations, and the nearest word
 *
 * SPEC   AS numbers: RFC 5396 asplain and asdot. Durations: what Go's time.ParseDuration reads and
 *        Duration.String writes, to the millisecond. */
#include "lib/fields.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool asn_parse(const char *text, uint32_t *out)
{
	const char *dot = strchr(text, '.');
	char high[8];
	uint64_t h = 0, l;

	if (!dot) {
		if (!parse_u64(text, UINT32_MAX, &l))
			return false;
		*out = (uint32_t)l;
		return true;
	}
	if ((size_t)(dot - text) >= sizeof(high))
		return false;
	memcpy(high, text, (size_t)(dot - text));
	high[dot - text] = '\0';
	if (!parse_u64(high, UINT16_MAX, &h) || !parse_u64(dot + 1, UINT16_MAX, &l))
		return false;
	*out = (uint32_t)(h << 16 | l);
	return true;
}

/* Units in nanoseconds; longer names first where one begins with another. */
static const struct {
	const char *name;
	double ns;
} units[] = {
	{ "ns", 1 },   { "us", 1e3 }, { "\xc2\xb5s", 1e3 }, { "\xce\xbcs", 1e3 },
	{ "ms", 1e6 }, { "s", 1e9 },  { "m", 60e9 },	    { "h", 3600e9 },
};

/* One "12.5h" of a duration, added to *ns; the text behind it, or NULL. */
static const char *duration_part(const char *s, double *ns)
{
	size_t digits = strspn(s, "0123456789"), part = 0;
	double n;

	if (s[digits] == '.')
		part = 1 + strspn(s + digits + 1, "0123456789");
	if (digits + part == 0 || (digits == 0 && part == 1) || digits + part > 20)
		return NULL;
	n = strtod(s, NULL);
	s += digits + part;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (str_starts(s, units[i].name)) {
			*ns += n * units[i].ns;
			return s + strlen(units[i].name);
		}
	}
	return NULL;
}

bool duration_parse(const char *text, int64_t bare_ms, int64_t *out_ms)
{
	bool negative = *text == '-';
	const char *s = text + (*text == '-' || *text == '+');
	double ns = 0;
	uint64_t bare;

	if (parse_u64(s, 1000000000, &bare) && (bare_ms || !bare)) {
		*out_ms = (negative ? -(int64_t)bare : (int64_t)bare) * bare_ms;
		return true;
	}
	if (!*s)
		return false;
	while (s && *s)
		s = duration_part(s, &ns);
	if (!s || ns > 9.22337e18) /* 292 years, as in Go */
		return false;
	*out_ms = (int64_t)(ns / 1e6 + 0.5) * (negative ? -1 : 1);
	return true;
}

char *duration_format(int64_t ms, char buf[static DURATION_STR_MAX])
{
	const char *sign = ms < 0 ? "-" : "";
	uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	uint64_t h = left / 3600000, m = left / 60000 % 60, s = left / 1000 % 60, f = left % 1000;
	char part[8] = "";

	if (left && left < 1000) {
		snprintf(buf, DURATION_STR_MAX, "%s%llums", sign, (unsigned long long)left);
		return buf;
	}
	if (f) {
		snprintf(part, sizeof(part), ".%03u", (unsigned)f % 1000);
		for (char *end = part + strlen(part) - 1; *end == '0'; end--)
			*end = '\0';
	}
	if (h)
		snprintf(buf, DURATION_STR_MAX, "%s%lluh%um%u%ss", sign, (unsigned long long)h,
			 (unsigned)m, (unsigned)s, part);
	else if (m)
		snprintf(buf, DURATION_STR_MAX, "%s%um%u%ss", sign, (unsigned)m, (unsigned)s, part);
	else
		snprintf(buf, DURATION_STR_MAX, "%s%u%ss", sign, (unsigned)s, part);
	return buf;
}

enum { WORD_MAX = 40 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance without regard to case; both at most WORD_MAX long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i + 1;
		for (size_t j = 0; j < n; j++) {
			unsigned up = row[j + 1];
			bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j]);

			row[j + 1] = min3(up + 1, row[j] + 1, diagonal + !same);
			diagonal = up;
		}
	}
	return row[n];
}

const char *word_nearest(const char *name, const char *(*next)(const void *arg, size_t i),
			 const void *arg, size_t n)
{
	unsigned best = 1 + (unsigned)strlen(name) / 3; /* a third of the letters may be wrong */
	const char *word = NULL;

	if (strlen(name) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *w = next(arg, i);
		unsigned d = strlen(w) <= WORD_MAX ? distance(name, w) : UINT32_MAX;

		if (d <= best && (!word || d < best)) {
			best = d;
			word = w;
		}
	}
	return word;
}
