/* played.h - one speaker whose peers are played by the test: what they can do, what they say, what
 * they hear */
#pragma once

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/open.h"
#include "bgp/speaker.h"
#include "bgp/update.h"
#include "make.h"

enum { PLAYED_MAX = 6 };

struct played {
	struct bgp_peer_config *config; /* the speaker's side; until played_start */
	struct bgp_caps caps;		/* the peer's */
	asn_t as;
	uint32_t id;
	struct addr addr;
	uint64_t conn;
	struct bgp_wire wire; /* as this peer writes and reads */
	unsigned communities; /* on what it announces */
	uint32_t path_id;
	bool deaf;	      /* it reads nothing */
	struct addr next_hop; /* IP_NONE: its address */
	struct addr local;    /* our end; IP_NONE: the node's address */
	/* heard */
	uint8_t type[64];
	unsigned n_types, announced, withdrawn, end_of_ribs;
	uint8_t last_refresh;
	size_t longest;
	struct bgp_notification notification;
	struct bgp_attr_values last; /* of the last announcement */
	uint8_t last_bytes[65536];   /* of its parts */
	uint16_t last_len[BGP_PART_MAX_];
	struct prefix last_prefix;
	uint8_t rest[2 * 65536];
	size_t n_rest;
};

struct played_world {
	struct bgp_speaker *sp;
	struct bgp_global global;
	int64_t now;
	struct bgp_peer_config config[PLAYED_MAX];
	struct played peer[PLAYED_MAX];
	unsigned n;
	struct bgp_attr_table *t;  /* the peers' */
	struct bgp_fib_change fib; /* the last one */
};

UNUSED static void played_begin(struct played_world *w)
{
	memset(w, 0, sizeof(*w));
	w->now = 1000;
	w->t = bgp_attr_table_new();
	w->global = (struct bgp_global) { .local_as = 64512,
					  .router_id = 0x0a630001,
					  .local_v4 = make_addr("10.99.0.1"),
					  .local_v6 = make_addr("fd99::1"),
					  .max_paths = 16 };
}

UNUSED static struct played *played_add(struct played_world *w, asn_t as)
{
	struct played *p = &w->peer[w->n];

	p->config = &w->config[w->n++];
	p->as = as;
	p->id = 0x0a630001 + w->n;
	p->addr = addr_v4(p->id);
	p->caps = (struct bgp_caps) {
		.mp = true, .families = 1, .refresh = true, .as4 = true, .as4_number = as
	};
	*p->config = (struct bgp_peer_config) { .name = "played",
						.addr = p->addr,
						.port = 179,
						.remote_as = as,
						.families = 1,
						.passive = true,
						.hold_s = 240 };
	return p;
}

static void played_hear_update(struct played_world *w, struct played *p, const struct bgp_msg *m)
{
	struct bgp_update u;

	if (bgp_update_decode(w->t, &p->wire, m->body, m->len, &u) != BGP_OK)
		fail_msg("the speaker wrote what does not read: %s", u.text);
	p->end_of_ribs += u.end_of_rib;
	for (unsigned i = 0; i < u.n_withdrawn; i++)
		p->withdrawn += u.withdrawn[i].count;
	for (unsigned i = 0; i < u.n_announced; i++) {
		const struct bgp_attrs *a = u.attrs[i];
		struct bgp_nlri_range r = u.announced[i];
		struct bgp_nlri n;
		size_t len = 0;

		p->announced += r.count;
		while (bgp_nlri_next(&r, &n))
			p->last_prefix = n.prefix;
		p->last = a->v;
		memcpy(p->last_len, a->len, sizeof(p->last_len));
		for (unsigned k = 0; k < BGP_PART_MAX_; k++)
			len += a->len[k];
		memcpy(p->last_bytes, a->bytes, len);
	}
	bgp_update_done(w->t, &u);
}

