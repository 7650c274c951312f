/* jscur.h - a cursor over JSON text, for the one object that is read and written on every ADD.
 *
 * lib/json.h makes a tree: right for everything that a person wrote. A full block has some 800
 * values, of which an ADD changes three; as a tree it costs 230 us to read and write. The cursor
 * hands out what is needed as values and the rest as spans of text, checked but not taken apart,
 * which are written back as they were.
 *
 *	struct jscur c = jscur_init(text, len);
 *	for (jscur_open(&c, '{'); jscur_more(&c, '}');) {
 *		struct jspan key = jscur_key(&c);
 *		...
 *	}
 *	if (!jscur_end(&c)) return err_set(e, -EINVAL, "byte %zu: %s", jscur_at(&c), c.why);
 *
 * The error is sticky: after the first one every call does nothing and returns nothing, loops end.
*/
#pragma once

#include "lib/base.h"

struct jspan {
	const char *p; /* into the text; NULL after an error */
	size_t len;
};

struct jscur {
	const char *start, *p, *end;
	const char *why; /* what was wrong at p; NULL while all is well */
	bool first;	 /* the container was just opened: no comma before the next member */
};

struct jscur jscur_init(const char *text, size_t len);
/* Only blanks are left and nothing was wrong. */
bool jscur_end(struct jscur *c);
size_t jscur_at(const struct jscur *c);
/* Note an error of the caller's; the first one stays. */
void jscur_fail(struct jscur *c, const char *why);

/* '{' or '['; then, before each member, jscur_more with '}' or ']': false after the last. */
void jscur_open(struct jscur *c, char bracket);
bool jscur_more(struct jscur *c, char bracket);
/* A member's name, without its quotes and with its escapes as they are, and the colon. */
struct jspan jscur_key(struct jscur *c);
bool jspan_is(struct jspan s, const char *text);

/* Any value, passed over: checked for syntax, at most JSCUR_DEPTH_MAX deep. */
enum { JSCUR_DEPTH_MAX = 32 };
struct jspan jscur_value(struct jscur *c);
/* Is the next value null? If so it is passed over. */
bool jscur_null(struct jscur *c);
/* A string, decoded, on the heap; NULL after an error. */
char *jscur_text(struct jscur *c);
/* A whole number without sign up to max. */
uint64_t jscur_u64(struct jscur *c, uint64_t max);
bool jscur_bool(struct jscur *c);
