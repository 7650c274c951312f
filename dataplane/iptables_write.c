/* iptables_write.c - the text of one iptables-restore for all that is to be done
 * WHY    iptables-nft rewrites a changed chain faster than it edits it, and its restore loses
 *        count of rule numbers within a transaction: there chains are flushed and written whole,
 *        and removals go into a transaction of their own. iptables-legacy exchanges the whole
 *        table anyway: there rules are edited by number, which keeps the counters of the others.
 * SHAPE  Of each table: declarations, rules, hooks, removals. Every stretch of lines remembers
 *        what it is about, so that a failure names its chain.
 * INVARIANTS  Within a table a transaction is whole or not at all. Between batch and outcome the
 * keys in it are on no list of the delta. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/iptables_table.h"

size_t ipt_edits(const struct ipt_body *have, const struct ipt_body *want, struct ipt_edit *out)
{
	size_t n = 0;

	for (uint32_t i = 0; i < have->n && i < want->n; i++)
		if (memcmp(have->hash[i], want->hash[i], IPT_HASH_LEN) != 0)
			out[n++] = (struct ipt_edit) { IPT_EDIT_REPLACE, i };
	for (uint32_t i = have->n; i < want->n; i++)
		out[n++] = (struct ipt_edit) { IPT_EDIT_APPEND, i };
	for (uint32_t i = have->n; i > want->n; i--)
		out[n++] = (struct ipt_edit) { IPT_EDIT_DELETE, i - 1 };
	return n;
}

static void line(struct ipt *t, const char *fmt, ...) PRINTF(2, 3);
static void line(struct ipt *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(&t->batch, fmt, ap);
	va_end(ap);
	str_addc(&t->batch, '\n');
	t->lines++;
}

/* Where a rule's hash goes. A comment is a match like others, and matches are tried in their
 * order, with both backends: so it stands behind them, where packets that are not meant never
 * meet it. Before other comments, which may hold anything. */
static int hash_place(const char *text)
{
	const char *jump = strstr(text, "--jump "), *go = strstr(text, "--goto ");
	const char *action = jump && go ? (jump < go ? jump : go) : jump ? jump : go;

	return action && strncmp(text, "-m comment ", 11) != 0 ? (int)(action - text) : 0;
}

#define RULE "%.*s-m comment --comment \"cali:%.*s\" %s"
#define RULE_ARGS(b, i)                                                                    \
	hash_place((b)->text + (b)->at[i]), (b)->text + (b)->at[i], IPT_HASH_LEN, (b)->hash[i], \
		(b)->text + (b)->at[i] + hash_place((b)->text + (b)->at[i])

/* "-A CHAIN" and the like, then the rule. */
static void rule_line(struct ipt *t, const char *op, const char *chain, const struct ipt_body *b,
		      uint32_t i)
{
	line(t, "%s %s " RULE, op, chain, RULE_ARGS(b, i));
}

static struct ipt_item *item_new(struct ipt *t, enum ipt_item_kind kind, enum ipt_table table)
{
	vec_push(&t->items,
		 (struct ipt_item) { .kind = kind, .table = table, .first = t->lines + 1 });
	return &t->items.p[t->items.n - 1];
}

/* ---- chains ---- */

/* Numbers mean nothing in a chain that somebody may have changed. */
static bool is_written_whole(const struct ipt *t, const struct ipt_body *have)
{
	return t->cfg.backend == IPT_NFT || !have || have->doubt || t->touched_all || t->touched.n;
}

static void chain_edit(struct ipt *t, const char *name, const struct ipt_body *have,
		       const struct ipt_body *want)
{
	size_t room = have->n > want->n ? have->n : want->n;
	CLEANUP(freep) struct ipt_edit *edits = xcalloc(room + 1, sizeof(*edits));
	size_t n = ipt_edits(have, want, edits);

	for (size_t k = 0; k < n; k++) {
		switch (edits[k].op) {
		case IPT_EDIT_REPLACE:
			/* The number stands behind the name. */
			line(t, "-R %s %u " RULE, name, edits[k].i + 1,
			     RULE_ARGS(want, edits[k].i));
			break;
		case IPT_EDIT_APPEND:
			rule_line(t, "-A", name, want, edits[k].i);
			break;
		case IPT_EDIT_DELETE:
			line(t, "-D %s %u", name, edits[k].i + 1);
			break;
		}
	}
}

