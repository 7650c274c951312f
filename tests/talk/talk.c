/* talk.c - conversations with a speaker, read from files of one sentence a line
 *
 * WHY    A protocol bug arrives as a ten-line file that a person can write from a packet capture.
 * SHAPE  Every *.talk file beside this one is a test of its own, on virtual time. See README.md here
 *        for the words. After each line the speaker has done all it can without time passing. */
#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bgp/attr.h"
#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/open.h"
#include "bgp/speaker.h"
#include "bgp/update.h"
#include "lib/vec.h"

enum { PEERS = 8, WORDS = 64, FIB = 64, FILES = 64 };

struct socket {
	uint64_t id; /* 0: none */
	bool dialled, closed;
	VEC(uint8_t) out; /* what the speaker has said */
	size_t heard;	  /* of it, how much was expected already */
};

struct player {
	char name[16];
	struct bgp_peer_config config;
	struct socket in, out, *use;
};

struct talk {
	const char *file;
	unsigned line;
	char words_of[512];
	char *word[WORDS];
	unsigned n, at;
	struct bgp_speaker *sp;
	struct bgp_global global;
	struct player player[PEERS];
	unsigned players;
	struct bgp_fib_change fib[FIB];
	unsigned fibs;
	uint64_t next_conn;
	int64_t now;
};

static void bad(const struct talk *t, const char *fmt, ...) PRINTF(2, 3);

static void bad(const struct talk *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail_msg("%s:%u: %s", t->file, t->line, text);
}

/* ---- words ---- */

static const char *next(struct talk *t)
{
	if (t->at >= t->n)
		bad(t, "the line ends too early");
	return t->word[t->at++];
}

static bool take(struct talk *t, const char *word)
{
	if (t->at >= t->n || strcmp(t->word[t->at], word) != 0)
		return false;
	t->at++;
	return true;
}

static uint32_t number(struct talk *t)
{
	uint64_t v;
	const char *w = next(t);

	if (!parse_u64(w, UINT32_MAX, &v))
		bad(t, "\"%s\" is not a number", w);
	return (uint32_t)v;
}

static struct addr address(struct talk *t)
{
	struct addr a;
	const char *w = next(t);

	if (!addr_parse(w, &a))
		bad(t, "\"%s\" is not an address", w);
	return a;
}

static struct prefix prefix(struct talk *t)
{
	struct prefix p;
	const char *w = next(t);

	if (!prefix_parse_strict(w, &p))
		bad(t, "\"%s\" is not a prefix", w);
	return p;
}

static size_t hex(struct talk *t, uint8_t *out, size_t size)
{
	const char *w = next(t);
	size_t n = 0;
	unsigned v;

	for (; w[0] && w[1] && n < size; w += 2) {
		if (sscanf(w, "%2x", &v) != 1)
			bad(t, "not hex: %s", w);
		out[n++] = (uint8_t)v;
	}
	return n;
}

/* ---- the world around the speaker ---- */

static struct player *player_of(struct talk *t, const char *name)
{
	for (unsigned i = 0; i < t->players; i++)
		if (!strcmp(t->player[i].name, name))
			return &t->player[i];
	return NULL;
}

static struct socket *socket_of(struct talk *t, uint64_t id)
{
	for (unsigned i = 0; i < t->players; i++) {
		if (t->player[i].in.id == id)
			return &t->player[i].in;
		if (t->player[i].out.id == id)
			return &t->player[i].out;
	}
	return NULL;
}

static void listen_to(struct talk *t, struct socket *s)
{
	const uint8_t *p;
	size_t len;

	if (!s->id || s->closed || s->dialled)
		return;
	while ((p = bgp_speaker_output(t->sp, s->id, &len, t->now))) {
		for (size_t i = 0; i < len; i++)
			vec_push(&s->out, p[i]);
		bgp_speaker_written(t->sp, s->id, len, t->now);
	}
}

static void effect(struct talk *t, const struct bgp_effect *e)
{
	struct socket *s;

	if (e->type == BGP_EFFECT_CONNECT) {
		for (unsigned i = 0; i < t->players; i++) {
			if (!addr_eq(&t->player[i].config.addr, &e->peer->addr))
				continue;
			vec_done(&t->player[i].out.out);
			t->player[i].out = (struct socket) { .id = e->conn, .dialled = true };
		}
	}
	s = socket_of(t, e->conn);
	if (e->type != BGP_EFFECT_CLOSE || !s)
		return;
	listen_to(t, s);
	s->closed = true;
	bgp_speaker_closed(t->sp, e->conn, "closed", t->now);
}

