/* box.c - a table with a frame around it */
#include "ctl/box.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctl/ctl.h"

/* Characters, not bytes. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void rule(const size_t *wide, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		putchar('+');
		for (size_t k = 0; k < wide[i] + 2; k++)
			putchar('-');
	}
	puts("+");
}

void table_print_box(const struct table *t)
{
	size_t *wide = xcalloc(t->n_cols, sizeof(*wide));

	for (size_t i = 0; i < t->cell.n; i++)
		if (width(t->cell.p[i]) > wide[i % t->n_cols])
			wide[i % t->n_cols] = width(t->cell.p[i]);
	rule(wide, t->n_cols);
	for (size_t i = 0; i < t->cell.n; i++) {
		size_t col = i % t->n_cols;

		printf("| %s%*s ", t->cell.p[i], (int)(wide[col] - width(t->cell.p[i])), "");
		if (col < t->n_cols - 1)
			continue;
		puts("|");
		if (i == t->n_cols - 1)
			rule(wide, t->n_cols);
	}
	rule(wide, t->n_cols);
	free(wide);
}
