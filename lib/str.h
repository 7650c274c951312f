/* str.h - a string that grows; append freely, it cannot fail.
 *
 *	struct str s = { 0 };
 *	str_addf(&s, "%u routes", n);
 *	... str_text(&s) ...		borrowed, always terminated
 *	str_done(&s);			or str_take(&s) to keep the heap copy */
#pragma once

#include "lib/base.h"

struct str {
	char *p; /* NULL while empty */
	size_t len, cap;
};

void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const char *bytes, size_t n);
void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) PRINTF(2, 3);
void str_addv(struct str *s, const char *fmt, va_list ap) PRINTF(2, 0);
/* Forget the text from len on; keeps the memory. */
void str_cut(struct str *s, size_t len);
/* Remove the first n bytes. */
void str_drop(struct str *s, size_t n);
const char *str_text(const struct str *s);
/* The heap text, caller frees; the struct is empty afterwards. Never NULL. */
char *str_take(struct str *s);
void str_done(struct str *s);
