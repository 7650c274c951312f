/* wall.c - wall-clock times the way Calico's objects spell them
 * WHY   timegm(3) and strftime(3) consult the time zone and the locale; the core has neither.
 * TESTS tests/unit/model/ipamobj.c */
#include "model/wall.h"

#include <stdio.h>

struct civil {
	unsigned year, month, day;
};

/* Days since 1970-01-01. Years begin in March, so that the leap day is the last of its year. */
static int64_t days_from_civil(struct civil c)
{
	int64_t y = (int64_t)c.year - (c.month <= 2);
	int64_t era = y / 400, yoe = y % 400;
	int64_t doy = (153 * ((c.month + 9) % 12) + 2) / 5 + c.day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct civil civil_from_days(int64_t days)
{
	int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct civil) { .year = (unsigned)(yoe + era * 400 + (month <= 2)),
				.month = month,
				.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1) };
}

/* Exactly n digits. */
static bool take_digits(const char **p, unsigned n, unsigned *out)
{
	unsigned v = 0;

	for (unsigned i = 0; i < n; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return false;
		v = v * 10 + (unsigned)((*p)[i] - '0');
	}
	*p += n;
	*out = v;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* ".5", ".123456789123": digits after the ninth are dropped. */
static bool take_fraction(const char **p, int64_t *ns)
{
	int64_t unit = NS_PER_S / 10;

	*ns = 0;
	if (!take_char(p, '.'))
		return true;
	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
		*ns += (**p - '0') * unit;
	return true;
}

/* "Z", "+02:00", " +0000 UTC", " +0000 UTC m=+0.1": seconds east of Greenwich. */
static bool take_zone(const char **p, int64_t *offset)
{
	unsigned h, m;
	bool west, go = take_char(p, ' ');

	*offset = 0;
	if (!go && take_char(p, 'Z'))
		return **p == '\0';
	west = **p == '-';
	if (!take_char(p, west ? '-' : '+') || !take_digits(p, 2, &h))
		return false;
	if (!go && !take_char(p, ':'))
		return false;
	if (!take_digits(p, 2, &m) || h > 23 || m > 59)
		return false;
	*offset = (west ? -1 : 1) * ((int64_t)h * 3600 + m * 60);
	return go ? **p == ' ' || **p == '\0' : **p == '\0';
}

static bool take_date(const char **p, struct civil *c)
{
	return take_digits(p, 4, &c->year) && take_char(p, '-') && take_digits(p, 2, &c->month) &&
	       take_char(p, '-') && take_digits(p, 2, &c->day) && c->year >= 1970 &&
	       c->year <= 2200 && c->month >= 1 && c->month <= 12 && c->day >= 1 && c->day <= 31;
}

bool wall_parse(const char *text, int64_t *out_ns)
{
	const char *p = text;
	unsigned h, m, s;
	int64_t fraction, offset;
	struct civil c;

	if (!take_date(&p, &c) || (*p != 'T' && *p != 't' && *p != ' '))
		return false;
	p++;
	if (!take_digits(&p, 2, &h) || !take_char(&p, ':') || !take_digits(&p, 2, &m) ||
	    !take_char(&p, ':') || !take_digits(&p, 2, &s) || h > 23 || m > 59 || s > 60)
		return false;
	if (!take_fraction(&p, &fraction) || !take_zone(&p, &offset))
		return false;
	*out_ns =
		(days_from_civil(c) * 86400 + (int64_t)h * 3600 + m * 60 + s - offset) * NS_PER_S +
		fraction;
	return true;
}

static int print_seconds(int64_t ns, char sep, char *buf, size_t size)
{
	int64_t t = ns / NS_PER_S;
	struct civil c = civil_from_days(t / 86400);
	unsigned in_day = (unsigned)(t % 86400);

	return snprintf(buf, size, "%04u-%02u-%02u%c%02u:%02u:%02u", c.year, c.month, c.day, sep,
			in_day / 3600, in_day / 60 % 60, in_day % 60);
}

char *wall_rfc3339(int64_t ns, char buf[static WALL_STR_MAX])
{
	int n = print_seconds(ns < 0 ? 0 : ns, 'T', buf, WALL_STR_MAX);

	snprintf(buf + n, WALL_STR_MAX - (size_t)n, "Z");
	return buf;
}

char *wall_gostring(int64_t ns, char buf[static WALL_STR_MAX])
{
	int64_t t = ns < 0 ? 0 : ns;
	int n = print_seconds(t, ' ', buf, WALL_STR_MAX);
	size_t len = (size_t)n;

	if (t % NS_PER_S) {
		len += (size_t)snprintf(buf + len, WALL_STR_MAX - len, ".%09u",
					(unsigned)(t % NS_PER_S));
		while (buf[len - 1] == '0') /* Go drops trailing zeros */
			len--;
	}
	snprintf(buf + len, WALL_STR_MAX - len, " +0000 UTC");
	return buf;
}
