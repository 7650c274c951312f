/* explain.c - margayctl explain: the table of fields as a page */
#include <stdio.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/ctl.h"

static void print_names(const struct kind *kind)
{
	printf("%s", kind->name);
	for (size_t i = 0; kind->aliases && kind->aliases[i]; i++)
		printf("%s%s", i ? ", " : " (", kind->aliases[i]);
	printf("%s%s\n\n", kind->aliases ? ")" : "",
	       kind->flags & KIND_NAMESPACED ? ", in a namespace" : "");
}

/* Lines of fields_manual: path, default, text. */
static void print_fields(const struct fields *fields)
{
	struct str manual = { 0 };
	char *line, *rest;

	fields_manual(fields, &manual);
	rest = str_take(&manual);
	for (char *at = rest; (line = strsep(&at, "\n")) && *line;) {
		const char *path = strsep(&line, "\t"), *def = strsep(&line, "\t");

		printf("  spec.%s%s%s\n      %s\n", path, strcmp(def, "-") ? " = " : "",
		       strcmp(def, "-") ? def : "", line ? line : "");
	}
	freep(&rest);
}

int cmd_explain(struct ctl *c, const struct args *a)
{
	const struct kind *kind;
	struct err e = { 0 };

	if (a->n_words != 1)
		return ctl_error("explain: a kind is missing, such as ippool");
	if (kind_get(a->word[0], &kind, &e) < 0)
		return ctl_error("%s", e.msg);
	print_names(kind);
	print_fields(kind->spec);
	return CTL_OK;
}
