/* field_value.c - single values of field tables: JSON to C, C to JSON, text to JSON
 *
 * ERRORS "NAME: must be EXPECTED, is FOUND": what is expected comes from the row, so no message can
 *        disagree with the check. */
#include "lib/field_value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_MAX = 60 }; /* bytes of a wrong value that a message repeats */

int field_fail(const struct field_place *p, int code, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (p->index < 0)
		return err_set(p->e, code, "%s: %s", p->f->name, text);
	return err_set(p->e, code, "%s[%zd]: %s", p->f->name, p->index, text);
}

static void add_range(const struct field *f, struct str *out)
{
	if (f->min || f->max)
		str_addf(out, " from %lld to %lld", (long long)f->min, (long long)f->max);
}

static void add_words(const struct field *f, struct str *out)
{
	for (size_t i = 0; f->words[i]; i++)
		str_addf(out, "%s%s", i ? ", " : "", f->words[i]);
}

static const char *family_word(enum ip_family family)
{
	return family == IP_V4 ? "IPv4 " : family == IP_V6 ? "IPv6 " : "";
}

static void expects_cidr(const struct field *f, struct str *out)
{
	const char *example = f->family == IP_V6 ? "fd00:10::" : "10.20.0.";

	str_addf(out, "an %saddress range such as %s%s", family_word(f->family), example,
		 f->flags & FIELD_HOST_BITS ? (f->family == IP_V6 ? "7/64" : "7/24")
					    : (f->family == IP_V6 ? "/64" : "0/24"));
	if (f->flags & FIELD_ADDR_TOO)
		str_add(out, " or an address");
}

static void expects_duration(const struct field *f, struct str *out)
{
	char a[DURATION_STR_MAX], b[DURATION_STR_MAX];

	str_add(out, "a duration such as \"90s\" or \"1h30m\"");
	if (f->min || f->max)
		str_addf(out, " from %s to %s", duration_format(f->min, a),
			 duration_format(f->max, b));
}

void field_expects_one(const struct field *f, enum field_type type, struct str *out)
{
	switch (type) {
	case FIELD_TYPE_STRING:
		str_add(out,
			f->flags & FIELD_NOT_EMPTY ? "a string that is not empty" : "a string");
		break;
	case FIELD_TYPE_BOOL:
		str_add(out, "true or false");
		break;
	case FIELD_TYPE_INT:
	case FIELD_TYPE_INT64:
		str_add(out, "a whole number");
		add_range(f, out);
		break;
	case FIELD_TYPE_ENUM:
		str_add(out, "one of ");
		add_words(f, out);
		break;
	case FIELD_TYPE_SET:
		str_add(out, "any of ");
		add_words(f, out);
		break;
	case FIELD_TYPE_ADDR:
	case FIELD_TYPE_ADDRS:
		str_addf(out, "an %saddress", f->family ? family_word(f->family) : "IP ");
		break;
	case FIELD_TYPE_CIDR:
	case FIELD_TYPE_CIDRS:
		expects_cidr(f, out);
		break;
	case FIELD_TYPE_ASN:
		str_add(out, "an AS number (1 to 4294967295, or \"HIGH.LOW\")");
		break;
	case FIELD_TYPE_DURATION:
		expects_duration(f, out);
		break;
	case FIELD_TYPE_MAP:
		str_add(out, "an object of strings");
		break;
	case FIELD_TYPE_OBJECT:
	case FIELD_TYPE_OBJECTS:
		str_add(out, "an object");
		break;
	case FIELD_TYPE_STRINGS:
		str_add(out, "a string");
		break;
	case FIELD_TYPE_JSON:
	case FIELD_TYPE_MAX_:
		str_add(out, "any value");
		break;
	}
}

/* What is there instead: short values in full, others by their kind. */
static void add_found(const struct field *f, const json_t *v, struct str *out)
{
	char *text;

	if (f->flags & FIELD_SECRET || json_is_object(v) || json_is_array(v)) {
		str_add(out, js_type_name(v));
		return;
	}
	text = js_dump(v);
	if (strlen(text) > SHOWN_MAX)
		str_addf(out, "%.*s...", SHOWN_MAX, text);
	else
		str_add(out, text);
	free(text);
}

int field_mismatch(const struct field_place *p, enum field_type want, const json_t *is)
{
	struct str s = { 0 };
	int rc;

	str_add(&s, "must be ");
	field_expects_one(p->f, want, &s);
	str_add(&s, ", is ");
	add_found(p->f, is, &s);
	if (want == FIELD_TYPE_STRING && !json_is_object(is) && !json_is_array(is) &&
	    !json_is_string(is))
		str_add(&s, ": put it in quotes");
	rc = field_fail(p, -EINVAL, "%s", str_text(&s));
	str_done(&s);
	return rc;
}

