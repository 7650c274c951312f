/* speaker.h - a whole BGP speaker without a socket, a clock or a log: peers, sessions, RIB,
 * exports.
 *
 * WHY    The agent owns sockets and time and the kernel's routes; a simulation owns fifty speakers
 *        on virtual time. Both drive this same interface.
 * SHAPE  Inputs are calls, each with now_ms. What should happen in the world comes out as effects:
 *        after any input, call bgp_speaker_next_effect until it says no. Bytes to send are pulled
 *        (bgp_speaker_output) so that nothing is copied twice and a slow peer grows no queue.
 *        Decision and export are deferred: bgp_speaker_run does a bounded slice of that work.
 * LIMITS every remote-growable thing has one; see bgp/limits.h.
 *
 * A connection is named by an id that the speaker gives (CONNECT effect: its highest bit is set) or
 * the owner gives (bgp_speaker_accept: not 0, and its highest bit is not set); ids are never reused
 * while either side knows them. After a CLOSE without linger the speaker has forgotten the id;
 * after one with linger the owner writes what output still has and then calls
 * bgp_speaker_closed. */
#pragma once

#include "bgp/attr.h"
#include "bgp/open.h"
#include "bgp/types.h"
#include "lib/err.h"

struct bgp_speaker;

/* The speaker's own identity. Changing local_as or router_id resets every session (Cease/6). */
struct bgp_global {
	asn_t local_as;
	uint32_t router_id;   /* host order, not 0 */
	struct addr local_v4; /* the node's addresses; IP_NONE when it has none */
	struct addr local_v6;
	uint32_t cluster_id; /* this node is a route reflector with it; 0: it is not */
	uint16_t max_paths;  /* ECMP limit, 1..64; Calico's BIRD: 16 */
	bool draining;	     /* RFC 8326: all that is told goes with GRACEFUL_SHUTDOWN */
	bool muted;	     /* nothing is told any more, what was is withdrawn */
	/* Calico's route priority of own routes: to iBGP peers they go with LOCAL_PREF 2147483647 less
	 * that; 0: with 100 */
	uint32_t normal_priority[BGP_AF_MAX_];
	bool restarting;	 /* for bgp_speaker_new: forwarding was kept over a restart; OPENs
				  * say so (RFC 4724 R and F) until bgp_speaker_converged */
	size_t attr_bytes_max;	 /* 0: BGP_ATTR_BYTES_MAX */
	uint32_t unheard_max;	 /* 0: BGP_UNHEARD_MAX */
};

enum bgp_peer_kind {
	BGP_PEER_MESH,	 /* node-to-node mesh */
	BGP_PEER_GLOBAL, /* a BGPPeer for all nodes */
	BGP_PEER_NODE,	 /* a BGPPeer for this node or chosen by a selector */
	BGP_PEER_POD,	 /* a pod of this node, by a BGPPeer's localWorkloadSelector */
};

enum bgp_next_hop_mode {
	BGP_NEXT_HOP_AUTO, /* eBGP: self; iBGP: keep, self for own routes */
	BGP_NEXT_HOP_SELF,
	BGP_NEXT_HOP_KEEP,
};

/* One session. The key is (addr, ifindex, port): a second peer with the same key replaces the
 * first. */
