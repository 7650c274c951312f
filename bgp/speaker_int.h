/* speaker_int.h - the inside of a speaker, for speaker_*.c
 *
 * READING ORDER  speaker.c (whole, identity, run), speaker_peers.c (configuration),
 * speaker_session.c (a session comes and goes), speaker_stale.c
 * (what it leaves behind), speaker_routes.c (UPDATEs in, decisions),
 * speaker_output.c (UPDATEs out), speaker_conn.c (sockets), speaker_effect.c (effects, log),
 * speaker_status.c (questions). */
#pragma once

#include "bgp/adjout.h"
#include "bgp/decide.h"
#include "bgp/fib.h"
#include "bgp/msg.h"
#include "bgp/nexthop.h"
#include "bgp/notify.h"
#include "bgp/session.h"
#include "bgp/speaker.h"

/* Attribute sets remembered while deciding: prefixes with the same many paths come in a row. */
enum { BGP_MEMO = 256 };

struct bgp_peer {
	struct bgp_peer_config config;
	struct bgp_speaker *sp;
	struct bgp_session *session;
	uint16_t id;  /* for sources and exports: from 1, not reused while a source knows it */
	bool leaving; /* no longer configured; goes when its last connection has */
	bool wake_due;
	/* while Established */
	struct bgp_source *source;
	struct bgp_member member[BGP_AF_MAX_];
	int64_t settle_at;	 /* no End-of-RIB is to be expected after this */
	uint32_t end_of_rib;	 /* families whose End-of-RIB came in this session */
	struct bgp_chain *chain; /* its filters; NULL: none */
	uint64_t filtered;
	struct {
		int64_t since;
		unsigned n;
	} refreshes;	      /* begun in the present window */
	uint32_t refreshing;  /* families that it tells anew, RFC 7313; their old paths are stale */
	uint32_t gr_families; /* keeps forwarding in, as it said; 0: no graceful restart */
	uint32_t gr_forwarding; /* and did keep it this time */
	uint16_t gr_time_s;
	/* RFC 9494: in which families it asks to be kept longer, and we do; for how long */
	uint32_t ll_families, ll_forwarding;
	uint32_t ll_time_s[BGP_AF_MAX_];
	bool gr_restarting; /* it said R: do not wait for it */
	/* RFC 4724: paths of earlier sessions, kept: more than one when the peer was lost again
	 * before its End-of-RIB. until: when they go if it stays away */
	struct bgp_stale {
		struct bgp_source *src;
		int64_t until[BGP_AF_MAX_];
	} stale[BGP_STALE_SOURCES_MAX];
	unsigned n_stale;
	int64_t stale_up_until; /* while Established: when they go without an End-of-RIB */
	bool over;		/* a restarted speaker waits for it no more */
	/* log lines in the present window */
	struct {
		int64_t since;
		unsigned n, suppressed;
	} log;
};

struct bgp_conn_ref {
	uint64_t id;
	struct bgp_peer *peer;
	bool write_due; /* a WRITE effect is out */
};

/* Why a prefix is announced from here: each cause has its list. */
enum bgp_own {
	BGP_OWN_BLOCKS,
	BGP_OWN_LOCALS,
	BGP_OWN_SERVICES,
	BGP_OWN_MAX_,
};

struct bgp_own_list {
	struct prefix *p; /* sorted, each once */
	size_t n, cap;
};

struct bgp_speaker {
	struct bgp_global global;
	int64_t now; /* of the call that runs */
	uint32_t seed;
	bool stopped;
	struct bgp_attr_table *attrs;
	struct bgp_shared *shared;
	struct bgp_sources sources;
	struct bgp_rib rib[BGP_AF_MAX_];
	struct bgp_policy policy;
	struct bgp_next_hops next_hops;
	struct bgp_fib fib;
	struct bgp_adjout adjout[BGP_AF_MAX_];
	struct bgp_attrs *local_attrs; /* of routes made here */
	struct bgp_own_list own[BGP_OWN_MAX_];
	VEC(struct bgp_chain *) chains; /* by name */
	VEC(struct bgp_peer *) peers;	/* by address, then port */
	VEC(struct bgp_peer *) leaving;
	VEC(struct bgp_peer *) awake;	/* to be woken when the call is over */
	VEC(struct bgp_source *) dying; /* dead, being swept */
	VEC(struct bgp_conn_ref) conns; /* by id */
	uint64_t next_conn;
	uint16_t next_peer_id;
	/* decide every net again: where we are */
	uint32_t redo[BGP_AF_MAX_];
	/* scratch of the decision */
	VEC(struct bgp_candidate) cand;
	/* what was found about attributes from a source, since the last change of a policy */
	struct bgp_memo {
		const struct bgp_attrs *attrs; /* borrowed, so good for one run only */
		uint32_t serial;
		uint32_t run;
		enum bgp_reason reason;
		uint32_t igp_cost;
	} memo[BGP_MEMO];
	uint32_t run;
	struct bgp_batch *batch; /* scratch of the output */
	struct bgp_attr_block *block;
	/* RFC 4724, restarted: until when peers are waited for; 0: not begun */
	int64_t restart_until;
	bool restart_done; /* found in a callback, acted upon when the call is over */
	bool converged;
	struct {
		struct bgp_effect *p; /* a ring */
		size_t cap, head, n;
	} effects;
};

