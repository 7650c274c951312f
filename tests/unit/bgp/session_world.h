/* session_world.h - one session under test: its effects recorded, its peer played by the test */
#pragma once

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session.h"
#include "tests/unit/bgp/wire.h"

#define V4 (1u << BGP_AF_IPV4_UNICAST)
#define V6 (1u << BGP_AF_IPV6_UNICAST)

struct world {
	struct bgp_attr_table *attrs;
	struct bgp_shared *shared;
	struct bgp_session *s;
	int64_t now;
	uint64_t last_id; /* of a dial or an accepted connection */
	unsigned dials, closes, lingers, ups, downs, updates, refreshes, writes, logs;
	uint64_t closed; /* last one */
	struct bgp_down down;
	char log[BGP_TEXT_MAX];
	/* what ops->bulk gives, once */
	struct bytes bulk;
	/* ask for an end from within ops->update */
	bool fail_on_update;
};

static uint64_t w_connect(void *arg)
{
	struct world *w = arg;

	w->dials++;
	return ++w->last_id;
}

static void w_close(void *arg, uint64_t conn, bool linger)
{
	struct world *w = arg;

	w->closes++;
	w->lingers += linger;
	w->closed = conn;
}

static void w_write(void *arg, uint64_t conn)
{
	((struct world *)arg)->writes++;
}

static void w_state(void *arg, enum bgp_state from, enum bgp_state to, const char *why)
{
	assert_int_not_equal(from, to);
}

static void w_log(void *arg, enum bgp_level level, const char *text)
{
	struct world *w = arg;

	w->logs++;
	snprintf(w->log, sizeof(w->log), "%s", text);
}

static void w_up(void *arg)
{
	struct world *w = arg;

	w->ups++;
	assert_non_null(bgp_session_negotiated(w->s));
}

static void w_down(void *arg, const struct bgp_down *why)
{
	struct world *w = arg;

	w->downs++;
	w->down = *why;
}

static void w_update(void *arg, const struct bgp_update *u)
{
	struct world *w = arg;
	struct bgp_notification n = bgp_cease(BGP_CEASE_MAX_PREFIXES, NULL);

	w->updates++;
	if (w->fail_on_update)
		bgp_session_fail(w->s, &n, "more than 1 prefix", w->now);
}

static void w_refresh(void *arg, enum bgp_af af, uint8_t subtype)
{
	((struct world *)arg)->refreshes++;
}

static size_t w_bulk(void *arg, uint8_t *buf, size_t size)
{
	struct world *w = arg;
	size_t n = w->bulk.n;

	assert_true(size >= BGP_OUTPUT_MAX);
	memcpy(buf, w->bulk.b, n);
	w->bulk.n = 0;
	return n;
}

static const struct bgp_session_ops world_ops = {
	.connect = w_connect,
	.close = w_close,
	.write = w_write,
	.state = w_state,
	.log = w_log,
	.up = w_up,
	.down = w_down,
	.update = w_update,
	.refresh = w_refresh,
	.bulk = w_bulk,
};

/* AS 64512, 10.0.0.1 against AS 65001; passive unless told otherwise. */
UNUSED static struct bgp_session_config world_config(void)
{
	return (struct bgp_session_config) {
		.local_as = 64512,
		.remote_as = 65001,
		.router_id = 0x0a000001,
		.families = V4,
		.passive = true,
		.hold_s = 90,
	};
}

UNUSED static void world_init(struct world *w, const struct bgp_session_config *config)
{
	*w = (struct world) { .now = 1000000 };
	w->attrs = bgp_attr_table_new();
	w->shared = bgp_shared_new(w->attrs);
	w->s = bgp_session_new(w->shared, config, &world_ops, w, 7);
	bgp_session_start(w->s, w->now);
}

UNUSED static void world_done(struct world *w)
{
	bgp_session_free(w->s);
	bgp_shared_free(w->shared);
	bgp_attr_table_free(w->attrs);
}

UNUSED static enum bgp_state world_state(const struct world *w)
{
	return bgp_session_info(w->s)->state;
}

UNUSED static uint64_t world_accept(struct world *w)
{
	struct addr local = addr_v4(0x0a000001);

	return bgp_session_accept(w->s, ++w->last_id, &local, w->now) ? w->last_id : 0;
}