static void played_hear(struct played_world *w, struct played *p, const struct bgp_msg *m)
{
	if (p->n_types < ARRAY_SIZE(p->type))
		p->type[p->n_types++] = m->type;
	if (m->len + BGP_HEADER_LEN > p->longest)
		p->longest = m->len + BGP_HEADER_LEN;
	if (m->type == BGP_MSG_UPDATE)
		played_hear_update(w, p, m);
	if (m->type == BGP_MSG_ROUTE_REFRESH)
		p->last_refresh = m->body[2];
	if (m->type == BGP_MSG_NOTIFICATION)
		p->notification = bgp_notification_decode(m->body, m->len);
}

static void played_pull(struct played_world *w, struct played *p)
{
	const void *out;
	size_t len, at = 0;

	while (p->conn && !p->deaf && (out = bgp_speaker_output(w->sp, p->conn, &len, w->now))) {
		assert_true(p->n_rest + len <= sizeof(p->rest));
		memcpy(p->rest + p->n_rest, out, len);
		p->n_rest += len;
		bgp_speaker_written(w->sp, p->conn, len, w->now);
		for (at = 0; at < p->n_rest;) {
			struct bgp_notification n;
			char text[BGP_TEXT_MAX];
			struct bgp_msg m;
			ssize_t used = bgp_msg_next(p->rest + at, p->n_rest - at,
						    p->wire.msg_max ? p->wire.msg_max : 4096, &m,
						    &n, text);

			if (used < 0)
				fail_msg("%s", text);
			if (!used)
				break;
			played_hear(w, p, &m);
			at += (size_t)used;
		}
		memmove(p->rest, p->rest + at, p->n_rest - at);
		p->n_rest -= at;
	}
}

/* All work done, all output read. */
UNUSED static void played_settle(struct played_world *w)
{
	struct bgp_effect e;

	bgp_speaker_tick(w->sp, w->now);
	for (unsigned round = 0; round < 20; round++) {
		while (bgp_speaker_run(w->sp, 1000, w->now))
			;
		while (bgp_speaker_next_effect(w->sp, &e))
			;
		while (bgp_speaker_next_fib_change(w->sp, &w->fib))
			;
		for (unsigned i = 0; i < w->n; i++)
			played_pull(w, &w->peer[i]);
	}
}

UNUSED static void played_feed(struct played_world *w, struct played *p, const void *bytes,
			       size_t len)
{
	void *copy = malloc(len);

	memcpy(copy, bytes, len);
	bgp_speaker_received(w->sp, p->conn, copy, len, w->now);
	free(copy);
	played_settle(w);
}

UNUSED static void played_connect(struct played_world *w, struct played *p)
{
	static uint64_t next = 1;
	struct bgp_open o = {
		.version = 4, .as = p->as, .hold_s = 240, .id = p->id, .caps = p->caps
	};
	struct addr local = (p->addr.family == IP_V6) ? w->global.local_v6 : w->global.local_v4;
	const struct bgp_peer_config *c = p->config;
	uint8_t buf[1024];
	struct wr wr = wr_init(buf, sizeof(buf));

	if (p->local.family)
		local = p->local;
	p->conn = next++;
	p->n_rest = 0;
	p->wire = (struct bgp_wire) {
		.ebgp = p->as != w->global.local_as,
		.as4 = true,
		.local_as = p->as,
		.remote_as = w->global.local_as,
		.families = p->caps.families & c->families,
		.add_path_rx = c->add_path ? p->caps.add_path_rx : 0,
		.add_path_tx = c->add_path ? p->caps.add_path_tx : 0,
		.ext_next_hop = c->ext_next_hop ? p->caps.ext_next_hop : 0,
		.msg_max = p->caps.extended_message && c->extended_message ? 65535 : 4096,
	};
	bgp_open_encode(&wr, &o);
	bgp_msg_keepalive(&wr);
	assert_true(bgp_speaker_accept_on(w->sp, p->conn, &p->addr, c->ifindex, &local, w->now));
	played_feed(w, p, buf, wr_len(&wr));
}

