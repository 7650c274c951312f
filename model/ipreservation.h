/* ipreservation.h - IPReservation: addresses that are not given out automatically. */
#pragma once

#include "lib/fields.h"

struct object;

struct ipreservation {
	struct field_strings cidrs; /* as written: a bad one in a store does not spoil the others */
};

extern const struct fields ipreservation_fields;

/* Append the usable ranges of an object of kind IPReservation; bad ones are passed over. */
int ipreservation_ranges(const struct object *o, struct field_cidrs *out, struct err *e);
/* Of the kind's row. */
int ipreservation_check(const struct object *o, const void *spec, struct err *e);
