/* fields.h - tables that say what a structure looks like in JSON or YAML.
 *
 * One row per field: its name, its type, where it lives in a C struct, what is allowed, the
 * default, one sentence of documentation. From the table come decoding with errors that teach,
 * defaults, encoding, options as text (environment, command line), and the manual.
 *
 *	struct health { bool enabled; int port; int64_t every_ms; };
 *
 *	static const struct field health_rows[] = {
 *		FIELD_BOOL(struct health, enabled, "enabled", .def = "true",
 *			   .doc = "Serve /liveness and /readiness."),
 *		FIELD_INT(struct health, port, "port", .min = 1, .max = 65535, .def = "9099",
 *			  .doc = "TCP port on the loopback interface."),
 *		FIELD_DURATION(struct health, every_ms, "every", .def = "30s",
 *			       .doc = "Time between two looks at the datastore."),
 *	};
 *	const struct fields health_fields = FIELDS("health", struct health, health_rows);
 *
 *	struct health h;
 *	if (fields_decode(&health_fields, json, FIELDS_STRICT, &h, e) < 0)
 *		...	"prot: unknown field; did you mean \"port\"?"
 *		...	"port: must be a whole number from 1 to 65535, is \"x\""
 *	fields_done(&health_fields, &h);
 *
 * A required bool or number needs FIELD_HAS, else zero counts as missing.
 *
 * A table nests another by FIELD_OBJECT and FIELD_OBJECTS. Layers (defaults, file, environment,
 * options) are fields_init, then fields_apply per file, then fields_set per variable, and at the
 * end fields_complete, which misses what is required. Errors begin with the path
 * ("spec.ports[2].name: ..."), so yml_err_at can put file and line in front. */
#pragma once

#include "lib/addr.h"
#include "lib/json.h"
#include "lib/str.h"
#include "lib/vec.h"

/* Types, and what each is in C. Unset is: NULL, false, 0, IP_NONE, an empty list. */
enum field_type {
	FIELD_TYPE_STRING,   /* char *, owned */
	FIELD_TYPE_BOOL,     /* bool */
	FIELD_TYPE_INT,	     /* int, min..max */
	FIELD_TYPE_INT64,    /* int64_t, min..max */
	FIELD_TYPE_ENUM,     /* int, index into words */
	FIELD_TYPE_SET,	     /* unsigned, bit i for words[i]; a list in JSON */
	FIELD_TYPE_ADDR,     /* struct addr */
	FIELD_TYPE_CIDR,     /* struct prefix; see enum field_flags */
	FIELD_TYPE_ASN,	     /* uint32_t; 64512, "64512" or "0.64512" in JSON */
	FIELD_TYPE_DURATION, /* int64_t, milliseconds; "1h30m", "90s", "500ms" in JSON */
	FIELD_TYPE_STRINGS,  /* struct field_strings */
	FIELD_TYPE_ADDRS,    /* struct field_addrs */
	FIELD_TYPE_CIDRS,    /* struct field_cidrs */
	FIELD_TYPE_MAP,	     /* struct field_map: string to string */
	FIELD_TYPE_OBJECT,   /* a struct in place, by its own table */
	FIELD_TYPE_OBJECTS,  /* any VEC(struct x), by its own table */
	FIELD_TYPE_JSON,     /* json_t *, own reference: kept as it is */
	FIELD_TYPE_MAX_,
};

struct field_strings {
	char **p;
	size_t n, cap;
};

struct field_addrs {
	struct addr *p;
	size_t n, cap;
};

struct field_cidrs {
	struct prefix *p;
	size_t n, cap;
};

struct field_pair {
	char *key, *value;
};

struct field_map {
	struct field_pair *p;
	size_t n, cap;
};

