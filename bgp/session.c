/* session.c - a BGP session: its life, its connections' coming and going, its timers
 *
 * SHAPE  Each input finds the connection that it is about, makes an event of itself for
 *        session_step.c and lets bgp_session_settle report what has become of the session.
 * SPEC   RFC 4271 8, 10
 * TESTS  tests/unit/bgp/session.c */
#include "bgp/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "bgp/msg.h"
#include "bgp/notify.h"
#include "bgp/session_impl.h"

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
		bgp_conn_init(&s->conn[i], BGP_CONN_OUT);
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
	s->rest = BGP_REST_NONE;
	bgp_session_event(s, &s->conn[BGP_SLOT_MAIN],
			  s->config.passive ? BGP_EVENT_START_PASSIVE : BGP_EVENT_START,
			  &bgp_no_cause, now_ms);
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
	s->rest = BGP_REST_NONE;
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
		bgp_session_after_end(s, BGP_REST_NONE, now_ms);
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

bool bgp_session_awaits(const struct bgp_session *s)
{
	enum bgp_state main = s->conn[BGP_SLOT_MAIN].state;

	return main != BGP_STATE_IDLE && main < BGP_STATE_OPENCONFIRM &&
	       s->conn[BGP_SLOT_CHALLENGER].state == BGP_STATE_IDLE;
}

bool bgp_session_accept(struct bgp_session *s, uint64_t conn, const struct addr *local,
			int64_t now_ms)
{
	struct bgp_conn *c = &s->conn[BGP_SLOT_CHALLENGER];

	if (s->conn[BGP_SLOT_MAIN].state == BGP_STATE_IDLE)
		return false;
	/* Who dials anew has given the last attempt up. One that has told who it is may stay for
	 * its minute. */
	if (c->state == BGP_STATE_OPENSENT)
		bgp_session_event(s, c, BGP_EVENT_TCP_DOWN,
				  &(struct bgp_cause) { .why = "the peer has connected anew" },
				  now_ms);
	if (c->state != BGP_STATE_IDLE)
		return false;
	bgp_conn_init(c, BGP_CONN_IN);
	c->id = conn;
	c->local = *local;
	c->state = BGP_STATE_ACTIVE;
	bgp_session_event(s, c, BGP_EVENT_TCP_UP, &bgp_no_cause, now_ms);
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
	bgp_session_event(s, c, BGP_EVENT_TCP_UP, &bgp_no_cause, now_ms);
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
	bgp_session_event(s, c, BGP_EVENT_TCP_DOWN, &(struct bgp_cause) { .why = why }, now_ms);
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
	/* The peer's connection is nearly there: do not collide with it. If it fails,
	 * bgp_session_after_end arms the timer again. One without an OPEN may be anybody's. */
	if (c->state == BGP_STATE_ACTIVE &&
	    s->conn[BGP_SLOT_CHALLENGER].state >= BGP_STATE_OPENCONFIRM)
		return;
	bgp_session_event(s, c, BGP_EVENT_CONNECT_RETRY, &bgp_no_cause, now_ms);
}

static void run_hold(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_notification n = bgp_notification(BGP_ERR_HOLD, 0, NULL, 0);
	char why[BGP_TEXT_MAX];

	if (c->state < BGP_STATE_ESTABLISHED)
		snprintf(why, sizeof(why), "no %s within %u s",
			 c->state == BGP_STATE_OPENSENT ? "OPEN" : "KEEPALIVE",
			 (unsigned)(bgp_conn_patience(c) / 1000));
	else
		snprintf(why, sizeof(why), "nothing heard for %u s", c->neg.hold_s);
	bgp_session_event(s, c, BGP_EVENT_HOLD, &(struct bgp_cause) { .n = &n, .why = why },
			  now_ms);
}

static void run_send_hold(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms)
{
	struct bgp_notification n = bgp_notification(BGP_ERR_SEND_HOLD, 0, NULL, 0);

	bgp_session_event(s, c, BGP_EVENT_SEND_HOLD,
			  &(struct bgp_cause) { .n = &n, .why = "the peer does not read" }, now_ms);
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
		bgp_session_event(s, c, BGP_EVENT_KEEPALIVE_DUE, &bgp_no_cause, now_ms);
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

void bgp_session_fail_for(struct bgp_session *s, uint32_t idle_ms)
{
	s->idle_ms = idle_ms;
}

void bgp_session_retry(struct bgp_session *s, int64_t now_ms)
{
	if (s->rest)
		bgp_session_hurry(s, now_ms);
}

void bgp_session_path_up(struct bgp_session *s, int64_t now_ms)
{
	if (!s->started || s->rest == BGP_REST_ERROR)
		return;
	/* no error of the session's: the next one need not rest longer for it */
	if (s->rest == BGP_REST_PATH && s->errors)
		s->errors--;
	s->retries = 0;
	bgp_session_hurry(s, now_ms);
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
