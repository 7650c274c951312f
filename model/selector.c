/* selector.c - Calico's label selectors
 *
 * SHAPE Recursive descent straight over the text: words are operators only right after a label, so
 *       a separate tokenizer would have to know where in the grammar it is.
 * COST  Parsing is linear; evaluation visits each node at most once and allocates nothing.
 * TESTS tests/unit/model/selector.c, tests/fuzz/selector.c */
#include "model/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "lib/vec.h"

struct parser {
	const char *text, *p;
	unsigned depth;
	unsigned depth_max, label_max;
	struct err *e;
};

void selector_free(struct selector *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_values; i++)
		free(s->values[i]);
	for (size_t i = 0; i < s->n_kids; i++)
		selector_free(s->kids[i]);
	free(s->values);
	free(s->kids);
	free(s->label);
	free(s);
}

static void selector_freep(struct selector **s)
{
	selector_free(*s);
}

static struct selector *node_new(enum selector_op op)
{
	struct selector *s = xcalloc(1, sizeof(*s));

	s->op = op;
	return s;
}

static void add_kid(struct selector *s, struct selector *kid)
{
	s->kids = xreallocarray(s->kids, s->n_kids + 1, sizeof(*s->kids));
	s->kids[s->n_kids++] = kid;
}

static void add_value(struct selector *s, char *value)
{
	s->values = xreallocarray(s->values, s->n_values + 1, sizeof(*s->values));
	s->values[s->n_values++] = value;
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '/' || c == '-';
}

static void skip_blanks(struct parser *p)
{
	while (*p->p == ' ' || *p->p == '\t')
		p->p++;
}

/* What stands at `at`, for a message: a few characters, nothing that upsets a terminal. */
static void excerpt(const char *at, char *out, size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size && at[i]; i++)
		out[i] = at[i] >= ' ' && at[i] <= '~' ? at[i] : '?';
	out[i] = '\0';
}

static int wrong(struct parser *p, const char *at, const char *must)
{
	size_t column = (size_t)(at - p->text) + 1;
	char near[24];

	excerpt(at, near, sizeof(near));
	if (!near[0])
		return err_set(p->e, -EINVAL, "selector ends at column %zu: must be followed by %s",
			       column, must);
	return err_set(p->e, -EINVAL, "selector, column %zu, at '%s': must be %s", column, near,
		       must);
}

/* Take a punctuation mark if it is next. */
static bool take(struct parser *p, const char *mark)
{
	skip_blanks(p);
	if (!str_starts(p->p, mark))
		return false;
	p->p += strlen(mark);
	return true;
}

/* Take "in", or "starts with" with any blanks or none between its words, if it is next and ends
 * there. */
static bool take_words(struct parser *p, const char *words)
{
	const char *at = p->p;

	for (; *words; words++) {
		if (*words == ' ') {
			while (*at == ' ' || *at == '\t')
				at++;
		} else if (*at++ != *words) {
			return false;
		}
	}
	if (is_label_char(*at))
		return false;
	p->p = at;
	return true;
}

static int parse_label(struct parser *p, char **out)
{
	const char *start;
	size_t n = 0;

	skip_blanks(p);
	start = p->p;
	while (is_label_char(start[n]))
		n++;
	if (!n)
		return wrong(p, start, "a label (letters, digits and _ . / -)");
	if (n > p->label_max)
		return wrong(p, start, "a label of at most 512 characters");
	p->p += n;
	*out = xstrndup(start, n);
	return 0;
}

