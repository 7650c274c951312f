/* ipset_run.c - when to read, when to write, what to do when it fails
 * WHY    "ipset save" of everything fails when somebody else's set is of a revision that the tool
 *        does not know; then names are listed and ours are read one by one.
 *        A failed batch leaves some of its lines done: everything is read again. A set that fails
 *        twice is left alone for a while, so that the others get on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ipset_table.h"

enum {
	BACKOFF_MIN_MS = 10,
	BACKOFF_MAX_MS = 10000,
	HELD_MIN_MS = 1000,
	HELD_MAX_MS = 300000,
	WORDS_MAX = 400,
};

static void report(struct ipsets *s, const char *set, int code, const char *text)
{
	if (s->cfg.report)
		s->cfg.report(s->cfg.arg, set, code, text);
}

static void trouble(struct ipsets *s, uint64_t now, int code, const char *text)
{
	s->need_read = true;
	s->counts.errors++;
	s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (s->backoff_ms > BACKOFF_MAX_MS)
		s->backoff_ms = BACKOFF_MAX_MS;
	s->retry_at = now + s->backoff_ms;
	if (!s->in_trouble)
		report(s, "", code, text);
	s->in_trouble = true;
}

static void trouble_over(struct ipsets *s)
{
	s->backoff_ms = 0;
	s->retry_at = 0;
	if (s->in_trouble)
		report(s, "", 0, "ipset works again");
	s->in_trouble = false;
}

static int code_of(const struct exec_result *r)
{
	return r->code < 0 ? r->code : -EIO;
}

static void tool_failed(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	struct exec_cmd cmd = { .argv = { "ipset" } };
	char text[WORDS_MAX];

	exec_words(&cmd, r, text, sizeof(text));
	trouble(s, now, code_of(r), text);
}

/* ---- reading ---- */

static void read_over(struct ipsets *s, uint64_t now)
{
	ipset_read_end(s);
	s->state = IPSET_IDLE;
	s->need_read = false;
	s->was_read = true;
	s->retry_at = 0;
	s->refresh_at = s->cfg.refresh_ms ? now + s->cfg.refresh_ms : 0;
}

static void take_names(struct ipsets *s, const struct exec_result *r)
{
	CLEANUP(freep) char *text = xstrndup(r->out, r->out_len);
	struct ipset_name name;
	char *save;

	vec_clear(&s->todo);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (iset_name_is_ours(s, l) && str_copy(name.s, sizeof(name.s), l))
			vec_push(&s->todo, name);
}

static void save_done(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	struct err e = { 0 };

	s->state = IPSET_IDLE;
	if (r->code < 0) {
		tool_failed(s, now, r);
		return;
	}
	if (r->code > 0) {
		s->state = IPSET_NAMING;
		return;
	}
	ipset_read_begin(s);
	if (ipset_read_text(s, r->out, r->out_len, &e) < 0)
		trouble(s, now, e.code, e.msg);
	else
		read_over(s, now);
}

static void names_done(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	if (r->code != 0) {
		s->state = IPSET_IDLE;
		tool_failed(s, now, r);
		return;
	}
	take_names(s, r);
	ipset_read_begin(s);
	s->state = IPSET_SAVING_ONE;
	if (!s->todo.n)
		read_over(s, now);
}

static void one_done(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	struct err e = { 0 };

	/* A set that has just gone is no failure. */
	if (r->code < 0 || (r->code > 0 && !strstr(r->err, "does not exist"))) {
		s->state = IPSET_IDLE;
		tool_failed(s, now, r);
		return;
	}
	if (r->code == 0 && ipset_read_text(s, r->out, r->out_len, &e) < 0) {
		s->state = IPSET_IDLE;
		trouble(s, now, e.code, e.msg);
		return;
	}
	s->todo.n--;
	if (!s->todo.n)
		read_over(s, now);
}

/* ---- writing ---- */

/* "ipset v7.17: Error in line 12: ..." */
static struct iset *failed_set(const struct ipsets *s, const char *err)
{
	static const char mark[] = "Error in line ";
	const char *p = strstr(err, mark);
	unsigned long n = p ? strtoul(p + sizeof(mark) - 1, NULL, 10) : 0;

	if (!n || n > s->line_item.n)
		return NULL;
	return s->items.p[s->line_item.p[n - 1]].set;
}

static void hold(struct ipsets *s, struct iset *set, uint64_t now, const char *text)
{
	set->held_ms = set->held_ms ? set->held_ms * 2 : HELD_MIN_MS;
	if (set->held_ms > HELD_MAX_MS)
		set->held_ms = HELD_MAX_MS;
	set->held_until = now + set->held_ms;
	report(s, set->name, -EIO, text);
	s->backoff_ms = 0;
	s->retry_at = now;
}