struct bgp_peer_config {
	char name[128]; /* "Mesh_192_168_61_12": status tools parse these */
	enum bgp_peer_kind kind;
	struct addr addr;
	uint32_t ifindex; /* addr is link-local: on this link; its next hops are, too. 0: it is not */
	char ifname[16];  /* that link's name */
	uint16_t port;	  /* remote; 179 unless told otherwise */
	asn_t remote_as;  /* 0: any but ours */
	asn_t local_as;	      /* 0: the speaker's own */
	struct addr source;   /* local address to dial from; IP_NONE: the kernel chooses */
	uint32_t families;    /* bit set of enum bgp_af */
	bool passive;	      /* never dial, only accept */
	bool rr_client;	      /* RFC 4456 */
	bool rr_same_cluster; /* the peer is a reflector of our own cluster: plain iBGP */
	enum bgp_next_hop_mode next_hop_mode;
	bool keep_original_next_hop; /* Calico's old field: keep on eBGP */
	uint16_t hold_s;	     /* proposed: 0 (never expires) or 3..65535; Calico: 240 */
	uint16_t keepalive_s;	     /* 0: a third of what is negotiated */
	uint32_t connect_retry_ms;   /* first retry, doubles to 16 times that; 0: 200 ms */
	uint8_t allowed_local_as;    /* how often our own AS may stand in a path from this peer */
	uint8_t ttl_security;	     /* RFC 5082: hops away; 0: off */
	uint16_t gr_restart_s; /* RFC 4724 restart time that we offer; 0: no graceful restart */
	uint32_t prefix_limit; /* per family, 0: the built-in one; above it: Cease/1 */
	uint32_t prefix_limit_restart_s; /* then Idle for so long; 0: the built-in one */
	bool add_path;	       /* RFC 7911: offer to send and to receive all paths */
	bool enhanced_refresh; /* RFC 7313: offered */
	bool extended_message; /* RFC 8654: offered */
	bool long_lived;       /* RFC 9494: offered, at least as knowing what it means */
	uint32_t long_lived_s; /* and keep its routes as long as it says, when it says the same; for how
				* long it shall keep ours; 0: neither. At most BGP_LONG_LIVED_MAX_S */
	bool own_only;	       /* tell it what is made here, and nothing that others told */
	bool ext_next_hop;     /* RFC 8950: offered for IPv4 */
	bool accept_as_sets;   /* against RFC 9774 */
	bool any_first_as;     /* eBGP: its paths may begin with another AS: a route server's do */
	enum bgp_role role;    /* RFC 9234, eBGP: ours towards the peer */
	bool role_strict;      /* and it must have said its own */
	char filters[128];     /* name of a set of bgp_speaker_set_filters; empty: none */
	char password[81];     /* RFC 2385; empty: none */
};

struct bgp_speaker *bgp_speaker_new(const struct bgp_global *global, uint32_t random_seed);
void bgp_speaker_free(struct bgp_speaker *sp);
void bgp_speaker_set_global(struct bgp_speaker *sp, const struct bgp_global *global,
			    int64_t now_ms);

/* Declare the whole set of sessions; what is equal stays untouched, what changed in a way that the
 * session can take (name, timers of the next negotiation) does not reset it. What is no longer
 * there is closed with Cease/3. */
void bgp_speaker_set_peers(struct bgp_speaker *sp, const struct bgp_peer_config *peers, size_t n,
			   int64_t now_ms);

/* ---- the node's own knowledge: what is announced, what may pass ---- */

/* An IP pool, for the export and import rules (Calico's, in their order). */
struct bgp_pool {
	struct prefix cidr;
	bool disable_export; /* disableBGPExport */
	bool vxlan;	     /* routes inside reach the kernel by another way, not from BGP */
};
void bgp_speaker_set_pools(struct bgp_speaker *sp, const struct bgp_pool *pools, size_t n,
			   int64_t now_ms);

/* The blocks of this node whose affinity is confirmed: announced exactly, more specifics inside are
 * not. The whole set; the difference to the last one is announced and withdrawn. */
void bgp_speaker_set_blocks(struct bgp_speaker *sp, const struct prefix *blocks, size_t n,
			    int64_t now_ms);
/* Other routes made here that may be announced under the export rules (a borrowed address's
 * /32). */
void bgp_speaker_set_local_routes(struct bgp_speaker *sp, const struct prefix *routes, size_t n,
				  int64_t now_ms);

/* What Kubernetes' services have this node announce, and what they have it leave alone. */
struct bgp_service_route {
	struct prefix prefix; /* a range, or one address: announced, and whatever lies inside may pass */
	const char *why;      /* for persons; copied */
};
struct bgp_served_range {
	struct prefix cidr;
	bool reflect;	/* a reflector tells all that lies inside on */
	bool no_kernel; /* routes inside do not go to the kernel: the node serves them itself */
};
struct bgp_services {
	const struct bgp_service_route *route;
	size_t n_routes;
	const struct bgp_served_range *range;
	size_t n_ranges;
};
/* The whole set; the difference to the last one is announced and withdrawn. */
void bgp_speaker_set_services(struct bgp_speaker *sp, const struct bgp_services *s, int64_t now_ms);

/* Rules for what comes from peers and what goes to them, by name. The whole set; unknown names in
 * peers mean no rules. What changed takes effect without a reset; what a peer must say again for
 * that it is asked for (RFC 2918), and only who cannot do that is reset. */
struct bgp_filter_set;
void bgp_speaker_set_filters(struct bgp_speaker *sp, const struct bgp_filter_set *sets, size_t n,
			     int64_t now_ms);

/* Communities for what is told under the built-in rules. */
struct bgp_advert; /* bgpfilter.h */
void bgp_speaker_set_adverts(struct bgp_speaker *sp, const struct bgp_advert *adverts, size_t n,
			     int64_t now_ms);

/* Reachability of next hops, as the kernel's own (non-BGP) routes have it. The agent answers the
 * speaker's question through this callback, and calls _changed when the answer may differ.
 * connected: the address is on a link of this node. metric: of the resolving route. */