enum field_flags {
	FIELD_REQUIRED = 1,
	FIELD_HOST_BITS = 2,  /* CIDR: 10.0.0.7/24 is right, it says address and network */
	FIELD_ADDR_TOO = 4,   /* CIDR: 10.0.0.7 alone means 10.0.0.7/32 */
	FIELD_SECRET = 8,     /* never show the value in a message */
	FIELD_NOT_EMPTY = 16, /* string, list: must hold something when given */
	FIELD_FILL = 32,      /* fields_fill writes the default out: other readers want to see it */
	FIELD_ANY_CASE = 64,  /* enum: capital and small letters are the same */
};

struct field {
	const char *name;
	const char *doc;	  /* one sentence */
	const char *def;	  /* default as text; "a,b" for lists; NULL: unset */
	const char *unit;	  /* of a number, for the manual: "bytes" */
	const char *const *words; /* ENUM, SET: NULL-terminated */
	const struct fields *sub; /* OBJECT, OBJECTS */
	/* More to check about a single value; e gets the text behind "NAME: ". May be NULL. */
	int (*check)(const void *value, struct err *e);
	int64_t min, max;
	enum field_type type;
	unsigned flags;
	enum ip_family family; /* ADDR, CIDR and lists of them: this family only; 0: both */
	size_t at;	       /* offset of the value */
	size_t has; /* 1 + offset of a bool that says whether the field was given; 0: none */
};

struct fields {
	const char *what; /* for messages and the manual */
	const struct field *row;
	size_t n;
	size_t size; /* of the struct */
	/* Members that are right but mean nothing here: kept in the JSON, never an error. NULL:
	 * none. */
	const char *const *kept;
	/* Others too, unless they look like a slip of a known name: the list is long. */
	bool open;
};

