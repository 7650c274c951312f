/* iptables_run.c - when to read, when to write, what to do when it fails
 *
 *	       need_read                 something to do, and ready
 *	IDLE ------------> SAVING   IDLE -------------------------> RESTORING
 *	  ^  <-- taken in --'  |      ^  <----- in the kernel ------'   |
 *	  '--- wait, longer ---'      '---- read again, wait longer ----'
 *
 * WHY    A failed write says little about what is in the kernel now: tables before the failing one
 *        are in. So everything is read again before the next try.
 *        A chain that the kernel refuses twice must not keep all others out: it is set aside as it
 *        is in the kernel, where the old rules go on enforcing; a new one becomes a single DROP.
 *        Two programs that repair each other's work would eat the machine: repairs are spaced by
 *        50 ms, then twice that, up to half a second.
 * DIFFERS: Felix reads the whole table before every write and again each 180 s, and ends the process
 *        after ten failures. Here the kernel's events say what others changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/iptables_table.h"

enum {
	BACKOFF_MIN_MS = 10,
	BACKOFF_MAX_MS = 10000,
	HELD_MIN_MS = 10000, /* before trying again what the kernel refused */
	HELD_MAX_MS = 300000,
	CALM_MIN_MS = 50,
	CALM_MAX_MS = 500, /* with reading and writing a repair is over within a second */
	CALM_SHARE = 10,   /* of the time at most a tenth is spent on reading after tampering */
	CALM_OVER = 10000, /* quiet for so long: the next repair is immediate again */
	BLOCKED_MS = 5000, /* before looking again at a table that cannot be read */
	LEARN_MS = 5000,   /* at rest, before reading what was written where nobody watches */
	WORDS_MAX = 400,
};

void ipt_report(struct ipt *t, enum ipt_table table, const char *chain, int code, const char *text)
{
	if (t->cfg.report)
		t->cfg.report(t->cfg.arg, table, chain, code, text);
}

static void trouble(struct ipt *t, uint64_t now, int code, const char *text)
{
	t->need_read = true;
	t->backoff_ms = t->backoff_ms ? t->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (t->backoff_ms > BACKOFF_MAX_MS)
		t->backoff_ms = BACKOFF_MAX_MS;
	t->retry_at = now + t->backoff_ms;
	if (!t->in_trouble)
		ipt_report(t, IPT_TABLES_, "", code, text);
	t->in_trouble = true;
}

static void trouble_over(struct ipt *t)
{
	t->backoff_ms = 0;
	t->retry_at = 0;
	if (t->in_trouble)
		ipt_report(t, IPT_TABLES_, "", 0, "iptables works again");
	t->in_trouble = false;
}

/* ---- what there is to do ---- */

static bool hooks_wrong(const struct ipt_tab *tab)
{
	for (int k = 0; k < IPT_HOOKS; k++)
		if (tab->hook[k].wrong)
			return true;
	return false;
}

static bool tab_is_work(const struct ipt_tab *tab)
{
	return hooks_wrong(tab) || tab->d.count[DELTA_SET] || tab->d.count[DELTA_DEL];
}

static bool is_blocked(const struct ipt *t)
{
	for (int i = 0; i < IPT_TABLES_; i++)
		if (t->tab[i].blocked && tab_is_work(&t->tab[i]))
			return true;
	return false;
}

static bool is_work(const struct ipt *t)
{
	for (int i = 0; i < IPT_TABLES_; i++)
		if (!t->tab[i].blocked && tab_is_work(&t->tab[i]))
			return true;
	return false;
}

/* ---- touched by others ---- */

void ipt_doubt(struct ipt *t)
{
	t->touched_all = true;
}

static bool is_hook_of_ours(const struct ipt_hook *h)
{
	return h->want[IPT_FIRST] || h->want[IPT_LAST];
}

void ipt_touched(struct ipt *t, enum ipt_table table, const char *chain)
{
	struct ipt_touch touch = { .table = table };
	int hook;

	if (table >= IPT_TABLES_ || !chain) {
		t->touched_all = true;
		return;
	}
	hook = ipt_hook_find(chain, strlen(chain));
	if (hook >= 0) {
		t->touched_all |= is_hook_of_ours(&t->tab[table].hook[hook]);
		return;
	}
	touch.name = ipt_key_of(chain);
	if (!ipt_name_is_ours(touch.name.s))
		return;
	if (t->touched.n && memcmp(&t->touched.p[t->touched.n - 1], &touch, sizeof(touch)) == 0)
		return;
	if (t->touched.n < IPT_TOUCHED_MAX)
		vec_push(&t->touched, touch);
	else
		t->touched_all = true;
}