static void chain_lines(struct ipt *t, struct ipt_item *it, const struct ipt_body *have)
{
	const struct ipt_body *want = it->body;

	it->first = t->lines + 1;
	if (is_written_whole(t, have))
		for (uint32_t i = 0; i < want->n; i++)
			rule_line(t, "-A", it->name.s, want, i);
	else
		chain_edit(t, it->name.s, have, want);
	it->last = t->lines;
}

static void say_placeholder(struct ipt *t, const struct ipt_item *it)
{
	char text[128];

	if (!it->body->placeholder)
		return;
	snprintf(text, sizeof(text), "rules jump to %s, which has no rules to go by: %s",
		 it->name.s, it->body->n ? "what gets there is dropped" : "it stays empty");
	ipt_report(t, it->table, it->name.s, -2, text);
}

/* Take what is to be set off the list and declare the new ones. */
static void chains_declare(struct ipt *t, enum ipt_table table)
{
	struct delta *d = &t->tab[table].d;
	uint32_t id;

	while ((id = delta_pop(d, DELTA_SET)) != DELTA_NONE) {
		struct ipt_item *it = item_new(t, IPT_ITEM_CHAIN, table);

		memcpy(&it->name, delta_key(d, id), sizeof(it->name));
		it->body = ipt_body_ref(delta_want_of(d, id));
		if (is_written_whole(t, delta_have_of(d, id)))
			line(t, ":%s - -", it->name.s);
		it->last = t->lines;
		say_placeholder(t, it);
	}
}

static void chains_write(struct ipt *t, enum ipt_table table, size_t from)
{
	struct delta *d = &t->tab[table].d;

	for (size_t i = from; i < t->items.n; i++) {
		struct ipt_item *it = &t->items.p[i];

		if (it->kind == IPT_ITEM_CHAIN)
			chain_lines(t, it, delta_have_of(d, delta_find(d, &it->name)));
	}
}

/* ---- the kernel's own chains ---- */

static void hook_insert(struct ipt *t, const char *chain, const struct ipt_body *b, bool top)
{
	for (uint32_t i = b ? b->n : 0; i && top; i--)
		rule_line(t, "-I", chain, b, i - 1);
	for (uint32_t i = 0; b && i < b->n && !top; i++)
		rule_line(t, "-A", chain, b, i);
}

/* Rules of ours as the kernel will show them. */
static void seen_add(struct ipt_hook *h, const struct ipt_body *b)
{
	for (uint32_t i = 0; b && i < b->n; i++) {
		struct ipt_seen_rule r = { { 0 }, NULL };

		memcpy(r.hash, b->hash[i], IPT_HASH_LEN);
		r.text = xasprintf(RULE, RULE_ARGS(b, i));
		vec_push(&h->seen, r);
	}
}

/* What the hook will hold: nobody else's rule moved. Should the writing fail, all is read again. */
static void seen_replace(struct ipt *t, struct ipt_hook *h)
{
	static const struct ipt_seen_rule foreign = { { 0 }, NULL };
	size_t others = 0;

	vec_foreach (&h->seen, r)
		others += !r->text;
	ipt_seen_clear(h);
	if (!t->cfg.append)
		seen_add(h, h->want[IPT_FIRST]);
	while (others--)
		vec_push(&h->seen, foreign);
	if (t->cfg.append)
		seen_add(h, h->want[IPT_FIRST]);
	seen_add(h, h->want[IPT_LAST]);
	h->shown = 0;
	ipt_hook_judge(t, h);
}

static void hook_write(struct ipt *t, enum ipt_table table, unsigned i)
{
	struct ipt_hook *h = &t->tab[table].hook[i];
	const char *chain = ipt_hook_names[i];
	struct ipt_item *it = item_new(t, IPT_ITEM_HOOK, table);

	it->name = ipt_key_of(chain);
	vec_foreach (&h->seen, r)
		if (r->text)
			line(t, "-D %s %s", chain, r->text);
	hook_insert(t, chain, h->want[IPT_FIRST], !t->cfg.append);
	hook_insert(t, chain, h->want[IPT_LAST], false);
	it->last = t->lines;
	seen_replace(t, h);
}

/* ---- removals ---- */

static void strays_remove(struct ipt *t, struct ipt_tab *tab, const struct ipt_key *target)
{
	for (size_t i = 0; i < tab->strays.n;) {
		struct ipt_stray *s = &tab->strays.p[i];

		if (memcmp(&s->target, target, sizeof(*target)) != 0) {
			i++;
			continue;
		}
		line(t, "-D %s %s", s->chain.s, s->text);
		free(s->text);
		vec_remove_fast(&tab->strays, i);
	}
}

