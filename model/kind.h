/* kind.h - the table of kinds: everything about a kind that is not code of its own.
 *
 * A kind costs one row here, a table of fields, and the checks that tables cannot say; storing,
 * reading, validating, printing and completing follow from the row. */
#pragma once

#include "lib/fields.h"

struct object;

enum kind_flags {
	KIND_NAMESPACED = 1,
	KIND_READ_ONLY = 2, /* people may look at it, and others write it */
	KIND_POLICY = 4,    /* stored under a name of its own, see model/policy.h */
};

/* What a column may need beyond its object. */
struct column_ctx {
	uint32_t as_number; /* of the default BGPConfiguration; 0: unknown */
};

struct column {
	const char *head;
	const char *path;   /* value of the object */
	const char *absent; /* text when it is absent; NULL: the default of the field's row */
	/* Instead of a path: heap text. */
	char *(*text)(const struct object *o, const struct column_ctx *ctx);
	size_t max; /* characters; longer values are cut; 0: no limit */
};

struct kind {
	const char *name;	    /* "IPPool" */
	const char *singular;	    /* "ippool" */
	const char *plural;	    /* "ippools": part of the stored key */
	const char *const *aliases; /* short names, NULL-terminated; NULL: none */
	unsigned flags;
	const struct fields *spec, *status; /* status NULL: none */
	const char *only_name;		    /* the one name an object may have; NULL: any */
	/* Beyond the tables: spec is the decoded struct of the spec table; messages begin with the
	 * path in the object ("spec.cidr: ..."). NULL: nothing more. */
	int (*check)(const struct object *o, const void *spec, struct err *e);
	/* Defaults that depend on other fields, into the JSON that will be stored; NULL: none. */
	void (*fill)(json_t *spec);
	const struct column *ps, *wide; /* ended by a column without head */
};

#define API_VERSION "projectcalico.org/v3"

/* By name, singular, plural or alias, in any case; NULL. */
const struct kind *kind_find(const char *name);
/* The same; on failure -EINVAL with the nearest known kind. */
int kind_get(const char *name, const struct kind **out, struct err *e);
/* By stored plural, exactly. */
const struct kind *kind_by_plural(const char *plural);
/* All, in the order of their names; NULL behind the last. */
const struct kind *kind_at(size_t i);
