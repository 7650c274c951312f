/* session_step.c - one step of one connection, and what follows from it for the session
 *
 * SHAPE   bgp_session_event takes the row of fsm.c for (state, event), sets the next state and
 *         carries the action out. What follows for the session as a whole (dial again, wait, or stay
 *         away from a connection that the peer has made) is decided in bgp_session_after_end.
 * WAITING after TCP failed: retry_ms, doubling to 16 times that. After an error (NOTIFICATION either
 *         way that will come again): Idle for 1 s, doubling to 32 s; forgotten after 5 min
 *         Established. In Idle the peer's connections are refused, elsewhere they are welcome.
 *         BFD ends a rest that it began, and both waits are over when it finds the path whole.
 * SPEC    RFC 4271 6.8, 8.2.2, 10; 4486; 4724 4.2, 5; 5492 4; 6286 2.3; 6608; 8538; 9687
 * TESTS   tests/unit/bgp/session.c, session_pair.c */
#include <stdio.h>
#include <string.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session_impl.h"

enum {
	RETRY_MS = 200,
	RETRY_DOUBLINGS = 4,
	/* How long a dial may take: a lost SYN is sent again after 1, 3 and 7 s. */
	DIAL_MS = 8000,
	SYN_LOST_MS = 1000,
	IDLE_HOLD_MS = 1000,
	IDLE_HOLD_DOUBLINGS = 5,
	ERRORS_FORGOTTEN_MS = 300 * 1000,
};

const struct bgp_cause bgp_no_cause = { 0 };

/* ---- small things ---- */

/* xorshift: only to keep peers from acting in step. */
static uint32_t next_random(struct bgp_session *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 17;
	s->random ^= s->random << 5;
	return s->random;
}

/* RFC 4271 10: 0.75 to 1.0 of it. */
static int64_t jitter(struct bgp_session *s, int64_t ms)
{
	return ms - ms / 4 * (next_random(s) % 1024) / 1024;
}

void bgp_session_log(struct bgp_session *s, enum bgp_level level, const char *fmt, ...)
{
	char text[BGP_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->depth++;
	s->ops->log(s->arg, level, text);
	s->depth--;
}

struct bgp_conn *bgp_session_conn(struct bgp_session *s, uint64_t id)
{
	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++)
		if (id && s->conn[i].id == id)
			return &s->conn[i];
	return NULL;
}

static struct bgp_conn *other_of(struct bgp_session *s, const struct bgp_conn *c)
{
	return c == &s->conn[BGP_SLOT_MAIN] ? &s->conn[BGP_SLOT_CHALLENGER]
					    : &s->conn[BGP_SLOT_MAIN];
}

static void timers_off(struct bgp_conn *c)
{
	c->connect_retry_at = c->hold_at = c->keepalive_at = c->send_hold_at = INT64_MAX;
}

void bgp_conn_init(struct bgp_conn *c, enum bgp_conn_side side)
{
	*c = (struct bgp_conn) { .side = side };
	timers_off(c);
}

static void arm_hold(struct bgp_conn *c, int64_t now_ms)
{
	c->hold_at = c->neg.hold_s ? now_ms + c->neg.hold_s * 1000 : INT64_MAX;
}

int64_t bgp_conn_patience(const struct bgp_conn *c)
{
	int64_t most = c->side == BGP_CONN_IN ? BGP_OPEN_HOLD_ACCEPTED_MS : BGP_OPEN_HOLD_MS;
	int64_t hold = c->neg.hold_s * 1000;

	return hold && hold < most ? hold : most;
}

static void arm_keepalive(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	c->keepalive_at =
		c->neg.keepalive_s ? now_ms + jitter(s, c->neg.keepalive_s * 1000) : INT64_MAX;
}

/* ---- dialling and waiting ---- */

static void dial(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	c->side = BGP_CONN_OUT;
	c->connect_retry_at = now_ms + DIAL_MS;
	s->rest = BGP_REST_NONE;
	s->depth++;
	c->id = s->ops->connect(s->arg);
	s->depth--;
}

static void arm_retry(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	unsigned shift = s->retries < RETRY_DOUBLINGS ? s->retries : RETRY_DOUBLINGS;
	int64_t base = s->config.connect_retry_ms ? s->config.connect_retry_ms : RETRY_MS;

	if (s->config.passive || c->connect_retry_at != INT64_MAX)
		return;
	s->retries++;
	c->connect_retry_at = now_ms + jitter(s, base << shift);
}

