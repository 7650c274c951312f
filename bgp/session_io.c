/* session_io.c - bytes of a session's connections: messages found and dispatched, output pulled
 *
 * OUTPUT  what is written next, in this order: the rest of a bulk message that is half out; control
 *         messages; the rest of the bulk; new bulk. So a KEEPALIVE waits for one message at most.
 *         New bulk is made in the buffer that all sessions share. If its connection could not write
 *         all of it and another one needs the buffer, the rest is copied out: a peer that reads
 *         costs no allocation, one that does not pins at most BGP_OUTPUT_MAX.
 * INPUT   whole messages are read in place from the caller's bytes. A cut one is completed in rx.
 * SPEC    RFC 4271 4, 6; 2918; 9687 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session.h"
#include "bgp/session_impl.h"

enum {
	/* RFC 9687 4.4: the longer of 8 minutes and twice the hold time. */
	SEND_HOLD_MIN_MS = 8 * 60 * 1000,
	/* How long a NOTIFICATION may take to leave before the socket is closed under it. */
	LINGER_MS = 5000,
	UPDATE_LOG_MS = 10 * 1000,
};

static void tell_write(struct bgp_session *s, uint64_t id)
{
	s->depth++;
	s->ops->write(s->arg, id);
	s->depth--;
}

/* ---- send hold ---- */

static bool has_pending(const struct bgp_conn *c)
{
	return c->control.off < c->control.n || c->bulk.off < c->bulk.n;
}

static void arm_send_hold(struct bgp_conn *c, int64_t now_ms)
{
	int64_t twice = (int64_t)c->neg.hold_s * 2000;

	c->send_hold_at = now_ms + (twice > SEND_HOLD_MIN_MS ? twice : SEND_HOLD_MIN_MS);
}

/* ---- control queue ---- */

bool bgp_conn_control(struct bgp_session *s, struct bgp_conn *c, const uint8_t *p, size_t n,
		      int64_t now_ms)
{
	bool was_empty = c->control.off == c->control.n;

	if (c->control.n - c->control.off + n > BGP_CONTROL_MAX)
		return false;
	if (c->control.off && c->control.n + n > c->control.cap) {
		memmove(c->control.p, c->control.p + c->control.off, c->control.n - c->control.off);
		c->control.n -= c->control.off;
		c->control.off = 0;
	}
	if (c->control.n + n > c->control.cap) {
		c->control.cap = c->control.n + n < 64 ? 64 : c->control.n + n;
		c->control.p = xrealloc(c->control.p, c->control.cap);
	}
	memcpy(c->control.p + c->control.n, p, n);
	c->control.n += n;
	s->info.msgs_out++;
	if (c->send_hold_at == INT64_MAX)
		arm_send_hold(c, now_ms);
	if (was_empty && c->id)
		tell_write(s, c->id);
	return true;
}

void bgp_conn_keepalive(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	uint8_t buf[BGP_HEADER_LEN];
	struct wr w = wr_init(buf, sizeof(buf));

	/* One that waits says as much as two. */
	if (c->control.keepalive)
		return;
	bgp_msg_keepalive(&w);
	c->control.keepalive = bgp_conn_control(s, c, buf, sizeof(buf), now_ms);
}

static void control_done(struct bgp_conn *c)
{
	free(c->control.p);
	memset(&c->control, 0, sizeof(c->control));
}

/* ---- bulk ---- */

static void bulk_done(struct bgp_shared *sh, struct bgp_conn *c)
{
	if (!c->bulk.shared)
		free(c->bulk.p);
	else if (sh->owner == c)
		sh->owner = NULL;
	memset(&c->bulk, 0, sizeof(c->bulk));
}

