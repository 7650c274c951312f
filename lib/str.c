/* str.c - a string that grows */
#include "lib/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct str *s, size_t more)
{
	size_t need = s->len + more + 1;

	if (need <= s->cap)
		return;
	s->cap = need < 64 ? 64 : need + need / 2;
	s->p = xrealloc(s->p, s->cap);
}

void str_addn(struct str *s, const char *bytes, size_t n)
{
	reserve(s, n);
	if (n)
		memcpy(s->p + s->len, bytes, n);
	s->len += n;
	s->p[s->len] = '\0';
}

void str_add(struct str *s, const char *text)
{
	str_addn(s, text, strlen(text));
}

void str_addc(struct str *s, char c)
{
	str_addn(s, &c, 1);
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
	size_t room = s->cap - s->len;
	va_list again;
	int n;

	/* Mostly there is room, and then once is enough. */
	va_copy(again, ap);
	n = vsnprintf(room ? s->p + s->len : NULL, room, fmt, ap);
	if (n > 0 && (size_t)n >= room) {
		reserve(s, (size_t)n);
		vsnprintf(s->p + s->len, (size_t)n + 1, fmt, again);
	}
	if (n > 0)
		s->len += (size_t)n;
	va_end(again);
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

void str_cut(struct str *s, size_t len)
{
	if (len >= s->len)
		return;
	s->len = len;
	s->p[len] = '\0';
}

void str_drop(struct str *s, size_t n)
{
	if (n >= s->len) {
		str_cut(s, 0);
		return;
	}
	memmove(s->p, s->p + n, s->len - n + 1);
	s->len -= n;
}

const char *str_text(const struct str *s)
{
	return s->p ? s->p : "";
}

char *str_take(struct str *s)
{
	char *p = s->p ? s->p : xstrdup("");

	*s = (struct str) { 0 };
	return p;
}

void str_done(struct str *s)
{
	free(s->p);
	*s = (struct str) { 0 };
}
