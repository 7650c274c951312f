/* iptables.c - what chains should be in the kernel
 * WHY    One policy chain is stated for every table and is in the kernel only where something jumps
 *        to it, so jumps are counted here: from hooks, and from chains that are wanted themselves.
 * SHAPE  A chain's rules are an immutable body, shared between what is wanted, what is being
 *        written and what is known to be in the kernel.
 * COST   Stating a chain costs its own rules. */
#include "dataplane/iptables.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/iptables_table.h"

enum { LOCK_S = 5 };

const char *const ipt_hook_names[IPT_HOOKS] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
						"POSTROUTING" };

static const char *const tables[IPT_TABLES_] = { "raw", "mangle", "nat", "filter" };

/* What Felix used through the years. */
static const char *const prefixes[] = { "cali-",   "califw-", "calitw-", "califh-",
					"calith-", "calipi-", "calipo-", "felix-" };

const char *ipt_table_name(enum ipt_table table)
{
	return table < IPT_TABLES_ ? tables[table] : "?";
}

enum ipt_table ipt_table_of(const char *name)
{
	int i = 0;

	while (i < IPT_TABLES_ && strcmp(tables[i], name) != 0)
		i++;
	return (enum ipt_table)i;
}

bool ipt_name_is_ours(const char *chain)
{
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (str_starts(chain, prefixes[i]))
			return true;
	return false;
}

struct ipt_key ipt_key_n(const char *name, size_t len)
{
	struct ipt_key k = { { 0 } };

	memcpy(k.s, name, len < IPT_KEY ? len : IPT_KEY - 1);
	return k;
}

struct ipt_key ipt_key_of(const char *name)
{
	return ipt_key_n(name, strlen(name));
}

int ipt_hook_find(const char *name, size_t len)
{
	for (int i = 0; i < IPT_HOOKS; i++)
		if (strlen(ipt_hook_names[i]) == len && memcmp(ipt_hook_names[i], name, len) == 0)
			return i;
	return -1;
}

/* ---- bodies ---- */

/* A word of a rule's text, from *p on; quotes are part of it. */
static const char *word(const char **p, size_t *len)
{
	const char *s = *p + strspn(*p, " "), *q = s;

	for (bool quoted = false; *q && (quoted || *q != ' '); q++) {
		if (*q == '\\' && q[1])
			q++;
		else if (*q == '"')
			quoted = !quoted;
	}
	*p = q;
	*len = (size_t)(q - s);
	return *len ? s : NULL;
}

static bool word_is(const char *w, size_t len, const char *s)
{
	return strlen(s) == len && memcmp(w, s, len) == 0;
}

const char *ipt_target(const char *text, size_t *len)
{
	const char *w;
	size_t n;

	while ((w = word(&text, &n)))
		if (word_is(w, n, "--jump") || word_is(w, n, "--goto") || word_is(w, n, "-j") ||
		    word_is(w, n, "-g"))
			return word(&text, len);
	return NULL;
}

static void body_target(struct ipt_body *b, const char *text)
{
	size_t len;
	const char *name = ipt_target(text, &len);
	struct ipt_key k;

	if (!name)
		return;
	k = ipt_key_n(name, len);
	if (ipt_name_is_ours(k.s))
		vec_push(&b->targets, k);
}

struct ipt_body *ipt_body_bare(const char (*hash)[IPT_HASH_LEN], size_t n)
{
	struct ipt_body *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->n = (uint32_t)n;
	if (n)
		b->hash = xmemdup(hash, n * sizeof(hash[0]));
	return b;
}

struct ipt_body *ipt_body_new(const struct ipt_rule *rules, size_t n)
{
	struct ipt_body *b = xcalloc(1, sizeof(*b));
	struct str text = { 0 };

	b->refs = 1;
	b->n = (uint32_t)n;
	b->hash = xcalloc(n + 1, sizeof(b->hash[0]));
	b->at = xcalloc(n + 1, sizeof(b->at[0]));
	for (size_t i = 0; i < n; i++) {
		memcpy(b->hash[i], rules[i].hash, IPT_HASH_LEN);
		b->at[i] = (uint32_t)text.len;
		str_addn(&text, rules[i].text, strlen(rules[i].text) + 1);
		body_target(b, rules[i].text);
	}
	b->text = str_take(&text);
	return b;
}