/* Take the buffer that all sessions share; who has something in it keeps that on the heap. */
static void claim_shared(struct bgp_shared *sh)
{
	struct bgp_conn *c = sh->owner;
	size_t left;

	if (!c)
		return;
	sh->owner = NULL;
	left = c->bulk.n - c->bulk.off;
	c->bulk.p = xmemdup(sh->out + c->bulk.off, left);
	c->bulk.edge -= c->bulk.off;
	c->bulk.n = left;
	c->bulk.off = 0;
	c->bulk.shared = false;
}

static size_t msg_len_at(const uint8_t *p)
{
	return (size_t)(p[BGP_MARKER_LEN] << 8 | p[BGP_MARKER_LEN + 1]);
}

static void make_bulk(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_shared *sh = s->sh;
	size_t n;

	claim_shared(sh);
	s->depth++;
	n = s->ops->bulk(s->arg, sh->out, sizeof(sh->out));
	s->depth--;
	assert(n <= sizeof(sh->out));
	if (!n)
		return;
	for (size_t at = 0; at < n; at += msg_len_at(sh->out + at)) {
		s->info.msgs_out++;
		s->info.updates_out += sh->out[at + BGP_MARKER_LEN + 2] == BGP_MSG_UPDATE;
	}
	sh->owner = c;
	c->bulk.p = sh->out;
	c->bulk.n = n;
	c->bulk.shared = true;
	if (c->send_hold_at == INT64_MAX)
		arm_send_hold(c, now_ms);
}

void bgp_conn_release(struct bgp_shared *sh, struct bgp_conn *c)
{
	free(c->rx.p);
	memset(&c->rx, 0, sizeof(c->rx));
	control_done(c);
	bulk_done(sh, c);
}

void bgp_conn_move(struct bgp_shared *sh, struct bgp_conn *to, struct bgp_conn *from)
{
	*to = *from;
	if (sh->owner == from)
		sh->owner = to;
	*from = (struct bgp_conn) { .connect_retry_at = INT64_MAX,
				    .hold_at = INT64_MAX,
				    .keepalive_at = INT64_MAX,
				    .send_hold_at = INT64_MAX };
}

/* ---- last words ---- */

void bgp_linger_drop(struct bgp_linger *l)
{
	free(l->p);
	*l = (struct bgp_linger) { 0 };
}

static struct bgp_linger *linger_slot(struct bgp_session *s)
{
	struct bgp_linger *l =
		s->linger[0].until <= s->linger[1].until ? &s->linger[0] : &s->linger[1];

	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++)
		if (!s->linger[i].id)
			return &s->linger[i];
	/* The third within seconds: the oldest has had its time. */
	s->ops->close(s->arg, l->id, false);
	bgp_linger_drop(l);
	return l;
}

bool bgp_conn_last_words(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	size_t cut = c->bulk.edge - c->bulk.off, control = c->control.n - c->control.off;
	struct bgp_linger *l;

	if (!cut && !control)
		return false;
	l = linger_slot(s);
	l->p = xmalloc(cut + control);
	if (cut)
		memcpy(l->p, c->bulk.p + c->bulk.off, cut);
	if (control)
		memcpy(l->p + cut, c->control.p + c->control.off, control);
	l->n = cut + control;
	l->id = c->id;
	l->until = now_ms + LINGER_MS;
	return true;
}

static struct bgp_linger *linger_of(struct bgp_session *s, uint64_t id)
{
	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++)
		if (id && s->linger[i].id == id)
			return &s->linger[i];
	return NULL;
}

/* ---- output ---- */

static const void *give(struct bgp_conn *c, bool bulk, const uint8_t *p, size_t n, size_t *len)
{
	c->offered_bulk = bulk;
	*len = n;
	return p;
}