static int parse_string(struct parser *p, struct selector *s)
{
	const char *end, *start;

	skip_blanks(p);
	start = p->p;
	if (*start != '"' && *start != '\'')
		return wrong(p, start, "a quoted value, such as \"db\"");
	end = strchr(start + 1, *start);
	if (!end)
		return wrong(p, start,
			     *start == '"' ? "a value that ends with \""
					   : "a value that ends with '");
	add_value(s, xstrndup(start + 1, (size_t)(end - start - 1)));
	p->p = end + 1;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_values(struct selector *s)
{
	size_t n = 0;

	if (s->n_values)
		qsort(s->values, s->n_values, sizeof(*s->values), by_bytes);
	for (size_t i = 0; i < s->n_values; i++) {
		if (n && !strcmp(s->values[n - 1], s->values[i]))
			free(s->values[i]);
		else
			s->values[n++] = s->values[i];
	}
	s->n_values = n;
}

/* A comma after the last value is accepted, a comma without a value is not. */
static int parse_set(struct parser *p, struct selector *s)
{
	int rc;

	if (!take(p, "{"))
		return wrong(p, p->p, "a set, such as {\"a\", \"b\"}");
	while (!take(p, "}")) {
		if ((rc = parse_string(p, s)) < 0)
			return rc;
		if (!take(p, ",") && *p->p != '}')
			return wrong(p, p->p, "',' or '}'");
	}
	sort_values(s);
	return 0;
}

static const struct {
	const char *words;
	enum selector_op op;
	bool mark; /* punctuation: needs no end of word */
} operators[] = {
	{ "==", SELECTOR_EQ, true },
	{ "!=", SELECTOR_NE, true },
	{ "in", SELECTOR_IN, false },
	{ "not in", SELECTOR_NOT_IN, false },
	{ "contains", SELECTOR_CONTAINS, false },
	{ "starts with", SELECTOR_STARTS, false },
	{ "ends with", SELECTOR_ENDS, false },
};

static int parse_compare(struct parser *p, struct selector *s)
{
	skip_blanks(p);
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		if (!(operators[i].mark ? take(p, operators[i].words)
					: take_words(p, operators[i].words)))
			continue;
		s->op = operators[i].op;
		if (s->op == SELECTOR_IN || s->op == SELECTOR_NOT_IN)
			return parse_set(p, s);
		return parse_string(p, s);
	}
	return wrong(p, p->p, "==, !=, in, not in, contains, starts with or ends with");
}

/* After "has(", "all(" or "global(". */
static int parse_call(struct parser *p, struct selector *s)
{
	int rc;

	p->p++;
	if (!strcmp(s->label, "has")) {
		s->op = SELECTOR_HAS;
		free(TAKE(s->label));
		if ((rc = parse_label(p, &s->label)) < 0)
			return rc;
	} else {
		s->op = !strcmp(s->label, "all") ? SELECTOR_ALL : SELECTOR_GLOBAL;
		free(TAKE(s->label));
	}
	return take(p, ")") ? 0 : wrong(p, p->p, "')'");
}

static int parse_or(struct parser *p, struct selector **out);

static int parse_group(struct parser *p, struct selector **out)
{
	struct selector *s CLEANUP(selector_freep) = NULL;
	int rc;

	if (++p->depth > p->depth_max)
		return wrong(p, p->p, "at most 64 parentheses deep");
	if ((rc = parse_or(p, &s)) < 0)
		return rc;
	if (!take(p, ")"))
		return wrong(p, p->p, "')', '&&' or '||'");
	p->depth--;
	*out = TAKE(s);
	return 0;
}

static int parse_primary(struct parser *p, struct selector **out)
{
	struct selector *s CLEANUP(selector_freep) = NULL;
	int rc;

	if (take(p, "("))
		return parse_group(p, out);
	if (!is_label_char(*p->p))
		return wrong(p, p->p, "a label, has(...), all(), '!' or '('");
	s = node_new(SELECTOR_ALL);
	if ((rc = parse_label(p, &s->label)) < 0)
		return rc;
	if (*p->p == '(' &&
	    (!strcmp(s->label, "has") || !strcmp(s->label, "all") || !strcmp(s->label, "global")))
		rc = parse_call(p, s);
	else
		rc = parse_compare(p, s);
	if (rc == 0)
		*out = TAKE(s);
	return rc;
}

/* DIFFERS: Calico keeps both negations of !(!x), so that its normal form "!!x" is read back as
 * another one. Here they cancel out. */