/* At the begin and at the end of every input. */
void bgp_speaker_enter(struct bgp_speaker *sp, int64_t now_ms);
void bgp_speaker_leave(struct bgp_speaker *sp);
/* Have every net decided again, in slices: a policy changed. */
void bgp_speaker_redo(struct bgp_speaker *sp);
/* RFC 4724: is the wait after our own restart over? */
void bgp_speaker_check_converged(struct bgp_speaker *sp);

/* speaker_peers.c */
struct bgp_session_config bgp_peer_session_config(const struct bgp_peer *p);
asn_t bgp_peer_local_as(const struct bgp_peer *p);
static inline bool bgp_peer_is_ebgp(const struct bgp_peer *p)
{
	return p->config.remote_as != bgp_peer_local_as(p);
}
/* Sessions of our own that are no longer configured and have no connection left. */
void bgp_speaker_bury(struct bgp_speaker *sp);
void bgp_peer_free(struct bgp_peer *p);

/* speaker_filters.c */
/* The chain of that name, with one more reference; NULL for "". */
struct bgp_chain *bgp_speaker_chain(struct bgp_speaker *sp, const char *name);
void bgp_speaker_chain_unref(struct bgp_speaker *sp, struct bgp_chain *c);
/* What p's import filter makes of a route: attributes with a reference, NULL: rejected. */
struct bgp_attrs *bgp_peer_import(struct bgp_peer *p, enum bgp_af af, const struct prefix *prefix,
				  struct bgp_attrs *attrs);

/* speaker_stale.c: a session is over; keep: families whose paths stay as stale */
void bgp_peer_retire(struct bgp_peer *p, uint32_t keep);
/* The peer is back and speaks these families. */
void bgp_peer_stale_is_back(struct bgp_peer *p, uint32_t families);
/* One more stale source; there must be room. */
void bgp_peer_stale_add(struct bgp_peer *p, struct bgp_source *src, int64_t until);
void bgp_peer_drop_stale(struct bgp_peer *p, uint32_t families);
/* Drop what has been kept for too long; and when to look again, INT64_MAX: nothing is kept. */
void bgp_peer_expire_stale(struct bgp_peer *p, int64_t now_ms);
int64_t bgp_peer_stale_until(const struct bgp_peer *p);

/* speaker_session.c */
extern const struct bgp_session_ops bgp_peer_ops;
/* All that the last session left, without a word to anybody. */
void bgp_peer_drop_routes(struct bgp_peer *p);
struct bgp_target bgp_peer_target(const struct bgp_peer *p, enum bgp_af af,
				  const struct bgp_negotiated *neg, const struct addr *local);

/* speaker_routes.c */
void bgp_peer_update(struct bgp_peer *p, const struct bgp_update *u);
/* Of one family, as configured or usual. */
uint32_t bgp_peer_prefix_limit(const struct bgp_peer *p);
void bgp_speaker_net_release(struct bgp_speaker *sp, enum bgp_af af, uint32_t net);
/* Decide up to `budget` nets; what is left of it. */
unsigned bgp_speaker_decide(struct bgp_speaker *sp, enum bgp_af af, unsigned budget);
/* The same for the nets that bgp_speaker_redo asked for. */
unsigned bgp_speaker_redo_some(struct bgp_speaker *sp, enum bgp_af af, unsigned budget);
/* Fill c[] with the usable paths of a net (c->tag: their number in it); how many. why, when not
 * NULL, takes a reason for each path of the net. */
unsigned bgp_speaker_candidates(struct bgp_speaker *sp, enum bgp_af af, const struct bgp_net *net,
				enum bgp_reason *why);

/* speaker_output.c */
size_t bgp_peer_bulk(struct bgp_peer *p, uint8_t *buf, size_t size);
bool bgp_speaker_holds_end_of_rib(const struct bgp_speaker *sp, enum bgp_af af);

/* speaker_conn.c */
void bgp_speaker_conn_add(struct bgp_speaker *sp, uint64_t id, struct bgp_peer *p);
void bgp_speaker_conn_forget(struct bgp_speaker *sp, uint64_t id);
struct bgp_conn_ref *bgp_speaker_conn(const struct bgp_speaker *sp, uint64_t id);

/* speaker_effect.c */
struct bgp_effect *bgp_speaker_effect(struct bgp_speaker *sp, enum bgp_effect_type type,
				      const struct bgp_peer *p);
void bgp_speaker_log(struct bgp_speaker *sp, struct bgp_peer *p, enum bgp_level level,
		     const char *fmt, ...) PRINTF(4, 5);
