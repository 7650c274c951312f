/* tables.c - the chains that one family's tables must hold
 *
 * SHAPE  Each table is a map of names. A chain is in the table when somebody made it and something
 *        that is in the table jumps to it, the roots always: so counts of jumps say what is to be
 *        written, and a chain that falls out of use takes with it what only it used.
 * TESTS  tests/unit/policy/worlds.c */
#include "policy/tables_impl.h"

#include <stdlib.h>
#include <string.h>

struct body *tables_body_new(struct chain *c)
{
	struct body *b = xcalloc(1, sizeof(*b));

	b->refs = 1;
	b->c = *c;
	*c = (struct chain) { .name = c->name };
	return b;
}

void tables_body_unref(struct body *b)
{
	if (!b || --b->refs)
		return;
	chain_done(&b->c);
	free(b);
}

struct body *tables_body_share(struct tables *t, enum table_id table, struct chain *c)
{
	struct slot *s;

	HASH_FIND_STR(t->table[table].slot, c->name.text, s);
	if (!s || !s->body || !chain_eq(&s->body->c, c))
		return tables_body_new(c);
	s->body->refs++;
	return s->body;
}

/* ---- one table ---- */

static void mark(struct slots *table, struct slot *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	vec_push(&table->dirty, s);
}

static struct slot *slot_get(struct slots *table, const char *name)
{
	struct slot *s;

	HASH_FIND_STR(table->slot, name, s);
	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	str_copy(s->name.text, sizeof(s->name.text), name);
	HASH_ADD_STR(table->slot, name.text, s);
	return s;
}

static void count_jumps(struct slots *table, const struct chain *c, int by);

/* Is it to be in the table? What it jumps to hears of it. */
static void settle(struct slots *table, struct slot *s)
{
	bool in = s->body && (s->root || s->jumps);

	if (in == s->in)
		return;
	s->in = in;
	mark(table, s);
	count_jumps(table, &s->body->c, in ? 1 : -1);
}

static void count_jumps(struct slots *table, const struct chain *c, int by)
{
	for (size_t i = 0; i < c->n; i++) {
		struct slot *s = c->p[i].target ? slot_get(table, c->p[i].target) : NULL;

		if (!s)
			continue;
		s->jumps += (unsigned)by;
		mark(table, s);
		settle(table, s);
	}
}

static void slot_make(struct slots *table, const char *name, struct body *b)
{
	struct slot *s = slot_get(table, name);
	struct body *old = s->body;

	s->owners++;
	mark(table, s);
	if (old && chain_eq(&old->c, &b->c))
		return;
	b->refs++;
	if (s->in)
		count_jumps(table, &b->c, 1);
	s->body = b;
	if (s->in)
		count_jumps(table, &old->c, -1);
	tables_body_unref(old);
	settle(table, s);
}

static void slot_unmake(struct slots *table, const char *name)
{
	struct slot *s = slot_get(table, name);
	struct body *old = s->body;

	if (--s->owners)
		return;
	mark(table, s);
	if (s->in) {
		s->in = false;
		count_jumps(table, &old->c, -1);
	}
	s->body = NULL;
	tables_body_unref(old);
}

/* ---- makers ---- */

void tables_install(struct tables *t, struct made_vec *now, struct made_vec *made)
{
	for (size_t i = 0; i < made->n; i++)
		slot_make(&t->table[made->p[i].table], made->p[i].body->c.name.text,
			  made->p[i].body);
	for (size_t i = 0; i < now->n; i++) {
		slot_unmake(&t->table[now->p[i].table], now->p[i].body->c.name.text);
		tables_body_unref(now->p[i].body);
	}
	vec_done(now);
	*now = *made;
	*made = (struct made_vec) { 0 };
}

static void row_free(struct tables *t, struct maker_row *row)
{
	struct made_vec none = { 0 };

	tables_install(t, &row->made, &none);
	HASH_DEL(t->rows, row);
	free(row->key);
	free(row);
}

void tables_set_row(struct tables *t, const char *key, struct made_vec *made)
{
	struct maker_row *row;

	HASH_FIND_STR(t->rows, key, row);
	if (!row) {
		row = xcalloc(1, sizeof(*row));
		row->key = xstrdup(key);
		HASH_ADD_KEYPTR(hh, t->rows, row->key, strlen(row->key), row);
	}
	tables_install(t, &row->made, made);
	if (!row->made.n)
		row_free(t, row);
}

static void add_body(struct made_vec *made, enum table_id table, struct body *b)
{
	vec_push(made, (struct made) { .table = table, .body = b });
}

