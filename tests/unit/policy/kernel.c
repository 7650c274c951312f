/* kernel.c - as much of iptables and ipset as our rules use */
#include "tests/unit/policy/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/str.h"

enum {
	STEPS_MAX = 20000,
	WORDS_MAX = 250, /* iptables-restore takes 255 */
	SET_ID_IN_NAME = SET_NAME_MAX - 6,
};

static int side(int family)
{
	return family == 6;
}

/* ---- sets ---- */

static struct kset *set_find(const struct kernel *k, const char *id, size_t len)
{
	for (size_t i = 0; i < k->sets.n; i++)
		if (!strncmp(k->sets.p[i].id, id, len) &&
		    (!k->sets.p[i].id[len] || len == SET_ID_IN_NAME))
			return &k->sets.p[i];
	return NULL;
}

static size_t member_find(const struct kset *s, const struct member *m)
{
	size_t i = 0;

	while (i < s->members.n && member_cmp(&s->members.p[i], m))
		i++;
	return i;
}

static void set_add(struct kset *s, const struct member *m)
{
	assert_int_equal(member_find(s, m), s->members.n); /* never told twice */
	assert_int_not_equal(m->net.len, 0);
	vec_push(&s->members, *m);
}

static void set_del(struct kset *s, const struct member *m)
{
	size_t i = member_find(s, m);

	assert_true(i < s->members.n);
	vec_remove_fast(&s->members, i);
}

static bool set_test(const struct kset *s, const struct addr *a, int proto, uint16_t port)
{
	for (size_t i = 0; i < s->members.n; i++) {
		const struct member *m = &s->members.p[i];

		if (prefix_contains(&m->net, a) &&
		    (!s->ports || (m->proto == proto && m->port == port)))
			return true;
	}
	return false;
}

/* ---- chains ---- */

static struct chain *chain_find(const struct kernel *k, int fam, enum table_id t, const char *name)
{
	const struct chains *v = &k->chains[fam][t];

	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(v->p[i].name.text, name))
			return &v->p[i];
	return NULL;
}

static struct chain chain_copy(const struct chain *c)
{
	struct chain copy = { .name = c->name };

	for (size_t i = 0; i < c->n; i++)
		vec_push(&copy, (struct chain_rule) { xstrdup(c->p[i].text),
						      xstrdup(c->p[i].target), c->p[i].is_return });
	return copy;
}

static void put_chain(struct kernel *k, int fam, const struct table_change *c)
{
	struct chain *have = chain_find(k, fam, c->table, c->name.text);
	struct chains *v = &k->chains[fam][c->table];

	if (!c->chain) {
		assert_non_null(have);
		chain_done(have);
		vec_remove_fast(v, (size_t)(have - v->p));
		return;
	}
	assert_string_equal(c->name.text, c->chain->name.text);
	if (have) {
		assert_false(chain_eq(have, c->chain)); /* nothing is written in vain */
		chain_done(have);
		*have = chain_copy(c->chain);
	} else {
		vec_push(v, chain_copy(c->chain));
	}
}

/* The id in "cali40s:..." and its length. */
static const char *set_id(const char *name, size_t *len)
{
	*len = strcspn(name, " ") - 6;
	return name + 6;
}

static void check_rule(const struct kernel *k, int fam, enum table_id t, const struct chain_rule *r)
{
	const char *at = r->text;

	if (r->target && !chain_find(k, fam, t, r->target))
		fail_msg("%s: no chain %s", r->text, r->target);
	while ((at = strstr(at, "--match-set "))) {
		size_t len;
		const char *id;

		at += strlen("--match-set ");
		id = set_id(at, &len);
		if (!set_find(k, id, len))
			fail_msg("%s: no such set", r->text);
	}
}

/* Every jump goes somewhere, every set is there. */
static void check(const struct kernel *k)
{
	for (int fam = 0; fam < 2; fam++)
		for (enum table_id t = 0; t < TABLE_COUNT; t++)
			for (size_t i = 0; i < k->chains[fam][t].n; i++)
				for (size_t r = 0; r < k->chains[fam][t].p[i].n; r++)
					check_rule(k, fam, t, &k->chains[fam][t].p[i].p[r]);
}

static void flush_tables(struct kernel *k, int fam)
{
	struct table_changes changes = { 0 };

	tables_flush(k->tables[fam], &changes);
	for (size_t i = 0; i < changes.n; i++)
		put_chain(k, fam, &changes.p[i]);
	vec_done(&changes);
}