struct ipt_body *ipt_body_ref(struct ipt_body *b)
{
	if (b)
		b->refs++;
	return b;
}

void ipt_body_unref(struct ipt_body *b)
{
	if (!b || --b->refs)
		return;
	vec_done(&b->targets);
	free(b->hash);
	free(b->at);
	free(b->text);
	free(b);
}

bool ipt_body_same(const struct ipt_body *a, const struct ipt_body *b)
{
	if (a->doubt || b->doubt || a->n != b->n)
		return false;
	return a == b || !a->n || memcmp(a->hash, b->hash, a->n * sizeof(a->hash[0])) == 0;
}

static bool value_same(void *ctx, void *want, void *have)
{
	return ipt_body_same(want, have);
}

static void value_ref(void *ctx, void *value)
{
	ipt_body_ref(value);
}

static void value_unref(void *ctx, void *value)
{
	ipt_body_unref(value);
}

static const struct delta_type bodies = {
	.key_size = IPT_KEY, .same = value_same, .ref = value_ref, .unref = value_unref
};

/* ---- which chains are in the kernel ---- */

struct ipt_chain *ipt_chain_find(const struct ipt_tab *tab, const struct ipt_key *name)
{
	struct ipt_chain *c;

	HASH_FIND(hh, tab->chains, name, sizeof(*name), c);
	return c;
}

static struct ipt_chain *chain_get(struct ipt_tab *tab, const struct ipt_key *name)
{
	struct ipt_chain *c = ipt_chain_find(tab, name);

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->name = *name;
	HASH_ADD(hh, tab->chains, name, sizeof(c->name), c);
	return c;
}

static void chain_drop_if_idle(struct ipt_tab *tab, struct ipt_chain *c)
{
	if (c->body || c->jumps || c->wanted)
		return;
	HASH_DEL(tab->chains, c);
	free(c);
}

/* Count the jumps of a body; before the old ones are given up, so that what both jump to stays. */
static void jumps_take(struct ipt_tab *tab, struct ipt_body *b)
{
	vec_foreach (&b->targets, k) {
		struct ipt_chain *c = chain_get(tab, k);

		if (c->jumps++ == 0)
			ipt_chain_place(tab, c);
	}
}

static void jumps_give(struct ipt_tab *tab, struct ipt_body *b)
{
	vec_foreach (&b->targets, k) {
		struct ipt_chain *c = ipt_chain_find(tab, k);

		if (--c->jumps == 0)
			ipt_chain_place(tab, c);
	}
}

/* The body that stands for a chain: its own, or what is safe where there is none. */
static struct ipt_body *body_for(struct ipt_tab *tab, struct ipt_chain *c)
{
	struct ipt *t = tab->t;

	if (c->body && !c->refused)
		return c->body;
	return tab == &t->tab[IPT_NAT] ? t->empty : t->drop;
}

void ipt_chain_place(struct ipt_tab *tab, struct ipt_chain *c)
{
	struct ipt_body *use = c->jumps ? ipt_body_ref(body_for(tab, c)) : NULL, *old = c->used;
	uint32_t id;

	c->used = use;
	c->wanted = use != NULL;
	if (use) {
		delta_want(&tab->d, &c->name, use, 0);
		jumps_take(tab, use);
	} else {
		id = delta_find(&tab->d, &c->name);
		if (id != DELTA_NONE && delta_want_of(&tab->d, id))
			delta_unwant(&tab->d, id);
	}
	if (old)
		jumps_give(tab, old);
	ipt_body_unref(old);
	if (!use)
		chain_drop_if_idle(tab, c);
}

/* ---- what callers state ---- */

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 127 || strchr("\"'\\`$|&;<>", *s))
			return false;
	return true;
}

static int name_check(const char *name, struct err *e)
{
	if (!ipt_name_is_ours(name) || !is_plain(name))
		return err_set(e, -EINVAL, "chain \"%.40s\": not a name that begins with cali-",
			       name);
	if (strlen(name) > IPT_NAME_MAX)
		return err_set(e, -EINVAL, "chain \"%.40s\": longer than %d characters", name,
			       IPT_NAME_MAX);
	return 0;
}