/* The chain for all tables that have policies. raw and mangle know no REJECT, so their copy may be
 * another. */
static void add_policy_chain(struct made_vec *made, struct chains *filter, struct chains *others)
{
	struct body *b = tables_body_new(&filter->p[0]);
	struct body *drop = others ? tables_body_new(&others->p[0]) : b;

	/* A reference for each row: one of filter's, two of the others. */
	drop->refs += others ? 1 : 2;
	add_body(made, TABLE_FILTER, b);
	add_body(made, TABLE_MANGLE, drop);
	add_body(made, TABLE_RAW, drop);
}

/* One of a namespace is for pods alone, whose chains are in filter, and jump only to what governs. */
static void add_pod_policy(struct tables *t, const struct policy *p, bool ingress,
			   struct made_vec *made)
{
	struct chains a = { 0 };

	if (!(ingress ? p->ingress : p->egress))
		return;
	render_policy(&t->cfg, p, ingress, t->cfg.filter_deny, &a);
	add_body(made, TABLE_FILTER, tables_body_new(&a.p[0]));
	chains_done(&a);
}

static void add_policy(struct tables *t, const struct policy *p, bool ingress,
		       struct made_vec *made)
{
	const char *deny = t->cfg.filter_deny;
	struct chains a = { 0 }, b = { 0 };

	render_policy(&t->cfg, p, ingress, deny, &a);
	if (strcmp(deny, "DROP"))
		render_policy(&t->cfg, p, ingress, "DROP", &b);
	add_policy_chain(made, &a, b.n ? &b : NULL);
	chains_done(&a);
	chains_done(&b);
}

static void take_policy(struct tables *t, const struct policy *p)
{
	struct policy_id id = policy_id(p);
	CLEANUP(freep) char *text = policy_id_text(&id), *key = xasprintf("p%s", text);
	struct made_vec made = { 0 };

	for (int in = 0; in < 2; in++) {
		if (p->ns)
			add_pod_policy(t, p, in, &made);
		else
			add_policy(t, p, in, &made);
	}
	tables_set_row(t, key, &made);
}

static void take_profile(struct tables *t, const struct profile_rules *p)
{
	const char *deny = t->cfg.filter_deny;
	CLEANUP(freep) char *key = xasprintf("r%s", p->name);
	struct made_vec made = { 0 };

	for (int in = 0; in < 2; in++) {
		struct chains a = { 0 }, b = { 0 };

		render_profile(&t->cfg, p, in, deny, &a);
		if (strcmp(deny, "DROP"))
			render_profile(&t->cfg, p, in, "DROP", &b);
		add_policy_chain(&made, &a, b.n ? &b : NULL);
		chains_done(&a);
		chains_done(&b);
	}
	tables_set_row(t, key, &made);
}

static void row_gone(struct tables *t, char letter, const char *name)
{
	CLEANUP(freep) char *key = xasprintf("%c%s", letter, name);
	struct made_vec none = { 0 };

	tables_set_row(t, key, &none);
}

/* ---- all of it ---- */

static void add_frame(struct tables *t)
{
	for (enum table_id id = 0; id < TABLE_COUNT; id++) {
		CLEANUP(freep) char *key = xasprintf("frame %d", (int)id);
		struct made_vec made = { 0 };
		struct chains chains = { 0 };

		render_static(&t->cfg, id, &chains);
		vec_foreach (&chains, c)
			vec_push(&made, (struct made) { .table = id, .body = tables_body_new(c) });
		tables_set_row(t, key, &made);
		chains_done(&chains);
	}
}

static void add_roots(struct tables *t)
{
	struct hooks hooks = { 0 };

	render_hooks(&t->cfg, &hooks);
	vec_foreach (&hooks, h) {
		for (size_t i = 0; i < h->rules.n; i++) {
			if (!h->rules.p[i].target)
				continue;
			slot_get(&t->table[h->table], h->rules.p[i].target)->root = true;
		}
	}
	hooks_done(&hooks);
}

struct tables *tables_new(const struct render_config *cfg)
{
	struct tables *t = xcalloc(1, sizeof(*t));

	t->cfg = *cfg;
	add_roots(t);
	add_frame(t);
	t->seats_dirty[0] = t->seats_dirty[1] = t->spoof_dirty = true;
	tables_seat(t);
	tables_spoof(t);
	return t;
}

