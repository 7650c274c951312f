/* wire.h - bytes written as hex, for tests of what goes over the wire */
#pragma once

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base.h"

struct bytes {
	uint8_t b[8192];
	size_t n;
};

/* "40 01 0100 | 18 0a0102": blanks and bars are for the reader. */
UNUSED static struct bytes hex(const char *text)
{
	struct bytes out = { .n = 0 };
	unsigned v;

	while (*text) {
		if (*text == ' ' || *text == '|' || *text == '\n') {
			text++;
			continue;
		}
		if (sscanf(text, "%2x", &v) != 1)
			fail_msg("not hex: %s", text);
		out.b[out.n++] = (uint8_t)v;
		text += 2;
	}
	return out;
}

/* The bytes alone in memory, so that the sanitizer sees a read past the end. */
UNUSED static uint8_t *exact(const void *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

UNUSED static void bytes_add(struct bytes *to, const struct bytes *from)
{
	memcpy(to->b + to->n, from->b, from->n);
	to->n += from->n;
}

/* An UPDATE's body of three fields. */
UNUSED static struct bytes update_body(const char *withdrawn, const char *attrs, const char *nlri)
{
	struct bytes w = hex(withdrawn), a = hex(attrs), n = hex(nlri), out = { .n = 2 };

	out.b[0] = (uint8_t)(w.n >> 8);
	out.b[1] = (uint8_t)w.n;
	bytes_add(&out, &w);
	out.b[out.n++] = (uint8_t)(a.n >> 8);
	out.b[out.n++] = (uint8_t)a.n;
	bytes_add(&out, &a);
	bytes_add(&out, &n);
	return out;
}
