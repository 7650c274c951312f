/* policy_names.c - words about what there is, for who named what there is not
 * TESTS  tests/netns/test_policy_explain.py */
#include "ctl/policy_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fields.h"
#include "lib/str.h"
#include "lib/vec.h"

enum { NAMES_SHOWN = 8 };

static const char *name_at(const void *arg, size_t i)
{
	return ((const struct policy_names *)arg)->p[i];
}

void policy_names_add(struct policy_names *v, char *name)
{
	for (size_t i = 0; i < v->n; i++) {
		if (!strcmp(v->p[i], name)) {
			free(name);
			return;
		}
	}
	vec_push(v, name);
}

void policy_names_done(struct policy_names *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->p[i]);
	vec_done(v);
}

static char *names_text(const struct policy_names *v)
{
	struct str s = { 0 };

	for (size_t i = 0; i < v->n && i < NAMES_SHOWN; i++)
		str_addf(&s, "%s%s", i ? ", " : "", v->p[i]);
	if (v->n > NAMES_SHOWN)
		str_addf(&s, " and %zu more", v->n - NAMES_SHOWN);
	return str_take(&s);
}

int policy_names_say(const char *who, const char *no, const struct policy_names *near_from,
		     const struct policy_names *list, const char *listed, struct err *e)
{
	const char *near = word_nearest(who, name_at, near_from, near_from->n);
	CLEANUP(freep) char *text = names_text(list);

	if (near)
		return err_set(e, -ENOENT, "%.80s: %s; did you mean %s?", who, no, near);
	return err_set(e, -ENOENT, "%.80s: %s%s%s%s", who, no, list->n ? "; " : "",
		       list->n ? listed : "", text);
}
