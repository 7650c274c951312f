/* chain.c - iptables chains as data
 * SPEC   h(0) = SHA-224(chain), h(i) = SHA-224(h(i-1) "-A CHAIN HASH " text)
 * TESTS  tests/unit/policy/chain.c: recorded vectors */
#include "policy/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "policy/hash.h"

enum { COMMENT_MAX = 256 };

static bool is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_ @%+=:,./-", c));
}

static void add_comment(struct str *s, const char *comment)
{
	str_add(s, s->len ? " " : "");
	str_add(s, "-m comment --comment \"");
	for (size_t i = 0; comment[i] && i < COMMENT_MAX - 1; i++)
		str_addc(s, is_safe(comment[i]) ? comment[i] : '_');
	str_addc(s, '"');
}

static void add_part(struct str *s, const char *part)
{
	if (part && *part)
		str_addf(s, "%s%s", s->len ? " " : "", part);
}

static char *target_of(const char *action)
{
	const char *name = action ? strchr(action, ' ') : NULL;

	return name && str_starts(name + 1, "cali-") ? xstrdup(name + 1) : NULL;
}

void chain_add_noted(struct chain *c, const char *const *comment, size_t n, const char *match,
		     const char *action)
{
	struct str s = { 0 };

	for (size_t i = 0; i < n; i++)
		if (comment[i] && *comment[i])
			add_comment(&s, comment[i]);
	add_part(&s, match);
	add_part(&s, action);
	vec_push(c, (struct chain_rule) { str_take(&s), target_of(action),
					  str_eq(action, "--jump RETURN") });
}

void chain_add(struct chain *c, const char *comment, const char *match, const char *action)
{
	chain_add_noted(c, &comment, 1, match, action);
}

/* The length of the comments that a rule begins with. */
static size_t comments_len(const char *text)
{
	static const char start[] = "-m comment --comment \"";
	size_t n = 0;

	while (str_starts(text + n, start)) {
		const char *end = strchr(text + n + strlen(start), '"');

		n = (size_t)(end - text) + 1;
		if (text[n] == ' ')
			n++;
	}
	return n;
}

void chain_describe(struct chain *c, const char *comment)
{
	struct str s = { 0 };
	size_t n;

	if (!c->n) {
		chain_add(c, comment, NULL, NULL);
		return;
	}
	n = comments_len(c->p[0].text);
	str_addn(&s, c->p[0].text, n && c->p[0].text[n - 1] == ' ' ? n - 1 : n);
	add_comment(&s, comment);
	add_part(&s, c->p[0].text + n);
	free(c->p[0].text);
	c->p[0].text = str_take(&s);
}

static void rule_free(struct chain_rule *r)
{
	free(r->text);
	free(r->target);
}

void chain_drop_returns(struct chain *c)
{
	while (c->n && c->p[c->n - 1].is_return)
		rule_free(&c->p[--c->n]);
}

bool chain_eq(const struct chain *a, const struct chain *b)
{
	if (a->n != b->n || strcmp(a->name.text, b->name.text))
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->p[i].text, b->p[i].text))
			return false;
	return true;
}

void chain_done(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		rule_free(&c->p[i]);
	vec_done(c);
}

struct chain *chains_new(struct chains *v, const struct chain_name *name)
{
	vec_push(v, (struct chain) { .name = *name });
	return &v->p[v->n - 1];
}

void chains_done(struct chains *v)
{
	vec_foreach (v, c)
		chain_done(c);
	vec_done(v);
}

static struct rule_hash *hashes(const struct chain *c, const char *name)
{
	struct rule_hash *out = c->n ? xcalloc(c->n, sizeof(*out)) : NULL;
	uint8_t h[HASH_BYTES_MAX];
	size_t len = hash_bytes(HASH_SHA224, name, strlen(name), "", 0, h);

	for (size_t i = 0; i < c->n; i++) {
		CLEANUP(freep)
		char *text =
			xasprintf("-A %s HASH%s%s", name, *c->p[i].text ? " " : "", c->p[i].text);
		char digest[HASH_TEXT_MAX];

		len = hash_bytes(HASH_SHA224, h, len, text, strlen(text), h);
		base64url(h, len, digest);
		str_copy(out[i].text, sizeof(out[i].text), digest);
	}
	return out;
}

struct rule_hash *chain_hashes(const struct chain *c)
{
	return hashes(c, c->name.text);
}

struct rule_hash *hook_hashes(const struct chain *c, bool append)
{
	CLEANUP(freep) char *name = xasprintf("%s%s", c->name.text, append ? "*appends*" : "");

	return hashes(c, name);
}

char *chain_line(const struct chain *c, size_t i, const struct rule_hash *hash)
{
	return xasprintf("-A %s -m comment --comment \"cali:%s\"%s%s", c->name.text, hash->text,
			 *c->p[i].text ? " " : "", c->p[i].text);
}