static const void *conn_output(struct bgp_session *s, struct bgp_conn *c, size_t *len,
			       int64_t now_ms)
{
	bool control = c->control.off < c->control.n;

	if (c->bulk.off < c->bulk.edge && control)
		return give(c, true, c->bulk.p + c->bulk.off, c->bulk.edge - c->bulk.off, len);
	if (control)
		return give(c, false, c->control.p + c->control.off, c->control.n - c->control.off,
			    len);
	if (c->bulk.off == c->bulk.n && c->state == BGP_STATE_ESTABLISHED)
		make_bulk(s, c, now_ms);
	if (c->bulk.off == c->bulk.n)
		return NULL;
	return give(c, true, c->bulk.p + c->bulk.off, c->bulk.n - c->bulk.off, len);
}

const void *bgp_session_output(struct bgp_session *s, uint64_t conn, size_t *len, int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);
	const struct bgp_linger *l = linger_of(s, conn);

	*len = 0;
	if (c)
		return conn_output(s, c, len, now_ms);
	if (!l || l->off == l->n)
		return NULL;
	*len = l->n - l->off;
	return l->p + l->off;
}

static void bulk_written(struct bgp_shared *sh, struct bgp_conn *c, size_t len)
{
	assert(len <= c->bulk.n - c->bulk.off);
	c->bulk.off += len;
	if (c->bulk.off == c->bulk.n) {
		bulk_done(sh, c);
		return;
	}
	while (c->bulk.edge < c->bulk.off)
		c->bulk.edge += msg_len_at(c->bulk.p + c->bulk.edge);
}

void bgp_session_written(struct bgp_session *s, uint64_t conn, size_t len, int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);
	struct bgp_linger *l = linger_of(s, conn);

	s->info.bytes_out += len;
	if (l) {
		assert(len <= l->n - l->off);
		l->off += len;
	}
	if (!c || !len)
		return;
	if (c->offered_bulk) {
		bulk_written(s->sh, c, len);
	} else {
		assert(len <= c->control.n - c->control.off);
		c->control.off += len;
		if (c->control.off == c->control.n)
			control_done(c);
	}
	if (has_pending(c))
		arm_send_hold(c, now_ms);
	else
		c->send_hold_at = INT64_MAX;
}

void bgp_session_wake(struct bgp_session *s)
{
	const struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];

	if (c->state == BGP_STATE_ESTABLISHED && c->id)
		tell_write(s, c->id);
}

/* ---- input ---- */

/* RFC 7606: the route is gone or an attribute ignored, the session stays. */
static void log_update(struct bgp_session *s, const struct bgp_update *u, int64_t now_ms)
{
	unsigned left_out = s->update_log_left_out;

	if (u->verdict == BGP_TREAT_AS_WITHDRAW)
		s->info.withdrawn_by_error++;
	if (now_ms < s->update_log_at) {
		s->update_log_left_out++;
		return;
	}
	s->update_log_at = now_ms + UPDATE_LOG_MS;
	s->update_log_left_out = 0;
	bgp_session_log(s, u->verdict == BGP_TREAT_AS_WITHDRAW ? BGP_LEVEL_WARN : BGP_LEVEL_INFO,
			left_out ? "UPDATE: %s: %s (suppressed %u)" : "UPDATE: %s: %s",
			u->verdict == BGP_TREAT_AS_WITHDRAW ? "its routes are treated as withdrawn"
							    : "attribute discarded",
			u->text, left_out);
}

static void got_update(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
		       int64_t now_ms)
{
	struct bgp_cause cause = { 0 };
	struct bgp_update u;

	s->info.updates_in++;
	if (c->state != BGP_STATE_ESTABLISHED) {
		bgp_session_event(s, c, BGP_EVENT_UPDATE, &cause, now_ms);
		return;
	}
	bgp_update_decode(s->sh->attrs, &c->neg.wire, m->body, m->len, &u);
	if (u.verdict == BGP_SESSION_RESET) {
		cause.n = &u.notification;
		cause.why = u.text;
		bgp_session_event(s, c, BGP_EVENT_UPDATE_ERROR, &cause, now_ms);
		return;
	}
	if (u.verdict != BGP_OK)
		log_update(s, &u, now_ms);
	cause.update = &u;
	bgp_session_event(s, c, BGP_EVENT_UPDATE, &cause, now_ms);
	bgp_update_done(s->sh->attrs, &u);
}