/* Flush all of them before any is removed: they may jump to each other. */
static void removals_declare(struct ipt *t, enum ipt_table table)
{
	struct delta *d = &t->tab[table].d;
	uint32_t id;

	while ((id = delta_pop(d, DELTA_DEL)) != DELTA_NONE) {
		struct ipt_item *it = item_new(t, IPT_ITEM_REMOVE, table);

		memcpy(&it->name, delta_key(d, id), sizeof(it->name));
		line(t, ":%s - -", it->name.s);
		it->last = t->lines;
	}
}

static void removals_write(struct ipt *t, enum ipt_table table, size_t from)
{
	for (size_t i = from; i < t->items.n; i++)
		if (t->items.p[i].kind == IPT_ITEM_REMOVE)
			strays_remove(t, &t->tab[table], &t->items.p[i].name);
	for (size_t i = from; i < t->items.n; i++) {
		struct ipt_item *it = &t->items.p[i];

		if (it->kind != IPT_ITEM_REMOVE)
			continue;
		it->first = t->lines + 1;
		line(t, "-X %s", it->name.s);
		it->last = t->lines;
	}
}

/* ---- tables ---- */

static bool hooks_wrong(const struct ipt_tab *tab)
{
	for (int i = 0; i < IPT_HOOKS; i++)
		if (tab->hook[i].wrong)
			return true;
	return false;
}

static void table_write(struct ipt *t, enum ipt_table table)
{
	struct ipt_tab *tab = &t->tab[table];
	size_t from = t->items.n;
	bool removals = t->cfg.backend == IPT_LEGACY && tab->d.count[DELTA_DEL];

	if (!tab->d.count[DELTA_SET] && !hooks_wrong(tab) && !removals)
		return;
	line(t, "*%s", ipt_table_name(table));
	chains_declare(t, table);
	if (removals)
		removals_declare(t, table);
	chains_write(t, table, from);
	for (unsigned i = 0; i < IPT_HOOKS; i++)
		if (tab->hook[i].wrong)
			hook_write(t, table, i);
	if (removals)
		removals_write(t, table, from);
	line(t, "COMMIT");
}

static void table_remove(struct ipt *t, enum ipt_table table)
{
	size_t from = t->items.n;

	if (!t->tab[table].d.count[DELTA_DEL])
		return;
	line(t, "*%s", ipt_table_name(table));
	removals_declare(t, table);
	removals_write(t, table, from);
	line(t, "COMMIT");
}

bool ipt_render(struct ipt *t)
{
	str_cut(&t->batch, 0);
	t->lines = 0;
	for (int i = 0; i < IPT_TABLES_; i++)
		if (!t->tab[i].blocked)
			table_write(t, (enum ipt_table)i);
	for (int i = 0; i < IPT_TABLES_; i++)
		if (!t->tab[i].blocked)
			table_remove(t, (enum ipt_table)i);
	return t->lines > 0;
}

/* ---- the outcome ---- */

static void items_clear(struct ipt *t)
{
	vec_foreach (&t->items, it)
		ipt_body_unref(it->body);
	vec_clear(&t->items);
}

static void item_done(struct ipt *t, struct ipt_item *it)
{
	struct ipt_tab *tab = &t->tab[it->table];
	struct ipt_chain *c;

	switch (it->kind) {
	case IPT_ITEM_CHAIN:
		delta_seen(&tab->d, &it->name, it->body);
		c = ipt_chain_find(tab, &it->name);
		if (c)
			c->shown = 0;
		t->counts.written++;
		break;
	case IPT_ITEM_REMOVE:
		delta_seen(&tab->d, &it->name, NULL);
		t->counts.removed++;
		break;
	case IPT_ITEM_HOOK:
		t->counts.written++;
		break;
	}
}

void ipt_batch_done(struct ipt *t)
{
	vec_foreach (&t->items, it)
		item_done(t, it);
	items_clear(t);
}

void ipt_batch_undo(struct ipt *t)
{
	vec_foreach (&t->items, it) {
		struct ipt_tab *tab = &t->tab[it->table];
		uint32_t id = delta_find(&tab->d, &it->name);

		if (it->kind != IPT_ITEM_HOOK && id != DELTA_NONE)
			delta_touch(&tab->d, id);
	}
	items_clear(t);
}

const struct ipt_item *ipt_batch_item(const struct ipt *t, unsigned n)
{
	for (size_t i = 0; i < t->items.n; i++)
		if (n >= t->items.p[i].first && n <= t->items.p[i].last)
			return &t->items.p[i];
	return NULL;
}
