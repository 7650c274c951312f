/* vec.h - a typed array that grows, by macros.
 *
 *	struct prefix_vec VEC(struct prefix) ...	or inline:
 *	VEC(struct prefix) v = { 0 };
 *	vec_push(&v, p);
 *	vec_foreach(&v, it) use(*it);
 *	vec_done(&v); */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "lib/base.h"

#define VEC(type)                                                                                  \
	struct {                                                                                   \
		type *p;                                                                           \
		size_t n, cap;                                                                     \
	}

/* Room for at least `want` items in all. */
#define vec_reserve(v, want)                                                                       \
	do {                                                                                       \
		size_t want_ = (want);                                                             \
		if (want_ > (v)->cap) {                                                            \
			(v)->cap = want_ < 8 ? 8 : want_ + want_ / 2;                              \
			(v)->p = xreallocarray((v)->p, (v)->cap, sizeof(*(v)->p));                 \
		}                                                                                  \
	} while (0)

#define vec_push(v, ...)                                                                           \
	do {                                                                                       \
		vec_reserve(v, (v)->n + 1);                                                        \
		(v)->p[(v)->n++] = __VA_ARGS__;                                                    \
	} while (0)

/* Remove item i, keeping the order; or by moving the last one into its place. */
#define vec_remove(v, i)                                                                           \
	do {                                                                                       \
		size_t i_ = (i);                                                                   \
		memmove((v)->p + i_, (v)->p + i_ + 1, ((v)->n - i_ - 1) * sizeof(*(v)->p));        \
		(v)->n--;                                                                          \
	} while (0)
#define vec_remove_fast(v, i) ((v)->p[(i)] = (v)->p[--(v)->n])

#define vec_foreach(v, it)                                                                         \
	for (__typeof__((v)->p) it = (v)->p; it && it < (v)->p + (v)->n; it++)

#define vec_clear(v) ((v)->n = 0)

#define vec_done(v)                                                                                \
	do {                                                                                       \
		free((v)->p);                                                                      \
		(v)->p = NULL;                                                                     \
		(v)->n = (v)->cap = 0;                                                             \
	} while (0)
