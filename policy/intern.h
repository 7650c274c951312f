/* intern.h - strings as small numbers: equal text is one number.
 *
 * Keys of labels are numbers by themselves; a label (key and value) is the number of its value under
 * its key. Comparing labels is then comparing numbers, and tables can be arrays. Counted: a number
 * whose last reference goes is given to other text later. 0 is nothing. */
#pragma once

#include "lib/base.h"

struct intern;

/* seed spreads texts that strangers choose; any number. */
struct intern *intern_new(uint32_t seed);
void intern_free(struct intern *in);
/* The number of text under a key (0: a key itself), with a reference for the caller. */
uint32_t intern_get(struct intern *in, uint32_t key, const char *text);
/* The same without reference; 0 when nobody has it. */
uint32_t intern_find(const struct intern *in, uint32_t key, const char *text);
uint32_t intern_ref(struct intern *in, uint32_t id);
void intern_unref(struct intern *in, uint32_t id);
const char *intern_text(const struct intern *in, uint32_t id);
uint32_t intern_key(const struct intern *in, uint32_t id);
/* All numbers given out are below. */
uint32_t intern_limit(const struct intern *in);
