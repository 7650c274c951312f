/* selector.c - label selectors in Calico's language
 * SHAPE  Recursive descent to a tree: lists of && and || have children, leaves have a label and
 *        values. `!` is a flag of any node, so runs of it collapse.
 * SPEC   policy/README.md
 * TESTS  tests/unit/policy/selector.c */
#include "policy/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "lib/vec.h"

enum op {
	OP_ALL,
	OP_HAS,
	OP_EQ,
	OP_NE,
	OP_IN,
	OP_NOT_IN,
	OP_CONTAINS,
	OP_STARTS,
	OP_ENDS,
	OP_AND,
	OP_OR,
};

struct node {
	enum op op;
	bool negated;
	char *label;
	VEC(char *) values;
	VEC(struct node *) kids;
};

struct selector {
	struct node *root;
};

struct parser {
	const char *text, *p;
	unsigned depth;
	struct err *e;
};

static void node_free(struct node *n)
{
	if (!n)
		return;
	free(n->label);
	vec_foreach(&n->values, v)
		free(*v);
	vec_done(&n->values);
	vec_foreach(&n->kids, k)
		node_free(*k);
	vec_done(&n->kids);
	free(n);
}

static struct node *node_new(enum op op)
{
	struct node *n = xcalloc(1, sizeof(*n));

	n->op = op;
	return n;
}

static struct node *fail(struct parser *s, const char *expected)
{
	size_t column = (size_t)(s->p - s->text) + 1;

	if (*s->p)
		err_set(s->e, -EINVAL, "column %zu: expected %s, found \"%.20s\"", column, expected,
			s->p);
	else
		err_set(s->e, -EINVAL, "column %zu: expected %s, found the end", column, expected);
	return NULL;
}

/* ---- tokens ---- */

static void blanks(struct parser *s)
{
	s->p += strspn(s->p, " \t");
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_./-", c));
}

static bool take(struct parser *s, const char *token)
{
	blanks(s);
	if (!str_starts(s->p, token))
		return false;
	s->p += strlen(token);
	return true;
}

/* A word operator of one or two words, blanks between them optional, nothing of a label behind. */
static bool take_words(struct parser *s, const char *first, const char *second)
{
	const char *p;

	blanks(s);
	if (!str_starts(s->p, first))
		return false;
	p = s->p + strlen(first);
	if (*second) {
		p += strspn(p, " \t");
		if (!str_starts(p, second))
			return false;
		p += strlen(second);
	}
	if (is_label_char(*p))
		return false;
	s->p = p;
	return true;
}

/* 1 to SELECTOR_LABEL_MAX label characters; heap. */
static char *take_label(struct parser *s)
{
	size_t n = 0;
	char *label;

	blanks(s);
	while (is_label_char(s->p[n]))
		n++;
	if (n == 0) {
		fail(s, "a label");
		return NULL;
	}
	if (n > SELECTOR_LABEL_MAX) {
		err_set(s->e, -EINVAL, "column %zu: the label has %zu characters, at most %d",
			(size_t)(s->p - s->text) + 1, n, SELECTOR_LABEL_MAX);
		return NULL;
	}
	label = xstrndup(s->p, n);
	s->p += n;
	return label;
}

static char *take_string(struct parser *s)
{
	const char *end;
	char *value;

	blanks(s);
	if (*s->p != '"' && *s->p != '\'') {
		fail(s, "a string in quotes");
		return NULL;
	}
	end = strchr(s->p + 1, *s->p);
	if (!end) {
		fail(s, "a string with its closing quote");
		return NULL;
	}
	value = xstrndup(s->p + 1, (size_t)(end - s->p - 1));
	s->p = end + 1;
	return value;
}

/* ---- grammar ---- */

static struct node *parse_or(struct parser *s);

static bool parse_set(struct parser *s, struct node *n)
{
	char *value;

	if (!take(s, "{")) {
		fail(s, "a set such as {\"a\", \"b\"}");
		return false;
	}
	while (!take(s, "}")) {
		value = take_string(s);
		if (!value)
			return false;
		vec_push(&n->values, value);
		if (take(s, ","))
			continue;
		if (take(s, "}"))
			return true;
		fail(s, "\",\" or \"}\"");
		return false;
	}
	return true;
}

static bool take_operator(struct parser *s, enum op *op)
{
	static const struct {
		const char *first, *second;
		enum op op;
	} words[] = {
		{ "contains", "", OP_CONTAINS }, { "starts", "with", OP_STARTS },
		{ "ends", "with", OP_ENDS },	 { "not", "in", OP_NOT_IN },
		{ "in", "", OP_IN },
	};

	if (take(s, "==")) {
		*op = OP_EQ;
		return true;
	}
	if (take(s, "!=")) {
		*op = OP_NE;
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (take_words(s, words[i].first, words[i].second)) {
			*op = words[i].op;
			return true;
		}
	}
	return false;
}

static struct node *parse_compare(struct parser *s)
{
	struct node *n = node_new(OP_EQ);
	char *value;