/* How long to rest after an error; one more of them. */
static int64_t next_rest(struct bgp_session *s)
{
	unsigned shift = s->errors < IDLE_HOLD_DOUBLINGS ? s->errors : IDLE_HOLD_DOUBLINGS;
	int64_t ms = s->idle_ms ? s->idle_ms : jitter(s, (int64_t)IDLE_HOLD_MS << shift);

	s->errors++;
	s->idle_ms = 0;
	return ms;
}

static enum bgp_rest rest_after(enum bgp_down_kind kind, const struct bgp_notification *outer)
{
	const struct bgp_notification inner = bgp_notification_inner(outer), *n = &inner;

	if (kind != BGP_DOWN_SENT && kind != BGP_DOWN_RECEIVED)
		return BGP_REST_NONE;
	if (n->code == BGP_ERR_HOLD || n->code == BGP_ERR_SEND_HOLD)
		return BGP_REST_NONE;
	if (n->code != BGP_ERR_CEASE)
		return BGP_REST_ERROR;
	if (n->subcode == BGP_CEASE_BFD_DOWN)
		return BGP_REST_PATH;
	return n->subcode != BGP_CEASE_COLLISION && n->subcode != BGP_CEASE_RESET &&
			       n->subcode != BGP_CEASE_CONFIG_CHANGE &&
			       n->subcode != BGP_CEASE_HARD_RESET
		       ? BGP_REST_ERROR
		       : BGP_REST_NONE;
}

void bgp_session_after_end(struct bgp_session *s, enum bgp_rest rest, int64_t now_ms)
{
	enum bgp_state peers = s->conn[BGP_SLOT_CHALLENGER].state;
	struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];

	if (c->state >= BGP_STATE_OPENSENT || c->state == BGP_STATE_CONNECT)
		return;
	if (!s->started) {
		c->state = BGP_STATE_IDLE;
		c->connect_retry_at = INT64_MAX;
		return;
	}
	c->state = BGP_STATE_ACTIVE;
	/* The peer has told on its own connection who it is: leave it the field. One without an OPEN
	 * is no peer yet, and only keeps us from resting in Idle, where it would have to end. */
	if (peers >= BGP_STATE_OPENCONFIRM)
		return;
	if (rest)
		s->rest = rest;
	if (!rest) {
		arm_retry(s, c, now_ms);
	} else if (peers != BGP_STATE_OPENSENT) {
		c->state = BGP_STATE_IDLE;
		c->connect_retry_at = INT64_MAX;
		s->idle_hold_at = now_ms + next_rest(s);
	} else if (!s->config.passive) {
		c->connect_retry_at = now_ms + next_rest(s);
	}
}

void bgp_session_hurry(struct bgp_session *s, int64_t now_ms)
{
	struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];

	if (s->idle_hold_at != INT64_MAX)
		s->idle_hold_at = now_ms;
	if (c->connect_retry_at == INT64_MAX)
		return;
	if (c->state == BGP_STATE_ACTIVE || (c->state == BGP_STATE_CONNECT &&
					     now_ms >= c->connect_retry_at - DIAL_MS + SYN_LOST_MS))
		c->connect_retry_at = now_ms;
}

/* ---- the end of a connection ---- */

static void down_text(struct bgp_down *down, enum bgp_state from, const char *why)
{
	char words[BGP_TEXT_MAX * 3 / 4] = "";

	switch (down->kind) {
	case BGP_DOWN_SENT:
		bgp_notification_text(&down->n, words, sizeof(words));
		snprintf(down->text, sizeof(down->text), "sent %s: %s", words, why);
		return;
	case BGP_DOWN_RECEIVED:
		bgp_notification_text(&down->n, words, sizeof(words));
		snprintf(down->text, sizeof(down->text), "received %s", words);
		return;
	case BGP_DOWN_TCP:
		snprintf(down->text, sizeof(down->text), "%s: %s",
			 from == BGP_STATE_CONNECT ? "cannot connect" : "connection lost", why);
		return;
	case BGP_DOWN_STOPPED:
		snprintf(down->text, sizeof(down->text), "closed: %s", why);
		return;
	}
}

/* What a person should read as the last error: not that the peer, after a NOTIFICATION, has not
 * taken the next connection; that is what peers do, and it says less. */
static bool says_less(const struct bgp_session *s, const struct bgp_down *down, enum bgp_state from,
		      int64_t now_ms)
{
	const struct bgp_session_info *info = &s->info;

	return down->kind == BGP_DOWN_TCP && from < BGP_STATE_ESTABLISHED &&
	       info->last_notification[0] && info->last_error_ms == info->last_notification_ms &&
	       now_ms - info->last_error_ms < ERRORS_FORGOTTEN_MS;
}

