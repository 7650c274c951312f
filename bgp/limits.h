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
};