/* All that the session wants to write on conn. */
UNUSED static struct bytes world_pull(struct world *w, uint64_t conn)
{
	struct bytes out = { .n = 0 };
	size_t len;
	const void *p;

	while ((p = bgp_session_output(w->s, conn, &len, w->now))) {
		assert_true(out.n + len <= sizeof(out.b));
		memcpy(out.b + out.n, p, len);
		out.n += len;
		bgp_session_written(w->s, conn, len, w->now);
	}
	return out;
}

UNUSED static void world_feed(struct world *w, uint64_t conn, const struct bytes *b)
{
	uint8_t *p = exact(b->b, b->n);

	bgp_session_received(w->s, conn, p, b->n, w->now);
	free(p);
}

/* The peer's OPEN: AS 65001, 10.0.0.2, hold 90, IPv4, refresh, AS4; graceful restart if told. */
UNUSED static struct bytes peer_open(asn_t as, uint32_t id, uint16_t hold_s, bool graceful)
{
	struct bgp_open o = { .version = 4, .as = as, .hold_s = hold_s, .id = id };
	struct bytes b = { .n = 0 };
	struct wr w = wr_init(b.b, sizeof(b.b));

	o.caps.families = V4;
	o.caps.refresh = o.caps.as4 = true;
	o.caps.as4_number = as;
	o.caps.gr.present = graceful;
	o.caps.gr.time_s = 120;
	o.caps.gr.families = o.caps.gr.forwarding = V4;
	bgp_open_encode(&w, &o);
	b.n = wr_len(&w);
	return b;
}

UNUSED static struct bytes good_open(void)
{
	return peer_open(65001, 0x0a000002, 90, false);
}

/* A message of this type with this body. */
UNUSED static struct bytes message(uint8_t type, const char *body)
{
	struct bytes in = hex(body), b = { .n = 19 };

	memset(b.b, 0xff, 16);
	b.b[16] = (uint8_t)((in.n + 19) >> 8);
	b.b[17] = (uint8_t)(in.n + 19);
	b.b[18] = type;
	bytes_add(&b, &in);
	return b;
}

UNUSED static struct bytes keepalive(void)
{
	return message(BGP_MSG_KEEPALIVE, "");
}

/* 10.1.2.0/24 from AS 65001 */
UNUSED static struct bytes update(void)
{
	return message(BGP_MSG_UPDATE, "0000 0014 40 01 01 00 40 02 06 02 01 0000fde9 40 03 04 "
				       "0a000002 18 0a0102");
}

/* Bring a passive session to a state by an accepted connection; its output is swallowed. */
UNUSED static uint64_t world_reach(struct world *w, enum bgp_state state, bool graceful)
{
	struct bytes open = peer_open(65001, 0x0a000002, 90, graceful), ka = keepalive();
	uint64_t conn = world_accept(w);

	assert_int_not_equal(conn, 0);
	if (state >= BGP_STATE_OPENCONFIRM)
		world_feed(w, conn, &open);
	if (state >= BGP_STATE_ESTABLISHED)
		world_feed(w, conn, &ka);
	world_pull(w, conn);
	assert_int_equal(world_state(w), state);
	return conn;
}

/* Let time pass up to `until`, stopping at every deadline; output is swallowed. */
UNUSED static void world_run(struct world *w, int64_t until, uint64_t conn)
{
	for (;;) {
		int64_t at = bgp_session_deadline(w->s);

		if (at > until)
			break;
		w->now = at > w->now ? at : w->now;
		bgp_session_tick(w->s, w->now);
		if (conn)
			world_pull(w, conn);
	}
	w->now = until;
}

/* The last message in b, which is a whole number of messages. */
UNUSED static struct bgp_msg last_message(const struct bytes *b)
{
	struct bgp_notification n;
	struct bgp_msg m = { 0 };
	char text[BGP_TEXT_MAX] = "";
	size_t at = 0;

	while (at < b->n) {
		ssize_t used = bgp_msg_next(b->b + at, b->n - at, BGP_MSG_MAX, &m, &n, text);

		if (used <= 0)
			fail_msg("not a message at %zu: %s", at, text);
		at += (size_t)used;
	}
	return m;
}

UNUSED static void expect_notification(struct world *w, uint64_t conn, int code, int subcode,
				       const char *name)
{
	struct bytes out = world_pull(w, conn);
	struct bgp_msg m = last_message(&out);

	if (m.type != BGP_MSG_NOTIFICATION)
		fail_msg("%s: no NOTIFICATION, last message is of type %u", name, m.type);
	if (m.body[0] != code || m.body[1] != subcode)
		fail_msg("%s: NOTIFICATION %u/%u, must be %d/%d", name, m.body[0], m.body[1], code,
			 subcode);
}
