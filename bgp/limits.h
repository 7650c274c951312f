/* limits.h - how far a peer can make us grow, and why that far. */
#pragma once

enum {
	/* Bytes of a peer's own text (shutdown message, attribute) that go into one log line. */
	BGP_QUOTE_MAX = 128,
	/* One sentence for the log or for "last error". */
	BGP_TEXT_MAX = 256,
	/* Bulk messages produced for a peer before it has taken the last ones. One socket write; what
	 * a stuck peer can pin. */
	BGP_OUTPUT_MAX = 65536,
	/* Control messages (OPEN, KEEPALIVE, NOTIFICATION, ROUTE-REFRESH) waiting on one connection:
	 * one of each fits ten times. A peer that makes us queue more is not reading. */
	BGP_CONTROL_MAX = 4096,
	/* Capabilities of one OPEN that are remembered for status beyond those that we know. */
	BGP_CAPS_SEEN_MAX = 32,

	/* ---- tables ---- */

	/* Bytes of all attribute sets, above which those of peers that are larger than usual ones are not
	 * taken. A million real ones are some 200 MB; one peer with 64 KiB of unknown attributes on each
	 * prefix would be as much in a second. */
	BGP_ATTR_BYTES_MAX = 512 << 20,
	BGP_ATTR_BYTES_USUAL = 512,
	/* Prefixes of one family in the RIB. An index is 24 bits; the Internet has 1.1 million. */
	BGP_PREFIXES_MAX = (1 << 24) - 16,
	/* Prefixes that one peer may announce in one family unless its configuration says otherwise:
	 * twice the Internet, or 500 000 nodes with four blocks. Above it: Cease/1. */
	BGP_PREFIX_LIMIT_DEFAULT = 2000000,
	/* After that Cease a session rests for so long: time for somebody to look at it (RFC 4486 4 leaves
	 * it open; to come back at once would only be the same flood again and again). */
	BGP_PREFIX_LIMIT_RESTART_S = 300,
	BGP_PREFIX_LIMIT_RESTART_MAX_S = 30 * 86400,
	/* Paths to one prefix: every node of the largest cluster announcing the same service, thrice. */
	BGP_PATHS_PER_PREFIX_MAX = 16384,
	/* Of them one peer's, which ADD-PATH lets it have: a reflector of that cluster has no more to
	 * tell, and does not shut the others out. */
	BGP_PATHS_OF_PEER_MAX = BGP_PATHS_PER_PREFIX_MAX / 3,
	/* Sessions, living or being swept, and this node; their number is 16 bits in every path. */
	BGP_SOURCES_MAX = 65535,
	/* Configured peers: a quarter of the sources, so that sweeping ones always find room. */
	BGP_PEERS_MAX = 16384,
	/* Next hops that share the load of one prefix. */
	BGP_MULTIPATH_MAX = 64,
	/* Next hops whose resolution is remembered; above it all are forgotten and asked again. Real
	 * peers have a handful; each costs 32 bytes. */
	BGP_NEXT_HOPS_MAX = 65536,
	/* ASes in a path, above which a route is unusable: nobody's real path is a fifth as long, and
	 * it must still fit into one message with us in front. */
	BGP_PATH_LEN_MAX = 500,
	/* Prefixes that one turn of output takes: enough to pack well, too few to be felt. */
	BGP_BATCH_MAX = 2048,
	/* Effects waiting for the owner, who takes them after each call; log lines are dropped first. */
	BGP_EFFECTS_MAX = 8192,
	/* Log lines of one peer in BGP_LOG_WINDOW_MS; what is suppressed is counted in the next one. */
	BGP_LOG_BURST = 10,
	BGP_LOG_WINDOW_MS = 10000,
	/* How long a restarted speaker waits for a peer's End-of-RIB (RFC 4724 4.1). */
	BGP_RESTART_WAIT_MS = 120000,
	/* A peer without graceful restart need not send End-of-RIB; it has told all after this. */
	BGP_SETTLE_MS = 10000,
	/* DIFFERS: RFC 4724 4.1 does not wait for a peer that says it has just restarted itself, as it may
	 * wait for us. But FRR, OpenBGPD and ExaBGP say so whenever they were started, and tell all they
	 * know at once: here they get a moment for that, so that what the kernel has stays meanwhile. */
	BGP_SETTLE_RESTARTING_MS = 2000,
	/* Sessions in a row, each lost before its End-of-RIB, whose paths a peer keeps; of more than
	 * that the oldest go: a peer in a loop of crashes says the same each time. */
	BGP_STALE_SOURCES_MAX = 8,
	/* Refreshes with a begin (RFC 7313) of one peer in BGP_REFRESH_WINDOW_MS: each is a look at all of
	 * the tables, and a source that is swept. One more is taken for an ordinary one. */
	BGP_REFRESHES_MAX = 8,
	BGP_REFRESH_WINDOW_MS = 10000,
	/* Withdrawals in one export group that some peer has not heard of, and that keep what they are
	 * about: twice the largest table, all at once. The peer that lags most ends above it. */
	BGP_UNHEARD_MAX = 2 * BGP_PREFIX_LIMIT_DEFAULT,
	/* Stale routes are dropped this long after the session came back, End-of-RIB or not. */
	BGP_STALE_MAX_MS = 360000,
	/* RFC 9494 3: 24 bits of seconds, half a year. */
	BGP_LONG_LIVED_MAX_S = 0xffffff,
};