static void restore_failed(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	struct exec_cmd cmd = { .argv = { "ipset", "restore" } };
	struct iset *set = failed_set(s, r->err);
	char text[WORDS_MAX];
	bool again = set && strcmp(set->name, s->blamed) == 0;

	exec_words(&cmd, r, text, sizeof(text));
	ipset_batch_undo(s);
	trouble(s, now, code_of(r), text);
	s->blamed[0] = 0;
	if (again)
		hold(s, set, now, text);
	else if (set)
		str_copy(s->blamed, sizeof(s->blamed), set->name);
}

static void restore_done(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	s->state = IPSET_IDLE;
	if (r->code != 0) {
		restore_failed(s, now, r);
		return;
	}
	vec_foreach (&s->items, it) {
		if (it->set->held_ms)
			report(s, it->set->name, 0, "the set is right again");
		it->set->held_ms = 0;
		it->set->held_until = 0;
	}
	ipset_batch_done(s);
	s->blamed[0] = 0;
	trouble_over(s);
}

/* ---- the machine ---- */

static bool run_read(struct ipsets *s, struct exec_cmd *cmd)
{
	*cmd = (struct exec_cmd) { .argv = { "ipset", "save" } };
	if (s->state == IPSET_NAMING)
		*cmd = (struct exec_cmd) { .argv = { "ipset", "list", "-name" } };
	else if (s->state == IPSET_SAVING_ONE)
		cmd->argv[2] = s->todo.p[s->todo.n - 1].s;
	else
		s->state = IPSET_SAVING;
	s->running = true;
	s->counts.calls++;
	return true;
}

void ipset_restore_cmd(struct exec_cmd *cmd)
{
	*cmd = (struct exec_cmd) { .argv = { "ipset", "-exist", "restore" } };
}

bool ipset_next(struct ipsets *s, enum ipset_phase phase, uint64_t now, struct exec_cmd *cmd)
{
	if (s->running || now < s->retry_at)
		return false;
	if (s->refresh_at && now >= s->refresh_at)
		s->need_read = true;
	if (s->need_read && phase == IPSET_GROW)
		return run_read(s, cmd);
	if (!s->ready || s->need_read || !ipset_render(s, phase, now))
		return false;
	ipset_restore_cmd(cmd);
	cmd->in = s->batch.p;
	cmd->in_len = s->batch.len;
	s->state = IPSET_RESTORING;
	s->phase = phase;
	s->running = true;
	s->counts.calls++;
	s->counts.lines += s->line_item.n;
	return true;
}

void ipset_done(struct ipsets *s, uint64_t now, const struct exec_result *r)
{
	s->running = false;
	switch (s->state) {
	case IPSET_SAVING:
		save_done(s, now, r);
		break;
	case IPSET_NAMING:
		names_done(s, now, r);
		break;
	case IPSET_SAVING_ONE:
		one_done(s, now, r);
		break;
	case IPSET_RESTORING:
		restore_done(s, now, r);
		break;
	case IPSET_IDLE:
		break;
	}
}

void ipset_not_started(struct ipsets *s, uint64_t now, const struct err *why)
{
	if (s->state == IPSET_RESTORING)
		ipset_batch_undo(s);
	s->running = false;
	s->state = IPSET_IDLE;
	trouble(s, now, why->code, why->msg);
}

bool ipset_settled(const struct ipsets *s, enum ipset_phase phase)
{
	bool writing = s->state == IPSET_RESTORING;

	if (s->need_read || (writing ? s->phase == phase : s->state != IPSET_IDLE))
		return false;
	for (size_t i = 0; i < s->dirty.n; i++)
		if (iset_needs(s->dirty.p[i], phase))
			return false;
	return true;
}

bool ipset_stuck(const struct ipsets *s, uint64_t now)
{
	return s->running || s->need_read || now < s->retry_at;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t ipset_due(const struct ipsets *s, enum ipset_phase upto)
{
	uint64_t due = s->refresh_at ? s->refresh_at : UINT64_MAX;

	if (s->running)
		return UINT64_MAX;
	if (s->need_read)
		return s->retry_at;
	for (size_t i = 0; s->ready && i < s->dirty.n; i++) {
		const struct iset *set = s->dirty.p[i];
		uint64_t at = set->held_until;

		if (!iset_needs(set, IPSET_GROW) &&
		    (upto == IPSET_GROW || !iset_needs(set, IPSET_SHRINK)))
			continue;
		if (!set->wanted)
			at = later(at, s->destroy_at);
		if (at < due)
			due = at;
	}
	return later(due, s->retry_at);
}

void ipset_doubt(struct ipsets *s)
{
	s->need_read = true;
}