static int get_string(const struct field_place *p, const json_t *v, char **out)
{
	if (!json_is_string(v) || (p->f->flags & FIELD_NOT_EMPTY && !json_string_length(v)))
		return field_mismatch(p, FIELD_TYPE_STRING, v);
	*out = xstrdup(json_string_value(v));
	return 0;
}

static int get_int(const struct field_place *p, const json_t *v, int64_t low, int64_t high,
		   int64_t *out)
{
	int64_t n = json_integer_value(v);

	if (p->f->min || p->f->max) {
		low = p->f->min;
		high = p->f->max;
	}
	if (!json_is_integer(v) || n < low || n > high)
		return field_mismatch(p, FIELD_TYPE_INT64, v);
	*out = n;
	return 0;
}

static const char *word_at(const void *arg, size_t i)
{
	return ((const char *const *)arg)[i];
}

static int get_word(const struct field_place *p, enum field_type type, const json_t *v, int *out)
{
	const char *text = json_string_value(v), *near;
	size_t n = 0;

	for (; p->f->words[n]; n++) {
		if (text && !(p->f->flags & FIELD_ANY_CASE ? strcasecmp(text, p->f->words[n])
							   : strcmp(text, p->f->words[n]))) {
			*out = (int)n;
			return 0;
		}
	}
	near = text ? word_nearest(text, word_at, p->f->words, n) : NULL;
	if (near)
		return field_fail(p, -EINVAL, "\"%.60s\" is unknown; did you mean \"%s\"?", text,
				  near);
	return field_mismatch(p, type == FIELD_TYPE_SET ? FIELD_TYPE_SET : FIELD_TYPE_ENUM, v);
}

static int get_set(const struct field_place *p, const json_t *v, unsigned *out)
{
	struct field_place at = *p;
	unsigned set = 0;
	json_t *item;
	size_t i;
	int word;

	if (!json_is_array(v))
		return field_fail(p, -EINVAL, "must be a list, is %s", js_type_name(v));
	json_array_foreach (v, i, item) {
		at.index = (ssize_t)i;
		if (get_word(&at, FIELD_TYPE_SET, item, &word) < 0)
			return -EINVAL;
		set |= 1u << word;
	}
	if (!set && p->f->flags & FIELD_NOT_EMPTY)
		return field_fail(p, -EINVAL, "must not be empty");
	*out = set;
	return 0;
}

static int get_addr(const struct field_place *p, const json_t *v, struct addr *out)
{
	const char *text = json_string_value(v);
	struct addr a;

	if (!text || !addr_parse(text, &a) || (p->f->family && a.family != p->f->family))
		return field_mismatch(p, FIELD_TYPE_ADDR, v);
	*out = a;
	return 0;
}

static int get_cidr(const struct field_place *p, const json_t *v, struct prefix *out)
{
	bool addr_too = p->f->flags & FIELD_ADDR_TOO;
	const char *text = json_string_value(v);
	char right[PREFIX_STR_MAX];
	struct prefix cidr, net;

	if (!text || !(addr_too ? prefix_parse_or_addr(text, &cidr) : prefix_parse(text, &cidr)))
		return field_mismatch(p, FIELD_TYPE_CIDR, v);
	if (p->f->family && cidr.addr.family != p->f->family)
		return field_mismatch(p, FIELD_TYPE_CIDR, v);
	if (!(p->f->flags & FIELD_HOST_BITS) && prefix_has_host_bits(&cidr)) {
		net = prefix_mask(&cidr);
		return field_fail(p, -EINVAL, "%.60s has host bits set: %s would be right", text,
				  prefix_format(&net, right));
	}
	*out = cidr;
	return 0;
}

static int get_asn(const struct field_place *p, const json_t *v, uint32_t *out)
{
	const char *text = json_string_value(v);
	uint32_t asn = 0;

	if (json_is_integer(v) && json_integer_value(v) > 0 && json_integer_value(v) <= UINT32_MAX)
		asn = (uint32_t)json_integer_value(v);
	else if (text && !asn_parse(text, &asn))
		asn = 0;
	if (!asn)
		return field_mismatch(p, FIELD_TYPE_ASN, v);
	*out = asn;
	return 0;
}

static int get_duration(const struct field_place *p, const json_t *v, int64_t *out)
{
	const char *text = json_string_value(v);
	int64_t ms;

	if (!text || !duration_parse(text, 0, &ms) ||
	    ((p->f->min || p->f->max) && (ms < p->f->min || ms > p->f->max)))
		return field_mismatch(p, FIELD_TYPE_DURATION, v);
	*out = ms;
	return 0;
}

