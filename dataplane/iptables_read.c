/* iptables_read.c - what iptables-save printed, as far as it matters
 * WHY    Only names of chains, the hashes of our rules and the targets of others' jumps into our
 *        chains are looked at, so what the tool prints for matches never matters.
 * SHAPE  The whole text is checked for its frame first, then taken in table by table; a text that
 *        was cut off changes nothing.
 * ERRORS -EINVAL: not the output of iptables-save. A table that holds native nftables rules is
 *        announced by the tool in a comment. What was known of it stays so; one that was never
 *        read is blocked until a later reading shows it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/iptables_table.h"
#include "lib/fnv.h"

struct line {
	const char *p;
	size_t len;
};

/* A chain of ours that was declared. */
struct found {
	struct ipt_key name;
	size_t first, n;
	uint64_t sum;	/* of its rules as they are shown */
	bool scattered; /* then the n hashes from first on are not all its own: it is not believed */
	UT_hash_handle hh;
};

struct reading {
	struct ipt *t;
	struct ipt_tab *tab; /* NULL: between tables, or one that is not ours */
	struct found *found;
	struct found *at; /* the chain of the last rule */
	VEC(struct hash_text { char h[IPT_HASH_LEN]; }) hashes;
	bool present[IPT_TABLES_];
};

/* Nobody gains by a collision who could not do without. */
static uint64_t sum_add(uint64_t sum, const char *p, size_t len)
{
	return fnv_add(fnv_add(sum, p, len), "\n", 1);
}

static bool next_line(const char **p, const char *end, struct line *l)
{
	const char *nl;

	if (*p >= end)
		return false;
	nl = memchr(*p, '\n', (size_t)(end - *p));
	l->p = *p;
	l->len = (size_t)((nl ? nl : end) - *p);
	*p = nl ? nl + 1 : end;
	return true;
}

static bool line_is(const struct line *l, const char *s)
{
	return l->len == strlen(s) && memcmp(l->p, s, l->len) == 0;
}

static bool line_starts(const struct line *l, const char *s)
{
	return l->len >= strlen(s) && memcmp(l->p, s, strlen(s)) == 0;
}

/* Every table that begins ends, and nothing but tables, chains, rules and comments is there. */
static int frame_check(const char *out, size_t len, struct err *e)
{
	const char *p = out;
	struct line l;
	bool open = false;
	unsigned n = 0;

	while (n++, next_line(&p, out + len, &l)) {
		if (!l.len || l.p[0] == '#')
			continue;
		if (l.p[0] == '*' && !open)
			open = true;
		else if (line_is(&l, "COMMIT") && open)
			open = false;
		else if (!open || !(l.p[0] == ':' || l.p[0] == '[' || line_starts(&l, "-A ")))
			return err_set(e, -EINVAL, "line %u is not of iptables-save: %.*s", n,
				       (int)(l.len < 60 ? l.len : 60), l.p);
	}
	return open ? err_set(e, -EINVAL, "the output of iptables-save ends within a table") : 0;
}

static bool is_hash_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* The hash in a rule's comment; NULL: it is not ours. */
static const char *hash_of(const struct line *l)
{
	static const char mark[] = "--comment ";
	const char *p = l->p, *end = l->p + l->len;

	while ((p = memmem(p, (size_t)(end - p), mark, sizeof(mark) - 1))) {
		size_t n = 0;

		p += sizeof(mark) - 1;
		if (p < end && *p == '"')
			p++;
		if ((size_t)(end - p) < 5 + IPT_HASH_LEN || memcmp(p, "cali:", 5) != 0)
			continue;
		while (n < (size_t)(end - p) - 5 && is_hash_char(p[5 + n]))
			n++;
		if (n == IPT_HASH_LEN)
			return p + 5;
	}
	return NULL;
}

/* "[12:345] -A CHAIN rest" or "-A CHAIN rest": CHAIN and rest. */
static bool rule_split(const struct line *l, struct line *chain, struct line *rest)
{
	const char *p = l->p, *end = l->p + l->len, *sp;

	if (*p == '[') {
		p = memchr(p, ' ', l->len);
		if (!p)
			return false;
		p++;
	}
	if (end - p < 4 || memcmp(p, "-A ", 3) != 0)
		return false;
	p += 3;
	sp = memchr(p, ' ', (size_t)(end - p));
	*chain = (struct line) { p, (size_t)((sp ? sp : end) - p) };
	*rest = (struct line) { sp ? sp + 1 : end, sp ? (size_t)(end - sp - 1) : 0 };
	return true;
}