void ipt_tampered_note(struct ipt *t, enum ipt_table table, const char *chain)
{
	t->counts.tampered++;
	if (t->tampered.n++)
		return;
	t->tampered.table = table;
	str_copy(t->tampered.chain, sizeof(t->tampered.chain), chain);
}

struct ipt_tampered ipt_tampered_take(struct ipt *t)
{
	struct ipt_tampered tampered = t->tampered;

	t->tampered = (struct ipt_tampered) { 0 };
	return tampered;
}

bool ipt_is_touched(const struct ipt *t)
{
	return t->touched_all || t->touched.n;
}

/* Is there work of ours that needs to know what others did? Rules in the kernel's chains are removed
 * by their text, chains only when nobody refers to them. */
static bool is_work_in_doubt(const struct ipt *t)
{
	for (int i = 0; i < IPT_TABLES_; i++)
		if (hooks_wrong(&t->tab[i]) || t->tab[i].d.count[DELTA_DEL])
			return true;
	return t->touched.n && !t->touched_all && is_work(t);
}

/* Is it time to repair what others touched? */
static bool touch_is_due(struct ipt *t, uint64_t now)
{
	if (!ipt_is_touched(t))
		return false;
	if (now < t->calm_at)
		return is_work_in_doubt(t);
	if (now - t->last_touch > CALM_OVER)
		t->calm_ms = 0;
	t->last_touch = now;
	t->calm_ms = t->calm_ms ? t->calm_ms * 2 : CALM_MIN_MS;
	if (t->calm_ms > CALM_MAX_MS)
		t->calm_ms = CALM_MAX_MS;
	t->calm_at = now + t->calm_ms;
	return true;
}

/* Behind a reading, because a changed rule that kept its comment looks right in it. */
static void touched_apply(struct ipt *t)
{
	vec_foreach (&t->touched, touch) {
		delta_seen(&t->tab[touch->table].d, &touch->name, t->unknown);
		ipt_tampered_note(t, touch->table, touch->name.s);
	}
	vec_clear(&t->touched);
}

/* ---- set aside ---- */

static void held_retry(struct ipt *t)
{
	struct ipt_chain *c, *next;

	for (int i = 0; i < IPT_TABLES_; i++) {
		struct ipt_tab *tab = &t->tab[i];

		delta_release(&tab->d, IPT_HELD_REFUSED);
		delta_release(&tab->d, IPT_HELD_BUSY);
		HASH_ITER (hh, tab->chains, c, next) {
			if (!c->refused)
				continue;
			c->refused = false;
			ipt_chain_place(tab, c);
		}
	}
	t->held_at = 0;
	t->counts.held = 0;
}

static void held_later(struct ipt *t, uint64_t now)
{
	t->held_ms = t->held_ms ? t->held_ms * 2 : HELD_MIN_MS;
	if (t->held_ms > HELD_MAX_MS)
		t->held_ms = HELD_MAX_MS;
	t->held_at = now + t->held_ms;
	t->counts.held++;
}

/* The kernel does not take this chain: leave it as it is there, or put a DROP where nothing is. */
static void chain_refuse(struct ipt *t, const struct ipt_item *it)
{
	struct ipt_tab *tab = &t->tab[it->table];
	uint32_t id = delta_find(&tab->d, &it->name);
	struct ipt_chain *c = ipt_chain_find(tab, &it->name);
	const struct ipt_body *have = id == DELTA_NONE ? NULL : delta_have_of(&tab->d, id);

	if (id == DELTA_NONE)
		return;
	if (it->kind == IPT_ITEM_REMOVE) {
		delta_hold(&tab->d, id, IPT_HELD_BUSY);
	} else if (have && !have->doubt) {
		delta_hold(&tab->d, id, IPT_HELD_REFUSED);
	} else if (c && !c->refused) {
		c->refused = true;
		ipt_chain_place(tab, c);
	}
}

/* ---- failures ---- */

/* The number behind "line " or "line: ", 0: none. */
static unsigned failed_line(const char *err)
{
	const char *p = err;

	while ((p = strstr(p, "line"))) {
		p += 4;
		p += *p == ':';
		p += *p == ' ';
		if (*p >= '0' && *p <= '9')
			return (unsigned)strtoul(p, NULL, 10);
	}
	return 0;
}