static int rules_check(const struct ipt_rule *rules, size_t n, struct err *e)
{
	if (n > IPT_CHAIN_RULES_MAX)
		return err_set(e, -EINVAL, "%zu rules: at most %d", n, IPT_CHAIN_RULES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (strnlen(rules[i].hash, IPT_HASH_LEN + 1) != IPT_HASH_LEN ||
		    !is_plain(rules[i].hash))
			return err_set(e, -EINVAL, "rule %zu: a hash has %d characters", i,
				       IPT_HASH_LEN);
		if (strpbrk(rules[i].text, "\n\r"))
			return err_set(e, -EINVAL, "rule %zu: more than one line", i);
	}
	return 0;
}

int ipt_chain(struct ipt *t, enum ipt_table table, const char *name, const struct ipt_rule *rules,
	      size_t n, struct err *e)
{
	struct ipt_tab *tab = &t->tab[table];
	struct ipt_body *body, *old;
	struct ipt_chain *c;
	struct ipt_key k;

	if (name_check(name, e) < 0)
		return -EINVAL;
	if (rules_check(rules, n, e) < 0)
		return err_wrap(e, "chain %s of %s", name, ipt_table_name(table));
	k = ipt_key_of(name);
	body = ipt_body_new(rules, n);
	c = chain_get(tab, &k);
	old = c->body;
	if (old && ipt_body_same(old, body)) {
		ipt_body_unref(body);
		return 0;
	}
	c->body = body;
	c->refused = false;
	ipt_chain_place(tab, c);
	ipt_body_unref(old);
	return 0;
}

void ipt_chain_forget(struct ipt *t, enum ipt_table table, const char *name)
{
	struct ipt_tab *tab = &t->tab[table];
	struct ipt_key k = ipt_key_of(name);
	struct ipt_chain *c = ipt_chain_find(tab, &k);
	struct ipt_body *old;

	if (!c || !c->body)
		return;
	old = TAKE(c->body);
	c->refused = false;
	ipt_chain_place(tab, c);
	ipt_body_unref(old);
}

bool ipt_chain_right(const struct ipt *t, enum ipt_table table, const char *name)
{
	const struct ipt_tab *tab = &t->tab[table];
	struct ipt_key k = ipt_key_of(name);
	struct ipt_chain *c = ipt_chain_find(tab, &k);
	uint32_t id = delta_find(&tab->d, &k);

	return c && c->body && !c->refused && id != DELTA_NONE &&
	       delta_list_of(&tab->d, id) == DELTA_RIGHT;
}

int ipt_hook(struct ipt *t, enum ipt_table table, const char *chain, enum ipt_where where,
	     const struct ipt_rule *rules, size_t n, struct err *e)
{
	struct ipt_tab *tab = &t->tab[table];
	int i = ipt_hook_find(chain, strlen(chain));
	struct ipt_body *old;

	if (i < 0)
		return err_set(e, -EINVAL, "\"%.40s\" is not a chain of the kernel", chain);
	if (rules_check(rules, n, e) < 0)
		return err_wrap(e, "chain %s of %s", chain, ipt_table_name(table));
	old = tab->hook[i].want[where];
	tab->hook[i].want[where] = n ? ipt_body_new(rules, n) : NULL;
	if (n)
		jumps_take(tab, tab->hook[i].want[where]);
	if (old)
		jumps_give(tab, old);
	ipt_body_unref(old);
	ipt_hook_judge(t, &tab->hook[i]);
	return 0;
}

void ipt_ready(struct ipt *t)
{
	t->ready = true;
}

/* ---- hooks ---- */

static bool hash_at(const struct ipt_body *b, uint32_t i, const char *hash)
{
	return memcmp(b->hash[i], hash, IPT_HASH_LEN) == 0;
}

/* Does a rule as it is shown go where the stated one goes? Its comment says so, which others may keep. */
static bool target_same(const struct ipt_body *b, uint32_t i, const char *text)
{
	size_t want_len = 0, len = 0;
	const char *want = ipt_target(b->text + b->at[i], &want_len);
	const char *target = ipt_target(text, &len);

	return want_len == len && (!len || memcmp(want, target, len) == 0);
}

