/* bfd.c - Bidirectional Forwarding Detection: packets, the state machine, timers
 *
 * STATES (row: ours; column: what the packet says)
 *
 *		AdminDown  Down	   Init	   Up
 *	Down	Down	   Init	   Up	   Down
 *	Init	Down	   Init	   Up	   Up
 *	Up	Down	   Down	   Up	   Up
 *
 * TIMERS we send every max(ours, what it can receive), less up to a quarter (RFC 5880 6.8.7); it is
 *        down after its multiplier times max(what it sends, what we can receive).
 * TESTS  tests/unit/bgp/bfd.c, tests/fuzz/bfd.c */
#include "bgp/bfd.h"

#include <string.h>

enum { VERSION = 1 };

/* ---- packets ---- */

static bool drop(const char **why, const char *text)
{
	*why = text;
	return false;
}

bool bfd_packet_decode(const uint8_t *p, size_t len, struct bfd_packet *out, const char **why)
{
	struct rd r = rd_init(p, len);
	uint8_t first = rd_u8(&r), second = rd_u8(&r), said;

	out->diag = first & 0x1f;
	out->state = (enum bfd_state)(second >> 6);
	out->flags = second & 0x3f;
	out->mult = rd_u8(&r);
	said = rd_u8(&r);
	out->my_disc = rd_u32(&r);
	out->your_disc = rd_u32(&r);
	out->desired_min_tx_us = rd_u32(&r);
	out->required_min_rx_us = rd_u32(&r);
	out->required_min_echo_us = rd_u32(&r);
	if (r.bad)
		return drop(why, "shorter than 24 bytes");
	if (first >> 5 != VERSION)
		return drop(why, "version is not 1");
	if (said < BFD_PACKET_LEN || said > len)
		return drop(why, "its length is not that of the packet");
	if (out->flags & BFD_FLAG_AUTH)
		return drop(why, "authenticated, which is not in use");
	if (!out->mult)
		return drop(why, "multiplier 0");
	if (out->flags & BFD_FLAG_MULTIPOINT)
		return drop(why, "multipoint");
	if (!out->my_disc)
		return drop(why, "my discriminator 0");
	if (!out->your_disc && out->state != BFD_DOWN && out->state != BFD_ADMIN_DOWN)
		return drop(why, "your discriminator 0, and not Down");
	if ((out->flags & BFD_FLAG_POLL) && (out->flags & BFD_FLAG_FINAL))
		return drop(why, "Poll and Final at once");
	return true;
}

void bfd_packet_encode(const struct bfd_packet *p, uint8_t out[static BFD_PACKET_LEN])
{
	struct wr w = wr_init(out, BFD_PACKET_LEN);

	wr_u8(&w, (uint8_t)(VERSION << 5 | (p->diag & 0x1f)));
	wr_u8(&w, (uint8_t)((unsigned)p->state << 6 | (p->flags & 0x3f)));
	wr_u8(&w, p->mult);
	wr_u8(&w, BFD_PACKET_LEN);
	wr_u32(&w, p->my_disc);
	wr_u32(&w, p->your_disc);
	wr_u32(&w, p->desired_min_tx_us);
	wr_u32(&w, p->required_min_rx_us);
	wr_u32(&w, p->required_min_echo_us);
}

/* ---- timers ---- */

static uint32_t later(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t next_random(struct bfd_session *s)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 17;
	s->random ^= s->random << 5;
	return s->random;
}

/* 75 to 100 percent; with a multiplier of 1 at most 90, or one late packet would be the end. */
static int64_t jitter(struct bfd_session *s, int64_t us)
{
	unsigned most = s->config.mult == 1 ? 90 : 100;

	return us * (75 + next_random(s) % (most - 75 + 1)) / 100;
}

/* RFC 5880 6.8.3: not faster than once a second while it is not up. */
static uint32_t wanted_tx(const struct bfd_session *s)
{
	return s->state == BFD_UP ? s->config.min_tx_us : later(s->config.min_tx_us, BFD_SLOW_US);
}

static void schedule(struct bfd_session *s, int64_t now_us)
{
	bool silent = s->config.passive && !s->remote_disc;

	/* 6.8.7: a neighbour that wants nothing is sent nothing */
	if (silent || (!s->remote_min_rx_us && s->remote_disc))
		s->next_tx_us = INT64_MAX;
	else
		s->next_tx_us = now_us + jitter(s, later(s->tx_us, s->remote_min_rx_us));
}