static void note_fib(struct talk *t, const struct bgp_fib_change *c)
{
	unsigned i = 0;

	while (i < t->fibs && !prefix_eq(&t->fib[i].prefix, &c->prefix))
		i++;
	if (i == FIB)
		bad(t, "more than %u prefixes in the FIB", FIB);
	t->fib[i] = *c;
	t->fibs += i == t->fibs;
}

/* Everything that happens without time. */
static void settle(struct talk *t)
{
	struct bgp_fib_change c;
	struct bgp_effect e;
	bool more = true;

	while (more) {
		more = bgp_speaker_run(t->sp, 1000, t->now);
		while (bgp_speaker_next_effect(t->sp, &e)) {
			effect(t, &e);
			more = true;
		}
		for (unsigned i = 0; i < t->players; i++) {
			listen_to(t, &t->player[i].in);
			listen_to(t, &t->player[i].out);
		}
	}
	while (bgp_speaker_next_fib_change(t->sp, &c))
		note_fib(t, &c);
}

static void let_pass(struct talk *t, int64_t ms)
{
	int64_t until = t->now + ms;

	while (bgp_speaker_deadline(t->sp) <= until) {
		if (bgp_speaker_deadline(t->sp) > t->now)
			t->now = bgp_speaker_deadline(t->sp);
		bgp_speaker_tick(t->sp, t->now);
		settle(t);
	}
	t->now = until;
}

/* ---- what a peer says ---- */

static void say(struct talk *t, struct player *pl, const uint8_t *p, size_t n)
{
	uint8_t *copy = xmemdup(p, n);

	if (!pl->use || !pl->use->id)
		bad(t, "%s has no connection", pl->name);
	bgp_speaker_received(t->sp, pl->use->id, copy, n, t->now);
	free(copy);
}

static size_t open_make(struct talk *t, const struct player *pl, uint8_t *buf, size_t size)
{
	struct bgp_open o = { .version = 4, .as = pl->config.remote_as, .hold_s = 90 };
	struct wr w = wr_init(buf, size);

	o.id = addr_to_v4(&pl->config.addr);
	o.caps.families = 1u << BGP_AF_IPV4_UNICAST;
	o.caps.refresh = o.caps.as4 = true;
	while (t->at < t->n) {
		struct addr id;

		if (take(t, "as")) {
			o.as = number(t);
		} else if (take(t, "hold")) {
			o.hold_s = (uint16_t)number(t);
		} else if (take(t, "id")) {
			id = address(t);
			o.id = addr_to_v4(&id);
		} else if (take(t, "gr")) {
			o.caps.gr.present = true;
			o.caps.gr.time_s = (uint16_t)number(t);
			o.caps.gr.families = o.caps.gr.forwarding = o.caps.families;
		} else {
			bad(t, "an OPEN has as, hold, id, gr, not \"%s\"", t->word[t->at]);
		}
	}
	o.caps.as4_number = o.as;
	bgp_open_encode(&w, &o);
	return wr_len(&w);
}

static size_t path_make(struct talk *t, uint8_t *path)
{
	char list[256], *save = NULL;
	uint8_t n = 0;

	snprintf(list, sizeof(list), "%s", next(t));
	for (char *as = strtok_r(list, ",", &save); as; as = strtok_r(NULL, ",", &save))
		put_u32(path + 2 + 4 * n++, (uint32_t)strtoul(as, NULL, 10));
	path[0] = 2;
	path[1] = n;
	return 2 + 4u * n;
}

/* The three fields of an UPDATE, as bytes. */
struct body {
	struct wr withdrawn, nlri, extra;
	uint8_t buf[3][1024];
	uint8_t path[128];
	size_t path_len;
	struct addr next_hop;
	uint8_t origin;
};

static void body_words(struct talk *t, const struct player *pl, struct body *b)
{
	put_u32(b->path + 2, pl->config.remote_as);
	b->path[0] = 2;
	b->path[1] = 1;
	b->path_len = 6;
	b->next_hop = pl->config.addr;
	while (t->at < t->n) {
		struct wr *to = NULL;
		struct prefix p;

		if (take(t, "nlri"))
			to = &b->nlri;
		else if (take(t, "withdraw"))
			to = &b->withdrawn;
		else if (take(t, "as-path"))
			b->path_len = path_make(t, b->path);
		else if (take(t, "next-hop"))
			b->next_hop = address(t);
		else if (take(t, "origin"))
			b->origin = (uint8_t)number(t);
		else if (take(t, "attr"))
			b->extra.p += hex(t, b->extra.p, wr_left(&b->extra));
		else
			bad(t,
			    "an UPDATE has nlri, withdraw, as-path, next-hop, origin, attr, not "
			    "\"%s\"",
			    t->word[t->at]);
		if (!to)
			continue;
		p = prefix(t);
		to->p += bgp_nlri_put(to->p, &p, false, 0);
	}
}