void kernel_init(struct kernel *k, const struct host_interface *ifs, size_t n, bool share)
{
	memset(k, 0, sizeof(*k));
	for (int fam = 0; fam < 2; fam++) {
		struct render_config cfg = render_config_default(fam ? IP_V6 : IP_V4);

		cfg.share_endpoints = share;
		cfg.to_host = "ACCEPT";
		cfg.n_failsafe_in = cfg.n_failsafe_out = 0;
		k->tables[fam] = tables_new(&cfg);
		tables_interfaces(k->tables[fam], ifs, n);
		flush_tables(k, fam);
	}
}

void kernel_done(struct kernel *k)
{
	for (size_t i = 0; i < k->sets.n; i++) {
		free(k->sets.p[i].id);
		vec_done(&k->sets.p[i].members);
	}
	vec_done(&k->sets);
	for (int fam = 0; fam < 2; fam++) {
		tables_free(k->tables[fam]);
		for (enum table_id t = 0; t < TABLE_COUNT; t++)
			chains_done(&k->chains[fam][t]);
	}
}

static void grow_sets(struct kernel *k, const struct calc_effects *fx)
{
	for (size_t i = 0; i < fx->sets.n; i++) {
		const struct calc_set *s = &fx->sets.p[i];
		struct kset *have = set_find(k, s->def->id, strlen(s->def->id));

		assert_int_equal(have == NULL, s->created);
		if (!have) {
			vec_push(&k->sets, (struct kset) { .id = xstrdup(s->def->id),
							   .ports = setdef_has_ports(s->def) });
			have = &k->sets.p[k->sets.n - 1];
		}
		for (size_t j = 0; j < s->added.n; j++)
			set_add(have, &s->added.p[j]);
	}
}

static void shrink_sets(struct kernel *k, const struct calc_effects *fx)
{
	for (size_t i = 0; i < fx->sets.n; i++) {
		const struct calc_set *s = &fx->sets.p[i];

		for (size_t j = 0; j < s->gone.n; j++)
			set_del(set_find(k, s->def->id, strlen(s->def->id)), &s->gone.p[j]);
	}
	for (size_t i = 0; i < fx->sets_gone.n; i++) {
		struct kset *s =
			set_find(k, fx->sets_gone.p[i]->id, strlen(fx->sets_gone.p[i]->id));

		assert_non_null(s);
		free(s->id);
		vec_done(&s->members);
		vec_remove_fast(&k->sets, (size_t)(s - k->sets.p));
	}
}

