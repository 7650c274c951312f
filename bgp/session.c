/* session.c - a BGP session: connections' states, collision, timers, waiting after errors
 *
 * SHAPE  bgp_session_event takes the row of fsm.c for (state, event), sets the next state and carries
 *        the action out. What follows for the session as a whole (dial again, wait, or stay away from
 *        a connection that the peer has made) is decided in one place: after_end.
 * WAITING after TCP failed: retry_ms, doubling to 16 times that. After an error (NOTIFICATION either way
 *        that will come again): Idle for 1 s, doubling to 32 s; forgotten after 5 min Established.
 *        In Idle the peer's connections are refused, elsewhere they are welcome.
 * SPEC   RFC 4271 6.8, 8, 10; 4486; 4724 5; 5492 4; 6286 2.3; 6608; 9687
 * TESTS  tests/unit/bgp/session.c */
#include "bgp/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session_impl.h"

enum {
	RETRY_MS = 200,
	RETRY_DOUBLINGS = 4,
	/* How long a dial may take: a lost SYN is sent again after 1, 3 and 7 s. */
	DIAL_MS = 8000,
	IDLE_HOLD_MS = 1000,
	IDLE_HOLD_DOUBLINGS = 5,
	ERRORS_FORGOTTEN_MS = 300 * 1000,
};

static const struct bgp_cause nothing;

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
	return c == &s->conn[BGP_SLOT_MAIN] ? &s->conn[BGP_SLOT_CHALLENGER] :
					      &s->conn[BGP_SLOT_MAIN];
}

static void timers_off(struct bgp_conn *c)
{
	c->connect_retry_at = c->hold_at = c->keepalive_at = c->send_hold_at = INT64_MAX;
}

static void conn_init(struct bgp_conn *c, enum bgp_conn_side side)
{
	*c = (struct bgp_conn){ .side = side };
	timers_off(c);
}

static void arm_hold(struct bgp_conn *c, int64_t now_ms)
{
	c->hold_at = c->neg.hold_s ? now_ms + c->neg.hold_s * 1000 : INT64_MAX;
}

static void arm_keepalive(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	c->keepalive_at = c->neg.keepalive_s ? now_ms + jitter(s, c->neg.keepalive_s * 1000) :
					       INT64_MAX;
}

static void remember_error(struct bgp_session *s, const char *text, int64_t now_ms)
{
	snprintf(s->info.last_error, sizeof(s->info.last_error), "%s", text);
	s->info.last_error_ms = now_ms;
	snprintf(s->why, sizeof(s->why), "%s", text);
}

/* ---- dialling and waiting ---- */