uint64_t bfd_detection_us(const struct bfd_session *s)
{
	return (uint64_t)s->remote_mult * later(s->rx_us, s->remote_min_tx_us);
}

/* RFC 5880 6.8.3: what is slower takes effect when the neighbour has confirmed, what is faster at
 * once; for what we receive it is the other way round. */
static void take_timers(struct bfd_session *s, bool confirmed)
{
	uint32_t tx = wanted_tx(s);

	if (confirmed || tx < s->tx_us || s->state != BFD_UP)
		s->tx_us = tx;
	if (confirmed || s->config.min_rx_us > s->rx_us || s->state != BFD_UP)
		s->rx_us = s->config.min_rx_us;
}

static void poll_if_changed(struct bfd_session *s)
{
	s->polling = s->state == BFD_UP &&
		     (s->tx_us != wanted_tx(s) || s->rx_us != s->config.min_rx_us || s->polling);
}

/* ---- states ---- */

static enum bfd_event enter(struct bfd_session *s, enum bfd_state state, enum bfd_diag diag,
			    int64_t now_us)
{
	enum bfd_state from = s->state;

	if (state == from)
		return BFD_EVENT_NONE;
	s->state = state;
	s->diag = diag;
	/* what we want changes with the state, and the neighbour must know */
	take_timers(s, state != BFD_UP);
	s->polling = state == BFD_UP;
	/* news do not wait, but do not come in a storm either: Init and Up are said at once */
	if (s->next_tx_us != INT64_MAX)
		s->next_tx_us = now_us;
	if (state == BFD_UP) {
		s->ups++;
		return BFD_EVENT_UP;
	}
	if (from != BFD_UP)
		return BFD_EVENT_NONE;
	s->downs++;
	return s->remote_state == BFD_ADMIN_DOWN ? BFD_EVENT_ADMIN_DOWN : BFD_EVENT_DOWN;
}

void bfd_session_init(struct bfd_session *s, const struct bfd_config *config, uint32_t my_disc,
		      uint32_t seed, int64_t now_us)
{
	*s = (struct bfd_session) {
		.config = *config,
		.state = BFD_DOWN,
		.remote_state = BFD_DOWN,
		.my_disc = my_disc,
		.rx_us = config->min_rx_us,
		.tx_us = later(config->min_tx_us, BFD_SLOW_US),
		.remote_min_rx_us = 1,
		.expires_us = INT64_MAX,
		.next_tx_us = config->passive ? INT64_MAX : now_us,
		.random = seed ? seed : 1,
	};
}

void bfd_session_configure(struct bfd_session *s, const struct bfd_config *config, int64_t now_us)
{
	s->config = *config;
	take_timers(s, false);
	poll_if_changed(s);
	if (s->next_tx_us > now_us)
		schedule(s, now_us);
}

void bfd_session_admin(struct bfd_session *s, bool down, int64_t now_us)
{
	if (down == (s->state == BFD_ADMIN_DOWN))
		return;
	enter(s, down ? BFD_ADMIN_DOWN : BFD_DOWN, down ? BFD_DIAG_ADMIN_DOWN : BFD_DIAG_NONE,
	      now_us);
	if (down)
		s->expires_us = INT64_MAX;
}

static enum bfd_event step(struct bfd_session *s, int64_t now_us)
{
	enum bfd_state said = s->remote_state;

	switch (s->state) {
	case BFD_ADMIN_DOWN:
		return BFD_EVENT_NONE;
	case BFD_DOWN:
		if (said == BFD_DOWN)
			return enter(s, BFD_INIT, BFD_DIAG_NONE, now_us);
		if (said == BFD_INIT)
			return enter(s, BFD_UP, BFD_DIAG_NONE, now_us);
		return BFD_EVENT_NONE;
	case BFD_INIT:
		if (said == BFD_INIT || said == BFD_UP)
			return enter(s, BFD_UP, BFD_DIAG_NONE, now_us);
		if (said == BFD_ADMIN_DOWN)
			return enter(s, BFD_DOWN, BFD_DIAG_NEIGHBOUR_DOWN, now_us);
		return BFD_EVENT_NONE;
	case BFD_UP:
		if (said == BFD_DOWN || said == BFD_ADMIN_DOWN)
			return enter(s, BFD_DOWN, BFD_DIAG_NEIGHBOUR_DOWN, now_us);
		return BFD_EVENT_NONE;
	case BFD_STATE_MAX_:
		break;
	}
	return BFD_EVENT_NONE;
}