/* What the kernel's chains jump to may be other chains than before. */
static void move_roots(struct tables *t)
{
	for (enum table_id id = 0; id < TABLE_COUNT; id++)
		for (struct slot *s = t->table[id].slot; s; s = s->hh.next)
			s->root = false;
	add_roots(t);
	for (enum table_id id = 0; id < TABLE_COUNT; id++) {
		for (struct slot *s = t->table[id].slot; s; s = s->hh.next) {
			settle(&t->table[id], s);
			/* One that is nobody's any more goes with the next flush. */
			if (!s->owners && !s->jumps && !s->root)
				mark(&t->table[id], s);
		}
	}
}

void tables_frame(struct tables *t, const struct render_config *cfg)
{
	t->cfg = *cfg;
	t->cfg.hosts = tables_has_hosts(t);
	move_roots(t);
	add_frame(t);
}

bool tables_has_hosts(const struct tables *t)
{
	return t->n_hosts != 0;
}

/* The first host endpoint, and the end of the last one, make it another frame. */
static void settle_frame(struct tables *t)
{
	if (t->cfg.hosts != tables_has_hosts(t))
		tables_frame(t, &t->cfg);
}

void tables_take(struct tables *t, const struct calc_effects *fx)
{
	for (size_t i = 0; i < fx->policies.n; i++)
		take_policy(t, fx->policies.p[i]);
	for (size_t i = 0; i < fx->profiles.n; i++)
		take_profile(t, fx->profiles.p[i]);
	for (size_t i = 0; i < fx->endpoints.n; i++)
		tables_owner_set(t, &fx->endpoints.p[i]);
	for (size_t i = 0; i < fx->endpoints_gone.n; i++)
		tables_owner_gone(t, fx->endpoints_gone.p[i].kind, fx->endpoints_gone.p[i].id);
	tables_seat(t);
	tables_spoof(t);
	for (size_t i = 0; i < fx->policies_gone.n; i++)
		row_gone(t, 'p', fx->policies_gone.p[i]);
	for (size_t i = 0; i < fx->profiles_gone.n; i++)
		row_gone(t, 'r', fx->profiles_gone.p[i]);
	settle_frame(t);
}

void tables_free(struct tables *t)
{
	struct maker_row *row, *next_row;

	if (!t)
		return;
	tables_free_seats(t);
	HASH_ITER (hh, t->rows, row, next_row)
		row_free(t, row);
	for (enum table_id id = 0; id < TABLE_COUNT; id++) {
		struct slot *s, *next;

		HASH_ITER (hh, t->table[id].slot, s, next) {
			HASH_DEL(t->table[id].slot, s);
			tables_body_unref(s->body);
			tables_body_unref(s->told);
			free(s);
		}
		vec_done(&t->table[id].dirty);
	}
	free(t);
}

static void flush_slot(struct slots *table, struct slot *s, enum table_id id,
		       struct table_changes *out, struct table_changes *gone)
{
	s->dirty = false;
	/* What came and went again since the last time is no change. */
	if (s->in && (!s->told || (s->told != s->body && !chain_eq(&s->told->c, &s->body->c))))
		vec_push(out, (struct table_change) { id, s->name, &s->body->c });
	if (!s->in && s->told)
		vec_push(gone, (struct table_change) { id, s->name, NULL });
	if (s->in)
		s->body->refs++;
	tables_body_unref(s->told);
	s->told = s->in ? s->body : NULL;
	if (s->owners || s->jumps || s->root)
		return;
	HASH_DEL(table->slot, s);
	free(s);
}

void tables_flush(struct tables *t, struct table_changes *out)
{
	struct table_changes gone = { 0 };

	for (enum table_id id = 0; id < TABLE_COUNT; id++) {
		struct slots *table = &t->table[id];

		for (size_t i = 0; i < table->dirty.n; i++)
			flush_slot(table, table->dirty.p[i], id, out, &gone);
		vec_clear(&table->dirty);
	}
	for (size_t i = 0; i < gone.n; i++)
		vec_push(out, gone.p[i]);
	vec_done(&gone);
}

const struct chain *tables_find(const struct tables *t, enum table_id table, const char *name)
{
	struct slot *s;

	HASH_FIND_STR(t->table[table].slot, name, s);
	return s && s->in ? &s->body->c : NULL;
}

void tables_each(const struct tables *t, tables_fn *fn, void *arg)
{
	for (enum table_id id = 0; id < TABLE_COUNT; id++)
		for (const struct slot *s = t->table[id].slot; s; s = s->hh.next)
			if (s->in)
				fn(arg, id, &s->body->c);
}