static struct selector *negate(struct selector *s)
{
	struct selector *inner;

	if (s->op != SELECTOR_NOT) {
		inner = node_new(SELECTOR_NOT);
		add_kid(inner, s);
		return inner;
	}
	inner = s->kids[0];
	s->n_kids = 0;
	selector_free(s);
	return inner;
}

static int parse_operand(struct parser *p, struct selector **out)
{
	struct selector *s = NULL;
	bool negated = false;
	int rc;

	while (take(p, "!"))
		negated = !negated;
	if ((rc = parse_primary(p, &s)) < 0)
		return rc;
	*out = negated ? negate(s) : s;
	return 0;
}

typedef int parse_fn(struct parser *p, struct selector **out);

/* x { mark x }: x alone, or a node with all of them. */
static int parse_list(struct parser *p, parse_fn *one, const char *mark, enum selector_op op,
		      struct selector **out)
{
	struct selector *list CLEANUP(selector_freep) = node_new(op), *kid = NULL;
	int rc;

	do {
		if ((rc = one(p, &kid)) < 0)
			return rc;
		add_kid(list, kid);
	} while (take(p, mark));
	if (list->n_kids > 1) {
		*out = TAKE(list);
	} else {
		*out = list->kids[0];
		list->n_kids = 0;
	}
	return 0;
}

static int parse_and(struct parser *p, struct selector **out)
{
	return parse_list(p, parse_operand, "&&", SELECTOR_AND, out);
}

static int parse_or(struct parser *p, struct selector **out)
{
	return parse_list(p, parse_and, "||", SELECTOR_OR, out);
}

/* Parentheses of the normal form, which has one pair for each list: it must be readable, too. */
static unsigned list_depth(const struct selector *s)
{
	unsigned deepest = 0;

	for (size_t i = 0; i < s->n_kids; i++) {
		unsigned d = list_depth(s->kids[i]);

		deepest = d > deepest ? d : deepest;
	}
	return deepest + (s->op == SELECTOR_AND || s->op == SELECTOR_OR);
}

static int parse_all(struct parser p, struct selector **out)
{
	struct selector *s CLEANUP(selector_freep) = NULL;
	size_t len = strlen(p.text);
	int rc;

	if (len > SELECTOR_LEN_MAX)
		return err_set(p.e, -EINVAL, "selector of %zu characters: must be at most %d", len,
			       SELECTOR_LEN_MAX);
	skip_blanks(&p);
	if (!*p.p) {
		*out = node_new(SELECTOR_ALL);
		return 0;
	}
	if ((rc = parse_or(&p, &s)) < 0)
		return rc;
	skip_blanks(&p);
	if (*p.p)
		return wrong(&p, p.p, "'&&', '||' or the end");
	if (list_depth(s) > p.depth_max)
		return err_set(p.e, -EINVAL, "selector: && and || must be nested at most %u deep",
			       p.depth_max);
	*out = TAKE(s);
	return 0;
}

int selector_parse(const char *text, struct selector **out, struct err *e)
{
	struct parser p = { text, text, 0, SELECTOR_DEPTH_MAX, SELECTOR_LABEL_MAX, e };

	return parse_all(p, out);
}

int selector_parse_combined(const char *text, struct selector **out, struct err *e)
{
	struct parser p = { .text = text, .p = text, .e = e };

	p.depth_max = SELECTOR_DEPTH_MAX + SELECTOR_DEPTH_MORE;
	p.label_max = SELECTOR_LABEL_MAX + SELECTOR_LABEL_MORE;
	return parse_all(p, out);
}

static bool in_values(const struct selector *s, const char *v)
{
	return bsearch(&v, s->values, s->n_values, sizeof(*s->values), by_bytes) != NULL;
}

static bool ends_with(const char *v, const char *tail)
{
	size_t n = strlen(v), t = strlen(tail);

	return n >= t && !strcmp(v + n - t, tail);
}