static void note_error(struct bgp_session *s, const struct bgp_down *down, int64_t now_ms)
{
	snprintf(s->info.last_error, sizeof(s->info.last_error), "%s", down->text);
	s->info.last_error_ms = now_ms;
	if (down->kind == BGP_DOWN_TCP)
		return;
	snprintf(s->info.last_notification, sizeof(s->info.last_notification), "%s", down->text);
	s->info.last_notification_ms = now_ms;
}

static void tell_end(struct bgp_session *s, const struct bgp_down *down, enum bgp_state from,
		     int64_t now_ms)
{
	bool collision = down->n.code == BGP_ERR_CEASE && down->n.subcode == BGP_CEASE_COLLISION;
	bool routine = collision || down->kind == BGP_DOWN_STOPPED ||
		       (down->kind == BGP_DOWN_TCP && from < BGP_STATE_ESTABLISHED);

	snprintf(s->why, sizeof(s->why), "%s", down->text);
	if (!collision && down->kind != BGP_DOWN_STOPPED && !says_less(s, down, from, now_ms))
		note_error(s, down, now_ms);
	bgp_session_log(s, routine ? BGP_LEVEL_DEBUG : BGP_LEVEL_WARN, "%s", down->text);
	if (from != BGP_STATE_ESTABLISHED)
		return;
	s->info.flaps++;
	s->plain_open = false;
	if (now_ms - s->info.since_ms >= ERRORS_FORGOTTEN_MS)
		s->errors = 0;
	s->depth++;
	s->ops->down(s->arg, down);
	s->depth--;
}

static void queue_notification(struct bgp_session *s, struct bgp_conn *c,
			       const struct bgp_notification *n, int64_t now_ms)
{
	uint8_t buf[BGP_HEADER_LEN + 2 + sizeof(n->data)];
	struct wr w = wr_init(buf, sizeof(buf));

	bgp_msg_notification(&w, n);
	bgp_conn_control(s, c, buf, wr_len(&w), now_ms);
}

/* RFC 4724 4.2: the connection broke and nobody said a word; RFC 8538 3: or a word that is not a
 * Hard Reset. */
static bool is_graceful(const struct bgp_conn *c, enum bgp_state from, const struct bgp_down *down)
{
	if (from != BGP_STATE_ESTABLISHED || !c->neg.graceful || down->kind == BGP_DOWN_STOPPED)
		return false;
	if (down->kind == BGP_DOWN_TCP)
		return true;
	return c->neg.graceful_notification &&
	       !(down->n.code == BGP_ERR_CEASE && down->n.subcode == BGP_CEASE_HARD_RESET);
}

/* What the peer is told: with RFC 8538 agreed upon, an end for good must say so. */
static struct bgp_notification to_send(const struct bgp_conn *c, enum bgp_state from,
				       const struct bgp_notification *n)
{
	if (from != BGP_STATE_ESTABLISHED || !c->neg.graceful_notification ||
	    n->subcode == BGP_CEASE_HARD_RESET || !bgp_notification_is_final(n))
		return *n;
	return bgp_hard_reset(n);
}

/* Close it, whose state is already the next one. */
static void end(struct bgp_session *s, struct bgp_conn *c, enum bgp_state from,
		enum bgp_down_kind kind, const struct bgp_cause *cause, int64_t now_ms)
{
	struct bgp_down down = { .kind = kind };
	enum bgp_state next = c->state;
	uint64_t id = c->id;
	enum bgp_rest rest;
	bool linger = false;

	if (cause->n)
		down.n = kind == BGP_DOWN_SENT ? to_send(c, from, cause->n) : *cause->n;
	down.graceful = is_graceful(c, from, &down);
	down_text(&down, from, cause->why ? cause->why : "");
	if (id && kind == BGP_DOWN_SENT) {
		queue_notification(s, c, &down.n, now_ms);
		/* RFC 9687 4.3: who does not read will not read this either. */
		linger = down.n.code != BGP_ERR_SEND_HOLD && bgp_conn_last_words(s, c, now_ms);
	}
	bgp_conn_release(s->sh, c);
	bgp_conn_init(c, BGP_CONN_OUT);
	c->state = c == &s->conn[BGP_SLOT_MAIN] ? next : BGP_STATE_IDLE;
	if (id) {
		s->depth++;
		s->ops->close(s->arg, id, linger);
		s->depth--;
	}
	tell_end(s, &down, from, now_ms);
	rest = rest_after(kind, &down.n);
	/* RFC 5492 4: an old speaker refuses all optional parameters; try without, at once. Only
	 * that code says so: 2/7 is about what is missing, not about what is there. */
	if (kind == BGP_DOWN_RECEIVED && down.n.code == BGP_ERR_OPEN &&
	    down.n.subcode == BGP_OPEN_BAD_PARAMETER) {
		rest = s->plain_open ? BGP_REST_ERROR : BGP_REST_NONE;
		s->plain_open = true;
	}
	bgp_session_after_end(s, rest, now_ms);
}

