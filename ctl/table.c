/* table.c - rows as aligned columns: three blanks between them, at least five wide, as calicoctl */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

enum {
	GAP = 3,
	WIDTH_MIN = 5, /* with the gap */
};

void table_add(struct table *t, char *cell)
{
	vec_push(&t->cell, cell);
}

void table_head(struct table *t, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		table_add(t, xstrdup(names[i]));
	t->n_cols = t->cell.n;
}

void table_done(struct table *t)
{
	vec_foreach (&t->cell, cell)
		free(*cell);
	vec_done(&t->cell);
}

/* Characters, not bytes: those that do not continue a UTF-8 sequence. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void table_print(const struct table *t)
{
	size_t *wide = xcalloc(t->n_cols, sizeof(*wide));

	for (size_t i = 0; i < t->cell.n; i++) {
		size_t w = width(t->cell.p[i]) + GAP;

		w = w < WIDTH_MIN ? WIDTH_MIN : w;
		if (w > wide[i % t->n_cols])
			wide[i % t->n_cols] = w;
	}
	for (size_t i = 0; i < t->cell.n; i++) {
		bool last = i % t->n_cols == t->n_cols - 1;

		fputs(t->cell.p[i], stdout);
		if (last)
			putchar('\n');
		for (size_t pad = width(t->cell.p[i]); !last && pad < wide[i % t->n_cols]; pad++)
			putchar(' ');
	}
	free(wide);
}
