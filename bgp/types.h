/* types.h - the few words that every BGP file uses.
 *
 * UNITS  times are int64_t milliseconds of a monotonic clock that the caller owns (`now_ms`);
 *        durations end in _ms or _s. AS numbers and router IDs are in host order. */
#pragma once

#include "lib/addr.h"

typedef uint32_t asn_t;

enum {
	BGP_AS_TRANS = 23456, /* RFC 6793 */
	BGP_MARKER_LEN = 16,
	BGP_HEADER_LEN = 19,
	BGP_MSG_MAX = 4096,	 /* RFC 4271 4.1 */
	BGP_MSG_MAX_EXT = 65535, /* RFC 8654 */
	BGP_PORT = 179,
};

/* Address families as an index; bgp_af_info() gives AFI, SAFI and name. A bit set of them is
 * 1u << af. Adding a family is a row there. */
enum bgp_af {
	BGP_AF_IPV4_UNICAST,
	BGP_AF_IPV6_UNICAST,
	BGP_AF_MAX_,
};

struct bgp_af_info {
	uint16_t afi;
	uint8_t safi;
	enum ip_family family;
	const char *name; /* "ipv4-unicast" */
};

const struct bgp_af_info *bgp_af_info(enum bgp_af af);
/* BGP_AF_MAX_ when this AFI and SAFI are not ours. */
enum bgp_af bgp_af_find(uint16_t afi, uint8_t safi);
enum bgp_af bgp_af_of(enum ip_family family);

enum bgp_state {
	BGP_STATE_IDLE,
	BGP_STATE_CONNECT,
	BGP_STATE_ACTIVE,
	BGP_STATE_OPENSENT,
	BGP_STATE_OPENCONFIRM,
	BGP_STATE_ESTABLISHED,
	BGP_STATE_MAX_,
};

const char *bgp_state_name(enum bgp_state state); /* "OpenSent" */

enum bgp_msg_type {
	BGP_MSG_OPEN = 1,
	BGP_MSG_UPDATE = 2,
	BGP_MSG_NOTIFICATION = 3,
	BGP_MSG_KEEPALIVE = 4,
	BGP_MSG_ROUTE_REFRESH = 5,
};

enum bgp_level {
	BGP_LEVEL_ERROR,
	BGP_LEVEL_WARN,
	BGP_LEVEL_INFO,
	BGP_LEVEL_DEBUG,
};

/* A NOTIFICATION to send or that came: RFC 4271 4.5. */
struct bgp_notification {
	uint8_t code, subcode;
	uint8_t len; /* of data; longer data is cut */
	uint8_t data[255];
};

/* What a broken UPDATE leads to, from mild to hard: RFC 7606 2. The hardest of a message counts. */
enum bgp_verdict {
	BGP_OK,
	BGP_ATTR_DISCARD,
	BGP_TREAT_AS_WITHDRAW,
	BGP_AFI_DISABLE,
	BGP_SESSION_RESET,
};

const char *bgp_verdict_name(enum bgp_verdict verdict); /* "treat-as-withdraw" */

/* What this end of an eBGP session is to the other: RFC 9234. The code on the wire is one less. */
enum bgp_role {
	BGP_ROLE_NONE,
	BGP_ROLE_PROVIDER,
	BGP_ROLE_RS, /* route server */
	BGP_ROLE_RS_CLIENT,
	BGP_ROLE_CUSTOMER,
	BGP_ROLE_PEER,
	BGP_ROLE_MAX_,
};

const char *bgp_role_name(enum bgp_role role); /* "provider" */

/* How the two ends of one session read and write UPDATEs: fixed when both OPENs are known. */
struct bgp_wire {
	bool ebgp;
	bool as4;	     /* both speak 4-octet AS numbers, RFC 6793 */
	bool first_as_check; /* eBGP: the path must begin with remote_as */
	bool refuse_as_sets; /* RFC 9774: a path with a set is treated as withdrawn */
	asn_t local_as, remote_as;
	enum bgp_role role;    /* ours, towards an eBGP peer */
	uint32_t families;     /* set of enum bgp_af that both want */
	uint32_t ext_next_hop; /* of them: those whose next hop may be IPv6 for IPv4, RFC 8950 */
	uint32_t add_path_rx;  /* families in which prefixes come with a path id, RFC 7911 */
	uint32_t add_path_tx;  /* and go with one */
	uint32_t msg_max;      /* longest message: BGP_MSG_MAX, or BGP_MSG_MAX_EXT by RFC 8654 */
};
