/* notify.h - NOTIFICATION messages: codes, words, and what a peer wrote into them.
 *
 * SPEC   RFC 4271 4.5, 6; 4486; 5492; 6608; 7313; 8538; 9003; 9234; 9384; 9687 */
#pragma once

#include "bgp/limits.h"
#include "bgp/types.h"

enum bgp_error {
	BGP_ERR_HEADER = 1,
	BGP_ERR_OPEN = 2,
	BGP_ERR_UPDATE = 3,
	BGP_ERR_HOLD = 4,
	BGP_ERR_FSM = 5,
	BGP_ERR_CEASE = 6,
	BGP_ERR_REFRESH = 7,
	BGP_ERR_SEND_HOLD = 8,
};

enum {
	BGP_HEADER_NOT_SYNC = 1,
	BGP_HEADER_BAD_LENGTH = 2,
	BGP_HEADER_BAD_TYPE = 3,

	BGP_OPEN_UNSPECIFIC = 0,
	BGP_OPEN_BAD_VERSION = 1,
	BGP_OPEN_BAD_AS = 2,
	BGP_OPEN_BAD_ID = 3,
	BGP_OPEN_BAD_PARAMETER = 4,
	BGP_OPEN_BAD_HOLD = 6,
	BGP_OPEN_BAD_CAPABILITY = 7,
	BGP_OPEN_BAD_ROLE = 11,

	BGP_UPDATE_MALFORMED = 1,
	BGP_UPDATE_UNKNOWN_WELL_KNOWN = 2,
	BGP_UPDATE_MISSING_WELL_KNOWN = 3,
	BGP_UPDATE_BAD_FLAGS = 4,
	BGP_UPDATE_BAD_ATTR_LENGTH = 5,
	BGP_UPDATE_BAD_ORIGIN = 6,
	BGP_UPDATE_BAD_NEXT_HOP = 8,
	BGP_UPDATE_BAD_OPTIONAL = 9,
	BGP_UPDATE_BAD_NETWORK = 10,
	BGP_UPDATE_BAD_AS_PATH = 11,

	BGP_FSM_UNSPECIFIC = 0,
	BGP_FSM_IN_OPENSENT = 1,
	BGP_FSM_IN_OPENCONFIRM = 2,
	BGP_FSM_IN_ESTABLISHED = 3,

	BGP_CEASE_MAX_PREFIXES = 1,
	BGP_CEASE_SHUTDOWN = 2,
	BGP_CEASE_DECONFIGURED = 3,
	BGP_CEASE_RESET = 4,
	BGP_CEASE_REJECTED = 5,
	BGP_CEASE_CONFIG_CHANGE = 6,
	BGP_CEASE_COLLISION = 7,
	BGP_CEASE_RESOURCES = 8,
	BGP_CEASE_HARD_RESET = 9,
	BGP_CEASE_BFD_DOWN = 10,

	BGP_REFRESH_BAD_LENGTH = 1,
};

/* A NOTIFICATION with up to 255 bytes of data. data may be NULL. */
struct bgp_notification bgp_notification(uint8_t code, uint8_t subcode, const void *data,
					 size_t len);
/* Cease; for subcodes 2 and 4 the text goes along (RFC 9003), cut to what UTF-8 allows in 255. */
struct bgp_notification bgp_cease(uint8_t subcode, const char *text);
/* RFC 8538 3.1: the same inside of a Hard Reset, cut if it must be. */
struct bgp_notification bgp_hard_reset(const struct bgp_notification *n);
/* Must n, when we send it, end the session for good, so that routes are not kept? RFC 8538 5.2 */
bool bgp_notification_is_final(const struct bgp_notification *n);
/* What n says: what is inside, when it is a Hard Reset. */
struct bgp_notification bgp_notification_inner(const struct bgp_notification *n);
/* The body of one that came; total: what does not parse is code 0. */
struct bgp_notification bgp_notification_decode(const uint8_t *body, size_t len);
/* "Cease/Administrative Shutdown \"back at five\"": written into out, cut to size. */
void bgp_notification_text(const struct bgp_notification *n, char *out, size_t size);

/* Bytes of a peer for the log: printable ASCII as it is, all else escaped; at most BGP_QUOTE_MAX.
 * Both append at out + strlen(out). */
void bgp_quote_text(char *out, size_t size, const uint8_t *p, size_t len);
/* "40 01 02 00 00", the first BGP_QUOTE_MAX / 4 bytes. */
void bgp_quote_hex(char *out, size_t size, const uint8_t *p, size_t len);