static void take_chain(struct reading *r, const struct line *l)
{
	const char *sp = memchr(l->p, ' ', l->len);
	struct ipt_key k = ipt_key_n(l->p + 1, (size_t)((sp ? sp : l->p + l->len) - l->p) - 1);
	struct found *f;

	if (!ipt_name_is_ours(k.s))
		return;
	HASH_FIND(hh, r->found, &k, sizeof(k), f);
	if (f)
		return;
	f = xcalloc(1, sizeof(*f));
	f->name = k;
	f->sum = FNV_START;
	HASH_ADD(hh, r->found, name, sizeof(f->name), f);
}

static void take_own(struct reading *r, const struct ipt_key *k, const char *hash,
		     const struct line *rest)
{
	struct hash_text h = { { 0 } };
	struct found *f = r->at;

	if (!f || memcmp(&f->name, k, sizeof(*k)) != 0) {
		HASH_FIND(hh, r->found, k, sizeof(*k), f);
		if (!f)
			return;
		f->scattered |= f->n > 0;
		if (!f->n)
			f->first = r->hashes.n;
		r->at = f;
	}
	if (hash)
		memcpy(h.h, hash, IPT_HASH_LEN);
	vec_push(&r->hashes, h);
	f->sum = sum_add(f->sum, rest->p, rest->len);
	f->n++;
}

/* A rule of somebody else that jumps to a chain of ours. */
static void take_stray(struct ipt_tab *tab, const struct line *chain, const struct line *rest)
{
	CLEANUP(freep) char *text = xstrndup(rest->p, rest->len);
	size_t len;
	const char *target = ipt_target(text, &len);
	struct ipt_stray s = { .chain = ipt_key_n(chain->p, chain->len) };

	if (!target)
		return;
	s.target = ipt_key_n(target, len);
	if (!ipt_name_is_ours(s.target.s))
		return;
	s.text = TAKE(text);
	vec_push(&tab->strays, s);
}

static void take_rule(struct reading *r, const struct line *l)
{
	struct ipt_seen_rule seen = { { 0 }, NULL };
	struct line chain, rest;
	const char *hash;
	struct ipt_key k;
	int hook;

	if (!rule_split(l, &chain, &rest))
		return;
	hash = hash_of(&rest);
	k = ipt_key_n(chain.p, chain.len);
	hook = ipt_hook_find(chain.p, chain.len);
	if (hook < 0 && ipt_name_is_ours(k.s)) {
		take_own(r, &k, hash, &rest);
		return;
	}
	if (hook >= 0 && hash) {
		memcpy(seen.hash, hash, IPT_HASH_LEN);
		seen.text = xstrndup(rest.p, rest.len);
	} else {
		take_stray(r->tab, &chain, &rest);
	}
	if (hook >= 0)
		vec_push(&r->tab->hook[hook].seen, seen);
}

static void tab_begin(struct reading *r, struct ipt_tab *tab)
{
	r->tab = tab;
	r->at = NULL;
	vec_clear(&r->hashes);
	for (int i = 0; i < IPT_HOOKS; i++)
		ipt_seen_clear(&tab->hook[i]);
	vec_foreach (&tab->strays, s)
		free(s->text);
	vec_clear(&tab->strays);
}

/* Are its rules, whose comments are right, shown as they were the first time since they were written? */
static bool is_shown_as_known(struct ipt_chain *c, const struct found *f)
{
	if (!c->shown)
		c->shown = f->sum;
	return c->shown == f->sum;
}

/* What was known is kept where it is the same, so that what is set aside stays so. */
static void found_seen(struct reading *r, struct found *f)
{
	struct delta *d = &r->tab->d;
	struct ipt_body *b = ipt_body_bare(f->n ? (void *)&r->hashes.p[f->first] : NULL, f->n);
	struct ipt_chain *c = ipt_chain_find(r->tab, &f->name);
	uint32_t id = delta_find(d, &f->name);
	struct ipt_body *have = id == DELTA_NONE ? NULL : delta_have_of(d, id);

	b->doubt = f->scattered;
	if (c && c->used && ipt_body_same(c->used, b))
		b->doubt = !is_shown_as_known(c, f);
	delta_seen(d, &f->name, have && ipt_body_same(have, b) ? have : b);
	ipt_body_unref(b);
	r->t->counts.chains++;
	r->t->counts.rules += (uint32_t)f->n;
}

