/* base.h - the few words the rest of the house is built from: allocation that cannot fail,
 * scope-bound clean-up, and the printf attribute.
 *
 * Out of memory aborts the program with a message: the supervisor restarts it, and because the
 * kernel keeps routes and pods as they are, nothing is lost. Pure code therefore has no
 * out-of-memory path to get wrong. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PRINTF(fmt, first)    __attribute__((format(printf, fmt, first)))
#define UNUSED		      __attribute__((unused))
#define ARRAY_SIZE(a)	      (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))

/* Run fn(&variable) when the variable leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* The value of a pointer variable, which is NULL afterwards: hands ownership over. */
#define TAKE(p)                            \
	__extension__({                    \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})

/* malloc(3) and friends that abort with a message instead of returning NULL. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
/* Like realloc for n items of size bytes; aborts when the product overflows. */
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s); /* NULL stays NULL */
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list ap) PRINTF(1, 0);

/* For CLEANUP: char pointers and any other heap pointer; file descriptors (-1 is none). */
void freep(void *pp);
void closep(int *fd);

/* Does s begin with prefix? */
bool str_starts(const char *s, const char *prefix);
/* Copy s into dst of size bytes, always terminated; false when it did not fit and was cut. */
bool str_copy(char *dst, size_t size, const char *s);
/* Equal, where NULL equals only NULL. */
bool str_eq(const char *a, const char *b);

/* Read a whole decimal number without sign, blanks or leftovers; false, *out untouched, when s is
 * not one or is above max. */
bool parse_u64(const char *s, uint64_t max, uint64_t *out);
