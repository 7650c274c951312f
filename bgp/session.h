/* session.h - one BGP session: up to two TCP connections, their state machines, timers, collision.
 *
 * WHY    RFC 4271 speaks of one state machine per connection. A session has two slots, one for the
 *        connection that we dial and one for that which the peer dials; each runs the table of
 *        fsm.c. 6.8 leaves at most one of them Established.
 *        Slot 0 is the one that dials, and where the Established connection is; slot 1 is for one
 *        that the peer has dialled and that has not won yet.
 * SHAPE  Inputs are calls with now_ms; what should happen in the world comes out through struct
 *        bgp_session_ops. A callback must not call back into the session, but for
 *        bgp_session_fail (it is acted upon when the callback has returned).
 * OUTPUT is pulled. Control messages wait in a small queue and go first; bulk UPDATEs are made on
 *        demand by ops->bulk into a buffer that all sessions share, so a peer that does not read
 *        pins at most BGP_OUTPUT_MAX bytes.
 * INPUT  is read in place; only a cut message is kept, until its rest comes.
 * SPEC   RFC 4271 6, 8, 10; 4486; 6286; 6608; 9003; 9687 */
#pragma once

#include "bgp/open.h"
#include "bgp/types.h"
#include "bgp/update.h"

struct bgp_session;
struct bgp_shared;

struct bgp_session_config {
	asn_t local_as, remote_as;
	uint32_t router_id; /* host order */
	uint32_t families;  /* set of enum bgp_af to offer */
	bool passive;	    /* never dial */
	bool first_as_check;
	uint16_t hold_s;	   /* proposed: 0 or >= 3 */
	uint16_t keepalive_s;	   /* 0: a third of the negotiated hold time */
	uint32_t connect_retry_ms; /* first retry; doubles up to 16 times that; 0: 200 ms */
	uint16_t gr_restart_s;	   /* RFC 4724: offered to the peer, at most 4095; 0: not offered */
	bool restarting;	   /* we have just restarted with forwarding kept: R and F bits */
	bool enhanced_refresh;	   /* RFC 7313: offered */
	bool extended_message;	   /* RFC 8654: offered */
	bool long_lived_aware;	   /* RFC 9494: we know what LLGR_STALE means */
	uint32_t long_lived_s;	   /* and ask for our routes to be kept that long; 0: we do not */
	bool refuse_as_sets;	   /* RFC 9774 */
	bool role_strict;	   /* RFC 9234: the peer must say its role */
	enum bgp_role role;	   /* RFC 9234: ours on eBGP */
	uint32_t ext_next_hop;	   /* families; RFC 8950 */
	uint32_t add_path_rx, add_path_tx; /* families; RFC 7911 */
	bool forwarding;		   /* it was kept, however long ago that was: F bits */
};

enum bgp_conn_side {
	BGP_CONN_OUT, /* we dial */
	BGP_CONN_IN,  /* the peer dials */
	BGP_CONN_MAX_,
};

/* One connection. Read-only for others. */
struct bgp_conn {
	uint64_t id; /* the speaker's or agent's name of the socket; 0: no socket */
	enum bgp_conn_side side;
	enum bgp_state state;
	struct addr local; /* our end's address, once known */
	/* absolute deadlines; INT64_MAX: not running */
	int64_t connect_retry_at, hold_at, keepalive_at, send_hold_at;
	struct bgp_open remote; /* as the peer said it, from OpenConfirm on */
	struct bgp_negotiated neg;
	/* a message cut by the end of the input; heap, only while there is one */
	struct {
		uint8_t *p;
		size_t n, cap;
	} rx;
	/* control messages to write, [off, n); heap, only while there are some */
	struct {
		uint8_t *p;
		size_t n, cap, off;
		bool keepalive; /* one is among them */
	} control;
	/* bulk messages made and not yet written, [off, n); edge: where the message that contains
	 * off ends (off itself between two). shared: p is the buffer of all sessions, else heap */
	struct {
		uint8_t *p;
		size_t n, off, edge;
		bool shared;
	} bulk;
	bool offered_bulk; /* what bgp_session_output gave last */
};

/* Why a session left Established or a connection ended. */
enum bgp_down_kind {
	BGP_DOWN_TCP,	   /* the connection broke */
	BGP_DOWN_SENT,	   /* we sent a NOTIFICATION */
	BGP_DOWN_RECEIVED, /* the peer did */
	BGP_DOWN_STOPPED,  /* closed here without one */
};
struct bgp_down {
	enum bgp_down_kind kind;
	/* RFC 4724, 8538: the peer may come back as it was, keep its routes as stale. Else drop
	 * them. */
	bool graceful;
	struct bgp_notification n; /* SENT and RECEIVED */
	char text[BGP_TEXT_MAX];   /* in words, with direction */
};