static bool is_right(const struct ipt_tab *tab, const struct ipt_chain *c)
{
	uint32_t id = delta_find(&tab->d, &c->name);

	return id != DELTA_NONE && delta_list_of(&tab->d, id) == DELTA_RIGHT;
}

static bool jumps_nowhere(const struct ipt_tab *tab, const struct ipt_chain *c)
{
	vec_foreach (&c->used->targets, k) {
		uint32_t id = delta_find(&tab->d, k);

		if (id == DELTA_NONE || !delta_have_of(&tab->d, id))
			return true;
	}
	return false;
}

/* The kernel lets no chain go that rules jump to. Where one is missing and the rules that should jump
 * to it have their comments, they jump elsewhere: it was renamed. */
static void doubt_jumps(struct ipt_tab *tab)
{
	struct ipt_chain *c, *next;

	if (!tab->d.count[DELTA_SET])
		return;
	HASH_ITER (hh, tab->chains, c, next)
		if (c->used && is_right(tab, c) && jumps_nowhere(tab, c))
			delta_seen(&tab->d, &c->name, tab->t->unknown);
}

/* What was right and is no longer was somebody else's doing. */
static void chains_seen(struct reading *r)
{
	struct ipt_tab *tab = r->tab;
	struct ipt_chain *c, *cnext;
	struct found *f, *next;

	HASH_ITER (hh, tab->chains, c, cnext)
		c->was_right = c->wanted && is_right(tab, c);
	delta_resync_begin(&tab->d);
	HASH_ITER (hh, r->found, f, next) {
		found_seen(r, f);
		HASH_DEL(r->found, f);
		free(f);
	}
	delta_resync_end(&tab->d);
	doubt_jumps(tab);
	HASH_ITER (hh, tab->chains, c, cnext)
		if (c->was_right && !is_right(tab, c))
			ipt_tampered_note(r->t, (enum ipt_table)(tab - r->t->tab), c->name.s);
}

static uint64_t hook_sum(const struct ipt_hook *h)
{
	uint64_t sum = FNV_START;

	for (size_t i = 0; i < h->seen.n; i++)
		if (h->seen.p[i].text)
			sum = sum_add(sum, h->seen.p[i].text, strlen(h->seen.p[i].text));
	return sum;
}

/* Rules that are in their place, with their comments, may still not say what they should: as they are
 * shown is compared with the first time. Without a first time they are believed: to write them anew would
 * put them behind what others have appended. Whoever changed them once is likely to do it again, so the
 * new ones are read at once, to know. */
static void hook_seen(struct reading *r, int i)
{
	struct ipt_hook *h = &r->tab->hook[i];
	bool was_right = !h->wrong && r->tab->known && !r->t->write_failed;
	uint64_t sum = hook_sum(h);

	ipt_hook_judge(r->t, h);
	if (!h->wrong && (h->want[IPT_FIRST] || h->want[IPT_LAST]))
		h->lies = h->wrong = h->shown && h->shown != sum;
	if (!h->wrong)
		h->shown = sum;
	r->t->learn |= h->lies;
	if (!was_right || !h->wrong)
		return;
	ipt_tampered_note(r->t, (enum ipt_table)(r->tab - r->t->tab), ipt_hook_names[i]);
}

static void tab_end(struct reading *r)
{
	chains_seen(r);
	for (int i = 0; i < IPT_HOOKS; i++)
		hook_seen(r, i);
	r->tab->unreadable = r->tab->blocked = false;
	r->tab->known = true;
	r->tab = NULL;
}

static void take_table(struct reading *r, const struct line *l)
{
	struct ipt_key name = ipt_key_n(l->p + 1, l->len - 1);
	enum ipt_table table = ipt_table_of(name.s);

	if (table == IPT_TABLES_ || r->present[table])
		return;
	r->present[table] = true;
	tab_begin(r, &r->t->tab[table]);
}