static void got_open(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
		     int64_t now_ms)
{
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];
	struct bgp_open open;

	if (c->state != BGP_STATE_OPENSENT)
		bgp_session_event(s, c, BGP_EVENT_OPEN, &(struct bgp_cause) { 0 }, now_ms);
	else if (bgp_open_decode(m->body, m->len, &open, &n, why))
		bgp_session_got_open(s, c, &open, now_ms);
	else
		bgp_session_event(s, c, BGP_EVENT_OPEN_ERROR,
				  &(struct bgp_cause) { .n = &n, .why = why }, now_ms);
}

static void got_notification(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
			     int64_t now_ms)
{
	struct bgp_notification n = bgp_notification_decode(m->body, m->len);
	bool version = n.code == BGP_ERR_OPEN && n.subcode == BGP_OPEN_BAD_VERSION;

	bgp_session_event(s, c, version ? BGP_EVENT_NOTIFICATION_VERSION : BGP_EVENT_NOTIFICATION,
			  &(struct bgp_cause) { .n = &n }, now_ms);
}

/* RFC 7313 5, and RFC 4271 6.1 for who does not know that. */
static bool refresh_length_ok(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
			      int64_t now_ms)
{
	const uint8_t *whole = m->body - BGP_HEADER_LEN;
	bool known = c->neg.enhanced_refresh;
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];

	if (m->len == 4)
		return true;
	n = known ? bgp_notification(BGP_ERR_REFRESH, BGP_REFRESH_BAD_LENGTH, whole,
				     m->len + BGP_HEADER_LEN)
		  : bgp_notification(BGP_ERR_HEADER, BGP_HEADER_BAD_LENGTH, whole + BGP_MARKER_LEN,
				     2);
	snprintf(why, sizeof(why), "ROUTE-REFRESH of %zu bytes, must be 23",
		 m->len + BGP_HEADER_LEN);
	bgp_session_event(s, c, BGP_EVENT_HEADER_ERROR, &(struct bgp_cause) { .n = &n, .why = why },
			  now_ms);
	return false;
}

/* RFC 2918 4, 7313 5: what was not negotiated is ignored; so is an unknown subtype. */
static void got_refresh(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
			int64_t now_ms)
{
	struct rd r = rd_init(m->body, m->len);
	uint16_t afi = rd_u16(&r);
	uint8_t subtype = rd_u8(&r), safi = rd_u8(&r);
	enum bgp_af af = bgp_af_find(afi, safi);

	if (!refresh_length_ok(s, c, m, now_ms))
		return;
	if (c->state == BGP_STATE_ESTABLISHED &&
	    (af == BGP_AF_MAX_ || !(c->neg.wire.families >> af & 1) || !c->neg.refresh ||
	     subtype > (c->neg.enhanced_refresh ? BGP_REFRESH_END : BGP_REFRESH_PLEASE))) {
		bgp_session_log(
			s, BGP_LEVEL_DEBUG,
			"ROUTE-REFRESH of AFI %u SAFI %u subtype %u was not negotiated: ignored",
			afi, safi, subtype);
		af = BGP_AF_MAX_;
	}
	bgp_session_event(s, c, BGP_EVENT_REFRESH,
			  &(struct bgp_cause) { .refresh_af = af, .refresh_subtype = subtype },
			  now_ms);
}

static void got_msg(struct bgp_session *s, struct bgp_conn *c, const struct bgp_msg *m,
		    int64_t now_ms)
{
	s->info.msgs_in++;
	switch ((enum bgp_msg_type)m->type) {
	case BGP_MSG_OPEN:
		got_open(s, c, m, now_ms);
		return;
	case BGP_MSG_UPDATE:
		got_update(s, c, m, now_ms);
		return;
	case BGP_MSG_NOTIFICATION:
		got_notification(s, c, m, now_ms);
		return;
	case BGP_MSG_KEEPALIVE:
		bgp_session_event(s, c, BGP_EVENT_KEEPALIVE, &(struct bgp_cause) { 0 }, now_ms);
		return;
	case BGP_MSG_ROUTE_REFRESH:
		got_refresh(s, c, m, now_ms);
		return;
	}
}