static void dial(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	c->side = BGP_CONN_OUT;
	c->connect_retry_at = now_ms + DIAL_MS;
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

static void enter_idle_hold(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	unsigned shift = s->errors < IDLE_HOLD_DOUBLINGS ? s->errors : IDLE_HOLD_DOUBLINGS;

	s->errors++;
	c->state = BGP_STATE_IDLE;
	c->connect_retry_at = INT64_MAX;
	s->idle_hold_at = now_ms + jitter(s, (int64_t)IDLE_HOLD_MS << shift);
}

/* Will the same happen again at once, so that waiting is better? */
static bool deserves_wait(enum bgp_down_kind kind, const struct bgp_notification *n)
{
	if (kind != BGP_DOWN_SENT && kind != BGP_DOWN_RECEIVED)
		return false;
	if (n->code == BGP_ERR_HOLD || n->code == BGP_ERR_SEND_HOLD)
		return false;
	if (n->code != BGP_ERR_CEASE)
		return true;
	return n->subcode != BGP_CEASE_COLLISION && n->subcode != BGP_CEASE_RESET &&
	       n->subcode != BGP_CEASE_CONFIG_CHANGE && n->subcode != BGP_CEASE_HARD_RESET;
}

/* A connection has ended, its slot is empty. What does the dialling slot do now? */
static void after_end(struct bgp_session *s, bool wait, int64_t now_ms)
{
	struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];

	if (c->state >= BGP_STATE_OPENSENT || c->state == BGP_STATE_CONNECT)
		return;
	if (!s->started) {
		c->state = BGP_STATE_IDLE;
		c->connect_retry_at = INT64_MAX;
		return;
	}
	/* The peer's connection lives: leave it the field. */
	if (s->conn[BGP_SLOT_CHALLENGER].state >= BGP_STATE_OPENSENT) {
		c->state = BGP_STATE_ACTIVE;
		return;
	}
	if (wait) {
		enter_idle_hold(s, c, now_ms);
		return;
	}
	c->state = BGP_STATE_ACTIVE;
	arm_retry(s, c, now_ms);
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

static void tell_end(struct bgp_session *s, const struct bgp_down *down, enum bgp_state from,
		     int64_t now_ms)
{
	bool collision = down->n.code == BGP_ERR_CEASE && down->n.subcode == BGP_CEASE_COLLISION;
	bool routine = collision || down->kind == BGP_DOWN_STOPPED ||
		       (down->kind == BGP_DOWN_TCP && from < BGP_STATE_ESTABLISHED);

	if (!collision && down->kind != BGP_DOWN_STOPPED)
		remember_error(s, down->text, now_ms);
	else
		snprintf(s->why, sizeof(s->why), "%s", down->text);
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

/* Close it, whose state is already the next one. */
static void end(struct bgp_session *s, struct bgp_conn *c, enum bgp_state from,
		enum bgp_down_kind kind, const struct bgp_cause *cause, int64_t now_ms)
{
	struct bgp_down down = { .kind = kind };
	enum bgp_state next = c->state;
	uint64_t id = c->id;
	bool linger = false, wait;

	if (cause->n)
		down.n = *cause->n;
	/* RFC 4724 4.2: the connection broke, nobody said a word. */
	down.graceful = kind == BGP_DOWN_TCP && from == BGP_STATE_ESTABLISHED && c->neg.graceful;
	down_text(&down, from, cause->why ? cause->why : "");
	if (id && kind == BGP_DOWN_SENT) {
		queue_notification(s, c, cause->n, now_ms);
		/* RFC 9687 4.3: who does not read will not read this either. */
		linger = down.n.code != BGP_ERR_SEND_HOLD && bgp_conn_last_words(s, c, now_ms);
	}
	bgp_conn_release(s->sh, c);
	conn_init(c, BGP_CONN_OUT);
	c->state = c == &s->conn[BGP_SLOT_MAIN] ? next : BGP_STATE_IDLE;
	if (id) {
		s->depth++;
		s->ops->close(s->arg, id, linger);
		s->depth--;
	}
	tell_end(s, &down, from, now_ms);
	wait = deserves_wait(kind, &down.n);
	/* RFC 5492 4: an old speaker refuses all optional parameters; try without, at once. Only that
	 * code says so: 2/7 is about what is missing, not about what is there. */
	if (kind == BGP_DOWN_RECEIVED && down.n.code == BGP_ERR_OPEN &&
	    down.n.subcode == BGP_OPEN_BAD_PARAMETER) {
		wait = s->plain_open;
		s->plain_open = true;
	}
	after_end(s, wait, now_ms);
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
	struct bgp_notification n =
		bgp_notification(BGP_ERR_FSM, bgp_fsm_subcode(from), NULL, 0);
	char why[BGP_TEXT_MAX];

	snprintf(why, sizeof(why), "%s came in %s, must be %s", bgp_event_name(event),
		 bgp_state_name(from), expected[from] ? expected[from] : "nothing");
	end(s, c, from, BGP_DOWN_SENT, &(struct bgp_cause){ .n = &n, .why = why }, now_ms);
}

/* ---- OPEN ---- */

static struct bgp_open our_open(const struct bgp_session *s)
{
	const struct bgp_session_config *cfg = &s->config;
	struct bgp_open o = {
		.version = 4, .as = cfg->local_as, .hold_s = cfg->hold_s, .id = cfg->router_id,
	};

	if (s->plain_open)
		return o;
	o.caps.mp = true;
	o.caps.families = cfg->families;
	o.caps.refresh = true;
	o.caps.as4 = true;
	o.caps.as4_number = cfg->local_as;
	if (!cfg->gr_restart_s)
		return o;
	o.caps.gr.present = true;
	o.caps.gr.time_s = cfg->gr_restart_s < 4095 ? cfg->gr_restart_s : 4095;
	o.caps.gr.restarting = cfg->restarting;
	o.caps.gr.families = cfg->families;
	o.caps.gr.forwarding = cfg->restarting ? cfg->families : 0;
	return o;
}

static void send_open(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_open o = our_open(s);
	uint8_t buf[1024];
	struct wr w = wr_init(buf, sizeof(buf));

	bgp_open_encode(&w, &o);
	bgp_conn_control(s, c, buf, wr_len(&w), now_ms);
	c->connect_retry_at = INT64_MAX;
	c->hold_at = now_ms + BGP_OPEN_HOLD_MS;
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

	bgp_session_event(s, c, BGP_EVENT_COLLISION, &(struct bgp_cause){ .n = &n, .why = why },
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
		    &(struct bgp_cause){ .why = "the peer has restarted and connected anew" }, now_ms);
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
static bool have_family(struct bgp_session *s, struct bgp_conn *c,
			const struct bgp_negotiated *neg, int64_t now_ms)
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
			  &(struct bgp_cause){ .n = &n, .why = "the peer has no address family in "
							       "common with this session" },
			  now_ms);
	return false;
}

void bgp_session_got_open(struct bgp_session *s, struct bgp_conn *c, const struct bgp_open *open,
			  int64_t now_ms)
{
	const struct bgp_expect expect = { s->config.local_as, s->config.remote_as,
					   s->config.router_id };
	struct bgp_open local = our_open(s);
	struct bgp_negotiated neg;
	struct bgp_notification n;
	char why[BGP_TEXT_MAX];

	if (!bgp_open_check(open, &expect, &n, why)) {
		bgp_session_event(s, c, BGP_EVENT_OPEN_ERROR,
				  &(struct bgp_cause){ .n = &n, .why = why }, now_ms);
		return;
	}
	neg = bgp_negotiate(&local, open, s->config.keepalive_s);
	neg.wire.first_as_check = s->config.first_as_check;
	if (!have_family(s, c, &neg, now_ms) || !wins_collision(s, c, open->id, now_ms))
		return;
	c->remote = *open;
	c->neg = neg;
	bgp_session_event(s, c, BGP_EVENT_OPEN, &nothing, now_ms);
}

static void confirm(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_conn *other = other_of(s, c);

	bgp_conn_keepalive(s, c, now_ms);
	arm_hold(c, now_ms);
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
	s->ops->refresh(s->arg, cause->refresh_af, 0);
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
		end(s, c, from, BGP_DOWN_TCP, &(struct bgp_cause){ .why = "no answer" }, now_ms);
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

void bgp_session_settle(struct bgp_session *s, int64_t now_ms)
{
	struct bgp_conn *main = &s->conn[BGP_SLOT_MAIN];
	struct bgp_conn *ahead = &s->conn[BGP_SLOT_CHALLENGER];
	enum bgp_state from = s->info.state;

	if (ahead->state < BGP_STATE_OPENSENT || ahead->state <= main->state)
		ahead = main;
	s->info.conn = ahead->id ? ahead : NULL;
	s->info.next_retry_ms = 0;
	if (main->state == BGP_STATE_IDLE && s->idle_hold_at != INT64_MAX)
		s->info.next_retry_ms = s->idle_hold_at;
	else if (main->state == BGP_STATE_ACTIVE && main->connect_retry_at != INT64_MAX)
		s->info.next_retry_ms = main->connect_retry_at;
	if (ahead->state == from)
		return;
	s->info.state = ahead->state;
	s->info.since_ms = now_ms;
	s->depth++;
	s->ops->state(s->arg, from, ahead->state, s->why);
	s->depth--;
	s->why[0] = '\0';
}

/* ---- lifecycle ---- */

struct bgp_shared *bgp_shared_new(struct bgp_attr_table *attrs)
{
	struct bgp_shared *sh = xcalloc(1, sizeof(*sh));

	sh->attrs = attrs;
	return sh;
}

void bgp_shared_free(struct bgp_shared *sh)
{
	free(sh);
}

struct bgp_session *bgp_session_new(struct bgp_shared *sh, const struct bgp_session_config *config,
				    const struct bgp_session_ops *ops, void *arg, uint32_t seed)
{
	struct bgp_session *s = xcalloc(1, sizeof(*s));

	s->sh = sh;
	s->config = *config;
	s->ops = ops;
	s->arg = arg;
	/* xorshift stays at 0 forever. */
	s->random = seed ? seed : 1;
	s->idle_hold_at = INT64_MAX;
	s->update_log_at = INT64_MIN;
	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++)
		conn_init(&s->conn[i], BGP_CONN_OUT);
	return s;
}

void bgp_session_free(struct bgp_session *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++) {
		bgp_conn_release(s->sh, &s->conn[i]);
		bgp_linger_drop(&s->linger[i]);
	}
	free(s);
}

