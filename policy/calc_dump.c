/* calc_dump.c - the whole state of a calculation as text, sorted */
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "policy/calc_impl.h"

struct lines {
	char **p;
	size_t n, cap;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *set_line(const struct set *s)
{
	struct member_vec all = { 0 };
	struct str line = { 0 };
	char text[MEMBER_STR_MAX];

	members_all(&s->members, &all);
	str_addf(&line, "set %s", s->def->id);
	vec_foreach (&all, m)
		str_addf(&line, " %s", member_format(m, text));
	vec_done(&all);
	return str_take(&line);
}

char *calc_dump(const struct calc *c)
{
	struct lines lines = { 0 };
	struct str out = { 0 };

	for (const struct set *s = c->sets; s; s = s->hh.next)
		vec_push(&lines, set_line(s));
	for (const struct pol *p = c->pols; p; p = p->hh.next)
		if (p->told)
			vec_push(&lines, xasprintf("policy %s", p->key));
	for (const struct prof *p = c->profs; p; p = p->hh.next)
		if (p->told)
			vec_push(&lines,
				 xasprintf("profile %s%s", p->name, p->rules ? "" : " (missing)"));
	for (const struct ep *ep = c->eps; ep; ep = ep->hh.next)
		if (ep->here)
			vec_push(&lines, xasprintf("endpoint %s %s", ep->key, ep->here->sent));
	if (lines.n)
		qsort(lines.p, lines.n, sizeof(*lines.p), by_text);
	vec_foreach (&lines, line) {
		str_addf(&out, "%s\n", *line);
		free(*line);
	}
	vec_done(&lines);
	return str_take(&out);
}
