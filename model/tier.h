/* tier.h - Tier: a group of policies, and what happens at its end. */
#pragma once

#include "lib/fields.h"

struct object;

enum tier_action {
	TIER_DENY,
	TIER_PASS,
};

struct tier {
	json_t *order; /* a number; NULL: last */
	int action;    /* enum tier_action */
};

extern const struct fields tier_fields;

#define TIER_ORDER_DEFAULT 1000000.0

/* A tier that is always there and cannot be changed, with its order and action; NULL. */
struct tier_builtin {
	const char *name;
	double order;
	enum tier_action action;
};
const struct tier_builtin *tier_builtin(const char *name);
const struct tier_builtin *tier_builtin_at(size_t i);

/* Order and action of a stored object; those of a built-in one whatever is stored. Total: what
 * cannot be read is last, and denies. */
void tier_read(const struct object *o, double *order, enum tier_action *action);
/* Of the kind's row. */
int tier_check(const struct object *o, const void *spec, struct err *e);
