/* session_impl.h - what session.c (life, timers), session_step.c (states, collision) and session_io.c
 * (bytes) share. */
#pragma once

#include "bgp/fsm.h"
#include "bgp/session.h"

enum {
	BGP_SLOT_MAIN,	     /* dials; holds the Established connection */
	BGP_SLOT_CHALLENGER, /* accepted, not yet Established */
	BGP_SLOT_MAX_,
};

enum {
	/* RFC 4271 8.2.2: the large hold timer before an OPEN has come. */
	BGP_OPEN_HOLD_MS = 240 * 1000,
	/* DIFFERS: RFC 4271 8.2.2 suggests 4 minutes on any connection. Who dials us has dialled in
	 * order to speak, and says its OPEN at once or after ours: more than a minute is a host that
	 * hangs, or a connection whose other end is gone behind a firewall. */
	BGP_OPEN_HOLD_ACCEPTED_MS = 60 * 1000,
};

struct bgp_shared {
	struct bgp_attr_table *attrs;
	struct bgp_conn *owner; /* whose bulk lies in out; NULL: nobody's */
	uint8_t out[BGP_OUTPUT_MAX];
};

/* A connection that is closed but for its last words. */
struct bgp_linger {
	uint64_t id; /* 0: none */
	uint8_t *p;
	size_t n, off;
	int64_t until;
};

/* Does what ended a connection call for a rest? */
enum bgp_rest {
	BGP_REST_NONE,
	BGP_REST_PATH,	/* BFD found the path broken; until it has found it whole */
	BGP_REST_ERROR, /* the same would happen again at once */
};

struct bgp_session {
	struct bgp_shared *sh;
	const struct bgp_session_ops *ops;
	void *arg;
	struct bgp_session_config config;
	struct bgp_session_info info;
	struct bgp_conn conn[BGP_SLOT_MAX_];
	struct bgp_linger linger[BGP_SLOT_MAX_];
	uint32_t random;
	bool started;
	bool plain_open;      /* the peer refuses optional parameters: offer none */
	unsigned retries;     /* dials since the last Established */
	unsigned errors;      /* sessions ended by an error, of late */
	enum bgp_rest rest;   /* why it does not dial, and waits longer than after a failed dial */
	int64_t idle_hold_at; /* in Idle until then; INT64_MAX: not */
	uint32_t idle_ms;     /* how long the next time; 0: as errors have it */
	unsigned depth;	      /* calls into ops under way */
	/* what bgp_session_fail left to do */
	struct {
		bool there;
		struct bgp_notification n;
		char why[BGP_TEXT_MAX];
	} failing;
	/* RFC 7606 logging: at most one line per interval */
	int64_t update_log_at;
	unsigned update_log_left_out;
	char why[BGP_TEXT_MAX]; /* of the last change, for ops->state */
};

/* What comes with an event. */
struct bgp_cause {
	const struct bgp_notification *n; /* to send, or that came; NULL */
	const char *why;
	const struct bgp_update *update;
	enum bgp_af refresh_af;
	uint8_t refresh_subtype;
};

extern const struct bgp_cause bgp_no_cause;

/* An empty slot: no socket, no timer, Idle. */
void bgp_conn_init(struct bgp_conn *c, enum bgp_conn_side side);
/* A connection has ended and its slot is empty: what does the dialling slot do now? */
void bgp_session_after_end(struct bgp_session *s, enum bgp_rest rest, int64_t now_ms);
/* The rest, or the pause between dials, is over. */
void bgp_session_hurry(struct bgp_session *s, int64_t now_ms);
/* Step one connection. It may be ended, moved to the other slot, or end the other one: look it up
 * again afterwards. */
void bgp_session_event(struct bgp_session *s, struct bgp_conn *c, enum bgp_event event,
		       const struct bgp_cause *cause, int64_t now_ms);
/* Report a change of the session's state; after every input. */
void bgp_session_settle(struct bgp_session *s, int64_t now_ms);
struct bgp_conn *bgp_session_conn(struct bgp_session *s, uint64_t id);
void bgp_session_log(struct bgp_session *s, enum bgp_level level, const char *fmt, ...)
	PRINTF(3, 4);
/* How long before Established nothing may come. */
int64_t bgp_conn_patience(const struct bgp_conn *c);
/* The OPEN came, well-formed: collision, negotiation. */
void bgp_session_got_open(struct bgp_session *s, struct bgp_conn *c, const struct bgp_open *open,
			  int64_t now_ms);

/* Do what bgp_session_fail was asked to from within a callback. */
void bgp_session_run_failing(struct bgp_session *s, int64_t now_ms);

/* session_io.c */
/* Queue control messages; false: the queue is full, the peer does not read. */
bool bgp_conn_control(struct bgp_session *s, struct bgp_conn *c, const uint8_t *p, size_t n,
		      int64_t now_ms);
void bgp_conn_keepalive(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms);
/* Give back all buffers. */
void bgp_conn_release(struct bgp_shared *sh, struct bgp_conn *c);
/* Move to another slot, whose content was released. */
void bgp_conn_move(struct bgp_shared *sh, struct bgp_conn *to, struct bgp_conn *from);
/* Take the rest of a cut bulk message and the control queue as last words; false: none. */
bool bgp_conn_last_words(struct bgp_session *s, struct bgp_conn *c, int64_t now_ms);
void bgp_linger_drop(struct bgp_linger *l);