static int get_plain(const struct field_place *p, enum field_type type, const json_t *v, void *out)
{
	int64_t n = 0;
	int rc;

	switch (type) {
	case FIELD_TYPE_STRING:
		return get_string(p, v, out);
	case FIELD_TYPE_BOOL:
		if (!json_is_boolean(v))
			return field_mismatch(p, FIELD_TYPE_BOOL, v);
		*(bool *)out = json_is_true(v);
		return 0;
	case FIELD_TYPE_INT:
		rc = get_int(p, v, INT32_MIN, INT32_MAX, &n);
		if (rc == 0)
			*(int *)out = (int)n;
		return rc;
	case FIELD_TYPE_INT64:
		return get_int(p, v, INT64_MIN, INT64_MAX, out);
	case FIELD_TYPE_ENUM:
		return get_word(p, type, v, out);
	case FIELD_TYPE_SET:
		return get_set(p, v, out);
	case FIELD_TYPE_ADDR:
		return get_addr(p, v, out);
	case FIELD_TYPE_CIDR:
		return get_cidr(p, v, out);
	case FIELD_TYPE_ASN:
		return get_asn(p, v, out);
	case FIELD_TYPE_DURATION:
		return get_duration(p, v, out);
	case FIELD_TYPE_JSON:
		*(json_t **)out = json_deep_copy(v);
		return 0;
	case FIELD_TYPE_STRINGS:
	case FIELD_TYPE_ADDRS:
	case FIELD_TYPE_CIDRS:
	case FIELD_TYPE_MAP:
	case FIELD_TYPE_OBJECT:
	case FIELD_TYPE_OBJECTS:
	case FIELD_TYPE_MAX_:
		break;
	}
	return field_fail(p, -EINVAL,
			  "cannot be read"); /* no row gets here: fields.c takes these */
}

int field_value_get(const struct field_place *p, enum field_type type, const json_t *v, void *out)
{
	int rc = get_plain(p, type, v, out);
	struct err why = { 0 };

	if (rc < 0 || !p->f->check)
		return rc;
	rc = p->f->check(type == FIELD_TYPE_STRING ? *(char **)out : out, &why);
	if (rc < 0) {
		field_value_drop(type, out);
		return field_fail(p, rc, "%s", why.msg);
	}
	return 0;
}

static json_t *put_set(const struct field *f, unsigned set)
{
	json_t *list = json_array();

	for (size_t i = 0; f->words[i]; i++)
		if (set & 1u << i)
			json_array_append_new(list, json_string(f->words[i]));
	return list;
}

static json_t *put_cidr(const struct field *f, const struct prefix *cidr)
{
	bool single = cidr->len == addr_bits(cidr->addr.family);
	char text[PREFIX_STR_MAX];

	if (f->flags & FIELD_ADDR_TOO && single)
		addr_format(&cidr->addr, text);
	else
		prefix_format(cidr, text);
	return json_string(text);
}

json_t *field_value_put(const struct field *f, enum field_type type, const void *value)
{
	char text[64]; /* the longest of an address and a duration */

	switch (type) {
	case FIELD_TYPE_STRING:
		return js_text(*(char *const *)value ? *(char *const *)value : "");
	case FIELD_TYPE_BOOL:
		return json_boolean(*(const bool *)value);
	case FIELD_TYPE_INT:
		return json_integer(*(const int *)value);
	case FIELD_TYPE_INT64:
		return json_integer(*(const int64_t *)value);
	case FIELD_TYPE_ENUM:
		return json_string(f->words[*(const int *)value]);
	case FIELD_TYPE_SET:
		return put_set(f, *(const unsigned *)value);
	case FIELD_TYPE_ADDR:
		return json_string(addr_format(value, text));
	case FIELD_TYPE_CIDR:
		return put_cidr(f, value);
	case FIELD_TYPE_ASN:
		return json_integer(*(const uint32_t *)value);
	case FIELD_TYPE_DURATION:
		return json_string(duration_format(*(const int64_t *)value, text));
	case FIELD_TYPE_JSON:
		return json_deep_copy(*(json_t *const *)value);
	case FIELD_TYPE_STRINGS:
	case FIELD_TYPE_ADDRS:
	case FIELD_TYPE_CIDRS:
	case FIELD_TYPE_MAP:
	case FIELD_TYPE_OBJECT:
	case FIELD_TYPE_OBJECTS:
	case FIELD_TYPE_MAX_:
		break;
	}
	return json_null();
}