	n->label = take_label(s);
	if (!n->label)
		goto bad;
	if (!take_operator(s, &n->op)) {
		fail(s, "==, !=, in, not in, contains, starts with or ends with");
		goto bad;
	}
	if (n->op == OP_IN || n->op == OP_NOT_IN) {
		if (!parse_set(s, n))
			goto bad;
		return n;
	}
	value = take_string(s);
	if (!value)
		goto bad;
	vec_push(&n->values, value);
	return n;
bad:
	node_free(n);
	return NULL;
}

static struct node *closed(struct parser *s, struct node *n)
{
	if (n && !take(s, ")")) {
		fail(s, "\")\"");
		node_free(n);
		return NULL;
	}
	return n;
}

static struct node *parse_primary(struct parser *s)
{
	struct node *n;

	if (take(s, "("))
		return closed(s, parse_or(s));
	if (take(s, "all(") || take(s, "global("))
		return closed(s, node_new(OP_ALL));
	if (take(s, "has(")) {
		n = node_new(OP_HAS);
		n->label = take_label(s);
		if (n->label)
			return closed(s, n);
		node_free(n);
		return NULL;
	}
	return parse_compare(s);
}

static struct node *parse_op(struct parser *s)
{
	bool negated = false;
	struct node *n;

	while (take(s, "!"))
		negated = !negated;
	if (++s->depth > SELECTOR_DEPTH_MAX) {
		err_set(s->e, -E2BIG, "column %zu: more than %d parentheses inside each other",
			(size_t)(s->p - s->text) + 1, SELECTOR_DEPTH_MAX);
		return NULL;
	}
	n = parse_primary(s);
	s->depth--;
	if (n)
		n->negated ^= negated;
	return n;
}

/* One or more of `item`, joined by token; a single one stands for itself. */
static struct node *parse_list(struct parser *s, enum op op, const char *token,
			       struct node *(*item)(struct parser *s))
{
	struct node *first = item(s), *list = NULL;

	while (first && take(s, token)) {
		struct node *next;

		if (!list) {
			list = node_new(op);
			vec_push(&list->kids, first);
		}
		next = item(s);
		if (!next) {
			node_free(list);
			return NULL;
		}
		vec_push(&list->kids, next);
	}
	return list ? list : first;
}

static struct node *parse_and(struct parser *s)
{
	return parse_list(s, OP_AND, "&&", parse_op);
}

static struct node *parse_or(struct parser *s)
{
	return parse_list(s, OP_OR, "||", parse_and);
}

int selector_parse(const char *text, struct selector **out, struct err *e)
{
	struct err local = { 0 };
	struct parser s = { .text = text, .p = text, .e = e ? e : &local };
	struct node *root;

	if (strlen(text) > SELECTOR_LEN_MAX)
		return err_set(e, -E2BIG, "the selector has %zu bytes, at most %d", strlen(text),
			       SELECTOR_LEN_MAX);
	blanks(&s);
	root = *s.p ? parse_or(&s) : node_new(OP_ALL);
	blanks(&s);
	if (root && *s.p) {
		fail(&s, "&&, || or the end");
		node_free(TAKE(root));
	}
	if (!root)
		return s.e->code;
	*out = xcalloc(1, sizeof(**out));
	(*out)->root = root;
	return 0;
}

void selector_free(struct selector *s)
{
	if (!s)
		return;
	node_free(s->root);
	free(s);
}

/* ---- matching ---- */

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);

	return n >= m && memcmp(s + n - m, tail, m) == 0;
}

static bool is_member(const struct node *n, const char *value)
{
	for (size_t i = 0; i < n->values.n; i++)
		if (strcmp(n->values.p[i], value) == 0)
			return true;
	return false;
}

static bool leaf_match(const struct node *n, const char *v)
{
	switch (n->op) {
	case OP_HAS:
		return v;
	case OP_EQ:
	case OP_IN:
		return v && is_member(n, v);
	case OP_NE:
	case OP_NOT_IN:
		return !v || !is_member(n, v);
	case OP_CONTAINS:
		return v && strstr(v, n->values.p[0]);
	case OP_STARTS:
		return v && str_starts(v, n->values.p[0]);
	case OP_ENDS:
		return v && ends_with(v, n->values.p[0]);
	case OP_ALL:
	case OP_AND:
	case OP_OR:
		break;
	}
	return true;
}

static bool node_match(const struct node *n, selector_label_fn *get, const void *arg)
{
	bool any = n->op == OP_OR, result = !any;

	if (n->op == OP_ALL)
		return !n->negated;
	if (n->label)
		return leaf_match(n, get(arg, n->label)) != n->negated;
	for (size_t i = 0; i < n->kids.n && result != any; i++)
		result = node_match(n->kids.p[i], get, arg);
	return result != n->negated;
}

bool selector_match(const struct selector *s, selector_label_fn *get, const void *arg)
{
	return node_match(s->root, get, arg);
}

static const char *json_label(const void *arg, const char *name)
{
	return json_string_value(json_object_get(arg, name));
}

bool selector_match_json(const struct selector *s, const json_t *labels)
{
	return selector_match(s, json_label, labels);
}
