/* msg.h - BGP messages: found in a stream of bytes, and the short ones written.
 *
 * SPEC   RFC 4271 4.1, 4.4, 4.5, 6.1; 2918; 7313 */
#pragma once

#include "bgp/limits.h"
#include "bgp/types.h"
#include "lib/buf.h"

struct bgp_msg {
	uint8_t type;	     /* enum bgp_msg_type */
	const uint8_t *body; /* behind the header, borrowed */
	size_t len;	     /* of the body */
};

/* Look at the message that begins at p, of which `have` bytes are there. Returns its whole length
 * with *out set; 0 when more bytes are needed (and what is there is well so far); -1 when the
 * header is wrong: *n is the NOTIFICATION and text, of BGP_TEXT_MAX bytes, says why. max:
 * BGP_MSG_MAX, or BGP_MSG_MAX_EXT when negotiated (not for OPEN and KEEPALIVE). */
ssize_t bgp_msg_next(const uint8_t *p, size_t have, size_t max, struct bgp_msg *out,
		     struct bgp_notification *n, char *text);

/* Write a header; its length field is set by bgp_msg_end. Returns the offset of the message. */
size_t bgp_msg_begin(struct wr *w, enum bgp_msg_type type);
void bgp_msg_end(struct wr *w, size_t begin);

/* ROUTE-REFRESH subtypes: RFC 7313 3.2 */
enum bgp_refresh {
	BGP_REFRESH_PLEASE,
	BGP_REFRESH_BEGIN,
	BGP_REFRESH_END,
};

void bgp_msg_keepalive(struct wr *w);
void bgp_msg_notification(struct wr *w, const struct bgp_notification *n);
/* subtype: enum bgp_refresh */
void bgp_msg_refresh(struct wr *w, enum bgp_af af, uint8_t subtype);