/* "# Table `filter' is incompatible, use 'nft' tool." */
static void take_comment(struct reading *r, const struct line *l)
{
	static const char mark[] = "# Table `";
	enum ipt_table table;
	struct ipt_key name;
	const char *end;

	if (!line_starts(l, mark) || !memmem(l->p, l->len, "is incompatible", 15))
		return;
	end = memchr(l->p + sizeof(mark) - 1, '\'', l->len - (sizeof(mark) - 1));
	if (!end)
		return;
	name = ipt_key_n(l->p + sizeof(mark) - 1, (size_t)(end - l->p) - (sizeof(mark) - 1));
	table = ipt_table_of(name.s);
	if (table == IPT_TABLES_)
		return;
	r->present[table] = true;
	r->t->tab[table].unreadable = true;
	r->t->tab[table].blocked = !r->t->tab[table].known;
}

static void take_line(struct reading *r, const struct line *l)
{
	if (!l->len)
		return;
	if (l->p[0] == '#')
		take_comment(r, l);
	else if (l->p[0] == '*')
		take_table(r, l);
	else if (!r->tab)
		return;
	else if (l->p[0] == ':')
		take_chain(r, l);
	else if (line_is(l, "COMMIT"))
		tab_end(r);
	else
		take_rule(r, l);
}

int ipt_read(struct ipt *t, const char *out, size_t len, struct err *e)
{
	struct reading r = { .t = t };
	const char *p = out;
	struct line l;
	int rc = frame_check(out, len, e);

	if (rc < 0)
		return rc;
	t->counts.chains = t->counts.rules = 0;
	while (next_line(&p, out + len, &l))
		take_line(&r, &l);
	/* A table that is not there is empty. */
	for (int i = 0; i < IPT_TABLES_; i++) {
		if (r.present[i])
			continue;
		tab_begin(&r, &t->tab[i]);
		tab_end(&r);
	}
	vec_done(&r.hashes);
	return 0;
}

/* ---- counters ---- */

static bool str_copy_n(char *dst, size_t size, const char *s, size_t n)
{
	if (n >= size)
		return false;
	memcpy(dst, s, n);
	dst[n] = 0;
	return true;
}

/* "[12:345] " in front of a rule. */
static bool counts_of(const struct line *l, struct ipt_counter *c)
{
	const char *end = memchr(l->p, ']', l->len), *colon = memchr(l->p, ':', l->len);
	char packets[24], bytes[24];

	if (l->p[0] != '[' || !end || !colon || colon > end)
		return false;
	return str_copy_n(packets, sizeof(packets), l->p + 1, (size_t)(colon - l->p) - 1) &&
	       str_copy_n(bytes, sizeof(bytes), colon + 1, (size_t)(end - colon) - 1) &&
	       parse_u64(packets, UINT64_MAX, &c->packets) &&
	       parse_u64(bytes, UINT64_MAX, &c->bytes);
}

static void count_rule(const struct line *l, struct ipt_counter *c, ipt_counter_fn fn, void *arg)
{
	struct line chain, rest;
	const char *hash;
	struct ipt_key k;

	if (!rule_split(l, &chain, &rest) || !counts_of(l, c))
		return;
	hash = hash_of(&rest);
	if (!hash)
		return;
	k = ipt_key_n(chain.p, chain.len);
	str_copy(c->chain, sizeof(c->chain), k.s);
	memcpy(c->hash, hash, IPT_HASH_LEN);
	c->hash[IPT_HASH_LEN] = 0;
	fn(arg, c);
}

int ipt_counters_read(const char *out, size_t len, ipt_counter_fn fn, void *arg, struct err *e)
{
	struct ipt_counter c = { .table = IPT_TABLES_ };
	const char *p = out;
	struct line l;
	int rc = frame_check(out, len, e);

	while (rc == 0 && next_line(&p, out + len, &l)) {
		if (l.len && l.p[0] == '*')
			c.table = ipt_table_of(ipt_key_n(l.p + 1, l.len - 1).s);
		else if (l.len && l.p[0] == '[' && c.table != IPT_TABLES_)
			count_rule(&l, &c, fn, arg);
	}
	return rc;
}

void ipt_counters_cmd(const struct ipt *t, struct exec_cmd *cmd)
{
	*cmd = (struct exec_cmd) { .argv = { t->save_tool, "-c" } };
}