static size_t update_make(struct talk *t, const struct player *pl, uint8_t *buf, size_t size)
{
	struct body b = { .origin = 0 };
	struct wr w = wr_init(buf, size);
	size_t begin = bgp_msg_begin(&w, BGP_MSG_UPDATE);
	size_t attrs;

	b.withdrawn = wr_init(b.buf[0], sizeof(b.buf[0]));
	b.nlri = wr_init(b.buf[1], sizeof(b.buf[1]));
	b.extra = wr_init(b.buf[2], sizeof(b.buf[2]));
	body_words(t, pl, &b);
	attrs = wr_len(&b.nlri) ? 4 + 3 + b.path_len + 7 + wr_len(&b.extra) : wr_len(&b.extra);
	wr_u16(&w, (uint16_t)wr_len(&b.withdrawn));
	wr_bytes(&w, b.buf[0], wr_len(&b.withdrawn));
	wr_u16(&w, (uint16_t)attrs);
	if (wr_len(&b.nlri)) {
		const uint8_t origin[] = { 0x40, 1, 1, b.origin };
		const uint8_t path[] = { 0x40, 2, (uint8_t)b.path_len }, nh[] = { 0x40, 3, 4 };

		wr_bytes(&w, origin, sizeof(origin));
		wr_bytes(&w, path, sizeof(path));
		wr_bytes(&w, b.path, b.path_len);
		wr_bytes(&w, nh, sizeof(nh));
		wr_bytes(&w, b.next_hop.b, 4);
	}
	wr_bytes(&w, b.buf[2], wr_len(&b.extra));
	wr_bytes(&w, b.buf[1], wr_len(&b.nlri));
	bgp_msg_end(&w, begin);
	return wr_len(&w);
}

static struct bgp_notification notification(struct talk *t)
{
	unsigned code, subcode;
	const char *w = next(t);

	if (sscanf(w, "%u/%u", &code, &subcode) != 2)
		bad(t, "\"%s\" is not CODE/SUBCODE", w);
	return bgp_notification((uint8_t)code, (uint8_t)subcode, NULL, 0);
}

static void do_rx(struct talk *t, struct player *pl)
{
	uint8_t buf[BGP_MSG_MAX];
	struct wr w = wr_init(buf, sizeof(buf));
	struct bgp_notification n;
	size_t len = 0;

	if (take(t, "open")) {
		len = open_make(t, pl, buf, sizeof(buf));
	} else if (take(t, "update")) {
		len = update_make(t, pl, buf, sizeof(buf));
	} else if (take(t, "keepalive")) {
		bgp_msg_keepalive(&w);
	} else if (take(t, "notification")) {
		n = notification(t);
		bgp_msg_notification(&w, &n);
	} else if (take(t, "refresh")) {
		bgp_msg_refresh(&w, BGP_AF_IPV4_UNICAST, 0);
	} else if (take(t, "eor")) {
		len = bgp_pack_end_of_rib(BGP_AF_IPV4_UNICAST, buf, sizeof(buf));
	} else if (take(t, "raw")) {
		len = hex(t, buf, sizeof(buf));
	} else {
		bad(t, "rx open, update, keepalive, notification, refresh, eor or raw");
	}
	say(t, pl, buf, len ? len : wr_len(&w));
}

/* ---- what is expected ---- */

/* The next message that the speaker has said on this connection; type 0: none. */
static struct bgp_msg hear(struct talk *t, struct player *pl)
{
	struct bgp_notification n;
	struct bgp_msg m = { 0 };
	char text[BGP_TEXT_MAX];
	ssize_t used;

	if (!pl->use)
		bad(t, "%s has no connection", pl->name);
	if (pl->use->heard == pl->use->out.n)
		return m;
	used = bgp_msg_next(pl->use->out.p + pl->use->heard, pl->use->out.n - pl->use->heard,
			    BGP_MSG_MAX, &m, &n, text);
	if (used <= 0)
		bad(t, "the speaker's bytes are no message: %s", text);
	pl->use->heard += (size_t)used;
	return m;
}