static enum bgp_down_kind close_kind(enum bgp_event event)
{
	if (event == BGP_EVENT_TCP_DOWN)
		return BGP_DOWN_TCP;
	if (event == BGP_EVENT_NOTIFICATION || event == BGP_EVENT_NOTIFICATION_VERSION)
		return BGP_DOWN_RECEIVED;
	return BGP_DOWN_STOPPED;
}

static void protocol_error(struct bgp_session *s, struct bgp_conn *c, enum bgp_state from,
			   enum bgp_event event, int64_t now_ms)
{
	static const char *const expected[BGP_STATE_MAX_] = {
		[BGP_STATE_OPENSENT] = "OPEN",
		[BGP_STATE_OPENCONFIRM] = "KEEPALIVE",
		[BGP_STATE_ESTABLISHED] = "UPDATE, KEEPALIVE or ROUTE-REFRESH",
	};
	struct bgp_notification n = bgp_notification(BGP_ERR_FSM, bgp_fsm_subcode(from), NULL, 0);
	char why[BGP_TEXT_MAX];

	snprintf(why, sizeof(why), "%s came in %s, must be %s", bgp_event_name(event),
		 bgp_state_name(from), expected[from] ? expected[from] : "nothing");
	end(s, c, from, BGP_DOWN_SENT, &(struct bgp_cause) { .n = &n, .why = why }, now_ms);
}

/* ---- OPEN ---- */

/* RFC 4724 3, 9494 3.2: long-lived only beside the ordinary one. */
static void offer_graceful(const struct bgp_session *s, struct bgp_caps *caps)
{
	const struct bgp_session_config *cfg = &s->config;

	caps->gr.present = true;
	caps->gr.time_s = cfg->gr_restart_s < 4095 ? cfg->gr_restart_s : 4095;
	caps->gr.restarting = cfg->restarting;
	caps->gr.notification = true;
	caps->gr.families = cfg->families;
	/* A session that was up before in this life, too: nothing of ours has stopped forwarding.
	 * Without the bit the peer would drop our routes at once, to have them told again. */
	if (cfg->restarting || cfg->forwarding || s->info.flaps)
		caps->gr.forwarding = cfg->families;
	if (!caps->llgr.present || !cfg->long_lived_s)
		return;
	caps->llgr.families = cfg->families;
	caps->llgr.forwarding = caps->gr.forwarding;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++)
		caps->llgr.time_s[af] = cfg->families >> af & 1 ? cfg->long_lived_s : 0;
}

static struct bgp_open our_open(const struct bgp_session *s)
{
	const struct bgp_session_config *cfg = &s->config;
	struct bgp_open o = {
		.version = 4,
		.as = cfg->local_as,
		.hold_s = cfg->hold_s,
		.id = cfg->router_id,
	};

	if (s->plain_open)
		return o;
	o.caps.mp = true;
	o.caps.families = cfg->families;
	o.caps.refresh = true;
	o.caps.as4 = true;
	o.caps.as4_number = cfg->local_as;
	o.caps.enhanced_refresh = cfg->enhanced_refresh;
	o.caps.extended_message = cfg->extended_message;
	o.caps.llgr.present = cfg->long_lived_aware;
	o.caps.ext_next_hop = cfg->ext_next_hop & cfg->families;
	o.caps.add_path_rx = cfg->add_path_rx & cfg->families;
	o.caps.add_path_tx = cfg->add_path_tx & cfg->families;
	o.caps.role = cfg->local_as != cfg->remote_as ? cfg->role : BGP_ROLE_NONE;
	if (cfg->gr_restart_s)
		offer_graceful(s, &o.caps);
	return o;
}

struct bgp_caps bgp_session_caps(const struct bgp_session *s)
{
	return our_open(s).caps;
}