/* clang-format off */
#define FIELDS(what_, ctype, rows, ...)                                                            \
	{ .what = what_, .row = rows, .n = ARRAY_SIZE(rows), .size = sizeof(ctype),                \
	  ##__VA_ARGS__ }

/* The offset of a member, which must have exactly this C type. */
#define FIELD_AT(ctype, s, m)                                                                      \
	(offsetof(s, m) + 0 * sizeof(_Generic(((s *)NULL)->m, ctype : 0)))
#define FIELD_ROW(type_, ctype, s, m, json, ...)                                                   \
	{ .name = json, .type = FIELD_TYPE_##type_, .at = FIELD_AT(ctype, s, m), __VA_ARGS__ }

/* Rows: FIELD_x(struct, member, "jsonName", .doc = "...", further members of struct field). */
#define FIELD_STRING(s, m, ...)	  FIELD_ROW(STRING, char *, s, m, __VA_ARGS__)
#define FIELD_BOOL(s, m, ...)	  FIELD_ROW(BOOL, bool, s, m, __VA_ARGS__)
#define FIELD_INT(s, m, ...)	  FIELD_ROW(INT, int, s, m, __VA_ARGS__)
#define FIELD_INT64(s, m, ...)	  FIELD_ROW(INT64, int64_t, s, m, __VA_ARGS__)
#define FIELD_ENUM(s, m, ...)	  FIELD_ROW(ENUM, int, s, m, __VA_ARGS__)
#define FIELD_SET(s, m, ...)	  FIELD_ROW(SET, unsigned, s, m, __VA_ARGS__)
#define FIELD_ADDR(s, m, ...)	  FIELD_ROW(ADDR, struct addr, s, m, __VA_ARGS__)
#define FIELD_CIDR(s, m, ...)	  FIELD_ROW(CIDR, struct prefix, s, m, __VA_ARGS__)
#define FIELD_ASN(s, m, ...)	  FIELD_ROW(ASN, uint32_t, s, m, __VA_ARGS__)
#define FIELD_DURATION(s, m, ...) FIELD_ROW(DURATION, int64_t, s, m, __VA_ARGS__)
#define FIELD_STRINGS(s, m, ...)  FIELD_ROW(STRINGS, struct field_strings, s, m, __VA_ARGS__)
#define FIELD_ADDRS(s, m, ...)	  FIELD_ROW(ADDRS, struct field_addrs, s, m, __VA_ARGS__)
#define FIELD_CIDRS(s, m, ...)	  FIELD_ROW(CIDRS, struct field_cidrs, s, m, __VA_ARGS__)
#define FIELD_MAP(s, m, ...)	  FIELD_ROW(MAP, struct field_map, s, m, __VA_ARGS__)
#define FIELD_JSON(s, m, ...)	  FIELD_ROW(JSON, json_t *, s, m, __VA_ARGS__)
/* table: const struct fields of the member's struct, or of the elements of a VEC(). */
#define FIELD_OBJECT(s, m, table, json, ...)                                                       \
	{ .name = json, .type = FIELD_TYPE_OBJECT, .at = offsetof(s, m), .sub = &(table),          \
	  __VA_ARGS__ }
#define FIELD_OBJECTS(s, m, table, json, ...)                                                      \
	{ .name = json, .type = FIELD_TYPE_OBJECTS, .at = offsetof(s, m), .sub = &(table),         \
	  __VA_ARGS__ }
/* Among the further members: remember in a bool of the struct that the field was given. */
#define FIELD_HAS(s, m) .has = 1 + FIELD_AT(bool, s, m)
/* clang-format on */

enum fields_mode {
	FIELDS_STRICT = 1,  /* what a person typed: an unknown field is an error */
	FIELDS_LENIENT = 0, /* what a datastore holds: a newer writer may know more */
};

/* *out = defaults, nothing of it freed before. */
void fields_init(const struct fields *t, void *out);
/* Set what obj has; null counts as absent. Lists and maps are replaced as a whole, objects field by
 * field. On an error some fields before it are already set. */
int fields_apply(const struct fields *t, const json_t *obj, enum fields_mode mode, void *out,
		 struct err *e);
/* Set one field from text, as environments and command lines have it; path may be dotted. Lists are
 * separated by commas, a duration may be a bare number of seconds. -ENOENT: no such field. */
int fields_set(const struct fields *t, const char *path, const char *text, void *out,
	       struct err *e);
/* -EINVAL "x: is missing" when a required field is unset. */
int fields_complete(const struct fields *t, const void *s, struct err *e);
/* init, apply, complete. On failure *out is zero and holds nothing. */
int fields_decode(const struct fields *t, const json_t *obj, enum fields_mode mode, void *out,
		  struct err *e);
/* Free what the struct owns and zero it. A zeroed struct is fine. */
void fields_done(const struct fields *t, void *s);

/* Write every known field into obj, which keeps its other members. Fields without a default that
 * are unset are removed from obj; so are objects with nothing in them. decode(encode(s)) = s. */
void fields_encode(const struct fields *t, const void *s, json_t *obj);

/* Make an object that fields_decode has accepted into what is stored: write the FIELD_FILL defaults
 * that it lacks, and addresses, ranges and AS numbers in their one canonical form. */
void fields_fill(const struct fields *t, json_t *obj);

/* The row of a dotted path; NULL. */
const struct field *fields_find(const struct fields *t, const char *path);
/* "a whole number from 20 to 32", "one of Never, Always": what the row allows, appended. */
void field_expects(const struct field *f, struct str *out);
/* The manual: one line "path  default  doc" per field, nested ones below, appended. */
void fields_manual(const struct fields *t, struct str *out);

/* Text and number forms that the tables use; total. */
bool asn_parse(const char *text, uint32_t *out);
/* bare_ms: what a number without a unit counts in; 0: refuse it, unless it is 0. */
bool duration_parse(const char *text, int64_t bare_ms, int64_t *out_ms);
enum { DURATION_STR_MAX = 48 };
char *duration_format(int64_t ms, char buf[static DURATION_STR_MAX]);
/* The word of the n at words that name was probably meant to be; NULL when none is close. next
 * gives word i. For messages: "did you mean ...". */
const char *word_nearest(const char *name, const char *(*next)(const void *arg, size_t i),
			 const void *arg, size_t n);
