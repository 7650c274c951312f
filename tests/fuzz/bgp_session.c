/* bgp_session.c - a session under a script of events and bytes: it stays in one piece and in bounds
 *
 * Each step is one byte of what to do and one of how much; bytes for the peer to say follow. */
#include <stdlib.h>
#include <string.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { CONNS = 8 };

struct world {
	struct bgp_session *s;
	int64_t now;
	uint64_t next_id;
	uint64_t conn[CONNS]; /* open sockets, 0: free */
	bool up;
	uint8_t fail;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static uint64_t new_conn(struct world *w)
{
	uint64_t id = ++w->next_id;

	w->conn[id % CONNS] = id;
	return id;
}

static uint64_t f_connect(void *arg)
{
	return new_conn(arg);
}

static void f_close(void *arg, uint64_t conn, bool linger)
{
	struct world *w = arg;

	if (!linger && w->conn[conn % CONNS] == conn)
		w->conn[conn % CONNS] = 0;
}

static void f_write(void *arg, uint64_t conn)
{
	must(conn != 0);
}

static void f_state(void *arg, enum bgp_state from, enum bgp_state to, const char *why)
{
	must(from != to && strlen(why) < BGP_TEXT_MAX);
}

static void f_log(void *arg, enum bgp_level level, const char *text)
{
	must(strlen(text) < BGP_TEXT_MAX);
}

static void f_up(void *arg)
{
	struct world *w = arg;

	must(!w->up && bgp_session_negotiated(w->s));
	w->up = true;
}

static void f_down(void *arg, const struct bgp_down *why)
{
	struct world *w = arg;

	must(w->up && why->text[0]);
	w->up = false;
}

static void f_update(void *arg, const struct bgp_update *u)
{
	struct world *w = arg;
	struct bgp_notification n = bgp_cease(BGP_CEASE_MAX_PREFIXES, NULL);

	must(w->up && u->verdict != BGP_SESSION_RESET);
	for (unsigned i = 0; i < u->n_announced; i++)
		must(u->attrs[i]->refs > 0);
	if (w->fail > 200)
		bgp_session_fail(w->s, &n, "too many", w->now);
}

static void f_refresh(void *arg, enum bgp_af af, uint8_t subtype)
{
	must(((struct world *)arg)->up && af < BGP_AF_MAX_);
}

static size_t f_bulk(void *arg, uint8_t *buf, size_t size)
{
	return bgp_pack_end_of_rib(BGP_AF_IPV4_UNICAST, buf, size) +
	       bgp_pack_end_of_rib(BGP_AF_IPV6_UNICAST, buf + 23, size - 23);
}

static const struct bgp_session_ops ops = {
	.connect = f_connect,
	.close = f_close,
	.write = f_write,
	.state = f_state,
	.log = f_log,
	.up = f_up,
	.down = f_down,
	.update = f_update,
	.refresh = f_refresh,
	.bulk = f_bulk,
};

static void say(struct world *w, uint64_t conn, const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (n)
		memcpy(copy, p, n);
	bgp_session_received(w->s, conn, copy, n, w->now);
	free(copy);
}

/* A whole message of any type around the bytes, so that the fuzzer need not find the marker. */
static void say_message(struct world *w, uint64_t conn, uint8_t type, const uint8_t *p, size_t n)
{
	uint8_t msg[BGP_HEADER_LEN + 256];

	memset(msg, 0xff, BGP_MARKER_LEN);
	put_u16(msg + BGP_MARKER_LEN, (uint16_t)(BGP_HEADER_LEN + n));
	msg[18] = type;
	if (n)
		memcpy(msg + BGP_HEADER_LEN, p, n);
	say(w, conn, msg, BGP_HEADER_LEN + n);
}

static void say_open(struct world *w, uint64_t conn, uint8_t how)
{
	struct bgp_open o = { .version = 4, .as = 65001, .hold_s = 9, .id = 1u + (how & 1) * 100 };
	uint8_t buf[256];
	struct wr wr = wr_init(buf, sizeof(buf));

	o.caps.families = how & 2 ? 3 : 1;
	o.caps.refresh = how & 4;
	o.caps.as4 = how & 8;
	o.caps.as4_number = 65001;
	o.caps.gr.present = how & 16;
	o.caps.gr.notification = how & 32;
	o.caps.enhanced_refresh = how & 64;
	o.caps.extended_message = how & 128;
	o.caps.add_path_tx = o.caps.add_path_rx = how & 2 ? 3 : 0;
	bgp_open_encode(&wr, &o);
	say(w, conn, buf, wr_len(&wr));
}

static void read_some(struct world *w, uint64_t conn, uint8_t n)
{
	size_t len;
	const void *p = bgp_session_output(w->s, conn, &len, w->now);

	if (!p)
		return;
	must(len > 0);
	bgp_session_written(w->s, conn, n < len ? n : len, w->now);
}

static void step(struct world *w, uint8_t what, uint8_t arg, const uint8_t *p, size_t n)
{
	struct bgp_notification cease = bgp_cease(BGP_CEASE_SHUTDOWN, "bye");
	uint64_t conn = w->conn[arg % CONNS];
	struct addr local = addr_v4(1);

	switch (what % 13) {
	case 0:
		conn = new_conn(w);
		if (!bgp_session_accept(w->s, conn, &local, w->now))
			w->conn[conn % CONNS] = 0;
		break;
	case 1:
		bgp_session_connected(w->s, conn, &local, w->now);
		break;
	case 2:
		bgp_session_connect_failed(w->s, conn, "refused", w->now);
		w->conn[arg % CONNS] = 0;
		break;
	case 3:
		bgp_session_closed(w->s, conn, "reset", w->now);
		w->conn[arg % CONNS] = 0;
		break;
	case 4:
		say(w, conn, p, n);
		break;
	case 5:
		say_message(w, conn, (uint8_t)(1 + what / 13 % 5), p, n);
		break;
	case 6:
		say_open(w, conn, what / 13);
		say_open(w, w->conn[(arg + 1u) % CONNS], what / 13);
		break;
	case 7:
		say_message(w, conn, BGP_MSG_KEEPALIVE, NULL, 0);
		break;
	case 8:
		w->now += arg * 100;
		if (bgp_session_deadline(w->s) <= w->now)
			bgp_session_tick(w->s, w->now);
		break;
	case 9:
		read_some(w, conn, what);
		break;
	case 10:
		bgp_session_stop(w->s, arg & 1 ? &cease : NULL, "stop", w->now);
		bgp_session_start(w->s, w->now);
		break;
	case 11:
		bgp_session_send_refresh(w->s, (enum bgp_af)(arg % BGP_AF_MAX_), w->now);
		bgp_session_wake(w->s);
		break;
	case 12:
		bgp_session_fail(w->s, &cease, "why not", w->now);
		w->fail = arg;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bgp_attr_table *t = bgp_attr_table_new();
	struct bgp_shared *shared = bgp_shared_new(t);
	struct world w = { .now = 1000 };
	struct bgp_session_config cfg = {
		.local_as = 64512,
		.remote_as = 65001,
		.router_id = 50,
		.families = 3,
		.hold_s = 90,
		.gr_restart_s = 120,
		.enhanced_refresh = true,
		.extended_message = true,
		.refuse_as_sets = true,
		.add_path_rx = 3,
		.add_path_tx = 1,
	};

	cfg.passive = len && data[0] & 1;
	w.s = bgp_session_new(shared, &cfg, &ops, &w, 1);
	bgp_session_start(w.s, w.now);
	for (size_t at = 1; at + 2 <= len;) {
		uint8_t what = data[at], arg = data[at + 1];
		size_t n = 0;

		at += 2;
		if (what % 13 == 4 || what % 13 == 5) {
			n = arg < len - at ? arg : len - at;
			if (n > 255)
				n = 255;
		}
		step(&w, what, arg, data + at, n);
		at += n;
		must(w.up == (bgp_session_negotiated(w.s) != NULL));
	}
	bgp_session_free(w.s);
	bgp_shared_free(shared);
	bgp_attr_table_free(t);
	return 0;
}