static void send_open(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_open o = our_open(s);
	uint8_t buf[1024];
	struct wr w = wr_init(buf, sizeof(buf));

	bgp_open_encode(&w, &o);
	bgp_conn_control(s, c, buf, wr_len(&w), now_ms);
	c->connect_retry_at = INT64_MAX;
	c->hold_at = now_ms + bgp_conn_patience(c);
}

/* RFC 4271 6.8, 6286 2.3: of two, the one opened by the side with the higher ID lives. */
static bool theirs_lives(const struct bgp_session *s, uint32_t remote_id)
{
	if (s->config.router_id != remote_id)
		return s->config.router_id < remote_id;
	return s->config.local_as < s->config.remote_as;
}

static void drop_for_collision(struct bgp_session *s, struct bgp_conn *c, const char *why,
			       int64_t now_ms)
{
	struct bgp_notification n = bgp_cease(BGP_CEASE_COLLISION, NULL);

	bgp_session_event(s, c, BGP_EVENT_COLLISION, &(struct bgp_cause) { .n = &n, .why = why },
			  now_ms);
}

/* True when c, on which an OPEN came, may go on. */
static bool wins_collision(struct bgp_session *s, struct bgp_conn *c, uint32_t remote_id,
			   int64_t now_ms)
{
	struct bgp_conn *other = other_of(s, c), *loser;

	if (other->state == BGP_STATE_ESTABLISHED && other->neg.graceful) {
		/* RFC 4724 5: it has restarted before its old connection was seen to break. */
		other->state = BGP_STATE_ACTIVE;
		end(s, other, BGP_STATE_ESTABLISHED, BGP_DOWN_TCP,
		    &(struct bgp_cause) { .why = "the peer has restarted and connected anew" },
		    now_ms);
		return true;
	}
	if (other->state == BGP_STATE_ESTABLISHED) {
		drop_for_collision(s, c, "there is an Established connection already", now_ms);
		return false;
	}
	if (other->state != BGP_STATE_OPENCONFIRM)
		return true;
	loser = (c->side == BGP_CONN_IN) == theirs_lives(s, remote_id) ? other : c;
	drop_for_collision(s, loser, "the connection of the side with the higher router ID lives",
			   now_ms);
	return loser != c;
}

/* Both know each other, but have they anything to talk about? */
static bool have_family(struct bgp_session *s, struct bgp_conn *c, const struct bgp_negotiated *neg,
			int64_t now_ms)
{
	const struct bgp_caps want = { .families = s->config.families };
	struct bgp_notification n;
	uint8_t buf[64];
	struct wr w = wr_init(buf, sizeof(buf));

	if (neg->wire.families)
		return true;
	for (unsigned af = 0; af < BGP_AF_MAX_; af++) {
		if (!(want.families >> af & 1))
			continue;
		wr_u8(&w, BGP_CAP_MULTIPROTOCOL);
		wr_u8(&w, 4);
		wr_u16(&w, bgp_af_info((enum bgp_af)af)->afi);
		wr_u16(&w, bgp_af_info((enum bgp_af)af)->safi);
	}
	n = bgp_notification(BGP_ERR_OPEN, BGP_OPEN_BAD_CAPABILITY, buf, wr_len(&w));
	bgp_session_event(s, c, BGP_EVENT_OPEN_ERROR,
			  &(struct bgp_cause) { .n = &n,
						.why = "the peer has no address family in "
						       "common with this session" },
			  now_ms);
	return false;
}

void bgp_session_got_open(struct bgp_session *s, struct bgp_conn *c, const struct bgp_open *open,
			  int64_t now_ms)
{
	const struct bgp_expect expect = {
		.local_as = s->config.local_as,
		.remote_as = s->config.remote_as,
		.local_id = s->config.router_id,
		.role = s->config.role,
		.role_strict = s->config.role_strict,
	};
	struct bgp_open local = our_open(s);
	struct bgp_negotiated neg;
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];

	if (!bgp_open_check(open, &expect, &n, why)) {
		bgp_session_event(s, c, BGP_EVENT_OPEN_ERROR,
				  &(struct bgp_cause) { .n = &n, .why = why }, now_ms);
		return;
	}
	neg = bgp_negotiate(&local, open, s->config.keepalive_s);
	neg.wire.first_as_check = s->config.first_as_check;
	neg.wire.refuse_as_sets = s->config.refuse_as_sets;
	if (!have_family(s, c, &neg, now_ms) || !wins_collision(s, c, open->id, now_ms))
		return;
	c->remote = *open;
	c->neg = neg;
	bgp_session_event(s, c, BGP_EVENT_OPEN, &bgp_no_cause, now_ms);
}