enum bfd_event bfd_receive(struct bfd_session *s, const struct bfd_packet *p, int64_t now_us)
{
	uint32_t old_rx = s->remote_min_rx_us;
	enum bfd_event event;

	if (p->your_disc && p->your_disc != s->my_disc)
		return BFD_EVENT_NONE;
	s->packets_in++;
	s->remote_disc = p->my_disc;
	s->remote_state = p->state;
	s->remote_diag = (enum bfd_diag)p->diag;
	s->remote_independent = p->flags & BFD_FLAG_INDEPENDENT;
	s->remote_min_rx_us = p->required_min_rx_us;
	s->remote_min_tx_us = p->desired_min_tx_us;
	s->remote_mult = p->mult;
	if (p->flags & BFD_FLAG_FINAL && s->polling) {
		s->polling = false;
		take_timers(s, true);
	}
	event = step(s, now_us);
	/* 6.8.6: a Poll is answered at once, whatever the state; not in AdminDown */
	s->final_due |= (p->flags & BFD_FLAG_POLL) && s->state != BFD_ADMIN_DOWN;
	if (s->state != BFD_ADMIN_DOWN)
		s->expires_us = now_us + (int64_t)bfd_detection_us(s);
	if (s->next_tx_us == INT64_MAX || s->remote_min_rx_us < old_rx)
		schedule(s, now_us);
	return event;
}

enum bfd_event bfd_tick(struct bfd_session *s, int64_t now_us)
{
	enum bfd_event event = BFD_EVENT_NONE;

	if (now_us < s->expires_us)
		return BFD_EVENT_NONE;
	s->expires_us = INT64_MAX;
	/* what it said last is not true any more */
	s->remote_state = BFD_DOWN;
	s->remote_disc = 0;
	s->remote_min_rx_us = 1;
	if (s->state == BFD_INIT || s->state == BFD_UP)
		event = enter(s, BFD_DOWN, BFD_DIAG_EXPIRED, now_us);
	if (s->next_tx_us == INT64_MAX)
		schedule(s, now_us);
	return event;
}

bool bfd_transmit(struct bfd_session *s, uint8_t out[static BFD_PACKET_LEN], int64_t now_us)
{
	struct bfd_packet p = {
		.diag = (uint8_t)s->diag,
		.mult = s->config.mult,
		.state = s->state,
		.my_disc = s->my_disc,
		.your_disc = s->remote_disc,
		.desired_min_tx_us = wanted_tx(s),
		.required_min_rx_us = s->config.min_rx_us,
	};

	if (s->final_due) {
		p.flags = BFD_FLAG_FINAL;
		s->final_due = false;
	} else if (now_us >= s->next_tx_us) {
		p.flags = s->polling ? BFD_FLAG_POLL : 0;
		schedule(s, now_us);
	} else {
		return false;
	}
	s->packets_out++;
	bfd_packet_encode(&p, out);
	return true;
}

int64_t bfd_deadline(const struct bfd_session *s)
{
	if (s->final_due)
		return INT64_MIN;
	return s->next_tx_us < s->expires_us ? s->next_tx_us : s->expires_us;
}

const char *bfd_state_name(enum bfd_state state)
{
	static const char *const names[BFD_STATE_MAX_] = {
		[BFD_ADMIN_DOWN] = "AdminDown",
		[BFD_DOWN] = "Down",
		[BFD_INIT] = "Init",
		[BFD_UP] = "Up",
	};

	return names[state];
}

const char *bfd_diag_text(uint8_t diag)
{
	static const char *const texts[] = {
		"no diagnostic",
		"control detection time expired",
		"echo function failed",
		"neighbour signalled session down",
		"forwarding plane reset",
		"path down",
		"concatenated path down",
		"administratively down",
		"reverse concatenated path down",
	};

	return diag < ARRAY_SIZE(texts) ? texts[diag] : "reserved diagnostic";
}