static void start_main(struct bgp_session *s, int64_t now_ms)
{
	s->idle_hold_at = INT64_MAX;
	bgp_session_event(s, &s->conn[BGP_SLOT_MAIN],
			  s->config.passive ? BGP_EVENT_START_PASSIVE : BGP_EVENT_START, &nothing,
			  now_ms);
}

void bgp_session_start(struct bgp_session *s, int64_t now_ms)
{
	if (s->started)
		return;
	s->started = true;
	snprintf(s->why, sizeof(s->why), "started");
	start_main(s, now_ms);
	bgp_session_settle(s, now_ms);
}

/* Challenger first, so that the main slot does not think of taking its place. */
static void end_all(struct bgp_session *s, const struct bgp_notification *n, const char *why,
		    int64_t now_ms)
{
	const struct bgp_cause cause = { .n = n, .why = why };

	for (unsigned i = BGP_SLOT_MAX_; i-- > 0;)
		if (s->conn[i].state >= BGP_STATE_OPENSENT || s->conn[i].state == BGP_STATE_CONNECT)
			bgp_session_event(s, &s->conn[i], BGP_EVENT_STOP, &cause, now_ms);
}

void bgp_session_stop(struct bgp_session *s, const struct bgp_notification *n, const char *why,
		      int64_t now_ms)
{
	struct bgp_conn *main = &s->conn[BGP_SLOT_MAIN];

	if (!s->started)
		return;
	s->started = false;
	end_all(s, n, why, now_ms);
	main->state = BGP_STATE_IDLE;
	main->connect_retry_at = INT64_MAX;
	s->idle_hold_at = INT64_MAX;
	s->retries = s->errors = 0;
	snprintf(s->why, sizeof(s->why), "%s", why);
	bgp_session_settle(s, now_ms);
}