/* An absent label is unequal to everything and in no set; nothing else is true of it. */
static bool match_label(const struct selector *s, const char *v)
{
	switch (s->op) {
	case SELECTOR_HAS:
		return v;
	case SELECTOR_EQ:
		return v && !strcmp(v, s->values[0]);
	case SELECTOR_NE:
		return !v || strcmp(v, s->values[0]);
	case SELECTOR_CONTAINS:
		return v && strstr(v, s->values[0]);
	case SELECTOR_STARTS:
		return v && str_starts(v, s->values[0]);
	case SELECTOR_ENDS:
		return v && ends_with(v, s->values[0]);
	case SELECTOR_IN:
		return v && s->n_values && in_values(s, v);
	case SELECTOR_NOT_IN:
		return !v || !s->n_values || !in_values(s, v);
	case SELECTOR_ALL:
	case SELECTOR_GLOBAL:
	case SELECTOR_NOT:
	case SELECTOR_AND:
	case SELECTOR_OR:
		break;
	}
	return true;
}

bool selector_match(const struct selector *s, selector_label_fn *label, void *arg)
{
	if (s->label)
		return match_label(s, label(arg, s->label));
	if (s->op == SELECTOR_NOT)
		return !selector_match(s->kids[0], label, arg);
	for (size_t i = 0; i < s->n_kids; i++)
		if (selector_match(s->kids[i], label, arg) == (s->op == SELECTOR_OR))
			return s->op == SELECTOR_OR;
	return s->op != SELECTOR_OR;
}

struct json_labels {
	const json_t *object;
};

static const char *json_label(void *arg, const char *key)
{
	return json_string_value(json_object_get(((struct json_labels *)arg)->object, key));
}

bool selector_match_json(const struct selector *s, const json_t *labels)
{
	struct json_labels l = { labels };

	return selector_match(s, json_label, &l);
}

static void add_quoted(struct str *out, const char *value)
{
	char quote = strchr(value, '"') ? '\'' : '"';

	str_addc(out, quote);
	str_add(out, value);
	str_addc(out, quote);
}

static const char *operator_words(enum selector_op op)
{
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++)
		if (operators[i].op == op)
			return operators[i].words;
	return "?";
}

static void add_compare(struct str *out, const struct selector *s)
{
	bool set = s->op == SELECTOR_IN || s->op == SELECTOR_NOT_IN;

	str_addf(out, "%s %s ", s->label, operator_words(s->op));
	if (set)
		str_addc(out, '{');
	for (size_t i = 0; i < s->n_values; i++) {
		str_add(out, i ? ", " : "");
		add_quoted(out, s->values[i]);
	}
	if (set)
		str_addc(out, '}');
}

static void add_text(struct str *out, const struct selector *s);

static void add_list(struct str *out, const struct selector *s, const char *mark)
{
	str_addc(out, '(');
	for (size_t i = 0; i < s->n_kids; i++) {
		str_add(out, i ? mark : "");
		add_text(out, s->kids[i]);
	}
	str_addc(out, ')');
}

static void add_text(struct str *out, const struct selector *s)
{
	switch (s->op) {
	case SELECTOR_ALL:
		str_add(out, "all()");
		break;
	case SELECTOR_GLOBAL:
		str_add(out, "global()");
		break;
	case SELECTOR_HAS:
		str_addf(out, "has(%s)", s->label);
		break;
	case SELECTOR_EQ:
	case SELECTOR_NE:
	case SELECTOR_CONTAINS:
	case SELECTOR_STARTS:
	case SELECTOR_ENDS:
	case SELECTOR_IN:
	case SELECTOR_NOT_IN:
		add_compare(out, s);
		break;
	case SELECTOR_NOT:
		str_addc(out, '!');
		add_text(out, s->kids[0]);
		break;
	case SELECTOR_AND:
		add_list(out, s, " && ");
		break;
	case SELECTOR_OR:
		add_list(out, s, " || ");
		break;
	}
}

char *selector_text(const struct selector *s)
{
	struct str out = { 0 };

	add_text(&out, s);
	return str_take(&out);
}
