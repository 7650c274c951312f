/* yaml_scalar.c - what a plain YAML scalar means
 *
 * WHY    YAML 1.1 and 1.2 disagree; manifests are written for kubectl, so its reading is taken
 *        where both sides are used in practice (yes, on), and what would be read differently by
 *        the next program (0777) is refused rather than guessed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/yaml.h"

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static const char *const null_words[] = { "", "~", "null", "Null", "NULL", NULL };
static const char *const true_words[] = { "true", "True", "TRUE", "yes", "Yes",
					  "YES",  "on",	  "On",	  "ON",	 NULL };
static const char *const false_words[] = { "false", "False", "FALSE", "no",  "No",
					   "NO",    "off",   "Off",   "OFF", NULL };
static const char *const endless_words[] = { ".inf",  ".Inf",  ".INF",	"+.inf", "+.Inf",
					     "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
					     ".NaN",  ".NAN",  NULL };

static size_t span_digits(const char *s, unsigned base)
{
	switch (base) {
	case 8:
		return strspn(s, "01234567");
	case 16:
		return strspn(s, "0123456789abcdefABCDEF");
	default:
		return strspn(s, "0123456789");
	}
}

/* [-+]?DIGITS, 0xHEX, 0oOCTAL. Sets *digits and *base. */
static bool is_integer(const char *s, const char **digits, unsigned *base)
{
	s += *s == '-' || *s == '+';
	*base = 10;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o')) {
		*base = s[1] == 'x' ? 16 : 8;
		s += 2;
	}
	*digits = s;
	return *s && !s[span_digits(s, *base)];
}

/* [-+]?(DIGITS[.DIGITS*] | .DIGITS)[eE[-+]DIGITS] */
static bool is_real(const char *s)
{
	size_t whole, part = 0;

	s += *s == '-' || *s == '+';
	s += whole = span_digits(s, 10);
	if (*s == '.')
		s += 1 + (part = span_digits(s + 1, 10));
	if (!whole && !part)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		if (!span_digits(s, 10))
			return false;
		s += span_digits(s, 10);
	}
	return !*s;
}

static json_t *integer(const char *text, const char *digits, unsigned base, struct err *e)
{
	bool negative = text[0] == '-';
	unsigned long long n;

	if (base == 10 && digits[0] == '0' && digits[1]) {
		err_set(e, -EINVAL,
			"%.40s: a number with leading zeros is read as octal by some programs and "
			"as "
			"decimal by others: leave them out, or put it in quotes",
			text);
		return NULL;
	}
	errno = 0;
	n = strtoull(digits, NULL, (int)base);
	if (errno || n > (unsigned long long)INT64_MAX + negative) {
		err_set(e, -ERANGE, "%.40s: does not fit into 64 bits", text);
		return NULL;
	}
	return json_integer(negative ? (json_int_t)(0 - n) : (json_int_t)n);
}

static json_t *real(const char *text, struct err *e)
{
	double d = strtod(text, NULL);

	if (isfinite(d))
		return json_real(d);
	err_set(e, -ERANGE, "%.40s: is too large for a number", text);
	return NULL;
}

json_t *yml_plain_scalar(const char *text, struct err *e)
{
	const char *digits;
	unsigned base;

	if (one_of(text, null_words))
		return json_null();
	if (one_of(text, true_words))
		return json_true();
	if (one_of(text, false_words))
		return json_false();
	if (one_of(text, endless_words)) {
		err_set(e, -EINVAL, "%s: JSON has no such number; for a text, put it in quotes",
			text);
		return NULL;
	}
	if (is_integer(text, &digits, &base))
		return integer(text, digits, base, e);
	if (is_real(text))
		return real(text, e);
	return js_text(text);
}