static size_t msg_max(const struct bgp_conn *c)
{
	return c->neg.wire.msg_max ? c->neg.wire.msg_max : BGP_MSG_MAX;
}

/* Handle the message at p if it is whole: the bytes used, 0 when it is not, -1 when the connection
 * is no more. */
static ssize_t take_msg(struct bgp_session *s, uint64_t conn, const uint8_t *p, size_t len,
			int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];
	struct bgp_msg m;
	ssize_t used;

	if (!c)
		return -1;
	used = bgp_msg_next(p, len, msg_max(c), &m, &n, why);
	if (used > 0)
		got_msg(s, c, &m, now_ms);
	else if (used < 0)
		bgp_session_event(s, c, BGP_EVENT_HEADER_ERROR,
				  &(struct bgp_cause) { .n = &n, .why = why }, now_ms);
	bgp_session_run_failing(s, now_ms);
	return bgp_session_conn(s, conn) ? used : -1;
}

/* Add from the input what the cut message lacks and handle it when it is whole. The bytes used, or
 * -1. */
static ssize_t complete_msg(struct bgp_session *s, uint64_t conn, const uint8_t *p, size_t len,
			    int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);
	size_t want = c->rx.n < BGP_HEADER_LEN ? BGP_HEADER_LEN : msg_len_at(c->rx.p);
	size_t n = want - c->rx.n < len ? want - c->rx.n : len, have = c->rx.n + n;
	uint8_t *msg;
	ssize_t used;

	if (have > c->rx.cap) {
		c->rx.cap = want < 256 ? 256 : want;
		c->rx.p = xrealloc(c->rx.p, c->rx.cap);
	}
	memcpy(c->rx.p + c->rx.n, p, n);
	c->rx.n = have;
	if (have < BGP_HEADER_LEN || (want > BGP_HEADER_LEN && have < want))
		return (ssize_t)n;
	/* The message may end the connection, and rx with it: hold the bytes here meanwhile. */
	msg = TAKE(c->rx.p);
	used = take_msg(s, conn, msg, have, now_ms);
	if (used == 0) {
		/* The header is well and wants more. */
		c = bgp_session_conn(s, conn);
		c->rx.p = TAKE(msg);
	} else if (used > 0) {
		c = bgp_session_conn(s, conn);
		c->rx.n = c->rx.cap = 0;
	}
	free(msg);
	return used < 0 ? -1 : (ssize_t)n;
}

static void keep_rest(struct bgp_conn *c, const uint8_t *p, size_t len)
{
	c->rx.cap = len < 256 ? 256 : len;
	c->rx.p = xmalloc(c->rx.cap);
	memcpy(c->rx.p, p, len);
	c->rx.n = len;
}

void bgp_session_received(struct bgp_session *s, uint64_t conn, const void *bytes, size_t len,
			  int64_t now_ms)
{
	const uint8_t *p = bytes, *end = p + len;

	s->info.bytes_in += len;
	while (p < end) {
		struct bgp_conn *c = bgp_session_conn(s, conn);
		ssize_t used;

		if (!c)
			break;
		if (c->rx.n) {
			used = complete_msg(s, conn, p, (size_t)(end - p), now_ms);
		} else {
			used = take_msg(s, conn, p, (size_t)(end - p), now_ms);
			if (!used) {
				keep_rest(c, p, (size_t)(end - p));
				break;
			}
		}
		if (used < 0)
			break;
		p += used;
	}
	bgp_session_settle(s, now_ms);
}