static bool jumps_to(const struct ipt_body *b, const char *name, size_t n)
{
	size_t len;

	for (uint32_t i = 0; b && i < b->n; i++) {
		const char *target = ipt_target(b->text + b->at[i], &len);

		if (target && len == n && memcmp(target, name, n) == 0)
			return true;
	}
	return false;
}

/* iptables-nft finds out about a missing target only at COMMIT: "Chain 'x' does not exist". */
static const struct ipt_item *item_by_target(const struct ipt *t, const char *err)
{
	static const char mark[] = "Chain '";
	const char *name = strstr(err, mark), *end;

	if (!name)
		return NULL;
	name += sizeof(mark) - 1;
	end = strchr(name, '\'');
	for (size_t i = 0; end && i < t->items.n; i++)
		if (jumps_to(t->items.p[i].body, name, (size_t)(end - name)))
			return &t->items.p[i];
	return NULL;
}

/* Has the same chain failed the last time as well? Then it is set aside. */
static void blame(struct ipt *t, uint64_t now, const struct ipt_item *it, const char *text)
{
	struct ipt_item culprit = it ? *it : (struct ipt_item) { 0 };
	bool again = it && it->kind != IPT_ITEM_HOOK && t->blamed_table == it->table &&
		     memcmp(&t->blamed, &it->name, sizeof(it->name)) == 0;

	ipt_batch_undo(t);
	t->blamed = culprit.name;
	t->blamed_table = culprit.table;
	if (!again)
		return;
	chain_refuse(t, &culprit);
	ipt_report(t, culprit.table, culprit.name.s, -EINVAL, text);
	held_later(t, now);
	memset(&t->blamed, 0, sizeof(t->blamed));
	t->retry_at = now;
	t->backoff_ms = 0;
}

static void restore_failed(struct ipt *t, uint64_t now, const struct exec_result *r)
{
	struct exec_cmd cmd = { .argv = { t->restore_tool } };
	const struct ipt_item *it = ipt_batch_item(t, failed_line(r->err));
	char text[WORDS_MAX];

	exec_words(&cmd, r, text, sizeof(text));
	t->write_failed = true;
	t->counts.restore_errors++;
	if (!it)
		it = item_by_target(t, r->err);
	trouble(t, now, r->code < 0 ? r->code : -EIO, text);
	blame(t, now, it, text);
}

/* ---- the machine ---- */

static void tell_unreadable(struct ipt *t)
{
	for (int i = 0; i < IPT_TABLES_; i++) {
		struct ipt_tab *tab = &t->tab[i];

		if (tab->unreadable == tab->told)
			continue;
		tab->told = tab->unreadable;
		ipt_report(t, (enum ipt_table)i, "", tab->told ? -EBUSY : 0,
			   !tab->told ? "the table can be read again"
			   : tab->blocked
				   ? "it holds rules made by nft, which iptables-nft cannot "
				     "show, so nothing is written to it: move them to a table "
				     "of their own"
				   : "it holds rules made by nft, which iptables-nft cannot "
				     "show, so changes by others go unseen: move them to a "
				     "table of their own");
	}
}

static void save_done(struct ipt *t, uint64_t now, const struct exec_result *r)
{
	struct exec_cmd cmd = { .argv = { t->save_tool } };
	char text[WORDS_MAX];
	struct err e = { 0 };

	if (r->code != 0) {
		exec_words(&cmd, r, text, sizeof(text));
		t->counts.save_errors++;
		trouble(t, now, r->code < 0 ? r->code : -EIO, text);
		return;
	}
	if (ipt_read(t, r->out, r->out_len, &e) < 0) {
		t->counts.save_errors++;
		trouble(t, now, e.code, e.msg);
		return;
	}
	t->need_read = t->write_failed = false;
	t->learn_at = 0;
	t->was_read = true;
	t->retry_at = 0;
	t->refresh_at = t->cfg.refresh_ms ? now + t->cfg.refresh_ms : 0;
	if (is_blocked(t))
		t->refresh_at = now + BLOCKED_MS;
	if (t->calm_at < now + (uint64_t)r->ms * CALM_SHARE)
		t->calm_at = now + (uint64_t)r->ms * CALM_SHARE;
	tell_unreadable(t);
}

static bool run_save(struct ipt *t, struct exec_cmd *cmd)
{
	*cmd = (struct exec_cmd) { .argv = { t->save_tool } };
	t->state = IPT_SAVING;
	t->counts.saves++;
	return true;
}

void ipt_restore_cmd(const struct ipt *t, struct exec_cmd *cmd)
{
	*cmd = (struct exec_cmd) { .argv = { t->restore_tool, "--noflush",
					     t->cfg.backend == IPT_LEGACY ? t->lock_arg : NULL } };
}

