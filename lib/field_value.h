/* field_value.h - single values of field tables; only fields.c uses this. */
#pragma once

#include "lib/fields.h"

/* Where a value stands, for messages: "NAME: ..." or "NAME[index]: ...". */
struct field_place {
	const struct field *f;
	ssize_t index; /* -1: not in a list */
	struct err *e;
};

int field_fail(const struct field_place *p, int code, const char *fmt, ...) PRINTF(3, 4);
/* "NAME: must be ..., is ...", -EINVAL. */
int field_mismatch(const struct field_place *p, enum field_type want, const json_t *is);
/* What a type and the row's limits allow, without "list of". */
void field_expects_one(const struct field *f, enum field_type type, struct str *out);

/* One value of a scalar type (STRING to DURATION) or JSON; *out is overwritten, not freed. */
int field_value_get(const struct field_place *p, enum field_type type, const json_t *v, void *out);
/* NULL when unset. */
json_t *field_value_put(const struct field *f, enum field_type type, const void *value);
bool field_value_unset(enum field_type type, const void *value);
void field_value_drop(enum field_type type, void *value);
/* The JSON that text stands for, by type of the row; never NULL. */
json_t *field_value_text(const struct field *f, const char *text);

/* Of a list type: the type of its elements and their size; false for other types. */
bool field_list_of(enum field_type type, enum field_type *base, size_t *size);