static bool in_ranges(const struct bgp_nlri_range *r, unsigned n, const struct prefix *want)
{
	for (unsigned i = 0; i < n; i++) {
		struct bgp_nlri_range it = r[i];
		struct bgp_nlri nlri;

		while (bgp_nlri_next(&it, &nlri))
			if (prefix_eq(&nlri.prefix, want))
				return true;
	}
	return false;
}

static void expect_path(struct talk *t, const struct bgp_update *u)
{
	const char *want = next(t);
	struct str s = { 0 };

	if (!u->n_announced)
		bad(t, "the UPDATE announces nothing");
	bgp_attrs_path_text(u->attrs[0], &s);
	for (char *c = s.p; c && *c; c++)
		if (*c == ' ')
			*c = ',';
	if (strcmp(str_text(&s), want) != 0)
		bad(t, "the path is %s", str_text(&s));
	str_done(&s);
}

static void expect_in_update(struct talk *t, const struct player *pl, const struct bgp_update *u)
{
	while (t->at < t->n) {
		struct prefix p;
		struct addr nh;

		if (take(t, "nlri")) {
			p = prefix(t);
			if (!in_ranges(u->announced, u->n_announced, &p))
				bad(t, "the UPDATE does not announce it");
		} else if (take(t, "withdraw")) {
			p = prefix(t);
			if (!in_ranges(u->withdrawn, u->n_withdrawn, &p))
				bad(t, "the UPDATE does not withdraw it");
		} else if (take(t, "as-path")) {
			expect_path(t, u);
		} else if (take(t, "next-hop")) {
			nh = address(t);
			if (!u->n_announced || !addr_eq(&u->attrs[0]->v.next_hop, &nh))
				bad(t, "the next hop is another one");
		} else {
			bad(t, "expect update nlri, withdraw, as-path, next-hop, not \"%s\"",
			    t->word[t->at]);
		}
	}
}

static void expect_update(struct talk *t, const struct player *pl, const struct bgp_msg *m,
			  bool eor)
{
	const struct bgp_wire wire = {
		.ebgp = pl->config.remote_as != t->global.local_as,
		.as4 = true,
		.local_as = pl->config.remote_as,
		.remote_as = t->global.local_as,
		.families = 1u << BGP_AF_IPV4_UNICAST,
		.msg_max = BGP_MSG_MAX,
	};
	struct bgp_attr_table *table = bgp_attr_table_new();
	struct bgp_update u;

	bgp_update_decode(table, &wire, m->body, m->len, &u);
	if (u.verdict != BGP_OK)
		bad(t, "the speaker's UPDATE is wrong: %s", u.text);
	if (u.end_of_rib != eor)
		bad(t, eor ? "an UPDATE, but not End-of-RIB" : "End-of-RIB");
	expect_in_update(t, pl, &u);
	bgp_update_done(table, &u);
	bgp_attr_table_free(table);
}

static void do_expect(struct talk *t, struct player *pl)
{
	static const char *const types[] = { "nothing",	     "open",	  "update",
					     "notification", "keepalive", "refresh" };
	const char *want = next(t);
	bool eor = !strcmp(want, "eor");
	struct bgp_notification n;
	struct bgp_msg m;

	if (!strcmp(want, "closed")) {
		if (!pl->use || !pl->use->closed)
			bad(t, "%s's connection is open", pl->name);
		return;
	}
	do
		m = hear(t, pl);
	while (m.type == BGP_MSG_KEEPALIVE && strcmp(want, "keepalive") != 0);
	if (strcmp(eor ? "update" : want, types[m.type]) != 0)
		bad(t, "the speaker said: %s", types[m.type]);
	if (m.type == BGP_MSG_NOTIFICATION) {
		n = notification(t);
		if (m.body[0] != n.code || m.body[1] != n.subcode)
			bad(t, "it was NOTIFICATION %u/%u", m.body[0], m.body[1]);
	}
	if (m.type == BGP_MSG_UPDATE)
		expect_update(t, pl, &m, eor);
}

static struct bgp_peer_status status(struct talk *t, const struct player *pl)
{
	struct bgp_peer_status st = { 0 };

	for (size_t i = 0; bgp_speaker_peer_status(t->sp, i, &st); i++)
		if (addr_eq(&st.config->addr, &pl->config.addr))
			return st;
	bad(t, "the speaker does not know %s", pl->name);
	return st;
}