/* All callbacks are needed. `arg` is the one of bgp_session_new. */
struct bgp_session_ops {
	/* Dial: the connection's id for the later calls (never 0). */
	uint64_t (*connect)(void *arg);
	/* Close conn; linger: after writing what bgp_session_output still gives for it (a
	 * NOTIFICATION most of the time). If that takes too long, it comes again without linger.
	 * Then, or with bgp_session_closed, the session has let go of the id. */
	void (*close)(void *arg, uint64_t conn, bool linger);
	/* conn has output. */
	void (*write)(void *arg, uint64_t conn);
	/* The session as a whole went from one state to another. */
	void (*state)(void *arg, enum bgp_state from, enum bgp_state to, const char *why);
	void (*log)(void *arg, enum bgp_level level, const char *text);
	/* Established: bgp_session_negotiated says how. */
	void (*up)(void *arg);
	/* Established no more. */
	void (*down)(void *arg, const struct bgp_down *why);
	void (*update)(void *arg, const struct bgp_update *u);
	/* A ROUTE-REFRESH for a negotiated family. subtype: enum bgp_refresh of msg.h; BEGIN and END
	 * only when negotiated. */
	void (*refresh)(void *arg, enum bgp_af af, uint8_t subtype);
	/* Write whole messages into buf; the number of bytes, 0: nothing to say. Called only while
	 * Established and only when all that was made before is written. size >= BGP_OUTPUT_MAX */
	size_t (*bulk)(void *arg, uint8_t *buf, size_t size);
};

/* What the sessions of one speaker share: the attribute table and the buffer for bulk output. */
struct bgp_shared *bgp_shared_new(struct bgp_attr_table *attrs);
void bgp_shared_free(struct bgp_shared *sh);

/* seed: for the jitter of timers. The session is Idle until started. */
struct bgp_session *bgp_session_new(struct bgp_shared *sh, const struct bgp_session_config *config,
				    const struct bgp_session_ops *ops, void *arg, uint32_t seed);
/* Without a callback: sockets that it still has are forgotten. Not from within a callback. */
void bgp_session_free(struct bgp_session *s);

/* RFC 4271 8.1.2: ManualStart, or with config.passive the passive form. */
void bgp_session_start(struct bgp_session *s, int64_t now_ms);
/* ManualStop: send n (NULL: close without a word, for graceful restart) and stay Idle. */
void bgp_session_stop(struct bgp_session *s, const struct bgp_notification *n, const char *why,
		      int64_t now_ms);
/* Take a new configuration. What the running session cannot take (AS, router ID, families) resets
 * it with Cease/6; the rest is for the next one. */
void bgp_session_configure(struct bgp_session *s, const struct bgp_session_config *config,
			   int64_t now_ms);
/* From within a callback or outside: this session must end with n, because of `why` (words for the
 * log; it is tried again later). Prefix limit: Cease/1. */
void bgp_session_fail(struct bgp_session *s, const struct bgp_notification *n, const char *why,
		      int64_t now_ms);

/* For the bgp_session_fail that follows: stay Idle for that long, not as long as after other errors. */
void bgp_session_fail_for(struct bgp_session *s, uint32_t idle_ms);
/* If it rests after an error: try again now, what was wrong may be right. */
void bgp_session_retry(struct bgp_session *s, int64_t now_ms);
/* The path to the peer is there again: what waits because it was not is done now. A rest after any other
 * error goes on. */
void bgp_session_path_up(struct bgp_session *s, int64_t now_ms);

/* Would the peer's connection be the only one with an OPEN to come? Not Idle, not beyond. */
bool bgp_session_awaits(const struct bgp_session *s);
/* The peer dialled. False: not now (Idle, or its slot is taken); the caller closes the socket. */
bool bgp_session_accept(struct bgp_session *s, uint64_t conn, const struct addr *local,
			int64_t now_ms);
void bgp_session_connected(struct bgp_session *s, uint64_t conn, const struct addr *local,
			   int64_t now_ms);
void bgp_session_connect_failed(struct bgp_session *s, uint64_t conn, const char *why,
				int64_t now_ms);
void bgp_session_received(struct bgp_session *s, uint64_t conn, const void *bytes, size_t len,
			  int64_t now_ms);
/* The peer closed, the socket failed, or a lingering close is done. */
void bgp_session_closed(struct bgp_session *s, uint64_t conn, const char *why, int64_t now_ms);
/* What to write next on conn, and what of it was. The bytes are valid until the next call into any
 * session. */
const void *bgp_session_output(struct bgp_session *s, uint64_t conn, size_t *len, int64_t now_ms);
void bgp_session_written(struct bgp_session *s, uint64_t conn, size_t len, int64_t now_ms);
/* There is bulk to say again: ops->write follows if the session is Established. */
void bgp_session_wake(struct bgp_session *s);
/* Ask the peer to send a family again; false when it cannot (RFC 2918). */
bool bgp_session_send_refresh(struct bgp_session *s, enum bgp_af af, int64_t now_ms);

void bgp_session_tick(struct bgp_session *s, int64_t now_ms);
int64_t bgp_session_deadline(const struct bgp_session *s);

/* Read-only view. */
struct bgp_session_info {
	enum bgp_state state;	     /* the most advanced of the connections */
	int64_t since_ms;	     /* when it was entered */
	const struct bgp_conn *conn; /* the most advanced connection with a socket; NULL */
	uint64_t msgs_in, msgs_out, updates_in, updates_out, bytes_in, bytes_out, flaps;
	uint64_t withdrawn_by_error; /* UPDATEs under treat-as-withdraw */
	char last_error[BGP_TEXT_MAX];
	int64_t last_error_ms;
	/* the last NOTIFICATION but for collisions: direction, names, text, and why it was sent */
	char last_notification[BGP_TEXT_MAX];
	int64_t last_notification_ms;
	int64_t next_retry_ms; /* 0: none pending */
};
const struct bgp_session_info *bgp_session_info(const struct bgp_session *s);
/* What we offer in an OPEN now. */
struct bgp_caps bgp_session_caps(const struct bgp_session *s);
/* What was agreed; NULL unless Established. */
const struct bgp_negotiated *bgp_session_negotiated(const struct bgp_session *s);
