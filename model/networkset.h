/* networkset.h - NetworkSet and GlobalNetworkSet: ranges of addresses that have labels. */
#pragma once

#include "lib/fields.h"

struct object;

struct networkset {
	struct field_cidrs nets; /* as written, host bits and all */
};

extern const struct fields networkset_fields;

/* Of the kinds' rows. */
int networkset_check(const struct object *o, const void *spec, struct err *e);
