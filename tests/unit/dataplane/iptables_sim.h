/* iptables_sim.h - a naive kernel: tables of chains of rules as text, that reads what iptables-restore
 * reads and prints what iptables-save prints. Simple and slow, on purpose. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/iptables.h"
#include "lib/str.h"
#include "lib/vec.h"

struct sim_chain {
	char name[64];
	VEC(char *) rules;
};

struct sim_table {
	VEC(struct sim_chain) chains;
};

struct sim {
	struct sim_table table[IPT_TABLES_];
	unsigned line; /* of the last failure */
};

static const char *const sim_builtin[] = { "PREROUTING", "INPUT", "FORWARD", "OUTPUT",
					   "POSTROUTING" };

static struct sim_chain *sim_find(struct sim_table *t, const char *name)
{
	vec_foreach (&t->chains, c)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static struct sim_chain *sim_make(struct sim_table *t, const char *name)
{
	struct sim_chain c = { 0 };

	str_copy(c.name, sizeof(c.name), name);
	vec_push(&t->chains, c);
	return &t->chains.p[t->chains.n - 1];
}

static void sim_flush(struct sim_chain *c)
{
	vec_foreach (&c->rules, r)
		free(*r);
	vec_clear(&c->rules);
}

static void sim_insert(struct sim_chain *c, size_t at, const char *text)
{
	vec_push(&c->rules, NULL);
	memmove(c->rules.p + at + 1, c->rules.p + at, (c->rules.n - 1 - at) * sizeof(char *));
	c->rules.p[at] = xstrdup(text);
}

static void sim_init(struct sim *s)
{
	*s = (struct sim) { 0 };
	for (int i = 0; i < IPT_TABLES_; i++)
		for (size_t k = 0; k < ARRAY_SIZE(sim_builtin); k++)
			sim_make(&s->table[i], sim_builtin[k]);
}

static void sim_table_done(struct sim_table *t)
{
	vec_foreach (&t->chains, c) {
		sim_flush(c);
		vec_done(&c->rules);
	}
	vec_done(&t->chains);
}

static void sim_done(struct sim *s)
{
	for (int i = 0; i < IPT_TABLES_; i++)
		sim_table_done(&s->table[i]);
}

static struct sim_table sim_copy(struct sim_table *t)
{
	struct sim_table out = { 0 };

	vec_foreach (&t->chains, c) {
		struct sim_chain *n = sim_make(&out, c->name);

		vec_foreach (&c->rules, r)
			sim_insert(n, n->rules.n, *r);
	}
	return out;
}

static bool sim_is_builtin(const char *name)
{
	for (size_t k = 0; k < ARRAY_SIZE(sim_builtin); k++)
		if (strcmp(sim_builtin[k], name) == 0)
			return true;
	return false;
}

static const char *sim_target(const char *rule)
{
	const char *p = strstr(rule, "--jump ");

	return p ? p + 7 : NULL;
}

static bool sim_is_referenced(struct sim_table *t, const char *name)
{
	vec_foreach (&t->chains, c)
		vec_foreach (&c->rules, r)
			if (sim_target(*r) && strcmp(sim_target(*r), name) == 0)
				return true;
	return false;
}

/* One line of iptables-restore; false: it fails. */
static bool sim_line(struct sim_table *t, char *l)
{
	char *save, *op, *name, *rest;
	struct sim_chain *c;
	unsigned long n;

	if (l[0] == ':') {
		name = strtok_r(l + 1, " ", &save);
		c = sim_find(t, name);
		if (c)
			sim_flush(c);
		else
			sim_make(t, name);
		return true;
	}
	op = strtok_r(l, " ", &save);
	name = strtok_r(NULL, " ", &save);
	rest = save ? save : l + strlen(l);
	c = sim_find(t, name);
	if (!c)
		return false;
	n = strtoul(rest, NULL, 10);
	if (strcmp(op, "-A") == 0) {
		sim_insert(c, c->rules.n, rest);
	} else if (strcmp(op, "-I") == 0) {
		sim_insert(c, 0, rest);
	} else if (strcmp(op, "-R") == 0) {
		if (!n || n > c->rules.n)
			return false;
		free(c->rules.p[n - 1]);
		c->rules.p[n - 1] = xstrdup(strchr(rest, ' ') + 1);
	} else if (strcmp(op, "-D") == 0 && n) {
		if (n > c->rules.n)
			return false;
		free(c->rules.p[n - 1]);
		vec_remove(&c->rules, n - 1);
	} else if (strcmp(op, "-D") == 0) {
		for (size_t i = 0; i < c->rules.n; i++) {
			if (strcmp(c->rules.p[i], rest) != 0)
				continue;
			free(c->rules.p[i]);
			vec_remove(&c->rules, i);
			return true;
		}
		return false;
	} else if (strcmp(op, "-X") == 0) {
		if (sim_is_builtin(name) || c->rules.n || sim_is_referenced(t, name))
			return false;
		vec_done(&c->rules);
		vec_remove(&t->chains, (size_t)(c - t->chains.p));
	} else {
		return false;
	}
	return true;
}

/* Do all targets exist? */
static bool sim_is_whole(struct sim_table *t)
{
	vec_foreach (&t->chains, c) {
		vec_foreach (&c->rules, r) {
			const char *target = sim_target(*r);

			if (target && strncmp(target, "cali-", 5) == 0 && !sim_find(t, target))
				return false;
			if (strstr(*r, "refused"))
				return false;
		}
	}
	return true;
}

/* Run a batch, table by table; false: it stopped at s->line. fail_table: the kernel fails at the end
 * of this one (counted from 1). */
static bool sim_restore(struct sim *s, const char *in, size_t len, int fail_table)
{
	CLEANUP(freep) char *text = xstrndup(in, len);
	struct sim_table work = { 0 };
	enum ipt_table table = IPT_TABLES_;
	int nth = 0;
	char *save;

	s->line = 0;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		s->line++;
		if (l[0] == '*') {
			table = ipt_table_of(l + 1);
			work = sim_copy(&s->table[table]);
		} else if (strcmp(l, "COMMIT") == 0) {
			if (++nth == fail_table || !sim_is_whole(&work)) {
				sim_table_done(&work);
				return false;
			}
			sim_table_done(&s->table[table]);
			s->table[table] = work;
			memset(&work, 0, sizeof(work));
		} else if (strstr(l, "refused") || !sim_line(&work, l)) {
			sim_table_done(&work);
			return false;
		}
	}
	return true;
}

static void sim_save(struct sim *s, struct str *out)
{
	str_cut(out, 0);
	for (int i = 0; i < IPT_TABLES_; i++) {
		str_addf(out, "# Generated by a simulation\n*%s\n",
			 ipt_table_name((enum ipt_table)i));
		vec_foreach (&s->table[i].chains, c)
			str_addf(out, ":%s %s [0:0]\n", c->name,
				 sim_is_builtin(c->name) ? "ACCEPT" : "-");
		vec_foreach (&s->table[i].chains, c)
			vec_foreach (&c->rules, r)
				str_addf(out, "-A %s %s\n", c->name, *r);
		str_add(out, "COMMIT\n");
	}
}