static bool run_restore(struct ipt *t, struct exec_cmd *cmd)
{
	if (!ipt_render(t))
		return false;
	ipt_restore_cmd(t, cmd);
	cmd->in = t->batch.p;
	cmd->in_len = t->batch.len;
	t->state = IPT_RESTORING;
	t->counts.restores++;
	t->counts.lines += t->lines;
	return true;
}

bool ipt_next(struct ipt *t, uint64_t now, struct exec_cmd *cmd)
{
	if (t->state != IPT_IDLE || now < t->retry_at)
		return false;
	if ((t->refresh_at && now >= t->refresh_at) || (t->learn_at && now >= t->learn_at))
		t->need_read = true;
	if (t->held_at && now >= t->held_at)
		held_retry(t);
	if (touch_is_due(t, now)) {
		t->need_read |= t->touched_all;
		t->touched_all = false;
		if (!t->need_read)
			touched_apply(t);
		else
			t->touch_after = true;
	}
	if (t->need_read)
		return run_save(t, cmd);
	if (t->touch_after) {
		t->touch_after = false;
		touched_apply(t);
	}
	if (t->ready && is_work(t))
		return run_restore(t, cmd);
	trouble_over(t);
	return false;
}

static bool batch_has_hooks(const struct ipt *t)
{
	for (size_t i = 0; i < t->items.n; i++)
		if (t->items.p[i].kind == IPT_ITEM_HOOK)
			return true;
	return false;
}

/* How the kernel shows what was written is known when it is read: at once where somebody was seen at
 * it, else in time. In nft that is about the kernel's own chains, which are written once; of a change to
 * one of ours the kernel tells. */
static void written(struct ipt *t, uint64_t now, bool hooks)
{
	t->need_read |= t->learn;
	t->learn = false;
	if (hooks || (t->cfg.backend == IPT_LEGACY && t->cfg.refresh_ms))
		t->learn_at = now + LEARN_MS;
}

void ipt_done(struct ipt *t, uint64_t now, const struct exec_result *r)
{
	enum ipt_state was = t->state;

	t->state = IPT_IDLE;
	if (was == IPT_SAVING) {
		save_done(t, now, r);
	} else if (r->code != 0) {
		restore_failed(t, now, r);
	} else {
		bool hooks = batch_has_hooks(t);

		ipt_batch_done(t);
		written(t, now, hooks);
		memset(&t->blamed, 0, sizeof(t->blamed));
		trouble_over(t);
	}
}

void ipt_not_started(struct ipt *t, uint64_t now, const struct err *why)
{
	if (t->state == IPT_RESTORING) {
		t->write_failed = true;
		ipt_batch_undo(t);
	}
	t->state = IPT_IDLE;
	trouble(t, now, why->code, why->msg);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t ipt_due(const struct ipt *t)
{
	uint64_t due = UINT64_MAX;

	if (t->state != IPT_IDLE)
		return due;
	if (t->need_read || t->touch_after || (t->ready && is_work(t)))
		return t->retry_at;
	if (t->refresh_at)
		due = sooner(due, t->refresh_at);
	if (t->learn_at)
		due = sooner(due, t->learn_at);
	if (t->held_at)
		due = sooner(due, t->held_at);
	if (ipt_is_touched(t))
		due = sooner(due, t->calm_at);
	return due < t->retry_at ? t->retry_at : due;
}

bool ipt_in_sync(const struct ipt *t)
{
	return t->state == IPT_IDLE && t->was_read && !t->need_read && !ipt_is_touched(t) &&
	       !t->touch_after && !is_work(t) && !is_blocked(t);
}

struct ipt_size ipt_size(const struct ipt *t, enum ipt_table table)
{
	const struct delta *d = &t->tab[table].d;
	struct ipt_size size = { 0 };

	for (uint32_t id = DELTA_NONE; (id = delta_next(d, id)) != DELTA_NONE;) {
		const struct ipt_body *have = delta_have_of(d, id);

		size.chains += have != NULL;
		size.rules += have ? have->n : 0;
	}
	return size;
}

struct ipt_counts ipt_counts(const struct ipt *t)
{
	struct ipt_counts c = t->counts;

	c.chains = c.rules = 0;
	for (int i = 0; i < IPT_TABLES_; i++) {
		struct ipt_size size = ipt_size(t, (enum ipt_table)i);

		c.chains += size.chains;
		c.rules += size.rules;
	}
	return c;
}