void bgp_session_configure(struct bgp_session *s, const struct bgp_session_config *config,
			   int64_t now_ms)
{
	const struct bgp_session_config old = s->config;
	struct bgp_conn *main = &s->conn[BGP_SLOT_MAIN];
	struct bgp_notification n = bgp_cease(BGP_CEASE_CONFIG_CHANGE, NULL);

	s->config = *config;
	if (!s->started)
		return;
	if (old.local_as != config->local_as || old.remote_as != config->remote_as ||
	    old.router_id != config->router_id || old.families != config->families) {
		s->errors = s->retries = 0;
		end_all(s, &n, "the configuration of this session has changed", now_ms);
		if (main->state == BGP_STATE_IDLE)
			start_main(s, now_ms);
	}
	if (config->passive && main->state == BGP_STATE_ACTIVE)
		main->connect_retry_at = INT64_MAX;
	else if (!config->passive && main->state == BGP_STATE_ACTIVE)
		after_end(s, false, now_ms);
	bgp_session_settle(s, now_ms);
}

void bgp_session_fail(struct bgp_session *s, const struct bgp_notification *n, const char *why,
		      int64_t now_ms)
{
	if (s->depth) {
		s->failing.there = true;
		s->failing.n = *n;
		snprintf(s->failing.why, sizeof(s->failing.why), "%s", why);
		return;
	}
	end_all(s, n, why, now_ms);
	bgp_session_settle(s, now_ms);
}

void bgp_session_run_failing(struct bgp_session *s, int64_t now_ms)
{
	if (!s->failing.there)
		return;
	s->failing.there = false;
	bgp_session_fail(s, &s->failing.n, s->failing.why, now_ms);
}

/* ---- connections ---- */

bool bgp_session_accept(struct bgp_session *s, uint64_t conn, const struct addr *local,
			int64_t now_ms)
{
	struct bgp_conn *c = &s->conn[BGP_SLOT_CHALLENGER];

	if (s->conn[BGP_SLOT_MAIN].state == BGP_STATE_IDLE)
		return false;
	/* Who dials anew has given the last attempt up. One that has told who it is may stay: its hold
	 * timer is short. */
	if (c->state == BGP_STATE_OPENSENT)
		bgp_session_event(s, c, BGP_EVENT_TCP_DOWN,
				  &(struct bgp_cause){ .why = "the peer has connected anew" }, now_ms);
	if (c->state != BGP_STATE_IDLE)
		return false;
	conn_init(c, BGP_CONN_IN);
	c->id = conn;
	c->local = *local;
	c->state = BGP_STATE_ACTIVE;
	bgp_session_event(s, c, BGP_EVENT_TCP_UP, &nothing, now_ms);
	bgp_session_settle(s, now_ms);
	return true;
}

void bgp_session_connected(struct bgp_session *s, uint64_t conn, const struct addr *local,
			   int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);

	if (!c || c->state != BGP_STATE_CONNECT)
		return;
	c->local = *local;
	bgp_session_event(s, c, BGP_EVENT_TCP_UP, &nothing, now_ms);
	bgp_session_settle(s, now_ms);
}