static void do_fib(struct talk *t)
{
	struct prefix p = prefix(t);
	const struct bgp_fib_change none = { 0 }, *c = &none;
	size_t n = 0;

	for (unsigned i = 0; i < t->fibs; i++)
		if (prefix_eq(&t->fib[i].prefix, &p))
			c = &t->fib[i];
	for (; t->at < t->n; n++) {
		struct addr nh = address(t);
		bool found = false;

		for (size_t i = 0; i < c->n; i++)
			found |= addr_eq(&c->next_hop[i], &nh);
		if (!found)
			bad(t, "that next hop is not used");
	}
	if (n != c->n)
		bad(t, "%zu next hops, not %zu", c->n, n);
}

/* ---- lines ---- */

static struct bgp_resolution all_connected(void *arg, const struct addr *next_hop)
{
	return (struct bgp_resolution) { .reachable = true, .connected = true };
}

static void do_global(struct talk *t)
{
	t->global = (struct bgp_global) { .max_paths = 16 };
	while (t->at < t->n) {
		struct addr id;

		if (take(t, "as")) {
			t->global.local_as = number(t);
		} else if (take(t, "id")) {
			id = address(t);
			t->global.router_id = addr_to_v4(&id);
			t->global.local_v4 = id;
		} else {
			bad(t, "global as, id");
		}
	}
	t->sp = bgp_speaker_new(&t->global, 1);
	bgp_speaker_set_resolver(t->sp, all_connected, NULL);
}

static void do_peer(struct talk *t)
{
	struct player *pl = &t->player[t->players++];
	struct bgp_peer_config *c = &pl->config;

	if (t->players > PEERS)
		bad(t, "more than %u peers", PEERS);
	snprintf(pl->name, sizeof(pl->name), "%s", next(t));
	*c = (struct bgp_peer_config) { .addr = address(t),
					.port = BGP_PORT,
					.hold_s = 90,
					.families = 1u << BGP_AF_IPV4_UNICAST };
	str_copy(c->name, sizeof(c->name), pl->name);
	while (t->at < t->n) {
		if (take(t, "as"))
			c->remote_as = number(t);
		else if (take(t, "hold"))
			c->hold_s = (uint16_t)number(t);
		else if (take(t, "gr"))
			c->gr_restart_s = (uint16_t)number(t);
		else if (take(t, "prefix-limit"))
			c->prefix_limit = number(t);
		else if (take(t, "passive"))
			c->passive = true;
		else
			bad(t, "peer NAME ADDRESS as, hold, gr, prefix-limit, passive");
	}
}

static void do_start(struct talk *t)
{
	struct bgp_peer_config all[PEERS];

	for (unsigned i = 0; i < t->players; i++)
		all[i] = t->player[i].config;
	bgp_speaker_set_peers(t->sp, all, t->players, t->now);
}

static void do_dial(struct talk *t, struct player *pl)
{
	uint64_t id = ++t->next_conn;

	vec_done(&pl->in.out);
	pl->in = (struct socket) { .id = id };
	pl->use = &pl->in;
	if (!bgp_speaker_accept(t->sp, id, &pl->config.addr, 40000, &t->global.local_v4, t->now)) {
		pl->in.closed = true;
		pl->in.id = 0;
	}
}

static void do_answer(struct talk *t, struct player *pl)
{
	if (!pl->out.id || !pl->out.dialled)
		bad(t, "the speaker does not dial %s", pl->name);
	pl->out.dialled = false;
	pl->use = &pl->out;
	bgp_speaker_connected(t->sp, pl->out.id, &t->global.local_v4, t->now);
}

static void do_establish(struct talk *t, struct player *pl)
{
	uint8_t buf[BGP_MSG_MAX];
	struct wr w = wr_init(buf, sizeof(buf));

	do_dial(t, pl);
	say(t, pl, buf, open_make(t, pl, buf, sizeof(buf)));
	bgp_msg_keepalive(&w);
	say(t, pl, buf, wr_len(&w));
	settle(t);
	if (hear(t, pl).type != BGP_MSG_OPEN || hear(t, pl).type != BGP_MSG_KEEPALIVE)
		bad(t, "no OPEN and KEEPALIVE");
}

