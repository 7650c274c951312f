/* combine.c - selectors put together from the fields of policies and rules
 *
 * WHY    Labels of namespaces and accounts reach a pod under prefixes, so one selector over the
 *        pod's labels says it all; sets are then shared by all rules that mean the same.
 * SHAPE  Parsed, rewritten as a tree (a value may look like a function), printed in normal form.
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/combine.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "model/selector.h"

static bool given(const char *text)
{
	return text && *text;
}

char *combine_and(const char *a, const char *b)
{
	if (given(a) && given(b))
		return xasprintf("(%s) && (%s)", a, b);
	return given(a) ? xstrdup(a) : given(b) ? xstrdup(b) : NULL;
}

static void add_prefix(struct selector *s, const char *prefix)
{
	if (s->label) {
		char *label = xasprintf("%s%s", prefix, s->label);

		free(s->label);
		s->label = label;
	}
	for (size_t i = 0; i < s->n_kids; i++)
		add_prefix(s->kids[i], prefix);
}

static void become_has(struct selector *s, const char *label)
{
	s->op = SELECTOR_HAS;
	s->label = xstrdup(label);
}

static void become_has_not(struct selector *s, const char *label)
{
	struct selector *kid = xcalloc(1, sizeof(*kid));

	become_has(kid, label);
	s->op = SELECTOR_NOT;
	s->kids = xcalloc(1, sizeof(struct selector *));
	s->kids[0] = kid;
	s->n_kids = 1;
}

/* all() is everything that has the label, global() everything that has not. */
static void narrow(struct selector *s, const char *label)
{
	if (s->op == SELECTOR_ALL) {
		become_has(s, label);
		return;
	}
	if (s->op == SELECTOR_GLOBAL) {
		become_has_not(s, label);
		return;
	}
	for (size_t i = 0; i < s->n_kids; i++)
		narrow(s->kids[i], label);
}

/* The text with its labels prefixed and all() narrowed, either of which may be NULL. */
static int rewrite(const char *text, const char *prefix, const char *label, char **out,
		   struct err *e)
{
	struct selector *s;
	int rc = selector_parse_combined(text, &s, e);

	if (rc < 0)
		return rc;
	if (prefix)
		add_prefix(s, prefix);
	if (label)
		narrow(s, label);
	*out = selector_text(s);
	selector_free(s);
	return 0;
}

static char *namespace_is(const char *ns)
{
	return xasprintf("%s == '%s'", LABEL_NAMESPACE, ns);
}

static int namespace_part(const struct rule_side_spec *side, const char *ns, char **out,
			  struct err *e)
{
	if (given(side->ns_selector))
		return rewrite(side->ns_selector, LABEL_NS_PREFIX, LABEL_NAMESPACE, out, e);
	*out = ns ? namespace_is(ns) : NULL;
	return 0;
}

static int account_part(const struct rule_accounts *accounts, char **out, struct err *e)
{
	CLEANUP(freep) char *prefixed = NULL;
	struct str names = { 0 };
	int rc = 0;

	if (given(accounts->selector))
		rc = rewrite(accounts->selector, LABEL_SA_PREFIX, NULL, &prefixed, e);
	for (size_t i = 0; i < accounts->names.n; i++)
		str_addf(&names, "%s'%s'", i ? ", " : "", accounts->names.p[i]);
	if (accounts->names.n) {
		CLEANUP(freep) char *in = xasprintf("%s in {%s}", LABEL_ACCOUNT, str_text(&names));

		*out = combine_and(prefixed, in);
	} else {
		*out = TAKE(prefixed);
	}
	str_done(&names);
	return rc;
}

int combine_side(const struct rule_side_spec *side, const char *ns, struct combined *out,
		 struct err *e)
{
	CLEANUP(freep) char *in_ns = NULL, *account = NULL, *positive = NULL;
	int rc = namespace_part(side, ns, &in_ns, e);

	*out = (struct combined) { 0 };
	if (rc < 0 || (rc = account_part(&side->accounts, &account, e)) < 0)
		return rc;
	positive = combine_and(account, side->selector);
	if (in_ns && (positive || given(side->not_selector) || given(side->ns_selector))) {
		char *both = combine_and(in_ns, positive);

		free(positive);
		positive = both;
	}
	if (positive && given(side->not_selector))
		out->in = xasprintf("(%s) && (!(%s))", positive, side->not_selector);
	else if (given(side->not_selector))
		out->not_in = xstrdup(side->not_selector);
	else
		out->in = TAKE(positive);
	return 0;
}

void combined_done(struct combined *c)
{
	free(c->in);
	free(c->not_in);
	*c = (struct combined) { 0 };
}

/* *text && extra, with the labels of extra prefixed and, where label is given, every all() of the
 * whole narrowed. */
static int append(char **text, const char *extra, const char *prefix, const char *label,
		  struct err *e)
{
	CLEANUP(freep) char *prefixed = NULL, *both = NULL;
	int rc;

	if (!given(extra))
		return 0;
	if ((rc = rewrite(extra, prefix, NULL, &prefixed, e)) < 0)
		return rc;
	both = combine_and(*text, prefixed);
	free(TAKE(*text));
	return rewrite(both, NULL, label, text, e);
}

int combine_policy(const char *selector, const char *ns, const char *ns_selector,
		   const char *account_selector, char **out, struct err *e)
{
	CLEANUP(freep) char *in_ns = ns ? namespace_is(ns) : NULL, *text = NULL, *normal = NULL;
	int rc;

	text = combine_and(selector, in_ns);
	if ((rc = append(&text, ns_selector, LABEL_NS_PREFIX, LABEL_NAMESPACE, e)) < 0 ||
	    (rc = append(&text, account_selector, LABEL_SA_PREFIX, ns ? NULL : LABEL_ACCOUNT, e)) <
		    0)
		return rc;
	if ((rc = rewrite(text ? text : "all()", NULL, NULL, &normal, e)) < 0)
		return rc;
	*out = TAKE(normal);
	return 0;
}