struct bgp_resolution {
	bool reachable, connected;
	uint32_t metric;
	char ifname[16]; /* by which one gets there; "": unknown. For filters that ask */
};
typedef struct bgp_resolution bgp_resolve_fn(void *arg, const struct addr *next_hop);
void bgp_speaker_set_resolver(struct bgp_speaker *sp, bgp_resolve_fn *fn, void *arg);
void bgp_speaker_next_hops_changed(struct bgp_speaker *sp, int64_t now_ms);

/* ---- connections ---- */

/* Somebody connected to us. True: `conn` belongs to a session now. False: nobody expects that
 * address (or its session cannot take one more): the caller closes it. */
bool bgp_speaker_accept(struct bgp_speaker *sp, uint64_t conn, const struct addr *remote,
			uint16_t remote_port, const struct addr *local, int64_t now_ms);
/* The same from a link-local address on that link. */
bool bgp_speaker_accept_on(struct bgp_speaker *sp, uint64_t conn, const struct addr *remote,
			   uint32_t ifindex, const struct addr *local, int64_t now_ms);
/* The answer to a CONNECT effect. local: our end's address. */
void bgp_speaker_connected(struct bgp_speaker *sp, uint64_t conn, const struct addr *local,
			   int64_t now_ms);
void bgp_speaker_connect_failed(struct bgp_speaker *sp, uint64_t conn, const char *why,
				int64_t now_ms);
/* Bytes came: any number, cut anywhere. The slice is borrowed. */
void bgp_speaker_received(struct bgp_speaker *sp, uint64_t conn, const void *bytes, size_t len,
			  int64_t now_ms);
/* The peer closed, or the socket failed. */
void bgp_speaker_closed(struct bgp_speaker *sp, uint64_t conn, const char *why, int64_t now_ms);
/* Up to *len bytes to write next on conn (a control message goes first, then packed UPDATEs made on
 * the spot); NULL when there is nothing. Valid until the next call into the speaker. */
const void *bgp_speaker_output(struct bgp_speaker *sp, uint64_t conn, size_t *len, int64_t now_ms);
/* The first len of them were written. */
void bgp_speaker_written(struct bgp_speaker *sp, uint64_t conn, size_t len, int64_t now_ms);

/* ---- time ---- */

/* Run the timers that are due. */
void bgp_speaker_tick(struct bgp_speaker *sp, int64_t now_ms);
/* When tick must be called next; INT64_MAX: never. */
int64_t bgp_speaker_deadline(const struct bgp_speaker *sp);
/* Decide and queue exports for up to `budget` prefixes; true when more is waiting. */
bool bgp_speaker_run(struct bgp_speaker *sp, unsigned budget, int64_t now_ms);
/* After a start with global.restarting: has every peer that we wait for said all it knows (its
 * End-of-RIB), or used up its time (120 s), or said that it has just restarted itself? Until then
 * the owner keeps forwarding entries of its earlier life. Counts from the first
 * bgp_speaker_set_peers, which should therefore be the complete set; true only when
 * bgp_speaker_next_fib_change has told everything. Always true without `restarting`. */
bool bgp_speaker_converged(const struct bgp_speaker *sp);
/* Stop. restart: close without a NOTIFICATION so that peers keep our routes if they do graceful
 * restart; otherwise Cease/2 with the text. */
void bgp_speaker_stop(struct bgp_speaker *sp, bool restart, const char *text, int64_t now_ms);
/* After a stop: speak again. */
void bgp_speaker_start(struct bgp_speaker *sp, int64_t now_ms);

/* Ask the peers at this address to tell a family again (RFC 2918); how many were asked. */
unsigned bgp_speaker_send_refresh(struct bgp_speaker *sp, const struct addr *peer, enum bgp_af af,
				  int64_t now_ms);

/* BFD found that the path to this address is broken (not: that the neighbour switched BFD off): its
 * Established sessions end with Cease/10, and nothing of theirs is kept. ifindex: which link, if the
 * address is link-local. How many ended. RFC 9384 */
unsigned bgp_speaker_bfd_down(struct bgp_speaker *sp, const struct addr *peer, uint32_t ifindex,
			      int64_t now_ms);
/* BFD found it whole: sessions with this address that BFD had ended, or whose dials got nowhere, try
 * again at once. */
void bgp_speaker_bfd_up(struct bgp_speaker *sp, const struct addr *peer, uint32_t ifindex,
			int64_t now_ms);

/* ---- effects ---- */