bool field_value_unset(enum field_type type, const void *value)
{
	switch (type) {
	case FIELD_TYPE_STRING:
		return !*(char *const *)value;
	case FIELD_TYPE_BOOL:
		return !*(const bool *)value;
	case FIELD_TYPE_INT:
	case FIELD_TYPE_ENUM:
		return !*(const int *)value;
	case FIELD_TYPE_INT64:
	case FIELD_TYPE_DURATION:
		return !*(const int64_t *)value;
	case FIELD_TYPE_SET:
		return !*(const unsigned *)value;
	case FIELD_TYPE_ADDR:
		return !((const struct addr *)value)->family;
	case FIELD_TYPE_CIDR:
		return !((const struct prefix *)value)->addr.family;
	case FIELD_TYPE_ASN:
		return !*(const uint32_t *)value;
	case FIELD_TYPE_JSON:
		return !*(json_t *const *)value;
	case FIELD_TYPE_STRINGS:
	case FIELD_TYPE_ADDRS:
	case FIELD_TYPE_CIDRS:
	case FIELD_TYPE_MAP:
	case FIELD_TYPE_OBJECT:
	case FIELD_TYPE_OBJECTS:
	case FIELD_TYPE_MAX_:
		break;
	}
	return true;
}

void field_value_drop(enum field_type type, void *value)
{
	if (type == FIELD_TYPE_STRING) {
		free(*(char **)value);
		*(char **)value = NULL;
	} else if (type == FIELD_TYPE_JSON) {
		json_decref(*(json_t **)value);
		*(json_t **)value = NULL;
	}
}

bool field_list_of(enum field_type type, enum field_type *base, size_t *size)
{
	if (type == FIELD_TYPE_STRINGS) {
		*base = FIELD_TYPE_STRING;
		*size = sizeof(char *);
	} else if (type == FIELD_TYPE_ADDRS) {
		*base = FIELD_TYPE_ADDR;
		*size = sizeof(struct addr);
	} else if (type == FIELD_TYPE_CIDRS) {
		*base = FIELD_TYPE_CIDR;
		*size = sizeof(struct prefix);
	} else {
		return false;
	}
	return true;
}

static json_t *text_bool(const char *text)
{
	static const char *const on[] = { "true", "yes", "on", "1", "t", "y" };
	static const char *const off[] = { "false", "no", "off", "0", "f", "n" };

	for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
		if (!strcasecmp(text, on[i]))
			return json_true();
		if (!strcasecmp(text, off[i]))
			return json_false();
	}
	return js_text(text);
}

static json_t *text_int(const char *text)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	return *text && !*end && !errno ? json_integer(n) : js_text(text);
}

/* A bare number is seconds, as Felix's environment has it. */
static json_t *text_duration(const char *text)
{
	char *with_unit;
	json_t *v;

	if (!*text || text[strspn(text, "0123456789.")])
		return js_text(text);
	with_unit = xasprintf("%ss", text);
	v = js_text(with_unit);
	free(with_unit);
	return v;
}

/* "a, b" to ["a","b"], or "k=v,..." to {"k":"v"}. */
static json_t *text_list(const char *text, bool map)
{
	json_t *out = map ? json_object() : json_array();
	char *copy = xstrdup(text), *rest = copy, *item;

	while ((item = strsep(&rest, ","))) {
		char *value;

		item += strspn(item, " ");
		for (size_t n = strlen(item); n && item[n - 1] == ' '; n--)
			item[n - 1] = '\0';
		if (!*item)
			continue;
		if (!map) {
			json_array_append_new(out, js_text(item));
			continue;
		}
		value = strchr(item, '=');
		if (value)
			*value++ = '\0';
		js_set_str(out, item, value ? value : "");
	}
	free(copy);
	return out;
}

json_t *field_value_text(const struct field *f, const char *text)
{
	json_t *v;

	switch (f->type) {
	case FIELD_TYPE_BOOL:
		return text_bool(text);
	case FIELD_TYPE_INT:
	case FIELD_TYPE_INT64:
		return text_int(text);
	case FIELD_TYPE_DURATION:
		return text_duration(text);
	case FIELD_TYPE_SET:
	case FIELD_TYPE_STRINGS:
	case FIELD_TYPE_ADDRS:
	case FIELD_TYPE_CIDRS:
		return text_list(text, false);
	case FIELD_TYPE_MAP:
		return text_list(text, true);
	case FIELD_TYPE_OBJECT:
	case FIELD_TYPE_OBJECTS:
	case FIELD_TYPE_JSON:
		return js_parse(text, strlen(text), &v, NULL) < 0 ? js_text(text) : v;
	case FIELD_TYPE_STRING:
	case FIELD_TYPE_ENUM:
	case FIELD_TYPE_ADDR:
	case FIELD_TYPE_CIDR:
	case FIELD_TYPE_ASN:
	case FIELD_TYPE_MAX_:
		break;
	}
	return js_text(text);
}
