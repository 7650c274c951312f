/* policy_names.h - words about what there is, for who named what there is not. */
#pragma once

#include "lib/err.h"

struct policy_names {
	char **p;
	size_t n, cap;
};

/* Once, however often it is added. name is consumed. */
void policy_names_add(struct policy_names *v, char *name);
void policy_names_done(struct policy_names *v);
/* -ENOENT: "WHO: NO; did you mean NEAR?" with the nearest of near_from, else "; LISTED" and the first
 * names of list. */
int policy_names_say(const char *who, const char *no, const struct policy_names *near_from,
		     const struct policy_names *list, const char *listed, struct err *e);
