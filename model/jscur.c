/* jscur.c - a cursor over JSON text
 * SPEC  RFC 8259
 * COST  one pass, no allocation except in jscur_text
 * TESTS tests/unit/model/block.c */
#include "model/jscur.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

struct jscur jscur_init(const char *text, size_t len)
{
	return (struct jscur) { .start = text, .p = text, .end = text + len };
}

void jscur_fail(struct jscur *c, const char *why)
{
	if (!c->why)
		c->why = why;
}

size_t jscur_at(const struct jscur *c)
{
	return (size_t)(c->p - c->start);
}

/* The next character that is not blank, 0 at the end or after an error. */
static char peek(struct jscur *c)
{
	if (c->why)
		return '\0';
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
	return c->p < c->end ? *c->p : '\0';
}

static bool expect(struct jscur *c, char want, const char *why)
{
	if (peek(c) != want || c->why) {
		jscur_fail(c, why);
		return false;
	}
	c->p++;
	return true;
}

bool jscur_end(struct jscur *c)
{
	peek(c);
	if (!c->why && c->p != c->end)
		jscur_fail(c, "something stands after the value");
	return !c->why;
}

void jscur_open(struct jscur *c, char bracket)
{
	expect(c, bracket, bracket == '{' ? "must be an object" : "must be a list");
	c->first = true;
}

bool jscur_more(struct jscur *c, char bracket)
{
	bool first = c->first;

	c->first = false;
	if (peek(c) == bracket && !c->why) {
		c->p++;
		return false;
	}
	if (!first && !expect(c, ',', "must be a comma or the closing bracket"))
		return false;
	return peek(c) != '\0' || (jscur_fail(c, "the text ends in the middle"), false);
}

static bool escape_ok(const char *p, const char *end)
{
	if (p >= end)
		return false;
	if (*p != 'u')
		return memchr("\"\\/bfnrt", *p, 8) != NULL;
	if (end - p < 5)
		return false;
	for (int i = 1; i <= 4; i++)
		if (!memchr("0123456789abcdefABCDEF", p[i], 22))
			return false;
	return true;
}

/* A string with its quotes; *plain is false when it has escapes or bytes above ASCII. */
static struct jspan string_span(struct jscur *c, bool *plain)
{
	struct jspan s = { 0 };
	const char *p;

	*plain = true;
	if (!expect(c, '"', "must be a string"))
		return s;
	for (p = c->p; p < c->end && *p != '"'; p++) {
		unsigned char ch = (unsigned char)*p;

		if (ch < 0x20 || (ch == '\\' && !escape_ok(p + 1, c->end))) {
			c->p = p;
			jscur_fail(c, "no such escape or character in a string");
			return s;
		}
		*plain = *plain && ch != '\\' && ch < 0x80;
		p += ch == '\\';
	}
	if (p >= c->end) {
		jscur_fail(c, "a string without its closing quote");
		return s;
	}
	s = (struct jspan) { c->p - 1, (size_t)(p - c->p) + 2 };
	c->p = p + 1;
	return s;
}

struct jspan jscur_key(struct jscur *c)
{
	bool plain;
	struct jspan s = string_span(c, &plain);

	if (!s.p || !expect(c, ':', "must be a colon"))
		return (struct jspan) { 0 };
	return (struct jspan) { s.p + 1, s.len - 2 };
}

bool jspan_is(struct jspan s, const char *text)
{
	return s.p && strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

static bool word(struct jscur *c, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
		return false;
	c->p += n;
	return true;
}

static bool digits(struct jscur *c)
{
	const char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static bool skip_number(struct jscur *c)
{
	word(c, "-");
	if (!word(c, "0") && !digits(c))
		return false;
	if (word(c, ".") && !digits(c))
		return false;
	if (word(c, "e") || word(c, "E")) {
		if (!word(c, "+"))
			word(c, "-");
		return digits(c);
	}
	return true;
}

static void skip_scalar(struct jscur *c)
{
	bool plain;

	if (peek(c) == '"')
		string_span(c, &plain);
	else if (!word(c, "null") && !word(c, "true") && !word(c, "false") && !skip_number(c))
		jscur_fail(c, "not a value");
}

static void skip(struct jscur *c, int depth)
{
	char open = peek(c), close = open == '{' ? '}' : ']';

	if (open != '{' && open != '[') {
		skip_scalar(c);
		return;
	}
	if (depth == 0) {
		jscur_fail(c, "nested too deep");
		return;
	}
	for (jscur_open(c, open); jscur_more(c, close);) {
		if (open == '{')
			jscur_key(c);
		skip(c, depth - 1);
	}
}

struct jspan jscur_value(struct jscur *c)
{
	bool first = c->first;
	const char *from;

	peek(c);
	from = c->p;
	skip(c, JSCUR_DEPTH_MAX);
	c->first = first;
	return c->why ? (struct jspan) { 0 } : (struct jspan) { from, (size_t)(c->p - from) };
}

bool jscur_null(struct jscur *c)
{
	return peek(c) == 'n' && !c->why && word(c, "null");
}

char *jscur_text(struct jscur *c)
{
	bool plain;
	struct jspan s = string_span(c, &plain);
	json_t *value;
	char *text;

	if (!s.p)
		return NULL;
	if (plain)
		return xstrndup(s.p + 1, s.len - 2);
	/* Escapes and UTF-8 are rare here and easy to get wrong: jansson knows them. */
	value = json_loadb(s.p, s.len, JSON_DECODE_ANY, NULL);
	text = value ? xstrdup(json_string_value(value)) : NULL;
	json_decref(value);
	if (!text)
		jscur_fail(c, "a string that is not UTF-8, or holds a NUL");
	return text;
}

uint64_t jscur_u64(struct jscur *c, uint64_t max)
{
	uint64_t v = 0;
	const char *from;

	peek(c);
	from = c->p;
	for (; !c->why && c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*c->p - '0'), &v))
			jscur_fail(c, "a number above 64 bits");
	if (c->p == from || (*from == '0' && c->p > from + 1) ||
	    (c->p < c->end && memchr(".eE", *c->p, 3)))
		jscur_fail(c, "must be a whole number without sign");
	if (v > max)
		jscur_fail(c, "a number out of range");
	return c->why ? 0 : v;
}

bool jscur_bool(struct jscur *c)
{
	peek(c);
	if (c->why || word(c, "false"))
		return false;
	if (word(c, "true"))
		return true;
	jscur_fail(c, "must be true or false");
	return false;
}