static void confirm(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_conn *other = other_of(s, c);

	bgp_conn_keepalive(s, c, now_ms);
	/* DIFFERS: RFC 4271 8.2.2 waits for the first KEEPALIVE as long as for the others, and forever
	 * when the hold time is 0. It comes at once or never. */
	c->hold_at = now_ms + bgp_conn_patience(c);
	arm_keepalive(s, c, now_ms);
	/* A dial that is not through yet would only collide. */
	if (other->state == BGP_STATE_CONNECT)
		drop_for_collision(s, other, "the peer's connection got further", now_ms);
}

/* ---- Established ---- */

static void up(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_conn *main = &s->conn[BGP_SLOT_MAIN], *other = other_of(s, c);
	struct addr id = addr_v4(c->neg.remote_id);
	char text[ADDR_STR_MAX];

	if (other->state >= BGP_STATE_OPENSENT || other->state == BGP_STATE_CONNECT)
		drop_for_collision(s, other, "the other connection is Established", now_ms);
	if (c != main)
		bgp_conn_move(s->sh, main, c);
	main->connect_retry_at = INT64_MAX;
	arm_hold(main, now_ms);
	s->idle_hold_at = INT64_MAX;
	s->rest = BGP_REST_NONE;
	s->retries = 0;
	snprintf(s->why, sizeof(s->why), "AS %u, router ID %s, hold time %u s",
		 main->neg.wire.remote_as, addr_format(&id, text), main->neg.hold_s);
	/* Before the first route. */
	bgp_session_settle(s, now_ms);
	s->depth++;
	s->ops->up(s->arg);
	s->depth--;
}

static void take_update(struct bgp_session *s, struct bgp_conn *c, const struct bgp_cause *cause,
			int64_t now_ms)
{
	arm_hold(c, now_ms);
	s->depth++;
	s->ops->update(s->arg, cause->update);
	s->depth--;
}

static void take_refresh(struct bgp_session *s, struct bgp_conn *c, const struct bgp_cause *cause,
			 int64_t now_ms)
{
	arm_hold(c, now_ms);
	if (cause->refresh_af == BGP_AF_MAX_)
		return;
	s->depth++;
	s->ops->refresh(s->arg, cause->refresh_af, cause->refresh_subtype);
	s->depth--;
}

/* ---- one step ---- */

void bgp_session_event(struct bgp_session *s, struct bgp_conn *c, enum bgp_event event,
		       const struct bgp_cause *cause, int64_t now_ms)
{
	const struct bgp_fsm_row *row = bgp_fsm(c->state, event);
	enum bgp_state from = c->state;

	c->state = row->next;
	switch (row->action) {
	case BGP_DO_PROTOCOL_ERROR:
		protocol_error(s, c, from, event, now_ms);
		return;
	case BGP_DO_NOTHING:
		return;
	case BGP_DO_DIAL:
		dial(s, c, now_ms);
		return;
	case BGP_DO_LISTEN:
		return;
	case BGP_DO_REDIAL:
		end(s, c, from, BGP_DOWN_TCP, &(struct bgp_cause) { .why = "no answer" }, now_ms);
		dial(s, c, now_ms);
		return;
	case BGP_DO_WAIT:
		end(s, c, from, BGP_DOWN_TCP, cause, now_ms);
		return;
	case BGP_DO_SEND_OPEN:
		send_open(s, c, now_ms);
		return;
	case BGP_DO_CONFIRM:
		confirm(s, c, now_ms);
		return;
	case BGP_DO_UP:
		up(s, c, now_ms);
		return;
	case BGP_DO_HEARD:
		arm_hold(c, now_ms);
		return;
	case BGP_DO_UPDATE:
		take_update(s, c, cause, now_ms);
		return;
	case BGP_DO_REFRESH:
		take_refresh(s, c, cause, now_ms);
		return;
	case BGP_DO_KEEPALIVE:
		bgp_conn_keepalive(s, c, now_ms);
		arm_keepalive(s, c, now_ms);
		return;
	case BGP_DO_NOTIFY:
		end(s, c, from, cause->n ? BGP_DOWN_SENT : BGP_DOWN_STOPPED, cause, now_ms);
		return;
	case BGP_DO_CLOSE:
		end(s, c, from, close_kind(event), cause, now_ms);
		return;
	case BGP_ACTION_MAX_:
		return;
	}
}