/* Is the rule at this place of the stated ones this one? *lies: by its comment only. */
static bool rule_same(const struct ipt_body *b, uint32_t i, const struct ipt_seen_rule *r,
		      bool *lies)
{
	bool hash = hash_at(b, i, r->hash);

	*lies = hash && !target_same(b, i, r->text);
	return hash && !*lies;
}

/* Our rules, in order, and above all others where that is asked for. */
void ipt_hook_judge(struct ipt *t, struct ipt_hook *h)
{
	const struct ipt_body *first = h->want[IPT_FIRST], *last = h->want[IPT_LAST];
	uint32_t n_first = first ? first->n : 0, n = n_first + (last ? last->n : 0), k = 0;

	h->wrong = true;
	h->lies = false;
	for (size_t i = 0; i < h->seen.n; i++) {
		const struct ipt_seen_rule *r = &h->seen.p[i];

		if (!r->text)
			continue;
		if (k >= n || (k < n_first && !t->cfg.append && i != k))
			return;
		if (!(k < n_first ? rule_same(first, k, r, &h->lies)
				  : rule_same(last, k - n_first, r, &h->lies)))
			return;
		k++;
	}
	h->wrong = k != n;
}

void ipt_seen_clear(struct ipt_hook *h)
{
	vec_foreach (&h->seen, r)
		free(r->text);
	vec_clear(&h->seen);
}

/* ---- life ---- */

static struct ipt_body *placeholder(const char *hash, const char *text)
{
	struct ipt_rule r = { .text = text };
	struct ipt_body *b;

	memcpy(r.hash, hash, IPT_HASH_LEN);
	b = ipt_body_new(&r, text ? 1 : 0);
	b->placeholder = true;
	return b;
}

struct ipt *ipt_new(const struct ipt_config *cfg)
{
	static const char *const suffix[] = { [IPT_NFT] = "nft-", [IPT_LEGACY] = "legacy-" };
	struct ipt *t = xcalloc(1, sizeof(*t));
	const char *tool = cfg->family == IP_V6 ? "ip6tables-" : "iptables-";
	const char *middle = cfg->plain_names ? "" : suffix[cfg->backend];

	t->cfg = *cfg;
	t->need_read = true;
	t->drop = placeholder("margay_no_chain_", "--jump DROP");
	t->empty = placeholder("margay_no_chain_", NULL);
	t->unknown = ipt_body_bare(NULL, 0);
	t->unknown->doubt = true;
	snprintf(t->save_tool, sizeof(t->save_tool), "%s%ssave", tool, middle);
	snprintf(t->restore_tool, sizeof(t->restore_tool), "%s%srestore", tool, middle);
	snprintf(t->lock_arg, sizeof(t->lock_arg), "--wait=%u", cfg->lock_s ? cfg->lock_s : LOCK_S);
	for (int i = 0; i < IPT_TABLES_; i++) {
		t->tab[i].t = t;
		delta_init(&t->tab[i].d, &bodies, NULL, (uint32_t)i);
	}
	return t;
}

static void tab_done(struct ipt_tab *tab)
{
	struct ipt_chain *c, *next;

	delta_done(&tab->d);
	for (int i = 0; i < IPT_HOOKS; i++) {
		ipt_seen_clear(&tab->hook[i]);
		vec_done(&tab->hook[i].seen);
		ipt_body_unref(tab->hook[i].want[IPT_FIRST]);
		ipt_body_unref(tab->hook[i].want[IPT_LAST]);
	}
	HASH_ITER (hh, tab->chains, c, next) {
		HASH_DEL(tab->chains, c);
		ipt_body_unref(c->body);
		ipt_body_unref(c->used);
		free(c);
	}
	vec_foreach (&tab->strays, s)
		free(s->text);
	vec_done(&tab->strays);
}

void ipt_free(struct ipt *t)
{
	if (!t)
		return;
	for (int i = 0; i < IPT_TABLES_; i++)
		tab_done(&t->tab[i]);
	vec_foreach (&t->items, it)
		ipt_body_unref(it->body);
	vec_done(&t->items);
	vec_done(&t->touched);
	str_done(&t->batch);
	ipt_body_unref(t->drop);
	ipt_body_unref(t->empty);
	ipt_body_unref(t->unknown);
	free(t);
}