void kernel_apply(struct kernel *k, const struct calc_effects *fx)
{
	grow_sets(k, fx);
	for (int fam = 0; fam < 2; fam++) {
		tables_take(k->tables[fam], fx);
		flush_tables(k, fam);
	}
	check(k);
	shrink_sets(k, fx);
	check(k);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *set_line(const struct kset *s)
{
	struct str line = { 0 };
	char text[MEMBER_STR_MAX];
	VEC(char *) members = { 0 };

	for (size_t i = 0; i < s->members.n; i++)
		vec_push(&members, xstrdup(member_format(&s->members.p[i], text)));
	if (members.n)
		qsort(members.p, members.n, sizeof(*members.p), by_text);
	str_addf(&line, "%s:", s->id);
	vec_foreach (&members, m) {
		str_addf(&line, " %s", *m);
		free(*m);
	}
	vec_done(&members);
	return str_take(&line);
}

static char *chain_text(int fam, enum table_id t, const struct chain *c)
{
	struct str s = { 0 };

	str_addf(&s, "%d %s %s", fam, table_name(t), c->name.text);
	for (size_t i = 0; i < c->n; i++)
		str_addf(&s, "\n  %s", c->p[i].text);
	return str_take(&s);
}

char *kernel_dump(const struct kernel *k)
{
	VEC(char *) lines = { 0 };
	struct str out = { 0 };

	for (size_t i = 0; i < k->sets.n; i++)
		vec_push(&lines, set_line(&k->sets.p[i]));
	for (int fam = 0; fam < 2; fam++)
		for (enum table_id t = 0; t < TABLE_COUNT; t++)
			for (size_t i = 0; i < k->chains[fam][t].n; i++)
				vec_push(&lines, chain_text(fam, t, &k->chains[fam][t].p[i]));
	if (lines.n)
		qsort(lines.p, lines.n, sizeof(*lines.p), by_text);
	vec_foreach (&lines, line) {
		str_addf(&out, "%s\n", *line);
		free(*line);
	}
	vec_done(&lines);
	return str_take(&out);
}

/* ---- packets ---- */

/* The words of a rule. */
struct words {
	char text[4096];
	char *w[WORDS_MAX];
	int n, at;
};

static void split(struct words *ws, const char *rule)
{
	char *p = ws->text;

	ws->n = ws->at = 0;
	assert_true(str_copy(ws->text, sizeof(ws->text), rule));
	while (*p) {
		bool quoted = *p == '"';

		assert_true(ws->n < WORDS_MAX - 1);
		ws->w[ws->n++] = p + quoted;
		p += quoted;
		p += strcspn(p, quoted ? "\"" : " ");
		if (*p)
			*p++ = '\0';
		if (quoted && *p == ' ')
			p++;
	}
	ws->w[ws->n] = NULL;
}

static const char *word(struct words *ws)
{
	assert_true(ws->at < ws->n);
	return ws->w[ws->at++];
}

static bool take(struct words *ws, const char *what)
{
	if (ws->at >= ws->n || strcmp(ws->w[ws->at], what))
		return false;
	ws->at++;
	return true;
}

static int proto_number(const char *s)
{
	static const struct {
		const char *name;
		int n;
	} known[] = { { "tcp", 6 },	{ "udp", 17 },	 { "icmp", 1 },
		      { "icmpv6", 58 }, { "sctp", 132 }, { "udplite", 136 } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strcmp(s, known[i].name))
			return known[i].n;
	return atoi(s);
}

static bool has_ports(int proto)
{
	return proto == 6 || proto == 17 || proto == 132 || proto == 136;
}

static bool match_ports(struct words *ws, const struct jpacket *p)
{
	bool negated = take(ws, "!"), src = take(ws, "--source-ports"), found = false;
	uint16_t port = src ? p->sport : p->dport;
	int slots = 0;
	char *list, *one, *save = NULL;

	if (!src)
		assert_true(take(ws, "--destination-ports"));
	list = ws->w[ws->at++];
	for (one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		char *colon = strchr(one, ':');
		int first = atoi(one), last = colon ? atoi(colon + 1) : first;

		slots += colon ? 2 : 1;
		found = found || (port >= first && port <= last);
	}
	assert_true(slots <= 15);
	assert_true(has_ports(p->proto)); /* the kernel wants -p before it */
	return found != negated;
}

static bool match_set(const struct kernel *k, struct words *ws, const struct jpacket *p)
{
	bool negated = take(ws, "!"), src;
	const struct kset *s;
	const char *id, *way;
	size_t len;

	assert_true(take(ws, "--match-set"));
	id = set_id(word(ws), &len);
	s = set_find(k, id, len);
	way = word(ws);
	src = *way == 's';
	assert_non_null(s);
	assert_string_equal(way, s->ports ? (src ? "src,src" : "dst,dst") : src ? "src" : "dst");
	return set_test(s, src ? &p->src : &p->dst, p->proto, src ? p->sport : p->dport) != negated;
}

static bool match_mark(struct words *ws, uint32_t mark)
{
	bool negated = take(ws, "!");
	char *end;
	uint32_t value, mask;

	assert_true(take(ws, "--mark"));
	value = (uint32_t)strtoul(word(ws), &end, 0);
	mask = (uint32_t)strtoul(end + 1, NULL, 0);
	return ((mark & mask) == value) != negated;
}

static bool match_icmp(struct words *ws, const struct jpacket *p)
{
	bool negated = take(ws, "!");
	char *end;
	long type, code = -1;

	word(ws);
	type = strtol(word(ws), &end, 10);
	if (*end == '/')
		code = strtol(end + 1, NULL, 10);
	return (p->icmp_type == type && (code < 0 || p->icmp_code == code)) != negated;
}

/* All packets here are the first of their connection, and nobody's address was translated. */
static bool match_state(struct words *ws)
{
	bool negated = take(ws, "!");

	word(ws);
	word(ws);
	return negated;
}

static bool match_module(const struct kernel *k, struct words *ws, const struct ktransit *t)
{
	const char *m = word(ws);

	if (!strcmp(m, "comment")) {
		word(ws);
		word(ws);
		return true;
	}
	if (!strcmp(m, "multiport"))
		return match_ports(ws, t->packet);
	if (!strcmp(m, "set"))
		return match_set(k, ws, t->packet);
	if (!strcmp(m, "mark"))
		return match_mark(ws, t->mark);
	if (!strcmp(m, "icmp") || !strcmp(m, "icmp6"))
		return match_icmp(ws, t->packet);
	if (!strcmp(m, "conntrack"))
		return match_state(ws);
	if (!strcmp(m, "rpfilter")) { /* nobody spoofs */
		ws->at = ws->n - 2;
		return false;
	}
	fail_msg("match %s", m);
	return false;
}

static bool match_interface(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (!name)
		return false;
	return pattern[n - 1] == '+' ? !strncmp(pattern, name, n - 1) : !strcmp(pattern, name);
}

static bool match_net(const char *text, const struct addr *a)
{
	struct prefix p;

	assert_true(prefix_parse_strict(text, &p));
	assert_int_equal(p.addr.family, a->family);
	return prefix_contains(&p, a);
}

/* Reads up to the action. */
static bool matches(const struct kernel *k, struct words *ws, const struct ktransit *t)
{
	int protos = 0;

	while (ws->at < ws->n) {
		bool negated = take(ws, "!"), ok = false;
		const char *w = ws->w[ws->at];

		if (!strcmp(w, "--jump") || !strcmp(w, "--goto"))
			return true;
		ws->at++;
		if (!strcmp(w, "-p")) {
			ok = proto_number(word(ws)) == t->packet->proto;
			assert_int_equal(++protos, 1); /* iptables takes no more */
		} else if (!strcmp(w, "--source"))
			ok = match_net(word(ws), &t->packet->src);
		else if (!strcmp(w, "--destination"))
			ok = match_net(word(ws), &t->packet->dst);
		else if (!strcmp(w, "--in-interface"))
			ok = match_interface(word(ws), t->in);
		else if (!strcmp(w, "--out-interface"))
			ok = match_interface(word(ws), t->out);
		else if (!strcmp(w, "-m"))
			ok = match_module(k, ws, t);
		else
			fail_msg("word %s", w);
		if (ok == negated)
			return false;
	}
	return true;
}

enum fate { GO_ON, RETURNED, ACCEPTED, DROPPED };

static enum fate run_chain(const struct kernel *k, int fam, enum table_id table,
			   const struct chain *c, struct ktransit *t);

static void set_mark(struct words *ws, struct ktransit *t)
{
	char *end;
	uint32_t value, mask;

	assert_true(take(ws, "--set-mark"));
	value = (uint32_t)strtoul(word(ws), &end, 0);
	mask = (uint32_t)strtoul(end + 1, NULL, 0);
	t->mark = (t->mark & ~mask) ^ value;
}

static enum fate act(const struct kernel *k, int fam, enum table_id table, struct words *ws,
		     struct ktransit *t, bool *gone)
{
	const char *how = word(ws), *what = word(ws);
	enum fate f;

	*gone = !strcmp(how, "--goto");
	if (!strcmp(what, "ACCEPT"))
		return ACCEPTED;
	if (!strcmp(what, "DROP"))
		return DROPPED;
	if (!strcmp(what, "RETURN"))
		return RETURNED;
	if (!strcmp(what, "LOG") || !strcmp(what, "NOTRACK"))
		return GO_ON;
	if (!strcmp(what, "MARK")) {
		set_mark(ws, t);
		return GO_ON;
	}
	f = run_chain(k, fam, table, chain_find(k, fam, table, what), t);
	return f == RETURNED ? GO_ON : f;
}

static enum fate run_rule(const struct kernel *k, int fam, enum table_id table, const char *text,
			  struct ktransit *t)
{
	struct words ws;
	enum fate f;
	bool gone = false;

	assert_true(++t->steps < STEPS_MAX);
	split(&ws, text);
	if (!matches(k, &ws, t) || ws.at == ws.n)
		return GO_ON;
	f = act(k, fam, table, &ws, t, &gone);
	return f == GO_ON && gone ? RETURNED : f;
}

static enum fate run_chain(const struct kernel *k, int fam, enum table_id table,
			   const struct chain *c, struct ktransit *t)
{
	assert_non_null(c);
	for (size_t i = 0; i < c->n; i++) {
		enum fate f = run_rule(k, fam, table, c->p[i].text, t);

		if (f != GO_ON)
			return f;
	}
	return RETURNED;
}

bool kernel_hook(const struct kernel *k, enum table_id table, const char *hook, struct ktransit *t)
{
	int fam = side(t->packet->src.family);
	CLEANUP(freep) char *name = xasprintf("cali-%s", hook);
	const struct chain *c = chain_find(k, fam, table, name);

	return !c || run_chain(k, fam, table, c, t) != DROPPED;
}