static void do_player(struct talk *t, struct player *pl)
{
	if (take(t, "dial")) {
		do_dial(t, pl);
	} else if (take(t, "answer")) {
		do_answer(t, pl);
	} else if (take(t, "establish")) {
		do_establish(t, pl);
	} else if (take(t, "use")) {
		pl->use = take(t, "in") ? &pl->in : take(t, "out") ? &pl->out : NULL;
	} else if (take(t, "rx")) {
		do_rx(t, pl);
	} else if (take(t, "expect")) {
		do_expect(t, pl);
	} else if (take(t, "close")) {
		pl->use->closed = true;
		bgp_speaker_closed(t->sp, pl->use->id, "connection reset by peer", t->now);
	} else if (take(t, "state")) {
		const char *want = next(t);

		if (strcmp(bgp_state_name(status(t, pl).state), want) != 0)
			bad(t, "%s is in %s", pl->name, bgp_state_name(status(t, pl).state));
	} else if (take(t, "error")) {
		if (!strstr(status(t, pl).last_error, next(t)))
			bad(t, "the last error is \"%s\"", status(t, pl).last_error);
	} else {
		bad(t, "%s: dial, answer, establish, use, rx, expect, close, state or error",
		    pl->name);
	}
}

static void do_line(struct talk *t)
{
	struct player *pl = player_of(t, t->word[0]);
	struct bgp_pool pool = { 0 };
	struct prefix p;

	if (pl) {
		t->at = 1;
		do_player(t, pl);
	} else if (take(t, "global")) {
		do_global(t);
	} else if (take(t, "peer")) {
		do_peer(t);
	} else if (take(t, "start")) {
		do_start(t);
	} else if (take(t, "pool")) {
		pool.cidr = prefix(t);
		bgp_speaker_set_pools(t->sp, &pool, 1, t->now);
	} else if (take(t, "block")) {
		p = prefix(t);
		bgp_speaker_set_blocks(t->sp, &p, 1, t->now);
	} else if (take(t, "wait")) {
		let_pass(t, (int64_t)number(t) * 1000);
	} else if (take(t, "fib")) {
		do_fib(t);
	} else {
		bad(t, "\"%s\" is neither a peer nor global, peer, start, pool, block, wait, fib",
		    t->word[0]);
	}
	if (t->at < t->n)
		bad(t, "\"%s\" is too much", t->word[t->at]);
	settle(t);
}

/* Words are parted by blanks; "..." is one. */
static void split(struct talk *t)
{
	char *c = t->words_of;

	t->n = t->at = 0;
	while (*c) {
		bool quoted;

		while (*c == ' ' || *c == '\t' || *c == '\n')
			c++;
		if (!*c || *c == '#')
			return;
		quoted = *c == '"';
		c += quoted;
		if (t->n == WORDS)
			bad(t, "more than %u words", WORDS);
		t->word[t->n++] = c;
		while (*c && (quoted ? *c != '"' : *c != ' ' && *c != '\t' && *c != '\n'))
			c++;
		if (*c)
			*c++ = '\0';
	}
}

static void talk_done(struct talk *t)
{
	for (unsigned i = 0; i < t->players; i++) {
		vec_done(&t->player[i].in.out);
		vec_done(&t->player[i].out.out);
	}
	bgp_speaker_free(t->sp);
}

static void conversation(void **state)
{
	static struct talk t;
	char path[512];
	FILE *f;

	memset(&t, 0, sizeof(t));
	t.file = *state;
	t.now = 1000000;
	snprintf(path, sizeof(path), "%s/%s", TALK_DIR, t.file);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(t.words_of, sizeof(t.words_of), f)) {
		t.line++;
		split(&t);
		if (t.n && !t.sp && strcmp(t.word[0], "global") != 0)
			bad(&t, "begins with: global as N id ADDRESS");
		if (t.n)
			do_line(&t);
	}
	fclose(f);
	talk_done(&t);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(void)
{
	static struct CMUnitTest tests[FILES];
	DIR *dir = opendir(TALK_DIR);
	size_t n = 0;
	int rc;

	if (!dir)
		return 1;
	for (struct dirent *e; (e = readdir(dir)) && n < FILES;) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 5, ".talk") != 0)
			continue;
		tests[n].name = xstrdup(e->d_name);
		tests[n].test_func = conversation;
		tests[n].initial_state = xstrdup(e->d_name);
		n++;
	}
	closedir(dir);
	if (!n)
		return 1;
	qsort(tests, n, sizeof(tests[0]), by_name);
	rc = _cmocka_run_group_tests("talk", tests, n, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		free(tests[i].initial_state);
		freep(&tests[i].name);
	}
	return rc;
}
