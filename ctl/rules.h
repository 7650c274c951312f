/* rules.h - what a kind needs around its writes besides its own checks: other objects are looked at
 * or changed as well. One row per kind that has such rules (rules.c). */
#pragma once

#include "ctl/ctl.h"

struct rules {
	const char *kind;
	/* Before o is created; before it replaces stored. May change o. Messages begin with the
	 * path. */
	int (*create)(struct ctl *c, struct object *o, struct err *e);
	int (*update)(struct ctl *c, const struct object *stored, struct object *o, struct err *e);
	/* After o was written. */
	int (*written)(struct ctl *c, const struct object *o, struct err *e);
	/* Instead of plain deletion. stored is what is there; rev as for ctl_delete. */
	int (*delete)(struct ctl *c, struct object *stored, int64_t rev, struct err *e);
};

/* Never NULL: a kind without rules gets a row of NULLs. */
const struct rules *rules_of(const struct kind *kind);

/* pool_rules.c */
int pool_create(struct ctl *c, struct object *o, struct err *e);
int pool_update(struct ctl *c, const struct object *stored, struct object *o, struct err *e);
int pool_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e);
/* node_rules.c */
int node_delete(struct ctl *c, struct object *stored, int64_t rev, struct err *e);
