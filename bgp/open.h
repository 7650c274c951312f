/* open.h - OPEN messages, capabilities, and what two OPENs agree on.
 *
 * Capabilities are rows of a table in cap.c (code, name, decode, encode); the values that they carry
 * are fields of struct bgp_caps. Adding one is a row, a field, its test vectors.
 * SPEC   RFC 4271 4.2, 6.2; 2918; 4724 3; 4760 8; 5492; 6286; 6793; 7313; 7607; 7911; 8538; 8654;
 *        8950; 9072; 9234; 9494 */
#pragma once

#include "bgp/limits.h"
#include "bgp/types.h"
#include "lib/buf.h"
#include "lib/str.h"

enum bgp_cap_code {
	BGP_CAP_MULTIPROTOCOL = 1,
	BGP_CAP_ROUTE_REFRESH = 2,
	BGP_CAP_EXTENDED_NEXT_HOP = 5,
	BGP_CAP_EXTENDED_MESSAGE = 6,
	BGP_CAP_ROLE = 9,
	BGP_CAP_GRACEFUL_RESTART = 64,
	BGP_CAP_AS4 = 65,
	BGP_CAP_ADD_PATH = 69,
	BGP_CAP_ENHANCED_REFRESH = 70,
	BGP_CAP_LONG_LIVED_GR = 71,
	BGP_CAP_HOSTNAME = 73,
};

/* What one side can do, as it said. */
struct bgp_caps {
	bool mp;	   /* said anything with code 1: IPv4 unicast is not implied then */
	uint32_t families; /* set of enum bgp_af, of those that we know */
	bool refresh;
	bool as4;
	asn_t as4_number;
	bool enhanced_refresh;		   /* RFC 7313 */
	bool extended_message;		   /* RFC 8654 */
	uint32_t ext_next_hop;		   /* families whose next hop may be IPv6, RFC 8950 */
	uint32_t add_path_rx, add_path_tx; /* families it takes, and sends, several paths in */
	enum bgp_role role;		   /* RFC 9234 */
	bool role_twice;		   /* it said several, and different ones */
	/* RFC 9494 */
	struct {
		bool present;
		uint32_t families, forwarding;
		uint32_t time_s[BGP_AF_MAX_]; /* how long to keep its routes after gr.time_s */
	} llgr;
	/* RFC 4724, 8538 */
	struct {
		bool present;
		bool restarting;     /* R: it has just restarted, do not wait for its peers */
		bool notification;   /* N: graceful after a NOTIFICATION too */
		uint16_t time_s;     /* how long to keep its routes */
		uint32_t families;   /* sets of enum bgp_af: it can preserve forwarding in */
		uint32_t forwarding; /* F: it did preserve it, this time */
	} gr;
	/* Codes in the order heard, once each, for status; ours and foreign ones. */
	uint8_t n_seen;
	uint8_t seen[BGP_CAPS_SEEN_MAX];
};

struct bgp_open {
	uint8_t version;
	uint16_t as2; /* the 16-bit field of the header */
	asn_t as;     /* the real one: of the capability when there, else as2 */
	uint16_t hold_s;
	uint32_t id; /* host order */
	struct bgp_caps caps;
};

/* Name of a capability code for a person; NULL when unknown. */
const char *bgp_cap_name(uint8_t code);

/* Write an OPEN message, header included. */
void bgp_open_encode(struct wr *w, const struct bgp_open *open);

/* Decode the body (what follows the header). Total. False: *n is the NOTIFICATION to send and text,
 * of BGP_TEXT_MAX bytes, says why. Checks what the message alone can show: version, AS 0, hold
 * time, router ID 0, lengths. */
bool bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *out,
		     struct bgp_notification *n, char *text);

/* What the local end knows of the peer before its OPEN. */
struct bgp_expect {
	asn_t local_as, remote_as;
	uint32_t local_id;
	enum bgp_role role; /* ours, on eBGP */
	bool role_strict;   /* and the peer must have said its own */
};
/* Is this the peer that we mean? (AS, own router ID on iBGP, role.) As bgp_open_decode on
 * false. */
bool bgp_open_check(const struct bgp_open *open, const struct bgp_expect *expect,
		    struct bgp_notification *n, char *text);

/* What both sides can do. */
struct bgp_negotiated {
	uint16_t hold_s;      /* 0: never expires */
	uint16_t keepalive_s; /* 0: none are sent */
	bool refresh;
	bool graceful;		    /* both offered graceful restart */
	bool graceful_notification; /* and over a NOTIFICATION too, RFC 8538 */
	bool enhanced_refresh;	    /* RFC 7313 */
	bool long_lived;	    /* both know RFC 9494 */
	uint32_t remote_id;
	struct bgp_wire wire; /* first_as_check is the session's to set */
};

/* keepalive_s: wanted; 0: a third of the hold time; cut to that in any case. */
struct bgp_negotiated bgp_negotiate(const struct bgp_open *local, const struct bgp_open *remote,
				    uint16_t keepalive_s);