enum bgp_effect_type {
	BGP_EFFECT_CONNECT, /* open a TCP connection as peer says, call it `conn` */
	BGP_EFFECT_CLOSE,   /* close conn; linger: after what bgp_speaker_output still has */
	BGP_EFFECT_WRITE,   /* conn has output */
	BGP_EFFECT_STATE,   /* peer went from one state to another; text says why */
	BGP_EFFECT_LOG,	    /* for the log: already limited in rate and cut in length */
};

struct bgp_effect {
	enum bgp_effect_type type;
	uint64_t conn;
	const struct bgp_peer_config *peer; /* borrowed until the next call; NULL: not about one */
	bool linger;
	enum bgp_state from, to;
	enum bgp_level level;
	char text[256];
};

bool bgp_speaker_next_effect(struct bgp_speaker *sp, struct bgp_effect *out);

/* ---- the forwarding table ---- */

enum { BGP_FIB_PATHS_MAX = 64 };

/* One prefix's new forwarding: n next hops (ECMP), none when it is gone. */
struct bgp_fib_change {
	struct prefix prefix;
	size_t n;
	struct addr next_hop[BGP_FIB_PATHS_MAX]; /* the BGP NEXT_HOP, sorted */
	uint32_t ifindex[BGP_FIB_PATHS_MAX];	 /* of a link-local one; 0: it is not */
	/* Calico's route priority: 2147483647 less LOCAL_PREF; 0: none is used. old: what was told of
	 * this prefix before, which in the kernel is another route */
	uint32_t metric, old_metric;
};
/* The next prefix whose forwarding changed since it was told last; own routes never come. A change
 * that was overtaken by a newer one is told once. */
bool bgp_speaker_next_fib_change(struct bgp_speaker *sp, struct bgp_fib_change *out);
/* Have every route told again (the agent lost track). */
void bgp_speaker_retell_fib(struct bgp_speaker *sp);

/* ---- questions (status, metrics) ---- */

/* As it was set last. */
const struct bgp_global *bgp_speaker_global(const struct bgp_speaker *sp);

struct bgp_peer_status {
	const struct bgp_peer_config *config; /* borrowed */
	enum bgp_state state;
	int64_t since_ms;   /* monotonic time of entering this state */
	uint32_t remote_id; /* host order; 0 unknown */
	asn_t remote_as;
	uint16_t hold_s, keepalive_s; /* negotiated; 0 before */
	uint32_t families;	      /* negotiated */
	bool as4, refresh, graceful;  /* negotiated */
	uint64_t msgs_in, msgs_out, updates_in, updates_out, bytes_in, bytes_out;
	uint64_t flaps; /* times Established was left */
	uint32_t routes_received[BGP_AF_MAX_], routes_accepted[BGP_AF_MAX_],
		routes_best[BGP_AF_MAX_], routes_sent[BGP_AF_MAX_],
		routes_stale[BGP_AF_MAX_];	 /* kept over the peer's graceful restart */
	uint64_t withdrawn_by_error;		 /* RFC 7606 treat-as-withdraw */
	uint64_t filtered;			 /* routes that import filters did not let in */
	struct bgp_caps local_caps, remote_caps; /* as offered; remote: zero before its OPEN */
	char last_notification[256];		 /* but for collisions; empty: none so far */
	int64_t last_notification_ms;
	char last_error[256]; /* in words, with direction; empty: none so far */
	int64_t last_error_ms;
	int64_t next_retry_ms; /* 0: none pending */
	/* of the connection: when we give up hearing from it, when it hears from us; 0: not running */
	int64_t hold_at_ms, keepalive_at_ms;
};

/* Sessions in order of their address. False behind the last one. */
bool bgp_speaker_peer_status(const struct bgp_speaker *sp, size_t i, struct bgp_peer_status *out);

struct bgp_path_info {
	struct prefix prefix;
	const struct bgp_peer_config *peer; /* NULL: made here */
	const struct bgp_attrs *attrs;	    /* borrowed */
	bool best, multipath, usable, stale;
	bool long_stale; /* RFC 9494: beyond the restart time, or so marked by its sender */
	const char *why; /* the step at which it lost, or why unusable */
	const char *made_for; /* made here for services: which; NULL: not */
};
/* Walk all paths, ordered by prefix, best first. fn returns false to stop. exact: only this
 * prefix. */
typedef bool bgp_path_fn(void *arg, const struct bgp_path_info *path);
void bgp_speaker_each_path(struct bgp_speaker *sp, const struct prefix *exact, bgp_path_fn *fn,
			   void *arg);
size_t bgp_speaker_prefix_count(const struct bgp_speaker *sp, enum bgp_af af);
