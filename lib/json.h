/* json.h - JSON text to jansson trees and back, for input that nobody vouches for.
 *
 *	json_t *root;
 *	if (js_parse(bytes, len, &root, e) < 0)		"line 3, column 9: duplicate object key ..."
 *		return err_wrap(e, "%s", where);
 *	if (js_int(root, "spec.blockSize", 0, 128, &n, e) < 0)
 *		...			"spec.blockSize: must be a number, is a string"
 *	json_decref(root);
 *
 * Strict: duplicate keys, invalid UTF-8, NUL characters (written out or as \u0000), anything after
 * the value, and numbers outside of 64 bits are refused; integers are exact. Allocation aborts, as
 * everywhere in the house: jansson's constructors never return NULL for want of memory. */
#pragma once

#include <jansson.h>

#include "lib/err.h"

enum {
	JS_SIZE_MAX = 4 << 20,	     /* bytes; a /20 block with every address named is 1.2 MB */
	JS_DEPTH_MAX = 64,	     /* nesting; Calico's deepest object has 12 */
	JS_CONTAINERS_MAX = 1 << 16, /* objects and lists: each costs some 300 bytes of memory */
	JS_VALUES_MAX = 1 << 18,     /* commas, so about all values together */
};

/* Exactly one object or list in len bytes, white space around it allowed. 0 and a new tree, or
 * -EINVAL (-E2BIG above a limit) with the line and column in e. */
int js_parse(const void *bytes, size_t len, json_t **out, struct err *e);

/* One line without blanks, in the order in which members were set; caller frees. Any JSON value.
 * Reals are written with the fewest digits that keep all of them exact. */
char *js_dump(const json_t *value);
/* The same over several lines, two blanks per level. No newline at the end. */
char *js_dump_pretty(const json_t *value);

/* Getters by dotted path ("spec.bgp.asNumber"); no element of the path may hold a dot itself, use
 * json_object_get for labels and the like. 1: found, *out set (borrowed from the tree). 0: absent
 * or null at any step, *out untouched. -EINVAL, -ERANGE: something else is there; e names the path,
 * what is there, and what would be right. */
int js_str(const json_t *root, const char *path, const char **out, struct err *e);
int js_bool(const json_t *root, const char *path, bool *out, struct err *e);
int js_int(const json_t *root, const char *path, int64_t min, int64_t max, int64_t *out,
	   struct err *e);
int js_obj(const json_t *root, const char *path, json_t **out, struct err *e);
int js_list(const json_t *root, const char *path, json_t **out, struct err *e);
/* The value at path whatever it is; NULL when absent. */
json_t *js_at(const json_t *root, const char *path);

/* For what must be there: turns a getter's 0 into -EINVAL "path: is missing".
 *	if (js_need(js_str(root, "name", &name, e), "name", e) < 0) */
int js_need(int rc, const char *path, struct err *e);
/* Put a path in front of the path that e begins with: ("spec.rules[3]", "action: ...") gives
 * "spec.rules[3].action: ...". Returns the code that is set. */
int js_err_under(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* "a string", "a number", "a list", "an object", "a boolean", "null"; "absent" for NULL. */
const char *js_type_name(const json_t *value);

/* Set a member of a new or own object; the key is copied, strings must be UTF-8 (invalid bytes
 * become '?'). js_set consumes value. A NULL text sets nothing. */
void js_set(json_t *obj, const char *key, json_t *value);
void js_set_str(json_t *obj, const char *key, const char *text);
void js_set_int(json_t *obj, const char *key, int64_t n);
void js_set_bool(json_t *obj, const char *key, bool b);
/* Make a member this text, or remove it when text is NULL. True when it was something else before. */
bool js_change_str(json_t *obj, const char *key, const char *text);
/* The member when it is an object, borrowed; an empty one is put there when it is not. */
json_t *js_object_in(json_t *parent, const char *key);
/* A JSON string of any bytes, see above. */
json_t *js_text(const char *text);

/* For CLEANUP. */
void js_freep(json_t **value);