UNUSED static struct bgp_peer_status played_status(const struct played_world *w,
						   const struct played *p)
{
	struct bgp_peer_status s;

	for (size_t i = 0; bgp_speaker_peer_status(w->sp, i, &s); i++) {
		if (addr_eq(&s.config->addr, &p->addr))
			return s;
	}
	fail_msg("no such peer");
	return s;
}

/* A speaker with a pool of everything; all peers connect. */
UNUSED static void played_start(struct played_world *w)
{
	struct bgp_pool pools[] = { { .cidr = make_prefix("10.0.0.0/8") },
				    { .cidr = make_prefix("fd00::/8") } };

	w->sp = bgp_speaker_new(&w->global, 7);
	bgp_speaker_set_pools(w->sp, pools, 2, w->now);
	bgp_speaker_set_peers(w->sp, w->config, w->n, w->now);
	for (unsigned i = 0; i < w->n; i++) {
		played_connect(w, &w->peer[i]);
		if (played_status(w, &w->peer[i]).state != BGP_STATE_ESTABLISHED)
			fail_msg("peer %u: %s", i, played_status(w, &w->peer[i]).last_error);
	}
}

UNUSED static void played_end(struct played_world *w)
{
	bgp_speaker_free(w->sp);
	bgp_attr_table_free(w->t);
}

/* What p announces: its AS in front (eBGP), the other fields as given or usual. */
UNUSED static void played_announce_as(struct played_world *w, struct played *p, const char *prefix,
				      struct bgp_attrs_draft *d)
{
	struct prefix pfx = make_prefix(prefix);
	uint8_t path[6] = { 2, 1, 0, 0, 0, 0 };
	static struct bgp_attr_block block;
	static uint8_t list[65536], buf[65535];
	struct bgp_attrs *a;
	struct bgp_pack pack;

	put_u32(path + 2, p->as);
	d->v.present |= 1u << BGP_ATTR_ORIGIN | 1u << BGP_ATTR_AS_PATH;
	if (!d->v.next_hop.family)
		d->v.next_hop = p->next_hop.family	   ? p->next_hop
				: pfx.addr.family == IP_V6 ? make_addr("fd99::2")
							   : p->addr;
	if (p->wire.ebgp && !d->part[BGP_PART_AS_PATH].len) {
		d->part[BGP_PART_AS_PATH].p = path;
		d->part[BGP_PART_AS_PATH].len = 6;
	}
	for (unsigned i = 0; i < p->communities; i++)
		put_u32(list + i * 4, 0xfde90000 + i);
	if (p->communities) {
		d->part[BGP_PART_COMMUNITIES].p = list;
		d->part[BGP_PART_COMMUNITIES].len = (uint16_t)(p->communities * 4);
	}
	a = bgp_attrs_intern(w->t, d);
	assert_true(bgp_attr_block_init(&block, &p->wire,
					bgp_af_of((enum ip_family)pfx.addr.family), a));
	bgp_attrs_unref(w->t, a);
	bgp_pack_announce(&pack, &p->wire, &block, buf, sizeof(buf));
	assert_true(bgp_pack_add(&pack, &pfx, p->path_id));
	played_feed(w, p, buf, bgp_pack_end(&pack));
}

UNUSED static void played_announce(struct played_world *w, struct played *p, const char *prefix)
{
	struct bgp_attrs_draft d = { 0 };

	played_announce_as(w, p, prefix, &d);
}

UNUSED static void played_refresh(struct played_world *w, struct played *p, enum bgp_af af,
				  uint8_t subtype)
{
	uint8_t buf[64];
	struct wr wr = wr_init(buf, sizeof(buf));

	bgp_msg_refresh(&wr, af, subtype);
	played_feed(w, p, buf, wr_len(&wr));
}