void bgp_session_connect_failed(struct bgp_session *s, uint64_t conn, const char *why,
				int64_t now_ms)
{
	bgp_session_closed(s, conn, why, now_ms);
}

void bgp_session_closed(struct bgp_session *s, uint64_t conn, const char *why, int64_t now_ms)
{
	struct bgp_conn *c = bgp_session_conn(s, conn);

	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++)
		if (conn && s->linger[i].id == conn)
			bgp_linger_drop(&s->linger[i]);
	if (!c)
		return;
	/* The socket is gone: nothing to close. */
	c->id = 0;
	bgp_session_event(s, c, BGP_EVENT_TCP_DOWN, &(struct bgp_cause){ .why = why }, now_ms);
	bgp_session_settle(s, now_ms);
}

bool bgp_session_send_refresh(struct bgp_session *s, enum bgp_af af, int64_t now_ms)
{
	struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];
	uint8_t buf[64];
	struct wr w = wr_init(buf, sizeof(buf));

	if (c->state != BGP_STATE_ESTABLISHED || !c->neg.refresh ||
	    !(c->neg.wire.families >> af & 1))
		return false;
	bgp_msg_refresh(&w, af, 0);
	return bgp_conn_control(s, c, buf, wr_len(&w), now_ms);
}

/* ---- time ---- */

static void run_retry(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	c->connect_retry_at = INT64_MAX;
	/* The peer's connection is nearly there: do not collide with it. If it fails, after_end arms
	 * the timer again. */
	if (c->state == BGP_STATE_ACTIVE &&
	    s->conn[BGP_SLOT_CHALLENGER].state >= BGP_STATE_OPENCONFIRM)
		return;
	bgp_session_event(s, c, BGP_EVENT_CONNECT_RETRY, &nothing, now_ms);
}

static void run_hold(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_notification n = bgp_notification(BGP_ERR_HOLD, 0, NULL, 0);
	char why[BGP_TEXT_MAX];

	if (c->state == BGP_STATE_OPENSENT)
		snprintf(why, sizeof(why), "no OPEN within %d s", BGP_OPEN_HOLD_MS / 1000);
	else
		snprintf(why, sizeof(why), "nothing heard for %u s", c->neg.hold_s);
	bgp_session_event(s, c, BGP_EVENT_HOLD, &(struct bgp_cause){ .n = &n, .why = why }, now_ms);
}

static void run_send_hold(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_notification n = bgp_notification(BGP_ERR_SEND_HOLD, 0, NULL, 0);

	bgp_session_event(s, c, BGP_EVENT_SEND_HOLD,
			  &(struct bgp_cause){ .n = &n, .why = "the peer does not read" }, now_ms);
}

static void tick_conn(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	if (now_ms >= c->connect_retry_at)
		run_retry(s, c, now_ms);
	if (now_ms >= c->hold_at)
		run_hold(s, c, now_ms);
	if (now_ms >= c->send_hold_at)
		run_send_hold(s, c, now_ms);
	if (now_ms >= c->keepalive_at)
		bgp_session_event(s, c, BGP_EVENT_KEEPALIVE_DUE, &nothing, now_ms);
}

void bgp_session_tick(struct bgp_session *s, int64_t now_ms)
{
	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++) {
		struct bgp_linger *l = &s->linger[i];
		uint64_t id = l->id;

		tick_conn(s, &s->conn[i], now_ms);
		if (id && id == l->id && now_ms >= l->until) {
			bgp_linger_drop(l);
			s->ops->close(s->arg, id, false);
		}
	}
	if (now_ms >= s->idle_hold_at && s->started)
		start_main(s, now_ms);
	bgp_session_run_failing(s, now_ms);
	bgp_session_settle(s, now_ms);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t bgp_session_deadline(const struct bgp_session *s)
{
	int64_t at = s->failing.there ? INT64_MIN : s->idle_hold_at;

	for (unsigned i = 0; i < BGP_SLOT_MAX_; i++) {
		const struct bgp_conn *c = &s->conn[i];

		at = earlier(at, earlier(c->connect_retry_at, c->hold_at));
		at = earlier(at, earlier(c->keepalive_at, c->send_hold_at));
		if (s->linger[i].id)
			at = earlier(at, s->linger[i].until);
	}
	return at;
}

const struct bgp_session_info *bgp_session_info(const struct bgp_session *s)
{
	return &s->info;
}

const struct bgp_negotiated *bgp_session_negotiated(const struct bgp_session *s)
{
	const struct bgp_conn *c = &s->conn[BGP_SLOT_MAIN];

	return c->state == BGP_STATE_ESTABLISHED ? &c->neg : NULL;
}
